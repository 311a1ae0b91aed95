//! Around the body of every request: what it is packed in, how long it may take to come, and how much memory all of them may take
//! together.

use std::{
    error::Error,
    io,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    task::{Context, Poll},
    time::Duration,
};

use async_compression::{
    tokio::bufread::{GzipDecoder, ZstdDecoder},
    zstd::DParameter,
};
use axum::{
    body::{Body, HttpBody},
    extract::{Request, State},
    http::{HeaderMap, HeaderValue, header, request::Parts},
    middleware::Next,
    response::{IntoResponse, Response},
};
use bytes::Bytes;
use futures::{StreamExt, TryStreamExt};
use hyper::body::{Frame, SizeHint};
use tokio::{
    io::AsyncRead,
    time::{Instant, Sleep, sleep},
};
use tokio_util::io::{ReaderStream, StreamReader};

use super::headers::{
    self, BATCH_LIMIT, DRAIN_LIMIT, Format, JOB_LIMIT, announced_length, has_idempotency_key, too_large,
};
use crate::answer::{Problem, Type};

/// What the bodies of all requests together may take.
const MEMORY: usize = 256 << 20;
/// A body that is read whole takes its own length, and about as much for what is made of it.
const LENGTHS: usize = 2;
/// A stream of lines takes no more than its longest line, and what is made of that.
const STREAM: usize = 3 * JOB_LIMIT;
/// So long a body may make us wait before its first MiB is there, and before each further one.
const PATIENCE: Duration = Duration::from_secs(30);
const MIB: usize = 1 << 20;
/// The largest window that a packed body may ask for, as a power of two: 8 MiB, as zstd takes it for all but its highest levels.
const WINDOW_LOG: u32 = 23;
const PIECE: usize = 64 << 10;
/// The codings that are read, as the header `Accept-Encoding` of a refusal names them.
const CODINGS: HeaderValue = HeaderValue::from_static("gzip, zstd");

/// Memory for the bodies of requests.
#[derive(Debug)]
pub(crate) struct Budget {
    limit: usize,
    used: AtomicUsize,
}

/// What one request has of it, until it is dropped.
#[derive(Debug)]
struct Hold {
    budget: Arc<Budget>,
    bytes: AtomicUsize,
}

impl Budget {
    pub(crate) fn new() -> Arc<Self> {
        Self::of(MEMORY)
    }

    fn of(limit: usize) -> Arc<Self> {
        Arc::new(Self { limit, used: AtomicUsize::new(0) })
    }
}

impl Hold {
    fn new(budget: &Arc<Budget>) -> Arc<Self> {
        Arc::new(Self { budget: budget.clone(), bytes: AtomicUsize::new(0) })
    }

    /// Takes what is lacking to `bytes`; false when there is not so much.
    fn grow_to(&self, bytes: usize) -> bool {
        let lacking = bytes.saturating_sub(self.bytes.load(Ordering::Relaxed));
        let Budget { limit, used } = &*self.budget;
        let add = |used: usize| used.checked_add(lacking).filter(|sum| sum <= limit);
        let taken = used.fetch_update(Ordering::Relaxed, Ordering::Relaxed, add).is_ok();
        if taken {
            self.bytes.fetch_add(lacking, Ordering::Relaxed);
        }
        taken
    }

    fn give_back(&self) {
        self.budget.used.fetch_sub(self.bytes.swap(0, Ordering::Relaxed), Ordering::Relaxed);
    }
}

impl Drop for Hold {
    fn drop(&mut self) {
        self.give_back();
    }
}

/// The memory of a request's body: kept as long as what was read of it.
#[derive(Debug, Clone)]
pub(crate) struct Memory {
    _hold: Arc<Hold>,
}

/// Why the rest of a body is not read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
enum Refusal {
    #[error("it did not come in time")]
    Late,
    #[error("there is no memory for it")]
    Overloaded,
    #[error("unpacked it is too large")]
    Bomb,
    #[error("it cannot be unpacked")]
    Damaged,
}

