//! The calls of the REST API.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use axum::{
    Json,
    body::Bytes,
    extract::{Path, Request, State},
    http::{HeaderMap, Method, StatusCode, Uri},
    middleware::Next,
    response::{Html, IntoResponse, Response},
};
use serde_json::{Value, json};

use super::{
    Shop, about, forms,
    refusal::Refusal,
    stock::{Row, Stock, text, unknown_product},
    write,
};
use crate::standins::{fault::About, is_json, lock, pairs, value};

/// Of an address, in bytes: what nginx takes (W81).
const MOST_ADDRESS: usize = 8_000;

/// What a web server and `WordPress` say before anything of WooCommerce runs.
pub(super) async fn before(State(shop): State<Arc<Shop>>, request: Request, next: Next) -> Response {
    let (is_closed, is_plain, slow_ms) = {
        let state = lock(&shop.state);
        (state.settings.is_closed, state.settings.plain_permalinks, state.settings.slow_ms)
    };
    if slow_ms > 0 {
        tokio::time::sleep(Duration::from_millis(slow_ms)).await;
    }
    let page = |status: StatusCode, words: &str| (status, Html(format!("<html><body>{words}</body></html>")));
    if request.uri().to_string().len() > MOST_ADDRESS {
        return page(StatusCode::URI_TOO_LONG, "414 Request-URI Too Large").into_response();
    }
    if is_closed {
        // W64.
        let words = "Briefly unavailable for scheduled maintenance. Check back in a minute.";
        return ([("retry-after", "600")], page(StatusCode::SERVICE_UNAVAILABLE, words)).into_response();
    }
    if is_plain {
        // W57.
        return page(StatusCode::NOT_FOUND, "Not Found").into_response();
    }
    next.run(request).await
}

/// What every call of the API brings.
pub(super) struct Call {
    shop: Arc<Shop>,
    uri: Uri,
    body: Row,
}

impl axum::extract::FromRequest<Arc<Shop>> for Call {
    type Rejection = Response;

    async fn from_request(request: Request, shop: &Arc<Shop>) -> Result<Self, Response> {
        let uri = request.uri().clone();
        let (method, headers) = (request.method().clone(), request.headers().clone());
        shop.authorize(&method, &uri, &headers).map_err(IntoResponse::into_response)?;
        let bytes = Bytes::from_request(request, shop).await.map_err(IntoResponse::into_response)?;
        let body = body(&method, &headers, &bytes).map_err(IntoResponse::into_response)?;
        Ok(Self { shop: Arc::clone(shop), uri, body })
    }
}

/// A body of another type than JSON is not read: what is sent is empty (W59).
fn body(method: &Method, headers: &HeaderMap, bytes: &Bytes) -> Result<Row, Refusal> {
    if *method == Method::GET || *method == Method::DELETE || !is_json(headers) {
        return Ok(Row::new());
    }
    serde_json::from_slice(bytes).map_err(|_| Refusal::bad("rest_invalid_json", "Invalid JSON body passed."))
}

pub(super) async fn index() -> Response {
    Json(json!({ "name": "Stand-in", "namespaces": ["wp/v2", "wc/v3"] })).into_response()
}

pub(super) async fn no_route() -> Response {
    not_there()
}

fn not_there() -> Response {
    let message = "No route was found matching the URL and request method.";
    Refusal::new(StatusCode::NOT_FOUND, "rest_no_route", message).into_response()
}

pub(super) async fn weight_unit(call: Call) -> Response {
    let unit = lock(&call.shop.state).settings.weight_unit.clone();
    Json(json!({ "id": "woocommerce_weight_unit", "value": unit })).into_response()
}

/// One page of rows.
fn paged(uri: &Uri, rows: Vec<Value>) -> Response {
    let pairs = pairs(uri);
    let number = |name: &str, default: usize| value(&pairs, name).map_or(Some(default), |value| value.parse().ok());
    let (Some(page @ 1..), Some(per_page @ 1..=100)) = (number("page", 1), number("per_page", 10)) else {
        return Refusal::param("per_page", "per_page must be between 1 (inclusive) and 100 (inclusive)")
            .into_response();
    };
    let fields: Option<Vec<&str>> = value(&pairs, "_fields").map(|fields| fields.split(',').collect());
    let n_rows = rows.len();
    let shown: Vec<Value> = rows
        .into_iter()
        .skip((page - 1) * per_page)
        .take(per_page)
        .map(|mut row| {
            if let (Some(fields), Some(row)) = (&fields, row.as_object_mut()) {
                row.retain(|name, _| fields.contains(&name.as_str()));
            }
            row
        })
        .collect();
    let headers = [("x-wp-total", n_rows.to_string()), ("x-wp-totalpages", n_rows.div_ceil(per_page).to_string())];
    (headers, Json(shown)).into_response()
}

