//! The outbox of history: the ended jobs that somebody is still to write to a longer memory than Redis.
//!
//! The scripts that end a job leave its id in the list `unrecorded`. A recorder reads from the head, writes what it read, and
//! takes the same ids off the head. So an id leaves the list only after its job was written, whoever dies in between.

use std::collections::HashMap;

use async_recursion::async_recursion as boxed;
use redis::AsyncCommands;

use super::Client;
use crate::{
    model::{error::Error, id::JobId, view::JobView},
    scripts::{self, MOST},
};

/// Whoever has the lock and dies holds up the others for so long.
const LOCK_MS: u64 = 10_000;

/// The head of the list of ended jobs that are not recorded yet.
#[derive(Debug, Clone, PartialEq)]
pub struct Unrecorded {
    ids: Vec<JobId>,
    /// What the jobs are now. Those are left out that have not ended any more, or that Redis no longer knows.
    pub jobs: Vec<JobView>,
}

impl Unrecorded {
    /// Whether there is nothing to record.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.ids.is_empty()
    }

    /// How many ids it covers.
    #[must_use]
    pub fn len(&self) -> usize {
        self.ids.len()
    }
}

impl Client {
    /// Completes when this client, or one cloned with it, has ended jobs of which history is kept, or when a replica's upkeep found
    /// that others have; at once when that was since the last call.
    #[boxed]
    pub async fn ended(&self) {
        self.ended.notified().await;
    }

    /// Upkeep found ends of jobs of `queue` that are not recorded.
    pub(crate) fn has_unrecorded(&self, queue: &str) {
        if self.keeps_history(queue) {
            self.ended.notify_one();
        }
    }

    /// How many ends of jobs of `queue` are not recorded yet.
    ///
    /// # Errors
    /// [`Error::Unavailable`].
    #[boxed]
    pub async fn n_unrecorded(&self, queue: &str) -> Result<u64, Error> {
        let partition = self.directory.of_queue(queue).await?;
        Ok(self.redis.connection().llen(partition.key("unrecorded")).await?)
    }

    /// Up to `n` jobs (at most 1000) of `queue` that ended and are not recorded yet, the oldest first; fewer when they are large.
    ///
    /// # Errors
    /// [`Error::Unavailable`].
    #[boxed]
    pub async fn unrecorded(&self, queue: &str, n: usize) -> Result<Unrecorded, Error> {
        let partition = self.directory.of_queue(queue).await?;
        let last = isize::try_from(n.min(MOST)).unwrap_or(isize::MAX) - 1;
        let ids: Vec<Vec<u8>> = self.redis.connection().lrange(partition.key("unrecorded"), 0, last).await?;
        let mut ids: Vec<JobId> = ids.iter().filter_map(|id| JobId::from_slice(id)).collect();
        let found = if ids.is_empty() { Vec::new() } else { self.look(&partition, &ids).await? };
        ids.truncate(found.len());
        let jobs = ids.iter().zip(found).filter_map(|(id, found)| {
            let view = self.view(*id, &partition, &found?);
            view.state.is_finished().then_some(view)
        });
        let jobs = jobs.collect();
        Ok(Unrecorded { ids, jobs })
    }

    /// Takes what was recorded off the list of `queue`. Returns how many ids that were: fewer when somebody else was faster.
    ///
    /// # Errors
    /// [`Error::Unavailable`].
    #[boxed]
    pub async fn recorded(&self, queue: &str, unrecorded: &Unrecorded) -> Result<usize, Error> {
        let partition = self.directory.of_queue(queue).await?;
        scripts::recorded::recorded(&self.redis.connection(), &partition, &unrecorded.ids).await
    }

    /// Whether nobody else is recording the jobs of `queue` now; if so, others keep away for up to 10 s. It only saves work:
    /// two who record at a time do no harm.
    ///
    /// # Errors
    /// [`Error::Unavailable`].
    #[boxed]
    pub async fn lock_recording(&self, queue: &str) -> Result<bool, Error> {
        let partition = self.directory.of_queue(queue).await?;
        let mut command = redis::cmd("SET");
        command.arg(partition.key("recorder")).arg(1).arg("NX").arg("PX").arg(LOCK_MS);
        let locked: Result<bool, Error> = command.query_async(&mut self.redis.connection()).await.map_err(Error::from);
        match locked {
            // Recording does not wait for room in Redis.
            Err(Error::Full) => Ok(true),
            locked => locked,
        }
    }

    /// Lets others record the jobs of `queue`.
    ///
    /// # Errors
    /// [`Error::Unavailable`].
    #[boxed]
    pub async fn unlock_recording(&self, queue: &str) -> Result<(), Error> {
        let partition = self.directory.of_queue(queue).await?;
        Ok(self.redis.connection().del(partition.key("recorder")).await?)
    }

    /// Those of `ids` that are in the queue: true for the dead ones, false for those that have not ended.
    ///
    /// # Errors
    /// [`Error::Unavailable`].
    #[boxed]
    pub async fn in_queue(&self, ids: &[JobId]) -> Result<HashMap<JobId, bool>, Error> {
        let mut pipe = redis::pipe();
        let mut asked = Vec::with_capacity(ids.len());
        for id in ids {
            if let Some(partition) = self.directory.of_id(*id).await? {
                let bytes = id.as_bytes().as_slice();
                pipe.hexists(partition.page_of(*id), bytes).zscore(partition.key("dead"), bytes);
                asked.push(*id);
            }
        }
        if asked.is_empty() {
            return Ok(HashMap::new());
        }
        let answers: Vec<Option<f64>> = pipe.query_async(&mut self.redis.connection()).await?;
        let answers = asked.into_iter().zip(answers.chunks(2));
        let in_queue = answers.filter(|(_, answer)| answer[0] == Some(1.0));
        Ok(in_queue.map(|(id, answer)| (id, answer[1].is_some())).collect())
    }
}
