//! A Redis at its `maxmemory`.

use reqwest::Method;
use serde_json::{Value, json};
use servers::{RedisKind, RedisServer};
use tests::{Answer, Options, System};

use crate::{assert_ran_once, product, redis, redis_keys};

/// Sets the server's limit; 0 is none, and no server gets by with 1 MB.
async fn limit(system: &System, maxmemory: &str) {
    let set = ["SET", "maxmemory", maxmemory];
    let _: () = redis::cmd("CONFIG").arg(&set).query_async(&mut redis(system).await).await.unwrap();
}

fn assert_full(answer: &Answer) {
    answer.assert_problem(503, "queue-unavailable");
    assert!(answer.header("retry-after").parse::<u64>().unwrap() > 0);
    let detail = answer.body["detail"].as_str().unwrap();
    assert!(detail.contains("full") && detail.contains("memory"), "{detail}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_redis_takes_no_jobs_writes_none_by_halves_and_drains() {
    let server = RedisServer::start(RedisKind::Valkey);
    let options = Options { redis_url: Some(server.url()), ..Options::default() };
    let mut system = System::start(options.workers(0)).await;
    let mut ids = system.post_jobs("content", (0..30).map(product)).await;
    let job = json!({ "kind": "content", "payload": product(99) });
    let later = json!({ "kind": "content", "payload": product(98), "options": { "delay_s": 3_600 } });
    let unique = json!({ "kind": "content", "payload": product(97), "options": { "unique_key": "once" } });
    let with_key = || system.request(Method::POST, "/api/jobs").header("Idempotency-Key", "k").json(&job);

    let before = redis_keys(&system).await;
    limit(&system, "1mb").await;
    for job in [&job, &later, &unique] {
        assert_full(&system.post("/api/jobs", job).await);
    }
    assert_full(&Answer::to(with_key()).await.unwrap());
    assert_full(&system.post("/api/jobs/batch", &json!({ "jobs": [job, later, unique] })).await);
    let lines = format!("{job}\n{later}\n{unique}\n").repeat(300);
    let request = system.request(Method::POST, "/api/jobs/batch").header("content-type", "application/x-ndjson");
    let streamed = Answer::to(request.body(lines)).await.unwrap();
    let streamed: Vec<Value> =
        streamed.body.as_str().unwrap().lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(streamed.len(), 900);
    for line in &streamed {
        assert!(line["problem"]["type"].as_str().unwrap().ends_with("/queue-unavailable"), "{line}");
    }
    assert_eq!(redis_keys(&system).await, before, "nothing was written, not by halves either");

    // All that an operator needs to get it going again is done.
    let cancelled = ids.pop().unwrap();
    let cancelled = system.post(&format!("/api/jobs/{cancelled}/cancel"), &json!({})).await;
    assert_eq!(cancelled.body["state"], "cancelled", "{}", cancelled.body);
    let mode = json!({ "mode": "mock", "service": "email", "reason": "redis is full" });
    let operate = [
        system.request(Method::POST, "/api/queues/content/pause"),
        system.request(Method::POST, "/api/queues/content/resume"),
        system.request(Method::DELETE, "/api/queues/content/dead"),
        system.request(Method::PUT, "/api/mode").json(&mode),
    ];
    for call in operate {
        let answer = Answer::to(call).await.unwrap();
        assert!(answer.status < 300, "{} {}", answer.status, answer.body);
    }

    // A worker that starts now drains it all the same.
    system.start_worker().await;
    for id in &ids {
        assert_ran_once(&system.wait_state(id, "succeeded").await);
    }
    assert_full(&system.post("/api/jobs", &job).await);

    limit(&system, "0").await;
    let taken = Answer::to(system.request(Method::POST, "/api/jobs").header("Idempotency-Key", "k").json(&job)).await;
    let taken = taken.unwrap();
    assert_eq!(taken.status, 202, "{}", taken.body);
    let unique = system.post("/api/jobs", &unique).await;
    assert_eq!(unique.status, 202, "the key was not left behind: {}", unique.body);
    ids = [taken, unique].map(|answer| answer.body["id"].as_str().unwrap().to_owned()).to_vec();
    for job in system.wait_jobs(&ids).await {
        assert_ran_once(&job);
    }
    let depth = system.depth("content").await;
    assert!(depth.as_object().unwrap().values().all(|n| *n == 0), "{depth}");
}