pub(super) async fn list(call: Call) -> Response {
    let pairs = pairs(&call.uri);
    let state = lock(&call.shop.state);
    let skus = value(&pairs, "sku").and_then(|sku| state.skus(sku));
    let status = value(&pairs, "status").unwrap_or("any");
    let is_listed = |row: &Row| {
        let by_sku = skus.as_ref().map(|skus| skus.contains(&forms::collated(text(row, "sku"))));
        let by_status = match status {
            "any" => !state.is_trashed(row),
            "trash" => state.is_trashed(row),
            status => row["status"] == status,
        };
        // Variations come only when a SKU is looked up.
        by_status && by_sku.unwrap_or(row["type"] != "variation")
    };
    // The newest first, as WordPress lists.
    let ids: Vec<u64> = state.rows.iter().rev().filter(|(_, row)| is_listed(row)).map(|(id, _)| *id).collect();
    let rows = ids.into_iter().map(|id| read_as(&state, &pairs, id)).collect();
    drop(state);
    paged(&call.uri, rows)
}

/// With `context=edit` as it was written, otherwise as customers get it.
fn read_as(state: &Stock, pairs: &[(String, String)], id: u64) -> Value {
    if value(pairs, "context") == Some("edit") { state.raw(id) } else { state.product(id, false) }
}

pub(super) async fn read(Path(id): Path<u64>, call: Call) -> Response {
    let state = lock(&call.shop.state);
    match state.rows.contains_key(&id) {
        true => Json(read_as(&state, &pairs(&call.uri), id)).into_response(),
        false => unknown_product(StatusCode::NOT_FOUND).into_response(),
    }
}

pub(super) async fn create(call: Call) -> Response {
    // It goes on when nobody waits for it any more (W67).
    let made = tokio::spawn(async move {
        write::check(&call.body)?;
        let url = &call.shop.url;
        let fetched = {
            let mut state = lock(&call.shop.state);
            state.may_be(&call.body, None)?;
            call.body.get("images").map(|images| state.fetch(images, true, url)).transpose()?
        };
        let mut held = call.shop.is_held.subscribe();
        lock(&call.shop.state).n_waiting += 1;
        let _ = held.wait_for(|is_held| !is_held).await;
        let mut state = lock(&call.shop.state);
        state.n_waiting -= 1;
        let id = state.create(&call.body, fetched, url)?;
        Ok(state.product(id, true))
    });
    match made.await {
        Ok(outcome) => written(StatusCode::CREATED, outcome),
        Err(_) => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
    }
}

pub(super) async fn update(Path(id): Path<u64>, call: Call) -> Response {
    let mut state = lock(&call.shop.state);
    let outcome = write::check(&call.body).and_then(|()| changed(&mut state, id, &call.body, &call.shop.url));
    written(StatusCode::OK, outcome)
}

fn changed(state: &mut Stock, id: u64, fields: &Row, url: &str) -> Result<Value, Refusal> {
    state.writable(id)?;
    state.may_be(fields, Some(id))?;
    let fetched = fields.get("images").map(|images| state.fetch(images, false, url)).transpose()?;
    let id = state.update(id, fields, fetched, url)?;
    Ok(state.product(id, true))
}

pub(super) async fn remove(Path(id): Path<u64>, call: Call) -> Response {
    let is_forced = value(&pairs(&call.uri), "force") == Some("true");
    let mut state = lock(&call.shop.state);
    let outcome = removed(&mut state, id, is_forced);
    written(StatusCode::OK, outcome)
}

/// The answer shows the product as it was (W62).
fn removed(state: &mut Stock, id: u64, is_forced: bool) -> Result<Value, Refusal> {
    if !state.rows.contains_key(&id) {
        return Err(unknown_product(StatusCode::NOT_FOUND));
    }
    let was = state.product(id, true);
    if is_forced {
        state.delete(id);
    } else if was["status"] == "trash" {
        return Err(Refusal::new(
            StatusCode::GONE,
            "woocommerce_rest_already_trashed",
            "The product has already been deleted.",
        ));
    } else if let Some(row) = state.rows.get_mut(&id) {
        row.insert("status".to_owned(), json!("trash"));
    }
    Ok(was)
}

pub(super) async fn variations(Path(id): Path<u64>, call: Call) -> Response {
    let state = lock(&call.shop.state);
    if !state.rows.contains_key(&id) {
        return unknown_product(StatusCode::NOT_FOUND).into_response();
    }
    let pairs = pairs(&call.uri);
    let rows = state.variations(id).into_iter().map(|id| read_as(&state, &pairs, id)).collect();
    drop(state);
    paged(&call.uri, rows)
}

pub(super) async fn variation(Path((_, id)): Path<(u64, u64)>, call: Call) -> Response {
    let state = lock(&call.shop.state);
    match state.rows.contains_key(&id) {
        true => Json(state.variation(id)).into_response(),
        false => unknown_variation().into_response(),
    }
}

fn unknown_variation() -> Refusal {
    Refusal::new(StatusCode::NOT_FOUND, "woocommerce_rest_product_variation_invalid_id", "Invalid ID.")
}

