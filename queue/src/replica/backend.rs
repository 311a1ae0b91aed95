//! The apalis `Backend`: hands claimed jobs to an apalis worker, and settles each with what its handler answered.
//!
//! It never returns an error: apalis ends a worker at the first one, and neither a bad job nor a Redis hiccup may do that.

use std::{
    convert::Infallible,
    panic::AssertUnwindSafe,
    pin::Pin,
    sync::{Arc, atomic::Ordering},
    task::{Context, Poll},
    time::{Duration, Instant},
};

use apalis_core::{
    backend::{Backend, BackendConfig, finalize::Ephemeral},
    task::{Task, builder::TaskBuilder},
    worker::context::WorkerContext,
};
use futures::{
    FutureExt,
    future::{AbortHandle, Abortable, BoxFuture},
};
use tokio::sync::mpsc;
use tokio_util::sync::WaitForCancellationFutureOwned;
use tower::{Layer, Service};

use super::{
    claimed::Claimed,
    common::Common,
    held::{Stop, Stopper},
    settle::Verdict,
    slots::Slots,
};
use crate::model::{
    id::JobId,
    outcome::{Failure, Outcome, TIMED_OUT},
};

/// The jobs of one queue for one apalis worker. Made by [`crate::Replica::backend`].
#[derive(Debug)]
pub struct RedisBackend {
    jobs: mpsc::Receiver<Claimed>,
    common: Arc<Common>,
    slots: Arc<Slots>,
    stopping: Pin<Box<WaitForCancellationFutureOwned>>,
}

impl RedisBackend {
    pub(crate) fn new(jobs: mpsc::Receiver<Claimed>, common: Arc<Common>, slots: Arc<Slots>) -> Self {
        let stopping = Box::pin(common.stop.clone().cancelled_owned());
        Self { jobs, common, slots, stopping }
    }
}

impl Backend for RedisBackend {
    type Task = Task<Claimed>;
    type Error = Infallible;

    fn poll_ready(&mut self, _: &mut Context<'_>, _: &WorkerContext) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn poll_next(
        &mut self,
        context: &mut Context<'_>,
        worker: &WorkerContext,
    ) -> Poll<Option<Result<Self::Task, Infallible>>> {
        if self.common.stopping() || self.stopping.as_mut().poll(context).is_ready() {
            // Claimed and not begun: others can have them at once.
            self.jobs.close();
            while let Ok(job) = self.jobs.try_recv() {
                self.common.settle(&job, Verdict::HandedBack { started: false }, job.claimed_ms());
                self.slots.give_back();
            }
            // The end of the backend alone does not end an apalis worker; one that was stopped before says so, which is fine.
            let _ = worker.stop();
            return Poll::Ready(None);
        }
        if self.slots.running.load(Ordering::Relaxed) >= self.slots.concurrency {
            // A handler that ends has this polled again: they run in the same task.
            return Poll::Pending;
        }
        self.jobs.poll_recv(context).map(|job| match job {
            Some(job) => {
                self.slots.running.fetch_add(1, Ordering::Relaxed);
                Some(Ok(TaskBuilder::new(job).build()))
            }
            // The fetcher has ended too early, and the process is to stop: this worker's handlers are waited for.
            None => {
                let _ = worker.stop();
                None
            }
        })
    }

    fn poll_close(&mut self, _: &mut Context<'_>, _: &WorkerContext) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }
}

impl BackendConfig for RedisBackend {
    type Args = Claimed;
    type Id = JobId;
    type Kind = Ephemeral;
    type Config = ();
    type Layer = SettleLayer;

    fn config(&self) -> &() {
        &()
    }

    fn middleware(&mut self, _: &mut WorkerContext) -> SettleLayer {
        SettleLayer { common: self.common.clone(), slots: self.slots.clone() }
    }
}

/// Settles every job with what its handler answered.
#[derive(Debug, Clone)]
pub struct SettleLayer {
    common: Arc<Common>,
    slots: Arc<Slots>,
}

impl<S> Layer<S> for SettleLayer {
    type Service = SettleService<S>;

