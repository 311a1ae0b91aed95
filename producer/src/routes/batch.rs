//! Many jobs in one request: a bad one is reported, the others go in.

use std::{collections::BTreeMap, fmt};

use api::{BatchAnswer, BatchLine, FieldError};
use axum::{
    body::Body,
    extract::{Extension, State},
    http::{HeaderMap, HeaderValue, header},
    response::{IntoResponse, Response},
};
use bytes::{Bytes, BytesMut};
use chrono::{DateTime, Utc};
use futures::{StreamExt, stream};
use queue::{Fingerprint, Idempotency, JobId, KeyTaken, NewJob, Pushed};
use serde::{
    Deserialize, Deserializer,
    de::{IgnoredAny, MapAccess, SeqAccess, Visitor},
};
use serde_json::value::RawValue;
use tokio::sync::mpsc;

use crate::{
    answer::{Json, Problem, Type, id_of},
    auth::{Caller, Scope},
    entitled::Door,
    find,
    intake::AskedJob,
    keyed,
    known::Known,
    observe::RequestId,
    push::{self, REPLAYED, Submitted},
    request::{self, BATCH_LIMIT, Format, JOB_LIMIT, Memory},
    state::App,
};

const JOBS_AT_MOST: usize = 10_000;
/// So many jobs go to Redis at a time.
const CHUNK: usize = 500;
/// Once the lists of bad fields are so long, only the first field of each further job is told.
const ERRORS_LIMIT: usize = 256 << 10;
/// Tells a batch of one line from a request for the same job alone, which is answered otherwise.
const AS_BATCH: &str = "batch\n";
/// So many unknown fields are named.
const UNKNOWN_AT_MOST: usize = 20;
/// Answers that may wait for a client that sends everything before it reads; more, and it has to read first.
const ANSWERS_WAITING: usize = 64;

/// What became of one job of the batch.
type Line = BatchLine<Problem>;

