//! What became of results that stand-ins made: for whoever has passed one on.

use async_recursion::async_recursion as boxed;
use mongodb::bson::{RawDocumentBuf, doc};
use serde_json::Value;

use crate::{ANSWER_TIMEOUT, Error, MAX_TIME, Store, results, run};

/// What became of a result that a stand-in made.
#[derive(Debug, Clone, PartialEq)]
pub enum StandIn {
    /// It is there still.
    Stays,
    /// A real result, which is this, has taken its place.
    Replaced(Value),
}

impl Store {
    /// What became of the result that a stand-in made of a tenant's job. `None`: there is no such result, or it was real at once.
    ///
    /// # Errors
    /// [`Error::Unavailable`] when it may work later, [`Error::Refused`] when the document was damaged.
    #[boxed]
    pub async fn stand_in(&self, collection: &str, job_id: &str, tenant: &str) -> Result<Option<StandIn>, Error> {
        let what = format!("look what became of the result of job {job_id} in {collection}");
        let collection = self.collection(collection);
        let of_a_stand_in = vec![doc! { "degraded": true }, doc! { "replaced_at": { "$exists": true } }];
        let filter = doc! { "_id": job_id, "tenant": tenant, "$or": of_a_stand_in };
        let find = async move {
            let wanted = doc! { "degraded": 1, "result": 1, "result_json": 1 };
            let collection = collection.clone_with_type::<RawDocumentBuf>();
            collection.find_one(filter).projection(wanted).max_time(MAX_TIME).await
        };
        let Some(document) = run(what.clone(), ANSWER_TIMEOUT, find).await? else { return Ok(None) };
        if document.get_bool("degraded").unwrap_or(false) {
            return Ok(Some(StandIn::Stays));
        }
        let result = results::read(&document).map_err(|reason| Error::Refused { what, reason })?;
        Ok(Some(StandIn::Replaced(result)))
    }
}
