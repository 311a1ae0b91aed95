//! Makes jobs ready again, or before their time.

use async_recursion::async_recursion as boxed;

use super::{
    Client,
    cancel::{TRIES, in_two_places},
};
use crate::{
    keys::Partition,
    model::{
        error::Error, finished::Finished, history::History, id::JobId, state::State, stored_job::StoredJob,
        view::JobView,
    },
    scripts::{hurry::hurry, revive::Revive},
};

/// What became of a job that was to run at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Hurried {
    /// It is ready.
    Coming,
    /// A worker has it, or its place changed meanwhile.
    Running,
    /// It will not come, or not soon.
    Gone,
}

impl Client {
    /// Makes a dead, cancelled, expired or retrying job ready at once, with all its attempts before it.
    ///
    /// # Errors
    /// [`Error::NotFound`], [`Error::Conflict`] in any other state, [`Error::Duplicate`] when another job has its unique key by now,
    /// [`Error::Contended`], [`Error::Corrupt`] when it is in two places, [`Error::Full`],
    /// [`Error::Unavailable`].
    #[boxed]
    pub async fn retry(&self, id: JobId) -> Result<JobView, Error> {
        for _ in 0..TRIES {
            let (partition, found) = self.locate(id).await?.ok_or(Error::NotFound)?;
            let state = self.view(id, &partition, &found).state;
            if !matches!(state, State::Dead | State::Cancelled | State::Expired | State::Retrying) {
                return Err(Error::Conflict(state.name()));
            }
            if self.revive(&partition, id, &found).await? {
                return self.find(id).await?.ok_or(Error::NotFound);
            }
        }
        Err(in_two_places(id))
    }

    /// Makes a scheduled or retrying job ready at once; its count of attempts stays. One that is ready already stays as it is.
    ///
    /// # Errors
    /// [`Error::NotFound`], [`Error::Conflict`] in any other state, [`Error::Full`], [`Error::Unavailable`].
    #[boxed]
    pub async fn run_now(&self, id: JobId) -> Result<JobView, Error> {
        loop {
            let (partition, found) = self.locate(id).await?.ok_or(Error::NotFound)?;
            let view = self.view(id, &partition, &found);
            match view.state {
                State::Ready => return Ok(view),
                State::Scheduled | State::Retrying => {}
                state => return Err(Error::Conflict(state.name())),
            }
            let mut history = History::decode(found.history.as_deref());
            // Its record names a later time.
            history.due_ms = Some(self.clock.now_ms());
            let (place, record, history) = (&found.place, &found.record, &history.encode()?);
            let revive = Revive { retention: self.retention, id, place, record, history };
            if revive.call(&self.redis.connection(), &partition).await? {
                return self.find(id).await?.ok_or(Error::NotFound);
            }
        }
    }

    /// Makes a job that was put off ready at once, before the others that are ready.
    pub(crate) async fn hurry(&self, id: JobId) -> Result<Hurried, Error> {
        let Some((partition, found)) = self.locate(id).await? else { return Ok(Hurried::Gone) };
        let view = self.view(id, &partition, &found);
        let now_ms = self.clock.now_ms();
        match view.state {
            _ if !comes(&view, now_ms) => return Ok(Hurried::Gone),
            State::Ready => return Ok(Hurried::Coming),
            State::Running => return Ok(Hurried::Running),
            _ => {}
        }
        let history = match found.history.as_deref() {
            Some(bytes) => History { due_ms: Some(now_ms), ..History::decode(Some(bytes)) }.encode()?,
            None => Vec::new(),
        };
        let due_ms = found.detail.as_deref().unwrap_or_default();
        let hurried = hurry(&self.redis.connection(), &partition, id, due_ms, &history).await?;
        Ok(if hurried { Hurried::Coming } else { Hurried::Running })
    }

    /// Whether a job that was put off is still to come.
    pub(crate) async fn comes(&self, id: JobId) -> Result<bool, Error> {
        Ok(self.find(id).await?.is_some_and(|view| comes(&view, self.clock.now_ms())))
    }

    /// False when the job's state changed meanwhile. One that had ended needs its unique key anew: two jobs never have one key.
    pub(crate) async fn revive(&self, partition: &Partition, id: JobId, found: &StoredJob) -> Result<bool, Error> {
        let again = match self.view(id, partition, found) {
            JobView { unique_key: Some(key), tenant, state, .. } if state.is_finished() => {
                self.bid_again(id, &tenant, &key).await?
            }
            _ => None,
        };
        let revived = self.revive_unkeyed(partition, id, found).await?;
        if let (true, Some(again)) = (revived, again) {
            self.keep_again(&again).await;
        }
        Ok(revived)
    }

    async fn revive_unkeyed(&self, partition: &Partition, id: JobId, found: &StoredJob) -> Result<bool, Error> {
        let (record, mut history) = if found.place == "finished" {
            let finished = Finished::decode(&found.record)?;
            let mut history = finished.history.unwrap_or_default();
            history.reports = finished.reports.or(history.reports);
            // What was done before is worth nothing by now.
            history.draft = None;
            (finished.record.into_owned().into_vec(), history)
        } else {
            (found.record.clone(), History::decode(found.history.as_deref()))
        };
        if found.place != "retrying" {
            history.failures = 0;
            history.crashes = 0;
        }
        history.revive(self.clock.now_ms());
        let history = history.encode()?;
        let revive = Revive { retention: self.retention, id, place: &found.place, record: &record, history: &history };
        revive.call(&self.redis.connection(), partition).await
    }
}

/// A job that has failed meanwhile comes by itself, and one whose time is over only to its end.
fn comes(view: &JobView, now_ms: u64) -> bool {
    let waits_or_runs = matches!(view.state, State::Ready | State::Running | State::Scheduled);
    waits_or_runs && view.expires_at.is_none_or(|at| at.ms() > now_ms)
}