    fn layer(&self, inner: S) -> SettleService<S> {
        SettleService { inner, common: self.common.clone(), slots: self.slots.clone() }
    }
}

/// See [`SettleLayer`].
#[derive(Debug, Clone)]
pub struct SettleService<S> {
    inner: S,
    common: Arc<Common>,
    slots: Arc<Slots>,
}

impl<S> Service<Task<Claimed>> for SettleService<S>
where
    S: Service<Task<Claimed>, Response = Outcome>,
    S::Error: std::fmt::Display,
    S::Future: Send + 'static,
{
    type Response = ();
    type Error = Infallible;
    type Future = BoxFuture<'static, Result<(), Infallible>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        // An error here would end the worker; a handler that is not ready yet is asked again.
        self.inner.poll_ready(context).map(|_| Ok(()))
    }

    fn call(&mut self, task: Task<Claimed>) -> Self::Future {
        let job = task.args.clone();
        let (common, slots) = (self.common.clone(), self.slots.clone());
        let unrunnable = unrunnable(&job, common.now_ms());
        let handler = if unrunnable.is_some() { None } else { Some(self.inner.call(task)) };
        let runs = Runs(slots.clone());
        async move {
            let _runs = runs;
            let started_ms = common.now_ms();
            let started = Instant::now();
            let verdict = match (unrunnable, handler) {
                (None, Some(handler)) => run(&job, &common, handler).await,
                (verdict, _) => verdict,
            };
            let took = started.elapsed();
            slots.observe(took);
            if let Some(verdict) = verdict {
                slots.durations.record(took.as_secs_f64());
                common.settle(&job, verdict, started_ms);
            }
            Ok(())
        }
        .boxed()
    }
}

/// A job that has a slot, until its handler has ended or is dropped.
struct Runs(Arc<Slots>);

impl Drop for Runs {
    fn drop(&mut self) {
        self.0.running.fetch_sub(1, Ordering::Relaxed);
        self.0.give_back();
    }
}

/// A job that must not reach its handler.
fn unrunnable(job: &Claimed, now_ms: u64) -> Option<Verdict> {
    if let Err(error) = job.payload() {
        return Some(Verdict::Ran(Outcome::Dead(Failure::new("corrupt_record", error.to_string()))));
    }
    job.expires_at_ms().is_some_and(|at| at <= now_ms).then_some(Verdict::Expired)
}

/// Runs the handler under the job's timeout, and stops it when it is cancelled, handed back, or its lease is lost. `None`: the
/// lease is lost, and nothing may be written.
async fn run<E: std::fmt::Display>(
    job: &Claimed,
    common: &Common,
    handler: impl Future<Output = Result<Outcome, E>>,
) -> Option<Verdict> {
    let (handle, registration) = AbortHandle::new_pair();
    let stopper = Stopper::new(handle);
    common.session.stoppable(job, &stopper)?;
    if common.handing_back() {
        return Some(Verdict::HandedBack { started: false });
    }
    let limit = Duration::from_secs(job.timeout_s());
    let handler = tokio::time::timeout(limit, AssertUnwindSafe(handler).catch_unwind());
    let outcome = match Abortable::new(handler, registration).await {
        Ok(Ok(Ok(Ok(outcome)))) => outcome,
        Ok(Ok(Ok(Err(error)))) => retry("handler", error.to_string()),
        Ok(Ok(Err(panic))) => {
            let message = panic_message(&*panic);
            tracing::error!(job.id = %job.id(), job.kind = job.kind(), message, "a handler panicked");
            retry("panic", format!("the handler panicked: {message}"))
        }
        Ok(Err(_)) => retry(TIMED_OUT, format!("no end within {} s", limit.as_secs())),
        Err(_) => {
            return match stopper.why() {
                Some(Stop::Cancelled) => Some(Verdict::Cancelled),
                Some(Stop::HandBack) => Some(Verdict::HandedBack { started: true }),
                Some(Stop::Lost) | None => None,
            };
        }
    };
    Some(Verdict::Ran(outcome))
}

fn retry(code: &str, message: String) -> Outcome {
    Outcome::Retry { error: Failure::new(code, message), after: None }
}

fn panic_message(panic: &(dyn std::any::Any + Send)) -> &str {
    let text = panic.downcast_ref::<&str>().copied();
    text.or_else(|| panic.downcast_ref::<String>().map(String::as_str)).unwrap_or("no message")
}
