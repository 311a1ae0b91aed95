//! What can go wrong at an outside service, sorted by what follows from it.

use std::time::Duration;

/// Why a provider could not answer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ProviderError {
    /// It may work later: network, timeout before anything was done, 5xx.
    #[error("{service}: {message}")]
    Transient {
        /// Who failed.
        service: &'static str,
        /// What failed, for which input.
        message: String,
        /// The wait that the service asked for.
        retry_after: Option<Duration>,
    },
    /// Too many requests.
    #[error("{service}: {message}")]
    RateLimited {
        /// Who failed.
        service: &'static str,
        /// What failed.
        message: String,
        /// The wait that the service asked for.
        retry_after: Option<Duration>,
    },
    /// This input can never succeed.
    #[error("{service}: {message}")]
    Rejected {
        /// Who refused.
        service: &'static str,
        /// What was refused, and why.
        message: String,
    },
    /// Credentials, quota or plan: nothing works until someone mends the account.
    #[error("{service}: {message}")]
    Misconfigured {
        /// Who refused.
        service: &'static str,
        /// What is wrong with the account.
        message: String,
    },
    /// It may have been done or not: look it up before repeating.
    #[error("{service}: {message}")]
    UnknownOutcome {
        /// Who.
        service: &'static str,
        /// What was under way.
        message: String,
    },
}

impl ProviderError {
    /// A stable code for the attempt's error.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::Transient { .. } => "provider_unavailable",
            Self::RateLimited { .. } => "rate_limited",
            Self::Rejected { .. } => "provider_rejected",
            Self::Misconfigured { .. } => "provider_misconfigured",
            Self::UnknownOutcome { .. } => "unknown_outcome",
        }
    }

    /// Whether another provider may stand in: everything but an input that no provider would take, and a write that may
    /// already have happened.
    #[must_use]
    pub fn allows_fallback(&self) -> bool {
        !matches!(self, Self::Rejected { .. } | Self::UnknownOutcome { .. })
    }
}
