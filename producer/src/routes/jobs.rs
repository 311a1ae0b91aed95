//! One job: enqueue, look, wait, cancel, retry, run now.

use std::time::Duration;

use axum::{
    body::Body,
    extract::State,
    http::{HeaderMap, StatusCode},
    response::Response,
};
use bytes::Bytes;
use chrono::Utc;
use queue::{Fingerprint, NewJob};
use serde::Deserialize;

use crate::{
    answer::{Job, Json, Problem, Type, live},
    auth::{Caller, Scope},
    entitled::{self, Ticket},
    find,
    keyed::{self, Begun, replayed},
    known,
    push::{fingerprint, holder, new_job, push, taken, taken_as},
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
        (status = 402, description = "`plan-required`: the tenant's plan does not allow it; `plans` are those that would"),
        (status = 429, description = "`over-quota`: the plan's jobs of this UTC day are used up"),
        (status = 409, description = "`conflict`: `on_conflict` does not allow it; `idempotency-in-progress`: the first request is still under way"),
        (status = 422, description = "`invalid-payload`, `unknown-kind`; `unknown-store`: the payload names a store that the tenant does not have, not while publication is mock; `idempotency-mismatch`"),
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
    let (asked, fingerprint) = read.await?;
    let once = key.zip(fingerprint);
    let job = match asked {
        Ok(asked) => known::require(&app, asked).await,
        Err(problem) => Err(problem),
    };
    // Last: what is refused for another reason is not counted.
    let (mut job, ticket) = match job {
        Ok(job) => match entitled::let_in(&app, &caller, &job).await {
            Ok(ticket) => (job, ticket),
            Err(problem) => return refuse(&app, &caller.tenant, once.as_ref(), Some(&job), problem).await,
        },
        Err(problem) => return refuse(&app, &caller.tenant, once.as_ref(), None, problem).await,
    };
    job.traceparent = request::traceparent(headers);
    let push = async move {
        match once {
            None => {
                let (status, answer) = push(&app, job, None).await?;
                Ok(taken(status, &answer))
            }
            Some((key, fingerprint)) => push_once(app, caller.tenant, key, fingerprint, job).await,
        }
    };
    match ticket {
        None => push.await,
        Some(ticket) => keyed::whole(counted(ticket, push)).await,
    }
}

/// Refuses a request, unless it repeats one that was answered: what was good when it came first may be bad by now, because its times have
/// passed, its store was deleted, or the day's jobs are used up. Nor does it need a job of this day where another has its unique key.
async fn refuse(
    app: &App,
    tenant: &str,
    once: Option<&(String, Fingerprint)>,
    job: Option<&NewJob>,
    problem: Problem,
) -> Result<Response, Problem> {
    let problem = match once {
        Some((key, fingerprint)) => match keyed::earlier(app, tenant, key, fingerprint, problem).await {
            Err(problem) => problem,
            answered => return answered,
        },
        None => problem,
    };
    let holder = match job.filter(|_| problem.is_over_quota()) {
        Some(job) => holder(app, job).await?,
        None => None,
    };
    holder.map_or(Err(problem), |holder| Ok(taken(StatusCode::OK, &holder)))
}

/// Pushes a job that was counted, and gives back what is counted if it makes none.
pub(super) async fn counted(
    ticket: Ticket,
    push: impl Future<Output = Result<Response, Problem>> + Send,
) -> Result<Response, Problem> {
    let pushed = push.await;
    let is_new = pushed.as_ref().is_ok_and(|answer| answer.status() == StatusCode::ACCEPTED);
    ticket.pushed(u64::from(is_new)).await;
    pushed
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
        (status = 402, description = "`plan-required`: the tenant's plan does not allow such a job any more"),
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
    entitled::require_again(&app, &caller, &job.kind, &job.payload).await?;
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
    keyed::whole(async move {
        match keyed::begin(&app, &tenant, &key, &fingerprint, &job.kind).await? {
            Begun::There(answer) => replayed(answer),
            Begun::Ours(keyed) => keyed.push(job).await.map(|(status, answer, text)| taken_as(status, answer, text)),
        }
    })
    .await
}
