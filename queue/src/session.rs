//! What one replica holds, and the calls that change it: claim, settle, renew, upkeep. The background tasks of a worker are
//! loops around these functions; tests call them by hand.

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use futures::future::AbortHandle;
use redis::AsyncCommands;

use crate::{
    claimed::Claimed,
    client::Client,
    error::Error,
    inspect::{ALIVE, About},
    job::Kind,
    keys::{self, Partition},
    message::{History, JobId},
    owner::{Owner, ReplicaId},
    scripts::{self, Abandoned, Claim, Release, To},
    settle::{self, Settlement, Verdict, What},
};

/// How long leases last.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Timing {
    /// A job whose lease is not renewed for so long is given to another worker.
    pub lease: Duration,
    /// How often leases are renewed and the replica says that it lives.
    pub renewal: Duration,
}

impl Default for Timing {
    fn default() -> Self {
        Self { lease: Duration::from_secs(12), renewal: Duration::from_secs(4) }
    }
}

/// Dead jobs are kept for so long.
const DEAD_KEPT: Duration = Duration::from_secs(180 * 24 * 3600);
/// Every so many claims start from the lowest priority.
const LOWEST_FIRST_EVERY: u64 = 16;

/// Why a running handler is stopped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Stop {
    /// Someone cancelled the job.
    Cancelled,
    /// The lease is lost: nothing may be written any more.
    Lost,
    /// The replica shuts down.
    HandBack,
}

/// Lets others stop a running handler.
#[derive(Debug, Clone)]
pub(crate) struct Stopper {
    pub(crate) handle: AbortHandle,
    why: Arc<Mutex<Option<Stop>>>,
}

impl Stopper {
    pub(crate) fn new(handle: AbortHandle) -> Self {
        Self { handle, why: Arc::default() }
    }

    fn stop(&self, why: Stop) {
        self.why.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(why);
        self.handle.abort();
    }

    pub(crate) fn why(&self) -> Option<Stop> {
        *self.why.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[derive(Debug, Default)]
struct Held {
    jobs: HashMap<JobId, HeldJob>,
    claims: HashMap<Arc<str>, HeldClaim>,
}

#[derive(Debug)]
struct HeldJob {
    owner: Arc<str>,
    stopper: Option<Stopper>,
}

#[derive(Debug)]
struct HeldClaim {
    partition: Arc<Partition>,
    left: usize,
}

/// What a claim brought.
#[derive(Debug)]
pub struct ClaimReport {
    /// The jobs, most urgent first.
    pub jobs: Vec<Claimed>,
    /// When the next job is due.
    pub next_due_ms: Option<u64>,
    /// Whether ready jobs were left.
    pub left: bool,
}

/// What upkeep of one queue found.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct UpkeepReport {
    /// When the next lease ends.
    pub next_lease_end_ms: Option<u64>,
    /// Whether a claim would find work or a due time.
    pub work: bool,
    /// Jobs taken from dead workers.
    pub reclaimed: usize,
}

/// One replica's dealings with the queue.
#[derive(Debug)]
pub struct Session {
    client: Client,
    replica: ReplicaId,
    timing: Timing,
    started_ms: u64,
    held: Mutex<Held>,
    claims: AtomicU64,
    /// The suspect that this replica runs; one at a time.
    suspect: Mutex<Option<JobId>>,
}

impl Session {
    /// A session of the process `pid` on `host`.
    #[must_use]
    pub fn new(client: Client, host: &str, pid: u32, timing: Timing) -> Self {
        Self {
            started_ms: client.clock.now_ms(),
            client,
            replica: ReplicaId::new(host, pid),
            timing,
            held: Mutex::default(),
            claims: AtomicU64::new(0),
            suspect: Mutex::new(None),
        }
    }

    /// Host and process, as in [`crate::AttemptView::worker`].
    #[must_use]
    pub fn worker(&self) -> &str {
        self.replica.worker()
    }

    pub(crate) fn client(&self) -> &Client {
        &self.client
    }

    pub(crate) fn timing(&self) -> Timing {
        self.timing
    }

