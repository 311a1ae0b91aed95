//! A stand-in of fal.ai's queue: submit, status, result, cancel, webhooks, and the pictures themselves, which another server gives.
//!
//! A status is `IN_QUEUE` once, `IN_PROGRESS` once, then `COMPLETED`; [`Fal::takes`], [`Fal::hold`] and [`Fal::release`] change that. A run
//! with a webhook is also done by itself after a moment.
//!
//! Words in a prompt say how a run ends. `forbidden`: it completes, and its result is 422 `content_policy_violation`. `broken`: it
//! completes with `error` and `error_type` in its status, and its result is 503. `nsfw`: all pictures are marked; `nsfw-1`: the one at this
//! place alone, from 0. `picture:cmyk` and others: what the files are (`picture.rs`).
//!
//! With `fal_webhook` in a submit, what came of the run is delivered to the host that [`Fal::deliver_to`] names, signed, until it is
//! taken, and then once more.

mod picture;
mod webhook;

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard},
    time::Duration,
};

use axum::{
    Json, Router,
    body::Bytes,
    extract::{Path, State},
    http::{HeaderMap, Method, StatusCode, Uri, header},
    response::{IntoResponse, Response},
    routing::get,
};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use super::{
    fault::{About, Faults, Front},
    is_json, lock, pairs, text, value,
};

pub use webhook::Delivered;

/// The model that is used unless told otherwise.
pub const MODEL: &str = "fal-ai/flux-pro/v1.1";
const MODELS: [&str; 5] =
    [MODEL, "fal-ai/flux-pro/v1.1-ultra", "fal-ai/flux-2-pro", "fal-ai/flux-2-max", "fal-ai/flux/schnell"];
const SIZES: [(&str, u16, u16); 6] = [
    ("square_hd", 1024, 1024),
    ("square", 512, 512),
    ("portrait_4_3", 768, 1024),
    ("portrait_16_9", 576, 1024),
    ("landscape_4_3", 1024, 768),
    ("landscape_16_9", 1024, 576),
];

/// How long a run with a webhook takes at most.
const RUN_TIME: Duration = Duration::from_millis(500);
/// The longer side of pictures whose ratio is asked for.
const ULTRA: u16 = 2048;

/// The running stand-in; ends when it is dropped.
#[derive(Debug)]
pub struct Fal {
    queue: Front,
    media: Front,
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    url: String,
    media_url: String,
    key: String,
    state: Mutex<Queue>,
    webhooks: Arc<webhook::Webhooks>,
}

#[derive(Debug)]
struct Queue {
    runs: BTreeMap<String, Run>,
    /// So many looks find a run that is not done.
    takes: usize,
    is_held: bool,
    counts: Counts,
}

/// How often the stand-in was asked for what, answered well or not.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts {
    /// Runs that were accepted, and would be billed unless they failed.
    pub submits: usize,
    /// Statuses.
    pub polls: usize,
    /// Results.
    pub results: usize,
    /// Runs that were cancelled before they were done.
    pub cancelled: usize,
    /// Calls to cancel a run, whatever came of them.
    pub cancels: usize,
    /// Files.
    pub downloads: usize,
}

#[derive(Debug)]
struct Run {
    /// The first two parts of the model's name.
    app: String,
    input: Value,
    size: (u16, u16),
    webhook: Option<String>,
    n_asked: usize,
    state: RunState,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum RunState {
    UnderWay,
    Completed,
    Cancelled,
}

impl Fal {
    /// Starts it on a port (0 is a free one). It knows one key, `id:secret`.
    ///
    /// # Errors
    /// When the port cannot be bound.
    pub async fn start(port: u16, key: &str) -> anyhow::Result<Self> {
        let bind = |port| std::net::TcpListener::bind(("127.0.0.1", port));
        let (queue, media) = (bind(port)?, bind(0)?);
        let address =
            |listener: &std::net::TcpListener| Ok::<_, std::io::Error>(format!("http://{}", listener.local_addr()?));
        let state = Queue { runs: BTreeMap::new(), takes: 2, is_held: false, counts: Counts::default() };
        let shared = Arc::new(Shared {
            url: address(&queue)?,
            media_url: address(&media)?,
            key: key.to_owned(),
            state: Mutex::new(state),
            webhooks: webhook::Webhooks::new(),
        });
        let routes =
            Router::new().route("/.well-known/jwks.json", get(keys)).fallback(dispatch).with_state(Arc::clone(&shared));
        let files = Router::new().route("/files/{file}", get(file)).with_state(Arc::clone(&shared));
        Ok(Self { queue: Front::on(queue, routes)?, media: Front::on(media, files)?, shared })
    }

