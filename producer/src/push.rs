//! Pushes jobs, and tells one request from another.

use axum::{
    http::{HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use queue::{Fingerprint, JobId, NewJob, OnConflict, Pushed};
use sha2::{Digest, Sha256};

use crate::{
    answer::{self, Job, Problem, Type},
    find,
    state::App,
};

pub(crate) const REPLAYED: &str = "idempotency-replayed";
/// How often a push tries again when the job that holds its unique key turns out to be nowhere.
const TRIES: u32 = 5;

/// What came of a push.
pub(crate) enum Submitted {
    New(JobId),
    /// This job holds its unique key, or has its id.
    Existing(Box<Job>),
}

/// Pushes a job, under an id if one is given. Whoever holds its unique key is answered with only if that job can be shown; one that is
/// neither in the queue nor in the history was lost, and holds no key.
pub(crate) async fn submit(app: &App, job: &NewJob, id: Option<JobId>) -> Result<Submitted, Problem> {
    let client = &app.client;
    if job.unique.is_none() && id.is_none() {
        return Ok(Submitted::New(client.push(job).await?));
    }
    let mut gone = None;
    for _ in 0..TRIES {
        let pushed = match (gone, id) {
            (Some(gone), id) => client.submit_over(gone, id, job.clone()).await,
            (None, Some(id)) => client.submit_as(id, job.clone()).await,
            (None, None) => client.submit(job.clone()).await,
        };
        let (holder, refusal) = match pushed {
            Ok(Pushed::New(id)) => return Ok(Submitted::New(id)),
            Ok(Pushed::Existing(id)) => (id, None),
            Err(error @ queue::Error::Duplicate(id)) => (id, Some(error)),
            Err(error) => return Err(error.into()),
        };
        match (Box::pin(find::anywhere(app, holder)).await?, refusal) {
            (Some(existing), None) => return Ok(Submitted::Existing(Box::new(existing))),
            (Some(_), Some(error)) => return Err(error.into()),
            (None, _) => {
                tracing::warn!(job.id = %holder, "a job that holds a unique key or an id is nowhere: it was lost");
                gone = Some(holder);
            }
        }
    }
    Err(Problem::new(Type::Overloaded, "the jobs that hold the unique key come and go"))
}

/// The job that a push would be answered with in the place of a new one, because it holds the unique key.
pub(crate) async fn holder(app: &App, job: &NewJob) -> Result<Option<Job>, Problem> {
    let Some(unique) = &job.unique else { return Ok(None) };
    if unique.on_conflict != OnConflict::ReturnExisting {
        return Ok(None);
    }
    match app.client.held(&job.tenant, &unique.key).await? {
        Some(holder) => find::anywhere(app, holder).await,
        None => Ok(None),
    }
}

/// What a push gives: 202 and the new job, or 200 and the one that holds its unique key. `id`: push under this one.
pub(crate) async fn push(app: &App, job: NewJob, id: Option<JobId>) -> Result<(StatusCode, Job), Problem> {
    match submit(app, &job, id).await? {
        Submitted::New(id) => {
            app.accepted.count(&job.kind, 1);
            Ok((StatusCode::ACCEPTED, new_job(app, id, &job)))
        }
        Submitted::Existing(existing) => Ok((StatusCode::OK, *existing)),
    }
}

/// How a job is answered that was pushed under this id just now.
pub(crate) fn new_job(app: &App, id: JobId, job: &NewJob) -> Job {
    answer::new(id, job, app.client.kind(&job.kind).map(|kind| &**kind))
}

pub(crate) fn taken(status: StatusCode, answer: &Job) -> Response {
    (status, [(header::LOCATION, answer.links.itself.clone())], answer::json(answer.to_json())).into_response()
}

/// The same answer, of which the text is there already.
pub(crate) fn taken_as(status: StatusCode, answer: Job, text: String) -> Response {
    let json = HeaderValue::from_static("application/json");
    (status, [(header::CONTENT_TYPE, json)], [(header::LOCATION, answer.links.itself)], text).into_response()
}

/// What tells a request from another: `what` is asked for, the bytes of its body, and what it says: the JSON texts in it, with the members
/// of objects in one order.
pub(crate) fn fingerprint(what: &str, body: &[u8], said: impl IntoIterator<Item = String>) -> Fingerprint {
    let hex = |digest: Sha256| hex::encode(digest.finalize());
    let mut meaning = Sha256::new_with_prefix(what);
    for text in said {
        meaning.update(text.len().to_le_bytes());
        meaning.update(text);
    }
    Fingerprint { bytes: hex(Sha256::new_with_prefix(what).chain_update(body)), meaning: hex(meaning) }
}

pub(crate) fn in_progress() -> Problem {
    Problem::new(Type::IdempotencyInProgress, "send this request again in a few seconds")
}

pub(crate) fn mismatch() -> Problem {
    Problem::new(Type::IdempotencyMismatch, "use a new key for another body; keys are kept for 24 h")
}
