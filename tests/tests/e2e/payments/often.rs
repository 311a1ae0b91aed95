//! A tenant that asks too often, and the others.

use std::time::Duration;

use producer::Scope;
use reqwest::Method;
use secrecy::SecretString;
use tests::{Answer, Options, System, standins::stripe::Stripe};

use super::{KEY, variables};

#[tokio::test]
async fn a_tenant_that_asks_too_often_is_told_so_and_others_are_answered() {
    let stripe = Stripe::start(0, KEY, &["price_pro", "price_premium"]).await.unwrap();
    let options = Options::default().workers(0).env("PAYMENTS_REQUESTS_PER_MIN", "300");
    let variables = variables(&stripe).into_iter();
    let system = System::start(variables.fold(options, |options, (name, value)| options.env(name, value))).await;
    let secret = SecretString::from(system.secret());
    let ask = async |tenant: &str| {
        let token =
            producer::sign(&secret, "tests", Some(tenant), &[Scope::PaymentsRead], Duration::from_secs(600)).unwrap();
        let url = format!("{}/api/payments/invoices", system.url());
        Answer::to(system.client().request(Method::GET, url).bearer_auth(token)).await.unwrap()
    };
    // 300 / 32, and one that came in the meantime.
    let mut n_answered = 0;
    let refused = loop {
        let answer = ask("noisy").await;
        if answer.status == 429 {
            break answer;
        }
        assert_eq!(answer.status, 200, "{}", answer.body);
        n_answered += 1;
        assert!(n_answered < 100, "it is never told to stop");
    };
    assert!(n_answered >= 9, "{n_answered}");
    refused.assert_problem(429, "over-quota");
    let detail = refused.body["detail"].as_str().unwrap();
    assert!(detail.contains("9 calls of payments a minute"), "{detail}");
    let wait: u64 = refused.header("retry-after").parse().unwrap();
    assert!((1..=7).contains(&wait), "{wait}");
    assert_eq!(ask("quiet").await.status, 200);
}
