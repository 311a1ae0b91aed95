//! What a vendor said, whatever form it has.

use std::collections::HashSet;

use serde_json::Value;

use crate::content::{end_point::quote, validate};

/// Of a page that is no JSON, no more is looked at.
const PAGE: usize = 16 * 1024;
/// A run of letters and digits that is so long is a key or its hash.
const KEY: usize = 32;

/// What a vendor said.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(in crate::content) struct Said {
    /// `code` and the like; empty when there is none.
    pub(super) code: String,
    /// `type`.
    pub(super) kind: String,
    /// Its words, whole.
    pub(super) text: String,
    /// It shows what of the input it takes offence at.
    pub(super) has_flags: bool,
}

impl Said {
    /// Reads the body of a refusal, whatever it is.
    pub(in crate::content) fn of(body: &[u8]) -> Self {
        match serde_json::from_slice::<Value>(body) {
            Ok(value) => Self::of_value(&value),
            Err(_) => Self { text: page(body), ..Self::default() },
        }
    }

    /// Reads an answer that says that it is none, although its status is 200.
    pub(in crate::content) fn within(answer: &Value) -> Option<Self> {
        let is_error = |value: &Value| match value {
            Value::String(text) => !text.is_empty(),
            Value::Object(fields) => !fields.is_empty(),
            _ => false,
        };
        if is_error(&answer["error"]) || answer["object"] == "error" {
            return Some(Self::of_value(answer));
        }
        let choice = &answer["choices"][0];
        if is_error(&choice["error"]) {
            return Some(Self::of_value(choice));
        }
        let has_answer = ["choices", "output", "status"].iter().any(|name| !answer[*name].is_null());
        let says = ["message", "detail", "errors"].iter().any(|name| !answer[*name].is_null());
        (!has_answer && says).then(|| Self::of_value(answer))
    }

    fn of_value(value: &Value) -> Self {
        let outer = if value.is_array() && value[0].is_object() { &value[0] } else { value };
        let inner = [&outer["error"], &outer["errors"][0]].into_iter().find(|inner| inner.is_object());
        let inner = inner.unwrap_or(outer);
        let first = |names: &[&str]| {
            let places = [inner, outer].into_iter().flat_map(|place| names.iter().map(move |name| &place[*name]));
            places.map(word).find(|word| !word.is_empty()).unwrap_or_default()
        };
        let mut code = first(&["code", "status"]);
        let deeper = word(&inner["innererror"]["code"]);
        if !deeper.is_empty() {
            code = format!("{code} {deeper}");
        }
        let mut said = words(inner);
        let metadata = &inner["metadata"];
        let raw = words(&metadata["raw"]);
        if !raw.is_empty() && !said.contains(&raw) {
            said = format!("{said}: {raw}");
        }
        let has_flags = !metadata["flagged_input"].is_null() || !metadata["reasons"].is_null();
        Self { code, kind: first(&["type"]), text: said, has_flags }
    }

    /// The words without what may be part of a key, for messages.
    pub(in crate::content) fn shown(&self) -> String {
        let is_key = |word: &str| {
            let bare = word.trim_matches(|c: char| !c.is_ascii_alphanumeric());
            word.contains("**")
                || word.contains("sk-")
                || (bare.len() >= KEY && bare.chars().all(|c| c.is_ascii_alphanumeric()))
        };
        let words = self.text.split_whitespace().map(|word| if is_key(word) { "[secret]" } else { word });
        quote(&words.collect::<Vec<_>>().join(" "))
    }
}

/// A code, which is a number at some vendors.
fn word(value: &Value) -> String {
    match value {
        Value::String(word) => word.clone(),
        Value::Number(number) => number.to_string(),
        _ => String::new(),
    }
}

/// What is meant for people, wherever it stands.
fn words(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Array(items) => {
            let items = items.iter().map(words).filter(|words| !words.is_empty());
            items.collect::<Vec<_>>().join("; ")
        }
        Value::Object(fields) => {
            let places =
                ["message", "msg", "detail", "error_description", "error_msg", "error", "errors", "title", "reason"];
            let said = places.iter().filter_map(|name| fields.get(*name)).map(words).find(|words| !words.is_empty());
            let said = said.unwrap_or_default();
            // A checker of forms says apart where it looked.
            let place = fields.get("loc").and_then(Value::as_array).map(|path| path.iter().map(word));
            match place.map(|path| path.collect::<Vec<_>>().join(".")) {
                Some(place) if !place.is_empty() => format!("{place}: {said}"),
                _ => said,
            }
        }
        _ => String::new(),
    }
}

/// What a reader sees of a page, or the text if it is none.
fn page(body: &[u8]) -> String {
    let text = String::from_utf8_lossy(&body[..body.len().min(PAGE)]);
    if !text.contains('<') {
        return text.trim().to_owned();
    }
    let mut cleaner = ammonia::Builder::empty();
    cleaner.clean_content_tags(HashSet::from(["script", "style", "title"]));
    validate::visible_text(&cleaner.clean(&text.replace('<', " <")).to_string())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn an_error_that_comes_as_an_answer_is_no_answer() {
        for error in [
            json!({ "error": { "message": "m", "code": 502 } }),
            json!({ "error": "m" }),
            json!({ "object": "error", "message": "m" }),
            json!({ "message": "m" }),
            json!({ "detail": "m" }),
            json!({ "choices": [{ "error": { "message": "m", "code": 502 } }] }),
        ] {
            assert_eq!(Said::within(&error).map(|said| said.text).as_deref(), Some("m"), "{error}");
        }
        for answer in
            [json!({ "error": null, "status": "completed" }), json!({ "choices": [], "message": "m" }), json!([])]
        {
            assert_eq!(Said::within(&answer), None, "{answer}");
        }
    }
}
