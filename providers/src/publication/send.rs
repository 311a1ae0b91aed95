//! One call to a store: what is sent, what is answered, and its way through the chain.

use std::{fmt::Debug, sync::Arc, time::Duration};

use bytes::Bytes;
use fleet::{InFlight, Level};
use futures::future::{BoxFuture, FutureExt, TryFutureExt};
use reqwest::{
    Client, Method,
    header::{HeaderMap, HeaderValue},
    redirect,
};
use tokio::time::Instant;
use url::Url;

use super::{Shop, store::Store};
use crate::{
    chain::{Ask, Policy, Provider, Service, Usage},
    error::{Hold, ProviderError},
    guard::{Guard, Refused},
    http,
};

const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// Of an answer, in bytes. PrestaShop answers a picture with the picture, in base64.
const MOST_BYTES: usize = 32 * 1024 * 1024;
/// Of a picture that we fetch ourselves, in bytes, and for how long.
const MOST_PICTURE_BYTES: usize = 24 * 1024 * 1024;
const PICTURE_TIMEOUT: Duration = Duration::from_secs(30);
const REDIRECTS: usize = 3;
/// With less of an attempt's time left than this no call is begun.
const TOO_LATE: Duration = Duration::from_secs(3);
const AGENT: &str = concat!("ecomsimply/", env!("CARGO_PKG_VERSION"));

/// What is sent to a store.
#[derive(Debug, Clone)]
pub struct Request {
    /// GET, POST, …
    pub method: Method,
    /// Behind the store's address, with a slash in front.
    pub path: String,
    /// Behind the path, not encoded.
    pub query: Vec<(String, String)>,
    /// What goes with it.
    pub body: Body,
    /// After which it is given up.
    pub timeout: Duration,
    /// Whether it changes something.
    pub is_write: bool,
}

/// What goes with a request.
#[derive(Debug, Clone)]
pub enum Body {
    /// Nothing.
    None,
    /// With its media type.
    Text(&'static str, String),
    /// One file as a part of `multipart/form-data`.
    File {
        /// The part's name.
        part: &'static str,
        /// The file's.
        name: String,
        /// What is in it.
        bytes: Bytes,
    },
    /// Bytes to an address that the store gave for them; the request's path is the whole of it.
    Upload {
        /// What the store wants with them.
        headers: Vec<(String, String)>,
        /// What is uploaded.
        bytes: Bytes,
    },
}

/// What a store answered.
#[derive(Debug, Clone)]
pub struct Reply {
    /// The status code.
    pub status: u16,
    /// Its headers.
    pub headers: HeaderMap,
    /// Its body.
    pub body: Bytes,
}

/// Sends calls to stores of one shop: puts the credentials in, and sorts the answers.
pub trait Transport: Provider + Debug {
    /// Sends one call. An answer whose meaning only the caller knows (a 400 for a field, a 404) is `Ok`.
    ///
    /// # Errors
    /// [`ProviderError`]: `Misconfigured` for credentials, rights and addresses, `RateLimited`, `Transient`; `UnknownOutcome` for a write
    /// that may have been carried out.
    fn send<'a>(&'a self, store: &'a Store, request: &'a Request) -> BoxFuture<'a, Result<Reply, ProviderError>>;

    /// How many calls of a store may be under way at the same time, in all replicas together; 0: they are only counted. `None`: nobody counts
    /// them.
    fn in_flight(&self) -> Option<u32> {
        None
    }

    /// What a call will cost in the store's own points, as far as that is known.
    fn cost(&self, _store: &Store, _request: &Request) -> u64 {
        0
    }

    /// What the last answer of this store told of its points; told once.
    fn take_level(&self, _store: &Store) -> Option<Level> {
        None
    }
}

/// The same as the chain asks it.
struct Sent<'a> {
    store: &'a Store,
    account: String,
    request: &'a Request,
}