/// Enqueues up to 10,000 jobs, as one JSON document or as NDJSON with one job a line. NDJSON is answered while it is read; with an
/// Idempotency-Key all of it is read first.
#[utoipa::path(
    post, path = "/api/jobs/batch", tag = "jobs", operation_id = "jobs_create_batch",
    request_body(content(
        (api::BatchRequest<'_> = "application/json"),
        (api::JobRequest = "application/x-ndjson"),
    )),
    params(
        ("Idempotency-Key" = Option<String>, Header, description = "The same key and jobs again give the same jobs, for 24 h; those that could not be taken are tried again"),
        ("traceparent" = Option<String>, Header, description = "W3C trace context; kept with each job"),
    ),
    responses((status = 200, description = "What became of each job; one whose store is not there has the problem `unknown-store`, one that the tenant's plan does not allow `plan-required`, and those beyond the plan's jobs of this UTC day `over-quota`", content(
        (BatchAnswer = "application/json"),
        (BatchLine = "application/x-ndjson"),
    ), headers(("Idempotency-Replayed" = bool, description = "true: an earlier request with this key was answered"))))
)]
pub(crate) async fn create(
    State(app): State<App>,
    Extension(RequestId(request_id)): Extension<RequestId>,
    memory: Option<Extension<Memory>>,
    caller: Caller,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Problem> {
    caller.require(Scope::JobsWrite)?;
    let Some(format) = request::format(&headers) else {
        return Err(request::unsupported("application/json or application/x-ndjson"));
    };
    let key = request::idempotency_key(&headers)?;
    let mut batch = Batch {
        app,
        caller,
        traceparent: request::traceparent(&headers),
        request_id,
        once: None,
        taken: 0,
        told: 0,
        _memory: memory.map(|Extension(memory)| memory),
        queue_away: None,
        known: Known::default(),
        door: None,
    };
    if format == Format::NdJson && key.is_none() {
        if request::announces_more_than(BATCH_LIMIT, &headers) {
            request::read(&headers, body, BATCH_LIMIT).await?;
            return Err(request::too_large(BATCH_LIMIT));
        }
        return Ok(stream_lines(batch, body));
    }
    let body = request::read(&headers, body, BATCH_LIMIT).await?;
    let with_fingerprint = key.is_some();
    let asked = request::aside(body.len(), move || Asked::read(&body, format, with_fingerprint)).await?;
    if let Some((key, fingerprint)) = key.zip(asked.fingerprint.as_ref()) {
        batch.once = Some(BatchKey::take(&batch.app, &batch.caller.tenant, &key, fingerprint).await?);
    }
    let is_replayed = batch.once.as_ref().is_some_and(|once| once.is_replayed);
    let mut response = match format {
        // To its end, as lines are: what was counted for a plan is then pushed, too.
        Format::Json => Json(keyed::whole(batch.all(asked.requests)).await?).into_response(),
        Format::NdJson => answer_lines(|answers| async move { push_all(batch, asked, &answers).await }),
    };
    if is_replayed {
        response.headers_mut().insert(REPLAYED, HeaderValue::from_static("true"));
    }
    Ok(response)
}

/// The text of a job's request, or why there is none.
type Request = Result<Bytes, Problem>;

/// What a body that was read whole asks for.
struct Asked {
    /// As many as a batch may have.
    requests: Vec<Request>,
    /// Lines beyond; each of them is answered, so they are only counted.
    n_beyond: usize,
    /// What tells the batch from another, if that is asked for.
    fingerprint: Option<Fingerprint>,
}

impl Asked {
    fn read(body: &Bytes, format: Format, with_fingerprint: bool) -> Result<Self, Problem> {
        let (requests, n_beyond) = match format {
            Format::Json => (jobs_of(body)?, 0),
            Format::NdJson => {
                let lines = body.split(|byte| *byte == b'\n');
                let mut requests = lines.filter_map(|line| request_of(body.slice_ref(line)));
                (requests.by_ref().take(JOBS_AT_MOST).collect(), requests.count())
            }
        };
        let fingerprint = with_fingerprint.then(|| {
            let said = requests.iter().map(|request: &Request| match request {
                // The same JSON is the same request, in whatever order its members are.
                Ok(text) => request::parse(text).map_or_else(|_| lossy(text), |parsed| parsed.to_string()),
                Err(_) => String::new(),
            });
            push::fingerprint(AS_BATCH, body, said)
        });
        Ok(Self { requests, n_beyond, fingerprint })
    }
}

fn lossy(text: &[u8]) -> String {
    String::from_utf8_lossy(text).into_owned()
}

/// The texts in the array `jobs`, as parts of the body.
fn jobs_of(body: &Bytes) -> Result<Vec<Request>, Problem> {
    let whole: &RawValue =
        serde_json::from_slice(request::without_bom(body)).map_err(|error| request::malformed(&error))?;
    let Ok(Fields { jobs, unknown, n_unknown }) = serde_json::from_str::<Fields<'_>>(whole.get()) else {
        return Err(Problem::invalid(vec![FieldError::new("", "must be an object with the field jobs")]));
    };
    let mut errors = Vec::new();
    let jobs = match jobs.map(|jobs| serde_json::from_str::<Elements<'_>>(jobs.get())) {
        Some(Ok(elements)) => elements,
        other => {
            let message = if other.is_some() { "must be an array" } else { "is required" };
            errors.push(FieldError::new("/jobs", message));
            Elements::default()
        }
    };
    errors.extend(unknown.iter().map(|name| unknown_field(name)));
    if n_unknown > unknown.len() {
        errors.push(FieldError::new("", format!("has {n_unknown} fields that are not known; known: jobs")));
    }
    if !errors.is_empty() {
        return Err(Problem::invalid(errors));
    }
    if jobs.n > JOBS_AT_MOST {
        return Err(too_many());
    }
    let request = |job: &RawValue| match job.get() {
        text if text.len() > JOB_LIMIT => Err(Problem::new(Type::TooLarge, "the job is larger than 1 MB")),
        text => Ok(body.slice_ref(text.as_bytes())),
    };
    Ok(jobs.texts.into_iter().map(request).collect())
}

/// The fields of a batch; of those that are unknown the first few.
struct Fields<'a> {
    jobs: Option<&'a RawValue>,
    unknown: Vec<String>,
    n_unknown: usize,
}

