//! Competitors' prices.

pub(crate) mod alerts;
mod by_model;
mod known;
pub(crate) mod offers;
mod page;
mod so_far;

use std::{
    sync::atomic::{AtomicUsize, Ordering},
    time::{Duration, Instant},
};

use api::FieldError;
use futures::future::join_all;
use providers::{
    Answer, Hold, Policy, ProviderError,
    scraping::{NoPrice, Page, PagePrice, is_selector, provider_named},
};
use queue::{Client, Job};
use serde::{Deserialize, Serialize};
use services::Name;
use url::Url;
use utoipa::ToSchema;

pub use offers::{compare, last_day_of_rates, stored_rates};

use self::known::{Kept, Memory};
pub use self::page::ScrapedPage;

use self::offers::{Visit, remember};
use self::so_far::{Lost, OnTheWay, Read, SoFar, Then};
use crate::handler::{Context, Done, Handler, JobError};

const LONGEST_URL: usize = 2_000;
/// So many times a page may be sent on to another host.
const MOVES: usize = 5;
/// When the history of prices cannot be written, the next try comes after this time.
const STORE_AGAIN_AFTER: Duration = Duration::from_secs(5);

/// Fetches product pages and reads their prices.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Scrape {
    /// The shop's own id of the product.
    #[schema(min_length = 1, max_length = 100, example = "VELO-042")]
    pub product_id: String,
    /// Pages that show the product: http or https, at most 2,000 characters each.
    #[schema(min_items = 1, max_items = 20)]
    pub urls: Vec<String>,
    /// A CSS selector of the element that has the price, on each of the pages: at most 500 characters.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(min_length = 1, max_length = 500, example = ".product .price")]
    pub selector: Option<String>,
}

/// What the pages say.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct ScrapeResult {
    /// The shop's own id of the product.
    pub product_id: String,
    /// One for each URL, in the same order.
    pub pages: Vec<ScrapedPage>,
    /// What it took.
    pub usage: ScrapeUsage,
}

/// What fetching took.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, ToSchema)]
pub struct ScrapeUsage {
    /// Credits of ScraperAPI, and pages of Bright Data; 0 for pages that were fetched directly.
    pub credits: u32,
}

impl Job for Scrape {
    const KIND: &'static str = "scrape";
    const MAX_ATTEMPTS: u32 = 4;
    const TIMEOUT_S: u64 = 240;
    const ALLOW_FALLBACK: bool = true;
    const CONCURRENCY: usize = 32;
}

impl Handler for Scrape {
    type Output = ScrapeResult;
    const COLLECTION: &'static str = "prices";
    const SERVICE: Option<Name> = Some(Name::Scraping);
    /// Each shop is one.
    const ONE_ACCOUNT: bool = false;
    /// A price of today is no answer to what it was yesterday: the next run has that of its own day.
    const HEAL_WITHIN: Option<Duration> = Some(Duration::from_secs(24 * 3600));

    fn check(&self) -> Vec<FieldError> {
        let bad = self.urls.iter().enumerate().filter_map(|(index, url)| Some((index, page_url(url).err()?)));
        let urls = bad.map(|(index, problem)| FieldError::new(format!("/urls/{index}"), problem));
        let selector = self.selector.as_deref().filter(|css| !is_selector(css));
        urls.chain(selector.map(|_| FieldError::new("/selector", "must be a CSS selector"))).collect()
    }

    /// What was fetched in vain only costs more.
    fn is_further(before: Option<&serde_json::Value>, so_far: &serde_json::Value) -> bool {
        SoFar::n_read(so_far) > before.map_or(0, SoFar::n_read)
    }

