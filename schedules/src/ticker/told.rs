//! What cannot be read or pushed is told once.

use std::{
    collections::BTreeSet,
    sync::{Arc, Mutex, PoisonError},
};

use store::Unreadable;

/// What was told.
#[derive(Debug, Clone, Default)]
pub(crate) struct Told(Arc<Mutex<BTreeSet<String>>>);

impl Told {
    /// What cannot be read.
    pub(crate) fn unreadable(&self, unreadable: &[Unreadable]) {
        for Unreadable { id, reason } in unreadable {
            if self.is_new(id) {
                let schedule = id;
                tracing::error!(schedule, reason, "a schedule cannot be read; a newer release may have written it");
            }
        }
    }

    /// A schedule's jobs cannot be pushed.
    pub(crate) fn held_up(&self, schedule: &str, error: &queue::Error) {
        if self.is_new(schedule) {
            tracing::error!(schedule, %error, "a schedule's job cannot be pushed; it is tried again each second");
        }
    }

    fn is_new(&self, id: &str) -> bool {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(id.to_owned())
    }
}

pub(crate) fn ids(unreadable: &[Unreadable]) -> Vec<String> {
    unreadable.iter().map(|unreadable| unreadable.id.clone()).collect()
}
