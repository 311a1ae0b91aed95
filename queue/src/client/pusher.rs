//! Puts pushes that come at the same time into one call: while one is under way, those that come meanwhile wait for the next.

use std::sync::{Arc, OnceLock};

use fleet::Clock;
use tokio::sync::{mpsc, oneshot};
use tokio_util::sync::CancellationToken;

use crate::{
    keys::Partition,
    model::{error::Error, retention::Retention},
    scripts::{
        self,
        push::{Push, push},
        push_absent::{Absent, push_absent},
    },
};

/// Calls of single pushes from all clones of a client.
#[derive(Debug)]
pub(crate) struct Pusher {
    redis: fleet::Redis,
    clock: Clock,
    retention: Retention,
    requests: OnceLock<mpsc::UnboundedSender<Request>>,
    /// Cancelled with the last client.
    stop: CancellationToken,
}

impl Drop for Pusher {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

/// One push, and who waits for its answer.
#[derive(Debug)]
struct Request {
    partition: Arc<Partition>,
    push: Push,
    /// `None`: the id was made for this push, so nobody else can push it. Otherwise the bid under which it is pushed, or nothing.
    given: Option<String>,
    answer: oneshot::Sender<Result<Absent, Error>>,
}

impl Pusher {
    pub(crate) fn new(redis: &fleet::Redis, clock: &Clock, retention: Retention) -> Arc<Self> {
        let stop = CancellationToken::new();
        Arc::new(Self { redis: redis.clone(), clock: clock.clone(), retention, requests: OnceLock::new(), stop })
    }

    /// Pushes one job, whose id was made for it. Once begun, it is pushed even if nobody waits for the answer any more.
    pub(crate) async fn push(&self, partition: Arc<Partition>, push: Push) -> Result<(), Error> {
        self.ask(partition, push, None).await.map(drop)
    }

    /// Pushes one job under an id that others may push, too; under this bid for a unique key, if there is one (empty: none).
    pub(crate) async fn push_absent(
        &self,
        partition: Arc<Partition>,
        push: Push,
        bid: String,
    ) -> Result<Absent, Error> {
        self.ask(partition, push, Some(bid)).await
    }

    async fn ask(&self, partition: Arc<Partition>, push: Push, given: Option<String>) -> Result<Absent, Error> {
        let (answer, answered) = oneshot::channel();
        let requests = self.requests.get_or_init(|| {
            let (sender, receiver) = mpsc::unbounded_channel();
            let pushing = run(self.redis.clone(), self.clock.clone(), self.retention, receiver);
            self.redis.tasks().spawn("pusher", &self.stop, pushing);
            sender
        });
        let ended = || Error::Unavailable("the task that pushes has ended".to_owned());
        requests.send(Request { partition, push, given, answer }).map_err(|_| ended())?;
        answered.await.map_err(|_| ended())?
    }
}

/// Ends with the last client.
async fn run(redis: fleet::Redis, clock: Clock, retention: Retention, mut requests: mpsc::UnboundedReceiver<Request>) {
    let mut batch = Vec::new();
    while requests.recv_many(&mut batch, scripts::MOST).await > 0 {
        // Whoever else is about to push goes first, and its job into the same call. With nothing else to do this takes no time.
        tokio::task::yield_now().await;
        while batch.len() < scripts::MOST
            && let Ok(request) = requests.try_recv()
        {
            batch.push(request);
        }
        while let Some(first) = batch.first() {
            let (partition, is_given) = (first.partition.clone(), first.given.is_some());
            let (jobs, answers): (Vec<(Push, String)>, Vec<_>) = batch
                .extract_if(.., |request| request.partition == partition && request.given.is_some() == is_given)
                .map(|request| ((request.push, request.given.unwrap_or_default()), request.answer))
                .unzip();
            let (connection, now_ms) = (redis.connection(), clock.now_ms());
            let pushed = if is_given {
                let jobs = jobs.iter().map(|(push, bid)| (push, bid.as_str()));
                push_absent(&connection, &partition, now_ms, retention, jobs).await
            } else {
                let jobs: Vec<Push> = jobs.into_iter().map(|(push, _)| push).collect();
                push(&connection, &partition, now_ms, &jobs).await.map(|()| vec![Absent::Added; jobs.len()])
            };
            for (at, answer) in answers.into_iter().enumerate() {
                let became = pushed.as_ref().map(|became| became[at]).map_err(Clone::clone);
                // Nobody may wait for it any more.
                let _ = answer.send(became);
            }
        }
    }
}
