//! The client: pushes jobs, finds them, waits for them, cancels and retries them.

use std::{
    collections::HashSet,
    sync::{Arc, Mutex},
    time::Duration,
};

use fleet::Clock;
use redis::AsyncCommands;

use crate::{
    directory::Directory,
    error::Error,
    events::Events,
    job::Kind,
    keys::{self, Partition},
    message::{Finished, History, JobId, NewJob, Record, State},
    owner::Owner,
    pusher::Pusher,
    scripts::{self, Cancel, Found, Push, Retention},
    tenants::indexed,
    view::JobView,
};

/// The largest payload, in bytes.
pub const MOST_PAYLOAD: usize = 1 << 20;
/// Whoever waits for a job looks at it so often even if nothing was told, because a message may get lost.
pub(crate) const LOOK_EVERY: Duration = Duration::from_secs(15);
/// So often on a full Redis, where nobody can be told.
const LOOK_AGAIN: Duration = Duration::from_secs(1);
/// What a probe writes is forgotten after so long.
const PROBE_KEPT_S: u64 = 60;
/// How long finished jobs are kept in Redis.
pub const RETENTION: Duration = Duration::from_secs(24 * 3600);
/// How often cancelling and retrying look again when the job has moved meanwhile.
const TRIES: u32 = 20;

/// A handle on all queues; clone it freely.
#[derive(Clone, Debug)]
pub struct Client {
    pub(crate) redis: fleet::Redis,
    pub(crate) directory: Directory,
    pub(crate) clock: Clock,
    pub(crate) retention: Retention,
    kinds: Arc<[Arc<Kind>]>,
    pub(crate) events: Arc<Events>,
    pub(crate) pusher: Arc<Pusher>,
    /// The numbers of the partitions whose tenants' jobs this process indexes, or has indexed.
    pub(crate) indexing: Arc<Mutex<HashSet<u16>>>,
    /// Told when this client has ended jobs of which history is kept.
    pub(crate) ended: Arc<tokio::sync::Notify>,
}

impl Client {
    /// A client for `kinds`. Does not wait for Redis.
    #[must_use]
    pub fn new(redis: &fleet::Redis, kinds: Vec<Kind>) -> Self {
        Self::with_clock(redis, kinds, Clock::default())
    }

    /// A client that reads the time from `clock`.
    #[must_use]
    pub fn with_clock(redis: &fleet::Redis, kinds: Vec<Kind>, clock: Clock) -> Self {
        let retention = Retention { ms: u64::try_from(RETENTION.as_millis()).unwrap_or(u64::MAX) };
        Self {
            pusher: Pusher::new(redis, &clock, retention),
            redis: redis.clone(),
            directory: Directory::new(redis),
            clock,
            retention,
            kinds: kinds.into_iter().map(Arc::new).collect(),
            events: Events::new(redis),
            indexing: Arc::default(),
            ended: Arc::default(),
        }
    }

    /// The same client, but finished jobs are kept for `retention`; zero keeps none.
    #[must_use]
    pub fn with_retention(mut self, retention: Duration) -> Self {
        self.retention = Retention { ms: u64::try_from(retention.as_millis()).unwrap_or(u64::MAX) };
        self.pusher = Pusher::new(&self.redis, &self.clock, self.retention);
        self
    }

    /// The background tasks of all that share this client's Redis in this process.
    #[must_use]
    pub fn tasks(&self) -> &fleet::Tasks {
        self.redis.tasks()
    }

    /// Whether Redis answers, and how fast. Sets the clock after Redis', so that whoever only pushes has the same time as the workers.
    ///
    /// # Errors
    /// [`Error::Unavailable`] when it does not.
    pub async fn ping(&self) -> Result<Duration, Error> {
        let started = std::time::Instant::now();
        let mut pipe = redis::pipe();
        pipe.cmd("PING").ignore().cmd("TIME");
        let ((seconds, micros),): ((u64, u64),) = pipe.query_async(&mut self.redis.connection()).await?;
        let took = started.elapsed();
        self.clock.follow(seconds * 1000 + micros / 1000, took);
        Ok(took)
    }

