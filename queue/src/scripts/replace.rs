//! Writes a finished job anew.

use fleet::Connection;

use super::{call, run};
use crate::{
    keys::Partition,
    model::{error::Error, id::JobId, retention::Retention},
};

/// A finished job with its new record.
#[derive(Debug)]
pub(crate) struct Replace<'a> {
    pub(crate) retention: Retention,
    pub(crate) id: JobId,
    pub(crate) finished: &'a [u8],
}

impl Replace<'_> {
    /// False when it is kept no more.
    pub(crate) async fn call(&self, connection: &Connection, partition: &Partition) -> Result<bool, Error> {
        let call = call!(
            replace,
            &partition.base,
            id = &self.id.as_bytes()[..],
            bucket = self.retention.bucket(self.id.created_ms()),
            finished = self.finished,
        );
        run(&call, connection).await
    }
}
