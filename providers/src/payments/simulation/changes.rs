//! What is done to a subscription: another price, its end, a pause; and what that would cost.

use serde_json::{Value, json};

use super::{
    checkout::{bare, merge},
    invoices::number,
    params::{Outcome, Params, Refused, declined, impossible, invalid, missing},
    state::{Card, Simulation},
};

const PRORATIONS: [&str; 3] = ["create_prorations", "always_invoice", "none"];

/// A change of price that was asked for.
struct Change {
    price: String,
    proration: String,
    at_s: i64,
}

impl Simulation {
    pub(super) fn update_subscription(&mut self, id: &str, params: &Params) -> Outcome {
        params.only(&[
            "items[#][id]",
            "items[#][price]",
            "items[#][quantity]",
            "proration_behavior",
            "proration_date",
            "payment_behavior",
            "cancel_at_period_end",
            "cancel_at",
            "metadata[*]",
            "trial_end",
            "cancellation_details[*]",
        ])?;
        let before = self.living(id)?;
        params.word(
            "payment_behavior",
            &["allow_incomplete", "error_if_incomplete", "pending_if_incomplete", "default_incomplete"],
        )?;
        if params.get("payment_behavior").is_some() && params.get("cancel_at_period_end").is_some() {
            return Err(impossible("You may not change cancel_at_period_end together with payment_behavior."));
        }
        let ends = params.flag("cancel_at_period_end")?;
        if ends.is_some() && params.has("cancel_at") {
            return Err(impossible("You may only specify one of these parameters: cancel_at, cancel_at_period_end."));
        }
        if let Some(change) = self.change_of(&before, params, "")? {
            self.change_price(id, &before, &change, params.get("payment_behavior") == Some("error_if_incomplete"))?;
        }
        let now_s = self.now_s;
        self.change(id, |subscription| {
            merge(&mut subscription["metadata"], params);
            match ends {
                Some(true) => {
                    subscription["cancel_at_period_end"] = json!(true);
                    subscription["cancel_at"] = subscription["items"]["data"][0]["current_period_end"].clone();
                    subscription["canceled_at"] = json!(now_s);
                    subscription["cancellation_details"] = details(params);
                }
                // An end at a date is another matter.
                Some(false) if subscription["cancel_at_period_end"] == true => {
                    subscription["cancel_at_period_end"] = json!(false);
                    subscription["cancel_at"] = Value::Null;
                    subscription["canceled_at"] = Value::Null;
                    subscription["cancellation_details"] = Value::Null;
                }
                Some(false) | None => {}
            }
        });
        if params.has("cancel_at") {
            let at = params.number("cancel_at")?;
            self.change(id, |subscription| {
                subscription["cancel_at"] = json!(at);
                subscription["cancel_at_period_end"] = json!(false);
                subscription["canceled_at"] = json!(at.map(|_| now_s));
            });
        }
        match params.get("trial_end") {
            Some("now") => self.cut_trial(id)?,
            Some(_) => {
                let end = params.number("trial_end")?;
                self.change(id, |subscription| {
                    subscription["trial_end"] = json!(end);
                    subscription["items"]["data"][0]["current_period_end"] = json!(end);
                    subscription["status"] = json!("trialing");
                });
                self.told_trial_end.remove(id);
            }
            None => {}
        }
        if self.objects.get(id) != Some(&before) {
            self.tell_of("customer.subscription.updated", id);
        }
        self.named("subscription", "sub_", id)
    }

    /// One that has not ended; of one that has, Stripe says that there is none to change.
    fn living(&self, id: &str) -> Outcome {
        let subscription = self.named("subscription", "sub_", id)?;
        let has_ended = ["canceled", "incomplete_expired"].iter().any(|ended| subscription["status"] == *ended);
        if has_ended { Err(missing("subscription", id)) } else { Ok(subscription) }
    }

    /// A trial that is cut short is told of at once, perhaps after the payment.
    fn cut_trial(&mut self, id: &str) -> Result<(), Refused> {
        let now_s = self.now_s;
        if self.living(id)?["status"] != "trialing" {
            return Ok(());
        }
        self.change(id, |subscription| subscription["trial_end"] = json!(now_s));
        self.end_trial(id);
        if self.told_trial_end.insert(id.to_owned()) {
            self.tell_of("customer.subscription.trial_will_end", id);
        }
        Ok(())
    }

    fn change_of(&self, subscription: &Value, params: &Params, below: &str) -> Result<Option<Change>, Refused> {
        let name = |inner: &str| {
            if below.is_empty() {
                return inner.to_owned();
            }
            let (first, rest) =
                inner.split_once('[').map_or((inner, String::new()), |(first, rest)| (first, format!("[{rest}")));
            format!("{below}[{first}]{rest}")
        };
        let at_s = params.number(&name("proration_date"))?.unwrap_or(self.now_s);
        let proration =
            params.word(&name("proration_behavior"), &PRORATIONS)?.unwrap_or("create_prorations").to_owned();
        let Some(price) = params.get(&name("items[0][price]")) else { return Ok(None) };
        let param = name("items[0][id]");
        let item = &subscription["items"]["data"][0];
        match params.get(&param) {
            None => {
                return Err(impossible(
                    "This stand-in wants the item whose price is changed: a second item would be added",
                ));
            }
            Some(id) if item["id"] != id => {
                return Err(invalid("resource_missing", &param, &format!("No such subscription item: '{id}'")));
            }
            Some(_) => {}
        }
        let new = self.offered(price, &name("items[0][price]"))?;
        if new["currency"] != subscription["currency"] {
            return Err(impossible("The price specified only supports another currency than the subscription's."));
        }
        Ok(Some(Change { price: price.to_owned(), proration, at_s }))
    }

