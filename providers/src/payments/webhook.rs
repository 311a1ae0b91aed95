//! Whether it is Stripe that calls us, and what it tells. Pure: the caller has the time and the secrets.

use hmac::{Hmac, KeyInit, Mac};
use secrecy::{ExposeSecret, SecretString};
use serde_json::Value;
use services::{Config, Name};
use sha2::Sha256;

use super::{event::Event, stripe::livemode};

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

/// Takes Stripe's deliveries, as the variables say.
#[derive(Debug, Clone)]
pub struct Webhooks {
    secrets: Vec<SecretString>,
    /// Whether the key is for real money; `None` without a key.
    pub livemode: Option<bool>,
}

impl Webhooks {
    /// With the secrets of `STRIPE_WEBHOOK_SECRET`. Without any no delivery is taken.
    #[must_use]
    pub fn new(config: &Config) -> Self {
        let variable = config.value(Name::Payments, "STRIPE_WEBHOOK_SECRET").unwrap_or_default();
        Self { secrets: secrets(variable), livemode: livemode(config) }
    }

    /// The event of a delivery: see [`verify`].
    ///
    /// # Errors
    /// As [`verify`].
    pub fn check(&self, header: &str, body: &[u8], now_s: u64) -> Result<Event, BadDelivery> {
        verify(header, body, &self.secrets, now_s)
    }
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

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const NOW_S: u64 = 1_790_000_000;
    const BODY: &str = r#"{"id":"evt_1","object":"event","type":"invoice.paid","created":1790000000,"livemode":false,"data":{"object":{"id":"in_1","object":"invoice","customer":"cus_1"}}}"#;

    /// What Stripe's own clients made and said: tests/vectors/stripe.
    fn vectors() -> [Value; 2] {
        let read = |text: &str| serde_json::from_str(text).unwrap();
        [
            read(include_str!("../../../tests/vectors/stripe/npm.json")),
            read(include_str!("../../../tests/vectors/stripe/pypi.json")),
        ]
    }

