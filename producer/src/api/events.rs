//! What happens to a job, as server-sent events.

use std::{convert::Infallible, time::Duration};

use axum::{
    extract::State,
    http::{HeaderMap, StatusCode},
    response::{
        IntoResponse, Response,
        sse::{Event, KeepAlive, Sse},
    },
};
use futures::stream;
use queue::{Follower, JobId, State as JobState, Timestamp};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use utoipa::ToSchema;

use crate::{
    api::jobs::find,
    app::App,
    auth::{Caller, Scope},
    problem::Problem,
    request::PathPart,
};

const LAST_EVENT_ID: &str = "last-event-id";
/// Of comments, so that whoever is between sees that the connection is used.
const HEARTBEAT: Duration = Duration::from_secs(15);
/// Events that wait for a slow reader.
const AHEAD: usize = 16;

/// The names of events, and the schemas of their data. The queue makes the events; see `queue::Event`.
pub(crate) const EVENTS: [(&str, &str); 5] = [
    ("state", "StateChange"),
    ("progress", "ProgressReport"),
    ("log", "LogLine"),
    ("end", "End"),
    ("replaced", "Replacement"),
];

/// Data of the event `state`: the job has come into a state.
#[derive(ToSchema)]
#[expect(dead_code, reason = "for the OpenAPI document")]
pub(crate) struct StateChange {
    job: JobId,
    state: JobState,
    attempt: u32,
    at: Option<Timestamp>,
}

/// Data of the event `progress`: how far the job is. Each takes the place of the one before.
#[derive(ToSchema)]
#[expect(dead_code, reason = "for the OpenAPI document")]
pub(crate) struct ProgressReport {
    job: JobId,
    #[schema(maximum = 100)]
    percent: u8,
    message: String,
    attempt: u32,
    at: Timestamp,
}

/// Data of the event `log`: a line that the job's handler wrote.
#[derive(ToSchema)]
#[expect(dead_code, reason = "for the OpenAPI document")]
pub(crate) struct LogLine {
    job: JobId,
    message: String,
    attempt: u32,
    at: Timestamp,
}

/// Data of the event `end`: the job has come to an end, and the stream ends too.
#[derive(ToSchema)]
#[expect(dead_code, reason = "for the OpenAPI document")]
pub(crate) struct End {
    job: JobId,
    state: JobState,
    at: Option<Timestamp>,
}

/// Data of the event `replaced`: a real provider's result has taken the place of a stand-in's.
#[derive(ToSchema)]
#[expect(dead_code, reason = "for the OpenAPI document")]
pub(crate) struct Replacement {
    job: JobId,
    provider: Option<String>,
    at: Timestamp,
}

/// Follows a job: its events so far, then each as it happens. The stream ends after `end`, or after `replaced`, which comes
/// later when a real provider's result has taken the place of a stand-in's.
///
/// `state`: `job`, `state`, `attempt`, `at`. `progress`: `job`, `percent`, `message`, `attempt`, `at`; each replaces the one before.
/// `log`: `job`, `message`, `attempt`, `at`. `end`: `job`, `state`, `at`.
/// `replaced`: `job`, `provider`, `at`. Ids rise, and are the same in every process: a stream that
/// was cut off goes on where `Last-Event-ID` says. The last 20 attempts, the last 100 log lines and the last progress can be told.
#[utoipa::path(
    get, path = "/api/jobs/{id}/events", tag = "jobs",
    params(
        ("id" = String, Path, description = "The job"),
        ("Last-Event-ID" = Option<u64>, Header, description = "The last event that was received; one that is not ours counts as none"),
    ),
    responses(
        (status = 200, description = "The events", body = String, content_type = "text/event-stream"),
        (status = 204, description = "The last event that was received is the last there is"),
    )
)]
pub(crate) async fn stream(
    State(app): State<App>,
    caller: Caller,
    PathPart(id): PathPart,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    caller.require(Scope::JobsRead)?;
    let job = find(&app, &caller, &id).await?;
    let last = headers.get(LAST_EVENT_ID).and_then(|id| id.to_str().ok()?.parse().ok()).unwrap_or(0);
    if job.state.is_finished() && job.events_after(last).is_empty() {
        // Browsers connect again after the end of a stream, unless they are told so.
        return Ok(StatusCode::NO_CONTENT.into_response());
    }
    let follower = app.client.follow(job.id).await?.ok_or_else(|| Problem::no_such_job(&id))?;
    let (sender, receiver) = mpsc::channel(AHEAD);
    tokio::spawn(tell(follower, last, sender, app.closing.clone()));
    let events = stream::unfold(receiver, async |mut receiver| {
        let event: Event = receiver.recv().await?;
        Some((Ok::<_, Infallible>(event), receiver))
    });
    let events = Sse::new(events).keep_alive(KeepAlive::new().interval(HEARTBEAT).text("heartbeat"));
    // nginx would otherwise hold events back.
    Ok(([("x-accel-buffering", "no")], events).into_response())
}

/// Sends the events after `last`, until the job's end, or until nobody reads them, or until the process shall end.
async fn tell(mut follower: Follower, mut last: u64, sender: mpsc::Sender<Event>, closing: CancellationToken) {
    let all = async {
        while let Some(job) = follower.next().await {
            for event in job.events_after(last) {
                last = event.id;
                let text = Event::default().id(event.id.to_string()).event(event.name).data(event.data.to_string());
                if sender.send(text).await.is_err() {
                    return;
                }
            }
            if job.state.is_finished() {
                return;
            }
        }
    };
    tokio::select! {
        () = all => {}
        () = sender.closed() => {}
        () = closing.cancelled() => {}
    }
}
