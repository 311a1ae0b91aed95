//! Customers, and the pages where they subscribe and manage that.

use serde_json::{Value, json};

use super::{
    params::{Outcome, Params, Refused, declined, impossible, invalid, missing, refused},
    state::{Card, DAY_S, Simulation},
};

impl Simulation {
    pub(super) fn create_customer(&mut self, params: &Params) -> Outcome {
        params.only(&["email", "name", "metadata[*]", "phone", "description"])?;
        check_customer(params)?;
        let id = self.next_id("cus");
        let customer = json!({
            "id": id, "object": "customer", "created": self.now_s, "email": params.json("email"), "name": params.json("name"),
            "metadata": params.below("metadata"), "livemode": self.settings.livemode, "balance": 0, "delinquent": false,
        });
        self.tell("customer.created", &customer);
        Ok(self.keep(customer))
    }

    pub(super) fn update_customer(&mut self, id: &str, params: &Params) -> Outcome {
        params.only(&["email", "name", "metadata[*]", "phone", "description"])?;
        check_customer(params)?;
        let mut customer = self.customer(id)?;
        for name in ["email", "name"] {
            if params.has(name) {
                customer[name] = params.json(name);
            }
        }
        merge(&mut customer["metadata"], params);
        self.keep(customer.clone());
        self.tell("customer.updated", &customer);
        Ok(customer)
    }

    pub(super) fn delete_customer(&mut self, id: &str) -> Outcome {
        self.customer(id)?;
        let theirs: Vec<_> = self.all("sub_").filter(|subscription| subscription["customer"] == id).cloned().collect();
        for subscription in theirs.iter().filter(|subscription| subscription["status"] != "canceled") {
            self.end(subscription["id"].as_str().unwrap_or_default());
        }
        let deleted = json!({ "id": id, "object": "customer", "deleted": true });
        self.tell_of("customer.deleted", id);
        Ok(self.keep(deleted))
    }

    /// One that was not deleted.
    fn customer(&self, id: &str) -> Outcome {
        let customer = self.named("customer", "cus_", id)?;
        if customer["deleted"] == true { Err(missing("customer", id)) } else { Ok(customer) }
    }

    /// One that a parameter names.
    fn customer_of(&self, params: &Params) -> Result<Option<String>, Refused> {
        let Some(id) = params.get("customer") else { return Ok(None) };
        match self.customer(id) {
            Ok(_) => Ok(Some(id.to_owned())),
            Err(_) => Err(invalid("resource_missing", "customer", &format!("No such customer: '{id}'"))),
        }
    }

    /// A price that can be subscribed to.
    pub(super) fn offered(&self, id: &str, param: &str) -> Outcome {
        match self.price(id) {
            Value::Null => Err(invalid("resource_missing", param, &format!("No such price: '{id}'"))),
            price if price["active"] != true => {
                let message = "The price specified is inactive. This field only accepts active prices.";
                Err(refused(400, "invalid_request_error", None, Some(param), message))
            }
            price => Ok(price.clone()),
        }
    }

