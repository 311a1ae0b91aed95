//! Runs jobs and upkeep; any number of replicas. [`process()`] is the whole process, [`run`] what it does; `dispatch.rs` is the way
//! of one job.
//!
//! Order, lowest first: `config`, `dispatch`, `entitled`, `heal`, `health`, `record`.

mod config;
mod dispatch;
mod entitled;
mod heal;
mod health;
mod record;

use std::{process::ExitCode, sync::Arc, time::Duration};

use anyhow::{Context, anyhow, ensure};
use apalis::prelude::{BoxDynError, Task, WorkerBuilder};
use async_recursion::async_recursion as boxed;
use clap::Parser;
use fleet::Fleet;
use futures::FutureExt;
use jobs::{
    maintenance::Maintenance,
    payment::MockShelf,
    payments::{Gate, Plans},
};
use process::Admin;
use providers::Providers;
use queue::{Client, Error, Outcome, Replica};
use secrecy::ExposeSecret;
use store::Store;
use tokio::task::JoinHandle;
use tokio_util::{sync::CancellationToken, task::TaskTracker};

pub use config::{Concurrency, Config};
pub use dispatch::Runners;

use crate::{
    dispatch::{Runner, Services},
    entitled::Entitled,
    heal::Healer,
    health::Health,
    record::Recorder,
};

/// Away services are named so often.
const SAY_SO_EVERY: Duration = Duration::from_secs(5);
/// After the grace period, handlers have so long to notice that they are stopped.
const ABORT: Duration = Duration::from_secs(2);

/// From a millisecond to an hour, in seconds.
const BUCKETS: [f64; 12] = [0.001, 0.005, 0.025, 0.1, 0.5, 1.0, 2.5, 10.0, 30.0, 120.0, 600.0, 3600.0];

/// A whole worker process for these kinds: reads the command line and the environment, and runs until SIGINT or SIGTERM; a second
/// signal ends it at once. Call it once, inside a tokio runtime.
///
/// # Errors
/// As [`run`]; besides when a second signal came before all jobs were finished or handed back.
#[boxed]
pub async fn process(runners: Runners) -> anyhow::Result<ExitCode> {
    let config = Config::parse();
    if config.healthcheck {
        // Redis being away is no reason to restart the process: any answer is a living worker.
        return Ok(process::healthcheck(config.admin_addr, "/health", |_| true).await);
    }
    let unfinished = anyhow!("a second signal came before all jobs were finished or handed back")
        .context("ended at once; what still ran starts again when its lease ends");
    process::run(unfinished, |stop| run(config, runners, stop)).await
}

/// Runs jobs of these kinds until `shutdown`; then finishes what fits in the grace period and hands back the rest.
///
/// # Errors
/// When the configuration cannot work: URLs, addresses, a Redis that evicts keys.
#[boxed]
pub async fn run(config: Config, runners: Runners, shutdown: CancellationToken) -> anyhow::Result<()> {
    let redis = fleet::Redis::open(config.redis_url.expose_secret(), &config.redis_prefix)?;
    run_on(&redis, config, runners, shutdown).await
}

