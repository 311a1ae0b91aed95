//! Stores with MongoDB and Redis, where the shops are planted.

use std::{
    collections::BTreeSet,
    sync::{Arc, Mutex},
    time::Duration,
};

use axum::{
    Router,
    body::Body,
    http::{Method, Request, header},
};
use futures::future::{BoxFuture, FutureExt};
use providers::{
    Hold, ProviderError,
    publication::{Credentials, DEFAULT_STORE, Store},
};
use secrecy::ExposeSecret;
use serde_json::{Value, json};
use servers::{MongoDatabase, RedisKind};
use store::{Moment, Parked};
use tower::ServiceExt;

use crate::{App, Scope, auth::sign_until, router, shops::AskStores};

mod addresses;
mod batches;
mod named;

const SECRET: &str = "a secret of the tests, long enough";
const JSON: &str = "application/json";
const NDJSON: &str = "application/x-ndjson";
const KEYS: &str = "k2:AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=,k1:aHVzaGh1c2hodXNoaHVzaGh1c2hodXNoaHVzaGh1c2g=";

/// What planted shops say, and what they were asked.
#[derive(Default)]
struct Shops {
    real: bool,
    refuse: Mutex<Option<ProviderError>>,
    /// Addresses, and the secrets that went there.
    asked: Mutex<Vec<(String, String)>>,
    environment: Vec<Store>,
}

impl Shops {
    fn say(&self, error: Option<ProviderError>) {
        *self.refuse.lock().unwrap() = error;
    }

    fn asked(&self) -> Vec<(String, String)> {
        std::mem::take(&mut self.asked.lock().unwrap())
    }
}

impl AskStores for Shops {
    fn is_real(&self) -> bool {
        self.real
    }

    fn of_environment(&self) -> &[Store] {
        &self.environment
    }

    fn refusal(&self, store: &Store) -> Option<String> {
        let is_private = store.url.host_str() == Some("10.0.0.1");
        is_private.then(|| "address 10.0.0.1 is refused: it is not public".to_owned())
    }

    fn allows(&self, host: &str) -> bool {
        host == "127.0.0.1"
    }

    fn test<'a>(&'a self, store: &'a Store) -> BoxFuture<'a, Result<(), ProviderError>> {
        let secret = match &store.credentials {
            Credentials::Prestashop { api_key } => api_key.expose_secret(),
            Credentials::Woocommerce { consumer_secret, .. } => consumer_secret.expose_secret(),
            Credentials::ShopifyToken { access_token } => access_token.expose_secret(),
            Credentials::ShopifyApp { client_secret, .. } => client_secret.expose_secret(),
        };
        self.asked.lock().unwrap().push((store.url.to_string(), secret.to_owned()));
        let said = self.refuse.lock().unwrap().clone();
        async move { said.map_or(Ok(()), Err) }.boxed()
    }
}

/// The API of a tenant, with planted shops.
pub(in crate::routes) struct World {
    app: App,
    router: Router,
    shops: Arc<Shops>,
    mongo: store::Store,
    database: MongoDatabase,
}

pub(in crate::routes) struct Answer {
    pub(in crate::routes) status: u16,
    etag: Option<String>,
    pub(in crate::routes) is_replayed: bool,
    pub(in crate::routes) body: Value,
    /// Of NDJSON.
    lines: Vec<Value>,
}

impl Answer {
    #[track_caller]
    pub(in crate::routes) fn refused(&self, status: u16, slug: &str) -> &str {
        assert_eq!(self.status, status, "{}", self.body);
        assert!(self.body["type"].as_str().unwrap().ends_with(&format!("/{slug}")), "{}", self.body);
        assert!(!self.body.to_string().contains("hush"), "{}", self.body);
        self.body["detail"].as_str().unwrap()
    }

    #[track_caller]
    fn pointers(&self) -> Vec<&str> {
        self.refused(422, "invalid-payload");
        self.body["errors"].as_array().unwrap().iter().map(|error| error["pointer"].as_str().unwrap()).collect()
    }
}

impl World {
    async fn new(shops: Shops, keys: Option<&str>) -> Self {
        let name = MongoDatabase::new();
        let mongo = store::Store::open(servers::mongo(), &name).await.unwrap();
        let prefix = servers::prefix();
        Self::of(shops, keys, &prefix, Some(mongo.clone()), (mongo, name))
    }

