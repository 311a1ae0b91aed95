//! Cancels a job that waits, or marks one that runs.

use fleet::Connection;

use super::{call, run};
use crate::{
    keys::Partition,
    model::{error::Error, id::JobId, retention::Retention},
};

/// What cancelling did.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Cancelled {
    /// It is cancelled.
    Done,
    /// It runs, in this claim, whose replica is to be told.
    Running(String),
    /// Its state is no longer the one that the caller saw.
    Moved,
}

/// A job to cancel.
#[derive(Debug)]
pub(crate) struct Cancel<'a> {
    pub(crate) now_ms: u64,
    pub(crate) retention: Retention,
    pub(crate) id: JobId,
    /// Where it was seen.
    pub(crate) place: &'a str,
    /// What is kept of it.
    pub(crate) finished: &'a [u8],
    /// Whether history is kept of it.
    pub(crate) keeps_history: bool,
}

impl Cancel<'_> {
    /// Cancels it, if it is still where it was seen.
    pub(crate) async fn call(&self, connection: &Connection, partition: &Partition) -> Result<Cancelled, Error> {
        let bucket = self.retention.bucket(self.now_ms);
        let own_key = self.retention.bucket(self.id.created_ms()) != bucket;
        let call = call!(
            cancel,
            &partition.base,
            id = &self.id.as_bytes()[..],
            seen = self.place,
            finished = self.finished,
            bucket = if own_key { String::new() } else { bucket.to_string() },
            ttl_ms = self.retention.ttl_ms(bucket, self.now_ms),
            retention_ms = self.retention.ms,
            keeps_history = u8::from(self.keeps_history),
        );
        let reply: Option<String> = run(&call, connection).await?;
        Ok(match reply {
            None => Cancelled::Moved,
            Some(reply) if reply == "cancelled" => Cancelled::Done,
            Some(claim) => Cancelled::Running(claim),
        })
    }
}
