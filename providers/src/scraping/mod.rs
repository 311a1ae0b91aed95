//! Competitors' prices from their product pages. There are several ways to a page: from here, and through relays that others run.

mod access;
mod blocked;
mod brightdata;
#[cfg(test)]
mod cases;
mod charset;
mod direct;
mod fetched;
mod known;
mod mock;
mod page;
mod relay;
mod scraperapi;
mod way;

use std::{sync::Arc, time::Duration};

use services::{Config, Name};

pub use known::{Known, RULES, Validators};
pub use mock::NoPrice;
pub use page::{Page, PagePrice, Scraper};
pub use prices::{Confidence, Details, Method, Price, UnitPrice, is_selector};

use crate::{chain::Service, error::ProviderError};

/// One of our own names for what a page was had by.
#[must_use]
pub fn provider_named(name: &str) -> Option<&'static str> {
    [direct::NAME, scraperapi::NAME, brightdata::NAME, NoPrice::NAME, mock::NAME]
        .into_iter()
        .find(|known| *known == name)
}

/// Besides what the ways may take: for the rules of the host.
const MARGIN: Duration = Duration::from_secs(15);

pub(crate) fn service(config: &Config) -> Result<Service<dyn Scraper>, ProviderError> {
    let access = Arc::new(access::Access::configured(config)?);
    let value = |variable| config.value(Name::Scraping, variable);
    let route = value("SCRAPE_ROUTE").or_else(|| value("PROXY_PROVIDER")).unwrap_or_default();
    let (mut reals, mut timeout): (Vec<Arc<dyn Scraper>>, _) = (Vec::new(), MARGIN);
    for way in route.split(',').map(str::trim) {
        let (real, time) = match way {
            direct::NAME => (Some(Arc::new(direct::Direct::new(&access)?) as Arc<dyn Scraper>), direct::TIMEOUT),
            scraperapi::NAME => (scraperapi::configured(config, &access)?, scraperapi::TIMEOUT),
            brightdata::NAME => (brightdata::configured(config, &access)?, brightdata::TIMEOUT),
            _ => (None, Duration::ZERO),
        };
        if let Some(real) = real {
            reals.push(real);
            timeout += time;
        }
    }
    let service = Service::new(Name::Scraping, config.is_real(Name::Scraping), reals, Arc::new(mock::NoFetch), timeout);
    Ok(service.with_stand_in(Arc::new(NoPrice)))
}

#[cfg(test)]
mod tests {
    use url::Url;
    use wiremock::{Mock, MockServer, ResponseTemplate, matchers::path};

    use super::*;
    use crate::{Answer, Policy};

