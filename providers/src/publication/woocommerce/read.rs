//! A product as the REST API shows it, as fields.

use serde_json::{Map, Value, json};
use sha2::{Digest, Sha256};

use super::{
    super::{
        api::{Key, Seen},
        fields::{Fields, money},
        listing::Listing,
    },
    texts::{decoded, sku},
    weight::Unit,
};

/// Where our mark is: `PRODUCT_ID/SKU`.
pub(super) const MARK: &str = "_ecomsimply_id";
/// Where a product's raw form has its variations.
pub(super) const VARIATIONS: &str = "_variations";
/// The attribute that tells the brand where the shop has no brands.
pub(super) const BRAND: &str = "Brand";
/// What two plugins call a title and a description for search engines.
pub(super) const SEO: [(&str, [&str; 2]); 2] = [
    ("seo.title", ["_yoast_wpseo_title", "rank_math_title"]),
    ("seo.description", ["_yoast_wpseo_metadesc", "rank_math_description"]),
];

/// What it is read with.
#[derive(Debug, Clone, Copy)]
pub(super) struct Reader<'a> {
    pub(super) key: Key<'a>,
    pub(super) listing: &'a Listing,
    /// `None`: weights are not looked at.
    pub(super) unit: Option<Unit>,
    /// The store's own language, if it is known.
    pub(super) language: Option<&'a str>,
}

impl Key<'_> {
    /// What our products carry.
    pub(super) fn mark(self) -> String {
        format!("{}/{}", self.product_id, self.sku)
    }
}

/// An id, which the API writes as a number.
pub(super) fn id(raw: &Value) -> String {
    raw["id"].as_u64().unwrap_or_default().to_string()
}

pub(super) fn text<'v>(raw: &'v Value, name: &str) -> &'v str {
    raw[name].as_str().unwrap_or_default()
}

pub(super) fn list<'v>(raw: &'v Value, name: &str) -> &'v [Value] {
    raw[name].as_array().map(Vec::as_slice).unwrap_or_default()
}

/// The value of a product's own field.
pub(super) fn meta<'v>(raw: &'v Value, key: &str) -> Option<&'v str> {
    list(raw, "meta_data").iter().rev().find(|meta| meta["key"] == key)?["value"].as_str()
}

pub(super) fn is_variable(raw: &Value) -> bool {
    raw["type"] == "variable"
}

/// The SKU of a variation; one without has its product's in the API's answers (W40).
pub(super) fn own_sku(variation: &Value, product: &Value) -> Option<String> {
    let own = decoded(text(variation, "sku"));
    (!own.is_empty() && own != decoded(text(product, "sku"))).then(|| sku(&own))
}

/// What the name of a picture ends with, so that it is known again when the answer to its sending was lost.
pub(super) fn tag(key: &str) -> String {
    hex::encode(&Sha256::digest(key.as_bytes())[..4])
}

/// Whether a picture of the shop carries the tag of this key.
pub(super) fn has_tag(image: &Value, key: &str) -> bool {
    text(image, "name").rsplit_once('-').is_some_and(|(_, end)| end == tag(key))
}

