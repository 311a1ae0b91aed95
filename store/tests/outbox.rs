//! The outbox on a real MongoDB.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking, its functions included")]

use futures::TryStreamExt;
use mongodb::{
    Client,
    bson::{DateTime, Document, doc},
};
use servers::MongoDatabase;
use store::{Moment, OutboxEntry, Store};

const NOW: u64 = 1_790_000_000_000;
const DAY_MS: u64 = 24 * 3600 * 1000;

async fn store() -> (Store, MongoDatabase) {
    let name = MongoDatabase::new();
    let store = Store::open(servers::mongo(), &name).await.unwrap();
    store.prepare_outbox().await.unwrap();
    (store, name)
}

fn entry(name: &str, now_ms: u64) -> OutboxEntry {
    let payload = format!("{{\"of\":{name:?}}}");
    OutboxEntry::new(name.to_owned(), "email", "acme", payload, Moment::from_ms(NOW), Moment::from_ms(now_ms))
}

fn names(entries: &[OutboxEntry]) -> Vec<&str> {
    entries.iter().map(|entry| entry.name.as_str()).collect()
}

#[tokio::test]
async fn what_has_a_name_is_added_once_and_comes_earliest_first() {
    let (store, _database) = store().await;
    for (name, after_ms) in [("b", 2_000), ("a", 1_000), ("c", 3_000)] {
        assert!(store.put_outbox(&entry(name, NOW + after_ms)).await.unwrap());
    }
    assert!(!store.put_outbox(&entry("a", NOW)).await.unwrap());
    assert_eq!(store.next_outbox_ms().await.unwrap(), Some(NOW + 1_000));
    let due = store.outbox_to_push(NOW + 2_000, &[], 10).await.unwrap();
    assert_eq!(names(&due.read), ["a", "b"]);
    assert_eq!(due.read[0], entry("a", NOW + 1_000), "the first one stays");
    let due = store.outbox_to_push(NOW + 2_000, &["a".to_owned()], 10).await.unwrap();
    assert_eq!(names(&due.read), ["b"]);
}

#[tokio::test]
async fn what_was_pushed_is_remembered_without_its_payload_until_it_leaves() {
    let (store, database) = store().await;
    store.put_outbox(&entry("week", NOW)).await.unwrap();
    store.put_outbox(&entry("year", NOW).kept_for_days(400)).await.unwrap();
    store.put_outbox(&entry("waits", NOW)).await.unwrap();
    for (name, keep_days) in [("week", 7), ("year", 400)] {
        let pushed = Moment::from_ms(NOW + 500);
        let mut once = store.outbox(name).await.unwrap().unwrap();
        once.pushed_at = Some(pushed);
        once.push_at = Some(Moment::from_ms(NOW + 10_500));
        once.job = Some("j".to_owned());
        store.settle_outbox(std::slice::from_ref(&once)).await.unwrap();
        let kept = store.outbox(name).await.unwrap().unwrap();
        assert!(kept.payload.is_some(), "it is pushed once more");
        let over = OutboxEntry { push_at: None, payload: None, ..kept };
        store.settle_outbox(&[over]).await.unwrap();
        let kept = store.outbox(name).await.unwrap().unwrap();
        assert_eq!((kept.payload, kept.push_at, kept.job.as_deref()), (None, None, Some("j")));
        assert_eq!(kept.expires_at, Some(Moment::from_ms(NOW + 500 + keep_days * DAY_MS)));
        assert!(!store.put_outbox(&entry(name, NOW + DAY_MS)).await.unwrap(), "it is not done a second time");
    }
    assert_eq!(names(&store.outbox_to_push(u64::MAX / 2, &[], 10).await.unwrap().read), ["waits"]);
    assert_eq!(store.outbox("waits").await.unwrap().unwrap().expires_at, None, "it never leaves");

    let raw =
        Client::with_uri_str(servers::mongo()).await.unwrap().database(&database).collection::<Document>("outbox");
    let indexes: Vec<_> = raw.list_indexes().await.unwrap().try_collect().await.unwrap();
    let expires =
        indexes.iter().find(|index| index.options.as_ref().is_some_and(|options| options.expire_after.is_some()));
    let expires = expires.unwrap();
    assert_eq!(expires.keys, doc! { "expires_at": 1 });
    assert_eq!(expires.options.as_ref().unwrap().expire_after, Some(std::time::Duration::ZERO));
    let kept = raw.find_one(doc! { "_id": "week" }).await.unwrap().unwrap();
    let leaves = i64::try_from(NOW + 500 + 7 * DAY_MS).unwrap();
    assert_eq!(kept.get_datetime("expires_at").unwrap(), &DateTime::from_millis(leaves));
}

#[tokio::test]
async fn what_cannot_be_read_holds_up_nothing_else() {
    let (store, database) = store().await;
    let raw =
        Client::with_uri_str(servers::mongo()).await.unwrap().database(&database).collection::<Document>("outbox");
    raw.insert_one(doc! { "_id": "odd", "push_at": DateTime::from_millis(1) }).await.unwrap();
    store.put_outbox(&entry("good", NOW)).await.unwrap();
    let due = store.outbox_to_push(NOW, &[], 10).await.unwrap();
    assert_eq!((names(&due.read), due.unreadable.len(), due.n()), (vec!["good"], 1, 2));
}
