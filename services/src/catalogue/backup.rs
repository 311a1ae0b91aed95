//! Copies of the database, to S3 or what speaks it.

use crate::{
    entry::{Accounts, Entry, Risk},
    formats::{http_url, is_word, must, word},
    variable::{Environment, Variable},
};

pub(super) static ENTRY: Entry = Entry {
    about: "copies of MongoDB",
    risk: Risk::P2,
    lost: "no copy elsewhere",
    switch: Some("MOCK_MODE_BACKUP"),
    built: false,
    requests_per_min: None,
    tokens_per_min: None,
    variables: &[
        Variable::required("BACKUP_S3_BUCKET", "where copies go", bucket).example("shop-backups"),
        Variable::required("AWS_ACCESS_KEY_ID", "the account", aws_key_id).example("AKIAIOSFODNN7EXAMPLE"),
        Variable::required("AWS_SECRET_ACCESS_KEY", "its secret", aws_secret)
            .secret()
            .example("hushhushhushhushhushhushhushhushhushhush"),
        Variable::required("AWS_REGION", "the region", word).example("eu-west-3"),
        Variable::optional("AWS_ENDPOINT_URL", "another end point that speaks S3", http_url),
    ],
    accounts: Accounts::None,
};

fn bucket(value: &str, _: &Environment<'_>) -> Option<String> {
    let inner = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || matches!(byte, b'.' | b'-');
    let good = (3..=63).contains(&value.len()) && value.bytes().all(inner);
    must(good, "must be the name of a bucket: 3 to 63 small letters, digits, dots and hyphens")
}

/// Another end point that speaks S3 may have keys of another form.
fn aws_key_id(value: &str, environment: &Environment<'_>) -> Option<String> {
    let good =
        (16..=128).contains(&value.len()) && value.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
    if environment.has("AWS_ENDPOINT_URL") { None } else { must(good, "must have 16 to 128 letters and digits") }
}

fn aws_secret(value: &str, environment: &Environment<'_>) -> Option<String> {
    let good = environment.has("AWS_ENDPOINT_URL") || value.len() == 40;
    must(good && is_word(value), "must have exactly 40 characters")
}
