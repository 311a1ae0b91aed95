//! Several jobs of one product: what of an order counts beside what others have said, whichever of them runs first.
//!
//! The newest job that says a field has it, and of a variant each field for itself. A variant to which a job gave a price has a price of
//! its own, which the product's leaves alone; all others cost what the product costs, also those that come later.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use super::{
    action::Order,
    api::Seen,
    error::PublishError,
    fault::{Fault, Wrong},
    listing::{Desk, Listing},
    patch::{Field, Patch, ProductOption, Variant},
};
use crate::content::Price;

/// In [`Listing::by`]: the newest job that said which variants there are, and noted there what it says of each.
const EACH: &str = "variants.*";

/// What no later job has said.
pub(super) fn not_superseded(order: &Order<'_>, listing: &Listing) -> Patch {
    let names = order.patch.names();
    let names = names.into_iter().filter(|name| !listing.is_superseded(name, order.job)).collect();
    order.patch.only(&names)
}

/// The same with the product's price for each variant that has none of its own.
pub(super) fn priced(mut patch: Patch, listing: &Listing) -> Patch {
    let Field::Set(variants) = &mut patch.variants else { return patch };
    for variant in variants {
        give_price(variant, &patch.price, &patch.sale_price, listing);
    }
    patch
}

fn give_price(variant: &mut Variant, price: &Field<Price>, sale_price: &Field<Price>, listing: &Listing) {
    let has_own = |field: &str| listing.own_prices.contains_key(&name_of(&variant.sku, field));
    let (has_price, has_sale_price) = (has_own("price"), has_own("sale_price"));
    match variant.price {
        Field::Keep if !has_price => variant.price.clone_from(price),
        // It has none of its own any more.
        Field::Clear if price.set().is_some() => variant.price.clone_from(price),
        _ => return,
    }
    if variant.sale_price.is_kept() && !has_sale_price {
        variant.sale_price.clone_from(sale_price);
    }
}

/// Notes that these fields are this job's, before they are written. `said`: what of the order counts.
pub(super) async fn claim(order: Order<'_>, said: &Patch, desk: &mut Desk<'_>) -> Result<(), PublishError> {
    if order.keep_edits {
        // It says nothing new, so what an earlier job says that comes after it counts.
        return Ok(());
    }
    let is_made = desk.listing.creating.is_some();
    let left = left_of_variants(&order, &desk.listing);
    let Listing { by, own_prices, prices, .. } = &mut desk.listing;
    let before = (by.clone(), own_prices.clone(), prices.clone());
    for name in said.names() {
        by.insert(name, order.job.to_owned());
    }
    for (name, price) in [("price", &said.price), ("sale_price", &said.sale_price)] {
        keep_price(prices, name.to_owned(), price);
    }
    if let Some(variants) = said.variants.change() {
        let variants = variants.map(Vec::as_slice).unwrap_or_default();
        let known: BTreeSet<&str> = variants.iter().map(|variant| variant.sku.as_str()).collect();
        let stays = |name: &str| sku_of(name).is_none_or(|sku| known.contains(sku));
        by.retain(|name, _| stays(name));
        own_prices.retain(|name, _| stays(name));
        by.insert(EACH.to_owned(), order.job.to_owned());
    }
    for variant in said.variants.set().into_iter().flatten().chain(&left) {
        for field in said_of(variant) {
            by.insert(name_of(&variant.sku, field), order.job.to_owned());
        }
        for (field, price) in [("price", &variant.price), ("sale_price", &variant.sale_price)] {
            keep_price(own_prices, name_of(&variant.sku, field), price);
        }
    }
    let is_news = (&before.0, &before.1, &before.2) != (&*by, &*own_prices, &*prices);
    if is_news || is_made { desk.save().await } else { Ok(()) }
}

/// A price for a variant that has none and that the product's price, as an earlier job said it, has not reached: it is new in the shop, or
/// its own was taken away.
fn of_a_new_one(variant: &mut Variant, is_new: bool, listing: &Listing) {
    let noted = |name: &str, noted: &BTreeMap<String, Price>| noted.get(name).cloned().map_or(Field::Keep, Field::Set);
    if is_new {
        for (field, price) in [("price", &mut variant.price), ("sale_price", &mut variant.sale_price)] {
            if price.is_kept() {
                *price = noted(&name_of(&variant.sku, field), &listing.own_prices);
            }
        }
    }
    if is_new || variant.price == Field::Clear {
        let (price, sale_price) = (noted("price", &listing.prices), noted("sale_price", &listing.prices));
        give_price(variant, &price, &sale_price, listing);
    }
}

fn keep_price(prices: &mut BTreeMap<String, Price>, name: String, price: &Field<Price>) {
    match price {
        Field::Keep => {}
        Field::Clear => _ = prices.remove(&name),
        Field::Set(price) => _ = prices.insert(name, price.clone()),
    }
}

