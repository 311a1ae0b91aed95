//! Has a replica look for work.

use fleet::Connection;

use super::{call, run};
use crate::{keys::Partition, model::error::Error};

/// Has one replica look for work.
pub(crate) async fn wake(connection: &Connection, partition: &Partition) -> Result<(), Error> {
    let _: String = run(&call!(wake, &partition.base), connection).await?;
    Ok(())
}
