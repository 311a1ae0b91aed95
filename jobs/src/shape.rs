//! Reads JSON by the schema of its type and names every field that breaks it, in words for people.

use std::{
    collections::{BTreeMap, HashSet},
    marker::PhantomData,
};

use api::FieldError;
use jsonschema::{
    Draft, JsonType, ValidationError, Validator,
    error::{TypeKind, ValidationErrorKind as Broken},
};
use serde::de::DeserializeOwned;
use serde_json::{Map, Value, json};
use serde_path_to_error::{Path, Segment};
use utoipa::ToSchema;

/// So many bad fields are described; further ones are counted, each an error without words.
const MOST_DESCRIBED: usize = 100;

/// Schemas by their name in `#/components/schemas/`.
pub type Schemas = BTreeMap<String, Value>;

/// The JSON schema of `T`, compiled.
pub struct Shape<T> {
    rules: Rules,
    of: PhantomData<fn() -> T>,
}

impl<T: ToSchema + DeserializeOwned> Shape<T> {
    /// Compiles the schema that `T` declares.
    ///
    /// # Panics
    /// When the declared schema is no schema; a test of every type that is used so keeps that from happening.
    #[must_use]
    pub fn new() -> Self {
        Self { rules: Rules::new(&T::name(), &schemas_of::<T>()), of: PhantomData }
    }

    /// Reads `value`.
    ///
    /// # Errors
    /// All fields that break the schema, or the first that `T` itself refuses; pointers begin at `value`.
    pub fn read(&self, value: &Value) -> Result<T, Vec<FieldError>> {
        let errors = self.errors(value);
        if errors.is_empty() { deserialize(value).map_err(|error| vec![error]) } else { Err(errors) }
    }

    /// All fields that break the schema; behind the first hundred without words.
    pub(crate) fn errors(&self, value: &Value) -> Vec<FieldError> {
        self.rules.errors(value)
    }
}

/// A schema of whatever type: what is in here is compiled once, and not for each type.
struct Rules {
    document: Value,
    validator: Validator,
}

impl Rules {
    fn new(name: &str, schemas: &Schemas) -> Self {
        let document = json!({
            "$ref": format!("#/components/schemas/{name}"),
            "components": { "schemas": schemas },
        });
        let validator = jsonschema::options()
            .with_draft(Draft::Draft202012)
            .should_validate_formats(true)
            .build(&document)
            .unwrap_or_else(|error| panic!("the schema of {name} cannot be compiled: {error}"));
        Self { document, validator }
    }

    fn errors(&self, value: &Value) -> Vec<FieldError> {
        let mut errors = Vec::new();
        // Nearly all are good, and to find that out takes far less than to look for what is wrong.
        if self.validator.is_valid(value) {
            return errors;
        }
        let broken: Vec<_> = self.validator.iter_errors(value).collect();
        for error in each_once(&broken) {
            if errors.len() < MOST_DESCRIBED {
                self.describe(value, error, &mut errors);
            } else {
                errors.push(FieldError::new("", ""));
            }
        }
        errors
    }

    /// Adds what is wrong with a part of `whole`.
    fn describe(&self, whole: &Value, error: &ValidationError<'_>, errors: &mut Vec<FieldError>) {
        let pointer = error.instance_path().as_str();
        match error.kind() {
            Broken::Required { property } => {
                errors.push(FieldError::new(child(pointer, property.as_str().unwrap_or_default()), "is required"));
            }
            Broken::AdditionalProperties { unexpected } | Broken::UnevaluatedProperties { unexpected } => {
                add_unknown(pointer, unexpected.iter(), &self.known_fields(error), errors);
            }
            // What has no fields at all is told so, and not with the name of the first.
            Broken::FalseSchema if whole.pointer(pointer).is_some_and(Value::is_object) => {
                let object = whole.pointer(pointer).and_then(Value::as_object);
                add_unknown(pointer, object.into_iter().flat_map(Map::keys), "none", errors);
            }
            Broken::OneOfNotValid { context } | Broken::AnyOf { context } => {
                self.describe_choice(whole, error, context, errors);
            }
            kind => errors.push(FieldError::new(pointer, message(kind, error))),
        }
    }

