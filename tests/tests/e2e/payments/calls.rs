//! The calls by which a tenant subscribes, pays, changes and cancels, with Stripe's stand-in.

use std::time::Duration;

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use futures::future::join_all;
use mongodb::bson::{Document, doc};
use producer::Scope;
use providers::payments::simulation::Card;
use reqwest::{Method, RequestBuilder};
use secrecy::SecretString;
use serde_json::{Value, json};
use servers::{MongoServer, wait_until};
use tests::{
    Answer, JOB_PATIENCE, Options, PATIENCE, System,
    standins::{
        fault::Fault,
        stripe::{Mode, Order, Stripe},
    },
};

use super::{KEY, SECRET, collection, variables};
use crate::email::zone_at_noon;

const LIFETIME: Duration = Duration::from_secs(3600);
const PAYMENTS: [Scope; 2] = [Scope::PaymentsRead, Scope::PaymentsWrite];

/// A system whose payments are real, with the stand-in of Stripe; events are delivered when told.
struct World {
    stripe: Stripe,
    system: System,
}

impl World {
    async fn start(workers: usize) -> Self {
        Self::start_on(None, workers).await
    }

    /// `mongo_url`: a MongoDB of its own.
    async fn start_on(mongo_url: Option<String>, workers: usize) -> Self {
        let stripe = Stripe::start(0, KEY, &["price_pro", "price_premium"]).await.unwrap();
        let options = Options { mongo_url, ..Options::default() };
        let options = options.workers(workers).env("PAYMENTS_RETURN_HOSTS", "app.example, shop.example");
        let options = variables(&stripe).into_iter().fold(options, |options, (name, value)| options.env(name, value));
        let system = System::start(options).await;
        stripe.deliver_to(&format!("{}/api/webhooks/stripe", system.url()), &[SECRET], Mode::Held);
        for tenant in ["acme", "bolt"] {
            let document = doc! { "_id": tenant, "name": tenant, "email": format!("{tenant}@shop.example"), "language": "fr",
            "time_zone": zone_at_noon() };
            collection(&system, "tenants").await.insert_one(document).await.unwrap();
        }
        Self { stripe, system }
    }

    fn request(&self, tenant: &str, scopes: &[Scope], method: Method, path: &str) -> RequestBuilder {
        let secret = SecretString::from(self.system.secret());
        let token = producer::sign(&secret, "tests", Some(tenant), scopes, LIFETIME).unwrap();
        self.system.client().request(method, format!("{}/api/payments/{path}", self.system.url())).bearer_auth(token)
    }

    /// No answer has a secret in it.
    async fn answer(request: RequestBuilder) -> Answer {
        let answer = Answer::to(request).await.unwrap();
        let said = format!("{:?} {}", answer.headers, answer.body);
        assert!(!said.contains("sk_test") && !said.contains("whsec_"), "{said}");
        answer
    }

    async fn post(&self, tenant: &str, call: &str, body: &Value) -> Answer {
        Self::answer(self.request(tenant, &PAYMENTS, Method::POST, call).json(body)).await
    }

    async fn get(&self, tenant: &str, call: &str) -> Answer {
        Self::answer(self.request(tenant, &PAYMENTS, Method::GET, call)).await
    }

    /// Subscribes; the id of the subscription.
    async fn subscribe(&self, tenant: &str, body: &Value) -> String {
        let opened = self.post(tenant, "checkout", body).await;
        assert_eq!(opened.status, 201, "{}", opened.body);
        let id = self.stripe.complete(opened.body["id"].as_str().unwrap());
        self.deliver(tenant, "active").await;
        id
    }

    /// Delivers what is held, and waits until the tenant is in this state.
    async fn deliver(&self, tenant: &str, state: &str) {
        let delivered = self.stripe.release(Order::AsMade).await;
        assert!(delivered.iter().all(|delivered| delivered.status == Some(200)), "{delivered:?}");
        let is_so = async || self.kept(tenant).await.is_some_and(|kept| kept.get_str("state").ok() == Some(state));
        wait_until(state, JOB_PATIENCE, is_so).await;
    }

