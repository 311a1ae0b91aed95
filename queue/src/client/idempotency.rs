//! Idempotency keys: a request that is sent again gives the job of the first.
//!
//! The entry of a key names the job's id from before the push on, and every push of it is one under a given id. So whoever takes over from
//! a request that died, or that never learned what came of its push, pushes the same job and not a second one, even while the first is
//! still at it. The entry is changed only by whoever wrote it last.
//!
//! Where the answer is known before the push, it stands there from the beginning: it counts once its job is there, and a push costs one write
//! of the entry and not two.

use std::time::Duration;

use async_recursion::async_recursion as boxed;
use serde::{Deserialize, Serialize};

use super::Client;
use crate::{
    keys,
    model::{error::Error, id::JobId},
    scripts::unique::Change,
};

const KEPT: Duration = Duration::from_secs(24 * 3600);
/// A key's last moment may have come when it is written.
const LEAST_MS: u64 = 1;
/// So long a request is left alone that is being answered. As long as Redis may take for an answer: a request that was caught in an outage
/// can be sent again when Redis answers.
const PENDING: Duration = Duration::from_secs(2);

/// What became of an idempotency key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Idempotency {
    /// First time. Push under this id ([`Client::submit_as`]), then call [`Client::idempotency_store`] (2xx),
    /// [`Client::idempotency_release`] (what came of the push is unknown) or [`Client::idempotency_forget`] (anything else).
    New(KeyTaken),
    /// An earlier request had this id and died, or does not know what came of its push. If there is such a job, answer with it;
    /// otherwise go on as for [`Idempotency::New`].
    Again(KeyTaken),
    /// The first request is still being answered.
    InProgress,
    /// The same key came with another body.
    Mismatch,
    /// The first answer, as it was stored, if its job is there. If that is nowhere, [`Client::idempotency_reopen`] lets it be pushed again.
    Replay(String, KeyTaken),
}

/// An idempotency key as it was found or written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyTaken {
    /// The id of its job; for [`Client::idempotency_take_many`] one of which those of its jobs can be made ([`Client::fixed_id`]).
    pub id: JobId,
    redis_key: String,
    fingerprint: Fingerprint,
    /// What stands there.
    entry: String,
    /// Until then (Unix milliseconds) whoever wrote it may be at its push.
    pending_until_ms: u64,
    /// The answer that stands there already, for when the push succeeds: it need not be stored any more.
    pub answer: Option<String>,
}

/// What tells one request from another.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fingerprint {
    /// Hash of the body, byte for byte: all that older releases write and compare.
    #[serde(rename = "fingerprint")]
    pub bytes: String,
    /// Hash of what the body says, however it is written. Empty where an older release wrote it.
    #[serde(default)]
    pub meaning: String,
}

impl Fingerprint {
    fn is_of_the_same(&self, other: &Self) -> bool {
        self.bytes == other.bytes || (!self.meaning.is_empty() && self.meaning == other.meaning)
    }
}

#[derive(Serialize, Deserialize)]
struct Entry {
    #[serde(flatten)]
    fingerprint: Fingerprint,
    /// Absent where an older release wrote it, with an answer.
    #[serde(default)]
    id: Option<JobId>,
    /// Until then (Unix milliseconds) a request whose job is not there is left alone.
    #[serde(default)]
    pending_until_ms: u64,
    answer: Option<String>,
}

impl Entry {
    fn unanswered(fingerprint: &Fingerprint, id: JobId, pending_until_ms: u64) -> Self {
        Self { fingerprint: fingerprint.clone(), id: Some(id), pending_until_ms, answer: None }
    }

    fn encode(&self) -> Result<String, Error> {
        serde_json::to_string(self).map_err(|e| Error::Invalid(e.to_string()))
    }
}

impl Client {
    /// Takes the idempotency key of a tenant for a request for a job of `kind`; held for 24 h from the first request on, which is how long
    /// its jobs are certainly known. `answer` may know already what a push under this id will be answered with; then the key keeps that,
    /// and [`KeyTaken::answer`] has it.
    ///
    /// # Errors
    /// [`Error::Unavailable`], [`Error::Full`].
    pub async fn idempotency_take(
        &self,
        tenant: &str,
        key: &str,
        fingerprint: &Fingerprint,
        kind: &str,
        answer: impl FnOnce(JobId) -> Option<String>,
    ) -> Result<Idempotency, Error> {
        let (number, now_ms) = (self.directory.of_queue(kind).await?.number, self.clock.now_ms());
        let id = JobId::new(number, now_ms);
        self.take(tenant, key, fingerprint, id, answer(id)).await
    }

    /// Like [`Client::idempotency_take`], for a request for many jobs.
    ///
    /// # Errors
    /// [`Error::Unavailable`], [`Error::Full`].
    pub async fn idempotency_take_many(
        &self,
        tenant: &str,
        key: &str,
        fingerprint: &Fingerprint,
    ) -> Result<Idempotency, Error> {
        // No partition has the number 0, so no job has this id.
        self.take(tenant, key, fingerprint, JobId::new(0, self.clock.now_ms()), None).await
    }