/// The problem that keeps a body from being read.
pub(crate) fn problem_of(error: &axum::Error) -> Problem {
    let mut cause: Option<&(dyn Error + 'static)> = Some(error);
    while let Some(error) = cause {
        let in_io = error.downcast_ref::<io::Error>().and_then(io::Error::get_ref);
        if let Some(refusal) = error.downcast_ref().or_else(|| in_io.and_then(|error| error.downcast_ref())) {
            return refusal_of(*refusal);
        }
        cause = error.source();
    }
    Problem::new(Type::Malformed, format!("the body was cut off: {error}"))
}

fn refusal_of(refusal: Refusal) -> Problem {
    match refusal {
        Refusal::Late => {
            let detail = format!("the body did not come in time: {} s for each MB", PATIENCE.as_secs());
            Problem::new(Type::RequestTimeout, detail)
        }
        Refusal::Overloaded => Problem::new(
            Type::Overloaded,
            "so many large requests are read at this moment that there is no memory for this one; try again in a few seconds",
        ),
        Refusal::Bomb => too_large(BATCH_LIMIT),
        Refusal::Damaged => {
            Problem::new(Type::Malformed, "the body is not what the header Content-Encoding says, or it is cut off")
        }
    }
}

/// Unpacks the body, and refuses one that comes too slowly or for which there is no memory.
pub(crate) async fn guard(State(budget): State<Arc<Budget>>, request: Request, next: Next) -> Response {
    if request.body().is_end_stream() {
        return next.run(request).await;
    }
    let (mut parts, body) = request.into_parts();
    let coding = match Coding::of(&parts.headers) {
        Ok(coding) => coding,
        Err(problem) => return ([(header::ACCEPT_ENCODING, CODINGS)], problem).into_response(),
    };
    let is_stream = is_stream(&parts);
    let mut body = Body::new(Timed::new(body, is_stream));
    let mut announced = announced_length(&parts.headers);
    if let Some(coding) = coding {
        body = coding.unpack(body);
        announced = None;
        parts.headers.remove(header::CONTENT_ENCODING);
        parts.headers.remove(header::CONTENT_LENGTH);
    }
    let hold = Hold::new(&budget);
    // For what goes on after the answer has begun.
    parts.extensions.insert(Memory { _hold: hold.clone() });
    // Of a body that is read whole, its own length is more than what unpacking takes.
    let need = if is_stream { STREAM + coding.map_or(0, Coding::window) } else { 0 };
    let counted =
        Counted { body, hold: hold.clone(), length: 0, announced, need, is_packed: coding.is_some(), is_over: false };
    let response = next.run(Request::from_parts(parts, Body::new(counted))).await;
    // Held until here, because what was made of the body takes memory too. A stream has its own share in its body.
    drop(hold);
    response
}

/// Whether the body is answered while it is read. Lines of products are read whole.
fn is_stream(parts: &Parts) -> bool {
    let is_lines = headers::format(&parts.headers) == Some(Format::NdJson);
    is_lines && !has_idempotency_key(&parts.headers) && !parts.uri.path().ends_with("/products")
}

/// What a body is packed in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Coding {
    Gzip,
    Zstd,
}

impl Coding {
    /// `None` for a body that is as it is.
    fn of(headers: &HeaderMap) -> Result<Option<Self>, Problem> {
        let values = headers.get_all(header::CONTENT_ENCODING).iter().map(|value| value.to_str().unwrap_or("?"));
        let names: Vec<_> =
            values.flat_map(|value| value.split(',')).map(|name| name.trim().to_ascii_lowercase()).collect();
        let names: Vec<_> = names.iter().map(String::as_str).filter(|name| !["", "identity"].contains(name)).collect();
        match names[..] {
            [] => Ok(None),
            ["gzip" | "x-gzip"] => Ok(Some(Self::Gzip)),
            ["zstd"] => Ok(Some(Self::Zstd)),
            _ => {
                let detail = "the header Content-Encoding must be gzip or zstd, once, or absent";
                Err(Problem::new(Type::UnsupportedFormat, detail))
            }
        }
    }

    /// What unpacking keeps of what it has unpacked.
    fn window(self) -> usize {
        match self {
            Self::Gzip => 32 << 10,
            Self::Zstd => 1 << WINDOW_LOG,
        }
    }

