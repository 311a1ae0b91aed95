//! What each template is filled with.

use std::{collections::BTreeMap, sync::LazyLock};

use api::FieldError;
use chrono::{DateTime, NaiveDate, Utc};
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use serde_json::{Map, Value};
use utoipa::ToSchema;

use crate::shape::Shape;

/// What is said of a field that may have no control characters.
pub(super) const ONE_LINE: &str = "must be one line without control characters";

/// A text that only needs to be filled in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum TemplateName {
    /// An account was opened; data: `WelcomeData`.
    Welcome,
    /// A trial is about to end; data: `TrialEndingData`.
    TrialEnding,
    /// A payment was refused; data: `PaymentFailedData`.
    PaymentFailed,
    /// A competitor changed a price; data: `PriceAlertData`.
    PriceAlert,
    /// What happened in a week; data: `WeeklySummaryData`.
    WeeklySummary,
    /// Work for the recipient was given up; data: `JobFailedData`.
    JobFailed,
    /// A store of the recipient does not take its credentials any more; data: `StoreParkedData`.
    StoreParked,
}

/// A template with its data.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "template", content = "data", rename_all = "snake_case")]
pub enum Template {
    /// See [`TemplateName::Welcome`].
    Welcome(WelcomeData),
    /// See [`TemplateName::TrialEnding`].
    TrialEnding(TrialEndingData),
    /// See [`TemplateName::PaymentFailed`].
    PaymentFailed(PaymentFailedData),
    /// See [`TemplateName::PriceAlert`].
    PriceAlert(PriceAlertData),
    /// See [`TemplateName::WeeklySummary`].
    WeeklySummary(WeeklySummaryData),
    /// See [`TemplateName::JobFailed`].
    JobFailed(JobFailedData),
    /// See [`TemplateName::StoreParked`].
    StoreParked(StoreParkedData),
}

/// An account was opened.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct WelcomeData {
    /// When the trial ends, if it is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trial_ends_at: Option<DateTime<Utc>>,
    /// Where to begin; a button.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(pattern = r"^https?://[^\s]+$", max_length = 2000, example = "https://app.ecomsimply.example/")]
    pub action_url: Option<String>,
}

/// A trial is about to end.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct TrialEndingData {
    /// When it ends; shown in the recipient's time zone.
    pub trial_ends_at: DateTime<Utc>,
    /// Whole days left when the reminder is due; 0 is today and 1 tomorrow.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(maximum = 60)]
    pub days_left: Option<u32>,
    /// Name of the plan that is tried.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(min_length = 1, max_length = 60, example = "Pro")]
    pub plan: Option<String>,
    /// Where a plan is chosen; a button.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(pattern = r"^https?://[^\s]+$", max_length = 2000, example = "https://app.ecomsimply.example/plans")]
    pub action_url: Option<String>,
}

/// A payment was refused.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct PaymentFailedData {
    /// What was to be paid.
    #[schema(pattern = r"^[0-9]{1,12}(\.[0-9]{1,2})?$", example = "29.00")]
    pub amount: String,
    /// ISO 4217.
    #[schema(pattern = "^[A-Z]{3}$", example = "EUR")]
    pub currency: String,
    /// Number of the invoice.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(min_length = 1, max_length = 60, example = "F-2026-0042")]
    pub invoice: Option<String>,
    /// The last digits of the card.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(pattern = "^[0-9]{4}$", example = "4242")]
    pub card_last4: Option<String>,
    /// When it is tried again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next_attempt_at: Option<DateTime<Utc>>,
    /// Where the card is changed; a button.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(pattern = r"^https?://[^\s]+$", max_length = 2000)]
    pub action_url: Option<String>,
}

/// A competitor changed a price.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct PriceAlertData {
    /// Name of the recipient's product.
    #[schema(min_length = 1, max_length = 200, example = "Étoile lamp")]
    pub product: String,
    /// Who sells it too.
    #[schema(min_length = 1, max_length = 200, example = "lamps.example")]
    pub competitor: String,
    /// The CSS selector that the prices were read with, where there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(min_length = 1, max_length = 500, example = ".product .price")]
    pub selector: Option<String>,
    /// The competitor's price until now.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(pattern = r"^[0-9]{1,12}(\.[0-9]{1,2})?$", example = "59.90")]
    pub old_price: Option<String>,
    /// The competitor's price from now on.
    #[schema(pattern = r"^[0-9]{1,12}(\.[0-9]{1,2})?$", example = "49.90")]
    pub new_price: String,
    /// The recipient's own price.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(pattern = r"^[0-9]{1,12}(\.[0-9]{1,2})?$", example = "54.00")]
    pub own_price: Option<String>,
    /// ISO 4217, of all three.
    #[schema(pattern = "^[A-Z]{3}$", example = "EUR")]
    pub currency: String,
    /// Where to look closer; a button.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(pattern = r"^https?://[^\s]+$", max_length = 2000)]
    pub action_url: Option<String>,
}

