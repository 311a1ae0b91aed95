//! What a run that was put off hands on to the next one.

use api::Timestamp;
use chrono::Utc;
use providers::{
    Answer, ProviderError,
    scraping::{Details, NoPrice, PagePrice},
};
use serde::{Deserialize, Serialize};

use super::{
    offers::{Fetched, Visit},
    page::{ScrapedPage, timestamp},
};
use crate::handler::{Context, JobError};

/// Redis keeps so much of a page that is done with, in bytes of JSON, while its job waits for others: twenty of them take 60 KiB at most.
const LARGEST: usize = 3 * 1024;
/// Of a page that says more, its texts are cut to so many bytes of JSON, and of the rest what is longer than a word is left out.
const TEXT: usize = 200;
const WORD: usize = 40;

/// What a run that was put off hands on to the next one: for each page, in their order.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct SoFar {
    /// Those that are done with.
    pub(super) read: Vec<Option<Read>>,
    /// Where the others are.
    pub(super) moved: Vec<Option<OnTheWay>>,
}

impl SoFar {
    pub(super) fn of(context: &Context, n: usize) -> Self {
        let earlier = context.so_far.clone().and_then(|earlier| serde_json::from_value::<Self>(earlier).ok());
        let earlier = earlier.filter(|earlier| earlier.read.len() == n && earlier.moved.len() == n);
        earlier.unwrap_or_else(|| Self { read: vec![None; n], moved: vec![None; n] })
    }

    /// As the next run is given it: no page has more than [`LARGEST`] bytes, and none lacks a price.
    pub(super) fn handed_on(mut self) -> serde_json::Value {
        self.read.iter_mut().flatten().for_each(Read::shorten);
        serde_json::to_value(self).unwrap_or_default()
    }

    /// How many pages are done with.
    pub(super) fn n_read(so_far: &serde_json::Value) -> usize {
        Self::deserialize(so_far).map_or(0, |so_far| so_far.read.iter().flatten().count())
    }
}

/// How far a page is that hosts send on from one to the other.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct OnTheWay {
    pub(super) url: String,
    pub(super) moves: usize,
    pub(super) credits: u32,
    /// Whether it is read whole, because what is known of it is not so.
    #[serde(default)]
    pub(super) whole: bool,
}

impl OnTheWay {
    pub(super) fn to(url: &str) -> Self {
        Self { url: url.to_owned(), moves: 0, credits: 0, whole: false }
    }
}

/// A page that is done with. Its address is in the payload.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Read {
    pub(super) page: ScrapedPage,
    /// None of a page that could not be had.
    pub(super) provider: Option<String>,
    pub(super) degraded_reason: Option<String>,
    pub(super) credits: u32,
    pub(super) lost: Option<Lost>,
}

impl Read {
    /// `now_ms` is what all replicas agree on, if it is known: a host whose clock is ahead has fetched nothing in days to come.
    pub(super) fn new(answer: Answer<PagePrice>, credits: u32, now_ms: Option<u64>) -> Self {
        let Answer { value, provider, degraded_reason } = answer;
        let PagePrice { title, price, details, fetched_at, gone, .. } = value;
        let error = gone.or_else(|| degraded_reason.clone().filter(|_| provider == NoPrice::NAME));
        let fetched_at = timestamp(fetched_at);
        let fetched_at = now_ms.map_or(fetched_at, |now_ms| fetched_at.min(Timestamp::from_ms(now_ms)));
        let page = ScrapedPage { url: String::new(), title, price, details, fetched_at, error };
        Self { page, provider: Some(provider.to_owned()), degraded_reason, credits, lost: None }
    }

    /// What it says of the price, if that was asked of a shop.
    pub(super) fn visit(&self, url: &str, selector: Option<&str>) -> Option<Visit> {
        let is_real = self.lost.is_none() && self.provider.as_deref() != Some(NoPrice::NAME);
        let ScrapedPage { title, price, details, fetched_at, error, .. } = &self.page;
        let (title, price, error) = (title.as_ref(), price.as_ref(), error.as_ref());
        let fetched = Fetched { at: fetched_at.time(), title, price, details, error };
        if is_real { Visit::of(url, selector, &fetched) } else { None }
    }

