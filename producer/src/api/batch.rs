//! Many jobs in one request: a bad one is reported, the others go in.

use axum::{
    Json,
    body::Body,
    extract::{Extension, State},
    http::{HeaderMap, header},
    response::{IntoResponse, Response},
};
use bytes::{Bytes, BytesMut};
use chrono::Utc;
use futures::{StreamExt, stream};
use queue::{FieldError, JobId, NewJob, Pushed};
use serde::Serialize;
use serde_json::Value;
use tokio::sync::mpsc;
use utoipa::ToSchema;

use crate::{
    app::App,
    auth::{Caller, Scope},
    intake::JobRequest,
    metrics,
    observe::RequestId,
    problem::{Problem, ProblemBody, Type},
    request::{self, BATCH_LIMIT, Format, JOB_LIMIT},
};

const JOBS_AT_MOST: usize = 10_000;
/// So many jobs go to Redis at a time.
const CHUNK: usize = 500;
/// Answers that may wait for a client that sends everything before it reads; more, and it has to read first.
const ANSWERS_WAITING: usize = 64;

/// Many jobs.
#[derive(ToSchema)]
#[expect(dead_code, reason = "for the OpenAPI document; it is read without copying 10,000 jobs")]
pub(crate) struct BatchRequest {
    /// The jobs; each is checked by itself.
    #[schema(max_items = 10000)]
    jobs: Vec<JobRequest>,
}

/// What became of a batch.
#[derive(Serialize, ToSchema)]
pub(crate) struct BatchAnswer {
    /// How many are in the queue.
    accepted: usize,
    /// How many are not.
    rejected: usize,
    /// One for each job, in the order of the request.
    results: Vec<Line>,
}

/// What became of one job: it has an id, or a problem.
#[derive(Serialize, ToSchema)]
pub(crate) struct Line {
    /// Position in the request, from 0.
    index: usize,
    /// The job, if it is in the queue.
    #[serde(skip_serializing_if = "Option::is_none")]
    id: Option<JobId>,
    /// Why it is not.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<ProblemBody<'_>>)]
    problem: Option<Problem>,
}

