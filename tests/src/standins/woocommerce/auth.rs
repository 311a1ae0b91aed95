//! Who may ask: HTTP Basic where the shop sees TLS, signatures of OAuth 1.0a where it does not.

use std::fmt::Write as _;

use axum::http::{HeaderMap, Method, StatusCode, Uri};
use base64::{Engine, engine::general_purpose::STANDARD as BASE64};
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

use super::{Shop, refusal::Refusal};
use crate::standins::{basic, lock, pairs, value};

/// How far a signature's clock may be off, in seconds.
const SKEW_S: i64 = 15 * 60;

fn refused(message: &str) -> Refusal {
    Refusal::new(StatusCode::UNAUTHORIZED, "woocommerce_rest_authentication_error", message)
}

/// What is said to no key, to one that is unknown, and to Basic over plain HTTP (W1, W10).
fn stranger(method: &Method, is_batch: bool) -> Refusal {
    let code = match *method {
        _ if is_batch => "woocommerce_rest_cannot_batch",
        Method::GET => "woocommerce_rest_cannot_view",
        Method::POST => "woocommerce_rest_cannot_create",
        Method::DELETE => "woocommerce_rest_cannot_delete",
        _ => "woocommerce_rest_cannot_edit",
    };
    Refusal::new(StatusCode::UNAUTHORIZED, code, "Sorry, you cannot do this.")
}

impl Shop {
    pub(super) fn authorize(&self, method: &Method, uri: &Uri, headers: &HeaderMap) -> Result<(), Refusal> {
        let pairs = pairs(uri);
        let is_batch = uri.path().ends_with("/batch");
        let given = match (value(&pairs, "consumer_key"), value(&pairs, "consumer_secret")) {
            (Some(key), secret) => Some((key.to_owned(), secret.unwrap_or_default().to_owned())),
            _ => basic(headers),
        };
        if self.sees_tls {
            match given {
                Some((key, secret)) if key == self.key && secret == self.secret => {}
                Some((key, _)) if key == self.key => return Err(refused("Consumer secret is invalid.")),
                _ => return Err(stranger(method, is_batch)),
            }
        } else {
            if value(&pairs, "oauth_consumer_key").is_none_or(|key| key != self.key) {
                return Err(stranger(method, is_batch));
            }
            self.check_signature(method, uri, &pairs)?;
        }
        if *method != Method::GET && lock(&self.state).settings.read_only {
            return Err(refused("The API key provided does not have write permissions."));
        }
        Ok(())
    }

    fn check_signature(&self, method: &Method, uri: &Uri, pairs: &[(String, String)]) -> Result<(), Refusal> {
        let names = ["oauth_timestamp", "oauth_nonce", "oauth_signature", "oauth_signature_method"];
        let found = names.map(|name| value(pairs, name));
        let [Some(timestamp), Some(nonce), Some(signature), Some(signing_method)] = found else {
            let missing: Vec<&str> =
                names.into_iter().zip(found).filter(|(_, value)| value.is_none()).map(|(name, _)| name).collect();
            return Err(refused(&format!("Missing OAuth parameters {}", missing.join(", "))));
        };
        if signing_method != "HMAC-SHA256" {
            return Err(refused("Invalid signature - signature method is invalid."));
        }
        if signature != sign(method, &format!("{}{}", self.url, uri.path()), pairs, &self.secret) {
            return Err(refused("Invalid signature - provided signature does not match."));
        }
        if timestamp.parse::<i64>().is_ok_and(|then| (chrono::Utc::now().timestamp() - then).abs() <= SKEW_S) {
            if lock(&self.state).nonces.insert(nonce.to_owned()) {
                return Ok(());
            }
            return Err(refused("Invalid nonce - nonce has already been used."));
        }
        Err(refused("Invalid timestamp."))
    }
}

/// The value of `oauth_signature`: over method, URL without query, and all parameters but itself.
#[must_use]
pub fn sign(method: &Method, url: &str, pairs: &[(String, String)], secret: &str) -> String {
    let mut encoded: Vec<String> = pairs
        .iter()
        .filter(|(name, _)| name != "oauth_signature")
        .map(|(name, value)| format!("{}={}", encode(name), encode(value)))
        .collect();
    encoded.sort();
    let base = format!("{method}&{}&{}", encode(url), encode(&encoded.join("&")));
    let mut mac = Hmac::<Sha256>::new_from_slice(format!("{secret}&").as_bytes()).expect("any length is a key");
    mac.update(base.as_bytes());
    BASE64.encode(mac.finalize().into_bytes())
}

/// RFC 3986: all but the unreserved characters.
fn encode(text: &str) -> String {
    let mut encoded = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            encoded.push(char::from(byte));
        } else {
            write!(encoded, "%{byte:02X}").expect("a string takes everything");
        }
    }
    encoded
}
