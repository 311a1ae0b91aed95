//! A client's connection: how long it may keep us waiting, and what the HTTP parser itself answers.
//!
//! The parser refuses what it cannot read before any of our code sees a request, with an empty body. Its answer is replaced here, on its
//! way out, by the problem that every other answer of this kind is.

use std::{
    io::{self, IoSlice},
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll, ready},
    time::Duration,
};

use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    time::{Instant, Sleep, sleep},
};
use uuid::Uuid;

use crate::answer::{Problem, Type};

/// A first line of so many bytes is what makes a head too large.
const LONG_LINE: usize = 32 << 10;
/// All answers of ours have this header.
const OURS: &[u8] = b"x-request-id";
/// How long what a refused client still sends is read and thrown away.
const LINGER: Duration = Duration::from_secs(2);

/// How long a client may keep us waiting.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Patience {
    /// For the whole head of a request, from its first byte on.
    pub(crate) head: Duration,
    /// For a byte: between two requests, and of an answer that is not read.
    pub(crate) idle: Duration,
}

/// What goes on on a connection; shared by the socket and whoever answers the requests.
#[derive(Debug, Clone)]
pub(crate) struct Line(Arc<Mutex<State>>);

#[derive(Debug)]
struct State {
    phase: Phase,
    /// When the last byte came or went.
    moved: Instant,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    /// Between two requests.
    Idle,
    /// A head is on its way.
    Head {
        since: Instant,
        /// How much of its first line is there.
        line: usize,
        /// Whether that is all of it.
        is_whole: bool,
    },
    /// A request is answered: its body may come, and the answer may take its time.
    Request,
}

/// A request that is answered; the line is idle again when it is dropped.
#[derive(Debug)]
pub(crate) struct Turn(Line);

impl Line {
    pub(crate) fn new() -> Self {
        Self(Arc::new(Mutex::new(State { phase: Phase::Idle, moved: Instant::now() })))
    }

