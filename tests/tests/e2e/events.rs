//! What a job tells while it runs, and afterwards.

use std::time::Duration;

use producer::Scope;
use queue::Client;
use reqwest::{Method, RequestBuilder, Response};
use secrecy::SecretString;
use serde_json::{Value, json};
use servers::{RedisKind, RedisServer, wait_until};
use tests::{
    Answer, Gate, Options, PATIENCE, Shop, System,
    standins::openai::{OpenAi, Reply},
};

use crate::{attempts, product, real_texts, slow_model};

/// Something that happened to a job, as the stream has it.
#[derive(Debug, Clone, PartialEq)]
struct Event {
    id: u64,
    name: String,
    data: Value,
}

impl Event {
    /// The state, percent or text that it tells.
    fn says(&self) -> String {
        match self.name.as_str() {
            "progress" => format!("{} %", self.data["percent"]),
            "log" => self.data["message"].as_str().unwrap().to_owned(),
            "end" => "end".to_owned(),
            _ => self.data["state"].as_str().unwrap().to_owned(),
        }
    }
}

/// An open stream.
struct Stream {
    response: Response,
    unread: String,
}

impl Stream {
    async fn open(request: RequestBuilder, last: Option<u64>) -> Self {
        let request = match last {
            Some(id) => request.header("Last-Event-ID", id.to_string()),
            None => request,
        };
        let response = request.send().await.unwrap();
        assert_eq!(response.status(), 200);
        let header = |name: &str| response.headers()[name].to_str().unwrap();
        assert_eq!((header("content-type"), header("cache-control")), ("text/event-stream", "no-cache"));
        Self { response, unread: String::new() }
    }

    /// The next event; `None` when the stream has ended.
    async fn next(&mut self) -> Option<Event> {
        loop {
            if let Some((block, rest)) = self.unread.split_once("\n\n") {
                let (block, rest) = (block.to_owned(), rest.to_owned());
                self.unread = rest;
                if !block.starts_with(':') {
                    return Some(parse(&block));
                }
                continue;
            }
            let chunk = tokio::time::timeout(PATIENCE, self.response.chunk()).await.expect("something comes in time");
            // Cut off by the end of the process counts as ended too.
            let chunk = chunk.ok().flatten()?;
            self.unread.push_str(std::str::from_utf8(&chunk).unwrap());
        }
    }

    /// All events up to the one that says so.
    async fn until(&mut self, says: &str) -> Vec<Event> {
        let mut events = Vec::new();
        loop {
            let event = self.next().await.unwrap_or_else(|| panic!("no {says:?} after {events:?}"));
            events.push(event);
            if events.last().is_some_and(|event| event.says() == says) {
                return events;
            }
        }
    }

    async fn rest(mut self) -> Vec<Event> {
        let mut events = Vec::new();
        while let Some(event) = self.next().await {
            events.push(event);
        }
        events
    }
}

fn parse(block: &str) -> Event {
    let field = |name: &str| block.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": ")).unwrap();
    Event {
        id: field("id").parse().unwrap(),
        name: field("event").to_owned(),
        data: serde_json::from_str(field("data")).unwrap(),
    }
}

fn path(id: &str) -> String {
    format!("/api/jobs/{id}/events")
}

async fn follow(system: &System, id: &str, last: Option<u64>) -> Stream {
    Stream::open(system.request(Method::GET, &path(id)), last).await
}

fn ids(events: &[Event]) -> Vec<u64> {
    events.iter().map(|event| event.id).collect()
}

fn said(events: &[Event]) -> Vec<String> {
    events.iter().map(Event::says).collect()
}

