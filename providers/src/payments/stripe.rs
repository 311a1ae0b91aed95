//! Stripe's API v1 over HTTP. Nothing is sent twice here: the caller gives the key by which it can repeat a call.

use std::time::Duration;

use futures::future::{BoxFuture, FutureExt};
use reqwest::{
    Client,
    header::{CONTENT_TYPE, HeaderValue},
    redirect,
};
use secrecy::{ExposeSecret, SecretString};
use services::{Config, Name};
use sha2::{Digest, Sha256};
use url::Url;

use super::{
    answer::{Answered, unanswered},
    gateway::{Gateway, Method, NAME, Reply, Request},
};
use crate::{chain::Provider, error::ProviderError, http};

/// The version of the API that this client reads. Without it an account's own default would hold.
pub const API_VERSION: &str = "2026-10-28.endive";
const BASE_URL: &str = "https://api.stripe.com";
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
const TIMEOUT: Duration = Duration::from_secs(30);
/// Of an answer, in bytes: a page of 100 events with their objects.
const MOST_BYTES: usize = 16 * 1024 * 1024;

/// The client of one account.
#[derive(Debug)]
pub struct Stripe {
    client: Client,
    key: SecretString,
    /// Tells this key from others, and not what it is.
    account: String,
    base_url: Url,
}

/// It, if the variables have its key.
pub(super) fn configured(config: &Config) -> Result<Option<Stripe>, ProviderError> {
    let value = |variable| config.value(Name::Payments, variable);
    let Some(key) = value("STRIPE_API_KEY").filter(|_| config.is_configured(Name::Payments)) else { return Ok(None) };
    Stripe::new(key, value("STRIPE_BASE_URL").unwrap_or(BASE_URL)).map(Some)
}

/// Whether the key is for real money; `None` without a key.
pub(super) fn livemode(config: &Config) -> Option<bool> {
    config.value(Name::Payments, "STRIPE_API_KEY").map(|key| key.split('_').nth(1) == Some("live"))
}

impl Stripe {
    /// With a secret or restricted key, at this address.
    ///
    /// # Errors
    /// [`ProviderError::Misconfigured`] when the address is none, the key is no header, or no client can be built.
    pub fn new(key: &str, base_url: &str) -> Result<Self, ProviderError> {
        let misconfigured = |message: String| ProviderError::Misconfigured { service: NAME, message };
        HeaderValue::from_str(key).map_err(|_| {
            misconfigured("STRIPE_API_KEY holds characters that a header cannot; copy it again".to_owned())
        })?;
        let base_url =
            Url::parse(base_url).map_err(|error| misconfigured(format!("STRIPE_BASE_URL={base_url:?}: {error}")))?;
        let client = http::client()
            .connect_timeout(CONNECT_TIMEOUT)
            .timeout(TIMEOUT)
            .redirect(redirect::Policy::none())
            .build()
            .map_err(|error| misconfigured(format!("no HTTP client can be built: {error}")))?;
        let account = hex::encode(&Sha256::digest(key)[..4]);
        Ok(Self { client, key: key.into(), account, base_url })
    }

    async fn carry_out(&self, request: &Request) -> Result<Reply, ProviderError> {
        let mut url = self.base_url.clone();
        url.set_path(&format!("{}/v1/{}", self.base_url.path().trim_end_matches('/'), request.path));
        let params = request.params.encoded();
        let mut call = match request.method {
            Method::Post => {
                self.client.post(url).header(CONTENT_TYPE, "application/x-www-form-urlencoded").body(params)
            }
            method => {
                url.set_query((!params.is_empty()).then_some(&params));
                match method {
                    Method::Delete => self.client.delete(url),
                    _ => self.client.get(url),
                }
            }
        };
        call = call.bearer_auth(self.key.expose_secret()).header("stripe-version", API_VERSION);
        if let Some(key) = &request.idempotency_key {
            call = call.header("idempotency-key", key);
        }
        let mut response = call.send().await.map_err(|error| failure(request, &error))?;
        let (status, headers) = (response.status().as_u16(), response.headers().clone());
        let mut body = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(|error| failure(request, &error))? {
            if body.len() + chunk.len() > MOST_BYTES {
                return Err(unanswered(request, &format!("answered with over {MOST_BYTES} bytes")));
            }
            body.extend_from_slice(&chunk);
        }
        Answered { status, headers: &headers, body: &body }.meaning(request)
    }
}

fn failure(request: &Request, error: &reqwest::Error) -> ProviderError {
    if error.is_connect() || error.is_builder() {
        // Nothing was sent.
        let message = format!("{}: Stripe cannot be reached; check the network and STRIPE_BASE_URL", request.words());
        return ProviderError::Transient { service: NAME, message, retry_after: None };
    }
    unanswered(request, if error.is_timeout() { "no answer in time" } else { "the connection broke off" })
}

