//! Why a request was refused: `application/problem+json` (RFC 9457).

use std::{borrow::Cow, fmt};

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// A field that breaks a rule.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct FieldError {
    /// JSON pointer (RFC 6901) of the field.
    pub pointer: String,
    /// What is wrong with it, and what is allowed.
    pub message: String,
}

impl FieldError {
    /// An error at `pointer`.
    pub fn new(pointer: impl Into<String>, message: impl Into<String>) -> Self {
        Self { pointer: pointer.into(), message: message.into() }
    }
}

/// The problem as it is written.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Problem<'a> {
    /// Stable URL that names the problem.
    #[serde(rename = "type", default)]
    #[schema(value_type = String, required)]
    pub kind: Cow<'a, str>,
    /// The same for every problem of this type.
    #[schema(value_type = String)]
    pub title: Cow<'a, str>,
    /// The status of the answer.
    #[serde(default)]
    #[schema(required)]
    pub status: u16,
    /// What is wrong with this request.
    #[serde(default)]
    #[schema(value_type = String, required)]
    pub detail: Cow<'a, str>,
    /// Each bad field; of more than 20 the first.
    #[serde(default, skip_serializing_if = "<[FieldError]>::is_empty")]
    #[schema(value_type = Vec<FieldError>)]
    pub errors: Cow<'a, [FieldError]>,
    /// How many bad fields there are, when `errors` does not have all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error_count: Option<usize>,
    /// The variables that are not set, when a switch to real is refused.
    #[serde(default, skip_serializing_if = "<[_]>::is_empty")]
    #[schema(value_type = Vec<String>)]
    pub missing: Vec<Cow<'a, str>>,
    /// The plans that would allow what this one does not.
    #[serde(default, skip_serializing_if = "<[_]>::is_empty")]
    #[schema(value_type = Vec<String>)]
    pub plans: Cow<'a, [String]>,
    /// The same as in the header `x-request-id` and in the logs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    pub request_id: Option<Cow<'a, str>>,
}

impl fmt::Display for Problem<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.title)?;
        if !self.detail.is_empty() && self.detail != self.title {
            write!(formatter, ": {}", self.detail)?;
        }
        for error in &*self.errors {
            write!(formatter, "\n  {}: {}", error.pointer, error.message)?;
        }
        Ok(())
    }
}
