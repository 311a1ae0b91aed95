//! One job: enqueue, look, wait, cancel, retry, run now.

use std::{borrow::Cow, time::Duration};

use axum::{
    Json,
    body::Body,
    extract::State,
    http::{HeaderMap, StatusCode, header},
    response::{IntoResponse, Response},
};
use chrono::Utc;
use queue::{
    Fingerprint, Idempotency, JobId, JobView, Json as Given, KeyTaken, NewJob, Pushed, Snoozes, State as JobState,
    Timestamp, Trace,
};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use utoipa::ToSchema;

use crate::{
    app::App,
    auth::{Caller, Scope},
    intake::JobRequest,
    metrics,
    problem::{Problem, Type},
    request::{self, Parameters, PathPart},
};

const WAIT_AT_MOST_S: f64 = 60.0;
pub(super) const REPLAYED: &str = "idempotency-replayed";
/// How often a push tries again when the job that holds its unique key turns out to be nowhere.
const TRIES: u32 = 5;

/// A job as the API answers it.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct JobAnswer {
    #[serde(flatten)]
    job: JobView,
    links: Links,
}

/// Where to go on.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Links {
    /// The job itself.
    #[serde(rename = "self")]
    itself: String,
    /// What happens to it, as server-sent events.
    events: String,
}

impl JobAnswer {
    pub(super) fn id(&self) -> JobId {
        self.job.id
    }
}

impl From<JobView> for JobAnswer {
    fn from(job: JobView) -> Self {
        let itself = location(job.id);
        Self { links: Links { events: format!("{itself}/events"), itself }, job }
    }
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct ShowQuery {
    wait: Option<f64>,
}

/// Enqueues a job.
#[utoipa::path(
    post, path = "/api/jobs", tag = "jobs", request_body = JobRequest,
    params(
        ("Idempotency-Key" = Option<String>, Header, description = "The same key and body again give the same job, for 24 h"),
        ("traceparent" = Option<String>, Header, description = "W3C trace context; kept with the job"),
    ),
    responses(
        (status = 202, description = "Taken", body = JobAnswer, headers(("Location" = String, description = "The job"))),
        (status = 200, description = "Taken before: the job that holds the unique key, or the answer to the first request with this Idempotency-Key", body = JobAnswer,
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
            let answer = app.client.idempotency_answer(&caller.tenant, key, fingerprint).await;
            return answer.ok().flatten().map_or(Err(problem), replayed);
        }
    };
    job.traceparent = request::traceparent(&headers);
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
    responses((status = 200, description = "The job", body = JobAnswer))
)]
pub(crate) async fn show(
    State(app): State<App>,
    caller: Caller,
    PathPart(id): PathPart,
    Parameters(query): Parameters<ShowQuery>,
) -> Result<Json<JobAnswer>, Problem> {
    caller.require(Scope::JobsRead)?;
    let wait_s = query.wait.unwrap_or(0.0);
    if !(0.0..=WAIT_AT_MOST_S).contains(&wait_s) {
        return Err(request::bad_parameter("wait", "must be from 0 to 60"));
    }
    let mut job = find(&app, &caller, &id).await?;
    if wait_s > 0.0 && !job.state.is_finished() {
        let wait = app.client.wait(job.id, Duration::from_secs_f64(wait_s));
        // Whoever waits must not hold up the end of the process: they get the job as it was found.
        if let Some(waited) = app.closing.run_until_cancelled(wait).await {
            job = match waited? {
                Some(job) => job,
                None => find(&app, &caller, &id).await?,
            };
        }
    }
    Ok(Json(app.with_result(job).await?.into()))
}

/// Cancels a job that is not finished. A running one is told to stop.
#[utoipa::path(
    post, path = "/api/jobs/{id}/cancel", tag = "jobs",
    params(("id" = String, Path, description = "The job")),
    responses(
        (status = 200, description = "The job; a running one is still running here", body = JobAnswer),
        (status = 409, description = "`conflict`: it has ended"),
    )
)]
pub(crate) async fn cancel(
    State(app): State<App>,
    caller: Caller,
    PathPart(id): PathPart,
) -> Result<Json<JobAnswer>, Problem> {
    caller.require(Scope::JobsWrite)?;
    let job = find(&app, &caller, &id).await?;
    app.intake.require_for_kind(&job.kind, &caller)?;
    Ok(Json(app.client.cancel(job.id).await.map_err(refused)?.into()))
}

