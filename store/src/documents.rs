//! Reads and changes documents. What a newer release has written, or someone has damaged, holds up nothing else.

use std::time::Duration;

use futures::TryStreamExt;
use mongodb::bson::{self, Bson, DateTime, Document, doc};
use serde::{Serialize, de::DeserializeOwned};

use crate::{ANSWER_TIMEOUT, Error, MAJORITY_TIMEOUT, MAX_TIME, Moment, Store, error::is_duplicate_key, run};

/// Documents, in order, and those among them that cannot be read.
#[derive(Debug)]
pub struct Documents<T> {
    /// What could be read.
    pub read: Vec<T>,
    /// What a newer release has written, or someone has damaged: it must not hold up the others.
    pub unreadable: Vec<Unreadable>,
}

impl<T> Documents<T> {
    /// How many there were.
    #[must_use]
    pub fn n(&self) -> usize {
        self.read.len() + self.unreadable.len()
    }
}

/// A document that cannot be read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unreadable {
    /// Its id.
    pub id: String,
    /// Why.
    pub reason: String,
}

impl Store {
    /// Documents of which each must be readable.
    pub(crate) async fn find<T: DeserializeOwned>(
        &self,
        collection: &'static str,
        filter: Document,
        sort: Document,
        limit: usize,
    ) -> Result<Vec<T>, Error> {
        let Documents { read, mut unreadable } = self.find_readable(collection, filter, sort, limit).await?;
        match unreadable.pop() {
            Some(Unreadable { id, reason }) => {
                Err(Error::Refused { what: format!("read {id} of {collection}"), reason })
            }
            None => Ok(read),
        }
    }

    pub(crate) async fn find_readable<T: DeserializeOwned>(
        &self,
        collection: &'static str,
        filter: Document,
        sort: Document,
        limit: usize,
    ) -> Result<Documents<T>, Error> {
        self.find_projected(collection, filter, sort, limit, Document::new()).await
    }

    /// Of the documents only what `projection` says; an empty one says all.
    pub(crate) async fn find_projected<T: DeserializeOwned>(
        &self,
        collection: &'static str,
        filter: Document,
        sort: Document,
        limit: usize,
        projection: Document,
    ) -> Result<Documents<T>, Error> {
        let found = self.collection(collection);
        let limit = i64::try_from(limit).unwrap_or(i64::MAX);
        let find = async move {
            let documents =
                found.find(filter).sort(sort).projection(projection).limit(limit).max_time(MAX_TIME).await?;
            documents.try_collect::<Vec<Document>>().await
        };
        let documents = run(format!("read {collection}"), ANSWER_TIMEOUT, find).await?;
        let mut found = Documents { read: Vec::with_capacity(documents.len()), unreadable: Vec::new() };
        for document in documents {
            let id = id_text(&document);
            match bson::deserialize_from_document(document) {
                Ok(read) => found.read.push(read),
                Err(error) => {
                    let (id, reason) = (id.unwrap_or_default(), error.to_string());
                    found.unreadable.push(Unreadable { id, reason });
                }
            }
        }
        Ok(found)
    }

    /// The earliest time of a field, which may be one of what is in another (`order.push_at`).
    pub(crate) async fn earliest_ms(
        &self,
        collection: &'static str,
        field: &'static str,
        after_ms: Option<u64>,
    ) -> Result<Option<u64>, Error> {
        let found = self.collection(collection);
        let after = after_ms.map_or(Bson::DateTime(DateTime::MIN), |ms| Moment::from_ms(ms).into());
        let find = async move {
            let find = found.find_one(doc! { field: { "$gt": after } });
            find.sort(doc! { field: 1 }).projection(doc! { "_id": 0, field: 1 }).max_time(MAX_TIME).await
        };
        let document = run(format!("look for the next {field} of {collection}"), ANSWER_TIMEOUT, find).await?;
        let at = document.and_then(|document| {
            let (outer, name) = field
                .rsplit_once('.')
                .map_or((Ok(&document), field), |(outer, name)| (document.get_document(outer), name));
            outer.ok()?.get_datetime(name).ok().copied()
        });
        Ok(at.map(|at| u64::try_from(at.timestamp_millis()).unwrap_or(0)))
    }

