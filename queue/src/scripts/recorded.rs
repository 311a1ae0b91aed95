//! Takes jobs off the list of those whose history is not written yet.

use fleet::Connection;

use super::{call, run};
use crate::{
    keys::Partition,
    model::{error::Error, id::JobId},
};

/// Takes those of `ids` (at most [`super::MOST`]) off the list of unrecorded jobs that still stand at its head. Returns how many.
pub(crate) async fn recorded(connection: &Connection, partition: &Partition, ids: &[JobId]) -> Result<usize, Error> {
    let mut call = call!(recorded, &partition.base);
    for id in ids {
        call.arg(&id.as_bytes()[..]);
    }
    run(&call, connection).await
}
