//! What the handlers of a replica have reported and nobody has written yet.

use std::sync::{Mutex, MutexGuard, PoisonError, Weak};

use fleet::Clock;
use tokio::sync::Notify;

use crate::model::reports::Reports;

/// What one attempt has reported.
#[derive(Debug, Default)]
pub(crate) struct Reporting {
    /// Boxed, because most jobs have none.
    pub(super) reports: Option<Box<Reports>>,
    pub(super) number: u32,
    /// It waits at the desk to be written.
    pub(super) waits: bool,
    /// The attempt is over, or its lease is lost.
    pub(super) closed: bool,
}

/// Where the jobs of a replica that have reported something wait until it is written. None is kept alive by that.
#[derive(Debug)]
pub(crate) struct Desk<T> {
    pub(super) clock: Clock,
    waiting: Mutex<Vec<Weak<T>>>,
    pub(super) put: Notify,
}

impl<T> Desk<T> {
    pub(super) fn new(clock: Clock) -> Self {
        Self { clock, waiting: Mutex::default(), put: Notify::new() }
    }

    pub(super) fn put(&self, job: Weak<T>) {
        self.waiting().push(job);
        self.put.notify_one();
    }

    pub(super) fn take(&self) -> Vec<Weak<T>> {
        std::mem::take(&mut *self.waiting())
    }

    fn waiting(&self) -> MutexGuard<'_, Vec<Weak<T>>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
