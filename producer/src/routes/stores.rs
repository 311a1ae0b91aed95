//! The stores that products go to: those of the environment, and the tenants' own.

use api::{FieldError, ParkedStore, StorePage, StoreRequest, StoreShop, TenantStore, Timestamp};
use axum::{
    Json,
    body::Body,
    extract::State,
    http::{HeaderMap, StatusCode, header},
    response::{IntoResponse, Response},
};
use jobs::{Shape, stores};
use providers::{
    ProviderError,
    publication::{DEFAULT_STORE, Shop, Store},
};
use serde::Deserialize;
use services::Name;
use store::{Moment, StoredStore};
use utoipa::{IntoParams, IntoResponses};

use super::versions::{Condition, ListQuery, Page, TenantQuery, check_conditions, etag, page};
use crate::{
    answer::{Problem, Type},
    auth::{Caller, Scope},
    request::{self, Parameters, PathPart},
    state::App,
};

mod check;
#[cfg(test)]
pub(super) mod tests;

use check::{address_of, check};

const NAME_AT_MOST: usize = 40;

#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct OneQuery {
    /// Whose store; another than the token's own needs `admin`
    tenant: Option<String>,
    /// Of `default`: which one, where the environment has several
    #[param(value_type = Option<StoreShop>)]
    shop: Option<String>,
}

/// Why a store was not changed.
#[derive(IntoResponses)]
#[expect(dead_code, reason = "for the OpenAPI document")]
enum NotChanged {
    /// `conflict`: it is one of the environment, the tenant has another one at its address, or others change it at the same time; `not-configured`: `ENCRYPTION_KEY` is not set
    #[response(status = 409)]
    Conflict,
    /// `precondition-failed`: it is not what the header names
    #[response(status = 412)]
    PreconditionFailed,
}

/// Why a store did not pass its test.
#[derive(IntoResponses)]
#[expect(dead_code, reason = "for the OpenAPI document")]
enum NotPassed {
    /// `store-refused`: it does not take the credentials, or they lack a right; `invalid-payload`
    #[response(status = 422)]
    Refused,
    /// `vendor-unavailable`: it does not answer; `store-unavailable`: MongoDB does not
    #[response(status = 503)]
    Away,
}

/// Stores: those of the environment, which are named `default`, then the tenant's own; of all tenants for `admin`. Credentials are never shown.
#[utoipa::path(
    get, path = "/api/stores", tag = "stores",
    params(ListQuery),
    responses((status = 200, description = "A page, by tenant and name", body = StorePage))
)]
pub(crate) async fn list(
    State(app): State<App>,
    caller: Caller,
    Parameters(query): Parameters<ListQuery>,
) -> Result<Json<StorePage>, Problem> {
    caller.require(Scope::JobsRead)?;
    let limit = request::page_size(query.limit)?;
    let tenant = caller.tenants_of(query.tenant)?;
    let found = app.open_store()?.tenant_stores(tenant.as_deref(), query.cursor.as_deref(), limit + 1).await;
    let Page { read, unreadable, next_cursor } = page(found.map_err(Problem::store_away)?, limit);
    let of_environment = app.shops()?.of_environment().iter().filter(|_| query.cursor.is_none()).map(of_environment);
    let items = of_environment.chain(read.into_iter().filter_map(shown)).collect();
    Ok(Json(StorePage { items, unreadable, next_cursor }))
}

/// A store; the header `ETag` is its version. Credentials are never shown.
#[utoipa::path(
    get, path = "/api/stores/{name}", tag = "stores",
    params(("name" = String, Path, description = "The store"), OneQuery),
    responses((status = 200, description = "The store", body = TenantStore, headers(("ETag" = String, description = "Its version"))))
)]
pub(crate) async fn show(
    State(app): State<App>,
    caller: Caller,
    PathPart(name): PathPart,
    Parameters(query): Parameters<OneQuery>,
) -> Result<Response, Problem> {
    caller.require(Scope::JobsRead)?;
    let tenant = caller.tenant_of(query.tenant)?;
    if name == DEFAULT_STORE {
        return Ok(Json(of_environment(default(&app, query.shop)?)).into_response());
    }
    answer(StatusCode::OK, stored(&app, &tenant, &name).await?)
}

