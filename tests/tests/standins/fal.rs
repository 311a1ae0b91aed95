//! fal.ai's queue.

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use axum::{Router, body::Bytes, extract::State, http::HeaderMap, http::StatusCode, routing::post};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use image::ImageFormat;
use reqwest::RequestBuilder;
use ring::signature::{ED25519, UnparsedPublicKey};
use serde_json::{Value, json};
use servers::wait_until;
use sha2::{Digest, Sha256};
use tests::standins::{
    Fault,
    fal::{Counts, Fal, MODEL},
    fault::Front,
};

use crate::client;

const KEY: &str = "id:secret";

async fn answer(request: RequestBuilder) -> (u16, Value) {
    let answer = request.header("Authorization", format!("Key {KEY}")).send().await.unwrap();
    (answer.status().as_u16(), answer.json().await.unwrap())
}

fn submit(fal: &Fal, input: &Value) -> RequestBuilder {
    client().post(format!("{}/{MODEL}", fal.url())).json(input)
}

fn at(submitted: &Value, name: &str) -> RequestBuilder {
    client().get(submitted[name].as_str().unwrap())
}

/// The result after the statuses that come before it.
async fn run(fal: &Fal, input: Value) -> (u16, Value) {
    let (status, submitted) = answer(submit(fal, &input)).await;
    assert_eq!((status, &submitted["status"]), (200, &json!("IN_QUEUE")), "{submitted}");
    assert_eq!(answer(at(&submitted, "response_url")).await.0, 400, "not yet");
    for expected in [(202, "IN_QUEUE"), (202, "IN_PROGRESS"), (200, "COMPLETED")] {
        let (status, body) = answer(at(&submitted, "status_url")).await;
        assert_eq!((status, body["status"].as_str().unwrap()), expected);
    }
    answer(at(&submitted, "response_url")).await
}

/// The type and bytes of a picture of a result.
async fn picture_of(result: &Value, n: usize) -> (String, Bytes) {
    let picture = client().get(result["images"][n]["url"].as_str().unwrap()).send().await.unwrap();
    assert_eq!(picture.status().as_u16(), 200);
    (picture.headers()["content-type"].to_str().unwrap().to_owned(), picture.bytes().await.unwrap())
}

#[tokio::test]
async fn a_picture_is_queued_made_and_fetched_from_the_urls_that_were_given() {
    let fal = Fal::start(0, KEY).await.unwrap();
    for (ending, magic, n_bytes) in [("jpeg", &b"\xff\xd8\xff"[..], 1_000), ("png", b"\x89PNG", 30_000)] {
        let input = json!({ "prompt": "a red mug", "image_size": "square", "output_format": ending, "seed": 7 });
        let (status, result) = run(&fal, input).await;
        assert_eq!((status, &result["seed"], &result["has_nsfw_concepts"]), (200, &json!(7), &json!([false])));
        let image = &result["images"][0];
        assert_eq!((&image["width"], &image["content_type"]), (&json!(512), &json!(format!("image/{ending}"))));
        let picture = client().get(image["url"].as_str().unwrap()).send().await.unwrap();
        assert_eq!(picture.headers()["content-type"], format!("image/{ending}"));
        let bytes = picture.bytes().await.unwrap();
        assert!(bytes.starts_with(magic) && bytes.len() > n_bytes, "{} bytes", bytes.len());
        let decoded = image::load_from_memory(&bytes).unwrap().into_rgb8();
        assert_eq!((decoded.width(), decoded.height()), (512, 512));
        assert!(bytes == picture_of(&result, 0).await.1, "the same one has the same bytes");
    }
    assert_eq!((fal.n_submitted(), fal.faults().n_answered("a red mug")), (2, 2));
    assert_eq!(fal.n_submitted_with("mug"), 2);
    let expected = Counts { submits: 2, polls: 6, results: 4, downloads: 4, ..Counts::default() };
    assert_eq!((fal.counts(), fal.media_faults().n_requests()), (expected, 4));
}