impl Provider for Stripe {
    fn name(&self) -> &'static str {
        NAME
    }

    fn account(&self) -> Option<&str> {
        Some(&self.account)
    }
}

impl Gateway for Stripe {
    fn send<'a>(&'a self, request: &'a Request) -> BoxFuture<'a, Result<Reply, ProviderError>> {
        self.carry_out(request).boxed()
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};
    use wiremock::{
        Mock, MockServer, ResponseTemplate,
        matchers::{any, body_string, header, header_exists, method, path, query_param},
    };

    use super::*;
    use crate::payments::form::Form;

    fn write() -> Request {
        Request::post("customers", Form::new().with("email", "a@shop.example"), "job:1:customer")
    }

    fn reads() -> Request {
        Request::get("customers/cus_1", Form::new())
    }

    async fn sent(request: &Request, answer: ResponseTemplate) -> Result<Reply, ProviderError> {
        let server = MockServer::start().await;
        Mock::given(any()).respond_with(answer).expect(1).mount(&server).await;
        let sent = Stripe::new("sk_test_hush", &server.uri()).unwrap().send(request).await;
        if let Err(error) = &sent {
            assert!(!error.to_string().contains("hush"), "{error}");
        }
        sent
    }

    fn error(kind: &str, code: &str) -> Value {
        json!({ "error": { "type": kind, "code": code, "message": "It said so.", "param": "email", "decline_code": null } })
    }

    fn answer(status: u16) -> ResponseTemplate {
        ResponseTemplate::new(status).set_body_json(error("invalid_request_error", "some_code"))
    }

    #[tokio::test]
    async fn a_call_has_key_version_and_form() {
        let server = MockServer::start().await;
        let stripe = Stripe::new("sk_test_hush", &format!("{}/", server.uri())).unwrap();
        Mock::given(method("POST"))
            .and(path("/v1/customers"))
            .and(header("authorization", "Bearer sk_test_hush"))
            .and(header("stripe-version", API_VERSION))
            .and(header("idempotency-key", "job:1:customer"))
            .and(header("content-type", "application/x-www-form-urlencoded"))
            .and(body_string("email=a%40shop.example"))
            .respond_with(ResponseTemplate::new(200).set_body_json(json!({ "id": "cus_1" })))
            .expect(1)
            .mount(&server)
            .await;
        assert_eq!(stripe.send(&write()).await, Ok(Reply::Done(json!({ "id": "cus_1" }))));
        Mock::given(method("GET"))
            .and(path("/v1/events"))
            .and(query_param("created[gte]", "7"))
            .and(header_exists("stripe-version"))
            .respond_with(ResponseTemplate::new(200).set_body_json(json!({ "data": [] })))
            .expect(1)
            .mount(&server)
            .await;
        let listed = stripe.send(&Request::get("events", Form::new().with("created[gte]", 7))).await;
        assert!(listed.is_ok(), "{listed:?}");
        assert!(!format!("{stripe:?}").contains("hush"));
    }

    #[tokio::test]
    async fn what_an_answer_means_is_decided_by_its_header_then_its_status() {
        let limit = || ResponseTemplate::new(400).set_body_json(error("invalid_request_error", "rate_limit"));
        let lock = || ResponseTemplate::new(429).set_body_json(error("invalid_request_error", "lock_timeout"));
        let told = |status: u16, retry: &str| answer(status).insert_header("stripe-should-retry", retry);
        // Status and header; what it means for a read, and for a write. `refused`: only the caller knows.
        for (name, answer, read, write) in [
            ("400", answer(400), "refused", "refused"),
            ("402", answer(402), "refused", "refused"),
            ("404", answer(404), "refused", "refused"),
            ("400 rate_limit", limit(), "rate_limited", "rate_limited"),
            ("401", answer(401), "provider_misconfigured", "provider_misconfigured"),
            ("403", answer(403), "provider_misconfigured", "provider_misconfigured"),
            ("409", answer(409), "deferred", "deferred"),
            ("424", answer(424), "provider_unavailable", "provider_unavailable"),
            ("429", answer(429), "rate_limited", "rate_limited"),
            ("429 lock_timeout", lock(), "deferred", "deferred"),
            ("500", answer(500), "provider_unavailable", "unknown_outcome"),
            ("503", answer(503), "provider_unavailable", "unknown_outcome"),
            (
                "504 page",
                ResponseTemplate::new(504).set_body_string("<html>"),
                "provider_unavailable",
                "unknown_outcome",
            ),
            (
                "200 page",
                ResponseTemplate::new(200).set_body_string("<html>"),
                "provider_unavailable",
                "unknown_outcome",
            ),
            ("302", ResponseTemplate::new(302), "provider_misconfigured", "provider_misconfigured"),
            (
                "404 page",
                ResponseTemplate::new(404).set_body_string("<html>"),
                "provider_unavailable",
                "provider_unavailable",
            ),
            ("400 true", told(400, "true"), "provider_unavailable", "provider_unavailable"),
            ("409 false", told(409, "false"), "refused", "refused"),
            ("429 false", told(429, "false"), "refused", "refused"),
            ("500 false", told(500, "false"), "provider_unable", "unknown_outcome"),
            ("500 true", told(500, "true"), "provider_unavailable", "unknown_outcome"),
        ] {
            for (request, expected) in [(reads(), read), (self::write(), write)] {
                let meaning = match sent(&request, answer.clone()).await {
                    Ok(Reply::Refused(_)) => "refused",
                    Ok(Reply::Done(_)) => "done",
                    Err(error) => error.code(),
                };
                assert_eq!(meaning, expected, "{name}: {}", request.words());
            }
        }
    }

