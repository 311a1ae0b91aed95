//! What is told: an event for each change, as the version of the webhook's end point has its object.

use serde_json::{Value, json};

use super::state::Simulation;

/// The first version whose subscriptions have no period of their own, and whose invoices name theirs below `parent`.
const BASIL: &str = "2025-03-31";

impl Simulation {
    /// Tells that an object, as it is now, was changed.
    pub(super) fn tell(&mut self, kind: &str, object: &Value) {
        let id = self.next_id("evt");
        let event = json!({
            "id": id, "object": "event", "type": kind, "api_version": self.settings.api_version, "created": self.now_s,
            "livemode": self.settings.livemode, "pending_webhooks": 1, "request": self.request,
            "data": { "object": as_of(&self.settings.api_version, object.clone()) },
        });
        self.keep(event);
    }

    /// Tells of an object by its id.
    pub(super) fn tell_of(&mut self, kind: &str, id: &str) {
        if let Some(object) = self.objects.get(id).cloned() {
            self.tell(kind, &object);
        }
    }
}

/// An object as an older version of the API had it.
fn as_of(version: &str, mut object: Value) -> Value {
    if version >= BASIL {
        return object;
    }
    match object["object"].as_str() {
        Some("subscription") => {
            for name in ["current_period_start", "current_period_end"] {
                object[name] = object["items"]["data"][0][name].clone();
                if let Some(item) = object["items"]["data"][0].as_object_mut() {
                    item.remove(name);
                }
            }
        }
        Some("invoice") => {
            let details = object["parent"]["subscription_details"].clone();
            object["subscription"] = details["subscription"].clone();
            object["subscription_details"] = json!({ "metadata": details["metadata"] });
            if let Some(fields) = object.as_object_mut() {
                fields.remove("parent");
            }
        }
        _ => {}
    }
    object
}
