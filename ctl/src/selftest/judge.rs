//! Judges a run: what the queue says of each accepted job, beside what the handlers wrote down. Pure functions.

use std::collections::BTreeMap;

use queue::{AttemptOutcome, JobView, State};
use serde::Serialize;

/// What was done to a worker.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Blow {
    /// SIGKILL.
    Kill,
    /// SIGSTOP past its lease.
    Stop,
    /// One of its jobs took it down.
    Poison,
}

/// A blow to one worker, and when.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Hit {
    pub(crate) pid: u32,
    pub(crate) blow: Blow,
    pub(crate) from_ms: u64,
    pub(crate) to_ms: u64,
}

/// An accepted job.
#[derive(Debug, Clone)]
pub(crate) struct Job {
    pub(crate) number: u64,
    pub(crate) id: String,
    /// It was made to take its worker down.
    pub(crate) poison: bool,
    /// What the queue says of it.
    pub(crate) found: Option<Seen>,
    /// The processes that started it.
    pub(crate) starts: Vec<u32>,
    /// How often its work was done.
    pub(crate) n_done: u32,
}

/// What the queue says of a job.
#[derive(Debug, Clone)]
pub(crate) struct Seen {
    pub(crate) state: State,
    pub(crate) result: Option<u64>,
    pub(crate) attempts: Vec<Attempt>,
}

/// What the queue says of an attempt.
#[derive(Debug, Clone)]
pub(crate) struct Attempt {
    pub(crate) pid: u32,
    pub(crate) outcome: Option<AttemptOutcome>,
    /// Code of its error.
    pub(crate) code: Option<String>,
    pub(crate) started_ms: u64,
    pub(crate) finished_ms: u64,
}

impl From<JobView> for Seen {
    fn from(view: JobView) -> Self {
        let attempts = view.attempts.into_iter().map(|attempt| Attempt {
            pid: attempt.worker.rsplit('/').next().and_then(|pid| pid.parse().ok()).unwrap_or(0),
            outcome: attempt.outcome,
            code: attempt.error.map(|error| error.code),
            started_ms: attempt.started_at.ms(),
            finished_ms: attempt.finished_at.map_or(u64::MAX, queue::Timestamp::ms),
        });
        Self {
            state: view.state,
            result: view.success.and_then(|success| str::from_utf8(success.as_bytes()).ok()?.parse().ok()),
            attempts: attempts.collect(),
        }
    }
}

/// Why a job was run again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Reason {
    /// Its first attempt failed as planned.
    PlannedRetry,
    /// Its worker was killed.
    WorkerKilled,
    /// Its worker was stopped past its lease.
    WorkerStopped,
    /// A poison job took its worker down.
    Poison,
    /// Its worker lost the lease otherwise: connections were cut, or the server was away.
    LeaseLost,
    /// Any other end that the queue wrote down.
    Other,
}

impl Reason {
    pub(crate) const ALL: [Self; 6] =
        [Self::PlannedRetry, Self::WorkerKilled, Self::WorkerStopped, Self::Poison, Self::LeaseLost, Self::Other];
}

/// What came of all accepted jobs.
#[derive(Debug, Default, Serialize)]
pub(crate) struct Verdict {
    pub(crate) n_accepted: usize,
    /// Accepted jobs that came to the end that they were made for.
    pub(crate) n_run: usize,
    /// Accepted jobs that did not.
    pub(crate) n_lost: usize,
    /// Accepted jobs that were started more than once.
    pub(crate) n_run_again: usize,
    /// Accepted jobs whose work was done more than once.
    pub(crate) n_done_again: usize,
    /// Runs that were followed by another one, by the reason for that.
    pub(crate) reasons: BTreeMap<Reason, usize>,
    /// Runs that the queue knows nothing of.
    pub(crate) n_without_reason: usize,
    /// Quarantined, as they should be.
    pub(crate) n_poison_quarantined: usize,
    /// Quarantined, though they did nothing.
    pub(crate) n_innocents_quarantined: usize,
    /// What must not be, a sentence each.
    pub(crate) findings: Vec<String>,
}

impl Verdict {
    pub(crate) fn holds(&self) -> bool {
        self.findings.is_empty()
    }
}

/// Replicas read the time from the server's clock, this process its own.
const SLACK_MS: u64 = 100;
/// What the queue writes of a job that died with its workers.
const WORKER_DIED: &str = "worker_died";

pub(crate) fn judge(jobs: &[Job], hits: &[Hit]) -> Verdict {
    let mut verdict = Verdict { n_accepted: jobs.len(), ..Verdict::default() };
    for reason in Reason::ALL {
        verdict.reasons.insert(reason, 0);
    }
    for job in jobs {
        judge_end(job, hits, &mut verdict);
        judge_runs(job, hits, &mut verdict);
    }
    verdict
}