/// Adds a store or replaces it. It is asked before it is saved whether it takes the credentials; not while publication is mock, and then
/// `tested_at` is null. Without `credentials` a store that is there keeps those that it has, unless it moves to another host.
#[utoipa::path(
    put, path = "/api/stores/{name}", tag = "stores", request_body = StoreRequest,
    params(
        ("name" = String, Path, description = "The store: 1 to 40 of a-z, 0-9, `-` and `_`"),
        TenantQuery,
        Condition,
        ("If-None-Match" = Option<String>, Header, description = "`*`: only if there is none of this name; otherwise 412"),
    ),
    responses(
        (status = 200, description = "Replaced", body = TenantStore, headers(("ETag" = String, description = "Its version"))),
        (status = 201, description = "Added", body = TenantStore, headers(("ETag" = String, description = "Its version"))),
        NotChanged,
        NotPassed,
    )
)]
pub(crate) async fn put(
    State(app): State<App>,
    caller: Caller,
    PathPart(name): PathPart,
    Parameters(query): Parameters<TenantQuery>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Problem> {
    caller.require(Scope::StoresWrite)?;
    let tenant = caller.tenant_of(query.tenant)?;
    refuse_default(&name)?;
    check_name(&name)?;
    let read = |body: &queue::Json| Shape::<StoreRequest>::new().read(body).map_err(Problem::invalid);
    let asked = request::json(&headers, body, read).await?;
    let ring = app.services.ring.as_ref().ok_or_else(no_key)?;
    let mongo = app.open_store()?;
    let found = mongo.tenant_store(&tenant, &name).await.map_err(Problem::store_away)?;
    check_conditions(&headers, found.as_ref(), "store")?;
    let new = check(app.shops()?, ring, &tenant, &name, &asked, found.as_ref()).map_err(Problem::invalid)?;
    let address = address_of(&new.url);
    refuse_neighbour(mongo, &new, &address).await?;
    let tested_at = test_first(&app, &new).await?;
    let now = app.client.now_ms();
    let sealed = stores::seal(ring, &new);
    let document = StoredStore {
        id: StoredStore::id_of(&tenant, &name),
        shop: new.shop().name().to_owned(),
        url: new.url.as_str().trim_end_matches('/').to_owned(),
        address: Some(address.clone()),
        allow_http: new.allow_http,
        languages: new.languages.clone(),
        currency: new.currency.clone(),
        sealed: sealed.text,
        key: sealed.key,
        // Not from 1 on: a store that was deleted and added again is another one.
        version: found.as_ref().map_or(0, |found| found.version + 1).max(i64::try_from(now).unwrap_or_default()),
        created_at: found.as_ref().map_or_else(|| Moment::from_ms(now), |found| found.created_at),
        updated_at: Moment::from_ms(now),
        tested_at,
        parked: None,
        tenant,
        name,
    };
    let version = found.as_ref().map(|found| found.version);
    if !mongo.put_tenant_store(&document, version).await.map_err(Problem::store_away)? {
        // Two that come at once may both have seen no other.
        refuse_neighbour(mongo, &new, &address).await?;
        return Err(Problem::new(Type::Conflict, "others change this store at the same time; try again"));
    }
    release(&app, &new).await;
    let status = if found.is_some() { StatusCode::OK } else { StatusCode::CREATED };
    let (change, with) = (if found.is_some() { "changed" } else { "added" }, asked.credentials.is_some());
    tracing::info!(
        by = caller.subject,
        store = document.id,
        shop = document.shop,
        url = document.url,
        credentials = with,
        "a store was {change}"
    );
    answer(status, document)
}

/// Deletes a store and its credentials. Its products stay in the shop; jobs that name it cannot succeed any more.
#[utoipa::path(
    delete, path = "/api/stores/{name}", tag = "stores",
    params(("name" = String, Path, description = "The store"), TenantQuery, Condition),
    responses(
        (status = 204, description = "Deleted"),
        NotChanged,
    )
)]
pub(crate) async fn delete(
    State(app): State<App>,
    caller: Caller,
    PathPart(name): PathPart,
    Parameters(query): Parameters<TenantQuery>,
    headers: HeaderMap,
) -> Result<StatusCode, Problem> {
    caller.require(Scope::StoresWrite)?;
    let tenant = caller.tenant_of(query.tenant)?;
    refuse_default(&name)?;
    let found = stored(&app, &tenant, &name).await?;
    check_conditions(&headers, Some(&found), "store")?;
    let deleted = app.open_store()?.delete_tenant_store(&found.id, found.version).await;
    if !deleted.map_err(Problem::store_away)? {
        return Err(Problem::new(Type::Conflict, "others change this store at the same time; try again"));
    }
    tracing::info!(by = caller.subject, store = found.id, "a store was deleted");
    Ok(StatusCode::NO_CONTENT)
}