    async fn kept(&self, tenant: &str) -> Option<Document> {
        collection(&self.system, "subscriptions").await.find_one(doc! { "_id": tenant }).await.unwrap()
    }

    async fn n_mails(&self, template: &str) -> u64 {
        let emails = collection(&self.system, "emails").await;
        emails.count_documents(doc! { "result.template": template }).await.unwrap()
    }

    /// Those that Stripe has in this state.
    fn n_sessions(&self, status: &str) -> usize {
        self.stripe.objects("cs_").iter().filter(|session| session["status"] == status).count()
    }

    fn n_customers(&self) -> usize {
        self.stripe.objects("cus_").len()
    }

    fn at_stripe(&self, id: &str) -> Value {
        self.stripe.with(|simulation| simulation.object(id).cloned()).unwrap()
    }

    fn price(&self, subscription: &str) -> Value {
        self.at_stripe(subscription)["items"]["data"][0]["price"]["id"].clone()
    }

    fn assert_no_secret_in_logs(&self, workers: usize) {
        let logs = std::iter::once(self.system.producer_log()).chain((0..workers).map(|n| self.system.worker_log(n)));
        for log in logs {
            assert!(!log.contains("sk_test") && !log.contains("whsec_"), "{log}");
        }
    }
}

fn checkout(plan: &str) -> Value {
    json!({ "plan": plan, "success_url": "https://app.example/ok?s={CHECKOUT_SESSION_ID}", "cancel_url": "https://app.example/no" })
}

fn with(mut body: Value, more: &Value) -> Value {
    body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    body
}

fn amount(money: &Value) -> f64 {
    money["amount"].as_str().unwrap().parse().unwrap()
}

