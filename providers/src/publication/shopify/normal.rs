//! What a store would show of a patch, and what it cannot hold of it.

use std::{collections::BTreeSet, sync::LazyLock};

use serde_json::{Value, json};

use super::{
    super::{
        api::Key,
        fault::{Fault, Wrong},
        fields::{Fields, money},
        patch::{Field, Patch, ProductOption, Variant},
        plain::plain,
    },
    names, read,
    settings::{self, Locale, Settings},
};
use crate::content::Price;

const MOST_TITLE: usize = 255;
const MOST_TAGS: usize = 250;
const MOST_NAME: usize = 255;
const MOST_IMAGES: usize = 250;
const MOST_ALT: usize = 512;
const MOST_OPTIONS: usize = 3;
const MOST_VARIANTS: usize = 2_048;

/// Each field that the patch sets or clears, as the store would show it.
pub(super) fn normal(
    key: Key<'_>,
    patch: &Patch,
    settings: &Settings,
    locales: &[Locale],
) -> Result<Fields, Vec<Fault>> {
    let mut faults = Vec::new();
    names::check_sku("sku", key.sku, &mut faults);
    check(patch, settings, locales, &mut faults);
    if !faults.is_empty() {
        return Err(faults);
    }
    let mut fields = plain(patch);
    let mut put = |name: &str, value: Value| fields.insert(name.to_owned(), value);
    if let Some(title) = patch.title.set() {
        put("title", json!(title.trim()));
    }
    for (name, html) in [
        ("description_html", patch.description_html.set()),
        ("short_description_html", patch.short_description_html.set()),
    ] {
        if let Some(html) = html.map(|html| clean(html)) {
            put(name, if html.is_empty() { Value::Null } else { json!(html) });
        }
    }
    if let Some(slug) = patch.slug.change() {
        put("seo.slug", json!(slug_of(slug.map(String::as_str), key)));
    }
    if let Some(brand) = patch.brand.set() {
        put("brand", read::vendor(brand, settings));
    }
    if let Some(images) = patch.images.set() {
        let images: Vec<Value> = images.iter().map(|image| json!({ "key": image.key, "alt": image.alt })).collect();
        put("images", if images.is_empty() { Value::Null } else { Value::Array(images) });
    }
    if let Some(options) = patch.options.set() {
        let options = used(options, patch.variants.set().map(Vec::as_slice));
        put("options", if options.is_empty() { Value::Null } else { json!(options) });
    }
    for (language, texts) in &patch.translations {
        if let Some(html) = texts.description_html.set().map(|html| clean(html)) {
            put(
                &format!("translations.{language}.description_html"),
                if html.is_empty() { Value::Null } else { json!(html) },
            );
        }
    }
    match patch.variants.set() {
        Some(variants) if variants.is_empty() => _ = fields.insert("variants".to_owned(), Value::Null),
        // What the variants say themselves is not the product's.
        Some(variants) => {
            let says = |field: fn(&Variant) -> bool| variants.iter().any(field);
            fields.remove("price");
            fields.remove("sale_price");
            if says(|variant| !variant.weight_g.is_kept()) {
                fields.remove("weight_g");
            }
            if says(|variant| !variant.stock.is_kept()) || patch.stock.set().is_none() {
                fields.remove("stock");
            }
            if says(|variant| !variant.gtin.is_kept()) || patch.gtin.set().is_none() {
                fields.remove("gtin");
            }
        }
        None => {}
    }
    Ok(fields)
}

/// HTML as it is sent: what the shop's own editor can make.
pub(super) fn clean(html: &str) -> String {
    static CLEANER: LazyLock<ammonia::Builder<'static>> = LazyLock::new(|| {
        let mut cleaner = ammonia::Builder::default();
        cleaner.link_rel(None);
        cleaner
    });
    CLEANER.clean(html).to_string().trim().to_owned()
}

/// The end of a product's address. A cleared one is that of the SKU.
pub(super) fn slug_of(slug: Option<&str>, key: Key<'_>) -> String {
    slug.and_then(names::handle).unwrap_or_else(|| names::handles(key)[0].clone())
}

/// Options with those of their values that a variant has: the shop keeps no others.
pub(super) fn used(options: &[ProductOption], variants: Option<&[Variant]>) -> Vec<ProductOption> {
    let Some(variants) = variants else { return options.to_vec() };
    let is_used = |name: &str, value: &String| variants.iter().any(|variant| variant.options.get(name) == Some(value));
    let options = options.iter().map(|option| {
        let values = option.values.iter().filter(|value| is_used(&option.name, value)).cloned().collect();
        ProductOption { name: option.name.clone(), values }
    });
    options.filter(|option| !option.values.is_empty()).collect()
}