    pub(super) fn create_session(&mut self, params: &Params) -> Outcome {
        const WITHOUT_CARD: &str = "subscription_data[trial_settings][end_behavior][missing_payment_method]";
        params.only(&[
            "mode",
            "customer",
            "customer_email",
            "client_reference_id",
            "line_items[#][price]",
            "line_items[#][quantity]",
            "success_url",
            "cancel_url",
            "subscription_data[trial_period_days]",
            "subscription_data[trial_end]",
            "subscription_data[metadata][*]",
            WITHOUT_CARD,
            "metadata[*]",
            "expires_at",
            "payment_method_collection",
            "ui_mode",
            "locale",
            "allow_promotion_codes",
        ])?;
        if params.required("mode")? != "subscription" {
            return Err(invalid("parameter_invalid_enum", "mode", "This stand-in knows subscriptions only"));
        }
        params.word("ui_mode", &["hosted_page"])?;
        params.required("success_url")?;
        let price = params.required("line_items[0][price]")?.to_owned();
        params.required("line_items[0][quantity]")?;
        self.offered(&price, "line_items[0][price]")?;
        let customer = self.customer_of(params)?;
        if customer.is_some() && params.get("customer_email").is_some() {
            return Err(impossible("You may only specify one of these parameters: customer, customer_email."));
        }
        let trial_days = params.number("subscription_data[trial_period_days]")?;
        let trial_end = params.number("subscription_data[trial_end]")?;
        match (trial_days, trial_end) {
            (Some(_), Some(_)) => {
                return Err(impossible("You may only specify one of these parameters: trial_period_days, trial_end."));
            }
            (Some(days), None) if !(1..=730).contains(&days) => {
                let param = "subscription_data[trial_period_days]";
                return Err(invalid(
                    "parameter_invalid_integer",
                    param,
                    "The minimum number of trial period days is 1.",
                ));
            }
            (None, Some(end)) if end < self.now_s + 2 * DAY_S => {
                let message = "The trial_end date has to be at least 2 days in the future.";
                return Err(invalid("parameter_invalid_integer", "subscription_data[trial_end]", message));
            }
            _ => {}
        }
        let collection = params.word("payment_method_collection", &["always", "if_required"])?.unwrap_or("always");
        let without_card = params.word(WITHOUT_CARD, &["cancel", "pause", "create_invoice"])?;
        let expires_at = params.number("expires_at")?.unwrap_or(self.now_s + DAY_S);
        if !(self.now_s + 1_800..=self.now_s + DAY_S).contains(&expires_at) {
            let message = "The `expires_at` timestamp must be at least 30 minutes and at most 24 hours from Checkout Session creation.";
            return Err(invalid("parameter_invalid_integer", "expires_at", message));
        }
        let id = self.next_id("cs");
        let session = json!({
            "id": id, "object": "checkout.session", "mode": "subscription", "status": "open", "payment_status": "unpaid",
            "url": format!("{}/checkout/{id}", self.settings.pages), "customer": customer, "ui_mode": "hosted_page",
            "customer_email": params.json("customer_email"), "client_reference_id": params.json("client_reference_id"),
            "subscription": null, "metadata": params.below("metadata"), "created": self.now_s, "expires_at": expires_at,
            "livemode": self.settings.livemode, "success_url": params.json("success_url"), "cancel_url": params.json("cancel_url"),
            "payment_method_collection": collection, "locale": params.json("locale"),
        });
        // What Stripe keeps to itself until the session is complete.
        let begins = json!({
            "price": price, "trial_days": trial_days, "trial_end": trial_end, "without_card": without_card,
            "metadata": params.below("subscription_data[metadata]"),
        });
        self.keep(json!({ "id": format!("begins_{id}"), "begins": begins }));
        Ok(self.keep(session))
    }

    pub(super) fn expire_session(&mut self, id: &str) -> Outcome {
        let session = self.named("checkout.session", "cs_", id)?;
        if session["status"] != "open" {
            let message = format!(
                "Only Checkout Sessions with a status in [\"open\"] can be expired. This Checkout Session has a status of {}.",
                session["status"]
            );
            return Err(impossible(&message));
        }
        self.change(id, |session| {
            session["status"] = json!("expired");
            session["url"] = Value::Null;
        });
        self.tell_of("checkout.session.expired", id);
        self.named("checkout.session", "cs_", id)
    }

    /// The customer completes a checkout session at its page, with a card or, where none is needed, without: the id of the subscription.
    ///
    /// # Errors
    /// When it is not open, needs a card, or the card does not pay.
    pub fn complete(&mut self, session: &str, card: Card) -> Result<String, Refused> {
        self.request = Value::Null;
        let object = self.named("checkout.session", "cs_", session)?;
        if object["status"] != "open" {
            return Err(impossible("This Checkout Session is no longer open."));
        }
        let begins = self.objects.get(&format!("begins_{session}")).map_or(Value::Null, |kept| kept["begins"].clone());
        let days = begins["trial_days"].as_i64().map(|days| self.now_s + days * DAY_S);
        let trial_end = days.or_else(|| begins["trial_end"].as_i64());
        let needs_card = trial_end.is_none() || object["payment_method_collection"] == "always";
        match (card, trial_end) {
            (Card::None, _) if needs_card => return Err(impossible("A payment method is needed.")),
            // A card that is saved for later is only looked at.
            (Card::Declining, None) => return Err(declined("generic_decline")),
            (Card::Asking, None) => return Err(declined("authentication_required")),
            _ => {}
        }
        let customer = match object["customer"].as_str() {
            Some(customer) => customer.to_owned(),
            None => {
                let email = object["customer_email"].as_str().map(|email| ("email".to_owned(), email.to_owned()));
                let customer = self.create_customer(&Params::from(email))?;
                customer["id"].as_str().unwrap_or_default().to_owned()
            }
        };
        if card != Card::None {
            self.set_card(&customer, card);
        }
        let id = self.begin_subscription(&customer, &begins, trial_end);
        self.change(session, |session| {
            session["status"] = json!("complete");
            session["url"] = Value::Null;
            session["customer"] = json!(customer);
            session["subscription"] = json!(id);
            session["payment_status"] = json!(if trial_end.is_some() { "no_payment_required" } else { "paid" });
        });
        self.tell_of("checkout.session.completed", session);
        Ok(id)
    }

