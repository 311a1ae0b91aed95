//! What the shop refuses: of a product, of a key, of an address; and when it is busy.

use std::time::Duration;

use providers::{
    ProviderError,
    publication::{Action, Field, Patch, PublishError, Texts},
};
use serde_json::json;
use tests::standins::Fault;

use super::{SKU, Till, cup, names, price, set, shop, till};

async fn error(till: &Till, patch: &Patch) -> String {
    till.try_carry_out("1", Action::Publish, patch).await.unwrap_err().to_string()
}

#[tokio::test]
async fn all_that_the_shop_cannot_hold_is_told_at_once_by_field_before_anything_is_written() {
    // P28, P31, P58, P58b.
    let shop = shop().await;
    let german = Texts { title: set("a#b"), ..Texts::default() };
    let bad = Patch {
        title: set(&"x".repeat(129)),
        description_html: set("<p>I like onclick = x</p>"),
        short_description_html: set(&format!("<p>{}</p>", "x".repeat(801))),
        seo_title: set(&"x".repeat(129)),
        price: price("12,50"),
        sale_price: price("13"),
        gtin: set("12345678901234"),
        categories: names(&["a|b"]),
        translations: [("de".to_owned(), german), ("it".to_owned(), Texts { title: set("Tazza"), ..Texts::default() })]
            .into(),
        ..Patch::default()
    };
    let error = error(&till(&shop), &bad).await;
    for expected in [
        "title: is longer than the 128 characters",
        "description_html: has characters that the shop cannot keep: onclick =",
        "short_description_html: is longer than the 800",
        "seo.title: is longer than the 128",
        "price: is no number",
        "gtin: is longer than the 13",
        "categories: has characters that the shop cannot keep: |",
        "translations.de.title: has characters that the shop cannot keep: #",
        "translations.it: the store does not have this language; it has en, fr, de",
    ] {
        assert!(error.contains(expected), "{expected}: {error}");
    }
    assert_eq!(shop.n_writes(), 0);
}

#[tokio::test]
async fn a_price_in_another_currency_or_a_sale_that_is_none_is_refused() {
    let shop = shop().await;
    let till = till(&shop).with(|store| providers::publication::Store { currency: Some("CHF".to_owned()), ..store });
    assert!(error(&till, &cup()).await.contains("price: is not in the store's currency, CHF"));
    let error = error(&super::till(&shop), &Patch { sale_price: price("12.5"), ..cup() }).await;
    assert!(error.contains("sale_price: must be below the price"), "{error}");
}

#[tokio::test]
async fn a_reduced_price_needs_its_right() {
    let shop = shop().await;
    shop.deny("specific_prices", "*");
    let error = error(&till(&shop), &Patch { sale_price: price("9"), ..cup() }).await;
    assert!(error.contains("sale_price: ") && error.contains("no right to specific_prices"), "{error}");
    assert_eq!(shop.n_writes(), 0);
    till(&shop).publish("1", &cup()).await;
}

#[tokio::test]
async fn what_is_needed_to_make_a_product_is_asked_for() {
    let shop = shop().await;
    let error = error(&till(&shop), &Patch { stock: Field::Set(1), ..Patch::default() }).await;
    assert!(error.contains("title: is needed") && error.contains("price: is needed"), "{error}");
}

#[tokio::test]
async fn a_test_names_the_rights_that_are_missing_and_changes_nothing() {
    let shop = shop().await;
    let till = till(&shop);
    till.test().await.unwrap();
    for (resource, method) in
        [("products", "delete"), ("images", "*"), ("combinations", "post"), ("combinations", "delete")]
    {
        shop.deny(resource, method);
    }
    let error = till.test().await.unwrap_err();
    assert!(matches!(error, ProviderError::Misconfigured { .. }));
    let rights = "products (delete), images (get, post, delete), combinations (post, delete)";
    assert!(error.to_string().contains(rights), "{error}");
    assert_eq!(shop.n_writes(), 0);
}

#[tokio::test]
async fn a_revoked_key_a_shop_that_is_off_and_a_redirect_are_errors_of_the_configuration() {
    // P3, P62, P63, P71.
    for (what, expected) in
        [("revoked", "the key is refused"), ("off", "the webservice is off"), ("host", "redirected")]
    {
        let shop = shop().await;
        let till = till(&shop);
        till.publish("1", &cup()).await;
        match what {
            "revoked" => shop.revoke(true),
            "off" => shop.switch_off(),
            _ => shop.only_at("shop.example"),
        }
        let error =
            till.run("2", Action::Publish, &Patch { price: price("1"), ..Patch::default() }, false).await.unwrap_err();
        assert!(matches!(error, PublishError::Provider(ProviderError::Misconfigured { .. })), "{what}: {error:?}");
        assert!(error.to_string().contains(expected) && !error.to_string().contains(super::KEY), "{what}: {error}");
    }
}

#[tokio::test]
async fn a_right_that_is_lost_is_told_with_its_resource() {
    let shop = shop().await;
    shop.deny("tags", "*");
    let error = till(&shop).run("1", Action::Publish, &cup(), false).await.unwrap_err();
    assert!(matches!(error, PublishError::Provider(ProviderError::Misconfigured { .. })), "{error:?}");
    assert!(error.to_string().contains("/tags"), "{error}");
    assert_eq!(shop.product(SKU)["visible"], json!(false));
}

#[tokio::test]
async fn a_busy_shop_is_left_alone_as_long_as_it_asks_for() {
    let shop = shop().await;
    let till = till(&shop);
    till.publish("1", &cup()).await;
    shop.faults().next(1, Fault::retry_after(429, 1));
    let n_before = shop.faults().n_requests();
    let patch = Patch { price: price("13"), ..Patch::default() };
    let error = till.run("2", Action::Publish, &patch, false).await.unwrap_err();
    let PublishError::Provider(ProviderError::RateLimited { retry_after, .. }) = error else { panic!("{error:?}") };
    assert_eq!((retry_after, shop.faults().n_requests() - n_before), (Some(Duration::from_secs(1)), 1));
    till.publish("2", &patch).await;
    assert_eq!(shop.product(SKU)["price"], json!(13.0));
}