/// What happened in a week.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct WeeklySummaryData {
    /// The first day of the week.
    pub from: NaiveDate,
    /// The last day of the week.
    pub to: NaiveDate,
    /// Product texts that were written.
    pub texts: u64,
    /// Pictures that were made.
    pub images: u64,
    /// Products that were published.
    pub published: u64,
    /// Competitors' prices that were looked up.
    pub prices: u64,
    /// Jobs that were given up.
    pub failed: u64,
    /// Competitors' prices that changed, the most important first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schema(max_items = 20)]
    pub price_changes: Vec<PriceChange>,
    /// Where to look closer; a button.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(pattern = r"^https?://[^\s]+$", max_length = 2000)]
    pub action_url: Option<String>,
}

/// A competitor's price that changed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct PriceChange {
    /// Name of the recipient's product.
    #[schema(min_length = 1, max_length = 200)]
    pub product: String,
    /// Who sells it too.
    #[schema(min_length = 1, max_length = 200)]
    pub competitor: String,
    /// Until now.
    #[schema(pattern = r"^[0-9]{1,12}(\.[0-9]{1,2})?$")]
    pub old_price: String,
    /// From now on.
    #[schema(pattern = r"^[0-9]{1,12}(\.[0-9]{1,2})?$")]
    pub new_price: String,
    /// ISO 4217.
    #[schema(pattern = "^[A-Z]{3}$")]
    pub currency: String,
}

/// Work for the recipient was given up.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct JobFailedData {
    /// What was to be done, in the recipient's words.
    #[schema(min_length = 1, max_length = 200, example = "Texts for Étoile lamp")]
    pub what: String,
    /// Why it failed; one line.
    #[schema(min_length = 1, max_length = 1000, example = "the shop refused the price")]
    pub error: String,
    /// When it was given up.
    pub failed_at: DateTime<Utc>,
    /// How often it was tried.
    #[schema(minimum = 1)]
    pub attempts: u32,
    /// The job, for questions to support.
    #[schema(min_length = 1, max_length = 64)]
    pub job_id: String,
    /// Where to look closer; a button.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(pattern = r"^https?://[^\s]+$", max_length = 2000)]
    pub action_url: Option<String>,
}

/// A store does not take its credentials any more.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct StoreParkedData {
    /// Its name.
    #[schema(min_length = 1, max_length = 40, example = "main")]
    pub store: String,
    /// Where it is.
    #[schema(min_length = 1, max_length = 500, example = "shop.example")]
    pub address: String,
    /// What it said; one line.
    #[schema(min_length = 1, max_length = 1000, example = "woocommerce: the key may not write products")]
    pub reason: String,
    /// When that was found.
    pub since: DateTime<Utc>,
    /// Where its credentials are changed; a button.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(pattern = r"^https?://[^\s]+$", max_length = 2000)]
    pub action_url: Option<String>,
}

type Check = Box<dyn Fn(&Value) -> Vec<FieldError> + Send + Sync>;

static CHECKS: LazyLock<BTreeMap<TemplateName, Check>> = LazyLock::new(|| {
    BTreeMap::from([
        (TemplateName::Welcome, check::<WelcomeData>()),
        (TemplateName::TrialEnding, check::<TrialEndingData>()),
        (TemplateName::PaymentFailed, check::<PaymentFailedData>()),
        (TemplateName::PriceAlert, check::<PriceAlertData>()),
        (TemplateName::WeeklySummary, check::<WeeklySummaryData>()),
        (TemplateName::JobFailed, check::<JobFailedData>()),
        (TemplateName::StoreParked, check::<StoreParkedData>()),
    ])
});

fn check<T: ToSchema + DeserializeOwned + 'static>() -> Check {
    let shape = Shape::<T>::new();
    Box::new(move |data| shape.read(data).err().unwrap_or_default())
}

impl TemplateName {
    /// All of them.
    pub const ALL: [Self; 7] = [
        Self::Welcome,
        Self::TrialEnding,
        Self::PaymentFailed,
        Self::PriceAlert,
        Self::WeeklySummary,
        Self::JobFailed,
        Self::StoreParked,
    ];

    /// Its name in a payload, and of its files.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Welcome => "welcome",
            Self::TrialEnding => "trial_ending",
            Self::PaymentFailed => "payment_failed",
            Self::PriceAlert => "price_alert",
            Self::WeeklySummary => "weekly_summary",
            Self::JobFailed => "job_failed",
            Self::StoreParked => "store_parked",
        }
    }

    /// Whether the recipient may ask for no more of these: they remind or inform, and nothing is lost without them.
    #[must_use]
    pub fn is_reminder(self) -> bool {
        matches!(self, Self::TrialEnding | Self::PriceAlert | Self::WeeklySummary)
    }

    /// What is wrong with data for it; pointers begin at the data.
    pub(crate) fn errors(self, data: &Map<String, Value>) -> Vec<FieldError> {
        let data = Value::Object(data.clone());
        let mut errors = CHECKS.get(&self).map(|check| check(&data)).unwrap_or_default();
        add_control_characters("", &data, &mut errors);
        errors
    }
}

