//! What is remembered of one SKU at one store, from one job to the next.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use futures::future::BoxFuture;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use tokio::time::Instant;

use super::{
    error::PublishError,
    fields,
    patch::{Original, Picture},
};
use crate::content::Price;

/// In [`Listing::by`]: the job that deleted the product, which no earlier one may undo.
pub(super) const ALL: &str = "*";
/// In [`Listing::by`]: the job that made the product. What an earlier one hides is not that product.
pub(super) const MADE: &str = "+";
/// Of a value that is kept whole, in bytes of JSON; of a longer one only its hash is.
const MOST_KEPT: usize = 1_024;

/// What is remembered of one SKU at one store. Stored in MongoDB by whoever implements [`Notes`].
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Listing {
    /// The product's id in the shop.
    pub external_id: Option<String>,
    /// Whether we made it there.
    pub made_by_us: bool,
    /// A product that is being made, and may be there or not.
    pub creating: Option<Creating>,
    /// Whether customers shall see it as soon as it is complete.
    pub to_show: bool,
    /// Fields of a product that was made which are not in the shop yet: customers do not see it before they are, whichever job shows it.
    pub missing: BTreeSet<String>,
    /// What was written last, by field.
    pub written: BTreeMap<String, Written>,
    /// The newest job that set a field, by field, also by `variants.SKU.FIELD`; `*` for one that deleted the product, `+` for the one that
    /// made it.
    pub by: BTreeMap<String, String>,
    /// The product's price and sale price as the newest job said them, by field: variants that come later cost that.
    pub prices: BTreeMap<String, Price>,
    /// Variants' prices of their own, which the product's leaves alone, by `variants.SKU.FIELD`.
    pub own_prices: BTreeMap<String, Price>,
    /// Pictures that were brought to the shop.
    pub pictures: Vec<Brought>,
    /// The shop's ids of variants, by SKU.
    pub variants: BTreeMap<String, String>,
    /// What the shop's own interface needs besides.
    pub own: Value,
    /// Where customers find it, if they can.
    pub url: Option<String>,
    /// Since when customers see it, in Unix milliseconds; `None`: they do not.
    pub shown_since_ms: Option<u64>,
    /// What the caller wants to find again.
    pub made_of: Value,
}

/// A product that is being made.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Creating {
    /// By which job.
    pub job: String,
    /// Until then, in Unix milliseconds, the shop may still be at it although it gave no answer.
    pub until_ms: u64,
}

/// What was written to a field.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Written {
    /// Hash of what was sent.
    pub sent: String,
    /// Hash of what the shop showed then.
    pub shown: String,
    /// What it showed, where that is short.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub value: Option<Value>,
}

/// A picture that was brought to the shop.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Brought {
    /// What tells it from others: [`super::Picture::key`].
    pub key: String,
    /// Its id in the shop; `None`: it was being sent, and may be there or not.
    pub external_id: Option<String>,
}

impl Written {
    /// Of what was `sent` and is `shown`.
    #[must_use]
    pub fn new(sent: &Value, shown: &Value) -> Self {
        let value = (shown.to_string().len() <= MOST_KEPT).then(|| shown.clone());
        Self { sent: fields::hash(sent), shown: fields::hash(shown), value }
    }
}

impl Listing {
    /// Whether a job with a greater id has set this field, or deleted the product.
    #[must_use]
    pub fn is_superseded(&self, field: &str, job: &str) -> bool {
        [field, ALL].iter().filter_map(|name| self.by.get(*name)).any(|by| by.as_str() > job)
    }

    /// The shop's id of a picture that was brought there.
    #[must_use]
    pub fn picture(&self, key: &str) -> Option<&str> {
        self.pictures.iter().find(|picture| picture.key == key)?.external_id.as_deref()
    }

    /// What tells one of the shop's pictures: the key of one that we brought, `shop:` and its id of another.
    #[must_use]
    pub fn key_of_picture(&self, external_id: &str) -> String {
        let ours = self.pictures.iter().find(|picture| picture.external_id.as_deref() == Some(external_id));
        ours.map_or_else(|| format!("shop:{external_id}"), |picture| picture.key.clone())
    }
}

/// Keeps a [`Listing`].
pub trait Notes: Send + Sync {
    /// Keeps it, before anything that follows is done.
    ///
    /// # Errors
    /// [`PublishError::Notes`]: nothing more may be done; [`PublishError::Overtaken`] when another run has written it since.
    fn save<'a>(&'a self, listing: &'a Listing) -> BoxFuture<'a, Result<(), PublishError>>;
}

/// Has the bytes of the pictures that are [`Original::OnDemand`].
pub trait Originals: Send + Sync {
    /// Those of one picture, as a shop takes them. They are asked for one at a time, and not kept.
    ///
    /// # Errors
    /// [`PublishError::Refused`] when there are none; others when they cannot be had now.
    fn bytes<'a>(&'a self, picture: &'a Picture) -> BoxFuture<'a, Result<Bytes, PublishError>>;
}

/// A listing with whoever keeps it.
pub struct Desk<'a> {
    /// What is remembered.
    pub listing: Listing,
    /// When the order is carried out, in Unix milliseconds.
    pub now_ms: u64,
    /// When it was opened.
    pub(super) began: Instant,
    notes: &'a dyn Notes,
    originals: Option<&'a dyn Originals>,
}

impl<'a> Desk<'a> {
    /// `listing` as `notes` last kept it.
    pub fn new(listing: Listing, notes: &'a dyn Notes) -> Self {
        Self { listing, now_ms: 0, began: Instant::now(), notes, originals: None }
    }

    /// The same with the bytes of pictures.
    #[must_use]
    pub fn with_originals(self, originals: &'a dyn Originals) -> Self {
        Self { originals: Some(originals), ..self }
    }

    /// The bytes of a picture, for one upload. `None`: they cannot be had.
    pub(super) async fn original(&self, picture: &Picture) -> Result<Option<Bytes>, PublishError> {
        match (&picture.bytes, self.originals) {
            (Original::Here(bytes), _) => Ok(Some(bytes.clone())),
            (Original::OnDemand, Some(originals)) => originals.bytes(picture).await.map(Some),
            (Original::OnDemand, None) | (Original::Nowhere, _) => Ok(None),
        }
    }

    /// Keeps what it remembers now.
    ///
    /// # Errors
    /// As [`Notes::save`].
    pub async fn save(&self) -> Result<(), PublishError> {
        self.notes.save(&self.listing).await
    }
}
