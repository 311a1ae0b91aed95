//! An answer of the API.

use reqwest::{RequestBuilder, header::HeaderMap};
use serde_json::Value;

/// Status, headers and body; a body that is no JSON is a string.
#[derive(Debug, Clone)]
pub struct Answer {
    /// Its status.
    pub status: u16,
    /// Its headers.
    pub headers: HeaderMap,
    /// Its body.
    pub body: Value,
}

impl Answer {
    /// Sends a request.
    ///
    /// # Errors
    /// When no whole answer comes.
    pub async fn to(request: RequestBuilder) -> reqwest::Result<Self> {
        let response = request.send().await?;
        let (status, headers) = (response.status().as_u16(), response.headers().clone());
        let text = response.text().await?;
        let body = serde_json::from_str(&text).unwrap_or(Value::String(text));
        Ok(Self { status, headers, body })
    }

    /// A header's text; empty when there is none.
    #[must_use]
    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
    }

    /// Fails unless it is this problem, in the form of RFC 9457.
    ///
    /// # Panics
    /// When it is not.
    #[track_caller]
    pub fn assert_problem(&self, status: u16, slug: &str) {
        let kind = format!("https://ecomsimply.example/problems/{slug}");
        assert_eq!((self.status, self.body["type"].as_str()), (status, Some(kind.as_str())), "{}", self.body);
        assert_eq!(self.header("content-type"), "application/problem+json");
        assert_eq!(self.body["status"], status);
        assert!(self.body["title"].is_string() && self.body["detail"].is_string(), "{}", self.body);
        assert_eq!(self.body["request_id"], self.header("x-request-id"));
    }
}