    /// Succeeds when at least one page could be fetched; a page without a price counts as fetched. A result that is healed must have
    /// all that can be had.
    async fn run(self, context: &Context) -> Result<Done<ScrapeResult>, JobError> {
        let SoFar { mut read, mut moved } = SoFar::of(context, self.urls.len());
        let pages = Pages { n: self.urls.len(), tried: AtomicUsize::new(read.iter().flatten().count()) };
        let to_fetch = self.urls.iter().enumerate().filter(|(index, _)| read[*index].is_none());
        let to_fetch = to_fetch.map(|(index, url)| (index, moved[index].take().unwrap_or_else(|| OnTheWay::to(url))));
        let to_fetch: Vec<(usize, OnTheWay)> = to_fetch.collect();
        let memory = Memory::of(context, self.selector.as_deref());
        let known = memory.recall(to_fetch.iter().map(|(_, way)| way.url.as_str())).await;
        let fetches = to_fetch.into_iter().map(|(index, way)| {
            let fetch = Fetch {
                selector: self.selector.as_deref(),
                ticket: format!("{}/{index}", context.job_id),
                known: known.get(&way.url).cloned(),
                memory,
                context,
            };
            let fetch = pages.fetch(way, fetch);
            async move { (index, fetch.await, Instant::now()) }
        });
        let fetches: Vec<_> = fetches.collect();
        let fetched = join_all(fetches).await;
        let now_ms = context.client.as_ref().map(Client::now_ms);
        let (mut providers, mut next) = (Vec::new(), None::<Instant>);
        let mut known = Vec::new();
        for (index, (answer, way), at) in fetched {
            match answer {
                Ok(answer) => {
                    providers.push(answer.provider);
                    known.extend(answer.value.known().map(|page| (way.url, Kept::Said(Box::new(page)))));
                    read[index] = Some(Read::new(answer, way.credits, now_ms));
                }
                Err(error) => match next_turn(&error) {
                    Some(wait) => {
                        next = next.into_iter().chain([at + wait]).min();
                        moved[index] = Some(way);
                    }
                    // It is done with for this attempt.
                    None => read[index] = Some(Read::lost(error, way.credits)),
                },
            }
        }
        memory.keep(known).await;
        // What is healed must have all that can be had: what was lost is asked for again, and the rest is kept until then.
        let again = if context.healing { take_back(&self.urls, &mut read, &mut moved) } else { Vec::new() };
        if let Some(next) = next {
            let n_read = read.iter().flatten().count();
            let message = format!("{n_read} of {} pages are done; others are ahead at their shops", read.len());
            let so_far = SoFar { read, moved }.handed_on();
            let after = next.saturating_duration_since(Instant::now());
            return Err(JobError::Interrupted { code: Hold::Turn.code(), message, after, so_far });
        }
        if !again.is_empty() {
            let error = failure(again.iter());
            if read.iter().all(Option::is_none) {
                return Err(error);
            }
            let so_far = SoFar { read, moved }.handed_on();
            return Err(error.with(so_far));
        }
        let read: Vec<Read> = read.into_iter().flatten().collect();
        let lost = || read.iter().filter_map(|read| read.lost.as_ref());
        if lost().count() == read.len() {
            return Err(failure(lost()));
        }
        let selector = self.selector.as_deref();
        let visits = self.urls.iter().zip(&read).filter_map(|(url, read)| read.visit(url, selector));
        let visits: Vec<Visit> = visits.collect();
        match remember(context, &self.product_id, &visits).await {
            Ok(()) => {}
            Err(error @ store::Error::Refused { .. }) => {
                tracing::error!(job.id = %context.job_id, %error, "the history of prices lacks what this job has read");
            }
            Err(error) => return Err(put_off(&error, read)),
        }
        // What stands in for a page is no provider of it.
        let provider =
            read.iter().filter_map(|read| read.provider.as_deref()).max_by_key(|name| *name != NoPrice::NAME);
        let named =
            |name: &str| providers.iter().copied().find(|known| *known == name).or_else(|| provider_named(name));
        let provider = provider.and_then(named);
        let mut reasons: Vec<&str> = read.iter().filter_map(|read| read.degraded_reason.as_deref()).collect();
        reasons.dedup();
        let degraded_reason = (!reasons.is_empty()).then(|| reasons.join("; "));
        let usage = ScrapeUsage { credits: read.iter().map(|read| read.credits).sum() };
        let pages = self.urls.into_iter().zip(read).map(|(url, read)| ScrapedPage { url, ..read.page }).collect();
        Ok(Done { result: ScrapeResult { product_id: self.product_id, pages, usage }, provider, degraded_reason })
    }
}

