//! Pages of sorted sets.

use fleet::Connection;

use super::{call, run};
use crate::{
    keys::Partition,
    model::{error::Error, id::JobId},
};

/// The next `n` of a sorted set with their scores, the highest first, after a score and an id.
pub(crate) async fn scored(
    connection: &Connection,
    partition: &Partition,
    set: &str,
    n: usize,
    after: Option<(u64, JobId)>,
) -> Result<Vec<(JobId, u64)>, Error> {
    let id = after.as_ref().map_or(&[][..], |(_, id)| &id.as_bytes()[..]);
    let score = after.map(|(score, _)| score.to_string()).unwrap_or_default();
    let call = call!(scored, &partition.base, set = set, n = n, score = score, after = id);
    let found: Vec<(Vec<u8>, f64)> = run(&call, connection).await?;
    Ok(found.iter().filter_map(|(id, score)| Some((JobId::from_slice(id)?, *score as u64))).collect())
}
