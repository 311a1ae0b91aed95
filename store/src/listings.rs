//! What is remembered of a product at a store, from one job to the next: the collection `listings`.
//!
//! `{ _id: key, tenant, product_id, of: [{ tenant, product_id }], version, at, sources, listing }`. The key and the text `listing` (JSON) are the
//! caller's. Each write names the version that it read, so that of two that read the same only one is carried out. `of` are all tenants that have
//! written it, each with its own id of the product: the environment's stores are everybody's. `tenant` and `product_id` are those of the last one;
//! a document of an older release has no others.

use async_recursion::async_recursion as boxed;
use futures::TryStreamExt;
use mongodb::bson::{Bson, DateTime, Document, doc};
use serde_json::Value;

use crate::{ANSWER_TIMEOUT, Error, MAX_TIME, Moment, Store, error::is_duplicate_key, index::index, run};

const COLLECTION: &str = "listings";
const MOST_FOUND: i64 = 100;

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
    /// Whose job writes it. Several tenants may have it: the environment's stores are everybody's.
    pub tenant: String,
    /// The tenant's own id of the product.
    pub product_id: String,
}

/// A listing that was found by what it is of.
#[derive(Debug, Clone, PartialEq)]
pub struct FoundListing {
    /// Where it is.
    pub key: ListingKey,
    /// When it was written last.
    pub at: Moment,
    /// What is remembered.
    pub listing: Value,
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

    /// Remembers `listing` if nobody has since `version` was read; whether it was so. `sources`: the jobs whose results the product was made of.
    ///
    /// # Errors
    /// [`Error::Unavailable`] when it may work later, and may have been done; [`Error::Refused`] when it never will.
    #[boxed]
    pub async fn keep_listing(
        &self,
        key: &ListingKey,
        version: i64,
        listing: &Value,
        sources: &[String],
    ) -> Result<bool, Error> {
        let what = format!("remember what was done with {:?}", key.key);
        let collection = self.collection(COLLECTION);
        let filter = doc! { "_id": &key.key, "version": version };
        let literal = |value: Bson| doc! { "$literal": value };
        // What an older release has noted.
        let last = doc! { "tenant": "$tenant", "product_id": "$product_id" };
        let is_another = doc! { "$and": [
            { "$eq": [{ "$type": "$$this.tenant" }, "string"] },
            { "$ne": ["$$this.tenant", literal(key.tenant.as_str().into())] },
        ] };
        let others = doc! { "$filter": { "input": { "$ifNull": ["$of", [last]] }, "cond": is_another } };
        let this = doc! { "tenant": key.tenant.as_str(), "product_id": key.product_id.as_str() };
        let update = vec![doc! { "$set": {
            "of": { "$concatArrays": [others, [literal(this.into())]] },
            "tenant": literal(key.tenant.as_str().into()),
            "product_id": literal(key.product_id.as_str().into()),
            "version": literal((version + 1).into()),
            "at": literal(DateTime::now().into()),
            "sources": literal(sources.to_vec().into()),
            "listing": literal(listing.to_string().into()),
        } }];
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

    /// What a tenant's product is remembered as, at most 100 listings.
    ///
    /// # Errors
    /// As [`Store::listing`].
    #[boxed]
    pub async fn listings_of(&self, tenant: &str, product_id: &str) -> Result<Vec<FoundListing>, Error> {
        let of = doc! { "tenant": tenant, "product_id": product_id };
        self.find_listings(tenant, &of, Document::new()).await
    }

    /// The listings of a tenant's products that were made of the result of this job, at most 100.
    ///
    /// # Errors
    /// As [`Store::listing`].
    #[boxed]
    pub async fn listings_made_of(&self, job_id: &str, tenant: &str) -> Result<Vec<FoundListing>, Error> {
        self.find_listings(tenant, &doc! { "tenant": tenant }, doc! { "sources": job_id }).await
    }

    /// Those that `of` a tenant's are noted at, under its own ids.
    async fn find_listings(&self, tenant: &str, of: &Document, also: Document) -> Result<Vec<FoundListing>, Error> {
        let what = "look for what is remembered of a product".to_owned();
        let collection = self.collection(COLLECTION);
        let mut older = doc! { "of": { "$exists": false } };
        older.extend(of.clone());
        let mut filter = doc! { "$or": [{ "of": { "$elemMatch": of.clone() } }, older] };
        filter.extend(also);
        let find = async move {
            let found = collection.find(filter).sort(doc! { "_id": 1 }).limit(MOST_FOUND).max_time(MAX_TIME).await?;
            found.try_collect::<Vec<_>>().await
        };
        let documents = run(what, ANSWER_TIMEOUT, find).await?;
        // A damaged one must not hide the others.
        Ok(documents.iter().filter_map(|document| read(document, tenant).ok()).collect())
    }

    pub(crate) async fn prepare_listings(&self) -> Result<(), Error> {
        let of_product = index("product", doc! { "tenant": 1, "product_id": 1 });
        let of_each = index("of", doc! { "of.tenant": 1, "of.product_id": 1 });
        self.create_indexes(COLLECTION, [of_product, of_each, index("sources", doc! { "sources": 1 })]).await
    }
}

/// As this tenant has it.
fn read(document: &Document, tenant: &str) -> Result<FoundListing, String> {
    let text = |of: &Document, name: &str| of.get_str(name).map(str::to_owned).map_err(|error| error.to_string());
    let each = document.get_array("of").map(Vec::as_slice).unwrap_or_default();
    let own = each
        .iter()
        .filter_map(Bson::as_document)
        .find(|of| of.get_str("tenant").ok() == Some(tenant))
        .unwrap_or(document);
    let at_ms = document.get_datetime("at").map_or(0, |at| at.timestamp_millis());
    Ok(FoundListing {
        key: ListingKey {
            key: text(document, "_id")?,
            tenant: text(own, "tenant")?,
            product_id: text(own, "product_id")?,
        },
        at: Moment::from_ms(u64::try_from(at_ms).unwrap_or(0)),
        listing: serde_json::from_str(&text(document, "listing")?).map_err(|error| error.to_string())?,
    })
}
