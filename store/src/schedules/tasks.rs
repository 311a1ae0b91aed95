//! What the tasks of schedules walk through, and how far they are.

use async_recursion::async_recursion as boxed;
use futures::TryStreamExt;
use mongodb::bson::{Bson, DateTime, Document, doc, oid::ObjectId};

use crate::{ANSWER_TIMEOUT, Error, MAX_TIME, Moment, Store, documents::id_text, run};

pub(super) const MONITORS: &str = "monitors";
pub(super) const TENANTS: &str = "tenants";
pub(super) const PROGRESS: &str = "task_progress";

/// A competitor's page that is to be watched; the back end writes it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Monitor {
    /// Its id as text.
    pub id: String,
    /// Who watches.
    pub tenant: String,
    /// The shop's own id of the product.
    pub product_id: String,
    /// The page.
    pub url: String,
    /// A CSS selector of the element that has the price, if the back end has written one.
    pub selector: Option<String>,
    /// Whether it has written there what is no text.
    pub has_no_text_as_selector: bool,
}

/// A tenant; the back end writes it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tenant {
    /// Its id as text.
    pub id: String,
    /// Its name.
    pub name: String,
    /// Where it is written to.
    pub email: String,
    /// Such as `fr`.
    pub language: String,
    /// IANA name.
    pub time_zone: String,
    /// When its trial ends.
    pub trial_ends_at: Option<Moment>,
    /// It is told of a competitor's price that moved by so many percent; as text, as it is a number of any kind.
    pub price_alert_percent: Option<String>,
}

/// How far a task is.
#[derive(Debug, Clone, PartialEq)]
pub struct TaskProgress {
    /// Where it goes on.
    pub after: Cursor,
    /// How many jobs it has added by then.
    pub n_added: u64,
}

/// Where a page of what the back end writes ended.
#[derive(Debug, Clone, PartialEq)]
pub struct Cursor(Bson);

impl Cursor {
    /// A place in what is no collection of the database.
    #[must_use]
    pub fn text(place: String) -> Self {
        Self(Bson::String(place))
    }

    /// The same; `None` of one of a collection with other ids.
    #[must_use]
    pub fn as_text(&self) -> Option<&str> {
        self.0.as_str()
    }
}

impl Store {
    /// Pages to watch, in the order of their ids, behind the page that `after` ended. Returns also where the next page begins;
    /// absent on the last. A document that cannot be understood is left out.
    ///
    /// # Errors
    /// [`Error::Unavailable`] when it may work later.
    #[boxed]
    pub async fn monitors(&self, after: Option<Cursor>, limit: usize) -> Result<(Vec<Monitor>, Option<Cursor>), Error> {
        self.page(MONITORS, Document::new(), after, limit, read_monitor).await
    }

    /// Tenants, in pages like [`Store::monitors`]: all, or those whose trial ends between two times (Unix milliseconds).
    ///
    /// # Errors
    /// [`Error::Unavailable`] when it may work later.
    #[boxed]
    pub async fn tenants(
        &self,
        trial_ends_between_ms: Option<(u64, u64)>,
        after: Option<Cursor>,
        limit: usize,
    ) -> Result<(Vec<Tenant>, Option<Cursor>), Error> {
        let filter = trial_ends_between_ms.map_or_else(Document::new, |(from_ms, to_ms)| {
            doc! { "trial_ends_at": { "$gte": Moment::from_ms(from_ms), "$lte": Moment::from_ms(to_ms) } }
        });
        self.page(TENANTS, filter, after, limit, read_tenant).await
    }

    /// A tenant, if the back end has written one of this id.
    ///
    /// # Errors
    /// [`Error::Unavailable`] when it may work later.
    #[boxed]
    pub async fn tenant(&self, id: &str) -> Result<Option<Tenant>, Error> {
        // The back end may use object ids, which are known here by their text.
        let mut ids = vec![Bson::from(id)];
        ids.extend(ObjectId::parse_str(id).ok().map(Bson::from));
        let found: Vec<Document> = self.find(TENANTS, doc! { "_id": { "$in": ids } }, doc! {}, 1).await?;
        Ok(found.first().and_then(read_tenant))
    }

    /// The pages that are watched of a tenant's product, at most `limit`.
    ///
    /// # Errors
    /// [`Error::Unavailable`] when it may work later.
    #[boxed]
    pub async fn monitors_of(&self, tenant: &str, product_id: &str, limit: usize) -> Result<Vec<Monitor>, Error> {
        let filter = doc! { "tenant": tenant, "product_id": product_id };
        let found: Vec<Document> = self.find(MONITORS, filter, doc! { "_id": 1 }, limit).await?;
        Ok(found.iter().filter_map(read_monitor).collect())
    }

