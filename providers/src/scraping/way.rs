//! One way to pages, and the same way on, when a page sends its readers to another one of its host.

use std::{fmt::Debug, time::Duration};

use chrono::{DateTime, Utc};
use fleet::Fleet;
use futures::future::{BoxFuture, FutureExt};
use url::Url;

use super::{
    Page, PagePrice, Scraper,
    access::{Access, rejected},
    fetched::Fetched,
};
use crate::{Provider, ProviderError, Turn};

/// So many times a page may send to another one by its own words.
const REFRESHES: usize = 5;

/// A way to pages.
pub(super) trait Way: Provider + Debug {
    /// What a page must pass.
    fn access(&self) -> &Access;

    /// Fetches one page that passed.
    /// This is `page`, or where that sends on to.
    fn get<'a>(&'a self, url: &'a Url, page: &'a Page) -> BoxFuture<'a, Result<Got, ProviderError>>;

    /// What one try costs, compared with a page fetched directly.
    fn cost(&self) -> f64 {
        1.0
    }

    /// See [`Scraper::asks_the_shop`].
    fn asks_the_shop(&self) -> bool {
        false
    }
}

impl<W: Way> Scraper for W {
    fn fetch_price<'a>(&'a self, page: &'a Page) -> BoxFuture<'a, Result<PagePrice, ProviderError>> {
        read(self, page).boxed()
    }

    fn turn<'a>(&'a self, page: &'a Page, fleet: &'a Fleet) -> BoxFuture<'a, Result<Turn, Duration>> {
        self.access().turn(page, fleet).boxed()
    }

    fn cost(&self) -> f64 {
        Way::cost(self)
    }

    fn asks_the_shop(&self) -> bool {
        Way::asks_the_shop(self)
    }
}

/// What came.
pub(super) enum Got {
    Page(Box<Fetched>),
    /// It is still as it was, or [unknown](PagePrice::unknown).
    Known(Box<PagePrice>),
    /// The page is at another host, which was not asked.
    Elsewhere(Url, DateTime<Utc>),
}

/// Fetches and reads a page.
async fn read(way: &impl Way, page: &Page) -> Result<PagePrice, ProviderError> {
    let url = &page.url;
    let mut target = url.clone();
    for _ in 0..=REFRESHES {
        way.access().check(&target).await?;
        let read = match way.get(&target, page).await? {
            Got::Page(fetched) => fetched.read(page.selector.clone(), page.wants_text).await?,
            Got::Known(read) => *read,
            Got::Elsewhere(next, at) => PagePrice { moved_to: Some(next), ..PagePrice::nothing(at) },
        };
        match read.moved_to {
            Some(next) if next.host() == target.host() => target = next,
            Some(next) => {
                way.access().guard.check(&next).map_err(|refused| rejected(url, &refused.to_string()))?;
                return Ok(PagePrice { moved_to: Some(next), ..read });
            }
            None => return Ok(read),
        }
    }
    Err(rejected(url, &format!("pages send on more than {REFRESHES} times")))
}
