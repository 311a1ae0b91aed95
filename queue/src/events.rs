//! Tells waiting callers that something has happened to a watched job. One connection a client, opened when somebody first waits.

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use futures::StreamExt;
use tokio::sync::{Notify, watch};

use crate::{keys, message::JobId};

const RECONNECT: Duration = Duration::from_millis(500);

/// Listens to the channels of all partitions.
#[derive(Debug)]
pub(crate) struct Events {
    redis: fleet::Redis,
    waiting: Mutex<HashMap<JobId, (Arc<Notify>, usize)>>,
    started: AtomicBool,
    listening: watch::Sender<bool>,
}

/// Somebody who waits for a job; dropping it ends the waiting.
pub(crate) struct Waiting {
    events: Arc<Events>,
    id: JobId,
    notify: Arc<Notify>,
}

impl Events {
    pub(crate) fn new(redis: &fleet::Redis) -> Arc<Self> {
        Arc::new(Self {
            redis: redis.clone(),
            waiting: Mutex::default(),
            started: AtomicBool::new(false),
            listening: watch::Sender::new(false),
        })
    }

    /// Registers for a job. Whoever does must then look at the job before waiting, because what came before is not told.
    pub(crate) async fn register(self: &Arc<Self>, id: JobId) -> Waiting {
        let notify = {
            let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
            let (notify, n) = waiting.entry(id).or_default();
            *n += 1;
            notify.clone()
        };
        if !self.started.swap(true, Ordering::Relaxed) {
            tokio::spawn(self.clone().listen());
        }
        // Not being connected only delays the answer: every reconnection wakes all.
        let _ = tokio::time::timeout(Duration::from_secs(1), self.listening.subscribe().wait_for(|on| *on)).await;
        Waiting { events: self.clone(), id, notify }
    }

    async fn listen(self: Arc<Self>) {
        loop {
            let ended = self.listen_once().await;
            // Told once an outage, not at each try.
            if self.listening.send_replace(false) {
                tracing::warn!(error = ?ended.err(), "the event connection is lost; trying again until it is back");
            }
            tokio::time::sleep(RECONNECT).await;
        }
    }

    async fn listen_once(&self) -> Result<(), redis::RedisError> {
        let mut pubsub = self.redis.pubsub().await?;
        pubsub.psubscribe(keys::all_events(self.redis.prefix())).await?;
        self.listening.send_replace(true);
        self.wake_all();
        let mut messages = pubsub.on_message();
        while let Some(message) = messages.next().await {
            if let Some(id) = message.get_payload_bytes().get(..16).and_then(JobId::from_slice) {
                self.wake(id);
            }
        }
        Ok(())
    }

    fn wake(&self, id: JobId) {
        let waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((notify, _)) = waiting.get(&id) {
            notify.notify_waiters();
        }
    }

    fn wake_all(&self) {
        let waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        for (notify, _) in waiting.values() {
            notify.notify_waiters();
        }
    }
}

impl Waiting {
    /// Completes at the next event of the job after this call.
    pub(crate) fn changed(&self) -> tokio::sync::futures::Notified<'_> {
        self.notify.notified()
    }

    /// The same, to be kept.
    pub(crate) fn changed_owned(&self) -> tokio::sync::futures::OwnedNotified {
        self.notify.clone().notified_owned()
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        let mut waiting = self.events.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, n)) = waiting.get_mut(&self.id) {
            *n -= 1;
            if *n == 0 {
                waiting.remove(&self.id);
            }
        }
    }
}
