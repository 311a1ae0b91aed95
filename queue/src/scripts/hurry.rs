//! Makes a scheduled job ready before its time.

use fleet::Connection;

use super::{call, run};
use crate::{
    keys::Partition,
    model::{error::Error, id::JobId},
};

/// Makes a job ready at once that was seen to be due at `due_ms`, before the others that are ready; with this history, unless it is empty.
/// False: it is no longer where it was seen.
pub(crate) async fn hurry(
    connection: &Connection,
    partition: &Partition,
    id: JobId,
    due_ms: &str,
    history: &[u8],
) -> Result<bool, Error> {
    let id = &id.as_bytes()[..];
    run(&call!(hurry, &partition.base, id = id, due_ms = due_ms, history = history), connection).await
}
