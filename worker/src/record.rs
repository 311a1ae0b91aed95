//! Writes the history of jobs: what has ended goes from Redis, which forgets it after a day, to MongoDB.
//!
//! Jobs leave the outbox in Redis only after they were written, and writing one twice changes nothing. So any number of replicas
//! may do this, and may die while they do; MongoDB being away only delays it.

use std::time::Duration;

use futures::future::try_join_all;
use jobs::Maker;
use queue::{AttemptView, Client, JobView, State};
use serde::Serialize;
use store::{Moment, PastAttempt, PastError, PastJob, PastProgress, PastSnoozes, Store};
use tokio::time::{sleep, timeout};

use crate::dispatch::Runner;

/// Jobs that are read at a time.
const BATCH: usize = 1_000;
/// Jobs of one write. One is under way while the next is made ready.
const PART: usize = 250;
/// Jobs that end within this time are written together; less when more than a batch ended within it.
const GATHER: Duration = Duration::from_millis(200);
/// When another replica is writing, it is looked again so soon whether it has left anything.
const BUSY: Duration = Duration::from_secs(1);
/// The wait after a failure, doubled up to the second.
const BACKOFF: (Duration, Duration) = (Duration::from_millis(500), Duration::from_secs(8));

/// Writes the history of the queues that this replica serves.
#[derive(Debug)]
pub(crate) struct Recorder {
    client: Client,
    store: Store,
    /// Each queue, and the collection of its results.
    queues: Vec<(String, &'static str)>,
}

/// Why jobs were not written.
#[derive(Debug, thiserror::Error)]
enum Error {
    #[error(transparent)]
    Queue(#[from] queue::Error),
    #[error(transparent)]
    Store(#[from] store::Error),
}

impl Recorder {
    pub(crate) fn new(client: Client, store: Store, runners: &[Runner]) -> Self {
        let recorded = runners.iter().filter(|runner| runner.kind.history);
        let queues = recorded.map(|runner| (runner.kind.name.clone(), runner.collection)).collect();
        Self { client, store, queues }
    }

    /// Runs until it is dropped.
    pub(crate) async fn run(self) {
        let mut backoff = BACKOFF.0;
        // What others have ended, upkeep finds; what is there before it first looks, this does.
        let mut again_after = Some(Duration::ZERO);
        let mut gather = GATHER;
        loop {
            let told = match again_after {
                Some(wait) => timeout(wait, self.client.ended()).await.is_ok(),
                None => {
                    self.client.ended().await;
                    true
                }
            };
            if told {
                sleep(gather).await;
            }
            match self.record_all().await {
                Ok((all_done, n_jobs)) => {
                    if backoff > BACKOFF.0 {
                        tracing::info!("the history of jobs is written again");
                    }
                    backoff = BACKOFF.0;
                    gather = GATHER.mul_f64(BATCH as f64 / n_jobs.max(BATCH) as f64);
                    again_after = if all_done { None } else { Some(BUSY) };
                }
                Err(error) => {
                    // Told once an outage.
                    if backoff == BACKOFF.0 {
                        tracing::warn!(%error, "the history of jobs cannot be written; it waits in redis");
                    }
                    sleep(backoff).await;
                    backoff = (backoff * 2).min(BACKOFF.1);
                    again_after = Some(Duration::ZERO);
                }
            }
        }
    }

    /// Whether no other replica was writing, and how many jobs were written. A queue whose keys are damaged does not hold up others.
    async fn record_all(&self) -> Result<(bool, usize), Error> {
        let (mut all_done, mut n_jobs, mut failed) = (true, 0, None);
        for (queue, collection) in &self.queues {
            match self.record_if_free(queue, collection).await {
                Ok(Some(n)) => n_jobs += n,
                Ok(None) => all_done = false,
                Err(error @ Error::Queue(queue::Error::Redis(_) | queue::Error::Corrupt(_))) => failed = Some(error),
                Err(error) => return Err(error),
            }
        }
        failed.map_or(Ok((all_done, n_jobs)), Err)
    }

    /// How many jobs were written; `None` when another replica was writing.
    async fn record_if_free(&self, queue: &str, collection: &'static str) -> Result<Option<usize>, Error> {
        if self.client.n_unrecorded(queue).await? == 0 {
            return Ok(Some(0));
        }
        if !self.client.lock_recording(queue).await? {
            return Ok(None);
        }
        let recorded = self.record(queue, collection).await;
        self.client.unlock_recording(queue).await?;
        recorded.map(Some)
    }

    async fn record(&self, queue: &str, collection: &'static str) -> Result<usize, Error> {
        let mut n_jobs = 0;
        loop {
            let mut unrecorded = self.client.unrecorded(queue, BATCH).await?;
            if unrecorded.is_empty() {
                return Ok(n_jobs);
            }
            let mut ended = std::mem::take(&mut unrecorded.jobs);
            let parts = std::iter::from_fn(|| {
                let part = ended.drain(..PART.min(ended.len())).collect::<Vec<_>>();
                (!part.is_empty()).then_some(part)
            });
            let writes = parts.map(async |part| {
                let jobs = part.into_iter().filter_map(|job| past_job(job, collection));
                self.store.record_jobs(jobs.collect()).await
            });
            for (id, reason) in try_join_all(writes).await?.into_iter().flatten() {
                tracing::error!(job.id = id, reason, "the history of a job cannot be written and is lost");
            }
            // None: another replica was faster, or something foreign stands at the head of the list.
            match self.client.recorded(queue, &unrecorded).await? {
                0 => return Ok(n_jobs),
                n => n_jobs += n,
            }
        }
    }
}

/// A job as it is remembered. None for one that a newer release finished: what became of it cannot be read.
fn past_job(job: JobView, collection: &'static str) -> Option<PastJob> {
    let moment = |time: queue::Timestamp| Moment::from_ms(time.ms());
    let maker = job.success.as_ref().and_then(Maker::read).unwrap_or_default();
    Some(PastJob {
        id: job.id.to_string(),
        kind: job.kind,
        queue: job.queue,
        tenant: job.tenant,
        state: job.state.name().to_owned(),
        priority: name(&job.priority),
        payload_text: job.payload.exact().map(str::to_owned),
        payload: job.payload.into_value(),
        metadata_text: job.metadata.exact().map(str::to_owned),
        metadata: job.metadata.into_value(),
        unique_key: job.unique_key,
        created_at: moment(job.created_at),
        run_at: moment(job.run_at),
        started_at: job.started_at.map(moment),
        finished_at: moment(job.finished_at?),
        expires_at: job.expires_at.map(moment),
        attempt: job.attempt,
        max_attempts: job.max_attempts,
        crashes: job.crashes,
        timeout_s: job.timeout_s,
        attempts: job.attempts.into_iter().map(past_attempt).collect(),
        snoozes: (job.snoozes.count > 0).then(|| PastSnoozes {
            count: job.snoozes.count,
            last_code: job.snoozes.last_code,
            last_at: job.snoozes.last_at.map(moment),
        }),
        provider: maker.provider,
        degraded: maker.degraded,
        degraded_reason: maker.degraded_reason,
        progress: job.progress.map(|progress| PastProgress { percent: progress.percent, message: progress.message }),
        stored_in: (job.state == State::Succeeded).then(|| collection.to_owned()),
    })
}

fn past_attempt(attempt: AttemptView) -> PastAttempt {
    let error = attempt.error.map(|error| PastError {
        code: error.code,
        message: error.message,
        fingerprint: error.fingerprint,
    });
    PastAttempt {
        number: attempt.number,
        worker: attempt.worker,
        started_at: Moment::from_ms(attempt.started_at.ms()),
        finished_at: attempt.finished_at.map(|at| Moment::from_ms(at.ms())),
        outcome: attempt.outcome.as_ref().map(name),
        error,
    }
}

/// The name of a variant, as the API has it.
fn name(variant: &impl Serialize) -> String {
    let json = serde_json::to_value(variant).unwrap_or_default();
    json.as_str().unwrap_or_default().to_owned()
}
