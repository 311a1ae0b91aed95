//! Fetches pages through ScraperAPI, which asks from other addresses and pays with credits. Its answer is the page's own, with what it took
//! in the headers (docs.scraperapi.com, "API status codes"; seen November 2026). Each request is sent once: it tries by itself, for 70 s.

use std::{sync::Arc, time::Duration};

use chrono::Utc;
use futures::future::{BoxFuture, FutureExt};
use reqwest::{Client, Response, StatusCode};
use secrecy::{ExposeSecret, SecretString};
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

pub(super) const NAME: &str = "scraperapi";
const BASE_URL: &str = "https://api.scraperapi.com";
/// It gives up after 70 s; whoever leaves earlier has it done and paid again.
pub(super) const TIMEOUT: Duration = Duration::from_secs(75);
/// When its account has as many requests under way as it may.
const THREADS_BUSY: Duration = Duration::from_secs(5);
/// Compared with a page fetched directly.
const COST: f64 = 4.0;

/// This way, if the variables have its key.
pub(super) fn configured(config: &Config, access: &Arc<Access>) -> Result<Option<Arc<dyn Scraper>>, ProviderError> {
    let value = |variable| config.value(Name::Scraping, variable);
    let Some(key) = value("SCRAPERAPI_KEY") else { return Ok(None) };
    let base_url = value("SCRAPERAPI_BASE_URL").unwrap_or(BASE_URL);
    Ok(Some(Arc::new(ScraperApi::new(key, base_url, access)?)))
}

#[derive(Debug)]
struct ScraperApi {
    client: Client,
    base_url: Url,
    key: SecretString,
    access: Arc<Access>,
}

impl ScraperApi {
    fn new(key: &str, base_url: &str, access: &Arc<Access>) -> Result<Self, ProviderError> {
        let misconfigured = |error| ProviderError::Misconfigured {
            service: SERVICE,
            message: format!("SCRAPERAPI_BASE_URL={base_url:?}: {error}"),
        };
        let base_url = Url::parse(base_url).map_err(misconfigured)?;
        Ok(Self { client: relay::client(TIMEOUT)?, base_url, key: key.into(), access: access.clone() })
    }

    async fn fetch(&self, url: &Url, page: &Page) -> Result<Got, ProviderError> {
        let mut target = url.clone();
        target.set_fragment(None);
        let query = [("api_key", self.key.expose_secret()), ("url", target.as_str())];
        let asked = self.client.get(self.base_url.clone()).query(&query).send().await;
        let failure = |error: &reqwest::Error| relay::failure(url, NAME, error);
        let answer = asked.map_err(|error| failure(&error))?;
        let at = Utc::now();
        let (status, headers) = (answer.status(), answer.headers().clone());
        if !(status.is_success() || matches!(status, StatusCode::NOT_FOUND | StatusCode::GONE)) {
            return Err(refused(url, answer).await);
        }
        let text = |name| wait::header(&headers, name);
        page.took(text("sa-credit-cost").and_then(|cost| cost.parse().ok()).unwrap_or(1));
        let mut final_url = text("sa-final-url").and_then(|url| Url::parse(url).ok()).unwrap_or(target);
        if final_url.fragment().is_none() {
            final_url.set_fragment(url.fragment());
        }
        if final_url.origin() != url.origin() {
            self.access.check(&final_url).await?;
        }
        let body = fetched::read_body(url, answer, failure).await?;
        let asked = url.clone();
        Ok(Got::Page(Box::new(Fetched { asked, url: final_url, status, headers, body, at, validators: None })))
    }
}

/// What it means that it did not answer with a page.
async fn refused(url: &Url, answer: Response) -> ProviderError {
    let status = answer.status();
    let of_target = wait::header(answer.headers(), "sa-statuscode").map(str::to_owned);
    let retry_after = wait::retry_after(answer.headers(), Utc::now());
    let said = fetched::first_words(answer).await;
    let lower = said.to_lowercase();
    let message = format!("{url} by {NAME}: {status}: {said}");
    let says = |words: &[&str]| words.iter().any(|word| lower.contains(word));
    match status.as_u16() {
        401 => ProviderError::Misconfigured { service: SERVICE, message },
        // The same status for what is wrong with the account, for a limit of the request, and for what the shop itself said.
        403 if of_target.is_none()
            && says(&["api key", "unauthorized", "exhausted", "credits", "subscription", "plan"]) =>
        {
            ProviderError::Misconfigured { service: SERVICE, message }
        }
        429 => {
            let retry_after = Some(retry_after.unwrap_or(THREADS_BUSY));
            ProviderError::RateLimited { service: SERVICE, message, retry_after }
        }
        502..=504 => ProviderError::Transient { service: SERVICE, message, retry_after },
        _ => ProviderError::Unable { service: SERVICE, message },
    }
}

impl Way for ScraperApi {
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

impl Provider for ScraperApi {
    fn name(&self) -> &'static str {
        NAME
    }
}

#[cfg(test)]
mod tests {
    use wiremock::{Mock, MockServer, ResponseTemplate, matchers::query_param};

