//! Products to Shopify.

mod access;
mod contents;
mod cut_off;
mod identity;
mod life;
mod points;
mod schema;
mod variants;

use std::time::Duration;

use providers::{
    ProviderError,
    publication::{
        Action, Credentials, Field, Original, Patch, Picture, ProductOption, Publication, PublicationStatus,
        PublishError, Shop, Status, Texts, Variant, Wrong,
    },
};
use serde_json::{Value, json};
use tests::standins::{Fault, shopify::Shopify};

use super::{Till, every_drop};

const TOKEN: &str = "shpat_test";
const SKU: &str = "MUG-12";

async fn open() -> (Shopify, Till) {
    let shop = Shopify::start(0, TOKEN).await.unwrap();
    let till = till(&shop, SKU);
    (shop, till)
}

fn till(shop: &Shopify, sku: &str) -> Till {
    Till::new(Shop::Shopify, &[("SHOPIFY_STORE_URL", &shop.url()), ("SHOPIFY_ACCESS_TOKEN", TOKEN)], sku)
}

/// One of several processes.
fn till_of(fleet: &fleet::Fleet, shop: &Shopify, sku: &str) -> Till {
    let store = [("SHOPIFY_STORE_URL", shop.url()), ("SHOPIFY_ACCESS_TOKEN", TOKEN.to_owned())];
    let store = store.each_ref().map(|(name, value)| (*name, value.as_str()));
    Till::sharing(fleet, Shop::Shopify, &store, sku)
}

fn set(text: &str) -> Field<String> {
    Field::Set(text.to_owned())
}

fn eur(amount: &str) -> Field<providers::content::Price> {
    Field::Set(serde_json::from_value(json!({ "amount": amount, "currency": "EUR" })).unwrap())
}

fn picture(name: &str) -> Picture {
    let url = Some(format!("https://pictures.example/{name}.jpg"));
    Picture {
        key: name.to_owned(),
        url,
        bytes: Original::Nowhere,
        file_name: format!("{name}.jpg"),
        alt: format!("The {name}"),
    }
}

fn names(names: &[&str]) -> Field<Vec<String>> {
    Field::Set(names.iter().map(|name| (*name).to_owned()).collect())
}

/// A product of which everything is said, with nothing to choose.
fn mug() -> Patch {
    Patch {
        title: set("Mug"),
        description_html: set("<p>A <b>red</b> mug</p>"),
        short_description_html: set("<p>Red</p>"),
        seo_title: set("Buy a mug"),
        seo_description: set("The best mug"),
        slug: set("the-mug"),
        price: eur("12.50"),
        sale_price: eur("9.90"),
        stock: Field::Set(5),
        images: Field::Set(vec![picture("front"), picture("back")]),
        categories: names(&["Kitchen", "Gifts"]),
        tags: names(&["red", "china"]),
        brand: set("Potters"),
        gtin: set("4006381333931"),
        weight_g: Field::Set(350),
        ..Patch::default()
    }
}

fn variant(sku: &str, colour: &str, more: &Value) -> Variant {
    let mut variant = json!({ "sku": sku, "options": { "Colour": colour } });
    variant.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    serde_json::from_value(variant).unwrap()
}

fn colours(values: &[&str]) -> Field<Vec<ProductOption>> {
    let values = values.iter().map(|value| (*value).to_owned()).collect();
    Field::Set(vec![ProductOption { name: "Colour".to_owned(), values }])
}

/// One that comes in two colours.
fn coloured() -> Patch {
    let price = |amount: &str| json!({ "amount": amount, "currency": "EUR" });
    let red = variant("MUG-R", "red", &json!({ "price": price("12.50"), "stock": 3, "image": 0, "weight_g": 350 }));
    let blue = variant(
        "MUG-B",
        "blue",
        &json!({ "price": price("13"), "sale_price": price("11"), "stock": 4, "image": 1,
        "gtin": "4006381333931" }),
    );
    Patch {
        title: set("Mug"),
        price: eur("12.50"),
        images: Field::Set(vec![picture("front"), picture("back")]),
        options: colours(&["red", "blue"]),
        variants: Field::Set(vec![red, blue]),
        ..Patch::default()
    }
}

/// The one product of the shop.
fn only(shop: &Shopify) -> Value {
    let products = shop.products();
    assert_eq!(products.len(), 1, "{products:#?}");
    products[0].clone()
}

fn variants(product: &Value) -> Vec<Value> {
    product["variants"].as_array().unwrap().clone()
}

fn stock(variant: &Value) -> i64 {
    let levels = variant["inventoryItem"]["levels"].as_object().unwrap();
    assert_eq!(levels.len(), 1, "at the oldest location that sends what is bought online");
    levels["gid://shopify/Location/2"]["quantities"][0]["quantity"].as_i64().unwrap()
}

fn files(product: &Value) -> Vec<(String, String)> {
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    product["media"].as_array().unwrap().iter().map(|media| (text(&media["source"]), text(&media["alt"]))).collect()
}

fn changed(publication: &Publication) -> Vec<&str> {
    publication.changes.iter().map(|change| change.field.as_str()).collect()
}

fn fault(result: Result<Publication, PublishError>) -> String {
    match result.unwrap_err() {
        PublishError::Refused(faults) => faults.iter().map(ToString::to_string).collect::<Vec<_>>().join("; "),
        other => panic!("{other:?}"),
    }
}

/// Everything that was said of the mug is so, and nothing else.
fn is_the_mug(product: &Value) {
    for (field, value) in [
        ("title", json!("Mug")),
        ("descriptionHtml", json!("<p>A <b>red</b> mug</p>")),
        ("handle", json!("the-mug")),
        ("vendor", json!("Potters")),
        ("tags", json!(["china", "red"])),
        ("seo", json!({ "title": "Buy a mug", "description": "The best mug" })),
        ("status", json!("ACTIVE")),
        ("hasOnlyDefaultVariant", json!(true)),
    ] {
        assert_eq!(product[field], value, "{field}");
    }
    assert!(product["onlineStoreUrl"].as_str().unwrap().ends_with("/products/the-mug"));
    let titles: Vec<&str> = product["collections"]
        .as_array()
        .unwrap()
        .iter()
        .map(|collection| collection["title"].as_str().unwrap())
        .collect();
    assert_eq!((titles.len(), titles.contains(&"Kitchen"), titles.contains(&"Gifts")), (2, true, true));
    let metafields = product["metafields"].as_array().unwrap();
    assert!(metafields.iter().any(|field| field["key"] == "short_description" && field["value"] == "<p>Red</p>"));
    let only = &variants(product)[0];
    for (field, value) in
        [("sku", "MUG-12"), ("price", "9.90"), ("compareAtPrice", "12.50"), ("barcode", "4006381333931")]
    {
        assert_eq!(only[field], value, "{field}");
    }
    assert_eq!(only["inventoryItem"]["measurement"]["weight"], json!({ "unit": "GRAMS", "value": 350 }));
    assert_eq!((stock(only), &only["inventoryItem"]["tracked"]), (5, &json!(true)));
    let source = |name: &str| (format!("https://pictures.example/{name}.jpg"), format!("The {name}"));
    assert_eq!(files(product), [source("front"), source("back")]);
}
