//! The keys under which credentials of stores are kept.

use api::{KeyUse, KeysReport};
use axum::{Json, extract::State, response::Response};
use jobs::maintenance::Maintenance;

use crate::{
    answer::Problem,
    auth::{Caller, Scope},
    push::{push, taken},
    routes::stores::no_key,
    state::App,
};

/// The keys of `ENCRYPTION_KEY` by name, and how many stores are sealed with each.
#[utoipa::path(
    get, path = "/api/keys", tag = "keys", operation_id = "keys_show",
    responses((status = 200, description = "The keys", body = KeysReport))
)]
pub(crate) async fn show(State(app): State<App>, caller: Caller) -> Result<Json<KeysReport>, Problem> {
    caller.require(Scope::Admin)?;
    let mut used = app.open_store()?.stores_by_key().await.map_err(Problem::store_away)?;
    let ring = app.services.ring.as_ref();
    let known = ring.into_iter().flat_map(|ring| ring.names().map(str::to_owned));
    let mut keys: Vec<KeyUse> =
        known.map(|key| KeyUse { stores: used.remove(&key).unwrap_or_default(), key, known: true }).collect();
    keys.extend(used.into_iter().map(|(key, stores)| KeyUse { key, known: false, stores }));
    let newest = ring.map(|ring| ring.newest().to_owned());
    let is_old = |key: &&KeyUse| newest.as_ref() != Some(&key.key);
    let left = keys.iter().filter(is_old).map(|key| key.stores).sum();
    Ok(Json(KeysReport { newest, keys, left }))
}

/// Seals all credentials anew that are not sealed with the newest key, in the background. All workers must have that key.
#[utoipa::path(
    post, path = "/api/keys/rotate", tag = "keys", operation_id = "keys_rotate",
    responses(
        (status = 202, description = "The job; its result says how many were `done`, `left` and `failed`", body = api::Job,
            headers(("Location" = String, description = "The job"))),
        (status = 409, description = "`not-configured`: `ENCRYPTION_KEY` is not set"),
    )
)]
pub(crate) async fn rotate(State(app): State<App>, caller: Caller) -> Result<Response, Problem> {
    caller.require(Scope::Admin)?;
    let ring = app.services.ring.as_ref().ok_or_else(no_key)?;
    let (status, answer) = push(&app, Maintenance::rotate_keys(), None).await?;
    tracing::info!(by = caller.subject, job.id = %answer.id, key = ring.newest(), "credentials of stores are sealed anew");
    Ok(taken(status, &answer))
}
