//! The history of jobs on a real MongoDB.

#![expect(clippy::unwrap_used, reason = "clippy does not count plain functions here as test code")]

use mongodb::{
    Client,
    bson::{Bson, Document, doc},
};
use serde_json::{Value, json};
use servers::MongoServer;
use store::{Moment, PastAttempt, PastError, PastJob, PastProgress, PastQuery, Store, words};

const START_MS: u64 = 1_760_000_000_000;

/// A database of its own, and its name; it is dropped with the name.
async fn store() -> (Store, servers::MongoDatabase) {
    let name = servers::MongoDatabase::new();
    let store = Store::open(servers::mongo(), &name).await.expect("the URL is good");
    store.prepare(&[]).await.expect("the indexes can be made");
    (store, name)
}

async fn collection(database: &str) -> mongodb::Collection<Document> {
    Client::with_uri_str(servers::mongo()).await.expect("the URL is good").database(database).collection("jobs")
}

/// The `n`th job: created and finished `n` seconds after the start.
fn job(n: u64) -> PastJob {
    let at = Moment::from_ms(START_MS + n * 1000);
    let ms = START_MS + n * 1000;
    PastJob {
        id: format!("{:08x}-{:04x}-7001-8000-{n:012x}", ms >> 16, ms & 0xffff),
        kind: "content".to_owned(),
        queue: "content".to_owned(),
        tenant: "acme".to_owned(),
        state: "succeeded".to_owned(),
        priority: "normal".to_owned(),
        payload: json!({ "name": "Fußmatte", "n": n }),
        metadata: json!({ "order": "A-7" }),
        payload_text: None,
        metadata_text: None,
        unique_key: None,
        created_at: at,
        run_at: at,
        started_at: Some(at),
        finished_at: at,
        expires_at: None,
        attempt: 1,
        max_attempts: 5,
        crashes: 0,
        timeout_s: 120,
        attempts: Vec::new(),
        snoozes: None,
        provider: Some("mock".to_owned()),
        degraded: false,
        degraded_reason: None,
        stored_in: Some("contents".to_owned()),
        progress: Some(PastProgress { percent: 100, message: "stored".to_owned() }),
    }
}

fn failed(n: u64, message: &str) -> PastJob {
    let error =
        PastError { code: "rate_limited".to_owned(), message: message.to_owned(), fingerprint: "9f2c".to_owned() };
    let attempt = PastAttempt {
        number: 1,
        worker: "host-1/7".to_owned(),
        started_at: Moment::from_ms(START_MS),
        finished_at: Some(Moment::from_ms(START_MS + 5)),
        outcome: Some("dead".to_owned()),
        error: Some(error),
    };
    PastJob { state: "dead".to_owned(), attempts: vec![attempt], ..job(n) }
}

/// As the recorder does it: 500 at a time, so that no call comes near its time limit on a busy machine.
async fn record(store: &Store, jobs: Vec<PastJob>) {
    for jobs in jobs.chunks(500) {
        assert_eq!(store.record_jobs(jobs.to_vec()).await.unwrap(), []);
    }
}

/// All pages of a query.
async fn all(store: &Store, query: &PastQuery, limit: usize) -> Vec<String> {
    let mut query = query.clone();
    let mut ids = Vec::new();
    loop {
        let page = store.past_jobs(&query, limit).await.unwrap();
        assert!(page.jobs.len() <= limit);
        ids.extend(page.jobs.into_iter().map(|job| job.id));
        query.after = page.next;
        if query.after.is_none() {
            return ids;
        }
    }
}

#[tokio::test]
async fn a_job_is_read_back_as_it_was_recorded() {
    let (store, _database) = store().await;
    let odd = PastJob { payload: json!({ "$set": u64::MAX }), metadata: json!({}), ..failed(2, "openai: 429") };
    record(&store, vec![job(1), odd.clone()]).await;
    assert_eq!(store.past_job(&job(1).id).await.unwrap(), Some(job(1)));
    assert_eq!(store.past_job(&odd.id).await.unwrap(), Some(odd));
    assert_eq!(store.past_job("another").await.unwrap(), None);
}

