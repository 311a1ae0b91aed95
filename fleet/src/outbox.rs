//! Reports on their way to Redis: collected, to be written in batches.

use std::{
    collections::{HashMap, VecDeque},
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::{
    sync::{Notify, watch},
    time::timeout,
};

use crate::{clock::Clock, once::OnceAMinute, report::Report};

/// Whoever waits for all to be written gives up after so long.
pub(crate) const FLUSH_WITHIN: Duration = Duration::from_secs(3);
/// The most reports that wait while Redis is away; the oldest leave first.
const MOST: usize = 10_000;
/// The most reports of one call.
const BATCH: usize = 200;

/// Reports that are to be written.
#[derive(Debug)]
pub(crate) struct Outbox {
    clock: Clock,
    waiting: Mutex<Waiting>,
    pub(crate) put: Notify,
    pub(crate) hurry: Notify,
    /// How many were written or left behind, since the start.
    pub(crate) n_done: watch::Sender<u64>,
    forgets: OnceAMinute,
}

#[derive(Debug, Default)]
struct Waiting {
    reports: VecDeque<Report>,
    /// Since the start.
    n_put: u64,
}

/// Reports of one account.
pub(crate) struct Batch {
    pub(crate) number: u64,
    pub(crate) reports: Vec<Report>,
}

impl Outbox {
    pub(crate) fn new(clock: Clock) -> Self {
        Self {
            clock,
            waiting: Mutex::default(),
            put: Notify::new(),
            hurry: Notify::new(),
            n_done: watch::Sender::default(),
            forgets: OnceAMinute::default(),
        }
    }

    fn waiting(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn put(&self, mut report: Report) {
        report.at_ms = self.clock.now_ms();
        // Somebody may wait for its end.
        let is_awaited = report.under_way.is_some();
        let mut waiting = self.waiting();
        waiting.n_put += 1;
        waiting.reports.push_back(report);
        if waiting.reports.len() > MOST {
            waiting.reports.pop_front();
            self.n_done.send_modify(|n_done| *n_done += 1);
            if self.forgets.now() {
                tracing::warn!(
                    "redis is away and {MOST} reports of outside calls wait for it: the oldest are forgotten"
                );
            }
        }
        drop(waiting);
        self.put.notify_one();
        if is_awaited {
            self.hurry.notify_one();
        }
    }

    /// Waits until all that was put so far is written, or a few seconds.
    pub(crate) async fn flush(&self) {
        let n_put = self.waiting().n_put;
        let mut n_done = self.n_done.subscribe();
        if *n_done.borrow() >= n_put {
            return;
        }
        self.hurry.notify_one();
        if timeout(FLUSH_WITHIN, n_done.wait_for(|n_done| *n_done >= n_put)).await.is_err() {
            tracing::warn!("redis did not take the last reports of outside calls within {} s", FLUSH_WITHIN.as_secs());
        }
    }

    /// Takes what waits, in batches of one account each; within an account the order stays.
    pub(crate) fn take(&self, last_number: &mut u64) -> VecDeque<Batch> {
        let reports = std::mem::take(&mut self.waiting().reports);
        let mut batches: VecDeque<Batch> = VecDeque::new();
        let mut open: HashMap<String, usize> = HashMap::new();
        for report in reports {
            match open.get(&report.account).and_then(|at| batches.get_mut(*at)) {
                Some(batch) if batch.reports.len() < BATCH => batch.reports.push(report),
                _ => {
                    *last_number += 1;
                    open.insert(report.account.clone(), batches.len());
                    batches.push_back(Batch { number: *last_number, reports: vec![report] });
                }
            }
        }
        batches
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::CallEnd;

    fn report(account: &str, n: u64) -> Report {
        Report {
            account: account.to_owned(),
            service: "ai".to_owned(),
            end: CallEnd::Answered,
            at_ms: 0,
            admitted_ms: n,
            probe: None,
            under_way: None,
            level: None,
            requests_back: 0,
            units_back: 0,
            pause_ms: 0,
            reason: String::new(),
        }
    }

    #[test]
    fn while_redis_is_away_the_oldest_reports_are_forgotten() {
        let outbox = Outbox::new(Clock::default());
        for n in 0..MOST as u64 + 5 {
            outbox.put(report("openai", n));
        }
        let waiting = outbox.waiting();
        assert_eq!((waiting.reports.len(), waiting.reports[0].admitted_ms), (MOST, 5));
        assert_eq!((waiting.n_put, *outbox.n_done.borrow()), (MOST as u64 + 5, 5), "nobody waits for the forgotten");
    }

    #[test]
    fn batches_are_of_one_account_bounded_and_in_order() {
        let outbox = Outbox::new(Clock::default());
        for n in 0..BATCH as u64 + 1 {
            outbox.put(report("openai", n));
            outbox.put(report("mistral", n));
        }
        let mut last_number = 7;
        let batches = outbox.take(&mut last_number);
        assert_eq!(batches.iter().map(|batch| batch.number).collect::<Vec<_>>(), [8, 9, 10, 11]);
        assert_eq!(batches.iter().map(|batch| batch.reports.len()).collect::<Vec<_>>(), [BATCH, BATCH, 1, 1]);
        for account in ["openai", "mistral"] {
            let reports = batches.iter().flat_map(|batch| &batch.reports).filter(|report| report.account == account);
            assert!(reports.map(|report| report.admitted_ms).eq(0..BATCH as u64 + 1));
        }
    }
}
