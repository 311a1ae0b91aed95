//! A stand-in of fal.ai's queue with the model `fal-ai/flux-pro/v1.1`: submit, status, result, cancel, and the picture itself.
//!
//! A status is `IN_QUEUE` once, `IN_PROGRESS` once, then `COMPLETED`. A prompt with the word `forbidden` completes and its result is 422
//! `content_policy_violation`; one with `nsfw` gives a picture that is marked. Webhooks are not built.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
};

use axum::{
    Json, Router,
    body::Bytes,
    extract::{Path, State},
    http::{HeaderMap, StatusCode, header},
    response::{IntoResponse, Response},
    routing::{get, post, put},
};
use serde_json::{Value, json};

use super::{
    fault::{About, Faults, Front},
    is_json, lock, text,
};

/// The model that it knows.
pub const MODEL: &str = "fal-ai/flux-pro/v1.1";
const SIZES: [(&str, u16, u16); 6] = [
    ("square_hd", 1024, 1024),
    ("square", 512, 512),
    ("portrait_4_3", 768, 1024),
    ("portrait_16_9", 576, 1024),
    ("landscape_4_3", 1024, 768),
    ("landscape_16_9", 1024, 576),
];

/// The running stand-in; ends when it is dropped.
#[derive(Debug)]
pub struct Fal {
    front: Front,
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    url: String,
    key: String,
    runs: Mutex<BTreeMap<String, Run>>,
}

#[derive(Debug)]
struct Run {
    input: Value,
    size: (u16, u16),
    n_asked: usize,
    cancelled: bool,
}

impl Fal {
    /// Starts it on a port (0 is a free one). It knows one key, `id:secret`.
    ///
    /// # Errors
    /// When the port cannot be bound.
    pub async fn start(port: u16, key: &str) -> anyhow::Result<Self> {
        let listener = std::net::TcpListener::bind(("127.0.0.1", port))?;
        let url = format!("http://{}", listener.local_addr()?);
        let shared = Arc::new(Shared { url, key: key.to_owned(), runs: Mutex::default() });
        let routes = Router::new()
            .route(&format!("/{MODEL}"), post(submit))
            .route("/fal-ai/flux-pro/requests/{id}/status", get(status))
            .route("/fal-ai/flux-pro/requests/{id}/cancel", put(cancel))
            .route("/fal-ai/flux-pro/requests/{id}", get(result))
            .route("/files/{file}", get(picture))
            .fallback(unknown)
            .with_state(Arc::clone(&shared));
        Ok(Self { front: Front::on(listener, routes)?, shared })
    }

    /// What belongs into `FAL_BASE_URL`: the queue.
    #[must_use]
    pub fn url(&self) -> &str {
        &self.shared.url
    }

    /// Fails whole requests, and counts them. Good submits are counted by prompt: [`Faults::n_answered`].
    #[must_use]
    pub fn faults(&self) -> &Faults {
        self.front.faults()
    }

    /// How many runs were accepted (and would be billed), whether the answer arrived or not.
    #[must_use]
    pub fn n_submitted(&self) -> usize {
        lock(&self.shared.runs).len()
    }
}

impl Shared {
    fn refusal(&self, headers: &HeaderMap) -> Option<Response> {
        if text(headers, header::AUTHORIZATION.as_str()).strip_prefix("Key ") == Some(&self.key) {
            return None;
        }
        Some(refuse(StatusCode::UNAUTHORIZED, "authorization_error", "Cannot access application: no valid key"))
    }

    fn addresses(&self, id: &str) -> Value {
        let run = format!("{}/fal-ai/flux-pro/requests/{id}", self.url);
        json!({ "request_id": id, "gateway_request_id": id, "response_url": run, "status_url": format!("{run}/status"),
            "cancel_url": format!("{run}/cancel") })
    }
}

/// An error of the queue itself.
fn refuse(status: StatusCode, kind: &'static str, detail: &str) -> Response {
    (status, [("x-fal-error-type", kind)], Json(json!({ "detail": detail, "error_type": kind }))).into_response()
}

