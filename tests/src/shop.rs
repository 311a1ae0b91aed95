//! A competitor's shop on loopback.

use std::{
    collections::HashMap,
    fs,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use axum::{
    Router,
    extract::State,
    http::{StatusCode, Uri},
    response::{Html, IntoResponse, Response},
};
use serde_json::{Value, json};
use tokio::{net::TcpListener, task::JoinHandle};

use crate::{Gate, example};

/// A shop with the pages of `examples/shops`. It counts the visits of each URL, query included, and can hold its answers.
/// `/busy` asks for a wait of 7 s the first time. Ends when it is dropped.
#[derive(Debug)]
pub struct Shop {
    url: String,
    /// What every answer waits at.
    pub gate: Gate,
    visits: Visits,
    server: JoinHandle<()>,
}

#[derive(Debug, Clone, Default)]
struct Visits(Arc<Mutex<HashMap<String, usize>>>);

impl Visits {
    fn counts(&self) -> MutexGuard<'_, HashMap<String, usize>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Shop {
    /// A shop that answers at once.
    pub async fn start() -> Self {
        Self::behind(Gate::opened()).await
    }

    /// A shop whose answers wait at `gate`.
    ///
    /// # Panics
    /// When no port can be bound.
    pub async fn behind(gate: Gate) -> Self {
        let visits = Visits::default();
        let router = Router::new().fallback(answer).with_state((visits.clone(), gate.clone()));
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("bind a free port");
        let url = format!("http://{}", listener.local_addr().expect("a bound listener has an address"));
        let server = tokio::spawn(async move {
            // It ends only by being aborted.
            let _ = axum::serve(listener, router).await;
        });
        Self { url, gate, visits, server }
    }

    /// `http://127.0.0.1:PORT`.
    #[must_use]
    pub fn url(&self) -> &str {
        &self.url
    }

    /// The payload of a scrape job that fetches one page with a price, at a URL of its own.
    #[must_use]
    pub fn one_page(&self, n: usize) -> Value {
        json!({ "product_id": format!("TEA-{n}"), "urls": [format!("{}{}", self.url, Self::page(n))] })
    }

    /// The path of the page of [`Shop::one_page`].
    #[must_use]
    pub fn page(n: usize) -> String {
        format!("/jsonld.html?n={n}")
    }

    /// How often `path` (with its query) was asked for.
    #[must_use]
    pub fn visits(&self, path: &str) -> usize {
        self.visits.counts().get(path).copied().unwrap_or(0)
    }

    /// How often any page was asked for.
    #[must_use]
    pub fn n_visits(&self) -> usize {
        self.visits.counts().values().sum()
    }
}

impl Drop for Shop {
    fn drop(&mut self) {
        self.server.abort();
    }
}

async fn answer(State((visits, gate)): State<(Visits, Gate)>, uri: Uri) -> Response {
    if uri.path() == "/robots.txt" {
        return StatusCode::NOT_FOUND.into_response();
    }
    let n_visits = {
        let mut counts = visits.counts();
        let visits = counts.entry(uri.to_string()).or_default();
        *visits += 1;
        *visits
    };
    gate.pass().await;
    let file = match uri.path() {
        "/busy" if n_visits == 1 => return (StatusCode::SERVICE_UNAVAILABLE, [("retry-after", "7")]).into_response(),
        "/busy" => "jsonld.html",
        path => path.trim_start_matches('/'),
    };
    match fs::read_to_string(example("shops").join(file)) {
        Ok(html) => Html(html).into_response(),
        Err(_) => StatusCode::NOT_FOUND.into_response(),
    }
}
