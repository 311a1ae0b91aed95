//! The same in a batch: products that are not there yet, and texts that are healed before and while they are published.

use std::time::Duration;

use jobs::{
    Context, Done, Handler, JobError,
    publication::batch::{BatchResult, PublicationBatch},
};
use serde_json::{Value, json};
use servers::wait_until;
use store::BatchItem;

use super::{Desk, SKU, healed::of_the_stand_in, price, read};

const BATCH: &str = "b-1";

impl Desk {
    /// Keeps a batch of one product with these fields, as the API does.
    async fn keep(&self, fields: &Value) -> PublicationBatch {
        let mut product = json!(read(fields));
        product["store"] = json!("default");
        let item = BatchItem { line: 0, text: product.to_string(), outcome: None };
        self.store.keep_part(BATCH, "default", 0, &[item]).await.unwrap();
        PublicationBatch { store: "default".to_owned(), shop: None, batch: BATCH.to_owned(), n: 1 }
    }

    /// One run of the nth job, which is a batch; with what the run before handed on.
    async fn run_batch(
        &self,
        nth: u32,
        batch: &PublicationBatch,
        so_far: Option<Value>,
    ) -> Result<Done<BatchResult>, JobError> {
        batch.clone().run(&Context { so_far, ..self.of("default", nth) }).await
    }
}

#[tokio::test]
async fn a_product_of_a_batch_that_is_not_there_yet_is_waited_for_six_times() {
    let desk = Desk::start().await;
    let batch = desk.keep(&json!({ "stock": 7 })).await;
    let mut so_far = None;
    for _ in 1..6 {
        match desk.run_batch(3, &batch, so_far).await {
            Err(JobError::Interrupted { code: "some_failed", message, so_far: next, .. }) => {
                assert!(message.contains("title: is needed"), "{message}");
                so_far = Some(next);
            }
            other => panic!("{other:?}"),
        }
    }
    let so_far_then = so_far.clone();
    let ended = desk.run_batch(3, &batch, so_far).await.unwrap().result;
    assert_eq!((ended.failed, ended.failures[0].sku.as_str()), (1, SKU), "{ended:?}");
    assert!(ended.failures[0].message.contains("price: is needed"), "{ended:?}");

    // As long as it waits, whichever job makes the product ends it.
    let desk = Desk::start().await;
    let batch = desk.keep(&json!({ "stock": 7 })).await;
    desk.run(4, &json!({ "title": "Cup", "price": price("9.00") })).await.unwrap();
    let ended = desk.run_batch(3, &batch, so_far_then).await.unwrap().result;
    assert_eq!((ended.failed, ended.by_status.get("published")), (0, Some(&1)), "{ended:?}");
    assert_eq!(desk.product()["stock_quantity"], 7);
}

#[tokio::test]
async fn a_text_that_was_healed_before_its_batch_comes_is_published_as_it_is_then() {
    let desk = Desk::with_a_stand_ins_text().await;
    let batch = desk.keep(&of_the_stand_in()).await;
    desk.heal().await;
    desk.run_batch(2, &batch, None).await.unwrap();
    desk.assert_shows("Real");
}

#[tokio::test]
async fn a_text_that_is_healed_while_its_batch_is_published_is_published_again_by_the_batch() {
    let desk = Desk::with_a_stand_ins_text().await;
    let batch = desk.keep(&of_the_stand_in()).await;
    desk.shop.hold();
    let (done, ()) = tokio::join!(desk.run_batch(2, &batch, None), async {
        wait_until("the product is being made", Duration::from_secs(20), async || desk.shop.n_waiting() > 0).await;
        desk.heal().await;
        desk.shop.release();
    });
    assert_eq!(done.unwrap().result.by_status.get("published"), Some(&1));
    desk.assert_shows("Real");
}
