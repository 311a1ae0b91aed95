//! Enqueues what is due, once a tick, in however many replicas it runs.
//!
//! A tick is a row in MongoDB whose id is made of the schedule and the time: of all replicas that notice it, one inserts it, with
//! the majority's word. Only then is its job pushed, under an id that is made of the same two; then the row is marked. Whoever
//! finds a row that is not marked pushes it again: a job that is there is not added a second time. Some seconds later each row is
//! pushed once more, because a Redis that failed over may have lost what it had confirmed.
//!
//! Next ticks are reckoned by the tables of time zones of that day. When these are replaced, they are reckoned anew; older tables never
//! replace what newer ones reckoned.
//!
//! What one replica cannot read, a newer release has written: it stays as it is, and holds up nothing else. Neither does a queue whose
//! keys are damaged.
//!
//! Which ticks are due, `due.rs` says; this file does I/O.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use async_recursion::async_recursion as boxed;
use chrono::{DateTime, Utc};
use futures::{StreamExt, TryStreamExt, stream};
use queue::{Client, JobId, NewJob, Pushed};
use serde::{Deserialize, Serialize};
use store::{Advance, Documents, Moment, Reckoned, Store, StoredSchedule, Tick, TickOutcome, Unreadable};

use crate::{
    definition::{Definition, JobSpec, Overlap, Plan, schedule_id},
    due::{Due, due, reckoned_anew},
    timetable::{Row, TIMETABLE, timetable},
};

/// Schedules, or ticks, that are handled at a time.
const BATCH: usize = 500;
/// Ticks whose predecessors are looked at, at a time.
const AT_ONCE: usize = 16;
/// MongoDB is asked at least so often what is due: another process may have changed it.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// A replica that wrote a tick has so long to push its job before others do.
const OTHERS_PUSH_AFTER_MS: u64 = 2_000;
/// What was pushed is pushed once more so much later: a Redis that fails over loses at most the last second.
const AGAIN_AFTER_MS: u64 = 10_000;
/// A tick that waited longer may have been run and forgotten by Redis: the history is asked.
const LONG_MS: u64 = 12 * 3600 * 1000;
/// A tick whose job only a newer release can read is left to that for so long.
const LEFT_TO_OTHERS_MS: u64 = 3600 * 1000;
/// How often it is looked for next ticks that others have reckoned by older tables of time zones.
const RECKON_EVERY: Duration = Duration::from_secs(60);
/// The wait after a failure.
const PAUSE: Duration = Duration::from_secs(1);

/// Looks at schedules and enqueues their jobs.
#[derive(Debug, Clone)]
pub struct Ticker {
    client: Client,
    store: Store,
    timetable: Vec<Row>,
    /// The timetable's version.
    version: i64,
    /// What cannot be read or pushed, and was told.
    told: Arc<Mutex<BTreeSet<String>>>,
}

/// Why jobs could not be enqueued now.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Redis.
    #[error(transparent)]
    Queue(#[from] queue::Error),
    /// MongoDB.
    #[error(transparent)]
    Store(#[from] store::Error),
}

/// What is pushed for a tick.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Spec {
    tenant: String,
    name: String,
    overlap: Overlap,
    job: JobSpec,
}

impl Ticker {
    /// A ticker with the rows of the timetable. Time is the client's.
    #[must_use]
    pub fn new(client: Client, store: Store) -> Self {
        Self::with_timetable(client, store, TIMETABLE, timetable())
    }

    /// A ticker with the rows of another timetable of this version.
    #[must_use]
    pub fn with_timetable(client: Client, store: Store, version: i64, timetable: Vec<Row>) -> Self {
        Self { client, store, timetable, version, told: Arc::default() }
    }

