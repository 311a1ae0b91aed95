//! From what is stored of a job to what is shown of it. Pure.

use base64::prelude::{BASE64_STANDARD, Engine as _};
use serde_json::Value;

use super::{
    attempt::{Attempt, AttemptOutcome},
    claim_name::ClaimName,
    finished::Finished,
    history::History,
    id::JobId,
    job::Kind,
    json::Json,
    outcome::Success,
    record::{Options, Record},
    reports::Reports,
    state::{Priority, State},
    stored_job::StoredJob,
    view::{AttemptView, JobView, Snoozes, Timestamp, Trace},
};

impl JobView {
    pub(crate) fn of(id: JobId, queue: &str, kind: Option<&Kind>, found: &StoredJob) -> Self {
        match found.place.as_str() {
            "finished" => match Finished::decode(&found.record) {
                Ok(finished) => Self::of_finished(id, queue, kind, finished),
                // A newer release may have written it: what can be said of it is that it has finished.
                Err(_) => Self::base(id, queue, kind, &found.record, &History::default(), State::Succeeded),
            },
            place => {
                let history = History::decode(found.history.as_deref());
                let state = match place {
                    "running" => State::Running,
                    "scheduled" => State::Scheduled,
                    "retrying" => State::Retrying,
                    "dead" => State::Dead,
                    _ => State::Ready,
                };
                let mut view = Self::base(id, queue, kind, &found.record, &history, state);
                let detail = found.detail.as_deref().unwrap_or_default();
                match state {
                    State::Running => {
                        add_running_attempt(&mut view, detail);
                        view.set_reports(found.reports.as_deref().and_then(Reports::decode));
                    }
                    State::Dead => view.finished_at = score(detail),
                    State::Scheduled | State::Retrying => view.run_at = score(detail).unwrap_or(view.run_at),
                    _ => {}
                }
                view
            }
        }
    }

    pub(crate) fn of_finished(id: JobId, queue: &str, kind: Option<&Kind>, finished: Finished) -> Self {
        let history = finished.history.unwrap_or_default();
        let mut view = Self::base(id, queue, kind, &finished.record, &history, finished.state);
        view.set_reports(finished.reports);
        view.finished_at = Some(Timestamp::from_ms(finished.finished_ms));
        view.started_at = finished.started_ms.map(Timestamp::from_ms).or(view.started_at);
        // One that was run before its time.
        view.run_at = view.started_at.map_or(view.run_at, |started_at| view.run_at.min(started_at));
        if view.attempts.is_empty() && finished.state == State::Succeeded {
            let started_ms = finished.started_ms.unwrap_or(finished.finished_ms);
            view.attempts.push(AttemptView::from(Attempt {
                number: 1,
                worker: finished.worker.unwrap_or_default(),
                started_ms,
                finished_ms: finished.finished_ms,
                outcome: AttemptOutcome::Succeeded,
                error: None,
                step: 0,
                revived_ms: None,
                died: false,
            }));
            view.trace.steps = 1;
        }
        view.trace.replaced_at = finished.replaced_ms.map(Timestamp::from_ms);
        if let Some(success) = finished.success.and_then(|json| serde_json::from_slice::<Success>(&json).ok()) {
            view.result = Some(success.result).filter(|result| !result.is_null());
            view.stored_in = success.stored_in;
            view.provider = success.provider;
            view.degraded = success.degraded;
            view.degraded_reason = success.degraded_reason;
        }
        view
    }

    fn base(id: JobId, queue: &str, kind: Option<&Kind>, record: &[u8], history: &History, state: State) -> Self {
        let (record, payload, record_base64) = readable(record);
        let created_ms = id.created_ms();
        let attempts: Vec<AttemptView> = history.attempts.iter().cloned().map(AttemptView::from).collect();
        let attempt = match attempts.last() {
            Some(last) if state.is_finished() => last.number,
            _ => history.attempt(),
        };
        let mut view = Self {
            id,
            kind: queue.to_owned(),
            queue: queue.to_owned(),
            tenant: record.tenant().to_owned(),
            state,
            priority: record.priority,
            payload,
            record_base64,
            metadata: record.metadata(),
            unique_key: record.options.unique_key.clone(),
            durability: "fast",
            created_at: Timestamp::from_ms(created_ms),
            run_at: Timestamp::from_ms(history.due_ms.or(record.options.run_at_ms).unwrap_or(created_ms)),
            started_at: attempts.last().map(|last| last.started_at),
            finished_at: None,
            expires_at: record.options.expires_at_ms.map(Timestamp::from_ms),
            attempt,
            max_attempts: record.options.max_attempts.or(kind.map(|kind| kind.max_attempts)).unwrap_or(3),
            crashes: history.crashes,
            timeout_s: record.options.timeout_s.or(kind.map(|kind| kind.timeout_s)).unwrap_or(60),
            progress: None,
            attempts,
            snoozes: history.snoozed.as_ref().map(Snoozes::from).unwrap_or_default(),
            provider: None,
            degraded: false,
            degraded_reason: None,
            result: None,
            stored_in: None,
            estimated_start_at: None,
            trace: Trace::new(&record, history),
        };
        view.set_reports(history.reports.clone());
        view
    }
}

/// A record that can be shown, also when it is damaged: then its payload as text, as far as it is text, and all its bytes in base64.
fn readable(bytes: &[u8]) -> (Record, Json, Option<String>) {
    let text = |bytes: &[u8]| Json::from(Value::String(String::from_utf8_lossy(bytes).into_owned()));
    let all = || Some(BASE64_STANDARD.encode(bytes));
    match Record::decode(bytes) {
        Ok(record) => match Json::read(&record.payload) {
            Ok(payload) => (record, payload, None),
            Err(_) => {
                let payload = text(&record.payload);
                (record, payload, all())
            }
        },
        Err(_) => {
            let record = Record { priority: Priority::Normal, options: Options::default(), payload: Vec::new() };
            (record, text(bytes), all())
        }
    }
}

fn add_running_attempt(view: &mut JobView, claim: &str) {
    let Ok(claim) = claim.parse::<ClaimName>() else { return };
    let started_at = Timestamp::from_ms(claim.at_ms);
    view.started_at = Some(started_at);
    view.attempts.push(AttemptView {
        number: view.attempt,
        worker: claim.replica.worker().to_owned(),
        started_at,
        finished_at: None,
        outcome: None,
        error: None,
        step: view.trace.steps,
        revived_at: view.trace.revived_at,
        died: false,
    });
}

fn score(text: &str) -> Option<Timestamp> {
    text.parse::<f64>().ok().map(|ms| Timestamp::from_ms(ms as u64))
}
