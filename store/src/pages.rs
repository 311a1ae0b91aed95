//! What pages said when they were read, so that their servers are asked for changes only: one document a page.
//!
//! `{ _id: key, page, expires_at }`. The key and the text `page` are the caller's. A page that is lost here is read anew, so nothing waits
//! for the majority.

use std::{collections::HashMap, time::Duration};

use async_recursion::async_recursion as boxed;
use futures::TryStreamExt;
use mongodb::{
    bson::{DateTime, Document, doc},
    options::IndexOptions,
};
use serde_json::Value;

use crate::{ANSWER_TIMEOUT, Error, MAX_TIME, Store, index::index_with, run};

const COLLECTION: &str = "pages";

impl Store {
    /// Those of the pages that are known, by their keys.
    ///
    /// # Errors
    /// [`Error::Unavailable`] when it may work later.
    #[boxed]
    pub async fn known_pages(&self, keys: &[String]) -> Result<HashMap<String, Value>, Error> {
        let collection = self.collection(COLLECTION);
        // MongoDB deletes once a minute only.
        let filter = doc! { "_id": { "$in": keys }, "expires_at": { "$gt": DateTime::now() } };
        let find = async move { collection.find(filter).max_time(MAX_TIME).await?.try_collect::<Vec<_>>().await };
        let documents = run("look for what pages said before", ANSWER_TIMEOUT, find).await?;
        let read = |document: Document| {
            let page = document.get_str("page").ok().and_then(|text| serde_json::from_str(text).ok())?;
            Some((document.get_str("_id").ok()?.to_owned(), page))
        };
        Ok(documents.into_iter().filter_map(read).collect())
    }

    /// Keeps what these pages say, for a while; it replaces what they said before.
    ///
    /// # Errors
    /// [`Error::Unavailable`] when it may not be kept.
    #[boxed]
    pub async fn keep_pages(&self, pages: Vec<(String, Value)>, keep: Duration) -> Result<(), Error> {
        let keep_ms = i64::try_from(keep.as_millis()).unwrap_or(i64::MAX);
        let expires_at = DateTime::from_millis(DateTime::now().timestamp_millis().saturating_add(keep_ms));
        let update = |(key, page): (String, Value)| {
            let set = doc! { "$set": { "page": page.to_string(), "expires_at": expires_at } };
            doc! { "q": { "_id": key }, "u": set, "upsert": true }
        };
        let updates: Vec<Document> = pages.into_iter().map(update).collect();
        let command = doc! { "update": COLLECTION, "updates": updates, "ordered": false, "writeConcern": { "w": 1 } };
        let database = self.database.clone();
        run("keep what pages say", ANSWER_TIMEOUT, async move { database.run_command(command).await }).await?;
        Ok(())
    }

    pub(crate) async fn prepare_pages(&self) -> Result<(), Error> {
        let options = IndexOptions::builder().expire_after(Duration::ZERO).build();
        self.create_indexes(COLLECTION, [index_with("expires_at", doc! { "expires_at": 1 }, options)]).await
    }
}
