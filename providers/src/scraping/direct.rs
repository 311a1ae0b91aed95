//! Fetches pages over plain HTTP, one at a time from each host.

use std::{error::Error as _, sync::Arc, time::Duration};

use chrono::{DateTime, Utc};
use futures::future::{BoxFuture, FutureExt};
use reqwest::{
    Client, Response, StatusCode,
    header::{ACCEPT, LOCATION},
    redirect::Policy,
};
use url::Url;

use super::{
    Page, PagePrice,
    access::{Access, REDIRECTS, SERVICE, built, forbidden, rejected},
    fetched::{self, Fetched, header},
    known::{Known, Validators},
    way::{Got, Way},
};
use crate::{Provider, ProviderError, guard::Refused};

pub(super) const NAME: &str = "direct";
pub(super) const TIMEOUT: Duration = Duration::from_secs(20);

#[derive(Debug)]
pub(crate) struct Direct {
    client: Client,
    access: Arc<Access>,
}

impl Direct {
    pub(crate) fn new(access: &Arc<Access>) -> Result<Self, ProviderError> {
        let client = built(access.client().timeout(TIMEOUT).redirect(redirects(access.clone())))?;
        Ok(Self { client, access: access.clone() })
    }

    async fn fetch(&self, url: &Url, known: Option<&Known>) -> Result<Got, ProviderError> {
        let known = known.filter(|known| known.holds_on(Utc::now().date_naive()));
        let (response, at) = self.ask(url, known).await?;
        let Some(known) = known.filter(|_| response.status() == StatusCode::NOT_MODIFIED) else {
            return got(url, response, at).await;
        };
        let is_meant = known.validators.are_meant(&final_url(url, &response), response.headers());
        let unknown = || PagePrice { unknown: true, ..PagePrice::nothing(at) };
        // Otherwise its redirects lead to another page by now, or it answers for one that is not known.
        Ok(Got::Known(Box::new(if is_meant { PagePrice::again(known, at) } else { unknown() })))
    }

    async fn ask(&self, url: &Url, known: Option<&Known>) -> Result<(Response, DateTime<Utc>), ProviderError> {
        let mut request = self.client.get(url.clone()).header(ACCEPT, "text/html,application/xhtml+xml");
        if let Some(known) = known {
            request = known.validators.ask(request);
        }
        let response = request.send().await.map_err(|error| failure(url, &error))?;
        Ok((response, Utc::now()))
    }
}

/// What came of a request.
async fn got(url: &Url, response: Response, at: DateTime<Utc>) -> Result<Got, ProviderError> {
    let final_url = final_url(url, &response);
    if let Some(next) = redirected(&response, &final_url) {
        return Ok(Got::Elsewhere(next, at));
    }
    let (status, headers) = (response.status(), response.headers().clone());
    let body = fetched::read_body(url, response, |error| failure(url, error)).await?;
    let (asked, validators) = (url.clone(), Validators::of(&final_url, &headers));
    Ok(Got::Page(Box::new(Fetched { asked, url: final_url, status, headers, body, at, validators })))
}

impl Way for Direct {
    fn access(&self) -> &Access {
        &self.access
    }

    fn get<'a>(&'a self, url: &'a Url, page: &'a Page) -> BoxFuture<'a, Result<Got, ProviderError>> {
        self.fetch(url, page.known.as_ref()).boxed()
    }

    fn asks_the_shop(&self) -> bool {
        true
    }
}

impl Provider for Direct {
    fn name(&self) -> &'static str {
        NAME
    }
}

fn redirects(access: Arc<Access>) -> Policy {
    Policy::custom(move |attempt| {
        // The list of previous URLs begins with the first request.
        if attempt.previous().len() > REDIRECTS {
            return attempt.error(Refused(format!("more than {REDIRECTS} redirects")));
        }
        if let Err(refused) = access.check_known(attempt.url()) {
            return attempt.error(refused);
        }
        // Another origin has rules of its own.
        let stays = attempt.previous().last().is_some_and(|from| from.origin() == attempt.url().origin());
        if stays { attempt.follow() } else { attempt.stop() }
    })
}

/// Where a redirect leads that was not followed: to another origin.
fn redirected(response: &Response, from: &Url) -> Option<Url> {
    let location = response.status().is_redirection().then(|| header(response.headers(), &LOCATION))??;
    let mut next = from.join(&location).ok()?;
    if next.fragment().is_none() {
        next.set_fragment(from.fragment());
    }
    Some(next).filter(|next| next.origin() != from.origin())
}

