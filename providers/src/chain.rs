//! The way of every call to an outside service: mode → the real provider with a timeout → the mock.

use std::{sync::Arc, time::Duration};

use futures::future::BoxFuture;

use crate::error::ProviderError;

/// One outside service: the real provider when it is configured and the mode says so, and the mock.
#[derive(Debug)]
pub struct Service<P: ?Sized> {
    name: &'static str,
    real: Option<Arc<P>>,
    mock: Arc<P>,
    timeout: Duration,
}

/// What every provider tells of itself.
pub trait Provider: Send + Sync {
    /// The name that results carry: `openai`, `smtp`, `mock`, …
    fn name(&self) -> &'static str;
}

/// What one job allows.
#[derive(Debug, Clone, Copy)]
pub struct Policy {
    /// Whether the mock may answer when the real provider cannot.
    pub allow_fallback: bool,
    /// Whether this is the last attempt, after which only the mock is left.
    pub last_attempt: bool,
}

/// An answer, and who gave it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer<T> {
    /// What was asked for.
    pub value: T,
    /// Who made it.
    pub provider: &'static str,
    /// Why the real provider did not, when it should have.
    pub degraded_reason: Option<String>,
}

impl<P: Provider + ?Sized> Service<P> {
    /// A service named `name`. `real` is `None` when the mode is mock.
    pub fn new(name: &'static str, real: Option<Arc<P>>, mock: Arc<P>, timeout: Duration) -> Self {
        Self { name, real, mock, timeout }
    }

    /// Whether the real provider answers.
    #[must_use]
    pub fn is_real(&self) -> bool {
        self.real.is_some()
    }

    /// Asks the real provider, or the mock when the mode says so. When the real one cannot answer and the job allows it, the
    /// mock answers at the last attempt, or at once when the account is unusable; such an answer is degraded.
    ///
    /// # Errors
    /// The real provider's, when nothing may stand in for it.
    pub async fn call<'a, T>(
        &'a self,
        policy: Policy,
        ask: impl Fn(&'a P) -> BoxFuture<'a, Result<T, ProviderError>> + Send,
    ) -> Result<Answer<T>, ProviderError> {
        let Some(real) = &self.real else {
            let value = ask(&self.mock).await?;
            return Ok(Answer { value, provider: self.mock.name(), degraded_reason: None });
        };
        let error = match tokio::time::timeout(self.timeout, ask(real)).await {
            Ok(Ok(value)) => return Ok(Answer { value, provider: real.name(), degraded_reason: None }),
            Ok(Err(error)) => error,
            Err(_) => ProviderError::Transient {
                service: self.name,
                message: format!("no answer within {} s", self.timeout.as_secs()),
                retry_after: None,
            },
        };
        let hopeless = policy.last_attempt || matches!(error, ProviderError::Misconfigured { .. });
        if !(policy.allow_fallback && hopeless && error.allows_fallback()) {
            return Err(error);
        }
        tracing::warn!(service = self.name, %error, "the mock stands in");
        let value = ask(&self.mock).await?;
        Ok(Answer { value, provider: self.mock.name(), degraded_reason: Some(error.to_string()) })
    }
}
