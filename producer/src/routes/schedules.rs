//! Recurring jobs: look, change, pause, run by hand.

use api::{FieldError, Run, RunPage, Timestamp};
use axum::{
    Json,
    body::Body,
    extract::State,
    http::{HeaderMap, StatusCode, header},
    response::{IntoResponse, Response},
};
use chrono::{DateTime, Utc};
use futures::future::join_all;
use jobs::Shape;
use queue::{JobId, Json as Exact};
use schedules::Definition;
use serde::Deserialize;
use serde_json::{Value, json};
use store::{Documents, Moment, Store, StoredSchedule, Tick, TickOutcome, Unreadable};
use utoipa::{IntoParams, IntoResponses};

use super::{
    jobs::counted,
    versions::{Condition, ListQuery, Page, TenantQuery, check_conditions, etag, page},
};
use crate::{
    answer::{Problem, Type},
    auth::{Caller, Scope},
    entitled, find,
    intake::{AskedJob, Intake},
    keyed::{self, Begun, replayed},
    known,
    push::{fingerprint, push, taken, taken_as},
    request::{self, Parameters, PathPart},
    state::App,
};

#[cfg(test)]
mod tests;

const NEXTS: usize = 10;
const NEXTS_AT_MOST: usize = 1000;
const NAME_AT_MOST: usize = 100;
/// What a schedule is called in problems.
const SCHEDULE: &str = "schedule";
/// How often a change without `If-Match` tries again when others change the schedule too.
const TRIES: u32 = 5;

/// A schedule as the API answers it.
pub(crate) type Schedule = api::Schedule<Definition>;
/// A page of schedules.
pub(crate) type SchedulePage = api::SchedulePage<Definition>;

#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct NextQuery {
    /// Whose schedule; another than the token's own needs `admin`
    tenant: Option<String>,
    /// How many; 10 if absent
    #[param(minimum = 1, maximum = 1000)]
    n: Option<usize>,
}

#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct RunsQuery {
    /// Whose schedule; another than the token's own needs `admin`
    tenant: Option<String>,
    /// `next_before` of the page before
    #[param(value_type = Option<DateTime<Utc>>)]
    before: Option<String>,
    /// Entries of a page; 50 if absent
    #[param(minimum = 1, maximum = 200)]
    limit: Option<usize>,
}

/// Why a schedule was not changed.
#[derive(IntoResponses)]
#[expect(dead_code, reason = "for the OpenAPI document")]
enum NotChanged {
    /// `conflict`: it is built in and cannot be changed so, or others change it at the same time
    #[response(status = 409)]
    Conflict,
    /// `precondition-failed`: it is not what the header names
    #[response(status = 412)]
    PreconditionFailed,
}

/// Schedules: all for `admin`, the tenant's own for others.
#[utoipa::path(
    get, path = "/api/schedules", tag = "schedules",
    params(ListQuery),
    responses((status = 200, description = "A page, by tenant and name", body = SchedulePage))
)]
pub(crate) async fn list(
    State(app): State<App>,
    caller: Caller,
    Parameters(query): Parameters<ListQuery>,
) -> Result<Json<SchedulePage>, Problem> {
    caller.require(Scope::JobsRead)?;
    let limit = request::page_size(query.limit)?;
    let store = app.open_store()?;
    let tenant = caller.tenants_of(query.tenant)?;
    let found = store.schedules(tenant.as_deref(), query.cursor.as_deref(), limit + 1).await;
    let mut found = found.map_err(Problem::store_away)?;
    let (read, newer): (Vec<_>, Vec<_>) = found.read.into_iter().partition(|one| schedules::read(one).is_ok());
    let reason = || "its definition cannot be read".to_owned();
    found.unreadable.extend(newer.into_iter().map(|one| Unreadable { id: one.id, reason: reason() }));
    let Page { read, unreadable, next_cursor } = page(Documents { read, ..found }, limit);
    Ok(Json(SchedulePage { items: answers(store, read).await?, unreadable, next_cursor }))
}

