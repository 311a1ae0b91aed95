//! Fetches pages over plain HTTP, one at a time from each host.

use std::{
    collections::HashMap,
    error::Error as _,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use chrono::{DateTime, Utc};
use futures::future::{BoxFuture, FutureExt};
use prices::{Details, Extract, Hints};
use reqwest::{
    Client, Response,
    header::{ACCEPT, CONTENT_ENCODING, CONTENT_TYPE, HeaderName, LOCATION, REFRESH},
    redirect::Policy,
};
use services::{Config, Name};
use url::Url;

use super::{
    Page, PagePrice, Scraper, charset,
    guard::{Guard, Refused},
};
use crate::{Provider, ProviderError, Turn, http, wait};

const SERVICE: &str = "scraping";
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
const TIMEOUT: Duration = Duration::from_secs(20);
const REDIRECTS: usize = 5;
/// So many times a page may send to another one by its own words.
const REFRESHES: usize = 5;
/// A page is not read further than this, counted after unpacking.
const BODY_CAP: usize = 2 * 1024 * 1024;
/// Says who we are and where a shop's owner can complain.
const USER_AGENT: &str =
    concat!("ecomsimply-pricebot/", env!("CARGO_PKG_VERSION"), " (+https://ecomsimply.example/pricebot)");

/// This provider, if `PROXY_PROVIDER` says so.
pub(super) fn configured(config: &Config) -> Result<Option<Arc<dyn Scraper>>, ProviderError> {
    let value = |variable| config.value(Name::Scraping, variable);
    if value("PROXY_PROVIDER") != Some("direct") {
        return Ok(None);
    }
    let hosts = value("SCRAPE_ALLOW_HOSTS").unwrap_or_default().split(',');
    let hosts: Vec<String> = hosts.map(|host| host.trim().to_lowercase()).filter(|host| !host.is_empty()).collect();
    Ok(Some(Arc::new(Direct::new(&hosts)?)))
}

#[derive(Debug)]
pub(crate) struct Direct {
    client: Client,
    guard: Guard,
    /// Whose turn it is at each host that is being fetched from.
    turns: Mutex<HashMap<String, Arc<tokio::sync::Mutex<()>>>>,
}

impl Direct {
    /// The guard lets these hosts pass, whatever their addresses.
    pub(crate) fn new(allow_hosts: &[String]) -> Result<Self, ProviderError> {
        let guard = Guard::new(allow_hosts);
        let client = http::client()
            .user_agent(USER_AGENT)
            .connect_timeout(CONNECT_TIMEOUT)
            .timeout(TIMEOUT)
            .redirect(redirects(guard.clone()))
            .referer(false)
            // A proxy of the environment would resolve names itself, past the guard.
            .no_proxy()
            .dns_resolver(Arc::new(guard.clone()))
            .build()
            .map_err(|e| ProviderError::Misconfigured { service: SERVICE, message: format!("HTTP client: {e}") })?;
        Ok(Self { client, guard, turns: Mutex::default() })
    }

    async fn fetch(&self, Page { url, selector }: &Page) -> Result<PagePrice, ProviderError> {
        let mut target = url.clone();
        for _ in 0..=REFRESHES {
            let (fetched_at, Extract { title, price, details, moved_to }) =
                self.page(&target, selector.clone()).await?;
            let moved_to = moved_to.filter(|_| price.is_none());
            match moved_to {
                Some(next) if next.host() == target.host() => target = next,
                Some(next) => {
                    self.guard.check(&next).map_err(|refused| rejected(url, &refused.to_string()))?;
                    return Ok(PagePrice { title, price, details, fetched_at, moved_to: Some(next) });
                }
                None => return Ok(PagePrice { title, price, details, fetched_at, moved_to: None }),
            }
        }
        Err(rejected(url, &format!("pages send on more than {REFRESHES} times")))
    }

    async fn page(&self, url: &Url, selector: Option<String>) -> Result<(DateTime<Utc>, Extract), ProviderError> {
        self.guard.check(url).map_err(|refused| rejected(url, &refused.to_string()))?;
        let request = self.client.get(url.clone()).header(ACCEPT, "text/html,application/xhtml+xml");
        let response = request.send().await.map_err(|e| failure(url, &e))?;
        let fetched_at = Utc::now();
        let final_url = final_url(url, &response);
        if let Some(next) = redirected(&response, &final_url) {
            return Ok((
                fetched_at,
                Extract { title: None, price: None, details: Details::default(), moved_to: Some(next) },
            ));
        }
        check_status(url, &response)?;
        check_media_type(url, &response)?;
        check_packing(url, &response)?;
        let content_type = header(&response, &CONTENT_TYPE);
        let refresh = header(&response, &REFRESH).and_then(|value| prices::refresh(&value, &final_url));
        let body = read_body(url, response).await?;
        // Parsing is work for the processor, and the parsed page may not cross an await.
        let read = move || {
            let html = charset::decode(&body, content_type.as_deref(), final_url.host_str())?;
            let read = prices::read(
                &html,
                &final_url,
                &Hints { selector: selector.as_deref(), ..Hints::on(fetched_at.date_naive()) },
            )?;
            Ok(Extract { moved_to: refresh.or(read.moved_to), ..read })
        };
        let read = tokio::task::spawn_blocking(read).await.unwrap_or_else(|e| {
            tracing::error!(url = %url, "reading the page panicked: {e}");
            Err("cannot be parsed")
        });
        Ok((fetched_at, read.map_err(|why: &str| rejected(url, &format!("page {why}")))?))
    }

    /// Whoever has it fetches from the host of `url`.
    fn turn_at(&self, url: &Url) -> Arc<tokio::sync::Mutex<()>> {
        let mut turns = self.turns.lock().unwrap_or_else(PoisonError::into_inner);
        turns.retain(|_, turn| Arc::strong_count(turn) > 1);
        Arc::clone(turns.entry(url.host_str().unwrap_or_default().to_owned()).or_default())
    }
}

impl Provider for Direct {
    fn name(&self) -> &'static str {
        "direct"
    }
}

