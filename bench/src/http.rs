//! As much of HTTP/1.1 as a load needs, and no more, because it shares the processor with what is measured: requests that are ready as
//! bytes, one after the other on connections that are kept.

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use anyhow::{Context, bail, ensure};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    task::JoinSet,
};

const HEAD_END: &[u8] = b"\r\n\r\n";
/// What stands for the number of a request until it is sent, so that each can have an idempotency key of its own.
pub(crate) const NUMBER: &str = "0000000000000000";

/// A request, ready to be sent.
#[derive(Debug, Clone)]
pub(crate) struct Request {
    bytes: Vec<u8>,
    /// Where [`NUMBER`] stands, if its head has it.
    number_at: Option<usize>,
}

impl Request {
    /// `head` is the method and path, and then a header a line.
    pub(crate) fn new(head: &[&str], body: &str) -> Self {
        let (first, headers) = head.split_first().map_or(("", head), |(first, headers)| (*first, headers));
        let headers: String = headers.iter().map(|header| format!("{header}\r\n")).collect();
        let head = format!("{first} HTTP/1.1\r\nhost: bench\r\n{headers}content-length: {}\r\n\r\n", body.len());
        let number_at = head.find(NUMBER);
        Self { bytes: [head.as_bytes(), body.as_bytes()].concat(), number_at }
    }

    fn set_number(&mut self, number: u64) {
        if let Some(at) = self.number_at {
            let digits = format!("{number:0width$}", width = NUMBER.len());
            self.bytes[at..at + digits.len()].copy_from_slice(digits.as_bytes());
        }
    }
}

/// What came back.
#[derive(Debug)]
pub(crate) struct Answer<'a> {
    pub(crate) status: u16,
    /// With the lengths of its pieces between them, if it came in pieces.
    pub(crate) body: &'a [u8],
}

/// A connection that is kept.
#[derive(Debug)]
pub(crate) struct Connection {
    stream: TcpStream,
    read: Vec<u8>,
}

impl Connection {
    pub(crate) async fn open(address: SocketAddr) -> anyhow::Result<Self> {
        let stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        Ok(Self { stream, read: Vec::with_capacity(4096) })
    }

    /// Sends a request and waits for the whole answer.
    pub(crate) async fn ask(&mut self, request: &Request) -> anyhow::Result<Answer<'_>> {
        self.stream.write_all(&request.bytes).await?;
        self.read.clear();
        let mut looked = 0;
        let body = loop {
            self.more().await?;
            let end = self.read[looked..].windows(HEAD_END.len()).position(|bytes| bytes == HEAD_END);
            match end {
                Some(end) => break looked + end + HEAD_END.len(),
                None => looked = self.read.len().saturating_sub(HEAD_END.len()),
            }
        };
        let head = Head::read(&self.read[..body])?;
        let end = match head.length {
            Some(length) => {
                while self.read.len() < body + length {
                    self.more().await?;
                }
                body + length
            }
            None => self.pieces(body).await?,
        };
        Ok(Answer { status: head.status, body: &self.read[body..end] })
    }

    /// Reads a body that comes in pieces; where it ends.
    async fn pieces(&mut self, mut at: usize) -> anyhow::Result<usize> {
        loop {
            let line = self.read[at..].windows(2).position(|bytes| bytes == b"\r\n");
            let Some(line) = line else {
                self.more().await?;
                continue;
            };
            let length = std::str::from_utf8(&self.read[at..at + line]).ok();
            let length = length.and_then(|length| usize::from_str_radix(length, 16).ok());
            let length = length.context("a piece of an answer has no length")?;
            let end = at + line + 2 + length + 2;
            while self.read.len() < end {
                self.more().await?;
            }
            at = end;
            if length == 0 {
                return Ok(at);
            }
        }
    }

    async fn more(&mut self) -> anyhow::Result<()> {
        let n = self.stream.read_buf(&mut self.read).await?;
        ensure!(n > 0, "the server closed the connection in the middle of an answer");
        Ok(())
    }
}

/// What matters of an answer's head.
struct Head {
    status: u16,
    /// None of a body that comes in pieces.
    length: Option<usize>,
}

impl Head {
    fn read(head: &[u8]) -> anyhow::Result<Self> {
        let head = std::str::from_utf8(head)?;
        let mut lines = head.lines();
        let status = lines.next().and_then(|line| line.split(' ').nth(1)?.parse().ok());
        let mut length = None;
        for (name, value) in lines.filter_map(|line| line.split_once(':')) {
            if name.eq_ignore_ascii_case("content-length") {
                length = value.trim().parse().ok();
            }
        }
        Ok(Self { status: status.with_context(|| format!("this is no answer: {head:.100}"))?, length })
    }
}

