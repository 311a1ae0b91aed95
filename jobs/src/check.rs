//! What the API asks of every kind: its defaults, its schema, whether a payload is good, and which store it needs.

use std::fmt;

use api::FieldError;
use queue::Kind;
use serde_json::Value;

use crate::{
    handler::{Handler, NamedStore, Registry},
    shape::{Schemas, Shape, deserialize, schemas_of},
};

/// Why a payload is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PayloadError {
    /// There is no such kind.
    #[error("unknown kind; known: {}", known.join(", "))]
    UnknownKind {
        /// All kinds there are.
        known: Vec<String>,
    },
    /// All bad fields, with pointers that begin at the payload.
    #[error("{} bad fields", .0.len())]
    Invalid(Vec<FieldError>),
}

/// The schemas of one kind, by name in [`Checks::schemas`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KindSchema {
    /// The kind and its defaults.
    pub kind: Kind,
    /// Name of the payload's schema.
    pub payload: String,
    /// Name of the result's schema.
    pub result: String,
}

/// The checks of every registered kind; see [`crate::register`].
#[derive(Default)]
pub struct Checks {
    entries: Vec<Entry>,
}

type Check = Box<dyn Fn(&Value) -> Result<Option<NamedStore>, Vec<FieldError>> + Send + Sync>;

struct Entry {
    schema: KindSchema,
    collection: &'static str,
    for_operators: bool,
    schemas: Schemas,
    check: Check,
}

impl Checks {
    /// Checks the payload of a job of `kind`. The tenant's store that it needs, if it names one, was not looked for.
    ///
    /// # Errors
    /// [`PayloadError`], with all bad fields at once.
    pub fn check(&self, kind: &str, payload: &Value) -> Result<Option<NamedStore>, PayloadError> {
        let entry = self.entry(kind).ok_or_else(|| PayloadError::UnknownKind { known: self.names() })?;
        (entry.check)(payload).map_err(PayloadError::Invalid)
    }

    /// The defaults of all kinds.
    #[must_use]
    pub fn kinds(&self) -> Vec<Kind> {
        self.entries.iter().map(|entry| entry.schema.kind.clone()).collect()
    }

    /// The MongoDB collection of a kind's results.
    #[must_use]
    pub fn collection(&self, kind: &str) -> Option<&'static str> {
        self.entry(kind).map(|entry| entry.collection)
    }

    /// Whether only operators may push jobs of this kind.
    #[must_use]
    pub fn is_for_operators(&self, kind: &str) -> bool {
        self.entry(kind).is_some_and(|entry| entry.for_operators)
    }

    /// Which schemas belong to which kind.
    #[must_use]
    pub fn kind_schemas(&self) -> Vec<KindSchema> {
        self.entries.iter().map(|entry| entry.schema.clone()).collect()
    }

    /// All schemas of payloads and results, for `#/components/schemas/` of an OpenAPI 3.1 document.
    #[must_use]
    pub fn schemas(&self) -> Schemas {
        self.entries.iter().flat_map(|entry| entry.schemas.clone()).collect()
    }

    fn names(&self) -> Vec<String> {
        self.entries.iter().map(|entry| entry.schema.kind.name.clone()).collect()
    }

    fn entry(&self, kind: &str) -> Option<&Entry> {
        self.entries.iter().find(|entry| entry.schema.kind.name == kind)
    }
}

impl Registry for Checks {
    fn add<J: Handler>(mut self) -> Self {
        let shape = Shape::<J>::new();
        let mut schemas = schemas_of::<J>();
        schemas.extend(schemas_of::<J::Output>());
        self.entries.push(Entry {
            schema: KindSchema {
                kind: Kind::of::<J>(),
                payload: J::name().into_owned(),
                result: <J::Output as utoipa::ToSchema>::name().into_owned(),
            },
            collection: J::COLLECTION,
            for_operators: J::FOR_OPERATORS,
            schemas,
            check: Box::new(move |payload| check(&shape, payload)),
        });
        self
    }
}

