//! Looks after one partition.

use fleet::Connection;

use super::{call, run};
use crate::{
    keys::Partition,
    model::{error::Error, id::JobId, retention::Retention},
};

/// A job whose lease has expired.
#[derive(Debug)]
pub(crate) struct Abandoned {
    pub(crate) id: JobId,
    pub(crate) claim: String,
    pub(crate) history: Option<Vec<u8>>,
    /// The record, if someone cancelled it.
    pub(crate) cancelled: Option<Vec<u8>>,
}

/// What upkeep found.
#[derive(Debug)]
pub(crate) struct LookedAfter {
    pub(crate) server_ms: u64,
    pub(crate) next_lease_end_ms: Option<u64>,
    /// A claim would find work or a due time.
    pub(crate) work: bool,
    pub(crate) abandoned: Vec<Abandoned>,
}

type Reply = (u64, i64, u8, Vec<Vec<u8>>, Vec<String>, Vec<Option<Vec<u8>>>, Vec<Option<Vec<u8>>>);

/// What is asked of upkeep.
#[derive(Debug)]
pub(crate) struct Upkeep {
    pub(crate) now_ms: u64,
    pub(crate) retention: Retention,
    pub(crate) dead_kept_ms: u64,
    /// Whether expired leases are looked for.
    pub(crate) reclaim: bool,
}

impl Upkeep {
    pub(crate) async fn call(&self, connection: &Connection, partition: &Partition) -> Result<LookedAfter, Error> {
        let (first_bucket, last_bucket) = self.retention.expired(self.now_ms);
        let call = call!(
            upkeep,
            &partition.base,
            now_ms = self.now_ms,
            first_bucket = first_bucket,
            last_bucket = last_bucket,
            oldest_death_ms = self.now_ms.saturating_sub(self.dead_kept_ms),
            reclaim = u8::from(self.reclaim),
        );
        let (server_ms, next_end, work, ids, claims, histories, cancelled): Reply = run(&call, connection).await?;
        let jobs = ids.iter().zip(claims).zip(histories.into_iter().zip(cancelled));
        let abandoned = jobs.filter_map(|((id, claim), (history, cancelled))| {
            Some(Abandoned { id: JobId::from_slice(id)?, claim, history, cancelled })
        });
        Ok(LookedAfter {
            server_ms,
            next_lease_end_ms: u64::try_from(next_end).ok(),
            work: work == 1,
            abandoned: abandoned.collect(),
        })
    }
}
