//! What Stripe told, one document an event: the collection `stripe_events`. What an event says of its object is not kept: the object is read
//! from Stripe when the event is handled.

use async_recursion::async_recursion as boxed;
use futures::TryStreamExt;
use mongodb::bson::{Bson, Document, cstr, doc, rawdoc, serialize_to_raw_document_buf};
use serde::{Deserialize, Serialize};

use crate::{ANSWER_TIMEOUT, Error, MAX_TIME, Moment, Store, documents::Changes, run};

pub(crate) const EVENTS: &str = "stripe_events";

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
    /// What became of the order of the job that handles it; `None` when no job does. The order itself follows from the event.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub order: Option<EventOrder>,
}

/// What became of the order of a job; see [`crate::OutboxEntry`].
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct EventOrder {
    /// When the relay shall push the job (again).
    pub push_at: Option<Moment>,
    /// When it was pushed first, or given up.
    pub pushed_at: Option<Moment>,
    /// The id of the job.
    pub job: Option<String>,
    /// Why no job was pushed.
    pub reason: Option<String>,
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
    /// Keeps an event, once for its id, and, if it is [new](StripeEventState::New), in the same document the order of the job that handles it
    /// (see `store/src/outbox.rs`). False when the event was known.
    ///
    /// The write is gathered with those of others, so that many deliveries at a time cost few commands.
    ///
    /// # Errors
    /// [`Error::Unavailable`] when it may work later (and may have happened): Stripe is then to deliver it again.
    #[boxed]
    pub async fn put_stripe_event(&self, event: &StripeEvent) -> Result<bool, Error> {
        let what = format!("keep the event {:.100} of stripe", event.id);
        let mut document = serialize_to_raw_document_buf(event)
            .map_err(|error| Error::Refused { what: what.clone(), reason: error.to_string() })?;
        if event.state == StripeEventState::New {
            document.append(cstr!("order"), rawdoc! { "push_at": event.at });
        }
        Ok(self.writer.insert(EVENTS, document, &what).await?.is_none())
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
}
