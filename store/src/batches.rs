//! Products that were handed over together, for one job that goes through them: the collection `batches`.
//!
//! A document a part: `{ _id: "BATCH/NNNNN", batch, tenant, part, items: [{ line, text, outcome? }], expires_at }`. `text` is the product as
//! JSON, `outcome` what came of it, also as JSON. MongoDB deletes documents after `expires_at`.

use std::time::Duration;

use async_recursion::async_recursion as boxed;
use mongodb::{
    bson::{Bson, DateTime, Document, doc},
    options::IndexOptions,
};

use crate::{
    ANSWER_TIMEOUT, Error, MAX_TIME, Store,
    index::{index, index_with},
    run,
};

const COLLECTION: &str = "batches";
/// So long a batch is kept, finished or not.
const KEEP: Duration = Duration::from_secs(7 * 24 * 3600);

/// One product of a batch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BatchItem {
    /// The line that it came on, from 0.
    pub line: u32,
    /// The product, as JSON.
    pub text: String,
    /// What came of it, as JSON, if something has.
    pub outcome: Option<String>,
}

impl Store {
    /// Keeps a part of a batch. The same part may be kept again.
    ///
    /// # Errors
    /// [`Error::Unavailable`] when it may work later, [`Error::Refused`] when it is over MongoDB's 16 MiB.
    #[boxed]
    pub async fn keep_part(&self, batch: &str, tenant: &str, part: u32, items: &[BatchItem]) -> Result<(), Error> {
        let what = format!("keep part {part} of batch {batch}");
        let collection = self.collection(COLLECTION);
        let id = id(batch, part);
        let items: Vec<Document> = items.iter().map(written).collect();
        let document = doc! { "_id": &id, "batch": batch, "tenant": tenant, "part": part, "items": items,
        "expires_at": expires_at() };
        let write = async move { collection.replace_one(doc! { "_id": id }, document).upsert(true).await };
        run(what, ANSWER_TIMEOUT, write).await.map(drop)
    }

    /// A part of a tenant's batch; `None`: there is no such part.
    ///
    /// # Errors
    /// [`Error::Unavailable`] when it may work later, [`Error::Refused`] when the document was damaged.
    #[boxed]
    pub async fn part(&self, batch: &str, tenant: &str, part: u32) -> Result<Option<Vec<BatchItem>>, Error> {
        let what = format!("read part {part} of batch {batch}");
        let collection = self.collection(COLLECTION);
        let filter = doc! { "_id": id(batch, part), "tenant": tenant };
        let find = async move { collection.find_one(filter).max_time(MAX_TIME).await };
        let Some(document) = run(what.clone(), ANSWER_TIMEOUT, find).await? else { return Ok(None) };
        let items = document.get_array("items").map_err(|error| error.to_string());
        let items = items.and_then(|items| items.iter().map(read).collect::<Result<_, _>>());
        items.map(Some).map_err(|reason| Error::Refused { what, reason })
    }

    /// Notes what came of items of a part, each by its place in it.
    ///
    /// # Errors
    /// [`Error::Unavailable`] when it may work later.
    #[boxed]
    pub async fn note_outcomes(&self, batch: &str, part: u32, outcomes: &[(usize, String)]) -> Result<(), Error> {
        let what = format!("note what came of part {part} of batch {batch}");
        let collection = self.collection(COLLECTION);
        let mut set: Document =
            outcomes.iter().map(|(at, outcome)| (format!("items.{at}.outcome"), Bson::from(outcome.clone()))).collect();
        if set.is_empty() {
            return Ok(());
        }
        // All of the batch is kept as long as something comes of it.
        set.insert("expires_at", expires_at());
        let filter = doc! { "_id": id(batch, part) };
        let keep = doc! { "$set": { "expires_at": expires_at() } };
        let of_batch = doc! { "batch": batch };
        let write = async move {
            collection.update_one(filter, doc! { "$set": set }).await?;
            collection.update_many(of_batch, keep).await
        };
        run(what, ANSWER_TIMEOUT, write).await.map(drop)
    }

    /// Deletes a tenant's batch: no job goes through it.
    ///
    /// # Errors
    /// [`Error::Unavailable`] when it may work later (and may have happened in part).
    #[boxed]
    pub async fn drop_batch(&self, batch: &str, tenant: &str) -> Result<(), Error> {
        let collection = self.collection(COLLECTION);
        let filter = doc! { "batch": batch, "tenant": tenant };
        let delete = async move { collection.delete_many(filter).await };
        run(format!("delete batch {batch}"), ANSWER_TIMEOUT, delete).await.map(drop)
    }

    pub(crate) async fn prepare_batches(&self) -> Result<(), Error> {
        let options = IndexOptions::builder().expire_after(Duration::ZERO).build();
        let by_time = index_with("expires_at", doc! { "expires_at": 1 }, options);
        self.create_indexes(COLLECTION, [by_time, index("batch", doc! { "batch": 1 })]).await
    }
}

fn expires_at() -> DateTime {
    let keep_ms = i64::try_from(KEEP.as_millis()).unwrap_or(i64::MAX);
    DateTime::from_millis(DateTime::now().timestamp_millis().saturating_add(keep_ms))
}

fn id(batch: &str, part: u32) -> String {
    format!("{batch}/{part:05}")
}

fn written(item: &BatchItem) -> Document {
    let mut document = doc! { "line": i64::from(item.line), "text": &item.text };
    if let Some(outcome) = &item.outcome {
        document.insert("outcome", outcome);
    }
    document
}

fn read(item: &Bson) -> Result<BatchItem, String> {
    let item = item.as_document().ok_or("an item is no document")?;
    let line = item.get_i64("line").map_err(|error| error.to_string())?;
    Ok(BatchItem {
        line: u32::try_from(line).map_err(|error| error.to_string())?,
        text: item.get_str("text").map_err(|error| error.to_string())?.to_owned(),
        outcome: item.get_str("outcome").ok().map(str::to_owned),
    })
}
