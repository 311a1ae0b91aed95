//! What a job says of a product: fields by name, each with what the shop shall show; null empties it.

use std::collections::BTreeMap;

use proptest::{option::weighted, prelude::*, sample::select, sample::subsequence};
use providers::publication::{Field, Original, Patch, Picture, ProductOption, Shop, Status, Texts, Variant};
use serde_json::{Value, json};

/// Fields by name. Money is text without zeros that say nothing, pictures are their keys, variants are by SKU.
pub(super) type Said = BTreeMap<String, Value>;

/// What variants differ by.
const OPTION: &str = "Colour";
/// SKU and colour of each variant that there may be.
const VARIANTS: [(&str, &str); 3] = [("V-B", "blue"), ("V-G", "green"), ("V-R", "red")];
/// Of a product with variants, which have prices of their own.
const PRICE_OF_ALL: &str = "30";

fn one_of(values: &[&str]) -> BoxedStrategy<Value> {
    select(values.iter().map(|value| json!(value)).collect::<Vec<_>>()).boxed()
}

fn or_none(values: BoxedStrategy<Value>) -> BoxedStrategy<Value> {
    prop_oneof![3 => values, 1 => Just(Value::Null)].boxed()
}

fn some_of(values: &[&str]) -> BoxedStrategy<Value> {
    let values: Vec<String> = values.iter().map(|value| (*value).to_owned()).collect();
    let n = values.len();
    subsequence(values, 1..=n).prop_shuffle().prop_map(|names| json!(names)).boxed()
}

fn sorted(names: BoxedStrategy<Value>) -> BoxedStrategy<Value> {
    let sort = |names: Value| {
        let mut names: Vec<String> = serde_json::from_value(names).unwrap();
        names.sort_unstable();
        json!(names)
    };
    names.prop_map(sort).boxed()
}

fn variants() -> BoxedStrategy<Value> {
    let variant = || (select(vec!["31", "32.5", "40"]), or_none(one_of(&["20", "25.5"])), 0..9_i64);
    (subsequence(VARIANTS.to_vec(), 1..=3), proptest::collection::vec(variant(), 3))
        .prop_map(|(variants, said)| {
            let variants = variants.into_iter().zip(said).map(|((sku, _), (price, sale, stock))| {
                (sku.to_owned(), json!({ "price": price, "sale_price": sale, "stock": stock }))
            });
            Value::Object(variants.collect())
        })
        .boxed()
}

/// What a field may be said to be.
fn fields(shop: Shop, has_variants: bool) -> Vec<(&'static str, BoxedStrategy<Value>)> {
    let mut fields = vec![
        ("title", one_of(&["Cup", "Mug", "Jug"])),
        ("description_html", or_none(one_of(&["<p>one</p>", "<p>two</p>"]))),
        ("images", or_none(some_of(&["back", "front", "side"]))),
        ("tags", or_none(sorted(some_of(&["blue", "clay", "new"])))),
        ("categories", or_none(sorted(some_of(&["Cups", "Gifts"])))),
        ("brand", or_none(one_of(&["Acme", "Potter"]))),
        ("status", one_of(&["active", "draft"])),
    ];
    if shop != Shop::Woocommerce {
        fields.push(("translations.fr.title", one_of(&["Tasse", "Bol"])));
    }
    if has_variants {
        fields.push(("variants", variants()));
    } else {
        fields.extend([
            ("price", one_of(&["12.5", "20", "31.05"])),
            ("sale_price", or_none(one_of(&["8", "9.9"]))),
            ("stock", or_none((0..9_i64).prop_map(|n| json!(n)).boxed())),
            ("weight_g", or_none((1..4_u32).prop_map(|n| json!(n * 250)).boxed())),
        ]);
    }
    fields
}

