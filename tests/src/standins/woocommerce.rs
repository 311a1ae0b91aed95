//! A stand-in of a shop with WooCommerce's REST API v3: products by SKU, create, update, delete, batch, categories.
//!
//! It takes HTTP Basic only when it was told that it stands behind TLS, as its real counterpart does, and OAuth 1.0a otherwise. A SKU is
//! taken once. A picture's `src` becomes a new attachment each time; one whose host is `broken.example` cannot be fetched.

use std::{
    collections::{BTreeMap, HashSet},
    fmt::Write as _,
    sync::{Arc, Mutex},
};

use axum::{
    Json, Router,
    body::Bytes,
    extract::{Path, State},
    http::{HeaderMap, Method, StatusCode, Uri},
    response::{IntoResponse, Response},
    routing::{get, post},
};
use base64::{Engine, engine::general_purpose::STANDARD as BASE64};
use hmac::{Hmac, KeyInit, Mac};
use serde_json::{Map, Value, json};
use sha2::Sha256;

use super::{
    basic,
    fault::{About, Faults, Front},
    is_json, lock, pairs, value,
};

const API: &str = "/wp-json/wc/v3";
const MOST_IN_A_BATCH: usize = 100;
/// How far a signature's clock may be off, in seconds.
const SKEW_S: i64 = 15 * 60;

/// The running stand-in; ends when it is dropped.
#[derive(Debug)]
pub struct WooCommerce {
    front: Front,
    shop: Arc<Shop>,
}

#[derive(Debug)]
struct Shop {
    url: String,
    key: String,
    secret: String,
    sees_tls: bool,
    state: Mutex<Stock>,
}

#[derive(Debug, Default)]
struct Stock {
    last_id: u64,
    products: BTreeMap<u64, Map<String, Value>>,
    categories: BTreeMap<u64, Value>,
    nonces: HashSet<String>,
    created: BTreeMap<String, usize>,
    updated: BTreeMap<String, usize>,
}

