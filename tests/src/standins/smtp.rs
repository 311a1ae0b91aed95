//! A scripted SMTP server: it checks the dialogue, keeps what it took, and can refuse, hang or drop at each step.
//!
//! It speaks clear text only, as a test server on loopback; for TLS there is `servers::SmtpServer`. A person breaks it over HTTP
//! at [`Smtp::control_url`]: `PUT /_fault` with `{"at": "recipient", "reply": "451 4.7.1 try later", "times": 3}` or `{"at": "text",
//! "act": "drop"}` (steps: greeting, hello, login, sender, recipient, data, text; acts: hang, drop), `DELETE /_fault`; `GET /_requests`
//! tells what came.

use std::{
    collections::{BTreeMap, VecDeque},
    sync::{Arc, Mutex},
};

use axum::{
    Json, Router,
    body::Bytes,
    extract::State,
    http::StatusCode,
    response::{IntoResponse, Response},
    routing::{get, put},
};
use base64::{Engine, engine::general_purpose::STANDARD as BASE64};
use serde::{Deserialize, Serialize};
use serde_json::json;
use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader},
    net::{TcpListener, TcpStream},
    task::{JoinHandle, JoinSet},
};

use super::lock;

const LONGEST_LINE: u64 = 64 * 1024;

/// Where in the dialogue.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Step {
    /// When the connection is made.
    Greeting,
    /// `EHLO`, `HELO`.
    Hello,
    /// `AUTH`.
    Login,
    /// `MAIL FROM`.
    Sender,
    /// `RCPT TO`.
    Recipient,
    /// `DATA`.
    Data,
    /// The final dot, after the text.
    Text,
}

/// What to do there in place of the good reply.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Act {
    /// Replies so: `451 4.7.1 try later`. A text that is refused is not kept.
    Reply(String),
    /// Says these bytes, whatever they are; judged by the first of them.
    Bytes(Vec<u8>),
    /// Never says anything again. At [`Step::Text`] the message is kept.
    Hang,
    /// Closes the connection. At [`Step::Text`] the message is kept.
    Drop,
}

/// A message that was taken.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Received {
    /// Between the angle brackets of `MAIL FROM`.
    pub sender: String,
    /// Those of `RCPT TO`.
    pub recipients: Vec<String>,
    /// The text, without the dots that SMTP adds.
    pub text: String,
}

/// The running server; ends when it is dropped.
#[derive(Debug)]
pub struct Smtp {
    port: u16,
    control_url: String,
    shared: Arc<Shared>,
    servers: [JoinHandle<()>; 2],
}

#[derive(Debug)]
struct Shared {
    login: Option<(String, String)>,
    script: Mutex<Script>,
}

#[derive(Debug, Default)]
struct Script {
    next: BTreeMap<Step, VecDeque<Act>>,
    always: BTreeMap<Step, Act>,
    asked: BTreeMap<Step, usize>,
    received: Vec<Received>,
}

impl Smtp {
    /// Starts it on a free port of loopback. With a `login` (user, password) it takes no message before it.
    ///
    /// # Errors
    /// When no port can be bound.
    pub async fn start(login: Option<(&str, &str)>) -> anyhow::Result<Self> {
        Self::on(0, 0, login).await
    }

    /// The same on given ports for SMTP and for the control over HTTP; 0 is a free one.
    ///
    /// # Errors
    /// When one cannot be bound.
    pub async fn on(port: u16, control_port: u16, login: Option<(&str, &str)>) -> anyhow::Result<Self> {
        let login = login.map(|(user, password)| (user.to_owned(), password.to_owned()));
        let shared = Arc::new(Shared { login, script: Mutex::default() });
        let listener = TcpListener::bind(("127.0.0.1", port)).await?;
        let control = TcpListener::bind(("127.0.0.1", control_port)).await?;
        let port = listener.local_addr()?.port();
        let control_url = format!("http://{}", control.local_addr()?);
        let routes = Router::new()
            .route("/_fault", put(set).delete(unset))
            .route("/_requests", get(requests))
            .with_state(Arc::clone(&shared));
        let control = tokio::spawn(async move {
            // It ends only by being aborted.
            let _ = axum::serve(control, routes).await;
        });
        let servers = [tokio::spawn(accept(listener, Arc::clone(&shared))), control];
        Ok(Self { port, control_url, shared, servers })
    }

    /// What belongs into `SMTP_PORT`, beside `SMTP_SERVER=127.0.0.1`.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Where it is broken over HTTP.
    #[must_use]
    pub fn control_url(&self) -> &str {
        &self.control_url
    }

    /// Does this the next `n` times that the dialogue comes to this step, after those already told.
    pub fn next(&self, n: usize, step: Step, act: Act) {
        lock(&self.shared.script).next.entry(step).or_default().extend(std::iter::repeat_n(act, n));
    }

    /// Does this at this step until told otherwise.
    pub fn always(&self, step: Step, act: Act) {
        lock(&self.shared.script).always.insert(step, act);
    }

    /// Takes every message from now on.
    pub fn recover(&self) {
        lock(&self.shared.script).recover();
    }

