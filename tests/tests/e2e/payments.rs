//! Payments on the whole system: what Stripe delivers is stored once, and what is kept of a tenant is what Stripe has.

mod again;
mod browser;
mod calls;
pub(crate) mod intake;
mod life;
mod outages;
mod pages;
pub(crate) mod world;

use std::{collections::BTreeMap, time::Duration};

use fleet::Fleet;
use mongodb::bson::{Document, doc};
use providers::{
    Policy, Providers,
    payments::{NewCustomer, NewSession, Trial, WithoutCard, simulation::Card},
};
use serde_json::{Value, json};
use servers::wait_until;
use services::Config;
use tests::{
    JOB_PATIENCE, Options, System,
    standins::stripe::{Mode, Order, Stripe, signature},
};

pub(crate) const KEY: &str = "sk_test_standin";
const SECRET: &str = "whsec_standin";

pub(crate) fn variables(stripe: &Stripe) -> Vec<(&'static str, String)> {
    [
        ("MOCK_MODE_PAYMENTS", "false"),
        ("STRIPE_API_KEY", KEY),
        ("STRIPE_WEBHOOK_SECRET", SECRET),
        ("STRIPE_PRICE_ID_PRO", "price_pro"),
        ("STRIPE_PRICE_ID_PREMIUM", "price_premium"),
        ("STRIPE_PUBLISHABLE_KEY", "pk_test_standin"),
    ]
    .into_iter()
    .map(|(name, value)| (name, value.to_owned()))
    .chain([("STRIPE_BASE_URL", stripe.url())])
    .collect()
}

async fn start(stripe: &Stripe) -> System {
    let options = variables(stripe)
        .into_iter()
        .fold(Options::default().workers(1), |options, (name, value)| options.env(name, value));
    let system = System::start(options).await;
    collection(&system, "tenants")
        .await
        .insert_one(doc! { "_id": "acme", "name": "Acmé", "email": "a@shop.example", "language": "fr", "time_zone": "Europe/Paris" })
        .await
        .unwrap();
    system
}

pub(crate) async fn collection(system: &System, name: &str) -> mongodb::Collection<Document> {
    mongodb::Client::with_uri_str(&system.mongo_url).await.unwrap().database(&system.name).collection(name)
}

/// Has the tenant `acme` subscribe to Pro with a trial; the ids of its customer and its subscription.
async fn subscribe(stripe: &Stripe) -> (String, String) {
    let variables = variables(stripe);
    let config =
        Config::from_vars(|name| variables.iter().find(|(known, _)| *known == name).map(|(_, value)| value.clone()));
    let providers = Providers::from_config(&config, &Fleet::alone()).unwrap();
    let policy = Policy { allow_fallback: false, last_attempt: true, tenant: "acme", time: Duration::from_secs(10) };
    let calls = providers.payments.calls(policy);
    let new = NewCustomer { tenant: "acme", email: Some("a@shop.example"), name: None };
    let customer = calls.create_customer("customer", &new).await.unwrap().id;
    let session = NewSession {
        customer: &customer,
        tenant: "acme",
        price: "price_pro",
        trial: Some(Trial { days: 14, without_card: Some(WithoutCard::Pause) }),
        success_url: "https://app.example/ok",
        cancel_url: "https://app.example/no",
        locale: None,
        expires_at: None,
        metadata: BTreeMap::new(),
    };
    let session = calls.create_session("session", &session).await.unwrap().id;
    let subscription = stripe.complete_with(&session, Card::Good).unwrap();
    (customer, subscription)
}

async fn kept(system: &System) -> Option<Document> {
    collection(system, "subscriptions").await.find_one(doc! { "_id": "acme" }).await.unwrap()
}

async fn until_state(system: &System, state: &str) {
    let is_so = async || kept(system).await.is_some_and(|kept| kept.get_str("state").ok() == Some(state));
    wait_until(state, JOB_PATIENCE, is_so).await;
}

async fn post(system: &System, header: &str, body: String) -> (u16, Value) {
    let request = system.client().post(format!("{}/api/webhooks/stripe", system.url()));
    let answer = request.header("stripe-signature", header).body(body).send().await.unwrap();
    (answer.status().as_u16(), answer.json().await.unwrap_or(Value::Null))
}

