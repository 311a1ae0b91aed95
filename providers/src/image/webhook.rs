//! Whether it is fal that calls us: it signs what it delivers with Ed25519, by one of the keys that it publishes.

use std::time::{Duration, Instant};

use base64::{
    Engine,
    engine::{
        DecodePaddingMode,
        general_purpose::{GeneralPurpose, GeneralPurposeConfig},
    },
};
use futures::StreamExt;
use ring::signature::{ED25519, UnparsedPublicKey};
use serde::Deserialize;
use serde_json::Value;
use services::{Config, Name};
use sha2::{Digest, Sha256};
use tokio::sync::Mutex;

use crate::http;

/// A delivery may be so much older, or newer, than now.
const DRIFT_S: u64 = 300;
/// Keys are read anew after this time, as fal asks.
const KEYS_KEPT: Duration = Duration::from_secs(24 * 3600);
/// A signature by a key that we do not know has the keys read anew, but not sooner after the time before.
const AGAIN_AFTER: Duration = Duration::from_secs(60);
/// The same, when they could not be read.
const AGAIN_AFTER_FAILURE: Duration = Duration::from_secs(10);
const FETCH_TIMEOUT: Duration = Duration::from_secs(5);
const MOST_KEY_BYTES: usize = 64 << 10;
const KEY_BYTES: usize = 32;
const SIGNATURE_BYTES: usize = 64;
/// Base64 as in addresses, with or without padding.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &base64::alphabet::URL_SAFE,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// What fal sends with a delivery, in its headers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Signed<'a> {
    /// `X-Fal-Webhook-Request-Id`
    pub request_id: &'a str,
    /// `X-Fal-Webhook-User-Id`
    pub user_id: &'a str,
    /// `X-Fal-Webhook-Timestamp`: seconds since 1970.
    pub timestamp: &'a str,
    /// `X-Fal-Webhook-Signature`, in hexadecimal.
    pub signature: &'a str,
}

/// Why a delivery is not taken.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum WebhookError {
    /// It is not what fal signed, or not now.
    #[error("{0}")]
    Bad(String),
    /// Nobody can tell, because fal's keys cannot be read.
    #[error("the keys of fal cannot be read from {url}: {reason}")]
    KeysAway {
        /// `FAL_JWKS_URL`
        url: String,
        /// Why not.
        reason: String,
    },
}

/// Tells fal's deliveries from others. Keeps its keys for a day.
#[derive(Debug)]
pub struct FalWebhooks {
    url: String,
    keys: Mutex<Keys>,
}

#[derive(Debug, Default)]
struct Keys {
    known: Vec<[u8; KEY_BYTES]>,
    read_at: Option<Instant>,
    /// When they were asked for last, and why that gave nothing.
    asked: Option<(Instant, Option<String>)>,
}

impl FalWebhooks {
    /// With the keys that are at `FAL_JWKS_URL`; they are read when they are needed.
    #[must_use]
    pub fn new(config: &Config) -> Self {
        let url = config.value(Name::Images, "FAL_JWKS_URL").unwrap_or_default().to_owned();
        Self { url, keys: Mutex::default() }
    }

    /// Whether fal has signed `body`, as it came, not longer than 5 minutes before or after `now_s`.
    ///
    /// # Errors
    /// [`WebhookError::Bad`] when it has not; [`WebhookError::KeysAway`] when nobody can tell: it is to deliver that again.
    pub async fn check(&self, signed: Signed<'_>, body: &[u8], now_s: u64) -> Result<(), WebhookError> {
        self.check_at(signed, body, now_s, Instant::now()).await
    }

    async fn check_at(&self, signed: Signed<'_>, body: &[u8], now_s: u64, now: Instant) -> Result<(), WebhookError> {
        let signature = signed.in_time(now_s)?;
        let message = signed.message(body);
        let is_by = |keys: &Keys| {
            keys.known.iter().any(|key| UnparsedPublicKey::new(&ED25519, key).verify(&message, &signature).is_ok())
        };
        // Whoever needs keys that are being read waits for them.
        let mut keys = self.keys.lock().await;
        if keys.are_fresh(now) && is_by(&keys) {
            return Ok(());
        }
        self.read_anew(&mut keys, now).await?;
        if is_by(&keys) {
            return Ok(());
        }
        Err(bad("the signature in X-Fal-Webhook-Signature is by none of fal's keys, or of something else"))
    }