/// An error, as the REST API words it.
struct Refusal(StatusCode, &'static str, String, Map<String, Value>);

impl Refusal {
    fn new(status: StatusCode, code: &'static str, message: impl Into<String>) -> Self {
        Self(status, code, message.into(), Map::new())
    }

    fn with(mut self, name: &str, value: Value) -> Self {
        self.3.insert(name.to_owned(), value);
        self
    }

    fn body(mut self) -> Value {
        self.3.insert("status".to_owned(), json!(self.0.as_u16()));
        json!({ "code": self.1, "message": self.2, "data": self.3 })
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        (self.0, Json(self.body())).into_response()
    }
}

impl WooCommerce {
    /// A shop that sees TLS, so that it takes HTTP Basic with this key and secret.
    ///
    /// # Errors
    /// When the port cannot be bound; 0 is a free one.
    pub async fn start(port: u16, key: &str, secret: &str) -> anyhow::Result<Self> {
        Self::on(port, key, secret, true).await
    }

    /// A shop that sees plain HTTP, so that it ignores HTTP Basic and wants signatures.
    ///
    /// # Errors
    /// When the port cannot be bound; 0 is a free one.
    pub async fn plain(port: u16, key: &str, secret: &str) -> anyhow::Result<Self> {
        Self::on(port, key, secret, false).await
    }

    async fn on(port: u16, key: &str, secret: &str, sees_tls: bool) -> anyhow::Result<Self> {
        // The signature is over the URL, which is known only when the port is.
        let listener = std::net::TcpListener::bind(("127.0.0.1", port))?;
        let url = format!("http://{}", listener.local_addr()?);
        let (key, secret) = (key.to_owned(), secret.to_owned());
        let shop = Arc::new(Shop { url, key, secret, sees_tls, state: Mutex::default() });
        let at = |path: &str| format!("{API}{path}");
        let routes = Router::new()
            .route("/wp-json/", get(index))
            .route(&at("/products"), get(list).post(create))
            .route(&at("/products/batch"), post(batch))
            .route(&at("/products/{id}"), get(read).put(update).post(update).patch(update).delete(remove))
            .route(&at("/products/categories"), get(categories).post(create_category))
            .fallback(no_route)
            .with_state(Arc::clone(&shop));
        let front = Front::on(listener, routes)?;
        Ok(Self { front, shop })
    }

    /// What belongs into `WOO_STORE_URL`.
    #[must_use]
    pub fn url(&self) -> &str {
        &self.shop.url
    }

    /// Fails whole requests, and counts them. Good writes are counted by SKU: [`Faults::n_answered`].
    #[must_use]
    pub fn faults(&self) -> &Faults {
        self.front.faults()
    }

    /// How often a product with this SKU was created, whether the answer arrived or not.
    #[must_use]
    pub fn n_created(&self, sku: &str) -> usize {
        lock(&self.shop.state).created.get(sku).copied().unwrap_or(0)
    }

    /// How often the product with this SKU was updated, whether the answer arrived or not.
    #[must_use]
    pub fn n_updated(&self, sku: &str) -> usize {
        lock(&self.shop.state).updated.get(sku).copied().unwrap_or(0)
    }

    /// The products with this SKU; at most one, unless this stand-in is wrong.
    #[must_use]
    pub fn products(&self, sku: &str) -> Vec<Value> {
        let state = lock(&self.shop.state);
        state.products.values().filter(|product| product["sku"] == sku).cloned().map(Value::Object).collect()
    }
}

impl Shop {
    fn authorize(&self, method: &Method, uri: &Uri, headers: &HeaderMap) -> Result<(), Refusal> {
        let refused = |message: &str| {
            Err(Refusal::new(StatusCode::UNAUTHORIZED, "woocommerce_rest_authentication_error", message))
        };
        let pairs = pairs(uri);
        let ours = |key: &str, secret: &str| key == self.key && secret == self.secret;
        if let Some(key) = value(&pairs, "consumer_key") {
            let secret = value(&pairs, "consumer_secret").unwrap_or_default();
            return if self.sees_tls && ours(key, secret) { Ok(()) } else { refused("Consumer key is invalid.") };
        }
        if self.sees_tls {
            return match basic(headers) {
                Some((key, secret)) if ours(&key, &secret) => Ok(()),
                Some(_) => refused("Consumer secret is invalid."),
                None => Err(Refusal::new(
                    StatusCode::UNAUTHORIZED,
                    "woocommerce_rest_cannot_view",
                    "Sorry, you cannot list resources.",
                )),
            };
        }
        self.check_signature(method, uri, &pairs)
    }

    fn check_signature(&self, method: &Method, uri: &Uri, pairs: &[(String, String)]) -> Result<(), Refusal> {
        let refused = |message: String| {
            Err(Refusal::new(StatusCode::UNAUTHORIZED, "woocommerce_rest_authentication_error", message))
        };
        let names =
            ["oauth_consumer_key", "oauth_timestamp", "oauth_nonce", "oauth_signature", "oauth_signature_method"];
        let found = names.map(|name| value(pairs, name));
        let [Some(key), Some(timestamp), Some(nonce), Some(signature), Some(signing_method)] = found else {
            let missing: Vec<&str> =
                names.into_iter().zip(found).filter(|(_, value)| value.is_none()).map(|(name, _)| name).collect();
            return refused(format!("Missing OAuth parameters {}", missing.join(", ")));
        };
        if key != self.key {
            return refused("Consumer key is invalid.".to_owned());
        }
        if signing_method != "HMAC-SHA256" {
            return refused("Invalid signature - signature method is invalid.".to_owned());
        }
        if signature != sign(method, &format!("{}{}", self.url, uri.path()), pairs, &self.secret) {
            return refused("Invalid signature - provided signature does not match.".to_owned());
        }
        if timestamp.parse::<i64>().is_ok_and(|then| (unix_now() - then).abs() <= SKEW_S) {
            if lock(&self.state).nonces.insert(nonce.to_owned()) {
                return Ok(());
            }
            return refused("Invalid nonce - nonce has already been used.".to_owned());
        }
        refused("Invalid timestamp.".to_owned())
    }
}

fn unix_now() -> i64 {
    chrono::Utc::now().timestamp()
}

/// The value of `oauth_signature`: over method, URL without query, and all parameters but itself.
#[must_use]
pub fn sign(method: &Method, url: &str, pairs: &[(String, String)], secret: &str) -> String {
    let mut encoded: Vec<String> = pairs
        .iter()
        .filter(|(name, _)| name != "oauth_signature")
        .map(|(name, value)| format!("{}={}", encode(name), encode(value)))
        .collect();
    encoded.sort();
    let base = format!("{method}&{}&{}", encode(url), encode(&encoded.join("&")));
    let mut mac = Hmac::<Sha256>::new_from_slice(format!("{secret}&").as_bytes()).expect("any length is a key");
    mac.update(base.as_bytes());
    BASE64.encode(mac.finalize().into_bytes())
}

/// RFC 3986: all but the unreserved characters.
fn encode(text: &str) -> String {
    let mut encoded = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            encoded.push(char::from(byte));
        } else {
            write!(encoded, "%{byte:02X}").expect("a string takes everything");
        }
    }
    encoded
}

