//! Whether it is Stripe that calls us, and what it tells. Pure: the caller has the time and the secrets.

use hmac::{Hmac, KeyInit, Mac};
use secrecy::{ExposeSecret, SecretString};
use serde_json::Value;
use sha2::Sha256;

use super::event::Event;

/// A delivery may be so much older, or newer, than now.
pub const DRIFT_S: u64 = 300;
/// What a signature has in hexadecimal.
const SIGNATURE_LETTERS: usize = 64;

/// Why a delivery is not taken.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BadDelivery {
    /// The header `Stripe-Signature` is not as it must be.
    #[error("the header Stripe-Signature {0}")]
    Header(String),
    /// It was signed too long ago, or by a clock that is ahead.
    #[error("the time in Stripe-Signature is {0}; at most {DRIFT_S} s are taken")]
    Time(String),
    /// None of its signatures is by one of our secrets over this body.
    #[error("no signature in Stripe-Signature is by STRIPE_WEBHOOK_SECRET over this body")]
    Signature,
    /// The body is no event.
    #[error("the body {0}")]
    Body(String),
}

/// The secrets of `STRIPE_WEBHOOK_SECRET`: several while one is replaced, separated by commas. A line end that was copied along is not
/// part of one; nothing else is changed, because the whole text with its `whsec_` is the key.
#[must_use]
pub fn secrets(variable: &str) -> Vec<SecretString> {
    let secrets = variable.split(',').map(str::trim).filter(|secret| !secret.is_empty());
    secrets.map(SecretString::from).collect()
}

/// The event of a delivery that Stripe has signed with one of `secrets`, not longer than 5 minutes before or after `now_s`. `header` is
/// the value of `Stripe-Signature`, `body` the bytes as they came.
///
/// # Errors
/// [`BadDelivery`], for which Stripe is to be answered 400.
pub fn verify(header: &str, body: &[u8], secrets: &[SecretString], now_s: u64) -> Result<Event, BadDelivery> {
    let signed = Signed::read(header)?;
    let text = std::str::from_utf8(body).map_err(|_| BadDelivery::Body("is not UTF-8".to_owned()))?;
    if !secrets.iter().any(|secret| signed.is_by(secret, body)) {
        return Err(BadDelivery::Signature);
    }
    // After the signature: who cannot sign learns nothing of our clock.
    let drift = signed.at_s.abs_diff(now_s);
    if drift > DRIFT_S {
        let side = if signed.at_s < now_s { "behind" } else { "ahead of" };
        return Err(BadDelivery::Time(format!("{drift} s {side} ours")));
    }
    parse(text)
}

/// The event in a body.
fn parse(body: &str) -> Result<Event, BadDelivery> {
    let event: Value = serde_json::from_str(body).map_err(|error| BadDelivery::Body(format!("is no JSON: {error}")))?;
    if event["object"] == "v2.core.event" {
        let what = "is a thin event (v2.core.event): give the webhook end point the payload style \"snapshot\"";
        return Err(BadDelivery::Body(what.to_owned()));
    }
    Event::read(&event).ok_or_else(|| BadDelivery::Body("is no event of Stripe's API v1".to_owned()))
}

/// What the header says.
struct Signed<'a> {
    at: &'a str,
    at_s: u64,
    v1: Vec<[u8; 32]>,
}

impl<'a> Signed<'a> {
    fn read(header: &'a str) -> Result<Self, BadDelivery> {
        let bad = |what: &str| BadDelivery::Header(what.to_owned());
        if header.is_empty() {
            return Err(bad("is missing, or empty"));
        }
        let (mut times, mut v1) = (Vec::new(), Vec::new());
        for part in header.split(',') {
            let Some((name, value)) = part.split_once('=') else {
                return Err(bad("must be of parts as t=… and v1=…"));
            };
            match name {
                "t" => times.push(value),
                // One that is no signature, as in capital letters, is passed over, as by Stripe's own clients.
                "v1" => v1.extend(lower_hex(value)),
                // Of other schemes, or with a blank before its name: not ours.
                _ => {}
            }
        }
        let [at] = times[..] else { return Err(bad("must have one t=…")) };
        let is_number = !at.is_empty() && at.bytes().all(|byte| byte.is_ascii_digit());
        let at_s = is_number.then(|| at.parse().ok()).flatten();
        let at_s = at_s.ok_or_else(|| bad("must have a number of seconds since 1970 as t"))?;
        if v1.is_empty() {
            return Err(bad("has no v1=… of 64 digits in lower-case hexadecimal"));
        }
        Ok(Self { at, at_s, v1 })
    }

    /// In constant time for each.
    fn is_by(&self, secret: &SecretString, body: &[u8]) -> bool {
        let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(secret.expose_secret().as_bytes()) else { return false };
        mac.update(self.at.as_bytes());
        mac.update(b".");
        mac.update(body);
        self.v1.iter().any(|v1| mac.clone().verify_slice(v1).is_ok())
    }
}

fn lower_hex(text: &str) -> Option<[u8; 32]> {
    let is_lower = text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
    (text.len() == SIGNATURE_LETTERS && is_lower).then(|| hex::decode(text).ok()?.try_into().ok()).flatten()
}
