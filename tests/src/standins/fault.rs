//! What all stand-ins share: the server in front of a vendor's routes, which counts requests and fails as it is told to.
//!
//! A fault is set in process with [`Faults`], or from outside:
//! - `PUT /_fault` with `{"fault": "status", "status": 429, "headers": {"retry-after": "2"}}`, and optionally `"times": 3` (the next
//!   three requests; absent: until told otherwise) and `"path": "/v1/responses"` (only paths that begin so; a method may stand before, `"POST /v1"`);
//! - `DELETE /_fault` makes it whole again, `GET /_fault` tells what is in force;
//! - `GET /_requests` tells what was asked how often, and the last requests.

use std::{
    collections::{BTreeMap, VecDeque},
    convert::Infallible,
    io,
    net::SocketAddr,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use axum::{
    Json, Router,
    body::{Body, to_bytes},
    http::{HeaderName, HeaderValue, Method, Request, StatusCode, header},
    response::{Html, IntoResponse, Response},
};
use bytes::Bytes;
use futures::{StreamExt, stream};
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::TokioIo;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::watch,
    task::{JoinHandle, JoinSet},
};
use tower::ServiceExt;

/// So many of the last requests are kept with their answers; counts go on for ever.
const MOST_KEPT: usize = 1_000;
const MOST_BODY_BYTES: usize = 64 * 1024 * 1024;
/// The page of some proxy.
const PAGE: &str = "<html><body>please log in to the proxy</body></html>";

/// What becomes of a request in place of the usual answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "fault", rename_all = "snake_case")]
pub enum Fault {
    /// Nothing is carried out; this is answered.
    Status {
        /// The status code.
        status: u16,
        /// Headers by name.
        #[serde(default)]
        headers: BTreeMap<String, String>,
        /// The body; its type is JSON when it begins like JSON, unless a header says otherwise.
        #[serde(default)]
        body: String,
    },
    /// Carried out at once, answered so much later.
    Delay {
        /// Milliseconds.
        ms: u64,
    },
    /// Read, not carried out, never answered.
    Hang,
    /// Carried out, never answered.
    HangAfter,
    /// Carried out; half of the answer's body arrives, then the connection closes.
    HalfBody,
    /// The connection closes before the request's body is read; nothing is carried out.
    DropBefore,
    /// Carried out; the connection closes instead of an answer.
    DropAfter,
    /// Carried out; a proxy's page arrives instead, with the answer's status.
    WrongType,
}

impl Fault {
    /// A bare status.
    #[must_use]
    pub fn status(status: u16) -> Self {
        Self::Status { status, headers: BTreeMap::new(), body: String::new() }
    }

    /// A status with `Retry-After`, in seconds.
    #[must_use]
    pub fn retry_after(status: u16, seconds: u64) -> Self {
        let headers = BTreeMap::from([("retry-after".to_owned(), seconds.to_string())]);
        Self::Status { status, headers, body: String::new() }
    }
}

/// A fault with its limits, as `PUT /_fault` takes it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Order {
    #[serde(flatten)]
    fault: Fault,
    /// For so many requests; absent: until told otherwise.
    #[serde(default)]
    times: Option<usize>,
    /// Only for paths that begin so; a method may stand before.
    #[serde(default)]
    path: Option<String>,
    /// So many requests that it is meant for pass before.
    #[serde(default)]
    skip: usize,
}

/// What a response was about: a routes' handler puts it into a response's extensions, and [`Faults::n_answered`] counts it when
/// the whole answer goes out.
#[derive(Debug, Clone)]
pub struct About(pub String);

/// One request that came.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Seen {
    /// `GET`, `POST`, …
    pub method: String,
    /// With the query.
    pub path: String,
    /// The status that went out; `None` while there is none, and when the connection was dropped.
    pub status: Option<u16>,
    /// What became of it in place of the usual answer.
    pub fault: Option<Fault>,
}

/// What to fail, and what came. Clones are the same.
#[derive(Debug, Clone, Default)]
pub struct Faults(Arc<Mutex<State>>);

#[derive(Debug, Default)]
struct State {
    next: VecDeque<Order>,
    always: Option<Order>,
    n_requests: usize,
    counts: BTreeMap<String, usize>,
    answered: BTreeMap<String, usize>,
    last: VecDeque<Seen>,
    n_under_way: usize,
    most_at_once: usize,
    n_hanging: watch::Sender<usize>,
}

