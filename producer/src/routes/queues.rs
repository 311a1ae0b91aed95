//! Queues and their dead jobs.

use std::collections::HashSet;

use api::{Changed, Depth, Paused, Queue};
use axum::{Json, body::Body, extract::State, http::HeaderMap};
use jobs::Shape;
use queue::{JobId, ListFilter, Position, QueueView};
use serde::Deserialize;

use crate::{
    answer::{Problem, live},
    auth::{Caller, Scope},
    entitled::Door,
    request::{self, Parameters, PathPart},
    state::App,
};

/// So many dead jobs are read at a time.
const CHUNK: usize = 200;

/// A page of dead jobs.
type DeadPage = api::DeadPage<queue::Json>;
/// Which dead jobs are meant.
type Selection = api::Selection<JobId>;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct DeadQuery {
    cursor: Option<String>,
    limit: Option<usize>,
}

/// All queues.
#[utoipa::path(
    get, path = "/api/queues", tag = "queues",
    responses((status = 200, description = "Every queue that is known or holds jobs", body = Vec<Queue>))
)]
pub(crate) async fn list(State(app): State<App>, caller: Caller) -> Result<Json<Vec<Queue>>, Problem> {
    caller.require(Scope::JobsRead)?;
    Ok(Json(app.client.queues().await?.into_iter().map(queue).collect()))
}

/// Dead jobs of a queue: all for `admin`, the tenant's own for others.
#[utoipa::path(
    get, path = "/api/queues/{queue}/dead", tag = "queues",
    params(
        ("queue" = String, Path, description = "The queue, named like the kind"),
        ("cursor" = Option<String>, Query, description = "`next_cursor` of the page before"),
        ("limit" = Option<usize>, Query, minimum = 1, maximum = 200, description = "Entries of a page; 50 if absent"),
    ),
    responses((status = 200, description = "A page, newest first", body = api::DeadPage))
)]
pub(crate) async fn dead(
    State(app): State<App>,
    caller: Caller,
    PathPart(queue): PathPart,
    Parameters(query): Parameters<DeadQuery>,
) -> Result<Json<DeadPage>, Problem> {
    caller.require(Scope::JobsRead)?;
    let limit = request::page_size(query.limit)?;
    let tenant = tenant_filter(&caller);
    let after = query.cursor.as_deref().map(Position::read).transpose()?;
    let page = app.client.list(queue::State::Dead, &of_queue(&queue, tenant), after.as_ref(), limit).await?;
    let next_cursor = page.next.map(|next| next.text());
    Ok(Json(DeadPage { items: page.items.into_iter().map(live).collect(), next_cursor }))
}

/// Makes dead jobs ready again: the named ones, or all. Of those of other tenants only for `admin`. One whose unique key another job has
/// by now stays dead.
#[utoipa::path(
    post, path = "/api/queues/{queue}/dead/replay", tag = "queues",
    request_body = Option<api::Selection>,
    params(("queue" = String, Path, description = "The queue, named like the kind")),
    responses(
        (status = 200, description = "How many are ready again: of those that the tenant's plan still allows", body = Changed),
        (status = 402, description = "`plan-required`: the plan allows none of them any more"),
    )
)]
pub(crate) async fn replay_dead(
    State(app): State<App>,
    caller: Caller,
    PathPart(queue): PathPart,
    headers: HeaderMap,
    body: Body,
) -> Result<Json<Changed>, Problem> {
    caller.require(Scope::QueuesAdmin)?;
    app.intake.require_for_kind(&queue, &caller)?;
    let door = Door::of(&app, &caller).await?;
    let ids = selected(&app, &caller, &queue, &headers, body, door.as_ref()).await?;
    Ok(Json(Changed { count: app.client.replay_dead(&queue, ids.as_deref()).await? }))
}

/// Deletes dead jobs: the named ones, or all. Of those of other tenants only for `admin`.
#[utoipa::path(
    delete, path = "/api/queues/{queue}/dead", tag = "queues",
    request_body = Option<api::Selection>,
    params(("queue" = String, Path, description = "The queue, named like the kind")),
    responses((status = 200, description = "How many are deleted", body = Changed))
)]
pub(crate) async fn delete_dead(
    State(app): State<App>,
    caller: Caller,
    PathPart(queue): PathPart,
    headers: HeaderMap,
    body: Body,
) -> Result<Json<Changed>, Problem> {
    caller.require(Scope::QueuesAdmin)?;
    app.intake.require_for_kind(&queue, &caller)?;
    let ids = selected(&app, &caller, &queue, &headers, body, None).await?;
    Ok(Json(Changed { count: app.client.delete_dead(&queue, ids.as_deref()).await? }))
}

