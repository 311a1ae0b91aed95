//! A product as the Admin API shows it, as our fields.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use super::{
    super::{fields::Fields, fields::money, listing::Listing},
    settings::Settings,
};

/// All that the shop shows of a product. `product`: as the query of it answers, its lists whole, and `translations` by language.
pub(super) fn fields(product: &Value, settings: &Settings, listing: &Listing) -> Fields {
    let mut fields = Fields::new();
    let mut put = |name: &str, value: Value| fields.insert(name.to_owned(), value);
    put("title", text(&product["title"]));
    put("description_html", text(&product["descriptionHtml"]));
    put("short_description_html", text(&product["short"]["value"]));
    put("seo.title", text(&product["seo"]["title"]));
    put("seo.description", text(&product["seo"]["description"]));
    put("seo.slug", text(&product["handle"]));
    put("brand", vendor(product["vendor"].as_str().unwrap_or_default(), settings));
    put("tags", names(list(&product["tags"]).filter_map(Value::as_str)));
    put("categories", names(collections(product).filter_map(|collection| collection["title"].as_str())));
    put("status", if is_visible(product) { json!("active") } else { json!("draft") });
    put("images", images(product, listing));
    let variants: Vec<&Value> = nodes(&product["variants"]).collect();
    for name in ["price", "sale_price", "weight_g"] {
        put(name, common(&variants, |variant| of_variant(variant, product)[name].clone()));
    }
    let only = variants.first().filter(|_| variants.len() == 1).map(|variant| of_variant(variant, product));
    for name in ["stock", "gtin"] {
        put(name, only.as_ref().map(|only| only[name].clone()).unwrap_or_default());
    }
    if is_simple(product) {
        put("options", Value::Null);
        put("variants", Value::Null);
    } else {
        let options =
            list(&product["options"]).map(|option| json!({ "name": option["name"], "values": values(option) }));
        put("options", options.collect());
        let by_sku = by_sku(&variants).into_iter().map(|(sku, variant)| (sku, of_variant(variant, product)));
        put("variants", Value::Object(by_sku.collect()));
    }
    for (language, translations) in product["translations"].as_object().into_iter().flatten() {
        for (key, field) in TRANSLATED {
            let found = list(translations).find(|translation| translation["key"] == key);
            put(
                &format!("translations.{language}.{field}"),
                found.map(|found| text(&found["value"])).unwrap_or_default(),
            );
        }
    }
    fields
}

/// The shop's keys of texts that are translated, and our fields.
pub(super) const TRANSLATED: [(&str, &str); 4] = [
    ("title", "title"),
    ("body_html", "description_html"),
    ("meta_title", "seo.title"),
    ("meta_description", "seo.description"),
];

/// Whether customers see it. One that is unlisted is seen by whoever has its address.
pub(super) fn is_visible(product: &Value) -> bool {
    (product["status"] == "ACTIVE" || product["status"] == "UNLISTED") && product["isPublished"] == true
}

/// Whether it has nothing to choose.
pub(super) fn is_simple(product: &Value) -> bool {
    product["hasOnlyDefaultVariant"] == true
}

/// The nodes of a list in pages.
pub(super) fn nodes(connection: &Value) -> impl Iterator<Item = &Value> {
    list(&connection["nodes"])
}

pub(super) fn list(value: &Value) -> impl Iterator<Item = &Value> {
    value.as_array().into_iter().flatten()
}

pub(super) fn id(node: &Value) -> &str {
    node["id"].as_str().unwrap_or_default()
}

/// The collections of a product that are filled by hand.
pub(super) fn collections(product: &Value) -> impl Iterator<Item = &Value> {
    nodes(&product["collections"]).filter(|collection| is_manual(collection))
}

/// Whether products are put into a collection by hand, and not by its conditions.
pub(super) fn is_manual(collection: &Value) -> bool {
    list(&collection["sources"]).all(|source| {
        source["__typename"] == "CollectionConditionsSource"
            && list(&source["inclusion"]["conditions"]).next().is_none()
    })
}

/// The pictures among a product's media.
pub(super) fn pictures(product: &Value) -> impl Iterator<Item = &Value> {
    nodes(&product["media"]).filter(|media| media["mediaContentType"] == "IMAGE")
}

/// A picture that is not ready is none of the product's yet: its key says so.
fn images(product: &Value, listing: &Listing) -> Value {
    let images = pictures(product).map(|media| {
        let key = listing.key_of_picture(id(media));
        let key = if media["status"] == "READY" {
            key
        } else {
            format!("{}:{key}", media["status"].as_str().unwrap_or_default())
        };
        json!({ "key": key, "alt": media["alt"].as_str().unwrap_or_default() })
    });
    let images: Vec<Value> = images.collect();
    if images.is_empty() { Value::Null } else { Value::Array(images) }
}

/// The names of an option's values, in order.
pub(super) fn values(option: &Value) -> Vec<&str> {
    list(&option["optionValues"]).filter_map(|value| value["name"].as_str()).collect()
}

/// Variants by SKU; those without one, or with that of another, by their ids.
pub(super) fn by_sku<'a>(variants: &[&'a Value]) -> BTreeMap<String, &'a Value> {
    let mut by_sku = BTreeMap::new();
    for variant in variants {
        let sku = variant["sku"].as_str().unwrap_or_default();
        let is_free = !sku.is_empty() && !by_sku.contains_key(sku);
        by_sku.insert(if is_free { sku.to_owned() } else { format!("shop:{}", id(variant)) }, *variant);
    }
    by_sku
}

