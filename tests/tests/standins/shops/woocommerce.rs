//! One product in a shop with WooCommerce, from its creation to its end.

mod bulk;
mod held;
mod made;
mod skus;
mod turns;
mod variants;

use providers::{
    content::Price,
    publication::{Field, Original, Patch, Picture, ProductOption, Shop, Variant},
};
use serde_json::Value;
use tests::standins::woocommerce::WooCommerce;

use super::Till;

pub(super) const SKU: &str = "SKU12";
const KEY: &str = "ck_test";
const SECRET: &str = "cs_test";

/// A shop, and our end of it.
pub(super) async fn start() -> (WooCommerce, Till) {
    let shop = WooCommerce::plain(0, KEY, SECRET).await.unwrap();
    let till = till(&shop, SKU);
    (shop, till)
}

pub(super) fn till(shop: &WooCommerce, sku: &str) -> Till {
    let variables = [("WOO_STORE_URL", shop.url()), ("WOO_CONSUMER_KEY", KEY), ("WOO_CONSUMER_SECRET", SECRET)];
    Till::new(Shop::Woocommerce, &variables, sku)
}

pub(super) fn set(text: &str) -> Field<String> {
    Field::Set(text.to_owned())
}

pub(super) fn euros(amount: &str) -> Field<Price> {
    Field::Set(Price { amount: amount.to_owned(), currency: "EUR".to_owned() })
}

pub(super) fn picture(key: &str, alt: &str) -> Picture {
    Picture {
        key: key.to_owned(),
        url: Some(format!("https://cdn.example/{key}.jpg")),
        bytes: Original::Nowhere,
        file_name: format!("{key}.jpg"),
        alt: alt.to_owned(),
    }
}

pub(super) fn colours(values: &[&str]) -> Field<Vec<ProductOption>> {
    let values = values.iter().map(|value| (*value).to_owned()).collect();
    Field::Set(vec![ProductOption { name: "Colour".to_owned(), values }])
}

pub(super) fn variant(sku: &str, colour: &str) -> Variant {
    Variant {
        sku: sku.to_owned(),
        options: [("Colour".to_owned(), colour.to_owned())].into(),
        price: Field::Keep,
        sale_price: Field::Keep,
        stock: Field::Keep,
        gtin: Field::Keep,
        weight_g: Field::Keep,
        image: Field::Keep,
    }
}

/// A mug with everything but variants.
pub(super) fn mug() -> Patch {
    Patch {
        title: set("Mug & <more>"),
        description_html: set("<p>Red, 5 &lt; 6</p><script>alert(1)</script>"),
        short_description_html: set("A mug"),
        seo_title: set("The mug"),
        seo_description: set("A mug for coffee"),
        slug: set("red-mug"),
        price: euros("12.50"),
        sale_price: euros("9.90"),
        stock: Field::Set(4),
        images: Field::Set(vec![picture("front", "Red mug"), picture("back", "")]),
        categories: Field::Set(vec!["Lamps & Co".to_owned(), "Mugs".to_owned()]),
        tags: Field::Set(vec!["red".to_owned(), "gift".to_owned()]),
        brand: set("Acme"),
        gtin: set("4006381333931"),
        weight_g: Field::Set(250),
        ..Patch::default()
    }
}

/// A mug in two colours.
pub(super) fn mugs() -> Patch {
    let red = Variant { price: euros("13"), stock: Field::Set(2), image: Field::Set(1), ..variant("MUG-R", "red") };
    let blue = Variant { gtin: set("4006381333948"), weight_g: Field::Set(300), ..variant("MUG-B", "blue") };
    Patch {
        title: set("Mug"),
        price: euros("12.50"),
        images: Field::Set(vec![picture("front", "Red mug"), picture("back", "Blue mug")]),
        options: colours(&["red", "blue"]),
        variants: Field::Set(vec![red, blue]),
        ..Patch::default()
    }
}

/// The one product that the shop has.
#[track_caller]
pub(super) fn the_one(shop: &WooCommerce, about: &str) -> Value {
    let products = shop.all();
    assert_eq!(products.len(), 1, "{about}: {products:?}");
    products[0].clone()
}

/// How many calls changed something, or would have.
pub(super) fn n_writes(shop: &WooCommerce) -> usize {
    shop.faults().last().iter().filter(|seen| seen.method != "GET").count()
}

/// The variation with this SKU.
#[track_caller]
pub(super) fn variation(product: &Value, sku: &str) -> Value {
    let found: Vec<&Value> =
        product["variations"].as_array().unwrap().iter().filter(|variation| variation["sku"] == sku).collect();
    assert_eq!(found.len(), 1, "{sku}: {product}");
    found[0].clone()
}
