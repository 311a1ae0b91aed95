//! Renews the lease of a concurrency key's lock.

use fleet::Connection;

use super::{
    call,
    lock::{KEPT_MS, Lock},
    run,
};
use crate::model::error::Error;

impl Lock<'_> {
    /// Renews its lease, also when nobody has it. False: another has it, or another run of the same job.
    pub(crate) async fn keep(&self, connection: &Connection) -> Result<bool, Error> {
        let call = call!(
            keep_lock,
            &self.keys.lock,
            id = &self.id.as_bytes()[..],
            claim = self.claim,
            lease_end_ms = self.lease_end_ms,
            kept_ms = KEPT_MS,
        );
        run(&call, connection).await
    }
}
