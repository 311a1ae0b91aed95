//! The tenants' stores: the collection `stores`, a document each. What opens a store is sealed by the caller; nothing here can read it.
//!
//! `version` is of what people set. What the system finds out (`parked`, `tested_at`) and how the credentials are sealed is changed beside it.

use std::collections::{BTreeMap, BTreeSet};

use async_recursion::async_recursion as boxed;
use futures::TryStreamExt;
use mongodb::{
    bson::{Bson, Document, doc},
    options::IndexOptions,
};
use serde::{Deserialize, Serialize};

use crate::{
    ANSWER_TIMEOUT, Error, MAX_TIME, Moment, Store,
    documents::{Documents, to_document},
    index::{index, index_with},
    run,
};

const STORES: &str = "stores";
/// Ids are `<tenant>/<name>`; this is the character behind the slash.
const BEHIND_SLASH: char = '0';

/// A tenant's store.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StoredStore {
    /// `<tenant>/<name>`.
    #[serde(rename = "_id")]
    pub id: String,
    /// Whose it is.
    pub tenant: String,
    /// Its name among the tenant's.
    pub name: String,
    /// The software that it runs on.
    pub shop: String,
    /// Where it is.
    pub url: String,
    /// Where it is, however its `url` is written: of a tenant's stores of one shop each has another. Absent where an older release wrote it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub address: Option<String>,
    /// Whether it may be asked over plain HTTP.
    pub allow_http: bool,
    /// The languages in which it shows products.
    pub languages: Vec<String>,
    /// The currency of its prices.
    pub currency: Option<String>,
    /// What opens it, sealed.
    pub sealed: String,
    /// The name of the key that it is sealed with.
    pub key: String,
    /// Grows with each change that someone makes.
    pub version: i64,
    /// When it was added.
    pub created_at: Moment,
    /// When someone changed it last.
    pub updated_at: Moment,
    /// When it was last seen to take its credentials.
    pub tested_at: Option<Moment>,
    /// Since when it does not take them, if so.
    pub parked: Option<Parked>,
}

/// A store does not take its credentials any more.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Parked {
    /// When that was found.
    pub since: Moment,
    /// What it said.
    pub reason: String,
    /// Whether its tenant was told.
    pub told: bool,
    /// When somebody looks again whether it takes them.
    pub look_at: Moment,
}

#[derive(Deserialize)]
struct IdOfStore {
    #[serde(rename = "_id")]
    id: String,
}

impl StoredStore {
    /// The id of a store.
    #[must_use]
    pub fn id_of(tenant: &str, name: &str) -> String {
        format!("{tenant}/{name}")
    }
}

impl Store {
    /// A store.
    ///
    /// # Errors
    /// [`Error::Unavailable`] when it may work later, [`Error::Refused`] when the document was damaged.
    #[boxed]
    pub async fn tenant_store(&self, tenant: &str, name: &str) -> Result<Option<StoredStore>, Error> {
        let filter = doc! { "_id": StoredStore::id_of(tenant, name) };
        Ok(self.find(STORES, filter, doc! { "_id": 1 }, 1).await?.into_iter().next())
    }

