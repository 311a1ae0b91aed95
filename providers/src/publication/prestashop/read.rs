//! A product read with all that hangs on it, and shown as our fields.

use std::collections::BTreeMap;

use rust_decimal::Decimal;
use serde_json::{Map, Value, json};

use super::super::{api::Seen, fields::Fields, listing::Listing};
use super::{
    Presta, money,
    pending::Pending,
    product::{Combination, Named, Product, Reduction, Stock, by_language},
    settings::Settings,
    xml::Node,
};
use crate::error::ProviderError;

/// Our name of each text of the shop.
pub(super) const OURS: [(&str, &str); 5] = [
    ("name", "title"),
    ("description", "description_html"),
    ("description_short", "short_description_html"),
    ("meta_title", "seo.title"),
    ("meta_description", "seo.description"),
];

/// `1|2|3`: one of these.
pub(super) fn any_of(ids: impl IntoIterator<Item = u64>) -> String {
    ids.into_iter().map(|id| id.to_string()).collect::<Vec<_>>().join("|")
}

impl Presta<'_> {
    /// The product of this id, if it is there.
    pub(super) async fn product(&self, id: u64) -> Result<Option<Product>, ProviderError> {
        let Some(row) = self.webservice.row("products", id).await? else { return Ok(None) };
        let settings = self.webservice.settings().await?;
        let mut product = Product::of(&row);
        product.rate = self.rate(product.tax_group).await?;
        product.pictures = row.associated("images");
        product.categories = self.named("categories", &row.associated("categories"), settings.default).await?;
        product.tags = self.named("tags", &row.associated("tags"), settings.default).await?;
        let of_product = |filter| [(filter, id.to_string())];
        let rows = async |resource, filter| self.webservice.rows(resource, &of_product(filter), "full").await;
        let is_row_of = |row: &Node| row.number("id_product") == id;
        if !row.associated("combinations").is_empty() {
            let rows = rows("combinations", "id_product").await?;
            product.variants = rows.iter().filter(|row| is_row_of(row)).map(Combination::of).collect();
            self.name_options(&mut product.variants, settings.default).await?;
        }
        let stocks = rows("stock_availables", "id_product").await?;
        product.stocks =
            stocks.iter().filter(|row| is_row_of(row)).filter_map(|row| Stock::of(row, settings.shop)).collect();
        if settings.rights.allows("specific_prices", "get") {
            let rows = rows("specific_prices", "id_product").await?;
            let reductions = rows.iter().filter(|row| is_row_of(row));
            product.reductions = reductions.filter_map(|row| Reduction::of(row, settings.shop)).collect();
        }
        Ok(Some(product))
    }

    /// What this product is for the engine.
    pub(super) fn seen(&self, product: &Product, settings: &Settings, listing: &Listing) -> Seen {
        let url = &self.webservice.calls.store.url;
        Seen {
            external_id: product.id.to_string(),
            // The shop sends whoever asks for it to the address in words.
            url: Some(format!(
                "{}/index.php?controller=product&id_product={}",
                url.as_str().trim_end_matches('/'),
                product.id
            )),
            visible: product.visible,
            marked: None,
            fields: fields(product, settings, listing),
            raw: serde_json::to_value(product).unwrap_or_default(),
        }
    }

    /// The names of rows, in the order of `ids`. A tag has one language, a category a name in each.
    async fn named(&self, resource: &str, ids: &[u64], language: u64) -> Result<Vec<Named>, ProviderError> {
        if ids.is_empty() {
            return Ok(Vec::new());
        }
        let display = if resource == "tags" { "[id,id_lang,name]" } else { "[id,name]" };
        let rows = self.webservice.rows(resource, &[("id", any_of(ids.iter().copied()))], display).await?;
        let rows: BTreeMap<u64, &Node> = rows.iter().map(|row| (row.id(), row)).collect();
        let named = ids.iter().filter_map(|id| {
            let row = rows.get(id)?;
            Some(Named { id: *id, name: name_of(row, language), language: row.number("id_lang") })
        });
        Ok(named.collect())
    }

    /// Puts the names of options and values to variants.
    async fn name_options(&self, variants: &mut [Combination], language: u64) -> Result<(), ProviderError> {
        let ids: std::collections::BTreeSet<u64> = variants.iter().flat_map(|variant| variant.values.clone()).collect();
        if ids.is_empty() {
            return Ok(());
        }
        let values = self
            .webservice
            .rows("product_option_values", &[("id", any_of(ids))], "[id,id_attribute_group,name]")
            .await?;
        let groups: std::collections::BTreeSet<u64> =
            values.iter().map(|row| row.number("id_attribute_group")).collect();
        let groups = self.webservice.rows("product_options", &[("id", any_of(groups))], "[id,name]").await?;
        let groups: BTreeMap<u64, String> = groups.iter().map(|row| (row.id(), name_of(row, language))).collect();
        let values: BTreeMap<u64, (String, String)> = values
            .iter()
            .filter_map(|row| {
                Some((row.id(), (groups.get(&row.number("id_attribute_group"))?.clone(), name_of(row, language))))
            })
            .collect();
        for variant in variants {
            variant.options = variant.values.iter().filter_map(|id| values.get(id).cloned()).collect();
        }
        Ok(())
    }

    /// The tax in what a customer of the shop's own country pays; 0 where there is none or it is not known.
    async fn rate(&self, group: u64) -> Result<Decimal, ProviderError> {
        let settings = self.webservice.settings().await?;
        let may_read = ["tax_rules", "taxes"].iter().all(|resource| settings.rights.allows(resource, "get"));
        let (true, Some(country)) = (group != 0 && settings.has_taxes() && may_read, settings.country()) else {
            return Ok(Decimal::ZERO);
        };
        if let Some(rate) = self.rates.lock().await.get(&group) {
            return Ok(*rate);
        }
        let filters = [("id_tax_rules_group", group.to_string()), ("id_country", country.to_string())];
        let rules = self.webservice.rows("tax_rules", &filters, "full").await?;
        // Rules of parts of the country are for some customers only.
        let is_whole = |row: &&Node| row.number("id_state") == 0 && row.number("zipcode_from") == 0;
        let tax = rules
            .iter()
            .filter(|row| row.number("id_tax_rules_group") == group)
            .find(is_whole)
            .map_or(0, |row| row.number("id_tax"));
        let row = if tax == 0 { None } else { self.webservice.row("taxes", tax).await? };
        let percent = row
            .filter(|row| row.text_of("active").trim() != "0")
            .map_or(Decimal::ZERO, |row| money::read(row.text_of("rate")));
        let rate = percent / Decimal::ONE_HUNDRED;
        self.rates.lock().await.insert(group, rate);
        Ok(rate)
    }
}