impl<'de: 'a, 'a> Deserialize<'de> for Fields<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visit;
        impl<'de> Visitor<'de> for Visit {
            type Value = Fields<'de>;

            fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Fields<'de>, A::Error> {
                let mut fields = Fields { jobs: None, unknown: Vec::new(), n_unknown: 0 };
                while let Some(name) = map.next_key::<String>()? {
                    if name == "jobs" {
                        fields.jobs = Some(map.next_value()?);
                        continue;
                    }
                    map.next_value::<IgnoredAny>()?;
                    fields.n_unknown += 1;
                    if fields.unknown.len() < UNKNOWN_AT_MOST {
                        fields.unknown.push(name);
                    }
                }
                Ok(fields)
            }
        }
        deserializer.deserialize_map(Visit)
    }
}

/// The elements of an array: as many as a batch may have, and how many there are.
#[derive(Default)]
struct Elements<'a> {
    texts: Vec<&'a RawValue>,
    n: usize,
}

impl<'de: 'a, 'a> Deserialize<'de> for Elements<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visit;
        impl<'de> Visitor<'de> for Visit {
            type Value = Elements<'de>;

            fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str("an array")
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Elements<'de>, A::Error> {
                let mut elements = Elements::default();
                while elements.n < JOBS_AT_MOST
                    && let Some(text) = seq.next_element()?
                {
                    elements.texts.push(text);
                    elements.n += 1;
                }
                while seq.next_element::<IgnoredAny>()?.is_some() {
                    elements.n += 1;
                }
                Ok(elements)
            }
        }
        deserializer.deserialize_seq(Visit)
    }
}

fn unknown_field(name: &str) -> FieldError {
    let escaped = name.replace('~', "~0").replace('/', "~1");
    FieldError::new(format!("/{escaped}"), "is not a known field; known: jobs")
}

fn too_many() -> Problem {
    Problem::new(Type::TooLarge, format!("a batch has at most {JOBS_AT_MOST} jobs"))
}

/// The idempotency key of a batch. Each job has an id that follows from the key's and its place, so a batch that is sent again names the
/// jobs that went in and adds those that did not.
struct BatchKey {
    taken: KeyTaken,
    /// Whether nobody came with it before.
    is_new: bool,
    /// Whether an earlier request was answered.
    is_replayed: bool,
    /// The answer: jobs that were there before the first request, by the place of the line that named them.
    others: BTreeMap<usize, JobId>,
}

impl BatchKey {
    async fn take(app: &App, tenant: &str, key: &str, fingerprint: &Fingerprint) -> Result<Self, Problem> {
        match app.client.idempotency_take_many(tenant, key, fingerprint).await? {
            Idempotency::New(taken) => Ok(Self { taken, is_new: true, is_replayed: false, others: BTreeMap::new() }),
            Idempotency::Again(taken) => Ok(Self { taken, is_new: false, is_replayed: false, others: BTreeMap::new() }),
            Idempotency::Replay(answer, taken) => {
                let others = serde_json::from_str(&answer).unwrap_or_default();
                Ok(Self { taken, is_new: false, is_replayed: true, others })
            }
            Idempotency::InProgress => Err(push::in_progress()),
            // No key of a batch was taken together with a job.
            Idempotency::Mismatch | Idempotency::Pushed(_) => Err(push::mismatch()),
        }
    }

    /// When the first request came. What is asked for is judged by that time, whenever it is sent again.
    fn began(&self) -> DateTime<Utc> {
        i64::try_from(self.taken.id.created_ms())
            .ok()
            .and_then(DateTime::from_timestamp_millis)
            .unwrap_or_else(Utc::now)
    }

    /// The id of the job at this place.
    async fn id(&self, app: &App, kind: &str, index: usize) -> Result<JobId, queue::Error> {
        let seed = self.taken.id;
        app.client.fixed_id(kind, &format!("{seed}/{index}"), seed.created_ms()).await
    }
}

/// A batch under way.
struct Batch {
    app: App,
    caller: Caller,
    traceparent: Option<String>,
    request_id: String,
    once: Option<BatchKey>,
    /// How many jobs have been looked at.
    taken: usize,
    /// How long the lists of bad fields are that were told, about.
    told: usize,
    /// The memory of a body that was read whole.
    _memory: Option<Memory>,
    /// Set when the queue took nothing of a whole chunk; the rest is then refused without asking again, because each asking
    /// may take seconds.
    queue_away: Option<Problem>,
    /// Which of the stores are there that the jobs need.
    known: Known,
    /// What the tenant's plan lets in; `None`: everything.
    door: Option<Door>,
}

