//! Pictures, which the shop only adds.

use std::sync::{
    Arc, Mutex,
    atomic::{AtomicUsize, Ordering},
};

use bytes::Bytes;
use futures::future::{BoxFuture, FutureExt};
use providers::publication::{
    Action, Brought, Desk, Field, Key, Order, Original, Originals, Patch, Picture, PublicationStatus, PublishError,
    carry_out,
};
use serde_json::json;
use tests::standins::{Fault, prestashop::PrestaShop};

use super::{SKU, cup, picture, pictures, price, set, shop, till};

fn shown(shop: &PrestaShop) -> serde_json::Value {
    let is = shop.product(SKU);
    assert_eq!(is["has_face"], true, "{is}");
    is["pictures"].clone()
}

fn of(keys: &[&str]) -> Patch {
    Patch { images: pictures(keys), ..Patch::default() }
}

fn n_sent(shop: &PrestaShop) -> usize {
    shop.faults().n_asked("POST /api/images/products/1")
}

#[tokio::test]
async fn they_are_sent_once_replaced_and_put_in_order() {
    let shop = shop().await;
    let till = till(&shop);
    till.publish("1", &cup()).await;
    assert_eq!((shown(&shop), n_sent(&shop)), (json!(["front.jpg", "back.jpg"]), 2));
    for (job, keys, n) in [
        ("2", vec!["front", "back"], 2),
        // P74: the face leaves last.
        ("3", vec!["other", "back"], 3),
        ("4", vec!["back", "other"], 3),
        ("5", vec!["back"], 3),
        ("6", vec!["back", "front", "other"], 5),
        // A new one comes last, so what is behind it is sent again.
        ("7", vec!["back", "new", "front"], 7),
    ] {
        till.publish(job, &of(&keys)).await;
        let names: Vec<String> = keys.iter().map(|key| format!("{key}.jpg")).collect();
        assert_eq!((shown(&shop), n_sent(&shop)), (json!(names), n), "job {job}");
    }
    let listing = till.listing();
    assert_eq!(listing.pictures.len(), 3);
    assert!(listing.pictures.iter().all(|picture| picture.external_id.is_some()));
}

#[tokio::test]
async fn one_that_a_merchant_added_leaves_only_when_pictures_are_ordered() {
    let shop = shop().await;
    let till = till(&shop);
    till.publish("1", &cup()).await;
    shop.plant_picture(1, "theirs.jpg");
    till.publish("2", &Patch { price: price("13"), ..Patch::default() }).await;
    assert_eq!(shown(&shop), json!(["front.jpg", "back.jpg", "theirs.jpg"]));
    till.publish("3", &of(&["front", "back"])).await;
    assert_eq!(shown(&shop), json!(["front.jpg", "back.jpg"]));
}

#[tokio::test]
async fn an_upload_whose_answer_was_lost_is_found_again_and_not_sent_twice() {
    // P44.
    let shop = shop().await;
    let till = till(&shop);
    till.publish("1", &Patch { images: Field::Keep, ..cup() }).await;
    // The pictures are listed twice before the first is sent.
    shop.faults().on("/api/images/products/1", Some(2), Fault::Delay { ms: 0 });
    shop.faults().on("/api/images/products/1", Some(1), Fault::DropAfter);
    till.publish("2", &of(&["front", "back"])).await;
    assert_eq!((shown(&shop), n_sent(&shop)), (json!(["front.jpg", "back.jpg"]), 2));
}

#[tokio::test]
async fn what_is_no_picture_is_not_even_sent_and_a_row_without_a_file_leaves() {
    let shop = shop().await;
    let till = till(&shop);
    till.publish("1", &Patch { images: Field::Keep, ..cup() }).await;
    let text = Picture { bytes: Original::Here("text".into()), ..picture("text") };
    let patch = Patch { images: Field::Set(vec![text]), ..Patch::default() };
    let error = till.try_carry_out("2", Action::Publish, &patch).await.unwrap_err();
    assert!(error.to_string().contains("text.jpg is no picture that it takes"), "{error}");
    assert_eq!(n_sent(&shop), 0);
    // An upload that broke off in the shop: a row, no file, no answer.
    shop.refuse_pictures(true);
    shop.faults().on("/api/images/products/1", Some(2), Fault::Delay { ms: 0 });
    shop.faults().on("/api/images/products/1", Some(1), Fault::DropAfter);
    till.run("3", Action::Publish, &of(&["front"]), false).await.unwrap_err();
    assert_eq!(shop.product(SKU)["pictures"], json!(["(no file)"]));
    shop.refuse_pictures(false);
    till.publish("3", &of(&["front"])).await;
    assert_eq!(shown(&shop), json!(["front.jpg"]));
}

