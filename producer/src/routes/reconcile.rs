//! Has what is kept of subscriptions compared with Stripe.

use axum::{extract::State, response::Response};
use jobs::maintenance::Maintenance;
use serde::Deserialize;

use crate::{
    answer::Problem,
    auth::{Caller, Scope},
    push::{push, taken},
    request::Parameters,
    state::App,
};

/// How.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct ReconcileQuery {
    #[serde(default)]
    dry_run: bool,
}

/// Compares what is kept of all subscriptions with Stripe, in the background; what differs is read again.
#[utoipa::path(
    post, path = "/api/payments/reconcile", tag = "payments", operation_id = "payments_reconcile",
    params(("dry_run" = Option<bool>, Query, description = "Only tells what differs")),
    responses((status = 202, description = "The job; its result says in `reconciled` what differs", body = api::Job,
        headers(("Location" = String, description = "The job"))))
)]
pub(crate) async fn payments(
    State(app): State<App>,
    caller: Caller,
    Parameters(query): Parameters<ReconcileQuery>,
) -> Result<Response, Problem> {
    caller.require(Scope::Admin)?;
    let (status, answer) = push(&app, Maintenance::reconcile(query.dry_run), None).await?;
    tracing::info!(by = caller.subject, job.id = %answer.id, dry_run = query.dry_run, "subscriptions are compared with stripe");
    Ok(taken(status, &answer))
}
