//! What the back end writes of pages that are to be watched, and gets wrong.

use mongodb::bson::{Document, doc};
use serde_json::{Value, json};
use tests::{JOB_PATIENCE, Options, System};

use crate::prices::{insert, run_task};

#[tokio::test(flavor = "multi_thread")]
async fn a_page_whose_selector_is_none_is_told_with_its_product_and_the_others_are_watched() {
    let system = System::start(Options::default().workers(1)).await;
    let page = |n: u32| format!("https://shop.example/{n}");
    let monitor = |n: u32, selector: Document| {
        let mut monitor =
            doc! { "_id": format!("monitor-no-{n}"), "tenant": "default", "product_id": "L 1", "url": page(n) };
        monitor.extend(selector);
        monitor
    };
    let monitors = vec![
        monitor(1, doc! { "selector": ".product .price" }),
        monitor(2, doc! { "selector": "div[" }),
        monitor(3, doc! { "selector": 7 }),
        monitor(4, doc! { "selector": null }),
        monitor(5, doc! { "selector": "a".repeat(501) }),
        monitor(6, doc! {}),
    ];
    insert(&system, "monitors", monitors).await;
    let task = run_task(&system, "prices").await;
    assert_eq!((&task["state"], &task["result"]["count"]), (&json!("succeeded"), &json!(3)), "{task}");
    let mut watched: Vec<Value> = Vec::new();
    servers::wait_until("the others are fetched", JOB_PATIENCE, async || {
        let jobs = system.get("/api/jobs?kind=scrape&state=succeeded").await.body["items"].clone();
        watched = jobs.as_array().unwrap().iter().map(|job| job["payload"]["urls"][0].clone()).collect();
        watched.len() == 3
    })
    .await;
    watched.sort_by_key(Value::to_string);
    assert_eq!(watched, [1, 4, 6].map(|n| json!(page(n))));

    let product = system.get("/api/products/L%201").await.body;
    assert_eq!(product["monitors"], json!([page(1), page(4), page(6)]), "{product}");
    let reason = "selector is no CSS selector of at most 500 characters";
    let not_watched: Vec<Value> = [2, 3, 5].map(|n| json!({ "url": page(n), "reason": reason })).to_vec();
    assert_eq!(product["not_watched"], json!(not_watched), "{product}");
    let told = system.worker_log(0);
    assert!(
        [2, 3, 5].iter().all(|id| told.contains(&format!("monitor-no-{id}"))) && !told.contains("monitor-no-6"),
        "{told}"
    );
}
