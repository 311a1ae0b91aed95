//! The HTTP API, as far as this program speaks it.

use std::{
    error::Error as _,
    fmt::{self, Display},
    path::Path,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail};
use chrono::{DateTime, Utc};
use queue::Json;
use reqwest::{
    Method, RequestBuilder, Response, Url,
    header::{IF_MATCH, RETRY_AFTER},
};
use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use serde_json::{Value, json};
use uuid::Uuid;

/// Where `./dev` leaves a token.
const TOKEN_FILE: &str = ".dev/token";
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// On top of what a long poll waits.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(30);
/// The longest that one request waits for a job to finish, in seconds.
const LONGEST_POLL_S: u64 = 30;
/// How long to wait before a call is repeated, when the API does not say.
pub(crate) const PAUSE: Duration = Duration::from_secs(1);

/// A connection to the API.
#[derive(Debug, Clone)]
pub(crate) struct Api {
    http: reqwest::Client,
    base: Url,
    token: Option<SecretString>,
}

/// A job to be enqueued.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(crate) struct NewJob {
    pub(crate) kind: String,
    pub(crate) payload: Json,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) options: Option<Options>,
}

/// Its options; what is not given has the kind's default.
#[derive(Debug, Clone, Default, PartialEq, Serialize, clap::Args)]
#[serde(rename_all = "snake_case")]
pub(crate) struct Options {
    /// How urgent the jobs are
    #[arg(long)]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) priority: Option<Priority>,
    /// Run after so many seconds
    #[arg(long = "delay", value_name = "SECONDS", conflicts_with = "run_at")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) delay_s: Option<u64>,
    /// Run at this time, like 2026-01-31T12:00:00Z
    #[arg(long, value_name = "TIME", value_parser = time)]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) run_at: Option<String>,
    /// Not run at all when it has not begun by this time
    #[arg(long, value_name = "TIME", value_parser = time)]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) expires_at: Option<String>,
    /// At most one unfinished job has this key
    #[arg(long, value_name = "KEY", conflicts_with = "from")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) unique_key: Option<String>,
    /// Hold the unique key for so many seconds, finished or not
    #[arg(long = "unique-for", value_name = "SECONDS", requires = "unique_key")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) unique_for_s: Option<u64>,
    /// What becomes of a job whose unique key another one has
    #[arg(long, requires = "unique_key")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) on_conflict: Option<OnConflict>,
    /// Attempts before a job is dead
    #[arg(long, value_name = "N")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) max_attempts: Option<u32>,
    /// Seconds that an attempt may take
    #[arg(long = "timeout", value_name = "SECONDS")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) timeout_s: Option<u64>,
    /// Whether a stand-in may answer for a service that cannot
    #[arg(long, value_name = "true|false")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) allow_fallback: Option<bool>,
    /// For this tenant instead of the token's; needs the scope admin
    #[arg(long)]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) tenant: Option<String>,
    /// Kept with the jobs and shown with them
    #[arg(long, value_name = "JSON|@FILE|@-", value_parser = crate::enqueue::read_json)]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) metadata: Option<Json>,
}

/// What becomes of a job whose unique key another one has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, clap::ValueEnum)]
#[serde(rename_all = "snake_case")]
#[value(rename_all = "snake_case")]
pub(crate) enum OnConflict {
    ReturnExisting,
    Replace,
    Reject,
}

/// A time of RFC 3339, as it was given: the API reads it again.
fn time(text: &str) -> Result<String, String> {
    match DateTime::parse_from_rfc3339(text) {
        Ok(_) => Ok(text.to_owned()),
        Err(_) => Err("this is no time of RFC 3339, such as 2026-01-31T12:00:00Z".to_owned()),
    }
}

/// How urgent a job is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Priority {
    High,
    Normal,
    Low,
    Bulk,
}

