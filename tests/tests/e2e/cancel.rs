//! Jobs that others than their caller cancel, and what they have begun at an outside service.

use reqwest::Method;
use serde_json::{Value, json};
use servers::wait_until;
use tests::{Answer, PATIENCE, System};

use crate::fal::{assert_real, fal, lamp, options, waits_for_its_run};

#[tokio::test(flavor = "multi_thread")]
async fn a_job_whose_place_another_takes_is_cancelled_at_fal() {
    let fal = fal().await;
    let system = System::start(options(&fal).workers(1)).await;
    fal.hold();
    let push = async |name: &str| {
        let options = json!({ "unique_key": "picture of LAMP-1", "on_conflict": "replace" });
        let body = json!({ "kind": "image", "payload": lamp(name), "options": options });
        system.post("/api/jobs", &body).await
    };
    let first = push("Lampe").await.body["id"].as_str().unwrap().to_owned();
    waits_for_its_run(&system, &first).await;
    let mut second = Value::Null;
    // It is not replaced while it looks after its run.
    wait_until("another takes its place", PATIENCE, async || {
        let answer = push("Vase").await;
        second = answer.body["id"].clone();
        answer.status == 202
    })
    .await;
    wait_until("fal was told", PATIENCE, async || fal.counts().cancelled == 1).await;
    assert_eq!(system.job(&first).await["state"], "cancelled");
    let second = second.as_str().unwrap();
    waits_for_its_run(&system, second).await;
    fal.release();
    assert_real(&system.wait_job(second).await);
    assert_eq!((fal.counts().cancelled, fal.n_submitted()), (1, 2));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_that_its_schedule_cancels_is_cancelled_at_fal() {
    let fal = fal().await;
    let system = System::start(options(&fal).workers(1)).await;
    fal.hold();
    let job = json!({ "kind": "image", "payload": lamp("Lampe") });
    let schedule = json!({ "every_s": 3, "overlap": "cancel_running", "job": job });
    let put = system.request(Method::PUT, "/api/schedules/lamps").json(&schedule);
    assert_eq!(Answer::to(put).await.unwrap().status, 201);
    wait_until("fal was told", PATIENCE, async || fal.counts().cancelled >= 1).await;
    assert_eq!(Answer::to(system.request(Method::DELETE, "/api/schedules/lamps")).await.unwrap().status, 204);
    // The one that nobody cancelled.
    let mut last = Value::Null;
    wait_until("one is left", PATIENCE, async || {
        let jobs = system.get("/api/jobs?kind=image&limit=200").await.body["items"].as_array().unwrap().clone();
        let mut left = jobs.into_iter().filter(|job| job["state"] != "cancelled");
        last = left.next().unwrap_or_default();
        last["state"] == "scheduled" && left.next().is_none()
    })
    .await;
    fal.release();
    assert_real(&system.wait_job(last["id"].as_str().unwrap()).await);
}
