//! The way to a vendor of language models and back, whatever the protocol: one request, and what statuses and headers mean.

use std::{
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

use reqwest::header::{HeaderMap, HeaderValue};
use secrecy::ExposeSecret;
use serde_json::Value;

use super::{
    end_point::{EndPoint, Failure},
    refusal::{self, Said},
};
use crate::{
    ProviderError, http,
    wait::{self, header},
};

const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// Far above the longest text; a body beyond it is no answer.
const BODY_LIMIT: usize = 4 << 20;
/// The wait that the headers of an answer ask for, until someone takes it.
#[derive(Debug, Default)]
pub(super) struct Pause(Mutex<Option<Instant>>);

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

impl EndPoint {
    /// A client whose requests may take `timeout` each. Redirects come from a proxy or a wrong address, and are not followed.
    pub(super) fn client(self, timeout: Duration) -> Result<reqwest::Client, ProviderError> {
        http::client()
            .connect_timeout(CONNECT_TIMEOUT)
            .timeout(timeout)
            .redirect(reqwest::redirect::Policy::none())
            .build()
            .map_err(|error| self.misconfigured(format!("no HTTP client can be built: {error}")))
    }

    /// The key, if a header can hold it.
    pub(super) fn sendable_key(self, settings: &services::OpenAi) -> Result<&str, ProviderError> {
        let key = settings.api_key.expose_secret();
        match HeaderValue::from_str(key) {
            Ok(_) => Ok(key),
            Err(_) => {
                Err(self.misconfigured(format!("{} holds characters that a header cannot; copy it again", self.key)))
            }
        }
    }

    /// Sends a request once and sorts everything but a success with JSON, while the headers are still at hand. An answer is one
    /// value, or the pieces of a stream, which some send unasked.
    pub(super) async fn exchange(
        self,
        http: &reqwest::Client,
        request: reqwest::Request,
        pause: &Pause,
    ) -> Result<Vec<Value>, Failure> {
        let response = http.execute(request).await.map_err(|error| self.unreachable(&error))?;
        let (status, headers) = (response.status(), response.headers().clone());
        pause.ask(nothing_left(&headers));
        let body = self.read_body(response).await?;
        if !status.is_success() {
            return Err(refusal::sort(self, status.as_u16(), &headers, &Said::of(&body)));
        }
        let values = values(&body);
        if values.is_empty() {
            let said = Said::of(&body).shown();
            return Err(self.transient(format!("{status}: the answer is not JSON: {said}")).into());
        }
        match refused(&values) {
            Some(said) => Err(refusal::sort(self, 200, &headers, &said)),
            None => Ok(values),
        }
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
}

/// What an answer says that is none. A stream tells it within its last state.
fn refused(values: &[Value]) -> Option<Said> {
    values.iter().find_map(|value| Said::within(value).or_else(|| Said::within(&value["response"])))
}

/// One JSON value, or those of an event stream; none when it is neither.
fn values(body: &[u8]) -> Vec<Value> {
    let body = body.strip_prefix("\u{feff}".as_bytes()).unwrap_or(body);
    match serde_json::from_slice(body) {
        Ok(value) => vec![value],
        Err(_) => events(&String::from_utf8_lossy(body)),
    }
}

/// The data of each event that is JSON; the mark of the end is not.
fn events(body: &str) -> Vec<Value> {
    let mut values = Vec::new();
    let mut data = String::new();
    for line in body.lines().chain([""]) {
        match line.strip_prefix("data:") {
            Some(piece) => {
                data.push_str(piece);
                data.push('\n');
            }
            None if line.trim().is_empty() => {
                values.extend(serde_json::from_str::<Value>(&std::mem::take(&mut data)).ok());
            }
            None => {}
        }
    }
    values
}

/// How long the service says that nothing is left of a limit; at most 1 h.
fn nothing_left(headers: &HeaderMap) -> Option<Duration> {
    let of = |limit: &str| {
        let left = header(headers, &format!("x-ratelimit-remaining-{limit}"))?;
        let wait = header(headers, &format!("x-ratelimit-reset-{limit}")).filter(|_| left == "0")?;
        parse_wait(wait)
    };
    Some(["requests", "tokens"].into_iter().filter_map(of).max()?.min(wait::LONGEST))
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

#[cfg(test)]
mod tests {
    use reqwest::header::HeaderName;
    use serde_json::json;
    use wiremock::{Mock, MockServer, ResponseTemplate, matchers::any};

    use super::*;

    fn headers(pairs: &[(&'static str, &'static str)]) -> HeaderMap {
        let pairs = pairs.iter().map(|(name, value)| (HeaderName::from_static(name), HeaderValue::from_static(value)));
        pairs.collect()
    }

    #[tokio::test]
    async fn an_error_that_comes_with_200_is_one_and_keeps_its_words() {
        let vendor = EndPoint { service: "vendor", key: "KEY", base_url: "URL", model: "MODEL", is_its_vendor: false };
        for (body, words) in [
            (r#"{"error":"mind lost"}"#, "mind lost"),
            (r#"{"message":"mind lost"}"#, "mind lost"),
            (r#"{"choices":[{"error":{"message":"mind lost","code":502}}]}"#, "mind lost"),
            ("data: {\"error\":{\"message\":\"mind lost\"}}\n\n", "mind lost"),
            ("<html><body><h1>Sign in</h1> to the hotel's network</body></html>", "Sign in to the hotel's network"),
        ] {
            let server = MockServer::start().await;
            Mock::given(any()).respond_with(ResponseTemplate::new(200).set_body_string(body)).mount(&server).await;
            let http = vendor.client(Duration::from_secs(10)).unwrap();
            let request = http.get(server.uri()).build().unwrap();
            let error = vendor.exchange(&http, request, &Pause::default()).await.unwrap_err();
            let Failure::Other(ProviderError::Transient { message, .. }) = &error else { panic!("{error:?}") };
            assert!(message.contains(words), "{message}");
        }
    }

    #[test]
    fn an_answer_is_one_value_or_the_events_of_a_stream() {
        assert_eq!(values("\u{feff} {\"a\":1}\n".as_bytes()), [json!({ "a": 1 })]);
        let stream = ": keep-alive\r\n\r\nevent: x\r\ndata: {\"a\":1}\r\n\r\ndata: {\"a\":\ndata: 2}\n\ndata: [DONE]\n\ndata:{\"a\":3}";
        // The mark of the end is JSON, but not an object.
        let objects = values(stream.as_bytes()).into_iter().filter(Value::is_object).collect::<Vec<_>>();
        assert_eq!(objects, [json!({ "a": 1 }), json!({ "a": 2 }), json!({ "a": 3 })]);
        assert!(values(b"<html></html>").is_empty() && values(b"").is_empty());
    }

    #[test]
    fn a_stream_that_ends_with_a_failure_says_why() {
        let state = |status: &str, error: Value| json!({ "response": { "status": status, "error": error } });
        let failed = state("failed", json!({ "code": "server_error", "message": "mind lost" }));
        let said = refused(&[state("in_progress", json!(null)), failed]).unwrap();
        assert_eq!(said.shown(), "mind lost");
        assert_eq!(refused(&[state("in_progress", json!(null)), state("completed", json!(null))]), None);
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