#[tokio::test]
async fn a_failed_run_completes_and_its_result_says_why() {
    let fal = Fal::start(0, KEY).await.unwrap();
    let (status, result) = run(&fal, json!({ "prompt": "something forbidden" })).await;
    assert_eq!((status, &result["detail"][0]["type"]), (422, &json!("content_policy_violation")));
    for (prompt, marks) in [("something nsfw", json!([true, true])), ("something nsfw-1", json!([false, true]))] {
        let (status, result) = run(&fal, json!({ "prompt": prompt, "num_images": 2 })).await;
        assert_eq!((status, &result["has_nsfw_concepts"]), (200, &marks));
    }
    fal.takes(0);
    let (_, submitted) = answer(submit(&fal, &json!({ "prompt": "something broken" }))).await;
    let (status, told) = answer(at(&submitted, "status_url")).await;
    assert_eq!(
        (status, &told["status"], &told["error_type"]),
        (200, &json!("COMPLETED"), &json!("runner_disconnected"))
    );
    assert_eq!(answer(at(&submitted, "response_url")).await.0, 503);
}

#[tokio::test]
async fn what_the_model_refuses_is_refused() {
    let fal = Fal::start(0, KEY).await.unwrap();
    let cases = [
        (json!({}), "prompt"),
        (json!({ "prompt": "x", "safety_tolerance": 2 }), "safety_tolerance"),
        (json!({ "prompt": "x", "image_size": "huge" }), "image_size"),
        (json!({ "prompt": "x", "num_images": 9 }), "num_images"),
        (json!({ "prompt": "x", "aspect_ratio": "1:1" }), "extra"),
    ];
    for (input, field) in cases {
        let (status, refused) = answer(submit(&fal, &input)).await;
        assert_eq!((status, &refused["detail"][0]["loc"][1]), (422, &json!(field)), "{refused}");
    }
    let bearer = submit(&fal, &json!({ "prompt": "x" })).bearer_auth(KEY).send().await.unwrap();
    assert_eq!((bearer.status().as_u16(), fal.n_submitted()), (401, 0));
    assert_eq!(answer(client().get(format!("{}/{MODEL}/requests/1", fal.url()))).await.0, 404, "not below the model");
}

#[tokio::test]
async fn a_submit_whose_answer_is_lost_was_accepted() {
    let fal = Fal::start(0, KEY).await.unwrap();
    fal.faults().next(1, Fault::DropAfter);
    let lost = submit(&fal, &json!({ "prompt": "x" })).header("Authorization", format!("Key {KEY}"));
    lost.send().await.unwrap_err();
    assert_eq!((fal.n_submitted(), fal.faults().n_answered("x")), (1, 0));
}

#[tokio::test]
async fn each_run_has_its_own_picture_and_a_seed_of_more_than_32_bits_if_none_was_asked_for() {
    let fal = Fal::start(0, KEY).await.unwrap();
    let (_, result) =
        run(&fal, json!({ "prompt": "a lamp", "num_images": 2, "image_size": { "width": 640, "height": 360 } })).await;
    assert!(result["seed"].as_u64().unwrap() > u64::from(u32::MAX), "{result}");
    let (first, second) = (picture_of(&result, 0).await.1, picture_of(&result, 1).await.1);
    assert!(first != second);
    let picture = image::load_from_memory(&first).unwrap().into_rgb8();
    assert_eq!((picture.width(), picture.height()), (640, 360));
    // Not one colour, and no noise either: its middle is another thing than its corner.
    let mean = |x: u32, y: u32| {
        let pixels = (0..16).flat_map(|i| picture.get_pixel(x + i % 4, y + i / 4).0);
        pixels.map(u32::from).sum::<u32>() / 48
    };
    assert!(mean(320, 200).abs_diff(mean(8, 8)) > 8, "{} {}", mean(320, 200), mean(8, 8));
}

