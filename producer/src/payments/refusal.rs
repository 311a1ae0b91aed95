//! What is answered when Stripe does not do what it is asked.

use std::time::Duration;

use providers::{ProviderError, payments::Declined};

use crate::answer::{Problem, Type};

/// A request is answered within this time, however many calls it makes, and whatever Stripe does.
const TIME: Duration = Duration::from_secs(25);

/// Does what is asked for within the time that a request has.
pub(crate) async fn in_time<T>(work: impl Future<Output = Result<T, Problem>>) -> Result<T, Problem> {
    let too_late = |_| {
        tracing::warn!("stripe takes longer than a request may");
        let detail = "stripe takes too long: send this again with the same Idempotency-Key, if it has one, and nothing is done twice";
        Err(Problem::new(Type::VendorUnavailable, detail))
    };
    tokio::time::timeout(TIME, work).await.unwrap_or_else(too_late)
}

/// What an error of Stripe, or of the mock, means for whoever asked.
pub(super) fn problem(error: &ProviderError) -> Problem {
    match error {
        ProviderError::Rejected { message, .. } | ProviderError::Forbidden { message, .. } => {
            Problem::new(Type::Conflict, format!("stripe refuses it: {message}"))
        }
        // What is wrong with our account is told to operators, not to whoever asked.
        ProviderError::Misconfigured { .. } | ProviderError::Unable { .. } => {
            tracing::error!(%error, "stripe does not answer as it is set up");
            Problem::new(Type::VendorUnavailable, "payments are not set up as they must be; the log has the reason")
        }
        ProviderError::UnknownOutcome { .. } | ProviderError::StoredFailure { .. } => {
            tracing::warn!(%error, "what became of a call to stripe is not known");
            let detail = "stripe did not say whether it was done: send this again with the same Idempotency-Key, if it has one, and nothing is done twice";
            Problem::new(Type::VendorUnavailable, detail)
        }
        error => {
            tracing::warn!(%error, "stripe cannot be asked");
            Problem::new(
                Type::VendorUnavailable,
                "stripe does not answer at the moment: send this again after a while, and nothing is done twice",
            )
        }
    }
}

/// The bank has said no.
pub(super) fn declined(declined: &Declined) -> Problem {
    let detail = format!(
        "the payment was declined ({}), and nothing was changed: POST /api/payments/portal gives a page for another payment method",
        declined.code
    );
    Problem::new(Type::PaymentFailed, detail)
}

pub(super) fn conflict(detail: impl Into<String>) -> Problem {
    Problem::new(Type::Conflict, detail)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_request_ends_whatever_stripe_does() {
        let began = tokio::time::Instant::now();
        let late = in_time::<()>(std::future::pending()).await.unwrap_err();
        assert_eq!((late.kind(), began.elapsed()), (Type::VendorUnavailable, TIME));
        assert!(!late.is_refusal(), "it may have been done");
        assert_eq!(in_time(async { Ok(7) }).await.ok(), Some(7));
    }
}