    pub(crate) fn control_key(&self) -> String {
        keys::control(self.client.redis.prefix(), self.replica.as_str())
    }

    /// Claims up to `want` jobs of `queue`. A job whose lease could not be confirmed because Redis' answer was lost is not
    /// returned; it runs after the lease has ended.
    ///
    /// # Errors
    /// [`Error::Unavailable`].
    pub async fn claim(&self, queue: &str, want: usize) -> Result<ClaimReport, Error> {
        let partition = self.client.directory.of_queue(queue).await?;
        let connection = self.client.redis.connection();
        let number = self.claims.fetch_add(1, Ordering::Relaxed) + 1;
        let now_ms = self.client.clock.now_ms();
        let owner: Arc<str> = self.replica.owner(number, now_ms).to_string().into();
        let ask = Claim {
            owner: &owner,
            want,
            now_ms,
            lease_end_ms: now_ms + ms(self.timing.lease),
            lowest_first: number.is_multiple_of(LOWEST_FIRST_EVERY),
            take_suspect: self.suspect().is_none(),
        };
        let claims = scripts::claim(&connection, &partition, &ask).await?;
        let kind = self.client.kind(queue).cloned().unwrap_or_else(|| Kind {
            name: queue.to_owned(),
            max_attempts: 3,
            timeout_s: 60,
            allow_fallback: false,
            history: false,
        });
        let jobs: Vec<Claimed> =
            claims.jobs.into_iter().map(|job| Claimed::new(job, &partition, &owner, kind.clone(), now_ms)).collect();
        self.hold(&partition, &owner, &jobs);
        if claims.suspect
            && let Some(job) = jobs.first()
        {
            // Without the mark the suspect must not run: the whole claim is dropped and its lease ends.
            self.mark_suspect(job.id()).await.inspect_err(|_| {
                self.lose(&[owner.to_string()]);
            })?;
        }
        Ok(ClaimReport { jobs, next_due_ms: claims.next_due_ms, left: claims.left })
    }

    fn hold(&self, partition: &Arc<Partition>, owner: &Arc<str>, jobs: &[Claimed]) {
        if jobs.is_empty() {
            return;
        }
        let mut held = self.held();
        held.claims.insert(owner.clone(), HeldClaim { partition: partition.clone(), left: jobs.len() });
        for job in jobs {
            held.jobs.insert(job.id(), HeldJob { owner: owner.clone(), stopper: None });
        }
    }

    /// Written before the suspect starts, so that whoever finds this replica dead knows whom to blame.
    async fn mark_suspect(&self, id: JobId) -> Result<(), Error> {
        let key = keys::replica(self.client.redis.prefix(), self.replica.as_str());
        let mut pipe = redis::pipe();
        // A replica that dies before its first beat must not leave its hash for ever.
        pipe.atomic().hset(&key, "suspect", id.to_string()).ignore();
        pipe.expire(&key, i64::from(scripts::REPLICA_KEPT_S)).ignore();
        let _: () = pipe.query_async(&mut self.client.redis.connection()).await?;
        *self.suspect() = Some(id);
        Ok(())
    }

    /// Lets a claimed job be stopped from now on. `None` when its lease is already lost.
    pub(crate) fn stoppable(&self, job: &Claimed, stopper: &Stopper) -> Option<()> {
        let mut held = self.held();
        let entry = held.jobs.get_mut(&job.id()).filter(|entry| entry.owner == *job.owner())?;
        entry.stopper = Some(stopper.clone());
        Some(())
    }

    /// What is to be written when `job`, which ran from `started_ms` until now, ended with `verdict`.
    ///
    /// # Errors
    /// [`Error::Invalid`] when a result or an error text cannot be encoded.
    pub fn verdict(&self, job: &Claimed, verdict: Verdict, started_ms: u64) -> Result<Settlement, Error> {
        let now_ms = self.client.clock.now_ms();
        settle::settle(job, verdict, self.worker(), started_ms, now_ms, jitter(job.id(), now_ms))
    }

