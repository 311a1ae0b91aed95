//! Shops with WooCommerce, by its REST API v3.
//!
//! Order, lowest first: `sign`, `texts`, `weight`, `rest`, `refusals`, `client`, `read`, `normal`, `find`, `terms`, `body`, `pictures`,
//! `variations`, `at_once`, `bulk`.

mod at_once;
mod body;
mod bulk;
mod client;
mod find;
mod normal;
mod pictures;
mod read;
mod refusals;
mod rest;
mod sign;
mod terms;
mod texts;
mod variations;
mod weight;

use async_trait::async_trait;
use serde_json::{Map, Value, json};

pub(super) use at_once::Limits;
pub use bulk::Item;
pub(super) use bulk::bulk;
pub(super) use rest::Rest;

use self::{
    body::Shape,
    client::{Client, TIMEOUT, not_as_documented},
    read::{MARK, VARIATIONS, is_common, is_variable, list, text},
    refusals::{refused, unexpected},
    rest::transient,
    texts::sku,
};
use super::{
    api::{Found, Key, Seen, StoreApi},
    error::PublishError,
    fault::{Fault, Wrong},
    fields::Fields,
    listing::{Desk, Listing},
    patch::{Field, Patch},
    send::Calls,
};
use crate::{content::Price, error::ProviderError};

/// In [`Listing::own`]: what a product cost whose variations are being deleted.
const PRICE: &str = "price_when_simple";

/// One shop, for the calls of one attempt.
#[derive(Debug)]
pub(super) struct WooCommerce<'a> {
    client: Client<'a>,
}

impl<'a> WooCommerce<'a> {
    pub(super) fn new(calls: Calls<'a>) -> Self {
        Self { client: Client::new(calls) }
    }
}

#[async_trait]
impl StoreApi for WooCommerce<'_> {
    async fn test(&self) -> Result<(), ProviderError> {
        for said in [
            self.client.get("/products", &[("per_page", "1"), ("_fields", "id")]).await?,
            self.client.try_to_write().await?,
        ] {
            said.map_err(|refusal| unexpected(&refusal))?;
        }
        Ok(())
    }

    async fn normal(&self, key: Key<'_>, patch: &Patch) -> Result<Fields, PublishError> {
        let fields = normal::normal(key, patch, self.client.store()).map_err(PublishError::Refused)?;
        let variants = patch.variants.set().into_iter().flatten();
        if !patch.weight_g.is_kept() || variants.into_iter().any(|variant| !variant.weight_g.is_kept()) {
            self.client.unit().await?;
        }
        Ok(fields)
    }

    fn rewrites(&self, field: &str) -> bool {
        // HTML is filtered; a slug is made unique; a term that is there already has its own case; without categories there is a default.
        let field =
            field.strip_prefix("translations.").and_then(|rest| rest.split_once('.')).map_or(field, |(_, field)| field);
        matches!(field, "description_html" | "short_description_html" | "seo.slug" | "categories" | "tags" | "brand")
    }

    fn of_variants(&self) -> &'static [&'static str] {
        &[]
    }

    async fn find(&self, key: Key<'_>, listing: &Listing) -> Result<Found, ProviderError> {
        self.client.find(key, listing).await
    }

    fn created_within_ms(&self) -> u64 {
        // The shop works on after a call was given up (W67).
        2 * u64::try_from(TIMEOUT.as_millis()).unwrap_or(u64::MAX / 2)
    }

    async fn create(&self, key: Key<'_>, patch: &Patch) -> Result<Seen, PublishError> {
        let body = self.body_of_new(key, patch).await?;
        let made = match self.client.post("/products", &Value::Object(body)).await? {
            Ok(made) => made,
            Err(refusal)
                if matches!(refusal.code.as_str(), "product_invalid_sku" | "woocommerce_rest_product_not_created") =>
            {
                return self.taken(key, &refusal).await;
            }
            Err(refusal) => return Err(refused(&refusal, "")),
        };
        let Some(external_id) = made["id"].as_u64().filter(|id| *id > 0) else {
            let error = not_as_documented("/products", &made).to_string();
            return Err(ProviderError::UnknownOutcome { service: rest::SHOP, message: error }.into());
        };
        let listing = Listing { external_id: Some(external_id.to_string()), ..Listing::default() };
        Ok(self.client.reader(key, &listing).seen(made))
    }

    async fn write(&self, seen: &Seen, patch: &Patch, desk: &mut Desk<'_>) -> Result<(), PublishError> {
        let patch = normal::in_own_language(patch, normal::language(self.client.store()));
        let path = format!("/products/{}", seen.external_id);
        let has_variants =
            patch.variants.change().map(|variants| variants.is_some_and(|variants| !variants.is_empty()));
        let shape = match (is_variable(&seen.raw), has_variants) {
            (true, Some(false)) => Shape::BecomesSimple,
            (true, _) => Shape::Variable,
            (false, Some(true)) => Shape::BecomesVariable,
            (false, _) => Shape::Simple,
        };
        // What has no variants yet, or none any more, is nothing that customers can buy.
        let hide = seen.visible && matches!(shape, Shape::BecomesSimple | Shape::BecomesVariable);
        if hide {
            desk.listing.to_show = true;
            desk.listing.missing.extend(patch.names().into_iter().filter(|name| name != "status"));
            desk.save().await?;
        }
        let patch =
            if shape == Shape::BecomesSimple { self.without_variations(seen, patch, hide, desk).await? } else { patch };
        let mut body = self.client.body(&patch, &seen.raw, shape).await?;
        if shape == Shape::BecomesVariable {
            body.insert("type".to_owned(), json!("variable"));
        }
        if shape == Shape::BecomesSimple {
            body.insert("type".to_owned(), json!("simple"));
        }
        if hide || seen.raw["status"] == "trash" {
            // In the trash it would be changed and thrown away (W14).
            body.insert("status".to_owned(), json!("draft"));
        }
        let mut raw = seen.raw.clone();
        if !body.is_empty() {
            raw = with_variations(self.put(&path, body).await?, &seen.raw);
        }
        if let Some(images) = patch.images.change() {
            let images = images.map_or(&[][..], Vec::as_slice);
            raw = with_variations(self.client.pictures(raw, images, desk).await?, &seen.raw);
        }
        let own = sku(text(&seen.raw, "sku"));
        let key = Key { sku: &own, product_id: "" };
        match patch.variants.set().filter(|variants| !variants.is_empty()) {
            Some(variants) => {
                let listing = desk.listing.clone();
                self.client.variations(self.client.reader(key, &listing), &raw, variants, desk).await?;
            }
            None if shape == Shape::Variable && !(patch.price.is_kept() && patch.sale_price.is_kept()) => {
                self.client.common_prices(&raw, &patch).await?;
            }
            None => {}
        }
        if let Some(own) = desk.listing.own.as_object_mut() {
            own.remove(PRICE);
        }
        if hide {
            self.put(&path, status("publish")).await?;
        }
        Ok(())
    }

    async fn show(&self, seen: &Seen, visible: bool) -> Result<(), PublishError> {
        let status = status(if visible { "publish" } else { "draft" });
        self.put(&format!("/products/{}", seen.external_id), status).await.map(drop)
    }

    async fn delete(&self, seen: &Seen) -> Result<(), PublishError> {
        Ok(self.client.delete(&format!("/products/{}", seen.external_id)).await?)
    }
}

