//! What jobs made: one collection a kind, one document a job.
//!
//! `{ _id: job id, tenant, kind, product_id?, provider, degraded, degraded_reason, created_at, updated_at, result }`. `result` is the JSON as
//! BSON, so that its fields can be queried; where BSON would change it (see `json.rs`), the document has `result_json`, its
//! text, in its place.

use std::collections::HashMap;

use async_recursion::async_recursion as boxed;
use futures::TryStreamExt;
use mongodb::{
    Collection,
    bson::{DateTime, Document, RawBsonRef, RawDocument, RawDocumentBuf, doc},
    error::Result as DriverResult,
};
use serde::Serialize;
use serde_json::Value;

use crate::{ANSWER_TIMEOUT, Error, MAX_TIME, Moment, Store, degraded, error::is_duplicate_key, json, run};

/// Two writers of the same new document can make one of them fail; the second time it is an update.
const UPSERT_TRIES: u32 = 3;

/// A result to be stored.
#[derive(Debug, Clone, PartialEq)]
pub struct NewResult {
    /// The job's id as lower-case text; the document's `_id`.
    pub job_id: String,
    /// Whom the job belongs to.
    pub tenant: String,
    /// The job's kind.
    pub kind: String,
    /// The shop's own id of the product that it is of.
    pub product_id: Option<String>,
    /// Who made it.
    pub provider: Option<String>,
    /// Whether a stand-in made it.
    pub degraded: bool,
    /// Why a stand-in made it.
    pub degraded_reason: Option<String>,
    /// What the job was asked for; kept with a stand-in's result, so that a real one can take its place.
    pub payload: Option<Value>,
    /// What the handler made.
    pub result: Value,
}

impl Store {
    /// Stores a job's result. A second result of the same job replaces the first and keeps its `created_at`; but a stand-in's
    /// never replaces a real one.
    ///
    /// # Errors
    /// [`Error::Unavailable`] when it may work later (and may have happened), [`Error::Refused`] when it never will: the document
    /// is over MongoDB's 16 MiB.
    #[boxed]
    pub async fn put_result(&self, collection: &str, result: &NewResult) -> Result<(), Error> {
        let what = format!("store the result of job {} in {collection}", result.job_id);
        let first = document(result).ok_or_else(|| Error::Refused {
            what: what.clone(),
            reason: "its texts have no form in BSON".to_owned(),
        })?;
        let Some(second) = self.writer.insert(collection, first, &what).await? else { return Ok(()) };
        let second = Document::try_from(second)
            .map_err(|error| Error::Refused { what: what.clone(), reason: error.to_string() })?;
        let unset = unset(&second);
        let (collection, degraded) = (self.collection(collection), result.degraded);
        run(what, ANSWER_TIMEOUT, async move { replace(&collection, second, unset, degraded).await }).await
    }

    /// The stored result of a job, if there is one.
    ///
    /// # Errors
    /// [`Error::Unavailable`] when it may work later, [`Error::Refused`] when the document was damaged.
    #[boxed]
    pub async fn result(&self, collection: &str, job_id: &str) -> Result<Option<Value>, Error> {
        self.found_result(collection, job_id, doc! { "_id": job_id }).await
    }

    /// The same if the job is of this tenant.
    ///
    /// # Errors
    /// As [`Store::result`].
    #[boxed]
    pub async fn result_of_tenant(&self, collection: &str, job_id: &str, tenant: &str) -> Result<Option<Value>, Error> {
        self.found_result(collection, job_id, doc! { "_id": job_id, "tenant": tenant }).await
    }

    async fn found_result(&self, collection: &str, job_id: &str, filter: Document) -> Result<Option<Value>, Error> {
        let what = format!("read the result of job {job_id} from {collection}");
        let collection = self.collection(collection);
        let find = async move {
            let wanted = doc! { "result": 1, "result_json": 1 };
            let collection = collection.clone_with_type::<RawDocumentBuf>();
            collection.find_one(filter).projection(wanted).max_time(MAX_TIME).await
        };
        let document = run(what.clone(), ANSWER_TIMEOUT, find).await?;
        document.map(|document| read(&document).map_err(|reason| Error::Refused { what, reason })).transpose()
    }

