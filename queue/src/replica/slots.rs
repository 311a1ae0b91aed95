//! How many jobs of a queue a replica may have.

use std::{
    sync::atomic::{AtomicUsize, Ordering},
    time::Duration,
};

/// How many jobs of one queue this replica has.
#[derive(Debug)]
pub(crate) struct Slots {
    /// How many handlers may run at a time.
    pub(crate) concurrency: usize,
    /// Handlers that run.
    pub(super) running: AtomicUsize,
    /// Claimed and not ended, whether they run or wait for a handler.
    outstanding: AtomicUsize,
    /// Told whenever a job ends.
    pub(crate) freed: tokio::sync::Notify,
    /// Mean time of a handler in microseconds, as a moving average.
    mean_us: AtomicUsize,
    /// How long handlers took.
    pub(super) durations: metrics::Histogram,
}

/// The most jobs that are claimed ahead of the running ones.
const MOST_AHEAD: usize = 2048;
/// Jobs are claimed ahead only as far as they are expected to start within this time, so that a busy replica does not sit on
/// jobs that an idle one could run.
const AHEAD_US: usize = 5_000;

impl Slots {
    pub(crate) fn new(queue: &str, concurrency: usize) -> Self {
        Self {
            durations: metrics::histogram!("queue_job_duration_seconds", "queue" => queue.to_owned()),
            concurrency: concurrency.max(1),
            running: AtomicUsize::new(0),
            outstanding: AtomicUsize::new(0),
            freed: tokio::sync::Notify::new(),
            mean_us: AtomicUsize::new(AHEAD_US * 1000),
        }
    }

    fn ahead(&self) -> usize {
        let mean_us = self.mean_us.load(Ordering::Relaxed).max(1);
        (self.concurrency * AHEAD_US / mean_us).min(MOST_AHEAD)
    }

    /// How many jobs to claim now; none while a larger batch is worth waiting for.
    pub(crate) fn free(&self) -> usize {
        let outstanding = self.outstanding.load(Ordering::Relaxed);
        let ahead = self.ahead();
        if outstanding >= self.concurrency + ahead / 2 { 0 } else { self.concurrency + ahead - outstanding }
    }

    pub(crate) fn take(&self, n: usize) {
        self.outstanding.fetch_add(n, Ordering::Relaxed);
    }

    /// Whether no handler runs.
    pub(crate) fn are_idle(&self) -> bool {
        self.running.load(Ordering::Relaxed) == 0
    }

    pub(crate) fn give_back(&self) {
        self.give_back_some(1);
    }

    pub(super) fn give_back_some(&self, n: usize) {
        self.outstanding.fetch_sub(n, Ordering::Relaxed);
        self.freed.notify_one();
    }

    pub(super) fn observe(&self, took: Duration) {
        let took = usize::try_from(took.as_micros()).unwrap_or(usize::MAX / 8);
        let mean = self.mean_us.load(Ordering::Relaxed);
        self.mean_us.store((mean * 7).saturating_add(took) / 8, Ordering::Relaxed);
    }
}
