//! Reports on their way to Redis: collected, and written in batches, each exactly once.

use std::{
    collections::{HashMap, VecDeque},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::{
    sync::{Notify, watch},
    time::{sleep, timeout},
};
use tokio_util::sync::CancellationToken;

use crate::{call::Report, error::Error, news::OnceAMinute, shared::Shared};

/// Reports that come within this time are written together.
const COLLECT: Duration = Duration::from_millis(100);
const TRY_AGAIN: Duration = Duration::from_millis(500);
/// Whoever waits for all to be written gives up after so long.
pub(crate) const FLUSH_WITHIN: Duration = Duration::from_secs(3);
/// The most reports that wait while Redis is away; the oldest leave first.
const MOST: usize = 10_000;
/// The most reports of one call.
const BATCH: usize = 200;

/// Reports that are to be written.
#[derive(Debug, Default)]
pub(crate) struct Outbox {
    waiting: Mutex<Waiting>,
    put: Notify,
    hurry: Notify,
    /// How many were written or left behind, since the start.
    n_done: watch::Sender<u64>,
    forgets: OnceAMinute,
    fails: OnceAMinute,
}

#[derive(Debug, Default)]
struct Waiting {
    reports: VecDeque<Report>,
    /// Since the start.
    n_put: u64,
}

/// Reports of one account.
struct Batch {
    number: u64,
    reports: Vec<Report>,
}

impl Outbox {
    fn waiting(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn put(&self, report: Report) {
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
    fn take(&self, last_number: &mut u64) -> VecDeque<Batch> {
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

/// Writes what is put into the outbox until `stop`, and then what is left, if Redis takes it.
pub(crate) async fn write(shared: Arc<Shared>, stop: CancellationToken) {
    let outbox = &shared.outbox;
    let (mut batches, mut last_number, mut known) = (VecDeque::new(), 0, HashMap::new());
    loop {
        if batches.is_empty() {
            tokio::select! {
                () = outbox.put.notified() => {}
                () = stop.cancelled() => {}
            }
            tokio::select! {
                () = sleep(COLLECT) => {}
                () = outbox.hurry.notified() => {}
                () = stop.cancelled() => {}
            }
            batches = outbox.take(&mut last_number);
        }
        // Asked before the last try, so that what is put until then is tried.
        let last_try = stop.is_cancelled();
        while let Some(batch) = batches.front() {
            if let Err(error) = write_batch(&shared, batch, &mut known).await {
                if outbox.fails.now() {
                    tracing::warn!(%error, "reports of outside calls cannot be written; trying again until redis takes them");
                }
                break;
            }
            outbox.n_done.send_modify(|n_done| *n_done += batch.reports.len() as u64);
            batches.pop_front();
        }
        if last_try {
            return;
        }
        if !batches.is_empty() {
            tokio::select! {
                () = sleep(TRY_AGAIN) => {}
                () = stop.cancelled() => {}
            }
        }
    }
}

/// `known` has the accounts that were lately said to be the service's.
async fn write_batch(shared: &Shared, batch: &Batch, known: &mut HashMap<(String, String), u64>) -> Result<(), Error> {
    let Some(Report { account, .. }) = batch.reports.first() else { return Ok(()) };
    let now_ms = shared.now_ms();
    for service in batch.reports.iter().map(|report| &report.service) {
        let pair = (service.clone(), account.clone());
        if known.get(&pair).is_none_or(|at_ms| now_ms.saturating_sub(*at_ms) > Shared::ACCOUNT_SAID_AGAIN_MS) {
            shared.add_account(service, account).await?;
            known.retain(|_, at_ms| now_ms.saturating_sub(*at_ms) <= Shared::ACCOUNT_SAID_AGAIN_MS);
            known.insert(pair, now_ms);
        }
    }
    shared.write(account, batch.number, &batch.reports).await
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::call::Outcome;

    fn report(account: &str, at_ms: u64) -> Report {
        Report {
            account: account.to_owned(),
            service: "ai".to_owned(),
            outcome: Outcome::Answered,
            at_ms,
            admitted_ms: 0,
            probe: None,
            requests_back: 0,
            tokens_back: 0,
            pause_ms: 0,
            reason: String::new(),
        }
    }

    #[test]
    fn while_redis_is_away_the_oldest_reports_are_forgotten() {
        let outbox = Outbox::default();
        for n in 0..MOST as u64 + 5 {
            outbox.put(report("openai", n));
        }
        let waiting = outbox.waiting();
        assert_eq!((waiting.reports.len(), waiting.reports[0].at_ms), (MOST, 5));
        assert_eq!((waiting.n_put, *outbox.n_done.borrow()), (MOST as u64 + 5, 5), "nobody waits for the forgotten");
    }

    #[test]
    fn batches_are_of_one_account_bounded_and_in_order() {
        let outbox = Outbox::default();
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
            assert!(reports.map(|report| report.at_ms).eq(0..BATCH as u64 + 1));
        }
    }
}
