//! Two workers side by side, and what both kinds of process measure.

use std::collections::HashSet;

use serde_json::json;
use servers::wait_until;
use tests::{Answer, Gate, Options, PATIENCE, System};

use crate::{assert_ran_once, attempts, product, real_texts, slow_model};

const N_JOBS: usize = 40;

/// The sum of a counter's series that have all these labels.
pub(crate) fn counter(metrics: &str, name: &str, labels: &[&str]) -> f64 {
    let series = metrics.lines().filter(|line| {
        line.strip_prefix(name).is_some_and(|rest| rest.starts_with(['{', ' ']))
            && labels.iter().all(|label| line.contains(label))
    });
    series.map(|line| line.rsplit(' ').next().unwrap().parse::<f64>().unwrap()).sum()
}

async fn metrics(system: &System, admin_url: &str) -> String {
    let answer = Answer::to(system.client().get(format!("{admin_url}/metrics"))).await.unwrap();
    assert_eq!(answer.status, 200);
    answer.body.as_str().unwrap().to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn two_workers_share_the_jobs_and_every_process_has_its_metrics() {
    let gate = Gate::closed();
    let model = slow_model(&gate).await;
    let system = System::start(real_texts(Options::default(), &model, 4)).await;
    let health = system.get("/api/health").await.body;
    assert_eq!((&health["status"], &health["workers"]), (&json!("ok"), &json!(2)), "{health}");
    assert!(
        health["version"].is_string() && health["redis"]["ok"] == true && health["mongodb"]["ok"] == true,
        "{health}"
    );

    let ids = system.post_jobs("content", (0..N_JOBS).map(product)).await;
    // Four at a time each: eight are only possible with both.
    wait_until("both workers are busy", PATIENCE, async || model.n_requests() == 8).await;
    wait_until("the queue shows both workers", PATIENCE, async || {
        let queues = system.get("/api/queues").await.body;
        queues.as_array().unwrap().iter().any(|queue| queue["name"] == "content" && queue["workers"] == 2)
    })
    .await;
    gate.open();
    let jobs = system.wait_jobs(&ids).await;
    jobs.iter().for_each(assert_ran_once);
    let workers: HashSet<&str> = jobs.iter().map(|job| attempts(job)[0]["worker"].as_str().unwrap()).collect();
    assert_eq!(workers.len(), 2, "{workers:?}");

    let producer = metrics(&system, system.producer_admin_url()).await;
    assert_eq!(counter(&producer, "jobs_accepted_total", &[r#"kind="content""#]), N_JOBS as f64, "{producer}");
    assert!(
        counter(&producer, "http_requests_total", &[r#"path="/api/jobs/{id}""#, r#"status="200""#]) >= N_JOBS as f64
    );
    assert!(counter(&producer, "http_request_duration_seconds_count", &[]) >= N_JOBS as f64, "{producer}");
    let mut attempts = 0.0;
    let mut durations = 0.0;
    for number in 0..2 {
        let worker = metrics(&system, &system.worker_admin_url(number)).await;
        attempts += counter(&worker, "queue_attempts_total", &[r#"queue="content""#, r#"state="succeeded""#]);
        durations += counter(&worker, "queue_job_duration_seconds_count", &[r#"queue="content""#]);
        let health =
            Answer::to(system.client().get(format!("{}/health", system.worker_admin_url(number)))).await.unwrap();
        assert_eq!((health.status, &health.body["status"]), (200, &json!("ok")), "{}", health.body);
    }
    assert_eq!((attempts, durations), (N_JOBS as f64, N_JOBS as f64));
}
