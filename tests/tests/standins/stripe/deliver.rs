//! What the stand-in delivers, signed, and what it tells of what was not taken.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
    time::Duration,
};

use axum::{Router, body::Bytes, extract::State, http::HeaderMap, http::StatusCode, routing::post as on_post};
use providers::payments::{Event, webhook};
use tests::standins::stripe::{Mode, Order, Stripe};

use super::{Method, answer, call, life::opened, stripe};

const SECRET: &str = "whsec_standin";

/// A webhook that checks as ours does; it refuses while it is told to.
#[derive(Debug, Default)]
struct Hook {
    taken: Mutex<Vec<Event>>,
    refuses: Mutex<bool>,
}

impl Hook {
    fn taken(&self) -> Vec<String> {
        self.taken.lock().unwrap().iter().map(|event| event.id.clone()).collect()
    }
}

async fn take(State(hook): State<Arc<Hook>>, headers: HeaderMap, body: Bytes) -> StatusCode {
    if *hook.refuses.lock().unwrap() {
        return StatusCode::SERVICE_UNAVAILABLE;
    }
    let header = headers["stripe-signature"].to_str().unwrap();
    let now_s = u64::try_from(chrono::Utc::now().timestamp()).unwrap();
    match webhook::verify(header, &body, &webhook::secrets(SECRET), now_s) {
        Ok(event) => {
            hook.taken.lock().unwrap().push(event);
            StatusCode::OK
        }
        Err(_) => StatusCode::BAD_REQUEST,
    }
}

async fn hook() -> (Arc<Hook>, String) {
    let hook = Arc::new(Hook::default());
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/hook", listener.local_addr().unwrap());
    let routes = Router::new().route("/hook", on_post(take)).with_state(Arc::clone(&hook));
    tokio::spawn(async move { axum::serve(listener, routes).await });
    (hook, url)
}

fn made(stripe: &Stripe) -> Vec<String> {
    stripe.objects("evt_").iter().map(|event| event["id"].as_str().unwrap().to_owned()).collect()
}

async fn wait_until(mut is_so: impl FnMut() -> bool) {
    servers::wait_until("the deliveries", Duration::from_secs(20), async || is_so()).await;
}

async fn undelivered(stripe: &Stripe) -> usize {
    let list = answer(call(stripe, Method::GET, "events?delivery_success=false&limit=100")).await.1;
    list["data"].as_array().unwrap().len()
}

#[tokio::test]
async fn events_are_delivered_at_once_and_our_own_check_takes_them() {
    let stripe = stripe().await;
    let (hook, url) = hook().await;
    // While a secret is replaced, both sign.
    stripe.deliver_to(&url, &["whsec_old", SECRET], Mode::AtOnce);
    let (customer, session) = opened(&stripe, "").await;
    let id = stripe.complete(&session);
    let made = made(&stripe);
    wait_until(|| hook.taken().len() == made.len()).await;
    assert_eq!(hook.taken(), made);
    let taken = hook.taken.lock().unwrap();
    for event in taken.iter().filter(|event| event.object_kind != "customer" && event.object_kind != "checkout.session")
    {
        let named = (event.customer.as_deref(), event.subscription.as_deref(), event.tenant.as_deref());
        assert_eq!(named, (Some(customer.as_str()), Some(id.as_str()), Some("acme")), "{event:?}");
    }
}

#[tokio::test]
async fn events_are_delivered_twice_and_again_until_they_are_taken() {
    let stripe = stripe().await;
    let (hook, url) = hook().await;
    *hook.refuses.lock().unwrap() = true;
    stripe.deliver_to(&url, &[SECRET], Mode::Twice);
    opened(&stripe, "").await;
    wait_until(|| stripe.delivered().iter().filter(|delivered| delivered.status == Some(503)).count() >= 2).await;
    *hook.refuses.lock().unwrap() = false;
    wait_until(|| hook.taken().len() == 2).await;
    assert_eq!(hook.taken()[0], hook.taken()[1]);
    assert_eq!(undelivered(&stripe).await, 0);
}