    fn change_price(&mut self, id: &str, before: &Value, change: &Change, must_pay: bool) -> Result<(), Refused> {
        let item = &before["items"]["data"][0];
        if item["price"]["id"] == change.price.as_str() {
            return Ok(());
        }
        let new = self.price(&change.price).clone();
        let is_trial = before["status"] == "trialing";
        let anew = !is_trial && new["recurring"]["interval"] != item["price"]["recurring"]["interval"];
        let lines = match change.proration.as_str() {
            "none" => Vec::new(),
            _ => self.prorations(before, &change.price, change.at_s),
        };
        let at_once = anew || (change.proration == "always_invoice" && !lines.is_empty());
        let total: i64 = lines.iter().map(|line| number(&line["amount"])).sum();
        let pays = self.card(before["customer"].as_str().unwrap_or_default()) == Card::Good;
        if at_once && must_pay && !pays && (total > 0 || anew) {
            return Err(declined("generic_decline"));
        }
        self.change(id, |subscription| subscription["items"]["data"][0]["price"] = bare(&new));
        if anew {
            let now_s = self.now_s;
            let credit = lines.into_iter().filter(|line| number(&line["amount"]) < 0).collect();
            self.pending.insert(id.to_owned(), credit);
            let period = self.begin_period(id, Some(now_s), now_s);
            self.bill(id, "subscription_update", period);
        } else if at_once {
            let invoice = self.make_invoice(id, "subscription_update", lines);
            self.charge(&invoice);
        } else if !lines.is_empty() {
            self.pending.entry(id.to_owned()).or_default().extend(lines);
        }
        Ok(())
    }

    pub(super) fn cancel_subscription(&mut self, id: &str, params: &Params) -> Outcome {
        params.only(&["invoice_now", "prorate", "cancellation_details[*]"])?;
        self.living(id)?;
        self.change(id, |subscription| subscription["cancellation_details"] = details(params));
        self.end(id);
        self.named("subscription", "sub_", id)
    }

    pub(super) fn pause_subscription(&mut self, id: &str, params: &Params) -> Outcome {
        params.only(&["bill_for[outstanding_usage_through]", "type"])?;
        if self.living(id)?["status"] == "paused" {
            return Err(impossible("This subscription is already paused."));
        }
        self.pause(id, "pause_requested");
        self.named("subscription", "sub_", id)
    }

    pub(super) fn resume_subscription(&mut self, id: &str, params: &Params) -> Outcome {
        params.only(&["billing_cycle_anchor", "proration_behavior", "proration_date"])?;
        if self.living(id)?["status"] != "paused" {
            return Err(impossible("Only paused subscriptions can be resumed."));
        }
        let now_s = self.now_s;
        let period = self.begin_period(id, Some(now_s), now_s);
        self.change(id, |subscription| {
            subscription["status"] = json!("active");
            subscription["status_details"] = Value::Null;
        });
        if !self.bill(id, "subscription_cycle", period) {
            self.pause(id, "final_payment_failure");
            return self.named("subscription", "sub_", id);
        }
        self.tell_of("customer.subscription.resumed", id);
        self.named("subscription", "sub_", id)
    }

    pub(super) fn preview(&self, params: &Params) -> Outcome {
        params.only(&[
            "customer",
            "subscription",
            "preview_mode",
            "subscription_details[items][#][id]",
            "subscription_details[items][#][price]",
            "subscription_details[items][#][quantity]",
            "subscription_details[proration_behavior]",
            "subscription_details[proration_date]",
        ])?;
        let id = params.required("subscription")?;
        let missing = || invalid("resource_missing", "subscription", &format!("No such subscription: '{id}'"));
        let subscription = self.living(id).map_err(|_| missing())?;
        let item = &subscription["items"]["data"][0];
        let change = self.change_of(&subscription, params, "subscription_details")?;
        let price =
            change.as_ref().map_or_else(|| item["price"]["id"].as_str().unwrap_or_default(), |change| &change.price);
        let mut lines = match &change {
            Some(change) if change.proration != "none" => self.prorations(&subscription, price, change.at_s),
            _ => Vec::new(),
        };
        let at_once = change.as_ref().is_some_and(|change| change.proration == "always_invoice");
        if !at_once || lines.is_empty() {
            let start = number(&item["current_period_end"]);
            let anchor = number(&subscription["billing_cycle_anchor"]);
            let end = super::invoices::period_end(self.price(price), anchor, start);
            lines.extend(self.pending.get(id).cloned().unwrap_or_default());
            lines.push(self.period_line(price, (start, end)));
        }
        let total: i64 = lines.iter().map(|line| number(&line["amount"])).sum();
        Ok(json!({
            "id": format!("upcoming_in_{id}"), "object": "invoice", "status": "draft", "customer": subscription["customer"],
            "currency": subscription["currency"], "total": total, "subtotal": total, "amount_due": total.max(0), "amount_paid": 0,
            "amount_remaining": total.max(0), "created": self.now_s, "livemode": self.settings.livemode,
            "lines": { "object": "list", "data": lines, "has_more": false },
            "parent": { "type": "subscription_details", "subscription_details": { "subscription": id, "metadata": subscription["metadata"] } },
        }))
    }
}

/// Why it ends: what the customer says.
fn details(params: &Params) -> Value {
    let mut details = Value::Object(params.below("cancellation_details"));
    details["reason"] = json!("cancellation_requested");
    details
}
