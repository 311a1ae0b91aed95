//! What is said again and again is said once a minute.

use std::{
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

/// Lets something be said once a minute.
#[derive(Debug, Default)]
pub(crate) struct OnceAMinute(Mutex<Option<Instant>>);

impl OnceAMinute {
    pub(crate) fn now(&self) -> bool {
        let mut last = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let now = Instant::now();
        let due = last.is_none_or(|last| now.duration_since(last) >= Duration::from_secs(60));
        if due {
            *last = Some(now);
        }
        due
    }
}
