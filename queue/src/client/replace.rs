//! Something better for a job that has succeeded takes the place of what came of it first.

use async_recursion::async_recursion as boxed;

use super::Client;
use crate::{
    model::{error::Error, finished::Finished, id::JobId, outcome::Success, state::State},
    scripts::replace::Replace,
};

impl Client {
    /// Gives a job that has succeeded another result. Whoever asks for the job sees it, and its events have `replaced` from now on.
    /// False when Redis does not keep the job any more.
    ///
    /// # Errors
    /// [`Error::Conflict`] when the job has not succeeded, [`Error::Full`], [`Error::Unavailable`].
    #[boxed]
    pub async fn replace_result(&self, id: JobId, success: Success) -> Result<bool, Error> {
        let Some((partition, found)) = self.locate(id).await? else { return Ok(false) };
        let view = self.view(id, &partition, &found);
        if view.state != State::Succeeded {
            return Err(Error::Conflict(view.state.name()));
        }
        let mut finished = Finished::decode(&found.record)?;
        finished.success = Some(success.into_bytes().into());
        finished.replaced_ms = Some(self.clock.now_ms());
        let stored = finished.encode()?;
        Replace { retention: self.retention, id, finished: &stored }.call(&self.redis.connection(), &partition).await
    }
}