    /// Writes a document in the place of the one that is still as it was `seen`, or, if none was, as a new one. False when another one is in
    /// its place, or has what only one may have.
    pub(crate) async fn put_seen<T: Serialize + Sync>(
        &self,
        collection: &'static str,
        id: &str,
        document: &T,
        seen: Option<Document>,
    ) -> Result<bool, Error> {
        let what = format!("write {id} of {collection}");
        let document = to_document(&what, document)?;
        let collection = self.collection(collection);
        let filter = seen.map(|seen| as_seen(id, seen));
        let write = async move {
            let written = match filter {
                None => collection.insert_one(document).await.map(|_| true),
                Some(filter) => collection.replace_one(filter, document).await.map(|done| done.matched_count == 1),
            };
            match written {
                Err(error) if is_duplicate_key(&error) => Ok(false),
                written => written,
            }
        };
        run(what, ANSWER_TIMEOUT, write).await
    }

    /// Deletes a document if it is still as it was `seen`. False when it is not.
    pub(crate) async fn delete_seen(&self, collection: &'static str, id: &str, seen: Document) -> Result<bool, Error> {
        let (what, filter) = (format!("delete {id} of {collection}"), as_seen(id, seen));
        let collection = self.collection(collection);
        let delete = async move { Ok(collection.delete_one(filter).await?.deleted_count == 1) };
        run(what, ANSWER_TIMEOUT, delete).await
    }

    /// Small updates in one command, each of one document.
    pub(crate) async fn update(
        &self,
        collection: &'static str,
        updates: impl Iterator<Item = (Document, Changes)>,
    ) -> Result<(), Error> {
        let updates: Vec<Document> =
            updates.map(|(filter, changes)| doc! { "q": filter, "u": changes.into_update() }).collect();
        if updates.is_empty() {
            return Ok(());
        }
        let what = format!("update {} {collection}", updates.len());
        let answer = self.run_updates(collection, updates, &what).await?;
        let problem = answer.get("writeConcernError").or_else(|| answer.get("writeErrors"));
        problem.map_or(Ok(()), |problem| Err(Error::Unavailable { what, reason: problem.to_string() }))
    }

    /// Statements `{ q, u, upsert }` in one command, and the server's answer.
    pub(crate) async fn run_updates(
        &self,
        collection: &'static str,
        updates: Vec<Document>,
        what: &str,
    ) -> Result<Document, Error> {
        let ms = |limit: Duration| i64::try_from(limit.as_millis()).unwrap_or(i64::MAX);
        let command = doc! {
            "update": collection, "updates": updates, "ordered": false, "maxTimeMS": ms(MAX_TIME),
            "writeConcern": { "w": "majority", "wtimeout": ms(MAJORITY_TIMEOUT) },
        };
        let database = self.database.clone();
        run(what.to_owned(), ANSWER_TIMEOUT, async move { database.run_command(command).await }).await
    }
}

/// What an update does to a document.
#[derive(Default)]
pub(crate) struct Changes {
    set: Document,
    unset: Document,
}

impl Changes {
    pub(crate) fn set_or_unset(&mut self, field: &str, value: Option<Bson>) {
        match value {
            Some(value) => self.set.insert(field, value),
            None => self.unset.insert(field, ""),
        };
    }

    fn into_update(self) -> Document {
        let both = [("$set", self.set), ("$unset", self.unset)];
        let given = both.into_iter().filter(|(_, changes)| !changes.is_empty());
        given.map(|(name, changes)| (name.to_owned(), Bson::from(changes))).collect()
    }
}

fn as_seen(id: &str, mut seen: Document) -> Document {
    seen.insert("_id", id);
    seen
}

/// The `_id` as text: the back end may use texts or object ids.
pub(crate) fn id_text(document: &Document) -> Option<String> {
    match document.get("_id")? {
        Bson::String(text) => Some(text.clone()),
        Bson::ObjectId(id) => Some(id.to_hex()),
        other => Some(other.to_string()),
    }
}

pub(crate) fn at_most(field: &str, ms: u64, except: &[String]) -> Document {
    let mut filter = doc! { field: { "$lte": Moment::from_ms(ms) } };
    if !except.is_empty() {
        filter.insert("_id", doc! { "$nin": except });
    }
    filter
}

pub(crate) fn to_document(what: &str, value: &impl Serialize) -> Result<Document, Error> {
    bson::serialize_to_document(value)
        .map_err(|error| Error::Refused { what: what.to_owned(), reason: error.to_string() })
}
