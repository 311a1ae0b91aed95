//! A server that says what a test tells it to, and a mailer that talks with it.

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use services::{Smtp, SmtpTls};
use tokio::{
    io::{AsyncBufReadExt, AsyncWriteExt, BufReader},
    net::{TcpListener, TcpStream},
};

use super::transfer::SmtpMailer;
use crate::{
    email::mailer::{Delivery, Email, Mailer},
    error::ProviderError,
};

/// A server's answers, by the command, in Latin-1; `None` hangs up, an empty one never comes. `HELLO` asks for the greeting and `.`
/// for the answer to the text.
pub(super) type Script = fn(&str) -> Option<&'static str>;

pub(super) fn friendly(command: &str) -> Option<&'static str> {
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
pub(super) struct Server {
    pub(super) port: u16,
    pub(super) lines: Arc<Mutex<Vec<String>>>,
}

impl Server {
    pub(super) async fn start(script: Script) -> Self {
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

    pub(super) fn connections(&self) -> usize {
        self.lines.lock().unwrap().iter().filter(|line| *line == "HELLO").count()
    }

    pub(super) fn text(&self) -> String {
        self.lines.lock().unwrap().join("\n")
    }

    pub(super) fn config(&self) -> Smtp {
        Smtp {
            host: "127.0.0.1".to_owned(),
            port: self.port,
            credentials: None,
            tls: SmtpTls::Plain,
            sender: "Shop <noreply@shop.example>".to_owned(),
            ca_file: None,
            helo: None,
            per_hour: None,
        }
    }

    pub(super) fn mailer(&self) -> SmtpMailer {
        SmtpMailer::new(&self.config()).unwrap()
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

pub(super) fn email() -> Email {
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

pub(super) async fn error_of(script: Script) -> ProviderError {
    let server = Server::start(script).await;
    let mut mailer = server.mailer();
    mailer.timeout = Duration::from_millis(300);
    mailer.send(&email()).await.unwrap_err()
}

/// What comes of two messages, and how many connections they took.
pub(super) async fn twice(script: Script) -> ([Result<Delivery, ProviderError>; 2], usize) {
    let server = Server::start(script).await;
    let mut mailer = server.mailer();
    mailer.timeout = Duration::from_millis(500);
    let sent = [mailer.send(&email()).await, mailer.send(&email()).await];
    (sent, server.connections())
}
