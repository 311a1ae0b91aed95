//! Pictures, which the shop only adds.

use providers::publication::{Action, Brought, Field, Patch, Picture, PublicationStatus};
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
    let text = Picture { bytes: Some("text".into()), ..picture("text") };
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
    let address = Picture { url: Some("https://cdn.example/a.jpg".to_owned()), bytes: None, ..picture("a") };
    let big = Picture { bytes: Some(vec![0xff; 2_000_001].into()), ..picture("big") };
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
    let known = Picture { bytes: None, ..picture("back") };
    let done = till.publish("2", &Patch { images: Field::Set(vec![known]), ..Patch::default() }).await;
    assert_eq!((done.status, shown(&shop)), (PublicationStatus::Published, json!(["back.jpg"])));
    assert_eq!(till.listing().pictures, [Brought { key: "back".to_owned(), external_id: Some("2".to_owned()) }]);
}
