//! The tenants' stores on a real MongoDB.

#![expect(clippy::unwrap_used, reason = "clippy does not count plain functions here as test code")]

use std::collections::BTreeMap;

use mongodb::bson::{Document, doc};
use servers::MongoDatabase;
use store::{Moment, Parked, Store, StoredStore};

const NOW: u64 = 1_767_225_600_000;

async fn store() -> (Store, MongoDatabase) {
    let name = MongoDatabase::new();
    let store = Store::open(servers::mongo(), &name).await.unwrap();
    store.prepare(&[]).await.unwrap();
    (store, name)
}

fn shop(tenant: &str, name: &str) -> StoredStore {
    StoredStore {
        id: StoredStore::id_of(tenant, name),
        tenant: tenant.to_owned(),
        name: name.to_owned(),
        shop: "woocommerce".to_owned(),
        url: "https://shop.example".to_owned(),
        address: None,
        allow_http: false,
        languages: vec!["fr".to_owned()],
        currency: Some("EUR".to_owned()),
        sealed: "ec1.k1.AAAA".to_owned(),
        key: "k1".to_owned(),
        version: 1,
        created_at: Moment::from_ms(NOW),
        updated_at: Moment::from_ms(NOW),
        tested_at: None,
        parked: None,
    }
}

async fn ids(store: &Store, tenant: Option<&str>, after: Option<&str>, limit: usize) -> Vec<String> {
    store.tenant_stores(tenant, after, limit).await.unwrap().read.into_iter().map(|store| store.id).collect()
}

#[tokio::test]
async fn a_store_is_written_once_a_version_and_read_as_it_was_written() {
    let (store, _database) = store().await;
    let first = shop("acme", "main");
    assert_eq!(store.tenant_store("acme", "main").await.unwrap(), None);
    assert!(store.put_tenant_store(&first, None).await.unwrap());
    assert!(!store.put_tenant_store(&first, None).await.unwrap(), "there is one");
    assert_eq!(store.tenant_store("acme", "main").await.unwrap(), Some(first.clone()));
    let second = StoredStore { version: 2, url: "https://new.example".to_owned(), ..first };
    assert!(store.put_tenant_store(&second, Some(1)).await.unwrap());
    assert!(!store.put_tenant_store(&StoredStore { version: 3, ..second.clone() }, Some(1)).await.unwrap(), "too late");
    assert_eq!(store.tenant_store("acme", "main").await.unwrap().unwrap().url, "https://new.example");
    assert!(!store.delete_tenant_store(&second.id, 1).await.unwrap());
    assert!(store.delete_tenant_store(&second.id, 2).await.unwrap());
    assert_eq!(store.tenant_store("acme", "main").await.unwrap(), None);
}

#[tokio::test]
async fn a_tenant_lists_its_own_stores_page_by_page() {
    let (store, name) = store().await;
    // Names that begin alike, on both sides of the slash in the order of characters.
    for (tenant, name) in
        [("acme", "a"), ("acme", "b"), ("acme", "c"), ("acme-2", "a"), ("acme.x", "a"), ("acme0", "a"), ("bolt", "a")]
    {
        assert!(store.put_tenant_store(&shop(tenant, name), None).await.unwrap());
    }
    assert_eq!(ids(&store, Some("acme"), None, 10).await, ["acme/a", "acme/b", "acme/c"]);
    assert_eq!(ids(&store, Some("acme"), None, 2).await, ["acme/a", "acme/b"]);
    assert_eq!(ids(&store, Some("acme"), Some("acme/b"), 2).await, ["acme/c"]);
    assert_eq!(ids(&store, Some("nobody"), None, 10).await, [""; 0]);
    assert_eq!(ids(&store, None, Some("acme/b"), 2).await, ["acme/c", "acme0/a"]);
    assert_eq!(ids(&store, None, None, 10).await.len(), 7);
    let client = mongodb::Client::with_uri_str(servers::mongo()).await.unwrap();
    let damaged = doc! { "_id": "acme/z", "tenant": "acme", "name": "z" };
    client.database(&name).collection::<Document>("stores").insert_one(damaged).await.unwrap();
    let page = store.tenant_stores(Some("acme"), None, 10).await.unwrap();
    assert_eq!((page.read.len(), page.unreadable[0].id.as_str()), (3, "acme/z"), "it holds up no other");
}

