//! The client: pushes jobs, finds them, waits for them, cancels and retries them.

use std::{sync::Arc, time::Duration};

use redis::AsyncCommands;
use serde::{Deserialize, Serialize};

use crate::{
    clock::Clock,
    directory::Directory,
    error::Error,
    events::Events,
    job::Kind,
    keys::{self, Partition},
    message::{Finished, History, JobId, NewJob, Record, State},
    owner::Owner,
    scripts::{self, Cancel, Found, Push, Retention},
    view::JobView,
};

/// The largest payload, in bytes.
pub const MOST_PAYLOAD: usize = 1 << 20;
/// How long finished jobs are kept in Redis.
pub const RETENTION: Duration = Duration::from_secs(24 * 3600);
const IDEMPOTENCY_KEPT: Duration = Duration::from_secs(24 * 3600);
/// A request that did not even end in an error within this time has died.
const IDEMPOTENCY_PENDING: Duration = Duration::from_secs(120);

/// A handle on all queues; clone it freely.
#[derive(Clone, Debug)]
pub struct Client {
    pub(crate) redis: fleet::Redis,
    pub(crate) directory: Directory,
    pub(crate) clock: Clock,
    pub(crate) retention: Retention,
    kinds: Arc<[Kind]>,
    events: Arc<Events>,
    /// Told when this client has ended jobs of which history is kept.
    pub(crate) ended: Arc<tokio::sync::Notify>,
}

/// What became of an idempotency key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Idempotency {
    /// First time: answer, then call [`Client::idempotency_store`] (2xx) or [`Client::idempotency_forget`] (anything else).
    New,
    /// The first request is still being answered.
    InProgress,
    /// The same key came with another body.
    Mismatch,
    /// The first answer, as it was stored.
    Replay(String),
}

