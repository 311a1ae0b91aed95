//! Finds jobs, wherever they are.

use fleet::Connection;

use super::{MOST, call, run};
use crate::{
    keys::Partition,
    model::{error::Error, id::JobId, retention::Retention, stored_job::StoredJob},
};

/// A reply with many records ends when it is so large.
const MOST_BYTES: usize = 4 << 20;

type Reply = Option<(String, Vec<u8>, Option<String>, Option<Vec<u8>>, Option<Vec<u8>>)>;

/// Finds a job wherever it is.
pub(crate) async fn find(
    connection: &Connection,
    partition: &Partition,
    retention: Retention,
    id: JobId,
) -> Result<Option<StoredJob>, Error> {
    Ok(find_many(connection, partition, retention, &[id]).await?.pop().flatten())
}

/// Finds up to [`MOST`] jobs; the reply may end before the last, but not before the first.
pub(crate) async fn find_many(
    connection: &Connection,
    partition: &Partition,
    retention: Retention,
    ids: &[JobId],
) -> Result<Vec<Option<StoredJob>>, Error> {
    let mut call = call!(find, &partition.base, most_bytes = MOST_BYTES);
    for id in ids.iter().take(MOST) {
        call.arg(&id.as_bytes()[..]).arg(retention.bucket(id.created_ms()));
    }
    let found: Vec<Reply> = run(&call, connection).await?;
    let job = |(place, record, detail, history, reports)| StoredJob { place, record, detail, history, reports };
    Ok(found.into_iter().map(|found| found.map(job)).collect())
}