/// A job, and whether this request made it.
type Became = Result<(JobId, bool), Problem>;

impl Batch {
    /// All jobs of a JSON batch.
    async fn all(mut self, requests: Vec<Request>) -> Result<BatchAnswer<Problem>, Problem> {
        let mut results = Vec::with_capacity(requests.len());
        let mut requests = requests.into_iter();
        loop {
            let chunk: Vec<_> = requests.by_ref().take(CHUNK).collect();
            if chunk.is_empty() {
                break;
            }
            results.extend(self.push(chunk).await);
        }
        self.end().await;
        let accepted = results.iter().filter(|line| line.id.is_some()).count();
        match self.queue_away {
            Some(problem) if accepted == 0 => Err(problem),
            _ => Ok(BatchAnswer { accepted, rejected: results.len() - accepted, results }),
        }
    }

    /// Pushes what is good of `requests` and gives one line for each.
    async fn push(&mut self, requests: Vec<Request>) -> Vec<Line> {
        let (mut jobs, mut lines) = (Vec::new(), Vec::with_capacity(requests.len()));
        let read = self.read(requests).await;
        self.known.look(&self.app, read.iter().flatten()).await;
        // For each chunk, because a long batch outlasts what is known of a tenant.
        let door = Door::of(&self.app, &self.caller).await;
        let shut = door.as_ref().err().cloned();
        self.door = door.ok().flatten();
        for read in read {
            let index = self.taken;
            self.taken += 1;
            let read = if index < JOBS_AT_MOST { read } else { Err(too_many()) };
            let mut line = Line { index, id: None, created: None, problem: None };
            match (read, &self.queue_away) {
                (Ok(asked), None) => match self.refusal(&asked).or_else(|| shut.clone()) {
                    None => jobs.push((index, asked.job)),
                    Some(problem) => match self.taken_before(index, &asked.job.kind).await {
                        Ok(Some(id)) => (line.id, line.created) = (Some(id_of(id)), Some(false)),
                        Ok(None) => line.problem = Some(problem.with_request_id(&self.request_id)),
                        Err(problem) => line.problem = Some(problem.with_request_id(&self.request_id)),
                    },
                },
                (Ok(_), Some(away)) => line.problem = Some(away.clone()),
                (Err(problem), _) => line.problem = Some(self.shortened(problem).with_request_id(&self.request_id)),
            }
            lines.push(line);
        }
        self.push_good(jobs, &mut lines).await;
        lines
    }

    /// Why this job is refused, though it is a good one.
    fn refusal(&self, asked: &AskedJob) -> Option<Problem> {
        let of_plan = || self.door.as_ref()?.allow(&asked.job.kind, &asked.job.payload).err();
        self.known.refusal(asked).or_else(of_plan)
    }

    /// Aside, because what is made to be hard to read holds up whoever reads it.
    async fn read(&self, requests: Vec<Request>) -> Vec<Result<AskedJob, Problem>> {
        let length = requests.iter().flatten().map(Bytes::len).sum();
        let n_requests = requests.len();
        let (intake, caller, traceparent) = (self.app.intake.clone(), self.caller.clone(), self.traceparent.clone());
        let now = self.once.as_ref().map_or_else(Utc::now, BatchKey::began);
        let read = move |request: Request| {
            let mut asked = intake.read(&request::parse(&request?)?, &caller, now)?;
            asked.job.traceparent.clone_from(&traceparent);
            Ok(asked)
        };
        let all = request::aside(length, move || Ok(requests.into_iter().map(read).collect())).await;
        all.unwrap_or_else(|problem| vec![Err(problem); n_requests])
    }

    /// The same problem, without its list of bad fields when the lists of the batch have become long.
    fn shortened(&mut self, problem: Problem) -> Problem {
        self.told += problem.errors_length();
        if self.told > ERRORS_LIMIT { problem.in_short() } else { problem }
    }

