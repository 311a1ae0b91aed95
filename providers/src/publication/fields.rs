//! A product's fields as one store shows them, in that store's own normal form, and what differs.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
use serde_json::Value;
use sha2::{Digest, Sha256};
use utoipa::ToSchema;

use super::patch::{Field, Patch};

/// By the field's name: `title`, `seo.title`, `price`, `variants`, `translations.fr.title`, … `null`: it is empty.
///
/// | field | value |
/// |---|---|
/// | `title`, `description_html`, `short_description_html`, `seo.title`, `seo.description`, `seo.slug`, `brand`, `gtin` | text |
/// | `price`, `sale_price` | text: a decimal number with a point and no zeros behind it, as [`money`] writes it |
/// | `stock`, `weight_g` | number |
/// | `images` | array of `{ "key", "alt" }`, of one that we did not bring `key` is `shop:` and its id there |
/// | `options` | array of `{ "name", "values" }` |
/// | `variants` | object by SKU of `{ "options", "price", "sale_price", "stock", "gtin", "weight_g", "image" }`, each only where it is known |
/// | `categories`, `tags` | sorted array of names |
/// | `status` | `"active"` or `"draft"` |
/// | `translations.LANGUAGE.FIELD` | text; FIELD as above |
pub type Fields = BTreeMap<String, Value>;

/// One field that is or was changed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[schema(as = ProductChange)]
pub struct Change {
    /// Its name, as `price` or `translations.fr.title`.
    pub field: String,
    /// What the shop showed.
    pub was: Value,
    /// What it shows afterwards.
    pub becomes: Value,
}

/// A decimal number without zeros that say nothing: `12.50` is `12.5`, `12.00` is `12`. `None`: it is no such number.
#[must_use]
pub fn money(amount: &str) -> Option<String> {
    rust_decimal::Decimal::from_str_exact(amount.trim()).ok().map(|amount| amount.normalize().to_string())
}

/// A SKU as no shop tells it from others: case and blanks around and between words do not count.
#[must_use]
pub fn folded(sku: &str) -> String {
    sku.split_whitespace().collect::<Vec<_>>().join(" ").to_lowercase()
}

/// What tells a value from others: 16 hex digits of its SHA-256.
#[must_use]
pub(super) fn hash(value: &Value) -> String {
    hex::encode(&Sha256::digest(value.to_string())[..8])
}

/// What differs between the fields that are `wanted` and those that were `seen`.
#[must_use]
pub(super) fn changes(seen: &Fields, wanted: &Fields) -> Vec<Change> {
    let differs = |(field, becomes): (&String, &Value)| {
        let was = seen.get(field).cloned().unwrap_or_default();
        (!is_same(field, &was, becomes)).then(|| Change { field: field.clone(), was, becomes: becomes.clone() })
    };
    wanted.iter().filter_map(differs).collect()
}

/// Variants are the same where each says the same of what is wanted of it; all else is compared whole.
fn is_same(field: &str, was: &Value, becomes: &Value) -> bool {
    match (field, was, becomes) {
        ("variants", Value::Object(was), Value::Object(becomes)) => {
            was.len() == becomes.len()
                && becomes.iter().all(|(sku, becomes)| {
                    let was = was.get(sku).and_then(Value::as_object);
                    let becomes = becomes.as_object().into_iter().flatten();
                    was.is_some_and(|was| {
                        becomes.into_iter().all(|(name, value)| was.get(name).unwrap_or(&Value::Null) == value)
                    })
                })
        }
        _ => was == becomes,
    }
}

impl Patch {
    /// The names of the fields that it sets or clears, as in [`Fields`].
    #[must_use]
    pub fn names(&self) -> BTreeSet<String> {
        let mut names: BTreeSet<String> = BTreeSet::new();
        let mut visit = |name: &str, is_kept: bool| {
            if !is_kept {
                names.insert(name.to_owned());
            }
        };
        visit("title", self.title.is_kept());
        visit("description_html", self.description_html.is_kept());
        visit("short_description_html", self.short_description_html.is_kept());
        visit("seo.title", self.seo_title.is_kept());
        visit("seo.description", self.seo_description.is_kept());
        visit("seo.slug", self.slug.is_kept());
        visit("price", self.price.is_kept());
        visit("sale_price", self.sale_price.is_kept());
        visit("stock", self.stock.is_kept());
        visit("images", self.images.is_kept());
        visit("options", self.options.is_kept());
        visit("variants", self.variants.is_kept());
        visit("categories", self.categories.is_kept());
        visit("tags", self.tags.is_kept());
        visit("brand", self.brand.is_kept());
        visit("gtin", self.gtin.is_kept());
        visit("weight_g", self.weight_g.is_kept());
        visit("status", self.status.is_kept());
        for (language, texts) in &self.translations {
            visit(&format!("translations.{language}.title"), texts.title.is_kept());
            visit(&format!("translations.{language}.description_html"), texts.description_html.is_kept());
            visit(&format!("translations.{language}.short_description_html"), texts.short_description_html.is_kept());
            visit(&format!("translations.{language}.seo.title"), texts.seo_title.is_kept());
            visit(&format!("translations.{language}.seo.description"), texts.seo_description.is_kept());
        }
        names
    }

