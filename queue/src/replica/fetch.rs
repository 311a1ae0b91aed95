//! Claims the jobs of one queue.

use std::time::{Duration, Instant};

use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::{
    claimed::Claimed,
    common::{BACKOFF, Common},
    settle::Verdict,
    slots::Slots,
    waker::{Listener, Waker},
};

/// How often a fetcher that may not claim looks whether it may again.
const LOOK_AGAIN: Duration = Duration::from_millis(20);

/// Runs `work` until `stop`.
async fn until(stop: CancellationToken, work: impl Future<Output = ()>) {
    let _ = stop.run_until_cancelled(work).await;
}

/// Claims jobs of one queue whenever there is room and work.
pub(super) async fn fetch(common: &Common, queue: &str, slots: &Slots, jobs: &mpsc::Sender<Claimed>) {
    let listener = loop {
        match common.session.client().directory.of_queue(queue).await {
            Ok(partition) => break common.waker.add(partition),
            Err(error) => {
                tracing::debug!(queue, %error, "waiting for redis");
                until(common.stop.clone(), tokio::time::sleep(BACKOFF.1)).await;
            }
        }
        if common.stopping() {
            return;
        }
    };
    unhold(common, queue).await;
    let mut backoff = BACKOFF.0;
    while !common.stopping() {
        let allowed = || common.quiet().allows(queue, common.session.n_held(), Instant::now());
        if !allowed() {
            Waker::ignore(&listener);
            let passed_on = common.session.wake_another(&listener.partition).await;
            if let Err(error) = passed_on {
                tracing::debug!(queue, %error, "could not leave work to other replicas; they look by themselves");
            }
            while !allowed() && !common.stopping() {
                tokio::time::sleep(LOOK_AGAIN).await;
            }
            continue;
        }
        let n_held = common.session.n_held();
        let want = slots.free();
        if want == 0 {
            Waker::ignore(&listener);
            until(common.stop.clone(), slots.freed.notified()).await;
            continue;
        }
        match common.session.claim(queue, want).await {
            Err(error) => {
                if backoff == BACKOFF.0 {
                    tracing::warn!(queue, %error, "cannot claim; trying again");
                }
                until(common.stop.clone(), tokio::time::sleep(backoff)).await;
                backoff = (backoff * 2).min(BACKOFF.1);
            }
            Ok(report) => {
                backoff = BACKOFF.0;
                common.quiet().end(queue, n_held);
                if report.suspects_wait {
                    common.quiet().ask(queue, Instant::now());
                }
                if report.busy {
                    Waker::ignore(&listener);
                    while common.session.runs_a_suspect() && !common.stopping() {
                        tokio::time::sleep(LOOK_AGAIN).await;
                    }
                    continue;
                }
                let got = report.jobs.len();
                slots.take(got);
                for job in report.jobs {
                    // The receiver closes only when the replica stops, and then hands back what is in the channel.
                    if let Err(unsent) = jobs.send(job).await {
                        let job = unsent.0;
                        common.settle(&job, Verdict::HandedBack { started: false }, job.claimed_ms());
                        slots.give_back();
                    }
                }
                // Left and yet none got: what was taken from the lists had been cancelled, or is put aside.
                if !report.left {
                    until(common.stop.clone(), rest(common, &listener, report.next_due_ms)).await;
                }
            }
        }
    }
}

pub(super) async fn unhold(common: &Common, queue: &str) {
    if let Err(error) = common.session.unhold(queue).await {
        tracing::debug!(queue, %error, "could not look for jobs put aside");
    }
}

/// Waits until work arrives or is due.
async fn rest(common: &Common, listener: &Listener, next_due_ms: Option<u64>) {
    common.waker.listen(listener, &common.session).await;
    let due = async {
        match next_due_ms {
            Some(at) => tokio::time::sleep(Duration::from_millis(at.saturating_sub(common.now_ms()).max(1))).await,
            None => std::future::pending().await,
        }
    };
    tokio::select! {
        () = listener.wake.notified() => {}
        () = due => {}
    }
}
