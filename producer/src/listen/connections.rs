//! The listener of the API: takes connections within their limits, and ends them when the process shall end.

use std::{
    collections::HashMap,
    convert::Infallible,
    fmt, io,
    net::{IpAddr, Ipv6Addr},
    pin::{Pin, pin},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll},
    time::Duration,
};

use axum::{
    Router,
    body::{Body, HttpBody},
    extract::Request,
    http::{HeaderValue, header},
    response::{IntoResponse, Response},
};
use bytes::Bytes;
use hyper::{
    body::{Frame, Incoming, SizeHint},
    server::conn::http1,
    service::service_fn,
};
use hyper_util::rt::TokioIo;
use tokio::{
    net::{TcpListener, TcpStream},
    time::{Instant, sleep},
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tower::ServiceExt;
use uuid::Uuid;

use super::socket::{Line, Patience, Socket, Turn};
use crate::answer::{Problem, Type};

const PATIENCE: Patience = Patience { head: Duration::from_secs(10), idle: Duration::from_secs(75) };
/// With connections beyond the limit, which are kept only to be told so.
const IMPATIENCE: Patience = Patience { head: Duration::from_secs(2), idle: Duration::from_secs(2) };
/// The head of a request has at most so many bytes.
const HEAD_LIMIT: usize = 64 << 10;
/// Connections beyond the limit that may ask for the health, and are told that there are too many otherwise.
const SPARE: usize = 64;
/// Files and connections that the process needs besides.
const OTHER_FILES: u64 = 160;
const LOG_EVERY: Duration = Duration::from_secs(60);
/// When the system gives no connection, it is asked again after this time.
const ACCEPT_AGAIN: Duration = Duration::from_millis(100);
const HEALTH: &str = "/api/health";

/// How many connections there may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Limits {
    all: usize,
    per_address: usize,
}

impl Limits {
    /// As many as asked for and as files can be open; of those, four fifths from one address.
    pub(crate) fn new(asked: usize) -> Self {
        let files = rustix::process::getrlimit(rustix::process::Resource::Nofile).current;
        let limits = Self::within(asked, files);
        if limits.all < asked {
            tracing::warn!(
                "HTTP_MAX_CONNECTIONS={asked}, but the system allows {} open files: there will be {} connections; raise \
                 it with ulimit -n",
                files.unwrap_or_default(),
                limits.all
            );
        }
        limits
    }

    fn within(asked: usize, files: Option<u64>) -> Self {
        let room = files.map_or(usize::MAX, |files| {
            usize::try_from(files.saturating_sub(OTHER_FILES).max(files / 4)).unwrap_or(usize::MAX)
        });
        let all = asked.min(room.saturating_sub(SPARE)).max(1);
        Self { all, per_address: (all - all / 5).max(1) }
    }
}

/// Answers on `listener` until `closing`, then lets the requests that are under way finish.
pub(crate) async fn serve(listener: TcpListener, router: Router, limits: Limits, closing: CancellationToken) {
    let rooms = Arc::new(Rooms { limits, counts: Mutex::default() });
    let connections = TaskTracker::new();
    while let Some(accepted) = closing.run_until_cancelled(listener.accept()).await {
        match accepted {
            Ok((stream, peer)) => {
                if let Some(seat) = rooms.enter(peer.ip()) {
                    connections.spawn(connection(stream, seat, router.clone(), closing.clone()));
                }
            }
            Err(error) if is_of_one_connection(&error) => {}
            Err(error) => {
                rooms.cannot_accept(&error);
                sleep(ACCEPT_AGAIN).await;
            }
        }
    }
    drop(listener);
    connections.close();
    connections.wait().await;
}

fn is_of_one_connection(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset};
    matches!(error.kind(), ConnectionAborted | ConnectionRefused | ConnectionReset)
}

