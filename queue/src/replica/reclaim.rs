//! Looks after queues, and gives the jobs of dead workers to others.

use std::{
    collections::HashMap,
    sync::Arc,
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
        upkeep::{Abandoned, LookedAfter, Upkeep},
    },
};

/// Dead jobs are kept for so long.
const DEAD_KEPT: Duration = Duration::from_secs(180 * 24 * 3600);

/// What upkeep of one queue found.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct UpkeepReport {
    /// When the next lease ends.
    pub next_lease_end_ms: Option<u64>,
    /// When the next job is due that waits for its time.
    pub next_due_ms: Option<u64>,
    /// Whether a claim would find work.
    pub work: bool,
    /// Whether jobs ended whose history is not written.
    pub unrecorded: bool,
    /// Whether a worker of an older release has put jobs aside.
    pub held: bool,
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
        let mut found = self.look_after(&[(partition.clone(), reclaim)]).await?;
        self.act_on(&partition, found.swap_remove(0)?).await
    }

    /// Looks after several queues, as [`Session::upkeep`] after each: in one call, and one more for each in which there is something to
    /// do. Each has an answer of its own, in the order of `queues`.
    pub async fn upkeep_of(&self, queues: &[(String, bool)]) -> Vec<Result<UpkeepReport, Error>> {
        let mut reports = Vec::with_capacity(queues.len());
        let (mut places, mut partitions) = (Vec::new(), Vec::new());
        for (place, (queue, reclaim)) in queues.iter().enumerate() {
            reports.push(match self.client.directory.of_queue(queue).await {
                Ok(partition) => {
                    places.push(place);
                    partitions.push((partition, *reclaim));
                    Ok(UpkeepReport::default())
                }
                Err(error) => Err(error),
            });
        }
        let mut done = 0;
        while done < partitions.len() {
            let apart = self.client.are_slots_apart();
            let asked = &partitions[done..if apart { done + 1 } else { partitions.len() }];
            let found = match self.look_after(asked).await {
                Ok(found) => found,
                Err(error) if asked.len() > 1 && self.client.finds_slots_apart(&error) => continue,
                Err(error) => asked.iter().map(|_| Err(error.clone())).collect(),
            };
            for found in found {
                reports[places[done]] = match found {
                    Ok(found) => self.act_on(&partitions[done].0, found).await,
                    Err(error) => Err(error),
                };
                done += 1;
            }
        }
        reports
    }

    /// One call. It has an answer at least for the first of `partitions`.
    async fn look_after(
        &self,
        partitions: &[(Arc<Partition>, bool)],
    ) -> Result<Vec<Result<LookedAfter, Error>>, Error> {
        let Some((first, others)) = partitions.split_first() else { return Ok(Vec::new()) };
        let connection = self.client.redis.connection();
        let (now_ms, asked) = (self.client.clock.now_ms(), Instant::now());
        let upkeep = Upkeep { now_ms, retention: self.client.retention, dead_kept_ms: ms(DEAD_KEPT) };
        let (server_ms, found) = upkeep.call(&connection, first, others).await?;
        self.client.clock.follow(server_ms, asked.elapsed());
        Ok(found)
    }

    async fn act_on(&self, partition: &Partition, found: LookedAfter) -> Result<UpkeepReport, Error> {
        let reclaimed = self.reclaim(partition, found.abandoned).await?;
        let LookedAfter { next_lease_end_ms, next_due_ms, work, unrecorded, held, .. } = found;
        Ok(UpkeepReport { next_lease_end_ms, next_due_ms, work, unrecorded, held, reclaimed })
    }

    async fn reclaim(&self, partition: &Partition, abandoned: Vec<Abandoned>) -> Result<usize, Error> {
        if abandoned.is_empty() {
            return Ok(0);
        }
        let now_ms = self.client.clock.now_ms();
        let mut suspects: HashMap<ReplicaId, Option<String>> = HashMap::new();
        let mut releases = Vec::with_capacity(abandoned.len());
        let ids: Vec<JobId> = abandoned.iter().map(|job| job.id).collect();
        let mut by_claim: HashMap<String, usize> = HashMap::new();
        for job in &abandoned {
            *by_claim.entry(job.claim.clone()).or_default() += 1;
        }
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
            let mut history = History::decode(job.history.as_deref());
            // While a replica ran a suspect, the suspect alone is blamed for its death. A suspect that it had just claimed among
            // ordinary jobs, and had not put aside yet, was not run.
            let counted = match suspect {
                Some(suspect) => suspect == job.id.to_string(),
                None => !history.is_suspect() || by_claim[&job.claim] == 1,
            };
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
