//! Dead letters: replays and deletes them. [`Client::list`] lists them.

use async_recursion::async_recursion as boxed;

use super::Client;
use crate::{
    keys::Partition,
    model::{error::Error, id::JobId, state::State},
    scripts::{MOST, bury::bury, find::find, scored::scored},
};

impl Client {
    /// Makes dead jobs ready again, with all their attempts before them: those in `ids`, or all. Returns how many. Those whose unique key
    /// another job has by now stay dead.
    ///
    /// # Errors
    /// [`Error::UnknownQueue`], [`Error::Full`], [`Error::Unavailable`].
    #[boxed]
    pub async fn replay_dead(&self, queue: &str, ids: Option<&[JobId]>) -> Result<u64, Error> {
        let partition = self.existing(queue).await?;
        let mut n = 0;
        for id in self.dead_ids(&partition, ids).await? {
            let found = find(&self.redis.connection(), &partition, self.retention, id).await?;
            let Some(found) = found.filter(|found| found.place == "dead") else { continue };
            match self.revive(&partition, id, &found).await {
                Ok(revived) => n += u64::from(revived),
                Err(Error::Duplicate(_) | Error::Contended(_)) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(n)
    }

    /// Deletes dead jobs: those in `ids`, or all. Returns how many.
    ///
    /// # Errors
    /// [`Error::UnknownQueue`], [`Error::Unavailable`].
    #[boxed]
    pub async fn delete_dead(&self, queue: &str, ids: Option<&[JobId]>) -> Result<u64, Error> {
        let partition = self.existing(queue).await?;
        let mut n = 0;
        for ids in self.dead_ids(&partition, ids).await?.chunks(MOST) {
            n += bury(&self.redis.connection(), &partition, ids).await?;
        }
        Ok(n)
    }

    /// The ids asked for, or all that are dead now: those that die meanwhile are left for the next time.
    async fn dead_ids(&self, partition: &Partition, ids: Option<&[JobId]>) -> Result<Vec<JobId>, Error> {
        if let Some(ids) = ids {
            return Ok(ids.to_vec());
        }
        let (mut all, mut after) = (Vec::new(), None);
        loop {
            let connection = self.redis.connection();
            let page = scored(&connection, partition, State::Dead.name(), MOST, after).await?;
            after = page.last().map(|(id, died_ms)| (*died_ms, *id));
            let last = page.len() < MOST;
            all.extend(page.into_iter().map(|(id, _)| id));
            if last {
                return Ok(all);
            }
        }
    }
}
