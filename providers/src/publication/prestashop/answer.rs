//! What the webservice answers, sorted: all errors of a body count, and a write that may have been carried out is no failed one.

use std::{sync::Arc, time::Duration};

use base64::{Engine, engine::general_purpose::STANDARD as BASE64};
use futures::future::{BoxFuture, FutureExt};
use reqwest::header::{AUTHORIZATION, HeaderMap, HeaderValue, RETRY_AFTER};
use secrecy::ExposeSecret;

use super::super::{
    send::{Http, Reply, Request, Transport},
    store::{Credentials, Store},
};
use super::xml::Node;
use crate::{chain::Provider, error::ProviderError};

pub(super) const NAME: &str = "prestashop";
/// Of a message that is passed on, in characters.
const MOST_SHOWN: usize = 300;

/// One `<error>` of a body.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Complaint {
    pub(super) code: u16,
    pub(super) message: String,
}

/// All errors of a body. One that echoes our own CDATA inside of its CDATA cannot be parsed; its codes are read all the same.
pub(super) fn complaints(body: &[u8]) -> Vec<Complaint> {
    if let Ok(root) = Node::parse(body) {
        let errors = root.child("errors").map(|errors| errors.children.as_slice()).unwrap_or_default();
        let complaint = |error: &Node| Complaint {
            code: error.text_of("code").trim().parse().unwrap_or(0),
            message: cut(error.text_of("message")),
        };
        return errors.iter().map(complaint).collect();
    }
    let text = String::from_utf8_lossy(body);
    let codes = text.split("<code>").skip(1).filter_map(|rest| {
        let value = rest.trim_start().strip_prefix("<![CDATA[").unwrap_or(rest);
        let digits: String = value.chars().take_while(char::is_ascii_digit).collect();
        digits.parse().ok()
    });
    codes.map(|code| Complaint { code, message: "an answer that is no XML".to_owned() }).collect()
}

/// All of them as one text.
pub(super) fn words(complaints: &[Complaint]) -> String {
    let one = |complaint: &Complaint| format!("{} (code {})", complaint.message, complaint.code);
    complaints.iter().map(one).collect::<Vec<_>>().join("; ")
}

fn cut(text: &str) -> String {
    match text.char_indices().nth(MOST_SHOWN) {
        Some((at, _)) => format!("{}…", &text[..at]),
        None => text.trim().to_owned(),
    }
}

pub(super) fn transient(message: String) -> ProviderError {
    ProviderError::Transient { service: NAME, message, retry_after: None }
}

/// What is in the root of an answer to a GET.
pub(super) fn content(reply: &Reply, what: &str) -> Result<Node, ProviderError> {
    let said = complaints(&reply.body);
    if !(200..300).contains(&reply.status) || !said.is_empty() {
        let message = format!("{what} was answered with {}: {}", reply.status, words(&said));
        return Err(ProviderError::Rejected { service: NAME, message });
    }
    let root = Node::parse(&reply.body).map_err(|error| transient(format!("{what}: {error}")))?;
    root.children.into_iter().next().ok_or_else(|| transient(format!("{what} was answered with nothing")))
}

/// Sends calls to PrestaShop's webservice.
#[derive(Debug)]
pub(in super::super) struct PrestaShop {
    http: Arc<Http>,
    in_flight: Option<u32>,
}

impl PrestaShop {
    /// `in_flight`: calls of a store at the same time.
    pub(in super::super) fn new(http: Arc<Http>, in_flight: Option<u32>) -> Self {
        Self { http, in_flight }
    }

    async fn call(&self, store: &Store, request: &Request) -> Result<Reply, ProviderError> {
        let Credentials::Prestashop { api_key } = &store.credentials else {
            return Err(misconfigured("the store has no key of a webservice"));
        };
        let mut url = store.url.clone();
        url.set_path(&format!("{}/api{}", store.url.path().trim_end_matches('/'), request.path));
        if !request.query.is_empty() {
            url.query_pairs_mut().extend_pairs(&request.query);
        }
        let authorization = format!("Basic {}", BASE64.encode(format!("{}:", api_key.expose_secret())));
        let mut authorization = HeaderValue::try_from(authorization)
            .map_err(|_| misconfigured("the key has characters that no header takes"))?;
        authorization.set_sensitive(true);
        let headers = HeaderMap::from_iter([(AUTHORIZATION, authorization)]);
        let reply = self.http.send(store, request, url, headers).await?;
        sorted(request, reply)
    }
}

