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
    built: true,
    requests_per_min: Some("IMAGES_REQUESTS_PER_MIN"),
    tokens_per_min: None,
    variables: &[
        Variable::required("FAL_KEY", "the key of fal", key).secret().example("id:hushhush"),
        Variable::optional("FAL_MODEL", "the model that makes the pictures, with its owner", model)
            .default("fal-ai/flux-pro/v1.1"),
        Variable::optional(
            "FAL_DEADLINE_S",
            "how long fal may take for a picture, in seconds; then a placeholder stands in, and the picture follows if it is made after all",
            seconds,
        )
        .default("600"),
        Variable::optional(
            "FAL_BASE_URL",
            "another end point in the place of `https://fal.run`; its queue is at the same host with `queue.` before its name",
            http_url,
        ),
        Variable::optional(
            "FAL_QUEUE_BASE_URL",
            "another end point in the place of its queue, `https://queue.fal.run`",
            http_url,
        ),
        Variable::optional(
            "FAL_JWKS_URL",
            "where the keys are that it signs its webhooks with; it calls us when `PUBLIC_URL` is set and begins with https",
            http_url,
        )
        .default("https://rest.fal.ai/.well-known/jwks.json"),
        Variable::optional(
            "FAL_MEDIA_HOSTS",
            "the hosts that pictures are fetched from, separated by commas; `*.` stands for any name before. One with an address of its own \
             (`127.0.0.1`) may be private; for tests",
            hosts,
        )
        .default("fal.media,*.fal.media"),
    ],
    accounts: Accounts::None,
};

fn key(value: &str, _: &Environment<'_>) -> Option<String> {
    let good = value.split_once(':').is_some_and(|(id, secret)| !id.is_empty() && !secret.is_empty());
    must(good && is_word(value), "must be of the form id:secret")
}

fn model(value: &str, _: &Environment<'_>) -> Option<String> {
    let is_part = |part: &str| {
        !part.is_empty()
            && !part.starts_with('.')
            && part.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte))
    };
    let good = value.split('/').count() >= 2 && value.split('/').all(is_part);
    must(good, "must be of the form owner/model, as in fal-ai/flux-pro/v1.1")
}

fn seconds(value: &str, _: &Environment<'_>) -> Option<String> {
    must(
        value.parse::<u32>().is_ok_and(|seconds| (10..=86_400).contains(&seconds)),
        "must be a whole number of seconds, 10 to 86400",
    )
}

fn hosts(value: &str, _: &Environment<'_>) -> Option<String> {
    let is_host = |host: &str| url::Host::parse(host.trim().strip_prefix("*.").unwrap_or(host.trim())).is_ok();
    must(value.split(',').all(is_host), "must be names of hosts, separated by commas")
}