    /// The stored results of several jobs, by the jobs' ids.
    ///
    /// # Errors
    /// [`Error::Unavailable`] when it may work later, [`Error::Refused`] when a document was damaged.
    #[boxed]
    pub async fn results(&self, collection: &str, job_ids: &[String]) -> Result<HashMap<String, Value>, Error> {
        let what = format!("read the results of {} jobs from {collection}", job_ids.len());
        let collection = self.collection(collection);
        let filter = doc! { "_id": { "$in": job_ids } };
        let find = async move {
            let wanted = doc! { "result": 1, "result_json": 1 };
            let collection = collection.clone_with_type::<RawDocumentBuf>();
            collection.find(filter).projection(wanted).max_time(MAX_TIME).await?.try_collect::<Vec<_>>().await
        };
        let documents = run(what.clone(), ANSWER_TIMEOUT, find).await?;
        let read = |document: RawDocumentBuf| {
            let id = document.get_str("_id").unwrap_or_default().to_owned();
            Ok((id, read(&document).map_err(|reason| Error::Refused { what: what.clone(), reason })?))
        };
        documents.into_iter().map(read).collect()
    }

    /// Deletes the results in `collection` that were made before a time (Unix milliseconds); returns how many there were.
    ///
    /// # Errors
    /// [`Error::Unavailable`] when it may work later.
    #[boxed]
    pub async fn delete_results_before(&self, collection: &'static str, before_ms: u64) -> Result<u64, Error> {
        let results = self.collection(collection);
        let filter = doc! { "created_at": { "$lt": Moment::from_ms(before_ms) } };
        let delete = async move { Ok(results.delete_many(filter).await?.deleted_count) };
        run(format!("delete old results of {collection}"), ANSWER_TIMEOUT, delete).await
    }
}

/// The document of a first result.
#[derive(Serialize)]
struct First<'a> {
    _id: &'a str,
    created_at: DateTime,
    tenant: &'a str,
    kind: &'a str,
    provider: Option<&'a str>,
    degraded: bool,
    degraded_reason: Option<&'a str>,
    updated_at: DateTime,
    #[serde(skip_serializing_if = "Option::is_none")]
    product_id: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    result: Option<&'a Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    result_json: Option<String>,
}

fn document(new: &NewResult) -> Option<RawDocumentBuf> {
    let (now, as_bson) = (DateTime::now(), json::has_form(&new.result));
    let mut document = json::document(&First {
        _id: &new.job_id,
        created_at: now,
        tenant: &new.tenant,
        kind: &new.kind,
        provider: new.provider.as_deref(),
        degraded: new.degraded,
        degraded_reason: new.degraded_reason.as_deref(),
        updated_at: now,
        product_id: new.product_id.as_deref(),
        result: as_bson.then_some(&new.result),
        result_json: (!as_bson).then(|| new.result.to_string()),
    })?;
    if let Some(payload) = new.payload.as_ref().filter(|_| new.degraded) {
        degraded::add_fields(payload, &new.result, &mut document);
    }
    Some(document)
}

/// What the document must not keep of an earlier one when this takes its place.
fn unset(second: &Document) -> Document {
    let mut unset = degraded::unset(second);
    unset.insert(if second.contains_key("result") { "result_json" } else { "result" }, "");
    unset
}

/// Puts a second result in the place of the first, whose `created_at` stays. `find_one_and_update`, because `update_one` knows no
/// `max_time`.
async fn replace(
    collection: &Collection<Document>,
    mut second: Document,
    unset: Document,
    degraded: bool,
) -> DriverResult<()> {
    let mut filter = doc! { "_id": second.remove("_id") };
    if degraded {
        filter.insert("degraded", doc! { "$ne": false });
    }
    let first = doc! { "created_at": second.remove("created_at") };
    let update = doc! { "$set": second, "$unset": unset, "$setOnInsert": first };
    let mut tries_left = UPSERT_TRIES;
    loop {
        tries_left -= 1;
        let call = collection.find_one_and_update(filter.clone(), update.clone());
        match call.upsert(true).projection(doc! { "_id": 1 }).max_time(MAX_TIME).await {
            Err(error) if is_duplicate_key(&error) && tries_left > 0 => {}
            // A real result is there: it stays.
            Err(error) if is_duplicate_key(&error) && degraded => return Ok(()),
            written => return written.map(drop),
        }
    }
}

pub(crate) fn read(document: &RawDocument) -> Result<Value, String> {
    let field = |name| document.get(name).map_err(|error| error.to_string());
    match field("result_json")? {
        Some(RawBsonRef::String(text)) => {
            serde_json::from_str(text).map_err(|error| format!("result_json is no JSON: {error}"))
        }
        Some(other) => Err(format!("result_json is no text but {:?}", other.element_type())),
        None => field("result")?.map_or_else(|| Err("the document has no result".to_owned()), json::from_raw),
    }
}
