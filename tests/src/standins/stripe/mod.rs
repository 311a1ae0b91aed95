//! A stand-in of Stripe: prices, customers, checkout and portal sessions, subscriptions with a clock that tests move, invoices,
//! idempotency keys, events in lists, and signed webhooks.
//!
//! What Stripe knows and does by itself is [`Simulation`], on which the mock stands too; here are HTTP, the key, the version, the pages that
//! customers see (`pages.rs`) and the deliveries (`deliver.rs`). It wants the header `Stripe-Version` on every call, so that ours never
//! depend on an account's default, and forms as bodies.

mod deliver;
mod pages;

use std::sync::{Arc, Mutex, MutexGuard};

use axum::{
    Json, Router,
    body::Bytes,
    extract::{Path, RawQuery, State},
    http::{HeaderMap, HeaderValue, Method, StatusCode, header},
    response::{IntoResponse, Response},
    routing::get,
};
use chrono::Utc;
use providers::payments::{
    self,
    simulation::{Card, Params, Refused, Settings, Simulation, refused},
};
use serde_json::Value;

use self::deliver::Deliveries;
use super::{
    basic,
    fault::{About, Faults, Front},
    lock, text,
};

pub use deliver::{Delivered, Mode, Order, signature};

/// The running stand-in; ends when it is dropped.
#[derive(Debug)]
pub struct Stripe {
    front: Front,
    account: Arc<Account>,
}

#[derive(Debug)]
struct Account {
    key: String,
    simulation: Mutex<Simulation>,
    deliveries: Deliveries,
}

impl Account {
    fn simulation(&self) -> MutexGuard<'_, Simulation> {
        lock(&self.simulation)
    }

    /// Does something, and has delivered what came of it.
    fn with<T>(self: &Arc<Self>, act: impl FnOnce(&mut Simulation) -> T) -> T {
        let mut simulation = self.simulation();
        let done = act(&mut simulation);
        let events = self.deliveries.last().map(|last| simulation.ids_after("evt_", &last));
        drop(simulation);
        self.deliveries.note(self, events.unwrap_or_default());
        done
    }

    fn refusal(&self, headers: &HeaderMap) -> Option<Refused> {
        let bearer = text(headers, header::AUTHORIZATION.as_str()).strip_prefix("Bearer ");
        let sent = bearer.map(str::to_owned).or_else(|| basic(headers).map(|(user, _)| user));
        if sent.as_deref() != Some(&self.key) {
            let shown: String = sent.unwrap_or_default().chars().take(8).collect();
            let message = format!("Invalid API Key provided: {shown}***");
            return Some(refused(401, "invalid_request_error", Some("api_key_invalid"), None, &message));
        }
        let bad = |code: &str, message: &str| {
            Some(refused(400, "invalid_request_error", Some(code), Some("Stripe-Version"), message))
        };
        let version = text(headers, "stripe-version");
        let date = version.split_once('.').map_or(version, |(date, _)| date);
        if version.is_empty() {
            return bad("version_missing", "This stand-in wants the header Stripe-Version");
        }
        if chrono::NaiveDate::parse_from_str(date, "%Y-%m-%d").is_err() {
            return bad("version_invalid", &format!("Invalid Stripe API version: {version}"));
        }
        None
    }
}

