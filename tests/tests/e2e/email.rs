//! E-mail in the whole system: retries, killed workers, the mock's letter box, previews, and the way out of reminders.

use reqwest::Method;
use serde_json::{Value, json};
use servers::wait_until;
use tests::{
    Answer, Options, PATIENCE, System,
    standins::smtp::{Act, Smtp, Step},
};

use crate::{attempts, outcomes, time};

fn reminder(to: &str) -> Value {
    json!({ "to": to, "to_name": "Zoé Müller", "template": "trial_ending", "language": "fr", "time_zone": "America/New_York",
        "data": { "trial_ends_at": "2026-03-18T02:30:00Z", "days_left": 3, "action_url": "https://app.shop.example/plans" } })
}

/// A system that sends to this server; leases are short, so that a killed worker's jobs start again soon.
async fn system(server: &Smtp, workers: usize) -> System {
    let options = Options::default().workers(workers).real_email(server.port());
    System::start(options.env("LEASE_S", "3").env("RENEWAL_S", "1")).await
}

async fn run_now(system: &System, id: &str) {
    assert_eq!(system.post(&format!("/api/jobs/{id}/run-now"), &json!({})).await.status, 200);
}

fn message_ids(server: &Smtp) -> Vec<String> {
    let id =
        |text: &str| text.lines().find_map(|line| line.strip_prefix("Message-ID: ")).unwrap_or_default().to_owned();
    server.received().iter().map(|message| id(&message.text)).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_greylisted_message_is_tried_again_a_minute_later_and_a_refused_one_is_dead_at_once() {
    let server = Smtp::start(None).await.unwrap();
    let system = system(&server, 1).await;
    server.next(2, Step::Recipient, Act::Reply("451 4.7.1 greylisted, come back".to_owned()));
    let id = system.post_job("email", reminder("zoe@customer.example")).await;
    for (n, minutes) in [(1, 1), (2, 5)] {
        wait_until("the job waits for its retry", PATIENCE, async || {
            let job = system.job(&id).await;
            job["state"] == "retrying" && attempts(&job).len() == n
        })
        .await;
        let job = system.job(&id).await;
        let last = attempts(&job).last().unwrap();
        assert_eq!(last["error"]["code"], "deferred", "{job}");
        assert!(last["error"]["message"].as_str().unwrap().contains("greylisted, come back"), "{job}");
        let wait = time(&job["run_at"]) - time(&last["finished_at"]);
        assert!((wait.num_seconds() - 60 * minutes).abs() <= 20 * minutes, "{} s: {job}", wait.num_seconds());
        run_now(&system, &id).await;
    }
    let job = system.wait_job(&id).await;
    assert_eq!((&job["state"], &job["result"]["status"]), (&json!("succeeded"), &json!("sent")), "{job}");
    assert_eq!(server.received().len(), 1);

    server.next(1, Step::Recipient, Act::Reply("550 5.1.1 no such user here".to_owned()));
    let refused = system.post_job("email", reminder("nobody@customer.example")).await;
    let job = system.wait_job(&refused).await;
    assert_eq!((&job["state"], outcomes(&job)), (&json!("dead"), vec!["dead"]), "{job}");
    assert!(attempts(&job)[0]["error"]["message"].as_str().unwrap().contains("550 5.1.1 no such user here"), "{job}");
    assert_eq!(server.received().len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reminder_arrives_once_although_its_worker_is_killed_in_the_middle() {
    let server = Smtp::start(None).await.unwrap();
    let system = system(&server, 2).await;
    server.next(1, Step::Recipient, Act::Hang);
    let body = json!({ "kind": "email", "payload": reminder("zoe@customer.example") });
    let push = async || {
        let request =
            system.request(Method::POST, "/api/jobs").header("Idempotency-Key", "trial-ending/acme/2026-03-15");
        Answer::to(request.json(&body)).await.unwrap().body["id"].as_str().unwrap().to_owned()
    };
    let id = push().await;
    assert_eq!(push().await, id);
    wait_until("the worker is in the middle", PATIENCE, async || server.n_asked(Step::Recipient) == 1).await;
    let worker = attempts(&system.job(&id).await)[0]["worker"].as_str().unwrap().to_owned();
    let killed = (0..2).find(|number| worker.ends_with(&format!("/{}", system.worker_pid(*number)))).unwrap();
    system.kill_worker(killed);
    let job = system.wait_job(&id).await;
    assert_eq!((&job["state"], outcomes(&job)), (&json!("succeeded"), vec!["crashed", "succeeded"]), "{job}");
    let received = server.received();
    assert_eq!(received.len(), 1, "{received:?}");
    assert_eq!(received[0].recipients, ["zoe@customer.example"]);
    assert_eq!(message_ids(&server), [format!("<{id}@ecomsimply.example>")]);
    // Its end is said in the recipient's time zone: still the evening before.
    let message = mail_parser::MessageParser::new().parse(&received[0].text).unwrap();
    let text = message.body_text(0).unwrap().into_owned();
    assert!(text.contains("mardi 17\u{a0}mars 2026 à 22\u{a0}h\u{a0}30 (America/New_York)"), "{text}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_hangs_after_the_text_gets_the_message_once_more_under_the_same_id() {
    let server = Smtp::start(None).await.unwrap();
    let system = system(&server, 1).await;
    server.next(1, Step::Text, Act::Hang);
    let job = json!({ "kind": "email", "payload": reminder("zoe@customer.example"), "options": { "timeout_s": 2 } });
    let id = system.post("/api/jobs", &job).await.body["id"].as_str().unwrap().to_owned();
    let job = system.wait_job(&id).await;
    assert_eq!((&job["state"], outcomes(&job)), (&json!("succeeded"), vec!["timed_out", "succeeded"]), "{job}");
    assert_eq!(message_ids(&server), vec![format!("<{id}@ecomsimply.example>"); 2]);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_mock_takes_can_be_read_and_never_counts_as_sent() {
    let system = System::start(Options::default().workers(1)).await;
    let plain = json!({ "to": "max@customer.example", "subject": "Your tea", "text": "It is ready.", "html": "<p>It is ready.</p>" });
    let mut ids = system.post_jobs("email", vec![plain; 5]).await;
    ids.push(system.post_job("email", reminder("zoe@customer.example")).await);
    system.wait_jobs(&ids).await;

    let mut listed: Vec<Value> = Vec::new();
    let mut cursor = String::new();
    loop {
        let page = system.get(&format!("/api/emails?limit=2{cursor}")).await;
        assert_eq!(page.status, 200, "{}", page.body);
        let items = page.body["items"].as_array().unwrap();
        assert!(items.len() <= 2);
        listed.extend(items.iter().cloned());
        let Some(next) = page.body["next_cursor"].as_str() else { break };
        cursor = format!("&cursor={next}");
    }
    let mut expected = ids.clone();
    expected.sort();
    expected.reverse();
    assert_eq!(listed.iter().map(|email| email["id"].as_str().unwrap()).collect::<Vec<_>>(), expected);
    for email in &listed {
        assert_eq!(
            (&email["status"], &email["provider"], &email["text"]),
            (&json!("mock"), &json!("mock"), &Value::Null)
        );
    }
    let to_zoe = system.get("/api/emails?to=zoe@customer.example").await.body;
    assert_eq!(to_zoe["items"].as_array().unwrap().len(), 1, "{to_zoe}");

    let shown = system.get(&format!("/api/emails/{}", ids[5])).await.body;
    assert_eq!(shown["subject"], "Votre essai se termine dans 3\u{a0}jours");
    assert_eq!((&shown["template"], &shown["to_name"]), (&json!("trial_ending"), &json!("Zoé Müller")));
    assert!(shown["text"].as_str().unwrap().contains("Bonjour Zoé Müller"), "{shown}");
    assert!(shown["html"].as_str().unwrap().contains("<table"), "{shown}");
    let shown = system.get(&format!("/api/emails/{}", ids[0])).await.body;
    assert_eq!((&shown["text"], &shown["html"]), (&json!("It is ready."), &json!("<p>It is ready.</p>")));

    // Another tenant sees none of it.
    let other =
        producer::sign(&system.secret().into(), "x", Some("other"), &[producer::Scope::JobsRead], PATIENCE).unwrap();
    let ask = async |path: &str| {
        Answer::to(system.client().get(format!("{}{path}", system.url())).bearer_auth(&other)).await.unwrap()
    };
    assert_eq!(ask("/api/emails").await.body, json!({ "items": [], "next_cursor": null }));
    ask(&format!("/api/emails/{}", ids[0])).await.assert_problem(404, "not-found");
    ask("/api/emails?tenant=default").await.assert_problem(403, "forbidden");
    system.get("/api/emails?cursor=nonsense").await.assert_problem(422, "invalid-payload");
    system.get("/api/emails?limit=0").await.assert_problem(422, "invalid-payload");

    let output = system.ecomctl(&["email", "list", "--to", "zoe@customer.example"]).await;
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success() && text.contains(&ids[5]) && text.contains("mock"), "{text}");
    let output = system.ecomctl(&["email", "get", &ids[5]]).await;
    assert!(String::from_utf8(output.stdout).unwrap().contains("Bonjour Zoé Müller"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_preview_shows_the_message_and_sends_nothing_and_names_every_bad_field() {
    let system = System::start(
        Options::default()
            .workers(0)
            .real_email(1)
            .env("PUBLIC_URL", "https://jobs.shop.example/")
            .env("SENDER_EMAIL", "Shop <a@shop.example>"),
    )
    .await;
    let preview = system.post("/api/emails/preview", &reminder("zoe@bücher.example")).await;
    assert_eq!(preview.status, 200, "{}", preview.body);
    assert_eq!(preview.body["subject"], "Votre essai se termine dans 3\u{a0}jours");
    let headers = &preview.body["headers"];
    assert_eq!(
        (&headers["From"], &headers["MIME-Version"]),
        (&json!("Shop <a@shop.example>"), &json!("1.0")),
        "{headers}"
    );
    assert!(headers["To"].as_str().unwrap().ends_with("<zoe@xn--bcher-kva.example>"), "{headers}");
    assert!(headers["Subject"].as_str().unwrap().contains("=?utf-8?"), "{headers}");
    assert!(
        headers["List-Unsubscribe"].as_str().unwrap().starts_with("<https://jobs.shop.example/api/emails/"),
        "{headers}"
    );
    let as_written = json!({ "to": "zoe@customer.example", "subject": "Tea", "text": "Ready" });
    let preview = system.post("/api/emails/preview", &as_written).await.body;
    assert_eq!((&preview["text"], &preview["html"]), (&json!("Ready"), &Value::Null));
    assert_eq!(system.get("/api/emails").await.body["items"], json!([]));
    assert_eq!(system.depth("email").await["ready"], 0);

    let change = |pointer: &str, value: Value| {
        let mut payload = reminder("zoe@customer.example");
        let (parent, name) = pointer.rsplit_once('/').unwrap();
        payload.pointer_mut(parent).unwrap()[name] = value;
        payload
    };
    let without = |name: &str| {
        let mut payload = reminder("zoe@customer.example");
        payload.as_object_mut().unwrap().remove(name);
        payload
    };
    for (payload, pointer) in [
        (change("/data/trial_ends_at", json!("soon")), "/data/trial_ends_at"),
        (change("/data/colour", json!("red")), "/data/colour"),
        (change("/data/plan", json!("Pro\r\nBcc: all@customer.example")), "/data/plan"),
        (change("/data/action_url", json!("javascript:alert(1)")), "/data/action_url"),
        (change("/data", json!({})), "/data/trial_ends_at"),
        (without("data"), "/data/trial_ends_at"),
        (without("language"), "/language"),
        (change("/language", json!("de")), "/language"),
        (change("/time_zone", json!("Mars/Olympus")), "/time_zone"),
        (change("/template", json!("farewell")), "/template"),
        (change("/subject", json!("Mine")), "/subject"),
        (change("/to_name", json!("Zoé\u{0}")), "/to_name"),
        (change("/to", json!("zoé@customer.example")), "/to"),
        (json!({ "to": "zoe@customer.example", "subject": "Tea" }), "/text"),
        (json!({ "to": "zoe@customer.example", "subject": "Tea\nBcc: x", "text": "x" }), "/subject"),
        (json!({ "to": "zoe@customer.example", "subject": "Tea", "text": "x\u{0}" }), "/text"),
        (json!({ "to": "zoe@customer.example", "subject": "Tea", "text": "x", "data": {} }), "/data"),
    ] {
        for (path, body, prefix) in [
            ("/api/emails/preview", payload.clone(), ""),
            ("/api/jobs", json!({ "kind": "email", "payload": payload }), "/payload"),
        ] {
            let answer = system.post(path, &body).await;
            answer.assert_problem(422, "invalid-payload");
            let errors = answer.body["errors"].as_array().unwrap();
            let pointers: Vec<&str> = errors.iter().map(|error| error["pointer"].as_str().unwrap()).collect();
            assert_eq!(pointers, [format!("{prefix}{pointer}")], "{body}: {errors:?}");
        }
    }
    let payload = reminder("zoe@customer.example").to_string();
    let output = system.ecomctl(&["email", "preview", "--payload", &payload]).await;
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(text.contains("From: Shop <a@shop.example>\n") && text.contains("Bonjour Zoé Müller"), "{text}");
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_unsubscribes_gets_no_more_reminders_and_nobody_can_do_it_for_another() {
    let system = System::start(Options::default().workers(1).env("PUBLIC_URL", "https://jobs.shop.example")).await;
    let send = async |payload: Value| {
        let id = system.post_job("email", payload).await;
        let job = system.wait_job(&id).await;
        (id, job["result"]["status"].as_str().unwrap_or_default().to_owned())
    };
    let (first, status) = send(reminder("zoe@customer.example")).await;
    assert_eq!(status, "mock");
    let path = format!("/api/emails/{first}/unsubscribe");
    let shown = system.get(&format!("/api/emails/{first}")).await.body;
    let text = shown["text"].as_str().unwrap();
    let (_, after) = text.split_once(&format!("https://jobs.shop.example{path}?sig=")).expect("it has a signed link");
    let link = format!("{path}?sig={}", after.split_whitespace().next().unwrap());

    // Without a token, as whoever has the mail; and as whoever only knows or guesses its id.
    let get = async |link: &str| system.client().get(format!("{}{link}", system.url())).send().await.unwrap();
    let click = async |link: &str| {
        let post = system.client().post(format!("{}{link}", system.url())).body("List-Unsubscribe=One-Click");
        post.send().await.unwrap().status().as_u16()
    };
    let page = get(&link).await;
    assert_eq!(page.status(), 200);
    assert!(page.text().await.unwrap().contains("<form method=\"post\">"));
    let (second, status) = send(reminder("zoe@customer.example")).await;
    assert_eq!(status, "mock", "looking changes nothing");
    let of_another = link.replace(&first, &second);
    for forged in [path.as_str(), &format!("{path}?sig="), &format!("{path}?sig=x"), &of_another, &link.to_uppercase()]
    {
        assert!(matches!(get(forged).await.status().as_u16(), 403 | 404), "{forged}");
        assert!(matches!(click(forged).await, 403 | 404), "{forged}");
    }
    assert_eq!(send(reminder("zoe@customer.example")).await.1, "mock", "a link that is forged changes nothing");
    // As mail clients do it, and the button of the page.
    assert_eq!(click(&format!("{link}&utm_source=mail")).await, 200);
    assert_eq!(click(&link).await, 200);
    let (unwanted, status) = send(reminder("Zoe@customer.example")).await;
    assert_eq!(status, "unsubscribed");
    assert_eq!(system.get(&format!("/api/emails/{unwanted}")).await.body["status"], "unsubscribed");
    assert_eq!(send(reminder("max@customer.example")).await.1, "mock");
    let mut receipt = reminder("zoe@customer.example");
    receipt["template"] = json!("welcome");
    receipt["data"] = json!({});
    let (welcome, status) = send(receipt).await;
    assert_eq!(status, "mock", "what is no reminder still comes");
    for nothing in [format!("/api/emails/{welcome}/unsubscribe"), "/api/emails/x/unsubscribe".to_owned()] {
        system.get(&nothing).await.assert_problem(403, "forbidden");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn mails_are_kept_for_as_long_as_the_variable_of_the_workers_says() {
    let system = System::start(Options::default().workers(1).env("EMAIL_RETENTION_DAYS", "7")).await;
    let mongodb = mongodb::Client::with_uri_str(&system.mongo_url).await.unwrap();
    let mails = mongodb.database(&system.name).collection::<mongodb::bson::Document>("emails");
    wait_until("the worker has told mongodb", PATIENCE, async || {
        let Ok(names) = mails.list_index_names().await else { return false };
        names.contains(&"kept".to_owned())
    })
    .await;
    let list =
        mongodb.database(&system.name).run_command(mongodb::bson::doc! { "listIndexes": "emails" }).await.unwrap();
    assert!(list.to_string().contains("\"expireAfterSeconds\": 604800"), "{list}");
}

/// A zone in which it is noon or just after.
pub(crate) fn zone_at_noon() -> String {
    match 12 - i64::from(chrono::Timelike::hour(&chrono::Utc::now())) {
        // Their signs are the other way round.
        ahead @ 1.. => format!("Etc/GMT-{ahead}"),
        0 => "Etc/GMT".to_owned(),
        behind => format!("Etc/GMT+{}", -behind),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_trials_end_becomes_one_reminder_although_its_schedule_runs_again_and_its_worker_is_killed() {
    let server = Smtp::start(None).await.unwrap();
    let system = system(&server, 2).await;
    server.next(1, Step::Recipient, Act::Hang);
    let mongodb = mongodb::Client::with_uri_str(&system.mongo_url).await.unwrap();
    let tomorrow = mongodb::bson::DateTime::from_millis(chrono::Utc::now().timestamp_millis() + 24 * 3600 * 1000);
    let tenant = mongodb::bson::doc! { "_id": "acme", "name": "Zoé Müller", "email": "zoe@customer.example", "language": "fr",
    "time_zone": zone_at_noon(), "trial_ends_at": tomorrow };
    mongodb.database(&system.name).collection("tenants").insert_one(tenant).await.unwrap();
    let run = async || {
        let answer = system.post("/api/schedules/trial-reminders/run", &json!({})).await;
        let job = system.wait_job(answer.body["id"].as_str().unwrap()).await;
        assert_eq!(job["state"], "succeeded", "{job}");
        job["result"]["count"].clone()
    };
    wait_until("the timetable is written", PATIENCE, async || {
        system.get("/api/schedules/trial-reminders").await.status == 200
    })
    .await;
    assert_eq!(run().await, 1);
    assert_eq!(run().await, 0);

    wait_until("a worker is in the middle", PATIENCE, async || server.n_asked(Step::Recipient) == 1).await;
    let list = system.get("/api/jobs?kind=email").await;
    let id = list.body["items"][0]["id"].as_str().unwrap().to_owned();
    let worker = attempts(&system.job(&id).await)[0]["worker"].as_str().unwrap().to_owned();
    let killed = (0..2).find(|number| worker.ends_with(&format!("/{}", system.worker_pid(*number)))).unwrap();
    system.kill_worker(killed);
    let job = system.wait_job(&id).await;
    assert_eq!((&job["state"], outcomes(&job)), (&json!("succeeded"), vec!["crashed", "succeeded"]), "{job}");
    assert_eq!((&job["tenant"], &job["payload"]["language"]), (&json!("acme"), &json!("fr")), "{job}");
    assert_eq!(run().await, 0);
    assert_eq!(message_ids(&server), [format!("<{id}@ecomsimply.example>")]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_limit_an_hour_puts_messages_off_in_all_replicas_and_uses_no_attempt() {
    let server = Smtp::start(None).await.unwrap();
    let options = Options::default().workers(2).real_email(server.port()).env("SMTP_PER_HOUR", "100");
    let system = System::start(options).await;
    let began = std::time::Instant::now();
    let ids = system.post_jobs("email", (0..8).map(|n| reminder(&format!("n{n}@customer.example")))).await;
    // Whatever has its turn meanwhile: each was sent, or has been put off.
    wait_until("some are sent and the others put off", PATIENCE, async || {
        let (mut n_sent, mut n_put_off) = (0, 0);
        for id in &ids {
            let job = system.job(id).await;
            if job["state"] == "succeeded" {
                n_sent += 1;
            } else if job["snoozes"]["count"].as_u64().is_some_and(|count| count > 0) {
                n_put_off += 1;
            }
        }
        n_sent > 0 && n_put_off > 0 && n_sent + n_put_off == ids.len()
    })
    .await;
    // A minute's worth may go at once, which is one and a part of the next; then one each 36 s.
    let n_received = u32::try_from(server.received().len()).unwrap();
    let most = 100.0 / 60.0 + began.elapsed().as_secs_f64() / 36.0;
    // A Redis that does not answer within 100 ms holds up no call; on a very busy machine that happens, and is logged.
    let without_limits = (0..2).any(|n| system.worker_log(n).contains("go out without shared limits"));
    assert!(f64::from(n_received) <= most || without_limits, "{n_received} were sent, and {most:.1} might be");
    for id in &ids {
        let job = system.job(id).await;
        if job["state"] == "scheduled" {
            assert_eq!((&job["snoozes"]["last_code"], &job["attempts"]), (&json!("rate_limited"), &json!([])), "{job}");
            assert_eq!(job["attempt"], 1, "{job}");
        }
    }
}
