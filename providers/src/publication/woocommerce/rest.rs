//! The REST API of WooCommerce: credentials, addresses, and what its answers mean.

use std::{sync::Arc, time::Duration};

use base64::{Engine, engine::general_purpose::STANDARD as BASE64};
use chrono::Utc;
use futures::future::{BoxFuture, FutureExt};
use reqwest::header::{AUTHORIZATION, HeaderMap, HeaderValue, LOCATION};
use ring::rand::{SecureRandom, SystemRandom};
use secrecy::ExposeSecret;
use serde::Deserialize;
use serde_json::Value;
use url::Url;

use super::{
    super::{
        send::{Http, Reply, Request, Transport},
        store::{Credentials, Store},
    },
    sign,
};
use crate::{chain::Provider, error::ProviderError, wait};

/// In front of every path.
pub(super) const API: &str = "/wp-json/wc/v3";
pub(super) const SHOP: &str = "woocommerce";
const WORDS: usize = 200;

/// Sends calls to shops with WooCommerce.
#[derive(Debug)]
pub(in super::super) struct Rest {
    http: Arc<Http>,
    in_flight: Option<u32>,
}

/// An error, as the API words it.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub(super) struct Refusal {
    pub(super) code: String,
    pub(super) message: String,
    pub(super) data: Value,
}

impl Refusal {
    /// Of a product or variation that is no longer there: 404 for GET and DELETE, 400 for PUT, 410 for a second DELETE.
    pub(super) fn is_gone(&self) -> bool {
        matches!(
            self.code.as_str(),
            "woocommerce_rest_product_invalid_id"
                | "woocommerce_rest_product_variation_invalid_id"
                | "woocommerce_rest_invalid_product_id"
                | "woocommerce_rest_already_trashed"
        )
    }

    /// Of a route that the shop does not have.
    pub(super) fn is_no_route(&self) -> bool {
        self.code == "rest_no_route"
    }

    /// The id of what has the SKU, GTIN or name already.
    pub(super) fn owner(&self) -> Option<u64> {
        self.data["resource_id"].as_u64()
    }
}

impl Rest {
    /// `in_flight`: calls of a store at the same time.
    pub(in super::super) fn new(http: Arc<Http>, in_flight: Option<u32>) -> Self {
        Self { http, in_flight }
    }
}

impl Provider for Rest {
    fn name(&self) -> &'static str {
        SHOP
    }
}

impl Transport for Rest {
    fn send<'a>(&'a self, store: &'a Store, request: &'a Request) -> BoxFuture<'a, Result<Reply, ProviderError>> {
        async move {
            let (url, headers) = addressed(store, request)?;
            sorted(request, self.http.send(store, request, url, headers).await?)
        }
        .boxed()
    }

    fn in_flight(&self) -> Option<u32> {
        self.in_flight
    }
}

/// The address with the credentials: in a header where the shop sees TLS, otherwise as a signature, which is made anew for each call.
fn addressed(store: &Store, request: &Request) -> Result<(Url, HeaderMap<HeaderValue>), ProviderError> {
    let Credentials::Woocommerce { consumer_key, consumer_secret } = &store.credentials else {
        return Err(misconfigured("the store's credentials are not those of a shop with WooCommerce"));
    };
    let (key, secret) = (consumer_key.expose_secret(), consumer_secret.expose_secret());
    let address = format!("{}{}", store.url.as_str().trim_end_matches('/'), request.path);
    let mut url = Url::parse(&address).map_err(|error| misconfigured(format!("the store's address: {error}")))?;
    let mut headers = HeaderMap::new();
    let query = if url.scheme() == "https" {
        let basic = format!("Basic {}", BASE64.encode(format!("{key}:{secret}")));
        let mut basic = HeaderValue::from_str(&basic)
            .map_err(|_| misconfigured("the consumer key or secret has characters that it cannot have"))?;
        basic.set_sensitive(true);
        headers.insert(AUTHORIZATION, basic);
        request.query.clone()
    } else {
        let nonce = nonce()?;
        let now_s = Utc::now().timestamp();
        sign::signed(request.method.as_str(), url.as_str(), &request.query, (key, secret), now_s, &nonce)
    };
    if !query.is_empty() {
        let pairs = query.iter().map(|(name, value)| format!("{}={}", sign::encoded(name), sign::encoded(value)));
        url.set_query(Some(&pairs.collect::<Vec<_>>().join("&")));
    }
    Ok((url, headers))
}

