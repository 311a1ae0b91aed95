//! What is counted.

use fleet::{BreakerState, Call, Reported};

use crate::world::{CALL, START_MS, World, answered, failed, go, parked, permit, report};

async fn calls_of_the_last_hour_are_counted_in_all_replicas_for_each_service(world: World) {
    let (a, b) = (world.replica(), world.replica());
    for fleet in [&a, &b] {
        report(fleet, go(fleet).await, answered()).await;
        report(fleet, go(fleet).await, failed()).await;
        report(fleet, go(fleet).await, Reported::Unused).await;
    }
    let images = Call { service: "images", ..CALL };
    report(&a, permit(a.admit(&images).await), answered()).await;
    let count = async |service: &str| {
        let health = b.health(service).await.unwrap();
        (health.calls_1h, health.succeeded_1h)
    };
    assert_eq!((count("ai").await, count("images").await, count("email").await), ((4, 2), (1, 1), (0, 0)));
    world.advance_s(59 * 60);
    report(&b, go(&b).await, answered()).await;
    assert_eq!(count("ai").await, (5, 3));
    world.advance_s(60);
    assert_eq!(count("ai").await, (1, 1), "an hour later");
}

async fn the_breaker_of_a_service_is_that_of_its_account_that_is_worst_off(world: World) {
    let fleet = world.replica();
    let other = Call { account: "mistral", ..CALL };
    report(&fleet, permit(fleet.admit(&other).await), answered()).await;
    assert_eq!(fleet.health("ai").await.unwrap().breaker, BreakerState::Closed);
    report(&fleet, go(&fleet).await, parked()).await;
    let open = BreakerState::Open { until: START_MS + 300_000, reason: "openai: bad key".to_owned() };
    assert_eq!(fleet.health("ai").await.unwrap().breaker, open);
    world.advance_s(300);
    assert_eq!(fleet.health("ai").await.unwrap().breaker, BreakerState::HalfOpen);
}

crate::on_both_servers!(
    calls_of_the_last_hour_are_counted_in_all_replicas_for_each_service,
    the_breaker_of_a_service_is_that_of_its_account_that_is_worst_off,
);