/// What every call of the API brings.
struct Call {
    shop: Arc<Shop>,
    uri: Uri,
    body: Map<String, Value>,
}

impl axum::extract::FromRequest<Arc<Shop>> for Call {
    type Rejection = Response;

    async fn from_request(request: axum::extract::Request, shop: &Arc<Shop>) -> Result<Self, Response> {
        let uri = request.uri().clone();
        let (method, headers) = (request.method().clone(), request.headers().clone());
        shop.authorize(&method, &uri, &headers).map_err(IntoResponse::into_response)?;
        let bytes = Bytes::from_request(request, shop).await.map_err(IntoResponse::into_response)?;
        let body = if method == Method::GET || method == Method::DELETE {
            Map::new()
        } else {
            let invalid = |message: &str| {
                Refusal::new(StatusCode::BAD_REQUEST, "rest_invalid_json", message.to_owned()).into_response()
            };
            if !is_json(&headers) {
                return Err(invalid("Invalid JSON body passed: the content type is not application/json."));
            }
            serde_json::from_slice(&bytes).map_err(|error| invalid(&format!("Invalid JSON body passed: {error}")))?
        };
        Ok(Self { shop: Arc::clone(shop), uri, body })
    }
}

async fn index() -> Response {
    Json(json!({ "name": "Stand-in", "namespaces": ["wp/v2", "wc/v3"] })).into_response()
}

async fn no_route() -> Response {
    let message = "No route was found matching the URL and request method.";
    Refusal::new(StatusCode::NOT_FOUND, "rest_no_route", message).into_response()
}

async fn list(call: Call) -> Response {
    let pairs = pairs(&call.uri);
    let number = |name: &str, default: usize| value(&pairs, name).map_or(Some(default), |value| value.parse().ok());
    let (Some(page), Some(per_page @ 1..=100)) = (number("page", 1), number("per_page", 10)) else {
        let message = "Invalid parameter(s): per_page";
        return Refusal::new(StatusCode::BAD_REQUEST, "rest_invalid_param", message)
            .with("params", json!({ "per_page": "per_page must be between 1 (inclusive) and 100 (inclusive)" }))
            .into_response();
    };
    let skus: Option<Vec<&str>> = value(&pairs, "sku").map(|skus| skus.split(',').chain([skus]).collect());
    let status = value(&pairs, "status").unwrap_or("any");
    let fields: Option<Vec<&str>> = value(&pairs, "_fields").map(|fields| fields.split(',').collect());
    let state = lock(&call.shop.state);
    let found: Vec<&Map<String, Value>> = state
        .products
        .values()
        .filter(|product| skus.as_ref().is_none_or(|skus| skus.contains(&product["sku"].as_str().unwrap_or_default())))
        .filter(|product| status == "any" || product["status"] == status)
        .collect();
    let shown: Vec<Value> = found
        .iter()
        .skip((page.max(1) - 1) * per_page)
        .take(per_page)
        .map(|product| {
            let mut product = (*product).clone();
            if let Some(fields) = &fields {
                product.retain(|name, _| fields.contains(&name.as_str()));
            }
            Value::Object(product)
        })
        .collect();
    let headers =
        [("x-wp-total", found.len().to_string()), ("x-wp-totalpages", found.len().div_ceil(per_page).to_string())];
    (headers, Json(shown)).into_response()
}

