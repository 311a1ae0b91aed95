//! Competitors' pages, and the two that fetch them for us.

use serde_json::{Value, json};
use tests::standins::{
    Fault,
    scraping::{BrightData, Pages, ScraperApi},
};

use crate::client;

async fn get(url: &str, query: &[(&str, &str)]) -> (u16, String, reqwest::header::HeaderMap) {
    let answer = client().get(url).query(query).send().await.unwrap();
    let (status, headers) = (answer.status().as_u16(), answer.headers().clone());
    (status, answer.text().await.unwrap(), headers)
}

#[tokio::test]
async fn pages_are_served_and_fail_as_told() {
    let pages = Pages::start(0).await.unwrap();
    let url = format!("{}/jsonld.html", pages.url());
    assert!(get(&url, &[]).await.1.contains("application/ld+json"));
    pages.faults().next(1, Fault::retry_after(503, 7));
    let (status, _, headers) = get(&url, &[]).await;
    assert_eq!((status, headers["retry-after"].to_str().unwrap()), (503, "7"));
    assert_eq!(get(&format!("{}/../Cargo.toml", pages.url()), &[]).await.0, 404);
}

#[tokio::test]
async fn a_page_that_the_client_has_is_not_sent_again() {
    let pages = Pages::start(0).await.unwrap();
    let url = format!("{}/jsonld.html", pages.url());
    let (_, _, headers) = get(&url, &[]).await;
    let status =
        async |name: &str, value: &str| client().get(&url).header(name, value).send().await.unwrap().status().as_u16();
    let [tag, modified] = ["etag", "last-modified"].map(|name| headers[name].to_str().unwrap());
    for (name, value) in [("if-none-match", tag), ("if-none-match", &tag[2..]), ("if-modified-since", modified)] {
        assert_eq!(status(name, value).await, 304, "{name}: {value}");
    }
    let before = "Sun, 22 Nov 2015 10:00:00 GMT";
    for (name, value) in [("if-none-match", "\"other\""), ("if-modified-since", before)] {
        assert_eq!(status(name, value).await, 200, "{name}: {value}");
    }
    assert_eq!(pages.n_not_modified(), 3);
}

#[tokio::test]
async fn scraperapi_gives_the_targets_status_and_body_and_counts_credits() {
    let pages = Pages::start(0).await.unwrap();
    let api = ScraperApi::start(0, "key", 27).await.unwrap();
    let (page, gone) = (format!("{}/jsonld.html", pages.url()), format!("{}/gone.html", pages.url()));
    let ask = async |more: &[(&str, &str)]| get(&api.url(), &[&[("api_key", "key")], more].concat()).await;

    let (status, body, headers) = ask(&[("url", &page)]).await;
    assert_eq!((status, headers["sa-credit-cost"].to_str().unwrap()), (200, "1"));
    assert!(body.contains("application/ld+json"));
    assert_eq!(ask(&[("url", &gone)]).await.0, 404);
    assert_eq!((api.spent(), api.faults().n_answered(&page)), (2, 1), "a page that is gone is charged too");
    let (status, body, _) = ask(&[("url", &page), ("render", "true"), ("max_cost", "5")]).await;
    assert!(status == 403 && body.contains("max_cost"), "{status} {body}");
    assert_eq!(ask(&[("url", &page), ("render", "true"), ("premium", "true")]).await.0, 200);
    let (status, body, _) = ask(&[("url", &page)]).await;
    assert!(status == 403 && body.contains("exhausted"), "{status} {body}");
    pages.faults().always(Fault::DropBefore);
    let account: Value =
        serde_json::from_str(&get(&format!("{}/account", api.url()), &[("api_key", "key")]).await.1).unwrap();
    assert_eq!((&account["requestCount"], &account["requestLimit"]), (&json!(27), &json!(27)));
    assert_eq!(get(&api.url(), &[("api_key", "other"), ("url", &page)]).await.0, 403);
    assert_eq!(ask(&[]).await.0, 400);
    assert_eq!(ask(&[("url", "https://example.com/")]).await.0, 400, "it stays on this machine");
}

#[tokio::test]
async fn a_target_that_fails_is_500_and_free() {
    let pages = Pages::start(0).await.unwrap();
    let api = ScraperApi::start(0, "key", 10).await.unwrap();
    pages.faults().always(Fault::status(503));
    let (status, _, headers) =
        get(&api.url(), &[("api_key", "key"), ("url", &format!("{}/jsonld.html", pages.url()))]).await;
    assert_eq!((status, headers["sa-statuscode"].to_str().unwrap(), api.spent()), (500, "503", 0));
}

#[tokio::test]
async fn bright_data_tells_its_errors_in_headers() {
    let pages = Pages::start(0).await.unwrap();
    let api = BrightData::start(0, "key", "unlocker").await.unwrap();
    let page = format!("{}/jsonld.html", pages.url());
    let ask = async |body: Value| {
        let request = client().post(format!("{}/request", api.url())).bearer_auth("key").json(&body);
        let answer = request.send().await.unwrap();
        let code = answer.headers().get("x-brd-err-code").map(|code| code.to_str().unwrap().to_owned());
        (answer.status().as_u16(), code, answer.text().await.unwrap())
    };
    let good = |format: &str| json!({ "zone": "unlocker", "url": page, "format": format });
    let (status, code, body) = ask(good("raw")).await;
    assert!(status == 200 && code.is_none() && body.contains("application/ld+json"));
    let wrapped: Value = serde_json::from_str(&ask(good("json")).await.2).unwrap();
    assert_eq!(wrapped["status_code"], 200);
    assert!(wrapped["body"].as_str().unwrap().contains("application/ld+json"));

    api.fail_next("client_10100", "usage limit");
    assert_eq!(ask(good("raw")).await, (200, Some("client_10100".to_owned()), String::new()));
    pages.faults().next(1, Fault::DropBefore);
    assert_eq!(ask(good("raw")).await.1.as_deref(), Some("target_502"));
    assert_eq!(ask(json!({ "url": page, "format": "raw" })).await.0, 400, "a zone is mandatory");
    assert_eq!(ask(json!({ "zone": "unlocker", "url": page })).await.0, 400);
    let stranger = client().get(format!("{}/zone/get_all_zones", api.url())).bearer_auth("other").send().await.unwrap();
    assert_eq!(stranger.status().as_u16(), 401);
}
