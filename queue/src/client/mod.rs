//! The client: pushes jobs, finds them, waits for them, cancels and retries them.
//!
//! Order, lowest first: `directory`, `pusher`, `events`, `follow_up`, `server`, `quota`, `look`, `watch`, `follow`, `index`, `push`, `cancel`, `unique`,
//! `fixed`, `idempotency`, `retry`, `replace`, `list`, `queues`, `dead`, `unrecorded`.

pub(crate) mod cancel;
pub(crate) mod dead;
pub(crate) mod directory;
pub(crate) mod events;
pub(crate) mod fixed;
pub(crate) mod follow;
pub(crate) mod follow_up;
pub(crate) mod idempotency;
pub(crate) mod index;
pub(crate) mod list;
pub(crate) mod look;
pub(crate) mod push;
pub(crate) mod pusher;
pub(crate) mod queues;
pub(crate) mod quota;
pub(crate) mod replace;
pub(crate) mod retry;
pub(crate) mod server;
pub(crate) mod unique;
pub(crate) mod unrecorded;
pub(crate) mod watch;

use std::{
    collections::HashSet,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use fleet::Clock;

use self::{directory::Directory, events::Events, follow_up::FollowUp, pusher::Pusher};
use crate::model::{error::Error, job::Kind, new_job::NewJob, retention::Retention, view::JobView};

/// How long finished jobs are kept in Redis.
pub const RETENTION: Duration = Duration::from_secs(24 * 3600);

/// A handle on all queues; clone it freely.
#[derive(Clone, Debug)]
pub struct Client {
    pub(crate) redis: fleet::Redis,
    pub(crate) directory: Directory,
    pub(crate) clock: Clock,
    pub(crate) retention: Retention,
    kinds: Arc<[Arc<Kind>]>,
    pub(crate) events: Arc<Events>,
    pub(crate) pusher: Arc<Pusher>,
    /// The numbers of the partitions whose tenants' jobs this process indexes, or has indexed.
    pub(crate) indexing: Arc<Mutex<HashSet<u16>>>,
    /// Redis is a cluster: what is of several partitions takes several calls.
    slots_apart: Arc<AtomicBool>,
    /// Told when there are ended jobs of which history is to be written.
    pub(crate) ended: Arc<tokio::sync::Notify>,
    pub(crate) follow_up: FollowUp,
}

impl Client {
    /// A client for `kinds`. Does not wait for Redis.
    #[must_use]
    pub fn new(redis: &fleet::Redis, kinds: Vec<Kind>) -> Self {
        Self::with_clock(redis, kinds, Clock::default())
    }

    /// A client that reads the time from `clock`.
    #[must_use]
    pub fn with_clock(redis: &fleet::Redis, kinds: Vec<Kind>, clock: Clock) -> Self {
        let retention = Retention { ms: u64::try_from(RETENTION.as_millis()).unwrap_or(u64::MAX) };
        Self {
            pusher: Pusher::new(redis, &clock, retention),
            redis: redis.clone(),
            directory: Directory::new(redis),
            clock,
            retention,
            kinds: kinds.into_iter().map(Arc::new).collect(),
            events: Events::new(redis),
            indexing: Arc::default(),
            slots_apart: Arc::default(),
            ended: Arc::default(),
            follow_up: FollowUp::default(),
        }
    }

    /// The same client, but finished jobs are kept for `retention`; zero keeps none.
    #[must_use]
    pub fn with_retention(mut self, retention: Duration) -> Self {
        self.retention = Retention { ms: u64::try_from(retention.as_millis()).unwrap_or(u64::MAX) };
        self.pusher = Pusher::new(&self.redis, &self.clock, self.retention);
        self
    }

    /// The same client, which pushes what `follow_up` says of a job, if anything, when it has cancelled it, or told it to stop: whoever
    /// wanted it, also a job that takes its place.
    #[must_use]
    pub fn with_follow_up(self, follow_up: impl Fn(&JobView) -> Option<NewJob> + Send + Sync + 'static) -> Self {
        Self { follow_up: FollowUp::new(follow_up), ..self }
    }

    /// The background tasks of all that share this client's Redis in this process.
    #[must_use]
    pub fn tasks(&self) -> &fleet::Tasks {
        self.redis.tasks()
    }

    /// The defaults of a kind.
    #[must_use]
    pub fn kind(&self, name: &str) -> Option<&Arc<Kind>> {
        self.kinds.iter().find(|kind| kind.name == name)
    }

    pub(crate) fn kinds(&self) -> &[Arc<Kind>] {
        &self.kinds
    }

    /// Whether a call may not be about keys of several slots.
    pub(crate) fn are_slots_apart(&self) -> bool {
        self.slots_apart.load(Ordering::Relaxed)
    }

    /// Whether a call was refused because it was about keys of several slots: it is one of a cluster.
    pub(crate) fn finds_slots_apart(&self, error: &Error) -> bool {
        let is_cluster = matches!(error, Error::Redis(reason) if reason.contains("CROSSSLOT"));
        self.slots_apart.fetch_or(is_cluster, Ordering::Relaxed);
        is_cluster
    }

    pub(crate) fn keeps_history(&self, queue: &str) -> bool {
        self.kind(queue).is_some_and(|kind| kind.history)
    }

    /// Now, as the queue reads it, in Unix milliseconds; replicas whose clocks differ agree on it.
    #[must_use]
    pub fn now_ms(&self) -> u64 {
        self.clock.now_ms()
    }
}
