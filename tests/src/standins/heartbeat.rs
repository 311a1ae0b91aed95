//! A stand-in of a heartbeat service in the form of Healthchecks.io: `/{id}`, `/{id}/start`, `/{id}/fail`, `/{id}/{exit code}`.

use std::sync::{Arc, Mutex};

use axum::{
    Router,
    extract::{Path, Request, State},
    http::{Method, StatusCode},
    response::{IntoResponse, Response},
    routing::any,
};

use super::{
    fault::{Faults, Front},
    lock,
};

/// What a beat said.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Beat {
    /// All is well.
    Good,
    /// Something begins.
    Start,
    /// Something failed.
    Failed,
}

/// The running stand-in; ends when it is dropped.
#[derive(Debug)]
pub struct Heartbeat {
    front: Front,
    id: String,
    beats: Arc<Mutex<Vec<Beat>>>,
}

type Shared = (String, Arc<Mutex<Vec<Beat>>>);

impl Heartbeat {
    /// Starts it on a port (0 is a free one). It knows one check.
    ///
    /// # Errors
    /// When the port cannot be bound.
    pub async fn start(port: u16, id: &str) -> anyhow::Result<Self> {
        let beats = Arc::new(Mutex::new(Vec::new()));
        let shared: Shared = (id.to_owned(), Arc::clone(&beats));
        let routes = Router::new().route("/{id}", any(beat_well)).route("/{id}/{how}", any(beat)).with_state(shared);
        Ok(Self { front: Front::start(port, routes).await?, id: id.to_owned(), beats })
    }

    /// What belongs into `MONITORING_ENDPOINT`.
    #[must_use]
    pub fn url(&self) -> String {
        format!("{}/{}", self.front.url(), self.id)
    }

    /// Fails whole requests, and counts them.
    #[must_use]
    pub fn faults(&self) -> &Faults {
        self.front.faults()
    }

    /// The beats so far, oldest first.
    #[must_use]
    pub fn beats(&self) -> Vec<Beat> {
        lock(&self.beats).clone()
    }
}

async fn beat_well(state: State<Shared>, Path(id): Path<String>, request: Request) -> Response {
    beat(state, Path((id, "0".to_owned())), request).await
}

async fn beat(
    State((known, beats)): State<Shared>,
    Path((id, how)): Path<(String, String)>,
    request: Request,
) -> Response {
    if ![Method::GET, Method::HEAD, Method::POST].contains(request.method()) {
        return StatusCode::METHOD_NOT_ALLOWED.into_response();
    }
    let beat = match (how.as_str(), how.parse::<u8>()) {
        ("start", _) => Beat::Start,
        (_, Ok(0)) => Beat::Good,
        ("fail", _) | (_, Ok(_)) => Beat::Failed,
        _ => return (StatusCode::BAD_REQUEST, "invalid url format").into_response(),
    };
    if id != known {
        return (StatusCode::NOT_FOUND, "not found").into_response();
    }
    lock(&beats).push(beat);
    ([("ping-body-limit", "100000")], "OK").into_response()
}