/// An error of the model's input, or of the run.
fn invalid(field: &str, kind: &str, message: &str) -> Response {
    let detail = json!([{ "loc": ["body", field], "msg": message, "type": kind }]);
    (StatusCode::UNPROCESSABLE_ENTITY, Json(json!({ "detail": detail }))).into_response()
}

async fn unknown() -> Response {
    refuse(StatusCode::NOT_FOUND, "not_found", "Application not found")
}

async fn submit(State(shared): State<Arc<Shared>>, headers: HeaderMap, body: Bytes) -> Response {
    if let Some(refusal) = shared.refusal(&headers) {
        return refusal;
    }
    let input: Value = match serde_json::from_slice(&body) {
        Ok(input) if is_json(&headers) => input,
        _ => return invalid("", "json_invalid", "JSON decode error"),
    };
    let size = match check(&input) {
        Ok(size) => size,
        Err(field) => return invalid(field, "value_error", "Field required, or not one of the values that it takes"),
    };
    let prompt = input["prompt"].as_str().unwrap_or_default().to_owned();
    let id = {
        let mut runs = lock(&shared.runs);
        let id = format!("{:08x}-0000-4000-8000-000000000000", runs.len() + 1);
        runs.insert(id.clone(), Run { input, size, n_asked: 0, cancelled: false });
        id
    };
    let mut answer = shared.addresses(&id);
    (answer["status"], answer["queue_position"]) = (json!("IN_QUEUE"), json!(0));
    let mut response = ([("x-fal-request-id", id)], Json(answer)).into_response();
    response.extensions_mut().insert(About(prompt));
    response
}

