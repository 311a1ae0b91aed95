//! Waiting for the end of a job.

use std::time::Duration;

use async_recursion::async_recursion as boxed;

use super::Client;
use crate::{
    keys::Partition,
    model::{error::Error, id::JobId, view::JobView},
};

/// Whoever waits for a job looks at it so often even if nothing was told, because a message may get lost.
pub(crate) const LOOK_EVERY: Duration = Duration::from_secs(15);
/// So often on a full Redis, where nobody can be told.
const LOOK_AGAIN: Duration = Duration::from_secs(1);

impl Client {
    /// Like [`Client::find`], but answers only when the job has finished, or after `timeout` with what it is.
    ///
    /// # Errors
    /// [`Error::Unavailable`].
    #[boxed]
    pub async fn wait(&self, id: JobId, timeout: Duration) -> Result<Option<JobView>, Error> {
        let deadline = tokio::time::Instant::now() + timeout;
        let Some(partition) = self.directory.of_id(id).await? else { return Ok(None) };
        let waiting = self.events.register(id).await;
        let until_ms = self.clock.now_ms() + u64::try_from(timeout.as_millis()).unwrap_or(u64::MAX) + 5_000;
        let look_again = match self.watch(&partition, id, until_ms).await {
            Ok(()) => LOOK_EVERY,
            // Nobody can be told of events then.
            Err(Error::Full) => LOOK_AGAIN,
            Err(error) => return Err(error),
        };
        loop {
            let changed = waiting.changed();
            tokio::pin!(changed);
            // From here on an event is noticed, so what the job is now cannot be missed.
            changed.as_mut().enable();
            let view = self.find(id).await?;
            if view.as_ref().is_none_or(|view| view.state.is_finished()) {
                return Ok(view);
            }
            let look_at = deadline.min(tokio::time::Instant::now() + look_again);
            if tokio::time::timeout_at(look_at, changed).await.is_err() && look_at == deadline {
                return self.find(id).await;
            }
        }
    }

    /// Has the scripts tell what happens to a job, at least until then. Never shortens what another has asked for.
    pub(crate) async fn watch(&self, partition: &Partition, id: JobId, until_ms: u64) -> Result<(), Error> {
        let mut command = redis::cmd("ZADD");
        command.arg(partition.key("watched")).arg("GT").arg(until_ms).arg(id.as_bytes().as_slice());
        Ok(command.query_async(&mut self.redis.connection()).await?)
    }
}
