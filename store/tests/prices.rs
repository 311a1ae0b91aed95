//! Offers with their histories, the unified price, and exchange rates.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking, its functions included")]

use std::collections::BTreeMap;

use mongodb::bson::{Document, doc};
use serde_json::json;
use store::{Alert, Moment, Money, NewResult, Offer, PricePoint, Store, StoredRates, Unified, WriteOffer, offer_id};

async fn store() -> (Store, servers::MongoDatabase) {
    let name = servers::MongoDatabase::new();
    let store = Store::open(servers::mongo(), &name).await.unwrap();
    store.prepare(&["contents"]).await.unwrap();
    (store, name)
}

fn point(at_ms: u64, amount: &str) -> PricePoint {
    PricePoint {
        at: Moment::from_ms(at_ms),
        amount: amount.to_owned(),
        currency: Some("EUR".to_owned()),
        availability: None,
    }
}

/// A first offer of this page.
fn first(url: &str, at_ms: u64, amount: &str) -> WriteOffer {
    let at = Moment::from_ms(at_ms);
    let offer = Offer {
        id: offer_id("acme", "L-1", url),
        tenant: "acme".to_owned(),
        product_id: "L-1".to_owned(),
        url: url.to_owned(),
        revision: 0,
        name: Some("Lamp".to_owned()),
        condition: None,
        seller: None,
        amount: amount.to_owned(),
        currency: Some("EUR".to_owned()),
        availability: None,
        since: at,
        seen_at: at,
        visited_at: at,
        gone: None,
        reference: Some(Money { amount: amount.to_owned(), currency: "EUR".to_owned() }),
        alerts: Vec::new(),
    };
    WriteOffer { offer, point: Some(point(at_ms, amount)) }
}

/// The offer as it was read, at another price.
fn changed(found: &Offer, at_ms: u64, amount: &str) -> WriteOffer {
    let at = Moment::from_ms(at_ms);
    let offer =
        Offer { amount: amount.to_owned(), since: at, seen_at: at, visited_at: at, gone: None, ..found.clone() };
    WriteOffer { offer, point: Some(point(at_ms, amount)) }
}

async fn read(store: &Store, url: &str) -> Offer {
    store.offers(&[offer_id("acme", "L-1", url)]).await.unwrap().remove(0)
}

const URL: &str = "https://shop.example/lamp";

#[tokio::test]
async fn an_offer_is_changed_only_as_it_was_read() {
    let (store, _database) = store().await;
    let writes: Vec<WriteOffer> = (0..20).map(|n| first(&format!("{URL}/{n}"), 1_000, "10.00")).collect();
    assert!(store.write_offers(&writes).await.unwrap(), "twenty in one command");
    assert!(!store.write_offers(&writes[..1]).await.unwrap(), "it is there already");
    let url = format!("{URL}/0");
    let found = read(&store, &url).await;
    assert_eq!((found.revision, found.amount.as_str(), found.since.ms()), (1, "10.00", 1_000));
    assert!(store.write_offers(&[changed(&found, 2_000, "9.00")]).await.unwrap());
    assert!(!store.write_offers(&[changed(&found, 3_000, "8.00")]).await.unwrap(), "of somebody who has not seen 9.00");
    let lines = store.lines_of("acme", "L-1", 100).await.unwrap();
    assert_eq!((lines.len(), lines[0].offer.url.as_str()), (20, url.as_str()), "the page that was visited last first");
    let amounts: Vec<_> = lines[0].points.iter().map(|point| (point.at.ms(), point.amount.as_str())).collect();
    assert_eq!(amounts, [(1_000, "10.00"), (2_000, "9.00")]);
    assert_eq!(store.offers_of("acme", "L-1", 3).await.unwrap().len(), 3);
    assert_eq!(store.offers_of("other", "L-1", 3).await.unwrap().len(), 0);
    assert_eq!(store.changed_offers("acme", Moment::from_ms(1_001), 9).await.unwrap().len(), 1);
}

#[tokio::test]
async fn of_many_that_write_the_same_offer_at_once_one_does() {
    let (store, _database) = store().await;
    for round in 1..=5_u64 {
        let found = store.offers(&[offer_id("acme", "L-1", URL)]).await.unwrap();
        let tasks: Vec<_> = (0..16)
            .map(|n| {
                let amount = format!("{round}.{n:02}");
                let write = match found.first() {
                    Some(found) => changed(found, round, &amount),
                    None => first(URL, round, &amount),
                };
                let store = store.clone();
                tokio::spawn(async move { store.write_offers(&[write]).await.unwrap() })
            })
            .collect();
        let mut n_written = 0;
        for task in tasks {
            n_written += usize::from(task.await.unwrap());
        }
        assert_eq!(n_written, 1, "round {round}");
    }
    assert_eq!(store.lines_of("acme", "L-1", 9).await.unwrap()[0].points.len(), 5);
}