fn check(patch: &Patch, settings: &Settings, locales: &[Locale], faults: &mut Vec<Fault>) {
    let mut fault = |field: &str, what: Wrong| faults.push(Fault::new(field, what));
    for (field, is_missing) in [
        ("title", patch.title.change().is_some_and(|title| title.is_none_or(|title| title.trim().is_empty()))),
        ("price", patch.price == Field::Clear),
    ] {
        if is_missing {
            fault(field, Wrong::Needed);
        }
    }
    let too_long = |text: Option<&String>, most: usize| text.is_some_and(|text| text.chars().count() > most);
    if too_long(patch.title.set(), MOST_TITLE) {
        fault("title", Wrong::TooLong { most: MOST_TITLE });
    }
    if too_long(patch.brand.set(), MOST_NAME) {
        fault("brand", Wrong::TooLong { most: MOST_NAME });
    }
    for (field, list, most) in
        [("tags", patch.tags.set(), MOST_TAGS), ("categories", patch.categories.set(), MOST_TAGS)]
    {
        let Some(list) = list else { continue };
        if list.len() > most {
            fault(field, Wrong::TooMany { most });
        }
        if list.iter().any(|name| name.chars().count() > MOST_NAME) {
            fault(field, Wrong::TooLong { most: MOST_NAME });
        }
        // A comma parts tags.
        if field == "tags" && list.iter().any(|name| name.contains(',')) {
            fault(field, Wrong::Characters { found: "','".to_owned() });
        }
    }
    if let Some(images) = patch.images.set() {
        if images.len() > MOST_IMAGES {
            fault("images", Wrong::TooMany { most: MOST_IMAGES });
        }
        if images.iter().any(|image| image.alt.chars().count() > MOST_ALT) {
            fault("images", Wrong::TooLong { most: MOST_ALT });
        }
        let keys: BTreeSet<&str> = images.iter().map(|image| image.key.as_str()).collect();
        if keys.len() < images.len() {
            fault("images", Wrong::Said { message: "one picture is there twice".to_owned() });
        }
    }
    let mut check_prices = |price: &Field<Price>, sale_price: &Field<Price>, prefix: &str| {
        for (name, amount) in [("price", price.set()), ("sale_price", sale_price.set())] {
            let Some(Price { amount, currency }) = amount else { continue };
            if money(amount).is_none() {
                fault(&format!("{prefix}{name}"), Wrong::Number);
            }
            if !settings.currency.is_empty() && *currency != settings.currency {
                fault(&format!("{prefix}{name}"), Wrong::Currency { store: settings.currency.clone() });
            }
        }
        if let (Some(price), Some(sale)) = (price.set(), sale_price.set())
            && !read::is_less(&sale.amount, &price.amount)
        {
            fault(&format!("{prefix}sale_price"), Wrong::SaleNotBelow);
        }
    };
    check_prices(&patch.price, &patch.sale_price, "");
    for variant in patch.variants.set().into_iter().flatten() {
        check_prices(&variant.price, &variant.sale_price, &format!("variants.{}.", variant.sku));
    }
    check_variants(patch, faults);
    for (language, texts) in &patch.translations {
        if settings::locale(locales, language).is_none() {
            let has = locales.iter().map(|locale| locale.name.clone()).collect();
            faults.push(Fault::new(format!("translations.{language}"), Wrong::Language { has }));
        }
        if !texts.short_description_html.is_kept() {
            faults.push(Fault::new(format!("translations.{language}.short_description_html"), Wrong::NotThere));
        }
    }
}