    /// How often the dialogue came to this step.
    #[must_use]
    pub fn n_asked(&self, step: Step) -> usize {
        lock(&self.shared.script).asked.get(&step).copied().unwrap_or(0)
    }

    /// The messages that were taken, oldest first.
    #[must_use]
    pub fn received(&self) -> Vec<Received> {
        lock(&self.shared.script).received.clone()
    }
}

impl Drop for Smtp {
    fn drop(&mut self) {
        self.servers.iter().for_each(JoinHandle::abort);
    }
}

impl Script {
    fn recover(&mut self) {
        self.next.clear();
        self.always.clear();
    }

    fn take(&mut self, step: Step) -> Option<Act> {
        *self.asked.entry(step).or_default() += 1;
        let next = self.next.get_mut(&step).and_then(VecDeque::pop_front);
        next.or_else(|| self.always.get(&step).cloned())
    }
}

async fn accept(listener: TcpListener, shared: Arc<Shared>) {
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => {
                if let Ok((stream, _)) = accepted {
                    let shared = Arc::clone(&shared);
                    connections.spawn(async move {
                        // An error is a connection that one of the two has closed.
                        let _ = Dialogue { stream: BufReader::new(stream), shared, hello: false, is_in: false, mail: None }.run().await;
                    });
                }
            }
            Some(_) = connections.join_next() => {}
        }
    }
}

struct Dialogue {
    stream: BufReader<TcpStream>,
    shared: Arc<Shared>,
    hello: bool,
    is_in: bool,
    mail: Option<Received>,
}

impl Dialogue {
    async fn run(&mut self) -> std::io::Result<()> {
        self.reply(Step::Greeting, "220 standin ESMTP").await?;
        while let Some(line) = self.line().await? {
            let (verb, rest) = line.split_once(' ').unwrap_or((&line, ""));
            match verb.to_ascii_uppercase().as_str() {
                "EHLO" | "HELO" => {
                    (self.hello, self.mail) = (true, None);
                    let good = match (verb.eq_ignore_ascii_case("EHLO"), &self.shared.login) {
                        (false, _) => "250 standin",
                        (true, None) => "250-standin\r\n250-8BITMIME\r\n250 SIZE 10485760",
                        (true, Some(_)) => "250-standin\r\n250-8BITMIME\r\n250-AUTH PLAIN LOGIN\r\n250 SIZE 10485760",
                    };
                    self.reply(Step::Hello, good).await?;
                }
                "AUTH" if self.hello && !self.is_in && self.shared.login.is_some() => self.login(rest).await?,
                "MAIL" if self.hello && self.mail.is_none() => self.sender(rest).await?,
                "RCPT" if self.mail.is_some() => self.recipient(rest).await?,
                "DATA" if self.mail.as_ref().is_some_and(|mail| !mail.recipients.is_empty()) => self.data().await?,
                "RSET" => {
                    self.mail = None;
                    self.say("250 2.0.0 reset").await?;
                }
                "NOOP" => self.say("250 2.0.0 here").await?,
                "QUIT" => return self.say("221 2.0.0 bye").await,
                "AUTH" | "MAIL" | "RCPT" | "DATA" => self.say("503 5.5.1 not now").await?,
                _ => self.say("500 5.5.2 unknown command").await?,
            }
        }
        Ok(())
    }

    async fn line(&mut self) -> std::io::Result<Option<String>> {
        let mut bytes = Vec::new();
        (&mut self.stream).take(LONGEST_LINE).read_until(b'\n', &mut bytes).await?;
        if bytes.pop() != Some(b'\n') {
            return Ok(None);
        }
        if bytes.last() == Some(&b'\r') {
            bytes.pop();
        }
        Ok(Some(String::from_utf8_lossy(&bytes).into_owned()))
    }

    async fn say(&mut self, reply: &str) -> std::io::Result<()> {
        self.stream.write_all(format!("{reply}\r\n").as_bytes()).await
    }

    /// The good reply, or what was told; whether it was as good.
    async fn reply(&mut self, step: Step, good: &str) -> std::io::Result<bool> {
        let act = lock(&self.shared.script).take(step);
        match act {
            None => self.say(good).await.map(|()| true),
            Some(Act::Reply(text)) => {
                self.say(&text).await.map(|()| text.as_bytes().first() == good.as_bytes().first())
            }
            Some(Act::Bytes(bytes)) => {
                self.stream.write_all(&bytes).await.map(|()| bytes.first() == good.as_bytes().first())
            }
            Some(Act::Hang) => std::future::pending().await,
            Some(Act::Drop) => Err(std::io::Error::other("dropped, as told")),
        }
    }

