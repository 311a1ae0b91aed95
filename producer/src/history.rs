//! A job of the history as the API shows it.

use queue::{AttemptError, AttemptView, JobView, Json, Progress, Snoozes, Timestamp, Trace};
use serde::de::DeserializeOwned;
use serde_json::Value;
use store::{Moment, PastAttempt, PastJob, PastSnoozes};

/// `None` when a newer release wrote it and its id or state means nothing here.
pub(crate) fn view(job: PastJob) -> Option<JobView> {
    // Older releases counted snoozes among the attempts.
    let is_snooze = |attempt: &PastAttempt| attempt.outcome.as_deref() == Some("snoozed");
    let (snoozed, attempts): (Vec<_>, Vec<_>) = job.attempts.into_iter().partition(is_snooze);
    Some(JobView {
        id: job.id.parse().ok()?,
        state: named(job.state)?,
        priority: named(job.priority).unwrap_or_default(),
        kind: job.kind,
        queue: job.queue,
        tenant: job.tenant,
        payload: exact(job.payload, job.payload_text),
        metadata: exact(job.metadata, job.metadata_text),
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
        attempts: attempts.into_iter().map(attempt).collect(),
        snoozes: snoozes(job.snoozes, snoozed),
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

/// The text says it to the last digit, if there is one.
fn exact(value: Value, text: Option<String>) -> Json {
    text.and_then(|text| Json::read(text.as_bytes()).ok()).unwrap_or_else(|| value.into())
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
        died: false,
    }
}

fn snoozes(counted: Option<PastSnoozes>, mut among_attempts: Vec<PastAttempt>) -> Snoozes {
    if let Some(PastSnoozes { count, last_code, last_at }) = counted {
        return Snoozes { count, last_code, last_at: last_at.map(timestamp) };
    }
    let count = u32::try_from(among_attempts.len()).unwrap_or(u32::MAX);
    let Some(last) = among_attempts.pop() else { return Snoozes::default() };
    Snoozes { count, last_code: last.error.map(|error| error.code), last_at: last.finished_at.map(timestamp) }
}

fn timestamp(moment: Moment) -> Timestamp {
    Timestamp::from_ms(moment.ms())
}

/// The variant that has this name in the API.
fn named<T: DeserializeOwned>(name: String) -> Option<T> {
    serde_json::from_value(Value::String(name)).ok()
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
        let shown = view(old_job()).unwrap();
        let outcomes: Vec<_> = shown.attempts.iter().map(|attempt| json!(attempt.outcome)).collect();
        assert_eq!(outcomes, ["handed_back", "succeeded"]);
        let at = "2025-10-09T08:53:20.000Z";
        assert_eq!(json!(shown.snoozes), json!({ "count": 2, "last_code": "store_unavailable", "last_at": at }));

        let counted = PastSnoozes { count: 70, last_code: Some("rate_limited".to_owned()), last_at: None };
        let shown = view(PastJob { snoozes: Some(counted), attempts: Vec::new(), ..old_job() }).unwrap();
        assert_eq!(json!(shown.snoozes), json!({ "count": 70, "last_code": "rate_limited", "last_at": null }));
        let never = view(PastJob { attempts: Vec::new(), ..old_job() }).unwrap();
        assert_eq!(json!(never.snoozes), json!({ "count": 0, "last_code": null, "last_at": null }));
    }
}
