//! The life of a product at each shop, from its creation to its end, and what comes in between: pauses that are asked for, lost answers,
//! credentials that are revoked. The API, two workers and the shop's stand-in; what each job says of itself is what the API shows.

use mongodb::bson::{Document, doc};
use providers::publication::Shop;
use serde_json::{Value, json};
use servers::wait_until;
use tests::{
    JOB_PATIENCE, System,
    standins::{Fault, any_shop::AnyShop, fault::Front},
};

use super::{assert_holds, coloured, images, pictures, put_store, store_at, variant, with, with_stores};
use crate::{attempts, n_snoozes, outcomes, time};

const SKU: &str = "CUP-1";

/// All that there is of it.
struct Life {
    system: System,
    shop: AnyShop,
    pictures: Front,
    /// All that was said of the product so far.
    said: Value,
}

impl Life {
    async fn start(shop: Shop) -> Self {
        let system = System::start(with_stores().workers(2)).await;
        let tenants = mongodb::Client::with_uri_str(&system.mongo_url).await.unwrap();
        let tenants = tenants.database(&system.name).collection::<Document>("tenants");
        let tenant = doc! { "_id": "default", "name": "Zoe", "email": "zoe@customer.example" };
        tenants.insert_one(tenant).await.unwrap();
        let shop = AnyShop::start(shop).await.unwrap();
        put_store(&system, "main", &store_at(&shop, &shop.credentials())).await;
        Self { system, shop, pictures: pictures().await, said: json!({}) }
    }

    fn payload(&self, fields: &Value) -> Value {
        with(&json!({ "product_id": SKU, "sku": SKU, "store": "main" }), fields)
    }

    /// Posts a job and waits for its end, which is a success; the job.
    async fn job(&self, fields: &Value) -> Value {
        let id = self.system.post_job("publication", self.payload(fields)).await;
        self.system.wait_job(&id).await;
        let job = self.system.job(&id).await;
        assert_eq!(
            (&job["state"], &job["kind"], &job["id"]),
            (&json!("succeeded"), &json!("publication"), &json!(id)),
            "{job}"
        );
        assert_eq!((&job["payload"]["sku"], &job["degraded"]), (&json!(SKU), &json!(false)), "{job}");
        assert_eq!(job["provider"], self.shop.shop().name(), "{job}");
        job
    }

    /// The result of a job, with each field that it always has.
    async fn result(&self, fields: &Value) -> Value {
        let job = self.job(fields).await;
        let result = job["result"].clone();
        assert_eq!((&result["sku"], &result["store"]), (&json!(SKU), &json!("main")), "{result}");
        assert_eq!(result["shop"], self.shop.shop().name(), "{result}");
        assert_eq!(result["action"], fields.get("action").unwrap_or(&json!("publish")).clone(), "{result}");
        assert!(time(&result["verified_at"]) >= time(&job["started_at"]), "{job}");
        let is_published = result["published"].as_bool().unwrap();
        assert_eq!(result["url"].is_string(), is_published, "{result}");
        for change in result["changes"].as_array().unwrap() {
            let names: Vec<&String> = change.as_object().unwrap().keys().collect();
            assert_eq!(names, ["becomes", "field", "was"], "{result}");
        }
        result
    }

    /// A job that changes these fields and no others; the shop shows all that was said so far.
    async fn changes(&mut self, fields: Value, names: &[&str]) -> Value {
        let n_before = self.shop.n_writes();
        let result = self.result(&fields).await;
        assert_eq!(changed(&result), names, "{result}");
        self.said = with(&self.said, &fields);
        assert_holds(&self.shop, &self.said, &fields.to_string());
        assert!(self.shop.n_writes() > n_before, "{fields}");
        assert_eq!((&result["status"], &result["published"]), (&json!("published"), &json!(true)), "{result}");
        result
    }

    /// A job that writes nothing.
    async fn writes_nothing(&self, fields: &Value, status: &str, names: &[&str]) -> Value {
        let (n_before, before) = (self.shop.n_writes(), self.shop.products());
        let result = self.result(fields).await;
        assert_eq!((&result["status"], changed(&result)), (&json!(status), names.to_vec()), "{result}");
        assert_eq!((self.shop.n_writes(), self.shop.products()), (n_before, before), "{fields} writes nothing");
        result
    }

    /// The field that has the title in the store's own language.
    fn title(&self) -> &'static str {
        if self.shop.shop() == Shop::Woocommerce { "translations.fr.title" } else { "title" }
    }
}

