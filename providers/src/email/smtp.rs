//! E-mail over SMTP. The commands are given one by one, because only then is it known whether the text had been handed over
//! when a connection is lost: before that a message can be sent again, after it nobody knows.

use std::{
    fmt, fs, io,
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicU8, Ordering},
    },
    time::{Duration, Instant},
};

use futures::future::{BoxFuture, FutureExt};
use lettre::{
    Message,
    message::Mailbox,
    transport::smtp::{
        Error,
        authentication::{Credentials, DEFAULT_MECHANISMS},
        client::{AsyncSmtpConnection, Certificate, TlsParameters},
        commands::{Data, Mail, Rcpt},
        extension::ClientId,
        response::Response,
    },
};
use secrecy::ExposeSecret;
use tokio::time::timeout;

use super::{
    Email, Mailer, Receipt, SERVICE, SendStatus,
    message::{compose, message_id, parse_sender},
};
use crate::{
    Provider, ProviderError,
    config::{Smtp, SmtpTls},
};

/// For one message, from connecting to the last reply. The library's own timeout covers connecting only.
const TIMEOUT: Duration = Duration::from_secs(25);
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// How long an idle connection is trusted, and how long it may take to say that it is alive.
const IDLE_FOR: Duration = Duration::from_secs(60);
const NOOP_TIMEOUT: Duration = Duration::from_secs(3);
const IDLE_AT_MOST: usize = 8;
const REPLY_KEPT: usize = 500;

pub(crate) struct SmtpMailer {
    config: Smtp,
    sender: Mailbox,
    /// What we call ourselves.
    hello: ClientId,
    tls: Option<TlsParameters>,
    idle: Mutex<Vec<(Instant, AsyncSmtpConnection)>>,
    timeout: Duration,
}

/// How far a message is, which decides what a failure means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
enum Step {
    Connect,
    Login,
    Sender,
    Recipient,
    Data,
    Text,
}

/// The step that is under way, for whoever stops waiting for it.
#[derive(Debug, Default)]
struct Progress(AtomicU8);

impl Progress {
    fn begin(&self, step: Step) {
        self.0.store(step as u8, Ordering::Relaxed);
    }

    fn step(&self) -> Step {
        let all = [Step::Connect, Step::Login, Step::Sender, Step::Recipient, Step::Data, Step::Text];
        all.get(usize::from(self.0.load(Ordering::Relaxed))).copied().unwrap_or(Step::Text)
    }
}

impl SmtpMailer {
    pub(crate) fn new(config: &Smtp) -> Result<Self, ProviderError> {
        let sender = parse_sender(&config.sender)?;
        let tls = match config.tls {
            SmtpTls::Plain => None,
            SmtpTls::Implicit | SmtpTls::StartTls => Some(tls(config)?),
        };
        let hello = config.helo.clone().map_or_else(ClientId::default, ClientId::Domain);
        Ok(Self { config: config.clone(), sender, hello, tls, idle: Mutex::default(), timeout: TIMEOUT })
    }

    async fn deliver(&self, email: &Email) -> Result<Receipt, ProviderError> {
        let message = compose(email, &self.sender)?;
        let progress = Progress::default();
        let Ok(reply) = timeout(self.timeout, self.transfer(&message, &progress)).await else {
            return Err(lost(progress.step(), &format!("silence for {} s", self.timeout.as_secs_f32())));
        };
        let message_id = message_id(email, &self.sender);
        Ok(Receipt { message_id, status: SendStatus::Sent, server_reply: Some(reply?) })
    }

    /// Hands the message to the server and returns its last reply. A connection on which anything failed is not used again.
    async fn transfer(&self, message: &Message, progress: &Progress) -> Result<String, ProviderError> {
        let mut connection = match self.idle_connection().await {
            Some(connection) => connection,
            None => self.connect(progress).await.map_err(|error| failure(progress.step(), &error))?,
        };
        let envelope = message.envelope();
        progress.begin(Step::Sender);
        let sender = Mail::new(envelope.from().cloned(), Vec::new());
        connection.command(sender).await.map_err(|error| failure(Step::Sender, &error))?;
        progress.begin(Step::Recipient);
        for recipient in envelope.to() {
            let recipient = Rcpt::new(recipient.clone(), Vec::new());
            connection.command(recipient).await.map_err(|error| failure(Step::Recipient, &error))?;
        }
        progress.begin(Step::Data);
        connection.command(Data).await.map_err(|error| failure(Step::Data, &error))?;
        progress.begin(Step::Text);
        let reply = connection.message(&message.formatted()).await.map_err(|error| failure(Step::Text, &error))?;
        self.keep(connection);
        Ok(words(&reply))
    }

