//! Events, subscriptions and the mock's shelf on a real MongoDB.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking, its functions included")]

use mongodb::{
    Client,
    bson::{Document, doc},
};
use servers::MongoDatabase;
use store::{
    Error, EventOrder, Moment, OutboxEntry, Store, StoredSubscription, StripeEvent, StripeEventState, SubscriptionState,
};

const NOW: u64 = 1_790_000_000_000;

async fn store() -> (Store, MongoDatabase) {
    let name = MongoDatabase::new();
    let store = Store::open(servers::mongo(), &name).await.unwrap();
    store.prepare(&[]).await.unwrap();
    (store, name)
}

fn event(id: &str, customer: &str, created_s: u64) -> StripeEvent {
    StripeEvent {
        id: id.to_owned(),
        kind: "invoice.paid".to_owned(),
        api_version: Some("2026-10-28.endive".to_owned()),
        created: Moment::from_ms(NOW + created_s * 1000),
        livemode: false,
        object_kind: "invoice".to_owned(),
        object: Some("in_1".to_owned()),
        customer: Some(customer.to_owned()),
        subscription: Some("sub_1".to_owned()),
        tenant: None,
        state: StripeEventState::New,
        at: Moment::from_ms(NOW + 60_000),
        settled_at: None,
        reason: None,
        order: None,
    }
}

async fn raw(database: &str, collection: &str) -> mongodb::Collection<Document> {
    Client::with_uri_str(servers::mongo()).await.unwrap().database(database).collection(collection)
}