    fn begin_subscription(&mut self, customer: &str, begins: &Value, trial_end: Option<i64>) -> String {
        let (id, item) = (self.next_id("sub"), self.next_id("si"));
        let price = self.price(begins["price"].as_str().unwrap_or_default()).clone();
        let end = trial_end.unwrap_or(self.now_s);
        let without_card = begins["without_card"].as_str().unwrap_or("create_invoice");
        let item = json!({ "id": item, "object": "subscription_item", "price": bare(&price), "quantity": 1, "subscription": id,
            "created": self.now_s, "current_period_start": self.now_s, "current_period_end": end });
        let subscription = json!({
            "id": id, "object": "subscription", "customer": customer, "created": self.now_s, "start_date": self.now_s,
            "status": if trial_end.is_some() { "trialing" } else { "active" }, "currency": price["currency"],
            "items": { "object": "list", "data": [item], "has_more": false }, "billing_cycle_anchor": end,
            "trial_start": trial_end.map(|_| self.now_s), "trial_end": trial_end, "cancel_at": null, "cancel_at_period_end": false,
            "canceled_at": null, "ended_at": null, "latest_invoice": null, "metadata": begins["metadata"], "livemode": self.settings.livemode,
            "status_details": null, "trial_settings": { "end_behavior": { "missing_payment_method": without_card, "billing_cycle_anchor": null } },
            "collection_method": "charge_automatically",
        });
        self.keep(subscription);
        if let Some(end) = trial_end {
            self.tell_of("customer.subscription.created", &id);
            let line = json!({ "object": "line_item", "description": "Trial period", "amount": 0,
                "period": { "start": self.now_s, "end": end }, "parent": null });
            let invoice = self.make_invoice(&id, "subscription_create", vec![line]);
            self.charge(&invoice);
        } else {
            let now_s = self.now_s;
            let period = self.begin_period(&id, Some(now_s), now_s);
            self.tell_of("customer.subscription.created", &id);
            self.bill(&id, "subscription_create", period);
        }
        id
    }

    pub(super) fn create_portal_session(&mut self, params: &Params) -> Outcome {
        params.only(&["customer", "return_url", "configuration", "locale", "flow_data[type]"])?;
        params.required("customer")?;
        let customer = self.customer_of(params)?;
        let id = self.next_id("bps");
        let session = json!({
            "id": id, "object": "billing_portal.session", "created": self.now_s, "customer": customer, "livemode": self.settings.livemode,
            "url": format!("{}/portal/{id}", self.settings.pages), "return_url": params.json("return_url"), "locale": params.json("locale"),
        });
        Ok(self.keep(session))
    }
}

/// What Stripe says of an address that is none, and of a name that is too long.
fn check_customer(params: &Params) -> Result<(), Refused> {
    let email = params.get("email").unwrap_or_default();
    let parts = email.split_once('@');
    let is_address = parts.is_some_and(|(local, domain)| {
        let is_plain = !email.contains(char::is_whitespace) && !domain.contains('@');
        is_plain && !local.is_empty() && domain.split('.').all(|label| !label.is_empty()) && email.len() <= 512
    });
    if !email.is_empty() && !is_address {
        return Err(invalid("email_invalid", "email", &format!("Invalid email address: {email}")));
    }
    let most = 256;
    if params.get("name").is_some_and(|name| name.chars().count() > most) {
        let message = format!("Invalid string: name must be at most {most} characters");
        return Err(invalid("parameter_invalid_string_length", "name", &message));
    }
    Ok(())
}

/// Parameters below `metadata` come into what is there; empty ones are taken out.
pub(super) fn merge(metadata: &mut Value, params: &Params) {
    for (key, value) in params.below("metadata") {
        match value.as_str() {
            Some("") => {
                if let Some(metadata) = metadata.as_object_mut() {
                    metadata.remove(&key);
                }
            }
            _ => metadata[key.as_str()] = value,
        }
    }
}

/// A price as it stands in a subscription: its product is an id there.
pub(super) fn bare(price: &Value) -> Value {
    let mut price = price.clone();
    price["product"] = price["product"]["id"].clone();
    price
}
