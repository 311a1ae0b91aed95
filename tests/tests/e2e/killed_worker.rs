//! A worker is killed while it runs jobs.

use chrono::{Duration, Utc};
use serde_json::{Value, json};
use servers::wait_until;
use tests::{Gate, Options, PATIENCE, System};

use crate::{assert_ran_once, attempts, outcomes, product, real_texts, slow_model, time};

const N_JOBS: usize = 200;
/// What the lease and its renewal promise by default.
const AGAIN_WITHIN: Duration = Duration::seconds(15);

fn is_of(attempt: &Value, pid: u32) -> bool {
    attempt["worker"].as_str().unwrap().ends_with(&format!("/{pid}"))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_workers_jobs_start_again_within_15_s() {
    let gate = Gate::closed();
    let model = slow_model(&gate).await;
    let system = System::start(real_texts(Options::default(), &model, 16)).await;
    let killed = system.worker_pid(0);
    let ids = system.post_jobs("content", (0..N_JOBS).map(product)).await;
    // A third is done, and both workers are as busy as they can be.
    gate.let_through(70);
    wait_until("the workers are in the middle of it", PATIENCE, async || model.n_requests() == 70 + 32).await;

    system.kill_worker(0);
    let killed_at = Utc::now();
    gate.open();
    let jobs = system.wait_jobs(&ids).await;
    let (interrupted, others): (Vec<&Value>, Vec<&Value>) = jobs.iter().partition(|job| attempts(job).len() > 1);
    assert!(interrupted.len() >= 16, "only {} jobs were interrupted", interrupted.len());
    for job in others {
        assert_ran_once(job);
    }
    for job in interrupted {
        assert_eq!((&job["state"], &job["crashes"]), (&json!("succeeded"), &json!(1)), "{job}");
        assert_eq!(outcomes(job), ["crashed", "succeeded"], "{job}");
        let [first, second] = attempts(job) else { panic!("two attempts: {job}") };
        assert!(is_of(first, killed) && !is_of(second, killed), "{job}");
        assert_eq!((&first["number"], &second["number"]), (&json!(1), &json!(1)), "a crash uses no attempt: {job}");
        let delay = time(&second["started_at"]) - killed_at;
        assert!(delay <= AGAIN_WITHIN, "{} ms after the kill: {job}", delay.num_milliseconds());
    }
}