fn nonce() -> Result<String, ProviderError> {
    let mut bytes = [0; 16];
    SystemRandom::new().fill(&mut bytes).map_err(|_| transient("the system gives no random numbers", None))?;
    Ok(hex::encode(bytes))
}

/// What an answer means where that does not depend on what was asked.
fn sorted(request: &Request, reply: Reply) -> Result<Reply, ProviderError> {
    let what = format!("{} {}", request.method, request.path.trim_start_matches(API));
    let refusal: Option<Refusal> = serde_json::from_slice(&reply.body).ok();
    let is_json = serde_json::from_slice::<serde::de::IgnoredAny>(&reply.body).is_ok();
    let said = refusal.filter(|refusal| !refusal.code.is_empty()).unwrap_or_default();
    let retry_after = wait::retry_after(&reply.headers, Utc::now());
    let unsure = |message: String| match request.is_write {
        true => ProviderError::UnknownOutcome { service: SHOP, message },
        false => transient(message, None),
    };
    match reply.status {
        300..=399 => {
            let to = reply.headers.get(LOCATION).and_then(|to| to.to_str().ok()).unwrap_or("another address");
            let to = to.split('?').next().unwrap_or_default();
            Err(misconfigured(format!(
                "the shop sends {what} on to {to}, which is not followed: the store's address must be the one that WordPress calls its own"
            )))
        }
        401 | 403 if is_json => Err(unauthorized(&said)),
        404 if !is_json => Err(misconfigured(
            "the shop has no REST API at this address: WordPress needs pretty permalinks (Settings, Permalinks, anything but Plain), \
             and the store's address must be the one of its home page",
        )),
        408 => Err(unsure(format!("{what}: the shop did not wait for the request"))),
        413 | 414 if !is_json => Err(ProviderError::Rejected {
            service: SHOP,
            message: format!("{what}: the shop's web server takes no request as long as this"),
        }),
        429 => Err(ProviderError::RateLimited {
            service: SHOP,
            message: format!("{what}: the shop's host has had too many requests"),
            retry_after,
        }),
        // Maintenance of WordPress, which says when to come again: it looks at nothing.
        503 if retry_after.is_some() => {
            Err(transient(format!("{what}: the shop is closed for the moment (503)"), retry_after))
        }
        500.. => Err(unsure(format!("{what}: the shop failed ({}) {}", reply.status, short(&said.message)))),
        _ if is_json => Ok(reply),
        200..=299 => Err(unsure(format!("{what}: a page came instead of an answer ({})", reply.status))),
        status => Err(transient(
            format!("{what}: a page came instead of an answer ({status}), as of a firewall or cache before the shop"),
            retry_after,
        )),
    }
}

/// Why a key opens nothing.
fn unauthorized(said: &Refusal) -> ProviderError {
    let message = &said.message;
    if message.contains("nonce") {
        return transient("a signature came twice", None);
    }
    let why = match said.code.as_str() {
        "woocommerce_rest_authentication_error" if message.contains("write permissions") => {
            "the key may only read: it needs the permission Read/Write".to_owned()
        }
        "woocommerce_rest_authentication_error" if message.contains("timestamp") => {
            "the shop's clock is more than 15 minutes off".to_owned()
        }
        "woocommerce_rest_authentication_error" => {
            format!(
                "the consumer key or secret is wrong, or the address is not the one that WordPress calls its own: {}",
                short(message)
            )
        }
        "woocommerce_rest_cannot_view" => {
            "the key is unknown, or its user may not see products, or the shop sees no https although the \
             address has it (a proxy before it must tell WordPress), or it does not get the Authorization header"
                .to_owned()
        }
        code => format!("the key's user may not do this ({code}): {}", short(message)),
    };
    misconfigured(why)
}