#[tokio::test]
async fn numbers_are_kept_to_the_last_digit() {
    let (store, _database) = store().await;
    let text = |text: &str| Some(text.to_owned());
    let exact = PastJob {
        payload: json!({ "n": 1.1 }),
        payload_text: text(r#"{"n":1.10}"#),
        metadata: json!({ "n": f64::MAX }),
        metadata_text: text(r#"{"n":1e400}"#),
        ..job(1)
    };
    record(&store, vec![exact.clone()]).await;
    // A value cannot hold what the second text says.
    let expected = PastJob { metadata: Value::Null, ..exact };
    assert_eq!(store.past_job(&job(1).id).await.unwrap(), Some(expected));
}

#[tokio::test]
async fn a_payload_over_64_kb_is_left_out() {
    let (store, _database) = store().await;
    let large = PastJob { payload: json!("x".repeat(65 << 10)), ..job(1) };
    record(&store, vec![large.clone()]).await;
    let expected = PastJob { payload: Value::Null, ..large };
    assert_eq!(store.past_job(&expected.id).await.unwrap(), Some(expected));
}

#[tokio::test]
async fn recording_again_changes_nothing_and_an_older_end_never_replaces_a_newer_one() {
    let (store, database) = store().await;
    let first = failed(1, "openai: 429");
    let second = PastJob { finished_at: Moment::from_ms(START_MS + 60_000), ..job(1) };
    for (jobs, expected) in [
        (vec![first.clone()], &first),
        (vec![first.clone()], &first),
        (vec![second.clone()], &second),
        (vec![first.clone(), job(2)], &second),
        (vec![first.clone(), second.clone(), first.clone()], &second),
    ] {
        record(&store, jobs).await;
        assert_eq!(store.past_job(&first.id).await.unwrap().as_ref(), Some(expected));
    }
    assert_eq!(collection(&database).await.count_documents(doc! {}).await.unwrap(), 2);
}

#[tokio::test]
async fn more_than_one_command_can_hold_is_recorded() {
    let (store, _database) = store().await;
    let jobs: Vec<PastJob> = (0..200).map(|n| PastJob { payload: json!("x".repeat(60 << 10)), ..job(n) }).collect();
    record(&store, jobs).await;
    assert_eq!(all(&store, &PastQuery::default(), 150).await.len(), 200);
}

#[tokio::test]
async fn lists_are_filtered_and_complete_and_begin_with_the_newest() {
    let (store, _database) = store().await;
    let mut jobs = Vec::new();
    for n in 0..60 {
        let tenant = if n % 2 == 0 { "acme" } else { "bolt" };
        let kind = if n % 3 == 0 { "email" } else { "content" };
        let state = if n % 5 == 0 { "cancelled" } else { "succeeded" };
        jobs.push(PastJob { tenant: tenant.into(), kind: kind.into(), state: state.into(), ..job(n) });
    }
    record(&store, jobs.clone()).await;
    jobs.reverse();
    let expect =
        |is: &dyn Fn(&PastJob) -> bool| jobs.iter().filter(|job| is(job)).map(|job| job.id.clone()).collect::<Vec<_>>();
    let every = PastQuery::default();
    assert_eq!(all(&store, &every, 7).await, expect(&|_| true));
    let kinds = || vec!["content".to_owned(), "email".to_owned()];
    let of_tenant = PastQuery { tenant: Some("bolt".to_owned()), kinds: kinds(), ..every.clone() };
    assert_eq!(all(&store, &of_tenant, 7).await, expect(&|job| job.tenant == "bolt"));
    let of_state = PastQuery { kinds: vec!["email".to_owned()], states: vec!["cancelled".to_owned()], ..every.clone() };
    assert_eq!(all(&store, &of_state, 1).await, expect(&|job| job.kind == "email" && job.state == "cancelled"));
    let (from_ms, to_ms) = (START_MS + 10_000, START_MS + 20_000);
    let of_time = PastQuery { created_from_ms: Some(from_ms), created_to_ms: Some(to_ms), ..every };
    assert_eq!(all(&store, &of_time, 3).await, expect(&|job| (from_ms..=to_ms).contains(&job.created_at.ms())));
}

#[tokio::test]
async fn jobs_are_found_by_unique_key_and_by_words_of_their_errors() {
    let (store, _database) = store().await;
    let keyed = PastJob { unique_key: Some("order 7".to_owned()), ..job(1) };
    let (a, b) = (failed(2, "openai: 429 \"Too many\""), failed(3, "fal: 429 too slow"));
    record(&store, vec![keyed.clone(), a.clone(), b.clone(), job(4)]).await;
    let (tenant, unique_key) = (Some("acme".to_owned()), Some("order 7".to_owned()));
    let by_key = PastQuery { tenant, unique_key, ..PastQuery::default() };
    assert_eq!(all(&store, &by_key, 10).await, [keyed.id]);
    for (text, expected) in [
        ("429", vec![&b.id, &a.id]),
        ("OpenAI 429", vec![&a.id]),
        ("too Rate_Limited", vec![&b.id, &a.id]),
        ("openai slow", vec![]),
    ] {
        let query = PastQuery { words: words(text), tenant: Some("acme".to_owned()), ..PastQuery::default() };
        assert_eq!(all(&store, &query, 1).await.iter().collect::<Vec<_>>(), expected, "{text}");
    }
}

/// The numbers of keys and documents that the server looked at for a page.
async fn cost(database: &str, filter: Document) -> (i64, i64) {
    let client = Client::with_uri_str(servers::mongo()).await.unwrap();
    let find = doc! { "find": "jobs", "filter": filter, "sort": { "_id": -1 }, "limit": 10 };
    let explain = doc! { "explain": find, "verbosity": "executionStats" };
    let answer = client.database(database).run_command(explain).await.unwrap();
    let stats = answer.get_document("executionStats").unwrap();
    let number = |name: &str| match stats.get(name) {
        Some(Bson::Int32(n)) => i64::from(*n),
        Some(Bson::Int64(n)) => *n,
        other => panic!("{name}: {other:?}"),
    };
    (number("totalKeysExamined"), number("totalDocsExamined"))
}

#[tokio::test]
async fn no_page_scans() {
    let (store, database) = store().await;
    let mut jobs = Vec::new();
    for n in 0..5_000 {
        let rare = n % 1_000 == 0;
        let mut job = if n % 10 == 0 { failed(n, "openai: 429") } else { job(n) };
        job.tenant = if rare { "rare" } else { "common" }.to_owned();
        job.kind = if n % 500 == 0 { "email" } else { "content" }.to_owned();
        job.unique_key = rare.then(|| format!("order {n}"));
        jobs.push(job);
    }
    record(&store, jobs).await;
    let kinds =
        doc! { "$in": ["content", "email", "image", "scrape", "publication", "payment", "backup", "maintenance"] };
    let states = doc! { "$in": ["succeeded", "dead", "cancelled", "expired"] };
    let middle = job(2_500).id;
    for filter in [
        doc! { "kind": kinds.clone(), "state": states.clone() },
        doc! { "kind": kinds.clone(), "state": states.clone(), "_id": { "$lt": &middle } },
        doc! { "tenant": "rare", "kind": kinds.clone(), "state": states.clone() },
        doc! { "tenant": "common", "kind": "email", "state": states.clone(), "_id": { "$lt": &middle } },
        doc! { "tenant": "common", "kind": kinds.clone(), "state": "expired" },
        doc! { "kind": kinds, "state": "dead", "_id": { "$lt": &middle } },
        doc! { "tenant": "rare", "unique_key": "order 3000" },
        doc! { "words": "429", "_id": { "$lt": &middle } },
        doc! { "tenant": "rare", "words": "429" },
    ] {
        let (n_keys, n_documents) = cost(&database, filter.clone()).await;
        assert!(n_keys <= 100 && n_documents <= 20, "{n_keys} keys and {n_documents} documents for {filter}");
    }
}

#[tokio::test]
async fn history_is_forgotten_90_days_after_the_end() {
    let (store, database) = store().await;
    record(&store, vec![job(1)]).await;
    store.prepare(&[]).await.unwrap();
    let answer = Client::with_uri_str(servers::mongo()).await.unwrap().database(&database);
    let answer = answer.run_command(doc! { "listIndexes": "jobs" }).await.unwrap();
    let indexes = answer.get_document("cursor").unwrap().get_array("firstBatch").unwrap();
    let kept = indexes
        .iter()
        .filter_map(Bson::as_document)
        .find(|index| index.get_str("name").is_ok_and(|name| name == "kept"))
        .unwrap();
    assert_eq!(kept.get_document("key").unwrap(), &doc! { "finished_at": 1 });
    assert_eq!(kept.get("expireAfterSeconds").and_then(Bson::as_i32), Some(90 * 24 * 3600));
    let stored = collection(&database).await.find_one(doc! { "_id": job(1).id }).await.unwrap().unwrap();
    assert!(stored.get_datetime("finished_at").is_ok(), "only dates expire");
}

#[tokio::test]
async fn what_could_not_be_recorded_while_mongodb_was_away_is_recorded_when_it_is_back() {
    let server = MongoServer::start();
    let store = Store::open(&server.url(), &servers::prefix()).await.unwrap();
    store.prepare(&[]).await.unwrap();
    server.stop();
    let error = store.record_jobs(vec![job(1)]).await.unwrap_err();
    assert!(error.is_unavailable(), "{error:?}");
    server.restart();
    let patience = std::time::Duration::from_secs(20);
    servers::wait_until("the job is recorded", patience, async || store.record_jobs(vec![job(1)]).await.is_ok()).await;
    assert_eq!(store.past_job(&job(1).id).await.unwrap(), Some(job(1)));
}

#[tokio::test]
async fn results_of_many_jobs_are_read_at_once() {
    let (store, _database) = store().await;
    for id in ["a", "b"] {
        let result = store::NewResult {
            job_id: id.to_owned(),
            tenant: "acme".to_owned(),
            kind: "content".to_owned(),
            product_id: None,
            provider: None,
            degraded: false,
            degraded_reason: None,
            payload: None,
            result: json!({ "of": id }),
        };
        store.put_result("contents", &result).await.unwrap();
    }
    let results = store.results("contents", &["a".to_owned(), "b".to_owned(), "c".to_owned()]).await.unwrap();
    assert_eq!((results.len(), &results["a"], &results["b"]), (2, &json!({ "of": "a" }), &json!({ "of": "b" })));
}
