//! Recurring jobs: the collections `schedules` (one document a schedule) and `ticks` (one a time that a schedule was due), and what
//! the back end writes for them to read: `monitors` and `tenants`. `task_progress` has one document a job that walks through these and
//! has not come to their end: where it goes on.
//!
//! `ticks._id` is made of the schedule and the tick, so that of any number of replicas one inserts it: that is what makes a tick
//! happen once. A tick has `push_at` as long as its job is to be pushed or has to be looked after, and `spec` as long.

use std::{collections::HashSet, time::Duration};

use futures::TryStreamExt;
use mongodb::{
    IndexModel,
    bson::{self, Bson, DateTime, Document, doc},
    error::ErrorKind,
    options::IndexOptions,
};
use serde::{Deserialize, Serialize, de::DeserializeOwned};

use crate::{
    ANSWER_TIMEOUT, Error, MAJORITY_TIMEOUT, MAX_TIME, Moment, Store,
    error::{DUPLICATE_KEY, is_duplicate_key},
    run,
};

const SCHEDULES: &str = "schedules";
const TICKS: &str = "ticks";
const MONITORS: &str = "monitors";
const TENANTS: &str = "tenants";
const PROGRESS: &str = "task_progress";
/// How long it is remembered that a schedule was due.
const KEPT: Duration = Duration::from_secs(30 * 24 * 3600);

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

/// Documents, in order, and those among them that cannot be read.
#[derive(Debug)]
pub struct Documents<T> {
    /// What could be read.
    pub read: Vec<T>,
    /// What a newer release has written, or someone has damaged: it must not hold up the others.
    pub unreadable: Vec<Unreadable>,
}

impl<T> Documents<T> {
    /// How many there were.
    #[must_use]
    pub fn n(&self) -> usize {
        self.read.len() + self.unreadable.len()
    }
}

/// A document that cannot be read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unreadable {
    /// Its id.
    pub id: String,
    /// Why.
    pub reason: String,
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

/// A competitor's page that is to be watched; the back end writes it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Monitor {
    /// Its id as text.
    pub id: String,
    /// Who watches.
    pub tenant: String,
    /// The shop's own id of the product.
    pub product_id: String,
    /// The page.
    pub url: String,
}

/// A tenant; the back end writes it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tenant {
    /// Its id as text.
    pub id: String,
    /// Its name.
    pub name: String,
    /// Where it is written to.
    pub email: String,
    /// Such as `fr`.
    pub language: String,
    /// IANA name.
    pub time_zone: String,
    /// When its trial ends.
    pub trial_ends_at: Option<Moment>,
}

impl Store {
    /// Creates the indexes of schedules, ticks and trials. May be repeated.
    ///
    /// # Errors
    /// As MongoDB gives them; nothing has to be undone before the next call.
    pub async fn prepare_schedules(&self) -> Result<(), Error> {
        let index = |name: &str, keys: Document, options: IndexOptions| {
            let mut options = options;
            options.name = Some(name.to_owned());
            IndexModel::builder().keys(keys).options(options).build()
        };
        let sparse = || IndexOptions::builder().sparse(true).build();
        let all = [
            (SCHEDULES, index("next_at", doc! { "next_at": 1 }, sparse())),
            (SCHEDULES, index("tenant", doc! { "tenant": 1, "_id": 1 }, IndexOptions::default())),
            (TICKS, index("push_at", doc! { "push_at": 1 }, sparse())),
            (TICKS, index("schedule_tick", doc! { "schedule": 1, "tick": -1 }, IndexOptions::default())),
            (TICKS, index("expiry", doc! { "created_at": 1 }, IndexOptions::builder().expire_after(KEPT).build())),
            (PROGRESS, index("expiry", doc! { "at": 1 }, IndexOptions::builder().expire_after(KEPT).build())),
            (TENANTS, index("trial_ends_at", doc! { "trial_ends_at": 1 }, sparse())),
        ];
        for (name, index) in all {
            let collection = self.collection(name);
            let create = async move { collection.create_index(index).await };
            run(format!("create the indexes of {name}"), ANSWER_TIMEOUT, create).await?;
        }
        Ok(())
    }

    /// A schedule by its id.
    ///
    /// # Errors
    /// [`Error::Unavailable`] when it may work later, [`Error::Refused`] when the document was damaged.
    pub async fn schedule(&self, id: &str) -> Result<Option<StoredSchedule>, Error> {
        let found = self.find(SCHEDULES, doc! { "_id": id }, doc! { "_id": 1 }, 1).await?;
        Ok(found.into_iter().next())
    }

