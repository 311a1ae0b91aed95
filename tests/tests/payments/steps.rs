//! What happens to single events, and what reconciliation tells.

use jobs::maintenance::Task;
use mongodb::bson::doc;
use providers::payments::{NewCustomer, simulation::Card};
use serde_json::json;
use store::{StripeEventState, SubscriptionState};

use crate::world::{TENANT, World};

fn events(world: &World) -> Vec<String> {
    world.stripe.with(|simulation| simulation.ids_after("evt_", ""))
}

#[tokio::test]
async fn events_of_one_customer_that_wait_are_one_reading() {
    let mut world = World::new().await;
    world.at_once = 1;
    let (_, subscription) = world.subscribe("one", Some(14), Card::Good).await;
    let events = events(&world);
    assert!(events.len() >= 2, "{events:?}");
    for event in &events {
        assert!(world.deliver(event).await.unwrap());
    }
    world.drain().await;
    let kept = world.store.subscription(TENANT).await.unwrap().unwrap();
    assert_eq!((kept.state, kept.plan.as_deref()), (SubscriptionState::Trialing, Some("pro")));
    assert_eq!((kept.subscription.as_deref(), kept.version), (Some(subscription.as_str()), 1), "written once");
    for event in &events {
        let stored = world.store.stripe_event(event).await.unwrap().unwrap();
        assert_ne!(stored.state, StripeEventState::New, "{stored:?}");
        assert!(!world.deliver(event).await.unwrap(), "it is known");
    }
    assert_eq!(world.run_jobs(|| None).await, 0, "what comes twice makes no job");
}

#[tokio::test]
async fn a_payment_that_fails_is_mailed_once_with_where_to_pay() {
    let mut world = World::new().await;
    let (customer, _) = world.subscribe("one", None, Card::Good).await;
    world.stripe.set_card(&customer, Card::Declining);
    world.wait_days(31);
    for event in events(&world) {
        world.deliver(&event).await.unwrap();
    }
    world.drain().await;
    let kept = world.store.subscription(TENANT).await.unwrap().unwrap();
    assert_eq!(kept.state, SubscriptionState::PastDue);
    assert!(kept.past_due_since.is_some() && kept.invoice.is_some_and(|last| last.status == "open"));
    let mails: Vec<_> = world.mails.values().map(|(_, payload)| payload).collect();
    assert_eq!(mails.len(), 1, "{mails:?}");
    assert_eq!((&mails[0]["template"], &mails[0]["to"]), (&json!("payment_failed"), &json!("a@shop.example")));
    assert!(mails[0]["data"]["action_url"].as_str().unwrap().starts_with("http"), "{mails:?}");
}

#[tokio::test]
async fn only_a_trial_that_was_cut_short_is_told_of_by_an_event() {
    let mut world = World::new().await;
    let (_, subscription) = world.subscribe("one", Some(14), Card::Good).await;
    world.wait_days(11);
    let three_days_before = events(&world);
    assert!(world.stripe.objects("evt_").iter().any(|event| event["type"] == "customer.subscription.trial_will_end"));
    for event in &three_days_before {
        world.deliver(event).await.unwrap();
    }
    world.drain().await;
    assert_eq!(world.mails.len(), 0, "our own reminders tell of it");
    assert!(world.cut_trial(&subscription, 1));
    for event in events(&world) {
        world.deliver(&event).await.unwrap();
    }
    world.drain().await;
    let mails: Vec<_> = world.mails.values().map(|(_, payload)| payload).collect();
    assert_eq!(mails.len(), 1, "{mails:?}");
    assert_eq!((&mails[0]["template"], &mails[0]["data"]["days_left"]), (&json!("trial_ending"), &json!(1)));
}