/// The picture's size, or the field that is wrong.
fn check(input: &Value) -> Result<(u16, u16), &'static str> {
    let known = [
        "prompt",
        "image_size",
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

async fn status(State(shared): State<Arc<Shared>>, headers: HeaderMap, Path(id): Path<String>) -> Response {
    if let Some(refusal) = shared.refusal(&headers) {
        return refusal;
    }
    let mut runs = lock(&shared.runs);
    let Some(run) = runs.get_mut(&id) else { return no_run() };
    run.n_asked += 1;
    let (code, name) = match run.n_asked {
        1 => (StatusCode::ACCEPTED, "IN_QUEUE"),
        2 => (StatusCode::ACCEPTED, "IN_PROGRESS"),
        _ => (StatusCode::OK, "COMPLETED"),
    };
    let mut answer = shared.addresses(&id);
    answer["status"] = json!(name);
    if name == "IN_QUEUE" {
        answer["queue_position"] = json!(0);
    }
    (code, Json(answer)).into_response()
}

fn no_run() -> Response {
    refuse(StatusCode::NOT_FOUND, "not_found", "Request not found")
}

async fn cancel(State(shared): State<Arc<Shared>>, headers: HeaderMap, Path(id): Path<String>) -> Response {
    if let Some(refusal) = shared.refusal(&headers) {
        return refusal;
    }
    match lock(&shared.runs).get_mut(&id) {
        Some(run) => run.cancelled = true,
        None => return no_run(),
    }
    (StatusCode::ACCEPTED, Json(json!({ "status": "CANCELLATION_REQUESTED" }))).into_response()
}

async fn result(State(shared): State<Arc<Shared>>, headers: HeaderMap, Path(id): Path<String>) -> Response {
    if let Some(refusal) = shared.refusal(&headers) {
        return refusal;
    }
    let runs = lock(&shared.runs);
    let Some(run) = runs.get(&id) else { return no_run() };
    if run.n_asked < 3 {
        return refuse(StatusCode::BAD_REQUEST, "in_progress", "Request is still in progress");
    }
    let prompt = run.input["prompt"].as_str().unwrap_or_default();
    if run.cancelled {
        return refuse(StatusCode::BAD_REQUEST, "cancelled", "Request was cancelled");
    }
    if prompt.contains("forbidden") {
        return invalid(
            "prompt",
            "content_policy_violation",
            "The content could not be processed because it was flagged",
        );
    }
    let ending = run.input["output_format"].as_str().unwrap_or("jpeg");
    let (width, height) = run.size;
    let n_images = run.input["num_images"].as_u64().unwrap_or(1);
    let image = |n: u64| {
        json!({ "url": format!("{}/files/{id}-{n}.{ending}", shared.url), "width": width, "height": height,
            "content_type": format!("image/{ending}") })
    };
    let seed = run.input["seed"].as_u64().unwrap_or(42);
    let marks = vec![prompt.contains("nsfw"); usize::try_from(n_images).unwrap_or(1)];
    Json(json!({ "images": (0..n_images).map(image).collect::<Vec<_>>(), "has_nsfw_concepts": marks, "prompt": prompt,
        "seed": seed, "timings": { "inference": 1.2 } }))
    .into_response()
}

/// The CDN asks for no key.
async fn picture(State(shared): State<Arc<Shared>>, Path(file): Path<String>) -> Response {
    let (name, ending) = file.rsplit_once('.').unwrap_or((&file, ""));
    let id = name.rsplit_once('-').map_or(name, |(id, _)| id);
    let Some(size) = lock(&shared.runs).get(id).map(|run| run.size) else {
        return StatusCode::NOT_FOUND.into_response();
    };
    let bytes = if ending == "png" { png(size) } else { jpeg(size) };
    ([(header::CONTENT_TYPE, format!("image/{ending}"))], bytes).into_response()
}

/// One grey picture. Both Huffman tables have one code, `0`: no change of brightness, and the end of the block.
fn jpeg((width, height): (u16, u16)) -> Vec<u8> {
    let n_blocks = usize::from(width.div_ceil(8)) * usize::from(height.div_ceil(8));
    let one_code = |class: u8| [&[0xff, 0xc4, 0, 20, class, 1][..], &[0; 15], &[0]].concat();
    let (w, h) = (width.to_be_bytes(), height.to_be_bytes());
    let mut bytes = vec![0xff, 0xd8, 0xff, 0xdb, 0, 67, 0];
    bytes.extend([1; 64]);
    bytes.extend([0xff, 0xc0, 0, 11, 8, h[0], h[1], w[0], w[1], 1, 1, 0x11, 0]);
    bytes.extend(one_code(0x00));
    bytes.extend(one_code(0x10));
    bytes.extend([0xff, 0xda, 0, 8, 1, 1, 0, 0, 63, 0]);
    bytes.extend(vec![0; (n_blocks * 2) / 8]);
    let left = (n_blocks * 2) % 8;
    if left > 0 {
        bytes.push(0xff >> left);
    }
    bytes.extend([0xff, 0xd9]);
    bytes
}

/// One white picture of one bit a pixel, in blocks that are stored as they are.
fn png((width, height): (u16, u16)) -> Vec<u8> {
    let row = [vec![0], vec![0xff; usize::from(width.div_ceil(8))]].concat();
    let pixels = row.repeat(usize::from(height));
    let blocks: Vec<&[u8]> = pixels.chunks(0xffff).collect();
    let mut data = vec![0x78, 0x01];
    for (n, block) in blocks.iter().enumerate() {
        let length = u16::try_from(block.len()).unwrap_or(u16::MAX);
        data.push(u8::from(n + 1 == blocks.len()));
        data.extend(length.to_le_bytes());
        data.extend((!length).to_le_bytes());
        data.extend(*block);
    }
    let (low, high) = pixels.iter().fold((1_u32, 0_u32), |(low, high), byte| {
        let low = (low + u32::from(*byte)) % 65_521;
        (low, (high + low) % 65_521)
    });
    data.extend(((high << 16) | low).to_be_bytes());

    let head = [&u32::from(width).to_be_bytes()[..], &u32::from(height).to_be_bytes(), &[1, 0, 0, 0, 0]].concat();
    let mut bytes = b"\x89PNG\r\n\x1a\n".to_vec();
    for (name, body) in [(b"IHDR", head), (b"IDAT", data), (b"IEND", Vec::new())] {
        let chunk = [&name[..], &body].concat();
        bytes.extend(u32::try_from(body.len()).unwrap_or_default().to_be_bytes());
        bytes.extend(&chunk);
        bytes.extend(crc32fast::hash(&chunk).to_be_bytes());
    }
    bytes
}
