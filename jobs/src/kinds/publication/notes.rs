//! What is remembered of a product at a store: kept in MongoDB before anything that follows is done in the shop.

use std::{
    sync::{Mutex, PoisonError},
    time::Duration,
};

use futures::future::{BoxFuture, FutureExt};
use providers::publication::{Key, Listing, Notes, PublishError, Store, folded};
use store::ListingKey;

use super::made_of;
use crate::handler::Context;

/// MongoDB being away is no fault of the job.
pub(super) const STORE_AGAIN_AFTER: Duration = Duration::from_secs(5);

/// Of one product at one store.
pub(super) struct InStore {
    /// `None` in tests that need none.
    store: Option<store::Store>,
    key: ListingKey,
    version: Mutex<i64>,
}

/// Opens them, with what they say.
pub(super) async fn open(context: &Context, at: &Store, of: Key<'_>) -> Result<(InStore, Listing), PublishError> {
    let key = ListingKey {
        key: format!("{}/{}/{}", at.shop(), at.account(), folded(of.sku)),
        tenant: context.tenant.clone(),
        product_id: of.product_id.to_owned(),
    };
    let store = context.store.clone();
    let (version, listing) = match &store {
        None => (0, Listing::default()),
        Some(store) => {
            let stored = store.listing(&key.key).await.map_err(away)?;
            let listing = if stored.listing.is_null() {
                Listing::default()
            } else {
                let unreadable = |error: serde_json::Error| PublishError::Damaged(format!("{}: {error}", key.key));
                serde_json::from_value(stored.listing).map_err(unreadable)?
            };
            (stored.version, listing)
        }
    };
    Ok((InStore { store, key, version: Mutex::new(version) }, listing))
}

impl InStore {
    fn version(&self) -> i64 {
        *self.version.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Notes for InStore {
    fn save<'a>(&'a self, listing: &'a Listing) -> BoxFuture<'a, Result<(), PublishError>> {
        async move {
            let version = self.version();
            if let Some(store) = &self.store {
                let sources = made_of::sources(&listing.made_of);
                let listing = serde_json::to_value(listing).map_err(|error| PublishError::Notes(error.to_string()))?;
                if !store.keep_listing(&self.key, version, &listing, &sources).await.map_err(away)? {
                    return Err(PublishError::Overtaken(self.key.key.clone()));
                }
            }
            *self.version.lock().unwrap_or_else(PoisonError::into_inner) = version + 1;
            Ok(())
        }
        .boxed()
    }
}

pub(super) fn away(error: store::Error) -> PublishError {
    match error {
        store::Error::Refused { .. } => PublishError::Damaged(error.to_string()),
        error => PublishError::Notes(error.to_string()),
    }
}
