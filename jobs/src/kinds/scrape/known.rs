//! What pages said when they were read before, so that shops are asked for changes only. Pages are public and are asked for in our own name,
//! so tenants share what they said. Nothing here fails a job: a page that is not known is read whole.

use std::{collections::HashMap, time::Duration};

use providers::scraping::{Known, RULES, Scraper};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use store::Store;

use crate::handler::Context;

/// A page is read whole at least so often: some servers say that nothing has changed when the price has.
const KEPT: Duration = Duration::from_secs(3 * 24 * 3600);
/// No page is kept that says more, in bytes of JSON.
const LARGEST: usize = 16 * 1024;
/// MongoDB has so long to answer.
const WITHIN: Duration = Duration::from_secs(1);

/// What is kept of a page.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub(super) enum Kept {
    /// What it said.
    Said(Box<Known>),
    /// Its server says "not modified" of something else: it is read whole for as long as this is kept.
    Whole {
        /// Says that it is this.
        read_whole: bool,
    },
}

impl Kept {
    pub(super) const WHOLE: Self = Self::Whole { read_whole: true };
}

/// What is known of the pages of a job.
#[derive(Debug, Clone, Copy)]
pub(super) struct Memory<'a> {
    /// None where no shop is asked itself, or nothing is stored.
    store: Option<&'a Store>,
    selector: Option<&'a str>,
}

impl<'a> Memory<'a> {
    pub(super) fn of(context: &'a Context, selector: Option<&'a str>) -> Self {
        // Relays are asked for whole pages.
        let asks_shops = || context.providers.scraping.has_real(Scraper::asks_the_shop);
        let store = context.store.as_ref().filter(|_| asks_shops());
        Self { store, selector }
    }

    /// What these pages said before, by their addresses.
    pub(super) async fn recall<'u>(&self, urls: impl IntoIterator<Item = &'u str>) -> HashMap<String, Kept> {
        let mut urls: HashMap<String, String> = urls.into_iter().map(|url| (self.key(url), url.to_owned())).collect();
        let Some(store) = self.store.filter(|_| !urls.is_empty()) else { return HashMap::new() };
        let keys: Vec<String> = urls.keys().cloned().collect();
        let found = in_time(store.known_pages(&keys)).await.unwrap_or_default();
        let read = |(key, page)| Some((urls.remove(&key)?, serde_json::from_value(page).ok()?));
        found.into_iter().filter_map(read).collect()
    }

    /// Keeps what these pages say, by their addresses.
    pub(super) async fn keep(&self, pages: Vec<(String, Kept)>) {
        let kept = pages.into_iter().filter_map(|(url, page)| {
            let page = serde_json::to_value(page).ok().filter(|page| page.to_string().len() <= LARGEST)?;
            Some((self.key(&url), page))
        });
        let kept: Vec<_> = kept.collect();
        if let Some(store) = self.store.filter(|_| !kept.is_empty()) {
            in_time(store.keep_pages(kept, KEPT)).await;
        }
    }

    /// The same page is read otherwise by another selector, and by another release.
    fn key(&self, url: &str) -> String {
        let mut hash = Sha256::new();
        hash.update(RULES.to_be_bytes());
        for part in [self.selector.unwrap_or_default(), url] {
            hash.update(part.len().to_be_bytes());
            hash.update(part);
        }
        hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect()
    }
}

/// The answer, unless MongoDB is away or slow.
async fn in_time<T>(call: impl Future<Output = Result<T, store::Error>>) -> Option<T> {
    match tokio::time::timeout(WITHIN, call).await {
        Ok(Ok(answer)) => Some(answer),
        Ok(Err(error)) => {
            tracing::debug!(%error, "pages are read whole");
            None
        }
        Err(_) => {
            tracing::debug!("mongodb does not answer in time: pages are read whole");
            None
        }
    }
}

#[cfg(test)]
mod tests {
    use fleet::Fleet;
    use providers::Providers;
    use services::{Config, Name};

    use super::*;
    use crate::{
        scrape::Scrape,
        testing::{context, mocks},
    };

    #[test]
    fn a_page_is_known_by_its_whole_address_and_its_selector() {
        let key = |selector, url| Memory { store: None, selector }.key(url);
        let first = key(None, "https://shop.example/cup");
        assert_eq!(first, key(None, "https://shop.example/cup"));
        for other in [
            key(None, "https://shop.example/cup#blue"),
            key(None, "https://shop.example/cup?size=m"),
            key(Some(".price"), "https://shop.example/cup"),
            key(Some("https:"), "//shop.example/cup"),
        ] {
            assert_ne!(first, other);
        }
    }

    #[tokio::test]
    async fn only_who_asks_shops_itself_looks_up_what_pages_said_before() {
        let store = Store::open("mongodb://127.0.0.1:1", "shop").await.unwrap();
        for (route, looks) in [
            ("direct", true),
            ("scraperapi,direct", true),
            ("scraperapi", false),
            ("brightdata", false),
            ("scraperapi,brightdata", false),
        ] {
            let variables = [
                ("MOCK_MODE_SCRAPING", "false"),
                ("SCRAPE_ROUTE", route),
                ("SCRAPERAPI_KEY", "hush"),
                ("BRIGHT_DATA_KEY", "hush"),
                ("BRIGHT_DATA_ZONE", "unlocker"),
            ];
            let variable = |name: &str| variables.iter().find(|(key, _)| *key == name).map(|(_, it)| (*it).to_owned());
            let config = Config::from_vars(variable);
            assert!(config.complaints.is_empty(), "{:?}", config.complaints);
            let providers = Providers::from_config(&config, &Fleet::alone()).unwrap();
            assert!(providers.is_real(Name::Scraping), "{route}");
            let context = Context { store: Some(store.clone()), ..context::<Scrape>(providers) };
            assert_eq!(Memory::of(&context, None).store.is_some(), looks, "{route}");
        }
        let mock = Context { store: Some(store), ..context::<Scrape>(mocks()) };
        assert!(Memory::of(&mock, None).store.is_none());
    }

    #[tokio::test]
    async fn without_a_store_nothing_is_known() {
        let memory = Memory { store: None, selector: None };
        assert_eq!(memory.recall(["https://shop.example/cup"]).await, HashMap::new());
        memory.keep(Vec::new()).await;
    }
}
