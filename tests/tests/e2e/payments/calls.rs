//! The calls by which a tenant subscribes, pays, changes and cancels, with Stripe's stand-in.

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use futures::future::join_all;
use producer::Scope;
use providers::payments::simulation::{Card, Params};
use reqwest::Method;
use serde_json::{Value, json};
use servers::{MongoServer, wait_until};
use tests::{
    JOB_PATIENCE, Options, PATIENCE,
    standins::{
        fault::Fault,
        stripe::{Order, Stripe},
    },
};

use super::world::{PAYMENTS, World, checkout, with};

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
    let all = json!({ "plan": "gold", "success_url": "/ok", "cancel_url": "/no", "trial_days": 15 });
    let refused = world.post("acme", "checkout", &all).await;
    let pointers: Vec<_> = refused.body["errors"].as_array().unwrap().iter().map(|error| &error["pointer"]).collect();
    assert_eq!(pointers, ["/plan", "/trial_days", "/success_url", "/cancel_url"], "all at once: {}", refused.body);
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
    stripe.faults().on("POST /v1/customers", Some(1), Fault::DropAfter);
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
    let world = World::with(Options { mongo_url: Some(mongo.url()), ..Options::default().workers(1) }).await;
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

#[tokio::test]
async fn a_customer_whose_creation_may_still_land_is_not_made_under_another_name() {
    let world = World::start(0).await;
    // As often as it is tried: whether it arrived, nobody knows.
    world.stripe.faults().on("POST /v1/customers", Some(4), Fault::DropBefore);
    let lost = world.post("acme", "checkout", &checkout("pro")).await;
    lost.assert_problem(503, "vendor-unavailable");
    let n_asked = || world.stripe.faults().n_asked("POST /v1/customers");
    assert_eq!((n_asked(), world.n_customers()), (4, 0));
    let opened = async || world.post("acme", "checkout", &checkout("pro")).await.status == 201;
    wait_until("it is made", PATIENCE, opened).await;
    assert_eq!((n_asked(), world.n_customers()), (5, 1));
}

/// Somebody makes one more customer of acme's, which Stripe's search or a list finds, with a page where it can subscribe.
fn another_customer(stripe: &Stripe) -> (String, String) {
    let form = |pairs: &[(&str, &str)]| {
        Params::from(pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect::<Vec<_>>())
    };
    let make = |path: &str, pairs: &[(&str, &str)]| {
        let made =
            stripe.with(|simulation| simulation.call(providers::payments::Method::Post, path, &form(pairs), None));
        assert_eq!(made.status, 200, "{}", made.body);
        made.body["id"].as_str().unwrap().to_owned()
    };
    let customer = make("customers", &[("metadata[tenant]", "acme"), ("email", "acme@shop.example")]);
    let session = make(
        "checkout/sessions",
        &[
            ("mode", "subscription"),
            ("customer", &customer),
            ("client_reference_id", "acme"),
            ("line_items[0][price]", "price_pro"),
            ("line_items[0][quantity]", "1"),
            ("success_url", "https://app.example/ok"),
            ("cancel_url", "https://app.example/no"),
            ("metadata[tenant]", "acme"),
            ("subscription_data[metadata][tenant]", "acme"),
        ],
    );
    (customer, session)
}

#[tokio::test]
async fn what_another_customer_of_the_same_tenant_has_counts_too() {
    let world = World::start(1).await;
    let trial = with(checkout("premium"), &json!({ "trial_days": 3 }));
    let first = world.post("acme", "checkout", &trial).await;
    assert_eq!(first.status, 201, "{}", first.body);
    // A page of the other one is closed when another is opened, so that nobody subscribes twice.
    let (_, session) = another_customer(&world.stripe);
    assert_eq!(world.post("acme", "checkout", &checkout("pro")).await.status, 201);
    assert_eq!((&world.at_stripe(&session)["status"], world.n_sessions("open")), (&json!("expired"), 1));
    let (customer, session) = another_customer(&world.stripe);
    let subscription = world.stripe.complete(&session);
    for plan in ["pro", "premium"] {
        world.post("acme", "checkout", &checkout(plan)).await.assert_problem(409, "conflict");
    }
    world.deliver("acme", "active").await;
    assert_eq!(
        world.kept("acme").await.unwrap().get_str("customer").unwrap(),
        customer,
        "that one is used from now on"
    );
    assert_eq!(world.post("acme", "cancel", &json!({ "at_period_end": false })).await.status, 200);
    assert_eq!(world.at_stripe(&subscription)["status"], "canceled");
    let again = world.post("acme", "checkout", &trial).await;
    assert_eq!((again.status, &again.body["errors"][0]["pointer"]), (422, &json!("/trial_days")), "it had one");
    assert_eq!(world.post("acme", "checkout", &checkout("pro")).await.status, 201);
    assert_eq!(world.n_sessions("open"), 1);
}
