//! End-to-end tests, one module a topic. Those of the whole system start the real programs.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking, its functions included")]

mod arrows;
mod bad_input;
mod demo;
mod intake;
mod killed_worker;
mod main_job;
mod mongo_outage;
mod openai;
mod packaging;
mod poison;
mod readme;
mod redis_outage;
mod replicas;
mod scrape;
mod selftest;
mod shutdown;
mod smtp;
mod startup;

use chrono::{DateTime, Utc};
use serde_json::{Value, json};
use tests::{Gate, Options, standins::openai::OpenAi};

const MODEL_KEY: &str = "sk-test";
const MODEL: &str = "gpt-6-luna";

/// A product that every kind of content job takes; `n` tells one from another.
fn product(n: usize) -> Value {
    json!({ "product_id": format!("LAMP-{n}"), "name": format!("Lampe {n} « Étoile »"), "category": "Luminaires",
        "features": ["Socle en chêne"], "language": "fr" })
}

/// A model whose answers wait at `gate`: the slow outside service of content jobs.
async fn slow_model(gate: &Gate) -> OpenAi {
    OpenAi::behind(gate.clone(), MODEL_KEY, MODEL).await.unwrap()
}

/// Has the model write, so many texts at a time in each worker.
fn real_texts(options: Options, model: &OpenAi, concurrency: usize) -> Options {
    options
        .env("MOCK_MODE_AI", "false")
        .env("OPENAI_API_KEY", MODEL_KEY)
        .env("OPENAI_MODEL", MODEL)
        .env("OPENAI_BASE_URL", model.url())
        .env("CONCURRENCY", format!("content={concurrency}"))
}

/// How often the model was asked for the texts of a [`product`].
fn n_asked(model: &OpenAi, n: usize) -> usize {
    let name = product(n)["name"].clone();
    let asked_for = |request: &Value| {
        let input: Value = serde_json::from_str(request["input"].as_str().unwrap()).unwrap();
        input["name"] == name
    };
    model.requests().iter().filter(|request| asked_for(request)).count()
}

/// A time of the API.
fn time(value: &Value) -> DateTime<Utc> {
    value.as_str().unwrap().parse().unwrap()
}

fn attempts(job: &Value) -> &[Value] {
    job["attempts"].as_array().unwrap()
}

/// How the attempts of a job ended, in order.
fn outcomes(job: &Value) -> Vec<&str> {
    attempts(job).iter().map(|attempt| attempt["outcome"].as_str().unwrap_or("running")).collect()
}

/// Fails unless the job succeeded and was run once.
#[track_caller]
fn assert_ran_once(job: &Value) {
    assert_eq!(job["state"], "succeeded", "{job}");
    assert_eq!((outcomes(job), &job["attempt"], &job["crashes"]), (vec!["succeeded"], &json!(1), &json!(0)), "{job}");
}
