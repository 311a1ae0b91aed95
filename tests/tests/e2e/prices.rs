//! Competitors' prices over time: their history, alerts, exchange rates, and what all offers say together.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
};

use axum::{
    Router,
    http::{StatusCode, Uri},
    response::{Html, IntoResponse},
};
use chrono::{TimeDelta, Utc};
use mongodb::bson::{Document, doc};
use producer::Scope;
use reqwest::{Method, header};
use serde_json::{Value, json};
use servers::{MongoServer, wait_until};
use store::{Alert, Moment, Money, Offer, PricePoint, Store, WriteOffer, offer_id};
use tests::{Answer, JOB_PATIENCE, Options, PATIENCE, System, standins::fault::Front};

use crate::n_snoozes;

const ADDRESS: &str = "default@customer.example";

/// Amount, currency and availability by path.
type Prices = Arc<Mutex<BTreeMap<String, [String; 3]>>>;

/// A shop whose prices a test changes.
struct PriceShop {
    front: Front,
    prices: Prices,
}

impl PriceShop {
    async fn start() -> Self {
        let prices = Prices::default();
        let shown = prices.clone();
        let answer = async move |uri: Uri| match shown.lock().unwrap().get(uri.path()) {
            Some([amount, currency, availability]) => {
                let product = json!({ "@type": "Product", "name": "Lampe « Étoile »", "offers": { "@type": "Offer", "price": amount,
                    "priceCurrency": currency, "availability": format!("https://schema.org/{availability}") } });
                let page = format!("<title>Lampe</title><script type=\"application/ld+json\">{product}</script>");
                Html(page).into_response()
            }
            None => StatusCode::NOT_FOUND.into_response(),
        };
        Self { front: Front::start(0, Router::new().fallback(answer)).await.unwrap(), prices }
    }

    fn set(&self, path: &str, amount: &str, currency: &str, availability: &str) {
        let price = [amount, currency, availability].map(str::to_owned);
        self.prices.lock().unwrap().insert(path.to_owned(), price);
    }

    fn page(&self, path: &str) -> String {
        format!("{}{path}", self.front.url())
    }
}

fn options() -> Options {
    Options::default().workers(2).real_scraping(8)
}

pub(crate) async fn insert(system: &System, collection: &str, documents: Vec<Document>) {
    let client = mongodb::Client::with_uri_str(&system.mongo_url).await.unwrap();
    client.database(&system.name).collection::<Document>(collection).insert_many(documents).await.unwrap();
}

async fn write_tenant(system: &System) {
    let tenant = doc! { "_id": "default", "name": "Zoé Müller", "email": ADDRESS, "language": "fr", "time_zone": "Europe/Paris",
    "price_alert_percent": 5 };
    insert(system, "tenants", vec![tenant]).await;
}

async fn scrape(system: &System, urls: &[String]) -> Value {
    let id = system.post_job("scrape", json!({ "product_id": "L 1", "urls": urls })).await;
    let job = system.wait_job(&id).await;
    assert_eq!((&job["state"], &job["degraded"]), (&json!("succeeded"), &json!(false)), "{job}");
    job
}

async fn points(system: &System) -> Vec<(String, String)> {
    let answer = system.get("/api/products/L%201/prices").await;
    assert_eq!(answer.status, 200, "{}", answer.body);
    let points = answer.body["points"].as_array().unwrap();
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    points.iter().map(|point| (text(&point["url"]), text(&point["amount"]))).collect()
}

/// The e-mail jobs from this template, which are in the list when they have ended and the history has them; waits for the first.
async fn mails(system: &System, template: &str) -> Vec<Value> {
    let mut mails = Vec::new();
    wait_until("there is a mail", JOB_PATIENCE, async || {
        let page = system.get("/api/jobs?kind=email&limit=200").await.body;
        let jobs = page["items"].as_array().unwrap().iter();
        mails = jobs.filter(|job| job["payload"]["template"] == template).cloned().collect();
        !mails.is_empty()
    })
    .await;
    mails
}

/// What is in the letter box when no mail is on its way any more.
async fn sent_mails(system: &System) -> Vec<Value> {
    wait_until("no mail is on its way", JOB_PATIENCE, async || {
        let depth = system.depth("email").await;
        ["ready", "scheduled", "running", "retrying"].iter().all(|state| depth[state] == 0)
    })
    .await;
    let emails = system.get(&format!("/api/emails?to={ADDRESS}")).await.body;
    emails["items"].as_array().unwrap().clone()
}

