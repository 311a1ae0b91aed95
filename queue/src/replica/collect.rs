//! Writes settlements.

use std::sync::Arc;

use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::{
    common::{BACKOFF, Common},
    settle::Settlement,
};
use crate::{model::error::Error, scripts::MOST};

/// A collector that panics is started once more, so that its settlements are written while the process stops.
const COLLECTORS: usize = 2;

/// The settlements on their way to Redis. They outlive a panic of the task that writes them.
#[derive(Debug)]
pub(super) struct Collector {
    pub(super) receiver: mpsc::UnboundedReceiver<Settlement>,
    pub(super) batch: Vec<Settlement>,
}

impl Collector {
    pub(super) async fn watched(mut self, common: Arc<Common>, stop: CancellationToken) -> Self {
        let tasks = common.session.client().tasks();
        for _ in 0..COLLECTORS {
            if tasks.watch("collector", &stop, collect(&common, &mut self, &stop)).await {
                break;
            }
        }
        self
    }
}

/// Writes settlements: at once when idle, in batches under load, again and again while Redis is away.
async fn collect(common: &Common, collector: &mut Collector, stop: &CancellationToken) {
    let Collector { receiver, batch } = collector;
    let mut backoff = BACKOFF.0;
    // What a collector before this one has left.
    let mut failed: Option<Error> = common.session.settle(batch).await.err();
    let mut last = false;
    while !last {
        let n_before = batch.len();
        match &failed {
            None => tokio::select! {
                biased;
                n = receiver.recv_many(batch, MOST) => if n == 0 { return },
                () = stop.cancelled() => return,
            },
            // Nobody can be served while Redis is away.
            Some(Error::Unavailable(_)) => last = tokio::time::timeout(backoff, stop.cancelled()).await.is_ok(),
            // One queue's keys are damaged: the others' settlements do not wait for it.
            Some(_) => tokio::select! {
                _ = receiver.recv_many(batch, MOST) => {}
                () = tokio::time::sleep(backoff) => {}
                () = stop.cancelled() => last = true,
            },
        }
        count(&batch[n_before..]);
        let again = failed.is_some();
        match common.session.settle(batch).await {
            Ok(refused) => {
                // After an unknown outcome a refusal only says that the first call had been carried out.
                if refused > 0 && !again {
                    metrics::counter!("queue_settlements_refused_total").increment(refused as u64);
                    tracing::warn!(n_jobs = refused, "late settlements refused: another worker has the jobs");
                }
                backoff = BACKOFF.0;
                failed = None;
            }
            Err(error) => {
                if again {
                    backoff = (backoff * 2).min(BACKOFF.1);
                } else {
                    let queue = common.session.sealed_queue().await.unwrap_or_default();
                    let n_jobs = common.session.n_sealed().await + batch.len();
                    tracing::warn!(queue, %error, n_jobs, "cannot settle; kept and tried again");
                }
                failed = Some(error);
            }
        }
    }
}

fn count(batch: &[Settlement]) {
    let mut counts: Vec<((&str, &'static str), u64)> = Vec::new();
    for settlement in batch {
        let of = (settlement.queue(), settlement.state());
        match counts.iter_mut().find(|(counted, _)| *counted == of) {
            Some((_, n)) => *n += 1,
            None => counts.push((of, 1)),
        }
    }
    for ((queue, state), n) in counts {
        metrics::counter!("queue_attempts_total", "queue" => queue.to_owned(), "state" => state).increment(n);
    }
}
