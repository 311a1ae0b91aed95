//! Makes the schemas such that generators of clients understand them.

use std::collections::BTreeSet;

use serde_json::{Map, Value, json};

const PREFIX: &str = "#/components/schemas/";

/// Where the schema of this name is.
pub(super) fn reference(name: &str) -> String {
    format!("{PREFIX}{name}")
}

/// An object that is part of another is written out in it: a request refuses unknown fields, and so a schema that is closed could
/// have no others beside it. A second name of a schema becomes a schema of its own, which the generator for Python needs.
pub(super) fn write_out(schemas: &mut Map<String, Value>) {
    let named = schemas.clone();
    for schema in schemas.values_mut() {
        if schema.get("$ref").is_some() {
            let description = schema["description"].take();
            *schema = target(&named, schema).clone();
            if !description.is_null() {
                schema["description"] = description;
            }
        }
        if schema.get("allOf").is_some() {
            let (mut properties, mut required) = (Map::new(), BTreeSet::new());
            gather(&named, schema, &mut properties, &mut required);
            let description = schema["description"].take();
            *schema = json!({
                "type": "object", "description": description, "properties": properties, "required": required,
            });
        }
    }
}

/// The schema that a chain of references leads to.
fn target<'a>(named: &'a Map<String, Value>, schema: &'a Value) -> &'a Value {
    let name = schema.get("$ref").and_then(Value::as_str).and_then(|name| name.strip_prefix(PREFIX));
    match name.and_then(|name| named.get(name)) {
        Some(next) => target(named, next),
        None => schema,
    }
}

fn gather(
    named: &Map<String, Value>,
    schema: &Value,
    properties: &mut Map<String, Value>,
    required: &mut BTreeSet<String>,
) {
    let schema = target(named, schema);
    for part in schema["allOf"].as_array().into_iter().flatten() {
        gather(named, part, properties, required);
    }
    if let Some(own) = schema["properties"].as_object() {
        properties.extend(own.clone());
    }
    required.extend(schema["required"].as_array().into_iter().flatten().filter_map(Value::as_str).map(str::to_owned));
}

/// A client that was generated sends the `default` of every field that its user did not set; so what is left out would never be
/// left out. The default is told in words.
pub(super) fn tell_defaults(schema: &mut Value) {
    match schema {
        Value::Object(fields) => {
            if let Some(default) = fields.remove("default") {
                let told = fields.get("description").and_then(Value::as_str).unwrap_or_default();
                if !told.contains("if absent") {
                    let default = default.as_str().map_or_else(|| default.to_string(), str::to_owned);
                    let told = format!("{} `{default}` if absent.", told.trim_end());
                    fields.insert("description".to_owned(), told.trim_start().into());
                }
            }
            // A field that is called "default" would be taken for one; none is.
            fields.values_mut().for_each(tell_defaults);
        }
        Value::Array(entries) => entries.iter_mut().for_each(tell_defaults),
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written_out(schemas: Value) -> Map<String, Value> {
        let Value::Object(mut schemas) = schemas else { panic!("schemas by name") };
        write_out(&mut schemas);
        schemas
    }

    #[test]
    fn a_closed_object_inside_another_is_written_out_in_it() {
        let schemas = written_out(json!({
            "Asked": { "type": "object", "properties": { "a": { "type": "string" } }, "required": ["a"],
                       "additionalProperties": false },
            "Answer": { "description": "More.", "allOf": [
                { "$ref": "#/components/schemas/Asked" },
                { "type": "object", "properties": { "b": { "type": "integer" } }, "required": ["b"] },
            ] },
        }));
        let expected = json!({ "type": "object", "description": "More.", "required": ["a", "b"],
            "properties": { "a": { "type": "string" }, "b": { "type": "integer" } } });
        assert_eq!(schemas["Answer"], expected);
        assert_eq!(schemas["Asked"]["additionalProperties"], json!(false), "the request itself stays closed");
    }

    #[test]
    fn a_second_name_is_a_schema_of_its_own() {
        let schemas = written_out(json!({
            "Text": { "type": "object", "description": "A text.", "properties": {} },
            "Content": { "$ref": "#/components/schemas/Text", "description": "Writes a text." },
        }));
        assert_eq!(schemas["Content"], json!({ "type": "object", "description": "Writes a text.", "properties": {} }));
    }

    #[test]
    fn defaults_are_told_in_words() {
        let mut schema = json!({ "properties": {
            "a": { "type": "string", "default": "x", "description": "How." },
            "b": { "type": "integer", "default": 3, "description": "What; 3 if absent." },
            "c": { "type": "boolean", "default": false },
        } });
        tell_defaults(&mut schema);
        let expected = json!({ "properties": {
            "a": { "type": "string", "description": "How. `x` if absent." },
            "b": { "type": "integer", "description": "What; 3 if absent." },
            "c": { "type": "boolean", "description": "`false` if absent." },
        } });
        assert_eq!(schema, expected);
    }
}
