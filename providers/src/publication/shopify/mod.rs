//! Shopify's Admin API, which is GraphQL over one address.
//!
//! - A product is known by the id that is remembered; else by our mark at one of two handles that follow from its SKU; else by the SKU of
//!   its only variant, compared exactly. It is made at the first of these handles that is free, and the shop makes no second product there,
//!   so that a creation whose answer was lost cannot happen twice, however far its search is behind.
//! - Lists that `productSet` is sent replace the old ones. It is used to make a product and for what has to change as a whole (options with
//!   variants, pictures in their order); all else goes by calls that leave alone what they are not sent.
//! - Stock is counted at one location: the oldest from which orders of the online shop are sent.
//!
//! Order, lowest first: `queries`, `answer`, `points`, `tokens`, `transport`, `names`, `settings`, `read`, `normal`, `client`, `find`,
//! `variants`, `stock`, `pictures`, `collections`, `texts`.

mod answer;
mod client;
mod collections;
mod find;
mod names;
mod normal;
mod pictures;
mod points;
mod queries;
mod read;
mod settings;
mod stock;
mod texts;
mod tokens;
mod transport;
mod variants;

use std::{
    collections::BTreeSet,
    sync::{Arc, Mutex, PoisonError},
};

use async_trait::async_trait;
use serde_json::json;

pub(super) use client::Known;
pub use queries::{ALL as SHOPIFY_QUERIES, Query as ShopifyQuery};
pub(super) use transport::Shopify;

use self::{answer::SERVICE, client::Client, find::Place};
use super::{
    api::{Found, Key, Seen, StoreApi},
    error::PublishError,
    fault::{Fault, Wrong},
    fields::{Fields, money},
    listing::{Desk, Listing},
    patch::Patch,
    send::Calls,
};
use crate::error::ProviderError;

/// Of the Admin API, whose schema the queries are held against.
pub(super) const VERSION: &str = "2026-10";
/// A creation that was not answered in time is over soon after. Were it not, it would be refused for its handle, unless the product that was
/// made instead had got another address by then.
const CREATED_WITHIN_MS: u64 = 60_000;
/// The rights of the app without which nothing can be published.
const SCOPES: [&str; 5] =
    ["write_products", "write_inventory", "read_locations", "read_publications", "write_publications"];

/// One store on Shopify.
#[derive(Debug)]
pub(super) struct ShopifyStore<'a> {
    client: Client<'a>,
    /// In which the job speaks, besides the store's own.
    languages: Mutex<BTreeSet<String>>,
}

impl<'a> ShopifyStore<'a> {
    pub(super) fn new(calls: Calls<'a>, known: Arc<Known>) -> Self {
        Self { client: Client::new(calls, known), languages: Mutex::default() }
    }

    /// The languages whose texts are looked at.
    fn languages(&self, listing: &Listing) -> Vec<String> {
        let mut languages = self.languages.lock().unwrap_or_else(PoisonError::into_inner).clone();
        languages.extend(client::languages(listing).map(str::to_owned));
        languages.into_iter().collect()
    }

    /// Makes the product at a handle. `None`: another product has that.
    async fn create_at(&self, handle: &str, key: Key<'_>, patch: &Patch) -> Result<Option<String>, PublishError> {
        let price = patch.price.set().and_then(|price| money(&price.amount));
        let sale = patch.sale_price.set().and_then(|price| money(&price.amount));
        let choice = json!([{ "optionName": "Title", "name": "Default Title" }]);
        let input = json!({
            "title": patch.title.set().map(|title| title.trim()),
            "handle": handle,
            "status": "DRAFT",
            "metafields": [{ "namespace": names::NAMESPACE, "key": "id", "type": "single_line_text_field", "value": names::mark(key) }],
            "productOptions": [{ "name": "Title", "values": [{ "name": "Default Title" }] }],
            "variants": [{ "optionValues": choice, "sku": key.sku, "price": sale.as_ref().or(price.as_ref()),
                "compareAtPrice": sale.as_ref().and(price.as_ref()) }],
        });
        let payload = self.client.carry_out(&queries::CREATE, json!({ "input": input })).await?;
        let errors = answer::user_errors(&payload);
        if errors.iter().any(|error| error.is("HANDLE_NOT_UNIQUE")) {
            return Ok(None);
        }
        answer::refused(&errors)?;
        let id = payload["product"]["id"].as_str().map(str::to_owned);
        let message = "the creation was answered without a product".to_owned();
        Ok(Some(id.ok_or(ProviderError::UnknownOutcome { service: SERVICE, message })?))
    }

    /// A product that is there for certain.
    async fn look(&self, key: Key<'_>, id: &str) -> Result<Seen, PublishError> {
        let product = self.client.product(id, &[]).await?.ok_or_else(|| {
            let message = format!("product {id} was made and is not there");
            ProviderError::UnknownOutcome { service: SERVICE, message }
        })?;
        Ok(find::seen(&self.client, key, product, &Listing::default()).await?)
    }
}

