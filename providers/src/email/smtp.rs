//! E-mail over SMTP. The commands are given one by one, because only then is it known whether the text had been handed over
//! when a connection is lost: before that a message can be sent again, after it nobody knows.

use std::{
    fmt, fs,
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicU8, Ordering},
    },
    time::{Duration, Instant},
};

use futures::future::{BoxFuture, FutureExt};
use lettre::{Message, message::Mailbox};
use tokio::time::timeout;

use super::{
    dialogue::{Dialogue, Fault, Tls, connect},
    mailer::{Delivery, Email, Mailer, SERVICE, SendStatus},
    message::{compose, message_id, parse_sender},
    verdict::{Step, failure},
};
use services::{Smtp, SmtpTls};

use crate::{chain::Provider, error::ProviderError};

/// For one message, from connecting to the last reply.
const TIMEOUT: Duration = Duration::from_secs(25);
/// How long an idle connection is trusted, and how long one that is alive is looked for.
const IDLE_FOR: Duration = Duration::from_secs(60);
const NOOP_TIMEOUT: Duration = Duration::from_secs(3);
const IDLE_AT_MOST: usize = 8;
const REPLY_KEPT: usize = 500;
/// Who has no name says this in EHLO.
const NAMELESS: &str = "[127.0.0.1]";

pub(crate) struct SmtpMailer {
    config: Smtp,
    sender: Mailbox,
    /// What we call ourselves.
    hello: String,
    tls: Option<Tls>,
    idle: Mutex<Vec<(Instant, Dialogue)>>,
    timeout: Duration,
}

/// The step that is under way, for whoever stops waiting for it.
#[derive(Debug)]
struct Progress(AtomicU8);

impl Progress {
    fn new() -> Self {
        Self(AtomicU8::new(Step::Connect as u8))
    }

    fn begin(&self, step: Step) {
        self.0.store(step as u8, Ordering::Relaxed);
    }

    fn step(&self) -> Step {
        Step::ALL.get(usize::from(self.0.load(Ordering::Relaxed))).copied().unwrap_or(Step::End)
    }
}

impl SmtpMailer {
    pub(crate) fn new(config: &Smtp) -> Result<Self, ProviderError> {
        let sender = parse_sender(&config.sender)?;
        let tls = match config.tls {
            SmtpTls::Plain => None,
            SmtpTls::Implicit | SmtpTls::StartTls => Some(tls(config)?),
        };
        let hello = config.helo.clone().unwrap_or_else(name_of_this_machine);
        Ok(Self { config: config.clone(), sender, hello, tls, idle: Mutex::default(), timeout: TIMEOUT })
    }

    async fn deliver(&self, email: &Email) -> Result<Delivery, ProviderError> {
        let message = compose(email, &self.sender)?;
        let progress = Progress::new();
        let reply = match timeout(self.timeout, self.transfer(&message, &progress)).await {
            Ok(reply) => reply,
            Err(_) => Err(Fault::Lost(format!("silence for {} s", self.timeout.as_secs_f32()))),
        };
        let reply = reply.map_err(|fault| failure(progress.step(), fault))?;
        let message_id = message_id(email, &self.sender);
        Ok(Delivery { message_id, status: SendStatus::Sent, server_reply: Some(reply) })
    }

    /// Hands the message to the server and returns its last reply. A connection on which anything failed, or anything was said that
    /// does not belong there, is not used again.
    async fn transfer(&self, message: &Message, progress: &Progress) -> Result<String, Fault> {
        // All that are idle may have died alike: no message waits for each of them.
        let mut dialogue = match timeout(NOOP_TIMEOUT, self.idle_connection()).await {
            Ok(Some(dialogue)) => dialogue,
            Ok(None) | Err(_) => self.connect(progress).await?,
        };
        let envelope = message.envelope();
        progress.begin(Step::Sender);
        dialogue.sender(envelope.from().map_or("", |sender| sender.as_ref())).await?;
        progress.begin(Step::Recipient);
        for recipient in envelope.to() {
            dialogue.recipient(recipient.as_ref()).await?;
        }
        progress.begin(Step::Data);
        dialogue.data().await?;
        progress.begin(Step::Text);
        dialogue.text(&message.formatted()).await?;
        progress.begin(Step::End);
        let reply = dialogue.end_of_text().await?;
        if dialogue.is_in_step().await {
            self.keep(dialogue);
        }
        Ok(reply.to_string().chars().take(REPLY_KEPT).collect())
    }

