//! What tenants have used of language models.

use std::borrow::Cow;

use chrono::NaiveDate;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// Usage of language models.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[schema(as = UsageAnswer)]
pub struct Usage {
    /// The first day, UTC.
    pub from: NaiveDate,
    /// The last day, UTC.
    pub to: NaiveDate,
    /// By day (the newest first), tenant, service and model; at most 10,000.
    pub items: Vec<UsageItem>,
    /// Of all items.
    pub total: UsageSum,
    /// False when there are more items than are told: ask for fewer days.
    pub complete: bool,
}

/// What a tenant used of a model on a day.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct UsageItem {
    /// UTC.
    pub day: String,
    /// Who pays.
    pub tenant: String,
    /// Whose model.
    pub service: String,
    /// Which model.
    pub model: String,
    /// How much.
    #[serde(flatten)]
    pub sum: UsageSum,
}

/// Calls, tokens and money.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct UsageSum {
    /// Answers that came, good or bad.
    pub calls: u64,
    /// Those of them whose price was not known: `cost` is without them.
    pub calls_without_price: u64,
    /// What the calls took.
    pub tokens: UsageTokens,
    /// What the calls with a price cost.
    pub cost: UsageCost,
}

/// Units in which a language model is billed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct UsageTokens {
    /// Read.
    pub input: u64,
    /// Written, thinking included.
    pub output: u64,
    /// Both.
    pub total: u64,
}

/// An amount of money.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct UsageCost {
    /// Decimal number.
    #[schema(example = "0.0012")]
    pub amount: String,
    /// ISO 4217 code.
    #[schema(value_type = String, example = "USD")]
    pub currency: Cow<'static, str>,
}
