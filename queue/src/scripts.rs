//! One typed function a script: Rust in, Rust out. The only place that runs scripts.

use std::sync::LazyLock;

use redis::{FromRedisValue, Script, ScriptInvocation, aio::ConnectionManager};

use crate::{error::Error, keys::Partition, message::JobId};

/// The most jobs one script call takes: Lua's `unpack` is limited to a few thousand values.
pub(crate) const MOST: usize = 1000;
/// The hash of a replica is kept for so long. Longer than any lease, because reclaiming asks the hash of the dead.
pub(crate) const REPLICA_KEPT_S: u32 = 900;
/// A reply with many records ends when it is so large.
const MOST_BYTES: usize = 4 << 20;
/// How many ids of a list are looked through at a time for the place where a page ended.
const LOOK_AROUND: u32 = 10_000;
/// The most dead jobs a queue keeps.
const MOST_DEAD: u32 = 10_000;

macro_rules! script {
    ($name:ident) => {{
        static SCRIPT: LazyLock<Script> = LazyLock::new(|| {
            Script::new(&text(stringify!($name), include_str!(concat!("scripts/", stringify!($name), ".lua"))))
        });
        &*SCRIPT
    }};
}

#[cfg(not(feature = "planted-bugs"))]
fn text(_name: &str, text: &'static str) -> &'static str {
    text
}

/// The text of a script, with the bug that `QUEUE_PLANTED_BUG` names: three lines, the script's name, what to replace, with what.
#[cfg(feature = "planted-bugs")]
fn text(name: &str, text: &str) -> String {
    let bug = std::env::var("QUEUE_PLANTED_BUG").unwrap_or_default();
    match bug.split('\n').collect::<Vec<_>>()[..] {
        [script, from, to] if script == name => text.replacen(from, to, 1),
        _ => text.to_owned(),
    }
}

async fn run<T: FromRedisValue>(invocation: &ScriptInvocation<'_>, connection: &ConnectionManager) -> Result<T, Error> {
    Ok(invocation.invoke_async(&mut connection.clone()).await?)
}

/// One job to push: its id, its record, and where it waits.
#[derive(Debug)]
pub(crate) struct Push {
    pub(crate) id: JobId,
    pub(crate) record: Vec<u8>,
    pub(crate) priority: usize,
    pub(crate) due_ms: Option<u64>,
}

/// Adds up to [`MOST`] jobs, all or none.
pub(crate) async fn push(
    connection: &ConnectionManager,
    partition: &Partition,
    now_ms: u64,
    jobs: &[Push],
) -> Result<(), Error> {
    debug_assert!(jobs.len() <= MOST);
    let script = script!(push);
    let mut call = script.key(&partition.base);
    call.arg(now_ms).arg(minute(now_ms));
    let ready = |priority| jobs.iter().filter(move |job| job.due_ms.is_none() && job.priority == priority);
    for priority in 0..4 {
        call.arg(ready(priority).count());
    }
    call.arg(jobs.iter().filter(|job| job.due_ms.is_some()).count());
    for job in jobs {
        call.arg(&job.id.as_bytes()[..]).arg(&job.record[..]);
    }
    for priority in 0..4 {
        for job in ready(priority) {
            call.arg(&job.id.as_bytes()[..]);
        }
    }
    for job in jobs {
        if let Some(due) = job.due_ms {
            call.arg(due).arg(&job.id.as_bytes()[..]);
        }
    }
    let _: u64 = run(&call, connection).await?;
    Ok(())
}

/// What a claim asks for.
#[derive(Debug)]
pub(crate) struct Claim<'a> {
    pub(crate) owner: &'a str,
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
    pub(crate) record: Vec<u8>,
    pub(crate) history: Option<Vec<u8>>,
}

/// What a claim brought.
#[derive(Debug)]
pub(crate) struct Claims {
    pub(crate) next_due_ms: Option<u64>,
    /// The first job is a suspect.
    pub(crate) suspect: bool,
    /// Ready jobs are left.
    pub(crate) left: bool,
    pub(crate) jobs: Vec<ClaimedJob>,
}

type ClaimReply = (i64, u8, u8, Vec<Vec<u8>>, Vec<Vec<u8>>, Vec<Option<Vec<u8>>>);

