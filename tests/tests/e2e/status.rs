//! How services stand: `GET /api/status` and `ecomctl status`, against real servers.

use serde_json::{Value, json};
use servers::{SmtpServer, wait_until};
use tests::{Answer, Gate, Options, PATIENCE, System, standins::openai::Reply};

use crate::{MODEL, product, real_texts, slow_model};

fn part<'a>(status: &'a Value, service: &str) -> &'a Value {
    status["services"].as_array().unwrap().iter().find(|part| part["service"] == service).unwrap()
}

async fn until_probed(system: &System, service: &str) -> Value {
    let mut part = Value::Null;
    wait_until(&format!("{service} was probed"), PATIENCE, async || {
        part = system.get(&format!("/api/status/{service}")).await.body;
        !part["probe"].is_null()
    })
    .await;
    part
}

#[tokio::test(flavor = "multi_thread")]
async fn the_status_says_what_answers_and_costs_nothing() {
    let (model, mail) = (slow_model(&Gate::opened()).await, SmtpServer::start());
    let options = real_texts(Options::default().workers(1), &model, 1).real_email(mail.port());
    let system = System::start(options).await;
    for service in ["ai", "email", "mongodb", "redis", "security"] {
        let part = until_probed(&system, service).await;
        assert_eq!((&part["probe"]["ok"], &part["probe"]["error"]), (&json!(true), &Value::Null), "{part}");
        assert!(part["probe"]["latency_ms"].is_number() && part["probe"]["at"].is_string(), "{part}");
    }
    let status = system.get("/api/status").await.body;
    assert_eq!(status["mode"], "mixed");
    let ai = part(&status, "ai");
    assert_eq!((&ai["breaker"], &ai["calls_1h"], &ai["degraded_waiting"]), (&json!("closed"), &json!(0), &json!(0)));
    let payments = part(&status, "payments");
    assert_eq!((&payments["mode"], &payments["configured"]), (&json!("mock"), &json!(false)));
    assert!(payments["missing"].as_array().unwrap().contains(&json!("STRIPE_API_KEY")), "{payments}");
    assert_eq!(part(&status, "redis")["breaker"], Value::Null);

    let asked = format!("GET /v1/models/{MODEL}");
    assert_eq!((model.faults().n_asked(&asked), model.n_requests()), (1, 0), "one free look-up, and no text");
    assert_eq!(mail.messages().len(), 0);
    let table = system.ecomctl(&["status"]).await;
    let text = String::from_utf8(table.stdout).unwrap();
    assert!(table.status.success() && text.contains("prices get old"), "{text}");
    let one = system.ecomctl(&["status", "email", "--json"]).await;
    assert_eq!(serde_json::from_slice::<Value>(&one.stdout).unwrap()["risk"], "P1");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unusable_account_shows_with_what_waits_for_it() {
    let model = slow_model(&Gate::opened()).await;
    model.otherwise(Reply::OutOfQuota);
    let system = System::start(real_texts(Options::default().workers(1), &model, 1)).await;
    let id = system.post_job("content", product(1)).await;
    assert_eq!(system.wait_job(&id).await["degraded"], true);
    let mut ai = Value::Null;
    wait_until("the breaker is open", PATIENCE, async || {
        ai = system.get("/api/status/ai").await.body;
        ai["breaker"] == "open" && ai["calls_1h"] == 1
    })
    .await;
    assert_eq!((&ai["success_rate_1h"], &ai["degraded_waiting"]), (&json!(0.0), &json!(1)), "{ai}");
    assert!(ai["breaker_reason"].as_str().unwrap().contains("out of quota"), "{ai}");

    // What a vendor said of one tenant's call is not for the others.
    let other = producer::sign(&system.secret().into(), "x", Some("other"), &[producer::Scope::JobsRead], PATIENCE);
    let other = other.unwrap();
    for path in ["/api/status/ai", "/api/status"] {
        let answer =
            Answer::to(system.client().get(format!("{}{path}", system.url())).bearer_auth(&other)).await.unwrap();
        let text = answer.body.to_string();
        assert!(text.contains("\"breaker\":\"open\"") && text.contains("with the scope admin"), "{text}");
        assert!(!text.contains("out of quota") && !text.contains("openai:"), "{text}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_vendor_that_hangs_does_not_hold_up_the_answer() {
    let gate = Gate::opened();
    let model = slow_model(&gate).await;
    model.faults().on("/v1/models", None, tests::standins::Fault::Hang);
    let system = System::start(real_texts(Options::default().workers(0), &model, 1)).await;
    // The probe was begun at the start; it takes 5 s to give up, and until then there is none.
    let first = system.get("/api/status/ai").await;
    assert_eq!((first.status, &first.body["probe"]), (200, &Value::Null), "{}", first.body);
    let ai = until_probed(&system, "ai").await;
    assert_eq!((&ai["probe"]["ok"], &ai["probe"]["error"]), (&json!(false), &json!("no answer within 5 s")));
}
