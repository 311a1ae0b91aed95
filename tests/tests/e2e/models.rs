//! Product texts from end points that speak `OpenAI`'s protocol each in its own way, and what their refusals lead to.

use std::{
    sync::atomic::{AtomicUsize, Ordering},
    time::Duration,
};

use providers::content::{self, ContentProvider, Tokens};
use serde_json::{Value, json};
use servers::wait_until;
use services::{Config, OpenAi};
use tests::{
    Options, PATIENCE, System,
    standins::{
        fault::Fault,
        models::{EndPoint, Vendor, vendors},
        openai,
    },
};

use crate::{MODEL, MODEL_KEY, lamp, product, real_texts};

/// Good texts of a model that says more than it was asked for.
fn texts() -> String {
    json!({
        "title": "Lampe « Étoile »", "short_description": "<p>a</p>", "long_description": "<p>b \"c\"\n\\ d</p>",
        "bullets": ["e"], "seo_title": "f", "meta_description": "g", "keywords": ["h"],
        "faq": [{ "question": "i", "answer": "j", "source": "k" }], "language": "fr", "subtitle": "l",
    })
    .to_string()
}

/// The author behind an end point, as a second one.
fn author(url: &str) -> std::sync::Arc<dyn ContentProvider> {
    let second =
        OpenAi { api_key: "sk-second".to_owned().into(), base_url: url.to_owned(), model: Some("a".to_owned()) };
    let config = Config { openai_second: Some(second), ..Config::mock() };
    content::providers(&config).unwrap().remove(0)
}

#[tokio::test]
async fn every_vendors_answers_are_used_and_paid_once() {
    for name in vendors() {
        let vendor = Vendor::named(name).unwrap();
        let (n_refused, n_answers) = (vendor.refuses.len(), vendor.answers.len());
        let end_point = EndPoint::start(vendor, &texts()).await.unwrap();
        let author = author(&end_point.url());
        for number in 0..n_answers {
            end_point.next_answer(number);
            let text = author.write(&lamp()).await.unwrap_or_else(|error| panic!("{name}, answer {number}: {error}"));
            assert_eq!(text.title, "Lampe « Étoile »", "{name}, answer {number}");
            assert_eq!(text.model, "a");
            // Of one that does not tell what it used, it is estimated.
            if text.tokens != (Tokens { input: 400, output: 600, total: 1000 }) {
                assert_eq!(name, "ollama");
                assert!(text.tokens.input > 100 && text.tokens.output > 50, "{:?}", text.tokens);
            }
            // What it refuses is tried once, and remembered.
            assert_eq!(end_point.requests().len(), n_refused + number + 1, "{name}, answer {number}");
        }
    }
}

#[tokio::test]
async fn every_vendors_failures_lead_to_what_they_mean_and_keep_their_words() {
    for name in vendors() {
        let vendor = Vendor::named(name).unwrap();
        for (number, failure) in vendor.errors.iter().enumerate() {
            let end_point = EndPoint::start(vendor.clone(), &texts()).await.unwrap();
            // Whatever is left out, it fails again.
            (0..8).for_each(|_| end_point.next_failure(number));
            let error = author(&end_point.url()).write(&lamp()).await.unwrap_err();
            assert_eq!(error.code(), failure.code, "{name}, failure {number}: {error}");
            assert!(error.to_string().contains(&failure.words), "{name}, failure {number}: {error}");
            assert!(!error.to_string().contains("1234"), "part of a key: {error}");
        }
    }
}

#[tokio::test]
async fn what_an_end_point_does_not_know_is_said_in_words() {
    let litellm = EndPoint::start(Vendor::named("litellm").unwrap(), &texts()).await.unwrap();
    author(&litellm.url()).write(&lamp()).await.unwrap();
    let requests = litellm.requests();
    let forms: Vec<&Value> = requests.iter().map(|request| &request["response_format"]["type"]).collect();
    assert_eq!(forms, [&json!("json_schema"), &json!("json_object"), &Value::Null]);
    for (number, in_words) in [(0, false), (1, true), (2, true)] {
        let instructions = requests[number]["messages"][0]["content"].as_str().unwrap();
        assert_eq!(instructions.contains("additionalProperties"), in_words, "{instructions}");
        assert!(!instructions.contains("Étoile"), "the product is no instruction: {instructions}");
    }
    let mistral = EndPoint::start(Vendor::named("mistral").unwrap(), &texts()).await.unwrap();
    author(&mistral.url()).write(&lamp()).await.unwrap();
    let names = |request: &Value| ["max_completion_tokens", "max_tokens"].map(|name| request[name].is_u64());
    assert_eq!(mistral.requests().iter().map(names).collect::<Vec<_>>(), [[true, false], [false, true]]);
}

/// A system whose first end point is `first`; the second is a vendor's.
async fn system(first: &openai::OpenAi, second: Option<&EndPoint>) -> System {
    let mut options = real_texts(Options::default().workers(1), first, 4);
    if let Some(second) = second {
        options = options
            .env("OPENAI_FALLBACK_BASE_URL", second.url())
            .env("OPENAI_FALLBACK_API_KEY", "sk-second")
            .env("OPENAI_FALLBACK_MODEL", "a");
    }
    System::start(options).await
}

