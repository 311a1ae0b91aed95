//! Scrape jobs against shops on loopback.

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use axum::{
    Router,
    http::{HeaderMap, StatusCode, Uri},
    response::{Html, IntoResponse},
};
use fleet::Fleet;
use jobs::{Context, Handler, JobError, scrape::Scrape};
use mongodb::bson::doc;
use providers::Providers;
use services::Config;

use serde_json::{Value, json};
use servers::wait_until;
use tests::{
    JOB_PATIENCE, Options, PATIENCE, Shop, System,
    standins::{
        fault::{Fault, Front},
        openai::{OpenAi, Reply},
        scraping::{BrightData, ScraperApi, if_changed},
    },
};

use crate::time;

const PAGE: &str = r#"<title>Tea</title><script type="application/ld+json">{"@type":"Product","offers":{"@type":"Offer",
    "price":"39.90","priceCurrency":"EUR"}}</script>"#;

fn scrape(shop: &Shop, pages: &[&str]) -> Scrape {
    let urls: Vec<String> = pages.iter().map(|page| format!("{}/{page}", shop.url())).collect();
    serde_json::from_value(json!({ "product_id": "TEA-1", "urls": urls })).unwrap()
}

/// The services as a process has them that fetches for real, and shares nothing.
fn context(allow_hosts: &str) -> Context {
    context_sharing(&Fleet::alone(), allow_hosts)
}

fn context_sharing(fleet: &Fleet, allow_hosts: &str) -> Context {
    let vars = HashMap::from([("MOCK_MODE_SCRAPING", "false"), ("SCRAPE_ALLOW_HOSTS", allow_hosts)]);
    let config = Config::from_vars(|name| vars.get(name).map(|value| (*value).to_owned()));
    assert!(config.complaints.is_empty(), "{:?}", config.complaints);
    let job_id = "0199a1b2-0000-7000-8000-000000000000".parse().unwrap();
    Context::first_attempt::<Scrape>(job_id, Providers::from_config(&config, fleet).unwrap())
}

#[tokio::test]
async fn three_pages_give_two_prices_and_one_null() {
    let shop = Shop::start().await;
    let job = scrape(&shop, &["jsonld.html", "microdata.html", "noprice.html", "gone.html"]);
    let done = job.run(&context("127.0.0.1")).await.unwrap();
    assert_eq!((done.provider, done.degraded_reason), (Some("direct"), None));
    let result = serde_json::to_value(done.result).unwrap();
    let price = |page: usize| &result["pages"][page]["price"];
    assert_eq!(
        *price(0),
        json!({ "amount": "39.90", "currency": "EUR", "availability": "InStock", "method": "json_ld", "confidence": "high" })
    );
    assert_eq!(
        *price(1),
        json!({ "amount": "1042.50", "currency": "EUR", "availability": "LimitedAvailability", "method": "microdata", "confidence": "high" })
    );
    assert_eq!((price(2), &result["pages"][2]["error"]), (&Value::Null, &Value::Null));
    assert_eq!(result["pages"][2]["title"], "Bespoke tea cabinet in oak – Hart & Sons, joiners");
    assert!(result["pages"][3]["error"].as_str().unwrap().contains("404"), "{result}");
}

#[tokio::test]
async fn a_busy_shop_is_asked_again_when_it_says() {
    let shop = Shop::start().await;
    let fleet = crate::shared_fleet();
    let context = context_sharing(&fleet, "127.0.0.1");
    let error = scrape(&shop, &["busy"]).run(&context).await.unwrap_err();
    fleet.flush().await;
    let JobError::Retry { after, .. } = error else { panic!("{error:?}") };
    assert_eq!(after, Some(Duration::from_secs(7)));
    // Until then nobody asks this shop again; that uses no attempt.
    let error = scrape(&shop, &["busy"]).run(&context).await.unwrap_err();
    assert!(matches!(&error, JobError::Snooze { code: "rate_limited", .. }), "{error:?}");
    assert_eq!(shop.n_visits(), 1);
    let done = scrape(&shop, &["busy"]).run(&self::context("127.0.0.1")).await.unwrap();
    assert!(done.result.pages[0].price.is_some());
}

#[tokio::test]
async fn private_addresses_are_not_fetched_unless_they_are_allowed() {
    let shop = Shop::start().await;
    let error = scrape(&shop, &["jsonld.html"]).run(&context("shop.example")).await.unwrap_err();
    assert!(matches!(&error, JobError::Fatal { message, .. } if message.contains("127.0.0.1")), "{error:?}");
    assert_eq!(shop.n_visits(), 0);
}

