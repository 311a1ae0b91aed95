//! The pages that Stripe shows to customers: checkout, portal and invoice. Each has buttons, and can be posted to.
//!
//! Two more are for whoever runs the stand-in: `POST /_clock` with `days=15` moves its clock on, `POST /_webhook` with `url`, `secret` and,
//! if wanted, `mode` (`twice`, `held`, `never`) has events delivered.

use std::sync::Arc;

use axum::{
    Router,
    body::Bytes,
    extract::{Path, State},
    http::StatusCode,
    response::{Html, IntoResponse, Redirect, Response},
    routing::{get, post},
};
use providers::payments::{
    Method,
    simulation::{Card, Params, Refused},
};
use serde_json::Value;

use super::{Account, deliver::Mode, last_event, pairs};

pub(super) fn routes() -> Router<Arc<Account>> {
    Router::new()
        .route("/checkout/{id}", get(checkout).post(complete))
        .route("/portal/{id}", get(portal).post(manage))
        .route("/invoice/{id}", get(invoice).post(pay))
        .route("/invoice/{id}/pdf", get(pdf))
        .route("/_clock", post(move_clock))
        .route("/_webhook", post(set_webhook))
}

/// What the field of a form says.
fn field(body: &[u8], name: &str) -> String {
    pairs(body).into_iter().find(|(key, _)| key == name).map(|(_, value)| value).unwrap_or_default()
}

fn page(title: &str, field: &str, buttons: &[(&str, &str)]) -> Response {
    let buttons =
        buttons.iter().map(|(value, words)| format!("<button name=\"{field}\" value=\"{value}\">{words}</button>\n"));
    let buttons: String = buttons.collect();
    let head = "<!doctype html><html lang=\"en\"><meta charset=\"utf-8\"><meta name=\"viewport\" content=\"width=device-width\">";
    Html(format!("{head}<title>{title}</title><h1>{title}</h1><form method=\"post\">\n{buttons}</form></html>"))
        .into_response()
}

fn not_there() -> Response {
    (StatusCode::NOT_FOUND, "Something went wrong. The page you were looking for could not be found.").into_response()
}

fn told(refused: &Refused) -> Response {
    let message = refused.body["error"]["message"].as_str().unwrap_or_default().to_owned();
    (StatusCode::from_u16(refused.status).unwrap_or(StatusCode::BAD_REQUEST), message).into_response()
}

/// Back to where the caller of the API wanted the customer.
fn back(object: &Value, name: &str) -> Response {
    let id = object["id"].as_str().unwrap_or_default();
    match object[name].as_str() {
        Some(url) => Redirect::to(&url.replace("{CHECKOUT_SESSION_ID}", id)).into_response(),
        None => (StatusCode::OK, "Done.").into_response(),
    }
}

async fn checkout(State(account): State<Arc<Account>>, Path(id): Path<String>) -> Response {
    let cards = [
        ("good", "Pay"),
        ("declining", "Pay with a card that is declined"),
        ("asking", "Pay with a card whose bank asks"),
        ("none", "Without a card"),
    ];
    match account.simulation().object(&id) {
        Some(session) if session["status"] == "open" => page("Subscribe", "card", &cards),
        _ => not_there(),
    }
}

async fn complete(State(account): State<Arc<Account>>, Path(id): Path<String>, body: Bytes) -> Response {
    let card = card(&field(&body, "card"));
    match account.with(|simulation| simulation.complete(&id, card)) {
        Ok(_) => back(account.simulation().object(&id).unwrap_or(&Value::Null), "success_url"),
        Err(refused) => told(&refused),
    }
}

fn card(word: &str) -> Card {
    match word {
        "declining" => Card::Declining,
        "asking" => Card::Asking,
        "none" => Card::None,
        _ => Card::Good,
    }
}

async fn portal(State(account): State<Arc<Account>>, Path(id): Path<String>) -> Response {
    let actions = [
        ("cancel", "Cancel the plan"),
        ("resume", "Do not cancel it"),
        ("good", "A card that works"),
        ("declining", "A card that is declined"),
    ];
    if account.simulation().object(&id).is_some() { page("Your plan", "do", &actions) } else { not_there() }
}

async fn manage(State(account): State<Arc<Account>>, Path(id): Path<String>, body: Bytes) -> Response {
    let Some(session) = account.simulation().object(&id).cloned() else { return not_there() };
    let customer = session["customer"].as_str().unwrap_or_default().to_owned();
    let action = field(&body, "do");
    let done = account.with(|simulation| {
        if matches!(action.as_str(), "good" | "declining") {
            simulation.set_card(&customer, card(&action));
            return 200;
        }
        let theirs = simulation.objects("sub_").into_iter().rfind(|subscription| {
            subscription["customer"] == customer.as_str() && subscription["status"] != "canceled"
        });
        let Some(subscription) = theirs else { return 404 };
        let ends = ("cancel_at_period_end".to_owned(), (action == "cancel").to_string());
        let path = format!("subscriptions/{}", subscription["id"].as_str().unwrap_or_default());
        simulation.call(Method::Post, &path, &Params::from([ends]), None).status
    });
    if done == 200 { back(&session, "return_url") } else { not_there() }
}

async fn invoice(State(account): State<Arc<Account>>, Path(id): Path<String>) -> Response {
    match account.simulation().object(&id) {
        Some(invoice) if invoice["status"] == "open" => page("Invoice", "do", &[("pay", "Pay")]),
        Some(_) => page("Invoice: paid", "do", &[]),
        None => not_there(),
    }
}

async fn pay(State(account): State<Arc<Account>>, Path(id): Path<String>) -> Response {
    match account.with(|simulation| simulation.pay(&id)) {
        Ok(()) => Redirect::to(&format!("/invoice/{id}")).into_response(),
        Err(refused) => told(&refused),
    }
}

async fn pdf(State(account): State<Arc<Account>>, Path(id): Path<String>) -> Response {
    match account.simulation().object(&id) {
        Some(_) => ([("content-type", "application/pdf")], "%PDF-1.4\n%%EOF\n").into_response(),
        None => not_there(),
    }
}

async fn move_clock(State(account): State<Arc<Account>>, body: Bytes) -> Response {
    let Ok(days) = field(&body, "days").parse::<i64>() else {
        return (StatusCode::BAD_REQUEST, "days must be a whole number\n").into_response();
    };
    let now_s = account.with(|simulation| {
        simulation.advance_days(days);
        simulation.now_s()
    });
    format!("{now_s}\n").into_response()
}

async fn set_webhook(State(account): State<Arc<Account>>, body: Bytes) -> Response {
    let (url, secret, mode) = (field(&body, "url"), field(&body, "secret"), field(&body, "mode"));
    let mode = match mode.as_str() {
        "" => Mode::AtOnce,
        "twice" => Mode::Twice,
        "held" => Mode::Held,
        "never" => Mode::Never,
        _ => return (StatusCode::BAD_REQUEST, "mode must be twice, held or never\n").into_response(),
    };
    let last = last_event(&account.simulation());
    account.deliveries.to(&url, &[&secret], mode, last);
    StatusCode::NO_CONTENT.into_response()
}
