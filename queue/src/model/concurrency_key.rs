//! Of the jobs with the same key, one runs at a time.

/// A key of which one job has the lock, over all replicas, whatever the kinds of those that ask for it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct ConcurrencyKey {
    of_all: bool,
    key: String,
}

impl ConcurrencyKey {
    /// Each tenant has its own.
    #[must_use]
    pub fn of_tenant(key: impl Into<String>) -> Self {
        Self { of_all: false, key: key.into() }
    }

    /// One for the jobs of all tenants: what it stands for is something outside that several of them may write.
    #[must_use]
    pub fn of_all(key: impl Into<String>) -> Self {
        Self { of_all: true, key: key.into() }
    }

    /// The word itself.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.key
    }

    pub(crate) fn is_of_all(&self) -> bool {
        self.of_all
    }
}

impl From<&str> for ConcurrencyKey {
    fn from(key: &str) -> Self {
        Self::of_tenant(key)
    }
}
