//! Answers that are kept for equal requests, and who is about to get one: the collection `content_cache`.
//!
//! `{ _id: key, tenant, writer, lease_until, expires_at, result? }`. Without a `result`, `writer` is asking for it until `lease_until`, and all
//! others wait; then anyone may take its place. `result` is the answer's JSON as text, so that it comes back letter for letter.
//! MongoDB deletes documents after `expires_at`. All times are those of the server, so the clocks of replicas do not matter.

use std::time::Duration;

use async_recursion::async_recursion as boxed;
use mongodb::{
    Collection,
    bson::{Document, doc},
    error::Result as DriverResult,
    options::{IndexOptions, ReturnDocument},
};
use serde_json::Value;

use crate::{ANSWER_TIMEOUT, Error, MAX_TIME, Store, error::is_duplicate_key, index::index_with, run};

const COLLECTION: &str = "content_cache";
/// Two writers of the same new document can make one of them fail; the second time it is an update.
const UPSERT_TRIES: u32 = 3;

/// What becomes of a request.
#[derive(Debug, Clone, PartialEq)]
pub enum Flight {
    /// The answer is there.
    Landed(Value),
    /// The caller gets it, within its lease.
    Ours,
    /// Somebody else is getting it.
    UnderWay,
}

impl Store {
    /// Looks for the answer to the request `key` of `tenant`. If there is none and nobody gets it, `writer` has `lease` to do so, then to
    /// [`Store::land`] it or to give up with [`Store::abandon`]. The same writer may ask again.
    ///
    /// # Errors
    /// [`Error::Unavailable`] when it may work later; the same call may be repeated. [`Error::Refused`] when the document was damaged.
    #[boxed]
    pub async fn board(&self, key: &str, tenant: &str, writer: &str, lease: Duration) -> Result<Flight, Error> {
        let what = format!("look for a kept answer of tenant {tenant}");
        let collection = self.collection(COLLECTION);
        let (key, update) = (key.to_owned(), boarding(tenant, writer, lease));
        let document =
            run(what.clone(), ANSWER_TIMEOUT, async move { upsert(&collection, &key, update).await }).await?;
        let document = document.unwrap_or_default();
        match document.get_str("result") {
            Ok(text) => {
                let reason = |error: serde_json::Error| format!("the kept answer is no JSON: {error}");
                serde_json::from_str(text)
                    .map(Flight::Landed)
                    .map_err(|error| Error::Refused { what, reason: reason(error) })
            }
            Err(_) if document.get_str("writer").ok() == Some(writer) => Ok(Flight::Ours),
            Err(_) => Ok(Flight::UnderWay),
        }
    }

    /// Keeps an answer for a while; it replaces the one that is there.
    ///
    /// # Errors
    /// [`Error::Unavailable`] when it may not be kept; the same call may be repeated.
    #[boxed]
    pub async fn land(&self, key: &str, tenant: &str, result: &Value, keep: Duration) -> Result<(), Error> {
        let collection = self.collection(COLLECTION);
        let update = vec![doc! { "$set": {
            "tenant": literal(tenant),
            "writer": null,
            "result": literal(&result.to_string()),
            "expires_at": { "$add": ["$$NOW", ms(keep)] },
        } }];
        let key = key.to_owned();
        let what = format!("keep an answer of tenant {tenant}");
        run(what, ANSWER_TIMEOUT, async move { upsert(&collection, &key, update).await }).await?;
        Ok(())
    }

    /// Lets others get the answer: `writer` will not.
    ///
    /// # Errors
    /// [`Error::Unavailable`] when they may have to wait for the end of its lease.
    #[boxed]
    pub async fn abandon(&self, key: &str, writer: &str) -> Result<(), Error> {
        let collection = self.collection(COLLECTION);
        let filter = doc! { "_id": key, "writer": writer, "result": { "$exists": false } };
        let delete = async move { collection.find_one_and_delete(filter).max_time(MAX_TIME).await };
        run("give up getting an answer", ANSWER_TIMEOUT, delete).await?;
        Ok(())
    }

    pub(crate) async fn prepare_flights(&self) -> Result<(), Error> {
        let options = IndexOptions::builder().expire_after(Duration::ZERO).build();
        self.create_indexes(COLLECTION, [index_with("expires_at", doc! { "expires_at": 1 }, options)]).await
    }
}

/// Takes the place of the writer if that is free, and changes nothing otherwise.
fn boarding(tenant: &str, writer: &str, lease: Duration) -> Vec<Document> {
    let lease_end = doc! { "$add": ["$$NOW", ms(lease)] };
    let landed = doc! { "$and": [
        { "$eq": [{ "$type": "$result" }, "string"] },
        // MongoDB deletes once a minute only.
        { "$gt": ["$expires_at", "$$NOW"] },
    ] };
    let free = doc! { "$or": [
        { "$eq": ["$writer", literal(writer)] },
        // What is absent is less than any date.
        { "$lte": ["$lease_until", "$$NOW"] },
    ] };
    let taken = |value: Document, otherwise: &str| doc! { "$cond": ["$taken", value, otherwise] };
    vec![
        doc! { "$set": { "taken": { "$and": [{ "$not": [landed] }, free] } } },
        doc! { "$set": {
            "tenant": literal(tenant),
            "writer": taken(literal(writer), "$writer"),
            "lease_until": taken(lease_end.clone(), "$lease_until"),
            "expires_at": taken(lease_end, "$expires_at"),
            "result": { "$cond": ["$taken", "$$REMOVE", "$result"] },
        } },
        doc! { "$unset": "taken" },
    ]
}

/// A text that is no expression, whatever it begins with.
fn literal(text: &str) -> Document {
    doc! { "$literal": text }
}

fn ms(time: Duration) -> i64 {
    i64::try_from(time.as_millis()).unwrap_or(i64::MAX)
}

async fn upsert(collection: &Collection<Document>, key: &str, update: Vec<Document>) -> DriverResult<Option<Document>> {
    let mut tries_left = UPSERT_TRIES;
    loop {
        tries_left -= 1;
        let call = collection.find_one_and_update(doc! { "_id": key }, update.clone());
        match call.upsert(true).return_document(ReturnDocument::After).max_time(MAX_TIME).await {
            Err(error) if is_duplicate_key(&error) && tries_left > 0 => {}
            written => return written,
        }
    }
}