    fn unpack(self, body: Body) -> Body {
        let packed = StreamReader::new(body.into_data_stream().map_err(io::Error::other));
        let reader: Pin<Box<dyn AsyncRead + Send>> = match self {
            Self::Gzip => {
                let mut reader = GzipDecoder::new(packed);
                reader.multiple_members(true);
                Box::pin(reader)
            }
            Self::Zstd => {
                let mut reader = ZstdDecoder::with_params(packed, &[DParameter::window_log_max(WINDOW_LOG)]);
                reader.multiple_members(true);
                Box::pin(reader)
            }
        };
        let pieces = ReaderStream::with_capacity(reader, PIECE).map_err(|error| {
            // What went wrong below says so itself; all else is the packing.
            if error.get_ref().is_some_and(|inner| inner.is::<axum::Error>()) {
                error
            } else {
                io::Error::other(Refusal::Damaged)
            }
        });
        // What has come may become a thousand times as much: others have their turn after each piece.
        Body::from_stream(pieces.then(|piece| async {
            tokio::task::yield_now().await;
            piece
        }))
    }
}

/// A body that has to come in time. Time in which nobody reads it does not count.
struct Timed {
    body: Body,
    is_stream: bool,
    received: usize,
    /// What is left of the time to wait.
    left: Duration,
    waits_since: Option<Instant>,
    alarm: Pin<Box<Sleep>>,
}

impl Timed {
    fn new(body: Body, is_stream: bool) -> Self {
        Self { body, is_stream, received: 0, left: PATIENCE, waits_since: None, alarm: Box::pin(sleep(PATIENCE)) }
    }
}

impl HttpBody for Timed {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        if let Poll::Ready(frame) = Pin::new(&mut self.body).poll_frame(context) {
            if let Some(since) = self.waits_since.take() {
                self.left = self.left.saturating_sub(since.elapsed());
            }
            let length = frame.as_ref().and_then(|frame| frame.as_ref().ok()?.data_ref()).map_or(0, Bytes::len);
            let before = self.received / MIB;
            self.received += length;
            if self.is_stream {
                self.left = PATIENCE;
            } else {
                let more = u32::try_from(self.received / MIB - before).unwrap_or(u32::MAX);
                self.left += PATIENCE * more;
            }
            return Poll::Ready(frame);
        }
        if self.waits_since.is_none() {
            let now = Instant::now();
            self.waits_since = Some(now);
            let until = now + self.left;
            self.alarm.as_mut().reset(until);
        }
        match self.alarm.as_mut().poll(context) {
            Poll::Ready(()) => Poll::Ready(Some(Err(axum::Error::new(Refusal::Late)))),
            Poll::Pending => Poll::Pending,
        }
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// A body whose memory is counted.
struct Counted {
    body: Body,
    hold: Arc<Hold>,
    length: usize,
    /// What the client says it will send.
    announced: Option<usize>,
    /// What it takes at least.
    need: usize,
    is_packed: bool,
    /// There is no memory for it: the rest is thrown away, so that the client reads the answer.
    is_over: bool,
}

impl Counted {
    /// Whether there is memory for all so far, and for what was announced. What is read of a body that is too large is not kept.
    fn fits(&mut self) -> bool {
        let is_stream = self.need > 0;
        let length = self.length.max(self.announced.unwrap_or(0)).min(BATCH_LIMIT);
        self.hold.grow_to(if is_stream { self.need } else { length * LENGTHS })
    }
}

impl HttpBody for Counted {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        let refused = |refusal| Poll::Ready(Some(Err(axum::Error::new(refusal))));
        loop {
            if !self.is_over && !self.fits() {
                self.is_over = true;
                self.hold.give_back();
            }
            let frame = match Pin::new(&mut self.body).poll_frame(context) {
                Poll::Ready(frame) => frame,
                Poll::Pending => return Poll::Pending,
            };
            let Some(Ok(piece)) = &frame else {
                return match frame {
                    None if self.is_over => refused(Refusal::Overloaded),
                    frame => Poll::Ready(frame),
                };
            };
            self.length += piece.data_ref().map_or(0, Bytes::len);
            if self.is_packed && self.length > BATCH_LIMIT {
                return refused(Refusal::Bomb);
            }
            if self.is_over && self.length > DRAIN_LIMIT {
                return refused(Refusal::Overloaded);
            }
            if !self.is_over {
                return Poll::Ready(frame);
            }
        }
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

#[cfg(test)]
mod tests {
    use async_compression::{
        Level,
        tokio::bufread::{GzipEncoder, ZstdEncoder},
        zstd::CParameter,
    };
    use axum::{Router, middleware, routing::post};
    use futures::stream;
    use tokio::io::AsyncReadExt;
    use tower::ServiceExt;

