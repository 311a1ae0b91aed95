//! Pages of Stripe's: where a customer subscribes, and where it manages that.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{
    read::{flag, id, text, time},
    words::SessionStatus,
};

/// A checkout session.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Session {
    /// `cs_…`
    pub id: String,
    /// Where the customer goes; only while it is open.
    pub url: Option<String>,
    /// Its state.
    pub status: SessionStatus,
    /// `paid`, `unpaid` or `no_payment_required`, as with a trial.
    pub payment_status: String,
    /// `cus_…`
    pub customer: Option<String>,
    /// `sub_…`, once it is complete.
    pub subscription: Option<String>,
    /// As given.
    pub client_reference_id: Option<String>,
    /// As given.
    pub metadata: BTreeMap<String, String>,
    /// As given.
    pub success_url: Option<String>,
    /// As given.
    pub cancel_url: Option<String>,
    /// When it was made.
    pub created: Option<DateTime<Utc>>,
    /// When it expires.
    pub expires_at: Option<DateTime<Utc>>,
    /// Whether it is about real money.
    pub livemode: bool,
}

impl Session {
    /// Reads Stripe's JSON; `None` when it is no session.
    #[must_use]
    pub fn read(object: &Value) -> Option<Self> {
        let metadata = object["metadata"].as_object().into_iter().flatten();
        Some(Self {
            id: text(&object["id"])?,
            url: text(&object["url"]),
            status: SessionStatus::named(object["status"].as_str()?),
            payment_status: text(&object["payment_status"]).unwrap_or_default(),
            customer: id(&object["customer"]),
            subscription: id(&object["subscription"]),
            client_reference_id: text(&object["client_reference_id"]),
            metadata: metadata.filter_map(|(key, value)| Some((key.clone(), value.as_str()?.to_owned()))).collect(),
            success_url: text(&object["success_url"]),
            cancel_url: text(&object["cancel_url"]),
            created: time(&object["created"]),
            expires_at: time(&object["expires_at"]),
            livemode: flag(&object["livemode"]),
        })
    }
}

/// What becomes of a trial that ends without a payment method.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum WithoutCard {
    /// The subscription ends.
    Cancel,
    /// It is paused.
    Pause,
    /// It goes on with an invoice that is to be paid.
    CreateInvoice,
}

impl WithoutCard {
    /// Stripe's word.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Cancel => "cancel",
            Self::Pause => "pause",
            Self::CreateInvoice => "create_invoice",
        }
    }
}

/// The trial that a checkout session gives.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Trial {
    /// Days, at least one.
    pub days: u32,
    /// Whether a customer need not give a payment method, and what then becomes of it; `None`: it must.
    pub without_card: Option<WithoutCard>,
}

/// A checkout session to be made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewSession<'a> {
    /// `cus_…`
    pub customer: &'a str,
    /// Whose it is: on the session and on the subscription as `metadata[tenant]`, and as `client_reference_id`.
    pub tenant: &'a str,
    /// `price_…`
    pub price: &'a str,
    /// Without one it is paid at once.
    pub trial: Option<Trial>,
    /// May hold `{CHECKOUT_SESSION_ID}`.
    pub success_url: &'a str,
    /// Where the customer comes back to without a subscription.
    pub cancel_url: &'a str,
    /// Language of the page, `fr`; `None`: the browser's.
    pub locale: Option<&'a str>,
    /// When it expires: half an hour to 24 hours ahead, which is what `None` means.
    pub expires_at: Option<DateTime<Utc>>,
    /// More of the session's metadata.
    pub metadata: BTreeMap<&'a str, &'a str>,
}

/// A customer to be made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NewCustomer<'a> {
    /// `metadata[tenant]`
    pub tenant: &'a str,
    /// Where Stripe writes to.
    pub email: Option<&'a str>,
    /// On invoices.
    pub name: Option<&'a str>,
}

/// A page of Stripe's where a customer manages its subscription.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PortalSession {
    /// `bps_…`
    pub id: String,
    /// Where the customer goes, within minutes.
    pub url: String,
}

impl PortalSession {
    /// Reads Stripe's JSON; `None` when it is no portal session.
    #[must_use]
    pub fn read(object: &Value) -> Option<Self> {
        Some(Self { id: text(&object["id"])?, url: text(&object["url"])? })
    }
}