/// A job as the API shows it.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
pub(crate) struct Job {
    pub(crate) id: String,
    pub(crate) kind: String,
    pub(crate) tenant: String,
    pub(crate) state: String,
    pub(crate) created_at: DateTime<Utc>,
    pub(crate) run_at: Option<DateTime<Utc>>,
    pub(crate) finished_at: Option<DateTime<Utc>>,
    pub(crate) attempt: u32,
    pub(crate) max_attempts: u32,
    pub(crate) attempts: Vec<Attempt>,
    #[serde(default)]
    pub(crate) snoozes: Snoozes,
    pub(crate) progress: Option<Progress>,
    pub(crate) provider: Option<String>,
    pub(crate) degraded: bool,
    pub(crate) degraded_reason: Option<String>,
    pub(crate) result: Option<Value>,
}

/// How far a job is.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
pub(crate) struct Progress {
    pub(crate) percent: u8,
    pub(crate) message: String,
}

/// How often a job was put off without fault.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
pub(crate) struct Snoozes {
    pub(crate) count: u32,
    pub(crate) last_code: Option<String>,
    pub(crate) last_at: Option<DateTime<Utc>>,
}

/// One attempt of a job.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
pub(crate) struct Attempt {
    pub(crate) number: u32,
    pub(crate) worker: String,
    pub(crate) outcome: Option<String>,
    pub(crate) error: Option<AttemptError>,
}

/// Why an attempt failed.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
pub(crate) struct AttemptError {
    pub(crate) code: String,
    pub(crate) message: String,
}

impl Job {
    pub(crate) fn is_finished(&self) -> bool {
        matches!(self.state.as_str(), "succeeded" | "dead" | "cancelled" | "expired")
    }

    pub(crate) fn succeeded(&self) -> bool {
        self.state == "succeeded"
    }

    /// From its creation to its end, in milliseconds.
    pub(crate) fn duration_ms(&self) -> Option<i64> {
        self.finished_at.map(|finished_at| (finished_at - self.created_at).num_milliseconds())
    }

    /// How often it was put off, why and when the last time; `None`: never.
    pub(crate) fn put_off(&self) -> Option<String> {
        let Snoozes { count, last_code, last_at } = &self.snoozes;
        let code = last_code.as_deref().unwrap_or("no reason");
        let at = last_at.map(|at| format!(" at {}", at.to_rfc3339_opts(chrono::SecondsFormat::Millis, true)));
        (*count > 0).then(|| format!("{count} times, last: {code}{}", at.unwrap_or_default()))
    }

    /// The error of its last attempt that has one, `code: message`.
    pub(crate) fn last_error(&self) -> Option<String> {
        let error = self.attempts.iter().rev().find_map(|attempt| attempt.error.as_ref())?;
        Some(format!("{}: {}", error.code, error.message))
    }
}

/// `application/problem+json`.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
pub(crate) struct Problem {
    #[serde(rename = "type", default)]
    pub(crate) kind: String,
    pub(crate) title: String,
    #[serde(default)]
    pub(crate) detail: Option<String>,
    #[serde(default)]
    pub(crate) errors: Vec<FieldError>,
    #[serde(default)]
    pub(crate) request_id: Option<String>,
}

/// A bad field.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
pub(crate) struct FieldError {
    pub(crate) pointer: String,
    pub(crate) message: String,
}

impl Display for Problem {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.title)?;
        if let Some(detail) = self.detail.as_ref().filter(|detail| **detail != self.title) {
            write!(formatter, ": {detail}")?;
        }
        for error in &self.errors {
            write!(formatter, "\n  {}: {}", error.pointer, error.message)?;
        }
        Ok(())
    }
}

/// Why a call failed.
#[derive(Debug, PartialEq, thiserror::Error)]
pub(crate) enum CallError {
    #[error("{base} cannot be reached: {reason}\nis the producer running (`./dev`)? is ECOM_URL right?")]
    Unreachable { base: String, reason: String },
    #[error("the API refused ({status}): {problem}{}", hint(*.status, problem))]
    Refused { status: u16, problem: Box<Problem>, retry_after: Option<Duration> },
    #[error("{url} answered {status}, but not as the API would: {body:?}\nis ECOM_URL right?")]
    Unexpected { url: String, status: u16, body: String },
}

