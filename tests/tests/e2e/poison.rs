//! Jobs that no handler can read, or that their handler does not survive.

use queue::NewJob;
use reqwest::Method;
use serde_json::{Value, json};
use tests::{Answer, Options, System};

use crate::{assert_ran_once, attempts, outcomes, product, push_past_the_api};

async fn push(system: &System, payload: &str) -> String {
    push_past_the_api(system, NewJob::new("content", payload)).await
}

async fn dead(system: &System, queue: &str) -> Vec<Value> {
    let page = system.get(&format!("/api/queues/{queue}/dead")).await;
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
    let listed = dead(&system, "content").await;
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
    // Its history may be written already, which remembers it.
    assert!(dead(&system, "content").await.iter().all(|job| job["id"] != ids[0].as_str()));
    let deleted = Answer::to(system.request(Method::DELETE, "/api/queues/content/dead")).await.unwrap();
    assert_eq!((deleted.status, &deleted.body["count"]), (200, &json!(ids.len() - 1)), "{}", deleted.body);
    assert_eq!((dead(&system, "content").await.len(), &system.depth("content").await["dead"]), (0, &json!(0)));

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

/// A job of the kind that only `faulty-worker` knows.
async fn push_faulty(system: &System, payload: Value) -> String {
    push_past_the_api(system, NewJob { max_attempts: Some(2), ..NewJob::new("faulty", payload.to_string()) }).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_handler_that_panics_is_retried_then_dead_and_the_worker_lives() {
    let system = System::start(Options { workers: 1, worker_program: "faulty-worker", ..Options::default() }).await;
    let pids = system.pids();
    let mut panicking = Vec::new();
    for n in 0..6 {
        panicking.push(push_faulty(&system, json!({ "panic": format!("no shelf {n} here") })).await);
    }
    // Beside them and in the same queue, others go on.
    let beside = [system.post_job("content", product(1)).await, push_faulty(&system, json!({})).await];
    for (n, job) in system.wait_jobs(&panicking).await.iter().enumerate() {
        assert_eq!((&job["state"], outcomes(job)), (&json!("dead"), vec!["retry", "dead"]), "{job}");
        for attempt in attempts(job) {
            assert_eq!(attempt["error"]["code"], "panic", "{job}");
            let message = attempt["error"]["message"].as_str().unwrap();
            assert!(message.contains(&format!("no shelf {n} here")), "{job}");
        }
        assert_eq!((&job["attempt"], &job["crashes"]), (&json!(2), &json!(0)), "{job}");
    }
    assert_eq!(dead(&system, "faulty").await.len(), panicking.len());
    for job in system.wait_jobs(&beside).await {
        assert_ran_once(&job);
    }
    let after = [system.post_job("content", product(2)).await, push_faulty(&system, json!({})).await];
    for job in system.wait_jobs(&after).await {
        assert_ran_once(&job);
    }
    assert_eq!(system.pids(), pids, "the processes are the ones that were started");
    let workers = panicking.iter().chain(&after).map(async |id| system.job(id).await["attempts"][0]["worker"].clone());
    for worker in workers {
        assert!(
            worker.await.as_str().unwrap().ends_with(&format!("/{}", system.worker_pid(0))),
            "its one worker ran all"
        );
    }
}
