//! E-mail jobs against a real SMTP server, whose messages are read by a parser that is not ours.

use std::{collections::HashMap, fs};

use fleet::Fleet;
use jobs::{
    Context, Done, Handler, JobError,
    email::{Email, EmailResult, PriceAlertData, Template, TrialEndingData},
};
use mail_parser::{Message, MessageParser};
use providers::{Providers, content::Language};
use queue::Job;
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use serde_json::json;
use servers::{SmtpServer, TempDir, temp_dir};
use services::Config;
use store::{NewResult, Store};
use tests::standins::smtp::{Act, Smtp, Step};

/// The services as a process has them with these variables besides, and which shares nothing.
fn context_with(port: u16, more: &[(&'static str, &str)]) -> Context {
    context_sharing(&Fleet::alone(), port, more)
}

fn context_sharing(fleet: &Fleet, port: u16, more: &[(&'static str, &str)]) -> Context {
    let mut vars = HashMap::from([
        ("MOCK_MODE_EMAIL", "false".to_owned()),
        ("SMTP_SERVER", "127.0.0.1".to_owned()),
        ("SMTP_PORT", port.to_string()),
        ("SENDER_EMAIL", "Shop <noreply@shop.example>".to_owned()),
    ]);
    vars.extend(more.iter().map(|(name, value)| (*name, (*value).to_owned())));
    let config = Config::from_vars(|name| vars.get(name).cloned());
    assert!(config.complaints.is_empty(), "{:?}", config.complaints);
    let job_id = "0199a1b2-0000-7000-8000-000000000000".parse().unwrap();
    Context::first_attempt::<Email>(job_id, Providers::from_config(&config, fleet).unwrap())
}

fn context(port: u16) -> Context {
    context_with(port, &[])
}

/// The same with a database of its own.
async fn context_with_store(port: u16) -> Context {
    with_store(context(port)).await
}

async fn with_store(context: Context) -> Context {
    let store = Store::open(servers::mongo(), &servers::prefix()).await.unwrap();
    Context { store: Some(store), ..context }
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

/// As a worker runs it: the result is stored, and tells later runs what was sent.
async fn run_and_store(context: &Context) -> Done<EmailResult> {
    let done = email().run(context).await.unwrap();
    let result = NewResult {
        job_id: context.job_id.to_string(),
        tenant: context.tenant.clone(),
        kind: Email::KIND.to_owned(),
        product_id: None,
        provider: done.provider.map(str::to_owned),
        degraded: false,
        degraded_reason: None,
        payload: None,
        result: serde_json::to_value(&done.result).unwrap(),
    };
    context.store.as_ref().unwrap().put_result(Email::COLLECTION, &result).await.unwrap();
    done
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

/// An authority of our own, and a certificate of it for 127.0.0.1: files in PEM.
struct Certificates {
    directory: TempDir,
}

impl Certificates {
    fn make() -> Self {
        let mut authority = CertificateParams::new(Vec::new()).unwrap();
        authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let authority_key = KeyPair::generate().unwrap();
        let authority_pem = authority.self_signed(&authority_key).unwrap().pem();
        let issuer = Issuer::new(authority, authority_key);
        let key = KeyPair::generate().unwrap();
        let server = CertificateParams::new(vec!["127.0.0.1".to_owned()]).unwrap().signed_by(&key, &issuer).unwrap();
        let certificates = Self { directory: temp_dir() };
        let write = |name: &str, text: String| fs::write(certificates.path(name), text).unwrap();
        write("ca.pem", authority_pem);
        write("server.pem", server.pem());
        write("server.key", key.serialize_pem());
        certificates
    }

    fn path(&self, name: &str) -> String {
        self.directory.path().join(name).to_str().unwrap().to_owned()
    }

    /// A server that shows this certificate and wants a login.
    fn server(&self, more: &[&str]) -> SmtpServer {
        let (certificate, key) = (self.path("server.pem"), self.path("server.key"));
        let ours = ["--cert", &certificate, "--key", &key, "--user", "shop", "--password", "hunter2"];
        SmtpServer::start_with(&[&ours[..], more].concat())
    }
}

#[tokio::test]
async fn a_message_goes_over_tls_of_a_private_authority_with_a_login() {
    let certificates = Certificates::make();
    let ca_file = certificates.path("ca.pem");
    let login = [("SMTP_CA_FILE", ca_file.as_str()), ("SMTP_USERNAME", "shop"), ("SMTP_PASSWORD", "hunter2")];
    for (arguments, use_ssl) in [(&["--implicit"][..], "true"), (&[], "false")] {
        let server = certificates.server(arguments);
        let vars = [&login[..], &[("SMTP_USE_SSL", use_ssl), ("SMTP_HELO", "jobs.shop.example")]].concat();
        let done = email().run(&context_with(server.port(), &vars)).await.unwrap();
        assert!(done.result.server_reply.unwrap().starts_with("250"));
        assert_eq!(server.messages().len(), 1, "SMTP_USE_SSL={use_ssl}");

        let wrong = [("SMTP_CA_FILE", ca_file.as_str()), ("SMTP_USERNAME", "shop"), ("SMTP_PASSWORD", "letmein")];
        let vars = [&wrong[..], &[("SMTP_USE_SSL", use_ssl)]].concat();
        let error = email().run(&context_with(server.port(), &vars)).await.unwrap_err();
        let JobError::Snooze { code: "provider_misconfigured", message, .. } = error else { panic!("{error:?}") };
        assert!(message.contains("login") && message.contains("535") && !message.contains("letmein"), "{message}");
    }
    // Without the authority nobody vouches for the server, and nothing is said to it.
    let server = certificates.server(&["--implicit"]);
    let vars = [("SMTP_USE_SSL", "true"), ("SMTP_USERNAME", "shop"), ("SMTP_PASSWORD", "hunter2")];
    let error = email().run(&context_with(server.port(), &vars)).await.unwrap_err();
    assert!(
        matches!(&error, JobError::Snooze { code: "provider_misconfigured", message, .. }
        if message.contains("certificate")),
        "{error:?}"
    );
    assert!(server.messages().is_empty());
}

#[test]
fn a_file_that_is_no_certificate_is_told_at_start() {
    let certificates = Certificates::make();
    for (file, told) in [("server.key", "no certificate"), ("missing.pem", "cannot be read")] {
        let path = certificates.path(file);
        let vars: HashMap<_, _> = HashMap::from([
            ("MOCK_MODE_EMAIL", "false"),
            ("SMTP_SERVER", "127.0.0.1"),
            ("SMTP_PORT", "1025"),
            ("SENDER_EMAIL", "shop@shop.example"),
            ("SMTP_CA_FILE", path.as_str()),
        ]);
        let config = Config::from_vars(|name| vars.get(name).map(|value| (*value).to_owned()));
        let error = Providers::from_config(&config, &Fleet::alone()).unwrap_err().to_string();
        assert!(error.contains("SMTP_CA_FILE") && error.contains(told), "{error}");
    }
}

fn parse(raw: &str) -> Message<'_> {
    MessageParser::new().parse(raw).expect("it is a message")
}

/// The one recipient: name and address.
fn recipient<'a>(message: &'a Message<'_>) -> (Option<&'a str>, &'a str) {
    let all = message.to().unwrap().as_list().unwrap();
    assert_eq!(all.len(), 1, "{all:?}");
    (all[0].name(), all[0].address().unwrap())
}

#[tokio::test]
async fn names_subjects_and_texts_arrive_as_they_were_given() {
    let server = SmtpServer::start();
    let context = context(server.port());
    let long_line = "thé ".repeat(600);
    let long_subject = "Çà et là : votre thé \u{1f375} est prêt, ".repeat(4);
    let rows = [
        ("Zoé Müller", "Votre thé est prêt", "Bonjour,\n\nà bientôt\n"),
        ("Müller, Zoé \"Z\" \u{1f375}", long_subject.trim_end(), long_line.as_str()),
        ("Zoe", "Plain", "dots\n.\n..\n.end"),
        (
            "\u{738b}\u{5c0f}\u{660e}",
            "\u{1f469}\u{200d}\u{1f52c} =?utf-8?q?not?= encoded",
            "tabs\tand trailing spaces  \nend",
        ),
        ("a@b, c", "Ends the text early?", "before\n.\r\nMAIL FROM:<x@y.example>\rafter\r\n.\r\nend"),
        ("Zoe", &"x".repeat(200), &"y".repeat(5_000)),
    ];
    for (to_name, subject, text) in rows {
        let html = format!("<p title=\"=?\">{text}</p>");
        let payload =
            json!({ "to": "zoe@bücher.example", "to_name": to_name, "subject": subject, "text": text, "html": html });
        let email: Email = serde_json::from_value(payload).unwrap();
        assert_eq!(email.check(), []);
        email.run(&context).await.unwrap();
        let messages = server.messages();
        let raw = messages.last().unwrap();
        let message = parse(raw);
        assert_eq!(recipient(&message), (Some(to_name), "zoe@xn--bcher-kva.example"));
        assert_eq!(message.subject(), Some(subject));
        let lines = |text: &str| text.replace("\r\n", "\n").replace('\r', "\n").trim_end().to_owned();
        assert_eq!(lines(&message.body_text(0).unwrap()), lines(text));
        assert_eq!(lines(&message.body_html(0).unwrap()), lines(&html));
        assert_eq!((message.text_body_count(), message.html_body_count(), message.attachment_count()), (1, 1, 0));
        assert!(raw.is_ascii() && raw.lines().all(|line| line.len() <= 998), "{raw}");
        let headers = raw.split("\r\n\r\n").next().unwrap();
        assert!(headers.lines().all(|line| line.len() <= 998), "{headers}");
    }
    assert_eq!(server.messages().len(), rows.len());
}

#[tokio::test]
async fn a_reminder_has_the_headers_that_mail_servers_look_for() {
    let server = SmtpServer::start();
    let vars = [("PUBLIC_URL", "https://jobs.shop.example/"), ("JWT_SECRET", "0123456789abcdef0123456789abcdef")];
    let context = context_with(server.port(), &vars);
    let reminder = Template::TrialEnding(TrialEndingData {
        trial_ends_at: "2026-03-18T22:30:00Z".parse().unwrap(),
        days_left: Some(3),
        plan: Some("Étoile & co".to_owned()),
        action_url: Some("https://app.shop.example/plans?a=1&b=2".to_owned()),
    });
    let zone = || Some("Europe/Paris".to_owned());
    let name = || Some("Zoé".to_owned());
    Email::from_template("zoe@customer.example", name(), Language::Fr, zone(), &reminder).run(&context).await.unwrap();
    let messages = server.messages();
    let message = parse(&messages[0]);
    let raw = |name: &str| message.header_raw(name).map(|value| value.split_whitespace().collect::<Vec<_>>().join(" "));
    let unsubscribe = context.providers.links.unsubscribe("0199a1b2-0000-7000-8000-000000000000").unwrap();
    assert_eq!(raw("List-Unsubscribe"), Some(format!("<{unsubscribe}>")));
    assert_eq!(raw("List-Unsubscribe-Post").as_deref(), Some("List-Unsubscribe=One-Click"));
    assert_eq!(raw("Auto-Submitted").as_deref(), Some("auto-generated"));
    assert_eq!(raw("MIME-Version").as_deref(), Some("1.0"));
    assert_eq!(message.message_id(), Some("0199a1b2-0000-7000-8000-000000000000@shop.example"));
    let age_s = chrono::Utc::now().timestamp() - message.date().unwrap().to_timestamp();
    assert!((0..120).contains(&age_s), "{age_s} s");
    assert_eq!(message.subject(), Some("Votre essai se termine dans 3\u{a0}jours"));
    // Half past ten in the evening, UTC, is another half past eleven in Paris.
    let moment = "mercredi 18\u{a0}mars 2026 à 23\u{a0}h\u{a0}30 (Europe/Paris)";
    let (text, html) = (message.body_text(0).unwrap(), message.body_html(0).unwrap());
    assert!(text.contains(moment) && html.contains(moment), "{text}\n{html}");
    assert!(text.contains("Étoile & co") && html.contains("Étoile &amp; co"), "{text}\n{html}");
    assert!(html.contains("href=\"https://app.shop.example/plans?a=1&amp;b=2\""), "{html}");
    for body in [&text, &html] {
        assert!(body.contains(&unsubscribe), "{body}");
    }

    let alert = Template::PriceAlert(PriceAlertData {
        product: "Théière".to_owned(),
        competitor: "tea.example".to_owned(),
        selector: None,
        old_price: None,
        new_price: "1299.5".to_owned(),
        own_price: None,
        currency: "EUR".to_owned(),
        action_url: None,
    });
    let without_address = self::context(server.port());
    Email::from_template("zoe@customer.example", None, Language::En, None, &alert).run(&without_address).await.unwrap();
    let messages = server.messages();
    let message = parse(&messages[1]);
    assert_eq!(message.subject(), Some("tea.example sells “Théière” at €1,299.50"));
    assert!(message.header_raw("List-Unsubscribe").is_none());
}

#[tokio::test]
async fn a_message_that_was_taken_is_not_sent_by_a_later_run() {
    let server = Smtp::start(None).await.unwrap();
    let context = context_with_store(server.port()).await;
    let first = run_and_store(&context).await;
    let second = run_and_store(&context).await;
    assert_eq!(first, second);
    assert_eq!(server.received().len(), 1);
}

#[tokio::test]
async fn a_message_that_may_have_arrived_is_sent_once_more_and_not_a_third_time() {
    let server = Smtp::start(None).await.unwrap();
    let context = context_with_store(server.port()).await;
    server.next(1, Step::Text, Act::Drop);
    let error = email().run(&context).await.unwrap_err();
    assert!(matches!(error, JobError::Retry { code: "unknown_outcome", after: Some(_), .. }), "{error:?}");
    // The second time it is refused for now, which is known to be nothing.
    server.next(1, Step::Recipient, Act::Reply("451 4.7.1 greylisted".to_owned()));
    let again = Context { attempt: 2, ..context };
    let error = email().run(&again).await.unwrap_err();
    assert!(matches!(error, JobError::Retry { code: "deferred", .. }), "{error:?}");
    server.next(1, Step::Text, Act::Drop);
    for attempt in [3, 4] {
        let again = Context { attempt, ..again.clone() };
        let error = email().run(&again).await.unwrap_err();
        assert!(
            matches!(&error, JobError::Fatal { code: "unknown_outcome", message } if message.contains("third time")),
            "{error:?}"
        );
    }
    let received = server.received();
    assert_eq!((received.len(), server.n_asked(Step::Text)), (2, 2));
    let ids: Vec<_> = received.iter().map(|message| header(&message.text, "Message-ID").to_owned()).collect();
    assert_eq!(ids[0], ids[1]);
}

#[tokio::test]
async fn a_reply_in_latin_1_after_the_text_is_a_success_and_the_mail_goes_out_once() {
    let server = Smtp::start(None).await.unwrap();
    let context = context_with_store(server.port()).await;
    server.always(Step::Text, Act::Bytes(b"250 2.0.0 Nachricht \xfcbernommen\r\n".to_vec()));
    for _ in 0..2 {
        let done = run_and_store(&context).await;
        assert_eq!(done.result.server_reply.as_deref(), Some("250 2.0.0 Nachricht übernommen"));
    }
    assert_eq!((server.received().len(), server.n_asked(Step::Text)), (1, 1));
}

#[tokio::test]
async fn one_reply_too_many_does_not_make_the_next_mail_count_as_sent() {
    let server = Smtp::start(None).await.unwrap();
    let context = context_with_store(server.port()).await;
    server.next(1, Step::Text, Act::Bytes(b"250 2.0.0 queued\r\n250 2.0.0 queued\r\n".to_vec()));
    email().run(&context).await.unwrap();
    server.next(1, Step::Text, Act::Reply("554 5.6.0 not this one".to_owned()));
    let next = Context { job_id: "0199a1b2-0000-7000-8000-000000000001".parse().unwrap(), ..context };
    let error = email().run(&next).await.unwrap_err();
    assert!(
        matches!(&error, JobError::Fatal { code: "provider_rejected", message } if message.contains("not this one")),
        "{error:?}"
    );
    assert_eq!((server.received().len(), server.n_asked(Step::Greeting)), (1, 2));
}

#[tokio::test]
async fn a_refusal_of_the_account_parks_it_and_kills_no_job_and_one_of_a_recipient_parks_nobody() {
    for (step, reply) in [
        (Step::Text, "550 5.4.5 Daily user sending limit exceeded"),
        (Step::Text, "550 5.7.60 SMTP; Client does not have permissions to send as this sender"),
        (Step::Text, "550 5.1.8 Access denied, bad outbound sender"),
        (Step::Text, "554 Message rejected: Email address is not verified"),
        (Step::Recipient, "554 5.7.1 <zoe@customer.example>: Relay access denied"),
        (Step::Sender, "550 5.7.1 sender refused"),
    ] {
        let server = Smtp::start(None).await.unwrap();
        let fleet = crate::shared_fleet();
        let context = with_store(context_sharing(&fleet, server.port(), &[])).await;
        server.next(1, step, Act::Reply(reply.to_owned()));
        let error = email().run(&context).await.unwrap_err();
        assert!(
            matches!(&error, JobError::Snooze { code: "provider_misconfigured", message, .. } if message.contains(reply)),
            "{error:?}"
        );
        fleet.flush().await;
        let next = Context { job_id: "0199a1b2-0000-7000-8000-000000000001".parse().unwrap(), ..context };
        let error = email().run(&next).await.unwrap_err();
        assert!(matches!(&error, JobError::Snooze { code: "breaker_open", .. }), "{error:?}");
    }
    let server = Smtp::start(None).await.unwrap();
    let context = context_with_store(server.port()).await;
    for (n, (step, reply)) in [
        (Step::Recipient, "550 5.7.1 <zoe@customer.example>: Recipient address rejected: Access denied"),
        (Step::Recipient, "550 5.2.1 The email account that you tried to reach is disabled"),
        (Step::Text, "550 5.7.1 RESOLVER.RST.AuthRequired; authentication required"),
        (Step::Text, "554 5.7.1 looks like spam"),
    ]
    .into_iter()
    .enumerate()
    {
        server.next(1, step, Act::Reply(reply.to_owned()));
        let one = Context { job_id: format!("0199a1b2-0000-7000-8000-{n:012}").parse().unwrap(), ..context.clone() };
        let error = email().run(&one).await.unwrap_err();
        assert!(matches!(&error, JobError::Fatal { code: "provider_rejected", .. }), "{error:?}");
    }
    let last = Context { job_id: "0199a1b2-0000-7000-8000-000000000099".parse().unwrap(), ..context };
    email().run(&last).await.unwrap();
}

#[tokio::test]
async fn a_greylisted_recipient_and_a_refused_one_do_not_stop_the_mails_of_others() {
    let server = Smtp::start(None).await.unwrap();
    let context = context_with_store(server.port()).await;
    for n in 0..40 {
        let (reply, code) = if n % 2 == 0 {
            ("451 4.7.1 greylisted", "deferred")
        } else {
            ("550 5.1.1 no such user", "provider_rejected")
        };
        server.next(1, Step::Recipient, Act::Reply(reply.to_owned()));
        let one = Context { job_id: format!("0199a1b2-0000-7000-8000-{n:012}").parse().unwrap(), ..context.clone() };
        let error = email().run(&one).await.unwrap_err();
        match error {
            JobError::Retry { code: found, .. } => assert_eq!(found, code),
            JobError::Fatal { code: found, message } => assert!(found == code && message.contains(reply), "{message}"),
            other => panic!("{other:?}"),
        }
    }
    email().run(&context).await.unwrap();
    assert_eq!(server.received().len(), 1);
}