/// Makes due jobs ready and claims up to `want` of the ready ones.
pub(crate) async fn claim(
    connection: &ConnectionManager,
    partition: &Partition,
    ask: &Claim<'_>,
) -> Result<Claims, Error> {
    let script = script!(claim);
    let mut call = script.key(&partition.base);
    call.arg(ask.owner)
        .arg(ask.want.min(MOST))
        .arg(ask.now_ms)
        .arg(ask.lease_end_ms)
        .arg(crate::message::ENVELOPE_VERSION)
        .arg(if ask.lowest_first { "3210" } else { "0123" })
        .arg(u8::from(ask.take_suspect));
    let (next_due, suspect, left, ids, records, histories): ClaimReply = run(&call, connection).await?;
    let mut histories = histories.into_iter();
    let jobs = ids.iter().zip(records).filter_map(|(id, record)| {
        let history = histories.next().flatten();
        Some(ClaimedJob { id: JobId::from_slice(id)?, record, history })
    });
    Ok(Claims {
        next_due_ms: u64::try_from(next_due).ok(),
        suspect: suspect == 1,
        left: left == 1,
        jobs: jobs.collect(),
    })
}

/// How long finished jobs are kept, and in which bucket.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Retention {
    /// Zero: not at all.
    pub(crate) ms: u64,
}

impl Retention {
    fn width_ms(self) -> u64 {
        (self.ms / 24).max(1)
    }

    pub(crate) fn bucket(self, at_ms: u64) -> u64 {
        at_ms / self.width_ms()
    }

    /// Buckets count from their end: every job in one is kept for at least the retention.
    fn expiry_ms(self, bucket: u64) -> u64 {
        (bucket + 1) * self.width_ms() + self.ms
    }

    fn ttl_ms(self, bucket: u64, now_ms: u64) -> u64 {
        self.expiry_ms(bucket).saturating_sub(now_ms).max(1)
    }

    /// The buckets to free now: the last that is past its expiry, and two before it in case a tick was missed.
    fn expired(self, now_ms: u64) -> (u64, u64) {
        let last = (now_ms.saturating_sub(self.ms) / self.width_ms()).saturating_sub(2);
        (last.saturating_sub(2), last)
    }
}

/// A job that ends.
#[derive(Debug)]
pub(crate) struct Ending {
    pub(crate) id: JobId,
    pub(crate) owner: std::sync::Arc<str>,
    pub(crate) finished: Vec<u8>,
    pub(crate) state: crate::message::State,
}

/// Ends up to [`MOST`] running jobs; `ended` are the owners whose last jobs these are. Returns the positions of the refused.
pub(crate) async fn finish(
    connection: &ConnectionManager,
    partition: &Partition,
    now_ms: u64,
    retention: Retention,
    jobs: &[Ending],
    ended: &[&str],
    history: bool,
) -> Result<Vec<usize>, Error> {
    let bucket = retention.bucket(now_ms);
    let place = |job: &Ending| match retention.ms {
        0 => '-',
        _ if retention.bucket(job.id.created_ms()) == bucket => 'b',
        _ => 'k',
    };
    let script = script!(finish);
    let mut call = script.key(&partition.base);
    call.arg(bucket)
        .arg(retention.ttl_ms(bucket, now_ms))
        .arg(retention.ms)
        .arg(minute(now_ms))
        .arg(jobs.len())
        .arg(ended.len())
        .arg(jobs.iter().map(place).collect::<String>())
        .arg(jobs.iter().map(|job| &job.state.name()[..1]).collect::<String>())
        .arg(u8::from(history));
    for job in jobs {
        call.arg(&job.id.as_bytes()[..]);
    }
    for job in jobs {
        call.arg(&*job.owner);
    }
    for job in jobs {
        // What is not kept need not travel.
        call.arg(if retention.ms == 0 { &[][..] } else { &job.finished[..] });
    }
    for owner in ended {
        call.arg(*owner);
    }
    let refused: Vec<usize> = run(&call, connection).await?;
    Ok(refused.into_iter().map(|position| position - 1).collect())
}

/// Where a released job waits next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum To {
    Retrying {
        due_ms: u64,
    },
    Scheduled {
        due_ms: u64,
    },
    Dead,
    /// To the front of its list.
    Ready,
    Suspect,
}

