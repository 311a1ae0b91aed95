//! What a page must pass before it is fetched, whichever way: the guard against private addresses, and the robots.txt of its host
//! (RFC 9309). One after the other at each host.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use chrono::Utc;
use fleet::Fleet;
use reqwest::{Client, StatusCode, redirect};
use services::{Config, Name};
use texting_robots::Robot;
use tokio::time::Instant;
use url::{Origin, Url};

use super::Page;
use crate::{
    ProviderError, Turn,
    guard::{Guard, Refused},
    http, wait,
};

pub(super) const SERVICE: &str = "scraping";
/// What robots.txt knows us by.
const PRODUCT: &str = "ecomsimply-pricebot";
const CONTACT: &str = "https://ecomsimply.example/pricebot";
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
const ROBOTS_TIMEOUT: Duration = Duration::from_secs(10);
pub(super) const REDIRECTS: usize = 5;
/// No more of a robots.txt is read: as much as the standard asks for.
const ROBOTS_CAP: usize = 500 * 1024;
/// Rules that are longer are left out, and of those with an end (`$`) all but so many: each of these is a program of its own.
const LONGEST_LINE: usize = 2_000;
const ENDS: usize = 1_000;
/// So long rules hold.
const KEPT: Duration = Duration::from_secs(24 * 3600);
/// So long it is not asked again for rules that could not be had.
const ASK_AGAIN: Duration = Duration::from_secs(5);
/// The rules of so many hosts are kept; of more, the oldest leave.
const HOSTS: usize = 1_000;

/// A turn that is further away puts the job off.
const SHORT: Duration = Duration::from_secs(2);
/// Whoever fetches for longer counts as gone: as long as an attempt may take, all ways together.
const BUSY: Duration = Duration::from_secs(240);
/// No `Crawl-delay` holds for more.
const LONGEST_DELAY: Duration = Duration::from_secs(30);

/// Decides whether pages may be fetched. All ways share one.
#[derive(Debug)]
pub(crate) struct Access {
    pub(super) guard: Guard,
    /// `SCRAPE_PACE_MS`.
    pace: Option<Duration>,
    agent: String,
    client: Client,
    rules: Mutex<HashMap<Origin, Kept>>,
    /// Whose turn it is at each host that is being fetched from.
    turns: Mutex<HashMap<String, Arc<tokio::sync::Mutex<()>>>>,
    /// When the last turns of this process began at hosts with a pace, for the time that Redis cannot tell.
    begun: Mutex<HashMap<String, Instant>>,
}

/// The rules of a host, or why they could not be had.
#[derive(Debug, Clone)]
struct Kept {
    rules: Result<Arc<Rules>, ProviderError>,
    until: Instant,
}

/// What a host's robots.txt says. Its rules are read when they are needed.
#[derive(Default)]
struct Rules(Option<Robot>);

impl std::fmt::Debug for Rules {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(if self.0.is_some() { "Rules" } else { "NoRules" })
    }
}

impl Access {
    /// As the variables say.
    pub(super) fn configured(config: &Config) -> Result<Self, ProviderError> {
        let value = |variable| config.value(Name::Scraping, variable);
        let hosts = value("SCRAPE_ALLOW_HOSTS").unwrap_or_default().split(',');
        let hosts: Vec<String> = hosts.map(|host| host.trim().to_lowercase()).filter(|host| !host.is_empty()).collect();
        let pace = value("SCRAPE_PACE_MS").and_then(|ms| ms.parse().ok()).map(Duration::from_millis);
        Ok(Self { pace, ..Self::new(&hosts, value("SCRAPE_CONTACT"))? })
    }

    /// The guard lets these hosts pass, whatever their addresses. `contact` is where a shop's owner can complain.
    pub(crate) fn new(allow_hosts: &[String], contact: Option<&str>) -> Result<Self, ProviderError> {
        let guard = Guard::new(allow_hosts);
        let agent = format!("{PRODUCT}/{} (+{})", env!("CARGO_PKG_VERSION"), contact.unwrap_or(CONTACT));
        let client = built(client(&guard, &agent).timeout(ROBOTS_TIMEOUT).redirect(redirects(guard.clone())))?;
        Ok(Self {
            guard,
            pace: None,
            agent,
            client,
            rules: Mutex::default(),
            turns: Mutex::default(),
            begun: Mutex::default(),
        })
    }

