//! What the shop would show of a patch, and what it cannot hold.

use std::collections::BTreeSet;

use serde_json::{Map, Value, json};

use super::{
    super::{
        api::Key,
        fault::{Fault, Wrong},
        fields::{Fields, money},
        patch::{Field, Patch, Variant},
        plain,
        store::Store,
    },
    texts::{Bad, MOST_NAME, MOST_SKU, bad_sku, cleaned, one_line, plain as words, sku},
};
use crate::content::Price;

/// What values of options cannot have: `|` is between them in the shop's database, the rest is removed.
const NOT_IN_OPTIONS: &[char] = &['|', '<', '>', '\\'];

/// The store's own language, if it is known. WooCommerce itself has one.
pub(super) fn language(store: &Store) -> Option<&str> {
    store.languages.first().map(String::as_str)
}

/// The texts in the store's own language, which are what its customers read, in place of the others.
pub(super) fn in_own_language(patch: &Patch, language: Option<&str>) -> Patch {
    let mut own = patch.clone();
    let Some(texts) = language.and_then(|language| own.translations.remove(language)) else { return own };
    let fields = [
        (&mut own.title, texts.title),
        (&mut own.description_html, texts.description_html),
        (&mut own.short_description_html, texts.short_description_html),
        (&mut own.seo_title, texts.seo_title),
        (&mut own.seo_description, texts.seo_description),
    ];
    for (field, text) in fields {
        if !text.is_kept() {
            *field = text;
        }
    }
    own
}

/// Each field of the patch as the shop would show it.
pub(super) fn normal(key: Key<'_>, patch: &Patch, store: &Store) -> Result<Fields, Vec<Fault>> {
    let language = language(store);
    let faults = faults(key, patch, store);
    if !faults.is_empty() {
        return Err(faults);
    }
    let names = patch.names();
    let own = in_own_language(patch, language);
    let mut fields = plain(&own);
    for (name, change) in &mut fields {
        let Some(text) = change.as_str() else { continue };
        let text = match name.as_str() {
            "title" => words(text),
            "description_html" | "short_description_html" => cleaned(text),
            "seo.title" | "seo.description" | "brand" => one_line(text),
            _ => continue,
        };
        *change = if text.is_empty() { Value::Null } else { json!(text) };
    }
    for name in ["categories", "tags"] {
        if let Some(Value::Array(names)) = fields.get_mut(name) {
            let mut tidy: Vec<String> = names.iter().filter_map(Value::as_str).map(words).collect();
            tidy.sort_unstable();
            tidy.dedup();
            *names = tidy.into_iter().map(Value::String).collect();
        }
    }
    if let Some(Value::Array(images)) = fields.get_mut("images") {
        for image in images.iter_mut() {
            image["alt"] = json!(words(image["alt"].as_str().unwrap_or_default()));
        }
    }
    for name in ["images", "options"] {
        if fields.get(name).is_some_and(|value| value.as_array().is_some_and(Vec::is_empty)) {
            fields.insert(name.to_owned(), Value::Null);
        }
    }
    if let Some(Value::Object(variants)) = fields.remove("variants").filter(|variants| !variants.is_null()) {
        let variants: Map<String, Value> =
            variants.into_iter().map(|(name, variant)| (sku(&name), normal_variant(variant))).collect();
        if variants.is_empty() {
            fields.insert("variants".to_owned(), Value::Null);
        } else {
            fields.insert("variants".to_owned(), Value::Object(variants));
            // Each variant has its own.
            fields.remove("price");
            fields.remove("sale_price");
        }
    } else if !patch.variants.is_kept() {
        fields.insert("variants".to_owned(), Value::Null);
    }
    if let Some(language) = language {
        for name in ["title", "description_html", "short_description_html", "seo.title", "seo.description"] {
            let long = format!("translations.{language}.{name}");
            if names.contains(&long) {
                let value = fields.remove(name).unwrap_or_default();
                fields.insert(long, value);
            }
        }
    }
    Ok(fields)
}

/// The first picture shows variants that have none: that is none.
fn normal_variant(mut variant: Value) -> Value {
    if variant["image"] == 0 {
        variant["image"] = Value::Null;
    }
    variant
}