pub(super) fn misconfigured(message: impl Into<String>) -> ProviderError {
    ProviderError::Misconfigured { service: SHOP, message: message.into() }
}

pub(super) fn transient(message: impl Into<String>, retry_after: Option<Duration>) -> ProviderError {
    ProviderError::Transient { service: SHOP, message: message.into(), retry_after }
}

/// The first words of what a shop says.
pub(super) fn short(text: &str) -> String {
    let mut words: String = text.chars().take(WORDS).collect();
    if words.len() < text.len() {
        words.push('…');
    }
    words
}

#[cfg(test)]
mod tests {
    use reqwest::Method;
    use serde_json::json;

    use super::*;
    use crate::publication::Body;

    fn asked(is_write: bool) -> Request {
        let method = if is_write { Method::POST } else { Method::GET };
        let path = format!("{API}/products");
        Request { method, path, query: Vec::new(), body: Body::None, timeout: Duration::from_secs(1), is_write }
    }

    fn code(status: u16, body: &str, is_write: bool) -> String {
        let reply = Reply { status, headers: HeaderMap::new(), body: body.to_owned().into() };
        sorted(&asked(is_write), reply).map_or_else(|error| error.code().to_owned(), |reply| reply.status.to_string())
    }

    #[test]
    fn an_answer_means_what_follows_from_it() {
        let html = "<html>hello</html>";
        for (status, body, read, write) in [
            (200, "[]", "200", "200"),
            (200, html, "provider_unavailable", "unknown_outcome"),
            (301, "", "provider_misconfigured", "provider_misconfigured"),
            (400, "{\"code\":\"rest_invalid_param\"}", "400", "400"),
            (401, "{\"code\":\"woocommerce_rest_cannot_view\"}", "provider_misconfigured", "provider_misconfigured"),
            (403, html, "provider_unavailable", "provider_unavailable"),
            (404, html, "provider_misconfigured", "provider_misconfigured"),
            (404, "{\"code\":\"woocommerce_rest_product_invalid_id\"}", "404", "404"),
            (414, html, "provider_rejected", "provider_rejected"),
            (429, "", "rate_limited", "rate_limited"),
            (500, "{\"code\":\"internal_server_error\"}", "provider_unavailable", "unknown_outcome"),
            (502, html, "provider_unavailable", "unknown_outcome"),
            (503, html, "provider_unavailable", "unknown_outcome"),
            (524, html, "provider_unavailable", "unknown_outcome"),
        ] {
            assert_eq!(
                (code(status, body, false).as_str(), code(status, body, true).as_str()),
                (read, write),
                "{status} {body}"
            );
        }
    }

    /// W1, W8, W9, W10 look alike to a program and not to a person.
    #[test]
    fn a_key_that_opens_nothing_is_told_with_its_causes() {
        let said = |code: &str, message: &str| {
            let refusal = Refusal { code: code.to_owned(), message: message.to_owned(), data: json!(null) };
            unauthorized(&refusal).to_string()
        };
        let seen = said("woocommerce_rest_cannot_view", "Sorry, you cannot list resources.");
        assert!(seen.contains("unknown") && seen.contains("https") && seen.contains("Authorization"), "{seen}");
        let error = "woocommerce_rest_authentication_error";
        assert!(said(error, "The API key provided does not have write permissions.").contains("Read/Write"));
        assert!(said(error, "Invalid timestamp.").contains("clock"));
        assert!(said(error, "Consumer secret is invalid.").contains("secret is wrong"));
    }
}
