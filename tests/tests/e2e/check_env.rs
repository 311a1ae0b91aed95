//! `ecomctl check-env` as a process: exit codes, streams, and that no value is shown.

use std::{
    collections::BTreeMap,
    process::{Command, Output},
};

use serde_json::Value;
use servers::{RedisKind, free_port};
use services::{SERVICES, Variable};
use tests::{program, workspace};

/// Stands in the examples of secrets.
const HUSH: &str = "hushhush";

/// A good value of every variable for production; the secret ones hold [`HUSH`].
fn full() -> BTreeMap<&'static str, String> {
    let variables = SERVICES.iter().flat_map(|service| service.entry().all_variables());
    let example = |variable: &'static Variable| Some((variable.name, variable.example?.to_owned()));
    variables.filter_map(example).chain([("MOCK_MODE", "false".to_owned())]).collect()
}

/// Runs it with these variables and no others.
async fn check(variables: BTreeMap<&'static str, String>, arguments: &str) -> Output {
    let mut command = Command::new(program("ecomctl"));
    command.arg("check-env").args(arguments.split_whitespace());
    command.env_clear().env("NO_PROXY", "127.0.0.1").envs(variables).current_dir(workspace());
    let run = move || command.output().unwrap();
    let output = tokio::task::spawn_blocking(run).await.unwrap();
    for stream in [&output.stdout, &output.stderr] {
        let text = String::from_utf8_lossy(stream);
        assert!(!text.contains(HUSH) && !text.contains("AAECAwQF"), "a secret is shown: {text}");
        assert!(!text.contains('\x1b'), "no terminal, no colours: {text}");
    }
    output
}

#[track_caller]
fn assert_exit(output: &Output, code: i32) -> String {
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert_eq!(output.status.code(), Some(code), "{text}");
    assert_eq!(String::from_utf8_lossy(&output.stderr), "");
    text
}

#[tokio::test]
async fn an_empty_environment_fails_in_production_and_names_what_is_critical() {
    let text = assert_exit(&check(BTreeMap::new(), "--mode production").await, 1);
    for service in SERVICES {
        let row = text.lines().find(|line| line.starts_with(service.as_str())).unwrap();
        let entry = service.entry();
        assert!(row.contains(entry.risk.name()) && row.ends_with(entry.lost), "{row}");
    }
    assert!(text.contains("payments: missing STRIPE_API_KEY, STRIPE_WEBHOOK_SECRET"), "{text}");
    assert!(text.contains("\nnot good for production: ai, payments, mongodb, security\n"), "{text}");
    assert_exit(&check(BTreeMap::new(), "--mode development").await, 0);
    assert_exit(&check(BTreeMap::new(), "--mode development --strict").await, 1);
    assert_exit(&check(BTreeMap::from([("APP_ENV", "production".to_owned())]), "").await, 1);
}

#[tokio::test]
async fn a_full_environment_is_good() {
    let text = assert_exit(&check(full(), "--mode production --strict").await, 0);
    assert!(text.ends_with("\ngood for production\n"), "{text}");
    assert_exit(&check(full(), "--mode development").await, 1);
}

#[tokio::test]
async fn half_an_environment_is_told_in_json_and_nothing_else() {
    let mut half = full();
    half.remove("SMTP_PORT");
    half.insert("STRIPE_API_KEY", format!("sk_test_{HUSH}"));
    half.remove("PRESTA_STORE_URL");
    let text = assert_exit(&check(half.clone(), "--mode production --json").await, 1);
    let report: Value = serde_json::from_str(&text).unwrap();
    let row = |service: &str| {
        report["services"].as_array().unwrap().iter().find(|row| row["service"] == service).unwrap().clone()
    };
    assert_eq!((&report["ok"], report["services"].as_array().unwrap().len()), (&Value::Bool(false), SERVICES.len()));
    assert_eq!(row("email")["missing"], serde_json::json!(["SMTP_PORT"]));
    assert_eq!(row("payments")["malformed"], serde_json::json!(["STRIPE_API_KEY"]));
    assert_eq!((&row("payments")["critical"], &row("email")["critical"]), (&Value::Bool(true), &Value::Bool(false)));
    assert_eq!(row("publication")["missing"], serde_json::json!(["PRESTA_STORE_URL"]), "one shop is half there");

    half.insert("STRIPE_API_KEY", format!("sk_live_{HUSH}"));
    assert_exit(&check(half.clone(), "--mode production").await, 0);
    assert_exit(&check(half, "--mode production --strict").await, 1);
}

#[tokio::test]
async fn a_probe_asks_what_is_configured() {
    let nobody = free_port();
    let redis = servers::redis(RedisKind::Valkey).unwrap();
    let variables = BTreeMap::from([
        ("REDIS_URL", redis.to_owned()),
        ("MONGO_URL", servers::mongo().to_owned()),
        ("JWT_SECRET", format!("{HUSH:x<32}")),
        ("MOCK_MODE_AI", "false".to_owned()),
        ("OPENAI_API_KEY", HUSH.to_owned()),
        ("OPENAI_BASE_URL", format!("http://127.0.0.1:{nobody}/v1")),
    ]);
    let text = assert_exit(&check(variables.clone(), "--mode development --probe --json").await, 1);
    let report: Value = serde_json::from_str(&text).unwrap();
    let probe = |service: &str| {
        report["services"].as_array().unwrap().iter().find(|row| row["service"] == service).unwrap()["probe"].clone()
    };
    for service in ["redis", "mongodb", "security"] {
        assert_eq!(probe(service)["ok"], true, "{report}");
    }
    assert!(probe("ai")["error"].as_str().unwrap().starts_with("cannot be reached"), "{report}");
    assert_eq!(probe("email"), Value::Null, "it is not configured");

    let mocked = variables.into_iter().filter(|(name, _)| *name != "MOCK_MODE_AI").collect();
    assert_exit(&check(mocked, "--mode development --probe").await, 0);
}

#[tokio::test]
async fn wrong_usage_exits_with_2() {
    assert_eq!(check(BTreeMap::new(), "--mode staging").await.status.code(), Some(2));
}
