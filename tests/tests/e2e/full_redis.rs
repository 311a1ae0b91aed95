//! A Redis at its `maxmemory`.

use queue::{Claimed, Client, Failure, Outcome, Session, Timing, Verdict};
use redis::AsyncCommands;
use reqwest::Method;
use serde_json::{Value, json};
use servers::{RedisKind, RedisServer};
use tests::{Answer, Options, System};

use crate::{assert_ran_once, key, product, redis, redis_keys};

/// A replica of the test's own.
fn session(system: &System) -> Session {
    let redis = fleet::Redis::open(&system.redis_url, &system.name).unwrap();
    Session::new(Client::new(&redis, Vec::new()), "host", 1, Timing::default())
}

async fn settle(session: &Session, job: &Claimed, verdict: Verdict) {
    let mut settlements = vec![session.verdict(job, verdict, 0).unwrap()];
    assert_eq!(session.settle(&mut settlements).await.unwrap(), 0);
}

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

    let session = session(&system);
    let claimed = session.claim("content", 2).await.unwrap().jobs;
    let fatal = Verdict::Ran(Outcome::Dead(Failure::new("bad", "no good")));
    settle(&session, &claimed[0], fatal).await;
    let (dead, running) = (claimed[0].id().to_string(), claimed[1].id().to_string());
    ids.retain(|id| *id != dead && *id != running);
    let pause = system.post("/api/queues/content/pause", &json!({})).await;
    assert_eq!(pause.body["changed"], true, "{}", pause.body);
    let _: () = redis(&system).await.del(key(&system, "content", "wake")).await.unwrap();

    let before = redis_keys(&system).await;
    limit(&system, "1mb").await;
    for job in [&job, &later, &unique] {
        assert_full(&system.post("/api/jobs", job).await);
    }
    assert_full(&Answer::to(with_key()).await.unwrap());
    let health = system.get("/api/health").await.body;
    assert_eq!(health["status"], "down", "it takes no jobs: {health}");
    assert!(health["redis"]["error"].as_str().unwrap().contains("full"), "{health}");
    assert_eq!(system.get("/api/health/ready").await.status, 200, "it can be operated");
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
    let stopping = system.post(&format!("/api/jobs/{running}/cancel"), &json!({})).await;
    assert_eq!(stopping.body["state"], "running", "{}", stopping.body);
    settle(&session, &claimed[1], Verdict::Cancelled).await;
    assert_eq!(system.job(&running).await["state"], "cancelled");
    let deleted = Answer::to(system.request(Method::DELETE, "/api/queues/content/dead")).await.unwrap();
    assert_eq!(deleted.body["count"], 1, "{}", deleted.body);
    system.get(&format!("/api/jobs/{dead}")).await.assert_problem(404, "not-found");
    let mode = json!({ "mode": "mock", "service": "email", "reason": "redis is full" });
    let switched = Answer::to(system.request(Method::PUT, "/api/mode").json(&mode)).await.unwrap();
    assert!(switched.status < 300, "{}", switched.body);
    let resumed = system.post("/api/queues/content/resume", &json!({})).await;
    assert_eq!((resumed.status, &resumed.body["changed"]), (200, &json!(true)), "{}", resumed.body);
    // A worker that sleeps is woken by this alone.
    assert!(redis_keys(&system).await.contains_key(key(&system, "content", "wake").as_bytes()), "a token is left");

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
