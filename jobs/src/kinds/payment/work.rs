//! What a run works with and answers, and whose objects it may read.

use std::time::Duration;

use providers::payments::is_mock;
use queue::Client;
use serde::Serialize;
use serde_json::Value;
use store::{Moment, Store, StripeEvent, StripeEventState};
use utoipa::ToSchema;

use crate::handler::{Context, JobError};

/// MongoDB being away is no fault of the job.
const AWAY: Duration = Duration::from_secs(5);
/// What came from Stripe is looked at again so much later while payments are switched to the mock.
const WHILE_MOCK: Duration = Duration::from_secs(300);

/// A field that is kept otherwise than before.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct Change {
    /// Its name.
    pub field: String,
    /// What it was.
    pub was: Value,
    /// What it becomes.
    pub becomes: Value,
}

/// What was brought up to date.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, ToSchema)]
pub struct PaymentResult {
    /// Whose subscription it is; `null` when nobody's.
    pub tenant: Option<String>,
    /// Stripe's id of the customer.
    pub customer: Option<String>,
    /// The state of the subscription now.
    pub state: Option<String>,
    /// The plan now.
    pub plan: Option<String>,
    /// What is kept otherwise than before.
    pub changes: Vec<Change>,
    /// How many events were done with it.
    pub events: u64,
    /// How many e-mails were ordered.
    pub mails: u64,
    /// Why nothing was done, or what is to be looked at.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
}

/// What a run works with.
#[derive(Clone, Copy)]
pub(super) struct Work<'a> {
    pub(super) context: &'a Context,
    pub(super) store: &'a Store,
    pub(super) client: &'a Client,
}

impl Work<'_> {
    pub(super) fn now(&self) -> Moment {
        Moment::from_ms(self.client.now_ms())
    }

    /// Nobody but Stripe can tell of what is Stripe's, and nobody but the mock of what is its own.
    pub(super) fn check_mode(&self, id: &str) -> Result<(), JobError> {
        let is_real = self.context.providers.payments.is_real();
        match (is_real, is_mock(id)) {
            (true, false) | (false, true) => Ok(()),
            (true, true) => {
                let message = format!("{id} is the mock's, and payments are real");
                Err(JobError::Fatal { code: "mock_object", message })
            }
            (false, false) => {
                let message = format!("{id} is stripe's, and payments are mock: it waits until they are real again");
                Err(JobError::Snooze { code: "mock_mode", message, after: WHILE_MOCK })
            }
        }
    }

    pub(super) async fn settle(
        &self,
        events: &[StripeEvent],
        state: StripeEventState,
        reason: Option<&str>,
    ) -> Result<(), JobError> {
        let ids: Vec<String> = events.iter().map(|event| event.id.clone()).collect();
        self.store.settle_stripe_events(&ids, state, reason, self.now()).await.map_err(away)
    }
}

/// What cannot be read stays so until somebody looks at it; MongoDB comes back.
#[expect(clippy::needless_pass_by_value, reason = "what is left of the error is its words")]
pub(super) fn away(error: store::Error) -> JobError {
    let message = error.to_string();
    match error.is_unreadable() {
        true => JobError::Retry { code: "unreadable", message, after: None },
        false => JobError::Snooze { code: "away", message, after: AWAY },
    }
}