    /// The API at `prefix` in Redis, and at this MongoDB, if any.
    fn of(
        shops: Shops,
        keys: Option<&str>,
        prefix: &str,
        asked: Option<store::Store>,
        (mongo, database): (store::Store, MongoDatabase),
    ) -> Self {
        let url = servers::redis(RedisKind::Valkey).unwrap();
        let redis = fleet::Redis::open(url, prefix).unwrap();
        let keys = keys.map(str::to_owned);
        let config = services::Config::from_vars(|name| keys.clone().filter(|_| name == "ENCRYPTION_KEY"));
        let shops = Arc::new(shops);
        let app = App::asking(&redis, &SECRET.into(), config, Some(shops.clone()));
        if let Some(store) = asked {
            app.set_store(store);
        }
        Self { router: router(app.clone()), app, shops, mongo, database }
    }

    pub(in crate::routes) async fn real() -> Self {
        Self::new(Shops { real: true, ..Shops::default() }, Some(KEYS)).await
    }

    pub(in crate::routes) async fn send(
        &self,
        method: Method,
        path: &str,
        tenant: &str,
        scopes: &[Scope],
        body: Option<&Value>,
    ) -> Answer {
        let token = sign_until(&SECRET.into(), "zoe", Some(tenant), scopes, i64::MAX / 2).unwrap();
        let request =
            Request::builder().method(method).uri(path).header(header::AUTHORIZATION, format!("Bearer {token}"));
        let request = match body {
            Some(body) => request.header(header::CONTENT_TYPE, "application/json").body(body.to_string().into()),
            None => request.body(Body::empty()),
        };
        self.answered(request.unwrap()).await
    }

    async fn answered(&self, request: Request<Body>) -> Answer {
        let response = self.router.clone().oneshot(request).await.unwrap();
        let status = response.status().as_u16();
        let header = |name: &str| response.headers().get(name).map(|value| value.to_str().unwrap().to_owned());
        let (etag, replayed) = (header("etag"), header("idempotency-replayed"));
        let text = axum::body::to_bytes(response.into_body(), usize::MAX).await.unwrap();
        let body: Value = serde_json::from_slice(&text).unwrap_or_default();
        assert!(!body.to_string().contains("hush") && body.get("credentials").is_none(), "{body}");
        let lines = text.split(|byte| *byte == b'\n').filter_map(|line| serde_json::from_slice(line).ok()).collect();
        Answer { status, etag, is_replayed: replayed.as_deref() == Some("true"), body, lines }
    }

    /// Posts as the tenant `acme` with the scopes of jobs and schedules, under an idempotency key if one is given.
    pub(in crate::routes) async fn post(
        &self,
        path: &str,
        key: Option<&str>,
        kind: &str,
        body: impl Into<Body>,
    ) -> Answer {
        let scopes = [Scope::JobsWrite, Scope::SchedulesWrite];
        let token = sign_until(&SECRET.into(), "zoe", Some("acme"), &scopes, i64::MAX / 2).unwrap();
        let mut request = Request::post(path).header(header::AUTHORIZATION, format!("Bearer {token}"));
        if let Some(key) = key {
            request = request.header("idempotency-key", key);
        }
        self.answered(request.header(header::CONTENT_TYPE, kind).body(body.into()).unwrap()).await
    }

    async fn put(&self, name: &str, body: &Value) -> Answer {
        self.send(Method::PUT, &format!("/api/stores/{name}"), "acme", &[Scope::StoresWrite], Some(body)).await
    }

    pub(in crate::routes) async fn get(&self, path: &str) -> Answer {
        self.send(Method::GET, path, "acme", &[Scope::JobsRead], None).await
    }

    async fn test(&self, name: &str) -> Answer {
        self.send(Method::POST, &format!("/api/stores/{name}/test"), "acme", &[Scope::StoresWrite], None).await
    }

    async fn delete(&self, name: &str) -> Answer {
        self.send(Method::DELETE, &format!("/api/stores/{name}"), "acme", &[Scope::StoresWrite], None).await
    }
}

