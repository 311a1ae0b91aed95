//! What is half done at the shop, noted in [`Listing::own`] before it is begun: a later run could not see it there.

use std::collections::BTreeMap;

use rust_decimal::Decimal;
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::super::{
    error::PublishError,
    listing::{Desk, Listing},
};

const OWN: &str = "prestashop";

/// What is half done.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct Pending {
    /// The pictures that the product had before one was sent whose answer has not come yet.
    pub(super) pictures: Option<Vec<u64>>,
    /// What is to be as before, after the product's own price or weight is another one.
    pub(super) prices: Option<Kept>,
}

/// Prices and weights of a product that the shop keeps as differences to its own.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct Kept {
    /// What variants cost customers, by id.
    pub(super) prices: BTreeMap<u64, Decimal>,
    /// What variants weigh, in the shop's unit, by id.
    pub(super) weights: BTreeMap<u64, Decimal>,
    /// What the product costs while it is reduced.
    pub(super) reduced: Option<Decimal>,
}

impl Pending {
    /// As noted.
    pub(super) fn of(listing: &Listing) -> Self {
        serde_json::from_value(listing.own[OWN].clone()).unwrap_or_default()
    }

    /// Notes it, before anything that follows is done.
    pub(super) async fn note(&self, desk: &mut Desk<'_>) -> Result<(), PublishError> {
        if Self::of(&desk.listing) == *self {
            return Ok(());
        }
        if !desk.listing.own.is_object() {
            desk.listing.own = json!({});
        }
        desk.listing.own[OWN] = serde_json::to_value(self).unwrap_or_default();
        desk.save().await
    }
}