/// Enqueues up to 10,000 jobs, as one JSON document or as NDJSON with one job a line. NDJSON is answered while it is read.
#[utoipa::path(
    post, path = "/api/jobs/batch", tag = "jobs", operation_id = "jobs_create_batch",
    request_body(content(
        (BatchRequest = "application/json"),
        (JobRequest = "application/x-ndjson"),
    )),
    params(("traceparent" = Option<String>, Header, description = "W3C trace context; kept with each job")),
    responses((status = 200, description = "What became of each job", content(
        (BatchAnswer = "application/json"),
        (Line = "application/x-ndjson"),
    )))
)]
pub(crate) async fn create(
    State(app): State<App>,
    Extension(RequestId(request_id)): Extension<RequestId>,
    caller: Caller,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Problem> {
    caller.require(Scope::JobsWrite)?;
    let batch =
        Batch { app, caller, traceparent: request::traceparent(&headers), request_id, taken: 0, queue_away: None };
    match request::format(&headers) {
        Some(Format::Json) => {
            let body = request::read(&headers, body, BATCH_LIMIT).await?;
            Ok(Json(batch.all(jobs_of(body).await?).await?).into_response())
        }
        Some(Format::NdJson) if request::announces_more_than(BATCH_LIMIT, &headers) => {
            request::read(&headers, body, BATCH_LIMIT).await?;
            Err(request::too_large(BATCH_LIMIT))
        }
        Some(Format::NdJson) => Ok(stream_lines(batch, body)),
        None => Err(request::unsupported("application/json or application/x-ndjson")),
    }
}

/// The array `jobs`. Parsing 32 MB takes long enough to hold up other requests, so it has a thread of its own.
async fn jobs_of(body: Bytes) -> Result<Vec<Value>, Problem> {
    let parsed = tokio::task::spawn_blocking(move || request::parse(&body)).await;
    let parsed = parsed.map_err(|_| Problem::new(Type::Internal, "the batch could not be read"))??;
    let Value::Object(mut fields) = parsed else {
        return Err(Problem::invalid(vec![FieldError::new("", "must be an object with the field jobs")]));
    };
    let mut errors = Vec::new();
    let jobs = match fields.remove("jobs") {
        Some(Value::Array(jobs)) => jobs,
        other => {
            let message = if other.is_some() { "must be an array" } else { "is required" };
            errors.push(FieldError::new("/jobs", message));
            Vec::new()
        }
    };
    errors.extend(fields.keys().map(|name| unknown_field(name)));
    if !errors.is_empty() {
        return Err(Problem::invalid(errors));
    }
    if jobs.len() > JOBS_AT_MOST { Err(too_many()) } else { Ok(jobs) }
}

fn unknown_field(name: &str) -> FieldError {
    let escaped = name.replace('~', "~0").replace('/', "~1");
    FieldError::new(format!("/{escaped}"), "is not a known field; known: jobs")
}

fn too_many() -> Problem {
    Problem::new(Type::TooLarge, format!("a batch has at most {JOBS_AT_MOST} jobs"))
}

/// A batch under way.
struct Batch {
    app: App,
    caller: Caller,
    traceparent: Option<String>,
    request_id: String,
    /// How many jobs have been looked at.
    taken: usize,
    /// Set when the queue took nothing of a whole chunk; the rest is then refused without asking again, because each asking
    /// may take seconds.
    queue_away: Option<Problem>,
}

impl Batch {
    /// All jobs of a JSON batch.
    async fn all(mut self, jobs: Vec<Value>) -> Result<BatchAnswer, Problem> {
        let mut results = Vec::with_capacity(jobs.len());
        let mut chunks = jobs.into_iter().map(Ok);
        loop {
            let chunk: Vec<_> = chunks.by_ref().take(CHUNK).collect();
            if chunk.is_empty() {
                break;
            }
            results.extend(self.push(chunk).await);
        }
        let accepted = results.iter().filter(|line| line.id.is_some()).count();
        match self.queue_away {
            Some(problem) if accepted == 0 => Err(problem),
            _ => Ok(BatchAnswer { accepted, rejected: results.len() - accepted, results }),
        }
    }

    /// Pushes what is good of `requests` and gives one line for each.
    async fn push(&mut self, requests: Vec<Result<Value, Problem>>) -> Vec<Line> {
        let (mut jobs, mut lines) = (Vec::new(), Vec::with_capacity(requests.len()));
        for request in requests {
            let index = self.taken;
            self.taken += 1;
            let problem = match self.read(index, request) {
                Ok(job) => {
                    jobs.push((lines.len(), job));
                    None
                }
                Err(problem) => Some(problem.with_request_id(&self.request_id)),
            };
            lines.push(Line { index, id: None, problem });
        }
        self.push_good(jobs, &mut lines).await;
        lines
    }

    fn read(&self, index: usize, request: Result<Value, Problem>) -> Result<NewJob, Problem> {
        if index >= JOBS_AT_MOST {
            return Err(too_many());
        }
        let mut job = self.app.intake.read(&request?, &self.caller, Utc::now())?;
        job.traceparent.clone_from(&self.traceparent);
        if let Some(problem) = &self.queue_away { Err(problem.clone()) } else { Ok(job) }
    }

    /// One result a job, in their order: those with a unique key one by one, the others together.
    async fn submit(&self, jobs: Vec<NewJob>) -> Vec<Result<JobId, queue::Error>> {
        let alone: Vec<bool> = jobs.iter().map(|job| job.unique.is_some()).collect();
        let (unique, common): (Vec<_>, Vec<_>) = jobs.into_iter().partition(|job| job.unique.is_some());
        let mut common = self.app.client.push_many(common).await.into_iter();
        let mut unique = unique.into_iter();
        let mut results = Vec::with_capacity(alone.len());
        for alone in alone {
            let pushed = match if alone { unique.next() } else { None } {
                Some(job) => Some(self.app.client.submit(job).await.map(Pushed::id)),
                None => common.next(),
            };
            results.extend(pushed);
        }
        results
    }

    /// Pushes jobs, each with the position of its line.
    async fn push_good(&mut self, jobs: Vec<(usize, NewJob)>, lines: &mut [Line]) {
        if jobs.is_empty() {
            return;
        }
        let (positions, jobs): (Vec<_>, Vec<_>) = jobs.into_iter().unzip();
        let kinds: Vec<_> = jobs.iter().map(|job| job.kind.clone()).collect();
        let results = self.submit(jobs).await;
        let mut pushed = 0;
        for ((position, kind), result) in positions.into_iter().zip(kinds).zip(results) {
            match result {
                Ok(id) => {
                    metrics::accepted(&kind, 1);
                    lines[position].id = Some(id);
                    pushed += 1;
                }
                Err(error) => {
                    let problem = Problem::from(error).with_request_id(&self.request_id);
                    if problem.is_queue_unavailable() {
                        self.queue_away.get_or_insert_with(|| problem.clone());
                    }
                    lines[position].problem = Some(problem);
                }
            }
        }
        if pushed > 0 {
            self.queue_away = None;
        }
    }
}

/// Answers lines while the body is read. The reading goes on in a task of its own, so that a client may send everything
/// before it reads the first answer.
fn stream_lines(batch: Batch, body: Body) -> Response {
    let (sender, receiver) = mpsc::channel(ANSWERS_WAITING);
    tokio::spawn(async move {
        // The answer's end is the only reader: when it is gone, so is the client.
        let _ = push_lines(batch, body, &sender).await;
    });
    let answers = stream::unfold(receiver, |mut receiver| async move {
        let answer = receiver.recv().await?;
        Some((Ok::<Bytes, std::convert::Infallible>(answer), receiver))
    });
    ([(header::CONTENT_TYPE, "application/x-ndjson")], Body::from_stream(answers)).into_response()
}

async fn push_lines(
    mut batch: Batch,
    body: Body,
    answers: &mpsc::Sender<Bytes>,
) -> Result<(), mpsc::error::SendError<Bytes>> {
    let mut chunks = body.into_data_stream();
    let mut lines = Lines::default();
    let mut length = 0;
    while let Some(chunk) = chunks.next().await {
        let Ok(chunk) = chunk else {
            // Cut off: what follows the last line break may be half a job.
            return Ok(());
        };
        length += chunk.len();
        if length > BATCH_LIMIT {
            let end = vec![Err(request::too_large(BATCH_LIMIT))];
            return answers.send(text_of(&batch.push(end).await)).await;
        }
        push_parsed(&mut batch, lines.add(&chunk), answers).await?;
    }
    push_parsed(&mut batch, lines.end(), answers).await
}

async fn push_parsed(
    batch: &mut Batch,
    lines: Vec<Result<Bytes, Problem>>,
    answers: &mpsc::Sender<Bytes>,
) -> Result<(), mpsc::error::SendError<Bytes>> {
    let mut lines = lines.into_iter().map(|line| request::parse(&line?));
    loop {
        let chunk: Vec<_> = lines.by_ref().take(CHUNK).collect();
        if chunk.is_empty() {
            return Ok(());
        }
        answers.send(text_of(&batch.push(chunk).await)).await?;
    }
}

fn text_of(lines: &[Line]) -> Bytes {
    let mut text = Vec::new();
    for line in lines {
        if serde_json::to_writer(&mut text, line).is_ok() {
            text.push(b'\n');
        }
    }
    text.into()
}

/// Cuts a body into lines; empty ones are left out, and a line that is too large is a problem.
#[derive(Default)]
struct Lines {
    /// A line whose end has not come yet.
    begun: BytesMut,
    /// Whether the line under way is too large, and the rest of it is thrown away.
    too_large: bool,
}

impl Lines {
    fn add(&mut self, chunk: &[u8]) -> Vec<Result<Bytes, Problem>> {
        let mut lines = Vec::new();
        for part in chunk.split_inclusive(|byte| *byte == b'\n') {
            if !self.too_large {
                self.begun.extend_from_slice(part);
                self.too_large = self.begun.len() > JOB_LIMIT;
            }
            if part.ends_with(b"\n") {
                lines.extend(self.end());
            }
        }
        lines
    }

    fn end(&mut self) -> Vec<Result<Bytes, Problem>> {
        let line = self.begun.split().freeze();
        if std::mem::take(&mut self.too_large) {
            vec![Err(Problem::new(Type::TooLarge, "the line is larger than 1 MB"))]
        } else if line.trim_ascii().is_empty() {
            Vec::new()
        } else {
            vec![Ok(line)]
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(lines: Vec<Result<Bytes, Problem>>) -> Vec<String> {
        let text = |line: Result<Bytes, _>| {
            line.map_or("too large".into(), |line| String::from_utf8_lossy(&line).trim().into())
        };
        lines.into_iter().map(text).collect()
    }

    #[test]
    fn lines_are_put_together_from_chunks() {
        let mut lines = Lines::default();
        assert_eq!(texts(lines.add(b"{\"a\":")), [""; 0]);
        assert_eq!(texts(lines.add(b"1}\r\n\n  \n{}\n{\"b")), ["{\"a\":1}", "{}"]);
        assert_eq!(texts(lines.end()), ["{\"b"]);
        assert_eq!(texts(lines.end()), [""; 0]);
    }

    #[test]
    fn a_line_that_is_too_large_does_not_take_the_next_with_it() {
        let mut lines = Lines::default();
        let half = vec![b'x'; JOB_LIMIT / 2 + 1];
        assert_eq!(texts(lines.add(&half)), [""; 0]);
        assert_eq!(texts(lines.add(&half)), [""; 0]);
        assert_eq!(texts(lines.add(&half)), [""; 0]);
        assert_eq!(texts(lines.add(b"x\n{}\n")), ["too large", "{}"]);
    }
}
