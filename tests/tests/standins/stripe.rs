//! Stripe.

use reqwest::{Method, RequestBuilder};
use serde_json::{Value, json};
use tests::standins::{
    Fault,
    stripe::{Stripe, signature},
};

use crate::client;

const KEY: &str = "sk_test_standin";
const CHECKOUT: &str = "mode=subscription&customer_email=a%40shop.example&client_reference_id=u1&line_items[0][price]=price_pro\
    &line_items[0][quantity]=1&subscription_data[trial_period_days]=14&subscription_data[metadata][user_id]=u1\
    &success_url=https%3A%2F%2Fapp.example%2Fok&cancel_url=https%3A%2F%2Fapp.example%2Fno";

async fn stripe() -> Stripe {
    Stripe::start(0, KEY, &["price_pro"]).await.unwrap()
}

fn call(stripe: &Stripe, method: Method, path: &str) -> RequestBuilder {
    client()
        .request(method, format!("{}/v1/{path}", stripe.url()))
        .bearer_auth(KEY)
        .header("Stripe-Version", "2026-10-28.endive")
}

fn post(stripe: &Stripe, path: &str, key: &str, form: &str) -> RequestBuilder {
    let request = call(stripe, Method::POST, path).header("Idempotency-Key", key);
    request.header("Content-Type", "application/x-www-form-urlencoded").body(form.to_owned())
}

async fn answer(request: RequestBuilder) -> (u16, Value) {
    let answer = request.send().await.unwrap();
    (answer.status().as_u16(), answer.json().await.unwrap())
}

#[tokio::test]
async fn a_trial_is_started_completed_changed_and_ended() {
    let stripe = stripe().await;
    assert_eq!(answer(call(&stripe, Method::GET, "prices/price_pro")).await.1["active"], true);
    let (status, session) = answer(post(&stripe, "checkout/sessions", "job:1:checkout", CHECKOUT)).await;
    assert_eq!((status, &session["status"], &session["client_reference_id"]), (200, &json!("open"), &json!("u1")));
    let id = session["id"].as_str().unwrap();
    let subscription = stripe.complete(id);
    let session = answer(call(&stripe, Method::GET, &format!("checkout/sessions/{id}"))).await.1;
    assert_eq!(
        (&session["payment_status"], &session["subscription"]),
        (&json!("no_payment_required"), &json!(subscription))
    );

    let path = format!("subscriptions/{subscription}");
    let found = answer(call(&stripe, Method::GET, &path)).await.1;
    assert_eq!((&found["status"], &found["metadata"]["user_id"]), (&json!("trialing"), &json!("u1")));
    assert!(found["items"]["data"][0]["current_period_end"].is_i64() && found.get("current_period_end").is_none());
    let changed = answer(post(&stripe, &path, "job:1:cancel", "cancel_at_period_end=true")).await.1;
    assert_eq!(changed["cancel_at_period_end"], true);
    assert_eq!(answer(call(&stripe, Method::DELETE, &path)).await.1["status"], "canceled");
}

#[tokio::test]
async fn the_same_key_gives_the_same_answer_and_another_request_is_refused() {
    let stripe = stripe().await;
    stripe.faults().next(1, Fault::DropAfter);
    post(&stripe, "checkout/sessions", "k1", CHECKOUT).send().await.unwrap_err();
    let again = post(&stripe, "checkout/sessions", "k1", CHECKOUT).send().await.unwrap();
    assert_eq!(again.headers()["idempotent-replayed"], "true");
    assert_eq!((stripe.objects("cs_").len(), stripe.faults().n_answered("k1")), (1, 1));
    let other = CHECKOUT.replace("u1", "u2");
    let (status, refused) = answer(post(&stripe, "checkout/sessions", "k1", &other)).await;
    assert_eq!((status, &refused["error"]["type"]), (400, &json!("idempotency_error")));
    answer(post(&stripe, "checkout/sessions", "k2", CHECKOUT)).await;
    assert_eq!(stripe.objects("cs_").len(), 2);
    // A refused parameter is not kept under the key.
    let bad = CHECKOUT.replace("price_pro", "price_x");
    assert_eq!(answer(post(&stripe, "checkout/sessions", "k3", &bad)).await.1["error"]["code"], "resource_missing");
    assert_eq!(answer(post(&stripe, "checkout/sessions", "k3", CHECKOUT)).await.0, 200);
}

#[tokio::test]
async fn what_stripe_refuses_is_refused() {
    let stripe = stripe().await;
    let code = async |request: RequestBuilder| answer(request).await.1["error"]["code"].as_str().unwrap().to_owned();
    let with = |more: &str| post(&stripe, "checkout/sessions", "k", &format!("{CHECKOUT}&{more}"));
    assert_eq!(code(with("payment_method_types[0]=card")).await, "parameter_unknown");
    assert_eq!(code(post(&stripe, "checkout/sessions", "k", "mode=subscription")).await, "parameter_missing");
    assert_eq!(
        code(call(&stripe, Method::POST, "customers").json(&json!({ "email": "a" }))).await,
        "parameter_unknown"
    );
    assert_eq!(code(call(&stripe, Method::GET, "prices/price_x")).await, "resource_missing");
    assert_eq!(code(post(&stripe, "billing_portal/sessions", "k", "customer=cus_x")).await, "resource_missing");
    let bare = client().get(format!("{}/v1/prices/price_pro", stripe.url()));
    assert_eq!(answer(bare.try_clone().unwrap().bearer_auth("sk_live_other")).await.0, 401);
    assert_eq!(code(bare.bearer_auth(KEY)).await, "version_missing");
}

/// The value was computed with Python's hmac.
#[test]
fn an_event_is_signed_as_others_sign_it() {
    assert_eq!(
        signature("whsec_test", 1_790_000_000, r#"{"id":"evt_1"}"#),
        "t=1790000000,v1=e32657f3e678d33b41ec084c16ac0e125d25480a06cb3902286dc5942c6fd259"
    );
}
