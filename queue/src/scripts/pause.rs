//! Stops claiming from a partition, or lets it go on.

use fleet::Connection;

use super::{call, run};
use crate::{keys::Partition, model::error::Error};

/// Stops claiming from a partition since `since_ms`, or lets it go on. False: that is so already.
pub(crate) async fn pause(
    connection: &Connection,
    partition: &Partition,
    since_ms: Option<u64>,
) -> Result<bool, Error> {
    let since_ms = since_ms.map(|ms| ms.to_string()).unwrap_or_default();
    run(&call!(pause, &partition.base, since_ms = since_ms), connection).await
}
