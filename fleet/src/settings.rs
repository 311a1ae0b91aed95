//! Times that can be set.

use std::time::Duration;

use crate::clock::Clock;

/// Times of breakers and the like. Must be the same in all replicas.
#[derive(Debug, Clone)]
pub struct Settings {
    /// How long a breaker stays open after failures, at first. 30 s.
    pub open: Duration,
    /// Each failed probe doubles it, up to this. 5 min.
    pub open_at_most: Duration,
    /// How long a breaker stays open after [`Reported::Parked`](crate::Reported::Parked), at first. 5 min.
    pub parked: Duration,
    /// Each probe that is parked again doubles it, up to this. 1 h.
    pub parked_at_most: Duration,
    /// A probe that nothing is heard of for so long was lost, and another may go. Longer than most calls take. 60 s.
    pub probe_lease: Duration,
    /// An admission that takes longer is given unasked. 100 ms.
    pub answer_within: Duration,
    /// Where time is read from; it is set after the Redis server's.
    pub clock: Clock,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            open: Duration::from_secs(30),
            open_at_most: Duration::from_secs(300),
            parked: Duration::from_secs(300),
            parked_at_most: Duration::from_secs(3600),
            probe_lease: Duration::from_secs(60),
            answer_within: Duration::from_millis(100),
            clock: Clock::default(),
        }
    }
}

/// In whole milliseconds.
pub(crate) fn ms(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
