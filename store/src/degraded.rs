//! Results that a stand-in made, until a real provider's takes their place.
//!
//! The document of such a result (see `results.rs`) has besides: `payload_json`, what the job was asked for; `made`, a hash of the
//! result as it was stored; `heal_at`, when it is next worth trying; `heal_failures`, if there were any; `heal_so_far`, what was done of
//! the real result, as text of JSON. `heal_at` is there as long as something is left to be done, and
//! its index has these documents only. Whoever takes one moves its `heal_at` ahead, as a lease: when that replica dies, the document
//! is taken again. A result whose hash has changed was edited since, and is left as it is.

use std::time::Duration;

use async_recursion::async_recursion as boxed;
use mongodb::{
    bson::{Bson, DateTime, Document, RawDocumentBuf, cstr, doc},
    options::{IndexOptions, ReturnDocument},
};
use serde_json::Value;
use sha2::{Digest, Sha256};

use crate::{ANSWER_TIMEOUT, Error, MAX_TIME, Moment, Store, index::index_with, json, run};

/// A stand-in's result that was taken to be replaced.
#[derive(Debug, Clone, PartialEq)]
pub struct Degraded {
    /// The job that it is the result of.
    pub job_id: String,
    /// Whom the job belongs to.
    pub tenant: String,
    /// What the job was asked for.
    pub payload: Value,
    /// When it was made.
    pub made_at: Moment,
    /// How often no real result could be made.
    pub failures: u32,
    /// What was done of the real result; see [`Store::interrupted_degraded`].
    pub so_far: Option<Value>,
    /// The real result, if it is stored already and is only to be announced.
    pub replaced: Option<Replacement>,
    /// As it was read: it is replaced only if it is still so.
    result: Document,
}

/// A real result that has taken the place of a stand-in's.
#[derive(Debug, Clone, PartialEq)]
pub struct Replacement {
    /// Who made it.
    pub provider: Option<String>,
    /// What it is.
    pub result: Value,
}

impl Store {
    /// Takes the stand-in's result that has waited longest, for as long as `lease`. Results that were edited since they were made
    /// are left alone for good, and `None` comes when no other is left.
    ///
    /// # Errors
    /// [`Error::Unavailable`] when it may work later.
    #[boxed]
    pub async fn take_degraded(
        &self,
        collection: &str,
        now: Moment,
        lease: Duration,
    ) -> Result<Option<Degraded>, Error> {
        loop {
            let documents = self.collection(collection);
            let until = Moment::from_ms(now.ms().saturating_add(u64::try_from(lease.as_millis()).unwrap_or(u64::MAX)));
            let take = async move {
                documents
                    .find_one_and_update(doc! { "heal_at": { "$lte": now } }, doc! { "$set": { "heal_at": until } })
                    .sort(doc! { "heal_at": 1 })
                    .return_document(ReturnDocument::After)
                    .max_time(MAX_TIME)
                    .await
            };
            let taken = run(format!("look for results of stand-ins in {collection}"), ANSWER_TIMEOUT, take).await?;
            let Some(document) = taken else { return Ok(None) };
            let id = document.get_str("_id").unwrap_or_default().to_owned();
            match read(document) {
                Ok(degraded) => return Ok(Some(degraded)),
                Err(why) => self.leave_alone(collection, &id, why).await?,
            }
        }
    }

    /// Puts the real result in the place of the stand-in's. False when somebody has edited it meanwhile; then it stays as it is.
    /// Afterwards it is to be announced: see [`Store::announced`].
    ///
    /// # Errors
    /// [`Error::Unavailable`] when it may work later (and may have happened), [`Error::Refused`] when it never will.
    #[boxed]
    pub async fn replace_degraded(
        &self,
        collection: &str,
        degraded: &Degraded,
        replacement: &Replacement,
    ) -> Result<bool, Error> {
        let mut filter = doc! { "_id": &degraded.job_id, "degraded": true };
        filter.extend(degraded.result.clone());
        let now = DateTime::now();
        let mut set = doc! { "provider": &replacement.provider, "degraded": false, "degraded_reason": Bson::Null,
        "updated_at": now, "replaced_at": now };
        let mut unset = doc! { "made": "" };
        match json::to_bson(&replacement.result) {
            Some(result) => {
                set.insert("result", result);
                unset.insert("result_json", "");
            }
            None => {
                set.insert("result_json", replacement.result.to_string());
                unset.insert("result", "");
            }
        }
        let documents = self.collection(collection);
        let replace = async move { documents.update_one(filter, doc! { "$set": set, "$unset": unset }).await };
        let what = format!("replace the result of job {} in {collection}", degraded.job_id);
        let replaced = run(what, ANSWER_TIMEOUT, replace).await?.matched_count == 1;
        if !replaced {
            self.leave_alone(collection, &degraded.job_id, "edited").await?;
        }
        Ok(replaced)
    }

