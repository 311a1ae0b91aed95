//! What fal delivers, on a real MongoDB.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking, its functions included")]

use mongodb::{
    Client,
    bson::{DateTime, Document, doc},
};
use store::{Error, Store};

const JOB: &str = "0199a1b2-0000-7000-8000-000000000001";

/// A database of its own, and its name; it is dropped with the name.
async fn store() -> (Store, servers::MongoDatabase) {
    let name = servers::MongoDatabase::new();
    (Store::open(servers::mongo(), &name).await.unwrap(), name)
}

async fn raw(database: &str) -> mongodb::Collection<Document> {
    Client::with_uri_str(servers::mongo()).await.unwrap().database(database).collection("fal_deliveries")
}

#[tokio::test]
async fn a_delivery_that_is_repeated_is_kept_once() {
    let (store, _database) = store().await;
    let body = r#"{"request_id":"r-1","status":"OK","payload":{"seed":18446744073709551615}}"#;
    assert!(store.put_fal_delivery("r-1", JOB, body).await.unwrap());
    assert!(!store.put_fal_delivery("r-1", JOB, "{}").await.unwrap());
    let (one, two) = tokio::join!(store.put_fal_delivery("r-2", JOB, "{}"), store.put_fal_delivery("r-2", JOB, "{}"));
    assert!(one.unwrap() != two.unwrap(), "one of two at the same moment is the first");
    let kept = store.fal_deliveries(JOB).await.unwrap();
    assert_eq!(kept.iter().map(|delivery| delivery.request_id.as_str()).collect::<Vec<_>>(), ["r-1", "r-2"]);
    assert_eq!(kept[0].body, body, "as it came, with every digit");
    assert!(store.fal_deliveries("0199a1b2-0000-7000-8000-000000000002").await.unwrap().is_empty());
}

#[tokio::test]
async fn deliveries_come_oldest_first_and_leave_after_a_week() {
    let (store, database) = store().await;
    store.prepare(&[]).await.unwrap();
    for id in ["r-3", "r-1", "r-2"] {
        store.put_fal_delivery(id, JOB, "{}").await.unwrap();
    }
    let raw = raw(&database).await;
    raw.update_one(doc! { "_id": "r-2" }, doc! { "$set": { "at": DateTime::from_millis(1) } }).await.unwrap();
    let kept = store.fal_deliveries(JOB).await.unwrap();
    assert_eq!((kept.len(), kept[0].request_id.as_str(), kept[0].at.ms()), (3, "r-2", 1));
    let indexes = raw.list_indexes().await.unwrap();
    let indexes: Vec<_> = futures::TryStreamExt::try_collect(indexes).await.unwrap();
    let kept_for = indexes.iter().filter_map(|index| index.options.as_ref()?.expire_after).collect::<Vec<_>>();
    assert_eq!(kept_for, [std::time::Duration::from_secs(7 * 24 * 3600)]);
}

#[tokio::test]
async fn a_delivery_that_is_worth_nothing_stays_away_although_it_is_repeated() {
    let (store, _database) = store().await;
    for id in ["r-1", "r-2"] {
        assert!(store.put_fal_delivery(id, JOB, "{}").await.unwrap());
    }
    store.void_fal_delivery("r-1").await.unwrap();
    assert!(!store.put_fal_delivery("r-1", JOB, "{}").await.unwrap(), "it is known");
    store.void_fal_delivery("r-3").await.unwrap();
    assert!(!store.put_fal_delivery("r-3", JOB, "{}").await.unwrap(), "it comes too late");
    let kept = store.fal_deliveries(JOB).await.unwrap();
    assert_eq!(kept.iter().map(|delivery| delivery.request_id.as_str()).collect::<Vec<_>>(), ["r-2"]);
}

#[tokio::test]
async fn what_is_delivered_is_bounded() {
    let (store, _database) = store().await;
    let longest = format!("\"{}\"", "x".repeat((256 << 10) - 2));
    assert!(store.put_fal_delivery(&"r".repeat(200), JOB, &longest).await.unwrap());
    for (id, body) in [("r".to_owned(), format!("{longest} ")), ("r".repeat(201), "{}".to_owned())] {
        let error = store.put_fal_delivery(&id, JOB, &body).await.unwrap_err();
        assert!(matches!(&error, Error::Refused { .. }) && error.to_string().contains("at most"), "{error}");
    }
}
