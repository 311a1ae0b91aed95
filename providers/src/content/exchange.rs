//! The way to a vendor of language models and back, whatever the protocol: one request, and what statuses and headers mean.

use std::{
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

use chrono::{DateTime, Utc};
use reqwest::header::{HeaderMap, HeaderValue};
use secrecy::ExposeSecret;
use serde::{Deserialize, de::IgnoredAny};

use super::validate;
use crate::ProviderError;

const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// Far above the longest text; a body beyond it is no answer.
const BODY_LIMIT: usize = 4 << 20;
/// Longest piece of a foreign text within an error message, in characters.
const QUOTE: usize = 200;
/// Waits that vendors ask for are kept within these.
const WAITS: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(3600));

/// Whose account is used, and the names of its variables for messages.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Account {
    pub(super) service: &'static str,
    pub(super) key: &'static str,
    pub(super) base_url: &'static str,
    pub(super) model: &'static str,
}

/// Why one request gave nothing.
#[derive(Debug, thiserror::Error)]
pub(super) enum Failure {
    /// The vendor does not have this model, or no longer.
    #[error("{0}")]
    ModelGone(String),
    #[error(transparent)]
    Other(#[from] ProviderError),
}

/// The wait that the headers of an answer ask for, until someone takes it.
#[derive(Debug, Default)]
pub(super) struct Pause(Mutex<Option<Instant>>);

/// `error` in the body of a failure, and in an answer that failed.
#[derive(Default, Deserialize)]
pub(super) struct WireError {
    #[serde(default)]
    pub(super) message: Option<String>,
    #[serde(default)]
    r#type: Option<String>,
    // A number at some vendors, so not decoded before it is needed.
    #[serde(default)]
    code: Option<serde_json::Value>,
}

impl WireError {
    pub(super) fn code(&self) -> String {
        match &self.code {
            Some(serde_json::Value::String(code)) => code.clone(),
            Some(serde_json::Value::Null) | None => String::new(),
            Some(code) => code.to_string(),
        }
    }
}

impl Pause {
    fn ask(&self, wait: Option<Duration>) {
        if let Some(wait) = wait {
            *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(Instant::now() + wait);
        }
    }

    /// What is left of the wait; told once.
    pub(super) fn take(&self) -> Option<Duration> {
        let until = self.0.lock().unwrap_or_else(PoisonError::into_inner).take()?;
        Some(until.saturating_duration_since(Instant::now())).filter(|wait| !wait.is_zero())
    }
}

impl Account {
    /// A client whose requests may take `timeout` each. Redirects come from a proxy or a wrong address, and are not followed.
    pub(super) fn client(self, timeout: Duration) -> Result<reqwest::Client, ProviderError> {
        reqwest::Client::builder()
            .connect_timeout(CONNECT_TIMEOUT)
            .timeout(timeout)
            .redirect(reqwest::redirect::Policy::none())
            .build()
            .map_err(|error| self.misconfigured(format!("no HTTP client can be built: {error}")))
    }

    /// The key, if a header can hold it.
    pub(super) fn sendable_key(self, settings: &crate::OpenAi) -> Result<&str, ProviderError> {
        let key = settings.api_key.expose_secret();
        match HeaderValue::from_str(key) {
            Ok(_) => Ok(key),
            Err(_) => {
                Err(self.misconfigured(format!("{} holds characters that a header cannot; copy it again", self.key)))
            }
        }
    }

    /// Sends a request once and sorts everything but a success with JSON, while the headers are still at hand.
    pub(super) async fn exchange(
        self,
        http: &reqwest::Client,
        request: reqwest::Request,
        pause: &Pause,
    ) -> Result<Vec<u8>, Failure> {
        let response = http.execute(request).await.map_err(|error| self.unreachable(&error))?;
        let (status, headers) = (response.status(), response.headers().clone());
        pause.ask(nothing_left(&headers));
        let body = self.read_body(response).await?;
        if !status.is_success() {
            return Err(self.classify(status.as_u16(), &headers, &body));
        }
        if serde_json::from_slice::<IgnoredAny>(&body).is_err() {
            return Err(self.transient(format!("{status}: the answer is not JSON{}", request_id(&headers))).into());
        }
        Ok(body)
    }

    async fn read_body(self, mut response: reqwest::Response) -> Result<Vec<u8>, ProviderError> {
        let mut body = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(|error| self.unreachable(&error))? {
            body.extend_from_slice(&chunk);
            if body.len() > BODY_LIMIT {
                return Err(self.transient(format!("the answer is longer than {BODY_LIMIT} bytes")));
            }
        }
        Ok(body)
    }

    fn unreachable(self, error: &reqwest::Error) -> ProviderError {
        let what = match error {
            error if error.is_connect() => "cannot connect",
            error if error.is_timeout() => "no answer in time",
            _ => "the connection broke",
        };
        let mut cause: &dyn std::error::Error = error;
        while let Some(source) = cause.source() {
            cause = source;
        }
        // The innermost cause has no URL.
        self.transient(if cause.is::<reqwest::Error>() { what.to_owned() } else { format!("{what}: {cause}") })
    }

