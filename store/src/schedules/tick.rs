//! Ticks: one document a time that a schedule was due.

use std::collections::HashSet;

use async_recursion::async_recursion as boxed;
use mongodb::{
    bson::{Bson, doc},
    error::ErrorKind,
};
use serde::{Deserialize, Serialize};

use crate::{
    ANSWER_TIMEOUT, Error, Moment, Store,
    documents::{Changes, Documents, at_most, to_document},
    error::DUPLICATE_KEY,
    run,
};

pub(super) const TICKS: &str = "ticks";

/// What became of a tick.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum TickOutcome {
    /// Its job is to be pushed.
    New,
    /// Its job was pushed.
    Pushed,
    /// No job was pushed; there is a reason.
    Skipped,
}

/// A time that a schedule was due.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Tick {
    /// `<schedule>@<tick in ms>`.
    #[serde(rename = "_id")]
    pub id: String,
    /// The schedule's id.
    pub schedule: String,
    /// When it was due.
    pub tick: Moment,
    /// When this was written.
    pub created_at: Moment,
    /// Whether someone asked for it, beside the times of the schedule.
    #[serde(default)]
    pub by_hand: bool,
    /// What became of it.
    pub outcome: TickOutcome,
    /// Why no job was pushed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// The id of its job.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub job: Option<String>,
    /// When a replica shall push the job (again).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub push_at: Option<Moment>,
    /// What is to be pushed, as JSON text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub spec: Option<String>,
}

impl Store {
    /// When the next tick is to be pushed (again), in Unix milliseconds.
    ///
    /// # Errors
    /// [`Error::Unavailable`] when it may work later.
    #[boxed]
    pub async fn next_push_ms(&self) -> Result<Option<u64>, Error> {
        self.earliest_ms(TICKS, "push_at", None).await
    }

    /// Inserts ticks; says for each whether it was inserted. One that is there already stays as it is.
    ///
    /// # Errors
    /// [`Error::Unavailable`] when it may work later; some may have been inserted.
    #[boxed]
    pub async fn insert_ticks(&self, ticks: &[Tick]) -> Result<Vec<bool>, Error> {
        if ticks.is_empty() {
            return Ok(Vec::new());
        }
        let what = format!("write {} ticks of schedules", ticks.len());
        let documents = ticks.iter().map(|tick| to_document(&what, tick)).collect::<Result<Vec<_>, _>>()?;
        let collection = self.collection(TICKS);
        let insert = async move {
            let Err(error) = collection.insert_many(documents).ordered(false).await else { return Ok(HashSet::new()) };
            let ErrorKind::InsertMany(failed) = &*error.kind else { return Err(error) };
            let errors = failed.write_errors.iter().flatten();
            if failed.write_concern_error.is_some() || errors.clone().any(|error| error.code != DUPLICATE_KEY) {
                return Err(error);
            }
            Ok(errors.map(|error| error.index).collect::<HashSet<_>>())
        };
        match run(what, ANSWER_TIMEOUT, insert).await {
            Ok(there) => Ok((0..ticks.len()).map(|index| !there.contains(&index)).collect()),
            // Whatever the server says, the ticks are due, and it is tried again.
            Err(Error::Refused { what, reason }) => Err(Error::Unavailable { what, reason }),
            Err(error) => Err(error),
        }
    }

    /// Ticks whose jobs are to be pushed (again) at `now_ms`, the earliest first, without those with the ids `except`.
    ///
    /// # Errors
    /// [`Error::Unavailable`] when it may work later.
    #[boxed]
    pub async fn ticks_to_push(&self, now_ms: u64, except: &[String], limit: usize) -> Result<Documents<Tick>, Error> {
        let filter = at_most("push_at", now_ms, except);
        self.find_readable(TICKS, filter, doc! { "push_at": 1, "tick": 1 }, limit).await
    }

    /// Writes what became of ticks: outcome, reason, job, `push_at`, and whether `spec` is still needed.
    ///
    /// # Errors
    /// [`Error::Unavailable`] when it may work later (and may have happened in part).
    #[boxed]
    pub async fn settle_ticks(&self, ticks: &[Tick]) -> Result<(), Error> {
        let updates = ticks.iter().map(|tick| {
            let mut changes = Changes::default();
            let outcome = match tick.outcome {
                TickOutcome::New => "new",
                TickOutcome::Pushed => "pushed",
                TickOutcome::Skipped => "skipped",
            };
            changes.set_or_unset("outcome", Some(outcome.into()));
            changes.set_or_unset("reason", tick.reason.as_deref().map(Bson::from));
            changes.set_or_unset("job", tick.job.as_deref().map(Bson::from));
            changes.set_or_unset("push_at", tick.push_at.map(Bson::from));
            if tick.spec.is_none() {
                changes.set_or_unset("spec", None);
            }
            (doc! { "_id": &tick.id }, changes)
        });
        self.update(TICKS, updates).await
    }

    /// The last tick of a schedule before `tick` whose job was pushed or is to be; `None`, too, when it cannot be read.
    ///
    /// # Errors
    /// [`Error::Unavailable`] when it may work later.
    #[boxed]
    pub async fn tick_before(&self, schedule: &str, tick: Moment) -> Result<Option<Tick>, Error> {
        let filter = doc! { "schedule": schedule, "tick": { "$lt": tick }, "by_hand": false,
        "outcome": { "$in": ["new", "pushed"] } };
        Ok(self.find_readable(TICKS, filter, doc! { "schedule": 1, "tick": -1 }, 1).await?.read.pop())
    }

    /// Ticks of a schedule, the newest first, before the time `before`.
    ///
    /// # Errors
    /// As [`Store::schedule`].
    #[boxed]
    pub async fn ticks_of(&self, schedule: &str, before: Option<Moment>, limit: usize) -> Result<Vec<Tick>, Error> {
        let mut filter = doc! { "schedule": schedule };
        if let Some(before) = before {
            filter.insert("tick", doc! { "$lt": before });
        }
        self.find(TICKS, filter, doc! { "schedule": 1, "tick": -1 }, limit).await
    }

    /// The ticks with these ids that can be read, in no order.
    ///
    /// # Errors
    /// [`Error::Unavailable`] when it may work later.
    #[boxed]
    pub async fn ticks(&self, ids: &[String]) -> Result<Vec<Tick>, Error> {
        Ok(self.find_readable(TICKS, doc! { "_id": { "$in": ids } }, doc! {}, ids.len()).await?.read)
    }
}
