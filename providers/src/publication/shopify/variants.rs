//! Variants: which there are, and what is changed of each.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use super::{
    super::{
        api::Key,
        error::PublishError,
        fault::{Fault, Wrong},
        fields::money,
        patch::{Field, Patch, ProductOption, Variant},
        turns::nothing_of,
    },
    client::Client,
    normal, queries, read,
    settings::Settings,
};

/// In one call.
const MOST_AT_ONCE: usize = 250;
/// The one option of a product that has nothing to choose, and its one value.
const TITLE: &str = "Title";
const DEFAULT_TITLE: &str = "Default Title";

/// What becomes of one variant; what is kept stays.
#[derive(Debug)]
pub(super) struct Wanted {
    /// As the shop has it; `None`: it is new.
    pub(super) seen: Option<Value>,
    /// What is said of it.
    pub(super) says: Variant,
}

/// The variants that a patch changes, in order: all that it names, or all that there are when it speaks of the product as a whole.
pub(super) fn wanted(key: Key<'_>, product: &Value, patch: &Patch) -> Result<Vec<Wanted>, Fault> {
    let seen: Vec<&Value> = read::nodes(&product["variants"]).collect();
    let by_sku = read::by_sku(&seen);
    let with = |sku: &str, says: Variant| Wanted { seen: by_sku.get(sku).map(|seen| (*seen).clone()), says };
    match patch.variants.change() {
        Some(Some(variants)) if !variants.is_empty() => {
            let is_only = variants.len() == 1;
            Ok(variants
                .iter()
                .map(|variant| {
                    let Variant { price, sale_price, .. } = variant.clone();
                    // Those that have none of their own were given the product's before.
                    let says = Variant { price, sale_price, ..or_of_product(variant.clone(), patch, is_only) };
                    with(&variant.sku, says)
                })
                .collect())
        }
        // It has nothing to choose any more.
        Some(_) => {
            let says = or_of_product(nothing_of(key.sku), patch, true);
            let mut only = with(key.sku, says);
            if only.seen.is_none() && read::is_simple(product) {
                only.seen = seen.first().map(|seen| (*seen).clone());
            }
            Ok(vec![only])
        }
        None => {
            let is_only = seen.len() == 1;
            for (field, is_said) in [("stock", !patch.stock.is_kept()), ("gtin", !patch.gtin.is_kept())] {
                if is_said && !is_only {
                    return Err(Fault::new(field, Wrong::NotThere));
                }
            }
            let all = by_sku.iter().map(|(sku, seen)| Wanted {
                seen: Some((*seen).clone()),
                says: or_of_product(nothing_of(sku), patch, is_only),
            });
            Ok(all.collect())
        }
    }
}

/// What it does not say itself is said of the product. Stock and number are those of the product only when it is the only one.
fn or_of_product(own: Variant, patch: &Patch, is_only: bool) -> Variant {
    fn or<T: Clone>(own: Field<T>, product: &Field<T>) -> Field<T> {
        if own.is_kept() { product.clone() } else { own }
    }
    Variant {
        price: or(own.price, &patch.price),
        sale_price: or(own.sale_price, &patch.sale_price),
        weight_g: or(own.weight_g, &patch.weight_g),
        stock: if is_only { or(own.stock, &patch.stock) } else { own.stock },
        gtin: if is_only { or(own.gtin, &patch.gtin) } else { own.gtin },
        ..own
    }
}