    /// Reads the keys, unless that was done a moment ago.
    async fn read_anew(&self, keys: &mut Keys, now: Instant) -> Result<(), WebhookError> {
        let away = |reason: String| WebhookError::KeysAway { url: self.url.clone(), reason };
        match &keys.asked {
            Some((at, Some(reason))) if now.saturating_duration_since(*at) < AGAIN_AFTER_FAILURE => {
                return Err(away(reason.clone()));
            }
            Some((at, None)) if now.saturating_duration_since(*at) < AGAIN_AFTER => return Ok(()),
            _ => {}
        }
        match fetch(&self.url).await {
            Ok(known) => {
                *keys = Keys { known, read_at: Some(now), asked: Some((now, None)) };
                Ok(())
            }
            Err(reason) => {
                keys.asked = Some((now, Some(reason.clone())));
                Err(away(reason))
            }
        }
    }
}

impl Keys {
    fn are_fresh(&self, now: Instant) -> bool {
        self.read_at.is_some_and(|at| now.saturating_duration_since(at) < KEYS_KEPT)
    }
}

impl Signed<'_> {
    /// The signature, if all has the form that it must have.
    fn in_time(&self, now_s: u64) -> Result<[u8; SIGNATURE_BYTES], WebhookError> {
        for (name, value) in [("Request", self.request_id), ("User", self.user_id)] {
            if value.is_empty() {
                return Err(bad(format!("the header X-Fal-Webhook-{name}-Id is missing, or empty")));
            }
        }
        let is_number = !self.timestamp.is_empty() && self.timestamp.bytes().all(|byte| byte.is_ascii_digit());
        let Some(at_s) = is_number.then(|| self.timestamp.parse::<u64>().ok()).flatten() else {
            return Err(bad("the header X-Fal-Webhook-Timestamp must be a number of seconds since 1970"));
        };
        if at_s.abs_diff(now_s) > DRIFT_S {
            let drift = at_s.abs_diff(now_s);
            let side = if at_s < now_s { "behind" } else { "ahead of" };
            return Err(bad(format!(
                "the time in X-Fal-Webhook-Timestamp is {drift} s {side} ours; at most {DRIFT_S} s are taken"
            )));
        }
        let signature = hex::decode(self.signature).ok().and_then(|signature| signature.try_into().ok());
        signature.ok_or_else(|| bad("the header X-Fal-Webhook-Signature must be 64 bytes in hexadecimal"))
    }

    /// What is signed.
    fn message(&self, body: &[u8]) -> Vec<u8> {
        let hash = hex::encode(Sha256::digest(body));
        [self.request_id, self.user_id, self.timestamp, &hash].join("\n").into_bytes()
    }
}

fn bad(detail: impl Into<String>) -> WebhookError {
    WebhookError::Bad(detail.into())
}

async fn fetch(url: &str) -> Result<Vec<[u8; KEY_BYTES]>, String> {
    let client = http::client().timeout(FETCH_TIMEOUT).redirect(reqwest::redirect::Policy::none()).build();
    let client = client.map_err(|error| format!("no HTTP client can be built: {error}"))?;
    let in_words = |error: reqwest::Error| error.without_url().to_string();
    let response = client.get(url).send().await.map_err(in_words)?;
    if response.status() != reqwest::StatusCode::OK {
        return Err(format!("status {}", response.status()));
    }
    let (mut pieces, mut body) = (response.bytes_stream(), Vec::new());
    while let Some(piece) = pieces.next().await {
        body.extend_from_slice(&piece.map_err(in_words)?);
        if body.len() > MOST_KEY_BYTES {
            return Err(format!("the answer has more than {} KiB", MOST_KEY_BYTES >> 10));
        }
    }
    read(&body)
}

