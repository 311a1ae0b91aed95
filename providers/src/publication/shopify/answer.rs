//! What the Admin API answers: errors of the whole document, and those of single fields. Nearly all of them come with status 200.

use std::time::Duration;

use reqwest::header::HeaderMap;
use serde::Deserialize;
use serde_json::Value;

use super::super::{
    error::PublishError,
    fault::{Fault, Wrong},
    send::Reply,
};
use crate::{error::ProviderError, wait};

pub(super) const SERVICE: &str = "shopify";
/// Of an error's text, so many characters are quoted.
const MOST_QUOTED: usize = 300;

/// `extensions.cost` of an answer, in points.
#[derive(Debug, Clone, Copy, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Cost {
    pub(super) requested_query_cost: f64,
    pub(super) throttle_status: Throttle,
}

/// The bucket that all queries of an app at a store share.
#[derive(Debug, Clone, Copy, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Throttle {
    pub(super) maximum_available: f64,
    pub(super) currently_available: f64,
    /// A second.
    pub(super) restore_rate: f64,
}

impl Throttle {
    /// How long it takes until `cost` fits.
    pub(super) fn wait_for(&self, cost: f64) -> Duration {
        let missing = cost.min(self.maximum_available) - self.currently_available;
        Duration::try_from_secs_f64(missing / self.restore_rate.max(1.0)).unwrap_or_default()
    }
}

/// What a body says of the price of the query.
pub(super) fn cost(body: &Value) -> Option<Cost> {
    Deserialize::deserialize(body.get("extensions")?.get("cost")?).ok()
}

/// What a reply means. `is_write`: what was asked changes something.
pub(super) fn sort(reply: &Reply, is_write: bool, now: chrono::DateTime<chrono::Utc>) -> Result<Value, ProviderError> {
    let body: Option<Value> = serde_json::from_slice(&reply.body).ok();
    let said = || said(body.as_ref(), &reply.headers);
    let unknown = |message: String| match is_write {
        true => ProviderError::UnknownOutcome { service: SERVICE, message },
        false => ProviderError::Transient { service: SERVICE, message, retry_after: None },
    };
    let unusable = |what: &str| {
        let message = format!("{what}{}", said());
        Err(ProviderError::Misconfigured { service: SERVICE, message })
    };
    let retry_after = wait::retry_after(&reply.headers, now);
    match reply.status {
        200 => {}
        300..=399 => {
            return unusable("the address leads elsewhere: use the shop's permanent one, https://NAME.myshopify.com");
        }
        401 => return unusable("the token is refused (401): give the store a new one"),
        402 => return unusable("the shop is frozen until its bill is paid (402)"),
        403 => return unusable("the app may not do this (403)"),
        404 => return unusable("there is no shop at this address, or not this version of the API (404)"),
        423 => return unusable("the shop is locked (423)"),
        429 => {
            let message = "too many requests (429)".to_owned();
            return Err(ProviderError::RateLimited { service: SERVICE, message, retry_after });
        }
        503 if retry_after.is_some() => {
            let message = format!("not available (503){}", said());
            return Err(ProviderError::Transient { service: SERVICE, message, retry_after });
        }
        status @ 500.. => return Err(unknown(format!("failed ({status}){}", said()))),
        status => {
            let message = format!("the request was refused ({status}){}", said());
            return Err(ProviderError::Rejected { service: SERVICE, message });
        }
    }
    let Some(body) = body.filter(Value::is_object) else {
        return Err(unknown("answered something that is no JSON".to_owned()));
    };
    match of_errors(&body, &reply.headers, is_write) {
        Some(error) => Err(error),
        None if body["data"].is_object() => Ok(body),
        None => Err(unknown("answered without data".to_owned())),
    }
}

