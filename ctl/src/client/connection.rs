//! A connection to the API: its address, its token, and how an answer is read.

use std::{error::Error as _, path::Path, time::Duration};

use anyhow::{Context, Result, bail};
use api::Problem;
use reqwest::{Method, RequestBuilder, Response, Url, header::RETRY_AFTER};
use secrecy::{ExposeSecret, SecretString};
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::error::CallError;
use crate::table::{cut, one_line};

/// Where `./dev` leaves a token.
const TOKEN_FILE: &str = ".dev/token";
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// On top of what a long poll waits.
pub(super) const ANSWER_TIMEOUT: Duration = Duration::from_secs(30);

/// A connection to the API.
#[derive(Debug, Clone)]
pub(crate) struct Api {
    http: reqwest::Client,
    base: Url,
    token: Option<SecretString>,
}

/// The given token, or that of the file. An empty one is none: `ECOM_TOKEN=` in an environment file means that it is not set.
fn choose_token(given: Option<SecretString>, file: impl FnOnce() -> Option<SecretString>) -> Option<SecretString> {
    let text = |token: SecretString| {
        Some(token.expose_secret().trim()).filter(|token| !token.is_empty()).map(SecretString::from)
    };
    given.and_then(text).or_else(|| file().and_then(text))
}

impl Api {
    /// Reads the address, and the token from [`TOKEN_FILE`] when none is given. Does not connect.
    pub(crate) fn new(url: &str, token: Option<SecretString>) -> Result<Self> {
        let base = Url::parse(url)
            .with_context(|| format!("ECOM_URL={url:?} is no URL; it looks like http://127.0.0.1:8080"))?;
        if !matches!(base.scheme(), "http" | "https") || base.host_str().is_none() {
            bail!("ECOM_URL={url:?} is no http or https URL; it looks like http://127.0.0.1:8080");
        }
        let token = choose_token(token, || Some(std::fs::read_to_string(Path::new(TOKEN_FILE)).ok()?.into()));
        // TLS is ring's; fails when one is installed already, which is as good.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let mut http = reqwest::Client::builder().connect_timeout(CONNECT_TIMEOUT).timeout(ANSWER_TIMEOUT);
        if is_loopback(&base) {
            // A proxy of the environment cannot know this machine's loopback.
            http = http.no_proxy();
        }
        let http = http.build().context("no HTTP client can be built")?;
        Ok(Self { http, base, token })
    }

    /// The address, without a slash at its end.
    pub(crate) fn url(&self, path: &str) -> String {
        format!("{}{path}", self.base.as_str().trim_end_matches('/'))
    }

    /// An answer of the API as a type of ours.
    pub(crate) fn understand<T: DeserializeOwned>(&self, answer: Value) -> Result<T, CallError> {
        let body = answer.to_string();
        serde_json::from_value(answer).map_err(|error| CallError::Unexpected {
            url: self.base.to_string(),
            status: 200,
            body: format!("{error}: {}", beginning(&body)),
        })
    }

    pub(crate) fn request(&self, method: Method, path: &str) -> RequestBuilder {
        let request = self.http.request(method, self.url(path));
        match &self.token {
            Some(token) => request.bearer_auth(token.expose_secret()),
            None => request,
        }
    }

    pub(crate) fn unreachable(&self, error: &reqwest::Error) -> CallError {
        CallError::Unreachable { base: self.url(""), reason: innermost_reason(error) }
    }

    pub(super) async fn call<T: DeserializeOwned>(&self, request: RequestBuilder) -> Result<T, CallError> {
        let response = request.send().await.map_err(|error| self.unreachable(&error))?;
        self.read(response).await
    }

    /// The answer as JSON, or why there is none.
    pub(crate) async fn read<T: DeserializeOwned>(&self, response: Response) -> Result<T, CallError> {
        let (status, url) = (response.status(), response.url().to_string());
        let retry_after = retry_after(&response);
        let body = response.bytes().await.map_err(|error| self.unreachable(&error))?;
        if !status.is_success()
            && let Ok(problem) = serde_json::from_slice::<Problem<'static>>(&body)
        {
            return Err(CallError::Refused { status: status.as_u16(), problem: Box::new(problem), retry_after });
        }
        let unexpected = || {
            let body = beginning(&String::from_utf8_lossy(&body));
            CallError::Unexpected { url, status: status.as_u16(), body }
        };
        match serde_json::from_slice(&body) {
            Ok(answer) if status.is_success() => Ok(answer),
            _ => Err(unexpected()),
        }
    }
}

fn is_loopback(url: &Url) -> bool {
    let host = url.host_str().unwrap_or_default().trim_matches(['[', ']']);
    host == "localhost" || host.parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback())
}

fn retry_after(response: &Response) -> Option<Duration> {
    response.headers().get(RETRY_AFTER)?.to_str().ok()?.parse().ok().map(Duration::from_secs)
}

/// The outer errors only repeat the URL.
fn innermost_reason(error: &reqwest::Error) -> String {
    if error.is_timeout() {
        return "no answer in time".to_owned();
    }
    let mut reason = error.to_string();
    let mut source = error.source();
    while let Some(inner) = source {
        reason = inner.to_string();
        source = inner.source();
    }
    reason
}

fn beginning(body: &str) -> String {
    cut(&one_line(body), 200)
}

#[cfg(test)]
mod tests {
    use wiremock::{Mock, MockServer, ResponseTemplate, matchers::any};

    use super::*;

    #[test]
    fn an_empty_token_does_not_hide_that_of_the_file() {
        let chosen = |given: Option<&str>, file: Option<&str>| {
            choose_token(given.map(SecretString::from), || file.map(SecretString::from))
                .map(|token| token.expose_secret().to_owned())
        };
        assert_eq!(chosen(Some(" given\n"), Some("file")).as_deref(), Some("given"));
        for empty in [None, Some(""), Some(" \n")] {
            assert_eq!(chosen(empty, Some("file\n")).as_deref(), Some("file"), "{empty:?}");
            assert_eq!(chosen(empty, Some("\n")), None);
            assert_eq!(chosen(empty, None), None);
        }
    }

    #[tokio::test]
    async fn a_server_that_is_not_there_is_named() {
        let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let api = Api::new(&format!("http://127.0.0.1:{port}/"), Some("t".into())).unwrap();
        let error = api.queues().await.unwrap_err();
        let text = error.to_string();
        assert!(text.starts_with(&format!("http://127.0.0.1:{port} cannot be reached: ")), "{text}");
        assert!(text.contains("refused") && text.contains("ECOM_URL"), "{text}");
        assert!(error.retry_after().is_some());
    }

    #[test]
    fn an_address_that_is_none_is_refused() {
        for url in ["127.0.0.1:8080", "ftp://localhost", "", "localhost"] {
            assert!(Api::new(url, None).unwrap_err().to_string().contains("http://127.0.0.1:8080"), "{url}");
        }
    }

    #[tokio::test]
    async fn an_answer_of_something_else_is_told_apart() {
        let server = MockServer::start().await;
        let page = ResponseTemplate::new(404).set_body_string("<html>nginx</html>");
        Mock::given(any()).respond_with(page).mount(&server).await;
        let error = Api::new(&server.uri(), Some("t".into())).unwrap().queues().await.unwrap_err();
        assert!(matches!(&error, CallError::Unexpected { status: 404, .. }), "{error:?}");
        assert!(error.to_string().contains("nginx") && error.to_string().contains("ECOM_URL"), "{error}");
    }
}