    /// Runs until it is dropped; an outage only delays it.
    #[boxed]
    pub async fn run(self) {
        let mut failing = false;
        let mut tables = zones::tables();
        while let Err(error) = self.prepare().await {
            say_once(&mut failing, &error);
            tokio::time::sleep(PAUSE).await;
        }
        let mut reckoned_at = Instant::now();
        loop {
            let now = zones::tables();
            let were_replaced = !Arc::ptr_eq(&tables, &now);
            let looked = async {
                if were_replaced || reckoned_at.elapsed() >= RECKON_EVERY {
                    self.reckon(were_replaced).await?;
                    (tables, reckoned_at) = (now, Instant::now());
                }
                self.look().await
            };
            let wait = match looked.await {
                Ok(wait) => {
                    if std::mem::take(&mut failing) {
                        tracing::info!("schedules go on");
                    }
                    wait
                }
                Err(error) => {
                    say_once(&mut failing, &error);
                    PAUSE
                }
            };
            tokio::time::sleep(wait).await;
        }
    }

    /// Creates the indexes, brings the timetable's rows up to date, and reckons next ticks by the tables of time zones of today.
    ///
    /// # Errors
    /// [`Error::Store`]; it may be repeated.
    #[boxed]
    pub async fn prepare(&self) -> Result<(), Error> {
        self.store.prepare_schedules().await?;
        let ids: Vec<String> = self.timetable.iter().map(Row::id).collect();
        let ids: Vec<&str> = ids.iter().map(String::as_str).collect();
        self.store.keep_built_in_schedules(&ids, self.version).await?;
        for row in &self.timetable {
            match self.store.schedule(&row.id()).await {
                Ok(found) => self.bring_up_to_date(row, found).await?,
                Err(store::Error::Refused { reason, .. }) => self.tell_unreadable(&[(row.id(), reason)]),
                Err(error) => return Err(error.into()),
            }
        }
        self.reckon(false).await?;
        Ok(())
    }

    /// Writes a row of the timetable, unless it is there or a later version's is.
    async fn bring_up_to_date(&self, row: &Row, found: Option<StoredSchedule>) -> Result<(), Error> {
        let definition = text(&row.definition);
        let revision = found.as_ref().map(|found| found.revision);
        let mut stored = match found {
            Some(found) if !found.built_in => {
                tracing::warn!(schedule = found.id, "a schedule of the same name hides this row of the timetable");
                return Ok(());
            }
            Some(found) if found.timetable > self.version => return Ok(()),
            Some(found) if found.definition == definition && found.timetable == self.version => return Ok(()),
            // Only its version is new.
            Some(found) if found.definition == definition => found,
            found => {
                let mut stored = new_schedule(row.tenant(), row.name, &row.definition, self.client.now_ms());
                if found.as_ref().is_some_and(|found| found.paused) {
                    pause(&mut stored);
                }
                stored.last_tick = found.and_then(|found| found.last_tick);
                stored
            }
        };
        stored.built_in = true;
        stored.timetable = self.version;
        stored.revision = revision.unwrap_or_default() + 1;
        // False: another replica was faster.
        self.store.replace_schedule(&stored, revision).await?;
        Ok(())
    }