fn check_variants(patch: &Patch, faults: &mut Vec<Fault>) {
    let options = patch.options.set();
    if let Some(options) = options
        && options.len() > MOST_OPTIONS
    {
        faults.push(Fault::new("options", Wrong::TooMany { most: MOST_OPTIONS }));
    }
    let Some(variants) = patch.variants.set().filter(|variants| !variants.is_empty()) else { return };
    if variants.len() > MOST_VARIANTS {
        faults.push(Fault::new("variants", Wrong::TooMany { most: MOST_VARIANTS }));
    }
    let mut skus = BTreeSet::new();
    let mut chosen = BTreeSet::new();
    for variant in variants {
        let field = format!("variants.{}", variant.sku);
        names::check_sku(&field, &variant.sku, faults);
        if !skus.insert(&variant.sku) {
            faults.push(Fault::new(&field, Wrong::Several { ids: vec![variant.sku.clone()] }));
        }
        let is_one_of = |option: &ProductOption| {
            variant.options.get(&option.name).is_some_and(|value| option.values.contains(value))
        };
        let fits =
            options.is_none_or(|options| options.iter().all(is_one_of) && options.len() == variant.options.len());
        if !fits || variant.options.is_empty() || !chosen.insert(&variant.options) {
            faults.push(Fault::new(&field, Wrong::Options));
        }
    }
    let says = |field: fn(&Variant) -> bool| variants.iter().any(field);
    if patch.stock.set().is_some() && !says(|variant| !variant.stock.is_kept()) && variants.len() > 1 {
        faults.push(Fault::new("stock", Wrong::NotThere));
    }
    if patch.gtin.set().is_some() && !says(|variant| !variant.gtin.is_kept()) && variants.len() > 1 {
        faults.push(Fault::new("gtin", Wrong::NotThere));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: Key<'static> = Key { sku: "MUG 12", product_id: "p" };

    fn shop() -> Settings {
        let text = |text: &str| text.to_owned();
        Settings { name: text("Our Shop"), currency: text("EUR"), location: text("l"), publication: text("p") }
    }

    fn eur(amount: &str) -> Field<Price> {
        Field::Set(Price { amount: amount.to_owned(), currency: "EUR".to_owned() })
    }

    fn refused(patch: &Patch) -> Vec<String> {
        normal(KEY, patch, &shop(), &[]).unwrap_err().iter().map(ToString::to_string).collect()
    }

    fn variant(sku: &str, colour: &str) -> Variant {
        serde_json::from_value(json!({ "sku": sku, "options": { "Colour": colour } })).unwrap()
    }

    #[test]
    fn fields_are_foretold_as_the_shop_shows_them() {
        let patch = Patch {
            title: Field::Set(" Mug ".to_owned()),
            description_html: Field::Set("<p onclick=\"x\">Red<script>1</script></p>".to_owned()),
            slug: Field::Clear,
            brand: Field::Set("Our Shop".to_owned()),
            images: Field::Set(Vec::new()),
            price: eur("12.50"),
            ..Patch::default()
        };
        let fields = normal(KEY, &patch, &shop(), &[]).unwrap();
        let wanted = json!({ "title": "Mug", "description_html": "<p>Red</p>", "seo.slug": "mug-12", "brand": null, "images": null, "price": "12.5" });
        assert_eq!(json!(fields), wanted);
        let again = Patch { description_html: Field::Set("<p>Red</p>".to_owned()), ..patch };
        assert_eq!(normal(KEY, &again, &shop(), &[]).unwrap(), fields, "what is clean stays as it is");
    }

    #[test]
    fn what_variants_say_themselves_is_not_the_products() {
        let options = vec![ProductOption {
            name: "Colour".to_owned(),
            values: ["red", "blue", "green"].map(str::to_owned).into(),
        }];
        let priced = Variant { price: eur("9"), ..variant("A", "red") };
        let patch = Patch {
            price: eur("12"),
            weight_g: Field::Set(100),
            options: Field::Set(options),
            variants: Field::Set(vec![priced, variant("B", "blue")]),
            ..Patch::default()
        };
        let fields = normal(KEY, &patch, &shop(), &[]).unwrap();
        assert_eq!(fields.keys().collect::<Vec<_>>(), ["options", "variants", "weight_g"]);
        assert_eq!(fields["options"], json!([{ "name": "Colour", "values": ["red", "blue"] }]), "nothing is green");
    }

    #[test]
    fn all_that_the_shop_cannot_hold_is_named() {
        let patch = Patch {
            title: Field::Clear,
            price: Field::Set(Price { amount: "12,50".to_owned(), currency: "USD".to_owned() }),
            tags: Field::Set(vec!["a,b".to_owned()]),
            variants: Field::Set(vec![variant("A", "red"), variant("B", "red"), variant("A", "blue")]),
            translations: [("fr".to_owned(), super::super::super::patch::Texts::default())].into(),
            ..Patch::default()
        };
        let fields: Vec<String> =
            refused(&patch).iter().map(|fault| fault.split(':').next().unwrap().to_owned()).collect();
        assert_eq!(fields, ["title", "tags", "price", "price", "variants.B", "variants.A", "translations.fr"]);
        let sale = Patch { price: eur("9"), sale_price: eur("9.0"), ..Patch::default() };
        assert_eq!(refused(&sale).len(), 1);
    }
}