    use super::*;

    /// Answers with the length of the body, once `gate` lets it.
    fn api(budget: Arc<Budget>, gate: Arc<tokio::sync::Semaphore>) -> Router {
        let read = async move |headers: HeaderMap, body: Body| {
            let read = crate::request::read(&headers, body, BATCH_LIMIT).await?;
            let _pass = gate.acquire().await;
            Ok::<_, Problem>(format!("{} {}", read.len(), headers.contains_key(header::CONTENT_LENGTH)))
        };
        Router::new().route("/", post(read)).layer(middleware::from_fn_with_state(budget, guard))
    }

    fn open() -> Arc<tokio::sync::Semaphore> {
        Arc::new(tokio::sync::Semaphore::new(100))
    }

    async fn ask(api: Router, coding: &str, body: Body) -> (u16, String) {
        let request = Request::post("/").header(header::CONTENT_TYPE, "application/json");
        let request = if coding.is_empty() { request } else { request.header(header::CONTENT_ENCODING, coding) };
        let length = body.size_hint().exact();
        let request = if let Some(length) = length { request.header(header::CONTENT_LENGTH, length) } else { request };
        let response = api.oneshot(request.body(body).unwrap()).await.unwrap();
        let status = response.status().as_u16();
        let text = axum::body::to_bytes(response.into_body(), usize::MAX).await.unwrap();
        (status, String::from_utf8_lossy(&text).into_owned())
    }

    async fn packed(coding: &str, text: &[u8]) -> Vec<u8> {
        let mut bytes = Vec::new();
        if coding == "gzip" {
            GzipEncoder::new(text).read_to_end(&mut bytes).await.unwrap();
        } else {
            ZstdEncoder::new(text).read_to_end(&mut bytes).await.unwrap();
        }
        bytes
    }

    #[tokio::test]
    async fn a_packed_body_is_unpacked_and_another_coding_is_refused() {
        let api = api(Budget::new(), open());
        for coding in ["gzip", "zstd"] {
            let body = packed(coding, b"twelve bytes").await;
            assert_eq!(ask(api.clone(), coding, body.clone().into()).await, (200, "12 false".to_owned()), "{coding}");
            // In several pieces, as some programs write it.
            let twice = [body.clone(), body.clone()].concat();
            assert_eq!(ask(api.clone(), coding, twice.into()).await.1, "24 false", "{coding}");
            let cut = body[..body.len() - 3].to_vec();
            let (status, text) = ask(api.clone(), coding, cut.into()).await;
            assert_eq!(status, 400, "{coding}: {text}");
            let (status, text) = ask(api.clone(), coding, "plain".into()).await;
            assert!(status == 400 && text.contains("Content-Encoding"), "{coding}: {text}");
        }
        assert_eq!(ask(api.clone(), "identity", "abc".into()).await.0, 200);
        for coding in ["br", "gzip, gzip", "deflate"] {
            let (status, text) = ask(api.clone(), coding, "abc".into()).await;
            assert!(status == 415 && text.contains("gzip or zstd"), "{coding}: {text}");
        }
    }

    #[tokio::test]
    async fn a_bomb_is_refused() {
        let api = api(Budget::new(), open());
        for coding in ["gzip", "zstd"] {
            let bomb = packed(coding, &vec![b' '; BATCH_LIMIT + 1]).await;
            assert!(bomb.len() < 64 << 10, "{coding}: {}", bomb.len());
            let (status, text) = ask(api.clone(), coding, bomb.into()).await;
            assert!(status == 413 && text.contains("too-large"), "{coding}: {text}");
        }
        // A few bytes that ask for a window of 16 MiB, which they do not need.
        let mut wide = Vec::new();
        let window = [CParameter::window_log(WINDOW_LOG + 1)];
        ZstdEncoder::with_quality_and_params(&b"twelve bytes"[..], Level::Default, &window)
            .read_to_end(&mut wide)
            .await
            .unwrap();
        let (status, text) = ask(api, "zstd", wide.into()).await;
        assert_eq!(status, 400, "{text}");
    }

