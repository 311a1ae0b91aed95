//! Brings what is kept of a tenant's subscription up to date: by an event of Stripe, or when somebody asks for it.
//!
//! An event only says that something happened to a customer. What the customer has now is read from Stripe, and that answers all events of
//! this customer that wait at the same time: their jobs find them done, and call nobody. What is to be mailed goes into the outbox under names
//! that are fixed by what it is about, before the events are done; so a kill anywhere leaves what is to be repeated, and no mail goes twice.

mod mails;
mod reread;
mod shelf;
mod work;

use api::FieldError;
use queue::{ConcurrencyKey, Job};
use serde::{Deserialize, Serialize};
use serde_json::json;
use services::Name;
use store::{Moment, OutboxEntry, StripeEvent, StripeEventState};
use utoipa::ToSchema;

pub(crate) use mails::trial_name;
pub use reread::{KeptNow, Read, ReadError, Reading};
pub(crate) use reread::{changes, readable};
pub use shelf::MockShelf;
pub use work::{Change, PaymentResult};
use work::{Work, away};

use crate::{
    handler::{Context, Done, Handler, JobError},
    payments::{mode_of, stored_event},
};

/// What shall be brought up to date. Only operators may push it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Payment {
    /// Stripe's id of an event.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(min_length = 1, max_length = 255, example = "evt_1NG8Du2eZvKYlo2CUI79vXWy")]
    pub event: Option<String>,
    /// Stripe's id of a customer; beside `event` it only says whose jobs are run one after the other.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(min_length = 1, max_length = 255, example = "cus_NffrFeUfNV2Hib")]
    pub customer: Option<String>,
    /// A tenant that has subscribed before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(min_length = 1, max_length = 100, example = "acme")]
    pub tenant: Option<String>,
}

impl Payment {
    /// The job that reads a customer again, for [`store::Store::put_outbox`]. `why` and `at` are the same for the same occasion: one job is
    /// pushed for it.
    #[must_use]
    pub fn reread(customer: &str, why: &str, at: Moment, now: Moment) -> OutboxEntry {
        let payload = json!({ "customer": customer }).to_string();
        let name = format!("payment/reread/{customer}/{why}");
        OutboxEntry::new(name, Self::KIND, queue::DEFAULT_TENANT, payload, at, now)
    }

    /// The same by the tenant's name, for what is kept and cannot be read.
    #[must_use]
    pub fn reread_tenant(tenant: &str, why: &str, at: Moment, now: Moment) -> OutboxEntry {
        let payload = json!({ "tenant": tenant }).to_string();
        let name = format!("payment/reread_tenant/{tenant}/{why}");
        OutboxEntry::new(name, Self::KIND, queue::DEFAULT_TENANT, payload, at, now)
    }
}

impl Job for Payment {
    const KIND: &'static str = "payment";
    const MAX_ATTEMPTS: u32 = 10;
    const TIMEOUT_S: u64 = 30;
    const CONCURRENCY: usize = 4;
}

impl Handler for Payment {
    type Output = PaymentResult;
    const COLLECTION: &'static str = "payments";
    const SERVICE: Option<Name> = Some(Name::Payments);
    const FOR_OPERATORS: bool = true;

    fn check(&self) -> Vec<FieldError> {
        match (&self.event, &self.customer, &self.tenant) {
            (None, None, None) => vec![FieldError::new("/event", "is required without customer and tenant")],
            (_, Some(_), Some(_)) | (Some(_), _, Some(_)) => {
                vec![FieldError::new("/tenant", "cannot be given together with event or customer")]
            }
            _ => Vec::new(),
        }
    }

    async fn concurrency_key(&self, _context: &Context) -> Result<Option<ConcurrencyKey>, JobError> {
        // Whoever's job it is: the customer is one.
        Ok(self.customer.as_ref().map(|customer| ConcurrencyKey::of_all(format!("payment/{customer}"))))
    }

    async fn run(self, context: &Context) -> Result<Done<PaymentResult>, JobError> {
        let (Some(store), Some(client)) = (&context.store, &context.client) else {
            return Err(JobError::Fatal { code: "no_store", message: "payments need redis and mongodb".to_owned() });
        };
        let work = Work { context, store, client };
        let result = match (self.event, self.customer, self.tenant) {
            (Some(event), ..) => work.event(&event).await?,
            (None, Some(customer), _) => work.customer(&customer).await?,
            (None, None, Some(tenant)) => work.tenant(&tenant).await?,
            (None, None, None) => PaymentResult::default(),
        };
        let provider = if context.providers.payments.is_real() { "stripe" } else { "mock" };
        Ok(Done { result, provider: Some(provider), degraded_reason: None })
    }
}