async fn connection(stream: TcpStream, seat: Seat, router: Router, closing: CancellationToken) {
    // Small answers and events go out at once.
    let _ = stream.set_nodelay(true);
    let line = Line::new();
    let patience = if seat.is_spare { IMPATIENCE } else { PATIENCE };
    let socket = Socket::new(stream, line.clone(), patience);
    let is_spare = seat.is_spare;
    let service = service_fn(move |request: hyper::Request<Incoming>| {
        let turn = line.turn();
        let router = router.clone();
        async move {
            let request = request.map(Body::new);
            let response = if is_spare && !request.uri().path().starts_with(HEALTH) {
                overloaded()
            } else {
                answer(router, request).await
            };
            Ok::<_, Infallible>(response.map(|body| Taken { body, _turn: turn }))
        }
    });
    let mut http = http1::Builder::new();
    // Time is kept by the socket. Who shuts his side counts as gone, and is not answered: so nobody waits for a job on his behalf.
    http.max_buf_size(HEAD_LIMIT).max_header_size(HEAD_LIMIT).keep_alive(!is_spare);
    let mut connection = pin!(http.serve_connection(TokioIo::new(socket), service));
    let ended = match closing.run_until_cancelled(connection.as_mut()).await {
        Some(ended) => ended,
        None => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = ended {
        tracing::debug!(%error, "a connection ended before its time");
    }
    drop(seat);
}

async fn answer(router: Router, request: Request) -> Response {
    match router.oneshot(request).await {
        Ok(response) => response,
        Err(never) => match never {},
    }
}

fn overloaded() -> Response {
    let id = Uuid::now_v7().to_string();
    let detail = "there are too many connections; close those that you do not use, and try again in a few seconds";
    let mut response = Problem::new(Type::Overloaded, detail).with_request_id(&id).into_response();
    if let Ok(id) = HeaderValue::from_str(&id) {
        response.headers_mut().insert("x-request-id", id);
    }
    response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
    response
}

/// A body whose end is the end of the request's turn.
struct Taken {
    body: Body,
    _turn: Turn,
}

impl HttpBody for Taken {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        Pin::new(&mut self.body).poll_frame(context)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// Who has a connection.
#[derive(Debug)]
struct Rooms {
    limits: Limits,
    counts: Mutex<Counts>,
}

#[derive(Debug, Default)]
struct Counts {
    all: usize,
    spare: usize,
    by_address: HashMap<IpAddr, usize>,
    /// Since the log said so last.
    refused: u64,
    told: Option<Instant>,
}

/// A connection that was let in.
struct Seat {
    rooms: Arc<Rooms>,
    address: IpAddr,
    is_spare: bool,
}

impl Rooms {
    /// Lets a connection in; into the spare room when it is one too many, and not at all when that is full too.
    fn enter(self: &Arc<Self>, address: IpAddr) -> Option<Seat> {
        let address = one_of(address);
        let mut counts = self.counts();
        let of_address = counts.by_address.get(&address).copied().unwrap_or_default();
        let is_spare = counts.all >= self.limits.all || of_address >= self.limits.per_address;
        if is_spare {
            counts.refused += 1;
            let all = counts.all;
            counts.log(|refused| {
                tracing::warn!(
                    refused, of_address, %address, all,
                    "too many connections: new ones get 503 (at most {} in all, {} from one address)",
                    self.limits.all, self.limits.per_address
                );
            });
            if counts.spare >= SPARE {
                return None;
            }
            counts.spare += 1;
        } else {
            counts.all += 1;
            *counts.by_address.entry(address).or_default() += 1;
        }
        drop(counts);
        Some(Seat { rooms: self.clone(), address, is_spare })
    }

    fn cannot_accept(&self, error: &dyn fmt::Display) {
        let mut counts = self.counts();
        counts.refused += 1;
        counts.log(|refused| tracing::warn!(refused, %error, "the system gives no more connections"));
    }

    fn counts(&self) -> MutexGuard<'_, Counts> {
        self.counts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Counts {
    /// At most once a minute.
    fn log(&mut self, tell: impl FnOnce(u64)) {
        if self.told.is_none_or(|told| told.elapsed() >= LOG_EVERY) {
            self.told = Some(Instant::now());
            tell(std::mem::take(&mut self.refused));
        }
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        let mut counts = self.rooms.counts();
        if self.is_spare {
            counts.spare -= 1;
            return;
        }
        counts.all -= 1;
        if let Some(n) = counts.by_address.get_mut(&self.address) {
            *n -= 1;
            if *n == 0 {
                counts.by_address.remove(&self.address);
            }
        }
    }
}

/// What counts as one address: whoever has one of IPv6 has 2^64 of them.
fn one_of(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) => Ipv6Addr::from_bits(address.to_bits() >> 64 << 64).into(),
        v4 @ IpAddr::V4(_) => v4,
    }
}

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;

    use axum::routing::get;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    use super::*;

    const IN_TIME: Duration = Duration::from_secs(20);

    async fn listening(all: usize, per_address: usize) -> (SocketAddr, CancellationToken) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let addr = listener.local_addr().unwrap();
        let router = Router::new()
            .route("/api/health/live", get(async || ([("x-request-id", "1")], "alive")))
            .route("/hello", get(async || ([("x-request-id", "1")], "hello")));
        let closing = CancellationToken::new();
        tokio::spawn(serve(listener, router, Limits { all, per_address }, closing.clone()));
        (addr, closing)
    }

    /// Sends `request` on `stream` and reads until the server closes.
    async fn ask(mut stream: TcpStream, request: &[u8]) -> String {
        let exchange = async {
            // The server may answer and close before it has read all.
            let _ = stream.write_all(request).await;
            let mut answer = Vec::new();
            let _ = stream.read_to_end(&mut answer).await;
            String::from_utf8_lossy(&answer).into_owned()
        };
        tokio::time::timeout(IN_TIME, exchange).await.unwrap()
    }

    async fn get_on(addr: SocketAddr, path: &str) -> String {
        let request = format!("GET {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n");
        ask(TcpStream::connect(addr).await.unwrap(), request.as_bytes()).await
    }

    #[tokio::test]
    async fn one_connection_too_many_is_told_so_and_health_is_answered_all_the_same() {
        let (addr, _closing) = listening(2, 2).await;
        let mut held = Vec::new();
        for _ in 0..2 {
            let mut stream = TcpStream::connect(addr).await.unwrap();
            // Answered, and then kept open: they are in.
            stream.write_all(b"GET /hello HTTP/1.1\r\nhost: x\r\n\r\n").await.unwrap();
            assert!(stream.read(&mut [0; 1024]).await.unwrap() > 0);
            held.push(stream);
        }
        let refused = get_on(addr, "/hello").await;
        assert!(refused.starts_with("HTTP/1.1 503 ") && refused.contains("problems/overloaded"), "{refused}");
        assert!(refused.contains("retry-after: 5"), "{refused}");
        let alive = get_on(addr, "/api/health/live").await;
        assert!(alive.starts_with("HTTP/1.1 200 ") && alive.ends_with("alive"), "{alive}");
        held.pop();
        // Its seat is free as soon as the server has seen it go.
        let again = async {
            while !get_on(addr, "/hello").await.ends_with("hello") {
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(IN_TIME, again).await.unwrap();
    }

    #[test]
    fn one_address_does_not_take_all_seats() {
        let limits = Limits { all: 10, per_address: 8 };
        let rooms = Arc::new(Rooms { limits, counts: Mutex::default() });
        let enter = |address: &str| rooms.enter(address.parse().unwrap()).map(|seat| (seat.is_spare, seat));
        let greedy: Vec<_> = (0..9).map(|_| enter("192.0.2.1").unwrap()).collect();
        assert_eq!(greedy.iter().filter(|(is_spare, _)| *is_spare).count(), 1);
        let others: Vec<_> = (2..5).map(|n| enter(&format!("192.0.2.{n}")).unwrap()).collect();
        assert_eq!(
            others.iter().map(|(is_spare, _)| *is_spare).collect::<Vec<_>>(),
            [false, false, true],
            "ten in all"
        );
        drop(others);
        assert!(!enter("192.0.2.2").unwrap().0, "another one gets in");
        let spare: Vec<_> = (0..SPARE).map_while(|_| enter("192.0.2.1")).collect();
        assert_eq!(spare.len(), SPARE - 1);
        drop(greedy);
        assert!(!enter("::ffff:192.0.2.1").unwrap().0, "who has gone does not count");
        assert_eq!(one_of("2001:db8::1".parse().unwrap()), one_of("2001:db8::2".parse().unwrap()));
    }

    #[tokio::test(start_paused = true)]
    async fn too_many_connections_are_told_once_a_minute_with_their_number() {
        let (mut counts, mut told) = (Counts::default(), Vec::new());
        for second in 0..121 {
            counts.refused += 1;
            counts.log(|refused| told.push((second, refused)));
            sleep(Duration::from_secs(1)).await;
        }
        assert_eq!(told, [(0, 1), (60, 60), (120, 60)]);
    }

    #[test]
    fn connections_leave_room_for_other_files() {
        assert_eq!(Limits::within(10_000, None), Limits { all: 10_000, per_address: 8_000 });
        assert_eq!(Limits::within(10_000, Some(20_000)), Limits { all: 10_000, per_address: 8_000 });
        assert_eq!(Limits::within(10_000, Some(1_024)).all, 800);
        assert_eq!(Limits::within(10_000, Some(100)).all, 1);
    }

    #[tokio::test]
    async fn what_the_parser_refuses_is_a_problem_too() {
        let (addr, _closing) = listening(100, 100).await;
        let long = "x".repeat(200 << 10);
        let many: String = (0..200).map(|n| format!("h{n}: 1\r\n")).collect();
        let cases = [
            ("\u{1}\u{2} nonsense\r\n\r\n".to_owned(), 400, "malformed"),
            ("GET / HTTP/1.1\r\nbad header\r\n\r\n".to_owned(), 400, "malformed"),
            (format!("GET /{long} HTTP/1.1\r\nhost: x\r\n\r\n"), 414, "uri-too-long"),
            (format!("GET /{} HTTP/1.1\r\nhost: x\r\n\r\n", &long[..70 << 10]), 414, "uri-too-long"),
            (format!("GET /hello HTTP/1.1\r\nhost: x\r\ncookie: {long}\r\n\r\n"), 431, "headers-too-large"),
            (format!("GET /hello HTTP/1.1\r\nhost: x\r\n{many}\r\n"), 431, "headers-too-large"),
        ];
        for (request, status, slug) in cases {
            let answer = ask(TcpStream::connect(addr).await.unwrap(), request.as_bytes()).await;
            let (head, body) = answer.split_once("\r\n\r\n").unwrap_or_else(|| panic!("{slug}: {answer:?}"));
            assert!(head.starts_with(&format!("HTTP/1.1 {status} ")), "{answer}");
            assert!(head.contains("content-type: application/problem+json"), "{answer}");
            let body: serde_json::Value = serde_json::from_str(body).unwrap();
            assert_eq!(body["type"], format!("https://ecomsimply.example/problems/{slug}"), "{answer}");
            assert!(head.contains(body["request_id"].as_str().unwrap()), "{answer}");
        }
    }

    #[tokio::test]
    async fn a_kept_connection_answers_one_request_after_another_and_ends_with_the_process() {
        let (addr, closing) = listening(100, 100).await;
        let mut stream = TcpStream::connect(addr).await.unwrap();
        for _ in 0..3 {
            stream.write_all(b"GET /hello HTTP/1.1\r\nhost: x\r\n\r\n").await.unwrap();
            let mut answer = [0; 1024];
            let n = stream.read(&mut answer).await.unwrap();
            assert!(String::from_utf8_lossy(&answer[..n]).starts_with("HTTP/1.1 200 "));
        }
        closing.cancel();
        let end = tokio::time::timeout(IN_TIME, stream.read(&mut [0; 8])).await.unwrap();
        assert!(matches!(end, Ok(0) | Err(_)), "{end:?}");
    }
}
