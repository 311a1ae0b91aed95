//! Reads requests: bodies within their limit, paths and queries.

use std::{num::NonZero, sync::LazyLock};

use api::FieldError;
use axum::{
    body::Body,
    extract::{FromRequestParts, Path},
    http::{HeaderMap, header, request::Parts},
};
use bytes::{Bytes, BytesMut};
use chrono::{DateTime, Utc};
use futures::StreamExt;
use queue::Json;
use serde::de::DeserializeOwned;
use tokio::sync::Semaphore;

use super::{
    body,
    headers::{DRAIN_LIMIT, JOB_LIMIT, announced_length, announces_more_than, require_json, too_large},
    query,
};
use crate::answer::{Problem, Type};

/// What is made of JSON may take so many bytes of memory, texts apart. Small parts take up to a hundred times the room of their text, and
/// as much again once something is wrong with each.
const PARTS_LIMIT: usize = 4 << 20;
const OBJECT_TAKES: usize = 640;
const MEMBER_TAKES: usize = 120;
const ELEMENT_TAKES: usize = 400;
/// A larger body is looked at aside from the threads that answer requests.
const QUICK: usize = 8 << 10;
const PAGE: usize = 50;
const PAGE_AT_MOST: usize = 200;
const BOM: &[u8] = b"\xef\xbb\xbf";

/// As many as there are cores.
static TURNS: LazyLock<Semaphore> =
    LazyLock::new(|| Semaphore::new(std::thread::available_parallelism().map_or(1, NonZero::get)));

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
        let chunk = chunk.map_err(|error| body::problem_of(&error))?;
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

/// The one variable part of a path.
pub(crate) struct PathPart<T = String>(pub(crate) T);

impl<T: DeserializeOwned + Send, S: Send + Sync> FromRequestParts<S> for PathPart<T> {
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

/// How many entries a page has.
pub(crate) fn page_size(limit: Option<usize>) -> Result<usize, Problem> {
    let limit = limit.unwrap_or(PAGE);
    if (1..=PAGE_AT_MOST).contains(&limit) {
        return Ok(limit);
    }
    Err(bad_parameter("limit", "must be from 1 to 200"))
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
}