#[tokio::test]
async fn a_tenant_subscribes_pays_fails_recovers_upgrades_and_cancels() {
    let world = World::start(1).await;
    let World { stripe, system } = &world;
    let open = Answer::to(system.client().get(format!("{}/api/payments/config", system.url()))).await.unwrap();
    let plan = |plan: &str, name: &str, amount: &str| json!({ "plan": plan, "name": name, "amount": amount, "currency": "EUR", "interval": "month", "interval_count": 1 });
    let plans = [plan("pro", "Pro", "29.00"), plan("premium", "Premium", "99.00")];
    let expected = json!({ "mode": "test", "publishable_key": "pk_test_standin", "plans": plans, "trial_days": 14 });
    assert_eq!((open.status, &open.body, open.header("cache-control")), (200, &expected, "public, max-age=60"));

    // A trial. Until it is completed, the same page is given again.
    let asked = with(checkout("pro"), &json!({ "trial_days": 3 }));
    let first = world.post("acme", "checkout", &asked).await;
    assert_eq!((first.status, &first.body["plan"], &first.body["mock"]), (201, &json!("pro"), &json!(false)));
    assert!(first.body["url"].as_str().unwrap().starts_with(&stripe.url()), "{}", first.body);
    let expires_at = first.body["expires_at"].as_str().unwrap();
    assert!(expires_at.len() == 24 && expires_at.ends_with(".000Z"), "{expires_at}");
    let again = world.post("acme", "checkout", &asked).await;
    assert_eq!((again.status, &again.body), (200, &first.body));
    let customer = stripe.objects("cus_").remove(0);
    assert_eq!((&customer["metadata"]["tenant"], &customer["email"]), (&json!("acme"), &json!("acme@shop.example")));
    let customer = customer["id"].as_str().unwrap();
    let subscription = stripe.complete(first.body["id"].as_str().unwrap());
    assert_eq!(world.at_stripe(&subscription)["metadata"]["tenant"], "acme");
    // Also before any webhook has told of it.
    let second = world.post("acme", "checkout", &checkout("premium")).await;
    second.assert_problem(409, "conflict");
    assert!(second.body["detail"].as_str().unwrap().contains("/api/payments/change"), "{}", second.body);
    world.deliver("acme", "trialing").await;

    // The reminder.
    let schedule = "/api/schedules/trial-reminders";
    wait_until("the timetable is written", PATIENCE, async || system.get(schedule).await.status == 200).await;
    let run = system.post(&format!("{schedule}/run"), &json!({})).await;
    let run = system.wait_job(run.body["id"].as_str().unwrap()).await;
    assert_eq!(run["state"], "succeeded", "{run}");
    wait_until("the reminder", JOB_PATIENCE, async || world.n_mails("trial_ending").await == 1).await;

    // Paid, and then not.
    stripe.advance_days(4);
    world.deliver("acme", "active").await;
    stripe.set_card(customer, Card::Declining);
    stripe.advance_days(31);
    world.deliver("acme", "past_due").await;
    assert!(world.kept("acme").await.unwrap().get_datetime("past_due_since").is_ok(), "the grace begins");
    wait_until("the customer is told", JOB_PATIENCE, async || world.n_mails("payment_failed").await == 1).await;
    let owed = world.post("acme", "change", &json!({ "plan": "premium" })).await;
    owed.assert_problem(409, "conflict");
    let portal = world.post("acme", "portal", &json!({ "return_url": "https://shop.example/account" })).await;
    assert!(portal.body["url"].as_str().unwrap().starts_with(&stripe.url()), "{}", portal.body);

    // The invoices, in pages.
    let invoices = world.get("acme", "invoices").await.body;
    let states: Vec<_> = invoices["items"].as_array().unwrap().iter().map(|invoice| &invoice["state"]).collect();
    assert_eq!(states, ["open", "paid", "paid"], "{invoices}");
    let open = &invoices["items"][0];
    assert_eq!((&open["amount"], &open["currency"]), (&json!("29.00"), &json!("EUR")));
    assert!(open["hosted_url"].is_string() && open["created"].as_str().unwrap().ends_with(".000Z"), "{open}");
    let (mut paged, mut path) = (Vec::new(), "invoices?limit=1".to_owned());
    loop {
        let page = world.get("acme", &path).await.body;
        paged.extend(page["items"].as_array().unwrap().clone());
        let Some(cursor) = page["next_cursor"].as_str() else { break };
        path = format!("invoices?limit=1&cursor={cursor}");
    }
    assert_eq!(&json!(paged), &invoices["items"]);

    // Recovered.
    stripe.set_card(customer, Card::Good);
    stripe.pay(open["id"].as_str().unwrap()).unwrap();
    world.deliver("acme", "active").await;

    // Upgraded: first only looked at, then declined, then done. No webhook comes from here on.
    let preview = world.post("acme", "change", &json!({ "plan": "premium", "preview": true })).await;
    assert_eq!((preview.status, &preview.body["from"], &preview.body["plan"]), (200, &json!("pro"), &json!("premium")));
    let due = amount(&preview.body["due_now"]);
    assert!(due > 0.0 && due <= 70.0, "{}", preview.body);
    let lines = preview.body["lines"].as_array().unwrap();
    assert!(lines.len() == 2 && lines.iter().all(|line| line["proration"] == true), "{}", preview.body);
    assert_eq!(world.price(&subscription), "price_pro", "a preview changes nothing");
    stripe.set_card(customer, Card::Declining);
    let declined = world.post("acme", "change", &json!({ "plan": "premium" })).await;
    declined.assert_problem(402, "payment-failed");
    assert_eq!(world.price(&subscription), "price_pro", "who has not paid has not changed");
    stripe.set_card(customer, Card::Good);
    let changed = world.post("acme", "change", &json!({ "plan": "premium" })).await;
    let expected = (200, &json!("premium"), &json!(true));
    assert_eq!((changed.status, &changed.body["plan"], &changed.body["recorded"]), expected, "{}", changed.body);
    assert_eq!(world.kept("acme").await.unwrap().get_str("plan").unwrap(), "premium");
    world.post("acme", "change", &json!({ "plan": "premium" })).await.assert_problem(409, "conflict");
    let invoices = world.get("acme", "invoices").await.body;
    let paid = amount(&invoices["items"][0]);
    assert!((paid - due).abs() < 0.05, "what was shown is what was paid: {due} {invoices}");
    // A cheaper plan holds at once, too, and costs nothing now.
    let preview = world.post("acme", "change", &json!({ "plan": "pro", "preview": true })).await;
    assert_eq!(preview.body["due_now"]["amount"], "0.00", "{}", preview.body);

    // Cancelled, resumed, and cancelled for good.
    let cancelled = world.post("acme", "cancel", &json!({ "reason": "too expensive" })).await;
    assert_eq!((cancelled.status, &cancelled.body["cancel_at_period_end"]), (200, &json!(true)), "{}", cancelled.body);
    assert!(world.kept("acme").await.unwrap().get_bool("cancel_at_period_end").unwrap());
    assert_eq!(world.at_stripe(&subscription)["cancellation_details"]["comment"], "too expensive");
    assert_eq!(world.post("acme", "cancel", &json!({})).await.body["cancel_at_period_end"], true, "once more");
    let resumed = world.post("acme", "resume", &json!({})).await;
    assert_eq!((resumed.status, &resumed.body["cancel_at_period_end"]), (200, &json!(false)));
    assert!(!world.kept("acme").await.unwrap().get_bool("cancel_at_period_end").unwrap());
    world.post("acme", "resume", &json!({})).await.assert_problem(409, "conflict");
    let ended = world.post("acme", "cancel", &json!({ "at_period_end": false })).await;
    assert_eq!((ended.status, &ended.body["state"]), (200, &json!("canceled")), "{}", ended.body);
    assert_eq!(world.kept("acme").await.unwrap().get_str("state").unwrap(), "canceled");
    for call in ["cancel", "resume"] {
        world.post("acme", call, &json!({})).await.assert_problem(409, "conflict");
    }
    // Without a body it is the same as with an empty one.
    let bare = World::answer(world.request("acme", &PAYMENTS, Method::POST, "cancel")).await;
    bare.assert_problem(409, "conflict");

    // Once more, but not with a trial.
    let tried = world.post("acme", "checkout", &asked).await;
    tried.assert_problem(422, "invalid-payload");
    assert_eq!(tried.body["errors"][0]["pointer"], "/trial_days");
    assert_eq!(world.post("acme", "checkout", &checkout("pro")).await.status, 201);
    assert_eq!(world.n_customers(), 1);
    world.assert_no_secret_in_logs(1);
}

