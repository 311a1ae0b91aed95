//! Calls of the API, while something happens at Stripe in between.

use axum::http::Method;
use futures::future::join_all;
use providers::payments;
use serde_json::{Value, json};
use servers::{PATIENCE, wait_until};
use store::SubscriptionState;
use tests::standins::Fault;

use crate::api::{Api, checkout};

#[tokio::test]
async fn a_checkout_that_is_completed_while_another_is_opened_stays_the_only_one() {
    let api = Api::new().await;
    let pro = api.post("acme", "checkout", &checkout("pro")).await;
    let session = pro.body["id"].as_str().unwrap().to_owned();
    // The answer to the second one's creation is on its way when the first is completed.
    api.stripe.faults().on("POST /v1/checkout/sessions", Some(1), Fault::Delay { ms: 1_500 });
    let premium = checkout("premium");
    let complete = async {
        wait_until("the second is made", PATIENCE, async || api.n_sessions("open") == 2).await;
        api.stripe.complete(&session)
    };
    let (second, subscription) = tokio::join!(api.post("acme", "checkout", &premium), complete);
    let detail = second.detail(409);
    assert!(detail.contains("has a subscription already, which is active"), "{detail}");
    assert_eq!((api.n_sessions("open"), api.n_sessions("complete"), api.n_sessions("expired")), (0, 1, 1));
    // No webhook has told of it yet.
    let kept = api.store.subscription("acme").await.unwrap().unwrap();
    assert_eq!((kept.subscription, kept.state), (Some(subscription), SubscriptionState::Active));
}

#[tokio::test]
async fn who_waits_for_prices_with_others_is_answered_as_they_are() {
    let api = Api::new().await;
    api.stripe.faults().always(Fault::status(503));
    let answers = join_all((0..12).map(|_| api.get("/api/payments/config"))).await;
    assert!(answers.iter().all(|answer| answer.status == 503), "{answers:?}");
    assert_eq!(api.stripe.faults().n_asked("GET /v1/prices/price_pro"), 1, "one asks for all who came meanwhile");
    api.stripe.faults().recover();
    let is_known = async || api.get("/api/payments/config").await.status == 200;
    wait_until("who comes later asks anew", PATIENCE, is_known).await;
}

#[tokio::test]
async fn what_was_done_and_not_told_is_answered_when_it_is_sent_again() {
    let api = Api::new().await;
    let subscription = api.subscribe("pro").await;
    for (call, body, field, becomes) in [
        ("change", json!({ "plan": "premium" }), "plan", json!("premium")),
        ("cancel", json!({}), "cancel_at_period_end", json!(true)),
        ("resume", Value::Null, "cancel_at_period_end", json!(false)),
        ("cancel", json!({ "at_period_end": false }), "state", json!("canceled")),
    ] {
        let key = format!("{call} {body}");
        let send = || api.order(call, &body, &key);
        api.stripe.faults().on("/v1/subscriptions/", None, Fault::DropAfter);
        send().await.detail(503);
        api.stripe.faults().recover();
        wait_until("it is answered", PATIENCE, async || {
            let answer = send().await;
            assert!(answer.status == 503 || answer.status == 200 && answer.body[field] == becomes, "{key}: {answer:?}");
            answer.status == 200
        })
        .await;
    }
    assert_eq!(api.stripe.objects("sub_").len(), 1, "{subscription}");
}

#[tokio::test]
async fn a_subscription_that_ends_while_it_is_changed_has_ended() {
    let api = Api::new().await;
    let subscription = api.subscribe("pro").await;
    let path = format!("subscriptions/{subscription}");
    // Between the look at what there is and the write.
    api.stripe.faults().on("GET /v1/prices/", Some(1), Fault::Delay { ms: 1_500 });
    let n_asked = || api.stripe.faults().n_asked("GET /v1/prices/price_pro");
    let before = n_asked();
    let end = async {
        wait_until("the old price is read", PATIENCE, async || n_asked() > before).await;
        api.at_stripe(payments::Method::Delete, &path, &[]);
    };
    let premium = json!({ "plan": "premium" });
    let (changed, ()) = tokio::join!(api.post("acme", "change", &premium), end);
    let detail = changed.detail(409);
    assert!(detail.contains("has ended") && detail.contains("checkout") && !detail.contains("/v1/"), "{detail}");
}

#[tokio::test]
async fn an_end_that_was_set_as_a_date_is_shown_and_can_be_taken_back() {
    let api = Api::new().await;
    let subscription = api.subscribe("pro").await;
    let path = format!("subscriptions/{subscription}");
    let end = api.stripe.with(|simulation| simulation.now_s()) + 5 * 86_400;
    api.at_stripe(payments::Method::Post, &path, &[("cancel_at", &end.to_string())]);
    // It is read again.
    api.post("acme", "change", &json!({ "plan": "pro" })).await.detail(409);
    let entitled = api.get("/api/payments/entitlements").await.body;
    let told = chrono::DateTime::parse_from_rfc3339(entitled["cancel_at"].as_str().unwrap()).unwrap();
    assert_eq!((told.timestamp(), &entitled["cancel_at_period_end"]), (end, &json!(false)));
    let resumed = api.post("acme", "resume", &Value::Null).await;
    assert_eq!((resumed.status, &resumed.body["cancel_at"]), (200, &Value::Null), "{}", resumed.body);
    api.stripe.advance_days(6);
    let now = api.stripe.with(|simulation| simulation.object(&subscription).cloned()).unwrap();
    assert_eq!((&now["status"], &now["cancel_at"]), (&json!("active"), &Value::Null));
}

#[tokio::test]
async fn who_is_paused_is_told_at_every_door_what_helps() {
    let api = Api::new().await;
    api.pause().await;
    let job = json!({ "kind": "content",
        "payload": { "product_id": "1", "name": "Chair", "category": "Furniture", "language": "en" } });
    let needs = api.ask("acme", Method::POST, "/api/jobs", &job).await;
    let again = api.post("acme", "checkout", &checkout("pro")).await;
    for detail in [needs.detail(402), again.detail(409)] {
        assert!(detail.contains("/api/payments/resume") && detail.contains("/api/payments/portal"), "{detail}");
        assert!(!detail.contains("/api/payments/change") && !detail.contains("/api/payments/checkout"), "{detail}");
    }
}

#[tokio::test]
async fn stripe_is_told_of_a_tenant_what_it_takes() {
    let api = Api::new().await;
    let opened = api.post("odd", "checkout", &checkout("pro")).await;
    assert_eq!(opened.status, 201, "{}", opened.body);
    let customer = &api.stripe.objects("cus_")[0];
    assert_eq!((&customer["email"], &customer["name"]), (&Value::Null, &json!("x".repeat(256))));
}

#[tokio::test]
async fn what_a_call_does_not_know_is_named() {
    let api = Api::new().await;
    let pointers = async |call: &str, body: Value| {
        let refused = api.post("acme", call, &body).await;
        assert_eq!(refused.status, 422, "{}", refused.body);
        let errors = refused.body["errors"].as_array().unwrap().clone();
        errors.iter().map(|error| error["pointer"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(pointers("resume", json!({ "a": 1 })).await, ["/a"]);
    assert_eq!(pointers("subscribe-link", json!({ "lang": null })).await, ["/lang"]);
}