#[tokio::test]
async fn a_refused_picture_s_row_is_removed() {
    // P43, P72: refused by its code, with a row left.
    let shop = shop().await;
    shop.refuse_pictures(true);
    let till = till(&shop);
    let error = till.try_carry_out("1", Action::Publish, &cup()).await.unwrap_err();
    assert!(
        error.to_string().contains("images: the shop refused it") && error.to_string().contains("code 76"),
        "{error}"
    );
    let is = shop.product(SKU);
    assert_eq!((&is["pictures"], &is["visible"]), (&json!([]), &json!(false)));
    assert_eq!(shop.shown(), Vec::<serde_json::Value>::new(), "never seen while incomplete");
    shop.refuse_pictures(false);
    till.publish("1", &cup()).await;
    assert_eq!((shown(&shop), shop.n_products(SKU)), (json!(["front.jpg", "back.jpg"]), 1));
}

#[tokio::test]
async fn what_the_shop_takes_no_pictures_of_is_refused_before_anything_is_made() {
    let shop = shop().await;
    let till = till(&shop);
    let address =
        Picture { url: Some("https://cdn.example/a.jpg".to_owned()), bytes: Original::Nowhere, ..picture("a") };
    let big = Picture { bytes: Original::Here(vec![0xff; 2_000_001].into()), ..picture("big") };
    let vector = Picture { file_name: "a.svg".to_owned(), ..picture("a") };
    for (bad, expected) in [(address, "fetches no pictures"), (big, "more than the 2000"), (vector, "none of jpg")] {
        let patch = Patch { title: set("Cup"), price: price("1"), images: Field::Set(vec![bad]), ..Patch::default() };
        let error = till.try_carry_out("1", Action::Publish, &patch).await.unwrap_err();
        assert!(error.to_string().contains(expected), "{error}");
    }
    assert_eq!(shop.n_writes(), 0);
}

#[tokio::test]
async fn a_picture_that_is_there_needs_no_bytes() {
    let shop = shop().await;
    let till = till(&shop);
    till.publish("1", &cup()).await;
    let known = Picture { bytes: Original::Nowhere, ..picture("back") };
    let done = till.publish("2", &Patch { images: Field::Set(vec![known]), ..Patch::default() }).await;
    assert_eq!((done.status, shown(&shop)), (PublicationStatus::Published, json!(["back.jpg"])));
    assert_eq!(till.listing().pictures, [Brought { key: "back".to_owned(), external_id: Some("2".to_owned()) }]);
}

/// Whoever has pictures, and which were asked for.
#[derive(Default)]
struct Shelf {
    asked: Mutex<Vec<String>>,
    n_held: Arc<AtomicUsize>,
}

/// The bytes of one, as long as anybody holds them.
struct Held {
    bytes: Vec<u8>,
    n_held: Arc<AtomicUsize>,
}

impl AsRef<[u8]> for Held {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.n_held.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Originals for Shelf {
    fn bytes<'a>(&'a self, picture: &'a Picture) -> BoxFuture<'a, Result<Bytes, PublishError>> {
        async move {
            self.asked.lock().unwrap().push(picture.key.clone());
            // The connection may be about to let the one before go.
            let n_held = self.n_held.fetch_add(1, Ordering::Relaxed);
            assert!(n_held <= 1, "{n_held} are held while {} is fetched", picture.key);
            let bytes = [b"\xff\xd8\xff\xe0 ", picture.key.as_bytes()].concat();
            Ok(Bytes::from_owner(Held { bytes, n_held: Arc::clone(&self.n_held) }))
        }
        .boxed()
    }
}

#[tokio::test]
async fn pictures_are_fetched_one_at_a_time_and_only_those_that_the_shop_does_not_have() {
    let shop = shop().await;
    let (till, shelf) = (till(&shop), Shelf::default());
    let on_demand = |key: &&str| Picture { bytes: Original::OnDemand, ..picture(key) };
    for (job, keys, asked) in [
        ("1", &["a", "b", "c", "d"][..], &["a", "b", "c", "d"][..]),
        ("2", &["a", "b", "c", "d"], &[]),
        ("3", &["a", "c", "d", "e"], &["e"]),
    ] {
        let images = Field::Set(keys.iter().map(on_demand).collect());
        let patch = Patch { images, ..cup() };
        let api = till.api();
        let key = Key { sku: SKU, product_id: "p-12" };
        let order =
            Order { job, key, action: Action::Publish, patch: &patch, force: false, keep_edits: false, now_ms: 1 };
        let mut desk = Desk::new(till.listing(), &till.memory).with_originals(&shelf);
        carry_out(&*api, order, &mut desk).await.unwrap();
        let names: Vec<String> = keys.iter().map(|key| format!("{key}.jpg")).collect();
        assert_eq!(shown(&shop), json!(names), "job {job}");
        assert_eq!(std::mem::take(&mut *shelf.asked.lock().unwrap()), asked, "job {job}");
    }
}
