//! A stand-in of Shopify's Admin GraphQL API, as its schema of [`VERSION`] describes it: products with variants, options, pictures, stock,
//! translations and collections, and what publishes them.
//!
//! It reads documents whole and answers what they select, checks the token, its scopes, money as text, and the rules that the schema does
//! not show: `@idempotent`, `changeFromQuantity`, an identifier that is equal to its input. Lists that `productSet` is sent replace the old.
//!
//! Files: `document` reads, `answer` selects, `state` has what the shop is, `set` makes and replaces products, `change` changes parts of
//! them, `run` knows the fields of queries and mutations.

mod answer;
mod change;
mod document;
mod run;
mod set;
mod state;

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
    time::Instant,
};

use axum::{
    Json, Router,
    body::Bytes,
    extract::{Path, State},
    http::{HeaderMap, StatusCode},
    response::{IntoResponse, Response},
    routing::{post, put},
};
use serde_json::{Value, json};

use self::state::{Bucket, Stock};
use super::{
    fault::{About, Faults, Front},
    is_json, lock, text,
};

/// The version that it speaks.
pub const VERSION: &str = "2026-10";

/// The running stand-in; ends when it is dropped.
#[derive(Debug)]
pub struct Shopify {
    front: Front,
    shop: Arc<Shop>,
}

#[derive(Debug)]
struct Shop {
    state: Mutex<Stock>,
}

impl Shopify {
    /// Starts it on a port (0 is a free one). It knows one token, `shpat_…`.
    ///
    /// # Errors
    /// When the port cannot be bound.
    pub async fn start(port: u16, token: &str) -> anyhow::Result<Self> {
        let listener = std::net::TcpListener::bind(("127.0.0.1", port))?;
        let url = format!("http://{}", listener.local_addr()?);
        let shop = Arc::new(Shop { state: Mutex::new(Stock::new(url, token)) });
        let routes = Router::new()
            .route("/admin/api/{version}/graphql.json", post(graphql))
            .route("/admin/oauth/access_token", post(grant))
            .route("/_upload/{number}", put(upload))
            .with_state(Arc::clone(&shop));
        Ok(Self { front: Front::on(listener, routes)?, shop })
    }

    /// What belongs into `SHOPIFY_STORE_URL`.
    #[must_use]
    pub fn url(&self) -> String {
        self.front.url()
    }

    /// Fails whole requests, and counts them. Good writes of products are counted by handle: [`Faults::n_answered`].
    #[must_use]
    pub fn faults(&self) -> &Faults {
        self.front.faults()
    }

    /// Answers the next `n` requests with `THROTTLED`.
    pub fn throttle(&self, n: usize) {
        lock(&self.shop.state).n_throttled = n;
    }

    /// How often it answered `THROTTLED`.
    #[must_use]
    pub fn n_too_dear(&self) -> usize {
        lock(&self.shop.state).n_too_dear
    }

    /// From now on its bucket holds so many points, is full, and is filled by so many in a second.
    pub fn bucket(&self, most: f64, restored_per_s: f64) {
        lock(&self.shop.state).bucket = Bucket { most, has: most, restored_per_s, at: Instant::now() };
    }

    /// How often a product with this handle was created, whether the answer arrived or not.
    #[must_use]
    pub fn n_created(&self, handle: &str) -> usize {
        lock(&self.shop.state).created.get(handle).copied().unwrap_or(0)
    }

    /// How often `productSet` updated the product with this handle, whether the answer arrived or not.
    #[must_use]
    pub fn n_updated(&self, handle: &str) -> usize {
        lock(&self.shop.state).updated.get(handle).copied().unwrap_or(0)
    }

    /// The ids of the products that were published.
    #[must_use]
    pub fn published(&self) -> Vec<String> {
        lock(&self.shop.state).published.clone()
    }

    /// Takes the token of an app besides, which is given for these credentials.
    pub fn take_app(&self, client_id: &str, client_secret: &str) {
        lock(&self.shop.state).app = Some((client_id.to_owned(), client_secret.to_owned()));
    }

