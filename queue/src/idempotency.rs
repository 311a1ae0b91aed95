//! Idempotency keys: a request that is sent again gives the job of the first.
//!
//! The entry of a key names the job's id from before the push on. So whoever takes over from a request that died, or that never
//! learned what came of its push, pushes the same job and not a second one.

use std::time::Duration;

use redis::AsyncCommands;
use serde::{Deserialize, Serialize};

use crate::{client::Client, error::Error, keys, message::JobId, scripts};

const KEPT: Duration = Duration::from_secs(24 * 3600);
/// A request that did not even end in an error within this time has died.
const PENDING: Duration = Duration::from_secs(120);

/// What became of an idempotency key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Idempotency {
    /// First time. Push under this id ([`Client::submit_as`]), then call [`Client::idempotency_store`] (2xx),
    /// [`Client::idempotency_release`] (what came of the push is unknown) or [`Client::idempotency_forget`] (anything else).
    New(JobId),
    /// An earlier request had this id and died, or does not know what came of its push. If there is such a job, answer with it;
    /// otherwise go on as for [`Idempotency::New`].
    Again(JobId),
    /// The first request is still being answered.
    InProgress,
    /// The same key came with another body.
    Mismatch,
    /// The first answer, as it was stored.
    Replay(String),
}

#[derive(Serialize, Deserialize)]
struct Entry {
    fingerprint: String,
    /// Absent where an older release wrote it.
    #[serde(default)]
    id: Option<JobId>,
    /// Until then (Unix milliseconds) an unanswered request is left alone.
    #[serde(default)]
    pending_until_ms: u64,
    answer: Option<String>,
}

impl Entry {
    fn unanswered(fingerprint: &str, id: JobId, pending_until_ms: u64) -> Self {
        Self { fingerprint: fingerprint.to_owned(), id: Some(id), pending_until_ms, answer: None }
    }

    fn encode(&self) -> Result<String, Error> {
        serde_json::to_string(self).map_err(|e| Error::Invalid(e.to_string()))
    }
}

impl Client {
    /// Takes the idempotency key of a tenant for a job of `kind`, whose request body hashes to `fingerprint`; held for 24 h.
    ///
    /// # Errors
    /// [`Error::Unavailable`], [`Error::Full`].
    pub async fn idempotency_take(
        &self,
        tenant: &str,
        key: &str,
        fingerprint: &str,
        kind: &str,
    ) -> Result<Idempotency, Error> {
        let redis_key = keys::idempotency(self.redis.prefix(), tenant, key);
        let partition = self.directory.of_queue(kind).await?;
        let connection = self.redis.connection();
        let now_ms = self.clock.now_ms();
        let pending_until_ms = now_ms + ms(PENDING);
        let id = JobId::new(partition.number, now_ms);
        let ours = Entry::unanswered(fingerprint, id, pending_until_ms).encode()?;
        let Some(before) = scripts::unique(&connection, &redis_key, "", &ours, ms(KEPT)).await? else {
            return Ok(Idempotency::New(id));
        };
        let entry: Entry =
            serde_json::from_str(&before).map_err(|e| Error::Corrupt(format!("idempotency key {key:?}: {e}")))?;
        match entry {
            Entry { fingerprint: first, .. } if first != fingerprint => Ok(Idempotency::Mismatch),
            Entry { answer: Some(answer), .. } => Ok(Idempotency::Replay(answer)),
            Entry { id: Some(id), pending_until_ms: until_ms, .. } if until_ms <= now_ms => {
                let ours = Entry::unanswered(fingerprint, id, pending_until_ms).encode()?;
                let other = scripts::unique(&connection, &redis_key, &before, &ours, ms(KEPT)).await?;
                // Of several that come at once, one takes over.
                Ok(if other.is_none() { Idempotency::Again(id) } else { Idempotency::InProgress })
            }
            Entry { .. } => Ok(Idempotency::InProgress),
        }
    }

    /// Keeps the answer for 24 h.
    ///
    /// # Errors
    /// [`Error::Unavailable`], [`Error::Full`].
    pub async fn idempotency_store(
        &self,
        tenant: &str,
        key: &str,
        fingerprint: &str,
        answer: &str,
    ) -> Result<(), Error> {
        let answer = Some(answer.to_owned());
        let entry = Entry { fingerprint: fingerprint.to_owned(), id: None, pending_until_ms: 0, answer };
        self.idempotency_write(tenant, key, &entry).await
    }

    /// Lets the request be sent again at once, for the same job: it is not known whether it was pushed.
    ///
    /// # Errors
    /// [`Error::Unavailable`], [`Error::Full`]: it can then be sent again after two minutes.
    pub async fn idempotency_release(
        &self,
        tenant: &str,
        key: &str,
        fingerprint: &str,
        id: JobId,
    ) -> Result<(), Error> {
        self.idempotency_write(tenant, key, &Entry::unanswered(fingerprint, id, 0)).await
    }

    async fn idempotency_write(&self, tenant: &str, key: &str, entry: &Entry) -> Result<(), Error> {
        let redis_key = keys::idempotency(self.redis.prefix(), tenant, key);
        Ok(self.redis.connection().set_ex(redis_key, entry.encode()?, KEPT.as_secs()).await?)
    }

    /// Gives the key back, so that another request can be sent with it: nothing was pushed.
    ///
    /// # Errors
    /// [`Error::Unavailable`].
    pub async fn idempotency_forget(&self, tenant: &str, key: &str) -> Result<(), Error> {
        Ok(self.redis.connection().del(keys::idempotency(self.redis.prefix(), tenant, key)).await?)
    }
}

fn ms(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
