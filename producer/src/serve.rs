//! The process: what starts, in which order, and how it ends.

use std::{io, net::SocketAddr, process::ExitCode, time::Duration};

use anyhow::Context;
use axum::Router;
use metrics_exporter_prometheus::PrometheusHandle;
use queue::Client;
use services::SERVICES;
use store::Store;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    signal::unix::{SignalKind, signal},
    time::{interval, sleep, timeout},
};
use tokio_util::sync::CancellationToken;

use crate::{
    api::status,
    app::App,
    config::Config,
    listen::{self, Limits},
    metrics, router, watch,
};

/// Reading MongoDB's address may need a name server; the listener does not wait for a slow one.
const OPEN_TIMEOUT: Duration = Duration::from_secs(1);
const HEALTHCHECK_TIMEOUT: Duration = Duration::from_secs(3);
/// How often a Redis that was away at the start is looked at.
const CHECK_EVERY: Duration = Duration::from_millis(500);
/// Metrics that nobody fetches would pile up without it.
const METRICS_UPKEEP: Duration = Duration::from_secs(5);

/// Runs the API until `shutdown`, then finishes the requests that are under way, within the grace period. Waits for neither Redis nor
/// MongoDB: until they are there, `/api/health/ready` says no.
///
/// # Errors
/// When the configuration cannot work (secret, addresses, URLs), an address is taken, or Redis evicts keys.
pub async fn run(config: Config, shutdown: impl Future<Output = ()>) -> anyhow::Result<()> {
    let redis = fleet::Redis::open(config.redis_url(), &config.redis_prefix)?;
    run_on(&redis, config, shutdown).await
}

