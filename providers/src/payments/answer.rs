//! What an answer of Stripe means, in the order in which that is decided.

use chrono::Utc;
use reqwest::header::HeaderMap;
use serde_json::Value;

use super::gateway::{NAME, Refusal, Reply, Request};
use crate::{error::ProviderError, wait};

/// Of an answer that is no JSON.
const MOST_SHOWN: usize = 200;

/// Of the header `Stripe-Should-Retry`.
const SHOULD_RETRY: &str = "stripe-should-retry";

/// Status, headers and body, as they came.
#[derive(Debug)]
pub(super) struct Answered<'a> {
    pub(super) status: u16,
    pub(super) headers: &'a HeaderMap,
    pub(super) body: &'a [u8],
}

impl Answered<'_> {
    /// What it means for the call.
    pub(super) fn meaning(&self, request: &Request) -> Result<Reply, ProviderError> {
        let body: Option<Value> = serde_json::from_slice(self.body).ok();
        if (200..300).contains(&self.status) {
            return match body.filter(Value::is_object) {
                Some(object) => Ok(Reply::Done(object)),
                None => Err(unanswered(
                    request,
                    &format!("{} with a body that is not Stripe's: {}", self.status, self.shown()),
                )),
            };
        }
        let refusal = body.as_ref().and_then(|body| Refusal::read(self.status, body));
        if matches!(self.status, 401 | 403) {
            return Err(self.misconfigured(request, refusal.as_ref()));
        }
        let code = refusal.as_ref().and_then(|refusal| refusal.code.as_deref());
        let (is_limit, is_lock) = (code == Some("rate_limit"), code == Some("lock_timeout"));
        let is_server = self.status >= 500;
        let retry = match wait::header(self.headers, SHOULD_RETRY) {
            Some("true") => true,
            Some("false") => false,
            _ => matches!(self.status, 409 | 424 | 429) || is_server || is_limit,
        };
        let message = format!("{}: {}", request.words(), self.said(refusal.as_ref()));
        let retry_after = wait::retry_after(self.headers, Utc::now());
        match (retry, refusal) {
            // The object, or the key, is another call's for the moment: that says nothing of Stripe.
            (true, _) if self.status == 409 || (self.status == 429 && is_lock) => {
                Err(ProviderError::Deferred { service: NAME, message })
            }
            (true, _) if self.status == 429 || is_limit => {
                Err(ProviderError::RateLimited { service: NAME, message, retry_after })
            }
            _ if is_server && request.is_write() => Err(self.unknown(request, &message)),
            (false, _) if is_server => Err(ProviderError::Unable { service: NAME, message }),
            (false, Some(refusal)) => Ok(Reply::Refused(refusal)),
            // A proxy in between, or not Stripe.
            (false, None) if self.status < 400 => Err(ProviderError::Misconfigured {
                service: NAME,
                message: format!("{message}; Stripe redirects nobody: see STRIPE_BASE_URL"),
            }),
            (true, _) | (false, None) => Err(ProviderError::Transient { service: NAME, message, retry_after }),
        }
    }

    /// A failure after the call was begun is stored, and answered to every try with the same key.
    fn unknown(&self, request: &Request, message: &str) -> ProviderError {
        let is_stored = wait::header(self.headers, "idempotent-replayed") == Some("true");
        let key = request.idempotency_key.as_deref().unwrap_or_default();
        if is_stored {
            let message = format!(
                "{message}; this answer is stored for the idempotency key {key:?}: look up what was made before another key is used"
            );
            return ProviderError::StoredFailure { service: NAME, message };
        }
        let message = format!("{message}; it may have been carried out: look it up, or repeat it with the same key");
        ProviderError::UnknownOutcome { service: NAME, message }
    }

    fn misconfigured(&self, request: &Request, refusal: Option<&Refusal>) -> ProviderError {
        let what = match self.status {
            401 => "STRIPE_API_KEY is refused: put the secret key of the dashboard there".to_owned(),
            _ => format!(
                "STRIPE_API_KEY may not do {}: give a restricted key this right, or use the secret key",
                request.words()
            ),
        };
        let message = format!("{what}; Stripe says: {}", self.said(refusal));
        ProviderError::Misconfigured { service: NAME, message }
    }

    /// What it says, without what may be secret: Stripe itself shortens the keys that it quotes.
    fn said(&self, refusal: Option<&Refusal>) -> String {
        let id = wait::header(self.headers, "request-id").map(|id| format!(" ({id})")).unwrap_or_default();
        match refusal {
            Some(Refusal { status, kind, code, message, .. }) => {
                let code = code.as_deref().unwrap_or(kind);
                format!("{status} {code}: {message}{id}")
            }
            None => format!("{} {}{id}", self.status, self.shown()),
        }
    }

    fn shown(&self) -> String {
        let text = String::from_utf8_lossy(self.body);
        let text = text.split_whitespace().collect::<Vec<_>>().join(" ");
        text.chars().take(MOST_SHOWN).collect()
    }
}

/// Nobody knows what became of a write.
pub(super) fn unanswered(request: &Request, how: &str) -> ProviderError {
    let message = format!("{}: {how}", request.words());
    match request.is_write() {
        false => ProviderError::Transient { service: NAME, message, retry_after: None },
        true => ProviderError::UnknownOutcome {
            service: NAME,
            message: format!("{message}; it may have been carried out: look it up, or repeat it with the same key"),
        },
    }
}
