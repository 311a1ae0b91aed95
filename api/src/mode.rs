//! Which services are mock and which are real.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::time::Timestamp;

/// A switch between mock and real.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ModeRequest {
    /// What to switch to.
    pub mode: Mode,
    /// The service; all that can be switched if absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Switchable>)]
    pub service: Option<String>,
    /// Why, for those who look later.
    #[serde(default)]
    #[schema(max_length = 500)]
    pub reason: String,
    /// Switches to real although variables are missing.
    #[serde(default)]
    pub force: bool,
}

/// Whether a service is asked for real.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
#[schema(as = ModeName)]
pub enum Mode {
    /// A stand-in answers; nothing leaves the system.
    Mock,
    /// The service itself answers.
    Real,
}

impl Mode {
    /// Both.
    pub const ALL: [Self; 2] = [Self::Mock, Self::Real];

    /// As it is written.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Mock => "mock",
            Self::Real => "real",
        }
    }
}

/// A service that has a mock.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Switchable {
    /// Texts.
    Ai,
    /// Pictures.
    Images,
    /// Payments.
    Payments,
    /// Shops that products are put into.
    Publication,
    /// E-mails.
    Email,
    /// Pages of shops.
    Scraping,
    /// Backups.
    Backup,
    /// Monitoring.
    Monitoring,
}

/// What is in force.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ModeReport {
    /// `mock`, `real`, or `mixed`; of the services that can be switched.
    #[schema(value_type = String)]
    pub mode: Cow<'static, str>,
    /// Each service.
    pub services: Vec<ServiceMode>,
    /// The last switches, newest first.
    pub changes: Vec<Change>,
}

/// What is in force for one service.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ServiceMode {
    /// Its name.
    #[schema(value_type = String)]
    pub service: Cow<'static, str>,
    /// Whether it is asked for real.
    pub mode: Mode,
    /// What decided it: a `switch`, the `variables`, or it is `fixed`, because the service has no mock.
    #[schema(value_type = String)]
    pub decided_by: Cow<'static, str>,
    /// When it was switched; null when it was not.
    #[schema(value_type = Option<String>, format = DateTime)]
    pub since: Option<Timestamp>,
    /// The subject of the token that switched it.
    pub by: Option<String>,
    /// Why it was switched.
    pub reason: Option<String>,
    /// Variables that it needs to be real and has not.
    #[schema(value_type = Vec<String>)]
    pub missing: Vec<Cow<'static, str>>,
    /// Whether everything is there that it needs to be real.
    pub configured: bool,
}

/// One switch.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Change {
    /// When.
    #[schema(value_type = String, format = DateTime)]
    pub at: Timestamp,
    /// Null: all services.
    pub service: Option<String>,
    /// What it was switched to.
    pub mode: Mode,
    /// The subject of the token.
    pub by: String,
    /// Why.
    pub reason: String,
}
