//! Stand-ins of what scraping needs: competitors' pages, and ScraperAPI and Bright Data, which fetch the target for us.
//!
//! The two relays fetch only from loopback, so that a test cannot leave the machine.

use std::{
    fs,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
};

use axum::{
    Json, Router,
    body::Bytes,
    extract::State,
    http::{HeaderMap, StatusCode, Uri, header},
    response::{Html, IntoResponse, Response},
    routing::{get, post},
};
use chrono::{DateTime, Utc};
use reqwest::Client;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use url::Url;

use super::{
    fault::{About, Faults, Front},
    is_json, lock, pairs, text, value,
};
use crate::example;

/// The pages of `examples/shops` behind faults; `crate::Shop` is the one with a gate. Ends when it is dropped.
#[derive(Debug)]
pub struct Pages {
    front: Front,
    not_modified: Arc<AtomicUsize>,
}

impl Pages {
    /// Starts it on a port; 0 is a free one.
    ///
    /// # Errors
    /// When the port cannot be bound.
    pub async fn start(port: u16) -> anyhow::Result<Self> {
        let not_modified = Arc::new(AtomicUsize::new(0));
        let routes = Router::new().fallback(page).with_state(Arc::clone(&not_modified));
        Ok(Self { front: Front::start(port, routes).await?, not_modified })
    }

    /// `http://127.0.0.1:PORT`.
    #[must_use]
    pub fn url(&self) -> String {
        self.front.url()
    }

    /// Fails whole requests, and counts them.
    #[must_use]
    pub fn faults(&self) -> &Faults {
        self.front.faults()
    }

    /// How often it answered that a page has not changed.
    #[must_use]
    pub fn n_not_modified(&self) -> usize {
        self.not_modified.load(Ordering::SeqCst)
    }
}

async fn page(State(not_modified): State<Arc<AtomicUsize>>, uri: Uri, headers: HeaderMap) -> Response {
    let name = uri.path().trim_start_matches('/');
    let is_plain = name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'.');
    let path = example("shops").join(name);
    let modified = fs::metadata(&path).and_then(|file| file.modified()).map(DateTime::from).unwrap_or_default();
    match fs::read_to_string(path) {
        Ok(html) if is_plain => {
            let response = if_changed(&headers, html, modified);
            not_modified.fetch_add(usize::from(response.status() == StatusCode::NOT_MODIFIED), Ordering::SeqCst);
            response
        }
        _ => StatusCode::NOT_FOUND.into_response(),
    }
}

/// A page with a weak tag of its content and the time of its last change; 304 to whoever has it already (RFC 9110, 13.2.2).
#[must_use]
pub fn if_changed(asked: &HeaderMap, html: String, modified: DateTime<Utc>) -> Response {
    let opaque = |tag: &str| tag.trim().trim_start_matches("W/").to_owned();
    let hash = Sha256::digest(&html);
    let tag = format!("\"{:02x}{:02x}{:02x}{:02x}\"", hash[0], hash[1], hash[2], hash[3]);
    let tags = text(asked, header::IF_NONE_MATCH.as_str());
    let has_it = if tags.is_empty() {
        let since = DateTime::parse_from_rfc2822(text(asked, header::IF_MODIFIED_SINCE.as_str())).ok();
        since.is_some_and(|since| modified.timestamp() <= since.timestamp())
    } else {
        tags == "*" || tags.split(',').any(|known| opaque(known) == tag)
    };
    let validators = [
        (header::ETAG, format!("W/{tag}")),
        (header::LAST_MODIFIED, modified.format("%a, %d %b %Y %H:%M:%S GMT").to_string()),
    ];
    if has_it {
        return (StatusCode::NOT_MODIFIED, validators).into_response();
    }
    (validators, Html(html)).into_response()
}

/// ScraperAPI with an account that has so many credits; ends when it is dropped.
#[derive(Debug)]
pub struct ScraperApi {
    front: Front,
    account: Arc<Account>,
}

#[derive(Debug)]
struct Account {
    key: String,
    client: Client,
    /// What is left, and what was spent.
    credits: Mutex<(u64, u64)>,
}

