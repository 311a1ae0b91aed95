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

    use super::*;

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
