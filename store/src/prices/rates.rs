//! Exchange rates, a document a day.

use std::collections::BTreeMap;

use async_recursion::async_recursion as boxed;
use mongodb::bson::{Document, doc};
use serde::{Deserialize, Serialize};

use crate::{ANSWER_TIMEOUT, Error, Moment, Store, documents::to_document, error::is_duplicate_key, run};

pub(super) const RATES: &str = "rates";

/// The rates of a day.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StoredRates {
    /// The day, `2026-11-27`.
    #[serde(rename = "_id")]
    pub date: String,
    /// What they count from.
    pub base: String,
    /// How much of each currency one of the base is; decimal.
    pub rates: BTreeMap<String, String>,
    /// Whether somebody has set them, and no file.
    pub set: bool,
    /// Who has set them, or which file.
    pub by: String,
    /// When they were stored.
    pub at: Moment,
}

impl Store {
    /// Stores the rates of a day, in the place of others of the same day. False when those of a file would take the place of rates that
    /// somebody has set: these stay.
    ///
    /// # Errors
    /// [`Error::Unavailable`] when it may work later (and may have happened).
    #[boxed]
    pub async fn put_rates(&self, rates: &StoredRates) -> Result<bool, Error> {
        let what = format!("store the rates of {}", rates.date);
        let document = to_document(&what, rates)?;
        let collection = self.collection(RATES);
        let mut filter = doc! { "_id": &rates.date };
        if !rates.set {
            filter.insert("set", false);
        }
        let write = async move {
            match collection.replace_one(filter, document).upsert(true).await {
                Err(error) if is_duplicate_key(&error) => Ok(false),
                written => written.map(|_| true),
            }
        };
        run(what, ANSWER_TIMEOUT, write).await
    }

    /// The newest rates; of a day no later than `until`, if that is given.
    ///
    /// # Errors
    /// [`Error::Unavailable`] when it may work later, [`Error::Refused`] when the document was damaged.
    #[boxed]
    pub async fn rates(&self, until: Option<&str>) -> Result<Option<StoredRates>, Error> {
        let filter = until.map_or_else(Document::new, |until| doc! { "_id": { "$lte": until } });
        Ok(self.find(RATES, filter, doc! { "_id": -1 }, 1).await?.pop())
    }
}
