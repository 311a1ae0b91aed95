//! What every test has: a server, a prefix of its own, a clock that it moves, and replicas that it drives by hand.

use std::time::Duration;

use queue::{
    Claimed, Client, Clock, Failure, JobId, JobView, Kind, ListFilter, ListPage, NewJob, Outcome, Position, Session,
    State, Success, Timing, Verdict,
};
use redis::AsyncCommands;
use servers::RedisKind;

pub(crate) const START_MS: u64 = 1_760_000_000_000;
pub(crate) const QUEUE: &str = "parcel";

pub(crate) struct World {
    pub(crate) kind: RedisKind,
    pub(crate) url: String,
    pub(crate) prefix: String,
    pub(crate) clock: Clock,
    pub(crate) client: Client,
    /// How long an answer may take.
    patience: Duration,
}

pub(crate) fn kinds() -> Vec<Kind> {
    vec![Kind { name: QUEUE.to_owned(), max_attempts: 3, timeout_s: 60, allow_fallback: false, history: false }]
}

impl World {
    pub(crate) fn new(kind: RedisKind) -> Option<Self> {
        Some(Self::with_patience(kind, servers::redis(kind)?, servers::PATIENCE))
    }

    /// On a server of the test's own, which may be stopped: an answer may take as long as in production.
    pub(crate) fn at(kind: RedisKind, url: &str) -> Self {
        Self::with_patience(kind, url, Duration::from_secs(2))
    }

    fn with_patience(kind: RedisKind, url: &str, patience: Duration) -> Self {
        let clock = Clock::simulated(START_MS);
        let prefix = servers::prefix();
        let redis = fleet::Redis::open_within(url, &prefix, patience).unwrap();
        let client = Client::with_clock(&redis, kinds(), clock.clone());
        Self { kind, url: url.to_owned(), prefix, clock, client, patience }
    }

    /// A client of the same keys that reads the real time.
    pub(crate) fn real_time_client(&self) -> Client {
        Client::new(&fleet::Redis::open_within(&self.url, &self.prefix, self.patience).unwrap(), kinds())
    }

    /// A client of the same keys and clock with a connection of its own, as another replica has.
    pub(crate) fn another_client(&self) -> Client {
        let redis = fleet::Redis::open_within(&self.url, &self.prefix, self.patience).unwrap();
        Client::with_clock(&redis, kinds(), self.clock.clone())
    }

    pub(crate) fn session(&self, host: &str) -> Session {
        Session::new(self.client.clone(), host, 1, Timing::default())
    }

    pub(crate) fn advance(&self, duration: Duration) {
        self.clock.advance(u64::try_from(duration.as_millis()).unwrap());
    }

    pub(crate) async fn push(&self) -> JobId {
        self.client.push(job()).await.unwrap()
    }

    pub(crate) async fn view(&self, id: JobId) -> JobView {
        self.client.find(id).await.unwrap().expect("the job is known")
    }

    /// A page of dead jobs; `tenant`: only that tenant's.
    pub(crate) async fn dead(&self, tenant: Option<&str>, after: Option<&Position>, limit: usize) -> ListPage {
        let (queue, tenant) = (Some(QUEUE.to_owned()), tenant.map(str::to_owned));
        let filter = ListFilter { queue, tenant, ..ListFilter::default() };
        self.client.list(State::Dead, &filter, after, limit).await.unwrap()
    }

    pub(crate) async fn state(&self, id: JobId) -> State {
        self.view(id).await.state
    }

    pub(crate) async fn count(&self, key: &str) -> u64 {
        self.client.counts(QUEUE).await.unwrap()[key]
    }

    /// A connection for looking behind the queue's back.
    pub(crate) async fn redis(&self) -> redis::aio::MultiplexedConnection {
        fleet::Redis::open(&self.url, &self.prefix).unwrap().blocking().await.unwrap()
    }

    /// Forgets every job that has ended, as the end of the retention does.
    pub(crate) async fn forget_the_finished(&self) {
        let mut redis = self.redis().await;
        let keys: Vec<String> = redis.keys(self.key("done:*")).await.unwrap();
        let _: () = redis.del(keys).await.unwrap();
    }

    pub(crate) fn key(&self, suffix: &str) -> String {
        format!("{}:{{{QUEUE}.0}}:{suffix}", self.prefix)
    }
}

pub(crate) fn job() -> NewJob {
    NewJob::new(QUEUE, r#"{"to":"Zoë"}"#)
}

pub(crate) async fn claim(session: &Session, want: usize) -> Vec<Claimed> {
    session.claim(QUEUE, want).await.unwrap().jobs
}

pub(crate) async fn claim_one(session: &Session) -> Claimed {
    let mut jobs = claim(session, 1).await;
    assert_eq!(jobs.len(), 1, "one job is claimed");
    jobs.remove(0)
}

/// Settles a job and says whether that was accepted.
pub(crate) async fn settle(session: &Session, job: &Claimed, verdict: Verdict) -> bool {
    let mut settlements = vec![session.verdict(job, verdict, START_MS).unwrap()];
    session.settle(&mut settlements).await.unwrap() == 0
}

pub(crate) fn done() -> Verdict {
    Verdict::Ran(Outcome::Done(Success::new(b"250 g".to_vec())))
}

pub(crate) fn failed() -> Verdict {
    Verdict::Ran(Outcome::Retry { error: Failure::new("broken", "the scale is broken"), after: None })
}

/// An id as Redis has it.
pub(crate) fn id_bytes(id: JobId) -> Vec<u8> {
    let hex = id.to_string().replace('-', "");
    (0..16).map(|at| u8::from_str_radix(&hex[2 * at..2 * at + 2], 16).unwrap()).collect()
}

/// A test that hangs fails instead of holding up the run.
pub(crate) async fn in_time(test: impl Future<Output = ()>) {
    tokio::time::timeout(Duration::from_secs(120), test).await.expect("the test ends within two minutes");
}