/// What to do about it, on a line of its own.
fn hint(status: u16, problem: &Problem) -> String {
    let mut hint = match status {
        401 => "\nmake a token with the secret of the server and set it: \
                ECOM_TOKEN=$(JWT_SECRET=… ecomctl token --scope admin); after `./dev` one is in .dev/token"
            .to_owned(),
        403 => "\nthe token lacks the scope; make one with `ecomctl token --scope …`".to_owned(),
        409 if problem.kind.ends_with("/not-configured") => "\n--force switches all the same".to_owned(),
        429 | 503 => "\ntry again in a moment".to_owned(),
        _ => String::new(),
    };
    if let Some(id) = problem.request_id.as_ref().filter(|_| status >= 500) {
        hint.push_str(&format!("\nrequest id {id}"));
    }
    hint
}

impl CallError {
    /// How long to wait before the same call may succeed; `None` when it would fail again.
    pub(crate) fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Unreachable { .. } | Self::Unexpected { status: 502..=504, .. } => Some(PAUSE),
            Self::Refused { status: 429 | 502..=504, retry_after, .. } => Some(retry_after.unwrap_or(PAUSE)),
            // The answer to our own first try was lost, and that try is still under way.
            Self::Refused { problem, .. } if problem.kind.ends_with("/idempotency-in-progress") => Some(PAUSE),
            Self::Refused { .. } | Self::Unexpected { .. } => None,
        }
    }
}

/// One line of a batch's answer.
#[derive(Debug, Deserialize)]
pub(crate) struct BatchLine {
    pub(crate) index: usize,
    pub(crate) id: Option<String>,
    pub(crate) problem: Option<Problem>,
}

/// The given token, or that of the file. An empty one is none: `ECOM_TOKEN=` in an environment file means that it is not set.
fn choose_token(given: Option<SecretString>, file: impl FnOnce() -> Option<SecretString>) -> Option<SecretString> {
    let text = |token: SecretString| {
        Some(token.expose_secret().trim()).filter(|token| !token.is_empty()).map(SecretString::from)
    };
    given.and_then(text).or_else(|| file().and_then(text))
}

impl Api {
    /// Reads the address, and the token from [`TOKEN_FILE`] when none is given. Does not connect.
    pub(crate) fn new(url: &str, token: Option<SecretString>) -> Result<Self> {
        let base = Url::parse(url)
            .with_context(|| format!("ECOM_URL={url:?} is no URL; it looks like http://127.0.0.1:8080"))?;
        if !matches!(base.scheme(), "http" | "https") || base.host_str().is_none() {
            bail!("ECOM_URL={url:?} is no http or https URL; it looks like http://127.0.0.1:8080");
        }
        let token = choose_token(token, || Some(std::fs::read_to_string(Path::new(TOKEN_FILE)).ok()?.into()));
        let mut http = reqwest::Client::builder().connect_timeout(CONNECT_TIMEOUT).timeout(ANSWER_TIMEOUT);
        if is_loopback(&base) {
            // A proxy of the environment cannot know this machine's loopback.
            http = http.no_proxy();
        }
        let http = http.build().context("no HTTP client can be built")?;
        Ok(Self { http, base, token })
    }

    /// The address, without a slash at its end.
    pub(crate) fn url(&self, path: &str) -> String {
        format!("{}{path}", self.base.as_str().trim_end_matches('/'))
    }

    /// A job; waits up to `wait_s` for it to finish.
    pub(crate) async fn job(&self, id: &str, wait_s: Option<u64>) -> Result<Value, CallError> {
        let mut request = self.request(Method::GET, &job_path(id));
        if let Some(wait_s) = wait_s {
            request = request.query(&[("wait", wait_s)]).timeout(Duration::from_secs(wait_s) + ANSWER_TIMEOUT);
        }
        self.call(request).await
    }

