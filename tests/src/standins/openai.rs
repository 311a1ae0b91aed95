//! A stand-in of `OpenAI`'s API: `POST /v1/responses` and `POST /v1/chat/completions` with structured output, and
//! `GET /v1/models/{id}`.
//!
//! It refuses what the real one refuses (key, model, a format that is no strict JSON schema), counts requests, and can be told
//! how to answer each of the next ones. Faults of the connection, and those that a person sets from outside, are in `fault.rs`.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use axum::{
    Json, Router,
    extract::{Path, State},
    http::{HeaderMap, StatusCode, header},
    response::{IntoResponse, Response},
    routing::{get, post},
};
use serde_json::{Value, json};

use super::fault::{About, Faults, Front};
use crate::Gate;

/// How one request for a text is answered, once key, model and format are good.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reply {
    /// 200 with texts made of the product's data.
    Good,
    /// 200 with these texts instead: the string of the output message.
    Text(String),
    /// 200 with JSON that leaves a required property out.
    SchemaBreaking,
    /// 200, `incomplete`: the text ends in the middle.
    Truncated,
    /// 200 with a refusal instead of a text.
    Refusal,
    /// 200 with a page of some proxy.
    NotJson,
    /// 429 `rate_limit_exceeded` with this `Retry-After`.
    RateLimited(&'static str),
    /// 429 `insufficient_quota`.
    OutOfQuota,
    /// 500 with a body that is not JSON.
    ServerError,
    /// 503 `server_is_overloaded` with this `Retry-After`.
    Overloaded(&'static str),
    /// This status and this body.
    Refuse {
        /// The status.
        status: u16,
        /// The body.
        body: &'static str,
    },
    /// Reads the request and never answers.
    Hang,
}

/// The running stand-in; ends when it is dropped.
#[derive(Debug)]
pub struct OpenAi {
    url: String,
    shared: Arc<Shared>,
    front: Front,
}

#[derive(Debug)]
struct Shared {
    key: String,
    models: Vec<String>,
    gate: Gate,
    state: Mutex<Remembered>,
}

#[derive(Debug)]
struct Remembered {
    next: VecDeque<Reply>,
    otherwise: Reply,
    requests: Vec<Value>,
}

impl OpenAi {
    /// Starts it on a free port of loopback. It knows one `key` and one `model`, and answers well until told otherwise.
    ///
    /// # Errors
    /// When no port can be bound.
    pub async fn start(key: &str, model: &str) -> anyhow::Result<Self> {
        Self::behind(Gate::opened(), key, model).await
    }

    /// The same, but answers wait at `gate`.
    ///
    /// # Errors
    /// When no port can be bound.
    pub async fn behind(gate: Gate, key: &str, model: &str) -> anyhow::Result<Self> {
        Self::on(0, gate, key, &[model]).await
    }

    /// The same on a given port (0 is a free one), with several models.
    ///
    /// # Errors
    /// When the port cannot be bound.
    pub async fn on(port: u16, gate: Gate, key: &str, models: &[&str]) -> anyhow::Result<Self> {
        let state = Mutex::new(Remembered { next: VecDeque::new(), otherwise: Reply::Good, requests: Vec::new() });
        let models = models.iter().map(|&model| model.to_owned()).collect();
        let shared = Arc::new(Shared { key: key.to_owned(), models, gate, state });
        let routes = Router::new()
            .route("/v1/responses", post(respond))
            .route("/v1/chat/completions", post(chat))
            .route("/v1/models/{id}", get(model_card))
            .with_state(Arc::clone(&shared));
        let front = Front::start(port, routes).await?;
        Ok(Self { url: format!("{}/v1", front.url()), shared, front })
    }

    /// What belongs into `OPENAI_BASE_URL`.
    #[must_use]
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Answers the next request like this, after those already told.
    pub fn next(&self, reply: Reply) {
        self.shared.state().next.push_back(reply);
    }

    /// Answers like this whenever nothing was told by [`OpenAi::next`].
    pub fn otherwise(&self, reply: Reply) {
        self.shared.state().otherwise = reply;
    }

    /// Fails whole requests, and counts them. Good texts are counted by the product's id: [`Faults::n_answered`].
    #[must_use]
    pub fn faults(&self) -> &Faults {
        self.front.faults()
    }

    /// How many requests for a text came, refused ones included; those that a fault of `fault.rs` hit before are not.
    #[must_use]
    pub fn n_requests(&self) -> usize {
        self.shared.state().requests.len()
    }

    /// The bodies of those requests; `null` for one that was not JSON.
    #[must_use]
    pub fn requests(&self) -> Vec<Value> {
        self.shared.state().requests.clone()
    }
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, Remembered> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn is_authorized(&self, headers: &HeaderMap) -> bool {
        let sent = headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
        sent == Some(&format!("Bearer {}", self.key))
    }
}

async fn respond(State(shared): State<Arc<Shared>>, headers: HeaderMap, body: String) -> Response {
    let request: Value = serde_json::from_str(&body).unwrap_or_default();
    shared.state().requests.push(request.clone());
    write(&shared, &headers, request).await
}

/// Chat completions: the same as [`respond`], said otherwise.
async fn chat(State(shared): State<Arc<Shared>>, headers: HeaderMap, body: String) -> Response {
    let request: Value = serde_json::from_str(&body).unwrap_or_default();
    shared.state().requests.push(request.clone());
    if let Err(fault) = check_chat(&request) {
        return refuse(StatusCode::BAD_REQUEST, "invalid_request_error", "invalid_value", &fault);
    }
    let mut format = request["response_format"]["json_schema"].clone();
    format["type"] = request["response_format"]["type"].clone();
    let same = json!({
        "model": request["model"], "instructions": request["messages"][0]["content"],
        "input": request["messages"][1]["content"], "text": { "format": format }, "metadata": { "protocol": "chat" },
    });
    write(&shared, &headers, same).await
}

fn check_chat(request: &Value) -> Result<(), String> {
    let known = ["model", "messages", "max_completion_tokens", "response_format"];
    let properties = request.as_object().ok_or("the body is no JSON object")?;
    if let Some(name) = properties.keys().find(|name| !known.contains(&name.as_str())) {
        return Err(format!("Unknown parameter: '{name}'"));
    }
    let roles: Vec<&Value> = request["messages"].as_array().into_iter().flatten().map(|it| &it["role"]).collect();
    if roles == ["system", "user"] { Ok(()) } else { Err(format!("'messages' are from {roles:?}")) }
}

async fn write(shared: &Shared, headers: &HeaderMap, request: Value) -> Response {
    if !shared.is_authorized(headers) {
        return refuse(
            StatusCode::UNAUTHORIZED,
            "invalid_request_error",
            "invalid_api_key",
            "Incorrect API key provided",
        );
    }
    if !shared.models.iter().any(|model| request["model"] == model.as_str()) {
        return refuse(StatusCode::NOT_FOUND, "invalid_request_error", "model_not_found", "The model does not exist");
    }
    if let Err(fault) = check(&request) {
        return refuse(StatusCode::BAD_REQUEST, "invalid_request_error", "invalid_value", &fault);
    }
    let reply = {
        let mut state = shared.state();
        state.next.pop_front().unwrap_or_else(|| state.otherwise.clone())
    };
    shared.gate.pass().await;
    let is_good = reply == Reply::Good;
    let mut response = answer(reply, &request).await;
    if let Some(product) = product(&request)["product_id"].as_str().filter(|_| is_good) {
        response.extensions_mut().insert(About(product.to_owned()));
    }
    response
}

async fn model_card(State(shared): State<Arc<Shared>>, headers: HeaderMap, Path(id): Path<String>) -> Response {
    if !shared.is_authorized(&headers) {
        return refuse(
            StatusCode::UNAUTHORIZED,
            "invalid_request_error",
            "invalid_api_key",
            "Incorrect API key provided",
        );
    }
    if !shared.models.contains(&id) {
        return refuse(StatusCode::NOT_FOUND, "invalid_request_error", "model_not_found", "The model does not exist");
    }
    Json(json!({ "id": id, "object": "model", "created": 1_790_000_000, "owned_by": "system", "shutdown_date": null }))
        .into_response()
}

async fn answer(reply: Reply, request: &Value) -> Response {
    match reply {
        Reply::Good => completed(request, &texts(request).to_string()),
        Reply::Text(text) => completed(request, &text),
        Reply::SchemaBreaking => {
            let mut texts = texts(request);
            if let Some(properties) = texts.as_object_mut() {
                properties.remove("meta_description");
            }
            completed(request, &texts.to_string())
        }
        Reply::Truncated => {
            let text: String = texts(request).to_string().chars().take(120).collect();
            let part = json!({ "type": "output_text", "text": text, "annotations": [] });
            reply_body(request, "incomplete", &json!({ "reason": "max_output_tokens" }), &part)
        }
        Reply::Refusal => {
            let part = json!({ "type": "refusal", "refusal": "I'm sorry, but I can't help with that." });
            reply_body(request, "completed", &Value::Null, &part)
        }
        Reply::NotJson => "<html><body>please log in to the proxy</body></html>".into_response(),
        Reply::RateLimited(wait) => {
            let refusal = refuse(
                StatusCode::TOO_MANY_REQUESTS,
                "requests",
                "rate_limit_exceeded",
                "Rate limit reached for requests",
            );
            ([(header::RETRY_AFTER, wait)], refusal).into_response()
        }
        Reply::OutOfQuota => refuse(
            StatusCode::TOO_MANY_REQUESTS,
            "insufficient_quota",
            "insufficient_quota",
            "You exceeded your current quota, please check your plan and billing details",
        ),
        Reply::ServerError => (StatusCode::INTERNAL_SERVER_ERROR, "upstream connect error").into_response(),
        Reply::Overloaded(wait) => {
            let refusal = refuse(
                StatusCode::SERVICE_UNAVAILABLE,
                "service_unavailable_error",
                "server_is_overloaded",
                "Our servers are currently overloaded",
            );
            ([(header::RETRY_AFTER, wait)], refusal).into_response()
        }
        Reply::Refuse { status, body } => {
            let status = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
            (status, body).into_response()
        }
        Reply::Hang => std::future::pending().await,
    }
}

fn refuse(status: StatusCode, kind: &str, code: &str, message: &str) -> Response {
    let body = json!({ "error": { "message": message, "type": kind, "param": null, "code": code } });
    (status, [("x-request-id", "req_standin")], Json(body)).into_response()
}

fn completed(request: &Value, text: &str) -> Response {
    let part = json!({ "type": "output_text", "text": text, "annotations": [] });
    reply_body(request, "completed", &Value::Null, &part)
}

/// A reply with a reasoning item before the message, and values that no client of today knows.
fn reply_body(request: &Value, status: &str, incomplete_details: &Value, part: &Value) -> Response {
    if request["metadata"]["protocol"] == "chat" {
        return chat_body(request, incomplete_details.is_null(), part);
    }
    let body = json!({
        "id": "resp_standin", "object": "response", "created_at": 1_790_000_000, "status": status, "error": null,
        "incomplete_details": incomplete_details, "model": request["model"], "service_tier": "brand_new_tier",
        "output": [
            { "type": "reasoning", "id": "rs_1", "summary": [] },
            { "type": "message", "id": "msg_1", "status": status, "role": "assistant", "content": [part] },
        ],
        "usage": { "input_tokens": 400, "output_tokens": 600, "total_tokens": 1000 },
    });
    ([("x-request-id", "req_standin")], Json(body)).into_response()
}

fn chat_body(request: &Value, complete: bool, part: &Value) -> Response {
    let body = json!({
        "id": "chatcmpl_standin", "object": "chat.completion", "created": 1_790_000_000, "model": request["model"],
        "service_tier": "brand_new_tier",
        "choices": [{
            "index": 0, "finish_reason": if complete { "stop" } else { "length" },
            "message": { "role": "assistant", "content": part["text"], "refusal": part["refusal"] },
        }],
        "usage": { "prompt_tokens": 400, "completion_tokens": 600, "total_tokens": 1000 },
    });
    ([("x-request-id", "req_standin")], Json(body)).into_response()
}

/// What the API says of a request with structured output.
fn check(request: &Value) -> Result<(), String> {
    let known = ["model", "instructions", "input", "max_output_tokens", "reasoning", "text", "store", "metadata"];
    let properties = request.as_object().ok_or("the body is no JSON object")?;
    if let Some(name) = properties.keys().find(|name| !known.contains(&name.as_str())) {
        return Err(format!("Unknown parameter: '{name}'"));
    }
    if !request["input"].is_string() && !request["input"].is_array() {
        return Err("Missing required parameter: 'input'".to_owned());
    }
    let format = &request["text"]["format"];
    if format["type"] != "json_schema" || format["strict"] != true || !format["name"].is_string() {
        return Err("'text.format' is no strict json_schema with a name".to_owned());
    }
    check_schema(&format["schema"])
}

/// Strict mode: every object closes itself and requires all its properties.
fn check_schema(schema: &Value) -> Result<(), String> {
    match schema["type"].as_str() {
        Some("string" | "number" | "integer" | "boolean") => Ok(()),
        Some("array") => check_schema(&schema["items"]),
        Some("object") => {
            let properties = schema["properties"].as_object().ok_or("an object has no properties")?;
            let required = schema["required"].as_array().ok_or("'required' is missing")?;
            if schema["additionalProperties"] != false {
                return Err("'additionalProperties' is required to be supplied and to be false".to_owned());
            }
            if let Some(name) = properties.keys().find(|name| !required.contains(&json!(name))) {
                return Err(format!("'required' is missing '{name}'"));
            }
            properties.values().try_for_each(check_schema)
        }
        _ => Err("a schema has no type".to_owned()),
    }
}

/// The product in the request's input.
fn product(request: &Value) -> Value {
    request["input"].as_str().and_then(|input| serde_json::from_str(input).ok()).unwrap_or_default()
}

/// Texts for the product in the request's input, in the language that the schema asks for.
fn texts(request: &Value) -> Value {
    let product = product(request);
    let name = product["name"].as_str().unwrap_or("?");
    let language = &request["text"]["format"]["schema"]["properties"]["language"]["enum"][0];
    let short_name: String = name.chars().take(40).collect();
    json!({
        "title": name,
        "short_description": "<p>Written by a model.</p>",
        "long_description": "<h2>About</h2><p>Written by a <strong>model</strong>, at length.</p>",
        "bullets": ["One", "Two", "Three"],
        "seo_title": short_name,
        "meta_description": format!("{short_name}, written by a model."),
        "keywords": ["model", "text"],
        "faq": [{ "question": "Who wrote this?", "answer": "A model." }],
        "language": language,
    })
}