    fn text<'v>(value: &'v Value, name: &str) -> &'v str {
        value[name].as_str().unwrap()
    }

    fn sign(secret: &str, at: &str, body: &[u8]) -> String {
        let mut mac = Hmac::<Sha256>::new_from_slice(secret.as_bytes()).unwrap();
        mac.update(&[at.as_bytes(), b".", body].concat());
        format!("t={at},v1={}", hex::encode(mac.finalize().into_bytes()))
    }

    fn check(header: &str) -> Result<Event, BadDelivery> {
        verify(header, BODY.as_bytes(), &secrets("whsec_a"), NOW_S)
    }

    #[test]
    fn what_the_vendors_clients_sign_is_taken() {
        let mut n_checked = 0;
        for vectors in vectors() {
            for case in vectors["signed"].as_array().unwrap() {
                let (body, header) = (text(case, "body"), text(case, "header"));
                let taken =
                    verify(header, body.as_bytes(), &secrets(text(case, "secret")), case["at"].as_u64().unwrap());
                // Its signature is good; that the body is no event comes after it.
                assert!(matches!(taken, Err(BadDelivery::Body(_))), "{}: {body}: {taken:?}", vectors["by"]);
                let other = verify(
                    header,
                    format!("{body} ").as_bytes(),
                    &secrets(text(case, "secret")),
                    case["at"].as_u64().unwrap(),
                );
                assert_eq!(other, Err(BadDelivery::Signature), "{body}");
                n_checked += 1;
            }
        }
        assert_eq!(n_checked, 12);
    }

    /// But for a time with letters behind it, where they do not agree.
    #[test]
    fn what_the_vendors_clients_refuse_is_refused_and_nothing_else() {
        for vectors in vectors() {
            let (body, secret) = (text(&vectors["signed"][0], "body"), text(&vectors["signed"][0], "secret"));
            for case in vectors["verdicts"].as_array().unwrap() {
                let verified =
                    verify(text(case, "header"), body.as_bytes(), &secrets(secret), case["now"].as_u64().unwrap());
                let taken = matches!(verified, Err(BadDelivery::Body(_)));
                let expected = case["taken"] == true && case["what"] != "a time with letters behind";
                assert_eq!(taken, expected, "{}: {}: {verified:?}", vectors["by"], case["what"]);
            }
        }
    }

    #[test]
    fn an_event_is_read_when_any_secret_has_signed_it() {
        let at = NOW_S.to_string();
        let both = secrets(" whsec_new , whsec_old\n");
        assert_eq!(both.len(), 2);
        for secret in ["whsec_old", "whsec_new"] {
            let event = verify(&sign(secret, &at, BODY.as_bytes()), BODY.as_bytes(), &both, NOW_S).unwrap();
            assert_eq!(
                (event.id.as_str(), event.kind.as_str(), event.customer.as_deref()),
                ("evt_1", "invoice.paid", Some("cus_1"))
            );
        }
        let header = sign("whsec_a", &at, BODY.as_bytes());
        assert_eq!(verify(&header, BODY.as_bytes(), &both, NOW_S), Err(BadDelivery::Signature));
        assert_eq!(
            verify(&header, BODY.as_bytes(), &[], NOW_S),
            Err(BadDelivery::Signature),
            "without a secret nothing is taken"
        );
        assert!(secrets("").is_empty() && secrets(" , \n").is_empty(), "nobody may sign with nothing");
        let stranger = sign("whsec_x", &at, BODY.as_bytes()).replace("t=1790000000,", "");
        assert!(
            check(&format!("t={at},{stranger},{}", header.split_once(',').unwrap().1)).is_ok(),
            "one of several is enough"
        );
    }

    #[test]
    fn five_minutes_are_let_pass_in_both_directions_and_no_more() {
        for (at_s, told) in [
            (NOW_S - 300, None),
            (NOW_S + 300, None),
            (NOW_S - 301, Some("301 s behind ours")),
            (NOW_S + 301, Some("301 s ahead of ours")),
            (0, Some("behind")),
        ] {
            let checked = check(&sign("whsec_a", &at_s.to_string(), BODY.as_bytes()));
            match told {
                None => assert!(checked.is_ok(), "{at_s}: {checked:?}"),
                Some(told) => assert!(checked.unwrap_err().to_string().contains(told), "{at_s}"),
            }
        }
    }

    #[test]
    fn a_header_must_have_its_form_whoever_signed() {
        let good = sign("whsec_a", &NOW_S.to_string(), BODY.as_bytes());
        let (t, v1) = good.split_once(',').unwrap();
        for (header, told) in [
            (String::new(), "is missing"),
            ("nonsense".to_owned(), "of parts"),
            (format!("{t},{t},{v1}"), "one t"),
            (v1.to_owned(), "one t"),
            (format!("t=,{v1}"), "a number"),
            (format!("t=-1,{v1}"), "a number"),
            (format!("t=+1790000000,{v1}"), "a number"),
            (format!("t=99999999999999999999,{v1}"), "a number"),
            (format!("{t}, {v1}"), "no v1"),
            (format!("{t},v1="), "no v1"),
            (format!("{t},v1={}", "z".repeat(64)), "no v1"),
        ] {
            let refused = check(&header);
            assert!(
                matches!(&refused, Err(BadDelivery::Header(what)) if what.contains(told)),
                "{header:?}: {refused:?}"
            );
        }
        // The digits that were signed count, not their value.
        assert_eq!(check(&format!("t=0{NOW_S},{v1}")), Err(BadDelivery::Signature));
    }

    #[test]
    fn bodies_that_are_no_events_are_refused_though_they_are_signed() {
        let thin = json!({ "id": "evt_1", "object": "v2.core.event", "type": "x", "created": "2026-11-01T00:00:00Z" })
            .to_string();
        for (body, told) in [
            (&b"{\"a\":\"\xff\"}"[..], "UTF-8"),
            (b"", "no JSON"),
            (b"[]", "no event"),
            (b"{\"object\":\"event\"}", "no event"),
            (thin.as_bytes(), "thin event"),
        ] {
            let header = sign("whsec_a", &NOW_S.to_string(), body);
            let refused = verify(&header, body, &secrets("whsec_a"), NOW_S);
            assert!(matches!(&refused, Err(BadDelivery::Body(what)) if what.contains(told)), "{refused:?}");
        }
    }
}
