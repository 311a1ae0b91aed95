//! Real pictures in the whole system, against a stand-in of fal: paid once, whatever happens between the submit and the result.

use std::{collections::BTreeSet, time::Duration};

use mongodb::bson::{Document, doc};
use reqwest::Method;
use serde_json::{Value, json};
use servers::wait_until;
use tests::{
    Answer, JOB_PATIENCE, Options, PATIENCE, System,
    standins::{Fault, fal::Fal},
};

use crate::{attempts, n_snoozes, outcomes};

const KEY: &str = "id:fal-hush";
pub(crate) const SUBMIT: &str = "/fal-ai/flux-pro/v1.1";

pub(crate) async fn fal() -> Fal {
    Fal::start(0, KEY).await.unwrap()
}

/// With polls alone; the placeholder's healing follows at once.
pub(crate) fn options(fal: &Fal) -> Options {
    Options::default()
        .env("MOCK_MODE_IMAGES", "false")
        .env("FAL_KEY", KEY)
        .env("FAL_QUEUE_BASE_URL", fal.url())
        .env("FAL_JWKS_URL", fal.jwks_url())
        .env("FAL_MEDIA_HOSTS", "127.0.0.1")
        .env("BREAKER_OPEN_S", "1")
        .env("HEAL_PER_MIN", "6000")
}

/// The same, and fal calls us.
pub(crate) async fn with_webhooks(fal: &Fal, options: Options) -> System {
    let system = System::start(options.env("PUBLIC_URL", "https://jobs.example")).await;
    fal.deliver_to(system.url());
    system
}

pub(crate) fn lamp(name: &str) -> Value {
    json!({ "product_id": "LAMP-1", "name": name, "width": 640, "height": 480 })
}

pub(crate) async fn push(system: &System, name: &str, options: Value) -> String {
    let body = json!({ "kind": "image", "payload": lamp(name), "options": options });
    let answer = system.post("/api/jobs", &body).await;
    assert_eq!(answer.status, 202, "{}", answer.body);
    answer.body["id"].as_str().unwrap().to_owned()
}

/// Fails unless the job has real pictures.
#[track_caller]
pub(crate) fn assert_real(job: &Value) {
    assert_eq!((&job["state"], &job["provider"]), (&json!("succeeded"), &json!("fal")), "{job}");
    let result = &job["result"];
    assert_eq!(
        (&job["degraded"], &result["mock"], &result["model"]),
        (&json!(false), &json!(false), &json!(&SUBMIT[1..])),
        "{job}"
    );
}

#[track_caller]
pub(crate) fn assert_placeholder(job: &Value, why: &str) {
    assert_eq!(
        (&job["state"], &job["degraded"], &job["provider"]),
        (&json!("succeeded"), &json!(true), &json!("mock")),
        "{job}"
    );
    assert_eq!(job["result"]["mock"], true, "{job}");
    let reason = job["degraded_reason"].as_str().unwrap();
    assert!(reason.contains(why), "{reason}");
}

/// The tag and the bytes at an address of a picture, without a token.
async fn file(system: &System, address: &Value) -> (String, Vec<u8>) {
    let address = address.as_str().unwrap();
    let address = address.strip_prefix("https://jobs.example").unwrap_or(address);
    let response = system.client().get(format!("{}{address}", system.url())).send().await.unwrap();
    assert_eq!(response.status().as_u16(), 200, "{address}");
    let tag = response.headers()["etag"].to_str().unwrap().to_owned();
    (tag, response.bytes().await.unwrap().to_vec())
}

/// Waits until the job's result is a real one.
pub(crate) async fn healed(system: &System, id: &str) -> Value {
    let mut job = Value::Null;
    wait_until("the placeholder is replaced", JOB_PATIENCE, async || {
        job = system.job(id).await;
        job["degraded"] == false
    })
    .await;
    job
}

async fn events(system: &System, id: &str) -> Vec<String> {
    let answer = system.get(&format!("/api/jobs/{id}/events")).await;
    let text = answer.body.as_str().expect("events are text").to_owned();
    text.lines().filter_map(|line| line.strip_prefix("event: ").map(str::to_owned)).collect()
}

