//! `/metrics` and `/health`, on an address that only operators reach.

use std::{io, net::SocketAddr, process::ExitCode, sync::Arc, time::Duration};

use anyhow::Context;
use axum::{Json, Router, extract::State, http::StatusCode, response::IntoResponse, routing::get};
use metrics_exporter_prometheus::{PrometheusBuilder, PrometheusHandle};
use queue::Client;
use serde_json::json;
use store::Store;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    time::timeout,
};

const PROBE_TIMEOUT: Duration = Duration::from_secs(3);
/// How many ports after the one asked for are tried.
const PORTS_TRIED: u16 = 100;
/// From a millisecond to an hour, in seconds.
const BUCKETS: [f64; 12] = [0.001, 0.005, 0.025, 0.1, 0.5, 1.0, 2.5, 10.0, 30.0, 120.0, 600.0, 3600.0];

/// What the health answer looks at.
#[derive(Debug, Clone)]
pub(crate) struct Health {
    pub(crate) client: Client,
    pub(crate) store: Store,
    pub(crate) worker: Arc<str>,
}

/// Starts to count.
pub(crate) fn install_metrics() -> anyhow::Result<PrometheusHandle> {
    PrometheusBuilder::new()
        .set_buckets(&BUCKETS)
        .and_then(PrometheusBuilder::install_recorder)
        .context("cannot install the metrics recorder")
}

/// Binds `addr`, or the next free port after it.
pub(crate) async fn bind(addr: SocketAddr) -> io::Result<TcpListener> {
    let mut last = TcpListener::bind(addr).await;
    for port in addr.port().saturating_add(1)..=addr.port().saturating_add(PORTS_TRIED) {
        match &last {
            Err(error) if addr.port() != 0 && error.kind() == io::ErrorKind::AddrInUse => {
                last = TcpListener::bind(SocketAddr::new(addr.ip(), port)).await;
            }
            _ => break,
        }
    }
    last
}

/// Serves both pages until the process ends.
pub(crate) async fn serve(listener: TcpListener, health: Health, handle: PrometheusHandle) -> io::Result<()> {
    let router = Router::new()
        .route("/health", get(answer_health))
        .with_state(health)
        .route("/metrics", get(move || std::future::ready(handle.render())));
    axum::serve(listener, router).await
}

async fn answer_health(State(health): State<Health>) -> impl IntoResponse {
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

/// Asks the worker at `addr` whether it lives: the health check of a container. Prints why not.
#[expect(clippy::print_stderr, reason = "the caller is a person or a container engine, and no log is set up")]
pub async fn healthcheck(addr: SocketAddr) -> ExitCode {
    match timeout(2 * PROBE_TIMEOUT, ask(addr)).await {
        // Redis being away is no reason to restart the process: any answer is a living worker.
        Ok(Ok(answer)) if answer.starts_with("HTTP/") => return ExitCode::SUCCESS,
        Ok(Ok(_)) => eprintln!("{addr} answers, but is no worker"),
        Ok(Err(error)) => eprintln!("{addr} cannot be asked: {error}"),
        Err(_) => eprintln!("{addr} did not answer in time"),
    }
    ExitCode::FAILURE
}

async fn ask(addr: SocketAddr) -> io::Result<String> {
    let host = if addr.ip().is_unspecified() { [127, 0, 0, 1].into() } else { addr.ip() };
    let mut stream = TcpStream::connect((host, addr.port())).await?;
    stream.write_all(b"GET /health HTTP/1.0\r\nHost: localhost\r\nConnection: close\r\n\r\n").await?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await?;
    Ok(answer)
}
