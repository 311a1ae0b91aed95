//! Asks stores whether they take their credentials.

use std::time::Duration;

use futures::future::{BoxFuture, FutureExt};
use providers::{
    ProviderError,
    publication::{Shops, Store},
};

/// A shop looks at several rights, one after the other.
const TEST_WITHIN: Duration = Duration::from_secs(25);

/// What the API asks of the shops' interfaces.
pub(crate) trait AskStores: Send + Sync {
    /// Whether products go to real stores now.
    fn is_real(&self) -> bool;

    /// The environment's stores.
    fn of_environment(&self) -> &[Store];

    /// Why a store's address is never asked; `None`: it may be.
    fn refusal(&self, store: &Store) -> Option<String>;

    /// Whether the operator lets any store be at this host.
    fn allows(&self, host: &str) -> bool;

    /// See [`Shops::test`].
    fn test<'a>(&'a self, store: &'a Store) -> BoxFuture<'a, Result<(), ProviderError>>;
}

impl AskStores for Shops {
    fn is_real(&self) -> bool {
        Self::is_real(self)
    }

    fn of_environment(&self) -> &[Store] {
        self.stores()
    }

    fn refusal(&self, store: &Store) -> Option<String> {
        Self::refusal(self, store)
    }

    fn allows(&self, host: &str) -> bool {
        Self::allows(self, host)
    }

    fn test<'a>(&'a self, store: &'a Store) -> BoxFuture<'a, Result<(), ProviderError>> {
        Self::test(self, store, TEST_WITHIN).boxed()
    }
}
