//! Schedules with MongoDB and Redis.

use axum::http::Method;
use serde_json::{Value, json};

use crate::{Scope, routes::stores::tests::World};

const JSON: &str = "application/json";

async fn put(world: &World, name: &str) {
    let job =
        json!({ "kind": "email", "payload": { "to": "zoe@customer.example", "subject": "Hello", "text": "Hello" } });
    let body = json!({ "cron": "@daily", "job": job });
    let path = format!("/api/schedules/{name}");
    assert_eq!(world.send(Method::PUT, &path, "acme", &[Scope::SchedulesWrite], Some(&body)).await.status, 201);
}

#[tokio::test]
async fn a_run_by_hand_that_is_sent_again_with_its_key_makes_no_second_job() {
    let world = World::real().await;
    put(&world, "morning").await;
    put(&world, "evening").await;
    let run = async |name: &str, key| world.post(&format!("/api/schedules/{name}/run"), key, JSON, "").await;
    let first = run("morning", Some("k")).await;
    assert_eq!((first.status, first.is_replayed), (202, false), "{}", first.body);
    let again = run("morning", Some("k")).await;
    assert_eq!((again.status, again.is_replayed, &again.body["id"]), (200, true, &first.body["id"]), "{}", again.body);
    run("evening", Some("k")).await.refused(422, "idempotency-mismatch");
    let without = run("morning", None).await;
    assert_eq!(without.status, 202, "{}", without.body);
    let runs = world.get("/api/schedules/morning/runs").await.body;
    let jobs: Vec<&Value> = runs["items"].as_array().unwrap().iter().map(|run| &run["job"]).collect();
    assert_eq!(jobs, [&without.body["id"], &first.body["id"]], "each has its line");
}

#[tokio::test]
async fn of_a_hundred_runs_with_one_key_one_makes_a_job() {
    let world = World::real().await;
    put(&world, "morning").await;
    let runs = (0..100).map(|_| world.post("/api/schedules/morning/run", Some("k"), JSON, ""));
    let runs = futures::future::join_all(runs).await;
    assert_eq!(runs.iter().filter(|run| run.status == 202).count(), 1);
    assert!(runs.iter().all(|run| run.status == 202 || run.status == 409 || run.is_replayed));
    assert_eq!(world.get("/api/jobs?kind=email").await.body["items"].as_array().unwrap().len(), 1);
}