    /// Like [`Client::ping`], and whether Redis takes what a job needs. A full server, or a replica after a failover, answers and takes none.
    ///
    /// # Errors
    /// [`Error::Unavailable`] and [`Error::Full`] when it takes none.
    pub async fn ping_with_a_write(&self) -> Result<Duration, Error> {
        let took = self.ping().await?;
        let key = keys::probe(self.redis.prefix());
        let _: () = self.redis.connection().set_ex(key, 1, PROBE_KEPT_S).await?;
        Ok(took)
    }

    /// Whether this Redis may hold jobs.
    ///
    /// # Errors
    /// [`Error::Invalid`] when it may evict keys: an evicted key is a lost job. [`Error::Unavailable`] when it does not answer.
    pub async fn check_server(&self) -> Result<(), Error> {
        let info: String = match redis::cmd("INFO").query_async(&mut self.redis.connection()).await {
            Ok(info) => info,
            // Whoever waited for this would wait for ever, and say nothing.
            Err(error) if error.code() == Some("NOPERM") => {
                tracing::warn!(%error, "whether redis may lose jobs is not checked: its access list does not allow INFO");
                return Ok(());
            }
            Err(error) => return Err(error.into()),
        };
        let field = |name: &str| info.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
        match field("maxmemory_policy") {
            Some("noeviction") | None => {}
            Some(policy) => {
                return Err(Error::Invalid(format!(
                    "redis evicts keys (maxmemory-policy {policy}), which would lose jobs: set it to noeviction"
                )));
            }
        }
        if field("aof_enabled") == Some("0") {
            tracing::warn!("redis has no append-only file: what it holds is lost with it (set appendonly yes)");
        }
        Ok(())
    }

    /// The defaults of a kind.
    #[must_use]
    pub fn kind(&self, name: &str) -> Option<&Arc<Kind>> {
        self.kinds.iter().find(|kind| kind.name == name)
    }

    pub(crate) fn kinds(&self) -> &[Arc<Kind>] {
        &self.kinds
    }

    /// Pushes one job. Pushes that come at the same time share a call.
    ///
    /// # Errors
    /// [`Error::Invalid`] for a bad name or too large a payload, [`Error::Full`], [`Error::Unavailable`].
    pub async fn push(&self, job: NewJob) -> Result<JobId, Error> {
        let partition = self.directory.of_queue(&job.kind).await?;
        let push = prepare(job, &partition, self.clock.now_ms())?;
        let id = push.id;
        self.pusher.push(partition, push).await?;
        Ok(id)
    }

    /// Pushes many; one result a job, in their order. Jobs of one queue go in chunks, each all or none.
    ///
    /// A job with a unique key is refused here, as by [`Client::push`]: [`Client::submit`] takes it.
    pub async fn push_many(&self, jobs: Vec<NewJob>) -> Vec<Result<JobId, Error>> {
        let now_ms = self.clock.now_ms();
        let mut results: Vec<Result<JobId, Error>> = Vec::with_capacity(jobs.len());
        let mut queues: Vec<(Arc<Partition>, Vec<usize>, Vec<Push>)> = Vec::new();
        for (position, job) in jobs.into_iter().enumerate() {
            let prepared = async {
                let partition = self.directory.of_queue(&job.kind).await?;
                let push = prepare(job, &partition, now_ms)?;
                Ok((partition, push))
            };
            match prepared.await {
                Ok((partition, push)) => {
                    results.push(Ok(push.id));
                    match queues.iter_mut().find(|(queue, ..)| *queue == partition) {
                        Some((_, positions, pushes)) => {
                            positions.push(position);
                            pushes.push(push);
                        }
                        None => queues.push((partition, vec![position], vec![push])),
                    }
                }
                Err(error) => results.push(Err(error)),
            }
        }
        let connection = self.redis.connection();
        for (partition, positions, pushes) in queues {
            for (positions, pushes) in positions.chunks(scripts::MOST).zip(pushes.chunks(scripts::MOST)) {
                if let Err(error) = scripts::push(&connection, &partition, now_ms, pushes).await {
                    for position in positions {
                        results[*position] = Err(error.clone());
                    }
                }
            }
        }
        results
    }

