//! Runs a job before its time.

use crate::{
    client::Client,
    error::Error,
    message::{History, JobId, State},
    scripts,
    view::JobView,
};

impl Client {
    /// Makes a scheduled or retrying job ready at once; its count of attempts stays. One that is ready already stays as it is.
    ///
    /// # Errors
    /// [`Error::NotFound`], [`Error::Conflict`] in any other state, [`Error::Full`], [`Error::Unavailable`].
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
            let connection = self.redis.connection();
            let (record, history) = (&found.record, history.encode()?);
            if scripts::revive(&connection, &partition, self.retention, id, &found.place, record, &history).await? {
                return self.find(id).await?.ok_or(Error::NotFound);
            }
        }
    }
}
