//! A job that this replica holds under a lease.

use std::sync::{Arc, LazyLock, Mutex, MutexGuard, PoisonError, Weak};

use super::{
    locks::Locks,
    reporting::{Desk, Reporting},
};
use crate::{
    keys::Partition,
    model::{
        error::Error,
        history::History,
        id::JobId,
        job::Kind,
        new_job::DEFAULT_TENANT,
        outcome::Success,
        record::{Options, Record},
        reports::Reports,
    },
    scripts::claim::ClaimedJob,
};

/// A claimed job, as handlers get it. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Claimed(Arc<Inner>);

#[derive(Debug)]
pub(crate) struct Inner {
    id: JobId,
    partition: Arc<Partition>,
    claim: Arc<str>,
    record: Vec<u8>,
    head: Result<Head, Error>,
    /// `None` for the common job, which has none.
    history: Option<Box<History>>,
    kind: Arc<Kind>,
    claimed_ms: u64,
    reporting: Mutex<Reporting>,
    shared: Arc<Shared>,
}

/// What stands in a record before its payload.
#[derive(Debug)]
struct Head {
    options: Option<Box<Options>>,
    payload_at: usize,
}

impl Head {
    fn of(record: &[u8]) -> Result<Self, Error> {
        let (_, options, payload_at) = Record::decode_head(record)?;
        Ok(Self { options: options.map(Box::new), payload_at })
    }
}

/// The history of a job that was never run before.
static NONE: LazyLock<History> = LazyLock::new(History::default);

/// Where claimed jobs wait until what was reported of them is written.
pub(crate) type JobDesk = Desk<Inner>;

/// What the jobs of a replica have in common.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) desk: JobDesk,
    pub(crate) locks: Locks,
}

impl Claimed {
    pub(crate) fn new(
        job: &ClaimedJob,
        record: Vec<u8>,
        partition: &Arc<Partition>,
        claim: &Arc<str>,
        kind: Arc<Kind>,
        claimed_ms: u64,
        shared: &Arc<Shared>,
    ) -> Self {
        Self(Arc::new(Inner {
            id: job.id,
            partition: partition.clone(),
            claim: claim.clone(),
            head: Head::of(&record),
            record,
            history: job.history.as_deref().map(|bytes| Box::new(History::decode(Some(bytes)))),
            kind,
            claimed_ms,
            reporting: Mutex::default(),
            shared: shared.clone(),
        }))
    }

    /// The job's id.
    #[must_use]
    pub fn id(&self) -> JobId {
        self.0.id
    }

    /// The kind, which is also the queue.
    #[must_use]
    pub fn kind(&self) -> &str {
        &self.0.partition.queue
    }

    /// Whom it belongs to.
    #[must_use]
    pub fn tenant(&self) -> &str {
        self.options().and_then(|options| options.tenant.as_deref()).unwrap_or(DEFAULT_TENANT)
    }

    /// The payload as JSON text.
    ///
    /// # Errors
    /// [`Error::Corrupt`] when the stored record is damaged.
    pub fn payload(&self) -> Result<&[u8], Error> {
        self.0.head.as_ref().map(|head| &self.0.record[head.payload_at..]).map_err(Clone::clone)
    }

    /// The attempt that this is, from 1.
    #[must_use]
    pub fn attempt(&self) -> u32 {
        self.history().attempt()
    }

    /// How often a worker died with it before.
    #[must_use]
    pub fn crashes(&self) -> u32 {
        self.history().crashes
    }

    /// How many attempts may fail.
    #[must_use]
    pub fn max_attempts(&self) -> u32 {
        self.option(|options| options.max_attempts).unwrap_or(self.0.kind.max_attempts)
    }

    /// How long this attempt may run, in seconds.
    #[must_use]
    pub fn timeout_s(&self) -> u64 {
        self.option(|options| options.timeout_s).unwrap_or(self.0.kind.timeout_s)
    }

    /// Whether a stand-in may answer.
    #[must_use]
    pub fn allow_fallback(&self) -> bool {
        self.option(|options| options.allow_fallback).unwrap_or(self.0.kind.allow_fallback)
    }

    /// The caller's trace context.
    #[must_use]
    pub fn traceparent(&self) -> Option<&str> {
        self.options()?.traceparent.as_deref()
    }

    /// What an earlier attempt made but could not store.
    #[must_use]
    pub fn draft(&self) -> Option<Success> {
        self.history().draft()
    }

    pub(crate) fn reporting(&self) -> MutexGuard<'_, Reporting> {
        self.0.reporting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// All that was reported, in this attempt and before; nothing more is taken from now on.
    pub(crate) fn end_of_reports(&self) -> Option<Reports> {
        let mut reporting = self.reporting();
        reporting.closed = true;
        reporting.reports.as_deref().or(self.history().reports.as_ref()).cloned()
    }

    pub(crate) fn desk(&self) -> &JobDesk {
        &self.0.shared.desk
    }

    pub(crate) fn locks(&self) -> &Locks {
        &self.0.shared.locks
    }

    /// Has it wait at the desk until what was reported of it is written.
    pub(crate) fn put_on_desk(&self) {
        self.0.shared.desk.put(Arc::downgrade(&self.0));
    }

    /// Those that wait at a desk, but for those that have ended: their settlement tells all.
    pub(crate) fn on_desk(desk: &JobDesk) -> Vec<Self> {
        desk.take().iter().filter_map(Weak::upgrade).map(Self).filter(|job| !job.reporting().closed).collect()
    }

    pub(crate) fn expires_at_ms(&self) -> Option<u64> {
        self.option(|options| options.expires_at_ms)
    }

    pub(crate) fn is_suspect(&self) -> bool {
        self.history().is_suspect()
    }

    pub(crate) fn claimed_ms(&self) -> u64 {
        self.0.claimed_ms
    }

    pub(crate) fn claim(&self) -> &Arc<str> {
        &self.0.claim
    }

    pub(crate) fn partition(&self) -> &Arc<Partition> {
        &self.0.partition
    }

    pub(crate) fn history(&self) -> &History {
        self.0.history.as_deref().unwrap_or(&NONE)
    }

    /// Whether it was never run before, nor made ready again.
    pub(crate) fn is_new(&self) -> bool {
        self.0.history.as_deref().is_none_or(|history| *history == *NONE)
    }

    pub(crate) fn raw_record(&self) -> &[u8] {
        &self.0.record
    }

    fn options(&self) -> Option<&Options> {
        self.0.head.as_ref().ok()?.options.as_deref()
    }

    fn option<T>(&self, field: impl Fn(&Options) -> Option<T>) -> Option<T> {
        self.options().and_then(field)
    }
}
