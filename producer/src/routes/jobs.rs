//! One job: enqueue, look, wait, cancel, retry, run now.

use std::{borrow::Cow, time::Duration};

use axum::{
    body::Body,
    extract::State,
    http::{HeaderMap, StatusCode, header},
    response::{IntoResponse, Response},
};
use bytes::Bytes;
use chrono::Utc;
use queue::{Answered, Fingerprint, Idempotency, JobId, KeyTaken, NewJob};
use serde::Deserialize;

use crate::{
    answer::{self, Job, Json, Problem, Type, live},
    auth::{Caller, Scope},
    find,
    push::{REPLAYED, fingerprint, in_progress, mismatch, new_job, push, taken, taken_as},
    request::{self, Parameters, PathPart},
    state::App,
};

const WAIT_AT_MOST_S: f64 = 60.0;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct ShowQuery {
    wait: Option<f64>,
}

/// Enqueues a job.
#[utoipa::path(
    post, path = "/api/jobs", tag = "jobs", request_body = api::JobRequest,
    params(
        ("Idempotency-Key" = Option<String>, Header, description = "The same key and body again give the same job, for 24 h"),
        ("traceparent" = Option<String>, Header, description = "W3C trace context; kept with the job"),
    ),
    responses(
        (status = 202, description = "Taken", body = api::Job, headers(("Location" = String, description = "The job"))),
        (status = 200, description = "Taken before: the job that holds the unique key, or the one that the first request with this Idempotency-Key made", body = api::Job,
         headers(("Location" = String, description = "The job"), ("Idempotency-Replayed" = bool, description = "true"))),
        (status = 409, description = "`conflict`: `on_conflict` does not allow it; `idempotency-in-progress`: the first request is still under way"),
    )
)]
pub(crate) async fn create(
    State(app): State<App>,
    caller: Caller,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Problem> {
    caller.require(Scope::JobsWrite)?;
    request::require_json(&headers)?;
    let key = request::idempotency_key(&headers)?;
    let body = request::read(&headers, body, request::JOB_LIMIT).await?;
    create_of(app, caller, &headers, key, body).await
}

/// Enqueues the job that a request for one asks for, given as its text.
pub(super) async fn create_of(
    app: App,
    caller: Caller,
    headers: &HeaderMap,
    key: Option<String>,
    body: Bytes,
) -> Result<Response, Problem> {
    let (intake, reader, has_key) = (app.intake.clone(), caller.clone(), key.is_some());
    let read = request::aside(body.len(), move || {
        let parsed = request::parse(&body)?;
        let fingerprint = has_key.then(|| fingerprint("", &body, [parsed.to_string()]));
        Ok((intake.read(&parsed, &reader, Utc::now()), fingerprint))
    });
    let (job, fingerprint) = read.await?;
    let once = key.zip(fingerprint);
    let mut job = match (job, &once) {
        (Ok(job), _) => job,
        (Err(problem), None) => return Err(problem),
        // What was good when it came first may be bad by now, because its times have passed.
        (Err(problem), Some((key, fingerprint))) => {
            let answered = app.client.idempotency_answer(&caller.tenant, key, fingerprint).await;
            return match answered.ok().flatten() {
                Some(Answered::Text(answer)) => replayed(answer),
                Some(Answered::Job(id)) => match find::anywhere(&app, id).await? {
                    Some(there) => replayed(answer::text(&find::with_result(&app, there).await?)),
                    None => Err(problem),
                },
                None => Err(problem),
            };
        }
    };
    job.traceparent = request::traceparent(headers);
    match once {
        None => {
            let (status, answer) = push(&app, job, None).await?;
            Ok(taken(status, &answer))
        }
        Some((key, fingerprint)) => push_once(app, caller.tenant, key, fingerprint, job).await,
    }
}

/// Shows a job; with `?wait=` as soon as it is finished.
#[utoipa::path(
    get, path = "/api/jobs/{id}", tag = "jobs",
    params(
        ("id" = String, Path, description = "The job"),
        ("wait" = Option<f64>, Query, minimum = 0, maximum = 60,
         description = "Answer when the job is finished, or after so many seconds with what it is"),
    ),
    responses((status = 200, description = "The job", body = api::Job))
)]
pub(crate) async fn show(
    State(app): State<App>,
    caller: Caller,
    PathPart(id): PathPart,
    Parameters(query): Parameters<ShowQuery>,
) -> Result<Json<Job>, Problem> {
    caller.require(Scope::JobsRead)?;
    let wait_s = query.wait.unwrap_or(0.0);
    if !(0.0..=WAIT_AT_MOST_S).contains(&wait_s) {
        return Err(request::bad_parameter("wait", "must be from 0 to 60"));
    }
    let mut job = find::job(&app, &caller, &id).await?;
    if wait_s > 0.0 && !job.state.is_finished() {
        let wait = app.client.wait(job.id.0.into(), Duration::from_secs_f64(wait_s));
        // Whoever waits must not hold up the end of the process: they get the job as it was found.
        if let Some(waited) = app.closing.run_until_cancelled(wait).await {
            job = match waited? {
                Some(job) => live(job),
                None => find::job(&app, &caller, &id).await?,
            };
        }
    }
    Ok(Json(find::with_result(&app, job).await?))
}

