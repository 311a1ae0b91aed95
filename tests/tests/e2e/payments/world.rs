//! A system whose payments are real, with the stand-in of Stripe.

use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use mongodb::bson::{Document, doc};
use producer::Scope;
use reqwest::{Method, RequestBuilder};
use secrecy::SecretString;
use serde_json::{Value, json};
use servers::{RedisKind, RedisServer, wait_until};
use tests::{
    Answer, JOB_PATIENCE, Options, PATIENCE, System,
    standins::stripe::{Mode, Order, Stripe},
};

use super::{KEY, SECRET, collection, variables};
use crate::{email::zone_at_noon, product, time};

const LIFETIME: Duration = Duration::from_secs(3600);
pub(crate) const PAYMENTS: [Scope; 2] = [Scope::PaymentsRead, Scope::PaymentsWrite];
/// What a tenant does by itself besides.
const SCOPES: [Scope; 6] = [
    Scope::PaymentsRead,
    Scope::PaymentsWrite,
    Scope::JobsWrite,
    Scope::JobsRead,
    Scope::QueuesAdmin,
    Scope::SchedulesWrite,
];
const DAY: Duration = Duration::from_secs(24 * 3600);

/// A system whose payments are real, with the stand-in of Stripe; events are delivered when told.
pub(crate) struct World {
    pub(crate) stripe: Stripe,
    pub(crate) system: System,
}

impl World {
    pub(crate) async fn start(workers: usize) -> Self {
        Self::with(Options::default().workers(workers)).await
    }

    pub(crate) async fn with(options: Options) -> Self {
        let stripe = Stripe::start(0, KEY, &["price_pro", "price_premium"]).await.unwrap();
        let options = options.env("PAYMENTS_RETURN_HOSTS", "app.example, shop.example");
        let options = variables(&stripe).into_iter().fold(options, |options, (name, value)| options.env(name, value));
        let system = System::start(options).await;
        stripe.deliver_to(&format!("{}/api/webhooks/stripe", system.url()), &[SECRET], Mode::Held);
        add_tenants(&system, &["acme", "bolt"]).await;
        Self { stripe, system }
    }

    pub(crate) fn request(&self, tenant: &str, scopes: &[Scope], method: Method, path: &str) -> RequestBuilder {
        request(&self.system, tenant, scopes, method, &format!("/api/payments/{path}"))
    }

    /// No answer has a secret in it.
    pub(crate) async fn answer(request: RequestBuilder) -> Answer {
        let answer = Answer::to(request).await.unwrap();
        let said = format!("{:?} {}", answer.headers, answer.body);
        assert!(!said.contains("sk_test") && !said.contains("whsec_"), "{said}");
        answer
    }

    pub(crate) async fn post(&self, tenant: &str, call: &str, body: &Value) -> Answer {
        Self::answer(self.request(tenant, &PAYMENTS, Method::POST, call).json(body)).await
    }

    pub(crate) async fn get(&self, tenant: &str, call: &str) -> Answer {
        Self::answer(self.request(tenant, &PAYMENTS, Method::GET, call)).await
    }

    /// Subscribes; the id of the subscription.
    pub(crate) async fn subscribe(&self, tenant: &str, body: &Value) -> String {
        let opened = self.post(tenant, "checkout", body).await;
        assert_eq!(opened.status, 201, "{}", opened.body);
        let id = self.stripe.complete(opened.body["id"].as_str().unwrap());
        self.deliver(tenant, "active").await;
        id
    }

    /// Delivers what is held, and waits until the tenant is in this state.
    pub(crate) async fn deliver(&self, tenant: &str, state: &str) {
        let delivered = self.stripe.release(Order::AsMade).await;
        assert!(delivered.iter().all(|delivered| delivered.status == Some(200)), "{delivered:?}");
        let is_so = async || self.kept(tenant).await.is_some_and(|kept| kept.get_str("state").ok() == Some(state));
        wait_until(state, JOB_PATIENCE, is_so).await;
    }

    pub(crate) async fn kept(&self, tenant: &str) -> Option<Document> {
        collection(&self.system, "subscriptions").await.find_one(doc! { "_id": tenant }).await.unwrap()
    }

    pub(crate) async fn n_mails(&self, template: &str) -> u64 {
        n_mails(&self.system, template).await
    }

    /// Those that Stripe has in this state.
    pub(crate) fn n_sessions(&self, status: &str) -> usize {
        self.stripe.objects("cs_").iter().filter(|session| session["status"] == status).count()
    }