    /// The same with only these fields; all others stay as they are.
    #[must_use]
    pub fn only(&self, names: &BTreeSet<String>) -> Self {
        fn kept<T: Clone>(names: &BTreeSet<String>, name: &str, field: &Field<T>) -> Field<T> {
            if names.contains(name) { field.clone() } else { Field::Keep }
        }
        let mut translations = self.translations.clone();
        for (language, texts) in &mut translations {
            let name = |field: &str| format!("translations.{language}.{field}");
            texts.title = kept(names, &name("title"), &texts.title);
            texts.description_html = kept(names, &name("description_html"), &texts.description_html);
            texts.short_description_html = kept(names, &name("short_description_html"), &texts.short_description_html);
            texts.seo_title = kept(names, &name("seo.title"), &texts.seo_title);
            texts.seo_description = kept(names, &name("seo.description"), &texts.seo_description);
        }
        translations.retain(|_, texts| *texts != super::patch::Texts::default());
        Self {
            title: kept(names, "title", &self.title),
            description_html: kept(names, "description_html", &self.description_html),
            short_description_html: kept(names, "short_description_html", &self.short_description_html),
            seo_title: kept(names, "seo.title", &self.seo_title),
            seo_description: kept(names, "seo.description", &self.seo_description),
            slug: kept(names, "seo.slug", &self.slug),
            price: kept(names, "price", &self.price),
            sale_price: kept(names, "sale_price", &self.sale_price),
            stock: kept(names, "stock", &self.stock),
            images: kept(names, "images", &self.images),
            options: kept(names, "options", &self.options),
            variants: kept(names, "variants", &self.variants),
            categories: kept(names, "categories", &self.categories),
            tags: kept(names, "tags", &self.tags),
            brand: kept(names, "brand", &self.brand),
            gtin: kept(names, "gtin", &self.gtin),
            weight_g: kept(names, "weight_g", &self.weight_g),
            status: kept(names, "status", &self.status),
            translations,
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn fields(value: &Value) -> Fields {
        serde_json::from_value(value.clone()).unwrap()
    }

    #[test]
    fn only_what_is_wanted_is_compared() {
        let seen = fields(&json!({ "title": "Cup", "price": "12.5", "tags": ["a"] }));
        let wanted = fields(&json!({ "title": "Mug", "price": "12.5", "brand": null }));
        let changes = changes(&seen, &wanted);
        assert_eq!(changes, [Change { field: "title".to_owned(), was: json!("Cup"), becomes: json!("Mug") }]);
    }

    #[test]
    fn of_a_variant_only_what_is_said_is_compared_but_one_more_or_less_differs() {
        let seen = fields(&json!({ "variants": { "A": { "price": "1", "stock": 4 }, "B": { "price": "2" } } }));
        let same = fields(&json!({ "variants": { "A": { "price": "1" }, "B": { "gtin": null } } }));
        assert_eq!(changes(&seen, &same), []);
        for other in
            [json!({ "A": {} }), json!({ "A": { "stock": 5 }, "B": {} }), json!({ "A": {}, "C": {} }), json!(null)]
        {
            assert_eq!(changes(&seen, &fields(&json!({ "variants": other }))).len(), 1, "{other}");
        }
    }

    #[test]
    fn money_is_written_one_way() {
        assert_eq!(["12.50", "12.00", " 0.10", "12"].map(|amount| money(amount).unwrap()), ["12.5", "12", "0.1", "12"]);
        assert_eq!(["", "12,50", "1e3", "abc"].map(money), [None, None, None, None]);
    }

    #[test]
    fn a_patch_names_its_fields_and_can_be_narrowed_to_them() {
        let texts = super::super::patch::Texts { title: Field::Set("Tasse".to_owned()), ..Default::default() };
        let patch = Patch {
            title: Field::Set("Cup".to_owned()),
            brand: Field::Clear,
            translations: [("fr".to_owned(), texts)].into(),
            ..Patch::default()
        };
        let names = patch.names();
        assert_eq!(names.iter().map(String::as_str).collect::<Vec<_>>(), ["brand", "title", "translations.fr.title"]);
        assert_eq!(patch.only(&names), patch);
        let only = patch.only(&["brand".to_owned()].into());
        assert_eq!(only, Patch { brand: Field::Clear, ..Patch::default() });
    }
}
