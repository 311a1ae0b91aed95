//! The calls of one attempt to one shop with WooCommerce.

use std::time::Duration;

use reqwest::Method;
use serde_json::Value;
use tokio::sync::OnceCell;

use super::{
    super::send::{Body, Calls, Reply, Request},
    refusals::unexpected,
    rest::{API, Refusal, misconfigured, transient},
    weight::Unit,
};
use crate::error::ProviderError;

/// Of a call without pictures.
pub(super) const TIMEOUT: Duration = Duration::from_secs(30);
/// Of one during which the shop fetches pictures.
pub(super) const LONG_TIMEOUT: Duration = Duration::from_secs(120);
/// The most that the API lists at once.
pub(super) const PAGE: usize = 100;
/// Texts as they were written, as answers to writes show them; otherwise they come with paragraphs and what plugins put in.
pub(super) const EDIT: (&str, &str) = ("context", "edit");
/// So many pages of a list are read, and no more.
const MOST_PAGES: usize = 50;
const TYPE: &str = "application/json";

/// Asks one shop.
#[derive(Debug)]
pub(super) struct Client<'a> {
    calls: Calls<'a>,
    unit: OnceCell<Unit>,
}

/// What it says to a call that it understood.
pub(super) type Said = Result<Value, Refusal>;

impl<'a> Client<'a> {
    pub(super) fn new(calls: Calls<'a>) -> Self {
        Self { calls, unit: OnceCell::new() }
    }

    pub(super) fn store(&self) -> &'a super::super::store::Store {
        self.calls.store
    }

    pub(super) async fn get(&self, path: &str, query: &[(&str, &str)]) -> Result<Said, ProviderError> {
        self.send(Method::GET, path, query, None, TIMEOUT).await
    }

    pub(super) async fn post(&self, path: &str, body: &Value) -> Result<Said, ProviderError> {
        self.send(Method::POST, path, &[], Some(body), TIMEOUT).await
    }

    pub(super) async fn put(&self, path: &str, body: &Value) -> Result<Said, ProviderError> {
        self.send(Method::PUT, path, &[], Some(body), TIMEOUT).await
    }

    /// Many items at once, each of which takes its time.
    pub(super) async fn batch(&self, body: &Value) -> Result<Said, ProviderError> {
        self.send(Method::POST, "/products/batch", &[], Some(body), LONG_TIMEOUT).await
    }

    /// The same for a body with pictures that the shop fetches meanwhile.
    pub(super) async fn put_pictures(&self, path: &str, body: &Value) -> Result<Said, ProviderError> {
        self.send(Method::PUT, path, &[], Some(body), LONG_TIMEOUT).await
    }

    /// For good. What is gone is no error.
    pub(super) async fn delete(&self, path: &str) -> Result<(), ProviderError> {
        let said = self.send(Method::DELETE, path, &[("force", "true")], None, TIMEOUT).await?;
        match said {
            Err(refusal) if !refusal.is_gone() => Err(unexpected(&refusal)),
            _ => Ok(()),
        }
    }

    /// All pages of a list.
    pub(super) async fn all(&self, path: &str) -> Result<Result<Vec<Value>, Refusal>, ProviderError> {
        let mut rows = Vec::new();
        for page in 1..=MOST_PAGES {
            let (page, per_page) = (page.to_string(), PAGE.to_string());
            let query = [("per_page", per_page.as_str()), ("page", &page), ("orderby", "id"), ("order", "asc")];
            let page = match self.get(path, &query).await? {
                Ok(Value::Array(page)) => page,
                Ok(other) => return Err(not_as_documented(path, &other)),
                Err(refusal) => return Ok(Err(refusal)),
            };
            let is_last = page.len() < PAGE;
            rows.extend(page);
            if is_last {
                break;
            }
        }
        Ok(Ok(rows))
    }

    /// A write that changes nothing: it shows whether the key may write.
    pub(super) async fn try_to_write(&self) -> Result<Said, ProviderError> {
        let body = Body::Text(TYPE, "{\"create\":[]}".to_owned());
        let path = format!("{API}/products/batch");
        let request =
            Request { method: Method::POST, path, query: Vec::new(), body, timeout: TIMEOUT, is_write: false };
        read(&self.calls.send(&request).await?)
    }

    /// The unit of the shop's weights, asked once.
    pub(super) async fn unit(&self) -> Result<Unit, ProviderError> {
        let ask = async || match self.get("/settings/products/woocommerce_weight_unit", &[]).await? {
            Ok(setting) => {
                let name = setting["value"].as_str().unwrap_or_default();
                Unit::named(name)
                    .ok_or_else(|| misconfigured(format!("the shop's weights are in {name:?}, which is no unit")))
            }
            Err(refusal) => Err(unexpected(&refusal)),
        };
        self.unit.get_or_try_init(ask).await.copied()
    }

    /// The same if it was asked.
    pub(super) fn known_unit(&self) -> Option<Unit> {
        self.unit.get().copied()
    }

    async fn send(
        &self,
        method: Method,
        path: &str,
        query: &[(&str, &str)],
        body: Option<&Value>,
        timeout: Duration,
    ) -> Result<Said, ProviderError> {
        let is_write = method != Method::GET;
        let query = query.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        let body = body.map_or(Body::None, |body| Body::Text(TYPE, body.to_string()));
        let request = Request { method, path: format!("{API}{path}"), query, body, timeout, is_write };
        read(&self.calls.send(&request).await?)
    }
}

fn read(reply: &Reply) -> Result<Said, ProviderError> {
    let body: Value = serde_json::from_slice(&reply.body)
        .map_err(|error| transient(format!("an answer of the shop cannot be read: {error}"), None))?;
    if (200..300).contains(&reply.status) {
        return Ok(Ok(body));
    }
    let mut refusal: Refusal = serde_json::from_value(body).unwrap_or_default();
    if refusal.code.is_empty() {
        refusal.code = format!("HTTP {}", reply.status);
    }
    Ok(Err(refusal))
}

pub(super) fn not_as_documented(path: &str, body: &Value) -> ProviderError {
    let body = super::rest::short(&body.to_string());
    transient(format!("the shop's answer to {path} is none of WooCommerce: {body}"), None)
}
