//! Puts pushes that come at the same time into one call: while one is under way, those that come meanwhile wait for the next.

use std::sync::{Arc, OnceLock};

use fleet::Clock;
use tokio::sync::{mpsc, oneshot};

use crate::{
    error::Error,
    keys::Partition,
    scripts::{self, Push},
};

/// Calls of single pushes from all clones of a client.
#[derive(Debug)]
pub(crate) struct Pusher {
    redis: fleet::Redis,
    clock: Clock,
    requests: OnceLock<mpsc::UnboundedSender<Request>>,
}

/// One push, and who waits for its answer.
#[derive(Debug)]
struct Request {
    partition: Arc<Partition>,
    push: Push,
    answer: oneshot::Sender<Result<(), Error>>,
}

impl Pusher {
    pub(crate) fn new(redis: &fleet::Redis, clock: &Clock) -> Arc<Self> {
        Arc::new(Self { redis: redis.clone(), clock: clock.clone(), requests: OnceLock::new() })
    }

    /// Pushes one job. Once begun, it is pushed even if nobody waits for the answer any more.
    pub(crate) async fn push(&self, partition: Arc<Partition>, push: Push) -> Result<(), Error> {
        let (answer, answered) = oneshot::channel();
        let requests = self.requests.get_or_init(|| {
            let (sender, receiver) = mpsc::unbounded_channel();
            tokio::spawn(run(self.redis.clone(), self.clock.clone(), receiver));
            sender
        });
        let ended = || Error::Unavailable("the runtime that pushed has ended".to_owned());
        requests.send(Request { partition, push, answer }).map_err(|_| ended())?;
        answered.await.map_err(|_| ended())?
    }
}

/// Ends with the last client.
async fn run(redis: fleet::Redis, clock: Clock, mut requests: mpsc::UnboundedReceiver<Request>) {
    let mut batch = Vec::new();
    while requests.recv_many(&mut batch, scripts::MOST).await > 0 {
        while let Some(first) = batch.first() {
            let partition = first.partition.clone();
            let (pushes, answers): (Vec<Push>, Vec<_>) = batch
                .extract_if(.., |request| request.partition == partition)
                .map(|request| (request.push, request.answer))
                .unzip();
            let pushed = scripts::push(&redis.connection(), &partition, clock.now_ms(), &pushes).await;
            for answer in answers {
                // Nobody may wait for it any more.
                let _ = answer.send(pushed.clone());
            }
        }
    }
}
