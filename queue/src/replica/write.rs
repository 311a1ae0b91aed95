//! Writes how runs ended: settlements.

use std::sync::Arc;

use super::{
    claimed::Claimed,
    session::{Sealed, SealedJobs, Session, cancelled},
    settle::{self, Settlement, Verdict, Written},
};
use crate::{
    keys::Partition,
    model::{error::Error, id::JobId},
    scripts::{
        MOST,
        finish::{Ending, EndingClaim, Finish},
        release::Releases,
    },
};

/// A release may make as many old dead letters leave as jobs die in it.
pub(super) const MOST_RELEASES: usize = MOST / 2;

impl Session {
    /// Written is to be written when `job`, which ran from `started_ms` until now, ended with `verdict`.
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
            let (id, claim) = settlement.job();
            let outdated = held.jobs.get(&id).is_some_and(|job| !job.is_of(claim));
            if outdated {
                held.sealed(claim, 1);
                held.settled(claim, 1);
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
        let SealedJobs::Ends { jobs, .. } = &batch.batch else { return };
        let ended: Vec<_> = jobs.iter().filter_map(|job| Some((job.tenant.as_deref()?, job.id))).collect();
        if let Err(error) = self.client.forget(&batch.partition, &ended).await {
            tracing::debug!(queue = batch.partition.queue, %error, "upkeep takes jobs out of the indexes of their tenants");
        }
    }

    /// The jobs whose ends were sent and are not known to be written.
    pub(crate) async fn sealed_jobs(&self) -> Vec<JobId> {
        let sealed = self.sealed.lock().await;
        let ids = sealed.iter().flat_map(|sealed| match &sealed.batch {
            SealedJobs::Ends { jobs, .. } => jobs.iter().map(|job| job.id).collect::<Vec<_>>(),
            SealedJobs::Releases(jobs) => jobs.iter().map(|job| job.id).collect(),
        });
        ids.collect()
    }

    /// The first queue of which a settlement was sent that is not known to be written.
    pub(crate) async fn sealed_queue(&self) -> Option<String> {
        self.sealed.lock().await.first().map(|sealed| sealed.partition.queue.clone())
    }

    /// How many settlements were sent and are not known to be written.
    pub async fn n_sealed(&self) -> usize {
        let n = |sealed: &Sealed| match &sealed.batch {
            SealedJobs::Ends { jobs, .. } => jobs.len(),
            SealedJobs::Releases(jobs) => jobs.len(),
        };
        self.sealed.lock().await.iter().map(n).sum()
    }

    /// Takes out of `settlements` what goes into one call: those like the first whose partition has none `sealed`, in their order.
    fn seal(&self, settlements: &mut Vec<Settlement>, sealed: &[Sealed]) -> Option<Sealed> {
        let waits = |partition: &Arc<Partition>| sealed.iter().any(|sealed| sealed.partition == *partition);
        let first = settlements.iter().find(|settlement| !waits(&settlement.partition))?;
        let (partition, ends) = (first.partition.clone(), matches!(first.written, Written::End(_)));
        let mut n = 0;
        let like_first = |settlement: &mut Settlement| {
            let same = matches!(settlement.written, Written::End(_)) == ends && settlement.partition == partition;
            n += usize::from(same);
            same && n <= if ends { MOST } else { MOST_RELEASES }
        };
        let mut jobs = Vec::new();
        let mut releases = Vec::new();
        for settlement in settlements.extract_if(.., like_first) {
            match settlement.written {
                Written::End(ending) => jobs.push(ending),
                Written::Release(release) => releases.push(release),
            }
        }
        let batch = if ends {
            SealedJobs::Ends { claims: self.claims_of(&mut jobs), jobs }
        } else {
            SealedJobs::Releases(releases)
        };
        let mut held = self.held();
        match &batch {
            SealedJobs::Ends { claims, .. } => claims.iter().for_each(|ending| held.sealed(&ending.claim, ending.ends)),
            SealedJobs::Releases(jobs) => jobs.iter().for_each(|job| held.sealed(&job.claim, 1)),
        }
        drop(held);
        Some(Sealed { partition, batch })
    }

    /// Orders `jobs` by their claims, and those of one claim by their pages.
    fn claims_of(&self, jobs: &mut [Ending]) -> Vec<EndingClaim> {
        jobs.sort_by_key(|job| (job.claim.as_ptr(), job.id.page()));
        let held = self.held();
        let claims = jobs.chunk_by(|a, b| Arc::ptr_eq(&a.claim, &b.claim)).map(|jobs| {
            let claim = jobs[0].claim.clone();
            let left = held.claims.get(&claim).map_or(0, |claim| claim.left);
            EndingClaim { claim, left, ends: jobs.len() }
        });
        claims.collect()
    }

    /// Writes a batch. Returns how many were refused, and what is to be written of it still.
    async fn write(&self, sealed: &Sealed) -> Result<(usize, Option<Sealed>), Error> {
        let Sealed { partition, batch } = sealed;
        let connection = self.client.redis.connection();
        let now_ms = self.client.clock.now_ms();
        let retention = self.client.retention;
        let keeps_history = self.client.keeps_history(&partition.queue);
        match batch {
            SealedJobs::Ends { claims, jobs } => {
                let finish = Finish { now_ms, retention, claims, jobs, keeps_history };
                let refused = finish.call(&connection, partition).await?;
                let mut held = self.held();
                for job in jobs {
                    held.let_go(job.id, &job.claim);
                }
                for EndingClaim { claim, ends, .. } in claims {
                    held.settled(claim, *ends);
                }
                Ok((refused.len(), None))
            }
            SealedJobs::Releases(jobs) => {
                let releases = Releases { now_ms, retention, jobs, keeps_history };
                let released = releases.call(&connection, partition).await?;
                let mut held = self.held();
                for (position, job) in jobs.iter().enumerate() {
                    if released.cancelled.iter().all(|cancelled| cancelled.position != position) {
                        held.let_go(job.id, &job.claim);
                        held.settled(&job.claim, 1);
                    }
                }
                let left = cancelled(jobs, released.cancelled, now_ms)?;
                let left = Sealed { partition: partition.clone(), batch: SealedJobs::Releases(left) };
                let any = matches!(&left.batch, SealedJobs::Releases(left) if !left.is_empty());
                Ok((released.refused.len(), any.then_some(left)))
            }
        }
    }
}

/// A number in `0..1` that differs from job to job and from time to time.
fn jitter(id: JobId, now_ms: u64) -> f64 {
    let mut hash = crc32fast::Hasher::new();
    hash.update(id.as_bytes());
    hash.update(&now_ms.to_le_bytes());
    f64::from(hash.finalize()) / f64::from(u32::MAX)
}