    #[boxed]
    async fn take(
        &self,
        tenant: &str,
        key: &str,
        fingerprint: &Fingerprint,
        id: JobId,
        answer: Option<String>,
    ) -> Result<Idempotency, Error> {
        let redis_key = keys::idempotency(self.redis.prefix(), tenant, key);
        let now_ms = id.created_ms();
        let pending_until_ms = now_ms + ms(PENDING);
        let ours = Entry { answer, ..Entry::unanswered(fingerprint, id, pending_until_ms) };
        let text = ours.encode()?;
        let mut set = redis::cmd("SET");
        set.arg(&redis_key).arg(&text).arg("NX").arg("GET").arg("PX").arg(ms(KEPT));
        let before: Option<String> = set.query_async(&mut self.redis.connection()).await?;
        let Some(before) = before else {
            let Entry { fingerprint, answer, .. } = ours;
            return Ok(Idempotency::New(KeyTaken {
                id,
                redis_key,
                fingerprint,
                entry: text,
                pending_until_ms,
                answer,
            }));
        };
        let entry: Entry =
            serde_json::from_str(&before).map_err(|e| Error::Corrupt(format!("idempotency key {key:?}: {e}")))?;
        if !entry.fingerprint.is_of_the_same(fingerprint) {
            return Ok(Idempotency::Mismatch);
        }
        let found = KeyTaken {
            id: entry.id.unwrap_or(id),
            redis_key,
            fingerprint: entry.fingerprint,
            entry: before,
            pending_until_ms: entry.pending_until_ms,
            answer: None,
        };
        match (entry.answer, entry.id) {
            (Some(answer), _) => Ok(Idempotency::Replay(answer, found)),
            (None, Some(_)) => {
                let ours = self.idempotency_reopen(&found).await?;
                Ok(ours.map_or(Idempotency::InProgress, Idempotency::Again))
            }
            (None, None) => Ok(Idempotency::InProgress),
        }
    }

    /// The answer that was stored for this request, if there is one; it counts if its job is there. Takes nothing.
    ///
    /// # Errors
    /// [`Error::Unavailable`].
    #[boxed]
    pub async fn idempotency_answer(
        &self,
        tenant: &str,
        key: &str,
        fingerprint: &Fingerprint,
    ) -> Result<Option<String>, Error> {
        let redis_key = keys::idempotency(self.redis.prefix(), tenant, key);
        let look = Change { key: &redis_key, seen: "", new: "", ttl_ms: None };
        let found = look.call(&self.redis.connection()).await?;
        let entry: Option<Entry> = found.and_then(|entry| serde_json::from_str(&entry).ok());
        Ok(entry.filter(|entry| entry.fingerprint.is_of_the_same(fingerprint)).and_then(|entry| entry.answer))
    }

    /// Takes a key whose job is nowhere, to push it again: it was lost, or never pushed. `None` when somebody else is at it.
    ///
    /// # Errors
    /// [`Error::Unavailable`], [`Error::Full`].
    #[boxed]
    pub async fn idempotency_reopen(&self, taken: &KeyTaken) -> Result<Option<KeyTaken>, Error> {
        let now_ms = self.clock.now_ms();
        if taken.pending_until_ms > now_ms {
            return Ok(None);
        }
        let pending_until_ms = now_ms + ms(PENDING);
        let entry = Entry::unanswered(&taken.fingerprint, taken.id, pending_until_ms).encode()?;
        // Of several that come at once, one takes over.
        let is_ours = self.write(taken, &entry).await?;
        Ok(is_ours.then(|| KeyTaken { entry, pending_until_ms, ..taken.clone() }))
    }

    /// Keeps the answer as long as the key, unless somebody has taken over meanwhile: then that one's answer is kept.
    ///
    /// # Errors
    /// [`Error::Unavailable`], [`Error::Full`].
    #[boxed]
    pub async fn idempotency_store(&self, taken: &KeyTaken, answer: &str) -> Result<(), Error> {
        let answer = Some(answer.to_owned());
        let entry = Entry { answer, ..Entry::unanswered(&taken.fingerprint, taken.id, 0) };
        self.write(taken, &entry.encode()?).await.map(drop)
    }

    /// Lets the request be sent again at once, for the same job: it is not known whether it was pushed.
    ///
    /// # Errors
    /// [`Error::Unavailable`], [`Error::Full`]: it can then be sent again after two seconds.
    #[boxed]
    pub async fn idempotency_release(&self, taken: &KeyTaken) -> Result<(), Error> {
        let entry = Entry::unanswered(&taken.fingerprint, taken.id, 0).encode()?;
        self.write(taken, &entry).await.map(drop)
    }

    /// Gives the key back, so that another request can be sent with it: nothing was pushed.
    ///
    /// # Errors
    /// [`Error::Unavailable`], [`Error::Full`]: it can then be sent again after two seconds, but no other.
    #[boxed]
    pub async fn idempotency_forget(&self, taken: &KeyTaken) -> Result<(), Error> {
        self.write(taken, "").await.map(drop)
    }

    /// Writes the entry if it is still as it was taken.
    async fn write(&self, taken: &KeyTaken, entry: &str) -> Result<bool, Error> {
        let held_ms = self.clock.now_ms().saturating_sub(taken.id.created_ms());
        let left_ms = ms(KEPT).saturating_sub(held_ms).max(LEAST_MS);
        let change = Change { key: &taken.redis_key, seen: &taken.entry, new: entry, ttl_ms: Some(left_ms) };
        Ok(change.call(&self.redis.connection()).await?.is_none())
    }
}

fn ms(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
