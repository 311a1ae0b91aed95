//! Notes the suspect that a replica is about to run.

use fleet::Connection;

use super::{REPLICA_KEPT_S, call, run};
use crate::model::{error::Error, id::JobId};

/// Notes in a replica's hash that it is about to run a suspect.
pub(crate) async fn mark(connection: &Connection, replica_key: &str, id: JobId) -> Result<(), Error> {
    let call = call!(mark, replica_key, id = id.to_string(), kept_s = REPLICA_KEPT_S);
    let _: String = run(&call, connection).await?;
    Ok(())
}
