//! What a driver of jobs notes while they run: how many are left, and how long each waited for its start.

use std::{
    sync::atomic::{AtomicI64, AtomicU64, Ordering},
    time::{Duration, Instant},
};

use anyhow::Context;
use tokio::sync::Notify;

/// Nothing that is measured takes longer.
pub(crate) const PATIENCE: Duration = Duration::from_secs(400);

/// Counts jobs down.
#[derive(Debug)]
pub(crate) struct Countdown {
    left: AtomicI64,
    none_left: Notify,
}

impl Countdown {
    pub(crate) fn new(jobs: usize) -> Self {
        Self { left: AtomicI64::new(jobs as i64), none_left: Notify::new() }
    }

    pub(crate) fn one(&self) {
        if self.left.fetch_sub(1, Ordering::AcqRel) == 1 {
            self.none_left.notify_one();
        }
    }

    /// Waits until none is left.
    pub(crate) async fn ended(&self) -> anyhow::Result<()> {
        let ended = tokio::time::timeout(PATIENCE, self.none_left.notified()).await;
        ended.with_context(|| format!("{} jobs did not run", self.left.load(Ordering::Acquire)))
    }
}

/// From the moment before a job is pushed to the start of its handler.
#[derive(Debug)]
pub(crate) struct Starts {
    origin: Instant,
    pushed_us: Vec<AtomicU64>,
    waited_us: Vec<AtomicU64>,
    countdown: Countdown,
}

impl Starts {
    pub(crate) fn new(jobs: usize) -> Self {
        let zeros = || std::iter::repeat_with(AtomicU64::default).take(jobs).collect();
        Self { origin: Instant::now(), pushed_us: zeros(), waited_us: zeros(), countdown: Countdown::new(jobs) }
    }

    fn now_us(&self) -> u64 {
        self.origin.elapsed().as_micros() as u64
    }

    pub(crate) fn pushing(&self, number: usize) {
        self.pushed_us[number].store(self.now_us(), Ordering::Release);
    }

    /// The handler of job `number` begins. A job that runs again counts once.
    pub(crate) fn started(&self, number: usize) {
        let waited = (self.now_us() - self.pushed_us[number].load(Ordering::Acquire)).max(1);
        if self.waited_us[number].swap(waited, Ordering::AcqRel) == 0 {
            self.countdown.one();
        }
    }

    /// How long each job waited, in ms, once all have started.
    pub(crate) async fn waited_ms(&self) -> anyhow::Result<Vec<f64>> {
        self.countdown.ended().await?;
        Ok(self.waited_us.iter().map(|us| us.load(Ordering::Acquire) as f64 / 1000.0).collect())
    }
}

/// Calls `push` with 0, 1, 2, … at an even pace, without waiting for what it began.
pub(crate) async fn pace(per_second: u32, jobs: usize, mut push: impl FnMut(usize)) {
    let began = tokio::time::Instant::now();
    for number in 0..jobs {
        tokio::time::sleep_until(began + Duration::from_secs_f64(number as f64 / f64::from(per_second))).await;
        push(number);
    }
}

/// How many jobs `jobs_in` the time that has passed make a second.
pub(crate) fn rate(jobs: usize, took: Duration) -> f64 {
    jobs as f64 / took.as_secs_f64()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn waits_are_noted_once_a_job() {
        let starts = Starts::new(2);
        for number in [0, 1, 0] {
            starts.pushing(number);
            starts.started(number);
        }
        let waited = starts.waited_ms().await.unwrap();
        assert_eq!(waited.len(), 2);
        assert!(waited.iter().all(|ms| *ms > 0.0));
    }

    #[tokio::test]
    async fn the_pace_is_even() {
        let mut numbers = Vec::new();
        let began = Instant::now();
        pace(1000, 20, |number| numbers.push(number)).await;
        assert_eq!(numbers, (0..20).collect::<Vec<_>>());
        assert!(began.elapsed() >= Duration::from_millis(19));
    }
}