    /// The job of a line that went in when the batch came first, before its store was deleted, or the day's jobs were used up.
    async fn taken_before(&self, index: usize, kind: &str) -> Result<Option<JobId>, Problem> {
        let Some(once) = self.once.as_ref().filter(|once| !once.is_new) else { return Ok(None) };
        if let Some(other) = once.others.get(&index) {
            return Ok(Some(*other));
        }
        let id = once.id(&self.app, kind, index).await?;
        Ok(find::anywhere(&self.app, id).await?.map(|_| id))
    }

    /// The job that a line is answered with although it is refused: its own of the first time, or, where only the day's jobs are used up, the
    /// one that holds its unique key.
    async fn there(&mut self, index: usize, job: &NewJob, refused: &Problem) -> Result<Option<JobId>, Problem> {
        let before = self.taken_before(index, &job.kind).await?;
        if before.is_some() || !refused.is_over_quota() {
            return Ok(before);
        }
        let holder = push::holder(&self.app, job).await?.map(|holder| JobId::from(holder.id.0));
        if let (Some(once), Some(holder)) = (&mut self.once, holder) {
            once.others.insert(index, holder);
        }
        Ok(holder)
    }

    /// One result a job, in their order: as many as the tenant's plan lets in, and of those that it does not, the jobs that went in before.
    /// What was there before does not count, so that others may come in its place.
    async fn submit_counted(&mut self, mut jobs: Vec<(usize, NewJob)>) -> Vec<Became> {
        let mut results = Vec::with_capacity(jobs.len());
        while !jobs.is_empty() {
            let ticket = match &self.door {
                Some(door) => door.take(jobs.len()).await,
                None => Ok(None),
            };
            let ticket = match ticket {
                Ok(Some(ticket)) => ticket,
                Ok(None) => {
                    results.extend(self.submit(jobs).await);
                    break;
                }
                Err(problem) => {
                    results.extend(jobs.iter().map(|_| Err(problem.clone())));
                    break;
                }
            };
            let n = usize::try_from(ticket.n()).unwrap_or(usize::MAX).min(jobs.len());
            let rest = jobs.split_off(n);
            let became = if n > 0 { self.submit(jobs).await } else { Vec::new() };
            let n_created = became.iter().filter(|became| matches!(became, Ok((_, true)))).count();
            ticket.pushed(n_created as u64).await;
            let away =
                became.iter().find_map(|became| became.as_ref().err().filter(|error| error.is_queue_unavailable()));
            let end = if n_created == n { self.door.as_ref().map(Door::over_quota) } else { away.cloned() };
            results.extend(became);
            jobs = rest;
            if let Some(problem) = end {
                for (index, job) in std::mem::take(&mut jobs) {
                    let before = self.there(index, &job, &problem).await;
                    results.push(before.and_then(|before| before.map(|id| (id, false)).ok_or_else(|| problem.clone())));
                }
            }
        }
        results
    }

    /// One result a job, in their order: those with a unique key one by one, the others together.
    async fn submit(&mut self, jobs: Vec<(usize, NewJob)>) -> Vec<Became> {
        let alone: Vec<bool> = jobs.iter().map(|(_, job)| job.unique.is_some()).collect();
        let (unique, common): (Vec<_>, Vec<_>) = jobs.into_iter().partition(|(_, job)| job.unique.is_some());
        let mut common = self.submit_common(common).await.into_iter();
        let mut unique = unique.into_iter();
        let mut results = Vec::with_capacity(alone.len());
        for alone in alone {
            let became = match if alone { unique.next() } else { None } {
                Some((index, job)) => Some(self.submit_unique(index, job).await),
                None => common.next(),
            };
            results.extend(became);
        }
        results
    }

    async fn submit_common(&self, jobs: Vec<(usize, NewJob)>) -> Vec<Became> {
        let Some(once) = &self.once else {
            let pushed = self.app.client.push_many(jobs.into_iter().map(|(_, job)| job).collect()).await;
            return pushed.into_iter().map(|pushed| Ok((pushed?, true))).collect();
        };
        let n_jobs = jobs.len();
        let mut with_ids = Vec::with_capacity(n_jobs);
        for (index, job) in jobs {
            match once.id(&self.app, &job.kind, index).await {
                Ok(id) => with_ids.push((id, job)),
                // Redis is away: then no job is pushed.
                Err(error) => return vec![Err(error.into()); n_jobs],
            }
        }
        let pushed = self.app.client.push_fixed(with_ids).await;
        pushed.into_iter().map(|pushed| pushed.map(created).map_err(Problem::from)).collect()
    }