    /// A page may say what it likes, and as much as its fields take: what Redis keeps of it is bounded. Its prices are, by themselves.
    fn shorten(&mut self) {
        let is_large = |read: &Self| json_len(read) > LARGEST;
        if !is_large(self) {
            return;
        }
        let Self { page, degraded_reason, lost, .. } = &mut *self;
        let ScrapedPage { title, price, details, error, .. } = page;
        for text in [title, &mut details.name, error, degraded_reason].into_iter().flatten() {
            cut(text);
        }
        if let Some(lost) = lost {
            cut(&mut lost.message);
        }
        // What is cut off is another number, address or name.
        let Details { brand, mpn, sku, image, seller, condition, availability, .. } = details;
        for word in [brand, mpn, sku, seller, condition, availability] {
            word.take_if(|word| json_len(word) > WORD);
        }
        for price in [price.as_mut(), details.list_price.as_mut(), details.shipping.as_mut()].into_iter().flatten() {
            price.availability.take_if(|word| json_len(word) > WORD);
            price.currency.take_if(|word| json_len(word) > WORD);
        }
        if let Some(unit) = &mut details.unit_price {
            cut(&mut unit.per);
            unit.currency.take_if(|word| json_len(word) > WORD);
        }
        image.take_if(|image| json_len(image) > TEXT);
    }

    pub(super) fn lost(error: ProviderError, credits: u32) -> Self {
        let lost = Lost::from(error);
        let page = ScrapedPage {
            url: String::new(),
            title: None,
            price: None,
            details: Details::default(),
            fetched_at: timestamp(Utc::now()),
            error: Some(lost.message.clone()),
        };
        Self { page, provider: None, degraded_reason: None, credits, lost: Some(lost) }
    }
}

/// How many bytes of JSON it takes.
fn json_len(value: &impl Serialize) -> usize {
    serde_json::to_string(value).map_or(usize::MAX, |json| json.len())
}

/// Cuts a text to [`TEXT`] bytes of JSON, in which some characters take six.
fn cut(text: &mut String) {
    if json_len(text) <= TEXT {
        return;
    }
    let mut left = TEXT - "\"…\"".len();
    let fits = |character: &char| {
        let n_bytes = json_len(character) - "\"\"".len();
        let fits = n_bytes <= left;
        left = left.saturating_sub(n_bytes);
        fits
    };
    let mut kept: String = text.chars().take_while(fits).collect();
    kept.push('…');
    *text = kept;
}

/// Why a page could not be had in this attempt.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Lost {
    pub(super) code: String,
    pub(super) message: String,
    pub(super) then: Then,
    pub(super) after_ms: Option<u64>,
}

/// What follows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Then {
    /// Another attempt may have it.
    Again,
    /// It was not asked for, which is no attempt.
    Later,
    Never,
}

impl From<ProviderError> for Lost {
    fn from(error: ProviderError) -> Self {
        let message = error.to_string();
        let (then, code, after) = match JobError::from(error) {
            JobError::Retry { code, after, .. } => (Then::Again, code, after),
            JobError::Snooze { code, after, .. } | JobError::Interrupted { code, after, .. } => {
                (Then::Later, code, Some(after))
            }
            JobError::Fatal { code, .. } => (Then::Never, code, None),
        };
        let after_ms = after.and_then(|after| u64::try_from(after.as_millis()).ok());
        Self { code: code.to_owned(), message, then, after_ms }
    }
}

#[cfg(test)]
mod tests {
    use chrono::TimeDelta;
    use providers::scraping::{Confidence, Method, Price, UnitPrice};
    use rust_decimal::Decimal;

    use super::*;

