//! MongoDB goes away while jobs run, and comes back.

use std::time::{Duration, Instant};

use serde_json::json;
use servers::{MongoServer, SmtpServer, wait_until};
use tests::{Options, PATIENCE, System};

use crate::{main_job::long_product, n_snoozes, outcomes, product, time};

const N_TEXTS: usize = 20;
/// How long MongoDB is away.
const OUTAGE: Duration = Duration::from_secs(60);

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
    let mut remembered = Vec::new();
    for job in system.wait_jobs(&ids).await {
        assert_eq!(
            (&job["state"], &job["attempt"], &job["crashes"]),
            (&json!("succeeded"), &json!(1), &json!(0)),
            "{job}"
        );
        assert_eq!((outcomes(&job), n_snoozes(&job) >= 2), (vec!["succeeded"], true), "{job}");
        assert_eq!(job["snoozes"]["last_code"], "store_unavailable", "{job}");
        assert!(time(&job["snoozes"]["last_at"]) > time(&job["created_at"]), "{job}");
        remembered.push((job["id"].as_str().unwrap().to_owned(), job["snoozes"].clone()));
    }
    // Also when Redis has forgotten the job.
    let store = store::Store::open(&mongo.url(), &system.name).await.unwrap();
    for (id, snoozes) in remembered {
        let past = async || store.past_job(&id).await.unwrap();
        wait_until("the history has it", PATIENCE, async || past().await.is_some()).await;
        let past = past().await.unwrap().snoozes.unwrap();
        assert_eq!(
            (json!(past.count), json!(past.last_code)),
            (snoozes["count"].clone(), snoozes["last_code"].clone())
        );
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
