//! Takes jobs that have ended out of the indexes of their tenants.

use fleet::Connection;

use super::{MOST, call, run};
use crate::{
    keys::Partition,
    model::{error::Error, id::JobId},
};

/// Takes those of `jobs` (at most [`MOST`]) that have no record out of the indexes of their tenants. Returns how many.
pub(crate) async fn forget(
    connection: &Connection,
    partition: &Partition,
    jobs: &[(&str, JobId)],
) -> Result<u64, Error> {
    debug_assert!(jobs.len() <= MOST);
    let mut call = call!(forget, &partition.base);
    for (tenant, id) in jobs {
        call.arg(*tenant).arg(&id.as_bytes()[..]);
    }
    run(&call, connection).await
}