impl Reader<'_> {
    /// All of it.
    pub(super) fn seen(&self, raw: Value) -> Seen {
        let visible = raw["status"] == "publish";
        let mut fields = Fields::new();
        let mut put = |name: &str, value: Option<Value>| {
            if let Some(value) = value {
                fields.insert(name.to_owned(), value);
            }
        };
        let title = filled(decoded(text(&raw, "name")));
        let description = filled(text(&raw, "description").trim().to_owned());
        let short = filled(text(&raw, "short_description").trim().to_owned());
        put("seo.slug", filled(text(&raw, "slug").to_owned()));
        let seo = SEO.map(|(name, keys)| (name, seo(&raw, keys)));
        if let Some(language) = self.language {
            let own = [("title", &title), ("description_html", &description), ("short_description_html", &short)];
            for (name, value) in own.into_iter().chain(seo.iter().map(|(name, value)| (*name, value))) {
                put(&format!("translations.{language}.{name}"), value.clone());
            }
        }
        for (name, value) in seo {
            put(name, value);
        }
        put("title", title);
        put("description_html", description);
        put("short_description_html", short);
        put("stock", stock(&raw));
        put("gtin", filled(text(&raw, "global_unique_id").to_owned()));
        put("weight_g", self.weight(&raw));
        put("categories", names(list(&raw, "categories")));
        put("tags", names(list(&raw, "tags")));
        put("brand", brand(&raw));
        put("images", self.images(&raw));
        put("options", options(&raw));
        put("status", Some(if visible { json!("active") } else { json!("draft") }));
        for (name, field) in [("price", "regular_price"), ("sale_price", "sale_price")] {
            put(name, if is_variable(&raw) { common(&raw, field) } else { amount(&raw, field) });
        }
        if is_variable(&raw) {
            // None of a product that is made for them is not the same as none.
            put("variants", Some(self.variants(&raw)));
        }
        let url = visible.then(|| text(&raw, "permalink").to_owned()).filter(|url| !url.is_empty());
        let marked = Some(meta(&raw, MARK) == Some(self.key.mark().as_str()));
        Seen { external_id: id(&raw), url, visible, marked, fields, raw }
    }

    fn weight(&self, raw: &Value) -> Option<Value> {
        self.unit?.read(text(raw, "weight")).map(|grams| json!(grams))
    }

    /// The key of a picture of the shop.
    pub(super) fn key_of(&self, image: &Value) -> String {
        let known = self.listing.key_of_picture(&id(image));
        if !known.starts_with("shop:") {
            return known;
        }
        // Sent, and its answer was lost, or sent by another run.
        let sent = self.listing.pictures.iter().find(|picture| has_tag(image, &picture.key));
        sent.map_or(known, |picture| picture.key.clone())
    }

    fn images(&self, raw: &Value) -> Option<Value> {
        let shown = |image: &Value| json!({ "key": self.key_of(image), "alt": decoded(text(image, "alt")) });
        let images: Vec<Value> = list(raw, "images").iter().map(shown).collect();
        (!images.is_empty()).then(|| json!(images))
    }

    fn variants(&self, raw: &Value) -> Value {
        let mut variants = Map::new();
        for variation in list(raw, VARIATIONS) {
            let shop = || format!("shop:{}", id(variation));
            // Two with one SKU (W13c): the second is one too many.
            let sku = own_sku(variation, raw).filter(|sku| !variants.contains_key(sku)).unwrap_or_else(shop);
            variants.insert(sku, self.variant(variation, raw));
        }
        Value::Object(variants)
    }

    /// What a variation shows.
    pub(super) fn variant(&self, variation: &Value, product: &Value) -> Value {
        let options = list(variation, "attributes").iter();
        let options: Map<String, Value> = options
            .map(|attribute| (decoded(text(attribute, "name")), json!(decoded(text(attribute, "option")))))
            .collect();
        json!({
            "options": options,
            "price": amount(variation, "regular_price"),
            "sale_price": amount(variation, "sale_price"),
            "stock": stock(variation),
            "gtin": filled(text(variation, "global_unique_id").to_owned()),
            "weight_g": self.weight(variation),
            "image": position(variation, product),
        })
    }
}

/// Which of the product's pictures shows a variation. The first shows those that have none, so it counts as none.
fn position(variation: &Value, product: &Value) -> Option<usize> {
    let shown = &variation["image"]["id"];
    list(product, "images").iter().position(|image| shown.is_u64() && image["id"] == *shown).filter(|at| *at > 0)
}

fn filled(text: String) -> Option<Value> {
    (!text.is_empty()).then_some(Value::String(text))
}

/// The plugins' values; both where they differ.
fn seo(raw: &Value, keys: [&str; 2]) -> Option<Value> {
    let [one, other] = keys.map(|key| meta(raw, key).unwrap_or_default());
    filled(if one == other { one.to_owned() } else { format!("{one} / {other}") })
}

/// A price as it should have been written; as it is where that is no number.
fn amount(raw: &Value, field: &str) -> Option<Value> {
    let shown = text(raw, field);
    filled(money(shown).unwrap_or_else(|| shown.to_owned()))
}

/// The price of all variations, if they have one.
pub(super) fn common(raw: &Value, field: &str) -> Option<Value> {
    let mut amounts = list(raw, VARIATIONS).iter().map(|variation| amount(variation, field));
    let first = amounts.next()??;
    amounts.all(|amount| amount.as_ref() == Some(&first)).then_some(first)
}

/// Whether all variations have one price, or none.
pub(super) fn is_common(raw: &Value, field: &str) -> bool {
    let mut amounts = list(raw, VARIATIONS).iter().map(|variation| amount(variation, field));
    let first = amounts.next().flatten();
    amounts.all(|amount| amount == first)
}

/// `"parent"` in place of a truth: it is the product's (W38m).
fn stock(raw: &Value) -> Option<Value> {
    (raw["manage_stock"] == true).then(|| raw["stock_quantity"].clone()).filter(Value::is_number)
}

fn names(terms: &[Value]) -> Option<Value> {
    let mut names: Vec<String> = terms.iter().map(|term| decoded(text(term, "name"))).collect();
    names.sort_unstable();
    names.dedup();
    (!names.is_empty()).then(|| json!(names))
}

