//! A little Stripe in memory: customers, checkout sessions, subscriptions with a clock that is moved, invoices, events. It answers calls
//! with the JSON that Stripe would answer with, and refuses what Stripe refuses.
//!
//! The mock stands on it, and so does the stand-in of the tests, which puts HTTP, the key and signed deliveries around it. Left out of
//! the real one: the hour between an invoice's draft and its end, taxes, discounts, more than one item.
//!
//! Order, lowest first: `params`, `state`, `events`, `invoices`, `clock`, `checkout`, `changes`, `lists`.

mod changes;
mod checkout;
mod clock;
mod events;
mod invoices;
mod lists;
mod params;
mod state;

use serde_json::{Value, json};

pub use params::{Outcome, Params, Refused, refused};
pub use state::{AfterRetries, Card, Settings, Simulation};

use self::params::{impossible, missing};
use super::gateway::Method;
use state::Kept;

/// What is answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answered {
    /// The status code.
    pub status: u16,
    /// Stripe's JSON.
    pub body: Value,
    /// Whether it was stored for the idempotency key.
    pub replayed: bool,
}

impl Simulation {
    /// Carries out a call, once for an idempotency key.
    pub fn call(&mut self, method: Method, path: &str, params: &Params, key: Option<&str>) -> Answered {
        let key = key.filter(|_| method == Method::Post);
        let asked = format!("{} {path} {}", method.as_str(), params.said());
        if let Some(kept) = key.and_then(|key| self.kept.get(key)) {
            if kept.asked != asked {
                let message =
                    "Keys for idempotent requests can only be used with the same parameters they were first used with.";
                let refused = refused(400, "idempotency_error", None, None, message);
                return Answered { status: refused.status, body: refused.body, replayed: false };
            }
            return Answered { status: kept.status, body: kept.body.clone(), replayed: true };
        }
        self.request = match method {
            Method::Get => Value::Null,
            _ => json!({ "id": "req_standin", "idempotency_key": key }),
        };
        let outcome = self.carry_out(method, path, params).and_then(|object| self.expanded(object, params));
        let (mut status, mut body) = match outcome {
            Ok(object) => (200, object),
            Err(refused) => (refused.status, refused.body),
        };
        if method != Method::Get
            && status == 200
            && let Some(broken) = self.break_next.take()
        {
            let refused = refused(broken, "api_error", None, None, "An unknown error occurred");
            (status, body) = (refused.status, refused.body);
        }
        // What fails before it is begun is not kept.
        let was_begun = status == 200 || status == 402 || status >= 500;
        if let Some(key) = key.filter(|_| was_begun) {
            let kept = Kept { at_s: self.now_s, asked, status, body: body.clone() };
            self.kept.insert(key.to_owned(), kept);
        }
        Answered { status, body, replayed: false }
    }

    fn carry_out(&mut self, method: Method, path: &str, params: &Params) -> Outcome {
        let parts: Vec<&str> = path.split('/').collect();
        match (method, &parts[..]) {
            (Method::Get, _) => self.read(path, &parts, params),
            (Method::Post, ["customers"]) => self.create_customer(params),
            (Method::Post, ["customers", id]) => self.update_customer(id, params),
            (Method::Delete, ["customers", id]) => self.delete_customer(id),
            (Method::Post, ["checkout", "sessions"]) => self.create_session(params),
            (Method::Post, ["checkout", "sessions", id, "expire"]) => self.expire_session(id),
            (Method::Post, ["billing_portal", "sessions"]) => self.create_portal_session(params),
            (Method::Post, ["subscriptions", id]) => self.update_subscription(id, params),
            (Method::Delete, ["subscriptions", id]) => self.cancel_subscription(id, params),
            (Method::Post, ["subscriptions", id, "pause"]) => self.pause_subscription(id, params),
            (Method::Post, ["subscriptions", id, "resume"]) => self.resume_subscription(id, params),
            (Method::Post, ["invoices", "create_preview"]) => self.preview(params),
            (Method::Post, ["invoices", id, "pay"]) => {
                self.pay(id)?;
                self.named("invoice", "in_", id)
            }
            _ => Err(unrecognized(method, path)),
        }
    }

    fn read(&self, path: &str, parts: &[&str], params: &Params) -> Outcome {
        if let Some(listed) = self.list(path, params) {
            return listed;
        }
        params.only(&[])?;
        match parts {
            ["prices", id] if self.price(id).is_null() => Err(missing("price", id)),
            ["prices", id] => Ok(checkout::bare(self.price(id))),
            ["customers", id] => self.named("customer", "cus_", id),
            ["checkout", "sessions", id] => self.named("checkout.session", "cs_", id),
            ["subscriptions", id] => self.named("subscription", "sub_", id),
            ["invoices", id] => self.named("invoice", "in_", id),
            ["events", id] => self.named("event", "evt_", id),
            _ => Err(unrecognized(Method::Get, path)),
        }
    }

    /// With objects in the place of ids, where that was asked for.
    fn expanded(&self, mut object: Value, params: &Params) -> Outcome {
        for name in params.list("expand") {
            let id = object[name].as_str().unwrap_or_default().to_owned();
            let found = match (name, object["object"].as_str()) {
                ("product", Some("price")) => {
                    Some(self.price(object["id"].as_str().unwrap_or_default())["product"].clone())
                }
                ("subscription" | "customer" | "latest_invoice", _) => self.objects.get(&id).cloned(),
                _ => return Err(impossible(&format!("This property cannot be expanded ({name})."))),
            };
            if let Some(found) = found {
                object[name] = found;
            }
        }
        Ok(object)
    }
}

fn unrecognized(method: Method, path: &str) -> Refused {
    let message = format!("Unrecognized request URL ({}: /v1/{path}).", method.as_str());
    refused(404, "invalid_request_error", None, None, &message)
}