    /// Writes settlements, and returns how many were refused because their lease is lost. When Redis does not answer, those not
    /// written stay in `settlements` for another call.
    ///
    /// # Errors
    /// [`Error::Unavailable`].
    pub async fn settle(&self, settlements: &mut Vec<Settlement>) -> Result<usize, Error> {
        let connection = self.client.redis.connection();
        let mut refused = 0;
        while let Some(first) = settlements.first() {
            let partition = first.partition.clone();
            let ends = matches!(first.what, What::End(_));
            let mut batch = Vec::new();
            let mut rest = Vec::new();
            for settlement in settlements.drain(..) {
                let same = settlement.partition == partition && matches!(settlement.what, What::End(_)) == ends;
                if same && batch.len() < scripts::MOST { &mut batch } else { &mut rest }.push(settlement);
            }
            *settlements = rest;
            let ended = self.ended_by(&batch);
            let ended: Vec<&str> = ended.iter().map(|owner| &**owner).collect();
            let now_ms = self.client.clock.now_ms();
            let history = self.client.keeps_history(&partition.queue);
            let batch: Batch = Batch::from(batch);
            let written = match &batch {
                Batch::Ends(jobs) => {
                    scripts::finish(&connection, &partition, now_ms, self.client.retention, jobs, &ended, history).await
                }
                Batch::Releases(jobs) => scripts::release(&connection, &partition, now_ms, jobs, &ended, history).await,
            };
            match written {
                Ok(positions) => {
                    refused += positions.len();
                    self.let_go(&batch.jobs());
                    if history {
                        self.client.ended.notify_one();
                    }
                }
                Err(error) => {
                    settlements.extend(batch.into_settlements(&partition));
                    return Err(error);
                }
            }
        }
        self.forget_suspect().await;
        Ok(refused)
    }

    /// The claims whose last jobs are in this batch: their leases end with it.
    fn ended_by(&self, batch: &[Settlement]) -> Vec<Arc<str>> {
        let mut counts: HashMap<&Arc<str>, usize> = HashMap::new();
        for settlement in batch {
            *counts.entry(settlement.owner()).or_default() += 1;
        }
        let held = self.held();
        let last = |owner: &Arc<str>, n: usize| held.claims.get(owner).is_none_or(|claim| claim.left <= n);
        counts.into_iter().filter(|(owner, n)| last(owner, *n)).map(|(owner, _)| owner.clone()).collect()
    }

    fn let_go(&self, jobs: &[(JobId, &Arc<str>)]) {
        let mut held = self.held();
        for (id, owner) in jobs {
            if held.jobs.get(id).is_some_and(|job| job.owner == **owner) {
                held.jobs.remove(id);
            }
            if let Some(claim) = held.claims.get_mut(*owner) {
                claim.left -= 1;
                if claim.left == 0 {
                    held.claims.remove(*owner);
                }
            }
        }
    }

    /// Clears the mark of a suspect that is no longer held.
    async fn forget_suspect(&self) {
        let Some(id) = *self.suspect() else { return };
        if self.held().jobs.contains_key(&id) {
            return;
        }
        let key = keys::replica(self.client.redis.prefix(), self.replica.as_str());
        let cleared: Result<(), _> = self.client.redis.connection().hdel(key, "suspect").await;
        // A mark that stays would only blame a job that is no longer there.
        if cleared.is_ok() {
            *self.suspect() = None;
        }
    }

    /// Extends the leases of everything held, stops handlers whose lease is lost or that someone cancelled, and returns how many
    /// leases are lost.
    ///
    /// # Errors
    /// [`Error::Unavailable`].
    pub async fn renew(&self) -> Result<usize, Error> {
        let mut by_partition: HashMap<Arc<Partition>, Vec<Arc<str>>> = HashMap::new();
        for (owner, claim) in &self.held().claims {
            by_partition.entry(claim.partition.clone()).or_default().push(owner.clone());
        }
        let connection = self.client.redis.connection();
        let mut n_lost = 0;
        for (partition, owners) in by_partition {
            let lease_end_ms = self.client.clock.now_ms() + ms(self.timing.lease);
            for owners in owners.chunks(scripts::MOST) {
                let (lost, cancels) = scripts::renew(&connection, &partition, lease_end_ms, owners).await?;
                n_lost += self.lose(&lost);
                self.stop_each(&cancels, Stop::Cancelled);
            }
        }
        // A suspect whose lease is lost is settled by nobody here: without this, this replica would never take another one.
        self.forget_suspect().await;
        Ok(n_lost)
    }

