//! What a job says of a page.

use api::Timestamp;
use chrono::{DateTime, Utc};
use providers::scraping::{Details, Price};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// What one page says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ScrapedPage {
    /// As it was asked for.
    pub url: String,
    /// The page's title.
    pub title: Option<String>,
    /// `null` when the page names no price or could not be fetched.
    pub price: Option<Price>,
    /// What else it says of the product.
    #[serde(flatten)]
    pub details: Details,
    /// When it was fetched, or tried.
    pub fetched_at: Timestamp,
    /// Why the page could not be fetched, or that there is none any more.
    pub error: Option<String>,
}

pub(super) fn timestamp(at: DateTime<Utc>) -> Timestamp {
    Timestamp::from_ms(at.timestamp_millis().unsigned_abs())
}