    /// Nothing is left to be done for the result of this job; the history of jobs says who made it.
    ///
    /// # Errors
    /// [`Error::Unavailable`] when it may work later.
    #[boxed]
    pub async fn announced(&self, collection: &str, job_id: &str, provider: Option<&str>) -> Result<(), Error> {
        let history = self.collection(crate::history::COLLECTION);
        let filter = doc! { "_id": job_id };
        let set = doc! { "$set": { "provider": provider, "degraded": false, "degraded_reason": Bson::Null } };
        let update = async move { history.update_one(filter, set).await };
        run(format!("note in the history that job {job_id} has another result"), ANSWER_TIMEOUT, update).await?;
        self.end_healing(collection, job_id, doc! {}).await
    }

    /// The result stays as it is for good: `why` is `edited`, or what the provider said of its input.
    ///
    /// # Errors
    /// [`Error::Unavailable`] when it may work later.
    #[boxed]
    pub async fn leave_alone(&self, collection: &str, job_id: &str, why: &str) -> Result<(), Error> {
        self.end_healing(collection, job_id, doc! { "left_alone": why }).await
    }

    /// The result is not worth trying before `until`.
    ///
    /// # Errors
    /// [`Error::Unavailable`] when it may work later.
    #[boxed]
    pub async fn put_off_degraded(&self, collection: &str, job_id: &str, until: Moment) -> Result<(), Error> {
        self.put_off(collection, doc! { "_id": job_id, "heal_at": { "$exists": true } }, until).await
    }

    /// The result could not be made, and is not worth trying before `until`. `so_far`: what was done of it takes the place of what was
    /// done earlier.
    ///
    /// # Errors
    /// [`Error::Unavailable`] when it may work later.
    #[boxed]
    pub async fn failed_degraded(
        &self,
        collection: &str,
        job_id: &str,
        until: Moment,
        so_far: Option<&Value>,
    ) -> Result<(), Error> {
        let documents = self.collection(collection);
        let filter = doc! { "_id": job_id, "heal_at": { "$exists": true } };
        let mut set = doc! { "heal_at": until };
        set.extend(so_far.map(|so_far| ("heal_so_far".to_owned(), so_far.to_string().into())));
        let update = doc! { "$set": set, "$inc": { "heal_failures": 1 } };
        let put_off = async move { documents.update_one(filter, update).await };
        run(format!("put off the result of job {job_id} in {collection}"), ANSWER_TIMEOUT, put_off).await?;
        Ok(())
    }

    /// Something was done of the result, which is kept for whoever takes it next, after `until`.
    ///
    /// # Errors
    /// [`Error::Unavailable`] when it may work later.
    #[boxed]
    pub async fn interrupted_degraded(
        &self,
        collection: &str,
        job_id: &str,
        until: Moment,
        so_far: &Value,
    ) -> Result<(), Error> {
        let documents = self.collection(collection);
        let filter = doc! { "_id": job_id, "heal_at": { "$exists": true } };
        let update = doc! { "$set": { "heal_at": until, "heal_so_far": so_far.to_string() } };
        let keep = async move { documents.update_one(filter, update).await };
        run(format!("keep what was done of job {job_id} in {collection}"), ANSWER_TIMEOUT, keep).await?;
        Ok(())
    }

    /// No result of this tenant is worth trying before `until`.
    ///
    /// # Errors
    /// [`Error::Unavailable`] when it may work later.
    #[boxed]
    pub async fn put_off_tenant(&self, collection: &str, tenant: &str, until: Moment) -> Result<(), Error> {
        self.put_off(collection, doc! { "tenant": tenant, "heal_at": { "$lt": until } }, until).await
    }

    /// How many results of stand-ins wait to be replaced.
    ///
    /// # Errors
    /// [`Error::Unavailable`] when it may work later.
    #[boxed]
    pub async fn n_degraded(&self, collection: &str) -> Result<u64, Error> {
        let documents = self.collection(collection);
        let count = async move {
            documents
                .count_documents(doc! { "heal_at": { "$exists": true }, "degraded": true })
                .max_time(MAX_TIME)
                .await
        };
        run(format!("count the results of stand-ins in {collection}"), ANSWER_TIMEOUT, count).await
    }

    /// Whether a result is worth trying now.
    ///
    /// # Errors
    /// [`Error::Unavailable`] when it may work later.
    #[boxed]
    pub async fn has_degraded(&self, collection: &str, now: Moment) -> Result<bool, Error> {
        let documents = self.collection(collection);
        let find = async move {
            let filter = doc! { "heal_at": { "$lte": now } };
            documents.find_one(filter).projection(doc! { "_id": 1 }).max_time(MAX_TIME).await
        };
        let found = run(format!("look for results of stand-ins in {collection}"), ANSWER_TIMEOUT, find).await?;
        Ok(found.is_some())
    }

