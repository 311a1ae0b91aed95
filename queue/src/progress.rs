//! What handlers report while they run: how far they are, and log lines.
//!
//! A report changes only memory. The jobs that have something new are written together, every quarter of a second, by one
//! background task a replica, and the last report goes with the job's settlement. So a job that reports nothing pays nothing, and
//! one that ends sooner makes no call of its own.

use std::{
    collections::VecDeque,
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use fleet::Clock;
use fleet::Connection;
use redis::AsyncCommands;
use serde::{Deserialize, Serialize};
use tokio::sync::Notify;

use crate::{
    claimed::{Claimed, WeakClaimed},
    error::Error,
    keys::Partition,
    message::JobId,
    replica::Shared,
    scripts::{self, Reported},
    session::Session,
};

/// The time between two writes of a job's reports.
const WRITE_EVERY: Duration = Duration::from_millis(250);
/// After Redis failed.
const AGAIN_AFTER: Duration = Duration::from_secs(2);
/// The most jobs in one write: each may carry all its log lines.
const MOST_AT_ONCE: usize = 100;
/// Only the last so many log lines of a job are kept.
const LINES_KEPT: usize = 100;
/// The longest log line and the longest message, in characters; what is longer is cut.
const LINE_KEPT: usize = 500;
const MESSAGE_KEPT: usize = 200;

/// All that handlers have reported of a job, over all its attempts.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Reports {
    #[serde(rename = "p", default, skip_serializing_if = "Option::is_none")]
    pub(crate) point: Option<Point>,
    #[serde(rename = "l", default, skip_serializing_if = "VecDeque::is_empty")]
    pub(crate) lines: VecDeque<Line>,
}

/// When a report was made.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Stamp {
    /// See [`crate::message::History::steps`].
    #[serde(rename = "i")]
    pub(crate) step: u32,
    /// Counts the reports of the attempt, of both kinds, from 1.
    #[serde(rename = "s")]
    pub(crate) number: u32,
    /// The number of the attempt.
    #[serde(rename = "n")]
    pub(crate) attempt: u32,
    #[serde(rename = "a")]
    pub(crate) at_ms: u64,
}

/// How far the job is; each replaces the one before.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Point {
    #[serde(rename = "t")]
    pub(crate) stamp: Stamp,
    #[serde(rename = "p")]
    pub(crate) percent: u8,
    #[serde(rename = "m")]
    pub(crate) message: String,
}

/// A log line.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Line {
    #[serde(rename = "t")]
    pub(crate) stamp: Stamp,
    #[serde(rename = "m")]
    pub(crate) text: String,
}

impl Reports {
    /// The stored reports; those that cannot be read count as none, because the job matters more.
    pub(crate) fn decode(bytes: &[u8]) -> Option<Self> {
        rmp_serde::from_slice(bytes).ok()
    }

    fn encode(&self) -> Result<Vec<u8>, Error> {
        rmp_serde::to_vec_named(self).map_err(|e| Error::Invalid(format!("reports of a job: {e}")))
    }
}

/// What one attempt has reported.
#[derive(Debug, Default)]
pub(crate) struct Reporting {
    /// Boxed, because most jobs have none.
    reports: Option<Box<Reports>>,
    number: u32,
    /// It waits at the desk to be written.
    waits: bool,
    /// The attempt is over, or its lease is lost.
    closed: bool,
}

impl Reporting {
    pub(crate) fn reports(&self) -> Option<&Reports> {
        self.reports.as_deref()
    }

    pub(crate) fn close(&mut self) {
        self.closed = true;
    }
}

/// What a handler reports its progress with. Calls return at once and never fail; nothing is written when the job's lease is lost.
/// Clone it freely.
#[derive(Clone, Default)]
pub struct Reporter(Option<Claimed>);

impl Reporter {
    /// Reports to nobody: for a handler that is run without a queue.
    #[must_use]
    pub fn nobody() -> Self {
        Self(None)
    }

    pub(crate) fn of(job: Claimed) -> Self {
        Self(Some(job))
    }

    /// Tells how far the job is: 0 to 100 percent (more counts as 100), and what it is doing, in at most 200 characters.
    pub fn set(&self, percent: u8, message: impl Into<String>) {
        self.report(|reports, stamp| {
            let message = cut(message.into(), MESSAGE_KEPT);
            reports.point = Some(Point { stamp, percent: percent.min(100), message });
        });
    }

    /// Adds a log line of at most 500 characters. The last 100 lines of a job are kept.
    pub fn log(&self, text: impl Into<String>) {
        self.report(|reports, stamp| {
            reports.lines.push_back(Line { stamp, text: cut(text.into(), LINE_KEPT) });
            if reports.lines.len() > LINES_KEPT {
                reports.lines.pop_front();
            }
        });
    }

    /// Whether anything was reported of the job, in this attempt or before.
    #[must_use]
    pub fn has_reported(&self) -> bool {
        let Some(job) = &self.0 else { return false };
        job.reporting().reports.is_some() || job.history().reports.is_some()
    }

    fn report(&self, change: impl FnOnce(&mut Reports, Stamp)) {
        let Some(job) = &self.0 else { return };
        let mut reporting = job.reporting();
        if reporting.closed {
            return;
        }
        reporting.number += 1;
        let stamp = Stamp {
            step: job.history().steps,
            number: reporting.number,
            attempt: job.attempt(),
            at_ms: job.desk().clock.now_ms(),
        };
        let before = || Box::new(job.history().reports.clone().unwrap_or_default());
        change(reporting.reports.get_or_insert_with(before), stamp);
        if !reporting.waits {
            reporting.waits = true;
            job.desk().put(job);
        }
    }
}

