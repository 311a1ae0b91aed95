//! Requests at and past the limits of the contract: sizes, numbers, times, ids.

use std::fs;

use chrono::{Months, TimeDelta, Utc};
use futures::stream;
use reqwest::{Body, Method};
use serde_json::{Value, json};
use tests::{Answer, Options, System};

use crate::{assert_ran_once, product, redis_keys};

const BATCH_LIMIT: usize = 10_000;
const FAR_TOO_MANY: usize = 100_000;
/// Far less than what passes through the producer while it is measured.
const GROWTH_KB: u64 = 10 << 10;

fn content_job(n: usize) -> Value {
    json!({ "kind": "content", "payload": product(n) })
}

/// An e-mail whose every field is within its limits, and which is larger than 1 MB nevertheless.
fn large_email() -> Value {
    let payload = json!({ "to": "zoe@customer.example", "subject": "Hello", "text": "Hello", "html": "\u{1f4e6}".repeat(290_000) });
    json!({ "kind": "email", "payload": payload })
}

fn slug(line: &Value) -> &str {
    line["problem"]["type"].as_str().unwrap_or_default().rsplit('/').next().unwrap_or_default()
}

async fn ready(system: &System, queue: &str) -> u64 {
    system.depth(queue).await["ready"].as_u64().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_larger_than_1_mb_is_refused_alone_and_in_a_batch_and_the_others_go_in() {
    let system = System::start(Options::default().workers(0)).await;
    system.post("/api/jobs", &large_email()).await.assert_problem(413, "too-large");

    let batch =
        system.post("/api/jobs/batch", &json!({ "jobs": [content_job(0), large_email(), content_job(2)] })).await;
    assert_eq!((batch.status, &batch.body["accepted"]), (200, &json!(2)), "{}", batch.body);
    assert_eq!(slug(&batch.body["results"][1]), "too-large", "{}", batch.body);

    let lines = [content_job(0), large_email(), content_job(2)].map(|job| format!("{job}\n")).concat();
    let request = system.request(Method::POST, "/api/jobs/batch").header("content-type", "application/x-ndjson");
    let answer = Answer::to(request.body(lines)).await.unwrap();
    let results: Vec<Value> =
        answer.body.as_str().unwrap().lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(results.iter().map(slug).collect::<Vec<_>>(), ["", "too-large", ""]);
    assert_eq!((ready(&system, "content").await, ready(&system, "email").await), (4, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_json_batch_of_100_000_jobs_is_refused_whole() {
    let system = System::start(Options::default().workers(0)).await;
    let before = redis_keys(&system).await;
    let small = json!({ "jobs": vec![json!({}); FAR_TOO_MANY] });
    system.post("/api/jobs/batch", &small).await.assert_problem(413, "too-large");
    let jobs: Vec<Value> = (0..FAR_TOO_MANY).map(content_job).collect();
    system.post("/api/jobs/batch", &json!({ "jobs": jobs })).await.assert_problem(413, "too-large");
    assert_eq!(redis_keys(&system).await, before, "nothing was enqueued");
}

/// Memory that a process has in use, in KB.
fn resident_kb(pid: u32) -> u64 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    line.trim().trim_end_matches(" kB").parse().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn an_ndjson_batch_of_100_000_jobs_is_streamed_and_10_000_go_in() {
    let system = System::start(Options::default().workers(0)).await;
    let producer = system.pids()[0];
    let lines = stream::iter((0..FAR_TOO_MANY).map(|n| Ok::<_, std::io::Error>(format!("{}\n", content_job(n)))));
    let request = system.request(Method::POST, "/api/jobs/batch").header("content-type", "application/x-ndjson");
    let mut response = request.body(Body::wrap_stream(lines)).send().await.unwrap();
    assert_eq!(response.status(), 200);

    let (mut begun, mut index, mut before_kb, mut most_kb) = (Vec::new(), 0, None, 0);
    while let Some(chunk) = response.chunk().await.unwrap() {
        begun.extend_from_slice(&chunk);
        let whole = begun.iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1);
        for line in begun.drain(..whole).collect::<Vec<u8>>().split_inclusive(|byte| *byte == b'\n') {
            let line: Value = serde_json::from_slice(line).unwrap();
            assert_eq!(line["index"], index);
            assert_eq!(slug(&line), if index < BATCH_LIMIT { "" } else { "too-large" }, "{line}");
            assert_eq!(line["id"].is_string(), index < BATCH_LIMIT, "{line}");
            index += 1;
        }
        // What the first lines took stays taken: buffers, schemas, connections.
        if index > BATCH_LIMIT {
            let now_kb = resident_kb(producer);
            before_kb.get_or_insert(now_kb);
            most_kb = most_kb.max(now_kb);
        }
    }
    assert_eq!(index, FAR_TOO_MANY, "one line of answer a line");
    assert_eq!(ready(&system, "content").await, BATCH_LIMIT as u64);
    let before_kb = before_kb.unwrap();
    assert!(most_kb < before_kb + GROWTH_KB, "from {before_kb} to {most_kb} KB while 90,000 lines passed");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_id_that_is_not_ours_is_not_found_on_any_route_of_a_job() {
    let system = System::start(Options::default().workers(0)).await;
    let known = system.post_job("content", product(1)).await;
    let mut neighbour = known.clone();
    let last = if neighbour.pop() == Some('0') { '1' } else { '0' };
    neighbour.push(last);
    let long = "x".repeat(2_000);
    let ids = [
        "rubbish",
        "1",
        "%00",
        "..%2F..%2Fqueues",
        "%F0%9F%93%A6",
        &long,
        &known[..35],
        "00000000-0000-0000-0000-000000000000",
        "ffffffff-ffff-ffff-ffff-ffffffffffff",
        // The other versions of RFC 9562, and one that has none.
        "c232ab00-9414-11ec-b3c8-9f6bdeced846",
        "919108f7-52d1-4320-9bac-f847db4148a8",
        "2ed6657d-e927-568b-95e1-2665a8aea6a2",
        "1ec9414c-232a-6b00-b3c8-9f6bdeced846",
        "2489e9ad-2ee2-8e00-8ec9-32d5f69181c0",
        "0199a1b2-0fff-0fff-8000-000000000001",
        // A partition that does not exist, and partition 0, which never does.
        "0199a1b2-0fff-7fff-8000-000000000001",
        "0199a1b2-0fff-7000-8000-000000000001",
        // Our partition, and no such job.
        &neighbour,
    ];
    let before = redis_keys(&system).await;
    let document = system.get("/api/openapi.json").await.body;
    let paths = document["paths"].as_object().unwrap().iter().filter(|(path, _)| path.starts_with("/api/jobs/{id}"));
    let routes: Vec<(Method, &String)> = paths
        .flat_map(|(path, calls)| calls.as_object().unwrap().keys().map(move |method| (method, path)))
        .filter_map(|(method, path)| Some((method.to_uppercase().parse().ok()?, path)))
        .collect();
    assert!(routes.len() >= 3, "{routes:?}");
    for (method, path) in routes {
        for id in ids {
            let answer = Answer::to(system.request(method.clone(), &path.replace("{id}", id))).await.unwrap();
            assert_eq!(answer.status, 404, "{method} {path} {id}: {}", answer.body);
            answer.assert_problem(404, "not-found");
        }
    }
    assert_eq!(redis_keys(&system).await, before);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_time_in_the_past_is_now_and_one_over_5_years_ahead_is_refused() {
    let system = System::start(Options::default().workers(1)).await;
    let post = async |options: Value| {
        let job = json!({ "kind": "content", "payload": product(1), "options": options });
        system.post("/api/jobs", &job).await
    };
    let now = Utc::now();
    let past = [now - TimeDelta::seconds(1), now - Months::new(120), "1960-01-01T00:00:00Z".parse().unwrap()];
    for run_at in past {
        let taken = post(json!({ "run_at": run_at })).await;
        assert_eq!((taken.status, &taken.body["state"]), (202, &json!("ready")), "{}", taken.body);
        assert_eq!(taken.body["run_at"], taken.body["created_at"], "{}", taken.body);
        assert_ran_once(&system.wait_job(taken.body["id"].as_str().unwrap()).await);
    }

    let five_years = Months::new(60);
    let far = json!({ "run_at": now + five_years + TimeDelta::minutes(10) });
    let far_s = json!({ "delay_s": (now + five_years + TimeDelta::minutes(10) - now).num_seconds() });
    for (options, pointer) in [(&far, "/options/run_at"), (&far_s, "/options/delay_s")] {
        let refused = post(options.clone()).await;
        refused.assert_problem(422, "invalid-payload");
        assert_eq!(refused.body["errors"][0]["pointer"], pointer, "{}", refused.body);
        let job = json!({ "kind": "content", "payload": product(1), "options": options });
        let batch = system.post("/api/jobs/batch", &json!({ "jobs": [job] })).await;
        assert_eq!(batch.body["results"][0]["problem"]["errors"][0]["pointer"], pointer, "{}", batch.body);
    }
    let near = post(json!({ "run_at": now + five_years - TimeDelta::minutes(10) })).await;
    assert_eq!((near.status, &near.body["state"]), (202, &json!("scheduled")), "{}", near.body);
    assert_eq!(system.depth("content").await["scheduled"], 1);
}
