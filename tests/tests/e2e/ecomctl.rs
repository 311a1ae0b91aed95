//! The operator's command line, on the real API.

use std::process::{Command, Output};

use serde_json::{Value, json};
use tests::{Options, System, program};

fn said(output: &Output) -> String {
    assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).into_owned()
}

fn id_in(line: &str) -> String {
    line.split_whitespace().next().unwrap().to_owned()
}

#[test]
fn output_into_a_pipe_that_nobody_reads_ends_quietly() {
    // Far more than a pipe holds, in one piece and line by line.
    for json in ["--json", ""] {
        let line = format!("\"$0\" schedule next --cron '* * * * *' -n 10000 {json} | head -n 1");
        let output = Command::new("sh").args(["-c", &line]).arg(program("ecomctl")).output().unwrap();
        assert!(!output.stdout.is_empty());
        let told = String::from_utf8_lossy(&output.stderr);
        assert!(
            told.starts_with("tzdata ") && told.lines().count() == 1,
            "no more than which tables were used: {told}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_command_enqueues_with_every_option_and_from_its_standard_input() {
    let system = System::start(Options::default().workers(0)).await;
    let payload = json!({ "to": "zoe@customer.example", "subject": "Your cart", "text": "It is waiting." });
    let arguments = [
        "enqueue",
        "email",
        "--payload",
        "@-",
        "--delay",
        "3600",
        "--priority",
        "low",
        "--unique-key",
        "cart-17",
        "--unique-for",
        "60",
        "--on-conflict",
        "reject",
        "--tenant",
        "acme",
        "--metadata",
        r#"{"cart":17}"#,
        "--max-attempts",
        "2",
        "--timeout",
        "9",
        "--expires-at",
        "2031-01-01T00:00:00Z",
        "--idempotency-key",
        "k-1",
    ];
    let id = id_in(&said(&system.ecomctl_reading(&arguments, &payload.to_string()).await));
    let job = system.job(&id).await;
    assert_eq!((&job["state"], &job["tenant"], &job["priority"]), (&json!("scheduled"), &json!("acme"), &json!("low")));
    assert_eq!((&job["unique_key"], &job["metadata"]), (&json!("cart-17"), &json!({ "cart": 17 })));
    assert_eq!((&job["max_attempts"], &job["timeout_s"], &job["payload"]), (&json!(2), &json!(9), &payload));

    // The same key and the same command again enqueue nothing; with another payload they are refused.
    assert_eq!(id_in(&said(&system.ecomctl_reading(&arguments, &payload.to_string()).await)), id);
    let other = json!({ "to": "zoe@customer.example", "subject": "Another cart", "text": "It is waiting." });
    let refused = system.ecomctl_reading(&arguments, &other.to_string()).await;
    assert_eq!(refused.status.code(), Some(1));
    assert!(
        String::from_utf8_lossy(&refused.stdout).contains("idempotency-mismatch")
            || String::from_utf8_lossy(&refused.stdout).contains("idempotency key"),
        "{refused:?}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_schedule_is_put_changed_and_deleted_and_dead_letters_are_deleted() {
    let system = System::start(Options::default().workers(1).real_scraping(4)).await;
    let definition = |minute: u32| {
        json!({ "cron": format!("{minute} 3 * * *"), "zone": "Europe/Paris", "job": { "kind": "email",
            "payload": { "to": "zoe@customer.example", "subject": "Good morning", "text": "Coffee." } } })
        .to_string()
    };
    let put = ["schedule", "put", "morning", "--definition", "@-"];
    assert!(said(&system.ecomctl_reading(&put, &definition(5)).await).starts_with("morning is stored, next at "));
    said(&system.ecomctl_reading(&put, &definition(7)).await);
    let shown: Value = serde_json::from_str(&said(&system.ecomctl(&["schedule", "get", "morning"]).await)).unwrap();
    assert_eq!(shown["cron"], "7 3 * * *");
    let old = ["schedule", "put", "morning", "--definition", "@-", "--if-match", "\"0\""];
    assert_eq!(system.ecomctl_reading(&old, &definition(9)).await.status.code(), Some(1), "it was changed meanwhile");
    assert_eq!(said(&system.ecomctl(&["schedule", "delete", "morning"]).await), "morning is deleted\n");
    assert_eq!(system.ecomctl(&["schedule", "get", "morning"]).await.status.code(), Some(1));

    // A URL that nothing serves, without a stand-in: dead at the first attempt.
    let page = json!({ "product_id": "L-1", "urls": ["http://127.0.0.1:9/"] }).to_string();
    let mut dead = Vec::new();
    for _ in 0..3 {
        let arguments = ["enqueue", "scrape", "--payload", &page, "--max-attempts", "1", "--allow-fallback", "false"];
        dead.push(id_in(&said(&system.ecomctl(&arguments).await)));
    }
    for id in &dead {
        assert_eq!(system.wait_job(id).await["state"], "dead");
    }
    assert_eq!(system.ecomctl(&["queue", "delete-dead", "scrape"]).await.status.code(), Some(2), "which ones?");
    let one = system.ecomctl(&["queue", "delete-dead", "scrape", dead[0].as_str()]).await;
    assert_eq!(said(&one), "1 dead jobs of scrape are deleted\n");
    assert_eq!(
        said(&system.ecomctl(&["queue", "delete-dead", "scrape", "--all"]).await),
        "2 dead jobs of scrape are deleted\n"
    );
    assert_eq!(said(&system.ecomctl(&["queue", "dead", "scrape"]).await), "no dead jobs in scrape\n");
}
