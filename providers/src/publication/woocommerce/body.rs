//! A patch as the body of a call. It never has `null`: that empties some fields and is ignored in others (W48).

use serde_json::{Map, Value, json};

use super::{
    super::{
        error::PublishError,
        fault::{Fault, Wrong},
        fields::money,
        patch::{Field, Patch, ProductOption},
    },
    client::Client,
    normal::is_below,
    read::{BRAND, SEO, is_brand, list, text},
    terms::Kind,
    texts::{cleaned, decoded, escaped, one_line, plain},
};

/// What becomes of a product's type.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Shape {
    /// It is and stays without variations.
    Simple,
    /// It is and stays with variations.
    Variable,
    /// It gets its first ones.
    BecomesVariable,
    /// It loses them.
    BecomesSimple,
}

impl Shape {
    pub(super) fn has_variations(self) -> bool {
        matches!(self, Self::Variable | Self::BecomesVariable)
    }
}

impl Client<'_> {
    /// All of the patch but pictures, variants and status. `raw`: the product as it is, `Null` for a new one.
    pub(super) async fn body(
        &self,
        patch: &Patch,
        raw: &Value,
        shape: Shape,
    ) -> Result<Map<String, Value>, PublishError> {
        let mut body = Map::new();
        texts(&mut body, patch);
        if !shape.has_variations() {
            prices(&mut body, patch, raw)?;
        }
        match patch.stock.change() {
            Some(Some(stock)) => {
                body.insert("manage_stock".to_owned(), json!(true));
                body.insert("stock_quantity".to_owned(), json!(stock));
            }
            // Without the status it would stay sold out (W50).
            Some(None) => {
                body.insert("manage_stock".to_owned(), json!(false));
                body.insert("stock_status".to_owned(), json!("instock"));
            }
            None => {}
        }
        if let Some(gtin) = patch.gtin.change() {
            body.insert("global_unique_id".to_owned(), json!(gtin.map_or("", String::as_str)));
        }
        if let Some(weight) = patch.weight_g.change() {
            let weight = match weight {
                Some(grams) => self.unit().await?.written(*grams),
                None => String::new(),
            };
            body.insert("weight".to_owned(), json!(weight));
        }
        if let Some(categories) = patch.categories.change() {
            let names = categories.map_or(&[][..], Vec::as_slice);
            body.insert("categories".to_owned(), self.terms(Kind::Categories, names, raw).await?);
        }
        if let Some(tags) = patch.tags.change() {
            let tags = tags.into_iter().flatten().map(|tag| json!({ "name": escaped(&plain(tag)) }));
            body.insert("tags".to_owned(), tags.collect());
        }
        if let Some(brand) = patch.brand.change()
            && raw.get("brands").is_some()
        {
            // An empty list would leave the brand where it is; a term that does not exist takes its place and is dropped.
            let terms = match brand.map(|brand| one_line(brand)).filter(|brand| !brand.is_empty()) {
                Some(brand) => self.terms(Kind::Brands, &[brand], raw).await?,
                None => json!([{ "id": 0 }]),
            };
            body.insert("brands".to_owned(), terms);
        }
        if let Some(attributes) = attributes(patch, raw, shape) {
            body.insert("attributes".to_owned(), attributes);
        }
        Ok(body)
    }
}

fn texts(body: &mut Map<String, Value>, patch: &Patch) {
    if let Field::Set(title) = &patch.title {
        body.insert("name".to_owned(), json!(escaped(&plain(title))));
    }
    for (name, html) in [("description", &patch.description_html), ("short_description", &patch.short_description_html)]
    {
        if let Some(html) = html.change() {
            body.insert(name.to_owned(), json!(html.map(|html| cleaned(html)).unwrap_or_default()));
        }
    }
    if let Some(slug) = patch.slug.change() {
        body.insert("slug".to_owned(), json!(slug.map_or("", String::as_str)));
    }
    let mut meta = Vec::new();
    for ((_, keys), text) in SEO.iter().zip([&patch.seo_title, &patch.seo_description]) {
        if let Some(text) = text.change() {
            let text = text.map(|text| one_line(text)).unwrap_or_default();
            meta.extend(keys.iter().map(|key| json!({ "key": key, "value": text })));
        }
    }
    if !meta.is_empty() {
        body.insert("meta_data".to_owned(), Value::Array(meta));
    }
}

fn prices(body: &mut Map<String, Value>, patch: &Patch, raw: &Value) -> Result<(), PublishError> {
    let mut after = [text(raw, "regular_price").to_owned(), text(raw, "sale_price").to_owned()];
    for ((name, price), after) in
        [("regular_price", &patch.price), ("sale_price", &patch.sale_price)].into_iter().zip(&mut after)
    {
        if let Some(price) = price.change() {
            *after = price.and_then(|price| money(&price.amount)).unwrap_or_default();
            body.insert(name.to_owned(), json!(after));
        }
    }
    not_dropped(&after[0], &after[1], "")
}

