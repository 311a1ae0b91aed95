//! Products in stores, in the whole system, against stand-ins of the three shops.

mod kills;
mod life;
mod many;

use std::{
    collections::{BTreeMap, BTreeSet},
    io::Cursor,
};

use axum::Router;
use bytes::Bytes;
use image::{ImageFormat, Rgb, RgbImage};
use providers::publication::Shop;
use reqwest::{Method, header};
use serde_json::{Value, json};
use servers::wait_until;
use tests::{
    Answer, JOB_PATIENCE, Options, System,
    standins::{
        Fault, any_shop::AnyShop, fault::Front, openai::OpenAi, prestashop::PrestaShop, shopify::Shopify,
        woocommerce::WooCommerce,
    },
};

use crate::{attempts, n_snoozes};

const KEY: &str = "ck_pub";
const SECRET: &str = "cs_pub";
const TOKEN: &str = "shpat_pub";
const PRESTA: &str = "hushhushhushhushhushhushhushhush";

async fn woo() -> WooCommerce {
    WooCommerce::plain(0, KEY, SECRET).await.unwrap()
}

fn with_woo(shop: &WooCommerce) -> Options {
    Options::default()
        .env("MOCK_MODE_PUBLICATION", "false")
        .env("BREAKER_OPEN_S", "1")
        .env("WOO_STORE_URL", shop.url())
        .env("WOO_CONSUMER_KEY", KEY)
        .env("WOO_CONSUMER_SECRET", SECRET)
}

fn cup(sku: &str) -> Value {
    json!({ "product_id": "CUP", "sku": sku, "title": "Tasse « Étoile »", "description_html": "<p>Red.</p>",
        "price": { "amount": "12.50", "currency": "EUR" } })
}

/// The payload with these fields besides.
fn with(payload: &Value, fields: &Value) -> Value {
    let mut payload = payload.clone();
    payload.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
    payload
}

/// Runs one job to its end, which is a success.
async fn done(system: &System, payload: Value) -> Value {
    let id = system.post_job("publication", payload).await;
    let job = system.wait_job(&id).await;
    assert_eq!(job["state"], "succeeded", "{job}");
    job["result"].clone()
}

const RING: &str = "k1:aHVzaGh1c2hodXNoaHVzaGh1c2hodXNoaHVzaGh1c2g=";

/// Tenants' stores on loopback, in real mode.
fn with_stores() -> Options {
    Options::default()
        .env("MOCK_MODE_PUBLICATION", "false")
        .env("BREAKER_OPEN_S", "1")
        .env("STORE_ALLOW_HOSTS", "127.0.0.1")
        .env("ENCRYPTION_KEY", RING)
}

/// A store as it is put; with WooCommerce it speaks French, the others say what they speak.
fn store_at(shop: &AnyShop, credentials: &Value) -> Value {
    let languages = if shop.shop() == Shop::Woocommerce { json!(["fr"]) } else { json!([]) };
    json!({ "shop": shop.shop(), "url": shop.url(), "allow_http": shop.shop() == Shop::Woocommerce, "credentials": credentials, "languages": languages,
        "currency": "EUR" })
}

async fn put_store(system: &System, name: &str, store: &Value) {
    let put = Answer::to(system.request(Method::PUT, &format!("/api/stores/{name}")).json(store)).await.unwrap();
    assert!([200, 201].contains(&put.status), "{name}: {}", put.body);
}

/// A picture of one colour at whatever address.
async fn pictures() -> Front {
    let mut jpg = Cursor::new(Vec::new());
    RgbImage::from_pixel(64, 48, Rgb([180, 60, 40])).write_to(&mut jpg, ImageFormat::Jpeg).unwrap();
    let jpg = Bytes::from(jpg.into_inner());
    Front::start(0, Router::new().fallback(async move || ([(header::CONTENT_TYPE, "image/jpeg")], jpg.clone())))
        .await
        .unwrap()
}