    /// Reckons next ticks anew by the tables of time zones of today: all, or those that were reckoned by older tables, or by nobody
    /// knows which. Returns how many are others now.
    ///
    /// # Errors
    /// [`Error::Store`]; it may be repeated.
    #[boxed]
    pub async fn reckon(&self, all: bool) -> Result<usize, Error> {
        let tables = zones::tables();
        let tables = tables.version().as_str();
        let (mut n_changed, mut after) = (0, None::<String>);
        loop {
            let Documents { read, unreadable } =
                self.store.schedules_to_reckon(tables, all, after.as_deref(), BATCH).await?;
            let n_found = read.len() + unreadable.len();
            let ids =
                read.iter().map(|schedule| &schedule.id).chain(unreadable.iter().map(|unreadable| &unreadable.id));
            after = ids.max().cloned();
            let mut advances = Vec::new();
            for schedule in read {
                // What newer tables say is right.
                let is_newer = schedule.reckoned_by().is_some_and(|theirs| theirs > tables);
                let (Some(found_tick), Ok((_, plan))) = (schedule.next_tick, self::read(&schedule)) else { continue };
                if is_newer {
                    continue;
                }
                let next =
                    reckoned_anew(&plan, time(found_tick), schedule.last_tick.map(time), time(schedule.updated_at));
                let is_same = next.map(moment) == Some(found_tick);
                if is_same && schedule.reckoned_by() == Some(tables) {
                    continue;
                }
                if !is_same {
                    n_changed += 1;
                    tracing::info!(schedule = schedule.id, tables, was = %time(found_tick), is = ?next,
                        "the next run is at another time by the tables of time zones of today");
                }
                let next_at = next.map(|next| moment(plan.push_at(&schedule.id, next)));
                advances.push(Advance {
                    next_tick: next.map(moment),
                    next_at: if is_same { schedule.next_at } else { next_at },
                    made_up: is_same && schedule.made_up.is_some(),
                    last_tick: None,
                    tables: tables.to_owned(),
                    found: schedule,
                });
            }
            self.store.advance_schedules(&advances).await?;
            if n_found < BATCH {
                return Ok(n_changed);
            }
        }
    }

    /// Enqueues all that is due, and says when to look again.
    ///
    /// # Errors
    /// [`Error`]; nothing is lost, and it may be repeated.
    #[boxed]
    pub async fn look(&self) -> Result<Duration, Error> {
        let is_due = |at: Option<u64>, now_ms: u64| at.is_some_and(|at| at <= now_ms);
        let mut next_due = self.store.next_due_ms(None).await?;
        let now_ms = self.client.now_ms();
        let mut more = false;
        if is_due(next_due, now_ms) {
            more = self.enqueue_due(now_ms).await?;
            // What cannot be read stays due.
            next_due = self.store.next_due_ms(Some(now_ms)).await?;
        }
        if is_due(self.store.next_push_ms().await?, now_ms) {
            self.push_waiting(now_ms).await?;
        }
        if more {
            return Ok(Duration::ZERO);
        }
        let until = next_due.map(|at| Duration::from_millis(at.saturating_sub(self.client.now_ms())));
        Ok(until.unwrap_or(LOOK_EVERY).min(LOOK_EVERY))
    }

    /// True when more is due than one look brings.
    async fn enqueue_due(&self, now_ms: u64) -> Result<bool, Error> {
        let (mut more, mut left) = (false, Vec::new());
        loop {
            let found = self.store.due_schedules(now_ms, &ids(&left), BATCH).await?;
            let (n_due, n_left) = (found.n(), left.len());
            left.extend(found.unreadable.into_iter().map(pair));
            let (mut ticks, mut advances) = (Vec::new(), Vec::new());
            for schedule in found.read {
                match Self::go_on(&schedule, now_ms) {
                    Ok((due, advance)) => {
                        more |= advance.next_at.is_some_and(|at| at.ms() <= now_ms);
                        ticks.extend(due);
                        advances.push(advance);
                    }
                    Err(bad) => left.push(bad),
                }
            }
            let n_new = advances.len() + left.len() - n_left;
            let mut inserted = Vec::new();
            for chunk in ticks.chunks(BATCH) {
                let is_new = self.store.insert_ticks(chunk).await?;
                inserted.extend(chunk.iter().zip(is_new).filter(|(_, is_new)| *is_new).map(|(tick, _)| tick.clone()));
            }
            self.store.advance_schedules(&advances).await?;
            self.push(inserted, now_ms).await?;
            if n_due < BATCH || n_new == 0 {
                self.tell_unreadable(&left);
                return Ok(more);
            }
        }
    }

    /// Tells once what cannot be read, with the reason.
    fn tell_unreadable(&self, unreadable: &[(String, String)]) {
        let mut told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        for (id, reason) in unreadable.iter().filter(|(id, _)| !told.contains(id)) {
            tracing::error!(schedule = id, reason, "a schedule cannot be read; a newer release may have written it");
        }
        told.extend(ids(unreadable));
    }