impl Work<'_> {
    async fn event(&self, id: &str) -> Result<PaymentResult, JobError> {
        let event = match self.store.stripe_event(id).await.map_err(away)? {
            Some(event) => event,
            None => self.fetch(id).await?,
        };
        let noted = |note: String| PaymentResult {
            customer: event.customer.clone(),
            note: Some(note),
            ..PaymentResult::default()
        };
        match event.state {
            StripeEventState::New => {}
            StripeEventState::Done => return Ok(noted("what it told was read with another event".to_owned())),
            StripeEventState::Ignored | StripeEventState::Refused => {
                return Ok(noted(event.reason.clone().unwrap_or_default()));
            }
        }
        let customer = match (&event.customer, &event.subscription) {
            (Some(customer), _) => Some(customer.clone()),
            (None, Some(subscription)) => {
                self.check_mode(subscription)?;
                let calls = self.context.providers.payments.calls(self.context.policy());
                calls.subscription(subscription).await?.map(|subscription| subscription.customer)
            }
            (None, None) => None,
        };
        let Some(customer) = customer else {
            let why = "the customer that it is about cannot be found";
            self.settle(std::slice::from_ref(&event), StripeEventState::Ignored, Some(why)).await?;
            return Ok(noted(why.to_owned()));
        };
        self.read_again(&customer, Some(event)).await
    }

    async fn customer(&self, customer: &str) -> Result<PaymentResult, JobError> {
        self.read_again(customer, None).await
    }

    async fn tenant(&self, tenant: &str) -> Result<PaymentResult, JobError> {
        let mode = self.context.providers.payments.mode();
        let kept = readable(self.store.subscription(tenant).await).map_err(away)?;
        let customer = match kept.filter(|kept| mode_of(kept) == mode).and_then(|kept| kept.customer) {
            Some(customer) => Some(customer),
            // What is kept may be lost.
            None => {
                let calls = self.context.providers.payments.calls(self.context.policy());
                let found = calls.customers_of(tenant).await?;
                found.into_iter().min_by_key(|customer| customer.created).map(|customer| customer.id)
            }
        };
        match customer {
            Some(customer) => self.read_again(&customer, None).await,
            None => {
                let message = format!("the tenant {tenant:?} has never had a customer at stripe");
                Err(JobError::Fatal { code: "unknown_tenant", message })
            }
        }
    }

    /// An event that is not stored: an operator has named it.
    async fn fetch(&self, id: &str) -> Result<StripeEvent, JobError> {
        let payments = &self.context.providers.payments;
        let found = payments.calls(self.context.policy()).event(id).await?;
        let unknown = || JobError::Fatal { code: "unknown_event", message: format!("stripe knows no event {id:?}") };
        let event = stored_event(found.ok_or_else(unknown)?, payments.livemode, self.now());
        self.store.put_stripe_event(&event).await.map_err(away)?;
        Ok(event)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{complaints, context, mocks, refused, stored};

    #[test]
    fn a_payload_names_one_thing() {
        for good in
            [json!({ "event": "evt_1" }), json!({ "event": "evt_1", "customer": "cus_1" }), json!({ "tenant": "a" })]
        {
            assert!(complaints::<Payment>(good.clone()).is_empty(), "{good}");
        }
        assert_eq!(complaints::<Payment>(json!({})), ["/event"]);
        assert_eq!(complaints::<Payment>(json!({ "event": "evt_1", "tenant": "a" })), ["/tenant"]);
        assert_eq!(refused::<Payment>(&json!({ "event": 7, "x": 1 })), ["/event", "/x"]);
    }

    #[tokio::test]
    async fn jobs_of_one_customer_run_one_after_the_other() {
        let context = context::<Payment>(mocks());
        let key = async |payload| stored::<Payment>(payload).concurrency_key(&context).await.unwrap();
        let event = key(json!({ "event": "evt_1", "customer": "cus_1" })).await;
        assert_eq!(event, Some(ConcurrencyKey::of_all("payment/cus_1")));
        assert_eq!(key(json!({ "customer": "cus_1" })).await, event);
        assert_eq!(key(json!({ "tenant": "acme" })).await, None);
    }
}
