//! E-mails as they were sent, or would have been: the results of e-mail jobs, in the collection `emails`, for as long as
//! [`Store::keep_emails`] says. And who wants no more reminders:
//! the collection `unsubscribed`, `{ _id: "<tenant>/<address>", at }`.

use std::time::Duration;

use async_recursion::async_recursion as boxed;
use futures::TryStreamExt;
use mongodb::{
    bson::{DateTime, Document, RawDocument, RawDocumentBuf, doc},
    options::IndexOptions,
};
use serde_json::Value;

use crate::{
    ANSWER_TIMEOUT, Error, MAX_TIME, Moment, Store,
    error::is_other_index,
    index::{index, index_with},
    results, run,
};

const EMAILS: &str = "emails";
const UNSUBSCRIBED: &str = "unsubscribed";

/// The result of an e-mail job.
#[derive(Debug, Clone, PartialEq)]
pub struct StoredEmail {
    /// The job's id as lower-case text.
    pub job_id: String,
    /// Whom the job belongs to.
    pub tenant: String,
    /// Who sent it.
    pub provider: Option<String>,
    /// When it was first stored.
    pub created_at: Moment,
    /// What the handler made; in a list without `text` and `html`.
    pub result: Value,
}

/// Which e-mails are looked for; what is absent does not matter.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct EmailQuery {
    /// Only of this tenant.
    pub tenant: Option<String>,
    /// Only to this address.
    pub to: Option<String>,
    /// Only those listed behind this id.
    pub after: Option<String>,
}

/// A page of e-mails, the last enqueued first.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct EmailPage {
    /// The e-mails.
    pub emails: Vec<StoredEmail>,
    /// The `after` of the next page; absent on the last.
    pub next: Option<String>,
}

impl Store {
    /// E-mails, the last enqueued first.
    ///
    /// # Errors
    /// [`Error::Unavailable`] when it may work later, [`Error::Refused`] when a document was damaged.
    #[boxed]
    pub async fn emails(&self, query: &EmailQuery, limit: usize) -> Result<EmailPage, Error> {
        let what = format!("list e-mails of {EMAILS}");
        let collection = self.collection(EMAILS).clone_with_type::<RawDocumentBuf>();
        let mut filter = Document::new();
        if let Some(tenant) = &query.tenant {
            filter.insert("tenant", tenant);
        }
        if let Some(to) = &query.to {
            filter.insert("result.to", to);
        }
        if let Some(after) = &query.after {
            filter.insert("_id", doc! { "$lt": after });
        }
        // One more than needed tells whether there is a next page.
        let n = i64::try_from(limit).unwrap_or(i64::MAX).saturating_add(1);
        let find = async move {
            let found = collection.find(filter).projection(doc! { "result.text": 0, "result.html": 0 });
            found.sort(doc! { "_id": -1 }).limit(n).max_time(MAX_TIME).await?.try_collect::<Vec<_>>().await
        };
        let mut documents = run(what.clone(), ANSWER_TIMEOUT, find).await?;
        let more = documents.len() > limit;
        documents.truncate(limit);
        let emails = documents.iter().map(|document| read(document, &what));
        let emails: Vec<StoredEmail> = emails.collect::<Result<_, _>>()?;
        let next = emails.last().filter(|_| more).map(|last| last.job_id.clone());
        Ok(EmailPage { emails, next })
    }

    /// One e-mail, with its text.
    ///
    /// # Errors
    /// [`Error::Unavailable`] when it may work later, [`Error::Refused`] when the document was damaged.
    #[boxed]
    pub async fn email(&self, job_id: &str) -> Result<Option<StoredEmail>, Error> {
        let what = format!("read e-mail {job_id} from {EMAILS}");
        let collection = self.collection(EMAILS).clone_with_type::<RawDocumentBuf>();
        let filter = doc! { "_id": job_id };
        let find = async move { collection.find_one(filter).max_time(MAX_TIME).await };
        let document = run(what.clone(), ANSWER_TIMEOUT, find).await?;
        document.map(|document| read(&document, &what)).transpose()
    }

