//! Seals the credentials of stores anew when there is a newer key.

use std::time::{Duration, Instant};

use secrecy::ExposeSecret;
use serde::{Deserialize, Serialize};
use serde_json::json;
use services::Ring;
use store::{Store, StoredStore};
use utoipa::ToSchema;

use crate::{
    handler::{Context, JobError},
    kinds::stores::place_of,
};

/// Stores that are read at a time.
const PAGE: usize = 200;
/// A task that made room for others goes on so much later, and one that met an outage so much.
const SOON: Duration = Duration::from_millis(100);
const AGAIN_AFTER: Duration = Duration::from_secs(5);

/// What became of credentials that were not sealed with the newest key.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Rotated {
    /// The newest key.
    pub key: String,
    /// Stores whose credentials were sealed anew.
    pub done: u64,
    /// Stores that were changed meanwhile, or are written by a newer release.
    pub left: u64,
    /// Stores whose credentials cannot be opened: their key is not there any more. Such a store needs its credentials again.
    pub failed: u64,
}

/// What an earlier run of the same job has done.
#[derive(Debug, Default, Serialize, Deserialize)]
struct SoFar {
    rotated: Rotated,
    after: Option<String>,
}

/// Walks through all of them, makes room for others when its time is over, and goes on from there.
pub(crate) async fn rotate_keys(context: &Context) -> Result<Rotated, JobError> {
    let fatal = |code, message: &str| JobError::Fatal { code, message: message.to_owned() };
    let ring = context.providers.ring.as_ref();
    let ring = ring.ok_or_else(|| fatal("not_configured", "ENCRYPTION_KEY of the worker is not set or malformed"))?;
    let store = context.store.as_ref().ok_or_else(|| fatal("no_store", "this task needs mongodb"))?;
    let until = Instant::now() + context.time_for_a_task();
    let so_far = context.so_far.clone().and_then(|so_far| serde_json::from_value::<SoFar>(so_far).ok());
    // With another key meanwhile it begins anew.
    let mut so_far = so_far.filter(|so_far| so_far.rotated.key == ring.newest()).unwrap_or_default();
    so_far.rotated.key = ring.newest().to_owned();
    loop {
        let last = match turn(store, ring, &mut so_far).await {
            Ok(last) => last,
            Err(error) => {
                let away = JobError::Snooze { code: "away", message: error.to_string(), after: AGAIN_AFTER };
                return Err(away.with(json!(so_far)));
            }
        };
        let Rotated { done, left, failed, .. } = so_far.rotated;
        if last {
            tracing::info!(key = so_far.rotated.key, done, left, failed, "credentials of stores were sealed anew");
            return Ok(so_far.rotated);
        }
        context.progress.set(50, format!("{done} stores were sealed anew"));
        if Instant::now() >= until {
            let message = format!("{done} stores were sealed anew so far");
            let more = JobError::Snooze { code: "more_to_do", message, after: SOON };
            return Err(more.with(json!(so_far)));
        }
    }
}

/// One page. True if it was the last.
async fn turn(store: &Store, ring: &Ring, so_far: &mut SoFar) -> Result<bool, store::Error> {
    let page = store.stores_not_under(ring.newest(), so_far.after.as_deref(), PAGE).await?;
    let (n, n_unreadable) = (page.n(), page.unreadable.len() as u64);
    let ids = page.read.iter().map(|stored| &stored.id).chain(page.unreadable.iter().map(|unreadable| &unreadable.id));
    let last = ids.max().cloned();
    let mut rotated = Rotated { left: n_unreadable, ..Rotated::default() };
    for stored in &page.read {
        match resealed(ring, stored) {
            Some(sealed) => match store.reseal_store(&stored.id, &stored.sealed, &sealed.text, &sealed.key).await? {
                true => rotated.done += 1,
                false => rotated.left += 1,
            },
            None => rotated.failed += 1,
        }
    }
    so_far.after = last;
    so_far.rotated.done += rotated.done;
    so_far.rotated.left += rotated.left;
    so_far.rotated.failed += rotated.failed;
    Ok(n < PAGE)
}

/// As text, so that what a newer release has written into it stays.
fn resealed(ring: &Ring, stored: &StoredStore) -> Option<services::Sealed> {
    let place = place_of(&stored.tenant, &stored.name);
    match ring.open(&place, &stored.sealed) {
        Ok(text) => Some(ring.seal(&place, text.expose_secret())),
        Err(error) => {
            tracing::error!(store = stored.id, %error, "the credentials of a store cannot be sealed anew");
            None
        }
    }
}
