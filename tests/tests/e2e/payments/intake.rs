//! What a plan does not allow is refused when it comes, at every door, while payments are real.

use std::{fs, time::Duration};

use chrono::Utc;
use futures::future::join_all;
use producer::Scope;
use reqwest::{Method, RequestBuilder};
use secrecy::SecretString;
use serde_json::{Value, json};
use servers::{TempDir, wait_until};
use store::{Moment, Store, StoredSubscription, SubscriptionState};
use tests::{Answer, JOB_PATIENCE, Options, PATIENCE, System, standins::stripe::Stripe};

use super::{KEY, variables};
use crate::push_past_the_api;

const LIFETIME: Duration = Duration::from_secs(3600);
/// What a tenant does by itself.
const SCOPES: [Scope; 5] =
    [Scope::JobsWrite, Scope::JobsRead, Scope::QueuesAdmin, Scope::SchedulesWrite, Scope::PaymentsRead];
const PLANS: &str = r#"
[plans.default]
[plans.pro]
price = "STRIPE_PRICE_ID_PRO"
kinds = ["content", "email"]
tier = "standard"
jobs_per_day = 7
[plans.premium]
price = "STRIPE_PRICE_ID_PREMIUM"
"#;

/// A system with small plans.
pub(super) struct World {
    pub(super) system: System,
    store: Store,
    _stripe: Stripe,
    _plans: TempDir,
}

impl World {
    pub(super) async fn start(workers: usize) -> Self {
        let stripe = Stripe::start(0, KEY, &["price_pro", "price_premium"]).await.unwrap();
        let plans = servers::temp_dir();
        let file = plans.path().join("plans.toml");
        fs::write(&file, PLANS).unwrap();
        let options = Options::default().workers(workers).env("PLANS_FILE", file.to_str().unwrap());
        let options = variables(&stripe).into_iter().fold(options, |options, (name, value)| options.env(name, value));
        let system = System::start(options).await;
        let store = Store::open(&system.mongo_url, &system.name).await.unwrap();
        Self { system, store, _stripe: stripe, _plans: plans }
    }

    /// Has a tenant with this subscription.
    pub(super) async fn tenant(&self, name: &str, plan: &str, state: SubscriptionState) {
        subscribed(&self.store, name, plan, state).await;
    }

    pub(super) fn request_at(&self, url: &str, tenant: &str, method: Method, path: &str) -> RequestBuilder {
        let secret = SecretString::from(self.system.secret());
        let token = producer::sign(&secret, "tests", Some(tenant), &SCOPES, LIFETIME).unwrap();
        self.system.client().request(method, format!("{url}{path}")).bearer_auth(token)
    }

    pub(super) fn request(&self, tenant: &str, method: Method, path: &str) -> RequestBuilder {
        self.request_at(self.system.url(), tenant, method, path)
    }

    pub(super) async fn post(&self, tenant: &str, path: &str, body: &Value) -> Answer {
        Answer::to(self.request(tenant, Method::POST, path).json(body)).await.unwrap()
    }

    pub(super) async fn may_use(&self, tenant: &str) -> Value {
        let answer = Answer::to(self.request(tenant, Method::GET, "/api/payments/entitlements")).await.unwrap();
        assert_eq!(answer.status, 200, "{}", answer.body);
        answer.body
    }
}

/// Writes what is kept of a tenant's subscription, in the place of what was.
pub(crate) async fn subscribed(store: &Store, tenant: &str, plan: &str, state: SubscriptionState) {
    let before = store.subscription(tenant).await.unwrap().map(|kept| kept.version);
    let none = StoredSubscription::none(tenant, Moment::from_ms(1));
    let version = before.unwrap_or(0) + 1;
    let kept = StoredSubscription { plan: Some(plan.to_owned()), state, version, ..none };
    assert!(store.put_subscription(&kept, before).await.unwrap());
}

pub(super) fn content(n: usize, tier: Option<&str>) -> Value {
    let mut job = json!({ "kind": "content", "payload": { "product_id": format!("P-{n}"), "name": "Lamp", "category": "Lamps",
        "language": "en", "target_length": 50 } });
    if let Some(tier) = tier {
        job["payload"]["tier"] = tier.into();
    }
    job
}

