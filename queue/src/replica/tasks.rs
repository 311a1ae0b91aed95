//! A worker process's side of the queue: the background tasks around a [`Session`].
//!
//! One task a queue claims. For all queues, one collects and writes settlements, one renews leases, one blocks in Redis until work
//! arrives, one does upkeep, one writes what handlers report, one says that the replica lives. No Redis call is made per job under load.

use std::{
    collections::HashSet,
    sync::{Arc, PoisonError, atomic::Ordering},
    time::{Duration, Instant},
};

use tokio::{sync::mpsc, task::JoinHandle};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use super::{
    backend::RedisBackend,
    collect::Collector,
    common::Common,
    fetch::fetch,
    keepers::{beat, keep_leases, keep_reporting, keep_up},
    session::{Session, Timing},
    slots::Slots,
};
use crate::{client::Client, model::id::JobId};

/// Settlements are still written for so long after everything has stopped.
const FLUSH: Duration = Duration::from_secs(5);

/// A worker process's side of the queue.
#[derive(Debug)]
pub struct Replica {
    common: Arc<Common>,
    /// End when [`Common::stop`] says so.
    claimers: TaskTracker,
    /// Go on until everything is settled.
    keepers: TaskTracker,
    stop_keepers: CancellationToken,
    /// Ends after the keepers were stopped, with the settlements that it could not write.
    collector: Option<JoinHandle<Collector>>,
    slots: Vec<(String, Arc<Slots>)>,
}

impl Drop for Replica {
    fn drop(&mut self) {
        self.common.stop.cancel();
        self.stop_keepers.cancel();
    }
}

impl Replica {
    /// Starts the background tasks. Does not wait for Redis.
    #[must_use]
    pub fn start(client: Client, host: &str, timing: Timing) -> Self {
        let (sender, receiver) = mpsc::unbounded_channel();
        let session = Session::new(client, host, std::process::id(), timing);
        let common = Arc::new(Common::new(session, sender));
        let tasks = common.session.client().tasks();
        let (stop_keepers, keepers) = (CancellationToken::new(), TaskTracker::new());
        tasks.spawn_until("lease keeper", &stop_keepers, keepers.track_future(keep_leases(common.clone())));
        tasks.spawn_until("upkeep", &stop_keepers, keepers.track_future(keep_up(common.clone())));
        tasks.spawn_until("heartbeat", &stop_keepers, keepers.track_future(beat(common.clone())));
        let reporting = keep_reporting(common.clone());
        tasks.spawn_until("reporter", &stop_keepers, keepers.track_future(reporting));
        let (waiting, claimers) = (common.clone(), TaskTracker::new());
        let waiting = async move { waiting.waker.run(&waiting.session, &waiting.cancels, &waiting.stop).await };
        tasks.spawn("waker", &common.stop, claimers.track_future(waiting));
        let collector = Collector { receiver, batch: Vec::new() };
        let collector = Some(tokio::spawn(collector.watched(common.clone(), stop_keepers.clone())));
        Self { common, claimers, keepers, stop_keepers, collector, slots: Vec::new() }
    }

    /// The jobs of `queue` for an apalis worker, `concurrency` at a time.
    pub fn backend(&mut self, queue: &str, concurrency: usize) -> RedisBackend {
        let slots = Arc::new(Slots::new(queue, concurrency));
        let (sender, jobs) = mpsc::channel(4096);
        self.common.queues.lock().unwrap_or_else(PoisonError::into_inner).push(queue.to_owned());
        self.common.queues_changed.notify_one();
        let (common, fetching, queue) = (self.common.clone(), slots.clone(), queue.to_owned());
        self.slots.push((queue.clone(), slots.clone()));
        let name = format!("fetcher of {queue}");
        let fetching = async move { fetch(&common, &queue, &fetching, &sender).await };
        let tasks = self.common.session.client().tasks();
        tasks.spawn(&name, &self.common.stop, self.claimers.track_future(fetching));
        RedisBackend::new(jobs, self.common.clone(), slots)
    }

    /// Host and process, as in [`crate::AttemptView::worker`].
    #[must_use]
    pub fn worker(&self) -> &str {
        self.common.session.worker()
    }

    /// How many jobs this replica holds.
    #[must_use]
    pub fn n_held(&self) -> usize {
        self.common.session.n_held()
    }

    /// Stops claiming and hands back what was not begun; handlers that run go on.
    pub fn stop(&self) {
        self.common.stop.cancel();
    }

    /// Aborts what still runs and hands it back.
    pub fn hand_back(&self) {
        self.common.handing_back.store(true, Ordering::SeqCst);
        self.common.session.stop_all();
    }

    /// Writes what is left to write, for a few seconds at most, hands back what is still held, and ends the background tasks. The
    /// apalis workers must have ended before.
    pub async fn close(mut self) {
        self.stop();
        // Not aborted: a claim whose answer is dropped would wait for its lease to end.
        self.claimers.close();
        self.claimers.wait().await;
        let deadline = Instant::now() + FLUSH;
        while self.common.session.n_held() > 0 && Instant::now() < deadline {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        self.stop_keepers.cancel();
        if let Some(collector) = self.collector.take()
            && let Ok(Ok(mut collector)) = tokio::time::timeout(FLUSH, collector).await
            && self.common.session.n_held() > 0
        {
            let mut ended: HashSet<JobId> = self.common.session.sealed_jobs().await.into_iter().collect();
            while let Ok(settlement) = collector.receiver.try_recv() {
                collector.batch.push(settlement);
            }
            ended.extend(collector.batch.iter().map(|settlement| settlement.job().0));
            let is_idle = |queue: &str| self.slots.iter().all(|(name, slots)| name != queue || slots.are_idle());
            if let Err(error) = self.common.session.give_back_held(&ended, is_idle).await {
                tracing::debug!(%error, "could not hand back the last jobs");
            }
        }
        self.keepers.close();
        self.keepers.wait().await;
        // Others need not wait for the ends of their leases.
        let _ = tokio::time::timeout(FLUSH, self.common.session.locks_at_rest()).await;
        if let Err(error) = self.common.session.leave().await {
            tracing::debug!(%error, "could not sign off; the replica is forgotten when it no longer beats");
        }
        let left = self.common.session.n_held();
        if left > 0 {
            tracing::warn!(n_jobs = left, "jobs could not be handed back; they run again when their leases end");
        }
    }
}
