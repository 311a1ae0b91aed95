//! What the mock of Stripe keeps, so that all processes of a deployment have the same: the collection `mock_payments`, a text a customer.

use async_recursion::async_recursion as boxed;
use mongodb::bson::{DateTime, Document, doc};

use crate::{ANSWER_TIMEOUT, Error, Store, error::is_duplicate_key, run};

const MOCK: &str = "mock_payments";
/// Customers of a mock are few.
const MOST: usize = 10_000;

impl Store {
    /// A text of the mock, and its version, which is at least 1.
    ///
    /// # Errors
    /// [`Error::Unavailable`] when it may work later, [`Error::Refused`] when the document was damaged.
    #[boxed]
    pub async fn mock_payments(&self, name: &str) -> Result<Option<(u64, String)>, Error> {
        let found: Vec<Document> = self.find(MOCK, doc! { "_id": name }, doc! { "_id": 1 }, 1).await?;
        let Some(document) = found.first() else { return Ok(None) };
        let read = || {
            let version = u64::try_from(document.get_i64("version").ok()?).ok()?;
            Some((version, document.get_str("text").ok()?.to_owned()))
        };
        let damaged = || Error::Refused { what: format!("read {name} of {MOCK}"), reason: "it is damaged".to_owned() };
        read().map(Some).ok_or_else(damaged)
    }

    /// Keeps a text of the mock in the place of the version `was`; 0: in the place of none. False when another one is there by now.
    ///
    /// # Errors
    /// [`Error::Unavailable`] when it may work later (and may have happened).
    #[boxed]
    pub async fn keep_mock_payments(&self, name: &str, text: String, was: u64) -> Result<bool, Error> {
        let collection = self.collection(MOCK);
        let version = |version: u64| i64::try_from(version).unwrap_or(i64::MAX);
        let filter = doc! { "_id": name, "version": version(was) };
        let document = doc! { "_id": name, "version": version(was + 1), "text": text, "at": DateTime::now() };
        let write = async move {
            if was > 0 {
                return Ok(collection.replace_one(filter, document).await?.matched_count == 1);
            }
            match collection.insert_one(document).await {
                Err(error) if is_duplicate_key(&error) => Ok(false),
                inserted => inserted.map(|_| true),
            }
        };
        run(format!("keep {name} of {MOCK}"), ANSWER_TIMEOUT, write).await
    }

    /// The names of all texts of the mock, in order.
    ///
    /// # Errors
    /// [`Error::Unavailable`] when it may work later.
    #[boxed]
    pub async fn mock_payments_names(&self) -> Result<Vec<String>, Error> {
        let only_ids = doc! { "_id": 1 };
        let found = self.find_projected::<Document>(MOCK, doc! {}, doc! { "_id": 1 }, MOST, only_ids).await?;
        Ok(found.read.iter().filter_map(|document| document.get_str("_id").ok().map(str::to_owned)).collect())
    }
}
