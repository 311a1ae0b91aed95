//! Looks after queues, and gives the jobs of dead workers to others.

use std::{
    collections::HashMap,
    time::{Duration, Instant},
};

use redis::AsyncCommands;

use super::{
    session::{Session, end_cancelled, ms},
    settle,
    write::MOST_RELEASES,
};
use crate::{
    keys::{self, Partition},
    model::{
        claim_name::{ClaimName, ReplicaId},
        error::Error,
        history::History,
        id::JobId,
    },
    scripts::{
        progress::kept,
        release::{Release, To},
        unhold::unhold,
        upkeep::{Abandoned, Upkeep},
    },
};

/// Dead jobs are kept for so long.
const DEAD_KEPT: Duration = Duration::from_secs(180 * 24 * 3600);

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

impl Session {
    /// Looks after one queue: with `reclaim`, gives the jobs of expired leases to others; frees what is past its time.
    ///
    /// # Errors
    /// [`Error::Unavailable`].
    pub async fn upkeep(&self, queue: &str, reclaim: bool) -> Result<UpkeepReport, Error> {
        let partition = self.client.directory.of_queue(queue).await?;
        let connection = self.client.redis.connection();
        let (now_ms, asked) = (self.client.clock.now_ms(), Instant::now());
        let upkeep = Upkeep { now_ms, retention: self.client.retention, dead_kept_ms: ms(DEAD_KEPT), reclaim };
        let found = upkeep.call(&connection, &partition).await?;
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
        let reports = kept(&self.client.redis.connection(), partition, &ids).await?;
        for (job, reports) in abandoned.into_iter().zip(reports) {
            let (replica, worker, started_ms) = match job.claim.parse::<ClaimName>() {
                Ok(claim) => (claim.replica.clone(), claim.replica.worker().to_owned(), claim.at_ms),
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
            let (to, history) = settle::crashed(history, &job.claim, &worker, started_ms, now_ms, counted)?;
            tracing::warn!(job.id = %job.id, job.kind = partition.queue, worker, to = ?to, "a worker died or lost its lease");
            let release = Release { id: job.id, claim: job.claim.into(), to, history: Some(history) };
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
        unhold(&self.client.redis.connection(), &partition).await
    }
}