    /// A client that resolves names through the guard and says who we are.
    pub(super) fn client(&self) -> reqwest::ClientBuilder {
        client(&self.guard, &self.agent)
    }

    /// Whether a page may be fetched.
    ///
    /// # Errors
    /// [`ProviderError::Forbidden`] when it must not; [`ProviderError::Transient`] when nobody can tell now, because the host's robots.txt
    /// cannot be had.
    pub(super) async fn check(&self, url: &Url) -> Result<(), ProviderError> {
        self.guard.check(url).map_err(|refused| forbidden(url, &refused.to_string()))?;
        let known = self.known(url);
        let rules = match known {
            Some(rules) => rules?,
            None => self.ask(url).await?,
        };
        allowed(url, &rules)
    }

    /// The same of a page that another one of its host sends on to; what is not known yet is let pass.
    pub(super) fn check_known(&self, url: &Url) -> Result<(), Refused> {
        self.guard.check(url)?;
        match self.known(url) {
            Some(Ok(rules)) => allowed(url, &rules).map_err(|error| Refused(error.to_string())),
            _ => Ok(()),
        }
    }

    /// Waits until the page may be fetched: until nobody else of all replicas fetches from its host, and the pace allows it. A host that is
    /// allowed by its name has no pace, and only this process goes to it one by one. While Redis cannot tell, each process keeps the pace
    /// by itself.
    ///
    /// # Errors
    /// How long to wait, when that is long.
    pub(super) async fn turn(&self, Page { url, ticket, .. }: &Page, fleet: &Fleet) -> Result<Turn, Duration> {
        let host = url.host_str().unwrap_or_default();
        let Some(pace) = self.pace_at(url) else { return Ok(self.own_turn(host).await) };
        let until = Instant::now() + SHORT;
        loop {
            match fleet.turn(host, ticket, pace, BUSY).await {
                fleet::Turn::Begun(begun) => {
                    self.begin(host, pace);
                    return Ok(begun.into());
                }
                fleet::Turn::Wait(wait) if Instant::now() + wait <= until => tokio::time::sleep(wait).await,
                fleet::Turn::Wait(wait) => return Err(wait),
                fleet::Turn::Unknown(begun) => {
                    let turn = self.own_turn(host).await.with(begun);
                    tokio::time::sleep(self.begin(host, pace)).await;
                    return Ok(turn);
                }
            }
        }
    }

    /// Notes that a turn begins as soon as the pace allows it, and tells how long that is.
    fn begin(&self, host: &str, pace: Duration) -> Duration {
        let mut begun = self.begun.lock().unwrap_or_else(PoisonError::into_inner);
        let now = Instant::now();
        begun.retain(|_, at| *at + pace.max(LONGEST_DELAY) > now);
        let at = begun.get(host).map_or(now, |last| now.max(*last + pace));
        begun.insert(host.to_owned(), at);
        at - now
    }

    /// From one page of a host to the next; `None` where there is no pace.
    fn pace_at(&self, url: &Url) -> Option<Duration> {
        let is_allowed = self.guard.allows(url.host_str().unwrap_or_default());
        let pace = self.pace.filter(|pace| !pace.is_zero() && !is_allowed)?;
        let delay = self.known(url).and_then(Result::ok).and_then(|rules| rules.0.as_ref()?.delay);
        let delay = delay.and_then(|delay| Duration::try_from_secs_f32(delay).ok()).unwrap_or_default();
        Some(pace.max(delay.min(LONGEST_DELAY)))
    }

    async fn own_turn(&self, host: &str) -> Turn {
        let turn = {
            let mut turns = self.turns.lock().unwrap_or_else(PoisonError::into_inner);
            turns.retain(|_, turn| Arc::strong_count(turn) > 1);
            Arc::clone(turns.entry(host.to_owned()).or_default())
        };
        turn.lock_owned().await.into()
    }

