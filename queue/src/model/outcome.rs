//! What a handler answers.

use std::time::Duration;

/// What came of one attempt.
#[derive(Debug, Clone, PartialEq)]
pub enum Outcome {
    /// The work is done and its result is stored.
    Done(Success),
    /// It failed and may succeed later; uses up an attempt.
    Retry {
        /// What failed.
        error: Failure,
        /// When the service asked for a wait, that wait; otherwise backoff decides.
        after: Option<Duration>,
    },
    /// It could not be tried, or not finished, through no fault of its own; uses no attempt.
    Snooze {
        /// Why.
        error: Failure,
        /// How long to wait: at least a second, and an hour at most.
        after: Duration,
        /// Work that is done but could not be stored: handed to the next attempt, which then only stores it.
        draft: Option<Success>,
    },
    /// It can never succeed.
    Dead(Failure),
}

/// What came of a job that succeeded: whatever its runner wants to be kept with it. The queue does not read it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Success(Vec<u8>);

impl Success {
    /// With these bytes; none: nothing is kept.
    #[must_use]
    pub fn new(bytes: Vec<u8>) -> Self {
        Self(bytes)
    }

    /// The bytes.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// The bytes.
    #[must_use]
    pub fn into_bytes(self) -> Vec<u8> {
        self.0
    }
}

/// Why an attempt failed: a stable code and a text for people.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    /// Stable, snake case: `rate_limited`, `invalid_payload`, `panic`, …
    pub code: String,
    /// What failed, for which input.
    pub message: String,
}

impl Failure {
    /// A failure with this code and text.
    pub fn new(code: impl Into<String>, message: impl Into<String>) -> Self {
        Self { code: code.into(), message: message.into() }
    }
}

/// The code of an attempt that ran into its timeout.
pub const TIMED_OUT: &str = "timed_out";
