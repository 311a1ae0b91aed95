//! Variants, which the shop calls variations: each is a row of its own below its product.
//!
//! Two with one SKU can come into being (W13c), and two with the same options (W41): so they are looked up before one is made, by our SKU
//! and by options, and one too many is deleted.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use super::{
    super::{
        error::PublishError,
        fault::{Fault, Wrong},
        fields::money,
        listing::Desk,
        patch::{Field, Patch, Variant},
    },
    body::not_dropped,
    client::{Client, TIMEOUT},
    pictures::{settled, sure, unsure},
    read::{Reader, VARIATIONS, id, is_common, list, own_sku, text},
    refusals::{refused, unexpected},
    rest::{Refusal, transient},
    texts::{decoded, escaped, sku},
};
use crate::error::ProviderError;

impl Client<'_> {
    /// Makes these the variations of a product: those that are not among them are deleted.
    pub(super) async fn variations(
        &self,
        reader: Reader<'_>,
        raw: &Value,
        wanted: &[Variant],
        desk: &mut Desk<'_>,
    ) -> Result<(), PublishError> {
        if wanted.iter().any(|variant| !matches!(variant.weight_g, Field::Keep)) {
            self.unit().await?;
        }
        let path = format!("/products/{}/variations", id(raw));
        let mut left: Vec<&Value> = list(raw, VARIATIONS).iter().collect();
        let mut rows: Vec<Option<&Value>> = Vec::new();
        for variant in wanted {
            rows.push(take(&mut left, |row| own_sku(row, raw).as_deref() == Some(&sku(&variant.sku))));
        }
        for (variant, row) in wanted.iter().zip(&mut rows).filter(|(_, row)| row.is_none()) {
            *row = take(&mut left, |row| options(row) == variant.options);
        }
        for (variant, row) in wanted.iter().zip(rows) {
            not_in_the_product(variant, raw)?;
            let external_id = match row {
                Some(row) => self.change(reader, &path, variant, row, raw).await?,
                None => self.make(&path, variant, raw, desk).await?,
            };
            desk.listing.variants.insert(variant.sku.clone(), external_id);
        }
        for row in left {
            self.delete(&format!("{path}/{}", id(row))).await?;
        }
        desk.listing.variants.retain(|sku, _| wanted.iter().any(|variant| variant.sku == *sku));
        Ok(())
    }

    /// Deletes all of them, one by one: a changed type would delete them too, and nobody could say that it was meant (W38f).
    pub(super) async fn delete_variations(&self, raw: &Value) -> Result<(), ProviderError> {
        for row in list(raw, VARIATIONS) {
            self.delete(&format!("/products/{}/variations/{}", id(raw), id(row))).await?;
        }
        Ok(())
    }

    /// Gives all variations the product's price.
    pub(super) async fn common_prices(&self, raw: &Value, patch: &Patch) -> Result<(), PublishError> {
        let fields = [("price", "regular_price", &patch.price), ("sale_price", "sale_price", &patch.sale_price)];
        for (name, field, _) in fields.iter().filter(|(.., price)| !price.is_kept()) {
            if !is_common(raw, field) {
                let message = "its variants have prices of their own: say them variant by variant".to_owned();
                return Err(Fault::new(*name, Wrong::Said { message }).into());
            }
        }
        for row in list(raw, VARIATIONS) {
            let mut body = Map::new();
            let mut after = BTreeMap::new();
            for (name, field, price) in fields {
                let shown = text(row, field).to_owned();
                let price =
                    price.change().map(|price| price.and_then(|price| money(&price.amount)).unwrap_or_default());
                if let Some(price) = price.clone().filter(|price| money(&shown).unwrap_or_default() != *price) {
                    body.insert(field.to_owned(), json!(price));
                }
                after.insert(name, price.unwrap_or(shown));
            }
            not_dropped(&after["price"], &after["sale_price"], "")?;
            if !body.is_empty() {
                self.put_variation(&format!("/products/{}/variations/{}", id(raw), id(row)), body, "").await?;
            }
        }
        Ok(())
    }

    async fn change(
        &self,
        reader: Reader<'_>,
        path: &str,
        variant: &Variant,
        row: &Value,
        raw: &Value,
    ) -> Result<String, PublishError> {
        let reader = Reader { unit: self.known_unit(), ..reader };
        let body = self.variation(variant, Some((row, &reader.variant(row, raw))), raw)?;
        if !body.is_empty() {
            self.put_variation(&format!("{path}/{}", id(row)), body, &prefix(variant)).await?;
        }
        Ok(id(row))
    }

    async fn put_variation(&self, path: &str, body: Map<String, Value>, prefix: &str) -> Result<(), PublishError> {
        match self.put(path, &Value::Object(body)).await? {
            Ok(_) => Ok(()),
            Err(refusal) => Err(refused(&refusal, prefix)),
        }
    }

    async fn make(
        &self,
        path: &str,
        variant: &Variant,
        raw: &Value,
        desk: &mut Desk<'_>,
    ) -> Result<String, PublishError> {
        sure(desk)?;
        let body = self.variation(variant, None, raw)?;
        unsure(desk, TIMEOUT);
        desk.save().await?;
        let said = self.post(path, &Value::Object(body)).await;
        if !matches!(said, Err(ProviderError::UnknownOutcome { .. })) {
            settled(desk);
        }
        match said {
            Ok(Ok(row)) => Ok(id(&row)),
            Ok(Err(refusal)) => {
                desk.save().await?;
                Err(self.not_made(&refusal, variant, raw).await?)
            }
            Err(error) => {
                desk.save().await?;
                Err(error.into())
            }
        }
    }

    /// Its SKU may have been taken in this moment by another run for this very product.
    async fn not_made(&self, refusal: &Refusal, variant: &Variant, raw: &Value) -> Result<PublishError, ProviderError> {
        if let Some(owner) = refusal.owner().filter(|_| refusal.code == "product_invalid_sku") {
            match self.get(&format!("/products/{owner}"), &[]).await? {
                Ok(row) if row["parent_id"] == raw["id"] => {
                    return Ok(transient(format!("{}another run has just made it", prefix(variant)), None).into());
                }
                Ok(_) => {}
                Err(refusal) if refusal.is_gone() => {}
                Err(refusal) => return Err(unexpected(&refusal)),
            }
        }
        Ok(refused(refusal, &prefix(variant)))
    }

    /// What of a variant the row does not show yet.
    fn variation(
        &self,
        variant: &Variant,
        row: Option<(&Value, &Value)>,
        raw: &Value,
    ) -> Result<Map<String, Value>, PublishError> {
        let mut body = Map::new();
        let shown = |name: &str| row.map(|(_, shown)| shown[name].clone());
        let mut after = BTreeMap::new();
        if row.is_none_or(|(row, _)| own_sku(row, raw).as_deref() != Some(&sku(&variant.sku))) {
            body.insert("sku".to_owned(), json!(sku(&variant.sku)));
        }
        if shown("options") != Some(json!(variant.options)) {
            body.insert("attributes".to_owned(), attributes(variant, raw));
        }
        for (name, field, price) in
            [("price", "regular_price", &variant.price), ("sale_price", "sale_price", &variant.sale_price)]
        {
            let was = shown(name).unwrap_or_default();
            let was = was.as_str().unwrap_or_default();
            let price = price.change().map(|price| price.and_then(|price| money(&price.amount)).unwrap_or_default());
            if let Some(price) = price.as_ref().filter(|price| *price != was) {
                body.insert(field.to_owned(), json!(price));
            }
            after.insert(name, price.unwrap_or_else(|| was.to_owned()));
        }
        not_dropped(&after["price"], &after["sale_price"], &prefix(variant))?;
        if let Some(stock) = variant.stock.change().filter(|stock| shown("stock") != Some(json!(stock))) {
            match stock {
                Some(stock) => {
                    body.insert("manage_stock".to_owned(), json!(true));
                    body.insert("stock_quantity".to_owned(), json!(stock));
                }
                // Never "parent", which the shop shows and may refuse (W38m).
                None if row.is_some() => {
                    body.insert("manage_stock".to_owned(), json!(false));
                    body.insert("stock_status".to_owned(), json!("instock"));
                }
                None => {}
            }
        }
        if let Some(gtin) = variant.gtin.change().filter(|gtin| shown("gtin") != Some(json!(gtin))) {
            body.insert("global_unique_id".to_owned(), json!(gtin.map_or("", String::as_str)));
        }
        if let Some(weight) = variant.weight_g.change().filter(|weight| shown("weight_g") != Some(json!(weight))) {
            let weight = weight.zip(self.known_unit()).map(|(grams, unit)| unit.written(*grams)).unwrap_or_default();
            body.insert("weight".to_owned(), json!(weight));
        }
        if let Some(at) = variant.image.change() {
            let at = at.filter(|at| **at > 0);
            if shown("image") != Some(json!(at)) {
                let images = list(raw, "images");
                let at = usize::try_from(at.copied().unwrap_or_default()).unwrap_or(usize::MAX);
                match images.get(at) {
                    Some(image) => {
                        body.insert("image".to_owned(), json!({ "id": image["id"] }));
                    }
                    None if at == 0 => {}
                    None => return Err(Fault::new(format!("{}image", prefix(variant)), Wrong::NotThere).into()),
                }
            }
        }
        // New ones have nothing to be cleared.
        if row.is_none() {
            body.retain(|_, value| value != "");
        }
        Ok(body)
    }
}

