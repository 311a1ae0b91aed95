//! What can go wrong with the fleet's shared state.

use crate::trouble::Trouble;

/// The fleet's errors.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The URL cannot be understood.
    #[error("REDIS_URL cannot be read: {0}")]
    Url(String),
    /// The prefix is empty.
    #[error(
        "REDIS_PREFIX is empty: it keeps our keys apart from those of others; leave it out for `ecom`, or set a name"
    )]
    Prefix,
    /// Redis did not answer, or takes nothing at the moment. What was asked may have happened or not.
    #[error("redis, which holds what replicas share, does not answer: {0}")]
    Unavailable(String),
    /// Redis is at `maxmemory`: nothing was written.
    #[error("redis, which holds what replicas share, has no memory left (maxmemory)")]
    Full,
    /// Redis refused what was asked in a way that trying again does not mend.
    #[error("redis, which holds what replicas share, refused: {0}")]
    Refused(String),
    /// Something stored cannot be read.
    #[error("the stored {what} cannot be read: {reason}")]
    Corrupt {
        /// What it is.
        what: &'static str,
        /// Why.
        reason: String,
    },
    /// The tenant may not spend so much more today.
    #[error(
        "tenant {tenant:?} has spent or reserved {spent_micro_usd} of {cap_micro_usd} micro-USD today, and {asked_micro_usd} more \
         would be over it; it may go on tomorrow (UTC)"
    )]
    OverCap {
        /// Whose spending.
        tenant: String,
        /// Spent and reserved on this UTC day.
        spent_micro_usd: u64,
        /// What the call may cost.
        asked_micro_usd: u64,
        /// What the tenant may spend a day.
        cap_micro_usd: u64,
    },
}

impl Error {
    pub(crate) fn corrupt(what: &'static str, reason: impl std::fmt::Display) -> Self {
        Self::Corrupt { what, reason: reason.to_string() }
    }
}

impl From<redis::RedisError> for Error {
    fn from(error: redis::RedisError) -> Self {
        match Trouble::from(&error) {
            Trouble::Away(why) => Self::Unavailable(why),
            Trouble::Full => Self::Full,
            Trouble::Refused(why) => Self::Refused(why),
        }
    }
}
