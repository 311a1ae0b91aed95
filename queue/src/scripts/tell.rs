//! Ends the blocking call of one replica.

use fleet::Connection;

use super::{call, run};
use crate::model::error::Error;

/// A message to a replica that reads none any more is forgotten after so long.
const TOLD_KEPT_S: u32 = 60;

/// Leaves a message in a replica's control list, which ends its blocking call.
pub(crate) async fn tell(connection: &Connection, control: &str, message: &str) -> Result<(), Error> {
    let _: String = run(&call!(tell, control, message = message, kept_s = TOLD_KEPT_S), connection).await?;
    Ok(())
}
