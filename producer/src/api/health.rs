//! Whether the process lives, whether it can work, and what is missing.

use std::{fmt::Display, time::Duration};

use axum::{Json, extract::State, http::StatusCode};
use serde::Serialize;
use tokio::time::timeout;
use utoipa::ToSchema;

use crate::app::App;

/// Longer than a healthy server ever takes, shorter than the patience of whoever asks.
const PROBE_TIMEOUT: Duration = Duration::from_secs(2);

/// How the whole stands.
#[derive(Serialize, ToSchema)]
pub(crate) struct Health {
    status: Status,
    /// Of this process.
    version: &'static str,
    /// The version of the tables of time zones, such as `2026f`.
    tzdata: String,
    redis: Part,
    mongodb: Part,
    /// Replicas that run jobs; null while Redis is away.
    workers: Option<u64>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "lowercase")]
enum Status {
    /// All is there.
    Ok,
    /// Jobs are taken, but MongoDB or every worker is missing.
    Degraded,
    /// No job is taken: Redis is away, full, or a replica.
    Down,
}

/// How one server answers.
#[derive(Serialize, ToSchema)]
pub(crate) struct Part {
    ok: bool,
    /// Null if it does not answer.
    latency_ms: Option<f64>,
    /// Why it does not answer.
    error: Option<String>,
}

/// Whether the process lives.
#[derive(Serialize, ToSchema)]
pub(crate) struct Live {
    status: &'static str,
}

/// Whether jobs can be taken and results be shown.
#[derive(Serialize, ToSchema)]
pub(crate) struct Ready {
    ready: bool,
    redis: Part,
    mongodb: Part,
}

/// Tells how the whole stands; always 200.
#[utoipa::path(
    get, path = "/api/health", tag = "health", security(()),
    responses((status = 200, description = "How the whole stands", body = Health))
)]
pub(crate) async fn report(State(app): State<App>) -> Json<Health> {
    let workers = async { timeout(PROBE_TIMEOUT, app.client.replicas()).await.ok().and_then(Result::ok) };
    // A Redis that answers may take no jobs all the same.
    let (redis, mongodb, workers) = tokio::join!(part(app.client.ping_with_a_write()), mongodb(&app), workers);
    let status = match (redis.ok, mongodb.ok, workers) {
        (false, ..) => Status::Down,
        (true, false, _) | (true, true, None | Some(0)) => Status::Degraded,
        (true, true, Some(_)) => Status::Ok,
    };
    let tzdata = schedules::tables().version().to_string();
    Json(Health { status, version: env!("CARGO_PKG_VERSION"), tzdata, redis, mongodb, workers })
}

/// Tells that the process lives.
#[utoipa::path(
    get, path = "/api/health/live", tag = "health", security(()),
    responses((status = 200, description = "It lives", body = Live))
)]
pub(crate) async fn live() -> Json<Live> {
    Json(Live { status: "ok" })
}

/// Tells whether Redis and MongoDB answer.
#[utoipa::path(
    get, path = "/api/health/ready", tag = "health", security(()),
    responses(
        (status = 200, description = "Both answer", body = Ready),
        (status = 503, description = "Redis or MongoDB is away", body = Ready),
    )
)]
pub(crate) async fn ready(State(app): State<App>) -> (StatusCode, Json<Ready>) {
    let (redis, mongodb) = tokio::join!(redis(&app), mongodb(&app));
    let ready = redis.ok && mongodb.ok;
    let status = if ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    (status, Json(Ready { ready, redis, mongodb }))
}

async fn redis(app: &App) -> Part {
    part(app.client.ping()).await
}

async fn mongodb(app: &App) -> Part {
    match app.store() {
        Some(store) => part(store.ping()).await,
        None => Part { ok: false, latency_ms: None, error: Some("its address cannot be looked up".to_owned()) },
    }
}

async fn part<E: Display>(ping: impl Future<Output = Result<Duration, E>>) -> Part {
    match timeout(PROBE_TIMEOUT, ping).await {
        Ok(Ok(latency)) => Part { ok: true, latency_ms: Some(latency.as_secs_f64() * 1_000.0), error: None },
        Ok(Err(error)) => Part { ok: false, latency_ms: None, error: Some(error.to_string()) },
        Err(_) => {
            let error = format!("no answer within {} s", PROBE_TIMEOUT.as_secs());
            Part { ok: false, latency_ms: None, error: Some(error) }
        }
    }
}
