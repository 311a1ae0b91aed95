//! Stand-ins of the vendors: small servers on free ports that answer as the real ones are documented to, faults included.
//!
//! One file a vendor; `fault.rs` has what all share, `any_shop.rs` what tests ask of whichever shop. Each checks what it is sent, remembers what it carried out, and ends when it
//! is dropped. `tests/src/bin/standins.rs` starts them all for a person.

pub mod any_shop;
pub mod fal;
pub mod fault;
pub mod heartbeat;
pub mod models;
pub mod openai;
pub mod prestashop;
pub mod s3;
pub mod scraping;
pub mod shopify;
pub mod smtp;
pub mod stripe;
pub mod woocommerce;

use std::sync::{Mutex, MutexGuard, PoisonError};

use axum::http::{HeaderMap, Uri, header};
use base64::{Engine, engine::general_purpose::STANDARD as BASE64};

pub use fault::{Fault, Faults};

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The decoded pairs of a query, in order.
fn pairs(uri: &Uri) -> Vec<(String, String)> {
    url::form_urlencoded::parse(uri.query().unwrap_or_default().as_bytes()).into_owned().collect()
}

/// The first value of this name.
fn value<'a>(pairs: &'a [(String, String)], name: &str) -> Option<&'a str> {
    pairs.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
}

fn text<'a>(headers: &'a HeaderMap, name: &str) -> &'a str {
    headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
}

fn is_json(headers: &HeaderMap) -> bool {
    text(headers, header::CONTENT_TYPE.as_str()).starts_with("application/json")
}

/// User and password of HTTP Basic.
fn basic(headers: &HeaderMap) -> Option<(String, String)> {
    let encoded = text(headers, header::AUTHORIZATION.as_str()).strip_prefix("Basic ")?;
    let decoded = String::from_utf8(BASE64.decode(encoded).ok()?).ok()?;
    decoded.split_once(':').map(|(user, password)| (user.to_owned(), password.to_owned()))
}