async fn run_on(redis: &fleet::Redis, config: Config, shutdown: impl Future<Output = ()>) -> anyhow::Result<()> {
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
    let admin = metrics::bind(config.admin_addr)
        .await
        .with_context(|| format!("cannot listen on ADMIN_ADDR={}", config.admin_addr))?;
    announce(&listener, &admin, &config)?;

    let handle = metrics::install()?;
    let closing = app.closing.clone();
    // All three end with `closing`, which the guard cancels on every way out of here.
    let _guard = closing.clone().drop_guard();
    let grace = Duration::from_secs(config.shutdown_grace_s);
    let limits = Limits::new(config.http_max_connections);
    status::refresh(&app, SERVICES);
    let tasks = redis.tasks();
    tasks.spawn("watch", &closing, watch::watch(app.clone(), config));
    tasks.spawn_until("metrics upkeep", &closing, upkeep(handle.clone()));
    let admin = serve(admin, metrics::router(handle), closing.clone());
    tasks.spawn("admin listener", &closing, async {
        if let Err(error) = admin.await {
            tracing::error!(%error, "the admin listener failed");
        }
    });

    let client = app.client.clone();
    let refused = async move { if checked { std::future::pending().await } else { evicting(&client).await } };
    let server = listen::serve(listener, router(app), limits, closing.clone());
    let stop = async {
        tokio::select! {
            () = shutdown => {}
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

fn announce(listener: &TcpListener, admin: &TcpListener, config: &Config) -> io::Result<()> {
    let addr = admin.local_addr()?;
    if config.admin_addr.port() != 0 && addr.port() != config.admin_addr.port() {
        tracing::info!("ADMIN_ADDR={} is taken: metrics are on {addr}", config.admin_addr);
    }
    tracing::info!(http.addr = %listener.local_addr()?, admin.addr = %addr, "listening on http://{}", listener.local_addr()?);
    Ok(())
}

async fn serve(listener: TcpListener, router: Router, closing: CancellationToken) -> io::Result<()> {
    axum::serve(listener, router).with_graceful_shutdown(closing.cancelled_owned()).await
}

async fn upkeep(handle: PrometheusHandle) {
    let mut ticks = interval(METRICS_UPKEEP);
    loop {
        ticks.tick().await;
        handle.run_upkeep();
    }
}

/// SIGINT and SIGTERM: the first asks to end, the second ends.
#[derive(Debug, Clone)]
pub struct Signals {
    first: CancellationToken,
    second: CancellationToken,
}

impl Signals {
    /// Starts to listen. Must be called inside a tokio runtime.
    ///
    /// # Errors
    /// When the system refuses.
    pub fn listen() -> io::Result<Self> {
        let (mut interrupt, mut terminate) = (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?);
        let signals = Self { first: CancellationToken::new(), second: CancellationToken::new() };
        let tokens = [signals.first.clone(), signals.second.clone()];
        tokio::spawn(async move {
            for token in tokens {
                tokio::select! {
                    _ = interrupt.recv() => {}
                    _ = terminate.recv() => {}
                }
                token.cancel();
            }
        });
        Ok(signals)
    }

    /// Ends with the first signal.
    pub fn first(&self) -> impl Future<Output = ()> + use<> {
        self.first.clone().cancelled_owned()
    }

    /// Ends with the second signal.
    pub fn second(&self) -> impl Future<Output = ()> + use<> {
        self.second.clone().cancelled_owned()
    }
}

/// Asks the API at `addr` whether it lives: the health check of a container. Prints why not.
#[expect(clippy::print_stderr, reason = "the caller is a person or a container engine, and no log is set up")]
pub async fn healthcheck(addr: SocketAddr) -> ExitCode {
    match timeout(HEALTHCHECK_TIMEOUT, ask(addr)).await {
        Ok(Ok(answer)) if answer.split_whitespace().nth(1) == Some("200") => ExitCode::SUCCESS,
        Ok(Ok(answer)) => {
            eprintln!("{addr} answered {:?}", answer.lines().next().unwrap_or_default());
            ExitCode::FAILURE
        }
        Ok(Err(error)) => {
            eprintln!("{addr} cannot be asked: {error}");
            ExitCode::FAILURE
        }
        Err(_) => {
            eprintln!("{addr} did not answer within {} s", HEALTHCHECK_TIMEOUT.as_secs());
            ExitCode::FAILURE
        }
    }
}

async fn ask(mut addr: SocketAddr) -> io::Result<String> {
    // "All addresses" is for listening; nobody can be called there.
    if addr.ip().is_unspecified() {
        addr.set_ip(if addr.is_ipv4() { [127, 0, 0, 1].into() } else { std::net::Ipv6Addr::LOCALHOST.into() });
    }
    let mut stream = TcpStream::connect(addr).await?;
    stream.write_all(b"GET /api/health/live HTTP/1.0\r\nHost: localhost\r\nConnection: close\r\n\r\n").await?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await?;
    Ok(answer)
}

#[cfg(test)]
mod tests {
    use clap::Parser;
    use tokio::sync::oneshot;

    use super::*;

    const IN_TIME: Duration = Duration::from_secs(10);

    fn config(http_addr: SocketAddr) -> Config {
        let http_addr = http_addr.to_string();
        let nobody =
            ["--redis-url", "redis://127.0.0.1:1", "--mongo-url", "mongodb://127.0.0.1:1", "--jwt-secret", "x"];
        let ours = ["producer", "--http-addr", &http_addr, "--admin-addr", "127.0.0.1:0"];
        Config::parse_from(ours.iter().chain(&nobody))
    }

    async fn until_it_lives(addr: SocketAddr) -> String {
        loop {
            if let Ok(answer) = ask(addr).await {
                return answer;
            }
            tokio::task::yield_now().await;
        }
    }

    #[tokio::test]
    async fn it_is_up_without_redis_and_mongodb_and_ends_when_told() {
        let free = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let addr = free.local_addr().unwrap();
        drop(free);
        let (stop, stopped) = oneshot::channel::<()>();
        let running = tokio::spawn(run(config(addr), async { stopped.await.unwrap() }));
        let answer = timeout(IN_TIME, until_it_lives(addr)).await.unwrap();
        assert!(answer.starts_with("HTTP/1.0 200") || answer.starts_with("HTTP/1.1 200"), "{answer}");
        stop.send(()).unwrap();
        timeout(IN_TIME, running).await.unwrap().unwrap().unwrap();
        assert!(ask(addr).await.is_err());
    }

    #[tokio::test]
    async fn a_background_task_that_panics_stops_the_process_and_is_named() {
        for task in ["watch", "metrics upkeep", "admin listener", "news", "outbox of reports"] {
            let redis = fleet::Redis::open("redis://127.0.0.1:1", "unit").unwrap();
            let tasks = redis.tasks().clone();
            let running =
                async { run_on(&redis, config("127.0.0.1:0".parse().unwrap()), std::future::pending()).await };
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
        let error = run(config(addr), std::future::pending()).await.unwrap_err();
        assert_eq!(error.to_string(), format!("cannot listen on HTTP_ADDR={addr}"));
    }

    #[tokio::test]
    async fn a_url_that_cannot_be_read_is_fatal() {
        let mut config = config("127.0.0.1:0".parse().unwrap());
        config.db_name = "a b".to_owned();
        let error = run(config, std::future::pending()).await.unwrap_err();
        assert!(error.to_string().contains("DB_NAME"), "{error}");
    }
}
