//! A subscription's whole life, with clocks that are moved on: Stripe's, and that of the whole system, which is its Redis's.

use providers::payments::simulation::Card;
use reqwest::Method;
use serde_json::{Value, json};
use servers::wait_until;
use tests::{Answer, JOB_PATIENCE, Options, PATIENCE, System};

use super::{
    browser::Browser,
    kept, until_state,
    world::{
        PAYMENTS, World, add_tenants, checkout, enqueue, n_mails, pass_days, read, redis_with_clock, remind, request,
        with,
    },
};
use crate::time;

const DAY_S: i64 = 24 * 3600;

fn amount(money: &Value) -> f64 {
    money["amount"].as_str().unwrap().parse().unwrap()
}

async fn may_use(system: &System) -> Value {
    let answer = read(system, "acme", "/api/payments/entitlements").await;
    assert_eq!(answer.status, 200, "{}", answer.body);
    answer.body
}

/// Fails unless the tenant, who may enqueue nothing, reads all the same.
async fn assert_reads(system: &System) {
    for path in ["/api/jobs", "/api/payments/invoices", "/api/status", "/api/payments/entitlements"] {
        let answer = read(system, "acme", path).await;
        assert_eq!(answer.status, 200, "{path}: {}", answer.body);
    }
}

async fn assert_refused(system: &System, says: &str) {
    // What was read of a tenant before may hold for ten seconds.
    wait_until("no job is taken any more", PATIENCE, async || enqueue(system, "acme").await.status != 202).await;
    let refused = enqueue(system, "acme").await;
    refused.assert_problem(402, "plan-required");
    assert_eq!(refused.body["plans"], json!(["premium", "pro"]), "{}", refused.body);
    assert!(refused.body["detail"].as_str().unwrap().contains(says), "{}", refused.body);
    let may_use = may_use(system).await;
    assert_eq!((&may_use["enforced"], &may_use["may_enqueue"]), (&json!(true), &json!(false)), "{may_use}");
    assert!(may_use["reason"].as_str().unwrap().contains(says), "{may_use}");
    assert_reads(system).await;
}

