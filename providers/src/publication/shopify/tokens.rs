//! Tokens that expire. One replica asks for a new one, and the others have it from [`Fleet`], sealed with `ENCRYPTION_KEY`. Without that key each
//! process asks for its own and keeps it in memory only: a token is a secret, and the shop gives each who asks one that works beside the others.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use fleet::{Begun, Fleet, Turn};
use ring::rand::{SecureRandom, SystemRandom};
use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Serialize};
use services::Ring;
use sha2::{Digest, Sha256};
use tokio::time::Instant;

use super::super::store::Store;
use crate::error::ProviderError;

/// So long before its end a token is renewed.
const AHEAD_MS: u64 = 15 * 60 * 1000;
/// No token is asked for more often, whatever its time.
const SHORTEST_MS: u64 = 10_000;
/// Whoever asks for one is gone when nothing was heard for so long: longer than a call for a token takes.
const BUSY: Duration = Duration::from_secs(25);
/// While another replica asks for a token, it is looked at again so often.
const LOOK_AGAIN: Duration = Duration::from_millis(100);

/// A token and its time, in Unix milliseconds.
#[derive(Debug, Clone)]
pub(super) struct Token {
    value: SecretString,
    renew_at_ms: u64,
    ends_at_ms: u64,
}

/// What is sealed of it.
#[derive(Serialize, Deserialize)]
struct Kept {
    token: String,
    renew_at_ms: u64,
    ends_at_ms: u64,
}

impl Token {
    pub(super) fn new(value: SecretString, expires_in: Duration, now_ms: u64) -> Self {
        let ms = u64::try_from(expires_in.as_millis()).unwrap_or(u64::MAX);
        let renew_in_ms = ms.saturating_sub(AHEAD_MS.min(ms / 10)).max(SHORTEST_MS);
        let after = |ms| now_ms.saturating_add(ms);
        Self { value, renew_at_ms: after(renew_in_ms), ends_at_ms: after(ms) }
    }

    fn is(&self, other: Option<&SecretString>) -> bool {
        other.is_some_and(|other| other.expose_secret() == self.value.expose_secret())
    }
}

/// An app at a store.
#[derive(Debug)]
pub(super) struct App {
    /// What its token is kept under.
    name: String,
    /// What it is sealed for: other credentials of the same store have another token.
    place: String,
}

impl App {
    pub(super) fn new(store: &Store, client_id: &str, secret: &SecretString) -> Self {
        let name = format!("shopify-token/{}", store.account());
        let secret = hex::encode(Sha256::digest(secret.expose_secret()));
        Self { place: format!("{name} {} {client_id} {secret}", store.url), name }
    }
}

/// Of all stores.
#[derive(Debug)]
pub(super) struct Tokens {
    fleet: Fleet,
    ring: Option<Ring>,
    here: Mutex<HashMap<String, Arc<tokio::sync::Mutex<Option<Token>>>>>,
}

/// Who has a token.
enum Whose {
    /// Another replica had it renewed, or does so while the old one is good.
    Theirs(Token),
    /// This one is to ask; the others wait until it has ended.
    Ours(Option<Begun>),
}

impl Tokens {
    pub(super) fn new(fleet: Fleet, ring: Option<Ring>) -> Self {
        Self { fleet, ring, here: Mutex::default() }
    }

    /// The token of an app at a store, which `renew` asks for if there is none whose time has not come. `refused`: one that the shop did not
    /// take.
    pub(super) async fn get(
        &self,
        app: &App,
        refused: Option<&SecretString>,
        now_ms: u64,
        renew: impl Future<Output = Result<Token, ProviderError>>,
    ) -> Result<SecretString, ProviderError> {
        let place =
            self.here.lock().unwrap_or_else(PoisonError::into_inner).entry(app.place.clone()).or_default().clone();
        // In a process one call at a time asks.
        let mut token = place.lock().await;
        if token.as_ref().is_some_and(|known| known.is(refused)) {
            *token = None;
        }
        if let Some(known) = token.as_ref().filter(|known| now_ms < known.renew_at_ms) {
            return Ok(known.value.clone());
        }
        let old = token.as_ref().filter(|known| now_ms < known.ends_at_ms).cloned();
        let _begun = match self.whose(app, refused, old.as_ref(), now_ms).await {
            Whose::Theirs(theirs) => return Ok(token.insert(theirs).value.clone()),
            Whose::Ours(begun) => begun,
        };
        match (renew.await, old) {
            (Ok(new), _) => {
                self.keep(app, &new, now_ms).await;
                Ok(token.insert(new).value.clone())
            }
            // It is good for a while.
            (Err(error), Some(old)) => {
                tracing::warn!(%error, "a token is not renewed yet");
                Ok(old.value)
            }
            (Err(error), None) => Err(error),
        }
    }

