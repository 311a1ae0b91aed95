//! What a worker says of its health, beside its metrics.

use std::{sync::Arc, time::Duration};

use axum::{Json, Router, extract::State, http::StatusCode, response::IntoResponse, routing::get};
use queue::Client;
use serde_json::json;
use store::Store;
use tokio::time::timeout;

const PROBE_TIMEOUT: Duration = Duration::from_secs(3);

/// What the health answer looks at.
#[derive(Debug, Clone)]
pub(crate) struct Health {
    pub(crate) client: Client,
    pub(crate) store: Store,
    pub(crate) worker: Arc<str>,
}

impl Health {
    /// `/health`.
    pub(crate) fn router(self) -> Router {
        Router::new().route("/health", get(answer)).with_state(self)
    }
}

async fn answer(State(health): State<Health>) -> impl IntoResponse {
    let (redis, mongodb) =
        tokio::join!(timeout(PROBE_TIMEOUT, health.client.ping()), timeout(PROBE_TIMEOUT, health.store.ping()),);
    let redis = redis.ok().and_then(Result::ok);
    let mongodb = mongodb.ok().and_then(Result::ok);
    let (status, code) = match (redis, mongodb) {
        (Some(_), Some(_)) => ("ok", StatusCode::OK),
        (Some(_), None) => ("degraded", StatusCode::OK),
        _ => ("down", StatusCode::SERVICE_UNAVAILABLE),
    };
    let part =
        |latency: Option<Duration>| json!({ "ok": latency.is_some(), "latency_ms": latency.map(|l| l.as_millis()) });
    let body = json!({
        "status": status,
        "worker": &*health.worker,
        "version": env!("CARGO_PKG_VERSION"),
        "redis": part(redis),
        "mongodb": part(mongodb),
    });
    (code, Json(body))
}
