//! Connections to the server of the configuration, those that are idle among them.

use std::{
    fs,
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicU8, Ordering},
    },
    time::{Duration, Instant},
};

use services::{Smtp, SmtpTls};
use tokio::time::timeout;

use crate::{
    email::{
        dialogue::{Dialogue, Fault, Tls, connect},
        mailer::SERVICE,
        verdict::Step,
    },
    error::ProviderError,
};

/// How long an idle connection is trusted, and how long one that is alive is looked for.
const IDLE_FOR: Duration = Duration::from_secs(60);
const NOOP_TIMEOUT: Duration = Duration::from_secs(3);
const IDLE_AT_MOST: usize = 8;
/// Who has no name says this in EHLO.
const NAMELESS: &str = "[127.0.0.1]";

pub(super) struct Connections {
    pub(super) config: Smtp,
    /// What we call ourselves.
    hello: String,
    tls: Option<Tls>,
    idle: Mutex<Vec<(Instant, Dialogue)>>,
}

/// The step that is under way, for whoever stops waiting for it.
#[derive(Debug)]
pub(super) struct Progress(AtomicU8);

impl Progress {
    pub(super) fn new() -> Self {
        Self(AtomicU8::new(Step::Connect as u8))
    }

    pub(super) fn begin(&self, step: Step) {
        self.0.store(step as u8, Ordering::Relaxed);
    }

    pub(super) fn step(&self) -> Step {
        Step::ALL.get(usize::from(self.0.load(Ordering::Relaxed))).copied().unwrap_or(Step::End)
    }
}

impl Connections {
    pub(super) fn new(config: &Smtp) -> Result<Self, ProviderError> {
        let tls = match config.tls {
            SmtpTls::Plain => None,
            SmtpTls::Implicit | SmtpTls::StartTls => Some(tls(config)?),
        };
        let hello = config.helo.clone().unwrap_or_else(name_of_this_machine);
        Ok(Self { config: config.clone(), hello, tls, idle: Mutex::default() })
    }

    /// One that is idle, or a new one.
    pub(super) async fn take(&self, progress: &Progress) -> Result<Dialogue, Fault> {
        // All that are idle may have died alike: no message waits for each of them.
        match timeout(NOOP_TIMEOUT, self.idle_connection()).await {
            Ok(Some(dialogue)) => Ok(dialogue),
            Ok(None) | Err(_) => self.connect(progress).await,
        }
    }

    pub(super) async fn connect(&self, progress: &Progress) -> Result<Dialogue, Fault> {
        let stream = connect(&self.config.host, self.config.port).await?;
        let mut dialogue = match (&self.tls, self.config.tls) {
            (Some(tls), SmtpTls::Implicit) => Dialogue::implicit_tls(stream, tls, &self.hello).await?,
            (Some(tls), _) => Dialogue::starttls(stream, tls, &self.hello).await?,
            (None, _) => Dialogue::plain(stream, &self.hello).await?,
        };
        if let Some((user, password)) = &self.config.credentials {
            progress.begin(Step::Login);
            dialogue.log_in(user, password).await?;
        }
        Ok(dialogue)
    }

    /// Keeps a connection for the next message.
    pub(super) fn keep(&self, dialogue: Dialogue) {
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        if idle.len() < IDLE_AT_MOST {
            idle.push((Instant::now(), dialogue));
        }
    }

    /// A connection of an earlier message that still answers.
    async fn idle_connection(&self) -> Option<Dialogue> {
        loop {
            let (since, mut dialogue) = self.idle.lock().unwrap_or_else(PoisonError::into_inner).pop()?;
            if since.elapsed() < IDLE_FOR && dialogue.is_alive().await {
                return Some(dialogue);
            }
        }
    }
}

fn tls(config: &Smtp) -> Result<Tls, ProviderError> {
    let bad = |message: String| ProviderError::Misconfigured { service: SERVICE, message };
    let Some(file) = &config.ca_file else {
        let named = |problem| bad(format!("TLS for SMTP_SERVER={:?}: {problem}", config.host));
        return Tls::new(&config.host, None).map_err(named);
    };
    let read = fs::read(file).map_err(|error| bad(format!("SMTP_CA_FILE={file:?} cannot be read: {error}")))?;
    Tls::new(&config.host, Some(&read)).map_err(|problem| bad(format!("SMTP_CA_FILE={file:?} {problem}")))
}