    /// Looks at what another replica has, and waits while one asks.
    async fn whose(&self, app: &App, refused: Option<&SecretString>, old: Option<&Token>, now_ms: u64) -> Whose {
        let (Some(_), Some(ticket)) = (&self.ring, ticket()) else { return Whose::Ours(None) };
        let give_up = Instant::now() + BUSY;
        let mut begun = None;
        loop {
            let kept = self.kept(app).await;
            if let Some(kept) = kept.filter(|kept| now_ms < kept.renew_at_ms && !kept.is(refused)) {
                return Whose::Theirs(kept);
            }
            if begun.is_some() || Instant::now() > give_up {
                return Whose::Ours(begun);
            }
            match self.fleet.turn(&app.name, &ticket, Duration::ZERO, BUSY).await {
                // Whoever had its turn before may have kept one since it was looked.
                Turn::Begun(turn) => begun = Some(turn),
                Turn::Unknown(turn) => return Whose::Ours(turn),
                Turn::Wait(_) => match old {
                    Some(old) => return Whose::Theirs(old.clone()),
                    None => tokio::time::sleep(LOOK_AGAIN).await,
                },
            }
        }
    }

    async fn kept(&self, app: &App) -> Option<Token> {
        let ring = self.ring.as_ref()?;
        let sealed = match self.fleet.kept(&app.name).await {
            Ok(sealed) => sealed?,
            Err(error) => {
                tracing::debug!(%error, "whether another replica has a token is not known");
                return None;
            }
        };
        // One that does not open is of other credentials, or of a key that is gone.
        let opened = ring.open(&app.place, &sealed).ok()?;
        let Kept { token, renew_at_ms, ends_at_ms } = serde_json::from_str(opened.expose_secret()).ok()?;
        Some(Token { value: token.into(), renew_at_ms, ends_at_ms })
    }

    async fn keep(&self, app: &App, token: &Token, now_ms: u64) {
        let Some(ring) = &self.ring else { return };
        let Token { value, renew_at_ms, ends_at_ms } = token;
        let kept = Kept { token: value.expose_secret().to_owned(), renew_at_ms: *renew_at_ms, ends_at_ms: *ends_at_ms };
        let Ok(text) = serde_json::to_string(&kept) else { return };
        let lasts = Duration::from_millis(ends_at_ms.saturating_sub(now_ms));
        if let Err(error) = self.fleet.keep(&app.name, &ring.seal(&app.place, &text).text, lasts).await {
            tracing::debug!(%error, "other replicas ask for a token of their own");
        }
    }
}

/// Names one who waits; none without randomness.
fn ticket() -> Option<String> {
    let mut bytes = [0; 16];
    SystemRandom::new().fill(&mut bytes).ok()?;
    Some(hex::encode(bytes))
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    const DAY_MS: u64 = 86_400_000;

    fn failed() -> ProviderError {
        ProviderError::Transient { service: "shopify", message: "away".to_owned(), retry_after: None }
    }

    #[tokio::test]
    async fn a_token_is_asked_for_once_and_again_before_its_end_or_when_it_is_refused() {
        let (tokens, asked) = (Tokens::new(Fleet::alone(), None), AtomicUsize::new(0));
        let app = App { name: "a".to_owned(), place: "a".to_owned() };
        let renew = async |now_ms| {
            tokio::task::yield_now().await;
            let value = SecretString::from(format!("t{}", asked.fetch_add(1, Ordering::Relaxed)));
            Ok(Token::new(value, Duration::from_millis(DAY_MS), now_ms))
        };
        let get = async |refused: Option<&SecretString>, now_ms| {
            tokens.get(&app, refused, now_ms, renew(now_ms)).await.unwrap().expose_secret().to_owned()
        };
        let both = futures::future::join(get(None, 0), get(None, 0)).await;
        assert_eq!(both, ("t0".to_owned(), "t0".to_owned()), "one call at a time asks");
        let refused = SecretString::from("t0");
        assert_eq!(get(Some(&refused), 0).await, "t1");
        assert_eq!(get(Some(&refused), 0).await, "t1", "another call had it renewed already");
        let late_ms = DAY_MS - 600_000;
        let kept = tokens.get(&app, None, late_ms, async { Err(failed()) }).await.unwrap();
        assert_eq!(kept.expose_secret(), "t1", "the old one is good for ten minutes");
        assert_eq!(get(None, late_ms).await, "t2");
        assert!(tokens.get(&app, None, 3 * DAY_MS, async { Err(failed()) }).await.is_err());
    }
}
