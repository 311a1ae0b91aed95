//! The API without Redis and MongoDB: everything that is decided before a job is pushed.

use std::collections::BTreeSet;

use axum::{
    Router,
    body::Body,
    http::{HeaderMap, Method, Request, StatusCode, header},
};
use chrono::Utc;
use serde_json::{Value, json};
use tower::ServiceExt;

use crate::{
    App, LEAST, Scope,
    auth::sign_until,
    least,
    router::{router, router_with},
};

const SECRET: &str = "a secret of the tests, long enough";

struct Answer {
    status: StatusCode,
    headers: HeaderMap,
    body: Value,
}

impl Answer {
    #[track_caller]
    fn assert_problem(&self, status: u16, slug: &str) {
        assert_eq!(self.status.as_u16(), status, "{}", self.body);
        assert_eq!(self.headers[header::CONTENT_TYPE], "application/problem+json");
        assert_eq!(self.body["type"], format!("https://ecomsimply.example/problems/{slug}"), "{}", self.body);
        assert_eq!(self.body["status"], status);
        assert!(self.body["title"].is_string() && self.body["detail"].is_string(), "{}", self.body);
        assert_eq!(self.body["request_id"], self.headers["x-request-id"].to_str().unwrap());
    }

    fn pointers(&self) -> BTreeSet<&str> {
        self.body["errors"].as_array().unwrap().iter().map(|error| error["pointer"].as_str().unwrap()).collect()
    }

    fn message(&self, pointer: &str) -> &str {
        let errors = self.body["errors"].as_array().unwrap();
        errors.iter().find(|error| error["pointer"] == pointer).unwrap()["message"].as_str().unwrap()
    }
}

/// The API with nobody behind it: the ports are never in use.
fn api() -> Router {
    let redis = fleet::Redis::open("redis://127.0.0.1:1", "test").unwrap();
    let nowhere = |name: &str| (name == "FAL_JWKS_URL").then(|| "http://127.0.0.1:1/keys".to_owned());
    router(App::new(&redis, &SECRET.into(), services::Config::from_vars(nowhere)))
}

async fn send(request: Request<Body>) -> Answer {
    let response = api().oneshot(request).await.unwrap();
    let (parts, body) = response.into_parts();
    let body = axum::body::to_bytes(body, usize::MAX).await.unwrap();
    let body = serde_json::from_slice(&body).unwrap_or_else(|_| Value::from(String::from_utf8_lossy(&body)));
    Answer { status: parts.status, headers: parts.headers, body }
}

fn token_until(tenant: Option<&str>, scopes: &[Scope], seconds: i64) -> String {
    sign_until(&SECRET.into(), "tests", tenant, scopes, Utc::now().timestamp() + seconds).unwrap()
}

fn bearer(scopes: &[Scope]) -> String {
    format!("Bearer {}", token_until(None, scopes, 60))
}

fn post(path: &str, scopes: &[Scope], content_type: &str, body: impl Into<Body>) -> Request<Body> {
    Request::post(path)
        .header(header::AUTHORIZATION, bearer(scopes))
        .header(header::CONTENT_TYPE, content_type)
        .body(body.into())
        .unwrap()
}

async fn enqueue(job: &Value) -> Answer {
    send(post("/api/jobs", &[Scope::JobsWrite], "application/json", job.to_string())).await
}

fn good_payload() -> Value {
    json!({ "product_id": "1", "name": "Chair", "category": "Furniture", "language": "en" })
}

async fn enqueue_with(options: Value) -> Answer {
    enqueue(&json!({ "kind": "content", "payload": good_payload(), "options": options })).await
}

async fn get_as(token: &str) -> Answer {
    let request = Request::get("/api/jobs/no-id").header(header::AUTHORIZATION, token);
    send(request.body(Body::empty()).unwrap()).await
}

#[tokio::test]
async fn a_token_is_needed_and_must_be_good() {
    let none = send(Request::get("/api/queues").body(Body::empty()).unwrap()).await;
    none.assert_problem(401, "unauthorized");
    assert_eq!(none.headers[header::WWW_AUTHENTICATE], "Bearer");
    get_as("Bearer nonsense").await.assert_problem(401, "unauthorized");
    get_as("Basic YTpi").await.assert_problem(401, "unauthorized");
    let other = sign_until(&"another secret that is long enough".into(), "x", None, &[Scope::Admin], i64::MAX / 2);
    get_as(&format!("Bearer {}", other.unwrap())).await.assert_problem(401, "unauthorized");
    let foreign = token_until(Some("a tenant/with:odd characters"), &[Scope::Admin], 60);
    get_as(&format!("Bearer {foreign}")).await.assert_problem(401, "unauthorized");
}

#[tokio::test]
async fn the_yardstick_of_the_benchmark_is_in_no_api_and_does_what_every_route_does() {
    let asked = |token: &str| {
        let request = post(LEAST, &[Scope::JobsWrite], "application/json", "{}");
        let (mut parts, body) = request.into_parts();
        parts.headers.insert(header::AUTHORIZATION, token.parse().unwrap());
        Request::from_parts(parts, body)
    };
    let token = bearer(&[Scope::JobsWrite]);
    send(asked(&token)).await.assert_problem(404, "not-found");
    let redis = fleet::Redis::open("redis://127.0.0.1:1", "test").unwrap();
    let measured = router_with(App::new(&redis, &SECRET.into(), services::Config::mock()), least());
    let status = async |token: &str| measured.clone().oneshot(asked(token)).await.unwrap().status().as_u16();
    assert_eq!((status(&token).await, status("Bearer nonsense").await), (200, 401));
}

#[tokio::test]
async fn a_token_that_wants_more_than_is_understood_is_refused() {
    use jsonwebtoken::{Algorithm, EncodingKey, Header, encode};
    crate::jwt::provide();
    let claims = json!({ "sub": "x", "iss": "ecomsimply", "aud": "ecomsimply", "scope": "admin", "exp": Utc::now().timestamp() + 60 });
    let sign = |crit: Option<Vec<String>>| {
        let header = Header { crit, ..Header::new(Algorithm::HS256) };
        encode(&header, &claims, &EncodingKey::from_secret(SECRET.as_bytes())).unwrap()
    };
    get_as(&format!("Bearer {}", sign(None))).await.assert_problem(404, "not-found");
    for crit in [vec!["exp".to_owned()], vec!["b64".to_owned(), "x".to_owned()], Vec::new()] {
        let answer = get_as(&format!("Bearer {}", sign(Some(crit)))).await;
        answer.assert_problem(401, "unauthorized");
        assert!(answer.body["detail"].as_str().unwrap().contains("crit"), "{}", answer.body);
    }
}

