//! Jobs that name a store which their tenant does not have.

use super::*;

const PRODUCT: &str = r#""product_id": "1", "sku": "S-1", "stock": 7"#;

fn publication(store: &str) -> Value {
    json!({ "kind": "publication", "payload": { "product_id": "1", "sku": "S-1", "stock": 7, "store": store } })
}

impl Answer {
    #[track_caller]
    fn of_unknown_store(&self, pointer: &str) {
        self.refused(422, "unknown-store");
        assert_eq!(self.body["errors"][0]["pointer"], pointer, "{}", self.body);
    }
}

#[tokio::test]
async fn a_job_for_a_store_that_its_tenant_does_not_have_is_refused_when_it_comes() {
    let world = World::real().await;
    let one = async |job: &Value| world.post("/api/jobs", None, JSON, job.to_string()).await;
    let product = json!({ "kind": "product", "payload": { "product_id": "1",
        "publication": { "product_id": "1", "sku": "S-1", "store": "main" } } });
    let batch = json!({ "kind": "publication-batch", "payload": { "store": "main", "batch": "b", "n": 1 } });
    let publish = json!({ "publication": { "sku": "S-1", "store": "main" } });
    let publish = async || world.post("/api/products/1/publish", None, JSON, publish.to_string()).await;
    let schedule = json!({ "cron": "@daily", "job": publication("main") });
    let schedule = async |tenant: &str, query: &str, scope| {
        let path = format!("/api/schedules/s{query}");
        world.send(Method::PUT, &path, tenant, &[scope], Some(&schedule)).await
    };
    let unknown = one(&publication("main")).await;
    unknown.of_unknown_store("/payload/store");
    assert_eq!(unknown.body["detail"], "there is no store \"main\"; PUT /api/stores/main adds it");
    one(&batch).await.of_unknown_store("/payload/store");
    one(&product).await.of_unknown_store("/payload/publication/store");
    publish().await.of_unknown_store("/publication/store");
    schedule("acme", "", Scope::SchedulesWrite).await.of_unknown_store("/job/payload/store");

    assert_eq!(world.put("main", &presta("https://shop.example")).await.status, 201);
    for answer in [one(&publication("main")).await, one(&batch).await, one(&product).await, publish().await] {
        assert_eq!(answer.status, 202, "{}", answer.body);
    }
    assert_eq!(schedule("acme", "", Scope::SchedulesWrite).await.status, 201);
    // It is the tenant of the job that must have it.
    schedule("bolt", "", Scope::SchedulesWrite).await.of_unknown_store("/job/payload/store");
    assert_eq!(schedule("bolt", "?tenant=acme", Scope::Admin).await.status, 200);
    let mut for_another = publication("main");
    for (tenant, status) in [("acme", 202), ("bolt", 422)] {
        for_another["options"] = json!({ "tenant": tenant });
        let answer = world.send(Method::POST, "/api/jobs", "bolt", &[Scope::Admin], Some(&for_another)).await;
        assert_eq!(answer.status, status, "{}", answer.body);
    }
    // What names no store, or the environment's, is not looked for.
    assert_eq!(one(&publication("default")).await.status, 202);
}

#[tokio::test]
async fn of_a_batch_only_the_jobs_for_unknown_stores_are_refused() {
    let world = World::real().await;
    assert_eq!(world.put("main", &presta("https://shop.example")).await.status, 201);
    let jobs = [publication("main"), publication("nowhere"), publication("default"), publication("gone")];
    let expected = json!([null, "unknown-store", null, "unknown-store"]);
    let slug = |line: &Value| line["problem"]["type"].as_str().map(|kind| kind.rsplit('/').next().unwrap().to_owned());
    for key in [None, Some("k")] {
        let as_json = world.post("/api/jobs/batch", key, JSON, json!({ "jobs": jobs }).to_string()).await;
        assert_eq!((&as_json.body["accepted"], &as_json.body["rejected"]), (&json!(2), &json!(2)), "{}", as_json.body);
        let lines = jobs.iter().map(|job| format!("{job}\n")).collect::<String>();
        let as_lines = world.post("/api/jobs/batch", key.map(|_| "other"), NDJSON, lines).await;
        for results in [as_json.body["results"].as_array().unwrap(), &as_lines.lines] {
            assert_eq!(json!(results.iter().map(slug).collect::<Vec<_>>()), expected, "{results:?}");
            assert_eq!(results[1]["problem"]["errors"][0]["pointer"], "/payload/store");
            assert!(results[1]["problem"]["request_id"].is_string(), "{results:?}");
        }
    }
}

