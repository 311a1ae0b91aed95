//! Many products at once, as a worker carries them out.

use std::{fs, time::Instant};

use reqwest::{Method, header};
use serde_json::json;
use tests::{Answer, System};

use super::{with_woo, woo};

/// Resident memory of a worker, in MB.
fn resident_mb(system: &System) -> u64 {
    let status = fs::read_to_string(format!("/proc/{}/status", system.worker_pid(0))).unwrap();
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap() / 1_024
}

fn product(n: usize) -> String {
    let (sku, price) = (format!("CUP-{n}"), json!({ "amount": "12.50", "currency": "EUR" }));
    json!({ "product_id": sku, "sku": sku, "title": format!("Cup {n}"), "description_html": "<p>Red.</p>", "price": price,
        "stock": 4, "tags": ["red"] })
    .to_string()
}

/// Prints calls, time, and what the worker's memory becomes from one thousand to the next.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "measures for some minutes"]
async fn the_memory_of_a_worker_from_one_thousand_products_to_the_next() {
    let shop = woo().await;
    shop.set(|settings| settings.slow_ms = 20);
    let system = System::start(with_woo(&shop).workers(1)).await;
    println!("before: {} MB", resident_mb(&system));
    for thousand in 0..8 {
        let lines: Vec<String> = (0..1_000).map(|n| product(thousand * 1_000 + n)).collect();
        let n_before = shop.faults().n_requests();
        let request = system.request(Method::POST, "/api/stores/default/products");
        let request = request.header(header::CONTENT_TYPE, "application/x-ndjson").body(lines.join("\n"));
        let began = Instant::now();
        let taken = Answer::to(request).await.unwrap();
        let job = system.wait_job(taken.body["job"]["id"].as_str().unwrap()).await;
        assert_eq!((&job["state"], &job["result"]["failed"]), (&json!("succeeded"), &json!(0)), "{job}");
        let n_calls = shop.faults().n_requests() - n_before;
        let (took, resident) = (began.elapsed(), resident_mb(&system));
        println!("thousand {}: {n_calls} calls of 20 ms, {took:.1?}, {resident} MB", thousand + 1);
    }
}