    /// No token that was given so far is taken any more.
    pub fn revoke(&self) {
        lock(&self.shop.state).tokens.clear();
    }

    /// What its app may do.
    pub fn allow(&self, scopes: &[&str]) {
        lock(&self.shop.state).scopes = scopes.iter().map(|scope| (*scope).to_owned()).collect();
    }

    /// The languages that it has, its own first.
    pub fn speak(&self, locales: &[&str]) {
        lock(&self.shop.state).locales = locales.iter().map(|locale| (*locale).to_owned()).collect();
    }

    /// Whether searches find only what was there before.
    pub fn lag(&self, is_lagging: bool) {
        let mut state = lock(&self.shop.state);
        state.is_lagging = is_lagging;
        if !is_lagging {
            state.index_all();
        }
    }

    /// Whether searches by SKU find all variants, whatever was asked.
    pub fn find_everything(&self, finds: bool) {
        lock(&self.shop.state).finds_everything = finds;
    }

    /// Pictures that are sent from now on are ready after having been looked at so often.
    pub fn picture_looks(&self, n: u64) {
        lock(&self.shop.state).picture_looks = n;
    }

    /// The next picture whose source has this in it cannot be made use of.
    pub fn fail_picture(&self, part: &str) {
        lock(&self.shop.state).failing.push(part.to_owned());
    }

    /// The next `n` calls with a key of idempotency say that the call with that key has failed before.
    pub fn fail_keys(&self, n: usize) {
        lock(&self.shop.state).n_failing_keys = n;
    }

    /// So many of an item are sold just before its stock is set the next time.
    pub fn sell_in_between(&self, n: i64) {
        lock(&self.shop.state).n_sold = n;
    }

    /// Carries the next creation out only when [`Shopify::land`] is called; it is answered with 504.
    pub fn create_late(&self) {
        lock(&self.shop.state).is_late = true;
    }

    /// Carries out what is late.
    pub fn land(&self) {
        lock(&self.shop.state).land();
    }

    /// A product of somebody else, active and with a variant for each SKU. Returns its id.
    pub fn plant(&self, title: &str, skus: &[&str]) -> String {
        lock(&self.shop.state).plant(title, skus)
    }

    /// What a person changes in the shop's pages.
    ///
    /// # Panics
    /// When there is no such product.
    pub fn edit(&self, id: &str, change: impl FnOnce(&mut Value)) {
        let mut state = lock(&self.shop.state);
        change(state.products.get_mut(id).unwrap_or_else(|| panic!("no product {id}")));
    }

    /// A collection with conditions. Returns its id.
    pub fn plant_smart_collection(&self, title: &str, handle: &str) -> String {
        lock(&self.shop.state).plant_collection(title, handle, true)
    }

    /// All products as they are.
    #[must_use]
    pub fn products(&self) -> Vec<Value> {
        let state = lock(&self.shop.state);
        state.products.keys().map(|id| state.shown(id)).collect()
    }

    /// The titles of all collections.
    #[must_use]
    pub fn collections(&self) -> Vec<Value> {
        lock(&self.shop.state).collections.values().cloned().collect()
    }

    /// How many mutations were carried out that change something.
    #[must_use]
    pub fn n_writes(&self) -> usize {
        lock(&self.shop.state).n_writes
    }

    /// How many files it has made of what it was sent.
    #[must_use]
    pub fn n_files(&self) -> usize {
        lock(&self.shop.state).n_files
    }

    /// Every state in which a product was visible after a mutation.
    #[must_use]
    pub fn visible_states(&self) -> Vec<Value> {
        lock(&self.shop.state).visible.clone()
    }

    /// The documents that were sent, each with the variables that came with it: the first and the last 50.
    #[must_use]
    pub fn asked(&self) -> BTreeMap<String, Vec<Value>> {
        lock(&self.shop.state).asked.clone()
    }
}

