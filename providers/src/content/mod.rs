//! Product texts: what is asked for, what is answered, and who writes it ([`openai()`] or the templates).

mod catalogue;
mod openai;
mod phrases;
mod template;
mod validate;

use std::{fmt::Debug, sync::Arc, time::Duration};

use futures::future::BoxFuture;
use rust_decimal::Decimal;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

pub use catalogue::{CsvError, from_csv};

use crate::{Ask, Config, OpenAi, Provider, ProviderError, Service};

/// Under the 120 s of a job's attempt, so that a stand-in can still answer within the last one.
const SERVICE_TIMEOUT: Duration = Duration::from_secs(110);
/// Of one request; a bad answer is asked for once more within [`SERVICE_TIMEOUT`].
const REQUEST_TIMEOUT: Duration = Duration::from_secs(90);

/// Writes product texts.
pub trait ContentProvider: Provider + Debug {
    /// Writes the texts of one product.
    ///
    /// # Errors
    /// What kept the provider from answering, and an answer that breaks a rule of [`ContentText`]: a bad answer is never
    /// handed on.
    fn write<'a>(&'a self, request: &'a ContentRequest) -> BoxFuture<'a, Result<ContentText, ProviderError>>;
}

/// The service as `config` says: `OpenAI` when it is configured, else templates; templates stand in for it.
///
/// # Errors
/// [`ProviderError::Misconfigured`] when the key cannot be sent as a header or no HTTP client can be built.
pub fn service(config: &Config) -> Result<Service<dyn ContentProvider>, ProviderError> {
    let mut reals = Vec::new();
    if let Some(settings) = &config.openai {
        reals.push(openai(settings, REQUEST_TIMEOUT)?);
    }
    Ok(Service::new("ai", config.is_real("ai"), reals, Arc::new(template::Template), SERVICE_TIMEOUT))
}

/// `OpenAI`, each request to which may take `timeout` in all.
///
/// # Errors
/// Like [`service`].
pub fn openai(settings: &OpenAi, timeout: Duration) -> Result<Arc<dyn ContentProvider>, ProviderError> {
    Ok(Arc::new(openai::OpenAi::new(settings, timeout)?))
}

impl<'p> Ask<dyn ContentProvider + 'p> for ContentRequest {
    type Value = ContentText;

    fn ask<'a>(
        &'a self,
        provider: &'a (dyn ContentProvider + 'p),
    ) -> BoxFuture<'a, Result<ContentText, ProviderError>> {
        provider.write(self)
    }
}

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
    /// What was used, over all requests that this answer took.
    pub tokens: Tokens,
    /// What it cost; `null` when the price of the model is not known.
    pub cost: Option<Cost>,
}

/// A question that customers ask.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
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

/// What is wrong with a field of a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// JSON pointer of the field.
    pub pointer: String,
    /// What is allowed.
    pub message: String,
}

const fn default_target_length() -> u16 {
    300
}

impl ContentRequest {
    /// The rules that the schema cannot express. Empty when the request is good.
    #[must_use]
    pub fn problems(&self) -> Vec<Problem> {
        let mut problems = Vec::new();
        let mut complain =
            |pointer: String, message: &str| problems.push(Problem { pointer, message: message.to_owned() });
        for (pointer, text) in [("/product_id", &self.product_id), ("/name", &self.name), ("/category", &self.category)]
        {
            if let Some(message) = line_problem(text) {
                complain(pointer.to_owned(), message);
            }
        }
        for (index, feature) in self.features.iter().enumerate() {
            if !(1..=200).contains(&feature.chars().count()) {
                complain(format!("/features/{index}"), "must have 1 to 200 characters");
            } else if let Some(message) = line_problem(feature) {
                complain(format!("/features/{index}"), message);
            }
        }
        let is_bad = |c: char| validate::is_forbidden(c) && !matches!(c, '\n' | '\r' | '\t');
        if self.description.as_ref().is_some_and(|description| description.contains(is_bad)) {
            complain("/description".to_owned(), "must not contain control characters but line breaks and tabs");
        }
        if let Some(price) = &self.price {
            if !price.amount.parse::<Decimal>().is_ok_and(|amount| amount > Decimal::ZERO) {
                complain("/price/amount".to_owned(), "must be a decimal number over 0, such as 49.90");
            }
            if !CURRENCIES.split_whitespace().any(|code| code == price.currency) {
                complain("/price/currency".to_owned(), "must be a currency code of ISO 4217, such as EUR");
            }
        }
        problems
    }
}

/// Why `text` cannot be a name; `None` when it can.
fn line_problem(text: &str) -> Option<&'static str> {
    if text.contains(validate::is_forbidden) {
        return Some("must not contain control characters");
    }
    validate::plain_text(text).is_empty().then_some("must contain text, not only blanks or HTML tags")
}

/// ISO 4217, without metals, funds and test codes.
const CURRENCIES: &str = "\
    AED AFN ALL AMD AOA ARS AUD AWG AZN BAM BBD BDT BHD BIF BMD BND BOB BRL BSD BTN BWP BYN BZD CAD CDF CHF CLP CNY COP CRC \
    CUP CVE CZK DJF DKK DOP DZD EGP ERN ETB EUR FJD FKP GBP GEL GHS GIP GMD GNF GTQ GYD HKD HNL HTG HUF IDR ILS INR IQD IRR \
    ISK JMD JOD JPY KES KGS KHR KMF KPW KRW KWD KYD KZT LAK LBP LKR LRD LSL LYD MAD MDL MGA MKD MMK MNT MOP MRU MUR MVR MWK \
    MXN MYR MZN NAD NGN NIO NOK NPR NZD OMR PAB PEN PGK PHP PKR PLN PYG QAR RON RSD RUB RWF SAR SBD SCR SDG SEK SGD SHP SLE \
    SOS SRD SSP STN SVC SYP SZL THB TJS TMT TND TOP TRY TTD TWD TZS UAH UGX USD UYU UZS VED VES VND VUV WST XAF XCD XCG XOF \
    XPF YER ZAR ZMW ZWG";
