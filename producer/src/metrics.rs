//! Prometheus metrics, and the internal listener that shows them.

use std::{
    io,
    net::SocketAddr,
    sync::{Mutex, PoisonError},
    time::Duration,
};

use anyhow::Context;
use axum::{Router, http::Method, routing::get};
use metrics::{counter, describe_counter, describe_histogram, histogram};
use metrics_exporter_prometheus::{PrometheusBuilder, PrometheusHandle};
use tokio::net::TcpListener;

/// From a lookup in Redis to the longest `?wait=`, in seconds.
const BUCKETS: [f64; 12] = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1.0, 5.0, 15.0, 60.0];
/// So many ports are tried after the one that was asked for.
const PORTS_TRIED: u16 = 100;

/// Counts an answered request.
pub(crate) fn request(method: &Method, path: &str, status: u16, duration: Duration) {
    let method = method_label(method);
    counter!("http_requests_total", "method" => method, "path" => path.to_owned(), "status" => status.to_string())
        .increment(1);
    histogram!("http_request_duration_seconds", "method" => method, "path" => path.to_owned()).record(duration);
}

/// Counts jobs that the queue took.
pub(crate) fn accepted(kind: &str, jobs: u64) {
    counter!("jobs_accepted_total", "kind" => kind.to_owned()).increment(jobs);
}

/// A caller can make up methods, so all but the usual ones are one label.
fn method_label(method: &Method) -> &'static str {
    match *method {
        Method::GET => "GET",
        Method::HEAD => "HEAD",
        Method::POST => "POST",
        Method::PUT => "PUT",
        Method::DELETE => "DELETE",
        _ => "other",
    }
}

/// Starts recording; a second call in the same process gives the first recorder.
pub(crate) fn install() -> anyhow::Result<PrometheusHandle> {
    static HANDLE: Mutex<Option<PrometheusHandle>> = Mutex::new(None);
    let mut handle = HANDLE.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(handle) = &*handle {
        return Ok(handle.clone());
    }
    let installed = PrometheusBuilder::new()
        .set_buckets(&BUCKETS)
        .and_then(PrometheusBuilder::install_recorder)
        .context("cannot start recording metrics")?;
    describe_counter!("http_requests_total", "Requests by method, route and status");
    describe_histogram!("http_request_duration_seconds", "Time to answer a request, by method and route");
    describe_counter!("jobs_accepted_total", "Jobs that the queue took, by kind");
    Ok(handle.insert(installed).clone())
}

/// The routes of the internal listener.
pub(crate) fn router(handle: PrometheusHandle) -> Router {
    Router::new().route("/metrics", get(async move || handle.render())).route("/health", get(async || "ok\n"))
}

/// Binds `addr`, or the next free port after it.
pub(crate) async fn bind(addr: SocketAddr) -> io::Result<TcpListener> {
    let mut tried = addr;
    loop {
        match TcpListener::bind(tried).await {
            Err(error) if error.kind() == io::ErrorKind::AddrInUse => {
                let next = tried.port().checked_add(1).filter(|port| port - addr.port() <= PORTS_TRIED);
                tried.set_port(next.ok_or(error)?);
            }
            result => return result,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_taken_admin_port_gives_the_next_free_one() {
        let first = bind("127.0.0.1:0".parse().unwrap()).await.unwrap();
        let taken = first.local_addr().unwrap();
        let second = bind(taken).await.unwrap().local_addr().unwrap();
        assert!(second.port() > taken.port(), "{second} is not after {taken}");
    }

    #[test]
    fn made_up_methods_share_a_label() {
        assert_eq!(method_label(&Method::from_bytes(b"BREW").unwrap()), "other");
        assert_eq!(method_label(&Method::POST), "POST");
    }
}