impl<'p> Ask<dyn Transport + 'p> for Sent<'_> {
    type Value = Reply;

    fn ask<'a>(&'a self, transport: &'a (dyn Transport + 'p)) -> BoxFuture<'a, Result<Reply, ProviderError>> {
        // A shop may quote what it was sent; what it said is kept in Redis, too.
        let sent = transport.send(self.store, self.request);
        sent.map_err(|error| self.store.redacted(error)).boxed()
    }

    fn account(&self) -> Option<&str> {
        Some(&self.account)
    }

    fn is_write(&self) -> bool {
        self.request.is_write
    }

    fn in_flight(&self, transport: &(dyn Transport + 'p)) -> Option<InFlight> {
        transport.in_flight().map(|at_most| InFlight { at_most, lasts: self.request.timeout })
    }

    fn estimate(&self, transport: &(dyn Transport + 'p)) -> Usage {
        Usage { units: transport.cost(self.store, self.request), micro_usd: None }
    }

    fn take_level(&self, transport: &(dyn Transport + 'p)) -> Option<Level> {
        transport.take_level(self.store)
    }
}

/// All calls of one attempt to one store.
#[derive(Debug)]
pub struct Calls<'a> {
    service: &'a Service<dyn Transport>,
    /// The store.
    pub store: &'a Store,
    policy: Policy<'a>,
    until: Instant,
}

impl<'a> Calls<'a> {
    /// To `store`, within the time of `policy`.
    #[must_use]
    pub(crate) fn new(service: &'a Service<dyn Transport>, store: &'a Store, policy: Policy<'a>) -> Self {
        let policy = Policy { allow_fallback: false, ..policy };
        Self { service, store, policy, until: Instant::now() + policy.time }
    }

    /// Sends one call.
    ///
    /// # Errors
    /// As [`Transport::send`], and [`ProviderError::Held`] when nothing may be sent now: the job goes on later where it was.
    pub async fn send(&self, request: &Request) -> Result<Reply, ProviderError> {
        let time = self.until.saturating_duration_since(Instant::now());
        if time < TOO_LATE {
            return Err(ProviderError::Held {
                service: self.store.shop().name(),
                hold: Hold::Turn,
                message: "it goes on where it was".to_owned(),
                retry_in: Duration::from_secs(1),
            });
        }
        let sent = Sent { store: self.store, account: self.store.account(), request };
        Ok(self.service.call(Policy { time, ..self.policy }, &sent).await?.value)
    }
}

/// The client of all stores. It follows no redirect, and goes nowhere near our own network unless the operator says so.
#[derive(Debug)]
pub struct Http {
    guarded: Client,
    /// For what the operator named.
    open: Client,
    guard: Guard,
}

impl Http {
    /// `allow_hosts`: those that the guard lets pass.
    ///
    /// # Errors
    /// [`ProviderError::Misconfigured`] when no client can be built.
    pub(super) fn new(allow_hosts: &[String]) -> Result<Self, ProviderError> {
        let guard = Guard::new(allow_hosts);
        let client = || {
            http::client()
                .user_agent(AGENT)
                .connect_timeout(CONNECT_TIMEOUT)
                .redirect(redirect::Policy::none())
                .no_proxy()
        };
        let built = |client: reqwest::ClientBuilder| {
            client.build().map_err(|error| ProviderError::Misconfigured {
                service: "publication",
                message: format!("no HTTP client can be built: {error}"),
            })
        };
        Ok(Self { guarded: built(client().dns_resolver(Arc::new(guard.clone())))?, open: built(client())?, guard })
    }

    /// Whether the operator lets any store be at this host.
    #[must_use]
    pub fn allows(&self, host: &str) -> bool {
        self.guard.allows(host)
    }

    /// Why a store's address is never asked; `None`: it may be.
    #[must_use]
    pub fn refusal(&self, store: &Store) -> Option<String> {
        if store.trusted {
            return None;
        }
        if let Err(refused) = self.guard.check(&store.url) {
            return Some(refused.0);
        }
        let host = store.url.host_str().unwrap_or_default();
        let may_be_plain = self.guard.allows(host) || (store.allow_http && store.shop() == Shop::Woocommerce);
        (store.url.scheme() != "https" && !may_be_plain).then(|| {
            "must be https; plain http is for WooCommerce only, whose calls are signed then, with \"allow_http\": true".to_owned()
        })
    }

    /// The bytes of a picture at an address that a job names: guarded as a store's is, at most three redirects, each looked at.
    ///
    /// # Errors
    /// [`ProviderError::Rejected`] for one that is not to be had there, [`ProviderError::Transient`] when it may be later.
    pub async fn picture(&self, address: &Url) -> Result<Bytes, ProviderError> {
        let rejected = |message: String| ProviderError::Rejected { service: "publication", message };
        let later = |message: String| ProviderError::Transient { service: "publication", message, retry_after: None };
        let mut url = address.clone();
        for _ in 0..=REDIRECTS {
            self.guard.check(&url).map_err(|refused| rejected(format!("picture {address}: {refused}")))?;
            let sent = self.guarded.get(url.clone()).timeout(PICTURE_TIMEOUT).send().await;
            let mut response = sent.map_err(|error| match Refused::within(&error) {
                Some(refused) => rejected(format!("picture {address}: {refused}")),
                None => later(format!("picture {address} cannot be fetched")),
            })?;
            let status = response.status();
            if status.is_redirection() {
                let to = response.headers().get(reqwest::header::LOCATION).and_then(|to| to.to_str().ok());
                let to = to.and_then(|to| url.join(to).ok());
                url = to.ok_or_else(|| rejected(format!("picture {address} leads nowhere: {status}")))?;
                continue;
            }
            if status.is_client_error() && status.as_u16() != 408 && status.as_u16() != 429 {
                return Err(rejected(format!("picture {address} is not there: {status}")));
            }
            if !status.is_success() {
                return Err(later(format!("picture {address}: {status}")));
            }
            let mut bytes = Vec::new();
            let broken = |_| later(format!("picture {address} broke off"));
            while let Some(chunk) = response.chunk().await.map_err(broken)? {
                if bytes.len() + chunk.len() > MOST_PICTURE_BYTES {
                    return Err(rejected(format!("picture {address} has more than {MOST_PICTURE_BYTES} bytes")));
                }
                bytes.extend_from_slice(&chunk);
            }
            return Ok(bytes.into());
        }
        Err(rejected(format!("picture {address} is behind more than {REDIRECTS} redirects")))
    }

    /// Sends a request to an address of the store, which a transport made of the store's and the request's.
    ///
    /// # Errors
    /// [`ProviderError`], where there was no answer.
    pub async fn send(
        &self,
        store: &Store,
        request: &Request,
        url: Url,
        headers: HeaderMap<HeaderValue>,
    ) -> Result<Reply, ProviderError> {
        let service = store.shop().name();
        if let Some(message) = self.refusal(store) {
            return Err(ProviderError::Misconfigured { service, message });
        }
        // An address that the store itself gave is not the one that was looked at.
        if !store.trusted && url.origin() != store.url.origin() {
            self.guard.check(&url).map_err(|refused| ProviderError::Misconfigured { service, message: refused.0 })?;
        }
        let client = if store.trusted { &self.open } else { &self.guarded };
        let mut call = client.request(request.method.clone(), url).headers(headers).timeout(request.timeout);
        call = match &request.body {
            Body::None => call,
            Body::Text(media_type, text) => call.header(reqwest::header::CONTENT_TYPE, *media_type).body(text.clone()),
            Body::File { part, name, bytes } => {
                let file = reqwest::multipart::Part::stream(bytes.clone()).file_name(name.clone());
                call.multipart(reqwest::multipart::Form::new().part(*part, file))
            }
            // The transport has put its headers in.
            Body::Upload { bytes, .. } => call.body(bytes.clone()),
        };
        // Without what an address to upload to has for its signature.
        let what = || format!("{} {}", request.method, request.path.split('?').next().unwrap_or_default());
        let mut response = call.send().await.map_err(|error| failure(service, request, &what(), &error))?;
        let (status, headers) = (response.status().as_u16(), response.headers().clone());
        let mut body = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(|error| failure(service, request, &what(), &error))? {
            if body.len() + chunk.len() > MOST_BYTES {
                let message = format!("{} was answered with more than {MOST_BYTES} bytes", what());
                return Err(unanswered(service, request, message));
            }
            body.extend_from_slice(&chunk);
        }
        Ok(Reply { status, headers, body: body.into() })
    }
}

fn failure(service: &'static str, request: &Request, what: &str, error: &reqwest::Error) -> ProviderError {
    if let Some(refused) = Refused::within(error) {
        return ProviderError::Misconfigured { service, message: refused.0.clone() };
    }
    if error.is_connect() {
        // Nothing was sent.
        let message = format!("{what}: the shop cannot be reached");
        return ProviderError::Transient { service, message, retry_after: None };
    }
    let how = if error.is_timeout() { "no answer in time" } else { "the connection broke off" };
    unanswered(service, request, format!("{what}: {how}"))
}

/// Nobody knows what became of a write.
fn unanswered(service: &'static str, request: &Request, message: String) -> ProviderError {
    match request.is_write {
        true => ProviderError::UnknownOutcome { service, message },
        false => ProviderError::Transient { service, message, retry_after: None },
    }
}