    /// Waits until a job has finished, over outages of the API too. The caller limits the time.
    pub(crate) async fn finished_job(&self, id: &str) -> Result<Job, CallError> {
        loop {
            let asked_at = Instant::now();
            let pause = match self.job(id, Some(LONGEST_POLL_S)).await {
                Ok(answer) => {
                    let job: Job = self.understand(answer)?;
                    if job.is_finished() {
                        return Ok(job);
                    }
                    // An API that is being stopped answers early, and must not be asked in a tight loop.
                    PAUSE.saturating_sub(asked_at.elapsed())
                }
                Err(error) => error.retry_after().ok_or(error)?,
            };
            tokio::time::sleep(pause).await;
        }
    }

    /// Enqueues one job; under `key`, or under one of its own.
    pub(crate) async fn push(&self, job: &NewJob, key: Option<&str>) -> Result<Value, CallError> {
        match key {
            Some(key) => self.push_with_key(job, key).await,
            None => self.push_with_key(job, &Uuid::now_v7().to_string()).await,
        }
    }

    /// Enqueues one job, over outages of the API too. The caller limits the time.
    pub(crate) async fn push_patiently(&self, job: &NewJob) -> Result<Job, CallError> {
        let key = Uuid::now_v7().to_string();
        loop {
            match self.push_with_key(job, &key).await {
                Ok(job) => return self.understand(job),
                Err(error) => tokio::time::sleep(error.retry_after().ok_or(error)?).await,
            }
        }
    }

    /// The key makes the repetition of a call whose answer was lost harmless.
    async fn push_with_key(&self, job: &NewJob, key: &str) -> Result<Value, CallError> {
        let request = self.request(Method::POST, "/api/jobs").header("Idempotency-Key", key);
        self.call(request.json(job)).await
    }

    /// Enqueues many, at most 10,000; one line a job.
    pub(crate) async fn push_many(&self, jobs: &[NewJob], key: Option<&str>) -> Result<Vec<BatchLine>, CallError> {
        #[derive(Deserialize)]
        struct Answer {
            results: Vec<BatchLine>,
        }
        let mut request = self.request(Method::POST, "/api/jobs/batch").json(&json!({ "jobs": jobs }));
        if let Some(key) = key {
            request = request.header("Idempotency-Key", key);
        }
        let answer: Answer = self.call(request).await?;
        Ok(answer.results)
    }

    pub(crate) async fn cancel(&self, id: &str) -> Result<Value, CallError> {
        self.call(self.request(Method::POST, &format!("{}/cancel", job_path(id)))).await
    }

    pub(crate) async fn retry(&self, id: &str) -> Result<Value, CallError> {
        self.call(self.request(Method::POST, &format!("{}/retry", job_path(id)))).await
    }

    pub(crate) async fn run_now(&self, id: &str) -> Result<Value, CallError> {
        self.call(self.request(Method::POST, &format!("{}/run-now", job_path(id)))).await
    }

    /// A page of jobs; `filters` are the query's parameters.
    pub(crate) async fn jobs(&self, filters: &impl Serialize) -> Result<Value, CallError> {
        self.call(self.request(Method::GET, "/api/jobs").query(filters)).await
    }

    /// A page of e-mails; `filters` are the query's parameters.
    pub(crate) async fn emails(&self, filters: &impl Serialize) -> Result<Value, CallError> {
        self.call(self.request(Method::GET, "/api/emails").query(filters)).await
    }

    pub(crate) async fn email(&self, id: &str) -> Result<Value, CallError> {
        self.call(self.request(Method::GET, &format!("/api/emails/{}", segment(id)))).await
    }

    /// How the e-mail of this payload would look.
    pub(crate) async fn preview_email(&self, payload: &Json) -> Result<Value, CallError> {
        self.call(self.request(Method::POST, "/api/emails/preview").json(payload)).await
    }

    /// What was used of language models; `filters` are the query's parameters.
    pub(crate) async fn usage(&self, filters: &impl Serialize) -> Result<Value, CallError> {
        self.call(self.request(Method::GET, "/api/usage").query(filters)).await
    }

