//! Fetches pages through Bright Data's Web Unlocker. What went wrong stands in headers of its answer, also of one with status 200 and an
//! empty body (docs.brightdata.com, "Unlocker API"; seen November 2026): so these are looked at first.

use std::{sync::Arc, time::Duration};

use chrono::Utc;
use futures::future::{BoxFuture, FutureExt};
use reqwest::{Client, StatusCode, header::HeaderMap};
use secrecy::{ExposeSecret, SecretString};
use serde_json::json;
use services::{Config, Name};
use url::Url;

use super::{
    Page, Scraper,
    access::{Access, SERVICE},
    fetched::{self, Fetched},
    relay,
    way::{Got, Way},
};
use crate::{Provider, ProviderError, wait};

pub(super) const NAME: &str = "brightdata";
const BASE_URL: &str = "https://api.brightdata.com";
pub(super) const TIMEOUT: Duration = Duration::from_secs(100);
/// Compared with a page fetched directly.
const COST: f64 = 8.0;
/// Where it tells what went wrong; names have changed with the years.
const CODES: [&str; 4] = ["x-brd-error-code", "x-brd-err-code", "x-luminati-error-code", "x-luminati-error"];
/// What the page's server answered, where its own answer is always 200.
const STATUS: &str = "x-brd-status-code";

/// This way, if the variables have its key and zone.
pub(super) fn configured(config: &Config, access: &Arc<Access>) -> Result<Option<Arc<dyn Scraper>>, ProviderError> {
    let value = |variable| config.value(Name::Scraping, variable);
    let Some((key, zone)) = value("BRIGHT_DATA_KEY").zip(value("BRIGHT_DATA_ZONE")) else { return Ok(None) };
    let base_url = value("BRIGHT_DATA_BASE_URL").unwrap_or(BASE_URL);
    Ok(Some(Arc::new(BrightData::new(key, zone, base_url, access)?)))
}

#[derive(Debug)]
struct BrightData {
    client: Client,
    end_point: String,
    key: SecretString,
    zone: String,
    access: Arc<Access>,
}

impl BrightData {
    fn new(key: &str, zone: &str, base_url: &str, access: &Arc<Access>) -> Result<Self, ProviderError> {
        let client = relay::client(TIMEOUT)?;
        let end_point = format!("{}/request", base_url.trim_end_matches('/'));
        Ok(Self { client, end_point, key: key.into(), zone: zone.to_owned(), access: access.clone() })
    }

    async fn fetch(&self, url: &Url, page: &Page) -> Result<Got, ProviderError> {
        let mut target = url.clone();
        target.set_fragment(None);
        let ask = json!({ "zone": self.zone, "url": target.as_str(), "format": "raw" });
        let request = self.client.post(&self.end_point).bearer_auth(self.key.expose_secret()).json(&ask);
        let failure = |error: &reqwest::Error| relay::failure(url, NAME, error);
        let answer = request.send().await.map_err(|error| failure(&error))?;
        let at = Utc::now();
        let (outer, headers) = (answer.status(), answer.headers().clone());
        let inner = wait::header(&headers, STATUS).and_then(|status| status.parse().ok());
        let status = inner.unwrap_or(outer);
        if let Some(error) = in_headers(url, status, &headers) {
            return Err(error);
        }
        if matches!(outer.as_u16(), 400 | 401 | 402 | 407) {
            let said = fetched::first_words(answer).await;
            let message = format!("{url} by {NAME}: {outer}: {said}");
            // A bad request may be about the one address.
            return Err(match outer.as_u16() == 400 && !said.to_lowercase().contains("zone") {
                true => ProviderError::Unable { service: SERVICE, message },
                false => ProviderError::Misconfigured { service: SERVICE, message },
            });
        }
        // What the page's server refuses costs nothing.
        if status.is_success() || matches!(status, StatusCode::NOT_FOUND | StatusCode::GONE) {
            page.took(1);
        }
        let body = fetched::read_body(url, answer, failure).await?;
        let asked = url.clone();
        Ok(Got::Page(Box::new(Fetched { url: asked.clone(), asked, status, headers, body, at, validators: None })))
    }
}

/// The error that the headers tell, if they do.
fn in_headers(url: &Url, status: StatusCode, headers: &HeaderMap) -> Option<ProviderError> {
    let code = CODES.iter().find_map(|name| wait::header(headers, name))?;
    let said = ["x-brd-err-msg", "x-brd-error"].iter().find_map(|name| wait::header(headers, name)).unwrap_or_default();
    let retry_after = wait::retry_after(headers, Utc::now());
    let message = format!("{url} by {NAME}: {code} {said}");
    Some(match (status.as_u16(), code.split('_').next()) {
        (429, _) => ProviderError::RateLimited { service: SERVICE, message, retry_after },
        // The account, its zone, its budget.
        (401 | 402 | 407, _) | (_, Some("client")) => ProviderError::Misconfigured { service: SERVICE, message },
        // What it may not fetch for us, and what it could not fetch.
        _ => ProviderError::Unable { service: SERVICE, message },
    })
}

