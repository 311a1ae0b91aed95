//! A job as it is answered: as it was pushed, as it is in the queue, and as the history has it.

use std::borrow::Cow;

use api::{Attempt, AttemptError, AttemptOutcome, JobId, Links, Priority, Progress, Snoozes, State, Timestamp};
use jobs::Kept;
use queue::{AttemptView, JobView, Json, Kind, NewJob};
use serde::de::DeserializeOwned;
use serde_json::Value;
use store::{Moment, PastAttempt, PastJob, PastSnoozes};

/// A job; what its caller gave has every digit.
pub(crate) type Job = api::Job<Json>;

/// In Redis.
const DURABILITY: Cow<'static, str> = Cow::Borrowed("fast");

/// A job as it was pushed, without asking Redis for it again.
pub(crate) fn new(id: queue::JobId, job: &NewJob, kind: Option<&Kind>) -> Job {
    let (created_at, id) = (Timestamp::from_ms(id.created_ms()), id_of(id));
    Job {
        id,
        queue: job.kind.clone(),
        tenant: job.tenant.clone(),
        state: if job.run_at_ms.is_some() { State::Scheduled } else { State::Ready },
        priority: priority(job.priority),
        // It was written when the request was read.
        payload: String::from_utf8(job.payload.clone()).map(Json::written).unwrap_or_default(),
        record_base64: None,
        metadata: job.metadata.clone(),
        unique_key: job.unique.as_ref().map(|unique| unique.key.clone()),
        durability: DURABILITY,
        created_at,
        run_at: job.run_at_ms.map_or(created_at, Timestamp::from_ms),
        started_at: None,
        finished_at: None,
        expires_at: job.expires_at_ms.map(Timestamp::from_ms),
        attempt: 1,
        max_attempts: job.max_attempts.or(kind.map(|kind| kind.max_attempts)).unwrap_or_default(),
        crashes: 0,
        timeout_s: job.timeout_s.or(kind.map(|kind| kind.timeout_s)).unwrap_or_default(),
        progress: None,
        attempts: Vec::new(),
        snoozes: Snoozes::default(),
        provider: None,
        degraded: false,
        degraded_reason: None,
        result: None,
        estimated_start_at: None,
        links: Links::of(id),
        stored_in: None,
        kind: job.kind.clone(),
    }
}

/// As it is written.
pub(crate) fn text(job: &Job) -> String {
    serde_json::to_string(job).unwrap_or_default()
}

/// A job of the queue.
pub(crate) fn live(job: JobView) -> Job {
    let kept = job.success.as_ref().and_then(Kept::read).unwrap_or_default();
    let id = id_of(job.id);
    Job {
        id,
        kind: job.kind,
        queue: job.queue,
        tenant: job.tenant,
        state: state(job.state),
        priority: priority(job.priority),
        payload: job.payload,
        record_base64: job.record_base64,
        metadata: job.metadata,
        unique_key: job.unique_key,
        durability: DURABILITY,
        created_at: timestamp(job.created_at),
        run_at: timestamp(job.run_at),
        started_at: job.started_at.map(timestamp),
        finished_at: job.finished_at.map(timestamp),
        expires_at: job.expires_at.map(timestamp),
        attempt: job.attempt,
        max_attempts: job.max_attempts,
        crashes: job.crashes,
        timeout_s: job.timeout_s,
        progress: job.progress.map(|progress| Progress { percent: progress.percent, message: progress.message }),
        attempts: job.attempts.into_iter().map(live_attempt).collect(),
        snoozes: Snoozes {
            count: job.snoozes.count,
            last_code: job.snoozes.last_code,
            last_at: job.snoozes.last_at.map(timestamp),
        },
        provider: kept.provider,
        degraded: kept.degraded,
        degraded_reason: kept.degraded_reason,
        result: Some(kept.result).filter(|result| !result.is_null()),
        estimated_start_at: None,
        links: Links::of(id),
        stored_in: kept.stored_in,
    }
}

