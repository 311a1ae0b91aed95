//! Time, real or simulated. Scripts get it as an argument, so that tests can move it.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Instant, SystemTime, UNIX_EPOCH},
};

/// Where time is read from. The real one runs on the monotonic clock and is set after the Redis server's, so that
/// replicas whose clocks differ agree.
#[derive(Debug, Clone)]
pub struct Clock(Arc<Kind>);

#[derive(Debug)]
enum Kind {
    Real { started: Instant, started_ms: AtomicU64 },
    Simulated(AtomicU64),
}

impl Default for Clock {
    fn default() -> Self {
        Self(Arc::new(Kind::Real { started: Instant::now(), started_ms: AtomicU64::new(system_ms()) }))
    }
}

impl Clock {
    /// A clock that stands still at `ms` (Unix milliseconds) until it is moved.
    #[must_use]
    pub fn simulated(ms: u64) -> Self {
        Self(Arc::new(Kind::Simulated(AtomicU64::new(ms))))
    }

    /// Now, in Unix milliseconds.
    #[must_use]
    pub fn now_ms(&self) -> u64 {
        match &*self.0 {
            Kind::Real { started, started_ms } => {
                started_ms.load(Ordering::Relaxed).saturating_add(elapsed_ms(*started))
            }
            Kind::Simulated(ms) => ms.load(Ordering::Relaxed),
        }
    }

    /// Moves a simulated clock; a real one cannot be moved.
    pub fn advance(&self, ms: u64) {
        if let Kind::Simulated(now) = &*self.0 {
            now.fetch_add(ms, Ordering::Relaxed);
        }
    }

    /// Sets a real clock after the server's.
    pub fn follow(&self, server_ms: u64) {
        if let Kind::Real { started, started_ms } = &*self.0 {
            started_ms.store(server_ms.saturating_sub(elapsed_ms(*started)), Ordering::Relaxed);
        }
    }
}

fn elapsed_ms(since: Instant) -> u64 {
    u64::try_from(since.elapsed().as_millis()).unwrap_or(u64::MAX)
}

#[expect(clippy::disallowed_methods, reason = "the one place that reads the system's clock")]
fn system_ms() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |d| u64::try_from(d.as_millis()).unwrap_or(u64::MAX))
}
