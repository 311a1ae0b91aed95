//! Claims jobs.

use fleet::Connection;
use redis::AsyncCommands;

use super::{MOST, call, run, split_ids};
use crate::{
    keys::Partition,
    model::{error::Error, id::JobId},
};

/// A claim of more jobs reads their records in a second call.
const MOST_RECORDS: usize = 16;

/// What a claim asks for.
#[derive(Debug)]
pub(crate) struct Claim<'a> {
    /// Its name.
    pub(crate) claim: &'a str,
    pub(crate) want: usize,
    pub(crate) now_ms: u64,
    pub(crate) lease_end_ms: u64,
    /// Start from the lowest priority.
    pub(crate) lowest_first: bool,
    pub(crate) take_suspect: bool,
}

/// A job as it was claimed.
#[derive(Debug, PartialEq)]
pub(crate) struct ClaimedJob {
    pub(crate) id: JobId,
    /// `None`: it is not there.
    pub(crate) record: Option<Vec<u8>>,
    pub(crate) history: Option<Vec<u8>>,
}

/// What a claim brought.
#[derive(Debug)]
pub(crate) struct Claims {
    pub(crate) next_due_ms: Option<u64>,
    /// The only job is a suspect.
    pub(crate) suspect: bool,
    /// Suspects wait for a replica without other jobs.
    pub(crate) suspects_wait: bool,
    /// More could be claimed.
    pub(crate) left: bool,
    /// The jobs, in the order of their claiming.
    pub(crate) ids: Vec<JobId>,
    /// Whether one of them may have a history.
    with_history: bool,
    /// Of few jobs the records come with the claim.
    came: Option<(Fields, Fields)>,
}

type Fields = Vec<Option<Vec<u8>>>;
type Reply = (i64, u8, u8, u8, Vec<u8>, Fields, Fields);

impl Claim<'_> {
    /// Makes due jobs ready and claims up to `want` of the ready ones.
    pub(crate) async fn call(&self, connection: &Connection, partition: &Partition) -> Result<Claims, Error> {
        let call = call!(
            claim,
            &partition.base,
            claim = self.claim,
            want = self.want.min(MOST),
            now_ms = self.now_ms,
            lease_end_ms = self.lease_end_ms,
            order = if self.lowest_first { "3210" } else { "0123" },
            take_suspect = u8::from(self.take_suspect),
            most_records = MOST_RECORDS,
        );
        let (next_due, suspect, left, with_history, ids, records, histories): Reply = run(&call, connection).await?;
        Ok(Claims {
            next_due_ms: u64::try_from(next_due).ok(),
            suspect: suspect == 1,
            suspects_wait: suspect == 2,
            left: left == 1,
            ids: split_ids(&ids),
            with_history: with_history == 1,
            came: (!records.is_empty()).then_some((records, histories)),
        })
    }
}

impl Claims {
    /// The jobs. The records of many are read only now.
    pub(crate) async fn jobs(
        &mut self,
        connection: &Connection,
        partition: &Partition,
    ) -> Result<Vec<ClaimedJob>, Error> {
        let (records, histories) = match self.came.take() {
            Some(came) => came,
            None if self.ids.is_empty() => return Ok(Vec::new()),
            None => read(connection, partition, &self.ids, self.with_history).await?,
        };
        let mut histories = histories.into_iter();
        let jobs = self.ids.iter().zip(records).map(|(id, record)| {
            let history = histories.next().flatten();
            ClaimedJob { id: *id, record, history }
        });
        Ok(jobs.collect())
    }
}

/// The records of jobs that have not finished, and their histories.
async fn read(
    connection: &Connection,
    partition: &Partition,
    ids: &[JobId],
    with_history: bool,
) -> Result<(Fields, Fields), Error> {
    // In the order of their pages, so that each page is asked once.
    let mut by_page: Vec<usize> = (0..ids.len()).collect();
    by_page.sort_by_key(|position| ids[*position].page());
    let mut pipe = redis::pipe();
    for run in by_page.chunk_by(|a, b| ids[*a].page() == ids[*b].page()) {
        fields(&mut pipe, &partition.page_of(ids[run[0]]), run.iter().map(|position| ids[*position]));
    }
    if with_history {
        fields(&mut pipe, &partition.key("history"), ids.iter().copied());
    }
    let mut answers: Vec<Fields> = pipe.query_async(&mut connection.clone()).await?;
    let histories = if with_history { answers.pop().unwrap_or_default() } else { Vec::new() };
    let mut records: Fields = vec![None; ids.len()];
    for (position, record) in by_page.into_iter().zip(answers.into_iter().flatten()) {
        records[position] = record;
    }
    Ok((records, histories))
}

fn fields(pipe: &mut redis::Pipeline, key: &str, ids: impl Iterator<Item = JobId>) {
    let fields = pipe.cmd("HMGET").arg(key);
    for id in ids {
        fields.arg(&id.as_bytes()[..]);
    }
}

/// The jobs of a claim whose answer was lost; `None` when there is no such claim.
pub(crate) async fn claimed_by(
    connection: &Connection,
    partition: &Partition,
    claim: &str,
) -> Result<Option<Vec<ClaimedJob>>, Error> {
    let ids: Option<Vec<u8>> = connection.clone().hget(partition.key("claims"), claim).await?;
    let Some(ids) = ids.as_deref().map(split_ids) else { return Ok(None) };
    if ids.is_empty() {
        return Ok(Some(Vec::new()));
    }
    let (records, histories) = read(connection, partition, &ids, true).await?;
    let fields = records.into_iter().zip(histories);
    Ok(Some(ids.into_iter().zip(fields).map(|(id, (record, history))| ClaimedJob { id, record, history }).collect()))
}
