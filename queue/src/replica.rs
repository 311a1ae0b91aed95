//! A worker process's side of the queue: the background tasks around a [`Session`].
//!
//! One task a queue claims. For all queues, one collects and writes settlements, one renews leases, one blocks in Redis until work
//! arrives, one does upkeep, one writes what handlers report, one says that the replica lives. No Redis call is made per job under load.

use std::{
    collections::{HashMap, HashSet},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use tokio::{
    sync::{Notify, mpsc},
    task::JoinHandle,
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use crate::{
    backend::{RedisBackend, Slots},
    claimed::Claimed,
    client::Client,
    error::Error,
    message::JobId,
    progress,
    session::{Session, Timing},
    settle::{Settlement, Verdict},
    waker::{Listener, Waker},
};

/// Upkeep looks at every queue at least so often.
const UPKEEP_AT_LEAST: Duration = Duration::from_secs(5);
/// Workers of an older release may put jobs aside at any time of a rolling upgrade.
const UNHOLD_EVERY: Duration = Duration::from_secs(60);
/// A replica says at least so often that it lives; one that has not for three times as long counts as gone.
const BEAT_AT_LEAST: Duration = Duration::from_secs(4);
/// Settlements are still written for so long after everything has stopped.
const FLUSH: Duration = Duration::from_secs(5);
/// A collector that panics is started once more, so that its settlements are written while the process stops.
const COLLECTORS: usize = 2;
/// The first wait after Redis failed, doubled up to the second.
const BACKOFF: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(2));

/// So long a replica claims nothing, so that a suspect can run by itself; if its jobs last longer, it tries again later.
const QUIET_FOR: Duration = Duration::from_secs(20);
const QUIET_AGAIN_AFTER: Duration = Duration::from_secs(200);
/// How often a fetcher that may not claim looks whether it may again.
const LOOK_AGAIN: Duration = Duration::from_millis(20);

/// A replica that lets its jobs end, so that a suspect of a queue can run by itself.
#[derive(Debug, Default)]
struct Quiet {
    queue: String,
    until: Option<Instant>,
    not_before: Option<Instant>,
}

impl Quiet {
    /// A suspect of `queue` waits.
    fn ask(&mut self, queue: &str, now: Instant) {
        if self.not_before.is_none_or(|at| now >= at) {
            *self = Self {
                queue: queue.to_owned(),
                until: Some(now + QUIET_FOR),
                not_before: Some(now + QUIET_AGAIN_AFTER),
            };
        }
    }

    /// Whether a fetcher of `queue` may claim.
    fn allows(&self, queue: &str, n_held: usize, now: Instant) -> bool {
        self.until.is_none_or(|until| now >= until) || (n_held == 0 && self.queue == queue)
    }

    /// The queue has claimed: one that got a suspect may get the next one soon.
    fn end(&mut self, queue: &str, n_held: usize) {
        if self.until.is_some() && self.queue == queue && n_held == 0 {
            *self = Self::default();
        }
    }
}

/// What the parts of a replica share.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) session: Session,
    /// No more claims, and no handler begins.
    pub(crate) stop: CancellationToken,
    handing_back: AtomicBool,
    settlements: mpsc::UnboundedSender<Settlement>,
    waker: Waker,
    cancels: Notify,
    queues: Mutex<Vec<String>>,
    quiet: Mutex<Quiet>,
    /// Told when a queue is added, so that the next beat does not leave it out until the one after.
    queues_changed: Notify,
}

impl Shared {
    pub(crate) fn stopping(&self) -> bool {
        self.stop.is_cancelled()
    }

    pub(crate) fn handing_back(&self) -> bool {
        self.handing_back.load(Ordering::SeqCst)
    }

    pub(crate) fn now_ms(&self) -> u64 {
        self.session.client().clock.now_ms()
    }

