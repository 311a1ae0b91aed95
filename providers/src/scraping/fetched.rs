//! A page that came in, whichever way: what its status means, whether it can be read, and what it says.

use std::sync::LazyLock;

use chrono::{DateTime, Utc};
use prices::{Extract, Hints};
use reqwest::{
    Response, StatusCode,
    header::{CONTENT_ENCODING, CONTENT_TYPE, HeaderMap, HeaderName, REFRESH, RETRY_AFTER},
};
use tokio::sync::Semaphore;
use url::Url;

use super::{
    PagePrice,
    access::{SERVICE, rejected},
    blocked, charset,
    known::Validators,
};
use crate::{ProviderError, wait};

/// A page is not read further than this, counted after unpacking.
pub(super) const BODY_CAP: usize = 2 * 1024 * 1024;
/// No more of a page's text is handed on, in bytes: it costs money to have it read.
const LONGEST_TEXT: usize = 12 * 1024;
/// So much of what a relay says is quoted, in bytes.
const FIRST_WORDS: usize = 300;

/// So many pages are read at a time, which is as fast as all at once: each takes many times its own memory.
static READERS: LazyLock<Semaphore> =
    LazyLock::new(|| Semaphore::new(std::thread::available_parallelism().map_or(2, usize::from)));

/// A page that came in.
pub(super) struct Fetched {
    /// As it was asked for.
    pub(super) asked: Url,
    /// Where it came from in the end.
    pub(super) url: Url,
    /// What its server answered.
    pub(super) status: StatusCode,
    pub(super) headers: HeaderMap,
    pub(super) body: Vec<u8>,
    pub(super) at: DateTime<Utc>,
    /// By what it may be asked whether it has changed.
    pub(super) validators: Option<Validators>,
}

impl Fetched {
    /// What it says.
    ///
    /// # Errors
    /// [`ProviderError::Unable`] when something else came in its place, so that another way may have it.
    pub(super) async fn read(self, selector: Option<String>, wants_text: bool) -> Result<PagePrice, ProviderError> {
        let Self { asked, url, status, headers, body, at, validators } = self;
        if matches!(status, StatusCode::NOT_FOUND | StatusCode::GONE) {
            let gone = Some(format!("{asked} answered {status}"));
            return Ok(PagePrice { gone, ..PagePrice::nothing(at) });
        }
        let blocked = |why: &str| ProviderError::Unable { service: SERVICE, message: format!("{asked}: {why}") };
        if !status.is_success() {
            // A protected shop that is down, or asks for a wait, says so in its protector's words.
            let is_told = matches!(status.as_u16(), 429 | 502 | 504 | 520..=530) || headers.contains_key(RETRY_AFTER);
            let by = if is_told { None } else { blocked::by(&String::from_utf8_lossy(&body)) };
            return Err(match by {
                Some(who) => blocked(&format!("{who} asks for a proof that we are no robot ({status})")),
                None => refused(&asked, status, &headers, at),
            });
        }
        if body.iter().all(u8::is_ascii_whitespace) {
            return Err(blocked("page is empty"));
        }
        check_media_type(&asked, &headers)?;
        check_packing(&asked, &headers)?;
        let content_type = header(&headers, &CONTENT_TYPE);
        let refresh = header(&headers, &REFRESH).and_then(|value| prices::refresh(&value, &url));
        // Parsing is work for the processor, and the parsed page may not cross an await.
        let read = move || {
            let html = charset::decode(&body, content_type.as_deref(), url.host_str())?;
            let hints = Hints { selector: selector.as_deref(), ..Hints::on(at.date_naive()) };
            let read = prices::read(&html, &url, &hints)?;
            let blocked_by = if read.price.is_none() { blocked::by(&html) } else { None };
            let text = if wants_text && read.price.is_none() { prices::text(&html, LONGEST_TEXT).ok() } else { None };
            Ok((Extract { moved_to: refresh.or(read.moved_to), ..read }, blocked_by, text))
        };
        // Closed it never is.
        let _reader = READERS.acquire().await;
        let read = tokio::task::spawn_blocking(read).await.unwrap_or_else(|error| {
            tracing::error!(url = %asked, "reading the page panicked: {error}");
            Err("cannot be parsed")
        });
        match read {
            Ok((_, Some(who), _)) => Err(blocked(&format!("{who} asks for a proof that we are no robot"))),
            Ok((Extract { title, price, details, moved_to, until }, None, text)) => {
                // A page that has a price is read where it is.
                let moved_to = moved_to.filter(|_| price.is_none());
                // One without a price may have come to us by bad luck: it is worth a whole look each time.
                let validators = validators.filter(|_| price.is_some() || text.is_some());
                Ok(PagePrice {
                    title,
                    price,
                    details,
                    fetched_at: at,
                    moved_to,
                    gone: None,
                    text,
                    validators,
                    until,
                    ..PagePrice::nothing(at)
                })
            }
            Err(why) => Err(rejected(&asked, &format!("page {why}"))),
        }
    }
}