impl Scraper for Direct {
    fn fetch_price<'a>(&'a self, page: &'a Page) -> BoxFuture<'a, Result<PagePrice, ProviderError>> {
        self.fetch(page).boxed()
    }

    fn turn<'a>(&'a self, url: &'a Url) -> BoxFuture<'a, Turn> {
        let turn = self.turn_at(url);
        async move { turn.lock_owned().await.into() }.boxed()
    }
}

fn redirects(guard: Guard) -> Policy {
    Policy::custom(move |attempt| {
        // The list of previous URLs begins with the first request.
        if attempt.previous().len() > REDIRECTS {
            return attempt.error(Refused(format!("more than {REDIRECTS} redirects")));
        }
        if let Err(refused) = guard.check(attempt.url()) {
            return attempt.error(refused);
        }
        let stays = attempt.previous().last().is_some_and(|from| from.host() == attempt.url().host());
        if stays { attempt.follow() } else { attempt.stop() }
    })
}

/// Where a redirect leads that was not followed: to another host.
fn redirected(response: &Response, from: &Url) -> Option<Url> {
    let location = response.status().is_redirection().then(|| header(response, &LOCATION))??;
    let mut next = from.join(&location).ok()?;
    if next.fragment().is_none() {
        next.set_fragment(from.fragment());
    }
    Some(next).filter(|next| next.host() != from.host())
}

fn check_status(url: &Url, response: &Response) -> Result<(), ProviderError> {
    let status = response.status();
    if status.is_success() {
        return Ok(());
    }
    let message = format!("{url} answered {status}");
    let retry_after = wait::retry_after(response.headers(), Utc::now());
    Err(match status.as_u16() {
        429 => ProviderError::RateLimited { service: SERVICE, message, retry_after },
        408 | 425 | 500 | 502..=504 | 520..=524 => ProviderError::Transient { service: SERVICE, message, retry_after },
        _ => ProviderError::Rejected { service: SERVICE, message },
    })
}

fn header(response: &Response, name: &HeaderName) -> Option<String> {
    response.headers().get(name).map(|value| String::from_utf8_lossy(value.as_bytes()).into_owned())
}

/// Where the page came from in the end. A redirect that names no part of a page keeps the part that was asked for.
fn final_url(asked: &Url, response: &Response) -> Url {
    let mut url = response.url().clone();
    if url.fragment().is_none() {
        url.set_fragment(asked.fragment());
    }
    url
}