    /// The index by which results that wait are found.
    pub(crate) async fn prepare_degraded(&self, collection: &str) -> Result<(), Error> {
        let waiting = doc! { "heal_at": { "$exists": true } };
        let options = IndexOptions::builder().partial_filter_expression(waiting).build();
        self.create_indexes(collection, [index_with("heal_at", doc! { "heal_at": 1 }, options)]).await
    }

    async fn end_healing(&self, collection: &str, job_id: &str, set: Document) -> Result<(), Error> {
        let unset = doc! { "heal_at": "", "heal_failures": "", "heal_so_far": "", "made": "", "payload_json": "" };
        let mut update = doc! { "$unset": unset };
        if !set.is_empty() {
            update.insert("$set", set);
        }
        let documents = self.collection(collection);
        let filter = doc! { "_id": job_id };
        let end = async move { documents.update_one(filter, update).await };
        run(format!("note that the result of job {job_id} is settled"), ANSWER_TIMEOUT, end).await?;
        Ok(())
    }

    async fn put_off(&self, collection: &str, filter: Document, until: Moment) -> Result<(), Error> {
        let documents = self.collection(collection);
        let update = doc! { "$set": { "heal_at": until } };
        let put_off = async move { documents.update_many(filter, update).await };
        run(format!("put off results of stand-ins in {collection}"), ANSWER_TIMEOUT, put_off).await?;
        Ok(())
    }
}

/// Adds what is stored with a stand-in's `result`, which was made of this payload.
pub(crate) fn add_fields(payload: &Value, result: &Value, document: &mut RawDocumentBuf) {
    document.append(cstr!("payload_json"), payload.to_string());
    document.append(cstr!("made"), hash(result));
    document.append(cstr!("heal_at"), DateTime::now());
}

/// What must not be left of a stand-in's document when this takes its place.
pub(crate) fn unset(document: &Document) -> Document {
    match document.contains_key("heal_at") {
        true => doc! { "heal_so_far": "" },
        false => doc! { "payload_json": "", "made": "", "heal_at": "", "heal_failures": "", "heal_so_far": "" },
    }
}

/// What was taken, or why it is to be left alone.
fn read(mut document: Document) -> Result<Degraded, &'static str> {
    let (mut result, json) = (Document::new(), document.get("result_json").is_some());
    let field = if json { "result_json" } else { "result" };
    let stored = document.get(field).cloned().ok_or("damaged")?;
    result.insert(field, stored.clone());
    let value = match stored {
        Bson::String(text) if json => serde_json::from_str(&text).map_err(|_| "damaged")?,
        other => json::from_bson(other),
    };
    let payload = document.get_str("payload_json").ok().and_then(|text| serde_json::from_str(text).ok());
    let is_degraded = document.get_bool("degraded").unwrap_or(false);
    if is_degraded && document.get_str("made").ok() != Some(hash(&value).as_str()) {
        return Err("edited");
    }
    let made_ms = document.get_datetime("updated_at").map(|at| at.timestamp_millis()).unwrap_or_default();
    let so_far = document.get_str("heal_so_far").ok().and_then(|text| serde_json::from_str(text).ok());
    let failures = document.get_i32("heal_failures").ok().and_then(|n| u32::try_from(n).ok()).unwrap_or(0);
    let provider = document.get_str("provider").ok().map(str::to_owned);
    let mut text = |name: &str| match document.remove(name) {
        Some(Bson::String(text)) => text,
        _ => String::new(),
    };
    Ok(Degraded {
        made_at: Moment::from_ms(u64::try_from(made_ms).unwrap_or_default()),
        failures,
        so_far,
        job_id: text("_id"),
        tenant: text("tenant"),
        payload: payload.ok_or("damaged")?,
        replaced: (!is_degraded).then_some(Replacement { provider, result: value }),
        result,
    })
}

/// A hash of JSON that does not depend on the order of fields.
fn hash(value: &Value) -> String {
    let mut hash = Sha256::new();
    add(&mut hash, value);
    hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect()
}

fn add(hash: &mut Sha256, value: &Value) {
    match value {
        Value::Object(fields) => {
            let mut fields: Vec<_> = fields.iter().collect();
            fields.sort_by_key(|(name, _)| *name);
            hash.update(b"{");
            for (name, field) in fields {
                hash.update(Value::from(name.as_str()).to_string());
                add(hash, field);
            }
            hash.update(b"}");
        }
        Value::Array(items) => {
            hash.update(b"[");
            items.iter().for_each(|item| {
                add(hash, item);
                hash.update(b",");
            });
            hash.update(b"]");
        }
        other => hash.update(other.to_string()),
    }
}