    pub(crate) async fn queues(&self) -> Result<Value, CallError> {
        self.call(self.request(Method::GET, "/api/queues")).await
    }

    /// A page of a queue's dead jobs, newest first.
    pub(crate) async fn dead(&self, queue: &str, cursor: Option<&str>, limit: u64) -> Result<Value, CallError> {
        let request = self.request(Method::GET, &dead_path(queue)).query(&[("limit", limit.to_string())]);
        self.call(match cursor {
            Some(cursor) => request.query(&[("cursor", cursor)]),
            None => request,
        })
        .await
    }

    /// Makes dead jobs ready again: those in `ids`, or all when there are none.
    pub(crate) async fn replay(&self, queue: &str, ids: &[String]) -> Result<Value, CallError> {
        let request = self.request(Method::POST, &format!("{}/replay", dead_path(queue)));
        self.call(request.json(&selection(ids))).await
    }

    /// Deletes dead jobs: those in `ids`, or all when there are none.
    pub(crate) async fn delete_dead(&self, queue: &str, ids: &[String]) -> Result<Value, CallError> {
        self.call(self.request(Method::DELETE, &dead_path(queue)).json(&selection(ids))).await
    }

    /// Stops or allows claiming from a queue: `verb` is `pause` or `resume`.
    pub(crate) async fn switch_queue(&self, queue: &str, verb: &str) -> Result<Value, CallError> {
        let path = dead_path(queue);
        let path = path.strip_suffix("/dead").unwrap_or(&path);
        self.call(self.request(Method::POST, &format!("{path}/{verb}"))).await
    }

    /// How all services stand, or one.
    pub(crate) async fn status(&self, service: Option<&str>) -> Result<Value, CallError> {
        let path = service.map_or_else(String::new, |service| format!("/{}", segment(service)));
        self.call(self.request(Method::GET, &format!("/api/status{path}"))).await
    }

    /// Which services are mock and which are real.
    pub(crate) async fn mode(&self) -> Result<Value, CallError> {
        self.call(self.request(Method::GET, "/api/mode")).await
    }

    pub(crate) async fn switch_mode(&self, switch: &impl Serialize) -> Result<Value, CallError> {
        self.call(self.request(Method::PUT, "/api/mode").json(switch)).await
    }

    /// All schedules, and the ids of those that the API cannot read.
    pub(crate) async fn schedules(&self, tenant: Option<&str>) -> Result<(Vec<Value>, Vec<String>), CallError> {
        #[derive(Deserialize)]
        struct Page {
            items: Vec<Value>,
            #[serde(default)]
            unreadable: Vec<String>,
            next_cursor: Option<String>,
        }
        let (mut schedules, mut unreadable, mut cursor) = (Vec::new(), Vec::new(), None::<String>);
        loop {
            let mut request = self.request(Method::GET, "/api/schedules").query(&[("limit", 200)]).query(&of(tenant));
            if let Some(cursor) = cursor {
                request = request.query(&[("cursor", cursor)]);
            }
            let page: Page = self.understand(self.call(request).await?)?;
            schedules.extend(page.items);
            unreadable.extend(page.unreadable);
            cursor = page.next_cursor;
            if cursor.is_none() {
                return Ok((schedules, unreadable));
            }
        }
    }

    /// Makes or changes a schedule; with `etag` only if it is still that one.
    pub(crate) async fn put_schedule(
        &self,
        name: &str,
        tenant: Option<&str>,
        body: &Json,
        etag: Option<&str>,
    ) -> Result<Value, CallError> {
        let request = self.request(Method::PUT, &schedule_path(name)).query(&of(tenant)).json(body);
        self.call(match etag {
            Some(etag) => request.header(IF_MATCH, etag),
            None => request,
        })
        .await
    }

    pub(crate) async fn schedule(&self, name: &str, tenant: Option<&str>) -> Result<Value, CallError> {
        self.call(self.request(Method::GET, &schedule_path(name)).query(&of(tenant))).await
    }