/// Refuses bodies that are packed in a way that was not asked for. (What was unpacked has lost its header.)
fn check_packing(url: &Url, response: &Response) -> Result<(), ProviderError> {
    let packing = header(response, &CONTENT_ENCODING).unwrap_or_default().to_ascii_lowercase();
    // Some servers put their encoding of letters there.
    let unpacked =
        |packing: &str| matches!(packing, "" | "identity" | "none" | "utf-8" | "utf8" | "8bit" | "binary" | "text");
    if packing.split(',').map(str::trim).all(unpacked) {
        return Ok(());
    }
    Err(rejected(url, &format!("page is packed as {packing:.40}, which cannot be read")))
}

fn check_media_type(url: &Url, response: &Response) -> Result<(), ProviderError> {
    let Some(media_type) = response.headers().get(CONTENT_TYPE).and_then(|value| value.to_str().ok()) else {
        return Ok(());
    };
    let essence = media_type.split([';', ',', ' ']).next().unwrap_or_default().trim().to_ascii_lowercase();
    match essence.as_str() {
        "" | "text/html" | "application/xhtml+xml" => Ok(()),
        _ => Err(rejected(url, &format!("is {essence}, not HTML"))),
    }
}

async fn read_body(url: &Url, mut response: Response) -> Result<Vec<u8>, ProviderError> {
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await.map_err(|e| failure(url, &e))? {
        if body.len() + chunk.len() > BODY_CAP {
            return Err(rejected(url, &format!("page is larger than {BODY_CAP} bytes")));
        }
        body.extend_from_slice(&chunk);
    }
    Ok(body)
}

/// A request that got no answer, or only half of one.
fn failure(url: &Url, error: &reqwest::Error) -> ProviderError {
    if let Some(refused) = Refused::within(error) {
        return rejected(url, &refused.to_string());
    }
    if error.is_builder() {
        return rejected(url, &error.to_string());
    }
    if is_malformed(error) {
        return rejected(url, "page cannot be unpacked");
    }
    let what = match error {
        error if error.is_timeout() => "timed out",
        error if error.is_connect() => "cannot be reached",
        _ => "broke off",
    };
    let cause = std::iter::successors(error.source(), |&error| error.source()).last();
    let cause = cause.map(|cause| format!(": {cause}")).unwrap_or_default();
    ProviderError::Transient { service: SERVICE, message: format!("{url} {what}{cause}"), retry_after: None }
}

/// Whether a body is not packed as its header says. One that only broke off may come whole the next time.
fn is_malformed(error: &reqwest::Error) -> bool {
    let causes = std::iter::successors(error.source(), |&error| error.source());
    let mut kinds = causes.filter_map(|cause| cause.downcast_ref::<std::io::Error>()).map(std::io::Error::kind);
    error.is_decode()
        && kinds.any(|kind| {
            matches!(
                kind,
                std::io::ErrorKind::InvalidData | std::io::ErrorKind::InvalidInput | std::io::ErrorKind::Other
            )
        })
}

fn rejected(url: &Url, why: &str) -> ProviderError {
    // A password in the URL must not reach the log.
    let mut shown = url.clone();
    let _ = shown.set_password(None);
    ProviderError::Rejected { service: SERVICE, message: format!("{shown}: {why}") }
}

#[cfg(test)]
mod tests {
    use wiremock::{
        Mock, MockServer, ResponseTemplate,
        matchers::{header, path},
    };

    use super::*;

    fn direct(allow_hosts: &[&str]) -> Direct {
        Direct::new(&allow_hosts.iter().map(|host| (*host).to_owned()).collect::<Vec<_>>()).unwrap()
    }

    fn page(html: impl Into<Vec<u8>>) -> ResponseTemplate {
        ResponseTemplate::new(200).set_body_raw(html, "text/html; charset=utf-8")
    }

    async fn serve(answer: ResponseTemplate) -> (MockServer, Url) {
        let server = MockServer::start().await;
        Mock::given(path("/page")).respond_with(answer).mount(&server).await;
        let url = Url::parse(&format!("{}/page", server.uri())).unwrap();
        (server, url)
    }

    async fn fetch(answer: ResponseTemplate) -> Result<PagePrice, ProviderError> {
        let (_server, url) = serve(answer).await;
        direct(&["127.0.0.1"]).fetch_price(&Page::from(url.clone())).await
    }