fn presta(url: &str) -> Value {
    json!({ "shop": "prestashop", "url": url, "credentials": { "api_key": "hushhushhushhushhushhushhushhush" } })
}

fn without_credentials(url: &str) -> Value {
    json!({ "shop": "prestashop", "url": url, "languages": ["fr", "en"], "currency": "EUR" })
}

fn refused(message: &str) -> Option<ProviderError> {
    Some(ProviderError::Misconfigured { service: "prestashop", message: message.to_owned() })
}

#[tokio::test]
async fn a_store_is_asked_before_it_is_saved_and_never_shows_its_credentials() {
    let world = World::real().await;
    let quoting = "the key hushhushhushhushhushhushhushhush is unknown";
    world.shops.say(refused(quoting));
    let detail = world.put("main", &presta("https://shop.example/boutique/")).await;
    assert_eq!(detail.refused(422, "store-refused"), "prestashop: the key [secret] is unknown");
    let message = "no answer".to_owned();
    for away in [
        ProviderError::Transient { service: "prestashop", message: message.clone(), retry_after: None },
        ProviderError::UnknownOutcome { service: "prestashop", message: message.clone() },
        ProviderError::Held {
            service: "prestashop",
            hold: Hold::NotConfigured,
            message,
            retry_in: std::time::Duration::from_secs(1),
        },
    ] {
        world.shops.say(Some(away));
        world.put("main", &presta("https://shop.example/boutique/")).await.refused(503, "vendor-unavailable");
    }
    world.get("/api/stores/main").await.refused(404, "not-found");

    world.shops.say(None);
    world.shops.asked();
    let added = world.put("main", &presta("https://shop.example/boutique/")).await;
    assert_eq!(added.status, 201, "{}", added.body);
    let secret = "hushhushhushhushhushhushhushhush".to_owned();
    assert_eq!(world.shops.asked(), [("https://shop.example/boutique".to_owned(), secret)]);
    assert_eq!((&added.body["name"], &added.body["tenant"]), (&json!("main"), &json!("acme")));
    assert_eq!(added.body["url"], "https://shop.example/boutique");
    assert!(added.body["tested_at"].is_string() && added.body["parked"].is_null(), "{}", added.body);
    let seen = world.get("/api/stores/main").await;
    assert_eq!((seen.status, &seen.body, seen.etag), (200, &added.body, added.etag));
    let stored = world.mongo.tenant_store("acme", "main").await.unwrap().unwrap();
    assert!(stored.sealed.starts_with("ec1.k2.") && !format!("{stored:?}").contains("hush"), "{stored:?}");

    let other = world.send(Method::GET, "/api/stores/main", "bolt", &[Scope::JobsRead], None).await;
    other.refused(404, "not-found");
    world.get("/api/stores/main?tenant=bolt").await.refused(403, "forbidden");
    let admin = world.send(Method::GET, "/api/stores/main?tenant=acme", "x", &[Scope::Admin], None).await;
    assert_eq!(admin.status, 200);
    let reads =
        world.send(Method::DELETE, "/api/stores/main", "acme", &[Scope::JobsRead, Scope::JobsWrite], None).await;
    reads.refused(403, "forbidden");
    assert_eq!(world.delete("main").await.status, 204);
    world.delete("main").await.refused(404, "not-found");
}

#[tokio::test]
async fn kept_credentials_go_to_no_other_host() {
    let world = World::real().await;
    world.put("main", &without_credentials("https://shop.example")).await.refused(422, "invalid-payload");
    assert_eq!(world.put("main", &presta("https://shop.example")).await.status, 201);
    world.shops.asked();
    for elsewhere in
        ["https://evil.example", "http://shop.example", "https://shop.example:8443", "https://shop.example.evil"]
    {
        let answer = world.put("main", &without_credentials(elsewhere)).await;
        assert_eq!(answer.pointers(), ["/credentials"], "{elsewhere}");
    }
    let woo = json!({ "shop": "woocommerce", "url": "https://shop.example" });
    assert_eq!(world.put("main", &woo).await.pointers(), ["/credentials"]);
    assert_eq!(world.shops.asked(), [], "nobody was asked");
    world.shops.say(refused("no"));
    world.put("main", &without_credentials("https://shop.example/new")).await.refused(422, "store-refused");
    world.shops.say(None);
    let changed = world.put("main", &without_credentials("https://shop.example/new")).await;
    assert_eq!((changed.status, &changed.body["languages"]), (200, &json!(["fr", "en"])));
    let asked = world.shops.asked();
    assert_eq!(asked.len(), 2, "a changed path is asked again");
    assert!(asked.iter().all(|(url, secret)| url == "https://shop.example/new" && secret.starts_with("hush")));
}

