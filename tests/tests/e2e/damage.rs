//! Damage in Redis: records with flipped bytes, and keys that something foreign wrote over.

use base64::prelude::{BASE64_STANDARD, Engine as _};
use mongodb::bson::doc;
use redis::AsyncCommands;
use serde_json::{Value, json};
use servers::{RedisKind, RedisServer, wait_until};
use tests::{Gate, Options, PATIENCE, System};

use crate::{assert_ran_once, key, outcomes, product, real_texts, redis, slow_model, store, stored};

fn bytes(job: &Value) -> Vec<u8> {
    BASE64_STANDARD.decode(job["record_base64"].as_str().unwrap_or_default()).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_record_with_flipped_bytes_is_a_dead_letter_whose_bytes_are_kept_and_shown() {
    let mut system = System::start(Options::default().workers(0)).await;
    let ids = system.post_jobs("content", (0..3).map(product)).await;
    let mut flipped = stored(&system, "content", &ids[1]).await;
    // In the middle of the payload, so that it is no longer UTF-8.
    let middle = flipped.len() / 2;
    flipped[middle] = 0xff;
    store(&system, "content", &ids[1], &flipped).await;

    system.start_worker().await;
    let job = system.wait_job(&ids[1]).await;
    assert_eq!((&job["state"], outcomes(&job)), (&json!("dead"), vec!["dead"]), "no attempt is repeated: {job}");
    assert_eq!(job["attempts"][0]["error"]["code"], "corrupt_record", "{job}");
    assert!(job["payload"].as_str().unwrap().contains("Luminaires"), "what can be read is shown as text: {job}");
    assert_eq!(bytes(&job), flipped, "and all of it in base64");
    assert_eq!(stored(&system, "content", &ids[1]).await, flipped, "nothing has changed it");
    let dead = system.get("/api/queues/content/dead").await.body;
    assert_eq!((dead["items"].as_array().unwrap().len(), &dead["items"][0]["id"]), (1, &json!(ids[1])));
    assert_eq!(bytes(&dead["items"][0]), flipped);

    for id in [&ids[0], &ids[2]] {
        let job = system.wait_job(id).await;
        assert_ran_once(&job);
        assert_eq!(job.get("record_base64"), None, "a good record needs no bytes: {job}");
    }
    assert_eq!(system.pids().len(), 2, "no process ended");
}

/// How many calls of scripts have failed, and the server's time in seconds.
async fn failed_scripts(system: &System) -> (f64, f64) {
    let mut redis = redis(system).await;
    let info: String = redis::cmd("INFO").arg("commandstats").query_async(&mut redis).await.unwrap();
    let failed = |line: &str| {
        line.split("failed_calls=").nth(1)?.split(|end: char| !end.is_ascii_digit()).next()?.parse::<f64>().ok()
    };
    let scripts = info.lines().filter(|line| line.starts_with("cmdstat_eval"));
    let (seconds, micros): (f64, f64) = redis::cmd("TIME").query_async(&mut redis).await.unwrap();
    (scripts.filter_map(failed).sum::<f64>(), seconds + micros / 1e6)
}

/// The lines of a log that say that this queue cannot be claimed from.
fn complaints(log: &str, queue: &str) -> Vec<Value> {
    let lines = log.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    let about = |line: &Value| {
        line["queue"] == queue && line["message"].as_str().unwrap_or_default().starts_with("cannot claim")
    };
    lines.filter(about).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_type_on_one_queues_key_is_reported_and_the_other_queues_work_on() {
    let server = RedisServer::start(RedisKind::Valkey);
    let options = Options { redis_url: Some(server.url()), ..Options::default() };
    let system = System::start(options).await;
    let pids = system.pids();
    let before = system.post_job("content", product(1)).await;
    assert_ran_once(&system.wait_job(&before).await);
    let ready = key(&system, "content", "ready:1");
    let _: () = redis(&system).await.set(&ready, "rubbish").await.unwrap();

    wait_until("both workers say so", PATIENCE, async || {
        (0..2).all(|number| !complaints(&system.worker_log(number), "content").is_empty())
    })
    .await;
    let content = system.queue("content").await;
    assert!(content["error"].as_str().unwrap().contains("WRONGTYPE"), "{content}");
    assert_eq!(system.queue("email").await["error"], Value::Null);
    let refused = system.post("/api/jobs", &json!({ "kind": "content", "payload": product(2) })).await;
    refused.assert_problem(500, "internal");

    let email = json!({ "to": "zoe@customer.example", "subject": "Hello", "text": "Hello" });
    let image = json!({ "product_id": "LAMP-1", "name": "Lampe" });
    let mut ids = system.post_jobs("email", vec![email; 20]).await;
    ids.extend(system.post_jobs("image", vec![image; 20]).await);
    for job in system.wait_jobs(&ids).await {
        assert_ran_once(&job);
    }

    // Long enough for a worker that tries without a pause to be told from one that waits between its tries.
    let (failed, began) = failed_scripts(&system).await;
    let (mut n, mut seconds) = (0.0, 0.0);
    wait_until("5 s have passed on the server", PATIENCE, async || {
        let (now, at) = failed_scripts(&system).await;
        (n, seconds) = (now - failed, at - began);
        seconds > 5.0
    })
    .await;
    assert!(n / seconds < 20.0, "{n} scripts failed in {seconds} s");
    for number in 0..2 {
        let said = complaints(&system.worker_log(number), "content");
        assert!(said.len() == 1 && said[0]["error"].as_str().unwrap().contains("WRONGTYPE"), "said once: {said:?}");
    }

    let _: () = redis(&system).await.del(&ready).await.unwrap();
    let after = system.post_job("content", product(3)).await;
    assert_ran_once(&system.wait_job(&after).await);
    assert_eq!(system.queue("content").await["error"], Value::Null);
    assert_eq!(system.pids(), pids, "no process ended");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_queue_whose_jobs_cannot_be_settled_does_not_hold_up_the_others() {
    let gate = Gate::closed();
    let model = slow_model(&gate).await;
    let system = System::start(real_texts(Options::default().workers(1), &model, 4)).await;
    let running = system.post_job("content", product(1)).await;
    wait_until("the job runs", PATIENCE, async || model.n_requests() == 1).await;
    let (leases, aside) = (key(&system, "content", "leases"), key(&system, "content", "aside"));
    let mut connection = redis(&system).await;
    let _: () = connection.rename(&leases, &aside).await.unwrap();
    let _: () = connection.set(&leases, "rubbish").await.unwrap();
    gate.open();
    wait_until("the worker cannot settle", PATIENCE, async || system.worker_log(0).contains("cannot settle")).await;

    let email = json!({ "to": "zoe@customer.example", "subject": "Hello", "text": "Hello" });
    // More than run at a time, in several turns: each turn waits for the settlements of the one before.
    for _ in 0..3 {
        let ids = system.post_jobs("email", vec![email.clone(); 20]).await;
        for job in system.wait_jobs(&ids).await {
            assert_ran_once(&job);
        }
    }
    let _: () = connection.del(&leases).await.unwrap();
    let _: () = connection.rename(&aside, &leases).await.unwrap();
    assert_ran_once(&system.wait_job(&running).await);
    let after = system.post_job("content", product(2)).await;
    assert_ran_once(&system.wait_job(&after).await);
    assert_eq!(model.n_requests(), 2, "neither ran twice");
}

/// Before its worker starts something is damaged that the history needs; that of an e-mail is written all the same.
async fn writes_the_history_all_the_same(mut system: System) {
    let email = json!({ "to": "zoe@customer.example", "subject": "Hello", "text": "Hello" });
    let id = system.post_job("email", email).await;
    system.start_worker().await;
    assert_ran_once(&system.wait_job(&id).await);
    let store = store::Store::open(&system.mongo_url, &system.name).await.unwrap();
    wait_until("the history has the e-mail", PATIENCE, async || store.past_job(&id).await.unwrap().is_some()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_list_of_unrecorded_jobs_that_is_damaged_holds_up_the_history_of_no_other_queue() {
    let system = System::start(Options::default().workers(0)).await;
    // The first queue that the recorder looks at.
    let _: () = redis(&system).await.set(key(&system, "content", "unrecorded"), "rubbish").await.unwrap();
    writes_the_history_all_the_same(system).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_index_that_mongodb_refuses_does_not_hold_up_the_history() {
    let system = System::start(Options::default().workers(0)).await;
    let client = mongodb::Client::with_uri_str(&system.mongo_url).await.unwrap();
    // Another index has the name of ours.
    let taken = doc! { "createIndexes": "emails", "indexes": [{ "key": { "n": 1 }, "name": "kept" }] };
    client.database(&system.name).run_command(taken).await.unwrap();
    writes_the_history_all_the_same(system).await;
}
