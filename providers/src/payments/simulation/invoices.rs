//! Invoices: made, paid or not; what a change of price costs.

use chrono::{DateTime, Days, Months};
use serde_json::{Value, json};

use super::{
    params::{Refused, declined},
    state::{AfterRetries, Card, DAY_S, Simulation},
};

/// The end of the period that holds `after_s`, of periods that began at `anchor_s`.
pub(super) fn period_end(price: &Value, anchor_s: i64, after_s: i64) -> i64 {
    let Some(anchor) = DateTime::from_timestamp(anchor_s, 0) else { return after_s + 30 * DAY_S };
    let count = price["recurring"]["interval_count"].as_u64().unwrap_or(1);
    let interval = price["recurring"]["interval"].as_str();
    let nth = |n: u64| {
        let n = n * count;
        let months = |months: u64| anchor.checked_add_months(Months::new(u32::try_from(months).ok()?));
        match interval {
            Some("day") => anchor.checked_add_days(Days::new(n)),
            Some("week") => anchor.checked_add_days(Days::new(7 * n)),
            Some("year") => months(12 * n),
            // From the anchor each time, so that the 31st comes back after February.
            _ => months(n),
        }
    };
    let ends = (1..100_000).map_while(nth).map(|end| end.timestamp());
    ends.into_iter().find(|end| *end > after_s).unwrap_or(i64::MAX)
}

fn line(description: &str, amount: i64, is_proration: bool, period: (i64, i64)) -> Value {
    json!({
        "object": "line_item", "description": description, "amount": amount, "period": { "start": period.0, "end": period.1 },
        "parent": { "type": "subscription_item_details", "subscription_item_details": { "proration": is_proration } },
    })
}

impl Simulation {
    /// What a whole period costs.
    pub(super) fn period_line(&self, price: &str, period: (i64, i64)) -> Value {
        let price = self.price(price);
        let name = price["product"]["name"].as_str().unwrap_or("Plan");
        line(&format!("1 × {name}"), price["unit_amount"].as_i64().unwrap_or(0), false, period)
    }

    /// What the rest of a subscription's period costs at another price: what is given back, and what is asked for.
    pub(super) fn prorations(&self, subscription: &Value, price: &str, at_s: i64) -> Vec<Value> {
        if subscription["status"] == "trialing" {
            return Vec::new();
        }
        let item = &subscription["items"]["data"][0];
        let (start, end) = (number(&item["current_period_start"]), number(&item["current_period_end"]));
        let part = |units: i64| {
            let (left, whole) = (i128::from(end - at_s).max(0), i128::from(end - start).max(1));
            i64::try_from((i128::from(units) * left + whole / 2) / whole).unwrap_or(0)
        };
        let of = |price: &Value, sign: i64, words: &str| {
            let name = price["product"]["name"].as_str().unwrap_or("Plan");
            line(&format!("{words} on {name}"), sign * part(number(&price["unit_amount"])), true, (at_s, end))
        };
        let old = self.price(item["price"]["id"].as_str().unwrap_or_default());
        vec![of(old, -1, "Unused time"), of(self.price(price), 1, "Remaining time")]
    }

    /// Makes an invoice of a subscription, which is then to be paid. Stripe leaves it a draft for an hour; here that hour is left out.
    pub(super) fn make_invoice(&mut self, subscription: &str, reason: &str, mut lines: Vec<Value>) -> String {
        lines.extend(self.pending.remove(subscription).unwrap_or_default());
        let Some(owner) = self.objects.get(subscription).cloned() else { return String::new() };
        let id = self.next_id("in");
        let customer = owner["customer"].as_str().unwrap_or_default().to_owned();
        let total: i64 = lines.iter().map(|line| number(&line["amount"])).sum();
        // Below zero the customer has something in hand.
        let balance = self.objects.get(&customer).map_or(0, |customer| number(&customer["balance"]));
        let due = (total + balance).max(0);
        let left = if total + balance < 0 { total + balance } else { 0 };
        self.change(&customer, |customer| customer["balance"] = json!(left));
        let period = lines.first().map_or(Value::Null, |line| line["period"].clone());
        let page = format!("{}/invoice/{id}", self.settings.pages);
        let invoice = json!({
            "id": id, "object": "invoice", "customer": customer, "created": self.now_s, "livemode": self.settings.livemode,
            "status": "open", "currency": owner["currency"], "total": total, "subtotal": total, "amount_due": due, "amount_paid": 0,
            "amount_remaining": due, "attempted": false, "attempt_count": 0, "next_payment_attempt": null, "auto_advance": true,
            "billing_reason": reason, "number": format!("STANDIN-{}", &id[id.len() - 4..]), "starting_balance": balance, "ending_balance": left,
            "hosted_invoice_url": page, "invoice_pdf": format!("{page}/pdf"),
            "period_start": period["start"], "period_end": period["end"], "metadata": {},
            "lines": { "object": "list", "data": lines, "has_more": false },
            "parent": { "type": "subscription_details", "quote_details": null,
                "subscription_details": { "subscription": subscription, "metadata": owner["metadata"] } },
        });
        let mut draft = invoice.clone();
        draft["status"] = json!("draft");
        draft["hosted_invoice_url"] = Value::Null;
        draft["invoice_pdf"] = Value::Null;
        self.keep(invoice);
        self.change(subscription, |owner| owner["latest_invoice"] = json!(id));
        self.tell("invoice.created", &draft);
        self.tell_of("invoice.finalized", &id);
        id
    }

