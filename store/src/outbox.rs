//! Jobs that are to be pushed for sure, though Redis is away: the collection `outbox`, one document a job.
//!
//! `{ _id, kind, tenant, payload, at, created_at, keep_days, push_at?, pushed_at?, job?, reason?, expires_at? }`. The job that handles an event of
//! Stripe follows from the event, whose own document says what became of it, so that one write keeps both. Whoever wants a job writes it
//! here under a name that is fixed by what it is for; the relay (`schedules/src/outbox.rs`), which runs in every worker, pushes it under an
//! id that is made of the same name, marks it, and pushes it once more some seconds later. A name that is there is not added again, so a
//! document is at the same time the mark that its job was asked for: it is kept for `keep_days` after it was pushed, without its payload.
//! What was not pushed is kept for ever.

use std::time::Duration;

use async_recursion::async_recursion as boxed;
use mongodb::{
    bson::{Bson, RawDocumentBuf, doc},
    options::IndexOptions,
};
use serde::{Deserialize, Serialize};

use crate::{
    Error, Moment, Store,
    documents::{Changes, Documents, at_most, to_document},
    index::index_with,
    payments::{EVENTS, StripeEvent},
};

const OUTBOX: &str = "outbox";
/// What stands before the id of an event in the name of its job.
const OF_EVENT: &str = "payment/";
/// The tenant of the system's own jobs.
const SYSTEM: &str = "default";
/// How long it is remembered that a job was pushed, in days, unless its document says otherwise.
const KEEP_DAYS: u32 = 7;

/// A job that is to be pushed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct OutboxEntry {
    /// Its name, fixed by what it is for; the job's id is made of kind, name and `at`.
    #[serde(rename = "_id")]
    pub name: String,
    /// The job's kind.
    pub kind: String,
    /// Whom the job belongs to.
    pub tenant: String,
    /// The job's payload, as JSON text; absent when it need not be pushed any more.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub payload: Option<String>,
    /// The time in the job's id: always the same for the same name.
    pub at: Moment,
    /// When this was written.
    pub created_at: Moment,
    /// How many days it is remembered after it was pushed.
    pub keep_days: u32,
    /// When the relay shall push the job (again).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub push_at: Option<Moment>,
    /// When it was pushed first, or given up.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pushed_at: Option<Moment>,
    /// The id of its job.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub job: Option<String>,
    /// Why no job was pushed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// When it leaves.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<Moment>,
    /// The event of Stripe that says this.
    #[serde(skip)]
    pub event: Option<String>,
}

impl From<StripeEvent> for OutboxEntry {
    fn from(event: StripeEvent) -> Self {
        let mut payload = serde_json::json!({ "event": event.id });
        if let Some(customer) = event.customer {
            payload["customer"] = customer.into();
        }
        let (order, name) = (event.order.unwrap_or_default(), format!("{OF_EVENT}{}", event.id));
        Self {
            push_at: order.push_at,
            pushed_at: order.pushed_at,
            job: order.job,
            reason: order.reason,
            event: Some(event.id),
            ..Self::new(name, "payment", SYSTEM, payload.to_string(), event.created, event.at)
        }
    }
}

impl OutboxEntry {
    /// A job with the defaults of its kind, to be pushed at once and remembered for 7 days. `at` must be the same whoever writes it.
    #[must_use]
    pub fn new(name: String, kind: &str, tenant: &str, payload: String, at: Moment, now: Moment) -> Self {
        Self {
            name,
            kind: kind.to_owned(),
            tenant: tenant.to_owned(),
            payload: Some(payload),
            at,
            created_at: now,
            keep_days: KEEP_DAYS,
            push_at: Some(now),
            pushed_at: None,
            job: None,
            reason: None,
            expires_at: None,
            event: None,
        }
    }

    /// The same, remembered for so many days: so long the same thing is not done a second time.
    #[must_use]
    pub fn kept_for_days(self, days: u32) -> Self {
        Self { keep_days: days, ..self }
    }
}

impl Store {
    /// Puts a job into the outbox. False when one of its name is, or was, there.
    ///
    /// # Errors
    /// [`Error::Unavailable`] when it may work later (and may have happened).
    #[boxed]
    pub async fn put_outbox(&self, entry: &OutboxEntry) -> Result<bool, Error> {
        let what = format!("put {} into {OUTBOX}", entry.name);
        let document = to_document(&what, entry)?;
        let document = RawDocumentBuf::try_from(&document)
            .map_err(|error| Error::Refused { what: what.clone(), reason: error.to_string() })?;
        Ok(self.writer.insert(OUTBOX, document, &what).await?.is_none())
    }

