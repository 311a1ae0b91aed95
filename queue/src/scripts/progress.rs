//! Keeps what handlers have reported of running jobs.

use std::sync::Arc;

use fleet::Connection;
use redis::AsyncCommands;

use super::{call, run};
use crate::{
    keys::Partition,
    model::{error::Error, id::JobId, reports::Reports},
};

/// What the handler of a running job has reported, to be kept.
#[derive(Debug)]
pub(crate) struct Reported {
    pub(crate) id: JobId,
    pub(crate) claim: Arc<str>,
    pub(crate) reports: Vec<u8>,
}

/// Keeps what handlers have reported of up to [`super::MOST`] running jobs. Returns the positions of the refused.
pub(crate) async fn progress(
    connection: &Connection,
    partition: &Partition,
    jobs: &[Reported],
) -> Result<Vec<usize>, Error> {
    let mut call = call!(progress, &partition.base);
    for job in jobs {
        call.arg(&job.id.as_bytes()[..]).arg(&*job.claim).arg(&job.reports[..]);
    }
    let refused: Vec<usize> = run(&call, connection).await?;
    Ok(refused.into_iter().map(|position| position - 1).collect())
}

/// What is kept of running jobs, in the order of `ids`.
pub(crate) async fn kept(
    connection: &Connection,
    partition: &Partition,
    ids: &[JobId],
) -> Result<Vec<Option<Reports>>, Error> {
    let ids: Vec<&[u8]> = ids.iter().map(|id| id.as_bytes().as_slice()).collect();
    let kept: Vec<Option<Vec<u8>>> = connection.clone().hmget(partition.key("progress"), ids).await?;
    Ok(kept.iter().map(|bytes| bytes.as_deref().and_then(Reports::decode)).collect())
}
