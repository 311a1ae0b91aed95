//! A product to a store in one call: what is missing of it is made first.

use api::FieldError;
use axum::{body::Body, extract::State, http::HeaderMap, response::Response};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use utoipa::ToSchema;

use super::jobs::create_of;
use crate::{
    answer::{Problem, Type},
    auth::{Caller, Scope},
    request::{self, PathPart},
    state::App,
};

/// As the payloads have it.
const ID_AT_MOST: usize = 100;

/// What to publish, and what to make before. Each part is a payload of that kind without its `product_id`, which stands in the path.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct PublishRequest {
    /// A payload of the kind `publication`. Where it has no title, description or pictures, those that were made last are taken.
    #[schema(value_type = Object)]
    publication: Map<String, Value>,
    /// A payload of the kind `content`: what texts are made from when there are none yet.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Object>)]
    content: Option<Map<String, Value>>,
    /// A payload of the kind `image`: what pictures are made from when there are none yet; of the title if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Object>)]
    image: Option<Map<String, Value>>,
    /// Options of the job.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Object>)]
    options: Option<Map<String, Value>>,
}

/// Publishes a product, and makes before that the texts and pictures that are missing.
#[utoipa::path(
    post, path = "/api/products/{id}/publish", tag = "products", request_body = PublishRequest,
    params(
        ("id" = String, Path, description = "The shop's own id of the product"),
        ("Idempotency-Key" = Option<String>, Header, description = "The same key and body again give the same job, for 24 h"),
        ("traceparent" = Option<String>, Header, description = "W3C trace context; kept with the job"),
    ),
    responses(
        (status = 202, description = "Taken", body = api::Job, headers(("Location" = String, description = "The job"))),
        (status = 200, description = "Taken before, as with `POST /api/jobs`", body = api::Job,
         headers(("Location" = String, description = "The job"), ("Idempotency-Replayed" = bool, description = "true"))),
        (status = 402, description = "As with `POST /api/jobs`"),
        (status = 429, description = "As with `POST /api/jobs`"),
        (status = 409, description = "As with `POST /api/jobs`"),
        (status = 422, description = "`invalid-payload`; `unknown-store`: `publication` names a store that the tenant does not have, not while publication is mock; `idempotency-mismatch`"),
    )
)]
pub(crate) async fn publish(
    State(app): State<App>,
    caller: Caller,
    PathPart(id): PathPart,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Problem> {
    caller.require(Scope::JobsWrite)?;
    let key = request::idempotency_key(&headers)?;
    if !(1..=ID_AT_MOST).contains(&id.chars().count()) {
        return Err(Problem::invalid(vec![FieldError::new("/path/id", "must have 1 to 100 characters")]));
    }
    let asked: PublishRequest = request::json(&headers, body, |asked| {
        jobs::Shape::<PublishRequest>::new().read(asked).map_err(Problem::invalid)
    })
    .await?;
    let mut payload = json!({ "product_id": id });
    for (part, fields) in [("publication", Some(asked.publication)), ("content", asked.content), ("image", asked.image)]
    {
        let Some(mut fields) = fields else { continue };
        fields.entry("product_id").or_insert_with(|| json!(id));
        payload[part] = Value::Object(fields);
    }
    let mut job = json!({ "kind": "product", "payload": payload });
    if let Some(options) = asked.options {
        job["options"] = Value::Object(options);
    }
    let job = serde_json::to_vec(&job).map_err(|error| Problem::new(Type::Malformed, error.to_string()))?;
    create_of(app, caller, &headers, key, job.into()).await.map_err(|problem| problem.without_prefix("/payload"))
}
