//! A job, as it is answered.

use std::{borrow::Cow, fmt};

use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::ToSchema;
use uuid::Uuid;

use crate::time::Timestamp;

/// The id of a job.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, ToSchema)]
#[serde(transparent)]
#[schema(value_type = String, format = Uuid)]
pub struct JobId(pub Uuid);

impl fmt::Display for JobId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// How urgent a job is. Strict, but every 16th claim starts from the lowest.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Priority {
    /// Before all others.
    High,
    /// The default.
    Normal,
    /// After normal.
    Low,
    /// When nothing else waits.
    Bulk,
}

impl Priority {
    /// All of them, most urgent first.
    pub const ALL: [Self; 4] = [Self::High, Self::Normal, Self::Low, Self::Bulk];

    /// As it is written.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::High => "high",
            Self::Normal => "normal",
            Self::Low => "low",
            Self::Bulk => "bulk",
        }
    }
}

/// The state of a job.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum State {
    /// Waits for its time.
    Scheduled,
    /// Waits for a worker.
    Ready,
    /// A worker has it.
    Running,
    /// Failed, and waits for its next attempt.
    Retrying,
    /// A later node of a flow.
    Waiting,
    /// Done.
    Succeeded,
    /// Failed for good; can be replayed.
    Dead,
    /// Stopped by someone.
    Cancelled,
    /// Its `expires_at` passed before it was run.
    Expired,
    /// One that only a newer release knows. It is read, and never written.
    #[serde(other, skip_serializing)]
    Unknown,
}

impl State {
    /// Whether the job has come to an end.
    #[must_use]
    pub fn is_finished(self) -> bool {
        matches!(self, Self::Succeeded | Self::Dead | Self::Cancelled | Self::Expired)
    }

    /// As it is written.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Scheduled => "scheduled",
            Self::Ready => "ready",
            Self::Running => "running",
            Self::Retrying => "retrying",
            Self::Waiting => "waiting",
            Self::Succeeded => "succeeded",
            Self::Dead => "dead",
            Self::Cancelled => "cancelled",
            Self::Expired => "expired",
            Self::Unknown => "unknown",
        }
    }
}

/// How an attempt ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum AttemptOutcome {
    /// Done.
    Succeeded,
    /// Failed; another attempt follows.
    Retry,
    /// Failed for good.
    Dead,
    /// Stopped by someone.
    Cancelled,
    /// Ran longer than its timeout.
    TimedOut,
    /// Its worker died, or lost the lease.
    Crashed,
    /// Its worker shut down.
    HandedBack,
    /// One that only a newer release knows. It is read, and never written.
    #[serde(other, skip_serializing)]
    Unknown,
}

impl AttemptOutcome {
    /// As it is written.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Succeeded => "succeeded",
            Self::Retry => "retry",
            Self::Dead => "dead",
            Self::Cancelled => "cancelled",
            Self::TimedOut => "timed_out",
            Self::Crashed => "crashed",
            Self::HandedBack => "handed_back",
            Self::Unknown => "unknown",
        }
    }
}

/// Why an attempt failed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct AttemptError {
    /// Stable code.
    pub code: String,
    /// Text for people.
    pub message: String,
    /// Equal for errors that differ only in ids, numbers and quoted text.
    pub fingerprint: String,
}

/// One attempt.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[schema(as = AttemptView)]
pub struct Attempt {
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
}

/// How often a job was put off without fault: because its service, its account or MongoDB was away, because others ask for the same,
/// or because it was not its turn. These runs are no attempts.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Snoozes {
    /// How often.
    pub count: u32,
    /// Why, the last time: a stable code.
    pub last_code: Option<String>,
    /// When, the last time.
    pub last_at: Option<Timestamp>,
}

/// How far a job is, or was when it was last run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Progress {
    /// 0 to 100.
    pub percent: u8,
    /// What it is doing.
    pub message: String,
}