/// Nothing is fetched again: the next run goes on with what this one has read.
fn put_off(error: &store::Error, read: Vec<Read>) -> JobError {
    let moved = read.iter().map(|_| None).collect();
    let so_far = SoFar { read: read.into_iter().map(Some).collect(), moved };
    JobError::Interrupted {
        code: "store_unavailable",
        message: error.to_string(),
        after: STORE_AGAIN_AFTER,
        so_far: so_far.handed_on(),
    }
}

/// When a page that was not asked for has its turn.
fn next_turn(error: &ProviderError) -> Option<Duration> {
    match error {
        ProviderError::Held { hold: Hold::Turn, retry_in, .. } => Some(*retry_in),
        _ => None,
    }
}

/// The pages of one job, which are fetched side by side.
struct Pages {
    n: usize,
    tried: AtomicUsize,
}

impl Pages {
    async fn fetch(&self, mut way: OnTheWay, fetch: Fetch<'_>) -> (Result<Answer<PagePrice>, ProviderError>, OnTheWay) {
        let context = fetch.context;
        let answer = fetch.go_on(&mut way).await;
        match &answer {
            Err(error) if next_turn(error).is_some() => return (answer, way),
            Err(error) => context.progress.log(error.to_string()),
            Ok(_) => {}
        }
        let tried = self.tried.fetch_add(1, Ordering::Relaxed) + 1;
        // What is left is for storing what was read.
        let percent = u8::try_from(tried * 90 / self.n).unwrap_or(90);
        context.progress.set(percent, format!("page {tried} of {}", self.n));
        (answer, way)
    }
}

/// How one page is fetched.
struct Fetch<'a> {
    selector: Option<&'a str>,
    ticket: String,
    known: Option<Kept>,
    memory: Memory<'a>,
    context: &'a Context,
}

impl Fetch<'_> {
    /// Goes on from where the page is; `way` is then where it was when that ended.
    async fn go_on(self, way: &mut OnTheWay) -> Result<Answer<PagePrice>, ProviderError> {
        let Self { selector, ticket, mut known, memory, context } = self;
        let url = page_url(&way.url).map_err(|problem| rejected(&way.url, problem))?;
        let wants_text = by_model::may_read(context);
        let mut page = Page { selector: selector.map(str::to_owned), ticket, wants_text, ..Page::at(url) };
        let (began, policy) = (Instant::now(), context.policy());
        while way.moves <= MOVES {
            let left = Policy { time: policy.time.saturating_sub(began.elapsed()), ..policy };
            let is_whole = way.whole || known == Some(Kept::WHOLE);
            page.known = match known.take() {
                Some(Kept::Said(known)) if !is_whole => Some(*known),
                _ => None,
            };
            let answer = in_turn(left, &page, context).await;
            way.credits += std::mem::take(page.credits.get_mut());
            let mut answer = answer?;
            if answer.value.unknown {
                memory.keep(vec![(way.url.clone(), Kept::WHOLE)]).await;
                way.whole = true;
                continue;
            }
            // As soon as it was kept its server would be asked in vain again.
            answer.value.validators.take_if(|_| is_whole);
            let Some(next) = answer.value.moved_to.take() else {
                let left = policy.time.saturating_sub(began.elapsed());
                by_model::read(&mut answer.value, &way.url, &page.ticket, left, context).await;
                return Ok(answer);
            };
            if let Err(problem) = page_url(next.as_str()) {
                return Err(rejected(&way.url, &format!("is sent on to an address that {problem}")));
            }
            way.moves += 1;
            way.url = next.to_string();
            way.whole = false;
            known = memory.recall([way.url.as_str()]).await.remove(&way.url);
            page.url = next;
        }
        Err(rejected(&way.url, "is sent on from host to host"))
    }
}

fn rejected(url: &str, problem: &str) -> ProviderError {
    ProviderError::Rejected { service: "scraping", message: format!("{url:?} {problem}") }
}

