//! Reads from Stripe what a customer has now, and keeps it.

use providers::{
    Policy, ProviderError,
    payments::{Customer, Invoice, Payments, Subscription},
};
use serde_json::{Map, Value};
use store::{Moment, Store, StoredSubscription, StripeEvent, StripeEventState};

use super::{
    mails,
    work::{Change, PaymentResult, Work, away},
};
use crate::{
    handler::JobError,
    payments::{AtStripe, Plans, goes_on, kept},
};

/// Events of one customer that one reading answers.
const MOST_EVENTS: usize = 500;
/// Others that write the same subscription at the same moment make one begin anew so often at most; each time one of them is done.
const TRIES: u32 = 20;
/// What is kept of the writing itself.
const BESIDE: [&str; 3] = ["_id", "updated_at", "version"];

/// Reads from Stripe what a customer has now, and keeps it. The one way by which anything comes into `subscriptions`.
#[derive(Clone, Copy)]
pub struct Reading<'a> {
    /// Who is asked.
    pub payments: &'a Payments,
    /// By which prices plans are paid.
    pub plans: &'a Plans,
    /// Where it is kept.
    pub store: &'a Store,
    /// How long a call may take.
    pub policy: Policy<'a>,
    /// When it is kept.
    pub now: Moment,
}

/// What came of it.
#[derive(Debug)]
pub enum Read {
    /// It is kept.
    Kept(Box<KeptNow>),
    /// Neither the customer nor its subscription names a tenant; nothing is kept.
    Nobodys,
    /// This tenant has a subscription at Stripe, which the mock does not replace; nothing is kept anew.
    Stripes(String),
}

/// What is kept now, and what it was made of.
#[derive(Debug)]
pub struct KeptNow {
    /// What was kept before.
    pub before: Option<StoredSubscription>,
    /// What is kept now.
    pub record: StoredSubscription,
    /// All subscriptions of the tenant's customers.
    pub subscriptions: Vec<Subscription>,
    /// The invoices of the customer whose subscription counts.
    pub invoices: Vec<Invoice>,
}