/// Makes a dead, cancelled, expired or retrying job ready at once.
#[utoipa::path(
    post, path = "/api/jobs/{id}/retry", tag = "jobs",
    params(("id" = String, Path, description = "The job")),
    responses(
        (status = 200, description = "The job", body = JobAnswer),
        (status = 409, description = "`conflict`: its state does not allow it, or another job has its unique key by now"),
    )
)]
pub(crate) async fn retry(
    State(app): State<App>,
    caller: Caller,
    PathPart(id): PathPart,
) -> Result<Json<JobAnswer>, Problem> {
    caller.require(Scope::JobsWrite)?;
    let job = find(&app, &caller, &id).await?;
    app.intake.require_for_kind(&job.kind, &caller)?;
    Ok(Json(app.client.retry(job.id).await.map_err(refused)?.into()))
}

/// Makes a scheduled or retrying job ready at once; its count of attempts stays.
#[utoipa::path(
    post, path = "/api/jobs/{id}/run-now", tag = "jobs",
    params(("id" = String, Path, description = "The job")),
    responses(
        (status = 200, description = "The job; one that was ready is unchanged", body = JobAnswer),
        (status = 409, description = "`conflict`: its state does not allow it"),
    )
)]
pub(crate) async fn run_now(
    State(app): State<App>,
    caller: Caller,
    PathPart(id): PathPart,
) -> Result<Json<JobAnswer>, Problem> {
    caller.require(Scope::JobsWrite)?;
    let job = find(&app, &caller, &id).await?;
    app.intake.require_for_kind(&job.kind, &caller)?;
    Ok(Json(app.client.run_now(job.id).await.map_err(refused)?.into()))
}

/// Finds a job that the caller may see, in the queue or else in the history; another tenant's job is as good as none.
pub(crate) async fn find(app: &App, caller: &Caller, id: &str) -> Result<JobView, Problem> {
    let parsed: JobId = id.parse().map_err(|_| Problem::no_such_job(id))?;
    let job = find_anywhere(app, parsed).await?;
    job.filter(|job| caller.may_see(&job.tenant)).ok_or_else(|| Problem::no_such_job(id))
}

