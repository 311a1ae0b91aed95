//! What Stripe would show where payments are mock: checkout, portal and invoice, by whose buttons a front end can be built without a key.
//!
//! Nobody needs a token for them, as with Stripe's: whoever has the address has got it from us. What is done there is told by events that
//! go the way of Stripe's. While payments are real there are no such pages.

mod visit;

use axum::{
    body::Body,
    extract::{RawQuery, State},
    http::HeaderMap,
    response::Response,
};
use providers::payments::simulation::Card;
use serde::Deserialize;
use utoipa::ToSchema;

use self::visit::{Visit, card};
use super::subscribe::field;
use crate::{
    answer::Problem,
    request::{self, PathPart},
    state::App,
};

/// What a button of such a page sends.
#[derive(Debug, Deserialize, ToSchema)]
#[expect(dead_code, reason = "for the OpenAPI document")]
pub(crate) struct MockForm {
    /// What to do.
    #[serde(rename = "do")]
    #[schema(example = "good")]
    action: String,
}

/// The mock's checkout.
#[utoipa::path(
    get, path = "/mock/checkout/{id}", tag = "payments", operation_id = "payments_mock_checkout", security(()),
    params(("id" = String, Path, description = "The checkout"), ("lang" = Option<String>, Query, description = "`fr` or `en`")),
    responses(
        (status = 200, description = "The page", body = String, content_type = "text/html"),
        (status = 404, description = "It is not there or no longer open, or payments are real", body = String, content_type = "text/html"),
        (status = 503, description = "MongoDB does not answer", body = String, content_type = "text/html"),
    )
)]
pub(crate) async fn checkout(
    State(app): State<App>,
    PathPart(id): PathPart,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let visit = Visit::new(app.desk()?, query.as_deref(), &headers);
    Ok(visit.checkout(&id, None).await.unwrap_or_else(|error| visit.refusal(&error)))
}

/// A click at the mock's checkout: `do` is `good`, `declining`, `none` (without a card) or `cancel`.
#[utoipa::path(
    post, path = "/mock/checkout/{id}", tag = "payments", operation_id = "payments_mock_complete", security(()),
    params(("id" = String, Path, description = "The checkout"), ("lang" = Option<String>, Query, description = "`fr` or `en`")),
    request_body(content = MockForm, content_type = "application/x-www-form-urlencoded"),
    responses(
        (status = 303, description = "Back to the success or the cancel address of the checkout"),
        (status = 402, description = "The card was declined; the page again", body = String, content_type = "text/html"),
        (status = 404, description = "It is not there or no longer open, or payments are real", body = String, content_type = "text/html"),
        (status = 503, description = "MongoDB does not answer", body = String, content_type = "text/html"),
    )
)]
pub(crate) async fn complete(
    State(app): State<App>,
    PathPart(id): PathPart,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Problem> {
    let form = request::read(&headers, body, request::JOB_LIMIT).await?;
    let visit = Visit::new(app.desk()?, query.as_deref(), &headers);
    let action = field(&form, "do").unwrap_or_default();
    Ok(visit.complete(&app, &id, &action).await.unwrap_or_else(|error| visit.refusal(&error)))
}

/// The mock's portal.
#[utoipa::path(
    get, path = "/mock/portal/{id}", tag = "payments", operation_id = "payments_mock_portal", security(()),
    params(("id" = String, Path, description = "The portal"), ("lang" = Option<String>, Query, description = "`fr` or `en`")),
    responses(
        (status = 200, description = "The page", body = String, content_type = "text/html"),
        (status = 404, description = "It is not there, or payments are real", body = String, content_type = "text/html"),
        (status = 503, description = "MongoDB does not answer", body = String, content_type = "text/html"),
    )
)]
pub(crate) async fn portal(
    State(app): State<App>,
    PathPart(id): PathPart,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let visit = Visit::new(app.desk()?, query.as_deref(), &headers);
    Ok(visit.portal(&id, None).await.unwrap_or_else(|error| visit.refusal(&error)))
}

/// A click at the mock's portal: `do` is `cancel`, `resume`, `plan:` and a plan, `next` (past the end of the period), `fail` (the same with a
/// card that is declined) or `good` (a card that works, which pays what is open).
#[utoipa::path(
    post, path = "/mock/portal/{id}", tag = "payments", operation_id = "payments_mock_manage", security(()),
    params(("id" = String, Path, description = "The portal"), ("lang" = Option<String>, Query, description = "`fr` or `en`")),
    request_body(content = MockForm, content_type = "application/x-www-form-urlencoded"),
    responses(
        (status = 303, description = "To the page as it is now"),
        (status = 404, description = "It is not there, or payments are real", body = String, content_type = "text/html"),
        (status = 409, description = "That cannot be done now; the page again", body = String, content_type = "text/html"),
        (status = 503, description = "MongoDB does not answer", body = String, content_type = "text/html"),
    )
)]
pub(crate) async fn manage(
    State(app): State<App>,
    PathPart(id): PathPart,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Problem> {
    let form = request::read(&headers, body, request::JOB_LIMIT).await?;
    let visit = Visit::new(app.desk()?, query.as_deref(), &headers);
    let action = field(&form, "do").unwrap_or_default();
    Ok(visit.manage(&app, &id, &action).await.unwrap_or_else(|error| visit.refusal(&error)))
}

/// The mock's page of an invoice.
#[utoipa::path(
    get, path = "/mock/invoice/{id}", tag = "payments", operation_id = "payments_mock_invoice", security(()),
    params(("id" = String, Path, description = "The invoice"), ("lang" = Option<String>, Query, description = "`fr` or `en`")),
    responses(
        (status = 200, description = "The page", body = String, content_type = "text/html"),
        (status = 404, description = "It is not there, or payments are real", body = String, content_type = "text/html"),
        (status = 503, description = "MongoDB does not answer", body = String, content_type = "text/html"),
    )
)]
pub(crate) async fn invoice(
    State(app): State<App>,
    PathPart(id): PathPart,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let visit = Visit::new(app.desk()?, query.as_deref(), &headers);
    Ok(visit.invoice(&id, false).await.unwrap_or_else(|error| visit.refusal(&error)))
}

/// Pays an invoice of the mock's: `do` is `good` or `declining`.
#[utoipa::path(
    post, path = "/mock/invoice/{id}", tag = "payments", operation_id = "payments_mock_pay", security(()),
    params(("id" = String, Path, description = "The invoice"), ("lang" = Option<String>, Query, description = "`fr` or `en`")),
    request_body(content = MockForm, content_type = "application/x-www-form-urlencoded"),
    responses(
        (status = 303, description = "To the page as it is now"),
        (status = 402, description = "The card was declined; the page again", body = String, content_type = "text/html"),
        (status = 404, description = "It is not there, or payments are real", body = String, content_type = "text/html"),
        (status = 503, description = "MongoDB does not answer", body = String, content_type = "text/html"),
    )
)]
pub(crate) async fn pay(
    State(app): State<App>,
    PathPart(id): PathPart,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Problem> {
    let form = request::read(&headers, body, request::JOB_LIMIT).await?;
    let visit = Visit::new(app.desk()?, query.as_deref(), &headers);
    let card = card(&field(&form, "do").unwrap_or_default()).unwrap_or(Card::Good);
    Ok(visit.pay(&app, &id, card).await.unwrap_or_else(|error| visit.refusal(&error)))
}
