//! Time, real or simulated. Scripts get it as an argument, so that tests can move it.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
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

    /// Sets a real clock after the server's: it said `server_ms` at some moment between a question and its answer, which `took` so
    /// long. A clock that agrees with that stays as it is: an answer that came late does not set it back.
    pub fn follow(&self, server_ms: u64, took: Duration) {
        if let Kind::Real { started, started_ms } = &*self.0 {
            let took_ms = u64::try_from(took.as_millis()).unwrap_or(u64::MAX);
            // Both are rounded down.
            let latest_ms = server_ms.saturating_add(took_ms).saturating_add(2);
            let now_ms = self.now_ms().clamp(server_ms, latest_ms);
            started_ms.store(now_ms.saturating_sub(elapsed_ms(*started)), Ordering::Relaxed);
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_late_answer_does_not_set_the_clock_back() {
        let clock = Clock::default();
        let server_ms = clock.now_ms() + 60_000;
        clock.follow(server_ms, Duration::ZERO);
        clock.follow(server_ms - 2, Duration::ZERO);
        assert!(clock.now_ms() >= server_ms, "parts of milliseconds do not show");
        clock.follow(server_ms - 2_000, Duration::from_secs(3));
        assert!(clock.now_ms() >= server_ms, "the answer may be so old");
        clock.follow(server_ms - 9_000, Duration::from_secs(3));
        assert!(clock.now_ms() < server_ms - 1_000, "it cannot be older");
        clock.follow(server_ms + 60_000, Duration::from_secs(3));
        assert!(clock.now_ms() >= server_ms + 60_000);
    }
}
