//! Whether the process lives, whether it can work, and what is missing.

use std::time::Duration;

use api::{Health, Live, Part, Ready, Standing};
use axum::{Json, extract::State, http::StatusCode};
use tokio::time::timeout;

use crate::{
    ping::{NO_ADDRESS, PATIENCE, asked},
    state::App,
};

/// Tells how the whole stands; always 200.
#[utoipa::path(
    get, path = "/api/health", tag = "health", security(()),
    responses((status = 200, description = "How the whole stands", body = Health))
)]
pub(crate) async fn report(State(app): State<App>) -> Json<Health> {
    let workers = async { timeout(PATIENCE, app.client.replicas()).await.ok().and_then(Result::ok) };
    // A Redis that answers may take no jobs all the same.
    let (redis, mongodb, workers) = tokio::join!(asked(app.client.ping_with_a_write()), mongodb(&app), workers);
    let redis = part(redis);
    let status = match (redis.ok, mongodb.ok, workers) {
        (false, ..) => Standing::Down,
        (true, false, _) | (true, true, None | Some(0)) => Standing::Degraded,
        (true, true, Some(_)) => Standing::Ok,
    };
    let tzdata = schedules::tables().version().to_string();
    Json(Health { status, version: env!("CARGO_PKG_VERSION").into(), tzdata, redis, mongodb, workers })
}

/// Tells that the process lives.
#[utoipa::path(
    get, path = "/api/health/live", tag = "health", security(()),
    responses((status = 200, description = "It lives", body = Live))
)]
pub(crate) async fn live() -> Json<Live> {
    Json(Live { status: "ok".into() })
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
    part(asked(app.client.ping()).await)
}

async fn mongodb(app: &App) -> Part {
    part(match app.store() {
        Some(store) => asked(store.ping()).await,
        None => Err(NO_ADDRESS.to_owned()),
    })
}

fn part(answer: Result<Duration, String>) -> Part {
    match answer {
        Ok(latency) => Part { ok: true, latency_ms: Some(latency.as_secs_f64() * 1_000.0), error: None },
        Err(error) => Part { ok: false, latency_ms: None, error: Some(error) },
    }
}
