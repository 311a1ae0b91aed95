//! Jobs that come before the one that makes their product.

use jobs::{Context, Handler, JobError};
use serde_json::{Value, json};

use super::{Desk, SKU, price, read};

/// How a job was put off: the code and what it hands on.
#[track_caller]
fn put_off(error: JobError) -> (&'static str, Value) {
    match error {
        JobError::Interrupted { code, so_far, .. } => (code, so_far),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_stock_waits_for_its_product_whichever_id_is_the_earlier_one() {
    for stock in [1, 3] {
        let desk = Desk::start().await;
        let (code, so_far) = put_off(desk.run(stock, &json!({ "stock": 7 })).await.unwrap_err());
        assert_eq!(code, "not_there_yet");
        desk.run(2, &json!({ "title": "Cup", "price": price("9.00") })).await.unwrap();
        let again = Context { so_far: Some(so_far), ..desk.of("default", stock) };
        read(&json!({ "stock": 7 })).run(&again).await.unwrap();
        assert_eq!(desk.product()["stock_quantity"], 7);
    }
}

#[tokio::test]
async fn after_ten_minutes_it_is_refused_with_what_is_missing() {
    let desk = Desk::start().await;
    let (_, so_far) = put_off(desk.run(1, &json!({ "price": price("9.00") })).await.unwrap_err());
    let mut long_ago = so_far.clone();
    long_ago["not_there_since_ms"] = json!(so_far["not_there_since_ms"].as_u64().unwrap() - 600_000);
    let again = Context { so_far: Some(long_ago), ..desk.of("default", 1) };
    let error = read(&json!({ "price": price("9.00") })).run(&again).await.unwrap_err();
    let JobError::Fatal { code, message } = error else { panic!("{error:?}") };
    let words = format!("{SKU} at default: title: is needed, because the shop does not have this product yet");
    assert_eq!((code, message), ("refused_by_store", words));
    // A dry run waits for nobody.
    let dry = desk.run(1, &json!({ "stock": 7, "action": "dry_run" })).await.unwrap_err();
    assert!(matches!(dry, JobError::Fatal { .. }), "{dry:?}");
    assert_eq!(desk.shop.products(SKU).len(), 0);
}
