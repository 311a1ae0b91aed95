//! What can go wrong at an outside service, sorted by what follows from it.

use std::time::Duration;

use services::Secrets;

use crate::wait;

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
    /// The service works, and asks to try this input later: greylisting, a full mailbox.
    #[error("{service}: {message}")]
    Deferred {
        /// Who asked.
        service: &'static str,
        /// For which input, and why.
        message: String,
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
    /// It must not be asked for, so nobody was: that says nothing of any provider.
    #[error("{service}: {message}")]
    Forbidden {
        /// The service.
        service: &'static str,
        /// What is not asked for, and why.
        message: String,
    },
    /// This provider cannot do it as it was asked, which says nothing of the input: another provider may, or a stand-in.
    #[error("{service}: {message}")]
    Unable {
        /// Who refused.
        service: &'static str,
        /// What it said.
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
    /// Nothing was asked, and nothing is wrong with the input: it shall wait.
    #[error("{service}: {message}")]
    Held {
        /// The service.
        service: &'static str,
        /// What it waits for.
        hold: Hold,
        /// The same for people, with its reason.
        message: String,
        /// When it may be worth asking.
        retry_in: Duration,
    },
    /// It may have been done or not: look it up before repeating.
    #[error("{service}: {message}")]
    UnknownOutcome {
        /// Who.
        service: &'static str,
        /// What was under way.
        message: String,
    },
    /// The same, and the service answers every repetition as it did: it is no longer under way. Look it up; what was not done is done under
    /// another name.
    #[error("{service}: {message}")]
    StoredFailure {
        /// Who.
        service: &'static str,
        /// What was under way.
        message: String,
    },
}

/// Why nothing was asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Hold {
    /// The service has failed too often, or its account is unusable.
    BreakerOpen,
    /// Its limit is reached, or it asked for a wait.
    Limit,
    /// Others are ahead, where one is asked for after the other.
    Turn,
    /// The tenant has spent its money of the day.
    SpendingCap,
    /// The mode was switched to real without the variables.
    NotConfigured,
}

impl Hold {
    /// A stable code for the attempt's error.
    #[must_use]
    pub fn code(self) -> &'static str {
        match self {
            Self::BreakerOpen => "breaker_open",
            Self::Limit | Self::Turn => "rate_limited",
            Self::SpendingCap => "spending_cap",
            Self::NotConfigured => "not_configured",
        }
    }
}

impl ProviderError {
    /// The same without secrets in its message.
    #[must_use]
    pub fn redacted(mut self, secrets: &Secrets) -> Self {
        let message = self.message();
        *message = secrets.redact(std::mem::take(message));
        self
    }

    /// The same with the wait that the service asked for kept within what is sensible, whoever read it.
    #[must_use]
    pub(crate) fn bounded(mut self) -> Self {
        if let Self::Transient { retry_after: Some(asked), .. } | Self::RateLimited { retry_after: Some(asked), .. } =
            &mut self
        {
            *asked = wait::bounded(*asked);
        }
        self
    }

    /// The same with what those said who were asked before.
    #[must_use]
    pub(crate) fn after(mut self, reasons: &[String]) -> Self {
        if !reasons.is_empty() {
            let message = self.message();
            message.push_str("; before: ");
            message.push_str(&reasons.join("; "));
        }
        self
    }

    fn message(&mut self) -> &mut String {
        let (Self::Transient { message, .. }
        | Self::Deferred { message, .. }
        | Self::RateLimited { message, .. }
        | Self::Rejected { message, .. }
        | Self::Forbidden { message, .. }
        | Self::Unable { message, .. }
        | Self::Misconfigured { message, .. }
        | Self::UnknownOutcome { message, .. }
        | Self::StoredFailure { message, .. }
        | Self::Held { message, .. }) = self;
        message
    }

    /// A stable code for the attempt's error.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::Transient { .. } => "provider_unavailable",
            Self::Deferred { .. } => "deferred",
            Self::RateLimited { .. } => "rate_limited",
            Self::Rejected { .. } | Self::Forbidden { .. } => "provider_rejected",
            Self::Unable { .. } => "provider_unable",
            Self::Misconfigured { .. } => "provider_misconfigured",
            Self::UnknownOutcome { .. } | Self::StoredFailure { .. } => "unknown_outcome",
            Self::Held { hold, .. } => hold.code(),
        }
    }

    /// Whether this input can never succeed.
    #[must_use]
    pub fn is_final(&self) -> bool {
        matches!(self, Self::Rejected { .. } | Self::Forbidden { .. })
    }

    /// The wait that the service asked for.
    #[must_use]
    pub(crate) fn asks_to_wait(&self) -> Option<Duration> {
        match self {
            Self::RateLimited { retry_after, .. } | Self::Transient { retry_after, .. } => *retry_after,
            _ => None,
        }
    }

    /// Whether another way to the same answer may be taken now. Not around a wait that was asked for.
    #[must_use]
    pub(crate) fn leaves_other_ways(&self, last_attempt: bool) -> bool {
        match self {
            Self::RateLimited { .. } | Self::Transient { retry_after: Some(_), .. } => false,
            error => error.passes_on(last_attempt),
        }
    }

    /// Whether another provider may stand in now. Never for an input that no provider would take, for a write that may already
    /// have happened, and where waiting a while is all that is needed.
    #[must_use]
    pub fn passes_on(&self, last_attempt: bool) -> bool {
        match self {
            Self::Rejected { .. }
            | Self::Forbidden { .. }
            | Self::UnknownOutcome { .. }
            | Self::StoredFailure { .. }
            | Self::Held { hold: Hold::Limit | Hold::Turn, .. } => false,
            Self::Misconfigured { .. } | Self::Unable { .. } | Self::Held { .. } => true,
            Self::Transient { .. } | Self::Deferred { .. } | Self::RateLimited { .. } => last_attempt,
        }
    }
}