    fn known(&self, url: &Url) -> Option<Result<Arc<Rules>, ProviderError>> {
        let rules = self.rules.lock().unwrap_or_else(PoisonError::into_inner);
        rules.get(&url.origin()).filter(|kept| kept.until > Instant::now()).map(|kept| kept.rules.clone())
    }

    async fn ask(&self, url: &Url) -> Result<Arc<Rules>, ProviderError> {
        let rules = self.read_rules(url).await.map(Arc::new);
        let until = Instant::now() + if rules.is_ok() { KEPT } else { ASK_AGAIN };
        let mut all = self.rules.lock().unwrap_or_else(PoisonError::into_inner);
        if all.len() >= HOSTS
            && let Some(oldest) = all.iter().min_by_key(|(_, kept)| kept.until).map(|(origin, _)| origin.clone())
        {
            all.remove(&oldest);
        }
        all.insert(url.origin(), Kept { rules: rules.clone(), until });
        rules
    }

    async fn read_rules(&self, url: &Url) -> Result<Rules, ProviderError> {
        let mut at = url.clone();
        at.set_path("/robots.txt");
        at.set_query(None);
        at.set_fragment(None);
        let message = |why: &str| format!("{at} {why}, so nothing is fetched there for now");
        let unknown =
            |why: &str| ProviderError::Transient { service: SERVICE, message: message(why), retry_after: None };
        let mut answer = match self.client.get(at.clone()).send().await {
            Ok(answer) => answer,
            // A redirect to where nothing is fetched leads to no rules.
            Err(error) if Refused::within(&error).is_some() && error.is_redirect() => return Ok(Rules::default()),
            Err(error) => match Refused::within(&error) {
                Some(refused) => return Err(forbidden(url, &refused.to_string())),
                None => return Err(unknown(if error.is_timeout() { "timed out" } else { "cannot be reached" })),
            },
        };
        match answer.status() {
            status if status.is_success() => {}
            status if status.is_client_error() && status != StatusCode::TOO_MANY_REQUESTS => {
                return Ok(Rules::default());
            }
            status if status.is_redirection() => return Ok(Rules::default()),
            status => {
                let retry_after = wait::retry_after(answer.headers(), Utc::now());
                let message = message(&format!("answered {status}"));
                return Err(match status {
                    StatusCode::TOO_MANY_REQUESTS => {
                        ProviderError::RateLimited { service: SERVICE, message, retry_after }
                    }
                    _ => ProviderError::Transient { service: SERVICE, message, retry_after },
                });
            }
        }
        let mut text = Vec::new();
        while let Some(chunk) = answer.chunk().await.map_err(|_| unknown("broke off"))? {
            let room = ROBOTS_CAP - text.len();
            text.extend_from_slice(&chunk[..chunk.len().min(room)]);
            if chunk.len() >= room {
                break;
            }
        }
        // Each rule with an end takes time and memory.
        let rules = tokio::task::spawn_blocking(move || read(&text)).await;
        rules.map_err(|error| unknown(&format!("cannot be read ({error})")))
    }
}

/// The rules of a robots.txt. What cannot be read says nothing.
fn read(text: &[u8]) -> Rules {
    let text = text.strip_prefix(b"\xef\xbb\xbf").unwrap_or(text);
    let (mut n_ends, mut lines) = (0, Vec::with_capacity(text.len()));
    for line in text.split_inclusive(|byte| matches!(byte, b'\n' | b'\r')) {
        n_ends += usize::from(line.contains(&b'$'));
        if line.len() <= LONGEST_LINE && (n_ends <= ENDS || !line.contains(&b'$')) {
            lines.extend_from_slice(line);
        }
    }
    Rules(Robot::new(PRODUCT, &lines).ok())
}

fn allowed(url: &Url, rules: &Rules) -> Result<(), ProviderError> {
    match &rules.0 {
        Some(robot) if !robot.allowed(&with_capital_escapes(url)) => {
            Err(forbidden(url, &format!("its robots.txt does not let {PRODUCT} read it")))
        }
        _ => Ok(()),
    }
}

