//! Signs what the stand-in of fal delivers, and delivers it again and again, as fal does.

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use ring::signature::{Ed25519KeyPair, KeyPair};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use url::Url;

use crate::standins::lock;

const USER_ID: &str = "user-1";
/// So often it is tried, until it is taken.
const TRIES: u32 = 30;
/// And so often once it was taken.
const REPEATS: u32 = 1;
const PAUSE: Duration = Duration::from_millis(200);

/// One call of a webhook.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Delivered {
    /// Of which run.
    pub request_id: String,
    /// What was answered; `None` when nobody did.
    pub status: Option<u16>,
}

#[derive(Debug)]
pub(super) struct Webhooks {
    /// Where everything goes, whatever its host.
    to: Mutex<Option<String>>,
    seeds: Mutex<Vec<u8>>,
    delivered: Mutex<Vec<Delivered>>,
    client: reqwest::Client,
}

impl Webhooks {
    pub(super) fn new() -> Arc<Self> {
        let (to, seeds, delivered) = (Mutex::default(), Mutex::new(vec![1]), Mutex::default());
        Arc::new(Self { to, seeds, delivered, client: crate::client() })
    }

    pub(super) fn deliver_to(&self, base: &str) {
        *lock(&self.to) = Some(base.trim_end_matches('/').to_owned());
    }

    pub(super) fn delivered(&self) -> Vec<Delivered> {
        lock(&self.delivered).clone()
    }

    /// Signs with another key from now on; those of before are no longer published.
    pub(super) fn rotate(&self) {
        let mut seeds = lock(&self.seeds);
        let last = seeds.last().copied().unwrap_or(0);
        *seeds = vec![last.wrapping_add(1)];
    }

    pub(super) fn keys(&self) -> Value {
        let seeds = lock(&self.seeds);
        let keys = seeds.iter().filter_map(|seed| {
            let x = URL_SAFE_NO_PAD.encode(pair(*seed)?.public_key());
            Some(json!({ "kty": "OKP", "crv": "Ed25519", "x": x, "use": "sig", "alg": "EdDSA", "kid": format!("key-{seed}") }))
        });
        json!({ "keys": keys.collect::<Vec<_>>() })
    }

    /// The headers of a delivery.
    pub(super) fn signed(&self, request_id: &str, body: &[u8], at_s: u64) -> [(&'static str, String); 4] {
        let message = format!("{request_id}\n{USER_ID}\n{at_s}\n{}", hex::encode(Sha256::digest(body)));
        let seed = lock(&self.seeds).last().copied().unwrap_or(0);
        let signature = pair(seed).map(|pair| pair.sign(message.as_bytes()));
        let signature = signature.map(hex::encode).unwrap_or_default();
        [
            ("x-fal-webhook-request-id", request_id.to_owned()),
            ("x-fal-webhook-user-id", USER_ID.to_owned()),
            ("x-fal-webhook-timestamp", at_s.to_string()),
            ("x-fal-webhook-signature", signature),
        ]
    }

    /// Delivers until it is taken, and once more; nothing where it was not told whom to.
    pub(super) fn deliver(self: &Arc<Self>, address: &str, request_id: &str, body: Value) {
        let Some(base) = lock(&self.to).clone() else { return };
        let Ok(address) = Url::parse(address) else { return };
        let query = address.query().map(|query| format!("?{query}")).unwrap_or_default();
        let (url, request_id) = (format!("{base}{}{query}", address.path()), request_id.to_owned());
        let this = Arc::clone(self);
        tokio::spawn(async move {
            let mut taken = 0;
            for _ in 0..TRIES {
                let status = this.call(&url, &request_id, &body).await;
                lock(&this.delivered).push(Delivered { request_id: request_id.clone(), status });
                taken += u32::from(status.is_some_and(|status| (200..300).contains(&status)));
                if taken > REPEATS {
                    return;
                }
                tokio::time::sleep(PAUSE).await;
            }
        });
    }

    async fn call(&self, url: &str, request_id: &str, body: &Value) -> Option<u16> {
        let body = body.to_string();
        let now_s = u64::try_from(chrono::Utc::now().timestamp()).unwrap_or(0);
        let mut request = self.client.post(url).header("content-type", "application/json");
        for (name, value) in self.signed(request_id, body.as_bytes(), now_s) {
            request = request.header(name, value);
        }
        Some(request.body(body).send().await.ok()?.status().as_u16())
    }
}

fn pair(seed: u8) -> Option<Ed25519KeyPair> {
    Ed25519KeyPair::from_seed_unchecked(&[seed; 32]).ok()
}
