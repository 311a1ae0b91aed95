//! Results of stand-ins, and what takes their place, on a real MongoDB.

use std::time::Duration;

use mongodb::{
    Client, Collection,
    bson::{DateTime, Document, doc},
};
use serde_json::{Value, json};
use store::{Moment, NewResult, Replacement, StandIn, Store};

const LEASE: Duration = Duration::from_secs(60);
const KIND: &str = "contents";

/// A database of its own, dropped with the last of these, and its results.
async fn store() -> (Store, Collection<Document>, servers::MongoDatabase) {
    let name = servers::MongoDatabase::new();
    let store = Store::open(servers::mongo(), &name).await.expect("the URL is good");
    store.prepare(&[KIND]).await.expect("the indexes can be made");
    let client = Client::with_uri_str(servers::mongo()).await.expect("the URL is good");
    (store, client.database(&name).collection(KIND), name)
}

fn made_by_a_stand_in(job_id: &str, result: Value) -> NewResult {
    NewResult {
        job_id: job_id.to_owned(),
        tenant: "acme".to_owned(),
        kind: "content".to_owned(),
        product_id: None,
        provider: Some("mock".to_owned()),
        degraded: true,
        degraded_reason: Some("openai: 500".to_owned()),
        payload: Some(json!({ "name": "Fußmatte", "of": job_id })),
        result,
    }
}

fn text() -> Value {
    json!({ "title": "Template", "tokens": { "total": 0 }, "price": 0.1, "bullets": ["a", "b"] })
}

fn real() -> Replacement {
    Replacement { provider: Some("openai".to_owned()), result: json!({ "title": "Real" }) }
}

/// Later than anything that was stored, by so many seconds.
fn later(seconds: u64) -> Moment {
    let now = u64::try_from(DateTime::now().timestamp_millis()).expect("after 1970");
    Moment::from_ms(now + 1000 * (1 + seconds))
}

#[tokio::test]
async fn a_stand_ins_result_is_taken_replaced_and_announced_once() {
    let (store, documents, _database) = store().await;
    store.put_result(KIND, &made_by_a_stand_in("a", text())).await.unwrap();
    assert_eq!(store.n_degraded(KIND).await.unwrap(), 1);
    assert!(store.has_degraded(KIND, later(0)).await.unwrap());

    let taken = store.take_degraded(KIND, later(0), LEASE).await.unwrap().expect("one waits");
    assert_eq!((taken.job_id.as_str(), taken.tenant.as_str(), &taken.replaced), ("a", "acme", &None));
    assert_eq!(taken.payload["name"], "Fußmatte");
    assert_eq!(store.take_degraded(KIND, later(1), LEASE).await.unwrap(), None, "nobody else takes it meanwhile");
    assert!(store.replace_degraded(KIND, &taken, &real()).await.unwrap());
    assert_eq!(store.result(KIND, "a").await.unwrap(), Some(real().result));
    assert_eq!(store.n_degraded(KIND).await.unwrap(), 0);

    // Whoever dies before the announcement leaves it to the next.
    let again = store.take_degraded(KIND, later(120), LEASE).await.unwrap().expect("it is to be announced");
    assert_eq!(again.replaced, Some(real()));
    store.announced(KIND, "a", Some("openai")).await.unwrap();
    assert_eq!(store.take_degraded(KIND, later(999), LEASE).await.unwrap(), None);
    let document = documents.find_one(doc! { "_id": "a" }).await.unwrap().unwrap();
    assert_eq!((document.get_bool("degraded").unwrap(), document.get_str("provider").unwrap()), (false, "openai"));
    for gone in ["heal_at", "made", "payload_json"] {
        assert!(!document.contains_key(gone), "{gone}");
    }
}

#[tokio::test]
async fn what_became_of_a_stand_ins_result_is_told_to_its_tenant() {
    let (store, _documents, _database) = store().await;
    let real_at_once = NewResult { degraded: false, ..made_by_a_stand_in("b", text()) };
    store.put_result(KIND, &made_by_a_stand_in("a", text())).await.unwrap();
    store.put_result(KIND, &real_at_once).await.unwrap();
    let of = async |id: &str, tenant: &str| store.stand_in(KIND, id, tenant).await.unwrap();
    assert_eq!((of("a", "acme").await, of("b", "acme").await), (Some(StandIn::Stays), None));
    assert_eq!((of("a", "other").await, of("c", "acme").await), (None, None));
    let taken = store.take_degraded(KIND, later(0), LEASE).await.unwrap().expect("one waits");
    assert!(store.replace_degraded(KIND, &taken, &real()).await.unwrap());
    assert_eq!(of("a", "acme").await, Some(StandIn::Replaced(real().result)), "before it is announced");
    store.announced(KIND, "a", Some("openai")).await.unwrap();
    assert_eq!(of("a", "acme").await, Some(StandIn::Replaced(real().result)));
}