/// Stops claiming from a queue in all replicas; jobs that run go on.
#[utoipa::path(
    post, path = "/api/queues/{queue}/pause", tag = "queues",
    params(("queue" = String, Path, description = "The queue, named like the kind")),
    responses((status = 200, description = "Paused, now or already", body = Paused))
)]
pub(crate) async fn pause(
    State(app): State<App>,
    caller: Caller,
    PathPart(queue): PathPart,
) -> Result<Json<Paused>, Problem> {
    caller.require(Scope::QueuesAdmin)?;
    app.intake.require_for_kind(&queue, &caller)?;
    let changed = app.client.pause(&queue).await?;
    Ok(Json(Paused { paused: true, changed }))
}

/// Lets a paused queue go on.
#[utoipa::path(
    post, path = "/api/queues/{queue}/resume", tag = "queues",
    params(("queue" = String, Path, description = "The queue, named like the kind")),
    responses((status = 200, description = "Not paused, now or already", body = Paused))
)]
pub(crate) async fn resume(
    State(app): State<App>,
    caller: Caller,
    PathPart(queue): PathPart,
) -> Result<Json<Paused>, Problem> {
    caller.require(Scope::QueuesAdmin)?;
    app.intake.require_for_kind(&queue, &caller)?;
    let changed = app.client.resume(&queue).await?;
    Ok(Json(Paused { paused: false, changed }))
}

fn queue(queue: QueueView) -> Queue {
    let QueueView { name, paused, depth, oldest_ready_age_s, in_per_s, out_per_s, time_to_empty_s, workers, error } =
        queue;
    let queue::Depth { ready, scheduled, running, retrying, waiting, dead } = depth;
    let depth = Depth { ready, scheduled, running, retrying, waiting, dead };
    Queue { name, paused, depth, oldest_ready_age_s, in_per_s, out_per_s, time_to_empty_s, workers, error }
}

fn tenant_filter(caller: &Caller) -> Option<&str> {
    (!caller.is_admin()).then_some(caller.tenant.as_str())
}

fn of_queue(queue: &str, tenant: Option<&str>) -> ListFilter {
    ListFilter { queue: Some(queue.to_owned()), tenant: tenant.map(str::to_owned), ..ListFilter::default() }
}

/// The jobs that the body names, as far as they are the caller's and let in at the door; `None` is all of them.
async fn selected(
    app: &App,
    caller: &Caller,
    queue: &str,
    headers: &HeaderMap,
    body: Body,
    door: Option<&Door>,
) -> Result<Option<Vec<JobId>>, Problem> {
    let named = named(headers, body).await?;
    let Some(tenant) = tenant_filter(caller) else { return Ok(named) };
    let own = own_dead(app, tenant, queue, door).await?;
    Ok(Some(match named {
        None => own,
        Some(named) => {
            let own: HashSet<_> = own.into_iter().collect();
            named.into_iter().filter(|id| own.contains(id)).collect()
        }
    }))
}

/// The ids that the body names; no body is all.
async fn named(headers: &HeaderMap, body: Body) -> Result<Option<Vec<JobId>>, Problem> {
    let body = request::read(headers, body, request::JOB_LIMIT).await?;
    let length = body.len();
    if length == 0 {
        return Ok(None);
    }
    request::require_json(headers)?;
    let read = move || Shape::<Selection>::new().read(&*request::parse(&body)?).map_err(Problem::invalid);
    Ok(request::aside(length, read).await?.ids)
}

/// All dead jobs of a tenant in a queue, a queue keeps 10,000 at most: those that are let in, or why none is.
async fn own_dead(app: &App, tenant: &str, queue: &str, door: Option<&Door>) -> Result<Vec<JobId>, Problem> {
    let (mut ids, mut after, mut refused) = (Vec::new(), None, None);
    loop {
        let page = app.client.list(queue::State::Dead, &of_queue(queue, Some(tenant)), after.as_ref(), CHUNK).await?;
        for job in &page.items {
            match door.map_or(Ok(()), |door| door.allow_again(&job.kind, &job.payload)) {
                Ok(()) => ids.push(job.id),
                Err(problem) => refused = Some(problem),
            }
        }
        after = page.next;
        if after.is_none() {
            return refused.filter(|_| ids.is_empty()).map_or(Ok(ids), Err);
        }
    }
}
