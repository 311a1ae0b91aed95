//! Stripe: what it refuses and replays (here), what happens as time goes by (`life.rs`), what it delivers (`deliver.rs`), and our client
//! against it (`client.rs`).

mod client;
mod deliver;
mod life;

use reqwest::{Method, RequestBuilder};
use serde_json::{Value, json};
use tests::standins::{
    Fault,
    stripe::{Stripe, signature},
};

use crate::client as http;

pub(crate) const KEY: &str = "sk_test_standin";
const CHECKOUT: &str = "mode=subscription&customer_email=a%40shop.example&client_reference_id=u1&line_items[0][price]=price_pro\
    &line_items[0][quantity]=1&subscription_data[trial_period_days]=14&subscription_data[metadata][user_id]=u1\
    &success_url=https%3A%2F%2Fapp.example%2Fok&cancel_url=https%3A%2F%2Fapp.example%2Fno";

async fn stripe() -> Stripe {
    Stripe::start(0, KEY, &["price_pro", "price_premium"]).await.unwrap()
}

fn call(stripe: &Stripe, method: Method, path: &str) -> RequestBuilder {
    http()
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
    let bare = http().get(format!("{}/v1/prices/price_pro", stripe.url()));
    assert_eq!(answer(bare.try_clone().unwrap().bearer_auth("sk_live_other")).await.0, 401);
    assert_eq!(code(bare.try_clone().unwrap().bearer_auth(KEY)).await, "version_missing");
    assert_eq!(code(bare.bearer_auth(KEY).header("Stripe-Version", "newest")).await, "version_invalid");
    let parameter = async |form: &str| {
        let refused = answer(post(&stripe, "checkout/sessions", "k", &format!("{CHECKOUT}&{form}"))).await.1;
        refused["error"]["param"].as_str().unwrap().to_owned()
    };
    assert_eq!(parameter("subscription_data[trial_perod]=1").await, "subscription_data[trial_perod]");
    assert_eq!(parameter("payment_method_collection=never").await, "payment_method_collection");
    assert_eq!(parameter("expires_at=5").await, "expires_at");
    stripe.with(|simulation| simulation.withdraw_price("price_pro"));
    let refused = answer(post(&stripe, "checkout/sessions", "k", CHECKOUT)).await.1;
    assert!(refused["error"]["message"].as_str().unwrap().contains("inactive"), "{refused}");
}

/// What failed after it was begun is stored, and replayed for a day; what it made is there.
#[tokio::test]
async fn a_stored_failure_is_replayed_though_the_customer_was_made() {
    let stripe = stripe().await;
    stripe.with(|simulation| simulation.break_next(500));
    for replayed in [false, true, true] {
        let failed = post(&stripe, "customers", "k1", "email=a%40shop.example").send().await.unwrap();
        assert_eq!((failed.status().as_u16(), failed.headers().contains_key("idempotent-replayed")), (500, replayed));
    }
    assert_eq!(stripe.objects("cus_").len(), 1);
    let found = answer(call(&stripe, Method::GET, "customers?email=a%40shop.example")).await.1;
    assert_eq!(found["data"].as_array().unwrap().len(), 1);
    stripe.advance_days(2);
    let again = answer(post(&stripe, "customers", "k1", "email=a%40shop.example")).await;
    assert_eq!((again.0, stripe.objects("cus_").len()), (200, 2), "the key is forgotten after a day");
}

#[tokio::test]
async fn lists_come_in_pages_newest_first() {
    let stripe = stripe().await;
    for n in 0..5 {
        let form = format!("email=a{n}%40shop.example&metadata[tenant]=T{n}");
        assert_eq!(answer(post(&stripe, "customers", &format!("k{n}"), &form)).await.0, 200);
    }
    let page = async |query: &str| {
        let list = answer(call(&stripe, Method::GET, &format!("customers?{query}"))).await.1;
        let emails: Vec<_> =
            list["data"].as_array().unwrap().iter().map(|it| it["email"].as_str().unwrap()[..2].to_owned()).collect();
        let last = list["data"].as_array().unwrap().last().map_or("", |it| it["id"].as_str().unwrap()).to_owned();
        (emails, list["has_more"].as_bool().unwrap(), last)
    };
    let (first, more, last) = page("limit=3").await;
    assert_eq!((first, more), (vec!["a4".to_owned(), "a3".to_owned(), "a2".to_owned()], true));
    let (rest, more, _) = page(&format!("limit=3&starting_after={last}")).await;
    assert_eq!((rest, more), (vec!["a1".to_owned(), "a0".to_owned()], false));
    for bad in [
        "customers?limit=101",
        "customers?limit=0",
        "customers?starting_after=cus_x",
        "customers?tenant=x",
        "events?delivery_success=maybe",
    ] {
        assert_eq!(answer(call(&stripe, Method::GET, bad)).await.0, 400, "{bad}");
    }
    let search = "customers/search?query=metadata%5B%27tenant%27%5D%3A%27t3%27";
    let found = answer(call(&stripe, Method::GET, search)).await.1;
    assert_eq!(
        (found["data"][0]["metadata"]["tenant"].as_str(), found["object"].as_str()),
        (Some("T3"), Some("search_result"))
    );
}

/// The value was computed with Python's hmac.
#[test]
fn an_event_is_signed_as_others_sign_it() {
    assert_eq!(
        signature("whsec_test", 1_790_000_000, r#"{"id":"evt_1"}"#),
        "t=1790000000,v1=e32657f3e678d33b41ec084c16ac0e125d25480a06cb3902286dc5942c6fd259"
    );
}