fn judge_end(job: &Job, hits: &[Hit], verdict: &mut Verdict) {
    let name = format!("job {} ({})", job.number, job.id);
    let lost = match &job.found {
        None => Some("accepted, but the queue does not know it".to_owned()),
        Some(found) if is_quarantined(found) && job.poison => {
            verdict.n_poison_quarantined += 1;
            None
        }
        Some(found) if is_quarantined(found) => {
            verdict.n_innocents_quarantined += 1;
            Some(format!("quarantined, though it did nothing to its workers ({})", story(found, hits)))
        }
        Some(_) if job.poison => Some("took its workers down and was not quarantined".to_owned()),
        Some(found) if found.state != State::Succeeded => {
            let codes: Vec<&str> = found.attempts.iter().filter_map(|attempt| attempt.code.as_deref()).collect();
            Some(format!("accepted, but it is {} (errors: {})", found.state.name(), codes.join(", ")))
        }
        Some(_) if job.n_done == 0 => Some("succeeded, but no handler did its work".to_owned()),
        Some(found) if found.result != Some(job.number) => Some(format!("has the result {:?}", found.result)),
        Some(_) => None,
    };
    match lost {
        None => verdict.n_run += 1,
        Some(how) => {
            verdict.n_lost += 1;
            verdict.findings.push(format!("{name}: {how}"));
        }
    }
}

fn is_quarantined(found: &Seen) -> bool {
    found.state == State::Dead
        && found.attempts.last().is_some_and(|attempt| attempt.code.as_deref() == Some(WORKER_DIED))
}

/// What the queue says of its attempts, and what was done to their workers.
fn story(found: &Seen, hits: &[Hit]) -> String {
    let attempts = found.attempts.iter().map(|attempt| {
        let hits: Vec<String> =
            hits_during(attempt, hits).map(|hit| format!("{:?}", hit.blow).to_lowercase()).collect();
        let hits = if hits.is_empty() { "nothing was done to it".to_owned() } else { hits.join(", ") };
        let (pid, took) = (attempt.pid, attempt.finished_ms.saturating_sub(attempt.started_ms));
        format!("{took} ms with process {pid}: {hits}")
    });
    attempts.collect::<Vec<_>>().join("; ")
}

/// What was done to the worker of an attempt before the attempt was over.
fn hits_during<'a>(attempt: &Attempt, hits: &'a [Hit]) -> impl Iterator<Item = &'a Hit> {
    let (pid, from_ms, to_ms) = (attempt.pid, attempt.started_ms.saturating_sub(SLACK_MS), attempt.finished_ms);
    let to_ms = to_ms.saturating_add(SLACK_MS);
    hits.iter().filter(move |hit| hit.pid == pid && hit.from_ms <= to_ms && hit.to_ms >= from_ms)
}

/// Each run must be an attempt that the queue wrote down; the outcome of that attempt is the reason why the next run followed.
fn judge_runs(job: &Job, hits: &[Hit], verdict: &mut Verdict) {
    verdict.n_run_again += usize::from(job.starts.len() > 1);
    verdict.n_done_again += usize::from(job.n_done > 1);
    let Some(found) = &job.found else { return };
    let mut attempts: Vec<&Attempt> = found.attempts.iter().collect();
    for pid in &job.starts {
        let Some(at) = attempts.iter().position(|attempt| attempt.pid == *pid) else {
            verdict.n_without_reason += 1;
            let name = format!("job {} ({})", job.number, job.id);
            verdict.findings.push(format!("{name}: run by process {pid}, of which the queue knows nothing"));
            continue;
        };
        if let Some(reason) = reason(attempts.remove(at), hits) {
            *verdict.reasons.entry(reason).or_default() += 1;
        }
    }
}

