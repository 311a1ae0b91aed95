//! Why jobs of a demo wait, as far as the API tells: a queue is paused or without workers, a service is away or parked.

use std::time::Duration;

use api::{Queue, ServiceStatus, State, StatusReport};
use tokio::time::sleep;

use super::report::Board;
use crate::{
    client::{Api, CallError, Job},
    tell::last_error,
};

/// Jobs that end sooner have waited for nothing, as long as all is well.
const LOOK_EVERY: Duration = Duration::from_secs(2);
/// The service of each kind of the demo.
const SERVICES: [(&str, &str); 5] = [
    ("content", "ai"),
    ("image", "images"),
    ("scrape", "scraping"),
    ("email", "email"),
    ("publication", "publication"),
];

/// Notes on the board why jobs wait, until it is dropped.
pub(crate) async fn watch(api: &Api, board: &Board) {
    loop {
        sleep(LOOK_EVERY).await;
        // An API that does not answer is told by those who follow its jobs.
        let _ = look(api, board).await;
    }
}

async fn look(api: &Api, board: &Board) -> Result<(), CallError> {
    let queues: Vec<Queue> = api.understand(api.queues().await?)?;
    let services: StatusReport = api.understand(api.status(None).await?)?;
    for (kind, id) in board.first_pending() {
        let job: Job = api.understand(api.job(&id, None).await?)?;
        let queue = queues.iter().find(|queue| queue.name == kind);
        let name = SERVICES.iter().find(|(of, _)| *of == kind).map(|(_, service)| *service);
        let service = services.services.iter().find(|service| Some(&*service.service) == name);
        board.note(kind, reason(&job, queue, service).as_deref());
    }
    Ok(())
}

/// `None` for a job that only has its turn to wait for.
fn reason(job: &Job, queue: Option<&Queue>, service: Option<&ServiceStatus>) -> Option<String> {
    if job.state.is_finished() || job.state == State::Running {
        return None;
    }
    let until = job.run_at.time().format("%H:%M:%S UTC");
    let held_back = service.and_then(|service| service.breaker_reason.as_ref());
    let held_back = held_back.map(|reason| format!(" ({reason})")).unwrap_or_default();
    match job.state {
        _ if queue.is_some_and(|queue| queue.paused) => {
            Some(format!("queue {0} is paused, `ecomctl queue resume {0}` lets it go on", job.kind))
        }
        State::Scheduled => Some(format!("put off until {until}: {}{held_back}", job.snoozes.last_code.as_ref()?)),
        State::Retrying => Some(format!("tried again at {until}: {}{held_back}", last_error(job)?)),
        _ if queue.is_some_and(|queue| queue.workers == 0) => Some(format!("no worker serves queue {}", job.kind)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::tell::tests::{attempt, job as sample};

    fn job(state: &str, mut fields: Value) -> Job {
        (fields["kind"], fields["state"]) = (json!("email"), json!(state));
        fields["run_at"] = json!("2026-11-28T05:00:30.500Z");
        sample(&fields)
    }

    fn waiting(state: &str) -> Job {
        job(state, json!({}))
    }

    fn queue(paused: bool, workers: u64) -> Queue {
        let depth = json!({ "ready": 1, "scheduled": 0, "running": 0, "retrying": 0, "waiting": 0, "dead": 0 });
        let queue = json!({ "name": "email", "paused": paused, "depth": depth, "in_per_s": 0.0, "out_per_s": 0.0,
            "workers": workers });
        serde_json::from_value(queue).unwrap()
    }

    fn service(breaker_reason: &Value) -> ServiceStatus {
        let service = json!({
            "service": "email", "mode": "real", "configured": true, "missing": [], "malformed": [], "hints": [], "risk": "P1", "risk_text": "",
            "breaker_reason": breaker_reason });
        serde_json::from_value(service).unwrap()
    }

    fn said(job: &Job, queue: &Queue, service: &ServiceStatus) -> String {
        reason(job, Some(queue), Some(service)).unwrap_or_default()
    }

    #[test]
    fn a_job_that_waits_says_for_what() {
        let (runs, well) = (queue(false, 2), service(&Value::Null));
        let parked = service(&json!("smtp/mail.example: 535 wrong password"));
        assert_eq!(said(&waiting("ready"), &runs, &well), "", "it only waits for its turn");
        assert_eq!(said(&waiting("running"), &queue(true, 0), &well), "");
        assert_eq!(
            said(&waiting("ready"), &queue(true, 2), &well),
            "queue email is paused, `ecomctl queue resume email` lets it go on"
        );
        assert_eq!(said(&waiting("ready"), &queue(false, 0), &well), "no worker serves queue email");

        let snoozes = json!({ "count": 1, "last_code": "breaker_open", "last_at": null });
        let put_off = job("scheduled", json!({ "snoozes": snoozes }));
        assert_eq!(said(&put_off, &runs, &well), "put off until 05:00:30 UTC: breaker_open");
        assert_eq!(
            said(&put_off, &runs, &parked),
            "put off until 05:00:30 UTC: breaker_open (smtp/mail.example: 535 wrong password)"
        );
        let attempts = [attempt(1, "retry", Some(("upstream", "451 try later")))];
        let failed = job("retrying", json!({ "attempts": attempts }));
        assert_eq!(said(&failed, &runs, &well), "tried again at 05:00:30 UTC: upstream: 451 try later");
    }
}