/// A schedule; the header `ETag` is its revision.
#[utoipa::path(
    get, path = "/api/schedules/{name}", tag = "schedules",
    params(("name" = String, Path, description = "The schedule"), TenantQuery),
    responses((status = 200, description = "The schedule", body = Schedule, headers(("ETag" = String, description = "Its revision"))))
)]
pub(crate) async fn show(
    State(app): State<App>,
    caller: Caller,
    PathPart(name): PathPart,
    Parameters(query): Parameters<TenantQuery>,
) -> Result<Response, Problem> {
    caller.require(Scope::JobsRead)?;
    let schedule = stored(&app, &caller.tenant_of(query.tenant)?, &name).await?;
    answer(&app, StatusCode::OK, schedule).await
}

/// Adds a schedule or replaces it.
#[utoipa::path(
    put, path = "/api/schedules/{name}", tag = "schedules", request_body = Definition,
    params(
        ("name" = String, Path, description = "The schedule: 1 to 100 letters, digits, `_`, `.` and `-`"),
        TenantQuery,
        Condition,
        ("If-None-Match" = Option<String>, Header, description = "`*`: only if there is none of this name; otherwise 412"),
    ),
    responses(
        (status = 200, description = "Replaced", body = Schedule, headers(("ETag" = String, description = "Its revision"))),
        (status = 201, description = "Added", body = Schedule, headers(("ETag" = String, description = "Its revision"))),
        (status = 402, description = "`plan-required`: the tenant's plan does not allow its job"),
        (status = 422, description = "`invalid-payload`, `unknown-kind`; `unknown-store`: its job names a store that the tenant does not have, not while publication is mock"),
        NotChanged,
    )
)]
pub(crate) async fn put(
    State(app): State<App>,
    caller: Caller,
    PathPart(name): PathPart,
    Parameters(query): Parameters<TenantQuery>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Problem> {
    caller.require(Scope::SchedulesWrite)?;
    let tenant = caller.tenant_of(query.tenant)?;
    check_name(&name)?;
    // Its jobs are those of this tenant, whoever asks.
    let (intake, mut reader) = (app.intake.clone(), caller.clone());
    reader.tenant.clone_from(&tenant);
    let (definition, job) = request::json(&headers, body, move |body| read(&intake, &reader, body)).await?;
    let job = known::require(&app, job).await.map_err(|problem| problem.under("/job", Vec::new()))?;
    entitled::require(&app, &caller, &job).await?;
    let store = app.open_store()?;
    for _ in 0..TRIES {
        let id = schedules::schedule_id(&tenant, &name);
        let found = store.schedule(&id).await.map_err(Problem::store_away)?;
        match &found {
            Some(found) => require_for(&app, &caller, found)?,
            None => refuse_reserved(&caller, &id, &name)?,
        }
        check_conditions(&headers, found.as_ref(), SCHEDULE)?;
        if let Some(found) = &found {
            refuse_built_in(found)?;
        }
        let new = next_version(&tenant, &name, &definition, found.as_ref(), app.client.now_ms())?;
        let revision = found.as_ref().map(|found| found.revision);
        if store.replace_schedule(&new, revision).await.map_err(Problem::store_away)? {
            let status = if found.is_some() { StatusCode::OK } else { StatusCode::CREATED };
            return answer(&app, status, new).await;
        }
    }
    Err(busy())
}

/// Deletes a schedule; jobs that were enqueued stay.
#[utoipa::path(
    delete, path = "/api/schedules/{name}", tag = "schedules",
    params(("name" = String, Path, description = "The schedule"), TenantQuery, Condition),
    responses(
        (status = 204, description = "Deleted"),
        NotChanged,
    )
)]
pub(crate) async fn delete(
    State(app): State<App>,
    caller: Caller,
    PathPart(name): PathPart,
    Parameters(query): Parameters<TenantQuery>,
    headers: HeaderMap,
) -> Result<StatusCode, Problem> {
    caller.require(Scope::SchedulesWrite)?;
    let tenant = caller.tenant_of(query.tenant)?;
    for _ in 0..TRIES {
        let found = stored(&app, &tenant, &name).await?;
        require_for(&app, &caller, &found)?;
        check_conditions(&headers, Some(&found), SCHEDULE)?;
        refuse_built_in(&found)?;
        let deleted = app.open_store()?.delete_schedule(&found.id, found.revision).await;
        if deleted.map_err(Problem::store_away)? {
            return Ok(StatusCode::NO_CONTENT);
        }
    }
    Err(busy())
}

