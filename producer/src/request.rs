//! Reads requests: bodies within their limit, paths, queries and headers, with a problem for each way to be wrong.

use std::{num::NonZero, sync::LazyLock};

use axum::{
    body::Body,
    extract::{FromRequestParts, Path},
    http::{
        HeaderMap, HeaderValue,
        header::{self, AsHeaderName},
        request::Parts,
    },
};
use bytes::{Bytes, BytesMut};
use chrono::{DateTime, Utc};
use futures::StreamExt;
use queue::{FieldError, Json};
use serde::de::DeserializeOwned;
use tokio::sync::Semaphore;

use crate::{
    body,
    problem::{Problem, Type},
    query,
};

/// The largest body of one job, and the largest job of a batch.
pub(crate) const JOB_LIMIT: usize = 1 << 20;
/// The largest body of a batch.
pub(crate) const BATCH_LIMIT: usize = 32 << 20;
/// So much of a body that is too large is read and thrown away: a client that is cut off while it sends sees a broken
/// connection instead of the answer.
pub(crate) const DRAIN_LIMIT: usize = 64 << 20;
/// What is made of JSON may take so many bytes of memory, texts apart. Small parts take up to a hundred times the room of their text, and
/// as much again once something is wrong with each.
const PARTS_LIMIT: usize = 4 << 20;
const OBJECT_TAKES: usize = 640;
const MEMBER_TAKES: usize = 120;
const ELEMENT_TAKES: usize = 400;
/// A larger body is looked at aside from the threads that answer requests.
const QUICK: usize = 8 << 10;
const BOM: &[u8] = b"\xef\xbb\xbf";
const IDEMPOTENCY_KEY: &str = "idempotency-key";
const KEY_AT_MOST: usize = 255;
const TRACEPARENT: &str = "traceparent";

/// As many as there are cores.
static TURNS: LazyLock<Semaphore> =
    LazyLock::new(|| Semaphore::new(std::thread::available_parallelism().map_or(1, NonZero::get)));

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

/// Reads a body of at most `limit` bytes.
pub(crate) async fn read(headers: &HeaderMap, body: Body, limit: usize) -> Result<Bytes, Problem> {
    if announces_more_than(limit, headers) && headers.contains_key(header::EXPECT) {
        // This client waits for leave to send its body, and gets none.
        return Err(too_large(limit));
    }
    let mut chunks = body.into_data_stream();
    let mut bytes = BytesMut::with_capacity(announced_length(headers).filter(|length| *length <= limit).unwrap_or(0));
    let mut length = 0;
    while let Some(chunk) = chunks.next().await {
        let chunk = chunk.map_err(|error| body::problem(&error))?;
        length += chunk.len();
        if length <= limit {
            bytes.extend_from_slice(&chunk);
        } else if length > DRAIN_LIMIT {
            break;
        }
    }
    if length > limit { Err(too_large(limit)) } else { Ok(bytes.freeze()) }
}

/// Reads JSON text, behind a byte-order mark if there is one.
pub(crate) fn parse(body: &[u8]) -> Result<Json, Problem> {
    let body = without_bom(body);
    if body.trim_ascii().is_empty() {
        return Err(Problem::new(Type::Malformed, "the body is empty; send JSON"));
    }
    if parts_take(body) > PARTS_LIMIT {
        let detail = "the JSON has too many parts: about 10,000 entries of lists, 8,000 fields or 4,000 objects can be read at once";
        return Err(Problem::new(Type::TooLarge, detail));
    }
    Json::read(body).map_err(|error| malformed(&error))
}

pub(crate) fn malformed(error: &serde_json::Error) -> Problem {
    Problem::new(Type::Malformed, format!("this is no JSON: {error}"))
}

/// Some editors write a byte-order mark before everything else.
pub(crate) fn without_bom(text: &[u8]) -> &[u8] {
    text.strip_prefix(BOM).unwrap_or(text)
}

/// What the parts of JSON text would take in memory at most, as far as that is more than the text: counted without reading them.
fn parts_take(json: &[u8]) -> usize {
    let (mut takes, mut in_text, mut is_escaped) = (0, false, false);
    for byte in json {
        match byte {
            _ if is_escaped => is_escaped = false,
            b'\\' if in_text => is_escaped = true,
            b'"' => in_text = !in_text,
            _ if in_text => {}
            b'{' => takes += OBJECT_TAKES,
            b':' => takes += MEMBER_TAKES,
            b',' | b'[' => takes += ELEMENT_TAKES,
            _ => {}
        }
    }
    takes
}

