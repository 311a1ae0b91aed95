//! An outside service is away in every way that services are, and comes back.

use std::collections::HashSet;

use axum::{
    Router,
    http::{StatusCode, Uri},
    response::{Html, IntoResponse},
};
use mongodb::bson::{Document, doc};
use providers::payments::{Method, simulation::Params};
use serde_json::{Value, json};
use servers::wait_until;
use tests::{
    JOB_PATIENCE, Options, System, is_finished,
    standins::{
        fault::{Fault, Front},
        openai::OpenAi,
        stripe::Order,
    },
};

use crate::{
    attempts, fal, outcomes,
    payments::world::{World, checkout},
};

const KEY: &str = "sk-outage";
const MODEL: &str = "gpt-6-luna";

fn options(standin: &OpenAi) -> Options {
    Options::default()
        .env("MOCK_MODE_AI", "false")
        .env("OPENAI_API_KEY", KEY)
        .env("OPENAI_MODEL", MODEL)
        .env("OPENAI_BASE_URL", standin.url())
        .env("BREAKER_OPEN_S", "1")
        .env("HEAL_PER_MIN", "6000")
}

/// A job with few attempts and little time, so that the outage does not take long.
fn jobs(phase: &str, n: usize) -> Vec<Value> {
    let job = |number| {
        json!({
            "kind": "content",
            "payload": { "product_id": format!("{phase}-{number}"), "name": "Lamp", "category": "Lamps", "language": "en",
                "target_length": 50 },
            "options": { "max_attempts": 2, "timeout_s": 5 },
        })
    };
    (0..n).map(job).collect()
}

/// Pushes jobs and returns their ids.
async fn push(system: &System, jobs: Vec<Value>) -> Vec<String> {
    let answer = system.post("/api/jobs/batch", &json!({ "jobs": jobs })).await;
    let results = answer.body["results"].as_array().expect("one result a job").clone();
    results.iter().map(|result| result["id"].as_str().expect("it is accepted").to_owned()).collect()
}

async fn contents(system: &System) -> mongodb::Collection<Document> {
    let client = mongodb::Client::with_uri_str(&system.mongo_url).await.unwrap();
    client.database(&system.name).collection("contents")
}

/// The names of a job's events.
async fn events(system: &System, id: &str) -> Vec<String> {
    let answer = system.get(&format!("/api/jobs/{id}/events")).await;
    let text = answer.body.as_str().expect("events are text").to_owned();
    text.lines().filter_map(|line| line.strip_prefix("event: ").map(str::to_owned)).collect()
}

