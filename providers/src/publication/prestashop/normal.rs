//! What the shop would show of a patch, and what it cannot hold.

use serde_json::{Map, Value, json};

use super::super::{
    api::Key,
    error::PublishError,
    fault::{Fault, Wrong},
    fields::Fields,
    patch::{Field, Original, Patch, Picture, Texts, Variant},
    plain::plain,
};
use super::{Presta, html, money, read::options, settings::Settings};
use crate::content::Price;

const MOST_REFERENCE: usize = 64;
const MOST_NAME: usize = 128;
const MOST_META_DESCRIPTION: usize = 512;
const MOST_TAG: usize = 32;
const MOST_BRAND: usize = 64;
const NAME: &str = "<>;=#{}";
const META: &str = "<>={}";
/// A look-up by a reference with one of these finds nothing, or everything, or is refused.
const REFERENCE: &str = "[]|<>;={}";

impl Presta<'_> {
    /// The patch as the shop would show it.
    pub(super) async fn normal_form(&self, key: Key<'_>, patch: &Patch) -> Result<Fields, PublishError> {
        let settings = self.webservice.settings().await?;
        let mut faults = Vec::new();
        reference(&mut faults, "sku", key.sku);
        texts(&mut faults, settings, patch);
        prices(&mut faults, self.webservice.calls.store.currency.as_deref(), patch);
        names(&mut faults, patch);
        pictures(&mut faults, settings, patch);
        variants(&mut faults, patch);
        if let Some(gtin) = patch.gtin.set() {
            self::gtin(&mut faults, "gtin", gtin);
        }
        let reduces = |variant: &Variant| variant.sale_price.set().is_some();
        if (patch.sale_price.set().is_some() || patch.variants.set().is_some_and(|all| all.iter().any(reduces)))
            && !["get", "post", "patch", "delete"]
                .iter()
                .all(|method| settings.rights.allows("specific_prices", method))
        {
            let field = if patch.sale_price.set().is_some() { "sale_price" } else { "variants" };
            let message = "the webservice key has no right to specific_prices (get, post, patch, delete), where PrestaShop keeps reduced \
                           prices"
                .to_owned();
            faults.push(Fault::new(field, Wrong::Said { message }));
        }
        if !faults.is_empty() {
            return Err(PublishError::Refused(faults));
        }
        let home = if patch.categories.set().is_some() { self.home_name().await? } else { String::new() };
        Ok(shown(patch, settings, &home))
    }
}

/// After everything was checked.
fn shown(patch: &Patch, settings: &Settings, home: &str) -> Fields {
    let mut fields = plain(patch);
    let is_html = |field: &str| field.ends_with("description_html");
    for (field, value) in &mut fields {
        if is_html(field)
            && let Some(text) = value.as_str()
        {
            let clean = html::clean(text);
            *value = if clean.is_empty() { Value::Null } else { json!(clean) };
        }
    }
    for (field, price) in [("price", &patch.price), ("sale_price", &patch.sale_price)] {
        if let Some(price) = price.set() {
            fields.insert(field.to_owned(), paid(price));
        }
    }
    if let Some(weight) = patch.weight_g.set() {
        fields.insert("weight_g".to_owned(), if *weight == 0 { Value::Null } else { json!(weight) });
    }
    // The one in which all products are is no category of this one.
    if let Some(Value::Array(categories)) = fields.get_mut("categories") {
        categories.retain(|name| name != home);
        if categories.is_empty() {
            fields.insert("categories".to_owned(), Value::Null);
        }
    }
    if let Some(pictures) = patch.images.set() {
        // The webservice has no place for what a picture shows in words.
        let pictures: Vec<Value> = pictures.iter().map(|picture| json!({ "key": picture.key, "alt": "" })).collect();
        fields.insert("images".to_owned(), if pictures.is_empty() { Value::Null } else { Value::Array(pictures) });
    }
    if let Some(variants) = patch.variants.set() {
        let shown: Map<String, Value> =
            variants.iter().map(|variant| (variant.sku.clone(), shown_variant(variant, patch, settings))).collect();
        fields.insert("variants".to_owned(), if shown.is_empty() { Value::Null } else { Value::Object(shown) });
        if !patch.options.is_kept() {
            fields.insert("options".to_owned(), options(variants.iter().map(|variant| &variant.options)));
        }
    } else if let Some(all) = patch.options.set() {
        let pairs = all
            .iter()
            .flat_map(|option| option.values.iter().map(|value| [(option.name.clone(), value.clone())].into()));
        let pairs: Vec<_> = pairs.collect();
        fields.insert("options".to_owned(), options(pairs.iter()));
    }
    fields
}

