//! Every answer that is not a success: `application/problem+json` (RFC 9457).

use std::{any::Any, borrow::Cow, fmt};

use api::FieldError;
use axum::{
    http::{HeaderValue, Method, Uri, header},
    response::{IntoResponse, Response},
};
use jobs::payments::{OverQuota, PlanRequired};
use serde::{Serialize, Serializer};

const TYPE_PREFIX: &str = "https://ecomsimply.example/problems/";
/// So many bad fields are told of one request; how many there are is counted.
const MOST_ERRORS: usize = 20;
/// What callers sent is quoted up to so many characters.
const QUOTED: usize = 300;
/// Long enough for a restart of Redis or MongoDB, short enough not to be noticed.
const RETRY_AFTER_S: u32 = 5;

/// What went wrong; its name in the `type` URL is stable.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Type {
    InvalidPayload,
    UnknownKind,
    Malformed,
    BadSignature,
    TooLarge,
    UnsupportedFormat,
    Conflict,
    PreconditionFailed,
    IdempotencyMismatch,
    IdempotencyInProgress,
    Unauthorized,
    TokenExpired,
    Forbidden,
    NotFound,
    MethodNotAllowed,
    NotConfigured,
    RequestTimeout,
    UriTooLong,
    HeadersTooLarge,
    Overloaded,
    QueueUnavailable,
    StoreUnavailable,
    VendorUnavailable,
    StoreRefused,
    UnknownStore,
    PaymentFailed,
    PlanRequired,
    OverQuota,
    Internal,
}

impl Type {
    /// All of them.
    pub(crate) const ALL: [Self; 29] = [
        Self::InvalidPayload,
        Self::UnknownKind,
        Self::Malformed,
        Self::BadSignature,
        Self::TooLarge,
        Self::UnsupportedFormat,
        Self::Conflict,
        Self::PreconditionFailed,
        Self::IdempotencyMismatch,
        Self::IdempotencyInProgress,
        Self::Unauthorized,
        Self::TokenExpired,
        Self::Forbidden,
        Self::NotFound,
        Self::MethodNotAllowed,
        Self::NotConfigured,
        Self::RequestTimeout,
        Self::UriTooLong,
        Self::HeadersTooLarge,
        Self::Overloaded,
        Self::QueueUnavailable,
        Self::StoreUnavailable,
        Self::VendorUnavailable,
        Self::StoreRefused,
        Self::UnknownStore,
        Self::PaymentFailed,
        Self::PlanRequired,
        Self::OverQuota,
        Self::Internal,
    ];

    /// Last part of the `type`, status, title.
    fn row(self) -> (&'static str, u16, &'static str) {
        match self {
            Self::InvalidPayload => ("invalid-payload", 422, "The request has bad fields"),
            Self::UnknownKind => ("unknown-kind", 422, "There is no such kind of job"),
            Self::Malformed => ("malformed", 400, "The request cannot be read"),
            Self::BadSignature => ("bad-signature", 400, "The request is not signed as it must be"),
            Self::TooLarge => ("too-large", 413, "The request is too large"),
            Self::UnsupportedFormat => ("unsupported-media-type", 415, "The content type is not understood here"),
            Self::Conflict => ("conflict", 409, "The present state does not allow it"),
            Self::PreconditionFailed => ("precondition-failed", 412, "It was changed meanwhile"),
            Self::IdempotencyMismatch => ("idempotency-mismatch", 422, "The idempotency key came with another body"),
            Self::IdempotencyInProgress => {
                ("idempotency-in-progress", 409, "The first request with this idempotency key is still under way")
            }
            Self::Unauthorized => ("unauthorized", 401, "The request has no good token"),
            Self::TokenExpired => ("token-expired", 401, "The token has expired"),
            Self::Forbidden => ("forbidden", 403, "The token does not allow it"),
            Self::NotFound => ("not-found", 404, "There is no such thing"),
            Self::MethodNotAllowed => ("method-not-allowed", 405, "The method is not known here"),
            Self::NotConfigured => ("not-configured", 409, "The real service cannot be used yet"),
            Self::RequestTimeout => ("request-timeout", 408, "The request did not come in time"),
            Self::UriTooLong => ("uri-too-long", 414, "The address is too long"),
            Self::HeadersTooLarge => ("headers-too-large", 431, "The headers are too large"),
            Self::Overloaded => ("overloaded", 503, "Too much at once"),
            Self::QueueUnavailable => ("queue-unavailable", 503, "The queue takes no jobs at the moment"),
            Self::StoreUnavailable => ("store-unavailable", 503, "The store of results and history does not answer"),
            Self::VendorUnavailable => ("vendor-unavailable", 503, "An outside service does not answer"),
            Self::StoreRefused => ("store-refused", 422, "The shop refuses the store's credentials"),
            Self::UnknownStore => ("unknown-store", 422, "There is no such store"),
            Self::PaymentFailed => ("payment-failed", 402, "The payment was not made"),
            Self::PlanRequired => ("plan-required", 402, "The plan does not allow it"),
            Self::OverQuota => ("over-quota", 429, "The plan's jobs of this day are used up"),
            Self::Internal => ("internal", 500, "Something went wrong on our side"),
        }
    }

