//! Reads requests: bodies within their limit, paths, queries and headers, with a problem for each way to be wrong.

use axum::{
    body::Body,
    extract::{FromRequestParts, Path, Query},
    http::{HeaderMap, header, request::Parts},
};
use bytes::{Bytes, BytesMut};
use futures::StreamExt;
use queue::FieldError;
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::problem::{Problem, Type};

/// The largest body of one job, and the largest job of a batch.
pub(crate) const JOB_LIMIT: usize = 1 << 20;
/// The largest body of a batch.
pub(crate) const BATCH_LIMIT: usize = 32 << 20;
/// So much of a body that is too large is read and thrown away: a client that is cut off while it sends sees a broken
/// connection instead of the answer.
const DRAIN_LIMIT: usize = 64 << 20;
const IDEMPOTENCY_KEY: &str = "idempotency-key";
const KEY_AT_MOST: usize = 255;
const TRACEPARENT: &str = "traceparent";

/// The formats a body can have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Format {
    Json,
    NdJson,
}

/// What the content type says; no problem is made here because not every route takes both.
pub(crate) fn format(headers: &HeaderMap) -> Option<Format> {
    let value = headers.get(header::CONTENT_TYPE)?.to_str().ok()?;
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

/// Refuses a body that announces more than `limit` bytes.
pub(crate) fn announces_more_than(limit: usize, headers: &HeaderMap) -> bool {
    let length = headers.get(header::CONTENT_LENGTH).and_then(|value| value.to_str().ok());
    length.and_then(|length| length.parse::<usize>().ok()).is_some_and(|length| length > limit)
}

/// Reads a body of at most `limit` bytes.
pub(crate) async fn read(headers: &HeaderMap, body: Body, limit: usize) -> Result<Bytes, Problem> {
    if announces_more_than(limit, headers) && headers.contains_key(header::EXPECT) {
        // This client waits for leave to send its body, and gets none.
        return Err(too_large(limit));
    }
    let mut chunks = body.into_data_stream();
    let mut bytes = BytesMut::new();
    let mut length = 0;
    while let Some(chunk) = chunks.next().await {
        let chunk = chunk.map_err(|error| Problem::new(Type::Malformed, format!("the body was cut off: {error}")))?;
        length += chunk.len();
        if length <= limit {
            bytes.extend_from_slice(&chunk);
        } else if length > DRAIN_LIMIT {
            break;
        }
    }
    if length > limit { Err(too_large(limit)) } else { Ok(bytes.freeze()) }
}

/// Reads JSON text.
pub(crate) fn parse(body: &[u8]) -> Result<Value, Problem> {
    serde_json::from_slice(body).map_err(|error| malformed(&error))
}

pub(crate) fn malformed(error: &serde_json::Error) -> Problem {
    Problem::new(Type::Malformed, format!("this is no JSON: {error}"))
}

/// The idempotency key, if there is one.
pub(crate) fn idempotency_key(headers: &HeaderMap) -> Result<Option<String>, Problem> {
    let Some(value) = headers.get(IDEMPOTENCY_KEY) else { return Ok(None) };
    match value.to_str() {
        Ok(key) if (1..=KEY_AT_MOST).contains(&key.len()) => Ok(Some(key.to_owned())),
        _ => Err(Problem::new(
            Type::InvalidPayload,
            format!("the header Idempotency-Key must be 1 to {KEY_AT_MOST} printable ASCII characters"),
        )),
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

/// The one variable part of a path.
pub(crate) struct PathPart(pub(crate) String);

impl<S: Send + Sync> FromRequestParts<S> for PathPart {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let Path(part) = Path::from_request_parts(parts, state)
            .await
            .map_err(|error| Problem::new(Type::NotFound, format!("the path cannot be read: {error}")))?;
        Ok(Self(part))
    }
}

/// The parameters after the question mark.
pub(crate) struct Parameters<T>(pub(crate) T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequestParts<S> for Parameters<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        let Query(parameters) = Query::try_from_uri(&parts.uri)
            .map_err(|error| Problem::new(Type::InvalidPayload, format!("the query cannot be used: {error}")))?;
        Ok(Self(parameters))
    }
}

/// A bad parameter after the question mark.
pub(crate) fn bad_parameter(name: &str, message: &str) -> Problem {
    Problem::invalid(vec![FieldError::new(format!("/query/{name}"), message)])
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
