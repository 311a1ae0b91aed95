//! What a job kind says of itself. How it is run is told elsewhere (`jobs::Handler`), so that a client can push any kind.

use serde::{Serialize, de::DeserializeOwned};

/// The payload of one job kind, with the defaults of that kind.
///
/// The stored name ([`Job::KIND`]) is a contract: it names the queue in Redis and is never reused.
pub trait Job: Serialize + DeserializeOwned + Send + Sync + 'static {
    /// Name of the kind, and of its queue: lower case, `a-z`, `0-9` and `-`.
    const KIND: &'static str;
    /// How many attempts that failed are allowed before the job is dead.
    const MAX_ATTEMPTS: u32 = 3;
    /// How long one attempt may run, in seconds.
    const TIMEOUT_S: u64 = 60;
    /// Whether a stand-in (another provider, at last the mock) may answer when the real service cannot.
    const ALLOW_FALLBACK: bool = false;
    /// How many of these jobs one replica runs at a time, unless a variable says otherwise.
    const CONCURRENCY: usize = 4;
    /// Whether jobs that have ended are also kept in the long history.
    const HISTORY: bool = true;
}

/// The defaults of one kind, as values.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Kind {
    /// See [`Job::KIND`].
    pub name: String,
    /// See [`Job::MAX_ATTEMPTS`].
    pub max_attempts: u32,
    /// See [`Job::TIMEOUT_S`].
    pub timeout_s: u64,
    /// See [`Job::ALLOW_FALLBACK`].
    pub allow_fallback: bool,
    /// See [`Job::HISTORY`].
    pub history: bool,
}

impl Kind {
    /// The defaults that `J` declares.
    #[must_use]
    pub fn of<J: Job>() -> Self {
        Self {
            name: J::KIND.to_owned(),
            max_attempts: J::MAX_ATTEMPTS,
            timeout_s: J::TIMEOUT_S,
            allow_fallback: J::ALLOW_FALLBACK,
            history: J::HISTORY,
        }
    }
}