/// The first that fits, which is not had again.
fn take<'v>(left: &mut Vec<&'v Value>, fits: impl Fn(&Value) -> bool) -> Option<&'v Value> {
    let at = left.iter().position(|row| fits(row))?;
    Some(left.remove(at))
}

fn prefix(variant: &Variant) -> String {
    format!("variants.{}.", variant.sku)
}

fn options(row: &Value) -> BTreeMap<String, String> {
    let attributes = list(row, "attributes").iter();
    attributes.map(|attribute| (decoded(text(attribute, "name")), decoded(text(attribute, "option")))).collect()
}

/// The attributes of the product that its variations differ by.
fn varying(raw: &Value) -> impl Iterator<Item = &Value> {
    list(raw, "attributes").iter().filter(|attribute| attribute["variation"] == true)
}

/// An option or a value that the product does not have would make a variant that stands for any (W39).
fn not_in_the_product(variant: &Variant, raw: &Value) -> Result<(), PublishError> {
    let has = |name: &str, value: &str| {
        varying(raw).any(|attribute| {
            decoded(text(attribute, "name")) == name
                && list(attribute, "options").iter().filter_map(Value::as_str).any(|option| decoded(option) == value)
        })
    };
    let fits =
        varying(raw).count() == variant.options.len() && variant.options.iter().all(|(name, value)| has(name, value));
    if fits { Ok(()) } else { Err(Fault::new(format!("{}options", prefix(variant)), Wrong::Options).into()) }
}

fn attributes(variant: &Variant, raw: &Value) -> Value {
    let sent = varying(raw).filter_map(|attribute| {
        let option = escaped(variant.options.get(&decoded(text(attribute, "name")))?);
        Some(match attribute["id"].as_u64().filter(|id| *id > 0) {
            Some(id) => json!({ "id": id, "option": option }),
            None => json!({ "name": attribute["name"], "option": option }),
        })
    });
    sent.collect()
}