    /// How many jobs of a tenant, created between two times (Unix milliseconds), ended: kind, state and number, in order. A mock publication counts as
    /// none.
    ///
    /// # Errors
    /// [`Error::Unavailable`] when it may work later.
    #[boxed]
    pub async fn count_jobs(
        &self,
        tenant: &str,
        from_ms: u64,
        to_ms: u64,
    ) -> Result<Vec<(String, String, u64)>, Error> {
        // Ids begin with the time of creation.
        let id = |ms: u64| format!("{:08x}-{:04x}", ms >> 16, ms & 0xffff);
        let jobs = self.collection("jobs");
        let stages = [
            doc! { "$match": { "tenant": tenant, "_id": { "$gte": id(from_ms), "$lt": id(to_ms) },
            "$nor": [{ "kind": "publication", "provider": "mock" }] } },
            doc! { "$group": { "_id": { "kind": "$kind", "state": "$state" }, "n": { "$sum": 1_i64 } } },
            doc! { "$sort": { "_id": 1 } },
        ];
        let count = async move { jobs.aggregate(stages).max_time(MAX_TIME).await?.try_collect::<Vec<_>>().await };
        let groups = run(format!("count the jobs of {tenant}"), ANSWER_TIMEOUT, count).await?;
        let read = |group: &Document| {
            let key = group.get_document("_id").ok()?;
            let text = |name: &str| key.get_str(name).ok().map(str::to_owned);
            Some((text("kind")?, text("state")?, u64::try_from(group.get_i64("n").ok()?).ok()?))
        };
        Ok(groups.iter().filter_map(read).collect())
    }

    /// How far the task of a job is; `None` if it is at its begin.
    ///
    /// # Errors
    /// [`Error::Unavailable`] when it may work later.
    #[boxed]
    pub async fn task_progress(&self, job: &str) -> Result<Option<TaskProgress>, Error> {
        let found = self.find_readable::<Document>(PROGRESS, doc! { "_id": job }, doc! { "_id": 1 }, 1).await?;
        let read = |document: &Document| {
            let after = Cursor(document.get("after")?.clone());
            Some(TaskProgress { after, n_added: u64::try_from(document.get_i64("n_added").ok()?).ok()? })
        };
        Ok(found.read.first().and_then(read))
    }

    /// Remembers how far the task of a job is, and for how long: 30 days.
    ///
    /// # Errors
    /// [`Error::Unavailable`] when it may work later (and may have happened).
    #[boxed]
    pub async fn keep_task_progress(&self, job: &str, progress: &TaskProgress) -> Result<(), Error> {
        let collection = self.collection(PROGRESS);
        let n_added = i64::try_from(progress.n_added).unwrap_or(i64::MAX);
        let set = doc! { "$set": { "after": progress.after.0.clone(), "n_added": n_added, "at": DateTime::now() } };
        let filter = doc! { "_id": job };
        let write = async move { collection.update_one(filter, set).upsert(true).await };
        run(format!("write how far the task of job {job} is"), ANSWER_TIMEOUT, write).await.map(|_| ())
    }

    /// Forgets how far the task of a job is: it is done.
    ///
    /// # Errors
    /// [`Error::Unavailable`] when it may work later (and may have happened).
    #[boxed]
    pub async fn forget_task_progress(&self, job: &str) -> Result<(), Error> {
        let collection = self.collection(PROGRESS);
        let filter = doc! { "_id": job };
        let delete = async move { collection.delete_one(filter).await };
        run(format!("forget how far the task of job {job} is"), ANSWER_TIMEOUT, delete).await.map(|_| ())
    }

    async fn page<T>(
        &self,
        collection: &'static str,
        mut filter: Document,
        after: Option<Cursor>,
        limit: usize,
        read: impl Fn(&Document) -> Option<T>,
    ) -> Result<(Vec<T>, Option<Cursor>), Error> {
        if let Some(Cursor(id)) = after {
            filter.insert("_id", doc! { "$gt": id });
        }
        let documents: Vec<Document> = self.find(collection, filter, doc! { "_id": 1 }, limit).await?;
        let last = documents.last().filter(|_| documents.len() == limit);
        let next = last.and_then(|last| last.get("_id").cloned()).map(Cursor);
        Ok((documents.iter().filter_map(read).collect(), next))
    }
}

fn read_monitor(document: &Document) -> Option<Monitor> {
    let text = |name: &str| document.get_str(name).ok().map(str::to_owned);
    let id = id_text(document)?;
    let (product_id, selector) = (text("product_id")?, text("selector").filter(|selector| !selector.is_empty()));
    let has_no_text_as_selector =
        document.get("selector").is_some_and(|selector| !matches!(selector, Bson::String(_) | Bson::Null));
    Some(Monitor { id, tenant: text("tenant")?, product_id, url: text("url")?, selector, has_no_text_as_selector })
}

fn read_tenant(document: &Document) -> Option<Tenant> {
    let text = |name: &str| document.get_str(name).ok().map(str::to_owned);
    let trial_ends_at = document.get_datetime("trial_ends_at").ok();
    Some(Tenant {
        id: id_text(document)?,
        name: text("name").unwrap_or_default(),
        email: text("email")?,
        language: text("language").unwrap_or_default(),
        time_zone: text("time_zone").unwrap_or_default(),
        trial_ends_at: trial_ends_at.and_then(|at| u64::try_from(at.timestamp_millis()).ok()).map(Moment::from_ms),
        price_alert_percent: document.get("price_alert_percent").and_then(number),
    })
}

/// A number of any kind as text.
fn number(value: &Bson) -> Option<String> {
    match value {
        Bson::Int32(number) => Some(number.to_string()),
        Bson::Int64(number) => Some(number.to_string()),
        Bson::Double(number) => Some(number.to_string()),
        Bson::Decimal128(number) => Some(number.to_string()),
        Bson::String(text) => Some(text.clone()),
        _ => None,
    }
}