/// Enqueues the schedule's job now, beside its times, also while it is paused.
#[utoipa::path(
    post, path = "/api/schedules/{name}/run", tag = "schedules",
    params(
        ("name" = String, Path, description = "The schedule"),
        TenantQuery,
        ("Idempotency-Key" = Option<String>, Header, description = "The same key again gives the same job, for 24 h"),
    ),
    responses(
        (status = 202, description = "Taken", body = api::Job, headers(("Location" = String, description = "The job"))),
        (status = 200, description = "The job that holds its unique key, or the one that the first request with this Idempotency-Key made", body = api::Job,
         headers(("Location" = String, description = "The job"), ("Idempotency-Replayed" = bool, description = "true"))),
        (status = 402, description = "`plan-required`: the tenant's plan does not allow its job"),
        (status = 429, description = "`over-quota`: the plan's jobs of this UTC day are used up"),
        (status = 409, description = "`conflict`: another job holds its unique key; `idempotency-in-progress`: the first request is still under way"),
        (status = 422, description = "`idempotency-mismatch`: the key came with another request"),
    )
)]
pub(crate) async fn run(
    State(app): State<App>,
    caller: Caller,
    PathPart(name): PathPart,
    Parameters(query): Parameters<TenantQuery>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    caller.require(Scope::SchedulesWrite)?;
    let key = request::idempotency_key(&headers)?;
    let schedule = stored(&app, &caller.tenant_of(query.tenant)?, &name).await?;
    require_for(&app, &caller, &schedule)?;
    let (definition, _) = schedules::read(&schedule).map_err(|reason| unreadable(&schedule, &reason))?;
    let now_ms = app.client.now_ms();
    let now = DateTime::from_timestamp_millis(i64::try_from(now_ms).unwrap_or_default()).unwrap_or_default();
    let job = definition.job.to_job(&schedule.tenant, &schedule.name, now, now_ms);
    let job = job.map_err(|error| unreadable(&schedule, &error.to_string()))?;
    let now = Moment::from_ms(now_ms);
    let once = key.map(|key| (key, fingerprint(&format!("run\n{}\n", schedule.id), &[], [])));
    let ticket = match (entitled::let_in(&app, &caller, &job).await, &once) {
        (Ok(ticket), _) => ticket,
        (Err(problem), None) => return Err(problem),
        (Err(problem), Some((key, fingerprint))) => {
            return keyed::earlier(&app, &caller.tenant, key, fingerprint, problem).await;
        }
    };
    let push = async move {
        let Some((key, fingerprint)) = once else {
            let (status, answer) = push(&app, job, None).await?;
            note_run(&app, &schedule, now, answer.id).await;
            return Ok(taken(status, &answer));
        };
        match keyed::begin(&app, &caller.tenant, &key, &fingerprint, &job.kind).await? {
            Begun::There(answer) => replayed(answer),
            Begun::Ours(keyed) => {
                let (status, answer, text) = keyed.push(job).await?;
                note_run(&app, &schedule, now, answer.id).await;
                Ok(taken_as(status, answer, text))
            }
        }
    };
    match ticket {
        None => keyed::whole(push).await,
        Some(ticket) => keyed::whole(counted(ticket, push)).await,
    }
}

/// Adds a run by hand to the schedule's history.
async fn note_run(app: &App, schedule: &StoredSchedule, now: Moment, job: api::JobId) {
    let noted = match app.open_store() {
        Ok(store) => store.insert_ticks(&[by_hand(schedule, now, job)]).await.map_err(|error| error.to_string()),
        Err(_) => Err("MongoDB's address cannot be looked up".to_owned()),
    };
    if let Err(error) = noted {
        tracing::warn!(schedule = schedule.id, %error, "a run by hand is not in the schedule's history");
    }
}

/// Lets a schedule be due at no time until it is resumed.
#[utoipa::path(
    post, path = "/api/schedules/{name}/pause", tag = "schedules",
    params(("name" = String, Path, description = "The schedule"), TenantQuery, Condition),
    responses(
        (status = 200, description = "Paused, now or already", body = Schedule, headers(("ETag" = String, description = "Its revision"))),
        NotChanged,
    )
)]
pub(crate) async fn pause(
    State(app): State<App>,
    caller: Caller,
    PathPart(name): PathPart,
    Parameters(query): Parameters<TenantQuery>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    switch(&app, &caller, query.tenant, &name, &headers, true).await
}

