//! Changes unique and idempotency keys.

use fleet::Connection;
use redis::{FromRedisValue, RedisError, Value};

use super::{call, refused, run};
use crate::model::error::Error;

/// How a unique or idempotency key is to change.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Change<'a> {
    pub(crate) key: &'a str,
    /// What the caller saw there (empty: nothing).
    pub(crate) seen: &'a str,
    /// What shall stand there (empty: nothing).
    pub(crate) new: &'a str,
    /// Without one it keeps the time that it has.
    pub(crate) ttl_ms: Option<u64>,
}

impl Change<'_> {
    /// Changes it, if it is as the caller saw it. Otherwise returns what stands there.
    pub(crate) async fn call(&self, connection: &Connection) -> Result<Option<String>, Error> {
        let changed = change(connection, self, &[]).await?.pop();
        changed.unwrap_or_else(|| Err(Error::Redis("the script unique answered for no key".to_owned())))
    }
}

/// Makes several changes in one call; in a cluster their keys have to be of one slot. The answers are those of [`Change::call`], in the
/// order of the changes.
pub(crate) async fn change(
    connection: &Connection,
    first: &Change<'_>,
    others: &[Change<'_>],
) -> Result<Vec<Result<Option<String>, Error>>, Error> {
    let changes = || std::iter::once(first).chain(others);
    let mut call = call!(unique, changes().map(|change| change.key).collect::<Vec<_>>());
    for change in changes() {
        call.arg(change.seen).arg(change.new);
        match change.ttl_ms {
            Some(ttl_ms) => call.arg(ttl_ms),
            None => call.arg(""),
        };
    }
    let replies: Vec<Value> = run(&call, connection).await?;
    Ok(replies.into_iter().map(changed).collect())
}

fn changed(reply: Value) -> Result<Option<String>, Error> {
    match reply {
        Value::Array(error) => {
            let text = error.into_iter().next().unwrap_or(Value::Nil);
            Err(refused(&String::from_redis_value(text).map_err(RedisError::from)?))
        }
        present => Ok(Option::from_redis_value(present).map_err(RedisError::from)?),
    }
}
