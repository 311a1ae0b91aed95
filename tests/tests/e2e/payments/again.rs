//! What a plan says of jobs that were there before, and what is done where nobody can say what plans allow.

use queue::NewJob;
use reqwest::Method;
use serde_json::{Value, json};
use servers::wait_until;
use store::SubscriptionState;
use tests::{Answer, Options, PATIENCE, System, standins::stripe::Stripe};

use super::{
    KEY,
    intake::{World, assert_needs, content, image},
    variables,
    world::{enqueue, request},
};
use crate::push_past_the_api;

/// A job of acme's that came under another plan.
fn earlier(job: &Value) -> NewJob {
    let kind = job["kind"].as_str().unwrap();
    NewJob { tenant: "acme".to_owned(), ..NewJob::new(kind, job["payload"].to_string()) }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_runs_again_only_if_the_plan_has_its_tier_and_kind_by_now() {
    let world = World::start(0).await;
    world.tenant("acme", "pro", SubscriptionState::Active).await;
    let mut cancelled = Vec::new();
    for job in [content(1, Some("premium")), content(2, Some("standard")), image()] {
        let id = push_past_the_api(&world.system, earlier(&job)).await;
        assert_eq!(world.system.post(&format!("/api/jobs/{id}/cancel"), &json!({})).await.status, 200);
        cancelled.push(id);
    }
    let retry = async |id: &str| world.post("acme", &format!("/api/jobs/{id}/retry"), &json!({})).await;
    assert_needs(&retry(&cancelled[0]).await, &["premium"], "no texts of tier premium");
    assert_eq!(retry(&cancelled[1]).await.status, 200);
    assert_needs(&retry(&cancelled[2]).await, &["premium"], "no jobs of kind image");
    assert_eq!(world.may_use("acme").await["jobs_today"], 0, "they counted when they came");
    world.tenant("acme", "premium", SubscriptionState::Active).await;
    for id in [&cancelled[0], &cancelled[2]] {
        wait_until("the better plan is known", PATIENCE, async || retry(id).await.status == 200).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn of_dead_jobs_those_are_replayed_that_the_plan_has_by_now() {
    let world = World::start(1).await;
    world.tenant("acme", "pro", SubscriptionState::Active).await;
    let replay = async |queue: &str| world.post("acme", &format!("/api/queues/{queue}/dead/replay"), &json!({})).await;
    let mut dead = Vec::new();
    for (kind, payload) in [
        ("content", json!({ "tier": "premium" })),
        ("content", json!({ "tier": "premium", "name": "Lamp" })),
        ("content", json!({ "tier": "basic" })),
        ("image", json!({})),
    ] {
        // No handler takes such a payload.
        dead.push(push_past_the_api(&world.system, earlier(&json!({ "kind": kind, "payload": payload }))).await);
    }
    for job in world.system.wait_jobs(&dead).await {
        assert_eq!(job["state"], "dead", "{job}");
    }
    assert_needs(&replay("image").await, &["premium"], "no jobs of kind image");
    let replayed = replay("content").await;
    assert_eq!((replayed.status, &replayed.body["count"]), (200, &json!(1)), "{}", replayed.body);
    let named = json!({ "ids": [dead[0]] });
    let refused = world.post("acme", "/api/queues/content/dead/replay", &named).await;
    assert!(refused.status == 402 || refused.body["count"] == 0, "{}", refused.body);
    // The one that was replayed is dead again.
    let is_dead = async || world.system.job(&dead[2]).await["state"] == "dead";
    wait_until("it has run again", PATIENCE, is_dead).await;

    world.tenant("acme", "premium", SubscriptionState::Active).await;
    let is_replayed = async || replay("image").await.body["count"] == 1;
    wait_until("the better plan is known", PATIENCE, is_replayed).await;
    assert_eq!(replay("content").await.body["count"], 3);
    world.tenant("acme", "premium", SubscriptionState::Unpaid).await;
    let is_refused = async || {
        let refused = replay("content").await;
        refused.status == 402 && refused.body["detail"].as_str().unwrap().contains("payments have failed")
    };
    wait_until("nothing runs again without money", PATIENCE, is_refused).await;
}

fn unique(n: usize, key: &str, on_conflict: &str) -> Value {
    let mut job = content(n, None);
    job["options"] = json!({ "unique_key": key, "on_conflict": on_conflict });
    job
}

#[tokio::test(flavor = "multi_thread")]
async fn on_a_used_up_day_the_job_that_holds_a_unique_key_is_answered_as_on_any_other() {
    let world = World::start(0).await;
    world.tenant("acme", "pro", SubscriptionState::Active).await;
    let post = async |job: &Value| world.post("acme", "/api/jobs", job).await;
    let first = post(&unique(0, "lamp", "return_existing")).await;
    assert_eq!(first.status, 202, "{}", first.body);
    for n in 1..7 {
        assert_eq!(post(&content(n, None)).await.status, 202);
    }
    let again = post(&unique(7, "lamp", "return_existing")).await;
    assert_eq!((again.status, &again.body["id"]), (200, &first.body["id"]), "{}", again.body);
    for (key, on_conflict) in [("other", "return_existing"), ("lamp", "replace"), ("lamp", "reject")] {
        post(&unique(8, key, on_conflict)).await.assert_problem(429, "over-quota");
    }
    let jobs = json!({ "jobs": [content(9, None), unique(9, "lamp", "return_existing"), unique(9, "other", "return_existing")] });
    let batch = world.post("acme", "/api/jobs/batch", &jobs).await.body;
    let results = batch["results"].as_array().unwrap();
    assert_eq!((&results[1]["id"], &results[1]["created"]), (&first.body["id"], &json!(false)), "{batch}");
    for refused in [&results[0], &results[2]] {
        assert_eq!(refused["problem"]["status"], 429, "{batch}");
    }
    assert_eq!(world.may_use("acme").await["jobs_today"], 7);
    // Once it has ended, it holds nothing.
    let id = first.body["id"].as_str().unwrap();
    assert_eq!(world.post("acme", &format!("/api/jobs/{id}/cancel"), &json!({})).await.status, 200);
    post(&unique(10, "lamp", "return_existing")).await.assert_problem(429, "over-quota");
}

#[tokio::test(flavor = "multi_thread")]
async fn where_nobody_can_say_what_plans_allow_no_job_of_a_tenant_is_taken_and_the_status_says_why() {
    let stripe = Stripe::start(0, KEY, &["price_pro", "price_premium"]).await.unwrap();
    let options = Options::default().workers(0).env("PLANS_FILE", "/nowhere/plans.toml");
    let options = variables(&stripe).into_iter().fold(options, |options, (name, value)| options.env(name, value));
    let system = System::start(options).await;
    let shut = enqueue(&system, "acme").await;
    shut.assert_problem(503, "vendor-unavailable");
    assert_ne!(shut.header("retry-after"), "");
    let scopes = [producer::Scope::JobsWrite];
    let batch = request(&system, "acme", &scopes, Method::POST, "/api/jobs/batch");
    let batch = Answer::to(batch.json(&json!({ "jobs": [content(1, None)] }))).await.unwrap();
    assert_eq!(batch.body["results"][0]["problem"]["status"], 503, "{}", batch.body);
    assert_eq!(system.post("/api/jobs", &content(1, None)).await.status, 202, "an operator may");
    let status = system.get("/api/status/payments").await.body;
    let hints = status["hints"].to_string();
    assert!(
        hints.contains("PLANS_FILE=/nowhere/plans.toml") && hints.contains("no job of a tenant is taken"),
        "{status}"
    );
    assert!(system.producer_log().contains("PLANS_FILE=/nowhere/plans.toml"), "{}", system.producer_log());
    // Plans are minded while payments are real, and only then.
    let mock = json!({ "mode": "mock", "service": "payments", "reason": "a test" });
    assert_eq!(Answer::to(system.request(Method::PUT, "/api/mode").json(&mock)).await.unwrap().status, 200);
    wait_until("the switch is known", PATIENCE, async || enqueue(&system, "acme").await.status == 202).await;
}