/// What follows from a status that is no success.
fn refused(url: &Url, status: StatusCode, headers: &HeaderMap, at: DateTime<Utc>) -> ProviderError {
    let message = format!("{url} answered {status}");
    let retry_after = wait::retry_after(headers, at);
    match status.as_u16() {
        304 => {
            let message = format!("{message}, but was not asked whether it has changed");
            ProviderError::Unable { service: SERVICE, message }
        }
        429 => ProviderError::RateLimited { service: SERVICE, message, retry_after },
        403 => ProviderError::Unable { service: SERVICE, message },
        408 | 425 | 500 | 502..=504 | 520..=530 => ProviderError::Transient { service: SERVICE, message, retry_after },
        _ => ProviderError::Rejected { service: SERVICE, message },
    }
}

pub(super) fn header(headers: &HeaderMap, name: &HeaderName) -> Option<String> {
    headers.get(name).map(|value| String::from_utf8_lossy(value.as_bytes()).into_owned())
}

/// Refuses bodies that are packed in a way that was not asked for. (What was unpacked has lost its header.)
fn check_packing(url: &Url, headers: &HeaderMap) -> Result<(), ProviderError> {
    let packing = header(headers, &CONTENT_ENCODING).unwrap_or_default().to_ascii_lowercase();
    // Some servers put their encoding of letters there.
    let unpacked =
        |packing: &str| matches!(packing, "" | "identity" | "none" | "utf-8" | "utf8" | "8bit" | "binary" | "text");
    if packing.split(',').map(str::trim).all(unpacked) {
        return Ok(());
    }
    Err(rejected(url, &format!("page is packed as {packing:.40}, which cannot be read")))
}

fn check_media_type(url: &Url, headers: &HeaderMap) -> Result<(), ProviderError> {
    let Some(media_type) = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()) else {
        return Ok(());
    };
    let essence = media_type.split([';', ',', ' ']).next().unwrap_or_default().trim().to_ascii_lowercase();
    match essence.as_str() {
        "" | "text/html" | "application/xhtml+xml" => Ok(()),
        _ => Err(rejected(url, &format!("is {essence}, not HTML"))),
    }
}

/// The first words of an answer that is no page. No more of it is read.
pub(super) async fn first_words(mut response: Response) -> String {
    let mut text = Vec::new();
    while text.len() < FIRST_WORDS
        && let Ok(Some(chunk)) = response.chunk().await
    {
        text.extend_from_slice(&chunk[..chunk.len().min(FIRST_WORDS - text.len())]);
    }
    String::from_utf8_lossy(&text).trim().to_owned()
}

/// The body of an answer. `failure` tells what it means that the answer broke off.
pub(super) async fn read_body(
    url: &Url,
    mut response: Response,
    failure: impl Fn(&reqwest::Error) -> ProviderError,
) -> Result<Vec<u8>, ProviderError> {
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await.map_err(|error| failure(&error))? {
        if body.len() + chunk.len() > BODY_CAP {
            return Err(rejected(url, &format!("page is larger than {BODY_CAP} bytes")));
        }
        body.extend_from_slice(&chunk);
    }
    Ok(body)
}
