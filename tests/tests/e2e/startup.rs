//! Starting: without Redis the processes wait, without a good secret in production the API does not start.

use std::process::Output;

use serde_json::{Value, json};
use servers::{RedisKind, RedisServer, wait_until};
use tests::{Options, PATIENCE, System};

use crate::{assert_ran_once, product, time};

/// The times of the log's lines that say that Redis is away.
fn complaints(log: &str) -> Vec<chrono::DateTime<chrono::Utc>> {
    let lines = log.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    let said = lines.filter(|line| line["message"].as_str().is_some_and(|text| text.starts_with("redis is away")));
    said.map(|line| time(&line["timestamp"])).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn without_redis_at_start_the_processes_wait_and_say_so_every_5_s() {
    let redis = RedisServer::start(RedisKind::Valkey);
    redis.stop();
    let options = Options { redis_url: Some(redis.url()), wait_ready: false, ..Options::default() };
    let system = System::start(options.workers(1)).await;
    let pids = system.pids();
    wait_until("both said three times that redis is away", PATIENCE, async || {
        [system.producer_log(), system.worker_log(0)].iter().all(|log| complaints(log).len() >= 3)
    })
    .await;
    for log in [system.producer_log(), system.worker_log(0)] {
        for pair in complaints(&log).windows(2) {
            let gap_ms = (pair[1] - pair[0]).num_milliseconds();
            assert!((4_000..9_000).contains(&gap_ms), "{gap_ms} ms between two complaints");
        }
    }
    let ready = system.get("/api/health/ready").await;
    assert_eq!((ready.status, &ready.body["ready"], &ready.body["redis"]["ok"]), (503, &json!(false), &json!(false)));
    assert_eq!(system.get("/api/health").await.body["status"], "down");
    assert_eq!(system.get("/api/health/live").await.status, 200);

    redis.restart();
    system.wait_until_ready(1).await;
    let id = system.post_job("content", product(1)).await;
    assert_ran_once(&system.wait_job(&id).await);
    assert_eq!(system.pids(), pids);
}

#[track_caller]
fn assert_refused(output: &Output, reason: &str) {
    assert_eq!(output.status.code(), Some(1));
    let said = [&output.stdout[..], &output.stderr].concat();
    let said = String::from_utf8_lossy(&said);
    assert!(said.contains(reason), "{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn in_production_the_api_does_not_start_without_a_long_secret_and_says_why() {
    let production = ("APP_ENV", "production");
    let (missing, empty, short) = tokio::join!(
        System::run_alone("producer", vec![production]),
        System::run_alone("producer", vec![production, ("JWT_SECRET", "")]),
        System::run_alone("producer", vec![production, ("JWT_SECRET", "tiny")]),
    );
    assert_refused(&missing, "JWT_SECRET is not set");
    assert_refused(&empty, "JWT_SECRET is not set");
    assert_refused(&short, "JWT_SECRET has 4 bytes");
}

#[tokio::test(flavor = "multi_thread")]
async fn in_production_the_api_starts_with_a_long_secret() {
    let system = System::start(Options::default().workers(0).env("APP_ENV", "production")).await;
    system.post_job("content", product(1)).await;
}

async fn evict(redis: &RedisServer) {
    let mut connection = fleet::Redis::open(&redis.url(), "startup").unwrap().connection();
    let set = ["SET", "maxmemory-policy", "allkeys-lru"];
    let _: () = redis::cmd("CONFIG").arg(&set).query_async(&mut connection).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_redis_that_evicts_keys_is_refused_at_start() {
    let redis = RedisServer::start(RedisKind::Valkey);
    evict(&redis).await;
    let (url, reason) = (redis.url(), "maxmemory-policy allkeys-lru");
    let variables = || vec![("REDIS_URL", url.as_str()), ("MONGO_URL", servers::mongo()), ("JWT_SECRET", "x")];
    let (producer, worker) =
        tokio::join!(System::run_alone("producer", variables()), System::run_alone("worker", variables()));
    assert_refused(&producer, reason);
    assert_refused(&worker, reason);
    assert!(!String::from_utf8_lossy(&producer.stdout).contains("listening"), "no job is taken before");

    // One that does not answer yet is waited for, and refused when it does.
    redis.pause();
    let options = Options { redis_url: Some(url.clone()), wait_ready: false, ..Options::default() };
    let system = System::start(options.workers(0)).await;
    redis.resume();
    assert_eq!(system.producer_end().await.code(), Some(1));
    assert!(system.producer_log().contains(reason), "{}", system.producer_log());
}

#[tokio::test(flavor = "multi_thread")]
async fn an_empty_prefix_of_the_keys_is_refused() {
    for program in ["producer", "worker"] {
        let variables = vec![("REDIS_PREFIX", ""), ("JWT_SECRET", "x")];
        assert_refused(&System::run_alone(program, variables).await, "REDIS_PREFIX is empty");
    }
}

/// Soft and hard limit of open files of a process.
fn open_files(pid: u32) -> (u64, u64) {
    let limits = std::fs::read_to_string(format!("/proc/{pid}/limits")).unwrap();
    let line = limits.lines().find(|line| line.starts_with("Max open files")).unwrap();
    let numbers: Vec<u64> = line.split_whitespace().filter_map(|word| word.parse().ok()).collect();
    (numbers[0], numbers[1])
}

#[tokio::test(flavor = "multi_thread")]
async fn the_processes_raise_their_limit_of_open_files_and_say_so_when_it_stays_low() {
    let low = Options { open_files: Some((200, 2000)), ..Options::default() };
    let enough = Options { open_files: Some((200, 4096)), ..Options::default() };
    let (low, enough) = tokio::join!(System::start(low.workers(1)), System::start(enough.workers(1)));
    assert!(low.pids().into_iter().all(|pid| open_files(pid) == (2000, 2000)));
    assert!(enough.pids().into_iter().all(|pid| open_files(pid) == (4096, 4096)));
    for log in [low.producer_log(), low.worker_log(0)] {
        assert!(log.contains("few open files are allowed") && log.contains(r#""open_files.limit":2000"#), "{log}");
    }
    for log in [enough.producer_log(), enough.worker_log(0)] {
        assert!(!log.contains("few open files"), "{log}");
    }
}
