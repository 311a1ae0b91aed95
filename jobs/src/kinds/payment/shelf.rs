//! The mock of Stripe keeps what it knows in MongoDB, so that all processes have the same.

use futures::future::{BoxFuture, FutureExt};
use providers::{ProviderError, payments::Shelf};
use store::{Error, Store};

/// A shelf in MongoDB, for [`providers::Providers::with_mock_payments_on`].
#[derive(Debug, Clone)]
pub struct MockShelf(pub Store);

impl Shelf for MockShelf {
    fn load<'a>(&'a self, name: &'a str) -> BoxFuture<'a, Result<Option<(u64, String)>, ProviderError>> {
        async move { self.0.mock_payments(name).await.map_err(|error| away(&error)) }.boxed()
    }

    fn save<'a>(&'a self, name: &'a str, text: String, was: u64) -> BoxFuture<'a, Result<bool, ProviderError>> {
        async move { self.0.keep_mock_payments(name, text, was).await.map_err(|error| away(&error)) }.boxed()
    }

    fn names(&self) -> BoxFuture<'_, Result<Vec<String>, ProviderError>> {
        async move { self.0.mock_payments_names().await.map_err(|error| away(&error)) }.boxed()
    }
}

fn away(error: &Error) -> ProviderError {
    ProviderError::Transient { service: "mock", message: error.to_string(), retry_after: None }
}
