//! Product texts in the whole system: equal requests, the table of models, and what it all cost.

use std::{collections::BTreeSet, fs};

use producer::Scope;
use reqwest::Method;
use serde_json::{Value, json};
use servers::wait_until;
use tests::{Answer, Gate, Options, PATIENCE, System, standins::openai::OpenAi};

use crate::{MODEL, MODEL_KEY, n_asked, n_snoozes, product, real_texts, replicas::counter, slow_model};

const N_EQUAL: usize = 100;

fn n_cached(jobs: &[Value]) -> usize {
    jobs.iter().filter(|job| job["result"]["cached"] == true).count()
}

/// How often a worker has put off jobs that write texts.
async fn n_put_off(system: &System, worker: usize) -> f64 {
    let metrics = system.client().get(format!("{}/metrics", system.worker_admin_url(worker)));
    let metrics = Answer::to(metrics).await.unwrap().body;
    counter(metrics.as_str().unwrap(), "queue_attempts_total", &[r#"queue="content""#, r#"state="scheduled""#])
}

#[track_caller]
fn assert_all_succeeded(jobs: &[Value]) {
    for job in jobs {
        assert_eq!((&job["state"], &job["attempt"]), (&json!("succeeded"), &json!(1)), "{job}");
        assert_eq!((&job["provider"], &job["degraded"]), (&json!("openai"), &json!(false)), "{job}");
    }
}

/// The usage of a tenant: calls, tokens and cost.
async fn usage(system: &System, tenant: &str) -> (Value, Value, Value) {
    let total = system.get(&format!("/api/usage?tenant={tenant}")).await.body["total"].clone();
    (total["calls"].clone(), total["tokens"]["total"].clone(), total["cost"]["amount"].clone())
}

#[tokio::test(flavor = "multi_thread")]
async fn equal_requests_of_a_tenant_are_asked_once_over_all_workers() {
    let gate = Gate::closed();
    let model = slow_model(&gate).await;
    let system = System::start(real_texts(Options::default(), &model, 16)).await;
    let ids = system.post_jobs("content", (0..N_EQUAL).map(|_| product(1))).await;
    for number in 0..2 {
        wait_until("both workers have put off jobs", PATIENCE, async || n_put_off(&system, number).await > 0.0).await;
    }
    gate.open();
    let jobs = system.wait_jobs(&ids).await;
    assert_all_succeeded(&jobs);
    assert_eq!((model.n_requests(), n_cached(&jobs)), (1, N_EQUAL - 1));
    let texts: BTreeSet<String> = jobs.iter().map(|job| job["result"]["long_description"].to_string()).collect();
    assert_eq!(texts.len(), 1);
    let cached = jobs.iter().find(|job| job["result"]["cached"] == true).unwrap();
    assert_eq!((&cached["result"]["tokens"]["total"], &cached["result"]["cost"]["amount"]), (&json!(0), &json!("0")));

    // Another tenant has its own, and who wants a fresh text gets one, which the next ones find.
    let other = json!({ "kind": "content", "payload": product(1), "options": { "tenant": "other" } });
    let other = system.post("/api/jobs", &other).await.body["id"].as_str().unwrap().to_owned();
    let mut fresh = product(1);
    fresh["fresh"] = json!(true);
    let fresh = system.post_job("content", fresh).await;
    let jobs = system.wait_jobs(&[other, fresh]).await;
    assert_all_succeeded(&jobs);
    assert_eq!((model.n_requests(), n_cached(&jobs)), (3, 0));
    let again = system.post_job("content", product(1)).await;
    assert_eq!((n_cached(&[system.wait_job(&again).await]), model.n_requests()), (1, 3));

    assert_eq!(usage(&system, "default").await, (json!(2), json!(2_000), json!("0.00068")));
    assert_eq!(usage(&system, "other").await, (json!(1), json!(1_000), json!("0.00034")));
    let request = system.client().get(format!("{}/api/usage?tenant=other", system.url()));
    let reader = Answer::to(request.bearer_auth(system.token(&[Scope::JobsRead]))).await.unwrap();
    assert_eq!(reader.status, 403, "{}", reader.body);
    assert_eq!(system.get("/api/usage?from=2026-02-30").await.status, 422);
    let shown = system.ecomctl(&["usage", "--tenant", "other"]).await;
    let shown = String::from_utf8(shown.stdout).unwrap();
    assert!(shown.contains("other") && shown.contains(MODEL) && shown.contains("0.00034 USD"), "{shown}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_writers_answer_is_asked_for_again_and_found_by_those_who_wait() {
    let gate = Gate::closed();
    let model = slow_model(&gate).await;
    let system = System::start(real_texts(Options::default(), &model, 4)).await;
    let writer = system.post_job("content", product(1)).await;
    wait_until("the model is asked", PATIENCE, async || model.n_requests() == 1).await;
    let waiting = system.post_job("content", product(1)).await;
    wait_until("an equal request is put off", PATIENCE, async || n_snoozes(&system.job(&waiting).await) > 0).await;
    let of = system.job(&writer).await["attempts"][0]["worker"].as_str().unwrap().to_owned();
    let killed = (0..2).find(|number| of.ends_with(&format!("/{}", system.worker_pid(*number)))).unwrap();
    system.kill_worker(killed);
    gate.open();
    let jobs = system.wait_jobs(&[writer, waiting]).await;
    assert_all_succeeded(&jobs);
    assert_eq!(jobs[0]["crashes"], 1);
    assert_eq!((n_asked(&model, 1), n_cached(&jobs), n_cached(&jobs[1..])), (2, 1, 1));
    assert_eq!(usage(&system, "default").await.0, 1, "the first answer never came");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_changed_table_of_models_holds_without_a_restart_and_a_broken_one_changes_nothing() {
    const OTHER: &str = "gpt-6.1-terra";
    let model = OpenAi::on(0, Gate::opened(), MODEL_KEY, &[MODEL, OTHER]).await.unwrap();
    let directory = servers::temp_dir();
    let path = directory.path().join("routes.toml");
    let table = |model: &str| format!("[[routes]]\nname = \"all\"\nmodels = [\"{model}\"]\n");
    fs::write(&path, table(MODEL)).unwrap();
    let options = real_texts(Options::default().workers(1), &model, 4).env("OPENAI_MODEL", "");
    let system = System::start(options.env("CONTENT_ROUTES", path.display().to_string())).await;
    let n = std::cell::Cell::new(0);
    let writes = async || {
        n.set(n.get() + 1);
        let id = system.post_job("content", product(n.get())).await;
        let job = system.wait_job(&id).await;
        assert_eq!((&job["state"], &job["result"]["cost"]), (&json!("succeeded"), &Value::Null), "{job}");
        job["result"]["model"].as_str().unwrap().to_owned()
    };
    assert_eq!(writes().await, MODEL);
    fs::write(&path, table(OTHER)).unwrap();
    wait_until("the other model writes", PATIENCE, async || writes().await == OTHER).await;
    fs::write(&path, "[[routes]\n").unwrap();
    let complaint = "CONTENT_ROUTES cannot be used";
    wait_until("the broken table is told", PATIENCE, async || {
        assert_eq!(writes().await, OTHER);
        system.worker_log(0).contains(complaint)
    })
    .await;
    fs::write(&path, table(MODEL)).unwrap();
    wait_until("the mended table holds", PATIENCE, async || writes().await == MODEL).await;
    assert_eq!(system.worker_log(0).matches(complaint).count(), 1, "it is told once");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_end_point_writes_when_the_account_of_the_first_is_unusable() {
    let first = OpenAi::start("sk-another", MODEL).await.unwrap();
    let second = OpenAi::start("sk-second", "llama").await.unwrap();
    let options = real_texts(Options::default().workers(1), &first, 4)
        .env("OPENAI_FALLBACK_BASE_URL", second.url())
        .env("OPENAI_FALLBACK_API_KEY", "sk-second")
        .env("OPENAI_FALLBACK_MODEL", "llama");
    let system = System::start(options).await;
    let id = system.post_job("content", product(1)).await;
    let job = system.wait_job(&id).await;
    assert_eq!((&job["state"], &job["provider"]), (&json!("succeeded"), &json!("openai-second")), "{job}");
    assert_eq!((&job["result"]["model"], second.n_requests()), (&json!("llama"), 1));

    let mut dear = product(2);
    dear["max_cost"] = json!("0.0000001");
    let id = system.post_job("content", dear.clone()).await;
    let job = system.wait_job(&id).await;
    assert_eq!((&job["state"], &job["attempt"]), (&json!("dead"), &json!(1)), "{job}");
    let message = job["attempts"][0]["error"]["message"].as_str().unwrap();
    assert!(message.contains("max_cost of 0.0000001 USD is too small"), "{message}");
    dear["max_cost"] = json!("cheap");
    let refused = system.request(Method::POST, "/api/jobs").json(&json!({ "kind": "content", "payload": dear }));
    let refused = Answer::to(refused).await.unwrap();
    assert_eq!((refused.status, &refused.body["errors"][0]["pointer"]), (422, &json!("/payload/max_cost")));
}
