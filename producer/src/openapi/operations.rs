//! What is said of every call in the same way: its name, who may make it, and each status that it may be answered with.

use serde_json::{Map, Value, json};

use super::schemas::reference;
use crate::answer::Type;

const METHODS: [&str; 8] = ["get", "put", "post", "delete", "options", "head", "patch", "trace"];

/// Completes every operation under `paths`.
pub(super) fn complete(paths: &mut Value) {
    for (path, item) in paths.as_object_mut().into_iter().flatten() {
        for (method, operation) in item.as_object_mut().into_iter().flatten() {
            if METHODS.contains(&method.as_str()) {
                name(operation);
                say_who_may(operation);
                refuse_null(operation);
                leave_out_body(operation);
                add_statuses(operation, path.contains('{'));
            }
        }
    }
}

/// A problem of each status, for `#/components/responses/`.
pub(super) fn responses() -> Map<String, Value> {
    let mut statuses: Vec<u16> = Type::ALL.iter().map(|kind| kind.status()).collect();
    statuses.sort_unstable();
    statuses.dedup();
    statuses.into_iter().map(|status| (response_name(status), response(status))).collect()
}

fn response_name(status: u16) -> String {
    format!("Problem{status}")
}

fn response(status: u16) -> Value {
    let kinds = Type::ALL.into_iter().filter(|kind| kind.status() == status);
    let kinds: Vec<_> = kinds.map(|kind| format!("`{}` ({})", kind.slug(), kind.title())).collect();
    let mut response = json!({
        "description": format!("A problem whose `type` ends in {}", kinds.join(" or ")),
        "content": problem(),
    });
    if Type::ALL.iter().any(|kind| kind.status() == status && kind.is_temporary()) {
        let after = json!({ "description": "Seconds after which to try again", "schema": { "type": "integer" } });
        response["headers"]["Retry-After"] = after;
    }
    response
}

fn problem() -> Value {
    json!({ "application/problem+json": { "schema": { "$ref": reference("Problem") } } })
}

/// Functions are called alike in the files of several resources, so the resource stands before.
fn name(operation: &mut Value) {
    let (tag, name) = (operation["tags"][0].as_str().unwrap_or_default(), operation["operationId"].as_str());
    let name = name.unwrap_or_default();
    if !name.starts_with(&format!("{tag}_")) {
        operation["operationId"] = format!("{tag}_{name}").into();
    }
}

/// Generators look at the operation alone, and take a list with an empty entry for one that needs a token.
fn say_who_may(operation: &mut Value) {
    let ways = operation.get("security").and_then(Value::as_array);
    let is_open = ways.is_some_and(|ways| ways.iter().all(|way| *way == json!({})));
    operation["security"] = if is_open { json!([]) } else { json!([{ "token": [] }]) };
}

/// A parameter can be left out; there is no null in a header or a query.
fn refuse_null(operation: &mut Value) {
    let parameters = operation.get_mut("parameters").and_then(Value::as_array_mut);
    for schema in parameters.into_iter().flatten().filter_map(|parameter| parameter.get_mut("schema")) {
        let types = schema.get("type").and_then(Value::as_array).cloned().unwrap_or_default();
        if let [only] = types.iter().filter(|name| **name != "null").collect::<Vec<_>>()[..] {
            schema["type"] = only.clone();
        }
    }
}

/// A body that may be left out is no `null` either.
fn leave_out_body(operation: &mut Value) {
    let Some(body) = operation.get_mut("requestBody") else { return };
    for media in body["content"].as_object_mut().into_iter().flat_map(Map::values_mut) {
        let choices = media["schema"]["oneOf"].as_array().cloned().unwrap_or_default();
        let null = json!({ "type": "null" });
        if let ([only], true) =
            (&choices.iter().filter(|one| **one != null).collect::<Vec<_>>()[..], choices.contains(&null))
        {
            media["schema"] = (*only).clone();
        }
    }
}

/// What the operation itself says stays: of a problem it needs to name only status and description.
fn add_statuses(operation: &mut Value, has_path: bool) {
    let is_open = operation["security"] == json!([]);
    let has_body = operation.get("requestBody").is_some();
    let has_parameters = operation.get("parameters").is_some();
    // Of the server itself: a request that it cannot read, one too many, and a fault of ours.
    let mut statuses = vec![400, 408, 414, 431, 500, 503];
    if !is_open {
        statuses.extend([401, 403]);
    }
    if has_path {
        statuses.push(404);
    }
    if has_body {
        statuses.extend([413, 415]);
    }
    if has_body || has_parameters {
        statuses.push(422);
    }
    let Some(responses) = operation["responses"].as_object_mut() else { return };
    for (status, own) in responses.iter_mut() {
        let is_problem = status.parse::<u16>().is_ok_and(|status| status >= 400);
        if is_problem && own.get("content").is_none() {
            own["content"] = problem();
        }
    }
    for status in statuses {
        let shared = json!({ "$ref": format!("#/components/responses/{}", response_name(status)) });
        let own = responses.entry(status.to_string()).or_insert(shared);
        if let Some(content) = own.get_mut("content").and_then(Value::as_object_mut) {
            content.extend(problem().as_object().cloned().unwrap_or_default());
        }
    }
}
