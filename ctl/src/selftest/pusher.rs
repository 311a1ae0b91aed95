//! Pushes the numbered jobs while the faults happen, and keeps what the queue answered.

use std::{
    ops::Range,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use queue::{Client, Clock, JobId, NewJob};

use super::{
    plan::{self, Dice, Numbered},
    worker::QUEUE,
};

/// Jobs of one push: 1 to so many, and fewer where there are few, so that a push that fails is a small part of all.
const BATCH: u64 = 40;

/// The answers so far. Cheap to clone.
#[derive(Debug, Clone, Default)]
pub(crate) struct Answers(Arc<Mutex<Pushed>>);

/// What became of pushes.
#[derive(Debug, Clone, Default)]
pub(crate) struct Pushed {
    /// Answered with an id.
    pub(crate) accepted: Vec<(u64, JobId)>,
    /// Answered with an error, or not at all: they may be in the queue or not.
    pub(crate) unknown: Vec<u64>,
}

impl Answers {
    pub(crate) fn pushed(&self) -> Pushed {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(crate) fn n_accepted(&self) -> usize {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).accepted.len()
    }

    /// A job that was pushed otherwise.
    pub(crate) fn accept(&self, number: u64, id: JobId) {
        self.add(number, Some(id));
    }

    fn add(&self, number: u64, answer: Option<JobId>) {
        let mut pushed = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match answer {
            Some(id) => pushed.accepted.push((number, id)),
            None => pushed.unknown.push(number),
        }
    }
}

/// Pushes one batch; false when an answer was an error.
pub(crate) async fn push(client: &Client, clock: &Clock, jobs: Vec<Numbered>, answers: &Answers) -> bool {
    let numbers: Vec<u64> = jobs.iter().map(|job| job.work.number).collect();
    let now_ms = clock.now_ms();
    let jobs = jobs.into_iter().map(|job| {
        let payload = serde_json::to_vec(&job.work).unwrap_or_default();
        let mut new = NewJob::new(QUEUE, payload);
        new.priority = job.priority;
        new.run_at_ms = job.delay_ms.map(|delay| now_ms + delay);
        new
    });
    let results = client.push_many(jobs.collect()).await;
    let all_accepted = results.iter().all(Result::is_ok);
    for (number, answer) in numbers.into_iter().zip(results) {
        answers.add(number, answer.ok());
    }
    all_accepted
}

/// Pushes the jobs of `numbers` evenly over `time`, in batches of different sizes.
pub(crate) async fn push_all(client: Client, seed: u64, numbers: Range<u64>, time: Duration, answers: Answers) {
    let clock = Clock::default();
    let mut dice = Dice::new(seed);
    let (began, n) = (Instant::now(), numbers.end - numbers.start);
    let most = (n / 100).clamp(1, BATCH);
    let mut next = numbers.start;
    while next < numbers.end {
        let last = (next + dice.between(1, most)).min(numbers.end);
        let due = time.mul_f64((next - numbers.start) as f64 / n.max(1) as f64);
        tokio::time::sleep(due.saturating_sub(began.elapsed())).await;
        let jobs = (next..last).map(|number| plan::job(seed, number)).collect();
        if !push(&client, &clock, jobs, &answers).await {
            // As a back end would, it waits until the queue takes jobs again.
            while client.ping().await.is_err() {
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        }
        next = last;
    }
}
