//! E-mail jobs against a real SMTP server.

use std::collections::HashMap;

use fleet::Fleet;
use jobs::{Context, Handler, JobError, email::Email};
use providers::{Config, Providers};

use queue::Job;
use serde_json::json;
use servers::SmtpServer;

/// The services as a process has them that is configured for this SMTP port.
fn context(port: u16) -> Context {
    let vars = HashMap::from([
        ("MOCK_MODE_EMAIL", "false".to_owned()),
        ("SMTP_SERVER", "127.0.0.1".to_owned()),
        ("SMTP_PORT", port.to_string()),
        ("SENDER_EMAIL", "Shop <noreply@shop.example>".to_owned()),
    ]);
    let config = Config::from_vars(|name| vars.get(name).cloned());
    assert!(config.complaints.is_empty(), "{:?}", config.complaints);
    let job_id = "0199a1b2-0000-7000-8000-000000000000".parse().unwrap();
    Context::first_attempt::<Email>(job_id, Providers::from_config(&config, &Fleet::alone()).unwrap())
}

fn email() -> Email {
    serde_json::from_value(json!({
        "to": "zoe@customer.example",
        "to_name": "Zoé Müller",
        "subject": "Your tea is ready",
        "text": "Hello,\n.\nthe line above is a single dot.",
        "html": "<p>Hello</p>",
    }))
    .unwrap()
}

fn header<'a>(message: &'a str, name: &str) -> &'a str {
    message.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": ")).unwrap_or_default()
}

#[tokio::test]
async fn every_attempt_of_a_job_sends_the_same_message_id() {
    let server = SmtpServer::start();
    let context = context(server.port());
    for _ in 0..2 {
        let done = email().run(&context).await.unwrap();
        assert_eq!(done.provider, Some("smtp"));
        let result = serde_json::to_value(done.result).unwrap();
        assert_eq!(result["status"], "sent");
        assert!(result["server_reply"].as_str().unwrap().starts_with("250"), "{result}");
    }
    let messages = server.messages();
    assert_eq!(messages.len(), 2);
    for message in &messages {
        assert_eq!(header(message, "Message-ID"), "<0199a1b2-0000-7000-8000-000000000000@shop.example>");
        assert_eq!(header(message, "Subject"), "Your tea is ready");
        assert_eq!(header(message, "Auto-Submitted"), "auto-generated");
        assert!(header(message, "To").ends_with("<zoe@customer.example>"), "{message}");
        assert!(message.contains("\r\n.\r\nthe line above is a single dot."), "{message}");
        assert!(message.contains("<p>Hello</p>"), "{message}");
    }
}

#[tokio::test]
async fn a_mail_server_that_is_away_is_tried_again_and_never_replaced_by_the_mock() {
    let context = context(servers::free_port());
    let last = Context { attempt: Email::MAX_ATTEMPTS, ..context };
    let error = email().run(&last).await.unwrap_err();
    assert!(matches!(error, JobError::Retry { code: "provider_unavailable", .. }), "{error:?}");
}
