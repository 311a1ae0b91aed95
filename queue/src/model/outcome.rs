//! What a handler answers.

use std::time::Duration;

use serde_json::Value;

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
        draft: Option<Box<Success>>,
    },
    /// It can never succeed.
    Dead(Failure),
}

/// A finished job's answer.
#[derive(Debug, Clone, Default, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct Success {
    /// The result, or a reference to it when it is too large for Redis.
    pub result: Value,
    /// Collection that holds the result when `result` is only a reference (over 4 KB).
    pub stored_in: Option<String>,
    /// Which provider made it.
    pub provider: Option<String>,
    /// Whether a stand-in made it because the real provider could not answer.
    pub degraded: bool,
    /// Why it is degraded.
    pub degraded_reason: Option<String>,
}

/// A larger result stays where it was stored, and Redis keeps the reference; in bytes of JSON.
const MOST_RESULT: usize = 4 * 1024;

impl Success {
    /// As Redis keeps it: a large result is left out, and `collection` named in its place.
    #[must_use]
    pub fn shortened(mut self, collection: &str) -> Self {
        if self.result.to_string().len() > MOST_RESULT {
            self.result = Value::Null;
            self.stored_in = Some(collection.to_owned());
        }
        self
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