/// A cup that comes in colours, in two languages, reduced.
fn coloured(pictures: &Front, sku: &str, variants: &Value) -> Value {
    let values: Vec<&Value> =
        variants.as_array().unwrap().iter().map(|variant| &variant["options"]["Colour"]).collect();
    json!({ "product_id": sku, "sku": sku, "title": "Cup", "description_html": "<p>Red or blue.</p>",
        "translations": { "fr": { "title": "Tasse", "description_html": "<p>Rouge ou bleue.</p>" } },
        "price": eur("30.00"), "sale_price": eur("25.00"), "images": images(pictures, &["front", "back"]),
        "options": [{ "name": "Colour", "values": values }], "variants": variants,
        "categories": ["Cups", "Gifts"], "tags": ["clay"], "brand": "Potter" })
}

fn variant(sku: &str, colour: &str, price: &str, stock: i64) -> Value {
    json!({ "sku": sku, "options": { "Colour": colour }, "price": eur(price), "sale_price": eur("25.00"), "stock": stock })
}

fn eur(amount: &str) -> Value {
    json!({ "amount": amount, "currency": "EUR" })
}

fn images(pictures: &Front, names: &[&str]) -> Value {
    names
        .iter()
        .map(|name| json!({ "url": format!("{}/{name}.jpg", pictures.url()), "alt": format!("The {name}") }))
        .collect()
}

/// Fails unless the shop has this one product, and shows all that the payload says of it.
#[track_caller]
fn assert_holds(shop: &AnyShop, payload: &Value, about: &str) {
    let products = shop.products();
    assert_eq!(products.len(), 1, "{about}: {products:?}");
    for (name, ought) in said(shop.shop(), payload) {
        assert_eq!(products[0].get(&name).unwrap_or(&Value::Null), &ought, "{about}: {name} of {products:?}");
    }
}

/// What a payload says, as [`AnyShop::products`] tells it.
fn said(shop: Shop, payload: &Value) -> BTreeMap<String, Value> {
    let mut said = BTreeMap::new();
    let money = |price: &Value| {
        let amount: f64 = price["amount"].as_str()?.parse().unwrap();
        Some(json!(amount.to_string()))
    };
    let french = &payload["translations"]["fr"];
    for name in ["title", "description_html"] {
        let own = if shop == Shop::Woocommerce && !french[name].is_null() { &french[name] } else { &payload[name] };
        if !own.is_null() {
            said.insert(name.to_owned(), own.clone());
        }
    }
    if shop != Shop::Woocommerce && !french["title"].is_null() {
        said.insert("translations.fr.title".to_owned(), french["title"].clone());
    }
    for name in ["categories", "tags", "brand", "status"] {
        if let Some(value) = payload.get(name) {
            said.insert(name.to_owned(), value.clone());
        }
    }
    // PrestaShop is sent files whose names say nothing.
    if let Some(images) = payload["images"].as_array().filter(|_| shop != Shop::Prestashop) {
        let key = |image: &Value| image["url"].as_str()?.rsplit('/').next()?.strip_suffix(".jpg").map(str::to_owned);
        said.insert("images".to_owned(), images.iter().map(key).collect());
    }
    if let Some(variants) = payload["variants"].as_array() {
        let variants = variants.iter().map(|variant| {
            let (price, sale) = (money(&variant["price"]), money(&variant["sale_price"]));
            (
                variant["sku"].as_str().unwrap().to_owned(),
                json!({ "price": price, "sale_price": sale, "stock": variant["stock"] }),
            )
        });
        said.insert("variants".to_owned(), Value::Object(variants.collect()));
    }
    said
}

