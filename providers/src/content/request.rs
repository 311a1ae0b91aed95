//! What is asked for.

use std::ops::RangeInclusive;

use rust_decimal::Decimal;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// Of the long description, in words.
pub(super) const LENGTHS: RangeInclusive<u16> = 50..=1500;

/// The product, and how its texts shall be.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ContentRequest {
    /// The shop's own id of the product.
    #[schema(min_length = 1, max_length = 100, example = "VELO-042")]
    pub product_id: String,
    /// Name, as the shop shows it.
    #[schema(min_length = 1, max_length = 200, example = "Lampe de bureau « Étoile »")]
    pub name: String,
    /// Category, as the shop names it.
    #[schema(min_length = 1, max_length = 100, example = "Luminaires")]
    pub category: String,
    /// Facts, one each, of 1 to 200 characters.
    #[serde(default)]
    #[schema(max_items = 20)]
    pub features: Vec<String>,
    /// What the merchant or the maker already says of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(max_length = 5000)]
    pub description: Option<String>,
    /// Language of the texts.
    pub language: Language,
    /// Tone of the texts.
    #[serde(default)]
    #[schema(default = "professional")]
    pub tone: Tone,
    /// Length of the long description, in words; a guide, not a limit.
    #[serde(default = "default_target_length")]
    #[schema(minimum = 50, maximum = 1500, default = 300)]
    pub target_length: u16,
    /// Selling price.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub price: Option<Price>,
    /// How good the model shall be; which ones that are is in the operator's table.
    #[serde(default)]
    #[schema(default = "standard")]
    pub tier: Tier,
    /// What these texts may cost, in US dollars as a decimal number with a point: the cheapest model that is expected to keep it
    /// writes them. Refused when none is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(pattern = r"^[0-9]{1,6}(\.[0-9]{1,9})?$", example = "0.005")]
    pub max_cost: Option<String>,
    /// Have the texts written anew, although the same ones were written within the last days.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    #[schema(default = false)]
    pub fresh: bool,
}

/// How good a model shall be.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Tier {
    /// The cheapest.
    Basic,
    /// Good for most products.
    #[default]
    Standard,
    /// The best.
    Premium,
}

/// Languages that texts are written in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Language {
    /// French.
    Fr,
    /// English.
    En,
}

/// How the texts speak to the customer.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Tone {
    /// Matter-of-fact.
    #[default]
    Professional,
    /// Warm.
    Friendly,
    /// Refined.
    Luxury,
    /// Light.
    Playful,
    /// Precise.
    Technical,
}

/// An amount of money.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Price {
    /// Decimal number with a point, more than 0.
    #[schema(pattern = r"^[0-9]{1,9}(\.[0-9]{1,4})?$", example = "49.90")]
    pub amount: String,
    /// ISO 4217 code.
    #[schema(pattern = "^[A-Z]{3}$", example = "EUR")]
    pub currency: String,
}

impl Price {
    /// The amount as a number.
    #[must_use]
    pub fn value(&self) -> Option<rust_decimal::Decimal> {
        rust_decimal::Decimal::from_str_exact(&self.amount).ok()
    }
}

pub(super) const fn default_target_length() -> u16 {
    300
}

impl ContentRequest {
    /// Its budget, in US dollars.
    pub(super) fn most_cost(&self) -> Option<Decimal> {
        self.max_cost.as_ref()?.parse().ok()
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    pub(in crate::content) fn request() -> ContentRequest {
        ContentRequest {
            product_id: "L-1".to_owned(),
            name: "Lampe « Étoile »".to_owned(),
            category: "Luminaires".to_owned(),
            features: vec!["Socle en chêne".to_owned()],
            description: None,
            language: Language::Fr,
            tone: Tone::Friendly,
            target_length: 300,
            price: None,
            tier: Tier::Standard,
            max_cost: None,
            fresh: false,
        }
    }
}
