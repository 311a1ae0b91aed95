//! Processes that are told to end.

use std::time::Duration;

use chrono::TimeDelta;
use queue::Client;
use reqwest::Method;
use serde_json::json;
use servers::wait_until;
use tests::{Answer, Gate, Options, PATIENCE, System, is_finished, standins::openai::OpenAi};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

use crate::{assert_ran_once, attempts, outcomes, product, real_texts, slow_model, time};

/// A system whose worker has to wait for its texts.
async fn slow_system(gate: &Gate, grace_s: u64) -> (System, OpenAi) {
    let model = slow_model(gate).await;
    let options = Options::default().workers(1).env("SHUTDOWN_GRACE_S", grace_s.to_string());
    (System::start(real_texts(options, &model, 4)).await, model)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_that_stops_hands_unfinished_jobs_back_at_once() {
    let gate = Gate::closed();
    let (mut system, model) = slow_system(&gate, 1).await;
    let ids = system.post_jobs("content", (0..3).map(product)).await;
    wait_until("the first worker is busy", PATIENCE, async || model.n_requests() == 3).await;
    system.start_worker().await;

    let ended = system.stop_worker(0).await;
    assert_eq!(ended.code(), Some(0), "{}", system.worker_log(0));
    // Held back, so that the jobs certainly run and have not just been finished by the first.
    wait_until("the second worker has them", PATIENCE, async || model.n_requests() == 6).await;
    gate.open();
    for job in system.wait_jobs(&ids).await {
        assert_eq!(outcomes(&job), ["handed_back", "succeeded"], "{job}");
        assert_eq!((&job["attempt"], &job["crashes"]), (&json!(1), &json!(0)), "it uses no attempt: {job}");
        let [first, second] = attempts(&job) else { panic!("two attempts: {job}") };
        assert_ne!(first["worker"], second["worker"], "{job}");
        let delay = time(&second["started_at"]) - time(&first["finished_at"]);
        assert!(delay < TimeDelta::seconds(5), "handed back, not waited for until its lease ended: {job}");
    }
    assert_eq!(system.get("/api/health").await.body["workers"], 1, "the first one has signed off");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_that_stops_finishes_what_fits_in_the_grace_period() {
    let gate = Gate::closed();
    let (system, model) = slow_system(&gate, 60).await;
    let ids = system.post_jobs("content", (0..3).map(product)).await;
    wait_until("the worker is busy", PATIENCE, async || model.n_requests() == 3).await;
    system.signal_worker(0, "TERM");
    wait_until("the worker stops", PATIENCE, async || system.worker_log(0).contains("no more jobs are claimed")).await;
    let late = system.post_job("content", product(3)).await;
    gate.open();
    assert_eq!(system.worker_end(0).await.code(), Some(0));
    for id in &ids {
        assert_ran_once(&system.job(id).await);
    }
    assert_eq!(system.job(&late).await["state"], "ready", "nothing new was begun");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_signal_ends_a_worker_at_once() {
    let gate = Gate::closed();
    let (system, model) = slow_system(&gate, 600).await;
    let id = system.post_job("content", product(1)).await;
    wait_until("the worker is busy", PATIENCE, async || model.n_requests() == 1).await;
    system.signal_worker(0, "TERM");
    wait_until("the worker stops", PATIENCE, async || system.worker_log(0).contains("no more jobs are claimed")).await;
    assert!(!is_finished(&system.job(&id).await));
    let ended = system.stop_worker(0).await;
    assert_ne!(ended.code(), Some(0));
    assert!(system.worker_log(0).contains("a second signal"), "{}", system.worker_log(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_producer_that_stops_finishes_the_request_under_way() {
    let system = System::start(Options::default().workers(1)).await;
    let body = json!({ "kind": "content", "payload": product(1) }).to_string();
    let address = system.url().trim_start_matches("http://").to_owned();
    let mut slow = TcpStream::connect(&address).await.unwrap();
    let head = format!(
        "POST /api/jobs HTTP/1.1\r\nHost: {address}\r\nAuthorization: Bearer {}\r\nContent-Type: application/json\r\n\
         Content-Length: {}\r\nConnection: close\r\nExpect: 100-continue\r\n\r\n",
        system.token(&[producer::Scope::Admin]),
        body.len(),
    );
    slow.write_all(head.as_bytes()).await.unwrap();
    // The leave to go on shows that the handler runs.
    let mut interim = [0; 25];
    slow.read_exact(&mut interim).await.unwrap();
    assert!(interim.starts_with(b"HTTP/1.1 100"), "{}", String::from_utf8_lossy(&interim));

    system.signal_producer("TERM");
    wait_until("the producer stops", PATIENCE, async || TcpStream::connect(&address).await.is_err()).await;
    slow.write_all(body.as_bytes()).await.unwrap();
    let mut answer = String::new();
    tokio::time::timeout(Duration::from_secs(30), slow.read_to_string(&mut answer)).await.unwrap().unwrap();
    assert!(answer.starts_with("HTTP/1.1 202"), "{answer}");
    assert_eq!(system.producer_end().await.code(), Some(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_waits_for_a_job_is_answered_when_the_producer_stops() {
    let system = System::start(Options::default().workers(0)).await;
    let id = system.post_job("content", product(1)).await;
    let redis = Client::new(
        &fleet::Redis::open_within(&system.redis_url, &system.name, servers::PATIENCE).unwrap(),
        Vec::new(),
    );
    let waiting = tokio::spawn(Answer::to(system.request(Method::GET, &format!("/api/jobs/{id}?wait=60"))));
    wait_until("somebody waits", PATIENCE, async || redis.counts("content").await.unwrap()["watched"] == 1).await;
    system.signal_producer("TERM");
    let answer = waiting.await.unwrap().unwrap();
    assert_eq!((answer.status, &answer.body["state"]), (200, &json!("ready")), "{}", answer.body);
    assert_eq!(system.producer_end().await.code(), Some(0));
}
