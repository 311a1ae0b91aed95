//! What is written outside, is paid or is a point of a history is so once, whatever happens between it and the job's end.

use mongodb::bson::{Document, doc};
use producer::Scope;
use queue::NewJob;
use reqwest::Method;
use serde_json::{Value, json};
use servers::{MongoServer, wait_until};
use tests::{
    Gate, Options, PATIENCE, Shop, System,
    standins::{Fault, woocommerce::WooCommerce},
};

use crate::{
    fal, n_snoozes, outcomes,
    payments::world::{World, checkout, with},
    push_past_the_api,
};

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

/// Sends a call of acme's, kills the API as soon as `done` says that Stripe has done it, and starts it again; what the client is answered
/// that sends the same then.
async fn repeated_after_a_kill(world: &mut World, call: &str, body: &Value, done: impl Fn(&World) -> bool) -> Value {
    let request = |world: &World| {
        // Of others, so many calls in a row would be too many.
        let scopes = [Scope::PaymentsWrite, Scope::Admin];
        let request = world.request("acme", &scopes, Method::POST, call);
        let plan = body["plan"].as_str().unwrap_or_default();
        request.header("Idempotency-Key", format!("once-{call}-{plan}")).json(body)
    };
    let first = tokio::spawn(request(world).send());
    wait_until(&format!("stripe has done it: {call}"), PATIENCE, async || done(world)).await;
    world.system.signal_producer("KILL");
    assert!(first.await.unwrap().is_err(), "nobody is answered");
    world.system.revive_producer().await;
    let mut answer = Value::Null;
    // For a moment the key is the first request's; and prices have to be read anew.
    wait_until(&format!("it is answered: {call}"), PATIENCE, async || {
        let again = World::answer(request(world)).await;
        assert!(matches!(again.status, 200 | 201 | 409 | 503), "{call}: {}", again.body);
        answer = again.body;
        matches!(again.status, 200 | 201)
    })
    .await;
    answer
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_made_and_paid_at_stripe_is_so_once_although_the_api_is_killed_before_the_answer() {
    let mut world = World::start(1).await;
    let never = Fault::Delay { ms: 3_600_000 };
    // The customer, and then its page.
    let trial = with(checkout("pro"), &json!({ "trial_days": 14 }));
    world.stripe.faults().on("POST /v1/customers", Some(1), never.clone());
    let opened = repeated_after_a_kill(&mut world, "checkout", &trial, |world| world.n_customers() == 1).await;
    assert_eq!((world.n_customers(), world.n_sessions("open")), (1, 1));
    world.stripe.faults().on("POST /v1/checkout/sessions", Some(1), never.clone());
    let premium = checkout("premium");
    let is_there = |world: &World| world.stripe.objects("cs_").len() == 2;
    let other = repeated_after_a_kill(&mut world, "checkout", &premium, is_there).await;
    assert!(other["id"] != opened["id"] && world.stripe.objects("cs_").len() == 2, "{other}");
    let opened = world.post("acme", "checkout", &trial).await.body;
    let subscription = world.stripe.complete(opened["id"].as_str().unwrap());
    world.stripe.advance_days(15);
    world.deliver("acme", "active").await;
    let of = format!("POST /v1/subscriptions/{subscription}");
    let n_invoices = |world: &World| world.stripe.objects("in_").len();
    let before = n_invoices(&world);

    // A dearer plan is paid once.
    world.stripe.faults().on(&of, Some(1), never.clone());
    let is_premium = |world: &World| world.price(&subscription) == "price_premium";
    let changed = repeated_after_a_kill(&mut world, "change", &json!({ "plan": "premium" }), is_premium).await;
    assert_eq!((&changed["plan"], n_invoices(&world)), (&json!("premium"), before + 1), "{changed}");

    // So it is with the others.
    let ends = |world: &World| world.at_stripe(&subscription)["cancel_at_period_end"] == true;
    world.stripe.faults().on(&of, Some(1), never.clone());
    let cancelled = repeated_after_a_kill(&mut world, "cancel", &json!({}), ends).await;
    assert_eq!(cancelled["cancel_at_period_end"], true, "{cancelled}");
    world.stripe.faults().on(&of, Some(1), never.clone());
    let resumed = repeated_after_a_kill(&mut world, "resume", &json!({}), |world| !ends(world)).await;
    assert_eq!(resumed["cancel_at_period_end"], false, "{resumed}");
    let kept = world.kept("acme").await.unwrap();
    assert_eq!((kept.get_str("plan").unwrap(), kept.get_str("state").unwrap()), ("premium", "active"));
    assert_eq!((n_invoices(&world), world.stripe.objects("sub_").len(), world.n_customers()), (before + 1, 1, 1));
}