/// A job in the queue or else in the history.
async fn find_anywhere(app: &App, id: JobId) -> Result<Option<JobView>, Problem> {
    match app.client.find(id).await? {
        Some(job) => Ok(Some(job)),
        None => app.past_job(id).await,
    }
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

fn location(id: JobId) -> String {
    format!("/api/jobs/{id}")
}

/// What came of a push.
pub(super) enum Submitted {
    New(JobId),
    /// This job holds its unique key, or has its id.
    Existing(Box<JobView>),
}

/// Pushes a job, under an id if one is given. Whoever holds its unique key is answered with only if that job can be shown; one that is
/// neither in the queue nor in the history was lost, and holds no key.
pub(super) async fn submit(app: &App, job: NewJob, id: Option<JobId>) -> Result<Submitted, Problem> {
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
        match (find_anywhere(app, holder).await?, refusal) {
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

/// What a push gives: 202 and the new job, or 200 and the one that holds its unique key. `id`: push under this one.
pub(super) async fn push(app: &App, job: NewJob, id: Option<JobId>) -> Result<(StatusCode, JobAnswer), Problem> {
    let asked = job.clone();
    match submit(app, job, id).await? {
        Submitted::New(id) => {
            metrics::accepted(&asked.kind, 1);
            Ok((StatusCode::ACCEPTED, view(app, id, asked).into()))
        }
        Submitted::Existing(existing) => Ok((StatusCode::OK, (*existing).into())),
    }
}

pub(super) fn taken(status: StatusCode, answer: &JobAnswer) -> Response {
    (status, [(header::LOCATION, answer.links.itself.clone())], Json(answer)).into_response()
}

/// What tells a request from another: `what` is asked for, the bytes of its body, and what it says: the JSON texts in it, with the members
/// of objects in one order.
pub(super) fn fingerprint(what: &str, body: &[u8], said: impl IntoIterator<Item = String>) -> Fingerprint {
    let hex = |digest: Sha256| digest.finalize().iter().map(|byte| format!("{byte:02x}")).collect();
    let mut meaning = Sha256::new_with_prefix(what);
    for text in said {
        meaning.update(text.len().to_le_bytes());
        meaning.update(text);
    }
    Fingerprint { bytes: hex(Sha256::new_with_prefix(what).chain_update(body)), meaning: hex(meaning) }
}

pub(super) fn in_progress() -> Problem {
    Problem::new(Type::IdempotencyInProgress, "send this request again in a few seconds")
}

pub(super) fn mismatch() -> Problem {
    Problem::new(Type::IdempotencyMismatch, "use a new key for another body; keys are kept for 24 h")
}

/// Pushes under an idempotency key. In a task of its own: a client that hangs up in the middle must not leave the key
/// taken and unanswered.
async fn push_once(
    app: App,
    tenant: String,
    key: String,
    fingerprint: Fingerprint,
    job: NewJob,
) -> Result<Response, Problem> {
    let task = tokio::spawn(async move {
        match app.client.idempotency_take(&tenant, &key, &fingerprint, &job.kind).await? {
            Idempotency::New(taken) => Once { app, taken }.push(job).await,
            Idempotency::Again(taken) => Once { app, taken }.push_again(job).await,
            Idempotency::InProgress => Err(in_progress()),
            Idempotency::Mismatch => Err(mismatch()),
            Idempotency::Replay(answer, taken) => Once { app, taken }.replay(answer, job).await,
        }
    });
    task.await.unwrap_or_else(|error| {
        tracing::error!(%error, "a request with an idempotency key was not answered");
        Err(Problem::new(Type::Internal, "the request could not be answered; the log has the reason"))
    })
}

/// A request whose idempotency key is taken.
struct Once {
    app: App,
    taken: KeyTaken,
}

impl Once {
    async fn push(self, job: NewJob) -> Result<Response, Problem> {
        match push(&self.app, job, Some(self.taken.id)).await {
            Ok((status, answer)) => {
                self.keep(&answer).await;
                Ok(taken(status, &answer))
            }
            Err(problem) => {
                self.give_back(&problem).await;
                Err(problem)
            }
        }
    }

    /// After a request that had this id and did not come as far as its answer.
    async fn push_again(self, job: NewJob) -> Result<Response, Problem> {
        match find_anywhere(&self.app, self.taken.id).await {
            Ok(None) => self.push(job).await,
            Ok(Some(there)) => {
                let answer = there.into();
                replayed(self.keep(&answer).await)
            }
            Err(problem) => {
                self.give_back(&problem).await;
                Err(problem)
            }
        }
    }

    /// After a request that was answered. A job that is nowhere any more was lost with a Redis that failed, and is pushed again.
    async fn replay(self, answer: String, job: NewJob) -> Result<Response, Problem> {
        #[derive(Deserialize)]
        struct Answered {
            id: JobId,
        }
        if let Ok(Answered { id }) = serde_json::from_str(&answer)
            && find_anywhere(&self.app, id).await?.is_none()
        {
            tracing::warn!(job.id = %id, "a job that was answered under an idempotency key was lost; it is pushed again");
            return match self.app.client.idempotency_reopen(&self.taken).await? {
                Some(taken) => Self { taken, ..self }.push(job).await,
                None => Err(in_progress()),
            };
        }
        replayed(answer)
    }

    /// Keeps the answer under the key, and returns its text.
    async fn keep(&self, answer: &JobAnswer) -> String {
        let text = serde_json::to_string(answer).unwrap_or_default();
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

/// The job as it was pushed, without asking Redis for it again.
fn view(app: &App, id: JobId, job: NewJob) -> JobView {
    let kind = app.client.kind(&job.kind);
    let created_at = Timestamp::from_ms(id.created_ms());
    JobView {
        id,
        queue: job.kind.clone(),
        tenant: job.tenant,
        state: if job.run_at_ms.is_some() { JobState::Scheduled } else { JobState::Ready },
        priority: job.priority,
        payload: Given::read(&job.payload).unwrap_or_default(),
        record_base64: None,
        metadata: job.metadata,
        unique_key: job.unique.map(|unique| unique.key),
        durability: "fast",
        created_at,
        run_at: job.run_at_ms.map_or(created_at, Timestamp::from_ms),
        started_at: None,
        finished_at: None,
        expires_at: job.expires_at_ms.map(Timestamp::from_ms),
        attempt: 1,
        max_attempts: job.max_attempts.or(kind.map(|kind| kind.max_attempts)).unwrap_or_default(),
        crashes: 0,
        timeout_s: job.timeout_s.or(kind.map(|kind| kind.timeout_s)).unwrap_or_default(),
        progress: None,
        attempts: Vec::new(),
        snoozes: Snoozes::default(),
        provider: None,
        degraded: false,
        degraded_reason: None,
        result: None,
        stored_in: None,
        estimated_start_at: None,
        trace: Trace::default(),
        kind: job.kind,
    }
}
