//! Whether a bid for a unique key may be taken over.

use fleet::Connection;

use super::{call, run};
use crate::{
    keys::Partition,
    model::{error::Error, id::JobId, retention::Retention},
};

/// A bid stays barred for so long: longer than any process could have been stopped between its bid and its push.
const BAR_KEPT_MS: u64 = 24 * 3600 * 1000;

/// A bid that shall be barred.
#[derive(Debug)]
pub(crate) struct Bar<'a> {
    pub(crate) retention: Retention,
    pub(crate) id: JobId,
    pub(crate) bid: &'a str,
}

impl Bar<'_> {
    /// Whether the job is known, whatever became of it. If it is not, it cannot be pushed under this bid any more.
    pub(crate) async fn call(&self, connection: &Connection, partition: &Partition) -> Result<bool, Error> {
        let call = call!(
            bar,
            &partition.base,
            id = &self.id.as_bytes()[..],
            bucket = self.retention.bucket(self.id.created_ms()),
            bid = self.bid,
            ttl_ms = BAR_KEPT_MS,
        );
        run(&call, connection).await
    }
}
