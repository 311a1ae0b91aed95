//! Shops side by side: what one of them does is no other's matter.

use axum::{
    Router,
    http::{StatusCode, Uri},
    response::{Html, IntoResponse},
};
use serde_json::{Value, json};
use servers::wait_until;
use tests::{Gate, Options, PATIENCE, System, standins::fault::Front};

const PAGE: &str = r#"<title>Tea</title><script type="application/ld+json">{"@type":"Product","offers":{"@type":"Offer",
    "price":"39.90","priceCurrency":"EUR"}}</script>"#;
/// Jobs that a worker has at a time.
const SLOTS: usize = 4;
/// Jobs of each of the two hosts that do not answer: more than slots.
const N: usize = 8;

/// A shop with an address of its own, whose pages wait at `gate`.
fn shop(address: &str, gate: Gate) -> Front {
    let answer = async move |uri: Uri| {
        if uri.path() == "/robots.txt" {
            return StatusCode::NOT_FOUND.into_response();
        }
        gate.pass().await;
        Html(PAGE).into_response()
    };
    let listener = std::net::TcpListener::bind((address, 0)).unwrap();
    Front::on(listener, Router::new().fallback(answer)).unwrap()
}

async fn push(system: &System, urls: &[String], max_attempts: u32) -> String {
    let payload = json!({ "product_id": "TEA-1", "urls": urls });
    let job = json!({ "kind": "scrape", "payload": payload, "options": { "max_attempts": max_attempts } });
    system.post("/api/jobs", &job).await.body["id"].as_str().unwrap().to_owned()
}

fn prices(job: &Value) -> Vec<&Value> {
    job["result"]["pages"].as_array().unwrap().iter().map(|page| &page["price"]["amount"]).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dead_host_and_a_slow_one_hold_up_no_other() {
    let gate = Gate::closed();
    let slow = shop("127.0.0.2", gate.clone());
    let nobody = std::net::TcpListener::bind("127.0.0.3:0").unwrap();
    let dead = format!("http://{}", nobody.local_addr().unwrap());
    drop(nobody);
    let fine: Vec<Front> = (4..10).map(|n| shop(&format!("127.0.0.{n}"), Gate::opened())).collect();
    let options = Options::default().workers(1).real_scraping(SLOTS);
    let options = options.env("SCRAPE_ALLOW_HOSTS", "127.0.0.0/8").env("SCRAPE_PACE_MS", "20");
    let system = System::start(options).await;

    let (mut of_slow, mut of_dead) = (Vec::new(), Vec::new());
    for n in 0..N {
        of_slow.push(push(&system, &[format!("{}/{n}", slow.url())], 4).await);
        of_dead.push(push(&system, &[format!("{dead}/{n}")], 1).await);
    }
    // One job has pages of both sorts.
    let mixed = push(&system, &[format!("{}/mixed", slow.url()), format!("{}/mixed", fine[0].url())], 4).await;
    let n_slow = || (0..N).map(|n| slow.faults().n_asked(&format!("GET /{n}"))).sum::<usize>();
    wait_until("the slow host was asked", PATIENCE, async || n_slow() + slow.faults().n_asked("GET /mixed") >= 1).await;

    let mut of_fine = Vec::new();
    for n in 0..24 {
        let urls = [n, n + 1].map(|shop| format!("{}/{n}", fine[shop % fine.len()].url()));
        of_fine.push(push(&system, &urls, 1).await);
    }
    for job in system.wait_jobs(&of_fine).await {
        assert_eq!((&job["state"], &job["degraded"]), (&json!("succeeded"), &json!(false)), "{job}");
        assert_eq!(prices(&job), ["39.90", "39.90"], "{job}");
    }
    for job in system.wait_jobs(&of_dead).await {
        assert_eq!((&job["state"], &job["degraded"]), (&json!("succeeded"), &json!(true)), "{job}");
        assert!(prices(&job)[0].is_null() && job["result"]["pages"][0]["error"].is_string(), "{job}");
    }
    wait_until("the page of the fine host is read, although the other one is not", PATIENCE, async || {
        fine[0].faults().n_asked("GET /mixed") == 1
    })
    .await;
    // Had its jobs held slots until they were given up, more of them would have been asked before the others had one.
    assert!(n_slow() < SLOTS, "{}", n_slow());
    for id in of_slow.iter().chain([&mixed]) {
        assert!(!tests::is_finished(&system.job(id).await));
    }

    gate.open();
    for job in system.wait_jobs(&of_slow).await {
        assert_eq!(prices(&job), ["39.90"], "{job}");
    }
    assert_eq!(prices(&system.wait_job(&mixed).await), ["39.90", "39.90"]);
    assert_eq!(fine[0].faults().n_asked("GET /mixed"), 1, "what was read is kept");
}
