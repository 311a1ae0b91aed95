//! What relays have in common: services of others that fetch pages for us.

use std::time::Duration;

use reqwest::{Client, redirect::Policy};
use url::Url;

use super::access::{SERVICE, built};
use crate::{ProviderError, http};

const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// What asks a relay that may take so long.
pub(super) fn client(timeout: Duration) -> Result<Client, ProviderError> {
    built(http::client().connect_timeout(CONNECT_TIMEOUT).timeout(timeout).redirect(Policy::none()))
}

/// A request that the relay `name` did not answer, or only half. The error itself shows the address, which may have a key in it.
pub(super) fn failure(url: &Url, name: &str, error: &reqwest::Error) -> ProviderError {
    let what = if error.is_timeout() { "timed out" } else { "it cannot be reached, or broke off" };
    ProviderError::Transient { service: SERVICE, message: format!("{url} by {name}: {what}"), retry_after: None }
}
