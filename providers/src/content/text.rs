//! What is answered.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::request::Language;

/// The texts of one product. All but the two descriptions is plain text, not HTML.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ContentText {
    /// Heading of the product's page, at most 250 characters.
    pub title: String,
    /// HTML, at most 1,000 visible characters; only tags without attributes that format text.
    pub short_description: String,
    /// HTML, at most 20,000 visible characters; only tags without attributes that format text.
    pub long_description: String,
    /// Features, 1 to 12 of at most 300 characters.
    pub bullets: Vec<String>,
    /// Title for search engines.
    #[schema(max_length = 60)]
    pub seo_title: String,
    /// Description for search engines.
    #[schema(max_length = 160)]
    pub meta_description: String,
    /// Search words, 1 to 20 of at most 60 characters.
    pub keywords: Vec<String>,
    /// Questions that customers ask, 1 to 10.
    pub faq: Vec<Question>,
    /// Language of all of it.
    pub language: Language,
    /// Which model wrote it; `template` when none did.
    pub model: String,
    /// What was used, over all requests that this answer took, estimated where the end point does not tell; nothing when it was
    /// `cached`.
    pub tokens: Tokens,
    /// What it cost; `null` when the price of the model is not known.
    pub cost: Option<Cost>,
    /// Whether it was written for an equal request before.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    #[schema(default = false)]
    pub cached: bool,
}

impl ContentText {
    /// The same text for another, equal request, which costs nothing.
    #[must_use]
    pub fn again(self) -> Self {
        Self { tokens: Tokens::default(), cost: Some(Cost::nothing()), cached: true, ..self }
    }
}

/// A question that customers ask.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Question {
    /// At most 300 characters.
    pub question: String,
    /// At most 1,000 characters.
    pub answer: String,
}

/// Units in which a language model is billed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Tokens {
    /// Read.
    pub input: u64,
    /// Written, thinking included.
    pub output: u64,
    /// Both.
    pub total: u64,
}

/// What an answer cost.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Cost {
    /// Decimal number.
    #[schema(example = "0.0012")]
    pub amount: String,
    /// ISO 4217 code.
    #[schema(example = "USD")]
    pub currency: String,
}

impl Tokens {
    pub(crate) fn plus(self, other: Self) -> Self {
        Self { input: self.input + other.input, output: self.output + other.output, total: self.total + other.total }
    }
}

impl Cost {
    pub(super) fn nothing() -> Self {
        Self { amount: "0".to_owned(), currency: "USD".to_owned() }
    }
}
