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
//! Which ticks are due, `due.rs` says; the files here do I/O.
//!
//! Order, lowest first: `told`, `rows`, `push`.

mod push;
mod rows;
mod told;

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use async_recursion::async_recursion as boxed;
use chrono::{DateTime, Utc};
use queue::Client;
use store::{Advance, Moment, Store, StoredSchedule, Tick, TickOutcome, Unreadable};

use crate::{
    admission::Admission,
    due::{Due, due},
    error::Error,
    stored::{moment, read, text, tick_id, time},
    timetable::{Row, TIMETABLE, timetable},
};
use push::{Pusher, Spec};
use rows::BATCH;
use told::{Told, ids};

/// MongoDB is asked at least so often what is due: another process may have changed it.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// A replica that wrote a tick has so long to push its job before others do.
const OTHERS_PUSH_AFTER_MS: u64 = 2_000;
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
    told: Told,
    pusher: Pusher,
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
        let told = Told::default();
        let pusher = Pusher { client: client.clone(), store: store.clone(), told: told.clone(), admission: None };
        Self { client, store, timetable, version, told, pusher }
    }

    /// The same, which asks about each job whether it may be enqueued. A time whose job may not is noted with the reason.
    #[must_use]
    pub fn with_admission(mut self, admission: Arc<dyn Admission>) -> Self {
        self.pusher.admission = Some(admission);
        self
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
        rows::bring_up_to_date(&self.store, &self.timetable, self.version, self.client.now_ms(), &self.told).await?;
        self.reckon(false).await?;
        Ok(())
    }

    /// Reckons next ticks anew by the tables of time zones of today: all, or those that were reckoned by older tables, or by nobody
    /// knows which. Returns how many are others now.
    ///
    /// # Errors
    /// [`Error::Store`]; it may be repeated.
    #[boxed]
    pub async fn reckon(&self, all: bool) -> Result<usize, Error> {
        rows::reckon(&self.store, all).await
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
            self.pusher.push_waiting(now_ms).await?;
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
            left.extend(found.unreadable);
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
            self.pusher.push(inserted, now_ms).await?;
            if n_due < BATCH || n_new == 0 {
                self.told.unreadable(&left);
                return Ok(more);
            }
        }
    }

    /// The ticks of a schedule that are due, and how it goes on.
    fn go_on(schedule: &StoredSchedule, now_ms: u64) -> Result<(Vec<Tick>, Advance), Unreadable> {
        let bad = |reason: String| Unreadable { id: schedule.id.clone(), reason };
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
}

/// An outage is told once.
fn say_once(failing: &mut bool, error: &Error) {
    if !std::mem::replace(failing, true) {
        tracing::warn!(%error, "schedules cannot be looked at; what is due waits");
    }
}