    /// A page with these texts and these words; its amounts are as long as any.
    fn hostile(text: &str, word: &str) -> Read {
        let (text, word) = (|| Some(text.to_owned()), || Some(word.to_owned()));
        let amount = Decimal::from_i128_with_scale(-79_228_162_514_264_337_593_543_950_335, 28);
        let (method, confidence) = (Method::Microdata, Confidence::Medium);
        let price = || Some(Price { amount, currency: word(), availability: word(), method, confidence });
        let unit_price = text().map(|per| UnitPrice { amount, currency: word(), per, method, confidence });
        let details = Details {
            name: text(),
            list_price: price(),
            unit_price,
            availability: word(),
            condition: word(),
            brand: word(),
            gtin: Some("12345678901234".to_owned()),
            mpn: word(),
            sku: word(),
            image: text(),
            seller: word(),
            shipping: price(),
        };
        let (title, error, fetched_at) = (text(), text(), timestamp(Utc::now()));
        let page = ScrapedPage { url: String::new(), title, price: price(), details, fetched_at, error };
        let lost = Lost {
            code: "provider_misconfigured".to_owned(),
            message: text().unwrap_or_default(),
            then: Then::Again,
            after_ms: Some(u64::MAX),
        };
        let provider = Some("brightdata".to_owned());
        Read { page, provider, degraded_reason: text(), credits: u32::MAX, lost: Some(lost) }
    }

    /// All that it has in figures.
    fn amounts(read: &Read) -> ([Option<Decimal>; 4], Option<String>) {
        let ScrapedPage { price, details, .. } = &read.page;
        let Details { list_price, unit_price, shipping, gtin, .. } = details;
        let [price, list, shipping] =
            [price, list_price, shipping].map(|price| price.as_ref().map(|price| price.amount));
        ([price, list, shipping, unit_price.as_ref().map(|price| price.amount)], gtin.clone())
    }

    #[test]
    fn however_much_pages_say_little_of_them_waits_in_redis_and_no_price_is_lost() {
        // Letters that JSON writes in one byte, in two, in four and in six.
        for letter in ["x", "é", "🫖", "\"", "\\", "\u{1}"] {
            let word_that_is_kept = letter.repeat((WORD - 2) / (json_len(&letter) - 2));
            // As long as the longest fields, and twice.
            for (n, word) in [(2_000, word_that_is_kept), (300, letter.repeat(300)), (4_000, letter.repeat(4_000))] {
                let read = hostile(&letter.repeat(n), &word);
                let so_far = SoFar { read: vec![Some(read.clone()); 20], moved: vec![None; 20] };
                let handed_on = so_far.handed_on();
                let largest = handed_on["read"].as_array().unwrap().iter().map(json_len).max();
                assert!(largest <= Some(LARGEST) && json_len(&handed_on) <= 20 * LARGEST + 200, "{letter} {largest:?}");
                let kept = SoFar::deserialize(&handed_on).unwrap().read.remove(0).unwrap();
                assert_eq!(amounts(&kept), amounts(&read));
                assert_eq!(kept.lost.map(|lost| lost.then), Some(Then::Again));
                let details = kept.page.details;
                assert!(
                    details.name.is_some_and(|name| name.starts_with(letter) && name.ends_with('…')),
                    "{letter} {n}"
                );
                assert_eq!(details.image, None, "a part of an address is none");
                assert_eq!(details.sku, Some(word).filter(|word| json_len(word) <= WORD), "nor a part of a number");
            }
        }
    }

    #[test]
    fn what_is_not_too_much_is_handed_on_as_it_is() {
        let read = hostile("Étoile \"7\" – 60 cm", "EUR");
        let so_far = SoFar { read: vec![Some(read.clone()), None], moved: vec![None, None] };
        assert_eq!(SoFar::deserialize(so_far.clone().handed_on()).unwrap(), so_far);
        // One long text does not cost a page its others.
        let mut long = read;
        long.page.error = Some("x".repeat(4_000));
        let so_far = SoFar { read: vec![Some(long.clone())], moved: vec![None] };
        let kept = SoFar::deserialize(so_far.handed_on()).unwrap().read.remove(0).unwrap();
        assert_eq!((&kept.page.details, &kept.page.price), (&long.page.details, &long.page.price));
        assert_eq!(kept.page.error.map(|error| json_len(&error)), Some(TEXT));
    }

    #[test]
    fn no_page_was_fetched_in_a_time_to_come() {
        let now = Utc::now();
        for (fetched_at, expected) in
            [(now + TimeDelta::hours(1), now), (now - TimeDelta::hours(1), now - TimeDelta::hours(1))]
        {
            let answer = Answer { value: PagePrice::nothing(fetched_at), provider: "web", degraded_reason: None };
            let read = Read::new(answer, 0, Some(timestamp(now).time().timestamp_millis().unsigned_abs()));
            assert_eq!(read.page.fetched_at, timestamp(expected));
        }
    }
}