    /// A page, or the one of another host to which it sends on.
    async fn follow(direct: &Direct, url: &Url) -> Result<PagePrice, ProviderError> {
        let answer = direct.fetch_price(&Page::from(url.clone())).await?;
        match &answer.moved_to {
            Some(next) => direct.fetch_price(&Page::from(next.clone())).await,
            None => Ok(answer),
        }
    }

    const CUP: &str = r#"<title>Cup</title><script type="application/ld+json">
        {"@type":"Product","offers":{"price":"12,90","priceCurrency":"EUR"}}</script>"#;

    #[tokio::test]
    async fn a_page_is_fetched_with_an_honest_name() {
        let server = MockServer::start().await;
        Mock::given(header("user-agent", USER_AGENT)).respond_with(page(CUP)).mount(&server).await;
        let url = Url::parse(&server.uri()).unwrap();
        let answer = direct(&["127.0.0.1"]).fetch_price(&Page::from(url.clone())).await.unwrap();
        assert_eq!(answer.title.as_deref(), Some("Cup"));
        assert_eq!(answer.price.unwrap().amount.to_string(), "12.90");
    }

    #[tokio::test]
    async fn a_compressed_page_in_latin_1_is_read() {
        // `<title>Thé</title><div itemscope itemtype="http://schema.org/Product"><b itemprop=price>1 299,00 €</b></div>` in
        // Windows-1252 with a no-break space, packed by gzip.
        let packed = include_bytes!("testdata/windows-1252.html.gz");
        let answer = fetch(page(packed.as_slice()).insert_header("content-encoding", "gzip")).await.unwrap();
        assert_eq!(answer.title.as_deref(), Some("Thé"));
        let price = answer.price.unwrap();
        assert_eq!((price.amount.to_string().as_str(), price.currency.as_deref()), ("1299.00", Some("EUR")));
    }

    #[tokio::test]
    async fn statuses_are_sorted_by_what_follows() {
        for status in [408, 425, 500, 502, 503, 504, 520, 524] {
            let error = fetch(ResponseTemplate::new(status)).await.unwrap_err();
            assert!(matches!(error, ProviderError::Transient { .. }), "{status}: {error:?}");
        }
        for status in [401, 403, 404, 410, 451, 501] {
            let error = fetch(ResponseTemplate::new(status)).await.unwrap_err();
            assert!(matches!(error, ProviderError::Rejected { .. }), "{status}: {error:?}");
        }
        let error = fetch(ResponseTemplate::new(429).insert_header("retry-after", "7")).await.unwrap_err();
        let ProviderError::RateLimited { retry_after, .. } = error else { panic!("{error:?}") };
        assert_eq!(retry_after, Some(Duration::from_secs(7)));
    }

    #[tokio::test]
    async fn a_redirect_to_a_private_address_or_another_scheme_is_refused() {
        for target in ["http://10.0.0.1/", "http://[::1]:1/", "http://localhost:1/", "http://169.254.169.254/latest/"] {
            let (_server, url) = serve(ResponseTemplate::new(302).insert_header("location", target)).await;
            let error = follow(&direct(&["127.0.0.1"]), &url).await.unwrap_err();
            assert!(
                matches!(&error, ProviderError::Rejected { message, .. } if message.contains("refused")),
                "{error:?}"
            );
        }
    }

    #[tokio::test]
    async fn five_redirects_are_followed_and_six_are_not() {
        let server = MockServer::start().await;
        for hop in 1..=6 {
            let next = ResponseTemplate::new(302).insert_header("location", format!("/{}", hop - 1));
            Mock::given(path(format!("/{hop}"))).respond_with(next).mount(&server).await;
        }
        Mock::given(path("/0")).respond_with(page(CUP)).mount(&server).await;
        let direct = direct(&["127.0.0.1"]);
        let url = |hops: u32| Url::parse(&format!("{}/{hops}", server.uri())).unwrap();
        assert!(direct.fetch_price(&Page::from(url(5))).await.is_ok());
        let error = direct.fetch_price(&Page::from(url(6))).await.unwrap_err();
        assert!(
            matches!(&error, ProviderError::Rejected { message, .. } if message.contains("redirects")),
            "{error:?}"
        );
    }