    use super::*;
    use crate::scraping::PagePrice;

    const CUP: &str = r#"<title>Cup</title><script type="application/ld+json">
        {"@type":"Product","url":"/new","offers":{"price":"12.90","priceCurrency":"EUR"}}</script>"#;

    /// What becomes of a page when ScraperAPI answers so, and what it took. The shop itself has no robots.txt.
    async fn fetch(answer: ResponseTemplate) -> (Result<PagePrice, ProviderError>, u32) {
        let (shop, relay) = (MockServer::start().await, MockServer::start().await);
        let page = format!("{}/cup?a=1&b=é", shop.uri());
        let page = Url::parse(&page).unwrap();
        Mock::given(query_param("api_key", "hush"))
            .and(query_param("url", page.as_str()))
            .respond_with(answer)
            .expect(1)
            .mount(&relay)
            .await;
        let access = Arc::new(Access::new(&["127.0.0.1".to_owned()], None).unwrap());
        let way = ScraperApi::new("hush", &relay.uri(), &access).unwrap();
        let mut with_part = page.clone();
        with_part.set_fragment(Some("part"));
        let page = Page::at(with_part);
        let answer = way.fetch_price(&page).await;
        assert!(answer.as_ref().err().is_none_or(|error| !error.to_string().contains("hush")), "{answer:?}");
        (answer, page.credits.into_inner())
    }

    fn page(status: u16, html: &str) -> ResponseTemplate {
        ResponseTemplate::new(status).set_body_raw(html, "text/html")
    }

    #[tokio::test]
    async fn a_page_is_read_with_what_it_took() {
        let (answer, credits) =
            fetch(page(200, CUP).insert_header("sa-credit-cost", "5").insert_header("etag", "1")).await;
        let answer = answer.unwrap();
        assert_eq!(answer.price.unwrap().amount.to_string(), "12.90");
        assert_eq!((answer.title.as_deref(), credits, answer.gone), (Some("Cup"), 5, None));
        assert_eq!(answer.validators, None, "each of its answers is paid for, changed or not");
        let (gone, credits) = fetch(page(404, "no such page")).await;
        let gone = gone.unwrap();
        assert!(gone.price.is_none() && gone.gone.is_some() && credits == 1);
    }

    #[tokio::test]
    async fn what_a_page_took_is_known_although_it_cannot_be_read() {
        let pdf =
            ResponseTemplate::new(200).set_body_raw("%PDF", "application/pdf").insert_header("sa-credit-cost", "10");
        for (answer, took) in [(pdf, 10), (page(200, ""), 1), (page(500, ""), 0)] {
            let (answer, credits) = fetch(answer).await;
            assert_eq!((answer.is_err(), credits), (true, took));
        }
    }

    #[tokio::test]
    async fn what_the_pages_took_that_sent_on_is_counted_although_the_last_one_fails() {
        let (shop, relay) = (MockServer::start().await, MockServer::start().await);
        let at = |path: &str| format!("{}/{path}", shop.uri());
        let sends_on =
            page(200, "<meta http-equiv=refresh content=\"0;url=/next\">").insert_header("sa-credit-cost", "5");
        Mock::given(query_param("url", at("cup"))).respond_with(sends_on).mount(&relay).await;
        Mock::given(query_param("url", at("next"))).respond_with(page(500, "")).mount(&relay).await;
        let access = Arc::new(Access::new(&["127.0.0.1".to_owned()], None).unwrap());
        let way = ScraperApi::new("hush", &relay.uri(), &access).unwrap();
        let page = Page::at(Url::parse(&at("cup")).unwrap());
        let answer = way.fetch_price(&page).await;
        assert_eq!((answer.is_err(), page.credits.into_inner()), (true, 5));
    }

    #[tokio::test]
    async fn what_it_refuses_is_sorted_by_what_follows() {
        let kind = |error: &ProviderError| error.code();
        for (answer, code) in [
            (page(401, ""), "provider_misconfigured"),
            (page(403, "Unauthorized request, please make sure your API key is valid."), "provider_misconfigured"),
            (page(403, "You have exhausted the API credits available in this cycle."), "provider_misconfigured"),
            (page(403, "This request exceeds your max_cost."), "provider_unable"),
            (page(403, "<h1>Forbidden</h1>").insert_header("sa-statuscode", "403"), "provider_unable"),
            (page(400, "malformed"), "provider_unable"),
            (page(429, "too many"), "rate_limited"),
            (page(500, "Request failed. You will not be charged for this request."), "provider_unable"),
            (page(503, ""), "provider_unavailable"),
            (page(200, ""), "provider_unable"),
            (page(200, "<div id=px-captcha>"), "provider_unable"),
        ] {
            let error = fetch(answer).await.0.unwrap_err();
            assert_eq!(kind(&error), code, "{error}");
        }
        let ProviderError::RateLimited { retry_after, .. } = fetch(page(429, "")).await.0.unwrap_err() else {
            panic!()
        };
        assert_eq!(retry_after, Some(THREADS_BUSY));
    }
}