/// A running job that goes back.
#[derive(Debug)]
pub(crate) struct Release {
    pub(crate) id: JobId,
    pub(crate) owner: std::sync::Arc<str>,
    pub(crate) to: To,
    /// `None` leaves what is stored.
    pub(crate) history: Option<Vec<u8>>,
}

/// Takes up to [`MOST`] running jobs from their owners. Returns the positions of the refused.
pub(crate) async fn release(
    connection: &ConnectionManager,
    partition: &Partition,
    now_ms: u64,
    jobs: &[Release],
    ended: &[&str],
    history: bool,
) -> Result<Vec<usize>, Error> {
    let script = script!(release);
    let mut call = script.key(&partition.base);
    call.arg(now_ms).arg(minute(now_ms)).arg(MOST_DEAD).arg(jobs.len()).arg(ended.len()).arg(u8::from(history));
    for job in jobs {
        let (to, due_ms) = match job.to {
            To::Retrying { due_ms } => ("retrying", due_ms),
            To::Scheduled { due_ms } => ("scheduled", due_ms),
            To::Dead => ("dead", 0),
            To::Ready => ("ready", 0),
            To::Suspect => ("suspect", 0),
        };
        call.arg(&job.id.as_bytes()[..])
            .arg(&*job.owner)
            .arg(to)
            .arg(due_ms)
            .arg(job.history.as_deref().unwrap_or_default());
    }
    for owner in ended {
        call.arg(*owner);
    }
    let refused: Vec<usize> = run(&call, connection).await?;
    Ok(refused.into_iter().map(|position| position - 1).collect())
}

/// Extends leases. Returns the owners whose lease is lost, and the running jobs that are to stop.
pub(crate) async fn renew(
    connection: &ConnectionManager,
    partition: &Partition,
    lease_end_ms: u64,
    owners: &[std::sync::Arc<str>],
) -> Result<(Vec<String>, Vec<JobId>), Error> {
    let script = script!(renew);
    let mut call = script.key(&partition.base);
    call.arg(lease_end_ms);
    for owner in owners {
        call.arg(&**owner);
    }
    let (lost, cancels): (Vec<String>, Vec<Vec<u8>>) = run(&call, connection).await?;
    Ok((lost, cancels.iter().filter_map(|id| JobId::from_slice(id)).collect()))
}

/// A job whose lease has expired.
#[derive(Debug)]
pub(crate) struct Abandoned {
    pub(crate) id: JobId,
    pub(crate) owner: String,
    pub(crate) history: Option<Vec<u8>>,
}

/// What upkeep found.
#[derive(Debug)]
pub(crate) struct Upkeep {
    pub(crate) server_ms: u64,
    pub(crate) next_lease_end_ms: Option<u64>,
    /// A claim would find work or a due time.
    pub(crate) work: bool,
    pub(crate) abandoned: Vec<Abandoned>,
}

type UpkeepReply = (u64, i64, u8, Vec<Vec<u8>>, Vec<String>, Vec<Option<Vec<u8>>>);

/// Looks after one partition; finds expired leases when `reclaim`.
pub(crate) async fn upkeep(
    connection: &ConnectionManager,
    partition: &Partition,
    now_ms: u64,
    retention: Retention,
    dead_kept_ms: u64,
    reclaim: bool,
) -> Result<Upkeep, Error> {
    let (first, last) = retention.expired(now_ms);
    let script = script!(upkeep);
    let mut call = script.key(&partition.base);
    call.arg(now_ms).arg(first).arg(last).arg(now_ms.saturating_sub(dead_kept_ms)).arg(u8::from(reclaim));
    let (server_ms, next_end, work, ids, owners, histories): UpkeepReply = run(&call, connection).await?;
    let abandoned = ids
        .iter()
        .zip(owners)
        .zip(histories)
        .filter_map(|((id, owner), history)| Some(Abandoned { id: JobId::from_slice(id)?, owner, history }));
    Ok(Upkeep {
        server_ms,
        next_lease_end_ms: u64::try_from(next_end).ok(),
        work: work == 1,
        abandoned: abandoned.collect(),
    })
}

/// Where a job is.
#[derive(Debug)]
pub(crate) struct Found {
    /// `ready`, `running`, `scheduled`, `retrying`, `dead` or `finished`.
    pub(crate) place: String,
    pub(crate) record: Vec<u8>,
    /// A time in ms, or the owner of a running job.
    pub(crate) detail: Option<String>,
    pub(crate) history: Option<Vec<u8>>,
}

