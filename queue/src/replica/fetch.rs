//! Claims the jobs of one queue.

use std::time::{Duration, Instant};

use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::{
    claimed::Claimed,
    settle::Verdict,
    shared::{BACKOFF, Shared},
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
pub(super) async fn fetch(shared: &Shared, queue: &str, slots: &Slots, jobs: &mpsc::Sender<Claimed>) {
    let listener = loop {
        match shared.session.client().directory.of_queue(queue).await {
            Ok(partition) => break shared.waker.add(partition),
            Err(error) => {
                tracing::debug!(queue, %error, "waiting for redis");
                until(shared.stop.clone(), tokio::time::sleep(BACKOFF.1)).await;
            }
        }
        if shared.stopping() {
            return;
        }
    };
    unhold(shared, queue).await;
    let mut backoff = BACKOFF.0;
    while !shared.stopping() {
        let allowed = || shared.quiet().allows(queue, shared.session.n_held(), Instant::now());
        if !allowed() {
            Waker::ignore(&listener);
            let passed_on = shared.session.wake_another(&listener.partition).await;
            if let Err(error) = passed_on {
                tracing::debug!(queue, %error, "could not leave work to other replicas; they look by themselves");
            }
            while !allowed() && !shared.stopping() {
                tokio::time::sleep(LOOK_AGAIN).await;
            }
            continue;
        }
        let n_held = shared.session.n_held();
        let want = slots.free();
        if want == 0 {
            Waker::ignore(&listener);
            until(shared.stop.clone(), slots.freed.notified()).await;
            continue;
        }
        match shared.session.claim(queue, want).await {
            Err(error) => {
                if backoff == BACKOFF.0 {
                    tracing::warn!(queue, %error, "cannot claim; trying again");
                }
                until(shared.stop.clone(), tokio::time::sleep(backoff)).await;
                backoff = (backoff * 2).min(BACKOFF.1);
            }
            Ok(report) => {
                backoff = BACKOFF.0;
                shared.quiet().end(queue, n_held);
                if report.suspects_wait {
                    shared.quiet().ask(queue, Instant::now());
                }
                if report.busy {
                    Waker::ignore(&listener);
                    while shared.session.runs_a_suspect() && !shared.stopping() {
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
                        shared.settle(&job, Verdict::HandedBack { started: false }, job.claimed_ms());
                        slots.give_back();
                    }
                }
                // Left and yet none got: what was taken from the lists had been cancelled, or is put aside.
                if !report.left {
                    until(shared.stop.clone(), rest(shared, &listener, report.next_due_ms)).await;
                }
            }
        }
    }
}

pub(super) async fn unhold(shared: &Shared, queue: &str) {
    if let Err(error) = shared.session.unhold(queue).await {
        tracing::debug!(queue, %error, "could not look for jobs put aside");
    }
}

/// Waits until work arrives or is due.
async fn rest(shared: &Shared, listener: &Listener, next_due_ms: Option<u64>) {
    shared.waker.listen(listener, &shared.session).await;
    let due = async {
        match next_due_ms {
            Some(at) => tokio::time::sleep(Duration::from_millis(at.saturating_sub(shared.now_ms()).max(1))).await,
            None => std::future::pending().await,
        }
    };
    tokio::select! {
        () = listener.wake.notified() => {}
        () = due => {}
    }
}