    /// A request has been read and is answered now.
    pub(crate) fn turn(&self) -> Turn {
        self.state().phase = Phase::Request;
        Turn(self.clone())
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn came(&self, bytes: &[u8]) {
        let now = Instant::now();
        let mut state = self.state();
        state.moved = now;
        if state.phase == Phase::Idle {
            state.phase = Phase::Head { since: now, line: 0, is_whole: false };
        }
        if let Phase::Head { line, is_whole: is_whole @ false, .. } = &mut state.phase {
            let end = bytes.iter().position(|byte| *byte == b'\n');
            *line += end.unwrap_or(bytes.len());
            *is_whole = end.is_some();
        }
    }

    fn went(&self) {
        self.state().moved = Instant::now();
    }

    /// Until when a byte must come; `None` while a request is answered, whose body has a time of its own.
    fn deadline(&self, patience: Patience) -> Option<Instant> {
        let state = self.state();
        match state.phase {
            Phase::Idle => Some(state.moved + patience.idle),
            Phase::Head { since, .. } => Some(since + patience.head),
            Phase::Request => None,
        }
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        let mut state = self.0.state();
        state.phase = Phase::Idle;
        state.moved = Instant::now();
    }
}

/// A stream that loses its patience.
pub(crate) struct Socket<S> {
    stream: S,
    line: Line,
    patience: Patience,
    reading: Pin<Box<Sleep>>,
    writing: Pin<Box<Sleep>>,
    /// What is written in place of the parser's own answer, and how much of it has been.
    own: Option<(Vec<u8>, usize)>,
    lingers_until: Option<Instant>,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Socket<S> {
    pub(crate) fn new(stream: S, line: Line, patience: Patience) -> Self {
        let [reading, writing] = [(); 2].map(|()| Box::pin(sleep(patience.idle)));
        Self { stream, line, patience, reading, writing, own: None, lingers_until: None }
    }

    /// Writes our own answer as far as it goes; ready when all of it is written.
    fn poll_own(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        while let Some((answer, written)) = &mut self.own
            && *written < answer.len()
        {
            match Pin::new(&mut self.stream).poll_write(context, &answer[*written..]) {
                Poll::Ready(Ok(0)) => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                Poll::Ready(Ok(n)) => *written += n,
                Poll::Ready(Err(error)) => return Poll::Ready(Err(error)),
                Poll::Pending => return Poll::Pending,
            }
        }
        Poll::Ready(Ok(()))
    }

    /// The client has not sent its head in time, which it is told if it still listens.
    fn give_up(&mut self, context: &mut Context<'_>) -> io::Error {
        if matches!(self.line.state().phase, Phase::Head { .. }) {
            let detail = format!("the head of the request did not come within {} s", self.patience.head.as_secs());
            self.own = Some((answer(Type::RequestTimeout, &detail), 0));
            // What does not fit into the system's buffer now will not be waited for.
            let _ = self.poll_own(context);
        }
        io::ErrorKind::TimedOut.into()
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncRead for Socket<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        if let Poll::Ready(read) = Pin::new(&mut self.stream).poll_read(context, buffer) {
            if buffer.filled().len() > before {
                self.line.came(&buffer.filled()[before..]);
            }
            return Poll::Ready(read);
        }
        let Some(deadline) = self.line.deadline(self.patience) else {
            // When the answer is done, nobody reads before something comes: the alarm that ends the wait for it has to be set now.
            while self.reading.as_mut().poll(context).is_ready() {
                let idle = self.patience.idle;
                self.reading.as_mut().reset(Instant::now() + idle);
            }
            return Poll::Pending;
        };
        ready!(poll_until(&mut self.reading, deadline, context));
        Poll::Ready(Err(self.give_up(context)))
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncWrite for Socket<S> {
    fn poll_write(self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.poll_write_vectored(context, &[IoSlice::new(bytes)])
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        parts: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let phase = self.line.state().phase;
        if self.own.is_none()
            && phase != Phase::Request
            && let Some(head) = parts.iter().find(|part| !part.is_empty())
            && let Some(kind) = refused_by_parser(head, phase)
        {
            self.own = Some((answer(kind.0, kind.1), 0));
        }
        let written = if self.own.is_some() {
            // After its own answer the parser writes no other.
            self.poll_own(context).map_ok(|()| parts.iter().map(|part| part.len()).sum())
        } else {
            Pin::new(&mut self.stream).poll_write_vectored(context, parts)
        };
        if written.is_ready() {
            self.line.went();
            return written;
        }
        let deadline = self.line.state().moved + self.patience.idle;
        match poll_until(&mut self.writing, deadline, context) {
            Poll::Ready(()) => Poll::Ready(Err(io::ErrorKind::TimedOut.into())),
            Poll::Pending => Poll::Pending,
        }
    }

    /// So that a long answer is not copied behind its head.
    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(Pin::new(&mut self.stream).poll_shutdown(context))?;
        if self.own.is_none() {
            return Poll::Ready(Ok(()));
        }
        // A client that is still sending would see a broken connection instead of the answer.
        let deadline = *self.lingers_until.get_or_insert_with(|| Instant::now() + LINGER);
        let mut scratch = [0; 4096];
        while poll_until(&mut self.reading, deadline, context).is_pending() {
            let mut buffer = ReadBuf::new(&mut scratch);
            match ready!(Pin::new(&mut self.stream).poll_read(context, &mut buffer)) {
                Ok(()) if !buffer.filled().is_empty() => {}
                Ok(()) | Err(_) => break,
            }
        }
        Poll::Ready(Ok(()))
    }
}

fn poll_until(sleep: &mut Pin<Box<Sleep>>, deadline: Instant, context: &mut Context<'_>) -> Poll<()> {
    if sleep.deadline() != deadline {
        sleep.as_mut().reset(deadline);
    }
    sleep.as_mut().poll(context)
}

/// What the parser refuses by itself, when `bytes` are the head of such an answer.
fn refused_by_parser(bytes: &[u8], phase: Phase) -> Option<(Type, &'static str)> {
    let is_long_line = matches!(phase, Phase::Head { line: LONG_LINE.., .. });
    let refused = match bytes.strip_prefix(b"HTTP/1.")?.get(2..5)? {
        b"400" => (Type::Malformed, "this is no HTTP request that can be read"),
        b"414" => (Type::UriTooLong, "the address has more than 64 KB"),
        // The parser does not tell an address that does not end from headers that do not.
        b"431" if is_long_line => (Type::UriTooLong, "the address has more than 64 KB"),
        b"431" => (Type::HeadersTooLarge, "the headers have more than 64 KB, or are more than 100"),
        _ => return None,
    };
    let is_ours = bytes.windows(OURS.len()).any(|part| part == OURS);
    (!is_ours).then_some(refused)
}

/// The whole answer, after which the connection is closed.
fn answer(kind: Type, detail: &str) -> Vec<u8> {
    let id = Uuid::now_v7().to_string();
    let problem = Problem::new(kind, detail).with_request_id(&id);
    let body = serde_json::to_string(&problem).unwrap_or_default();
    tracing::info!(request.id = id, http.status = kind.status(), detail, "a request that could not be read");
    format!(
        "HTTP/1.1 {} {}\r\ncontent-type: application/problem+json\r\ncontent-length: {}\r\nx-request-id: {id}\r\n\
         connection: close\r\n\r\n{body}",
        kind.status(),
        kind.title(),
        body.len(),
    )
    .into_bytes()
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use hyper::{Request, Response, body::Incoming, server::conn::http1, service::service_fn};
    use hyper_util::rt::TokioIo;
    use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};

    use super::*;

    const PATIENCE: Patience = Patience { head: Duration::from_secs(10), idle: Duration::from_secs(75) };

    fn connected() -> (DuplexStream, Socket<DuplexStream>, Line) {
        let (client, server) = duplex(4096);
        let line = Line::new();
        (client, Socket::new(server, line.clone(), PATIENCE), line)
    }

    /// Reads until the socket loses its patience; when that was, in seconds.
    async fn lost_after(socket: &mut Socket<DuplexStream>) -> u64 {
        let began = Instant::now();
        let mut buffer = [0; 64];
        loop {
            match socket.read(&mut buffer).await {
                Ok(0) => panic!("the client has gone"),
                Ok(_) => {}
                Err(error) => {
                    assert_eq!(error.kind(), io::ErrorKind::TimedOut);
                    return began.elapsed().as_secs();
                }
            }
        }
    }

    #[tokio::test(start_paused = true)]
    async fn an_idle_socket_is_closed_after_75_s_and_a_head_after_10() {
        let (_client, mut socket, _) = connected();
        assert_eq!(lost_after(&mut socket).await, 75);

        let (mut client, mut socket, _) = connected();
        let drip = tokio::spawn(async move {
            // A byte a second keeps nothing open.
            while client.write_all(b"x").await.is_ok() {
                sleep(Duration::from_secs(1)).await;
            }
        });
        assert_eq!(lost_after(&mut socket).await, 10);
        drip.abort();
    }

    #[tokio::test(start_paused = true)]
    async fn a_head_that_does_not_come_is_told_so() {
        let (mut client, mut socket, _) = connected();
        client.write_all(b"GET / HTTP/1.1\r\n").await.unwrap();
        lost_after(&mut socket).await;
        drop(socket);
        let mut answer = String::new();
        client.read_to_string(&mut answer).await.unwrap();
        assert!(answer.starts_with("HTTP/1.1 408 "), "{answer}");
        assert!(answer.contains("problems/request-timeout"), "{answer}");
    }

    #[tokio::test(start_paused = true)]
    async fn what_a_refused_client_still_sends_is_read_so_that_it_sees_the_answer() {
        let (mut client, mut socket, _) = connected();
        client.write_all(b"GET / HTTP/1.1\r\n").await.unwrap();
        lost_after(&mut socket).await;
        let rest = tokio::spawn(async move { client.write_all(&[b'x'; 100_000]).await.map(|()| client) });
        socket.shutdown().await.unwrap();
        drop(socket);
        assert!(rest.await.unwrap().is_ok(), "the connection broke while it was sending");
    }

    #[tokio::test(start_paused = true)]
    async fn a_request_that_is_answered_may_take_its_time() {
        let (_client, mut socket, line) = connected();
        let turn = line.turn();
        let hour = tokio::time::timeout(Duration::from_secs(3600), socket.read(&mut [0; 8])).await;
        assert!(hour.is_err(), "the socket lost its patience with its own server");
        drop(turn);
        assert_eq!(lost_after(&mut socket).await, 75, "counted from the end of the answer");
    }

    #[tokio::test(start_paused = true)]
    async fn a_connection_that_is_idle_after_a_long_answer_is_closed() {
        let (mut client, socket, line) = connected();
        let answer = service_fn(move |_: Request<Incoming>| {
            let turn = line.turn();
            async {
                // Longer than the alarm that was set when the connection was made.
                sleep(Duration::from_secs(100)).await;
                drop(turn);
                Ok::<_, Infallible>(Response::new(String::new()))
            }
        });
        tokio::spawn(http1::Builder::new().serve_connection(TokioIo::new(socket), answer));
        let began = Instant::now();
        client.write_all(b"GET / HTTP/1.1\r\n\r\n").await.unwrap();
        let mut answer = Vec::new();
        let all = tokio::time::timeout(Duration::from_secs(3600), client.read_to_end(&mut answer));
        assert!(all.await.expect("it is closed").unwrap() > 0);
        assert_eq!(began.elapsed().as_secs(), 175);
    }

    #[tokio::test(start_paused = true)]
    async fn an_answer_that_nobody_reads_is_given_up() {
        let (_client, mut socket, line) = connected();
        let _turn = line.turn();
        let began = Instant::now();
        let error = socket.write_all(&[b'x'; 10_000]).await.unwrap_err();
        assert_eq!((error.kind(), began.elapsed().as_secs()), (io::ErrorKind::TimedOut, 75));
    }
}
