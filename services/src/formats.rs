//! What values of more than one variable look like.

use url::Url;

use crate::variable::Environment;

/// What a word of the environment says, if it is one of those for yes and no.
#[must_use]
pub fn truth(value: &str) -> Option<bool> {
    match value.to_ascii_lowercase().as_str() {
        "true" | "1" | "yes" => Some(true),
        "false" | "0" | "no" => Some(false),
        _ => None,
    }
}

/// Whether `host` is this machine, so that clear text does not leave it.
pub(crate) fn is_loopback(host: &str) -> bool {
    matches!(host, "localhost" | "127.0.0.1" | "::1" | "[::1]")
}

pub(crate) fn must(good: bool, what: &str) -> Option<String> {
    (!good).then(|| what.to_owned())
}

pub(crate) fn anything(_: &str, _: &Environment<'_>) -> Option<String> {
    None
}

pub(crate) fn word(value: &str, _: &Environment<'_>) -> Option<String> {
    must(is_word(value), "must be one word of ASCII letters, digits and signs")
}

/// What fits into a header.
pub(crate) fn is_word(value: &str) -> bool {
    value.bytes().all(|byte| byte.is_ascii_graphic())
}

pub(crate) fn prefix(value: &str, prefix: &str) -> Option<String> {
    let rest = value.strip_prefix(prefix).is_some_and(|rest| !rest.is_empty() && is_word(rest));
    must(rest, &format!("must begin with {prefix} and be one word"))
}

pub(crate) fn boolean(value: &str, _: &Environment<'_>) -> Option<String> {
    must(truth(value).is_some(), "must be true or false")
}

pub(crate) fn http_url(value: &str, _: &Environment<'_>) -> Option<String> {
    must(web_url(value).is_some(), "must be an http:// or https:// URL")
}

pub(crate) fn web_url(value: &str) -> Option<Url> {
    Url::parse(value).ok().filter(|url| matches!(url.scheme(), "http" | "https") && url.has_host())
}

pub(crate) fn host(value: &str, _: &Environment<'_>) -> Option<String> {
    let good = url::Host::parse(value).is_ok() || value.parse::<std::net::IpAddr>().is_ok();
    must(good, "must be the name or address of a host, without scheme and port")
}

pub(crate) fn without_slash(url: &str) -> String {
    url.trim_end_matches('/').to_owned()
}