async fn wait_for_healing(system: &System, left: u64) {
    let contents = contents(system).await;
    let healed = async || contents.count_documents(doc! { "heal_at": { "$exists": true } }).await.unwrap() <= left;
    wait_until("the results of stand-ins are replaced", JOB_PATIENCE, healed).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_outage_heals_itself() {
    let standin = OpenAi::start(KEY, MODEL).await.unwrap();
    let system = System::start(options(&standin)).await;
    let faults = standin.faults();
    let phases: [(&str, Fault, &[&str]); 4] = [
        ("down", Fault::status(500), &["500", "breaker"]),
        ("busy", Fault::retry_after(429, 1), &["429", "breaker"]),
        ("silent", Fault::Hang, &["no answer", "breaker"]),
        ("half", Fault::HalfBody, &["openai", "breaker"]),
    ];
    let mut ids = Vec::new();
    for (phase, fault, reasons) in phases {
        faults.recover();
        faults.always(fault);
        let pushed = push(&system, jobs(phase, 100)).await;
        for job in system.wait_jobs(&pushed).await {
            assert_eq!(job["state"], "succeeded", "{job}");
            assert_eq!((&job["provider"], &job["degraded"]), (&json!("mock"), &json!(true)), "{job}");
            let reason = job["degraded_reason"].as_str().expect("a degraded result says why");
            assert!(reasons.iter().any(|expected| reason.contains(expected)), "{phase}: {reason}");
        }
        ids.extend(pushed);
    }

    // A merchant edits one text before the service is back.
    let edited = ids[7].clone();
    let contents = contents(&system).await;
    let mine = doc! { "$set": { "result.title": "Mine" } };
    assert_eq!(contents.update_one(doc! { "_id": &edited }, mine).await.unwrap().modified_count, 1);

    faults.recover();
    let last = push(&system, jobs("back", 100)).await;
    let mut degraded: HashSet<String> = ids.iter().cloned().collect();
    for job in system.wait_jobs(&last).await {
        assert_eq!(job["state"], "succeeded", "{job}");
        if job["degraded"] == true {
            degraded.insert(job["id"].as_str().unwrap().to_owned());
        }
    }
    ids.extend(last);

    // It goes away again before all are healed.
    let some_are_healed =
        async || contents.count_documents(doc! { "heal_at": { "$exists": true } }).await.unwrap() < 350;
    wait_until("healing begins", JOB_PATIENCE, some_are_healed).await;
    faults.always(Fault::status(503));
    let asked = faults.n_requests();
    wait_until("healing has noticed", JOB_PATIENCE, async || faults.n_requests() >= asked + 3).await;
    faults.recover();
    wait_for_healing(&system, 0).await;

    let answered = faults.answered();
    for id in &ids {
        let job = system.job(id).await;
        assert_eq!(job["state"], "succeeded");
        let product = job["payload"]["product_id"].as_str().unwrap().to_owned();
        let seen = events(&system, id).await;
        if *id == edited {
            let kept = contents.find_one(doc! { "_id": id }).await.unwrap().expect("it is there");
            assert_eq!(kept.get_document("result").unwrap().get_str("title").unwrap(), "Mine");
            assert_eq!(kept.get_str("left_alone").unwrap(), "edited");
            assert!(!seen.contains(&"replaced".to_owned()) && !answered.contains_key(&product));
            continue;
        }
        assert_eq!((&job["provider"], &job["degraded"]), (&json!("openai"), &json!(false)), "{job}");
        assert_eq!(job["result"]["model"], MODEL, "{job}");
        assert_eq!(answered.get(&product), Some(&1), "{product}: one real answer each");
        let replaced = seen.iter().filter(|name| *name == "replaced").count();
        assert_eq!(replaced, usize::from(degraded.contains(id)), "{product}");
    }
}

/// What the stand-in's 400 tokens in and 600 out cost with this model, in millionths of a dollar.
const COST: usize = 340;
const CAP: usize = 10_000;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_tenants_spending_cap_holds_for_first_runs_and_for_healing() {
    let standin = OpenAi::start(KEY, MODEL).await.unwrap();
    let system = System::start(options(&standin).env("SPENDING_CAP_USD", "0.01")).await;
    let today = || chrono::Utc::now().date_naive();
    let began = today();
    let ids = push(&system, jobs("rich", 100)).await;
    let mut stand_ins = 0;
    for job in system.wait_jobs(&ids).await {
        assert_eq!(job["state"], "succeeded", "{job}");
        if job["degraded"] == true {
            assert!(job["degraded_reason"].as_str().unwrap().contains("has spent"), "{job}");
            stand_ins += 1;
        }
    }
    assert!(stand_ins > 0);

    let healing = system.post_job("maintenance", json!({ "task": "heal", "service": "ai" })).await;
    assert_eq!(system.wait_job(&healing).await["state"], "succeeded");
    let answered: usize = standin.faults().answered().values().sum();
    let days = if today() == began { 1 } else { 2 };
    assert!(answered > 0 && answered * COST <= CAP * days, "{answered} texts");
    // The rest waits for the next day, and the status says how many. On a slow machine an answer can come when its job waits no more.
    let contents = contents(&system).await;
    let real = contents.count_documents(doc! { "degraded": false }).await.unwrap();
    assert!(real > 0 && real <= answered as u64, "{real} of {answered}");
    let left = contents.count_documents(doc! { "heal_at": { "$exists": true } }).await.unwrap();
    assert_eq!(left, 100 - real);
    assert_eq!(system.get("/api/status/ai").await.body["degraded_waiting"], left);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_stand_in_made_stays_in_mock_mode_and_is_healed_when_the_mode_is_real_again() {
    let standin = OpenAi::start(KEY, MODEL).await.unwrap();
    let system = System::start(options(&standin)).await;
    standin.faults().always(Fault::status(500));
    let mut few = jobs("few", 2);
    few.iter_mut().for_each(|job| job["options"]["max_attempts"] = json!(1));
    let ids = push(&system, few).await;
    for job in system.wait_jobs(&ids).await {
        assert_eq!(job["degraded"], true, "{job}");
    }
    let switch = async |mode: &str| {
        let request = system.request(reqwest::Method::PUT, "/api/mode").json(&json!({ "mode": mode, "service": "ai" }));
        assert_eq!(tests::Answer::to(request).await.unwrap().status, 200);
    };
    switch("mock").await;
    standin.faults().recover();
    let healing = system.post_job("maintenance", json!({ "task": "heal", "service": "ai" })).await;
    assert_eq!(system.wait_job(&healing).await["result"]["healed"]["replaced"], 0);
    assert!(standin.faults().answered().is_empty());
    switch("real").await;
    wait_for_healing(&system, 0).await;
    for id in &ids {
        assert_eq!(system.job(id).await["provider"], "openai");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_outage_of_fal_heals_itself_and_each_picture_is_paid_once() {
    let fal = fal::fal().await;
    let system = System::start(fal::options(&fal)).await;
    let mut names = Vec::new();
    let mut ids = Vec::new();
    let phases: [(&str, Fault, &[&str]); 3] = [
        ("down", Fault::status(500), &["500", "breaker"]),
        ("away", Fault::status(503), &["503", "breaker"]),
        ("busy", Fault::retry_after(429, 1), &["429", "breaker"]),
    ];
    for (phase, fault, reasons) in phases {
        fal.faults().recover();
        fal.faults().always(fault);
        let mut pushed = Vec::new();
        for n in 0..4 {
            names.push(format!("Lampe {phase} {n}."));
            pushed.push(fal::push(&system, &names[names.len() - 1], json!({ "max_attempts": 1 })).await);
        }
        for job in system.wait_jobs(&pushed).await {
            fal::assert_placeholder(&job, "");
            let reason = job["degraded_reason"].as_str().unwrap();
            assert!(reasons.iter().any(|expected| reason.contains(expected)), "{phase}: {reason}");
        }
        ids.extend(pushed);
    }
    assert_eq!(fal.n_submitted(), 0);
    fal.faults().recover();
    // A job that waits for fal itself sees that it is back; without one the next healing does, up to a minute later.
    names.push("Lampe first.".to_owned());
    let first = fal::push(&system, "Lampe first.", json!({ "allow_fallback": false })).await;
    fal::assert_real(&system.wait_job(&first).await);
    // Runs that cannot be asked for meanwhile are waited for, in whatever way that fails.
    for fault in [Fault::HalfBody, Fault::DropBefore, Fault::DropAfter, Fault::WrongType, Fault::status(500)] {
        fal.faults().on("/fal-ai/flux-pro/requests/", Some(1), fault);
    }
    for n in 0..3 {
        names.push(format!("Lampe back {n}."));
        let id = fal::push(&system, &names[names.len() - 1], json!({})).await;
        let job = system.wait_job(&id).await;
        fal::assert_real(&job);
        assert_eq!(outcomes(&job), ["succeeded"], "{job}");
    }
    for id in &ids {
        fal::assert_real(&fal::healed(&system, id).await);
        assert_eq!(events(&system, id).await.iter().filter(|name| *name == "replaced").count(), 1);
    }
    for name in &names {
        assert_eq!(fal.n_submitted_with(name), 1, "{name}");
    }
}

/// A shop with an address of its own: each has a breaker of its own.
fn shop(address: &str) -> Front {
    const PAGE: &str = r#"<title>Tea</title><script type="application/ld+json">{"@type":"Product",
        "offers":{"@type":"Offer","price":"39.90","priceCurrency":"EUR"}}</script>"#;
    let answer = async |uri: Uri| match uri.path() {
        "/robots.txt" => StatusCode::NOT_FOUND.into_response(),
        _ => Html(PAGE).into_response(),
    };
    let listener = std::net::TcpListener::bind((address, 0)).unwrap();
    Front::on(listener, Router::new().fallback(answer)).unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_outage_of_shops_heals_itself_and_no_price_is_made_up() {
    let faults = [
        Fault::status(500),
        Fault::retry_after(429, 1),
        Fault::Hang,
        Fault::HalfBody,
        Fault::DropBefore,
        Fault::DropAfter,
    ];
    let shops: Vec<Front> = (2..).take(faults.len()).map(|n| shop(&format!("127.0.0.{n}"))).collect();
    let options = Options::default().real_scraping(8).env("SCRAPE_ALLOW_HOSTS", "127.0.0.0/8");
    let system = System::start(options.env("SCRAPE_PACE_MS", "10").env("BREAKER_OPEN_S", "1")).await;
    for (shop, fault) in shops.iter().zip(faults) {
        shop.faults().on("/tea", None, fault);
    }
    let jobs = shops.iter().flat_map(|shop| {
        let job = |n: u32| {
            json!({ "kind": "scrape", "payload": { "product_id": "TEA-1", "urls": [format!("{}/tea/{n}", shop.url())] },
                "options": { "max_attempts": 1, "timeout_s": 5 } })
        };
        [0, 1].map(job)
    });
    let ids = push(&system, jobs.collect()).await;
    for job in system.wait_jobs(&ids).await {
        assert_eq!((&job["state"], &job["provider"]), (&json!("succeeded"), &json!("none")), "{job}");
        let page = &job["result"]["pages"][0];
        assert!(job["degraded"] == true && page["price"].is_null(), "{job}");
        assert!(page["error"].is_string() && job["degraded_reason"].is_string(), "it says why: {job}");
    }
    shops.iter().for_each(|shop| shop.faults().recover());
    wait_until("prices take their places", JOB_PATIENCE, async || {
        let healing = system.post_job("maintenance", json!({ "task": "heal", "service": "scraping" })).await;
        system.wait_job(&healing).await;
        system.get("/api/status/scraping").await.body["degraded_waiting"] == 0
    })
    .await;
    for id in &ids {
        let job = system.job(id).await;
        assert_eq!((&job["provider"], &job["degraded"]), (&json!("direct"), &json!(false)), "{job}");
        assert_eq!(job["result"]["pages"][0]["price"]["amount"], "39.90", "{job}");
        assert_eq!(events(&system, id).await.iter().filter(|name| *name == "replaced").count(), 1);
    }
}

/// The job that handles an event of Stripe's.
async fn job_of_event(system: &System, event: &str) -> String {
    let mut id = None;
    wait_until("the event has its job", JOB_PATIENCE, async || {
        let jobs = system.get("/api/jobs?kind=payment&limit=200").await.body;
        let jobs = jobs["items"].as_array().expect("a list").iter();
        id = jobs.clone().find(|job| job["payload"]["event"] == event).map(|job| job["id"].clone());
        id.is_some()
    })
    .await;
    id.unwrap().as_str().unwrap().to_owned()
}

/// Something happens at Stripe, of which one event tells.
fn set_end(world: &World, subscription: &str, ends: bool) {
    let ends = Params::from([("cancel_at_period_end".to_owned(), ends.to_string())]);
    let path = format!("subscriptions/{subscription}");
    let answered = world.stripe.with(|simulation| simulation.call(Method::Post, &path, &ends, None));
    assert_eq!(answered.status, 200, "{}", answered.body);
}

async fn is_kept(world: &World, ends: bool) -> bool {
    world.kept("acme").await.unwrap().get_bool("cancel_at_period_end").unwrap() == ends
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_outage_of_stripe_is_waited_out_and_nothing_is_believed_but_what_stripe_says() {
    let world = World::with(Options::default().workers(1).env("BREAKER_OPEN_S", "1")).await;
    let World { stripe, system } = &world;
    let subscription = world.subscribe("acme", &checkout("pro")).await;
    let customer = world.at_stripe(&subscription)["customer"].as_str().unwrap().to_owned();
    let failed = |fault: &Fault| {
        let requests = stripe.faults().last();
        requests.iter().filter(|seen| seen.fault.as_ref() == Some(fault)).count()
    };
    let mut ends = false;
    for (fault, code) in [
        (Fault::status(500), "provider_unavailable"),
        (Fault::status(503), "provider_unavailable"),
        (Fault::retry_after(429, 1), "rate_limited"),
        (Fault::HalfBody, "provider_unavailable"),
        (Fault::DropBefore, "provider_unavailable"),
        (Fault::DropAfter, "provider_unavailable"),
        (Fault::WrongType, "provider_unavailable"),
    ] {
        // The first that a job asks for; two runs of it fail.
        stripe.faults().on("/v1/subscriptions", Some(2), fault.clone());
        ends = !ends;
        set_end(&world, &subscription, ends);
        let released = stripe.release(Order::AsMade).await;
        let [event] = &released[..] else { panic!("one event a change: {released:?}") };
        assert_eq!(event.status, Some(200), "it is taken, whether stripe can be asked or not");
        let job = system.wait_job(&job_of_event(system, &event.event).await).await;
        assert_eq!(
            (&job["state"], outcomes(&job)),
            (&json!("succeeded"), vec!["retry", "retry", "succeeded"]),
            "{job}"
        );
        for attempt in &attempts(&job)[..2] {
            assert_eq!(attempt["error"]["code"], code, "{fault:?}: {job}");
        }
        assert_eq!(failed(&fault), 2, "{fault:?}: one request a run that failed");
        assert_eq!(job["result"]["events"], 1, "{job}");
        assert!(is_kept(&world, ends).await, "{fault:?}");
    }

    // It does not answer at all, for longer than a job takes.
    stripe.faults().on("/v1/subscriptions", Some(1), Fault::Hang);
    let asked = json!({ "kind": "payment", "payload": { "customer": customer }, "options": { "timeout_s": 5 } });
    let id = system.post("/api/jobs", &asked).await.body["id"].as_str().unwrap().to_owned();
    let job = system.wait_job(&id).await;
    assert_eq!((&job["state"], outcomes(&job).len()), (&json!("succeeded"), 2), "{job}");

    // Away altogether. Nothing is made up, neither by a job nor by the API.
    stripe.faults().always(Fault::status(500));
    ends = !ends;
    set_end(&world, &subscription, ends);
    let released = stripe.release(Order::AsMade).await;
    let [event] = &released[..] else { panic!("one event a change: {released:?}") };
    let id = job_of_event(system, &event.event).await;
    let has_waited = async || {
        let job = system.job(&id).await;
        !is_finished(&job) && attempts(&job).iter().filter(|attempt| attempt["outcome"] == "retry").count() >= 2
    };
    wait_until("it was tried twice", JOB_PATIENCE, has_waited).await;
    assert!(is_kept(&world, !ends).await);
    let away = world.post("acme", "change", &json!({ "plan": "premium" })).await;
    away.assert_problem(503, "vendor-unavailable");
    assert_ne!(away.header("retry-after"), "");
    stripe.faults().recover();
    assert_eq!(system.wait_job(&id).await["state"], "succeeded");
    assert!(is_kept(&world, ends).await);
    assert_eq!(world.price(&subscription), "price_pro");
}