    /// Tells once that a schedule's jobs cannot be pushed.
    fn tell_held_up(&self, schedule: &str, error: &queue::Error) {
        let mut told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        if told.insert(schedule.to_owned()) {
            tracing::error!(schedule, %error, "a schedule's job cannot be pushed; it is tried again each second");
        }
    }

    /// The ticks of a schedule that are due, and how it goes on.
    fn go_on(schedule: &StoredSchedule, now_ms: u64) -> Result<(Vec<Tick>, Advance), (String, String)> {
        let bad = |reason: String| (schedule.id.clone(), reason);
        let (definition, plan) = read(schedule).map_err(bad)?;
        let Some(next) = schedule.next_tick else { return Err(bad("it has no next time".to_owned())) };
        let made_up = schedule.made_up.map(time);
        let go_on = |next: Option<DateTime<Utc>>, make_up: bool, last: Option<DateTime<Utc>>| Advance {
            next_tick: next.map(moment),
            next_at: next.map(|next| if make_up { next } else { plan.push_at(&schedule.id, next) }).map(moment),
            made_up: make_up,
            last_tick: last.map(moment),
            tables: zones::tables().version().to_string(),
            found: schedule.clone(),
        };
        match due(&plan, &schedule.id, time(next), made_up, time(Moment::from_ms(now_ms))) {
            Due::Jump { to, make_up } => {
                tracing::info!(schedule = schedule.id, missed = %time(next), goes_on = ?to, "runs were missed");
                Ok((Vec::new(), go_on(to, make_up, None)))
            }
            Due::Run { ticks, next } => {
                let overlap = definition.overlap.unwrap_or_default();
                let spec =
                    Spec { tenant: schedule.tenant.clone(), name: schedule.name.clone(), overlap, job: definition.job };
                let spec = text(&spec);
                let advance = go_on(next, false, ticks.last().copied());
                let ticks = ticks.into_iter().map(|tick| Tick {
                    id: tick_id(&schedule.id, moment(tick)),
                    schedule: schedule.id.clone(),
                    tick: moment(tick),
                    created_at: Moment::from_ms(now_ms),
                    by_hand: false,
                    outcome: TickOutcome::New,
                    reason: None,
                    job: None,
                    push_at: Some(Moment::from_ms(now_ms + OTHERS_PUSH_AFTER_MS)),
                    spec: Some(spec.clone()),
                });
                Ok((ticks.collect(), advance))
            }
        }
    }

    /// Pushes the ticks of replicas that did not get as far, and those that are pushed once more.
    async fn push_waiting(&self, now_ms: u64) -> Result<(), Error> {
        let mut left = Vec::new();
        loop {
            let found = self.store.ticks_to_push(now_ms, &left, BATCH).await?;
            let n_found = found.n();
            let unreadable: Vec<_> = found.unreadable.into_iter().map(pair).collect();
            self.tell_unreadable(&unreadable);
            left.extend(ids(&unreadable));
            left.extend(self.push(found.read, now_ms).await?);
            if n_found < BATCH {
                return Ok(());
            }
        }
    }

    /// Pushes the jobs of ticks and writes what became of them. Returns the ids of those that it left as they are.
    async fn push(&self, ticks: Vec<Tick>, now_ms: u64) -> Result<Vec<String>, Error> {
        let (mut free, mut guarded) = (Vec::new(), BTreeMap::<String, Vec<(Tick, Spec)>>::new());
        let (mut settled, mut left) = (Vec::new(), Vec::new());
        for tick in ticks {
            match tick.spec.as_deref().map(serde_json::from_str::<Spec>) {
                Some(Ok(spec)) if spec.overlap == Overlap::Allow || tick.outcome != TickOutcome::New => {
                    free.push((tick, spec));
                }
                Some(Ok(spec)) => guarded.entry(tick.schedule.clone()).or_default().push((tick, spec)),
                Some(Err(error)) if tick.created_at.ms() + LEFT_TO_OTHERS_MS > now_ms => {
                    self.tell_unreadable(&[(tick.id.clone(), error.to_string())]);
                    left.push(tick.id);
                }
                Some(Err(error)) => {
                    settled.push(skipped(tick, format!("what is to be pushed cannot be read: {error}")))
                }
                None => settled.push(skipped(tick, "what is to be pushed is not there".to_owned())),
            }
        }
        self.store.settle_ticks(&settled).await?;
        if !free.is_empty() {
            left.extend(self.push_now(free).await?);
        }
        let guarded = guarded.into_values().map(|ticks| self.push_in_turn(ticks));
        let left_behind: Vec<Vec<String>> = stream::iter(guarded).buffer_unordered(AT_ONCE).try_collect().await?;
        left.extend(left_behind.into_iter().flatten());
        Ok(left)
    }