    /// Tries to get an invoice's money with the customer's card; whether that worked.
    pub(super) fn charge(&mut self, invoice: &str) -> bool {
        let Some(object) = self.objects.get(invoice).cloned() else { return false };
        let card = self.card(object["customer"].as_str().unwrap_or_default());
        if number(&object["amount_due"]) == 0 || card == Card::Good {
            self.settle(invoice);
            return true;
        }
        let tries = number(&object["attempt_count"]) + 1;
        let wait = usize::try_from(tries - 1).ok().and_then(|n| self.settings.retry_days.get(n));
        let next = wait.map(|days| self.now_s + days * DAY_S);
        self.change(invoice, |invoice| {
            invoice["attempted"] = json!(true);
            invoice["attempt_count"] = json!(tries);
            invoice["next_payment_attempt"] = json!(next);
        });
        self.tell_of("invoice.payment_failed", invoice);
        if card == Card::Asking {
            self.tell_of("invoice.payment_action_required", invoice);
        }
        let subscription = subscription_of(&object);
        let status = self.objects.get(&subscription).map_or(Value::Null, |subscription| subscription["status"].clone());
        let alive = ["active", "trialing", "past_due"].iter().any(|alive| status == *alive);
        match (next, self.settings.after_retries) {
            _ if !alive => {}
            (None, AfterRetries::Cancel) => self.end(&subscription),
            (None, AfterRetries::Unpaid) => self.set_status(&subscription, "unpaid"),
            _ if status != "past_due" => self.set_status(&subscription, "past_due"),
            _ => {}
        }
        false
    }

    /// An invoice is paid.
    pub(super) fn settle(&mut self, invoice: &str) {
        let now_s = self.now_s;
        let Some(object) = self.change(invoice, |invoice| {
            invoice["status"] = json!("paid");
            invoice["amount_paid"] = invoice["amount_due"].clone();
            invoice["amount_remaining"] = json!(0);
            invoice["attempted"] = json!(true);
            invoice["attempt_count"] = json!(number(&invoice["attempt_count"]) + 1);
            invoice["next_payment_attempt"] = Value::Null;
            invoice["status_transitions"] = json!({ "paid_at": now_s });
        }) else {
            return;
        };
        self.tell("invoice.paid", &object);
        let subscription = subscription_of(&object);
        let Some(owner) = self.objects.get(&subscription) else { return };
        let is_latest = owner["latest_invoice"] == object["id"];
        if is_latest && ["past_due", "unpaid", "incomplete"].iter().any(|status| owner["status"] == *status) {
            self.set_status(&subscription, "active");
        }
    }

    /// The customer pays an open invoice at its page.
    ///
    /// # Errors
    /// When it is not open, or the card does not work.
    pub fn pay(&mut self, invoice: &str) -> Result<(), Refused> {
        let object = self.named("invoice", "in_", invoice)?;
        if object["status"] != "open" {
            return Err(super::params::impossible("Invoice is already paid"));
        }
        match self.card(object["customer"].as_str().unwrap_or_default()) {
            Card::Good => {
                self.settle(invoice);
                Ok(())
            }
            Card::Asking => Err(declined("authentication_required")),
            Card::None | Card::Declining => Err(declined("generic_decline")),
        }
    }

    pub(super) fn set_status(&mut self, subscription: &str, status: &str) {
        self.change(subscription, |subscription| {
            subscription["status"] = json!(status);
            if status != "paused" {
                subscription["status_details"] = Value::Null;
            }
        });
        self.tell_of("customer.subscription.updated", subscription);
    }

    /// A subscription ends now.
    pub(super) fn end(&mut self, subscription: &str) {
        let now_s = self.now_s;
        self.change(subscription, |subscription| {
            subscription["status"] = json!("canceled");
            subscription["ended_at"] = json!(now_s);
            if subscription["canceled_at"].is_null() {
                subscription["canceled_at"] = json!(now_s);
            }
        });
        let open: Vec<_> =
            self.all("in_").filter(|invoice| subscription_of(invoice) == subscription).cloned().collect();
        for invoice in open.iter().filter(|invoice| invoice["status"] == "open") {
            self.change(invoice["id"].as_str().unwrap_or_default(), |invoice| {
                invoice["next_payment_attempt"] = Value::Null;
                invoice["auto_advance"] = json!(false);
            });
        }
        self.tell_of("customer.subscription.deleted", subscription);
    }
}

pub(super) fn number(value: &Value) -> i64 {
    value.as_i64().unwrap_or(0)
}

pub(super) fn subscription_of(invoice: &Value) -> String {
    invoice["parent"]["subscription_details"]["subscription"].as_str().unwrap_or_default().to_owned()
}
