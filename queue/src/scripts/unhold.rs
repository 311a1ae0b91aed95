//! Gives back what an older release's worker put aside.

use fleet::Connection;

use super::{MOST, call, run};
use crate::{
    keys::Partition,
    model::{error::Error, record::ENVELOPE_VERSION},
};

/// Gives back the jobs that an older release's worker put aside: looks once at each that is there now, [`MOST`] a call.
pub(crate) async fn unhold(connection: &Connection, partition: &Partition) -> Result<u64, Error> {
    let call = call!(unhold, &partition.base, newest = ENVELOPE_VERSION, most = MOST);
    let (mut n_ready, mut to_look_at) = (0, None);
    loop {
        let (ready, looked, there): (u64, u64, u64) = run(&call, connection).await?;
        n_ready += ready;
        let left = to_look_at.unwrap_or(there).saturating_sub(looked);
        if left == 0 || looked == 0 {
            return Ok(n_ready);
        }
        to_look_at = Some(left);
    }
}
