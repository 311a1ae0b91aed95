//! Pushes jobs together with their idempotency keys.

use fleet::Connection;
use redis::{FromRedisValue, RedisError, Value};

use super::{COUNTS_KEPT_S, MOST, call, minute, push::Push, refused, run};
use crate::{keys::Partition, model::error::Error};

/// A push, if an idempotency key is free.
#[derive(Debug)]
pub(crate) struct Once {
    pub(crate) push: Push,
    pub(crate) key: String,
    /// What shall stand in the key.
    pub(crate) entry: String,
    /// For how long.
    pub(crate) ttl_ms: u64,
}

/// Adds up to [`MOST`] jobs, each if its key is free, and writes these keys; one result a job, in their order: what stands in its key if
/// it was taken. In a cluster the call is refused with CROSSSLOT, and does nothing.
pub(crate) async fn push_once(
    connection: &Connection,
    partition: &Partition,
    now_ms: u64,
    jobs: &[Once],
) -> Result<Vec<Result<Option<String>, Error>>, Error> {
    debug_assert!(jobs.len() <= MOST);
    let keys: Vec<&str> = std::iter::once(&*partition.base).chain(jobs.iter().map(|job| &*job.key)).collect();
    let mut call = call!(push_once, keys, minute = minute(now_ms), counts_kept_s = COUNTS_KEPT_S);
    for Once { push, entry, ttl_ms, .. } in jobs {
        call.arg(entry).arg(*ttl_ms).arg(&push.id.as_bytes()[..]).arg(&push.record[..]).arg(push.priority);
        match push.due_ms {
            Some(due_ms) => call.arg(due_ms),
            None => call.arg(""),
        };
        call.arg(push.tenant.as_deref().unwrap_or_default());
    }
    let replies: Vec<Value> = run(&call, connection).await?;
    if replies.len() != jobs.len() {
        return Err(Error::Redis(format!("the script push_once answered for {} of {}", replies.len(), jobs.len())));
    }
    Ok(replies.into_iter().map(present).collect())
}

fn present(reply: Value) -> Result<Option<String>, Error> {
    match reply {
        Value::Array(error) => {
            let text = error.into_iter().next().unwrap_or(Value::Nil);
            Err(refused(&String::from_redis_value(text).map_err(RedisError::from)?))
        }
        present => Ok(Option::from_redis_value(present).map_err(RedisError::from)?),
    }
}
