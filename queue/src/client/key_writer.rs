//! Puts changes of idempotency keys that come at the same time into one call: while one is under way, those that come meanwhile wait for
//! the next. All these keys are of one slot.

use std::sync::{Arc, OnceLock};

use tokio::sync::{mpsc, oneshot};
use tokio_util::sync::CancellationToken;

use crate::{
    model::error::Error,
    scripts::unique::{Change, change},
};

/// So many changes go into one call.
const MOST: usize = 100;

/// Changes of keys from all clones of a client.
#[derive(Debug)]
pub(crate) struct KeyWriter {
    redis: fleet::Redis,
    requests: OnceLock<mpsc::UnboundedSender<Request>>,
    /// Cancelled with the last client.
    stop: CancellationToken,
}

impl Drop for KeyWriter {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

/// One change, and who waits for what becomes of it.
#[derive(Debug)]
struct Request {
    key: String,
    seen: String,
    new: String,
    ttl_ms: Option<u64>,
    answer: oneshot::Sender<Result<Option<String>, Error>>,
}

impl Request {
    fn change(&self) -> Change<'_> {
        Change { key: &self.key, seen: &self.seen, new: &self.new, ttl_ms: self.ttl_ms }
    }
}

impl KeyWriter {
    pub(crate) fn new(redis: &fleet::Redis) -> Arc<Self> {
        Arc::new(Self { redis: redis.clone(), requests: OnceLock::new(), stop: CancellationToken::new() })
    }

    /// As [`Change::call`]. Once begun, the change is made even if nobody waits for the answer any more.
    pub(crate) async fn change(&self, change: Change<'_>) -> Result<Option<String>, Error> {
        let (answer, answered) = oneshot::channel();
        let requests = self.requests.get_or_init(|| {
            let (sender, receiver) = mpsc::unbounded_channel();
            self.redis.tasks().spawn("key writer", &self.stop, run(self.redis.clone(), receiver));
            sender
        });
        let ended = || Error::Unavailable("the task that writes keys has ended".to_owned());
        let Change { key, seen, new, ttl_ms } = change;
        let [key, seen, new] = [key, seen, new].map(str::to_owned);
        requests.send(Request { key, seen, new, ttl_ms, answer }).map_err(|_| ended())?;
        answered.await.map_err(|_| ended())?
    }
}

/// Ends with the last client.
async fn run(redis: fleet::Redis, mut requests: mpsc::UnboundedReceiver<Request>) {
    let mut batch = Vec::new();
    while requests.recv_many(&mut batch, MOST).await > 0 {
        let changes: Vec<Change<'_>> = batch.iter().map(Request::change).collect();
        let mut changed = match change(&redis.connection(), &changes[0], &changes[1..]).await {
            Ok(changed) => changed.into_iter(),
            Err(error) => vec![Err(error); batch.len()].into_iter(),
        };
        for request in batch.drain(..) {
            let missing = || Err(Error::Redis("the script unique did not answer for each key".to_owned()));
            // Nobody may wait for it any more.
            let _ = request.answer.send(changed.next().unwrap_or_else(missing));
        }
    }
}
