//! The locks of concurrency keys that this replica's jobs have: of the jobs of one key one runs at a time, over all replicas.
//!
//! A lock is the job's as long as its lease, which is renewed with those of the claims. A job that does not get the lock is put off, and
//! is noted among those that wait. Whoever lets the lock go has the first of them, by id, run at once. Should nobody do that, because
//! its process died, each comes by itself, the first ones sooner; one that finds the lock free and another before it has that one run.

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError, Weak},
    time::{Duration, Instant},
};

use futures::future::join_all;
use tokio::runtime::Handle;
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use crate::{
    client::{Client, retry::Hurried},
    keys::Concurrency,
    model::{concurrency_key::ConcurrencyKey, error::Error, id::JobId},
    scripts::{
        lock::{Lock, Waits},
        unlock::Unlock,
    },
};

/// Between two tries to let a lock go while Redis is away.
const TRY_AGAIN: Duration = Duration::from_millis(500);
/// The first wait for a job that is just being put off; it doubles each time.
const PUT_OFF_IN: Duration = Duration::from_millis(10);
/// So often whoever lets a lock go looks again while the job that comes next is being put off: for more than a second, after which that
/// job comes by itself.
const LOOKS: u32 = 7;
/// How many of those that wait are asked for at once when the first ones are gone.
const MOST_ASKED: usize = 64;

/// The locks that this replica's jobs have.
#[derive(Debug)]
pub(crate) struct Locks(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    client: Client,
    lease: Duration,
    had: Mutex<Vec<Weak<HadLock>>>,
    /// Let locks go.
    releases: TaskTracker,
    /// Until then a lock whose lease has ended is left to its job: Redis was away, or this replica has just started.
    patient_until: Mutex<Option<Instant>>,
}

/// A lock that a run of a job has, or asks for.
#[derive(Debug)]
struct HadLock {
    keys: Concurrency,
    id: JobId,
    claim: Arc<str>,
    /// Told when another has it.
    lost: CancellationToken,
    /// It is lost or let go, and must not be renewed. Locked while a renewal is under way.
    over: tokio::sync::Mutex<bool>,
}

/// Has a lock; lets it go when dropped.
#[derive(Debug)]
pub(crate) struct HasLock {
    lock: Arc<HadLock>,
    shared: Arc<Shared>,
    /// There is nothing to let go.
    refused: bool,
}

impl Locks {
    pub(crate) fn new(client: Client, lease: Duration) -> Self {
        let (had, releases, patient_until) = (Mutex::default(), TaskTracker::new(), Mutex::default());
        releases.close();
        Self(Arc::new(Shared { client, lease, had, releases, patient_until }))
    }

    /// Takes the lock of a key for this run of a tenant's job. Otherwise tells for what it has to wait.
    pub(crate) async fn take(
        &self,
        (tenant, key): (&str, &ConcurrencyKey),
        id: JobId,
        claim: &Arc<str>,
    ) -> Result<Result<HasLock, Waits>, Error> {
        let shared = &self.0;
        let keys = Concurrency::new(shared.client.redis.prefix(), tenant, key);
        let (lost, over) = (CancellationToken::new(), tokio::sync::Mutex::new(false));
        let lock = Arc::new(HadLock { keys, id, claim: claim.clone(), lost, over });
        // From here on: the answer may be lost, and nobody wait for it.
        let mut has = HasLock { lock, shared: shared.clone(), refused: false };
        let takes_over = shared.patient_until().is_none_or(|until| Instant::now() >= until);
        let waits = shared.ask(&has.lock).take(&shared.client.redis.connection(), takes_over).await?;
        if let Some(waits) = waits {
            has.refused = true;
            if waits.holder.is_none() {
                shared.spawn({
                    let (shared, lock) = (shared.clone(), has.lock.clone());
                    async move { shared.hand_on(&lock.keys, None).await }
                });
            }
            return Ok(Err(waits));
        }
        shared.had().push(Arc::downgrade(&has.lock));
        Ok(Ok(has))
    }