    /// Describes the branch that was most likely meant: neither another JSON type nor another tag, with the fewest errors.
    fn describe_choice(
        &self,
        whole: &Value,
        choice: &ValidationError<'_>,
        branches: &[Vec<ValidationError<'static>>],
        errors: &mut Vec<FieldError>,
    ) {
        let pointer = choice.instance_path().as_str();
        let is_other_type = |branch: &[ValidationError<'_>]| {
            branch.iter().any(|e| matches!(e.kind(), Broken::Type { .. }) && e.instance_path().as_str() == pointer)
        };
        let meant: Vec<_> = branches.iter().filter(|branch| !is_other_type(branch)).collect();
        let tags: Vec<_> = meant.iter().map(|branch| wrong_tag(branch)).collect();
        if meant.is_empty() {
            let types: Vec<_> = branches.iter().flatten().filter_map(expected_type).collect();
            errors.push(FieldError::new(pointer, format!("must be {}", types.join(" or "))));
        } else if meant.len() > 1 && tags.iter().all(Option::is_some) {
            let names: Vec<_> = tags.iter().flatten().map(|(_, name)| name.as_str()).collect();
            let tag = tags.iter().flatten().next().map_or(pointer, |(pointer, _)| pointer.as_str());
            errors.push(FieldError::new(tag, format!("one of {}", names.join(", "))));
        } else if let Some(best) = meant.iter().min_by_key(|branch| (wrong_tag(branch).is_some(), branch.len())) {
            for error in each_once(best) {
                self.describe(whole, error, errors);
            }
        }
    }

    /// The fields of the object that has one too many.
    fn known_fields(&self, error: &ValidationError<'_>) -> String {
        let keyword = error.schema_path().as_str();
        let object = keyword.rsplit_once('/').map_or("", |(object, _)| object);
        let properties = self.document.pointer(&format!("{object}/properties")).and_then(Value::as_object);
        let names: Vec<_> =
            properties.into_iter().flat_map(|properties| properties.keys().map(String::as_str)).collect();
        if names.is_empty() { "none".to_owned() } else { names.join(", ") }
    }
}

impl<T: ToSchema + DeserializeOwned> Default for Shape<T> {
    fn default() -> Self {
        Self::new()
    }
}

/// The schema of `T` and of all that it refers to.
///
/// # Panics
/// When the declared schema is no schema, see [`Shape::new`].
#[must_use]
pub fn schemas_of<T: ToSchema>() -> Schemas {
    let mut schemas = Vec::new();
    T::schemas(&mut schemas);
    schemas.push((T::name().into_owned(), T::schema()));
    let value =
        |schema| serde_json::to_value(schema).unwrap_or_else(|error| panic!("schema of {}: {error}", T::name()));
    schemas.into_iter().map(|(name, schema)| (name, value(schema))).collect()
}

/// Reads `value`; the error names the first field that `T` refuses.
pub(crate) fn deserialize<T: DeserializeOwned>(value: &Value) -> Result<T, FieldError> {
    if let Ok(read) = T::deserialize(value) {
        return Ok(read);
    }
    // Once more, noting where.
    serde_path_to_error::deserialize(value)
        .map_err(|error| FieldError::new(pointer_of(error.path()), in_words(&error.inner().to_string())))
}

/// What Rust says of a value that passes the schema, as people say it.
fn in_words(message: &str) -> String {
    let number = message.strip_prefix("invalid type: floating point `").and_then(|rest| rest.split_once('`'));
    match number {
        Some((number, _)) => format!("must be a whole number, written without a point: not {number}"),
        None if message.starts_with("UUID parsing failed") => "must be the id of a job".to_owned(),
        None => message.to_owned(),
    }
}

fn pointer_of(path: &Path) -> String {
    path.iter().fold(String::new(), |pointer, segment| match segment {
        Segment::Seq { index } => format!("{pointer}/{index}"),
        Segment::Map { key } => child(&pointer, key),
        Segment::Enum { variant } => child(&pointer, variant),
        Segment::Unknown => pointer,
    })
}

/// All of these, but of a value that has another type only that: of course it is none of the options then.
fn each_once<'a, 'e>(errors: &'a [ValidationError<'e>]) -> impl Iterator<Item = &'a ValidationError<'e>> {
    let is_type = |error: &&ValidationError<'_>| matches!(error.kind(), Broken::Type { .. });
    let typed: HashSet<&str> = errors.iter().filter(is_type).map(|error| error.instance_path().as_str()).collect();
    errors.iter().filter(move |error| {
        !(matches!(error.kind(), Broken::Enum { .. }) && typed.contains(error.instance_path().as_str()))
    })
}