/// All options and variants as they shall be, for `productSet`. `None`: those that there are stay.
pub(super) fn structure(
    product: &Value,
    patch: &Patch,
    wanted: &[Wanted],
    settings: &Settings,
) -> Result<Option<Value>, Vec<Fault>> {
    if patch.variants.is_kept() && patch.options.is_kept() {
        return Ok(None);
    }
    let has_choice = match patch.variants.change() {
        None => !read::is_simple(product),
        Some(variants) => variants.is_some_and(|variants| !variants.is_empty()),
    };
    if !has_choice && patch.options.set().is_some_and(|options| !options.is_empty()) {
        return Err(vec![Fault::new("options", Wrong::Options)]);
    }
    let chosen: Vec<BTreeMap<String, String>> = wanted.iter().map(|wanted| chosen(wanted, has_choice)).collect();
    let options = options(product, patch, &chosen, has_choice);
    let fits = |chosen: &BTreeMap<String, String>| {
        chosen.len() == options.len()
            && options.iter().all(|option| chosen.get(&option.name).is_some_and(|value| option.values.contains(value)))
    };
    let misfits: Vec<Fault> = wanted
        .iter()
        .zip(&chosen)
        .filter(|(_, chosen)| !fits(chosen))
        .map(|(wanted, _)| Fault::new(format!("variants.{}", wanted.says.sku), Wrong::Options))
        .collect();
    if !misfits.is_empty() {
        return Err(misfits);
    }
    if is_so(product, wanted, &chosen, &options) {
        return Ok(None);
    }
    let mut faults = Vec::new();
    let first = read::nodes(&product["variants"]).next();
    let variants = wanted.iter().zip(&chosen).map(|(wanted, chosen)| {
        let mut entry = changes(wanted, first).unwrap_or_else(|fault| {
            faults.push(fault);
            Map::new()
        });
        let values = options.iter().map(|option| json!({ "optionName": option.name, "name": chosen[&option.name] }));
        entry.insert("optionValues".to_owned(), values.collect());
        match &wanted.seen {
            Some(seen) => {
                entry.insert("id".to_owned(), seen["id"].clone());
                if seen["sku"] != wanted.says.sku.as_str() {
                    entry.insert("sku".to_owned(), json!(wanted.says.sku));
                }
            }
            None => {
                entry.insert("sku".to_owned(), json!(wanted.says.sku));
                if let Some(quantity) = wanted.says.stock.set() {
                    let quantities =
                        json!([{ "locationId": settings.location, "name": "available", "quantity": quantity }]);
                    entry.insert("inventoryQuantities".to_owned(), quantities);
                }
            }
        }
        Value::Object(entry)
    });
    let variants: Vec<Value> = variants.collect();
    if !faults.is_empty() {
        return Err(faults);
    }
    let options = options.iter().map(|option| {
        let values = option.values.iter().map(|value| json!({ "name": value })).collect::<Vec<_>>();
        json!({ "name": option.name, "values": values })
    });
    Ok(Some(json!({ "productOptions": options.collect::<Vec<_>>(), "variants": variants })))
}

/// What a variant has of each option.
fn chosen(wanted: &Wanted, has_choice: bool) -> BTreeMap<String, String> {
    if !has_choice {
        return [(TITLE.to_owned(), DEFAULT_TITLE.to_owned())].into();
    }
    if !wanted.says.options.is_empty() {
        return wanted.says.options.clone();
    }
    let seen = wanted.seen.as_ref().map(|seen| &seen["selectedOptions"]).unwrap_or(&Value::Null);
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    read::list(seen).map(|option| (text(&option["name"]), text(&option["value"]))).collect()
}

/// The options with their values in order: as the patch says, else as they are, with what is new behind.
fn options(
    product: &Value,
    patch: &Patch,
    chosen: &[BTreeMap<String, String>],
    has_choice: bool,
) -> Vec<ProductOption> {
    if has_choice && let Some(options) = patch.options.set() {
        return normal::used(options, patch.variants.set().map(Vec::as_slice));
    }
    let mut options: Vec<ProductOption> = Vec::new();
    let is_used =
        |name: &str, value: &str| chosen.iter().any(|chosen| chosen.get(name).is_some_and(|used| used == value));
    for option in read::list(&product["options"]) {
        let name = option["name"].as_str().unwrap_or_default();
        let values: Vec<String> =
            read::values(option).into_iter().filter(|value| is_used(name, value)).map(str::to_owned).collect();
        if chosen.iter().any(|chosen| chosen.contains_key(name)) {
            options.push(ProductOption { name: name.to_owned(), values });
        }
    }
    for (name, value) in chosen.iter().flatten() {
        let at = options.iter().position(|option| option.name == *name).unwrap_or_else(|| {
            options.push(ProductOption { name: name.clone(), values: Vec::new() });
            options.len() - 1
        });
        if !options[at].values.contains(value) {
            options[at].values.push(value.clone());
        }
    }
    options
}

/// Whether options and variants are so already.
fn is_so(
    product: &Value,
    wanted: &[Wanted],
    all_chosen: &[BTreeMap<String, String>],
    options: &[ProductOption],
) -> bool {
    let has_options = read::list(&product["options"])
        .map(|option| (option["name"].as_str().unwrap_or_default(), read::values(option)));
    let wants_options =
        options.iter().map(|option| (option.name.as_str(), option.values.iter().map(String::as_str).collect()));
    let is_seen = |(wanted, chosen): (&Wanted, &BTreeMap<String, String>)| {
        wanted.seen.as_ref().is_some_and(|seen| {
            let has = self::chosen(&Wanted { seen: Some(seen.clone()), says: nothing_of("") }, true);
            has == *chosen && seen["sku"] == wanted.says.sku.as_str()
        })
    };
    has_options.eq(wants_options)
        && read::nodes(&product["variants"]).count() == wanted.len()
        && wanted.iter().zip(all_chosen).all(is_seen)
}

