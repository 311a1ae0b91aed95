//! A stand-in of Stripe: prices, customers, checkout and portal sessions, subscriptions, idempotency keys, and signed events.
//!
//! It wants the header `Stripe-Version` on every call, so that ours never depend on an account's default, and forms as bodies.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
};

use axum::{
    Json, Router,
    body::Bytes,
    extract::{Path, Request, State},
    http::{HeaderMap, Method, StatusCode, header},
    response::{IntoResponse, Response},
    routing::get,
};
use hmac::{Hmac, KeyInit, Mac};
use serde_json::{Value, json};
use sha2::Sha256;

use super::{
    basic,
    fault::{About, Faults, Front},
    lock, text,
};

const CREATED: i64 = 1_790_000_000;

/// The running stand-in; ends when it is dropped.
#[derive(Debug)]
pub struct Stripe {
    front: Front,
    account: Arc<Account>,
}

#[derive(Debug)]
struct Account {
    key: String,
    prices: Vec<String>,
    state: Mutex<Objects>,
}

#[derive(Debug, Default)]
struct Objects {
    last_id: u64,
    /// By id.
    all: BTreeMap<String, Value>,
    /// By idempotency key: what was asked, and what was answered.
    kept: BTreeMap<String, (String, StatusCode, Value)>,
}

type Form = BTreeMap<String, String>;
type Outcome = Result<Value, (StatusCode, Value)>;

fn error(status: StatusCode, kind: &str, code: &str, param: Option<&str>, message: &str) -> (StatusCode, Value) {
    (status, json!({ "error": { "type": kind, "code": code, "param": param, "message": message } }))
}

fn invalid(code: &str, param: &str, message: &str) -> (StatusCode, Value) {
    error(StatusCode::BAD_REQUEST, "invalid_request_error", code, Some(param), message)
}

impl Stripe {
    /// Starts it on a port (0 is a free one). It knows one secret key, `sk_test_…`, and these prices.
    ///
    /// # Errors
    /// When the port cannot be bound.
    pub async fn start(port: u16, key: &str, prices: &[&str]) -> anyhow::Result<Self> {
        let prices = prices.iter().map(|&price| price.to_owned()).collect();
        let account = Arc::new(Account { key: key.to_owned(), prices, state: Mutex::default() });
        let routes = Router::new()
            .route("/v1/prices/{id}", get(price))
            .route("/v1/{*path}", get(read).post(write).delete(write))
            .with_state(Arc::clone(&account));
        Ok(Self { front: Front::start(port, routes).await?, account })
    }

    /// What belongs into `STRIPE_BASE_URL`.
    #[must_use]
    pub fn url(&self) -> String {
        self.front.url()
    }

    /// Fails whole requests, and counts them. Good writes are counted by idempotency key: [`Faults::n_answered`].
    #[must_use]
    pub fn faults(&self) -> &Faults {
        self.front.faults()
    }

    /// The objects whose ids begin so: `cs_`, `cus_`, `sub_`, …
    #[must_use]
    pub fn objects(&self, prefix: &str) -> Vec<Value> {
        let state = lock(&self.account.state);
        state.all.iter().filter(|(id, _)| id.starts_with(prefix)).map(|(_, object)| object.clone()).collect()
    }

    /// The customer has paid at a checkout page: the session is complete and has a subscription, whose id is returned.
    ///
    /// # Panics
    /// When there is no such session.
    pub fn complete(&self, session: &str) -> String {
        let mut state = lock(&self.account.state);
        let id = state.next_id("sub");
        let session = state.all.get_mut(session).expect("the session was created");
        let is_trial = session["trial_period_days"].is_string();
        session["status"] = json!("complete");
        session["payment_status"] = json!(if is_trial { "no_payment_required" } else { "paid" });
        session["subscription"] = json!(id);
        let item = json!({ "id": format!("si_{id}"), "price": { "id": session["price"] }, "quantity": 1,
            "current_period_start": CREATED, "current_period_end": CREATED + 2_592_000 });
        let subscription = json!({ "id": id, "object": "subscription", "customer": session["customer"],
            "status": if is_trial { "trialing" } else { "active" }, "items": { "object": "list", "data": [item] },
            "cancel_at_period_end": false, "metadata": session["subscription_metadata"], "livemode": false });
        state.all.insert(id.clone(), subscription);
        id
    }
}

/// The value of `Stripe-Signature` for an event's raw body, signed at `timestamp` (seconds) with the whole `whsec_…`.
#[must_use]
pub fn signature(secret: &str, timestamp: i64, body: &str) -> String {
    let mut mac = Hmac::<Sha256>::new_from_slice(secret.as_bytes()).expect("any length is a key");
    mac.update(format!("{timestamp}.{body}").as_bytes());
    let hex: String = mac.finalize().into_bytes().iter().map(|byte| format!("{byte:02x}")).collect();
    format!("t={timestamp},v1={hex}")
}

