//! Finds jobs, in any state.

use std::sync::Arc;

use async_recursion::async_recursion as boxed;

use super::Client;
use crate::{
    keys::Partition,
    model::{error::Error, finished::Finished, id::JobId, stored_job::StoredJob, view::JobView},
    scripts::find::{find, find_many},
};

impl Client {
    /// Finds a job in any state.
    ///
    /// # Errors
    /// [`Error::Unavailable`].
    #[boxed]
    pub async fn find(&self, id: JobId) -> Result<Option<JobView>, Error> {
        let Some((partition, found)) = self.locate(id).await? else { return Ok(None) };
        Ok(Some(self.view(id, &partition, &found)))
    }

    pub(crate) async fn locate(&self, id: JobId) -> Result<Option<(Arc<Partition>, StoredJob)>, Error> {
        let Some(partition) = self.directory.of_id(id).await? else { return Ok(None) };
        let found = find(&self.redis.connection(), &partition, self.retention, id).await?;
        Ok(found.map(|found| (partition, found)))
    }

    /// Finds jobs of a partition; not all when they are large, but at least the first.
    pub(crate) async fn look(&self, partition: &Partition, ids: &[JobId]) -> Result<Vec<Option<StoredJob>>, Error> {
        find_many(&self.redis.connection(), partition, self.retention, ids).await
    }

    /// As it is shown.
    pub(crate) fn view(&self, id: JobId, partition: &Partition, found: &StoredJob) -> JobView {
        JobView::of(id, &partition.queue, self.kind(&partition.queue).map(|kind| &**kind), found)
    }

    pub(crate) fn finished_view(&self, id: JobId, partition: &Partition, finished: Finished<'_>) -> JobView {
        JobView::of_finished(id, &partition.queue, self.kind(&partition.queue).map(|kind| &**kind), finished)
    }
}