#[tokio::test]
async fn a_trial_without_a_card_is_paused_at_its_end_and_goes_on_when_it_is_paid() {
    let world = World::start(1).await;
    let asked = with(checkout("pro"), &json!({ "trial_days": 14, "without_card": true }));
    let opened = world.post("acme", "checkout", &asked).await;
    world.stripe.complete_with(opened.body["id"].as_str().unwrap(), Card::None).unwrap();
    world.deliver("acme", "trialing").await;
    // In a trial another plan costs nothing.
    let preview = world.post("acme", "change", &json!({ "plan": "premium", "preview": true })).await;
    assert_eq!(preview.body["due_now"]["amount"], "0.00", "{}", preview.body);
    let changed = world.post("acme", "change", &json!({ "plan": "premium" })).await;
    assert_eq!((&changed.body["plan"], &changed.body["state"]), (&json!("premium"), &json!("trialing")));
    world.stripe.advance_days(15);
    world.deliver("acme", "paused").await;
    world.post("acme", "checkout", &checkout("pro")).await.assert_problem(409, "conflict");
    world.post("acme", "resume", &json!({})).await.assert_problem(402, "payment-failed");
    let customer = world.stripe.objects("cus_")[0]["id"].as_str().unwrap().to_owned();
    world.stripe.set_card(&customer, Card::Good);
    let resumed = world.post("acme", "resume", &json!({})).await;
    assert_eq!((resumed.status, &resumed.body["state"]), (200, &json!("active")), "{}", resumed.body);
    assert_eq!(world.kept("acme").await.unwrap().get_str("state").unwrap(), "active");
}