fn live_attempt(attempt: AttemptView) -> Attempt {
    Attempt {
        number: attempt.number,
        worker: attempt.worker,
        started_at: timestamp(attempt.started_at),
        finished_at: attempt.finished_at.map(timestamp),
        outcome: attempt.outcome.map(outcome),
        error: attempt.error.map(|error| AttemptError {
            code: error.code,
            message: error.message,
            fingerprint: error.fingerprint,
        }),
    }
}

/// A job of the history; `None` when a newer release wrote it and its id or state means nothing here.
pub(crate) fn past(job: PastJob) -> Option<Job> {
    // Older releases counted snoozes among the attempts.
    let is_snooze = |attempt: &PastAttempt| attempt.outcome.as_deref() == Some("snoozed");
    let (snoozed, attempts): (Vec<_>, Vec<_>) = job.attempts.into_iter().partition(is_snooze);
    let id = id_of(job.id.parse().ok()?);
    Some(Job {
        id,
        state: named(job.state).filter(|state| *state != State::Unknown)?,
        priority: named(job.priority).unwrap_or(Priority::Normal),
        kind: job.kind,
        queue: job.queue,
        tenant: job.tenant,
        payload: exact(job.payload, job.payload_text),
        record_base64: None,
        metadata: exact(job.metadata, job.metadata_text),
        unique_key: job.unique_key,
        durability: DURABILITY,
        created_at: moment(job.created_at),
        run_at: moment(job.run_at),
        started_at: job.started_at.map(moment),
        finished_at: Some(moment(job.finished_at)),
        expires_at: job.expires_at.map(moment),
        attempt: job.attempt,
        max_attempts: job.max_attempts,
        crashes: job.crashes,
        timeout_s: job.timeout_s,
        progress: job.progress.map(|progress| Progress { percent: progress.percent, message: progress.message }),
        attempts: attempts.into_iter().map(past_attempt).collect(),
        snoozes: snoozes(job.snoozes, snoozed),
        provider: job.provider,
        degraded: job.degraded,
        degraded_reason: job.degraded_reason,
        result: None,
        estimated_start_at: None,
        links: Links::of(id),
        stored_in: job.stored_in,
    })
}

/// The text says it to the last digit, if there is one.
fn exact(value: Value, text: Option<String>) -> Json {
    text.and_then(|text| Json::pass_on(text.as_bytes()).ok()).unwrap_or_else(|| value.into())
}

fn past_attempt(attempt: PastAttempt) -> Attempt {
    Attempt {
        number: attempt.number,
        worker: attempt.worker,
        started_at: moment(attempt.started_at),
        finished_at: attempt.finished_at.map(moment),
        outcome: attempt.outcome.and_then(named).filter(|outcome| *outcome != AttemptOutcome::Unknown),
        error: attempt.error.map(|error| AttemptError {
            code: error.code,
            message: error.message,
            fingerprint: error.fingerprint,
        }),
    }
}

fn snoozes(counted: Option<PastSnoozes>, mut among_attempts: Vec<PastAttempt>) -> Snoozes {
    if let Some(PastSnoozes { count, last_code, last_at }) = counted {
        return Snoozes { count, last_code, last_at: last_at.map(moment) };
    }
    let count = u32::try_from(among_attempts.len()).unwrap_or(u32::MAX);
    let Some(last) = among_attempts.pop() else { return Snoozes::default() };
    Snoozes { count, last_code: last.error.map(|error| error.code), last_at: last.finished_at.map(moment) }
}

/// The variant that has this name in the API.
fn named<T: DeserializeOwned>(name: String) -> Option<T> {
    serde_json::from_value(Value::String(name)).ok()
}

fn moment(moment: Moment) -> Timestamp {
    Timestamp::from_ms(moment.ms())
}

/// A time of the queue.
pub(crate) fn timestamp(at: queue::Timestamp) -> Timestamp {
    at.time().into()
}

/// An id of the queue.
pub(crate) fn id_of(id: queue::JobId) -> JobId {
    JobId(id.into())
}

