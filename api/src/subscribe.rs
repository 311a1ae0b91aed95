//! The link to the page of plans.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::time::Timestamp;

/// Asks for the address of the page of plans.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct SubscribeLinkRequest {
    /// The language of the page; as the browser prefers if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub lang: Option<PageLanguage>,
}

/// The language of a page.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum PageLanguage {
    /// French.
    Fr,
    /// English.
    En,
}

impl PageLanguage {
    /// As in the attribute `lang`.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Fr => "fr",
            Self::En => "en",
        }
    }
}

/// The address of the page of plans.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct SubscribeLink {
    /// Whoever has it can subscribe for the tenant. Without `PUBLIC_URL` it begins with its path.
    #[schema(example = "https://jobs.example/subscribe?t=YWNtZQ.1796000000.c2lnbmF0dXJl")]
    pub url: String,
    /// An hour from now.
    pub expires_at: Timestamp,
}
