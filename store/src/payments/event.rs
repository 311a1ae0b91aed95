//! What Stripe told, one document an event: the collection `stripe_events`. What an event says of its object is not kept: the object is read
//! from Stripe when the event is handled.

use async_recursion::async_recursion as boxed;
use futures::TryStreamExt;
use mongodb::bson::{Bson, Document, RawDocumentBuf, doc};
use serde::{Deserialize, Serialize};

use crate::{
    ANSWER_TIMEOUT, Error, MAX_TIME, Moment, Store,
    documents::{Changes, to_document},
    outbox::OutboxEntry,
    run,
};

pub(super) const EVENTS: &str = "stripe_events";
/// The tenant of the system's own jobs.
const SYSTEM: &str = "default";

/// What became of an event.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum StripeEventState {
    /// A job is to handle it.
    New,
    /// Our copy is as new as what it told.
    Done,
    /// It tells nothing that we keep, or is nobody's; see `reason`.
    Ignored,
    /// It is of the other mode: a test event where payments are real, or the reverse.
    Refused,
}

impl StripeEventState {
    /// As it is stored.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::New => "new",
            Self::Done => "done",
            Self::Ignored => "ignored",
            Self::Refused => "refused",
        }
    }
}

/// An event that Stripe told of.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StripeEvent {
    /// `evt_…`
    #[serde(rename = "_id")]
    pub id: String,
    /// `invoice.paid`, …
    pub kind: String,
    /// With what version of Stripe's API it was made.
    pub api_version: Option<String>,
    /// When it was made.
    pub created: Moment,
    /// Whether it is about real money.
    pub livemode: bool,
    /// `subscription`, `invoice`, …
    pub object_kind: String,
    /// The id of what it is about.
    pub object: Option<String>,
    /// `cus_…` that it names.
    pub customer: Option<String>,
    /// `sub_…` that it names.
    pub subscription: Option<String>,
    /// The tenant that it names.
    pub tenant: Option<String>,
    /// What became of it.
    pub state: StripeEventState,
    /// When it came first.
    pub at: Moment,
    /// When it was settled.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub settled_at: Option<Moment>,
    /// Why it is ignored or refused.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

impl StripeEvent {
    /// What an event is called in the outbox.
    #[must_use]
    pub fn outbox_name(id: &str) -> String {
        format!("payment/{id}")
    }

    /// The job that handles it.
    fn outbox_entry(&self, now: Moment) -> OutboxEntry {
        let mut payload = serde_json::json!({ "event": self.id });
        if let Some(customer) = &self.customer {
            payload["customer"] = customer.as_str().into();
        }
        let name = Self::outbox_name(&self.id);
        OutboxEntry::new(name, "payment", SYSTEM, payload.to_string(), self.created, now)
    }
}

/// How many events there are in each state.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct EventCounts {
    /// Waiting for their jobs.
    pub new: u64,
    /// Ignored.
    pub ignored: u64,
    /// Of the other mode.
    pub refused: u64,
}

impl Store {
    /// Keeps an event, once for its id, and, if it is [new](StripeEventState::New), puts the job that handles it into the outbox: when this
    /// returns, both are there. False when the event was known; if its job is not there because of a kill, it is then.
    ///
    /// Both writes are gathered with those of others, so that many deliveries at a time cost few commands.
    ///
    /// # Errors
    /// [`Error::Unavailable`] when it may work later (and may have happened in part): Stripe is then to deliver it again.
    #[boxed]
    pub async fn put_stripe_event(&self, event: &StripeEvent) -> Result<bool, Error> {
        let what = format!("keep the event {:.100} of stripe", event.id);
        let document = to_document(&what, event)?;
        let document = RawDocumentBuf::try_from(&document)
            .map_err(|error| Error::Refused { what: what.clone(), reason: error.to_string() })?;
        let is_new = self.writer.insert(EVENTS, document, &what).await?.is_none();
        let known = if is_new { Some(event.state) } else { self.stripe_event(&event.id).await?.map(|kept| kept.state) };
        if known == Some(StripeEventState::New) {
            self.put_outbox(&event.outbox_entry(event.at)).await?;
        }
        Ok(is_new)
    }

    /// An event.
    ///
    /// # Errors
    /// [`Error::Unavailable`] when it may work later, [`Error::Refused`] when the document was damaged.
    #[boxed]
    pub async fn stripe_event(&self, id: &str) -> Result<Option<StripeEvent>, Error> {
        Ok(self.find(EVENTS, doc! { "_id": id }, doc! { "_id": 1 }, 1).await?.into_iter().next())
    }

    /// The events of a customer that wait for their jobs, the oldest first. One that cannot be read is left out.
    ///
    /// # Errors
    /// [`Error::Unavailable`] when it may work later.
    #[boxed]
    pub async fn new_stripe_events(&self, customer: &str, limit: usize) -> Result<Vec<StripeEvent>, Error> {
        let filter = doc! { "customer": customer, "state": "new" };
        Ok(self.find_readable(EVENTS, filter, doc! { "created": 1, "_id": 1 }, limit).await?.read)
    }

    /// Writes what became of events that were [new](StripeEventState::New).
    ///
    /// # Errors
    /// [`Error::Unavailable`] when it may work later (and may have happened in part).
    #[boxed]
    pub async fn settle_stripe_events(
        &self,
        ids: &[String],
        state: StripeEventState,
        reason: Option<&str>,
        now: Moment,
    ) -> Result<(), Error> {
        let updates = ids.iter().map(|id| {
            let mut changes = Changes::default();
            changes.set_or_unset("state", Some(state.as_str().into()));
            changes.set_or_unset("settled_at", Some(now.into()));
            changes.set_or_unset("reason", reason.map(Bson::from));
            (doc! { "_id": id, "state": "new" }, changes)
        });
        self.update(EVENTS, updates).await
    }

    /// How many events are in each state but `done`.
    ///
    /// # Errors
    /// [`Error::Unavailable`] when it may work later.
    #[boxed]
    pub async fn stripe_event_counts(&self) -> Result<EventCounts, Error> {
        let collection = self.collection(EVENTS);
        let stages = [
            doc! { "$match": { "state": { "$in": ["new", "ignored", "refused"] } } },
            doc! { "$group": { "_id": "$state", "n": { "$sum": 1_i64 } } },
        ];
        let count =
            async move { collection.aggregate(stages).max_time(MAX_TIME).await?.try_collect::<Vec<Document>>().await };
        let counted = run(format!("count {EVENTS}"), ANSWER_TIMEOUT, count).await?;
        let of = |state: &str| {
            let row = counted.iter().find(|row| row.get_str("_id").ok() == Some(state));
            row.and_then(|row| u64::try_from(row.get_i64("n").ok()?).ok()).unwrap_or_default()
        };
        Ok(EventCounts { new: of("new"), ignored: of("ignored"), refused: of("refused") })
    }

    /// The last events in a state, the newest first.
    ///
    /// # Errors
    /// [`Error::Unavailable`] when it may work later.
    #[boxed]
    pub async fn last_stripe_events(&self, state: StripeEventState, limit: usize) -> Result<Vec<StripeEvent>, Error> {
        Ok(self.find_readable(EVENTS, doc! { "state": state.as_str() }, doc! { "at": -1 }, limit).await?.read)
    }
}
