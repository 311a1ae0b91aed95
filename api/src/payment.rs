//! What a tenant subscribes to, and what it paid.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::time::Timestamp;

/// An amount of money.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Money {
    /// Decimal, with the digits of the currency; below zero it is given back.
    #[schema(example = "29.00")]
    pub amount: String,
    /// ISO 4217.
    #[schema(example = "EUR")]
    pub currency: String,
}

/// A checkout to be opened.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct CheckoutRequest {
    /// What is subscribed to: a plan of `GET /api/payments/config`.
    #[schema(min_length = 1, max_length = 100, example = "pro")]
    pub plan: String,
    /// Days before the first payment: at most `trial_days` of `GET /api/payments/config`, and only for a tenant that has never subscribed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(minimum = 1, maximum = 730, example = 14)]
    pub trial_days: Option<u32>,
    /// Whether the trial begins without a payment method. If there is none at its end, the subscription is paused.
    #[serde(default)]
    pub without_card: bool,
    /// Where the customer comes back to with a subscription; `{CHECKOUT_SESSION_ID}` in it becomes the checkout's id.
    #[schema(
        min_length = 1,
        max_length = 2000,
        example = "https://app.example/welcome?checkout={CHECKOUT_SESSION_ID}"
    )]
    pub success_url: String,
    /// Where the customer comes back to without one.
    #[schema(min_length = 1, max_length = 2000, example = "https://app.example/plans")]
    pub cancel_url: String,
}

/// A page where a customer subscribes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Checkout {
    /// Stripe's id of it.
    #[schema(example = "cs_test_a1")]
    pub id: String,
    /// Where the customer goes.
    pub url: String,
    /// What is subscribed to there.
    #[schema(example = "pro")]
    pub plan: String,
    /// Until when it is open.
    pub expires_at: Option<Timestamp>,
    /// Whether no money moves, because payments are mock.
    pub mock: bool,
}

/// A page where a customer manages payment methods and the subscription.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct PortalRequest {
    /// Where the customer comes back to.
    #[schema(min_length = 1, max_length = 2000, example = "https://app.example/account")]
    pub return_url: String,
}

/// Such a page.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Portal {
    /// Where the customer goes, within minutes.
    pub url: String,
}

/// A change of plan.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ChangeRequest {
    /// The new plan.
    #[schema(min_length = 1, max_length = 100, example = "premium")]
    pub plan: String,
    /// Only tells what it would cost.
    #[serde(default)]
    pub preview: bool,
}

/// What comes of a change of plan.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(untagged)]
pub enum ChangeAnswer {
    /// With `preview`.
    Preview(ChangePreview),
    /// Otherwise.
    Changed(Subscription),
}

/// What a change of plan would cost now.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ChangePreview {
    /// Always true.
    pub preview: bool,
    /// The plan now; `null`: its price is of none.
    pub from: Option<String>,
    /// The plan then.
    #[schema(example = "premium")]
    pub plan: String,
    /// What is paid at once; zero where the difference comes on the next invoice.
    pub due_now: Money,
    /// What the next invoice comes to, which is this one where something is due now; below zero it is a credit.
    pub total: Money,
    /// The lines of that invoice.
    pub lines: Vec<PreviewLine>,
}

/// A line of an invoice that would be made.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct PreviewLine {
    /// As it would be printed.
    #[schema(example = "Unused time on Pro after 29 Nov 2026")]
    pub description: String,
    /// What it costs; below zero it is given back.
    #[serde(flatten)]
    pub money: Money,
    /// Whether it is for a part of a period.
    pub proration: bool,
}

/// The end of a subscription.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct CancelRequest {
    /// Whether it lasts until the end of the period that is paid; `false`: it ends now, and nothing is given back.
    #[serde(default = "yes")]
    #[schema(default = true)]
    pub at_period_end: bool,
    /// Why; it is shown in Stripe's dashboard.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(max_length = 500, example = "too expensive")]
    pub reason: Option<String>,
}

impl Default for CancelRequest {
    fn default() -> Self {
        Self { at_period_end: true, reason: None }
    }
}

fn yes() -> bool {
    true
}