#[tokio::test]
async fn what_is_asked_wrongly_is_told_and_makes_nothing() {
    let world = World::start(0).await;
    for (more, pointer) in [
        (json!({ "success_url": "https://evil.example/ok" }), "/success_url"),
        (json!({ "cancel_url": "https://app.example.evil.example/" }), "/cancel_url"),
        (json!({ "cancel_url": "http://app.example/" }), "/cancel_url"),
        (json!({ "plan": "gold" }), "/plan"),
        (json!({ "trial_days": 15 }), "/trial_days"),
        (json!({ "without_card": true }), "/without_card"),
        (json!({ "coupon": "x" }), "/coupon"),
    ] {
        let refused = world.post("acme", "checkout", &with(checkout("pro"), &more)).await;
        refused.assert_problem(422, "invalid-payload");
        assert_eq!(refused.body["errors"][0]["pointer"], pointer, "{}", refused.body);
    }
    let portal = world.post("acme", "portal", &json!({ "return_url": "https://evil.example/" })).await;
    assert_eq!((portal.status, &portal.body["errors"][0]["pointer"]), (422, &json!("/return_url")));
    for (call, body) in [
        ("portal", json!({ "return_url": "https://app.example/" })),
        ("change", json!({ "plan": "premium" })),
        ("change", json!({ "plan": "premium", "preview": true })),
        ("cancel", json!({})),
        ("resume", json!({})),
    ] {
        world.post("acme", call, &body).await.assert_problem(404, "not-found");
    }
    let reader = world.request("acme", &[Scope::PaymentsRead], Method::POST, "checkout").json(&checkout("pro"));
    World::answer(reader).await.assert_problem(403, "forbidden");
    let writer = world.request("acme", &[Scope::JobsRead, Scope::PaymentsWrite], Method::GET, "invoices");
    World::answer(writer).await.assert_problem(403, "forbidden");
    let bad = world.get("acme", "invoices?cursor=x").await;
    assert_eq!((bad.status, &bad.body["errors"][0]["pointer"]), (422, &json!("/query/cursor")));
    assert_eq!(world.get("acme", "invoices").await.body, json!({ "items": [], "next_cursor": null }));
    assert_eq!((world.n_customers(), world.stripe.objects("cs_").len()), (0, 0));
}

#[tokio::test]
async fn twenty_checkouts_at_once_make_one_customer_and_one_open_page() {
    let world = World::start(0).await;
    let asked = checkout("pro");
    let answers = join_all((0..20).map(|_| world.post("acme", "checkout", &asked))).await;
    assert!(answers.iter().all(|answer| matches!(answer.status, 200 | 201)), "{answers:?}");
    assert!(answers.iter().all(|answer| answer.body == answers[0].body), "{answers:?}");
    assert_eq!((world.n_customers(), world.stripe.objects("cs_").len()), (1, 1));

    // For something else the open one is closed: nobody can subscribe twice.
    let other = world.post("acme", "checkout", &checkout("premium")).await;
    assert_eq!(other.status, 201, "{}", other.body);
    assert_eq!((world.n_sessions("open"), world.n_sessions("expired")), (1, 1));
    let plans = ["pro", "premium"].map(checkout);
    let mixed = join_all((0..20).map(|n| world.post("acme", "checkout", &plans[n % 2]))).await;
    assert!(mixed.iter().all(|answer| matches!(answer.status, 200 | 201 | 409)), "{mixed:?}");
    let last = world.post("acme", "checkout", &plans[0]).await;
    assert!(matches!(last.status, 200 | 201), "{}", last.body);
    assert_eq!((world.n_customers(), world.n_sessions("open")), (1, 1));

    // The same idempotency key: the same answer, and no other body.
    let keyed = |body: &Value| {
        let request = world.request("bolt", &PAYMENTS, Method::POST, "checkout");
        World::answer(request.header("Idempotency-Key", "k-1").json(body))
    };
    let first = keyed(&asked).await;
    let second = keyed(&asked).await;
    assert_eq!((first.status, second.header("idempotency-replayed")), (201, "true"), "{}", first.body);
    assert_eq!(first.body, second.body);
    keyed(&checkout("premium")).await.assert_problem(422, "idempotency-mismatch");
}

