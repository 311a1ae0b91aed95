//! What Stripe tells that has happened, whatever version of its API the event was made with.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{
    invoice::{subscription_of, tenant_of},
    read::{flag, id, tenant, text, time},
};

/// An event: what it is about, and not what it says of that, which may be old. It keeps the version of its creation for ever.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Event {
    /// `evt_…`
    pub id: String,
    /// `invoice.paid`, …
    pub kind: String,
    /// With what version it was made; `None` of very old ones.
    pub api_version: Option<String>,
    /// When it was made.
    pub created: DateTime<Utc>,
    /// Whether it is about real money.
    pub livemode: bool,
    /// The object's type: `subscription`, `invoice`, `checkout.session`, `customer`, …
    pub object_kind: String,
    /// The object's id; some have none.
    pub object_id: Option<String>,
    /// `cus_…` that the object is or names.
    pub customer: Option<String>,
    /// `sub_…` that the object is or names.
    pub subscription: Option<String>,
    /// `metadata[tenant]`, where the object has it.
    pub tenant: Option<String>,
}

impl Event {
    /// Reads Stripe's JSON; `None` when it is no event of API v1.
    #[must_use]
    pub fn read(event: &Value) -> Option<Self> {
        if event["object"] != "event" {
            return None;
        }
        let object = &event["data"]["object"];
        let object_kind = text(&object["object"])?;
        let (customer, subscription, whose) = match object_kind.as_str() {
            "customer" => (text(&object["id"]), None, tenant(object)),
            "subscription" => (id(&object["customer"]), text(&object["id"]), tenant(object)),
            "invoice" => (id(&object["customer"]), subscription_of(object), tenant_of(object)),
            _ => (id(&object["customer"]), id(&object["subscription"]), tenant(object)),
        };
        Some(Self {
            id: text(&event["id"])?,
            kind: text(&event["type"])?,
            api_version: text(&event["api_version"]),
            created: time(&event["created"])?,
            livemode: flag(&event["livemode"]),
            object_id: text(&object["id"]),
            object_kind,
            customer,
            subscription,
            tenant: whose,
        })
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn an_event_names_customer_and_subscription_whatever_its_version() {
        let event = |object: Value| {
            Event::read(&json!({ "id": "evt_1", "object": "event", "type": "x.y", "api_version": "2024-06-20", "created": 7, "livemode": false,
                "data": { "object": object }, "pending_webhooks": 1, "request": null }))
            .unwrap()
        };
        for object in [
            json!({ "object": "subscription", "id": "sub_1", "customer": "cus_1", "metadata": { "tenant": "acme" } }),
            json!({ "object": "invoice", "id": "in_1", "customer": "cus_1", "subscription": "sub_1", "metadata": { "tenant": "acme" } }),
            json!({ "object": "invoice", "id": "in_1", "customer": { "id": "cus_1" }, "parent": { "subscription_details": {
                "subscription": { "id": "sub_1" }, "metadata": { "tenant": "acme" } } } }),
            json!({ "object": "checkout.session", "id": "cs_1", "customer": "cus_1", "subscription": "sub_1", "metadata": { "tenant": "acme" } }),
        ] {
            let event = event(object.clone());
            let named = (event.customer.as_deref(), event.subscription.as_deref(), event.tenant.as_deref());
            assert_eq!(named, (Some("cus_1"), Some("sub_1"), Some("acme")), "{object}");
            assert_eq!(event.object_kind, object["object"].as_str().unwrap());
        }
        assert_eq!(event(json!({ "object": "customer", "id": "cus_1" })).customer.as_deref(), Some("cus_1"));
        assert_eq!(event(json!({ "object": "balance" })).object_id, None);
        assert_eq!(
            Event::read(
                &json!({ "id": "evt_1", "object": "v2.core.event", "type": "x", "created": "2026-11-01T00:00:00Z" })
            ),
            None
        );
    }
}
