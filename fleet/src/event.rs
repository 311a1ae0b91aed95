//! What happened, and how replicas tell each other.

use serde::{Deserialize, Serialize};

use crate::mode::Mode;

/// What happened, in this replica or another.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// Somebody switched between mock and real.
    ModeChanged {
        /// The service; `None` is all of them.
        service: Option<String>,
        /// What it is now.
        mode: Mode,
    },
    /// Calls to an account are stopped.
    BreakerOpened {
        /// The account.
        account: String,
        /// Why.
        reason: String,
    },
    /// An account's service works again.
    BreakerClosed {
        /// The service whose call was answered.
        service: String,
        /// The account.
        account: String,
    },
}

/// A message, as it is published. Those of a newer release are left unread.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum News {
    Mode,
    BreakerOpened { account: String, reason: String },
    BreakerClosed { service: String, account: String },
}