#[tokio::test]
async fn two_tenants_see_nothing_of_each_other() {
    let world = World::start(1).await;
    let subscription = world.subscribe("acme", &checkout("pro")).await;
    let invoices = async |tenant: &str| {
        let page = world.get(tenant, "invoices").await.body;
        page["items"].as_array().unwrap().iter().map(|invoice| invoice["id"].clone()).collect::<Vec<_>>()
    };
    assert_eq!((invoices("acme").await.len(), invoices("bolt").await.len()), (1, 0));
    for (call, body) in [
        ("portal", json!({ "return_url": "https://app.example/" })),
        ("change", json!({ "plan": "premium" })),
        ("cancel", json!({ "at_period_end": false })),
        ("resume", json!({})),
    ] {
        world.post("bolt", call, &body).await.assert_problem(404, "not-found");
        world.post("bolt", &format!("{call}?tenant=acme"), &body).await.assert_problem(403, "forbidden");
    }
    world.get("bolt", "invoices?tenant=acme").await.assert_problem(403, "forbidden");
    world.subscribe("bolt", &checkout("premium")).await;
    assert_eq!(world.n_customers(), 2);
    let (ours, theirs) = (invoices("acme").await, invoices("bolt").await);
    assert!(ours.len() == 1 && theirs.len() == 1 && ours != theirs, "{ours:?} {theirs:?}");
    // The cursor of another's list leads into one's own.
    let cursor = URL_SAFE_NO_PAD.encode(ours[0].as_str().unwrap());
    let page = world.get("bolt", &format!("invoices?cursor={cursor}")).await;
    assert!(!page.body.to_string().contains(ours[0].as_str().unwrap()), "{}", page.body);
    let portal = world.post("bolt", "portal", &json!({ "return_url": "https://app.example/" })).await;
    assert_eq!(portal.status, 200, "{}", portal.body);
    let portals = world.stripe.objects("bps_");
    let theirs = world.kept("bolt").await.unwrap();
    assert_eq!(portals[0]["customer"].as_str(), theirs.get_str("customer").ok());
    assert_eq!((portals.len(), world.price(&subscription)), (1, json!("price_pro")));
    // An operator may.
    let admin = world.system.post("/api/payments/cancel?tenant=acme", &json!({})).await;
    assert_eq!((admin.status, &admin.body["cancel_at_period_end"]), (200, &json!(true)), "{}", admin.body);
    world.assert_no_secret_in_logs(1);
}