/// Of WooCommerce itself since 9.6; an attribute of this name where it has none.
fn brand(raw: &Value) -> Option<Value> {
    let brands: Vec<String> = list(raw, "brands").iter().map(|brand| decoded(text(brand, "name"))).collect();
    if !brands.is_empty() {
        return filled(brands.join(", "));
    }
    let attribute = list(raw, "attributes").iter().find(|attribute| is_brand(attribute))?;
    filled(decoded(attribute["options"][0].as_str().unwrap_or_default()))
}

pub(super) fn is_brand(attribute: &Value) -> bool {
    attribute["variation"] != true && text(attribute, "name").eq_ignore_ascii_case(BRAND)
}

fn options(raw: &Value) -> Option<Value> {
    let options: Vec<Value> = list(raw, "attributes")
        .iter()
        .filter(|attribute| attribute["variation"] == true)
        .map(|attribute| {
            let values = list(attribute, "options").iter().filter_map(Value::as_str).map(decoded);
            json!({ "name": decoded(text(attribute, "name")), "values": values.collect::<Vec<_>>() })
        })
        .collect();
    (!options.is_empty()).then(|| json!(options))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::publication::Brought;

    fn seen(raw: Value, listing: &Listing) -> Seen {
        let key = Key { sku: "SKU12", product_id: "p-12" };
        Reader { key, listing, unit: Some(Unit::Kilogram), language: Some("fr") }.seen(raw)
    }

    #[test]
    fn a_product_is_read_in_its_normal_form() {
        let pictures = vec![
            Brought { key: "k1".to_owned(), external_id: Some("31".to_owned()) },
            Brought { key: "k2".to_owned(), external_id: None },
        ];
        let listing = Listing { pictures, ..Listing::default() };
        let raw = json!({
            "id": 7, "name": "R&amp;D", "status": "publish", "type": "simple", "sku": "SKU12", "regular_price": "12.50",
            "sale_price": "", "manage_stock": true, "stock_quantity": 4, "weight": "0.25", "permalink": "https://shop.test/p/mug",
            "categories": [{ "id": 9, "name": "Lamps &amp; Co" }], "tags": [], "brands": [{ "id": 1, "name": "Acme" }],
            "images": [{ "id": 31, "name": "x", "alt": "Red" }, { "id": 32, "name": format!("y-{}", tag("k2")) }, { "id": 33 }],
            "meta_data": [{ "key": MARK, "value": "p-12/SKU12" }, { "key": "_yoast_wpseo_title", "value": "Mug" },
                { "key": "rank_math_title", "value": "Mug" }],
        });
        let seen = seen(raw, &listing);
        assert_eq!(
            (seen.visible, seen.marked, seen.url.as_deref()),
            (true, Some(true), Some("https://shop.test/p/mug"))
        );
        let expected = json!({
            "title": "R&D", "translations.fr.title": "R&D", "seo.title": "Mug", "translations.fr.seo.title": "Mug", "price": "12.5",
            "stock": 4, "weight_g": 250, "categories": ["Lamps & Co"], "brand": "Acme", "status": "active",
            "images": [{ "key": "k1", "alt": "Red" }, { "key": "k2", "alt": "" }, { "key": "shop:33", "alt": "" }],
        });
        assert_eq!(json!(seen.fields), expected);
    }

    /// W40, W13c, W38m.
    #[test]
    fn of_variations_each_is_told_once() {
        let raw = json!({
            "id": 7, "type": "variable", "sku": "P", "status": "draft", "images": [{ "id": 1 }, { "id": 2 }],
            "attributes": [{ "name": "Colour", "variation": true, "options": ["red", "blue"] }],
            VARIATIONS: [
                { "id": 8, "sku": "A", "regular_price": "1.0", "manage_stock": "parent", "stock_quantity": 9, "image": { "id": 1 },
                    "attributes": [{ "name": "Colour", "option": "red" }] },
                { "id": 9, "sku": "P", "regular_price": "1", "image": { "id": 2 } },
                { "id": 10, "sku": "A", "regular_price": "1.00" },
            ],
        });
        let seen = seen(raw, &Listing::default());
        let variants = seen.fields["variants"].as_object().unwrap();
        assert_eq!(variants.keys().collect::<Vec<_>>(), ["A", "shop:10", "shop:9"]);
        assert_eq!((&variants["A"]["stock"], &variants["A"]["image"]), (&Value::Null, &Value::Null));
        assert_eq!((&variants["shop:9"]["image"], &seen.fields["price"]), (&json!(1), &json!("1")));
        assert_eq!(seen.fields["options"], json!([{ "name": "Colour", "values": ["red", "blue"] }]));
    }
}
