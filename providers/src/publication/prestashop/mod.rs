//! PrestaShop by its webservice. `docs/shops.md` tells what it does that one would not expect.
//!
//! Prices: the shop keeps them without tax, a job says what customers pay. Where the product has a group of tax rules and the key may read
//! `configurations`, `tax_rules` and `taxes`, the tax of the shop's own country is taken out and put in again; otherwise, as for a product
//! that was just made, which has no tax group, the price is written as the one without tax.
//!
//! Order, lowest first: `xml`, `answer`, `compare`, `settings`, `webservice`, `presta`, `money`, `html`, `product`,
//! `pending`, `read`, `names`, `normal`, `find`, `reductions`, `pictures`, `variants`, `write`.

mod answer;
mod compare;
mod find;
mod html;
mod money;
mod names;
mod normal;
mod pending;
mod pictures;
mod presta;
mod product;
mod read;
mod reductions;
mod settings;
mod variants;
mod webservice;
mod write;
mod xml;

use async_trait::async_trait;

use super::{
    api::{Found, Key, Seen, StoreApi},
    error::PublishError,
    fields::Fields,
    listing::{Desk, Listing},
    patch::Patch,
};
use crate::error::ProviderError;

pub(super) use answer::PrestaShop;
pub(super) use presta::Presta;

/// A proxy in front of the shop has given up by then, and PHP too.
const CREATED_WITHIN_MS: u64 = 120_000;

#[async_trait]
impl StoreApi for Presta<'_> {
    async fn test(&self) -> Result<(), ProviderError> {
        let missing = settings::rights(&self.webservice.calls).await?.missing();
        if !missing.is_empty() {
            let message = format!(
                "the webservice key lacks rights; in Advanced parameters > Webservice it needs: {}",
                missing.join(", ")
            );
            return Err(ProviderError::Misconfigured { service: answer::NAME, message });
        }
        self.webservice.settings().await.map(|_| ())
    }

    async fn normal(&self, key: Key<'_>, patch: &Patch) -> Result<Fields, PublishError> {
        self.normal_form(key, patch).await
    }

    fn rewrites(&self, field: &str) -> bool {
        // HTML is made anew by the shop, and an address is made of other letters.
        field.ends_with("description_html") || field == "seo.slug"
    }

    fn of_variants(&self) -> &'static [&'static str] {
        &["stock"]
    }

    async fn find(&self, key: Key<'_>, listing: &Listing) -> Result<Found, ProviderError> {
        self.look_up(key, listing).await
    }

    fn created_within_ms(&self) -> u64 {
        CREATED_WITHIN_MS
    }

    async fn create(&self, key: Key<'_>, patch: &Patch) -> Result<Seen, PublishError> {
        self.make(key, patch).await
    }

    async fn write(&self, seen: &Seen, patch: &Patch, desk: &mut Desk<'_>) -> Result<(), PublishError> {
        self.write_all(seen, patch, desk).await
    }

    async fn show(&self, seen: &Seen, visible: bool) -> Result<(), PublishError> {
        self.set_visible(seen, visible).await
    }

    async fn delete(&self, seen: &Seen) -> Result<(), PublishError> {
        self.webservice.remove(&format!("products/{}", write::id(seen)?), "sku").await
    }
}