/// Cancels a job that is not finished. A running one is told to stop.
#[utoipa::path(
    post, path = "/api/jobs/{id}/cancel", tag = "jobs",
    params(("id" = String, Path, description = "The job")),
    responses(
        (status = 200, description = "The job; a running one is still running here", body = api::Job),
        (status = 409, description = "`conflict`: it has ended"),
    )
)]
pub(crate) async fn cancel(
    State(app): State<App>,
    caller: Caller,
    PathPart(id): PathPart,
) -> Result<Json<Job>, Problem> {
    caller.require(Scope::JobsWrite)?;
    let job = find::job(&app, &caller, &id).await?;
    app.intake.require_for_kind(&job.kind, &caller)?;
    let cancelled = app.client.cancel(job.id.0.into()).await.map_err(refused)?;
    Ok(Json(live(cancelled)))
}

/// Makes a dead, cancelled, expired or retrying job ready at once.
#[utoipa::path(
    post, path = "/api/jobs/{id}/retry", tag = "jobs",
    params(("id" = String, Path, description = "The job")),
    responses(
        (status = 200, description = "The job", body = api::Job),
        (status = 409, description = "`conflict`: its state does not allow it, or another job has its unique key by now"),
    )
)]
pub(crate) async fn retry(
    State(app): State<App>,
    caller: Caller,
    PathPart(id): PathPart,
) -> Result<Json<Job>, Problem> {
    caller.require(Scope::JobsWrite)?;
    let job = find::job(&app, &caller, &id).await?;
    app.intake.require_for_kind(&job.kind, &caller)?;
    Ok(Json(live(app.client.retry(job.id.0.into()).await.map_err(refused)?)))
}

/// Makes a scheduled or retrying job ready at once; its count of attempts stays.
#[utoipa::path(
    post, path = "/api/jobs/{id}/run-now", tag = "jobs",
    params(("id" = String, Path, description = "The job")),
    responses(
        (status = 200, description = "The job; one that was ready is unchanged", body = api::Job),
        (status = 409, description = "`conflict`: its state does not allow it"),
    )
)]
pub(crate) async fn run_now(
    State(app): State<App>,
    caller: Caller,
    PathPart(id): PathPart,
) -> Result<Json<Job>, Problem> {
    caller.require(Scope::JobsWrite)?;
    let job = find::job(&app, &caller, &id).await?;
    app.intake.require_for_kind(&job.kind, &caller)?;
    Ok(Json(live(app.client.run_now(job.id.0.into()).await.map_err(refused)?)))
}

/// A job that was found, but not in the queue, is history.
fn refused(error: queue::Error) -> Problem {
    match error {
        queue::Error::NotFound => {
            Problem::new(Type::Conflict, "the job has ended so long ago that only its history is left")
        }
        error => error.into(),
    }
}

/// Pushes under an idempotency key: in one call where that can be and nobody has the key, otherwise in steps.
async fn push_once(
    app: App,
    tenant: String,
    key: String,
    fingerprint: Fingerprint,
    job: NewJob,
) -> Result<Response, Problem> {
    if let Some(id) = app.client.push_once(&tenant, &key, &fingerprint, &job).await? {
        app.accepted.count(&job.kind, 1);
        return Ok(taken(StatusCode::ACCEPTED, &new_job(&app, id, &job)));
    }
    // In a task of its own: a client that hangs up in the middle must not leave the key taken and unanswered.
    let task = tokio::spawn(async move {
        match app.client.idempotency_take(&tenant, &key, &fingerprint, &job.kind).await? {
            Idempotency::New(taken) => KeyedJob { app, taken }.push(job).await,
            Idempotency::Again(taken) => KeyedJob { app, taken }.push_again(job).await,
            Idempotency::InProgress => Err(in_progress()),
            Idempotency::Mismatch => Err(mismatch()),
            Idempotency::Replay(answer, taken) => KeyedJob { app, taken }.replay(answer, job).await,
            Idempotency::Pushed(taken) => KeyedJob { app, taken }.show(job).await,
        }
    });
    task.await.unwrap_or_else(|error| {
        tracing::error!(%error, "a request with an idempotency key was not answered");
        Err(Problem::new(Type::Internal, "the request could not be answered; the log has the reason"))
    })
}