/// The fields that a result names.
fn changed(result: &Value) -> Vec<&str> {
    result["changes"].as_array().unwrap().iter().map(|change| change["field"].as_str().unwrap()).collect()
}

async fn live(shop: Shop) {
    let mut life = Life::start(shop).await;
    let variants = |all: &[(&str, &str, &str, i64)]| -> Value {
        let all = all.iter().map(|(sku, colour, price, stock)| variant(sku, colour, price, *stock));
        Value::Array(all.collect())
    };
    let of = |all: Value| {
        let colours: Value =
            all.as_array().unwrap().iter().map(|variant| variant["options"]["Colour"].clone()).collect();
        json!({ "options": [{ "name": "Colour", "values": colours }], "variants": all })
    };
    let (red, blue, green) = (("V-R", "red", "31.00", 3), ("V-B", "blue", "32.00", 4), ("V-G", "green", "34.00", 1));

    let cup = coloured(&life.pictures, SKU, &variants(&[red, blue]));
    let dry = life.writes_nothing(&with(&cup, &json!({ "action": "dry_run" })), "published", &names_of(shop)).await;
    assert_eq!((&dry["external_id"], &dry["published"]), (&Value::Null, &json!(false)), "{dry}");
    assert!(life.shop.products().is_empty());
    let made = life.changes(cup.clone(), &names_of(shop)).await;
    assert!(made["changes"].as_array().unwrap().iter().all(|change| change["was"].is_null()), "{made}");
    let again = life.writes_nothing(&cup, "unchanged", &[]).await;
    assert_eq!((&again["external_id"], &again["url"]), (&made["external_id"], &made["url"]), "{again}");

    let more = ["options", "variants"];
    life.changes(of(variants(&[red, blue, green])), &more).await;
    life.changes(of(variants(&[blue, green])), &more).await;
    let pictures = images(&life.pictures, &["front", "side"]);
    life.changes(json!({ "images": pictures }), &["images"]).await;
    let dearer = variants(&[("V-B", "blue", "33.00", 4), ("V-G", "green", "34.00", 1)]);
    let result = life.changes(of(dearer), &["variants"]).await;
    let change = &result["changes"][0];
    assert_eq!(
        (&change["was"]["V-B"]["price"], &change["becomes"]["V-B"]["price"]),
        (&json!("32"), &json!("33")),
        "{change}"
    );
    let fewer = variants(&[("V-B", "blue", "33.00", 2), ("V-G", "green", "34.00", 0)]);
    let result = life.changes(of(fewer), &["variants"]).await;
    let change = &result["changes"][0];
    assert_eq!(
        (&change["was"]["V-B"]["stock"], &change["becomes"]["V-B"]["stock"]),
        (&json!(4), &json!(2)),
        "{change}"
    );
    let bare = life.changes(json!({ "brand": null }), &["brand"]).await;
    assert_eq!(bare["changes"][0]["was"], "Potter", "{bare}");

    let title = life.title();
    let renamed = json!({ "action": "dry_run", "title": "Bowl", "translations": { "fr": { "title": "Bol" } } });
    let both = if title == "title" { vec!["title", "translations.fr.title"] } else { vec![title] };
    life.writes_nothing(&renamed, "published", &both).await;
    life.writes_nothing(&json!({ "action": "verify" }), "unchanged", &[]).await;
    life.shop.edit_title(SKU, "By hand");
    let drifted = life.writes_nothing(&json!({ "action": "verify" }), "drifted", &[title]).await;
    assert_eq!(drifted["changes"][0]["becomes"], "By hand", "{drifted}");
    let own = if title == "title" {
        json!({ "title": "Cup" })
    } else {
        json!({ "translations": { "fr": { "title": "Tasse" } } })
    };
    let back = life.result(&own).await;
    assert_eq!((changed(&back), &back["changes"][0]["was"]), (vec![title], &json!("By hand")), "{back}");
    assert_holds(&life.shop, &life.said, "the title is back");

    let hidden = life.result(&json!({ "action": "unpublish" })).await;
    assert_eq!((&hidden["status"], &hidden["published"]), (&json!("unpublished"), &json!(false)), "{hidden}");
    assert_holds(&life.shop, &with(&life.said, &json!({ "status": "draft" })), "hidden");
    life.changes(json!({ "status": "active" }), &["status"]).await;

    life.trouble().await;

    let gone = life.result(&json!({ "action": "delete" })).await;
    assert_eq!((&gone["status"], &gone["published"]), (&json!("deleted"), &json!(false)), "{gone}");
    assert_eq!((&gone["external_id"], life.shop.products().len()), (&Value::Null, 0), "{gone}");
    life.writes_nothing(&json!({ "action": "verify" }), "unchanged", &[]).await;
}

