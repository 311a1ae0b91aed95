//! Whom a language model is asked of, and why a request gave nothing.

use super::validate;
use crate::error::ProviderError;

/// Longest piece of a foreign text within an error message, in characters.
const QUOTE: usize = 300;

/// Who answers, and the names of its variables for messages.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct EndPoint {
    pub(super) service: &'static str,
    pub(super) key: &'static str,
    pub(super) base_url: &'static str,
    pub(super) model: &'static str,
    /// Whether this is the protocol's own vendor, whose refusals say what is wrong with an input; others refuse what they cannot do.
    pub(super) is_its_vendor: bool,
}

/// Why one request gave nothing.
#[derive(Debug, thiserror::Error)]
pub(super) enum Failure {
    /// The vendor does not have this model, or no longer.
    #[error("{0}")]
    ModelGone(String),
    /// The end point cannot do what the request asked for; in another dialect it may.
    #[error("{error}")]
    Unfit {
        /// What it said, whole.
        said: String,
        /// The same, for when no other dialect is left.
        error: ProviderError,
    },
    #[error(transparent)]
    Other(#[from] ProviderError),
}

impl EndPoint {
    pub(super) fn transient(self, message: String) -> ProviderError {
        ProviderError::Transient { service: self.service, message, retry_after: None }
    }

    pub(super) fn misconfigured(self, message: String) -> ProviderError {
        ProviderError::Misconfigured { service: self.service, message }
    }
}

/// One line of a foreign text, not too long.
pub(super) fn quote(text: &str) -> String {
    let line = validate::plain_text(text);
    match line.char_indices().nth(QUOTE) {
        Some((end, _)) => format!("{}…", &line[..end]),
        None => line,
    }
}