async fn run_on(
    redis: &fleet::Redis,
    config: Config,
    runners: Runners,
    shutdown: CancellationToken,
) -> anyhow::Result<()> {
    let timing = config.timing()?;
    let runners = chosen(&config, runners)?;
    let variables = services::Config::from_vars(|name| std::env::var(name).ok());
    for complaint in &variables.complaints {
        tracing::warn!("{complaint}");
    }
    let client = Client::new(redis, runners.iter().map(|runner| runner.kind.clone()).collect());
    let client = client.with_follow_up(Maintenance::after_cancel(&variables));
    let store = Store::open(config.mongo_url.expose_secret(), &config.db_name).await?;
    let fleet = Fleet::with_settings(redis, config.breakers());
    let providers = Providers::from_config(&variables, &fleet)?;
    let providers = providers.with_mock_payments_on(Arc::new(MockShelf(store.clone())), &variables)?;
    let plans = Plans::from_config(&variables, &providers.payments.prices).map_err(anyhow::Error::msg)?;
    let services = Services {
        providers: Arc::new(providers),
        plans: Arc::new(plans),
        store: store.clone(),
        client: client.clone(),
    };
    let entitled = Arc::new(Entitled {
        gate: Gate::default(),
        plans: services.plans.clone(),
        providers: Arc::downgrade(&services.providers),
        client: client.clone(),
        store: store.clone(),
    });
    services.providers.plan_caps.set(entitled.clone());

    let admin = Admin::start(config.admin_addr, &BUCKETS).await?;
    let admin_addr = admin.addr();
    let mut replica = Replica::start(client.clone(), &host(), timing);
    let health = Health { client: client.clone(), store: store.clone(), worker: replica.worker().into() };
    let (tasks, stop) = (redis.tasks(), CancellationToken::new());
    // On every way out of here.
    let _guard = stop.clone().drop_guard();
    let healer = Healer { providers: services.providers.clone(), client: client.clone(), store: store.clone() };
    tasks.spawn_until("healer", &stop, healer.run());
    tasks.spawn_until("admin listener", &stop, admin.serve(health.router()));
    let redis_client = client.clone();
    tasks.spawn_until("watch of redis", &stop, async move {
        process::watch("redis", "no jobs are claimed until it is back", || redis_client.ping()).await;
    });
    tasks.spawn_until(
        "ticker",
        &stop,
        schedules::Ticker::new(client.clone(), store.clone()).with_admission(entitled).run(),
    );
    tasks.spawn_until("outbox", &stop, schedules::Outbox::new(client.clone(), store.clone()).run());
    let email_retention_days = variables.email_retention_days;
    let collections = runners.iter().map(|runner| runner.collection).collect();
    let recorder = Recorder::new(client.clone(), store.clone(), &runners);
    tasks.spawn_until("recorder", &stop, async move {
        // The history does not wait for an index that is refused.
        tokio::join!(prepare_store(store, collections, email_retention_days), recorder.run());
    });

    let checked = tokio::select! {
        checked = checked_server(&client) => Some(checked),
        () = shutdown.cancelled() => None,
        _ = tasks.ended_early() => None,
    };
    if let Some(checked) = checked {
        checked?;
        tracing::info!(worker = replica.worker(), admin.addr = %admin_addr, "ready");
        serve_queues(&config, &mut replica, runners, &services, &shutdown).await;
    }
    replica.close().await;
    fleet.close().await;
    tracing::info!("stopped");
    tasks.check().context("the process stopped, and its jobs were handed back")
}

/// Those of `all` kinds that this replica shall run.
fn chosen(config: &Config, Runners(all): Runners) -> anyhow::Result<Vec<Runner>> {
    let wanted: Vec<&str> = config.kinds.iter().map(|kind| kind.trim()).filter(|kind| !kind.is_empty()).collect();
    let names: Vec<&str> = all.iter().map(|runner| runner.kind.name.as_str()).collect();
    for name in wanted.iter().copied().chain(config.concurrency.kinds()) {
        ensure!(names.contains(&name), "there is no kind {name:?}; there are {}", names.join(", "));
    }
    let is_chosen = |runner: &Runner| wanted.is_empty() || wanted.contains(&runner.kind.name.as_str());
    Ok(all.into_iter().filter(is_chosen).collect())
}