impl WooCommerce<'_> {
    /// The body by which a product is made: all but pictures and variants.
    async fn body_of_new(&self, key: Key<'_>, patch: &Patch) -> Result<Map<String, Value>, PublishError> {
        let patch = normal::in_own_language(patch, normal::language(self.client.store()));
        let has_variants = patch.variants.set().is_some_and(|variants| !variants.is_empty());
        let shape = if has_variants { Shape::BecomesVariable } else { Shape::Simple };
        let mut body = self.client.body(&patch, &Value::Null, shape).await?;
        body.retain(|_, value| value != "");
        let mark = json!({ "key": MARK, "value": key.mark() });
        match body.entry("meta_data").or_insert_with(|| json!([])) {
            Value::Array(meta) => meta.push(mark),
            other => *other = json!([mark]),
        }
        body.insert("type".to_owned(), json!(if has_variants { "variable" } else { "simple" }));
        body.insert("status".to_owned(), json!("draft"));
        body.insert("sku".to_owned(), json!(sku(key.sku)));
        Ok(body)
    }

    async fn put(&self, path: &str, body: Map<String, Value>) -> Result<Value, PublishError> {
        self.client.put(path, &Value::Object(body)).await?.map_err(|refusal| refused(&refusal, ""))
    }

    /// The SKU was free a moment ago: another run has made the product, or somebody else has, or something holds it that nobody sees.
    async fn taken(&self, key: Key<'_>, refusal: &rest::Refusal) -> Result<Seen, PublishError> {
        match self.client.find(key, &Listing::default()).await? {
            Found::Product(seen) if seen.marked == Some(true) => Ok(*seen),
            Found::Product(_) => {
                Err(transient("the SKU was taken while the product was made: it is looked up again", None).into())
            }
            Found::Foreign(fault) => Err(fault.into()),
            Found::Nothing => match refusal.owner() {
                Some(owner) => Err(Fault::new("sku", Wrong::Taken { by: format!("product {owner}") }).into()),
                None => Err(transient("the shop says that the SKU is taken, and has no product with it", None).into()),
            },
        }
    }

    /// Deletes a product's variations; it costs what they cost, unless the patch says otherwise.
    async fn without_variations(
        &self,
        seen: &Seen,
        mut patch: Patch,
        hide: bool,
        desk: &mut Desk<'_>,
    ) -> Result<Patch, PublishError> {
        if patch.price.is_kept() {
            let noted = desk.listing.own[PRICE].as_str().map(str::to_owned);
            let common = if is_common(&seen.raw, "regular_price") { seen.fields.get("price") } else { None };
            let Some(amount) = common.and_then(Value::as_str).map(str::to_owned).or(noted) else {
                return Err(Fault::new("price", Wrong::Needed).into());
            };
            if !desk.listing.own.is_object() {
                desk.listing.own = json!({});
            }
            desk.listing.own[PRICE] = json!(amount);
            desk.save().await?;
            patch.price = Field::Set(Price { amount, currency: String::new() });
        }
        if hide {
            self.put(&format!("/products/{}", seen.external_id), status("draft")).await?;
        }
        self.client.delete_variations(&seen.raw).await?;
        Ok(patch)
    }
}

fn status(status: &str) -> Map<String, Value> {
    [("status".to_owned(), json!(status))].into_iter().collect()
}

/// An answer to a write has no variations: they are as they were.
fn with_variations(mut raw: Value, was: &Value) -> Value {
    raw[VARIATIONS] = Value::Array(list(was, VARIATIONS).to_vec());
    raw
}
