//! What is remembered of products at stores.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use mongodb::bson::{DateTime, Document, doc};
use serde_json::{Value, json};
use store::{ListingKey, Store, StoredListing};

async fn store() -> Store {
    let store = Store::open(servers::mongo(), &servers::prefix()).await.unwrap();
    store.prepare(&[]).await.unwrap();
    store
}

fn key(key: &str) -> ListingKey {
    ListingKey { key: key.to_owned(), tenant: "default".to_owned(), product_id: "L-1".to_owned() }
}

#[tokio::test]
async fn of_two_that_read_the_same_only_one_writes() {
    let store = store().await;
    assert_eq!(store.listing("a").await.unwrap(), StoredListing { version: 0, listing: Value::Null });
    let written = futures::future::join_all((0..8).map(|n| {
        let store = store.clone();
        async move { store.keep_listing(&key("a"), 0, &json!({ "n": n }), &[]).await.unwrap() }
    }));
    assert_eq!(written.await.into_iter().filter(|written| *written).count(), 1);
    let first = store.listing("a").await.unwrap();
    assert_eq!(first.version, 1);
    assert!(store.keep_listing(&key("a"), 1, &json!({ "n": "next" }), &[]).await.unwrap());
    assert!(!store.keep_listing(&key("a"), 1, &first.listing, &[]).await.unwrap(), "it was read before the last write");
    assert_eq!(store.listing("a").await.unwrap(), StoredListing { version: 2, listing: json!({ "n": "next" }) });
    assert_eq!(store.listing("b").await.unwrap().version, 0);
}

#[tokio::test]
async fn what_is_remembered_comes_back_letter_for_letter() {
    let store = store().await;
    let odd = json!({ "a.b": { "$c": null }, "": [1.0, 12345678901234567890_u64], "é": "\u{0}" });
    assert!(store.keep_listing(&key("a"), 0, &odd, &[]).await.unwrap());
    assert_eq!(store.listing("a").await.unwrap().listing, odd);
}

#[tokio::test]
async fn listings_are_found_by_their_product_and_by_what_they_were_made_of() {
    let store = store().await;
    let sources = |ids: &[&str]| ids.iter().map(|id| (*id).to_owned()).collect::<Vec<_>>();
    assert!(store.keep_listing(&key("a"), 0, &json!(1), &sources(&["text", "picture"])).await.unwrap());
    assert!(store.keep_listing(&key("b"), 0, &json!(2), &sources(&["text"])).await.unwrap());
    let of = |found: Vec<store::FoundListing>| found.into_iter().map(|found| found.key.key).collect::<Vec<_>>();
    assert_eq!(of(store.listings_made_of("text", "default").await.unwrap()), ["a", "b"]);
    assert_eq!(of(store.listings_made_of("picture", "default").await.unwrap()), ["a"]);
    assert_eq!(of(store.listings_made_of("other", "default").await.unwrap()), [""; 0]);
    assert_eq!(of(store.listings_of("default", "L-1").await.unwrap()), ["a", "b"]);
    assert_eq!(of(store.listings_of("other", "L-1").await.unwrap()), [""; 0]);
    assert!(store.keep_listing(&key("a"), 1, &json!(3), &[]).await.unwrap());
    assert_eq!(of(store.listings_made_of("text", "default").await.unwrap()), ["b"], "it is made of something else now");
}

#[tokio::test]
async fn a_product_that_several_tenants_have_is_found_by_each_under_its_own_id() {
    let store = store().await;
    let of = |tenant: &str, id: &str| ListingKey {
        key: "a".to_owned(),
        tenant: tenant.to_owned(),
        product_id: id.to_owned(),
    };
    let sources = ["$text".to_owned()];
    assert!(store.keep_listing(&of("acme", "$P-1"), 0, &json!({ "n": 1 }), &[]).await.unwrap());
    assert!(store.keep_listing(&of("other", "X-9"), 1, &json!({ "n": 2 }), &sources).await.unwrap());
    let found = async |tenant: &str, id: &str| store.listings_of(tenant, id).await.unwrap();
    for (tenant, id) in [("acme", "$P-1"), ("other", "X-9")] {
        let [listing] = <[_; 1]>::try_from(found(tenant, id).await).unwrap();
        assert_eq!((listing.key, listing.listing), (of(tenant, id), json!({ "n": 2 })), "{tenant}");
        let [listing] = <[_; 1]>::try_from(store.listings_made_of("$text", tenant).await.unwrap()).unwrap();
        assert_eq!(listing.key, of(tenant, id), "{tenant}");
    }
    assert_eq!((found("acme", "X-9").await, found("other", "$P-1").await), (vec![], vec![]), "not under another's id");
    assert!(store.keep_listing(&of("acme", "P-2"), 2, &json!({ "n": 3 }), &[]).await.unwrap());
    assert_eq!((found("acme", "$P-1").await.len(), found("acme", "P-2").await.len()), (0, 1), "its id of now");
    assert_eq!(found("other", "X-9").await.len(), 1);
}

#[tokio::test]
async fn what_an_older_release_has_noted_stays_its_tenants() {
    let (database, document) = (
        servers::MongoDatabase::new(),
        doc! { "_id": "a", "tenant": "acme", "product_id": "P-1",
        "version": 1_i64, "at": DateTime::now(), "sources": ["text"], "listing": "{}" },
    );
    let store = Store::open(servers::mongo(), &database).await.unwrap();
    store.prepare(&[]).await.unwrap();
    let client = mongodb::Client::with_uri_str(servers::mongo()).await.unwrap();
    client.database(&database).collection::<Document>("listings").insert_one(document).await.unwrap();
    assert_eq!(store.listings_of("acme", "P-1").await.unwrap().len(), 1);
    assert_eq!(store.listings_made_of("text", "acme").await.unwrap().len(), 1);
    let key = ListingKey { key: "a".to_owned(), tenant: "other".to_owned(), product_id: "X-9".to_owned() };
    assert!(store.keep_listing(&key, 1, &json!({}), &[]).await.unwrap());
    assert_eq!(store.listings_of("acme", "P-1").await.unwrap().len(), 1);
    assert_eq!(store.listings_of("other", "X-9").await.unwrap().len(), 1);
}
