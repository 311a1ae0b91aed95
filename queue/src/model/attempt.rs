//! One run of a job, and how it ended.

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::outcome::Failure;

/// The longest error text that is kept, in characters.
const MESSAGE_KEPT: usize = 2_000;

/// How an attempt ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AttemptOutcome {
    /// Done.
    Succeeded,
    /// Failed; another attempt follows.
    Retry,
    /// Put off without fault. Releases that counted these runs as attempts wrote it; it is read, and never shown or written.
    #[serde(skip_serializing)]
    Snoozed,
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
}

impl AttemptOutcome {
    pub(crate) fn uses_attempt(self) -> bool {
        matches!(self, Self::Retry | Self::TimedOut | Self::Dead | Self::Succeeded)
    }
}

/// Why an attempt failed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AttemptError {
    /// Stable code.
    pub code: String,
    /// Text for people.
    pub message: String,
    /// Equal for errors that differ only in ids, numbers and quoted text.
    pub fingerprint: String,
}

impl From<Failure> for AttemptError {
    fn from(failure: Failure) -> Self {
        let fingerprint = fingerprint(&failure);
        let message = match failure.message.char_indices().nth(MESSAGE_KEPT) {
            Some((end, _)) => format!("{}…", &failure.message[..end]),
            None => failure.message,
        };
        Self { code: failure.code, message, fingerprint }
    }
}

/// 64 bits of a hash over the code and the text without words that hold digits and without quoted parts.
fn fingerprint(failure: &Failure) -> String {
    let unquoted: String = failure.message.split('"').step_by(2).collect();
    let words = unquoted.split_whitespace().filter(|word| !word.contains(|c: char| c.is_ascii_digit()));
    let mut hash = Sha256::new();
    hash.update(&failure.code);
    for word in words {
        hash.update(b" ");
        hash.update(word);
    }
    hex::encode(&hash.finalize()[..8])
}

/// One run of a job, as it is stored.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Attempt {
    #[serde(rename = "n")]
    pub(crate) number: u32,
    #[serde(rename = "w")]
    pub(crate) worker: String,
    #[serde(rename = "s")]
    pub(crate) started_ms: u64,
    #[serde(rename = "f")]
    pub(crate) finished_ms: u64,
    #[serde(rename = "o")]
    pub(crate) outcome: AttemptOutcome,
    #[serde(rename = "e", default, skip_serializing_if = "Option::is_none")]
    pub(crate) error: Option<AttemptError>,
    /// How many steps (see [`super::history::History::steps`]) the job had made before it. Set by [`super::history::History::add`].
    #[serde(rename = "i", default)]
    pub(crate) step: u32,
    /// When someone made the job ready for it. Set by [`super::history::History::add`].
    #[serde(rename = "v", default, skip_serializing_if = "Option::is_none")]
    pub(crate) revived_ms: Option<u64>,
    /// The job was dead after it. Told by the outcome too, but for those that others may follow.
    #[serde(rename = "d", default, skip_serializing_if = "std::ops::Not::not")]
    pub(crate) died: bool,
}
