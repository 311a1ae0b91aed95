//! What the API promises of accepting jobs: idempotency keys, batches, cancelling.

use std::collections::HashSet;

use chrono::{TimeDelta, Utc};
use mongodb::bson::{Document, doc};
use queue::{Client, Clock, Fingerprint, Idempotency, NewJob};
use redis::AsyncCommands;
use reqwest::Method;
use serde_json::{Value, json};
use servers::{RedisKind, RedisServer, wait_until};
use sha2::{Digest, Sha256};
use tests::{Answer, Gate, Options, PATIENCE, Shop, System};

use crate::{assert_ran_once, outcomes, product, push_past_the_api};

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
async fn an_idempotency_key_gives_the_job_as_it_is_now() {
    let system = System::start(Options::default().workers(1)).await;
    let body = json!({ "kind": "content", "payload": product(1) });
    let post =
        || Answer::to(system.request(Method::POST, "/api/jobs").header("Idempotency-Key", "order-7").json(&body));
    let first = post().await.unwrap();
    assert_eq!(first.status, 202, "{}", first.body);
    let job = system.wait_job(first.body["id"].as_str().unwrap()).await;
    assert!(job["result"].is_object(), "{job}");
    let again = post().await.unwrap();
    assert_eq!((again.status, again.header("idempotency-replayed")), (200, "true"), "{}", again.body);
    assert_eq!((&again.body["state"], &again.body["result"]), (&job["state"], &job["result"]));
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
    let mut ids = HashSet::new();
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
    let redis = fleet::Redis::open_within(&system.redis_url, &system.name, servers::PATIENCE).unwrap();
    let an_hour_ago = Clock::simulated(Clock::default().now_ms() - 3_600_000);
    let client = Client::with_clock(&redis, Vec::new(), an_hour_ago);
    let hash: String = Sha256::digest(body).iter().map(|byte| format!("{byte:02x}")).collect();
    let request = Fingerprint { bytes: hash, meaning: String::new() };
    let Idempotency::New(taken) = client.idempotency_take("default", key, &request, "content").await.unwrap() else {
        panic!("the key is new")
    };
    if pushed {
        client.submit_as(taken.id, NewJob::new("content", product(1).to_string())).await.unwrap();
    }
    taken.id.to_string()
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
async fn the_same_json_in_another_order_is_the_same_request() {
    let system = System::start(Options::default().workers(0)).await;
    let post = async |body: &str| {
        let request = system.request(Method::POST, "/api/jobs").header("content-type", "application/json");
        Answer::to(request.header("Idempotency-Key", "order-7").body(body.to_owned())).await.unwrap()
    };
    let payload = product(1);
    let first = post(&format!(r#"{{"kind":"content","payload":{payload},"options":{{"priority":"low"}}}}"#)).await;
    assert_eq!(first.status, 202, "{}", first.body);
    let other = format!(
        "{{ \"options\": {{\n\"priority\": \"l\\u006fw\" }}, \"payload\": {payload:#}, \"kind\": \"content\" }}"
    );
    let again = post(&other).await;
    assert_eq!((again.status, again.header("idempotency-replayed")), (200, "true"), "{}", again.body);
    assert_eq!(again.body["id"], first.body["id"]);
    let another = other.replace("l\\u006fw", "high");
    post(&another).await.assert_problem(422, "idempotency-mismatch");
    assert_eq!(system.depth("content").await["ready"], 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_whose_times_have_passed_meanwhile_is_answered_as_before() {
    let system = System::start(Options::default().workers(0)).await;
    let send = async |path: &str, key: &str, body: &Value| {
        Answer::to(system.request(Method::POST, path).header("Idempotency-Key", key).json(body)).await.unwrap()
    };
    let expires_at = Utc::now() + TimeDelta::seconds(5);
    let job = |n: usize| json!({ "kind": "content", "payload": product(n), "options": { "expires_at": expires_at } });
    let batch = json!({ "jobs": [job(2), job(3)] });
    let first = send("/api/jobs", "one", &job(1)).await;
    let first_batch = send("/api/jobs/batch", "many", &batch).await;
    assert_eq!((first.status, &first_batch.body["accepted"]), (202, &json!(2)), "{}", first_batch.body);
    wait_until("their time has passed", PATIENCE, async || Utc::now() > expires_at).await;

    let again = send("/api/jobs", "one", &job(1)).await;
    assert_eq!((again.status, again.header("idempotency-replayed")), (200, "true"), "{}", again.body);
    assert_eq!(again.body["id"], first.body["id"]);
    let ids = |answer: &Answer| [0, 1].map(|n| answer.body["results"][n]["id"].clone());
    let again = send("/api/jobs/batch", "many", &batch).await;
    assert_eq!(ids(&again), ids(&first_batch), "{}", again.body);
    send("/api/jobs", "one", &job(4)).await.assert_problem(422, "invalid-payload");
    send("/api/jobs", "another", &job(1)).await.assert_problem(422, "invalid-payload");
}

/// Redis stands still for longer than it may take for an answer: every client is refused. Then each sends its request again, as it is told
/// to, until it is not refused any more.
#[tokio::test(flavor = "multi_thread")]
async fn after_a_stall_of_redis_no_key_answers_for_a_job_that_is_not_there() {
    let redis = RedisServer::start(RedisKind::Valkey);
    let options = Options { redis_url: Some(redis.url()), ..Options::default() };
    let system = System::start(options.workers(0)).await;
    let ask = |n: usize| {
        let unique = |extra: Value| {
            let mut options = json!({ "unique_key": format!("key {n}") });
            options.as_object_mut().unwrap().extend(extra.as_object().unwrap().clone());
            options
        };
        let options = match n % 4 {
            0 => unique(json!({})),
            1 => unique(json!({ "unique_for_s": 3600 })),
            2 => unique(json!({ "on_conflict": "reject" })),
            _ => json!({}),
        };
        let body = json!({ "kind": "content", "payload": product(n), "options": options });
        let request = system.request(Method::POST, "/api/jobs").json(&body);
        Answer::to(if n % 4 == 3 { request.header("Idempotency-Key", format!("key {n}")) } else { request })
    };
    // The server knows the scripts, so that what is written to it while it stands still is carried out.
    for n in 64..68 {
        assert_eq!(ask(n).await.unwrap().status, 202);
    }
    redis.pause();
    for refused in futures::future::join_all((0..64).map(ask)).await {
        let refused = refused.unwrap();
        refused.assert_problem(503, "queue-unavailable");
        assert!(refused.header("retry-after").parse::<u64>().unwrap() > 0);
    }
    redis.resume();
    let again = async |n| {
        let mut taken = None;
        wait_until("the request is taken", PATIENCE, async || {
            let answer = ask(n).await.unwrap();
            if answer.status != 503 {
                taken = Some(answer);
            }
            taken.is_some()
        })
        .await;
        taken.unwrap()
    };
    let mut ids = HashSet::new();
    for taken in futures::future::join_all((0..64).map(again)).await {
        assert!(matches!(taken.status, 200 | 202), "{}", taken.body);
        let id = taken.body["id"].as_str().unwrap();
        assert_eq!(system.job(id).await["state"], "ready");
        ids.insert(id.to_owned());
    }
    assert_eq!((ids.len(), &system.depth("content").await["ready"]), (64, &json!(68)));
}

/// Forgets a job in Redis: what a failover loses, or what the end of the retention removes.
async fn forget(system: &System, id: &str) {
    let mut redis = crate::redis(system).await;
    let id = uuid::Uuid::parse_str(id).unwrap();
    let ready = crate::key(system, "content", "ready:1");
    let _: () = redis.lrem(ready, 0, id.as_bytes().as_slice()).await.unwrap();
    let _: () = redis.hdel(crate::page(system, "content", id), id.as_bytes().as_slice()).await.unwrap();
    let done: Vec<String> = redis.keys(crate::key(system, "content", "done:*")).await.unwrap();
    if !done.is_empty() {
        let _: () = redis.del(done).await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_whose_job_was_lost_is_free_and_one_whose_job_is_history_holds() {
    let mut system = System::start(Options::default().workers(0)).await;
    let held = |n: usize| {
        json!({ "kind": "content", "payload": product(n),
            "options": { "unique_key": format!("key {n}"), "unique_for_s": 3600 } })
    };
    let keyed = async |n: usize| {
        let body = json!({ "kind": "content", "payload": product(n) });
        Answer::to(system.request(Method::POST, "/api/jobs").header("Idempotency-Key", n.to_string()).json(&body))
            .await
            .unwrap()
    };
    let first = system.post("/api/jobs", &held(1)).await.body["id"].as_str().unwrap().to_owned();
    forget(&system, &first).await;
    let mut reject = held(1);
    reject["options"]["on_conflict"] = json!("reject");
    let second = system.post("/api/jobs", &reject).await;
    assert_eq!(second.status, 202, "{}", second.body);
    assert_eq!(system.job(second.body["id"].as_str().unwrap()).await["state"], "ready");

    let lost = keyed(2).await.body["id"].as_str().unwrap().to_owned();
    forget(&system, &lost).await;
    let again = keyed(2).await;
    assert_eq!((again.status, &again.body["id"]), (202, &json!(lost)), "{}", again.body);
    assert_eq!(keyed(2).await.status, 200);
    assert_eq!(system.job(&lost).await["state"], "ready");

    let ended = system.post("/api/jobs", &held(3)).await.body["id"].as_str().unwrap().to_owned();
    let answered = keyed(4).await.body["id"].as_str().unwrap().to_owned();
    system.start_worker().await;
    let mongo = mongodb::Client::with_uri_str(&system.mongo_url).await.unwrap();
    let history = mongo.database(&system.name).collection::<Document>("jobs");
    for id in [&ended, &answered] {
        assert_ran_once(&system.wait_job(id).await);
        wait_until("the job is history", PATIENCE, async || {
            history.count_documents(doc! { "_id": id }).await.unwrap() == 1
        })
        .await;
    }
    forget(&system, &ended).await;
    let existing = system.post("/api/jobs", &held(3)).await;
    assert_eq!((existing.status, &existing.body["id"]), (200, &json!(ended)), "{}", existing.body);
    assert_eq!(existing.body["state"], "succeeded");
    let mut reject = held(3);
    reject["options"]["on_conflict"] = json!("reject");
    system.post("/api/jobs", &reject).await.assert_problem(409, "conflict");
    let body = json!({ "kind": "content", "payload": product(4) });
    let replayed =
        Answer::to(system.request(Method::POST, "/api/jobs").header("Idempotency-Key", "4").json(&body)).await.unwrap();
    assert_eq!((replayed.status, &replayed.body["id"]), (200, &json!(answered)), "{}", replayed.body);
}

/// What only the text of an answer tells: here a number is a double.
async fn text(request: reqwest::RequestBuilder) -> String {
    request.send().await.unwrap().text().await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn numbers_of_any_size_come_back_as_they_were_sent() {
    const METADATA: &str = r#""metadata":{"huge":12345678901234567890123,"list":[1.10,-0,1e5],"over":1e400}"#;
    let mut system = System::start(Options::default().workers(0)).await;
    let send = |path: &str, method: Method, body: String| {
        let request = system.request(method, path).header("content-type", "application/json");
        request.header("Idempotency-Key", format!("key of {path}")).body(body)
    };
    let payload = product(1);
    let job = format!(r#"{{ "kind": "content", "payload": {payload}, "options": {{ {METADATA} }} }}"#);
    let accepted = text(send("/api/jobs", Method::POST, job.clone())).await;
    assert!(accepted.contains(METADATA), "{accepted}");
    let replayed = text(send("/api/jobs", Method::POST, job.clone())).await;
    assert_eq!(replayed, accepted);
    let other = job.replace("12345678901234567890123", "12345678901234567890124");
    let mismatch = Answer::to(send("/api/jobs", Method::POST, other)).await.unwrap();
    mismatch.assert_problem(422, "idempotency-mismatch");
    let batch = text(send("/api/jobs/batch", Method::POST, format!(r#"{{"jobs":[{job}]}}"#))).await;
    let id = |answer: &str| {
        let at = answer.find(r#""id":""#).unwrap() + 6;
        answer[at..at + 36].to_owned()
    };
    let ids = [id(&accepted), id(&batch)];
    let schedule = format!(r#"{{"every_s":86400,"job":{job}}}"#);
    let put = text(send("/api/schedules/exact", Method::PUT, schedule)).await;
    assert!(put.contains(METADATA), "{put}");
    let of_schedule = text(send("/api/schedules/exact/run", Method::POST, String::new())).await;
    assert!(of_schedule.contains(METADATA.trim_end_matches('}')), "{of_schedule}");

    for id in &ids {
        assert!(text(system.request(Method::GET, &format!("/api/jobs/{id}"))).await.contains(METADATA));
    }
    let list = text(system.request(Method::GET, "/api/jobs?state=ready")).await;
    assert_eq!(list.matches(METADATA.trim_end_matches('}')).count(), 3, "{list}");
    let too_large = r#"{"kind":"content","payload":{"product_id":"L","name":"L","category":"L","language":"fr","target_length":1e400}}"#;
    let refused = Answer::to(
        system.request(Method::POST, "/api/jobs").header("content-type", "application/json").body(too_large),
    );
    refused.await.unwrap().assert_problem(422, "invalid-payload");

    // No field of a payload has such a number, but an older or a foreign program may have pushed one.
    let foreign = push_past_the_api(&system, NewJob::new("content", r#"{"flavour":[1.10,-0]}"#)).await;
    system.start_worker().await;
    let mongo = mongodb::Client::with_uri_str(&system.mongo_url).await.unwrap();
    let history = mongo.database(&system.name).collection::<Document>("jobs");
    for id in &ids {
        let ended = async || {
            let answer = text(system.request(Method::GET, &format!("/api/jobs/{id}?wait=30"))).await;
            assert!(answer.contains(METADATA), "{answer}");
            answer.contains(r#""state":"succeeded""#)
        };
        wait_until("the job has ended", PATIENCE, ended).await;
        wait_until("the job is history", PATIENCE, async || {
            history.count_documents(doc! { "_id": id }).await.unwrap() == 1
        })
        .await;
    }
    forget(&system, &ids[0]).await;
    let past = text(system.request(Method::GET, &format!("/api/jobs/{}", ids[0]))).await;
    assert!(past.contains(METADATA) && past.contains(r#""state":"succeeded""#), "{past}");
    assert_eq!(system.wait_job(&foreign).await["state"], "dead");
    wait_until("the foreign job is history", PATIENCE, async || {
        history.count_documents(doc! { "_id": &foreign }).await.unwrap() == 1
    })
    .await;
    for is_past in [false, true] {
        let shown = text(system.request(Method::GET, &format!("/api/jobs/{foreign}"))).await;
        assert!(shown.contains(r#""payload":{"flavour":[1.10,-0]}"#), "past: {is_past}: {shown}");
        let mut redis = crate::redis(&system).await;
        let id = uuid::Uuid::parse_str(&foreign).unwrap();
        let _: () = redis.zrem(crate::key(&system, "content", "dead"), id.as_bytes().as_slice()).await.unwrap();
        forget(&system, &foreign).await;
    }
}

/// The lines of an answer to a batch in NDJSON.
fn lines(answer: &Answer) -> Vec<Value> {
    answer.body.as_str().unwrap().lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_batch_that_is_sent_again_with_its_idempotency_key_makes_no_second_job() {
    let system = System::start(Options::default().workers(0)).await;
    let job = |n: usize| json!({ "kind": "content", "payload": product(n) });
    let unique = |n: usize| json!({ "kind": "content", "payload": product(n), "options": { "unique_key": "k" } });
    let holder = system.post("/api/jobs", &unique(9)).await.body["id"].clone();
    let send = async |key: &str, format: &str, body: String| {
        let request = system.request(Method::POST, "/api/jobs/batch").header("content-type", format);
        Answer::to(request.header("Idempotency-Key", key).body(body)).await.unwrap()
    };
    let jobs = [job(0), json!({ "kind": "contents", "payload": {} }), unique(2), job(3), job(3)];
    let json = json!({ "jobs": jobs }).to_string();
    let lined = jobs.iter().map(|job| format!("{job}\n")).collect::<String>();

    let first = send("nightly", "application/json", json.clone()).await;
    assert_eq!((first.status, first.header("idempotency-replayed")), (200, ""), "{}", first.body);
    let results = first.body["results"].as_array().unwrap();
    let created: Vec<&Value> = results.iter().map(|line| &line["created"]).collect();
    assert_eq!(created, [&json!(true), &Value::Null, &json!(false), &json!(true), &json!(true)], "{}", first.body);
    assert_eq!(results[2]["id"], holder);
    assert_ne!(results[3]["id"], results[4]["id"], "two lines are two jobs");
    let ids = |lines: &[Value]| lines.iter().map(|line| line["id"].clone()).collect::<Vec<_>>();

    // The holder ends meanwhile: what the first answer named is named again.
    system.post(&format!("/api/jobs/{}/cancel", holder.as_str().unwrap()), &json!({})).await;
    let again = send("nightly", "application/json", json.clone()).await;
    assert_eq!((again.status, again.header("idempotency-replayed")), (200, "true"), "{}", again.body);
    let repeated = again.body["results"].as_array().unwrap();
    assert_eq!(ids(repeated), ids(results));
    assert!(repeated.iter().all(|line| line["created"] != true), "{}", again.body);
    assert_eq!((&again.body["accepted"], &again.body["rejected"]), (&json!(4), &json!(1)));
    let as_lines = send("nightly", "application/x-ndjson", lined.clone()).await;
    assert_eq!((as_lines.status, as_lines.header("idempotency-replayed")), (200, "true"));
    assert_eq!(ids(&lines(&as_lines)), ids(results));

    send("nightly", "application/json", json!({ "jobs": [job(1)] }).to_string())
        .await
        .assert_problem(422, "idempotency-mismatch");
    assert_eq!(system.depth("content").await["ready"], 3);

    // What was lost is made again, and the rest is not.
    forget(&system, results[3]["id"].as_str().unwrap()).await;
    let mended = send("nightly", "application/x-ndjson", lined).await;
    let created: Vec<Value> = lines(&mended).iter().map(|line| line["created"].clone()).collect();
    assert_eq!(created, [json!(false), Value::Null, json!(false), json!(true), json!(false)]);
    assert_eq!(ids(&lines(&mended)), ids(results));

    let stream = send("streamed", "application/x-ndjson", format!("{}\n{}\n", job(7), job(8))).await;
    assert!(lines(&stream).iter().all(|line| line["created"] == true), "{}", stream.body);
    let without = system.post("/api/jobs/batch", &json!({ "jobs": [job(5)] })).await;
    assert_eq!(without.body["results"][0]["created"], true);
    assert_eq!(system.depth("content").await["ready"], 6);
}

/// The producer that answered first is gone in the middle of the batch: whoever is asked again goes on with it.
#[tokio::test(flavor = "multi_thread")]
async fn a_batch_of_one_line_and_the_same_job_alone_are_two_requests() {
    let system = System::start(Options::default().workers(0)).await;
    let body = json!({ "kind": "content", "payload": product(1) }).to_string();
    let post = async |path: &str, kind: &str, key: &str| {
        let request = system.request(Method::POST, path).header("content-type", kind).header("Idempotency-Key", key);
        Answer::to(request.body(body.clone())).await.unwrap()
    };
    let alone = async |key| post("/api/jobs", "application/json", key).await;
    let batch = async |key| post("/api/jobs/batch", "application/x-ndjson", key).await;
    assert_eq!(alone("alone first").await.status, 202);
    batch("alone first").await.assert_problem(422, "idempotency-mismatch");
    assert_eq!(batch("batch first").await.status, 200);
    alone("batch first").await.assert_problem(422, "idempotency-mismatch");
    assert_eq!(system.depth("content").await["ready"], 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_batch_whose_first_request_was_cut_off_by_a_stall_is_completed_by_the_next() {
    let redis = RedisServer::start(RedisKind::Valkey);
    let options = Options { redis_url: Some(redis.url()), ..Options::default() };
    let system = System::start(options.workers(0)).await;
    let jobs: Vec<Value> = (0..1200).map(|n| json!({ "kind": "content", "payload": product(n) })).collect();
    let body = json!({ "jobs": jobs });
    let send =
        || Answer::to(system.request(Method::POST, "/api/jobs/batch").header("Idempotency-Key", "once").json(&body));
    system
        .post(
            "/api/jobs/batch",
            &json!({ "jobs": [{ "kind": "content", "payload": product(0), "options": { "unique_key": "k" } }] }),
        )
        .await;
    redis.pause();
    send().await.unwrap().assert_problem(503, "queue-unavailable");
    redis.resume();
    let mut answer = None;
    wait_until("the batch is taken", PATIENCE, async || {
        let taken = send().await.unwrap();
        if taken.status == 200 {
            answer = Some(taken);
        }
        answer.is_some()
    })
    .await;
    let answer = answer.unwrap();
    assert_eq!(answer.body["accepted"], 1200, "{}", answer.body["results"][0]);
    let ids: HashSet<String> =
        answer.body["results"].as_array().unwrap().iter().map(|line| line["id"].to_string()).collect();
    assert_eq!((ids.len(), &system.depth("content").await["ready"]), (1200, &json!(1201)));
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
