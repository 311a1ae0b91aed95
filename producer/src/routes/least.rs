//! The least that a route does: a yardstick for the others. It is in no API, only where the API is measured.

use axum::{Router, body::Body, http::HeaderMap, routing::post};

use crate::{answer::Problem, auth::Caller, request, state::App};

/// Where it is.
pub const LEAST: &str = "/least";

/// Where one without a token is.
pub const LEAST_OPEN: &str = "/least-open";

/// One route at [`LEAST`] that checks the token, reads the body and answers a constant, and one at [`LEAST_OPEN`] that needs no token.
pub fn least() -> Router<App> {
    Router::new().route(LEAST, post(answer)).route(LEAST_OPEN, post(answer_all))
}

async fn answer_all(headers: HeaderMap, body: Body) -> Result<&'static str, Problem> {
    request::read(&headers, body, request::JOB_LIMIT).await?;
    Ok("ok")
}

async fn answer(_: Caller, headers: HeaderMap, body: Body) -> Result<&'static str, Problem> {
    request::read(&headers, body, request::JOB_LIMIT).await?;
    Ok("ok")
}