/// The subscription of a tenant.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Subscription {
    /// The plan; `null`: its price is of none.
    #[schema(example = "pro")]
    pub plan: Option<String>,
    /// `trialing`, `active`, `past_due`, `unpaid`, `canceled`, `incomplete` or `paused`.
    #[schema(example = "active")]
    pub state: String,
    /// When the trial ends, or ended.
    pub trial_end: Option<Timestamp>,
    /// Until when it is paid, or tried.
    pub period_end: Option<Timestamp>,
    /// Whether it ends with its period.
    pub cancel_at_period_end: bool,
    /// When it is to end, if that is known.
    pub cancel_at: Option<Timestamp>,
    /// When it ended.
    pub ended_at: Option<Timestamp>,
    /// Why it is paused, in Stripe's word.
    pub paused: Option<String>,
    /// Whether what is kept here says the same already. `false`: it is done at Stripe, and a webhook brings it here.
    pub recorded: bool,
    /// Whether no money moves, because payments are mock.
    pub mock: bool,
}

/// What a front end needs to know of payments.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct PaymentsConfig {
    /// `live`: with real money; `test`: at Stripe, with test cards; `mock`: without Stripe.
    #[schema(example = "live")]
    pub mode: String,
    /// Stripe's key for browsers; `null` in mock mode.
    #[schema(example = "pk_live_1")]
    pub publishable_key: Option<String>,
    /// What can be subscribed to.
    pub plans: Vec<PlanOffer>,
    /// Days of the trial that a tenant may have once; `null`: there is none.
    #[schema(example = 14)]
    pub trial_days: Option<u32>,
}

/// A plan that can be subscribed to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct PlanOffer {
    /// Its name, for `POST /api/payments/checkout`.
    #[schema(example = "pro")]
    pub plan: String,
    /// The product's name at Stripe.
    #[schema(example = "ECOMSIMPLY Pro")]
    pub name: Option<String>,
    /// What an interval costs, decimal; `null` where that depends on how many.
    #[schema(example = "29.00")]
    pub amount: Option<String>,
    /// ISO 4217.
    #[schema(example = "EUR")]
    pub currency: String,
    /// `day`, `week`, `month` or `year`.
    #[schema(example = "month")]
    pub interval: Option<String>,
    /// So many of them are one interval.
    #[schema(example = 1)]
    pub interval_count: u32,
}

/// A page of invoices, newest first.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct InvoicePage {
    /// The invoices.
    pub items: Vec<Invoice>,
    /// For the next page; `null`: this is the last.
    pub next_cursor: Option<String>,
}

/// An invoice.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Invoice {
    /// Stripe's id of it.
    #[schema(example = "in_1")]
    pub id: String,
    /// As it is printed; a draft has none.
    #[schema(example = "A1B2C3D4-0001")]
    pub number: Option<String>,
    /// Stripe's word: `draft`, `open`, `paid`, `uncollectible`, `void`.
    #[schema(example = "paid")]
    pub state: String,
    /// To be paid in all.
    #[serde(flatten)]
    pub money: Money,
    /// When it was made.
    pub created: Timestamp,
    /// Where the customer pays or looks at it.
    pub hosted_url: Option<String>,
    /// The same as a file.
    pub pdf: Option<String>,
}

/// What a tenant may use now.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Entitlements {
    /// The plan; `default` without a subscription.
    #[schema(example = "pro")]
    pub plan: String,
    /// `none`, `trialing`, `active`, `past_due`, `unpaid`, `canceled`, `incomplete` or `paused`.
    #[schema(example = "active")]
    pub state: String,
    /// Whether it is minded when jobs come: only while payments are real.
    pub enforced: bool,
    /// Whether jobs may be enqueued; what is there can always be read.
    pub may_enqueue: bool,
    /// Why not, and what would help.
    pub reason: Option<String>,
    /// The kinds of jobs that may be enqueued; `null`: all.
    pub kinds: Option<Vec<String>>,
    /// The best tier of texts: `basic`, `standard`, `premium`.
    #[schema(example = "standard")]
    pub tier: String,
    /// Jobs that may be enqueued on a UTC day; `null`: the plan has no limit.
    #[schema(example = 2000)]
    pub jobs_per_day: Option<u64>,
    /// How many were enqueued on this day, where that is counted: while the plan has a limit and is minded.
    pub jobs_today: u64,
    /// What models may cost on a UTC day; `null`: the plan has no cap.
    pub spending_cap_per_day: Option<Money>,
    /// When the trial ends, or ended.
    pub trial_ends_at: Option<Timestamp>,
    /// Until when it is paid, or tried.
    pub period_ends_at: Option<Timestamp>,
    /// Whether it ends with its period.
    pub cancel_at_period_end: bool,
    /// When it is to end, if that is known.
    pub cancel_at: Option<Timestamp>,
    /// Until when jobs may be enqueued although a payment is due.
    pub grace_ends_at: Option<Timestamp>,
    /// Whether no money moves, because payments are mock.
    pub mock: bool,
}
