//! One typed function a script: Rust in, Rust out. The only place that runs scripts. A push is no script, but a transaction of plain
//! commands; it is here because it writes the same keys.

use std::{collections::BTreeMap, sync::LazyLock};

use fleet::Connection;
use redis::{AsyncCommands, FromRedisValue, Script, ScriptInvocation};

use crate::{error::Error, keys::Partition, message::JobId, pack, tenants};

/// The most jobs one script call takes: Lua's `unpack` is limited to a few thousand values.
pub(crate) const MOST: usize = 1000;
/// The hash of a replica is kept for so long. Longer than any lease, because reclaiming asks the hash of the dead.
pub(crate) const REPLICA_KEPT_S: u32 = 900;
/// The counters of a minute are kept for so long.
const COUNTS_KEPT_S: i64 = 7200;
/// A claim of more jobs reads their records in a second call.
const MOST_RECORDS: usize = 16;
/// A reply with many records ends when it is so large.
const MOST_BYTES: usize = 4 << 20;
/// How many ids of all lists are looked through at a time for the places where a page ended.
const LOOK_AROUND: usize = MOST;
/// A message to a replica that reads none any more is forgotten after so long.
const TOLD_KEPT_S: u32 = 60;
/// The most dead jobs a queue keeps.
const MOST_DEAD: u32 = 10_000;
/// A claim stays barred for so long: longer than any process could have been stopped between its claim and its push.
const BAR_KEPT_MS: u64 = 24 * 3600 * 1000;

