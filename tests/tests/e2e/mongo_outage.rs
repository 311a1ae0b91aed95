//! MongoDB goes away while jobs run, and comes back.

use std::time::{Duration, Instant};

use serde_json::{Value, json};
use servers::{MongoServer, SmtpServer, wait_until};
use tests::{Options, PATIENCE, System};

use crate::{attempts, main_job::long_product, outcomes, product};

const N_TEXTS: usize = 20;
/// How long MongoDB is away.
const OUTAGE: Duration = Duration::from_secs(60);

fn n_snoozes(job: &Value) -> usize {
    outcomes(job).iter().filter(|outcome| **outcome == "snoozed").count()
}

#[tokio::test(flavor = "multi_thread")]
async fn while_mongodb_is_away_jobs_are_put_off_and_use_no_attempt() {
    let (mongo, mail) = (MongoServer::start(), SmtpServer::start());
    let options = Options { mongo_url: Some(mongo.url()), ..Options::default() };
    let system = System::start(options.real_email(mail.port())).await;
    let pids = system.pids();
    mongo.stop();
    let began = Instant::now();
    let mut ids = system.post_jobs("content", (0..N_TEXTS).map(product)).await;
    let email = json!({ "to": "zoe@customer.example", "subject": "Your lamp", "text": "It is ready." });
    ids.push(system.post_job("email", email).await);
    for id in &ids {
        wait_until("the job was put off twice", PATIENCE, async || n_snoozes(&system.job(id).await) >= 2).await;
    }
    // why: the length of the outage is what is promised to be survived, so it has to pass.
    tokio::time::sleep(OUTAGE.saturating_sub(began.elapsed())).await;
    let health = system.get("/api/health").await.body;
    assert_eq!((&health["status"], &health["redis"]["ok"]), (&json!("degraded"), &json!(true)), "{health}");
    assert_eq!(system.get("/api/health/ready").await.status, 503);
    for id in &ids {
        let job = system.job(id).await;
        assert!(["scheduled", "running", "ready"].contains(&job["state"].as_str().unwrap()), "{job}");
        assert_eq!(job["attempt"], 1, "{job}");
    }

    mongo.restart();
    for job in system.wait_jobs(&ids).await {
        assert_eq!(
            (&job["state"], &job["attempt"], &job["crashes"]),
            (&json!("succeeded"), &json!(1), &json!(0)),
            "{job}"
        );
        let (last, before) = attempts(&job).split_last().unwrap();
        assert!(before.len() >= 2 && last["outcome"] == "succeeded" && last["number"] == 1, "{job}");
        for attempt in before {
            assert_eq!((&attempt["outcome"], &attempt["number"]), (&json!("snoozed"), &json!(1)), "{job}");
            assert_eq!(attempt["error"]["code"], "store_unavailable", "{job}");
        }
    }
    assert_eq!(mail.messages().len(), 1, "the mail was sent once, and only its result was stored later");
    assert_eq!(system.pids(), pids);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_large_result_cannot_be_shown_while_mongodb_is_away() {
    let mongo = MongoServer::start();
    let system = System::start(Options { mongo_url: Some(mongo.url()), ..Options::default() }.workers(1)).await;
    let id = system.post_job("content", long_product()).await;
    let result = system.wait_job(&id).await["result"].clone();
    assert!(result["title"].is_string(), "{result}");
    mongo.stop();
    let answer = system.get(&format!("/api/jobs/{id}")).await;
    answer.assert_problem(503, "store-unavailable");
    assert!(!answer.header("retry-after").is_empty());
    mongo.restart();
    wait_until("the result is shown again", PATIENCE, async || {
        system.get(&format!("/api/jobs/{id}")).await.body["result"] == result
    })
    .await;
}