pub(super) fn image() -> Value {
    json!({ "kind": "image", "payload": { "product_id": "P-1", "name": "Lamp" } })
}

#[track_caller]
pub(super) fn assert_needs(answer: &Answer, plans: &[&str], says: &str) {
    answer.assert_problem(402, "plan-required");
    assert_eq!(answer.body["plans"], json!(plans), "{}", answer.body);
    assert!(answer.body["detail"].as_str().unwrap().contains(says), "{}", answer.body);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_plan_does_not_have_is_refused_at_every_door_with_the_plans_that_have_it() {
    let world = World::start(0).await;
    world.tenant("acme", "pro", SubscriptionState::Active).await;
    world.tenant("bolt", "premium", SubscriptionState::Active).await;
    let premium = content(1, Some("premium"));
    assert_needs(&world.post("acme", "/api/jobs", &premium).await, &["premium"], "no texts of tier premium");
    assert_needs(&world.post("acme", "/api/jobs", &image()).await, &["premium"], "no jobs of kind image");
    assert_eq!(world.post("acme", "/api/jobs", &content(1, Some("standard"))).await.status, 202);
    for job in [&premium, &image()] {
        assert_eq!(world.post("bolt", "/api/jobs", job).await.status, 202, "another tenant has another plan");
        assert_eq!(world.post("carl", "/api/jobs", job).await.status, 202, "who never subscribed has everything");
    }

    let jobs = json!({ "jobs": [content(2, None), premium, image(), content(3, Some("basic"))] });
    let batch = world.post("acme", "/api/jobs/batch", &jobs).await.body;
    assert_eq!((&batch["accepted"], &batch["rejected"]), (&json!(2), &json!(2)), "{batch}");
    let lines: Vec<String> = jobs["jobs"].as_array().unwrap().iter().map(Value::to_string).collect();
    let request = world.request("acme", Method::POST, "/api/jobs/batch").header("content-type", "application/x-ndjson");
    let answer = request.body(lines.join("\n")).send().await.unwrap().text().await.unwrap();
    let lines: Vec<Value> = answer.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    for line in batch["results"].as_array().unwrap().iter().chain(&lines) {
        let is_refused = matches!(line["index"].as_u64(), Some(1 | 2));
        assert_eq!(line["problem"]["status"] == 402, is_refused, "{line}");
        assert_eq!(line["id"].is_string(), !is_refused, "{line}");
    }

    let publish =
        json!({ "publication": { "sku": "S", "title": "Lamp", "price": { "amount": "1.00", "currency": "EUR" } } });
    assert_needs(&world.post("acme", "/api/products/P-1/publish", &publish).await, &["premium"], "kind product");
    let products = world.request("acme", Method::POST, "/api/stores/default/products");
    let products = products.header("content-type", "application/x-ndjson");
    let products = products.body(r#"{"product_id":"P","sku":"A","title":"Cup"}"#);
    assert_needs(&Answer::to(products).await.unwrap(), &["premium"], "kind publication-batch");
    let schedule = json!({ "every_s": 3600, "job": image() });
    let put = |tenant| world.request(tenant, Method::PUT, "/api/schedules/drawn").json(&schedule);
    assert_needs(&Answer::to(put("acme")).await.unwrap(), &["premium"], "kind image");
    assert_eq!(Answer::to(put("bolt")).await.unwrap().status, 201);

    // What was taken under a better plan is not run anew: neither by hand nor from a schedule.
    let cancelled =
        queue::NewJob { tenant: "acme".to_owned(), ..queue::NewJob::new("image", image()["payload"].to_string()) };
    let id = push_past_the_api(&world.system, cancelled).await;
    assert_eq!(world.system.post(&format!("/api/jobs/{id}/cancel"), &json!({})).await.status, 200);
    assert_needs(&world.post("acme", &format!("/api/jobs/{id}/retry"), &json!({})).await, &["premium"], "kind image");
    let by_admin = world.system.request(Method::PUT, "/api/schedules/drawn?tenant=acme").json(&schedule);
    assert_eq!(Answer::to(by_admin).await.unwrap().status, 201, "admins are exempt");
    assert_needs(&world.post("acme", "/api/schedules/drawn/run", &json!({})).await, &["premium"], "kind image");
    let by_admin = world.system.post("/api/schedules/drawn/run?tenant=acme", &json!({})).await;
    assert_eq!(by_admin.status, 202, "{}", by_admin.body);
    assert_eq!(world.system.post(&format!("/api/jobs/{id}/retry"), &json!({})).await.status, 200);

    let acme = world.may_use("acme").await;
    let expected = json!({ "plan": "pro", "state": "active", "enforced": true, "may_enqueue": true, "reason": null, "kinds": ["content", "email"],
        "tier": "standard", "jobs_per_day": 7, "jobs_today": 5, "spending_cap_per_day": null, "trial_ends_at": null,
        "period_ends_at": null, "cancel_at_period_end": false, "cancel_at": null, "grace_ends_at": null, "mock": false });
    assert_eq!(acme, expected, "the five that were taken count, and nothing that was refused or is an admin's");
    let carl = world.may_use("carl").await;
    assert_eq!((&carl["plan"], &carl["kinds"], &carl["jobs_per_day"]), (&json!("default"), &Value::Null, &Value::Null));
    let another =
        Answer::to(world.request("acme", Method::GET, "/api/payments/entitlements?tenant=bolt")).await.unwrap();
    another.assert_problem(403, "forbidden");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_has_ended_or_was_never_paid_is_only_read() {
    let world = World::start(0).await;
    for (tenant, state, says) in [
        ("unpaid", SubscriptionState::Unpaid, "payments have failed"),
        ("ended", SubscriptionState::Canceled, "has ended"),
        ("begun", SubscriptionState::Incomplete, "the first payment is awaited"),
        ("paused", SubscriptionState::Paused, "is paused"),
    ] {
        world.tenant(tenant, "pro", state).await;
        let refused = world.post(tenant, "/api/jobs", &content(1, None)).await;
        assert_needs(&refused, &["premium", "pro"], says);
        assert!(refused.body["detail"].as_str().unwrap().contains("POST /api/payments/"), "{}", refused.body);
        let read = Answer::to(world.request(tenant, Method::GET, "/api/jobs")).await.unwrap();
        assert_eq!(read.status, 200, "{}", read.body);
        let may_use = world.may_use(tenant).await;
        assert_eq!(may_use["may_enqueue"], false, "{may_use}");
        assert!(may_use["reason"].as_str().unwrap().contains(says), "{may_use}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn over_two_producers_as_many_jobs_a_day_get_in_as_the_plan_has_and_no_more() {
    let mut world = World::start(0).await;
    let other = world.system.start_producer().await;
    world.tenant("acme", "pro", SubscriptionState::Active).await;
    world.tenant("bolt", "pro", SubscriptionState::Active).await;
    let urls = [world.system.url().to_owned(), other];
    let keyed = |n: usize, url: &str| {
        let request = world.request_at(url, "acme", Method::POST, "/api/jobs");
        Answer::to(request.header("idempotency-key", format!("k{n}")).json(&content(n, None)))
    };
    let answers = join_all((0..40).map(|n| keyed(n, &urls[n % 2]))).await;
    let answers: Vec<Answer> = answers.into_iter().map(Result::unwrap).collect();
    let taken: Vec<usize> = (0..40).filter(|n| answers[*n].status == 202).collect();
    assert_eq!(taken.len(), 7);
    for refused in answers.iter().filter(|answer| answer.status != 202) {
        refused.assert_problem(429, "over-quota");
        let wait: i64 = refused.header("retry-after").parse().unwrap();
        let midnight = (Utc::now().timestamp() + wait) % (24 * 3600);
        assert!((0..60).contains(&midnight) || midnight > 24 * 3600 - 60, "{wait}");
    }
    // A repeated request is answered as the first was, and does not count.
    for n in taken {
        let again = keyed(n, &urls[(n + 1) % 2]).await.unwrap();
        assert_eq!((again.status, &again.body["id"]), (200, &answers[n].body["id"]), "{}", again.body);
    }
    assert_eq!(world.may_use("acme").await["jobs_today"], 7);

    // Of a batch as many lines as are left. A job that was there before is none that counts.
    let unique = |n: usize| {
        let mut job = content(n, None);
        job["options"] = json!({ "unique_key": "same" });
        job
    };
    let jobs: Vec<Value> =
        [unique(0), unique(1), unique(2)].into_iter().chain((3..12).map(|n| content(n, None))).collect();
    let request = || world.request("bolt", Method::POST, "/api/jobs/batch").header("idempotency-key", "batch");
    let first = Answer::to(request().json(&json!({ "jobs": jobs }))).await.unwrap().body;
    let results = first["results"].as_array().unwrap();
    let created = results.iter().filter(|line| line["created"] == true).count();
    let over = results.iter().filter(|line| line["problem"]["status"] == 429).count();
    assert_eq!((created, over, &first["accepted"]), (7, 3, &json!(9)), "{first}");
    let again = Answer::to(request().json(&json!({ "jobs": jobs }))).await.unwrap().body;
    let ids =
        |batch: &Value| batch["results"].as_array().unwrap().iter().map(|line| line["id"].clone()).collect::<Vec<_>>();
    assert_eq!(ids(&again), ids(&first), "{again}");
    assert_eq!(world.may_use("bolt").await["jobs_today"], 7);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_time_of_a_schedule_that_the_plan_does_not_allow_is_noted_with_the_reason() {
    let world = World::start(1).await;
    world.tenant("ended", "pro", SubscriptionState::Canceled).await;
    world.tenant("acme", "pro", SubscriptionState::Active).await;
    for tenant in ["ended", "acme"] {
        let schedule = json!({ "every_s": 1, "missed": "all", "job": content(1, None) });
        let path = format!("/api/schedules/texts?tenant={tenant}");
        assert_eq!(Answer::to(world.system.request(Method::PUT, &path).json(&schedule)).await.unwrap().status, 201);
    }
    let runs = async |tenant: &str| {
        let answer = world.system.get(&format!("/api/schedules/texts/runs?limit=200&tenant={tenant}")).await;
        answer.body["items"].as_array().unwrap().clone()
    };
    let of = |runs: &[Value], outcome: &str| runs.iter().filter(|run| run["outcome"] == outcome).count();
    wait_until("more than a day's jobs were due", JOB_PATIENCE, async || of(&runs("acme").await, "skipped") > 0).await;
    let acme = runs("acme").await;
    assert_eq!(of(&acme, "pushed"), 7, "{acme:?}");
    let over = acme.iter().find(|run| run["outcome"] == "skipped").unwrap();
    assert!(over["reason"].as_str().unwrap().contains("7 jobs a day"), "{over}");
    let ended = runs("ended").await;
    assert!(!ended.is_empty() && of(&ended, "pushed") == 0, "{ended:?}");
    for run in ended.iter().filter(|run| run["outcome"] == "skipped") {
        assert!(run["reason"].as_str().unwrap().contains("the subscription has ended"), "{run}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn plans_are_minded_while_payments_are_real_and_a_switch_takes_effect_without_a_restart() {
    let world = World::start(0).await;
    world.tenant("ended", "pro", SubscriptionState::Canceled).await;
    let post = async || world.post("ended", "/api/jobs", &image()).await.status;
    assert_eq!(post().await, 402);
    for (mode, status) in [("mock", 202), ("real", 402)] {
        let body = json!({ "mode": mode, "service": "payments", "reason": "a test" });
        let switched = Answer::to(world.system.request(Method::PUT, "/api/mode").json(&body)).await.unwrap();
        assert_eq!(switched.status, 200, "{}", switched.body);
        wait_until(mode, PATIENCE, async || post().await == status).await;
        let may_use = world.may_use("ended").await;
        assert_eq!((&may_use["enforced"], &may_use["mock"]), (&json!(mode == "real"), &json!(mode == "mock")));
    }
}