    pub(crate) fn slug(self) -> &'static str {
        self.row().0
    }

    pub(crate) fn status(self) -> u16 {
        self.row().1
    }

    pub(crate) fn title(self) -> &'static str {
        self.row().2
    }

    /// Whether the same request may be answered better after a while, so that the answer says after which.
    pub(crate) fn is_temporary(self) -> bool {
        self.status() == 503 || matches!(self, Self::IdempotencyInProgress | Self::OverQuota)
    }
}

/// What a tenant's plan has to do with it.
#[derive(Debug, Clone)]
struct OfPlan {
    /// Those that would allow it.
    plans: Vec<String>,
    /// After how many seconds it is allowed again.
    retry_after_s: Option<u64>,
}

/// A problem that becomes the answer, or one line of a batch's answer.
#[derive(Debug, Clone)]
pub(crate) struct Problem {
    kind: Type,
    detail: String,
    errors: Vec<FieldError>,
    /// How many bad fields there are, of which `errors` has the first.
    n_errors: usize,
    missing: Vec<&'static str>,
    of_plan: Option<Box<OfPlan>>,
    request_id: Option<String>,
}

impl Problem {
    pub(crate) fn new(kind: Type, detail: impl Into<String>) -> Self {
        Self {
            kind,
            detail: detail.into(),
            errors: Vec::new(),
            n_errors: 0,
            missing: Vec::new(),
            of_plan: None,
            request_id: None,
        }
    }

    /// Bad fields, all of them; the pointers begin at the request's body.
    pub(crate) fn invalid(errors: Vec<FieldError>) -> Self {
        let n_errors = errors.len();
        Self::of_many(errors, n_errors)
    }

    /// `errors` are the first of `n_errors`.
    fn of_many(mut errors: Vec<FieldError>, n_errors: usize) -> Self {
        errors.truncate(MOST_ERRORS);
        // A batch keeps a problem a job: the room of thousands of errors must not stay with each.
        errors.shrink_to_fit();
        for error in &mut errors {
            clip(&mut error.pointer);
            clip(&mut error.message);
        }
        let detail = match errors.as_slice() {
            [only] => in_words(only),
            several if several.len() < n_errors => {
                format!("{n_errors} fields are bad; errors has the first {}", several.len())
            }
            _ => format!("{n_errors} fields are bad, see errors"),
        };
        Self { errors, n_errors, ..Self::new(Type::InvalidPayload, detail) }
    }

    /// The same for a body that was the inner part of the one that was looked at: pointers begin behind `prefix`.
    pub(crate) fn without_prefix(mut self, prefix: &str) -> Self {
        for error in &mut self.errors {
            if let Some(inner) = error.pointer.strip_prefix(prefix) {
                error.pointer = inner.to_owned();
            }
        }
        if let (Type::InvalidPayload, [only]) = (self.kind, self.errors.as_slice()) {
            self.detail = in_words(only);
        }
        self
    }

    /// How long the list of bad fields is as text, about.
    pub(crate) fn errors_length(&self) -> usize {
        self.errors.iter().map(|error| error.pointer.len() + error.message.len() + 30).sum()
    }

    /// The same without the list of bad fields, the first of which is told in words.
    pub(crate) fn in_short(mut self) -> Self {
        if let [first, _, ..] = self.errors.as_slice() {
            let first = in_words(first);
            self.detail = format!("{} fields are bad; the first: {first}", self.n_errors);
        }
        self.errors = Vec::new();
        self
    }

    /// A switch to real that cannot work: the variables that are not set, and all that is wrong.
    pub(crate) fn not_configured(missing: Vec<&'static str>, errors: Vec<FieldError>) -> Self {
        let detail = "set what is missing or malformed and restart; \"force\": true switches all the same";
        Self { missing, n_errors: errors.len(), errors, ..Self::new(Type::NotConfigured, detail) }
    }

    /// What is asked for cannot be done without this variable.
    pub(crate) fn needs(variable: &'static str, detail: &str) -> Self {
        Self { missing: vec![variable], ..Self::new(Type::NotConfigured, detail) }
    }

    #[cfg(test)]
    pub(crate) fn missing(&self) -> &[&'static str] {
        &self.missing
    }