    pub(crate) async fn delete_schedule(&self, name: &str, tenant: Option<&str>) -> Result<(), CallError> {
        let request = self.request(Method::DELETE, &schedule_path(name)).query(&of(tenant));
        let response = request.send().await;
        let response = response.map_err(|error| self.unreachable(&error))?;
        if response.status().is_success() { Ok(()) } else { self.read::<Value>(response).await.map(|_| ()) }
    }

    /// `run`, `pause` or `resume` of a schedule.
    pub(crate) async fn post_schedule(&self, name: &str, tenant: Option<&str>, verb: &str) -> Result<Value, CallError> {
        let request = self.request(Method::POST, &format!("{}/{verb}", schedule_path(name)));
        self.call(request.query(&of(tenant))).await
    }

    /// The next instants of a schedule, and the version of the tables of time zones by which the API reckons.
    pub(crate) async fn next_of_schedule(
        &self,
        name: &str,
        tenant: Option<&str>,
        n: u32,
    ) -> Result<(Vec<String>, Option<String>), CallError> {
        let request = self.request(Method::GET, &format!("{}/next", schedule_path(name))).query(&[("n", n)]);
        let response = request.query(&of(tenant)).send().await.map_err(|error| self.unreachable(&error))?;
        let tzdata = response.headers().get("tzdata").and_then(|value| value.to_str().ok()).map(str::to_owned);
        Ok((self.understand(self.read(response).await?)?, tzdata))
    }

    /// An answer of the API as a type of ours.
    pub(crate) fn understand<T: DeserializeOwned>(&self, answer: Value) -> Result<T, CallError> {
        let body = answer.to_string();
        serde_json::from_value(answer).map_err(|error| CallError::Unexpected {
            url: self.base.to_string(),
            status: 200,
            body: format!("{error}: {}", beginning(&body)),
        })
    }

    pub(crate) fn request(&self, method: Method, path: &str) -> RequestBuilder {
        let request = self.http.request(method, self.url(path));
        match &self.token {
            Some(token) => request.bearer_auth(token.expose_secret()),
            None => request,
        }
    }

    pub(crate) fn unreachable(&self, error: &reqwest::Error) -> CallError {
        CallError::Unreachable { base: self.url(""), reason: innermost_reason(error) }
    }

    async fn call<T: DeserializeOwned>(&self, request: RequestBuilder) -> Result<T, CallError> {
        let response = request.send().await.map_err(|error| self.unreachable(&error))?;
        self.read(response).await
    }

    /// The answer as JSON, or why there is none.
    pub(crate) async fn read<T: DeserializeOwned>(&self, response: Response) -> Result<T, CallError> {
        let (status, url) = (response.status(), response.url().to_string());
        let retry_after = retry_after(&response);
        let body = response.bytes().await.map_err(|error| self.unreachable(&error))?;
        if !status.is_success()
            && let Ok(problem) = serde_json::from_slice::<Problem>(&body)
        {
            return Err(CallError::Refused { status: status.as_u16(), problem: Box::new(problem), retry_after });
        }
        let unexpected = || {
            let body = beginning(&String::from_utf8_lossy(&body));
            CallError::Unexpected { url, status: status.as_u16(), body }
        };
        match serde_json::from_slice(&body) {
            Ok(answer) if status.is_success() => Ok(answer),
            _ => Err(unexpected()),
        }
    }
}

/// Ids and names come from the command line and must not leave their segment of the path.
fn segment(text: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
    text.bytes().map(|byte| if plain(byte) { char::from(byte).to_string() } else { format!("%{byte:02X}") }).collect()
}

pub(crate) fn job_path(id: &str) -> String {
    format!("/api/jobs/{}", segment(id))
}

/// Whose, if not one's own.
fn of(tenant: Option<&str>) -> Vec<(&'static str, &str)> {
    tenant.map(|tenant| ("tenant", tenant)).into_iter().collect()
}

fn schedule_path(name: &str) -> String {
    format!("/api/schedules/{}", segment(name))
}