/// What the errors of a whole document mean: all of them are looked at, and the one that says most of the account wins.
fn of_errors(body: &Value, headers: &HeaderMap, is_write: bool) -> Option<ProviderError> {
    let errors = match &body["errors"] {
        Value::Null => return None,
        Value::Array(errors) if errors.is_empty() => return None,
        Value::Array(errors) => errors.as_slice(),
        other => std::slice::from_ref(other),
    };
    let has = |codes: &[&str]| {
        errors.iter().any(|error| error["extensions"]["code"].as_str().is_some_and(|code| codes.contains(&code)))
    };
    let message = said(Some(body), headers).trim_start_matches([':', ' ']).to_owned();
    if has(&["ACCESS_DENIED", "SHOP_INACTIVE"]) {
        return Some(ProviderError::Misconfigured { service: SERVICE, message });
    }
    if has(&["THROTTLED"]) {
        let retry_after = cost(body).map(|cost| cost.throttle_status.wait_for(cost.requested_query_cost));
        let message = "throttled: its bucket of points is empty".to_owned();
        return Some(ProviderError::RateLimited { service: SERVICE, message, retry_after });
    }
    if has(&["INTERNAL_SERVER_ERROR", "TIMEOUT"]) {
        return Some(match is_write {
            true => ProviderError::UnknownOutcome { service: SERVICE, message },
            false => ProviderError::Transient { service: SERVICE, message, retry_after: None },
        });
    }
    Some(ProviderError::Rejected { service: SERVICE, message })
}

/// The texts of all errors, and the number by which the vendor finds the request.
fn said(body: Option<&Value>, headers: &HeaderMap) -> String {
    let errors = match body.map(|body| &body["errors"]) {
        Some(Value::Array(errors)) => {
            errors.iter().filter_map(|error| error["message"].as_str()).collect::<Vec<_>>().join("; ")
        }
        Some(Value::String(error)) => error.clone(),
        _ => String::new(),
    };
    let quoted: String = errors.chars().take(MOST_QUOTED).collect();
    let id = wait::header(headers, "x-request-id").map(|id| format!(" (request {id})")).unwrap_or_default();
    if quoted.is_empty() { id } else { format!(": {quoted}{id}") }
}

/// One of `userErrors`.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub(super) struct UserError {
    #[serde(default)]
    pub(super) code: Option<String>,
    #[serde(default)]
    pub(super) field: Option<Vec<String>>,
    #[serde(default)]
    pub(super) message: String,
}

impl UserError {
    pub(super) fn is(&self, code: &str) -> bool {
        self.code.as_deref() == Some(code)
    }

    /// Which of our fields it is about.
    fn fault(&self) -> Fault {
        let path = self.field.as_deref().unwrap_or_default();
        Fault::new(our_field(path), Wrong::Said { message: self.message.clone() })
    }
}

/// What a mutation did not do.
pub(super) fn user_errors(payload: &Value) -> Vec<UserError> {
    let errors = payload["userErrors"].as_array().into_iter().flatten();
    errors
        .map(|error| {
            UserError::deserialize(error).unwrap_or_else(|_| UserError {
                code: None,
                field: None,
                message: error.to_string(),
            })
        })
        .collect()
}

/// The same as an error; `Ok` if there is none.
pub(super) fn taken(payload: &Value) -> Result<(), PublishError> {
    refused(&user_errors(payload))
}

/// The error that these are.
pub(super) fn refused(errors: &[UserError]) -> Result<(), PublishError> {
    /// Of the shop's own troubles, and of products that went away in between: the next run sees.
    const PASSING: [&str; 5] = [
        "GENERIC_ERROR",
        "JOB_ERROR",
        "PRODUCT_DOES_NOT_EXIST",
        "PRODUCT_VARIANT_DOES_NOT_EXIST",
        "IDEMPOTENCY_CONCURRENT_REQUEST",
    ];
    if errors.is_empty() {
        return Ok(());
    }
    if let Some(error) = errors.iter().find(|error| PASSING.iter().any(|code| error.is(code))) {
        let message = format!("{} ({})", error.message, error.code.as_deref().unwrap_or_default());
        return Err(ProviderError::Transient { service: SERVICE, message, retry_after: None }.into());
    }
    Err(PublishError::Refused(errors.iter().map(UserError::fault).collect()))
}

