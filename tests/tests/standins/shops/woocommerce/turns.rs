//! Several jobs of one product, of which one is cut off: what each later one says stays, and nothing incomplete is shown.

use providers::publication::{Action, Field, Patch, PublicationStatus, PublishError, Status};
use serde_json::json;
use tests::standins::{Fault, woocommerce::WooCommerce};

use super::{super::Till, SKU, euros, mug, set, start, the_one};

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
