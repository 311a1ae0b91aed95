//! Many products at once: 100 a call, and each with an outcome of its own.

use std::time::{Duration, Instant};

use providers::{
    Policy,
    publication::{Action, Desk, Field, Item, Key, Order, Patch, Publication, PublicationStatus, PublishError, Status},
};
use serde_json::json;
use tests::standins::{Fault, woocommerce::WooCommerce};

use super::{
    super::{Memory, Till},
    euros, mugs, picture, set, start,
};

fn simple(n: usize) -> Patch {
    Patch {
        title: set(&format!("Mug {n}")),
        description_html: set(&format!("<p>Mug {n} & <b>co</b></p>")),
        price: euros("12.50"),
        stock: Field::Set(4),
        tags: Field::Set(vec!["red".to_owned()]),
        seo_title: set("Mug"),
        ..Patch::default()
    }
}

/// One run of a job of many products; `memories` are what is remembered of each.
async fn run(
    till: &Till,
    job: &str,
    now_ms: u64,
    orders: &[(String, Patch)],
    memories: &[Memory],
) -> Vec<Result<Publication, PublishError>> {
    let policy =
        Policy { allow_fallback: false, last_attempt: false, tenant: "default", time: Duration::from_secs(3_600) };
    let mut items: Vec<Item<'_>> = orders
        .iter()
        .zip(memories)
        .map(|((sku, patch), memory)| {
            let key = Key { sku, product_id: "p-12" };
            let order = Order { job, key, action: Action::Publish, patch, force: false, keep_edits: false, now_ms };
            Item { order, desk: Desk::new(memory.0.lock().unwrap().clone(), memory) }
        })
        .collect();
    till.providers.publication.carry_out_all(&till.store, policy, &mut items).await.unwrap()
}

fn many(n: usize) -> (Vec<(String, Patch)>, Vec<Memory>) {
    let orders = (0..n).map(|n| (format!("SKU-{n}"), simple(n))).collect();
    (orders, (0..n).map(|_| Memory::default()).collect())
}

/// The interface needs 30 calls at best: 10 look-ups, 10 creations and 10 publications of 100. At most 1.3 times as many are made.
#[tokio::test]
async fn a_thousand_simple_products_take_thirty_calls() {
    let (shop, till) = start().await;
    shop.set(|settings| settings.slow_ms = 20);
    let (orders, memories) = many(1_000);
    let began = Instant::now();
    let outcomes = run(&till, "1", 1_000_000, &orders, &memories).await;
    println!("1,000 products in {} calls of 20 ms and {:?}", shop.faults().n_requests(), began.elapsed());
    for (outcome, (sku, _)) in outcomes.iter().zip(&orders) {
        let done = outcome.as_ref().unwrap_or_else(|error| panic!("{sku}: {error}"));
        assert_eq!((done.status, done.published), (PublicationStatus::Published, true), "{sku}");
    }
    let n_calls = shop.faults().n_requests();
    assert!(n_calls <= 39, "{n_calls}");
    let products = shop.all();
    assert_eq!(products.len(), 1_000);
    assert!(products.iter().all(|product| product["status"] == "publish" && product["stock_quantity"] == 4));
    assert!(shop.shown().iter().all(|state| state["regular_price"] == "12.5" && state["description"] != ""));
    // The single way finds them as they were left, and has nothing to do.
    shop.set(|settings| settings.slow_ms = 0);
    let outcomes = run(&till, "2", 2_000_000, &orders[..20], &memories).await;
    assert!(
        outcomes.iter().all(|outcome| outcome.as_ref().unwrap().status == PublicationStatus::Unchanged),
        "{outcomes:?}"
    );
    assert!(shop.faults().last().iter().rev().take(20).all(|seen| seen.method == "GET"));
    assert_eq!(shop.all(), products);
}

/// What the calls of 100 are good for: prints calls and time of both ways. Both leave the same behind.
#[tokio::test]
#[ignore = "measures for two minutes"]
async fn a_thousand_products_in_calls_of_a_hundred_beside_one_after_the_other() {
    let (orders, memories) = many(1_000);
    let mut left = Vec::new();
    for is_bulk in [true, false] {
        let (shop, till) = start().await;
        shop.set(|settings| settings.slow_ms = 20);
        let began = Instant::now();
        if is_bulk {
            let outcomes = run(&till, "1", 1_000_000, &orders, &memories).await;
            assert!(outcomes.iter().all(Result::is_ok), "{outcomes:?}");
        } else {
            for (sku, patch) in &orders {
                super::till(&shop, sku).publish("1", patch).await;
            }
        }
        let way = if is_bulk { "in calls of 100" } else { "one after the other" };
        println!("1,000 products {way}: {} calls of 20 ms, {:.1?}", shop.faults().n_requests(), began.elapsed());
        let of = |product: serde_json::Value| {
            ["sku", "name", "regular_price", "stock_quantity", "status", "description"]
                .map(|name| product[name].clone())
        };
        left.push(shop.all().into_iter().map(of).collect::<Vec<_>>());
    }
    assert!(left[0].len() == 1_000 && left[0] == left[1]);
}

