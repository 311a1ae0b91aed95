//! A Redis that answers, but refuses what it is asked: a failover, a full disk, a changed password, and other states that pass.

use reqwest::Method;
use serde_json::{Value, json};
use servers::{RedisKind, Refusing, wait_until};
use tests::{Answer, Options, PATIENCE, System};

use crate::{assert_ran_once, product};

#[track_caller]
fn assert_refused(answer: &Answer) {
    answer.assert_problem(503, "queue-unavailable");
    assert!(answer.header("retry-after").parse::<u64>().unwrap() > 0);
}

/// Single jobs and batches are refused as long as it lasts, and told when to come again.
async fn assert_refuses(system: &System) {
    let job = json!({ "kind": "content", "payload": product(99) });
    let with_key = system.request(Method::POST, "/api/jobs").header("Idempotency-Key", "k").json(&job);
    assert_refused(&Answer::to(with_key).await.unwrap());
    assert_refused(&system.post("/api/jobs", &job).await);
    assert_refused(&system.post("/api/jobs/batch", &json!({ "jobs": [job, job] })).await);
    let lines = system.request(Method::POST, "/api/jobs/batch").header("content-type", "application/x-ndjson");
    let streamed = Answer::to(lines.body(format!("{job}\n{job}\n"))).await.unwrap();
    for line in streamed.body.as_str().unwrap().lines() {
        let line: Value = serde_json::from_str(line).unwrap();
        assert!(line["problem"]["type"].as_str().unwrap().ends_with("/queue-unavailable"), "{line}");
    }
    assert_refused(&system.post("/api/queues/content/pause", &json!({})).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn while_redis_refuses_jobs_are_answered_503_and_workers_wait_until_it_takes_them() {
    let (server, url) = Refusing::ReadOnly.server(RedisKind::Valkey);
    let options = Options { redis_url: Some(url), ..Options::default() };
    let system = System::start(options.workers(1)).await;
    for (n, state) in [
        Refusing::ReadOnly,
        Refusing::MasterDown,
        Refusing::Busy,
        Refusing::Misconf,
        Refusing::NoAuth,
        Refusing::NoPerm,
        Refusing::NoReplicas,
        Refusing::Loading,
    ]
    .into_iter()
    .enumerate()
    {
        let ids = system.post_jobs("content", (0..10).map(|i| product(100 * n + i))).await;
        let refusal = state.begin(&server);
        assert_refuses(&system).await;
        refusal.end();
        for job in system.wait_jobs(&ids).await {
            assert_ran_once(&job);
        }
        let job = json!({ "kind": "content", "payload": product(100 * n + 50) });
        wait_until("jobs are taken again", PATIENCE, async || system.post("/api/jobs", &job).await.status == 202).await;
    }
}
