//! Finds jobs, wherever they are.

use fleet::Connection;
use redis::{FromRedisValue, ParsingError, RedisError, Value};

use super::{MOST, call, run};
use crate::{
    keys::Partition,
    model::{error::Error, id::JobId, retention::Retention, stored_job::StoredJob},
};

/// A reply with many records ends when it is so large.
pub(super) const MOST_BYTES: usize = 4 << 20;

/// So many jobs are read at a time: their records and histories are in memory together, however long they are.
pub(crate) const TOGETHER: usize = 16;

type Reply = (String, Vec<u8>, Option<String>, Option<Vec<u8>>, Option<Vec<u8>>);

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
    let width_ms = retention.width_ms();
    let mut call = call!(find, &partition.base, most_bytes = MOST_BYTES, together = TOGETHER, width_ms = width_ms);
    for id in ids.iter().take(MOST) {
        call.arg(&id.as_bytes()[..]);
    }
    let found: Vec<Value> = run(&call, connection).await?;
    Ok(found.into_iter().map(stored_job).collect::<Result<_, _>>().map_err(RedisError::from)?)
}

fn stored_job(reply: Value) -> Result<Option<StoredJob>, ParsingError> {
    let (place, record, detail, history, reports) = match reply {
        Value::Nil => return Ok(None),
        // Most jobs of a long list.
        Value::BulkString(record) => return Ok(Some(StoredJob::ready(record, None))),
        reply => Reply::from_redis_value(reply)?,
    };
    Ok(Some(StoredJob { place: place.into(), record, detail, history, reports }))
}