/// Why another run follows this attempt; `None` when none does.
fn reason(attempt: &Attempt, hits: &[Hit]) -> Option<Reason> {
    match attempt.outcome {
        Some(AttemptOutcome::Succeeded | AttemptOutcome::Dead) | None => None,
        Some(AttemptOutcome::Retry) => Some(Reason::PlannedRetry),
        Some(AttemptOutcome::Crashed) => {
            let blows: Vec<Blow> = hits_during(attempt, hits).map(|hit| hit.blow).collect();
            let order = [
                (Blow::Kill, Reason::WorkerKilled),
                (Blow::Poison, Reason::Poison),
                (Blow::Stop, Reason::WorkerStopped),
            ];
            let found = order.into_iter().find(|(blow, _)| blows.contains(blow));
            Some(found.map_or(Reason::LeaseLost, |(_, reason)| reason))
        }
        Some(_) => Some(Reason::Other),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn attempt(pid: u32, outcome: AttemptOutcome, code: Option<&str>, at_ms: u64) -> Attempt {
        let code = code.map(str::to_owned);
        Attempt { pid, outcome: Some(outcome), code, started_ms: at_ms, finished_ms: at_ms + 3000 }
    }

    fn crashed(pid: u32, at_ms: u64) -> Attempt {
        attempt(pid, AttemptOutcome::Crashed, Some(WORKER_DIED), at_ms)
    }

    fn succeeded(number: u64, before: Vec<Attempt>) -> Job {
        let starts: Vec<u32> = before.iter().map(|attempt| attempt.pid).chain([9]).collect();
        let mut attempts = before;
        attempts.push(attempt(9, AttemptOutcome::Succeeded, None, 90_000));
        let found = Seen { state: State::Succeeded, result: Some(number), attempts };
        Job { number, id: format!("id-{number}"), poison: false, found: Some(found), starts, n_done: 1 }
    }

    fn dead(number: u64, poison: bool) -> Job {
        let attempts = vec![crashed(1, 0), crashed(2, 10_000), crashed(3, 20_000)];
        let found = Seen { state: State::Dead, result: None, attempts };
        Job { number, id: format!("id-{number}"), poison, found: Some(found), starts: vec![1, 2, 3], n_done: 0 }
    }

    fn findings(job: Job) -> String {
        let verdict = judge(&[succeeded(0, Vec::new()), job], &[]);
        assert!(!verdict.holds());
        verdict.findings.join("\n")
    }

    #[test]
    fn a_run_without_harm_holds_and_tells_why_jobs_were_run_again() {
        let hits = [
            Hit { pid: 1, blow: Blow::Kill, from_ms: 1000, to_ms: 1000 },
            Hit { pid: 2, blow: Blow::Stop, from_ms: 11_000, to_ms: 15_000 },
            Hit { pid: 3, blow: Blow::Poison, from_ms: 50_000, to_ms: 50_000 },
        ];
        let mut done_twice = succeeded(5, vec![crashed(1, 0)]);
        done_twice.n_done = 2;
        let jobs = [
            succeeded(1, Vec::new()),
            succeeded(2, vec![crashed(1, 0), crashed(2, 10_000), crashed(3, 50_000)]),
            succeeded(3, vec![attempt(4, AttemptOutcome::Retry, Some("planned"), 0)]),
            // Process 3 was hit long after this attempt.
            succeeded(4, vec![crashed(3, 0)]),
            done_twice,
            dead(6, true),
        ];
        let verdict = judge(&jobs, &hits);
        assert!(verdict.holds(), "{:?}", verdict.findings);
        assert_eq!((verdict.n_accepted, verdict.n_run, verdict.n_lost), (6, 6, 0));
        assert_eq!((verdict.n_run_again, verdict.n_done_again, verdict.n_poison_quarantined), (5, 1, 1));
        let n = |reason| verdict.reasons[&reason];
        assert_eq!((n(Reason::PlannedRetry), n(Reason::WorkerKilled), n(Reason::WorkerStopped)), (1, 3, 2));
        assert_eq!((n(Reason::Poison), n(Reason::LeaseLost), n(Reason::Other)), (1, 2, 0));
    }

    #[test]
    fn an_attempt_that_ended_before_its_handler_began_is_no_run() {
        let mut job = succeeded(1, vec![crashed(1, 0)]);
        job.starts = vec![9];
        let verdict = judge(&[job], &[]);
        assert!(verdict.holds() && verdict.n_run_again == 0 && verdict.reasons.values().all(|n| *n == 0));
    }

    #[test]
    fn a_job_that_the_queue_does_not_know_is_lost() {
        let mut job = succeeded(7, Vec::new());
        job.found = None;
        assert_eq!(findings(job), "job 7 (id-7): accepted, but the queue does not know it");
    }

    #[test]
    fn a_job_that_has_not_ended_or_died_is_lost() {
        for state in [State::Ready, State::Running, State::Scheduled, State::Retrying, State::Dead] {
            let mut job = succeeded(7, vec![attempt(4, AttemptOutcome::Retry, Some("handler"), 0)]);
            job.found.as_mut().unwrap().state = state;
            let told = findings(job);
            assert!(told.contains(&format!("it is {} (errors: handler)", state.name())), "{told}");
        }
    }

    #[test]
    fn a_job_that_succeeded_without_a_run_or_with_anothers_result_is_lost() {
        let mut not_run = succeeded(7, Vec::new());
        (not_run.starts, not_run.n_done) = (Vec::new(), 0);
        assert!(findings(not_run).contains("no handler did its work"));
        let mut mixed_up = succeeded(7, Vec::new());
        mixed_up.found.as_mut().unwrap().result = Some(8);
        assert!(findings(mixed_up).contains("has the result Some(8)"));
    }

    #[test]
    fn a_run_without_a_reason_is_found() {
        let mut job = succeeded(7, vec![crashed(1, 0)]);
        job.starts.push(1);
        assert_eq!(findings(job), "job 7 (id-7): run by process 1, of which the queue knows nothing");
    }

    #[test]
    fn a_quarantined_innocent_and_a_poison_job_that_is_not_are_found() {
        assert!(findings(dead(7, false)).contains("quarantined, though it did nothing"));
        let mut escaped = succeeded(7, Vec::new());
        escaped.poison = true;
        assert!(findings(escaped).contains("was not quarantined"));
    }
}
