//! A write to a shop is made once, whatever happens between it and the job's end.

use queue::NewJob;
use serde_json::{Value, json};
use servers::{MongoServer, wait_until};
use tests::{
    Gate, Options, PATIENCE, Shop, System,
    standins::{Fault, woocommerce::WooCommerce},
};

use crate::{outcomes, push_past_the_api};

const SKU: &str = "SKU12";
const PRODUCTS: &str = "/wp-json/wc/v3/products";

async fn shop() -> WooCommerce {
    WooCommerce::start(0, "ck_test", "cs_test").await.unwrap()
}

fn options(workers: usize) -> Options {
    Options { workers, worker_program: "faulty-worker", ..Options::default() }
}

async fn push(system: &System, shop: &WooCommerce, then: Option<String>) -> String {
    let payload = json!({ "shop": shop.url(), "sku": SKU, "then": then });
    push_past_the_api(system, NewJob { max_attempts: Some(5), ..NewJob::new("once", payload.to_string()) }).await
}

/// How often the shop was asked for the product and for a new one.
fn asked(shop: &WooCommerce) -> (usize, usize) {
    let n_asked = |method: &str| shop.faults().n_asked(&format!("{method} {PRODUCTS}"));
    (n_asked("GET"), n_asked("POST"))
}

/// Fails unless the job succeeded with the one product that the shop has.
#[track_caller]
fn assert_created_once(shop: &WooCommerce, job: &Value) {
    assert_eq!(job["state"], "succeeded", "{job}");
    let products = shop.products(SKU);
    assert_eq!((shop.n_created(SKU), shop.n_updated(SKU), products.len()), (1, 0, 1), "{job}");
    assert_eq!(job["result"]["id"], products[0]["id"], "{job}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_write_is_made_once_although_its_worker_is_killed_before_the_answer() {
    let shop = shop().await;
    let system = System::start(options(1)).await;
    shop.faults().on(PRODUCTS, Some(1), Fault::Delay { ms: 3_600_000 });
    let id = push(&system, &shop, None).await;
    wait_until("the shop has the product", PATIENCE, async || shop.n_created(SKU) == 1).await;
    system.kill_worker(0);
    let mut system = system;
    system.start_worker().await;
    let job = system.wait_job(&id).await;
    assert_created_once(&shop, &job);
    assert_eq!((outcomes(&job), asked(&shop)), (vec!["crashed", "succeeded"], (1, 1)), "{job}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_write_that_was_completed_is_not_even_looked_up_when_its_worker_is_killed() {
    let (shop, gate) = (shop().await, Gate::closed());
    let page = Shop::behind(gate.clone()).await;
    let mut system = System::start(options(1)).await;
    let id = push(&system, &shop, Some(format!("{}{}", page.url(), Shop::page(1)))).await;
    wait_until("the job waits after its write", PATIENCE, async || page.n_visits() == 1).await;
    system.kill_worker(0);
    gate.open();
    system.start_worker().await;
    let job = system.wait_job(&id).await;
    assert_created_once(&shop, &job);
    assert_eq!((outcomes(&job), asked(&shop)), (vec!["crashed", "succeeded"], (0, 1)), "{job}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_write_whose_answer_is_lost_is_adopted_and_one_that_failed_is_made_again() {
    let system = System::start(options(1)).await;
    let half = ("half of the answer", Fault::HalfBody, "unknown_outcome", (1, 1));
    let after = ("dropped after the write", Fault::DropAfter, "unknown_outcome", (1, 1));
    let before = ("dropped before the write", Fault::DropBefore, "unknown_outcome", (1, 2));
    let refused = ("refused before the write", Fault::status(500), "provider_unavailable", (1, 2));
    for (name, fault, code, n_asked) in [half, after, before, refused] {
        let shop = shop().await;
        shop.faults().on(PRODUCTS, Some(1), fault);
        let id = push(&system, &shop, None).await;
        let job = system.wait_job(&id).await;
        assert_created_once(&shop, &job);
        assert_eq!((outcomes(&job), asked(&shop)), (vec!["retry", "succeeded"], n_asked), "{name}: {job}");
        assert_eq!(job["attempts"][0]["error"]["code"], code, "{name}: {job}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn without_mongodb_no_write_is_begun_and_one_that_was_made_is_not_repeated() {
    let (mongo, shop) = (MongoServer::start(), shop().await);
    let system = System::start(Options { mongo_url: Some(mongo.url()), ..options(1) }).await;
    mongo.stop();
    let id = push(&system, &shop, None).await;
    let n_snoozes = async || crate::n_snoozes(&system.job(&id).await);
    wait_until("the job was put off twice", PATIENCE, async || n_snoozes().await >= 2).await;
    assert_eq!(asked(&shop), (0, 0), "what cannot be written down is not begun");
    // It goes away again between the write and its end.
    shop.faults().on(PRODUCTS, Some(1), Fault::Delay { ms: 10_000 });
    mongo.restart();
    wait_until("the shop has the product", PATIENCE, async || shop.n_created(SKU) == 1).await;
    mongo.stop();
    let n_before = n_snoozes().await;
    wait_until("the job waits with its result", PATIENCE, async || n_snoozes().await > n_before).await;
    mongo.restart();
    let job = system.wait_job(&id).await;
    assert_created_once(&shop, &job);
    assert_eq!((asked(&shop), &job["attempt"]), ((0, 1), &json!(1)), "{job}");
}
