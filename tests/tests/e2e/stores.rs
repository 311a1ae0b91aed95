//! Tenants' stores on the whole system: kept sealed, sealed anew with a newer key, parked and told of once.

use ::jobs::{Context, JobError, stores};
use fleet::{Fleet, Redis};
use mongodb::bson::{Document, doc};
use providers::{
    ProviderError, Providers,
    publication::{Credentials, Shop},
};
use queue::Client;
use reqwest::Method;
use secrecy::ExposeSecret;
use serde_json::{Value, json};
use servers::wait_until;
use services::{Config, Ring};
use store::{Moment, Store, StoredStore};
use tests::{Answer, JOB_PATIENCE, Options, System, standins::woocommerce::WooCommerce};

const OLD: &str = "k1:aHVzaGh1c2hodXNoaHVzaGh1c2hodXNoaHVzaGh1c2g=";
const NEW: &str = "k2:AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";
/// Stands in every credential.
const HUSH: &str = "Pl4ntedS3cret";

fn keys() -> String {
    format!("{NEW},{OLD}")
}

fn woo(secret: &str) -> Value {
    let credentials = json!({ "consumer_key": format!("ck_{HUSH}"), "consumer_secret": format!("cs_{HUSH}{secret}") });
    json!({ "shop": "woocommerce", "url": "https://shop.example", "credentials": credentials })
}

async fn put(system: &System, name: &str, body: &Value) -> Answer {
    Answer::to(system.request(Method::PUT, &format!("/api/stores/{name}")).json(body)).await.unwrap()
}

/// What a worker of this system would give a handler, with a job of the tenant `default`.
async fn context(system: &System, keys: &str) -> Context {
    let keys = keys.to_owned();
    let config = Config::from_vars(|name| (name == "ENCRYPTION_KEY").then(|| keys.clone()));
    let redis = Redis::open(&system.redis_url, &system.name).unwrap();
    let providers = Providers::from_config(&config, &Fleet::start(&redis)).unwrap();
    let id = "0199a1b2-0000-7000-8000-000000000000".parse().unwrap();
    Context {
        store: Some(Store::open(&system.mongo_url, &system.name).await.unwrap()),
        client: Some(Client::new(&redis, ::jobs::Checks::all().kinds())),
        ..Context::first_attempt::<::jobs::email::Email>(id, providers)
    }
}

fn assert_hidden(place: &str, text: &str) {
    assert!(!text.contains(HUSH), "{place} shows a secret: {text}");
}

#[tokio::test]
async fn credentials_are_sealed_anew_with_the_newest_key_and_are_shown_nowhere() {
    let system =
        System::start(Options::default().workers(1).env("ENCRYPTION_KEY", keys()).env("RUST_LOG", "debug")).await;
    let added = put(&system, "new", &woo("-1")).await;
    assert_eq!((added.status, &added.body["tested_at"]), (201, &Value::Null), "{}", added.body);
    // As they were written before there was a newer key: 250 of two tenants, more than are read at a time.
    let context = context(&system, &keys()).await;
    let mongo = context.store.clone().unwrap();
    let template = stores::open(&context, Some("new"), None).await.unwrap();
    let seal = |ring: &str, tenant: &str, name: &str| {
        let store =
            providers::publication::Store { tenant: tenant.to_owned(), name: name.to_owned(), ..template.clone() };
        stores::seal(&Ring::parse(ring).unwrap(), &store)
    };
    let new = mongo.tenant_store("default", "new").await.unwrap().unwrap();
    let lost = "k0:ZXhwaXJlZGV4cGlyZWRleHBpcmVkZXhwaXJlZGV4cGk=";
    for n in 0..251 {
        let (tenant, ring) = (if n % 2 == 0 { "default" } else { "bolt" }, if n == 250 { lost } else { OLD });
        let name = format!("s{n:03}");
        let sealed = seal(ring, tenant, &name);
        let store = StoredStore {
            id: StoredStore::id_of(tenant, &name),
            tenant: tenant.to_owned(),
            name,
            sealed: sealed.text,
            key: sealed.key,
            address: None,
            ..new.clone()
        };
        assert!(mongo.put_tenant_store(&store, None).await.unwrap());
    }
    let listed = system.ecomctl(&["keys", "list"]).await;
    let listed = String::from_utf8_lossy(&listed.stdout).into_owned();
    for told in [
        "k2        1  newest",
        "k1      250",
        "k0        1  NOT in ENCRYPTION_KEY",
        "not sealed with the newest key: 251",
    ] {
        assert!(listed.contains(told), "{listed}");
    }
    let rotated = system.ecomctl(&["keys", "rotate", "--wait"]).await;
    let said = String::from_utf8_lossy(&rotated.stdout).into_owned();
    assert!(said.contains("sealed anew with k2: 250; left: 0; failed: 1"), "{said}");
    assert_eq!(rotated.status.code(), Some(1), "one has lost its key");
    let report = system.get("/api/keys").await.body;
    assert_eq!((&report["left"], &report["keys"][0]["stores"]), (&json!(1), &json!(251)), "{report}");
    // The old key is not needed any more.
    let after = self::context(&system, NEW).await;
    let opened = stores::open(&after, Some("s000"), None).await.unwrap();
    let Credentials::Woocommerce { consumer_secret, .. } = &opened.credentials else { panic!("{opened:?}") };
    assert_eq!(consumer_secret.expose_secret(), format!("cs_{HUSH}-1"));
    let locked = stores::open(&after, Some("s250"), None).await.unwrap_err();
    let JobError::Snooze { code, message, .. } = locked else { panic!("{locked:?}") };
    assert_eq!(code, "store_locked");
    assert!(message.contains("sealed with the key k0, which ENCRYPTION_KEY does not have"), "{message}");

    for path in ["/api/stores?limit=200", "/api/stores/new", "/api/keys", "/api/status/publication", "/api/jobs"] {
        assert_hidden(path, &system.get(path).await.body.to_string());
    }
    assert_hidden("the producer's log", &system.producer_log());
    assert_hidden("the worker's log", &system.worker_log(0));
    for (collection, dump) in servers::mongo_dump(&system.mongo_url, &system.name) {
        assert_hidden(&collection, &String::from_utf8_lossy(&dump));
    }
    let log = system.producer_log();
    assert!(log.contains("a store was added") && log.contains("default/new"), "who changed what is told: {log}");
}