/// Why a job died.
fn last_error(job: &Value) -> String {
    attempts(job).last().unwrap()["error"]["message"].as_str().unwrap_or_default().to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_product_is_made_changed_and_left_alone_in_each_shop() {
    let (woo, presta) = (woo().await, PrestaShop::start(0, PRESTA).await.unwrap());
    let shopify = Shopify::start(0, TOKEN).await.unwrap();
    let options = with_woo(&woo)
        .env("PRESTA_STORE_URL", presta.url())
        .env("PRESTA_API_KEY", PRESTA)
        .env("SHOPIFY_STORE_URL", shopify.url())
        .env("SHOPIFY_ACCESS_TOKEN", TOKEN);
    let system = System::start(options.workers(2)).await;
    for shop in ["woocommerce", "prestashop", "shopify"] {
        let of = |fields: Value| with(&json!({ "product_id": "CUP", "sku": "CUP-1", "shop": shop }), &fields);
        let dry = done(&system, with(&cup("CUP-1"), &json!({ "shop": shop, "action": "dry_run" }))).await;
        assert_eq!((&dry["status"], &dry["external_id"]), (&json!("published"), &Value::Null), "{shop}: {dry}");
        let made = done(&system, with(&cup("CUP-1"), &json!({ "shop": shop, "stock": 4 }))).await;
        assert_eq!((&made["status"], &made["published"]), (&json!("published"), &json!(true)), "{shop}: {made}");
        assert!(made["verified_at"].is_string() && made["url"].is_string(), "{shop}: {made}");

        let again = done(&system, with(&cup("CUP-1"), &json!({ "shop": shop, "stock": 4 }))).await;
        assert_eq!((&again["status"], &again["changes"]), (&json!("unchanged"), &json!([])), "{shop}: {again}");
        assert_eq!(again["external_id"], made["external_id"], "{shop}");

        let dearer = done(&system, of(json!({ "price": { "amount": "13.00", "currency": "EUR" } }))).await;
        assert_eq!(
            dearer["changes"],
            json!([{ "field": "price", "was": "12.5", "becomes": "13" }]),
            "{shop}: {dearer}"
        );
        let fewer = done(&system, of(json!({ "stock": 3 }))).await;
        assert_eq!(fewer["changes"], json!([{ "field": "stock", "was": 4, "becomes": 3 }]), "{shop}: {fewer}");

        let verified = done(&system, of(json!({ "action": "verify" }))).await;
        assert_eq!(verified["status"], "unchanged", "{shop}: {verified}");
        let hidden = done(&system, of(json!({ "action": "unpublish" }))).await;
        assert_eq!(
            (&hidden["status"], &hidden["published"]),
            (&json!("unpublished"), &json!(false)),
            "{shop}: {hidden}"
        );
        let shown = done(&system, of(json!({ "status": "active" }))).await;
        assert_eq!((&shown["status"], &shown["published"]), (&json!("published"), &json!(true)), "{shop}: {shown}");
    }
    let known = system.get("/api/products/CUP").await.body;
    let stores: BTreeSet<&str> =
        known["stores"].as_array().unwrap().iter().filter_map(|at| at["shop"].as_str()).collect();
    assert_eq!(stores.into_iter().collect::<Vec<_>>(), ["prestashop", "shopify", "woocommerce"], "{known}");
    for shop in ["woocommerce", "prestashop", "shopify"] {
        let gone = json!({ "product_id": "CUP", "sku": "CUP-1", "shop": shop, "action": "delete" });
        let gone = done(&system, gone).await;
        assert_eq!((&gone["status"], &gone["published"]), (&json!("deleted"), &json!(false)), "{shop}: {gone}");
    }
    assert_eq!((woo.products("CUP-1").len(), presta.n_products("CUP-1"), shopify.products().len()), (0, 0, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn jobs_of_one_sku_take_effect_in_the_order_of_their_ids_and_run_one_at_a_time() {
    let shop = woo().await;
    let system = System::start(with_woo(&shop).workers(2)).await;
    let jobs: Vec<Value> = (1..=20)
        .map(|n| {
            let price = json!({ "amount": format!("{n}.00"), "currency": "EUR" });
            json!({ "kind": "publication", "payload": with(&cup("CUP-1"), &json!({ "price": price, "tags": [format!("t{n}")] })) })
        })
        .collect();
    let taken = system.post("/api/jobs/batch", &json!({ "jobs": jobs })).await;
    assert_eq!(taken.body["accepted"], 20, "{}", taken.body);
    let ids = taken.body["results"].as_array().unwrap().iter().map(|line| line["id"].as_str().unwrap());
    // Of jobs that came in the same millisecond the ids are in no order.
    let ids: BTreeMap<&str, usize> = ids.zip(1..).collect();
    for id in ids.keys() {
        let job = system.wait_job(id).await;
        assert_eq!(job["state"], "succeeded", "{job}");
    }
    let products = shop.products("CUP-1");
    assert_eq!((products.len(), shop.n_created("CUP-1")), (1, 1));
    let (_, last) = ids.last_key_value().unwrap();
    let (price, tag) = (json!(last.to_string()), json!(format!("t{last}")));
    assert_eq!((&products[0]["regular_price"], &products[0]["tags"][0]["name"]), (&price, &tag));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_killed_at_any_step_of_a_publication_leaves_one_whole_product() {
    let shop = woo().await;
    let mut system = System::start(with_woo(&shop).env("LEASE_S", "3").env("RENEWAL_S", "1").workers(1)).await;
    let mut worker = 0;
    for step in 1..=6 {
        let sku = format!("CUP-{step}");
        let before = shop.faults().n_requests();
        shop.faults().nth(step, Fault::Hang);
        let payload = with(&cup(&sku), &json!({ "tags": ["a"], "stock": 2 }));
        let id = system.post_job("publication", payload).await;
        wait_until("the job has come to this step or its end", JOB_PATIENCE, async || {
            shop.faults().n_requests() >= before + step || tests::is_finished(&system.job(&id).await)
        })
        .await;
        system.kill_worker(worker);
        shop.faults().recover();
        worker = system.start_worker().await;
        let job = system.wait_job(&id).await;
        assert_eq!(job["state"], "succeeded", "step {step}: {job}");
        let products = shop.products(&sku);
        assert_eq!((products.len(), &products[0]["status"]), (1, &json!("publish")), "step {step}: {products:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_store_that_refuses_us_holds_its_jobs_without_using_attempts() {
    let shop = woo().await;
    let system = System::start(with_woo(&shop).workers(1)).await;
    let refused = r#"{"code":"woocommerce_rest_cannot_view","message":"no","data":{"status":401}}"#.to_owned();
    shop.faults().always(Fault::Status { status: 401, headers: [].into(), body: refused });
    let id = system.post_job("publication", cup("CUP-1")).await;
    wait_until("the job is put off", JOB_PATIENCE, async || n_snoozes(&system.job(&id).await) > 0).await;
    let job = system.job(&id).await;
    assert_eq!((attempts(&job).len(), &job["state"]), (0, &json!("scheduled")), "{job}");
    shop.faults().recover();
    let job = system.wait_job(&id).await;
    assert_eq!((&job["state"], attempts(&job).len()), (&json!("succeeded"), 1), "{job}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_shop_cannot_hold_is_refused_by_field_in_words() {
    let shop = woo().await;
    shop.plant(&json!({ "name": "Café", "sku": "CAFÉ9", "regular_price": "1" }));
    let system = System::start(with_woo(&shop).workers(1)).await;
    for (payload, words) in [
        (cup("CAFE9"), "the shop takes it for that of another product"),
        (cup("a%41b"), "sku"),
        (
            json!({ "product_id": "CUP", "sku": "NEW-1", "price": { "amount": "1", "currency": "EUR" }, "action": "dry_run" }),
            "title: is needed",
        ),
        (with(&cup("CUP-1"), &json!({ "translations": { "de": { "title": "Tasse" } } })), "translations.de"),
    ] {
        let id = system.post_job("publication", payload).await;
        let job = system.wait_job(&id).await;
        assert_eq!((&job["state"], attempts(&job).len()), (&json!("dead"), 1), "{job}");
        assert!(last_error(&job).contains(words), "{words} in {}", last_error(&job));
    }
    assert_eq!(shop.products("CAFÉ9")[0]["name"], "Café", "another product stays as it is");
    let nowhere = json!({ "kind": "publication", "payload": with(&cup("CUP-1"), &json!({ "store": "nowhere" })) });
    let unknown = Answer::to(system.request(Method::POST, "/api/jobs").json(&nowhere)).await.unwrap();
    unknown.assert_problem(422, "unknown-store");
    assert_eq!(unknown.body["errors"][0]["pointer"], "/payload/store");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stock_that_comes_before_its_product_waits_for_it() {
    let shop = woo().await;
    let system = System::start(with_woo(&shop).workers(2)).await;
    let stock = system.post_job("publication", json!({ "product_id": "CUP", "sku": "CUP-1", "stock": 7 })).await;
    wait_until("the stock waits", JOB_PATIENCE, async || {
        system.job(&stock).await["snoozes"]["last_code"] == "not_there_yet"
    })
    .await;
    done(&system, cup("CUP-1")).await;
    let job = system.wait_job(&stock).await;
    assert_eq!((&job["state"], attempts(&job).len()), (&json!("succeeded"), 1), "{job}");
    assert_eq!(shop.products("CUP-1")[0]["stock_quantity"], 7);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_batch_of_products_is_one_job_that_goes_on_after_a_kill() {
    let shop = woo().await;
    let mut system = System::start(with_woo(&shop).env("LEASE_S", "3").env("RENEWAL_S", "1").workers(1)).await;
    let mut lines: Vec<String> = (0..250).map(|n| cup(&format!("CUP-{n:03}")).to_string()).collect();
    lines.insert(10, "no json".to_owned());
    let bad = with(&cup("BAD"), &json!({ "translations": { "de": { "title": "Tasse" } } }));
    lines.push(bad.to_string());
    let request = system.request(Method::POST, "/api/stores/default/products");
    let request = request.header(header::CONTENT_TYPE, "application/x-ndjson").body(lines.join("\n"));
    shop.faults().nth(4, Fault::Hang);
    let taken = Answer::to(request).await.unwrap();
    assert_eq!(
        (taken.status, &taken.body["accepted"], &taken.body["rejected"]),
        (202, &json!(251), &json!(1)),
        "{}",
        taken.body
    );
    assert_eq!(taken.body["results"][0]["index"], 10, "{}", taken.body);
    let id = taken.body["job"]["id"].as_str().unwrap().to_owned();
    wait_until("the batch is under way", JOB_PATIENCE, async || shop.faults().n_requests() >= 4).await;
    system.kill_worker(0);
    shop.faults().recover();
    system.start_worker().await;
    let job = system.wait_job(&id).await;
    assert_eq!(job["state"], "succeeded", "{job}");
    let result = &job["result"];
    assert_eq!(
        (&result["total"], &result["failed"], &result["failures"][0]["sku"]),
        (&json!(251), &json!(1), &json!("BAD")),
        "{result}"
    );
    assert_eq!(shop.all().len(), 250);
    let shown = shop.all().iter().filter(|product| product["status"] == "publish").count();
    assert_eq!(shown, 250);
    assert!((0..250).all(|n| shop.n_created(&format!("CUP-{n:03}")) == 1), "each was made once");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_product_without_texts_and_pictures_has_them_made_and_is_published() {
    let shop = woo().await;
    let system = System::start(with_woo(&shop).env("PUBLIC_URL", "https://jobs.example").workers(1)).await;
    let price = json!({ "amount": "649.00", "currency": "EUR" });
    let content =
        json!({ "name": "Vélo « Rivage »", "category": "Vélos", "language": "fr", "features": ["Cadre en acier"] });
    let asked = json!({ "publication": { "sku": "VELO-1", "price": price }, "content": content });
    let taken = system.post("/api/products/VELO-1/publish", &asked).await;
    assert_eq!((taken.status, &taken.body["kind"]), (202, &json!("product")), "{}", taken.body);
    let job = system.wait_job(taken.body["id"].as_str().unwrap()).await;
    assert_eq!(job["state"], "succeeded", "{job}");
    let published = &job["result"]["publication"];
    assert_eq!((&published["status"], &published["published"]), (&json!("published"), &json!(true)), "{published}");
    let product = &shop.products("VELO-1")[0];
    let known = system.get("/api/products/VELO-1").await.body;
    assert_eq!(known["stores"][0]["external_id"], published["external_id"], "{known}");
    assert!(known["content"]["result"]["title"].as_str().unwrap().contains("Rivage"), "{known}");
    assert!(product["name"].as_str().unwrap().contains("Rivage"), "{product}");
    assert_eq!(product["images"].as_array().unwrap().len(), 1, "{product}");

    let again = system.post("/api/products/VELO-1/publish", &json!({ "publication": { "sku": "VELO-1" } })).await;
    let again = system.wait_job(again.body["id"].as_str().unwrap()).await;
    assert_eq!(again["result"]["publication"]["status"], "unchanged", "{again}");
    let bad = json!({ "publication": { "sku": " ", "action": "delete" }, "image": { "name": "" } });
    let bad = system.post("/api/products/VELO-1/publish", &bad).await;
    let pointers: BTreeSet<&str> =
        bad.body["errors"].as_array().unwrap().iter().filter_map(|error| error["pointer"].as_str()).collect();
    assert!(bad.status == 422 && pointers.contains("/image/name"), "{}", bad.body);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_published_of_a_template_is_published_again_unless_it_was_edited() {
    let (shop, openai) = (woo().await, OpenAi::start("sk-pub", "gpt-pub").await.unwrap());
    openai.faults().always(Fault::status(401));
    let options = with_woo(&shop)
        .env("MOCK_MODE_AI", "false")
        .env("OPENAI_API_KEY", "sk-pub")
        .env("OPENAI_BASE_URL", openai.url())
        .env("OPENAI_MODEL", "gpt-pub")
        .env("HEAL_PER_MIN", "6000");
    let system = System::start(options.workers(1)).await;
    let price = json!({ "amount": "9.00", "currency": "EUR" });
    for id in ["LAMP-1", "LAMP-2"] {
        let content =
            json!({ "name": format!("Lampe {id}"), "category": "Lampes", "language": "fr", "features": ["Bois"] });
        let asked = json!({ "publication": { "sku": id, "price": price, "images": [] }, "content": content });
        let taken = system.post(&format!("/api/products/{id}/publish"), &asked).await;
        let job = system.wait_job(taken.body["id"].as_str().unwrap()).await;
        assert_eq!(job["state"], "succeeded", "{job}");
    }
    let known = system.get("/api/products/LAMP-1").await.body;
    assert_eq!(known["content"]["degraded"], true, "{known}");
    let text = |sku: &str| shop.products(sku)[0]["description"].as_str().unwrap().to_owned();
    let template = text("LAMP-1");
    let edited = shop.products("LAMP-2")[0]["id"].as_u64().unwrap();
    shop.edit(edited, &json!({ "description": "<p>By hand.</p>" }));
    openai.faults().recover();
    wait_until("the real text is published", JOB_PATIENCE, async || text("LAMP-1") != template).await;
    wait_until("both texts are healed", JOB_PATIENCE, async || {
        system.get("/api/products/LAMP-2").await.body["content"]["degraded"] == false
    })
    .await;
    wait_until("both products were looked at again", JOB_PATIENCE, async || {
        let jobs = system.get("/api/jobs?kind=publication&state=succeeded").await.body;
        jobs["items"].as_array().is_some_and(|jobs| jobs.len() == 4)
    })
    .await;
    assert_eq!(text("LAMP-2"), "<p>By hand.</p>");
}