#[tokio::test]
async fn the_newest_thousand_changes_of_a_page_are_kept() {
    let (store, database) = store().await;
    store.write_offers(&[first(URL, 1, "1")]).await.unwrap();
    let client = mongodb::Client::with_uri_str(servers::mongo()).await.unwrap();
    let offers = client.database(&database).collection::<Document>("offers");
    let many: Vec<Document> = (2..=1_000_i64)
        .map(|n| doc! { "at": mongodb::bson::DateTime::from_millis(n), "amount": n.to_string(), "currency": "EUR" })
        .collect();
    offers.update_one(doc! {}, doc! { "$push": { "points": { "$each": many } } }).await.unwrap();
    let found = read(&store, URL).await;
    assert!(store.write_offers(&[changed(&found, 2_000, "3")]).await.unwrap());
    let points = store.lines_of("acme", "L-1", 9).await.unwrap().remove(0).points;
    assert_eq!((points.len(), points[0].at.ms(), points[999].at.ms()), (1_000, 2, 2_000));
}

#[tokio::test]
async fn an_alert_waits_until_it_is_on_its_way() {
    let (store, _database) = store().await;
    store.write_offers(&[first(URL, 1, "10")]).await.unwrap();
    let mut write = changed(&read(&store, URL).await, 2, "9");
    let alert = |at_ms, becomes: &str| Alert {
        at: Moment::from_ms(at_ms),
        was: "10".to_owned(),
        becomes: becomes.to_owned(),
        currency: "EUR".to_owned(),
    };
    write.offer.alerts = vec![alert(2, "9"), alert(3, "8")];
    assert!(store.write_offers(&[write]).await.unwrap());
    let waiting = async |until| store.offers_with_alerts(Moment::from_ms(until), 9).await.unwrap();
    assert_eq!((waiting(2).await.len(), waiting(3).await.len()), (0, 1));
    let id = offer_id("acme", "L-1", URL);
    let as_it_was = read(&store, URL).await;
    store.forget_alert(&id, Moment::from_ms(2)).await.unwrap();
    store.forget_alert(&id, Moment::from_ms(2)).await.unwrap();
    assert_eq!(waiting(9).await[0].alerts, [alert(3, "8")]);
    let late = changed(&as_it_was, 4, "7");
    assert!(!store.write_offers(&[late]).await.unwrap(), "who has not seen that would bring it back");
    store.forget_alert(&id, Moment::from_ms(3)).await.unwrap();
    assert_eq!(waiting(9).await, []);
}

#[tokio::test]
async fn the_newest_unified_price_of_a_product_is_kept() {
    let (store, _database) = store().await;
    assert_eq!(store.unified("acme", "L-1").await.unwrap(), None);
    let of = |at_ms, median: &str| Unified { at: Moment::from_ms(at_ms), comparison: json!({ "median": median }) };
    for unified in [of(10, "1.00"), of(20, "2.00"), of(15, "1.50")] {
        store.keep_unified("acme", "L-1", &unified).await.unwrap();
    }
    assert_eq!(store.unified("acme", "L-1").await.unwrap(), Some(of(20, "2.00")));
    assert_eq!(store.unified("other", "L-1").await.unwrap(), None);
}

#[tokio::test]
async fn rates_that_somebody_has_set_stay_when_a_file_has_the_same_day() {
    let (store, _database) = store().await;
    let rates = |date: &str, usd: &str, set| StoredRates {
        date: date.to_owned(),
        base: "EUR".to_owned(),
        rates: BTreeMap::from([("USD".to_owned(), usd.to_owned())]),
        set,
        by: "test".to_owned(),
        at: Moment::from_ms(1),
    };
    assert_eq!(store.rates(None).await.unwrap(), None);
    for (given, is_kept) in [
        (rates("2026-11-26", "1.05", false), true),
        (rates("2026-11-26", "1.06", false), true),
        (rates("2026-11-27", "1.07", true), true),
        (rates("2026-11-27", "1.08", false), false),
        (rates("2026-11-27", "1.09", true), true),
    ] {
        assert_eq!(store.put_rates(&given).await.unwrap(), is_kept, "{given:?}");
    }
    assert_eq!(store.rates(None).await.unwrap(), Some(rates("2026-11-27", "1.09", true)));
    assert_eq!(store.rates(Some("2026-11-26")).await.unwrap(), Some(rates("2026-11-26", "1.06", false)));
    assert_eq!(store.rates(Some("2026-11-25")).await.unwrap(), None);
}

#[tokio::test]
async fn the_newest_result_of_a_product_is_found() {
    let (store, _database) = store().await;
    let result = |job_id: &str, product_id: Option<&str>| NewResult {
        job_id: job_id.to_owned(),
        tenant: "acme".to_owned(),
        kind: "content".to_owned(),
        product_id: product_id.map(str::to_owned),
        provider: Some("mock".to_owned()),
        degraded: false,
        degraded_reason: None,
        payload: None,
        result: json!({ "title": job_id }),
    };
    for new in [result("1", Some("L-1")), result("2", Some("L-1")), result("3", Some("L-2")), result("4", None)] {
        store.put_result("contents", &new).await.unwrap();
    }
    let newest = store.newest_result("contents", "acme", "L-1").await.unwrap().unwrap();
    assert_eq!((newest.job_id.as_str(), newest.result["title"].as_str()), ("2", Some("2")));
    assert_eq!(store.newest_result("contents", "other", "L-1").await.unwrap(), None);
}