impl Way for BrightData {
    fn access(&self) -> &Access {
        &self.access
    }

    fn get<'a>(&'a self, url: &'a Url, page: &'a Page) -> BoxFuture<'a, Result<Got, ProviderError>> {
        self.fetch(url, page).boxed()
    }

    fn cost(&self) -> f64 {
        COST
    }
}

impl Provider for BrightData {
    fn name(&self) -> &'static str {
        NAME
    }
}

#[cfg(test)]
mod tests {
    use wiremock::{
        Mock, MockServer, ResponseTemplate,
        matchers::{body_json, header, method, path},
    };

    use super::*;
    use crate::scraping::PagePrice;

    const CUP: &str = r#"<title>Cup</title><script type="application/ld+json">
        {"@type":"Product","offers":{"price":"12.90","priceCurrency":"EUR"}}</script>"#;

    /// What becomes of a page when the Web Unlocker answers so, and what it took. The shop itself has no robots.txt.
    async fn fetch(answer: ResponseTemplate) -> (Result<PagePrice, ProviderError>, u32) {
        let (shop, relay) = (MockServer::start().await, MockServer::start().await);
        let page = Url::parse(&format!("{}/cup?a=1", shop.uri())).unwrap();
        Mock::given(method("POST"))
            .and(path("/request"))
            .and(header("authorization", "Bearer hush"))
            .and(body_json(json!({ "zone": "unlocker", "url": page.as_str(), "format": "raw" })))
            .respond_with(answer)
            .expect(1)
            .mount(&relay)
            .await;
        let access = Arc::new(Access::new(&["127.0.0.1".to_owned()], None).unwrap());
        let way = BrightData::new("hush", "unlocker", &format!("{}/", relay.uri()), &access).unwrap();
        let page = Page::at(page);
        (way.fetch_price(&page).await, page.credits.into_inner())
    }

    fn page(status: u16, html: &str) -> ResponseTemplate {
        ResponseTemplate::new(status).set_body_raw(html, "text/html")
    }

    #[tokio::test]
    async fn a_page_is_read_with_what_it_took() {
        let (answer, credits) = fetch(page(200, CUP)).await;
        assert_eq!((answer.unwrap().price.unwrap().amount.to_string().as_str(), credits), ("12.90", 1));
        assert!(fetch(page(410, "")).await.0.unwrap().gone.is_some());
        assert!(fetch(page(200, "gone").insert_header(STATUS, "404")).await.0.unwrap().gone.is_some());
        let (unread, credits) = fetch(page(200, "<div id=px-captcha>")).await;
        assert_eq!((unread.is_err(), credits), (true, 1));
        let (refused, credits) = fetch(page(200, "").insert_header(STATUS, "503")).await;
        assert_eq!((refused.is_err(), credits), (true, 0));
    }

    #[tokio::test]
    async fn an_error_in_the_headers_counts_whatever_the_status_says() {
        let told =
            |code: &str| page(200, "").insert_header("x-brd-err-code", code).insert_header("x-brd-err-msg", "why");
        for (answer, code) in [
            (told("client_10100"), "provider_misconfigured"),
            (told("policy_20130"), "provider_unable"),
            (told("target_502"), "provider_unable"),
            (page(200, CUP).insert_header("x-luminati-error", "target_40001"), "provider_unable"),
            (page(200, ""), "provider_unable"),
            (page(401, "Invalid credentials"), "provider_misconfigured"),
            (page(400, "zone not found"), "provider_misconfigured"),
            (page(400, "this url is invalid"), "provider_unable"),
            (
                page(200, "").insert_header("x-brd-error-code", "sr_rate_limit").insert_header(STATUS, "429"),
                "rate_limited",
            ),
            (page(200, "<h1>busy</h1>").insert_header(STATUS, "503"), "provider_unavailable"),
            (page(407, ""), "provider_misconfigured"),
            (page(403, ""), "provider_unable"),
            (page(429, ""), "rate_limited"),
            (page(502, ""), "provider_unavailable"),
        ] {
            let error = fetch(answer).await.0.unwrap_err();
            assert_eq!(error.code(), code, "{error}");
        }
    }
}
