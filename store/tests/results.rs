//! Results on a real MongoDB.

use std::time::Duration;

use mongodb::{
    Client,
    bson::{Document, doc},
};
use serde_json::{Value, json};
use store::{Error, NewResult, Store};
use tokio::time::timeout;

/// For a server that starts, and an error that comes, beside everything else that the tests run; less than the driver's own 30 s.
const PATIENCE: Duration = Duration::from_secs(20);
const JOB: &str = "0199a1b2-0000-7000-8000-000000000001";

fn new_result(job_id: &str, result: Value) -> NewResult {
    NewResult {
        job_id: job_id.to_owned(),
        tenant: "acme".to_owned(),
        kind: "content".to_owned(),
        product_id: None,
        provider: Some("mock".to_owned()),
        degraded: false,
        degraded_reason: None,
        payload: None,
        result,
    }
}

/// A database of its own, and its name; it is dropped with the name.
async fn store() -> (Store, servers::MongoDatabase) {
    let name = servers::MongoDatabase::new();
    (Store::open(servers::mongo(), &name).await.expect("the URL is good"), name)
}

async fn raw(database: &str, collection: &str, job_id: &str) -> Document {
    let client = Client::with_uri_str(servers::mongo()).await.expect("the URL is good");
    let found = client.database(database).collection::<Document>(collection).find_one(doc! { "_id": job_id }).await;
    found.expect("MongoDB answers").expect("the document is there")
}

#[tokio::test]
async fn a_result_is_read_back_as_it_was_put() {
    let (store, _database) = store().await;
    let result =
        json!({ "title": "Fußmatte „Zürich“", "price": "129.90", "n_tokens": 512, "cost": 0.1, "list": [1, null, {}] });
    store.put_result("contents", &new_result(JOB, result.clone())).await.unwrap();
    assert_eq!(store.result("contents", JOB).await.unwrap(), Some(result));
    assert_eq!(store.result("contents", "another").await.unwrap(), None);
    assert_eq!(store.result("images", JOB).await.unwrap(), None);
}

#[tokio::test]
async fn a_second_result_of_the_same_job_replaces_the_first_and_keeps_its_creation_time() {
    let (store, database) = store().await;
    store.put_result("contents", &new_result(JOB, json!({ "title": "first", "old": true }))).await.unwrap();
    let first = raw(&database, "contents", JOB).await;
    let mut second = new_result(JOB, json!({ "title": "second" }));
    second.provider = Some("openai".to_owned());
    store.put_result("contents", &second).await.unwrap();
    assert_eq!(store.result("contents", JOB).await.unwrap(), Some(json!({ "title": "second" })));
    let second = raw(&database, "contents", JOB).await;
    assert_eq!(second.get_datetime("created_at").unwrap(), first.get_datetime("created_at").unwrap());
    assert!(second.get_datetime("updated_at").unwrap() >= first.get_datetime("updated_at").unwrap());
    assert_eq!(second.get_str("provider").unwrap(), "openai");
    assert_eq!(second.get_str("tenant").unwrap(), "acme");
}

#[tokio::test]
async fn fields_can_be_queried() {
    let (store, database) = store().await;
    store.put_result("prices", &new_result(JOB, json!({ "offers": [{ "in_stock": true, "n": 3 }] }))).await.unwrap();
    let client = Client::with_uri_str(servers::mongo()).await.unwrap();
    let prices = client.database(&database).collection::<Document>("prices");
    let n_found = prices.count_documents(doc! { "tenant": "acme", "result.offers.n": { "$gt": 2 } }).await.unwrap();
    assert_eq!(n_found, 1);
}

#[tokio::test]
async fn what_bson_would_change_is_kept_as_text_until_a_plain_result_replaces_it() {
    let (store, database) = store().await;
    let odd = json!({ "$set": { "a.b": u64::MAX }, "zero\u{0}": 1 });
    let dotted = json!({ "a.b": { "mid$dle": [1.0, 2] } });
    store.put_result("contents", &new_result(JOB, odd.clone())).await.unwrap();
    assert_eq!(store.result("contents", JOB).await.unwrap(), Some(odd));
    assert!(raw(&database, "contents", JOB).await.contains_key("result_json"));
    store.put_result("contents", &new_result(JOB, dotted.clone())).await.unwrap();
    assert_eq!(store.result("contents", JOB).await.unwrap(), Some(dotted));
    assert!(!raw(&database, "contents", JOB).await.contains_key("result_json"));
}

#[tokio::test]
async fn the_deepest_value_with_a_bson_form_can_be_stored_and_a_deeper_one_too() {
    let (store, _database) = store().await;
    for n_levels in [31, 32, 120] {
        let deep = (0..n_levels).fold(json!(1), |inner, _| json!({ "in": inner }));
        store.put_result("contents", &new_result(JOB, deep.clone())).await.unwrap();
        assert_eq!(store.result("contents", JOB).await.unwrap(), Some(deep), "{n_levels} levels");
    }
}