/// Adds fields of the object at `pointer` that are not known; behind the first hundred without words.
fn add_unknown<'a>(pointer: &str, names: impl Iterator<Item = &'a String>, known: &str, errors: &mut Vec<FieldError>) {
    errors.extend(names.enumerate().map(|(n, name)| match n < MOST_DESCRIBED {
        true => FieldError::new(child(pointer, name), format!("is not a known field; known: {known}")),
        false => FieldError::new("", ""),
    }));
}

/// The pointer of a field of the object at `pointer`.
fn child(pointer: &str, name: &str) -> String {
    format!("{pointer}/{}", name.replace('~', "~0").replace('/', "~1"))
}

/// The tag that a branch demands and the value does not have.
fn wrong_tag(branch: &[ValidationError<'_>]) -> Option<(String, String)> {
    branch.iter().find_map(|error| {
        let tag = match error.kind() {
            Broken::Constant { expected_value } => plain(expected_value),
            Broken::Enum { options } => match options.as_array().map(Vec::as_slice) {
                Some([only]) => plain(only),
                _ => return None,
            },
            _ => return None,
        };
        Some((error.instance_path().as_str().to_owned(), tag))
    })
}

fn expected_type(error: &ValidationError<'static>) -> Option<String> {
    match error.kind() {
        Broken::Type { kind } => Some(type_names(kind)),
        _ => None,
    }
}

fn message(kind: &Broken, error: &ValidationError<'_>) -> String {
    match kind {
        Broken::Type { kind } => {
            format!("must be {}, not {}", type_names(kind), type_name(JsonType::from(error.instance().as_ref())))
        }
        Broken::Enum { options } => {
            let options: Vec<_> = options.as_array().into_iter().flatten().map(plain).collect();
            format!("one of {}", options.join(", "))
        }
        Broken::Constant { expected_value } => format!("must be {}", plain(expected_value)),
        Broken::MinLength { limit: 1 } | Broken::MinItems { limit: 1 } | Broken::MinProperties { limit: 1 } => {
            "must not be empty".to_owned()
        }
        Broken::MinLength { limit } => format!("must be at least {limit} characters"),
        Broken::MaxLength { limit } => format!("must be at most {limit} characters"),
        Broken::MinItems { limit } => format!("must have at least {limit} entries"),
        Broken::MaxItems { limit } => format!("must have at most {limit} entries"),
        Broken::MinProperties { limit } => format!("must have at least {limit} fields"),
        Broken::MaxProperties { limit } => format!("must have at most {limit} fields"),
        Broken::Minimum { limit } => format!("must be at least {limit}"),
        Broken::Maximum { limit } => format!("must be at most {limit}"),
        Broken::ExclusiveMinimum { limit } => format!("must be more than {limit}"),
        Broken::ExclusiveMaximum { limit } => format!("must be less than {limit}"),
        Broken::UniqueItems => "must not name the same entry twice".to_owned(),
        Broken::Pattern { pattern } => format!("must match {pattern}"),
        Broken::Format { format } if format == "date-time" => {
            "must be a time like 2026-01-31T12:00:00Z (RFC 3339)".to_owned()
        }
        Broken::Format { format } => format!("must be a valid {format}"),
        // The crate's own text quotes the value, which may be long or private.
        other => format!("breaks the rule {:?} of the schema", other.keyword()),
    }
}

fn type_names(kind: &TypeKind) -> String {
    match kind {
        TypeKind::Single(only) => type_name(*only).to_owned(),
        TypeKind::Multiple(several) => several.iter().map(type_name).collect::<Vec<_>>().join(" or "),
    }
}

fn type_name(json_type: JsonType) -> &'static str {
    match json_type {
        JsonType::Null => "null",
        JsonType::Boolean => "true or false",
        JsonType::Integer => "a whole number",
        JsonType::Number => "a number",
        JsonType::String => "a string",
        JsonType::Array => "an array",
        JsonType::Object => "an object",
    }
}