async fn read(Path(id): Path<u64>, call: Call) -> Response {
    match lock(&call.shop.state).products.get(&id) {
        Some(product) => Json(product.clone()).into_response(),
        None => unknown_product().into_response(),
    }
}

async fn create(call: Call) -> Response {
    written(StatusCode::CREATED, lock(&call.shop.state).create(call.body, &call.shop.url))
}

async fn update(Path(id): Path<u64>, call: Call) -> Response {
    written(StatusCode::OK, lock(&call.shop.state).update(id, call.body))
}

async fn remove(Path(id): Path<u64>, call: Call) -> Response {
    if value(&pairs(&call.uri), "force") != Some("true") {
        let message = "This stand-in has no trash: delete with force=true.";
        return Refusal::new(StatusCode::NOT_IMPLEMENTED, "woocommerce_rest_trash_not_supported", message)
            .into_response();
    }
    match lock(&call.shop.state).products.remove(&id) {
        Some(product) => Json(product).into_response(),
        None => unknown_product().into_response(),
    }
}

async fn batch(call: Call) -> Response {
    let items = |name: &str| call.body.get(name).and_then(Value::as_array).cloned().unwrap_or_default();
    let (creates, updates, deletes) = (items("create"), items("update"), items("delete"));
    if creates.len() + updates.len() + deletes.len() > MOST_IN_A_BATCH {
        let message = format!("Unable to accept more than {MOST_IN_A_BATCH} items for this request.");
        let code = "woocommerce_rest_request_entity_too_large";
        return Refusal::new(StatusCode::PAYLOAD_TOO_LARGE, code, message).into_response();
    }
    let mut state = lock(&call.shop.state);
    let mut answers = json!({});
    let fields = |item: Value| if let Value::Object(fields) = item { fields } else { Map::new() };
    let id = |item: &Value| item["id"].as_u64().or_else(|| item.as_u64()).unwrap_or_default();
    let shown = |id: u64, outcome: Result<Map<String, Value>, Refusal>| match outcome {
        Ok(product) => Value::Object(product),
        Err(refusal) => json!({ "id": id, "error": refusal.body() }),
    };
    for (name, items) in [("create", creates), ("update", updates), ("delete", deletes)] {
        let done = items.into_iter().map(|item| match name {
            "create" => shown(0, state.create(fields(item), &call.shop.url)),
            "update" => shown(id(&item), state.update(id(&item), fields(item))),
            _ => shown(id(&item), state.products.remove(&id(&item)).ok_or_else(unknown_product)),
        });
        let done: Vec<Value> = done.collect();
        if !done.is_empty() {
            answers[name] = Value::Array(done);
        }
    }
    Json(answers).into_response()
}

async fn categories(call: Call) -> Response {
    Json(lock(&call.shop.state).categories.values().cloned().collect::<Vec<_>>()).into_response()
}

async fn create_category(State(shop): State<Arc<Shop>>, call: Call) -> Response {
    let Some(name) = call.body.get("name").and_then(Value::as_str) else {
        return Refusal::new(StatusCode::BAD_REQUEST, "rest_missing_callback_param", "Missing parameter(s): name")
            .with("params", json!(["name"]))
            .into_response();
    };
    let mut state = lock(&shop.state);
    if let Some((id, _)) = state.categories.iter().find(|(_, category)| category["name"] == name) {
        let message = "A term with the name provided already exists with this parent.";
        return Refusal::new(StatusCode::BAD_REQUEST, "term_exists", message)
            .with("resource_id", json!(id))
            .into_response();
    }
    let id = state.next_id();
    let category = json!({ "id": id, "name": name, "slug": name.to_lowercase().replace(' ', "-") });
    state.categories.insert(id, category.clone());
    (StatusCode::CREATED, Json(category)).into_response()
}

fn written(status: StatusCode, outcome: Result<Map<String, Value>, Refusal>) -> Response {
    let product = match outcome {
        Ok(product) => product,
        Err(refusal) => return refusal.into_response(),
    };
    let about = About(product["sku"].as_str().unwrap_or_default().to_owned());
    let mut response = (status, Json(product)).into_response();
    response.extensions_mut().insert(about);
    response
}

