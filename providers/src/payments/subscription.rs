//! A subscription, a customer and a price, as Stripe has them.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{
    money::Money,
    read::{flag, id, tenant, text, time},
    words::{PauseReason, Status},
};

/// A subscription. Ours have one item.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Subscription {
    /// `sub_…`
    pub id: String,
    /// `cus_…`
    pub customer: String,
    /// `metadata[tenant]`
    pub tenant: Option<String>,
    /// Its state.
    pub status: Status,
    /// Why it is paused, if it is.
    pub paused: Option<PauseReason>,
    /// `si_…` of the first item, which a change of price names.
    pub item: Option<String>,
    /// `price_…` of it.
    pub price: Option<String>,
    /// `prod_…` of it.
    pub product: Option<String>,
    /// When it was made.
    pub created: Option<DateTime<Utc>>,
    /// Of the trial, if it has or had one.
    pub trial_start: Option<DateTime<Utc>>,
    /// Of the trial.
    pub trial_end: Option<DateTime<Utc>>,
    /// The earliest of its items': since 2025-03-31.basil the subscription itself has none.
    pub current_period_start: Option<DateTime<Utc>>,
    /// The same.
    pub current_period_end: Option<DateTime<Utc>>,
    /// When it is to end, if that is known.
    pub cancel_at: Option<DateTime<Utc>>,
    /// Whether that is the end of the period.
    pub cancel_at_period_end: bool,
    /// When somebody asked for its end.
    pub canceled_at: Option<DateTime<Utc>>,
    /// When it ended.
    pub ended_at: Option<DateTime<Utc>>,
    /// `in_…`
    pub latest_invoice: Option<String>,
    /// Whether it is about real money.
    pub livemode: bool,
}

impl Subscription {
    /// Reads Stripe's JSON, also that of events of older versions; `None` when it is no subscription.
    #[must_use]
    pub fn read(object: &Value) -> Option<Self> {
        let items = object["items"]["data"].as_array().map_or(&[][..], Vec::as_slice);
        let first = items.first().unwrap_or(&Value::Null);
        // Of versions before basil.
        let period =
            |name: &str| items.iter().filter_map(|item| time(&item[name])).min().or_else(|| time(&object[name]));
        let status = Status::named(object["status"].as_str()?);
        // What Stripe keeps there of an earlier pause says nothing of now.
        let paused = text(&object["status_details"]["paused"]["subscription"]["type"])
            .filter(|_| status == Status::Paused)
            .map(|reason| PauseReason::named(&reason));
        Some(Self {
            id: text(&object["id"])?,
            customer: id(&object["customer"])?,
            tenant: tenant(object),
            status,
            paused,
            item: text(&first["id"]),
            price: id(&first["price"]),
            product: id(&first["price"]["product"]),
            created: time(&object["created"]),
            trial_start: time(&object["trial_start"]),
            trial_end: time(&object["trial_end"]),
            current_period_start: period("current_period_start"),
            current_period_end: period("current_period_end"),
            cancel_at: time(&object["cancel_at"]),
            cancel_at_period_end: flag(&object["cancel_at_period_end"]),
            canceled_at: time(&object["canceled_at"]),
            ended_at: time(&object["ended_at"]),
            latest_invoice: id(&object["latest_invoice"]),
            livemode: flag(&object["livemode"]),
        })
    }
}

/// A customer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Customer {
    /// `cus_…`
    pub id: String,
    /// `metadata[tenant]`
    pub tenant: Option<String>,
    /// Where Stripe writes to.
    pub email: Option<String>,
    /// As given.
    pub name: Option<String>,
    /// When it was made.
    pub created: Option<DateTime<Utc>>,
    /// Whether it is about real money.
    pub livemode: bool,
}

impl Customer {
    /// Reads Stripe's JSON; `None` when it is no customer, or one that was deleted.
    #[must_use]
    pub fn read(object: &Value) -> Option<Self> {
        if flag(&object["deleted"]) {
            return None;
        }
        Some(Self {
            id: text(&object["id"])?,
            tenant: tenant(object),
            email: text(&object["email"]),
            name: text(&object["name"]),
            created: time(&object["created"]),
            livemode: flag(&object["livemode"]),
        })
    }
}