/// Lets a paused schedule go on. What it missed meanwhile is not made up for.
#[utoipa::path(
    post, path = "/api/schedules/{name}/resume", tag = "schedules",
    params(("name" = String, Path, description = "The schedule"), TenantQuery, Condition),
    responses(
        (status = 200, description = "Not paused, now or already", body = Schedule, headers(("ETag" = String, description = "Its revision"))),
        NotChanged,
    )
)]
pub(crate) async fn resume(
    State(app): State<App>,
    caller: Caller,
    PathPart(name): PathPart,
    Parameters(query): Parameters<TenantQuery>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    switch(&app, &caller, query.tenant, &name, &headers, false).await
}

/// The next times of a schedule, also of a paused one; without jitter.
#[utoipa::path(
    get, path = "/api/schedules/{name}/next", tag = "schedules",
    params(("name" = String, Path, description = "The schedule"), NextQuery),
    responses((status = 200, description = "In order; fewer when there are no more", body = Vec<Timestamp>,
        headers(("Tzdata" = String, description = "The version of the tables of time zones by which they were reckoned"))))
)]
pub(crate) async fn next(
    State(app): State<App>,
    caller: Caller,
    PathPart(name): PathPart,
    Parameters(query): Parameters<NextQuery>,
) -> Result<Response, Problem> {
    caller.require(Scope::JobsRead)?;
    let n = query.n.unwrap_or(NEXTS);
    if !(1..=NEXTS_AT_MOST).contains(&n) {
        return Err(request::bad_parameter("n", "must be from 1 to 1000"));
    }
    let schedule = stored(&app, &caller.tenant_of(query.tenant)?, &name).await?;
    let tables = schedules::tables();
    let (_, plan) = schedules::read(&schedule).map_err(|reason| unreadable(&schedule, &reason))?;
    let instants: Vec<Timestamp> = plan.nexts(Utc::now(), n).map(Timestamp::from).collect();
    Ok(([("tzdata", tables.version().to_string())], Json(instants)).into_response())
}

/// When a schedule was due, what became of it, and how its jobs stand; kept for 30 days.
#[utoipa::path(
    get, path = "/api/schedules/{name}/runs", tag = "schedules",
    params(("name" = String, Path, description = "The schedule"), RunsQuery),
    responses((status = 200, description = "A page, newest first", body = RunPage))
)]
pub(crate) async fn runs(
    State(app): State<App>,
    caller: Caller,
    PathPart(name): PathPart,
    Parameters(query): Parameters<RunsQuery>,
) -> Result<Json<RunPage>, Problem> {
    caller.require(Scope::JobsRead)?;
    let limit = request::page_size(query.limit)?;
    let before = query.before.map(|before| request::time("before", &before)).transpose()?;
    let schedule = stored(&app, &caller.tenant_of(query.tenant)?, &name).await?;
    let before = before.map(|before| Moment::from_ms(u64::try_from(before.timestamp_millis()).unwrap_or(0)));
    let ticks = app.open_store()?.ticks_of(&schedule.id, before, limit + 1).await;
    let mut ticks = ticks.map_err(Problem::store_away)?;
    let more = ticks.len() > limit;
    ticks.truncate(limit);
    let next_before = ticks.last().filter(|_| more).map(|last| Timestamp::from_ms(last.tick.ms()));
    let items = join_all(ticks.into_iter().map(|tick| with_state(&app, run_of(tick)))).await;
    Ok(Json(RunPage { items: items.into_iter().collect::<Result<_, _>>()?, next_before }))
}

fn run_of(tick: Tick) -> Run {
    let Tick { by_hand, outcome, reason, job, .. } = tick;
    let outcome = match outcome {
        TickOutcome::New => "new",
        TickOutcome::Pushed => "pushed",
        TickOutcome::Skipped => "skipped",
    };
    Run { tick: Timestamp::from_ms(tick.tick.ms()), by_hand, outcome: outcome.into(), reason, job, state: None }
}

async fn with_state(app: &App, run: Run) -> Result<Run, Problem> {
    let Some(id) = run.job.as_deref().and_then(|id| id.parse::<JobId>().ok()) else { return Ok(run) };
    let job = find::anywhere(app, id).await?;
    Ok(Run { state: job.map(|job| job.state.name().to_owned()), ..run })
}