fn unknown_product() -> Refusal {
    Refusal::new(StatusCode::NOT_FOUND, "woocommerce_rest_product_invalid_id", "Invalid ID.")
}

impl Stock {
    fn next_id(&mut self) -> u64 {
        self.last_id += 1;
        self.last_id
    }

    fn create(&mut self, fields: Map<String, Value>, url: &str) -> Result<Map<String, Value>, Refusal> {
        self.check(&fields, None)?;
        let id = self.next_id();
        let mut product = json!({
            "id": id, "name": "", "type": "simple", "status": "publish", "sku": "", "parent_id": 0, "price": "",
            "regular_price": "", "description": "", "images": [], "categories": [], "meta_data": [],
            "permalink": format!("{url}/?p={id}"), "manage_stock": false, "stock_quantity": null,
        });
        let product = product.as_object_mut().expect("it was just made");
        self.merge(product, fields);
        let sku = product["sku"].as_str().unwrap_or_default().to_owned();
        *self.created.entry(sku).or_default() += 1;
        self.products.insert(id, product.clone());
        Ok(product.clone())
    }

    fn update(&mut self, id: u64, fields: Map<String, Value>) -> Result<Map<String, Value>, Refusal> {
        let mut product = self.products.get(&id).cloned().ok_or_else(unknown_product)?;
        self.check(&fields, Some(id))?;
        self.merge(&mut product, fields);
        let sku = product["sku"].as_str().unwrap_or_default().to_owned();
        *self.updated.entry(sku).or_default() += 1;
        self.products.insert(id, product.clone());
        Ok(product)
    }

    /// What WooCommerce refuses in a product's fields.
    fn check(&self, fields: &Map<String, Value>, id: Option<u64>) -> Result<(), Refusal> {
        let texts =
            ["name", "type", "status", "sku", "description", "short_description", "regular_price", "sale_price"];
        for name in texts {
            if fields.get(name).is_some_and(|value| !value.is_string()) {
                let fault = format!("{name} is not of type string.");
                return Err(Refusal::new(
                    StatusCode::BAD_REQUEST,
                    "rest_invalid_param",
                    format!("Invalid parameter(s): {name}"),
                )
                .with("params", json!({ name: fault })));
            }
        }
        let sku = fields.get("sku").and_then(Value::as_str).filter(|sku| !sku.is_empty());
        let owner = sku.and_then(|sku| self.products.iter().find(|(_, product)| product["sku"] == sku));
        if let Some((owner, _)) = owner.filter(|(owner, _)| Some(**owner) != id) {
            let free = format!("{}-1", sku.unwrap_or_default());
            let message = "Invalid or duplicated SKU.";
            return Err(Refusal::new(StatusCode::BAD_REQUEST, "product_invalid_sku", message)
                .with("resource_id", json!(owner))
                .with("unique_sku", json!(free)));
        }
        for image in fields.get("images").and_then(Value::as_array).into_iter().flatten() {
            let src = image["src"].as_str().and_then(|src| url::Url::parse(src).ok());
            let is_known = image["id"].as_u64().is_some_and(|id| id <= self.last_id);
            if image.get("id").is_some() && !is_known {
                let message = format!("#{} is an invalid image ID.", image["id"]);
                return Err(Refusal::new(StatusCode::BAD_REQUEST, "woocommerce_product_invalid_image_id", message));
            }
            if !is_known && src.is_none_or(|src| src.host_str() == Some("broken.example")) {
                let message = format!("Error getting remote image {}.", image["src"]);
                return Err(Refusal::new(StatusCode::BAD_REQUEST, "woocommerce_product_image_upload_error", message));
            }
        }
        Ok(())
    }

    fn merge(&mut self, product: &mut Map<String, Value>, fields: Map<String, Value>) {
        for (name, mut value) in fields {
            match name.as_str() {
                "id" | "price" | "permalink" => continue,
                "images" => {
                    for image in value.as_array_mut().into_iter().flatten() {
                        if image.get("id").is_none() {
                            image["id"] = json!(self.next_id());
                        }
                    }
                }
                "regular_price" => {
                    product.insert("price".to_owned(), value.clone());
                }
                _ => {}
            }
            product.insert(name, value);
        }
    }
}
