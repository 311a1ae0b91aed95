//! Products in PrestaShop, end to end. P… are the rows of the table of what a real one was seen to do.

mod drops;
mod fields;
mod pictures;
mod prices;
mod refusals;
mod skus;
mod variants;

use providers::{
    content::Price,
    publication::{Field, Original, Patch, Picture, ProductOption, Shop, Texts, Variant},
};
use serde_json::Value;
use tests::standins::prestashop::PrestaShop;

use super::Till;

const KEY: &str = "0123456789ABCDEF0123456789ABCDEF";
const SKU: &str = "CUP-1";

async fn shop() -> PrestaShop {
    PrestaShop::start(0, KEY).await.unwrap()
}

fn till_of(shop: &PrestaShop, sku: &str) -> Till {
    Till::new(Shop::Prestashop, &[("PRESTA_STORE_URL", &shop.url()), ("PRESTA_API_KEY", KEY)], sku)
}

fn till(shop: &PrestaShop) -> Till {
    till_of(shop, SKU)
}

fn set(text: &str) -> Field<String> {
    Field::Set(text.to_owned())
}

fn names(names: &[&str]) -> Field<Vec<String>> {
    Field::Set(names.iter().map(|name| (*name).to_owned()).collect())
}

fn price(amount: &str) -> Field<Price> {
    Field::Set(Price { amount: amount.to_owned(), currency: "EUR".to_owned() })
}

/// A picture that the shop takes, named after its key.
fn picture(key: &str) -> Picture {
    let bytes = [b"\xff\xd8\xff\xe0 ", key.as_bytes()].concat();
    Picture {
        key: key.to_owned(),
        url: None,
        bytes: Original::Here(bytes.into()),
        file_name: format!("{key}.jpg"),
        alt: format!("a {key}"),
    }
}

fn pictures(keys: &[&str]) -> Field<Vec<Picture>> {
    Field::Set(keys.iter().map(|key| picture(key)).collect())
}

/// A product with everything but variants.
fn cup() -> Patch {
    let french = Texts { title: set("Tasse"), description_html: set("<p>Une tasse.</p>"), ..Texts::default() };
    Patch {
        title: set("Cup"),
        description_html: set("<p>A <b>cup</b>.</p>"),
        short_description_html: set("<p>Cup.</p>"),
        seo_title: set("Buy a cup"),
        seo_description: set("A cup to buy"),
        slug: set("cup"),
        price: price("12.50"),
        stock: Field::Set(7),
        images: pictures(&["front", "back"]),
        categories: names(&["Cups"]),
        tags: names(&["blue", "clay"]),
        brand: set("Potter"),
        gtin: set("4006381333931"),
        weight_g: Field::Set(250),
        translations: [("fr".to_owned(), french)].into(),
        ..Patch::default()
    }
}

fn variant(sku: &str, colour: &str) -> Variant {
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

fn colours(values: &[&str]) -> Field<Vec<ProductOption>> {
    let values = values.iter().map(|value| (*value).to_owned()).collect();
    Field::Set(vec![ProductOption { name: "Colour".to_owned(), values }])
}

/// A product with two variants: the blue one costs more.
fn cups() -> Patch {
    let red = Variant { stock: Field::Set(3), image: Field::Set(0), ..variant("CUP-R", "red") };
    let blue = Variant {
        price: price("14"),
        stock: Field::Set(4),
        gtin: set("4006381333931"),
        weight_g: Field::Set(300),
        ..variant("CUP-B", "blue")
    };
    Patch {
        title: set("Cup"),
        price: price("12.50"),
        weight_g: Field::Set(250),
        images: pictures(&["front", "back"]),
        options: colours(&["blue", "red"]),
        variants: Field::Set(vec![red, blue]),
        ..Patch::default()
    }
}

/// The names of the fields that a run changed.
fn changed(publication: &providers::publication::Publication) -> Vec<&str> {
    publication.changes.iter().map(|change| change.field.as_str()).collect()
}

/// Customers never saw anything but the whole product.
fn assert_only_whole(shop: &PrestaShop, whole: &Value, when: &str) {
    for shown in shop.shown() {
        assert_eq!(&shown, whole, "{when}");
    }
}
