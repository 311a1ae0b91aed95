//! What happens at the stand-in as its clock is moved.

use std::collections::BTreeMap;

use providers::payments::simulation::{AfterRetries, Card};
use serde_json::{Value, json};
use tests::standins::stripe::Stripe;

use super::{Method, answer, call, post, stripe};

const DAY_S: i64 = 86_400;

/// An open session, with these parameters besides.
pub(super) async fn opened(stripe: &Stripe, more: &str) -> (String, String) {
    let customer = answer(post(stripe, "customers", &format!("c:{more}"), "metadata[tenant]=acme")).await.1;
    let customer = customer["id"].as_str().unwrap().to_owned();
    let form = format!(
        "mode=subscription&customer={customer}&line_items[0][price]=price_pro&line_items[0][quantity]=1&success_url=https%3A%2F%2Fapp.example%2F%3Fs%3D\
         {{CHECKOUT_SESSION_ID}}&cancel_url=https%3A%2F%2Fapp.example%2Fno&subscription_data[metadata][tenant]=acme{more}"
    );
    let (status, session) = answer(post(stripe, "checkout/sessions", &format!("s:{more}"), &form)).await;
    assert_eq!(status, 200, "{session}");
    (customer, session["id"].as_str().unwrap().to_owned())
}

const TRIAL: &str = "&subscription_data[trial_period_days]=14";
const NO_CARD: &str = "&subscription_data[trial_period_days]=14&payment_method_collection=if_required\
                       &subscription_data[trial_settings][end_behavior][missing_payment_method]=";

fn object(stripe: &Stripe, id: &str) -> Value {
    stripe.with(|simulation| simulation.object(id).cloned()).unwrap()
}

fn status(stripe: &Stripe, id: &str) -> String {
    object(stripe, id)["status"].as_str().unwrap().to_owned()
}

/// How many events of each type there are.
fn told(stripe: &Stripe) -> BTreeMap<String, usize> {
    let mut told = BTreeMap::new();
    for event in stripe.objects("evt_") {
        *told.entry(event["type"].as_str().unwrap().to_owned()).or_default() += 1;
    }
    told
}

#[tokio::test]
async fn a_trial_ends_in_a_paid_month_and_months_follow() {
    let stripe = stripe().await;
    let (_, session) = opened(&stripe, TRIAL).await;
    let id = stripe.complete(&session);
    assert_eq!(status(&stripe, &id), "trialing");
    stripe.advance_days(10);
    assert_eq!(told(&stripe).get("customer.subscription.trial_will_end"), None);
    stripe.advance_days(1);
    assert_eq!(told(&stripe)["customer.subscription.trial_will_end"], 1, "three days before");
    stripe.advance_days(4);
    assert_eq!((status(&stripe, &id).as_str(), told(&stripe)["invoice.paid"]), ("active", 2));
    let invoice = object(&stripe, object(&stripe, &id)["latest_invoice"].as_str().unwrap());
    assert_eq!((&invoice["status"], &invoice["amount_paid"]), (&json!("paid"), &json!(2_900)));
    assert_eq!(invoice["parent"]["subscription_details"]["metadata"]["tenant"], "acme");
    let end = object(&stripe, &id)["items"]["data"][0]["current_period_end"].as_i64().unwrap();
    stripe.advance_days(62);
    assert_eq!(told(&stripe)["invoice.paid"], 4);
    assert!(object(&stripe, &id)["items"]["data"][0]["current_period_end"].as_i64().unwrap() > end + 50 * DAY_S);
}

#[tokio::test]
async fn a_payment_that_fails_is_tried_again_and_ends_as_the_account_is_set() {
    for (after, ends) in
        [(AfterRetries::Cancel, "canceled"), (AfterRetries::Unpaid, "unpaid"), (AfterRetries::PastDue, "past_due")]
    {
        let stripe = stripe().await;
        stripe.with(|simulation| simulation.settings().after_retries = after);
        let (customer, session) = opened(&stripe, "").await;
        let id = stripe.complete(&session);
        assert_eq!(status(&stripe, &id), "active");
        stripe.set_card(&customer, Card::Declining);
        stripe.advance_days(31);
        assert_eq!(status(&stripe, &id), "past_due");
        stripe.advance_days(16);
        assert_eq!((status(&stripe, &id).as_str(), told(&stripe)["invoice.payment_failed"]), (ends, 4));
        let open = stripe.with(|simulation| simulation.open_invoices(&id));
        assert_eq!(stripe.pay(&open[0]).unwrap_err().status, 402);
        stripe.set_card(&customer, Card::Good);
        stripe.pay(&open[0]).unwrap();
        let paid = if ends == "canceled" { "canceled" } else { "active" };
        assert_eq!(status(&stripe, &id), paid, "what has ended stays so");
    }
}