/// A request that is under way.
struct UnderWay<'a>(&'a Faults);

impl<'a> UnderWay<'a> {
    fn begin(faults: &'a Faults) -> Self {
        let mut state = faults.state();
        state.n_under_way += 1;
        state.most_at_once = state.most_at_once.max(state.n_under_way);
        Self(faults)
    }
}

impl Drop for UnderWay<'_> {
    fn drop(&mut self) {
        self.0.state().n_under_way -= 1;
    }
}

impl Faults {
    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Fails the next `n` requests, after those already told.
    pub fn next(&self, n: usize, fault: Fault) {
        self.order(Order { fault, times: Some(n), path: None, skip: 0 });
    }

    /// Fails every request until told otherwise.
    pub fn always(&self, fault: Fault) {
        self.order(Order { fault, times: None, path: None, skip: 0 });
    }

    /// Fails the next `n` requests whose path begins with `path`, which may have a method before it, as in `POST /v1/customers`; `None`: all
    /// until told otherwise.
    pub fn on(&self, path: &str, n: Option<usize>, fault: Fault) {
        self.order(Order { fault, times: n, path: Some(path.to_owned()), skip: 0 });
    }

    /// Fails the `n`th request from now, counted from 1.
    pub fn nth(&self, n: usize, fault: Fault) {
        self.order(Order { fault, times: Some(1), path: None, skip: n.saturating_sub(1) });
    }

    /// Whether all faults that were told for a number of requests have been met.
    #[must_use]
    pub fn all_met(&self) -> bool {
        self.state().next.is_empty()
    }

    fn order(&self, order: Order) {
        let mut state = self.state();
        match order.times {
            None => state.always = Some(order),
            Some(0) => {}
            Some(_) => state.next.push_back(order),
        }
    }

    /// Waits until a request hangs, as told; those that did so before this call do not count.
    pub fn hangs(&self) -> impl Future<Output = ()> + Send + use<> {
        let mut n_hanging = self.state().n_hanging.subscribe();
        async move {
            if n_hanging.changed().await.is_err() {
                std::future::pending::<()>().await;
            }
        }
    }

    /// How many requests hang or hung, as told.
    #[must_use]
    pub fn n_hanging(&self) -> usize {
        *self.state().n_hanging.borrow()
    }

    /// A request was read, and carried out if it is to be; nobody will hear of it.
    async fn hang(&self) -> ! {
        self.state().n_hanging.send_modify(|n| *n += 1);
        std::future::pending().await
    }

    /// Everything is answered well from now on. What hangs already goes on hanging.
    pub fn recover(&self) {
        let mut state = self.state();
        state.next.clear();
        state.always = None;
    }

    /// How many requests came, failed ones included; those to `/_fault` and `/_requests` do not count.
    #[must_use]
    pub fn n_requests(&self) -> usize {
        self.state().n_requests
    }

    /// How many requests there were at the same time, at most.
    #[must_use]
    pub fn most_at_once(&self) -> usize {
        self.state().most_at_once
    }

    /// How often this was asked, as in `POST /v1/responses` (no query), failed ones included.
    #[must_use]
    pub fn n_asked(&self, method_and_path: &str) -> usize {
        self.state().counts.get(method_and_path).copied().unwrap_or(0)
    }

    /// How many whole, good answers went out about this: a product's id, a SKU, …
    #[must_use]
    pub fn n_answered(&self, about: &str) -> usize {
        self.state().answered.get(about).copied().unwrap_or(0)
    }

    /// All counts of [`Faults::n_answered`].
    #[must_use]
    pub fn answered(&self) -> BTreeMap<String, usize> {
        self.state().answered.clone()
    }

    /// The last requests, oldest first; at most 1,000.
    #[must_use]
    pub fn last(&self) -> Vec<Seen> {
        self.state().last.iter().cloned().collect()
    }

