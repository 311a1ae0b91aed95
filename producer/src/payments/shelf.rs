//! Where the mock of Stripe keeps what it knows: in MongoDB, as soon as that is known.

use std::sync::{Arc, OnceLock};

use futures::future::{BoxFuture, FutureExt};
use jobs::payment::MockShelf;
use providers::{ProviderError, payments::Shelf};
use store::Store;

/// The shelf that workers have too. MongoDB may not be known yet when the API starts.
#[derive(Clone)]
pub(super) struct LateShelf(pub(super) Arc<OnceLock<Store>>);

impl std::fmt::Debug for LateShelf {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("LateShelf")
    }
}

impl LateShelf {
    fn shelf(&self) -> Result<MockShelf, ProviderError> {
        let away = || ProviderError::Transient {
            service: "mock",
            message: "mongodb's address cannot be looked up".to_owned(),
            retry_after: None,
        };
        self.0.get().map(|store| MockShelf(store.clone())).ok_or_else(away)
    }
}

impl Shelf for LateShelf {
    fn load<'a>(&'a self, name: &'a str) -> BoxFuture<'a, Result<Option<(u64, String)>, ProviderError>> {
        async move { self.shelf()?.load(name).await }.boxed()
    }

    fn save<'a>(&'a self, name: &'a str, text: String, was: u64) -> BoxFuture<'a, Result<bool, ProviderError>> {
        async move { self.shelf()?.save(name, text, was).await }.boxed()
    }

    fn names(&self) -> BoxFuture<'_, Result<Vec<String>, ProviderError>> {
        async move { self.shelf()?.names().await }.boxed()
    }
}