    /// Pushes the jobs of a schedule's ticks of which each minds the one before. Returns the ids of those that it left as they are.
    async fn push_in_turn(&self, mut ticks: Vec<(Tick, Spec)>) -> Result<Vec<String>, Error> {
        ticks.sort_by_key(|(tick, _)| tick.tick.ms());
        let mut left = Vec::new();
        for (tick, spec) in ticks {
            let (id, schedule) = (tick.id.clone(), tick.schedule.clone());
            match self.push_guarded(tick, spec).await {
                Ok(left_behind) => left.extend(left_behind),
                Err(Error::Queue(error)) if is_of_one_queue(&error) => {
                    self.tell_held_up(&schedule, &error);
                    left.push(id);
                }
                Err(error) => return Err(error),
            }
        }
        Ok(left)
    }

    /// Pushes the job of a tick that minds the one before. Returns its id if it was left as it is.
    async fn push_guarded(&self, tick: Tick, spec: Spec) -> Result<Vec<String>, Error> {
        let before = self.store.tick_before(&tick.schedule, tick.tick).await?;
        // One that only a newer release can push must not hold up those behind it.
        let can_be_minded = |before: &Tick| {
            before.outcome != TickOutcome::New
                || before.spec.as_deref().is_none_or(|spec| serde_json::from_str::<Spec>(spec).is_ok())
        };
        if let Some(before) = before.filter(can_be_minded) {
            if before.outcome == TickOutcome::New {
                // Its job has to be pushed first: both are looked at again.
                return Ok(vec![tick.id]);
            }
            let job = before.job.as_deref().and_then(|id| id.parse::<JobId>().ok());
            let running = match job {
                Some(id) => self.client.find(id).await?.filter(|view| !view.state.is_finished()).map(|view| view.id),
                None => None,
            };
            if let Some(running) = running {
                let own = self.client.fixed_id(&spec.job.kind, &tick.schedule, tick.tick.ms()).await?;
                let was_pushed = self.client.find(own).await?.is_some();
                if spec.overlap == Overlap::Skip && !was_pushed {
                    let reason = format!("job {running} of the time before has not ended");
                    self.store.settle_ticks(&[skipped(tick, reason)]).await?;
                    return Ok(Vec::new());
                }
                if spec.overlap == Overlap::CancelRunning {
                    match self.client.cancel(running).await {
                        Ok(_) | Err(queue::Error::NotFound | queue::Error::Conflict(_)) => {}
                        Err(error) => return Err(error.into()),
                    }
                }
            }
        }
        self.push_now(vec![(tick, spec)]).await
    }

