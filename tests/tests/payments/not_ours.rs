//! Records that cannot be read, and what is of another account or mode: neither counts, and neither is taken for something else.

use chrono::Utc;
use jobs::{
    maintenance::Task,
    payments::{By, Gate},
};
use mongodb::bson::doc;
use providers::payments::{Event, PaymentsMode, simulation::Card};
use serde_json::json;
use store::{StoredSubscription, StripeEventState, SubscriptionState};

use crate::world::{TENANT, World};

async fn deliver_all(world: &World) {
    for event in world.stripe.with(|simulation| simulation.ids_after("evt_", "")) {
        world.deliver(&event).await.unwrap();
    }
}

async fn damage(world: &World, tenant: &str, version: mongodb::bson::Bson) {
    let damaged = doc! { "$set": { "state": "hibernating", "version": version } };
    world.raw("subscriptions").await.update_one(doc! { "_id": tenant }, damaged).await.unwrap();
    assert!(world.store.subscription(tenant).await.unwrap_err().is_unreadable());
}

#[tokio::test]
async fn a_record_that_cannot_be_read_opens_nothing_for_others() {
    let world = World::new().await;
    for tenant in [TENANT, "bolt"] {
        let ended = world.record(tenant, SubscriptionState::Canceled);
        assert!(world.store.put_subscription(&ended, None).await.unwrap());
    }
    damage(&world, TENANT, 1.into()).await;
    let gate = Gate::default();
    let by = By { plans: world.plans(), mode: PaymentsMode::Test, store: Some(&world.store) };
    let damaged = gate.entitlements(TENANT, by, Utc::now()).await;
    assert_eq!((damaged.plan.as_str(), damaged.may_enqueue), ("default", true), "nothing is known of it");
    let other = gate.entitlements("bolt", by, Utc::now()).await;
    assert_eq!((other.state.as_str(), other.may_enqueue), ("canceled", false));
}

#[tokio::test]
async fn a_record_that_cannot_be_read_is_told_and_made_anew() {
    let mut world = World::new().await;
    let (customer, _) = world.subscribe("one", Some(14), Card::Good).await;
    deliver_all(&world).await;
    world.drain().await;
    // By reconciliation, whose job finds the customer by the tenant's name, too.
    for version in [7_i64.into(), "seven".into()] {
        damage(&world, TENANT, version).await;
        let told = world.task(Task::PaymentSubscriptions, true).await["reconciled"].take();
        let of_record = told["differences"].as_array().unwrap().iter().find(|told| told["field"] == "record");
        let ours = of_record.unwrap()["ours"].as_str().unwrap();
        assert!(ours.starts_with("cannot be read") && ours.contains("hibernating"), "{told}");
        assert!(world.store.subscription(TENANT).await.is_err(), "a dry run changes nothing");
        world.task(Task::PaymentSubscriptions, false).await;
        world.drain().await;
        let (kept, fresh) = world.both(&customer).await;
        assert!(kept.as_ref().unwrap().is_same(&fresh), "{kept:?}");
    }
    // By an event.
    damage(&world, TENANT, 9_i64.into()).await;
    world.wait_days(15);
    deliver_all(&world).await;
    world.drain().await;
    let (kept, fresh) = world.both(&customer).await;
    let kept = kept.unwrap();
    assert!(kept.is_same(&fresh) && kept.state == SubscriptionState::Active && kept.version > 9, "{kept:?}");
}

