//! What one replica holds, and the calls that change it: claim, settle, renew, upkeep. The background tasks of a worker are
//! loops around these functions; tests call them by hand.

use std::{
    collections::{HashMap, HashSet},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
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
    message::{Finished, History, JobId, Record, State},
    owner::{Owner, ReplicaId},
    progress::{self, Desk},
    scripts::{self, Abandoned, CancelledRun, Claim, ClaimedJob, Claims, Ending, EndingOwner, Release, To},
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
/// A release may make as many old dead letters leave as jobs die in it.
const MOST_RELEASES: usize = scripts::MOST / 2;
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

impl Held {
    /// It is written how this job's run ended, or refused.
    fn let_go(&mut self, id: JobId, owner: &Arc<str>) {
        if self.jobs.get(&id).is_some_and(|job| job.owner == *owner) {
            self.jobs.remove(&id);
        }
    }

    /// The ends of so many more jobs of a claim are being written.
    fn sealed(&mut self, owner: &Arc<str>, n: usize) {
        if let Some(claim) = self.claims.get_mut(owner) {
            claim.sealed += n;
        }
    }

    /// So many more jobs of a claim, whose ends were being written, are settled.
    fn settled(&mut self, owner: &Arc<str>, n: usize) {
        if let Some(claim) = self.claims.get_mut(owner) {
            claim.left = claim.left.saturating_sub(n);
            claim.sealed = claim.sealed.saturating_sub(n);
            if claim.left == 0 {
                self.claims.remove(owner);
            }
        }
    }
}

#[derive(Debug)]
struct HeldJob {
    owner: Arc<str>,
    stopper: Option<Stopper>,
}

#[derive(Debug)]
struct HeldClaim {
    partition: Arc<Partition>,
    /// Jobs that are not known to be settled.
    left: usize,
    /// How many of them are being written: Redis may have done it, and its answer be on the way.
    sealed: usize,
}

/// What a claim brought.
#[derive(Debug)]
pub struct ClaimReport {
    /// The jobs, most urgent first.
    pub jobs: Vec<Claimed>,
    /// When the next job is due.
    pub next_due_ms: Option<u64>,
    /// Whether more could be claimed.
    pub left: bool,
    /// Whether jobs that two workers died with wait until this replica, or another one, has no other jobs.
    pub suspects_wait: bool,
    /// This replica runs such a job, and claims nothing beside it.
    pub busy: bool,
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
    /// A suspect is claimed while no other claim is under way.
    claiming: tokio::sync::RwLock<()>,
    /// The suspect that this replica runs, by itself: whatever takes the replica down then was this job.
    suspect: Mutex<Option<JobId>>,
    /// Claims whose answers were lost: what they took is given back.
    unanswered: tokio::sync::Mutex<Vec<Unanswered>>,
    /// What is being written, one batch a partition. After a lost answer the same call is sent again, and nothing before it.
    sealed: tokio::sync::Mutex<Vec<Sealed>>,
    pub(crate) desk: Arc<Desk>,
}

/// A claim whose answer was lost.
#[derive(Debug)]
struct Unanswered {
    partition: Arc<Partition>,
    owner: Arc<str>,
}

/// Settlements of one kind and partition that are written in one call.
#[derive(Debug)]
struct Sealed {
    partition: Arc<Partition>,
    batch: Batch,
}

#[derive(Debug)]
enum Batch {
    Ends { owners: Vec<EndingOwner>, jobs: Vec<Ending> },
    Releases(Vec<Release>),
}

impl Session {
    /// A session of the process `pid` on `host`.
    #[must_use]
    pub fn new(client: Client, host: &str, pid: u32, timing: Timing) -> Self {
        Self {
            started_ms: client.clock.now_ms(),
            desk: Arc::new(Desk::new(client.clock.clone())),
            client,
            replica: ReplicaId::new(host, pid),
            timing,
            held: Mutex::default(),
            claims: AtomicU64::new(0),
            claiming: tokio::sync::RwLock::default(),
            suspect: Mutex::new(None),
            unanswered: tokio::sync::Mutex::default(),
            sealed: tokio::sync::Mutex::default(),
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

    /// Claims up to `want` jobs of `queue`; or, when this replica has no jobs, one that two workers died with, which then runs by
    /// itself. What was claimed when Redis' answer is lost is given back before the queue's next claim, or with the next renewal.
    ///
    /// # Errors
    /// [`Error::Unavailable`].
    pub async fn claim(&self, queue: &str, want: usize) -> Result<ClaimReport, Error> {
        let partition = self.client.directory.of_queue(queue).await?;
        let number = self.claims.fetch_add(1, Ordering::Relaxed) + 1;
        self.give_back_unanswered(Some(&partition)).await?;
        let alone = self.claiming.try_write().ok().filter(|_| self.n_held() == 0);
        let _beside_others = if alone.is_none() { Some(self.claiming.read().await) } else { None };
        if self.runs_a_suspect() {
            self.wake_another(&partition).await?;
            return Ok(ClaimReport {
                jobs: Vec::new(),
                next_due_ms: None,
                left: false,
                suspects_wait: false,
                busy: true,
            });
        }
        let now_ms = self.client.clock.now_ms();
        let owner: Arc<str> = self.replica.owner(number, now_ms).to_string().into();
        let ask = Claim {
            owner: &owner,
            want,
            now_ms,
            lease_end_ms: now_ms + ms(self.timing.lease),
            lowest_first: number.is_multiple_of(LOWEST_FIRST_EVERY),
            take_suspect: alone.is_some() && self.suspect().is_none(),
        };
        let claimed = self.claim_as(&partition, &ask).await;
        if claimed.is_err() {
            let (partition, owner) = (partition.clone(), owner.clone());
            self.unanswered.lock().await.push(Unanswered { partition, owner });
        }
        let (claims, jobs) = claimed?;
        let kind = match self.client.kind(queue) {
            Some(kind) => kind.clone(),
            None => Arc::new(Kind {
                name: queue.to_owned(),
                max_attempts: 3,
                timeout_s: 60,
                allow_fallback: false,
                history: false,
            }),
        };
        let owner = &owner;
        let claimed = |(job, record)| Claimed::new(&job, record, &partition, owner, kind.clone(), now_ms, &self.desk);
        let jobs: Vec<Claimed> = jobs.into_iter().map(claimed).collect();
        self.hold(&partition, owner, &jobs);
        let Claims { next_due_ms, left, suspects_wait, .. } = claims;
        Ok(ClaimReport { jobs, next_due_ms, left, suspects_wait, busy: false })
    }

    /// Claims, and puts aside what this release cannot run.
    async fn claim_as(
        &self,
        partition: &Partition,
        ask: &Claim<'_>,
    ) -> Result<(Claims, Vec<(ClaimedJob, Vec<u8>)>), Error> {
        let connection = self.client.redis.connection();
        let mut claims = scripts::claim(&connection, partition, ask).await?;
        let mut jobs = Vec::with_capacity(claims.jobs.len());
        let mut aside = Vec::new();
        let first = claims.jobs.first().map(|job| job.id);
        for mut job in claims.jobs.drain(..) {
            let to = match job.record.take() {
                None => To::Gone,
                Some(record) if Record::is_newer(&record) => To::Held,
                Some(record) => {
                    jobs.push((job, record));
                    continue;
                }
            };
            aside.push(Release { id: job.id, owner: ask.owner.into(), to, history: None });
        }
        if !aside.is_empty() {
            self.release(partition, ask.now_ms, aside).await?;
        }
        if claims.suspect
            && let Some((job, _)) = jobs.first().filter(|(job, _)| Some(job.id) == first)
        {
            // Without the mark the suspect must not run.
            self.mark_suspect(job.id).await?;
        }
        Ok((claims, jobs))
    }

    /// Gives back the jobs of claims whose answers were lost, those of all queues or of one: they were not begun, and others can have
    /// them at once. A queue whose keys Redis refuses does not hold up others.
    async fn give_back_unanswered(&self, of: Option<&Partition>) -> Result<(), Error> {
        let mut unanswered = self.unanswered.lock().await;
        let mut failed = None;
        // The last one first: each goes to the front.
        for at in (0..unanswered.len()).rev() {
            let claim = &unanswered[at];
            if of.is_some_and(|of| *of != *claim.partition) {
                continue;
            }
            match self.give_back(claim).await {
                Ok(()) => drop(unanswered.remove(at)),
                Err(error) => failed = Some(refused_only(error)?),
            }
        }
        failed.map_or(Ok(()), Err)
    }

    async fn give_back(&self, claim: &Unanswered) -> Result<(), Error> {
        let now_ms = self.client.clock.now_ms();
        let connection = self.client.redis.connection();
        if let Some(jobs) = scripts::claimed_by(&connection, &claim.partition, &claim.owner).await? {
            // Each goes to the front, the first one last.
            let releases: Vec<Release> = jobs.iter().rev().map(|job| back(job, &claim.owner)).collect();
            self.release(&claim.partition, now_ms, releases).await?;
        }
        Ok(())
    }

    /// Releases jobs; those that someone cancelled meanwhile come to their end. Returns how many were refused.
    async fn release(&self, partition: &Partition, now_ms: u64, mut releases: Vec<Release>) -> Result<usize, Error> {
        let connection = self.client.redis.connection();
        let history = self.client.keeps_history(&partition.queue);
        let mut n_refused = 0;
        while !releases.is_empty() {
            let retention = self.client.retention;
            let released = scripts::release(&connection, partition, now_ms, retention, &releases, history).await?;
            n_refused += released.refused.len();
            releases = cancelled(&releases, released.cancelled, now_ms)?;
        }
        Ok(n_refused)
    }

    fn hold(&self, partition: &Arc<Partition>, owner: &Arc<str>, jobs: &[Claimed]) {
        if jobs.is_empty() {
            return;
        }
        let mut held = self.held();
        held.claims.insert(owner.clone(), HeldClaim { partition: partition.clone(), left: jobs.len(), sealed: 0 });
        for job in jobs {
            held.jobs.insert(job.id(), HeldJob { owner: owner.clone(), stopper: None });
        }
    }

    /// Written before the suspect starts, so that whoever finds this replica dead knows whom to blame.
    async fn mark_suspect(&self, id: JobId) -> Result<(), Error> {
        let key = keys::replica(self.client.redis.prefix(), self.replica.as_str());
        scripts::mark(&self.client.redis.connection(), &key, id).await?;
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
        let keep = self.client.retention.ms > 0;
        settle::settle(job, verdict, self.worker(), started_ms, now_ms, jitter(job.id(), now_ms), keep)
    }

    /// Writes settlements, and returns how many were refused because their lease is lost. Those that cannot be written stay for
    /// another call: in `settlements`, or here ([`Session::n_sealed`]). A queue whose keys Redis refuses does not hold up others.
    ///
    /// # Errors
    /// [`Error::Unavailable`], [`Error::Redis`].
    pub async fn settle(&self, settlements: &mut Vec<Settlement>) -> Result<usize, Error> {
        let mut sealed = self.sealed.lock().await;
        let mut refused = self.refuse_outdated(settlements);
        let mut failed = None;
        let mut at = 0;
        while at < sealed.len() {
            match self.write_all(&mut sealed, at).await {
                Ok(n_refused) => refused += n_refused,
                Err(error) => {
                    failed = Some(error);
                    at += 1;
                }
            }
        }
        while !matches!(failed, Some(Error::Unavailable(_)))
            && let Some(batch) = self.seal(settlements, &sealed)
        {
            sealed.push(batch);
            at = sealed.len() - 1;
            match self.write_all(&mut sealed, at).await {
                Ok(n_refused) => refused += n_refused,
                Err(error) => failed = Some(error),
            }
        }
        if failed.is_none() {
            self.forget_suspect().await;
        }
        failed.map_or(Ok(refused), Err)
    }

    /// Drops the ends of runs whose job this replica has claimed again since: their leases were lost. Returns how many.
    fn refuse_outdated(&self, settlements: &mut Vec<Settlement>) -> usize {
        let mut held = self.held();
        let n = settlements.len();
        settlements.retain(|settlement| {
            let (id, owner) = settlement.job();
            let outdated = held.jobs.get(&id).is_some_and(|job| job.owner != *owner);
            if outdated {
                held.sealed(owner, 1);
                held.settled(owner, 1);
            }
            !outdated
        });
        n - settlements.len()
    }

    /// Writes the batch at this place and takes it out; returns how many were refused. It stays until it is written, also when the
    /// task panics over it, and is sent again before anything else of its partition.
    async fn write_all(&self, sealed: &mut Vec<Sealed>, at: usize) -> Result<usize, Error> {
        let mut refused = 0;
        loop {
            let (n_refused, left) = self.write(&sealed[at]).await?;
            refused += n_refused;
            if self.client.keeps_history(&sealed[at].partition.queue) {
                self.client.ended.notify_one();
            }
            self.forget_ended(&sealed[at]).await;
            match left {
                Some(left) => sealed[at] = left,
                None => {
                    sealed.remove(at);
                    return Ok(refused);
                }
            }
        }
    }

    /// Takes the jobs that ended out of their tenants' indexes. Those of which that fails are left to upkeep.
    async fn forget_ended(&self, batch: &Sealed) {
        let Batch::Ends { jobs, .. } = &batch.batch else { return };
        let ended: Vec<_> = jobs.iter().filter_map(|job| Some((job.tenant.as_deref()?, job.id))).collect();
        if let Err(error) = self.client.forget(&batch.partition, &ended).await {
            tracing::debug!(queue = batch.partition.queue, %error, "upkeep takes jobs out of the indexes of their tenants");
        }
    }

    /// The jobs whose ends were sent and are not known to be written.
    pub(crate) async fn sealed_jobs(&self) -> Vec<JobId> {
        let sealed = self.sealed.lock().await;
        let ids = sealed.iter().flat_map(|sealed| match &sealed.batch {
            Batch::Ends { jobs, .. } => jobs.iter().map(|job| job.id).collect::<Vec<_>>(),
            Batch::Releases(jobs) => jobs.iter().map(|job| job.id).collect(),
        });
        ids.collect()
    }

    /// Gives back what is still held of queues in which nothing runs any more, as when a task that had these jobs has ended too
    /// early. Those in `ended` stay: what became of them could not be written. Returns how many were given back.
    pub(crate) async fn give_back_held(
        &self,
        ended: &HashSet<JobId>,
        is_idle: impl Fn(&str) -> bool,
    ) -> Result<usize, Error> {
        let claims: Vec<(Arc<str>, Arc<Partition>)> = {
            let held = self.held();
            let idle = held.claims.iter().filter(|(_, claim)| is_idle(&claim.partition.queue));
            idle.map(|(owner, claim)| (owner.clone(), claim.partition.clone())).collect()
        };
        let mut n_given_back = 0;
        for (owner, partition) in claims {
            let now_ms = self.client.clock.now_ms();
            let found = scripts::claimed_by(&self.client.redis.connection(), &partition, &owner).await?;
            // A claim names those too that have finished: they have no record.
            let jobs = found.into_iter().flatten().filter(|job| job.record.is_some() && !ended.contains(&job.id));
            let releases: Vec<Release> = jobs.rev().map(|job| back(&job, &owner)).collect();
            let ids: Vec<JobId> = releases.iter().map(|release| release.id).collect();
            self.release(&partition, now_ms, releases).await?;
            let mut held = self.held();
            for id in &ids {
                held.let_go(*id, &owner);
            }
            held.sealed(&owner, ids.len());
            held.settled(&owner, ids.len());
            n_given_back += ids.len();
        }
        Ok(n_given_back)
    }

    /// The first queue of which a settlement was sent that is not known to be written.
    pub(crate) async fn sealed_queue(&self) -> Option<String> {
        self.sealed.lock().await.first().map(|sealed| sealed.partition.queue.clone())
    }

    /// How many settlements were sent and are not known to be written.
    pub async fn n_sealed(&self) -> usize {
        let n = |sealed: &Sealed| match &sealed.batch {
            Batch::Ends { jobs, .. } => jobs.len(),
            Batch::Releases(jobs) => jobs.len(),
        };
        self.sealed.lock().await.iter().map(n).sum()
    }

    /// Takes out of `settlements` what goes into one call: those like the first whose partition has none `sealed`, in their order.
    fn seal(&self, settlements: &mut Vec<Settlement>, sealed: &[Sealed]) -> Option<Sealed> {
        let waits = |partition: &Arc<Partition>| sealed.iter().any(|sealed| sealed.partition == *partition);
        let first = settlements.iter().find(|settlement| !waits(&settlement.partition))?;
        let (partition, ends) = (first.partition.clone(), matches!(first.what, What::End(_)));
        let mut n = 0;
        let like_first = |settlement: &mut Settlement| {
            let same = matches!(settlement.what, What::End(_)) == ends && settlement.partition == partition;
            n += usize::from(same);
            same && n <= if ends { scripts::MOST } else { MOST_RELEASES }
        };
        let mut jobs = Vec::new();
        let mut releases = Vec::new();
        for settlement in settlements.extract_if(.., like_first) {
            match settlement.what {
                What::End(ending) => jobs.push(ending),
                What::Release(release) => releases.push(release),
            }
        }
        let batch =
            if ends { Batch::Ends { owners: self.owners_of(&mut jobs), jobs } } else { Batch::Releases(releases) };
        let mut held = self.held();
        match &batch {
            Batch::Ends { owners, .. } => owners.iter().for_each(|ending| held.sealed(&ending.owner, ending.ends)),
            Batch::Releases(jobs) => jobs.iter().for_each(|job| held.sealed(&job.owner, 1)),
        }
        drop(held);
        Some(Sealed { partition, batch })
    }

    /// Orders `jobs` by their owners, and those of one owner by their pages.
    fn owners_of(&self, jobs: &mut [Ending]) -> Vec<EndingOwner> {
        jobs.sort_by_key(|job| (job.owner.as_ptr(), job.id.page()));
        let held = self.held();
        let owners = jobs.chunk_by(|a, b| Arc::ptr_eq(&a.owner, &b.owner)).map(|jobs| {
            let owner = jobs[0].owner.clone();
            let left = held.claims.get(&owner).map_or(0, |claim| claim.left);
            EndingOwner { owner, left, ends: jobs.len() }
        });
        owners.collect()
    }

    /// Writes a batch. Returns how many were refused, and what is to be written of it still.
    async fn write(&self, sealed: &Sealed) -> Result<(usize, Option<Sealed>), Error> {
        let Sealed { partition, batch } = sealed;
        let connection = self.client.redis.connection();
        let now_ms = self.client.clock.now_ms();
        let retention = self.client.retention;
        let history = self.client.keeps_history(&partition.queue);
        match batch {
            Batch::Ends { owners, jobs } => {
                let refused = scripts::finish(&connection, partition, now_ms, retention, owners, jobs, history).await?;
                let mut held = self.held();
                for job in jobs {
                    held.let_go(job.id, &job.owner);
                }
                for EndingOwner { owner, ends, .. } in owners {
                    held.settled(owner, *ends);
                }
                Ok((refused.len(), None))
            }
            Batch::Releases(jobs) => {
                let released = scripts::release(&connection, partition, now_ms, retention, jobs, history).await?;
                let mut held = self.held();
                for (position, job) in jobs.iter().enumerate() {
                    if released.cancelled.iter().all(|cancelled| cancelled.position != position) {
                        held.let_go(job.id, &job.owner);
                        held.settled(&job.owner, 1);
                    }
                }
                let left = cancelled(jobs, released.cancelled, now_ms)?;
                let left = Sealed { partition: partition.clone(), batch: Batch::Releases(left) };
                let any = matches!(&left.batch, Batch::Releases(left) if !left.is_empty());
                Ok((released.refused.len(), any.then_some(left)))
            }
        }
    }

    /// Leaves a token for other replicas: whoever took it may not claim.
    pub(crate) async fn wake_another(&self, partition: &Partition) -> Result<(), Error> {
        scripts::wake(&self.client.redis.connection(), partition).await
    }

    pub(crate) fn runs_a_suspect(&self) -> bool {
        self.suspect().is_some_and(|id| self.held().jobs.contains_key(&id))
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
    /// [`Error::Unavailable`]; [`Error::Redis`] when one queue's keys are damaged: the others' leases are extended all the same.
    pub async fn renew(&self) -> Result<usize, Error> {
        // Other queues go on when Redis refuses something of one, but not when it is away.
        let mut failed = None;
        if let Err(error) = self.give_back_unanswered(None).await {
            failed = Some(refused_only(error)?);
        }
        let mut by_partition: HashMap<Arc<Partition>, Vec<Arc<str>>> = HashMap::new();
        for (owner, claim) in &self.held().claims {
            by_partition.entry(claim.partition.clone()).or_default().push(owner.clone());
        }
        let connection = self.client.redis.connection();
        let mut n_lost = 0;
        for (partition, owners) in by_partition {
            let lease_end_ms = self.client.clock.now_ms() + ms(self.timing.lease);
            for owners in owners.chunks(scripts::MOST) {
                match scripts::renew(&connection, &partition, lease_end_ms, owners).await {
                    Ok((lost, cancels)) => {
                        n_lost += self.lose(&lost);
                        self.stop_each(&cancels, Stop::Cancelled);
                    }
                    Err(error) => failed = Some(refused_only(error)?),
                }
            }
        }
        // A suspect whose lease is lost is settled by nobody here: without this, this replica would never take another one.
        self.forget_suspect().await;
        failed.map_or(Ok(n_lost), Err)
    }

    /// A lease that ended by itself is lost; one whose last job was settled while the renewal was under way is not. This task may
    /// read its answer before another one has read the answer to that settlement, which is for the other to judge.
    fn lose(&self, owners: &[String]) -> usize {
        let mut held = self.held();
        let mut n_lost = 0;
        for owner in owners {
            if held.claims.get(owner.as_str()).is_some_and(|claim| claim.left == claim.sealed) {
                continue;
            }
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
        let (now_ms, asked) = (self.client.clock.now_ms(), Instant::now());
        let found =
            scripts::upkeep(&connection, &partition, now_ms, self.client.retention, ms(DEAD_KEPT), reclaim).await?;
        self.client.clock.follow(found.server_ms, asked.elapsed());
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
        let ids: Vec<JobId> = abandoned.iter().map(|job| job.id).collect();
        let reports = progress::kept(&self.client.redis.connection(), partition, &ids).await?;
        for (job, reports) in abandoned.into_iter().zip(reports) {
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
            let mut history = History::decode(job.history.as_deref());
            history.reports = reports.or(history.reports);
            let (to, history) = settle::crashed(history, &job.owner, &worker, started_ms, now_ms, counted)?;
            tracing::warn!(job.id = %job.id, job.kind = partition.queue, worker, to = ?to, "a worker died or lost its lease");
            let release = Release { id: job.id, owner: job.owner.into(), to, history: Some(history) };
            releases.push(match job.cancelled {
                Some(record) if to != To::Dead => end_cancelled(&release, record, None, now_ms)?,
                _ => release,
            });
        }
        let n_dead = releases.iter().filter(|release| release.to == To::Dead).count();
        let mut n_reclaimed = releases.len();
        while !releases.is_empty() {
            let rest = releases.split_off(releases.len().min(MOST_RELEASES));
            n_reclaimed -= self.release(partition, now_ms, releases).await?;
            releases = rest;
        }
        metrics::counter!("queue_jobs_crashed_total", "queue" => partition.queue.clone()).increment(n_reclaimed as u64);
        metrics::counter!("queue_jobs_quarantined_total", "queue" => partition.queue.clone()).increment(n_dead as u64);
        Ok(n_reclaimed)
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

/// Back to where it was claimed from, as if it had not been begun.
fn back(job: &ClaimedJob, owner: &Arc<str>) -> Release {
    let suspect = History::decode(job.history.as_deref()).crashes >= settle::SUSPECT_AFTER;
    let to = match &job.record {
        None => To::Gone,
        Some(_) if suspect => To::Suspect,
        Some(_) => To::Ready,
    };
    Release { id: job.id, owner: owner.clone(), to, history: None }
}

/// The error again, unless it says that Redis is away.
fn refused_only(error: Error) -> Result<Error, Error> {
    if matches!(error, Error::Unavailable(_)) { Err(error) } else { Ok(error) }
}

/// The ends of those of `jobs` that someone cancelled while they ran, each with its record.
fn cancelled(jobs: &[Release], cancelled: Vec<CancelledRun>, now_ms: u64) -> Result<Vec<Release>, Error> {
    let end = |run: CancelledRun| end_cancelled(&jobs[run.position], run.record, run.history.as_ref(), now_ms);
    cancelled.into_iter().map(end).collect()
}

/// In the place of `release`, the end of its job, which has this record and, unless the release brings another, this history.
fn end_cancelled(release: &Release, record: Vec<u8>, history: Option<&Vec<u8>>, now_ms: u64) -> Result<Release, Error> {
    let by = release.owner.parse::<Owner>().ok();
    let finished = Finished {
        record: record.into(),
        state: State::Cancelled,
        finished_ms: now_ms,
        started_ms: by.as_ref().map(|by| by.at_ms),
        worker: by.map(|by| by.replica.worker().to_owned()),
        history: release.history.as_ref().or(history).map(|bytes| History::decode(Some(bytes))),
        success: None,
        reports: None,
        replaced_ms: None,
    };
    let history = Some(finished.encode()?);
    Ok(Release { id: release.id, owner: release.owner.clone(), to: To::Cancelled, history })
}

fn ms(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

/// A number in `0..1` that differs from job to job and from time to time.
fn jitter(id: JobId, now_ms: u64) -> f64 {
    let hash = crc32fast::hash(&[id.as_bytes().as_slice(), &now_ms.to_le_bytes()].concat());
    f64::from(hash) / f64::from(u32::MAX)
}
