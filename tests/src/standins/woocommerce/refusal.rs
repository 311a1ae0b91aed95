//! Errors, as the REST API words them.

use axum::{
    Json,
    http::StatusCode,
    response::{IntoResponse, Response},
};
use serde_json::{Map, Value, json};

/// An error, as the REST API words it.
pub(super) struct Refusal(StatusCode, &'static str, String, Map<String, Value>);

impl Refusal {
    pub(super) fn new(status: StatusCode, code: &'static str, message: impl Into<String>) -> Self {
        Self(status, code, message.into(), Map::new())
    }

    /// 400.
    pub(super) fn bad(code: &'static str, message: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, code, message)
    }

    /// 400 for one parameter.
    pub(super) fn param(name: &str, why: &str) -> Self {
        Self::bad("rest_invalid_param", format!("Invalid parameter(s): {name}")).with("params", json!({ name: why }))
    }

    pub(super) fn with(mut self, name: &str, value: Value) -> Self {
        self.3.insert(name.to_owned(), value);
        self
    }

    pub(super) fn body(mut self) -> Value {
        self.3.insert("status".to_owned(), json!(self.0.as_u16()));
        json!({ "code": self.1, "message": self.2, "data": self.3 })
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        (self.0, Json(self.body())).into_response()
    }
}
