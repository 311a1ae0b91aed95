//! The queue of this project: pushed by its client, run through its worker path (apalis, handler, settlement).

use std::{
    path::Path,
    process::Command,
    sync::Arc,
    time::{Duration, Instant},
};

use anyhow::Context;
use apalis::prelude::{BoxDynError, Task, WorkerBuilder};
use async_trait::async_trait;
use futures::{FutureExt, StreamExt, TryStreamExt, stream};
use jobs::Kept;
use queue::{Claimed, Client, Kind, NewJob, Outcome, Replica, Success, Timing};
use tokio::task::JoinHandle;

use crate::{
    extract::{self, Pages},
    payload,
    progress::{Countdown, PATIENCE, Starts, pace, rate},
    recovery,
    system::System,
    whole_way::{self, Figures, Place, Work},
};

const QUEUE: &str = "bench";
/// Handlers at a time.
const CONCURRENCY: usize = 256;
/// Jobs of one bulk push, and how many such pushes are under way at a time.
const BULK: (usize, usize) = (500, 4);
const DAY: Duration = Duration::from_secs(24 * 3600);

/// The queue crate.
#[derive(Debug)]
pub(crate) struct Ours;

#[async_trait]
impl System for Ours {
    fn name(&self) -> &'static str {
        "ours"
    }

    fn api(&self) -> Option<Option<&Path>> {
        Some(None)
    }

    async fn extract(&self, pages: &Pages) -> anyhow::Result<Option<extract::Figures>> {
        // One thread, which waits for nothing.
        tokio::task::block_in_place(|| extract::ours(pages)).map(Some)
    }

    async fn push(&self, url: &str, clients: usize, time: Duration) -> anyhow::Result<f64> {
        let client = client(url, DAY).await?;
        let began = Instant::now();
        let mut pushing = tokio::task::JoinSet::new();
        for _ in 0..clients {
            let client = client.clone();
            pushing.spawn(async move {
                let mut n = 0;
                while began.elapsed() < time {
                    client.push(NewJob::new(QUEUE, payload::make(n))).await?;
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
        let client = client(url, DAY).await?;
        let began = Instant::now();
        push_bulk(&client, jobs, None).await?;
        Ok(rate(jobs, began.elapsed()))
    }

    async fn drain(&self, url: &str, jobs: usize, kept: bool) -> anyhow::Result<f64> {
        let client = client(url, if kept { DAY } else { Duration::ZERO }).await?;
        let waiting = client.counts(QUEUE).await?["jobs"];
        let left = Arc::new(Countdown::new(jobs));
        let ended = left.clone();
        let began = Instant::now();
        let worker = Worker::start(&client, move |_| {
            ended.one();
            std::future::ready(())
        });
        left.ended().await?;
        if waiting as usize <= jobs {
            worker.settled().await?;
        }
        let rate = rate(jobs, began.elapsed());
        worker.close().await?;
        Ok(rate)
    }

    async fn start(&self, url: &str, per_second: u32, jobs: usize) -> anyhow::Result<Option<Vec<f64>>> {
        let client = client(url, DAY).await?;
        let starts = Arc::new(Starts::new(jobs));
        let noted = starts.clone();
        let worker = Worker::start(&client, move |job| {
            if let Some(number) = job.payload().ok().and_then(payload::number).filter(|number| *number < jobs) {
                noted.started(number);
            }
            std::future::ready(())
        });
        worker.warm_up(&client, jobs).await?;
        pace(per_second, jobs, |number| {
            starts.pushing(number);
            let client = client.clone();
            tokio::spawn(async move { client.push(NewJob::new(QUEUE, payload::make(number))).await });
        })
        .await;
        let waited = starts.waited_ms().await?;
        worker.close().await?;
        Ok(Some(waited))
    }

    async fn whole_way(&self, place: &mut Place<'_>, work: &Work, jobs: usize) -> anyhow::Result<Option<Figures>> {
        whole_way::ours(place, work, jobs).await.map(Some)
    }

    fn hanging_worker(&self, url: &str) -> anyhow::Result<Option<Command>> {
        recovery::this_program(self.name(), url).map(Some)
    }
}

/// Pushes `jobs` in bulk, some of them at a time; with `run_at_ms` they are scheduled for then.
pub(crate) async fn push_bulk(client: &Client, jobs: usize, run_at_ms: Option<u64>) -> anyhow::Result<()> {
    let (batch, at_a_time) = BULK;
    let batches = stream::iter((0..jobs).step_by(batch)).map(|first| {
        let client = client.clone();
        tokio::spawn(async move {
            let last = (first + batch).min(jobs);
            let job = |n| {
                let mut job = NewJob::new(QUEUE, payload::make(n));
                job.run_at_ms = run_at_ms;
                job
            };
            let pushed = client.push_many((first..last).map(job).collect()).await;
            pushed.into_iter().try_for_each(|result| result.map(drop))
        })
    });
    batches.buffer_unordered(at_a_time).map(|pushed| anyhow::Ok(pushed??)).try_collect().await
}

/// A client that has connected and knows the queue.
pub(crate) async fn client(url: &str, retention: Duration) -> anyhow::Result<Client> {
    let redis = fleet::Redis::open(url, "bench")?;
    let kind = Kind { name: QUEUE.to_owned(), max_attempts: 3, timeout_s: 60, allow_fallback: false, history: false };
    let client = Client::new(&redis, vec![kind]).with_retention(retention);
    client.ping().await?;
    client.counts(QUEUE).await?;
    Ok(client)
}

/// A replica and its apalis worker.
struct Worker {
    replica: Replica,
    running: JoinHandle<()>,
}

impl Worker {
    fn start<F: Future<Output = ()> + Send + 'static>(
        client: &Client,
        handle: impl Fn(Claimed) -> F + Clone + Send + Sync + 'static,
    ) -> Self {
        let mut replica = Replica::start(client.clone(), "bench", Timing::default());
        let backend = replica.backend(QUEUE, CONCURRENCY);
        let run = move |task: Task<Claimed>| {
            let handled = handle(task.args);
            async move {
                handled.await;
                let kept = Kept { result: serde_json::Value::Bool(true), ..Kept::default() };
                Ok::<_, BoxDynError>(Outcome::Done((&kept).into()))
            }
        };
        let worker = WorkerBuilder::new("bench").backend(backend).build(tower::service_fn(run));
        let running = tokio::spawn(worker.run().boxed().map(drop));
        Self { replica, running }
    }

    /// Waits until the ends of all jobs are written.
    async fn settled(&self) -> anyhow::Result<()> {
        let deadline = Instant::now() + PATIENCE;
        while self.replica.n_held() > 0 {
            anyhow::ensure!(Instant::now() < deadline, "{} jobs are not settled", self.replica.n_held());
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        Ok(())
    }

    /// Runs one job of another number, after which the worker waits for work.
    async fn warm_up(&self, client: &Client, number: usize) -> anyhow::Result<()> {
        let id = client.push(NewJob::new(QUEUE, payload::make(number))).await?;
        let view = client.wait(id, PATIENCE).await?.context("the first job is not there")?;
        anyhow::ensure!(view.state.is_finished(), "the first job is {}", view.state.name());
        Ok(())
    }

    async fn close(self) -> anyhow::Result<()> {
        self.replica.stop();
        self.running.await?;
        self.replica.close().await;
        Ok(())
    }
}

/// The other process of [`System::hanging_worker`].
pub(crate) async fn hang(url: &str) -> anyhow::Result<()> {
    let client = client(url, DAY).await?;
    let _worker = Worker::start(&client, |_| {
        recovery::say("started");
        std::future::pending()
    });
    recovery::say("ready");
    std::future::pending().await
}

/// A replica that serves every queue and has nothing to do.
pub(crate) async fn idle(url: &str, time: Duration, n_commands: impl Fn() -> u64) -> anyhow::Result<f64> {
    let kinds = jobs::register(Kinds::default()).0;
    let names: Vec<String> = kinds.iter().map(|kind| kind.name.clone()).collect();
    let client = Client::new(&fleet::Redis::open(url, "bench")?, kinds);
    let mut replica = Replica::start(client, "bench", Timing::default());
    let mut workers = tokio::task::JoinSet::new();
    for name in &names {
        let backend = replica.backend(name, 4);
        let run = |_: Task<Claimed>| async { Ok::<_, BoxDynError>(Outcome::Done(Success::default())) };
        let worker = WorkerBuilder::new(name.as_str()).backend(backend).build(tower::service_fn(run));
        workers.spawn(worker.run().boxed().map(drop));
    }
    // Connecting and the first look at every queue are over by then.
    tokio::time::sleep(Duration::from_secs(2)).await;
    let (before, began) = (n_commands(), Instant::now());
    tokio::time::sleep(time).await;
    let per_second = (n_commands() - before) as f64 / began.elapsed().as_secs_f64();
    replica.stop();
    while workers.join_next().await.is_some() {}
    replica.close().await;
    Ok(per_second)
}

/// Pushes and runs jobs evenly for `time`; they are kept for `retention`.
pub(crate) async fn soak(url: &str, retention: Duration, per_second: u32, time: Duration) -> anyhow::Result<()> {
    let client = client(url, retention).await?;
    let jobs = (time.as_secs_f64() * f64::from(per_second)) as usize;
    let left = Arc::new(Countdown::new(jobs));
    let ended = left.clone();
    let worker = Worker::start(&client, move |_| {
        ended.one();
        std::future::ready(())
    });
    pace(per_second, jobs, |number| {
        let client = client.clone();
        tokio::spawn(async move { client.push(NewJob::new(QUEUE, payload::make(number))).await });
    })
    .await;
    left.ended().await?;
    worker.close().await
}

/// The kinds of the project.
#[derive(Default)]
struct Kinds(Vec<Kind>);

impl jobs::Registry for Kinds {
    fn add<J: jobs::Handler>(mut self) -> Self {
        self.0.push(Kind::of::<J>());
        self
    }
}
