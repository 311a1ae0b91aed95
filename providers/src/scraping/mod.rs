//! Competitors' prices from their product pages.

#[cfg(test)]
mod cases;
mod charset;
mod direct;
mod guard;
mod mock;
mod page;

use std::{sync::Arc, time::Duration};

use services::{Config, Name};

pub use mock::NoPrice;
pub use page::{Page, PagePrice, Scraper};
pub use prices::{Confidence, Details, Method, Price, UnitPrice, is_selector};

use crate::{chain::Service, error::ProviderError};

/// For one page, its turn not included. Longer than a fetch takes, which says better what was the matter.
const TIMEOUT: Duration = Duration::from_secs(25);

pub(crate) fn service(config: &Config) -> Result<Service<dyn Scraper>, ProviderError> {
    let mut reals = Vec::new();
    reals.extend(direct::configured(config)?);
    let service = Service::new(Name::Scraping, config.is_real(Name::Scraping), reals, Arc::new(mock::NoFetch), TIMEOUT);
    Ok(service.with_stand_in(Arc::new(NoPrice)))
}

#[cfg(test)]
mod tests {
    use url::Url;

    use super::*;
    use crate::Policy;

    #[tokio::test]
    async fn what_stands_in_for_a_shop_that_cannot_answer_is_no_price() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let url = Url::parse(&format!("http://{}/", listener.local_addr().unwrap())).unwrap();
        let url = Page::from(url);
        drop(listener);
        let variables = [("MOCK_MODE_SCRAPING", "false"), ("SCRAPE_ALLOW_HOSTS", "127.0.0.1")];
        let var = |name: &str| variables.iter().find(|(known, _)| *known == name).map(|(_, value)| (*value).to_owned());
        let policy = Policy { allow_fallback: true, last_attempt: true, tenant: "acme", time: TIMEOUT };
        let answer = service(&Config::from_vars(var)).unwrap().call(policy, &url).await.unwrap();
        assert_eq!((answer.provider, answer.value.price), (NoPrice::NAME, None));
        assert!(answer.degraded_reason.unwrap().contains("cannot be reached"));
        let answer = service(&Config::mock()).unwrap().call(policy, &url).await.unwrap();
        assert_eq!(answer.value.price.map(|price| price.method), Some(Method::Mock));
        assert_eq!(answer.degraded_reason, None);
    }
}
