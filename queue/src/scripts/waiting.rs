//! Pages of the lists of ready jobs.

use fleet::Connection;

use super::{MOST, call, run};
use crate::{
    keys::Partition,
    model::{error::Error, id::JobId},
};

/// How many ids of all lists are looked through at a time for the places where a page ended.
const LOOK_AROUND: usize = MOST;

/// A list of ready jobs, and the id to begin after with the index that it had.
pub(crate) type ListAfter<'a> = (&'a str, Option<(JobId, u32)>);

/// What comes next in a list of ready jobs.
#[derive(Debug)]
pub(crate) enum ListPart {
    /// The ids, the last pushed first, and the index of the first of them, counted from the end of the list.
    Ids(u32, Vec<JobId>),
    /// The anchor was not found yet: look on from this index.
    LookOn(u32),
}

/// The next `n` of each list of ready jobs, after the id that was at an index.
pub(crate) async fn waiting(
    connection: &Connection,
    partition: &Partition,
    n: usize,
    lists: &[ListAfter<'_>],
) -> Result<Vec<ListPart>, Error> {
    let mut call = call!(waiting, &partition.base, n = n, most = LOOK_AROUND);
    for (list, anchor) in lists {
        call.arg(*list);
        match anchor {
            Some((id, index)) => call.arg(&id.as_bytes()[..]).arg(*index),
            None => call.arg("").arg(0),
        };
    }
    let replies: Vec<Vec<redis::Value>> = run(&call, connection).await?;
    let next = |reply: Vec<redis::Value>| {
        let mut reply = reply.into_iter();
        let index = reply.next().map_or(Ok(0), redis::from_redis_value)?;
        let Some(ids) = reply.next() else { return Ok(ListPart::LookOn(index)) };
        let ids: Vec<Vec<u8>> = redis::from_redis_value(ids)?;
        Ok(ListPart::Ids(index, ids.iter().rev().filter_map(|id| JobId::from_slice(id)).collect()))
    };
    let read: Result<Vec<ListPart>, redis::ParsingError> = replies.into_iter().map(next).collect();
    read.map_err(|error| Error::Redis(format!("unexpected answer: {error}")))
}