#[async_trait]
impl StoreApi for ShopifyStore<'_> {
    async fn test(&self) -> Result<(), ProviderError> {
        let data = self.client.ask(&queries::TEST, json!({})).await?;
        let has: BTreeSet<&str> = read::list(&data["currentAppInstallation"]["accessScopes"])
            .filter_map(|scope| scope["handle"].as_str())
            .collect();
        // Whoever may write may read.
        let may = |scope: &str| {
            has.contains(scope)
                || scope.strip_prefix("read_").is_some_and(|what| has.contains(format!("write_{what}").as_str()))
        };
        let missing: Vec<&str> = SCOPES.into_iter().filter(|scope| !may(scope)).collect();
        if !missing.is_empty() {
            let message =
                format!("the app lacks rights in this shop: {}; grant them and install it again", missing.join(", "));
            return Err(ProviderError::Misconfigured { service: SERVICE, message });
        }
        self.client.settings().await.map(|_| ())
    }

    async fn normal(&self, key: Key<'_>, patch: &Patch) -> Result<Fields, PublishError> {
        let settings = self.client.settings().await?;
        let locales = if patch.translations.is_empty() { Vec::new() } else { self.client.locales().await? };
        let fields = normal::normal(key, patch, &settings, &locales).map_err(PublishError::Refused)?;
        self.languages.lock().unwrap_or_else(PoisonError::into_inner).extend(patch.translations.keys().cloned());
        Ok(fields)
    }

    /// Texts of HTML: no real shop was seen to keep one.
    fn rewrites(&self, field: &str) -> bool {
        field.ends_with("description_html")
    }

    fn of_variants(&self) -> &'static [&'static str] {
        &["stock", "gtin", "weight_g"]
    }

    async fn find(&self, key: Key<'_>, listing: &Listing) -> Result<Found, ProviderError> {
        find::find(&self.client, key, listing, &self.languages(listing)).await
    }

    fn created_within_ms(&self) -> u64 {
        CREATED_WITHIN_MS
    }

    async fn create(&self, key: Key<'_>, patch: &Patch) -> Result<Seen, PublishError> {
        let handles = names::handles(key);
        for handle in &handles {
            if let Some(id) = self.create_at(handle, key, patch).await? {
                return self.look(key, &id).await;
            }
            // Another product's, or ours, made by another run a moment ago.
            match find::place(&self.client, key).await? {
                Place::Free => {}
                Place::Product(id) => return self.look(key, &id).await,
                Place::Taken(fault) => return Err(fault.into()),
            }
        }
        let by = format!("the one at {:?}", handles[1]);
        Err(Fault::new("sku", Wrong::Taken { by }).into())
    }

    async fn write(&self, seen: &Seen, patch: &Patch, desk: &mut Desk<'_>) -> Result<(), PublishError> {
        let client = &self.client;
        let settings = client.settings().await?;
        let ours = seen.raw["ours"].clone();
        let of = |name: &str| ours[name].as_str().unwrap_or_default();
        let key = Key { sku: of("sku"), product_id: of("product_id") };
        let mut product = seen.raw.clone();
        if let Some(images) = patch.images.change() {
            let images = images.map(Vec::as_slice).unwrap_or_default();
            let now = pictures::write(client, &product, images, desk).await?;
            product["media"] = now["media"].clone();
        }
        let wanted = variants::wanted(key, &product, patch)?;
        match variants::structure(&product, patch, &wanted, &settings).map_err(PublishError::Refused)? {
            // What new variants cannot be made with (their pictures), and stock, follow when they are seen.
            Some(input) => {
                let new =
                    wanted.iter().filter(|variant| variant.seen.is_none()).map(|variant| variant.says.sku.as_str());
                let taken = find::others(client, read::id(&product), &new.collect::<Vec<_>>()).await?;
                if !taken.is_empty() {
                    return Err(PublishError::Refused(taken));
                }
                client.change(&queries::SET, json!({ "identifier": { "id": product["id"] }, "input": input })).await?;
            }
            None => {
                variants::write(client, &product, &wanted).await?;
                stock::write(client, &wanted, &settings, desk).await?;
            }
        }
        texts::write(client, key, &product, patch).await
    }

    async fn show(&self, seen: &Seen, visible: bool) -> Result<(), PublishError> {
        let id = &seen.external_id;
        let status = if visible { "ACTIVE" } else { "DRAFT" };
        let has_status = seen.raw["status"] == status || (visible && seen.raw["status"] == "UNLISTED");
        if !has_status {
            self.client.change(&queries::UPDATE, json!({ "product": { "id": id, "status": status } })).await?;
        }
        if visible && seen.raw["isPublished"] != true {
            // Only what is active is taken there.
            let publication = self.client.settings().await?.publication;
            self.client
                .change(&queries::PUBLISH, json!({ "id": id, "input": [{ "publicationId": publication }] }))
                .await?;
        }
        Ok(())
    }

    async fn delete(&self, seen: &Seen) -> Result<(), PublishError> {
        let payload = self.client.carry_out(&queries::DELETE, json!({ "input": { "id": seen.external_id } })).await?;
        match answer::taken(&payload) {
            // It is gone already.
            Err(_) if self.client.product(&seen.external_id, &[]).await?.is_none() => Ok(()),
            result => result,
        }
    }
}
