//! What is read, and who reads.

use std::{
    fmt::Debug,
    sync::atomic::{AtomicU32, Ordering},
    time::Duration,
};

use chrono::{DateTime, NaiveDate, Utc};
use fleet::Fleet;
use futures::future::{self, BoxFuture, FutureExt};
use prices::{Details, Price};
use url::Url;

use super::known::{Known, Validators};
use crate::{
    chain::{Ask, Provider, Turn},
    error::ProviderError,
};

/// A page to fetch.
#[derive(Debug)]
pub struct Page {
    /// Where it is.
    pub url: Url,
    /// A CSS selector of the element that has the price.
    pub selector: Option<String>,
    /// Names this page of this job among those that wait for their turn at the host.
    pub ticket: String,
    /// What it said before, if that is still known: then it is asked for only if it has changed since.
    pub known: Option<Known>,
    /// Whether its text is wanted where no price is found.
    pub wants_text: bool,
    /// What whoever fetches it takes for it: credits of the relays' accounts. They are counted as they are taken, whatever comes of it.
    pub credits: AtomicU32,
}

impl Page {
    /// The page at this address.
    #[must_use]
    pub fn at(url: Url) -> Self {
        Self {
            ticket: url.to_string(),
            url,
            selector: None,
            known: None,
            wants_text: false,
            credits: AtomicU32::new(0),
        }
    }

    /// A relay has taken so many credits.
    pub(super) fn took(&self, credits: u32) {
        self.credits.fetch_add(credits, Ordering::Relaxed);
    }
}

impl From<Url> for Page {
    fn from(url: Url) -> Self {
        Self::at(url)
    }
}

/// Fetches product pages.
pub trait Scraper: Provider + Debug {
    /// Fetches one page and reads its price. A page that names no price is an answer too.
    ///
    /// # Errors
    /// [`ProviderError::Rejected`] when the page cannot be had for good (gone, forbidden, a private address),
    /// [`ProviderError::Transient`] and [`ProviderError::RateLimited`] when it may be had later.
    fn fetch_price<'a>(&'a self, page: &'a Page) -> BoxFuture<'a, Result<PagePrice, ProviderError>>;

    /// Waits until the page may be fetched, where a host gives out one page at a time; or tells how long to wait, when that is long.
    fn turn<'a>(&'a self, _page: &'a Page, _fleet: &'a Fleet) -> BoxFuture<'a, Result<Turn, Duration>> {
        future::ready(Ok(Turn::default())).boxed()
    }

    /// What one try costs, compared with other ways to the same page.
    fn cost(&self) -> f64 {
        1.0
    }

    /// Whether nobody stands between it and the shop, so that a wait that it is asked for is the shop's own wish.
    fn asks_the_shop(&self) -> bool {
        false
    }
}

/// What a page says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PagePrice {
    /// The page's title, at most 300 characters.
    pub title: Option<String>,
    /// `None` when the page names no price.
    pub price: Option<Price>,
    /// What else it says of the product.
    pub details: Details,
    /// When it was fetched.
    pub fetched_at: DateTime<Utc>,
    /// A page of another host, to which this one sends on. That host has a turn and a breaker of its own, so it is asked apart.
    pub moved_to: Option<Url>,
    /// What the server answered, when there is no such page any more.
    pub gone: Option<String>,
    /// What readers see, a few KB of it, where that was wanted.
    pub text: Option<String>,
    /// By what it may be asked for the next time only if it has changed; `None` where it has to be read anew.
    pub validators: Option<Validators>,
    /// From this day on it has to be read anew although it has not changed: its own data have a date on which they end.
    pub until: Option<NaiveDate>,
    /// Its server says "not modified" of something else than what is known, so nothing was read: it is to be asked for whole, in a turn of
    /// its own.
    pub unknown: bool,
}

impl PagePrice {
    /// A page that says nothing.
    #[must_use]
    pub fn nothing(fetched_at: DateTime<Utc>) -> Self {
        Self {
            title: None,
            price: None,
            details: Details::default(),
            fetched_at,
            moved_to: None,
            gone: None,
            text: None,
            validators: None,
            until: None,
            unknown: false,
        }
    }
}

impl PagePrice {
    /// What is to be kept of it; `None` when it has to be read anew the next time.
    #[must_use]
    pub fn known(&self) -> Option<Known> {
        let (validators, price) = self.validators.clone().zip(self.price.clone())?;
        let Self { title, details, until, .. } = self.clone();
        Some(Known { validators, title, price, details, until })
    }

    /// A page that is still as it was.
    pub(super) fn again(known: &Known, at: DateTime<Utc>) -> Self {
        let Known { title, price, details, .. } = known.clone();
        Self { title, price: Some(price), details, ..Self::nothing(at) }
    }
}

impl<'p> Ask<dyn Scraper + 'p> for Page {
    type Value = PagePrice;

    fn ask<'a>(&'a self, provider: &'a (dyn Scraper + 'p)) -> BoxFuture<'a, Result<PagePrice, ProviderError>> {
        provider.fetch_price(self)
    }

    fn turn<'a>(&'a self, provider: &'a (dyn Scraper + 'p), fleet: &'a Fleet) -> BoxFuture<'a, Result<Turn, Duration>> {
        provider.turn(self, fleet)
    }

    fn cost_of_way(&self, provider: &(dyn Scraper + 'p)) -> Option<f64> {
        Some(provider.cost())
    }

    /// No way leads around a wait that the shop asked for.
    fn waits_for_all(&self, provider: &(dyn Scraper + 'p)) -> bool {
        provider.asks_the_shop()
    }

    /// Each shop by itself: one that is down says nothing of the others.
    fn account(&self) -> Option<&str> {
        self.url.host_str()
    }
}