#[tokio::test]
async fn sixteen_writers_of_one_job_all_succeed() {
    let (store, _database) = store().await;
    let writers = (0..16).map(|n| {
        let store = store.clone();
        tokio::spawn(async move { store.put_result("contents", &new_result(JOB, json!({ "n": n }))).await })
    });
    for writer in writers.collect::<Vec<_>>() {
        writer.await.unwrap().unwrap();
    }
    assert!(store.result("contents", JOB).await.unwrap().is_some());
}

#[tokio::test]
async fn a_result_over_16_mib_is_refused_for_good() {
    let (store, _database) = store().await;
    let huge = new_result(JOB, json!({ "text": "x".repeat(17 << 20) }));
    let error = store.put_result("contents", &huge).await.unwrap_err();
    assert!(matches!(error, Error::Refused { .. }) && !error.is_unavailable(), "{error:?}");
    assert!(error.to_string().starts_with(&format!("cannot store the result of job {JOB} in contents: ")), "{error}");
    store.put_result("contents", &new_result(JOB, json!({}))).await.unwrap();
}

#[tokio::test]
async fn preparing_twice_gives_the_index_once() {
    let (store, database) = store().await;
    for _ in 0..2 {
        store.prepare(&["contents", "images"]).await.unwrap();
    }
    let client = Client::with_uri_str(servers::mongo()).await.unwrap();
    for collection in ["contents", "images"] {
        let names = client.database(&database).collection::<Document>(collection).list_index_names().await.unwrap();
        assert_eq!(names, ["_id_", "heal_at", "product"]);
    }
}

#[tokio::test]
async fn a_caller_that_is_aborted_does_not_break_the_next_call() {
    let (store, _database) = store().await;
    for n in 0..100 {
        let aborted = store.clone();
        let caller =
            tokio::spawn(
                async move { aborted.put_result("contents", &new_result("aborted", json!({ "n": n }))).await },
            );
        tokio::task::yield_now().await;
        caller.abort();
        let _ = caller.await;
    }
    store.put_result("contents", &new_result(JOB, json!({ "n": 1 }))).await.unwrap();
    assert_eq!(store.result("contents", JOB).await.unwrap(), Some(json!({ "n": 1 })));
    store.ping().await.unwrap();
}

#[tokio::test]
async fn mongodb_away_is_said_within_seconds_and_the_same_store_works_when_it_is_back() {
    let server = servers::MongoServer::start();
    let store = Store::open(&server.url(), &servers::prefix()).await.unwrap();
    store.put_result("contents", &new_result(JOB, json!({ "n": 1 }))).await.unwrap();

    server.stop();
    for call in ["put", "get", "ping"] {
        let said = async {
            match call {
                "put" => store.put_result("contents", &new_result(JOB, json!({ "n": 2 }))).await.unwrap_err(),
                "get" => store.result("contents", JOB).await.unwrap_err(),
                _ => store.ping().await.unwrap_err(),
            }
        };
        let error = timeout(PATIENCE, said).await.expect("it is said before the driver would by itself");
        assert!(error.is_unavailable(), "{call}: {error:?}");
    }

    server.restart();
    servers::wait_until("the store answers again", PATIENCE, async || store.ping().await.is_ok()).await;
    assert_eq!(store.result("contents", JOB).await.unwrap(), Some(json!({ "n": 1 })));
    store.put_result("contents", &new_result(JOB, json!({ "n": 3 }))).await.unwrap();
    assert_eq!(store.result("contents", JOB).await.unwrap(), Some(json!({ "n": 3 })));
}

#[tokio::test]
async fn a_server_that_hangs_is_away_and_works_when_it_goes_on() {
    let server = servers::MongoServer::start();
    let store = Store::open(&server.url(), &servers::prefix()).await.unwrap();
    store.put_result("contents", &new_result(JOB, json!({ "n": 1 }))).await.unwrap();
    server.pause();
    let error = timeout(PATIENCE, store.ping()).await.expect("the driver would wait for ever").unwrap_err();
    assert!(error.is_unavailable(), "{error:?}");
    server.resume();
    servers::wait_until("the store answers again", PATIENCE, async || store.ping().await.is_ok()).await;
    assert_eq!(store.result("contents", JOB).await.unwrap(), Some(json!({ "n": 1 })));
}

#[tokio::test]
async fn a_store_opens_while_mongodb_is_away() {
    let store = Store::open("mongodb://127.0.0.1:9/?directConnection=true", "shop").await.unwrap();
    let error = store.ping().await.unwrap_err();
    assert!(error.is_unavailable(), "{error:?}");
}
