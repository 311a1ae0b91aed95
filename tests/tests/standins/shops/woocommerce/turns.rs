//! Several jobs of one product, of which one is cut off: what each later one says stays, and nothing incomplete is shown.

use providers::publication::{Action, Field, Patch, PublicationStatus, PublishError, Status, Variant};
use serde_json::json;
use tests::standins::{Fault, woocommerce::WooCommerce};

use super::{super::Till, SKU, colours, euros, mug, mugs, set, start, the_one, variant, variation};

/// Runs a job of which this request, counted from 1, is answered with an error, once.
async fn cut_off(shop: &WooCommerce, till: &Till, job: &str, patch: &Patch, nth: usize) {
    shop.faults().nth(nth, Fault::status(502));
    let error = till.run(job, Action::Publish, patch, false).await.unwrap_err();
    assert!(matches!(error, PublishError::Provider(_)), "{error:?}");
    assert!(shop.faults().all_met());
}

/// How many requests it takes to make the mug.
async fn n_requests_of_a_mug() -> usize {
    let (shop, till) = start().await;
    till.publish("1", &mug()).await;
    shop.faults().n_requests()
}

#[tokio::test]
async fn a_later_job_shows_no_product_that_is_not_whole_yet() {
    // The last request but two is of the contents: then it is shown, and looked at.
    let late = n_requests_of_a_mug().await - 3;
    for status in [Field::Keep, Field::Set(Status::Active)] {
        let (shop, till) = start().await;
        cut_off(&shop, &till, "1", &mug(), late).await;
        let dearer = Patch { price: euros("13"), status: status.clone(), ..Patch::default() };
        let done = till.publish("2", &dearer).await;
        assert_eq!((done.status, done.published), (PublicationStatus::Draft, false), "{status:?}");
        assert_eq!(the_one(&shop, "job 2")["status"], "draft", "{status:?}");
        let whole = till.publish("1", &mug()).await;
        assert!(whole.published, "{whole:?}");
        let product = the_one(&shop, "at the end");
        assert_eq!((&product["status"], &product["regular_price"]), (&json!("publish"), &json!("13")), "{status:?}");
        assert_eq!(product["images"].as_array().unwrap().len(), 2, "{status:?}");
    }
}

#[tokio::test]
async fn what_a_later_job_finds_as_it_should_be_is_not_undone_by_an_earlier_one() {
    let (shop, till) = start().await;
    till.publish("1", &mug()).await;
    let dearer = Patch { price: euros("20"), title: set("Dear mug"), ..Patch::default() };
    // It is looked up, and its write is refused.
    cut_off(&shop, &till, "2", &dearer, 2).await;
    let same = Patch { price: euros("12.50"), ..Patch::default() };
    assert_eq!(till.publish("3", &same).await.status, PublicationStatus::Unchanged);
    till.publish("2", &dearer).await;
    let product = the_one(&shop, "at the end");
    assert_eq!((&product["regular_price"], &product["name"]), (&json!("12.5"), &json!("Dear mug")));
}

#[tokio::test]
async fn a_product_that_a_later_job_hides_is_not_shown_by_the_one_that_makes_it() {
    let late = n_requests_of_a_mug().await - 3;
    for nth in [1, late] {
        let (shop, till) = start().await;
        cut_off(&shop, &till, "1", &mug(), nth).await;
        let hidden = till.carry_out("2", Action::Unpublish, &Patch::default()).await;
        assert_eq!(hidden.status, PublicationStatus::Unchanged, "request {nth}");
        let made = till.publish("1", &mug()).await;
        assert_eq!((made.status, made.published), (PublicationStatus::Draft, false), "request {nth}");
        assert_eq!(
            (shop.products(SKU).len(), &the_one(&shop, "at the end")["status"]),
            (1, &json!("draft")),
            "request {nth}"
        );
    }
}

#[tokio::test]
async fn a_creation_that_is_never_answered_uses_attempts_from_the_second_time_on() {
    // It asks for nothing else before, in any run.
    let plain = Patch { title: set("Mug"), price: euros("12.50"), ..Patch::default() };
    let (shop, till) = start().await;
    till.publish("1", &plain).await;
    let asked = shop.faults().last();
    let is_creation = |path: &str| path.split('?').next() == Some("/wp-json/wc/v3/products");
    let creation = asked.iter().position(|seen| seen.method == "POST" && is_creation(&seen.path)).unwrap() + 1;
    let (shop, till) = start().await;
    // Each creation is dropped before it is carried out; looks are answered.
    let mut n_unknown = 0;
    for _ in 0..6 {
        shop.faults().nth(creation, Fault::DropBefore);
        match till.run("1", Action::Publish, &plain, false).await {
            Err(PublishError::Provider(providers::ProviderError::Held { .. })) => {}
            Err(PublishError::Provider(providers::ProviderError::UnknownOutcome { .. })) => n_unknown += 1,
            other => panic!("{other:?}"),
        }
        till.pass(std::time::Duration::from_secs(3600));
    }
    assert!(n_unknown >= 4, "{n_unknown}");
    assert_eq!(shop.all().len(), 0);
}

