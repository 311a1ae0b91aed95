//! What pages said when they were read before, so that shops are asked for changes only. Pages are public and are asked for in our own name,
//! so tenants share what they said. Nothing here fails a job: a page that is not known is read whole.

use std::{collections::HashMap, time::Duration};

use providers::scraping::{Known, RULES};
use serde::{Deserialize, Serialize};
use services::Name;
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
    /// None where no pages are fetched, or nothing is stored.
    store: Option<&'a Store>,
    selector: Option<&'a str>,
}

impl<'a> Memory<'a> {
    pub(super) fn of(context: &'a Context, selector: Option<&'a str>) -> Self {
        let store = context.store.as_ref().filter(|_| context.providers.is_real(Name::Scraping));
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
    use super::*;

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
    async fn without_a_store_nothing_is_known() {
        let memory = Memory { store: None, selector: None };
        assert_eq!(memory.recall(["https://shop.example/cup"]).await, HashMap::new());
        memory.keep(Vec::new()).await;
    }
}