    async fn submit_unique(&mut self, index: usize, job: NewJob) -> Became {
        let mut id = None;
        if let Some(once) = &self.once {
            if let Some(other) = once.others.get(&index) {
                return Ok((*other, false));
            }
            id = Some(once.id(&self.app, &job.kind, index).await?);
        }
        Ok(match push::submit(&self.app, &job, id).await? {
            Submitted::New(id) => (id, true),
            Submitted::Existing(job) => {
                let holder = job.id.0.into();
                if let Some(once) = &mut self.once
                    && id != Some(holder)
                {
                    once.others.insert(index, holder);
                }
                (holder, false)
            }
        })
    }

    /// Pushes jobs, each with its index.
    async fn push_good(&mut self, jobs: Vec<(usize, NewJob)>, lines: &mut [Line]) {
        let (Some(first), false) = (lines.first().map(|line| line.index), jobs.is_empty()) else { return };
        let pushed: Vec<_> = jobs.iter().map(|(index, job)| (index - first, job.kind.clone())).collect();
        let results = self.submit_counted(jobs).await;
        let mut n_pushed = 0;
        for ((position, kind), result) in pushed.into_iter().zip(results) {
            match result {
                Ok((id, created)) => {
                    if created {
                        self.app.accepted.count(&kind, 1);
                    }
                    lines[position].id = Some(id_of(id));
                    lines[position].created = Some(created);
                    n_pushed += 1;
                }
                Err(problem) => {
                    let problem = problem.with_request_id(&self.request_id);
                    if problem.is_queue_unavailable() {
                        self.queue_away.get_or_insert_with(|| problem.clone());
                    }
                    lines[position].problem = Some(problem);
                }
            }
        }
        if n_pushed > 0 {
            self.queue_away = None;
        }
    }

    /// Notes under the idempotency key that the batch was answered. Should that fail, the next request with the key pushes the same jobs.
    async fn end(&self) {
        let Some(once) = &self.once else { return };
        let others = serde_json::to_string(&once.others).unwrap_or_default();
        let client = &self.app.client;
        let noted = match &self.queue_away {
            Some(_) if !once.is_replayed => client.idempotency_release(&once.taken).await,
            _ => client.idempotency_store(&once.taken, &others).await,
        };
        if let Err(error) = noted {
            tracing::debug!(%error, "the answer to a batch with an idempotency key could not be kept");
        }
    }
}

fn created(pushed: Pushed) -> (JobId, bool) {
    (pushed.id(), matches!(pushed, Pushed::New(_)))
}

/// Answers lines while the body is read. The reading goes on in a task of its own, so that a client may send everything
/// before it reads the first answer.
fn stream_lines(batch: Batch, body: Body) -> Response {
    answer_lines(|answers| async move { push_lines(batch, body, &answers).await })
}

/// Answers the lines that `push` sends.
fn answer_lines<F>(push: impl FnOnce(Answers) -> F) -> Response
where
    F: Future<Output = Result<(), SendError>> + Send + 'static,
{
    let (sender, receiver) = mpsc::channel(ANSWERS_WAITING);
    let push = push(sender);
    tokio::spawn(async move {
        // The answer's end is the only reader: when it is gone, so is the client.
        let _ = push.await;
    });
    let answers = stream::unfold(receiver, |mut receiver| async move {
        let answer = receiver.recv().await?;
        Some((Ok::<Bytes, std::convert::Infallible>(answer), receiver))
    });
    ([(header::CONTENT_TYPE, "application/x-ndjson")], Body::from_stream(answers)).into_response()
}

type Answers = mpsc::Sender<Bytes>;
type SendError = mpsc::error::SendError<Bytes>;