fn paid(price: &Price) -> Value {
    money::normal(&price.amount).map_or(Value::Null, |amount| json!(amount.to_string()))
}

fn shown_variant(variant: &Variant, patch: &Patch, settings: &Settings) -> Value {
    let mut fields = Map::new();
    fields.insert("options".to_owned(), json!(variant.options));
    // One without a price of its own costs what the product costs, which only this patch may tell.
    let own = variant.price.set().or_else(|| if variant.price.is_kept() { None } else { patch.price.set() });
    if let Some(price) = own {
        fields.insert("price".to_owned(), paid(price));
    }
    if let Some(sale) = variant.sale_price.change() {
        fields.insert("sale_price".to_owned(), sale.map_or(Value::Null, paid));
    }
    if let Some(stock) = variant.stock.change() {
        fields.insert("stock".to_owned(), json!(stock));
    }
    if let Some(gtin) = variant.gtin.change() {
        fields.insert("gtin".to_owned(), json!(gtin.filter(|gtin| !gtin.is_empty())));
    }
    if let Some(weight) = variant.weight_g.set().filter(|weight| **weight > 0) {
        let kept = money::to_grams(money::of_grams(*weight, settings.grams()), settings.grams());
        fields.insert("weight_g".to_owned(), json!(kept));
    }
    if let Some(image) = variant.image.change() {
        fields.insert("image".to_owned(), json!(image));
    }
    Value::Object(fields)
}

fn longer(faults: &mut Vec<Fault>, field: &str, text: &str, most: usize) {
    if text.chars().count() > most {
        faults.push(Fault::new(field, Wrong::TooLong { most }));
    }
}

fn characters(faults: &mut Vec<Fault>, field: &str, text: &str, refused: &str) {
    let mut found: Vec<char> = text.chars().filter(|c| refused.contains(*c) || c.is_control()).collect();
    found.sort_unstable();
    found.dedup();
    if !found.is_empty() {
        let found = found.iter().map(|c| c.escape_debug().to_string()).collect::<Vec<_>>().join(" ");
        faults.push(Fault::new(field, Wrong::Characters { found }));
    }
}

/// A SKU that the shop can hold and find again.
fn reference(faults: &mut Vec<Fault>, field: &str, sku: &str) {
    if sku.trim().is_empty() {
        faults.push(Fault::new(field, Wrong::Needed));
        return;
    }
    longer(faults, field, sku, MOST_REFERENCE);
    characters(faults, field, sku, REFERENCE);
    let is_range = sku
        .split_once(',')
        .is_some_and(|(from, to)| from.trim().parse::<f64>().is_ok() && to.trim().parse::<f64>().is_ok());
    if sku.trim() != sku {
        faults.push(Fault::new(field, Wrong::Characters { found: "a blank at its beginning or end".to_owned() }));
    } else if is_range {
        faults.push(Fault::new(field, Wrong::Characters { found: "a comma between numbers".to_owned() }));
    }
}

