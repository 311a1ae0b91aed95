//! Cancels jobs.

use std::borrow::Cow;

use async_recursion::async_recursion as boxed;

use super::Client;
use crate::{
    keys,
    model::{
        claim_name::ClaimName, error::Error, finished::Finished, history::History, id::JobId, record::indexed,
        state::State, view::JobView,
    },
    scripts::{
        self,
        cancel::{Cancel, Cancelled},
    },
};

/// How often cancelling and retrying look again when the job has moved meanwhile.
pub(super) const TRIES: u32 = 20;

impl Client {
    /// Cancels a job that has not finished. A running one is told to stop and may still be `running` in the answer. What
    /// [follows](Client::with_follow_up) is pushed then; where that fails, it does not follow.
    ///
    /// # Errors
    /// [`Error::NotFound`], [`Error::Conflict`] when it has finished, [`Error::Corrupt`] when it is in two places, [`Error::Unavailable`].
    #[boxed]
    pub async fn cancel(&self, id: JobId) -> Result<JobView, Error> {
        let view = self.cancelled(id).await?;
        if let Some(next) = self.follow_up.of(&view)
            && let Err(error) = self.push(&next).await
        {
            tracing::warn!(job.id = %id, kind = next.kind, %error, "what is to follow the end of a cancelled job is not pushed");
        }
        Ok(view)
    }

    async fn cancelled(&self, id: JobId) -> Result<JobView, Error> {
        let connection = self.redis.connection();
        for _ in 0..TRIES {
            let (partition, found) = self.locate(id).await?.ok_or(Error::NotFound)?;
            let view = self.view(id, &partition, &found);
            if view.state.is_finished() {
                return Err(Error::Conflict(view.state.name()));
            }
            let now_ms = self.clock.now_ms();
            let finished = Finished {
                record: Cow::Owned(found.record.into()),
                state: State::Cancelled,
                finished_ms: now_ms,
                started_ms: None,
                worker: None,
                history: found.history.as_deref().map(|bytes| History::decode(Some(bytes))),
                success: None,
                reports: None,
                replaced_ms: None,
            };
            let stored = finished.encode()?;
            let keeps_history = self.keeps_history(&partition.queue);
            let retention = self.retention;
            let job = Cancel { now_ms, retention, id, place: &found.place, finished: &stored, keeps_history };
            match job.call(&connection, &partition).await? {
                Cancelled::Moved => {}
                // Not looked for again: it may not be kept at all.
                Cancelled::Done => {
                    if let Some(tenant) = indexed(&view.tenant)
                        && let Err(error) = self.forget(&partition, &[(tenant, id)]).await
                    {
                        tracing::debug!(job.id = %id, %error, "upkeep takes it out of the index of its tenant");
                    }
                    return Ok(self.finished_view(id, &partition, finished));
                }
                Cancelled::Running(claim) => {
                    if let Ok(claim) = claim.parse::<ClaimName>()
                        && let Err(error) = self.tell(claim.replica.as_str()).await
                    {
                        tracing::debug!(job.id = %id, %error, "its worker hears of it at its next renewal");
                    }
                    return Ok(view);
                }
            }
        }
        Err(in_two_places(id))
    }

    /// Has a replica look at once which of its jobs are to stop; otherwise it looks at each renewal of its leases.
    async fn tell(&self, replica: &str) -> Result<(), Error> {
        let key = keys::control(self.redis.prefix(), replica);
        scripts::tell::tell(&self.redis.connection(), &key, "cancel").await
    }
}

/// No job changes its state so often between two calls: what is stored contradicts itself.
pub(super) fn in_two_places(id: JobId) -> Error {
    Error::Corrupt(format!("job {id} is not where it was found, {TRIES} times; it may be in two places at once"))
}
