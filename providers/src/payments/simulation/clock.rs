//! What happens by itself as time goes by.

use serde_json::{Value, json};

use super::{
    invoices::{number, period_end, subscription_of},
    state::{Card, DAY_S, Simulation},
};

/// So long before its end Stripe tells of a trial.
const TOLD_BEFORE_S: i64 = 3 * DAY_S;

/// What is due at a time.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Due {
    TellTrialEnd(String),
    TrialEnd(String),
    CancelAt(String),
    Renewal(String),
    Retry(String),
    SessionEnd(String),
}

impl Simulation {
    /// Moves the clock to a time, and does all that is due until then, in its order.
    pub fn advance_to(&mut self, to_s: i64) {
        self.request = Value::Null;
        while let Some((at_s, due)) = self.next_due().filter(|(at_s, _)| *at_s <= to_s) {
            self.now_s = self.now_s.max(at_s);
            self.happen(&due);
        }
        self.now_s = self.now_s.max(to_s);
        let oldest = self.now_s - DAY_S;
        self.kept.retain(|_, kept| kept.at_s >= oldest);
    }

    /// Moves the clock on by so many days.
    pub fn advance_days(&mut self, days: i64) {
        self.advance_to(self.now_s + days * DAY_S);
    }

    fn next_due(&self) -> Option<(i64, Due)> {
        let subscriptions = self.all("sub_").flat_map(|subscription| self.due_of(subscription));
        let invoices = self
            .all("in_")
            .filter(|invoice| invoice["status"] == "open")
            .filter_map(|invoice| Some((invoice["next_payment_attempt"].as_i64()?, Due::Retry(id(invoice)))));
        let sessions = self.all("cs_").filter(|session| session["status"] == "open");
        let sessions =
            sessions.filter_map(|session| Some((session["expires_at"].as_i64()?, Due::SessionEnd(id(session)))));
        subscriptions.chain(invoices).chain(sessions).min()
    }

    fn due_of(&self, subscription: &Value) -> Vec<(i64, Due)> {
        let (id, mut due) = (id(subscription), Vec::new());
        let status = subscription["status"].as_str().unwrap_or_default();
        if !matches!(status, "trialing" | "active" | "past_due" | "unpaid") {
            return due;
        }
        if let Some(at_s) = subscription["cancel_at"].as_i64() {
            due.push((at_s, Due::CancelAt(id.clone())));
        }
        if status == "trialing" {
            let end = number(&subscription["trial_end"]);
            if !self.told_trial_end.contains(&id) {
                due.push((end - TOLD_BEFORE_S, Due::TellTrialEnd(id.clone())));
            }
            due.push((end, Due::TrialEnd(id)));
        } else {
            due.push((number(&subscription["items"]["data"][0]["current_period_end"]), Due::Renewal(id)));
        }
        due
    }

    fn happen(&mut self, due: &Due) {
        match due {
            Due::TellTrialEnd(id) => {
                self.told_trial_end.insert(id.clone());
                self.tell_of("customer.subscription.trial_will_end", id);
            }
            Due::TrialEnd(id) => self.end_trial(id),
            Due::CancelAt(id) => self.end(id),
            Due::Renewal(id) => self.renew(id),
            Due::Retry(invoice) => {
                self.charge(invoice);
            }
            Due::SessionEnd(id) => {
                self.change(id, |session| {
                    session["status"] = json!("expired");
                    session["url"] = Value::Null;
                });
                self.tell_of("checkout.session.expired", id);
            }
        }
    }

    /// Begins a period now: of the old anchor, or of a new one.
    pub(super) fn begin_period(&mut self, subscription: &str, anchor: Option<i64>, start_s: i64) -> (i64, i64) {
        let Some(owner) = self.objects.get(subscription) else { return (start_s, start_s) };
        let price = owner["items"]["data"][0]["price"]["id"].as_str().unwrap_or_default();
        let anchor = anchor.unwrap_or_else(|| number(&owner["billing_cycle_anchor"]));
        let end = period_end(self.price(price), anchor, start_s);
        self.change(subscription, |subscription| {
            subscription["billing_cycle_anchor"] = json!(anchor);
            let item = &mut subscription["items"]["data"][0];
            item["current_period_start"] = json!(start_s);
            item["current_period_end"] = json!(end);
        });
        (start_s, end)
    }

    /// A trial is over: with a card, or with what was chosen for none.
    pub(super) fn end_trial(&mut self, id: &str) {
        let Some(subscription) = self.objects.get(id).cloned() else { return };
        let without_card = self.card(subscription["customer"].as_str().unwrap_or_default()) == Card::None;
        let chosen = subscription["trial_settings"]["end_behavior"]["missing_payment_method"].as_str();
        match chosen.filter(|_| without_card) {
            Some("cancel") => self.end(id),
            Some("pause") => self.pause(id, "trial_end_without_payment_method"),
            _ => {
                self.change(id, |subscription| subscription["status"] = json!("active"));
                let now_s = self.now_s;
                let period = self.begin_period(id, Some(now_s), now_s);
                self.tell_of("customer.subscription.updated", id);
                self.bill(id, "subscription_cycle", period);
            }
        }
    }

    fn renew(&mut self, id: &str) {
        let Some(subscription) = self.objects.get(id) else { return };
        let start = number(&subscription["items"]["data"][0]["current_period_end"]);
        let is_unpaid = subscription["status"] == "unpaid";
        let period = self.begin_period(id, None, start);
        self.tell_of("customer.subscription.updated", id);
        if is_unpaid {
            // Stripe goes on making invoices, and leaves them drafts.
            return;
        }
        self.bill(id, "subscription_cycle", period);
    }

    /// An invoice of a period, and the first try to have it paid.
    pub(super) fn bill(&mut self, id: &str, reason: &str, period: (i64, i64)) -> bool {
        let price =
            self.objects.get(id).and_then(|subscription| subscription["items"]["data"][0]["price"]["id"].as_str());
        let price = price.unwrap_or_default().to_owned();
        let line = self.period_line(&price, period);
        let invoice = self.make_invoice(id, reason, vec![line]);
        self.charge(&invoice)
    }

    pub(super) fn pause(&mut self, id: &str, why: &str) {
        let now_s = self.now_s;
        self.change(id, |subscription| {
            subscription["status"] = json!("paused");
            let paused = json!({ "type": "subscription", "transitioned_at": now_s, "subscription": { "type": why } });
            subscription["status_details"] = json!({ "paused": paused });
        });
        self.tell_of("customer.subscription.paused", id);
    }

    /// Open invoices of a subscription, oldest first.
    #[must_use]
    pub fn open_invoices(&self, subscription: &str) -> Vec<String> {
        let open =
            self.all("in_").filter(|invoice| invoice["status"] == "open" && subscription_of(invoice) == subscription);
        open.map(id).collect()
    }
}

fn id(object: &Value) -> String {
    object["id"].as_str().unwrap_or_default().to_owned()
}
