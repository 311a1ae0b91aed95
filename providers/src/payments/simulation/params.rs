//! What a call is given, and what Stripe says of it when it is wrong.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

/// Why a call is not carried out: the status and Stripe's error.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refused {
    /// The status code.
    pub status: u16,
    /// Stripe's body.
    pub body: Value,
}

/// What comes of a call.
pub type Outcome = Result<Value, Refused>;

/// An error as Stripe writes it.
#[must_use]
pub fn refused(status: u16, kind: &str, code: Option<&str>, param: Option<&str>, message: &str) -> Refused {
    let mut error =
        json!({ "type": kind, "message": message, "request_log_url": "https://dashboard.stripe.com/logs/req_1" });
    for (name, value) in [("code", code), ("param", param)] {
        if let Some(value) = value {
            error[name] = json!(value);
        }
    }
    Refused { status, body: json!({ "error": error }) }
}

pub(super) fn invalid(code: &str, param: &str, message: &str) -> Refused {
    refused(400, "invalid_request_error", Some(code), Some(param), message)
}

/// Something that cannot be done to an object in its state.
pub(super) fn impossible(message: &str) -> Refused {
    refused(400, "invalid_request_error", None, None, message)
}

/// The object that a path names does not exist.
pub(super) fn missing(kind: &str, id: &str) -> Refused {
    refused(404, "invalid_request_error", Some("resource_missing"), Some("id"), &format!("No such {kind}: '{id}'"))
}

pub(super) fn declined(decline_code: &str) -> Refused {
    let mut refused = refused(402, "card_error", Some("card_declined"), None, "Your card was declined.");
    refused.body["error"]["decline_code"] = json!(decline_code);
    refused
}

/// Names and values of a form or query.
#[derive(Debug, Clone, Default)]
pub struct Params(BTreeMap<String, String>);

impl<T: IntoIterator<Item = (String, String)>> From<T> for Params {
    fn from(pairs: T) -> Self {
        Self(pairs.into_iter().collect())
    }
}

impl Params {
    /// Refuses names that a call does not know. `#` in a known name stands for a number or nothing, `*` for any word.
    pub(super) fn only(&self, known: &[&str]) -> Result<(), Refused> {
        let is_known = |name: &str| known.iter().any(|known| fits(name, known)) || fits(name, "expand[#]");
        match self.0.keys().find(|name| !is_known(name)) {
            Some(name) => Err(invalid("parameter_unknown", name, &format!("Received unknown parameter: {name}"))),
            None => Ok(()),
        }
    }

    /// A value that is not empty.
    pub(super) fn get(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(String::as_str).filter(|value| !value.is_empty())
    }

    /// Whether it was sent, be it empty.
    pub(super) fn has(&self, name: &str) -> bool {
        self.0.contains_key(name)
    }

    pub(super) fn required(&self, name: &str) -> Result<&str, Refused> {
        self.get(name).ok_or_else(|| invalid("parameter_missing", name, &format!("Missing required param: {name}.")))
    }

    pub(super) fn number(&self, name: &str) -> Result<Option<i64>, Refused> {
        let number = |text: &str| {
            text.parse().map_err(|_| invalid("parameter_invalid_integer", name, &format!("Invalid integer: {text}")))
        };
        self.get(name).map(number).transpose()
    }

    pub(super) fn flag(&self, name: &str) -> Result<Option<bool>, Refused> {
        match self.get(name) {
            None => Ok(None),
            Some("true") => Ok(Some(true)),
            Some("false") => Ok(Some(false)),
            Some(other) => Err(invalid("parameter_invalid_boolean", name, &format!("Invalid boolean: {other}"))),
        }
    }

    /// One of some words.
    pub(super) fn word(&self, name: &str, words: &[&str]) -> Result<Option<&str>, Refused> {
        match self.get(name) {
            Some(word) if !words.contains(&word) => {
                let message = format!("Invalid {name}: must be one of {}", words.join(", "));
                Err(refused(400, "invalid_request_error", None, Some(name), &message))
            }
            word => Ok(word),
        }
    }

    /// As JSON: a text or null.
    pub(super) fn json(&self, name: &str) -> Value {
        self.get(name).map_or(Value::Null, |value| json!(value))
    }

    /// `metadata[tenant]=a` as `{ "tenant": "a" }`.
    pub(super) fn below(&self, name: &str) -> Map<String, Value> {
        let inner = |key: &str| key.strip_prefix(name)?.strip_prefix('[')?.strip_suffix(']').map(str::to_owned);
        self.0.iter().filter_map(|(key, value)| Some((inner(key)?, json!(value)))).collect()
    }

    /// The values of a list.
    pub(super) fn list(&self, name: &str) -> Vec<&str> {
        let is_of = |key: &str| key.strip_prefix(name).is_some_and(|rest| fits(rest, "[#]"));
        self.0.iter().filter(|(key, _)| is_of(key)).map(|(_, value)| value.as_str()).collect()
    }

    /// As one text, by which two calls are compared.
    pub(super) fn said(&self) -> String {
        format!("{:?}", self.0)
    }
}

fn fits(name: &str, known: &str) -> bool {
    let parts = |text: &str| text.replace(']', "").split('[').map(str::to_owned).collect::<Vec<_>>();
    let (name, known) = (parts(name), parts(known));
    let is_same = |(name, known): (&String, &String)| match known.as_str() {
        "#" => name.bytes().all(|byte| byte.is_ascii_digit()),
        "*" => !name.is_empty(),
        _ => name == known,
    };
    name.len() == known.len() && name.iter().zip(&known).all(is_same)
}