/// A row's name: in one language where it has several.
pub(super) fn name_of(row: &Node, language: u64) -> String {
    let Some(name) = row.child("name") else { return String::new() };
    if name.children.is_empty() {
        return name.text.clone();
    }
    by_language(name).remove(&language).unwrap_or_default()
}

fn text(text: &str) -> Value {
    if text.is_empty() { Value::Null } else { json!(text) }
}

fn price(price: Decimal) -> Value {
    json!(price.normalize().to_string())
}

/// Sorted names, or nothing.
fn names<'a>(names: impl Iterator<Item = &'a str>) -> Value {
    let mut names: Vec<&str> = names.collect();
    names.sort_unstable();
    names.dedup();
    if names.is_empty() { Value::Null } else { json!(names) }
}

/// A product in our words.
fn fields(product: &Product, settings: &Settings, listing: &Listing) -> Fields {
    let mut fields = Fields::new();
    let mut put = |name: &str, value: Value| {
        fields.insert(name.to_owned(), value);
    };
    for (theirs, ours) in OURS {
        put(ours, text(product.text(theirs, settings.default)));
        for language in &settings.languages {
            put(&format!("translations.{}.{ours}", language.code), text(product.text(theirs, language.id)));
        }
    }
    put("seo.slug", text(product.text("link_rewrite", settings.default)));
    // As long as variants wait for their prices, the product's is not what it should be.
    let pending = Pending::of(listing);
    put("price", if pending.prices.is_some() { Value::Null } else { price(product.paid(0)) });
    put("sale_price", product.reduced(0).map_or(Value::Null, price));
    put("stock", product.stock(0).and_then(Stock::shown).map_or(Value::Null, |stock| json!(stock)));
    put("brand", text(&product.brand));
    put("gtin", text(gtin(&product.ean13, &product.upc)));
    let weight = money::to_grams(product.weight, settings.grams());
    put("weight_g", if pending.prices.is_some() { Value::Null } else { json!(weight) });
    let home = settings.home;
    put("categories", names(product.categories.iter().filter(|row| row.id != home).map(|row| row.name.as_str())));
    put("tags", names(product.tags.iter().filter(|row| row.language == settings.default).map(|row| row.name.as_str())));
    let pictures = product.faced();
    let shown = |picture: &u64| json!({ "key": listing.key_of_picture(&picture.to_string()), "alt": "" });
    put("images", if pictures.is_empty() { Value::Null } else { pictures.iter().map(shown).collect() });
    put("options", options(product.variants.iter().map(|variant| &variant.options)));
    let mut variants: Map<String, Value> = Map::new();
    for variant in &product.variants {
        // Of two with one SKU, the second is none of those that were ordered.
        let key =
            if variants.contains_key(&variant.reference) { format!("shop:{}", variant.id) } else { variant.key() };
        variants.insert(key, shown_variant(product, variant, settings, &pictures));
    }
    put("variants", if variants.is_empty() { Value::Null } else { Value::Object(variants) });
    put("status", json!(if product.visible { "active" } else { "draft" }));
    fields
}

fn shown_variant(product: &Product, variant: &Combination, settings: &Settings, pictures: &[u64]) -> Value {
    let stock = product.stock(variant.id).and_then(Stock::shown);
    let picture = variant.pictures.first().and_then(|own| pictures.iter().position(|picture| picture == own));
    json!({
        "options": variant.options,
        "price": price(product.paid(variant.id)),
        "sale_price": product.reduced(variant.id).map(price),
        "stock": stock,
        "gtin": text(gtin(&variant.ean13, &variant.upc)),
        "weight_g": money::to_grams(product.weight + variant.weight, settings.grams()),
        "image": picture,
    })
}

fn gtin<'a>(ean13: &'a str, upc: &'a str) -> &'a str {
    if ean13.is_empty() { upc } else { ean13 }
}

/// What variants differ by. The shop keeps no order of its own for a product: by name.
pub(super) fn options<'a>(variants: impl Iterator<Item = &'a BTreeMap<String, String>>) -> Value {
    let mut options: BTreeMap<&str, std::collections::BTreeSet<&str>> = BTreeMap::new();
    for (name, value) in variants.flatten() {
        options.entry(name).or_default().insert(value);
    }
    let options: Vec<Value> = options.iter().map(|(name, values)| json!({ "name": name, "values": values })).collect();
    if options.is_empty() { Value::Null } else { Value::Array(options) }
}
