//! `/metrics` and `/health`, on an address that only operators reach.

use std::{io, net::SocketAddr, process::ExitCode, sync::Arc, time::Duration};

use anyhow::Context;
use axum::{Json, Router, extract::State, http::StatusCode, response::IntoResponse, routing::get};
use futures::{Stream, StreamExt, stream};
use metrics_exporter_prometheus::{BuildError, PrometheusBuilder, PrometheusHandle};
use queue::Client;
use serde_json::json;
use store::Store;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    time::timeout,
};

const PROBE_TIMEOUT: Duration = Duration::from_secs(3);
const METRICS_UPKEEP: Duration = Duration::from_secs(1);
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
    builder().and_then(PrometheusBuilder::install_recorder).context("cannot install the metrics recorder")
}

fn builder() -> Result<PrometheusBuilder, BuildError> {
    PrometheusBuilder::new().set_buckets(&BUCKETS)
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

/// How often the samples of histograms are counted into their buckets.
pub(crate) fn upkeep_times() -> impl Stream<Item = ()> + Send + Unpin {
    let ticks = tokio::time::interval(METRICS_UPKEEP);
    Box::pin(stream::unfold(ticks, async |mut ticks| {
        ticks.tick().await;
        Some(((), ticks))
    }))
}

/// Serves both pages until the process ends. At each of the `upkeep` times samples are counted into their buckets, whether or not
/// somebody fetches them: until then, each takes memory.
pub(crate) async fn serve(
    listener: TcpListener,
    health: Health,
    metrics: PrometheusHandle,
    mut upkeep: impl Stream<Item = ()> + Unpin,
) -> io::Result<()> {
    let shown = metrics.clone();
    let router = Router::new()
        .route("/health", get(answer_health))
        .with_state(health)
        .route("/metrics", get(move || std::future::ready(shown.render())));
    let keep_up = async {
        while upkeep.next().await.is_some() {
            metrics.run_upkeep();
        }
    };
    tokio::select! {
        served = axum::serve(listener, router) => served,
        () = keep_up => Ok(()),
    }
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

#[cfg(test)]
mod tests {
    use futures::SinkExt;

    use super::*;

    const JOBS_A_TICK: u64 = 10_000;

    /// The most bytes that were in use while so many jobs were counted and nobody fetched it, and those that are still.
    fn bytes(n_jobs: u64) -> (u64, i64) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let recorder = builder().unwrap().build_recorder();
        let durations = metrics::with_local_recorder(&recorder, || metrics::histogram!("queue_job_duration_seconds"));
        let metrics = recorder.handle();
        let health = runtime.block_on(async {
            let redis = fleet::Redis::open("redis://127.0.0.1:1", "unit").unwrap();
            let store = Store::open("mongodb://127.0.0.1:1", "unit").await.unwrap();
            Health { client: Client::new(&redis, Vec::new()), store, worker: "host/1".into() }
        });
        let used = allocation_counter::measure(|| {
            runtime.block_on(async {
                let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
                // It has room for one tick, so that the next one waits until this one's upkeep is under way.
                let (mut tick, ticks) = futures::channel::mpsc::channel(0);
                let count = async move {
                    for _ in 0..n_jobs / JOBS_A_TICK {
                        (0..JOBS_A_TICK).for_each(|_| durations.record(0.004));
                        tick.send(()).await.unwrap();
                    }
                };
                tokio::join!(serve(listener, health, metrics, ticks), count).0.unwrap();
            });
        });
        assert!(recorder.handle().render().contains(&format!("queue_job_duration_seconds_count {n_jobs}\n")));
        (used.bytes_max, used.bytes_current)
    }

    #[test]
    fn a_worker_whose_metrics_nobody_fetches_is_flat_over_a_million_jobs() {
        let ((most, left), (most_of_million, left_of_million)) = (bytes(100_000), bytes(1_000_000));
        let room = 64 << 10;
        assert!(most_of_million <= most + room, "{most} bytes at most over 100,000 jobs, then {most_of_million}");
        assert!(left_of_million <= left + i64::try_from(room).unwrap(), "{left} bytes, then {left_of_million}");
    }
}
