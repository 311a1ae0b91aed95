//! Claims jobs.

use std::{
    collections::HashSet,
    sync::{Arc, atomic::Ordering},
};

use tokio::sync::{RwLockReadGuard, RwLockWriteGuard};

use super::{
    claimed::Claimed,
    held::{HeldClaim, Stopper},
    session::{Session, Unanswered, ms, refused_only},
};
use crate::{
    keys::{self, Partition},
    model::{error::Error, history::History, id::JobId, job::Kind, record::Record},
    scripts::{
        claim::{Claim, ClaimedJob, Claims, claimed_by},
        mark::mark,
        release::{Release, To},
    },
};

/// Every so many claims start from the lowest priority.
const LOWEST_FIRST_EVERY: u64 = 16;

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

/// A claim whose jobs are held and not read yet.
#[derive(Debug)]
pub(super) struct Taken<'a> {
    partition: Arc<Partition>,
    claim: Arc<str>,
    now_ms: u64,
    claims: Claims,
    /// Until they are read, no suspect is claimed; of a suspect, until then nothing else is.
    _claiming: (Option<RwLockWriteGuard<'a, ()>>, Option<RwLockReadGuard<'a, ()>>),
}

impl Taken<'_> {
    /// How many jobs it has.
    pub(super) fn len(&self) -> usize {
        self.claims.ids.len()
    }

    /// Whether more could be claimed.
    pub(super) fn left(&self) -> bool {
        self.claims.left
    }

    /// Whether suspects wait for a replica without other jobs.
    pub(super) fn suspects_wait(&self) -> bool {
        self.claims.suspects_wait
    }

    /// When the next job is due.
    pub(super) fn next_due_ms(&self) -> Option<u64> {
        self.claims.next_due_ms
    }
}

impl Session {
    /// Claims up to `want` jobs of `queue`; or, when this replica has no jobs, one that two workers died with, which then runs by
    /// itself. What was claimed when Redis' answer is lost is given back before the queue's next claim, or with the next renewal.
    ///
    /// # Errors
    /// [`Error::Unavailable`].
    pub async fn claim(&self, queue: &str, want: usize) -> Result<ClaimReport, Error> {
        let Some(taken) = self.take(queue, want).await? else {
            return Ok(ClaimReport {
                jobs: Vec::new(),
                next_due_ms: None,
                left: false,
                suspects_wait: false,
                busy: true,
            });
        };
        let (next_due_ms, left, suspects_wait) = (taken.next_due_ms(), taken.left(), taken.suspects_wait());
        let jobs = self.read(taken).await?;
        Ok(ClaimReport { jobs, next_due_ms, left, suspects_wait, busy: false })
    }

