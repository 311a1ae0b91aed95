//! Sends calls to the Admin API of one store.

use std::{
    collections::HashSet,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use chrono::Utc;
use fleet::{Fleet, Level};
use futures::future::{BoxFuture, FutureExt};
use reqwest::{
    Method,
    header::{HeaderMap, HeaderName, HeaderValue},
};
use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;
use services::Ring;
use url::Url;

use super::{
    super::{
        send::{Body, Http, Reply, Request, Transport},
        store::{Credentials, Store},
    },
    answer::{self, SERVICE},
    points::Points,
    tokens::{App, Token, Tokens},
};
use crate::{chain::Provider, error::ProviderError, wait};

const TOKEN: HeaderName = HeaderName::from_static("x-shopify-access-token");
const TOKEN_TIMEOUT: Duration = Duration::from_secs(20);

/// The transport to all stores.
#[derive(Debug)]
pub(crate) struct Shopify {
    http: Arc<Http>,
    tokens: Tokens,
    points: Points,
    /// What was warned of.
    warned: Mutex<HashSet<String>>,
}

/// What of a body tells which query it is.
#[derive(Deserialize)]
struct Named<'a> {
    #[serde(rename = "operationName")]
    name: &'a str,
}

#[derive(Deserialize)]
struct Granted {
    access_token: SecretString,
    #[serde(default)]
    expires_in: Option<u64>,
}

impl Shopify {
    /// Tokens are shared by `fleet`, sealed by `ring`.
    pub(crate) fn new(http: Arc<Http>, fleet: Fleet, ring: Option<Ring>) -> Self {
        Self { http, tokens: Tokens::new(fleet, ring), points: Points::default(), warned: Mutex::default() }
    }

    async fn token(&self, store: &Store, refused: Option<&SecretString>) -> Result<SecretString, ProviderError> {
        match &store.credentials {
            Credentials::ShopifyToken { access_token } => Ok(access_token.clone()),
            Credentials::ShopifyApp { client_id, client_secret } => {
                let app = App::new(store, client_id, client_secret);
                self.tokens.get(&app, refused, now_ms(), self.grant(store, client_id, client_secret)).await
            }
            _ => Err(unusable("the store has no credentials of Shopify".to_owned())),
        }
    }

    /// A new token of an app, which is good for a day.
    async fn grant(&self, store: &Store, client_id: &str, secret: &SecretString) -> Result<Token, ProviderError> {
        let form = url::form_urlencoded::Serializer::new(String::new())
            .append_pair("grant_type", "client_credentials")
            .append_pair("client_id", client_id)
            .append_pair("client_secret", secret.expose_secret())
            .finish();
        let request = Request {
            method: Method::POST,
            path: "/admin/oauth/access_token".to_owned(),
            query: Vec::new(),
            body: Body::Text("application/x-www-form-urlencoded", form),
            timeout: TOKEN_TIMEOUT,
            // Another token does no harm.
            is_write: false,
        };
        let url = address(store, &request)?;
        let reply = self.http.send(store, &request, url, HeaderMap::new()).await?;
        let retry_after = wait::retry_after(&reply.headers, Utc::now());
        let message = format!("no token was given ({})", reply.status);
        match reply.status {
            200 => {
                let granted: Granted = serde_json::from_slice(&reply.body).map_err(|_| ProviderError::Transient {
                    service: SERVICE,
                    message: "what should be a token is none".to_owned(),
                    retry_after: None,
                })?;
                let expires_in = Duration::from_secs(granted.expires_in.unwrap_or(24 * 3600));
                Ok(Token::new(granted.access_token, expires_in, now_ms()))
            }
            429 => Err(ProviderError::RateLimited { service: SERVICE, message, retry_after }),
            500.. => Err(ProviderError::Transient { service: SERVICE, message, retry_after }),
            status => Err(unusable(format!(
                "the app's credentials are refused ({status}); it must be installed in this shop and of its own organisation"
            ))),
        }
    }

    /// Bytes to the place that the shop gave for them. No token goes there.
    async fn upload(&self, store: &Store, request: &Request) -> Result<Reply, ProviderError> {
        let url =
            Url::parse(&request.path).map_err(|_| unusable("the shop gave no address to upload to".to_owned()))?;
        let is_own = url.origin() == store.url.origin();
        if url.scheme() != "https" && !is_own {
            return Err(unusable(format!(
                "the shop gave an address to upload to that is not https: {}",
                url.origin().ascii_serialization()
            )));
        }
        let mut headers = HeaderMap::new();
        if let Body::Upload { headers: told, .. } = &request.body {
            for (name, value) in told {
                if let (Ok(name), Ok(value)) = (HeaderName::try_from(name), HeaderValue::try_from(value)) {
                    headers.insert(name, value);
                }
            }
        }
        let reply = self.http.send(store, request, url, headers).await?;
        if (200..300).contains(&reply.status) {
            return Ok(reply);
        }
        // The next run is given another place.
        let message = format!("a picture was not taken ({})", reply.status);
        Err(ProviderError::Transient {
            service: SERVICE,
            message,
            retry_after: wait::retry_after(&reply.headers, Utc::now()),
        })
    }

