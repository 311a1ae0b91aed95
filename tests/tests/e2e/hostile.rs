//! Clients that mean harm, or do not know better: what one request and what one connection may take of the API.

use std::{fs, time::Duration};

use producer::Scope;
use reqwest::Method;
use serde_json::{Value, json};
use tests::{Answer, Options, PATIENCE, System};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::timeout,
};

use crate::product;

/// A batch has at most so many bytes.
const BATCH: usize = 32 << 20;

async fn api() -> System {
    System::start(Options::default().workers(0)).await
}

/// The most memory that the producer ever had, in bytes.
fn most_memory(system: &System) -> usize {
    let status = fs::read_to_string(format!("/proc/{}/status", system.pids()[0])).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    line.trim().trim_end_matches(" kB").parse::<usize>().unwrap() << 10
}

/// As many as fit into a batch of `length` bytes.
fn batch_of(job: &str, length: usize) -> String {
    let n_jobs = (length - 20) / (job.len() + 1);
    format!("{{\"jobs\":[{}]}}", vec![job; n_jobs].join(","))
}

async fn post(system: &System, body: String) -> Answer {
    let request = system.request(Method::POST, "/api/jobs/batch").header("content-type", "application/json");
    Answer::to(request.body(body)).await.unwrap()
}

/// Sends `request` as it is, and reads until the server closes.
async fn raw(system: &System, request: &str) -> String {
    let exchange = async {
        let mut stream = TcpStream::connect(system.url().strip_prefix("http://").unwrap()).await.unwrap();
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).await.unwrap();
        String::from_utf8_lossy(&answer).into_owned()
    };
    timeout(PATIENCE, exchange).await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hostile_batch_takes_less_than_three_times_its_length() {
    let system = api().await;
    let before = most_memory(&system);
    // More jobs than a batch has, of 7 bytes each.
    post(&system, batch_of(r#"{"":0}"#, BATCH)).await.assert_problem(413, "too-large");
    // As many jobs as a batch has, or as few as there can be, and nothing in them is right.
    let parts = format!(r#"{{"kind":"content","payload":{{"features":[{}]}}}}"#, vec![r#"{"":0}"#; 100_000].join(","));
    let answer = post(&system, batch_of(&parts, BATCH)).await;
    assert_eq!((answer.status, &answer.body["accepted"]), (200, &json!(0)), "{}", answer.body);
    let fields: Vec<String> = (0..150).map(|n| format!("\"{n}\":0")).collect();
    let bad = format!(r#"{{"kind":"content","payload":{{{}}}}}"#, fields.join(","));
    let answer = post(&system, batch_of(&bad, 10_000 * bad.len())).await;
    assert_eq!((answer.status, &answer.body["accepted"]), (200, &json!(0)));
    assert!(answer.body["results"][0]["problem"]["error_count"].as_u64() > Some(100), "{}", answer.body["results"][0]);
    let grown = most_memory(&system) - before;
    assert!(grown < 3 * BATCH, "{} MiB", grown >> 20);
}

#[tokio::test(flavor = "multi_thread")]
async fn more_large_batches_than_there_is_memory_for_are_told_to_come_again() {
    let system = api().await;
    let body = batch_of(r#"{"kind":"content","payload":{}}"#, BATCH);
    let before = most_memory(&system);
    let answers = futures::future::join_all((0..12).map(|_| post(&system, body.clone()))).await;
    let refused: Vec<_> = answers.iter().filter(|answer| answer.status == 503).collect();
    assert!(!refused.is_empty(), "{:?}", answers.iter().map(|answer| answer.status).collect::<Vec<_>>());
    for answer in refused {
        answer.assert_problem(503, "overloaded");
        assert_eq!(answer.header("retry-after"), "5");
    }
    assert!(answers.iter().any(|answer| answer.status == 413), "too many jobs: {}", answers[0].body);
    let grown = most_memory(&system) - before;
    assert!(grown < 400 << 20, "{} MiB", grown >> 20);
    assert_eq!(post(&system, batch_of(r#"{"kind":"x"}"#, 1000)).await.status, 200, "all was given back");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_server_itself_refuses_is_a_problem() {
    let system = api().await;
    let long = "x".repeat(200 << 10);
    let cases = [
        ("nonsense\r\n\r\n".to_owned(), 400, "malformed"),
        (format!("GET /{long} HTTP/1.1\r\nhost: x\r\n\r\n"), 414, "uri-too-long"),
        (format!("GET / HTTP/1.1\r\nhost: x\r\nx: {long}\r\n\r\n"), 431, "headers-too-large"),
    ];
    for (request, status, slug) in cases {
        let answer = raw(&system, &request).await;
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        assert!(head.starts_with(&format!("HTTP/1.1 {status} ")), "{answer}");
        let problem: Value = serde_json::from_str(body).unwrap();
        assert_eq!(problem["type"], format!("https://ecomsimply.example/problems/{slug}"), "{problem}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn more_connections_than_the_variable_allows_are_told_so_and_logged_once_a_minute() {
    // Four of five from one address, and room besides for the connections of the test itself.
    let system = System::start(Options::default().workers(0).env("HTTP_MAX_CONNECTIONS", "20")).await;
    let address = system.url().strip_prefix("http://").unwrap();
    let mut held = Vec::new();
    for _ in 0..20 {
        let mut stream = TcpStream::connect(address).await.unwrap();
        // Half a head: it is let in, and waits.
        stream.write_all(b"GET /api/health/live HTTP/1.1\r\n").await.unwrap();
        held.push(stream);
    }
    let close = "host: x\r\nconnection: close\r\n\r\n";
    let refused = raw(&system, &format!("GET /api/jobs HTTP/1.1\r\n{close}")).await;
    assert!(refused.starts_with("HTTP/1.1 503 ") && refused.contains("problems/overloaded"), "{refused}");
    let alive = raw(&system, &format!("GET /api/health/live HTTP/1.1\r\n{close}")).await;
    assert!(alive.starts_with("HTTP/1.1 200 "), "{alive}");
    let log = system.producer_log();
    let told = log.lines().filter(|line| line.contains("too many connections")).collect::<Vec<_>>();
    assert_eq!(told.len(), 1, "{log}");
    assert!(told[0].contains("at most 20 in all, 16 from one address"), "{told:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_waiting_request_and_a_stream_outlast_the_patience_with_a_head() {
    let system = api().await;
    // Nobody runs it: the stream stays open, with nothing but heartbeats, and so does who waits.
    let id = system.post_job("content", product(1)).await;
    let begun = std::time::Instant::now();
    let path = format!("/api/jobs/{id}?wait=12");
    let waited = system.get(&path);
    let stream = async {
        let mut events = system.request(Method::GET, &format!("/api/jobs/{id}/events")).send().await.unwrap();
        let mut text = String::new();
        while !text.contains("heartbeat") {
            text.push_str(&String::from_utf8_lossy(&events.chunk().await.unwrap().unwrap()));
        }
        text
    };
    let (waited, text) = futures::join!(waited, stream);
    assert_eq!((waited.status, &waited.body["state"]), (200, &json!("ready")));
    assert!(text.contains("event: state") && begun.elapsed() > Duration::from_secs(11), "{text}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_packed_job_is_taken_and_one_in_another_packing_refused() {
    let system = api().await;
    // `{"kind":"content"}` and nothing else: it is unpacked, and what lacks is named.
    let gzip: &[u8] = &[
        0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 2, 3, 0xab, 0x56, 0xca, 0xce, 0xcc, 0x4b, 0x51, 0xb2, 0x52, 0x4a, 0xce, 0xcf,
        0x2b, 0x49, 0xcd, 0x2b, 0x51, 0xaa, 5, 0, 0xaa, 0x15, 0x4c, 0x75, 0x12, 0, 0, 0,
    ];
    let ask = async |coding: &str, body: &'static [u8]| {
        let request = system.request(Method::POST, "/api/jobs").header("content-type", "application/json");
        Answer::to(request.header("content-encoding", coding).body(body)).await.unwrap()
    };
    let unpacked = ask("gzip", gzip).await;
    unpacked.assert_problem(422, "invalid-payload");
    assert_eq!(unpacked.body["errors"][0]["pointer"], "/payload", "{}", unpacked.body);
    let refused = ask("br", gzip).await;
    refused.assert_problem(415, "unsupported-media-type");
    assert_eq!(refused.header("accept-encoding"), "gzip, zstd");
    let none = system.client().post(format!("{}/api/jobs", system.url())).bearer_auth(system.token(&[Scope::JobsRead]));
    Answer::to(none.body("{}")).await.unwrap().assert_problem(403, "forbidden");
}