    /// What a status that is no success means.
    fn classify(self, status: u16, headers: &HeaderMap, body: &[u8]) -> Failure {
        #[derive(Deserialize)]
        struct Wrapped {
            error: WireError,
        }
        let error =
            serde_json::from_slice::<Wrapped>(body).map_or_else(|_| WireError::default(), |wrapped| wrapped.error);
        let code = error.code();
        let kind = error.r#type.unwrap_or_default();
        let text = quote(&error.message.unwrap_or_default());
        let code_text = quote(&code);
        let message = format!(
            "{}{}",
            [&status.to_string(), &code_text, &text].map(String::as_str).join(" ").trim_end(),
            request_id(headers)
        );
        let retry_after = retry_after(headers, Utc::now());
        let no_money =
            kind == "insufficient_quota" || ["credit", "spend", "quota"].iter().any(|word| code.contains(word));
        let Self { service, key, base_url, .. } = self;
        let error = match status {
            // The message of a refused key shows part of it.
            401 | 403 => self.misconfigured(format!("{status} {code_text}: {key} is refused{}", request_id(headers))),
            400 | 404 if code == "model_not_found" => return Failure::ModelGone(message),
            404 => self.misconfigured(format!("{message}: check {} and {base_url}", self.model)),
            429 if no_money => self.misconfigured(format!("{message}: the account is out of quota")),
            429 => ProviderError::RateLimited { service, message, retry_after },
            408 | 409 | 500.. => ProviderError::Transient { service, message, retry_after },
            ..400 => self.misconfigured(format!("{message}: check {base_url}")),
            _ => ProviderError::Rejected { service, message },
        };
        error.into()
    }

    pub(super) fn transient(self, message: String) -> ProviderError {
        ProviderError::Transient { service: self.service, message, retry_after: None }
    }

    pub(super) fn misconfigured(self, message: String) -> ProviderError {
        ProviderError::Misconfigured { service: self.service, message }
    }
}

/// The wait that the service asks for: milliseconds, seconds, or a date; 1 s to 1 h.
fn retry_after(headers: &HeaderMap, now: DateTime<Utc>) -> Option<Duration> {
    let wait = if let Some(ms) = header(headers, "retry-after-ms").and_then(|ms| ms.parse::<f64>().ok()) {
        Duration::try_from_secs_f64(ms / 1_000.0).ok()?
    } else {
        let value = header(headers, "retry-after")?;
        match value.parse::<f64>() {
            Ok(seconds) => Duration::try_from_secs_f64(seconds).ok()?,
            Err(_) => (DateTime::parse_from_rfc2822(value).ok()?.to_utc() - now).to_std().unwrap_or_default(),
        }
    };
    Some(wait.clamp(WAITS.0, WAITS.1))
}

/// How long the service says that nothing is left of a limit; at most 1 h.
fn nothing_left(headers: &HeaderMap) -> Option<Duration> {
    let of = |limit: &str| {
        let left = header(headers, &format!("x-ratelimit-remaining-{limit}"))?;
        let wait = header(headers, &format!("x-ratelimit-reset-{limit}")).filter(|_| left == "0")?;
        parse_wait(wait)
    };
    Some(["requests", "tokens"].into_iter().filter_map(of).max()?.min(WAITS.1))
}

/// A duration such as `120ms`, `1s`, `6m0s` or `1h2m3.5s`. The grammar is unconfirmed: anything else is no duration.
fn parse_wait(text: &str) -> Option<Duration> {
    let mut seconds = 0.0;
    let mut rest = text;
    while !rest.is_empty() {
        let number_end = rest.find(|c: char| !c.is_ascii_digit() && c != '.')?;
        let (number, unit_on) = rest.split_at(number_end);
        let unit_end = unit_on.find(|c: char| c.is_ascii_digit()).unwrap_or(unit_on.len());
        let (unit, after) = unit_on.split_at(unit_end);
        let scale = match unit {
            "ms" => 0.001,
            "s" => 1.0,
            "m" => 60.0,
            "h" => 3_600.0,
            "d" => 86_400.0,
            _ => return None,
        };
        seconds += number.parse::<f64>().ok()? * scale;
        rest = after;
    }
    if text.is_empty() { None } else { Duration::try_from_secs_f64(seconds).ok() }
}

fn header<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers.get(name)?.to_str().ok().map(str::trim)
}

fn request_id(headers: &HeaderMap) -> String {
    header(headers, "x-request-id").map(|id| format!(" (request {})", quote(id))).unwrap_or_default()
}

/// One line of a foreign text, not too long.
pub(super) fn quote(text: &str) -> String {
    let line = validate::plain_text(text);
    match line.char_indices().nth(QUOTE) {
        Some((end, _)) => format!("{}…", &line[..end]),
        None => line,
    }
}

#[cfg(test)]
mod tests {
    use reqwest::header::HeaderName;
    use serde_json::json;

    use super::*;

    const ACCOUNT: Account = Account { service: "vendor", key: "KEY", base_url: "URL", model: "MODEL" };

    fn headers(pairs: &[(&'static str, &'static str)]) -> HeaderMap {
        let pairs = pairs.iter().map(|(name, value)| (HeaderName::from_static(name), HeaderValue::from_static(value)));
        pairs.collect()
    }

