//! Unique keys: while a job holds a tenant's key, a second job with that key is not added.
//!
//! A key names its holder. It is held as long as the holder has not come to an end, or for the time that the push asked for.
//! Nobody has to give it back: the next push that meets the key looks at the holder. So a worker that dies cannot leave a key
//! behind, and finishing a job costs nothing.

use std::time::Duration;

use redis::AsyncCommands;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::{
    client::{Client, prepare, prepare_any},
    error::Error,
    keys::{self, Partition},
    message::{JobId, NewJob, State},
    scripts::{self, Push},
};

/// A holder that is in no queue may still be on its way there for so long.
const ON_ITS_WAY: Duration = Duration::from_secs(10);
/// The key of a job is forgotten so long after the job's time, even if the job still waits.
const KEPT: Duration = Duration::from_secs(30 * 24 * 3600);
/// How often a push tries again when others change the key meanwhile.
const TRIES: u32 = 20;

/// What a push does when another job holds its key.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum OnConflict {
    /// Answers with the job that holds the key.
    #[default]
    ReturnExisting,
    /// Cancels the job that holds the key and takes its place; refused while it runs.
    Replace,
    /// Is refused.
    Reject,
}

/// A job's claim to be the only one of its key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unique {
    /// The key, within the tenant.
    pub key: String,
    /// Hold the key for so long from now, whether the job has ended or not. Absent: until it has ended.
    pub hold: Option<Duration>,
    /// What to do when another job holds the key.
    pub on_conflict: OnConflict,
}

/// What became of a push with a unique key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pushed {
    /// The job was added.
    New(JobId),
    /// This job holds the key.
    Existing(JobId),
}

impl Pushed {
    /// The job that has the key now.
    #[must_use]
    pub fn id(self) -> JobId {
        match self {
            Self::New(id) | Self::Existing(id) => id,
        }
    }
}

/// Who holds a key, as it is stored: `id`, with a `+` behind it when the key is held for a set time.
struct Holder {
    text: String,
    id: JobId,
    for_a_set_time: bool,
}

impl Holder {
    fn read(text: String) -> Option<Self> {
        let id = text.trim_end_matches('+').parse().ok()?;
        Some(Self { id, for_a_set_time: text.ends_with('+'), text })
    }
}

impl Client {
    /// Pushes one job, and minds its unique key if it has one.
    ///
    /// # Errors
    /// As [`Client::push`]; besides [`Error::Duplicate`] when another job holds the key and `reject` was asked for, or `replace`
    /// and it runs.
    pub async fn submit(&self, job: NewJob) -> Result<Pushed, Error> {
        match job.unique.clone() {
            Some(unique) => self.push_unique(job, &unique, None).await,
            None => self.push(job).await.map(Pushed::New),
        }
    }

    /// Like [`Client::submit`], under an id that [`Client::idempotency_take`] gave for a job of this kind. There must be no job
    /// with this id yet.
    ///
    /// # Errors
    /// As [`Client::submit`]; besides [`Error::Invalid`] for an id of another kind.
    pub async fn submit_as(&self, id: JobId, job: NewJob) -> Result<Pushed, Error> {
        if let Some(unique) = job.unique.clone() {
            return self.push_unique(job, &unique, Some(id)).await;
        }
        let partition = self.directory.of_queue(&job.kind).await?;
        let push = under_id(prepare(job, &partition, self.clock.now_ms())?, id, &partition)?;
        self.pusher.push(partition, push).await?;
        Ok(Pushed::New(id))
    }