fn texts(faults: &mut Vec<Fault>, settings: &Settings, patch: &Patch) {
    let own = Texts {
        title: patch.title.clone(),
        description_html: patch.description_html.clone(),
        short_description_html: patch.short_description_html.clone(),
        seo_title: patch.seo_title.clone(),
        seo_description: patch.seo_description.clone(),
    };
    one_language(faults, settings, "", &own);
    for (language, texts) in &patch.translations {
        if settings.language(language).is_none() {
            let has = settings.languages.iter().map(|language| language.code.clone()).collect();
            faults.push(Fault::new(format!("translations.{language}"), Wrong::Language { has }));
        }
        one_language(faults, settings, &format!("translations.{language}."), texts);
    }
    if let Some(slug) = patch.slug.set() {
        longer(faults, "seo.slug", slug, MOST_NAME);
        characters(faults, "seo.slug", slug, NAME);
    }
    if matches!(patch.title.change(), Some(title) if title.is_none_or(|title| title.trim().is_empty())) {
        faults.push(Fault::new("title", Wrong::Needed));
    }
}

fn one_language(faults: &mut Vec<Fault>, settings: &Settings, of: &str, texts: &Texts) {
    let plain = [
        ("title", &texts.title, MOST_NAME, NAME),
        // More is cut off in silence.
        ("seo.title", &texts.seo_title, MOST_NAME, META),
        ("seo.description", &texts.seo_description, MOST_META_DESCRIPTION, META),
    ];
    for (name, text, most, refused) in plain {
        if let Some(text) = text.set() {
            longer(faults, &format!("{of}{name}"), text, most);
            characters(faults, &format!("{of}{name}"), text, refused);
        }
    }
    let html = [
        ("description_html", &texts.description_html, None),
        ("short_description_html", &texts.short_description_html, Some(settings.most_short())),
    ];
    for (name, text, most) in html {
        let Some(clean) = text.set().map(|text| html::clean(text)) else { continue };
        if let Some(most) = most.filter(|most| html::n_chars(&clean) > *most) {
            faults.push(Fault::new(format!("{of}{name}"), Wrong::TooLong { most }));
        }
        if let Some(found) = html::refused(&clean) {
            faults.push(Fault::new(format!("{of}{name}"), Wrong::Characters { found }));
        }
    }
}

fn prices(faults: &mut Vec<Fault>, currency: Option<&str>, patch: &Patch) {
    let mut pair = |field: &str, sale_field: &str, price: &Field<Price>, sale: &Field<Price>| {
        for (field, price) in [(field, price), (sale_field, sale)] {
            let Some(price) = price.set() else { continue };
            if money::normal(&price.amount).is_none() {
                faults.push(Fault::new(field, Wrong::Number));
            }
            if let Some(store) = currency.filter(|store| !store.eq_ignore_ascii_case(&price.currency)) {
                faults.push(Fault::new(field, Wrong::Currency { store: store.to_owned() }));
            }
        }
        let number = |price: &Field<Price>| price.set().and_then(|price| money::normal(&price.amount));
        if number(price).zip(number(sale)).is_some_and(|(price, sale)| sale >= price) {
            faults.push(Fault::new(sale_field, Wrong::SaleNotBelow));
        }
    };
    pair("price", "sale_price", &patch.price, &patch.sale_price);
    for variant in patch.variants.set().into_iter().flatten() {
        pair("variants", "variants", &variant.price, &variant.sale_price);
    }
}

fn names(faults: &mut Vec<Fault>, patch: &Patch) {
    for name in patch.categories.set().into_iter().flatten() {
        longer(faults, "categories", name, MOST_NAME);
        characters(faults, "categories", name, "<>;=#{}[]|");
    }
    for name in patch.tags.set().into_iter().flatten() {
        longer(faults, "tags", name, MOST_TAG);
        characters(faults, "tags", name, "!<>;?=+#\"\u{b0}{}_$%[]|,");
    }
    if let Some(brand) = patch.brand.set() {
        longer(faults, "brand", brand, MOST_BRAND);
        characters(faults, "brand", brand, "<>;=#{}[]|");
    }
}

