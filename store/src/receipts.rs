//! What was written outside: a receipt a step of a job, written down before the side effect and completed after it, so that a
//! job that runs again can tell what its earlier run did.
//!
//! Collection `receipts`: `{ _id: "<job id>/<step>", natural_key, begun_at, touched_at, failed, error?, completed_at?, outcome? }`; an
//! outcome that BSON would change is text in `outcome_json`. A receipt is removed 90 days after it was last touched.

use std::time::Duration;

use async_recursion::async_recursion as boxed;
use mongodb::{
    bson::{Bson, DateTime, Document, doc, rawdoc},
    options::{IndexOptions, ReturnDocument},
};
use serde_json::Value;

use crate::{
    ANSWER_TIMEOUT, Error, MAX_TIME, Moment, Store,
    error::is_duplicate_key,
    history::{insert_json, take_json},
    index::index_with,
    run,
};

const COLLECTION: &str = "receipts";
const KEPT: Duration = Duration::from_secs(90 * 24 * 3600);
const MOST_KEY_BYTES: usize = 1024;
const MOST_OUTCOME_BYTES: usize = 64 * 1024;
const MOST_ERROR_CHARS: usize = 500;
/// Two writers of the same new document can make one of them fail; the second time it is an update.
const UPSERT_TRIES: u32 = 3;

/// What was known of a step when it was begun.
#[derive(Debug, Clone, PartialEq)]
pub enum Receipt {
    /// Nothing: it was never begun.
    Fresh,
    /// It was begun, and what came of it was not written down.
    Begun,
    /// It was begun, and the vendor refused it or was not reached.
    Failed,
    /// It was done, with this outcome.
    Completed(Value),
}

impl Store {
    /// Writes down that a step of a job is about to be made, and tells what was known of it before. `natural_key` is what the
    /// vendor knows the write by: a SKU, a Message-ID.
    ///
    /// # Errors
    /// [`Error::Unavailable`] when it may work later (it may be written down nevertheless); [`Error::Refused`] when the key is over
    /// 1,024 bytes, or the step was begun for another one.
    #[boxed]
    pub async fn begin_receipt(&self, job_id: &str, step: &str, natural_key: &str) -> Result<Receipt, Error> {
        let what = format!("write down step {step:?} of job {job_id} for {natural_key:.100?}");
        if natural_key.len() > MOST_KEY_BYTES {
            let reason = format!("the key has {} bytes, at most {MOST_KEY_BYTES} are kept", natural_key.len());
            return Err(Error::Refused { what, reason });
        }
        let (id, now) = (format!("{job_id}/{step}"), DateTime::now());
        let first = rawdoc! { "_id": id.as_str(), "natural_key": natural_key, "begun_at": now, "touched_at": now, "failed": false };
        if self.writer.insert(COLLECTION, first, &what).await?.is_none() {
            return Ok(Receipt::Fresh);
        }
        let collection = self.collection(COLLECTION);
        let filter = doc! { "_id": id };
        let update = doc! {
            "$setOnInsert": { "natural_key": natural_key, "begun_at": now },
            "$set": { "touched_at": now, "failed": false },
        };
        let begin = async move {
            let mut tries_left = UPSERT_TRIES;
            loop {
                tries_left -= 1;
                let call = collection.find_one_and_update(filter.clone(), update.clone()).upsert(true);
                match call.return_document(ReturnDocument::Before).max_time(MAX_TIME).await {
                    Err(error) if is_duplicate_key(&error) && tries_left > 0 => {}
                    other => return other,
                }
            }
        };
        let before = run(what.clone(), ANSWER_TIMEOUT, begin).await?;
        before
            .map_or(Ok(Receipt::Fresh), |before| read(before, natural_key))
            .map_err(|reason| Error::Refused { what, reason })
    }

    /// Writes down that a step was done, with what came of it.
    ///
    /// # Errors
    /// [`Error::Unavailable`] when it may have been written down or not, [`Error::Refused`] when the outcome is over 64 KiB. Both leave
    /// the step begun at worst.
    #[boxed]
    pub async fn complete_receipt(&self, job_id: &str, step: &str, outcome: &Value) -> Result<(), Error> {
        let what = format!("complete step {step:?} of job {job_id}");
        let n_bytes = outcome.to_string().len();
        if n_bytes > MOST_OUTCOME_BYTES {
            let reason = format!("the outcome has {n_bytes} bytes, at most {MOST_OUTCOME_BYTES} are kept");
            return Err(Error::Refused { what, reason });
        }
        let now = DateTime::now();
        let mut set = doc! { "completed_at": now, "touched_at": now, "failed": false };
        insert_json(&mut set, "outcome", outcome);
        self.change_receipt(what, job_id, step, doc! { "$set": set, "$unset": { "error": "" } }).await
    }