#[tokio::test]
async fn a_change_may_depend_on_the_version() {
    let world = World::real().await;
    let put = async |headers: &[(&str, &str)]| {
        let token = sign_until(&SECRET.into(), "zoe", Some("acme"), &[Scope::StoresWrite], i64::MAX / 2).unwrap();
        let mut request = Request::put("/api/stores/main").header("content-type", "application/json");
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let request = request.header(header::AUTHORIZATION, format!("Bearer {token}"));
        world.answered(request.body(presta("https://shop.example").to_string().into()).unwrap()).await
    };
    put(&[("if-match", "\"1\"")]).await.refused(412, "precondition-failed");
    let first = put(&[("if-none-match", "*")]).await;
    assert_eq!(first.status, 201, "{}", first.body);
    put(&[("if-none-match", "*")]).await.refused(412, "precondition-failed");
    let etag = first.etag.unwrap();
    let second = put(&[("if-match", &etag)]).await;
    assert_eq!((second.status, second.etag != Some(etag.clone())), (200, true));
    put(&[("if-match", &etag)]).await.refused(412, "precondition-failed");
}

#[tokio::test]
async fn bad_fields_are_named_and_no_secret_is_quoted() {
    let world = World::real().await;
    let good = presta("https://shop.example");
    let with = |field: &str, value: Value| {
        let mut body = good.clone();
        body[field] = value;
        body
    };
    for (body, pointers) in [
        (with("shop", json!("magento")), vec!["/shop"]),
        (with("x", json!(1)), vec!["/x"]),
        (with("credentials", json!({ "api_key": "hush" })), vec!["/credentials/api_key"]),
        (
            with("credentials", json!({ "api_key": 7, "secret": "hush" })),
            vec!["/credentials/api_key", "/credentials/secret"],
        ),
        (with("credentials", json!({})), vec!["/credentials/api_key"]),
        (with("currency", json!("euro")), vec!["/currency"]),
        (with("languages", json!(["fr", "French", "fr"])), vec!["/languages/1", "/languages/2"]),
        (with("allow_http", json!(true)), vec!["/allow_http"]),
        (with("url", json!("shop.example")), vec!["/url"]),
        (with("url", json!("ftp://shop.example")), vec!["/url"]),
        (with("url", json!("https://zoe:hush@shop.example")), vec!["/url"]),
        (with("url", json!("https://shop.example/?ws_key=hush")), vec!["/url"]),
        (with("url", json!("https://10.0.0.1")), vec!["/url"]),
    ] {
        let answer = world.put("main", &body).await;
        let mut found = answer.pointers();
        found.sort_unstable();
        assert_eq!(found, pointers, "{body}");
    }
    let shopify = |url: &str| json!({ "shop": "shopify", "url": url, "credentials": { "access_token": "shpat_hush" } });
    for elsewhere in ["https://shop.example", "https://myshopify.com.evil.example", "https://a.myshopify.com/x"] {
        assert_eq!(world.put("main", &shopify(elsewhere)).await.pointers(), ["/url"], "{elsewhere}");
    }
    for fine in ["https://a.myshopify.com", "https://a.myshopify.com/", "http://127.0.0.1:4002"] {
        assert!(matches!(world.put("s", &shopify(fine)).await.status, 200 | 201), "{fine}");
    }
    for name in ["Main", "a.b", "ä", &"x".repeat(41), "a%20b"] {
        let name = name.replace('ä', "%C3%A4");
        assert_eq!(world.put(&name, &good).await.pointers(), ["/path/name"], "{name}");
    }
}

