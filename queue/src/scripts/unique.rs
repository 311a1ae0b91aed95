//! Changes a unique or idempotency key.

use fleet::Connection;

use super::{call, run};
use crate::model::error::Error;

/// How a unique or idempotency key is to change.
#[derive(Debug)]
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
        let ttl_ms = self.ttl_ms.map(|ttl_ms| ttl_ms.to_string()).unwrap_or_default();
        run(&call!(unique, self.key, seen = self.seen, new = self.new, ttl_ms = ttl_ms), connection).await
    }
}