/// The script of this name, behind the functions that several scripts use.
macro_rules! script {
    ($name:ident) => {{
        static SCRIPT: LazyLock<Script> = LazyLock::new(|| {
            let text = text(stringify!($name), include_str!(concat!("scripts/", stringify!($name), ".lua")));
            // The first line tells the server what the script may do.
            let (first, rest) = text.split_once('\n').unwrap_or((&text, ""));
            Script::new(&format!("{first}\n{}{rest}", include_str!("scripts/common.lua")))
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

async fn run<T: FromRedisValue>(invocation: &ScriptInvocation<'_>, connection: &Connection) -> Result<T, Error> {
    Ok(invocation.invoke_async(&mut connection.clone()).await?)
}

/// One job to push: its id, its record, and where it waits.
#[derive(Debug, Clone)]
pub(crate) struct Push {
    pub(crate) id: JobId,
    pub(crate) record: Vec<u8>,
    pub(crate) priority: usize,
    pub(crate) due_ms: Option<u64>,
    /// In whose index it is.
    pub(crate) tenant: Option<String>,
}

/// Adds up to [`MOST`] jobs, all or none, in one transaction of plain commands: much faster than a script that is given every
/// record.
pub(crate) async fn push(
    connection: &Connection,
    partition: &Partition,
    now_ms: u64,
    jobs: &[Push],
) -> Result<(), Error> {
    debug_assert!(jobs.len() <= MOST);
    Ok(transaction(partition, now_ms, jobs).query_async(&mut connection.clone()).await?)
}

fn transaction(partition: &Partition, now_ms: u64, jobs: &[Push]) -> redis::Pipeline {
    let mut pipe = redis::pipe();
    pipe.atomic();
    // Ids before records: should one of the commands fail, an id without a record does no harm.
    for priority in 0..4 {
        let mut ready = jobs.iter().filter(|job| job.due_ms.is_none() && job.priority == priority).peekable();
        if ready.peek().is_some() {
            let list = pipe.cmd("RPUSH").arg(partition.key(&format!("ready:{priority}")));
            for job in ready {
                list.arg(&job.id.as_bytes()[..]);
            }
            list.ignore();
        }
    }
    let mut scheduled = jobs.iter().filter_map(|job| Some((job.due_ms?, job.id))).peekable();
    if scheduled.peek().is_some() {
        let set = pipe.cmd("ZADD").arg(partition.key("scheduled"));
        for (due_ms, id) in scheduled {
            set.arg(due_ms).arg(&id.as_bytes()[..]);
        }
        set.ignore();
    }
    let mut by_tenant: BTreeMap<&str, Vec<JobId>> = BTreeMap::new();
    for job in jobs {
        if let Some(tenant) = &job.tenant {
            by_tenant.entry(tenant).or_default().push(job.id);
        }
    }
    for (tenant, ids) in by_tenant {
        pipe.sadd(tenants::tenants(partition), tenant).ignore();
        let index = pipe.cmd("ZADD").arg(tenants::of(partition, tenant));
        for id in ids {
            index.arg(0).arg(&id.as_bytes()[..]);
        }
        index.ignore();
    }
    for jobs in jobs.chunk_by(|a, b| a.id.page() == b.id.page()) {
        let records = pipe.cmd("HSET").arg(partition.page_of(jobs[0].id));
        for job in jobs {
            records.arg(&job.id.as_bytes()[..]).arg(&job.record[..]);
        }
        records.ignore();
    }
    // One token, however many there were. A scheduled job, too, may be due before the time that a fetcher waits for.
    let wake = partition.key("wake");
    pipe.rpush(&wake, 1).ignore().ltrim(&wake, 0, 0).ignore();
    let counts = partition.key(&format!("minute:{}", minute(now_ms)));
    pipe.hincr(&counts, "in", jobs.len()).ignore().expire(&counts, COUNTS_KEPT_S).ignore();
    pipe
}

/// What became of a push under a given id.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Absent {
    /// The job was not there, and is now.
    Added,
    /// The id is known: the job is there, or was and has ended.
    Known,
    /// The job is not there, and its claim of a unique key was taken over.
    Barred,
}

/// Adds those of up to [`MOST`] jobs whose ids are not known and whose claims, if they have one (empty: none), are not barred; all or
/// none.
pub(crate) async fn push_absent(
    connection: &Connection,
    partition: &Partition,
    now_ms: u64,
    retention: Retention,
    jobs: impl ExactSizeIterator<Item = (&Push, &str)>,
) -> Result<Vec<Absent>, Error> {
    let n_jobs = jobs.len();
    debug_assert!(n_jobs <= MOST);
    let script = script!(push_absent);
    let mut call = script.key(&partition.base);
    call.arg(minute(now_ms)).arg(COUNTS_KEPT_S);
    for (job, claim) in jobs {
        call.arg(&job.id.as_bytes()[..])
            .arg(&job.record[..])
            .arg(job.priority)
            .arg(job.due_ms.map(|due_ms| due_ms.to_string()).unwrap_or_default())
            .arg(retention.bucket(job.id.created_ms()))
            .arg(claim)
            .arg(job.tenant.as_deref().unwrap_or_default());
    }
    let replies: Vec<isize> = run(&call, connection).await?;
    let mut became = vec![Absent::Known; n_jobs];
    for reply in replies {
        if let Some(job) = reply.unsigned_abs().checked_sub(1).and_then(|at| became.get_mut(at)) {
            *job = if reply > 0 { Absent::Added } else { Absent::Barred };
        }
    }
    Ok(became)
}

/// Whether a job is known, whatever became of it. If it is not, it cannot be pushed under `claim` any more.
pub(crate) async fn bar(
    connection: &Connection,
    partition: &Partition,
    retention: Retention,
    id: JobId,
    claim: &str,
) -> Result<bool, Error> {
    let script = script!(bar);
    let mut call = script.key(&partition.base);
    call.arg(&id.as_bytes()[..]).arg(retention.bucket(id.created_ms())).arg(claim).arg(BAR_KEPT_MS);
    run(&call, connection).await
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
    pub(crate) jobs: Vec<ClaimedJob>,
}

type Fields = Vec<Option<Vec<u8>>>;
type ClaimReply = (i64, u8, u8, u8, Vec<u8>, Fields, Fields);

/// Makes due jobs ready and claims up to `want` of the ready ones.
pub(crate) async fn claim(connection: &Connection, partition: &Partition, ask: &Claim<'_>) -> Result<Claims, Error> {
    let script = script!(claim);
    let mut call = script.key(&partition.base);
    call.arg(ask.owner)
        .arg(ask.want.min(MOST))
        .arg(ask.now_ms)
        .arg(ask.lease_end_ms)
        .arg(if ask.lowest_first { "3210" } else { "0123" })
        .arg(u8::from(ask.take_suspect))
        .arg(MOST_RECORDS);
    let (next_due, suspect, left, with_history, ids, mut records, mut histories): ClaimReply =
        run(&call, connection).await?;
    let ids = split_ids(&ids);
    if records.is_empty() && !ids.is_empty() {
        (records, histories) = read(connection, partition, &ids, with_history == 1).await?;
    }
    let mut histories = histories.into_iter();
    let jobs = ids.into_iter().zip(records).map(|(id, record)| {
        let history = histories.next().flatten();
        ClaimedJob { id, record, history }
    });
    Ok(Claims {
        next_due_ms: u64::try_from(next_due).ok(),
        suspect: suspect == 1,
        suspects_wait: suspect == 2,
        left: left == 1,
        jobs: jobs.collect(),
    })
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
    owner: &str,
) -> Result<Option<Vec<ClaimedJob>>, Error> {
    let ids: Option<Vec<u8>> = connection.clone().hget(partition.key("claims"), owner).await?;
    let Some(ids) = ids.as_deref().map(split_ids) else { return Ok(None) };
    if ids.is_empty() {
        return Ok(Some(Vec::new()));
    }
    let (records, histories) = read(connection, partition, &ids, true).await?;
    let fields = records.into_iter().zip(histories);
    Ok(Some(ids.into_iter().zip(fields).map(|(id, (record, history))| ClaimedJob { id, record, history }).collect()))
}

/// Ids that lie one behind the other.
pub(crate) fn split_ids(ids: &[u8]) -> Vec<JobId> {
    ids.chunks_exact(16).filter_map(JobId::from_slice).collect()
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
    /// Empty when nothing is kept.
    pub(crate) finished: Vec<u8>,
    pub(crate) state: crate::message::State,
    /// In whose index it is.
    pub(crate) tenant: Option<String>,
}

/// An owner of jobs that end.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct EndingOwner {
    pub(crate) owner: std::sync::Arc<str>,
    /// How many jobs its claim has left before the call: only then is it carried out, and so only once.
    pub(crate) left: usize,
    /// How many of them end.
    pub(crate) ends: usize,
}

/// Ends up to [`MOST`] running jobs, which are in the order of their `owners`. Returns the positions of the refused.
pub(crate) async fn finish(
    connection: &Connection,
    partition: &Partition,
    now_ms: u64,
    retention: Retention,
    owners: &[EndingOwner],
    jobs: &[Ending],
    history: bool,
) -> Result<Vec<usize>, Error> {
    let bucket = retention.bucket(now_ms);
    let script = script!(finish);
    let mut call = script.key(&partition.base);
    call.arg(bucket)
        .arg(retention.ttl_ms(bucket, now_ms))
        .arg(retention.ms)
        .arg(minute(now_ms))
        .arg(owners.len())
        .arg(jobs.chunk_by(same_page).count())
        .arg(jobs.len())
        .arg(jobs.iter().map(|job| &job.state.name()[..1]).collect::<String>())
        .arg(u8::from(history));
    for owner in owners {
        call.arg(&*owner.owner).arg(owner.left).arg(owner.ends);
    }
    for run in jobs.chunk_by(same_page) {
        call.arg(run[0].id.page()).arg(run.len());
    }
    for job in jobs {
        call.arg(&job.id.as_bytes()[..]);
    }
    if retention.ms > 0 {
        keep(&mut call, jobs, |job| retention.bucket(job.id.created_ms()) == bucket);
    }
    let refused: Vec<usize> = run(&call, connection).await?;
    Ok(refused.into_iter().map(|position| position - 1).collect())
}

fn same_page(a: &Ending, b: &Ending) -> bool {
    a.id.page() == b.id.page()
}

/// Adds what is kept of finished jobs to a call: in packs, as far as they are `in_bucket`.
fn keep(call: &mut ScriptInvocation<'_>, jobs: &[Ending], in_bucket: impl Fn(&Ending) -> bool) {
    let mut first = 0;
    while first < jobs.len() {
        let mut n = 0;
        let mut bytes = 0;
        while let Some(job) = jobs.get(first + n)
            && n < pack::MOST.0
            && (n == 0 || bytes + job.finished.len() <= pack::MOST.1)
            && in_bucket(job)
        {
            n += 1;
            bytes += job.finished.len();
        }
        call.arg(first + 1).arg(n);
        let one = &jobs[first].finished[..];
        match n {
            0 | 1 => call.arg(one),
            _ => call.arg(pack::pack(jobs[first..first + n].iter().map(|job| (job.id, &job.finished[..])))),
        };
        first += n.max(1);
    }
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
    /// A newer release wrote it.
    Held,
    /// To its end; the history is its finished record then.
    Cancelled,
    /// Nowhere: its record is not there.
    Gone,
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

/// A job that someone cancelled while it ran, and that was not released.
#[derive(Debug)]
pub(crate) struct CancelledRun {
    pub(crate) position: usize,
    pub(crate) record: Vec<u8>,
    pub(crate) history: Option<Vec<u8>>,
}

/// What became of released jobs.
#[derive(Debug, Default)]
pub(crate) struct Released {
    /// Positions of those refused because their lease is lost.
    pub(crate) refused: Vec<usize>,
    /// Those that still run: someone cancelled them, and they are to end.
    pub(crate) cancelled: Vec<CancelledRun>,
}

/// Takes up to [`MOST`] running jobs from their owners.
pub(crate) async fn release(
    connection: &Connection,
    partition: &Partition,
    now_ms: u64,
    retention: Retention,
    jobs: &[Release],
    history: bool,
) -> Result<Released, Error> {
    let script = script!(release);
    let mut call = script.key(&partition.base);
    call.arg(now_ms).arg(minute(now_ms)).arg(MOST_DEAD).arg(retention.ms).arg(u8::from(history));
    for job in jobs {
        let (to, due_ms) = match job.to {
            To::Retrying { due_ms } => ("retrying", due_ms),
            To::Scheduled { due_ms } => ("scheduled", due_ms),
            To::Dead => ("dead", 0),
            To::Ready => ("ready", 0),
            To::Suspect => ("suspect", 0),
            To::Held => ("held", 0),
            To::Cancelled => ("cancelled", 0),
            To::Gone => ("gone", 0),
        };
        call.arg(&job.id.as_bytes()[..])
            .arg(&*job.owner)
            .arg(to)
            .arg(due_ms)
            .arg(job.history.as_deref().unwrap_or_default());
    }
    type Reply = (Vec<usize>, Vec<usize>, Vec<Vec<u8>>, Fields);
    let (refused, cancelled, records, histories): Reply = run(&call, connection).await?;
    let cancelled = cancelled.into_iter().zip(records).zip(histories);
    Ok(Released {
        refused: refused.into_iter().map(|position| position - 1).collect(),
        cancelled: cancelled
            .map(|((position, record), history)| CancelledRun { position: position - 1, record, history })
            .collect(),
    })
}

/// Extends leases. Returns the owners whose lease is lost, and the running jobs that are to stop.
pub(crate) async fn renew(
    connection: &Connection,
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
    /// The record, if someone cancelled it.
    pub(crate) cancelled: Option<Vec<u8>>,
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

type UpkeepReply = (u64, i64, u8, Vec<Vec<u8>>, Vec<String>, Fields, Fields);

/// Looks after one partition; finds expired leases when `reclaim`.
pub(crate) async fn upkeep(
    connection: &Connection,
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
    let (server_ms, next_end, work, ids, owners, histories, cancelled): UpkeepReply = run(&call, connection).await?;
    let abandoned = ids.iter().zip(owners).zip(histories.into_iter().zip(cancelled)).filter_map(
        |((id, owner), (history, cancelled))| Some(Abandoned { id: JobId::from_slice(id)?, owner, history, cancelled }),
    );
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
    /// Of a running job.
    pub(crate) reports: Option<Vec<u8>>,
}

type FindReply = Option<(String, Vec<u8>, Option<String>, Option<Vec<u8>>, Option<Vec<u8>>)>;

/// Finds a job wherever it is.
pub(crate) async fn find(
    connection: &Connection,
    partition: &Partition,
    retention: Retention,
    id: JobId,
) -> Result<Option<Found>, Error> {
    Ok(look(connection, partition, retention, &[id]).await?.pop().flatten())
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
    connection: &Connection,
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
    connection: &Connection,
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
    call.arg(tenants::tenant_of(record).unwrap_or_default());
    run(&call, connection).await
}

/// Writes a finished job anew. False when it is kept no more.
pub(crate) async fn replace(
    connection: &Connection,
    partition: &Partition,
    retention: Retention,
    id: JobId,
    finished: &[u8],
) -> Result<bool, Error> {
    let script = script!(replace);
    let mut call = script.key(&partition.base);
    call.arg(id.as_bytes().as_slice()).arg(retention.bucket(id.created_ms())).arg(finished);
    run(&call, connection).await
}

/// Takes those of `jobs` (at most [`MOST`]) that have no record out of the indexes of their tenants. Returns how many.
pub(crate) async fn forget(
    connection: &Connection,
    partition: &Partition,
    jobs: &[(&str, JobId)],
) -> Result<u64, Error> {
    debug_assert!(jobs.len() <= MOST);
    let script = script!(forget);
    let mut call = script.key(&partition.base);
    for (tenant, id) in jobs {
        call.arg(*tenant).arg(&id.as_bytes()[..]);
    }
    run(&call, connection).await
}

/// Deletes those of `ids` (at most [`MOST`]) that are dead. Returns how many.
pub(crate) async fn bury(connection: &Connection, partition: &Partition, ids: &[JobId]) -> Result<u64, Error> {
    let script = script!(bury);
    let mut call = script.key(&partition.base);
    for id in ids {
        call.arg(&id.as_bytes()[..]);
    }
    run(&call, connection).await
}

/// Gives back the jobs that an older release's worker put aside: looks once at each that is there now, [`MOST`] a call.
pub(crate) async fn unhold(connection: &Connection, partition: &Partition) -> Result<u64, Error> {
    let script = script!(unhold);
    let mut call = script.key(&partition.base);
    call.arg(crate::message::ENVELOPE_VERSION).arg(MOST);
    let (mut n_ready, mut to_look_at) = (0, None);
    loop {
        let (ready, looked, there): (u64, u64, u64) = run(&call, connection).await?;
        n_ready += ready;
        let left = to_look_at.unwrap_or(there).saturating_sub(looked);
        if left == 0 || looked == 0 {
            return Ok(n_ready);
        }
        to_look_at = Some(left);
    }
}

/// Stops claiming from a partition since `now_ms`, or lets it go on. False: that is so already.
pub(crate) async fn pause(connection: &Connection, partition: &Partition, now_ms: Option<u64>) -> Result<bool, Error> {
    let now_ms = now_ms.map(|ms| ms.to_string()).unwrap_or_default();
    run(script!(pause).key(&partition.base).arg(now_ms), connection).await
}

/// Has one replica look for work.
pub(crate) async fn wake(connection: &Connection, partition: &Partition) -> Result<(), Error> {
    let _: String = run(&script!(wake).key(&partition.base), connection).await?;
    Ok(())
}

/// Leaves a message in a replica's control list, which ends its blocking call.
pub(crate) async fn tell(connection: &Connection, control: &str, message: &str) -> Result<(), Error> {
    let _: String = run(script!(tell).key(control).arg(message).arg(TOLD_KEPT_S), connection).await?;
    Ok(())
}

/// Writes `new` (empty: nothing) to a unique or idempotency key if `seen` stands there (empty: nothing); without a time to live it keeps
/// the one that it has. Otherwise returns what stands there.
pub(crate) async fn unique(
    connection: &Connection,
    key: &str,
    seen: &str,
    new: &str,
    ttl_ms: Option<u64>,
) -> Result<Option<String>, Error> {
    let ttl_ms = ttl_ms.map(|ttl_ms| ttl_ms.to_string()).unwrap_or_default();
    run(script!(unique).key(key).arg(seen).arg(new).arg(ttl_ms), connection).await
}

/// Finds or assigns the number of the partition `queue.index`.
pub(crate) async fn partition(connection: &Connection, table: &str, name: &str) -> Result<u16, Error> {
    run(script!(partition).key(table).arg(name), connection).await
}

/// Notes in a replica's hash that it is about to run a suspect.
pub(crate) async fn mark(connection: &Connection, replica_key: &str, id: JobId) -> Result<(), Error> {
    let script = script!(mark);
    let mut call = script.key(replica_key);
    call.arg(id.to_string()).arg(REPLICA_KEPT_S);
    let _: String = run(&call, connection).await?;
    Ok(())
}

/// A replica says that it lives.
pub(crate) async fn beat(
    connection: &Connection,
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

/// What the handler of a running job has reported, to be kept.
#[derive(Debug)]
pub(crate) struct Reported {
    pub(crate) id: JobId,
    pub(crate) owner: std::sync::Arc<str>,
    pub(crate) reports: Vec<u8>,
}

/// Keeps what handlers have reported of up to [`MOST`] running jobs. Returns the positions of the refused.
pub(crate) async fn progress(
    connection: &Connection,
    partition: &Partition,
    jobs: &[Reported],
) -> Result<Vec<usize>, Error> {
    let script = script!(progress);
    let mut call = script.key(&partition.base);
    for job in jobs {
        call.arg(&job.id.as_bytes()[..]).arg(&*job.owner).arg(&job.reports[..]);
    }
    let refused: Vec<usize> = run(&call, connection).await?;
    Ok(refused.into_iter().map(|position| position - 1).collect())
}

/// Finds up to [`MOST`] jobs; the reply may end before the last, but not before the first.
pub(crate) async fn look(
    connection: &Connection,
    partition: &Partition,
    retention: Retention,
    ids: &[JobId],
) -> Result<Vec<Option<Found>>, Error> {
    let script = script!(find);
    let mut call = script.key(&partition.base);
    call.arg(MOST_BYTES);
    for id in ids.iter().take(MOST) {
        call.arg(&id.as_bytes()[..]).arg(retention.bucket(id.created_ms()));
    }
    let found: Vec<FindReply> = run(&call, connection).await?;
    let job = |(place, record, detail, history, reports)| Found { place, record, detail, history, reports };
    Ok(found.into_iter().map(|found| found.map(job)).collect())
}

/// The next `n` of a sorted set with their scores, the highest first, after a score and an id.
pub(crate) async fn scored(
    connection: &Connection,
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
    connection: &Connection,
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

/// Takes those of `ids` (at most [`MOST`]) off the list of unrecorded jobs that still stand at its head. Returns how many.
pub(crate) async fn recorded(connection: &Connection, partition: &Partition, ids: &[JobId]) -> Result<usize, Error> {
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

    /// What frees memory, moves jobs, or is small and bounded, works on a full server: it could not be drained otherwise.
    #[test]
    fn a_full_server_refuses_only_what_adds_to_it() {
        let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("src/scripts");
        let mut refused = Vec::new();
        for file in std::fs::read_dir(folder).unwrap().map(|file| file.unwrap().path()) {
            let text = std::fs::read_to_string(&file).unwrap();
            let flags = text.lines().next().unwrap();
            let name = file.file_stem().unwrap().to_string_lossy().into_owned();
            if name != "common" && !flags.contains("allow-oom") {
                refused.push(name);
            }
        }
        refused.sort();
        assert_eq!(refused, ["bar", "progress", "push_absent", "replace", "revive", "unique"]);
    }
}
