//! What one replica holds, and the calls that change it. The background tasks of a worker are loops around these functions, each of
//! which is in a file by its name; tests call them by hand.

use std::{
    borrow::Cow,
    sync::{Arc, Mutex, MutexGuard, PoisonError, atomic::AtomicU64},
    time::Duration,
};

use redis::AsyncCommands;

use super::{claimed::Shared, held::Held, locks::Locks, reporting::Desk};
use crate::{
    client::Client,
    keys::{self, Partition},
    model::{
        claim_name::{ClaimName, ReplicaId},
        error::Error,
        finished::Finished,
        history::History,
        id::JobId,
        state::State,
    },
    scripts::{
        finish::{Ending, EndingClaim},
        release::{CancelledRun, Release, Releases, To},
        wake::wake,
    },
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

/// One replica's dealings with the queue.
#[derive(Debug)]
pub struct Session {
    pub(super) client: Client,
    pub(super) replica: ReplicaId,
    pub(super) timing: Timing,
    pub(super) started_ms: u64,
    pub(super) held: Mutex<Held>,
    pub(super) claims: AtomicU64,
    /// A suspect is claimed while no other claim is under way.
    pub(super) claiming: tokio::sync::RwLock<()>,
    /// The suspect that this replica runs, by itself: whatever takes the replica down then was this job.
    pub(super) suspect: Mutex<Option<JobId>>,
    /// Claims whose answers were lost: what they took is given back.
    pub(super) unanswered: tokio::sync::Mutex<Vec<Unanswered>>,
    /// What is being written, one batch a partition. After a lost answer the same call is sent again, and nothing before it.
    pub(super) sealed: tokio::sync::Mutex<Vec<Sealed>>,
    pub(crate) shared: Arc<Shared>,
}

/// A claim whose answer was lost.
#[derive(Debug)]
pub(super) struct Unanswered {
    pub(super) partition: Arc<Partition>,
    pub(super) claim: Arc<str>,
}

/// Settlements of one kind and partition that are written in one call.
#[derive(Debug)]
pub(super) struct Sealed {
    pub(super) partition: Arc<Partition>,
    pub(super) batch: SealedJobs,
}

#[derive(Debug)]
pub(super) enum SealedJobs {
    Ends { claims: Vec<EndingClaim>, jobs: Vec<Ending> },
    Releases(Vec<Release>),
}

impl Session {
    /// A session of the process `pid` on `host`.
    #[must_use]
    pub fn new(client: Client, host: &str, pid: u32, timing: Timing) -> Self {
        Self {
            started_ms: client.clock.now_ms(),
            shared: Arc::new(Shared {
                desk: Desk::new(client.clock.clone()),
                locks: Locks::new(client.clone(), timing.lease),
            }),
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

    /// How many jobs are held.
    #[must_use]
    pub fn n_held(&self) -> usize {
        self.held().jobs.len()
    }

    /// Waits until the locks of concurrency keys are let go whose handlers have ended.
    pub async fn locks_at_rest(&self) {
        self.shared.locks.at_rest().await;
    }

    pub(crate) fn runs_a_suspect(&self) -> bool {
        self.suspect().is_some_and(|id| self.held().jobs.contains_key(&id))
    }

    /// Leaves a token for other replicas: whoever took it may not claim.
    pub(crate) async fn wake_another(&self, partition: &Partition) -> Result<(), Error> {
        wake(&self.client.redis.connection(), partition).await
    }

    /// Releases jobs; those that someone cancelled meanwhile come to their end. Returns how many were refused.
    pub(super) async fn release(
        &self,
        partition: &Partition,
        now_ms: u64,
        mut releases: Vec<Release>,
    ) -> Result<usize, Error> {
        let connection = self.client.redis.connection();
        let (retention, keeps_history) = (self.client.retention, self.client.keeps_history(&partition.queue));
        let mut n_refused = 0;
        while !releases.is_empty() {
            let call = Releases { now_ms, retention, jobs: &releases, keeps_history };
            let released = call.call(&connection, partition).await?;
            n_refused += released.refused.len();
            releases = cancelled(&releases, released.cancelled, now_ms)?;
        }
        Ok(n_refused)
    }

    /// Clears the mark of a suspect that is no longer held.
    pub(super) async fn forget_suspect(&self) {
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

    pub(super) fn held(&self) -> MutexGuard<'_, Held> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn suspect(&self) -> MutexGuard<'_, Option<JobId>> {
        self.suspect.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The error again, unless it says that Redis is away.
pub(super) fn refused_only(error: Error) -> Result<Error, Error> {
    if matches!(error, Error::Unavailable(_)) { Err(error) } else { Ok(error) }
}

/// The ends of those of `jobs` that someone cancelled while they ran, each with its record.
pub(super) fn cancelled(jobs: &[Release], cancelled: Vec<CancelledRun>, now_ms: u64) -> Result<Vec<Release>, Error> {
    let end = |run: CancelledRun| end_cancelled(&jobs[run.position], run.record, run.history.as_ref(), now_ms);
    cancelled.into_iter().map(end).collect()
}

/// In the place of `release`, the end of its job, which has this record and, unless the release brings another, this history.
pub(super) fn end_cancelled(
    release: &Release,
    record: Vec<u8>,
    history: Option<&Vec<u8>>,
    now_ms: u64,
) -> Result<Release, Error> {
    let by = release.claim.parse::<ClaimName>().ok();
    let finished = Finished {
        record: Cow::Owned(record.into()),
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
    Ok(Release { id: release.id, claim: release.claim.clone(), to: To::Cancelled, history })
}

pub(super) fn ms(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