/// Some fields; with all that a product cannot be made without when it `is_whole`.
pub(super) fn said(shop: Shop, has_variants: bool, is_whole: bool) -> BoxedStrategy<Said> {
    let is_needed = move |name: &str| is_whole && matches!(name, "title" | "price" | "variants");
    let field = |(name, values): (&'static str, BoxedStrategy<Value>)| {
        let value = if is_needed(name) { values.prop_map(Some).boxed() } else { weighted(0.35, values).boxed() };
        value.prop_map(move |value| value.map(|value| (name.to_owned(), value))).boxed()
    };
    let fields: Vec<BoxedStrategy<Option<(String, Value)>>> =
        fields(shop, has_variants).into_iter().map(field).collect();
    let complete = move |fields: Vec<Option<(String, Value)>>| {
        let mut said: Said = fields.into_iter().flatten().collect();
        if has_variants && is_whole {
            said.insert("price".to_owned(), json!(PRICE_OF_ALL));
        }
        said
    };
    fields.prop_map(complete).boxed()
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

fn field<T>(said: &Said, name: &str, become_of: impl FnOnce(&Value) -> T) -> Field<T> {
    match said.get(name) {
        None => Field::Keep,
        Some(Value::Null) => Field::Clear,
        Some(value) => Field::Set(become_of(value)),
    }
}

fn price(amount: &Value) -> providers::content::Price {
    providers::content::Price { amount: text(amount), currency: "EUR".to_owned() }
}

fn names(value: &Value) -> Vec<String> {
    value.as_array().into_iter().flatten().map(text).collect()
}

/// `PrestaShop` is given the bytes, the others the address.
fn picture(key: &str, shop: Shop) -> Picture {
    let bytes = [b"\xff\xd8\xff\xe0 ", key.as_bytes()].concat();
    let is_sent = shop == Shop::Prestashop;
    Picture {
        key: key.to_owned(),
        url: (!is_sent).then(|| format!("https://cdn.example/{key}.jpg")),
        bytes: if is_sent { Original::Here(bytes.into()) } else { Original::Nowhere },
        file_name: format!("{key}.jpg"),
        alt: format!("The {key}"),
    }
}

fn colour(sku: &str) -> String {
    let (_, colour) = VARIANTS.iter().find(|(known, _)| *known == sku).unwrap();
    (*colour).to_owned()
}

fn variant((sku, said): (&String, &Value)) -> Variant {
    Variant {
        sku: sku.clone(),
        options: [(OPTION.to_owned(), colour(sku))].into(),
        price: Field::Set(price(&said["price"])),
        sale_price: if said["sale_price"].is_null() { Field::Clear } else { Field::Set(price(&said["sale_price"])) },
        stock: Field::Set(said["stock"].as_i64().unwrap()),
        gtin: Field::Keep,
        weight_g: Field::Keep,
        image: Field::Keep,
    }
}

/// The same as a job carries it.
pub(super) fn patch(said: &Said, shop: Shop) -> Patch {
    let variants = |value: &Value| value.as_object().unwrap().iter().map(variant).collect::<Vec<_>>();
    let options = |value: &Value| {
        let values = value.as_object().unwrap().keys().map(|sku| colour(sku)).collect();
        vec![ProductOption { name: OPTION.to_owned(), values }]
    };
    let french = Texts { title: field(said, "translations.fr.title", text), ..Texts::default() };
    Patch {
        title: field(said, "title", text),
        description_html: field(said, "description_html", text),
        price: field(said, "price", price),
        sale_price: field(said, "sale_price", price),
        stock: field(said, "stock", |value| value.as_i64().unwrap()),
        images: field(said, "images", |keys| names(keys).iter().map(|key| picture(key, shop)).collect()),
        options: field(said, "variants", options),
        variants: field(said, "variants", variants),
        categories: field(said, "categories", names),
        tags: field(said, "tags", names),
        brand: field(said, "brand", text),
        weight_g: field(said, "weight_g", |value| u32::try_from(value.as_u64().unwrap()).unwrap()),
        status: field(said, "status", |value| if value == "draft" { Status::Draft } else { Status::Active }),
        translations: if french == Texts::default() { BTreeMap::new() } else { [("fr".to_owned(), french)].into() },
        ..Patch::default()
    }
}
