//! fal.ai's queue.

use reqwest::RequestBuilder;
use serde_json::{Value, json};
use tests::standins::{
    Fault,
    fal::{Fal, MODEL},
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
    }
    assert_eq!((fal.n_submitted(), fal.faults().n_answered("a red mug")), (2, 2));
}

#[tokio::test]
async fn a_failed_run_completes_and_its_result_says_why() {
    let fal = Fal::start(0, KEY).await.unwrap();
    let (status, result) = run(&fal, json!({ "prompt": "something forbidden" })).await;
    assert_eq!((status, &result["detail"][0]["type"]), (422, &json!("content_policy_violation")));
    let (status, result) = run(&fal, json!({ "prompt": "something nsfw", "num_images": 2 })).await;
    assert_eq!((status, &result["has_nsfw_concepts"]), (200, &json!([true, true])));
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
