//! Secrets of our own.

use base64::{Engine as _, engine::general_purpose};

use crate::{
    entry::{Accounts, Entry, Risk},
    formats::must,
    variable::{Environment, Need, Variable},
};

pub(super) static ENTRY: Entry = Entry {
    about: "who calls, and what is stored encrypted",
    risk: Risk::P0,
    lost: "the API cannot tell who calls",
    switch: None,
    built: true,
    requests_per_min: None,
    tokens_per_min: None,
    variables: &[
        Variable::required(
            "JWT_SECRET",
            "signs the tokens (HS256), at least 32 bytes, as from `openssl rand -base64 48`; in development a missing one is made up \
             at each start",
            jwt_secret,
        )
        .secret()
        .needed(Need::InProduction)
        .example("hushhushhushhushhushhushhushhush"),
        Variable::required(
            "ENCRYPTION_KEY",
            "32 bytes in base64, as from `openssl rand -base64 32`, or several, the newest first; only checked so far",
            encryption_key,
        )
        .secret()
        .needed(Need::InProduction)
        // `hushhush` four times, encoded.
        .example("k2:AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=,k1:aHVzaGh1c2hodXNoaHVzaGh1c2hodXNoaHVzaGh1c2g="),
    ],
    accounts: Accounts::None,
};

fn jwt_secret(value: &str, _: &Environment<'_>) -> Option<String> {
    let length = value.len();
    (length < 32)
        .then(|| format!("has {length} bytes and must have at least 32; make one with: openssl rand -base64 48"))
}

/// One key, or a ring of named keys, the newest first.
fn encryption_key(value: &str, _: &Environment<'_>) -> Option<String> {
    let is_name = |name: &str| {
        (1..=8).contains(&name.len()) && name.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit())
    };
    let good = value.split(',').map(str::trim).all(|entry| match entry.split_once(':') {
        Some((name, key)) => is_name(name) && is_key(key),
        None => is_key(entry),
    });
    must(
        good,
        "must be 32 bytes in base64, or several as in k2:BASE64,k1:BASE64; make one with: openssl rand -base64 32",
    )
}

fn is_key(text: &str) -> bool {
    let text = text.trim_end_matches('=');
    let bytes =
        general_purpose::STANDARD_NO_PAD.decode(text).or_else(|_| general_purpose::URL_SAFE_NO_PAD.decode(text));
    bytes.is_ok_and(|bytes| bytes.len() == 32)
}
