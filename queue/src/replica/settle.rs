//! From the outcome of an attempt to what is written about it. Pure, but for the encoding.

use std::{borrow::Cow, sync::Arc};

use serde_bytes::Bytes;

use super::claimed::Claimed;
use crate::{
    keys::Partition,
    model::{
        attempt::{Attempt, AttemptError, AttemptOutcome},
        decide::{Decision, decide},
        error::Error,
        finished::Finished,
        history::History,
        id::JobId,
        outcome::{Failure, Outcome, Success},
        record::indexed,
        reports::Reports,
        state::State,
    },
    scripts::{
        finish::Ending,
        release::{Release, To},
    },
};

/// How one run of a claimed job ended.
#[derive(Debug, Clone, PartialEq)]
pub enum Verdict {
    /// The handler answered, or failed, or took too long.
    Ran(Outcome),
    /// Someone cancelled it.
    Cancelled,
    /// Its `expires_at` had passed before it was run.
    Expired,
    /// The replica shuts down. `started`: whether the handler had begun.
    HandedBack {
        /// Whether the handler had begun.
        started: bool,
    },
}

/// Written is to be written about one job.
#[derive(Debug)]
pub struct Settlement {
    pub(crate) partition: Arc<Partition>,
    pub(crate) written: Written,
}

#[derive(Debug)]
pub(crate) enum Written {
    End(Ending),
    Release(Release),
}

impl Settlement {
    pub(crate) fn job(&self) -> (JobId, &Arc<str>) {
        match &self.written {
            Written::End(ending) => (ending.id, &ending.claim),
            Written::Release(release) => (release.id, &release.claim),
        }
    }

    /// Where the job goes, for counting.
    pub(crate) fn state(&self) -> &'static str {
        match &self.written {
            Written::End(ending) => ending.state.name(),
            Written::Release(release) => match release.to {
                To::Retrying { .. } => "retrying",
                To::Scheduled { .. } => "scheduled",
                To::Dead => "dead",
                To::Ready | To::Suspect | To::Held | To::Gone => "ready",
                To::Cancelled => "cancelled",
            },
        }
    }

    pub(crate) fn queue(&self) -> &str {
        &self.partition.queue
    }
}

/// Decides what follows from `verdict` for `job`, which this replica (`worker`) ran from `started_ms` to `now_ms`. `keep`: whether
/// finished jobs are kept.
pub(crate) fn settle(
    job: &Claimed,
    verdict: Verdict,
    worker: &str,
    started_ms: u64,
    now_ms: u64,
    jitter: f64,
    keep: bool,
) -> Result<Settlement, Error> {
    // Its last report goes with the settlement, so that whoever sees the end has seen all of it.
    let reports = job.end_of_reports();
    let past = |reports| {
        let mut history = job.history().clone();
        history.due_ms = None;
        let has_past = history != History::default();
        history.reports = reports;
        (history, has_past)
    };
    let attempt = |history: &mut History, outcome, error, died| {
        let number = history.attempt();
        let worker = worker.to_owned();
        let (step, revived_ms) = (0, None);
        history.add(Attempt {
            number,
            worker,
            started_ms,
            finished_ms: now_ms,
            outcome,
            error,
            step,
            revived_ms,
            died,
        });
    };
    let due = |delay: std::time::Duration| now_ms + u64::try_from(delay.as_millis()).unwrap_or(u64::MAX);
    match verdict {
        Verdict::Ran(outcome) => {
            let (next, outcome, error) = decide(outcome, job.history().failures, job.max_attempts(), jitter);
            let next = match next {
                // The common end, which needs no history.
                Decision::Succeeded(success) if job.is_new() => {
                    let run = Some((worker, started_ms));
                    return end(job, State::Succeeded, now_ms, run, Past::New(reports), Some(success), keep);
                }
                next => next,
            };
            let (mut history, has_past) = past(reports);
            if let Some(outcome) = outcome {
                attempt(&mut history, outcome, error, matches!(next, Decision::Dead));
                history.draft = None;
            }
            match next {
                Decision::Succeeded(success) => {
                    let past = Past::of(history, has_past);
                    end(job, State::Succeeded, now_ms, Some((worker, started_ms)), past, Some(success), keep)
                }
                Decision::Retrying { delay } => {
                    history.due_ms = Some(due(delay));
                    release(job, To::Retrying { due_ms: due(delay) }, Some(&history))
                }
                Decision::Scheduled { delay, draft, code } => {
                    history.snooze(&code, now_ms);
                    history.draft = draft.map(|draft| draft.into_bytes().into());
                    history.due_ms = Some(due(delay));
                    release(job, To::Scheduled { due_ms: due(delay) }, Some(&history))
                }
                Decision::Dead => release(job, To::Dead, Some(&history)),
            }
        }
        Verdict::Cancelled => {
            let (mut history, _) = past(reports);
            attempt(&mut history, AttemptOutcome::Cancelled, None, false);
            end(job, State::Cancelled, now_ms, Some((worker, started_ms)), Past::Of(history), None, keep)
        }
        Verdict::Expired => {
            let (history, has_past) = past(reports);
            let past = Past::of(history, has_past);
            end(job, State::Expired, now_ms, None, past, None, keep)
        }
        Verdict::HandedBack { started } => {
            let (mut history, _) = past(reports);
            let to = if job.is_suspect() { To::Suspect } else { To::Ready };
            if started {
                attempt(&mut history, AttemptOutcome::HandedBack, None, false);
            }
            release(job, to, started.then_some(&history))
        }
    }
}