/// What is written to a product that is there, where it is more than `patch`: what an order says of variants after a later job has said
/// which there are, and what a price of the product is to those of its variants that have none of their own. `None`: nothing is added.
pub(super) fn with_variants(
    order: &Order<'_>,
    patch: &Patch,
    seen: &Seen,
    listing: &Listing,
) -> Result<Option<Patch>, Fault> {
    let nothing = serde_json::Map::new();
    let shown = seen.fields.get("variants").and_then(Value::as_object);
    let there = shown.unwrap_or(&nothing);
    let mut patch = patch.clone();
    if let Field::Set(variants) = &mut patch.variants {
        let before = variants.clone();
        for variant in variants.iter_mut() {
            of_a_new_one(variant, !there.contains_key(&variant.sku), listing);
        }
        return Ok((*variants != before).then_some(patch));
    }
    if patch.variants == Field::Clear {
        return Ok(None);
    }
    let says_price = !patch.price.is_kept() || !patch.sale_price.is_kept();
    if says_price && shown.is_some_and(serde_json::Map::is_empty) {
        // It waits for its variants: whoever makes them gives them the price that was noted.
        return Ok(Some(Patch { price: Field::Keep, sale_price: Field::Keep, ..patch }));
    }
    let left = left_of_variants(order, listing);
    let has_own = there
        .keys()
        .any(|sku| ["price", "sale_price"].iter().any(|field| listing.own_prices.contains_key(&name_of(sku, field))));
    let left: BTreeMap<&str, &Variant> = left
        .iter()
        .filter(|variant| there.contains_key(&variant.sku))
        .map(|variant| (variant.sku.as_str(), variant))
        .collect();
    if there.is_empty() || (left.is_empty() && !(says_price && has_own)) {
        return Ok(None);
    }
    if there.keys().any(|sku| sku.starts_with("shop:")) {
        let message =
            "some of its variants have no SKU, and others what they do not share: say all of its variants".to_owned();
        return Err(Fault::new("variants", Wrong::Said { message }));
    }
    let options: Vec<ProductOption> =
        seen.fields.get("options").and_then(|options| serde_json::from_value(options.clone()).ok()).unwrap_or_default();
    let fits = |shown: &Value| {
        let of = |option: &ProductOption| shown["options"][&option.name].as_str().map(str::to_owned);
        options.iter().all(|option| of(option).is_some_and(|value| option.values.contains(&value)))
    };
    if !there.values().all(fits) {
        // A later job is changing them: it has yet to come to its end, and gives them their prices.
        return Ok(Some(Patch { price: Field::Keep, sale_price: Field::Keep, ..patch }));
    }
    let variants = there.iter().map(|(sku, shown)| {
        let mut variant = left.get(sku.as_str()).map_or_else(|| nothing_of(sku), |variant| (*variant).clone());
        variant.options = serde_json::from_value(shown["options"].clone()).unwrap_or_default();
        if says_price {
            give_price(&mut variant, &patch.price, &patch.sale_price, listing);
        }
        variant
    });
    let variants = Field::Set(variants.collect());
    Ok(Some(Patch { variants, options: Field::Set(options), ..patch }))
}

/// What an order says of variants that no later job has, where a later one has said which variants there are.
fn left_of_variants(order: &Order<'_>, listing: &Listing) -> Vec<Variant> {
    let Some(variants) = order.patch.variants.set() else { return Vec::new() };
    if !listing.is_superseded("variants", order.job) {
        return Vec::new();
    }
    // An older release has noted no more than that there are others.
    if listing.by.get(EACH) != listing.by.get("variants") {
        return Vec::new();
    }
    let left = variants.iter().map(|variant| {
        let is_ours = |field: &str| !listing.is_superseded(&name_of(&variant.sku, field), order.job);
        let mut left = nothing_of(&variant.sku);
        fn take<T: Clone>(is_ours: bool, field: &Field<T>) -> Field<T> {
            if is_ours { field.clone() } else { Field::Keep }
        }
        left.price = take(is_ours("price"), &variant.price);
        left.sale_price = take(is_ours("sale_price"), &variant.sale_price);
        left.stock = take(is_ours("stock"), &variant.stock);
        left.gtin = take(is_ours("gtin"), &variant.gtin);
        left.weight_g = take(is_ours("weight_g"), &variant.weight_g);
        left.image = take(is_ours("image"), &variant.image);
        left
    });
    left.filter(|variant| said_of(variant).next().is_some()).collect()
}

/// A variant of which nothing is said.
pub(super) fn nothing_of(sku: &str) -> Variant {
    Variant {
        sku: sku.to_owned(),
        options: BTreeMap::new(),
        price: Field::Keep,
        sale_price: Field::Keep,
        stock: Field::Keep,
        gtin: Field::Keep,
        weight_g: Field::Keep,
        image: Field::Keep,
    }
}