/// One apalis worker a queue; ends when all have.
async fn serve_queues(
    config: &Config,
    replica: &mut Replica,
    runners: Vec<Runner>,
    services: &Services,
    shutdown: &CancellationToken,
) {
    let tasks = services.client.tasks();
    let (workers, stopping) = (TaskTracker::new(), CancellationToken::new());
    let mut running = Vec::new();
    for runner in runners {
        let kind = runner.kind.name.clone();
        let name = format!("{}/{kind}", replica.worker());
        let concurrency = config.concurrency.of(&runner.kind.name).unwrap_or(runner.concurrency);
        let backend = replica.backend(&runner.kind.name, concurrency);
        let services = services.clone();
        let handle = move |task: Task<queue::Claimed>| {
            let outcome = runner.run(task.args, services.clone());
            async move { Ok::<Outcome, BoxDynError>(outcome.await) }
        };
        let worker = WorkerBuilder::new(name.as_str()).backend(backend).build(tower::service_fn(handle));
        // Boxed, because the compiler cannot name the future's type as `Send` otherwise.
        let run = worker.run().boxed().map(drop);
        running.push(tasks.spawn(&format!("worker of {kind}"), &stopping, workers.track_future(run)));
    }
    workers.close();
    let grace = tokio::select! {
        () = shutdown.cancelled() => Duration::from_secs(config.shutdown_grace_s),
        // Without that task leases may not be renewed, or ends of jobs not be written: nothing is begun or waited for any more.
        _ = tasks.ended_early() => Duration::ZERO,
    };
    tracing::info!(n_jobs = replica.n_held(), grace_s = grace.as_secs(), "stopping: no more jobs are claimed");
    stopping.cancel();
    replica.stop();
    if tokio::time::timeout(grace, workers.wait()).await.is_err() {
        tracing::info!(n_jobs = replica.n_held(), "the grace period is over: jobs are handed back");
        replica.hand_back();
        let _ = tokio::time::timeout(ABORT, workers.wait()).await;
        running.iter().for_each(JoinHandle::abort);
    }
}

/// Waits for Redis, and makes sure that it may hold jobs.
async fn checked_server(client: &Client) -> anyhow::Result<()> {
    loop {
        match client.check_server().await {
            Ok(()) => return Ok(()),
            Err(Error::Unavailable(_)) => tokio::time::sleep(SAY_SO_EVERY / 10).await,
            Err(error) => return Err(error.into()),
        }
    }
}

/// Creates the indexes as soon as MongoDB is there.
async fn prepare_store(store: Store, collections: Vec<&'static str>, email_retention_days: u32) {
    let prepare = async || {
        store.prepare(&collections).await?;
        store.prepare_files(jobs::image::FILES).await?;
        store.keep_emails(email_retention_days).await
    };
    while let Err(error) = prepare().await {
        if error.is_unavailable() {
            tracing::warn!(%error, "mongodb is away: results cannot be stored and jobs wait");
        } else {
            tracing::error!(%error, "mongodb refuses an index; it is asked again, and work goes on without it");
        }
        tokio::time::sleep(SAY_SO_EVERY).await;
    }
}

fn host() -> String {
    let name = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    match name.trim() {
        "" => std::env::var("HOSTNAME").unwrap_or_else(|_| "worker".to_owned()),
        name => name.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    const IN_TIME: Duration = Duration::from_secs(60);

    #[tokio::test]
    async fn a_background_task_that_panics_while_the_process_still_waits_for_redis_ends_it_too() {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let redis = fleet::Redis::open("redis://127.0.0.1:1", "unit").unwrap();
        let tasks = redis.tasks().clone();
        let nobody = ["worker", "--mongo-url", "mongodb://127.0.0.1:1", "--admin-addr", "127.0.0.1:0"];
        let running = run_on(&redis, Config::parse_from(nobody), Runners::default(), CancellationToken::new());
        let plant = async {
            // Whether it has started yet or not.
            tasks.plant_panic("ticker");
            std::future::pending::<()>().await;
        };
        let ended = async {
            tokio::select! { ended = running => ended, () = plant => Ok(()) }
        };
        let error = tokio::time::timeout(IN_TIME, ended).await.unwrap().unwrap_err();
        assert!(format!("{error:#}").ends_with("the background task \"ticker\" panicked: planted"), "{error:#}");
    }
}