/// Does what takes long with a body of `length` bytes on a thread of its own, when it has its turn, so that nobody else waits for it.
pub(crate) async fn aside<T: Send + 'static>(
    length: usize,
    work: impl FnOnce() -> Result<T, Problem> + Send + 'static,
) -> Result<T, Problem> {
    if length <= QUICK {
        return work();
    }
    let turn = TURNS.acquire().await;
    // The turn lasts as long as the work, also when the client hangs up meanwhile.
    let work = move || {
        let _turn = turn;
        work()
    };
    tokio::task::spawn_blocking(work).await.unwrap_or_else(|error| {
        tracing::error!(%error, "a request could not be looked at");
        Err(Problem::new(Type::Internal, "the request could not be looked at; the log has the reason"))
    })
}

/// Reads a body of JSON for one job or less, and makes something of it: aside, when it is long.
pub(crate) async fn json<T: Send + 'static>(
    headers: &HeaderMap,
    body: Body,
    make: impl FnOnce(&Json) -> Result<T, Problem> + Send + 'static,
) -> Result<T, Problem> {
    require_json(headers)?;
    let body = read(headers, body, JOB_LIMIT).await?;
    aside(body.len(), move || make(&parse(&body)?)).await
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
        query::read(parts.uri.query().unwrap_or_default()).map(Self).map_err(Problem::invalid)
    }
}

/// A time among the parameters after the question mark.
pub(crate) fn time(parameter: &str, text: &str) -> Result<DateTime<Utc>, Problem> {
    let time = DateTime::parse_from_rfc3339(text).map(|time| time.to_utc());
    time.map_err(|_| {
        bad_parameter(parameter, "must be a time like 2026-01-31T12:00:00Z (RFC 3339); in an address + is written %2B")
    })
}

/// A bad parameter after the question mark.
pub(crate) fn bad_parameter(name: &str, message: &str) -> Problem {
    Problem::invalid(vec![FieldError::new(format!("/query/{name}"), message)])
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Barrier};

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
    fn json_of_many_small_parts_is_refused_before_it_is_read() {
        let ids: Vec<_> = (0..10_000).map(|n| format!("0199a1b2-0000-7000-8000-{n:012}")).collect();
        assert!(parse(serde_json::json!({ "ids": ids }).to_string().as_bytes()).is_ok(), "the longest selection");
        let text = serde_json::json!({ "text": "[{,:\\\"".repeat(100_000) }).to_string();
        assert!(parse(text.as_bytes()).is_ok(), "what stands in a text does not count");
        for part in ["{\"\":0},", "0,", "[],", "[[[[],[]]]],"] {
            let many = format!("[{}0]", part.repeat(JOB_LIMIT / part.len()));
            let problem = serde_json::to_value(parse(many.as_bytes()).unwrap_err()).unwrap();
            assert_eq!(problem["status"], 413, "{part}: {problem}");
        }
        assert_eq!(parse(b"\xef\xbb\xbf{\"a\":1}").unwrap()["a"], 1);
    }

    #[test]
    fn so_many_parts_of_json_can_be_read_as_the_refusal_says() {
        let list = |part: &str, n: usize| format!("[{}]", vec![part; n].join(","));
        let fields = |n: usize| format!("{{{}}}", (0..n).map(|n| format!("\"{n}\":0")).collect::<Vec<_>>().join(","));
        for (most, more) in [
            (list("0", 10_000), list("0", 11_000)),
            (fields(8_000), fields(9_000)),
            (list("{}", 4_000), list("{}", 5_000)),
        ] {
            assert!(parse(most.as_bytes()).is_ok(), "{most:.20}");
            let problem = serde_json::to_value(parse(more.as_bytes()).unwrap_err()).unwrap();
            for told in ["10,000 entries", "8,000 fields", "4,000 objects"] {
                assert!(problem["detail"].as_str().unwrap().contains(told), "{problem}");
            }
        }
    }

    #[tokio::test]
    async fn what_takes_long_is_done_on_another_thread() {
        let thread = |length| aside(length, || Ok(std::thread::current().id()));
        assert_eq!(thread(QUICK).await.unwrap(), std::thread::current().id());
        assert_ne!(thread(QUICK + 1).await.unwrap(), std::thread::current().id());
        assert!(aside::<()>(QUICK + 1, || panic!("a planted panic")).await.is_err());
    }

    #[tokio::test]
    async fn work_for_a_client_that_hung_up_keeps_its_turn_until_it_is_done() {
        let n_cores = std::thread::available_parallelism().unwrap().get();
        let end = Arc::new(Barrier::new(n_cores + 1));
        for _ in 0..n_cores {
            let (begin, end) = (Arc::new(Barrier::new(2)), end.clone());
            let begun = begin.clone();
            let client = tokio::spawn(aside(QUICK + 1, move || {
                begin.wait();
                end.wait();
                Ok(())
            }));
            tokio::task::spawn_blocking(move || begun.wait()).await.unwrap();
            client.abort();
            assert!(client.await.is_err());
        }
        let n_free = TURNS.available_permits();
        tokio::task::spawn_blocking(move || end.wait()).await.unwrap();
        assert_eq!(n_free, 0, "who hung up has given nothing back");
        aside(QUICK + 1, || Ok(())).await.unwrap();
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