async fn until_taken(system: &System) {
    wait_until("jobs are taken again", PATIENCE, async || enqueue(system, "acme").await.status == 202).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tenant_tries_pays_fails_lives_on_grace_recovers_upgrades_and_cancels() {
    let redis = redis_with_clock();
    let world = World::with(Options { redis_url: Some(redis.url()), ..Options::default().workers(1) }).await;
    let World { stripe, system } = &world;
    let pass = async |days: i64, state: &str| {
        stripe.pass_days(days);
        pass_days(system, &redis, u32::try_from(days).unwrap()).await;
        world.deliver("acme", state).await;
    };
    let pass_period = async |subscription: &str, state: &str| {
        let end = world.at_stripe(subscription)["items"]["data"][0]["current_period_end"].as_i64().unwrap();
        pass((end - stripe.with(|simulation| simulation.now_s())) / DAY_S + 1, state).await;
    };
    let open = Answer::to(system.client().get(format!("{}/api/payments/config", system.url()))).await.unwrap();
    let plan = |plan: &str, name: &str, amount: &str| json!({ "plan": plan, "name": name, "amount": amount, "currency": "EUR", "interval": "month", "interval_count": 1 });
    let plans = [plan("pro", "Pro", "29.00"), plan("premium", "Premium", "99.00")];
    let expected = json!({ "mode": "test", "publishable_key": "pk_test_standin", "plans": plans, "trial_days": 14 });
    assert_eq!((open.status, &open.body, open.header("cache-control")), (200, &expected, "public, max-age=60"));

    // A trial. Until it is completed, the same page is given again.
    let asked = with(checkout("pro"), &json!({ "trial_days": 14 }));
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
    assert_eq!(enqueue(system, "acme").await.status, 202);

    // Three days before its end.
    pass(11, "trialing").await;
    remind(system).await;

    // Paid, and then not.
    pass(4, "active").await;
    assert_eq!(enqueue(system, "acme").await.status, 202);
    stripe.set_card(customer, Card::Declining);
    pass_period(&subscription, "past_due").await;
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
    assert!(
        open["hosted_url"].is_string()
            && open["pdf"].is_string()
            && open["created"].as_str().unwrap().ends_with(".000Z"),
        "{open}"
    );
    let (mut paged, mut path) = (Vec::new(), "invoices?limit=1".to_owned());
    loop {
        let page = world.get("acme", &path).await.body;
        paged.extend(page["items"].as_array().unwrap().clone());
        let Some(cursor) = page["next_cursor"].as_str() else { break };
        path = format!("invoices?limit=1&cursor={cursor}");
    }
    assert_eq!(&json!(paged), &invoices["items"]);

    // Grace: seven days from the invoice on.
    for days in [0, 5] {
        if days > 0 {
            pass(days, "past_due").await;
        }
        assert_eq!(enqueue(system, "acme").await.status, 202, "in grace");
        let grace = may_use(system).await;
        assert_eq!((&grace["state"], &grace["may_enqueue"]), (&json!("past_due"), &json!(true)), "{grace}");
        assert_eq!((time(&grace["grace_ends_at"]) - time(&open["created"])).num_days(), 7, "{grace}");
    }
    // A second try has failed by then, of which is told, too.
    wait_until("the customer is told again", JOB_PATIENCE, async || world.n_mails("payment_failed").await == 2).await;
    pass(3, "past_due").await;
    wait_until("and of the third", JOB_PATIENCE, async || world.n_mails("payment_failed").await == 3).await;
    assert_refused(system, "the days of grace are over").await;

    // Recovered.
    stripe.set_card(customer, Card::Good);
    stripe.pay(open["id"].as_str().unwrap()).unwrap();
    world.deliver("acme", "active").await;
    until_taken(system).await;

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
    assert_eq!(world.post("acme", "cancel", &json!({})).await.status, 200);
    assert_eq!(enqueue(system, "acme").await.status, 202, "it is paid until its end");
    pass_period(&subscription, "canceled").await;
    assert_refused(system, "the subscription has ended").await;
    for call in ["cancel", "resume"] {
        world.post("acme", call, &json!({})).await.assert_problem(409, "conflict");
    }
    // Without a body it is the same as with an empty one.
    let bare = request(system, "acme", &PAYMENTS, Method::POST, "/api/payments/cancel");
    World::answer(bare).await.assert_problem(409, "conflict");

    // Once more, but not with a trial; and this time it ends at once.
    let tried = world.post("acme", "checkout", &asked).await;
    tried.assert_problem(422, "invalid-payload");
    assert_eq!(tried.body["errors"][0]["pointer"], "/trial_days");
    world.subscribe("acme", &checkout("pro")).await;
    assert_eq!(world.n_customers(), 1);
    until_taken(system).await;
    let ended = world.post("acme", "cancel", &json!({ "at_period_end": false })).await;
    assert_eq!((ended.status, &ended.body["state"]), (200, &json!("canceled")), "{}", ended.body);
    assert_eq!(world.kept("acme").await.unwrap().get_str("state").unwrap(), "canceled");
    assert_eq!((world.n_mails("trial_ending").await, world.n_mails("payment_failed").await), (1, 3), "each once");
    world.assert_no_secret_in_logs(1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tenant_lives_through_the_same_on_the_pages_of_the_mock_without_a_key() {
    let redis = redis_with_clock();
    let system = System::start(Options { redis_url: Some(redis.url()), ..Options::default().workers(1) }).await;
    add_tenants(&system, &["acme"]).await;
    let browser = Browser::new(&system, "en");
    let call = async |call: &str, body: Value| {
        let path = format!("/api/payments/{call}");
        let asked = request(&system, "acme", &PAYMENTS, Method::POST, &path);
        Answer::to(asked.json(&body)).await.unwrap()
    };
    // Whatever is said of plans, nothing is refused.
    let until = async |state: &str, may_enqueue: bool, reason: &str| {
        until_state(&system, state).await;
        wait_until("it is known to the api", PATIENCE, async || may_use(&system).await["state"] == state).await;
        let may_use = may_use(&system).await;
        let told = (&may_use["enforced"], &may_use["mock"], &may_use["may_enqueue"]);
        assert_eq!(told, (&json!(false), &json!(true), &json!(may_enqueue)), "{may_use}");
        assert!(may_use["reason"].as_str().unwrap_or_default().contains(reason), "{may_use}");
        assert_eq!(enqueue(&system, "acme").await.status, 202);
        may_use
    };

    let asked = json!({ "plan": "pro", "trial_days": 14, "success_url": "http://localhost:3000/ok",
        "cancel_url": "http://localhost:3000/no" });
    let opened = call("checkout", asked.clone()).await;
    assert_eq!((opened.status, &opened.body["mock"]), (201, &json!(true)), "{}", opened.body);
    let again = call("checkout", asked).await;
    assert_eq!((again.status, &again.body), (200, &opened.body), "it is open already");
    let page = opened.body["url"].as_str().unwrap();
    assert_eq!(browser.click(page, "good").await.leads_to(), "http://localhost:3000/ok");
    let trial = until("trialing", true, "").await;
    assert_eq!(trial["plan"], "pro");

    pass_days(&system, &redis, 11).await;
    remind(&system).await;

    // Paid, and then not.
    let portal = call("portal", json!({ "return_url": "http://localhost:3000/account" })).await;
    let portal = portal.body["url"].as_str().unwrap_or_else(|| panic!("{}", portal.body)).to_owned();
    browser.click(&portal, "next").await.leads_to();
    until("active", true, "").await;
    browser.click(&portal, "fail").await.leads_to();
    let grace = until("past_due", true, "").await;
    wait_until("the customer is told", JOB_PATIENCE, async || n_mails(&system, "payment_failed").await == 1).await;

    // The mock's customer is ahead of us, by some 45 days.
    let left = time(&grace["grace_ends_at"]) - time(&grace["trial_ends_at"]);
    assert!((28 + 7..=31 + 7).contains(&left.num_days()), "{grace}");
    pass_days(&system, &redis, 3 + u32::try_from(left.num_days()).unwrap() - 1).await;
    until("past_due", true, "").await;
    pass_days(&system, &redis, 2).await;
    until("past_due", false, "the days of grace are over").await;
    assert_reads(&system).await;

    browser.click(&portal, "good").await.leads_to();
    until("active", true, "").await;
    let invoices = read(&system, "acme", "/api/payments/invoices").await.body;
    for invoice in invoices["items"].as_array().unwrap() {
        let page = invoice["hosted_url"].as_str().unwrap();
        assert!(browser.get(page).await.status == 200 && invoice["pdf"].is_null(), "{invoice}");
    }
    let preview = call("change", json!({ "plan": "premium", "preview": true })).await;
    assert!(amount(&preview.body["due_now"]) > 0.0, "{}", preview.body);
    let changed = call("change", json!({ "plan": "premium" })).await;
    assert_eq!((&changed.body["plan"], &changed.body["recorded"]), (&json!("premium"), &json!(true)));
    let cancelled = call("cancel", json!({})).await;
    assert_eq!(cancelled.body["cancel_at_period_end"], true, "{}", cancelled.body);
    until("active", true, "").await;
    browser.click(&portal, "next").await.leads_to();
    until("canceled", false, "the subscription has ended").await;
    assert_eq!(kept(&system).await.unwrap().get_bool("mock").ok(), Some(true));
    assert_eq!((n_mails(&system, "trial_ending").await, n_mails(&system, "payment_failed").await), (1, 1), "each once");
}
