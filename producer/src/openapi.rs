//! The OpenAPI 3.1 document: the routes from their handlers, the payloads and results from the job kinds.

use axum::{
    extract::State,
    http::header,
    response::{IntoResponse, Response},
};
use bytes::Bytes;
use jobs::{Checks, KindSchema};
use serde_json::{Map, Value, json};
use utoipa::OpenApi;

use crate::{
    api::{batch, emails, events, health, jobs as job_routes, list, mode, queues, schedules, status, usage},
    app::App,
    problem::ProblemBody,
};

const PROBLEM: &str = "#/components/schemas/Problem";

#[derive(OpenApi)]
#[openapi(
    info(title = "ECOMSIMPLY jobs", description = "Takes jobs, tells how they stand, and gives their results."),
    paths(
        job_routes::create,
        list::list,
        batch::create,
        job_routes::show,
        events::stream,
        job_routes::cancel,
        job_routes::retry,
        job_routes::run_now,
        queues::list,
        queues::dead,
        queues::delete_dead,
        queues::replay_dead,
        queues::pause,
        queues::resume,
        mode::show,
        mode::switch,
        status::all,
        status::one,
        schedules::list,
        schedules::show,
        schedules::put,
        schedules::delete,
        schedules::run,
        schedules::pause,
        schedules::resume,
        schedules::next,
        schedules::runs,
        emails::list,
        emails::preview,
        emails::show,
        emails::ask_to_unsubscribe,
        emails::unsubscribe,
        usage::show,
        health::report,
        health::live,
        health::ready,
        document,
    ),
    components(schemas(ProblemBody<'_>)),
    security(("token" = []))
)]
struct Routes;

/// This document.
#[utoipa::path(
    get, path = "/api/openapi.json", tag = "health", security(()),
    responses((status = 200, description = "The OpenAPI document", body = Object))
)]
pub(crate) async fn document(State(app): State<App>) -> Response {
    ([(header::CONTENT_TYPE, "application/json")], app.openapi).into_response()
}

/// The document as JSON text.
///
/// # Panics
/// Never in practice: the document is made of strings, numbers and maps with string keys.
pub(crate) fn build(checks: &Checks) -> Bytes {
    let mut document = serde_json::to_value(Routes::openapi()).unwrap_or_else(|error| panic!("OpenAPI: {error}"));
    let components = &mut document["components"];
    for (name, schema) in checks.schemas() {
        components["schemas"][name] = schema;
    }
    add_kinds(&mut components["schemas"], &checks.kind_schemas());
    components["securitySchemes"] = json!({ "token": { "type": "http", "scheme": "bearer", "bearerFormat": "JWT" } });
    for operation in operations(&mut document["paths"]) {
        operation["responses"]["default"] = json!({
            "description": "A problem; `type` tells which",
            "content": { "application/problem+json": { "schema": { "$ref": PROBLEM } } },
        });
    }
    Bytes::from(document.to_string())
}

fn operations(paths: &mut Value) -> impl Iterator<Item = &mut Value> {
    paths.as_object_mut().into_iter().flat_map(Map::values_mut).flat_map(|path| {
        path.as_object_mut()
            .into_iter()
            .flat_map(Map::iter_mut)
            .filter(|(name, _)| *name != "parameters")
            .map(|(_, op)| op)
    })
}

/// A request for a job is one of as many shapes as there are kinds.
fn add_kinds(schemas: &mut Value, kinds: &[KindSchema]) {
    let name = |kind: &KindSchema| format!("JobRequest-{}", kind.kind.name);
    let reference = |name: &str| format!("#/components/schemas/{name}");
    for kind in kinds {
        schemas[name(kind)] = request_of(kind);
    }
    let mapping: Map<_, _> =
        kinds.iter().map(|kind| (kind.kind.name.clone(), Value::from(reference(&name(kind))))).collect();
    schemas["JobRequest"] = json!({
        "oneOf": kinds.iter().map(|kind| json!({ "$ref": reference(&name(kind)) })).collect::<Vec<_>>(),
        "discriminator": { "propertyName": "kind", "mapping": mapping },
    });
}

fn request_of(kind: &KindSchema) -> Value {
    let defaults = &kind.kind;
    json!({
        "type": "object",
        "title": defaults.name,
        "description": format!(
            "Defaults: {} attempts, {} s for each, fallback {}. The result is a {}.",
            defaults.max_attempts, defaults.timeout_s, if defaults.allow_fallback { "allowed" } else { "not allowed" }, kind.result
        ),
        "required": ["kind", "payload"],
        "additionalProperties": false,
        "properties": {
            "kind": { "type": "string", "const": defaults.name },
            "payload": { "$ref": format!("#/components/schemas/{}", kind.payload) },
            "options": { "oneOf": [{ "type": "null" }, { "$ref": "#/components/schemas/JobOptions" }] },
        },
    })
}