    /// What belongs into `FAL_QUEUE_BASE_URL`.
    #[must_use]
    pub fn url(&self) -> &str {
        &self.shared.url
    }

    /// What belongs into `FAL_JWKS_URL`.
    #[must_use]
    pub fn jwks_url(&self) -> String {
        format!("{}/.well-known/jwks.json", self.shared.url)
    }

    /// Fails whole requests to the queue, and counts them. Good submits are counted by prompt: [`Faults::n_answered`].
    #[must_use]
    pub fn faults(&self) -> &Faults {
        self.queue.faults()
    }

    /// The same of the server that gives the pictures.
    #[must_use]
    pub fn media_faults(&self) -> &Faults {
        self.media.faults()
    }

    /// How often it was asked for what.
    #[must_use]
    pub fn counts(&self) -> Counts {
        self.shared.state().counts
    }

    /// How many runs were accepted (and would be billed), whether the answer arrived or not.
    #[must_use]
    pub fn n_submitted(&self) -> usize {
        self.counts().submits
    }

    /// How many of them had this in their prompt.
    #[must_use]
    pub fn n_submitted_with(&self, text: &str) -> usize {
        self.shared.state().runs.values().filter(|run| run.prompt().contains(text)).count()
    }

    /// So many looks find a run that is not done; 2 unless told otherwise.
    pub fn takes(&self, n_looks: usize) {
        self.shared.state().takes = n_looks;
    }

    /// No run is done from now on.
    pub fn hold(&self) {
        self.shared.state().is_held = true;
    }

    /// Runs are done again, and all that are under way at once, which is delivered.
    pub fn release(&self) {
        let mut state = self.shared.state();
        state.is_held = false;
        let under_way = state.runs.iter_mut().filter(|(_, run)| run.state == RunState::UnderWay);
        under_way.for_each(|(id, run)| self.shared.complete(id, run));
    }

    /// Delivers what webhooks are told to this server, whatever host a submit names: it is to be https, which nobody speaks in a test.
    pub fn deliver_to(&self, base: &str) {
        self.shared.webhooks.deliver_to(base);
    }

    /// What was delivered, and how that was answered.
    #[must_use]
    pub fn delivered(&self) -> Vec<Delivered> {
        self.shared.webhooks.delivered()
    }

    /// Signs with another key from now on; those of before are no longer published.
    pub fn rotate_key(&self) {
        self.shared.webhooks.rotate();
    }

    /// The headers with which it would deliver this body at this time (Unix seconds).
    #[must_use]
    pub fn signed(&self, request_id: &str, body: &[u8], at_s: u64) -> [(&'static str, String); 4] {
        self.shared.webhooks.signed(request_id, body, at_s)
    }

    /// The addresses that submits named for their webhooks, in the order of the runs.
    #[must_use]
    pub fn webhook_addresses(&self) -> Vec<String> {
        self.shared.state().runs.values().filter_map(|run| run.webhook.clone()).collect()
    }
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, Queue> {
        lock(&self.state)
    }

    fn refusal(&self, headers: &HeaderMap) -> Option<Response> {
        if text(headers, header::AUTHORIZATION.as_str()).strip_prefix("Key ") == Some(&self.key) {
            return None;
        }
        Some(refuse(StatusCode::UNAUTHORIZED, "authorization_error", "Cannot access application: no valid key"))
    }

    fn addresses(&self, app: &str, id: &str) -> Value {
        let run = format!("{}/{app}/requests/{id}", self.url);
        json!({ "request_id": id, "gateway_request_id": id, "response_url": run, "status_url": format!("{run}/status"),
            "cancel_url": format!("{run}/cancel") })
    }

    /// The run is done, and whoever wants to know is told.
    fn complete(&self, id: &str, run: &mut Run) {
        run.state = RunState::Completed;
        let Some(webhook) = &run.webhook else { return };
        let mut told = json!({ "request_id": id, "gateway_request_id": id, "status": "OK" });
        match run.result(id, &self.media_url) {
            Ok(result) => told["payload"] = result,
            Err(failure) => {
                told["status"] = json!("ERROR");
                told["error"] = json!(format!("Invalid status code: {}", failure.status.as_u16()));
                told["payload"] = failure.body;
            }
        }
        self.webhooks.deliver(webhook, id, told);
    }
}

/// How a run failed.
struct Failure {
    status: StatusCode,
    body: Value,
}

impl Run {
    fn prompt(&self) -> &str {
        self.input["prompt"].as_str().unwrap_or_default()
    }

