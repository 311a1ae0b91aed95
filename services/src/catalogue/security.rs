//! Secrets of our own.

use crate::{
    entry::{Accounts, Entry, Risk},
    ring::Ring,
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
            "seals the credentials of stores: 32 bytes in base64, as from `openssl rand -base64 32`, or several with names, the newest first, \
             as in `k2:…,k1:…`",
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
    Ring::parse(value).err()
}