    /// Writes down that a step was tried and not done, and why.
    ///
    /// # Errors
    /// [`Error::Unavailable`] when it may have been written down or not; the step is begun at worst.
    #[boxed]
    pub async fn fail_receipt(&self, job_id: &str, step: &str, error: &str) -> Result<(), Error> {
        let what = format!("write down that step {step:?} of job {job_id} failed");
        let error: String = error.chars().take(MOST_ERROR_CHARS).collect();
        let set = doc! { "touched_at": DateTime::now(), "failed": true, "error": error };
        self.change_receipt(what, job_id, step, doc! { "$set": set }).await
    }

    /// Has a step that was done count as failed: what came of it is worth nothing, and it may be made again. False when it counts so
    /// already: of many that void it, one is told true.
    ///
    /// # Errors
    /// [`Error::Unavailable`] when it may have been written down or not.
    #[boxed]
    pub async fn void_receipt(&self, job_id: &str, step: &str, error: &str) -> Result<bool, Error> {
        let what = format!("void step {step:?} of job {job_id}");
        let error: String = error.chars().take(MOST_ERROR_CHARS).collect();
        let set = doc! { "touched_at": DateTime::now(), "failed": true, "error": error };
        let unset = doc! { "completed_at": "", "outcome": "", "outcome_json": "" };
        let collection = self.collection(COLLECTION);
        let filter = doc! { "_id": format!("{job_id}/{step}"), "failed": { "$ne": true } };
        let void = async move {
            let update = doc! { "$set": set, "$unset": unset };
            collection.find_one_and_update(filter, update).projection(doc! { "_id": 1 }).max_time(MAX_TIME).await
        };
        Ok(run(what, ANSWER_TIMEOUT, void).await?.is_some())
    }

    /// What came of a step, if it was done.
    ///
    /// # Errors
    /// [`Error::Unavailable`] when it may work later, [`Error::Refused`] when the document was damaged.
    #[boxed]
    pub async fn receipt(&self, job_id: &str, step: &str) -> Result<Option<Value>, Error> {
        let what = format!("read what came of step {step:?} of job {job_id}");
        let collection = self.collection(COLLECTION);
        let filter = doc! { "_id": format!("{job_id}/{step}"), "completed_at": { "$exists": true } };
        let find = async move { collection.find_one(filter).max_time(MAX_TIME).await };
        let found = run(what.clone(), ANSWER_TIMEOUT, find).await?;
        let outcome = found.map(|mut found| take_json(&mut found, "outcome")).transpose();
        outcome.map_err(|reason| Error::Refused { what, reason })
    }

    /// When a step was begun first.
    ///
    /// # Errors
    /// [`Error::Unavailable`] when it may work later.
    #[boxed]
    pub async fn receipt_begun(&self, job_id: &str, step: &str) -> Result<Option<Moment>, Error> {
        let what = format!("read when step {step:?} of job {job_id} was begun");
        let collection = self.collection(COLLECTION);
        let filter = doc! { "_id": format!("{job_id}/{step}") };
        let find =
            async move { collection.find_one(filter).projection(doc! { "begun_at": 1 }).max_time(MAX_TIME).await };
        let found = run(what, ANSWER_TIMEOUT, find).await?;
        let begun = found.and_then(|found| u64::try_from(found.get_datetime("begun_at").ok()?.timestamp_millis()).ok());
        Ok(begun.map(Moment::from_ms))
    }

    async fn change_receipt(&self, what: String, job_id: &str, step: &str, update: Document) -> Result<(), Error> {
        let filter = doc! { "_id": format!("{job_id}/{step}") };
        self.writer.update(COLLECTION, filter, update, &what).await
    }

    pub(crate) async fn prepare_receipts(&self) -> Result<(), Error> {
        let options = IndexOptions::builder().expire_after(KEPT).build();
        self.create_indexes(COLLECTION, [index_with("kept", doc! { "touched_at": 1 }, options)]).await
    }
}

fn read(mut before: Document, natural_key: &str) -> Result<Receipt, String> {
    match before.get_str("natural_key") {
        Ok(begun_for) if begun_for == natural_key => {}
        begun_for => return Err(format!("it was begun for {:?}", begun_for.unwrap_or("nothing"))),
    }
    if before.contains_key("completed_at") {
        return Ok(Receipt::Completed(take_json(&mut before, "outcome")?));
    }
    Ok(if before.get("failed") == Some(&Bson::Boolean(true)) { Receipt::Failed } else { Receipt::Begun })
}
