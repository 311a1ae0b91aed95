//! The main job from the request to the answer.

use queue::{Client, JobId};
use serde_json::{Value, json};
use store::Store;
use tests::{Options, System};

use crate::{assert_ran_once, product};

/// A product of which there is much to say: its texts are over 4 KB.
pub(crate) fn long_product() -> Value {
    let mut product = product(0);
    product["features"] = (0..20).map(|n| format!("{n} {}", "long ".repeat(39).trim_end())).collect();
    product
}

#[tokio::test(flavor = "multi_thread")]
async fn a_content_job_is_accepted_run_stored_and_answered() {
    let system = System::start(Options::default()).await;
    let answer = system.post("/api/jobs", &json!({ "kind": "content", "payload": product(1) })).await;
    assert_eq!(answer.status, 202, "{}", answer.body);
    let location = answer.header("location");
    assert_eq!(location, answer.body["links"]["self"]);
    let id = answer.body["id"].as_str().unwrap();
    assert_eq!(location, format!("/api/jobs/{id}"));

    let job = system.get(&format!("{location}?wait=30")).await.body;
    assert_ran_once(&job);
    assert_eq!(
        (&job["kind"], &job["queue"], &job["tenant"]),
        (&json!("content"), &json!("content"), &json!("default"))
    );
    assert_eq!((&job["priority"], &job["durability"]), (&json!("normal"), &json!("fast")));
    assert_eq!((&job["max_attempts"], &job["timeout_s"]), (&json!(5), &json!(120)));
    assert_eq!((&job["provider"], &job["degraded"]), (&json!("mock"), &json!(false)));
    for field in ["unique_key", "expires_at", "degraded_reason", "estimated_start_at"] {
        assert_eq!(job.get(field), Some(&Value::Null), "{field} is there and null: {job}");
    }
    assert_eq!(job["progress"], json!({ "percent": 100, "message": "stored" }));
    assert_eq!(job["links"]["events"], format!("{location}/events"));
    let times = ["created_at", "run_at", "started_at", "finished_at"].map(|field| crate::time(&job[field]));
    assert!(times[0] <= times[1] && times[2] <= times[3], "{job}");

    let result = &job["result"];
    for field in
        ["title", "short_description", "long_description", "seo_title", "meta_description", "language", "model"]
    {
        assert!(result[field].as_str().is_some_and(|text| !text.is_empty()), "{field}: {result}");
    }
    assert!(result["seo_title"].as_str().unwrap().chars().count() <= 60);
    assert!(result["meta_description"].as_str().unwrap().chars().count() <= 160);
    for field in ["bullets", "keywords", "faq"] {
        assert!(!result[field].as_array().unwrap().is_empty(), "{field}: {result}");
    }
    assert!(result["tokens"]["total"].is_number() && result.get("cost").is_some(), "{result}");

    let store = Store::open(&system.mongo_url, &system.name).await.unwrap();
    assert_eq!(store.result("contents", id).await.unwrap().as_ref(), Some(result));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_result_over_4_kb_is_kept_in_mongodb_and_shown_all_the_same() {
    let system = System::start(Options::default().workers(1)).await;
    // The result of this one is small; it shows that the difference is the size.
    let ids = system.post_jobs("content", [long_product(), product(1)]).await;
    let jobs = system.wait_jobs(&ids).await;
    let redis = Client::new(
        &fleet::Redis::open_within(&system.redis_url, &system.name, servers::PATIENCE).unwrap(),
        Vec::new(),
    );
    let store = Store::open(&system.mongo_url, &system.name).await.unwrap();
    let mut sizes = Vec::new();
    for (id, job) in ids.iter().zip(&jobs) {
        assert_ran_once(job);
        let in_redis = redis.find(id.parse::<JobId>().unwrap()).await.unwrap().unwrap();
        let size = job["result"].to_string().len();
        let large = size > 4 * 1024;
        let kept = jobs::Kept::read(&in_redis.success.unwrap()).unwrap();
        assert_eq!((kept.result.is_null(), kept.stored_in.is_some()), (large, large), "{size} bytes");
        assert_eq!(store.result("contents", id).await.unwrap().as_ref(), Some(&job["result"]));
        sizes.push(size);
    }
    assert!(sizes[0] > 4 * 1024 && sizes[1] <= 4 * 1024, "{sizes:?}");
}
