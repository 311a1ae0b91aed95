//! Every route of the public listener, and what is around them.

use axum::{
    Router, middleware,
    routing::{MethodRouter, get},
};
use tower_http::catch_panic::CatchPanicLayer;
use utoipa::OpenApi;

use crate::{
    answer, observe, openapi, request,
    routes::{
        batch, catalogue, emails, entitlements, events, health, images, jobs, keys, list, mock, mode, payments, prices,
        products, publish, queues, rates, reconcile, schedules, status, stores, stripe, subscribe, usage, webhooks,
    },
    state::App,
};

/// From the one list of routes: the router, and what the document tells of them.
macro_rules! routes {
    ($($path:literal: $($method:ident $file:ident::$handler:ident),+;)+) => {
        fn routes() -> Router<App> {
            Router::new()$(.route($path, MethodRouter::new()$(.$method($file::$handler))+))+
        }

        #[derive(OpenApi)]
        #[openapi(
            info(title = "ECOMSIMPLY jobs", description = "Takes jobs, tells how they stand, and gives their results."),
            paths($($($file::$handler,)+)+ openapi::document),
            components(schemas(
                api::Problem<'_>,
                api::StateChange,
                api::ProgressReport,
                api::LogLine,
                api::End,
                api::Replacement,
            )),
            security(("token" = []))
        )]
        struct Routes;
    };
}

routes! {
    "/api/jobs": post jobs::create, get list::list;
    "/api/jobs/batch": post batch::create;
    "/api/jobs/{id}": get jobs::show;
    "/api/jobs/{id}/events": get events::stream;
    "/api/jobs/{id}/cancel": post jobs::cancel;
    "/api/jobs/{id}/retry": post jobs::retry;
    "/api/jobs/{id}/run-now": post jobs::run_now;
    "/api/queues": get queues::list;
    "/api/queues/{queue}/pause": post queues::pause;
    "/api/queues/{queue}/resume": post queues::resume;
    "/api/queues/{queue}/dead": get queues::dead, delete queues::delete_dead;
    "/api/queues/{queue}/dead/replay": post queues::replay_dead;
    "/api/mode": get mode::show, put mode::switch;
    "/api/status": get status::all;
    "/api/status/{service}": get status::one;
    "/api/schedules": get schedules::list;
    "/api/schedules/{name}": get schedules::show, put schedules::put, delete schedules::delete;
    "/api/schedules/{name}/run": post schedules::run;
    "/api/schedules/{name}/pause": post schedules::pause;
    "/api/schedules/{name}/resume": post schedules::resume;
    "/api/schedules/{name}/next": get schedules::next;
    "/api/schedules/{name}/runs": get schedules::runs;
    "/api/emails": get emails::list;
    "/api/emails/preview": post emails::preview;
    "/api/emails/{id}": get emails::show;
    "/api/emails/{id}/unsubscribe": get emails::ask_to_unsubscribe, post emails::unsubscribe;
    "/api/images/{id}/{file}": get images::show;
    "/api/products/{id}": get products::show;
    "/api/products/{id}/publish": post publish::publish;
    "/api/products/{id}/prices": get prices::series;
    "/api/stores/{name}/products": post catalogue::create;
    "/api/prices/compare": post products::compare;
    "/api/rates": get rates::show, put rates::put;
    "/api/stores": get stores::list;
    "/api/stores/{name}": get stores::show, put stores::put, delete stores::delete;
    "/api/stores/{name}/test": post stores::test;
    "/api/keys": get keys::show;
    "/api/keys/rotate": post keys::rotate;
    "/api/payments/config": get payments::config;
    "/api/payments/entitlements": get entitlements::show;
    "/api/payments/checkout": post payments::checkout;
    "/api/payments/portal": post payments::portal;
    "/api/payments/change": post payments::change;
    "/api/payments/cancel": post payments::cancel;
    "/api/payments/resume": post payments::resume;
    "/api/payments/invoices": get payments::invoices;
    "/api/payments/reconcile": post reconcile::payments;
    "/api/payments/subscribe-link": post subscribe::link;
    "/subscribe": get subscribe::show, post subscribe::begin;
    "/subscribe/portal": post subscribe::manage;
    "/subscribe/resume": post subscribe::resume;
    "/subscribe/done": get subscribe::done;
    "/mock/checkout/{id}": get mock::checkout, post mock::complete;
    "/mock/portal/{id}": get mock::portal, post mock::manage;
    "/mock/invoice/{id}": get mock::invoice, post mock::pay;
    "/api/usage": get usage::show;
    "/api/webhooks/fal": post webhooks::fal;
    "/api/webhooks/stripe": post stripe::webhook;
    "/api/health": get health::report;
    "/api/health/live": get health::live;
    "/api/health/ready": get health::ready;
}

/// Every route of the public listener.
pub fn router(app: App) -> Router {
    router_with(app, Router::new())
}

/// Those, and `more` behind the same layers.
pub(crate) fn router_with(app: App, more: Router<App>) -> Router {
    let document = openapi::build(Routes::openapi(), app.intake.checks());
    routes()
        .merge(more)
        .route("/api/openapi.json", get(openapi::document).with_state(document))
        .fallback(answer::no_such_route)
        .method_not_allowed_fallback(answer::wrong_method)
        .layer(middleware::from_fn_with_state(request::Budget::new(), request::guard))
        .layer(CatchPanicLayer::custom(answer::panicked))
        .layer(middleware::from_fn(observe::observe))
        .with_state(app)
}
