//! E-mails. What became of one, the kind `email` says.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::ToSchema;

use crate::time::Timestamp;

/// An e-mail that was sent, or would have been.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[schema(as = EmailAnswer)]
pub struct Email<R = Value> {
    /// That of its job.
    pub id: String,
    /// Whom the job belongs to.
    pub tenant: String,
    /// Who sent it; `mock` when nobody did.
    pub provider: Option<String>,
    /// When its sending was written down.
    #[schema(value_type = chrono::DateTime<chrono::Utc>)]
    pub created_at: Timestamp,
    /// What became of it. In a list without `text` and `html`.
    #[serde(flatten)]
    pub email: R,
    /// Where to go on.
    pub links: EmailLinks,
}

/// Where to go on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct EmailLinks {
    /// This e-mail, with its text if it was not sent.
    #[serde(rename = "self")]
    pub itself: String,
    /// Its job.
    pub job: String,
}

/// A page of e-mails.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[schema(bound = "")]
pub struct EmailPage<R = Value> {
    /// The last enqueued first.
    #[schema(value_type = Vec<Email>, no_recursion)]
    pub items: Vec<Email<R>>,
    /// Pass it as `cursor`, with the same filters, to get the next page; null on the last.
    pub next_cursor: Option<String>,
}

/// How an e-mail would look.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct EmailPreview {
    /// The subject as it is read.
    pub subject: String,
    /// Plain text.
    pub text: String,
    /// The same as HTML; null when the payload has none.
    pub html: Option<String>,
    /// As they go over the wire, unfolded; Message-ID and the address for unsubscribing are made from the id of the job.
    pub headers: BTreeMap<String, String>,
}