#[tokio::test]
async fn a_store_that_refuses_us_is_parked_and_its_tenant_is_told_once() {
    let system = System::start(Options::default().workers(1).env("ENCRYPTION_KEY", keys())).await;
    let tenants = mongodb::Client::with_uri_str(&system.mongo_url).await.unwrap();
    let tenants = tenants.database(&system.name).collection::<Document>("tenants");
    let tenant = doc! { "_id": "default", "name": "Zoé", "email": "zoe@customer.example", "language": "fr",
    "time_zone": "Europe/Paris" };
    tenants.insert_one(tenant).await.unwrap();
    assert_eq!(put(&system, "main", &woo("-1")).await.status, 201);
    let context = context(&system, &keys()).await;
    let unknown = stores::open(&context, Some("other"), None).await.unwrap_err();
    assert!(matches!(&unknown, JobError::Fatal { code: "unknown_store", .. }), "{unknown:?}");
    let store = stores::open(&context, Some("main"), Some(Shop::Woocommerce)).await.unwrap();

    let refused = || {
        let message = format!("401: the secret cs_{HUSH}-1 is not valid\nany more");
        ProviderError::Misconfigured { service: "woocommerce", message }
    };
    for _ in 0..5 {
        let error = stores::failed(&context, &store, refused()).await;
        let JobError::Snooze { message, .. } = &error else { panic!("no attempt is used: {error:?}") };
        assert_hidden("a job's error", message);
    }
    let waiting = stores::open(&context, Some("main"), None).await.unwrap_err();
    assert!(matches!(&waiting, JobError::Snooze { code: "store_parked", .. }), "{waiting:?}");
    let seen = system.get("/api/stores/main").await.body;
    assert_eq!(seen["parked"]["reason"], "woocommerce: 401: the secret [secret] is not valid any more", "{seen}");
    let status = system.get("/api/status/publication").await.body;
    assert_eq!(status["stores"], json!({ "total": 1, "parked": ["default/main"] }));

    let mails = async || system.get("/api/emails?to=zoe@customer.example").await.body["items"].clone();
    wait_until("the tenant is told", JOB_PATIENCE, async || mails().await.as_array().is_some_and(|m| !m.is_empty()))
        .await;
    // With other credentials than those that were refused it is another store.
    let before = context.store.as_ref().unwrap().tenant_store("default", "main").await.unwrap().unwrap();
    assert!(before.parked.is_some_and(|parked| parked.told));
    assert_eq!(put(&system, "main", &woo("-2")).await.body["parked"], Value::Null);
    stores::park(&context, &store, "late news of the old credentials").await;
    let store = stores::open(&context, Some("main"), None).await.unwrap();
    let Credentials::Woocommerce { consumer_secret, .. } = &store.credentials else { panic!("{store:?}") };
    assert_eq!(consumer_secret.expose_secret(), format!("cs_{HUSH}-2"));

    let mails = mails().await;
    assert_eq!(mails.as_array().unwrap().len(), 1, "{mails}");
    let mail = system.get(&format!("/api/emails/{}", mails[0]["id"].as_str().unwrap())).await.body;
    assert_hidden("the mail", &mail.to_string());
    assert!(mail["subject"].as_str().unwrap().contains("« main »"), "{mail}");
    let text = mail["text"].as_str().unwrap();
    assert!(text.contains("shop.example") && text.contains("is not valid any more"), "{text}");
}

