//! The process: what starts, in which order, and how it ends.

use std::time::Duration;

use anyhow::Context;
use async_recursion::async_recursion as boxed;
use axum::{Router, routing::get};
use queue::Client;
use services::SERVICES;
use store::Store;
use tokio::{
    net::TcpListener,
    time::{sleep, timeout},
};
use tokio_util::sync::CancellationToken;

use crate::{
    config::Config,
    listen::{self, Limits},
    metrics,
    router::router_with,
    routes::status,
    state::App,
    watch,
};

/// Reading MongoDB's address may need a name server; the listener does not wait for a slow one.
const OPEN_TIMEOUT: Duration = Duration::from_secs(1);
/// How often a Redis that was away at the start is looked at.
const CHECK_EVERY: Duration = Duration::from_millis(500);

/// Runs the API until `shutdown`, then finishes the requests that are under way, within the grace period. Waits for neither Redis nor
/// MongoDB: until they are there, `/api/health/ready` says no.
///
/// # Errors
/// When the configuration cannot work (secret, addresses, URLs), an address is taken, or Redis evicts keys.
#[boxed]
pub async fn run(config: Config, shutdown: CancellationToken) -> anyhow::Result<()> {
    run_with(config, Router::new(), shutdown).await
}

/// Like [`run`], with `more` routes behind the same layers: so that what the API costs can be measured beside them.
///
/// # Errors
/// Those of [`run`].
#[boxed]
pub async fn run_with(config: Config, more: Router<App>, shutdown: CancellationToken) -> anyhow::Result<()> {
    let redis = fleet::Redis::open(config.redis_url(), &config.redis_prefix)?;
    run_on(&redis, config, more, shutdown).await
}

async fn run_on(
    redis: &fleet::Redis,
    config: Config,
    more: Router<App>,
    shutdown: CancellationToken,
) -> anyhow::Result<()> {
    let secret = config.secret()?;
    let services = config.services();
    for complaint in &services.complaints {
        tracing::warn!("{complaint}");
    }
    let app = App::new(redis, &secret, services);
    open_store(&app, &config).await?;
    let checked = checked_server(&app.client).await?;

    let listener = TcpListener::bind(config.http_addr)
        .await
        .with_context(|| format!("cannot listen on HTTP_ADDR={}", config.http_addr))?;
    let admin = metrics::start(config.admin_addr).await?;
    let addr = listener.local_addr()?;
    tracing::info!(http.addr = %addr, admin.addr = %admin.addr(), "listening on http://{addr}");

    let closing = app.closing.clone();
    // Both end with `closing`, which the guard cancels on every way out of here.
    let _guard = closing.clone().drop_guard();
    let grace = Duration::from_secs(config.shutdown_grace_s);
    let limits = Limits::new(config.http_max_connections);
    status::refresh(&app, SERVICES);
    let tasks = redis.tasks();
    tasks.spawn_until("watch", &closing, watch::watch(app.clone(), config));
    let health = Router::new().route("/health", get(async || "ok\n"));
    tasks.spawn_until("admin listener", &closing, admin.serve(health));

    let client = app.client.clone();
    let refused = async move { if checked { std::future::pending().await } else { evicting(&client).await } };
    let server = listen::serve(listener, router_with(app, more), limits, closing.clone());
    let stop = async {
        tokio::select! {
            () = shutdown.cancelled() => {}
            _ = tasks.ended_early() => {}
        }
        tracing::info!("stopping: requests under way may take {} s more", grace.as_secs());
        closing.cancel();
        sleep(grace).await;
    };
    tokio::select! {
        () = server => {}
        error = refused => return Err(error.into()),
        () = stop => tracing::warn!("some requests took longer than the grace period and were cut off"),
    }
    tracing::info!("stopped");
    tasks.check().context("the process stopped")
}

/// A URL that cannot be read is fatal, a name server that does not answer is not: `watch` tries again.
async fn open_store(app: &App, config: &Config) -> anyhow::Result<()> {
    match timeout(OPEN_TIMEOUT, Store::open(config.mongo_url(), &config.db_name)).await {
        Ok(Ok(store)) => app.set_store(store),
        Ok(Err(error)) if !error.is_unavailable() => return Err(error.into()),
        Ok(Err(_)) | Err(_) => {}
    }
    Ok(())
}

