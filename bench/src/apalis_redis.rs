//! The crate `apalis-redis`, as it comes and tuned.
//!
//! Its fetch hands every due id to one Lua `unpack` and fails from 8,000 on, so it never gets that many at once.

use std::{
    process::Command,
    sync::Arc,
    time::{Duration, Instant},
};

use apalis::prelude::{BackendExt, BoxDynError, TaskSink, WorkerBuilder};
use apalis_redis::{Config, ConnectionManager, RedisStorage};
use async_trait::async_trait;
use futures::FutureExt;
use tokio_util::sync::CancellationToken;

use crate::{
    payload,
    progress::{Countdown, Starts, pace, rate},
    recovery,
    system::System,
};

const MOST_JOBS: usize = 7_000;
const BULK: usize = 500;
/// An idle worker looks for work only at its heartbeat, unless it is told to poll.
const POLL: Duration = Duration::from_millis(1);

/// The crate, in one of two settings.
#[derive(Debug, Clone, Copy)]
pub(crate) struct ApalisRedis {
    pub(crate) tuned: bool,
}

type Storage = RedisStorage<String, ConnectionManager>;

impl ApalisRedis {
    async fn storage(self, url: &str, kept: bool) -> anyhow::Result<Storage> {
        let mut config = Config::default().queue("bench").persist_results(kept);
        if self.tuned {
            config = config.batch_size(500).lock_tasks(false).emit_events(false);
            config = config.heartbeat_interval(Duration::from_secs(5)).missed_heartbeats(2);
        }
        Ok(RedisStorage::new(apalis_redis::connect(url).await?).with_config(config))
    }

    /// Runs a worker until `stop`.
    async fn work<F: Future<Output = ()> + Send + 'static>(
        self,
        storage: Storage,
        stop: CancellationToken,
        handle: impl Fn(String) -> F + Clone + Send + Sync + 'static,
    ) -> anyhow::Result<()> {
        let name = format!("bench-{}", std::process::id());
        let run = move |payload: String| {
            let handled = handle(payload);
            async move {
                handled.await;
                Ok::<_, BoxDynError>(true)
            }
        };
        let ended = if self.tuned {
            let worker = WorkerBuilder::new(name.as_str()).backend(storage.poll_with_interval(POLL)).build(run);
            stop.run_until_cancelled(worker.run().boxed()).await.map(|ended| ended.map_err(|e| e.to_string()))
        } else {
            let worker = WorkerBuilder::new(name.as_str()).backend(storage).build(run);
            stop.run_until_cancelled(worker.run().boxed()).await.map(|ended| ended.map_err(|e| e.to_string()))
        };
        match ended {
            Some(Err(error)) => anyhow::bail!("the worker of apalis-redis ended: {error}"),
            _ => Ok(()),
        }
    }
}

#[async_trait]
impl System for ApalisRedis {
    fn name(&self) -> &'static str {
        if self.tuned { "apalis-redis" } else { "apalis-redis-default" }
    }

    fn most_jobs(&self) -> usize {
        MOST_JOBS
    }

    async fn push(&self, url: &str, clients: usize, time: Duration) -> anyhow::Result<f64> {
        let storage = self.storage(url, true).await?;
        let began = Instant::now();
        let mut pushing = tokio::task::JoinSet::new();
        for _ in 0..clients {
            let mut storage = storage.clone();
            pushing.spawn(async move {
                let mut n = 0;
                while began.elapsed() < time {
                    storage.push(payload::make(n)).await?;
                    n += 1;
                }
                anyhow::Ok(n)
            });
        }
        let mut jobs = 0;
        while let Some(pushed) = pushing.join_next().await {
            jobs += pushed??;
        }
        Ok(rate(jobs, began.elapsed()))
    }

    async fn fill(&self, url: &str, jobs: usize) -> anyhow::Result<f64> {
        let mut storage = self.storage(url, true).await?;
        let began = Instant::now();
        for first in (0..jobs).step_by(BULK) {
            storage.push_bulk((first..(first + BULK).min(jobs)).map(payload::make).collect()).await?;
        }
        Ok(rate(jobs, began.elapsed()))
    }

    async fn drain(&self, url: &str, jobs: usize, kept: bool) -> anyhow::Result<f64> {
        let storage = self.storage(url, kept).await?;
        let left = Arc::new(Countdown::new(jobs));
        let ended = left.clone();
        let stop = CancellationToken::new();
        let began = Instant::now();
        let worker = self.work(storage, stop.clone(), move |_| {
            ended.one();
            std::future::ready(())
        });
        tokio::select! {
            ended = worker => ended?,
            ended = left.ended() => ended?,
        }
        Ok(rate(jobs, began.elapsed()))
    }

    async fn start(&self, url: &str, per_second: u32, jobs: usize) -> anyhow::Result<Option<Vec<f64>>> {
        let storage = self.storage(url, true).await?;
        let starts = Arc::new(Starts::new(jobs));
        let noted = starts.clone();
        let stop = CancellationToken::new();
        let pusher = storage.clone();
        let worker = tokio::spawn({
            let (system, stop) = (*self, stop.clone());
            async move {
                let note = move |payload: String| {
                    if let Some(number) = payload::number(payload.as_bytes()) {
                        noted.started(number);
                    }
                    std::future::ready(())
                };
                system.work(storage, stop, note).await
            }
        });
        // The worker registers itself and looks once; what is measured is one that waits.
        tokio::time::sleep(Duration::from_millis(500)).await;
        pace(per_second, jobs, |number| {
            starts.pushing(number);
            let mut pusher = pusher.clone();
            tokio::spawn(async move { pusher.push(payload::make(number)).await });
        })
        .await;
        let waited = starts.waited_ms().await?;
        stop.cancel();
        worker.await??;
        Ok(Some(waited))
    }

    fn hanging_worker(&self, url: &str) -> anyhow::Result<Option<Command>> {
        recovery::this_program(self.name(), url).map(Some)
    }
}

/// The other process of [`System::hanging_worker`].
pub(crate) async fn hang(system: ApalisRedis, url: &str) -> anyhow::Result<()> {
    let storage = system.storage(url, true).await?;
    recovery::say("ready");
    let hang = |_| {
        recovery::say("started");
        std::future::pending()
    };
    system.work(storage, CancellationToken::new(), hang).await
}
