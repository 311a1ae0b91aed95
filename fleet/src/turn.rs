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
    /// Nobody can tell: nothing is shared, or Redis does not answer. It may have begun all the same, and ends when this is dropped.
    Unknown(Option<Begun>),
}

/// A turn that has begun.
pub struct Begun {
    shared: Arc<Shared>,
    place: String,
    ticket: String,
}

impl Begun {
    pub(crate) fn new(shared: &Arc<Shared>, place: &str, ticket: &str) -> Self {
        Self { shared: shared.clone(), place: place.to_owned(), ticket: ticket.to_owned() }
    }
}

impl fmt::Debug for Begun {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Begun").field("place", &self.place).field("ticket", &self.ticket).finish_non_exhaustive()
    }
}

impl Drop for Begun {
    fn drop(&mut self) {
        self.shared.leave(std::mem::take(&mut self.place), std::mem::take(&mut self.ticket));
    }
}
