//! A job and a queue as they are found.

use chrono::{DateTime, Utc};

use super::{
    attempt::{Attempt, AttemptError, AttemptOutcome},
    history::{History, Snoozed},
    id::JobId,
    json::Json,
    outcome::Success,
    record::Options,
    reports::Reports,
    state::{Priority, State},
};

/// A moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Timestamp(DateTime<Utc>);

impl Timestamp {
    /// From Unix milliseconds.
    #[must_use]
    pub fn from_ms(ms: u64) -> Self {
        Self(i64::try_from(ms).ok().and_then(DateTime::from_timestamp_millis).unwrap_or(DateTime::UNIX_EPOCH))
    }

    /// The time.
    #[must_use]
    pub fn time(self) -> DateTime<Utc> {
        self.0
    }

    /// In Unix milliseconds.
    #[must_use]
    pub fn ms(self) -> u64 {
        u64::try_from(self.0.timestamp_millis()).unwrap_or(0)
    }
}

/// One attempt.
#[derive(Debug, Clone, PartialEq)]
pub struct AttemptView {
    /// Counts from 1; a handed back or crashed attempt does not raise it.
    pub number: u32,
    /// Host and process, `host-1/4211`.
    pub worker: String,
    /// When it began.
    pub started_at: Timestamp,
    /// When it ended; absent while it runs.
    pub finished_at: Option<Timestamp>,
    /// How it ended; absent while it runs.
    pub outcome: Option<AttemptOutcome>,
    /// Why it failed.
    pub error: Option<AttemptError>,
    /// Where it stands among the job's events; see [`Trace`].
    pub step: u32,
    /// When someone made the job ready for it.
    pub revived_at: Option<Timestamp>,
    /// Whether the job was dead after it, where the outcome does not tell.
    pub died: bool,
}

impl From<Attempt> for AttemptView {
    fn from(attempt: Attempt) -> Self {
        Self {
            number: attempt.number,
            worker: attempt.worker,
            started_at: Timestamp::from_ms(attempt.started_ms),
            finished_at: Some(Timestamp::from_ms(attempt.finished_ms)),
            outcome: Some(attempt.outcome),
            error: attempt.error,
            step: attempt.step,
            revived_at: attempt.revived_ms.map(Timestamp::from_ms),
            died: attempt.died,
        }
    }
}

/// How often a job was put off without fault: because its service, its account or MongoDB was away, because others ask for the same,
/// or because it was not its turn. These runs are no attempts.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Snoozes {
    /// How often.
    pub count: u32,
    /// Why, the last time: a stable code.
    pub last_code: Option<String>,
    /// When, the last time.
    pub last_at: Option<Timestamp>,
}

impl From<&Snoozed> for Snoozes {
    fn from(snoozed: &Snoozed) -> Self {
        Self {
            count: snoozed.count,
            last_code: Some(snoozed.last_code.clone()),
            last_at: Some(Timestamp::from_ms(snoozed.last_ms)),
        }
    }
}

/// How far a job is, or was when it was last run.
#[derive(Debug, Clone, PartialEq)]
pub struct Progress {
    /// 0 to 100.
    pub percent: u8,
    /// What it is doing.
    pub message: String,
}

/// What only the events of a job need of its record.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Trace {
    /// It had to wait for its time when it was pushed.
    pub(crate) scheduled: bool,
    /// See [`History::steps`].
    pub(crate) steps: u32,
    /// The number of the attempt that runs or would come next.
    pub(crate) next_attempt: u32,
    /// When someone made it ready, if it was not run since.
    pub(crate) revived_at: Option<Timestamp>,
    /// In which step, and when, it was last put off.
    pub(crate) snoozed_at: Option<(u32, Timestamp)>,
    pub(crate) reports: Reports,
    /// When its result was replaced by a better one.
    pub(crate) replaced_at: Option<Timestamp>,
}

