//! JSON as BSON and back, without loss.
//!
//! Whole numbers become 64-bit integers, others doubles, so that fields can be queried. What BSON or MongoDB cannot hold
//! faithfully has no BSON form here: whole numbers over 2⁶³−1, keys that begin with `$` or hold a zero byte, and anything deeper
//! than [`MAX_DEPTH`]. A dot in a key is kept; such a field can be read, but not named in a query.

use std::{collections::BTreeMap, io};

use mongodb::bson::{Bson, RawBson, RawBsonRef, RawDocumentBuf};
use serde::Serialize;
use serde_json::{Map, Value};

/// MongoDB takes 100 levels, but the driver recurses with large frames: reading 95 levels overflowed a thread's stack of 2 MiB in a
/// debug build, which ends the process.
const MAX_DEPTH: usize = 32;

/// The BSON form, if there is a faithful one.
pub(crate) fn to_bson(value: &Value) -> Option<Bson> {
    to_raw(value)?.try_into().ok()
}

/// The BSON form as bytes, if there is a faithful one.
pub(crate) fn to_raw(value: &Value) -> Option<RawBson> {
    if !has_form(value) {
        return None;
    }
    if value.is_object() {
        return document(value).map(RawBson::Document);
    }
    let around = document(&BTreeMap::from([("value", value)]))?;
    around.get("value").ok()?.map(RawBson::from)
}

/// How many bytes its text has.
pub(crate) fn length(value: &Value) -> usize {
    /// Counts what is written.
    struct Counter(usize);

    impl io::Write for Counter {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0 += bytes.len();
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    let mut counter = Counter(0);
    // A value is JSON whatever is in it, and counting does not fail.
    let _ = serde_json::to_writer(&mut counter, value);
    counter.0
}

/// Whether BSON and MongoDB hold it faithfully.
pub(crate) fn has_form(value: &Value) -> bool {
    has_form_within(value, MAX_DEPTH)
}

fn has_form_within(value: &Value, depth: usize) -> bool {
    let Some(below) = depth.checked_sub(1) else { return false };
    match value {
        Value::Null | Value::Bool(_) | Value::String(_) => true,
        Value::Number(number) => number.is_i64() || number.is_f64(),
        Value::Array(items) => items.iter().all(|item| has_form_within(item, below)),
        Value::Object(fields) => fields
            .iter()
            .all(|(key, field)| !key.starts_with('$') && !key.as_bytes().contains(&0) && has_form_within(field, below)),
    }
}

/// One buffer for the whole document, however deep it is.
pub(crate) fn document(of: &impl Serialize) -> Option<RawDocumentBuf> {
    let mut bytes = Vec::with_capacity(1024);
    mongodb::bson::serialize_to_buffer(of, &mut bytes).ok()?;
    RawDocumentBuf::from_bytes(bytes).ok()
}

/// The JSON form. Types that JSON lacks, which only other programs write, become MongoDB's extended JSON (`{"$date": …}`).
pub(crate) fn from_bson(bson: Bson) -> Value {
    match bson {
        Bson::Null => Value::Null,
        Bson::Boolean(bool) => Value::Bool(bool),
        Bson::String(text) => Value::String(text),
        Bson::Int32(number) => number.into(),
        Bson::Int64(number) => number.into(),
        Bson::Double(number) if number.is_finite() => number.into(),
        Bson::Array(items) => items.into_iter().map(from_bson).collect(),
        Bson::Document(document) => {
            Value::Object(document.into_iter().map(|(key, field)| (key, from_bson(field))).collect::<Map<_, _>>())
        }
        other => serde_json::to_value(&other).unwrap_or_else(|_| Value::String(other.to_string())),
    }
}

/// The same, of BSON that is still bytes: nothing is made but the value.
pub(crate) fn from_raw(bson: RawBsonRef<'_>) -> Result<Value, String> {
    let unreadable = |error: &dyn std::fmt::Display| format!("it is no BSON: {error}");
    Ok(match bson {
        RawBsonRef::String(text) => text.into(),
        RawBsonRef::Array(items) => {
            let items = items.into_iter().map(|item| from_raw(item.map_err(|error| unreadable(&error))?));
            Value::Array(items.collect::<Result<_, _>>()?)
        }
        RawBsonRef::Document(document) => {
            let fields = document.iter().map(|field| {
                let (key, field) = field.map_err(|error| unreadable(&error))?;
                Ok((key.as_str().to_owned(), from_raw(field)?))
            });
            Value::Object(fields.collect::<Result<_, String>>()?)
        }
        other => from_bson(Bson::try_from(other).map_err(|error| unreadable(&error))?),
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_has_a_form_comes_back_the_same() {
        let value = json!({
            "text": "Fußmatte „Zürich“ \u{0} 🧶", "none": null, "yes": true, "list": [1, [], {}, "two", [[-1.5]]],
            "whole": i64::MAX, "least": i64::MIN, "double": 0.1, "round": 3.0, "tiny": 5e-324, "price": "129.90",
            "a.b": { "c.d.": 1 }, "": "empty key", "mid$dle": 2
        });
        assert_eq!(length(&value), value.to_string().len());
        let back = from_bson(to_bson(&value).unwrap());
        assert_eq!(back, value);
        assert_eq!(back.to_string(), value.to_string());
    }

    #[test]
    fn what_would_be_changed_has_no_form() {
        for value in [json!(u64::MAX), json!([{ "$set": 1 }]), json!({ "a\u{0}b": 1 })] {
            assert_eq!(to_bson(&value), None, "{value}");
        }
        let deep = (0..100).fold(json!(1), |inner, _| json!([inner]));
        assert_eq!(to_bson(&deep), None);
    }
}
