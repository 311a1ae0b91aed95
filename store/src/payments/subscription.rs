//! The tenants' subscriptions: the collection `subscriptions`, a document each, which is what Stripe said when it was read last.

use async_recursion::async_recursion as boxed;
use mongodb::bson::{Bson, Document, doc};
use serde::{Deserialize, Serialize};

use crate::{Error, Moment, Store, documents::Documents};

pub(super) const SUBSCRIPTIONS: &str = "subscriptions";
/// What versions are.
const WHOLE: [&str; 2] = ["int", "long"];

/// The state of a tenant's subscription.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SubscriptionState {
    /// There is a customer, who has never subscribed.
    None,
    /// Used before the first payment.
    Trialing,
    /// Paid.
    Active,
    /// A payment failed and is tried again: for some days of grace it is used as if it were paid.
    PastDue,
    /// Payments failed and are tried no more.
    Unpaid,
    /// It has ended.
    Canceled,
    /// The first payment is awaited.
    Incomplete,
    /// No invoices are made; `paused` says why.
    Paused,
}

impl SubscriptionState {
    /// As it is stored and shown.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Trialing => "trialing",
            Self::Active => "active",
            Self::PastDue => "past_due",
            Self::Unpaid => "unpaid",
            Self::Canceled => "canceled",
            Self::Incomplete => "incomplete",
            Self::Paused => "paused",
        }
    }
}

/// The last invoice of a subscription.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StoredInvoice {
    /// `in_…`
    pub id: String,
    /// As it is printed.
    pub number: Option<String>,
    /// Stripe's word: `draft`, `open`, `paid`, `uncollectible`, `void`.
    pub status: String,
    /// Where the customer pays or looks at it.
    pub hosted_url: Option<String>,
    /// To be paid in all, with the digits of its currency.
    pub amount: String,
    /// Three capital letters.
    pub currency: String,
    /// How often it was tried to get the money.
    pub attempts: u32,
}

/// The subscription of a tenant, as Stripe had it when it was read.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StoredSubscription {
    /// Whose it is.
    #[serde(rename = "_id")]
    pub tenant: String,
    /// The name of the plan (`pro`, `premium`); `None` while there is no subscription, or where its price is of no plan.
    pub plan: Option<String>,
    /// Its state.
    pub state: SubscriptionState,
    /// A word of Stripe's or a price that is not known here: it has changed nothing, and is to be told.
    pub unknown: Option<String>,
    /// `cus_…`
    pub customer: Option<String>,
    /// `sub_…`
    pub subscription: Option<String>,
    /// `si_…`, which a change of plan names.
    pub item: Option<String>,
    /// `price_…`
    pub price: Option<String>,
    /// When the subscription was made.
    pub created: Option<Moment>,
    /// When the trial ends, or ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trial_end: Option<Moment>,
    /// Until when it is paid, or tried.
    pub period_end: Option<Moment>,
    /// Whether it ends with its period.
    pub cancel_at_period_end: bool,
    /// When it is to end, if that is known.
    pub cancel_at: Option<Moment>,
    /// When it ended.
    pub ended_at: Option<Moment>,
    /// The last invoice.
    pub invoice: Option<StoredInvoice>,
    /// Since when a payment is due that was not made; only while [past due](SubscriptionState::PastDue).
    pub past_due_since: Option<Moment>,
    /// Why it is paused, in Stripe's word; only while [paused](SubscriptionState::Paused).
    pub paused: Option<String>,
    /// Whether the tenant has had a trial: there is one only.
    pub trial_used: bool,
    /// Whether it is about real money.
    pub livemode: bool,
    /// Whether the mock said so: it grants nothing where payments are real.
    pub mock: bool,
    /// When it was changed last.
    pub updated_at: Moment,
    /// Grows each time that Stripe was read.
    pub version: i64,
}

impl StoredSubscription {
    /// A tenant without a subscription.
    #[must_use]
    pub fn none(tenant: &str, now: Moment) -> Self {
        Self {
            tenant: tenant.to_owned(),
            plan: None,
            state: SubscriptionState::None,
            unknown: None,
            customer: None,
            subscription: None,
            item: None,
            price: None,
            created: None,
            trial_end: None,
            period_end: None,
            cancel_at_period_end: false,
            cancel_at: None,
            ended_at: None,
            invoice: None,
            past_due_since: None,
            paused: None,
            trial_used: false,
            livemode: false,
            mock: false,
            updated_at: now,
            version: 0,
        }
    }

