//! What is answered of an object: the fields that are selected, and no others.

use serde_json::{Map, Value, json};

use super::document::{Field, Selection};

/// The fields of `value` that are selected. Of a list in pages, the page.
pub(super) fn select(value: &Value, selection: &[Selection]) -> Result<Value, String> {
    match value {
        Value::Array(values) => values.iter().map(|value| select(value, selection)).collect(),
        Value::Object(_) if !selection.is_empty() => {
            let mut answer = Map::new();
            put(value, selection, &mut answer)?;
            Ok(Value::Object(answer))
        }
        Value::Object(_) => Err("Field must have selections".to_owned()),
        other => Ok(other.clone()),
    }
}

fn put(value: &Value, selection: &[Selection], answer: &mut Map<String, Value>) -> Result<(), String> {
    for selection in selection {
        match selection {
            Selection::On(kind, fields) => {
                if value["__typename"] == kind.as_str() {
                    put(value, fields, answer)?;
                }
            }
            Selection::Field(field) => {
                answer.insert(field.alias.clone(), of_field(value, field)?);
            }
        }
    }
    Ok(())
}

fn of_field(value: &Value, field: &Field) -> Result<Value, String> {
    let argument = |name: &str| field.arguments.get(name).unwrap_or(&Value::Null);
    let found = match field.name.as_str() {
        "metafield" => {
            let mut fields = value["metafields"].as_array().into_iter().flatten();
            let is_it =
                |metafield: &&Value| ["namespace", "key"].iter().all(|name| metafield[*name] == *argument(name));
            fields.find(is_it).cloned().unwrap_or_default()
        }
        "publishedOnPublication" => {
            json!(value["publications"].as_array().is_some_and(|all| all.contains(argument("publicationId"))))
        }
        "inventoryLevel" => {
            argument("locationId").as_str().map(|location| value["levels"][location].clone()).unwrap_or_default()
        }
        "quantities" => {
            let is_meant =
                |quantity: &&Value| argument("names").as_array().is_some_and(|names| names.contains(&quantity["name"]));
            value["quantities"].as_array().into_iter().flatten().filter(is_meant).cloned().collect()
        }
        "translations" if field.arguments.contains_key("locale") => {
            let locale = argument("locale").as_str().unwrap_or_default();
            value["translations"].get(locale).cloned().unwrap_or_else(|| json!([]))
        }
        name => match value.get(name) {
            Some(Value::Array(all)) if field.arguments.contains_key("first") => {
                page(all, argument("first"), argument("after"))
            }
            Some(found) => found.clone(),
            None => return Err(format!("Field '{name}' doesn't exist on this type of the stand-in")),
        },
    };
    select(&found, &field.fields)
}

/// A page of a list. A cursor is the number of entries before.
pub(super) fn page(all: &[Value], first: &Value, after: &Value) -> Value {
    let from = after.as_str().and_then(|after| after.parse().ok()).unwrap_or(0).min(all.len());
    let to = (from + first.as_u64().unwrap_or(0) as usize).min(all.len());
    let end = if to > from { json!(to.to_string()) } else { Value::Null };
    json!({ "nodes": all[from..to], "pageInfo": { "hasNextPage": to < all.len(), "endCursor": end } })
}
