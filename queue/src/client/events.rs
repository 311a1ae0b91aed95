//! Tells waiting callers that something has happened to a watched job. One connection a client, opened when somebody first waits.

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use tokio::sync::{Notify, watch};
use tokio_util::sync::CancellationToken;

use crate::{keys, model::id::JobId};

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
        // Before anything is waited for: whoever leaves meanwhile takes its entry along.
        let waiting = Waiting { events: self.clone(), id, notify };
        if !self.started.swap(true, Ordering::Relaxed) {
            // It listens as long as the process lives.
            self.redis.tasks().spawn("events", &CancellationToken::new(), self.clone().listen());
        }
        // Not being connected only delays the answer: every reconnection wakes all.
        let _ = tokio::time::timeout(Duration::from_secs(1), self.listening.subscribe().wait_for(|on| *on)).await;
        waiting
    }

    async fn listen(self: Arc<Self>) {
        loop {
            let Err(error) = self.listen_once().await;
            // Told once an outage, not at each try.
            if self.listening.send_replace(false) {
                tracing::warn!(%error, "the event connection is lost; trying again until it is back");
            }
            tokio::time::sleep(RECONNECT).await;
        }
    }

    /// Ends only with an error.
    async fn listen_once(&self) -> Result<std::convert::Infallible, redis::RedisError> {
        let mut messages = self.redis.listen(&keys::all_events(self.redis.prefix())).await?;
        self.listening.send_replace(true);
        self.wake_all();
        loop {
            let message = messages.next().await?;
            if let Some(id) = message.get_payload_bytes().get(..16).and_then(JobId::from_slice) {
                self.wake(id);
            }
        }
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

#[cfg(test)]
mod tests {
    use futures::FutureExt;

    use super::*;

    #[tokio::test]
    async fn who_leaves_while_the_connection_is_down_leaves_nothing_behind() {
        let redis = fleet::Redis::open("redis://127.0.0.1:1", "test").unwrap();
        let events = Events::new(&redis);
        // Begun, and given up.
        assert!(events.register(JobId::new(1, 1)).now_or_never().is_none(), "it waits for the connection");
        assert!(events.waiting.lock().unwrap().is_empty());
    }
}
