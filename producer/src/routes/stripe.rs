//! What Stripe calls us with. No token, but its signature over the raw body.

use axum::{
    body::Body,
    extract::State,
    http::{HeaderMap, StatusCode},
};
use jobs::payments::stored_event;
use providers::payments::{Event, webhook::BadDelivery};
use store::{Moment, StripeEventState};

use crate::{
    answer::{Problem, Type},
    request::{self, Twice},
    state::App,
};

const SIGNATURE: &str = "stripe-signature";

/// Takes an event of Stripe: it is stored once by its id, together with the order of the job that handles it. Stripe repeats what is not
/// answered with 2xx.
#[utoipa::path(
    post, path = "/api/webhooks/stripe", tag = "webhooks", operation_id = "stripe_webhook", security(()),
    request_body(content = Object, description = "As Stripe sends it: an event of API v1, payload style \"snapshot\""),
    params(("Stripe-Signature" = String, Header, description = "By `STRIPE_WEBHOOK_SECRET` over the raw body, at most 300 s before or after now")),
    responses(
        (status = 200, description = "Stored, or stored before. An event that tells nothing that is kept is stored as `ignored`, one of the other mode than the key as `refused`"),
        (status = 400, description = "`bad-signature`: Stripe has not signed this, or not now; `malformed`: this is no event of API v1"),
        (status = 503, description = "`store-unavailable`: it cannot be stored"),
    )
)]
pub(crate) async fn webhook(State(app): State<App>, headers: HeaderMap, body: Body) -> Result<StatusCode, Problem> {
    let signature = match request::only(&headers, SIGNATURE) {
        Ok(value) => value.and_then(|value| value.to_str().ok()).unwrap_or_default(),
        Err(Twice) => {
            let detail = "the header Stripe-Signature was given twice, with different values";
            return Err(Problem::new(Type::BadSignature, detail));
        }
    };
    let body = request::read(&headers, body, request::JOB_LIMIT).await?;
    let now_ms = app.client.now_ms();
    let event = app.stripe.check(signature, &body, now_ms / 1000).map_err(|bad| refused(&bad))?;
    keep(&app, event).await?;
    Ok(StatusCode::OK)
}

/// Stores an event, whoever has told of it.
pub(super) async fn keep(app: &App, event: Event) -> Result<(), Problem> {
    let event = stored_event(event, app.stripe.livemode, Moment::from_ms(app.client.now_ms()));
    let is_new = app.open_store()?.put_stripe_event(&event).await.map_err(|error| match error {
        store::Error::Refused { .. } => Problem::new(Type::Malformed, error.to_string()),
        error => Problem::store_away(error),
    })?;
    if is_new && event.state == StripeEventState::Refused {
        let reason = event.reason.as_deref().unwrap_or_default();
        tracing::warn!(stripe.event = event.id, reason, "an event of stripe was refused");
    }
    Ok(())
}

fn refused(bad: &BadDelivery) -> Problem {
    let kind = if matches!(bad, BadDelivery::Body(_)) { Type::Malformed } else { Type::BadSignature };
    Problem::new(kind, bad.to_string())
}