impl Life {
    async fn trouble(&mut self) {
        // In the middle of a job the shop asks for a pause, once by HTTP's own means.
        let tags = |n: usize| json!({ "tags": [format!("tag-{n}")] });
        self.shop.faults().nth(2, Fault::retry_after(429, 2));
        let job = self.job(&tags(1)).await;
        self.said = with(&self.said, &tags(1));
        assert!(self.shop.faults().all_met());
        assert_eq!(
            (outcomes(&job), &job["snoozes"]["last_code"]),
            (vec!["succeeded"], &json!("rate_limited")),
            "{job}"
        );
        let waited = time(&attempts(&job)[0]["started_at"]) - time(&job["snoozes"]["last_at"]);
        assert!(waited.num_milliseconds() >= 2_000, "{waited}: {job}");
        assert_holds(&self.shop, &self.said, "after a pause");

        // Several answers are lost, and several requests.
        for (n, fault) in [(2, Fault::DropAfter), (3, Fault::DropBefore), (4, Fault::HalfBody)] {
            for nth in [1, 3] {
                self.shop.faults().nth(nth, fault.clone());
            }
            self.job(&tags(n)).await;
            self.shop.faults().recover();
            self.said = with(&self.said, &tags(n));
            assert_holds(&self.shop, &self.said, &format!("{fault:?}"));
        }

        // The credentials are taken back in the middle of a job.
        let before = self.shop.faults().n_requests();
        self.shop.faults().nth(2, Fault::Delay { ms: 500 });
        let id = self.system.post_job("publication", self.payload(&tags(5))).await;
        wait_until("it is under way", JOB_PATIENCE, async || self.shop.faults().n_requests() >= before + 2).await;
        self.shop.revoke();
        let parked = async || self.system.get("/api/stores/main").await.body["parked"].is_object();
        wait_until("the store is parked", JOB_PATIENCE, parked).await;
        let waiting = self.system.wait_state(&id, "scheduled").await;
        assert!(n_snoozes(&waiting) >= 1 && attempts(&waiting).is_empty(), "{waiting}");
        let status = self.system.get("/api/status/publication").await.body;
        assert_eq!(status["stores"]["parked"], json!(["default/main"]), "{status}");
        let mails = async || self.system.get("/api/emails?to=zoe@customer.example").await.body["items"].clone();
        wait_until("the tenant is told", JOB_PATIENCE, async || mails().await.as_array().is_some_and(|m| m.len() == 1))
            .await;
        self.system.post("/api/stores/main/test", &json!({})).await.assert_problem(422, "store-refused");
        put_store(&self.system, "main", &store_at(&self.shop, &self.shop.renew())).await;
        // It would go on within a minute.
        self.system.post(&format!("/api/jobs/{id}/run-now"), &json!({})).await;
        let job = self.system.wait_job(&id).await;
        assert_eq!(outcomes(&job), ["succeeded"], "no attempt was lost: {job}");
        self.said = with(&self.said, &tags(5));
        assert_holds(&self.shop, &self.said, "with new credentials");
        assert_eq!(mails().await.as_array().unwrap().len(), 1, "it is told once");
    }
}

/// The fields of a new product, in the shop's own words.
fn names_of(shop: Shop) -> Vec<&'static str> {
    let mut names = vec![
        "brand",
        "categories",
        "description_html",
        "images",
        "options",
        "price",
        "sale_price",
        "tags",
        "title",
        "translations.fr.description_html",
        "translations.fr.title",
        "variants",
    ];
    match shop {
        // Each variant has prices of its own, and the store shows one language.
        Shop::Woocommerce => names.retain(|name| !["price", "sale_price", "title", "description_html"].contains(name)),
        Shop::Shopify => names.retain(|name| !["price", "sale_price"].contains(name)),
        Shop::Prestashop => {}
    }
    names
}

#[tokio::test(flavor = "multi_thread")]
async fn the_life_of_a_product_at_woocommerce() {
    live(Shop::Woocommerce).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_life_of_a_product_at_prestashop() {
    live(Shop::Prestashop).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_life_of_a_product_at_shopify() {
    live(Shop::Shopify).await;
}
