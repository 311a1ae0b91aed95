//! Extends leases.

use std::sync::Arc;

use fleet::Connection;

use super::{call, run};
use crate::{
    keys::Partition,
    model::{error::Error, id::JobId},
};

/// Extends leases. Returns the claims whose lease is lost, and the running jobs that are to stop.
pub(crate) async fn renew(
    connection: &Connection,
    partition: &Partition,
    lease_end_ms: u64,
    claims: &[Arc<str>],
) -> Result<(Vec<String>, Vec<JobId>), Error> {
    let mut call = call!(renew, &partition.base, lease_end_ms = lease_end_ms);
    for claim in claims {
        call.arg(&**claim);
    }
    let (lost, cancels): (Vec<String>, Vec<Vec<u8>>) = run(&call, connection).await?;
    Ok((lost, cancels.iter().filter_map(|id| JobId::from_slice(id)).collect()))
}
