//! What is remembered of products at stores.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

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