type FindReply = Option<(String, Vec<u8>, Option<String>, Option<Vec<u8>>)>;

/// Finds a job wherever it is.
pub(crate) async fn find(
    connection: &ConnectionManager,
    partition: &Partition,
    retention: Retention,
    id: JobId,
) -> Result<Option<Found>, Error> {
    let script = script!(find);
    let mut call = script.key(&partition.base);
    call.arg(&id.as_bytes()[..]).arg(retention.bucket(id.created_ms()));
    let found: FindReply = run(&call, connection).await?;
    Ok(found.map(|(place, record, detail, history)| Found { place, record, detail, history }))
}

/// What cancelling did.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Cancelled {
    /// It is cancelled.
    Done,
    /// It runs; this owner is to be told.
    Running(String),
    /// Its state is no longer the one that the caller saw.
    Moved,
}

/// A job to cancel.
#[derive(Debug)]
pub(crate) struct Cancel<'a> {
    pub(crate) id: JobId,
    /// Where it was seen.
    pub(crate) place: &'a str,
    /// What is kept of it.
    pub(crate) finished: &'a [u8],
    /// Whether history is kept of it.
    pub(crate) history: bool,
}

/// Cancels a job that is still where it was seen.
pub(crate) async fn cancel(
    connection: &ConnectionManager,
    partition: &Partition,
    now_ms: u64,
    retention: Retention,
    job: &Cancel<'_>,
) -> Result<Cancelled, Error> {
    let bucket = retention.bucket(now_ms);
    let own_key = retention.bucket(job.id.created_ms()) != bucket;
    let script = script!(cancel);
    let mut call = script.key(&partition.base);
    call.arg(&job.id.as_bytes()[..]).arg(job.place).arg(job.finished);
    call.arg(if own_key { String::new() } else { bucket.to_string() })
        .arg(retention.ttl_ms(bucket, now_ms))
        .arg(retention.ms)
        .arg(u8::from(job.history));
    let reply: Option<String> = run(&call, connection).await?;
    Ok(match reply {
        None => Cancelled::Moved,
        Some(reply) if reply == "cancelled" => Cancelled::Done,
        Some(owner) => Cancelled::Running(owner),
    })
}

/// Makes a job ready that was seen in `place`. False: its state is no longer that one.
pub(crate) async fn revive(
    connection: &ConnectionManager,
    partition: &Partition,
    retention: Retention,
    id: JobId,
    place: &str,
    record: &[u8],
    history: &[u8],
) -> Result<bool, Error> {
    let script = script!(revive);
    let mut call = script.key(&partition.base);
    call.arg(&id.as_bytes()[..]).arg(place).arg(retention.bucket(id.created_ms())).arg(record).arg(history);
    run(&call, connection).await
}

/// Deletes those of `ids` (at most [`MOST`]) that are dead. Returns how many.
pub(crate) async fn bury(connection: &ConnectionManager, partition: &Partition, ids: &[JobId]) -> Result<u64, Error> {
    let script = script!(bury);
    let mut call = script.key(&partition.base);
    for id in ids {
        call.arg(&id.as_bytes()[..]);
    }
    run(&call, connection).await
}

/// Gives back the jobs that an older release's worker put aside.
pub(crate) async fn unhold(connection: &ConnectionManager, partition: &Partition) -> Result<u64, Error> {
    let script = script!(unhold);
    let mut call = script.key(&partition.base);
    call.arg(crate::message::ENVELOPE_VERSION);
    run(&call, connection).await
}

/// Gives a unique key to `new` if `seen` holds it (empty: nobody). Otherwise returns the present holder.
pub(crate) async fn unique(
    connection: &ConnectionManager,
    key: &str,
    seen: &str,
    new: &str,
    ttl_ms: u64,
) -> Result<Option<String>, Error> {
    run(script!(unique).key(key).arg(seen).arg(new).arg(ttl_ms), connection).await
}

/// Finds or assigns the number of the partition `queue.index`.
pub(crate) async fn partition(connection: &ConnectionManager, table: &str, name: &str) -> Result<u16, Error> {
    run(script!(partition).key(table).arg(name), connection).await
}

