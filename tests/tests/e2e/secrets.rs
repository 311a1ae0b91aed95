//! Secrets stay where they are: planted in every variable that holds one, they are looked for wherever the system writes,
//! while the outside services fail and quote in their errors what they were sent.

use std::{
    collections::{BTreeMap, BTreeSet},
    process::Command,
    sync::{
        Mutex,
        atomic::{AtomicUsize, Ordering},
    },
};

use axum::{
    Router,
    http::{HeaderMap, StatusCode, Uri},
    response::{IntoResponse, Response},
};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use reqwest::Method;
use serde_json::{Value, json};
use servers::{RedisKind, RedisServer, wait_until};
use services::SERVICES;
use tests::{Answer, Options, PATIENCE, Shop, System, is_finished, program};
use tokio::{
    io::{AsyncBufReadExt, AsyncWriteExt, BufReader},
    net::{TcpListener, TcpStream},
};

use crate::{attempts, n_snoozes, product, redis_keys};

/// Stands in every planted secret.
const HUSH: &str = "Pl4ntedS3cret";
const MAIL_USER: &str = "shop";

/// A value for every secret variable of the catalogue that is not an address of our own servers.
fn planted() -> BTreeMap<&'static str, String> {
    // Each begins in its own way, so that none is hidden only because it resembles another.
    let secret = |prefix: &str| format!("{prefix}{HUSH}");
    let mut planted = BTreeMap::from([
        ("OPENAI_API_KEY", secret("sk-")),
        ("OPENAI_FALLBACK_API_KEY", secret("sk-second-")),
        ("FAL_KEY", secret("id:")),
        ("STRIPE_API_KEY", secret("sk_test_")),
        ("STRIPE_WEBHOOK_SECRET", secret("whsec_")),
        ("SHOPIFY_ACCESS_TOKEN", secret("shpat_")),
        ("WOO_CONSUMER_KEY", secret("ck_")),
        ("WOO_CONSUMER_SECRET", secret("cs_")),
        ("PRESTA_API_KEY", format!("{HUSH:p>32}")),
        ("SMTP_PASSWORD", secret("mail ")),
        ("SCRAPERAPI_KEY", secret("scraperapi-")),
        ("BRIGHT_DATA_KEY", secret("brightdata-")),
        ("AWS_SECRET_ACCESS_KEY", format!("{HUSH:a>40}")),
        ("MONITORING_ENDPOINT", secret("http://127.0.0.1:9/beat-")),
        ("SENTRY_DSN", format!("http://sentry-{HUSH}@127.0.0.1:9/1")),
        ("DATADOG_API_KEY", secret("datadog-")),
        ("ENCRYPTION_KEY", STANDARD.encode(format!("{HUSH:e>32}"))),
    ]);
    let elsewhere = ["MONGO_URL", "REDIS_URL", "JWT_SECRET"];
    let variables = SERVICES.iter().flat_map(|service| service.entry().all_variables());
    for variable in variables.filter(|variable| variable.secret && !elsewhere.contains(&variable.name)) {
        let example = || variable.example.unwrap_or_default().replace("hushhush", HUSH);
        let value = planted.entry(variable.name).or_insert_with(example);
        assert!(value.contains(HUSH) || variable.name == "ENCRYPTION_KEY", "{} is a secret: plant one", variable.name);
    }
    planted
}

/// Everything that must be found nowhere: the secrets as they are, and as they are sent.
fn forbidden() -> Vec<String> {
    let password = &planted()["SMTP_PASSWORD"];
    let sent = [format!("\0{MAIL_USER}\0{password}"), password.clone()].map(|text| STANDARD.encode(text));
    let own = ["ENCRYPTION_KEY"].map(|name| planted()[name].clone());
    [HUSH.to_owned()].into_iter().chain(sent).chain(own).collect()
}

#[track_caller]
fn assert_clean(place: &str, text: &[u8], forbidden: &[String]) {
    for secret in forbidden {
        if let Some(at) = text.windows(secret.len()).position(|window| window == secret.as_bytes()) {
            let around = &text[at.saturating_sub(200)..(at + 200).min(text.len())];
            panic!("{place} shows a secret: {}", String::from_utf8_lossy(around));
        }
    }
}

/// What vendors were sent as secrets.
static SENT: Mutex<BTreeSet<String>> = Mutex::new(BTreeSet::new());