    /// Has the end of a run written.
    pub(crate) fn settle(&self, job: &Claimed, verdict: Verdict, started_ms: u64) {
        if let Verdict::Ran(crate::Outcome::Snooze { error, after, .. }) = &verdict {
            let (code, message) = (&error.code, &error.message);
            tracing::debug!(job.id = %job.id(), job.kind = job.kind(), code, message, ?after, "a job is put off");
        }
        let settlement = self.session.verdict(job, verdict, started_ms).or_else(|error| {
            let verdict = Verdict::Ran(crate::Outcome::Dead(crate::Failure::new("unstorable", error.to_string())));
            self.session.verdict(job, verdict, started_ms)
        });
        match settlement {
            // The collector ends only when this does.
            Ok(settlement) => drop(self.settlements.send(settlement)),
            Err(error) => tracing::error!(job.id = %job.id(), %error, "the end of a job cannot be written"),
        }
    }

    fn quiet(&self) -> std::sync::MutexGuard<'_, Quiet> {
        self.quiet.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn queues(&self) -> Vec<String> {
        self.queues.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// A worker process's side of the queue.
#[derive(Debug)]
pub struct Replica {
    shared: Arc<Shared>,
    /// End when [`Shared::stop`] says so.
    claimers: TaskTracker,
    /// Go on until everything is settled.
    keepers: TaskTracker,
    stop_keepers: CancellationToken,
    /// Ends after the keepers were stopped, with the settlements that it could not write.
    collector: Option<JoinHandle<Collector>>,
    slots: Vec<(String, Arc<Slots>)>,
}

impl Drop for Replica {
    fn drop(&mut self) {
        self.shared.stop.cancel();
        self.stop_keepers.cancel();
    }
}

impl Replica {
    /// Starts the background tasks. Does not wait for Redis.
    #[must_use]
    pub fn start(client: Client, host: &str, timing: Timing) -> Self {
        let (sender, receiver) = mpsc::unbounded_channel();
        let shared = Arc::new(Shared {
            session: Session::new(client, host, std::process::id(), timing),
            stop: CancellationToken::new(),
            handing_back: AtomicBool::new(false),
            settlements: sender,
            waker: Waker::default(),
            cancels: Notify::new(),
            queues: Mutex::default(),
            quiet: Mutex::default(),
            queues_changed: Notify::new(),
        });
        let tasks = shared.session.client().tasks();
        let (stop_keepers, keepers) = (CancellationToken::new(), TaskTracker::new());
        tasks.spawn_until("lease keeper", &stop_keepers, keepers.track_future(keep_leases(shared.clone())));
        tasks.spawn_until("upkeep", &stop_keepers, keepers.track_future(keep_up(shared.clone())));
        tasks.spawn_until("heartbeat", &stop_keepers, keepers.track_future(beat(shared.clone())));
        let reporting = progress::keep_reporting(shared.clone());
        tasks.spawn_until("reporter", &stop_keepers, keepers.track_future(reporting));
        let (waiting, claimers) = (shared.clone(), TaskTracker::new());
        let waiting = async move { waiting.waker.run(&waiting.session, &waiting.cancels, &waiting.stop).await };
        tasks.spawn("waker", &shared.stop, claimers.track_future(waiting));
        let collector = Collector { receiver, batch: Vec::new() };
        let collector = Some(tokio::spawn(collector.watched(shared.clone(), stop_keepers.clone())));
        Self { shared, claimers, keepers, stop_keepers, collector, slots: Vec::new() }
    }

    /// The jobs of `queue` for an apalis worker, `concurrency` at a time.
    pub fn backend(&mut self, queue: &str, concurrency: usize) -> RedisBackend {
        let slots = Arc::new(Slots::new(queue, concurrency));
        let (sender, jobs) = mpsc::channel(4096);
        self.shared.queues.lock().unwrap_or_else(PoisonError::into_inner).push(queue.to_owned());
        self.shared.queues_changed.notify_one();
        let (shared, fetching, queue) = (self.shared.clone(), slots.clone(), queue.to_owned());
        self.slots.push((queue.clone(), slots.clone()));
        let name = format!("fetcher of {queue}");
        let fetching = async move { fetch(&shared, &queue, &fetching, &sender).await };
        let tasks = self.shared.session.client().tasks();
        tasks.spawn(&name, &self.shared.stop, self.claimers.track_future(fetching));
        RedisBackend::new(jobs, self.shared.clone(), slots)
    }

    /// Host and process, as in [`crate::AttemptView::worker`].
    #[must_use]
    pub fn worker(&self) -> &str {
        self.shared.session.worker()
    }

    /// How many jobs this replica holds.
    #[must_use]
    pub fn n_held(&self) -> usize {
        self.shared.session.n_held()
    }

    /// Stops claiming and hands back what was not begun; handlers that run go on.
    pub fn stop(&self) {
        self.shared.stop.cancel();
    }

    /// Aborts what still runs and hands it back.
    pub fn hand_back(&self) {
        self.shared.handing_back.store(true, Ordering::SeqCst);
        self.shared.session.stop_all();
    }

    /// Writes what is left to write, for a few seconds at most, hands back what is still held, and ends the background tasks. The
    /// apalis workers must have ended before.
    pub async fn close(mut self) {
        self.stop();
        // Not aborted: a claim whose answer is dropped would wait for its lease to end.
        self.claimers.close();
        self.claimers.wait().await;
        let deadline = Instant::now() + FLUSH;
        while self.shared.session.n_held() > 0 && Instant::now() < deadline {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        self.stop_keepers.cancel();
        if let Some(collector) = self.collector.take()
            && let Ok(Ok(mut collector)) = tokio::time::timeout(FLUSH, collector).await
            && self.shared.session.n_held() > 0
        {
            let mut ended: HashSet<JobId> = self.shared.session.sealed_jobs().await.into_iter().collect();
            while let Ok(settlement) = collector.receiver.try_recv() {
                collector.batch.push(settlement);
            }
            ended.extend(collector.batch.iter().map(|settlement| settlement.job().0));
            let is_idle = |queue: &str| self.slots.iter().all(|(name, slots)| name != queue || slots.are_idle());
            if let Err(error) = self.shared.session.give_back_held(&ended, is_idle).await {
                tracing::debug!(%error, "could not hand back the last jobs");
            }
        }
        self.keepers.close();
        self.keepers.wait().await;
        if let Err(error) = self.shared.session.leave().await {
            tracing::debug!(%error, "could not sign off; the replica is forgotten when it no longer beats");
        }
        let left = self.shared.session.n_held();
        if left > 0 {
            tracing::warn!(n_jobs = left, "jobs could not be handed back; they run again when their leases end");
        }
    }
}

/// Runs `work` until `stop`.
async fn until(stop: CancellationToken, work: impl Future<Output = ()>) {
    let _ = stop.run_until_cancelled(work).await;
}

/// Claims jobs of one queue whenever there is room and work.
async fn fetch(shared: &Shared, queue: &str, slots: &Slots, jobs: &mpsc::Sender<Claimed>) {
    let listener = loop {
        match shared.session.client().directory.of_queue(queue).await {
            Ok(partition) => break shared.waker.add(partition),
            Err(error) => {
                tracing::debug!(queue, %error, "waiting for redis");
                until(shared.stop.clone(), tokio::time::sleep(BACKOFF.1)).await;
            }
        }
        if shared.stopping() {
            return;
        }
    };
    unhold(shared, queue).await;
    let mut backoff = BACKOFF.0;
    while !shared.stopping() {
        let allowed = || shared.quiet().allows(queue, shared.session.n_held(), Instant::now());
        if !allowed() {
            Waker::ignore(&listener);
            let passed_on = shared.session.wake_another(&listener.partition).await;
            if let Err(error) = passed_on {
                tracing::debug!(queue, %error, "could not leave work to other replicas; they look by themselves");
            }
            while !allowed() && !shared.stopping() {
                tokio::time::sleep(LOOK_AGAIN).await;
            }
            continue;
        }
        let n_held = shared.session.n_held();
        let want = slots.free();
        if want == 0 {
            Waker::ignore(&listener);
            until(shared.stop.clone(), slots.freed.notified()).await;
            continue;
        }
        match shared.session.claim(queue, want).await {
            Err(error) => {
                if backoff == BACKOFF.0 {
                    tracing::warn!(queue, %error, "cannot claim; trying again");
                }
                until(shared.stop.clone(), tokio::time::sleep(backoff)).await;
                backoff = (backoff * 2).min(BACKOFF.1);
            }
            Ok(report) => {
                backoff = BACKOFF.0;
                shared.quiet().end(queue, n_held);
                if report.suspects_wait {
                    shared.quiet().ask(queue, Instant::now());
                }
                if report.busy {
                    Waker::ignore(&listener);
                    while shared.session.runs_a_suspect() && !shared.stopping() {
                        tokio::time::sleep(LOOK_AGAIN).await;
                    }
                    continue;
                }
                let got = report.jobs.len();
                slots.take(got);
                for job in report.jobs {
                    // The receiver closes only when the replica stops, and then hands back what is in the channel.
                    if let Err(unsent) = jobs.send(job).await {
                        let job = unsent.0;
                        shared.settle(&job, Verdict::HandedBack { started: false }, job.claimed_ms());
                        slots.give_back();
                    }
                }
                // Left and yet none got: what was taken from the lists had been cancelled, or is put aside.
                if !report.left {
                    until(shared.stop.clone(), rest(shared, &listener, report.next_due_ms)).await;
                }
            }
        }
    }
}

async fn unhold(shared: &Shared, queue: &str) {
    if let Err(error) = shared.session.unhold(queue).await {
        tracing::debug!(queue, %error, "could not look for jobs put aside");
    }
}

/// Waits until work arrives or is due.
async fn rest(shared: &Shared, listener: &Listener, next_due_ms: Option<u64>) {
    shared.waker.listen(listener, &shared.session).await;
    let due = async {
        match next_due_ms {
            Some(at) => tokio::time::sleep(Duration::from_millis(at.saturating_sub(shared.now_ms()).max(1))).await,
            None => std::future::pending().await,
        }
    };
    tokio::select! {
        () = listener.wake.notified() => {}
        () = due => {}
    }
}

/// The settlements on their way to Redis. They outlive a panic of the task that writes them.
#[derive(Debug)]
struct Collector {
    receiver: mpsc::UnboundedReceiver<Settlement>,
    batch: Vec<Settlement>,
}

impl Collector {
    async fn watched(mut self, shared: Arc<Shared>, stop: CancellationToken) -> Self {
        let tasks = shared.session.client().tasks();
        for _ in 0..COLLECTORS {
            if tasks.watch("collector", &stop, collect(&shared, &mut self, &stop)).await {
                break;
            }
        }
        self
    }
}

/// Writes settlements: at once when idle, in batches under load, again and again while Redis is away.
async fn collect(shared: &Shared, collector: &mut Collector, stop: &CancellationToken) {
    let Collector { receiver, batch } = collector;
    let mut backoff = BACKOFF.0;
    // What a collector before this one has left.
    let mut failed: Option<Error> = shared.session.settle(batch).await.err();
    let mut last = false;
    while !last {
        let n_before = batch.len();
        match &failed {
            None => tokio::select! {
                biased;
                n = receiver.recv_many(batch, crate::scripts::MOST) => if n == 0 { return },
                () = stop.cancelled() => return,
            },
            // Nobody can be served while Redis is away.
            Some(Error::Unavailable(_)) => last = tokio::time::timeout(backoff, stop.cancelled()).await.is_ok(),
            // One queue's keys are damaged: the others' settlements do not wait for it.
            Some(_) => tokio::select! {
                _ = receiver.recv_many(batch, crate::scripts::MOST) => {}
                () = tokio::time::sleep(backoff) => {}
                () = stop.cancelled() => last = true,
            },
        }
        count(&batch[n_before..]);
        let again = failed.is_some();
        match shared.session.settle(batch).await {
            Ok(refused) => {
                // After an unknown outcome a refusal only says that the first call had been carried out.
                if refused > 0 && !again {
                    metrics::counter!("queue_settlements_refused_total").increment(refused as u64);
                    tracing::warn!(n_jobs = refused, "late settlements refused: another worker has the jobs");
                }
                backoff = BACKOFF.0;
                failed = None;
            }
            Err(error) => {
                if again {
                    backoff = (backoff * 2).min(BACKOFF.1);
                } else {
                    let queue = shared.session.sealed_queue().await.unwrap_or_default();
                    let n_jobs = shared.session.n_sealed().await + batch.len();
                    tracing::warn!(queue, %error, n_jobs, "cannot settle; kept and tried again");
                }
                failed = Some(error);
            }
        }
    }
}

fn count(batch: &[Settlement]) {
    let mut counts: HashMap<(&str, &'static str), u64> = HashMap::new();
    for settlement in batch {
        *counts.entry((settlement.queue(), settlement.state())).or_default() += 1;
    }
    for ((queue, state), n) in counts {
        metrics::counter!("queue_attempts_total", "queue" => queue.to_owned(), "state" => state).increment(n);
    }
}

/// Renews leases, and stops what is cancelled or lost.
async fn keep_leases(shared: Arc<Shared>) {
    let mut due = tokio::time::interval(shared.session.timing().renewal);
    due.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            _ = due.tick() => {}
            () = shared.cancels.notified() => {}
        }
        match shared.session.renew().await {
            Ok(0) => {}
            Ok(n_lost) => {
                metrics::counter!("queue_leases_lost_total").increment(n_lost as u64);
                tracing::warn!(n_leases = n_lost, "leases lost; their handlers are stopped");
            }
            Err(error) => {
                tracing::debug!(%error, "cannot renew leases; trying again");
                // Sooner than at the next renewal, because a lease lasts only three of them.
                due.reset_after(BACKOFF.0 * 5);
            }
        }
    }
}

/// When upkeep of a queue may give the jobs of expired leases to others.
struct Grace {
    reclaim_from: Instant,
    last_answer: Option<Instant>,
    /// When jobs that an older release put aside were looked for.
    unheld: Instant,
}

/// Looks after the queues this replica serves, each when its next lease ends, and at least every few seconds.
async fn keep_up(shared: Arc<Shared>) {
    let lease = shared.session.timing().lease;
    // Shorter than what counts as a gap.
    let at_least = UPKEEP_AT_LEAST.min(lease / 3);
    // Leases count only while Redis answered: after a gap, as at the start, whoever holds one gets a whole lease to renew it. Each
    // queue by itself: damaged keys of one must not keep the jobs of another with the dead.
    let mut graces: HashMap<String, Grace> = HashMap::new();
    loop {
        let queues = shared.queues();
        let mut wait = if queues.is_empty() { BACKOFF.0 } else { at_least };
        for queue in queues {
            let new = || Grace { reclaim_from: Instant::now() + lease, last_answer: None, unheld: Instant::now() };
            let grace = graces.entry(queue.clone()).or_insert_with(new);
            if grace.last_answer.is_some_and(|at| at.elapsed() > lease / 2) {
                grace.reclaim_from = Instant::now() + lease;
            }
            let reclaim = Instant::now() >= grace.reclaim_from;
            match shared.session.upkeep(&queue, reclaim).await {
                Ok(report) => {
                    grace.last_answer = Some(Instant::now());
                    if grace.unheld.elapsed() > UNHOLD_EVERY {
                        grace.unheld = Instant::now();
                        unhold(&shared, &queue).await;
                    }
                    if report.work {
                        shared.waker.wake(&queue);
                    }
                    if let Some(end) = report.next_lease_end_ms {
                        let ends_in = Duration::from_millis(end.saturating_sub(shared.now_ms()) + 20);
                        wait = wait.min(ends_in.max(Duration::from_millis(200)));
                    }
                }
                Err(error) => {
                    tracing::debug!(queue, %error, "cannot look after the queue; trying again");
                    // A failed answer begins a gap, however short the server was away for us.
                    grace.reclaim_from = Instant::now() + lease;
                    wait = wait.min(BACKOFF.1);
                }
            }
            if grace.reclaim_from > Instant::now() {
                wait = wait.min((grace.reclaim_from - Instant::now()).max(Duration::from_millis(200)));
            }
        }
        tokio::time::sleep(wait).await;
    }
}

async fn beat(shared: Arc<Shared>) {
    let mut due = tokio::time::interval(shared.session.timing().renewal.min(BEAT_AT_LEAST));
    due.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            _ = due.tick() => {}
            () = shared.queues_changed.notified() => {}
        }
        if let Err(error) = shared.session.beat(&shared.queues()).await {
            tracing::debug!(%error, "cannot say that this replica lives; trying again");
        }
    }
}
