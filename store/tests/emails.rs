//! E-mails on a real MongoDB: how long they are kept.

#![expect(clippy::unwrap_used, reason = "clippy does not count plain functions here as test code")]

use std::time::Duration;

use futures::TryStreamExt;
use mongodb::{
    Client, IndexModel,
    bson::{DateTime, Document, doc},
    options::IndexOptions,
};
use serde_json::json;
use servers::{MongoServer, wait_until};
use store::{NewResult, Store};

const DAY: Duration = Duration::from_secs(24 * 3600);
const PATIENCE: Duration = Duration::from_secs(60);

fn mail(job_id: &str) -> NewResult {
    NewResult {
        job_id: job_id.to_owned(),
        tenant: "acme".to_owned(),
        kind: "email".to_owned(),
        product_id: None,
        provider: Some("mock".to_owned()),
        degraded: false,
        degraded_reason: None,
        payload: None,
        result: json!({ "to": "zoe@customer.example" }),
    }
}

/// How long the indexes of the mails keep them.
async fn kept(client: &Client, database: &str) -> Vec<Duration> {
    let collection = client.database(database).collection::<Document>("emails");
    let indexes: Vec<IndexModel> = collection.list_indexes().await.unwrap().try_collect().await.unwrap();
    indexes.into_iter().filter_map(|index| index.options?.expire_after).collect()
}

#[tokio::test]
async fn the_time_that_mails_are_kept_follows_the_variable() {
    let name = servers::MongoDatabase::new();
    let store = Store::open(servers::mongo(), &name).await.unwrap();
    let client = Client::with_uri_str(servers::mongo()).await.unwrap();
    for days in [90, 90, 30, 365] {
        store.keep_emails(days).await.unwrap();
        assert_eq!(kept(&client, &name).await, [days * DAY]);
    }
    // One that somebody has made by hand, under another name, is used.
    let collection = client.database(&name).collection::<Document>("emails");
    collection.drop_indexes().await.unwrap();
    let options = IndexOptions::builder().name("mine".to_owned()).expire_after(DAY).build();
    let index = IndexModel::builder().keys(doc! { "created_at": 1 }).options(options).build();
    collection.create_index(index).await.unwrap();
    store.keep_emails(90).await.unwrap();
    assert_eq!(kept(&client, &name).await, [90 * DAY]);
}

#[tokio::test]
async fn mails_that_were_stored_before_there_was_a_time_expire_too() {
    // It looks for what has expired each second instead of each minute.
    let server = MongoServer::start_with(&["--setParameter", "ttlMonitorSleepSecs=1"]);
    let store = Store::open(&server.url(), "shop").await.unwrap();
    let client = Client::with_uri_str(server.url()).await.unwrap();
    let collection = client.database("shop").collection::<Document>("emails");
    for (job_id, age_days) in [("old", 91), ("young", 89)] {
        store.put_result("emails", &mail(job_id)).await.unwrap();
        let then = DateTime::from_millis(DateTime::now().timestamp_millis() - age_days * 24 * 3600 * 1000);
        collection.update_one(doc! { "_id": job_id }, doc! { "$set": { "created_at": then } }).await.unwrap();
    }
    store.keep_emails(90).await.unwrap();
    let ids = async || {
        let found: Vec<Document> = collection.find(doc! {}).await.unwrap().try_collect().await.unwrap();
        found.into_iter().map(|mail| mail.get_str("_id").unwrap().to_owned()).collect::<Vec<_>>()
    };
    wait_until("the old one is gone", PATIENCE, async || ids().await == ["young"]).await;
}
