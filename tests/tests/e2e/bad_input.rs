//! Requests that are refused, with the statuses of the contract, and leave nothing behind.

use std::{collections::BTreeMap, time::Duration};

use chrono::Utc;
use jsonwebtoken::{EncodingKey, Header, encode};
use producer::Scope;
use reqwest::{Method, RequestBuilder};
use serde_json::{Value, json};
use tests::{Answer, Options, System};

use crate::{product, redis_keys};

/// A token of our own making.
fn token(secret: &str, issuer: &str, expires_in_s: i64) -> String {
    let claims = json!({ "sub": "tests", "exp": Utc::now().timestamp() + expires_in_s, "iss": issuer, "aud": issuer,
        "scope": "admin" });
    encode(&Header::default(), &claims, &EncodingKey::from_secret(secret.as_bytes())).unwrap()
}

/// Sends bad requests to a system with one job, no worker, and hence no reason to change.
struct Gatekeeper {
    system: System,
    before: (Value, BTreeMap<Vec<u8>, Vec<u8>>),
}

impl Gatekeeper {
    async fn start() -> Self {
        let system = System::start(Options::default().workers(0)).await;
        system.post_job("content", product(0)).await;
        let before = Self::look(&system).await;
        assert_eq!(before.0.as_array().unwrap().iter().map(|depth| depth["ready"].as_u64().unwrap()).sum::<u64>(), 1);
        Self { system, before }
    }

    async fn look(system: &System) -> (Value, BTreeMap<Vec<u8>, Vec<u8>>) {
        let queues = system.get("/api/queues").await.body;
        let depths = queues.as_array().unwrap().iter().map(|queue| queue["depth"].clone()).collect();
        (depths, redis_keys(system).await)
    }

    async fn refused(&self, request: RequestBuilder, status: u16, slug: &str) -> Answer {
        let answer = Answer::to(request).await.unwrap();
        answer.assert_problem(status, slug);
        answer
    }

    /// A job that is refused; the pointers of its bad fields.
    async fn refused_job(&self, job: &Value, slug: &str) -> Vec<String> {
        let request = self.system.request(Method::POST, "/api/jobs").json(job);
        let answer = self.refused(request, 422, slug).await;
        let errors = answer.body["errors"].as_array().cloned().unwrap_or_default();
        errors.iter().map(|error| error["pointer"].as_str().unwrap().to_owned()).collect()
    }

    async fn refused_body(&self, body: impl Into<reqwest::Body>, status: u16, slug: &str) {
        let request = self.system.request(Method::POST, "/api/jobs").header("content-type", "application/json");
        self.refused(request.body(body), status, slug).await;
    }

    /// A good job with this token; `None` sends none.
    fn with_token(&self, token: Option<&str>) -> RequestBuilder {
        let request = self.system.client().post(format!("{}/api/jobs", self.system.url()));
        let request = request.json(&json!({ "kind": "content", "payload": product(1) }));
        match token {
            Some(token) => request.bearer_auth(token),
            None => request,
        }
    }

    async fn assert_nothing_changed(&self) {
        let after = Self::look(&self.system).await;
        assert_eq!(after.0, self.before.0);
        assert_eq!(after.1.keys().collect::<Vec<_>>(), self.before.1.keys().collect::<Vec<_>>());
        assert_eq!(after.1, self.before.1);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bad_job_is_refused_with_its_bad_fields_and_nothing_is_enqueued() {
    let gate = Gatekeeper::start().await;
    assert_eq!(gate.refused_job(&json!({ "kind": "contents", "payload": {} }), "unknown-kind").await, ["/kind"]);

    let mut wrong_type = product(1);
    wrong_type["features"] = json!("oak");
    let wrong_type = json!({ "kind": "content", "payload": wrong_type });
    assert_eq!(gate.refused_job(&wrong_type, "invalid-payload").await, ["/payload/features"]);

    let mut missing = product(1);
    missing.as_object_mut().unwrap().remove("name");
    let missing = json!({ "kind": "content", "payload": missing });
    assert_eq!(gate.refused_job(&missing, "invalid-payload").await, ["/payload/name"]);
    assert_eq!(gate.refused_job(&json!({ "kind": "content" }), "invalid-payload").await, ["/payload"]);
    let unknown_field = json!({ "kind": "content", "payload": product(1), "queue": "fast" });
    assert_eq!(gate.refused_job(&unknown_field, "invalid-payload").await, ["/queue"]);

    gate.refused_body(vec![b' '; 10 << 20], 413, "too-large").await;
    for broken in [r#"{ "kind": "content", "payload": "#, "", "nonsense"] {
        gate.refused_body(broken, 400, "malformed").await;
    }
    gate.assert_nothing_changed().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_option_that_is_not_built_yet_is_refused_and_nothing_is_enqueued() {
    let gate = Gatekeeper::start().await;
    let options = [("callback_url", json!("https://shop.example/hook")), ("durability", json!("journaled"))];
    for (option, value) in options {
        let job = json!({ "kind": "content", "payload": product(1), "options": { option: value } });
        assert_eq!(gate.refused_job(&job, "invalid-payload").await, [format!("/options/{option}")]);
    }
    gate.assert_nothing_changed().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_caller_without_a_good_token_is_refused_and_nothing_is_enqueued() {
    let gate = Gatekeeper::start().await;
    let secret = gate.system.secret();
    gate.refused(gate.with_token(None), 401, "unauthorized").await;
    let other_secret = token("another secret, which is as long as it should be", "ecomsimply", 3600);
    let other_issuer = token(secret, "somebody", 3600);
    for bad in ["nonsense", "", &other_secret, &other_issuer] {
        gate.refused(gate.with_token(Some(bad)), 401, "unauthorized").await;
    }
    let expired = token(secret, "ecomsimply", -60);
    gate.refused(gate.with_token(Some(&expired)), 401, "token-expired").await;
    let reader = gate.system.token(&[Scope::JobsRead]);
    gate.refused(gate.with_token(Some(&reader)), 403, "forbidden").await;
    gate.assert_nothing_changed().await;

    // The same request with a good token is taken: the token was what was wrong.
    let good = token(secret, "ecomsimply", 3600);
    assert_eq!(Answer::to(gate.with_token(Some(&good))).await.unwrap().status, 202);
}

#[tokio::test(flavor = "multi_thread")]
async fn another_tenants_job_is_not_found() {
    let system = System::start(Options::default().workers(0)).await;
    let id = system.post_job("content", product(1)).await;
    let secret = secrecy::SecretString::from(system.secret());
    let scopes = [Scope::JobsRead, Scope::JobsWrite];
    let stranger = producer::sign(&secret, "tests", Some("acme"), &scopes, Duration::from_secs(60)).unwrap();
    for (method, path) in [(Method::GET, ""), (Method::POST, "/cancel"), (Method::POST, "/retry")] {
        let url = format!("{}/api/jobs/{id}{path}", system.url());
        let answer = Answer::to(system.client().request(method, url).bearer_auth(&stranger)).await.unwrap();
        answer.assert_problem(404, "not-found");
    }
    assert_eq!(system.job(&id).await["state"], "ready");
}