    /// A lease that ended by itself is lost; one whose last job was settled while the renewal was under way is not.
    fn lose(&self, owners: &[String]) -> usize {
        let mut held = self.held();
        let mut n_lost = 0;
        for owner in owners {
            if held.claims.remove(owner.as_str()).is_some() {
                n_lost += 1;
                held.jobs.retain(|_, job| {
                    let keep = *job.owner != **owner;
                    if !keep && let Some(stopper) = &job.stopper {
                        stopper.stop(Stop::Lost);
                    }
                    keep
                });
            }
        }
        n_lost
    }

    fn stop_each(&self, ids: &[JobId], why: Stop) {
        let held = self.held();
        for id in ids {
            if let Some(stopper) = held.jobs.get(id).and_then(|job| job.stopper.as_ref()) {
                stopper.stop(why);
            }
        }
    }

    /// Stops everything that runs, to be handed back.
    pub(crate) fn stop_all(&self) {
        for job in self.held().jobs.values() {
            if let Some(stopper) = &job.stopper {
                stopper.stop(Stop::HandBack);
            }
        }
    }

    /// How many jobs are held.
    #[must_use]
    pub fn n_held(&self) -> usize {
        self.held().jobs.len()
    }

    /// Looks after one queue: with `reclaim`, gives the jobs of expired leases to others; frees what is past its time.
    ///
    /// # Errors
    /// [`Error::Unavailable`].
    pub async fn upkeep(&self, queue: &str, reclaim: bool) -> Result<UpkeepReport, Error> {
        let partition = self.client.directory.of_queue(queue).await?;
        let connection = self.client.redis.connection();
        let now_ms = self.client.clock.now_ms();
        let found =
            scripts::upkeep(&connection, &partition, now_ms, self.client.retention, ms(DEAD_KEPT), reclaim).await?;
        self.client.clock.follow(found.server_ms);
        let reclaimed = self.reclaim(&partition, found.abandoned).await?;
        Ok(UpkeepReport { next_lease_end_ms: found.next_lease_end_ms, work: found.work, reclaimed })
    }

    async fn reclaim(&self, partition: &Partition, abandoned: Vec<Abandoned>) -> Result<usize, Error> {
        if abandoned.is_empty() {
            return Ok(0);
        }
        let now_ms = self.client.clock.now_ms();
        let mut suspects: HashMap<ReplicaId, Option<String>> = HashMap::new();
        let mut releases = Vec::with_capacity(abandoned.len());
        for job in abandoned {
            let (replica, worker, started_ms) = match job.owner.parse::<Owner>() {
                Ok(owner) => (owner.replica.clone(), owner.replica.worker().to_owned(), owner.at_ms),
                Err(()) => (ReplicaId::new("unknown", 0), "unknown".to_owned(), now_ms),
            };
            let suspect = match suspects.get(&replica) {
                Some(suspect) => suspect.clone(),
                None => {
                    let suspect = self.suspect_of(&replica).await?;
                    suspects.insert(replica, suspect.clone());
                    suspect
                }
            };
            // While a replica ran a suspect, the suspect alone is blamed for its death.
            let counted = suspect.is_none_or(|suspect| suspect == job.id.to_string());
            let history = History::decode(job.history.as_deref());
            let (to, history) = settle::crashed(history, &job.owner, &worker, started_ms, now_ms, counted)?;
            tracing::warn!(job.id = %job.id, job.kind = partition.queue, worker, to = ?to, "a worker died or lost its lease");
            releases.push(Release { id: job.id, owner: job.owner.into(), to, history: Some(history) });
        }
        let owners: std::collections::HashSet<Arc<str>> =
            releases.iter().map(|release| release.owner.clone()).collect();
        // A full page may not be all of them: their leases then end at the next upkeep.
        let ended: Vec<&str> =
            if releases.len() < scripts::MOST { owners.iter().map(|owner| &**owner).collect() } else { Vec::new() };
        let connection = self.client.redis.connection();
        let history = self.client.keeps_history(&partition.queue);
        let refused = scripts::release(&connection, partition, now_ms, &releases, &ended, history).await?;
        let n_dead = releases.iter().filter(|release| release.to == To::Dead).count();
        metrics::counter!("queue_jobs_crashed_total", "queue" => partition.queue.clone())
            .increment((releases.len() - refused.len()) as u64);
        metrics::counter!("queue_jobs_quarantined_total", "queue" => partition.queue.clone()).increment(n_dead as u64);
        Ok(releases.len() - refused.len())
    }