#[tokio::test]
async fn an_event_of_stripe_is_stored_once_and_what_is_kept_is_what_stripe_has() {
    let stripe = Stripe::start(0, KEY, &["price_pro", "price_premium"]).await.unwrap();
    let system = start(&stripe).await;
    stripe.deliver_to(&format!("{}/api/webhooks/stripe", system.url()), &[SECRET], Mode::Held);
    let (customer, subscription) = subscribe(&stripe).await;
    // The newest first, and each once more.
    let first = stripe.release(Order::Reversed).await;
    assert!(first.len() > 1 && first.iter().all(|delivered| delivered.status == Some(200)), "{first:?}");
    until_state(&system, "trialing").await;
    for delivered in &first {
        assert_eq!(stripe.deliver(&delivered.event, None).await, Some(200));
    }
    let events = collection(&system, "stripe_events").await;
    assert_eq!(events.count_documents(doc! {}).await.unwrap(), first.len() as u64);
    let trialing = kept(&system).await.unwrap();
    assert_eq!(
        (trialing.get_str("customer").ok(), trialing.get_str("plan").ok()),
        (Some(customer.as_str()), Some("pro"))
    );
    assert_eq!(trialing.get_str("subscription").unwrap(), subscription);

    // The trial ends, and is paid; then a payment fails, and the customer is mailed once.
    stripe.advance_days(15);
    stripe.release(Order::Shuffled(7)).await;
    until_state(&system, "active").await;
    stripe.set_card(&customer, Card::Declining);
    stripe.advance_days(31);
    let failed = stripe.release(Order::AsMade).await;
    until_state(&system, "past_due").await;
    for delivered in failed {
        assert_eq!(stripe.deliver(&delivered.event, None).await, Some(200));
    }
    let is_settled = async || events.count_documents(doc! { "state": "new" }).await.unwrap() == 0;
    wait_until("all events are settled", JOB_PATIENCE, is_settled).await;
    let emails = collection(&system, "emails").await;
    let n_mails = async || emails.count_documents(doc! { "result.template": "payment_failed" }).await.unwrap();
    wait_until("the customer is told", JOB_PATIENCE, async || n_mails().await > 0).await;
    assert_eq!(n_mails().await, 1);
    let n_invoices = stripe.objects("in_").iter().filter(|invoice| invoice["status"] == "open").count();
    assert_eq!(n_invoices, 1);
    assert!(!system.producer_log().contains(KEY) && !system.producer_log().contains(SECRET));
    assert!(!system.worker_log(0).contains(KEY) && !system.worker_log(0).contains(SECRET));
}

#[tokio::test]
async fn what_stripe_has_not_signed_now_is_refused_and_an_event_of_the_other_mode_is_told() {
    let stripe = Stripe::start(0, KEY, &["price_pro", "price_premium"]).await.unwrap();
    let system = start(&stripe).await;
    let now = chrono::Utc::now().timestamp();
    let event = |id: &str, live: bool| {
        json!({ "id": id, "object": "event", "type": "customer.subscription.updated", "created": now, "livemode": live,
            "data": { "object": { "object": "subscription", "id": "sub_1", "customer": "cus_1" } } })
        .to_string()
    };
    let body = event("evt_1", false);
    for (header, kind) in [
        (String::new(), "bad-signature"),
        (signature("whsec_other", now, &body), "bad-signature"),
        (signature(SECRET, now - 400, &body), "bad-signature"),
        (signature(SECRET, now + 400, &body), "bad-signature"),
        (signature(SECRET, now, &event("evt_2", false)), "bad-signature"),
    ] {
        let (status, problem) = post(&system, &header, body.clone()).await;
        assert_eq!(status, 400, "{header}: {problem}");
        assert!(problem["type"].as_str().unwrap().ends_with(kind), "{header}: {problem}");
    }
    for body in [r#"{"object":"v2.core.event","id":"evt_3"}"#, r#"{"object":"customer"}"#, "no JSON"] {
        let (status, problem) = post(&system, &signature(SECRET, now, body), body.to_owned()).await;
        assert_eq!(status, 400, "{body}: {problem}");
        assert!(problem["type"].as_str().unwrap().ends_with("malformed"), "{body}: {problem}");
    }
    let events = collection(&system, "stripe_events").await;
    assert_eq!(events.count_documents(doc! {}).await.unwrap(), 0);
    for (id, live) in [("evt_4", true), ("evt_4", true)] {
        let body = event(id, live);
        assert_eq!(post(&system, &signature(SECRET, now, &body), body.clone()).await.0, 200);
    }
    let unknown = event("evt_5", false).replace("customer.subscription.updated", "charge.refunded");
    assert_eq!(post(&system, &signature(SECRET, now, &unknown), unknown.clone()).await.0, 200);
    let state = async |id: &str| {
        let event = events.find_one(doc! { "_id": id }).await.unwrap().unwrap();
        event.get_str("state").unwrap().to_owned()
    };
    assert_eq!((state("evt_4").await, state("evt_5").await), ("refused".to_owned(), "ignored".to_owned()));
    let status = system.get("/api/status/payments").await.body;
    let hints = status["hints"].to_string();
    assert!(hints.contains("1 events of Stripe were refused"), "{status}");
}
