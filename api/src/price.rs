//! Exchange rates, prices over time, and what is known of a product.

use std::collections::BTreeMap;

use chrono::NaiveDate;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::ToSchema;

use crate::time::Timestamp;

/// Exchange rates of a day.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = RatesRequest)]
pub struct RatesRequest {
    /// What the rates count from: always the euro.
    #[schema(pattern = "^EUR$", example = "EUR")]
    pub base: String,
    /// The day that they are of; tomorrow's at the latest.
    pub date: NaiveDate,
    /// How much of each currency (ISO 4217) one euro is: decimal numbers.
    #[schema(example = json!({ "USD": "1.0712" }))]
    pub rates: BTreeMap<String, String>,
}

/// Exchange rates of a day, as they are known.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[schema(as = RatesAnswer)]
pub struct Rates {
    /// What the rates count from.
    #[schema(example = "EUR")]
    pub base: String,
    /// The day that they are of.
    pub date: NaiveDate,
    /// How much of each currency (ISO 4217) one euro is: decimal numbers.
    #[schema(example = json!({ "USD": "1.0712" }))]
    pub rates: BTreeMap<String, String>,
    /// Who has set them, or the host of the file that they were read from; told to administrators only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub by: Option<String>,
    /// When they were stored.
    #[schema(value_type = chrono::DateTime<chrono::Utc>)]
    pub stored_at: Timestamp,
}

/// Which prices are compared.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct CompareRequest {
    /// The shop's own id of the product.
    #[schema(min_length = 1, max_length = 100, example = "VELO-042")]
    pub product_id: String,
    /// The own price, whose place is told.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub own: Option<OwnPrice>,
}

/// An amount of money.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct OwnPrice {
    /// Decimal.
    #[schema(pattern = r"^[0-9]{1,12}(\.[0-9]{1,4})?$", example = "59.90")]
    pub amount: String,
    /// ISO 4217.
    #[schema(pattern = "^[A-Z]{3}$", example = "EUR")]
    pub currency: String,
}

/// Prices of a product over time.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct PriceSeries {
    /// Changes, the earliest first, of the 100 pages that were visited last. At most 500, of which the first, last, lowest and highest of a page and
    /// currency are never left out; of more than 125 such lines those of the pages that were visited last stay.
    pub points: Vec<SeriesPoint>,
}

/// A change of a price, which holds until the next one of the same page.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct SeriesPoint {
    /// When it was seen. Earlier than `from` for the price that held then.
    #[schema(value_type = chrono::DateTime<chrono::Utc>)]
    pub at: Timestamp,
    /// The page.
    pub url: String,
    /// The CSS selector that the price was read with, if there was one: with another one the page has a line of its own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub selector: Option<String>,
    /// Decimal.
    #[schema(example = "59.90")]
    pub amount: String,
    /// ISO 4217, if the page told.
    pub currency: Option<String>,
    /// The word of schema.org, if the page told.
    pub availability: Option<String>,
}

fn none<C>() -> Option<C> {
    None
}

/// A product as it is known; `null`, empty or absent is what is not.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[schema(as = ProductAnswer)]
pub struct Product<C = Value> {
    /// The shop's own id of the product.
    pub product_id: String,
    /// Whose product it is.
    pub tenant: String,
    /// The newest texts.
    pub content: Option<MadeOfProduct>,
    /// The newest pictures.
    pub images: Option<MadeOfProduct>,
    /// The newest publication.
    pub publication: Option<MadeOfProduct>,
    /// The stores that it was brought to; at most 100.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub stores: Vec<ProductAtStore>,
    /// What other shops ask, the page that was visited last first; at most 100.
    pub offers: Vec<ProductOffer>,
    /// Pages that are watched each night; at most 100, those that are not watched counted.
    pub monitors: Vec<String>,
    /// Pages that are to be watched, and are not.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub not_watched: Vec<NotWatched>,
    /// The unified price: what all offers said together when they were last compared at night; absent before.
    #[serde(default = "none", skip_serializing_if = "Option::is_none")]
    pub comparison: Option<C>,
    /// Where to go on.
    pub links: ProductLinks,
}

/// A product as a store has it, as far as we know.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ProductAtStore {
    /// The store's name.
    pub store: String,
    /// The software that it runs on: `shopify`, `woocommerce` or `prestashop`.
    pub shop: String,
    /// What the shop knows it by.
    pub sku: String,
    /// Its id in the shop; `null` when it is not there.
    pub external_id: Option<String>,
    /// Where customers find it, if they can.
    pub url: Option<String>,
    /// Since when customers see it; `null`: they do not.
    pub published_since: Option<Timestamp>,
    /// When a job wrote it or looked at it last.
    pub at: Timestamp,
    /// What tells what was written last from something else.
    pub hash: String,
}

/// A page that is to be watched, and is not.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct NotWatched {
    /// The page.
    pub url: String,
    /// Why it is not.
    #[schema(example = "selector is no CSS selector of at most 500 characters")]
    pub reason: String,
}

/// Where to go on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ProductLinks {
    /// This product.
    #[serde(rename = "self")]
    pub itself: String,
    /// Its prices over time.
    pub prices: String,
}

/// The newest result of a kind for a product.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct MadeOfProduct {
    /// The job that made it.
    pub job: String,
    /// Who made it.
    pub provider: Option<String>,
    /// Whether a stand-in made it.
    pub degraded: bool,
    /// When it was stored.
    #[schema(value_type = chrono::DateTime<chrono::Utc>)]
    pub created_at: Timestamp,
    /// What was made: the result of the job.
    #[schema(value_type = Object)]
    pub result: Value,
}

/// What a page asks for a product.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ProductOffer {
    /// The page.
    pub url: String,
    /// The CSS selector that the price was read with, if there was one: with another one the page has an offer of its own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub selector: Option<String>,
    /// What the page calls the product.
    pub name: Option<String>,
    /// The last price, decimal.
    #[schema(example = "59.90")]
    pub amount: String,
    /// ISO 4217, if the page told.
    pub currency: Option<String>,
    /// The word of schema.org, if the page told.
    pub availability: Option<String>,
    /// The word of schema.org, if the page told.
    pub condition: Option<String>,
    /// Who sells it, if the page told.
    pub seller: Option<String>,
    /// Since when it is so.
    #[schema(value_type = chrono::DateTime<chrono::Utc>)]
    pub since: Timestamp,
    /// When the price was last seen.
    #[schema(value_type = chrono::DateTime<chrono::Utc>)]
    pub seen_at: Timestamp,
    /// When the page was last fetched.
    #[schema(value_type = chrono::DateTime<chrono::Utc>)]
    pub visited_at: Timestamp,
    /// Why the price does not hold any more, if it does not.
    pub gone: Option<String>,
}