/// A price.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Price {
    /// `price_…`
    pub id: String,
    /// Whether it can be subscribed to.
    pub active: bool,
    /// What one costs in an interval; `None` where it depends on how many.
    pub unit_amount: Option<Money>,
    /// Three capital letters.
    pub currency: String,
    /// `month`, `year`, …; `None` of a price that is paid once.
    pub interval: Option<String>,
    /// So many of them.
    pub interval_count: u32,
    /// The product's name.
    pub product_name: Option<String>,
    /// Whether it is about real money.
    pub livemode: bool,
}

impl Price {
    /// Reads Stripe's JSON; `None` when it is no price.
    #[must_use]
    pub fn read(object: &Value) -> Option<Self> {
        let currency = text(&object["currency"])?;
        let recurring = &object["recurring"];
        let count = recurring["interval_count"].as_u64().and_then(|count| count.try_into().ok());
        Some(Self {
            id: text(&object["id"])?,
            active: flag(&object["active"]),
            unit_amount: object["unit_amount"].as_i64().map(|units| Money::of_units(units, &currency)),
            currency: currency.to_ascii_uppercase(),
            interval: text(&recurring["interval"]),
            interval_count: count.unwrap_or(1),
            product_name: text(&object["product"]["name"]),
            livemode: flag(&object["livemode"]),
        })
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_subscription_is_read_with_the_period_of_its_items_and_of_older_versions() {
        let item = json!({ "id": "si_1", "price": { "id": "price_pro", "product": "prod_1" }, "current_period_start": 100, "current_period_end": 300 });
        let new = json!({
            "id": "sub_1", "customer": { "id": "cus_1" }, "status": "paused", "metadata": { "tenant": "acme" }, "created": 50,
            "items": { "data": [item, { "id": "si_2", "current_period_end": 200 }] }, "trial_end": 100, "latest_invoice": { "id": "in_1" },
            "status_details": { "paused": { "type": "subscription", "subscription": { "type": "pause_requested" } } }, "livemode": true,
        });
        let read = Subscription::read(&new).unwrap();
        assert_eq!(
            (read.customer.as_str(), read.tenant.as_deref(), read.item.as_deref()),
            ("cus_1", Some("acme"), Some("si_1"))
        );
        assert_eq!((read.price.as_deref(), read.product.as_deref()), (Some("price_pro"), Some("prod_1")));
        assert_eq!((&read.status, &read.paused), (&Status::Paused, &Some(PauseReason::Requested)));
        assert_eq!(read.current_period_end, DateTime::from_timestamp(200, 0));
        assert_eq!((read.latest_invoice.as_deref(), read.livemode), (Some("in_1"), true));
        let old = json!({ "id": "sub_1", "customer": "cus_1", "status": "frozen", "current_period_end": 400, "latest_invoice": "in_2",
            "items": { "data": [{ "id": "si_1", "price": { "id": "price_pro" } }] }, "cancel_at_period_end": true });
        let read = Subscription::read(&old).unwrap();
        assert_eq!(read.current_period_end, DateTime::from_timestamp(400, 0));
        assert_eq!(read.status, Status::Unknown("frozen".to_owned()));
        assert!(read.cancel_at_period_end && read.paused.is_none() && read.tenant.is_none());
        let again =
            json!({ "id": "sub_1", "customer": "cus_1", "status": "active", "status_details": new["status_details"] });
        assert_eq!(Subscription::read(&again).unwrap().paused, None, "it was paused once");
        assert_eq!(Subscription::read(&json!({ "id": "in_1", "status": "paid" })), None);
    }

    #[test]
    fn a_price_is_money_and_a_deleted_customer_is_none() {
        let price = json!({ "id": "price_1", "active": true, "currency": "jpy", "unit_amount": 2900, "livemode": false,
            "recurring": { "interval": "month", "interval_count": 3 }, "product": { "id": "prod_1", "name": "Pro" } });
        let price = Price::read(&price).unwrap();
        assert_eq!(price.unit_amount.unwrap().amount.to_string(), "2900");
        assert_eq!(
            (price.interval.as_deref(), price.interval_count, price.product_name.as_deref()),
            (Some("month"), 3, Some("Pro"))
        );
        let tiered =
            json!({ "id": "price_2", "active": false, "currency": "eur", "unit_amount": null, "product": "prod_1" });
        let tiered = Price::read(&tiered).unwrap();
        assert!(tiered.unit_amount.is_none() && tiered.product_name.is_none() && !tiered.active);
        assert_eq!(Customer::read(&json!({ "id": "cus_1", "deleted": true })), None);
        assert_eq!(Customer::read(&json!({ "id": "cus_1", "email": "" })).unwrap().email, None);
    }
}