    async fn ask(&self, store: &Store, request: &Request) -> Result<Reply, ProviderError> {
        let token = self.token(store, None).await?;
        let mut reply = self.once(store, request, &token).await?;
        if reply.status == 401 && matches!(store.credentials, Credentials::ShopifyApp { .. }) {
            // Nothing was carried out.
            let token = self.token(store, Some(&token)).await?;
            reply = self.once(store, request, &token).await?;
        }
        self.look_at_version(store, request, &reply.headers);
        if let Ok(body) = serde_json::from_slice(&reply.body)
            && let Some(cost) = answer::cost(&body)
        {
            self.points.note(store.account(), name(request), cost);
        }
        answer::sort(&reply, request.is_write, Utc::now())?;
        Ok(reply)
    }

    async fn once(&self, store: &Store, request: &Request, token: &SecretString) -> Result<Reply, ProviderError> {
        let mut value = HeaderValue::try_from(token.expose_secret())
            .map_err(|_| unusable("the token has characters that no token has".to_owned()))?;
        value.set_sensitive(true);
        let headers = HeaderMap::from_iter([(TOKEN, value)]);
        self.http.send(store, request, address(store, request)?, headers).await
    }

    /// A version that is retired is answered by another one.
    fn look_at_version(&self, store: &Store, request: &Request, headers: &HeaderMap) {
        let Some(answered) = wait::header(headers, "x-shopify-api-version") else { return };
        let asked = request.path.split('/').nth(3).unwrap_or_default();
        if answered != asked
            && self.warned.lock().unwrap_or_else(PoisonError::into_inner).insert(format!("{} {answered}", store.url))
        {
            tracing::warn!(store = %store.url, asked, answered, "Shopify answers by another version of its API; see SHOPIFY_API_VERSION");
        }
    }
}

fn now_ms() -> u64 {
    u64::try_from(Utc::now().timestamp_millis()).unwrap_or(0)
}

/// Of the query that is sent; none: it is none.
fn name(request: &Request) -> &str {
    match &request.body {
        Body::Text(_, text) => serde_json::from_str::<Named<'_>>(text).map(|named| named.name).unwrap_or_default(),
        _ => "",
    }
}

/// Behind the store's address, which has no path of its own.
fn address(store: &Store, request: &Request) -> Result<Url, ProviderError> {
    store.url.join(&request.path).map_err(|_| unusable(format!("the store has no usable address: {}", store.url)))
}

fn unusable(message: String) -> ProviderError {
    ProviderError::Misconfigured { service: SERVICE, message }
}

impl Provider for Shopify {
    fn name(&self) -> &'static str {
        SERVICE
    }
}

impl Transport for Shopify {
    fn send<'a>(&'a self, store: &'a Store, request: &'a Request) -> BoxFuture<'a, Result<Reply, ProviderError>> {
        match request.body {
            Body::Upload { .. } => self.upload(store, request).boxed(),
            _ => self.ask(store, request).boxed(),
        }
    }

    fn in_flight(&self) -> Option<u32> {
        Some(0)
    }

    fn cost(&self, _store: &Store, request: &Request) -> u64 {
        self.points.cost(name(request))
    }

    fn take_level(&self, store: &Store) -> Option<Level> {
        self.points.take(&store.account())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn store() -> Store {
        Store {
            tenant: "t".to_owned(),
            name: "n".to_owned(),
            url: Url::parse("https://shop.myshopify.com").unwrap(),
            trusted: false,
            credentials: Credentials::ShopifyToken { access_token: SecretString::from("shpat_hush") },
            allow_http: false,
            languages: Vec::new(),
            currency: None,
        }
    }

    fn request(path: &str, body: Body) -> Request {
        let timeout = Duration::from_secs(1);
        Request { method: Method::POST, path: path.to_owned(), query: Vec::new(), body, timeout, is_write: false }
    }

    fn shopify() -> Shopify {
        Shopify::new(Arc::new(Http::new(&[]).unwrap()), Fleet::alone(), None)
    }

    #[test]
    fn another_version_than_was_asked_for_is_warned_of_once() {
        let (shopify, request) = (shopify(), request("/admin/api/2026-10/graphql.json", Body::None));
        let look = |version| {
            let name = HeaderName::from_static("x-shopify-api-version");
            shopify.look_at_version(
                &store(),
                &request,
                &HeaderMap::from_iter([(name, HeaderValue::from_static(version))]),
            );
            shopify.warned.lock().unwrap().len()
        };
        assert_eq!([look("2026-10"), look("2027-01"), look("2027-01"), look("2027-04")], [0, 1, 1, 2]);
    }

    #[tokio::test]
    async fn pictures_go_to_no_address_that_is_not_https_or_not_public() {
        for (address, part) in [
            ("http://storage.example/a", "not https"),
            ("https://10.0.0.1/a", "not public"),
            ("https://[::1]/a", "not public"),
            ("nowhere", "no address"),
        ] {
            let body = Body::Upload { headers: Vec::new(), bytes: "bytes".into() };
            let error = shopify().send(&store(), &request(address, body)).await.unwrap_err();
            assert!(
                error.to_string().contains(part) && matches!(error, ProviderError::Misconfigured { .. }),
                "{error:?}"
            );
        }
    }
}