/// No ids mean all.
fn selection(ids: &[String]) -> Value {
    if ids.is_empty() { json!({}) } else { json!({ "ids": ids }) }
}

fn dead_path(queue: &str) -> String {
    format!("/api/queues/{}/dead", segment(queue))
}

fn is_loopback(url: &Url) -> bool {
    let host = url.host_str().unwrap_or_default().trim_matches(['[', ']']);
    host == "localhost" || host.parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback())
}

fn retry_after(response: &Response) -> Option<Duration> {
    response.headers().get(RETRY_AFTER)?.to_str().ok()?.parse().ok().map(Duration::from_secs)
}

/// The outer errors only repeat the URL.
fn innermost_reason(error: &reqwest::Error) -> String {
    if error.is_timeout() {
        return "no answer in time".to_owned();
    }
    let mut reason = error.to_string();
    let mut source = error.source();
    while let Some(inner) = source {
        reason = inner.to_string();
        source = inner.source();
    }
    reason
}

fn beginning(body: &str) -> String {
    crate::table::cut(&crate::table::one_line(body), 200)
}

#[cfg(test)]
mod tests {
    use wiremock::{Mock, MockServer, ResponseTemplate, matchers::any};

    use super::*;

    fn refused(status: u16, problem: Value) -> CallError {
        let problem = Box::new(serde_json::from_value(problem).unwrap());
        CallError::Refused { status, problem, retry_after: None }
    }

    #[test]
    fn a_problem_shows_its_title_its_detail_and_each_bad_field() {
        let error = refused(
            422,
            json!({
                "type": "https://ecomsimply.example/problems/invalid-payload", "title": "invalid payload", "status": 422,
                "detail": "2 fields are bad", "request_id": "r-1",
                "errors": [{ "pointer": "/payload/language", "message": "one of fr, en" },
                           { "pointer": "/payload/name", "message": "is missing" }]
            }),
        );
        let expected = "the API refused (422): invalid payload: 2 fields are bad\n  \
                        /payload/language: one of fr, en\n  /payload/name: is missing";
        assert_eq!(error.to_string(), expected);
        assert_eq!(error.retry_after(), None);
    }

    #[test]
    fn an_empty_token_does_not_hide_that_of_the_file() {
        let chosen = |given: Option<&str>, file: Option<&str>| {
            choose_token(given.map(SecretString::from), || file.map(SecretString::from))
                .map(|token| token.expose_secret().to_owned())
        };
        assert_eq!(chosen(Some(" given\n"), Some("file")).as_deref(), Some("given"));
        for empty in [None, Some(""), Some(" \n")] {
            assert_eq!(chosen(empty, Some("file\n")).as_deref(), Some("file"), "{empty:?}");
            assert_eq!(chosen(empty, Some("\n")), None);
            assert_eq!(chosen(empty, None), None);
        }
    }

    #[test]
    fn without_a_token_it_says_how_to_get_one() {
        let text = refused(401, json!({ "title": "no token" })).to_string();
        assert!(text.starts_with("the API refused (401): no token\n"), "{text}");
        assert!(text.contains("ecomctl token --scope admin") && text.contains(".dev/token"), "{text}");
    }

    #[tokio::test]
    async fn a_server_that_is_not_there_is_named() {
        let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let api = Api::new(&format!("http://127.0.0.1:{port}/"), Some("t".into())).unwrap();
        let error = api.queues().await.unwrap_err();
        let text = error.to_string();
        assert!(text.starts_with(&format!("http://127.0.0.1:{port} cannot be reached: ")), "{text}");
        assert!(text.contains("refused") && text.contains("ECOM_URL"), "{text}");
        assert!(error.retry_after().is_some());
    }

    #[test]
    fn an_address_that_is_none_is_refused() {
        for url in ["127.0.0.1:8080", "ftp://localhost", "", "localhost"] {
            assert!(Api::new(url, None).unwrap_err().to_string().contains("http://127.0.0.1:8080"), "{url}");
        }
    }