    async fn connect(&self, progress: &Progress) -> Result<Dialogue, Fault> {
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

    /// A connection of an earlier message that still answers.
    async fn idle_connection(&self) -> Option<Dialogue> {
        loop {
            let (since, mut dialogue) = self.idle.lock().unwrap_or_else(PoisonError::into_inner).pop()?;
            if since.elapsed() < IDLE_FOR && dialogue.is_alive().await {
                return Some(dialogue);
            }
        }
    }

    fn keep(&self, dialogue: Dialogue) {
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        if idle.len() < IDLE_AT_MOST {
            idle.push((Instant::now(), dialogue));
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
    fn send<'a>(&'a self, email: &'a Email) -> BoxFuture<'a, Result<Delivery, ProviderError>> {
        self.deliver(email).boxed()
    }
}

/// Connects and takes leave; logs in between if told to.
pub(crate) async fn probe(config: &Smtp, login: bool) -> Result<(), String> {
    let credentials = config.credentials.clone().filter(|_| login);
    let mailer = SmtpMailer::new(&Smtp { credentials, ..config.clone() }).map_err(|e| e.to_string())?;
    let progress = Progress::new();
    let connected = mailer.connect(&progress).await;
    connected.map_err(|fault| failure(progress.step(), fault).to_string())?.quit().await;
    Ok(())
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
    use tokio::{
        io::{AsyncBufReadExt, AsyncWriteExt, BufReader},
        net::{TcpListener, TcpStream},
    };

    use super::*;

    /// A server's answers, by the command, in Latin-1; `None` hangs up, an empty one never comes. `HELLO` asks for the greeting and `.`
    /// for the answer to the text.
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

    /// A stand-in on a free port that notes each line it gets, and `HELLO` and `GOODBYE` for each connection.
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
                let end = if reply.ends_with("\r\n25") { "" } else { "\r\n" };
                let bytes: Vec<u8> = format!("{reply}{end}").chars().map(|c| u8::try_from(c).unwrap()).collect();
                if !reply.is_empty() && stream.write_all(&bytes).await.is_err() {
                    return;
                }
            }
            line.clear();
            if !matches!(stream.read_line(&mut line).await, Ok(1..)) {
                noted.lock().unwrap().push("GOODBYE".to_owned());
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
        let later: [Script; 3] = [
            |command| if command == "RCPT" { Some("421 4.3.2 closing down") } else { friendly(command) },
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
        let account_at_last: [Script; 3] = [
            |command| {
                if command == "." { Some("550 5.4.5 Daily user sending limit exceeded") } else { friendly(command) }
            },
            |command| {
                if command == "." {
                    Some("554 Message rejected: Email address is not verified.")
                } else {
                    friendly(command)
                }
            },
            |command| {
                if command == "RCPT" {
                    Some("550 5.7.60 SMTP; Client does not have permissions to send as this sender")
                } else {
                    friendly(command)
                }
            },
        ];
        for script in account_at_last {
            let error = error_of(script).await;
            assert!(matches!(error, ProviderError::Misconfigured { .. }), "{error:?}");
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

    /// What comes of two messages, and how many connections they took.
    async fn twice(script: Script) -> ([Result<Delivery, ProviderError>; 2], usize) {
        let server = Server::start(script).await;
        let mailer = SmtpMailer { timeout: Duration::from_millis(500), ..server.mailer() };
        let sent = [mailer.send(&email()).await, mailer.send(&email()).await];
        (sent, server.connections())
    }

    #[tokio::test]
    async fn a_reply_in_another_charset_means_what_its_code_says() {
        let taken: Script =
            |command| if command == "." { Some("250 2.0.0 Nachricht \u{fc}bernommen") } else { friendly(command) };
        let (sent, n_connections) = twice(taken).await;
        for receipt in sent {
            assert_eq!(receipt.unwrap().server_reply.as_deref(), Some("250 2.0.0 Nachricht übernommen"));
        }
        assert_eq!(n_connections, 1);
        let greeted: Script =
            |command| if command == "HELLO" { Some("220 \u{fc}ber ESMTP") } else { friendly(command) };
        assert!(twice(greeted).await.0.iter().all(Result::is_ok));
        let refused: Script =
            |command| if command == "RCPT" { Some("550 5.1.1 ung\u{fc}ltig") } else { friendly(command) };
        let error = error_of(refused).await;
        assert!(matches!(&error, ProviderError::Rejected { message, .. } if message.contains("ungültig")), "{error:?}");
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
        let mailer = server.mailer();
        mailer.send(&email()).await.unwrap();
        let refusing =
            Server::start(|command| if command == "." { Some("554 5.6.0 no") } else { friendly(command) }).await;
        let moved = SmtpMailer { config: refusing.mailer().config, ..mailer };
        let error = moved.send(&email()).await.unwrap_err();
        assert!(matches!(error, ProviderError::Rejected { .. }), "{error:?}");
    }

    #[tokio::test]
    async fn nothing_is_said_while_an_answer_lies_there_that_nobody_asked_for() {
        let server = Server::start(|command| match command {
            "RCPT" => Some("250 fine\r\n250 fine"),
            _ => friendly(command),
        })
        .await;
        server.mailer().send(&email()).await.unwrap_err();
        while !server.text().contains("GOODBYE") {
            tokio::task::yield_now().await;
        }
        assert!(!server.text().contains("DATA"), "{}", server.text());
    }

    #[tokio::test]
    async fn only_354_lets_the_text_out_and_only_2xx_takes_it() {
        let not_begun: [Script; 7] = [
            |command| if command == "HELLO" { Some("334 go on") } else { friendly(command) },
            |command| if command == "DATA" { Some("250 fine") } else { friendly(command) },
            |command| if command == "DATA" { Some("334 go on") } else { friendly(command) },
            |command| if command == "DATA" { Some("354 go on\r\n250 2.0.0 queued") } else { friendly(command) },
            |command| if command == "RCPT" { Some("250 fine\r\n250 fine") } else { friendly(command) },
            |command| if command == "MAIL" { Some("354 go on") } else { friendly(command) },
            |command| if command == "EHLO" { Some("nonsense") } else { friendly(command) },
        ];
        for (n, script) in not_begun.into_iter().enumerate() {
            let error = error_of(script).await;
            assert!(matches!(error, ProviderError::Transient { .. }), "{n}: {error:?}");
        }
        let nobody_knows: [Script; 4] = [
            |command| if command == "." { Some("354 go on") } else { friendly(command) },
            |command| if command == "." { Some("334 go on") } else { friendly(command) },
            |command| if command == "." { Some("nonsense") } else { friendly(command) },
            |command| if command == "." { Some("250-fine\r\n550 5.1.1 not at all") } else { friendly(command) },
        ];
        for (n, script) in nobody_knows.into_iter().enumerate() {
            let error = error_of(script).await;
            assert!(matches!(error, ProviderError::UnknownOutcome { .. }), "{n}: {error:?}");
        }
    }

    #[tokio::test]
    async fn a_refusal_before_the_end_of_the_text_is_one_of_the_message() {
        let early: Script = |command| match command {
            "DATA" => Some("354 go on\r\n552 5.3.4 too large"),
            _ => friendly(command),
        };
        let error = error_of(early).await;
        assert!(
            matches!(&error, ProviderError::Rejected { message, .. } if message.contains("too large")),
            "{error:?}"
        );
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
            let mailer = SmtpMailer::new(&Smtp { credentials, ..server.mailer().config }).unwrap();
            mailer.send(&email()).await.unwrap();
            assert!(server.text().contains(lines), "{}", server.text());
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
    async fn what_came_in_clear_text_after_the_answer_to_starttls_is_not_listened_to() {
        let server = Server::start(|command| match command {
            "EHLO" => Some("250-stand-in\r\n250 STARTTLS"),
            "STARTTLS" => Some("220 go on\r\n250 AUTH PLAIN"),
            _ => friendly(command),
        });
        let mailer = SmtpMailer::new(&Smtp { tls: SmtpTls::StartTls, ..server.await.mailer().config }).unwrap();
        let error = mailer.send(&email()).await.unwrap_err();
        assert!(
            matches!(&error, ProviderError::Transient { message, .. } if message.contains("asked for")),
            "{error:?}"
        );
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