    /// Notes a request: its number, counted from 1, and the fault that is meant for it.
    fn take(&self, method: &Method, path: &str, query: Option<&str>) -> (usize, Option<Fault>) {
        let mut state = self.state();
        state.n_requests += 1;
        let with_method = format!("{method} {path}");
        *state.counts.entry(with_method.clone()).or_default() += 1;
        let is_meant = |order: &Order| {
            let begins = |prefix: &str| path.starts_with(prefix) || with_method.starts_with(prefix);
            order.path.as_deref().is_none_or(begins)
        };
        let fault = match state.next.iter().position(is_meant) {
            Some(index) if state.next[index].skip > 0 => {
                state.next[index].skip -= 1;
                None
            }
            Some(index) => {
                let order = &mut state.next[index];
                let fault = order.fault.clone();
                let left = order.times.unwrap_or(1) - 1;
                order.times = Some(left);
                if left == 0 {
                    state.next.remove(index);
                }
                Some(fault)
            }
            None => state.always.clone().filter(is_meant).map(|order| order.fault),
        };
        let path = query.map_or_else(|| path.to_owned(), |query| format!("{path}?{query}"));
        if state.last.len() == MOST_KEPT {
            state.last.pop_front();
        }
        state.last.push_back(Seen { method: method.to_string(), path, status: None, fault: fault.clone() });
        (state.n_requests, fault)
    }

    /// Notes what went out for the request of this number.
    fn note(&self, number: usize, response: &Response, is_whole: bool) {
        let mut state = self.state();
        let ago = state.n_requests - number;
        if let Some(index) = state.last.len().checked_sub(ago + 1) {
            state.last[index].status = Some(response.status().as_u16());
        }
        if let Some(About(what)) = response.extensions().get().filter(|_| is_whole && response.status().is_success()) {
            *state.answered.entry(what.clone()).or_default() += 1;
        }
    }
}

/// A vendor's routes behind the faults, on loopback; ends with all its connections when it is dropped.
#[derive(Debug)]
pub struct Front {
    address: SocketAddr,
    faults: Faults,
    server: JoinHandle<()>,
}

impl Front {
    /// Starts it; port 0 is a free one.
    ///
    /// # Errors
    /// When the port cannot be bound.
    pub async fn start(port: u16, routes: Router) -> anyhow::Result<Self> {
        Self::on(std::net::TcpListener::bind(("127.0.0.1", port))?, routes)
    }

    /// Starts it on a port that is bound already, for a vendor whose routes need to know it.
    ///
    /// # Errors
    /// When the listener cannot be used.
    pub fn on(listener: std::net::TcpListener, routes: Router) -> anyhow::Result<Self> {
        listener.set_nonblocking(true)?;
        let listener = TcpListener::from_std(listener)?;
        let (address, faults) = (listener.local_addr()?, Faults::default());
        let server = tokio::spawn(accept(listener, routes, faults.clone()));
        Ok(Self { address, faults, server })
    }

    /// `http://127.0.0.1:PORT`.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Its faults and counts.
    #[must_use]
    pub fn faults(&self) -> &Faults {
        &self.faults
    }
}

impl Drop for Front {
    fn drop(&mut self) {
        self.server.abort();
    }
}

async fn accept(listener: TcpListener, routes: Router, faults: Faults) {
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => {
                if let Ok((stream, _)) = accepted {
                    connections.spawn(serve(stream, routes.clone(), faults.clone()));
                }
            }
            Some(_) = connections.join_next() => {}
        }
    }
}

async fn serve(stream: TcpStream, routes: Router, faults: Faults) {
    let service = service_fn(move |request: Request<Incoming>| {
        let (routes, faults) = (routes.clone(), faults.clone());
        async move { answer(request.map(Body::new), routes, &faults).await }
    });
    // An error here is a connection that was dropped, by us or by the client.
    let _ = http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
}

/// Hyper closes a connection whose service fails, without an answer.
fn dropped() -> io::Error {
    io::Error::other("dropped, as told")
}

