//! Idempotency keys: a request that is sent again gives the job of the first.
//!
//! Where keys and jobs are on one server, a job is pushed in the call that takes its key. In a cluster they are in different slots, and of a
//! request for many jobs, or for one with a unique key, it is not known before the push which jobs are its answer. There it goes in steps:
//!
//! The entry of a key names the job's id from before the push on, and every push of it is one under a given id. So whoever takes over from
//! a request that died, or that never learned what came of its push, pushes the same job and not a second one, even while the first is
//! still at it. The entry is changed only by whoever wrote it last.

use std::time::Duration;

use async_recursion::async_recursion as boxed;
use serde::{Deserialize, Serialize};

use super::Client;
use crate::{
    keys,
    model::{error::Error, id::JobId, new_job::NewJob},
    scripts::{push_once::Once, unique::Change},
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
    /// The first answer, as it was stored. If its job is nowhere, [`Client::idempotency_reopen`] lets it be pushed again.
    Replay(String, KeyTaken),
    /// The job of this id was pushed together with the key. If it is nowhere, [`Client::idempotency_reopen`] lets it be pushed again.
    Pushed(KeyTaken),
}

/// What came of an earlier request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answered {
    /// This answer.
    Text(String),
    /// The job of this id was pushed.
    Job(JobId),
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
    /// Until then (Unix milliseconds) an unanswered request is left alone.
    #[serde(default)]
    pending_until_ms: u64,
    answer: Option<String>,
    /// The job was pushed in the call that wrote this. Older releases look for it as for one of a request that died.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pushed: bool,
}

impl Entry {
    fn unanswered(fingerprint: &Fingerprint, id: JobId, pending_until_ms: u64) -> Self {
        Self { fingerprint: fingerprint.clone(), id: Some(id), pending_until_ms, answer: None, pushed: false }
    }

    fn encode(&self) -> Result<String, Error> {
        serde_json::to_string(self).map_err(|e| Error::Invalid(e.to_string()))
    }
}

impl Client {
    /// Takes the idempotency key of a tenant for a request for a job of `kind`; held for 24 h from the first request on, which is how long
    /// its jobs are certainly known.
    ///
    /// # Errors
    /// [`Error::Unavailable`], [`Error::Full`].
    #[boxed]
    pub async fn idempotency_take(
        &self,
        tenant: &str,
        key: &str,
        fingerprint: &Fingerprint,
        kind: &str,
    ) -> Result<Idempotency, Error> {
        let number = self.directory.of_queue(kind).await?.number;
        self.take(tenant, key, fingerprint, number).await
    }

    /// Like [`Client::idempotency_take`], for a request for many jobs.
    ///
    /// # Errors
    /// [`Error::Unavailable`], [`Error::Full`].
    #[boxed]
    pub async fn idempotency_take_many(
        &self,
        tenant: &str,
        key: &str,
        fingerprint: &Fingerprint,
    ) -> Result<Idempotency, Error> {
        // No partition has the number 0, so no job has this id.
        self.take(tenant, key, fingerprint, 0).await
    }

    /// Pushes a job and takes the idempotency key of its request in one call. `None`, and nothing is done, when something stands in the key,
    /// when the job has a unique key, in a cluster, or when
    /// a key is damaged: then [`Client::idempotency_take`] tells how to go on. Once begun, it is done even if
    /// nobody waits for it any more.
    ///
    /// # Errors
    /// As [`Client::push`]. What is [`Error::Unavailable`] may have been done nevertheless: the request, sent again, finds it.
    #[boxed]
    pub async fn push_once(
        &self,
        tenant: &str,
        key: &str,
        fingerprint: &Fingerprint,
        job: &NewJob,
    ) -> Result<Option<JobId>, Error> {
        if job.unique.is_some() || self.are_slots_apart() {
            return Ok(None);
        }
        let (partition, push) = self.prepared(job, self.clock.now_ms()).await?;
        let id = push.id;
        let entry = Entry { pushed: true, ..Entry::unanswered(fingerprint, id, 0) }.encode()?;
        let key = keys::idempotency(self.redis.prefix(), tenant, key);
        match self.pusher.push_once(partition, Once { push, key, entry, ttl_ms: ms(KEPT) }).await {
            Ok(present) => Ok(present.is_none().then_some(id)),
            Err(error @ Error::Redis(_)) => {
                // A damaged key of the queue must not hide that the job was taken before.
                if !self.finds_slots_apart(&error) {
                    tracing::debug!(%error, "a job and its idempotency key are not written in one call");
                }
                Ok(None)
            }
            Err(error) => Err(error),
        }
    }

