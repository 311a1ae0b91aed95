//! Of the jobs of a concurrency key one runs at a time, in all workers together.

use queue::NewJob;
use serde_json::{Value, json};
use servers::wait_until;
use tests::{Gate, Options, PATIENCE, Shop, System};

use crate::{attempts, n_snoozes, push_past_the_api};

async fn push(system: &System, shop: &Shop) -> String {
    let payload = json!({ "shop": shop.url(), "page": Shop::page(1) });
    push_past_the_api(system, NewJob::new("visit", payload.to_string())).await
}

#[tokio::test(flavor = "multi_thread")]
async fn of_the_jobs_of_a_key_one_runs_at_a_time_in_all_workers_also_when_one_is_killed() {
    let (gate, another_gate) = (Gate::closed(), Gate::closed());
    let (shop, another_shop) = (Shop::behind(gate.clone()).await, Shop::behind(another_gate.clone()).await);
    let options = Options { workers: 2, worker_program: "faulty-worker", ..Options::default() };
    let system = System::start(options).await;
    let mut ids = Vec::new();
    for _ in 0..8 {
        ids.push(push(&system, &shop).await);
    }
    let beside = push(&system, &another_shop).await;
    let running = async || {
        let (mut running, mut n_put_off) = (None, 0);
        for id in &ids {
            let job = system.job(id).await;
            n_put_off += usize::from(n_snoozes(&job) > 0 && job["snoozes"]["last_code"] == "concurrency_key");
            running = if job["state"] == "running" { Some(job) } else { running };
        }
        (n_put_off == 7).then_some(running).flatten()
    };
    let mut holder = Value::Null;
    wait_until("one is in the shop and the others wait", PATIENCE, async || {
        holder = running().await.unwrap_or_default();
        !holder.is_null() && (shop.n_visits(), another_shop.n_visits()) == (1, 1)
    })
    .await;
    another_gate.open();
    assert_eq!(system.wait_job(&beside).await["state"], "succeeded", "it is in another shop");

    let worker = attempts(&holder).last().unwrap()["worker"].as_str().unwrap().to_owned();
    let number = (0..2).find(|number| worker.ends_with(&format!("/{}", system.worker_pid(*number)))).unwrap();
    system.kill_worker(number);
    wait_until("the next one is in the shop", PATIENCE, async || shop.n_visits() > 1).await;
    assert_eq!(shop.n_visits(), 2);
    gate.open();
    for job in system.wait_jobs(&ids).await {
        assert_eq!((&job["state"], &job["attempt"]), (&json!("succeeded"), &json!(1)), "{job}");
    }
    assert_eq!(shop.n_visits(), 9, "the one that was killed and all eight");
}