impl Account {
    fn refusal(&self, headers: &HeaderMap) -> Option<(StatusCode, Value)> {
        let bearer = text(headers, header::AUTHORIZATION.as_str()).strip_prefix("Bearer ");
        let sent = bearer.map(str::to_owned).or_else(|| basic(headers).map(|(user, _)| user));
        if sent.as_deref() != Some(&self.key) {
            let shown: String = sent.unwrap_or_default().chars().take(8).collect();
            let message = format!("Invalid API Key provided: {shown}***");
            return Some(error(StatusCode::UNAUTHORIZED, "invalid_request_error", "api_key_invalid", None, &message));
        }
        if text(headers, "stripe-version").is_empty() {
            return Some(invalid("version_missing", "Stripe-Version", "This stand-in wants the header Stripe-Version"));
        }
        None
    }
}

fn reply((status, body): (StatusCode, Value)) -> Response {
    (status, [("request-id", "req_standin")], Json(body)).into_response()
}

fn missing(id: &str) -> (StatusCode, Value) {
    error(
        StatusCode::NOT_FOUND,
        "invalid_request_error",
        "resource_missing",
        Some("id"),
        &format!("No such object: '{id}'"),
    )
}

async fn price(State(account): State<Arc<Account>>, headers: HeaderMap, Path(id): Path<String>) -> Response {
    if let Some(refusal) = account.refusal(&headers) {
        return reply(refusal);
    }
    if !account.prices.contains(&id) {
        return reply(missing(&id));
    }
    let price = json!({ "id": id, "object": "price", "active": true, "currency": "eur", "unit_amount": 2900, "livemode": false,
        "recurring": { "interval": "month", "interval_count": 1 }, "type": "recurring" });
    reply((StatusCode::OK, price))
}

async fn read(State(account): State<Arc<Account>>, headers: HeaderMap, Path(path): Path<String>) -> Response {
    if let Some(refusal) = account.refusal(&headers) {
        return reply(refusal);
    }
    let id = path.rsplit('/').next().unwrap_or_default();
    let found = lock(&account.state).all.get(id).cloned();
    reply(found.map_or_else(|| missing(id), |object| (StatusCode::OK, object)))
}

async fn write(State(account): State<Arc<Account>>, Path(path): Path<String>, request: Request) -> Response {
    let (method, headers) = (request.method().clone(), request.headers().clone());
    if let Some(refusal) = account.refusal(&headers) {
        return reply(refusal);
    }
    let body = match axum::body::to_bytes(request.into_body(), 1024 * 1024).await {
        Ok(body) => body,
        Err(_) => Bytes::new(),
    };
    let is_form = text(&headers, header::CONTENT_TYPE.as_str()).starts_with("application/x-www-form-urlencoded");
    if !is_form && !body.is_empty() {
        return reply(invalid("parameter_unknown", "body", "Invalid request: the body is no form"));
    }
    let form: Form = url::form_urlencoded::parse(&body).into_owned().collect();
    let key = text(&headers, "idempotency-key").to_owned();
    let asked = format!("{method} {path} {form:?}");
    let mut state = lock(&account.state);
    if let Some((before, status, answer)) = state.kept.get(&key) {
        if *before != asked {
            let message =
                "Keys for idempotent requests can only be used with the same parameters they were first used with.";
            return reply(error(StatusCode::BAD_REQUEST, "idempotency_error", "idempotency_key_in_use", None, message));
        }
        let mut response = reply((*status, answer.clone()));
        response.headers_mut().insert("idempotent-replayed", header::HeaderValue::from_static("true"));
        response.extensions_mut().insert(About(key));
        return response;
    }
    let outcome = state.write(&method, &path, &form, &account.prices);
    match outcome {
        Ok(object) => {
            if !key.is_empty() {
                state.kept.insert(key.clone(), (asked, StatusCode::OK, object.clone()));
            }
            let mut response = reply((StatusCode::OK, object));
            response.extensions_mut().insert(About(key));
            response
        }
        // What fails in the check of its parameters is not kept.
        Err(refusal) => reply(refusal),
    }
}

impl Objects {
    fn next_id(&mut self, prefix: &str) -> String {
        self.last_id += 1;
        format!("{prefix}_standin{}", self.last_id)
    }