    /// When the next job of the outbox is to be pushed (again), in Unix milliseconds.
    ///
    /// # Errors
    /// [`Error::Unavailable`] when it may work later.
    #[boxed]
    pub async fn next_outbox_ms(&self) -> Result<Option<u64>, Error> {
        let (here, of_events) =
            tokio::join!(self.earliest_ms(OUTBOX, "push_at", None), self.earliest_ms(EVENTS, "order.push_at", None));
        Ok(here?.into_iter().chain(of_events?).min())
    }

    /// What is to be pushed (again) at `now_ms`, the earliest first, without the names `except`: at most `limit` of the outbox itself, and as
    /// many of events of Stripe.
    ///
    /// # Errors
    /// [`Error::Unavailable`] when it may work later.
    #[boxed]
    pub async fn outbox_to_push(
        &self,
        now_ms: u64,
        except: &[String],
        limit: usize,
    ) -> Result<Documents<OutboxEntry>, Error> {
        let here = self.find_readable(OUTBOX, at_most("push_at", now_ms, except), doc! { "push_at": 1 }, limit);
        let ids: Vec<String> =
            except.iter().map(|name| name.strip_prefix(OF_EVENT).unwrap_or(name).to_owned()).collect();
        let filter = at_most("order.push_at", now_ms, &ids);
        let of_events = self.find_readable::<StripeEvent>(EVENTS, filter, doc! { "order.push_at": 1 }, limit);
        let (here, of_events) = tokio::join!(here, of_events);
        let (mut found, of_events) = (here?, of_events?);
        found.read.extend(of_events.read.into_iter().map(OutboxEntry::from));
        found.unreadable.extend(of_events.unreadable);
        Ok(found)
    }

    /// Writes what became of jobs: `push_at`, `pushed_at`, job, reason, and whether the payload is still needed.
    ///
    /// # Errors
    /// [`Error::Unavailable`] when it may work later (and may have happened in part).
    #[boxed]
    pub async fn settle_outbox(&self, entries: &[OutboxEntry]) -> Result<(), Error> {
        let (mut here, mut of_events) = (Vec::new(), Vec::new());
        for entry in entries {
            match &entry.event {
                None => here.push((doc! { "_id": &entry.name }, became(entry))),
                // An event leaves by its own time.
                Some(event) => of_events.push((doc! { "_id": event }, marks(entry, "order."))),
            }
        }
        let (here, of_events) =
            tokio::join!(self.update(OUTBOX, here.into_iter()), self.update(EVENTS, of_events.into_iter()));
        here.and(of_events)
    }

    /// A job of the outbox, pushed or not.
    ///
    /// # Errors
    /// [`Error::Unavailable`] when it may work later, [`Error::Refused`] when the document was damaged.
    #[boxed]
    pub async fn outbox(&self, name: &str) -> Result<Option<OutboxEntry>, Error> {
        let here = self.find(OUTBOX, doc! { "_id": name }, doc! { "_id": 1 }, 1).await?.into_iter().next();
        let Some(id) = name.strip_prefix(OF_EVENT).filter(|_| here.is_none()) else { return Ok(here) };
        let event = self.stripe_event(id).await?.filter(|event| event.order.is_some());
        Ok(event.map(OutboxEntry::from))
    }

    /// Creates the indexes of the outbox. May be repeated.
    ///
    /// # Errors
    /// As MongoDB gives them; nothing has to be undone before the next call.
    #[boxed]
    pub async fn prepare_outbox(&self) -> Result<(), Error> {
        let sparse = IndexOptions::builder().sparse(true).build();
        let kept = IndexOptions::builder().expire_after(Duration::ZERO).build();
        self.create_indexes(EVENTS, [index_with("push_at", doc! { "order.push_at": 1 }, sparse.clone())]).await?;
        let indexes = [
            index_with("push_at", doc! { "push_at": 1 }, sparse),
            index_with("expiry", doc! { "expires_at": 1 }, kept),
        ];
        self.create_indexes(OUTBOX, indexes).await
    }
}

/// What became of a job, in the fields with this prefix.
fn marks(entry: &OutboxEntry, prefix: &str) -> Changes {
    let mut changes = Changes::default();
    let mut set = |field: &str, value: Option<Bson>| changes.set_or_unset(&format!("{prefix}{field}"), value);
    set("push_at", entry.push_at.map(Bson::from));
    set("pushed_at", entry.pushed_at.map(Bson::from));
    set("job", entry.job.as_deref().map(Bson::from));
    set("reason", entry.reason.as_deref().map(Bson::from));
    changes
}

/// The same, and when it leaves.
fn became(entry: &OutboxEntry) -> Changes {
    let mut changes = marks(entry, "");
    let day_ms = 24 * 3600 * 1000;
    let leaves = |pushed: Moment| Moment::from_ms(pushed.ms() + u64::from(entry.keep_days) * day_ms);
    changes.set_or_unset("expires_at", entry.pushed_at.map(leaves).map(Bson::from));
    if entry.payload.is_none() {
        changes.set_or_unset("payload", None);
    }
    changes
}
