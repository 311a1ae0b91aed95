//! Lists of jobs, and what is known of a job after Redis has forgotten it.

use std::{collections::HashSet, time::Duration};

use mongodb::bson::{self, Document, doc};
use producer::Scope;
use queue::{Client, Failure, NewJob, Outcome, Session, Timing, Verdict};
use redis::AsyncCommands;
use reqwest::Method;
use serde_json::{Value, json};
use servers::{MongoServer, wait_until};
use tests::{Answer, Options, PATIENCE, System};

use crate::{main_job::long_product, product};

/// A page of a list, without the jobs of the timetable: they come and go with the clock.
async fn list(system: &System, query: &str) -> Value {
    let mut answer = system.get(&format!("/api/jobs?{query}")).await;
    assert_eq!(answer.status, 200, "{}", answer.body);
    answer.body["items"].as_array_mut().unwrap().retain(|job| job["kind"] != "maintenance");
    answer.body
}

fn items(page: &Value) -> &[Value] {
    page["items"].as_array().unwrap()
}

/// Those that the test has pushed: each minute the timetable pushes one of its own.
fn ours(page: &Value) -> impl Iterator<Item = &Value> {
    items(page).iter().filter(|job| job["kind"] != "maintenance")
}

fn ids(page: &Value) -> Vec<String> {
    ours(page).map(|job| job["id"].as_str().unwrap().to_owned()).collect()
}

/// All pages of a list, one after the other.
async fn all_pages(system: &System, query: &str) -> Vec<Value> {
    let (mut pages, mut cursor) = (Vec::new(), String::new());
    loop {
        let page = list(system, &format!("{query}{cursor}")).await;
        let next = page["next_cursor"].as_str().map(|next| format!("&cursor={next}"));
        pages.push(page);
        match next {
            Some(next) => cursor = next,
            None => return pages,
        }
    }
}

/// Waits until a list has so many jobs; the page.
async fn wait_listed(system: &System, query: &str, n: usize) -> Value {
    let mut page = Value::Null;
    wait_until(&format!("{n} jobs are listed for {query}"), PATIENCE, async || {
        page = list(system, query).await;
        items(&page).len() == n
    })
    .await;
    page
}