/// A job as the API answers it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[schema(as = JobAnswer, bound = "")]
pub struct Job<G = Value> {
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
    #[schema(value_type = Value)]
    pub payload: G,
    /// The stored record in base64, byte for byte, when it is damaged, or this release cannot read it. Absent otherwise.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub record_base64: Option<String>,
    /// As it was given.
    #[schema(value_type = Map<String, Value>)]
    pub metadata: G,
    /// While it has not ended, no other job of its tenant has this key.
    pub unique_key: Option<String>,
    /// `fast`: in Redis.
    #[schema(value_type = String)]
    pub durability: Cow<'static, str>,
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
    pub attempts: Vec<Attempt>,
    /// How often it was put off.
    pub snoozes: Snoozes,
    /// Which provider made the result.
    pub provider: Option<String>,
    /// Whether a stand-in made it.
    pub degraded: bool,
    /// Why a stand-in made it.
    pub degraded_reason: Option<String>,
    /// The result of a job that succeeded.
    pub result: Option<Value>,
    /// Not built yet: always absent.
    pub estimated_start_at: Option<Timestamp>,
    /// Where to go on.
    pub links: Links,
    /// The collection of its result, which whoever answers it still has to fetch. It is not part of the answer.
    #[serde(skip)]
    pub stored_in: Option<String>,
}

/// Where to go on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Links {
    /// The job itself.
    #[serde(rename = "self")]
    pub itself: String,
    /// What happens to it, as server-sent events.
    pub events: String,
}

impl Links {
    /// Those of the job `id`.
    #[must_use]
    pub fn of(id: JobId) -> Self {
        // Of a page of jobs, formatting them would be a good part.
        let mut text = Uuid::encode_buffer();
        let itself = ["/api/jobs/", id.0.hyphenated().encode_lower(&mut text)].concat();
        Self { events: [&itself, "/events"].concat(), itself }
    }
}

/// A page of jobs.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[schema(bound = "")]
pub struct JobPage<G = Value> {
    /// Newest first within a state. There may be fewer than `limit`, or none, although more follow.
    #[schema(value_type = Vec<Job>)]
    pub items: Vec<Job<G>>,
    /// Pass it as `cursor`, with the same filters, to get the next page; null on the last.
    pub next_cursor: Option<String>,
}

/// A page of dead jobs.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[schema(bound = "")]
pub struct DeadPage<G = Value> {
    /// Newest first.
    #[schema(value_type = Vec<Job>)]
    pub items: Vec<Job<G>>,
    /// Pass it as `cursor` to get the next page; null on the last.
    pub next_cursor: Option<String>,
}

#[cfg(test)]
mod tests {
    use serde_json::json;
    use utoipa::PartialSchema;

    use super::*;

    #[test]
    fn a_name_that_only_a_newer_release_knows_is_read_and_not_in_the_document() {
        assert_eq!(serde_json::from_value::<State>(json!("frozen")).unwrap(), State::Unknown);
        assert_eq!(serde_json::from_value::<AttemptOutcome>(json!("snoozed")).unwrap(), AttemptOutcome::Unknown);
        let names = |schema| serde_json::to_value(schema).unwrap()["enum"].clone();
        let outcomes = ["succeeded", "retry", "dead", "cancelled", "timed_out", "crashed", "handed_back"];
        assert_eq!(names(AttemptOutcome::schema()), json!(outcomes), "a snooze is none");
        assert_eq!(names(State::schema()).as_array().unwrap().len(), 9);
    }

    #[test]
    fn names_are_those_that_are_written() {
        for state in names_of(&State::schema()) {
            assert_eq!(serde_json::from_value::<State>(json!(state)).unwrap().name(), state);
        }
        for outcome in names_of(&AttemptOutcome::schema()) {
            assert_eq!(serde_json::from_value::<AttemptOutcome>(json!(outcome)).unwrap().name(), outcome);
        }
    }

    fn names_of(schema: &impl Serialize) -> Vec<String> {
        serde_json::from_value(serde_json::to_value(schema).unwrap()["enum"].clone()).unwrap()
    }
}