    /// Finds a job in any state.
    ///
    /// # Errors
    /// [`Error::Unavailable`].
    pub async fn find(&self, id: JobId) -> Result<Option<JobView>, Error> {
        let Some((partition, found)) = self.locate(id).await? else { return Ok(None) };
        Ok(Some(self.view(id, &partition, &found)))
    }

    /// Like [`Client::find`], but answers only when the job has finished, or after `timeout` with what it is.
    ///
    /// # Errors
    /// [`Error::Unavailable`].
    pub async fn wait(&self, id: JobId, timeout: Duration) -> Result<Option<JobView>, Error> {
        let deadline = tokio::time::Instant::now() + timeout;
        let Some(partition) = self.directory.of_id(id).await? else { return Ok(None) };
        let waiting = self.events.register(id).await;
        let until_ms = self.clock.now_ms() + u64::try_from(timeout.as_millis()).unwrap_or(u64::MAX) + 5_000;
        let look_again = match self.watch(&partition, id, until_ms).await {
            Ok(()) => LOOK_EVERY,
            // Nobody can be told of events then.
            Err(Error::Full) => LOOK_AGAIN,
            Err(error) => return Err(error),
        };
        loop {
            let changed = waiting.changed();
            tokio::pin!(changed);
            // From here on an event is noticed, so what the job is now cannot be missed.
            changed.as_mut().enable();
            let view = self.find(id).await?;
            if view.as_ref().is_none_or(|view| view.state.is_finished()) {
                return Ok(view);
            }
            let look_at = deadline.min(tokio::time::Instant::now() + look_again);
            if tokio::time::timeout_at(look_at, changed).await.is_err() && look_at == deadline {
                return self.find(id).await;
            }
        }
    }

    /// Cancels a job that has not finished. A running one is told to stop and may still be `running` in the answer.
    ///
    /// # Errors
    /// [`Error::NotFound`], [`Error::Conflict`] when it has finished, [`Error::Corrupt`] when it is in two places, [`Error::Unavailable`].
    pub async fn cancel(&self, id: JobId) -> Result<JobView, Error> {
        let connection = self.redis.connection();
        for _ in 0..TRIES {
            let (partition, found) = self.locate(id).await?.ok_or(Error::NotFound)?;
            let view = self.view(id, &partition, &found);
            if view.state.is_finished() {
                return Err(Error::Conflict(view.state.name()));
            }
            let now_ms = self.clock.now_ms();
            let finished = Finished {
                record: found.record.into(),
                state: State::Cancelled,
                finished_ms: now_ms,
                started_ms: None,
                worker: None,
                history: found.history.as_deref().map(|bytes| History::decode(Some(bytes))),
                success: None,
                reports: None,
                replaced_ms: None,
            };
            let stored = finished.encode()?;
            let history = self.keeps_history(&partition.queue);
            let job = Cancel { id, place: &found.place, finished: &stored, history };
            let cancelled = scripts::cancel(&connection, &partition, now_ms, self.retention, &job).await?;
            match cancelled {
                scripts::Cancelled::Moved => {}
                // Not looked for again: it may not be kept at all.
                scripts::Cancelled::Done => {
                    if let Some(tenant) = indexed(&view.tenant)
                        && let Err(error) = self.forget(&partition, &[(tenant, id)]).await
                    {
                        tracing::debug!(job.id = %id, %error, "upkeep takes it out of the index of its tenant");
                    }
                    return Ok(self.finished_view(id, &partition, finished));
                }
                scripts::Cancelled::Running(owner) => {
                    if let Ok(owner) = owner.parse::<Owner>()
                        && let Err(error) = self.tell(owner.replica.as_str()).await
                    {
                        tracing::debug!(job.id = %id, %error, "its worker hears of it at its next renewal");
                    }
                    return Ok(view);
                }
            }
        }
        Err(in_two_places(id))
    }

    /// Has a replica look at once which of its jobs are to stop; otherwise it looks at each renewal of its leases.
    async fn tell(&self, replica: &str) -> Result<(), Error> {
        let key = keys::control(self.redis.prefix(), replica);
        scripts::tell(&self.redis.connection(), &key, "cancel").await
    }