impl Stripe {
    /// Starts it on a port (0 is a free one). It knows one key, `sk_test_…` or `sk_live_…`, and these prices: 29.00 EUR a month, of one with
    /// `premium` in its name 99.00.
    ///
    /// # Errors
    /// When the port cannot be bound.
    pub async fn start(port: u16, key: &str, prices: &[&str]) -> anyhow::Result<Self> {
        let listener = std::net::TcpListener::bind(("127.0.0.1", port))?;
        let pages = format!("http://{}", listener.local_addr()?);
        let settings = Settings { pages, livemode: key.contains("_live_"), ..Settings::default() };
        let mut simulation = Simulation::new(settings, Utc::now().timestamp());
        for id in prices {
            let (name, units) = if id.contains("premium") { ("Premium", 9_900) } else { ("Pro", 2_900) };
            simulation.add_price(id, name, units, "eur", "month");
        }
        let (simulation, deliveries) = (Mutex::new(simulation), Deliveries::new());
        let account = Arc::new(Account { key: key.to_owned(), simulation, deliveries });
        let routes = Router::new()
            .route("/v1/{*path}", get(call).post(call).delete(call))
            .merge(pages::routes())
            .with_state(Arc::clone(&account));
        Ok(Self { front: Front::on(listener, routes)?, account })
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

    /// Reads or changes what it knows; events that come of it are delivered as told.
    pub fn with<T>(&self, act: impl FnOnce(&mut Simulation) -> T) -> T {
        self.account.with(act)
    }

    /// The objects whose ids begin so: `cs_`, `cus_`, `sub_`, `in_`, `evt_`, …, oldest first.
    #[must_use]
    pub fn objects(&self, prefix: &str) -> Vec<Value> {
        self.account.simulation().objects(prefix)
    }

    /// Moves its clock on; all that is due until then happens.
    pub fn advance_days(&self, days: i64) {
        self.with(|simulation| simulation.advance_days(days));
    }

    /// The same; what it delivers from now on is signed as many days ahead of the machine's clock, for whoever's clock is moved, too.
    pub fn pass_days(&self, days: i64) {
        self.account.deliveries.sign_ahead(days * 24 * 3600);
        self.advance_days(days);
    }

    /// What a customer pays with from now on.
    pub fn set_card(&self, customer: &str, card: Card) {
        self.with(|simulation| simulation.set_card(customer, card));
    }

    /// A customer completes a checkout session with a card that works; the id of its subscription.
    ///
    /// # Panics
    /// When there is no such open session.
    #[must_use]
    pub fn complete(&self, session: &str) -> String {
        self.complete_with(session, Card::Good).expect("the session is open, and the card is good")
    }

    /// The same with any card, or none.
    ///
    /// # Errors
    /// What Stripe would tell the customer.
    pub fn complete_with(&self, session: &str, card: Card) -> Result<String, Refused> {
        self.with(|simulation| simulation.complete(session, card))
    }

    /// A customer pays an open invoice at its page.
    ///
    /// # Errors
    /// What Stripe would tell the customer.
    pub fn pay(&self, invoice: &str) -> Result<(), Refused> {
        self.with(|simulation| simulation.pay(invoice))
    }

    /// Delivers events to a webhook at this address from now on, signed with each of these secrets.
    pub fn deliver_to(&self, address: &str, secrets: &[&str], mode: Mode) {
        self.account.deliveries.to(address, secrets, mode, last_event(&self.account.simulation()));
    }

    /// Delivers what was [held](Mode::Held), each once, and waits for the answers: each event's id and status.
    pub async fn release(&self, order: Order) -> Vec<Delivered> {
        self.account.deliveries.release(&self.account, order).await
    }

    /// Delivers one event now, whatever the mode and however often it was; signed at `at_s`, or now. The status.
    pub async fn deliver(&self, event: &str, at_s: Option<i64>) -> Option<u16> {
        self.account.deliveries.deliver(&self.account, event, at_s).await
    }

    /// What was delivered, in its order, with the answers.
    #[must_use]
    pub fn delivered(&self) -> Vec<Delivered> {
        self.account.deliveries.delivered()
    }
}

fn last_event(simulation: &Simulation) -> String {
    simulation.ids_after("evt_", "").pop().unwrap_or_default()
}

fn pairs(bytes: &[u8]) -> Vec<(String, String)> {
    url::form_urlencoded::parse(bytes).into_owned().collect()
}

fn reply(status: u16, body: Value) -> Response {
    let status = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    (status, [("request-id", "req_standin")], Json(body)).into_response()
}

async fn call(
    State(account): State<Arc<Account>>,
    method: Method,
    Path(path): Path<String>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    if let Some(refused) = account.refusal(&headers) {
        return reply(refused.status, refused.body);
    }
    let is_form = text(&headers, header::CONTENT_TYPE.as_str()).starts_with("application/x-www-form-urlencoded");
    if !is_form && !body.is_empty() {
        let message = "Invalid request: the body is no form";
        let refused = refused(400, "invalid_request_error", Some("parameter_unknown"), Some("body"), message);
        return reply(refused.status, refused.body);
    }
    let method = match method {
        Method::GET => payments::Method::Get,
        Method::DELETE => payments::Method::Delete,
        _ => payments::Method::Post,
    };
    let sent = [pairs(query.unwrap_or_default().as_bytes()), pairs(&body)].concat();
    let key = text(&headers, "idempotency-key");
    let params = Params::from(sent);
    let answered =
        account.with(|simulation| simulation.call(method, &path, &params, Some(key).filter(|key| !key.is_empty())));
    let mut response = reply(answered.status, answered.body);
    if answered.replayed {
        response.headers_mut().insert("idempotent-replayed", HeaderValue::from_static("true"));
    }
    if method != payments::Method::Get && answered.status == 200 {
        response.extensions_mut().insert(About(key.to_owned()));
    }
    response
}
