//! Product texts: what is asked for, what is answered, and who writes it: models ([`providers()`]) or the templates.

mod answer;
mod author;
mod catalogue;
mod compatible;
mod dialect;
mod exchange;
mod openai;
mod phrases;
mod prompt;
mod refusal;
mod routes;
mod template;
mod validate;

use std::{fmt::Debug, ops::RangeInclusive, sync::Arc, time::Duration};

use futures::future::BoxFuture;
use rust_decimal::Decimal;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use utoipa::ToSchema;

pub use catalogue::{CsvError, from_csv};
pub use routes::{Choice, Plan, Rate};

use crate::{Ask, Config, OpenAi, Provider, ProviderError, Service, Usage, micro_usd};

/// Under the 120 s of a job's attempt, so that a stand-in can still answer within the last one.
const SERVICE_TIMEOUT: Duration = Duration::from_secs(110);
/// Of one request; a bad answer is asked for once more within [`SERVICE_TIMEOUT`].
const REQUEST_TIMEOUT: Duration = Duration::from_secs(90);
/// Of the long description, in words.
const LENGTHS: RangeInclusive<u16> = 50..=1500;

/// Writes product texts.
pub trait ContentProvider: Provider + Debug {
    /// Writes the texts of one product, and tells each step.
    ///
    /// # Errors
    /// What kept the provider from answering, and an answer that breaks a rule of [`ContentText`]: a bad answer is never
    /// handed on.
    fn write_telling<'a>(
        &'a self,
        request: &'a ContentRequest,
        tell: Tell<'a>,
    ) -> BoxFuture<'a, Result<ContentText, ProviderError>>;

    /// Like [`ContentProvider::write_telling`], to nobody.
    fn write<'a>(&'a self, request: &'a ContentRequest) -> BoxFuture<'a, Result<ContentText, ProviderError>> {
        self.write_telling(request, &nobody)
    }

    /// Who would write these texts.
    ///
    /// # Errors
    /// [`ProviderError::Rejected`] when the budget of the request is too small for every model.
    fn plan(&self, request: &ContentRequest) -> Result<Plan, ProviderError>;

    /// How many tokens these texts take at most, when the first answer is good.
    fn estimate_tokens(&self, request: &ContentRequest) -> u64;

    /// What that many tokens cost, in US dollars; `None` when the price is not known.
    fn estimate_usd(&self, request: &ContentRequest) -> Option<Decimal>;
}

/// Hears of each step.
pub type Tell<'a> = &'a (dyn Fn(Step<'_>) + Sync);

/// A step on the way to the texts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step<'a> {
    /// A model is asked.
    Asked {
        /// Whose.
        service: &'static str,
        /// Which.
        model: &'a str,
    },
    /// It is asked once more.
    AskedAgain {
        /// What was wrong with its first answer.
        reason: &'a str,
    },
    /// An answer came, good or bad: it is paid for.
    Answered {
        /// Whose model.
        service: &'static str,
        /// Which.
        model: &'a str,
        /// What this answer took.
        tokens: Tokens,
        /// What it cost, in billionths of a US dollar; `None` when the price is not known.
        nano_usd: Option<u64>,
    },
}

fn nobody(_: Step<'_>) {}

/// The service as `config` says: the models that are configured, and templates, which stand in for them.
///
/// # Errors
/// Like [`providers()`].
pub fn service(config: &Config) -> Result<Service<dyn ContentProvider>, ProviderError> {
    let reals = providers(config)?;
    Ok(Service::new("ai", config.is_real("ai"), reals, Arc::new(template::Template), SERVICE_TIMEOUT))
}

/// The real providers that are configured, in the order in which they are asked. A further one is a file beside these and a
/// line here.
///
/// # Errors
/// [`ProviderError::Misconfigured`] when a key cannot be sent as a header or no HTTP client can be built.
pub fn providers(config: &Config) -> Result<Vec<Arc<dyn ContentProvider>>, ProviderError> {
    real_providers(config, REQUEST_TIMEOUT)
}

/// `OpenAI` with the models of the table, or the one that `settings` name; each request may take `timeout` in all.
///
/// # Errors
/// Like [`providers()`].
pub fn openai(settings: &OpenAi, timeout: Duration) -> Result<Arc<dyn ContentProvider>, ProviderError> {
    let routes = routes::Routes::open(None, settings.model.clone());
    Ok(Arc::new(openai::author(settings, timeout, routes)?))
}

fn real_providers(config: &Config, timeout: Duration) -> Result<Vec<Arc<dyn ContentProvider>>, ProviderError> {
    let only = config.openai.as_ref().and_then(|openai| openai.model.clone());
    let routes = routes::Routes::open(config.content_routes.clone(), only);
    let mut providers: Vec<Arc<dyn ContentProvider>> = Vec::new();
    if let Some(settings) = &config.openai {
        providers.push(Arc::new(openai::author(settings, timeout, Arc::clone(&routes))?));
    }
    if let Some(settings) = &config.openai_second {
        providers.push(Arc::new(compatible::author(settings, timeout, routes)?));
    }
    Ok(providers)
}

/// The model of `OpenAI` that writes texts of the usual length and tier.
pub(crate) fn usual_model(config: &Config) -> String {
    let only = config.openai.as_ref().and_then(|openai| openai.model.clone());
    only.unwrap_or_else(|| routes::usual_model(config.content_routes.as_deref()))
}

/// A request, and who hears of the steps on the way to its texts.
#[derive(Clone, Copy)]
pub struct Writing<'w> {
    /// What is to be written.
    pub request: &'w ContentRequest,
    /// Hears of each step.
    pub tell: Tell<'w>,
}

impl<'p> Ask<dyn ContentProvider + 'p> for Writing<'_> {
    type Value = ContentText;

    fn ask<'a>(
        &'a self,
        provider: &'a (dyn ContentProvider + 'p),
    ) -> BoxFuture<'a, Result<ContentText, ProviderError>> {
        provider.write_telling(self.request, self.tell)
    }

    fn estimate(&self, provider: &(dyn ContentProvider + 'p)) -> Usage {
        Usage {
            tokens: provider.estimate_tokens(self.request),
            micro_usd: provider.estimate_usd(self.request).and_then(micro_usd),
        }
    }

    fn used(&self, text: &ContentText) -> Option<Usage> {
        let usd = text.cost.as_ref().and_then(|cost| cost.amount.parse().ok());
        Some(Usage { tokens: text.tokens.total, micro_usd: usd.and_then(micro_usd) })
    }
}