    #[tokio::test]
    async fn words_name_what_failed_and_what_to_do() {
        let refused = |kind: &'static str, code: &'static str, status: u16| async move {
            let answer = ResponseTemplate::new(status).set_body_json(error(kind, code));
            match sent(&write(), answer).await {
                Ok(Reply::Refused(refusal)) => refusal.rejected(&write()).to_string(),
                other => panic!("{other:?}"),
            }
        };
        for (kind, code, status, told) in [
            (
                "card_error",
                "card_declined",
                402,
                "the payment was declined (card_declined): It said so; another payment method is needed",
            ),
            ("idempotency_error", "", 400, "\"job:1:customer\" was used for other parameters"),
            (
                "invalid_request_error",
                "resource_missing",
                404,
                "nothing has this id (email) in the key's account and mode",
            ),
            ("invalid_request_error", "parameter_unknown", 400, "400 parameter_unknown of email: It said so"),
        ] {
            let words = refused(kind, code, status).await;
            assert!(words.starts_with("stripe: POST /v1/customers: ") && words.contains(told), "{words}");
        }
        let replayed = answer(500).insert_header("idempotent-replayed", "true").insert_header("request-id", "req_7");
        let words = sent(&write(), replayed).await.unwrap_err().to_string();
        assert!(
            words.contains("stored for the idempotency key \"job:1:customer\"") && words.contains("req_7"),
            "{words}"
        );
        let no_right = sent(&reads(), answer(403)).await.unwrap_err();
        assert!(matches!(no_right, ProviderError::NoRight { .. }), "{no_right:?}");
        let words = no_right.to_string();
        assert!(words.contains("may not do GET /v1/customers/cus_1: give a restricted key this right"), "{words}");
        let words = sent(&write(), answer(401)).await.unwrap_err().to_string();
        assert!(words.contains("STRIPE_API_KEY is refused"), "{words}");
        let limited = sent(&reads(), answer(429).insert_header("retry-after", "7")).await.unwrap_err();
        assert!(matches!(limited, ProviderError::RateLimited { retry_after: Some(wait), .. } if wait.as_secs() == 7));
    }

    #[tokio::test]
    async fn what_never_arrived_can_be_sent_again_and_of_a_lost_answer_nobody_knows() {
        let nowhere = Stripe::new("sk_test_hush", "http://127.0.0.1:1").unwrap();
        for request in [reads(), write()] {
            assert_eq!(nowhere.send(&request).await.unwrap_err().code(), "provider_unavailable");
        }
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let drops = Stripe::new("sk_test_hush", &format!("http://{}", listener.local_addr().unwrap())).unwrap();
        let dropping = tokio::spawn(async move {
            loop {
                let (mut stream, _) = listener.accept().await.unwrap();
                let mut some = [0; 64];
                tokio::io::AsyncReadExt::read(&mut stream, &mut some).await.unwrap();
            }
        });
        assert_eq!(drops.send(&write()).await.unwrap_err().code(), "unknown_outcome");
        assert_eq!(drops.send(&Request::delete("subscriptions/sub_1")).await.unwrap_err().code(), "unknown_outcome");
        assert_eq!(drops.send(&reads()).await.unwrap_err().code(), "provider_unavailable");
        let reckons = Request::reckon("invoices/create_preview", Form::new());
        assert_eq!(drops.send(&reckons).await.unwrap_err().code(), "provider_unavailable", "it changes nothing");
        dropping.abort();
        assert_eq!(Stripe::new("sk_test\n", "http://127.0.0.1:1").unwrap_err().code(), "provider_misconfigured");
    }
}