/// `%c3` and `%C3` are the same, but not to the parser of rules.
fn with_capital_escapes(url: &Url) -> String {
    let mut text = String::with_capacity(url.as_str().len());
    let mut left = 0_u8;
    for character in url.as_str().chars() {
        text.push(if left > 0 { character.to_ascii_uppercase() } else { character });
        left = if character == '%' { 2 } else { left.saturating_sub(1) };
    }
    text
}

fn client(guard: &Guard, agent: &str) -> reqwest::ClientBuilder {
    http::client()
        .user_agent(agent)
        .connect_timeout(CONNECT_TIMEOUT)
        .referer(false)
        // A proxy of the environment would resolve names itself, past the guard.
        .no_proxy()
        .dns_resolver(Arc::new(guard.clone()))
}

/// The client, or why it cannot be.
pub(super) fn built(client: reqwest::ClientBuilder) -> Result<Client, ProviderError> {
    client
        .build()
        .map_err(|error| ProviderError::Misconfigured { service: SERVICE, message: format!("HTTP client: {error}") })
}

fn redirects(guard: Guard) -> redirect::Policy {
    redirect::Policy::custom(move |attempt| {
        if attempt.previous().len() > REDIRECTS {
            return attempt.stop();
        }
        match guard.check(attempt.url()) {
            Ok(()) => attempt.follow(),
            Err(refused) => attempt.error(refused),
        }
    })
}

pub(super) fn rejected(url: &Url, why: &str) -> ProviderError {
    ProviderError::Rejected { service: SERVICE, message: told(url, why) }
}

/// The same of a page that nobody was asked for.
pub(super) fn forbidden(url: &Url, why: &str) -> ProviderError {
    ProviderError::Forbidden { service: SERVICE, message: told(url, why) }
}

fn told(url: &Url, why: &str) -> String {
    // A password in the URL must not reach the log.
    let mut shown = url.clone();
    let _ = shown.set_password(None);
    format!("{shown}: {why}")
}

#[cfg(test)]
mod tests {
    use futures::future::FutureExt;
    use wiremock::{
        Mock, MockServer, ResponseTemplate,
        matchers::{header, path},
    };

    use super::*;

    fn access() -> Access {
        Access::new(&["127.0.0.1".to_owned()], None).unwrap()
    }

    /// A host whose robots.txt is answered so, and how often it may be asked for it.
    async fn host(answer: ResponseTemplate, times: u64) -> MockServer {
        let server = MockServer::start().await;
        Mock::given(path("/robots.txt")).respond_with(answer).expect(times).mount(&server).await;
        server
    }

    async fn check(access: &Access, server: &MockServer, page: &str) -> Result<(), ProviderError> {
        access.check(&Url::parse(&format!("{}{page}", server.uri())).unwrap()).await
    }

    #[tokio::test]
    async fn robots_txt_is_obeyed_and_kept() {
        let text = "\u{feff}User-agent: *\nDisallow: /\n\nUser-agent: Ecomsimply-PriceBot\nDisallow: /private\nAllow: /private/cup$\n\
                    Disallow: /caf%C3%A9";
        let access = access();
        let server = host(ResponseTemplate::new(200).set_body_string(text), 1).await;
        for allowed in ["/", "/cup?a=1", "/private/cup"] {
            assert_eq!(check(&access, &server, allowed).await, Ok(()), "{allowed}");
        }
        for not in ["/private", "/private/cups", "/caf%c3%a9", "/café"] {
            let error = check(&access, &server, not).await.unwrap_err();
            assert!(
                matches!(&error, ProviderError::Forbidden { message, .. } if message.contains("robots.txt")),
                "{not}: {error}"
            );
        }
        let other = Url::parse(&format!("{}/private", server.uri())).unwrap();
        assert!(access.check_known(&other).is_err());
    }