    async fn connect(&self, progress: &Progress) -> Result<AsyncSmtpConnection, Error> {
        let server = (self.config.host.as_str(), self.config.port);
        let implicit = self.tls.clone().filter(|_| self.config.tls == SmtpTls::Implicit);
        let mut connection =
            AsyncSmtpConnection::connect_tokio1(server, Some(CONNECT_TIMEOUT), &self.hello, implicit, None).await?;
        if let (SmtpTls::StartTls, Some(tls)) = (self.config.tls, &self.tls) {
            connection.starttls(tls.clone(), &self.hello).await?;
        }
        if let Some((user, password)) = &self.config.credentials {
            progress.begin(Step::Login);
            let credentials = Credentials::new(user.clone(), password.expose_secret().to_owned());
            connection.auth(DEFAULT_MECHANISMS, &credentials).await?;
        }
        Ok(connection)
    }

    /// A connection of an earlier message that still answers.
    async fn idle_connection(&self) -> Option<AsyncSmtpConnection> {
        loop {
            let (since, mut connection) = self.idle.lock().unwrap_or_else(PoisonError::into_inner).pop()?;
            if since.elapsed() < IDLE_FOR && timeout(NOOP_TIMEOUT, connection.test_connected()).await == Ok(true) {
                return Some(connection);
            }
        }
    }

    fn keep(&self, connection: AsyncSmtpConnection) {
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        if idle.len() < IDLE_AT_MOST {
            idle.push((Instant::now(), connection));
        }
    }
}

impl fmt::Debug for SmtpMailer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SmtpMailer").field("config", &self.config).finish_non_exhaustive()
    }
}

impl Provider for SmtpMailer {
    fn name(&self) -> &'static str {
        "smtp"
    }
}

impl Mailer for SmtpMailer {
    fn send<'a>(&'a self, email: &'a Email) -> BoxFuture<'a, Result<Receipt, ProviderError>> {
        self.deliver(email).boxed()
    }
}

/// Connects and takes leave; logs in between if told to.
pub(crate) async fn probe(config: &Smtp, login: bool) -> Result<(), String> {
    let credentials = config.credentials.clone().filter(|_| login);
    let mailer = SmtpMailer::new(&Smtp { credentials, ..config.clone() }).map_err(|e| e.to_string())?;
    let mut connection = mailer.connect(&Progress::default()).await.map_err(|e| failure(Step::Connect, &e).to_string())?;
    // It has shown that it works; how it takes leave does not matter.
    let _ = connection.quit().await;
    Ok(())
}

/// What follows from a failure at this step.
fn failure(step: Step, error: &Error) -> ProviderError {
    let Some(code) = error.status().map(u16::from) else {
        // The library refuses by itself: no STARTTLS, no common way to log in, a certificate that does not fit.
        if error.is_client() || error.is_tls() || is_bad_tls(error) {
            let message = cut(&format!("{} failed: {}", step.name(), whole(error)));
            return ProviderError::Misconfigured { service: SERVICE, message };
        }
        return lost(step, &whole(error));
    };
    let words = std::error::Error::source(error).map(ToString::to_string).unwrap_or_default();
    let message = cut(&format!("{} refused: {code} {words}", step.name()));
    match (step, code) {
        // RFC 5321 lets 552 to a recipient mean that there are too many of them just now.
        (Step::Recipient | Step::Data | Step::Text, 400..=420 | 422..=499) | (Step::Recipient, 552) => {
            ProviderError::Deferred { service: SERVICE, message }
        }
        (_, 400..=499) => ProviderError::Transient { service: SERVICE, message, retry_after: None },
        // The account is refused, or we as sender are: so would the next message be.
        (_, 530 | 534 | 535 | 538) | (Step::Connect | Step::Login | Step::Sender, _) => {
            ProviderError::Misconfigured { service: SERVICE, message }
        }
        _ => ProviderError::Rejected { service: SERVICE, message },
    }
}