/// The two mugs without a word of price.
fn unpriced() -> [Variant; 2] {
    [variant("MUG-R", "red"), variant("MUG-B", "blue")]
}

fn variants(red: Variant, blue: Variant) -> Patch {
    Patch { options: colours(&["red", "blue"]), variants: Field::Set(vec![red, blue]), ..Patch::default() }
}

fn price(amount: &str) -> Patch {
    Patch { price: euros(amount), ..Patch::default() }
}

#[track_caller]
fn assert_cost(shop: &WooCommerce, red: &str, blue: &str, about: &str) {
    let product = the_one(shop, about);
    let of = |sku: &str| variation(&product, sku)["regular_price"].clone();
    assert_eq!((of("MUG-R"), of("MUG-B")), (json!(red), json!(blue)), "{about}");
}

#[tokio::test]
async fn a_price_of_the_product_is_not_that_of_variants_with_their_own_whichever_job_runs_first() {
    let simple = Patch { title: set("Mug"), price: euros("5"), ..Patch::default() };
    for order in [&["1", "2"][..], &["1", "2", "1"], &["2", "1"], &["2", "1", "2"]] {
        let (shop, till) = start().await;
        till.publish("0", &simple).await;
        for job in order {
            // Red has a price of its own in it, blue has not.
            till.publish(job, &if *job == "1" { mugs() } else { price("20") }).await;
        }
        assert_cost(&shop, "13", "20", &format!("{order:?}"));
        let again = till.publish("3", &price("20")).await;
        assert_eq!(again.status, PublicationStatus::Unchanged, "{order:?}: {again:?}");
    }
}

#[tokio::test]
async fn a_variant_keeps_its_own_price_until_a_job_takes_it_away() {
    let (shop, till) = start().await;
    till.publish("1", &mugs()).await;
    let [red, blue] = unpriced();
    till.publish("2", &Patch { price: euros("20"), ..variants(red.clone(), blue.clone()) }).await;
    assert_cost(&shop, "13", "20", "a job that names both says nothing of red's price");
    till.publish("3", &variants(Variant { price: Field::Clear, ..red }, blue)).await;
    assert_cost(&shop, "20", "20", "null: it costs what the product costs");
    till.publish("4", &price("21")).await;
    assert_cost(&shop, "21", "21", "from now on, too");
}

#[tokio::test]
async fn what_an_earlier_job_says_of_a_variant_and_no_later_one_counts() {
    let (shop, till) = start().await;
    till.publish("1", &mugs()).await;
    let [red, blue] = unpriced();
    till.publish("3", &variants(Variant { stock: Field::Set(9), ..red.clone() }, blue.clone())).await;
    let late = Variant { price: euros("14"), stock: Field::Set(5), ..red };
    let dry = till.carry_out("2", Action::DryRun, &variants(late.clone(), blue.clone())).await;
    till.publish("2", &variants(late, Variant { price: euros("15"), ..blue })).await;
    assert_cost(&shop, "14", "15", "job 3 said nothing of prices");
    let product = the_one(&shop, "at the end");
    assert_eq!(variation(&product, "MUG-R")["stock_quantity"], 9, "job 3 said this");
    let fields: Vec<&str> = dry.changes.iter().map(|change| change.field.as_str()).collect();
    assert_eq!(fields, ["variants"]);
}

#[tokio::test]
async fn a_price_that_comes_while_variants_are_being_made_is_that_of_those_to_come() {
    let (shop, till) = start().await;
    till.publish("0", &Patch { title: set("Mug"), price: euros("5"), ..Patch::default() }).await;
    let n_before = shop.faults().n_requests();
    till.publish("1", &mugs()).await;
    let n_requests = shop.faults().n_requests() - n_before;
    for nth in 1..=n_requests {
        let (shop, till) = start().await;
        till.publish("0", &Patch { title: set("Mug"), price: euros("5"), ..Patch::default() }).await;
        shop.faults().nth(nth, Fault::status(502));
        let cut_off = till.run("1", Action::Publish, &mugs(), false).await;
        assert!(cut_off.is_err(), "{nth}: {cut_off:?}");
        till.pass(std::time::Duration::from_secs(3600));
        till.publish("2", &price("20")).await;
        till.publish("1", &mugs()).await;
        assert_cost(&shop, "13", "20", &format!("cut off at request {nth}"));
    }
}