/// The shop empties a sale price that is not below the price without a word (W26).
pub(super) fn not_dropped(price: &str, sale: &str, prefix: &str) -> Result<(), PublishError> {
    if !sale.is_empty() && (price.is_empty() || !is_below(sale, price)) {
        return Err(Fault::new(format!("{prefix}sale_price"), Wrong::SaleNotBelow).into());
    }
    Ok(())
}

/// All attributes, those of the merchant included: the list replaces the one that is there. `None`: nothing changes.
fn attributes(patch: &Patch, raw: &Value, shape: Shape) -> Option<Value> {
    let has_brands = raw.get("brands").is_some() || raw.is_null();
    let brand = if has_brands { None } else { patch.brand.change() };
    let options = patch.options.change();
    if options.is_none() && brand.is_none() && shape != Shape::BecomesSimple {
        return None;
    }
    let mut attributes = Vec::new();
    let mut varying = Vec::new();
    for attribute in list(raw, "attributes") {
        if attribute["variation"] == true {
            varying.push(attribute);
        } else if !(brand.is_some() && is_brand(attribute)) {
            attributes.push(sent(attribute));
        }
    }
    if let Some(Some(brand)) = brand {
        attributes.push(
            json!({ "name": BRAND, "visible": true, "variation": false, "options": [escaped(&one_line(brand))] }),
        );
    }
    match options {
        Some(options) => {
            for option in options.into_iter().flatten() {
                let known = varying.iter().find(|attribute| is_option(attribute, option));
                attributes.push(of_option(option, known.copied()));
            }
        }
        None => {
            for attribute in varying {
                let mut attribute = sent(attribute);
                attribute["variation"] = json!(shape != Shape::BecomesSimple);
                attributes.push(attribute);
            }
        }
    }
    Some(Value::Array(attributes))
}

fn is_option(attribute: &Value, option: &ProductOption) -> bool {
    decoded(text(attribute, "name")).eq_ignore_ascii_case(&option.name)
}

/// An attribute as it came, without what is only shown.
fn sent(attribute: &Value) -> Value {
    let mut sent = Map::new();
    let has_id = attribute["id"].as_u64().is_some_and(|id| id > 0);
    for name in ["id", "name", "position", "visible", "variation", "options"] {
        if let Some(value) = attribute.get(name).filter(|value| !value.is_null() && (name != "id" || has_id)) {
            sent.insert(name.to_owned(), value.clone());
        }
    }
    Value::Object(sent)
}

fn of_option(option: &ProductOption, known: Option<&Value>) -> Value {
    let mut attribute = known.map_or_else(|| json!({ "name": escaped(&option.name), "visible": true }), sent);
    attribute["variation"] = json!(true);
    attribute["options"] = option.values.iter().map(|value| json!(escaped(value))).collect();
    attribute
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_attributes_of_the_merchant_stay() {
        let raw = json!({ "attributes": [
            { "id": 0, "name": "Material", "position": 0, "visible": true, "variation": false, "options": ["clay"] },
            { "id": 3, "name": "Colour", "slug": "pa_colour", "position": 1, "visible": true, "variation": true, "options": ["red"] },
        ] });
        let option = ProductOption { name: "Colour".to_owned(), values: vec!["red".to_owned(), "R&B".to_owned()] };
        let patch =
            Patch { options: Field::Set(vec![option]), brand: Field::Set("Acme".to_owned()), ..Patch::default() };
        let expected = json!([
            { "name": "Material", "position": 0, "visible": true, "variation": false, "options": ["clay"] },
            { "name": "Brand", "visible": true, "variation": false, "options": ["Acme"] },
            { "id": 3, "name": "Colour", "position": 1, "visible": true, "variation": true, "options": ["red", "R&amp;B"] },
        ]);
        assert_eq!(attributes(&patch, &raw, Shape::Variable), Some(expected));
        assert_eq!(attributes(&Patch::default(), &raw, Shape::Variable), None);
        let simple = attributes(&Patch::default(), &raw, Shape::BecomesSimple).unwrap();
        assert_eq!((&simple[1]["name"], &simple[1]["variation"]), (&json!("Colour"), &json!(false)));
    }

    #[test]
    fn a_sale_price_that_the_shop_would_drop_is_refused() {
        let raw = json!({ "regular_price": "10", "sale_price": "8" });
        let price =
            |amount: &str| Field::Set(crate::content::Price { amount: amount.to_owned(), currency: "EUR".to_owned() });
        let mut body = Map::new();
        let lower = Patch { price: price("7.50"), ..Patch::default() };
        assert!(prices(&mut body, &lower, &raw).is_err());
        let both = Patch { price: price("7.50"), sale_price: Field::Clear, ..Patch::default() };
        let mut body = Map::new();
        prices(&mut body, &both, &raw).unwrap();
        assert_eq!(Value::Object(body), json!({ "regular_price": "7.5", "sale_price": "" }));
    }
}