    /// The same problem of a part of the body, beside `others` of the rest.
    pub(crate) fn under(mut self, pointer: &str, others: Vec<FieldError>) -> Self {
        for error in &mut self.errors {
            error.pointer = format!("{pointer}{}", error.pointer);
        }
        self.n_errors += others.len();
        self.errors.extend(others);
        if self.kind == Type::InvalidPayload { Self::of_many(self.errors, self.n_errors) } else { self }
    }

    pub(crate) fn kind(&self) -> Type {
        self.kind
    }

    /// Whether it says what is wrong with this field.
    pub(crate) fn tells_of(&self, pointer: &str) -> bool {
        self.errors.iter().any(|error| error.pointer == pointer)
    }

    pub(crate) fn unknown_kind(kind: &str, known: &[String]) -> Self {
        let error = FieldError::new("/kind", format!("one of {}", known.join(", ")));
        let mut detail = format!("no job kind is named {kind:?}");
        clip(&mut detail);
        Self { errors: vec![error], n_errors: 1, ..Self::new(Type::UnknownKind, detail) }
    }

    /// What the tenant's plan does not allow, and which plans would.
    pub(crate) fn plan_required(required: PlanRequired) -> Self {
        let of_plan = OfPlan { plans: required.plans, retry_after_s: None };
        Self { of_plan: Some(Box::new(of_plan)), ..Self::new(Type::PlanRequired, required.reason) }
    }

    /// The jobs of a day are used up.
    pub(crate) fn over_quota(over: &OverQuota) -> Self {
        // Not a moment before midnight.
        let retry_after_s = over.wait.as_secs() + u64::from(over.wait.subsec_nanos() > 0);
        let of_plan = OfPlan { plans: Vec::new(), retry_after_s: Some(retry_after_s) };
        Self { of_plan: Some(Box::new(of_plan)), ..Self::new(Type::OverQuota, over.to_string()) }
    }

    /// `pointer` is where the store is named.
    pub(crate) fn unknown_store(pointer: impl Into<String>, name: &str) -> Self {
        let error = FieldError::new(pointer, format!("must be a store of the tenant's: there is no {name:?}"));
        let mut detail = format!("there is no store {name:?}; PUT /api/stores/{name} adds it");
        clip(&mut detail);
        Self { errors: vec![error], n_errors: 1, ..Self::new(Type::UnknownStore, detail) }
    }

    pub(crate) fn no_such_job(id: &str) -> Self {
        Self::new(Type::NotFound, format!("there is no job {id:?}, or it finished longer ago than it is kept"))
    }

    pub(crate) fn store_away(error: impl fmt::Display) -> Self {
        Self::new(Type::StoreUnavailable, format!("mongodb, which holds results and history, does not answer: {error}"))
    }

    /// Whether the queue takes nothing at the moment, so that trying the next job makes no sense.
    pub(crate) fn is_queue_unavailable(&self) -> bool {
        self.kind == Type::QueueUnavailable
    }

    /// Whether only the jobs of a day are used up.
    pub(crate) fn is_over_quota(&self) -> bool {
        self.kind == Type::OverQuota
    }

    /// Whether it is certain that nothing was done.
    pub(crate) fn is_refusal(&self) -> bool {
        self.kind.status() < 500
    }

    pub(crate) fn is_not_found(&self) -> bool {
        self.kind == Type::NotFound
    }

    pub(crate) fn is_store_unavailable(&self) -> bool {
        self.kind == Type::StoreUnavailable
    }

    pub(crate) fn with_request_id(mut self, id: &str) -> Self {
        self.request_id = Some(id.to_owned());
        self
    }

    fn body(&self) -> api::Problem<'_> {
        let (slug, status, title) = self.kind.row();
        api::Problem {
            kind: format!("{TYPE_PREFIX}{slug}").into(),
            title: title.into(),
            status,
            detail: self.detail.as_str().into(),
            errors: self.errors.as_slice().into(),
            error_count: (self.n_errors > self.errors.len()).then_some(self.n_errors),
            missing: self.missing.iter().copied().map(Cow::Borrowed).collect(),
            plans: self.of_plan.as_ref().map_or(&[][..], |of_plan| &of_plan.plans).into(),
            request_id: self.request_id.as_deref().map(Cow::Borrowed),
        }
    }
}

impl Serialize for Problem {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.body().serialize(serializer)
    }
}