async fn switch(
    app: &App,
    caller: &Caller,
    tenant: Option<String>,
    name: &str,
    headers: &HeaderMap,
    paused: bool,
) -> Result<Response, Problem> {
    caller.require(Scope::SchedulesWrite)?;
    let tenant = caller.tenant_of(tenant)?;
    for _ in 0..TRIES {
        let found = stored(app, &tenant, name).await?;
        require_for(app, caller, &found)?;
        check_conditions(headers, Some(&found), SCHEDULE)?;
        if found.paused == paused {
            return answer(app, StatusCode::OK, found).await;
        }
        let now_ms = app.client.now_ms();
        let mut new =
            StoredSchedule { revision: found.revision + 1, updated_at: Moment::from_ms(now_ms), ..found.clone() };
        if paused {
            schedules::pause(&mut new);
        } else {
            schedules::resume(&mut new, now_ms);
        }
        let replaced = app.open_store()?.replace_schedule(&new, Some(found.revision)).await;
        if replaced.map_err(Problem::store_away)? {
            return answer(app, StatusCode::OK, new).await;
        }
    }
    Err(busy())
}

/// The definition in a request's body and a job of it, with everything that is wrong with it.
fn read(intake: &Intake, caller: &Caller, body: &Exact) -> Result<(Definition, AskedJob), Problem> {
    let job = body.member("job").filter(|job| job.is_object());
    let given = job.clone();
    let job = job.map(|job| intake.read(&job, caller, Utc::now())).transpose();
    let definition = Shape::<Definition>::new().read(body).map(|mut definition| {
        // With every digit.
        if let Some(given) = &given {
            definition.job.payload = given.member("payload").unwrap_or_default();
            definition.job.options = given.member("options").filter(|options| !options.is_null());
        }
        definition
    });
    let mut errors = match &definition {
        Ok(definition) => definition.plan().err().unwrap_or_default(),
        Err(errors) => errors.clone(),
    };
    if let Err(problem) = &job {
        // The job's own check tells more of it.
        errors.retain(|error| !problem.tells_of(error.pointer.strip_prefix("/job").unwrap_or(&error.pointer)));
    }
    match (job, definition) {
        (Err(problem), _) => Err(problem.under("/job", errors)),
        (Ok(Some(job)), Ok(definition)) if errors.is_empty() => Ok((definition.with_defaults(), job)),
        (Ok(_), _) => Err(Problem::invalid(errors)),
    }
}

/// What is stored next. Where its times are the same as before, it goes on where it was, so that a change of its payload loses no
/// time that is due at this moment.
fn next_version(
    tenant: &str,
    name: &str,
    definition: &Definition,
    found: Option<&StoredSchedule>,
    now_ms: u64,
) -> Result<StoredSchedule, Problem> {
    let mut new = schedules::new_schedule(tenant, name, definition, now_ms);
    // Not from 1 on: a schedule that was deleted and added again is another one.
    new.revision = i64::try_from(now_ms).unwrap_or_default();
    let old = found.and_then(|found| Some((found, schedules::read(found).ok()?.0)));
    if let Some((found, old)) = old {
        new.last_tick = found.last_tick;
        let same_times = when(&old) == when(definition) && !found.paused && !new.paused;
        if same_times && found.next_tick.is_some() {
            new.next_tick = found.next_tick;
            new.next_at = found.next_at;
            new.made_up = found.made_up;
            new.reckoned = found.reckoned.clone();
        }
    }
    if let Some(found) = found {
        new.revision = new.revision.max(found.revision + 1);
    }
    if new.next_tick.is_none() && !new.paused {
        let pointer = if definition.at.is_some() { "/at" } else { "/ends_at" };
        return Err(Problem::invalid(vec![FieldError::new(pointer, "must be later: there is no time left to run at")]));
    }
    Ok(new)
}

/// All that tells when a schedule is due.
fn when(definition: &Definition) -> Value {
    let Definition { cron, every_s, at, jitter_s, starts_at, ends_at, .. } = definition;
    json!([cron, every_s, at, definition.zone(), jitter_s.unwrap_or_default(), starts_at, ends_at])
}

/// Refuses a token without `admin` to change or run what only an operator could have made: a row of the timetable, a job that only
/// operators may push, and a job for another tenant.
fn require_for(app: &App, caller: &Caller, schedule: &StoredSchedule) -> Result<(), Problem> {
    let definition: Value = serde_json::from_str(&schedule.definition).unwrap_or_default();
    let job = &definition["job"];
    let is_of_operators = job["kind"].as_str().is_some_and(|kind| app.intake.checks().is_for_operators(kind));
    let is_for_another = job["options"]["tenant"].as_str().is_some_and(|tenant| tenant != schedule.tenant);
    if caller.is_admin() || !(schedule.built_in || is_of_operators || is_for_another) {
        return Ok(());
    }
    let detail = format!("to change or run the schedule {} the token needs the scope admin", schedule.name);
    Err(Problem::new(Type::Forbidden, detail))
}

