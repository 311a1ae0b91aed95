//! The OpenAPI 3.1 document: the routes from their handlers, the payloads and results from the job kinds.

mod operations;
mod parts;
mod schemas;

use axum::{
    extract::State,
    http::header,
    response::{IntoResponse, Response},
};
use bytes::Bytes;
use jobs::{Checks, KindSchema};
use serde_json::{Map, Value, json};
use utoipa::openapi::OpenApi;

use self::schemas::reference;

/// This document.
#[utoipa::path(
    get, path = "/api/openapi.json", tag = "health", security(()),
    responses((status = 200, description = "The OpenAPI document", body = Object))
)]
pub(crate) async fn document(State(text): State<Bytes>) -> Response {
    ([(header::CONTENT_TYPE, "application/json")], text).into_response()
}

/// The document as JSON text: what `routes` say of themselves, completed.
///
/// # Panics
/// Never in practice: the document is made of strings, numbers and maps with string keys.
pub(crate) fn build(routes: OpenApi, checks: &Checks) -> Bytes {
    let mut document = serde_json::to_value(routes).unwrap_or_else(|error| panic!("OpenAPI: {error}"));
    let components = &mut document["components"];
    if let Some(schemas) = components["schemas"].as_object_mut() {
        schemas.extend(checks.schemas());
        add_kinds(schemas, &checks.kind_schemas());
        schemas::write_out(schemas);
        parts::add(schemas, &checks.kind_schemas());
        add_events(schemas);
    }
    schemas::tell_defaults(&mut components["schemas"]);
    components["responses"] = operations::responses().into();
    components["securitySchemes"] = json!({ "token": { "type": "http", "scheme": "bearer", "bearerFormat": "JWT" } });
    type_stream(&mut document["paths"]["/api/jobs/{id}/events"]["get"]);
    parts::type_lines(&mut document["paths"]["/api/stores/{name}/products"]["post"]);
    operations::complete(&mut document["paths"]);
    Bytes::from(document.to_string())
}

/// A request for a job is one of as many shapes as there are kinds.
fn add_kinds(schemas: &mut Map<String, Value>, kinds: &[KindSchema]) {
    let name = |kind: &KindSchema| format!("JobRequest-{}", kind.kind.name);
    for kind in kinds {
        schemas.insert(name(kind), request_of(kind));
    }
    let mapping: Map<_, _> =
        kinds.iter().map(|kind| (kind.kind.name.clone(), Value::from(reference(&name(kind))))).collect();
    let request = json!({
        "description": "A job to be done; its kind decides what the payload is.",
        "oneOf": kinds.iter().map(|kind| json!({ "$ref": reference(&name(kind)) })).collect::<Vec<_>>(),
        "discriminator": { "propertyName": "kind", "mapping": mapping },
    });
    schemas.insert("JobRequest".to_owned(), request);
}

/// An event of a stream is one of as many shapes as there are names of events: what its lines `id`, `event` and `data` say.
fn add_events(schemas: &mut Map<String, Value>) {
    let name = |event: &str| format!("JobEvent-{event}");
    for (event, data) in api::JobEvent::ALL {
        let shape = json!({
            "type": "object",
            "required": ["id", "event", "data"],
            "properties": {
                "id": { "type": "string", "pattern": "^[0-9]+$", "description": "Rises; goes into Last-Event-ID." },
                "event": { "type": "string", "const": event },
                "data": { "$ref": reference(data) },
            },
        });
        schemas.insert(name(event), shape);
    }
    let mapping: Map<_, _> = api::JobEvent::ALL
        .iter()
        .map(|(event, _)| ((*event).to_owned(), Value::from(reference(&name(event)))))
        .collect();
    let one = json!({
        "description": "What happened to a job; `data` is JSON.",
        "oneOf": api::JobEvent::ALL.iter().map(|(event, _)| json!({ "$ref": reference(&name(event)) })).collect::<Vec<_>>(),
        "discriminator": { "propertyName": "event", "mapping": mapping },
    });
    schemas.insert("JobEvent".to_owned(), one);
}

/// The answer is text for whoever reads it at once, and a row of events for whoever reads it as it comes.
fn type_stream(operation: &mut Value) {
    operation["responses"]["200"]["content"]["text/event-stream"]["schema"] = json!({
        "type": "string", "contentMediaType": "text/event-stream", "contentSchema": { "$ref": reference("JobEvent") },
    });
}

fn request_of(kind: &KindSchema) -> Value {
    let defaults = &kind.kind;
    json!({
        "type": "object",
        "description": format!(
            "Defaults: {} attempts, {} s for each, fallback {}. The result is a {}.",
            defaults.max_attempts, defaults.timeout_s, if defaults.allow_fallback { "allowed" } else { "not allowed" }, kind.result
        ),
        "required": ["kind", "payload"],
        "additionalProperties": false,
        "properties": {
            "kind": { "type": "string", "const": defaults.name },
            "payload": { "$ref": reference(&kind.payload) },
            "options": { "oneOf": [{ "type": "null" }, { "$ref": reference("JobOptions") }] },
        },
    })
}
