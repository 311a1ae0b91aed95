//! Reads what stands after the question mark, and names the parameter that is wrong and what is allowed.

use std::{borrow::Cow, fmt};

use api::FieldError;
use serde::de::{self, DeserializeOwned, Deserializer, IntoDeserializer, Visitor, value::MapDeserializer};
use url::form_urlencoded;

/// The parameters in `query` as the fields of a `T`.
///
/// # Errors
/// Every parameter that is unknown or given twice, or else the first whose value cannot be read.
pub(crate) fn read<T: DeserializeOwned>(query: &str) -> Result<T, Vec<FieldError>> {
    let parts = form_urlencoded::parse(query.as_bytes()).map(|(name, value)| Part { name, value }).collect();
    T::deserialize(Parts(parts)).map_err(|Errors(errors)| errors)
}

fn error(name: &str, message: impl fmt::Display) -> FieldError {
    FieldError::new(format!("/query/{name}"), message.to_string())
}

#[derive(Debug)]
struct Errors(Vec<FieldError>);

impl fmt::Display for Errors {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|error| writeln!(formatter, "{} {}", error.pointer, error.message))
    }
}

impl std::error::Error for Errors {}

impl de::Error for Errors {
    fn custom<T: fmt::Display>(message: T) -> Self {
        Self(vec![FieldError::new("/query", message.to_string())])
    }

    fn missing_field(name: &'static str) -> Self {
        Self(vec![error(name, "is required")])
    }
}

struct Parts<'a>(Vec<Part<'a>>);

impl<'de> Deserializer<'de> for Parts<'_> {
    type Error = Errors;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Errors> {
        visitor.visit_map(MapDeserializer::new(self.0.into_iter().map(|part| (part.name.clone().into_owned(), part))))
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _name: &'static str,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Errors> {
        let mut errors = Vec::new();
        for (position, part) in self.0.iter().enumerate() {
            let name = &*part.name;
            if !fields.contains(&name) {
                let known = if fields.is_empty() { "none".to_owned() } else { fields.join(", ") };
                errors.push(error(name, format!("is not a known parameter; known: {known}")));
            } else if self.0[..position].iter().any(|before| before.name == part.name) {
                errors.push(error(name, "is given twice"));
            }
        }
        if errors.is_empty() { self.deserialize_any(visitor) } else { Err(Errors(errors)) }
    }

    serde::forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf option unit unit_struct newtype_struct seq
        tuple tuple_struct map enum identifier ignored_any
    }
}

struct Part<'a> {
    name: Cow<'a, str>,
    value: Cow<'a, str>,
}

impl<'de> IntoDeserializer<'de, Errors> for Part<'_> {
    type Deserializer = Self;

    fn into_deserializer(self) -> Self {
        self
    }
}

/// Reads a value of the type that is wanted, which is named when it is not one.
macro_rules! values {
    ($($method:ident $visit:ident $allowed:literal,)*) => {$(
        fn $method<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Errors> {
            match self.value.parse() {
                Ok(value) => visitor.$visit(value).map_err(|errors| self.named(errors)),
                Err(_) => Err(Errors(vec![error(&self.name, $allowed)])),
            }
        }
    )*};
}

impl Part<'_> {
    /// What the field's own type says of the value.
    fn named(&self, Errors(errors): Errors) -> Errors {
        Errors(
            errors.into_iter().map(|inner| error(&self.name, format!("cannot be used: {}", inner.message))).collect(),
        )
    }
}

impl<'de> Deserializer<'de> for Part<'_> {
    type Error = Errors;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Errors> {
        visitor.visit_str(&self.value).map_err(|errors| self.named(errors))
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Errors> {
        visitor.visit_some(self)
    }

    values! {
        deserialize_bool visit_bool "must be true or false",
        deserialize_u8 visit_u8 "must be a whole number from 0 to 255",
        deserialize_u16 visit_u16 "must be a whole number from 0 to 65535",
        deserialize_u32 visit_u32 "must be a whole number, not below 0",
        deserialize_u64 visit_u64 "must be a whole number, not below 0",
        deserialize_i32 visit_i32 "must be a whole number",
        deserialize_i64 visit_i64 "must be a whole number",
        deserialize_f32 visit_f32 "must be a number",
        deserialize_f64 visit_f64 "must be a number",
    }

    serde::forward_to_deserialize_any! {
        i8 i16 i128 u128 char str string bytes byte_buf unit unit_struct newtype_struct seq tuple tuple_struct map struct enum identifier
        ignored_any
    }
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;

    use super::*;

    #[derive(Debug, PartialEq, Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Query {
        name: Option<String>,
        limit: Option<usize>,
        wait: Option<f64>,
        at: Option<chrono::DateTime<chrono::Utc>>,
    }

    fn refused(query: &str) -> Vec<(String, String)> {
        let errors = read::<Query>(query).unwrap_err();
        errors.into_iter().map(|error| (error.pointer, error.message)).collect()
    }

    #[test]
    fn values_are_read_by_their_type() {
        let read = read::<Query>("name=a%20b+c&limit=7&wait=1.5&at=2026-01-31T12:00:00Z").unwrap();
        assert_eq!((read.name.as_deref(), read.limit, read.wait), (Some("a b c"), Some(7), Some(1.5)));
        assert!(read.at.is_some());
        assert_eq!(super::read::<Query>("").unwrap(), Query { name: None, limit: None, wait: None, at: None });
    }

    #[test]
    fn the_bad_parameter_is_named_with_what_is_allowed() {
        let told = |pointer: &str, message: &str| vec![(pointer.to_owned(), message.to_owned())];
        assert_eq!(refused("limit=ten"), told("/query/limit", "must be a whole number, not below 0"));
        assert_eq!(refused("limit=-1"), told("/query/limit", "must be a whole number, not below 0"));
        assert_eq!(refused("limit="), told("/query/limit", "must be a whole number, not below 0"));
        assert_eq!(refused("wait=soon"), told("/query/wait", "must be a number"));
        assert_eq!(refused("limit=1&limit=2"), told("/query/limit", "is given twice"));
        let unknown = "is not a known parameter; known: name, limit, wait, at";
        let two = [told("/query/colour", unknown), told("/query/size", unknown)].concat();
        assert_eq!(refused("colour=red&limit=1&size=2"), two, "all at once");
        let (pointer, message) = refused("at=yesterday").remove(0);
        assert!(pointer == "/query/at" && message.starts_with("cannot be used: "), "{message}");
    }
}
