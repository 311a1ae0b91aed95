//! What the API promises of accepting jobs: idempotency keys, batches, cancelling.

use queue::{Client, Clock, Idempotency, NewJob};
use reqwest::Method;
use serde_json::{Value, json};
use servers::wait_until;
use sha2::{Digest, Sha256};
use tests::{Answer, Gate, Options, PATIENCE, Shop, System};

use crate::{assert_ran_once, outcomes, product};

#[tokio::test(flavor = "multi_thread")]
async fn the_same_idempotency_key_gives_the_same_job() {
    let system = System::start(Options::default().workers(0)).await;
    let post = async |key: &str, n: usize| {
        let body = json!({ "kind": "content", "payload": product(n) });
        Answer::to(system.request(Method::POST, "/api/jobs").header("Idempotency-Key", key).json(&body)).await.unwrap()
    };
    let first = post("order-7", 1).await;
    assert_eq!((first.status, first.header("idempotency-replayed")), (202, ""), "{}", first.body);
    let again = post("order-7", 1).await;
    assert_eq!((again.status, again.header("idempotency-replayed")), (200, "true"), "{}", again.body);
    assert_eq!((&again.body, again.header("location")), (&first.body, first.header("location")));
    post("order-7", 2).await.assert_problem(422, "idempotency-mismatch");
    let other = post("order-8", 1).await;
    assert_eq!(other.status, 202);
    assert_ne!(other.body["id"], first.body["id"]);
    assert_eq!(system.depth("content").await["ready"], 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hundred_requests_with_one_idempotency_key_make_one_job() {
    let system = System::start(Options::default().workers(0)).await;
    let body = json!({ "kind": "content", "payload": product(1) });
    let post = || {
        let request = system.request(Method::POST, "/api/jobs").header("Idempotency-Key", "once").json(&body);
        tokio::spawn(Answer::to(request))
    };
    let requests: Vec<_> = (0..100).map(|_| post()).collect();
    let mut ids = std::collections::HashSet::new();
    for request in requests {
        let answer = request.await.unwrap().unwrap();
        match answer.status {
            200 | 202 => drop(ids.insert(answer.body["id"].to_string())),
            _ => answer.assert_problem(409, "idempotency-in-progress"),
        }
    }
    assert_eq!((ids.len(), &system.depth("content").await["ready"]), (1, &json!(1)));
}

/// What a producer leaves behind that dies while it answers a request: the key is taken, and the job pushed or not.
async fn die_over(system: &System, key: &str, body: &str, pushed: bool) -> String {
    let redis = fleet::Redis::open(&system.redis_url, &system.name).unwrap();
    let an_hour_ago = Clock::simulated(Clock::default().now_ms() - 3_600_000);
    let client = Client::with_clock(&redis, Vec::new(), an_hour_ago);
    let hash: String = Sha256::digest(body).iter().map(|byte| format!("{byte:02x}")).collect();
    let Idempotency::New(id) = client.idempotency_take("default", key, &hash, "content").await.unwrap() else {
        panic!("the key is new")
    };
    if pushed {
        client.submit_as(id, NewJob::new("content", product(1).to_string())).await.unwrap();
    }
    id.to_string()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_retry_of_a_request_whose_producer_died_adds_no_second_job() {
    let system = System::start(Options::default().workers(1)).await;
    let body = json!({ "kind": "content", "payload": product(1) }).to_string();
    let post = async |key: &str| {
        let request = system.request(Method::POST, "/api/jobs").header("content-type", "application/json");
        Answer::to(request.header("Idempotency-Key", key).body(body.clone())).await.unwrap()
    };
    let id = die_over(&system, "after the push", &body, true).await;
    for _ in 0..2 {
        let again = post("after the push").await;
        assert_eq!((again.status, again.header("idempotency-replayed")), (200, "true"), "{}", again.body);
        assert_eq!(again.body["id"], id.as_str());
        assert_eq!(again.header("location"), format!("/api/jobs/{id}"));
    }
    assert_ran_once(&system.wait_job(&id).await);

    let id = die_over(&system, "before the push", &body, false).await;
    let again = post("before the push").await;
    assert_eq!((again.status, &again.body["id"]), (202, &json!(id)), "{}", again.body);
    let again = post("before the push").await;
    assert_eq!((again.status, &again.body["id"]), (200, &json!(id)), "{}", again.body);
    assert_ran_once(&system.wait_job(&id).await);
    let depth = system.depth("content").await;
    assert!(depth.as_object().unwrap().values().all(|n| *n == 0), "two requests, two jobs: {depth}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_batch_takes_the_good_jobs_and_reports_the_bad_ones() {
    let system = System::start(Options::default()).await;
    let good = |n: usize| json!({ "kind": "content", "payload": product(n) });
    let bad = json!({ "kind": "contents", "payload": {} });
    let answer = system.post("/api/jobs/batch", &json!({ "jobs": [good(0), bad, good(2)] })).await;
    assert_eq!(answer.status, 200, "{}", answer.body);
    assert_eq!((&answer.body["accepted"], &answer.body["rejected"]), (&json!(2), &json!(1)));
    assert_results(answer.body["results"].as_array().unwrap(), "unknown-kind", &system).await;

    let lines = format!("{}\nnonsense\n{}\n", good(0), good(2));
    let request = system.request(Method::POST, "/api/jobs/batch").header("content-type", "application/x-ndjson");
    let answer = Answer::to(request.body(lines)).await.unwrap();
    assert_eq!((answer.status, answer.header("content-type")), (200, "application/x-ndjson"));
    let lines = answer.body.as_str().unwrap().lines();
    let results: Vec<Value> = lines.map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_results(&results, "malformed", &system).await;
}

/// Three results, the second of which is a problem; the others' jobs succeed.
async fn assert_results(results: &[Value], slug: &str, system: &System) {
    assert_eq!(results.iter().map(|result| result["index"].as_u64().unwrap()).collect::<Vec<_>>(), [0, 1, 2]);
    assert!(results[1]["problem"]["type"].as_str().unwrap().ends_with(slug), "{results:?}");
    for result in [&results[0], &results[2]] {
        assert_ran_once(&system.wait_job(result["id"].as_str().unwrap()).await);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn cancelling_reaches_a_running_job_and_frees_its_slot() {
    let shop = Shop::behind(Gate::closed()).await;
    // Leases are renewed too seldom here to bring the news: the worker must be told at once.
    let options = Options::default().workers(1).real_scraping(1).env("RENEWAL_S", "60").env("LEASE_S", "120");
    let system = System::start(options).await;
    let running = system.post_job("scrape", shop.one_page(1)).await;
    wait_until("the first job runs", PATIENCE, async || shop.visits(&Shop::page(1)) == 1).await;
    let next = system.post_job("scrape", shop.one_page(2)).await;

    let answer = system.post(&format!("/api/jobs/{running}/cancel"), &json!({})).await;
    assert_eq!(answer.status, 200, "{}", answer.body);
    let cancelled = system.wait_state(&running, "cancelled").await;
    assert_eq!(outcomes(&cancelled), ["cancelled"], "{cancelled}");
    wait_until("the next job has the slot", PATIENCE, async || shop.visits(&Shop::page(2)) == 1).await;

    shop.gate.open();
    assert_ran_once(&system.wait_job(&next).await);
    assert_eq!(shop.visits(&Shop::page(1)), 1);
    system.post(&format!("/api/jobs/{next}/cancel"), &json!({})).await.assert_problem(409, "conflict");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_unique_key_gives_the_job_that_holds_it_or_a_conflict() {
    let system = System::start(Options::default().workers(0)).await;
    let post = async |options: Value| {
        system.post("/api/jobs", &json!({ "kind": "content", "payload": product(1), "options": options })).await
    };
    let first = post(json!({ "unique_key": "L-1 texts" })).await;
    assert_eq!((first.status, &first.body["unique_key"]), (202, &json!("L-1 texts")), "{}", first.body);
    let again = post(json!({ "unique_key": "L-1 texts" })).await;
    assert_eq!((again.status, &again.body["id"]), (200, &first.body["id"]), "{}", again.body);
    assert_eq!(again.header("location"), first.header("location"));
    post(json!({ "unique_key": "L-1 texts", "on_conflict": "reject" })).await.assert_problem(409, "conflict");
    let replaced = post(json!({ "unique_key": "L-1 texts", "on_conflict": "replace" })).await;
    assert_eq!(replaced.status, 202, "{}", replaced.body);
    assert_ne!(replaced.body["id"], first.body["id"]);

    let job = json!({ "kind": "content", "payload": product(1), "options": { "unique_key": "L-1 texts" } });
    let batch = system.post("/api/jobs/batch", &json!({ "jobs": [job, job] })).await;
    let id = &replaced.body["id"];
    assert_eq!((&batch.body["results"][0]["id"], &batch.body["results"][1]["id"]), (id, id), "{}", batch.body);
    assert_eq!(system.depth("content").await["ready"], 1);
}