/// Asks a store whether it takes its credentials and has all the rights that publishing needs; changes nothing there. One that does is
/// parked no longer.
#[utoipa::path(
    post, path = "/api/stores/{name}/test", tag = "stores",
    params(("name" = String, Path, description = "The store"), OneQuery),
    responses(
        (status = 200, description = "It does", body = TenantStore, headers(("ETag" = String, description = "Its version"))),
        (status = 409, description = "`conflict`: publication is mock, so no store is asked; `not-configured`: its credentials cannot be opened"),
        NotPassed,
    )
)]
pub(crate) async fn test(
    State(app): State<App>,
    caller: Caller,
    PathPart(name): PathPart,
    Parameters(query): Parameters<OneQuery>,
) -> Result<Response, Problem> {
    caller.require(Scope::StoresWrite)?;
    let tenant = caller.tenant_of(query.tenant)?;
    let mock = || Problem::new(Type::Conflict, "publication is mock, so no store is asked; see /api/mode");
    if name == DEFAULT_STORE {
        let store = default(&app, query.shop)?;
        test_first(&app, store).await?.ok_or_else(mock)?;
        release(&app, store).await;
        tracing::info!(by = caller.subject, store = store.breaker(), "a store was tested");
        return Ok(Json(of_environment(store)).into_response());
    }
    let mut found = stored(&app, &tenant, &name).await?;
    let store = stores::opened(app.services.ring.as_ref(), &found).map_err(|reason| match app.services.ring {
        None => no_key(),
        Some(_) => Problem::new(Type::NotConfigured, format!("the credentials of {name} cannot be opened: {reason}")),
    })?;
    let tested_at = test_first(&app, &store).await?.ok_or_else(mock)?;
    let unparked = app.open_store()?.unpark_store(&found.id, found.version, tested_at).await;
    if !unparked.map_err(Problem::store_away)? {
        return Err(Problem::new(Type::Conflict, "others change this store at the same time; try again"));
    }
    release(&app, &store).await;
    (found.tested_at, found.parked) = (Some(tested_at), None);
    tracing::info!(by = caller.subject, store = found.id, "a store was tested");
    answer(StatusCode::OK, found)
}

/// When it was seen that the store takes its credentials; `None` in mock mode. It has a breaker of its own for this: a bad guess must not stop the
/// jobs of a store that works, and a breaker that is open must not stop the test.
async fn test_first(app: &App, store: &Store) -> Result<Option<Moment>, Problem> {
    let shops = app.shops()?;
    if !shops.is_real() {
        return Ok(None);
    }
    let tested = Store { name: format!("{}:test", store.name), ..store.clone() };
    release(app, &tested).await;
    let answered = shops.test(&tested).await;
    release(app, &tested).await;
    match answered {
        Ok(()) => Ok(Some(Moment::from_ms(app.client.now_ms()))),
        Err(error) => Err(problem(store.redacted(error))),
    }
}

#[expect(clippy::needless_pass_by_value, reason = "what is left of the error is its words")]
fn problem(error: ProviderError) -> Problem {
    let kind = match &error {
        ProviderError::Misconfigured { .. }
        | ProviderError::Rejected { .. }
        | ProviderError::Forbidden { .. }
        | ProviderError::Unable { .. } => Type::StoreRefused,
        _ => Type::VendorUnavailable,
    };
    Problem::new(kind, error.to_string())
}

/// Lets calls to the store through, whatever was found before.
async fn release(app: &App, store: &Store) {
    if let Err(error) = app.fleet.release(Name::Publication.as_str(), &store.breaker()).await {
        tracing::warn!(%error, store = store.account(), "calls to the store are held back for a while yet");
    }
}