    /// Pushes a job that shall be the only one of its key.
    ///
    /// # Errors
    /// [`Error::Duplicate`] when another job holds the key and `reject` was asked for, or `replace` and it runs; otherwise as
    /// [`Client::push`].
    pub(crate) async fn push_unique(&self, job: NewJob, unique: &Unique, id: Option<JobId>) -> Result<Pushed, Error> {
        let partition = self.directory.of_queue(&job.kind).await?;
        let now_ms = self.clock.now_ms();
        let key = keys::unique(self.redis.prefix(), &job.tenant, &unique.key);
        let until_ms = job.run_at_ms.map_or(now_ms, |at| at.max(now_ms)) + ms(KEPT);
        let ttl_ms = unique.hold.map_or(until_ms - now_ms, ms).max(1);
        let mut push = prepare_any(job, &partition, now_ms)?;
        if let Some(id) = id {
            push = under_id(push, id, &partition)?;
        }
        let mark = if unique.hold.is_some() { "+" } else { "" };
        let ours = format!("{}{mark}", push.id);

        let connection = self.redis.connection();
        let mut seen = String::new();
        for _ in 0..TRIES {
            let Some(holder) = scripts::unique(&connection, &key, &seen, &ours, ttl_ms).await? else {
                let added = scripts::push(&connection, &partition, now_ms, std::slice::from_ref(&push)).await;
                if let Err(error) = added {
                    // After an unknown outcome the job may be there: then it holds the key rightly, and otherwise the key is free
                    // as soon as it can no longer be on its way.
                    if error == Error::Full {
                        scripts::unique(&connection, &key, &ours, "", ttl_ms).await?;
                    }
                    return Err(error);
                }
                return Ok(Pushed::New(push.id));
            };
            let Some(holder) = Holder::read(holder) else {
                seen = String::new();
                continue;
            };
            if holder.id == push.id {
                // An earlier try of ours took the key and did not get as far as the push.
                seen = holder.text;
                continue;
            }
            match self.held_by(&holder).await? {
                None => seen = holder.text,
                Some(state) => match unique.on_conflict {
                    OnConflict::ReturnExisting => return Ok(Pushed::Existing(holder.id)),
                    OnConflict::Reject => return Err(Error::Duplicate(holder.id)),
                    OnConflict::Replace if state == Some(State::Running) => return Err(Error::Duplicate(holder.id)),
                    OnConflict::Replace => {
                        match self.cancel(holder.id).await {
                            // It began to run in this moment: the cancellation reaches it, but its place is not free.
                            Ok(view) if !view.state.is_finished() => return Err(Error::Duplicate(holder.id)),
                            Ok(_) | Err(Error::Conflict(_) | Error::NotFound) => {}
                            Err(error) => return Err(error),
                        }
                        seen = holder.text;
                    }
                },
            }
        }
        Err(Error::Unavailable(format!("too many pushes compete for the unique key {:?}", unique.key)))
    }

    /// The job that holds a tenant's unique key, or held it last; it may have ended.
    ///
    /// # Errors
    /// [`Error::Unavailable`].
    pub async fn holder(&self, tenant: &str, key: &str) -> Result<Option<JobId>, Error> {
        let holder: Option<String> =
            self.redis.connection().get(keys::unique(self.redis.prefix(), tenant, key)).await?;
        Ok(holder.and_then(Holder::read).map(|holder| holder.id))
    }

    /// The state of a holder that still holds its key (`Some(None)`: on its way into the queue); `None` when it does not.
    async fn held_by(&self, holder: &Holder) -> Result<Option<Option<State>>, Error> {
        let view = self.find(holder.id).await?;
        Ok(match view {
            Some(view) if holder.for_a_set_time || !view.state.is_finished() => Some(Some(view.state)),
            Some(_) => None,
            None if holder.for_a_set_time => Some(None),
            None => (holder.id.created_ms() + ms(ON_ITS_WAY) > self.clock.now_ms()).then_some(None),
        })
    }
}

pub(crate) fn under_id(push: Push, id: JobId, partition: &Partition) -> Result<Push, Error> {
    if id.partition() != partition.number {
        return Err(Error::Invalid(format!("the id {id} is not one of the queue {}", partition.queue)));
    }
    Ok(Push { id, ..push })
}

fn ms(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