    /// Stores in the order of their ids, of one tenant or of all, behind the id `after`.
    ///
    /// # Errors
    /// [`Error::Unavailable`] when it may work later.
    #[boxed]
    pub async fn tenant_stores(
        &self,
        tenant: Option<&str>,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Documents<StoredStore>, Error> {
        self.find_readable(STORES, behind(of_tenant(tenant), after), doc! { "_id": 1 }, limit).await
    }

    /// The name of a tenant's store that is at this address of a shop, other than the one named `name`.
    ///
    /// # Errors
    /// [`Error::Unavailable`] when it may work later.
    #[boxed]
    pub async fn neighbour_of_store(
        &self,
        tenant: &str,
        name: &str,
        shop: &str,
        address: &str,
    ) -> Result<Option<String>, Error> {
        // Older releases wrote it only into `url`.
        let urls = ["https", "http"].map(|scheme| format!("{scheme}://{address}"));
        let there =
            doc! { "$or": [{ "address": address }, { "address": Bson::Null, "url": { "$in": urls.to_vec() } }] };
        let other = doc! { "_id": { "$ne": StoredStore::id_of(tenant, name) }, "shop": shop };
        let filter = doc! { "$and": [of_tenant(Some(tenant)), other, there] };
        let only_id = doc! { "_id": 1 };
        let found: Documents<IdOfStore> = self.find_projected(STORES, filter, only_id.clone(), 1, only_id).await?;
        let name = |store: IdOfStore| store.id.split_once('/').map(|(_, name)| name.to_owned());
        Ok(found.read.into_iter().next().and_then(name))
    }

    /// Which of these ids are those of stores, also of stores that cannot be read.
    ///
    /// # Errors
    /// [`Error::Unavailable`] when it may work later.
    #[boxed]
    pub async fn stores_among(&self, ids: &[String]) -> Result<BTreeSet<String>, Error> {
        let (filter, only_id) = (doc! { "_id": { "$in": ids } }, doc! { "_id": 1 });
        let found: Documents<IdOfStore> =
            self.find_projected(STORES, filter, only_id.clone(), ids.len(), only_id).await?;
        Ok(found.read.into_iter().map(|store| store.id).collect())
    }

    /// How many stores there are, of one tenant or of all, and the ids of those that are parked, in order, at most `limit`.
    ///
    /// # Errors
    /// [`Error::Unavailable`] when it may work later.
    #[boxed]
    pub async fn parked_stores(&self, tenant: Option<&str>, limit: usize) -> Result<(u64, Vec<String>), Error> {
        let collection = self.collection(STORES);
        let filter = of_tenant(tenant);
        let count = async move { collection.count_documents(filter).max_time(MAX_TIME).await };
        let total = run(format!("count {STORES}"), ANSWER_TIMEOUT, count).await?;
        let mut filter = of_tenant(tenant);
        filter.insert("parked", doc! { "$ne": Bson::Null });
        let found: Documents<StoredStore> = self.find_readable(STORES, filter, doc! { "_id": 1 }, limit).await?;
        let mut ids: Vec<String> = found.read.into_iter().map(|store| store.id).collect();
        ids.extend(found.unreadable.into_iter().map(|unreadable| unreadable.id));
        ids.sort_unstable();
        Ok((total, ids))
    }

    /// Writes a store in the place of the one with `version`, or as a new one. False when there is another in its place, or at its address.
    ///
    /// # Errors
    /// [`Error::Unavailable`] when it may work later (and may have happened).
    #[boxed]
    pub async fn put_tenant_store(&self, store: &StoredStore, version: Option<i64>) -> Result<bool, Error> {
        let seen = version.map(|version| doc! { "version": version });
        self.put_seen(STORES, &store.id, store, seen).await
    }

    /// Deletes the store with this version. False when it is not there.
    ///
    /// # Errors
    /// [`Error::Unavailable`] when it may work later (and may have happened).
    #[boxed]
    pub async fn delete_tenant_store(&self, id: &str, version: i64) -> Result<bool, Error> {
        self.delete_seen(STORES, id, doc! { "version": version }).await
    }

    /// Parks the store with this version, unless it is parked already. False when nothing was changed.
    ///
    /// # Errors
    /// [`Error::Unavailable`] when it may work later (and may have happened).
    #[boxed]
    pub async fn park_store(&self, id: &str, version: i64, parked: &Parked) -> Result<bool, Error> {
        let parked = to_document("park a store", parked)?;
        let filter = doc! { "_id": id, "version": version, "parked": Bson::Null };
        self.change(id, filter, doc! { "parked": parked }).await
    }

    /// Takes the next look at a parked store: nobody else looks before `next`. False when another one took it.
    ///
    /// # Errors
    /// [`Error::Unavailable`] when it may work later (and may have happened).
    #[boxed]
    pub async fn look_at_parked_store(&self, id: &str, parked: &Parked, next: Moment) -> Result<bool, Error> {
        let filter = doc! { "_id": id, "parked.since": parked.since, "parked.look_at": parked.look_at };
        self.change(id, filter, doc! { "parked.look_at": next }).await
    }

    /// The tenant was told that the store is parked since then.
    ///
    /// # Errors
    /// [`Error::Unavailable`] when it may work later (and may have happened).
    #[boxed]
    pub async fn told_of_parked_store(&self, id: &str, since: Moment) -> Result<bool, Error> {
        self.change(id, doc! { "_id": id, "parked.since": since }, doc! { "parked.told": true }).await
    }

    /// The store with this version was seen to take its credentials: it is not parked any more. False when it is not there.
    ///
    /// # Errors
    /// [`Error::Unavailable`] when it may work later (and may have happened).
    #[boxed]
    pub async fn unpark_store(&self, id: &str, version: i64, tested_at: Moment) -> Result<bool, Error> {
        let changes = doc! { "parked": Bson::Null, "tested_at": tested_at };
        self.change(id, doc! { "_id": id, "version": version }, changes).await
    }

    /// Stores whose credentials are sealed with another key than this, in the order of their ids, behind the id `after`.
    ///
    /// # Errors
    /// [`Error::Unavailable`] when it may work later.
    #[boxed]
    pub async fn stores_not_under(
        &self,
        key: &str,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Documents<StoredStore>, Error> {
        self.find_readable(STORES, behind(doc! { "key": { "$ne": key } }, after), doc! { "_id": 1 }, limit).await
    }

    /// Puts credentials that were sealed anew in the place of the same ones as they were sealed before. False when they are others by now.
    ///
    /// # Errors
    /// [`Error::Unavailable`] when it may work later (and may have happened).
    #[boxed]
    pub async fn reseal_store(&self, id: &str, before: &str, sealed: &str, key: &str) -> Result<bool, Error> {
        self.change(id, doc! { "_id": id, "sealed": before }, doc! { "sealed": sealed, "key": key }).await
    }

    /// How many stores are sealed with each key.
    ///
    /// # Errors
    /// [`Error::Unavailable`] when it may work later.
    #[boxed]
    pub async fn stores_by_key(&self) -> Result<BTreeMap<String, u64>, Error> {
        let collection = self.collection(STORES);
        let stages = [doc! { "$group": { "_id": "$key", "stores": { "$sum": 1_i64 } } }];
        let count =
            async move { collection.aggregate(stages).max_time(MAX_TIME).await?.try_collect::<Vec<Document>>().await };
        let counted = run(format!("count {STORES} by their keys"), ANSWER_TIMEOUT, count).await?;
        let row = |row: Document| {
            let stores = u64::try_from(row.get_i64("stores").unwrap_or_default()).unwrap_or_default();
            (row.get_str("_id").unwrap_or_default().to_owned(), stores)
        };
        Ok(counted.into_iter().map(row).collect())
    }

    async fn change(&self, id: &str, filter: Document, changes: Document) -> Result<bool, Error> {
        let collection = self.collection(STORES);
        let update =
            async move { Ok(collection.update_one(filter, doc! { "$set": changes }).await?.matched_count == 1) };
        run(format!("change the store {id}"), ANSWER_TIMEOUT, update).await
    }

    pub(crate) async fn prepare_stores(&self) -> Result<(), Error> {
        let has_address = doc! { "address": { "$exists": true } };
        let one = IndexOptions::builder().unique(true).partial_filter_expression(has_address).build();
        let by_address = index_with("by_address", doc! { "tenant": 1, "shop": 1, "address": 1 }, one);
        self.create_indexes(STORES, [index("by_key", doc! { "key": 1, "_id": 1 }), by_address]).await
    }
}

/// By the id, so that it needs no index of its own.
fn of_tenant(tenant: Option<&str>) -> Document {
    tenant.map_or_else(Document::new, |tenant| {
        doc! { "_id": { "$gt": format!("{tenant}/"), "$lt": format!("{tenant}{BEHIND_SLASH}") } }
    })
}

fn behind(filter: Document, after: Option<&str>) -> Document {
    match after {
        Some(after) => doc! { "$and": [filter, { "_id": { "$gt": after } }] },
        None => filter,
    }
}