/// Answers a second, when each of so many connections sends its request again and again for this time: the connections share these
/// requests out. All answers have to have this status.
pub(crate) async fn rate(
    address: SocketAddr,
    connections: usize,
    time: Duration,
    requests: &[Request],
    status: u16,
) -> anyhow::Result<f64> {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    let mut opened = Vec::with_capacity(connections);
    for _ in 0..connections {
        opened.push(Connection::open(address).await?);
    }
    let began = Instant::now();
    let n_answers = Arc::new(AtomicU64::new(0));
    let mut asking = JoinSet::new();
    for (mut connection, request) in opened.into_iter().zip(requests.iter().cycle()) {
        let (mut request, n_answers) = (request.clone(), n_answers.clone());
        asking.spawn(async move {
            while began.elapsed() < time {
                request.set_number(NEXT.fetch_add(1, Ordering::Relaxed));
                let answer = connection.ask(&request).await?;
                if answer.status != status {
                    bail!("{} instead of {status}: {:.300}", answer.status, String::from_utf8_lossy(answer.body));
                }
                n_answers.fetch_add(1, Ordering::Relaxed);
            }
            anyhow::Ok(())
        });
    }
    while let Some(asked) = asking.join_next().await {
        asked??;
    }
    Ok(n_answers.load(Ordering::Relaxed) as f64 / began.elapsed().as_secs_f64())
}

/// Answers a second, when so many connections send all these requests, each once. All answers have to have this status.
pub(crate) async fn rate_of_all(
    address: SocketAddr,
    connections: usize,
    requests: Vec<Request>,
    status: u16,
) -> anyhow::Result<f64> {
    let mut opened = Vec::with_capacity(connections);
    for _ in 0..connections {
        opened.push(Connection::open(address).await?);
    }
    let n_requests = requests.len();
    let next = Arc::new((AtomicUsize::new(0), requests));
    let (began, mut asking) = (Instant::now(), JoinSet::new());
    for mut connection in opened {
        let next = next.clone();
        asking.spawn(async move {
            let (next, requests) = &*next;
            while let Some(request) = requests.get(next.fetch_add(1, Ordering::Relaxed)) {
                let answer = connection.ask(request).await?;
                if answer.status != status {
                    bail!("{} instead of {status}: {:.300}", answer.status, String::from_utf8_lossy(answer.body));
                }
            }
            anyhow::Ok(())
        });
    }
    while let Some(asked) = asking.join_next().await {
        asked??;
    }
    Ok(n_requests as f64 / began.elapsed().as_secs_f64())
}

#[cfg(test)]
mod tests {
    use tokio::net::TcpListener;

    use super::*;

    /// Answers each of these in turn, byte by byte, to whatever is sent.
    async fn server(answers: &'static [&'static str]) -> SocketAddr {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.unwrap();
            for answer in answers {
                let mut asked = [0; 1024];
                assert!(stream.read(&mut asked).await.unwrap() > 0);
                for byte in answer.as_bytes() {
                    stream.write_all(&[*byte]).await.unwrap();
                    stream.flush().await.unwrap();
                }
            }
        });
        address
    }

    #[tokio::test]
    async fn answers_are_read_to_their_end_whole_or_in_pieces() {
        let address = server(&[
            "HTTP/1.1 202 Accepted\r\nContent-Length: 4\r\n\r\nabcd",
            "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3\r\nab\n\r\n12\r\n0123456789abcdef\r\n\r\n0\r\n\r\n",
            "HTTP/1.1 204 No Content\r\ncontent-length: 0\r\n\r\n",
        ])
        .await;
        let mut connection = Connection::open(address).await.unwrap();
        let request = Request::new(&["GET /"], "");
        let mut got = Vec::new();
        for _ in 0..3 {
            let answer = connection.ask(&request).await.unwrap();
            got.push((answer.status, String::from_utf8_lossy(answer.body).into_owned()));
        }
        let pieces = "3\r\nab\n\r\n12\r\n0123456789abcdef\r\n\r\n0\r\n\r\n";
        assert_eq!(got, [(202, "abcd".to_owned()), (200, pieces.to_owned()), (204, String::new())]);
        assert!(connection.ask(&request).await.is_err(), "the server has gone");
    }

    #[tokio::test]
    async fn another_status_than_the_expected_ends_the_load() {
        let address = server(&["HTTP/1.1 503 Service Unavailable\r\ncontent-length: 2\r\n\r\nno"]).await;
        let error = rate(address, 1, Duration::from_secs(5), &[Request::new(&["GET /"], "")], 200).await.unwrap_err();
        assert_eq!(error.to_string(), "503 instead of 200: no");
    }

    #[test]
    fn a_request_has_its_number_and_length() {
        let mut request = Request::new(&["POST /x", &format!("idempotency-key: {NUMBER}")], "{}");
        request.set_number(42);
        let expected =
            "POST /x HTTP/1.1\r\nhost: bench\r\nidempotency-key: 0000000000000042\r\ncontent-length: 2\r\n\r\n{}";
        assert_eq!(String::from_utf8(request.bytes).unwrap(), expected);
    }
}