impl Provider for PrestaShop {
    fn name(&self) -> &'static str {
        NAME
    }
}

impl Transport for PrestaShop {
    fn send<'a>(&'a self, store: &'a Store, request: &'a Request) -> BoxFuture<'a, Result<Reply, ProviderError>> {
        self.call(store, request).boxed()
    }

    fn in_flight(&self) -> Option<u32> {
        self.in_flight
    }
}

fn misconfigured(message: impl Into<String>) -> ProviderError {
    ProviderError::Misconfigured { service: NAME, message: message.into() }
}

/// Nobody knows what became of it, if it was a write.
fn unclear(request: &Request, message: String, retry_after: Option<Duration>) -> ProviderError {
    match request.is_write {
        true => ProviderError::UnknownOutcome { service: NAME, message },
        false => ProviderError::Transient { service: NAME, message, retry_after },
    }
}

/// An answer that says something of the product, or the error that it says of the shop.
fn sorted(request: &Request, reply: Reply) -> Result<Reply, ProviderError> {
    let what = format!("{} {}", request.method, request.path);
    let said = complaints(&reply.body);
    let has = |codes: &[u16]| said.iter().any(|complaint| codes.contains(&complaint.code));
    let words = || {
        if said.is_empty() {
            format!("{what} was answered with {}", reply.status)
        } else {
            format!("{what}: {}", words(&said))
        }
    };
    let retry_after = || {
        let seconds = reply.headers.get(RETRY_AFTER)?.to_str().ok()?.trim().parse().ok()?;
        Some(Duration::from_secs(seconds))
    };
    let is_xml = Node::parse(&reply.body).is_ok_and(|root| root.name == "prestashop");
    match reply.status {
        200..=299 if is_xml && said.is_empty() => Ok(reply),
        // A picture has no XML, and what was deleted has nothing.
        200..=299 if is_picture(&reply) || (reply.body.is_empty() && request.method == reqwest::Method::DELETE) => {
            Ok(reply)
        }
        200..=299 => {
            Err(unclear(request, format!("{what} was answered with {} and no XML of a webservice", reply.status), None))
        }
        300..=399 => Err(misconfigured(format!(
            "{what} was redirected: the store's address must be the shop's own, with its scheme and host, and its shop must exist"
        ))),
        401 => Err(misconfigured(match has(&[26]) {
            true => format!("the key has no right to it: {}", words()),
            false => format!("the key is refused: {}", words()),
        })),
        403 => Err(misconfigured(format!("the key or a firewall of the shop does not allow it: {}", words()))),
        // An older shop does not know PATCH; then PUT is used.
        405 if request.method == reqwest::Method::PATCH => Ok(reply),
        405 => Err(misconfigured(format!("the key has no right to it: {}", words()))),
        404 if reply.body.is_empty() || is_xml => Ok(reply),
        404 => Err(misconfigured(format!(
            "{what} was answered with 404 by something else than a webservice: is it on, and is the rewriting of addresses?"
        ))),
        429 => Err(ProviderError::RateLimited { service: NAME, message: words(), retry_after: retry_after() }),
        503 if has(&[22]) => Err(misconfigured("the webservice is off in the shop's back office (code 22)")),
        // The shop could not read what we sent: that never mends itself. Whatever else is said, this is the last error of the body.
        500 if has(&[127]) => {
            Err(ProviderError::Rejected { service: NAME, message: format!("what was sent is no XML: {}", words()) })
        }
        // PHP warned, or a file failed, in the middle of it: whether it was written is seen by looking.
        500 if request.is_write && !said.is_empty() => Ok(reply),
        408 | 425 | 500..=599 => Err(unclear(request, words(), retry_after())),
        _ => Ok(reply),
    }
}