    /// The first half of a claim: jobs are this replica's, and are to be read. `None`: it runs a suspect, and claims nothing.
    pub(super) async fn take(&self, queue: &str, want: usize) -> Result<Option<Taken<'_>>, Error> {
        let partition = self.client.directory.of_queue(queue).await?;
        let number = self.claims.fetch_add(1, Ordering::Relaxed) + 1;
        self.give_back_unanswered(Some(&partition)).await?;
        let alone = self.claiming.try_write().ok().filter(|_| self.n_held() == 0);
        let beside_others = if alone.is_none() { Some(self.claiming.read().await) } else { None };
        if self.runs_a_suspect() {
            self.wake_another(&partition).await?;
            return Ok(None);
        }
        let now_ms = self.client.clock.now_ms();
        let claim: Arc<str> = self.replica.claim(number, now_ms).to_string().into();
        let ask = Claim {
            claim: &claim,
            want,
            now_ms,
            lease_end_ms: now_ms + ms(self.timing.lease),
            lowest_first: number.is_multiple_of(LOWEST_FIRST_EVERY),
            take_suspect: alone.is_some() && self.suspect().is_none(),
        };
        match ask.call(&self.client.redis.connection(), &partition).await {
            Ok(claims) => {
                self.hold(&partition, &claim, &claims.ids);
                // One without jobs is over.
                let _claiming = if claims.ids.is_empty() { (None, None) } else { (alone, beside_others) };
                Ok(Some(Taken { partition, claim, now_ms, claims, _claiming }))
            }
            Err(error) => {
                self.unanswered.lock().await.push(Unanswered { partition, claim });
                Err(error)
            }
        }
    }

    /// The second half of a claim: its jobs, most urgent first. What this release cannot run is put aside, and suspects among ordinary
    /// jobs wait with the other suspects.
    pub(super) async fn read(&self, mut taken: Taken<'_>) -> Result<Vec<Claimed>, Error> {
        let read = self.read_taken(&mut taken).await;
        let Taken { partition, claim, now_ms, .. } = &taken;
        match read {
            Ok(jobs) => {
                let kind = self.kind(&partition.queue);
                let claimed =
                    |(job, record)| Claimed::new(&job, record, partition, claim, kind.clone(), *now_ms, &self.shared);
                Ok(jobs.into_iter().map(claimed).collect())
            }
            Err(error) => {
                let mut unanswered = self.unanswered.lock().await;
                self.give_up(claim, &taken.claims.ids);
                unanswered.push(Unanswered { partition: partition.clone(), claim: claim.clone() });
                Err(error)
            }
        }
    }

    fn kind(&self, queue: &str) -> Arc<Kind> {
        self.client.kind(queue).cloned().unwrap_or_else(|| {
            Arc::new(Kind {
                name: queue.to_owned(),
                max_attempts: 3,
                timeout_s: 60,
                allow_fallback: false,
                history: false,
            })
        })
    }

    async fn read_taken(&self, taken: &mut Taken<'_>) -> Result<Vec<(ClaimedJob, Vec<u8>)>, Error> {
        let Taken { partition, claim, now_ms, claims, .. } = taken;
        let found = claims.jobs(&self.client.redis.connection(), partition).await?;
        let mut jobs = Vec::with_capacity(found.len());
        let mut aside = Vec::new();
        let first = found.first().map(|job| job.id);
        for mut job in found {
            let to = match job.record.take() {
                None => To::Gone,
                Some(record) if Record::is_newer(&record) => To::Held,
                // One that failed or snoozed came back with the ordinary ones, and must run by itself all the same.
                Some(_) if !claims.suspect && is_suspect(&job) => To::Suspect,
                Some(record) => {
                    jobs.push((job, record));
                    continue;
                }
            };
            aside.push(Release { id: job.id, claim: claim.clone(), to, history: None });
        }
        if !aside.is_empty() {
            let ids: Vec<JobId> = aside.iter().map(|release| release.id).collect();
            self.held().sealed(claim, ids.len());
            self.release(partition, *now_ms, aside).await?;
            self.give_up(claim, &ids);
        }
        if claims.suspect
            && let Some((job, _)) = jobs.first().filter(|(job, _)| Some(job.id) == first)
        {
            // Without the mark the suspect must not run.
            self.mark_suspect(job.id).await?;
        }
        Ok(jobs)
    }

    /// Gives back the jobs of claims whose answers were lost, those of all queues or of one: they were not begun, and others can have
    /// them at once. A queue whose keys Redis refuses does not hold up others.
    pub(super) async fn give_back_unanswered(&self, of: Option<&Partition>) -> Result<(), Error> {
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
        if let Some(jobs) = claimed_by(&connection, &claim.partition, &claim.claim).await? {
            // Each goes to the front, the first one last.
            let releases: Vec<Release> = jobs.iter().rev().map(|job| back(job, &claim.claim)).collect();
            self.release(&claim.partition, now_ms, releases).await?;
        }
        Ok(())
    }

    fn hold(&self, partition: &Arc<Partition>, claim: &Arc<str>, ids: &[JobId]) {
        if ids.is_empty() {
            return;
        }
        let mut held = self.held();
        held.jobs.reserve(ids.len());
        held.claims.insert(claim.clone(), HeldClaim { partition: partition.clone(), left: ids.len(), sealed: 0 });
        for id in ids {
            held.hold(*id, claim);
        }
    }

    /// A claim does not hold these jobs, which were not begun, any more.
    fn give_up(&self, claim: &Arc<str>, ids: &[JobId]) {
        let mut held = self.held();
        for id in ids {
            held.give_up(*id, claim);
        }
        held.settled(claim, ids.len());
    }

    /// Written before the suspect starts, so that whoever finds this replica dead knows whom to blame.
    async fn mark_suspect(&self, id: JobId) -> Result<(), Error> {
        let key = keys::replica(self.client.redis.prefix(), self.replica.as_str());
        mark(&self.client.redis.connection(), &key, id).await?;
        *self.suspect() = Some(id);
        Ok(())
    }

    /// Lets a claimed job be stopped from now on. `None` when its lease is already lost.
    pub(crate) fn stoppable(&self, job: &Claimed, stopper: &Stopper) -> Option<()> {
        let mut held = self.held();
        let entry = held.jobs.get_mut(&job.id()).filter(|entry| entry.is_of(job.claim()))?;
        entry.stopper = Some(stopper.clone());
        Some(())
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
            idle.map(|(name, claim)| (name.clone(), claim.partition.clone())).collect()
        };
        let mut n_given_back = 0;
        for (claim, partition) in claims {
            let now_ms = self.client.clock.now_ms();
            let found = claimed_by(&self.client.redis.connection(), &partition, &claim).await?;
            // A claim names those too that have finished: they have no record.
            let jobs = found.into_iter().flatten().filter(|job| job.record.is_some() && !ended.contains(&job.id));
            let releases: Vec<Release> = jobs.rev().map(|job| back(&job, &claim)).collect();
            let ids: Vec<JobId> = releases.iter().map(|release| release.id).collect();
            self.release(&partition, now_ms, releases).await?;
            let mut held = self.held();
            for id in &ids {
                held.let_go(*id, &claim);
            }
            held.sealed(&claim, ids.len());
            held.settled(&claim, ids.len());
            n_given_back += ids.len();
        }
        Ok(n_given_back)
    }
}

/// Back to where it was claimed from, as if it had not been begun.
fn back(job: &ClaimedJob, claim: &Arc<str>) -> Release {
    let suspect = is_suspect(job);
    let to = match &job.record {
        None => To::Gone,
        Some(_) if suspect => To::Suspect,
        Some(_) => To::Ready,
    };
    Release { id: job.id, claim: claim.clone(), to, history: None }
}

fn is_suspect(job: &ClaimedJob) -> bool {
    job.history.as_deref().is_some_and(|history| History::decode(Some(history)).is_suspect())
}