#[tokio::test]
async fn what_was_done_of_a_real_result_is_kept_until_the_rest_is() {
    let (store, documents, _database) = store().await;
    store.put_result(KIND, &made_by_a_stand_in("a", text())).await.unwrap();
    let taken = store.take_degraded(KIND, later(0), LEASE).await.unwrap().expect("one waits");
    assert_eq!(taken.so_far, None);
    assert!(taken.made_at <= later(0) && later(0).ms() - taken.made_at.ms() < 60_000);
    let so_far = json!({ "pages": [1, null], "amount": 0.1 });
    store.interrupted_degraded(KIND, "a", later(0), &so_far).await.unwrap();
    let taken = store.take_degraded(KIND, later(1), LEASE).await.unwrap().expect("it is taken again");
    assert_eq!((&taken.so_far, taken.failures), (&Some(so_far), 0));
    // Nothing more was done of it but what it took.
    let so_far = json!({ "pages": [1, null], "amount": 0.2 });
    for (kept, failures) in [(Some(&so_far), 1), (None, 2)] {
        store.failed_degraded(KIND, "a", later(0), kept).await.unwrap();
        let taken = store.take_degraded(KIND, later(1), LEASE).await.unwrap().expect("it is taken again");
        assert_eq!((taken.so_far.as_ref(), taken.failures), (Some(&so_far), failures));
    }
    store.put_off_degraded(KIND, "a", later(0)).await.unwrap();
    let taken = store.take_degraded(KIND, later(1), LEASE).await.unwrap().expect("it is taken again");
    assert!(store.replace_degraded(KIND, &taken, &real()).await.unwrap());
    store.announced(KIND, "a", None).await.unwrap();
    let document = documents.find_one(doc! { "_id": "a" }).await.unwrap().unwrap();
    assert!(!document.contains_key("heal_so_far"), "{document}");
    // What is settled takes no more.
    store.interrupted_degraded(KIND, "a", later(0), &json!(1)).await.unwrap();
    assert_eq!(store.take_degraded(KIND, later(999), LEASE).await.unwrap(), None);
}

#[tokio::test]
async fn a_result_that_was_edited_before_or_while_it_is_healed_stays_as_it_is() {
    let (store, documents, _database) = store().await;
    for job in ["before", "while"] {
        store.put_result(KIND, &made_by_a_stand_in(job, text())).await.unwrap();
    }
    let edit = doc! { "$set": { "result.title": "Mine" } };
    documents.update_one(doc! { "_id": "before" }, edit.clone()).await.unwrap();
    let taken = store.take_degraded(KIND, later(0), LEASE).await.unwrap().expect("one is left");
    assert_eq!(taken.job_id, "while");
    documents.update_one(doc! { "_id": "while" }, edit).await.unwrap();
    assert!(!store.replace_degraded(KIND, &taken, &real()).await.unwrap());
    assert_eq!(store.take_degraded(KIND, later(999), LEASE).await.unwrap(), None);
    for job in ["before", "while"] {
        assert_eq!(store.result(KIND, job).await.unwrap().unwrap()["title"], "Mine");
        let document = documents.find_one(doc! { "_id": job }).await.unwrap().unwrap();
        assert_eq!(document.get_str("left_alone").unwrap(), "edited");
    }
}

#[tokio::test]
async fn a_tenant_that_has_spent_its_money_waits_and_the_others_do_not() {
    let (store, _, _database) = store().await;
    for (job, tenant) in [("a", "acme"), ("b", "acme"), ("c", "other")] {
        let result = NewResult { tenant: tenant.to_owned(), ..made_by_a_stand_in(job, text()) };
        store.put_result(KIND, &result).await.unwrap();
    }
    store.put_off_tenant(KIND, "acme", later(3600)).await.unwrap();
    let taken = store.take_degraded(KIND, later(0), LEASE).await.unwrap().expect("the other's waits");
    assert_eq!(taken.job_id, "c");
    assert_eq!(taken.failures, 0);
    store.failed_degraded(KIND, "c", later(10), None).await.unwrap();
    assert_eq!(store.take_degraded(KIND, later(5), LEASE).await.unwrap(), None);
    assert_eq!(store.n_degraded(KIND).await.unwrap(), 3);
    let again = store.take_degraded(KIND, later(20), LEASE).await.unwrap().expect("its time has come");
    assert_eq!((again.job_id.as_str(), again.failures), ("c", 1));
    store.put_off_degraded(KIND, "c", later(10_000)).await.unwrap();
    assert!(store.take_degraded(KIND, later(7200), LEASE).await.unwrap().is_some());
}

#[tokio::test]
async fn a_stand_ins_result_never_replaces_a_real_one() {
    let (store, _, _database) = store().await;
    let mut first = made_by_a_stand_in("a", json!({ "title": "Real" }));
    (first.degraded, first.payload) = (false, None);
    store.put_result(KIND, &first).await.unwrap();
    store.put_result(KIND, &made_by_a_stand_in("a", text())).await.unwrap();
    assert_eq!(store.result(KIND, "a").await.unwrap().unwrap()["title"], "Real");
    assert_eq!(store.n_degraded(KIND).await.unwrap(), 0);
}

#[tokio::test]
async fn a_result_that_bson_would_change_is_healed_too() {
    let (store, documents, _database) = store().await;
    store.put_result(KIND, &made_by_a_stand_in("a", json!({ "$odd": u64::MAX }))).await.unwrap();
    let taken = store.take_degraded(KIND, later(0), LEASE).await.unwrap().expect("one waits");
    assert!(store.replace_degraded(KIND, &taken, &real()).await.unwrap());
    assert_eq!(store.result(KIND, "a").await.unwrap(), Some(real().result));
    assert!(!documents.find_one(doc! { "_id": "a" }).await.unwrap().unwrap().contains_key("result_json"));
}
