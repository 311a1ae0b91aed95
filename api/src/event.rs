//! What happens to a job, as its stream tells it.

use serde::{Serialize, Serializer};
use utoipa::ToSchema;

use crate::{
    job::{JobId, State},
    time::Timestamp,
};

/// An event of a job: its name, and its data. Written, it is the data alone, whose members are in the order of their names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum JobEvent {
    /// The job has come into a state.
    State(StateChange),
    /// How far the job is.
    Progress(ProgressReport),
    /// A line that the job's handler wrote.
    Log(LogLine),
    /// The job has come to an end.
    End(End),
    /// A real provider's result has taken the place of a stand-in's.
    Replaced(Replacement),
}

impl JobEvent {
    /// Every name, and the schema of its data.
    pub const ALL: [(&str, &str); 5] = [
        ("state", "StateChange"),
        ("progress", "ProgressReport"),
        ("log", "LogLine"),
        ("end", "End"),
        ("replaced", "Replacement"),
    ];

    /// Its name.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Self::State(_) => "state",
            Self::Progress(_) => "progress",
            Self::Log(_) => "log",
            Self::End(_) => "end",
            Self::Replaced(_) => "replaced",
        }
    }
}

impl Serialize for JobEvent {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::State(data) => data.serialize(serializer),
            Self::Progress(data) => data.serialize(serializer),
            Self::Log(data) => data.serialize(serializer),
            Self::End(data) => data.serialize(serializer),
            Self::Replaced(data) => data.serialize(serializer),
        }
    }
}

/// Data of the event `state`: the job has come into a state.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct StateChange {
    /// When; null where that is not known.
    pub at: Option<Timestamp>,
    /// The number of the attempt.
    pub attempt: u32,
    /// The job.
    pub job: JobId,
    /// The state.
    pub state: State,
}

/// Data of the event `progress`: how far the job is. Each takes the place of the one before.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct ProgressReport {
    /// When.
    pub at: Timestamp,
    /// The number of the attempt.
    pub attempt: u32,
    /// The job.
    pub job: JobId,
    /// What the handler said.
    pub message: String,
    /// 0 to 100.
    #[schema(maximum = 100)]
    pub percent: u8,
}

/// Data of the event `log`: a line that the job's handler wrote.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct LogLine {
    /// When.
    pub at: Timestamp,
    /// The number of the attempt.
    pub attempt: u32,
    /// The job.
    pub job: JobId,
    /// What the handler said.
    pub message: String,
}

/// Data of the event `end`: the job has come to an end, and the stream ends too.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct End {
    /// When; null where that is not known.
    pub at: Option<Timestamp>,
    /// The job.
    pub job: JobId,
    /// The state.
    pub state: State,
}

/// Data of the event `replaced`: a real provider's result has taken the place of a stand-in's.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct Replacement {
    /// When.
    pub at: Timestamp,
    /// The job.
    pub job: JobId,
    /// Which provider made the new result.
    pub provider: Option<String>,
}
