//! Deliveries of Stripe beside the least that a route without a token does: both get the same requests.

use anyhow::ensure;
use chrono::Utc;
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

use crate::{
    api::{Api, CONNECTIONS, WEBHOOK_SECRET},
    http::{self, Request},
    whole_way::{self, Place, WORKS},
};

const ROUTE: &str = "/api/webhooks/stripe";
/// So many turns each has.
const TURNS: usize = 3;
/// Events of one turn that come before those that count.
const WARM_UP: usize = 500;
/// What an event of a subscription has besides, in bytes.
const REST: usize = 2_500;

/// Stored events a second, answers a second of the least route, and the first by the second. The workers are stopped. `events` is how many
/// each turn has.
pub(crate) async fn measure(place: &mut Place<'_>, events: usize) -> anyhow::Result<Vec<f64>> {
    place.clear().await?;
    // They make the indexes of what is stored.
    let workers = whole_way::start_workers(place, &WORKS[0])?;
    let api = Api::start(place, &std::env::current_exe()?, &["api"]).await?;
    api.until_a_job_has_ended(place).await?;
    whole_way::stop(workers).await?;
    let mut rates = [0.0; 2];
    for turn in 0..TURNS {
        for (rate, path) in rates.iter_mut().zip([ROUTE, producer::LEAST_OPEN]) {
            let warm_up = deliveries(path, &format!("{turn}w"), WARM_UP)?;
            http::rate_of_all(api.address, CONNECTIONS, warm_up, 200).await?;
            let all = deliveries(path, &turn.to_string(), events)?;
            *rate += http::rate_of_all(api.address, CONNECTIONS, all, 200).await? / TURNS as f64;
        }
    }
    ensure!(rates[1] > 0.0, "the least route has answered nothing");
    Ok(vec![rates[0], rates[1], rates[0] / rates[1]])
}

/// Signed deliveries of so many events, each with an id and a customer of its own.
fn deliveries(path: &str, name: &str, n: usize) -> anyhow::Result<Vec<Request>> {
    let now_s = Utc::now().timestamp();
    let rest = "x".repeat(REST);
    let delivery = |number: usize| {
        let id = format!("{name}x{number}");
        let body = format!(
            r#"{{"id":"evt_{id}","object":"event","api_version":"2026-10-28.endive","created":{now_s},"livemode":false,"type":"customer.subscription.updated","data":{{"object":{{"id":"sub_{id}","object":"subscription","customer":"cus_{id}","metadata":{{"tenant":"bench"}},"description":"{rest}"}}}}}}"#
        );
        let mut mac = Hmac::<Sha256>::new_from_slice(WEBHOOK_SECRET.as_bytes())?;
        mac.update(format!("{now_s}.{body}").as_bytes());
        let signature = format!("stripe-signature: t={now_s},v1={}", hex::encode(mac.finalize().into_bytes()));
        Ok(Request::new(&[&format!("POST {path}"), "content-type: application/json", &signature], &body))
    };
    (0..n).map(delivery).collect()
}