/// What only handlers could make sense of, and these cannot: it dies at its first attempt, without MongoDB.
async fn push_poison(system: &System) -> String {
    let redis = fleet::Redis::open_within(&system.redis_url, &system.name, servers::PATIENCE).unwrap();
    Client::new(&redis, Vec::new()).push(NewJob::new("content", r#"{"flavour":"bitter"}"#)).await.unwrap().to_string()
}

/// Has Redis forget all jobs of a queue.
async fn forget(system: &System, queue: &str) {
    let mut redis = crate::redis(system).await;
    let keys: Vec<Vec<u8>> = redis.keys(format!("{}:{{{queue}.0}}:*", system.name)).await.unwrap();
    let _: u64 = redis.unlink(keys).await.unwrap();
}

async fn get_as(system: &System, token: &str, path: &str) -> Answer {
    let request = system.client().get(format!("{}{path}", system.url())).bearer_auth(token);
    Answer::to(request).await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn finished_jobs_are_listed_and_stay_when_redis_has_forgotten_them() {
    let system = System::start(Options::default()).await;
    let mut pushed = system.post_jobs("content", (0..5).map(product).chain([long_product()])).await;
    let jobs = system.wait_jobs(&pushed).await;
    let page = wait_listed(&system, "state=succeeded&kind=content", 6).await;
    assert_eq!(page["next_cursor"], Value::Null);
    for job in &jobs {
        let listed = items(&page).iter().find(|listed| listed["id"] == job["id"]).unwrap();
        assert_eq!(listed, job, "the history says what the queue said");
    }
    let dead = push_poison(&system).await;
    let dead_job = system.wait_job(&dead).await;
    wait_listed(&system, "q=flavour", 1).await;
    // Dead jobs come from the queue, and are not listed again from the history.
    let everything = ids(&list(&system, "").await);
    assert_eq!((everything.len(), &everything[0]), (7, &dead));

    forget(&system, "content").await;
    for job in jobs.iter().chain([&dead_job]) {
        let id = job["id"].as_str().unwrap();
        assert_eq!(&system.job(id).await, job);
        assert_eq!(system.get(&format!("/api/jobs/{id}?wait=60")).await.body, *job, "it has ended, so nobody waits");
        for verb in ["cancel", "retry", "run-now"] {
            system.post(&format!("/api/jobs/{id}/{verb}"), &json!({})).await.assert_problem(409, "conflict");
        }
    }
    assert_eq!(ids(&list(&system, "state=dead").await), std::slice::from_ref(&dead));
    let mut listed = ids(&list(&system, "").await);
    pushed.push(dead);
    pushed.sort();
    listed.sort();
    assert_eq!(listed, pushed);
    let unknown = format!("{}{}", &pushed[0][..35], if pushed[0].ends_with('0') { '1' } else { '0' });
    system.get(&format!("/api/jobs/{unknown}")).await.assert_problem(404, "not-found");
    assert_eq!(ids(&list(&system, &format!("q={unknown}")).await), Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread")]
async fn mongodb_away_delays_history_and_loses_none_of_it() {
    let mongo = MongoServer::start();
    let options = Options { mongo_url: Some(mongo.url()), ..Options::default() };
    let system = System::start(options.workers(2)).await;
    let before = system.post_job("content", product(1)).await;
    system.wait_job(&before).await;
    wait_listed(&system, "state=succeeded", 1).await;

    mongo.stop();
    let mut ended = Vec::new();
    for n in 0..20 {
        let options = json!({ "delay_s": 3600, "metadata": { "n": n } });
        let job = json!({ "kind": "content", "payload": product(n), "options": options });
        let id = system.post("/api/jobs", &job).await.body["id"].as_str().unwrap().to_owned();
        assert_eq!(system.post(&format!("/api/jobs/{id}/cancel"), &json!({})).await.status, 200);
        ended.push(id);
        ended.push(push_poison(&system).await);
    }
    for id in &ended {
        assert!(tests::is_finished(&system.wait_job(id).await), "the queue goes on");
    }
    let scheduled = json!({ "kind": "content", "payload": product(99), "options": { "delay_s": 3600 } });
    let scheduled = system.post("/api/jobs", &scheduled).await.body["id"].as_str().unwrap().to_owned();
    system.get("/api/jobs?state=cancelled").await.assert_problem(503, "store-unavailable");
    // What Redis has is listed; whoever goes on to the history is told.
    let page = list(&system, "limit=200").await;
    assert_eq!((items(&page).len(), items(&page)[0]["id"].as_str()), (21, Some(scheduled.as_str())));
    let next = format!("/api/jobs?limit=200&cursor={}", page["next_cursor"].as_str().unwrap());
    system.get(&next).await.assert_problem(503, "store-unavailable");

    mongo.restart();
    wait_until("MongoDB is back", PATIENCE, async || system.get("/api/health/ready").await.status == 200).await;
    let cancelled = wait_listed(&system, "state=cancelled&limit=200", 20).await;
    let words = wait_listed(&system, "q=flavour&limit=200", 20).await;
    let listed: HashSet<String> = ids(&cancelled).into_iter().chain(ids(&words)).collect();
    assert_eq!(listed, ended.into_iter().collect());
    let order: Vec<_> = items(&cancelled).iter().map(|job| job["metadata"]["n"].as_u64().unwrap()).collect();
    assert_eq!(order, (0..20).rev().collect::<Vec<_>>(), "the newest first");
}

#[tokio::test(flavor = "multi_thread")]
async fn tenants_see_only_their_own_jobs() {
    let system = System::start(Options::default().workers(1)).await;
    let (mut waiting, mut finished) = (Vec::new(), Vec::new());
    for (n, tenant) in ["acme", "bolt", "acme", "bolt"].into_iter().enumerate() {
        for (delay_s, pushed) in [(0, &mut finished), (3600, &mut waiting)] {
            let options = json!({ "tenant": tenant, "delay_s": delay_s, "metadata": { "of": tenant } });
            let job = json!({ "kind": "content", "payload": product(n), "options": options });
            pushed.push(system.post("/api/jobs", &job).await.body["id"].as_str().unwrap().to_owned());
        }
    }
    system.wait_jobs(&finished).await;
    wait_listed(&system, "state=succeeded", 4).await;
    let hour = Duration::from_secs(3600);
    let token = producer::sign(&system.secret().into(), "tests", Some("acme"), &[Scope::JobsRead], hour).unwrap();
    for (state, n) in [("", 4), ("state=succeeded", 2), ("state=scheduled", 2), ("tenant=acme", 4)] {
        let answer = get_as(&system, &token, &format!("/api/jobs?{state}")).await;
        assert_eq!((answer.status, items(&answer.body).len()), (200, n), "{state}: {}", answer.body);
        assert!(items(&answer.body).iter().all(|job| job["tenant"] == "acme"), "{}", answer.body);
    }
    get_as(&system, &token, "/api/jobs?tenant=bolt").await.assert_problem(403, "forbidden");
    for (id, n) in [(&finished[0], 1), (&finished[1], 0), (&waiting[2], 1), (&waiting[3], 0)] {
        let answer = get_as(&system, &token, &format!("/api/jobs?q={id}")).await;
        assert_eq!((answer.status, items(&answer.body).len()), (200, n), "{}", answer.body);
    }
    forget(&system, "content").await;
    assert_eq!(get_as(&system, &token, &format!("/api/jobs/{}", finished[0])).await.status, 200);
    get_as(&system, &token, &format!("/api/jobs/{}", finished[1])).await.assert_problem(404, "not-found");
    assert_eq!(ids(&list(&system, "tenant=bolt").await).len(), 2);
    assert_eq!(ids(&list(&system, "").await).len(), 4);
    let writer = producer::sign(&system.secret().into(), "tests", None, &[Scope::JobsWrite], hour).unwrap();
    get_as(&system, &writer, "/api/jobs").await.assert_problem(403, "forbidden");
}

/// Claims the one job of `content`, and puts it off as a handler may.
async fn put_off(system: &System) {
    let redis = fleet::Redis::open(&system.redis_url, &system.name).unwrap();
    let session = Session::new(Client::new(&redis, Vec::new()), "host", 1, Timing::default());
    let job = session.claim("content", 1).await.unwrap().jobs.remove(0);
    let error = Failure::new("held", "the shop asks to wait");
    let snooze = Outcome::Snooze { error, after: Duration::from_secs(1), draft: None };
    let mut settlements = vec![session.verdict(&job, Verdict::Ran(snooze), 0).unwrap()];
    assert_eq!(session.settle(&mut settlements).await.unwrap(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_history_tells_how_often_a_job_was_put_off_also_where_an_older_release_wrote_it() {
    let mut system = System::start(Options::default().workers(0)).await;
    let id = system.post_job("content", product(1)).await;
    put_off(&system).await;
    system.start_worker().await;
    let job = system.wait_job(&id).await;
    assert_eq!((&job["snoozes"]["count"], &job["snoozes"]["last_code"]), (&json!(1), &json!("held")), "{job}");
    wait_listed(&system, "state=succeeded&kind=content", 1).await;
    forget(&system, "content").await;
    assert_eq!(system.job(&id).await, job);

    // Such a release counted a run that put the job off among the attempts.
    let jobs = mongodb::Client::with_uri_str(&system.mongo_url).await.unwrap();
    let jobs = jobs.database(&system.name).collection::<Document>("jobs");
    let at = bson::DateTime::from_millis(1_760_000_000_000);
    let snoozed = doc! { "number": 1, "worker": "host/1", "started_at": at, "finished_at": at, "outcome": "snoozed",
    "error": { "code": "away", "message": "redis is away", "fingerprint": "9f2c" } };
    let first = doc! { "$each": [snoozed], "$position": 0 };
    let update = doc! { "$unset": { "snoozes": "" }, "$push": { "attempts": first } };
    assert_eq!(jobs.update_one(doc! { "_id": &id }, update).await.unwrap().modified_count, 1);
    let old = system.job(&id).await;
    assert_eq!(old["attempts"], job["attempts"]);
    let snoozes = json!({ "count": 1, "last_code": "away", "last_at": "2025-10-09T08:53:20.000Z" });
    assert_eq!(old["snoozes"], snoozes);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_list_of_all_states_is_complete_in_pages_and_lists_nothing_twice() {
    let system = System::start(Options::default().workers(1)).await;
    let mut expected = system.post_jobs("content", (0..40).map(product)).await;
    system.wait_jobs(&expected).await;
    wait_listed(&system, "state=succeeded&limit=200", 40).await;
    assert_eq!(system.post("/api/queues/content/pause", &json!({})).await.status, 200);
    expected.extend(system.post_jobs("content", (40..80).map(product)).await);
    let email = json!({ "to": "zoe@customer.example", "subject": "Your lamp", "text": "It is ready." });
    for n in 0..10 {
        let options = json!({ "delay_s": 3600 + n, "unique_key": format!("mail {n}") });
        let job = json!({ "kind": "email", "payload": email, "options": options });
        expected.push(system.post("/api/jobs", &job).await.body["id"].as_str().unwrap().to_owned());
    }
    for limit in [7, 50, 200] {
        let pages = all_pages(&system, &format!("limit={limit}")).await;
        assert!(pages.iter().all(|page| items(page).len() <= limit));
        let listed: Vec<String> = pages.iter().flat_map(ids).collect();
        let distinct: HashSet<&String> = listed.iter().collect();
        assert_eq!((listed.len(), distinct.len()), (90, 90), "{limit} a page");
        assert!(expected.iter().all(|id| distinct.contains(id)));
        let states: Vec<_> = pages.iter().flat_map(ours).map(|job| job["state"].as_str().unwrap()).collect();
        let sorted = [vec!["ready"; 40], vec!["scheduled"; 10], vec!["succeeded"; 40]].concat();
        assert_eq!(states, sorted, "{limit} a page");
    }
    let created = |job: &Value| job["created_at"].as_str().unwrap().to_owned();
    let finished = list(&system, "state=succeeded&limit=200").await;
    let times: Vec<String> = items(&finished).iter().map(created).collect();
    assert!(times.is_sorted_by(|a, b| a >= b), "{times:?}");
    let (from, to) = (&times[30], &times[10]);
    let of_time = list(&system, &format!("created_from={from}&created_to={to}&limit=200")).await;
    let expected: Vec<&String> = times.iter().filter(|time| (from..=to).contains(time)).collect();
    assert_eq!(items(&of_time).iter().map(created).collect::<Vec<_>>().iter().collect::<Vec<_>>(), expected);
    assert_eq!(items(&list(&system, "queue=email").await).len(), 10);
    assert_eq!(items(&list(&system, "queue=email&kind=content").await).len(), 0);

    let by_key = list(&system, "q=mail%203").await;
    assert_eq!((items(&by_key).len(), &items(&by_key)[0]["unique_key"]), (1, &json!("mail 3")));
    let id = items(&by_key)[0]["id"].as_str().unwrap();
    assert_eq!(ids(&list(&system, &format!("q={id}")).await), [id]);
    assert_eq!(items(&list(&system, &format!("q={id}&state=ready")).await).len(), 0);
    assert_eq!(system.post(&format!("/api/jobs/{id}/cancel"), &json!({})).await.status, 200);
    let of_history = wait_listed(&system, "q=mail%203", 1).await;
    assert_eq!(items(&of_history)[0]["state"], "cancelled");
}

#[tokio::test(flavor = "multi_thread")]
async fn bad_parameters_of_a_list_are_named() {
    let system = System::start(Options::default().workers(1)).await;
    // They wait: between its end and its history a job is on no list.
    for n in 0..3 {
        let job = json!({ "kind": "content", "payload": product(n), "options": { "delay_s": 3600 } });
        assert_eq!(system.post("/api/jobs", &job).await.status, 202);
    }
    let page = list(&system, "limit=1").await;
    let cursor = page["next_cursor"].as_str().unwrap();
    for (query, pointer) in [
        ("cursor=rubbish".to_owned(), "/query/cursor"),
        (format!("state=cancelled&cursor=x{cursor}"), "/query/cursor"),
        ("limit=0".to_owned(), "/query/limit"),
        ("limit=201".to_owned(), "/query/limit"),
        ("state=asleep".to_owned(), "/query/state"),
        ("kind=contents".to_owned(), "/query/kind"),
        ("queue=contents".to_owned(), "/query/queue"),
        ("created_from=yesterday".to_owned(), "/query/created_from"),
        ("created_to=1".to_owned(), "/query/created_to"),
    ] {
        let answer = system.get(&format!("/api/jobs?{query}")).await;
        answer.assert_problem(422, "invalid-payload");
        assert_eq!(answer.body["errors"][0]["pointer"], pointer, "{}", answer.body);
    }
    system.get("/api/jobs?colour=red").await.assert_problem(422, "invalid-payload");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_is_run_before_its_time_when_told_to() {
    let system = System::start(Options::default().workers(1)).await;
    let mut pushed = Vec::new();
    for n in 0..2 {
        let job = json!({ "kind": "content", "payload": product(n), "options": { "delay_s": 3600 } });
        pushed.push(system.post("/api/jobs", &job).await.body["id"].as_str().unwrap().to_owned());
    }
    let shown = system.ecomctl(&["job", "list", "--state", "scheduled", "--kind", "content", "--limit", "1"]).await;
    let text = String::from_utf8(shown.stdout).unwrap();
    assert!(shown.status.success() && text.contains(&pushed[1]) && text.contains("more: --cursor "), "{text}");
    let answer = system.post(&format!("/api/jobs/{}/run-now", pushed[0]), &json!({})).await;
    // A worker may have it by now.
    let state = answer.body["state"].as_str().unwrap();
    assert!(answer.status == 200 && ["ready", "running", "succeeded"].contains(&state), "{}", answer.body);
    let told = system.ecomctl(&["job", "run-now", &pushed[1]]).await;
    assert!(told.status.success(), "{}", String::from_utf8_lossy(&told.stderr));
    for job in system.wait_jobs(&pushed).await {
        assert_eq!((&job["state"], &job["attempt"]), (&json!("succeeded"), &json!(1)));
        let id = job["id"].as_str().unwrap();
        system.post(&format!("/api/jobs/{id}/run-now"), &json!({})).await.assert_problem(409, "conflict");
    }
    let unknown = "0199a1b2-0000-7000-8000-000000000001";
    let path = format!("/api/jobs/{unknown}/run-now");
    Answer::to(system.request(Method::POST, &path)).await.unwrap().assert_problem(404, "not-found");
    let listed = system.ecomctl(&["job", "list", "--state", "scheduled", "--json"]).await;
    let page: Value = serde_json::from_slice(&listed.stdout).unwrap();
    assert_eq!(page, json!({ "items": [], "next_cursor": null }));
}