/// Refuses the name of a row of the timetable, which a worker is about to write: the row would be hidden.
fn refuse_reserved(caller: &Caller, id: &str, name: &str) -> Result<(), Problem> {
    if !schedules::timetable().iter().any(|row| row.id() == id) {
        return Ok(());
    }
    let problem = if caller.is_admin() { Type::Conflict } else { Type::Forbidden };
    Err(Problem::new(problem, format!("{name} is the name of a row of the program's timetable; choose another one")))
}

/// Finds a schedule of a tenant.
async fn stored(app: &App, tenant: &str, name: &str) -> Result<StoredSchedule, Problem> {
    let id = schedules::schedule_id(tenant, name);
    let found = app.open_store()?.schedule(&id).await.map_err(Problem::store_away)?;
    found.ok_or_else(|| Problem::new(Type::NotFound, format!("there is no schedule {name:?}")))
}

async fn answers(store: &Store, found: Vec<StoredSchedule>) -> Result<Vec<Schedule>, Problem> {
    let last = |schedule: &StoredSchedule| Some(schedules::tick_id(&schedule.id, schedule.last_tick?));
    let ids: Vec<String> = found.iter().filter_map(last).collect();
    let mut ticks = if ids.is_empty() { Vec::new() } else { store.ticks(&ids).await.map_err(Problem::store_away)? };
    let answer = |schedule: StoredSchedule| {
        let last = ticks.iter().position(|tick| tick.schedule == schedule.id).map(|at| run_of(ticks.swap_remove(at)));
        let (definition, _) = schedules::read(&schedule).map_err(|reason| unreadable(&schedule, &reason))?;
        Ok(Schedule {
            name: schedule.name,
            tenant: schedule.tenant,
            built_in: schedule.built_in,
            definition: Definition { paused: Some(schedule.paused), ..definition.with_defaults() },
            next_at: schedule.next_at.map(|at| Timestamp::from_ms(at.ms())),
            last,
            updated_at: Timestamp::from_ms(schedule.updated_at.ms()),
        })
    };
    found.into_iter().map(answer).collect()
}

async fn answer(app: &App, status: StatusCode, schedule: StoredSchedule) -> Result<Response, Problem> {
    let etag = etag(&schedule);
    let answer = answers(app.open_store()?, vec![schedule]).await?.pop();
    Ok((status, [(header::ETAG, etag)], Json(answer)).into_response())
}

fn check_name(name: &str) -> Result<(), Problem> {
    let good = |byte: u8| byte.is_ascii_alphanumeric() || b"_.-".contains(&byte);
    if (1..=NAME_AT_MOST).contains(&name.len()) && name.bytes().all(good) {
        return Ok(());
    }
    let message = "must be 1 to 100 letters, digits, _, . and -";
    Err(Problem::invalid(vec![FieldError::new("/path/name", message)]))
}

fn refuse_built_in(schedule: &StoredSchedule) -> Result<(), Problem> {
    if !schedule.built_in {
        return Ok(());
    }
    let detail = format!("{} is a row of the program's timetable: it can be paused, resumed and run", schedule.name);
    Err(Problem::new(Type::Conflict, detail))
}

fn by_hand(schedule: &StoredSchedule, now: Moment, job: api::JobId) -> Tick {
    Tick {
        id: format!("{}@{job}", schedule.id),
        schedule: schedule.id.clone(),
        tick: now,
        created_at: now,
        by_hand: true,
        outcome: TickOutcome::Pushed,
        reason: None,
        job: Some(job.to_string()),
        push_at: None,
        spec: None,
    }
}

fn busy() -> Problem {
    Problem::new(Type::Conflict, "others change this schedule at the same time; try again")
}

fn unreadable(schedule: &StoredSchedule, reason: &str) -> Problem {
    tracing::error!(schedule = schedule.id, reason, "a schedule cannot be read");
    Problem::new(Type::Internal, format!("the schedule {} was written by a newer release", schedule.name))
}