#[tokio::test]
async fn while_stripe_is_away_nothing_is_doubled() {
    let world = World::start(0).await;
    let World { stripe, system } = &world;
    let config = async || system.get("/api/payments/config").await;
    stripe.faults().always(Fault::status(503));
    config().await.assert_problem(503, "vendor-unavailable");
    stripe.faults().recover();
    wait_until("the prices are known", PATIENCE, async || config().await.status == 200).await;

    // The customer is made, and the answer is lost.
    let until_open = async |body: &Value| {
        let mut opened = Value::Null;
        wait_until("a checkout is open", PATIENCE, async || {
            let answer = world.post("acme", "checkout", body).await;
            let is_open = matches!(answer.status, 200 | 201);
            if !is_open {
                answer.assert_problem(503, "vendor-unavailable");
                assert_ne!(answer.header("retry-after"), "");
            }
            opened = answer.body;
            is_open
        })
        .await;
        opened
    };
    // Two reads look for it.
    stripe.faults().nth(3, Fault::DropAfter);
    until_open(&checkout("pro")).await;
    assert!(
        stripe.faults().all_met() && stripe.faults().n_asked("POST /v1/customers") > 1,
        "{:?}",
        stripe.faults().last()
    );
    assert_eq!((world.n_customers(), stripe.objects("cs_").len()), (1, 1));

    // A session is made, and a failure stored for its key.
    stripe.with(|simulation| simulation.break_next(500));
    let opened = until_open(&checkout("premium")).await;
    assert_eq!((world.n_customers(), world.n_sessions("open")), (1, 1));

    // What was done, and nobody got the answer of, is found out.
    let subscription = stripe.complete(opened["id"].as_str().unwrap());
    stripe.with(|simulation| simulation.break_next(500));
    let cancelled = world.post("acme", "cancel", &json!({})).await;
    assert_eq!((cancelled.status, &cancelled.body["cancel_at_period_end"]), (200, &json!(true)), "{}", cancelled.body);
    stripe.faults().on("/v1/subscriptions/", Some(1), Fault::DropAfter);
    let resumed = world.post("acme", "resume", &json!({})).await;
    assert_eq!((resumed.status, &resumed.body["cancel_at_period_end"]), (200, &json!(false)), "{}", resumed.body);

    // Away altogether: no answer is made up, and the prices that are known stay.
    stripe.faults().always(Fault::DropBefore);
    for (call, body) in [
        ("change", json!({ "plan": "pro" })),
        ("cancel", json!({ "at_period_end": false })),
        ("portal", json!({ "return_url": "https://app.example/" })),
    ] {
        let away = world.post("acme", call, &body).await;
        away.assert_problem(503, "vendor-unavailable");
        assert_ne!(away.header("retry-after"), "");
    }
    world.get("acme", "invoices").await.assert_problem(503, "vendor-unavailable");
    assert_eq!(config().await.status, 200);
    stripe.faults().recover();
    assert_eq!(world.price(&subscription), "price_premium");
    let back = async || world.get("acme", "invoices").await.status == 200;
    wait_until("stripe is asked again", PATIENCE, back).await;
    assert_eq!(stripe.objects("sub_").len(), 1);
    world.assert_no_secret_in_logs(0);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_done_counts_although_mongodb_goes_away_and_a_webhook_brings_it() {
    let mongo = MongoServer::start();
    let world = World::start_on(Some(mongo.url()), 1).await;
    let subscription = world.subscribe("acme", &checkout("pro")).await;
    let is_cancelled = async || world.at_stripe(&subscription)["cancel_at_period_end"] == true;
    // It is carried out at once. While its answer is on the way, MongoDB goes away.
    world.stripe.faults().on("/v1/subscriptions/", Some(1), Fault::Delay { ms: 3_000 });
    let nothing = json!({});
    let stop = async {
        wait_until("it is cancelled at stripe", PATIENCE, is_cancelled).await;
        mongo.stop();
    };
    let (answer, ()) = tokio::join!(world.post("acme", "cancel", &nothing), stop);
    let expected = (200, &json!(true), &json!(false), &json!("pro"));
    let told = (answer.status, &answer.body["cancel_at_period_end"], &answer.body["recorded"], &answer.body["plan"]);
    assert_eq!(told, expected, "{}", answer.body);
    // Where nothing is known of a tenant, nothing is done.
    world.post("acme", "resume", &nothing).await.assert_problem(503, "store-unavailable");
    assert!(is_cancelled().await);
    mongo.restart();
    let answers = async || world.system.get("/api/health/ready").await.status == 200;
    wait_until("mongodb answers", PATIENCE, answers).await;
    world.stripe.release(Order::AsMade).await;
    let is_kept =
        async || world.kept("acme").await.is_some_and(|kept| kept.get_bool("cancel_at_period_end").ok() == Some(true));
    wait_until("it is kept", JOB_PATIENCE, is_kept).await;
}