/// The prices that mails told.
async fn alerts(system: &System) -> Vec<(Value, Value)> {
    let prices = |job: &Value| {
        let data = &job["payload"]["data"];
        (data["old_price"].clone(), data["new_price"].clone())
    };
    mails(system, "price_alert").await.iter().map(prices).collect()
}

async fn put_rates(system: &System, rates: &Value) -> Answer {
    Answer::to(system.request(Method::PUT, "/api/rates").json(rates)).await.unwrap()
}

pub(crate) async fn run_task(system: &System, task: &str) -> Value {
    let id = system.post_job("maintenance", json!({ "task": task })).await;
    system.wait_job(&id).await
}

/// The whole way: scrape, the price changes, scrape; two points, one mail, and the place among offers in two currencies.
#[tokio::test(flavor = "multi_thread")]
async fn a_change_of_price_is_a_point_and_an_alert_once_and_offers_are_compared() {
    let shop = PriceShop::start().await;
    let system = System::start(options()).await;
    write_tenant(&system).await;
    shop.set("/a", "60.00", "EUR", "InStock");
    shop.set("/b", "64.00", "EUR", "InStock");
    shop.set("/c", "50.00", "EUR", "OutOfStock");
    shop.set("/d", "77.00", "USD", "InStock");
    shop.set("/e", "61.00", "CHF", "InStock");
    let urls: Vec<String> = ["/a", "/b", "/c", "/d", "/e"].map(|path| shop.page(path)).to_vec();
    scrape(&system, &urls).await;
    scrape(&system, &urls).await;
    assert_eq!(points(&system).await.len(), 5, "one a page, and none a visit");
    shop.set("/a", "54.00", "EUR", "InStock");
    shop.set("/b", "65.00", "EUR", "InStock");
    scrape(&system, &urls).await;
    scrape(&system, &urls).await;
    let of_a: Vec<String> =
        points(&system).await.into_iter().filter(|(url, _)| *url == urls[0]).map(|of| of.1).collect();
    assert_eq!(of_a, ["60.00", "54.00"]);
    let emails = sent_mails(&system).await;
    assert_eq!(emails.iter().map(|email| &email["template"]).collect::<Vec<_>>(), ["price_alert"], "{emails:?}");
    assert_eq!(alerts(&system).await, [(json!("60.00"), json!("54.00"))], "65 is 1.6 % more than 64");

    // Without rates the dollars are left out and named.
    let compare = async |own: Value| {
        let answer = system.post("/api/prices/compare", &json!({ "product_id": "L 1", "own": own })).await;
        assert_eq!(answer.status, 200, "{}", answer.body);
        answer.body
    };
    let own = json!({ "amount": "60", "currency": "EUR" });
    let before = compare(own.clone()).await;
    assert_eq!(before["left_out"].as_array().unwrap().len(), 2, "{before}");
    let today = Utc::now().date_naive().to_string();
    let rates = json!({ "base": "EUR", "date": today, "rates": { "USD": "1.10" } });
    let put = put_rates(&system, &rates).await;
    assert_eq!(
        (put.status, &put.body["rates"], &put.body["base"]),
        (200, &rates["rates"], &json!("EUR")),
        "{}",
        put.body
    );
    let all = compare(own).await;
    let amounts: Vec<&str> =
        all["offers"].as_array().unwrap().iter().map(|offer| offer["amount"].as_str().unwrap()).collect();
    assert_eq!(amounts, ["50.00", "54.00", "65.00", "70.00"], "{all}");
    assert_eq!(
        (&all["currency"], &all["median"], &all["spread"]),
        (&json!("EUR"), &json!("59.50"), &json!("20.00")),
        "{all}"
    );
    assert_eq!(
        (&all["cheapest"]["url"], &all["position"]),
        (&json!(urls[0]), &json!(2)),
        "what is sold out is no offer: {all}"
    );
    assert_eq!((&all["outliers"], &all["rates_date"]), (&json!([]), &json!(today)), "{all}");
    assert_eq!(all["left_out"][0]["url"], json!(urls[4]), "{all}");
    assert!(all["left_out"][0]["reason"].as_str().unwrap().contains("from CHF to EUR"), "{all}");

    let product = system.get("/api/products/L%201").await.body;
    assert_eq!((product["offers"].as_array().map(Vec::len), &product["content"]), (Some(5), &Value::Null), "{product}");
    assert_eq!(product["links"]["prices"], "/api/products/L%201/prices");
    for (accept, media_type, begin) in [
        ("image/png", "image/png", &b"\x89PNG"[..]),
        ("image/svg+xml", "image/svg+xml", b"<svg "),
        ("*/*", "application/json", b"{"),
    ] {
        let request = system.request(Method::GET, "/api/products/L%201/prices").header(header::ACCEPT, accept);
        let answer = request.send().await.unwrap();
        assert_eq!((answer.status().as_u16(), answer.headers()["content-type"].to_str().unwrap()), (200, media_type));
        assert_eq!(answer.headers()["vary"], "accept");
        let bytes = answer.bytes().await.unwrap();
        assert!(bytes.starts_with(begin), "{accept}");
    }
    let none = system.get("/api/products/nothing").await;
    assert_eq!((none.status, none.body["type"].as_str().unwrap().ends_with("not-found")), (404, true), "{}", none.body);
    assert_eq!(system.get("/api/products/nothing/prices").await.body, json!({ "points": [] }));
}