#[tokio::test]
async fn a_parked_store_whose_tenant_could_not_be_told_is_told_of_by_the_next_job() {
    let system = System::start(Options::default().workers(1).env("ENCRYPTION_KEY", keys())).await;
    assert_eq!(put(&system, "main", &woo("")).await.status, 201);
    let tenants = mongodb::Client::with_uri_str(&system.mongo_url).await.unwrap();
    let tenants = tenants.database(&system.name).collection::<Document>("tenants");
    tenants.insert_one(doc! { "_id": "default", "name": "Zoe", "email": "zoe@customer.example" }).await.unwrap();
    let context = context(&system, &keys()).await;
    let mongo = context.store.clone().unwrap();
    let stored = mongo.tenant_store("default", "main").await.unwrap().unwrap();
    // The worker died behind the first half.
    let since = Moment::from_ms(context.client.as_ref().unwrap().now_ms());
    let parked = store::Parked { since, reason: "403".to_owned(), told: false, look_at: since };
    assert!(mongo.park_store(&stored.id, stored.version, &parked).await.unwrap());
    for _ in 0..3 {
        let waiting = stores::open(&context, Some("main"), None).await.unwrap_err();
        assert!(matches!(&waiting, JobError::Snooze { code: "store_parked", .. }), "{waiting:?}");
    }
    let left = mongo.tenant_store("default", "main").await.unwrap().unwrap().parked.unwrap();
    assert!(
        left.told && left.look_at.ms() >= since.ms() + 900_000,
        "one looked, in vain, and nobody does again soon: {left:?}"
    );
    let mails = async || system.get("/api/emails").await.body["items"].as_array().unwrap().len();
    wait_until("the tenant is told", JOB_PATIENCE, async || mails().await == 1).await;
}

fn woo_at(url: &str, key: &str, secret: &str) -> Value {
    let credentials = json!({ "consumer_key": key, "consumer_secret": secret });
    json!({ "shop": "woocommerce", "url": url, "allow_http": true, "credentials": credentials })
}

fn mug(sku: &str) -> Value {
    let price = json!({ "amount": "12.50", "currency": "EUR" });
    json!({ "product_id": sku, "sku": sku, "store": "main", "title": "Mug", "price": price })
}

#[tokio::test]
async fn a_store_is_asked_before_it_is_saved_and_jobs_of_one_that_revokes_its_key_wait_for_another() {
    let options = Options::default().workers(1).env("ENCRYPTION_KEY", keys());
    let system =
        System::start(options.env("MOCK_MODE_PUBLICATION", "false").env("STORE_ALLOW_HOSTS", "127.0.0.1")).await;
    let shop = WooCommerce::plain(0, "ck_first", "cs_first").await.unwrap();
    let url = shop.url().to_owned();
    put(&system, "main", &woo_at(&url, "ck_first", "cs_wrong")).await.assert_problem(422, "store-refused");
    let nobody = format!("http://127.0.0.1:{}", servers::free_port());
    put(&system, "main", &woo_at(&nobody, "ck_first", "cs_first")).await.assert_problem(503, "vendor-unavailable");
    let added = put(&system, "main", &woo_at(&url, "ck_first", "cs_first")).await;
    assert_eq!(added.status, 201, "{}", added.body);
    assert!(added.body["tested_at"].is_string(), "{}", added.body);
    let first = system.post_job("publication", mug("MUG-1")).await;
    let first = system.wait_job(&first).await;
    assert_eq!((&first["state"], &first["result"]["status"]), (&json!("succeeded"), &json!("published")), "{first}");

    // The shop takes another key from now on.
    let port = url.rsplit(':').next().unwrap().parse().unwrap();
    drop(shop);
    let mut another = None;
    wait_until("the port is free again", JOB_PATIENCE, async || {
        another = WooCommerce::plain(port, "ck_second", "cs_second").await.ok();
        another.is_some()
    })
    .await;
    let shop = another.unwrap();
    let second = system.post_job("publication", mug("MUG-2")).await;
    let parked = async || system.get("/api/stores/main").await.body["parked"].is_object();
    wait_until("the store is parked", JOB_PATIENCE, parked).await;
    let tested = system.post("/api/stores/main/test", &json!({})).await;
    tested.assert_problem(422, "store-refused");
    let changed = put(&system, "main", &woo_at(&url, "ck_second", "cs_second")).await;
    assert_eq!((changed.status, &changed.body["parked"]), (200, &Value::Null), "{}", changed.body);
    let second = system.wait_job(&second).await;
    assert_eq!(
        (&second["state"], &second["attempt"]),
        (&json!("succeeded"), &json!(1)),
        "no attempt was lost: {second}"
    );
    assert!(second["snoozes"]["count"].as_u64().unwrap() >= 1, "{second}");
    assert_eq!(shop.n_created("MUG-2"), 1);
}
