//! The least that a route does: a yardstick for the others. It is in no API, only where the API is measured.

use axum::{Router, body::Body, http::HeaderMap, routing::post};

use crate::{answer::Problem, auth::Caller, request, state::App};

/// Where it is.
pub const LEAST: &str = "/least";

/// One route at [`LEAST`] that checks the token, reads the body and answers a constant.
pub fn least() -> Router<App> {
    Router::new().route(LEAST, post(answer))
}

async fn answer(_: Caller, headers: HeaderMap, body: Body) -> Result<&'static str, Problem> {
    request::read(&headers, body, request::JOB_LIMIT).await?;
    Ok("ok")
}
