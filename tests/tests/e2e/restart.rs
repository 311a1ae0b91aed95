//! The same release, or the next one, starts again on queues that hold jobs in every state.

use std::collections::BTreeMap;

use queue::{ENVELOPE_VERSION, NewJob};
use serde_json::{Value, json};
use servers::wait_until;
use tests::{Gate, Options, PATIENCE, Shop, System};

use crate::{assert_ran_once, n_asked, outcomes, product, push_past_the_api, real_texts, slow_model, store, stored};

async fn shown(system: &System, ids: &[(&'static str, String)]) -> BTreeMap<&'static str, Value> {
    let mut jobs = BTreeMap::new();
    for (name, id) in ids {
        jobs.insert(*name, system.job(id).await);
    }
    jobs
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restart_of_producer_and_worker_loses_no_job_in_any_state() {
    let gate = Gate::closed();
    let (model, shop) = (slow_model(&gate).await, Shop::start().await);
    let options = Options::default().workers(1).real_scraping(1).env("SHUTDOWN_GRACE_S", "1");
    let mut system = System::start(real_texts(options, &model, 2)).await;

    let running = system.post_jobs("content", (0..2).map(product)).await;
    wait_until("two jobs run", PATIENCE, async || model.n_requests() == 2).await;
    let waiting = system.post_jobs("content", (2..4).map(product)).await;
    let newer = system.post_job("content", product(4)).await;
    let mut record = stored(&system, "content", &newer).await;
    record[0] = ENVELOPE_VERSION + 1;
    store(&system, "content", &newer, &record).await;
    let later =
        json!({ "kind": "content", "payload": product(5), "options": { "delay_s": 3_600, "priority": "high" } });
    let scheduled = system.post("/api/jobs", &later).await.body["id"].as_str().unwrap().to_owned();
    let dead = push_past_the_api(&system, NewJob::new("image", "no json")).await;
    let unknown = push_past_the_api(&system, NewJob::new("hologram", "{}")).await;
    let email = json!({ "to": "zoe@customer.example", "subject": "Hello", "text": "Hello" });
    let succeeded = system.post_job("email", email).await;
    let cancelled = system.post_job("content", product(6)).await;
    system.post(&format!("/api/jobs/{cancelled}/cancel"), &json!({})).await;
    assert_eq!(system.wait_job(&dead).await["state"], "dead");
    assert_ran_once(&system.wait_job(&succeeded).await);
    // The shop asks for a wait of 7 s.
    let busy = json!({ "product_id": "TEA-1", "urls": [format!("{}/busy", shop.url())] });
    let retrying = system.post_job("scrape", busy).await;
    let seen = system.wait_state(&retrying, "retrying").await;

    let resting = [
        ("scheduled", scheduled.clone()),
        ("dead", dead),
        ("unknown kind", unknown),
        ("succeeded", succeeded),
        ("cancelled", cancelled),
        ("newer", newer.clone()),
    ];
    let before = shown(&system, &resting).await;
    let states = resting.iter().map(|(name, _)| before[name]["state"].as_str().unwrap());
    assert_eq!(states.collect::<Vec<_>>(), ["scheduled", "dead", "ready", "succeeded", "cancelled", "ready"]);

    let ended = system.stop_worker(0).await;
    assert_eq!(ended.code(), Some(0), "{}", system.worker_log(0));
    system.restart_producer().await;
    assert_eq!(shown(&system, &resting).await, before, "each is as it was");
    for id in running.iter().chain(&waiting) {
        assert_eq!(system.job(id).await["state"], "ready");
    }
    assert_eq!(system.job(&retrying).await["attempts"], seen["attempts"]);

    gate.open();
    system.start_worker().await;
    for job in system.wait_jobs(&running).await {
        assert_eq!((&job["state"], outcomes(&job)), (&json!("succeeded"), vec!["handed_back", "succeeded"]), "{job}");
    }
    for job in system.wait_jobs(&waiting).await {
        assert_ran_once(&job);
    }
    let job = system.wait_job(&retrying).await;
    assert_eq!((&job["state"], outcomes(&job)), (&json!("succeeded"), vec!["retry", "succeeded"]), "{job}");
    assert_eq!(shown(&system, &resting).await, before, "a worker that runs all the others leaves them as they were");
    assert_eq!((2..4).map(|n| n_asked(&model, n)).collect::<Vec<_>>(), [1, 1]);
    assert_eq!(stored(&system, "content", &newer).await, record, "not a byte was changed");

    // To the next release's worker this record is what ours are to us: it gets the version that this one reads.
    record[0] = ENVELOPE_VERSION;
    store(&system, "content", &newer, &record).await;
    system.start_worker().await;
    assert_ran_once(&system.wait_job(&newer).await);
    let depth = system.depth("content").await;
    let zero = json!({ "ready": 0, "scheduled": 1, "running": 0, "retrying": 0, "waiting": 0, "dead": 0 });
    assert_eq!(depth, zero, "only what is not due is left");
    assert_eq!(system.job(&scheduled).await["run_at"], before["scheduled"]["run_at"]);
}
