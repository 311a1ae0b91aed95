//! Where a job stands, and how urgent it is.

use serde::{Deserialize, Serialize};

/// How urgent a job is. Strict, but every 16th claim starts from the lowest.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Priority {
    /// Before all others.
    High,
    /// The default.
    #[default]
    Normal,
    /// After normal.
    Low,
    /// When nothing else waits.
    Bulk,
}

impl Priority {
    /// All of them, most urgent first.
    pub const ALL: [Self; 4] = [Self::High, Self::Normal, Self::Low, Self::Bulk];

    pub(crate) fn from_byte(byte: u8) -> Option<Self> {
        Self::ALL.get(usize::from(byte)).copied()
    }
}

/// The state of a job.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
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
}

impl State {
    /// Whether the job has come to an end.
    #[must_use]
    pub fn is_finished(self) -> bool {
        matches!(self, Self::Succeeded | Self::Dead | Self::Cancelled | Self::Expired)
    }

    /// Its name in the API.
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
        }
    }
}
