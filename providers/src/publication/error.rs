//! Why a product could not be published.

use super::fault::Fault;
use crate::error::ProviderError;

/// Why a product could not be published.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PublishError {
    /// The shop's error.
    #[error(transparent)]
    Provider(#[from] ProviderError),
    /// The store does not take the product as it is: it never will.
    #[error("{}", .0.iter().map(ToString::to_string).collect::<Vec<_>>().join("; "))]
    Refused(Vec<Fault>),
    /// What was to be done could not be written down, so it was not done.
    #[error("nothing was written to the shop: {0}")]
    Notes(String),
    /// What is remembered of the product cannot be read or kept, and never will be.
    #[error("what is remembered of the product is damaged: {0}")]
    Damaged(String),
    /// Another run of a job has written to the same product's notes meanwhile.
    #[error("another run works on {0}")]
    Overtaken(String),
}

impl From<Fault> for PublishError {
    fn from(fault: Fault) -> Self {
        Self::Refused(vec![fault])
    }
}