    /// Sends this address of a tenant no more reminders. May be repeated.
    ///
    /// # Errors
    /// [`Error::Unavailable`] when it may work later (and may have happened).
    #[boxed]
    pub async fn unsubscribe(&self, tenant: &str, address: &str) -> Result<(), Error> {
        let what = format!("unsubscribe an address of tenant {tenant}");
        let collection = self.collection(UNSUBSCRIBED);
        let filter = doc! { "_id": unsubscribed_id(tenant, address) };
        let update = doc! { "$setOnInsert": { "at": DateTime::now() } };
        let write = async move { collection.find_one_and_update(filter, update).upsert(true).max_time(MAX_TIME).await };
        run(what, ANSWER_TIMEOUT, write).await?;
        Ok(())
    }

    /// Whether this address of a tenant wants no more reminders.
    ///
    /// # Errors
    /// [`Error::Unavailable`] when it may work later.
    #[boxed]
    pub async fn is_unsubscribed(&self, tenant: &str, address: &str) -> Result<bool, Error> {
        let what = format!("look whether an address of tenant {tenant} is unsubscribed");
        let collection = self.collection(UNSUBSCRIBED);
        let filter = doc! { "_id": unsubscribed_id(tenant, address) };
        let find = async move { collection.find_one(filter).max_time(MAX_TIME).await };
        Ok(run(what, ANSWER_TIMEOUT, find).await?.is_some())
    }

    /// Keeps e-mails for so many days, those that are there already too: MongoDB deletes older ones. The last call is valid.
    ///
    /// # Errors
    /// As MongoDB gives them; it may be repeated.
    #[boxed]
    pub async fn keep_emails(&self, days: u32) -> Result<(), Error> {
        let keys = doc! { "created_at": 1 };
        let kept = Duration::from_secs(u64::from(days) * 24 * 3600);
        let index = index_with("kept", keys.clone(), IndexOptions::builder().expire_after(kept).build());
        let collection = self.collection(EMAILS);
        let (database, seconds) = (self.database.clone(), i64::from(days) * 24 * 3600);
        let keep = async move {
            match collection.create_index(index).await {
                // It is there with another time, which only this changes.
                Err(error) if is_other_index(&error) => {
                    let change = doc! { "keyPattern": keys, "expireAfterSeconds": seconds };
                    database.run_command(doc! { "collMod": EMAILS, "index": change }).await.map(drop)
                }
                created => created.map(drop),
            }
        };
        run(format!("keep {EMAILS} for {days} days"), ANSWER_TIMEOUT, keep).await
    }

    pub(crate) async fn prepare_emails(&self) -> Result<(), Error> {
        let indexes = [
            index("tenant_list", doc! { "tenant": 1, "_id": -1 }),
            index("to_list", doc! { "result.to": 1, "_id": -1 }),
        ];
        self.create_indexes(EMAILS, indexes).await
    }
}

/// An address is the same however it is capitalised.
fn unsubscribed_id(tenant: &str, address: &str) -> String {
    format!("{tenant}/{}", address.to_lowercase())
}

fn read(document: &RawDocument, what: &str) -> Result<StoredEmail, Error> {
    let text = |name: &str| document.get_str(name).ok().map(str::to_owned);
    let created_ms = document.get_datetime("created_at").map_or(0, |at| at.timestamp_millis());
    let (job_id, tenant, provider) = (text("_id"), text("tenant"), text("provider"));
    let result = results::read(document).map_err(|reason| Error::Refused { what: what.to_owned(), reason })?;
    Ok(StoredEmail {
        job_id: job_id.unwrap_or_default(),
        tenant: tenant.unwrap_or_default(),
        provider,
        created_at: Moment::from_ms(u64::try_from(created_ms).unwrap_or(0)),
        result,
    })
}
