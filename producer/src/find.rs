//! Finds jobs, wherever they are: those of the last day in the queue, all others in the history.

use std::collections::HashMap;

use jobs::image;
use queue::{Job as _, JobId};

use crate::{
    addresses,
    answer::{Job, Problem, live, past},
    auth::Caller,
    state::App,
};

/// Finds a job that the caller may see; another tenant's job is as good as none.
pub(crate) async fn job(app: &App, caller: &Caller, id: &str) -> Result<Job, Problem> {
    let parsed: JobId = id.parse().map_err(|_| Problem::no_such_job(id))?;
    let job = anywhere(app, parsed).await?.filter(|job| caller.may_see(&job.tenant));
    job.ok_or_else(|| Problem::no_such_job(id))
}

/// A job in the queue or else in the history.
pub(crate) async fn anywhere(app: &App, id: JobId) -> Result<Option<Job>, Problem> {
    match app.client.find(id).await? {
        Some(job) => Ok(Some(live(job))),
        None => in_history(app, id).await,
    }
}

/// A job that ended and is remembered in the history.
pub(crate) async fn in_history(app: &App, id: JobId) -> Result<Option<Job>, Problem> {
    let job = app.open_store()?.past_job(&id.to_string()).await.map_err(Problem::store_away)?;
    Ok(job.and_then(past))
}

/// Fills in a result that is too large for Redis, and makes its addresses good.
pub(crate) async fn with_result(app: &App, mut job: Job) -> Result<Job, Problem> {
    if let Some(collection) = job.stored_in.take() {
        job.result = app.open_store()?.result(&collection, &job.id.to_string()).await.map_err(Problem::store_away)?;
    }
    sign(app, &mut job);
    Ok(job)
}

fn sign(app: &App, job: &mut Job) {
    if job.kind == image::Image::KIND
        && let Some(result) = &mut job.result
    {
        addresses::sign(&app.services.links, app.client.now_ms() / 1000, result);
    }
}

/// [`with_result`] for many, with one call a kind.
pub(crate) async fn with_results(app: &App, mut jobs: Vec<Job>) -> Result<Vec<Job>, Problem> {
    let mut by_collection: HashMap<String, Vec<String>> = HashMap::new();
    for job in &mut jobs {
        if let Some(collection) = job.stored_in.take() {
            by_collection.entry(collection).or_default().push(job.id.to_string());
        }
    }
    let mut results = HashMap::new();
    for (collection, ids) in by_collection {
        results.extend(app.open_store()?.results(&collection, &ids).await.map_err(Problem::store_away)?);
    }
    for job in &mut jobs {
        job.result = results.remove(&job.id.to_string());
        sign(app, job);
    }
    Ok(jobs)
}
