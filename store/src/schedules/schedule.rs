//! Schedules, one document each.

use async_recursion::async_recursion as boxed;
use mongodb::bson::{Bson, DateTime, Document, doc};
use serde::{Deserialize, Serialize};

use crate::{
    ANSWER_TIMEOUT, Error, Moment, Store,
    documents::{Changes, Documents, at_most, to_document},
    run,
};

pub(super) const SCHEDULES: &str = "schedules";

/// A schedule, as it is stored.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct StoredSchedule {
    /// `<tenant>/<name>`.
    #[serde(rename = "_id")]
    pub id: String,
    /// Whom it belongs to.
    pub tenant: String,
    /// Its name among the tenant's.
    pub name: String,
    /// When and what, as JSON text.
    pub definition: String,
    /// Whether it is a row of the timetable in the program.
    pub built_in: bool,
    /// The version of the timetable that has this row; 0 for what older releases wrote, and for what is no row.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub timetable: i64,
    /// Grows with each change that someone makes.
    pub revision: i64,
    /// Whether it is due at no time until it is resumed.
    pub paused: bool,
    /// The next time that it is due.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next_tick: Option<Moment>,
    /// When its job is pushed for `next_tick`: later than that by the jitter.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next_at: Option<Moment>,
    /// This tick is run however late it is: it makes up for those that were missed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub made_up: Option<Moment>,
    /// By which tables of time zones `next_tick` was reckoned.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reckoned: Option<Reckoned>,
    /// The last time that it was due.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_tick: Option<Moment>,
    /// When someone changed it last.
    pub updated_at: Moment,
}

/// By which tables of time zones a schedule's next tick was reckoned. It names the tick, because an older release moves that on
/// without this.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reckoned {
    /// The tables' version, such as `2026f`; a later one is a greater text.
    pub tables: String,
    /// The tick.
    pub next_tick: Moment,
}

impl StoredSchedule {
    /// The version of the tables that its next tick was reckoned by; `None` when that is unknown.
    #[must_use]
    pub fn reckoned_by(&self) -> Option<&str> {
        let reckoned = self.reckoned.as_ref()?;
        (Some(reckoned.next_tick) == self.next_tick).then_some(reckoned.tables.as_str())
    }
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "the signature that serde asks for")]
fn is_zero(number: &i64) -> bool {
    *number == 0
}

/// How a schedule goes on; carried out only if it is still where it was found.
#[derive(Debug, Clone, PartialEq)]
pub struct Advance {
    /// As it was found.
    pub found: StoredSchedule,
    /// The next time that it is due; absent: never again.
    pub next_tick: Option<Moment>,
    /// When its job is pushed for it.
    pub next_at: Option<Moment>,
    /// The next tick makes up for missed ones.
    pub made_up: bool,
    /// The last time that it was due, if that is a new one.
    pub last_tick: Option<Moment>,
    /// The version of the tables that `next_tick` was reckoned by.
    pub tables: String,
}

impl Store {
    /// A schedule by its id.
    ///
    /// # Errors
    /// [`Error::Unavailable`] when it may work later, [`Error::Refused`] when the document was damaged.
    #[boxed]
    pub async fn schedule(&self, id: &str) -> Result<Option<StoredSchedule>, Error> {
        let found = self.find(SCHEDULES, doc! { "_id": id }, doc! { "_id": 1 }, 1).await?;
        Ok(found.into_iter().next())
    }

