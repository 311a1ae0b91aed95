//! One call to Stripe: what is sent, and what is answered.

use std::fmt::Debug;

use futures::future::BoxFuture;
use serde_json::Value;

use super::form::Form;
use crate::{
    chain::{Ask, Provider},
    error::ProviderError,
};

pub(super) const NAME: &str = "stripe";

/// How a call is made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Method {
    /// Reads.
    Get,
    /// Makes or changes.
    Post,
    /// Ends.
    Delete,
}

impl Method {
    /// As it is written.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Get => "GET",
            Self::Post => "POST",
            Self::Delete => "DELETE",
        }
    }
}

/// What is sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    /// How.
    pub method: Method,
    /// Behind `/v1/`.
    pub path: String,
    /// The body of a POST, the query of others.
    pub params: Form,
    /// The same for every try of one step. Of POSTs only: the others can be repeated anyway.
    pub idempotency_key: Option<String>,
}

impl Request {
    /// Reads.
    #[must_use]
    pub fn get(path: impl Into<String>, params: Form) -> Self {
        Self { method: Method::Get, path: path.into(), params, idempotency_key: None }
    }

    /// Makes or changes, once for a key.
    #[must_use]
    pub fn post(path: impl Into<String>, params: Form, key: &str) -> Self {
        Self { method: Method::Post, path: path.into(), params, idempotency_key: Some(key.to_owned()) }
    }

    /// Ends.
    #[must_use]
    pub fn delete(path: impl Into<String>) -> Self {
        Self { method: Method::Delete, path: path.into(), params: Form::new(), idempotency_key: None }
    }

    /// Reckons something out: a POST that changes nothing, and so has no key.
    #[must_use]
    pub fn reckon(path: impl Into<String>, params: Form) -> Self {
        Self { method: Method::Post, path: path.into(), params, idempotency_key: None }
    }

    /// Whether it changes something.
    #[must_use]
    pub fn is_write(&self) -> bool {
        match self.method {
            Method::Get => false,
            Method::Post => self.idempotency_key.is_some(),
            Method::Delete => true,
        }
    }

    /// As in `POST /v1/customers`.
    #[must_use]
    pub fn words(&self) -> String {
        format!("{} /v1/{}", self.method.as_str(), self.path)
    }
}

/// What is answered.
#[derive(Debug, Clone, PartialEq)]
pub enum Reply {
    /// It was done; the object.
    Done(Value),
    /// It was not, because of what was asked.
    Refused(Refusal),
}

/// Why a call was not carried out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// The status code.
    pub status: u16,
    /// `invalid_request_error`, `card_error`, `idempotency_error`, …
    pub kind: String,
    /// `resource_missing`, `card_declined`, …
    pub code: Option<String>,
    /// Why the bank declined.
    pub decline_code: Option<String>,
    /// The parameter that is wrong.
    pub param: Option<String>,
    /// For people.
    pub message: String,
}

impl Refusal {
    /// What Stripe's error says; `None` when it is none of its.
    pub(super) fn read(status: u16, body: &Value) -> Option<Self> {
        let error = body["error"].as_object()?;
        let text = |name: &str| error.get(name).and_then(Value::as_str).map(str::to_owned);
        Some(Self {
            status,
            kind: text("type").unwrap_or_default(),
            code: text("code"),
            decline_code: text("decline_code"),
            param: text("param"),
            message: text("message").unwrap_or_default().trim_end_matches('.').to_owned(),
        })
    }

    /// Whether the object that the path names does not exist, or no longer.
    #[must_use]
    pub fn is_missing(&self) -> bool {
        self.status == 404 && self.code.as_deref() == Some("resource_missing")
    }

    /// Whether what a parameter names does not exist.
    #[must_use]
    pub fn names_nothing(&self, param: &str) -> bool {
        self.code.as_deref() == Some("resource_missing") && self.param.as_deref() == Some(param)
    }

    /// What failed, and what to do.
    #[must_use]
    pub fn rejected(&self, request: &Request) -> ProviderError {
        let what = request.words();
        let message = match (self.kind.as_str(), self.code.as_deref()) {
            ("card_error", _) => {
                let why = self.decline_code.as_deref().or(self.code.as_deref()).unwrap_or("card_error");
                format!("{what}: the payment was declined ({why}): {}; another payment method is needed", self.message)
            }
            ("idempotency_error", _) => {
                let key = request.idempotency_key.as_deref().unwrap_or_default();
                format!(
                    "{what}: the idempotency key {key:?} was used for other parameters; a changed call needs another key"
                )
            }
            (_, Some("resource_missing")) => {
                let param = self.param.as_deref().unwrap_or("id");
                format!("{what}: {}: nothing has this id ({param}) in the key's account and mode", self.message)
            }
            (kind, code) => {
                let code = code.unwrap_or(kind);
                let param = self.param.as_ref().map(|param| format!(" of {param}")).unwrap_or_default();
                format!("{what}: {} {code}{param}: {}", self.status, self.message)
            }
        };
        ProviderError::Rejected { service: NAME, message }
    }
}

/// Who answers calls: Stripe, or the mock.
pub trait Gateway: Provider + Debug {
    /// Sends one call, once.
    ///
    /// # Errors
    /// [`ProviderError`]: `Misconfigured` for the key and what it may, `RateLimited`, `Deferred` where another call holds the object,
    /// `Transient`; `UnknownOutcome` for a write that may have been carried out.
    fn send<'a>(&'a self, request: &'a Request) -> BoxFuture<'a, Result<Reply, ProviderError>>;
}

impl<'p> Ask<dyn Gateway + 'p> for Request {
    type Value = Reply;

    fn ask<'a>(&'a self, gateway: &'a (dyn Gateway + 'p)) -> BoxFuture<'a, Result<Reply, ProviderError>> {
        gateway.send(self)
    }

    fn is_write(&self) -> bool {
        Self::is_write(self)
    }
}