#[tokio::test]
async fn a_prompt_can_ask_for_files_that_are_no_good() {
    let fal = Fal::start(0, KEY).await.unwrap();
    let made = async |word: &str| {
        let input =
            json!({ "prompt": format!("a lamp picture:{word}."), "image_size": { "width": 320, "height": 200 } });
        run(&fal, input).await.1
    };
    let file = async |word: &str| picture_of(&made(word).await, 0).await;
    let (kind, bytes) = file("truncated").await;
    assert!(kind == "image/jpeg" && bytes.starts_with(b"\xff\xd8\xff") && !bytes.ends_with(b"\xff\xd9"));
    assert_eq!(file("empty").await.1.len(), 0);
    let (kind, bytes) = file("html").await;
    assert!(kind == "text/html" && bytes.starts_with(b"<!doctype html>"));
    let bomb = file("bomb").await.1;
    assert!(bomb.len() < 1000);
    assert_eq!(bomb[16..24], [16_383_u32.to_be_bytes(), 16_383_u32.to_be_bytes()].concat());
    let turned = file("turned").await.1;
    assert!(turned.windows(6).any(|window| window == b"Exif\0\0"));
    let sides =
        |bytes: &[u8]| image::load_from_memory(bytes).map(|picture| (picture.width(), picture.height())).unwrap();
    assert_eq!((sides(&turned), sides(&file("small").await.1)), ((200, 320), (160, 100)));
    let deep = image::load_from_memory(&file("png16").await.1).unwrap();
    assert_eq!(deep.color(), image::ColorType::Rgb16);
    assert_eq!(image::guess_format(&file("webp").await.1).unwrap(), ImageFormat::WebP);
    // The frame of a JPEG says how many colours follow.
    let cmyk = file("cmyk").await.1;
    let frame = cmyk.windows(2).position(|marker| marker == [0xff, 0xc0]).unwrap();
    assert_eq!(cmyk[frame + 9], 4);
    assert!(file("heavy").await.1.len() > 24 << 20);
    let gone = made("gone").await;
    let gone = client().get(gone["images"][0]["url"].as_str().unwrap()).send().await.unwrap();
    assert_eq!(gone.status().as_u16(), 404);
}

#[tokio::test]
async fn runs_can_be_held_and_released_and_cancelled() {
    let fal = Fal::start(0, KEY).await.unwrap();
    fal.hold();
    let (_, first) = answer(submit(&fal, &json!({ "prompt": "first" }))).await;
    let (_, second) = answer(submit(&fal, &json!({ "prompt": "second" }))).await;
    for _ in 0..5 {
        assert_eq!(answer(at(&first, "status_url")).await.0, 202);
    }
    let cancel = async |run: &Value| answer(client().put(run["cancel_url"].as_str().unwrap())).await;
    let (status, said) = cancel(&first).await;
    assert_eq!((status, &said["status"]), (202, &json!("CANCELLATION_REQUESTED")));
    fal.release();
    assert_eq!(answer(at(&second, "status_url")).await.1["status"], "COMPLETED");
    let (status, said) = cancel(&second).await;
    assert_eq!((status, &said["status"]), (400, &json!("ALREADY_COMPLETED")));
    let unknown = json!({ "cancel_url": first["cancel_url"].as_str().unwrap().replace("00000001-", "00000009-") });
    let (status, said) = cancel(&unknown).await;
    assert_eq!((status, &said["status"]), (404, &json!("NOT_FOUND")));
    assert_eq!(answer(at(&first, "response_url")).await.0, 400);
    assert_eq!((fal.counts().cancels, fal.counts().cancelled), (3, 1));
}