fn faults(key: Key<'_>, patch: &Patch, store: &Store) -> Vec<Fault> {
    let mut faults = Vec::new();
    let mut wrong = |field: &str, what: Wrong| faults.push(Fault::new(field, what));
    if let Some(what) = wrong_sku(key.sku) {
        wrong("sku", what);
    }
    for language in patch.translations.keys() {
        if Some(language.as_str()) != self::language(store) {
            let has = store.languages.first().cloned().unwrap_or_else(|| "one only".to_owned());
            wrong(&format!("translations.{language}"), Wrong::Language { has: vec![has] });
        }
    }
    let own = in_own_language(patch, language(store));
    if let Field::Set(title) = &own.title {
        let title = words(title);
        if title.is_empty() {
            wrong("title", Wrong::Needed);
        } else if title.chars().count() > MOST_NAME {
            wrong("title", Wrong::TooLong { most: MOST_NAME });
        }
    }
    if own.title == Field::Clear {
        wrong("title", Wrong::Needed);
    }
    prices("", &patch.price, &patch.sale_price, store, &mut wrong);
    for (name, terms) in [("categories", &patch.categories), ("tags", &patch.tags)] {
        if terms.set().is_some_and(|terms| terms.iter().any(|term| words(term).is_empty())) {
            wrong(name, Wrong::Needed);
        }
    }
    for option in patch.options.set().into_iter().flatten() {
        let texts = std::iter::once(&option.name).chain(&option.values);
        for text in texts.filter(|text| text.contains(NOT_IN_OPTIONS) || one_line(text) != **text || text.is_empty()) {
            wrong("options", Wrong::Characters { found: text.clone() });
        }
    }
    if let Some(variants) = patch.variants.set() {
        of_variants(key, patch, variants, store, &mut wrong);
    }
    faults
}

fn of_variants(key: Key<'_>, patch: &Patch, variants: &[Variant], store: &Store, wrong: &mut impl FnMut(&str, Wrong)) {
    let mut taken = BTreeSet::from([super::texts::folded(key.sku)]);
    for variant in variants {
        let name = format!("variants.{}", variant.sku);
        if let Some(what) = wrong_sku(&variant.sku) {
            wrong(&format!("{name}.sku"), what);
        } else if !taken.insert(super::texts::folded(&variant.sku)) {
            wrong(&format!("{name}.sku"), Wrong::Taken { by: "another SKU of this product".to_owned() });
        }
        prices(&format!("{name}."), &variant.price, &variant.sale_price, store, wrong);
        if variant.options.is_empty() {
            wrong(&format!("{name}.options"), Wrong::Options);
        }
        if let Some(options) = patch.options.set() {
            let fits = options.len() == variant.options.len()
                && options
                    .iter()
                    .all(|option| variant.options.get(&option.name).is_some_and(|value| option.values.contains(value)));
            if !fits {
                wrong(&format!("{name}.options"), Wrong::Options);
            }
        }
        let n_images = patch.images.set().map(Vec::len);
        if let (Some(at), Some(n)) = (variant.image.set(), n_images)
            && usize::try_from(*at).is_ok_and(|at| at >= n)
        {
            wrong(&format!("{name}.image"), Wrong::NotThere);
        }
    }
    let mut combinations = BTreeSet::new();
    if !variants.iter().all(|variant| combinations.insert(&variant.options)) {
        wrong("variants", Wrong::Options);
    }
}

fn wrong_sku(text: &str) -> Option<Wrong> {
    Some(match bad_sku(text)? {
        Bad::Empty => Wrong::Characters { found: format!("{text:?}") },
        Bad::TooLong => Wrong::TooLong { most: MOST_SKU },
        Bad::Characters(found) => Wrong::Characters { found },
    })
}

fn prices(prefix: &str, price: &Field<Price>, sale: &Field<Price>, store: &Store, wrong: &mut impl FnMut(&str, Wrong)) {
    for (name, field) in [("price", price), ("sale_price", sale)] {
        let Some(amount) = field.set() else { continue };
        // Others are read as something else: "12,50" is 1250, "1e3" is 13 (W21 to W27).
        if money(&amount.amount).is_none_or(|amount| amount.starts_with('-')) {
            wrong(&format!("{prefix}{name}"), Wrong::Number);
        }
        if let Some(currency) = store.currency.as_ref().filter(|currency| **currency != amount.currency) {
            wrong(&format!("{prefix}{name}"), Wrong::Currency { store: currency.clone() });
        }
    }
    if let (Some(price), Some(sale)) = (price.set(), sale.set())
        && !is_below(&sale.amount, &price.amount)
    {
        wrong(&format!("{prefix}sale_price"), Wrong::SaleNotBelow);
    }
}