    async fn suspect_of(&self, replica: &ReplicaId) -> Result<Option<String>, Error> {
        let key = keys::replica(self.client.redis.prefix(), replica.as_str());
        Ok(self.client.redis.connection().hget(key, "suspect").await?)
    }

    /// Gives back what a worker of an older release put aside in `queue`.
    ///
    /// # Errors
    /// [`Error::Unavailable`].
    pub async fn unhold(&self, queue: &str) -> Result<u64, Error> {
        let partition = self.client.directory.of_queue(queue).await?;
        scripts::unhold(&self.client.redis.connection(), &partition).await
    }

    /// Says that this replica lives and serves `queues`.
    ///
    /// # Errors
    /// [`Error::Unavailable`].
    pub async fn beat(&self, queues: &[String]) -> Result<(), Error> {
        let about = About {
            worker: self.worker().to_owned(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            started_ms: self.started_ms,
            queues: queues.to_vec(),
        };
        let about = serde_json::to_string(&about).map_err(|e| Error::Invalid(e.to_string()))?;
        let prefix = self.client.redis.prefix();
        let now_ms = self.client.clock.now_ms();
        scripts::beat(
            &self.client.redis.connection(),
            &keys::replicas(prefix),
            &keys::replica(prefix, self.replica.as_str()),
            self.replica.as_str(),
            now_ms,
            &about,
            now_ms.saturating_sub(10 * ms(ALIVE)),
        )
        .await
    }

    /// Takes this replica out of the list of those that live.
    pub(crate) async fn leave(&self) -> Result<(), Error> {
        let key = keys::replicas(self.client.redis.prefix());
        Ok(self.client.redis.connection().zrem(key, self.replica.as_str()).await?)
    }

    fn held(&self) -> MutexGuard<'_, Held> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn suspect(&self) -> MutexGuard<'_, Option<JobId>> {
        self.suspect.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Settlements of one kind and partition.
enum Batch {
    Ends(Vec<scripts::Ending>),
    Releases(Vec<Release>),
}

impl From<Vec<Settlement>> for Batch {
    fn from(settlements: Vec<Settlement>) -> Self {
        let mut ends = Vec::new();
        let mut releases = Vec::new();
        for settlement in settlements {
            match settlement.what {
                What::End(ending) => ends.push(ending),
                What::Release(release) => releases.push(release),
            }
        }
        if releases.is_empty() { Self::Ends(ends) } else { Self::Releases(releases) }
    }
}

impl Batch {
    fn jobs(&self) -> Vec<(JobId, &Arc<str>)> {
        match self {
            Self::Ends(jobs) => jobs.iter().map(|job| (job.id, &job.owner)).collect(),
            Self::Releases(jobs) => jobs.iter().map(|job| (job.id, &job.owner)).collect(),
        }
    }

    fn into_settlements(self, partition: &Arc<Partition>) -> Vec<Settlement> {
        let of = |what| Settlement { partition: partition.clone(), what };
        match self {
            Self::Ends(jobs) => jobs.into_iter().map(|job| of(What::End(job))).collect(),
            Self::Releases(jobs) => jobs.into_iter().map(|job| of(What::Release(job))).collect(),
        }
    }
}

fn ms(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

/// A number in `0..1` that differs from job to job and from time to time.
fn jitter(id: JobId, now_ms: u64) -> f64 {
    let hash = crc32fast::hash(&[id.as_bytes().as_slice(), &now_ms.to_le_bytes()].concat());
    f64::from(hash) / f64::from(u32::MAX)
}