impl ScraperApi {
    /// Starts it on a port; 0 is a free one.
    ///
    /// # Errors
    /// When the port cannot be bound.
    pub async fn start(port: u16, key: &str, credits: u64) -> anyhow::Result<Self> {
        let account =
            Arc::new(Account { key: key.to_owned(), client: crate::client(), credits: Mutex::new((credits, 0)) });
        let routes =
            Router::new().route("/", get(scrape)).route("/account", get(show_account)).with_state(Arc::clone(&account));
        Ok(Self { front: Front::start(port, routes).await?, account })
    }

    /// What belongs into `SCRAPERAPI_BASE_URL`.
    #[must_use]
    pub fn url(&self) -> String {
        self.front.url()
    }

    /// Fails whole requests, and counts them. Good answers are counted by target: [`Faults::n_answered`].
    #[must_use]
    pub fn faults(&self) -> &Faults {
        self.front.faults()
    }

    /// How many credits were spent.
    #[must_use]
    pub fn spent(&self) -> u64 {
        lock(&self.account.credits).1
    }
}

/// A target on loopback.
fn target(url: Option<&str>) -> Option<Url> {
    let url = Url::parse(url?).ok()?;
    let is_ours = matches!(url.host_str(), Some("127.0.0.1" | "localhost")) && url.scheme() == "http";
    is_ours.then_some(url)
}

async fn scrape(State(account): State<Arc<Account>>, uri: Uri) -> Response {
    let pairs = pairs(&uri);
    let given = |name: &str| value(&pairs, name);
    if given("api_key") != Some(&account.key) {
        return (StatusCode::FORBIDDEN, "Unauthorized request, please make sure your API key is valid.")
            .into_response();
    }
    let Some(target) = target(given("url")) else {
        return (StatusCode::BAD_REQUEST, "The url parameter is missing or cannot be used here.").into_response();
    };
    let is = |name: &str| given(name) == Some("true");
    if is("premium") && is("ultra_premium") {
        return (StatusCode::BAD_REQUEST, "premium and ultra_premium cannot be used together.").into_response();
    }
    let cost = match (is("render"), is("premium"), is("ultra_premium")) {
        (false, false, false) => 1,
        (true, false, false) | (false, true, _) => 10,
        (true, true, _) => 25,
        (false, false, true) => 30,
        (true, false, true) => 75,
    };
    if given("max_cost").and_then(|most| most.parse::<u64>().ok()).is_some_and(|most| cost > most) {
        let message = "This request exceeds your max_cost. You can view the cost per request in your response headers.";
        return (StatusCode::FORBIDDEN, message).into_response();
    }
    if lock(&account.credits).0 < cost {
        return (StatusCode::FORBIDDEN, "You have exhausted the API credits available in this cycle.").into_response();
    }
    let fetched = account.client.get(target.clone()).send().await;
    let Ok(answer) = fetched else {
        let message = "Request failed. You will not be charged for this request.";
        return (StatusCode::INTERNAL_SERVER_ERROR, message).into_response();
    };
    let status = answer.status();
    if !(status.is_success() || status == StatusCode::NOT_FOUND) {
        let message = "Request failed. You will not be charged for this request.";
        return (StatusCode::INTERNAL_SERVER_ERROR, [("sa-statuscode", status.as_str().to_owned())], message)
            .into_response();
    }
    let html = answer.text().await.unwrap_or_default();
    {
        let mut credits = lock(&account.credits);
        *credits = (credits.0.saturating_sub(cost), credits.1 + cost);
    }
    let headers = [
        ("sa-final-url", target.to_string()),
        ("sa-statuscode", status.as_str().to_owned()),
        ("sa-credit-cost", cost.to_string()),
    ];
    let mut response = (status, headers, Html(html)).into_response();
    response.extensions_mut().insert(About(target.to_string()));
    response
}

