//! How each service stands.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::{store::StoresOf, time::Timestamp};

/// How all services stand.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct StatusReport {
    /// `mock`, `real`, or `mixed`; of the services that can be switched.
    #[schema(value_type = String, example = "mixed")]
    pub mode: Cow<'static, str>,
    /// Each service.
    pub services: Vec<ServiceStatus>,
}

/// How a service stands.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct ServiceStatus {
    /// Its name.
    #[schema(value_type = String, example = "email")]
    pub service: Cow<'static, str>,
    /// `mock` or `real`. Services without a mock are always real.
    #[schema(value_type = String, example = "real")]
    pub mode: Cow<'static, str>,
    /// Whether everything is there that it needs to be real.
    pub configured: bool,
    /// Variables that it needs and has not.
    #[schema(value_type = Vec<String>)]
    pub missing: Vec<Cow<'static, str>>,
    /// Variables whose values cannot be right.
    #[schema(value_type = Vec<String>)]
    pub malformed: Vec<Cow<'static, str>>,
    /// What is wrong with the malformed ones, a sentence each.
    pub hints: Vec<String>,
    /// How bad it is when it is away, from `P0` (critical) to `P2`.
    #[schema(value_type = String, example = "P1")]
    pub risk: Cow<'static, str>,
    /// What is lost while it is down.
    #[schema(value_type = String, example = "notifications are late")]
    pub risk_text: Cow<'static, str>,
    /// The last one; null when there is none: not real, not configured, not asked yet, or it cannot be asked for free.
    pub probe: Option<Probe>,
    /// `closed`, `open` or `half_open`; null for a service that is not called through one, and while Redis is away.
    #[schema(value_type = Option<String>, example = "closed")]
    pub breaker: Option<Cow<'static, str>>,
    /// Why calls are held back; null while they go through. Details only with the scope `admin`.
    pub breaker_reason: Option<String>,
    /// Of the calls of the last hour, those that were answered, 0 to 1; null when there were none.
    pub success_rate_1h: Option<f64>,
    /// Calls of the last hour; null as the breaker is.
    pub calls_1h: Option<u64>,
    /// Results of stand-ins that wait to be replaced; null for a service without one, and while MongoDB is away.
    pub degraded_waiting: Option<u64>,
    /// Of `publication`: the tenants' stores; null for other services, and while MongoDB is away.
    pub stores: Option<StoresOf>,
}

/// Whether a service answered.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Probe {
    /// Whether it answered.
    pub ok: bool,
    /// Null if it did not answer.
    pub latency_ms: Option<f64>,
    /// When it was asked.
    #[schema(value_type = String, format = DateTime)]
    pub at: Timestamp,
    /// Why it did not answer.
    pub error: Option<String>,
}
