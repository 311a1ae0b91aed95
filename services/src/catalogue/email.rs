//! Notifications, over SMTP.

use secrecy::SecretString;

use crate::{
    address::Sender,
    entry::{Accounts, Entry, Risk},
    formats::{anything, boolean, host, is_loopback, must, truth, word},
    variable::{Environment, Need, Variable},
};

/// A smaller limit would let a message through less often than a worker waits for its turn.
const SMALLEST_PER_HOUR: u32 = 100;

pub(super) static ENTRY: Entry = Entry {
    about: "notifications and reminders",
    risk: Risk::P1,
    lost: "notifications are late",
    switch: Some("MOCK_MODE_EMAIL"),
    built: true,
    requests_per_min: Some("EMAIL_REQUESTS_PER_MIN"),
    tokens_per_min: None,
    variables: &[
        Variable::required("SMTP_SERVER", "the mail server", host).example("smtp.example"),
        Variable::required("SMTP_PORT", "its port", port).example("587"),
        Variable::required("SENDER_EMAIL", "whom mails are from", sender).example("Shop <shop@example.org>"),
        Variable::optional("SMTP_USERNAME", "the account, if the server wants one", anything)
            .needed(Need::With("SMTP_PASSWORD"))
            .example("shop"),
        Variable::optional("SMTP_PASSWORD", "its password", anything)
            .secret()
            .needed(Need::With("SMTP_USERNAME"))
            .example("mail hushhush"),
        Variable::optional(
            "SMTP_USE_SSL",
            "`true`: TLS from the first byte (port 465); `false`: STARTTLS or nothing, except to a loopback host",
            boolean,
        )
        .default("false"),
        Variable::optional(
            "SMTP_ALLOW_PLAIN",
            "`true`: clear text to any host; for a mail catcher in the same network only (the one of docker compose needs it)",
            boolean,
        )
        .default("false"),
        Variable::optional(
            "SMTP_CA_FILE",
            "certificates (PEM) of a private authority, trusted besides the public ones; with it STARTTLS on loopback too",
            anything,
        ),
        Variable::optional("SMTP_HELO", "what we call ourselves; the machine's name if absent", word),
        Variable::optional(
            "SMTP_PER_HOUR",
            "messages an hour over all workers, at least 100, evenly; what is over waits and uses no attempt",
            per_hour,
        ),
    ],
    accounts: Accounts::None,
};

/// `SMTP_*` and `SENDER_EMAIL`.
#[derive(Debug, Clone)]
pub struct Smtp {
    /// `SMTP_SERVER`.
    pub host: String,
    /// `SMTP_PORT`.
    pub port: u16,
    /// `SMTP_USERNAME` and `SMTP_PASSWORD`.
    pub credentials: Option<(String, SecretString)>,
    /// How the connection is protected.
    pub tls: SmtpTls,
    /// `SENDER_EMAIL`.
    pub sender: String,
    /// `SMTP_CA_FILE`: certificates in PEM that are trusted besides the public ones.
    pub ca_file: Option<String>,
    /// `SMTP_HELO`: what we call ourselves in EHLO; the machine's name if absent.
    pub helo: Option<String>,
    /// `SMTP_PER_HOUR`: messages an hour, over all replicas.
    pub per_hour: Option<u32>,
}

/// How an SMTP connection is protected.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SmtpTls {
    /// `SMTP_USE_SSL=true`: TLS from the first byte.
    Implicit,
    /// STARTTLS, or fail.
    StartTls,
    /// None: only to a loopback host, or with `SMTP_ALLOW_PLAIN=true`.
    Plain,
}

impl Smtp {
    pub(crate) fn read(environment: &Environment<'_>) -> Option<Self> {
        let host = environment.get("SMTP_SERVER")?;
        let flag = |name: &str| environment.get(name).and_then(|value| truth(&value)).unwrap_or(false);
        let ca_file = environment.get("SMTP_CA_FILE");
        // Who names an authority wants TLS, on loopback too.
        let plain = ca_file.is_none() && (is_loopback(&host) || flag("SMTP_ALLOW_PLAIN"));
        let tls = match (flag("SMTP_USE_SSL"), plain) {
            (true, _) => SmtpTls::Implicit,
            (false, true) => SmtpTls::Plain,
            (false, false) => SmtpTls::StartTls,
        };
        let password = environment.get("SMTP_PASSWORD").map(SecretString::from);
        Some(Self {
            port: environment.get("SMTP_PORT")?.parse().ok()?,
            credentials: environment.get("SMTP_USERNAME").zip(password),
            sender: environment.get("SENDER_EMAIL")?,
            helo: environment.get("SMTP_HELO"),
            per_hour: environment.get("SMTP_PER_HOUR").and_then(|limit| limit.parse().ok()),
            ca_file,
            tls,
            host,
        })
    }
}

fn port(value: &str, environment: &Environment<'_>) -> Option<String> {
    let Some(port) = value.parse::<u16>().ok().filter(|port| *port > 0) else {
        return Some("must be a port, 1 to 65535".to_owned());
    };
    let use_ssl = environment.get("SMTP_USE_SSL").and_then(|value| truth(&value)).unwrap_or(false);
    match (port, use_ssl) {
        // Each would wait for the other to speak first.
        (465, false) => Some("is 465, where TLS begins at once: set SMTP_USE_SSL=true, or use 587".to_owned()),
        (587 | 2525 | 25, true) => {
            Some(format!("is {port}, where TLS begins later: set SMTP_USE_SSL=false, or use 465"))
        }
        _ => None,
    }
}

fn per_hour(value: &str, _: &Environment<'_>) -> Option<String> {
    let good = value.parse::<u32>().is_ok_and(|limit| limit >= SMALLEST_PER_HOUR);
    must(good, &format!("must be a whole number of at least {SMALLEST_PER_HOUR}"))
}

fn sender(value: &str, _: &Environment<'_>) -> Option<String> {
    let problem = Sender::parse(value).err()?;
    Some(format!("must be an e-mail address: it {problem}"))
}