/// The keys of a set, of which others may be for other things.
fn read(set: &[u8]) -> Result<Vec<[u8; KEY_BYTES]>, String> {
    #[derive(Deserialize)]
    struct Set {
        keys: Vec<Value>,
    }
    let set: Set = serde_json::from_slice(set).map_err(|error| format!("it is no set of keys: {error}"))?;
    let is_ours = |key: &&Value| key["kty"] == "OKP" && key["crv"] == "Ed25519";
    let bytes = |key: &Value| BASE64.decode(key["x"].as_str()?).ok()?.try_into().ok();
    let keys: Vec<_> = set.keys.iter().filter(is_ours).filter_map(bytes).collect();
    if keys.is_empty() { Err("it has no key for Ed25519".to_owned()) } else { Ok(keys) }
}

#[cfg(test)]
mod tests {
    use ring::signature::{Ed25519KeyPair, KeyPair};
    use serde_json::json;
    use wiremock::{Mock, MockServer, ResponseTemplate, matchers::any};

    use super::*;

    const NOW_S: u64 = 1_800_000_000;
    const BODY: &[u8] = br#"{"request_id":"r-1","status":"OK","payload":{"images":[]}}"#;

    fn pair(seed: u8) -> Ed25519KeyPair {
        Ed25519KeyPair::from_seed_unchecked(&[seed; 32]).unwrap()
    }

    fn key(seed: u8) -> Value {
        let x = base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(pair(seed).public_key());
        json!({ "kty": "OKP", "crv": "Ed25519", "x": x, "use": "sig" })
    }

    /// What is signed, written out as fal tells it.
    fn sign(seed: u8, at_s: &str, body: &[u8]) -> String {
        let message = format!("r-1\nu-1\n{at_s}\n{}", hex::encode(Sha256::digest(body)));
        hex::encode(pair(seed).sign(message.as_bytes()))
    }

    fn signed<'a>(timestamp: &'a str, signature: &'a str) -> Signed<'a> {
        Signed { request_id: "r-1", user_id: "u-1", timestamp, signature }
    }

    async fn serve(server: &MockServer, answer: ResponseTemplate) {
        server.reset().await;
        Mock::given(any()).respond_with(answer).mount(server).await;
    }

    fn keys(seeds: &[u8]) -> ResponseTemplate {
        let keys: Vec<_> = seeds.iter().map(|seed| key(*seed)).collect();
        ResponseTemplate::new(200).set_body_json(json!({ "keys": keys }))
    }

    async fn with_keys(seeds: &[u8]) -> (MockServer, FalWebhooks) {
        let server = MockServer::start().await;
        serve(&server, keys(seeds)).await;
        let webhooks = FalWebhooks { url: server.uri(), keys: Mutex::default() };
        (server, webhooks)
    }

    async fn n_asked(server: &MockServer) -> usize {
        server.received_requests().await.unwrap().len()
    }

    fn is_bad(checked: &Result<(), WebhookError>, told: &str) -> bool {
        matches!(checked, Err(WebhookError::Bad(detail)) if detail.contains(told))
    }

    #[test]
    fn keys_are_read_where_fal_publishes_them() {
        assert_eq!(FalWebhooks::new(&Config::mock()).url, "https://rest.fal.ai/.well-known/jwks.json");
    }