impl fmt::Debug for Reporter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Reporter").field(&self.0.as_ref().map(Claimed::id)).finish()
    }
}

/// Where the jobs of a replica that have reported something wait until it is written.
#[derive(Debug)]
pub(crate) struct Desk {
    clock: Clock,
    waiting: Mutex<Vec<WeakClaimed>>,
    put: Notify,
}

impl Desk {
    pub(crate) fn new(clock: Clock) -> Self {
        Self { clock, waiting: Mutex::default(), put: Notify::new() }
    }

    fn put(&self, job: &Claimed) {
        self.waiting().push(job.downgrade());
        self.put.notify_one();
    }

    /// Those that wait, but for those that have ended: their settlement tells all.
    fn take(&self) -> Vec<Claimed> {
        let waiting = std::mem::take(&mut *self.waiting());
        waiting.iter().filter_map(WeakClaimed::upgrade).filter(|job| !job.reporting().closed).collect()
    }

    fn put_back(&self, jobs: &[Claimed]) {
        for job in jobs {
            let mut reporting = job.reporting();
            if !reporting.waits {
                reporting.waits = true;
                self.put(job);
            }
        }
    }

    fn waiting(&self) -> MutexGuard<'_, Vec<WeakClaimed>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Session {
    /// Writes what handlers have reported since the last call, and returns how many jobs were refused because their lease is
    /// lost: nothing more of those is written. What could not be written is kept for another call; a queue whose keys Redis refuses
    /// does not hold up others.
    ///
    /// # Errors
    /// [`Error::Unavailable`], [`Error::Full`], [`Error::Redis`].
    pub async fn report(&self) -> Result<usize, Error> {
        let connection = self.client().redis.connection();
        let mut jobs = self.desk.take();
        // A report from now on waits for the next call.
        for job in &jobs {
            job.reporting().waits = false;
        }
        let (mut n_refused, mut failed) = (0, None);
        while let Some(partition) = jobs.first().map(|job| job.partition().clone()) {
            let (mut batch, mut rest) = (Vec::new(), Vec::new());
            for job in jobs {
                let fits = *job.partition() == partition && batch.len() < MOST_AT_ONCE;
                if fits { &mut batch } else { &mut rest }.push(job);
            }
            match write(&connection, &partition, &batch).await {
                Ok(refused) => n_refused += refused,
                Err(error) => {
                    self.desk.put_back(&batch);
                    if !matches!(error, Error::Redis(_)) {
                        self.desk.put_back(&rest);
                        return Err(error);
                    }
                    failed = Some(error);
                }
            }
            jobs = rest;
        }
        failed.map_or(Ok(n_refused), Err)
    }
}

async fn write(connection: &Connection, partition: &Partition, jobs: &[Claimed]) -> Result<usize, Error> {
    let mut written = Vec::with_capacity(jobs.len());
    let mut reported = Vec::with_capacity(jobs.len());
    for job in jobs {
        let reporting = job.reporting();
        if let (false, Some(reports)) = (reporting.closed, reporting.reports()) {
            reported.push(Reported { id: job.id(), owner: job.owner().clone(), reports: reports.encode()? });
            written.push(job);
        }
    }
    if reported.is_empty() {
        return Ok(0);
    }
    let mut n_refused = 0;
    for position in scripts::progress(connection, partition, &reported).await? {
        let Some(job) = written.get(position) else { continue };
        let mut reporting = job.reporting();
        // One that has ended meanwhile was refused because its own settlement came first.
        if !reporting.closed {
            reporting.close();
            n_refused += 1;
        }
    }
    Ok(n_refused)
}

/// What is kept of running jobs, in the order of `ids`.
pub(crate) async fn kept(
    connection: &Connection,
    partition: &Partition,
    ids: &[JobId],
) -> Result<Vec<Option<Reports>>, Error> {
    let ids: Vec<&[u8]> = ids.iter().map(|id| id.as_bytes().as_slice()).collect();
    let kept: Vec<Option<Vec<u8>>> = connection.clone().hmget(partition.key("progress"), ids).await?;
    Ok(kept.iter().map(|bytes| bytes.as_deref().and_then(Reports::decode)).collect())
}

/// Writes what handlers report, each job's at most four times a second.
pub(crate) async fn keep_reporting(shared: Arc<Shared>) {
    loop {
        shared.session.desk.put.notified().await;
        tokio::time::sleep(WRITE_EVERY).await;
        match shared.session.report().await {
            Ok(0) => {}
            Ok(n_refused) => {
                metrics::counter!("queue_reports_refused_total").increment(n_refused as u64);
                tracing::warn!(n_jobs = n_refused, "reports refused: another worker has the jobs");
            }
            Err(error) => {
                tracing::debug!(%error, "cannot write what handlers report; trying again");
                tokio::time::sleep(AGAIN_AFTER).await;
            }
        }
    }
}

fn cut(mut text: String, most: usize) -> String {
    if let Some((end, _)) = text.char_indices().nth(most) {
        text.truncate(end);
        text.push('…');
    }
    text
}
