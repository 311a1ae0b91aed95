//! What pictures cost a tenant, and what it may spend.

use redis::AsyncCommands;
use serde_json::json;
use servers::wait_until;
use store::{Store, SubscriptionState};
use tests::{PATIENCE, System, standins::stripe::Stripe};

use crate::{
    fal::{assert_placeholder, assert_real, fal, options, push},
    payments,
};

/// What a picture of these tests costs, in millionths of a dollar.
const PICTURE: i64 = 40_000;

#[tokio::test(flavor = "multi_thread")]
async fn pictures_are_under_the_tenants_spending_cap() {
    let fal = fal().await;
    // Two pictures of 0.04 dollars, and a half.
    let system = System::start(options(&fal).env("SPENDING_CAP_USD", "0.10").workers(1)).await;
    let mut ids = Vec::new();
    for n in 0..4 {
        ids.push(push(&system, &format!("Lampe {n}"), json!({})).await);
    }
    let jobs = system.wait_jobs(&ids).await;
    let (real, held): (Vec<_>, Vec<_>) = jobs.iter().partition(|job| job["degraded"] == false);
    assert_eq!((real.len(), held.len()), (2, 2));
    real.into_iter().for_each(assert_real);
    held.into_iter().for_each(|job| assert_placeholder(job, "has spent"));
    assert_eq!(fal.n_submitted(), 2);
}

/// What counts as spent for the tenant of these tests, in millionths of a dollar; also of yesterday, if the day has just ended.
async fn spent(system: &System) -> i64 {
    let mut redis = crate::redis(system).await;
    let keys: Vec<String> = redis.keys(format!("{}:{{spending.default}}:*", system.name)).await.unwrap();
    let mut spent = 0;
    for key in keys {
        spent += redis.get::<_, i64>(key).await.unwrap();
    }
    spent
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_set_aside_for_a_run_that_failed_is_given_back_and_what_is_billed_is_not() {
    let fal = fal().await;
    let system = System::start(options(&fal).env("SPENDING_CAP_USD", "0.10").workers(2)).await;
    let dead = async |name: &str, max_attempts: u32| {
        let id = push(&system, name, json!({ "max_attempts": max_attempts, "allow_fallback": false })).await;
        let job = system.wait_job(&id).await;
        assert_eq!(job["state"], "dead", "{job}");
    };
    // Their runs would take more than the cap, were they paid.
    dead("Lampe broken", 2).await;
    dead("Vase broken", 2).await;
    dead("Lampe forbidden", 1).await;
    assert_eq!(fal.n_submitted(), 5);
    wait_until("all is given back", PATIENCE, async || spent(&system).await == 0).await;
    // What is complete is billed, whether it can be shown or not.
    dead("Lampe nsfw", 1).await;
    assert_eq!(spent(&system).await, PICTURE);
    assert_real(&system.wait_job(&push(&system, "Lampe", json!({})).await).await);
    assert_eq!(spent(&system).await, 2 * PICTURE);
    let held = system.wait_job(&push(&system, "Vase", json!({})).await).await;
    assert_placeholder(&held, "has spent");
    assert_eq!((fal.n_submitted(), spent(&system).await), (7, 2 * PICTURE));
}

#[tokio::test(flavor = "multi_thread")]
async fn of_a_tenants_cap_and_its_plans_the_lower_holds_at_a_call() {
    let (fal, plans) = (fal().await, servers::temp_dir());
    let stripe = Stripe::start(0, payments::KEY, &["price_pro", "price_premium"]).await.unwrap();
    let file = plans.path().join("plans.toml");
    // A picture and a half, and far more than any tenant has.
    let table = "[plans.pro]\nprice = \"STRIPE_PRICE_ID_PRO\"\nspending_cap_per_day = \"0.06\"\n\
                 [plans.premium]\nprice = \"STRIPE_PRICE_ID_PREMIUM\"\nspending_cap_per_day = \"9.00\"\n";
    std::fs::write(&file, table).unwrap();
    let options = options(&fal).env("SPENDING_CAP_USD", "0.10").env("PLANS_FILE", file.to_str().unwrap()).workers(1);
    let variables = payments::variables(&stripe).into_iter();
    let system = System::start(variables.fold(options, |options, (name, value)| options.env(name, value))).await;
    let store = Store::open(&system.mongo_url, &system.name).await.unwrap();
    for (tenant, plan) in [("acme", "pro"), ("bolt", "premium")] {
        payments::intake::subscribed(&store, tenant, plan, SubscriptionState::Active).await;
    }
    for (tenant, n_real) in [("acme", 1), ("bolt", 2), ("carl", 2)] {
        let mut ids = Vec::new();
        for n in 0..4 {
            ids.push(push(&system, &format!("Lampe {tenant} {n}"), json!({ "tenant": tenant })).await);
        }
        let jobs = system.wait_jobs(&ids).await;
        let (real, held): (Vec<_>, Vec<_>) = jobs.iter().partition(|job| job["degraded"] == false);
        assert_eq!((real.len(), held.len()), (n_real, 4 - n_real), "{tenant}");
        real.into_iter().for_each(assert_real);
        held.into_iter().for_each(|job| assert_placeholder(job, "has spent"));
    }
    assert_eq!(fal.n_submitted(), 5);
}