    /// Pushes the jobs of ticks. Returns the ids of those that it left as they are.
    async fn push_now(&self, ticks: Vec<(Tick, Spec)>) -> Result<Vec<String>, Error> {
        let now_ms = self.client.now_ms();
        let (mut waiting, mut jobs, mut settled) = (Vec::new(), Vec::new(), Vec::new());
        for (tick, spec) in ticks {
            match self.job(&tick, &spec, now_ms).await? {
                Ok(job) => {
                    waiting.push(tick);
                    jobs.push(job);
                }
                Err(became) => settled.push(became),
            }
        }
        // Those with a unique key may have to be pushed in the place of its holder.
        let pushes: Vec<_> = jobs.iter().map(|(id, job)| (*id, job.unique.is_some().then(|| job.clone()))).collect();
        let (mut left, mut failure) = (Vec::new(), None);
        for ((tick, (id, unique)), pushed) in waiting.into_iter().zip(pushes).zip(self.client.push_fixed(jobs).await) {
            let pushed = match (pushed, unique) {
                (Ok(Pushed::Existing(holder)), Some(job)) => self.push_over(holder, id, job).await?,
                (pushed, _) => pushed,
            };
            match pushed {
                Ok(pushed) if pushed.id() == id => settled.push(done(tick, pushed, now_ms)),
                Ok(other) => settled.push(skipped(tick, format!("job {} holds the unique key", other.id()))),
                // Nothing else than the job itself can make a tick void.
                Err(error @ (queue::Error::Invalid(_) | queue::Error::Duplicate(_))) => {
                    settled.push(skipped(tick, error.to_string()));
                }
                Err(error) if is_of_one_queue(&error) => {
                    self.tell_held_up(&tick.schedule, &error);
                    left.push(tick.id);
                }
                Err(error) => failure = Some(error),
            }
        }
        self.store.settle_ticks(&settled).await?;
        failure.map_or(Ok(left), |error| Err(error.into()))
    }

    /// Pushes a job whose unique key another is said to hold, or it itself, if that one is neither in the queue nor in the history: it was
    /// lost, and holds no key.
    async fn push_over(&self, holder: JobId, id: JobId, job: NewJob) -> Result<Result<Pushed, queue::Error>, Error> {
        let is_there = match self.client.find(holder).await {
            Ok(found) => found.is_some(),
            Err(error) => return Ok(Err(error)),
        };
        if is_there || !self.store.ended(&[holder.to_string()]).await?.is_empty() {
            return Ok(Ok(Pushed::Existing(holder)));
        }
        tracing::warn!(job.id = %holder, "a job that holds a unique key is nowhere: it was lost");
        Ok(match self.client.submit_over(holder, Some(id), job).await {
            Err(queue::Error::Duplicate(holder)) => Ok(Pushed::Existing(holder)),
            pushed => pushed,
        })
    }

    /// The job of a tick and its id, or the tick as it is settled without a push.
    async fn job(&self, tick: &Tick, spec: &Spec, now_ms: u64) -> Result<Result<(JobId, NewJob), Tick>, Error> {
        let id = match self.client.fixed_id(&spec.job.kind, &tick.schedule, tick.tick.ms()).await {
            Ok(id) => id,
            Err(error @ queue::Error::Invalid(_)) => return Ok(Err(skipped(tick.clone(), error.to_string()))),
            Err(error) => return Err(error.into()),
        };
        let waited_long = tick.created_at.ms() + LONG_MS < now_ms;
        if waited_long && self.store.past_job(&id.to_string()).await?.is_some() {
            return Ok(Err(Tick { spec: None, push_at: None, ..done(tick.clone(), Pushed::Existing(id), now_ms) }));
        }
        Ok(match spec.job.to_job(&spec.tenant, &spec.name, time(tick.tick), now_ms) {
            Ok(job) => Ok((id, job)),
            Err(error) => Err(skipped(tick.clone(), format!("the job's options cannot be read: {error}"))),
        })
    }
}

/// Whether jobs of other queues, or with other keys, may be pushed all the same: not so if Redis is away or full.
fn is_of_one_queue(error: &queue::Error) -> bool {
    matches!(error, queue::Error::Redis(_) | queue::Error::Corrupt(_) | queue::Error::Contended(_))
}

/// An outage is told once.
fn say_once(failing: &mut bool, error: &Error) {
    if !std::mem::replace(failing, true) {
        tracing::warn!(%error, "schedules cannot be looked at; what is due waits");
    }
}

fn pair(unreadable: Unreadable) -> (String, String) {
    (unreadable.id, unreadable.reason)
}

