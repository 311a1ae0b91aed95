//! The demo and the command line, against a system with a real shop and a real mail server.

use std::process::Output;

use serde_json::{Value, json};
use servers::SmtpServer;
use tests::{Options, Shop, System, example};

fn stdout(output: &Output) -> &str {
    std::str::from_utf8(&output.stdout).unwrap()
}

fn stderr(output: &Output) -> &str {
    std::str::from_utf8(&output.stderr).unwrap()
}

#[track_caller]
fn assert_done(output: &Output) {
    assert_eq!(output.status.code(), Some(0), "{}\n{}", stdout(output), stderr(output));
}

fn catalogue() -> String {
    example("catalogue.csv").to_str().unwrap().to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn two_demos_at_once_each_do_the_whole_main_job() {
    let (shop, mail) = (Shop::start().await, SmtpServer::start());
    let system = System::start(Options::default().real_scraping(32).real_email(mail.port())).await;
    let catalogue = catalogue();
    let demo =
        |to: &'static str| ["demo", "--catalogue", &catalogue, "--shops", shop.url(), "--to", to].map(str::to_owned);
    let (table, json) =
        (demo("anna@merchant.example"), [&demo("ben@merchant.example")[..], &["--json".to_owned()]].concat());
    let (table, json) = tokio::join!(system.ecomctl(&table), system.ecomctl(&json));
    assert_done(&table);
    assert_done(&json);

    let text = stdout(&table);
    let rows = |kind: &str| text.lines().filter(|line| line.starts_with(kind) && line.contains("succeeded")).count();
    assert_eq!(rows("content "), 25, "{text}");
    for kind in ["image ", "scrape ", "email ", "publication "] {
        assert_eq!(rows(kind), 1, "{text}");
    }
    assert!(text.contains("29 jobs: 29 succeeded (0 degraded), 0 failed;"), "{text}");
    assert!(stderr(&table).contains("content 25 of 25"), "{}", stderr(&table));

    let report: Value = serde_json::from_str(stdout(&json)).unwrap();
    assert_eq!((&report["n_jobs"], &report["n_succeeded"]), (&json!(29), &json!(29)));
    let jobs = report["jobs"].as_array().unwrap();
    let job = |kind: &str| jobs.iter().find(|job| job["kind"] == kind).unwrap();
    assert_eq!((&job("email")["provider"], &job("email")["result"]["status"]), (&json!("smtp"), &json!("sent")));
    assert_eq!(job("image")["result"]["mock"], true);
    assert_eq!(job("publication")["provider"], "mock");
    assert_eq!(job("scrape")["provider"], "direct");
    let pages = job("scrape")["result"]["pages"].as_array().unwrap();
    let amounts: Vec<&Value> = pages.iter().map(|page| &page["price"]["amount"]).collect();
    assert_eq!(amounts, [&json!("39.90"), &json!("1042.50"), &Value::Null]);
    assert_eq!((&pages[2]["price"], &pages[2]["error"]), (&Value::Null, &Value::Null), "no price is no error");
    assert_eq!(shop.n_visits(), 6, "each demo fetched its three pages once");

    let messages = mail.messages();
    assert_eq!(messages.len(), 2);
    for to in ["anna@merchant.example", "ben@merchant.example"] {
        assert_eq!(messages.iter().filter(|message| message.contains(to)).count(), 1, "one mail for {to}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_demo_of_which_a_job_fails_exits_with_1_and_says_which() {
    let shop = Shop::start().await;
    let system = System::start(Options::default().real_scraping(4)).await;
    // A private address that is not among those that are allowed.
    let shops = shop.url().replace("127.0.0.1", "localhost");
    let output = system.ecomctl(&["demo", "--catalogue", &catalogue(), "--shops", &shops]).await;
    assert_eq!(output.status.code(), Some(1), "{}", stderr(&output));
    let text = stdout(&output);
    assert!(text.contains("29 jobs: 26 succeeded (0 degraded), 3 failed;"), "{text}");
    assert!(
        text.lines().any(|line| line.starts_with("scrape LUM-001, job ") && line.contains("no public address")),
        "{text}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn ecomctl_enqueues_a_catalogue_and_shows_its_jobs() {
    let system = System::start(Options::default()).await;
    let all = system.ecomctl(&["enqueue", "content", "--from", &catalogue(), "--wait"]).await;
    assert_done(&all);
    let lines: Vec<&str> = stdout(&all).lines().collect();
    assert_eq!(lines.iter().filter(|line| line.ends_with("succeeded")).count(), 25, "{lines:?}");
    let id = lines[0].split_whitespace().next().unwrap();

    let shown = system.ecomctl(&["job", "get", id, "--wait", "30", "--json"]).await;
    assert_done(&shown);
    let job: Value = serde_json::from_str(stdout(&shown)).unwrap();
    assert_eq!((&job["id"], &job["state"]), (&json!(id), &json!("succeeded")));
    let described = system.ecomctl(&["job", "get", id]).await;
    assert_done(&described);
    assert!(stdout(&described).contains("state     succeeded"), "{}", stdout(&described));
    assert_done(&system.ecomctl(&["queue", "list"]).await);

    let unknown = system.ecomctl(&["job", "get", "0199a1b2-0000-7000-8000-000000000001"]).await;
    assert_eq!(unknown.status.code(), Some(1));
    assert!(stderr(&unknown).contains("(404)"), "{}", stderr(&unknown));
    let refused = system.ecomctl(&["enqueue", "content", "--payload", "{}"]).await;
    assert_eq!(refused.status.code(), Some(1));
    assert!(stdout(&refused).contains("/payload/name"), "{}", stdout(&refused));
    let bad_token = system.ecomctl(&["--token", "nonsense", "queue", "list"]).await;
    assert_eq!(bad_token.status.code(), Some(1));
    assert!(stderr(&bad_token).contains("(401)"), "{}", stderr(&bad_token));
    assert_eq!(system.ecomctl(&["job", "show", id]).await.status.code(), Some(2), "wrong usage");

    let token = system.ecomctl(&["token", "--scope", "jobs:read"]).await;
    assert_done(&token);
    let queues = system.client().get(format!("{}/api/queues", system.url())).bearer_auth(stdout(&token).trim());
    assert_eq!(queues.send().await.unwrap().status(), 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_demo_that_waits_for_a_paused_queue_says_so() {
    let system = System::start(Options::default().workers(1)).await;
    assert_eq!(system.post("/api/queues/content/pause", &Value::Null).await.status, 200);
    let demo = ["demo", "--catalogue", &catalogue(), "--shops", "http://127.0.0.1:9", "--limit-s", "8"];
    let output = system.ecomctl(&demo).await;
    assert_eq!(output.status.code(), Some(1), "{}", stderr(&output));
    let reason = "queue content is paused, `ecomctl queue resume content` lets it go on";
    assert!(stderr(&output).contains(&format!("content 0 of 25: {reason} · image not started")), "{}", stderr(&output));
    assert!(stdout(&output).contains(&format!("unfinished: not finished within 8 s; {reason}")), "{}", stdout(&output));
}
