//! The API in this process, whose tenants are `acme`, and `odd`, of whom we were told what Stripe does not take.

use std::time::Duration;

use axum::{
    Router,
    body::{Body, to_bytes},
    http::{HeaderMap, Method, Request, header},
};
use mongodb::bson::{Document, doc};
use producer::{App, Scope, sign};
use providers::payments::{
    self,
    simulation::{Card, Params},
};
use secrecy::SecretString;
use serde_json::{Value, json};
use servers::{MongoDatabase, RedisKind};
use store::Store;
use tests::standins::stripe::Stripe;
use tower::ServiceExt;

use crate::world::{KEY, config};

const SECRET: &str = "a secret of the tests, long enough";
const LIFETIME: Duration = Duration::from_secs(3600);
const SCOPES: [Scope; 3] = [Scope::PaymentsRead, Scope::PaymentsWrite, Scope::JobsWrite];

pub(crate) struct Api {
    pub(crate) stripe: Stripe,
    pub(crate) store: Store,
    router: Router,
    _database: MongoDatabase,
}

/// What it answers; a body that is no JSON is a string.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Value,
}

impl Answer {
    /// The words of a problem.
    #[track_caller]
    pub(crate) fn detail(&self, status: u16) -> &str {
        assert_eq!(self.status, status, "{}", self.body);
        self.body["detail"].as_str().unwrap()
    }
}

impl Api {
    pub(crate) async fn new() -> Self {
        let stripe = Stripe::start(0, KEY, &["price_pro", "price_premium"]).await.unwrap();
        let database = MongoDatabase::new();
        let redis = servers::redis(RedisKind::Valkey).unwrap();
        let redis = fleet::Redis::open_within(redis, &database, servers::PATIENCE).unwrap();
        let store = Store::open(servers::mongo(), &database).await.unwrap();
        store.prepare(&[]).await.unwrap();
        let app = App::new(&redis, &SECRET.into(), config(&stripe.url()));
        app.set_store(store.clone());
        let tenants = mongodb::Client::with_uri_str(servers::mongo()).await.unwrap();
        let tenants = tenants.database(&database).collection::<Document>("tenants");
        for (id, name, email) in
            [("acme", "Acmé", "a@shop.example"), ("odd", "x".repeat(5_000).as_str(), "no address of ours")]
        {
            let tenant =
                doc! { "_id": id, "email": email, "name": name, "language": "en", "time_zone": "Europe/Paris" };
            tenants.insert_one(tenant).await.unwrap();
        }
        Self { stripe, store, router: producer::router(app), _database: database }
    }

    pub(crate) async fn send(&self, request: Request<Body>) -> Answer {
        let (parts, body) = self.router.clone().oneshot(request).await.unwrap().into_parts();
        let body = to_bytes(body, usize::MAX).await.unwrap();
        let body = serde_json::from_slice(&body).unwrap_or_else(|_| String::from_utf8_lossy(&body).into());
        Answer { status: parts.status.as_u16(), headers: parts.headers, body }
    }

    /// What somebody asks who may do this, perhaps with an idempotency key.
    async fn asked(
        &self,
        (tenant, scopes): (Option<&str>, &[Scope]),
        method: Method,
        path: &str,
        body: &Value,
        key: Option<&str>,
    ) -> Answer {
        let token = sign(&SecretString::from(SECRET), "tests", tenant, scopes, LIFETIME).unwrap();
        let request =
            Request::builder().method(method).uri(path).header(header::AUTHORIZATION, format!("Bearer {token}"));
        let request = match key {
            Some(key) => request.header("idempotency-key", key),
            None => request,
        };
        let body = if body.is_null() { Body::empty() } else { Body::from(body.to_string()) };
        self.send(request.header(header::CONTENT_TYPE, "application/json").body(body).unwrap()).await
    }

    /// What a tenant asks.
    pub(crate) async fn ask(&self, tenant: &str, method: Method, path: &str, body: &Value) -> Answer {
        self.asked((Some(tenant), &SCOPES), method, path, body, None).await
    }

    /// A call of payments for acme by an operator, who may ask as often as it takes.
    pub(crate) async fn order(&self, call: &str, body: &Value, key: &str) -> Answer {
        let path = format!("/api/payments/{call}?tenant=acme");
        self.asked((None, &[Scope::Admin]), Method::POST, &path, body, Some(key)).await
    }

    /// A call of payments.
    pub(crate) async fn post(&self, tenant: &str, call: &str, body: &Value) -> Answer {
        self.ask(tenant, Method::POST, &format!("/api/payments/{call}"), body).await
    }

    pub(crate) async fn get(&self, path: &str) -> Answer {
        self.ask("acme", Method::GET, path, &Value::Null).await
    }

    /// Has acme subscribe; the id of the subscription.
    pub(crate) async fn subscribe(&self, plan: &str) -> String {
        let opened = self.post("acme", "checkout", &checkout(plan)).await;
        assert_eq!(opened.status, 201, "{}", opened.body);
        self.stripe.complete(opened.body["id"].as_str().unwrap())
    }

    /// Has acme's trial end without a payment method: its subscription is paused.
    pub(crate) async fn pause(&self) {
        let mut trial = checkout("pro");
        (trial["trial_days"], trial["without_card"]) = (json!(14), json!(true));
        let opened = self.post("acme", "checkout", &trial).await;
        assert_eq!(opened.status, 201, "{}", opened.body);
        self.stripe.complete_with(opened.body["id"].as_str().unwrap(), Card::None).unwrap();
        self.stripe.advance_days(15);
        // What is kept is read again when it is looked at.
        self.post("acme", "change", &json!({ "plan": "premium" })).await.detail(409);
    }

    /// Somebody does something at Stripe itself.
    pub(crate) fn at_stripe(&self, method: payments::Method, path: &str, form: &[(&str, &str)]) -> Value {
        let form = form.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        let params = Params::from(form.collect::<Vec<_>>());
        let answered = self.stripe.with(|simulation| simulation.call(method, path, &params, None));
        assert_eq!(answered.status, 200, "{}", answered.body);
        answered.body
    }

    pub(crate) fn n_sessions(&self, status: &str) -> usize {
        self.stripe.objects("cs_").iter().filter(|session| session["status"] == status).count()
    }
}

pub(crate) fn checkout(plan: &str) -> Value {
    json!({ "plan": plan, "success_url": "https://app.example/ok", "cancel_url": "https://app.example/no" })
}