    /// Schedules in the order of their ids, of one tenant or of all, behind the id `after`.
    ///
    /// # Errors
    /// [`Error::Unavailable`] when it may work later.
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
    pub async fn replace_schedule(&self, schedule: &StoredSchedule, revision: Option<i64>) -> Result<bool, Error> {
        let what = format!("write the schedule {}", schedule.id);
        let document = to_document(&what, schedule)?;
        let collection = self.collection(SCHEDULES);
        let filter = revision.map(|revision| doc! { "_id": &schedule.id, "revision": revision });
        let write = async move {
            let Some(filter) = filter else {
                return match collection.insert_one(document).await {
                    Err(error) if is_duplicate_key(&error) => Ok(false),
                    inserted => inserted.map(|_| true),
                };
            };
            Ok(collection.replace_one(filter, document).await?.matched_count == 1)
        };
        run(what, ANSWER_TIMEOUT, write).await
    }

    /// Adds new schedules, many at a time.
    ///
    /// # Errors
    /// [`Error::Unavailable`] when it may work later, [`Error::Refused`] when there is one of the same id; some may have been added.
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
    pub async fn delete_schedule(&self, id: &str, revision: i64) -> Result<bool, Error> {
        let collection = self.collection(SCHEDULES);
        let filter = doc! { "_id": id, "revision": revision };
        let delete = async move { Ok(collection.delete_one(filter).await?.deleted_count == 1) };
        run(format!("delete the schedule {id}"), ANSWER_TIMEOUT, delete).await
    }

    /// Deletes the rows of the timetable that are not among `ids`, but none that a later version than `timetable` has.
    ///
    /// # Errors
    /// [`Error::Unavailable`] when it may work later (and may have happened).
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
    pub async fn next_due_ms(&self, after_ms: Option<u64>) -> Result<Option<u64>, Error> {
        self.earliest_ms(SCHEDULES, "next_at", after_ms).await
    }

    /// When the next tick is to be pushed (again), in Unix milliseconds.
    ///
    /// # Errors
    /// [`Error::Unavailable`] when it may work later.
    pub async fn next_push_ms(&self) -> Result<Option<u64>, Error> {
        self.earliest_ms(TICKS, "push_at", None).await
    }

    /// Schedules that are due at `now_ms`, the earliest first, without those with the ids `except`.
    ///
    /// # Errors
    /// [`Error::Unavailable`] when it may work later.
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
    pub async fn advance_schedules(&self, advances: &[Advance]) -> Result<(), Error> {
        let updates = advances.iter().map(|advance| {
            let Advance { found, next_tick, next_at, made_up, last_tick, tables } = advance;
            let filter = doc! { "_id": &found.id, "revision": found.revision, "next_tick": date(found.next_tick) };
            let mut changes = Changes::default();
            changes.set_or_unset("next_tick", next_tick.map(|at| date(Some(at))));
            changes.set_or_unset("next_at", next_at.map(|at| date(Some(at))));
            let reckoned = next_tick.map(|at| doc! { "tables": tables, "next_tick": date(Some(at)) });
            changes.set_or_unset("reckoned", reckoned.map(Bson::from));
            changes.set_or_unset("made_up", next_tick.filter(|_| *made_up).map(|at| date(Some(at))));
            if last_tick.is_some() {
                changes.set_or_unset("last_tick", Some(date(*last_tick)));
            }
            (filter, changes)
        });
        self.update(SCHEDULES, updates).await
    }

    /// Inserts ticks; says for each whether it was inserted. One that is there already stays as it is.
    ///
    /// # Errors
    /// [`Error::Unavailable`] when it may work later; some may have been inserted.
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
    pub async fn ticks_to_push(&self, now_ms: u64, except: &[String], limit: usize) -> Result<Documents<Tick>, Error> {
        let filter = at_most("push_at", now_ms, except);
        self.find_readable(TICKS, filter, doc! { "push_at": 1, "tick": 1 }, limit).await
    }

    /// Writes what became of ticks: outcome, reason, job, `push_at`, and whether `spec` is still needed.
    ///
    /// # Errors
    /// [`Error::Unavailable`] when it may work later (and may have happened in part).
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
            changes.set_or_unset("push_at", tick.push_at.map(|at| date(Some(at))));
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
    pub async fn tick_before(&self, schedule: &str, tick: Moment) -> Result<Option<Tick>, Error> {
        let filter = doc! { "schedule": schedule, "tick": { "$lt": date(Some(tick)) }, "by_hand": false,
        "outcome": { "$in": ["new", "pushed"] } };
        Ok(self.find_readable(TICKS, filter, doc! { "schedule": 1, "tick": -1 }, 1).await?.read.pop())
    }

