//! The last probe of each service.

use std::{
    collections::HashMap,
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

use api::Probe;
use services::Name;

/// The last probe of each service.
#[derive(Default)]
pub(crate) struct Board(Mutex<HashMap<Name, Slot>>);

struct Slot {
    asked: Instant,
    probe: Option<Probe>,
}

impl Board {
    /// Whether it is time for a probe; if so, it counts as asked from now on.
    pub(crate) fn claim(&self, service: Name, cached: Duration, now: Instant) -> bool {
        let mut slots = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match slots.get_mut(&service) {
            Some(slot) if now.saturating_duration_since(slot.asked) < cached => false,
            Some(slot) => {
                slot.asked = now;
                true
            }
            None => {
                slots.insert(service, Slot { asked: now, probe: None });
                true
            }
        }
    }

    pub(crate) fn put(&self, service: Name, probe: Probe) {
        let mut slots = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(slot) = slots.get_mut(&service) {
            slot.probe = Some(probe);
        }
    }

    pub(crate) fn last(&self, service: Name) -> Option<Probe> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).get(&service)?.probe.clone()
    }
}

#[cfg(test)]
mod tests {
    use api::Timestamp;

    use super::*;

    const CACHED: Duration = Duration::from_secs(30);

    #[test]
    fn a_probe_is_asked_for_once_in_its_time() {
        let (board, now) = (Board::default(), Instant::now());
        assert!(board.claim(Name::Ai, CACHED, now));
        assert!(!board.claim(Name::Ai, CACHED, now + Duration::from_secs(29)), "it is under way or fresh");
        assert!(board.claim(Name::Redis, CACHED, now), "each service by itself");
        assert_eq!(board.last(Name::Ai), None);
        let probe = Probe { ok: true, latency_ms: Some(1.0), at: Timestamp::from_ms(1), error: None };
        board.put(Name::Ai, probe.clone());
        assert!(board.claim(Name::Ai, CACHED, now + CACHED));
        assert_eq!(board.last(Name::Ai), Some(probe), "the last one is shown until the next is there");
    }
}