impl fmt::Debug for Checks {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Checks").field("kinds", &self.names()).finish_non_exhaustive()
    }
}

/// The schema first. What it lets through is decoded as a worker would; a payload that decodes is asked for its own rules
/// even when the schema had something to say, so that a caller learns everything at once.
fn check<J: Handler>(shape: &Shape<J>, payload: &Value) -> Result<Option<NamedStore>, Vec<FieldError>> {
    let mut errors = shape.errors(payload);
    let mut store = None;
    match deserialize::<J>(payload) {
        Ok(job) => {
            let own = job.check().into_iter();
            let new: Vec<_> = own.filter(|own| errors.iter().all(|error| error.pointer != own.pointer)).collect();
            errors.extend(new);
            store = job.store();
        }
        Err(error) if errors.is_empty() => errors.push(error),
        Err(_) => {}
    }
    if errors.is_empty() { Ok(store) } else { Err(errors) }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use serde_json::json;

    use super::*;

    /// Name, attempts, timeout in seconds, fallback, concurrency.
    type Row = (&'static str, u32, u64, bool, usize);

    #[derive(Default)]
    struct Rows(Vec<(Row, &'static str)>);

    impl Registry for Rows {
        fn add<J: Handler>(mut self) -> Self {
            let row = (J::KIND, J::MAX_ATTEMPTS, J::TIMEOUT_S, J::ALLOW_FALLBACK, J::CONCURRENCY);
            self.0.push((row, J::COLLECTION));
            self
        }
    }

    #[test]
    fn no_two_kinds_have_the_same_name() {
        let rows = crate::register(Rows::default()).0;
        let names: BTreeSet<_> = rows.iter().map(|(row, _)| row.0).collect();
        assert_eq!(names.len(), rows.len(), "{names:?}");
        let collections: BTreeSet<_> = rows.iter().map(|(_, collection)| collection).collect();
        assert_eq!(collections.len(), rows.len(), "{collections:?}");
        for name in names {
            let good = |byte: u8| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'-');
            assert!(!name.is_empty() && name.bytes().all(good), "{name:?} cannot be the name of a queue");
        }
    }

    #[test]
    fn defaults_are_the_promised_ones() {
        const PROMISED: [Row; 8] = [
            ("content", 5, 120, true, 16),
            ("image", 5, 300, true, 8),
            ("scrape", 4, 240, true, 32),
            ("email", 8, 30, false, 8),
            ("publication", 6, 120, false, 8),
            ("payment", 10, 30, false, 4),
            ("backup", 3, 3600, false, 4),
            ("maintenance", 3, 600, false, 4),
        ];
        // A kind that is not in the table has the defaults that it wants.
        let rows = crate::register(Rows::default()).0.into_iter().map(|(row, _)| row);
        let named: Vec<Row> = rows.filter(|row| PROMISED.iter().any(|promised| promised.0 == row.0)).collect();
        for row in &named {
            assert!(PROMISED.contains(row), "{row:?}");
        }
        assert!(named.len() >= 5, "a kind is missing: {named:?}");
    }

    #[test]
    fn every_object_of_every_payload_refuses_unknown_fields() {
        let checks = Checks::all();
        for entry in &checks.entries {
            let kind = &entry.schema.kind.name;
            let errors = (entry.check)(&json!({ "no such field": 1 })).unwrap_err();
            assert!(errors.iter().any(|error| error.pointer == "/no such field"), "{kind}: {errors:?}");
        }
        let results: BTreeSet<_> = checks.entries.iter().map(|entry| &entry.schema.result).collect();
        for (name, schema) in payload_schemas() {
            assert!(!results.contains(&name), "{name} is payload and result");
            assert_closed(&name, &schema);
        }
    }

    fn payload_schemas() -> Schemas {
        #[derive(Default)]
        struct Payloads(Schemas);
        impl Registry for Payloads {
            fn add<J: Handler>(mut self) -> Self {
                self.0.extend(schemas_of::<J>());
                self
            }
        }
        crate::register(Payloads::default()).0
    }

    fn assert_closed(name: &str, schema: &Value) {
        if schema.get("properties").is_some() {
            assert_eq!(schema.get("additionalProperties"), Some(&json!(false)), "{name}: {schema}");
        }
        let parts = schema.as_object().into_iter().flat_map(|object| object.values());
        let parts = parts.chain(schema.as_array().into_iter().flatten());
        parts.for_each(|part| assert_closed(name, part));
    }

    #[test]
    fn schemas_of_the_same_name_are_the_same() {
        let checks = Checks::all();
        let all = checks.schemas();
        for entry in &checks.entries {
            for (name, schema) in &entry.schemas {
                assert_eq!(&all[name], schema, "{name} of {} differs from another kind's", entry.schema.kind.name);
            }
            assert!(all.contains_key(&entry.schema.payload) && all.contains_key(&entry.schema.result));
        }
    }

    #[test]
    fn an_unknown_kind_is_told_what_there_is() {
        let Err(PayloadError::UnknownKind { known }) = Checks::all().check("contents", &json!({})) else {
            panic!("an unknown kind was taken")
        };
        assert!(known.contains(&"content".to_owned()), "{known:?}");
        assert_eq!(Checks::all().collection("contents"), None);
        assert_eq!(Checks::all().collection("content"), Some("contents"));
    }

    #[test]
    fn all_bad_fields_of_a_payload_are_told_at_once() {
        let payload = json!({ "name": "x".repeat(201), "category": 1, "language": "de", "colour": "red",
            "features": ["good", ""] });
        let Err(PayloadError::Invalid(errors)) = Checks::all().check("content", &payload) else {
            panic!("a bad payload was taken")
        };
        let mut told: Vec<_> = errors.iter().map(|e| (e.pointer.as_str(), e.message.as_str())).collect();
        told.sort_unstable();
        let unknown = "is not a known field; known: category, description, features, fresh, language, max_cost, name, \
                       price, product_id, target_length, tier, tone";
        assert_eq!(
            told,
            [
                ("/category", "must be a string, not a number"),
                ("/colour", unknown),
                ("/language", "one of fr, en"),
                ("/name", "must be at most 200 characters"),
                ("/product_id", "is required"),
            ]
        );
    }

    #[test]
    fn a_kinds_own_rules_are_told_beside_those_of_its_schema() {
        let payload = json!({ "product_id": "1", "name": "x".repeat(201), "category": "Chairs", "language": "en",
            "features": ["good", ""] });
        let Err(PayloadError::Invalid(errors)) = Checks::all().check("content", &payload) else {
            panic!("a bad payload was taken")
        };
        let pointers: BTreeSet<_> = errors.iter().map(|error| error.pointer.as_str()).collect();
        assert_eq!(pointers, BTreeSet::from(["/features/1", "/name"]), "{errors:?}");
    }

    #[test]
    fn a_payload_tells_the_tenants_store_that_it_needs() {
        let checks = Checks::all();
        let publication = |name: Option<&str>| {
            let mut payload = json!({ "product_id": "1", "sku": "S", "stock": 1 });
            if let Some(name) = name {
                payload["store"] = json!(name);
            }
            payload
        };
        let named = |pointer, name: &str| Some(NamedStore { pointer, name: name.to_owned() });
        let batch = |name: &str| json!({ "store": name, "batch": "b", "n": 1 });
        let product = |name| json!({ "product_id": "1", "publication": publication(name) });
        for (kind, payload, expected) in [
            ("publication", publication(Some("main")), named("/store", "main")),
            ("publication", publication(Some("default")), None),
            ("publication", publication(None), None),
            ("publication-batch", batch("main"), named("/store", "main")),
            ("publication-batch", batch("default"), None),
            ("product", product(Some("main")), named("/publication/store", "main")),
            ("product", product(None), None),
            ("maintenance", json!({ "task": "rotate_keys" }), None),
        ] {
            assert_eq!(checks.check(kind, &payload), Ok(expected), "{kind}: {payload}");
        }
    }
}