    /// Ticks of a schedule, the newest first, before the time `before`.
    ///
    /// # Errors
    /// As [`Store::schedule`].
    pub async fn ticks_of(&self, schedule: &str, before: Option<Moment>, limit: usize) -> Result<Vec<Tick>, Error> {
        let mut filter = doc! { "schedule": schedule };
        if let Some(before) = before {
            filter.insert("tick", doc! { "$lt": date(Some(before)) });
        }
        self.find(TICKS, filter, doc! { "schedule": 1, "tick": -1 }, limit).await
    }

    /// The ticks with these ids that can be read, in no order.
    ///
    /// # Errors
    /// [`Error::Unavailable`] when it may work later.
    pub async fn ticks(&self, ids: &[String]) -> Result<Vec<Tick>, Error> {
        Ok(self.find_readable(TICKS, doc! { "_id": { "$in": ids } }, doc! {}, ids.len()).await?.read)
    }

    /// Pages to watch, in the order of their ids, behind the page that `after` ended. Returns also where the next page begins;
    /// absent on the last. A document that cannot be understood is left out.
    ///
    /// # Errors
    /// [`Error::Unavailable`] when it may work later.
    pub async fn monitors(&self, after: Option<Cursor>, limit: usize) -> Result<(Vec<Monitor>, Option<Cursor>), Error> {
        self.page(MONITORS, Document::new(), after, limit, |document| {
            let text = |name: &str| document.get_str(name).ok().map(str::to_owned);
            let id = id_text(document)?;
            Some(Monitor { id, tenant: text("tenant")?, product_id: text("product_id")?, url: text("url")? })
        })
        .await
    }

    /// Tenants, in pages like [`Store::monitors`]: all, or those whose trial ends between two times (Unix milliseconds).
    ///
    /// # Errors
    /// [`Error::Unavailable`] when it may work later.
    pub async fn tenants(
        &self,
        trial_ends_between_ms: Option<(u64, u64)>,
        after: Option<Cursor>,
        limit: usize,
    ) -> Result<(Vec<Tenant>, Option<Cursor>), Error> {
        let date = |ms| date(Some(Moment::from_ms(ms)));
        let filter = trial_ends_between_ms.map_or_else(Document::new, |(from_ms, to_ms)| {
            doc! { "trial_ends_at": { "$gte": date(from_ms), "$lte": date(to_ms) } }
        });
        self.page(TENANTS, filter, after, limit, |document| {
            let text = |name: &str| document.get_str(name).ok().map(str::to_owned);
            let trial_ends_at = document.get_datetime("trial_ends_at").ok();
            Some(Tenant {
                id: id_text(document)?,
                name: text("name").unwrap_or_default(),
                email: text("email")?,
                language: text("language").unwrap_or_default(),
                time_zone: text("time_zone").unwrap_or_default(),
                trial_ends_at: trial_ends_at
                    .and_then(|at| u64::try_from(at.timestamp_millis()).ok())
                    .map(Moment::from_ms),
            })
        })
        .await
    }

    /// How many jobs of a tenant, created between two times (Unix milliseconds), ended: kind, state and number, in order. A mock publication counts as
    /// none.
    ///
    /// # Errors
    /// [`Error::Unavailable`] when it may work later.
    pub async fn count_jobs(
        &self,
        tenant: &str,
        from_ms: u64,
        to_ms: u64,
    ) -> Result<Vec<(String, String, u64)>, Error> {
        // Ids begin with the time of creation.
        let id = |ms: u64| format!("{:08x}-{:04x}", ms >> 16, ms & 0xffff);
        let jobs = self.collection("jobs");
        let stages = [
            doc! { "$match": { "tenant": tenant, "_id": { "$gte": id(from_ms), "$lt": id(to_ms) },
            "$nor": [{ "kind": "publication", "provider": "mock" }] } },
            doc! { "$group": { "_id": { "kind": "$kind", "state": "$state" }, "n": { "$sum": 1_i64 } } },
            doc! { "$sort": { "_id": 1 } },
        ];
        let count = async move { jobs.aggregate(stages).max_time(MAX_TIME).await?.try_collect::<Vec<_>>().await };
        let groups = run(format!("count the jobs of {tenant}"), ANSWER_TIMEOUT, count).await?;
        let read = |group: &Document| {
            let key = group.get_document("_id").ok()?;
            let text = |name: &str| key.get_str(name).ok().map(str::to_owned);
            Some((text("kind")?, text("state")?, u64::try_from(group.get_i64("n").ok()?).ok()?))
        };
        Ok(groups.iter().filter_map(read).collect())
    }