#[tokio::test(flavor = "multi_thread")]
async fn jobs_that_read_a_page_at_the_same_moment_make_one_point_and_one_alert() {
    let shop = PriceShop::start().await;
    let system = System::start(options()).await;
    write_tenant(&system).await;
    shop.set("/a", "60.00", "EUR", "InStock");
    let many = async || {
        let payload = || json!({ "product_id": "L 1", "urls": [shop.page("/a"), shop.page("/a")] });
        let ids = system.post_jobs("scrape", (0..16).map(|_| payload())).await;
        for job in system.wait_jobs(&ids).await {
            assert_eq!(job["state"], "succeeded", "{job}");
        }
    };
    many().await;
    assert_eq!(points(&system).await.len(), 1);
    shop.set("/a", "30.00", "EUR", "InStock");
    many().await;
    assert_eq!(points(&system).await, [(shop.page("/a"), "60.00".to_owned()), (shop.page("/a"), "30.00".to_owned())]);
    // Each was pushed before its job had succeeded, so a second one would be on its way by now, or there.
    let emails = sent_mails(&system).await;
    assert_eq!(emails.iter().map(|email| &email["template"]).collect::<Vec<_>>(), ["price_alert"], "{emails:?}");
    assert_eq!(alerts(&system).await, [(json!("60.00"), json!("30.00"))]);
}

fn offer(tenant: &str, changes: &[(i64, &str)], alerts: &[Alert]) -> Vec<WriteOffer> {
    let at = |days_ago: i64| {
        let at = Utc::now() - TimeDelta::days(days_ago);
        Moment::from_ms(u64::try_from(at.timestamp_millis()).unwrap())
    };
    let url = "https://lamps.example/l".to_owned();
    let (mut writes, id) = (Vec::new(), offer_id(tenant, "L 1", &url, None));
    for (revision, (days_ago, amount)) in changes.iter().enumerate() {
        let (at, amount) = (at(*days_ago), (*amount).to_owned());
        let point = PricePoint { at, amount: amount.clone(), currency: Some("EUR".to_owned()), availability: None };
        let offer = Offer {
            id: id.clone(),
            tenant: tenant.to_owned(),
            product_id: "L 1".to_owned(),
            url: url.clone(),
            selector: None,
            revision: i64::try_from(revision).unwrap(),
            name: Some("Lampe".to_owned()),
            condition: None,
            seller: None,
            amount: amount.clone(),
            currency: Some("EUR".to_owned()),
            availability: None,
            since: at,
            seen_at: at,
            visited_at: at,
            gone: None,
            references: vec![Money { amount, currency: "EUR".to_owned() }],
            alerts: alerts.to_vec(),
        };
        writes.push(WriteOffer { offer, point: Some(point) });
    }
    writes
}

async fn write_offer(store: &Store, writes: &[WriteOffer]) {
    for write in writes {
        assert!(store.write_offers(std::slice::from_ref(write)).await.unwrap());
    }
}