    fn write(&mut self, method: &Method, path: &str, form: &Form, prices: &[String]) -> Outcome {
        match (method, path) {
            (&Method::POST, "customers") => {
                let id = self.next_id("cus");
                let field = |name: &str| form.get(name).map_or(Value::Null, |value| json!(value));
                let customer = json!({ "id": id, "object": "customer", "created": CREATED, "email": field("email"),
                    "name": field("name"), "metadata": nested(form, "metadata") });
                Ok(self.keep(id, customer))
            }
            (&Method::POST, "checkout/sessions") => self.checkout(form, prices),
            (&Method::POST, "billing_portal/sessions") => {
                let customer = required(form, "customer")?;
                if !self.all.contains_key(customer) {
                    return Err(invalid("resource_missing", "customer", &format!("No such customer: '{customer}'")));
                }
                let id = self.next_id("bps");
                let url = format!("https://billing.stripe.example/p/session/{id}");
                let session = json!({ "id": id, "object": "billing_portal.session", "customer": customer, "url": url,
                    "return_url": form.get("return_url") });
                Ok(self.keep(id, session))
            }
            (_, path) if path.starts_with("subscriptions/") => {
                let id = path.trim_start_matches("subscriptions/").to_owned();
                let subscription = self.all.get_mut(&id).ok_or_else(|| missing(&id))?;
                if *method == Method::DELETE {
                    subscription["status"] = json!("canceled");
                    subscription["canceled_at"] = json!(CREATED);
                }
                if let Some(cancel) = form.get("cancel_at_period_end") {
                    subscription["cancel_at_period_end"] = json!(cancel == "true");
                }
                if let Some(price) = form.get("items[0][price]") {
                    subscription["items"]["data"][0]["price"]["id"] = json!(price);
                }
                Ok(subscription.clone())
            }
            _ => Err(error(
                StatusCode::NOT_FOUND,
                "invalid_request_error",
                "url_invalid",
                None,
                &format!("Unrecognized request URL ({method}: /v1/{path})"),
            )),
        }
    }

    fn keep(&mut self, id: String, object: Value) -> Value {
        self.all.insert(id, object.clone());
        object
    }

    fn checkout(&mut self, form: &Form, prices: &[String]) -> Outcome {
        const KNOWN: [&str; 12] = [
            "mode",
            "customer",
            "customer_email",
            "client_reference_id",
            "line_items",
            "success_url",
            "cancel_url",
            "subscription_data",
            "metadata",
            "expires_at",
            "payment_method_collection",
            "ui_mode",
        ];
        let unknown = form.keys().find(|name| !KNOWN.contains(&name.split('[').next().unwrap_or_default()));
        if let Some(name) = unknown {
            return Err(invalid("parameter_unknown", name, &format!("Received unknown parameter: {name}")));
        }
        if required(form, "mode")? != "subscription" {
            return Err(invalid("parameter_invalid", "mode", "This stand-in knows subscriptions only"));
        }
        required(form, "success_url")?;
        let price = required(form, "line_items[0][price]")?.to_owned();
        required(form, "line_items[0][quantity]")?;
        if !prices.contains(&price) {
            return Err(invalid("resource_missing", "line_items[0][price]", &format!("No such price: '{price}'")));
        }
        let id = self.next_id("cs");
        let field = |name: &str| form.get(name).map_or(Value::Null, |value| json!(value));
        let session = json!({
            "id": id, "object": "checkout.session", "mode": "subscription", "status": "open", "payment_status": "unpaid",
            "url": format!("https://checkout.stripe.example/c/pay/{id}"), "customer": field("customer"),
            "customer_email": field("customer_email"), "client_reference_id": field("client_reference_id"),
            "subscription": null, "metadata": nested(form, "metadata"), "expires_at": CREATED + 86_400, "livemode": false,
            "price": price, "trial_period_days": field("subscription_data[trial_period_days]"),
            "subscription_metadata": nested(form, "subscription_data[metadata]"),
        });
        Ok(self.keep(id, session))
    }
}

fn required<'a>(form: &'a Form, name: &str) -> Result<&'a str, (StatusCode, Value)> {
    let value = form.get(name).map(String::as_str).filter(|value| !value.is_empty());
    value.ok_or_else(|| invalid("parameter_missing", name, &format!("Missing required param: {name}.")))
}

/// `metadata[user_id]=u1` as `{ "user_id": "u1" }`.
fn nested(form: &Form, name: &str) -> Value {
    let inner = |key: &str| key.strip_prefix(name)?.strip_prefix('[')?.strip_suffix(']').map(str::to_owned);
    form.iter().filter_map(|(key, value)| Some((inner(key)?, json!(value)))).collect::<serde_json::Map<_, _>>().into()
}