#[tokio::test]
async fn products_go_to_no_store_that_is_not_there_unless_nothing_goes_out() {
    let (real, mock) = (World::real().await, World::new(Shops::default(), Some(KEYS)).await);
    let post = async |world: &World, name: &str| {
        let line = json!({ "product_id": "1", "sku": "S-1", "stock": 7 }).to_string();
        world.post(&format!("/api/stores/{name}/products"), None, NDJSON, line).await
    };
    let unknown = post(&real, "main").await;
    unknown.refused(422, "unknown-store");
    assert_eq!(unknown.body["errors"][0]["pointer"], "/path/name");
    assert_eq!(real.put("main", &presta("https://shop.example")).await.status, 201);
    for (world, name) in [(&real, "main"), (&real, "default"), (&mock, "main")] {
        let answer = post(world, name).await;
        assert_eq!((answer.status, &answer.body["accepted"]), (202, &json!(1)), "{}", answer.body);
    }
}

#[tokio::test]
async fn in_mock_mode_nobody_is_asked() {
    let world = World::new(Shops::default(), Some(KEYS)).await;
    let added = world.put("main", &presta("https://shop.example")).await;
    assert_eq!((added.status, &added.body["tested_at"]), (201, &Value::Null));
    world.test("main").await.refused(409, "conflict");
    assert_eq!(world.shops.asked(), []);
}

#[tokio::test]
async fn without_a_key_nothing_is_kept() {
    let world = World::new(Shops::default(), None).await;
    let answer = world.put("main", &presta("https://shop.example")).await;
    assert!(answer.refused(409, "not-configured").contains("ENCRYPTION_KEY"));
    assert_eq!(answer.body["missing"], json!(["ENCRYPTION_KEY"]));
    let admin = world.send(Method::POST, "/api/keys/rotate", "acme", &[Scope::Admin], None).await;
    admin.refused(409, "not-configured");
}

#[tokio::test]
async fn the_environments_store_is_default_and_cannot_be_changed() {
    let environment = services::Config::from_vars(|name| {
        let value = match name {
            "PRESTA_STORE_URL" => "https://shop.example/",
            "PRESTA_API_KEY" => "hushhushhushhushhushhushhushhush",
            _ => return None,
        };
        Some(value.to_owned())
    });
    let environment =
        providers::publication::Shops::new(&environment, &fleet::Fleet::alone()).unwrap().stores().to_vec();
    let world = World::new(Shops { real: true, environment, ..Shops::default() }, Some(KEYS)).await;
    world.put(DEFAULT_STORE, &presta("https://shop.example")).await.refused(409, "conflict");
    world.delete(DEFAULT_STORE).await.refused(409, "conflict");
    let seen = world.get("/api/stores/default").await;
    assert_eq!(
        (seen.status, &seen.body["url"], &seen.body["tenant"]),
        (200, &json!("https://shop.example"), &Value::Null)
    );
    world.get("/api/stores/default?shop=shopify").await.refused(404, "not-found");
    assert_eq!(world.get("/api/stores/default?shop=amazon").await.pointers(), ["/query/shop"]);
    assert_eq!(world.get("/api/stores/default?shop=prestashop").await.status, 200);
    assert_eq!(world.test("default").await.status, 200);
    world.shops.say(refused("no"));
    world.test("default").await.refused(422, "store-refused");
    world.shops.say(None);
    for name in ["b", "a"] {
        assert_eq!(world.put(name, &presta(&format!("https://{name}.example"))).await.status, 201);
    }
    let names = |page: &Value| -> Vec<String> {
        page["items"].as_array().unwrap().iter().map(|store| store["name"].as_str().unwrap().to_owned()).collect()
    };
    let page = world.get("/api/stores?limit=1").await.body;
    assert_eq!((names(&page), &page["next_cursor"]), (vec!["default".to_owned(), "a".to_owned()], &json!("acme/a")));
    let page = world.get("/api/stores?limit=1&cursor=acme/a").await.body;
    assert_eq!((names(&page), &page["next_cursor"]), (vec!["b".to_owned()], &Value::Null));
}