fn name_of_this_machine() -> String {
    let name = fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default().trim().to_owned();
    let is_name = !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b".-".contains(&byte));
    if is_name { name } else { NAMELESS.to_owned() }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use secrecy::SecretString;

    use super::*;
    use crate::email::{
        mailer::{Email, Mailer},
        smtp::{
            stand_in::{Script, Server, email, friendly, twice},
            transfer::SmtpMailer,
        },
    };

    #[tokio::test]
    async fn the_next_message_goes_over_the_same_connection() {
        let server = Server::start(friendly).await;
        let mailer = server.mailer();
        mailer.send(&email()).await.unwrap();
        mailer.send(&Email { html: None, ..email() }).await.unwrap();
        assert_eq!(server.connections(), 1);
    }

    #[tokio::test]
    async fn a_connection_that_died_is_replaced() {
        let server = Server::start(|command| if command == "NOOP" { None } else { friendly(command) }).await;
        let mailer = server.mailer();
        mailer.send(&email()).await.unwrap();
        mailer.send(&email()).await.unwrap();
        assert_eq!(server.connections(), 2);
    }

    #[tokio::test]
    async fn a_connection_on_which_something_odd_was_said_is_not_used_again() {
        let odd: [Script; 6] = [
            // One reply too many, and a code alone.
            |command| if command == "." { Some("250 2.0.0 queued\r\n250 2.0.0 again") } else { friendly(command) },
            |command| if command == "." { Some("250") } else { friendly(command) },
            |command| if command == "DATA" { Some("354") } else { friendly(command) },
            |command| if command == "." { Some("220 ready") } else { friendly(command) },
            |command| if command == "." { Some("250 queued\r\n421 4.4.2 bye") } else { friendly(command) },
            |command| if command == "MAIL" { Some("220 ready") } else { friendly(command) },
        ];
        for (n, script) in odd.into_iter().enumerate() {
            let (sent, n_connections) = twice(script).await;
            assert!(sent.iter().all(Result::is_ok) && n_connections == 2, "{n}: {sent:?} over {n_connections}");
        }
        // Half a line, of which the rest never comes: the message was taken all the same.
        let half: Script = |command| if command == "." { Some("250 2.0.0 queued\r\n25") } else { friendly(command) };
        let (sent, n_connections) = twice(half).await;
        assert!(sent.iter().all(Result::is_ok) && n_connections == 2, "{sent:?} over {n_connections}");
        let alive: Script = |command| if command == "NOOP" { Some("250 here\r\n250 still") } else { friendly(command) };
        let (sent, n_connections) = twice(alive).await;
        assert!(sent.iter().all(Result::is_ok) && n_connections == 2, "{sent:?} over {n_connections}");
    }

    #[tokio::test]
    async fn a_reply_too_many_never_counts_for_the_next_message() {
        // The second message is refused; the server had said `250` once more after the first.
        let server = Server::start(|command| match command {
            "." => Some("250 2.0.0 queued\r\n250 2.0.0 queued"),
            _ => friendly(command),
        })
        .await;
        let mut mailer = server.mailer();
        mailer.send(&email()).await.unwrap();
        let refusing =
            Server::start(|command| if command == "." { Some("554 5.6.0 no") } else { friendly(command) }).await;
        mailer.connections.config = refusing.config();
        let error = mailer.send(&email()).await.unwrap_err();
        assert!(matches!(error, ProviderError::Rejected { .. }), "{error:?}");
    }

    #[tokio::test]
    async fn a_login_is_asked_for_in_the_words_of_the_server() {
        for (offer, lines) in [
            ("250-x\r\n250 AUTH LOGIN", "AUTH LOGIN\nc2hvcA==\naHVudGVyMg=="),
            ("250-x\r\n250 AUTH=LOGIN PLAIN", "AUTH PLAIN AHNob3AAaHVudGVyMg=="),
        ] {
            let server = match offer.contains("PLAIN") {
                true => Server::start(|command| match command {
                    "EHLO" => Some("250-x\r\n250 AUTH=LOGIN PLAIN"),
                    _ => friendly(command),
                }),
                false => Server::start(|command| match command {
                    "EHLO" => Some("250-x\r\n250 AUTH LOGIN"),
                    "AUTH" => Some("334 Wer da?"),
                    "c2hvcA==" => Some("334 Und?"),
                    "aHVudGVyMg==" => Some("235 welcome"),
                    _ => friendly(command),
                }),
            };
            let server = server.await;
            let credentials = Some(("shop".to_owned(), SecretString::from("hunter2")));
            let mailer = SmtpMailer::new(&Smtp { credentials, ..server.config() }).unwrap();
            mailer.send(&email()).await.unwrap();
            assert!(server.text().contains(lines), "{}", server.text());
        }
    }

    #[tokio::test]
    async fn a_refused_password_is_a_matter_of_configuration_and_is_not_told() {
        let server =
            Server::start(|command| if command == "AUTH" { Some("535 5.7.8 wrong") } else { friendly(command) }).await;
        let credentials = Some(("shop".to_owned(), SecretString::from("hunter2")));
        let mailer = SmtpMailer::new(&Smtp { credentials, ..server.config() }).unwrap();
        let error = mailer.send(&email()).await.unwrap_err();
        assert!(matches!(error, ProviderError::Misconfigured { .. }), "{error:?}");
        assert!(!format!("{error:?} {mailer:?}").contains("hunter2"));
    }

    #[tokio::test]
    async fn starttls_is_insisted_on() {
        let server = Server::start(friendly).await;
        let mailer = SmtpMailer::new(&Smtp { tls: SmtpTls::StartTls, ..server.config() }).unwrap();
        let error = mailer.send(&email()).await.unwrap_err();
        assert!(matches!(error, ProviderError::Misconfigured { .. }), "{error:?}");
        assert!(!server.text().contains("MAIL FROM"));
    }

    #[tokio::test]
    async fn what_came_in_clear_text_after_the_answer_to_starttls_is_not_listened_to() {
        let server = Server::start(|command| match command {
            "EHLO" => Some("250-stand-in\r\n250 STARTTLS"),
            "STARTTLS" => Some("220 go on\r\n250 AUTH PLAIN"),
            _ => friendly(command),
        });
        let mailer = SmtpMailer::new(&Smtp { tls: SmtpTls::StartTls, ..server.await.config() }).unwrap();
        let error = mailer.send(&email()).await.unwrap_err();
        assert!(
            matches!(&error, ProviderError::Transient { message, .. } if message.contains("asked for")),
            "{error:?}"
        );
    }

    #[tokio::test]
    async fn a_server_that_cannot_be_reached_may_be_later() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let server = Server { port: listener.local_addr().unwrap().port(), lines: Arc::default() };
        drop(listener);
        let error = server.mailer().send(&email()).await.unwrap_err();
        assert!(matches!(error, ProviderError::Transient { .. }), "{error:?}");
    }
}
