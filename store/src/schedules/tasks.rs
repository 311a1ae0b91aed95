//! What the tasks of schedules walk through, and how far they are.

use async_recursion::async_recursion as boxed;
use futures::TryStreamExt;
use mongodb::bson::{Bson, DateTime, Document, doc};

use super::documents::id_text;
use crate::{ANSWER_TIMEOUT, Error, MAX_TIME, Moment, Store, run};

const MONITORS: &str = "monitors";
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

impl Store {
    /// Pages to watch, in the order of their ids, behind the page that `after` ended. Returns also where the next page begins;
    /// absent on the last. A document that cannot be understood is left out.
    ///
    /// # Errors
    /// [`Error::Unavailable`] when it may work later.
    #[boxed]
    pub async fn monitors(&self, after: Option<Cursor>, limit: usize) -> Result<(Vec<Monitor>, Option<Cursor>), Error> {
        self.page(MONITORS, Document::new(), after, limit, |document| {
            let text = |name: &str| document.get_str(name).ok().map(str::to_owned);
            let id = id_text(document)?;
            Some(Monitor { id, tenant: text("tenant")?, product_id: text("product_id")?, url: text("url")? })
        })
        .await
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
        self.page(TENANTS, filter, after, limit, |document| {
            let text = |name: &str| document.get_str(name).ok().map(str::to_owned);
            let trial_ends_at = document.get_datetime("trial_ends_at").ok();
            Some(Tenant {
                id: id_text(document)?,
                name: text("name").unwrap_or_default(),
                email: text("email")?,
                language: text("language").unwrap_or_default(),
                time_zone: text("time_zone").unwrap_or_default(),
                trial_ends_at: trial_ends_at
                    .and_then(|at| u64::try_from(at.timestamp_millis()).ok())
                    .map(Moment::from_ms),
            })
        })
        .await
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