/// The environment's store, of this shop if it has several.
fn default(app: &App, shop: Option<String>) -> Result<&Store, Problem> {
    let shop = shop.map(|name| {
        let unknown = || request::bad_parameter("shop", "one of shopify, woocommerce, prestashop");
        Shop::ALL.into_iter().find(|shop| shop.name() == name).ok_or_else(unknown)
    });
    let shop = shop.transpose()?;
    let is_meant = |store: &&Store| shop.is_none_or(|shop| store.shop() == shop);
    let mut found = app.shops()?.of_environment().iter().filter(is_meant);
    match (found.next(), found.next()) {
        (Some(store), None) => Ok(store),
        (Some(_), Some(_)) => {
            Err(request::bad_parameter("shop", "is required: the environment has stores of several shops"))
        }
        (None, _) => Err(Problem::new(Type::NotFound, "the environment has no such store; see `ecomctl check-env`")),
    }
}

async fn stored(app: &App, tenant: &str, name: &str) -> Result<StoredStore, Problem> {
    let found = app.open_store()?.tenant_store(tenant, name).await.map_err(Problem::store_away)?;
    found.ok_or_else(|| Problem::new(Type::NotFound, format!("there is no store {name:?}")))
}

/// Refuses a second store at one address: jobs of one SKU that name the one and the other would not wait for each other, and each would take
/// what the other made for a stranger's.
async fn refuse_neighbour(mongo: &store::Store, new: &Store, address: &str) -> Result<(), Problem> {
    let found = mongo.neighbour_of_store(&new.tenant, &new.name, new.shop().name(), address).await;
    let Some(other) = found.map_err(Problem::store_away)? else { return Ok(()) };
    let detail = format!("the store {other:?} is at {address} already: let jobs name that one, or delete it");
    Err(Problem::new(Type::Conflict, detail))
}

fn refuse_default(name: &str) -> Result<(), Problem> {
    if name != DEFAULT_STORE {
        return Ok(());
    }
    let detail = "default is the environment's store, which its variables tell of: it cannot be changed here; choose another name";
    Err(Problem::new(Type::Conflict, detail))
}

fn check_name(name: &str) -> Result<(), Problem> {
    let good = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"_-".contains(&byte);
    if (1..=NAME_AT_MOST).contains(&name.len()) && name.bytes().all(good) {
        return Ok(());
    }
    Err(Problem::invalid(vec![FieldError::new("/path/name", "must be 1 to 40 of a-z, 0-9, - and _")]))
}

pub(crate) fn no_key() -> Problem {
    let detail = "ENCRYPTION_KEY is not set or malformed, so no credentials can be kept; see `ecomctl check-env`";
    Problem::needs("ENCRYPTION_KEY", detail)
}

fn of_environment(store: &Store) -> TenantStore {
    TenantStore {
        name: store.name.clone(),
        tenant: None,
        shop: stores::described(store.shop()),
        url: store.url.as_str().trim_end_matches('/').to_owned(),
        allow_http: store.allow_http,
        languages: store.languages.clone(),
        currency: store.currency.clone(),
        created_at: None,
        updated_at: None,
        tested_at: None,
        parked: None,
    }
}

/// `None` of one of a shop that a newer release knows.
fn shown(stored: StoredStore) -> Option<TenantStore> {
    let time = |moment: Moment| Timestamp::from_ms(moment.ms());
    let shop = [StoreShop::Shopify, StoreShop::Woocommerce, StoreShop::Prestashop];
    Some(TenantStore {
        shop: shop.into_iter().find(|shop| stores::shop_of(*shop).name() == stored.shop)?,
        name: stored.name,
        tenant: Some(stored.tenant),
        url: stored.url,
        allow_http: stored.allow_http,
        languages: stored.languages,
        currency: stored.currency,
        created_at: Some(time(stored.created_at)),
        updated_at: Some(time(stored.updated_at)),
        tested_at: stored.tested_at.map(time),
        parked: stored.parked.map(|parked| ParkedStore { since: time(parked.since), reason: parked.reason }),
    })
}

fn answer(status: StatusCode, stored: StoredStore) -> Result<Response, Problem> {
    let (tag, id) = (etag(&stored), stored.id.clone());
    let newer = || Problem::new(Type::Internal, format!("the store {id} was written by a newer release"));
    Ok((status, [(header::ETAG, tag)], Json(shown(stored).ok_or_else(newer)?)).into_response())
}