/// A vendor that fails each time in another way and quotes what it was sent as a secret, in the body and in a header: in a header, or in
/// the address.
async fn quoting_vendor() -> String {
    static ASKED: AtomicUsize = AtomicUsize::new(0);
    async fn fail(method: axum::http::Method, uri: Uri, headers: HeaderMap) -> Response {
        let statuses = [400, 500, 429, 401];
        let asked = if method == "POST" { ASKED.fetch_add(1, Ordering::Relaxed) } else { statuses.len() };
        let status = statuses[asked.min(statuses.len() - 1)];
        let in_address = || uri.query().map_or("nothing", |query| query.split('&').next().unwrap_or_default());
        let sent = headers.get("authorization").map_or_else(in_address, |value| value.to_str().unwrap_or_default());
        SENT.lock().unwrap().insert(sent.to_owned());
        let error = json!({ "error": { "message": format!("you sent {sent}"), "type": sent, "code": sent } });
        let status = StatusCode::from_u16(status).unwrap();
        (status, [("x-request-id", sent.to_owned()), ("retry-after", "1".to_owned())], error.to_string())
            .into_response()
    }
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/v1", listener.local_addr().unwrap());
    tokio::spawn(async move { axum::serve(listener, Router::new().fallback(fail)).await.unwrap() });
    url
}

/// A mail server that refuses every password and quotes it.
async fn quoting_mail_server() -> u16 {
    async fn refuse(stream: TcpStream) -> std::io::Result<()> {
        let mut stream = BufReader::new(stream);
        stream.write_all(b"220 stand-in\r\n").await?;
        let mut line = String::new();
        while stream.read_line(&mut line).await? > 0 {
            let answer = match line.split_whitespace().next().unwrap_or_default() {
                "EHLO" => "250-stand-in\r\n250 AUTH PLAIN LOGIN\r\n".to_owned(),
                "AUTH" => format!("535 5.7.8 refused: {}\r\n", line.trim()),
                "QUIT" => "221 bye\r\n".to_owned(),
                _ => "250 fine\r\n".to_owned(),
            };
            stream.write_all(answer.as_bytes()).await?;
            line.clear();
        }
        Ok(())
    }
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(refuse(stream));
        }
    });
    port
}

async fn everything_real() -> Vec<(&'static str, String)> {
    let mut variables: Vec<_> = planted().into_iter().collect();
    let url = quoting_vendor().await;
    variables.extend([
        ("MOCK_MODE", "false".to_owned()),
        ("OPENAI_BASE_URL", url.clone()),
        ("OPENAI_FALLBACK_BASE_URL", url.clone()),
        ("OPENAI_FALLBACK_MODEL", "second".to_owned()),
        ("FAL_BASE_URL", url.clone()),
        ("SCRAPE_ROUTE", "scraperapi,brightdata".to_owned()),
        ("SCRAPERAPI_BASE_URL", url.clone()),
        ("BRIGHT_DATA_BASE_URL", url.clone()),
        ("BRIGHT_DATA_ZONE", "unlocker".to_owned()),
        ("STRIPE_BASE_URL", url.clone()),
        ("STRIPE_PRICE_ID_PRO", "price_pro".to_owned()),
        ("STRIPE_PRICE_ID_PREMIUM", "price_premium".to_owned()),
        ("STRIPE_PUBLISHABLE_KEY", "pk_test_1".to_owned()),
        ("SHOPIFY_STORE_URL", url.clone()),
        ("WOO_STORE_URL", url.clone()),
        ("PRESTA_STORE_URL", url.clone()),
        ("AWS_ENDPOINT_URL", url),
        ("SMTP_SERVER", "127.0.0.1".to_owned()),
        ("SMTP_PORT", quoting_mail_server().await.to_string()),
        ("SMTP_USERNAME", MAIL_USER.to_owned()),
        ("SENDER_EMAIL", "shop@ecomsimply.example".to_owned()),
        ("SCRAPE_ALLOW_HOSTS", "127.0.0.1".to_owned()),
        ("RUST_LOG", "debug".to_owned()),
    ]);
    variables
}

/// Whether an attempt has failed, so that its error is stored, or the job was put off.
fn has_failed(job: &Value) -> bool {
    attempts(job).iter().any(|attempt| !attempt["outcome"].is_null()) || n_snoozes(job) > 0
}

