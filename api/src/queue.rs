//! Queues.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::job::JobId;

/// How many jobs are in each unfinished state, and dead.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
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
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[schema(as = QueueView)]
pub struct Queue {
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

/// Which dead jobs are meant.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(bound = "")]
pub struct Selection<I = JobId> {
    /// These; all if absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(max_items = 10000, value_type = Option<Vec<String>>)]
    pub ids: Option<Vec<I>>,
}

/// How many dead jobs were replayed or deleted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Changed {
    /// How many.
    pub count: u64,
}

/// Whether claiming from a queue is stopped.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Paused {
    /// Whether claiming is stopped.
    pub paused: bool,
    /// Whether this request changed it.
    pub changed: bool,
}