    #[tokio::test]
    async fn a_private_address_is_refused_by_number_and_by_name() {
        let (server, url) = serve(page(CUP)).await;
        let by_name = Url::parse(&format!("http://localhost:{}/page", server.address().port())).unwrap();
        for url in [url, by_name] {
            let error = direct(&[]).fetch_price(&Page::from(url.clone())).await.unwrap_err();
            assert!(matches!(error, ProviderError::Rejected { .. }), "{error:?}");
        }
        assert!(server.received_requests().await.unwrap().is_empty());
    }

    #[tokio::test]
    async fn a_page_over_the_cap_is_refused() {
        let error = fetch(page(vec![b'x'; BODY_CAP + 1])).await.unwrap_err();
        assert!(matches!(&error, ProviderError::Rejected { message, .. } if message.contains("larger")), "{error:?}");
        assert!(fetch(page(vec![b'x'; BODY_CAP])).await.is_ok());
    }

    #[tokio::test]
    async fn what_is_not_html_is_refused() {
        let error = fetch(ResponseTemplate::new(200).set_body_raw("{}", "application/json")).await.unwrap_err();
        assert!(matches!(&error, ProviderError::Rejected { message, .. } if message.contains("not HTML")), "{error:?}");
    }

    /// Pages by their paths.
    async fn serve_all(pages: &[(&str, String)]) -> (MockServer, Direct) {
        let server = MockServer::start().await;
        for (at, html) in pages {
            Mock::given(path(*at)).respond_with(page(html.as_str())).mount(&server).await;
        }
        (server, direct(&["127.0.0.1"]))
    }

    fn sends_to(target: &str) -> String {
        format!("<title>Moved</title><meta http-equiv=refresh content=\"0;url={target}\">")
    }

    #[tokio::test]
    async fn a_page_that_sends_its_readers_on_is_a_redirect() {
        let pages = [("/a", sends_to("b")), ("/b", sends_to("/cup#x")), ("/cup", CUP.to_owned())];
        let (server, direct) = serve_all(&pages).await;
        let url = Url::parse(&format!("{}/a", server.uri())).unwrap();
        assert_eq!(
            direct.fetch_price(&Page::from(url.clone())).await.unwrap().price.unwrap().amount.to_string(),
            "12.90"
        );
        let by_header = page("<title>Moved</title>").insert_header("refresh", "0; url=/cup");
        Mock::given(path("/header")).respond_with(by_header).mount(&server).await;
        let url = Url::parse(&format!("{}/header", server.uri())).unwrap();
        assert!(direct.fetch_price(&Page::from(url.clone())).await.unwrap().price.is_some());
    }

    #[tokio::test]
    async fn another_host_is_not_asked_without_its_turn() {
        let (server, direct) = serve_all(&[("/cup", CUP.to_owned())]).await;
        let elsewhere = format!("http://localhost:{}/cup", server.address().port());
        let redirect = ResponseTemplate::new(302).insert_header("location", elsewhere.as_str());
        Mock::given(path("/redirect")).respond_with(redirect).mount(&server).await;
        Mock::given(path("/refresh")).respond_with(page(sends_to(&elsewhere))).mount(&server).await;
        for at in ["redirect", "refresh"] {
            let url = Url::parse(&format!("{}/{at}#x", server.uri())).unwrap();
            let answer = direct.fetch_price(&Page::from(url.clone())).await.unwrap();
            assert_eq!(answer.price, None);
            assert_eq!(answer.moved_to.unwrap().host_str(), Some("localhost"), "{at}");
        }
        let asked = server.received_requests().await.unwrap();
        assert!(asked.iter().all(|request| request.url.path() != "/cup"));
    }

    #[tokio::test]
    async fn a_page_that_sends_its_readers_on_is_guarded_and_ends() {
        let pages = [
            ("/private", sends_to("http://169.254.169.254/latest/")),
            ("/local", sends_to("http://localhost:1/")),
            ("/file", sends_to("file:///etc/passwd")),
            ("/ann", sends_to("http://ann:secret@shop.example/")),
            ("/ping", sends_to("/pong")),
            ("/pong", sends_to("/ping")),
        ];
        let (server, direct) = serve_all(&pages).await;
        for (at, _) in &pages[..5] {
            let url = Url::parse(&format!("{}{at}", server.uri())).unwrap();
            let error = follow(&direct, &url).await.unwrap_err();
            assert!(
                matches!(&error, ProviderError::Rejected { message, .. } if !message.contains("secret")),
                "{error:?}"
            );
        }
        // One that sends to itself is read where it is.
        let itself = format!("{}{CUP}", sends_to("/itself"));
        Mock::given(path("/itself")).respond_with(page(itself)).mount(&server).await;
        let url = Url::parse(&format!("{}/itself", server.uri())).unwrap();
        assert!(direct.fetch_price(&Page::from(url.clone())).await.unwrap().price.is_some());
    }