/// The name of our field for a path as `["input", "variants", "0", "compareAtPrice"]`: its last part that means something.
fn our_field(path: &[String]) -> String {
    let named = path.iter().rev().find_map(|part| {
        let is_seo = path.iter().any(|part| part == "seo");
        Some(match part.as_str() {
            "title" if is_seo => "seo.title",
            "description" if is_seo => "seo.description",
            "title" => "title",
            "descriptionHtml" => "description_html",
            "handle" => "seo.slug",
            "vendor" => "brand",
            "tags" => "tags",
            "status" => "status",
            "price" => "price",
            "compareAtPrice" => "sale_price",
            "barcode" => "gtin",
            "sku" => "sku",
            "measurement" | "weight" => "weight_g",
            "quantity" | "quantities" | "inventoryQuantities" | "available" => "stock",
            "files" | "media" | "originalSource" | "mediaId" | "variantMedia" => "images",
            "productOptions" | "optionValues" | "options" => "options",
            "variants" => "variants",
            "collectionsToJoin" | "collectionsToLeave" | "collections" | "collection" => "categories",
            "metafields" => "short_description_html",
            "translations" => "translations",
            _ => return None,
        })
    });
    named.unwrap_or("product").to_owned()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn sorted(status: u16, body: &Value, is_write: bool) -> Result<Value, ProviderError> {
        let reply = Reply { status, headers: HeaderMap::new(), body: body.to_string().into() };
        sort(&reply, is_write, chrono::DateTime::default())
    }

    fn with_code(code: &str) -> Value {
        json!({ "data": { "shop": null }, "errors": [{ "message": "other" }, { "message": code, "extensions": { "code": code } }] })
    }

    #[test]
    fn an_answer_with_errors_is_no_success_whatever_its_data() {
        assert!(sorted(200, &json!({ "data": { "shop": {} } }), true).is_ok());
        let error = |body: &Value, is_write| sorted(200, body, is_write).unwrap_err();
        assert!(matches!(error(&with_code("ACCESS_DENIED"), true), ProviderError::Misconfigured { .. }));
        assert!(matches!(error(&with_code("SHOP_INACTIVE"), true), ProviderError::Misconfigured { .. }));
        assert!(matches!(error(&with_code("INTERNAL_SERVER_ERROR"), true), ProviderError::UnknownOutcome { .. }));
        assert!(matches!(error(&with_code("INTERNAL_SERVER_ERROR"), false), ProviderError::Transient { .. }));
        let other = error(&with_code("MAX_COST_EXCEEDED"), true);
        assert!(
            matches!(&other, ProviderError::Rejected { message, .. } if message == "other; MAX_COST_EXCEEDED"),
            "{other:?}"
        );
        assert!(matches!(error(&json!({ "data": null }), true), ProviderError::UnknownOutcome { .. }));
        assert!(matches!(error(&json!("<html>"), false), ProviderError::Transient { .. }));
    }

    #[test]
    fn what_is_throttled_waits_until_the_bucket_has_what_it_costs() {
        let cost = json!({ "requestedQueryCost": 402, "actualQueryCost": null,
            "throttleStatus": { "maximumAvailable": 2000.0, "currentlyAvailable": 52, "restoreRate": 100.0 } });
        let body = json!({ "errors": [{ "message": "Throttled", "extensions": { "code": "THROTTLED" } }], "extensions": { "cost": cost } });
        match sorted(200, &body, true).unwrap_err() {
            ProviderError::RateLimited { retry_after, .. } => {
                assert_eq!(retry_after, Some(Duration::from_millis(3_500)))
            }
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn statuses_tell_what_follows() {
        let code = |status, is_write| sorted(status, &json!({ "errors": "no" }), is_write).unwrap_err().code();
        for unusable in [301, 307, 401, 402, 403, 404, 423] {
            assert_eq!(code(unusable, true), "provider_misconfigured", "{unusable}");
        }
        assert_eq!((code(429, true), code(400, true)), ("rate_limited", "provider_rejected"));
        for failed in [500, 502, 503, 504] {
            assert_eq!(
                (code(failed, true), code(failed, false)),
                ("unknown_outcome", "provider_unavailable"),
                "{failed}"
            );
        }
    }

    #[test]
    fn refusals_are_told_by_our_fields_and_passing_ones_are_not_final() {
        let errors =
            |code: &str, path: &[&str]| json!({ "userErrors": [{ "code": code, "field": path, "message": "no" }] });
        for (path, field) in [
            (&["input", "variants", "0", "compareAtPrice"][..], "sale_price"),
            (&["product", "seo", "title"], "seo.title"),
            (&["input", "title"], "title"),
            (&["variants", "0", "inventoryItem", "measurement", "weight"], "weight_g"),
            (&["input"], "product"),
        ] {
            match taken(&errors("INVALID", path)).unwrap_err() {
                PublishError::Refused(faults) => assert_eq!(faults[0].field, field),
                other => panic!("{other:?}"),
            }
        }
        let passing = taken(&errors("GENERIC_ERROR", &["input"])).unwrap_err();
        assert!(matches!(passing, PublishError::Provider(ProviderError::Transient { .. })));
        assert!(taken(&json!({ "userErrors": [] })).is_ok());
    }
}