#[tokio::test]
async fn a_link_to_unsubscribe_without_its_signature_is_refused_before_anything_is_looked_up() {
    for query in ["", "?sig=", "?sig=nonsense", "?sig=AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"] {
        let path = format!("/api/emails/0199a1b2-0000-7000-8000-000000000000/unsubscribe{query}");
        for method in [Method::GET, Method::POST] {
            let request = Request::builder().method(method).uri(&path).body(Body::empty()).unwrap();
            send(request).await.assert_problem(403, "forbidden");
        }
    }
}

#[tokio::test]
async fn a_delivery_of_fal_needs_our_address_and_its_signature() {
    let links = services::Links::new(Some("https://jobs.example".to_owned()), Some(SECRET.into()));
    let job = "0199a1b2-0000-7000-8000-000000000000";
    let address = links.fal_webhook(job).unwrap();
    let good = address.strip_prefix("https://jobs.example").unwrap();
    let now = Utc::now().timestamp().to_string();
    let late = (Utc::now().timestamp() - 400).to_string();
    let (signature, short) = ("5a".repeat(64), "5a".repeat(63));
    let body = json!({ "request_id": "r-1", "status": "OK" }).to_string();
    let deliver = async |path: &str, timestamp: &str, signature: &str| {
        let request = Request::post(path).header("x-fal-webhook-request-id", "r-1");
        let request = request.header("x-fal-webhook-user-id", "u-1").header("x-fal-webhook-timestamp", timestamp);
        send(request.header("x-fal-webhook-signature", signature).body(body.clone().into()).unwrap()).await
    };
    let other = good.replace("000000000000&", "000000000001&");
    for path in ["/api/webhooks/fal", &other, &good[..good.len() - 1], good.split('&').next().unwrap()] {
        let answer = deliver(path, &now, &signature).await;
        answer.assert_problem(400, "bad-signature");
        assert!(answer.body["detail"].as_str().unwrap().contains("not one that we gave to fal"), "{}", answer.body);
    }
    for (timestamp, signature, told) in [
        ("", &signature, "X-Fal-Webhook-Timestamp must be"),
        (&late, &signature, "behind ours"),
        (&now, &short, "64 bytes in hexadecimal"),
    ] {
        let answer = deliver(good, timestamp, signature).await;
        answer.assert_problem(400, "bad-signature");
        assert!(answer.body["detail"].as_str().unwrap().contains(told), "{}", answer.body);
    }
    // Its keys are at a port where nobody is: that is no reason to believe, nor for fal to give up.
    let answer = deliver(good, &now, &signature).await;
    answer.assert_problem(503, "vendor-unavailable");
    assert!(answer.headers.contains_key(header::RETRY_AFTER));
    let request = Request::post(good).header("x-fal-webhook-request-id", "r-1");
    let twice = request.header("x-fal-webhook-request-id", "r-2").body(body.clone().into()).unwrap();
    send(twice).await.assert_problem(400, "bad-signature");
}

#[tokio::test]
async fn what_is_wrong_with_a_token_is_named() {
    use jsonwebtoken::{EncodingKey, Header, encode};
    crate::jwt::provide();
    let good = json!({ "sub": "x", "iss": "ecomsimply", "aud": "ecomsimply", "exp": Utc::now().timestamp() + 60 });
    let told = async |name: &str, value: Value| {
        let mut claims = good.clone();
        if value == json!("absent") {
            claims.as_object_mut().unwrap().remove(name);
        } else {
            claims[name] = value;
        }
        let token = encode(&Header::default(), &claims, &EncodingKey::from_secret(SECRET.as_bytes())).unwrap();
        let answer = get_as(&format!("Bearer {token}")).await;
        answer.assert_problem(401, "unauthorized");
        answer.body["detail"].as_str().unwrap().strip_prefix("the token is not good: ").unwrap().to_owned()
    };
    let exp = "the claim exp is missing, or is not a number of seconds since 1970";
    assert_eq!(told("exp", json!("absent")).await, exp);
    assert_eq!(told("exp", json!("soon")).await, exp);
    assert_eq!(told("iss", json!("absent")).await, "the claim iss is missing, or is no string");
    assert_eq!(told("sub", json!(5)).await, "the claim sub is missing, or is no string");
    assert_eq!(told("iss", json!("someone")).await, "the claim iss must be ecomsimply");
    assert_eq!(told("aud", json!("someone")).await, "the claim aud must be ecomsimply");
    assert_eq!(told("nbf", json!(Utc::now().timestamp() + 3600)).await, "the claim nbf is in the future");
    assert_eq!(told("scope", json!(["admin"])).await, "the claim scope must be a string");
    let rule = "the claim tenant must be 1 to 64 letters, digits, _, . and -";
    assert_eq!(told("tenant", json!("a b")).await, rule);
    let detail = get_as("Bearer a.b.c").await.body["detail"].as_str().unwrap().to_owned();
    assert!(detail.contains("no JSON Web Token"), "{detail}");
    let detail = get_as("Basic YTpi").await.body["detail"].as_str().unwrap().to_owned();
    assert!(detail.contains("must be Bearer"), "{detail}");
    let needs = get("/api/queues", &[Scope::JobsWrite]).await;
    assert_eq!(needs.body["detail"], "the token needs the scope jobs:read; it has jobs:write");
}

