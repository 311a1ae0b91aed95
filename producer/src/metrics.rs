//! Prometheus metrics.

use std::{collections::HashMap, net::SocketAddr, sync::OnceLock, time::Duration};

use axum::http::Method;
use metrics::{Counter, counter, describe_counter, describe_histogram, histogram};
use process::Admin;

/// From a lookup in Redis to the longest `?wait=`, in seconds.
const BUCKETS: [f64; 12] = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1.0, 5.0, 15.0, 60.0];

/// Counts an answered request.
pub(crate) fn request(method: &Method, path: &str, status: u16, duration: Duration) {
    let method = method_label(method);
    counter!("http_requests_total", "method" => method, "path" => path.to_owned(), "status" => status.to_string())
        .increment(1);
    histogram!("http_request_duration_seconds", "method" => method, "path" => path.to_owned()).record(duration);
}

/// Counts jobs that the queue took, by kind. Each counter is looked up once.
pub(crate) struct Accepted(HashMap<String, OnceLock<Counter>>);

impl Accepted {
    /// For jobs of these kinds.
    pub(crate) fn new(kinds: &[queue::Kind]) -> Self {
        Self(kinds.iter().map(|kind| (kind.name.clone(), OnceLock::new())).collect())
    }

    pub(crate) fn count(&self, kind: &str, jobs: u64) {
        if let Some(counter) = self.0.get(kind) {
            counter.get_or_init(|| counter!("jobs_accepted_total", "kind" => kind.to_owned())).increment(jobs);
        }
    }
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

/// Starts recording, and binds the internal listener that shows it.
pub(crate) async fn start(addr: SocketAddr) -> anyhow::Result<Admin> {
    let admin = Admin::start(addr, &BUCKETS).await?;
    describe_counter!("http_requests_total", "Requests by method, route and status");
    describe_histogram!("http_request_duration_seconds", "Time to answer a request, by method and route");
    describe_counter!("jobs_accepted_total", "Jobs that the queue took, by kind");
    Ok(admin)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn made_up_methods_share_a_label() {
        assert_eq!(method_label(&Method::from_bytes(b"BREW").unwrap()), "other");
        assert_eq!(method_label(&Method::POST), "POST");
    }
}