/// What is sent of one variant: what differs from what the shop has. `first`: the variant whose price a new one has that says none.
pub(super) fn changes(wanted: &Wanted, first: Option<&Value>) -> Result<Map<String, Value>, Fault> {
    let Wanted { seen, says } = wanted;
    let mut entry = Map::new();
    let field = |name: &str| format!("variants.{}.{name}", says.sku);
    let had = seen.as_ref().or(first).map(read::prices).unwrap_or_default();
    let price = match &says.price {
        Field::Keep => had.0.clone(),
        Field::Clear => return Err(Fault::new(field("price"), Wrong::Needed)),
        Field::Set(price) => money(&price.amount),
    };
    let sale = match &says.sale_price {
        Field::Keep => had.1.clone(),
        Field::Clear => None,
        Field::Set(price) => money(&price.amount),
    };
    if seen.is_none() || (&price, &sale) != (&had.0, &had.1) {
        if let (Some(price), Some(sale)) = (&price, &sale)
            && !read::is_less(sale, price)
        {
            return Err(Fault::new("sale_price", Wrong::SaleNotBelow));
        }
        entry.insert("price".to_owned(), json!(sale.as_ref().or(price.as_ref())));
        entry.insert("compareAtPrice".to_owned(), json!(sale.as_ref().and(price.as_ref())));
    }
    let has = seen.as_ref().map(|seen| read::of_variant(seen, &Value::Null)).unwrap_or_default();
    if let Some(gtin) = says.gtin.change().filter(|gtin| has["gtin"] != json!(gtin)) {
        entry.insert("barcode".to_owned(), json!(gtin));
    }
    let mut item = Map::new();
    if let Some(weight) = says.weight_g.change().filter(|weight| has["weight_g"] != json!(weight)) {
        let weight = json!({ "value": weight.copied().unwrap_or_default(), "unit": "GRAMS" });
        item.insert("measurement".to_owned(), json!({ "weight": weight }));
    }
    let is_tracked = seen.as_ref().is_some_and(|seen| seen["inventoryItem"]["tracked"] == true);
    if let Some(stock) = says.stock.change()
        && stock.is_some() != is_tracked
    {
        item.insert("tracked".to_owned(), json!(stock.is_some()));
    }
    if !item.is_empty() {
        entry.insert("inventoryItem".to_owned(), Value::Object(item));
    }
    Ok(entry)
}

/// Changes variants that are there. `product`: with the pictures as they are now.
pub(super) async fn write(client: &Client<'_>, product: &Value, wanted: &[Wanted]) -> Result<(), PublishError> {
    let (mut entries, mut detached, mut faults) = (Vec::new(), Vec::new(), Vec::new());
    let pictures: Vec<&str> = read::pictures(product).map(read::id).collect();
    for variant in wanted {
        let Some(seen) = &variant.seen else { continue };
        let mut entry = match changes(variant, None) {
            Ok(entry) => entry,
            Err(fault) => {
                faults.push(fault);
                continue;
            }
        };
        let has = read::nodes(&seen["media"]).next().map(read::id);
        match &variant.says.image {
            Field::Keep => {}
            Field::Clear => detached.extend(has.map(|has| json!({ "variantId": seen["id"], "mediaIds": [has] }))),
            Field::Set(at) => match pictures.get(*at as usize) {
                Some(picture) if has == Some(*picture) => {}
                Some(picture) => _ = entry.insert("mediaId".to_owned(), json!(picture)),
                None => faults.push(Fault::new(format!("variants.{}.image", variant.says.sku), Wrong::NotThere)),
            },
        }
        if !entry.is_empty() {
            entry.insert("id".to_owned(), seen["id"].clone());
            entries.push(Value::Object(entry));
        }
    }
    if !faults.is_empty() {
        return Err(PublishError::Refused(faults));
    }
    for entries in entries.chunks(MOST_AT_ONCE) {
        client.change(&queries::VARIANTS, json!({ "id": product["id"], "variants": entries })).await?;
    }
    if !detached.is_empty() {
        client.change(&queries::DETACH, json!({ "id": product["id"], "variants": detached })).await?;
    }
    Ok(())
}
