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
        push_once::{Once, push_once},
    },
};

/// So many keyed pushes go into one call: each takes Redis longer than a push without a key, and may carry 1 MiB.
const ONCE_TOGETHER: usize = 32;

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

/// One push.
#[derive(Debug)]
struct Request {
    partition: Arc<Partition>,
    how: How,
}

/// How a job is pushed, and who waits for the answer.
#[derive(Debug)]
enum How {
    /// Its id was made for this push, so nobody else can push it.
    New(Push, Answer<()>),
    /// Others may push its id, too. With the bid under which it is pushed, or nothing.
    Absent(Push, String, Answer<Absent>),
    /// Together with an idempotency key.
    Once(Once, Answer<Option<String>>),
}

type Answer<T> = oneshot::Sender<Result<T, Error>>;

impl Pusher {
    pub(crate) fn new(redis: &fleet::Redis, clock: &Clock, retention: Retention) -> Arc<Self> {
        let stop = CancellationToken::new();
        Arc::new(Self { redis: redis.clone(), clock: clock.clone(), retention, requests: OnceLock::new(), stop })
    }

    /// Pushes one job, whose id was made for it. Once begun, it is pushed even if nobody waits for the answer any more.
    pub(crate) async fn push(&self, partition: Arc<Partition>, push: Push) -> Result<(), Error> {
        self.ask(partition, |answer| How::New(push, answer)).await
    }

    /// Pushes one job under an id that others may push, too; under this bid for a unique key, if there is one (empty: none).
    pub(crate) async fn push_absent(
        &self,
        partition: Arc<Partition>,
        push: Push,
        bid: String,
    ) -> Result<Absent, Error> {
        self.ask(partition, |answer| How::Absent(push, bid, answer)).await
    }

    /// Pushes one job if its key is free; otherwise returns what stands there.
    pub(crate) async fn push_once(&self, partition: Arc<Partition>, once: Once) -> Result<Option<String>, Error> {
        self.ask(partition, |answer| How::Once(once, answer)).await
    }

    async fn ask<T>(&self, partition: Arc<Partition>, how: impl FnOnce(Answer<T>) -> How) -> Result<T, Error> {
        let (answer, answered) = oneshot::channel();
        let requests = self.requests.get_or_init(|| {
            let (sender, receiver) = mpsc::unbounded_channel();
            let pushing = run(self.redis.clone(), self.clock.clone(), self.retention, receiver);
            self.redis.tasks().spawn("pusher", &self.stop, pushing);
            sender
        });
        let ended = || Error::Unavailable("the task that pushes has ended".to_owned());
        requests.send(Request { partition, how: how(answer) }).map_err(|_| ended())?;
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
        while let Some(Request { partition, .. }) = batch.first() {
            let partition = partition.clone();
            let together = batch.extract_if(.., |request| request.partition == partition).map(|request| request.how);
            let together = together.collect();
            call(&redis.connection(), &partition, clock.now_ms(), retention, together).await;
        }
    }
}

/// Makes pushes of one partition: those of a kind in one call.
async fn call(connection: &fleet::Connection, partition: &Partition, now_ms: u64, retention: Retention, all: Vec<How>) {
    let (mut new, mut absent, mut once) = (Vec::new(), Vec::new(), Vec::new());
    for how in all {
        match how {
            How::New(push, answer) => new.push((push, answer)),
            How::Absent(push, bid, answer) => absent.push(((push, bid), answer)),
            How::Once(one, answer) => once.push((one, answer)),
        }
    }
    if !new.is_empty() {
        let (jobs, answers): (Vec<Push>, Vec<_>) = new.into_iter().unzip();
        let pushed = push(connection, partition, now_ms, &jobs).await;
        tell(answers, pushed.map(|()| jobs.iter().map(|_| Ok(()))));
    }
    if !absent.is_empty() {
        let (jobs, answers): (Vec<(Push, String)>, Vec<_>) = absent.into_iter().unzip();
        let jobs = jobs.iter().map(|(push, bid)| (push, bid.as_str()));
        let pushed = push_absent(connection, partition, now_ms, retention, jobs).await;
        tell(answers, pushed.map(|became| became.into_iter().map(Ok)));
    }
    let mut once = once.into_iter();
    while once.len() > 0 {
        let (jobs, answers): (Vec<Once>, Vec<_>) = once.by_ref().take(ONCE_TOGETHER).unzip();
        let pushed = push_once(connection, partition, now_ms, &jobs).await;
        tell(answers, pushed.map(Vec::into_iter));
    }
}

/// Tells each what came of its push, or all what came of the call.
fn tell<T>(answers: Vec<Answer<T>>, pushed: Result<impl Iterator<Item = Result<T, Error>>, Error>) {
    // Nobody may wait for it any more.
    match pushed {
        Ok(pushed) => answers.into_iter().zip(pushed).for_each(|(answer, became)| drop(answer.send(became))),
        Err(error) => answers.into_iter().for_each(|answer| drop(answer.send(Err(error.clone())))),
    }
}