#[tokio::test]
async fn what_was_taken_under_an_idempotency_key_is_answered_when_its_store_is_gone() {
    let world = World::real().await;
    assert_eq!(world.put("main", &presta("https://shop.example")).await.status, 201);
    let one = async || world.post("/api/jobs", Some("one"), JSON, publication("main").to_string()).await;
    let batch = json!({ "jobs": [publication("main"), publication("nowhere")] }).to_string();
    let many = async || world.post("/api/jobs/batch", Some("many"), JSON, batch.clone()).await;
    let (first, all) = (one().await, many().await);
    assert_eq!((first.status, all.status), (202, 200));
    assert_eq!(world.delete("main").await.status, 204);
    let again = one().await;
    assert_eq!((again.status, again.is_replayed, &again.body["id"]), (200, true, &first.body["id"]), "{}", again.body);
    let again = many().await;
    assert!(again.is_replayed, "{}", again.body);
    let results = |answer: &Answer| answer.body["results"].as_array().unwrap().clone();
    assert_eq!(results(&again)[0]["id"], results(&all)[0]["id"], "{}", again.body);
    assert!(results(&again)[1]["problem"].is_object(), "{}", again.body);
    world.post("/api/jobs", Some("new"), JSON, publication("main").to_string()).await.refused(422, "unknown-store");
}

#[tokio::test]
async fn in_mock_mode_each_name_will_do() {
    let world = World::new(Shops::default(), Some(KEYS)).await;
    let answer = world.post("/api/jobs", None, JSON, publication("main").to_string()).await;
    assert_eq!(answer.status, 202, "{}", answer.body);
    let publish = format!("{{ \"publication\": {{ {PRODUCT}, \"store\": \"main\" }} }}");
    assert_eq!(world.post("/api/products/1/publish", None, JSON, publish).await.status, 202);
}

#[tokio::test]
async fn while_mongodb_is_away_jobs_for_stores_are_taken() {
    let nowhere = store::Store::open("mongodb://127.0.0.1:1", "test").await.unwrap();
    for away in [None, Some(nowhere)] {
        let (database, prefix) = (MongoDatabase::new(), servers::prefix());
        let mongo = store::Store::open(servers::mongo(), &database).await.unwrap();
        let real = Shops { real: true, ..Shops::default() };
        let world = World::of(real, Some(KEYS), &prefix, away, (mongo, database));
        // More than are read at a time.
        let jobs = vec![publication("main"); 600];
        let answer = world.post("/api/jobs/batch", None, JSON, json!({ "jobs": jobs }).to_string()).await;
        assert_eq!(answer.body["accepted"], 600, "{}", answer.body["results"][0]);
        assert_eq!(world.post("/api/jobs", None, JSON, publication("main").to_string()).await.status, 202);
    }
}

#[tokio::test]
async fn a_request_asks_once_for_a_store() {
    let world = World::real().await;
    assert_eq!(world.put("main", &presta("https://shop.example")).await.status, 201);
    let asked = |name: &str| crate::intake::AskedJob {
        job: queue::NewJob { tenant: "acme".to_owned(), ..queue::NewJob::new("publication", "{}") },
        store: Some(jobs::NamedStore { pointer: "/store", name: name.to_owned() }),
    };
    let (main, other) = (asked("main"), asked("other"));
    let mut known = crate::known::Known::default();
    known.look(&world.app, [&main, &other].into_iter()).await;
    assert_eq!(world.delete("main").await.status, 204);
    assert_eq!(world.put("other", &presta("https://other.example")).await.status, 201);
    known.look(&world.app, [&main, &other].into_iter()).await;
    assert!(known.refusal(&main).is_none() && known.refusal(&other).is_some(), "the answer was kept");

    let (database, prefix) = (MongoDatabase::new(), servers::prefix());
    let real = Shops { real: true, ..Shops::default() };
    let without = World::of(real, Some(KEYS), &prefix, None, (world.mongo.clone(), database));
    let mut known = crate::known::Known::default();
    known.look(&without.app, std::iter::once(&main)).await;
    known.look(&world.app, std::iter::once(&main)).await;
    assert!(known.refusal(&main).is_none(), "nor is MongoDB waited for twice");
}