/// The fields of one variant.
pub(super) fn of_variant(variant: &Value, product: &Value) -> Value {
    let options: Map<String, Value> = list(&variant["selectedOptions"])
        .filter_map(|option| Some((option["name"].as_str()?.to_owned(), option["value"].clone())))
        .collect();
    let picture = nodes(&variant["media"]).next().map(id);
    let image = picture.and_then(|picture| pictures(product).position(|media| id(media) == picture));
    let (price, sale_price) = prices(variant);
    json!({
        "options": options, "price": price, "sale_price": sale_price, "stock": stock(variant), "gtin": text(&variant["barcode"]),
        "weight_g": grams(&variant["inventoryItem"]["measurement"]["weight"]), "image": image,
    })
}

/// What it costs when it is not reduced, and while it is. Shopify's price is what is to be paid, its other one what is struck through.
pub(super) fn prices(variant: &Value) -> (Option<String>, Option<String>) {
    let amount = |name: &str| variant[name].as_str().and_then(money);
    let (paid, struck) = (amount("price"), amount("compareAtPrice"));
    match struck {
        Some(struck) if paid.as_deref().is_some_and(|paid| is_less(paid, &struck)) => (Some(struck), paid),
        _ => (paid, None),
    }
}

pub(super) fn is_less(one: &str, other: &str) -> bool {
    let number = |amount: &str| rust_decimal::Decimal::from_str_exact(amount).ok();
    number(one).zip(number(other)).is_some_and(|(one, other)| one < other)
}

/// How many can be sold; `None`: they are not counted.
pub(super) fn stock(variant: &Value) -> Option<i64> {
    let item = &variant["inventoryItem"];
    (item["tracked"] == true).then(|| quantity(item).unwrap_or_default())
}

/// How many are at the location where stock is counted; `None`: it does not have this item at all.
pub(super) fn quantity(item: &Value) -> Option<i64> {
    list(&item["inventoryLevel"]["quantities"]).find(|quantity| quantity["name"] == "available")?["quantity"].as_i64()
}

fn grams(weight: &Value) -> Value {
    let in_one = match weight["unit"].as_str().unwrap_or_default() {
        "GRAMS" => 1.0,
        "KILOGRAMS" => 1_000.0,
        "OUNCES" => 28.349_523_125,
        "POUNDS" => 453.592_37,
        _ => return Value::Null,
    };
    let grams = (weight["value"].as_f64().unwrap_or_default() * in_one).round();
    if grams > 0.0 && grams <= f64::from(u32::MAX) { json!(grams as u32) } else { Value::Null }
}

/// What all variants have; where they differ, what each has.
fn common(variants: &[&Value], of: impl Fn(&Value) -> Value) -> Value {
    let mut all: Vec<Value> = variants.iter().map(|variant| of(variant)).collect();
    if all.iter().all(|other| *other == all[0]) { all.pop().unwrap_or_default() } else { Value::Array(all) }
}

fn text(value: &Value) -> Value {
    value.as_str().filter(|text| !text.is_empty()).map(|text| json!(text)).unwrap_or_default()
}

/// A product without a vendor has the shop's name there.
pub(super) fn vendor(vendor: &str, settings: &Settings) -> Value {
    let vendor = vendor.trim();
    if vendor.is_empty() || vendor == settings.name { Value::Null } else { json!(vendor) }
}

/// Sorted, each once.
pub(super) fn names<'a>(names: impl Iterator<Item = &'a str>) -> Value {
    let mut names: Vec<&str> = names.collect();
    names.sort_unstable();
    names.dedup();
    if names.is_empty() { Value::Null } else { json!(names) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_price_is_reduced_only_below_the_one_that_is_struck_through() {
        let read = |price: &str, struck: Option<&str>| prices(&json!({ "price": price, "compareAtPrice": struck }));
        let both = |price: &str, sale: Option<&str>| (Some(price.to_owned()), sale.map(str::to_owned));
        assert_eq!(read("12.50", None), both("12.5", None));
        assert_eq!(read("9.90", Some("12.50")), both("12.5", Some("9.9")));
        assert_eq!(read("12.50", Some("12.50")), both("12.5", None));
        assert_eq!(read("12.50", Some("9.90")), both("12.5", None));
    }

    #[test]
    fn weights_are_read_in_all_units() {
        let read = |value: f64, unit: &str| grams(&json!({ "value": value, "unit": unit }));
        assert_eq!(
            [read(0.25, "KILOGRAMS"), read(2.0, "POUNDS"), read(250.0, "GRAMS")],
            [json!(250), json!(907), json!(250)]
        );
        assert_eq!([read(0.0, "GRAMS"), grams(&Value::Null)], [Value::Null, Value::Null]);
    }

    #[test]
    fn a_collection_with_conditions_is_not_filled_by_hand() {
        let with = |conditions: Value| json!({ "sources": [{ "__typename": "CollectionConditionsSource", "inclusion": { "conditions": conditions } }] });
        assert!(is_manual(&with(json!([]))) && is_manual(&json!({ "sources": [] })));
        assert!(!is_manual(&with(json!([{ "__typename": "X" }]))));
        assert!(!is_manual(&json!({ "sources": [{ "__typename": "CollectionSubCollectionsSource" }] })));
    }

    #[test]
    fn variants_without_a_sku_of_their_own_go_by_their_ids() {
        let variants =
            [json!({ "id": "1", "sku": "A" }), json!({ "id": "2", "sku": "A" }), json!({ "id": "3", "sku": null })];
        let by_sku = by_sku(&variants.iter().collect::<Vec<_>>());
        assert_eq!(by_sku.keys().collect::<Vec<_>>(), ["A", "shop:2", "shop:3"]);
    }
}