impl IntoResponse for Problem {
    /// The problem is also left in the response's extensions, so that `observe` can add the request's id.
    fn into_response(self) -> Response {
        let mut response = axum::Json(&self).into_response();
        *response.status_mut() = axum::http::StatusCode::from_u16(self.kind.status())
            .unwrap_or(axum::http::StatusCode::INTERNAL_SERVER_ERROR);
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        if let Some(after_s) = self.of_plan.as_ref().and_then(|of_plan| of_plan.retry_after_s) {
            headers.insert(header::RETRY_AFTER, HeaderValue::from(after_s));
        } else if self.kind.is_temporary() {
            headers.insert(header::RETRY_AFTER, HeaderValue::from(RETRY_AFTER_S));
        }
        if self.kind.status() == 401 {
            headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        response.extensions_mut().insert(self);
        response
    }
}

impl From<queue::Error> for Problem {
    fn from(error: queue::Error) -> Self {
        use queue::Error;
        match error {
            Error::Unavailable(_) | Error::Full => Self::new(Type::QueueUnavailable, error.to_string()),
            Error::Contended(_) => Self::new(Type::Overloaded, error.to_string()),
            Error::NotFound => {
                Self::new(Type::NotFound, "there is no such job, or it finished longer ago than it is kept")
            }
            Error::UnknownQueue(_) => Self::new(Type::NotFound, error.to_string()),
            Error::Conflict(_) | Error::Duplicate(_) => Self::new(Type::Conflict, error.to_string()),
            Error::Invalid(_) => Self::new(Type::InvalidPayload, error.to_string()),
            error => {
                tracing::error!(%error, "the queue cannot do what was asked");
                Self::new(Type::Internal, "the queue cannot do what was asked; the log has the reason")
            }
        }
    }
}

impl From<fleet::Error> for Problem {
    fn from(error: fleet::Error) -> Self {
        match error {
            fleet::Error::Unavailable(_) | fleet::Error::Full => Self::new(Type::QueueUnavailable, error.to_string()),
            error => {
                tracing::error!(%error, "what replicas share cannot be used");
                Self::new(Type::Internal, "what replicas share cannot be used; the log has the reason")
            }
        }
    }
}

/// A bad field with what is wrong with it; without a pointer it is the whole.
fn in_words(error: &FieldError) -> String {
    let place = if error.pointer.is_empty() { "the body" } else { &error.pointer };
    format!("{place} {}", error.message)
}

/// Cuts what callers sent to a length that can be read.
fn clip(text: &mut String) {
    if let Some((end, _)) = text.char_indices().nth(QUOTED) {
        text.truncate(end);
        text.push('…');
    }
}

/// Answers a path that no route has.
pub(crate) async fn no_such_route(method: Method, uri: Uri) -> Problem {
    Problem::new(Type::NotFound, format!("there is no {method} {}; /api/openapi.json lists all calls", uri.path()))
}

/// Answers a route that does not have this method.
pub(crate) async fn wrong_method(method: Method, uri: Uri) -> Problem {
    Problem::new(Type::MethodNotAllowed, format!("{} does not know {method}; see the header Allow", uri.path()))
}

/// Answers a request whose handler panicked; the panic hook has already told where.
#[expect(clippy::needless_pass_by_value, reason = "the signature that the panic layer asks for")]
pub(crate) fn panicked(payload: Box<dyn Any + Send + 'static>) -> Response {
    let message = payload.downcast_ref::<String>().map(String::as_str);
    let message = message.or_else(|| payload.downcast_ref::<&str>().copied()).unwrap_or("no message");
    tracing::error!(panic = message, "a handler panicked");
    Problem::new(Type::Internal, "the request could not be answered; the log has the reason").into_response()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_thousands_of_bad_fields_nothing_but_the_first_is_kept() {
        let problem = Problem::invalid(vec![FieldError::new("/x", "is not a known field"); 6_000]);
        assert_eq!((problem.errors.len(), problem.n_errors), (MOST_ERRORS, 6_000));
        assert!(problem.errors.capacity() < 2 * MOST_ERRORS, "room for {}", problem.errors.capacity());
    }

    #[test]
    fn the_table_of_problems_in_the_docs_is_this_one() {
        let page = include_str!("../../../docs/api.md");
        let section = page.split("## States of a job").nth(1).unwrap();
        let told: Vec<Vec<&str>> = section
            .lines()
            .filter(|line| line.starts_with("| `"))
            .map(|line| line.split('|').map(str::trim).collect())
            .collect();
        for (name, status, title) in Type::ALL.map(Type::row) {
            let row = told.iter().find(|row| row[1] == format!("`{name}`")).unwrap_or_else(|| panic!("{name} is told"));
            assert_eq!((row[2], row[3]), (status.to_string().as_str(), title), "{name}");
            assert!(!row[4].is_empty(), "{name}: what to do");
        }
        for state in
            ["scheduled", "ready", "running", "retrying", "waiting", "succeeded", "dead", "cancelled", "expired"]
        {
            assert!(told.iter().any(|row| row[1] == format!("`{state}`")), "{state} is told");
        }
        assert_eq!(told.len(), Type::ALL.len() + 9, "and nothing else");
    }
}
