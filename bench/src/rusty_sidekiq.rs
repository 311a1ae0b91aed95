//! The crate `rusty-sidekiq`.
//!
//! It keeps no results, has no way to push in bulk, and takes a job off its list before it runs, so that the jobs of a killed
//! worker are lost: these figures it does not have.

use std::{
    process::Command,
    sync::Arc,
    time::{Duration, Instant},
};

use async_trait::async_trait;
use serde::{Deserialize, Serialize};
use sidekiq::{Processor, ProcessorConfig, RedisConnectionManager, RedisPool, Worker};

use crate::{
    payload,
    progress::{Countdown, Starts, pace, rate},
    system::System,
};

const MOST_JOBS: usize = 30_000;
const QUEUE: &str = "bench";
/// How many jobs run at a time. Each waits for its own round trips, of which a job takes four.
const WORKERS: u32 = 64;
/// Clients that push what is to be drained.
const FILLING: usize = 64;

/// The crate, with a pool that has a connection for everyone and does not ask before each command whether it lives.
#[derive(Debug)]
pub(crate) struct RustySidekiq;

#[derive(Debug, Serialize, Deserialize)]
struct Payload {
    number: usize,
    text: String,
}

impl Payload {
    fn new(number: usize) -> anyhow::Result<Self> {
        Ok(serde_json::from_str(&payload::make(number))?)
    }
}

/// Tells the driver which job starts.
#[derive(Clone)]
struct Job {
    note: Arc<dyn Fn(usize) + Send + Sync>,
}

#[async_trait]
impl Worker<Payload> for Job {
    fn opts() -> sidekiq::WorkerOpts<Payload, Self> {
        sidekiq::WorkerOpts::new().queue(QUEUE)
    }

    async fn perform(&self, payload: Payload) -> sidekiq::Result<()> {
        (self.note)(payload.number);
        Ok(())
    }
}

async fn pool(url: &str, connections: u32) -> anyhow::Result<RedisPool> {
    let manager = RedisConnectionManager::new(url)?;
    Ok(RedisPool::builder().max_size(connections).test_on_check_out(false).build(manager).await?)
}

/// A worker that runs until it is dropped.
async fn processor(url: &str, note: impl Fn(usize) + Send + Sync + 'static) -> anyhow::Result<Processor> {
    // Beside the workers, some connections are for its own upkeep.
    let pool = pool(url, WORKERS + 8).await?;
    let config = ProcessorConfig::default().num_workers(WORKERS as usize);
    let mut processor = Processor::new(pool, vec![QUEUE.to_owned()]).with_config(config);
    processor.register(Job { note: Arc::new(note) });
    Ok(processor)
}

/// `clients` push one job after another, with the numbers that `next` gives; how many jobs that were.
async fn push_all(
    url: &str,
    clients: usize,
    next: impl Fn(usize) -> bool + Clone + Send + 'static,
) -> anyhow::Result<usize> {
    let pool = pool(url, u32::try_from(clients)?).await?;
    let mut pushing = tokio::task::JoinSet::new();
    for client in 0..clients {
        let (pool, next) = (pool.clone(), next.clone());
        pushing.spawn(async move {
            let mut number = client;
            while next(number) {
                Job::perform_async(&pool, Payload::new(number)?).await?;
                number += clients;
            }
            anyhow::Ok((number - client) / clients)
        });
    }
    let mut jobs = 0;
    while let Some(pushed) = pushing.join_next().await {
        jobs += pushed??;
    }
    Ok(jobs)
}

#[async_trait]
impl System for RustySidekiq {
    fn name(&self) -> &'static str {
        "rusty-sidekiq"
    }

    fn most_jobs(&self) -> usize {
        MOST_JOBS
    }

    fn has_bulk(&self) -> bool {
        false
    }

    fn keeps_results(&self) -> bool {
        false
    }

    async fn push(&self, url: &str, clients: usize, time: Duration) -> anyhow::Result<f64> {
        let began = Instant::now();
        let jobs = push_all(url, clients, move |_| began.elapsed() < time).await?;
        Ok(rate(jobs, began.elapsed()))
    }

    async fn fill(&self, url: &str, jobs: usize) -> anyhow::Result<f64> {
        let began = Instant::now();
        push_all(url, FILLING, move |number| number < jobs).await?;
        Ok(rate(jobs, began.elapsed()))
    }

    async fn drain(&self, url: &str, jobs: usize, kept: bool) -> anyhow::Result<f64> {
        anyhow::ensure!(!kept, "rusty-sidekiq keeps no results");
        let left = Arc::new(Countdown::new(jobs));
        let ended = left.clone();
        let processor = processor(url, move |_| ended.one()).await?;
        let began = Instant::now();
        tokio::select! {
            () = processor.run() => anyhow::bail!("the worker of rusty-sidekiq ended"),
            ended = left.ended() => ended?,
        }
        Ok(rate(jobs, began.elapsed()))
    }

    async fn start(&self, url: &str, per_second: u32, jobs: usize) -> anyhow::Result<Option<Vec<f64>>> {
        let starts = Arc::new(Starts::new(jobs));
        let noted = starts.clone();
        let worker = tokio::spawn(processor(url, move |number| noted.started(number)).await?.run());
        let pushing = pool(url, 16).await?;
        // The worker opens its connections; what is measured is one that waits.
        tokio::time::sleep(Duration::from_millis(500)).await;
        pace(per_second, jobs, |number| {
            starts.pushing(number);
            let pushing = pushing.clone();
            tokio::spawn(async move { anyhow::Ok(Job::perform_async(&pushing, Payload::new(number)?).await?) });
        })
        .await;
        let waited = starts.waited_ms().await;
        worker.abort();
        waited.map(Some)
    }

    fn hanging_worker(&self, _url: &str) -> anyhow::Result<Option<Command>> {
        Ok(None)
    }
}
