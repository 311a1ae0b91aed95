//! How values are read out of Stripe's JSON, where an object may stand for its id, and the id for the object.

use chrono::{DateTime, Utc};
use serde_json::Value;

/// A text that is not empty.
pub(super) fn text(value: &Value) -> Option<String> {
    value.as_str().filter(|text| !text.is_empty()).map(str::to_owned)
}

/// The id of what is named, or expanded.
pub(super) fn id(value: &Value) -> Option<String> {
    text(value).or_else(|| text(&value["id"]))
}

/// Unix seconds.
pub(super) fn time(value: &Value) -> Option<DateTime<Utc>> {
    DateTime::from_timestamp(value.as_i64()?, 0)
}

/// Whether it is true; what is absent is not.
pub(super) fn flag(value: &Value) -> bool {
    value.as_bool().unwrap_or(false)
}

/// Where we keep whose it is: `metadata[tenant]`.
pub(super) fn tenant(object: &Value) -> Option<String> {
    text(&object["metadata"]["tenant"])
}
