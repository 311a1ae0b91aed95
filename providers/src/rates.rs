//! Exchange rates from a file on the web. No service of its own: it has no account, no limit and no mock, and is asked once a day.

use std::time::Duration;

use services::{Config, Name};
use url::Url;

use crate::{error::ProviderError, http};

const SERVICE: &str = "rates";
const TIMEOUT: Duration = Duration::from_secs(30);
/// The file of a day has 2 KB, that of 90 days 100.
const MOST_BYTES: usize = 2 << 20;

/// Where exchange rates are read.
#[derive(Debug, Clone)]
pub struct RatesFile {
    url: Url,
    host: String,
    client: reqwest::Client,
}

impl RatesFile {
    /// The one that `RATES_URL` names, if it is set.
    pub(crate) fn configured(config: &Config) -> Result<Option<Self>, ProviderError> {
        let Some(url) = config.value(Name::Scraping, "RATES_URL") else { return Ok(None) };
        let misconfigured = |message: String| ProviderError::Misconfigured { service: SERVICE, message };
        let url = Url::parse(url).map_err(|error| misconfigured(format!("RATES_URL: {error}")))?;
        let client = http::client().timeout(TIMEOUT).build();
        let client = client.map_err(|error| misconfigured(format!("no HTTP client: {error}")))?;
        let host = url.host_str().unwrap_or_default().to_owned();
        Ok(Some(Self { url, host, client }))
    }

    /// The file's host.
    #[must_use]
    pub fn host(&self) -> &str {
        &self.host
    }

    /// The text of the file.
    ///
    /// # Errors
    /// [`ProviderError::Transient`] when it may be had later, [`ProviderError::Rejected`] for what is not there or no text.
    pub async fn fetch(&self) -> Result<String, ProviderError> {
        let transient = |message: String| ProviderError::Transient { service: SERVICE, message, retry_after: None };
        let rejected = |message: String| ProviderError::Rejected { service: SERVICE, message };
        let away = |error: reqwest::Error| transient(format!("{} cannot be read: {}", self.host, error.without_url()));
        let mut response = self.client.get(self.url.clone()).send().await.map_err(away)?;
        let status = response.status();
        if !status.is_success() {
            let message = format!("{} answered {status}", self.host);
            let is_passing = status.is_server_error() || matches!(status.as_u16(), 408 | 429);
            return Err(if is_passing { transient(message) } else { rejected(message) });
        }
        let mut bytes = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(away)? {
            if bytes.len() + chunk.len() > MOST_BYTES {
                return Err(rejected(format!("{} sends more than {MOST_BYTES} bytes", self.host)));
            }
            bytes.extend_from_slice(&chunk);
        }
        String::from_utf8(bytes).map_err(|_| rejected(format!("{} sends no text in UTF-8", self.host)))
    }
}