    #[tokio::test]
    async fn a_body_that_cannot_be_read_is_an_error() {
        let gzip = include_bytes!("testdata/windows-1252.html.gz");
        for (answer, word) in [
            (page(""), "empty"),
            (page(" \n "), "empty"),
            (page(gzip.as_slice()), "packed"),
            (page(CUP).insert_header("content-encoding", "gzip"), "unpacked"),
            (page(CUP).insert_header("content-encoding", "br"), "br"),
            (page("plain").insert_header("content-encoding", "zstd"), "zstd"),
            (page("plain").insert_header("content-encoding", "x-unknown"), "x-unknown"),
            (page(b"<p>\0\0\x01%PDF".as_slice()), "text"),
            (page([b"<p>".as_slice(), &[1, 2, 3, 0xff].repeat(100)].concat()), "text"),
            (page("<div>".repeat(100_000)), "deep"),
        ] {
            let error = fetch(answer).await.unwrap_err();
            let rejected = matches!(&error, ProviderError::Rejected { message, .. } if message.contains(word));
            assert!(rejected, "{word}: {error:?}");
        }
        for packing in ["identity", "UTF-8", "none"] {
            let answer = fetch(page(CUP).insert_header("content-encoding", packing)).await;
            assert!(answer.unwrap().price.is_some(), "{packing}");
        }
        // One that broke off may come whole the next time.
        let error = fetch(page(&gzip[..gzip.len() / 2]).insert_header("content-encoding", "gzip")).await.unwrap_err();
        assert!(matches!(&error, ProviderError::Transient { .. }), "{error:?}");
    }

    #[tokio::test]
    async fn the_part_of_the_page_that_was_asked_for_survives_a_redirect() {
        let variants = r#"<script type="application/ld+json">{"@type":"ProductGroup","hasVariant":[
            {"@type":"Product","url":"/new#a","offers":{"price":"1"}},
            {"@type":"Product","url":"/new#b","offers":{"price":"2"}}]}</script>"#;
        let (server, direct) = serve_all(&[("/new", variants.to_owned())]).await;
        let moved = ResponseTemplate::new(301).insert_header("location", "/new");
        Mock::given(path("/old")).respond_with(moved).mount(&server).await;
        let url = Url::parse(&format!("{}/old#b", server.uri())).unwrap();
        assert_eq!(direct.fetch_price(&Page::from(url.clone())).await.unwrap().price.unwrap().amount.to_string(), "2");
    }

    #[tokio::test]
    async fn media_types_are_read_as_servers_write_them() {
        for value in [
            "text/html",
            "TEXT/HTML;charset=utf-8",
            "text/html charset=utf-8",
            "text/html, text/html; charset=utf-8",
            "application/xhtml+xml",
            "",
        ] {
            let answer =
                fetch(ResponseTemplate::new(200).set_body_bytes(CUP).insert_header("content-type", value)).await;
            assert!(answer.as_ref().is_ok_and(|page| page.price.is_some()), "{value}: {answer:?}");
        }
    }

    #[tokio::test]
    async fn a_host_gives_out_one_turn_at_a_time() {
        let direct = direct(&[]);
        let [one, next, other] =
            ["https://a.example/1", "https://a.example/2", "https://b.example/"].map(|url| Url::parse(url).unwrap());
        let turn = direct.turn(&one).await;
        assert!(direct.turn(&next).now_or_never().is_none());
        assert!(direct.turn(&other).now_or_never().is_some());
        drop(turn);
        assert!(direct.turn(&next).now_or_never().is_some());
    }

    #[tokio::test]
    async fn a_host_that_cannot_be_reached_may_be_later() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let url = Url::parse(&format!("http://{}/", listener.local_addr().unwrap())).unwrap();
        drop(listener);
        let error = direct(&["127.0.0.1"]).fetch_price(&Page::from(url.clone())).await.unwrap_err();
        assert!(matches!(&error, ProviderError::Transient { message, .. } if message.contains("reached")), "{error:?}");
    }
}
