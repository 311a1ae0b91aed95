//! Deletes dead jobs.

use fleet::Connection;

use super::{call, run};
use crate::{
    keys::Partition,
    model::{error::Error, id::JobId},
};

/// Deletes those of `ids` (at most [`super::MOST`]) that are dead. Returns how many.
pub(crate) async fn bury(connection: &Connection, partition: &Partition, ids: &[JobId]) -> Result<u64, Error> {
    let mut call = call!(bury, &partition.base);
    for id in ids {
        call.arg(&id.as_bytes()[..]);
    }
    run(&call, connection).await
}
