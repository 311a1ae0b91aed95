//! A better result for a job that has succeeded: where a stand-in answered, the real provider has answered since.

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
    pub async fn replace_result(&self, id: JobId, success: &Success) -> Result<bool, Error> {
        let Some((partition, found)) = self.locate(id).await? else { return Ok(false) };
        let view = self.view(id, &partition, &found);
        if view.state != State::Succeeded {
            return Err(Error::Conflict(view.state.name()));
        }
        let mut finished = Finished::decode(&found.record)?;
        let json =
            serde_json::to_vec(success).map_err(|error| Error::Invalid(format!("result of job {id}: {error}")))?;
        finished.success = Some(json.into());
        finished.replaced_ms = Some(self.clock.now_ms());
        let stored = finished.encode()?;
        Replace { retention: self.retention, id, finished: &stored }.call(&self.redis.connection(), &partition).await
    }
}