#[tokio::test]
async fn a_token_that_cannot_be_read_is_told_where_it_breaks() {
    use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
    let part = |json: &str| URL_SAFE_NO_PAD.encode(json);
    let told = async |token: &str| {
        let answer = get_as(token).await;
        answer.assert_problem(401, "unauthorized");
        answer.body["detail"].as_str().unwrap().trim_start_matches("the token is not good: ").to_owned()
    };
    let exp = Utc::now().timestamp() + 60;
    let good = json!({ "sub": "x", "iss": "ecomsimply", "aud": "ecomsimply", "exp": exp }).to_string();
    for alg in ["none", "hs256", "banana", "HS384"] {
        let token = format!("Bearer {}.{}.c2ln", part(&format!(r#"{{"alg":"{alg}"}}"#)), part(&good));
        let detail = told(&token).await;
        assert!(detail.starts_with("its algorithm must be HS256"), "{alg}: {detail}");
    }
    let signed = |claims: Value| {
        use jsonwebtoken::{EncodingKey, Header, encode};
        crate::jwt::provide();
        let key = EncodingKey::from_secret(SECRET.as_bytes());
        format!("Bearer {}", encode(&Header::default(), &claims, &key).unwrap())
    };
    let mut in_a_list: Value = serde_json::from_str(&good).unwrap();
    in_a_list["exp"] = json!([exp]);
    assert_eq!(told(&signed(in_a_list)).await, "the claim exp must be a number of seconds since 1970");
    assert_eq!(told(&signed(json!([]))).await, "its claims must be a JSON object");
    let first = told(&format!("Bearer a.{}.c2ln", part(&good))).await;
    assert_eq!(first, "it is no JSON Web Token: its first part is no JSON in base64");
    assert!(told("Bearer a.b").await.contains("three parts"));
    let bare = told(token_until(None, &[Scope::Admin], 60).as_str()).await;
    assert_eq!(bare, "the header Authorization must be Bearer <token>, with a space between them");
}

#[tokio::test]
async fn a_header_that_is_given_twice_is_refused_unless_both_say_the_same() {
    let twice = async |name: &str, other: String| {
        let mut request = post("/api/jobs", &[Scope::JobsWrite], "application/json", "{}");
        request.headers_mut().entry("idempotency-key").or_insert("a".parse().unwrap());
        request.headers_mut().append(header::HeaderName::try_from(name).unwrap(), other.parse().unwrap());
        send(request).await
    };
    twice("idempotency-key", "b".to_owned()).await.assert_problem(422, "invalid-payload");
    twice("authorization", bearer(&[Scope::Admin, Scope::JobsRead])).await.assert_problem(401, "unauthorized");
    twice("content-type", "text/plain".to_owned()).await.assert_problem(415, "unsupported-media-type");
    let same = twice("idempotency-key", "a".to_owned()).await;
    assert_eq!(same.pointers(), BTreeSet::from(["/kind", "/payload"]), "read as one");
    let same = twice("content-type", "application/json".to_owned()).await;
    assert_eq!(same.pointers(), BTreeSet::from(["/kind", "/payload"]), "read as one");
}

#[tokio::test]
async fn what_is_wrong_with_a_body_is_said_in_words_and_once() {
    let told = async |path: &str, method: Method, body: &str| {
        let mut request = post(path, &[Scope::Admin], "application/json", body.to_owned());
        *request.method_mut() = method;
        let answer = send(request).await.body;
        (answer["detail"].as_str().unwrap().to_owned(), answer["errors"].as_array().map_or(0, Vec::len))
    };
    for body in ["", " \n"] {
        assert_eq!(told("/api/jobs", Method::POST, body).await.0, "the body is empty; send JSON");
    }
    assert_eq!(told("/api/jobs", Method::POST, "[]").await.0, "the body must be an object, not an array");
    let job = json!({ "kind": "content", "payload": good_payload(), "options": { "max_attempts": 2.0 } }).to_string();
    let detail = told("/api/jobs", Method::POST, &job).await.0;
    assert_eq!(detail, "/options/max_attempts must be a whole number, written without a point: not 2.0");
    let ids = told("/api/queues/content/dead/replay", Method::POST, r#"{"ids":["x"]}"#).await;
    assert_eq!(ids.0, "/ids/0 must be the id of a job");
    let schedule = told("/api/schedules/x", Method::PUT, r#"{"cron":"@daily","job":{}}"#).await;
    assert_eq!(schedule, ("2 fields are bad, see errors".to_owned(), 2));
    for path in ["/api/jobs?created_from=2026-01-31T12:00:00+01:00", "/api/schedules/x/runs?before=yesterday"] {
        let answer = get(path, &[Scope::Admin]).await;
        let detail = answer.body["detail"].as_str().unwrap();
        assert!(detail.contains("2026-01-31T12:00:00Z") && detail.contains("%2B"), "{path}: {detail}");
    }
}

#[tokio::test]
async fn a_bad_parameter_is_named_with_what_is_allowed() {
    let cases = [
        ("/api/jobs?limit=ten", "/query/limit", "whole number"),
        ("/api/jobs?colour=red", "/query/colour", "known: kind, queue, state"),
        ("/api/jobs?limit=1&limit=2", "/query/limit", "twice"),
        ("/api/jobs/0199a1b2-0000-7000-8000-000000000000?wait=soon", "/query/wait", "a number"),
        ("/api/emails?limit=0", "/query/limit", "from 1 to 200"),
        ("/api/usage?from=yesterday", "/query/from", "a day such as"),
        ("/api/schedules/x/next?n=-1", "/query/n", "whole number"),
    ];
    for (path, pointer, allowed) in cases {
        let answer = get(path, &[Scope::Admin]).await;
        answer.assert_problem(422, "invalid-payload");
        assert!(answer.message(pointer).contains(allowed), "{path}: {}", answer.body);
    }
}

#[tokio::test]
async fn a_batch_of_nothing_but_bad_jobs_is_answered_in_bounds() {
    let jobs = vec![json!({ "kind": "content", "payload": { "": 0, "a": 0, "b": 0 } }); 10_000];
    let answer =
        send(post("/api/jobs/batch", &[Scope::JobsWrite], "application/json", json!({ "jobs": jobs }).to_string()));
    let answer = answer.await;
    assert_eq!((answer.status.as_u16(), &answer.body["rejected"]), (200, &json!(10_000)));
    let (first, last) = (&answer.body["results"][0]["problem"], &answer.body["results"][9_999]["problem"]);
    assert_eq!(first["errors"].as_array().unwrap().len(), 7, "{first}");
    assert_eq!((&last["errors"], &last["error_count"]), (&Value::Null, &json!(7)));
    assert!(last["detail"].as_str().unwrap().contains("the first: /payload/"), "{last}");
    assert!(answer.body.to_string().len() < 6 << 20, "{}", answer.body.to_string().len());
}

#[tokio::test]
async fn an_end_in_the_past_is_refused() {
    let at = |seconds: i64| (Utc::now() + chrono::TimeDelta::seconds(seconds)).to_rfc3339();
    let past = enqueue_with(json!({ "expires_at": at(-1) })).await;
    past.assert_problem(422, "invalid-payload");
    assert_eq!(past.message("/options/expires_at"), "must be in the future");
    let before = enqueue_with(json!({ "expires_at": at(60), "delay_s": 120 })).await;
    assert!(before.message("/options/expires_at").contains("after the time"), "{}", before.body);
    // Redis is away, and nothing else is wrong.
    enqueue_with(json!({ "expires_at": at(60), "delay_s": 30 })).await.assert_problem(503, "queue-unavailable");
}

#[tokio::test]
async fn of_very_many_bad_fields_twenty_are_told_and_all_are_counted() {
    let mut job = json!({ "kind": "content", "payload": good_payload() });
    for n in 0..5_000 {
        job["payload"][format!("field{n}")] = json!(0);
    }
    let length = job.to_string().len();
    let answer = enqueue(&job).await;
    answer.assert_problem(422, "invalid-payload");
    assert_eq!(answer.pointers().len(), 20);
    assert_eq!(answer.body["error_count"], 5_000);
    assert!(answer.body.to_string().len() < length / 10, "{}", answer.body);
    let long = enqueue(&json!({ "kind": "x".repeat(100_000), "payload": {}, "y".repeat(100_000): 1 })).await;
    assert!(long.body.to_string().len() < 2_000, "{}", long.body.to_string().len());
}

#[tokio::test]
async fn a_token_of_another_issuer_or_algorithm_is_refused() {
    use jsonwebtoken::{Algorithm, EncodingKey, Header, encode};
    crate::jwt::provide();
    let key = EncodingKey::from_secret(SECRET.as_bytes());
    let exp = Utc::now().timestamp() + 60;
    let sign = |algorithm, iss: &str, aud: &str| {
        let claims = json!({ "sub": "x", "exp": exp, "iss": iss, "aud": aud, "scope": "admin" });
        format!("Bearer {}", encode(&Header::new(algorithm), &claims, &key).unwrap())
    };
    // The same claims with the right names reach the handler, which finds no such job.
    get_as(&sign(Algorithm::HS256, "ecomsimply", "ecomsimply")).await.assert_problem(404, "not-found");
    get_as(&sign(Algorithm::HS256, "someone", "ecomsimply")).await.assert_problem(401, "unauthorized");
    get_as(&sign(Algorithm::HS256, "ecomsimply", "someone")).await.assert_problem(401, "unauthorized");
    get_as(&sign(Algorithm::HS512, "ecomsimply", "ecomsimply")).await.assert_problem(401, "unauthorized");
}

#[tokio::test]
async fn an_expired_token_has_a_problem_of_its_own() {
    let token = token_until(None, &[Scope::Admin], -60);
    get_as(&format!("Bearer {token}")).await.assert_problem(401, "token-expired");
}

#[tokio::test]
async fn each_call_needs_its_scope() {
    let read = [Scope::JobsRead];
    let job = json!({ "kind": "content", "payload": good_payload() }).to_string();
    let answer = send(post("/api/jobs", &read, "application/json", job)).await;
    answer.assert_problem(403, "forbidden");
    assert_eq!(answer.body["detail"], "the token needs the scope jobs:write; it has jobs:read");
    let jobs = ["/api/jobs/batch", "/api/jobs/x/cancel", "/api/jobs/x/retry"];
    let queues = ["dead/replay", "pause", "resume"].map(|verb| format!("/api/queues/content/{verb}"));
    for path in jobs.into_iter().chain(queues.iter().map(String::as_str)) {
        send(post(path, &read, "application/json", "{}")).await.assert_problem(403, "forbidden");
    }
    get_as(&bearer(&[Scope::JobsWrite])).await.assert_problem(403, "forbidden");
    get_as(&bearer(&[Scope::Admin])).await.assert_problem(404, "not-found");
}

#[tokio::test]
async fn only_an_admin_stops_the_queue_of_the_system_itself() {
    for verb in ["dead/replay", "pause", "resume"] {
        let post = |queue: &str, scopes: &[Scope]| {
            send(post(&format!("/api/queues/{queue}/{verb}"), scopes, "application/json", "{}"))
        };
        post("maintenance", &[Scope::QueuesAdmin]).await.assert_problem(403, "forbidden");
        // Redis is away.
        post("maintenance", &[Scope::Admin]).await.assert_problem(503, "queue-unavailable");
        post("content", &[Scope::QueuesAdmin]).await.assert_problem(503, "queue-unavailable");
    }
}

#[tokio::test]
async fn broken_json_is_malformed() {
    let answer = send(post("/api/jobs", &[Scope::JobsWrite], "application/json", "{\"kind\": ")).await;
    answer.assert_problem(400, "malformed");
    assert!(answer.body["detail"].as_str().unwrap().contains("line 1 column 9"), "{}", answer.body);
    send(post("/api/jobs", &[Scope::JobsWrite], "application/json", "")).await.assert_problem(400, "malformed");
}

#[tokio::test]
async fn another_content_type_is_refused() {
    let job = json!({ "kind": "content", "payload": good_payload() }).to_string();
    let answer = send(post("/api/jobs", &[Scope::JobsWrite], "text/plain", job)).await;
    answer.assert_problem(415, "unsupported-media-type");
    let batch = send(post("/api/jobs/batch", &[Scope::JobsWrite], "text/csv", "a,b")).await;
    batch.assert_problem(415, "unsupported-media-type");
}

#[tokio::test]
async fn a_body_over_its_limit_is_too_large() {
    let ten_megabytes = vec![b' '; 10 << 20];
    let answer = send(post("/api/jobs", &[Scope::JobsWrite], "application/json", ten_megabytes)).await;
    answer.assert_problem(413, "too-large");
    let batch =
        send(post("/api/jobs/batch", &[Scope::JobsWrite], "application/json", vec![b' '; (32 << 20) + 1])).await;
    batch.assert_problem(413, "too-large");
}

#[tokio::test]
async fn an_unknown_kind_is_told_what_there_is() {
    let answer = enqueue(&json!({ "kind": "contents", "payload": {} })).await;
    answer.assert_problem(422, "unknown-kind");
    assert!(answer.message("/kind").starts_with("one of content, "), "{}", answer.body);
}

#[tokio::test]
async fn every_bad_field_is_named() {
    let payload = json!({ "product_id": 1, "name": "Chair", "category": "Furniture", "language": "de", "price": {} });
    let options = json!({ "priority": "urgent", "max_attempts": 101, "timeout_s": 0, "delay_s": -1 });
    let answer = enqueue(&json!({ "kind": "content", "payload": payload, "options": options, "extra": 1 })).await;
    answer.assert_problem(422, "invalid-payload");
    let expected = [
        "/extra",
        "/options/delay_s",
        "/options/max_attempts",
        "/options/priority",
        "/options/timeout_s",
        "/payload/language",
        "/payload/price/amount",
        "/payload/price/currency",
        "/payload/product_id",
    ];
    assert_eq!(answer.pointers(), BTreeSet::from(expected), "{}", answer.body);
    assert_eq!(answer.message("/payload/language"), "one of fr, en");
    assert_eq!(answer.message("/options/priority"), "one of high, normal, low, bulk");
    assert_eq!(answer.message("/options/max_attempts"), "must be at most 100");
}

#[tokio::test]
async fn missing_fields_are_named() {
    assert_eq!(enqueue(&json!({})).await.pointers(), BTreeSet::from(["/kind", "/payload"]));
    assert_eq!(enqueue(&json!({ "kind": "content" })).await.pointers(), BTreeSet::from(["/payload"]));
    assert_eq!(enqueue(&json!([])).await.pointers(), BTreeSet::from([""]));
    let null = enqueue(&json!({ "kind": "content", "payload": null })).await;
    assert_eq!(null.message("/payload"), "must be an object, not null");
}

#[tokio::test]
async fn options_that_are_not_built_yet_are_unknown() {
    let answer = enqueue_with(json!({ "callback_url": "https://shop.example/done" })).await;
    answer.assert_problem(422, "invalid-payload");
    assert!(answer.message("/options/callback_url").starts_with("is not a known field"));
    let answer = enqueue_with(json!({ "durability": "journaled" })).await;
    answer.assert_problem(422, "invalid-payload");
    assert_eq!(answer.pointers(), BTreeSet::from(["/options/durability"]));
}

#[tokio::test]
async fn options_of_a_unique_key_need_the_key() {
    let answer = enqueue_with(json!({ "unique_for_s": 60, "on_conflict": "reject" })).await;
    assert_eq!(answer.pointers(), BTreeSet::from(["/options/unique_for_s", "/options/on_conflict"]));
    let answer = enqueue_with(json!({ "unique_key": "", "on_conflict": "ignore" })).await;
    assert_eq!(answer.pointers(), BTreeSet::from(["/options/unique_key", "/options/on_conflict"]));
}

#[tokio::test]
async fn times_are_checked() {
    let both = enqueue_with(json!({ "delay_s": 1, "run_at": "2030-01-01T00:00:00Z" })).await;
    assert_eq!(both.pointers(), BTreeSet::from(["/options/run_at"]));
    let far = (Utc::now() + chrono::Days::new(6 * 366)).to_rfc3339();
    assert_eq!(
        enqueue_with(json!({ "run_at": far })).await.message("/options/run_at"),
        "must be at most 5 years ahead"
    );
    let delay = enqueue_with(json!({ "delay_s": 1e300 })).await;
    assert_eq!(delay.message("/options/delay_s"), "must be at most 5 years ahead");
    let text = enqueue_with(json!({ "run_at": "tomorrow" })).await;
    assert!(text.message("/options/run_at").starts_with("must be a time like"), "{}", text.body);
}

#[tokio::test]
async fn metadata_is_limited() {
    let answer = enqueue_with(json!({ "metadata": { "note": "x".repeat(16 << 10) } })).await;
    assert_eq!(answer.message("/options/metadata"), "must be at most 16 KB of JSON");
}

#[tokio::test]
async fn only_an_admin_names_a_tenant() {
    enqueue_with(json!({ "tenant": "other" })).await.assert_problem(403, "forbidden");
    let odd = enqueue_with(json!({ "tenant": "a b" })).await;
    assert_eq!(odd.pointers(), BTreeSet::from(["/options/tenant"]));
}

#[tokio::test]
async fn a_good_job_meets_a_queue_that_is_away() {
    let every_option = json!({ "priority": "high", "run_at": "2001-01-01T00:00:00Z", "expires_at": "2099-01-01T00:00:00Z",
        "max_attempts": 1, "timeout_s": 86_400, "metadata": { "a": 1 }, "allow_fallback": true, "durability": "fast" });
    let job = json!({ "kind": "content", "payload": good_payload() });
    let mut keyed = post("/api/jobs", &[Scope::JobsWrite], "application/json", job.to_string());
    keyed.headers_mut().insert("idempotency-key", "k1".parse().unwrap());
    let batch = json!({ "jobs": [job] }).to_string();
    let batch = post("/api/jobs/batch", &[Scope::JobsWrite], "application/json", batch);
    let (answer, keyed, batch) = tokio::join!(enqueue_with(every_option), send(keyed), send(batch));
    for answer in [answer, keyed, batch] {
        answer.assert_problem(503, "queue-unavailable");
        assert_eq!(answer.headers[header::RETRY_AFTER], "5");
    }
}

#[tokio::test]
async fn an_idempotency_key_has_a_length() {
    let mut request = post("/api/jobs", &[Scope::JobsWrite], "application/json", "{}");
    request.headers_mut().insert("idempotency-key", "k".repeat(256).parse().unwrap());
    send(request).await.assert_problem(422, "invalid-payload");
}

#[tokio::test]
async fn a_batch_reports_each_bad_job() {
    let jobs =
        json!({ "jobs": [{ "kind": "contents", "payload": {} }, { "kind": "content", "payload": {}, "x": 1 }, 5] });
    let answer = send(post("/api/jobs/batch", &[Scope::JobsWrite], "application/json", jobs.to_string())).await;
    assert_eq!(answer.status, 200, "{}", answer.body);
    assert_eq!((&answer.body["accepted"], &answer.body["rejected"]), (&json!(0), &json!(3)));
    let results = answer.body["results"].as_array().unwrap();
    assert!(results.iter().enumerate().all(|(index, line)| line["index"] == index && line.get("id").is_none()));
    let problems: Vec<_> = results.iter().map(|line| line["problem"]["type"].as_str().unwrap()).collect();
    assert!(problems[0].ends_with("/unknown-kind") && problems[1].ends_with("/invalid-payload"), "{problems:?}");
    assert_eq!(results[2]["problem"]["errors"][0]["pointer"], "");
}

#[tokio::test]
async fn a_batch_itself_is_checked() {
    let batch = |body: Value| send(post("/api/jobs/batch", &[Scope::JobsWrite], "application/json", body.to_string()));
    assert_eq!(batch(json!({})).await.pointers(), BTreeSet::from(["/jobs"]));
    assert_eq!(batch(json!({ "jobs": 1, "a/b": 1 })).await.pointers(), BTreeSet::from(["/jobs", "/a~1b"]));
    assert_eq!(batch(json!([])).await.pointers(), BTreeSet::from([""]));
    batch(json!({ "jobs": vec![1; 10_001] })).await.assert_problem(413, "too-large");
    let none = batch(json!({ "jobs": [] })).await;
    assert_eq!(none.body, json!({ "accepted": 0, "rejected": 0, "results": [] }));
}

#[tokio::test]
async fn ndjson_is_answered_line_by_line_and_has_a_limit() {
    let mut body = "{\"kind\": \n\n{\"kind\":\"contents\",\"payload\":{}}\n".to_owned();
    body.push_str(&"1\n".repeat(9_999));
    let answer = send(post("/api/jobs/batch", &[Scope::JobsWrite], "application/x-ndjson", body)).await;
    assert_eq!(answer.status, 200);
    assert_eq!(answer.headers[header::CONTENT_TYPE], "application/x-ndjson");
    let lines: Vec<Value> =
        answer.body.as_str().unwrap().lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(lines.len(), 10_001);
    let slug = |index: usize| {
        assert_eq!(lines[index]["index"], index);
        lines[index]["problem"]["type"].as_str().unwrap().rsplit('/').next().unwrap().to_owned()
    };
    assert_eq!([slug(0), slug(1), slug(2)], ["malformed", "unknown-kind", "invalid-payload"]);
    assert_eq!([slug(9_999), slug(10_000)], ["invalid-payload", "too-large"]);
}

#[tokio::test]
async fn a_query_is_checked() {
    for query in ["wait=61", "wait=-1", "wait=soon", "wait=NaN", "wit=1"] {
        let request = Request::get(format!("/api/jobs/0199a1b2-0000-7000-8000-000000000001?{query}"))
            .header(header::AUTHORIZATION, bearer(&[Scope::JobsRead]));
        send(request.body(Body::empty()).unwrap()).await.assert_problem(422, "invalid-payload");
    }
    let request =
        Request::get("/api/queues/content/dead?limit=201").header(header::AUTHORIZATION, bearer(&[Scope::JobsRead]));
    send(request.body(Body::empty()).unwrap()).await.assert_problem(422, "invalid-payload");
}

#[tokio::test]
async fn a_selection_of_dead_jobs_is_checked() {
    let replay = |body: Value| {
        send(post("/api/queues/content/dead/replay", &[Scope::Admin], "application/json", body.to_string()))
    };
    assert_eq!(replay(json!({ "id": [] })).await.pointers(), BTreeSet::from(["/id"]));
    assert_eq!(replay(json!({ "ids": ["x"] })).await.pointers(), BTreeSet::from(["/ids/0"]));
}

#[tokio::test]
async fn unknown_routes_and_methods_are_problems_too() {
    let route = send(Request::get("/api/nothing").body(Body::empty()).unwrap()).await;
    route.assert_problem(404, "not-found");
    let method = send(Request::put("/api/jobs/x").body(Body::empty()).unwrap()).await;
    method.assert_problem(405, "method-not-allowed");
    assert_eq!(method.headers[header::ALLOW], "GET,HEAD");
}

#[tokio::test]
async fn a_request_keeps_its_id_or_gets_one() {
    let live = || Request::get("/api/health/live");
    let given = send(live().header("x-request-id", "order-7").body(Body::empty()).unwrap()).await;
    assert_eq!(given.headers["x-request-id"], "order-7");
    let odd = send(live().header("x-request-id", "no good id").body(Body::empty()).unwrap()).await;
    assert_eq!(odd.headers["x-request-id"].len(), 36);
}

#[tokio::test]
async fn a_panic_is_a_problem() {
    let api = api();
    let app = Router::new()
        .route("/panic", axum::routing::get(async || -> () { panic!("on purpose") }))
        .layer(tower_http::catch_panic::CatchPanicLayer::custom(crate::answer::panicked))
        .layer(axum::middleware::from_fn(crate::observe::observe))
        .merge(api);
    let response = app.oneshot(Request::get("/panic").body(Body::empty()).unwrap()).await.unwrap();
    assert_eq!(response.status(), 500);
    assert_eq!(response.headers()[header::CONTENT_TYPE], "application/problem+json");
}

#[tokio::test]
async fn health_tells_who_is_away_and_lives_without_them() {
    let get = |path: &str| send(Request::get(path).body(Body::empty()).unwrap());
    let (live, ready, report) = tokio::join!(get("/api/health/live"), get("/api/health/ready"), get("/api/health"));
    assert_eq!((live.status.as_u16(), &live.body), (200, &json!({ "status": "ok" })));
    assert_eq!(ready.status, 503);
    assert_eq!((&ready.body["ready"], &ready.body["redis"]["ok"]), (&json!(false), &json!(false)));
    assert!(ready.body["mongodb"]["error"].is_string());
    assert_eq!(report.status, 200);
    assert_eq!((&report.body["status"], &report.body["workers"]), (&json!("down"), &Value::Null));
}

#[tokio::test]
async fn the_document_is_openapi_3_1_and_lists_every_route() {
    let document = send(Request::get("/api/openapi.json").body(Body::empty()).unwrap()).await.body;
    assert!(document["openapi"].as_str().unwrap().starts_with("3.1."), "{}", document["openapi"]);
    assert!(document["info"]["title"].is_string() && document["info"]["version"].is_string());
    assert_eq!(document["components"]["securitySchemes"]["token"]["scheme"], "bearer");
    assert_eq!(documented(&document), routed());
    let mut references = 0;
    each_reference(&document, &mut |reference| {
        let pointer = reference.strip_prefix('#').unwrap();
        assert!(document.pointer(pointer).is_some(), "{reference} leads nowhere");
        references += 1;
    });
    assert!(references > 20, "{references}");
    for (path, operation) in document["paths"].as_object().unwrap() {
        for (method, operation) in operation.as_object().unwrap() {
            assert!(operation["responses"].as_object().unwrap().len() > 1, "{method} {path} has no responses");
            assert!(operation["operationId"].is_string(), "{method} {path}");
        }
    }
}

#[tokio::test]
async fn every_operation_has_a_name_of_its_own_and_real_statuses() {
    let document = send(Request::get("/api/openapi.json").body(Body::empty()).unwrap()).await.body;
    let mut names = BTreeSet::new();
    for (path, item) in document["paths"].as_object().unwrap() {
        for (method, operation) in item.as_object().unwrap() {
            let call = format!("{method} {path}");
            let name = operation["operationId"].as_str().unwrap();
            assert!(names.insert(name), "{call}: {name} is the name of another operation too");
            let statuses: BTreeSet<u16> = operation["responses"]
                .as_object()
                .unwrap()
                .keys()
                .map(|status| status.parse().unwrap_or_else(|_| panic!("{call}: {status} is no status")))
                .collect();
            let open = operation["security"] == json!([]);
            assert!(open || operation["security"] == json!([{ "token": [] }]), "{call}");
            assert_eq!(statuses.contains(&401) && statuses.contains(&403), !open, "{call}: {statuses:?}");
            // Of the exchange rates there may be none yet, and a tenant may have no subscription.
            let of_subscriptions = ["portal", "change", "cancel", "resume"];
            let of_subscriptions = of_subscriptions.map(|call| format!("post /api/payments/{call}"));
            let may_lack = path.contains('{') || call == "get /api/rates" || of_subscriptions.contains(&call);
            assert_eq!(statuses.contains(&404), may_lack, "{call}: {statuses:?}");
            assert_eq!(statuses.contains(&415), operation.get("requestBody").is_some(), "{call}: {statuses:?}");
            assert!(!takes_null(operation), "{call}: what may be left out is no null");
            assert!([500, 503].iter().all(|status| statuses.contains(status)), "{call}: {statuses:?}");
        }
    }
    let shared = &document["components"]["responses"]["Problem401"];
    assert_eq!(shared["content"]["application/problem+json"]["schema"]["$ref"], "#/components/schemas/Problem");
    assert!(shared["description"].as_str().unwrap().contains("token-expired"), "{shared}");
}

/// Whether a parameter or the body itself may be `null`.
fn takes_null(operation: &Value) -> bool {
    let null = json!({ "type": "null" });
    let is_null = |schema: &Value| {
        let types = schema["type"].as_array().is_some_and(|types| types.contains(&json!("null")));
        types || schema["oneOf"].as_array().is_some_and(|choices| choices.contains(&null))
    };
    let parameters = operation["parameters"].as_array().into_iter().flatten();
    let bodies = operation["requestBody"]["content"].as_object().into_iter().flat_map(|content| content.values());
    parameters.chain(bodies).any(|part| is_null(&part["schema"]))
}

#[tokio::test]
async fn events_of_a_stream_have_types() {
    let document = send(Request::get("/api/openapi.json").body(Body::empty()).unwrap()).await.body;
    let content = &document["paths"]["/api/jobs/{id}/events"]["get"]["responses"]["200"]["content"];
    assert_eq!(content["text/event-stream"]["schema"]["contentSchema"]["$ref"], "#/components/schemas/JobEvent");
    let schemas = &document["components"]["schemas"];
    assert_eq!(schemas["JobEvent"]["oneOf"].as_array().unwrap().len(), 5);
    let state = &schemas["JobEvent-state"]["properties"];
    assert_eq!(
        (&state["event"]["const"], &state["data"]["$ref"]),
        (&json!("state"), &json!("#/components/schemas/StateChange"))
    );
}

#[tokio::test]
async fn every_documented_route_answers() {
    let document = send(Request::get("/api/openapi.json").body(Body::empty()).unwrap()).await.body;
    for (method, path) in documented(&document) {
        let path = path.replace("{id}", "x").replace("{queue}", "content").replace("{file}", "600.jpg");
        let method = Method::from_bytes(method.to_uppercase().as_bytes()).unwrap();
        let answer = send(Request::builder().method(&method).uri(&path).body(Body::empty()).unwrap()).await;
        let open = ["/api/health", "/api/images/", "/api/payments/config"].iter().any(|begin| path.starts_with(begin));
        let open =
            open || path == "/api/openapi.json" || path.ends_with("/unsubscribe") || path.starts_with("/api/webhooks/");
        let open = open || path.starts_with("/subscribe") || path.starts_with("/mock/");
        assert_eq!(answer.status == 401, !open, "{method} {path}: {}", answer.status);
    }
}

#[tokio::test]
async fn a_page_is_refused_without_its_signature_before_anything_is_looked_up() {
    for query in ["", "?t=", "?t=YWNtZQ.9999999999.c2ln&lang=fr", "?lang=fr&t=%ff"] {
        let request = Request::get(format!("/subscribe{query}")).body(Body::empty()).unwrap();
        let answer = send(request).await;
        assert_eq!(answer.status, 403, "{query}: {}", answer.body);
        assert_eq!(answer.headers[header::CONTENT_TYPE], "text/html; charset=utf-8");
        let title =
            if query.contains("lang=fr") { "Ce lien n’est plus valable" } else { "This link is no longer good" };
        assert!(answer.body.as_str().unwrap().contains(title), "{}", answer.body);
    }
}

#[tokio::test]
async fn the_document_has_the_payload_of_each_kind() {
    let document = send(Request::get("/api/openapi.json").body(Body::empty()).unwrap()).await.body;
    for kind in jobs::Checks::all().kinds() {
        let request = &document["components"]["schemas"][format!("JobRequest-{}", kind.name)];
        assert_eq!(request["properties"]["kind"]["const"], kind.name);
        let payload = request["properties"]["payload"]["$ref"].as_str().unwrap();
        assert!(document.pointer(&payload[1..]).is_some(), "{payload}");
    }
}

#[tokio::test]
async fn the_document_has_every_field_of_what_is_published() {
    let document = send(Request::get("/api/openapi.json").body(Body::empty()).unwrap()).await.body;
    let schemas = &document["components"]["schemas"];
    let fields = |name: &str| schemas[name]["properties"].as_object().unwrap().keys().cloned().collect::<BTreeSet<_>>();
    let required = |name: &str| schemas[name]["required"].clone();
    let of_publication = fields("Publication");
    assert!(of_publication.contains("variants"), "{of_publication:?}");
    assert_eq!(fields("PublishRequest-publication"), of_publication);
    assert_eq!(required("PublishRequest-publication"), json!(["sku"]));
    assert!(fields("PublishRequest-content").contains("language") && fields("PublishRequest-image").contains("name"));
    let publish = &schemas["PublishRequest"];
    assert_eq!(publish["properties"]["publication"]["$ref"], "#/components/schemas/PublishRequest-publication");
    assert_eq!(publish["properties"]["options"]["oneOf"][1]["$ref"], "#/components/schemas/JobOptions");
    assert_eq!(publish["required"], json!(["publication"]));
    let mut of_line = fields("CatalogueProduct");
    of_line.extend(["store".to_owned(), "shop".to_owned()]);
    assert_eq!(of_line, of_publication);
    assert!(!fields("CatalogueProduct").contains("store"));
    let products = &document["paths"]["/api/stores/{name}/products"]["post"]["requestBody"]["content"];
    assert_eq!(products["application/x-ndjson"]["schema"]["$ref"], "#/components/schemas/CatalogueProduct");
    let items = &schemas["CatalogueRequest"]["properties"]["products"]["items"];
    assert_eq!(items["$ref"], "#/components/schemas/CatalogueProduct");
}

#[tokio::test]
async fn what_is_wrong_with_a_product_to_publish_is_named_where_it_stands() {
    let publish = async |path: &str, body: Value| {
        send(post(path, &[Scope::JobsWrite], "application/json", body.to_string())).await
    };
    let body = json!({ "publication": { "sku": "", "price": { "amount": 1, "currency": "EUR" } }, "content": { "language": "de" },
        "image": { "count": 9 }, "options": { "max_attempts": 0 } });
    let answer = publish("/api/products/1/publish", body).await;
    answer.assert_problem(422, "invalid-payload");
    let pointers = answer.pointers();
    for pointer in
        ["/publication/sku", "/publication/price/amount", "/content/language", "/image/count", "/options/max_attempts"]
    {
        assert!(pointers.contains(pointer), "{pointer} in {pointers:?}");
    }
    let other = json!({ "publication": { "product_id": "2", "sku": "S", "stock": 1 } });
    assert_eq!(publish("/api/products/1/publish", other).await.pointers(), BTreeSet::from(["/publication/product_id"]));
    let nothing = publish("/api/products/1/publish", json!({ "publications": {} })).await;
    assert_eq!(nothing.pointers(), BTreeSet::from(["/publication", "/publications"]));
    let good = json!({ "publication": { "sku": "S", "stock": 1 } });
    let long = format!("/api/products/{}/publish", "x".repeat(101));
    assert_eq!(publish(&long, good).await.pointers(), BTreeSet::from(["/path/id"]));
}

fn documented(document: &Value) -> BTreeSet<(String, String)> {
    let paths = document["paths"].as_object().unwrap().iter();
    paths
        .flat_map(|(path, item)| item.as_object().unwrap().keys().map(|method| (method.clone(), path.clone())))
        .collect()
}

/// The routes as `router.rs` writes them, one a line.
fn routed() -> BTreeSet<(String, String)> {
    let mut routes = BTreeSet::from([("get".to_owned(), "/api/openapi.json".to_owned())]);
    for line in include_str!("router.rs").lines().filter_map(|line| line.trim().strip_prefix('"')) {
        let (path, handlers) = line.split_once("\": ").unwrap();
        let methods = handlers.split(", ").filter_map(|handler| handler.split_once(' '));
        routes.extend(methods.map(|(method, _)| (method.to_owned(), path.to_owned())));
    }
    routes
}

fn each_reference(value: &Value, look: &mut impl FnMut(&str)) {
    match value {
        Value::Object(fields) => {
            if let Some(reference) = fields.get("$ref").and_then(Value::as_str) {
                look(reference);
            }
            fields.values().for_each(|field| each_reference(field, look));
        }
        Value::Array(entries) => entries.iter().for_each(|entry| each_reference(entry, look)),
        _ => {}
    }
}

async fn get(path: &str, scopes: &[Scope]) -> Answer {
    send(Request::get(path).header(header::AUTHORIZATION, bearer(scopes)).body(Body::empty()).unwrap()).await
}

#[tokio::test]
async fn every_part_of_the_status_has_every_field_while_redis_and_mongodb_are_away() {
    let answer = get("/api/status", &[Scope::JobsRead]).await;
    assert_eq!((answer.status.as_u16(), &answer.body["mode"]), (200, &json!("mock")));
    let services = answer.body["services"].as_array().unwrap();
    let names = services.iter().map(|service| service["service"].as_str().unwrap());
    assert!(names.eq(services::SERVICES.iter().map(|service| service.as_str())), "{services:?}");
    for service in services {
        let mut fields: Vec<_> = service.as_object().unwrap().keys().map(String::as_str).collect();
        fields.sort_unstable();
        let expected = "breaker breaker_reason calls_1h configured degraded_waiting hints malformed missing mode probe risk \
            risk_text service stores success_rate_1h";
        assert_eq!(fields.join(" "), expected);
        let mocked = !["mongodb", "redis", "security"].contains(&service["service"].as_str().unwrap());
        assert_eq!(service["mode"], if mocked { "mock" } else { "real" });
        assert!(service["risk_text"].is_string() && ["P0", "P1", "P2"].iter().any(|risk| service["risk"] == *risk));
    }
    let one = get("/api/status/email", &[Scope::JobsRead]).await.body;
    assert_eq!(one["missing"], json!(["SMTP_SERVER", "SMTP_PORT", "SENDER_EMAIL"]));
    assert_eq!((&one["risk"], &one["risk_text"]), (&json!("P1"), &json!("notifications are late")));
    assert_eq!((&one["configured"], &one["probe"]), (&json!(false), &json!(null)));
}

#[tokio::test]
async fn the_status_needs_a_scope_and_a_service_that_exists() {
    get("/api/status", &[Scope::JobsWrite]).await.assert_problem(403, "forbidden");
    let unknown = get("/api/status/teleport", &[Scope::JobsRead]).await;
    unknown.assert_problem(404, "not-found");
    assert!(unknown.body["detail"].as_str().unwrap().contains("scraping"), "{}", unknown.body);
}