    #[test]
    fn an_id_stays_in_its_segment() {
        assert_eq!(job_path("../queues?a=b#c"), "/api/jobs/%2E%2E%2Fqueues%3Fa%3Db%23c");
    }

    #[test]
    fn a_job_is_read_and_unknown_fields_are_ignored() {
        let job: Job = serde_json::from_value(json!({
            "id": "0199a1b2-0000-7000-8000-000000000001", "kind": "content", "tenant": "default", "state": "dead", "new": 1,
            "created_at": "2026-01-02T03:04:05.000Z", "finished_at": "2026-01-02T03:04:06.250Z", "attempt": 2,
            "max_attempts": 2, "provider": null, "degraded": false, "degraded_reason": null, "result": null,
            "attempts": [
                { "number": 1, "worker": "h/1", "outcome": "retry", "error": { "code": "a", "message": "first" } },
                { "number": 2, "worker": "h/1", "outcome": "dead", "error": { "code": "b", "message": "second" } }]
        }))
        .unwrap();
        assert_eq!((job.duration_ms(), job.last_error()), (Some(1_250), Some("b: second".to_owned())));
        assert!(job.is_finished() && !job.succeeded());
    }

    fn succeeded() -> Value {
        json!({ "id": "j", "kind": "content", "tenant": "default", "state": "succeeded", "attempts": [],
            "created_at": "2026-01-02T03:04:05.000Z", "finished_at": "2026-01-02T03:04:06.000Z", "attempt": 1,
            "max_attempts": 5, "provider": "mock", "degraded": false, "degraded_reason": null, "result": { "title": "x" } })
    }

    /// An API that is away at the first call and answers at the second.
    async fn away_once(answer: Value) -> MockServer {
        let server = MockServer::start().await;
        let problem = json!({ "type": "https://e/problems/queue-unavailable", "title": "away" });
        let away = ResponseTemplate::new(503).insert_header("Retry-After", "0").set_body_json(problem);
        Mock::given(any()).respond_with(away).up_to_n_times(1).mount(&server).await;
        Mock::given(any()).respond_with(ResponseTemplate::new(200).set_body_json(answer)).mount(&server).await;
        server
    }

    #[tokio::test]
    async fn a_job_is_followed_over_an_outage() {
        let server = away_once(succeeded()).await;
        let api = Api::new(&server.uri(), Some(" secret\n".into())).unwrap();
        assert!(api.finished_job("j").await.unwrap().succeeded());
        let requests = server.received_requests().await.unwrap();
        assert_eq!(requests.len(), 2);
        assert_eq!((requests[1].url.path(), requests[1].url.query()), ("/api/jobs/j", Some("wait=30")));
        assert_eq!(requests[1].headers["authorization"], "Bearer secret");
    }

    #[tokio::test]
    async fn a_job_that_is_pushed_again_keeps_its_idempotency_key() {
        let server = away_once(succeeded()).await;
        let api = Api::new(&server.uri(), Some("t".into())).unwrap();
        let job = NewJob { kind: "image".to_owned(), payload: json!({ "name": "x" }).into(), options: None };
        assert_eq!(api.push_patiently(&job).await.unwrap().id, "j");
        let requests = server.received_requests().await.unwrap();
        assert_eq!(requests.len(), 2);
        assert_eq!(requests[0].headers["idempotency-key"], requests[1].headers["idempotency-key"]);
        assert_eq!(requests[0].body, requests[1].body);
    }

    #[tokio::test]
    async fn an_answer_of_something_else_is_told_apart() {
        let server = MockServer::start().await;
        let page = ResponseTemplate::new(404).set_body_string("<html>nginx</html>");
        Mock::given(any()).respond_with(page).mount(&server).await;
        let error = Api::new(&server.uri(), Some("t".into())).unwrap().queues().await.unwrap_err();
        assert!(matches!(&error, CallError::Unexpected { status: 404, .. }), "{error:?}");
        assert!(error.to_string().contains("nginx") && error.to_string().contains("ECOM_URL"), "{error}");
    }
}