    pub(crate) fn n_customers(&self) -> usize {
        self.stripe.objects("cus_").len()
    }

    pub(crate) fn at_stripe(&self, id: &str) -> Value {
        self.stripe.with(|simulation| simulation.object(id).cloned()).unwrap()
    }

    pub(crate) fn price(&self, subscription: &str) -> Value {
        self.at_stripe(subscription)["items"]["data"][0]["price"]["id"].clone()
    }

    pub(crate) fn assert_no_secret_in_logs(&self, workers: usize) {
        let logs = std::iter::once(self.system.producer_log()).chain((0..workers).map(|n| self.system.worker_log(n)));
        for log in logs {
            assert!(!log.contains("sk_test") && !log.contains("whsec_"), "{log}");
        }
    }
}

/// What a tenant asks by itself.
pub(crate) fn request(system: &System, tenant: &str, scopes: &[Scope], method: Method, path: &str) -> RequestBuilder {
    let secret = SecretString::from(system.secret());
    let token = producer::sign(&secret, "tests", Some(tenant), scopes, LIFETIME).unwrap();
    system.client().request(method, format!("{}{path}", system.url())).bearer_auth(token)
}

/// Has a tenant enqueue a text.
pub(crate) async fn enqueue(system: &System, tenant: &str) -> Answer {
    let job = json!({ "kind": "content", "payload": product(1) });
    Answer::to(request(system, tenant, &SCOPES, Method::POST, "/api/jobs").json(&job)).await.unwrap()
}

/// What a tenant reads.
pub(crate) async fn read(system: &System, tenant: &str, path: &str) -> Answer {
    Answer::to(request(system, tenant, &SCOPES, Method::GET, path)).await.unwrap()
}

/// Tenants with an address each, where it is noon.
pub(crate) async fn add_tenants(system: &System, tenants: &[&str]) {
    for tenant in tenants {
        let document = doc! { "_id": tenant, "name": tenant, "email": format!("{tenant}@shop.example"), "language": "fr",
        "time_zone": zone_at_noon() };
        collection(system, "tenants").await.insert_one(document).await.unwrap();
    }
}

pub(crate) async fn n_mails(system: &System, template: &str) -> u64 {
    let emails = collection(system, "emails").await;
    emails.count_documents(doc! { "result.template": template }).await.unwrap()
}

/// The reminder of a trial's end goes out: the only one.
pub(crate) async fn remind(system: &System) {
    let schedule = "/api/schedules/trial-reminders";
    wait_until("the timetable is written", PATIENCE, async || system.get(schedule).await.status == 200).await;
    let run = system.post(&format!("{schedule}/run"), &json!({})).await;
    let run = system.wait_job(run.body["id"].as_str().unwrap()).await;
    assert_eq!(run["state"], "succeeded", "{run}");
    wait_until("the reminder", JOB_PATIENCE, async || n_mails(system, "trial_ending").await == 1).await;
}

/// A Redis whose clock can be moved on, for [`pass_days`]: all our programs follow it.
pub(crate) fn redis_with_clock() -> RedisServer {
    RedisServer::start_with_clock(RedisKind::Valkey)
}

/// Moves the clock of the whole system on, and waits until the API and the first worker go by it.
pub(crate) async fn pass_days(system: &System, redis: &RedisServer, days: u32) {
    let wanted = now(system).await + TimeDelta::days(days.into());
    redis.move_clock(DAY * days);
    wait_until("the api goes by the new time", PATIENCE, async || now(system).await >= wanted).await;
    wait_until("the worker goes by the new time", JOB_PATIENCE, async || {
        let id = system.post_job("content", product(1)).await;
        time(&system.wait_job(&id).await["started_at"]) >= wanted
    })
    .await;
}

/// What time it is for the API: a link is good for an hour.
async fn now(system: &System) -> DateTime<Utc> {
    let link = system.post("/api/payments/subscribe-link", &json!({})).await;
    assert_eq!(link.status, 200, "{}", link.body);
    time(&link.body["expires_at"]) - TimeDelta::hours(1)
}

pub(crate) fn checkout(plan: &str) -> Value {
    json!({ "plan": plan, "success_url": "https://app.example/ok?s={CHECKOUT_SESSION_ID}", "cancel_url": "https://app.example/no" })
}

pub(crate) fn with(mut body: Value, more: &Value) -> Value {
    body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    body
}
