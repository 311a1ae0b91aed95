//! How many jobs a tenant has enqueued on a UTC day, where that is limited.

use std::time::Duration;

use async_recursion::async_recursion as boxed;
use redis::AsyncCommands;

use super::Client;
use crate::{keys, model::error::Error, scripts::quota::quota};

const DAY_MS: u64 = 24 * 3600 * 1000;

/// Jobs that count on a tenant's day, before they are pushed.
#[derive(Debug, Clone, PartialEq, Eq)]
#[must_use]
pub struct Taken {
    key: String,
    n: u64,
}

impl Taken {
    /// How many.
    #[must_use]
    pub fn n(&self) -> u64 {
        self.n
    }
}

impl Client {
    /// Takes up to `n` of the `most` jobs that a tenant may enqueue on this UTC day: fewer if fewer are left, perhaps none. Of many that ask at
    /// once in any number of processes, no more than `most` get it. What is then not pushed is [given back](Self::give_back).
    ///
    /// # Errors
    /// [`Error::Unavailable`].
    #[boxed]
    pub async fn take_quota(&self, tenant: &str, n: u64, most: u64) -> Result<Taken, Error> {
        let key = keys::quota(self.redis.prefix(), tenant, self.clock.now_ms() / DAY_MS);
        let taken = quota(&self.redis.connection(), &key, i64::try_from(n).unwrap_or(i64::MAX), most).await?;
        Ok(Taken { key, n: u64::try_from(taken).unwrap_or(0) })
    }

    /// Gives back so many of what was taken. If that fails, they count until their day is over.
    #[boxed]
    pub async fn give_back(&self, taken: &Taken, n: u64) {
        let n = i64::try_from(n.min(taken.n)).unwrap_or(i64::MAX);
        if n == 0 {
            return;
        }
        if let Err(error) = quota(&self.redis.connection(), &taken.key, -n, 0).await {
            tracing::debug!(%error, "jobs that were not enqueued count until the day is over");
        }
    }

    /// How many jobs of a tenant count on this UTC day.
    ///
    /// # Errors
    /// [`Error::Unavailable`].
    #[boxed]
    pub async fn n_taken(&self, tenant: &str) -> Result<u64, Error> {
        let key = keys::quota(self.redis.prefix(), tenant, self.clock.now_ms() / DAY_MS);
        let count: Option<u64> = self.redis.connection().get(key).await?;
        Ok(count.unwrap_or(0))
    }

    /// How long this UTC day lasts.
    #[must_use]
    pub fn rest_of_day(&self) -> Duration {
        Duration::from_millis(DAY_MS - self.clock.now_ms() % DAY_MS)
    }
}
