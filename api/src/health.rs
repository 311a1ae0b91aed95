//! Whether the API lives, whether it can work, and what is missing.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// How the whole stands.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Health {
    /// How the whole stands, in a word.
    pub status: Standing,
    /// Of this process.
    #[schema(value_type = String)]
    pub version: Cow<'static, str>,
    /// The version of the tables of time zones, such as `2026f`.
    pub tzdata: String,
    /// How Redis answers.
    pub redis: Part,
    /// How MongoDB answers.
    pub mongodb: Part,
    /// Replicas that run jobs; null while Redis is away.
    pub workers: Option<u64>,
}

/// How the whole stands, in a word.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
#[schema(as = Status)]
pub enum Standing {
    /// All is there.
    Ok,
    /// Jobs are taken, but MongoDB or every worker is missing.
    Degraded,
    /// No job is taken: Redis is away, full, or a replica.
    Down,
}

/// How one server answers.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Part {
    /// Whether it answers.
    pub ok: bool,
    /// Null if it does not answer.
    pub latency_ms: Option<f64>,
    /// Why it does not answer.
    pub error: Option<String>,
}

/// Whether the process lives.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Live {
    /// `ok`.
    #[schema(value_type = String)]
    pub status: Cow<'static, str>,
}

/// Whether jobs can be taken and results be shown.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Ready {
    /// Whether both answer.
    pub ready: bool,
    /// How Redis answers.
    pub redis: Part,
    /// How MongoDB answers.
    pub mongodb: Part,
}
