//! Kept answers on a real MongoDB: who gets one, who waits, and who takes over.

use std::time::Duration;

use mongodb::{
    Client,
    bson::{Document, doc},
};
use serde_json::{Value, json};
use store::{Flight, Store};

const KEY: &str = "0f1e";
const LONG: Duration = Duration::from_secs(600);
const PATIENCE: Duration = Duration::from_secs(20);

/// A database of its own, and its name; it is dropped with the name.
async fn store() -> (Store, servers::MongoDatabase) {
    let name = servers::MongoDatabase::new();
    let store = Store::open(servers::mongo(), &name).await.expect("the URL is good");
    (store, name)
}

async fn board(store: &Store, writer: &str, lease: Duration) -> Flight {
    store.board(KEY, "acme", writer, lease).await.expect("MongoDB answers")
}

#[tokio::test]
async fn one_of_many_gets_the_answer_and_all_others_find_it() {
    let (store, _database) = store().await;
    let tasks: Vec<_> = (0..50)
        .map(|n| {
            let store = store.clone();
            tokio::spawn(async move { (n, board(&store, &format!("job-{n}"), LONG).await) })
        })
        .collect();
    let mut ours = Vec::new();
    for task in tasks {
        match task.await.unwrap() {
            (n, Flight::Ours) => ours.push(n),
            (_, flight) => assert_eq!(flight, Flight::UnderWay),
        }
    }
    assert_eq!(ours.len(), 1);
    let writer = format!("job-{}", ours[0]);
    assert_eq!(board(&store, &writer, LONG).await, Flight::Ours, "the same job again, after a crash");

    let text = json!({ "title": "Fußmatte „Zürich“ $x", "n": 0.10, "list": [1, null] });
    store.land(KEY, "acme", &text, LONG).await.unwrap();
    for writer in ["job-1", "job-99", &writer] {
        assert_eq!(board(&store, writer, LONG).await, Flight::Landed(text.clone()));
    }
    // Giving up too late changes nothing.
    store.abandon(KEY, &writer).await.unwrap();
    assert_eq!(board(&store, "job-1", LONG).await, Flight::Landed(text));
}

#[tokio::test]
async fn a_writer_that_died_is_taken_over_after_its_lease_and_not_before() {
    let (store, _database) = store().await;
    let lease = Duration::from_secs(2);
    let began = std::time::Instant::now();
    assert_eq!(board(&store, "dead", lease).await, Flight::Ours);
    assert_eq!(board(&store, "next", LONG).await, Flight::UnderWay);
    servers::wait_until("the lease is over", PATIENCE, async || board(&store, "next", LONG).await == Flight::Ours)
        .await;
    assert!(began.elapsed() >= lease);
    assert_eq!(board(&store, "dead", LONG).await, Flight::UnderWay, "it has lost its place");
}

#[tokio::test]
async fn whoever_gives_up_makes_room_and_nobody_else_can() {
    let (store, _database) = store().await;
    assert_eq!(board(&store, "$first", LONG).await, Flight::Ours);
    store.abandon(KEY, "other").await.unwrap();
    assert_eq!(board(&store, "second", LONG).await, Flight::UnderWay);
    store.abandon(KEY, "$first").await.unwrap();
    assert_eq!(board(&store, "second", LONG).await, Flight::Ours);
}

#[tokio::test]
async fn an_answer_past_its_time_is_none_and_another_takes_its_place() {
    let (store, database) = store().await;
    store.land(KEY, "acme", &json!("old"), Duration::ZERO).await.unwrap();
    assert_eq!(board(&store, "a", LONG).await, Flight::Ours);
    assert_eq!(board(&store, "b", LONG).await, Flight::UnderWay);
    store.land(KEY, "acme", &json!("new"), LONG).await.unwrap();
    store.land(KEY, "acme", &json!("newer"), LONG).await.unwrap();
    assert_eq!(board(&store, "b", LONG).await, Flight::Landed(Value::from("newer")));

    store.prepare(&[]).await.unwrap();
    let client = Client::with_uri_str(servers::mongo()).await.unwrap();
    let cache = client.database(&database).collection::<Document>("content_cache");
    let mut indexes = cache.list_indexes().await.unwrap();
    let mut expires = false;
    while indexes.advance().await.unwrap() {
        let index = indexes.deserialize_current().unwrap();
        let at_once = index.options.and_then(|options| options.expire_after) == Some(Duration::ZERO);
        expires |= at_once && index.keys == doc! { "expires_at": 1 };
    }
    assert!(expires);
}
