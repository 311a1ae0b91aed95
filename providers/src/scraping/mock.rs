//! What answers when no page is fetched: in mock mode prices that are made up, the same ones for the same URL; and in place of a shop
//! that cannot answer no price at all.

use chrono::Utc;
use futures::future::{self, BoxFuture, FutureExt};
use rust_decimal::Decimal;
use sha2::{Digest, Sha256};
use url::Url;

use super::{Confidence, Method, Page, PagePrice, Price, Scraper};
use crate::{Provider, ProviderError};

pub(super) const NAME: &str = "mock";

#[derive(Debug)]
pub(crate) struct NoFetch;

impl Provider for NoFetch {
    fn name(&self) -> &'static str {
        NAME
    }
}

impl Scraper for NoFetch {
    fn fetch_price<'a>(&'a self, Page { url, .. }: &'a Page) -> BoxFuture<'a, Result<PagePrice, ProviderError>> {
        async move {
            let title = format!("mock page of {}", url.host_str().unwrap_or_default());
            Ok(PagePrice { title: Some(title), price: Some(price(url)), ..PagePrice::nothing(Utc::now()) })
        }
        .boxed()
    }
}

/// Stands in for pages that cannot be fetched: whatever it could make up would be taken for a shop's price.
#[derive(Debug)]
pub struct NoPrice;

impl NoPrice {
    /// Its name as a provider.
    pub const NAME: &'static str = "none";
}

impl Provider for NoPrice {
    fn name(&self) -> &'static str {
        Self::NAME
    }
}

impl Scraper for NoPrice {
    fn fetch_price<'a>(&'a self, _: &'a Page) -> BoxFuture<'a, Result<PagePrice, ProviderError>> {
        future::ready(Ok(PagePrice::nothing(Utc::now()))).boxed()
    }
}

/// From 5.00 to 504.99 EUR.
fn price(url: &Url) -> Price {
    let hash = Sha256::digest(url.as_str());
    let cents = 500 + u32::from_be_bytes([hash[0], hash[1], hash[2], hash[3]]) % 50_000;
    Price {
        amount: Decimal::new(i64::from(cents), 2),
        currency: Some("EUR".to_owned()),
        availability: Some("InStock".to_owned()),
        method: Method::Mock,
        confidence: Confidence::Low,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn prices_are_the_same_again_and_marked_as_mock() {
        let url = Url::parse("https://shop.example/cup").unwrap();
        let first = NoFetch.fetch_price(&Page::from(url.clone())).await.unwrap().price.unwrap();
        assert_eq!(first, NoFetch.fetch_price(&Page::from(url.clone())).await.unwrap().price.unwrap());
        assert_eq!(first.method, Method::Mock);
        assert!(first.amount >= Decimal::new(500, 2) && first.amount <= Decimal::new(50_499, 2));
        assert_ne!(first, price(&Url::parse("https://shop.example/pan").unwrap()));
    }
}