#[tokio::test]
async fn an_event_is_kept_once_with_the_job_that_handles_it() {
    let (store, database) = store().await;
    let one = event("evt_1", "cus_1", 7);
    let together = futures::future::join_all((0..8).map(|_| store.put_stripe_event(&one))).await;
    assert_eq!(together.into_iter().filter(|is_new| *is_new.as_ref().unwrap()).count(), 1);
    let kept = store.stripe_event("evt_1").await.unwrap().unwrap();
    let order = EventOrder { push_at: Some(one.at), ..EventOrder::default() };
    assert_eq!(kept, StripeEvent { order: Some(order), ..one.clone() });
    let entry = store.outbox("payment/evt_1").await.unwrap().unwrap();
    assert_eq!((entry.kind.as_str(), entry.tenant.as_str(), entry.at), ("payment", "default", one.created));
    assert_eq!(entry.payload.as_deref(), Some(r#"{"customer":"cus_1","event":"evt_1"}"#));

    // Both are one document, which the relay finds and marks.
    assert_eq!(raw(&database, "outbox").await.count_documents(doc! {}).await.unwrap(), 0);
    assert_eq!(store.next_outbox_ms().await.unwrap(), Some(one.at.ms()));
    let due = store.outbox_to_push(one.at.ms(), &[], 10).await.unwrap().read;
    assert_eq!(due, std::slice::from_ref(&entry));
    assert_eq!(store.outbox_to_push(one.at.ms(), std::slice::from_ref(&entry.name), 10).await.unwrap().n(), 0);
    let pushed = OutboxEntry { push_at: None, pushed_at: Some(one.at), job: Some("j".to_owned()), ..entry };
    store.settle_outbox(std::slice::from_ref(&pushed)).await.unwrap();
    assert_eq!(store.outbox("payment/evt_1").await.unwrap(), Some(pushed));
    assert_eq!(store.next_outbox_ms().await.unwrap(), None);
    // Nor does a delivery that is repeated order the job again.
    assert!(!store.put_stripe_event(&one).await.unwrap());
    assert_eq!(store.next_outbox_ms().await.unwrap(), None);
}

#[tokio::test]
async fn what_is_refused_or_ignored_has_no_job_and_is_counted() {
    let (store, _database) = store().await;
    for (id, state) in [("evt_1", StripeEventState::Refused), ("evt_2", StripeEventState::Ignored)] {
        let event = StripeEvent { state, reason: Some("why".to_owned()), ..event(id, "cus_1", 0) };
        assert!(store.put_stripe_event(&event).await.unwrap());
        assert_eq!(store.outbox(&format!("payment/{id}")).await.unwrap(), None);
    }
    store.put_stripe_event(&event("evt_3", "cus_1", 0)).await.unwrap();
    let counts = store.stripe_event_counts().await.unwrap();
    assert_eq!((counts.new, counts.ignored, counts.refused), (1, 1, 1));
    let refused = store.stripe_event("evt_1").await.unwrap().unwrap();
    assert_eq!((refused.state, refused.reason.as_deref()), (StripeEventState::Refused, Some("why")));
}

#[tokio::test]
async fn the_events_of_a_customer_that_wait_come_oldest_first_and_are_settled_once() {
    let (store, _database) = store().await;
    for (id, customer, created_s) in [("evt_2", "cus_1", 2), ("evt_1", "cus_1", 1), ("evt_9", "cus_2", 0)] {
        store.put_stripe_event(&event(id, customer, created_s)).await.unwrap();
    }
    let ids = |events: Vec<StripeEvent>| events.into_iter().map(|event| event.id).collect::<Vec<_>>();
    let waiting = ids(store.new_stripe_events("cus_1", 10).await.unwrap());
    assert_eq!(waiting, ["evt_1", "evt_2"]);
    let settle = async |state, reason| {
        store.settle_stripe_events(&waiting, state, reason, Moment::from_ms(NOW + 9)).await.unwrap();
    };
    settle(StripeEventState::Ignored, Some("it is nobody's")).await;
    settle(StripeEventState::Done, None).await;
    let settled = store.stripe_event("evt_1").await.unwrap().unwrap();
    assert_eq!((settled.state, settled.reason.as_deref()), (StripeEventState::Ignored, Some("it is nobody's")));
    assert_eq!(settled.settled_at, Some(Moment::from_ms(NOW + 9)));
    assert!(store.new_stripe_events("cus_1", 10).await.unwrap().is_empty());
}

#[tokio::test]
async fn of_writers_that_read_the_same_subscription_one_writes() {
    let (store, _database) = store().await;
    let none = StoredSubscription::none("acme", Moment::from_ms(NOW));
    let first = StoredSubscription { customer: Some("cus_1".to_owned()), version: 1, ..none };
    assert!(store.put_subscription(&first, None).await.unwrap());
    assert!(!store.put_subscription(&first, None).await.unwrap(), "it is there");
    let trialing = StoredSubscription {
        state: SubscriptionState::Trialing,
        trial_end: Some(Moment::from_ms(NOW + 5_000)),
        version: 2,
        ..first.clone()
    };
    assert!(store.put_subscription(&trialing, Some(1)).await.unwrap());
    assert!(!store.put_subscription(&first, Some(1)).await.unwrap(), "another wrote meanwhile");
    assert_eq!(store.subscription("acme").await.unwrap().as_ref(), Some(&trialing));
    assert_eq!(store.subscription_of_customer("cus_1").await.unwrap().as_ref(), Some(&trialing));
    assert_eq!(store.subscription("other").await.unwrap(), None);
    let until = |s: u64| (Moment::from_ms(NOW), Moment::from_ms(NOW + s * 1000));
    assert_eq!(store.trials_ending(until(5), None, 10).await.unwrap().read, std::slice::from_ref(&trialing));
    assert_eq!(store.trials_ending(until(4), None, 10).await.unwrap().n(), 0);
    assert_eq!(store.trials_ending(until(5), Some("acme"), 10).await.unwrap().n(), 0);
    assert_eq!(store.subscriptions_of(&["acme", "other"]).await.unwrap().read, std::slice::from_ref(&trialing));
    assert_eq!(store.subscriptions(None, 10).await.unwrap().read, std::slice::from_ref(&trialing));
    let later = StoredSubscription { updated_at: Moment::from_ms(NOW + 1), version: 9, ..trialing.clone() };
    assert!(trialing.is_same(&later) && !trialing.is_same(&first));
}

#[tokio::test]
async fn the_mock_keeps_texts_of_which_no_version_is_lost() {
    let (store, _database) = store().await;
    assert_eq!(store.mock_payments("a").await.unwrap(), None);
    let keep = async |text: &str, was| store.keep_mock_payments("a", text.to_owned(), was).await.unwrap();
    assert!(keep("one", 0).await && !keep("other", 0).await);
    assert!(keep("two", 1).await && !keep("other", 1).await);
    assert_eq!(store.mock_payments("a").await.unwrap(), Some((2, "two".to_owned())));
    assert_eq!(store.mock_payments_names().await.unwrap(), ["a"]);
}

#[tokio::test]
async fn without_mongodb_nothing_is_said_to_be_kept() {
    let nowhere = Store::open("mongodb://127.0.0.1:1/?serverSelectionTimeoutMS=100", "shop").await.unwrap();
    let error = nowhere.put_stripe_event(&event("evt_1", "cus_1", 0)).await.unwrap_err();
    assert!(matches!(error, Error::Unavailable { .. }), "{error:?}");
}
