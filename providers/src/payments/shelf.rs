//! Where the mock keeps what it knows. The processes of one deployment share one mock only if they share a shelf.

use std::{
    collections::BTreeMap,
    fmt::Debug,
    sync::{Mutex, MutexGuard, PoisonError},
};

use futures::future::{BoxFuture, FutureExt, ready};

use crate::error::ProviderError;

/// Keeps texts by name. What one customer has is one text.
pub trait Shelf: Send + Sync + Debug {
    /// A text and its version, which is at least 1.
    ///
    /// # Errors
    /// [`ProviderError::Transient`] when nobody can tell.
    fn load<'a>(&'a self, name: &'a str) -> BoxFuture<'a, Result<Option<(u64, String)>, ProviderError>>;

    /// Keeps a text in the place of that version; 0: in the place of none. `false`: another one is there by now, and nothing was kept.
    ///
    /// # Errors
    /// [`ProviderError::Transient`] when nobody can tell.
    fn save<'a>(&'a self, name: &'a str, text: String, was: u64) -> BoxFuture<'a, Result<bool, ProviderError>>;

    /// All names.
    ///
    /// # Errors
    /// [`ProviderError::Transient`] when nobody can tell.
    fn names(&self) -> BoxFuture<'_, Result<Vec<String>, ProviderError>>;
}

/// A shelf that goes with the process.
#[derive(Debug, Default)]
pub struct Memory(Mutex<BTreeMap<String, (u64, String)>>);

impl Memory {
    fn texts(&self) -> MutexGuard<'_, BTreeMap<String, (u64, String)>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Shelf for Memory {
    fn load<'a>(&'a self, name: &'a str) -> BoxFuture<'a, Result<Option<(u64, String)>, ProviderError>> {
        ready(Ok(self.texts().get(name).cloned())).boxed()
    }

    fn save<'a>(&'a self, name: &'a str, text: String, was: u64) -> BoxFuture<'a, Result<bool, ProviderError>> {
        let mut texts = self.texts();
        let version = texts.get(name).map_or(0, |(version, _)| *version);
        if version == was {
            texts.insert(name.to_owned(), (version + 1, text));
        }
        ready(Ok(version == was)).boxed()
    }

    fn names(&self) -> BoxFuture<'_, Result<Vec<String>, ProviderError>> {
        ready(Ok(self.texts().keys().cloned().collect())).boxed()
    }
}