pub(super) async fn create_variation(Path(product): Path<u64>, call: Call) -> Response {
    let mut state = lock(&call.shop.state);
    let outcome = write::check(&call.body).and_then(|()| state.may_be(&call.body, None)).and_then(|()| {
        if !state.rows.contains_key(&product) {
            return Err(unknown_product(StatusCode::NOT_FOUND));
        }
        state.create_variation(product, &call.body, &call.shop.url)
    });
    let outcome = outcome.map(|id| state.variation(id));
    written(StatusCode::CREATED, outcome)
}

pub(super) async fn update_variation(Path((product, id)): Path<(u64, u64)>, call: Call) -> Response {
    let mut state = lock(&call.shop.state);
    let outcome = write::check(&call.body)
        .and_then(|()| state.may_be(&call.body, Some(id)))
        .and_then(|()| state.update_variation(product, id, &call.body, &call.shop.url));
    let outcome = outcome.map(|id| state.variation(id));
    written(StatusCode::OK, outcome)
}

pub(super) async fn remove_variation(Path((product, id)): Path<(u64, u64)>, call: Call) -> Response {
    let mut state = lock(&call.shop.state);
    if state.rows.get(&id).is_none_or(|row| row["parent_id"] != product) {
        return unknown_variation().into_response();
    }
    let was = state.variation(id);
    state.rows.remove(&id);
    state.note(product);
    Json(was).into_response()
}

/// Nothing in it is checked against the schema (W43e); an item that fails fails alone (W43).
pub(super) async fn batch(call: Call) -> Response {
    let items = |name: &str| call.body.get(name).and_then(Value::as_array).cloned().unwrap_or_default();
    let (creates, updates, deletes) = (items("create"), items("update"), items("delete"));
    let most = lock(&call.shop.state).settings.most_in_a_batch;
    if creates.len() + updates.len() + deletes.len() > most {
        let message = format!("Unable to accept more than {most} items for this request.");
        let code = "woocommerce_rest_request_entity_too_large";
        return Refusal::new(StatusCode::PAYLOAD_TOO_LARGE, code, message).into_response();
    }
    let mut guard = lock(&call.shop.state);
    let state = &mut *guard;
    let url = &call.shop.url;
    let mut answers: BTreeMap<&str, Vec<Value>> = BTreeMap::new();
    let fields = |item: &Value| item.as_object().cloned().unwrap_or_default();
    let id = |item: &Value| item["id"].as_u64().or_else(|| item.as_u64());
    for item in &creates {
        let fields = fields(item);
        let made = state.may_be(&fields, None).and_then(|()| {
            let fetched = fields.get("images").map(|images| state.fetch(images, true, url)).transpose()?;
            state.create(&fields, fetched, url)
        });
        answers.entry("create").or_default().push(shown(state, &json!(0), made));
    }
    for item in &updates {
        let done = changed(state, id(item).unwrap_or_default(), &fields(item), url);
        let done = done.map(|product| product["id"].as_u64().unwrap_or_default());
        answers.entry("update").or_default().push(shown(state, &item["id"], done));
    }
    for item in &deletes {
        let answer = match removed(state, id(item).unwrap_or_default(), false) {
            Ok(was) => was,
            Err(refusal) => json!({ "id": id(item), "error": refusal.body() }),
        };
        answers.entry("delete").or_default().push(answer);
    }
    Json(answers).into_response()
}

fn shown(state: &Stock, id: &Value, outcome: Result<u64, Refusal>) -> Value {
    match outcome {
        Ok(id) => state.product(id, true),
        Err(refusal) => json!({ "id": id, "error": refusal.body() }),
    }
}

/// `categories`, `tags` or `brands`, by the address.
fn kind(uri: &Uri) -> &'static str {
    ["categories", "tags"].into_iter().find(|kind| uri.path().ends_with(kind)).unwrap_or("brands")
}

pub(super) async fn terms(call: Call) -> Response {
    let kind = kind(&call.uri);
    let state = lock(&call.shop.state);
    if kind == "brands" && !state.settings.has_brands {
        return not_there();
    }
    let rows = state.search(kind, value(&pairs(&call.uri), "search"));
    drop(state);
    paged(&call.uri, rows)
}

pub(super) async fn create_term(call: Call) -> Response {
    let outcome = lock(&call.shop.state).create_term(kind(&call.uri), &call.body);
    match outcome {
        Ok(term) => (StatusCode::CREATED, Json(term)).into_response(),
        Err(refusal) => refusal.into_response(),
    }
}

fn written(status: StatusCode, outcome: Result<Value, Refusal>) -> Response {
    let row = match outcome {
        Ok(row) => row,
        Err(refusal) => return refusal.into_response(),
    };
    let about = About(about(&row));
    let mut response = (status, Json(row)).into_response();
    response.extensions_mut().insert(about);
    response
}