    /// Makes a dead, cancelled, expired or retrying job ready at once, with all its attempts before it.
    ///
    /// # Errors
    /// [`Error::NotFound`], [`Error::Conflict`] in any other state, [`Error::Duplicate`] when another job has its unique key by now,
    /// [`Error::Contended`], [`Error::Corrupt`] when it is in two places, [`Error::Full`],
    /// [`Error::Unavailable`].
    pub async fn retry(&self, id: JobId) -> Result<JobView, Error> {
        for _ in 0..TRIES {
            let (partition, found) = self.locate(id).await?.ok_or(Error::NotFound)?;
            let state = self.view(id, &partition, &found).state;
            if !matches!(state, State::Dead | State::Cancelled | State::Expired | State::Retrying) {
                return Err(Error::Conflict(state.name()));
            }
            if self.revive(&partition, id, &found).await? {
                return self.find(id).await?.ok_or(Error::NotFound);
            }
        }
        Err(in_two_places(id))
    }

    /// False when the job's state changed meanwhile. One that had ended needs its unique key anew: two jobs never have one key.
    pub(crate) async fn revive(&self, partition: &Partition, id: JobId, found: &Found) -> Result<bool, Error> {
        let again = match self.view(id, partition, found) {
            JobView { unique_key: Some(key), tenant, state, .. } if state.is_finished() => {
                self.claim_again(id, &tenant, &key).await?
            }
            _ => None,
        };
        let revived = self.revive_unkeyed(partition, id, found).await?;
        if let (true, Some(again)) = (revived, again) {
            self.keep_again(&again).await;
        }
        Ok(revived)
    }

    async fn revive_unkeyed(&self, partition: &Partition, id: JobId, found: &Found) -> Result<bool, Error> {
        let (record, mut history) = if found.place == "finished" {
            let finished = Finished::decode(&found.record)?;
            let mut history = finished.history.unwrap_or_default();
            history.reports = finished.reports.or(history.reports);
            (finished.record.into_vec(), history)
        } else {
            (found.record.clone(), History::decode(found.history.as_deref()))
        };
        if found.place != "retrying" {
            history.failures = 0;
            history.crashes = 0;
        }
        history.revive(self.clock.now_ms());
        let history = history.encode()?;
        let connection = self.redis.connection();
        scripts::revive(&connection, partition, self.retention, id, &found.place, &record, &history).await
    }

    pub(crate) async fn locate(&self, id: JobId) -> Result<Option<(Arc<Partition>, Found)>, Error> {
        let Some(partition) = self.directory.of_id(id).await? else { return Ok(None) };
        let found = scripts::find(&self.redis.connection(), &partition, self.retention, id).await?;
        Ok(found.map(|found| (partition, found)))
    }
}

/// No job changes its state so often between two calls: what is stored contradicts itself.
fn in_two_places(id: JobId) -> Error {
    Error::Corrupt(format!("job {id} is not where it was found, {TRIES} times; it may be in two places at once"))
}

/// A job that minds no unique key, ready to be pushed.
pub(crate) fn prepare(job: NewJob, partition: &Partition, now_ms: u64) -> Result<Push, Error> {
    if job.unique.is_some() {
        return Err(Error::Invalid("a job with a unique key is pushed by itself".to_owned()));
    }
    prepare_any(job, partition, now_ms)
}

pub(crate) fn prepare_any(job: NewJob, partition: &Partition, now_ms: u64) -> Result<Push, Error> {
    if job.payload.len() > MOST_PAYLOAD {
        return Err(Error::Invalid(format!(
            "a payload of {} bytes is too large: at most {MOST_PAYLOAD}",
            job.payload.len()
        )));
    }
    let due_ms = job.run_at_ms.filter(|at| *at > now_ms);
    let record = Record::new(job, now_ms);
    Ok(Push {
        id: JobId::new(partition.number, now_ms),
        priority: record.priority as usize,
        tenant: indexed(record.tenant()).map(str::to_owned),
        record: record.encode()?,
        due_ms,
    })
}