/// Where the page came from in the end. A redirect that names no part of a page keeps the part that was asked for.
fn final_url(asked: &Url, response: &Response) -> Url {
    let mut url = response.url().clone();
    if url.fragment().is_none() {
        url.set_fragment(asked.fragment());
    }
    url
}

/// A request that got no answer, or only half of one.
fn failure(url: &Url, error: &reqwest::Error) -> ProviderError {
    if let Some(refused) = Refused::within(error) {
        // Whoever sends us on has answered.
        let refusal = if error.is_redirect() { rejected } else { forbidden };
        return refusal(url, &refused.to_string());
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

#[cfg(test)]
mod tests {
    use chrono::{Days, NaiveDate};
    use wiremock::{
        Mock, MockServer, ResponseTemplate,
        matchers::{header_exists, path},
    };

    use super::*;
    use crate::scraping::fetched::BODY_CAP;
    use crate::scraping::{Page, PagePrice, Scraper};

    fn direct(allow_hosts: &[&str]) -> Direct {
        let hosts: Vec<String> = allow_hosts.iter().map(|host| (*host).to_owned()).collect();
        Direct::new(&Arc::new(Access::new(&hosts, None).unwrap())).unwrap()
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
        for status in [401, 451, 501] {
            let error = fetch(ResponseTemplate::new(status)).await.unwrap_err();
            assert!(matches!(error, ProviderError::Rejected { .. }), "{status}: {error:?}");
        }
        for status in [404, 410] {
            let answer = fetch(ResponseTemplate::new(status)).await.unwrap();
            assert!(answer.price.is_none() && answer.gone.unwrap().contains(&status.to_string()), "{status}");
        }
        let error = fetch(ResponseTemplate::new(429).insert_header("retry-after", "7")).await.unwrap_err();
        let ProviderError::RateLimited { retry_after, .. } = error else { panic!("{error:?}") };
        assert_eq!(retry_after, Some(Duration::from_secs(7)));
    }

    #[tokio::test]
    async fn a_page_that_another_way_may_have_says_so() {
        let challenge = "<title>Just a moment...</title>";
        for (answer, word) in [
            (ResponseTemplate::new(403), "403"),
            (ResponseTemplate::new(403).set_body_raw(challenge, "text/html"), "Cloudflare"),
            (ResponseTemplate::new(503).set_body_raw(challenge, "text/html"), "Cloudflare"),
            (page(challenge), "Cloudflare"),
            (page(""), "empty"),
            (page(" \n "), "empty"),
        ] {
            let error = fetch(answer).await.unwrap_err();
            assert!(
                matches!(&error, ProviderError::Unable { message, .. } if message.contains(word)),
                "{word}: {error:?}"
            );
        }
        // Down, or asking for a wait, in the same words.
        let error_page = "<div id=cf-error-details>Cloudflare</div>";
        for (answer, code) in [
            (ResponseTemplate::new(429).insert_header("retry-after", "600"), "rate_limited"),
            (ResponseTemplate::new(503).insert_header("retry-after", "600"), "provider_unavailable"),
            (ResponseTemplate::new(522), "provider_unavailable"),
        ] {
            let error = fetch(answer.set_body_raw(error_page, "text/html")).await.unwrap_err();
            assert_eq!(error.code(), code, "{error}");
        }
    }

    #[tokio::test]
    async fn robots_txt_holds_for_each_hop() {
        let (server, direct) = serve_all(&[("/cup", CUP.to_owned()), ("/sends", sends_to("/cup"))]).await;
        let rules = ResponseTemplate::new(200).set_body_string("User-agent: *\nDisallow: /cup");
        Mock::given(path("/robots.txt")).respond_with(rules).mount(&server).await;
        let moved = ResponseTemplate::new(302).insert_header("location", "/cup");
        Mock::given(path("/redirects")).respond_with(moved).mount(&server).await;
        for at in ["cup", "sends", "redirects"] {
            let url = Url::parse(&format!("{}/{at}", server.uri())).unwrap();
            let error = direct.fetch_price(&url.into()).await.unwrap_err();
            let is_refused = error.is_final() && error.to_string().contains("robots.txt");
            assert!(is_refused, "{at}: {error:?}");
        }
        let asked = server.received_requests().await.unwrap();
        assert!(asked.iter().all(|request| request.url.path() != "/cup"));
    }

    #[tokio::test]
    async fn a_redirect_to_a_private_address_or_another_scheme_is_refused() {
        for target in ["http://10.0.0.1/", "http://[::1]:1/", "http://localhost:1/", "http://169.254.169.254/latest/"] {
            let (_server, url) = serve(ResponseTemplate::new(302).insert_header("location", target)).await;
            let error = follow(&direct(&["127.0.0.1"]), &url).await.unwrap_err();
            assert!(error.is_final() && error.to_string().contains("refused"), "{error:?}");
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
            assert!(matches!(error, ProviderError::Forbidden { .. }), "{error:?}");
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
            assert!(error.is_final() && !error.to_string().contains("secret"), "{error:?}");
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
            (page(gzip.as_slice()), "packed"),
            (page(CUP).insert_header("content-encoding", "gzip"), "unpacked"),
            (page(CUP).insert_header("content-encoding", "br"), "unpacked"),
            (page("plain").insert_header("content-encoding", "zstd"), "unpacked"),
            (page("plain").insert_header("content-encoding", "deflate"), "unpacked"),
            (page("plain").insert_header("content-encoding", "compress"), "compress"),
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
    async fn a_host_that_cannot_be_reached_may_be_later() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let url = Url::parse(&format!("http://{}/", listener.local_addr().unwrap())).unwrap();
        drop(listener);
        let error = direct(&["127.0.0.1"]).fetch_price(&Page::from(url.clone())).await.unwrap_err();
        assert!(matches!(&error, ProviderError::Transient { message, .. } if message.contains("reached")), "{error:?}");
    }

    /// A shop whose page is `/cup`: it answers as this says when it is asked for changes only, and with the page otherwise.
    async fn conditional(not_modified: ResponseTemplate, validators: &[(&str, &str)]) -> (MockServer, Direct, Url) {
        let (server, direct) = serve_all(&[]).await;
        let mut cup = page(CUP);
        for (name, value) in validators {
            cup = cup.insert_header(*name, *value);
        }
        let if_none = header_exists("if-none-match");
        Mock::given(path("/cup")).and(if_none).respond_with(not_modified.clone()).with_priority(1).mount(&server).await;
        let if_since = header_exists("if-modified-since");
        Mock::given(path("/cup")).and(if_since).respond_with(not_modified).with_priority(1).mount(&server).await;
        Mock::given(path("/cup")).respond_with(cup).mount(&server).await;
        let url = Url::parse(&format!("{}/cup#a", server.uri())).unwrap();
        (server, direct, url)
    }

    /// The page again, as it is known from `first`.
    async fn again(direct: &Direct, url: &Url, first: &PagePrice) -> Result<PagePrice, ProviderError> {
        let known = Some(first.known().unwrap());
        direct.fetch_price(&Page { known, ..Page::at(url.clone()) }).await
    }

    async fn n_asked(server: &MockServer, at: &str) -> usize {
        server.received_requests().await.unwrap().iter().filter(|request| request.url.path() == at).count()
    }

    #[tokio::test]
    async fn a_page_that_was_read_is_asked_for_its_changes_and_keeps_its_price_when_there_are_none() {
        let date = "Sun, 22 Nov 2026 10:00:00 GMT";
        let both = [("etag", "W/\"a, b\""), ("last-modified", date)];
        for (validators, sent) in [
            (&both[..], &[("if-none-match", "W/\"a, b\""), ("if-modified-since", date)][..]),
            (&both[1..], &[("if-modified-since", date)][..]),
        ] {
            let (server, direct, url) = conditional(ResponseTemplate::new(304), validators).await;
            let first = direct.fetch_price(&url.clone().into()).await.unwrap();
            let next = again(&direct, &url, &first).await.unwrap();
            assert!(next.fetched_at > first.fetched_at && next.price.is_some());
            assert_eq!((&next.price, &next.title, &next.details), (&first.price, &first.title, &first.details));
            let asked = server.received_requests().await.unwrap();
            let [first, next] = [1, 2].map(|n| &asked[n].headers);
            assert!(first.get("if-none-match").is_none() && first.get("if-modified-since").is_none());
            assert!(sent.iter().all(|(name, value)| next.get(*name).is_some_and(|sent| sent == value)), "{next:?}");
            assert_eq!(n_asked(&server, "/cup").await, 2);
        }
    }

    #[tokio::test]
    async fn a_page_that_has_changed_is_read_anew() {
        let changed = page(CUP.replace("12,90", "11,90")).insert_header("etag", "\"2\"");
        let (_server, direct, url) = conditional(changed, &[("etag", "\"1\"")]).await;
        let first = direct.fetch_price(&url.clone().into()).await.unwrap();
        let next = again(&direct, &url, &first).await.unwrap();
        assert_eq!(next.price.as_ref().unwrap().amount.to_string(), "11.90");
        assert!(next.validators.is_some() && next.validators != first.validators);
    }

    #[tokio::test]
    async fn what_is_not_modified_but_not_what_is_known_is_read_whole() {
        // Another page's, by its tag. It is asked for whole in its next turn, not in this one.
        let other = ResponseTemplate::new(304).insert_header("etag", "\"2\"");
        let (server, direct, url) = conditional(other, &[("etag", "\"1\"")]).await;
        let first = direct.fetch_price(&url.clone().into()).await.unwrap();
        let next = again(&direct, &url, &first).await.unwrap();
        assert_eq!((next.unknown, next.price, next.validators, n_asked(&server, "/cup").await), (true, None, None, 2));
        // Another page's, because a redirect leads there now.
        let (server, direct, url) = conditional(ResponseTemplate::new(304), &[("etag", "\"1\"")]).await;
        let first = direct.fetch_price(&url.clone().into()).await.unwrap();
        let moved = ResponseTemplate::new(302).insert_header("location", "/cup");
        Mock::given(path("/old")).respond_with(moved).mount(&server).await;
        let next = again(&direct, &url.join("/old#a").unwrap(), &first).await.unwrap();
        assert!(next.price.is_some(), "redirects to the same page are followed");
        let pan = page(CUP.replace("12,90", "7")).insert_header("etag", "\"1\"");
        let not_modified = ResponseTemplate::new(304);
        Mock::given(path("/pan")).and(header_exists("if-none-match")).respond_with(not_modified).mount(&server).await;
        Mock::given(path("/pan")).respond_with(pan).mount(&server).await;
        let pan = url.join("/pan#a").unwrap();
        assert!(again(&direct, &pan, &first).await.unwrap().unknown);
        let next = direct.fetch_price(&pan.into()).await.unwrap();
        assert_eq!((next.unknown, next.price.unwrap().amount.to_string().as_str()), (false, "7"));
    }

    #[tokio::test]
    async fn a_price_that_ends_by_the_pages_own_date_is_not_taken_from_what_is_known_after_that() {
        let (server, direct, url) = conditional(ResponseTemplate::new(304), &[("etag", "\"1\"")]).await;
        let sale = |day: NaiveDate| {
            page(CUP.replace("\"price\"", &format!("\"priceValidUntil\":\"{day}\",\"price\"")))
                .insert_header("etag", "\"1\"")
        };
        let today = Utc::now().date_naive();
        Mock::given(path("/sale"))
            .and(header_exists("if-none-match"))
            .respond_with(ResponseTemplate::new(304))
            .mount(&server)
            .await;
        Mock::given(path("/sale")).respond_with(sale(today + Days::new(3))).mount(&server).await;
        let url = url.join("/sale").unwrap();
        let first = direct.fetch_price(&url.clone().into()).await.unwrap();
        let known = first.known().unwrap();
        assert_eq!(known.until, Some(today + Days::new(4)));
        for (until, is_asked) in
            [(Some(today), false), (Some(today - Days::new(1)), false), (known.until, true), (None, true)]
        {
            let page = Page { known: Some(Known { until, ..known.clone() }), ..Page::at(url.clone()) };
            assert!(direct.fetch_price(&page).await.unwrap().price.is_some());
            let asked = server.received_requests().await.unwrap();
            assert_eq!(asked.last().unwrap().headers.contains_key("if-none-match"), is_asked, "{until:?}");
        }
    }

    #[tokio::test]
    async fn not_modified_without_a_question_is_an_error_that_says_so() {
        let error = fetch(ResponseTemplate::new(304)).await.unwrap_err();
        let is_told = error.to_string().contains("304 Not Modified, but was not asked whether it has changed");
        assert!(is_told && matches!(error, ProviderError::Unable { .. }), "{error:?}");
    }

    #[tokio::test]
    async fn a_page_without_a_price_is_read_whole_each_time() {
        for answer in [page("<title>Cup</title>"), ResponseTemplate::new(404)] {
            let read = fetch(answer.insert_header("etag", "\"1\"")).await.unwrap();
            assert_eq!(read.known(), None);
        }
    }
}
