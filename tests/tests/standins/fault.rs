//! Every fault as a client sees it, set in process and from outside.

use std::time::{Duration, Instant};

use reqwest::{RequestBuilder, Response, StatusCode};
use serde_json::{Value, json};
use tests::standins::{Fault, openai::OpenAi};

use crate::client;

const KEY: &str = "sk-test";
const MODEL: &str = "gpt-6-luna";

async fn standin() -> OpenAi {
    OpenAi::start(KEY, MODEL).await.unwrap()
}

fn ask(standin: &OpenAi, product_id: &str) -> RequestBuilder {
    let schema = json!({ "type": "object", "properties": { "language": { "type": "string", "enum": ["fr"] } },
        "required": ["language"], "additionalProperties": false });
    let input = json!({ "product_id": product_id, "name": "Lampe" }).to_string();
    let body = json!({ "model": MODEL, "input": input, "store": false,
        "text": { "format": { "type": "json_schema", "name": "texts", "strict": true, "schema": schema } } });
    client().post(format!("{}/responses", standin.url())).bearer_auth(KEY).json(&body)
}

async fn whole(response: Response) -> Value {
    response.error_for_status().unwrap().json().await.unwrap()
}

/// Sets a fault as a person at a terminal does.
async fn put(standin: &OpenAi, order: Value) -> (StatusCode, Value) {
    let answer = client().put(format!("{}/_fault", root(standin))).json(&order).send().await.unwrap();
    (answer.status(), answer.json().await.unwrap())
}

fn root(standin: &OpenAi) -> &str {
    standin.url().trim_end_matches("/v1")
}

#[tokio::test]
async fn a_status_with_headers_and_body_for_the_next_requests() {
    let standin = standin().await;
    let limited = put(
        &standin,
        json!({ "fault": "status", "status": 429, "headers": { "retry-after": "2" },
        "body": "{\"error\":{}}", "times": 2 }),
    )
    .await;
    assert_eq!((limited.0, &limited.1["next"][0]["times"]), (StatusCode::OK, &json!(2)));
    for _ in 0..2 {
        let answer = ask(&standin, "P-1").send().await.unwrap();
        assert_eq!(answer.status().as_u16(), 429);
        assert_eq!(answer.headers()["retry-after"], "2");
        assert_eq!(answer.headers()["content-type"], "application/json");
        assert_eq!(answer.text().await.unwrap(), r#"{"error":{}}"#);
    }
    assert_eq!(whole(ask(&standin, "P-1").send().await.unwrap()).await["status"], "completed");
    let faults = standin.faults();
    assert_eq!((faults.n_requests(), faults.n_asked("POST /v1/responses"), faults.n_answered("P-1")), (3, 3, 1));
}

#[tokio::test]
async fn until_told_otherwise_and_only_for_a_path() {
    let standin = standin().await;
    standin.faults().on("/v1/responses", None, Fault::status(500));
    for _ in 0..3 {
        assert_eq!(ask(&standin, "P-1").send().await.unwrap().status().as_u16(), 500);
    }
    let card = client().get(format!("{}/models/{MODEL}", standin.url())).bearer_auth(KEY);
    assert_eq!(card.send().await.unwrap().status().as_u16(), 200);
    assert_eq!(put(&standin, json!({ "fault": "none" })).await.1, json!({ "next": [], "until_told_otherwise": null }));
    whole(ask(&standin, "P-2").send().await.unwrap()).await;

    let requests: Value =
        client().get(format!("{}/_requests", root(&standin))).send().await.unwrap().json().await.unwrap();
    assert_eq!((&requests["requests"], &requests["answered"]), (&json!(5), &json!({ "P-2": 1 })));
    assert_eq!(requests["counts"], json!({ "POST /v1/responses": 4, "GET /v1/models/gpt-6-luna": 1 }));
    let statuses: Vec<&Value> = requests["last"].as_array().unwrap().iter().map(|seen| &seen["status"]).collect();
    assert_eq!(statuses, [500, 500, 500, 200, 200]);
}

#[tokio::test]
async fn a_hang_a_delay_and_a_page_of_a_proxy() {
    let standin = standin().await;
    standin.faults().next(1, Fault::Hang);
    let error = ask(&standin, "P-1").timeout(Duration::from_millis(300)).send().await.unwrap_err();
    assert!(error.is_timeout(), "{error:?}");
    assert_eq!(standin.n_requests(), 0, "nothing was carried out");

    standin.faults().next(1, Fault::Delay { ms: 200 });
    let started = Instant::now();
    whole(ask(&standin, "P-1").send().await.unwrap()).await;
    assert!(started.elapsed() >= Duration::from_millis(200));

    standin.faults().next(1, Fault::WrongType);
    let answer = ask(&standin, "P-1").send().await.unwrap();
    assert_eq!(answer.status().as_u16(), 200);
    assert_eq!(answer.headers()["content-type"], "text/html; charset=utf-8");
    assert!(answer.json::<Value>().await.unwrap_err().is_decode());
    assert_eq!((standin.n_requests(), standin.faults().n_answered("P-1")), (2, 1));
}

#[tokio::test]
async fn half_a_body_has_its_head_and_its_first_half() {
    let standin = standin().await;
    standin.faults().next(1, Fault::HalfBody);
    let mut answer = ask(&standin, "P-1").send().await.unwrap();
    let promised: usize = answer.headers()["content-length"].to_str().unwrap().parse().unwrap();
    let mut received = 0;
    let error = loop {
        match answer.chunk().await {
            Ok(chunk) => received += chunk.expect("the answer must not end well").len(),
            Err(error) => break error,
        }
    };
    assert!(!error.is_timeout(), "{error:?}");
    assert_eq!(received, promised / 2);
    assert_eq!((standin.n_requests(), standin.faults().n_answered("P-1")), (1, 0), "carried out, not answered");
}

#[tokio::test]
async fn a_dropped_connection_before_and_after_the_work() {
    let standin = standin().await;
    for (fault, n_carried_out) in [(Fault::DropBefore, 0), (Fault::DropAfter, 1)] {
        standin.faults().next(1, fault);
        let error = ask(&standin, "P-1").send().await.unwrap_err();
        assert!(error.is_request() && !error.is_timeout() && !error.is_connect(), "{error:?}");
        assert_eq!(standin.n_requests(), n_carried_out);
    }
    whole(ask(&standin, "P-1").send().await.unwrap()).await;
}

#[tokio::test]
async fn an_order_that_makes_no_sense_is_refused_with_what_would() {
    let standin = standin().await;
    for bad in [
        json!({ "fault": "explode" }),
        json!({ "fault": "status" }),
        json!({ "fault": "status", "status": 99 }),
        json!({ "fault": "hang", "time": 3 }),
    ] {
        let (status, answer) = put(&standin, bad.clone()).await;
        assert_eq!(status, StatusCode::BAD_REQUEST, "{bad}");
        assert!(answer["error"].as_str().is_some_and(|error| error.contains("status")), "{answer}");
    }
    whole(ask(&standin, "P-1").send().await.unwrap()).await;
}