/// After this many crashes a job is dead.
const DEAD_AFTER: u32 = 3;

/// Written follows for a job whose worker died, or let its lease expire. Only a job that is `counted` is blamed.
pub(crate) fn crashed(
    mut history: History,
    claim: &str,
    worker: &str,
    started_ms: u64,
    now_ms: u64,
    counted: bool,
) -> Result<(To, Vec<u8>), Error> {
    let crashes = history.crashes + u32::from(counted);
    let dead = crashes >= DEAD_AFTER;
    let text = if dead {
        format!("its worker died {crashes} times while running it; the last was {worker}")
    } else {
        format!("the worker {worker} died or stopped renewing its lease ({claim})")
    };
    let error = Some(AttemptError::from(Failure::new("worker_died", text)));
    let number = history.attempt();
    let worker = worker.to_owned();
    history.add(Attempt {
        number,
        worker,
        started_ms,
        finished_ms: now_ms,
        outcome: AttemptOutcome::Crashed,
        error,
        step: 0,
        revived_ms: None,
        died: dead,
    });
    history.crashes = crashes;
    let to = match dead {
        true => To::Dead,
        false if history.is_suspect() => To::Suspect,
        false => To::Ready,
    };
    Ok((to, history.encode()?))
}

/// What is kept of how a job came to its end.
enum Past {
    /// Nothing but what its only run has reported.
    New(Option<Reports>),
    Of(History),
}

impl Past {
    fn of(history: History, has_past: bool) -> Self {
        if has_past { Self::Of(history) } else { Self::New(history.reports) }
    }
}

fn end(
    job: &Claimed,
    state: State,
    now_ms: u64,
    run: Option<(&str, u64)>,
    past: Past,
    success: Option<Success>,
    keep: bool,
) -> Result<Settlement, Error> {
    let finished = || {
        let (history, reports) = match past {
            Past::New(reports) => (None, reports),
            Past::Of(history) => (Some(history), None),
        };
        let finished = Finished {
            record: Cow::Borrowed(Bytes::new(job.raw_record())),
            state,
            finished_ms: now_ms,
            started_ms: run.map(|(_, started_ms)| started_ms),
            worker: run.filter(|_| history.is_none()).map(|(worker, _)| worker.to_owned()),
            reports,
            history,
            success: success
                .filter(|success| *success != Success::default())
                .map(|success| success.into_bytes().into()),
            replaced_ms: None,
        };
        finished.encode()
    };
    let finished = if keep { finished()? } else { Vec::new() };
    let tenant = indexed(job.tenant()).map(str::to_owned);
    let ending = Ending { id: job.id(), claim: job.claim().clone(), finished, state, tenant };
    Ok(Settlement { partition: job.partition().clone(), written: Written::End(ending) })
}

fn release(job: &Claimed, to: To, history: Option<&History>) -> Result<Settlement, Error> {
    let history = history.map(History::encode).transpose()?;
    let release = Release { id: job.id(), claim: job.claim().clone(), to, history };
    Ok(Settlement { partition: job.partition().clone(), written: Written::Release(release) })
}
