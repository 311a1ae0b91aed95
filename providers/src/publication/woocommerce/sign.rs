//! OAuth 1.0a with one leg, as WooCommerce takes it where it sees no TLS.

use std::fmt::Write as _;

use base64::{Engine, engine::general_purpose::STANDARD as BASE64};
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

/// The pairs of a query, not encoded.
pub(super) type Query = Vec<(String, String)>;

/// The query with all that signs it. A signature opens once: its `nonce` is used up, and `now_s` may be 15 minutes off at most.
pub(super) fn signed(
    method: &str,
    url: &str,
    query: &[(String, String)],
    (key, secret): (&str, &str),
    now_s: i64,
    nonce: &str,
) -> Query {
    let mut pairs = query.to_vec();
    let ours = [
        ("oauth_consumer_key", key),
        ("oauth_timestamp", &now_s.to_string()),
        ("oauth_nonce", nonce),
        ("oauth_signature_method", "HMAC-SHA256"),
    ];
    pairs.extend(ours.map(|(name, value)| (name.to_owned(), value.to_owned())));
    let signature = signature(method, url, &pairs, secret);
    pairs.push(("oauth_signature".to_owned(), signature));
    pairs
}

/// Over the method, the address without its query, and all parameters.
fn signature(method: &str, url: &str, pairs: &[(String, String)], secret: &str) -> String {
    let mut sorted: Vec<String> =
        pairs.iter().map(|(name, value)| format!("{}={}", encoded(name), encoded(value))).collect();
    sorted.sort();
    let base = format!("{method}&{}&{}", encoded(url), encoded(&sorted.join("&")));
    let key = format!("{secret}&");
    let mut mac = Hmac::<Sha256>::new_from_slice(key.as_bytes()).expect("a key of any length is one");
    mac.update(base.as_bytes());
    BASE64.encode(mac.finalize().into_bytes())
}

/// RFC 3986: all but the unreserved characters.
pub(super) fn encoded(text: &str) -> String {
    let mut encoded = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            encoded.push(char::from(byte));
        } else {
            let _ = write!(encoded, "%{byte:02X}");
        }
    }
    encoded
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_signature_is_the_one_that_others_compute() {
        // Computed with Python's hmac.
        let pairs = [("sku", "a b"), ("oauth_nonce", "n1"), ("oauth_timestamp", "1790000000")];
        let pairs = pairs.map(|(name, value)| (name.to_owned(), value.to_owned()));
        let made = signature("GET", "http://shop.test/wp-json/wc/v3/products", &pairs, "cs_test");
        assert_eq!(made, "LRB7S8ci1+iJrmsSuHluCTywqw5qO/+PJViVpZfLWgY=");
    }

    #[test]
    fn what_is_signed_says_who_when_and_once() {
        let query = [("sku".to_owned(), "é&1".to_owned())];
        let signed = signed("GET", "http://shop.test/x", &query, ("ck_1", "cs_1"), 1_790_000_000, "abc");
        let names: Vec<&str> = signed.iter().map(|(name, _)| name.as_str()).collect();
        let expected = [
            "sku",
            "oauth_consumer_key",
            "oauth_timestamp",
            "oauth_nonce",
            "oauth_signature_method",
            "oauth_signature",
        ];
        assert_eq!(names, expected);
        assert_eq!(encoded("A B+c~é/%"), "A%20B%2Bc~%C3%A9%2F%25");
    }
}