fn pictures(faults: &mut Vec<Fault>, settings: &Settings, patch: &Patch) {
    let most = settings.most_picture_bytes();
    for picture in patch.images.set().into_iter().flatten() {
        let file_name = &picture.file_name;
        let extension = file_name.rsplit_once('.').map_or("", |(_, extension)| extension).to_lowercase();
        let said = |message: String| Fault::new("images", Wrong::Said { message });
        if !["jpg", "jpeg", "png", "gif", "webp"].contains(&extension.as_str()) {
            faults.push(said(format!("{file_name} is none of jpg, png, gif and webp")));
        }
        if let Original::Here(bytes) = &picture.bytes {
            faults.extend(too_large(picture, bytes.len(), most));
        }
    }
}

/// The shop takes none as large as this.
pub(super) fn too_large(picture: &Picture, size: usize, most: usize) -> Option<Fault> {
    let kilobytes = |n: usize| n / 1000;
    let message =
        || format!("{} has {} kB, more than the {} that it takes", picture.file_name, kilobytes(size), kilobytes(most));
    (size > most).then(|| Fault::new("images", Wrong::Said { message: message() }))
}

fn gtin(faults: &mut Vec<Fault>, field: &str, gtin: &str) {
    if !gtin.chars().all(|c| c.is_ascii_digit()) {
        faults.push(Fault::new(field, Wrong::Number));
    }
    longer(faults, field, gtin, 13);
}

fn variants(faults: &mut Vec<Fault>, patch: &Patch) {
    let Some(variants) = patch.variants.set() else { return };
    if !variants.is_empty() && patch.stock.set().is_some() {
        let message = "it is the sum of its variants' stocks: set theirs".to_owned();
        faults.push(Fault::new("stock", Wrong::Said { message }));
    }
    let mut known = Vec::new();
    let names: Option<Vec<&String>> =
        patch.options.set().map(|options| options.iter().map(|option| &option.name).collect());
    for (position, variant) in variants.iter().enumerate() {
        reference(faults, "variants", &variant.sku);
        if let Some(gtin) = variant.gtin.set() {
            self::gtin(faults, "variants", gtin);
        }
        let text = variant.options.iter().flat_map(|(name, value)| [name, value]);
        for text in text {
            longer(faults, "options", text, MOST_NAME);
            characters(faults, "options", text, "<>;=#{}[]|");
        }
        let first = variants.first().map(|first| first.options.keys().collect::<Vec<_>>());
        let is_whole = match (&names, first) {
            (Some(names), _) => {
                names.len() == variant.options.len() && names.iter().all(|name| variant.options.contains_key(*name))
            }
            (None, first) => first.is_none_or(|first| variant.options.keys().eq(first)),
        };
        // Of two with the same values customers can buy only one, and the shop takes both.
        if variant.options.is_empty() || !is_whole || known.contains(&&variant.options) {
            faults.push(Fault::new("variants", Wrong::Options));
        }
        known.push(&variant.options);
        if variants[..position].iter().any(|other| other.sku == variant.sku) {
            faults.push(Fault::new("variants", Wrong::Several { ids: vec![variant.sku.clone()] }));
        }
        if let (Some(position), Some(all)) = (variant.image.set(), patch.images.set())
            && usize::try_from(*position).is_ok_and(|position| position >= all.len())
        {
            faults.push(Fault::new("variants", Wrong::NotThere));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sku_that_the_shop_could_not_find_again_is_refused() {
        // P19c, P19b, P19d, P17, P19.
        for sku in ["[z]", "x]y", "a|b", "a<b", "a>b", "a;b", "a=b", "{a", "a}", " a", "a ", "4,60", "", " ", "a\u{7}b"]
        {
            let mut faults = Vec::new();
            reference(&mut faults, "sku", sku);
            assert_eq!(faults.len(), 1, "{sku:?}: {faults:?}");
        }
        for sku in ["SKU12", "a,b", "é 1", "a/b", "a%b", "4,60x"] {
            let mut faults = Vec::new();
            reference(&mut faults, "sku", sku);
            assert_eq!(faults, [], "{sku:?}");
        }
        let mut faults = Vec::new();
        reference(&mut faults, "sku", &"x".repeat(65));
        assert_eq!(faults, [Fault::new("sku", Wrong::TooLong { most: 64 })]);
    }
}