/// With its causes.
fn whole(error: &Error) -> String {
    let mut text = error.to_string();
    let mut cause = std::error::Error::source(error);
    while let Some(inner) = cause {
        let inner_text = inner.to_string();
        if !text.contains(&inner_text) {
            text = format!("{text}: {inner_text}");
        }
        cause = inner.source();
    }
    text
}

/// Whether the other side spoke no TLS, or showed a certificate that nobody vouches for: the next connection would fare alike.
fn is_bad_tls(error: &Error) -> bool {
    let cause = std::error::Error::source(error).and_then(|cause| cause.downcast_ref::<io::Error>());
    cause.is_some_and(|cause| cause.kind() == io::ErrorKind::InvalidData)
}

fn tls(config: &Smtp) -> Result<TlsParameters, ProviderError> {
    let bad = |message: String| ProviderError::Misconfigured { service: SERVICE, message };
    let mut parameters = TlsParameters::builder(config.host.clone());
    if let Some(file) = &config.ca_file {
        let read = fs::read(file).map_err(|error| bad(format!("SMTP_CA_FILE={file:?} cannot be read: {error}")))?;
        let authority = Certificate::from_pem(&read);
        parameters = parameters.add_root_certificate(
            authority.map_err(|error| bad(format!("SMTP_CA_FILE={file:?} is no certificate in PEM: {error}")))?,
        );
    }
    parameters.build().map_err(|error| bad(format!("TLS for SMTP_SERVER={:?}: {}", config.host, whole(&error))))
}

/// No reply, or none that can be read.
fn lost(step: Step, why: &str) -> ProviderError {
    let message = format!("{} got no answer: {why}", step.name());
    match step {
        Step::Text => ProviderError::UnknownOutcome { service: SERVICE, message },
        _ => ProviderError::Transient { service: SERVICE, message, retry_after: None },
    }
}

impl Step {
    fn name(self) -> &'static str {
        match self {
            Self::Connect => "connection to the SMTP server",
            Self::Login => "login at the SMTP server",
            Self::Sender => "sender",
            Self::Recipient => "recipient",
            Self::Data => "DATA command",
            Self::Text => "message text",
        }
    }
}

fn words(reply: &Response) -> String {
    let lines: Vec<&str> = reply.message().collect();
    cut(&format!("{} {}", reply.code(), lines.join(" ")))
}

