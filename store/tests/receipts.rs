//! Receipts on a real MongoDB.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking, its functions included")]

use mongodb::{
    Client,
    bson::{Document, doc},
};
use serde_json::json;
use servers::MongoServer;
use store::{Error, Receipt, Store};

const JOB: &str = "0199a1b2-0000-7000-8000-000000000001";

/// A database of its own, and its name; it is dropped with the name.
async fn store() -> (Store, servers::MongoDatabase) {
    let name = servers::MongoDatabase::new();
    (Store::open(servers::mongo(), &name).await.unwrap(), name)
}

async fn raw(database: &str, id: &str) -> Document {
    let client = Client::with_uri_str(servers::mongo()).await.unwrap();
    let receipts = client.database(database).collection::<Document>("receipts");
    receipts.find_one(doc! { "_id": id }).await.unwrap().unwrap()
}

#[tokio::test]
async fn a_step_is_fresh_then_begun_then_completed() {
    let (store, database) = store().await;
    let begin = async || store.begin_receipt(JOB, "publish", "SKU12").await.unwrap();
    assert_eq!(begin().await, Receipt::Fresh);
    assert_eq!(begin().await, Receipt::Begun);
    let outcome = json!({ "id": 7, "huge": u64::MAX });
    store.complete_receipt(JOB, "publish", &outcome).await.unwrap();
    assert_eq!(begin().await, Receipt::Completed(outcome.clone()));
    assert_eq!(begin().await, Receipt::Completed(outcome), "it stays so");

    let stored = raw(&database, &format!("{JOB}/publish")).await;
    assert_eq!(stored.get_str("natural_key").unwrap(), "SKU12");
    assert!(stored.get_datetime("begun_at").unwrap() <= stored.get_datetime("completed_at").unwrap());
    assert_eq!(store.begin_receipt(JOB, "picture", "SKU12").await.unwrap(), Receipt::Fresh, "another step is another");
}

#[tokio::test]
async fn a_failed_step_is_told_apart_from_one_whose_end_is_unknown() {
    let (store, database) = store().await;
    let begin = async || store.begin_receipt(JOB, "publish", "SKU12").await.unwrap();
    begin().await;
    store.fail_receipt(JOB, "publish", &"x".repeat(1000)).await.unwrap();
    assert_eq!(raw(&database, &format!("{JOB}/publish")).await.get_str("error").unwrap().len(), 500);
    assert_eq!(begin().await, Receipt::Failed);
    assert_eq!(begin().await, Receipt::Begun, "it was begun again, and nobody said how that went");
    store.complete_receipt(JOB, "publish", &json!(null)).await.unwrap();
    assert_eq!(begin().await, Receipt::Completed(json!(null)));
}

#[tokio::test]
async fn what_came_of_a_step_is_read_until_it_is_voided_and_then_the_step_may_be_made_again() {
    let (store, _database) = store().await;
    let begin = async || store.begin_receipt(JOB, "submit", "LAMP").await.unwrap();
    assert_eq!(store.receipt(JOB, "submit").await.unwrap(), None);
    begin().await;
    assert_eq!(store.receipt(JOB, "submit").await.unwrap(), None, "nothing came of it yet");
    let outcome = json!({ "request_id": "r-1", "huge": u64::MAX });
    store.complete_receipt(JOB, "submit", &outcome).await.unwrap();
    assert_eq!(store.receipt(JOB, "submit").await.unwrap(), Some(outcome));
    let void = async || store.void_receipt(JOB, "submit", "the run failed").await.unwrap();
    assert_eq!((void().await, void().await), (true, false), "one is told that it was the first");
    assert_eq!(store.receipt(JOB, "submit").await.unwrap(), None);
    assert_eq!(begin().await, Receipt::Failed);
    store.complete_receipt(JOB, "submit", &json!(7)).await.unwrap();
    assert_eq!(begin().await, Receipt::Completed(json!(7)), "nothing of the first one is left");
}

#[tokio::test]
async fn keys_and_outcomes_are_bounded_and_a_step_has_one_key() {
    let (store, _database) = store().await;
    let refused = |result: Result<Receipt, Error>| match result {
        Err(Error::Refused { reason, .. }) => reason,
        other => panic!("{other:?}"),
    };
    let long = "x".repeat(1025);
    assert!(refused(store.begin_receipt(JOB, "publish", &long).await).contains("1025 bytes"));
    assert_eq!(store.begin_receipt(JOB, "publish", "SKU12").await.unwrap(), Receipt::Fresh);
    assert_eq!(refused(store.begin_receipt(JOB, "publish", "SKU13").await), r#"it was begun for "SKU12""#);
    let large = store.complete_receipt(JOB, "publish", &json!("x".repeat(64 * 1024))).await.unwrap_err();
    assert!(matches!(large, Error::Refused { .. }), "{large:?}");
    assert_eq!(store.begin_receipt(JOB, "publish", "SKU12").await.unwrap(), Receipt::Begun);
}

#[tokio::test]
async fn of_many_who_begin_at_once_one_is_first() {
    let (store, _database) = store().await;
    let all = futures::future::join_all((0..32).map(|_| store.begin_receipt(JOB, "publish", "SKU12"))).await;
    let fresh = all.into_iter().filter(|receipt| *receipt.as_ref().unwrap() == Receipt::Fresh).count();
    assert_eq!(fresh, 1);
}

#[tokio::test]
async fn receipts_expire_after_90_days() {
    let (store, database) = store().await;
    store.prepare(&[]).await.unwrap();
    let client = Client::with_uri_str(servers::mongo()).await.unwrap();
    let indexes = client.database(&database).run_command(doc! { "listIndexes": "receipts" }).await.unwrap();
    let indexes = indexes.get_document("cursor").unwrap().get_array("firstBatch").unwrap().clone();
    let kept = indexes
        .iter()
        .find(|index| index.as_document().unwrap().get_str("name").is_ok_and(|name| name == "kept"))
        .unwrap();
    let seconds = kept.as_document().unwrap().get("expireAfterSeconds").unwrap();
    assert_eq!(seconds.as_i64().or(seconds.as_i32().map(i64::from)), Some(90 * 24 * 3600));
}

#[tokio::test(flavor = "multi_thread")]
async fn without_mongodb_nothing_is_begun() {
    let mongo = MongoServer::start();
    let store = Store::open(&mongo.url(), &servers::prefix()).await.unwrap();
    assert_eq!(store.begin_receipt(JOB, "publish", "SKU12").await.unwrap(), Receipt::Fresh);
    mongo.stop();
    assert!(store.begin_receipt(JOB, "publish", "SKU12").await.unwrap_err().is_unavailable());
    assert!(store.complete_receipt(JOB, "publish", &json!(1)).await.unwrap_err().is_unavailable());
}