/// A system whose texts wait at `gate`.
async fn slow_system(gate: &Gate, options: Options) -> (System, OpenAi) {
    let model = slow_model(gate).await;
    (System::start(real_texts(options, &model, 4)).await, model)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_is_followed_through_a_retry_and_a_stream_that_was_cut_off_goes_on() {
    let gate = Gate::closed();
    let (system, model) = slow_system(&gate, Options::default().workers(1)).await;
    model.next(Reply::RateLimited("1"));
    let id = system.post_job("content", product(1)).await;
    let job = system.job(&id).await;
    assert_eq!(job["links"]["events"], path(&id));

    let mut stream = follow(&system, &id, None).await;
    let mut events = stream.until("15 %").await;
    assert_eq!(events[events.len() - 1].data["message"], "asked openai gpt-6-luna");
    let asked = json!({ "percent": 15, "message": "asked openai gpt-6-luna" });
    assert_eq!(system.job(&id).await["progress"], asked, "seen while it runs");
    gate.let_through(1);
    events.extend(stream.until("retrying").await);
    // Cut off here; meanwhile the job runs again.
    drop(stream);
    wait_until("the second attempt asks", PATIENCE, async || model.n_requests() == 2).await;
    let mut stream = follow(&system, &id, events.last().map(|event| event.id)).await;
    events.extend(stream.until("running").await);
    gate.open();
    events.extend(stream.rest().await);

    let told = said(&events);
    let states: Vec<&String> = told.iter().filter(|said| !said.ends_with('%')).collect();
    assert_eq!(states, ["ready", "running", "retrying", "running", "succeeded", "end"]);
    assert_eq!(told[told.len() - 3..], ["100 %", "succeeded", "end"]);
    assert!(ids(&events).is_sorted_by(|a, b| a < b), "none is repeated: {events:?}");
    assert!(events.iter().all(|event| event.data["job"] == *id), "{events:?}");
    let job = system.job(&id).await;
    assert_eq!((&job["state"], attempts(&job).len()), (&json!("succeeded"), 2), "{job}");
    assert_eq!(job["progress"], json!({ "percent": 100, "message": "stored" }));
    let of_state = |state: &str| events.iter().rfind(|event| event.data["state"] == state).unwrap().data.clone();
    assert_eq!(
        (&of_state("retrying")["at"], &of_state("retrying")["attempt"]),
        (&attempts(&job)[0]["finished_at"], &json!(1))
    );
    assert_eq!(of_state("running")["attempt"], 2);

    // After the end everything that the record holds is told again, under the same ids, in any process.
    let replayed = follow(&system, &id, None).await.rest().await;
    assert_eq!(said(&replayed), ["ready", "running", "retrying", "running", "100 %", "succeeded", "end"]);
    assert!(ids(&replayed).iter().all(|id| ids(&events).contains(id)), "{replayed:?} {events:?}");
    let succeeded = replayed[5].id;
    assert_eq!(said(&follow(&system, &id, Some(succeeded)).await.rest().await), ["end"]);
    let nothing = Answer::to(system.request(Method::GET, &path(&id)).header("Last-Event-ID", replayed[6].id)).await;
    assert_eq!(nothing.unwrap().status, 204, "so that a browser does not connect again");
}

#[tokio::test(flavor = "multi_thread")]
async fn each_page_and_each_lost_page_is_told() {
    let gate = Gate::closed();
    let shop = Shop::behind(gate.clone()).await;
    let system = System::start(Options::default().workers(1).real_scraping(4)).await;
    let mut payload = shop.one_page(1);
    let nobody = "http://127.0.0.1:9/".to_owned();
    // The first, because a worker fetches one page at a time from a host.
    payload["urls"].as_array_mut().unwrap().insert(0, json!(nobody));
    let answer = system
        .post("/api/jobs", &json!({ "kind": "scrape", "payload": payload, "options": { "allow_fallback": false } }))
        .await;
    let id = answer.body["id"].as_str().unwrap().to_owned();
    let mut stream = follow(&system, &id, None).await;
    let mut events = stream.until("45 %").await;
    assert_eq!(events.last().unwrap().data["message"], "page 1 of 2");
    gate.open();
    events.extend(stream.rest().await);
    assert!(events.iter().any(|event| event.name == "log" && event.says().contains(&nobody)), "{events:?}");
    assert_eq!(said(&events)[events.len() - 3..], ["100 %", "succeeded", "end"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn only_who_may_see_a_job_may_follow_it() {
    let system = System::start(Options::default().workers(0)).await;
    let id = system.post_job("content", product(1)).await;
    let ask = async |token: Option<&str>, id: &str| {
        let request = system.client().get(format!("{}{}", system.url(), path(id)));
        Answer::to(token.into_iter().fold(request, RequestBuilder::bearer_auth)).await.unwrap()
    };
    ask(None, &id).await.assert_problem(401, "unauthorized");
    let secret = SecretString::from(system.secret());
    let token = |tenant, scope| producer::sign(&secret, "tests", tenant, &[scope], Duration::from_secs(600)).unwrap();
    ask(Some(&token(Some("other"), Scope::JobsRead)), &id).await.assert_problem(404, "not-found");
    ask(Some(&token(None, Scope::JobsWrite)), &id).await.assert_problem(403, "forbidden");
    let reader = token(None, Scope::JobsRead);
    ask(Some(&reader), "0199a1b2-0000-7000-8000-000000000001").await.assert_problem(404, "not-found");
    ask(Some(&reader), "no-id").await.assert_problem(404, "not-found");
    let request = system.client().get(format!("{}{}", system.url(), path(&id))).bearer_auth(&reader);
    assert_eq!(Stream::open(request, None).await.next().await.unwrap().says(), "ready");
}

#[tokio::test(flavor = "multi_thread")]
async fn streams_end_when_the_producer_stops() {
    let system = System::start(Options::default().workers(0)).await;
    let id = system.post_job("content", product(1)).await;
    let redis = Client::new(
        &fleet::Redis::open_within(&system.redis_url, &system.name, servers::PATIENCE).unwrap(),
        Vec::new(),
    );
    let mut stream = follow(&system, &id, None).await;
    assert_eq!(stream.next().await.unwrap().says(), "ready");
    assert_eq!(redis.counts("content").await.unwrap()["watched"], 1);
    system.signal_producer("TERM");
    assert_eq!(stream.rest().await, []);
    assert_eq!(system.producer_end().await.code(), Some(0));
    assert!(!system.producer_log().contains("cut off"), "within the grace period");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_outlasts_a_restart_of_redis() {
    let redis = RedisServer::start(RedisKind::Valkey);
    let gate = Gate::closed();
    let options = Options { redis_url: Some(redis.url()), ..Options::default().workers(1) };
    let (system, model) = slow_system(&gate, options).await;
    let id = system.post_job("content", product(1)).await;
    let mut stream = follow(&system, &id, None).await;
    stream.until("running").await;
    wait_until("the text is asked for", PATIENCE, async || model.n_requests() == 1).await;
    redis.stop();
    let refused = Answer::to(system.request(Method::GET, &path(&id))).await.unwrap();
    refused.assert_problem(503, "queue-unavailable");
    redis.restart();
    gate.open();
    let rest = stream.rest().await;
    assert_eq!(said(&rest)[rest.len() - 2..], ["succeeded", "end"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn ecomctl_follows_a_job_to_its_end() {
    let gate = Gate::closed();
    let (system, model) = slow_system(&gate, Options::default().workers(1)).await;
    let good = system.post_job("content", product(1)).await;
    let arguments = ["job", "watch", &good];
    let go_on = async {
        wait_until("the text is asked for", PATIENCE, async || model.n_requests() == 1).await;
        gate.open();
    };
    let (output, ()) = tokio::join!(system.ecomctl(&arguments), go_on);
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert_eq!(output.status.code(), Some(0), "{text} {}", String::from_utf8_lossy(&output.stderr));
    let lines: Vec<&str> = text.lines().map(|line| line.split_once("  ").unwrap().1).collect();
    assert_eq!((lines[0], lines[1]), ("state     ready, attempt 1", "state     running, attempt 1"), "{text}");
    assert_eq!(lines[lines.len() - 1], "end       succeeded");
    assert!(lines.contains(&"progress  100 %, stored"), "{text}");

    let unreachable = json!({ "product_id": "L-1", "urls": ["http://127.0.0.1:9/"] });
    let later = json!({ "kind": "scrape", "payload": unreachable, "options": { "delay_s": 3600 } });
    let cancelled = system.post("/api/jobs", &later).await.body["id"].as_str().unwrap().to_owned();
    assert_eq!(system.post(&format!("/api/jobs/{cancelled}/cancel"), &json!({})).await.status, 200);
    let output = system.ecomctl(&["job", "watch", &cancelled, "--json"]).await;
    assert_eq!(output.status.code(), Some(1));
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let events: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let states: Vec<&str> = events.iter().map(|event| event["state"].as_str().unwrap()).collect();
    assert_eq!((states, &events[2]["event"]), (vec!["scheduled", "cancelled", "cancelled"], &json!("end")));

    let unknown = system.ecomctl(&["job", "watch", "0199a1b2-0000-7000-8000-000000000001"]).await;
    assert_eq!(unknown.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&unknown.stderr).contains("404"));
}