#[tokio::test]
async fn held_events_come_in_any_order_late_or_never() {
    let stripe = stripe().await;
    let (hook, url) = hook().await;
    stripe.deliver_to(&url, &[SECRET], Mode::Held);
    let (_, session) = opened(&stripe, "").await;
    let _id = stripe.complete(&session);
    let all = made(&stripe);
    assert_eq!((hook.taken().len(), undelivered(&stripe).await), (0, all.len()));
    let released = stripe.release(Order::Reversed).await;
    let reversed: Vec<_> = all.iter().rev().cloned().collect();
    assert!(released.iter().all(|delivered| delivered.status == Some(200)), "{released:?}");
    assert_eq!((hook.taken(), undelivered(&stripe).await), (reversed, 0));
    // A delivery that was signed too long ago, or by a clock that is ahead.
    let now_s = chrono::Utc::now().timestamp();
    for (at_s, status) in [(now_s - 310, 400), (now_s + 310, 400), (now_s - 290, 200)] {
        assert_eq!(stripe.deliver(&all[0], Some(at_s)).await, Some(status));
    }
    stripe.deliver_to(&url, &[SECRET], Mode::Held);
    stripe.advance_days(31);
    let shuffled: BTreeMap<_, _> =
        stripe.release(Order::Shuffled(7)).await.into_iter().map(|one| (one.event, one.status)).collect();
    assert!(shuffled.len() > 2 && shuffled.keys().all(|event| !all.contains(event)));
    stripe.deliver_to(&url, &["whsec_other"], Mode::Never);
    stripe.advance_days(31);
    assert!(undelivered(&stripe).await > 2);
    assert_eq!(stripe.deliver(made(&stripe).last().unwrap(), None).await, Some(400), "by another secret");
    stripe.advance_days(40);
    let left = answer(call(&stripe, Method::GET, "events?limit=100")).await.1;
    let oldest = stripe.with(|simulation| simulation.now_s()) - 30 * 86_400;
    assert!(left["data"].as_array().unwrap().iter().all(|event| event["created"].as_i64().unwrap() >= oldest));
}

/// As a person or another process does it.
#[tokio::test]
async fn clock_and_webhook_are_set_from_outside_too() {
    let stripe = stripe().await;
    let (hook, url) = hook().await;
    let post = async |path: &str, form: &[(&str, &str)]| {
        let form = url::form_urlencoded::Serializer::new(String::new()).extend_pairs(form).finish();
        crate::client().post(format!("{}{path}", stripe.url())).body(form).send().await.unwrap().status().as_u16()
    };
    assert_eq!(post("/_webhook", &[("url", &url), ("secret", SECRET), ("mode", "at noon")]).await, 400);
    assert_eq!(post("/_webhook", &[("url", &url), ("secret", SECRET)]).await, 204);
    let (_, session) = opened(&stripe, "").await;
    let id = stripe.complete(&session);
    assert_eq!((post("/_clock", &[("days", "soon")]).await, post("/_clock", &[("days", "31")]).await), (400, 200));
    wait_until(|| hook.taken.lock().unwrap().iter().filter(|event| event.kind == "invoice.paid").count() == 2).await;
    assert!(hook.taken.lock().unwrap().iter().any(|event| event.subscription.as_deref() == Some(id.as_str())));
}

#[tokio::test]
async fn events_have_the_form_of_the_end_points_version_for_ever() {
    let stripe = stripe().await;
    stripe.with(|simulation| "2024-06-20".clone_into(&mut simulation.settings().api_version));
    let (_, session) = opened(&stripe, "").await;
    let id = stripe.complete(&session);
    let events = answer(call(&stripe, Method::GET, "events?limit=100")).await.1;
    let mut n_named = 0;
    for event in events["data"].as_array().unwrap() {
        let object = &event["data"]["object"];
        assert_eq!(event["api_version"], "2024-06-20");
        assert!(object.get("parent").is_none(), "an invoice of this version names its subscription beside the others");
        let read = Event::read(event).unwrap();
        if matches!(read.object_kind.as_str(), "invoice" | "subscription") {
            assert_eq!(read.subscription.as_deref(), Some(id.as_str()), "{event}");
            n_named += 1;
        }
    }
    assert!(n_named >= 4, "{events}");
    let subscription =
        events["data"].as_array().unwrap().iter().find(|event| event["data"]["object"]["object"] == "subscription");
    assert!(subscription.unwrap()["data"]["object"]["current_period_end"].is_i64());
}
