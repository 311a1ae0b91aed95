//! Pushes jobs that are written down in MongoDB, each once: under an id that is made of what is written, and once more some seconds later,
//! because a Redis that failed over may have lost what it had confirmed. Whoever finds what is not marked as pushed pushes it again: a job
//! that is there is not added a second time. The ticker and the outbox differ in where that is written, and in how it is marked.

use queue::{Client, JobId, NewJob, Pushed};
use store::{Moment, Store};

use crate::error::Error;

/// What was pushed is pushed once more so much later: a Redis that fails over loses at most the last second.
const AGAIN_AFTER_MS: u64 = 10_000;
/// What waited longer may have been run and forgotten by Redis: the history is asked.
const LONG_MS: u64 = 12 * 3600 * 1000;

/// A job to push.
#[derive(Debug, Clone)]
pub(crate) struct Parcel {
    /// The job's id is made of its kind, this name and this time.
    pub(crate) name: String,
    /// In Unix milliseconds.
    pub(crate) at_ms: u64,
    /// Since when it is to be pushed.
    pub(crate) since_ms: u64,
    pub(crate) job: NewJob,
}

/// What became of it.
#[derive(Debug)]
pub(crate) enum Became {
    /// It is in the queue: this one, which was there before perhaps.
    Pushed(JobId),
    /// It has ended long ago: it need not be pushed once more.
    Ended(JobId),
    /// It can never be pushed.
    Void(String),
    /// Its queue, or its key, is damaged: others may be pushed all the same.
    Held(queue::Error),
    /// Redis is away, or full.
    Failed(queue::Error),
}

/// When what was pushed at `now_ms` is pushed once more; never, if that was the second time.
pub(crate) fn again(is_first: bool, now_ms: u64) -> Option<Moment> {
    is_first.then(|| Moment::from_ms(now_ms + AGAIN_AFTER_MS))
}

/// Whether jobs of other queues, or with other keys, may be pushed all the same: not so if Redis is away or full.
pub(crate) fn is_of_one_queue(error: &queue::Error) -> bool {
    matches!(error, queue::Error::Redis(_) | queue::Error::Corrupt(_) | queue::Error::Contended(_))
}

/// Pushes jobs.
#[derive(Debug, Clone)]
pub(crate) struct Relay {
    pub(crate) client: Client,
    pub(crate) store: Store,
}

impl Relay {
    /// Pushes these jobs, and says of each, in their order, what became of it.
    pub(crate) async fn push(&self, parcels: Vec<Parcel>) -> Result<Vec<Became>, Error> {
        let now_ms = self.client.now_ms();
        let mut became: Vec<Option<Became>> = Vec::with_capacity(parcels.len());
        let (mut places, mut jobs) = (Vec::new(), Vec::new());
        for parcel in parcels {
            let to_push = match self.id(&parcel, now_ms).await? {
                Ok(id) => {
                    places.push(became.len());
                    jobs.push((id, parcel.job));
                    None
                }
                Err(settled) => Some(settled),
            };
            became.push(to_push);
        }
        // Those with a unique key may have to be pushed in the place of its holder.
        let pushes: Vec<_> = jobs.iter().map(|(id, job)| (*id, job.unique.is_some().then(|| job.clone()))).collect();
        for ((place, (id, unique)), pushed) in places.into_iter().zip(pushes).zip(self.client.push_fixed(jobs).await) {
            let pushed = match (pushed, unique) {
                (Ok(Pushed::Existing(holder)), Some(job)) => self.push_over(holder, id, job).await?,
                (pushed, _) => pushed,
            };
            became[place] = Some(match pushed {
                Ok(pushed) if pushed.id() == id => Became::Pushed(id),
                Ok(other) => Became::Void(format!("job {} holds the unique key", other.id())),
                // Nothing else than the job itself can make it void.
                Err(error @ (queue::Error::Invalid(_) | queue::Error::Duplicate(_))) => Became::Void(error.to_string()),
                Err(error) if is_of_one_queue(&error) => Became::Held(error),
                Err(error) => Became::Failed(error),
            });
        }
        Ok(became.into_iter().flatten().collect())
    }

    /// The id of a job, or what became of it without a push.
    async fn id(&self, parcel: &Parcel, now_ms: u64) -> Result<Result<JobId, Became>, Error> {
        let id = match self.client.fixed_id(&parcel.job.kind, &parcel.name, parcel.at_ms).await {
            Ok(id) => id,
            Err(error @ queue::Error::Invalid(_)) => return Ok(Err(Became::Void(error.to_string()))),
            Err(error) => return Err(error.into()),
        };
        let waited_long = parcel.since_ms + LONG_MS < now_ms;
        if waited_long && self.store.past_job(&id.to_string()).await?.is_some() {
            return Ok(Err(Became::Ended(id)));
        }
        Ok(Ok(id))
    }

    /// Pushes a job whose unique key another is said to hold, or it itself, if that one is neither in the queue nor in the history: it was
    /// lost, and holds no key.
    async fn push_over(&self, holder: JobId, id: JobId, job: NewJob) -> Result<Result<Pushed, queue::Error>, Error> {
        let is_there = match self.client.find(holder).await {
            Ok(found) => found.is_some(),
            Err(error) => return Ok(Err(error)),
        };
        if is_there || !self.store.ended(&[holder.to_string()]).await?.is_empty() {
            return Ok(Ok(Pushed::Existing(holder)));
        }
        tracing::warn!(job.id = %holder, "a job that holds a unique key is nowhere: it was lost");
        Ok(match self.client.submit_over(holder, Some(id), job).await {
            Err(queue::Error::Duplicate(holder)) => Ok(Pushed::Existing(holder)),
            pushed => pushed,
        })
    }
}
