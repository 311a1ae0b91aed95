//! Lists, newest first, in pages.

use serde_json::{Value, json};

use super::{
    params::{Outcome, Params, Refused, invalid, refused},
    state::Simulation,
};

/// Objects on a page that nobody asked another size of.
const USUAL: i64 = 10;
const MOST: i64 = 100;
const MOST_KINDS: usize = 20;
const EVENTS_KEPT_S: i64 = 30 * super::state::DAY_S;

impl Simulation {
    pub(super) fn list(&self, path: &str, params: &Params) -> Option<Outcome> {
        let listed = match path {
            "customers" => self.listed("cus_", path, params, &["email"]),
            "customers/search" => self.search(params),
            "checkout/sessions" => self.listed("cs_", path, params, &["customer", "status", "subscription"]),
            "subscriptions" => self.listed("sub_", path, params, &["customer", "status", "price"]),
            "invoices" => self.listed("in_", path, params, &["customer", "status", "subscription"]),
            "events" => self.events(params),
            _ => return None,
        };
        Some(listed)
    }

    fn listed(&self, prefix: &str, path: &str, params: &Params, filters: &[&str]) -> Outcome {
        params.only(&[filters, &["limit", "starting_after", "ending_before"]].concat())?;
        // Those that were deleted are known.
        if let Some(customer) = params.get("customer").filter(|customer| !self.objects.contains_key(*customer)) {
            return Err(invalid("resource_missing", "customer", &format!("No such customer: '{customer}'")));
        }
        let fits = |object: &&Value| {
            let is = |name: &str| match (name, params.get(name)) {
                // Stripe leaves the ended ones out unless it is told otherwise.
                ("status", None) if prefix == "sub_" => object["status"] != "canceled",
                (_, None) | ("status", Some("all")) => true,
                ("price", Some(price)) => object["items"]["data"][0]["price"]["id"] == price,
                ("subscription", Some(id)) if prefix == "in_" => super::invoices::subscription_of(object) == id,
                (name, Some(value)) => object[name] == value,
            };
            object["deleted"] != true && filters.iter().all(|name| is(name))
        };
        self.page(path, self.all(prefix).filter(fits), params)
    }

    fn search(&self, params: &Params) -> Outcome {
        params.only(&["query", "limit", "page"])?;
        let query = params.required("query")?;
        let wanted = query.strip_prefix("metadata['").and_then(|rest| rest.split_once("']:'"));
        let wanted = wanted.and_then(|(key, value)| Some((key, value.strip_suffix('\'')?)));
        let Some((key, value)) = wanted else {
            let message = "We were unable to parse your search query. This stand-in knows metadata['…']:'…'";
            return Err(refused(400, "invalid_request_error", None, Some("query"), message));
        };
        let value = value.replace("\\'", "'").replace("\\\\", "\\").to_lowercase();
        let fits =
            |customer: &&Value| customer["metadata"][key].as_str().is_some_and(|text| text.to_lowercase() == value);
        let mut found = self.page("customers/search", self.all("cus_").filter(fits), params)?;
        found["object"] = json!("search_result");
        Ok(found)
    }

    fn events(&self, params: &Params) -> Outcome {
        let times = ["created[gt]", "created[gte]", "created[lt]", "created[lte]"];
        params.only(
            &[&times[..], &["type", "types[#]", "delivery_success", "limit", "starting_after", "ending_before"]]
                .concat(),
        )?;
        let kinds = params.list("types");
        if kinds.len() > MOST_KINDS {
            return Err(refused(400, "invalid_request_error", None, Some("types"), "You may pass at most 20 types."));
        }
        let mut bounds = Vec::new();
        for name in times {
            bounds.push(params.number(name)?);
        }
        let delivered = params.flag("delivery_success")?;
        let kind = params.get("type");
        let fits = |event: &&Value| {
            let (at_s, id) = (event["created"].as_i64().unwrap_or(0), event["id"].as_str().unwrap_or_default());
            let is_kind = |kind: &str| {
                kind.strip_suffix('*').map_or(event["type"] == kind, |start| {
                    event["type"].as_str().is_some_and(|kind| kind.starts_with(start))
                })
            };
            at_s >= self.now_s - EVENTS_KEPT_S
                && bounds[0].is_none_or(|bound| at_s > bound)
                && bounds[1].is_none_or(|bound| at_s >= bound)
                && bounds[2].is_none_or(|bound| at_s < bound)
                && bounds[3].is_none_or(|bound| at_s <= bound)
                && kind.is_none_or(is_kind)
                && (kinds.is_empty() || kinds.iter().any(|kind| event["type"] == *kind))
                && delivered.is_none_or(|delivered| self.delivered.contains(id) == delivered)
        };
        self.page("events", self.all("evt_").filter(fits), params)
    }

    fn page<'a>(&self, path: &str, objects: impl DoubleEndedIterator<Item = &'a Value>, params: &Params) -> Outcome {
        let limit = limit(params)?;
        let mut objects: Vec<&Value> = objects.rev().collect();
        if let Some(after) = params.get("starting_after") {
            let Some(known) = self.objects.get(after) else {
                return Err(invalid("resource_missing", "starting_after", &format!("No such object: '{after}'")));
            };
            // Ids of one type follow the order in which they were made.
            objects.retain(|object| object["id"].as_str() < known["id"].as_str());
        }
        let has_more = objects.len() > limit;
        objects.truncate(limit);
        Ok(json!({ "object": "list", "url": format!("/v1/{path}"), "data": objects, "has_more": has_more }))
    }
}

fn limit(params: &Params) -> Result<usize, Refused> {
    match params.number("limit")?.unwrap_or(USUAL) {
        limit if (1..=MOST).contains(&limit) => Ok(usize::try_from(limit).unwrap_or(1)),
        limit => {
            let message = format!("This value must be between 1 and {MOST}; {limit} is not.");
            Err(invalid("parameter_invalid_integer", "limit", &message))
        }
    }
}
