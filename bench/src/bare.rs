//! What Redis itself allows: records and ids without any script, lease, owner or state. The yardstick.

use std::{
    process::Command,
    time::{Duration, Instant},
};

use async_trait::async_trait;
use futures::{StreamExt, TryStreamExt, stream};
use redis::aio::MultiplexedConnection;

use crate::{payload, progress::rate, system::System};

const JOBS: &str = "bare:jobs";
const READY: &str = "bare:ready";
const DONE: &str = "bare:done";
/// Ids that are popped at a time.
const POPPED: usize = 256;
/// Jobs of one bulk push, and how many such pushes are under way at a time.
const BULK: (usize, usize) = (500, 4);
/// What our record has before the payload.
const HEADER: [u8; 8] = [b'h'; 8];
/// A finished job's state, times and result.
const RESULT: &[u8] = br#"{"state":"done","start":1760000000000,"end":1760000000000}"#;

/// One connection, no scripts.
#[derive(Debug)]
pub(crate) struct Bare;

#[async_trait]
impl System for Bare {
    fn name(&self) -> &'static str {
        "bare-redis"
    }

    async fn push(&self, url: &str, clients: usize, time: Duration) -> anyhow::Result<f64> {
        let connection = connect(url).await?;
        let began = Instant::now();
        let mut pushing = tokio::task::JoinSet::new();
        for client in 0..clients {
            let connection = connection.clone();
            pushing.spawn(async move {
                let mut n = 0;
                while began.elapsed() < time {
                    let number = n * clients + client;
                    push(connection.clone(), number, number + 1).await?;
                    n += 1;
                }
                anyhow::Ok(n)
            });
        }
        let mut jobs = 0;
        while let Some(pushed) = pushing.join_next().await {
            jobs += pushed??;
        }
        Ok(rate(jobs, began.elapsed()))
    }

    async fn fill(&self, url: &str, jobs: usize) -> anyhow::Result<f64> {
        let connection = connect(url).await?;
        let (batch, at_a_time) = BULK;
        let began = Instant::now();
        let batches = stream::iter((0..jobs).step_by(batch))
            .map(|first| tokio::spawn(push(connection.clone(), first, (first + batch).min(jobs))));
        batches.buffer_unordered(at_a_time).map(|pushed| anyhow::Ok(pushed??)).try_collect::<Vec<()>>().await?;
        Ok(rate(jobs, began.elapsed()))
    }

    async fn drain(&self, url: &str, jobs: usize, kept: bool) -> anyhow::Result<f64> {
        let mut connection = connect(url).await?;
        let began = Instant::now();
        let mut pop = redis::cmd("LPOP");
        pop.arg(READY).arg(POPPED);
        let mut ids: Vec<Vec<u8>> = pop.query_async(&mut connection).await?;
        let mut n = 0;
        while !ids.is_empty() && n < jobs {
            n += ids.len();
            let records: Vec<Vec<u8>> = redis::cmd("HMGET").arg(JOBS).arg(&ids).query_async(&mut connection).await?;
            anyhow::ensure!(records.iter().all(|record| record.len() > HEADER.len()), "a record is lost");
            let mut end = redis::pipe();
            end.cmd("HDEL").arg(JOBS).arg(&ids).ignore();
            if kept {
                let keep = end.cmd("HSET").arg(DONE);
                for id in &ids {
                    keep.arg(id).arg(RESULT);
                }
                keep.ignore();
            }
            end.cmd("LPOP").arg(READY).arg(POPPED);
            let next: (Option<Vec<Vec<u8>>>,) = end.query_async(&mut connection).await?;
            ids = next.0.unwrap_or_default();
        }
        anyhow::ensure!(n >= jobs, "only {n} of {jobs} jobs were there");
        Ok(rate(n, began.elapsed()))
    }

    async fn start(&self, _: &str, _: u32, _: usize) -> anyhow::Result<Option<Vec<f64>>> {
        Ok(None)
    }

    fn hanging_worker(&self, _: &str) -> anyhow::Result<Option<Command>> {
        Ok(None)
    }
}

async fn connect(url: &str) -> anyhow::Result<MultiplexedConnection> {
    let config = redis::AsyncConnectionConfig::new().set_response_timeout(None);
    Ok(redis::Client::open(url)?.get_multiplexed_async_connection_with_config(&config).await?)
}

/// HSET of the records and RPUSH of the ids of the jobs `first..last`.
async fn push(mut connection: MultiplexedConnection, first: usize, last: usize) -> anyhow::Result<()> {
    let mut pipe = redis::pipe();
    let set = pipe.cmd("HSET").arg(JOBS);
    for number in first..last {
        let record = [&HEADER, payload::make(number).as_bytes()].concat();
        set.arg(&id(number)[..]).arg(record);
    }
    set.ignore();
    let ready = pipe.cmd("RPUSH").arg(READY);
    for number in first..last {
        ready.arg(&id(number)[..]);
    }
    ready.ignore();
    Ok(pipe.query_async(&mut connection).await?)
}

/// 16 bytes, like ours.
fn id(number: usize) -> [u8; 16] {
    let mut id = [0x70; 16];
    id[8..].copy_from_slice(&(number as u64).to_be_bytes());
    id
}
