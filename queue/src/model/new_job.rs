//! A job to push.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::{json::Json, state::Priority};

/// A job to push.
#[derive(Debug, Clone)]
pub struct NewJob {
    /// The kind, which is also the queue.
    pub kind: String,
    /// Who it belongs to.
    pub tenant: String,
    /// The payload as JSON text, at most 1 MB.
    pub payload: Vec<u8>,
    /// How urgent it is.
    pub priority: Priority,
    /// Not before this time, in Unix milliseconds. Past or absent: now.
    pub run_at_ms: Option<u64>,
    /// Not after this time, in Unix milliseconds.
    pub expires_at_ms: Option<u64>,
    /// Overrides the kind's default.
    pub max_attempts: Option<u32>,
    /// Overrides the kind's default.
    pub timeout_s: Option<u64>,
    /// Overrides the kind's default.
    pub allow_fallback: Option<bool>,
    /// Whatever the caller wants to find again, at most 16 KB.
    pub metadata: Json,
    /// W3C trace context of the caller.
    pub traceparent: Option<String>,
    /// That it shall be the only one of its key: for [`crate::Client::submit`].
    pub unique: Option<Unique>,
}

impl NewJob {
    /// A job of `kind` for the tenant `default`, at once, with the kind's defaults.
    pub fn new(kind: impl Into<String>, payload: impl Into<Vec<u8>>) -> Self {
        Self {
            kind: kind.into(),
            tenant: DEFAULT_TENANT.to_owned(),
            payload: payload.into(),
            priority: Priority::default(),
            run_at_ms: None,
            expires_at_ms: None,
            max_attempts: None,
            timeout_s: None,
            allow_fallback: None,
            metadata: Json::from(Value::Object(Map::new())),
            traceparent: None,
            unique: None,
        }
    }
}

/// The tenant of a token that names none.
pub const DEFAULT_TENANT: &str = "default";

/// What a push does when another job holds its key.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OnConflict {
    /// Answers with the job that holds the key.
    #[default]
    ReturnExisting,
    /// Cancels the job that holds the key and takes its place; refused while it runs.
    Replace,
    /// Is refused.
    Reject,
}

/// That a job shall be the only one of its key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unique {
    /// The key, within the tenant.
    pub key: String,
    /// Hold the key for so long from now, whether the job has ended or not, and also when it is kept no longer. Absent: until it has
    /// ended.
    pub hold: Option<Duration>,
    /// What to do when another job holds the key.
    pub on_conflict: OnConflict,
}