impl Trace {
    pub(crate) fn new(options: &Options, history: &History) -> Self {
        Self {
            scheduled: options.run_at_ms.is_some(),
            steps: history.steps,
            next_attempt: history.attempt(),
            revived_at: history.revived_ms.map(Timestamp::from_ms),
            snoozed_at: history.snoozed.as_ref().map(|last| (last.last_step, Timestamp::from_ms(last.last_ms))),
            reports: Reports::default(),
            replaced_at: None,
        }
    }
}

/// A job.
#[derive(Debug, Clone, PartialEq)]
pub struct JobView {
    /// UUIDv7.
    pub id: JobId,
    /// What it does.
    pub kind: String,
    /// Named like the kind.
    pub queue: String,
    /// Whom it belongs to.
    pub tenant: String,
    /// Where it stands.
    pub state: State,
    /// How urgent it is.
    pub priority: Priority,
    /// As it was given. Text when the stored bytes are no JSON.
    pub payload: Json,
    /// The stored record in base64, byte for byte, when it is damaged, or this release cannot read it. Absent otherwise.
    pub record_base64: Option<String>,
    /// As it was given.
    pub metadata: Json,
    /// While it has not ended, no other job of its tenant has this key.
    pub unique_key: Option<String>,
    /// When it was taken.
    pub created_at: Timestamp,
    /// When it may run, or may run again.
    pub run_at: Timestamp,
    /// When its last attempt began.
    pub started_at: Option<Timestamp>,
    /// When it came to an end.
    pub finished_at: Option<Timestamp>,
    /// When it is no longer worth running.
    pub expires_at: Option<Timestamp>,
    /// The attempt that runs, ran last, or comes next.
    pub attempt: u32,
    /// How many attempts may fail.
    pub max_attempts: u32,
    /// How often a worker died with it.
    pub crashes: u32,
    /// How long one attempt may run.
    pub timeout_s: u64,
    /// Absent until a handler reports some.
    pub progress: Option<Progress>,
    /// The last 20.
    pub attempts: Vec<AttemptView>,
    /// How often it was put off.
    pub snoozes: Snoozes,
    /// What came of it, if it succeeded.
    pub success: Option<Success>,
    /// What only its events need.
    pub trace: Trace,
}

impl JobView {
    /// Takes over what was reported of the job. While it runs, what an earlier attempt said of its progress is not shown.
    pub(crate) fn set_reports(&mut self, reports: Option<Reports>) {
        if let Some(reports) = reports {
            self.trace.reports = reports;
        }
        let point = self.trace.reports.point.as_ref();
        let point = point.filter(|point| self.state != State::Running || point.stamp.step == self.trace.steps);
        self.progress = point.map(|point| Progress { percent: point.percent, message: point.message.clone() });
    }
}

/// How many jobs are in each unfinished state, and dead.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Depth {
    /// Wait for a worker.
    pub ready: u64,
    /// Wait for their time.
    pub scheduled: u64,
    /// A worker has them.
    pub running: u64,
    /// Failed and wait for the next attempt.
    pub retrying: u64,
    /// Later nodes of flows.
    pub waiting: u64,
    /// Failed for good.
    pub dead: u64,
}

/// A queue.
#[derive(Debug, Clone, PartialEq)]
pub struct QueueView {
    /// Named like its kind.
    pub name: String,
    /// Whether claiming is stopped.
    pub paused: bool,
    /// Jobs by state.
    pub depth: Depth,
    /// Age of the job that waits longest, in seconds.
    pub oldest_ready_age_s: Option<f64>,
    /// Jobs that came in, a second, over the last minute.
    pub in_per_s: f64,
    /// Jobs that came to an end, a second, over the last minute.
    pub out_per_s: f64,
    /// When the queue is empty if nothing more comes; absent while nothing goes out.
    pub time_to_empty_s: Option<f64>,
    /// Replicas that serve it.
    pub workers: u64,
    /// Why the queue cannot be looked at: something foreign or damaged in its keys. Its numbers are 0 then.
    pub error: Option<String>,
}