#[tokio::test]
async fn other_models_are_known_and_their_runs_are_below_owner_and_app() {
    let fal = Fal::start(0, KEY).await.unwrap();
    let post = |model: &str, input: Value| client().post(format!("{}/{model}", fal.url())).json(&input);
    let (status, ultra) =
        answer(post("fal-ai/flux-pro/v1.1-ultra", json!({ "prompt": "x", "aspect_ratio": "3:2" }))).await;
    assert_eq!(status, 200, "{ultra}");
    let (status, flux2) = answer(post("fal-ai/flux-2-pro", json!({ "prompt": "x" }))).await;
    assert!(status == 200 && flux2["status_url"].as_str().unwrap().contains("/fal-ai/flux-2-pro/requests/"), "{flux2}");
    fal.release();
    assert_eq!(answer(at(&ultra, "response_url")).await.1["images"][0]["height"], 1365);
    assert_eq!(
        answer(post("fal-ai/flux-pro/v1.1-ultra", json!({ "prompt": "x", "image_size": "square" }))).await.0,
        422
    );
    assert_eq!(answer(post("somebody/else", json!({ "prompt": "x" }))).await.0, 404);
}

type Received = Arc<Mutex<Vec<(HeaderMap, Bytes)>>>;

async fn receive(State(received): State<Received>, headers: HeaderMap, body: Bytes) -> StatusCode {
    let mut received = received.lock().unwrap();
    received.push((headers, body));
    // The first one is to come again.
    if received.len() == 1 { StatusCode::SERVICE_UNAVAILABLE } else { StatusCode::OK }
}

#[tokio::test]
async fn what_came_of_a_run_is_delivered_until_it_is_taken_and_once_more() {
    let fal = Fal::start(0, KEY).await.unwrap();
    let received = Received::default();
    let ours = Router::new().route("/hook", post(receive)).with_state(received.clone());
    let ours = Front::start(0, ours).await.unwrap();
    fal.deliver_to(&ours.url());
    fal.hold();
    let told = async |url: &str| {
        let submit = submit(&fal, &json!({ "prompt": "a lamp" })).query(&[("fal_webhook", url)]);
        answer(submit).await.0
    };
    assert_eq!(told("http://jobs.example/hook").await, 422, "https alone");
    assert_eq!(told("https://jobs.example/hook?job=1&sig=2").await, 200);
    assert_eq!(fal.webhook_addresses(), ["https://jobs.example/hook?job=1&sig=2"]);
    assert!(received.lock().unwrap().is_empty());
    fal.release();
    wait_until("it is delivered three times", Duration::from_secs(10), async || fal.delivered().len() == 3).await;
    assert_eq!(fal.delivered().iter().map(|one| one.status).collect::<Vec<_>>(), [Some(503), Some(200), Some(200)]);
    assert!(ours.faults().last().iter().all(|seen| seen.path == "/hook?job=1&sig=2"));

    let keys: Value = client().get(fal.jwks_url()).send().await.unwrap().json().await.unwrap();
    assert_eq!((&keys["keys"][0]["kty"], &keys["keys"][0]["crv"]), (&json!("OKP"), &json!("Ed25519")));
    let key = URL_SAFE_NO_PAD.decode(keys["keys"][0]["x"].as_str().unwrap()).unwrap();
    let (headers, body) = received.lock().unwrap()[2].clone();
    let header = |name: &str| headers[format!("x-fal-webhook-{name}")].to_str().unwrap();
    let hash: String = Sha256::digest(&body).iter().map(|byte| format!("{byte:02x}")).collect();
    let message = format!("{}\n{}\n{}\n{hash}", header("request-id"), header("user-id"), header("timestamp"));
    let signature = (0..64).map(|n| u8::from_str_radix(&header("signature")[2 * n..2 * n + 2], 16).unwrap());
    let verified = UnparsedPublicKey::new(&ED25519, key).verify(message.as_bytes(), &signature.collect::<Vec<_>>());
    assert!(verified.is_ok());
    let body: Value = serde_json::from_slice(&body).unwrap();
    assert_eq!((&body["status"], &body["request_id"]), (&json!("OK"), &json!(header("request-id"))));
    assert!(body["payload"]["images"][0]["url"].is_string());
    fal.rotate_key();
    let other: Value = client().get(fal.jwks_url()).send().await.unwrap().json().await.unwrap();
    assert_ne!(other, keys);
}