/// Why it was not read, or not kept.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// Stripe did not say.
    #[error(transparent)]
    Stripe(#[from] ProviderError),
    /// MongoDB is away.
    #[error(transparent)]
    Store(#[from] store::Error),
    /// Others write the same all the time.
    #[error("others write the subscription of {0} all the time")]
    Contended(String),
}

impl From<ReadError> for JobError {
    fn from(error: ReadError) -> Self {
        match error {
            ReadError::Stripe(error) => error.into(),
            ReadError::Store(error) => away(error),
            ReadError::Contended(_) => Self::Retry { code: "contended", message: error.to_string(), after: None },
        }
    }
}

/// What Stripe has.
struct Found {
    /// Whose it is.
    tenant: Option<String>,
    subscriptions: Vec<Subscription>,
    /// Of the customer whose subscription counts.
    invoices: Vec<Invoice>,
}

impl Reading<'_> {
    /// Reads what this customer has now and keeps it.
    ///
    /// # Errors
    /// [`ReadError`]; it can be repeated.
    pub async fn of(&self, customer: &str) -> Result<Read, ReadError> {
        let known = self.store.subscription_of_customer(customer).await?;
        let mut tenant = known.map(|known| known.tenant);
        for _ in 0..TRIES {
            // Before Stripe is asked: whoever writes meanwhile has read something newer, or is to be read again.
            let before = match &tenant {
                Some(tenant) => self.store.subscription(tenant).await?,
                None => None,
            };
            let found = self.find(customer, before.as_ref()).await?;
            if found.tenant.is_some() && found.tenant != tenant {
                tenant = found.tenant;
                continue;
            }
            let Some(tenant) = &tenant else { return Ok(Read::Nobodys) };
            let mock = !self.payments.is_real();
            if mock && before.as_ref().is_some_and(|before| !before.mock && before.subscription.is_some()) {
                return Ok(Read::Stripes(tenant.clone()));
            }
            let Found { subscriptions, invoices, .. } = found;
            let at = AtStripe { customer, subscriptions: &subscriptions, invoices: &invoices, mock };
            let record = kept(tenant, before.as_ref(), &at, self.plans, self.now);
            if self.keep(&record, before.as_ref()).await? {
                if let Some(several) = several(&subscriptions) {
                    tracing::error!(tenant, several, "a tenant pays for more than one subscription: end one at stripe");
                }
                return Ok(Read::Kept(Box::new(KeptNow { before, record, subscriptions, invoices })));
            }
        }
        Err(ReadError::Contended(customer.to_owned()))
    }

    /// What the customer has, and the one that the tenant had before.
    async fn find(&self, customer: &str, before: Option<&StoredSubscription>) -> Result<Found, ProviderError> {
        let calls = self.payments.calls(self.policy);
        let is_mock = !self.payments.is_real();
        let before = before.filter(|before| before.mock == is_mock);
        let mut subscriptions = calls.subscriptions(Some(customer), None).await?.items;
        let other = before.and_then(|before| before.customer.as_deref()).filter(|other| *other != customer);
        if let Some(other) = other {
            subscriptions.extend(calls.subscriptions(Some(other), None).await?.items);
        }
        let counts = AtStripe::counts(&subscriptions, before);
        let invoices = match counts {
            Some(counts) => calls.invoices(&counts.customer, None).await?.items,
            None => Vec::new(),
        };
        let mut tenant = counts.and_then(|counts| counts.tenant.clone());
        if tenant.is_none() {
            tenant = calls.customer(customer).await?.and_then(|customer: Customer| customer.tenant);
        }
        if tenant.is_none() {
            // It was known before somebody deleted it, or took its name off.
            tenant = before.map(|before| before.tenant.clone());
        }
        Ok(Found { tenant, subscriptions, invoices })
    }

    /// False when another was faster, and all is to be read again. What is the same is written, too: another one that has read something
    /// older, and whose write is on its way, must not put it in the place of what was found to be right.
    async fn keep(
        &self,
        record: &StoredSubscription,
        before: Option<&StoredSubscription>,
    ) -> Result<bool, store::Error> {
        let is_same = before.is_some_and(|before| before.is_same(record));
        let updated_at = if is_same { record.updated_at } else { self.now };
        let record = StoredSubscription { version: record.version + 1, updated_at, ..record.clone() };
        if let Some(unknown) = record.unknown.as_ref().filter(|_| !is_same) {
            tracing::warn!(
                tenant = record.tenant,
                subscription = record.subscription,
                unknown,
                "a subscription has what is not known here, which changes nothing"
            );
        }
        self.store.put_subscription(&record, before.map(|before| before.version)).await
    }
}