    async fn take(
        &self,
        tenant: &str,
        key: &str,
        fingerprint: &Fingerprint,
        partition: u16,
    ) -> Result<Idempotency, Error> {
        let redis_key = keys::idempotency(self.redis.prefix(), tenant, key);
        let now_ms = self.clock.now_ms();
        let id = JobId::new(partition, now_ms);
        let taken = |fingerprint, id, entry| KeyTaken { id, redis_key: redis_key.clone(), fingerprint, entry };
        let unanswered = |fingerprint, id| Entry::unanswered(fingerprint, id, now_ms + ms(PENDING)).encode();
        let ours = unanswered(fingerprint, id)?;
        let change = Change { key: &redis_key, seen: "", new: &ours, ttl_ms: Some(ms(KEPT)) };
        let Some(before) = change.call(&self.redis.connection()).await? else {
            return Ok(Idempotency::New(taken(fingerprint.clone(), id, ours)));
        };
        let entry: Entry =
            serde_json::from_str(&before).map_err(|e| Error::Corrupt(format!("idempotency key {key:?}: {e}")))?;
        let first = entry.fingerprint;
        if !first.is_of_the_same(fingerprint) {
            return Ok(Idempotency::Mismatch);
        }
        match (entry.answer, entry.id) {
            (Some(answer), first_id) => Ok(Idempotency::Replay(answer, taken(first, first_id.unwrap_or(id), before))),
            (None, Some(id)) if entry.pushed => Ok(Idempotency::Pushed(taken(first, id, before))),
            (None, Some(id)) if entry.pending_until_ms <= now_ms => {
                let ours = unanswered(&first, id)?;
                let found = taken(first, id, before);
                // Of several that come at once, one takes over.
                let is_ours = self.write(&found, &ours).await?;
                Ok(if is_ours {
                    Idempotency::Again(KeyTaken { entry: ours, ..found })
                } else {
                    Idempotency::InProgress
                })
            }
            (None, _) => Ok(Idempotency::InProgress),
        }
    }

    /// What came of this request when it was sent before, if it was answered. Takes nothing.
    ///
    /// # Errors
    /// [`Error::Unavailable`].
    #[boxed]
    pub async fn idempotency_answer(
        &self,
        tenant: &str,
        key: &str,
        fingerprint: &Fingerprint,
    ) -> Result<Option<Answered>, Error> {
        let redis_key = keys::idempotency(self.redis.prefix(), tenant, key);
        let look = Change { key: &redis_key, seen: "", new: "", ttl_ms: None };
        let found = look.call(&self.redis.connection()).await?;
        let entry: Option<Entry> = found.and_then(|entry| serde_json::from_str(&entry).ok());
        let entry = entry.filter(|entry| entry.fingerprint.is_of_the_same(fingerprint));
        Ok(entry.and_then(|entry| match (entry.answer, entry.id) {
            (Some(answer), _) => Some(Answered::Text(answer)),
            (None, Some(id)) if entry.pushed => Some(Answered::Job(id)),
            (None, _) => None,
        }))
    }

    /// Takes a key whose job was pushed and is nowhere: it was lost, and is to be pushed again. `None` when somebody else is at it.
    ///
    /// # Errors
    /// [`Error::Unavailable`], [`Error::Full`].
    #[boxed]
    pub async fn idempotency_reopen(&self, taken: &KeyTaken) -> Result<Option<KeyTaken>, Error> {
        let ours = Entry::unanswered(&taken.fingerprint, taken.id, self.clock.now_ms() + ms(PENDING)).encode()?;
        Ok(self.write(taken, &ours).await?.then(|| KeyTaken { entry: ours, ..taken.clone() }))
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
