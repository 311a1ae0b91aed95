//! Payments while one of our own servers is away, or the API is killed: no event that was answered is lost, and none is handled twice. What an
//! outage of Stripe does is in `outage.rs`, beside those of the other services.

use chrono::Utc;
use futures::future::join_all;
use mongodb::bson::{Document, doc};
use serde_json::json;
use servers::{MongoServer, RedisKind, RedisServer, wait_until};
use tests::{
    JOB_PATIENCE, Options, PATIENCE, System,
    standins::stripe::{Mode, Order, Stripe, signature},
};

use super::{KEY, SECRET, collection, post, start, subscribe, until_state, variables};

const CONNECTIONS: usize = 64;

async fn stripe() -> Stripe {
    Stripe::start(0, KEY, &["price_pro", "price_premium"]).await.unwrap()
}

fn options(stripe: &Stripe) -> Options {
    let options = Options::default().workers(1);
    variables(stripe).into_iter().fold(options, |options, (name, value)| options.env(name, value))
}

/// An event, of a customer whom Stripe does not have.
fn event(id: &str) -> String {
    json!({ "id": id, "object": "event", "type": "customer.subscription.updated", "created": Utc::now().timestamp(),
        "livemode": false, "data": { "object": { "object": "subscription", "id": "sub_1", "customer": "cus_nobody" } } })
    .to_string()
}

async fn deliver(system: &System, id: &str) -> u16 {
    let body = event(id);
    post(system, &signature(SECRET, Utc::now().timestamp(), &body), body.clone()).await.0
}

async fn n_events(system: &System, filter: Document) -> u64 {
    collection(system, "stripe_events").await.count_documents(filter).await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn every_event_that_was_answered_before_the_api_was_killed_is_stored_and_handled() {
    let stripe = stripe().await;
    let mut system = start(&stripe).await;
    let client = system.client().clone();
    let url = format!("{}/api/webhooks/stripe", system.url());
    let senders = (0..CONNECTIONS).map(|sender| {
        let (client, url) = (client.clone(), url.clone());
        tokio::spawn(async move {
            let mut answered = Vec::new();
            for n in 0.. {
                let id = format!("evt_{sender}_{n}");
                let body = event(&id);
                let header = signature(SECRET, Utc::now().timestamp(), &body);
                match client.post(&url).header("stripe-signature", header).body(body).send().await {
                    Ok(answer) if answer.status() == 200 => answered.push(id),
                    Ok(answer) => panic!("{}", answer.status()),
                    // It was killed.
                    Err(_) => break,
                }
            }
            answered
        })
    });
    let senders: Vec<_> = senders.collect();
    wait_until("deliveries are under way", PATIENCE, async || n_events(&system, doc! {}).await > 200).await;
    system.signal_producer("KILL");
    let answered: Vec<String> = join_all(senders).await.into_iter().flat_map(Result::unwrap).collect();
    assert!(answered.len() > 100, "{}", answered.len());
    let stored = n_events(&system, doc! { "_id": { "$in": &answered } }).await;
    assert_eq!(stored, answered.len() as u64, "each that was answered is stored");
    system.revive_producer().await;
    let waiting = doc! { "_id": { "$in": &answered }, "state": "new" };
    wait_until("each is handled", JOB_PATIENCE, async || n_events(&system, waiting.clone()).await == 0).await;
    // Stripe repeats what was not answered; what was is known.
    assert_eq!(deliver(&system, &answered[0]).await, 200);
    let settled = doc! { "_id": &answered[0], "order.job": { "$ne": null } };
    wait_until("its job is marked", PATIENCE, async || n_events(&system, settled.clone()).await == 1).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn while_mongodb_is_away_events_are_refused_and_repeated_later_they_are_handled_once() {
    let (stripe, mongo) = (stripe().await, MongoServer::start());
    let system = System::start(Options { mongo_url: Some(mongo.url()), ..options(&stripe) }).await;
    stripe.deliver_to(&format!("{}/api/webhooks/stripe", system.url()), &[SECRET], Mode::Held);
    subscribe(&stripe).await;
    mongo.stop();
    let body = event("evt_away");
    let (status, problem) = post(&system, &signature(SECRET, Utc::now().timestamp(), &body), body.clone()).await;
    assert_eq!(status, 503, "{problem}");
    assert!(problem["type"].as_str().unwrap().ends_with("store-unavailable"), "{problem}");
    let held = stripe.release(Order::AsMade).await;
    assert!(held.iter().all(|delivered| delivered.status == Some(503)), "{held:?}");
    mongo.restart();
    for delivered in &held {
        let is_taken = async || stripe.deliver(&delivered.event, None).await == Some(200);
        wait_until("it is taken", PATIENCE, is_taken).await;
        assert_eq!(stripe.deliver(&delivered.event, None).await, Some(200));
    }
    until_state(&system, "trialing").await;
    assert_eq!(n_events(&system, doc! {}).await, held.len() as u64);
}

#[tokio::test(flavor = "multi_thread")]
async fn events_that_come_while_redis_is_away_are_taken_and_handled_afterwards() {
    let (stripe, redis) = (stripe().await, RedisServer::start(RedisKind::Valkey));
    let system = System::start(Options { redis_url: Some(redis.url()), ..options(&stripe) }).await;
    stripe.deliver_to(&format!("{}/api/webhooks/stripe", system.url()), &[SECRET], Mode::Held);
    subscribe(&stripe).await;
    redis.stop();
    let held = stripe.release(Order::Reversed).await;
    assert!(held.iter().all(|delivered| delivered.status == Some(200)), "{held:?}");
    assert_eq!(n_events(&system, doc! { "state": "done" }).await, 0);
    redis.restart();
    until_state(&system, "trialing").await;
    let is_handled = async || n_events(&system, doc! { "state": "new" }).await == 0;
    wait_until("all are handled", JOB_PATIENCE, is_handled).await;
}
