//! Payloads that stand inside of other requests, without the fields that the path tells: in the document with all their fields. The routes read
//! them as objects, and check them as the payloads that they become.

use jobs::KindSchema;
use serde_json::{Map, Value, json};

use super::schemas::reference;

/// The request that publishes one product.
const PUBLISH: &str = "PublishRequest";
/// The request that publishes many, and one of its products.
const CATALOGUE: (&str, &str) = ("CatalogueRequest", "CatalogueProduct");

/// Adds what these requests are made of. Call it when all other schemas are complete.
pub(super) fn add(schemas: &mut Map<String, Value>, kinds: &[KindSchema]) {
    let payload = |schemas: &Map<String, Value>, kind: &str| {
        let name = kinds.iter().find(|other| other.kind.name == kind).map(|kind| kind.payload.as_str());
        name.and_then(|name| schemas.get(name)).cloned().unwrap_or_default()
    };
    for (field, is_needed) in [("publication", true), ("content", false), ("image", false)] {
        let name = format!("{PUBLISH}-{field}");
        let part = without(payload(schemas, field), &["product_id"], &[]);
        schemas.insert(name.clone(), part);
        point(schemas, field, &name, is_needed);
    }
    point(schemas, "options", "JobOptions", false);
    let product = without(payload(schemas, "publication"), &[], &["store", "shop"]);
    schemas.insert(CATALOGUE.1.to_owned(), product);
    if let Some(request) = schemas.get_mut(CATALOGUE.0) {
        request["properties"]["products"]["items"] = json!({ "$ref": reference(CATALOGUE.1) });
    }
}

/// Lets each line of the request that publishes many be one of its products.
pub(super) fn type_lines(operation: &mut Value) {
    let lines = &mut operation["requestBody"]["content"]["application/x-ndjson"];
    lines["schema"] = json!({ "$ref": reference(CATALOGUE.1) });
}

fn point(schemas: &mut Map<String, Value>, field: &str, name: &str, is_needed: bool) {
    let Some(request) = schemas.get_mut(PUBLISH) else { return };
    let field = &mut request["properties"][field];
    let description = field["description"].take();
    let to = json!({ "$ref": reference(name) });
    *field = if is_needed { to } else { json!({ "oneOf": [{ "type": "null" }, to] }) };
    field["description"] = description;
}

/// The schema in which some fields need not be there and some cannot.
fn without(mut schema: Value, optional: &[&str], gone: &[&str]) -> Value {
    if let Some(required) = schema["required"].as_array_mut() {
        required.retain(|name| name.as_str().is_none_or(|name| !optional.contains(&name) && !gone.contains(&name)));
    }
    if let Some(properties) = schema["properties"].as_object_mut() {
        properties.retain(|name, _| !gone.contains(&name.as_str()));
    }
    schema
}