#[tokio::test(flavor = "multi_thread")]
async fn no_money_gives_the_template_at_once_and_parks_the_account() {
    let first = openai::OpenAi::start(MODEL_KEY, MODEL).await.unwrap();
    first.otherwise(openai::Reply::Refuse {
        status: 402,
        body: r#"{"error":{"message":"Insufficient Balance","type":"unknown_error","code":"invalid_request_error"}}"#,
    });
    let deepseek = EndPoint::start(Vendor::named("deepseek").unwrap(), &texts()).await.unwrap();
    (0..100).for_each(|_| deepseek.next_failure(0));
    let system = system(&first, Some(&deepseek)).await;
    // That an account is parked is told to all a moment after the answer, and a slow Redis is not waited for: until then it may be
    // asked once more.
    let numbers = AtomicUsize::new(1);
    let asks_nobody = async || {
        let asked = first.n_requests();
        let number = numbers.fetch_add(1, Ordering::Relaxed);
        let job = system.wait_job(&system.post_job("content", product(number)).await).await;
        assert_eq!((&job["state"], &job["attempt"]), (&json!("succeeded"), &json!(1)), "{job}");
        assert_eq!((&job["provider"], &job["degraded"]), (&json!("mock"), &json!(true)), "{job}");
        let reason = job["degraded_reason"].as_str().unwrap();
        for words in ["openai", "openai-second", "Insufficient Balance", "out of quota or money"] {
            assert!(reason.contains(words), "{words:?} is not in {reason:?}");
        }
        first.n_requests() == asked
    };
    assert!(!asks_nobody().await, "the first job asks");
    wait_until("it is parked", PATIENCE, asks_nobody).await;
    let is_red = async || system.get("/api/status/ai").await.body["breaker"] == "open";
    wait_until("the status is red", PATIENCE, is_red).await;
    // Without a stand-in it waits.
    let alone = json!({ "kind": "content", "payload": product(0), "options": { "allow_fallback": false } });
    let id = system.post("/api/jobs", &alone).await.body["id"].as_str().unwrap().to_owned();
    system.wait_state(&id, "scheduled").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn one_text_that_is_not_wanted_ends_its_job_and_parks_nobody() {
    let first = openai::OpenAi::start(MODEL_KEY, MODEL).await.unwrap();
    first.next(openai::Reply::Refuse {
        status: 403,
        body: r#"{"error":{"code":403,"message":"Your input was flagged for \"violence\". No credits were charged.","metadata":{"reasons":["violence"]}}}"#,
    });
    first.next(openai::Reply::Refuse { status: 403, body: "<html><body>Request blocked</body></html>" });
    let system = system(&first, None).await;
    let refused = system.wait_job(&system.post_job("content", product(1)).await).await;
    assert_eq!(refused["state"], "dead", "{refused}");
    let error = &refused["attempts"][0]["error"];
    assert_eq!(error["code"], "provider_rejected");
    assert!(error["message"].as_str().unwrap().contains("flagged for \"violence\""), "{error}");
    let blocked = system.wait_job(&system.post_job("content", product(2)).await).await;
    assert_eq!((&blocked["state"], &blocked["provider"]), (&json!("succeeded"), &json!("mock")), "{blocked}");
    assert!(blocked["degraded_reason"].as_str().unwrap().contains("Request blocked"), "{blocked}");
    let fine = system.wait_job(&system.post_job("content", product(3)).await).await;
    assert_eq!((&fine["provider"], &fine["degraded"]), (&json!("openai"), &json!(false)), "{fine}");
    assert_eq!(system.get("/api/status/ai").await.body["breaker"], "closed");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_end_point_that_refuses_everything_ends_no_job() {
    let first = openai::OpenAi::start(MODEL_KEY, MODEL).await.unwrap();
    first.faults().always(Fault::status(500));
    let mistral = EndPoint::start(Vendor::named("mistral").unwrap(), &texts()).await.unwrap();
    (0..100).for_each(|_| mistral.next_failure(4));
    let system = system(&first, Some(&mistral)).await;
    let once = json!({ "kind": "content", "payload": product(1), "options": { "max_attempts": 1 } });
    let id = system.post("/api/jobs", &once).await.body["id"].as_str().unwrap().to_owned();
    let job = system.wait_job(&id).await;
    assert_eq!((&job["state"], &job["provider"]), (&json!("succeeded"), &json!("mock")), "{job}");
    let reason = job["degraded_reason"].as_str().unwrap();
    for words in ["openai: 500", "openai-second: 422", "Input tag 'x' found"] {
        assert!(reason.contains(words), "{words:?} is not in {reason:?}");
    }
}

#[tokio::test]
async fn a_model_that_is_not_told_how_much_to_think_still_writes() {
    let first = openai::OpenAi::start(MODEL_KEY, MODEL).await.unwrap();
    first.next(openai::Reply::Refuse {
        status: 400,
        body: r#"{"error":{"message":"Unsupported parameter: 'reasoning.effort' is not supported with this model.","type":"invalid_request_error","param":"reasoning.effort","code":"unsupported_parameter"}}"#,
    });
    let settings = OpenAi {
        api_key: MODEL_KEY.to_owned().into(),
        base_url: first.url().to_owned(),
        model: Some(MODEL.to_owned()),
    };
    let author = content::openai(&settings, Duration::from_secs(20)).unwrap();
    for n_requests in [2, 3] {
        author.write(&lamp()).await.unwrap();
        assert_eq!(first.n_requests(), n_requests, "it is remembered");
    }
    let efforts: Vec<bool> = first.requests().iter().map(|request| request["reasoning"].is_object()).collect();
    assert_eq!(efforts, [true, false, false]);
}
