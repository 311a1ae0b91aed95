//! What tenants have used of models that write and draw: the collection `usage`, one document a UTC day, tenant, service and model.
//!
//! `{ _id: { day, tenant, service, model }, day, tenant, service, model, calls, unpriced_calls, tokens_in, tokens_out, cost_nano_usd, counted,
//! expires_at }`. `counted` are the last things that were counted, so that a repetition changes nothing; it is bounded, because a
//! repetition comes soon or never. Costs are billionths of a US dollar, which add up exactly.

use std::time::Duration;

use async_recursion::async_recursion as boxed;
use futures::TryStreamExt;
use mongodb::{
    Collection,
    bson::{DateTime, Document, doc},
    error::Result as DriverResult,
    options::IndexOptions,
};
use serde::{Deserialize, Serialize};

use crate::{
    ANSWER_TIMEOUT, Error, MAX_TIME, Moment, Store,
    error::is_duplicate_key,
    index::{index, index_with},
    run,
};

const COLLECTION: &str = "usage";
/// How many things that were counted a document remembers.
const REMEMBERED: i32 = 1_000;
/// How long a day's usage is kept after it.
const KEPT: Duration = Duration::from_secs(800 * 24 * 3600);
/// Two writers of the same new document can make one of them fail; the second time it is an update, or was counted before.
const TRIES: u32 = 2;

/// Calls of one model that belong together.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewUsage {
    /// Whatever has this id is counted once in a day, tenant, service and model.
    pub id: String,
    /// On which day it counts; `None`: today.
    pub at: Option<Moment>,
    /// Who pays.
    pub tenant: String,
    /// Whose model: `openai`, …
    pub service: String,
    /// Which model.
    pub model: String,
    /// Answers that came, good or bad.
    pub calls: u64,
    /// Those of them whose price is not known.
    pub unpriced_calls: u64,
    /// Tokens read.
    pub tokens_in: u64,
    /// Tokens written.
    pub tokens_out: u64,
    /// What the calls with a price cost, in billionths of a US dollar.
    pub cost_nano_usd: u64,
}

/// What a tenant used of a model on a UTC day.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DayUsage {
    /// `2026-11-22`.
    pub day: String,
    /// Who pays.
    pub tenant: String,
    /// Whose model.
    pub service: String,
    /// Which model.
    pub model: String,
    /// Answers that came, good or bad.
    pub calls: u64,
    /// Those of them whose price was not known.
    pub unpriced_calls: u64,
    /// Tokens read.
    pub tokens_in: u64,
    /// Tokens written.
    pub tokens_out: u64,
    /// What the calls with a price cost, in billionths of a US dollar.
    pub cost_nano_usd: u64,
}

impl Store {
    /// Adds to the usage of its day. Repeated with the same id and day, it changes nothing. False when it was counted before.
    ///
    /// # Errors
    /// [`Error::Unavailable`] when it may not have been counted; the same call may be repeated.
    #[boxed]
    pub async fn count_usage(&self, new: NewUsage) -> Result<bool, Error> {
        let what = format!("count what {} used of {} for tenant {}", new.id, new.model, new.tenant);
        let collection = self.collection(COLLECTION);
        run(what, ANSWER_TIMEOUT, async move { count(&collection, &new).await }).await
    }

    /// The usage of the UTC days `from` to `to` (`2026-11-22`, both included), of `tenant` or of all; the newest day first, at most
    /// `limit` entries.
    ///
    /// # Errors
    /// [`Error::Unavailable`] when it may work later, [`Error::Refused`] when a document was damaged.
    #[boxed]
    pub async fn usage(
        &self,
        tenant: Option<&str>,
        from: &str,
        to: &str,
        limit: usize,
    ) -> Result<Vec<DayUsage>, Error> {
        let what = format!("read the usage of {} from {from} to {to}", tenant.unwrap_or("all tenants"));
        let mut filter = doc! { "day": { "$gte": from, "$lte": to } };
        if let Some(tenant) = tenant {
            filter.insert("tenant", tenant);
        }
        let collection = self.collection(COLLECTION).clone_with_type::<DayUsage>();
        let find = async move {
            let found = collection
                .find(filter)
                .sort(doc! { "day": -1, "tenant": 1, "service": 1, "model": 1 })
                .projection(doc! { "_id": 0, "counted": 0, "expires_at": 0 })
                .limit(i64::try_from(limit).unwrap_or(i64::MAX))
                .max_time(MAX_TIME);
            found.await?.try_collect().await
        };
        run(what, ANSWER_TIMEOUT, find).await
    }

    pub(crate) async fn prepare_usage(&self) -> Result<(), Error> {
        let expires = IndexOptions::builder().expire_after(Duration::ZERO).build();
        let indexes = [
            index("tenant_day", doc! { "tenant": 1, "day": -1 }),
            index("day", doc! { "day": -1 }),
            index_with("expires_at", doc! { "expires_at": 1 }, expires),
        ];
        self.create_indexes(COLLECTION, indexes).await
    }
}

async fn count(collection: &Collection<Document>, new: &NewUsage) -> DriverResult<bool> {
    let now = DateTime::now();
    let day = new.at.map_or(now, |at| DateTime::from_millis(i64::try_from(at.ms()).unwrap_or(i64::MAX)));
    let day: String = day.try_to_rfc3339_string().unwrap_or_default().chars().take(10).collect();
    let of = doc! { "day": &day, "tenant": &new.tenant, "service": &new.service, "model": &new.model };
    let number = |n: u64| i64::try_from(n).unwrap_or(i64::MAX);
    let mut first = of.clone();
    first.insert("expires_at", DateTime::from_millis(now.timestamp_millis() + number(KEPT.as_secs()) * 1_000));
    let update = doc! {
        "$inc": {
            "calls": number(new.calls),
            "unpriced_calls": number(new.unpriced_calls),
            "tokens_in": number(new.tokens_in),
            "tokens_out": number(new.tokens_out),
            "cost_nano_usd": number(new.cost_nano_usd),
        },
        "$push": { "counted": { "$each": [&new.id], "$slice": -REMEMBERED } },
        "$setOnInsert": first,
    };
    let filter = doc! { "_id": of, "counted": { "$ne": &new.id } };
    for _ in 0..TRIES {
        let call = collection.find_one_and_update(filter.clone(), update.clone());
        match call.upsert(true).projection(doc! { "_id": 1 }).max_time(MAX_TIME).await {
            Ok(_) => return Ok(true),
            Err(error) if is_duplicate_key(&error) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(false)
}
