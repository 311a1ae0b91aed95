//! Takes products and publishes nothing. The would-be product reads back like a shop's.

use std::sync::{Mutex, PoisonError};

use async_trait::async_trait;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use super::{
    api::{Found, Key, Seen, StoreApi},
    error::PublishError,
    fields::Fields,
    listing::{Desk, Listing},
    patch::Patch,
    plain::plain,
};
use crate::error::ProviderError;

/// A store that is in nobody's reach.
#[derive(Debug)]
struct NoShop {
    /// The store's name is part of the ids.
    account: String,
    /// What it would show.
    fields: Mutex<Option<Fields>>,
}

/// The id of a would-be product: the same SKU in the same store always gets the same.
#[must_use]
pub fn mock_id(account: &str, sku: &str) -> String {
    let hash = Sha256::digest(format!("{account}\n{sku}"));
    format!("mock-{}", hex::encode(&hash[..8]))
}

/// A store that is in nobody's reach, and shows these fields of the product; `None`: it does not have it.
#[must_use]
pub fn mock_store(account: &str, fields: Option<Fields>) -> Box<dyn StoreApi> {
    Box::new(NoShop { account: account.to_owned(), fields: Mutex::new(fields) })
}

impl NoShop {
    fn lock(&self) -> std::sync::MutexGuard<'_, Option<Fields>> {
        self.fields.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn seen(&self, key: Key<'_>) -> Option<Seen> {
        let fields = self.lock().clone()?;
        let external_id = mock_id(&self.account, key.sku);
        let visible = fields.get("status").is_some_and(|status| status == "active");
        Some(Seen { external_id, url: None, visible, marked: Some(true), fields, raw: Value::Null })
    }
}

#[async_trait]
impl StoreApi for NoShop {
    async fn test(&self) -> Result<(), ProviderError> {
        Ok(())
    }

    async fn normal(&self, _key: Key<'_>, patch: &Patch) -> Result<Fields, PublishError> {
        Ok(plain(patch))
    }

    fn rewrites(&self, _field: &str) -> bool {
        false
    }

    fn of_variants(&self) -> &'static [&'static str] {
        &[]
    }

    async fn find(&self, key: Key<'_>, _listing: &Listing) -> Result<Found, ProviderError> {
        Ok(self.seen(key).map_or(Found::Nothing, |seen| Found::Product(Box::new(seen))))
    }

    fn created_within_ms(&self) -> u64 {
        0
    }

    async fn create(&self, key: Key<'_>, _patch: &Patch) -> Result<Seen, PublishError> {
        *self.lock() = Some(Fields::new());
        let seen = self.seen(key);
        seen.ok_or_else(|| PublishError::Notes("the product that was just made is gone".to_owned()))
    }

    async fn write(&self, _seen: &Seen, patch: &Patch, _desk: &mut Desk<'_>) -> Result<(), PublishError> {
        self.lock().get_or_insert_default().extend(plain(patch));
        Ok(())
    }

    async fn show(&self, _seen: &Seen, visible: bool) -> Result<(), PublishError> {
        let status = if visible { json!("active") } else { json!("draft") };
        self.lock().get_or_insert_default().insert("status".to_owned(), status);
        Ok(())
    }

    async fn delete(&self, _seen: &Seen) -> Result<(), PublishError> {
        *self.lock() = None;
        Ok(())
    }
}