#[tokio::test]
async fn a_customer_of_no_tenant_is_told_and_left_alone() {
    let mut world = World::new().await;
    let new = NewCustomer { tenant: "", email: None, name: None };
    let customer = world.calls().create_customer("k", &new).await.unwrap().id;
    let event = json!({ "id": "evt_nobody", "object": "event", "type": "invoice.paid", "created": 1_790_000_000, "livemode": false,
        "data": { "object": { "object": "invoice", "id": "in_x", "customer": customer } } });
    let event = providers::payments::Event::read(&event).unwrap();
    let stored = jobs::payments::stored_event(event, world.payments().livemode, world.now());
    world.store.put_stripe_event(&stored).await.unwrap();
    world.drain().await;
    let settled = world.store.stripe_event("evt_nobody").await.unwrap().unwrap();
    assert_eq!(settled.state, StripeEventState::Ignored);
    assert!(settled.reason.unwrap().contains("metadata[tenant]"));
}

#[tokio::test]
async fn a_dry_run_tells_what_differs_and_changes_nothing() {
    let mut world = World::new().await;
    let (customer, subscription) = world.subscribe("one", None, Card::Good).await;
    let told = world.task(Task::PaymentSubscriptions, true).await["reconciled"].take();
    assert_eq!((&told["dry_run"], &told["differing"], &told["compared"]), (&json!(true), &json!(1), &json!(1)));
    let difference = json!({ "tenant": TENANT, "customer": customer, "subscription": subscription, "field": "subscription",
        "ours": null, "stripes": subscription });
    assert_eq!(told["differences"], json!([difference]));
    assert_eq!(world.store.next_outbox_ms().await.unwrap(), None);

    world.task(Task::PaymentSubscriptions, false).await;
    world.drain().await;
    let canceled = doc! { "$set": { "state": "canceled" } };
    world.raw("subscriptions").await.update_one(doc! { "_id": TENANT }, canceled).await.unwrap();
    let told = world.task(Task::PaymentSubscriptions, true).await["reconciled"].take();
    let field = &told["differences"][0];
    assert_eq!(
        (&field["field"], &field["ours"], &field["stripes"]),
        (&json!("state"), &json!("canceled"), &json!("active"))
    );
    world.task(Task::PaymentSubscriptions, false).await;
    world.drain().await;
    let (kept, fresh) = world.both(&customer).await;
    assert!(kept.unwrap().is_same(&fresh));
}

#[tokio::test]
async fn a_tenant_that_pays_twice_is_told_of() {
    let mut world = World::new().await;
    let (_, first) = world.subscribe("one", None, Card::Good).await;
    world.task(Task::PaymentSubscriptions, false).await;
    world.drain().await;
    world.wait_days(1);
    let (customer, second) = world.subscribe("two", None, Card::Good).await;
    world.task(Task::PaymentSubscriptions, false).await;
    world.drain().await;
    let kept = world.store.subscription(TENANT).await.unwrap().unwrap();
    assert_eq!(
        (kept.subscription.as_deref(), kept.customer),
        (Some(second.as_str()), Some(customer)),
        "the newest counts"
    );
    let told = world.task(Task::PaymentSubscriptions, true).await["reconciled"].take();
    let [difference] = told["differences"].as_array().unwrap().as_slice() else { panic!("{told}") };
    assert_eq!(
        (&difference["field"], &difference["ours"], &difference["stripes"]),
        (&json!("second_subscription"), &json!(second), &json!(first))
    );
    world.calls().cancel_now(&first, None).await.unwrap();
    let told = world.task(Task::PaymentSubscriptions, true).await["reconciled"].take();
    assert_eq!(told["differences"], json!([]), "it has ended");
}

#[tokio::test]
async fn undelivered_events_are_fetched_once() {
    let mut world = World::new().await;
    let (customer, _) = world.subscribe("one", Some(14), Card::Good).await;
    let fetched = world.task(Task::PaymentEvents, false).await;
    assert!(fetched["count"].as_u64().unwrap() >= 1, "{fetched}");
    world.drain().await;
    let (kept, fresh) = world.both(&customer).await;
    assert!(kept.unwrap().is_same(&fresh));
    let again = world.task(Task::PaymentEvents, false).await;
    assert_eq!(again["count"], 0, "they are known, though Stripe still has them as undelivered");
}