    /// Deletes the results in `collection` that were made before a time (Unix milliseconds); returns how many there were.
    ///
    /// # Errors
    /// [`Error::Unavailable`] when it may work later.
    pub async fn delete_results_before(&self, collection: &'static str, before_ms: u64) -> Result<u64, Error> {
        let results = self.collection(collection);
        let filter = doc! { "created_at": { "$lt": date(Some(Moment::from_ms(before_ms))) } };
        let delete = async move { Ok(results.delete_many(filter).await?.deleted_count) };
        run(format!("delete old results of {collection}"), ANSWER_TIMEOUT, delete).await
    }

    /// How far the task of a job is; `None` if it is at its begin.
    ///
    /// # Errors
    /// [`Error::Unavailable`] when it may work later.
    pub async fn task_progress(&self, job: &str) -> Result<Option<TaskProgress>, Error> {
        let found = self.find_readable::<Document>(PROGRESS, doc! { "_id": job }, doc! { "_id": 1 }, 1).await?;
        let read = |document: &Document| {
            let after = Cursor(document.get("after")?.clone());
            Some(TaskProgress { after, n_added: u64::try_from(document.get_i64("n_added").ok()?).ok()? })
        };
        Ok(found.read.first().and_then(read))
    }

    /// Remembers how far the task of a job is, and for how long: 30 days.
    ///
    /// # Errors
    /// [`Error::Unavailable`] when it may work later (and may have happened).
    pub async fn keep_task_progress(&self, job: &str, progress: &TaskProgress) -> Result<(), Error> {
        let collection = self.collection(PROGRESS);
        let n_added = i64::try_from(progress.n_added).unwrap_or(i64::MAX);
        let set = doc! { "$set": { "after": progress.after.0.clone(), "n_added": n_added, "at": DateTime::now() } };
        let filter = doc! { "_id": job };
        let write = async move { collection.update_one(filter, set).upsert(true).await };
        run(format!("write how far the task of job {job} is"), ANSWER_TIMEOUT, write).await.map(|_| ())
    }

    /// Forgets how far the task of a job is: it is done.
    ///
    /// # Errors
    /// [`Error::Unavailable`] when it may work later (and may have happened).
    pub async fn forget_task_progress(&self, job: &str) -> Result<(), Error> {
        let collection = self.collection(PROGRESS);
        let filter = doc! { "_id": job };
        let delete = async move { collection.delete_one(filter).await };
        run(format!("forget how far the task of job {job} is"), ANSWER_TIMEOUT, delete).await.map(|_| ())
    }

    async fn page<T>(
        &self,
        collection: &'static str,
        mut filter: Document,
        after: Option<Cursor>,
        limit: usize,
        read: impl Fn(&Document) -> Option<T>,
    ) -> Result<(Vec<T>, Option<Cursor>), Error> {
        if let Some(Cursor(id)) = after {
            filter.insert("_id", doc! { "$gt": id });
        }
        let documents: Vec<Document> = self.find(collection, filter, doc! { "_id": 1 }, limit).await?;
        let last = documents.last().filter(|_| documents.len() == limit);
        let next = last.and_then(|last| last.get("_id").cloned()).map(Cursor);
        Ok((documents.iter().filter_map(read).collect(), next))
    }

    async fn earliest_ms(
        &self,
        collection: &'static str,
        field: &'static str,
        after_ms: Option<u64>,
    ) -> Result<Option<u64>, Error> {
        let found = self.collection(collection);
        let after = after_ms.map_or(Bson::DateTime(DateTime::MIN), |ms| date(Some(Moment::from_ms(ms))));
        let find = async move {
            let find = found.find_one(doc! { field: { "$gt": after } });
            find.sort(doc! { field: 1 }).projection(doc! { "_id": 0, field: 1 }).max_time(MAX_TIME).await
        };
        let document = run(format!("look for the next {field} of {collection}"), ANSWER_TIMEOUT, find).await?;
        let at = document.and_then(|document| document.get_datetime(field).ok().copied());
        Ok(at.map(|at| u64::try_from(at.timestamp_millis()).unwrap_or(0)))
    }