/// A result that is healed is made in one go, so its pages are waited for here.
async fn in_turn(policy: Policy<'_>, page: &Page, context: &Context) -> Result<Answer<PagePrice>, ProviderError> {
    let began = Instant::now();
    loop {
        let left = policy.time.saturating_sub(began.elapsed());
        let answer = context.providers.scraping.call(Policy { time: left, ..policy }, page).await;
        match answer.as_ref().err().and_then(next_turn) {
            Some(wait) if context.healing && wait < left => tokio::time::sleep(wait).await,
            _ => return answer,
        }
    }
}

/// Takes those pages back that were lost and may be had later, and says why each was lost.
fn take_back(urls: &[String], read: &mut [Option<Read>], moved: &mut [Option<OnTheWay>]) -> Vec<Lost> {
    let mut again = Vec::new();
    for ((url, read), moved) in urls.iter().zip(read).zip(moved) {
        let is_lost = |read: &mut Read| read.lost.as_ref().is_some_and(|lost| lost.then != Then::Never);
        if let Some(Read { credits, lost, .. }) = read.take_if(is_lost) {
            *moved = Some(OnTheWay { credits, ..OnTheWay::to(url) });
            again.extend(lost);
        }
    }
    again
}

/// The failure of a job none of whose pages could be fetched: worth another try as soon as one page may be had later.
fn failure<'a>(lost: impl Iterator<Item = &'a Lost>) -> JobError {
    let (mut messages, mut retry, mut snooze, mut longest) = (Vec::new(), None, None, None);
    for Lost { code, message, then, after_ms } in lost {
        messages.push(message.as_str());
        let first = match then {
            Then::Again => &mut retry,
            Then::Later => &mut snooze,
            Then::Never => continue,
        };
        first.get_or_insert_with(|| code_named(code));
        longest = longest.max(after_ms.map(Duration::from_millis));
    }
    let message = format!("pages could not be fetched: {}", messages.join("; "));
    match (retry, snooze) {
        (Some(code), _) => JobError::Retry { code, message, after: longest },
        // No page was asked for: that uses no attempt.
        (None, Some(code)) => JobError::Snooze { code, message, after: longest.unwrap_or_default() },
        (None, None) => JobError::Fatal { code: "provider_rejected", message },
    }
}

/// One of the codes that fetching a page fails with.
fn code_named(code: &str) -> &'static str {
    let known = [
        "rate_limited",
        "deferred",
        "provider_unable",
        "provider_misconfigured",
        "unknown_outcome",
        "breaker_open",
        "spending_cap",
        "not_configured",
    ];
    known.into_iter().find(|known| *known == code).unwrap_or("provider_unavailable")
}

/// The URL, or what is wrong with it.
fn page_url(text: &str) -> Result<Url, &'static str> {
    if text.len() > LONGEST_URL {
        return Err("must have at most 2000 characters");
    }
    match Url::parse(text) {
        Ok(url) if !matches!(url.scheme(), "http" | "https") => Err("must be an http or https URL"),
        Ok(url) if !url.username().is_empty() || url.password().is_some() => {
            Err("must not carry a user name or password")
        }
        Ok(url) => Ok(url),
        Err(_) => Err("must be an http or https URL"),
    }
}

#[cfg(test)]
mod tests {
    use std::{sync::Arc, time::Duration};

    use chrono::Utc;
    use futures::future::{BoxFuture, FutureExt};
    use providers::{
        Provider, Providers, Service,
        scraping::{Method, Scraper},
    };
    use serde_json::json;

    use super::*;
    use crate::testing::{complaints, context, mocks, refused, stored};

    /// Answers by the page's path, each for a credit: `/gone`, `/busy` and `/down` fail, `/moved` and `/circle` send on to other hosts, any other page has
    /// no price.
    #[derive(Debug)]
    struct Web;

