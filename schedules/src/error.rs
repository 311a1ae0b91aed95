//! What can go wrong.

/// Why jobs could not be enqueued now.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Redis.
    #[error(transparent)]
    Queue(#[from] queue::Error),
    /// MongoDB.
    #[error(transparent)]
    Store(#[from] store::Error),
}