impl<'p> Ask<dyn ContentProvider + 'p> for ContentRequest {
    type Value = ContentText;

    fn ask<'a>(
        &'a self,
        provider: &'a (dyn ContentProvider + 'p),
    ) -> BoxFuture<'a, Result<ContentText, ProviderError>> {
        provider.write(self)
    }

    fn estimate(&self, provider: &(dyn ContentProvider + 'p)) -> Usage {
        Writing { request: self, tell: &nobody }.estimate(provider)
    }

    fn used(&self, text: &ContentText) -> Option<Usage> {
        Writing { request: self, tell: &nobody }.used(text)
    }
}

/// The name under which results carry this provider, if there is one of that name.
#[must_use]
pub fn provider_named(name: &str) -> Option<&'static str> {
    ["openai", "openai-second", "mock"].into_iter().find(|known| *known == name)
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
    fn nothing() -> Self {
        Self { amount: "0".to_owned(), currency: "USD".to_owned() }
    }
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
    /// Equal for requests of a tenant that the model `model` would be asked in the same words for: what surrounds texts does not
    /// count, nor do tier, budget and freshness. A SHA-256 in hexadecimal.
    #[must_use]
    pub fn key(&self, tenant: &str, model: &str) -> String {
        let trimmed = |text: &String| text.trim().to_owned();
        let same = Self {
            product_id: trimmed(&self.product_id),
            name: trimmed(&self.name),
            category: trimmed(&self.category),
            features: self.features.iter().map(trimmed).collect(),
            description: self.description.as_ref().map(trimmed).filter(|text| !text.is_empty()),
            tier: Tier::default(),
            max_cost: None,
            fresh: false,
            ..self.clone()
        };
        let parts = serde_json::json!([prompt::VERSION, tenant, model, same]).to_string();
        Sha256::digest(parts.as_bytes()).iter().map(|byte| format!("{byte:02x}")).collect()
    }

    fn most_cost(&self) -> Option<Decimal> {
        self.max_cost.as_ref()?.parse().ok()
    }

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
        if self.max_cost.is_some() && self.most_cost().is_none_or(|most| most <= Decimal::ZERO) {
            complain("/max_cost".to_owned(), "must be a decimal number of US dollars over 0, such as 0.005");
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

#[cfg(test)]
mod tests {
    use super::*;

    pub(super) fn request() -> ContentRequest {
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

    #[test]
    fn equal_requests_have_one_key_and_others_another() {
        let key = |request: &ContentRequest| request.key("acme", "gpt-6-luna");
        let same = ContentRequest {
            name: " Lampe « Étoile »\n".to_owned(),
            description: Some(" ".to_owned()),
            tier: Tier::Premium,
            max_cost: Some("1".to_owned()),
            fresh: true,
            ..request()
        };
        let of_request = key(&request());
        assert_eq!((key(&same), of_request.len()), (of_request.clone(), 64));
        for other in [
            ContentRequest { language: Language::En, ..request() },
            ContentRequest { target_length: 301, ..request() },
            ContentRequest { features: Vec::new(), ..request() },
        ] {
            assert_ne!(key(&other), of_request, "{other:?}");
        }
        assert_ne!(request().key("other", "gpt-6-luna"), of_request);
        assert_ne!(request().key("acme", "gpt-6.1-terra"), of_request);
    }
}