    /// Schedules in the order of their ids, of one tenant or of all, behind the id `after`.
    ///
    /// # Errors
    /// [`Error::Unavailable`] when it may work later.
    #[boxed]
    pub async fn schedules(
        &self,
        tenant: Option<&str>,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Documents<StoredSchedule>, Error> {
        let mut filter = Document::new();
        if let Some(tenant) = tenant {
            filter.insert("tenant", tenant);
        }
        if let Some(after) = after {
            filter.insert("_id", doc! { "$gt": after });
        }
        self.find_readable(SCHEDULES, filter, doc! { "_id": 1 }, limit).await
    }

    /// Schedules with a next tick, in the order of their ids, behind the id `after`: all, or those whose tick was not reckoned by
    /// tables of time zones of the version `tables` or a later one.
    ///
    /// # Errors
    /// [`Error::Unavailable`] when it may work later.
    #[boxed]
    pub async fn schedules_to_reckon(
        &self,
        tables: &str,
        all: bool,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Documents<StoredSchedule>, Error> {
        let mut filter = doc! { "next_at": { "$gt": DateTime::MIN } };
        if !all {
            let older = doc! { "reckoned.tables": { "$not": { "$gte": tables } } };
            let moved_on = doc! { "$expr": { "$ne": ["$reckoned.next_tick", "$next_tick"] } };
            filter.insert("$or", [older, moved_on]);
        }
        if let Some(after) = after {
            filter.insert("_id", doc! { "$gt": after });
        }
        self.find_readable(SCHEDULES, filter, doc! { "_id": 1 }, limit).await
    }

    /// Writes a schedule in the place of the one with `revision`, or as a new one. False when there is another in its place.
    ///
    /// # Errors
    /// [`Error::Unavailable`] when it may work later (and may have happened), [`Error::Refused`] when it is too large.
    #[boxed]
    pub async fn replace_schedule(&self, schedule: &StoredSchedule, revision: Option<i64>) -> Result<bool, Error> {
        let seen = revision.map(|revision| doc! { "revision": revision });
        self.put_seen(SCHEDULES, &schedule.id, schedule, seen).await
    }

    /// Adds new schedules, many at a time.
    ///
    /// # Errors
    /// [`Error::Unavailable`] when it may work later, [`Error::Refused`] when there is one of the same id; some may have been added.
    #[boxed]
    pub async fn add_schedules(&self, schedules: &[StoredSchedule]) -> Result<(), Error> {
        let what = format!("add {} schedules", schedules.len());
        let documents = schedules.iter().map(|schedule| to_document(&what, schedule)).collect::<Result<Vec<_>, _>>()?;
        let collection = self.collection(SCHEDULES);
        run(what, ANSWER_TIMEOUT, async move { collection.insert_many(documents).await }).await.map(|_| ())
    }

    /// Deletes the schedule with this revision. False when it is not there.
    ///
    /// # Errors
    /// [`Error::Unavailable`] when it may work later (and may have happened).
    #[boxed]
    pub async fn delete_schedule(&self, id: &str, revision: i64) -> Result<bool, Error> {
        self.delete_seen(SCHEDULES, id, doc! { "revision": revision }).await
    }

    /// Deletes the rows of the timetable that are not among `ids`, but none that a later version than `timetable` has.
    ///
    /// # Errors
    /// [`Error::Unavailable`] when it may work later (and may have happened).
    #[boxed]
    pub async fn keep_built_in_schedules(&self, ids: &[&str], timetable: i64) -> Result<(), Error> {
        let collection = self.collection(SCHEDULES);
        let filter = doc! { "built_in": true, "_id": { "$nin": ids }, "timetable": { "$not": { "$gt": timetable } } };
        let delete = async move { collection.delete_many(filter).await };
        run("delete old rows of the timetable", ANSWER_TIMEOUT, delete).await.map(|_| ())
    }

    /// When the next job of any schedule is to be pushed, in Unix milliseconds; of those later than `after_ms`, if given.
    ///
    /// # Errors
    /// [`Error::Unavailable`] when it may work later.
    #[boxed]
    pub async fn next_due_ms(&self, after_ms: Option<u64>) -> Result<Option<u64>, Error> {
        self.earliest_ms(SCHEDULES, "next_at", after_ms).await
    }

    /// Schedules that are due at `now_ms`, the earliest first, without those with the ids `except`.
    ///
    /// # Errors
    /// [`Error::Unavailable`] when it may work later.
    #[boxed]
    pub async fn due_schedules(
        &self,
        now_ms: u64,
        except: &[String],
        limit: usize,
    ) -> Result<Documents<StoredSchedule>, Error> {
        let filter = at_most("next_at", now_ms, except);
        self.find_readable(SCHEDULES, filter, doc! { "next_at": 1 }, limit).await
    }

    /// Lets schedules go on. One that was changed meanwhile, or that another replica has let go on, stays as it is.
    ///
    /// # Errors
    /// [`Error::Unavailable`] when it may work later (and may have happened in part).
    #[boxed]
    pub async fn advance_schedules(&self, advances: &[Advance]) -> Result<(), Error> {
        let updates = advances.iter().map(|advance| {
            let Advance { found, next_tick, next_at, made_up, last_tick, tables } = advance;
            let filter = doc! { "_id": &found.id, "revision": found.revision, "next_tick": found.next_tick };
            let mut changes = Changes::default();
            changes.set_or_unset("next_tick", next_tick.map(Bson::from));
            changes.set_or_unset("next_at", next_at.map(Bson::from));
            let reckoned = next_tick.map(|at| doc! { "tables": tables, "next_tick": at });
            changes.set_or_unset("reckoned", reckoned.map(Bson::from));
            changes.set_or_unset("made_up", next_tick.filter(|_| *made_up).map(Bson::from));
            if last_tick.is_some() {
                changes.set_or_unset("last_tick", last_tick.map(Bson::from));
            }
            (filter, changes)
        });
        self.update(SCHEDULES, updates).await
    }
}
