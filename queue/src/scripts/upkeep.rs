//! Looks after partitions.

use std::sync::Arc;

use fleet::Connection;
use redis::{FromRedisValue, RedisError, Value};

use super::{call, refused, run};
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

/// What upkeep found in one partition.
#[derive(Debug)]
pub(crate) struct LookedAfter {
    pub(crate) next_lease_end_ms: Option<u64>,
    pub(crate) next_due_ms: Option<u64>,
    /// A claim would find work.
    pub(crate) work: bool,
    /// Jobs ended whose history is not written.
    pub(crate) unrecorded: bool,
    /// Jobs were put aside.
    pub(crate) held: bool,
    pub(crate) abandoned: Vec<Abandoned>,
}

type Reply = (i64, i64, u8, u8, u8, Vec<Vec<u8>>, Vec<String>, Vec<Option<Vec<u8>>>, Vec<Option<Vec<u8>>>);

/// What is asked of upkeep.
#[derive(Debug)]
pub(crate) struct Upkeep {
    pub(crate) now_ms: u64,
    pub(crate) retention: Retention,
    pub(crate) dead_kept_ms: u64,
}

impl Upkeep {
    /// Looks after these partitions, which in a cluster have to be of one slot; in those with `true` for expired leases, too. Returns the
    /// server's time, and what was found in the first ones: those behind one in which there was something to do are left out.
    pub(crate) async fn call(
        &self,
        connection: &Connection,
        first: &(Arc<Partition>, bool),
        others: &[(Arc<Partition>, bool)],
    ) -> Result<(u64, Vec<Result<LookedAfter, Error>>), Error> {
        let (first_bucket, last_bucket) = self.retention.expired(self.now_ms);
        let all = || std::iter::once(first).chain(others);
        let mut call = call!(
            upkeep,
            all().map(|(partition, _)| &partition.base).collect::<Vec<_>>(),
            now_ms = self.now_ms,
            first_bucket = first_bucket,
            last_bucket = last_bucket,
            oldest_death_ms = self.now_ms.saturating_sub(self.dead_kept_ms),
        );
        for (_, reclaim) in all() {
            call.arg(u8::from(*reclaim));
        }
        let (server_ms, replies): (u64, Vec<Value>) = run(&call, connection).await?;
        if replies.is_empty() {
            return Err(Error::Redis("the script upkeep answered for no partition".to_owned()));
        }
        Ok((server_ms, replies.into_iter().map(looked_after).collect()))
    }
}

fn looked_after(reply: Value) -> Result<LookedAfter, Error> {
    if let Value::BulkString(text) = &reply {
        return Err(refused(&String::from_utf8_lossy(text)));
    }
    let reply = Reply::from_redis_value(reply).map_err(RedisError::from)?;
    let (next_end, next_due, work, unrecorded, held, ids, claims, histories, cancelled) = reply;
    let jobs = ids.iter().zip(claims).zip(histories.into_iter().zip(cancelled));
    let abandoned = jobs.filter_map(|((id, claim), (history, cancelled))| {
        Some(Abandoned { id: JobId::from_slice(id)?, claim, history, cancelled })
    });
    Ok(LookedAfter {
        next_lease_end_ms: u64::try_from(next_end).ok(),
        next_due_ms: u64::try_from(next_due).ok(),
        work: work == 1,
        unrecorded: unrecorded == 1,
        held: held == 1,
        abandoned: abandoned.collect(),
    })
}