    /// Renews the leases of all locks, and tells those that are lost. Returns how many are.
    pub(crate) async fn renew(&self) -> Result<usize, Error> {
        let had: Vec<Arc<HadLock>> = {
            let mut had = self.0.had();
            had.retain(|lock| lock.strong_count() > 0);
            had.iter().filter_map(Weak::upgrade).collect()
        };
        let mut n_lost = 0;
        for renewed in join_all(had.iter().map(|lock| self.0.renew(lock))).await {
            n_lost += usize::from(!renewed?);
        }
        Ok(n_lost)
    }

    /// Leaves locks whose leases have ended to their jobs until then.
    pub(crate) fn be_patient_until(&self, until: Instant) {
        *self.0.patient_until() = Some(until);
    }

    /// Waits until all locks are let go whose handlers have ended.
    pub(crate) async fn at_rest(&self) {
        self.0.releases.wait().await;
    }
}

impl HasLock {
    /// Ends when another job has the lock.
    pub(crate) async fn lost(&self) {
        self.lock.lost.cancelled().await;
    }
}

impl Drop for HasLock {
    fn drop(&mut self) {
        if !self.refused {
            let (shared, lock) = (self.shared.clone(), self.lock.clone());
            self.shared.spawn(async move { shared.let_go(&lock).await });
        }
    }
}

impl Shared {
    fn ask<'a>(&self, lock: &'a HadLock) -> Lock<'a> {
        let now_ms = self.client.clock.now_ms();
        let lease_ms = u64::try_from(self.lease.as_millis()).unwrap_or(u64::MAX);
        Lock { keys: &lock.keys, id: lock.id, claim: &lock.claim, now_ms, lease_end_ms: now_ms + lease_ms }
    }

    /// False: it is lost by this call.
    async fn renew(&self, lock: &HadLock) -> Result<bool, Error> {
        let mut over = lock.over.lock().await;
        if *over || self.ask(lock).keep(&self.client.redis.connection()).await? {
            return Ok(true);
        }
        *over = true;
        lock.lost.cancel();
        Ok(false)
    }

    async fn let_go(&self, lock: &HadLock) {
        if std::mem::replace(&mut *lock.over.lock().await, true) {
            return;
        }
        // After that its lease has ended.
        let give_up = Instant::now() + self.lease;
        while let Err(error) = self.hand_on(&lock.keys, Some(lock)).await {
            tracing::debug!(job.id = %lock.id, %error, "cannot let the lock of a concurrency key go; trying again");
            if Instant::now() > give_up {
                return;
            }
            tokio::time::sleep(TRY_AGAIN).await;
        }
    }

    /// Lets the lock go, if `by` has it, and has the first of those that wait run at once.
    async fn hand_on(&self, keys: &Concurrency, by: Option<&HadLock>) -> Result<(), Error> {
        let connection = self.client.redis.connection();
        let by = by.map(|lock| (lock.id, &*lock.claim));
        let (mut looks, mut want, mut gone) = (if by.is_some() { LOOKS } else { 0 }, 1, Vec::new());
        loop {
            let now_ms = self.client.clock.now_ms();
            let waiting = Unlock { keys, by, now_ms, want, gone: &gone }.call(&connection).await?;
            gone.clear();
            let Some((first, others)) = waiting.split_first() else { return Ok(()) };
            match self.client.hurry(*first).await? {
                Hurried::Coming => return Ok(()),
                Hurried::Running if looks == 0 => return Ok(()),
                Hurried::Running => {
                    tokio::time::sleep(PUT_OFF_IN * 2u32.pow(LOOKS - looks)).await;
                    looks -= 1;
                }
                Hurried::Gone => {
                    // All who are gone are taken out before the one behind them asks for the lock.
                    gone.push(*first);
                    for id in others {
                        if self.client.comes(*id).await? {
                            break;
                        }
                        gone.push(*id);
                    }
                    // The next one may be the job that asked just now, and is being put off.
                    (looks, want) = (LOOKS, (want * 4).min(MOST_ASKED));
                }
            }
        }
    }

    fn spawn<T: Send + 'static>(&self, work: impl Future<Output = T> + Send + 'static) {
        // Without a runtime the process ends, and the lease with it.
        if let Ok(runtime) = Handle::try_current() {
            drop(runtime.spawn(self.releases.track_future(work)));
        }
    }

    fn had(&self) -> MutexGuard<'_, Vec<Weak<HadLock>>> {
        self.had.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn patient_until(&self) -> MutexGuard<'_, Option<Instant>> {
        self.patient_until.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
