//! Around every request: its id, one line of log, its metrics.

use std::time::Instant;

use axum::{
    extract::{MatchedPath, Request},
    http::{HeaderName, HeaderValue},
    middleware::Next,
    response::{IntoResponse, Response},
};
use uuid::Uuid;

use crate::{answer::Problem, metrics};

const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
const ID_AT_MOST: usize = 128;

/// The id of a request: the caller's, or a new one.
#[derive(Debug, Clone)]
pub(crate) struct RequestId(pub(crate) String);

/// Gives the request an id, and when it is answered logs and counts it. A problem gets the id too.
pub(crate) async fn observe(mut request: Request, next: Next) -> Response {
    let started = Instant::now();
    let id = request_id(&request);
    let method = request.method().clone();
    let path = request.extensions().get::<MatchedPath>().cloned();
    // What callers make up must not become a label: the number of labels has to stay small.
    let path = path.as_ref().map_or("unmatched", MatchedPath::as_str);
    request.extensions_mut().insert(RequestId(id.clone()));

    let mut response = next.run(request).await;
    if let Some(problem) = response.extensions_mut().remove::<Problem>() {
        let body = problem.with_request_id(&id).into_response().into_body();
        response.headers_mut().remove(axum::http::header::CONTENT_LENGTH);
        *response.body_mut() = body;
    }
    if let Ok(value) = HeaderValue::from_str(&id) {
        response.headers_mut().insert(REQUEST_ID, value);
    }
    let status = response.status().as_u16();
    let duration = started.elapsed();
    metrics::request(&method, path, status, duration);
    tracing::info!(
        request.id = id,
        http.method = %method,
        http.path = path,
        http.status = status,
        duration_ms = duration.as_secs_f64() * 1_000.0,
        "request"
    );
    response
}

fn request_id(request: &Request) -> String {
    let given = request.headers().get(REQUEST_ID).and_then(|value| value.to_str().ok());
    let good =
        given.filter(|id| (1..=ID_AT_MOST).contains(&id.len()) && id.bytes().all(|byte| byte.is_ascii_graphic()));
    good.map_or_else(|| Uuid::now_v7().to_string(), str::to_owned)
}
