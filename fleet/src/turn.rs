//! One's turn at a place where one goes after the other.

use std::{fmt, sync::Arc, time::Duration};

use crate::shared::Shared;

/// Whether it is one's turn.
#[derive(Debug)]
#[must_use]
pub enum Turn {
    /// It is; it ends when this is dropped.
    Begun(Begun),
    /// It may be, after this time.
    Wait(Duration),
}

/// A turn that has begun.
pub struct Begun(Option<(Arc<Shared>, String, String)>);

impl Begun {
    pub(crate) fn new(shared: &Arc<Shared>, place: &str, ticket: &str) -> Self {
        Self(Some((shared.clone(), place.to_owned(), ticket.to_owned())))
    }

    /// Of someone who shares nothing.
    pub(crate) fn alone() -> Self {
        Self(None)
    }
}

impl fmt::Debug for Begun {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Begun").field(&self.0.as_ref().map(|(_, place, ticket)| (place, ticket))).finish()
    }
}

impl Drop for Begun {
    fn drop(&mut self) {
        if let Some((shared, place, ticket)) = self.0.take() {
            shared.leave(place, ticket);
        }
    }
}