    /// As asked for; otherwise one that does not fit into 32 bits, as those that fal chooses.
    fn seed(&self, id: &str) -> u64 {
        self.input["seed"].as_u64().unwrap_or_else(|| {
            let hash = Sha256::digest(format!("{}{id}", self.prompt()));
            (1 << 32) | u64::from(u32::from_be_bytes([hash[0], hash[1], hash[2], hash[3]]))
        })
    }

    fn ending(&self) -> &str {
        self.input["output_format"].as_str().unwrap_or("jpeg")
    }

    fn result(&self, id: &str, media_url: &str) -> Result<Value, Failure> {
        let prompt = self.prompt();
        if self.state == RunState::Cancelled {
            let detail = json!({ "detail": "Request was cancelled", "error_type": "cancelled" });
            return Err(Failure { status: StatusCode::BAD_REQUEST, body: detail });
        }
        if prompt.contains("forbidden") {
            let message = "The content could not be processed because it was flagged";
            let body = invalid_body("prompt", "content_policy_violation", message);
            return Err(Failure { status: StatusCode::UNPROCESSABLE_ENTITY, body });
        }
        if prompt.contains("broken") {
            let body = json!({ "detail": "Runner disconnected", "error_type": "runner_disconnected" });
            return Err(Failure { status: StatusCode::SERVICE_UNAVAILABLE, body });
        }
        let ending = self.ending();
        let (width, height) = self.size;
        let n_images = self.input["num_images"].as_u64().unwrap_or(1);
        let image = |n: u64| {
            json!({ "url": format!("{media_url}/files/{id}-{n}.{ending}"), "width": width, "height": height,
                "content_type": format!("image/{ending}") })
        };
        let is_marked = |n: u64| {
            let mut marks = prompt.split("nsfw").skip(1).map(|rest| rest.strip_prefix('-'));
            marks.any(|place| place.is_none_or(|place| place.starts_with(&n.to_string())))
        };
        Ok(json!({ "images": (0..n_images).map(image).collect::<Vec<_>>(), "seed": self.seed(id), "prompt": prompt,
            "has_nsfw_concepts": (0..n_images).map(is_marked).collect::<Vec<_>>(), "timings": { "inference": 1.2 } }))
    }
}

/// An error of the queue itself.
fn refuse(status: StatusCode, kind: &'static str, detail: &str) -> Response {
    (status, [("x-fal-error-type", kind)], Json(json!({ "detail": detail, "error_type": kind }))).into_response()
}

/// An error of the model's input, or of the run.
fn invalid(field: &str, kind: &str, message: &str) -> Response {
    (StatusCode::UNPROCESSABLE_ENTITY, Json(invalid_body(field, kind, message))).into_response()
}

fn invalid_body(field: &str, kind: &str, message: &str) -> Value {
    json!({ "detail": [{ "loc": ["body", field], "msg": message, "type": kind }] })
}

fn no_app() -> Response {
    refuse(StatusCode::NOT_FOUND, "not_found", "Application not found")
}

async fn keys(State(shared): State<Arc<Shared>>) -> Json<Value> {
    Json(shared.webhooks.keys())
}

/// Models have names of two or more parts, their runs are below the first two.
async fn dispatch(
    State(shared): State<Arc<Shared>>,
    method: Method,
    uri: Uri,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    if let Some(refusal) = shared.refusal(&headers) {
        return refusal;
    }
    let path = uri.path().trim_matches('/');
    if method == Method::POST {
        return if MODELS.contains(&path) { submit(&shared, path, &uri, &headers, &body) } else { no_app() };
    }
    let parts: Vec<&str> = path.split('/').collect();
    let [owner, app, "requests", id, call @ ..] = parts.as_slice() else { return no_app() };
    let app = format!("{owner}/{app}");
    match (method.as_str(), call) {
        ("GET", ["status"]) => status(&shared, &app, id),
        ("GET", []) => result(&shared, &app, id),
        ("PUT", ["cancel"]) => cancel(&shared, &app, id),
        _ => no_app(),
    }
}

fn submit(shared: &Arc<Shared>, model: &str, uri: &Uri, headers: &HeaderMap, body: &[u8]) -> Response {
    let input: Value = match serde_json::from_slice(body) {
        Ok(input) if is_json(headers) => input,
        _ => return invalid("", "json_invalid", "JSON decode error"),
    };
    let size = match check(model, &input) {
        Ok(size) => size,
        Err(field) => return invalid(field, "value_error", "Field required, or not one of the values that it takes"),
    };
    let webhook = value(&pairs(uri), "fal_webhook").map(str::to_owned);
    if webhook.as_ref().is_some_and(|url| !url.starts_with("https://")) {
        return invalid("fal_webhook", "value_error", "A webhook must be an https URL");
    }
    let app = model.split('/').take(2).collect::<Vec<_>>().join("/");
    let mut state = shared.state();
    state.counts.submits += 1;
    let id = format!("{:08x}-0000-4000-8000-000000000000", state.counts.submits);
    let mut answer = shared.addresses(&app, &id);
    (answer["status"], answer["queue_position"]) = (json!("IN_QUEUE"), json!(0));
    let run = Run { app, input, size, webhook, n_asked: 0, state: RunState::UnderWay };
    let about = About(run.prompt().to_owned());
    if run.webhook.is_some() {
        let (shared, id) = (Arc::clone(shared), id.clone());
        tokio::spawn(async move {
            tokio::time::sleep(RUN_TIME).await;
            let mut state = shared.state();
            let Queue { runs, is_held, .. } = &mut *state;
            let run = runs.get_mut(&id).filter(|run| run.state == RunState::UnderWay && !*is_held);
            run.into_iter().for_each(|run| shared.complete(&id, run));
        });
    }
    state.runs.insert(id.clone(), run);
    let mut response = ([("x-fal-request-id", id)], Json(answer)).into_response();
    response.extensions_mut().insert(about);
    response
}

/// The picture's size, or the field that is wrong.
fn check(model: &str, input: &Value) -> Result<(u16, u16), &'static str> {
    let is_ultra = model.ends_with("-ultra");
    let known = [
        "prompt",
        if is_ultra { "aspect_ratio" } else { "image_size" },
        "num_images",
        "output_format",
        "safety_tolerance",
        "seed",
        "enhance_prompt",
        "sync_mode",
    ];
    if input["prompt"].as_str().is_none_or(str::is_empty) {
        return Err("prompt");
    }
    if input.as_object().is_some_and(|fields| fields.keys().any(|name| !known.contains(&name.as_str()))) {
        return Err("extra");
    }
    let given = |name: &str| input.get(name).filter(|value| !value.is_null());
    if given("num_images").is_some_and(|n| !n.as_u64().is_some_and(|n| (1..=4).contains(&n))) {
        return Err("num_images");
    }
    if given("output_format").is_some_and(|format| format != "jpeg" && format != "png") {
        return Err("output_format");
    }
    let tolerated = |value: &Value| value.as_str().is_some_and(|text| ["1", "2", "3", "4", "5", "6"].contains(&text));
    if given("safety_tolerance").is_some_and(|value| !tolerated(value)) {
        return Err("safety_tolerance");
    }
    if given("seed").is_some_and(|seed| !seed.is_u64()) {
        return Err("seed");
    }
    if is_ultra {
        let ratio = given("aspect_ratio").map_or(Some("16:9"), Value::as_str).and_then(|ratio| ratio.split_once(':'));
        let ratio = ratio.and_then(|(w, h)| Some((w.parse::<f64>().ok()?, h.parse::<f64>().ok()?)));
        let (w, h) = ratio.filter(|(w, h)| *w > 0.0 && *h > 0.0).ok_or("aspect_ratio")?;
        let side = |side: f64| (f64::from(ULTRA) * side / w.max(h)).round() as u16;
        return Ok((side(w), side(h)));
    }
    let size = match given("image_size") {
        None => Some((1024, 768)),
        Some(Value::String(name)) => SIZES.iter().find(|(known, ..)| known == name).map(|&(_, w, h)| (w, h)),
        Some(size) => {
            let side =
                |name: &str| size[name].as_u64().and_then(|side| u16::try_from(side).ok()).filter(|side| *side > 0);
            side("width").zip(side("height"))
        }
    };
    size.ok_or("image_size")
}

fn no_run() -> Response {
    refuse(StatusCode::NOT_FOUND, "not_found", "Request not found")
}

fn status(shared: &Shared, app: &str, id: &str) -> Response {
    let mut state = shared.state();
    let Queue { runs, takes, is_held, counts } = &mut *state;
    counts.polls += 1;
    let Some(run) = runs.get_mut(id).filter(|run| run.app == app) else { return no_run() };
    run.n_asked += 1;
    if run.state == RunState::UnderWay && !*is_held && run.n_asked > *takes {
        shared.complete(id, run);
    }
    let (code, name) = match run.state {
        RunState::UnderWay if run.n_asked == 1 => (StatusCode::ACCEPTED, "IN_QUEUE"),
        RunState::UnderWay => (StatusCode::ACCEPTED, "IN_PROGRESS"),
        RunState::Completed | RunState::Cancelled => (StatusCode::OK, "COMPLETED"),
    };
    let mut answer = shared.addresses(app, id);
    answer["status"] = json!(name);
    if name == "IN_QUEUE" {
        answer["queue_position"] = json!(0);
    }
    // Of what the input is to blame for, the result alone tells.
    if let Some(Err(failure)) = (name == "COMPLETED").then(|| run.result(id, &shared.media_url))
        && failure.status != StatusCode::UNPROCESSABLE_ENTITY
    {
        (answer["error"], answer["error_type"]) = (failure.body["detail"].clone(), failure.body["error_type"].clone());
    }
    (code, Json(answer)).into_response()
}

fn cancel(shared: &Shared, app: &str, id: &str) -> Response {
    let mut state = shared.state();
    let Queue { runs, counts, .. } = &mut *state;
    counts.cancels += 1;
    let (status, said) = match runs.get_mut(id).filter(|run| run.app == app) {
        None => (StatusCode::NOT_FOUND, "NOT_FOUND"),
        Some(run) if run.state == RunState::Completed => (StatusCode::BAD_REQUEST, "ALREADY_COMPLETED"),
        Some(run) => {
            counts.cancelled += usize::from(run.state == RunState::UnderWay);
            run.state = RunState::Cancelled;
            (StatusCode::ACCEPTED, "CANCELLATION_REQUESTED")
        }
    };
    (status, Json(json!({ "status": said }))).into_response()
}

fn result(shared: &Shared, app: &str, id: &str) -> Response {
    let mut state = shared.state();
    state.counts.results += 1;
    let Some(run) = state.runs.get(id).filter(|run| run.app == app) else { return no_run() };
    if run.state == RunState::UnderWay {
        return refuse(StatusCode::BAD_REQUEST, "in_progress", "Request is still in progress");
    }
    match run.result(id, &shared.media_url) {
        Ok(result) => Json(result).into_response(),
        Err(Failure { status, body }) => {
            let kind = body["error_type"].as_str().unwrap_or("value_error").to_owned();
            (status, [("x-fal-error-type", kind)], Json(body)).into_response()
        }
    }
}

/// The CDN asks for no key.
async fn file(State(shared): State<Arc<Shared>>, Path(file): Path<String>) -> Response {
    let (name, _) = file.rsplit_once('.').unwrap_or((&file, ""));
    let (id, n) = name.rsplit_once('-').unwrap_or((name, ""));
    let asked = {
        let mut state = shared.state();
        state.counts.downloads += 1;
        state.runs.get(id).zip(n.parse::<u64>().ok()).map(|(run, n)| {
            let (width, height) = run.size;
            let size = (u32::from(width), u32::from(height));
            (run.prompt().to_owned(), run.seed(id).wrapping_add(n), size, run.ending().to_owned())
        })
    };
    let Some((prompt, seed, size, ending)) = asked else { return StatusCode::NOT_FOUND.into_response() };
    // Drawing takes a while, and others are served by the same thread.
    let drawn = tokio::task::spawn_blocking(move || picture::file(&prompt, seed, size, &ending)).await;
    match drawn {
        Ok(Ok(Some((bytes, media_type)))) => ([(header::CONTENT_TYPE, media_type)], bytes).into_response(),
        Ok(Ok(None)) => StatusCode::NOT_FOUND.into_response(),
        Ok(Err(error)) => (StatusCode::INTERNAL_SERVER_ERROR, error.to_string()).into_response(),
        Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, error.to_string()).into_response(),
    }
}