    #[tokio::test]
    async fn what_stands_in_for_a_shop_that_cannot_answer_is_no_price() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let url = Url::parse(&format!("http://{}/", listener.local_addr().unwrap())).unwrap();
        let url = Page::from(url);
        drop(listener);
        let variables = [("MOCK_MODE_SCRAPING", "false"), ("SCRAPE_ALLOW_HOSTS", "127.0.0.1")];
        let var = |name: &str| variables.iter().find(|(known, _)| *known == name).map(|(_, value)| (*value).to_owned());
        let policy = Policy { allow_fallback: true, last_attempt: true, tenant: "acme", time: Duration::from_secs(25) };
        let answer = service(&Config::from_vars(var)).unwrap().call(policy, &url).await.unwrap();
        assert_eq!((answer.provider, answer.value.price), (NoPrice::NAME, None));
        assert!(answer.degraded_reason.unwrap().contains("cannot be reached"));
        let answer = service(&Config::mock()).unwrap().call(policy, &url).await.unwrap();
        assert_eq!(answer.value.price.map(|price| price.method), Some(Method::Mock));
        assert_eq!(answer.degraded_reason, None);
    }

    const CUP: &str = r#"<title>Cup</title><script type="application/ld+json">
        {"@type":"Product","offers":{"price":"12.90","priceCurrency":"EUR"}}</script>"#;

    /// A shop with this robots.txt that answers like this, and ScraperAPI, which has the page.
    async fn shop_and_relay(robots: &str, answer: ResponseTemplate) -> (MockServer, MockServer, Service<dyn Scraper>) {
        let (shop, relay) = (MockServer::start().await, MockServer::start().await);
        let rules = ResponseTemplate::new(200).set_body_string(robots);
        Mock::given(path("/robots.txt")).respond_with(rules).mount(&shop).await;
        Mock::given(path("/cup")).respond_with(answer).mount(&shop).await;
        let page = ResponseTemplate::new(200).set_body_raw(CUP, "text/html").insert_header("sa-credit-cost", "1");
        Mock::given(path("/")).respond_with(page).mount(&relay).await;
        let variables = [
            ("MOCK_MODE_SCRAPING", "false".to_owned()),
            ("SCRAPE_ALLOW_HOSTS", "127.0.0.1".to_owned()),
            ("SCRAPE_ROUTE", "direct,scraperapi".to_owned()),
            ("SCRAPERAPI_KEY", "hush".to_owned()),
            ("SCRAPERAPI_BASE_URL", relay.uri()),
        ];
        let var = |name: &str| variables.iter().find(|(known, _)| *known == name).map(|(_, value)| value.clone());
        let service = service(&Config::from_vars(var)).unwrap();
        (shop, relay, service)
    }

    async fn cup(
        shop: &MockServer,
        service: &Service<dyn Scraper>,
        allow_fallback: bool,
        last_attempt: bool,
    ) -> Result<Answer<PagePrice>, ProviderError> {
        let policy = Policy { allow_fallback, last_attempt, tenant: "acme", time: Duration::from_secs(60) };
        service.call(policy, &Page::from(Url::parse(&format!("{}/cup", shop.uri())).unwrap())).await
    }

    #[tokio::test]
    async fn a_blocked_page_is_had_another_way_and_that_is_no_stand_in() {
        for allow_fallback in [true, false] {
            let (shop, _relay, service) = shop_and_relay("", ResponseTemplate::new(403)).await;
            let answer = cup(&shop, &service, allow_fallback, false).await.unwrap();
            assert_eq!((answer.provider, answer.degraded_reason), ("scraperapi", None));
            assert!(answer.value.price.is_some());
        }
    }

    #[tokio::test]
    async fn robots_txt_is_not_got_around_and_a_wait_is_obeyed() {
        let page = || ResponseTemplate::new(200).set_body_raw(CUP, "text/html");
        let wait = |status| ResponseTemplate::new(status).insert_header("retry-after", "30");
        for (robots, answer, code) in [
            ("User-agent: *\nDisallow: /cup", page(), "provider_rejected"),
            ("", wait(429), "rate_limited"),
            ("", wait(503), "provider_unavailable"),
            ("", ResponseTemplate::new(500), "provider_unavailable"),
        ] {
            let (shop, relay, service) = shop_and_relay(robots, answer).await;
            let error = cup(&shop, &service, true, false).await.unwrap_err();
            assert_eq!(error.code(), code, "{error}");
            assert_eq!(relay.received_requests().await.unwrap().len(), 0, "{code}");
        }
        let (shop, relay, service) = shop_and_relay("", wait(429)).await;
        let answer = cup(&shop, &service, true, true).await.unwrap();
        assert_eq!((answer.provider, answer.value.price), (NoPrice::NAME, None));
        assert!(answer.degraded_reason.unwrap().contains("429"));
        assert_eq!(relay.received_requests().await.unwrap().len(), 0);
    }

    #[tokio::test]
    async fn a_page_that_is_gone_is_an_answer() {
        let (shop, relay, service) = shop_and_relay("", ResponseTemplate::new(410)).await;
        let answer = cup(&shop, &service, false, false).await.unwrap();
        assert_eq!((answer.provider, answer.degraded_reason), ("direct", None));
        assert!(answer.value.gone.unwrap().contains("410"));
        assert_eq!(relay.received_requests().await.unwrap().len(), 0);
    }
}