async fn push_lines(mut batch: Batch, body: Body, answers: &Answers) -> Result<(), SendError> {
    let mut chunks = body.into_data_stream();
    let mut lines = Lines::default();
    let mut length = 0;
    while let Some(chunk) = chunks.next().await {
        let chunk = match chunk {
            Ok(chunk) => chunk,
            Err(error) => {
                // What follows the last line break may be half a job.
                let end = vec![Err(request::problem_of(&error))];
                return answers.send(text_of(&batch.push(end).await)).await;
            }
        };
        length += chunk.len();
        if length > BATCH_LIMIT {
            let end = vec![Err(request::too_large(BATCH_LIMIT))];
            return answers.send(text_of(&batch.push(end).await)).await;
        }
        push_each(&mut batch, lines.add(&chunk).into_iter(), answers).await?;
    }
    push_each(&mut batch, lines.end().into_iter(), answers).await
}

/// The lines of a batch that was read whole. All go in, whether the client reads the answers or not.
async fn push_all(mut batch: Batch, asked: Asked, answers: &Answers) -> Result<(), SendError> {
    let mut requests = asked.requests.into_iter();
    let mut sent = Ok(());
    loop {
        let chunk: Vec<_> = requests.by_ref().take(CHUNK).collect();
        if chunk.is_empty() {
            break;
        }
        let text = text_of(&batch.push(chunk).await);
        if sent.is_ok() {
            sent = answers.send(text).await;
        }
    }
    batch.end().await;
    sent?;
    let beyond = std::iter::repeat_with(|| Err(too_many())).take(asked.n_beyond);
    push_each(&mut batch, beyond, answers).await
}

async fn push_each(
    batch: &mut Batch,
    mut requests: impl Iterator<Item = Request> + Send,
    answers: &Answers,
) -> Result<(), SendError> {
    loop {
        let chunk: Vec<_> = requests.by_ref().take(CHUNK).collect();
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

/// The request in a line; none in an empty one.
fn request_of(line: Bytes) -> Option<Request> {
    if line.len() > JOB_LIMIT {
        return Some(Err(Problem::new(Type::TooLarge, "the line is larger than 1 MB")));
    }
    let is_empty = request::without_bom(&line).trim_ascii().is_empty();
    (!is_empty).then_some(Ok(line))
}

/// Cuts a body that comes in pieces into lines.
#[derive(Default)]
struct Lines {
    /// A line whose end has not come yet; of one that is too large, more than may be.
    begun: BytesMut,
}

impl Lines {
    fn add(&mut self, chunk: &[u8]) -> Vec<Request> {
        let mut lines = Vec::new();
        for (n, part) in chunk.split(|byte| *byte == b'\n').enumerate() {
            if n > 0 {
                lines.extend(self.end());
            }
            if self.begun.len() <= JOB_LIMIT {
                self.begun.extend_from_slice(part);
            }
        }
        lines
    }

    fn end(&mut self) -> Option<Request> {
        request_of(self.begun.split().freeze())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(lines: impl IntoIterator<Item = Request>) -> Vec<String> {
        let text = |line: Request| line.map_or("too large".into(), |line| String::from_utf8_lossy(&line).trim().into());
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
    fn a_byte_order_mark_on_a_line_of_its_own_is_no_job() {
        let mut lines = Lines::default();
        assert_eq!(texts(lines.add(b"\xef\xbb\xbf\n{}\n")), ["{}"]);
        let marked = lines.add(b"\xef\xbb\xbf{\"a\":1}\n").remove(0).unwrap();
        assert_eq!(request::parse(&marked).unwrap()["a"], 1);
        assert_eq!(jobs_of(&Bytes::from_static(b"\xef\xbb\xbf{\"jobs\":[{}]}")).unwrap().len(), 1);
    }

    #[test]
    fn lines_beyond_what_a_batch_may_have_are_only_counted() {
        let body = Bytes::from("1\n".repeat(3_000_000));
        let asked = Asked::read(&body, Format::NdJson, true).unwrap();
        assert_eq!((asked.requests.len(), asked.n_beyond), (JOBS_AT_MOST, 3_000_000 - JOBS_AT_MOST));
        let long = Bytes::from([vec![b'x'; JOB_LIMIT + 1], b"\n\n \r\n{}".to_vec()].concat());
        let asked = Asked::read(&long, Format::NdJson, false).unwrap();
        assert_eq!((texts(asked.requests), asked.n_beyond), (vec!["too large".to_owned(), "{}".to_owned()], 0));
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
