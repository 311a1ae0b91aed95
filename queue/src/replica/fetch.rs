//! Claims the jobs of one queue.

use std::time::{Duration, Instant};

use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::{
    claim::Taken,
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

/// Claims jobs of one queue whenever there is room and work. While the jobs of one claim are read, the next one is made already: so the
/// server has something to do all the time, and jobs come in the order of their claims all the same.
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
    let (sender, receiver) = mpsc::channel(1);
    let claiming = claim(common, queue, slots, &listener, sender);
    tokio::join!(claiming, read(common, queue, slots, &listener, receiver, jobs));
}

/// The first half of each claim.
async fn claim<'a>(
    common: &'a Common,
    queue: &str,
    slots: &Slots,
    listener: &Listener,
    claims: mpsc::Sender<Taken<'a>>,
) {
    let mut backoff = BACKOFF.0;
    while !common.stopping() {
        let allowed = || common.quiet().allows(queue, common.session.n_held(), Instant::now());
        if !allowed() {
            Waker::ignore(listener);
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
            Waker::ignore(listener);
            until(common.stop.clone(), slots.freed.notified()).await;
            continue;
        }
        match common.session.take(queue, want).await {
            Err(error) => {
                if backoff == BACKOFF.0 {
                    tracing::warn!(queue, %error, "cannot claim; trying again");
                }
                until(common.stop.clone(), tokio::time::sleep(backoff)).await;
                backoff = (backoff * 2).min(BACKOFF.1);
            }
            Ok(None) => {
                backoff = BACKOFF.0;
                common.quiet().end(queue, n_held);
                Waker::ignore(listener);
                while common.session.runs_a_suspect() && !common.stopping() {
                    tokio::time::sleep(LOOK_AGAIN).await;
                }
            }
            Ok(Some(taken)) => {
                backoff = BACKOFF.0;
                common.quiet().end(queue, n_held);
                if taken.suspects_wait() {
                    common.quiet().ask(queue, Instant::now());
                }
                let (left, next_due_ms) = (taken.left(), taken.next_due_ms());
                slots.take(taken.len());
                // The other half ends after this one.
                if taken.len() > 0 && claims.send(taken).await.is_err() {
                    return;
                }
                // Left and yet none got: what was taken from the lists had been cancelled, or is put aside.
                if !left {
                    until(common.stop.clone(), rest(common, listener, next_due_ms)).await;
                }
            }
        }
    }
}

/// The second half of each claim.
async fn read(
    common: &Common,
    queue: &str,
    slots: &Slots,
    listener: &Listener,
    mut claims: mpsc::Receiver<Taken<'_>>,
    jobs: &mpsc::Sender<Claimed>,
) {
    let mut backoff = BACKOFF.0;
    while let Some(taken) = claims.recv().await {
        let n = taken.len();
        match common.session.read(taken).await {
            Ok(claimed) => {
                backoff = BACKOFF.0;
                slots.give_back_some(n - claimed.len());
                for job in claimed {
                    // The receiver closes only when the replica stops, and then hands back what is in the channel.
                    if let Err(unsent) = jobs.send(job).await {
                        let job = unsent.0;
                        common.settle(&job, Verdict::HandedBack { started: false }, job.claimed_ms());
                        slots.give_back();
                    }
                }
            }
            Err(error) => {
                if backoff == BACKOFF.0 {
                    tracing::warn!(queue, %error, "cannot claim; trying again");
                }
                until(common.stop.clone(), tokio::time::sleep(backoff)).await;
                backoff = (backoff * 2).min(BACKOFF.1);
                slots.give_back_some(n);
                // The next claim gives these jobs back, and may have them.
                listener.wake.notify_one();
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
