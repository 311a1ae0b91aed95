//! An invoice, and what a change of plan would cost.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{
    money::Money,
    read::{flag, id, tenant, text, time},
    words::InvoiceStatus,
};

/// An invoice.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Invoice {
    /// `in_…`
    pub id: String,
    /// `cus_…`
    pub customer: Option<String>,
    /// `sub_…`, if it is of a subscription.
    pub subscription: Option<String>,
    /// `metadata[tenant]` of the subscription, when the invoice was made.
    pub tenant: Option<String>,
    /// Its number, as it is printed; a draft has none.
    pub number: Option<String>,
    /// Its state.
    pub status: InvoiceStatus,
    /// Why it was made: `subscription_create`, `subscription_cycle`, `subscription_update`, …
    pub billing_reason: Option<String>,
    /// Where the customer pays or looks at it; that of a draft does not exist yet.
    pub hosted_invoice_url: Option<String>,
    /// The same as a file.
    pub invoice_pdf: Option<String>,
    /// To be paid in all.
    pub amount_due: Money,
    /// Of which this was.
    pub amount_paid: Money,
    /// Of which this is left.
    pub amount_remaining: Money,
    /// How often it was tried to get the money.
    pub attempt_count: u32,
    /// When that is tried again.
    pub next_payment_attempt: Option<DateTime<Utc>>,
    /// When it was made.
    pub created: DateTime<Utc>,
    /// What it is for: the time before, where that is paid afterwards.
    pub period_start: Option<DateTime<Utc>>,
    /// The same.
    pub period_end: Option<DateTime<Utc>>,
    /// Whether it is about real money.
    pub livemode: bool,
}

/// The subscription of an invoice: since 2025-03-31.basil below `parent`, before that beside the others.
pub(super) fn subscription_of(invoice: &Value) -> Option<String> {
    id(&invoice["parent"]["subscription_details"]["subscription"]).or_else(|| id(&invoice["subscription"]))
}

/// Whose the subscription of an invoice is, in either place.
pub(super) fn tenant_of(invoice: &Value) -> Option<String> {
    tenant(&invoice["parent"]["subscription_details"])
        .or_else(|| tenant(&invoice["subscription_details"]))
        .or_else(|| tenant(invoice))
}

impl Invoice {
    /// Reads Stripe's JSON, also that of events of older versions; `None` when it is no invoice.
    #[must_use]
    pub fn read(object: &Value) -> Option<Self> {
        let currency = text(&object["currency"])?;
        let money = |name: &str| Some(Money::of_units(object[name].as_i64()?, &currency));
        Some(Self {
            id: text(&object["id"])?,
            customer: id(&object["customer"]),
            subscription: subscription_of(object),
            tenant: tenant_of(object),
            number: text(&object["number"]),
            status: InvoiceStatus::named(object["status"].as_str()?),
            billing_reason: text(&object["billing_reason"]),
            hosted_invoice_url: text(&object["hosted_invoice_url"]),
            invoice_pdf: text(&object["invoice_pdf"]),
            amount_due: money("amount_due")?,
            amount_paid: money("amount_paid")?,
            amount_remaining: money("amount_remaining")?,
            attempt_count: object["attempt_count"].as_u64().and_then(|count| count.try_into().ok()).unwrap_or(0),
            next_payment_attempt: time(&object["next_payment_attempt"]),
            created: time(&object["created"])?,
            period_start: time(&object["period_start"]),
            period_end: time(&object["period_end"]),
            livemode: flag(&object["livemode"]),
        })
    }
}

/// What a change of plan would cost, and when.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Preview {
    /// What the next invoice would come to; below zero it is a credit.
    pub total: Money,
    /// What would be asked for.
    pub amount_due: Money,
    /// Its lines.
    pub lines: Vec<PreviewLine>,
}

/// One of them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PreviewLine {
    /// As Stripe writes it on the invoice.
    pub description: String,
    /// What it costs; below zero it is given back.
    pub amount: Money,
    /// Whether it is for a part of a period.
    pub is_proration: bool,
}

impl Preview {
    /// Reads Stripe's JSON; `None` when it is no invoice.
    #[must_use]
    pub fn read(object: &Value) -> Option<Self> {
        let currency = text(&object["currency"])?;
        let money = |value: &Value| Some(Money::of_units(value.as_i64()?, &currency));
        let lines = object["lines"]["data"].as_array().map_or(&[][..], Vec::as_slice);
        let line = |line: &Value| {
            let parent = &line["parent"];
            let details = ["subscription_item_details", "invoice_item_details"];
            // Before basil it stood beside the amount.
            let is_proration =
                flag(&line["proration"]) || details.iter().any(|details| flag(&parent[*details]["proration"]));
            let description = text(&line["description"]).unwrap_or_default();
            Some(PreviewLine { description, amount: money(&line["amount"])?, is_proration })
        };
        Some(Self {
            total: money(&object["total"])?,
            amount_due: money(&object["amount_due"])?,
            lines: lines.iter().filter_map(line).collect(),
        })
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn invoice(more: &Value) -> Value {
        let mut invoice = json!({ "id": "in_1", "customer": "cus_1", "status": "open", "currency": "kwd", "amount_due": 5120, "amount_paid": 0,
            "amount_remaining": 5120, "created": 1_790_000_000, "hosted_invoice_url": "https://invoice.stripe.com/i/1", "invoice_pdf": null });
        invoice.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        invoice
    }

    #[test]
    fn an_invoice_names_its_subscription_in_either_place() {
        let details = json!({ "subscription": "sub_1", "metadata": { "tenant": "acme" } });
        let new = json!({ "parent": { "type": "subscription_details", "subscription_details": details }, "attempt_count": 2 });
        let new = Invoice::read(&invoice(&new)).unwrap();
        let old = json!({ "subscription": "sub_1", "subscription_details": { "metadata": { "tenant": "acme" } } });
        let old = Invoice::read(&invoice(&old)).unwrap();
        for read in [&new, &old] {
            assert_eq!((read.subscription.as_deref(), read.tenant.as_deref()), (Some("sub_1"), Some("acme")));
        }
        assert_eq!((new.amount_due.amount.to_string().as_str(), new.attempt_count), ("5.120", 2));
        assert_eq!((&new.status, new.invoice_pdf), (&InvoiceStatus::Open, None));
        let other = invoice(&json!({ "parent": null }));
        assert_eq!(Invoice::read(&other).unwrap().subscription, None);
        assert_eq!(Invoice::read(&json!({ "id": "sub_1", "currency": "eur" })), None);
    }

    #[test]
    fn a_preview_tells_its_prorations() {
        let line = |amount: i64, parent: Value| json!({ "amount": amount, "description": "Pro", "parent": parent });
        let preview = json!({ "currency": "eur", "total": 3_450, "amount_due": 3_450, "lines": { "data": [
            line(-1_450, json!({ "subscription_item_details": { "proration": true } })),
            line(4_900, json!({ "invoice_item_details": { "proration": false } })),
        ] } });
        let preview = Preview::read(&preview).unwrap();
        let lines: Vec<_> =
            preview.lines.iter().map(|line| (line.amount.amount.to_string(), line.is_proration)).collect();
        assert_eq!(lines, [("-14.50".to_owned(), true), ("49.00".to_owned(), false)]);
        assert_eq!(preview.total.amount.to_string(), "34.50");
    }
}
