//! What the parts of a replica share.

use std::{
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use tokio::sync::{Notify, mpsc};
use tokio_util::sync::CancellationToken;

use super::{
    claimed::Claimed,
    session::Session,
    settle::{Settlement, Verdict},
    waker::Waker,
};
use crate::model::outcome::{Failure, Outcome};

/// The first wait after Redis failed, doubled up to the second.
pub(super) const BACKOFF: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(2));
/// So long a replica claims nothing, so that a suspect can run by itself; if its jobs last longer, it tries again later.
const QUIET_FOR: Duration = Duration::from_secs(20);
const QUIET_AGAIN_AFTER: Duration = Duration::from_secs(200);

/// A replica that lets its jobs end, so that a suspect of a queue can run by itself.
#[derive(Debug, Default)]
pub(super) struct Quiet {
    queue: String,
    until: Option<Instant>,
    not_before: Option<Instant>,
}

impl Quiet {
    /// A suspect of `queue` waits.
    pub(super) fn ask(&mut self, queue: &str, now: Instant) {
        if self.not_before.is_none_or(|at| now >= at) {
            *self = Self {
                queue: queue.to_owned(),
                until: Some(now + QUIET_FOR),
                not_before: Some(now + QUIET_AGAIN_AFTER),
            };
        }
    }

    /// Whether a fetcher of `queue` may claim.
    pub(super) fn allows(&self, queue: &str, n_held: usize, now: Instant) -> bool {
        self.until.is_none_or(|until| now >= until) || (n_held == 0 && self.queue == queue)
    }

    /// The queue has claimed: one that got a suspect may get the next one soon.
    pub(super) fn end(&mut self, queue: &str, n_held: usize) {
        if self.until.is_some() && self.queue == queue && n_held == 0 {
            *self = Self::default();
        }
    }
}

/// What the parts of a replica share.
#[derive(Debug)]
pub(crate) struct Common {
    pub(crate) session: Session,
    /// No more claims, and no handler begins.
    pub(crate) stop: CancellationToken,
    pub(super) handing_back: AtomicBool,
    settlements: mpsc::UnboundedSender<Settlement>,
    pub(super) waker: Waker,
    pub(super) cancels: Notify,
    pub(super) queues: Mutex<Vec<String>>,
    quiet: Mutex<Quiet>,
    /// Told when a queue is added, so that the next beat does not leave it out until the one after.
    pub(super) queues_changed: Notify,
}

impl Common {
    pub(super) fn new(session: Session, settlements: mpsc::UnboundedSender<Settlement>) -> Self {
        Self {
            session,
            stop: CancellationToken::new(),
            handing_back: AtomicBool::new(false),
            settlements,
            waker: Waker::default(),
            cancels: Notify::new(),
            queues: Mutex::default(),
            quiet: Mutex::default(),
            queues_changed: Notify::new(),
        }
    }

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
        if let Verdict::Ran(Outcome::Snooze { error, after, .. }) = &verdict {
            let (code, message) = (&error.code, &error.message);
            tracing::debug!(job.id = %job.id(), job.kind = job.kind(), code, message, ?after, "a job is put off");
        }
        let settlement = self.session.verdict(job, verdict, started_ms).or_else(|error| {
            let verdict = Verdict::Ran(Outcome::Dead(Failure::new("unstorable", error.to_string())));
            self.session.verdict(job, verdict, started_ms)
        });
        match settlement {
            // The collector ends only when this does.
            Ok(settlement) => drop(self.settlements.send(settlement)),
            Err(error) => tracing::error!(job.id = %job.id(), %error, "the end of a job cannot be written"),
        }
    }

    pub(super) fn quiet(&self) -> MutexGuard<'_, Quiet> {
        self.quiet.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn queues(&self) -> Vec<String> {
        self.queues.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}