#[tokio::test]
async fn what_another_account_had_stays_until_the_tenant_subscribes_here() {
    let mut world = World::new().await;
    let elsewhere = world.record(TENANT, SubscriptionState::Active);
    assert!(world.store.put_subscription(&elsewhere, None).await.unwrap());
    let customer = elsewhere.customer.clone().unwrap();
    let event = json!({ "id": "evt_elsewhere", "object": "event", "type": "invoice.paid", "created": 1_790_000_000, "livemode": false,
        "data": { "object": { "object": "invoice", "id": "in_x", "customer": customer } } });
    let event = jobs::payments::stored_event(Event::read(&event).unwrap(), world.payments().livemode, world.now());
    world.store.put_stripe_event(&event).await.unwrap();
    world.drain().await;
    let settled = world.store.stripe_event("evt_elsewhere").await.unwrap().unwrap();
    assert_eq!(settled.state, StripeEventState::Ignored);
    assert!(settled.reason.as_ref().unwrap().contains("no such customer"), "{settled:?}");
    let told = world.task(Task::PaymentSubscriptions, false).await["reconciled"].take();
    assert_eq!((&told["differences"][0]["field"], &told["differences"][0]["stripes"]), (&json!("state"), &json!(null)));
    world.drain().await;
    let kept = world.store.subscription(TENANT).await.unwrap().unwrap();
    assert_eq!(kept, elsewhere, "looking into the wrong account ends nothing");

    let (_, subscription) = world.subscribe("one", None, Card::Good).await;
    deliver_all(&world).await;
    world.drain().await;
    let kept = world.store.subscription(TENANT).await.unwrap().unwrap();
    assert_eq!((kept.subscription, kept.state), (Some(subscription), SubscriptionState::Active));
}

#[tokio::test]
async fn a_customer_that_was_deleted_has_no_subscription_any_more() {
    let mut world = World::new().await;
    let (customer, subscription) = world.subscribe("one", None, Card::Good).await;
    assert!(world.calls().subscriptions_of(&customer).await.unwrap().is_some_and(|found| found.len() == 1));
    assert_eq!(world.calls().subscriptions_of("cus_of_nobody").await.unwrap(), None);
    world.stripe.with(|simulation| {
        let params = providers::payments::simulation::Params::from(Vec::<(String, String)>::new());
        let deleted =
            simulation.call(providers::payments::Method::Delete, &format!("customers/{customer}"), &params, None);
        assert_eq!(deleted.status, 200);
    });
    deliver_all(&world).await;
    world.drain().await;
    let kept = world.store.subscription(TENANT).await.unwrap().unwrap();
    assert_eq!((kept.state, kept.subscription), (SubscriptionState::Canceled, Some(subscription)));
}

#[tokio::test]
async fn a_test_does_not_replace_what_is_live() {
    let mut world = World::new().await;
    let live = StoredSubscription { livemode: true, ..world.record(TENANT, SubscriptionState::Active) };
    assert!(world.store.put_subscription(&live, None).await.unwrap());
    let _ = world.subscribe("one", Some(14), Card::Good).await;
    deliver_all(&world).await;
    world.drain().await;
    assert_eq!(world.store.subscription(TENANT).await.unwrap().unwrap(), live);
    let gate = Gate::default();
    let by = |mode| By { plans: world.plans(), mode, store: Some(&world.store) };
    assert_eq!(gate.entitlements(TENANT, by(PaymentsMode::Live), Utc::now()).await.plan, "pro");
    assert_eq!(gate.entitlements(TENANT, by(PaymentsMode::Test), Utc::now()).await.plan, "default");
}

#[tokio::test]
async fn pages_of_a_tenant_whose_subscription_has_ended_are_not_watched() {
    let mut world = World::new().await;
    for (tenant, state) in [(TENANT, SubscriptionState::Canceled), ("bolt", SubscriptionState::Active)] {
        assert!(world.store.put_subscription(&world.record(tenant, state), None).await.unwrap());
    }
    for tenant in [TENANT, "bolt", "carl"] {
        let page = doc! { "_id": tenant, "tenant": tenant, "product_id": "L-1", "url": "https://shop.example/lamp" };
        world.raw("monitors").await.insert_one(page).await.unwrap();
    }
    assert_eq!(world.task(Task::Prices, false).await["count"], 2, "who pays, and who never subscribed");
    let mut paid = world.store.subscription(TENANT).await.unwrap().unwrap();
    paid = StoredSubscription { state: SubscriptionState::Active, version: 2, ..paid };
    assert!(world.store.put_subscription(&paid, Some(1)).await.unwrap());
    assert_eq!(world.task(Task::Prices, false).await["count"], 3, "it goes on with the subscription");
}