#[tokio::test(flavor = "multi_thread")]
async fn planted_secrets_are_found_nowhere() {
    let shop = Shop::start().await;
    let variables = everything_real().await;
    let shared = servers::redis(RedisKind::Valkey).unwrap().to_owned();
    // Redis lets its user without a password log in with any.
    let redis_url = shared.replace("redis://", &format!("redis://default:redis-{HUSH}@"));
    let options = Options { redis_url: Some(redis_url), env: variables.clone(), ..Options::default() };
    let system = System::start(options.workers(1)).await;
    let forbidden = [forbidden(), vec![system.secret().to_owned()]].concat();

    let mail = json!({ "to": "zoe@customer.example", "subject": "Hello", "text": "Hello" });
    let page = json!({ "product_id": "P-1", "urls": [format!("{}/nothing-here", shop.url())] });
    let mut ids = Vec::new();
    for (kind, payload) in [
        ("content", product(1)),
        ("content", product(2)),
        ("content", product(3)),
        ("email", mail),
        ("scrape", page),
        ("image", json!({ "product_id": "P-1", "name": "Lamp" })),
        ("publication", publication()),
        ("payment", json!({ "customer": "cus_1" })),
    ] {
        let id = system.post_job(kind, payload).await;
        wait_until(&format!("{kind} was tried"), PATIENCE, async || {
            let job = system.job(&id).await;
            is_finished(&job) || has_failed(&job)
        })
        .await;
        ids.push(id);
    }
    for (path, answer) in pay(&system).await {
        assert_eq!(answer.status, 503, "{path}: {}", answer.body);
        assert_clean(&path, format!("{:?} {}", answer.headers, answer.body).as_bytes(), &forbidden);
    }
    let sent = SENT.lock().unwrap().clone();
    for begin in ["Bearer sk-", "Key id:", "api_key=scraperapi-", "Bearer brightdata-", "Bearer sk_test_"] {
        assert!(sent.iter().any(|sent| sent.starts_with(begin)), "a vendor was sent its secret, {begin}…: {sent:?}");
    }
    let finished = system.wait_jobs(&ids[..3]).await;
    let (refused, degraded) = (&finished[0], &finished[2]);
    let message = attempts(refused).last().unwrap()["error"]["message"].to_string();
    assert!(
        refused["state"] == "dead" && message.contains("you sent Bearer [secret]"),
        "the vendor was quoted: {refused}"
    );
    assert_eq!(degraded["degraded"], true, "{degraded}");
    let mail = system.job(&ids[3]).await;
    assert_eq!(mail["snoozes"]["last_code"], "provider_misconfigured", "{mail}");
    let quoted = system.worker_log(0).lines().any(|line| line.contains("535") && line.contains("[secret]"));
    assert!(quoted, "the mail server was quoted in the log");

    let payment = system.job(ids.last().unwrap()).await;
    assert_eq!(payment["snoozes"]["last_code"], "provider_misconfigured", "{payment}");

    let mut status = Value::Null;
    wait_until("ai, payments and email were probed", PATIENCE, async || {
        status = system.get("/api/status").await.body;
        ["ai", "payments", "email"].iter().all(|name| {
            let parts = status["services"].as_array().unwrap();
            parts.iter().any(|part| part["service"] == *name && !part["probe"].is_null())
        })
    })
    .await;
    assert_clean("the status", status.to_string().as_bytes(), &forbidden);
    let jobs = ids.iter().map(|id| format!("/api/jobs/{id}"));
    let others =
        ["/api/jobs", "/api/mode", "/api/queues", "/api/queues/content/dead", "/api/health", "/api/openapi.json"];
    for path in jobs.chain(others.map(str::to_owned)) {
        assert_clean(&path, system.get(&path).await.body.to_string().as_bytes(), &forbidden);
    }
    let switch = json!({ "mode": "real", "service": "backup" });
    let switched = Answer::to(system.request(Method::PUT, "/api/mode").json(&switch)).await.unwrap();
    assert_clean("a refused switch", switched.body.to_string().as_bytes(), &forbidden);
    for admin in [system.producer_admin_url().to_owned(), system.worker_admin_url(0)] {
        let metrics = system.client().get(format!("{admin}/metrics")).send().await.unwrap().text().await.unwrap();
        assert_clean("the metrics", metrics.as_bytes(), &forbidden);
    }
    for (key, value) in redis_keys(&system).await {
        assert_clean(&String::from_utf8_lossy(&key), &[key.clone(), value].concat(), &forbidden);
    }
    let mut stored = BTreeMap::new();
    wait_until("results and history are stored", PATIENCE, async || {
        stored = servers::mongo_dump(&system.mongo_url, &system.name);
        stored.contains_key("contents") && stored.contains_key("jobs")
    })
    .await;
    for (collection, documents) in stored {
        assert_clean(&collection, &documents, &forbidden);
    }
    assert_clean("check-env", &check_env(&variables).await, &forbidden);
    system.stop_worker(0).await;
    assert_clean("the worker's log", system.worker_log(0).as_bytes(), &forbidden);
    assert_clean("the producer's log", system.producer_log().as_bytes(), &forbidden);
}

