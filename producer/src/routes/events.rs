//! What happens to a job, as server-sent events.

use std::{convert::Infallible, time::Duration};

use api::{End, JobEvent, LogLine, ProgressReport, Replacement, StateChange};
use axum::{
    extract::State,
    http::{HeaderMap, StatusCode},
    response::{
        IntoResponse, Response,
        sse::{Event, KeepAlive, Sse},
    },
};
use futures::stream;
use jobs::Kept;
use queue::{Follower, Happened, JobId, JobView};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use crate::{
    answer::{Problem, id_of, state, timestamp},
    auth::{Caller, Scope},
    find,
    request::PathPart,
    state::App,
};

const LAST_EVENT_ID: &str = "last-event-id";
/// Of comments, so that whoever is between sees that the connection is used.
const HEARTBEAT: Duration = Duration::from_secs(15);
/// Events that wait for a slow reader.
const AHEAD: usize = 16;

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
    let last = headers.get(LAST_EVENT_ID).and_then(|id| id.to_str().ok()?.parse().ok()).unwrap_or(0);
    let job: JobId = id.parse().map_err(|_| Problem::no_such_job(&id))?;
    let is_over = match app.client.find(job).await?.filter(|job| caller.may_see(&job.tenant)) {
        Some(job) => job.state.is_finished() && job.events_after(last).is_empty(),
        // The history has no events: whoever has been told of one has been told all.
        None => find::job(&app, &caller, &id).await.map(|_| last > 0)?,
    };
    if is_over {
        // Browsers connect again after the end of a stream, unless they are told so.
        return Ok(StatusCode::NO_CONTENT.into_response());
    }
    let follower = app.client.follow(job).await?.ok_or_else(|| Problem::no_such_job(&id))?;
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
                let id = event.id.to_string();
                let event = answer(&job, event.what);
                let Ok(text) = Event::default().id(id).event(event.name()).json_data(&event) else { continue };
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

fn answer(job: &JobView, happened: Happened) -> JobEvent {
    let id = id_of(job.id);
    match happened {
        Happened::State { state: now, attempt, at } => {
            JobEvent::State(StateChange { at: at.map(timestamp), attempt, job: id, state: state(now) })
        }
        Happened::Progress { percent, message, attempt, at } => {
            JobEvent::Progress(ProgressReport { at: timestamp(at), attempt, job: id, message, percent })
        }
        Happened::Log { message, attempt, at } => {
            JobEvent::Log(LogLine { at: timestamp(at), attempt, job: id, message })
        }
        Happened::End { state: now, at } => JobEvent::End(End { at: at.map(timestamp), job: id, state: state(now) }),
        Happened::Replaced { at } => {
            let kept = job.success.as_ref().and_then(Kept::read);
            JobEvent::Replaced(Replacement {
                at: timestamp(at),
                job: id,
                provider: kept.and_then(|kept| kept.provider),
            })
        }
    }
}
