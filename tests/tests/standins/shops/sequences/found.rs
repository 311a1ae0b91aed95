//! What sequences that were drawn have found, as short as it gets.

use providers::publication::Shop;
use serde_json::{Value, json};
use tests::standins::Fault;

use super::{
    run,
    steps::{Cut, Job, Run, Sequence},
};

/// Null is a job that hides the product.
fn job(said: &Value) -> Job {
    serde_json::from_value(said.clone()).map_or(Job::Unpublish, Job::Publish)
}

/// Jobs that are run to their ends once in this order, and then again in the order of their ids.
async fn in_order(shop: Shop, order: &[usize], jobs: &[Value]) {
    let runs = order.iter().map(|job| Run { job: *job, cut: Cut::Never }).collect();
    let sequence = Sequence { jobs: jobs.iter().map(job).collect(), runs, rest: vec![0; jobs.len()] };
    let (_, fault) = run::run(shop, &sequence, true).await;
    assert_eq!(fault, None, "{shop}: {jobs:?}");
}

fn of_variant(price: &str, sale: &Value) -> Value {
    json!({ "title": "Cup", "price": "30", "variants": { "V-R": { "price": price, "sale_price": sale, "stock": 1 } } })
}

/// Jobs of which one is cut off once, in this way, at each of its requests; then all are run in the order of their ids.
async fn whatever_of(shops: &[Shop], job: usize, jobs: &[Value], cut: impl Fn(usize) -> Cut, first: &[usize]) {
    for shop in shops {
        for nth in 1..=20 {
            let before = first.iter().map(|job| Run { job: *job, cut: Cut::Never });
            let runs = before.chain([Run { job, cut: cut(nth) }]).collect();
            let sequence = Sequence { jobs: jobs.iter().map(self::job).collect(), runs, rest: vec![0; jobs.len()] };
            let (_, fault) = run::run(*shop, &sequence, true).await;
            assert_eq!(fault, None, "{shop}, at {nth}");
        }
    }
}

/// It was refused, because the later job had set title and price already, which the product could not be made without.
#[tokio::test]
async fn an_earlier_job_makes_the_product_that_a_later_one_has_yet_to_make() {
    let jobs = [json!({ "title": "Cup", "price": "20", "tags": ["clay"] }), json!({ "title": "Mug", "price": "12.5" })];
    whatever_of(&Shop::ALL, 1, &jobs, |nth| Cut::Fault(nth, Fault::DropBefore), &[]).await;
}

/// `PrestaShop` keeps what a product is reduced by: between the two calls it was sold for 0.50.
#[tokio::test]
async fn a_reduced_product_whose_price_falls_or_rises_is_never_sold_for_less_than_was_said() {
    let shop = [Shop::Prestashop];
    for (before, after) in [
        (json!({ "title": "Cup", "price": "20", "sale_price": "8" }), json!({ "price": "12.5" })),
        (json!({ "title": "Cup", "price": "12.5", "sale_price": "8" }), json!({ "price": "20" })),
        (
            json!({ "title": "Cup", "price": "31.05", "sale_price": "8" }),
            json!({ "price": "12.5", "sale_price": "9.9" }),
        ),
        (
            json!({ "title": "Cup", "price": "31.05", "sale_price": "9.9" }),
            json!({ "price": "12.5", "sale_price": null }),
        ),
        (of_variant("40", &json!("20")), of_variant("31", &json!("25.5"))),
        (of_variant("40", &json!("25.5")), of_variant("31", &Value::Null)),
        (of_variant("31", &json!("25.5")), of_variant("40", &json!("20"))),
    ] {
        whatever_of(&shop, 1, &[before, after], |nth| Cut::Killed(nth, Fault::HangAfter), &[0]).await;
    }
}

/// `PrestaShop` went on selling when there were none left: that it did not count them before stayed so.
#[tokio::test]
async fn what_was_not_counted_is_counted_from_then_on() {
    let uncounted = json!({ "title": "Cup", "price": "20", "stock": null });
    for shop in Shop::ALL {
        in_order(shop, &[0, 1], &[uncounted.clone(), json!({ "stock": 1 })]).await;
    }
}

/// Run once more after a later job had made the product, it hid that.
#[tokio::test]
async fn who_was_to_hide_a_product_before_it_was_made_does_not_hide_it_later() {
    for shop in Shop::ALL {
        let cup = json!({ "title": "Cup", "price": "20" });
        in_order(shop, &[0, 1], &[Value::Null, cup.clone()]).await;
        // Nor does it go before a draft that was ordered earlier.
        in_order(shop, &[2, 3, 0, 1], &[cup.clone(), json!({ "status": "draft" }), Value::Null, cup]).await;
    }
}

/// An earlier job's price for all variants was refused by `WooCommerce`, or undid those that a later job had given each.
#[tokio::test]
async fn what_a_later_job_says_of_variants_goes_before_an_earlier_price_for_all_of_them() {
    let variants = of_variant("40", &json!("20"));
    for shop in Shop::ALL {
        for first in [json!({ "title": "Cup", "price": "30" }), of_variant("31", &json!("25.5"))] {
            in_order(shop, &[1, 0], &[first, variants.clone()]).await;
        }
    }
}