    async fn login(&mut self, rest: &str) -> std::io::Result<()> {
        let decode = |text: &str| String::from_utf8(BASE64.decode(text).unwrap_or_default()).unwrap_or_default();
        let (mechanism, initial) = rest.split_once(' ').unwrap_or((rest, ""));
        let sent = match mechanism.to_ascii_uppercase().as_str() {
            "PLAIN" => {
                let answer = if initial.is_empty() { self.ask("334 ").await? } else { initial.to_owned() };
                let decoded = decode(&answer);
                let mut parts = decoded.split('\0').skip(1).map(str::to_owned);
                parts.next().zip(parts.next())
            }
            "LOGIN" => {
                let user = if initial.is_empty() { self.ask("334 VXNlcm5hbWU6").await? } else { initial.to_owned() };
                let password = self.ask("334 UGFzc3dvcmQ6").await?;
                Some((decode(&user), decode(&password)))
            }
            _ => return self.say("504 5.5.4 unknown mechanism").await,
        };
        let good = sent.is_some() && sent == self.shared.login;
        let reply = if good { "235 2.7.0 welcome" } else { "535 5.7.8 wrong user or password" };
        self.is_in = self.reply(Step::Login, reply).await? && good;
        Ok(())
    }

    async fn ask(&mut self, challenge: &str) -> std::io::Result<String> {
        self.say(challenge).await?;
        Ok(self.line().await?.unwrap_or_default())
    }

    async fn sender(&mut self, rest: &str) -> std::io::Result<()> {
        if self.shared.login.is_some() && !self.is_in {
            return self.say("530 5.7.0 log in first").await;
        }
        let Some(sender) = path(rest, "FROM:") else { return self.say("501 5.5.4 MAIL FROM:<address>").await };
        if self.reply(Step::Sender, "250 2.1.0 ok").await? {
            self.mail = Some(Received { sender, recipients: Vec::new(), text: String::new() });
        }
        Ok(())
    }

    async fn recipient(&mut self, rest: &str) -> std::io::Result<()> {
        let Some(recipient) = path(rest, "TO:").filter(|path| path.contains('@')) else {
            return self.say("501 5.5.4 RCPT TO:<address>").await;
        };
        if self.reply(Step::Recipient, "250 2.1.5 ok").await? {
            self.mail.iter_mut().for_each(|mail| mail.recipients.push(recipient.clone()));
        }
        Ok(())
    }

    async fn data(&mut self) -> std::io::Result<()> {
        if !self.reply(Step::Data, "354 go ahead").await? {
            return Ok(());
        }
        let mut text = String::new();
        loop {
            match self.line().await? {
                Some(line) if line == "." => break,
                Some(line) => {
                    text.push_str(line.strip_prefix('.').unwrap_or(&line));
                    text.push_str("\r\n");
                }
                None => return Err(std::io::ErrorKind::UnexpectedEof.into()),
            }
        }
        let Some(mail) = self.mail.take() else { return Ok(()) };
        let number = {
            let mut script = lock(&self.shared.script);
            let told =
                script.next.get(&Step::Text).and_then(VecDeque::front).or_else(|| script.always.get(&Step::Text));
            let is_refused = match told {
                Some(Act::Reply(text)) => !text.starts_with('2'),
                Some(Act::Bytes(bytes)) => !bytes.starts_with(b"2"),
                None | Some(Act::Hang | Act::Drop) => false,
            };
            if !is_refused {
                script.received.push(Received { text, ..mail });
            }
            script.received.len()
        };
        self.reply(Step::Text, &format!("250 2.0.0 queued as {number}")).await?;
        Ok(())
    }
}

/// The address in `FROM:<address> SIZE=12`.
fn path(rest: &str, name: &str) -> Option<String> {
    let (given, after) = rest.split_at_checked(name.len())?;
    let (path, _) = after.trim_start().strip_prefix('<')?.split_once('>')?;
    given.eq_ignore_ascii_case(name).then(|| path.to_owned())
}

/// What `PUT /_fault` takes.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Order {
    at: Step,
    reply: Option<String>,
    act: Option<Act>,
    times: Option<usize>,
}

async fn set(State(shared): State<Arc<Shared>>, body: Bytes) -> Response {
    let refused = |reason: String| (StatusCode::BAD_REQUEST, Json(json!({ "error": reason }))).into_response();
    let order: Order = match serde_json::from_slice(&body) {
        Ok(order) => order,
        Err(error) => return refused(format!("no fault: {error}")),
    };
    let act = match (order.reply, order.act) {
        (Some(reply), None) if reply.len() > 3 && reply.bytes().take(3).all(|byte| byte.is_ascii_digit()) => {
            Act::Reply(reply)
        }
        (None, Some(act)) => act,
        _ => return refused("give a \"reply\" that begins with three digits, or an \"act\": hang or drop".to_owned()),
    };
    let mut script = lock(&shared.script);
    match order.times {
        Some(n) => script.next.entry(order.at).or_default().extend(std::iter::repeat_n(act, n)),
        None => {
            script.always.insert(order.at, act);
        }
    }
    Json(json!({ "next": script.next, "until_told_otherwise": script.always })).into_response()
}

async fn unset(State(shared): State<Arc<Shared>>) -> StatusCode {
    lock(&shared.script).recover();
    StatusCode::NO_CONTENT
}

async fn requests(State(shared): State<Arc<Shared>>) -> Response {
    let script = lock(&shared.script);
    let received: Vec<_> =
        script.received.iter().map(|mail| json!({ "to": mail.recipients, "text": mail.text })).collect();
    Json(json!({ "counts": script.asked, "messages": received.len(), "received": received })).into_response()
}
