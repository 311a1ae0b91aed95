//! What a replica does again and again: it renews leases, looks after queues, says that it lives, writes reports.

use std::{
    collections::HashMap,
    sync::Arc,
    time::{Duration, Instant},
};

use tokio::time::{MissedTickBehavior, interval};

use super::{
    common::{BACKOFF, Common},
    fetch::unhold,
    session::ms,
};

/// Upkeep looks at every queue at least so often.
const UPKEEP_AT_LEAST: Duration = Duration::from_secs(5);
/// Workers of an older release may put jobs aside at any time of a rolling upgrade.
const UNHOLD_EVERY: Duration = Duration::from_secs(60);
/// A replica says at least so often that it lives; one that has not for three times as long counts as gone.
const BEAT_AT_LEAST: Duration = Duration::from_secs(4);
/// The time between two writes of a job's reports.
const WRITE_EVERY: Duration = Duration::from_millis(250);
/// After Redis failed.
const AGAIN_AFTER: Duration = Duration::from_secs(2);

/// Renews leases, and stops what is cancelled or lost.
pub(super) async fn keep_leases(common: Arc<Common>) {
    let mut due = interval(common.session.timing().renewal);
    due.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            _ = due.tick() => {}
            () = common.cancels.notified() => {}
        }
        match common.session.renew().await {
            Ok(0) => {}
            Ok(n_lost) => {
                metrics::counter!("queue_leases_lost_total").increment(n_lost as u64);
                tracing::warn!(n_leases = n_lost, "leases lost; their handlers are stopped");
            }
            Err(error) => {
                tracing::debug!(%error, "cannot renew leases; trying again");
                // Sooner than at the next renewal, because a lease lasts only three of them.
                due.reset_after(BACKOFF.0 * 5);
            }
        }
    }
}

/// When upkeep of a queue may give the jobs of expired leases to others.
struct Grace {
    reclaim_from: Instant,
    last_answer: Option<Instant>,
    /// When jobs that an older release put aside were looked for.
    unheld: Instant,
}

/// Looks after the queues this replica serves, all together: when the next lease ends, and at least every few seconds.
pub(super) async fn keep_up(common: Arc<Common>) {
    let lease = common.session.timing().lease;
    // Shorter than what counts as a gap.
    let at_least = UPKEEP_AT_LEAST.min(lease / 3);
    // Leases count only while Redis answered: after a gap, as at the start, whoever holds one gets a whole lease to renew it. Each
    // queue by itself: damaged keys of one must not keep the jobs of another with the dead.
    let mut graces: HashMap<String, Grace> = HashMap::new();
    loop {
        let queues: Vec<(String, bool)> = common
            .queues()
            .into_iter()
            .map(|queue| {
                let new = || Grace { reclaim_from: Instant::now() + lease, last_answer: None, unheld: Instant::now() };
                let grace = graces.entry(queue.clone()).or_insert_with(new);
                if grace.last_answer.is_some_and(|at| at.elapsed() > lease / 2) {
                    grace.reclaim_from = Instant::now() + lease;
                }
                (queue, Instant::now() >= grace.reclaim_from)
            })
            .collect();
        // Keys of one queue that are damaged are no reason to wait for the locks of others.
        if let Some(until) = graces.values().map(|grace| grace.reclaim_from).min() {
            common.session.shared.locks.be_patient_until(until);
        }
        let mut wait = if queues.is_empty() { BACKOFF.0 } else { at_least };
        let asked = Instant::now();
        let reports = common.session.upkeep_of(&queues).await;
        for ((queue, _), report) in queues.iter().zip(reports) {
            let Some(grace) = graces.get_mut(queue) else { continue };
            match report {
                Ok(report) => {
                    grace.last_answer = Some(asked);
                    if report.held && grace.unheld.elapsed() > UNHOLD_EVERY {
                        grace.unheld = Instant::now();
                        unhold(&common, queue).await;
                    }
                    // The fetcher waits for due times that it knows; one of which it was not told is found before it comes.
                    let soon = common.now_ms() + ms(2 * at_least);
                    if report.work || report.next_due_ms.is_some_and(|due| due <= soon) {
                        common.waker.wake(queue);
                    }
                    if report.unrecorded {
                        common.session.client().has_unrecorded(queue);
                    }
                    if let Some(end) = report.next_lease_end_ms {
                        let ends_in = Duration::from_millis(end.saturating_sub(common.now_ms()) + 20);
                        wait = wait.min(ends_in.max(Duration::from_millis(200)));
                    }
                }
                Err(error) => {
                    tracing::debug!(queue, %error, "cannot look after the queue; trying again");
                    // A failed answer begins a gap, however short the server was away for us.
                    grace.reclaim_from = Instant::now() + lease;
                    wait = wait.min(BACKOFF.1);
                }
            }
            if grace.reclaim_from > Instant::now() {
                wait = wait.min((grace.reclaim_from - Instant::now()).max(Duration::from_millis(200)));
            }
        }
        tokio::time::sleep(wait).await;
    }
}

pub(super) async fn beat(common: Arc<Common>) {
    let mut due = interval(common.session.timing().renewal.min(BEAT_AT_LEAST));
    due.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            _ = due.tick() => {}
            () = common.queues_changed.notified() => {}
        }
        if let Err(error) = common.session.beat(&common.queues()).await {
            tracing::debug!(%error, "cannot say that this replica lives; trying again");
        }
    }
}

/// Writes what handlers report, each job's at most four times a second.
pub(super) async fn keep_reporting(common: Arc<Common>) {
    loop {
        common.session.shared.desk.put.notified().await;
        tokio::time::sleep(WRITE_EVERY).await;
        match common.session.report().await {
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
