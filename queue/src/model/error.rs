//! What can go wrong with the queue.

use super::id::JobId;

/// The queue's errors.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// Redis did not answer in time, or takes nothing at the moment. What was asked may have happened or not.
    #[error("redis is away: {0}")]
    Unavailable(String),
    /// Redis is at `maxmemory`: nothing was written.
    #[error(
        "redis is full: it has all the memory that its maxmemory allows; it takes jobs again when others have ended, or when \
         maxmemory is raised"
    )]
    Full,
    /// Redis refused a command in a way that trying again does not mend.
    #[error("redis refused: {0}")]
    Redis(String),
    /// There is no such job, or it finished longer ago than it is kept.
    #[error("no such job")]
    NotFound,
    /// There is no queue of this name.
    #[error("no queue named {0:?}")]
    UnknownQueue(String),
    /// The job's state does not allow it.
    #[error("the job is {0}")]
    Conflict(&'static str),
    /// Another job holds the unique key.
    #[error("job {0} holds the unique key")]
    Duplicate(JobId),
    /// Others push with the same unique key at the same time, again and again. Nothing was pushed.
    #[error("too many pushes at once compete for the unique key {0:?}")]
    Contended(String),
    /// What was asked cannot be.
    #[error("{0}")]
    Invalid(String),
    /// Something stored cannot be read.
    #[error("stored data is damaged: {0}")]
    Corrupt(String),
}