    /// What all of must be readable.
    async fn find<T: DeserializeOwned>(
        &self,
        collection: &'static str,
        filter: Document,
        sort: Document,
        limit: usize,
    ) -> Result<Vec<T>, Error> {
        let Documents { read, mut unreadable } = self.find_readable(collection, filter, sort, limit).await?;
        match unreadable.pop() {
            Some(Unreadable { id, reason }) => {
                Err(Error::Refused { what: format!("read {id} of {collection}"), reason })
            }
            None => Ok(read),
        }
    }

    async fn find_readable<T: DeserializeOwned>(
        &self,
        collection: &'static str,
        filter: Document,
        sort: Document,
        limit: usize,
    ) -> Result<Documents<T>, Error> {
        let found = self.collection(collection);
        let limit = i64::try_from(limit).unwrap_or(i64::MAX);
        let find = async move {
            let documents = found.find(filter).sort(sort).limit(limit).max_time(MAX_TIME).await?;
            documents.try_collect::<Vec<Document>>().await
        };
        let documents = run(format!("read {collection}"), ANSWER_TIMEOUT, find).await?;
        let mut found = Documents { read: Vec::with_capacity(documents.len()), unreadable: Vec::new() };
        for document in documents {
            let id = id_text(&document);
            match bson::deserialize_from_document(document) {
                Ok(read) => found.read.push(read),
                Err(error) => {
                    let (id, reason) = (id.unwrap_or_default(), error.to_string());
                    found.unreadable.push(Unreadable { id, reason });
                }
            }
        }
        Ok(found)
    }

    /// Small updates in one command, each of one document.
    async fn update(
        &self,
        collection: &'static str,
        updates: impl Iterator<Item = (Document, Changes)>,
    ) -> Result<(), Error> {
        let updates: Vec<Document> =
            updates.map(|(filter, changes)| doc! { "q": filter, "u": changes.into_update() }).collect();
        if updates.is_empty() {
            return Ok(());
        }
        let what = format!("update {} {collection}", updates.len());
        let ms = |limit: Duration| i64::try_from(limit.as_millis()).unwrap_or(i64::MAX);
        let command = doc! {
            "update": collection, "updates": updates, "ordered": false, "maxTimeMS": ms(MAX_TIME),
            "writeConcern": { "w": "majority", "wtimeout": ms(MAJORITY_TIMEOUT) },
        };
        let database = self.database.clone();
        let answer = run(what.clone(), ANSWER_TIMEOUT, async move { database.run_command(command).await }).await?;
        let problem = answer.get("writeConcernError").or_else(|| answer.get("writeErrors"));
        problem.map_or(Ok(()), |problem| Err(Error::Unavailable { what, reason: problem.to_string() }))
    }
}

/// How far a task is.
#[derive(Debug, Clone, PartialEq)]
pub struct TaskProgress {
    /// Where it goes on.
    pub after: Cursor,
    /// How many jobs it has added by then.
    pub n_added: u64,
}

/// Where a page of what the back end writes ended.
#[derive(Debug, Clone, PartialEq)]
pub struct Cursor(Bson);

/// What an update does to a document.
#[derive(Default)]
struct Changes {
    set: Document,
    unset: Document,
}

impl Changes {
    fn set_or_unset(&mut self, field: &str, value: Option<Bson>) {
        match value {
            Some(value) => self.set.insert(field, value),
            None => self.unset.insert(field, ""),
        };
    }

    fn into_update(self) -> Document {
        let both = [("$set", self.set), ("$unset", self.unset)];
        let given = both.into_iter().filter(|(_, changes)| !changes.is_empty());
        given.map(|(name, changes)| (name.to_owned(), Bson::from(changes))).collect()
    }
}

/// The `_id` as text: the back end may use texts or object ids.
fn id_text(document: &Document) -> Option<String> {
    match document.get("_id")? {
        Bson::String(text) => Some(text.clone()),
        Bson::ObjectId(id) => Some(id.to_hex()),
        other => Some(other.to_string()),
    }
}

fn date(moment: Option<Moment>) -> Bson {
    let ms = moment.map(|moment| i64::try_from(moment.ms()).unwrap_or(i64::MAX));
    ms.map_or(Bson::Null, |ms| Bson::DateTime(DateTime::from_millis(ms)))
}

fn at_most(field: &str, ms: u64, except: &[String]) -> Document {
    let mut filter = doc! { field: { "$lte": date(Some(Moment::from_ms(ms))) } };
    if !except.is_empty() {
        filter.insert("_id", doc! { "$nin": except });
    }
    filter
}

fn to_document(what: &str, value: &impl Serialize) -> Result<Document, Error> {
    bson::serialize_to_document(value)
        .map_err(|error| Error::Refused { what: what.to_owned(), reason: error.to_string() })
}
