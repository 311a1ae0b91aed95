//! Product pictures, from fal.

use crate::{
    entry::{Accounts, Entry, Risk},
    formats::{http_url, is_word, must},
    variable::{Environment, Variable},
};

pub(super) static ENTRY: Entry = Entry {
    about: "product pictures",
    risk: Risk::P1,
    lost: "placeholders",
    switch: Some("MOCK_MODE_IMAGES"),
    built: false,
    requests_per_min: Some("IMAGES_REQUESTS_PER_MIN"),
    tokens_per_min: None,
    variables: &[
        Variable::required("FAL_KEY", "the key of fal", key).secret().example("id:hushhush"),
        Variable::optional("FAL_BASE_URL", "another end point in its place", http_url),
    ],
    accounts: Accounts::None,
};

fn key(value: &str, _: &Environment<'_>) -> Option<String> {
    let good = value.split_once(':').is_some_and(|(id, secret)| !id.is_empty() && !secret.is_empty());
    must(good && is_word(value), "must be of the form id:secret")
}
