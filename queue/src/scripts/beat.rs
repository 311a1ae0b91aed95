//! Says that a replica lives.

use fleet::Connection;

use super::{REPLICA_KEPT_S, call, run};
use crate::model::error::Error;

/// That a replica lives.
#[derive(Debug)]
pub(crate) struct Beat<'a> {
    /// The key of all replicas.
    pub(crate) replicas_key: &'a str,
    /// The key of this one.
    pub(crate) replica_key: &'a str,
    pub(crate) replica: &'a str,
    pub(crate) now_ms: u64,
    /// What it says of itself (JSON).
    pub(crate) about: &'a str,
    /// Replicas that have not beaten since are forgotten.
    pub(crate) oldest_ms: u64,
}

impl Beat<'_> {
    pub(crate) async fn call(&self, connection: &Connection) -> Result<(), Error> {
        let call = call!(
            beat,
            &[self.replicas_key, self.replica_key],
            replica = self.replica,
            now_ms = self.now_ms,
            about = self.about,
            kept_s = REPLICA_KEPT_S,
            oldest_ms = self.oldest_ms,
        );
        let _: String = run(&call, connection).await?;
        Ok(())
    }
}