/// What a tenant asks of payments whose key Stripe refuses, and quotes; and an event that nobody has signed.
async fn pay(system: &System) -> Vec<(String, Answer)> {
    let addresses = json!({ "plan": "pro", "success_url": "http://localhost/ok", "cancel_url": "http://localhost/no" });
    let mut answers = Vec::new();
    for (call, body) in [("checkout", addresses), ("change", json!({ "plan": "pro", "preview": true }))] {
        let path = format!("/api/payments/{call}?tenant=acme");
        answers.push((path.clone(), system.post(&path, &body).await));
    }
    answers.push(("/api/payments/config".to_owned(), system.get("/api/payments/config").await));
    let event =
        system.client().post(format!("{}/api/webhooks/stripe", system.url())).header("stripe-signature", "t=1,v1=00");
    assert_eq!(event.body("{}").send().await.unwrap().status(), 400);
    answers
}

fn publication() -> Value {
    json!({ "product_id": "P-1", "shop": "woocommerce", "sku": "P-1", "title": "Lamp", "description_html": "<p>Lamp</p>",
        "price": { "amount": "9.90", "currency": "EUR" } })
}

/// Both streams of the environment checker, with live checks.
async fn check_env(variables: &[(&'static str, String)]) -> Vec<u8> {
    let mut command = Command::new(program("ecomctl"));
    command.args(["check-env", "--probe"]).env_clear().envs(variables.iter().cloned());
    let output = tokio::task::spawn_blocking(move || command.output().unwrap()).await.unwrap();
    [output.stdout, output.stderr].concat()
}

/// Looks at the logs of a system that was told [`HUSH`] as a password, and at what its API says of its servers.
async fn assert_hidden(system: &System) {
    let forbidden = [HUSH.to_owned()];
    for path in ["/api/status", "/api/status/redis", "/api/status/mongodb", "/api/health", "/api/jobs", "/api/mode"] {
        assert_clean(path, system.get(path).await.body.to_string().as_bytes(), &forbidden);
    }
    assert_clean("the worker's log", system.worker_log(0).as_bytes(), &forbidden);
    assert_clean("the producer's log", system.producer_log().as_bytes(), &forbidden);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_redis_that_refuses_our_password_does_not_show_it() {
    let redis = RedisServer::start(RedisKind::Valkey);
    let mut connection = fleet::Redis::open(&redis.url(), "secrets").unwrap().connection();
    let set = redis::cmd("CONFIG").arg(&["SET", "requirepass", "another"]).to_owned();
    let () = set.query_async(&mut connection).await.unwrap();
    let redis_url = Some(redis.url().replace("redis://", &format!("redis://:redis-{HUSH}@")));
    let options = Options { redis_url, wait_ready: false, ..Options::default() };
    let system = System::start(options.env("RUST_LOG", "debug").workers(1)).await;
    let reason = "it does not take the user and password of REDIS_URL";
    let refused = async || [system.producer_log(), system.worker_log(0)].iter().all(|log| log.contains(reason));
    wait_until("both say that they are refused", PATIENCE, refused).await;
    // A password may be wrong for a while, as when it is changed: they wait for it.
    assert_eq!(system.pids().len(), 2);
    assert_hidden(&system).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_mongodb_that_refuses_our_password_does_not_show_it() {
    let mongo_url = Some(servers::mongo().replace("mongodb://", &format!("mongodb://shop:mongo-{HUSH}@")));
    let options = Options { mongo_url, wait_ready: false, ..Options::default() };
    let system = System::start(options.env("RUST_LOG", "debug").workers(1)).await;
    let refused =
        async || [system.producer_log(), system.worker_log(0)].iter().all(|log| log.contains("Authentication failed"));
    wait_until("both say that they are refused", PATIENCE, refused).await;
    assert_hidden(&system).await;
}
