//! Scrape jobs against shops on loopback.

use std::{collections::HashMap, time::Duration};

use fleet::Fleet;
use jobs::{Context, Handler, JobError, scrape::Scrape};
use providers::{Config, Providers};

use serde_json::{Value, json};
use tests::Shop;

fn scrape(shop: &Shop, pages: &[&str]) -> Scrape {
    let urls: Vec<String> = pages.iter().map(|page| format!("{}/{page}", shop.url())).collect();
    serde_json::from_value(json!({ "product_id": "TEA-1", "urls": urls })).unwrap()
}

/// The services as a process has them that fetches for real.
fn context(allow_hosts: &str) -> Context {
    let vars = HashMap::from([("MOCK_MODE_SCRAPING", "false"), ("SCRAPE_ALLOW_HOSTS", allow_hosts)]);
    let config = Config::from_vars(|name| vars.get(name).map(|value| (*value).to_owned()));
    assert!(config.complaints.is_empty(), "{:?}", config.complaints);
    let job_id = "0199a1b2-0000-7000-8000-000000000000".parse().unwrap();
    Context::first_attempt::<Scrape>(job_id, Providers::from_config(&config, &Fleet::alone()).unwrap())
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
    let shop = Shop::start().await;
    let context = context("127.0.0.1");
    let error = scrape(&shop, &["busy"]).run(&context).await.unwrap_err();
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