    /// Whether it says the same of the subscription: all but when and how often that was written.
    #[must_use]
    pub fn is_same(&self, other: &Self) -> bool {
        Self { updated_at: other.updated_at, version: other.version, ..self.clone() } == *other
    }
}

impl Store {
    /// What is known of a tenant's subscription. Mind [`StoredSubscription::mock`].
    ///
    /// # Errors
    /// [`Error::Unavailable`] when it may work later, [`Error::Refused`] when the document was damaged.
    #[boxed]
    pub async fn subscription(&self, tenant: &str) -> Result<Option<StoredSubscription>, Error> {
        Ok(self.find(SUBSCRIPTIONS, doc! { "_id": tenant }, doc! { "_id": 1 }, 1).await?.into_iter().next())
    }

    /// The same by Stripe's id of the customer.
    ///
    /// # Errors
    /// As [`Store::subscription`].
    #[boxed]
    pub async fn subscription_of_customer(&self, customer: &str) -> Result<Option<StoredSubscription>, Error> {
        let filter = doc! { "customer": customer };
        Ok(self.find(SUBSCRIPTIONS, filter, doc! { "_id": 1 }, 1).await?.into_iter().next())
    }

    /// Those of these tenants that are there, in the order of the tenants.
    ///
    /// # Errors
    /// [`Error::Unavailable`] when it may work later.
    #[boxed]
    pub async fn subscriptions_of(&self, tenants: &[&str]) -> Result<Documents<StoredSubscription>, Error> {
        let filter = doc! { "_id": { "$in": tenants } };
        self.find_readable(SUBSCRIPTIONS, filter, doc! { "_id": 1 }, tenants.len()).await
    }

    /// All in the order of the tenants, behind the tenant `after`.
    ///
    /// # Errors
    /// [`Error::Unavailable`] when it may work later.
    #[boxed]
    pub async fn subscriptions(
        &self,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Documents<StoredSubscription>, Error> {
        self.find_readable(SUBSCRIPTIONS, behind(Document::new(), after), doc! { "_id": 1 }, limit).await
    }

    /// Those whose trial ends between two times, in the order of the tenants, behind the tenant `after`.
    ///
    /// # Errors
    /// [`Error::Unavailable`] when it may work later.
    #[boxed]
    pub async fn trials_ending(
        &self,
        between: (Moment, Moment),
        after: Option<&str>,
        limit: usize,
    ) -> Result<Documents<StoredSubscription>, Error> {
        let filter = doc! { "state": "trialing", "trial_end": { "$gte": between.0, "$lte": between.1 } };
        self.find_readable(SUBSCRIPTIONS, behind(filter, after), doc! { "_id": 1 }, limit).await
    }

    /// Writes a subscription in the place of the one with `version`, or as a new one. False when there is another in its place: it is to be
    /// read again. The caller has made the record's own version greater.
    ///
    /// # Errors
    /// [`Error::Unavailable`] when it may work later (and may have happened).
    #[boxed]
    pub async fn put_subscription(
        &self,
        subscription: &StoredSubscription,
        version: Option<i64>,
    ) -> Result<bool, Error> {
        let seen = version.map(|version| match version {
            // Or none that is a number.
            0 => doc! { "$or": [{ "version": 0 }, { "version": { "$not": { "$type": WHOLE } } }] },
            version => doc! { "version": version },
        });
        self.put_seen(SUBSCRIPTIONS, &subscription.tenant, subscription, seen).await
    }

    /// The version of what is kept of a tenant, for one that cannot be read and is to be written anew; 0 if it has none.
    ///
    /// # Errors
    /// [`Error::Unavailable`] when it may work later.
    #[boxed]
    pub async fn subscription_version(&self, tenant: &str) -> Result<Option<i64>, Error> {
        let (filter, sort, only) = (doc! { "_id": tenant }, doc! { "_id": 1 }, doc! { "version": 1 });
        let found = self.find_projected::<Document>(SUBSCRIPTIONS, filter, sort, 1, only).await?;
        Ok(found.read.first().map(|document| match document.get("version") {
            Some(Bson::Int64(version)) => *version,
            Some(Bson::Int32(version)) => i64::from(*version),
            _ => 0,
        }))
    }
}

fn behind(mut filter: Document, after: Option<&str>) -> Document {
    if let Some(after) = after {
        filter.insert("_id", doc! { "$gt": after });
    }
    filter
}