#[tokio::test]
async fn a_trial_without_a_card_ends_as_was_chosen() {
    for (chosen, ends, told_kind) in [
        ("cancel", "canceled", "customer.subscription.deleted"),
        ("pause", "paused", "customer.subscription.paused"),
        ("create_invoice", "past_due", "invoice.payment_failed"),
    ] {
        let stripe = stripe().await;
        let (customer, session) = opened(&stripe, &format!("{NO_CARD}{chosen}")).await;
        let id = stripe.complete_with(&session, Card::None).unwrap();
        stripe.advance_days(14);
        assert_eq!((status(&stripe, &id).as_str(), told(&stripe)[told_kind]), (ends, 1));
        if ends != "paused" {
            continue;
        }
        let reason = &object(&stripe, &id)["status_details"]["paused"]["subscription"]["type"];
        assert_eq!(reason, "trial_end_without_payment_method");
        stripe.set_card(&customer, Card::Good);
        let resumed =
            answer(post(&stripe, &format!("subscriptions/{id}/resume"), "r", "billing_cycle_anchor=now")).await.1;
        assert_eq!((&resumed["status"], told(&stripe)["customer.subscription.resumed"]), (&json!("active"), 1));
        let paused = answer(post(&stripe, &format!("subscriptions/{id}/pause"), "p", "")).await.1;
        assert_eq!(paused["status_details"]["paused"]["subscription"]["type"], "pause_requested");
    }
    let stripe = stripe().await;
    let (_, needs_card) = opened(&stripe, TRIAL).await;
    assert!(stripe.complete_with(&needs_card, Card::None).is_err());
}

#[tokio::test]
async fn a_trial_that_is_cut_short_is_told_of_after_its_payment() {
    let stripe = stripe().await;
    let (_, session) = opened(&stripe, TRIAL).await;
    let id = stripe.complete(&session);
    let cut = answer(post(&stripe, &format!("subscriptions/{id}"), "cut", "trial_end=now")).await.1;
    assert_eq!(cut["status"], "active");
    let events = stripe.objects("evt_");
    let place = |kind: &str| events.iter().rposition(|event| event["type"] == kind).unwrap();
    assert!(place("customer.subscription.trial_will_end") > place("invoice.paid"));
    stripe.advance_days(14);
    assert_eq!(told(&stripe)["customer.subscription.trial_will_end"], 1);
}

#[tokio::test]
async fn a_plan_ends_with_its_period_unless_that_is_taken_back() {
    let stripe = stripe().await;
    let (_, session) = opened(&stripe, "").await;
    let id = stripe.complete(&session);
    let path = format!("subscriptions/{id}");
    let ends = answer(post(&stripe, &path, "k1", "cancel_at_period_end=true")).await.1;
    assert_eq!(
        (ends["cancel_at"].clone(), &ends["status"]),
        (ends["items"]["data"][0]["current_period_end"].clone(), &json!("active"))
    );
    let goes_on = answer(post(&stripe, &path, "k2", "cancel_at_period_end=false")).await.1;
    assert!(goes_on["cancel_at"].is_null() && goes_on["canceled_at"].is_null());
    stripe.advance_days(31);
    assert_eq!(status(&stripe, &id), "active");
    answer(post(&stripe, &path, "k3", "cancel_at_period_end=true")).await;
    stripe.advance_days(31);
    assert_eq!((status(&stripe, &id).as_str(), told(&stripe)["customer.subscription.deleted"]), ("canceled", 1));
    assert_eq!(answer(call(&stripe, Method::DELETE, &path)).await.0, 404, "what has ended cannot end");
    let list = |query: &str| call(&stripe, Method::GET, &format!("subscriptions{query}"));
    assert_eq!(answer(list("")).await.1["data"], json!([]), "without status=all those that ended are left out");
    assert_eq!(answer(list("?status=all")).await.1["data"].as_array().unwrap().len(), 1);
}

