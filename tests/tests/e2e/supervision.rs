//! Background tasks have an owner, which ends the process with its jobs handed back.

use queue::NewJob;
use reqwest::Method;
use serde_json::{Value, json};
use tests::{Answer, Options, System};

use crate::{outcomes, push_past_the_api};

/// One of each part that starts any.
const TASKS: [&str; 8] = [
    "healer",
    "admin listener",
    "watch of redis",
    "ticker",
    "recorder",
    "collector",
    "outbox of reports",
    "worker of content",
];

#[tokio::test(flavor = "multi_thread")]
async fn a_panic_in_any_background_task_stops_the_worker_with_its_jobs_handed_back() {
    let options = Options { workers: 1, worker_program: "faulty-worker", ..Options::default() };
    let mut system = System::start(options.env("KINDS", "faulty,content")).await;
    for (number, task) in TASKS.into_iter().enumerate() {
        if number > 0 {
            assert_eq!(system.start_worker().await, number);
        }
        let job = json!({ "panic_of_task": task });
        let id = push_past_the_api(&system, NewJob::new("faulty", job.to_string())).await;
        let end = system.worker_end(number).await;
        assert_eq!(end.code(), Some(1), "{task}: {}", system.worker_log(number));
        let log = system.worker_log(number);
        let said =
            |line: &Value| line["task"] == task && line["level"] == "ERROR" && line["reason"] == "panicked: planted";
        assert!(
            log.lines().filter_map(|line| serde_json::from_str(line).ok()).any(|line| said(&line)),
            "{task}: {log}"
        );
        assert!(log.contains(&format!("the background task \"{task}\" panicked")), "{task}: {log}");
        let job = system.job(&id).await;
        assert_eq!(
            (&job["state"], outcomes(&job), &job["crashes"]),
            (&json!("ready"), vec!["handed_back"], &json!(0)),
            "{task}"
        );
        let cancelled = Answer::to(system.request(Method::POST, &format!("/api/jobs/{id}/cancel"))).await.unwrap();
        assert_eq!(cancelled.status, 200, "{}", cancelled.body);
    }
}