/// W43: each item has its own outcome; what is not simple, or not new, goes alone.
#[tokio::test]
async fn each_of_many_has_its_own_outcome() {
    let (shop, till) = start().await;
    let ours = shop.plant(&json!({ "name": "Theirs", "sku": "SKU-1", "regular_price": "1" }));
    shop.plant(&json!({ "name": "Theirs", "sku": "sku-2", "regular_price": "1" }));
    let trashed = shop.plant(&json!({ "name": "Old", "sku": "SKU-3", "regular_price": "1" }));
    shop.trash(trashed);
    shop.plant(&json!({ "name": "Theirs", "sku": "G", "regular_price": "1", "global_unique_id": "4006381333931" }));
    let (mut orders, memories) = many(10);
    orders[4].1.gtin = set("4006381333931");
    orders[5].1.images = Field::Set(vec![picture("front", "Front")]);
    orders[6].1 = mugs();
    orders[7].0 = "a%41b".to_owned();
    orders[8].1.status = Field::Set(Status::Draft);
    orders[9].0 = "sku-0".to_owned();
    let outcomes = run(&till, "1", 1_000_000, &orders, &memories).await;
    let told: Vec<String> = outcomes
        .iter()
        .map(|outcome| match outcome {
            Ok(done) => format!("{:?}", done.status),
            Err(error) => error.to_string().split(':').next().unwrap().to_owned(),
        })
        .collect();
    assert_eq!(told[..5], ["Published", "Published", "sku", "Draft", "gtin"], "{outcomes:?}");
    assert_eq!(told[5..], ["Published", "Published", "sku", "Draft", "sku"], "{outcomes:?}");
    assert_eq!(shop.products("SKU-1")[0]["id"], ours);
    assert_eq!(shop.products("SKU-5")[0]["images"].as_array().unwrap().len(), 1);
    assert_eq!(
        (&shop.products("SKU-8")[0]["status"], shop.products("sku-2")[0]["name"].as_str()),
        (&json!("draft"), Some("Theirs"))
    );
    assert_eq!((shop.products("SKU-4").len(), shop.products("sku-0").len()), (0, 0));
}

/// W20b: the filter of the look-up is dropped; nothing is made.
#[tokio::test]
async fn a_dropped_filter_is_noticed_among_many() {
    let (shop, till) = start().await;
    shop.plant(&json!({ "name": "Theirs", "sku": "X", "regular_price": "1" }));
    shop.set(|settings| settings.ignores_sku = true);
    let (orders, memories) = many(3);
    let outcomes = run(&till, "1", 1_000_000, &orders, &memories).await;
    assert!(outcomes.iter().all(|outcome| outcome.as_ref().unwrap_err().to_string().contains("with others (X)")));
    assert_eq!(shop.all().len(), 1);
}

/// Whichever call of a batch is cut off: repeated as the queue would, each product is there once, and was never shown incomplete.
#[tokio::test]
async fn many_cut_off_anywhere_end_once_each() {
    for fault in [Fault::DropBefore, Fault::DropAfter, Fault::HalfBody, Fault::status(502), Fault::WrongType] {
        for nth in 1..=3 {
            let (shop, till) = start().await;
            let (orders, memories) = many(5);
            shop.faults().nth(nth, fault.clone());
            let mut now_ms = 1_000_000;
            let mut n_runs = 0;
            loop {
                let outcomes = run(&till, "1", now_ms, &orders, &memories).await;
                if outcomes.iter().all(Result::is_ok) {
                    break;
                }
                now_ms += 600_000;
                n_runs += 1;
                assert!(n_runs < 5, "{fault:?} {nth}: {outcomes:?}");
            }
            assert_whole(&shop, &format!("{fault:?} at call {nth}"));
        }
    }
}

/// W42, with a limit of the shop's own: what is too much is sent again in fewer, and from then on at once so.
#[tokio::test]
async fn a_shop_that_takes_fewer_at_once_gets_fewer() {
    let n_batches =
        |shop: &WooCommerce| shop.faults().last().iter().filter(|seen| seen.path.contains("/products/batch")).count();
    for (most, n_first, n_then) in [(100, 2, 2), (10, 7, 6), (1, 61, 60), (0, 5, 1)] {
        let (shop, till) = start().await;
        shop.set(|settings| settings.most_in_a_batch = most);
        let (orders, memories) = many(60);
        let outcomes = run(&till, "1", 1_000_000, &orders[..30], &memories[..30]).await;
        assert!(outcomes.iter().all(|outcome| outcome.as_ref().unwrap().published), "{most}: {outcomes:?}");
        assert_eq!(n_batches(&shop), n_first, "{most}");
        let outcomes = run(&till, "2", 1_000_000, &orders[30..], &memories[30..]).await;
        assert!(outcomes.iter().all(|outcome| outcome.as_ref().unwrap().published), "{most}: {outcomes:?}");
        assert_eq!(n_batches(&shop) - n_first, n_then, "{most}");
        let products = shop.all();
        assert!(products.len() == 60 && products.iter().all(|product| product["status"] == "publish"), "{most}");
    }
}

/// One of several batches is cut off: what came before it is made, and all ends once each.
#[tokio::test]
async fn of_several_batches_any_may_be_cut_off() {
    for fault in [Fault::DropBefore, Fault::DropAfter, Fault::status(502)] {
        for nth in 1..=7 {
            let (shop, till) = start().await;
            shop.set(|settings| settings.most_in_a_batch = 2);
            let (orders, memories) = many(5);
            shop.faults().nth(nth, fault.clone());
            let mut now_ms = 1_000_000;
            let mut n_runs = 0;
            while !run(&till, "1", now_ms, &orders, &memories).await.iter().all(Result::is_ok) {
                now_ms += 600_000;
                n_runs += 1;
                assert!(n_runs < 5, "{fault:?} {nth}");
            }
            assert_whole(&shop, &format!("{fault:?} at call {nth}"));
        }
    }
}

#[track_caller]
fn assert_whole(shop: &WooCommerce, about: &str) {
    let products = shop.all();
    assert_eq!(products.len(), 5, "{about}: {products:?}");
    for product in products.iter().chain(&shop.shown()) {
        assert_eq!((&product["status"], &product["regular_price"]), (&json!("publish"), &json!("12.5")), "{about}");
        assert_eq!(product["tags"][0]["name"], "red", "{about}");
    }
}