/// The fields that are said of a variant.
fn said_of(variant: &Variant) -> impl Iterator<Item = &'static str> {
    let fields = [
        ("price", variant.price.is_kept()),
        ("sale_price", variant.sale_price.is_kept()),
        ("stock", variant.stock.is_kept()),
        ("gtin", variant.gtin.is_kept()),
        ("weight_g", variant.weight_g.is_kept()),
        ("image", variant.image.is_kept()),
    ];
    fields.into_iter().filter(|(_, is_kept)| !is_kept).map(|(field, _)| field)
}

/// A field of a variant in [`Listing::by`] and [`Listing::own_prices`].
pub(super) fn name_of(sku: &str, field: &str) -> String {
    format!("variants.{sku}.{field}")
}

/// The variant that such a name is of.
fn sku_of(name: &str) -> Option<&str> {
    name.strip_prefix("variants.")?.rsplit_once('.').map(|(sku, _)| sku)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::publication::{Action, Key};

    fn euros(amount: &str) -> Price {
        Price { amount: amount.to_owned(), currency: "EUR".to_owned() }
    }

    fn seen(variants: &Value) -> Seen {
        let fields = [("variants".to_owned(), variants.clone())].into();
        let (external_id, raw) = ("1".to_owned(), Value::Null);
        Seen { external_id, url: None, visible: false, marked: None, fields, raw }
    }

    fn said(job: &str, patch: &Patch, listing: &Listing, shown: &Value) -> Result<Option<Patch>, Fault> {
        let key = Key { sku: "MUG", product_id: "p" };
        let order = Order { job, key, action: Action::Publish, patch, force: false, keep_edits: false, now_ms: 0 };
        let patch = priced(not_superseded(&order, listing), listing);
        with_variants(&order, &patch, &seen(shown), listing)
    }

    fn stock() -> Patch {
        let red = Variant { stock: Field::Set(5), price: Field::Set(euros("9")), ..nothing_of("R") };
        Patch { variants: Field::Set(vec![red, nothing_of("B")]), ..Patch::default() }
    }

    /// What is remembered when job 3 has said which variants there are, and R's price.
    fn after_job_3() -> Listing {
        let by = ["variants", EACH, "variants.R.price"].map(|name| (name.to_owned(), "3".to_owned()));
        let own_prices = [("variants.R.price".to_owned(), euros("8"))].into();
        Listing { by: by.into(), own_prices, ..Listing::default() }
    }

    #[test]
    fn of_an_earlier_job_only_what_no_later_one_says_of_variants_that_are_there_counts() {
        let shown =
            json!({ "R": { "options": { "Colour": "red" }, "price": "8" }, "G": { "options": { "Colour": "green" } } });
        let more = said("2", &stock(), &after_job_3(), &shown).unwrap().unwrap();
        let options = |colour: &str| [("Colour".to_owned(), colour.to_owned())].into();
        let red = Variant { stock: Field::Set(5), options: options("red"), ..nothing_of("R") };
        let green = Variant { options: options("green"), ..nothing_of("G") };
        assert_eq!(more.variants, Field::Set(vec![green, red]));
    }

    #[test]
    fn what_an_older_release_has_noted_says_too_little() {
        let mut listing = after_job_3();
        listing.by.remove(EACH);
        assert_eq!(said("2", &stock(), &listing, &json!({ "R": {} })).unwrap(), None);
    }

    #[test]
    fn a_price_of_the_product_passes_by_variants_with_their_own() {
        let price = Patch { price: Field::Set(euros("20")), ..Patch::default() };
        let shown = json!({ "R": { "price": "8" }, "B": { "price": "12" } });
        let more = said("4", &price, &after_job_3(), &shown).unwrap().unwrap();
        let blue = Variant { price: Field::Set(euros("20")), ..nothing_of("B") };
        assert_eq!(more.variants, Field::Set(vec![blue, nothing_of("R")]));
        let none = Listing { own_prices: BTreeMap::new(), ..after_job_3() };
        assert_eq!(said("4", &price, &none, &shown).unwrap(), None, "the shop's own way is good enough");
        let unnamed = json!({ "R": {}, "shop:7": {} });
        assert_eq!(said("4", &price, &after_job_3(), &unnamed).unwrap_err().field, "variants");
    }

    #[test]
    fn a_variant_that_is_new_costs_what_the_product_costs_by_now() {
        let prices = [("price".to_owned(), euros("20"))].into();
        let listing = Listing { prices, ..after_job_3() };
        let both = Patch { variants: Field::Set(vec![nothing_of("R"), nothing_of("B")]), ..Patch::default() };
        let more = said("5", &both, &listing, &json!({})).unwrap().unwrap();
        let priced = |sku: &str, amount: &str| Variant { price: Field::Set(euros(amount)), ..nothing_of(sku) };
        assert_eq!(more.variants, Field::Set(vec![priced("R", "8"), priced("B", "20")]));
        assert_eq!(said("5", &both, &listing, &json!({ "R": {}, "B": {} })).unwrap(), None, "they have theirs");
    }
}