/// A replica says that it lives.
pub(crate) async fn beat(
    connection: &ConnectionManager,
    replicas: &str,
    replica_key: &str,
    replica: &str,
    now_ms: u64,
    about: &str,
    oldest_ms: u64,
) -> Result<(), Error> {
    let script = script!(beat);
    let mut call = script.key(replicas);
    call.key(replica_key).arg(replica).arg(now_ms).arg(about).arg(REPLICA_KEPT_S).arg(oldest_ms);
    let _: String = run(&call, connection).await?;
    Ok(())
}

/// Finds many jobs; the reply may end before the last, but not before the first.
pub(crate) async fn look(
    connection: &ConnectionManager,
    partition: &Partition,
    retention: Retention,
    ids: &[JobId],
) -> Result<Vec<Option<Found>>, Error> {
    let script = script!(look);
    let mut call = script.key(&partition.base);
    call.arg(MOST_BYTES);
    for id in ids {
        call.arg(&id.as_bytes()[..]).arg(retention.bucket(id.created_ms()));
    }
    let found: Vec<FindReply> = run(&call, connection).await?;
    let found = found
        .into_iter()
        .map(|found| found.map(|(place, record, detail, history)| Found { place, record, detail, history }));
    Ok(found.collect())
}

/// The next `n` of a sorted set with their scores, the highest first, after a score and an id.
pub(crate) async fn scored(
    connection: &ConnectionManager,
    partition: &Partition,
    set: &str,
    n: usize,
    after: Option<(u64, JobId)>,
) -> Result<Vec<(JobId, u64)>, Error> {
    let script = script!(scored);
    let mut call = script.key(&partition.base);
    call.arg(set).arg(n);
    match &after {
        Some((score, id)) => call.arg(*score).arg(&id.as_bytes()[..]),
        None => call.arg("").arg(""),
    };
    let found: Vec<(Vec<u8>, f64)> = run(&call, connection).await?;
    Ok(found.iter().filter_map(|(id, score)| Some((JobId::from_slice(id)?, *score as u64))).collect())
}

/// A list of ready jobs, and the id to begin after with the index that it had.
pub(crate) type ListAfter<'a> = (&'a str, Option<(JobId, u32)>);

/// What comes next in a list of ready jobs.
#[derive(Debug)]
pub(crate) enum Next {
    /// The ids, the last pushed first, and the index of the first of them, counted from the end of the list.
    Ids(u32, Vec<JobId>),
    /// The anchor was not found yet: look on from this index.
    LookOn(u32),
}

/// The next `n` of each list of ready jobs, after the id that was at an index.
pub(crate) async fn waiting(
    connection: &ConnectionManager,
    partition: &Partition,
    n: usize,
    lists: &[ListAfter<'_>],
) -> Result<Vec<Next>, Error> {
    let script = script!(waiting);
    let mut call = script.key(&partition.base);
    call.arg(n).arg(LOOK_AROUND);
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
        let Some(ids) = reply.next() else { return Ok(Next::LookOn(index)) };
        let ids: Vec<Vec<u8>> = redis::from_redis_value(ids)?;
        Ok(Next::Ids(index, ids.iter().rev().filter_map(|id| JobId::from_slice(id)).collect()))
    };
    let read: Result<Vec<Next>, redis::ParsingError> = replies.into_iter().map(next).collect();
    read.map_err(|error| Error::Redis(format!("unexpected answer: {error}")))
}

/// Takes those off the list of unrecorded jobs that still stand at its head. Returns how many.
pub(crate) async fn recorded(
    connection: &ConnectionManager,
    partition: &Partition,
    ids: &[JobId],
) -> Result<usize, Error> {
    let script = script!(recorded);
    let mut call = script.key(&partition.base);
    for id in ids {
        call.arg(&id.as_bytes()[..]);
    }
    run(&call, connection).await
}

fn minute(ms: u64) -> u64 {
    ms / 60_000
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_finished_job_is_kept_for_at_least_its_retention() {
        let retention = Retention { ms: 86_400_000 };
        for now in [1_760_000_000_000, 1_760_003_599_999, 1_760_003_600_000_u64] {
            let bucket = retention.bucket(now);
            assert!(retention.expiry_ms(bucket) >= now + retention.ms);
            let (first, last) = retention.expired(now);
            assert!(first <= last && retention.expiry_ms(last) <= now, "only expired buckets are freed");
            assert!(retention.expiry_ms(last + 3) > now, "none is forgotten for long");
        }
    }
}