/// A worker that died between the two writes leaves the alert in MongoDB; whoever finds it sends it, and no second one.
#[tokio::test(flavor = "multi_thread")]
async fn an_alert_that_a_dead_worker_left_behind_is_sent_once() {
    let system = System::start(Options::default().workers(1)).await;
    write_tenant(&system).await;
    let store = Store::open(&system.mongo_url, &system.name).await.unwrap();
    let at = Moment::from_ms(u64::try_from((Utc::now() - TimeDelta::minutes(5)).timestamp_millis()).unwrap());
    let alert = Alert { at, was: "60".to_owned(), becomes: "50".to_owned(), currency: "EUR".to_owned() };
    let writes = offer("default", &[(0, "50")], std::slice::from_ref(&alert));
    write_offer(&store, &writes).await;
    let without_record = offer("unknown", &[(0, "50")], std::slice::from_ref(&alert));
    write_offer(&store, &without_record).await;
    let job = run_task(&system, "price_alerts").await;
    assert_eq!((&job["state"], &job["result"]["count"]), (&json!("succeeded"), &json!(1)), "{job}");
    // It died once more before it could take the alert off.
    let mut found = store.offers(&[writes[0].offer.id.clone()]).await.unwrap().read.remove(0);
    assert_eq!(found.alerts, []);
    found.alerts = vec![alert];
    assert!(store.write_offers(&[WriteOffer { offer: found, point: None }]).await.unwrap());
    let job = run_task(&system, "price_alerts").await;
    assert_eq!(job["result"]["count"], 0, "{job}");
    assert_eq!(sent_mails(&system).await.len(), 1);
    assert_eq!(alerts(&system).await, [(json!("60"), json!("50"))]);
    let waiting = store.offers_with_alerts(Moment::from_ms(u64::MAX >> 2), 9).await.unwrap();
    assert_eq!(waiting, [], "nobody is told for a tenant that is not there");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_weekly_summary_tells_how_prices_changed() {
    let system = System::start(Options::default().workers(1)).await;
    write_tenant(&system).await;
    let store = Store::open(&system.mongo_url, &system.name).await.unwrap();
    let changes = [(20, "70"), (10, "60"), (5, "50"), (1, "54.5")];
    write_offer(&store, &offer("default", &changes, &[])).await;
    let written = system.post_job("content", crate::product(1)).await;
    system.wait_job(&written).await;
    wait_until("its end is in the history", JOB_PATIENCE, async || store.past_job(&written).await.unwrap().is_some())
        .await;
    assert_eq!(run_task(&system, "weekly_summary").await["result"]["count"], 1);
    let mail = mails(&system, "weekly_summary").await.remove(0);
    let expected = json!([{ "product": "Lampe", "competitor": "lamps.example", "old_price": "60", "new_price": "54.5",
        "currency": "EUR" }]);
    assert_eq!(mail["payload"]["data"]["price_changes"], expected, "{mail}");
    let mail = system.wait_job(mail["id"].as_str().unwrap()).await;
    assert_eq!(mail["state"], "succeeded", "{mail}");
}

/// The file of the European Central Bank, with these rates.
fn daily(date: &str, usd: &str) -> String {
    format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<gesmes:Envelope xmlns:gesmes=\"http://www.gesmes.org/xml/2002-08-01\" \
         xmlns=\"http://www.ecb.int/vocabulary/2002-08-01/eurofxref\">\n\t<gesmes:subject>Reference rates</gesmes:subject>\n\t<Cube>\n\t\t\
         <Cube time='{date}'>\n\t\t\t<Cube currency='USD' rate='{usd}'/>\n\t\t\t<Cube currency='JPY' rate='164.25'/>\n\t\t</Cube>\n\t</Cube>\n\
         </gesmes:Envelope>"
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn exchange_rates_are_read_from_the_banks_file_and_a_bad_one_loses_nothing() {
    let file = Arc::new(Mutex::new(daily("2026-11-26", "1.0712")));
    let served = file.clone();
    let answer = async move || match served.lock().unwrap().as_str() {
        "" => StatusCode::SERVICE_UNAVAILABLE.into_response(),
        file => file.to_owned().into_response(),
    };
    let bank = Front::start(0, Router::new().fallback(answer)).await.unwrap();
    let system =
        System::start(Options::default().workers(1).env("RATES_URL", format!("{}/eurofxref-daily.xml", bank.url())))
            .await;
    let none = system.get("/api/rates").await;
    assert!(none.status == 404 && none.body["detail"].as_str().unwrap().contains("RATES_URL"), "{}", none.body);
    let job = run_task(&system, "rates").await;
    assert_eq!((&job["state"], &job["result"]["count"]), (&json!("succeeded"), &json!(2)), "{job}");
    let read = system.get("/api/rates").await.body;
    assert_eq!(
        (&read["date"], &read["rates"]),
        (&json!("2026-11-26"), &json!({ "JPY": "164.25", "USD": "1.0712" })),
        "{read}"
    );
    assert_eq!(read["by"], "127.0.0.1");

    let whole = daily("2026-11-27", "1.08");
    for bad in [
        &whole[..whole.len() / 2],
        "<html>maintenance</html>",
        &whole.replace("1.08", "1,08"),
        &daily("2036-11-27", "1.08"),
    ] {
        bad.clone_into(&mut file.lock().unwrap());
        let task = json!({ "kind": "maintenance", "payload": { "task": "rates" }, "options": { "max_attempts": 1 } });
        let id = system.post("/api/jobs", &task).await.body["id"].as_str().unwrap().to_owned();
        let job = system.wait_job(&id).await;
        let error = job["attempts"][0]["error"]["message"].as_str().unwrap_or_default();
        assert!(job["state"] == "dead" && error.contains("those that are there stay"), "{job}");
        assert_eq!(system.get("/api/rates").await.body, read);
    }

    // A bank that is away for a while costs no attempt.
    file.lock().unwrap().clear();
    let task = json!({ "kind": "maintenance", "payload": { "task": "rates" }, "options": { "max_attempts": 1 } });
    let id = system.post("/api/jobs", &task).await.body["id"].as_str().unwrap().to_owned();
    wait_until("the job was put off", PATIENCE, async || n_snoozes(&system.job(&id).await) == 1).await;
    let job = system.job(&id).await;
    assert_eq!(
        (&job["state"], &job["snoozes"]["last_code"]),
        (&json!("scheduled"), &json!("rates_unavailable")),
        "{job}"
    );

    // What an administrator has set stays, whatever the file of that day says.
    let set = json!({ "base": "EUR", "date": "2026-11-27", "rates": { "USD": "1.09", "GBP": "0.83" } });
    assert_eq!(put_rates(&system, &set).await.status, 200);
    whole.clone_into(&mut file.lock().unwrap());
    run_task(&system, "rates").await;
    assert_eq!(system.get("/api/rates").await.body["rates"], set["rates"]);
    assert_eq!(system.get("/api/rates?date=2026-11-26").await.body, read);

    let token = system.token(&[Scope::JobsRead, Scope::JobsWrite]);
    let request = system.client().get(format!("{}/api/rates", system.url())).bearer_auth(&token);
    let shown = Answer::to(request).await.unwrap().body;
    assert_eq!(
        (&shown["rates"], &shown["by"]),
        (&set["rates"], &Value::Null),
        "who administers is not told to all: {shown}"
    );
    let request = system.client().put(format!("{}/api/rates", system.url())).bearer_auth(token).json(&set);
    assert_eq!(Answer::to(request).await.unwrap().status, 403);
    let bad = json!({ "base": "USD", "date": "2026-11-27", "rates": { "usd": "1", "GBP": "0" }, "more": 1 });
    let refused = put_rates(&system, &bad).await;
    assert_eq!(refused.status, 422, "{}", refused.body);
    let bad = json!({ "base": "EUR", "date": "2026-11-27", "rates": { "usd": "1", "GBP": "0" } });
    let refused = put_rates(&system, &bad).await;
    let pointers: Vec<&str> =
        refused.body["errors"].as_array().unwrap().iter().map(|error| error["pointer"].as_str().unwrap()).collect();
    assert_eq!((refused.status, pointers), (422, vec!["/rates/GBP", "/rates/usd"]));
}

#[tokio::test(flavor = "multi_thread")]
async fn without_an_address_no_rates_are_read_and_the_task_says_so() {
    let system = System::start(Options::default().workers(1)).await;
    let job = run_task(&system, "rates").await;
    assert_eq!(job["state"], "succeeded", "{job}");
    assert!(job["result"]["note"].as_str().unwrap().contains("RATES_URL is not set"), "{job}");
}

/// As the timetable runs it: the pages of a product are fetched, and later what they say together is kept; an equal thing is done by whoever
/// runs the task again.
#[tokio::test(flavor = "multi_thread")]
async fn the_unified_price_of_a_watched_product_is_kept_and_shown_with_what_was_made_of_it() {
    let shop = PriceShop::start().await;
    let system = System::start(options()).await;
    let paths: Vec<String> = (0..5).map(|n| format!("/{n}")).collect();
    for (n, path) in paths.iter().enumerate() {
        shop.set(path, &format!("6{n}.00"), "EUR", "InStock");
    }
    shop.set("/4", "6.40", "EUR", "InStock");
    let monitors =
        paths.iter().map(|path| doc! { "_id": path, "tenant": "default", "product_id": "L 1", "url": shop.page(path) });
    insert(&system, "monitors", monitors.collect()).await;
    let product = async || system.get("/api/products/L%201").await.body;
    assert_eq!(
        (product().await["monitors"].as_array().map(Vec::len), &product().await["comparison"]),
        (Some(5), &Value::Null)
    );
    assert_eq!(run_task(&system, "prices").await["result"]["count"], 5);
    wait_until("all pages were read", JOB_PATIENCE, async || points(&system).await.len() == 5).await;
    let mut text = crate::product(1);
    text["product_id"] = json!("L 1");
    let written = system.post_job("content", text).await;
    let title = system.wait_job(&written).await["result"]["title"].clone();
    for _ in 0..2 {
        assert_eq!(run_task(&system, "unified_prices").await["result"]["count"], 1);
    }
    let product = product().await;
    let comparison = &product["comparison"];
    assert_eq!((&comparison["median"], &comparison["currency"]), (&json!("61.50"), &json!("EUR")), "{product}");
    assert_eq!(comparison["outliers"][0]["url"], json!(shop.page("/4")), "{product}");
    assert_eq!(
        (&product["content"]["job"], &product["content"]["result"]["title"]),
        (&json!(written), &title),
        "{product}"
    );
}

/// One damaged document costs the other pages of a job nothing, and no job its result.
#[tokio::test(flavor = "multi_thread")]
async fn an_offer_that_cannot_be_read_costs_the_other_pages_no_history() {
    let shop = PriceShop::start().await;
    let system = System::start(options()).await;
    shop.set("/a", "60.00", "EUR", "InStock");
    shop.set("/b", "70.00", "EUR", "InStock");
    let urls = ["/a", "/b"].map(|path| shop.page(path));
    let damaged = doc! { "_id": offer_id("default", "L 1", &urls[0], None), "tenant": "default", "product_id": "L 1",
    "revision": 1_i64, "amount": 60 };
    insert(&system, "offers", vec![damaged]).await;
    scrape(&system, &urls).await;
    assert_eq!(points(&system).await, [(urls[1].clone(), "70.00".to_owned())]);
}

/// What was read is not fetched again, and its history is there when the job has succeeded.
#[tokio::test(flavor = "multi_thread")]
async fn while_mongodb_is_away_a_scrape_is_put_off_with_its_pages_and_its_point_is_made_once() {
    let (shop, mongo) = (PriceShop::start().await, MongoServer::start());
    shop.set("/a", "60.00", "EUR", "InStock");
    let system = System::start(Options { mongo_url: Some(mongo.url()), ..options() }).await;
    mongo.stop();
    let id = system.post_job("scrape", json!({ "product_id": "L 1", "urls": [shop.page("/a")] })).await;
    wait_until("the job was put off", PATIENCE, async || n_snoozes(&system.job(&id).await) >= 1).await;
    let put_off = system.job(&id).await;
    assert_eq!(
        (&put_off["snoozes"]["last_code"], &put_off["attempt"]),
        (&json!("store_unavailable"), &json!(1)),
        "{put_off}"
    );
    // With another price it would show that the page was fetched again.
    shop.set("/a", "61.00", "EUR", "InStock");
    mongo.restart();
    let job = system.wait_job(&id).await;
    assert_eq!(job["result"]["pages"][0]["price"]["amount"], "60.00", "{job}");
    assert_eq!(points(&system).await, [(shop.page("/a"), "60.00".to_owned())]);
}

#[tokio::test(flavor = "multi_thread")]
async fn mock_prices_have_no_history() {
    let system = System::start(Options::default().workers(1)).await;
    let id = system.post_job("scrape", json!({ "product_id": "L 1", "urls": ["https://shop.example/l"] })).await;
    let job = system.wait_job(&id).await;
    assert_eq!(job["result"]["pages"][0]["price"]["method"], "mock", "{job}");
    assert_eq!((points(&system).await, system.get("/api/products/L%201").await.status), (vec![], 404));
}
