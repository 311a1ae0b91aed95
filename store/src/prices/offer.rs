//! What one page asks for a product, and what it asked before.

use async_recursion::async_recursion as boxed;
use mongodb::bson::{self, Bson, Document, doc};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::{
    Error, Moment, Store,
    documents::{Documents, Unreadable, to_document},
    error::DUPLICATE_KEY,
};

pub(super) const OFFERS: &str = "offers";
/// So many changes of a page's price are kept, the newest.
const MOST_POINTS: i32 = 1_000;
/// More alerts than that wait for nobody.
const MOST_ALERTS: usize = 20;

/// What a page asks for a tenant's product.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Offer {
    /// See [`offer_id`].
    #[serde(rename = "_id")]
    pub id: String,
    /// Whose product it is.
    pub tenant: String,
    /// The shop's own id of the product.
    pub product_id: String,
    /// The page.
    pub url: String,
    /// One more with each change.
    pub revision: i64,
    /// What the page calls the product.
    pub name: Option<String>,
    /// The word of schema.org.
    pub condition: Option<String>,
    /// Who sells it.
    pub seller: Option<String>,
    /// The last price.
    pub amount: String,
    /// ISO 4217, if the page told.
    pub currency: Option<String>,
    /// The word of schema.org, if the page told.
    pub availability: Option<String>,
    /// Since when it is so: when the last point was made.
    pub since: Moment,
    /// When the price was last seen.
    pub seen_at: Moment,
    /// When the page was last fetched, with a price or without.
    pub visited_at: Moment,
    /// Why there is no such page any more.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gone: Option<String>,
    /// What further prices are compared with: the price that was told last, or the first one.
    pub reference: Option<Money>,
    /// What is to be told and is not on its way yet.
    #[serde(default)]
    pub alerts: Vec<Alert>,
}

/// An amount.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Money {
    /// Decimal.
    pub amount: String,
    /// ISO 4217.
    pub currency: String,
}

/// A price that moved so far that the tenant is to be told.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Alert {
    /// When the new price was seen.
    pub at: Moment,
    /// The price that was told last, or the first one.
    pub was: String,
    /// The new price.
    pub becomes: String,
    /// ISO 4217, of both.
    pub currency: String,
}

/// A change of a price.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PricePoint {
    /// When it was seen.
    pub at: Moment,
    /// Decimal.
    pub amount: String,
    /// ISO 4217, if the page told.
    pub currency: Option<String>,
    /// The word of schema.org, if the page told.
    pub availability: Option<String>,
}

/// An offer with its history.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OfferLine {
    /// The offer.
    pub offer: Offer,
    /// One a change, the oldest first.
    pub points: Vec<PricePoint>,
}

/// An offer that is to be written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WriteOffer {
    /// As it becomes; its `revision` is that of the document which it takes the place of, 0 when there is none.
    pub offer: Offer,
    /// The price has changed.
    pub point: Option<PricePoint>,
}

/// The id of what a page asks for a product.
#[must_use]
pub fn offer_id(tenant: &str, product_id: &str, url: &str) -> String {
    let mut hash = Sha256::new();
    for part in [tenant, product_id, url] {
        hash.update(part.len().to_be_bytes());
        hash.update(part);
    }
    hash.finalize().iter().take(16).map(|byte| format!("{byte:02x}")).collect()
}

impl Store {
    /// Offers by their ids, without their histories.
    ///
    /// # Errors
    /// [`Error::Unavailable`] when it may work later, [`Error::Refused`] when a document was damaged.
    #[boxed]
    pub async fn offers(&self, ids: &[String]) -> Result<Vec<Offer>, Error> {
        let found =
            self.find_projected(OFFERS, doc! { "_id": { "$in": ids } }, doc! {}, ids.len(), doc! { "points": 0 });
        let Documents { read, mut unreadable } = found.await?;
        match unreadable.pop() {
            Some(Unreadable { id, reason }) => Err(Error::Refused { what: format!("read offer {id}"), reason }),
            None => Ok(read),
        }
    }

    /// The offers of a tenant's product without their histories, the page that was visited last first.
    ///
    /// # Errors
    /// [`Error::Unavailable`] when it may work later.
    #[boxed]
    pub async fn offers_of(&self, tenant: &str, product_id: &str, limit: usize) -> Result<Vec<Offer>, Error> {
        let filter = doc! { "tenant": tenant, "product_id": product_id };
        self.find_offers(filter, doc! { "visited_at": -1 }, limit).await
    }

    /// The same with their histories.
    ///
    /// # Errors
    /// [`Error::Unavailable`] when it may work later.
    #[boxed]
    pub async fn lines_of(&self, tenant: &str, product_id: &str, limit: usize) -> Result<Vec<OfferLine>, Error> {
        let filter = doc! { "tenant": tenant, "product_id": product_id };
        self.find_lines(filter, doc! { "visited_at": -1 }, limit).await
    }

