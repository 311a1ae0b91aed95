//! What fal called us with: one delivery a run, kept for a week, so that a job finds what became of a run without asking for it, and
//! whatever became of the answer to its submit.
//!
//! Collection `fal_deliveries`: `{ _id: "<request id>", job_id, at, body }`, in which `body` is JSON as text.

use std::time::Duration;

use async_recursion::async_recursion as boxed;
use futures::TryStreamExt;
use mongodb::{
    bson::{self, DateTime, RawDocument, RawDocumentBuf, doc, rawdoc},
    options::IndexOptions,
};

use crate::{
    ANSWER_TIMEOUT, Error, MAJORITY_TIMEOUT, MAX_TIME, Moment, Store,
    error::is_duplicate_key,
    index::{index, index_with},
    run,
};

const COLLECTION: &str = "fal_deliveries";
const KEPT: Duration = Duration::from_secs(7 * 24 * 3600);
const MOST_BODY_BYTES: usize = 256 * 1024;
const MOST_ID_BYTES: usize = 200;
/// Two writers of the same new document can make one of them fail; the second time it is an update.
const UPSERT_TRIES: u32 = 3;
/// A job makes one run, and a few more at worst.
const MOST_OF_A_JOB: i64 = 20;

/// What fal called us with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FalDelivery {
    /// Fal's id of the run.
    pub request_id: String,
    /// When it came.
    pub at: Moment,
    /// JSON, as it came.
    pub body: String,
}

impl Store {
    /// Keeps what fal delivers of a run that a job asked for. False when it was there before: fal repeats itself.
    ///
    /// # Errors
    /// [`Error::Unavailable`] when it may work later (and may have happened); [`Error::Refused`] when the body has more than 256 KiB, or
    /// the id more than 200 bytes.
    #[boxed]
    pub async fn put_fal_delivery(&self, request_id: &str, job_id: &str, body: &str) -> Result<bool, Error> {
        let what = format!("keep what fal delivers of {request_id:.100?} for job {job_id}");
        for (name, length, most) in [("body", body.len(), MOST_BODY_BYTES), ("id", request_id.len(), MOST_ID_BYTES)] {
            if length > most {
                let reason = format!("the {name} has {length} bytes, at most {most} are kept");
                return Err(Error::Refused { what, reason });
            }
        }
        let delivery = rawdoc! { "_id": request_id, "job_id": job_id, "at": DateTime::now(), "body": body };
        Ok(self.writer.insert(COLLECTION, delivery, &what).await?.is_none())
    }

    /// What fal has delivered for a job, the oldest first.
    ///
    /// # Errors
    /// [`Error::Unavailable`] when it may work later, [`Error::Refused`] when a document was damaged.
    #[boxed]
    pub async fn fal_deliveries(&self, job_id: &str) -> Result<Vec<FalDelivery>, Error> {
        let what = format!("read what fal has delivered for job {job_id}");
        let collection = self.collection(COLLECTION).clone_with_type::<RawDocumentBuf>();
        let filter = doc! { "job_id": job_id };
        let find = async move {
            let found = collection.find(filter).sort(doc! { "at": 1, "_id": 1 }).limit(MOST_OF_A_JOB);
            found.max_time(MAX_TIME).await?.try_collect::<Vec<_>>().await
        };
        let documents = run(what.clone(), ANSWER_TIMEOUT, find).await?;
        let deliveries = documents.iter().map(|document| read(document)).collect::<Result<_, _>>();
        deliveries.map_err(|error| Error::Refused { what, reason: error.to_string() })
    }

    /// Has a delivery tell its job nothing, whether it came or not: the run has come to nothing, and the job may begin another one. It is
    /// still known, so that a repetition does not bring it back.
    ///
    /// # Errors
    /// [`Error::Unavailable`] when it may work later; the same call may be repeated.
    #[boxed]
    pub async fn void_fal_delivery(&self, request_id: &str) -> Result<(), Error> {
        let what = format!("have the delivery of {request_id:.100?} tell nothing");
        let collection = self.collection(COLLECTION);
        let filter = doc! { "_id": request_id };
        // One that comes only now is as good as repeated.
        let update = doc! { "$unset": { "job_id": "" }, "$setOnInsert": { "at": DateTime::now(), "body": "" } };
        let void = async move {
            for _ in 0..UPSERT_TRIES {
                match collection.update_one(filter.clone(), update.clone()).upsert(true).await {
                    Err(error) if is_duplicate_key(&error) => {}
                    other => return other.map(drop),
                }
            }
            Ok(())
        };
        run(what, MAJORITY_TIMEOUT, void).await
    }

    pub(crate) async fn prepare_deliveries(&self) -> Result<(), Error> {
        let kept = IndexOptions::builder().expire_after(KEPT).build();
        let of_a_job = index("of_a_job", doc! { "job_id": 1, "at": 1 });
        self.create_indexes(COLLECTION, [index_with("kept", doc! { "at": 1 }, kept), of_a_job]).await
    }
}

fn read(document: &RawDocument) -> bson::error::Result<FalDelivery> {
    let text = |name: &str| document.get_str(name).map(str::to_owned);
    let at = document.get_datetime("at")?.timestamp_millis();
    Ok(FalDelivery {
        request_id: text("_id")?,
        at: Moment::from_ms(u64::try_from(at).unwrap_or(0)),
        body: text("body")?,
    })
}