    #[tokio::test]
    async fn what_fal_signed_is_taken_and_nothing_that_was_changed() {
        let (server, webhooks) = with_keys(&[7]).await;
        let at = NOW_S.to_string();
        let good = sign(7, &at, BODY);
        webhooks.check(signed(&at, &good), BODY, NOW_S).await.unwrap();
        webhooks.check(signed(&at, &good.to_uppercase()), BODY, NOW_S).await.unwrap();
        let later = (NOW_S + 1).to_string();
        let by_none = "by none of fal's keys";
        for (changed, body) in [
            (signed(&at, &good), &BODY[..BODY.len() - 1]),
            (signed(&at, &good), br#"{"request_id":"r-1","status":"OK","payload":{"images":[1]}}"#),
            (signed(&later, &good), BODY),
            (Signed { request_id: "r-2", ..signed(&at, &good) }, BODY),
            (Signed { user_id: "u-2", ..signed(&at, &good) }, BODY),
            // The line ends are part of what is signed, and so is the order.
            (Signed { request_id: "u-1", user_id: "r-1", ..signed(&at, &good) }, BODY),
            (signed(&at, &sign(8, &at, BODY)), BODY),
        ] {
            let checked = webhooks.check(changed, body, NOW_S).await;
            assert!(is_bad(&checked, by_none), "{changed:?}: {checked:?}");
        }
        assert_eq!(n_asked(&server).await, 1, "junk does not have the keys read again and again");
    }

    #[tokio::test]
    async fn each_header_must_be_there_and_have_its_form() {
        let (server, webhooks) = with_keys(&[7]).await;
        let at = NOW_S.to_string();
        let good = sign(7, &at, BODY);
        let all = signed(&at, &good);
        let not_hex = good.replace(|character: char| character.is_ascii_digit(), "z");
        for (changed, told) in [
            (Signed { request_id: "", ..all }, "Request-Id is missing"),
            (Signed { user_id: "", ..all }, "User-Id is missing"),
            (Signed { timestamp: "", ..all }, "a number of seconds"),
            (Signed { timestamp: "soon", ..all }, "a number of seconds"),
            (Signed { timestamp: "-1", ..all }, "a number of seconds"),
            (Signed { timestamp: "+1800000000", ..all }, "a number of seconds"),
            (Signed { timestamp: "99999999999999999999", ..all }, "a number of seconds"),
            (Signed { signature: "", ..all }, "64 bytes in hexadecimal"),
            (Signed { signature: &good[2..], ..all }, "64 bytes in hexadecimal"),
            (Signed { signature: &not_hex, ..all }, "64 bytes in hexadecimal"),
        ] {
            let checked = webhooks.check(changed, BODY, NOW_S).await;
            assert!(is_bad(&checked, told), "{changed:?}: {checked:?}");
        }
        assert_eq!(n_asked(&server).await, 0, "what has not even the form needs no keys");
    }

    #[tokio::test]
    async fn five_minutes_are_let_pass_in_both_directions_and_no_more() {
        let (_server, webhooks) = with_keys(&[7]).await;
        for (at_s, told) in [
            (NOW_S - 300, None),
            (NOW_S - 299, None),
            (NOW_S + 300, None),
            (NOW_S - 301, Some("301 s behind ours")),
            (NOW_S + 301, Some("301 s ahead of ours")),
            (0, Some("behind")),
        ] {
            let at = at_s.to_string();
            let checked = webhooks.check(signed(&at, &sign(7, &at, BODY)), BODY, NOW_S).await;
            match told {
                None => checked.unwrap(),
                Some(told) => assert!(is_bad(&checked, told), "{at_s}: {checked:?}"),
            }
        }
    }

    #[tokio::test]
    async fn each_of_several_keys_is_tried_and_a_new_one_is_fetched_once_a_minute_at_most() {
        let (server, webhooks) = with_keys(&[1, 2]).await;
        let (at, start) = (NOW_S.to_string(), Instant::now());
        let check = async |seed: u8, after_s: u64| {
            let signature = sign(seed, &at, BODY);
            let now = start + Duration::from_secs(after_s);
            webhooks.check_at(signed(&at, &signature), BODY, NOW_S, now).await
        };
        check(1, 0).await.unwrap();
        check(2, 0).await.unwrap();
        assert_eq!(n_asked(&server).await, 1);
        // Fal takes another key.
        serve(&server, keys(&[2, 3])).await;
        assert!(is_bad(&check(3, 59).await, "by none"), "it was asked less than a minute ago");
        assert_eq!(n_asked(&server).await, 0);
        check(3, 60).await.unwrap();
        check(2, 61).await.unwrap();
        assert!(is_bad(&check(1, 62).await, "by none"), "the old one is no longer good");
        assert_eq!(n_asked(&server).await, 1);
        // After a day nothing is believed that was not read anew.
        check(3, 60 + 24 * 3600 - 1).await.unwrap();
        assert_eq!(n_asked(&server).await, 1);
        check(3, 60 + 24 * 3600).await.unwrap();
        assert_eq!(n_asked(&server).await, 2);
        let many = (0..20).map(|_| check(9, 60 + 24 * 3600 + 120));
        assert!(futures::future::join_all(many).await.iter().all(|checked| is_bad(checked, "by none")));
        assert_eq!(n_asked(&server).await, 3, "those that come together ask once");
    }

    #[tokio::test]
    async fn without_keys_nothing_is_taken_and_fal_is_to_come_again() {
        let (server, webhooks) = with_keys(&[1]).await;
        let (at, start) = (NOW_S.to_string(), Instant::now());
        let check = async |seed: u8, after_s: u64| {
            let signature = sign(seed, &at, BODY);
            let now = start + Duration::from_secs(after_s);
            webhooks.check_at(signed(&at, &signature), BODY, NOW_S, now).await
        };
        let is_away = |checked: &Result<(), WebhookError>| matches!(checked, Err(WebhookError::KeysAway { .. }));
        let no_keys = [
            ResponseTemplate::new(503),
            ResponseTemplate::new(302).insert_header("location", server.uri().as_str()),
            ResponseTemplate::new(200).set_body_string("<html>"),
            ResponseTemplate::new(200).set_body_json(json!({ "keys": [] })),
            ResponseTemplate::new(200).set_body_json(json!({ "keys": [{ "kty": "RSA", "n": "AQAB", "e": "AQAB" }] })),
            ResponseTemplate::new(200)
                .set_body_json(json!({ "keys": [{ "kty": "OKP", "crv": "Ed25519", "x": "AQAB" }] })),
            ResponseTemplate::new(200).set_body_string(format!("{{\"keys\":[\"{}\"]}}", "x".repeat(MOST_KEY_BYTES))),
        ];
        for (n, answer) in no_keys.into_iter().enumerate() {
            serve(&server, answer).await;
            let checked = check(1, 10 * n as u64).await;
            assert!(is_away(&checked), "{n}: {checked:?}");
            assert!(checked.unwrap_err().to_string().contains(&server.uri()));
            assert!(is_away(&check(1, 10 * n as u64 + 9).await), "{n}");
            assert_eq!(n_asked(&server).await, 1, "it is not asked again at once");
        }
        serve(&server, keys(&[1])).await;
        check(1, 100).await.unwrap();
        // With keys that are still good: what is by them is taken, of others nobody can tell.
        serve(&server, ResponseTemplate::new(500)).await;
        check(1, 200).await.unwrap();
        assert!(is_away(&check(2, 200).await));
        check(1, 201).await.unwrap();
        let nobody = FalWebhooks { url: "http://127.0.0.1:1".to_owned(), keys: Mutex::default() };
        assert!(is_away(&nobody.check(signed(&at, &sign(1, &at, BODY)), BODY, NOW_S).await));
    }

    #[test]
    fn keys_for_other_things_are_passed_over() {
        let set = json!({ "keys": [{ "kty": "EC", "crv": "P-256" }, key(5), 7, { "kty": "OKP", "crv": "X25519", "x": "AQAB" }] });
        let padded =
            json!({ "keys": [{ "kty": "OKP", "crv": "Ed25519", "x": format!("{}=", key(5)["x"].as_str().unwrap()) }] });
        for set in [set, padded] {
            assert_eq!(read(set.to_string().as_bytes()).unwrap(), [pair(5).public_key().as_ref()]);
        }
    }

    /// RFC 8032, section 7.1, test 3: so that nothing here agrees only with itself.
    #[test]
    fn signatures_are_those_of_the_standard() {
        let key = hex::decode("fc51cd8e6218a1a38da47ed00230f0580816ed13ba3303ac5deb911548908025").unwrap();
        let signature = "6291d657deec24024827e69c3abe01a30ce548a284743a445e3680d7db5ac3ac\
                         18ff9b538d16f290ae67f760984dc6594a7c15e9716ed28dc027beceea1ec40a";
        let verified = UnparsedPublicKey::new(&ED25519, key).verify(b"\xaf\x82", &hex::decode(signature).unwrap());
        assert!(verified.is_ok());
    }
}
