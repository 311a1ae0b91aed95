//! One store, as its interface lets us see and change it. A file or folder a shop implements it; [`super::engine`] uses it.

use async_trait::async_trait;

use super::{
    error::PublishError,
    fault::Fault,
    fields::Fields,
    listing::{Desk, Listing},
    patch::Patch,
};
use crate::error::ProviderError;

/// What a product is known by.
#[derive(Debug, Clone, Copy)]
pub struct Key<'a> {
    /// The SKU, as our side writes it.
    pub sku: &'a str,
    /// Our own id of the product. With the SKU it makes the mark that products which we make carry in the shop, where the shop has a
    /// place for one.
    pub product_id: &'a str,
}

/// What a look-up found.
#[derive(Debug)]
pub enum Found {
    /// The shop certainly has no product of this SKU, not even hidden or in its trash.
    Nothing,
    /// This one.
    Product(Box<Seen>),
    /// The SKU is another one's: a product's whose SKU the shop only takes for the same, a variant's, several products'.
    Foreign(Fault),
}

/// A product as the shop has it now.
#[derive(Debug, Clone)]
pub struct Seen {
    /// Its id in the shop.
    pub external_id: String,
    /// Where customers find it, if they can.
    pub url: Option<String>,
    /// Whether customers see it.
    pub visible: bool,
    /// Whether it carries our mark. `None`: the shop has no place for one.
    pub marked: Option<bool>,
    /// All that the shop shows of it, in its normal form.
    pub fields: Fields,
    /// As the interface gave it: what a partial write is merged with.
    pub raw: serde_json::Value,
}

/// One store. What it answers of the outside world is a [`ProviderError`], sorted by what follows; nothing in here repeats a call.
#[async_trait]
pub trait StoreApi: Send + Sync {
    /// Sees whether the credentials are good and have all the rights that publishing needs, without changing anything.
    ///
    /// # Errors
    /// [`ProviderError::Misconfigured`] when they are not, in words that say which right or setting is missing; others when the shop
    /// cannot be asked.
    async fn test(&self) -> Result<(), ProviderError>;

    /// What the store would show of a patch after it was written: each field that the patch sets or clears, in the shop's normal form. May
    /// ask the shop for its languages or settings.
    ///
    /// # Errors
    /// [`PublishError::Refused`] with all that the store cannot hold, the SKU included.
    async fn normal(&self, key: Key<'_>, patch: &Patch) -> Result<Fields, PublishError>;

    /// Whether the shop rewrites this field in ways that nobody can foretell (it cleans HTML, say): then what it shows after a write is
    /// taken as it is.
    fn rewrites(&self, field: &str) -> bool;

    /// Fields besides prices of which the shop has none at a product with variants, but only at each of these.
    fn of_variants(&self) -> &'static [&'static str];

    /// Finds the product: by the id in `listing` if there is one, otherwise by its SKU, by the shop's rules and by ours, hidden and trashed
    /// ones too.
    async fn find(&self, key: Key<'_>, listing: &Listing) -> Result<Found, ProviderError>;

    /// For how long a product may still come into being after a creation that was not answered, in milliseconds.
    fn created_within_ms(&self) -> u64;

    /// Makes a product that customers do not see, with SKU, mark, title and price, and whatever else is safe to send at once; never
    /// pictures. All else is written afterwards.
    ///
    /// # Errors
    /// [`ProviderError::UnknownOutcome`] when it may have been made all the same. [`PublishError::Refused`] when the SKU is taken after all.
    async fn create(&self, key: Key<'_>, patch: &Patch) -> Result<Seen, PublishError>;

    /// Writes what `patch` carries (which is what differs) to a product that is there, in as many calls as that takes, and leaves alone all
    /// that it does not carry: reads, merges, writes. Never `status`. Each step may be repeated by a later run: what a call alone cannot
    /// make so (a picture that is sent) is noted at the desk before and after.
    async fn write(&self, seen: &Seen, patch: &Patch, desk: &mut Desk<'_>) -> Result<(), PublishError>;

    /// Lets customers see it, or no longer.
    async fn show(&self, seen: &Seen, visible: bool) -> Result<(), PublishError>;

    /// Deletes it for good. One that is gone is no error.
    async fn delete(&self, seen: &Seen) -> Result<(), PublishError>;
}