    #[tokio::test]
    async fn others_have_their_turn_while_a_body_is_unpacked() {
        for coding in ["gzip", "zstd"] {
            let body = packed(coding, &vec![b' '; BATCH_LIMIT]).await;
            let turns = Arc::new(AtomicUsize::new(0));
            let counted = turns.clone();
            let other = tokio::spawn(async move {
                loop {
                    counted.fetch_add(1, Ordering::Relaxed);
                    tokio::task::yield_now().await;
                }
            });
            assert_eq!(ask(api(Budget::new(), open()), coding, body.into()).await.0, 200);
            other.abort();
            let turns = turns.load(Ordering::Relaxed);
            assert!(turns >= BATCH_LIMIT / PIECE, "{coding}: {turns}");
        }
    }

    #[tokio::test]
    async fn the_memory_of_a_packed_stream_counts_what_unpacking_takes() {
        let budget = Budget::new();
        let request = Request::post("/")
            .header(header::CONTENT_TYPE, "application/x-ndjson")
            .header(header::CONTENT_ENCODING, "zstd")
            .body(Body::from_stream(stream::pending::<io::Result<Bytes>>()));
        let mut reading = std::pin::pin!(api(budget.clone(), open()).oneshot(request.unwrap()));
        assert!(futures::poll!(reading.as_mut()).is_pending());
        assert_eq!(budget.used.load(Ordering::Relaxed), STREAM + (8 << 20));
    }

    #[test]
    fn lines_of_products_are_no_stream() {
        let is_stream = |path: &str, kind: &str| {
            is_stream(&Request::post(path).header(header::CONTENT_TYPE, kind).body(()).unwrap().into_parts().0)
        };
        assert!(is_stream("/api/jobs/batch", "application/x-ndjson"));
        assert!(!is_stream("/api/jobs/batch", "application/json"));
        assert!(!is_stream("/api/stores/main/products", "application/x-ndjson"));
    }

    #[tokio::test]
    async fn what_all_requests_together_may_take_is_bounded() {
        let (budget, gate) = (Budget::of(2_000), Arc::new(tokio::sync::Semaphore::new(0)));
        let api = api(budget.clone(), gate.clone());
        let mut first = std::pin::pin!(ask(api.clone(), "", vec![b'x'; 600].into()));
        assert!(futures::poll!(first.as_mut()).is_pending(), "it waits in its handler");
        assert_eq!(budget.used.load(Ordering::Relaxed), 1_200);
        let (status, text) = ask(api.clone(), "", vec![b'x'; 600].into()).await;
        assert!(status == 503 && text.contains("problems/overloaded"), "{text}");
        // What it announces counts, and not only what has come.
        let chunks = stream::iter([Ok::<_, io::Error>("x")]).chain(stream::pending());
        let request = Request::post("/").header(header::CONTENT_LENGTH, 500).body(Body::from_stream(chunks)).unwrap();
        let mut announced = std::pin::pin!(api.clone().oneshot(request));
        assert!(futures::poll!(announced.as_mut()).is_pending());
        assert_eq!(budget.used.load(Ordering::Relaxed), 1_200, "1,000 more do not fit");
        gate.add_permits(2);
        assert_eq!(first.await.0, 200);
        assert_eq!(budget.used.load(Ordering::Relaxed), 0, "all is given back");
        assert_eq!(ask(api, "", vec![b'x'; 600].into()).await.0, 200);
    }

    #[tokio::test(start_paused = true)]
    async fn a_body_has_30_s_for_each_mib() {
        let api = api(Budget::new(), open());
        let began = Instant::now();
        let stalled = stream::iter([Ok::<_, io::Error>("[")]).chain(stream::pending());
        let (status, text) = ask(api.clone(), "", Body::from_stream(stalled)).await;
        assert!(status == 408 && text.contains("problems/request-timeout"), "{text}");
        assert_eq!(began.elapsed().as_secs(), 30);

        let dripping = stream::iter(0..40).then(async |_| {
            sleep(Duration::from_secs(1)).await;
            Ok::<_, io::Error>("x")
        });
        let began = Instant::now();
        assert_eq!(ask(api.clone(), "", Body::from_stream(dripping)).await.0, 408);
        assert_eq!(began.elapsed().as_secs(), 30, "a byte a second keeps nothing open");

        let slow = stream::iter(0..8).then(async |_| {
            sleep(Duration::from_secs(25)).await;
            Ok::<_, io::Error>(vec![b'x'; MIB])
        });
        assert_eq!(ask(api, "", Body::from_stream(slow)).await.0, 200, "it goes on");
    }
}