/// Whether one amount is less than another; of what is no number nothing is said.
pub(super) fn is_below(one: &str, other: &str) -> bool {
    let number = |amount: &str| rust_decimal::Decimal::from_str_exact(amount.trim()).ok();
    match (number(one), number(other)) {
        (Some(one), Some(other)) => one < other,
        _ => true,
    }
}

#[cfg(test)]
mod tests {
    use secrecy::SecretString;

    use super::*;
    use crate::publication::{Credentials, ProductOption, Texts};

    const KEY: Key<'_> = Key { sku: "SKU12", product_id: "p-12" };

    fn store(languages: &[&str]) -> Store {
        let secret = || SecretString::from("x");
        Store {
            tenant: "t".to_owned(),
            name: "default".to_owned(),
            url: "https://shop.test".parse().unwrap(),
            trusted: false,
            credentials: Credentials::Woocommerce { consumer_key: secret(), consumer_secret: secret() },
            allow_http: false,
            languages: languages.iter().map(|language| (*language).to_owned()).collect(),
            currency: Some("EUR".to_owned()),
        }
    }

    fn euros(amount: &str) -> Field<Price> {
        Field::Set(Price { amount: amount.to_owned(), currency: "EUR".to_owned() })
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
            image: Field::Set(0),
        }
    }

    #[test]
    fn what_the_shop_would_show_is_foretold() {
        let patch = Patch {
            title: Field::Set(" A\\B  & <C>".to_owned()),
            description_html: Field::Set("<p>x</p><script>y</script>".to_owned()),
            price: euros("12.50"),
            categories: Field::Set(vec!["Lamps  & Co".to_owned(), "A".to_owned()]),
            variants: Field::Clear,
            images: Field::Set(Vec::new()),
            ..Patch::default()
        };
        let fields = normal(KEY, &patch, &store(&[])).unwrap();
        let expected = json!({ "title": "AB & <C>", "description_html": "<p>x</p>", "price": "12.5",
            "categories": ["A", "Lamps & Co"], "variants": null, "images": null });
        assert_eq!(json!(fields), expected);
    }

    #[test]
    fn the_price_of_a_product_with_variants_is_theirs() {
        let variants = Field::Set(vec![variant("A", "red")]);
        let patch = Patch { price: euros("12.50"), variants, ..Patch::default() };
        let fields = normal(KEY, &patch, &store(&[])).unwrap();
        assert_eq!(json!(fields), json!({ "variants": { "A": { "options": { "Colour": "red" }, "image": null } } }));
    }

    #[test]
    fn texts_in_the_stores_own_language_are_the_products() {
        let texts = Texts { title: Field::Set("Tasse".to_owned()), ..Texts::default() };
        let patch = Patch {
            title: Field::Set("Cup".to_owned()),
            translations: [("fr".to_owned(), texts)].into(),
            ..Patch::default()
        };
        assert_eq!(json!(normal(KEY, &patch, &store(&["fr"])).unwrap()), json!({ "translations.fr.title": "Tasse" }));
        for languages in [&["en"][..], &[]] {
            let faults = normal(KEY, &patch, &store(languages)).unwrap_err();
            assert!(
                matches!(&faults[..], [Fault { field, what: Wrong::Language { .. } }] if field == "translations.fr"),
                "{faults:?}"
            );
        }
    }

    #[test]
    fn what_the_shop_cannot_hold_is_refused_field_by_field() {
        let dollars = Field::Set(Price { amount: "12,50".to_owned(), currency: "USD".to_owned() });
        let option = |values: &[&str]| ProductOption {
            name: "Colour".to_owned(),
            values: values.iter().map(|value| (*value).to_owned()).collect(),
        };
        let patch = Patch {
            title: Field::Clear,
            price: dollars,
            sale_price: euros("1"),
            options: Field::Set(vec![option(&["red", "a|b"])]),
            variants: Field::Set(vec![variant("a%41", "red"), variant("sku12", "blue"), variant("B", "red")]),
            ..Patch::default()
        };
        let faults = normal(Key { sku: "0", ..KEY }, &patch, &store(&[])).unwrap_err();
        let fields: Vec<&str> = faults.iter().map(|fault| fault.field.as_str()).collect();
        assert_eq!(
            fields,
            ["sku", "title", "price", "price", "options", "variants.a%41.sku", "variants.sku12.options", "variants"]
        );
        let patch = Patch { price: euros("10"), sale_price: euros("10.00"), ..Patch::default() };
        let faults = normal(KEY, &patch, &store(&[])).unwrap_err();
        assert_eq!(faults, [Fault::new("sale_price", Wrong::SaleNotBelow)]);
    }
}
