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
    new_job::DEFAULT_TENANT,
    outcome::Success,
    record::{Options, Record},
    reports::Reports,
    state::{Priority, State},
    stored_job::StoredJob,
    view::{AttemptView, JobView, Snoozes, Timestamp, Trace},
};

impl JobView {
    pub(crate) fn of(id: JobId, queue: &str, kind: Option<&Kind>, found: &StoredJob) -> Self {
        match &*found.place {
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

    pub(crate) fn of_finished(id: JobId, queue: &str, kind: Option<&Kind>, finished: Finished<'_>) -> Self {
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
        view.success = finished.success.map(|success| Success::new(success.into_vec()));
        view
    }

    fn base(id: JobId, queue: &str, kind: Option<&Kind>, record: &[u8], history: &History, state: State) -> Self {
        let (priority, mut options, payload, record_base64) = readable(record);
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
            tenant: options.tenant.take().unwrap_or_else(|| DEFAULT_TENANT.to_owned()),
            state,
            priority,
            payload,
            record_base64,
            metadata: options.take_metadata(),
            unique_key: options.unique_key.take(),
            created_at: Timestamp::from_ms(created_ms),
            run_at: Timestamp::from_ms(history.due_ms.or(options.run_at_ms).unwrap_or(created_ms)),
            started_at: attempts.last().map(|last| last.started_at),
            finished_at: None,
            expires_at: options.expires_at_ms.map(Timestamp::from_ms),
            attempt,
            max_attempts: options.max_attempts.or(kind.map(|kind| kind.max_attempts)).unwrap_or(3),
            crashes: history.crashes,
            timeout_s: options.timeout_s.or(kind.map(|kind| kind.timeout_s)).unwrap_or(60),
            progress: None,
            attempts,
            snoozes: history.snoozed.as_ref().map(Snoozes::from).unwrap_or_default(),
            success: None,
            trace: Trace::new(&options, history),
        };
        view.set_reports(history.reports.clone());
        view
    }
}

/// What can be shown of a record, also when it is damaged: then its payload as text, as far as it is text, and all its bytes in base64.
fn readable(bytes: &[u8]) -> (Priority, Options, Json, Option<String>) {
    let text = |bytes: &[u8]| Json::from(Value::String(String::from_utf8_lossy(bytes).into_owned()));
    let all = || Some(BASE64_STANDARD.encode(bytes));
    match Record::decode_head(bytes) {
        Ok((priority, options, payload_at)) => {
            let (payload, options) = (&bytes[payload_at..], options.unwrap_or_default());
            match Json::pass_on(payload) {
                Ok(payload) => (priority, options, payload, None),
                Err(_) => (priority, options, text(payload), all()),
            }
        }
        Err(_) => (Priority::Normal, Options::default(), text(bytes), all()),
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

#[cfg(test)]
mod tests {
    use super::{super::timeline::Happened, *};

    /// In Unix milliseconds.
    const BORN: u64 = 1_760_000_000_000;

    // As release 496559a (November 2026) wrote them: a record with every option, the history of a job that was tried, crashed and was
    // put off, with a draft, and two finished jobs, with a history and without.
    const RECORD: &str = "\
        01027f00195729a789a174a461636d65a172cf00000199c82daa60a165cf00000199c863ae80a16107a1735aa166c3a16d82a56f7264657211a47461\
        677391a161a170d93730302d30616637363531393136636434336464383434386562323131633830333139632d623761643662373136393230333333\
        312d3031a175a86f726465722d31377b226e616d65223a224bc3a47365222c227072696365223a342e357d";
    const HISTORY: &str = "\
        87a17501a16301a1619387a16e01a177a8686f73742d312f37a173cf00000199c82dae48a166cf00000199c82db230a16fa57265747279a16583a463\
        6f6465ac726174655f6c696d69746564a76d657373616765ab6f70656e61693a20343239ab66696e6765727072696e74b03966326335643165306137\
        6233633438a1690087a16e02a177a8686f73742d312f37a173cf00000199c82dd170a166cf00000199c82dd558a16fa763726173686564a16583a463\
        6f6465ab776f726b65725f64696564a76d657373616765b874686520776f726b657220686f73742d312f372064696564ab66696e6765727072696e74\
        b039663263356431653061376233633438a1690187a16e02a177a8686f73742d322f39a173cf00000199c82df880a166cf00000199c82dfc68a16fa7\
        736e6f6f7a6564a16583a4636f6465b173746f72655f756e617661696c61626c65a76d657373616765af6d6f6e676f64622069732061776179ab6669\
        6e6765727072696e74b039663263356431653061376233633438a16902a164cf00000199c82e0ff0a172c4787b22726573756c74223a7b227469746c\
        65223a224bc3a47365227d2c2273746f7265645f696e223a6e756c6c2c2270726f7669646572223a226d6f636b222c226465677261646564223a7472\
        75652c2264656772616465645f726561736f6e223a226f70656e61693a206f7574206f662071756f7461227da16903a17082a17083a17484a16900a1\
        7302a16e01a161cf00000199c82db03ca17028a16da468616c66a16c9182a17484a16900a17301a16e01a161cf00000199c82daf10a16da670616765\
        2031";
    const FINISHED: &str = "\
        87a171c4a301027f00195729a789a174a461636d65a172cf00000199c82daa60a165cf00000199c863ae80a16107a1735aa166c3a16d82a56f726465\
        7211a47461677391a161a170d93730302d30616637363531393136636434336464383434386562323131633830333139632d62376164366237313639\
        3230333333312d3031a175a86f726465722d31377b226e616d65223a224bc3a47365222c227072696365223a342e357da173a9737563636565646564\
        a166cf00000199c82e2378a162cf00000199c82e1f90a16885a17501a16301a1619487a16e01a177a8686f73742d312f37a173cf00000199c82dae48\
        a166cf00000199c82db230a16fa57265747279a16583a4636f6465ac726174655f6c696d69746564a76d657373616765ab6f70656e61693a20343239\
        ab66696e6765727072696e74b039663263356431653061376233633438a1690087a16e02a177a8686f73742d312f37a173cf00000199c82dd170a166\
        cf00000199c82dd558a16fa763726173686564a16583a4636f6465ab776f726b65725f64696564a76d657373616765b874686520776f726b65722068\
        6f73742d312f372064696564ab66696e6765727072696e74b039663263356431653061376233633438a1690187a16e02a177a8686f73742d322f39a1\
        73cf00000199c82df880a166cf00000199c82dfc68a16fa7736e6f6f7a6564a16583a4636f6465b173746f72655f756e617661696c61626c65a76d65\
        7373616765af6d6f6e676f64622069732061776179ab66696e6765727072696e74b039663263356431653061376233633438a1690286a16e02a177a8\
        686f73742d322f39a173cf00000199c82e1f90a166cf00000199c82e2378a16fa9737563636565646564a16903a16904a17082a17083a17484a16900\
        a17302a16e01a161cf00000199c82db03ca17028a16da468616c66a16c9182a17484a16900a17301a16e01a161cf00000199c82daf10a16da6706167\
        652031a172c4787b22726573756c74223a7b227469746c65223a224bc3a47365227d2c2273746f7265645f696e223a6e756c6c2c2270726f76696465\
        72223a226d6f636b222c226465677261646564223a747275652c2264656772616465645f726561736f6e223a226f70656e61693a206f7574206f6620\
        71756f7461227da178cf00000199c82e3318";
    const COMMON: &str = "\
        87a171c40901010000b7efdc8331a173a9737563636565646564a166cf00000199c82e2378a162cf00000199c82e1f90a177a8686f73742d322f39a1\
        72c4657b22726573756c74223a7b227469746c65223a22546565227d2c2273746f7265645f696e223a6e756c6c2c2270726f7669646572223a226d6f\
        636b222c226465677261646564223a66616c73652c2264656772616465645f726561736f6e223a6e756c6c7da17082a17083a17484a16900a17302a1\
        6e01a161cf00000199c82db03ca17028a16da468616c66a16c9182a17484a16900a17301a16e01a161cf00000199c82daf10a16da6706167652031";

    fn bytes(hex: &str) -> Vec<u8> {
        (0..hex.len()).step_by(2).map(|at| u8::from_str_radix(&hex[at..at + 2], 16).unwrap()).collect()
    }

    /// What is shown of a job that was found so.
    fn shown(place: &str, record: &str, history: Option<&str>) -> JobView {
        let detail = Some((BORN + 86_000).to_string());
        let (record, history) = (bytes(record), history.map(bytes));
        let found = StoredJob { place: place.to_owned().into(), record, detail, history, reports: None };
        JobView::of(JobId::new(1, BORN), "content", None, &found)
    }

    fn at(ms: u64) -> Timestamp {
        Timestamp::from_ms(BORN + ms)
    }

    /// Outcome and code of each attempt.
    fn attempts(view: &JobView) -> Vec<(u32, AttemptOutcome, Option<&str>)> {
        let attempts = view.attempts.iter().map(|attempt| {
            let code = attempt.error.as_ref().map(|error| error.code.as_str());
            (attempt.number, attempt.outcome.unwrap(), code)
        });
        attempts.collect()
    }

    #[test]
    fn a_record_of_an_older_release_is_read() {
        let view = shown("scheduled", RECORD, None);
        assert_eq!((view.state, view.priority, view.tenant.as_str()), (State::Scheduled, Priority::Low, "acme"));
        assert_eq!(view.payload.to_string(), r#"{"name":"Käse","price":4.5}"#);
        assert_eq!(view.metadata.to_string(), r#"{"order":17,"tags":["a"]}"#);
        assert_eq!((view.run_at, view.expires_at), (at(86_000), Some(at(3_600_000))));
        assert_eq!((view.max_attempts, view.timeout_s), (7, 90));
        assert_eq!((view.unique_key.as_deref(), view.record_base64), (Some("order-17"), None));
        let record = Record::decode(&bytes(RECORD)).unwrap();
        assert_eq!(record.options.allow_fallback, Some(true));
        assert!(record.options.traceparent.unwrap().starts_with("00-0af7"));
    }

    #[test]
    fn a_history_of_an_older_release_is_read() {
        let view = shown("scheduled", RECORD, Some(HISTORY));
        assert_eq!((view.attempt, view.crashes), (2, 1));
        let crashed = (2, AttemptOutcome::Crashed, Some("worker_died"));
        assert_eq!(attempts(&view), [(1, AttemptOutcome::Retry, Some("rate_limited")), crashed]);
        let last_code = Some("store_unavailable".to_owned());
        assert_eq!(view.snoozes, Snoozes { count: 1, last_code, last_at: Some(at(81_000)) });
        assert_eq!(view.progress.map(|progress| progress.percent), Some(40));
        let draft = History::decode(Some(&bytes(HISTORY))).draft().unwrap();
        assert!(
            String::from_utf8(draft.into_bytes())
                .unwrap()
                .starts_with(r#"{"result":{"title":"Käse"},"stored_in":null,"#)
        );
    }

    #[test]
    fn finished_jobs_of_an_older_release_are_read() {
        let view = shown("finished", FINISHED, None);
        assert_eq!((view.state, view.attempt, view.tenant.as_str()), (State::Succeeded, 2, "acme"));
        assert_eq!((view.started_at, view.finished_at), (Some(at(90_000)), Some(at(91_000))));
        assert_eq!(attempts(&view).last(), Some(&(2, AttemptOutcome::Succeeded, None)));
        assert_eq!((view.attempts.len(), view.snoozes.count), (3, 1));
        assert_eq!(view.events().last().unwrap().what, Happened::Replaced { at: at(95_000) });
        let success = String::from_utf8(view.success.unwrap().into_bytes()).unwrap();
        assert!(success.ends_with(r#""provider":"mock","degraded":true,"degraded_reason":"openai: out of quota"}"#));

        let view = shown("finished", COMMON, None);
        assert_eq!((view.state, view.payload.to_string().as_str()), (State::Succeeded, "1"));
        assert_eq!(attempts(&view), [(1, AttemptOutcome::Succeeded, None)]);
        assert_eq!(view.attempts[0].worker, "host-2/9");
        assert_eq!(view.progress.map(|progress| progress.message).as_deref(), Some("half"));
        assert!(String::from_utf8(view.success.unwrap().into_bytes()).unwrap().contains("Tee"));
    }

    #[test]
    fn what_an_older_release_wrote_is_written_the_same_today() {
        assert_eq!(Record::decode(&bytes(RECORD)).unwrap().encode().unwrap(), bytes(RECORD));
        assert_eq!(Finished::decode(&bytes(COMMON)).unwrap().encode().unwrap(), bytes(COMMON));
    }
}