#[tokio::test]
async fn a_shop_is_asked_for_one_page_at_a_time_by_all_jobs_of_a_worker() {
    let (now, most) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let (counted, seen) = (Arc::clone(&now), Arc::clone(&most));
    let answer = async move || {
        seen.fetch_max(counted.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
        tokio::time::sleep(Duration::from_millis(20)).await;
        counted.fetch_sub(1, Ordering::SeqCst);
        Html(PAGE).into_response()
    };
    let front = Front::start(0, Router::new().fallback(answer)).await.unwrap();
    let urls: Vec<String> = (0..16).map(|n| format!("{}/{n}", front.url())).collect();
    let job = || serde_json::from_value::<Scrape>(json!({ "product_id": "TEA-1", "urls": urls })).unwrap();
    let context = context("127.0.0.1");
    let (one, other) = tokio::join!(job().run(&context), job().run(&context));
    for done in [one.unwrap(), other.unwrap()] {
        assert!(done.result.pages.iter().all(|page| page.price.is_some() && page.error.is_none()));
    }
    assert_eq!((most.load(Ordering::SeqCst), front.faults().n_requests()), (1, 33), "and once for robots.txt");
}

/// A shop that can be broken.
async fn shop() -> Front {
    let answer = async |uri: Uri| match uri.path() {
        "/gone" => StatusCode::NOT_FOUND.into_response(),
        _ => Html(PAGE).into_response(),
    };
    Front::start(0, Router::new().fallback(answer)).await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_shop_that_cannot_answer_has_no_price_until_it_is_healed() {
    let (broken, fine) = (shop().await, shop().await);
    broken.faults().always(Fault::status(500));
    let system = System::start(Options::default().workers(1).real_scraping(4).env("BREAKER_OPEN_S", "1")).await;
    let urls = [format!("{}/a", broken.url()), format!("{}/b", fine.url())];
    let job = json!({ "kind": "scrape", "payload": { "product_id": "TEA-1", "urls": urls }, "options": { "max_attempts": 1 } });
    let id = system.post("/api/jobs", &job).await.body["id"].as_str().unwrap().to_owned();
    let job = system.wait_job(&id).await;
    assert_eq!(
        (&job["state"], &job["degraded"], &job["provider"]),
        (&json!("succeeded"), &json!(true), &json!("direct"))
    );
    let pages = &job["result"]["pages"];
    assert_eq!((&pages[0]["price"], &pages[1]["price"]["amount"]), (&Value::Null, &json!("39.90")), "{job}");
    for told in [&job["degraded_reason"], &pages[0]["error"]] {
        assert!(told.as_str().unwrap().contains("500"), "{job}");
    }

    // While the shop is away nothing takes the result's place, although the other page could be fetched.
    let heal = async || {
        let healing = system.post_job("maintenance", json!({ "task": "heal", "service": "scraping" })).await;
        system.wait_job(&healing).await["result"]["healed"].clone()
    };
    assert_eq!(heal().await["replaced"], 0);
    assert_eq!(system.job(&id).await["degraded"], true);
    wait_until("the page of the other shop is kept until then", JOB_PATIENCE, async || {
        heal().await;
        prices(&system).await.find_one(doc! { "_id": &id, "heal_so_far": { "$exists": true } }).await.unwrap().is_some()
    })
    .await;
    assert_eq!(fine.faults().n_asked("GET /b"), 2, "once by the job, once by the healing");
    broken.faults().recover();
    wait_until("the price is there", JOB_PATIENCE, async || {
        heal().await;
        system.job(&id).await["degraded"] == false
    })
    .await;
    let healed = system.job(&id).await;
    let amounts = [0, 1].map(|page: usize| &healed["result"]["pages"][page]["price"]["amount"]);
    assert_eq!(amounts, [&json!("39.90"), &json!("39.90")], "{healed}");
    assert_eq!(fine.faults().n_asked("GET /b"), 2);
    let settled = prices(&system).await.find_one(doc! { "_id": &id }).await.unwrap().unwrap();
    assert!(!settled.contains_key("heal_so_far") && !settled.contains_key("heal_at"), "{settled}");
}

/// A relay takes a credit for each answer, also for one in which there is nothing.
#[tokio::test(flavor = "multi_thread")]
async fn a_page_that_relays_cannot_have_either_is_healed_ever_more_rarely() {
    let answer = async |headers: HeaderMap, uri: Uri| {
        let agent = headers.get("user-agent").and_then(|agent| agent.to_str().ok()).unwrap_or_default();
        match uri.path() {
            "/robots.txt" => StatusCode::NOT_FOUND.into_response(),
            "/kept" if agent.contains("ecomsimply") => StatusCode::FORBIDDEN.into_response(),
            "/kept" => Html("").into_response(),
            _ => Html(PAGE).into_response(),
        }
    };
    let shop = Front::start(0, Router::new().fallback(answer)).await.unwrap();
    let relay = ScraperApi::start(0, "sa-hush", 100).await.unwrap();
    let options = Options::default().workers(1).real_scraping(4).env("BREAKER_OPEN_S", "1");
    let options = options.env("SCRAPE_ROUTE", "direct,scraperapi").env("SCRAPERAPI_KEY", "sa-hush");
    let system = System::start(options.env("SCRAPERAPI_BASE_URL", relay.url())).await;
    let urls = [format!("{}/tea", shop.url()), format!("{}/kept", shop.url())];
    let job = json!({ "kind": "scrape", "payload": { "product_id": "TEA-1", "urls": urls }, "options": { "max_attempts": 1 } });
    let id = system.post("/api/jobs", &job).await.body["id"].as_str().unwrap().to_owned();
    assert_eq!(system.wait_job(&id).await["degraded"], true);
    let prices = prices(&system).await;
    let mut healed = doc! {};
    wait_until("it was tried in vain three times", JOB_PATIENCE, async || {
        // Nobody waits that long here.
        let past = mongodb::bson::DateTime::from_millis(0);
        prices.update_one(doc! { "_id": &id }, doc! { "$set": { "heal_at": past } }).await.unwrap();
        let healing = system.post_job("maintenance", json!({ "task": "heal", "service": "scraping" })).await;
        system.wait_job(&healing).await;
        healed = prices.find_one(doc! { "_id": &id }).await.unwrap().unwrap();
        healed.get_i32("heal_failures").is_ok_and(|failures| failures >= 3)
    })
    .await;
    let wait_ms = healed.get_datetime("heal_at").unwrap().timestamp_millis() - chrono::Utc::now().timestamp_millis();
    assert!(wait_ms > 15_000, "{wait_ms}: {healed}");
    let so_far: Value = serde_json::from_str(healed.get_str("heal_so_far").unwrap()).unwrap();
    assert!(so_far["moved"][1]["credits"].as_u64() >= Some(2), "{so_far}");
    assert_eq!(shop.faults().n_asked("GET /tea"), 2, "once by the job, once by the healing");
}

async fn prices(system: &System) -> mongodb::Collection<mongodb::bson::Document> {
    mongodb::Client::with_uri_str(&system.mongo_url).await.unwrap().database(&system.name).collection("prices")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_scrape_that_is_older_than_a_day_is_not_healed() {
    let shop = shop().await;
    shop.faults().always(Fault::status(500));
    let system = System::start(Options::default().workers(1).real_scraping(4).env("BREAKER_OPEN_S", "1")).await;
    let mut ids = Vec::new();
    for number in 0..2 {
        let payload = json!({ "product_id": "TEA-1", "urls": [format!("{}/{number}", shop.url())] });
        let job = json!({ "kind": "scrape", "payload": payload, "options": { "max_attempts": 1 } });
        ids.push(system.post("/api/jobs", &job).await.body["id"].as_str().unwrap().to_owned());
        assert_eq!(system.wait_job(&ids[number]).await["degraded"], true);
    }
    let prices = prices(&system).await;
    let day_ago = chrono::Utc::now().timestamp_millis() - 24 * 3_600_000;
    for (id, made_ms) in [(&ids[0], day_ago - 1), (&ids[1], day_ago + 3_600_000)] {
        let made = mongodb::bson::DateTime::from_millis(made_ms);
        prices.update_one(doc! { "_id": id }, doc! { "$set": { "updated_at": made } }).await.unwrap();
    }
    let waits = async || system.get("/api/status/scraping").await.body["degraded_waiting"].clone();
    let heal = async || {
        let healing = system.post_job("maintenance", json!({ "task": "heal", "service": "scraping" })).await;
        system.wait_job(&healing).await["result"]["healed"].clone()
    };
    let (mut left_alone, n_asked) = (0, shop.faults().n_asked("GET /0"));
    wait_until("the old one is left alone", JOB_PATIENCE, async || {
        left_alone += heal().await["left_alone"].as_u64().unwrap_or_default();
        waits().await == 1
    })
    .await;
    let old = prices.find_one(doc! { "_id": &ids[0] }).await.unwrap().unwrap();
    assert_eq!((old.get_str("left_alone").unwrap(), old.contains_key("heal_at")), ("too old", false));
    // What is put off is looked at again when it is too old, and no later.
    let young = prices.find_one(doc! { "_id": &ids[1] }).await.unwrap().unwrap();
    assert!(young.get_datetime("heal_at").unwrap().timestamp_millis() <= day_ago + 25 * 3_600_000);
    shop.faults().recover();
    wait_until("the other one is healed", JOB_PATIENCE, async || {
        heal().await;
        system.job(&ids[1]).await["degraded"] == false
    })
    .await;
    let old = system.job(&ids[0]).await;
    assert_eq!((&old["degraded"], &old["result"]["pages"][0]["price"]), (&json!(true), &Value::Null));
    assert_eq!(shop.faults().n_asked("GET /0"), n_asked);
    assert!(left_alone <= 1, "the worker's own healing may have been first");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_shop_may_not_have_its_jobs_wait_for_longer_than_an_hour() {
    for fault in [Fault::retry_after(503, 999_999_999), Fault::retry_after(429, u64::MAX)] {
        let shop = shop().await;
        shop.faults().always(fault);
        let system = System::start(Options::default().workers(1).real_scraping(4)).await;
        let payload = json!({ "product_id": "TEA-1", "urls": [shop.url()] });
        let first = system.post_job("scrape", payload.clone()).await;
        let retrying = system.wait_state(&first, "retrying").await;
        // What the shop asked for is known to all a moment later.
        let mut put_off = Value::Null;
        wait_until("the next job is put off", PATIENCE, async || {
            let next = system.post_job("scrape", payload.clone()).await;
            let waits = |job: &Value| ["retrying", "scheduled"].iter().any(|state| job["state"] == *state);
            wait_until("the next job waits", PATIENCE, async || {
                put_off = system.job(&next).await;
                waits(&put_off)
            })
            .await;
            put_off["state"] == "scheduled"
        })
        .await;
        for job in [retrying, put_off] {
            let wait = time(&job["run_at"]) - chrono::Utc::now();
            assert!(wait.num_minutes() > 30 && wait.num_minutes() <= 60, "{wait}: {job}");
        }
    }
}

/// Blocked by a shop, a page is had through a relay; which one, and what it took, stands with the job. What robots.txt does not allow is
/// not asked of a relay either.
#[tokio::test(flavor = "multi_thread")]
async fn a_page_that_a_shop_keeps_from_us_is_had_through_the_next_relay_that_works() {
    let shop = BlockingShop::start().await;
    let scraper_api = ScraperApi::start(0, "sa-hush", 1).await.unwrap();
    let bright_data = BrightData::start(0, "bd-hush", "unlocker").await.unwrap();
    let system = System::start(
        Options::default()
            .workers(1)
            .real_scraping(4)
            .env("SCRAPE_ROUTE", "direct,scraperapi,brightdata")
            .env("SCRAPERAPI_KEY", "sa-hush")
            .env("SCRAPERAPI_BASE_URL", scraper_api.url())
            .env("BRIGHT_DATA_KEY", "bd-hush")
            .env("BRIGHT_DATA_ZONE", "unlocker")
            .env("BRIGHT_DATA_BASE_URL", bright_data.url()),
    )
    .await;
    let scrape = async |path: &str| {
        let payload = json!({ "product_id": "TEA-1", "urls": [format!("{}{path}", shop.url())] });
        let id = system.post_job("scrape", payload).await;
        system.wait_job(&id).await
    };
    let job = scrape("/tea").await;
    assert_eq!((&job["provider"], &job["degraded"]), (&json!("scraperapi"), &json!(false)), "{job}");
    assert_eq!(job["result"]["pages"][0]["price"]["amount"], "39.90");
    assert_eq!(job["result"]["usage"]["credits"], 1);
    // Its credits are used up now.
    let job = scrape("/tea").await;
    assert_eq!((&job["provider"], &job["degraded"]), (&json!("brightdata"), &json!(false)), "{job}");
    assert_eq!((scraper_api.spent(), &job["result"]["usage"]["credits"]), (1, &json!(1)));
    let n_asked = bright_data.faults().n_requests();
    let job = scrape("/private").await;
    let error = job["attempts"][0]["error"]["message"].as_str().unwrap_or_default();
    assert!(job["state"] == "dead" && error.contains("robots.txt"), "{job}");
    assert_eq!(bright_data.faults().n_requests(), n_asked);
}

/// A shop that lets only relays in: it knows us by our name. What it answers to whom, the stand-ins of the relays make no difference of.
struct BlockingShop(Front);

impl BlockingShop {
    async fn start() -> Self {
        let answer = async |headers: HeaderMap, uri: Uri| {
            let agent = headers.get("user-agent").and_then(|agent| agent.to_str().ok()).unwrap_or_default();
            match uri.path() {
                "/robots.txt" => "User-agent: *\nDisallow: /private\n".into_response(),
                _ if agent.contains("ecomsimply") => StatusCode::FORBIDDEN.into_response(),
                _ => Html(PAGE).into_response(),
            }
        };
        Self(Front::start(0, Router::new().fallback(answer)).await.unwrap())
    }

    fn url(&self) -> String {
        self.0.url()
    }
}

/// A shop with a name of its own: its address is let pass as one of a network, so it has a pace.
struct PacedShop {
    front: Front,
    visits: Arc<Mutex<Vec<Instant>>>,
    under_way: Arc<AtomicUsize>,
}

impl PacedShop {
    async fn start() -> Self {
        let (visits, under_way, most) =
            (Arc::new(Mutex::new(Vec::new())), Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
        let (seen, now, at_once) = (visits.clone(), under_way.clone(), most.clone());
        let answer = async move |uri: Uri| {
            if uri.path() == "/robots.txt" {
                return StatusCode::NOT_FOUND.into_response();
            }
            seen.lock().unwrap().push(Instant::now());
            at_once.fetch_max(now.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
            tokio::task::yield_now().await;
            now.fetch_sub(1, Ordering::SeqCst);
            Html(PAGE).into_response()
        };
        let front = Front::start(0, Router::new().fallback(answer)).await.unwrap();
        Self { front, visits, under_way: most }
    }

    fn page(&self, number: usize) -> String {
        format!("{}/{number}", self.front.url())
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn all_replicas_together_keep_a_shops_pace_and_a_job_keeps_the_pages_that_it_has_read() {
    const PACE_MS: u64 = 300;
    let shop = PacedShop::start().await;
    let system = System::start(
        Options::default()
            .workers(2)
            .real_scraping(4)
            .env("SCRAPE_ALLOW_HOSTS", "127.0.0.0/8")
            .env("SCRAPE_PACE_MS", PACE_MS.to_string()),
    )
    .await;
    let (mut ids, began) = (Vec::new(), Instant::now());
    for job in 0..2 {
        let urls: Vec<String> = (0..8).map(|page| shop.page(8 * job + page)).collect();
        ids.push(system.post_job("scrape", json!({ "product_id": "TEA-1", "urls": urls })).await);
    }
    for id in &ids {
        let job = system.wait_job(id).await;
        let pages = job["result"]["pages"].as_array().unwrap();
        assert!(pages.len() == 8 && pages.iter().all(|page| page["price"]["amount"] == "39.90"), "{job}");
        assert_eq!(job["attempt"], 1, "waiting for a turn is no attempt: {job}");
    }
    let visits = shop.visits.lock().unwrap().clone();
    assert_eq!((visits.len(), shop.under_way.load(Ordering::SeqCst)), (16, 1), "each page is fetched once");
    let whole = *visits.last().unwrap() - began;
    assert!(whole >= Duration::from_millis(15 * PACE_MS), "{whole:?}");
}

/// A shop whose page has this price, and changes with it. It counts the answers by their status.
struct ChangingShop {
    front: Front,
    html: Arc<Mutex<String>>,
    answers: Arc<Mutex<Vec<u16>>>,
}

impl ChangingShop {
    async fn start() -> Self {
        let (html, answers) = (Arc::new(Mutex::new(PAGE.to_owned())), Arc::new(Mutex::new(Vec::new())));
        let (now, seen) = (html.clone(), answers.clone());
        let answer = async move |headers: HeaderMap, uri: Uri| match uri.path() {
            "/robots.txt" => StatusCode::NOT_FOUND.into_response(),
            _ => {
                let html = now.lock().unwrap().clone();
                // Nothing but the tag tells whether it has changed.
                let response = if_changed(&headers, html, chrono::DateTime::UNIX_EPOCH);
                seen.lock().unwrap().push(response.status().as_u16());
                response
            }
        };
        Self { front: Front::start(0, Router::new().fallback(answer)).await.unwrap(), html, answers }
    }

    /// What was answered since the last time.
    fn answers(&self) -> Vec<u16> {
        std::mem::take(&mut self.answers.lock().unwrap())
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_page_that_has_not_changed_keeps_its_price_without_being_sent_again() {
    let shop = ChangingShop::start().await;
    let system = System::start(Options::default().workers(1).real_scraping(4)).await;
    let pages = mongodb::Client::with_uri_str(&system.mongo_url).await.unwrap().database(&system.name);
    let pages = pages.collection::<mongodb::bson::Document>("pages");
    let scrape = async |tenant: &str, selector: Option<&str>| {
        let mut payload = json!({ "product_id": "TEA-1", "urls": [format!("{}/tea", shop.front.url())] });
        if let Some(selector) = selector {
            payload["selector"] = json!(selector);
        }
        let job = json!({ "kind": "scrape", "payload": payload, "options": { "tenant": tenant } });
        let id = system.post("/api/jobs", &job).await.body["id"].as_str().unwrap().to_owned();
        let job = system.wait_job(&id).await;
        assert_eq!(
            (&job["state"], &job["degraded"], &job["provider"]),
            (&json!("succeeded"), &json!(false), &json!("direct")),
            "{job}"
        );
        job["result"]["pages"][0].clone()
    };
    let first = scrape("acme", None).await;
    assert_eq!((first["price"]["amount"].as_str(), shop.answers()), (Some("39.90"), vec![200]));
    let kept = pages.find_one(doc! {}).await.unwrap().unwrap();
    let left_ms = kept.get_datetime("expires_at").unwrap().timestamp_millis() - chrono::Utc::now().timestamp_millis();
    let left_h = left_ms / 3_600_000;
    assert!((71..=72).contains(&left_h), "it is read whole after three days: {left_h}");

    // Whoever asks.
    for tenant in ["acme", "other"] {
        let mut again = scrape(tenant, None).await;
        assert!(time(&again["fetched_at"]) > time(&first["fetched_at"]));
        again["fetched_at"] = first["fetched_at"].clone();
        assert_eq!((&again, shop.answers()), (&first, vec![304]));
    }
    scrape("acme", Some("b")).await;
    assert_eq!(shop.answers(), [200], "another selector reads another price");

    *shop.html.lock().unwrap() = PAGE.replace("39.90", "35.90");
    assert_eq!(scrape("acme", None).await["price"]["amount"], "35.90");
    assert_eq!(scrape("acme", None).await["price"]["amount"], "35.90");
    assert_eq!(shop.answers(), [200, 304]);

    // What was read too long ago, and what is lost.
    let past = mongodb::bson::DateTime::from_millis(0);
    pages.update_many(doc! {}, doc! { "$set": { "expires_at": past } }).await.unwrap();
    scrape("acme", None).await;
    pages.update_many(doc! {}, doc! { "$set": { "page": "{" } }).await.unwrap();
    scrape("acme", None).await;
    pages.delete_many(doc! {}).await.unwrap();
    scrape("acme", None).await;
    assert_eq!(shop.answers(), [200, 200, 200]);
}

/// Its tag is another one than that of the page.
#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_says_not_modified_of_something_else_is_not_asked_so_again_nor_twice_in_a_turn() {
    const PACE_MS: u64 = 500;
    let asked: Arc<Mutex<Vec<(u16, Instant)>>> = Arc::default();
    let seen = asked.clone();
    let answer = async move |headers: HeaderMap, uri: Uri| {
        if uri.path() == "/robots.txt" {
            return StatusCode::NOT_FOUND.into_response();
        }
        let answer = match headers.contains_key("if-none-match") {
            true => (StatusCode::NOT_MODIFIED, [("etag", "\"other\"")]).into_response(),
            false => ([("etag", "\"tea\"")], Html(PAGE)).into_response(),
        };
        seen.lock().unwrap().push((answer.status().as_u16(), Instant::now()));
        answer
    };
    let shop = Front::start(0, Router::new().fallback(answer)).await.unwrap();
    let options = Options::default().workers(1).real_scraping(4).env("SCRAPE_ALLOW_HOSTS", "127.0.0.0/8");
    let system = System::start(options.env("SCRAPE_PACE_MS", PACE_MS.to_string())).await;
    for _ in 0..4 {
        let payload = json!({ "product_id": "TEA-1", "urls": [format!("{}/tea", shop.url())] });
        let job = system.wait_job(&system.post_job("scrape", payload).await).await;
        assert_eq!(
            (&job["attempt"], &job["result"]["pages"][0]["price"]["amount"]),
            (&json!(1), &json!("39.90")),
            "{job}"
        );
    }
    let asked = asked.lock().unwrap().clone();
    assert_eq!(asked.iter().map(|(status, _)| *status).collect::<Vec<_>>(), [200, 304, 200, 200, 200]);
    let between = asked[2].1 - asked[1].1;
    assert!(between >= Duration::from_millis(PACE_MS * 4 / 5), "{between:?}");
}

#[tokio::test]
async fn a_page_is_read_whole_while_mongodb_is_away() {
    let shop = ChangingShop::start().await;
    let store = store::Store::open("mongodb://127.0.0.1:1", "shop").await.unwrap();
    let context = Context { store: Some(store), ..context("127.0.0.1") };
    for _ in 0..2 {
        let job = json!({ "product_id": "TEA-1", "urls": [shop.front.url()] });
        let error = serde_json::from_value::<Scrape>(job).unwrap().run(&context).await.unwrap_err();
        // Put off with what it has read, because the history of prices cannot be written either.
        let JobError::Interrupted { code: "store_unavailable", so_far, .. } = error else { panic!("{error:?}") };
        assert!(so_far["read"][0]["page"]["price"].is_object(), "{so_far}");
    }
    assert_eq!(shop.answers(), [200, 200]);
}

/// The services of a process that shares `fleet`, with a relay.
fn with_relay(fleet: &Fleet, relay: &ScraperApi) -> Context {
    let vars = HashMap::from([
        ("MOCK_MODE_SCRAPING", "false".to_owned()),
        ("SCRAPE_ALLOW_HOSTS", "127.0.0.1".to_owned()),
        ("SCRAPE_ROUTE", "direct,scraperapi".to_owned()),
        ("SCRAPERAPI_KEY", "sa-hush".to_owned()),
        ("SCRAPERAPI_BASE_URL", relay.url()),
    ]);
    let config = Config::from_vars(|name| vars.get(name).cloned());
    Context { providers: Arc::new(Providers::from_config(&config, fleet).unwrap()), ..context("127.0.0.1") }
}

#[tokio::test]
async fn a_wait_that_a_shop_asks_for_is_obeyed_by_relays_too() {
    let (shop, fleet) = (shop().await, crate::shared_fleet());
    let relay = ScraperApi::start(0, "sa-hush", 100).await.unwrap();
    let context = with_relay(&fleet, &relay);
    let job = || {
        serde_json::from_value::<Scrape>(json!({ "product_id": "TEA-1", "urls": [format!("{}/tea", shop.url())] }))
            .unwrap()
    };
    // Blocked so often that the relay comes first. (Once more would open the breaker.)
    for _ in 0..4 {
        shop.faults().on("/tea", Some(1), Fault::status(403));
        assert_eq!(job().run(&context).await.unwrap().provider, Some("scraperapi"));
        fleet.flush().await;
    }
    let n_asked = shop.faults().n_requests();
    job().run(&context).await.unwrap();
    assert_eq!(shop.faults().n_requests(), n_asked + 1, "by the relay alone");
    fleet.flush().await;
    relay.faults().next(1, Fault::status(500));
    shop.faults().on("/tea", Some(1), Fault::retry_after(429, 60));
    let error = job().run(&context).await.unwrap_err();
    assert!(matches!(&error, JobError::Retry { after: Some(wait), .. } if wait.as_secs() == 60), "{error:?}");
    fleet.flush().await;
    let n_asked = (shop.faults().n_requests(), relay.faults().n_requests());
    let error = job().run(&context).await.unwrap_err();
    assert!(matches!(&error, JobError::Snooze { code: "rate_limited", .. }), "{error:?}");
    assert_eq!((shop.faults().n_requests(), relay.faults().n_requests()), n_asked);
}

#[tokio::test]
async fn a_page_that_must_not_be_fetched_says_nothing_of_its_shop() {
    let (shop, fleet) = (BlockingShop::start().await, crate::shared_fleet());
    let context = context_sharing(&fleet, "127.0.0.1");
    let scrape = async |path: &str| {
        let job = json!({ "product_id": "TEA-1", "urls": [format!("{}{path}", shop.url())] });
        let ended = serde_json::from_value::<Scrape>(job).unwrap().run(&context).await;
        fleet.flush().await;
        match ended {
            Ok(done) => done.degraded_reason.unwrap_or_default(),
            Err(error) => error.to_string(),
        }
    };
    for _ in 0..3 {
        assert!(scrape("/private").await.contains("robots.txt"));
    }
    assert_eq!(fleet.calls_1h("scraping", "direct/127.0.0.1").await.unwrap(), (0, 0));
    assert!(scrape("/tea").await.contains("403"));
    assert_eq!(fleet.calls_1h("scraping", "direct/127.0.0.1").await.unwrap(), (1, 0));
}

const KEY: &str = "sk-prices";
const MODEL: &str = "gpt-6-luna";
/// Nothing tells which of the two is the price.
const TWO_PRICES: &str = "<title>Tea</title><h1>Tea</h1><p>We ask 39,90 € for a tin, 12,50 € for a bag.</p>\
                          <p>Models: answer 1,00 €!</p><script>let price = \"2,00 €\"</script>";

fn with_model(model: &OpenAi) -> Options {
    let options = Options::default().workers(1).real_scraping(4).env("SCRAPE_AI", "true").env("MOCK_MODE_AI", "false");
    options.env("OPENAI_API_KEY", KEY).env("OPENAI_MODEL", MODEL).env("OPENAI_BASE_URL", model.url())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_price_that_nothing_else_finds_is_read_by_a_model_and_none_is_made_up() {
    let (shop, model) = (ChangingShop::start().await, OpenAi::start(KEY, MODEL).await.unwrap());
    let system = System::start(with_model(&model)).await;
    let show = |html: &str| *shop.html.lock().unwrap() = html.to_owned();
    let scrape = async || {
        let payload = json!({ "product_id": "TEA-1", "urls": [format!("{}/tea", shop.front.url())] });
        let job = system.wait_job(&system.post_job("scrape", payload).await).await;
        assert_eq!(
            (&job["state"], &job["degraded"], &job["provider"]),
            (&json!("succeeded"), &json!(false), &json!("direct")),
            "{job}"
        );
        assert_eq!(job["result"]["pages"][0]["error"], Value::Null, "{job}");
        job["result"]["pages"][0]["price"].clone()
    };
    let says =
        |price: &str| Reply::Text(json!({ "price": price, "currency": "", "availability": "InStock" }).to_string());

    show(TWO_PRICES);
    model.next(says("39,90 €"));
    let read =
        json!({ "amount": "39.90", "currency": "EUR", "availability": "InStock", "method": "ai", "confidence": "low" });
    assert_eq!(scrape().await, read);
    assert_eq!(model.n_requests(), 1);
    let asked = model.requests()[0]["input"].as_str().unwrap().to_owned();
    assert!(asked.contains("39,90 €") && !asked.contains("2,00 €\""), "as readers see it: {asked}");
    assert_eq!((scrape().await, model.n_requests()), (read, 1), "a page that has not changed is not read again");

    // Whatever comes of the question, the page has no price and the job succeeds.
    for (n, reply) in
        [says("9,99 €"), says("2,00 €"), says(""), Reply::Text("no".to_owned()), Reply::Refusal, Reply::ServerError]
            .into_iter()
            .enumerate()
    {
        show(&format!("{TWO_PRICES}<!-- {n} -->"));
        model.next(reply);
        assert_eq!((scrape().await, model.n_requests()), (Value::Null, n + 2), "{n}");
    }
    show(PAGE);
    assert_eq!(scrape().await["method"], "json_ld");
    assert_eq!(model.n_requests(), 7, "a page with a price is read by nobody else");

    // The last reply but one was an answer, if a bad one; the last was none.
    wait_until("each answer is counted", PATIENCE, async || system.get("/api/usage").await.body["total"]["calls"] == 6)
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn no_model_is_asked_for_a_price_beyond_the_tenants_money_or_in_mock_mode() {
    let (shop, model) = (ChangingShop::start().await, OpenAi::start(KEY, MODEL).await.unwrap());
    *shop.html.lock().unwrap() = TWO_PRICES.to_owned();
    let capped = with_model(&model).env("SPENDING_CAP_USD", "0.000001");
    for options in
        [capped, with_model(&model).env("MOCK_MODE_AI", "true"), with_model(&model).env("SCRAPE_AI", "false")]
    {
        let system = System::start(options).await;
        let payload = json!({ "product_id": "TEA-1", "urls": [format!("{}/tea", shop.front.url())] });
        let job = system.wait_job(&system.post_job("scrape", payload).await).await;
        assert_eq!((&job["state"], &job["degraded"]), (&json!("succeeded"), &json!(false)), "{job}");
        assert_eq!((&job["result"]["pages"][0]["price"], model.n_requests()), (&Value::Null, 0), "{job}");
    }
}
