//! Switching between mock and real while the system runs.

use std::collections::BTreeSet;

use producer::Scope;
use reqwest::Method;
use serde_json::{Value, json};
use servers::{SmtpServer, wait_until};
use tests::{Answer, Gate, Options, PATIENCE, System};

use crate::{assert_ran_once, attempts, product, real_texts, slow_model};

/// A system that could send e-mail for real, but is told not to.
fn mock_email(server: &SmtpServer) -> Options {
    Options::default().real_email(server.port()).env("MOCK_MODE_EMAIL", "true")
}

async fn put(system: &System, body: Value) -> Answer {
    Answer::to(system.request(Method::PUT, "/api/mode").json(&body)).await.unwrap()
}

fn service<'a>(report: &'a Value, name: &str) -> &'a Value {
    report["services"].as_array().unwrap().iter().find(|service| service["service"] == name).unwrap()
}

/// Sends e-mails until each of two workers has sent one by this provider.
async fn until_two_workers_use(system: &System, provider: &str) {
    let mut workers = BTreeSet::new();
    wait_until(&format!("two workers use {provider}"), PATIENCE, async || {
        let mail = json!({ "to": "zoe@customer.example", "subject": "Hello", "text": "Hello" });
        let ids = system.post_jobs("email", vec![mail; 8]).await;
        for job in system.wait_jobs(&ids).await {
            assert_ran_once(&job);
            if job["provider"] == provider {
                workers.insert(attempts(&job)[0]["worker"].as_str().unwrap().to_owned());
            }
        }
        workers.len() == 2
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_switch_reaches_every_worker_without_a_restart_and_survives_restarts() {
    let server = SmtpServer::start();
    let mut system = System::start(mock_email(&server)).await;
    let before = system.get("/api/mode").await.body;
    assert_eq!((&before["mode"], &before["changes"]), (&json!("mock"), &json!([])), "{before}");
    let email = service(&before, "email");
    assert_eq!(
        (&email["mode"], &email["decided_by"], &email["by"]),
        (&json!("mock"), &json!("variables"), &Value::Null)
    );
    assert_eq!(service(&before, "redis")["decided_by"], "fixed");
    until_two_workers_use(&system, "mock").await;
    assert_eq!(server.messages().len(), 0);

    let answer = put(&system, json!({ "mode": "real", "service": "email", "reason": "go live" })).await;
    assert_eq!((answer.status, &answer.body["mode"]), (200, &json!("mixed")), "{}", answer.body);
    let email = service(&answer.body, "email");
    let who = (&email["mode"], &email["decided_by"], &email["by"], &email["reason"]);
    assert_eq!(who, (&json!("real"), &json!("switch"), &json!("tests"), &json!("go live")));
    assert!(email["since"].as_str().unwrap().ends_with('Z'), "{email}");
    until_two_workers_use(&system, "smtp").await;
    assert!(!server.messages().is_empty());

    system.restart_producer().await;
    for worker in 0..2 {
        system.stop_worker(worker).await;
        system.start_worker().await;
    }
    let after = system.get("/api/mode").await.body;
    assert_eq!((service(&after, "email"), &after["changes"]), (email, &answer.body["changes"]));
    until_two_workers_use(&system, "smtp").await;

    let answer = put(&system, json!({ "mode": "mock" })).await;
    assert_eq!(service(&answer.body, "email")["mode"], "mock", "a switch of all ends those of single ones");
    assert_eq!(answer.body["changes"].as_array().unwrap().len(), 2);
    until_two_workers_use(&system, "mock").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_switch_interrupts_nothing() {
    let gate = Gate::closed();
    let model = slow_model(&gate).await;
    let system = System::start(real_texts(Options::default().workers(1), &model, 4)).await;
    let running = system.post_job("content", product(0)).await;
    wait_until("the model is asked", PATIENCE, async || model.n_requests() == 1).await;
    assert_eq!(put(&system, json!({ "mode": "mock", "service": "ai" })).await.status, 200);
    wait_until("the worker uses the templates", PATIENCE, async || {
        let id = system.post_job("content", product(1)).await;
        system.wait_job(&id).await["provider"] == "mock"
    })
    .await;
    gate.open();
    let job = system.wait_job(&running).await;
    assert_ran_once(&job);
    assert_eq!((&job["provider"], &job["degraded"]), (&json!("openai"), &json!(false)), "{job}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_switch_to_real_without_the_variables_is_refused_with_the_list_unless_it_is_forced() {
    let system = System::start(Options::default().workers(0)).await;
    let refused = put(&system, json!({ "mode": "real", "service": "email" })).await;
    refused.assert_problem(409, "not-configured");
    assert_eq!(refused.body["missing"], json!(["SMTP_SERVER", "SMTP_PORT", "SENDER_EMAIL"]), "{}", refused.body);
    let all = put(&system, json!({ "mode": "real" })).await;
    all.assert_problem(409, "not-configured");
    assert!(all.body["missing"].as_array().unwrap().contains(&json!("OPENAI_API_KEY")), "{}", all.body);
    assert_eq!(system.get("/api/mode").await.body["changes"], json!([]), "nothing was switched");

    let output = system.ecomctl(&["mode", "set", "real", "--service", "email"]).await;
    let error = String::from_utf8(output.stderr).unwrap();
    assert!(output.status.code() == Some(1) && error.contains("SMTP_SERVER") && error.contains("force"), "{error}");
    let output = system.ecomctl(&["mode", "set", "real", "--service", "email", "--force", "--reason", "soon"]).await;
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success() && text.starts_with("email is now real\n"), "{text}");
    assert_eq!(service(&system.get("/api/mode").await.body, "email")["reason"], "soon");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bad_switch_is_refused_with_its_fields_and_a_caller_without_the_scope_switches_nothing() {
    let system = System::start(Options::default().workers(0)).await;
    let bad = put(&system, json!({ "mode": "live", "service": "redis", "sevrice": "ai" })).await;
    bad.assert_problem(422, "invalid-payload");
    let pointers: BTreeSet<_> =
        bad.body["errors"].as_array().unwrap().iter().map(|error| error["pointer"].as_str().unwrap()).collect();
    assert_eq!(pointers, BTreeSet::from(["/mode", "/service", "/sevrice"]), "{}", bad.body);

    let as_one_with = async |scope, method, body: Option<Value>| {
        let request = system.client().request(method, format!("{}/api/mode", system.url()));
        let request = request.bearer_auth(system.token(&[scope]));
        Answer::to(if let Some(body) = body { request.json(&body) } else { request }).await.unwrap()
    };
    let mock = Some(json!({ "mode": "mock" }));
    as_one_with(Scope::JobsRead, Method::PUT, mock.clone()).await.assert_problem(403, "forbidden");
    as_one_with(Scope::JobsWrite, Method::GET, None).await.assert_problem(403, "forbidden");
    assert_eq!(as_one_with(Scope::JobsRead, Method::GET, None).await.body["changes"], json!([]));
    assert_eq!(as_one_with(Scope::ModeWrite, Method::PUT, mock).await.status, 200);
}
