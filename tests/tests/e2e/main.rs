//! End-to-end tests, one module a topic. Those of the whole system start the real programs.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking, its functions included")]

mod architecture;
mod arrows;
mod bad_input;
mod cancel;
mod check_env;
mod concurrency_keys;
mod content;
mod damage;
mod demo;
mod dev;
mod documents;
mod ecomctl;
mod email;
mod events;
mod fal;
mod full_redis;
mod history;
mod hostile;
mod hosts;
mod images;
mod intake;
mod killed_worker;
mod limits;
mod main_job;
mod mode;
mod models;
mod mongo_outage;
mod monitors;
mod openai;
mod openapi;
mod outage;
mod packaging;
mod payments;
mod poison;
mod prices;
mod publication;
mod receipts;
mod redis_outage;
mod refusing_redis;
mod replicas;
mod restart;
mod rooms;
mod schedules;
mod scrape;
mod secrets;
mod selftest;
mod shop_limits;
mod shutdown;
mod smtp;
mod spending;
mod startup;
mod status;
mod stores;
mod supervision;

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use providers::content::{ContentRequest, Language, Tier, Tone};
use redis::AsyncCommands;
use serde_json::{Value, json};
use tests::{Gate, Options, System, standins::openai::OpenAi};

const MODEL_KEY: &str = "sk-test";
const MODEL: &str = "gpt-6-luna";

/// A product that every kind of content job takes; `n` tells one from another.
fn product(n: usize) -> Value {
    json!({ "product_id": format!("LAMP-{n}"), "name": format!("Lampe {n} « Étoile »"), "category": "Luminaires",
        "features": ["Socle en chêne"], "language": "fr" })
}

/// A product as providers are given it.
fn lamp() -> ContentRequest {
    ContentRequest {
        product_id: "L-1".to_owned(),
        name: "Lampe « Étoile »".to_owned(),
        category: "Luminaires".to_owned(),
        features: vec!["Socle en chêne".to_owned()],
        description: None,
        language: Language::Fr,
        tone: Tone::Friendly,
        target_length: 200,
        price: None,
        tier: Tier::Standard,
        max_cost: None,
        fresh: false,
    }
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

/// A connection to a system's Redis, for looking and writing behind its back.
async fn redis(system: &System) -> redis::aio::MultiplexedConnection {
    fleet::Redis::open_within(&system.redis_url, &system.name, servers::PATIENCE).unwrap().blocking().await.unwrap()
}

/// What a process shares with others, for services that a test calls by itself.
fn shared_fleet() -> fleet::Fleet {
    let url = servers::redis(servers::RedisKind::Valkey).unwrap();
    let redis = fleet::Redis::open_within(url, &servers::prefix(), servers::PATIENCE).unwrap();
    // A machine that builds beside may be slow: that is no reason to let all calls go.
    let settings = fleet::Settings { answer_within: servers::PATIENCE, ..fleet::Settings::default() };
    fleet::Fleet::with_settings(&redis, settings)
}

/// Every key of the system with its value, as Redis dumps it.
async fn redis_keys(system: &System) -> BTreeMap<Vec<u8>, Vec<u8>> {
    let mut redis = redis(system).await;
    let names: Vec<Vec<u8>> =
        redis::cmd("KEYS").arg(format!("{}:*", system.name)).query_async(&mut redis).await.unwrap();
    let mut keys = BTreeMap::new();
    for name in names {
        let value: Vec<u8> = redis::cmd("DUMP").arg(&name).query_async(&mut redis).await.unwrap();
        keys.insert(name, value);
    }
    keys
}

/// The name of a key of a queue's partition.
fn key(system: &System, queue: &str, suffix: &str) -> String {
    format!("{}:{{{queue}.0}}:{suffix}", system.name)
}

/// The key that holds a job's record: the tenth byte of an id is its page.
fn page(system: &System, queue: &str, id: uuid::Uuid) -> String {
    key(system, queue, &format!("jobs:{}", id.as_bytes()[9]))
}

/// The stored record of an unfinished or dead job.
async fn stored(system: &System, queue: &str, id: &str) -> Vec<u8> {
    let id = uuid::Uuid::parse_str(id).unwrap();
    redis(system).await.hget(page(system, queue, id), id.as_bytes().as_slice()).await.unwrap()
}

/// Writes a record over the stored one.
async fn store(system: &System, queue: &str, id: &str, record: &[u8]) {
    let id = uuid::Uuid::parse_str(id).unwrap();
    let _: () = redis(system).await.hset(page(system, queue, id), id.as_bytes().as_slice(), record).await.unwrap();
}

/// Adds a job past the API, as an older or a foreign program might.
async fn push_past_the_api(system: &System, job: queue::NewJob) -> String {
    let redis = fleet::Redis::open_within(&system.redis_url, &system.name, servers::PATIENCE).unwrap();
    queue::Client::new(&redis, Vec::new()).push(job).await.unwrap().to_string()
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

/// How often a job was put off.
fn n_snoozes(job: &Value) -> u64 {
    job["snoozes"]["count"].as_u64().unwrap()
}

/// Fails unless the job succeeded and was run once.
#[track_caller]
fn assert_ran_once(job: &Value) {
    assert_eq!(job["state"], "succeeded", "{job}");
    assert_eq!((outcomes(job), &job["attempt"], &job["crashes"]), (vec!["succeeded"], &json!(1), &json!(0)), "{job}");
}