/// A value without the quotes of a string.
fn plain(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;

    use super::*;

    #[derive(Debug, Deserialize, ToSchema)]
    #[serde(deny_unknown_fields)]
    #[expect(dead_code, reason = "only its schema and its reading are looked at")]
    struct Order {
        #[schema(min_length = 1, max_length = 5)]
        name: String,
        size: Size,
        backup_size: Option<Size>,
        #[serde(default)]
        #[schema(minimum = 1, maximum = 9)]
        count: Option<u8>,
        #[schema(max_items = 2)]
        lines: Vec<Line>,
        way: Option<Way>,
        at: Option<chrono::DateTime<chrono::Utc>>,
    }

    #[derive(Debug, Deserialize, ToSchema)]
    #[serde(rename_all = "lowercase")]
    enum Size {
        Small,
        Large,
    }

    #[derive(Debug, Deserialize, ToSchema)]
    #[serde(deny_unknown_fields)]
    #[expect(dead_code, reason = "only its schema and its reading are looked at")]
    struct Line {
        #[serde(rename = "a/b")]
        text: String,
    }

    #[derive(Debug, Deserialize, ToSchema)]
    #[serde(tag = "by", rename_all = "lowercase", deny_unknown_fields)]
    #[expect(dead_code, reason = "only its schema and its reading are looked at")]
    enum Way {
        Post {
            street: String,
        },
        Wire {
            #[schema(minimum = 1)]
            line: u32,
        },
    }

    #[derive(Debug, Deserialize, ToSchema)]
    #[serde(deny_unknown_fields)]
    struct Empty {}

    #[derive(Debug, Deserialize, ToSchema)]
    #[serde(deny_unknown_fields)]
    #[expect(dead_code, reason = "only its schema and its reading are looked at")]
    struct Sized {
        #[serde(default)]
        #[schema(nullable = false)]
        size: Option<Size>,
    }

    fn errors(change: impl FnOnce(&mut Value)) -> Vec<(String, String)> {
        let mut value = json!({ "name": "chair", "size": "small", "lines": [{ "a/b": "x" }] });
        change(&mut value);
        let errors = Shape::<Order>::new().read(&value).err().unwrap_or_default();
        errors.into_iter().map(|error| (error.pointer, error.message)).collect()
    }

    fn error(field: &str, bad: Value) -> (String, String) {
        let errors = errors(|order| order[field] = bad);
        assert_eq!(errors.len(), 1, "{errors:?}");
        errors.into_iter().next().unwrap()
    }

    #[test]
    fn good_values_pass() {
        assert_eq!(errors(|_| {}), []);
        assert_eq!(errors(|order| order["backup_size"] = json!(null)), []);
        assert_eq!(errors(|order| order["backup_size"] = json!("large")), []);
        assert_eq!(errors(|order| order["way"] = json!({ "by": "wire", "line": 3 })), []);
        assert_eq!(errors(|order| order["at"] = json!("2026-01-31T12:00:00Z")), []);
    }

    #[test]
    fn each_rule_has_words() {
        let pair = |pointer: &str, message: &str| (pointer.to_owned(), message.to_owned());
        assert_eq!(error("name", json!(1)), pair("/name", "must be a string, not a number"));
        assert_eq!(error("name", json!("")), pair("/name", "must not be empty"));
        assert_eq!(error("name", json!("armchair")), pair("/name", "must be at most 5 characters"));
        assert_eq!(error("size", json!("huge")), pair("/size", "one of small, large"));
        assert_eq!(error("backup_size", json!("huge")), pair("/backup_size", "one of small, large"));
        assert_eq!(error("count", json!(0)), pair("/count", "must be at least 1"));
        assert_eq!(error("count", json!(10)), pair("/count", "must be at most 9"));
        assert_eq!(error("count", json!("3")), pair("/count", "must be null or a whole number, not a string"));
        assert_eq!(error("at", json!("soon")), pair("/at", "must be a time like 2026-01-31T12:00:00Z (RFC 3339)"));
        let line = || json!({ "a/b": "x" });
        assert_eq!(error("lines", json!([line(), line(), line()])), pair("/lines", "must have at most 2 entries"));
        assert_eq!(error("lines", json!([line(), {}])), pair("/lines/1/a~1b", "is required"));
    }

    #[test]
    fn an_unknown_field_is_named_with_what_is_known() {
        let (pointer, message) = error("colour/tint", json!("red"));
        assert_eq!(pointer, "/colour~1tint");
        assert_eq!(message, "is not a known field; known: at, backup_size, count, lines, name, size, way");
        let (pointer, message) = error("lines", json!([{ "a/b": "x", "more": 1 }]));
        assert_eq!((pointer.as_str(), message.as_str()), ("/lines/0/more", "is not a known field; known: a/b"));
    }

    #[test]
    fn a_field_of_what_has_none_is_named_too() {
        let errors = Shape::<Empty>::new().read(&json!({ "a": 1, "b/c": 2 })).unwrap_err();
        let told: Vec<_> = errors.iter().map(|error| (error.pointer.as_str(), error.message.as_str())).collect();
        let message = "is not a known field; known: none";
        assert_eq!(told, [("/a", message), ("/b~1c", message)]);
        assert!(Shape::<Empty>::new().read(&json!({})).is_ok());
    }

    #[test]
    fn of_a_value_of_another_type_only_that_is_told() {
        for (bad, message) in [
            (json!({ "size": null }), "must be a string, not null"),
            (json!({ "size": 7 }), "must be a string, not a number"),
            (json!({ "size": "huge" }), "one of small, large"),
        ] {
            let errors = Shape::<Sized>::new().read(&bad).unwrap_err();
            let told: Vec<_> = errors.iter().map(|error| (error.pointer.as_str(), error.message.as_str())).collect();
            assert_eq!(told, [("/size", message)], "{bad}");
        }
    }

    #[test]
    fn the_meant_variant_is_described() {
        assert_eq!(error("way", json!({ "by": "wire", "line": 0 })).0, "/way/line");
        assert_eq!(error("way", json!({ "by": "pigeon" })), ("/way/by".to_owned(), "one of post, wire".to_owned()));
    }

    #[test]
    fn all_errors_are_told_at_once() {
        let errors = errors(|order| *order = json!({ "name": 1, "size": "huge", "extra": 1 }));
        let mut pointers: Vec<_> = errors.iter().map(|(pointer, _)| pointer.as_str()).collect();
        pointers.sort_unstable();
        assert_eq!(pointers, ["/extra", "/lines", "/name", "/size"]);
    }

    #[test]
    fn of_very_many_bad_fields_the_first_are_described_and_all_are_counted() {
        let many = errors(|order| {
            for n in 0..5_000 {
                order[format!("colour{n}")] = json!(0);
            }
        });
        assert_eq!(many.len(), 5_000);
        assert_eq!(many.iter().filter(|(_, message)| !message.is_empty()).count(), MOST_DESCRIBED);
    }

    #[test]
    fn what_only_the_type_refuses_is_named_too() {
        // 300 is within no rule of the schema that says u8, and 1.0 is an integer to JSON schema but not to Rust.
        assert_eq!(error("count", json!(1.0)).0, "/count");
    }
}
