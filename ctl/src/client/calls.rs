//! The calls of the API, one function each.

use std::time::{Duration, Instant};

use api::{BatchAnswer, BatchLine, BatchRequest, JobRequest, ModeRequest, Selection};
use queue::Json;
use reqwest::{Method, header::IF_MATCH};
use serde::{Deserialize, Serialize, de::IgnoredAny};
use serde_json::Value;
use uuid::Uuid;

use super::{
    connection::{ANSWER_TIMEOUT, Api},
    error::{CallError, PAUSE},
};

/// The longest that one request waits for a job to finish, in seconds.
const LONGEST_POLL_S: u64 = 30;

/// A job; what its caller gave is not looked at.
pub(crate) type Job = api::Job<IgnoredAny>;

/// A page of schedules, which are shown as they are.
#[derive(Deserialize)]
struct SchedulePage {
    items: Vec<Value>,
    #[serde(default)]
    unreadable: Vec<String>,
    next_cursor: Option<String>,
}

impl Api {
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
                    if job.state.is_finished() {
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
    pub(crate) async fn push(&self, job: &JobRequest<Json>, key: Option<&str>) -> Result<Value, CallError> {
        match key {
            Some(key) => self.push_with_key(job, key).await,
            None => self.push_with_key(job, &Uuid::now_v7().to_string()).await,
        }
    }

    /// Enqueues one job, over outages of the API too. The caller limits the time.
    pub(crate) async fn push_patiently(&self, job: &JobRequest<Json>) -> Result<Job, CallError> {
        let key = Uuid::now_v7().to_string();
        loop {
            match self.push_with_key(job, &key).await {
                Ok(job) => return self.understand(job),
                Err(error) => tokio::time::sleep(error.retry_after().ok_or(error)?).await,
            }
        }
    }

    /// The key makes the repetition of a call whose answer was lost harmless.
    async fn push_with_key(&self, job: &JobRequest<Json>, key: &str) -> Result<Value, CallError> {
        let request = self.request(Method::POST, "/api/jobs").header("Idempotency-Key", key);
        self.call(request.json(job)).await
    }

    /// Enqueues many, at most 10,000; one line a job.
    pub(crate) async fn push_many(
        &self,
        jobs: &[JobRequest<Json>],
        key: Option<&str>,
    ) -> Result<Vec<BatchLine>, CallError> {
        let mut request = self.request(Method::POST, "/api/jobs/batch").json(&BatchRequest { jobs });
        if let Some(key) = key {
            request = request.header("Idempotency-Key", key);
        }
        let answer: BatchAnswer = self.call(request).await?;
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

    /// The keys of stores' credentials, and what is sealed with them.
    pub(crate) async fn keys(&self) -> Result<Value, CallError> {
        self.call(self.request(Method::GET, "/api/keys")).await
    }

    /// Has all credentials sealed with the newest key; the job.
    pub(crate) async fn rotate_keys(&self) -> Result<Value, CallError> {
        self.call(self.request(Method::POST, "/api/keys/rotate")).await
    }

    /// Has what is kept of subscriptions compared with Stripe; the job.
    pub(crate) async fn reconcile_payments(&self, dry_run: bool) -> Result<Value, CallError> {
        let request = self.request(Method::POST, "/api/payments/reconcile");
        self.call(request.query(&[("dry_run", dry_run.to_string())])).await
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

    pub(crate) async fn switch_mode(&self, switch: &ModeRequest) -> Result<Value, CallError> {
        self.call(self.request(Method::PUT, "/api/mode").json(switch)).await
    }

    /// All schedules, and the ids of those that the API cannot read.
    pub(crate) async fn schedules(&self, tenant: Option<&str>) -> Result<(Vec<Value>, Vec<String>), CallError> {
        let (mut schedules, mut unreadable, mut cursor) = (Vec::new(), Vec::new(), None::<String>);
        loop {
            let mut request = self.request(Method::GET, "/api/schedules").query(&[("limit", 200)]).query(&of(tenant));
            if let Some(cursor) = cursor {
                request = request.query(&[("cursor", cursor)]);
            }
            let page: SchedulePage = self.call(request).await?;
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
fn selection(ids: &[String]) -> Selection<String> {
    Selection { ids: (!ids.is_empty()).then(|| ids.to_vec()) }
}

fn dead_path(queue: &str) -> String {
    format!("/api/queues/{}/dead", segment(queue))
}

#[cfg(test)]
mod tests {
    use serde_json::json;
    use wiremock::{Mock, MockServer, ResponseTemplate, matchers::any};

    use super::*;
    use crate::tell::tests::sample;

    #[test]
    fn an_id_stays_in_its_segment() {
        assert_eq!(job_path("../queues?a=b#c"), "/api/jobs/%2E%2E%2Fqueues%3Fa%3Db%23c");
    }

    fn succeeded() -> Value {
        sample(&json!({ "state": "succeeded", "finished_at": "2026-01-02T03:04:06.000Z", "result": { "title": "x" } }))
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
        assert_eq!(api.finished_job("j").await.unwrap().state, api::State::Succeeded);
        let requests = server.received_requests().await.unwrap();
        assert_eq!(requests.len(), 2);
        assert_eq!((requests[1].url.path(), requests[1].url.query()), ("/api/jobs/j", Some("wait=30")));
        assert_eq!(requests[1].headers["authorization"], "Bearer secret");
    }

    #[tokio::test]
    async fn a_job_that_is_pushed_again_keeps_its_idempotency_key() {
        let server = away_once(succeeded()).await;
        let api = Api::new(&server.uri(), Some("t".into())).unwrap();
        let job = JobRequest { kind: "image".to_owned(), payload: json!({ "name": "x" }).into(), options: None };
        assert_eq!(api.push_patiently(&job).await.unwrap().kind, "content");
        let requests = server.received_requests().await.unwrap();
        assert_eq!(requests.len(), 2);
        assert_eq!(requests[0].headers["idempotency-key"], requests[1].headers["idempotency-key"]);
        assert_eq!(requests[0].body, requests[1].body);
    }
}