/// A state of the queue.
pub(crate) fn state(state: queue::State) -> State {
    match state {
        queue::State::Scheduled => State::Scheduled,
        queue::State::Ready => State::Ready,
        queue::State::Running => State::Running,
        queue::State::Retrying => State::Retrying,
        queue::State::Waiting => State::Waiting,
        queue::State::Succeeded => State::Succeeded,
        queue::State::Dead => State::Dead,
        queue::State::Cancelled => State::Cancelled,
        queue::State::Expired => State::Expired,
    }
}

fn priority(priority: queue::Priority) -> Priority {
    match priority {
        queue::Priority::High => Priority::High,
        queue::Priority::Normal => Priority::Normal,
        queue::Priority::Low => Priority::Low,
        queue::Priority::Bulk => Priority::Bulk,
    }
}

fn outcome(outcome: queue::AttemptOutcome) -> AttemptOutcome {
    match outcome {
        queue::AttemptOutcome::Succeeded => AttemptOutcome::Succeeded,
        queue::AttemptOutcome::Retry => AttemptOutcome::Retry,
        queue::AttemptOutcome::Dead => AttemptOutcome::Dead,
        queue::AttemptOutcome::Cancelled => AttemptOutcome::Cancelled,
        queue::AttemptOutcome::TimedOut => AttemptOutcome::TimedOut,
        queue::AttemptOutcome::Crashed => AttemptOutcome::Crashed,
        queue::AttemptOutcome::HandedBack => AttemptOutcome::HandedBack,
        // Read as none before it comes here.
        queue::AttemptOutcome::Snoozed => AttemptOutcome::Unknown,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;
    use store::PastError;

    use super::*;

    /// A document as a release wrote it that counted snoozes among the attempts.
    fn old_job() -> PastJob {
        let at = Moment::from_ms(1_760_000_000_000);
        let attempt = |outcome: &str| PastAttempt {
            number: 1,
            worker: "old/1".to_owned(),
            started_at: at,
            finished_at: Some(at),
            outcome: Some(outcome.to_owned()),
            error: (outcome == "snoozed").then(|| PastError {
                code: "store_unavailable".to_owned(),
                message: "mongodb is away".to_owned(),
                fingerprint: "9f2c".to_owned(),
            }),
        };
        PastJob {
            id: "0199a1b2-c3d4-7000-8000-000000000001".to_owned(),
            kind: "content".to_owned(),
            queue: "content".to_owned(),
            tenant: "acme".to_owned(),
            state: "succeeded".to_owned(),
            priority: "normal".to_owned(),
            payload: json!({}),
            payload_text: None,
            metadata: json!({}),
            metadata_text: None,
            unique_key: None,
            created_at: at,
            run_at: at,
            started_at: Some(at),
            finished_at: at,
            expires_at: None,
            attempt: 1,
            max_attempts: 5,
            crashes: 0,
            timeout_s: 120,
            attempts: ["snoozed", "handed_back", "snoozed", "succeeded"].map(attempt).to_vec(),
            snoozes: None,
            provider: None,
            degraded: false,
            degraded_reason: None,
            stored_in: None,
            progress: None,
        }
    }

    #[test]
    fn snoozes_that_an_older_release_wrote_among_the_attempts_are_counted_apart() {
        let shown = past(old_job()).unwrap();
        let outcomes: Vec<_> = shown.attempts.iter().map(|attempt| json!(attempt.outcome)).collect();
        assert_eq!(outcomes, ["handed_back", "succeeded"]);
        let at = "2025-10-09T08:53:20.000Z";
        assert_eq!(json!(shown.snoozes), json!({ "count": 2, "last_code": "store_unavailable", "last_at": at }));

        let counted = PastSnoozes { count: 70, last_code: Some("rate_limited".to_owned()), last_at: None };
        let shown = past(PastJob { snoozes: Some(counted), attempts: Vec::new(), ..old_job() }).unwrap();
        assert_eq!(json!(shown.snoozes), json!({ "count": 70, "last_code": "rate_limited", "last_at": null }));
        let never = past(PastJob { attempts: Vec::new(), ..old_job() }).unwrap();
        assert_eq!(json!(never.snoozes), json!({ "count": 0, "last_code": null, "last_at": null }));
    }
}