    /// The offers of a tenant whose last change came at `from` or later, with their histories, the last change first.
    ///
    /// # Errors
    /// [`Error::Unavailable`] when it may work later.
    #[boxed]
    pub async fn changed_offers(&self, tenant: &str, from: Moment, limit: usize) -> Result<Vec<OfferLine>, Error> {
        let filter = doc! { "tenant": tenant, "since": { "$gte": from } };
        self.find_lines(filter, doc! { "since": -1 }, limit).await
    }

    /// Offers with alerts of before `until` that are not on their way yet, the oldest first.
    ///
    /// # Errors
    /// [`Error::Unavailable`] when it may work later.
    #[boxed]
    pub async fn offers_with_alerts(&self, until: Moment, limit: usize) -> Result<Vec<Offer>, Error> {
        let filter = doc! { "alerts.at": { "$lt": until } };
        self.find_offers(filter, doc! { "alerts.at": 1 }, limit).await
    }

    /// Writes offers in one command, each in the place of the one that it was made of. False when one of those is not as it was any
    /// more: then all are to be read and made again.
    ///
    /// # Errors
    /// [`Error::Unavailable`] when it may work later (and may have happened in part), [`Error::Refused`] when it never will.
    #[boxed]
    pub async fn write_offers(&self, writes: &[WriteOffer]) -> Result<bool, Error> {
        if writes.is_empty() {
            return Ok(true);
        }
        let what = format!("write {} offers", writes.len());
        let updates: Vec<Document> = writes.iter().map(|write| statement(&what, write)).collect::<Result<_, _>>()?;
        let n = i32::try_from(updates.len()).unwrap_or(i32::MAX);
        let answer = self.run_updates(OFFERS, updates, &what).await?;
        if let Some(problem) = answer.get("writeConcernError") {
            return Err(Error::Unavailable { what, reason: problem.to_string() });
        }
        for error in answer.get_array("writeErrors").into_iter().flatten().filter_map(Bson::as_document) {
            let code = error.get_i32("code").unwrap_or_default();
            // Somebody else has written the first one meanwhile.
            if code != DUPLICATE_KEY {
                return Err(Error::from_code(what, code, error.get_str("errmsg").unwrap_or_default().to_owned()));
            }
        }
        Ok(answer.get_i32("n").unwrap_or_default() == n)
    }

    /// An alert is on its way.
    ///
    /// # Errors
    /// [`Error::Unavailable`] when it may work later (and may have happened).
    #[boxed]
    pub async fn forget_alert(&self, id: &str, at: Moment) -> Result<(), Error> {
        let what = format!("forget an alert of offer {id}");
        let update = doc! { "$pull": { "alerts": { "at": at } }, "$inc": { "revision": 1_i64 } };
        self.writer.update(OFFERS, doc! { "_id": id, "alerts.at": at }, update, &what).await
    }

    /// Those that cannot be read are left out.
    async fn find_offers(&self, filter: Document, sort: Document, limit: usize) -> Result<Vec<Offer>, Error> {
        let without = doc! { "points": 0 };
        Ok(self.find_projected(OFFERS, filter, sort, limit, without).await?.read)
    }

    /// Those that cannot be read are left out.
    async fn find_lines(&self, filter: Document, sort: Document, limit: usize) -> Result<Vec<OfferLine>, Error> {
        let found = self.find_readable(OFFERS, filter, sort, limit).await?.read;
        Ok(found.into_iter().filter_map(line).collect())
    }
}

fn line(mut document: Document) -> Option<OfferLine> {
    let points = document.remove("points").and_then(|points| bson::deserialize_from_bson(points).ok());
    let offer = bson::deserialize_from_document(document).ok()?;
    Some(OfferLine { offer, points: points.unwrap_or_default() })
}

fn statement(what: &str, write: &WriteOffer) -> Result<Document, Error> {
    let WriteOffer { offer, point } = write;
    let mut set = to_document(what, offer)?;
    set.remove("_id");
    set.insert("revision", offer.revision + 1);
    if offer.alerts.len() > MOST_ALERTS {
        let newest = &offer.alerts[offer.alerts.len() - MOST_ALERTS..];
        let newest = newest.iter().map(|alert| to_document(what, alert)).collect::<Result<Vec<_>, _>>()?;
        set.insert("alerts", newest);
    }
    let mut update = doc! { "$set": set };
    if offer.gone.is_none() {
        update.insert("$unset", doc! { "gone": "" });
    }
    if let Some(point) = point {
        let point = to_document(what, point)?;
        update.insert("$push", doc! { "points": { "$each": [point], "$slice": -MOST_POINTS } });
    }
    let is_new = offer.revision == 0;
    let revision = if is_new {
        doc! { "$exists": false }
    } else {
        doc! { "$eq": offer.revision }
    };
    Ok(doc! { "q": { "_id": &offer.id, "revision": revision }, "u": update, "upsert": is_new })
}