impl Template {
    /// Which one.
    #[must_use]
    pub fn name(&self) -> TemplateName {
        match self {
            Self::Welcome(_) => TemplateName::Welcome,
            Self::TrialEnding(_) => TemplateName::TrialEnding,
            Self::PaymentFailed(_) => TemplateName::PaymentFailed,
            Self::PriceAlert(_) => TemplateName::PriceAlert,
            Self::WeeklySummary(_) => TemplateName::WeeklySummary,
            Self::JobFailed(_) => TemplateName::JobFailed,
            Self::StoreParked(_) => TemplateName::StoreParked,
        }
    }

    /// What it is filled with, as it stands in a payload.
    #[must_use]
    pub fn data(&self) -> Map<String, Value> {
        match serde_json::to_value(self).ok().as_mut().and_then(|whole| whole.get_mut("data")).map(Value::take) {
            Some(Value::Object(data)) => data,
            _ => Map::new(),
        }
    }
}

/// Data goes into subjects, where a line break would begin a header.
fn add_control_characters(pointer: &str, value: &Value, errors: &mut Vec<FieldError>) {
    match value {
        Value::String(text) if text.chars().any(char::is_control) => {
            errors.push(FieldError::new(pointer, ONE_LINE));
        }
        Value::Array(items) => {
            for (index, item) in items.iter().enumerate() {
                add_control_characters(&format!("{pointer}/{index}"), item, errors);
            }
        }
        Value::Object(fields) => {
            for (name, field) in fields {
                add_control_characters(&format!("{pointer}/{name}"), field, errors);
            }
        }
        _ => {}
    }
}

/// One of each, with every field.
#[cfg(test)]
pub(super) fn samples() -> [Template; 7] {
    let at = |text: &str| text.parse().unwrap();
    let url = || Some("https://app.ecomsimply.example/x?a=1&b=2".to_owned());
    let text = str::to_owned;
    [
        Template::Welcome(WelcomeData { trial_ends_at: Some(at("2026-03-18T13:05:00Z")), action_url: url() }),
        Template::TrialEnding(TrialEndingData {
            trial_ends_at: at("2026-03-18T13:05:00Z"),
            days_left: Some(3),
            plan: Some(text("Pro")),
            action_url: url(),
        }),
        Template::PaymentFailed(PaymentFailedData {
            amount: text("1299.5"),
            currency: text("EUR"),
            invoice: Some(text("F-2026-0042")),
            card_last4: Some(text("4242")),
            next_attempt_at: Some(at("2026-03-21T08:00:00Z")),
            action_url: url(),
        }),
        Template::PriceAlert(PriceAlertData {
            product: text("Lampe « Étoile »"),
            competitor: text("lamps.example"),
            selector: Some(text(".product > .price")),
            old_price: Some(text("59.90")),
            new_price: text("49.90"),
            own_price: Some(text("54")),
            currency: text("EUR"),
            action_url: url(),
        }),
        Template::WeeklySummary(WeeklySummaryData {
            from: text("2026-03-09").parse().unwrap(),
            to: text("2026-03-15").parse().unwrap(),
            texts: 1_204,
            images: 310,
            published: 96,
            prices: 48_220,
            failed: 2,
            price_changes: vec![
                PriceChange {
                    product: text("Lampe « Étoile »"),
                    competitor: text("lamps.example"),
                    old_price: text("59.90"),
                    new_price: text("49.90"),
                    currency: text("EUR"),
                },
                PriceChange {
                    product: text("Théière 🫖"),
                    competitor: text("tea.example"),
                    old_price: text("12"),
                    new_price: text("15"),
                    currency: text("USD"),
                },
            ],
            action_url: url(),
        }),
        Template::JobFailed(JobFailedData {
            what: text("Textes pour Lampe « Étoile »"),
            error: text("the shop refused the price: 422 & more"),
            failed_at: at("2026-03-18T13:05:00Z"),
            attempts: 6,
            job_id: text("0199a1b2-0000-7000-8000-000000000000"),
            action_url: url(),
        }),
        Template::StoreParked(StoreParkedData {
            store: text("main"),
            address: text("lampes.example"),
            reason: text("woocommerce: 401, \"the key\" is <unknown> & more"),
            since: at("2026-03-18T13:05:00Z"),
            action_url: url(),
        }),
    ]
}
