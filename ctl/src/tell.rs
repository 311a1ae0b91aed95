//! What is told of a job in words.

use api::State;

use crate::client::Job;

pub(crate) fn succeeded(job: &Job) -> bool {
    job.state == State::Succeeded
}

/// From its creation to its end, in milliseconds.
pub(crate) fn duration_ms(job: &Job) -> Option<i64> {
    job.finished_at.map(|finished_at| (finished_at.time() - job.created_at.time()).num_milliseconds())
}

/// How often it was put off, why and when the last time; `None`: never.
pub(crate) fn put_off(job: &Job) -> Option<String> {
    let api::Snoozes { count, last_code, last_at } = &job.snoozes;
    let code = last_code.as_deref().unwrap_or("no reason");
    let at = last_at.map(|at| format!(" at {at}"));
    (*count > 0).then(|| format!("{count} times, last: {code}{}", at.unwrap_or_default()))
}

/// The error of its last attempt that has one, `code: message`.
pub(crate) fn last_error(job: &Job) -> Option<String> {
    let error = job.attempts.iter().rev().find_map(|attempt| attempt.error.as_ref())?;
    Some(format!("{}: {}", error.code, error.message))
}

#[cfg(test)]
pub(crate) mod tests {
    use serde_json::{Value, json};

    use super::*;

    /// A job as the API answers it, with other `fields`.
    pub(crate) fn sample(fields: &Value) -> Value {
        let mut job = json!({
            "id": "0199a1b2-0000-7000-8000-000000000001", "kind": "content", "queue": "content", "tenant": "default",
            "state": "ready", "priority": "normal", "payload": { "name": "Chair" }, "metadata": {}, "unique_key": null,
            "durability": "fast", "created_at": "2026-01-02T03:04:05.000Z", "run_at": "2026-01-02T03:04:05.000Z",
            "started_at": null, "finished_at": null, "expires_at": null, "attempt": 1, "max_attempts": 5, "crashes": 0,
            "timeout_s": 120, "progress": null, "attempts": [], "snoozes": { "count": 0, "last_code": null, "last_at": null },
            "provider": null, "degraded": false, "degraded_reason": null, "result": null, "estimated_start_at": null,
            "links": { "self": "/api/jobs/0199a1b2-0000-7000-8000-000000000001", "events": "" }, "new": 1
        });
        let all = job.as_object_mut().unwrap();
        all.extend(fields.as_object().unwrap().clone());
        job
    }

    pub(crate) fn job(fields: &Value) -> Job {
        serde_json::from_value(sample(fields)).unwrap()
    }

    /// One attempt of a job.
    pub(crate) fn attempt(number: u32, outcome: &str, error: Option<(&str, &str)>) -> Value {
        let at = "2026-01-02T03:04:05.000Z";
        let error = error.map(|(code, message)| json!({ "code": code, "message": message, "fingerprint": "9f2c" }));
        json!({ "number": number, "worker": "host-1/7", "started_at": at, "finished_at": at, "outcome": outcome, "error": error })
    }

    #[test]
    fn a_job_is_read_and_unknown_fields_are_ignored() {
        let attempts = [attempt(1, "retry", Some(("a", "first"))), attempt(2, "dead", Some(("b", "second")))];
        let job = job(&json!({ "state": "dead", "finished_at": "2026-01-02T03:04:06.250Z", "attempts": attempts }));
        assert_eq!((duration_ms(&job), last_error(&job)), (Some(1_250), Some("b: second".to_owned())));
        assert!(job.state.is_finished() && !succeeded(&job));
    }
}
