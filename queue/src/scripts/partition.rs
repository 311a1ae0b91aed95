//! Numbers of partitions.

use fleet::Connection;

use super::{call, run};
use crate::model::error::Error;

/// Finds or assigns the number of the partition `queue.index`.
pub(crate) async fn partition(connection: &Connection, table: &str, name: &str) -> Result<u16, Error> {
    run(&call!(partition, table, name = name), connection).await
}