impl Work<'_> {
    /// Reads what a customer has now and keeps it, which answers `event` and all others of this customer that wait.
    pub(super) async fn read_again(
        &self,
        customer: &str,
        event: Option<StripeEvent>,
    ) -> Result<PaymentResult, JobError> {
        self.check_mode(customer)?;
        // Before Stripe is asked: what comes meanwhile may tell of something newer.
        let mut events = self.store.new_stripe_events(customer, MOST_EVENTS).await.map_err(away)?;
        events.extend(event.filter(|event| events.iter().all(|other| other.id != event.id)));
        let reading = Reading {
            payments: &self.context.providers.payments,
            plans: &self.context.plans,
            store: self.store,
            policy: self.context.policy(),
            now: self.now(),
        };
        let KeptNow { before, record, subscriptions, invoices } = match reading.of(customer).await? {
            Read::Kept(kept) => *kept,
            Read::Nobodys => return self.nobodys(customer, &events).await,
            Read::Stripes(tenant) => {
                let why = "the tenant has a subscription at stripe, which the mock does not replace";
                self.settle(&events, StripeEventState::Ignored, Some(why)).await?;
                let (tenant, note) = (Some(tenant), Some(why.to_owned()));
                return Ok(PaymentResult { tenant, note, ..PaymentResult::default() });
            }
        };
        let mails = self.mail(&record.tenant, &events, &subscriptions, &invoices).await?;
        self.settle(&events, StripeEventState::Done, None).await?;
        Ok(PaymentResult {
            customer: record.customer.clone(),
            state: Some(record.state.as_str().to_owned()),
            plan: record.plan.clone(),
            changes: changes(before.as_ref(), &record),
            events: u64::try_from(events.len()).unwrap_or(u64::MAX),
            mails,
            note: note(record.unknown.as_deref(), several(&subscriptions).as_deref()),
            tenant: Some(record.tenant),
        })
    }

    async fn nobodys(&self, customer: &str, events: &[StripeEvent]) -> Result<PaymentResult, JobError> {
        let note = "neither the customer nor its subscription names a tenant in metadata[tenant]";
        tracing::warn!(customer, "stripe has a customer of no tenant");
        self.settle(events, StripeEventState::Ignored, Some(note)).await?;
        let customer = Some(customer.to_owned());
        Ok(PaymentResult { customer, note: Some(note.to_owned()), ..PaymentResult::default() })
    }

    /// Orders what is to be mailed, each mail once however often this is called.
    async fn mail(
        &self,
        tenant: &str,
        events: &[StripeEvent],
        subscriptions: &[Subscription],
        invoices: &[Invoice],
    ) -> Result<u64, JobError> {
        if !events.iter().any(mails::may_mail) {
            return Ok(0);
        }
        let Some(address) = self.store.tenant(tenant).await.map_err(away)?.filter(|known| !known.email.is_empty())
        else {
            tracing::warn!(tenant, "a tenant without an address is to be told of a payment");
            return Ok(0);
        };
        let mut n_new = 0;
        for event in events.iter().filter(|event| mails::may_mail(event)) {
            let mail = mails::mail(event, &address, subscriptions, invoices, self.now());
            if let Some(mail) = mail
                && self.store.put_outbox(&mail).await.map_err(away)?
            {
                n_new += 1;
            }
        }
        Ok(n_new)
    }
}

/// The subscriptions of a tenant that go on, if that is more than one: each of them is paid.
fn several(subscriptions: &[Subscription]) -> Option<String> {
    let ids: Vec<&str> = subscriptions.iter().filter(|one| goes_on(one)).map(|one| one.id.as_str()).collect();
    (ids.len() > 1).then(|| ids.join(", "))
}

/// What an operator should look at.
fn note(unknown: Option<&str>, several: Option<&str>) -> Option<String> {
    let unknown = unknown.map(|unknown| format!("{unknown} is not known: see docs/payments.md"));
    let several =
        several.map(|ids| format!("the tenant pays for more than one subscription: {ids}; end one at Stripe"));
    let notes: Vec<_> = several.into_iter().chain(unknown).collect();
    (!notes.is_empty()).then(|| notes.join("; "))
}

/// What differs between two records of a subscription, or between nothing and one.
pub(crate) fn changes(before: Option<&StoredSubscription>, after: &StoredSubscription) -> Vec<Change> {
    let (before, after) = (before.map(shown).unwrap_or_default(), shown(after));
    let mut names: Vec<&String> = before.keys().chain(after.keys()).collect();
    names.sort_unstable();
    names.dedup();
    let of = |fields: &Map<String, Value>, name: &str| fields.get(name).cloned().unwrap_or(Value::Null);
    let change = |name: &String| Change { field: name.clone(), was: of(&before, name), becomes: of(&after, name) };
    let differs = |change: &Change| change.was != change.becomes && !BESIDE.contains(&change.field.as_str());
    names.into_iter().map(change).filter(differs).collect()
}

/// A record with its times as text.
fn shown(record: &StoredSubscription) -> Map<String, Value> {
    let mut fields = match serde_json::to_value(record) {
        Ok(Value::Object(fields)) => fields,
        // A record is always an object.
        _ => Map::new(),
    };
    for value in fields.values_mut() {
        let ms = value["$date"]["$numberLong"].as_str().and_then(|ms| ms.parse().ok());
        if let Some(time) = ms.and_then(chrono::DateTime::from_timestamp_millis) {
            *value = time.to_rfc3339_opts(chrono::SecondsFormat::Secs, true).into();
        }
    }
    fields
}