async fn grant(State(shop): State<Arc<Shop>>, body: Bytes) -> Response {
    let form: BTreeMap<String, String> = url::form_urlencoded::parse(&body).into_owned().collect();
    let field = |name: &str| form.get(name).cloned().unwrap_or_default();
    let mut state = lock(&shop.state);
    if field("grant_type") != "client_credentials" || state.app != Some((field("client_id"), field("client_secret"))) {
        let error = json!({ "error": "invalid_client", "error_description": "app_not_installed" });
        return (StatusCode::BAD_REQUEST, Json(error)).into_response();
    }
    let token = format!("shpat_app_{}", state.next_id());
    state.tokens.insert(token.clone());
    Json(json!({ "access_token": token, "scope": "", "expires_in": 86_399 })).into_response()
}

async fn upload(State(shop): State<Arc<Shop>>, Path(number): Path<u64>, headers: HeaderMap, body: Bytes) -> StatusCode {
    let mut state = lock(&shop.state);
    let wants = state.staged.get(&number).cloned();
    match wants {
        Some(media_type) if text(&headers, "content_type") == media_type && !body.is_empty() => {
            state.uploaded.insert(number, body);
            StatusCode::OK
        }
        _ => StatusCode::FORBIDDEN,
    }
}

async fn graphql(
    State(shop): State<Arc<Shop>>,
    Path(version): Path<String>,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let mut state = lock(&shop.state);
    if !state.tokens.contains(text(&headers, "x-shopify-access-token")) {
        let message = "[API] Invalid API key or access token (unrecognized login or wrong password)";
        return (StatusCode::UNAUTHORIZED, Json(json!({ "errors": message }))).into_response();
    }
    let request: Value = serde_json::from_slice(&body).unwrap_or_default();
    let Some(query) = request["query"].as_str().filter(|_| is_json(&headers)) else {
        let error = json!({ "errors": { "query": "Required parameter missing or invalid" } });
        return (StatusCode::BAD_REQUEST, Json(error)).into_response();
    };
    let is_throttled = state.n_throttled > 0;
    state.n_throttled = state.n_throttled.saturating_sub(1);
    let (outcome, price) = match document::read(query, &request["variables"]) {
        Err(problem) => (Err(("GRAPHQL_PARSE_FAILED", problem)), 1.0),
        Ok(document) => {
            let price = run::price(&document);
            if is_throttled || !state.bucket.take(price) {
                state.n_too_dear += 1;
                (Err(("THROTTLED", "Throttled".to_owned())), price)
            } else {
                state.note(query, &request["variables"]);
                (state.run(&document), price)
            }
        }
    };
    if outcome.as_ref().is_err_and(|(code, _)| *code == "LATE") {
        return StatusCode::GATEWAY_TIMEOUT.into_response();
    }
    let was_throttled = outcome.as_ref().is_err_and(|(code, _)| *code == "THROTTLED");
    let has = if is_throttled { 0.0 } else { state.bucket.has };
    let cost = json!({ "requestedQueryCost": price, "actualQueryCost": if was_throttled { Value::Null } else { json!(price) },
        "throttleStatus": { "maximumAvailable": state.bucket.most, "currentlyAvailable": has.floor(), "restoreRate": state.bucket.restored_per_s } });
    let mut answer = json!({ "extensions": { "cost": cost } });
    let mut about = None;
    match outcome {
        Ok(data) => {
            let id = data["productSet"]["product"]["id"].as_str();
            let handle = id.and_then(|id| state.products.get(id)?["handle"].as_str());
            about = handle.map(|handle| About(handle.to_owned()));
            answer["data"] = data;
        }
        Err((code, message)) => answer["errors"] = json!([{ "message": message, "extensions": { "code": code } }]),
    }
    // Like the real one, it serves another version than was asked for when it does not know that.
    let served = if version == VERSION { version } else { VERSION.to_owned() };
    let headers = [("x-shopify-api-version", served), ("x-request-id", "standin".to_owned())];
    let mut response = (headers, Json(answer)).into_response();
    if let Some(about) = about {
        response.extensions_mut().insert(about);
    }
    response
}
