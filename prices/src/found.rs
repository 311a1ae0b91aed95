//! What was read.

use chrono::NaiveDate;
use rust_decimal::Decimal;
use serde::{Deserialize, Serialize};
use url::Url;
use utoipa::ToSchema;

/// What a page says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Extract {
    /// The page's title, at most 300 characters.
    pub title: Option<String>,
    /// `None` when the page names no price, or several between which it does not tell.
    pub price: Option<Price>,
    /// What else it says of the product.
    pub details: Details,
    /// Another page, to which this one sends its readers at once.
    pub moved_to: Option<Url>,
    /// The first day on which this may no longer hold although the page is the same, by the dates in its own data.
    pub until: Option<NaiveDate>,
}

/// A price.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[schema(as = ScrapedPrice)]
pub struct Price {
    /// Decimal, `1299.00`.
    #[schema(value_type = String, example = "1299.00")]
    pub amount: Decimal,
    /// ISO 4217, when the page tells.
    pub currency: Option<String>,
    /// The word of schema.org, `InStock`, when the page tells.
    pub availability: Option<String>,
    /// How it was found.
    pub method: Method,
    /// How sure it is.
    pub confidence: Confidence,
}

/// How a price was found.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
#[schema(as = ScrapeMethod)]
#[serde(rename_all = "snake_case")]
pub enum Method {
    /// In a JSON-LD block.
    JsonLd,
    /// In `itemprop` attributes.
    Microdata,
    /// In `property` attributes.
    Rdfa,
    /// In the `<meta>` elements that previews are made from.
    Meta,
    /// In what the shop's own scripts are told: variations, the state of the page, events for statistics.
    Embedded,
    /// In the element that the job's CSS selector names.
    Selector,
    /// In the page as readers see it.
    Visible,
    /// By a language model that was given the page's text.
    Ai,
    /// Made up: no page was fetched.
    Mock,
}

/// How sure a price is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, ToSchema)]
#[schema(as = ScrapeConfidence)]
#[serde(rename_all = "snake_case")]
pub enum Confidence {
    /// Read from one place that is not made for machines, and from nowhere else.
    Low,
    /// One place that is made for machines says so, or readers and machines are told the same by parts.
    Medium,
    /// Two places of the page say so, or the job's own selector.
    High,
}

/// What a page says of its product beside the price. All of it `null` where the page does not tell.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[schema(as = ScrapedDetails)]
pub struct Details {
    /// The product's name, at most 300 characters.
    pub name: Option<String>,
    /// What was asked earlier, or what the maker recommends: higher than the price.
    pub list_price: Option<Price>,
    /// What a kilogram, a litre, … costs.
    pub unit_price: Option<UnitPrice>,
    /// The word of schema.org, `InStock`; also where there is no price.
    pub availability: Option<String>,
    /// The word of schema.org, `NewCondition`.
    pub condition: Option<String>,
    /// The maker's name.
    pub brand: Option<String>,
    /// Eight, twelve, thirteen or fourteen digits, whose last one is right.
    pub gtin: Option<String>,
    /// The maker's number.
    pub mpn: Option<String>,
    /// The shop's number.
    pub sku: Option<String>,
    /// The address of a picture.
    pub image: Option<String>,
    /// Who sells it.
    pub seller: Option<String>,
    /// What sending it costs.
    pub shipping: Option<Price>,
}

/// What a measure of a product costs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[schema(as = ScrapedUnitPrice)]
pub struct UnitPrice {
    /// Decimal.
    #[schema(value_type = String, example = "12.90")]
    pub amount: Decimal,
    /// ISO 4217, when the page tells.
    pub currency: Option<String>,
    /// The measure: `kg`, `100 g`, `l`, …
    pub per: String,
    /// How it was found.
    pub method: Method,
    /// How sure it is.
    pub confidence: Confidence,
}