fn ids(unreadable: &[(String, String)]) -> Vec<String> {
    unreadable.iter().map(|(id, _)| id.clone()).collect()
}

fn skipped(tick: Tick, reason: String) -> Tick {
    tracing::info!(schedule = tick.schedule, tick = %time(tick.tick), reason, "no job is enqueued");
    Tick { outcome: TickOutcome::Skipped, reason: Some(reason), push_at: None, spec: None, ..tick }
}

/// The first time it is pushed once more later; then it is over.
fn done(tick: Tick, pushed: Pushed, now_ms: u64) -> Tick {
    let again = tick.outcome == TickOutcome::New;
    Tick {
        outcome: TickOutcome::Pushed,
        job: Some(pushed.id().to_string()),
        push_at: again.then(|| Moment::from_ms(now_ms + AGAIN_AFTER_MS)),
        spec: tick.spec.filter(|_| again),
        ..tick
    }
}

/// The definition of a stored schedule, and when it is due.
///
/// # Errors
/// The reason, when a newer release has written it.
pub fn read(schedule: &StoredSchedule) -> Result<(Definition, Plan), String> {
    let definition: Definition = serde_json::from_str(&schedule.definition).map_err(|error| error.to_string())?;
    let plan = definition.plan().map_err(|errors| {
        errors.iter().map(|error| format!("{} {}", error.pointer, error.message)).collect::<Vec<_>>().join("; ")
    })?;
    Ok((definition, plan))
}

/// A schedule that begins now (Unix milliseconds), as it is stored; its revision is 1.
#[must_use]
pub fn new_schedule(tenant: &str, name: &str, definition: &Definition, now_ms: u64) -> StoredSchedule {
    let mut schedule = StoredSchedule {
        id: schedule_id(tenant, name),
        tenant: tenant.to_owned(),
        name: name.to_owned(),
        definition: text(definition),
        built_in: false,
        timetable: 0,
        revision: 1,
        paused: definition.paused.unwrap_or_default(),
        next_tick: None,
        next_at: None,
        made_up: None,
        reckoned: None,
        last_tick: None,
        updated_at: Moment::from_ms(now_ms),
    };
    if !schedule.paused {
        resume(&mut schedule, now_ms);
    }
    schedule
}

/// The id of a time that a schedule was due.
#[must_use]
pub fn tick_id(schedule: &str, tick: Moment) -> String {
    format!("{schedule}@{}", tick.ms())
}

/// Lets a schedule be due at no time.
pub fn pause(schedule: &mut StoredSchedule) {
    schedule.paused = true;
    schedule.next_tick = None;
    schedule.next_at = None;
    schedule.made_up = None;
    schedule.reckoned = None;
}

/// Lets a schedule go on with the first time after now (Unix milliseconds).
pub fn resume(schedule: &mut StoredSchedule, now_ms: u64) {
    schedule.paused = false;
    schedule.made_up = None;
    let next = read(schedule).ok().and_then(|(_, plan)| {
        let tick = plan.next_after(time(Moment::from_ms(now_ms)))?;
        Some((tick, plan.push_at(&schedule.id, tick)))
    });
    schedule.next_tick = next.map(|(tick, _)| moment(tick));
    schedule.next_at = next.map(|(_, at)| moment(at));
    schedule.reckoned =
        schedule.next_tick.map(|next_tick| Reckoned { tables: zones::tables().version().to_string(), next_tick });
}

fn text(value: &impl Serialize) -> String {
    serde_json::to_string(value).unwrap_or_default()
}

fn time(moment: Moment) -> DateTime<Utc> {
    let ms = i64::try_from(moment.ms()).unwrap_or(i64::MAX);
    DateTime::from_timestamp_millis(ms).unwrap_or(DateTime::<Utc>::MAX_UTC)
}

fn moment(time: DateTime<Utc>) -> Moment {
    Moment::from_ms(u64::try_from(time.timestamp_millis()).unwrap_or(0))
}
