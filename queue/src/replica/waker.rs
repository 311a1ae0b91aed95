//! Waits in Redis until work arrives, for all queues of a replica with one blocking call.
//!
//! A push leaves one token in the wake list of its partition; the blocked call that takes it has a fetcher claim. Only queues
//! with free slots are listened to, so that a full replica takes no token that an idle one could use. When a queue gets free
//! slots while the blocked call does not cover it, a message to the replica's own control list ends that call.

use std::{
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use redis::aio::MultiplexedConnection;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use super::session::Session;
use crate::{keys::Partition, model::error::Error, scripts::tell::tell};

/// The blocked call ends after so long even if nothing comes, so that a dead connection is noticed.
const BLOCK_S: u32 = 5;
const RECONNECT: Duration = Duration::from_millis(300);

/// A queue that can be woken.
#[derive(Debug)]
pub(crate) struct Listener {
    pub(crate) partition: Arc<Partition>,
    pub(crate) wake: Notify,
    listening: AtomicBool,
    covered: AtomicBool,
}

/// The wake lists of one replica.
#[derive(Debug, Default)]
pub(crate) struct Waker {
    listeners: Mutex<Vec<Arc<Listener>>>,
}

impl Waker {
    pub(crate) fn add(&self, partition: Arc<Partition>) -> Arc<Listener> {
        let listener = Arc::new(Listener {
            partition,
            wake: Notify::new(),
            listening: AtomicBool::new(false),
            covered: AtomicBool::new(false),
        });
        self.all().push(listener.clone());
        listener
    }

    /// Has `listener` woken from now on when work arrives.
    pub(crate) async fn listen(&self, listener: &Listener, session: &Session) {
        listener.listening.store(true, Ordering::SeqCst);
        if !listener.covered.load(Ordering::SeqCst) {
            let key = session.control_key();
            // When Redis is away, the blocked call ends by itself and starts again with the right lists.
            let _ = tell(&session.client().redis.connection(), &key, "listen").await;
        }
    }

    /// A full queue takes no tokens.
    pub(crate) fn ignore(listener: &Listener) {
        listener.listening.store(false, Ordering::SeqCst);
    }

    pub(crate) fn wake(&self, queue: &str) {
        for listener in self.all().iter().filter(|listener| listener.partition.queue == queue) {
            listener.wake.notify_one();
        }
    }

    fn wake_all(&self) {
        for listener in &*self.all() {
            listener.wake.notify_one();
        }
    }

    /// Blocks in Redis again and again until `stop`. `cancels` is woken when a running job shall stop.
    pub(crate) async fn run(&self, session: &Session, cancels: &Notify, stop: &CancellationToken) {
        while !stop.is_cancelled() {
            let listened = tokio::select! {
                () = stop.cancelled() => return,
                listened = self.listen_while_connected(session, cancels) => listened,
            };
            if let Err(error) = listened {
                tracing::debug!(%error, "the blocking connection is lost");
            }
            for listener in &*self.all() {
                listener.covered.store(false, Ordering::SeqCst);
            }
            tokio::time::sleep(RECONNECT).await;
        }
    }

    async fn listen_while_connected(&self, session: &Session, cancels: &Notify) -> Result<(), Error> {
        let mut connection = session.client().redis.blocking().await?;
        // What came while nobody listened is found by looking.
        self.wake_all();
        cancels.notify_one();
        let control = session.control_key();
        loop {
            let Some((key, message)) = self.block(&mut connection, &control).await? else { continue };
            if key == control {
                if message == "cancel" {
                    cancels.notify_one();
                }
                continue;
            }
            let listener = self.all().iter().find(|listener| listener.partition.key("wake") == key).cloned();
            let Some(listener) = listener else { continue };
            if listener.listening.load(Ordering::SeqCst) {
                listener.wake.notify_one();
            } else {
                // It became full while the call was blocked: the token is for somebody else.
                session.wake_another(&listener.partition).await?;
            }
        }
    }

    async fn block(
        &self,
        connection: &mut MultiplexedConnection,
        control: &str,
    ) -> Result<Option<(String, String)>, redis::RedisError> {
        let mut command = redis::cmd("BLPOP");
        command.arg(control);
        for listener in &*self.all() {
            let listening = listener.listening.load(Ordering::SeqCst);
            listener.covered.store(listening, Ordering::SeqCst);
            if listening {
                command.arg(listener.partition.key("wake"));
            }
        }
        command.arg(BLOCK_S);
        // A server that stands still does not close connections.
        match tokio::time::timeout(Duration::from_secs(u64::from(BLOCK_S) + 3), command.query_async(connection)).await {
            Ok(reply) => reply,
            Err(_) => Err(redis::RedisError::from((redis::ErrorKind::Io, "the blocking call is overdue"))),
        }
    }

    fn all(&self) -> std::sync::MutexGuard<'_, Vec<Arc<Listener>>> {
        self.listeners.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