/// Refuses a Redis that may lose jobs. False when it is away: the listener does not wait for it.
async fn checked_server(client: &Client) -> Result<bool, queue::Error> {
    match timeout(OPEN_TIMEOUT, client.check_server()).await {
        Ok(Ok(())) => Ok(true),
        Ok(Err(error @ queue::Error::Invalid(_))) => Err(error),
        Ok(Err(_)) | Err(_) => Ok(false),
    }
}

/// Ends when Redis, once it answers, turns out to be one that may lose jobs.
async fn evicting(client: &Client) -> queue::Error {
    loop {
        match checked_server(client).await {
            Ok(true) => std::future::pending().await,
            Ok(false) => sleep(CHECK_EVERY).await,
            Err(error) => return error,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{net::SocketAddr, process::ExitCode};

    use clap::Parser;

    use super::*;

    const IN_TIME: Duration = Duration::from_secs(10);

    fn config(http_addr: SocketAddr) -> Config {
        let http_addr = http_addr.to_string();
        let nobody =
            ["--redis-url", "redis://127.0.0.1:1", "--mongo-url", "mongodb://127.0.0.1:1", "--jwt-secret", "x"];
        let ours = ["producer", "--http-addr", &http_addr, "--admin-addr", "127.0.0.1:0"];
        Config::parse_from(ours.iter().chain(&nobody))
    }

    async fn lives(addr: SocketAddr) -> bool {
        process::healthcheck(addr, "/api/health/live", |status| status == 200).await == ExitCode::SUCCESS
    }

    async fn until_it_lives(addr: SocketAddr) {
        while !lives(addr).await {
            tokio::task::yield_now().await;
        }
    }

    #[tokio::test]
    async fn it_is_up_without_redis_and_mongodb_and_ends_when_told() {
        let free = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let addr = free.local_addr().unwrap();
        drop(free);
        let stop = CancellationToken::new();
        let running = tokio::spawn(run(config(addr), stop.clone()));
        timeout(IN_TIME, until_it_lives(addr)).await.unwrap();
        stop.cancel();
        timeout(IN_TIME, running).await.unwrap().unwrap().unwrap();
        assert!(!lives(addr).await);
    }

    #[tokio::test]
    async fn a_background_task_that_panics_stops_the_process_and_is_named() {
        for task in ["watch", "admin listener", "news", "outbox of reports"] {
            let redis = fleet::Redis::open("redis://127.0.0.1:1", "unit").unwrap();
            let tasks = redis.tasks().clone();
            let running = async {
                let anywhere = config("127.0.0.1:0".parse().unwrap());
                run_on(&redis, anywhere, Router::new(), CancellationToken::new()).await
            };
            let plant = async {
                // Whether it has started yet or not.
                tasks.plant_panic(task);
                std::future::pending::<()>().await;
            };
            let ended = async {
                tokio::select! { ended = running => ended, () = plant => Ok(()) }
            };
            let error = timeout(IN_TIME, ended).await.unwrap().unwrap_err();
            let expected = format!("the process stopped: the background task {task:?} panicked: planted");
            assert_eq!(format!("{error:#}"), expected);
        }
    }

    #[tokio::test]
    async fn a_taken_address_is_named() {
        let taken = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let addr = taken.local_addr().unwrap();
        let error = run(config(addr), CancellationToken::new()).await.unwrap_err();
        assert_eq!(error.to_string(), format!("cannot listen on HTTP_ADDR={addr}"));
    }

    #[tokio::test]
    async fn a_url_that_cannot_be_read_is_fatal() {
        let mut config = config("127.0.0.1:0".parse().unwrap());
        config.db_name = "a b".to_owned();
        let error = run(config, CancellationToken::new()).await.unwrap_err();
        assert!(error.to_string().contains("DB_NAME"), "{error}");
    }
}