#[tokio::test]
async fn a_parked_store_shows_and_goes_on_once_it_takes_its_credentials() {
    let world = World::real().await;
    assert_eq!(world.put("main", &presta("https://shop.example")).await.status, 201);
    let park = async || {
        let version = world.mongo.tenant_store("acme", "main").await.unwrap().unwrap().version;
        let since = Moment::from_ms(1_767_225_600_000);
        let parked = Parked { since, reason: "401".to_owned(), told: true, look_at: since };
        assert!(world.mongo.park_store("acme/main", version, &parked).await.unwrap());
        // As a job's call leaves it.
        let call = fleet::Call {
            service: "publication",
            account: "prestashop/acme/main",
            requests_per_min: None,
            units_per_min: None,
            units: 0,
            in_flight: None,
        };
        let fleet::Admission::Go(permit) = world.app.fleet.admit(&call).await else { panic!("it is closed") };
        world.app.fleet.report(permit, fleet::Reported::Parked { reason: "401".to_owned() });
        world.app.fleet.flush().await;
        assert!(matches!(world.app.fleet.admit(&call).await, fleet::Admission::Open { .. }));
        call
    };
    let call = park().await;
    let seen = world.get("/api/stores/main").await.body;
    assert_eq!(seen["parked"], json!({ "since": "2026-01-01T00:00:00.000Z", "reason": "401" }));
    let status = world.get("/api/status/publication").await.body;
    assert_eq!(status["stores"], json!({ "total": 1, "parked": ["main"] }));
    let admin = world.send(Method::GET, "/api/status/publication", "x", &[Scope::Admin], None).await.body;
    assert_eq!(admin["stores"], json!({ "total": 1, "parked": ["acme/main"] }));
    let other = world.send(Method::GET, "/api/status/publication", "bolt", &[Scope::JobsRead], None).await.body;
    assert_eq!(other["stores"], json!({ "total": 0, "parked": [] }));
    assert_eq!(world.get("/api/status/email").await.body["stores"], Value::Null);

    world.shops.say(refused("still 401"));
    world.test("main").await.refused(422, "store-refused");
    assert!(world.get("/api/stores/main").await.body["parked"].is_object());
    assert!(matches!(world.app.fleet.admit(&call).await, fleet::Admission::Open { .. }));
    world.shops.say(None);
    let tested = world.test("main").await;
    assert_eq!((tested.status, &tested.body["parked"]), (200, &Value::Null));
    assert_eq!(world.get("/api/stores/main").await.body, tested.body);
    assert!(matches!(world.app.fleet.admit(&call).await, fleet::Admission::Go(_)));

    park().await;
    assert_eq!(world.put("main", &presta("https://shop.example")).await.body["parked"], Value::Null);
    assert!(matches!(world.app.fleet.admit(&call).await, fleet::Admission::Go(_)));
}

#[tokio::test]
async fn keys_are_told_with_what_is_sealed_with_them() {
    let world = World::real().await;
    assert_eq!(world.put("main", &presta("https://shop.example")).await.status, 201);
    let stored = world.mongo.tenant_store("acme", "main").await.unwrap().unwrap();
    for (name, key) in [("a", "k1"), ("b", "k0")] {
        let old = store::StoredStore {
            id: format!("acme/{name}"),
            name: name.to_owned(),
            address: None,
            key: key.to_owned(),
            ..stored.clone()
        };
        assert!(world.mongo.put_tenant_store(&old, None).await.unwrap());
    }
    world.get("/api/keys").await.refused(403, "forbidden");
    let keys = world.send(Method::GET, "/api/keys", "acme", &[Scope::Admin], None).await.body;
    let key = |key: &str, known| json!({ "key": key, "known": known, "stores": 1 });
    let all = [key("k2", true), key("k1", true), key("k0", false)];
    assert_eq!(keys, json!({ "newest": "k2", "keys": all, "left": 2 }));
    let rotate = world.send(Method::POST, "/api/keys/rotate", "acme", &[Scope::Admin], None).await;
    assert_eq!((rotate.status, &rotate.body["payload"]), (202, &json!({ "task": "rotate_keys" })));
    world
        .send(Method::POST, "/api/payments/reconcile", "acme", &[Scope::JobsWrite], None)
        .await
        .refused(403, "forbidden");
    let reconcile =
        world.send(Method::POST, "/api/payments/reconcile?dry_run=true", "acme", &[Scope::Admin], None).await;
    let payload = json!({ "task": "payment_subscriptions", "dry_run": true });
    assert_eq!((reconcile.status, &reconcile.body["payload"]), (202, &payload));
}