async fn answer(request: Request<Body>, routes: Router, faults: &Faults) -> io::Result<Response> {
    let (method, path) = (request.method().clone(), request.uri().path().to_owned());
    if path == "/_fault" || path == "/_requests" {
        return Ok(control(request, faults).await);
    }
    let _under_way = UnderWay::begin(faults);
    let (number, fault) = faults.take(&method, &path, request.uri().query());
    if fault == Some(Fault::DropBefore) {
        return Err(dropped());
    }
    if matches!(fault, Some(Fault::Status { .. } | Fault::Hang)) {
        // A client that is still sending would take the answer for a reset.
        let _ = to_bytes(request.into_body(), MOST_BODY_BYTES).await;
        let Some(Fault::Status { status, headers, body }) = fault else { faults.hang().await };
        let response = told(status, &headers, body);
        faults.note(number, &response, true);
        return Ok(response);
    }
    let response = match routes.oneshot(request).await {
        Ok(response) => response,
        Err(never) => match never as Infallible {},
    };
    let response = match &fault {
        Some(Fault::DropAfter) => return Err(dropped()),
        Some(Fault::HangAfter) => faults.hang().await,
        Some(Fault::Delay { ms }) => {
            tokio::time::sleep(Duration::from_millis(*ms)).await;
            response
        }
        Some(Fault::HalfBody) => half(response).await,
        Some(Fault::WrongType) => (response.status(), Html(PAGE)).into_response(),
        _ => response,
    };
    faults.note(number, &response, !matches!(fault, Some(Fault::HalfBody | Fault::WrongType)));
    Ok(response)
}

fn told(status: u16, headers: &BTreeMap<String, String>, body: String) -> Response {
    let is_json = body.starts_with(['{', '[']);
    let mut response = Response::new(Body::from(body));
    *response.status_mut() = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    if is_json {
        response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    }
    for (name, value) in headers {
        if let (Ok(name), Ok(value)) = (HeaderName::try_from(name), HeaderValue::try_from(value)) {
            response.headers_mut().insert(name, value);
        }
    }
    response
}

/// The same head, with the length of the whole body, and half of it.
async fn half(response: Response) -> Response {
    let (mut head, body) = response.into_parts();
    let body = to_bytes(body, MOST_BODY_BYTES).await.unwrap_or_default();
    let promised = body.len().max(2);
    head.headers.insert(header::CONTENT_LENGTH, HeaderValue::from(promised));
    let first = stream::iter([Ok::<Bytes, io::Error>(body.slice(..body.len() / 2))]);
    let cut = stream::once(async {
        // While the body is pending, Hyper sends what it has; an error at once would take the head along.
        tokio::task::yield_now().await;
        Err(io::Error::other("cut, as told"))
    });
    Response::from_parts(head, Body::from_stream(first.chain(cut)))
}

async fn control(request: Request<Body>, faults: &Faults) -> Response {
    let (method, is_fault) = (request.method().clone(), request.uri().path() == "/_fault");
    match (method.as_str(), is_fault) {
        ("PUT", true) => {
            let body = to_bytes(request.into_body(), MOST_BODY_BYTES).await.unwrap_or_default();
            match order(&body) {
                Ok(Some(order)) => faults.order(order),
                Ok(None) => faults.recover(),
                Err(reason) => return (StatusCode::BAD_REQUEST, Json(json!({ "error": reason }))).into_response(),
            }
        }
        ("DELETE", true) => faults.recover(),
        ("GET", true) => {}
        ("GET", false) => {
            let state = faults.state();
            return Json(json!({
                "requests": state.n_requests, "counts": state.counts, "answered": state.answered, "last": state.last,
            }))
            .into_response();
        }
        _ => return StatusCode::METHOD_NOT_ALLOWED.into_response(),
    }
    let state = faults.state();
    Json(json!({ "next": state.next, "until_told_otherwise": state.always })).into_response()
}

/// `{"fault": "none"}` is `None`: whole again.
fn order(body: &[u8]) -> Result<Option<Order>, String> {
    let value: Value = serde_json::from_slice(body).map_err(|error| format!("the body is no JSON: {error}"))?;
    let known = ["fault", "status", "headers", "body", "ms", "times", "path"];
    if let Some(name) = value.as_object().and_then(|fields| fields.keys().find(|name| !known.contains(&name.as_str())))
    {
        return Err(format!("no fault: unknown field {name:?}; there are {}", known.join(", ")));
    }
    if value["fault"] == "none" {
        return Ok(None);
    }
    let order: Order = serde_json::from_value(value).map_err(|error| {
        let known = "status, delay, hang, hang_after, half_body, drop_before, drop_after, wrong_type, none";
        format!("no fault: {error}; the field `fault` is one of {known}")
    })?;
    match order.fault {
        Fault::Status { status, .. } if !(200..600).contains(&status) => {
            Err(format!("{status} is no status of an answer"))
        }
        _ => Ok(Some(order)),
    }
}
