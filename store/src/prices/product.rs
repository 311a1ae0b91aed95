//! What is known of a tenant's product: what its offers say together, and what was made of it.

use async_recursion::async_recursion as boxed;
use futures::TryStreamExt;
use mongodb::{
    IndexModel,
    bson::{Document, RawDocumentBuf, doc},
    options::IndexOptions,
};
use serde_json::Value;

use crate::{
    ANSWER_TIMEOUT, Error, MAX_TIME, Moment, Store, error::is_duplicate_key, index::index_with, json, results, run,
};

/// So many results of a product are read together.
const MOST_RESULTS: i64 = 200;
pub(super) const PRODUCTS: &str = "product_prices";

/// What the offers of a product said together.
#[derive(Debug, Clone, PartialEq)]
pub struct Unified {
    /// When they were compared.
    pub at: Moment,
    /// What came of it.
    pub comparison: Value,
}

/// The newest result of a kind for a product.
#[derive(Debug, Clone, PartialEq)]
pub struct OfProduct {
    /// The job that made it.
    pub job_id: String,
    /// Who made it.
    pub provider: Option<String>,
    /// Whether a stand-in made it.
    pub degraded: bool,
    /// When it was first stored.
    pub created_at: Moment,
    /// What was made.
    pub result: Value,
}

/// The index by which the newest result of a product is found.
pub(crate) fn of_product() -> IndexModel {
    let options = IndexOptions::builder().partial_filter_expression(doc! { "product_id": { "$exists": true } }).build();
    index_with("product", doc! { "tenant": 1, "product_id": 1, "_id": -1 }, options)
}

impl Store {
    /// Keeps what the offers of a product said together at `at`; what was known of a later time stays.
    ///
    /// # Errors
    /// [`Error::Unavailable`] when it may work later (and may have happened).
    #[boxed]
    pub async fn keep_unified(&self, tenant: &str, product_id: &str, unified: &Unified) -> Result<(), Error> {
        let what = format!("keep the unified price of product {product_id:?} of {tenant}");
        let Some(comparison) = json::to_bson(&unified.comparison) else {
            return Err(Error::Refused { what, reason: "it cannot be kept as BSON".to_owned() });
        };
        let mut filter = id(tenant, product_id);
        filter.insert("at", doc! { "$lt": unified.at });
        let update = doc! { "$set": { "at": unified.at, "unified": comparison } };
        let collection = self.collection(PRODUCTS);
        let write = async move {
            match collection.update_one(filter, update).upsert(true).await {
                // There is one of a later time.
                Err(error) if is_duplicate_key(&error) => Ok(()),
                written => written.map(drop),
            }
        };
        run(what, ANSWER_TIMEOUT, write).await
    }

    /// The newest result in `collection` for a tenant's product; only results that were stored with the product are found.
    ///
    /// # Errors
    /// [`Error::Unavailable`] when it may work later, [`Error::Refused`] when the document was damaged.
    #[boxed]
    pub async fn newest_result(
        &self,
        collection: &'static str,
        tenant: &str,
        product_id: &str,
    ) -> Result<Option<OfProduct>, Error> {
        let what = format!("read the newest result for product {product_id:?} of {tenant} from {collection}");
        let filter = doc! { "tenant": tenant, "product_id": product_id };
        let results = self.collection(collection).clone_with_type::<RawDocumentBuf>();
        let find = async move { results.find_one(filter).sort(doc! { "_id": -1 }).max_time(MAX_TIME).await };
        let found = run(what.clone(), ANSWER_TIMEOUT, find).await?;
        let found = found.map(|document| read_of_product(&document)).transpose();
        found.map_err(|reason| Error::Refused { what, reason })
    }

    /// The last results in `collection` for a tenant's product, at most 200, in the order of their jobs' ids; only results that were stored with
    /// the product are found.
    ///
    /// # Errors
    /// As [`Store::newest_result`].
    #[boxed]
    pub async fn results_of(
        &self,
        collection: &'static str,
        tenant: &str,
        product_id: &str,
    ) -> Result<Vec<OfProduct>, Error> {
        let what = format!("read the results for product {product_id:?} of {tenant} from {collection}");
        let filter = doc! { "tenant": tenant, "product_id": product_id };
        let results = self.collection(collection).clone_with_type::<RawDocumentBuf>();
        let find = async move {
            let found = results.find(filter).sort(doc! { "_id": -1 }).limit(MOST_RESULTS).max_time(MAX_TIME);
            found.await?.try_collect::<Vec<_>>().await
        };
        let found = run(what.clone(), ANSWER_TIMEOUT, find).await?;
        let found = found.iter().rev().map(read_of_product).collect::<Result<_, _>>();
        found.map_err(|reason| Error::Refused { what, reason })
    }

    /// What the offers of a product said together when they were last compared.
    ///
    /// # Errors
    /// [`Error::Unavailable`] when it may work later.
    #[boxed]
    pub async fn unified(&self, tenant: &str, product_id: &str) -> Result<Option<Unified>, Error> {
        let what = format!("read the unified price of product {product_id:?} of {tenant}");
        let collection = self.collection(PRODUCTS);
        let filter = id(tenant, product_id);
        let find = async move { collection.find_one(filter).max_time(MAX_TIME).await };
        let found = run(what, ANSWER_TIMEOUT, find).await?;
        Ok(found.and_then(|mut document| {
            let at = document.get_datetime("at").ok()?.timestamp_millis();
            let comparison = json::from_bson(document.remove("unified")?);
            Some(Unified { at: Moment::from_ms(u64::try_from(at).unwrap_or(0)), comparison })
        }))
    }
}

fn read_of_product(document: &RawDocumentBuf) -> Result<OfProduct, String> {
    let text = |name: &str| document.get_str(name).ok().map(str::to_owned);
    let created_ms = document.get_datetime("created_at").map_or(0, |at| at.timestamp_millis());
    Ok(OfProduct {
        job_id: text("_id").unwrap_or_default(),
        provider: text("provider"),
        degraded: document.get_bool("degraded").unwrap_or(false),
        created_at: Moment::from_ms(u64::try_from(created_ms).unwrap_or(0)),
        result: results::read(document)?,
    })
}

fn id(tenant: &str, product_id: &str) -> Document {
    doc! { "_id": { "tenant": tenant, "product_id": product_id } }
}