/// A request whose idempotency key is taken.
struct KeyedJob {
    app: App,
    taken: KeyTaken,
}

impl KeyedJob {
    async fn push(self, job: NewJob) -> Result<Response, Problem> {
        match push(&self.app, job, Some(self.taken.id)).await {
            Ok((status, answer)) => {
                let text = self.keep(&answer).await;
                Ok(taken_as(status, answer, text))
            }
            Err(problem) => {
                self.give_back(&problem).await;
                Err(problem)
            }
        }
    }

    /// After a request that had this id and did not come as far as its answer.
    async fn push_again(self, job: NewJob) -> Result<Response, Problem> {
        match find::anywhere(&self.app, self.taken.id).await {
            Ok(None) => self.push(job).await,
            Ok(Some(there)) => replayed(self.keep(&there).await),
            Err(problem) => {
                self.give_back(&problem).await;
                Err(problem)
            }
        }
    }

    /// After a request that was answered, as it was.
    async fn replay(self, answer: String, job: NewJob) -> Result<Response, Problem> {
        #[derive(Deserialize)]
        struct Answer {
            id: JobId,
        }
        match serde_json::from_str(&answer) {
            Ok(Answer { id }) if find::anywhere(&self.app, id).await?.is_none() => self.push_lost(job).await,
            _ => replayed(answer),
        }
    }

    /// After a request whose job was pushed together with the key: the job, as it is now.
    async fn show(self, job: NewJob) -> Result<Response, Problem> {
        match find::anywhere(&self.app, self.taken.id).await? {
            Some(there) => replayed(answer::text(&find::with_result(&self.app, there).await?)),
            None => self.push_lost(job).await,
        }
    }

    /// A job that is nowhere any more was lost with a Redis that failed, and is pushed again.
    async fn push_lost(self, job: NewJob) -> Result<Response, Problem> {
        let Some(taken) = self.app.client.idempotency_reopen(&self.taken).await? else { return Err(in_progress()) };
        tracing::warn!(job.id = %taken.id, "a job that was answered under an idempotency key was lost; it is pushed again");
        Self { taken, ..self }.push(job).await
    }

    /// Keeps the answer under the key, and returns its text.
    async fn keep(&self, answer: &Job) -> String {
        let text = answer::text(answer);
        if let Err(error) = self.app.client.idempotency_store(&self.taken, &text).await {
            // The job is in the queue, so the caller is told so.
            tracing::warn!(%error, "the answer to an idempotency key could not be kept");
        }
        text
    }

    async fn give_back(&self, problem: &Problem) {
        let client = &self.app.client;
        let given_back = if problem.is_refusal() {
            client.idempotency_forget(&self.taken).await
        } else {
            client.idempotency_release(&self.taken).await
        };
        if let Err(error) = given_back {
            tracing::debug!(%error, "an idempotency key could not be given back; it can be taken over in two seconds");
        }
    }
}

fn replayed(answer: String) -> Result<Response, Problem> {
    // No more of it is read: it may have numbers that no value holds.
    #[derive(Deserialize)]
    struct Stored<'a> {
        #[serde(borrow)]
        links: StoredLinks<'a>,
    }
    #[derive(Deserialize)]
    struct StoredLinks<'a> {
        #[serde(rename = "self", borrow)]
        itself: Cow<'a, str>,
    }
    let stored = serde_json::from_str::<Stored<'_>>(&answer).map_err(|error| {
        tracing::error!(%error, "the stored answer to an idempotency key cannot be read");
        Problem::new(Type::Internal, "the first answer to this key cannot be read")
    })?;
    let location = stored.links.itself.into_owned();
    let headers = [
        (header::LOCATION.as_str(), location.as_str()),
        (header::CONTENT_TYPE.as_str(), "application/json"),
        (REPLAYED, "true"),
    ];
    Ok((headers, answer).into_response())
}