    #[test]
    fn a_robots_txt_made_to_take_all_memory_is_read_in_part() {
        let long = format!("Disallow: /{}$\n", "a".repeat(60_000));
        let text = format!("User-agent: *\n{long}{}Disallow: /private\n", "Disallow: /x$\n".repeat(30_000));
        let rules = read(text.as_bytes());
        let allows = |path: &str| allowed(&Url::parse(&format!("https://shop.example{path}")).unwrap(), &rules).is_ok();
        assert!(allows("/cup") && !allows("/private") && !allows("/x") && allows("/xy"));
    }

    #[tokio::test]
    async fn a_host_without_rules_lets_everything_be_read() {
        for status in [404, 410, 403, 401] {
            let server = host(ResponseTemplate::new(status), 1).await;
            let access = access();
            assert_eq!(check(&access, &server, "/a").await, Ok(()), "{status}");
            assert_eq!(check(&access, &server, "/b").await, Ok(()), "{status}");
        }
        let server = host(ResponseTemplate::new(200).set_body_raw([0xff, 0, 1, 2], "image/png"), 1).await;
        assert_eq!(check(&access(), &server, "/a").await, Ok(()));
    }

    #[tokio::test]
    async fn a_host_whose_rules_cannot_be_had_is_left_alone_for_now() {
        for status in [429, 500, 503] {
            let server = host(ResponseTemplate::new(status), 1).await;
            let access = access();
            for page in ["/a", "/b"] {
                let error = check(&access, &server, page).await.unwrap_err();
                let is_limit = matches!(&error, ProviderError::RateLimited { .. });
                let is_named = error.to_string().contains("robots.txt");
                assert!(!error.is_final() && is_named && is_limit == (status == 429), "{error}");
            }
        }
    }

    #[tokio::test]
    async fn the_rules_may_be_elsewhere_but_in_no_private_network() {
        let there = host(ResponseTemplate::new(200).set_body_string("User-agent: *\nDisallow: /a"), 1).await;
        let to = |target: String| ResponseTemplate::new(301).insert_header("location", target);
        let here = host(to(format!("{}/robots.txt", there.uri())), 1).await;
        assert!(check(&access(), &here, "/a").await.is_err());
        let private = host(to("http://10.0.0.1/robots.txt".to_owned()), 1).await;
        assert_eq!(check(&access(), &private, "/a").await, Ok(()));
    }

    #[tokio::test]
    async fn a_shop_reads_who_we_are_and_where_to_complain() {
        let server = MockServer::start().await;
        let agent = format!("ecomsimply-pricebot/{} (+mailto:ops@shop.example)", env!("CARGO_PKG_VERSION"));
        Mock::given(header("user-agent", agent.as_str()))
            .respond_with(ResponseTemplate::new(404))
            .expect(1)
            .mount(&server)
            .await;
        let access = Access::new(&["127.0.0.1".to_owned()], Some("mailto:ops@shop.example")).unwrap();
        assert_eq!(check(&access, &server, "/a").await, Ok(()));
    }

    #[tokio::test]
    async fn a_host_gives_out_one_turn_at_a_time() {
        let access = access();
        let [one, next, other] = ["https://a.example/1", "https://a.example/2", "https://b.example/"]
            .map(|url| Page::from(Url::parse(url).unwrap()));
        let fleet = Fleet::alone();
        let turn = access.turn(&one, &fleet).await;
        assert!(access.turn(&next, &fleet).now_or_never().is_none());
        assert!(access.turn(&other, &fleet).now_or_never().is_some());
        drop(turn);
        assert!(access.turn(&next, &fleet).now_or_never().is_some());
    }

    #[test]
    fn a_process_keeps_the_pace_by_itself_while_redis_cannot_tell() {
        let (access, pace) = (access(), Duration::from_secs(5));
        for n in 0..3 {
            for host in ["a.example", "b.example"] {
                let wait = access.begin(host, pace);
                assert!(wait <= n * pace && wait + Duration::from_secs(1) > n * pace, "{wait:?}");
            }
        }
        let long_ago = Instant::now().checked_sub(LONGEST_DELAY).unwrap();
        access.begun.lock().unwrap().insert("c.example".to_owned(), long_ago);
        access.begin("a.example", pace);
        assert_eq!(access.begun.lock().unwrap().len(), 2, "what is over is forgotten");
    }
}
