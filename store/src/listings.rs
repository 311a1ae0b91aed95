//! What is remembered of a product at a store, from one job to the next: the collection `listings`.
//!
//! `{ _id: key, tenant, product_id, version, at, listing }`. The key and the text `listing` (JSON) are the caller's. Each write names the
//! version that it read, so that of two that read the same only one is carried out.

use async_recursion::async_recursion as boxed;
use mongodb::bson::{DateTime, doc};
use serde_json::Value;

use crate::{ANSWER_TIMEOUT, Error, MAX_TIME, Store, error::is_duplicate_key, index::index, run};

const COLLECTION: &str = "listings";

/// What is remembered, and which write it was.
#[derive(Debug, Clone, PartialEq)]
pub struct StoredListing {
    /// Counts the writes; 0: there was none.
    pub version: i64,
    /// What is remembered; `null` when nothing is.
    pub listing: Value,
}

/// What a product at a store is remembered under.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListingKey {
    /// Of the store and the SKU.
    pub key: String,
    /// Whose job writes it.
    pub tenant: String,
    /// The tenant's own id of the product.
    pub product_id: String,
}

impl Store {
    /// What is remembered under a key.
    ///
    /// # Errors
    /// [`Error::Unavailable`] when it may work later, [`Error::Refused`] when the document was damaged.
    #[boxed]
    pub async fn listing(&self, key: &str) -> Result<StoredListing, Error> {
        let what = format!("read what is remembered of {key:?}");
        let collection = self.collection(COLLECTION);
        let filter = doc! { "_id": key };
        let find = async move { collection.find_one(filter).max_time(MAX_TIME).await };
        let Some(document) = run(what.clone(), ANSWER_TIMEOUT, find).await? else {
            return Ok(StoredListing { version: 0, listing: Value::Null });
        };
        let listing = document.get_str("listing").map_err(|error| error.to_string());
        let listing = listing.and_then(|text| serde_json::from_str(text).map_err(|error| error.to_string()));
        let listing = listing.map_err(|reason| Error::Refused { what, reason })?;
        Ok(StoredListing { version: document.get_i64("version").unwrap_or(0), listing })
    }

    /// Remembers `listing` if nobody has since `version` was read; whether it was so.
    ///
    /// # Errors
    /// [`Error::Unavailable`] when it may work later, and may have been done; [`Error::Refused`] when it never will.
    #[boxed]
    pub async fn keep_listing(&self, key: &ListingKey, version: i64, listing: &Value) -> Result<bool, Error> {
        let what = format!("remember what was done with {:?}", key.key);
        let collection = self.collection(COLLECTION);
        let filter = doc! { "_id": &key.key, "version": version };
        let update = doc! { "$set": {
            "tenant": &key.tenant,
            "product_id": &key.product_id,
            "version": version + 1,
            "at": DateTime::now(),
            "listing": listing.to_string(),
        } };
        let write = async move {
            let written = collection.update_one(filter, update).upsert(version == 0).await;
            match written {
                // Two that both read nothing.
                Err(error) if is_duplicate_key(&error) => Ok(false),
                written => written.map(|written| written.matched_count + u64::from(written.upserted_id.is_some()) > 0),
            }
        };
        run(what, ANSWER_TIMEOUT, write).await
    }

    pub(crate) async fn prepare_listings(&self) -> Result<(), Error> {
        self.create_indexes(COLLECTION, [index("product", doc! { "tenant": 1, "product_id": 1 })]).await
    }
}
