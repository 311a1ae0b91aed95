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
    base_url: Url,
}

/// It, if the variables have its key.
pub(super) fn configured(config: &Config) -> Result<Option<Stripe>, ProviderError> {
    let value = |variable| config.value(Name::Payments, variable);
    let Some(key) = value("STRIPE_API_KEY").filter(|_| config.is_configured(Name::Payments)) else { return Ok(None) };
    Stripe::new(key, value("STRIPE_BASE_URL").unwrap_or(BASE_URL)).map(Some)
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
        Ok(Self { client, key: key.into(), base_url })
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
                return Err(unanswered(request, format!("answered with over {MOST_BYTES} bytes")));
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
    unanswered(request, if error.is_timeout() { "no answer in time" } else { "the connection broke off" }.to_owned())
}

impl Provider for Stripe {
    fn name(&self) -> &'static str {
        NAME
    }
}

impl Gateway for Stripe {
    fn send<'a>(&'a self, request: &'a Request) -> BoxFuture<'a, Result<Reply, ProviderError>> {
        self.carry_out(request).boxed()
    }
}
