//! Following a job: being shown it each time that something happens to it.

use std::{pin::Pin, sync::Arc, time::Duration};

use async_recursion::async_recursion as boxed;
use tokio::{sync::futures::OwnedNotified, time::Instant};

use super::{Client, events::Waiting, watch::LOOK_EVERY};
use crate::{
    keys::Partition,
    model::{error::Error, id::JobId, view::JobView},
};

/// For so long the scripts tell of the job, counted from each renewal.
const WATCHED_FOR: Duration = Duration::from_secs(60);
/// Redis is asked again after this time when it did not answer.
const AGAIN_AFTER: Duration = Duration::from_secs(1);

/// Somebody who follows a job. Dropping it ends that: the job's entry in `watched` is no longer renewed.
pub struct Follower {
    client: Client,
    partition: Arc<Partition>,
    id: JobId,
    waiting: Waiting,
    /// Set before the last look, so that nothing that came after it is missed.
    changed: Option<Pin<Box<OwnedNotified>>>,
    renew_at: Instant,
}

impl Client {
    /// Starts to follow a job. `None`: its id is not one of ours; a job that is not known is found out by [`Follower::next`].
    ///
    /// # Errors
    /// [`Error::Unavailable`].
    #[boxed]
    pub async fn follow(&self, id: JobId) -> Result<Option<Follower>, Error> {
        let Some(partition) = self.directory.of_id(id).await? else { return Ok(None) };
        let waiting = self.events.register(id).await;
        Ok(Some(Follower { client: self.clone(), partition, id, waiting, changed: None, renew_at: Instant::now() }))
    }
}

impl Follower {
    /// The job: at the first call at once, then each time that something may have happened to it, and at least every 15 s. While
    /// Redis is away this waits until it is back. `None`: the job is no longer known.
    pub async fn next(&mut self) -> Option<JobView> {
        if let Some(changed) = self.changed.take() {
            let _ = tokio::time::timeout(LOOK_EVERY, changed).await;
        }
        loop {
            let mut changed = Box::pin(self.waiting.changed_owned());
            changed.as_mut().enable();
            match self.look().await {
                Ok(job) => {
                    self.changed = Some(changed);
                    return job;
                }
                Err(error) => {
                    tracing::debug!(job.id = %self.id, %error, "cannot look at a job that is followed; trying again");
                    // A Redis that was away may have forgotten who watches.
                    self.renew_at = Instant::now();
                    let _ = tokio::time::timeout(AGAIN_AFTER, changed).await;
                }
            }
        }
    }

    async fn look(&mut self) -> Result<Option<JobView>, Error> {
        if Instant::now() >= self.renew_at {
            let watched_for = u64::try_from(WATCHED_FOR.as_millis()).unwrap_or(u64::MAX);
            match self.client.watch(&self.partition, self.id, self.client.clock.now_ms() + watched_for).await {
                // Nothing is told then, but the job can be looked at.
                Err(Error::Full) => {}
                watched => {
                    watched?;
                    self.renew_at = Instant::now() + LOOK_EVERY;
                }
            }
        }
        self.client.find(self.id).await
    }
}
