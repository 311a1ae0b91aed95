//! What is written outside, is paid or is a point of a history is so once, whatever happens between it and the job's end.

use mongodb::bson::{Document, doc};
use queue::NewJob;
use serde_json::{Value, json};
use servers::{MongoServer, wait_until};
use tests::{
    Gate, Options, PATIENCE, Shop, System,
    standins::{Fault, woocommerce::WooCommerce},
};

use crate::{fal, n_snoozes, outcomes, push_past_the_api};

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

async fn documents(mongo_url: &str, system: &System, collection: &str) -> mongodb::Collection<Document> {
    mongodb::Client::with_uri_str(mongo_url).await.unwrap().database(&system.name).collection(collection)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_picture_is_paid_once_although_mongodb_goes_away_between_its_submit_and_the_receipt() {
    let (mongo, fal) = (MongoServer::start(), fal::fal().await);
    let options = Options { mongo_url: Some(mongo.url()), ..fal::options(&fal).workers(1) };
    let mut system = System::start(options).await;
    for worker_dies in [false, true] {
        let name = format!("Lampe {worker_dies}");
        fal.faults().on(fal::SUBMIT, Some(1), Fault::Delay { ms: 10_000 });
        let id = fal::push(&system, &name, json!({})).await;
        wait_until("the run is begun", PATIENCE, async || fal.n_submitted_with(&name) == 1).await;
        mongo.stop();
        fal::waits_for_its_run(&system, &id).await;
        if worker_dies {
            system.kill_worker(0);
        }
        mongo.restart();
        if worker_dies {
            system.start_worker().await;
        }
        let job = system.wait_job(&id).await;
        fal::assert_real(&job);
        assert_eq!((fal.n_submitted_with(&name), &job["attempt"]), (1, &json!(1)), "{job}");
        // It is written down by now.
        let receipts = documents(&mongo.url(), &system, "receipts").await;
        let receipt = receipts.find_one(doc! { "_id": format!("{id}/submit") }).await.unwrap().unwrap();
        assert!(receipt.contains_key("completed_at"), "{receipt}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_submit_whose_answer_is_lost_and_whose_webhook_never_comes_is_waited_for_and_made_twice_at_most() {
    let fal = fal::fal().await;
    // It is told where to call, and calls nobody. A fifth of the deadline is waited for it.
    let options = fal::options(&fal).env("PUBLIC_URL", "https://jobs.example").env("FAL_DEADLINE_S", "45");
    let system = System::start(options.workers(1)).await;
    let waits = async |id: &str| {
        let job = system.job(id).await;
        job["state"] == "scheduled" && job["snoozes"]["last_code"] == "unknown_outcome" && n_snoozes(&job) >= 2
    };
    fal.faults().on(fal::SUBMIT, Some(1), Fault::DropAfter);
    let answered = fal::push(&system, "Lampe", json!({})).await;
    wait_until("it waits for its webhook", PATIENCE, async || waits(&answered).await).await;
    let job = system.wait_job(&answered).await;
    fal::assert_real(&job);
    assert_eq!((fal.n_submitted(), outcomes(&job)), (2, vec!["succeeded"]), "waiting is no attempt: {job}");

    fal.faults().on(fal::SUBMIT, None, Fault::DropAfter);
    let lost = fal::push(&system, "Vase", json!({ "max_attempts": 5 })).await;
    wait_until("it waits for its webhook", PATIENCE, async || waits(&lost).await).await;
    fal::assert_placeholder(&system.wait_job(&lost).await, "it was begun twice");
    assert_eq!(fal.n_submitted_with("Vase"), 2);
    // Nor when its placeholder is healed, although fal answers again.
    fal.faults().recover();
    let healing = system.post_job("maintenance", json!({ "task": "heal", "service": "images" })).await;
    assert_eq!(system.wait_job(&healing).await["state"], "succeeded");
    assert_eq!((fal.n_submitted_with("Vase"), &system.job(&lost).await["degraded"]), (2, &json!(true)));
    assert!(fal.delivered().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_that_waits_for_its_pictures_writes_its_receipt_once() {
    let fal = fal::fal().await;
    let system = System::start(fal::options(&fal).workers(1)).await;
    fal.takes(3);
    let id = fal::push(&system, "Lampe", json!({})).await;
    let job = system.wait_job(&id).await;
    fal::assert_real(&job);
    assert!(fal.counts().polls >= 4 && n_snoozes(&job) >= 4, "{:?}", fal.counts());
    let receipts = documents(&system.mongo_url, &system, "receipts").await;
    let receipt = receipts.find_one(doc! { "_id": format!("{id}/submit") }).await.unwrap().unwrap();
    assert_eq!(receipt.get("touched_at"), receipt.get("completed_at"), "it was only read since: {receipt}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_price_is_written_once_although_its_worker_is_stopped_and_another_takes_its_job() {
    let gate = Gate::closed();
    let shop = Shop::behind(gate.clone()).await;
    let options = Options::default().workers(1).real_scraping(2).env("LEASE_S", "4").env("RENEWAL_S", "1");
    let mut system = System::start(options).await;
    let id = system.post_job("scrape", shop.one_page(1)).await;
    let visits = || shop.visits(&Shop::page(1));
    wait_until("its page is asked for", PATIENCE, async || visits() == 1).await;
    system.signal_worker(0, "STOP");
    system.start_worker().await;
    wait_until("another worker asks for it", PATIENCE, async || visits() == 2).await;
    gate.open();
    let job = system.wait_job(&id).await;
    assert_eq!(job["state"], "succeeded", "{job}");
    // It comes back, and has an answer, too.
    system.signal_worker(0, "CONT");
    system.stop_worker(0).await;
    let series = system.get("/api/products/TEA-1/prices").await.body;
    assert_eq!(series["points"].as_array().map(Vec::len), Some(1), "{series}");
    let results = documents(&system.mongo_url, &system, "prices").await;
    assert_eq!(results.count_documents(doc! {}).await.unwrap(), 1);
    assert_eq!(system.job(&id).await["result"], job["result"]);
}
