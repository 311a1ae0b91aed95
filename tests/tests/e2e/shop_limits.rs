//! What all workers together do to a shop at the same time, and what jobs do that have to wait for it.

use queue::NewJob;
use reqwest::{Method, header};
use serde_json::{Value, json};
use tests::{
    Answer, Options, System,
    standins::{Fault, woocommerce::WooCommerce},
};

use crate::{attempts, n_snoozes, push_past_the_api};

const KEY: &str = "ck_pub";
const SECRET: &str = "cs_pub";

async fn woo() -> WooCommerce {
    WooCommerce::plain(0, KEY, SECRET).await.unwrap()
}

fn with_woo(shop: &WooCommerce) -> Options {
    Options::default()
        .env("MOCK_MODE_PUBLICATION", "false")
        .env("WOO_STORE_URL", shop.url())
        .env("WOO_CONSUMER_KEY", KEY)
        .env("WOO_CONSUMER_SECRET", SECRET)
}

fn cup(sku: &str) -> Value {
    json!({ "product_id": "CUP", "sku": sku, "title": "Cup", "price": { "amount": "12.50", "currency": "EUR" } })
}

async fn all_succeed(system: &System, ids: &[String]) {
    for job in system.wait_jobs(ids).await {
        assert_eq!((&job["state"], attempts(&job).len()), (&json!("succeeded"), 1), "{job}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn all_workers_together_have_no_more_calls_under_way_at_a_store_than_it_may() {
    let shop = woo().await;
    shop.faults().always(Fault::Delay { ms: 30 });
    let system = System::start(with_woo(&shop).env("WOO_IN_FLIGHT", "3").workers(2)).await;
    let ids = system.post_jobs("publication", (0..24).map(|n| cup(&format!("CUP-{n}")))).await;
    all_succeed(&system, &ids).await;
    assert_eq!((shop.faults().most_at_once(), shop.all().len()), (3, 24));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_that_a_shop_tells_to_wait_uses_no_attempt_and_holds_no_slot() {
    let shop = woo().await;
    let system = System::start(with_woo(&shop).workers(1)).await;
    shop.faults().next(2, Fault::retry_after(429, 1));
    let id = system.post_job("publication", cup("CUP-1")).await;
    all_succeed(&system, std::slice::from_ref(&id)).await;
    let job = system.job(&id).await;
    assert!(n_snoozes(&job) >= 2 && job["snoozes"]["last_code"] == "rate_limited", "{job}");
}

#[tokio::test(flavor = "multi_thread")]
async fn jobs_of_several_tenants_for_one_sku_at_the_environments_store_run_one_at_a_time() {
    let shop = woo().await;
    let system = System::start(with_woo(&shop).workers(2)).await;
    shop.faults().always(Fault::Delay { ms: 10 });
    let mut ids = Vec::new();
    for (n, tenant) in ["default", "acme", "bolt"].into_iter().cycle().take(12).enumerate() {
        let price = json!({ "amount": format!("{}.00", n + 1), "currency": "EUR" });
        let mut payload = cup("CUP-1");
        payload["price"] = price;
        let mut job = NewJob::new("publication", payload.to_string());
        job.tenant = tenant.to_owned();
        ids.push(push_past_the_api(&system, job).await);
    }
    for id in &ids {
        let job = system.wait_job(id).await;
        assert_eq!((&job["state"], attempts(&job).len()), (&json!("succeeded"), 1), "{job}");
    }
    assert_eq!((shop.n_created("CUP-1"), shop.products("CUP-1").len()), (1, 1));
    assert_eq!(shop.faults().most_at_once(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_batch_and_single_jobs_of_the_same_skus_make_each_product_once() {
    let shop = woo().await;
    let system = System::start(with_woo(&shop).workers(2)).await;
    shop.faults().always(Fault::Delay { ms: 20 });
    let skus: Vec<String> = (0..30).map(|n| format!("CUP-{n}")).collect();
    let lines: Vec<String> = skus.iter().map(|sku| cup(sku).to_string()).collect();
    let batch = async |lines: &[String]| {
        let request = system.request(Method::POST, "/api/stores/default/products");
        let request = request.header(header::CONTENT_TYPE, "application/x-ndjson").body(lines.join("\n"));
        let taken = Answer::to(request).await.unwrap();
        assert_eq!(taken.status, 202, "{}", taken.body);
        taken.body["job"]["id"].as_str().unwrap().to_owned()
    };
    let mut ids = system.post_jobs("publication", skus[..10].iter().map(|sku| cup(sku))).await;
    ids.push(batch(&lines).await);
    ids.extend(system.post_jobs("publication", skus[10..20].iter().map(|sku| cup(sku))).await);
    ids.push(batch(&lines[5..25]).await);
    for job in system.wait_jobs(&ids).await {
        assert_eq!(job["state"], "succeeded", "{job}");
        assert!(job["result"]["failed"].as_u64().unwrap_or(0) == 0, "{job}");
    }
    assert_eq!(shop.all().len(), skus.len());
    assert!(skus.iter().all(|sku| shop.n_created(sku) == 1), "each was made once");
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_store_of_the_environment_publication_is_real_for_those_of_tenants() {
    let key = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";
    let options = Options::default().env("MOCK_MODE_PUBLICATION", "false").env("ENCRYPTION_KEY", key);
    let system = System::start(options.workers(1)).await;
    let told = "the environment has no store; those of tenants are asked all the same";
    for log in [system.worker_log(0), system.producer_log()] {
        assert!(log.contains(told) && !log.contains("publication stays mock"), "{log}");
    }
    let status = system.get("/api/status/publication").await.body;
    assert_eq!(
        (&status["mode"], &status["configured"], &status["hints"]),
        (&json!("real"), &json!(true), &json!([told])),
        "{status}"
    );
}