#[derive(Serialize, Deserialize)]
struct StoredAnswer {
    fingerprint: String,
    answer: Option<String>,
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
        Self {
            redis: redis.clone(),
            directory: Directory::new(redis),
            clock,
            retention: Retention { ms: u64::try_from(RETENTION.as_millis()).unwrap_or(u64::MAX) },
            kinds: kinds.into(),
            events: Events::new(redis),
            ended: Arc::default(),
        }
    }

    /// The same client, but finished jobs are kept for `retention`; zero keeps none.
    #[must_use]
    pub fn with_retention(mut self, retention: Duration) -> Self {
        self.retention = Retention { ms: u64::try_from(retention.as_millis()).unwrap_or(u64::MAX) };
        self
    }

    /// Whether Redis answers, and how fast.
    ///
    /// # Errors
    /// [`Error::Unavailable`] when it does not.
    pub async fn ping(&self) -> Result<Duration, Error> {
        let started = std::time::Instant::now();
        let _: String = redis::cmd("PING").query_async(&mut self.redis.connection()).await?;
        Ok(started.elapsed())
    }

    /// Whether this Redis may hold jobs.
    ///
    /// # Errors
    /// [`Error::Invalid`] when it may evict keys: an evicted key is a lost job. [`Error::Unavailable`] when it does not answer.
    pub async fn check_server(&self) -> Result<(), Error> {
        let info: String = redis::cmd("INFO").query_async(&mut self.redis.connection()).await?;
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
    pub fn kind(&self, name: &str) -> Option<&Kind> {
        self.kinds.iter().find(|kind| kind.name == name)
    }

    pub(crate) fn kinds(&self) -> &[Kind] {
        &self.kinds
    }

    /// Pushes one job.
    ///
    /// # Errors
    /// [`Error::Invalid`] for a bad name or too large a payload, [`Error::Full`], [`Error::Unavailable`].
    pub async fn push(&self, job: NewJob) -> Result<JobId, Error> {
        match self.push_many(vec![job]).await.pop() {
            Some(result) => result,
            None => Err(Error::Invalid("no job".to_owned())),
        }
    }

    /// Pushes many; one result a job, in their order. Jobs of one queue go in chunks, each all or none.
    ///
    /// A job with a unique key is refused here: [`Client::submit`] takes it.
    pub async fn push_many(&self, jobs: Vec<NewJob>) -> Vec<Result<JobId, Error>> {
        let now_ms = self.clock.now_ms();
        let mut results: Vec<Result<JobId, Error>> = Vec::with_capacity(jobs.len());
        let mut queues: Vec<(Arc<Partition>, Vec<usize>, Vec<Push>)> = Vec::new();
        for (position, job) in jobs.into_iter().enumerate() {
            let prepared = async {
                if job.unique.is_some() {
                    return Err(Error::Invalid("a job with a unique key is pushed by itself".to_owned()));
                }
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
        let _: () = self.redis.connection().zadd(partition.key("watched"), id.as_bytes().as_slice(), until_ms).await?;
        loop {
            let changed = waiting.changed();
            tokio::pin!(changed);
            // From here on an event is noticed, so what the job is now cannot be missed.
            changed.as_mut().enable();
            let view = self.find(id).await?;
            if view.as_ref().is_none_or(|view| view.state.is_finished()) {
                return Ok(view);
            }
            if tokio::time::timeout_at(deadline, changed).await.is_err() {
                return self.find(id).await;
            }
        }
    }

    /// Cancels a job that has not finished. A running one is told to stop and may still be `running` in the answer.
    ///
    /// # Errors
    /// [`Error::NotFound`], [`Error::Conflict`] when it has finished, [`Error::Unavailable`].
    pub async fn cancel(&self, id: JobId) -> Result<JobView, Error> {
        let connection = self.redis.connection();
        loop {
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
            };
            let finished = finished.encode()?;
            let history = self.keeps_history(&partition.queue);
            let job = Cancel { id, place: &found.place, finished: &finished, history };
            let cancelled = scripts::cancel(&connection, &partition, now_ms, self.retention, &job).await?;
            match cancelled {
                scripts::Cancelled::Moved => {}
                scripts::Cancelled::Done => return self.find(id).await?.ok_or(Error::NotFound),
                scripts::Cancelled::Running(owner) => {
                    if let Ok(owner) = owner.parse::<Owner>() {
                        self.tell(owner.replica.as_str()).await?;
                    }
                    return Ok(view);
                }
            }
        }
    }

    /// Has a replica look at once which of its jobs are to stop; otherwise it looks at each renewal of its leases.
    async fn tell(&self, replica: &str) -> Result<(), Error> {
        let key = keys::control(self.redis.prefix(), replica);
        let mut pipe = redis::pipe();
        pipe.rpush(&key, "cancel").ignore().expire(&key, 60).ignore();
        let _: () = pipe.query_async(&mut self.redis.connection()).await?;
        Ok(())
    }

    /// Makes a dead, cancelled, expired or retrying job ready at once, with all its attempts before it.
    ///
    /// # Errors
    /// [`Error::NotFound`], [`Error::Conflict`] in any other state, [`Error::Full`], [`Error::Unavailable`].
    pub async fn retry(&self, id: JobId) -> Result<JobView, Error> {
        loop {
            let (partition, found) = self.locate(id).await?.ok_or(Error::NotFound)?;
            let state = self.view(id, &partition, &found).state;
            if !matches!(state, State::Dead | State::Cancelled | State::Expired | State::Retrying) {
                return Err(Error::Conflict(state.name()));
            }
            if self.revive(&partition, id, &found).await? {
                return self.find(id).await?.ok_or(Error::NotFound);
            }
        }
    }

    /// False when the job's state changed meanwhile.
    pub(crate) async fn revive(&self, partition: &Partition, id: JobId, found: &Found) -> Result<bool, Error> {
        let (record, mut history) = if found.place == "finished" {
            let finished = Finished::decode(&found.record)?;
            (finished.record.into_vec(), finished.history.unwrap_or_default())
        } else {
            (found.record.clone(), History::decode(found.history.as_deref()))
        };
        if found.place != "retrying" {
            history.failures = 0;
            history.crashes = 0;
        }
        history.due_ms = None;
        let history = if history == History::default() { Vec::new() } else { history.encode()? };
        let connection = self.redis.connection();
        scripts::revive(&connection, partition, self.retention, id, &found.place, &record, &history).await
    }

    pub(crate) async fn locate(&self, id: JobId) -> Result<Option<(Arc<Partition>, Found)>, Error> {
        let Some(partition) = self.directory.of_id(id).await? else { return Ok(None) };
        let found = scripts::find(&self.redis.connection(), &partition, self.retention, id).await?;
        Ok(found.map(|found| (partition, found)))
    }

    /// Takes the idempotency key of a tenant, whose request body hashes to `fingerprint`; held for 24 h.
    ///
    /// # Errors
    /// [`Error::Unavailable`], [`Error::Full`].
    pub async fn idempotency_take(&self, tenant: &str, key: &str, fingerprint: &str) -> Result<Idempotency, Error> {
        let redis_key = keys::idempotency(self.redis.prefix(), tenant, key);
        let pending = encode_answer(fingerprint, None)?;
        let mut command = redis::cmd("SET");
        command.arg(&redis_key).arg(pending).arg("NX").arg("GET").arg("EX").arg(IDEMPOTENCY_PENDING.as_secs());
        let before: Option<String> = command.query_async(&mut self.redis.connection()).await?;
        let Some(before) = before else { return Ok(Idempotency::New) };
        let stored: StoredAnswer =
            serde_json::from_str(&before).map_err(|e| Error::Corrupt(format!("idempotency key {key:?}: {e}")))?;
        Ok(match stored.answer {
            _ if stored.fingerprint != fingerprint => Idempotency::Mismatch,
            None => Idempotency::InProgress,
            Some(answer) => Idempotency::Replay(answer),
        })
    }

    /// Keeps the answer for 24 h.
    ///
    /// # Errors
    /// [`Error::Unavailable`], [`Error::Full`].
    pub async fn idempotency_store(
        &self,
        tenant: &str,
        key: &str,
        fingerprint: &str,
        answer: &str,
    ) -> Result<(), Error> {
        let redis_key = keys::idempotency(self.redis.prefix(), tenant, key);
        let stored = encode_answer(fingerprint, Some(answer.to_owned()))?;
        Ok(self.redis.connection().set_ex(redis_key, stored, IDEMPOTENCY_KEPT.as_secs()).await?)
    }

    /// Gives the key back, so that the request can be sent again.
    ///
    /// # Errors
    /// [`Error::Unavailable`].
    pub async fn idempotency_forget(&self, tenant: &str, key: &str) -> Result<(), Error> {
        Ok(self.redis.connection().del(keys::idempotency(self.redis.prefix(), tenant, key)).await?)
    }
}

fn encode_answer(fingerprint: &str, answer: Option<String>) -> Result<String, Error> {
    let stored = StoredAnswer { fingerprint: fingerprint.to_owned(), answer };
    serde_json::to_string(&stored).map_err(|e| Error::Invalid(e.to_string()))
}

pub(crate) fn prepare(job: NewJob, partition: &Partition, now_ms: u64) -> Result<Push, Error> {
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
        record: record.encode()?,
        due_ms,
    })
}
