//! Pages that were read before, and by what their servers tell whether they have changed since (RFC 9110, 13).

use chrono::NaiveDate;
use prices::{Details, Price};
use reqwest::{
    RequestBuilder,
    header::{CACHE_CONTROL, ETAG, HeaderMap, HeaderName, IF_MODIFIED_SINCE, IF_NONE_MATCH, LAST_MODIFIED, VARY},
};
use serde::{Deserialize, Serialize};
use url::Url;

/// No validator that is longer is kept, in bytes.
const LONGEST: usize = 1_000;

/// Names how pages are read: another release that reads them otherwise has another one.
pub const RULES: u64 = hash(&[prices::RULES.as_bytes(), include_bytes!("charset.rs"), include_bytes!("blocked.rs")]);

/// FNV-1a of some files, one after the other.
const fn hash(files: &[&[u8]]) -> u64 {
    let (mut hash, mut file) = (0xcbf2_9ce4_8422_2325_u64, 0);
    while file < files.len() {
        let mut at = 0;
        while at < files[file].len() {
            hash = (hash ^ files[file][at] as u64).wrapping_mul(0x0100_0000_01b3);
            at += 1;
        }
        file += 1;
    }
    hash
}

/// What a page said when it was read.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Known {
    /// By what it is asked whether it has changed since.
    pub validators: Validators,
    /// The page's title.
    pub title: Option<String>,
    /// A page without a price is read anew, so there is one.
    pub price: Price,
    /// What else it says of the product.
    pub details: Details,
    /// From this day on it is read anew although it has not changed: its own data have a date on which they end.
    pub until: Option<NaiveDate>,
}

impl Known {
    /// Whether it still holds on this day, if the page has not changed.
    pub(super) fn holds_on(&self, day: NaiveDate) -> bool {
        self.until.is_none_or(|until| day < until)
    }
}

/// By what a server tells whether a page has changed. They are sent back as they came.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Validators {
    etag: Option<String>,
    last_modified: Option<String>,
    /// Where the page came from in the end: where redirects lead elsewhere by now, they are of another page.
    url: String,
}

impl Validators {
    /// Those that came with a page from `url`; `None` when it has none, is another one for whoever asks, or is not to be kept.
    pub(super) fn of(url: &Url, headers: &HeaderMap) -> Option<Self> {
        let says = |name: &HeaderName, word: &str| {
            let values = headers.get_all(name).into_iter().filter_map(|value| value.to_str().ok());
            values.flat_map(|value| value.split(',')).any(|part| part.trim().eq_ignore_ascii_case(word))
        };
        let validator = |name: &HeaderName| {
            let value = headers.get(name)?.to_str().ok()?.trim();
            Some(value.to_owned()).filter(|value| !value.is_empty() && value.len() <= LONGEST)
        };
        let (etag, last_modified) = (validator(&ETAG), validator(&LAST_MODIFIED));
        let any = etag.is_some() || last_modified.is_some();
        let keeps = !says(&VARY, "*") && !says(&CACHE_CONTROL, "no-store");
        (any && keeps).then(|| Self { etag, last_modified, url: url.to_string() })
    }

    /// Has a request ask for the page only if it has changed.
    pub(super) fn ask(&self, request: RequestBuilder) -> RequestBuilder {
        let pairs = [(IF_NONE_MATCH, &self.etag), (IF_MODIFIED_SINCE, &self.last_modified)];
        pairs.into_iter().fold(request, |request, (name, value)| match value {
            Some(value) => request.header(name, value),
            None => request,
        })
    }

    /// Whether an answer from `url` that says "not modified" speaks of the page that these are of.
    pub(super) fn are_meant(&self, url: &Url, headers: &HeaderMap) -> bool {
        let told = headers.get(ETAG).and_then(|value| value.to_str().ok());
        let same = self.etag.as_deref().zip(told).is_none_or(|(kept, told)| opaque(kept) == opaque(told));
        self.url == url.as_str() && same
    }
}

/// A weak one and a strong one are of the same page.
fn opaque(etag: &str) -> &str {
    let etag = etag.trim();
    etag.strip_prefix("W/").unwrap_or(etag)
}

#[cfg(test)]
mod tests {
    use reqwest::header::HeaderValue;

    use super::*;

    fn headers(pairs: &[(&'static str, &'static str)]) -> HeaderMap {
        let pairs = pairs.iter().map(|(name, value)| (HeaderName::from_static(name), HeaderValue::from_static(value)));
        pairs.collect()
    }

    #[test]
    fn whatever_decides_how_a_page_is_read_names_the_rules() {
        assert_eq!(hash(&[b"a"]), 0xaf63_dc4c_8601_ec8c);
        let files = [prices::RULES, include_str!("charset.rs"), include_str!("blocked.rs")];
        for edited in 0..files.len() {
            let mut files = files.map(str::to_owned);
            assert_eq!(hash(&files.each_ref().map(String::as_bytes)), RULES);
            files[edited].push(' ');
            assert_ne!(hash(&files.each_ref().map(String::as_bytes)), RULES, "{edited}");
        }
    }

    #[test]
    fn only_what_may_be_kept_and_asked_about_again_is_kept() {
        let url = Url::parse("https://shop.example/cup#a").unwrap();
        let kept = |pairs: &[(&'static str, &'static str)]| Validators::of(&url, &headers(pairs)).is_some();
        assert!(kept(&[("etag", "\"1\"")]) && kept(&[("last-modified", "Sun, 22 Nov 2026 10:00:00 GMT")]));
        assert!(kept(&[("etag", "W/\"1\""), ("vary", "Accept-Encoding, User-Agent"), ("cache-control", "no-cache")]));
        assert!(!kept(&[]) && !kept(&[("etag", "")]));
        assert!(!kept(&[("etag", "\"1\""), ("vary", "cookie, *")]));
        assert!(!kept(&[("etag", "\"1\""), ("cache-control", "private, No-Store")]));
    }

    #[test]
    fn not_modified_is_meant_for_the_same_page_only() {
        let url = Url::parse("https://shop.example/cup").unwrap();
        let other = Url::parse("https://shop.example/pan").unwrap();
        let kept = Validators::of(&url, &headers(&[("etag", "W/\"1\"")])).unwrap();
        assert!(kept.are_meant(&url, &headers(&[])) && kept.are_meant(&url, &headers(&[("etag", "\"1\"")])));
        assert!(!kept.are_meant(&url, &headers(&[("etag", "\"2\"")])) && !kept.are_meant(&other, &headers(&[])));
    }
}