async fn show_account(State(account): State<Arc<Account>>, uri: Uri) -> Response {
    if value(&pairs(&uri), "api_key") != Some(&account.key) {
        return (StatusCode::FORBIDDEN, Json(json!({ "error": "invalid API key" }))).into_response();
    }
    let (left, spent) = *lock(&account.credits);
    Json(json!({ "requestCount": spent, "requestLimit": left + spent, "failedRequestCount": 0, "concurrencyLimit": 20,
        "concurrentRequests": 0 }))
    .into_response()
}

/// Bright Data's Web Unlocker with one zone; ends when it is dropped.
#[derive(Debug)]
pub struct BrightData {
    front: Front,
    unlocker: Arc<Unlocker>,
}

#[derive(Debug)]
struct Unlocker {
    key: String,
    zone: String,
    client: Client,
    error: Mutex<Option<(String, String)>>,
}

impl BrightData {
    /// Starts it on a port; 0 is a free one.
    ///
    /// # Errors
    /// When the port cannot be bound.
    pub async fn start(port: u16, key: &str, zone: &str) -> anyhow::Result<Self> {
        let (key, zone) = (key.to_owned(), zone.to_owned());
        let unlocker = Arc::new(Unlocker { key, zone, client: crate::client(), error: Mutex::default() });
        let routes = Router::new()
            .route("/request", post(unlock))
            .route("/zone/get_all_zones", get(zones))
            .with_state(Arc::clone(&unlocker));
        Ok(Self { front: Front::start(port, routes).await?, unlocker })
    }

    /// What belongs into `BRIGHT_DATA_BASE_URL`.
    #[must_use]
    pub fn url(&self) -> String {
        self.front.url()
    }

    /// Fails whole requests, and counts them. Good answers are counted by target: [`Faults::n_answered`].
    #[must_use]
    pub fn faults(&self) -> &Faults {
        self.front.faults()
    }

    /// Answers the next request with 200, an empty body and this error in the headers, as the real one does: `client_10100`, …
    pub fn fail_next(&self, code: &str, message: &str) {
        *lock(&self.unlocker.error) = Some((code.to_owned(), message.to_owned()));
    }
}

fn in_headers(code: &str, message: &str) -> Response {
    [("x-brd-err-code", code.to_owned()), ("x-brd-err-msg", message.to_owned())].into_response()
}

async fn unlock(State(unlocker): State<Arc<Unlocker>>, headers: HeaderMap, body: Bytes) -> Response {
    if text(&headers, header::AUTHORIZATION.as_str()) != format!("Bearer {}", unlocker.key) {
        return (StatusCode::UNAUTHORIZED, "Invalid credentials").into_response();
    }
    let request: Value = serde_json::from_slice(&body).unwrap_or_default();
    let format = request["format"].as_str().unwrap_or_default();
    let Some(target) =
        target(request["url"].as_str()).filter(|_| is_json(&headers) && ["raw", "json"].contains(&format))
    else {
        return (StatusCode::BAD_REQUEST, Json(json!({ "error": "zone, url and format are required" })))
            .into_response();
    };
    if request["zone"] != unlocker.zone.as_str() {
        return (StatusCode::BAD_REQUEST, Json(json!({ "error": format!("zone {} not found", request["zone"]) })))
            .into_response();
    }
    if let Some((code, message)) = lock(&unlocker.error).take() {
        return in_headers(&code, &message);
    }
    let Ok(answer) = unlocker.client.get(target.clone()).send().await else {
        return in_headers("target_502", "the target does not answer");
    };
    let status = answer.status();
    let html = answer.text().await.unwrap_or_default();
    let mut response = match format {
        "json" => {
            Json(json!({ "status_code": status.as_u16(), "headers": { "content-type": "text/html" }, "body": html }))
                .into_response()
        }
        _ => (status, Html(html)).into_response(),
    };
    response.extensions_mut().insert(About(target.to_string()));
    response
}

async fn zones(State(unlocker): State<Arc<Unlocker>>, headers: HeaderMap) -> Response {
    if text(&headers, header::AUTHORIZATION.as_str()) != format!("Bearer {}", unlocker.key) {
        return (StatusCode::UNAUTHORIZED, "Invalid credentials").into_response();
    }
    Json(json!([{ "name": unlocker.zone, "type": "unblocker" }])).into_response()
}