    impl Provider for Web {
        fn name(&self) -> &'static str {
            "web"
        }
    }

    impl Scraper for Web {
        fn fetch_price<'a>(
            &'a self,
            Page { url, credits, .. }: &'a Page,
        ) -> BoxFuture<'a, Result<PagePrice, ProviderError>> {
            credits.fetch_add(1, Ordering::Relaxed);
            let message = url.to_string();
            let page = |moved_to: Option<&str>| {
                let moved_to = moved_to.map(|url| Url::parse(url).unwrap());
                let title = url.host_str().map(str::to_owned);
                Ok(PagePrice { title, moved_to, ..PagePrice::nothing(Utc::now()) })
            };
            let answer = match url.path() {
                "/moved" => page(Some("https://new.example/fine")),
                "/circle" => page(Some("https://new.example/circle")),
                "/gone" => Err(ProviderError::Rejected { service: "scraping", message }),
                "/busy" => {
                    let retry_after = Some(Duration::from_secs(9));
                    Err(ProviderError::RateLimited { service: "scraping", message, retry_after })
                }
                "/queue" => Err(ProviderError::Held {
                    service: "scraping",
                    hold: Hold::Turn,
                    message,
                    retry_in: Duration::from_secs(30),
                }),
                "/down" => Err(ProviderError::Transient { service: "scraping", message, retry_after: None }),
                _ => page(None),
            };
            async move { answer }.boxed()
        }
    }

    /// Pages as [`Web`] has them, and what stands in for them.
    fn web() -> Providers {
        let webs = vec![Arc::new(Web) as Arc<dyn Scraper>];
        let scraping = Service::new(Name::Scraping, true, webs, Arc::new(NoPrice), Duration::from_secs(5));
        Providers { scraping, ..mocks() }
    }

    fn scrape(paths: &[&str]) -> Scrape {
        let urls: Vec<String> = paths.iter().map(|path| format!("https://shop.example{path}")).collect();
        stored(json!({ "product_id": "L-1", "urls": urls }))
    }

    #[tokio::test]
    async fn mock_prices_are_marked() {
        let job = scrape(&["/a", "/b"]);
        assert_eq!(job.check(), []);
        let done = job.run(&context::<Scrape>(mocks())).await.unwrap();
        assert_eq!((done.provider, done.degraded_reason), (Some("mock"), None));
        assert_eq!(done.result.pages.len(), 2);
        assert!(
            done.result.pages.iter().all(|page| page.price.as_ref().is_some_and(|price| price.method == Method::Mock))
        );
    }

    #[tokio::test]
    async fn a_page_without_a_price_succeeds_and_a_lost_one_is_told() {
        let done = scrape(&["/fine", "/gone", "/busy"]).run(&context::<Scrape>(web())).await.unwrap();
        assert_eq!((done.provider, done.degraded_reason), (Some("web"), None));
        let pages = serde_json::to_value(&done.result.pages).unwrap();
        assert_eq!((&pages[0]["price"], &pages[0]["error"]), (&json!(null), &json!(null)));
        assert_eq!(
            (&pages[1]["price"], &pages[1]["error"]),
            (&json!(null), &json!("scraping: https://shop.example/gone"))
        );
        assert_eq!(pages[2]["error"], "scraping: https://shop.example/busy");
        assert!(pages[0]["fetched_at"].as_str().unwrap().ends_with('Z'));
    }

    #[tokio::test]
    async fn a_page_that_has_moved_to_another_host_is_asked_for_there() {
        let done = scrape(&["/moved", "/circle"]).run(&context::<Scrape>(web())).await.unwrap();
        let [moved, circle] = done.result.pages.as_slice() else { panic!("{done:?}") };
        assert_eq!((moved.title.as_deref(), moved.url.as_str()), (Some("new.example"), "https://shop.example/moved"));
        assert!(circle.error.as_deref().is_some_and(|error| error.contains("from host to host")), "{circle:?}");
        // Of the page that was lost too.
        assert_eq!(done.result.usage.credits, 2 + 6);
    }

    #[tokio::test]
    async fn no_page_means_another_try_when_one_may_be_had_later() {
        for paths in [["/down", "/busy"], ["/gone", "/busy"]] {
            let error = scrape(&paths).run(&context::<Scrape>(web())).await.unwrap_err();
            let JobError::Retry { after, message, .. } = error else { panic!("{error:?}") };
            assert_eq!(after, Some(Duration::from_secs(9)));
            assert!(message.contains(paths[0]) && message.contains(paths[1]), "{message}");
        }
    }

    #[tokio::test]
    async fn pages_that_never_can_be_had_end_the_job_and_are_named() {
        let error = scrape(&["/gone", "/gone"]).run(&context::<Scrape>(web())).await.unwrap_err();
        assert!(
            matches!(&error, JobError::Fatal { message, .. } if message.contains("shop.example/gone")),
            "{error:?}"
        );
    }

    #[tokio::test]
    async fn at_the_last_attempt_a_page_that_cannot_be_had_has_no_price_and_is_degraded() {
        let last = Context { attempt: Scrape::MAX_ATTEMPTS, ..context::<Scrape>(web()) };
        let done = scrape(&["/down"]).run(&last).await.unwrap();
        assert_eq!(done.provider, Some("none"));
        let done = scrape(&["/fine", "/down", "/busy"]).run(&last).await.unwrap();
        assert_eq!(done.provider, Some("web"), "some pages are real");
        let reason = "scraping: https://shop.example/down";
        assert_eq!(done.degraded_reason, Some(format!("{reason}; scraping: https://shop.example/busy")));
        let lost = &done.result.pages[1];
        assert_eq!((&lost.price, &lost.title, lost.error.as_deref()), (&None, &None, Some(reason)));
        assert_eq!(done.result.pages[0].error, None);
    }

    #[tokio::test]
    async fn a_job_that_waits_for_a_turn_goes_on_with_what_it_has_read() {
        let first = context::<Scrape>(web());
        let job = || scrape(&["/fine", "/gone", "/queue"]);
        let error = job().run(&first).await.unwrap_err();
        let JobError::Interrupted { code: "rate_limited", after, so_far, .. } = error else { panic!("{error:?}") };
        assert!(after <= Duration::from_secs(30) && after > Duration::from_secs(20), "{after:?}");
        let read = &so_far["read"];
        assert!(read[0]["page"]["error"].is_null() && read[1]["page"]["error"].is_string() && read[2].is_null());
        // What was read is not asked for again: there it would fail.
        let next = Context { so_far: Some(free(so_far, 2)), ..context::<Scrape>(web()) };
        let done = scrape(&["/down", "/down", "/queue"]).run(&next).await.unwrap();
        let errors: Vec<bool> = done.result.pages.iter().map(|page| page.error.is_some()).collect();
        assert_eq!((errors, done.provider), (vec![false, true, false], Some("web")));
    }

    #[tokio::test]
    async fn a_page_that_failed_is_asked_for_once_an_attempt_although_others_wait_for_turns() {
        let lost = async |paths: &[&str], so_far| {
            let context = Context { so_far, ..context::<Scrape>(web()) };
            scrape(paths).run(&context).await.unwrap_err()
        };
        for (path, code) in
            [("/busy", "rate_limited"), ("/down", "provider_unavailable"), ("/gone", "provider_rejected")]
        {
            let JobError::Interrupted { mut so_far, .. } = lost(&[path, "/queue"], None).await else {
                panic!("{path}")
            };
            so_far["moved"][1]["url"] = json!("https://shop.example/gone");
            // It is fine by now, but the next attempt is to find that out.
            let error = lost(&["/fine", "/queue"], Some(so_far)).await;
            let (found, message) = match &error {
                JobError::Retry { code, message, .. } | JobError::Fatal { code, message } => (*code, message),
                other => panic!("{other:?}"),
            };
            assert!(found == code && message.contains(path) && message.contains("/gone"), "{error:?}");
        }
    }

    /// The turn of this page has come.
    fn free(mut so_far: serde_json::Value, page: usize) -> serde_json::Value {
        assert_eq!(so_far["moved"][page]["url"], "https://shop.example/queue");
        so_far["moved"][page]["url"] = json!("https://shop.example/fine");
        so_far
    }

    #[tokio::test]
    async fn what_is_healed_has_every_page_that_can_be_had() {
        let healing = Context { healing: true, allow_fallback: false, ..context::<Scrape>(web()) };
        let error = scrape(&["/down", "/busy"]).run(&healing).await.unwrap_err();
        assert!(matches!(&error, JobError::Retry { message, .. } if message.contains("/down")), "{error:?}");
        // What could be had is kept until the rest can.
        for (lost, wait_s) in [("/down", 0), ("/busy", 9)] {
            let error = scrape(&["/fine", lost]).run(&healing).await.unwrap_err();
            let JobError::Interrupted { after, so_far, message, .. } = error else { panic!("{error:?}") };
            assert!(message.contains(lost) && after.as_secs() == wait_s, "{message}");
            let next = Context { so_far: Some(so_far), ..healing.clone() };
            let done = scrape(&["/down", "/gone"]).run(&next).await;
            let JobError::Interrupted { so_far, .. } = done.unwrap_err() else { panic!("it is where it was") };
            assert!(so_far["read"][0].is_object() && so_far["read"][1].is_null(), "{so_far}");
        }
        let done = scrape(&["/fine", "/gone"]).run(&healing).await.unwrap();
        assert_eq!((done.provider, done.degraded_reason), (Some("web"), None));
    }

    #[tokio::test]
    async fn what_was_fetched_in_vain_is_no_progress_of_a_healing() {
        let mut healing = Context { healing: true, allow_fallback: false, ..context::<Scrape>(web()) };
        let mut took = Vec::new();
        for is_further in [true, false, false] {
            let error = scrape(&["/fine", "/down"]).run(&healing).await.unwrap_err();
            let JobError::Interrupted { so_far, .. } = error else { panic!("{error:?}") };
            assert_eq!(Scrape::is_further(healing.so_far.as_ref(), &so_far), is_further, "{so_far}");
            took.push(so_far["moved"][1]["credits"].clone());
            healing.so_far = Some(so_far);
        }
        assert_eq!(took, [1, 2, 3], "what it took is known all the same");
        let error = scrape(&["/fine", "/fine", "/down"]).run(&Context { so_far: None, ..healing.clone() }).await;
        let JobError::Interrupted { so_far, .. } = error.unwrap_err() else { panic!("one cannot be had") };
        assert!(Scrape::is_further(healing.so_far.as_ref(), &so_far));
    }

    #[test]
    fn urls_are_checked_one_by_one() {
        let urls = ["https://shop.example/", "ftp://shop.example/", "shop.example", "https://a:b@shop.example/"];
        assert_eq!(
            complaints::<Scrape>(json!({ "product_id": "L-1", "urls": urls })),
            ["/urls/1", "/urls/2", "/urls/3"]
        );
        let long = format!("https://shop.example/{}", "x".repeat(LONGEST_URL));
        assert_eq!(complaints::<Scrape>(json!({ "product_id": "L-1", "urls": [long] })), ["/urls/0"]);
    }

    #[test]
    fn a_selector_is_checked() {
        let scrape =
            |selector: &str| json!({ "product_id": "L-1", "urls": ["https://shop.example/"], "selector": selector });
        assert_eq!(complaints::<Scrape>(scrape("#price > .now, [itemprop=price]")), Vec::<String>::new());
        for bad in ["..", "div[", "p:nth-child(", "a:hover::"] {
            assert_eq!(complaints::<Scrape>(scrape(bad)), ["/selector"], "{bad}");
        }
        assert_eq!(refused::<Scrape>(&scrape("")), ["/selector"]);
    }

    #[test]
    fn the_api_names_every_bad_field() {
        let urls = vec!["https://shop.example/"; 21];
        assert_eq!(
            refused::<Scrape>(&json!({ "product_id": "", "urls": urls, "when": 1 })),
            ["/product_id", "/urls", "/when"]
        );
        assert_eq!(refused::<Scrape>(&json!({ "product_id": "L-1", "urls": [] })), ["/urls"]);
        assert_eq!(refused::<Scrape>(&json!({ "product_id": "L-1", "urls": ["shop"] })), ["/urls/0"]);
    }
}