fn is_picture(reply: &Reply) -> bool {
    let media_type = reply.headers.get(reqwest::header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
    media_type.is_some_and(|media_type| media_type.starts_with("image/")) && !reply.body.is_empty()
}

#[cfg(test)]
mod tests {
    use reqwest::Method;

    use super::{super::super::send::Body, *};

    fn answered(method: Method, status: u16, body: &str) -> Result<u16, ProviderError> {
        let is_write = method != Method::GET;
        let (path, query) = ("/products".to_owned(), Vec::new());
        let request = Request { method, path, query, body: Body::None, timeout: Duration::from_secs(1), is_write };
        let reply = Reply { status, headers: HeaderMap::new(), body: body.as_bytes().to_vec().into() };
        sorted(&request, reply).map(|reply| reply.status)
    }

    fn errors(codes: &[u16]) -> String {
        let error =
            |code: &u16| format!("<error><code><![CDATA[{code}]]></code><message><![CDATA[said]]></message></error>");
        let errors: String = codes.iter().map(error).collect();
        format!("<?xml version=\"1.0\"?><prestashop><errors>{errors}</errors></prestashop>")
    }

    fn kind(answer: Result<u16, ProviderError>) -> &'static str {
        answer.map_or_else(|error| error.code(), |_| "ok")
    }

    #[test]
    fn all_errors_of_a_body_count_and_the_last_can_say_that_it_is_ours() {
        // P46, P28c, P3, P2, P62, P1.
        for (status, codes, write, read) in [
            (500, &[3, 127][..], "provider_rejected", "provider_rejected"),
            (500, &[11], "ok", "provider_unavailable"),
            (500, &[3], "ok", "provider_unavailable"),
            (401, &[20, 21], "provider_misconfigured", "provider_misconfigured"),
            (401, &[26], "provider_misconfigured", "provider_misconfigured"),
            (403, &[132], "provider_misconfigured", "provider_misconfigured"),
            (405, &[25], "provider_misconfigured", "provider_misconfigured"),
            (503, &[22], "provider_misconfigured", "provider_misconfigured"),
            (400, &[85], "ok", "ok"),
            (404, &[92], "ok", "ok"),
            (200, &[85], "unknown_outcome", "provider_unavailable"),
        ] {
            assert_eq!(kind(answered(Method::POST, status, &errors(codes))), write, "POST {status} {codes:?}");
            assert_eq!(kind(answered(Method::GET, status, &errors(codes))), read, "GET {status} {codes:?}");
        }
        assert_eq!(kind(answered(Method::PATCH, 405, &errors(&[23]))), "ok");
    }

    #[test]
    fn an_answer_that_echoes_our_cdata_is_still_ours() {
        // P46b.
        let body = "<prestashop><errors><error><code><![CDATA[3]]></code><message><![CDATA[near <name><![CDATA[Mug]]></name>]]></message>\
                    </error><error><code><![CDATA[127]]></code><message><![CDATA[no XML]]></message></error></errors></prestashop>";
        assert!(Node::parse(body.as_bytes()).is_err());
        assert_eq!(kind(answered(Method::POST, 500, body)), "provider_rejected");
    }

    #[test]
    fn pages_redirects_and_silence_are_told_apart() {
        let page = "<html><body>Maintenance</body></html>";
        for (method, status, body, expected) in [
            (Method::POST, 502, page, "unknown_outcome"),
            (Method::GET, 502, page, "provider_unavailable"),
            (Method::GET, 200, page, "provider_unavailable"),
            (Method::POST, 200, page, "unknown_outcome"),
            (Method::POST, 302, "", "provider_misconfigured"),
            (Method::GET, 404, "", "ok"),
            (Method::GET, 404, page, "provider_misconfigured"),
            (Method::GET, 401, "401 Unauthorized", "provider_misconfigured"),
            (Method::GET, 429, "", "rate_limited"),
            (Method::DELETE, 200, "", "ok"),
        ] {
            assert_eq!(kind(answered(method.clone(), status, body)), expected, "{method} {status} {body}");
        }
    }
}