fn cut(text: &str) -> String {
    text.chars().take(REPLY_KEPT).collect()
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use secrecy::SecretString;
    use tokio::{
        io::{AsyncBufReadExt, AsyncWriteExt, BufReader},
        net::{TcpListener, TcpStream},
    };

    use super::*;

    /// A server's answers, by the command; `None` hangs up, an empty one never comes. `HELLO` asks for the greeting and `.` for
    /// the answer to the text.
    type Script = fn(&str) -> Option<&'static str>;

    fn friendly(command: &str) -> Option<&'static str> {
        Some(match command {
            "HELLO" => "220 stand-in",
            "EHLO" => "250-stand-in\r\n250-AUTH PLAIN\r\n250 8BITMIME",
            "AUTH" => "235 welcome",
            "DATA" => "354 go on",
            "." => "250 2.0.0 queued as 7",
            _ => "250 fine",
        })
    }

    /// A stand-in on a free port that notes each line it gets, and `HELLO` for each connection.
    struct Server {
        port: u16,
        lines: Arc<Mutex<Vec<String>>>,
    }

    impl Server {
        async fn start(script: Script) -> Self {
            let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
            let port = listener.local_addr().unwrap().port();
            let lines = Arc::new(Mutex::new(Vec::new()));
            let noted = Arc::clone(&lines);
            tokio::spawn(async move {
                while let Ok((stream, _)) = listener.accept().await {
                    tokio::spawn(converse(stream, script, Arc::clone(&noted)));
                }
            });
            Self { port, lines }
        }

        fn connections(&self) -> usize {
            self.lines.lock().unwrap().iter().filter(|line| *line == "HELLO").count()
        }

        fn text(&self) -> String {
            self.lines.lock().unwrap().join("\n")
        }

        fn mailer(&self) -> SmtpMailer {
            let sender = "Shop <noreply@shop.example>".to_owned();
            let config = Smtp {
                host: "127.0.0.1".to_owned(),
                port: self.port,
                credentials: None,
                tls: SmtpTls::Plain,
                sender,
                ca_file: None,
                helo: None,
                per_hour: None,
            };
            SmtpMailer::new(&config).unwrap()
        }
    }

    async fn converse(stream: TcpStream, script: Script, noted: Arc<Mutex<Vec<String>>>) {
        let mut stream = BufReader::new(stream);
        let mut line = "HELLO".to_owned();
        let mut in_text = false;
        loop {
            noted.lock().unwrap().push(line.clone());
            let command = line.split(' ').next().unwrap_or_default();
            if !in_text || line == "." {
                let Some(reply) = script(command) else { return };
                in_text = reply.starts_with("354");
                if !reply.is_empty() && stream.write_all(format!("{reply}\r\n").as_bytes()).await.is_err() {
                    return;
                }
            }
            line.clear();
            if !matches!(stream.read_line(&mut line).await, Ok(1..)) {
                return;
            }
            line.truncate(line.trim_end().len());
        }
    }

    fn email() -> Email {
        Email {
            key: "0199a1b2-0000-7000-8000-000000000000".to_owned(),
            to: "zoe@customer.example".to_owned(),
            to_name: Some("Zoé Müller".to_owned()),
            subject: "Votre thé est prêt".to_owned(),
            text: "Bonjour,\n.\nà bientôt".to_owned(),
            html: Some("<p>Bonjour, à bientôt</p>".to_owned()),
            unsubscribe_url: None,
        }
    }

    async fn error_of(script: Script) -> ProviderError {
        let server = Server::start(script).await;
        let mailer = SmtpMailer { timeout: Duration::from_millis(300), ..server.mailer() };
        mailer.send(&email()).await.unwrap_err()
    }

    #[tokio::test]
    async fn a_message_arrives_with_the_headers_of_an_automatic_one() {
        let server = Server::start(friendly).await;
        let receipt = server.mailer().send(&email()).await.unwrap();
        assert_eq!(receipt.message_id, "<0199a1b2-0000-7000-8000-000000000000@shop.example>");
        assert_eq!(
            (receipt.status, receipt.server_reply.as_deref()),
            (SendStatus::Sent, Some("250 2.0.0 queued as 7"))
        );
        let text = server.text();
        for part in [
            "MAIL FROM:<noreply@shop.example>",
            "RCPT TO:<zoe@customer.example>",
            "Message-ID: <0199a1b2-0000-7000-8000-000000000000@shop.example>",
            "Auto-Submitted: auto-generated",
            "Date: ",
            "Content-Type: multipart/alternative",
            "Content-Type: text/plain; charset=utf-8",
            "Content-Type: text/html; charset=utf-8",
        ] {
            assert!(text.contains(part), "{part} is missing in {text}");
        }
        assert!(text.is_ascii(), "{text}");
    }

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
    async fn replies_are_sorted_by_what_follows() {
        let later: [Script; 2] = [
            |command| if command == "HELLO" { Some("421 busy") } else { friendly(command) },
            |command| if command == "MAIL" { Some("451 4.3.0 try later") } else { friendly(command) },
        ];
        for script in later {
            let error = error_of(script).await;
            assert!(matches!(error, ProviderError::Transient { .. }), "{error:?}");
        }
        let this_one_later: [Script; 4] = [
            |command| if command == "RCPT" { Some("450 4.2.1 greylisted") } else { friendly(command) },
            |command| if command == "RCPT" { Some("552 5.2.2 too many") } else { friendly(command) },
            |command| if command == "DATA" { Some("451 4.3.0 try later") } else { friendly(command) },
            |command| if command == "." { Some("451 4.3.0 try later") } else { friendly(command) },
        ];
        for script in this_one_later {
            let error = error_of(script).await;
            assert!(matches!(error, ProviderError::Deferred { .. }), "{error:?}");
        }
        let never: [Script; 2] = [
            |command| if command == "RCPT" { Some("550 5.1.1 no such user") } else { friendly(command) },
            |command| if command == "." { Some("554 5.7.1 looks like spam") } else { friendly(command) },
        ];
        for (script, words) in never.into_iter().zip(["550 5.1.1 no such user", "554 5.7.1 looks like spam"]) {
            let error = error_of(script).await;
            assert!(matches!(&error, ProviderError::Rejected { message, .. } if message.contains(words)), "{error:?}");
        }
        let account: [Script; 3] = [
            |command| if command == "HELLO" { Some("554 your address is blocked") } else { friendly(command) },
            |command| if command == "MAIL" { Some("530 5.7.0 log in first") } else { friendly(command) },
            |command| if command == "MAIL" { Some("550 5.7.1 sender refused") } else { friendly(command) },
        ];
        for script in account {
            let error = error_of(script).await;
            assert!(matches!(error, ProviderError::Misconfigured { .. }), "{error:?}");
        }
    }

    #[tokio::test]
    async fn what_is_lost_before_the_text_can_be_sent_again_and_after_it_nobody_knows() {
        let before: [Script; 4] = [
            |command| if command == "HELLO" { Some("") } else { friendly(command) },
            |command| if command == "RCPT" { Some("") } else { friendly(command) },
            |command| if command == "MAIL" { None } else { friendly(command) },
            |command| if command == "DATA" { None } else { friendly(command) },
        ];
        for script in before {
            let error = error_of(script).await;
            assert!(matches!(error, ProviderError::Transient { .. }), "{error:?}");
        }
        let after: [Script; 2] = [
            |command| if command == "." { None } else { friendly(command) },
            |command| if command == "." { Some("") } else { friendly(command) },
        ];
        for script in after {
            let error = error_of(script).await;
            assert!(matches!(error, ProviderError::UnknownOutcome { .. }), "{error:?}");
        }
    }

    #[tokio::test]
    async fn a_refused_password_is_a_matter_of_configuration_and_is_not_told() {
        let server =
            Server::start(|command| if command == "AUTH" { Some("535 5.7.8 wrong") } else { friendly(command) }).await;
        let credentials = Some(("shop".to_owned(), SecretString::from("hunter2")));
        let mailer = SmtpMailer::new(&Smtp { credentials, ..server.mailer().config }).unwrap();
        let error = mailer.send(&email()).await.unwrap_err();
        assert!(matches!(error, ProviderError::Misconfigured { .. }), "{error:?}");
        assert!(!format!("{error:?} {mailer:?}").contains("hunter2"));
    }

    #[tokio::test]
    async fn starttls_is_insisted_on() {
        let server = Server::start(friendly).await;
        let mailer = SmtpMailer::new(&Smtp { tls: SmtpTls::StartTls, ..server.mailer().config }).unwrap();
        let error = mailer.send(&email()).await.unwrap_err();
        assert!(matches!(error, ProviderError::Misconfigured { .. }), "{error:?}");
        assert!(!server.text().contains("MAIL FROM"));
    }

    #[tokio::test]
    async fn a_line_break_cannot_add_a_header() {
        let server = Server::start(friendly).await;
        let mailer = server.mailer();
        for bad in [
            Email { subject: "Hello\r\nBcc: all@customer.example".to_owned(), ..email() },
            Email { to_name: Some("Zoé\nBcc: all@customer.example".to_owned()), ..email() },
            Email { to: "zoe@customer.example>\r\nRCPT TO:<all@customer.example".to_owned(), ..email() },
        ] {
            let error = mailer.send(&bad).await.unwrap_err();
            assert!(matches!(error, ProviderError::Rejected { .. }), "{error:?}");
        }
        assert_eq!(server.connections(), 0);
    }

    #[tokio::test]
    async fn a_server_that_cannot_be_reached_may_be_later() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let server = Server { port: listener.local_addr().unwrap().port(), lines: Arc::default() };
        drop(listener);
        let error = server.mailer().send(&email()).await.unwrap_err();
        assert!(matches!(error, ProviderError::Transient { .. }), "{error:?}");
    }

    #[test]
    fn a_malformed_sender_is_told_at_start() {
        let server = Server { port: 25, lines: Arc::default() };
        let error = SmtpMailer::new(&Smtp { sender: "nobody".to_owned(), ..server.mailer().config }).unwrap_err();
        assert!(
            matches!(&error, ProviderError::Misconfigured { message, .. } if message.contains("SENDER_EMAIL")),
            "{error:?}"
        );
    }
}
