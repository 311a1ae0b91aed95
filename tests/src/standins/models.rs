//! Stand-ins of end points that speak the chat protocol of `OpenAI` each in its own way. What a vendor refuses, how it answers and how
//! it fails is a file in `models/`, written after its documents: vLLM, llama.cpp, Ollama, `LiteLLM`, `DeepSeek`, Mistral.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex},
};

use anyhow::Context as _;
use axum::{
    Router,
    extract::State,
    http::{HeaderMap, StatusCode, header},
    response::{IntoResponse, Response},
    routing::post,
};
use serde::Deserialize;
use serde_json::Value;

use super::{fault::Front, lock};

/// The vendors, and the file of each.
const VENDORS: [(&str, &str); 6] = [
    ("vllm", include_str!("models/vllm.json")),
    ("llamacpp", include_str!("models/llamacpp.json")),
    ("ollama", include_str!("models/ollama.json")),
    ("litellm", include_str!("models/litellm.json")),
    ("deepseek", include_str!("models/deepseek.json")),
    ("mistral", include_str!("models/mistral.json")),
];

/// What one vendor does.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Vendor {
    /// Which documents.
    pub follows: String,
    /// What it refuses in a request.
    pub refuses: Vec<Refusal>,
    /// How it says the same answer. A list is a stream of events, a text a body as it is; `$TEXT` and `$MODEL` are filled in.
    pub answers: Vec<Value>,
    /// How it fails.
    pub errors: Vec<Failure>,
}

/// A refusal of a request that has this field, or asks for this form of the answer.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Refusal {
    field: Option<String>,
    form: Option<String>,
    status: u16,
    body: Value,
}

/// A failure, and what is to follow from it.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Failure {
    /// Status of the answer.
    pub status: u16,
    /// Its body: JSON, or a text as it is.
    pub body: Value,
    /// The code of the error that it is to become.
    pub code: String,
    /// Words that the error is to hold.
    pub words: String,
}

/// The names of the vendors.
pub fn vendors() -> impl Iterator<Item = &'static str> {
    VENDORS.iter().map(|(name, _)| *name)
}

impl Vendor {
    /// The vendor of this name.
    ///
    /// # Errors
    /// When there is none, or its file is damaged.
    pub fn named(name: &str) -> anyhow::Result<Self> {
        let file = VENDORS.iter().find(|(known, _)| *known == name).context("no such vendor")?;
        serde_json::from_str(file.1).with_context(|| format!("models/{name}.json"))
    }
}

/// A running end point; ends when it is dropped.
#[derive(Debug)]
pub struct EndPoint {
    shared: Arc<Shared>,
    front: Front,
}

#[derive(Debug)]
struct Shared {
    vendor: Vendor,
    text: String,
    next: Mutex<VecDeque<Planned>>,
    requests: Mutex<Vec<Value>>,
}

#[derive(Debug)]
enum Planned {
    Answer(usize),
    Fail(usize),
}

impl EndPoint {
    /// Starts it on a free port of loopback. Its answers hold `text`, the first of them until told otherwise.
    ///
    /// # Errors
    /// When no port can be bound.
    pub async fn start(vendor: Vendor, text: &str) -> anyhow::Result<Self> {
        let (next, requests) = (Mutex::default(), Mutex::default());
        let shared = Arc::new(Shared { vendor, text: text.to_owned(), next, requests });
        let routes = Router::new().route("/v1/chat/completions", post(chat)).with_state(Arc::clone(&shared));
        Ok(Self { shared, front: Front::start(0, routes).await? })
    }

    /// What belongs into `OPENAI_FALLBACK_BASE_URL`.
    #[must_use]
    pub fn url(&self) -> String {
        format!("{}/v1", self.front.url())
    }

    /// Gives the answer of this number to the next request that it takes.
    pub fn next_answer(&self, number: usize) {
        lock(&self.shared.next).push_back(Planned::Answer(number));
    }

    /// Fails the next request that it takes, in the way of this number.
    pub fn next_failure(&self, number: usize) {
        lock(&self.shared.next).push_back(Planned::Fail(number));
    }

    /// All requests, refused ones included.
    #[must_use]
    pub fn requests(&self) -> Vec<Value> {
        lock(&self.shared.requests).clone()
    }
}

async fn chat(State(shared): State<Arc<Shared>>, headers: HeaderMap, body: String) -> Response {
    let request: Value = serde_json::from_str(&body).unwrap_or_default();
    lock(&shared.requests).push(request.clone());
    if !headers.contains_key(header::AUTHORIZATION) || request["messages"].as_array().is_none_or(Vec::is_empty) {
        return StatusCode::BAD_REQUEST.into_response();
    }
    for Refusal { field, form, status, body } in &shared.vendor.refuses {
        let has_field = field.as_ref().is_some_and(|field| !request[field].is_null());
        let has_form = form.as_ref().is_some_and(|form| request["response_format"]["type"] == form.as_str());
        if has_field || has_form {
            return reply(*status, body);
        }
    }
    match lock(&shared.next).pop_front() {
        Some(Planned::Fail(number)) => {
            let failure = &shared.vendor.errors[number];
            reply(failure.status, &failure.body)
        }
        Some(Planned::Answer(number)) => answer(&shared, &request, number),
        None => answer(&shared, &request, 0),
    }
}

fn answer(shared: &Shared, request: &Value, number: usize) -> Response {
    let quoted = Value::from(shared.text.as_str()).to_string();
    let model = request["model"].as_str().unwrap_or_default();
    let fill = |template: &str| {
        // Within a string of JSON stands what is between the quotes.
        template.replace("$JSON_TEXT", &quoted).replace("$TEXT", &quoted[1..quoted.len() - 1]).replace("$MODEL", model)
    };
    match &shared.vendor.answers[number] {
        Value::Array(events) => {
            let events = events.iter().map(|event| format!("data: {}\n\n", fill(&event.to_string())));
            let stream = format!(": keep-alive\n\n{}data: [DONE]\n\n", events.collect::<String>());
            ([(header::CONTENT_TYPE, "text/event-stream")], stream).into_response()
        }
        Value::String(body) => json(fill(body)),
        body => json(fill(&body.to_string())),
    }
}

fn json(body: String) -> Response {
    ([(header::CONTENT_TYPE, "application/json")], body).into_response()
}

fn reply(status: u16, body: &Value) -> Response {
    let status = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    match body {
        Value::String(text) => (status, text.clone()).into_response(),
        body => (status, json(body.to_string())).into_response(),
    }
}