    fn code(status: u16, kind: &str, code: &str) -> &'static str {
        let body = json!({ "error": { "message": "m", "type": kind, "param": null, "code": code } }).to_string();
        match ACCOUNT.classify(status, &HeaderMap::new(), body.as_bytes()) {
            Failure::ModelGone(_) => "model_gone",
            Failure::Other(error) => error.code(),
        }
    }

    #[test]
    fn every_status_has_its_consequence() {
        for status in [400, 413, 422] {
            assert_eq!(code(status, "invalid_request_error", "x"), "provider_rejected");
        }
        for status in [302, 401, 403, 404] {
            assert_eq!(code(status, "invalid_request_error", "x"), "provider_misconfigured");
        }
        for status in [408, 409, 500, 502, 503, 504] {
            assert_eq!(code(status, "server_error", "x"), "provider_unavailable");
        }
        for status in [400, 404] {
            assert_eq!(code(status, "invalid_request_error", "model_not_found"), "model_gone");
        }
        assert_eq!(code(429, "requests", "rate_limit_exceeded"), "rate_limited");
        assert_eq!(code(429, "rate_limit_error", "slow_down"), "rate_limited");
        assert_eq!(code(429, "insufficient_quota", "insufficient_quota"), "provider_misconfigured");
        assert_eq!(code(429, "x", "credit_balance_exhausted"), "provider_misconfigured");
        assert_eq!(code(429, "x", "spend_limit_reached"), "provider_misconfigured");
    }

    #[test]
    fn bodies_of_another_form_are_no_obstacle() {
        let message = |status, body: &[u8]| ACCOUNT.classify(status, &HeaderMap::new(), body).to_string();
        assert_eq!(message(429, b"<html>busy</html>"), "vendor: 429");
        assert_eq!(message(400, br#"{"error":{"message":"no","code":400}}"#), "vendor: 400 400 no");
        assert_eq!(message(503, br#"{"error":"overloaded"}"#), "vendor: 503");
    }

    #[test]
    fn the_wait_is_read_in_all_its_forms_and_kept_within_a_second_and_an_hour() {
        let now = DateTime::parse_from_rfc2822("Sun, 22 Nov 2026 10:00:00 GMT").unwrap().to_utc();
        let wait =
            |pairs: &[(&'static str, &'static str)]| retry_after(&headers(pairs), now).map(|wait| wait.as_millis());
        assert_eq!(wait(&[("retry-after", "7")]), Some(7_000));
        assert_eq!(wait(&[("retry-after", "0.5")]), Some(1_000));
        assert_eq!(wait(&[("retry-after", "0")]), Some(1_000));
        assert_eq!(wait(&[("retry-after", "86400")]), Some(3_600_000));
        assert_eq!(wait(&[("retry-after", "7"), ("retry-after-ms", "2500")]), Some(2_500));
        assert_eq!(wait(&[("retry-after-ms", "250")]), Some(1_000));
        assert_eq!(wait(&[("retry-after", "Sun, 22 Nov 2026 10:00:20 GMT")]), Some(20_000));
        assert_eq!(wait(&[("retry-after", "Sun, 22 Nov 2026 09:00:00 GMT")]), Some(1_000));
        assert_eq!(wait(&[("retry-after", "-1")]), None);
        assert_eq!(wait(&[("retry-after", "soon")]), None);
        assert_eq!(wait(&[]), None);
    }

    #[test]
    fn a_limit_with_nothing_left_asks_for_a_pause_until_its_reset() {
        let pause =
            |pairs: &[(&'static str, &'static str)]| nothing_left(&headers(pairs)).map(|pause| pause.as_millis());
        let (left, reset) = ("x-ratelimit-remaining-requests", "x-ratelimit-reset-requests");
        assert_eq!(pause(&[(left, "0"), (reset, "6m0s")]), Some(360_000));
        assert_eq!(pause(&[(left, "0"), (reset, "120ms")]), Some(120));
        assert_eq!(pause(&[(left, "0"), (reset, "1h2m3.5s")]), Some(3_600_000));
        assert_eq!(pause(&[(left, "1"), (reset, "6m0s")]), None);
        assert_eq!(pause(&[(left, "0")]), None);
        for odd in ["", "soon", "6", "6m0", "1y"] {
            assert_eq!(pause(&[(left, "0"), (reset, odd)]), None, "{odd:?}");
        }
        let tokens = [("x-ratelimit-remaining-tokens", "0"), ("x-ratelimit-reset-tokens", "2s")];
        assert_eq!(pause(&[(left, "0"), (reset, "1s"), tokens[0], tokens[1]]), Some(2_000), "the longer one");
    }

    #[test]
    fn a_pause_is_told_once() {
        let pause = Pause::default();
        assert_eq!(pause.take(), None);
        pause.ask(Some(Duration::from_secs(60)));
        pause.ask(None);
        let told = pause.take().unwrap();
        assert!(told > Duration::from_secs(50) && told <= Duration::from_secs(60), "{told:?}");
        assert_eq!(pause.take(), None);
    }
}
