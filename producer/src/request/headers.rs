//! The headers of a request.

use axum::http::{
    HeaderMap, HeaderValue,
    header::{self, AsHeaderName},
};

use crate::answer::{Problem, Type};

/// The largest body of one job, and the largest job of a batch.
pub(crate) const JOB_LIMIT: usize = 1 << 20;
/// The largest body of a batch.
pub(crate) const BATCH_LIMIT: usize = 32 << 20;
/// So much of a body that is too large is read and thrown away: a client that is cut off while it sends sees a broken
/// connection instead of the answer.
pub(super) const DRAIN_LIMIT: usize = 64 << 20;
const IDEMPOTENCY_KEY: &str = "idempotency-key";
const KEY_AT_MOST: usize = 255;
const TRACEPARENT: &str = "traceparent";

/// The formats a body can have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Format {
    Json,
    NdJson,
}

/// A header that counts once was given twice, with different values: nobody can tell which is meant.
#[derive(Debug)]
pub(crate) struct Twice;

/// The value of a header that counts once.
pub(crate) fn only(headers: &HeaderMap, name: impl AsHeaderName) -> Result<Option<&HeaderValue>, Twice> {
    let mut values = headers.get_all(name).iter();
    let Some(first) = values.next() else { return Ok(None) };
    if values.all(|value| value == first) { Ok(Some(first)) } else { Err(Twice) }
}

/// What the content type says; no problem is made here because not every route takes both.
pub(crate) fn format(headers: &HeaderMap) -> Option<Format> {
    let value = only(headers, header::CONTENT_TYPE).ok()??.to_str().ok()?;
    let mime = value.split(';').next()?.trim().to_ascii_lowercase();
    match mime.as_str() {
        "application/json" => Some(Format::Json),
        "application/x-ndjson" => Some(Format::NdJson),
        _ => None,
    }
}

pub(crate) fn require_json(headers: &HeaderMap) -> Result<(), Problem> {
    if format(headers) == Some(Format::Json) { Ok(()) } else { Err(unsupported("application/json")) }
}

pub(crate) fn unsupported(expected: &str) -> Problem {
    Problem::new(Type::UnsupportedFormat, format!("send the header Content-Type: {expected}"))
}

pub(crate) fn too_large(limit: usize) -> Problem {
    Problem::new(Type::TooLarge, format!("the body is larger than {} MB", limit >> 20))
}

/// How long the body is, as its client says.
pub(crate) fn announced_length(headers: &HeaderMap) -> Option<usize> {
    headers.get(header::CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
}

/// Whether the body is said to have more than `limit` bytes.
pub(crate) fn announces_more_than(limit: usize, headers: &HeaderMap) -> bool {
    announced_length(headers).is_some_and(|length| length > limit)
}

pub(crate) fn has_idempotency_key(headers: &HeaderMap) -> bool {
    headers.contains_key(IDEMPOTENCY_KEY)
}

/// The idempotency key, if there is one.
pub(crate) fn idempotency_key(headers: &HeaderMap) -> Result<Option<String>, Problem> {
    let refused = |rule: &str| Problem::new(Type::InvalidPayload, format!("the header Idempotency-Key must be {rule}"));
    let value = only(headers, IDEMPOTENCY_KEY).map_err(|Twice| refused("given once"))?;
    let Some(value) = value else { return Ok(None) };
    match value.to_str() {
        Ok(key) if (1..=KEY_AT_MOST).contains(&key.len()) => Ok(Some(key.to_owned())),
        _ => Err(refused(&format!("1 to {KEY_AT_MOST} printable ASCII characters"))),
    }
}

/// The caller's trace context; one that is not well formed is dropped, as W3C Trace Context asks.
pub(crate) fn traceparent(headers: &HeaderMap) -> Option<String> {
    let value = headers.get(TRACEPARENT)?.to_str().ok()?;
    let parts: Vec<_> = value.split('-').collect();
    let is_hex = |text: &str| text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
    let has_lengths = |lengths: [usize; 4]| parts.iter().map(|part| part.len()).eq(lengths);
    let is_zero = |text: &str| text.bytes().all(|byte| byte == b'0');
    let good = has_lengths([2, 32, 16, 2])
        && parts.iter().all(|part| is_hex(part))
        && parts[0] != "ff"
        && !is_zero(parts[1])
        && !is_zero(parts[2]);
    good.then(|| value.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_well_formed_traceparent_is_kept() {
        let kept = |value: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(TRACEPARENT, value.parse().unwrap());
            traceparent(&headers).is_some()
        };
        assert!(kept("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"));
        assert!(!kept("00-0AF7651916CD43DD8448EB211C80319C-b7ad6b7169203331-01"));
        assert!(!kept("00-00000000000000000000000000000000-b7ad6b7169203331-01"));
        assert!(!kept("ff-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"));
        assert!(!kept("nonsense"));
    }

    #[test]
    fn parameters_of_the_content_type_do_not_matter() {
        let format_of = |value: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(header::CONTENT_TYPE, value.parse().unwrap());
            format(&headers)
        };
        assert_eq!(format_of("Application/JSON; charset=utf-8"), Some(Format::Json));
        assert_eq!(format_of("application/x-ndjson"), Some(Format::NdJson));
        assert_eq!(format_of("text/json"), None);
        assert_eq!(format(&HeaderMap::new()), None);
    }
}
