//! A job of the history as the API shows it.

use queue::{AttemptError, AttemptView, JobView, Progress, Timestamp, Trace};
use serde::de::DeserializeOwned;
use serde_json::Value;
use store::{Moment, PastAttempt, PastJob};

/// `None` when a newer release wrote it and its id or state means nothing here.
pub(crate) fn view(job: PastJob) -> Option<JobView> {
    Some(JobView {
        id: job.id.parse().ok()?,
        state: named(job.state)?,
        priority: named(job.priority).unwrap_or_default(),
        kind: job.kind,
        queue: job.queue,
        tenant: job.tenant,
        payload: job.payload,
        metadata: match job.metadata {
            Value::Object(metadata) => metadata,
            _ => serde_json::Map::new(),
        },
        unique_key: job.unique_key,
        durability: "fast",
        created_at: timestamp(job.created_at),
        run_at: timestamp(job.run_at),
        started_at: job.started_at.map(timestamp),
        finished_at: Some(timestamp(job.finished_at)),
        expires_at: job.expires_at.map(timestamp),
        attempt: job.attempt,
        max_attempts: job.max_attempts,
        crashes: job.crashes,
        timeout_s: job.timeout_s,
        progress: job.progress.map(|progress| Progress { percent: progress.percent, message: progress.message }),
        attempts: job.attempts.into_iter().map(attempt).collect(),
        provider: job.provider,
        degraded: job.degraded,
        degraded_reason: job.degraded_reason,
        result: None,
        stored_in: job.stored_in,
        estimated_start_at: None,
        record_base64: None,
        trace: Trace::default(),
    })
}

fn attempt(attempt: PastAttempt) -> AttemptView {
    let error = attempt.error.map(|error| AttemptError {
        code: error.code,
        message: error.message,
        fingerprint: error.fingerprint,
    });
    AttemptView {
        number: attempt.number,
        worker: attempt.worker,
        started_at: timestamp(attempt.started_at),
        finished_at: attempt.finished_at.map(timestamp),
        outcome: attempt.outcome.and_then(named),
        error,
        step: 0,
        revived_at: None,
    }
}

fn timestamp(moment: Moment) -> Timestamp {
    Timestamp::from_ms(moment.ms())
}

/// The variant that has this name in the API.
fn named<T: DeserializeOwned>(name: String) -> Option<T> {
    serde_json::from_value(Value::String(name)).ok()
}