pub(crate) async fn waits_for_its_run(system: &System, id: &str) {
    wait_until("the job waits for its run", PATIENCE, async || {
        let job = system.job(id).await;
        job["state"] == "scheduled" && n_snoozes(&job) > 0
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn pictures_of_fal_are_given_in_all_sizes_and_formats_and_counted() {
    let fal = fal().await;
    let system = System::start(options(&fal).workers(1)).await;
    let mut asked = lamp("Lampe « Étoile »");
    (asked["count"], asked["seed"], asked["width"], asked["height"]) = (json!(2), json!(7), json!(1600), json!(1000));
    let id = system.post_job("image", asked).await;
    let job = system.wait_job(&id).await;
    assert_real(&job);
    assert!(n_snoozes(&job) >= 1 && outcomes(&job) == ["succeeded"], "waiting is no attempt: {job}");
    assert_eq!(job["snoozes"]["last_code"], "under_way");
    let result = &job["result"];
    // Two megapixels each.
    assert_eq!(result["cost"], json!({ "amount": "0.16", "currency": "USD" }));
    let images = result["images"].as_array().unwrap();
    assert_eq!(images.len(), 2);
    for image in images {
        assert_eq!((&image["width"], &image["height"], &image["seed"]), (&json!(1600), &json!(1000), &json!(7)));
        for (size, width, height) in [("master", 1600, 1000), ("1200", 1200, 750), ("600", 600, 375), ("150", 150, 94)]
        {
            for extension in ["jpg", "webp"] {
                let (_, bytes) = file(&system, &image["sizes"][size][extension]).await;
                let picture = image::load_from_memory(&bytes).unwrap();
                assert_eq!((picture.width(), picture.height()), (width, height), "{size} {extension}");
            }
        }
    }
    assert_ne!(images[0]["sha256"], images[1]["sha256"]);
    assert_eq!((fal.n_submitted(), fal.counts().downloads), (1, 2));
    let usage = system.get("/api/usage").await.body;
    let row = usage["items"].as_array().unwrap().iter().find(|row| row["model"] == SUBMIT[1..]).expect("it is counted");
    assert_eq!((&row["calls"], &row["cost"]["amount"]), (&json!(1), &json!("0.16")), "{usage}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_whose_worker_is_killed_is_paid_once() {
    let fal = fal().await;
    fal.hold();
    let mut system = System::start(options(&fal).workers(1)).await;
    let id = push(&system, "Lampe", json!({})).await;
    waits_for_its_run(&system, &id).await;
    system.kill_worker(0);
    fal.release();
    let second = system.start_worker().await;
    let job = system.wait_job(&id).await;
    assert_real(&job);
    // And killed while a status is asked for, and while the picture is fetched.
    fal.hold();
    fal.faults().on("/fal-ai/flux-pro/requests/", Some(1), Fault::Delay { ms: 3_600_000 });
    let id = push(&system, "Vase", json!({})).await;
    wait_until("its status is asked for", PATIENCE, async || {
        fal.faults().last().iter().any(|seen| seen.fault.is_some())
    })
    .await;
    system.kill_worker(second);
    fal.media_faults().next(1, Fault::Delay { ms: 3_600_000 });
    fal.release();
    let third = system.start_worker().await;
    wait_until("its picture is fetched", PATIENCE, async || {
        fal.media_faults().last().iter().any(|seen| seen.fault.is_some())
    })
    .await;
    system.kill_worker(third);
    system.start_worker().await;
    let job = system.wait_job(&id).await;
    assert_real(&job);
    assert_eq!((fal.n_submitted_with("Lampe"), fal.n_submitted_with("Vase")), (1, 1));
    assert!(outcomes(&job).iter().filter(|outcome| **outcome == "crashed").count() >= 1, "{job}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_submit_that_is_not_answered_is_adopted_by_its_webhook_and_paid_once() {
    let fal = fal().await;
    let system = with_webhooks(&fal, options(&fal).workers(2)).await;
    fal.hold();
    fal.faults().on(SUBMIT, Some(1), Fault::DropAfter);
    let id = push(&system, "Lampe", json!({})).await;
    wait_until("it waits for its webhook", PATIENCE, async || {
        let job = system.job(&id).await;
        job["state"] == "scheduled" && job["snoozes"]["last_code"] == "unknown_outcome"
    })
    .await;
    fal.release();
    let job = system.wait_job(&id).await;
    assert_real(&job);
    assert_eq!(fal.n_submitted(), 1, "{job}");
    assert_eq!(outcomes(&job), ["succeeded"], "waiting to be told is no attempt: {job}");
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_webhook_a_submit_that_is_not_answered_is_paid_twice_at_most() {
    let fal = fal().await;
    let system = System::start(options(&fal).workers(2)).await;
    fal.faults().on(SUBMIT, Some(1), Fault::DropAfter);
    let id = push(&system, "Lampe", json!({})).await;
    let job = system.wait_job(&id).await;
    assert_real(&job);
    assert_eq!(fal.n_submitted(), 2, "nobody could tell what came of the first: {job}");
    // It is never begun a third time, and what stands in says why.
    fal.faults().always(Fault::DropAfter);
    let id = push(&system, "Vase", json!({ "max_attempts": 4 })).await;
    let job = system.wait_job(&id).await;
    assert_placeholder(&job, "");
    assert_eq!(fal.n_submitted_with("Vase"), 2, "{job}");
    // What certainly did not arrive is sent again.
    fal.faults().recover();
    fal.faults().on(
        SUBMIT,
        Some(1),
        Fault::Status {
            status: 503,
            headers: [].into(),
            body: json!({ "detail": "busy", "error_type": "runner_scheduling_failure" }).to_string(),
        },
    );
    let id = push(&system, "Table", json!({})).await;
    assert_real(&system.wait_job(&id).await);
    assert_eq!(fal.n_submitted_with("Table"), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_webhook_brings_a_job_back_before_its_next_look() {
    let fal = fal().await;
    let system = with_webhooks(&fal, options(&fal).workers(1)).await;
    fal.hold();
    let id = push(&system, "Lampe", json!({})).await;
    waits_for_its_run(&system, &id).await;
    let polls = fal.counts().polls;
    fal.release();
    let job = system.wait_job(&id).await;
    assert_real(&job);
    assert_eq!((fal.counts().polls, fal.counts().results), (polls, 0), "what was delivered is not asked for: {job}");
    wait_until("it is delivered again", PATIENCE, async || fal.delivered().len() >= 2).await;
    assert!(fal.delivered().iter().all(|one| one.status == Some(200)), "{:?}", fal.delivered());
    let kept = mongodb::Client::with_uri_str(&system.mongo_url).await.unwrap();
    let kept = kept.database(&system.name).collection::<Document>("fal_deliveries");
    assert_eq!(kept.count_documents(doc! {}).await.unwrap(), 1);
    assert_eq!(outcomes(&system.job(&id).await), ["succeeded"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_but_fal_delivers_and_what_is_delivered_is_kept_once() {
    let fal = fal().await;
    let system = with_webhooks(&fal, options(&fal).workers(1)).await;
    fal.hold();
    let id = push(&system, "Lampe", json!({})).await;
    waits_for_its_run(&system, &id).await;
    let address = fal.webhook_addresses().remove(0);
    let address = address.strip_prefix("https://jobs.example").unwrap().to_owned();
    assert!(address.starts_with(&format!("/api/webhooks/fal?job={id}&sig=")), "{address}");
    let now_s = || u64::try_from(chrono::Utc::now().timestamp()).unwrap();
    let body = json!({ "request_id": "another", "status": "ERROR", "error": "x", "payload": null }).to_string();
    let deliver = async |address: &str, headers: &[(&'static str, String); 4], body: &str| {
        let mut request = system.client().post(format!("{}{address}", system.url())).body(body.to_owned());
        for (name, value) in headers {
            request = request.header(*name, value);
        }
        Answer::to(request).await.unwrap()
    };
    let good = fal.signed("another", body.as_bytes(), now_s());
    let changed = body.replace("ERROR", "OK");
    deliver(&address, &good, &changed).await.assert_problem(400, "bad-signature");
    deliver(&address.replace("job=", "job=x"), &good, &body).await.assert_problem(400, "bad-signature");
    for late in [now_s() - 400, now_s() + 400] {
        deliver(&address, &fal.signed("another", body.as_bytes(), late), &body)
            .await
            .assert_problem(400, "bad-signature");
    }
    let other = fal.signed("not the one in the body", body.as_bytes(), now_s());
    deliver(&address, &other, &body).await.assert_problem(400, "malformed");
    for _ in 0..3 {
        let answer = deliver(&address, &good, &body).await;
        assert_eq!(answer.status, 200, "{}", answer.body);
    }
    // What was delivered of another run is nothing to this one.
    fal.release();
    assert_real(&system.wait_job(&id).await);
    // Of a job that has ended, too: its healing may need it.
    let late = fal.signed("another", body.as_bytes(), now_s());
    assert_eq!(deliver(&address, &late, &body).await.status, 200);
    let kept = mongodb::Client::with_uri_str(&system.mongo_url).await.unwrap();
    let kept = kept.database(&system.name).collection::<Document>("fal_deliveries");
    let ids: BTreeSet<String> =
        kept.distinct("_id", doc! {}).await.unwrap().into_iter().map(|id| id.as_str().unwrap().to_owned()).collect();
    assert_eq!(ids.len(), 2, "{ids:?}");
    assert!(ids.contains("another"));
}

#[tokio::test(flavor = "multi_thread")]
async fn while_fal_is_away_placeholders_stand_in_and_are_replaced_at_the_same_addresses() {
    let fal = fal().await;
    let system = System::start(options(&fal)).await;
    let mut ids = Vec::new();
    // What says nothing may have begun a run, and is another matter.
    let body = json!({ "detail": "busy", "error_type": "runner_scheduling_failure" }).to_string();
    let busy = Fault::Status { status: 503, headers: [].into(), body };
    for fault in [busy, Fault::retry_after(429, 1)] {
        fal.faults().always(fault);
        for _ in 0..3 {
            ids.push(push(&system, &format!("Lampe {}.", ids.len()), json!({ "max_attempts": 1 })).await);
        }
        system.wait_jobs(&ids).await;
    }
    let mut before = Vec::new();
    for job in system.wait_jobs(&ids).await {
        assert_placeholder(&job, "");
        let address = job["result"]["images"][0]["sizes"]["600"]["jpg"].clone();
        before.push((file(&system, &address).await, address));
    }
    assert_eq!(fal.n_submitted(), 0);
    fal.faults().recover();
    for (id, ((tag, bytes), address)) in ids.iter().zip(before) {
        let job = healed(&system, id).await;
        assert_real(&job);
        let (new_tag, new_bytes) = file(&system, &address).await;
        assert!(tag != new_tag && bytes != new_bytes, "{id}");
        let seen = events(&system, id).await;
        assert_eq!(seen.iter().filter(|name| *name == "replaced").count(), 1, "{seen:?}");
    }
    for n in 0..6 {
        assert_eq!(fal.n_submitted_with(&format!("Lampe {n}.")), 1);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_that_is_late_is_fetched_by_healing_and_not_paid_again() {
    let fal = fal().await;
    let system = System::start(options(&fal).env("FAL_DEADLINE_S", "10").workers(1)).await;
    fal.hold();
    let id = push(&system, "Lampe", json!({})).await;
    let job = system.wait_job(&id).await;
    assert_placeholder(&job, "is not done after 10 s");
    let address = job["result"]["images"][0]["url"].clone();
    let (tag, _) = file(&system, &address).await;
    fal.release();
    let job = healed(&system, &id).await;
    assert_real(&job);
    assert_ne!(file(&system, &address).await.0, tag);
    assert_eq!(fal.n_submitted(), 1);
    assert!(events(&system, &id).await.contains(&"replaced".to_owned()));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_that_is_cancelled_while_it_waits_is_cancelled_at_fal() {
    let fal = fal().await;
    let system = System::start(options(&fal).workers(1)).await;
    fal.hold();
    let id = push(&system, "Lampe", json!({})).await;
    waits_for_its_run(&system, &id).await;
    assert_eq!(system.post(&format!("/api/jobs/{id}/cancel"), &json!({})).await.body["state"], "cancelled");
    wait_until("fal was told", PATIENCE, async || fal.counts().cancelled == 1).await;
    assert_eq!(system.job(&id).await["state"], "cancelled");
    // It can be run again, which begins another run.
    fal.release();
    assert_eq!(system.post(&format!("/api/jobs/{id}/retry"), &json!({})).await.status, 200);
    assert_real(&system.wait_job(&id).await);
    assert_eq!(fal.n_submitted(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_fal_flags_or_refuses_is_no_success_and_no_placeholder() {
    let fal = fal().await;
    let system = System::start(options(&fal).workers(1)).await;
    for (name, told) in [("Lampe nsfw", "flagged"), ("Lampe forbidden", "content_policy_violation")] {
        let id = push(&system, name, json!({})).await;
        let job = system.wait_job(&id).await;
        assert_eq!(job["state"], "dead", "{job}");
        let error = &attempts(&job).last().unwrap()["error"];
        assert_eq!(error["code"], "provider_rejected", "{job}");
        assert!(error["message"].as_str().unwrap().contains(told), "{job}");
        assert_eq!(fal.n_submitted_with(name), 1, "it is not tried again");
    }
    // Of several, those that are fit to be shown.
    let mut asked = lamp("Vase nsfw-1");
    asked["count"] = json!(3);
    let id = system.post_job("image", asked).await;
    let job = system.wait_job(&id).await;
    assert_real(&job);
    let ids: Vec<_> =
        job["result"]["images"].as_array().unwrap().iter().map(|image| image["id"].as_str().unwrap()).collect();
    assert_eq!(ids, [format!("{id}-0"), format!("{id}-2")]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_that_failed_is_begun_again_within_the_attempts() {
    let fal = fal().await;
    let system = System::start(options(&fal).workers(1)).await;
    let id = push(&system, "Lampe broken", json!({ "max_attempts": 2 })).await;
    let job = system.wait_job(&id).await;
    assert_placeholder(&job, "runner_disconnected");
    assert_eq!(attempts(&job)[0]["error"]["code"], "provider_unavailable", "{job}");
    assert_eq!(fal.n_submitted_with("Lampe broken"), 2, "a run that failed is not billed");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_comes_from_the_media_host_is_checked_by_its_bytes() {
    let fal = fal().await;
    let system = System::start(options(&fal).workers(2)).await;
    let good = ["turned", "png16", "webp", "small"];
    let bad = [
        ("truncated", "cut off"),
        ("empty", "0 bytes"),
        ("html", "a page of HTML"),
        ("bomb", "16383 x 16383 pixels"),
        ("cmyk", "CMYK"),
        ("heavy", "24"),
        ("gone", "no longer there"),
    ];
    let name = |word: &str| format!("Lampe picture:{word}");
    let mut ids = Vec::new();
    for word in good.into_iter().chain(bad.map(|(word, _)| word)) {
        ids.push(push(&system, &name(word), json!({ "max_attempts": 1 })).await);
    }
    let jobs = system.wait_jobs(&ids).await;
    for (word, job) in good.iter().zip(&jobs) {
        assert_real(job);
        let (_, bytes) = file(&system, &job["result"]["images"][0]["url"]).await;
        let picture = image::load_from_memory(&bytes).unwrap();
        let expected = if *word == "small" { (320, 240) } else { (640, 480) };
        assert_eq!((picture.width(), picture.height()), expected, "{word}");
        assert!(bytes.windows(4).all(|window| window != b"Exif"), "{word}");
    }
    for ((word, told), job) in bad.iter().zip(&jobs[good.len()..]) {
        assert_placeholder(job, told);
        assert_eq!(fal.n_submitted_with(&name(word)), 1, "{word}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn pictures_are_fetched_from_the_hosts_that_are_named_and_no_others() {
    let fal = fal().await;
    let system = System::start(options(&fal).env("FAL_MEDIA_HOSTS", "fal.media,*.fal.media").workers(1)).await;
    let id = push(&system, "Lampe", json!({})).await;
    let job = system.wait_job(&id).await;
    assert_placeholder(&job, "");
    let reason = job["degraded_reason"].as_str().unwrap();
    assert!(reason.contains("127.0.0.1"), "{reason}");
    assert_eq!(fal.counts().downloads, 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_run_is_paid_twice_by_two_workers_that_are_killed_and_stopped() {
    const N: usize = 24;
    let fal = fal().await;
    let mut system =
        with_webhooks(&fal, options(&fal).env("LEASE_S", "4").env("RENEWAL_S", "1").env("FAL_DEADLINE_S", "50")).await;
    let mut ids = Vec::new();
    for n in 0..N {
        ids.push(push(&system, &format!("Lampe {n}."), json!({})).await);
    }
    for round in 0..3 {
        let submitted = fal.n_submitted();
        wait_until("there is more", JOB_PATIENCE, async || {
            fal.n_submitted() > submitted.min(N - 1) || fal.n_submitted() >= N
        })
        .await;
        if round == 1 {
            // It comes back and does not know how long it was away.
            let stopped = system.start_worker().await;
            system.signal_worker(stopped, "STOP");
            wait_until("its lease has ended", PATIENCE, async || {
                system.get("/api/health").await.body["workers"].as_u64().is_some_and(|n| n <= 2)
            })
            .await;
            system.signal_worker(stopped, "CONT");
        } else {
            system.kill_worker(round);
            system.start_worker().await;
        }
    }
    for job in system.wait_jobs(&ids).await {
        assert_eq!(job["state"], "succeeded", "{job}");
        assert_real(&healed(&system, job["id"].as_str().unwrap()).await);
    }
    let twice: Vec<_> = (0..N).filter(|n| fal.n_submitted_with(&format!("Lampe {n}.")) != 1).collect();
    assert_eq!((fal.n_submitted(), twice), (N, Vec::new()));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_key_of_fal_and_the_signatures_of_its_webhooks_are_shown_nowhere() {
    let fal = fal().await;
    let system = with_webhooks(&fal, options(&fal).env("RUST_LOG", "debug").workers(1)).await;
    let real = push(&system, "Lampe", json!({})).await;
    assert_real(&system.wait_job(&real).await);
    // It quotes our key.
    let quoted = json!({ "detail": format!("no access with Key {KEY}") }).to_string();
    fal.faults().always(Fault::Status { status: 401, headers: [].into(), body: quoted });
    let refused = push(&system, "Vase", json!({ "max_attempts": 1 })).await;
    wait_until("it was refused", PATIENCE, async || {
        let job = system.job(&refused).await;
        tests::is_finished(&job) || n_snoozes(&job) > 0
    })
    .await;
    let sig = fal.webhook_addresses()[0].split_once("sig=").unwrap().1.to_owned();
    let forbidden = ["fal-hush", sig.as_str()];
    let mut places = vec![("the producer's log".to_owned(), system.producer_log().into_bytes())];
    places.push(("the worker's log".to_owned(), system.worker_log(0).into_bytes()));
    for path in [
        "/api/jobs",
        "/api/status",
        "/api/mode",
        "/api/usage",
        &format!("/api/jobs/{real}"),
        &format!("/api/jobs/{refused}"),
    ] {
        places.push((path.to_owned(), system.get(path).await.body.to_string().into_bytes()));
    }
    for (key, value) in crate::redis_keys(&system).await {
        places.push((String::from_utf8_lossy(&key).into_owned(), value));
    }
    places.extend(servers::mongo_dump(&system.mongo_url, &system.name));
    assert!(places.iter().any(|(place, _)| place == "fal_deliveries"), "it was looked everywhere");
    for (place, text) in places {
        for secret in forbidden {
            assert!(text.windows(secret.len()).all(|window| window != secret.as_bytes()), "{place} shows {secret}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn in_mock_mode_fal_is_not_asked() {
    let fal = fal().await;
    let system = System::start(options(&fal).env("MOCK_MODE_IMAGES", "true").workers(1)).await;
    let id = push(&system, "Lampe", json!({})).await;
    let job = system.wait_job(&id).await;
    assert_eq!(
        (&job["provider"], &job["degraded"], &job["result"]["model"]),
        (&json!("mock"), &json!(false), &json!("placeholder"))
    );
    crate::assert_ran_once(&job);
    assert_eq!((fal.faults().n_requests(), fal.counts().downloads), (0, 0));
    // Switched while it runs.
    let switch = system.request(Method::PUT, "/api/mode").json(&json!({ "mode": "real", "service": "images" }));
    assert_eq!(Answer::to(switch).await.unwrap().status, 200);
    wait_until("it is real everywhere", Duration::from_secs(20), async || {
        let id = push(&system, "Vase", json!({})).await;
        system.wait_job(&id).await["provider"] == "fal"
    })
    .await;
}
