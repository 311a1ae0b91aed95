//! One worker process of the selftest: the real worker path, with a handler that notes what it does in a file.

use std::{path::PathBuf, process::ExitCode, sync::Arc, time::Duration};

use anyhow::Result;
use apalis::prelude::{BoxDynError, Task, WorkerBuilder};
use clap::Args;
use metrics::{Counter, CounterFn, Gauge, Histogram, Key, KeyName, Metadata, Recorder, SharedString, Unit};
use queue::{Claimed, Client, Clock, Failure, Kind, Outcome, Replica, Success, Timing};

use super::{
    plan::Work,
    process::end_with,
    runs::{End, Log},
};

pub(crate) const QUEUE: &str = "selftest";
/// What all keys begin with.
pub(crate) const PREFIX: &str = "selftest";
/// Short, so that a few minutes are enough for many lost leases.
pub(crate) const TIMING: Timing = Timing { lease: Duration::from_millis(3000), renewal: Duration::from_millis(700) };
/// Handlers at a time in one worker.
const CONCURRENCY: usize = 32;
const RETRY_AFTER: Duration = Duration::from_secs(1);
/// What the report tells of the workers' counters.
pub(crate) const REFUSED: &str = "queue_settlements_refused_total";
pub(crate) const LEASES_LOST: &str = "queue_leases_lost_total";

/// Be one worker of a selftest
#[derive(Debug, Args)]
pub(crate) struct Worker {
    #[arg(long)]
    parent: u32,
    #[arg(long)]
    redis: String,
    #[arg(long)]
    runs: PathBuf,
}

/// A client that knows the queue of the selftest.
pub(crate) fn client(url: &str) -> Result<Client> {
    let kind = Kind { name: QUEUE.to_owned(), max_attempts: 3, timeout_s: 30, allow_fallback: false, history: false };
    Ok(Client::new(&fleet::Redis::open(url, PREFIX)?, vec![kind]))
}

/// Works until it is killed.
pub(crate) async fn run(worker: &Worker) -> Result<ExitCode> {
    end_with(worker.parent)?;
    // Poison jobs end it by SIGABRT: that leaves no core files about.
    let none = rustix::process::Rlimit { current: Some(0), maximum: Some(0) };
    rustix::process::setrlimit(rustix::process::Resource::Core, none)?;
    tracing_subscriber::fmt()
        .with_env_filter(tracing_subscriber::EnvFilter::from_default_env())
        .with_writer(std::io::stderr)
        .init();
    let notes = Arc::new(Notes { log: Log::create(&worker.runs)?, clock: Clock::default() });
    metrics::set_global_recorder(Counters(notes.clone()))?;
    let mut replica = Replica::start(client(&worker.redis)?, "selftest", TIMING);
    let backend = replica.backend(QUEUE, CONCURRENCY);
    let handle = move |task: Task<Claimed>| handle(task.args, notes.clone());
    WorkerBuilder::new("selftest").backend(backend).build(tower::service_fn(handle)).run().await?;
    replica.close().await;
    Ok(ExitCode::SUCCESS)
}

async fn handle(job: Claimed, notes: Arc<Notes>) -> Result<Outcome, BoxDynError> {
    let work: Work = serde_json::from_slice(job.payload()?)?;
    let run = notes.start(&work, &job)?;
    if work.poison {
        std::process::abort();
    }
    tokio::time::sleep(Duration::from_millis(work.ms)).await;
    if work.fails_once && job.attempt() == 1 {
        run.end(End::Failed)?;
        return Ok(Outcome::Retry { error: Failure::new("planned", "fails once"), after: Some(RETRY_AFTER) });
    }
    run.end(End::Done)?;
    Ok(Outcome::Done(Success::new(work.number.to_string().into_bytes())))
}

#[derive(Debug)]
struct Notes {
    log: Log,
    clock: Clock,
}

impl Notes {
    fn start(self: &Arc<Self>, work: &Work, job: &Claimed) -> std::io::Result<Run> {
        self.log.start(self.clock.now_ms(), work.number, job.attempt(), job.crashes())?;
        Ok(Run { notes: self.clone(), number: work.number, ended: false })
    }
}

/// A run under way; dropped before its end, it was stopped.
struct Run {
    notes: Arc<Notes>,
    number: u64,
    ended: bool,
}

impl Run {
    fn end(mut self, end: End) -> std::io::Result<()> {
        self.ended = true;
        self.notes.log.end(self.notes.clock.now_ms(), self.number, end)
    }
}

impl Drop for Run {
    fn drop(&mut self) {
        if !self.ended {
            // A run without an end in the file counts as cut short either way.
            let _ = self.notes.log.end(self.notes.clock.now_ms(), self.number, End::Stopped);
        }
    }
}

/// Writes the two counters that the report tells; all other metrics are dropped.
struct Counters(Arc<Notes>);

struct LoggedCounter {
    name: &'static str,
    notes: Arc<Notes>,
}

impl CounterFn for LoggedCounter {
    fn increment(&self, n: u64) {
        if let Err(error) = self.notes.log.count(self.name, n) {
            eprintln!("cannot note {} {n}: {error}", self.name);
        }
    }

    fn absolute(&self, _: u64) {}
}

impl Recorder for Counters {
    fn describe_counter(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}
    fn describe_gauge(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}
    fn describe_histogram(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}

    fn register_counter(&self, key: &Key, _: &Metadata<'_>) -> Counter {
        match [REFUSED, LEASES_LOST].into_iter().find(|name| *name == key.name()) {
            Some(name) => Counter::from_arc(Arc::new(LoggedCounter { name, notes: self.0.clone() })),
            None => Counter::noop(),
        }
    }

    fn register_gauge(&self, _: &Key, _: &Metadata<'_>) -> Gauge {
        Gauge::noop()
    }

    fn register_histogram(&self, _: &Key, _: &Metadata<'_>) -> Histogram {
        Histogram::noop()
    }
}
