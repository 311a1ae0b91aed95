//! Jobs that no handler can read.

use queue::{Client, NewJob};
use reqwest::Method;
use serde_json::{Value, json};
use tests::{Answer, Options, System};

use crate::{assert_ran_once, outcomes, product};

/// Pushed past the API, as an older or a foreign program might.
async fn push(system: &System, payload: &str) -> String {
    let redis = fleet::Redis::open(&system.redis_url, &system.name).unwrap();
    Client::new(&redis, Vec::new()).push(NewJob::new("content", payload)).await.unwrap().to_string()
}

async fn dead(system: &System) -> Vec<Value> {
    let page = system.get("/api/queues/content/dead").await;
    assert_eq!(page.status, 200, "{}", page.body);
    page.body["items"].as_array().unwrap().clone()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_payload_that_cannot_be_decoded_is_a_dead_letter_and_the_worker_lives() {
    let system = System::start(Options::default().workers(1)).await;
    let pids = system.pids();
    let good = product(1);
    let payloads = [r#"{"product_id": 5}"#, "no json", "", &format!("{good}!")];
    let mut ids = Vec::new();
    for payload in payloads {
        ids.push(push(&system, payload).await);
    }
    for job in system.wait_jobs(&ids).await {
        assert_eq!((&job["state"], outcomes(&job)), (&json!("dead"), vec!["dead"]), "no attempt is repeated: {job}");
        assert_eq!(job["attempts"][0]["error"]["code"], "invalid_payload", "{job}");
    }
    let listed = dead(&system).await;
    assert_eq!(listed.len(), ids.len());
    assert!(ids.iter().all(|id| listed.iter().any(|job| job["id"] == id.as_str())));
    assert_eq!(system.depth("content").await["dead"], ids.len());

    let one = json!({ "ids": [ids[0]] });
    let replayed = system.post("/api/queues/content/dead/replay", &one).await;
    assert_eq!((replayed.status, &replayed.body["count"]), (200, &json!(1)));
    servers::wait_until("it is dead again", tests::PATIENCE, async || {
        let job = system.job(&ids[0]).await;
        job["state"] == "dead" && outcomes(&job) == ["dead", "dead"]
    })
    .await;

    let delete = |body: Value| system.request(Method::DELETE, "/api/queues/content/dead").json(&body);
    let deleted = Answer::to(delete(one)).await.unwrap();
    assert_eq!((deleted.status, &deleted.body["count"]), (200, &json!(1)), "{}", deleted.body);
    system.get(&format!("/api/jobs/{}", ids[0])).await.assert_problem(404, "not-found");
    let deleted = Answer::to(system.request(Method::DELETE, "/api/queues/content/dead")).await.unwrap();
    assert_eq!((deleted.status, &deleted.body["count"]), (200, &json!(ids.len() - 1)), "{}", deleted.body);
    assert_eq!((dead(&system).await.len(), &system.depth("content").await["dead"]), (0, &json!(0)));

    let id = system.post_job("content", good).await;
    assert_ran_once(&system.wait_job(&id).await);
    assert_eq!(system.pids(), pids);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_kind_that_no_worker_knows_stays_ready_untouched() {
    let system = System::start(Options::default().workers(1).env("KINDS", "content,email")).await;
    let image = system.post_job("image", json!({ "product_id": "LAMP-1", "name": "Lampe" })).await;
    let content = system.post_job("content", product(1)).await;
    assert_ran_once(&system.wait_job(&content).await);
    let job = system.job(&image).await;
    assert_eq!((&job["state"], outcomes(&job).len()), (&json!("ready"), 0), "{job}");
    let mut system = system;
    system.start_worker().await;
    assert_eq!(system.job(&image).await["state"], "ready", "the second worker does not know it either");
}
