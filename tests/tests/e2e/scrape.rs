//! Scrape jobs against shops on loopback.

use std::{
    collections::HashMap,
    fs,
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

use axum::{
    Router,
    extract::Path,
    http::StatusCode,
    response::{Html, IntoResponse, Response},
    routing::get,
};
use jobs::{Context, Handler, JobError, scrape::Scrape};
use providers::{Config, Providers};
use queue::Job;
use serde_json::{Value, json};
use tokio::net::TcpListener;

/// A shop with the example pages; `busy` asks for a wait the first time. Dropped with the test's runtime.
struct Shop {
    base: String,
    visits: Arc<AtomicU32>,
}

impl Shop {
    async fn open() -> Self {
        let visits = Arc::new(AtomicU32::new(0));
        let counter = Arc::clone(&visits);
        let app =
            Router::new().route("/{page}", get(move |Path(page)| answer(page, counter.fetch_add(1, Ordering::SeqCst))));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let base = format!("http://{}", listener.local_addr().unwrap());
        tokio::spawn(async move { axum::serve(listener, app).await });
        Self { base, visits }
    }

    fn scrape(&self, pages: &[&str]) -> Scrape {
        let urls: Vec<String> = pages.iter().map(|page| format!("{}/{page}", self.base)).collect();
        serde_json::from_value(json!({ "product_id": "TEA-1", "urls": urls })).unwrap()
    }
}

async fn answer(page: String, earlier_visits: u32) -> Response {
    if page == "busy" && earlier_visits == 0 {
        return (StatusCode::SERVICE_UNAVAILABLE, [("retry-after", "7")]).into_response();
    }
    let file = if page == "busy" { "jsonld.html" } else { page.as_str() };
    match fs::read_to_string(format!("{}/../examples/shops/{file}", env!("CARGO_MANIFEST_DIR"))) {
        Ok(html) => Html(html).into_response(),
        Err(_) => StatusCode::NOT_FOUND.into_response(),
    }
}

/// The services as a process has them that fetches for real.
fn context(allow_hosts: &str) -> Context {
    let vars = HashMap::from([("MOCK_MODE_SCRAPING", "false"), ("SCRAPE_ALLOW_HOSTS", allow_hosts)]);
    let config = Config::from_vars(|name| vars.get(name).map(|value| (*value).to_owned()));
    assert!(config.complaints.is_empty(), "{:?}", config.complaints);
    Context {
        job_id: "0199a1b2-0000-7000-8000-000000000000".parse().unwrap(),
        tenant: "default".to_owned(),
        attempt: 1,
        max_attempts: Scrape::MAX_ATTEMPTS,
        allow_fallback: Scrape::ALLOW_FALLBACK,
        providers: Arc::new(Providers::from_config(&config).unwrap()),
    }
}

#[tokio::test]
async fn three_pages_give_two_prices_and_one_null() {
    let shop = Shop::open().await;
    let job = shop.scrape(&["jsonld.html", "microdata.html", "noprice.html", "gone.html"]);
    let done = job.run(&context("127.0.0.1")).await.unwrap();
    assert_eq!((done.provider, done.degraded_reason), (Some("direct"), None));
    let result = serde_json::to_value(done.result).unwrap();
    let price = |page: usize| &result["pages"][page]["price"];
    assert_eq!(
        *price(0),
        json!({ "amount": "39.90", "currency": "EUR", "availability": "InStock", "method": "json_ld" })
    );
    assert_eq!(
        *price(1),
        json!({ "amount": "1042.50", "currency": "EUR", "availability": "LimitedAvailability", "method": "microdata" })
    );
    assert_eq!((price(2), &result["pages"][2]["error"]), (&Value::Null, &Value::Null));
    assert_eq!(result["pages"][2]["title"], "Bespoke tea cabinet in oak – Hart & Sons, joiners");
    assert!(result["pages"][3]["error"].as_str().unwrap().contains("404"), "{result}");
}

#[tokio::test]
async fn a_busy_shop_is_asked_again_when_it_says() {
    let shop = Shop::open().await;
    let context = context("127.0.0.1");
    let error = shop.scrape(&["busy"]).run(&context).await.unwrap_err();
    let JobError::Retry { after, .. } = error else { panic!("{error:?}") };
    assert_eq!(after, Some(Duration::from_secs(7)));
    let done = shop.scrape(&["busy"]).run(&context).await.unwrap();
    assert!(done.result.pages[0].price.is_some());
}

#[tokio::test]
async fn private_addresses_are_not_fetched_unless_they_are_allowed() {
    let shop = Shop::open().await;
    let error = shop.scrape(&["jsonld.html"]).run(&context("shop.example")).await.unwrap_err();
    assert!(matches!(&error, JobError::Fatal { message, .. } if message.contains("127.0.0.1")), "{error:?}");
    assert_eq!(shop.visits.load(Ordering::SeqCst), 0);
}