#[tokio::test]
async fn a_change_costs_what_its_preview_said() {
    let stripe = stripe().await;
    let (customer, session) = opened(&stripe, "").await;
    let id = stripe.complete(&session);
    stripe.advance_days(15);
    let item = object(&stripe, &id)["items"]["data"][0]["id"].as_str().unwrap().to_owned();
    let now_s = stripe.with(|simulation| simulation.now_s());
    let asked = format!(
        "subscription={id}&subscription_details[items][0][id]={item}&subscription_details[items][0][price]=price_premium\
         &subscription_details[proration_behavior]=always_invoice&subscription_details[proration_date]={now_s}"
    );
    let preview = answer(post(&stripe, "invoices/create_preview", "p", &asked)).await.1;
    let total = preview["total"].as_i64().unwrap();
    assert!(total > 3_000 && total < 4_000, "about half of the difference: {preview}");
    let change = format!(
        "items[0][id]={item}&items[0][price]=price_premium&proration_behavior=always_invoice&proration_date={now_s}&payment_behavior=error_if_incomplete"
    );
    stripe.set_card(&customer, Card::Declining);
    let path = format!("subscriptions/{id}");
    let (refused, error) = answer(post(&stripe, &path, "k1", &change)).await;
    assert_eq!((refused, &error["error"]["code"]), (402, &json!("card_declined")));
    assert_eq!(object(&stripe, &id)["items"]["data"][0]["price"]["id"], "price_pro");
    stripe.set_card(&customer, Card::Good);
    let changed = answer(post(&stripe, &path, "k2", &change)).await.1;
    assert_eq!(changed["items"]["data"][0]["price"]["id"], "price_premium");
    let invoice = object(&stripe, changed["latest_invoice"].as_str().unwrap());
    assert_eq!((&invoice["total"], &invoice["billing_reason"]), (&json!(total), &json!("subscription_update")));
    // Back again: what is left over is taken from the next invoice.
    let back = format!(
        "items[0][id]={item}&items[0][price]=price_pro&proration_behavior=create_prorations&proration_date={now_s}"
    );
    answer(post(&stripe, &path, "k3", &back)).await;
    stripe.advance_days(16);
    let invoice = object(&stripe, object(&stripe, &id)["latest_invoice"].as_str().unwrap());
    assert_eq!(invoice["total"].as_i64(), Some(2_900 - total), "{invoice}");
}

#[tokio::test]
async fn a_customer_completes_a_session_at_its_page_and_pays_an_invoice_at_its_own() {
    let stripe = stripe().await;
    let (customer, session) = opened(&stripe, "").await;
    let url = object(&stripe, &session)["url"].as_str().unwrap().to_owned();
    let browser = || reqwest::Client::builder().redirect(reqwest::redirect::Policy::none()).build().unwrap();
    assert!(browser().get(&url).send().await.unwrap().text().await.unwrap().contains("<form"));
    let press = async |url: &str, form: &'static str| {
        let form = browser().post(url).header("content-type", "application/x-www-form-urlencoded").body(form);
        let answer = form.send().await.unwrap();
        let to = answer.headers().get("location").map(|to| to.to_str().unwrap().to_owned());
        (answer.status().as_u16(), to.unwrap_or_default())
    };
    assert_eq!(press(&url, "card=declining").await.0, 402);
    assert_eq!(press(&url, "card=good").await, (303, format!("https://app.example/?s={session}")));
    assert_eq!(press(&url, "card=good").await.0, 400, "it is complete");
    let id = object(&stripe, &session)["subscription"].as_str().unwrap().to_owned();
    let portal = answer(post(
        &stripe,
        "billing_portal/sessions",
        "b",
        &format!("customer={customer}&return_url=https%3A%2F%2Fapp.example%2F"),
    ))
    .await
    .1;
    assert_eq!(press(portal["url"].as_str().unwrap(), "do=cancel").await, (303, "https://app.example/".to_owned()));
    assert_eq!(object(&stripe, &id)["cancel_at_period_end"], true);
    assert_eq!(press(portal["url"].as_str().unwrap(), "do=resume").await.0, 303);
    stripe.set_card(&customer, Card::Asking);
    stripe.advance_days(31);
    // In a short month it was tried again by then.
    assert!(told(&stripe)["invoice.payment_action_required"] >= 1);
    let open = stripe.with(|simulation| simulation.open_invoices(&id));
    let page = object(&stripe, &open[0])["hosted_invoice_url"].as_str().unwrap().to_owned();
    assert_eq!(press(&page, "").await.0, 402);
    stripe.set_card(&customer, Card::Good);
    assert_eq!((press(&page, "").await.0, status(&stripe, &id).as_str()), (303, "active"));
}

#[tokio::test]
async fn an_open_session_expires_by_call_or_after_a_day() {
    let stripe = stripe().await;
    let (customer, first) = opened(&stripe, "").await;
    let expired = answer(post(&stripe, &format!("checkout/sessions/{first}/expire"), "e", "")).await.1;
    assert_eq!((&expired["status"], &expired["url"]), (&json!("expired"), &Value::Null));
    assert_eq!(answer(post(&stripe, &format!("checkout/sessions/{first}/expire"), "e2", "")).await.0, 400);
    let (_, second) = opened(&stripe, TRIAL).await;
    let open = format!("checkout/sessions?status=open&customer={customer}");
    assert_eq!(
        answer(call(&stripe, Method::GET, &open)).await.1["data"],
        json!([]),
        "the other one is of another customer"
    );
    stripe.advance_days(1);
    assert_eq!((status(&stripe, &second).as_str(), told(&stripe)["checkout.session.expired"]), ("expired", 2));
}
