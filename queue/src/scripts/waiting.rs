//! Pages of the lists of ready jobs.

use fleet::Connection;
use redis::{Cmd, Value, from_redis_value};
use serde::{Deserialize, Deserializer, de::Visitor};

use super::{
    Call, MOST, call,
    find::{MOST_BYTES, TOGETHER},
    run, split_ids,
};
use crate::{
    keys::Partition,
    model::{error::Error, id::JobId, stored_job::StoredJob},
};

/// How many ids of all lists are looked through at a time for the places where a page ended.
const LOOK_AROUND: usize = MOST;

/// Where to begin in a list of ready jobs: behind this id.
#[derive(Debug, Clone, Copy)]
pub(crate) struct ListAfter {
    /// Which of the partitions that are asked for.
    pub(crate) partition: usize,
    pub(crate) list: usize,
    pub(crate) id: JobId,
    /// How far it was from the end of its list.
    pub(crate) index: u32,
}

/// What comes next in the lists of ready jobs.
#[derive(Debug)]
pub(crate) struct Waiting {
    /// So many of each list are there, unless it ends before.
    pub(crate) n: usize,
    /// Of those lists that have something.
    pub(crate) parts: Vec<ListPart>,
}

/// What comes next in a list of ready jobs.
#[derive(Debug)]
pub(crate) struct ListPart {
    /// Which of the partitions that were asked for.
    pub(crate) partition: usize,
    pub(crate) list: usize,
    pub(crate) next: Next,
}

#[derive(Debug)]
pub(crate) enum Next {
    /// In the list's own order: the last pushed is the last.
    Jobs(Vec<WaitingJob>),
    /// The anchor was not found yet: look on from this index.
    LookOn(u32),
}

/// A job in a list.
#[derive(Debug)]
pub(crate) struct WaitingJob {
    pub(crate) id: JobId,
    /// Counted from the end of the list.
    pub(crate) index: u32,
    /// As it lies there, if that came along; of one that was cancelled there is only the id.
    pub(crate) found: Option<Option<StoredJob>>,
}

/// What is asked of the lists of ready jobs.
#[derive(Debug)]
pub(crate) struct AskWaiting<'a> {
    /// How many of each list.
    pub(crate) n: usize,
    pub(crate) after: &'a [ListAfter],
    /// Also of lists without a place to begin after, from their ends; or only of those with one.
    pub(crate) all: bool,
    /// The jobs shall come along, if they are not too large and most are of the next `n`.
    pub(crate) with_jobs: bool,
}

impl AskWaiting<'_> {
    /// Asks these partitions, which in a cluster have to be of one slot.
    pub(crate) async fn call(&self, connection: &Connection, partitions: &[&Partition]) -> Result<Waiting, Error> {
        Waiting::read(run(&self.of(partitions), connection).await?)
    }

    /// The call as a command among others. The server may not know the script.
    pub(crate) fn command(&self, partitions: &[&Partition]) -> Cmd {
        self.of(partitions).command
    }

    fn of(&self, partitions: &[&Partition]) -> Call {
        let bases: Vec<&str> = partitions.iter().map(|partition| partition.base.as_str()).collect();
        let mut call = call!(
            waiting,
            bases,
            n = self.n,
            all = u8::from(self.all),
            most = LOOK_AROUND,
            most_bytes = if self.with_jobs { MOST_BYTES } else { 0 },
            together = TOGETHER,
        );
        for after in self.after {
            // Lua counts from 1.
            call.arg(after.partition + 1).arg(after.list + 1).arg(&after.id.as_bytes()[..]).arg(after.index);
        }
        call
    }
}

impl Waiting {
    pub(crate) fn read(reply: Value) -> Result<Self, Error> {
        let (n, replies): (usize, Vec<Vec<Value>>) = from_redis_value(reply)?;
        Ok(Self { n, parts: replies.into_iter().map(list_part).collect::<Result<_, _>>()? })
    }
}

fn list_part(reply: Vec<Value>) -> Result<ListPart, Error> {
    let mut reply = reply.into_iter();
    let mut number = || reply.next().map_or(Ok(0), from_redis_value::<u32>);
    let (partition, list, index) = (number()?, number()?, number()?);
    let next = match reply.next() {
        Some(ids) => Next::Jobs(jobs(index, &from_redis_value::<Vec<u8>>(ids)?, reply.next())?),
        None => Next::LookOn(index),
    };
    Ok(ListPart { partition: partition.saturating_sub(1) as usize, list: list.saturating_sub(1) as usize, next })
}

fn jobs(first: u32, ids: &[u8], parts: Option<Value>) -> Result<Vec<WaitingJob>, Error> {
    let ids = split_ids(ids);
    let after = first + u32::try_from(ids.len()).unwrap_or(u32::MAX);
    let with_indexes = ids.into_iter().zip((first..after).rev());
    let mut jobs: Vec<_> = with_indexes.map(|(id, index)| WaitingJob { id, index, found: None }).collect();
    let mut rest = jobs.iter_mut();
    for (records, histories) in parts.map_or(Ok(Vec::new()), from_redis_value::<Vec<(Vec<u8>, Vec<u8>)>>)? {
        let mut histories = unpack(&histories)?.into_iter();
        for (Packed(record), job) in unpack(&records)?.into_iter().zip(rest.by_ref()) {
            let history = histories.next().and_then(|Packed(history)| history);
            job.found = Some(record.map(|record| StoredJob::ready(record.to_vec(), history.map(<[u8]>::to_vec))));
        }
    }
    Ok(jobs)
}

fn unpack(packed: &[u8]) -> Result<Vec<Packed<'_>>, Error> {
    let unpacked = if packed.is_empty() { Ok(Vec::new()) } else { rmp_serde::from_slice(packed) };
    unpacked.map_err(|error| Error::Redis(format!("unexpected answer: {error}")))
}

/// A text of Lua's, which may be any bytes, or false.
struct Packed<'a>(Option<&'a [u8]>);

impl<'de> Deserialize<'de> for Packed<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(PackedVisitor)
    }
}

struct PackedVisitor;

impl<'de> Visitor<'de> for PackedVisitor {
    type Value = Packed<'de>;

    fn expecting(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("bytes or false")
    }

    fn visit_bool<E: serde::de::Error>(self, there: bool) -> Result<Self::Value, E> {
        if there { Err(E::custom("true is no record")) } else { Ok(Packed(None)) }
    }

    fn visit_borrowed_str<E: serde::de::Error>(self, text: &'de str) -> Result<Self::Value, E> {
        Ok(Packed(Some(text.as_bytes())))
    }

    fn visit_borrowed_bytes<E: serde::de::Error>(self, bytes: &'de [u8]) -> Result<Self::Value, E> {
        Ok(Packed(Some(bytes)))
    }
}
