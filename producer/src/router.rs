//! Every route of the public listener, and what is around them.

use axum::{
    Router, middleware,
    routing::{get, post},
};
use tower_http::catch_panic::CatchPanicLayer;

use crate::{
    answer, observe, openapi, request,
    routes::{batch, emails, events, health, jobs, list, mode, queues, schedules, status, usage},
    state::App,
};

/// Every route of the public listener.
pub fn router(app: App) -> Router {
    let document = openapi::build(app.intake.checks());
    Router::new()
        .route("/api/jobs", post(jobs::create).get(list::list))
        .route("/api/jobs/batch", post(batch::create))
        .route("/api/jobs/{id}", get(jobs::show))
        .route("/api/jobs/{id}/events", get(events::stream))
        .route("/api/jobs/{id}/cancel", post(jobs::cancel))
        .route("/api/jobs/{id}/retry", post(jobs::retry))
        .route("/api/jobs/{id}/run-now", post(jobs::run_now))
        .route("/api/queues", get(queues::list))
        .route("/api/queues/{queue}/pause", post(queues::pause))
        .route("/api/queues/{queue}/resume", post(queues::resume))
        .route("/api/queues/{queue}/dead", get(queues::dead).delete(queues::delete_dead))
        .route("/api/queues/{queue}/dead/replay", post(queues::replay_dead))
        .route("/api/mode", get(mode::show).put(mode::switch))
        .route("/api/status", get(status::all))
        .route("/api/status/{service}", get(status::one))
        .route("/api/schedules", get(schedules::list))
        .route("/api/schedules/{name}", get(schedules::show).put(schedules::put).delete(schedules::delete))
        .route("/api/schedules/{name}/run", post(schedules::run))
        .route("/api/schedules/{name}/pause", post(schedules::pause))
        .route("/api/schedules/{name}/resume", post(schedules::resume))
        .route("/api/schedules/{name}/next", get(schedules::next))
        .route("/api/schedules/{name}/runs", get(schedules::runs))
        .route("/api/emails", get(emails::list))
        .route("/api/emails/preview", post(emails::preview))
        .route("/api/emails/{id}", get(emails::show))
        .route("/api/emails/{id}/unsubscribe", get(emails::ask_to_unsubscribe).post(emails::unsubscribe))
        .route("/api/usage", get(usage::show))
        .route("/api/health", get(health::report))
        .route("/api/health/live", get(health::live))
        .route("/api/health/ready", get(health::ready))
        .route("/api/openapi.json", get(openapi::document).with_state(document))
        .fallback(answer::no_such_route)
        .method_not_allowed_fallback(answer::wrong_method)
        .layer(middleware::from_fn_with_state(request::Budget::new(), request::guard))
        .layer(CatchPanicLayer::custom(answer::panicked))
        .layer(middleware::from_fn(observe::observe))
        .with_state(app)
}