#[tokio::test]
async fn a_store_is_parked_once_until_it_is_seen_to_work() {
    let (store, _database) = store().await;
    for name in ["a", "b"] {
        assert!(store.put_tenant_store(&shop("acme", name), None).await.unwrap());
    }
    assert!(store.put_tenant_store(&shop("bolt", "a"), None).await.unwrap());
    let since = Moment::from_ms(NOW + 1);
    let refused = Parked { since, reason: "401".to_owned(), told: false, look_at: Moment::from_ms(NOW + 900) };
    assert!(!store.park_store("acme/a", 7, &refused).await.unwrap(), "its credentials are others by now");
    assert!(store.park_store("acme/a", 1, &refused).await.unwrap());
    let later = Parked { since: Moment::from_ms(NOW + 2), ..refused.clone() };
    assert!(!store.park_store("acme/a", 1, &later).await.unwrap(), "it is parked already");
    let parked = async || store.tenant_store("acme", "a").await.unwrap().unwrap().parked;
    assert_eq!(parked().await, Some(refused.clone()));
    let next = Moment::from_ms(NOW + 1800);
    assert!(store.look_at_parked_store("acme/a", &refused, next).await.unwrap());
    assert!(!store.look_at_parked_store("acme/a", &refused, next).await.unwrap(), "another one has looked");
    assert!(!store.told_of_parked_store("acme/a", Moment::from_ms(NOW)).await.unwrap(), "of another time");
    assert!(store.told_of_parked_store("acme/a", since).await.unwrap());
    assert!(parked().await.unwrap().told);
    assert_eq!(store.parked_stores(Some("acme"), 10).await.unwrap(), (2, vec!["acme/a".to_owned()]));
    assert_eq!(store.parked_stores(None, 10).await.unwrap(), (3, vec!["acme/a".to_owned()]));
    assert_eq!(store.parked_stores(Some("bolt"), 10).await.unwrap(), (1, vec![]));
    assert!(!store.unpark_store("acme/a", 7, since).await.unwrap());
    assert!(store.unpark_store("acme/a", 1, since).await.unwrap());
    let seen = store.tenant_store("acme", "a").await.unwrap().unwrap();
    assert_eq!((seen.parked, seen.tested_at), (None, Some(since)));
}

#[tokio::test]
async fn credentials_are_sealed_anew_only_if_they_are_the_same_still() {
    let (store, _database) = store().await;
    for (name, key) in [("a", "k1"), ("b", "k2"), ("c", "k0")] {
        let sealed = format!("ec1.{key}.AAAA");
        let shop = StoredStore { key: key.to_owned(), sealed, ..shop("acme", name) };
        assert!(store.put_tenant_store(&shop, None).await.unwrap());
    }
    let old = async |after: Option<&str>| {
        let found = store.stores_not_under("k2", after, 10).await.unwrap();
        found.read.into_iter().map(|store| store.id).collect::<Vec<_>>()
    };
    assert_eq!(old(None).await, ["acme/a", "acme/c"]);
    assert_eq!(old(Some("acme/a")).await, ["acme/c"]);
    assert!(!store.reseal_store("acme/a", "ec1.k1.BBBB", "ec1.k2.CCCC", "k2").await.unwrap());
    assert!(store.reseal_store("acme/a", "ec1.k1.AAAA", "ec1.k2.CCCC", "k2").await.unwrap());
    assert_eq!(old(None).await, ["acme/c"]);
    let seen = store.tenant_store("acme", "a").await.unwrap().unwrap();
    assert_eq!((seen.sealed.as_str(), seen.key.as_str(), seen.version), ("ec1.k2.CCCC", "k2", 1));
    let counts = BTreeMap::from([("k0".to_owned(), 1), ("k2".to_owned(), 2)]);
    assert_eq!(store.stores_by_key().await.unwrap(), counts);
}

#[tokio::test]
async fn of_a_tenants_stores_of_one_shop_each_has_another_address() {
    let (store, _database) = store().await;
    let at = |tenant: &str, name: &str, address: &str| StoredStore {
        url: format!("https://{address}"),
        address: Some(address.to_owned()),
        ..shop(tenant, name)
    };
    let neighbour = async |name: &str, shop: &str, address: &str| {
        store.neighbour_of_store("acme", name, shop, address).await.unwrap()
    };
    let first = at("acme", "a", "shop.example");
    assert_eq!(neighbour("a", "woocommerce", "shop.example").await, None);
    assert!(store.put_tenant_store(&first, None).await.unwrap());
    assert_eq!(neighbour("a", "woocommerce", "shop.example").await, None, "itself is none");
    assert_eq!(neighbour("b", "woocommerce", "shop.example").await.as_deref(), Some("a"));
    assert_eq!(neighbour("b", "prestashop", "shop.example").await, None);
    assert_eq!(neighbour("b", "woocommerce", "shop.example/boutique").await, None);
    let same = at("acme", "b", "shop.example");
    assert!(!store.put_tenant_store(&same, None).await.unwrap(), "also when both come at once");
    let other = at("acme", "b", "shop.example/boutique");
    assert!(store.put_tenant_store(&other, None).await.unwrap());
    assert!(!store.put_tenant_store(&StoredStore { version: 2, ..same.clone() }, Some(1)).await.unwrap());
    assert!(store.put_tenant_store(&at("bolt", "a", "shop.example"), None).await.unwrap(), "another tenant's");
    let of_another_shop = StoredStore { shop: "prestashop".to_owned(), ..at("acme", "c", "shop.example") };
    assert!(store.put_tenant_store(&of_another_shop, None).await.unwrap());
    // As an older release wrote them.
    for name in ["old", "old-2"] {
        let old = StoredStore { url: "http://old.example".to_owned(), ..shop("acme", name) };
        assert!(store.put_tenant_store(&old, None).await.unwrap());
    }
    assert_eq!(neighbour("new", "woocommerce", "old.example").await.as_deref(), Some("old"));
    assert_eq!(neighbour("old", "woocommerce", "old.example").await.as_deref(), Some("old-2"));
}
