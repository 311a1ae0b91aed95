//! Tokens that expire. Each replica has its own, in memory only: a token is a secret, and the shop gives each who asks one that works
//! beside the others. In a process one call at a time asks for a new one, the others wait for it.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use secrecy::{ExposeSecret, SecretString};
use tokio::time::Instant;

use crate::error::ProviderError;

/// So long before its end a token is renewed.
const AHEAD: Duration = Duration::from_secs(15 * 60);
/// No token is asked for more often, whatever its time.
const SHORTEST: Duration = Duration::from_secs(10);

/// A token and its time.
#[derive(Debug, Clone)]
pub(super) struct Token {
    pub(super) value: SecretString,
    renew_at: Instant,
    ends_at: Instant,
}

impl Token {
    pub(super) fn new(value: SecretString, expires_in: Duration, now: Instant) -> Self {
        let renew_in = expires_in.saturating_sub(AHEAD.min(expires_in / 10)).max(SHORTEST);
        Self { value, renew_at: now + renew_in, ends_at: now + expires_in }
    }
}

/// Of all stores.
#[derive(Debug, Default)]
pub(super) struct Tokens(Mutex<HashMap<String, Arc<tokio::sync::Mutex<Option<Token>>>>>);

impl Tokens {
    /// The token of an app at a store, which `renew` asks for if there is none whose time has not come. `refused`: one that the shop did not
    /// take.
    pub(super) async fn get(
        &self,
        app: &str,
        refused: Option<&SecretString>,
        now: Instant,
        renew: impl Future<Output = Result<Token, ProviderError>>,
    ) -> Result<SecretString, ProviderError> {
        let place = self.0.lock().unwrap_or_else(PoisonError::into_inner).entry(app.to_owned()).or_default().clone();
        let mut token = place.lock().await;
        if let (Some(known), Some(refused)) = (&*token, refused)
            && known.value.expose_secret() == refused.expose_secret()
        {
            *token = None;
        }
        if let Some(known) = token.as_ref().filter(|known| now < known.renew_at) {
            return Ok(known.value.clone());
        }
        match (renew.await, &*token) {
            (Ok(new), _) => Ok(token.insert(new).value.clone()),
            // The old one is good for a while.
            (Err(error), Some(known)) if now < known.ends_at => {
                tracing::warn!(%error, "a token is not renewed yet");
                Ok(known.value.clone())
            }
            (Err(error), _) => Err(error),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    fn failed() -> ProviderError {
        ProviderError::Transient { service: "shopify", message: "away".to_owned(), retry_after: None }
    }

    #[tokio::test]
    async fn a_token_is_asked_for_once_and_again_before_its_end_or_when_it_is_refused() {
        let (tokens, asked, start) = (Tokens::default(), AtomicUsize::new(0), Instant::now());
        let after = |seconds| start + Duration::from_secs(seconds);
        let renew = async |now| {
            tokio::task::yield_now().await;
            let value = SecretString::from(format!("t{}", asked.fetch_add(1, Ordering::Relaxed)));
            Ok(Token::new(value, Duration::from_secs(86_400), now))
        };
        let get = async |refused: Option<&SecretString>, now| {
            tokens.get("a", refused, now, renew(now)).await.unwrap().expose_secret().to_owned()
        };
        let both = futures::future::join(get(None, start), get(None, start)).await;
        assert_eq!(both, ("t0".to_owned(), "t0".to_owned()), "one call at a time asks");
        let refused = SecretString::from("t0");
        assert_eq!(get(Some(&refused), start).await, "t1");
        assert_eq!(get(Some(&refused), start).await, "t1", "another call had it renewed already");
        let kept = tokens.get("a", None, after(86_400 - 600), async { Err(failed()) }).await.unwrap();
        assert_eq!(kept.expose_secret(), "t1", "the old one is good for ten minutes");
        assert_eq!(get(None, after(86_400 - 600)).await, "t2");
        assert!(tokens.get("a", None, after(3 * 86_400), async { Err(failed()) }).await.is_err());
    }
}
