//! Spending per tenant and day.

use fleet::{Error, Fleet};

use crate::world::World;

const CAP: u64 = 1_000_000;

async fn spent(fleet: &Fleet, tenant: &str) -> u64 {
    match fleet.reserve(tenant, 2 * CAP, CAP).await {
        Err(Error::OverCap { spent_micro_usd, .. }) => spent_micro_usd,
        other => panic!("it is over the cap, but: {other:?}"),
    }
}

async fn of_many_reservations_at_once_only_as_many_as_the_cap_allows_are_given(world: World) {
    let replicas: Vec<_> = (0..8).map(|_| world.replica()).collect();
    let mut asking = tokio::task::JoinSet::new();
    for fleet in replicas.iter().cycle().take(100) {
        let fleet = fleet.clone();
        asking.spawn(async move { fleet.reserve("shop", 30_000, CAP).await });
    }
    let given = asking.join_all().await.into_iter().filter(Result::is_ok).count();
    assert_eq!((given, spent(&replicas[0], "shop").await), (33, 990_000));
    assert_eq!(spent(&replicas[1], "other").await, 0, "tenants do not share");
    drop(replicas[2].reserve("shop", 10_000, CAP).await.unwrap());
    assert_eq!(spent(&replicas[3], "shop").await, CAP, "the cap itself may be reached");
}

async fn what_a_call_really_cost_replaces_what_was_set_aside(world: World) {
    let (a, b) = (world.replica(), world.replica());
    let reserved = a.reserve("shop", 400_000, CAP).await.unwrap();
    b.settle(reserved, 150_000).await.unwrap();
    assert_eq!(spent(&a, "shop").await, 150_000);
    let reserved = a.reserve("shop", 100, CAP).await.unwrap();
    a.settle(reserved, 900_000).await.unwrap();
    assert_eq!(spent(&b, "shop").await, 1_050_000, "it cost more than was thought");
    let refused = b.reserve("shop", 1, CAP).await.unwrap_err();
    let text = refused.to_string();
    assert!(text.contains("\"shop\"") && text.contains("1050000") && text.contains("tomorrow"), "{text}");
}

async fn a_reservation_that_nobody_settles_is_gone_the_next_day(world: World) {
    let fleet = world.replica();
    let yesterday = fleet.reserve("shop", CAP, CAP).await.unwrap();
    fleet.reserve("shop", 1, CAP).await.unwrap_err();
    world.advance_s(24 * 3600);
    let today = fleet.reserve("shop", CAP, CAP).await.unwrap();
    fleet.settle(yesterday, 0).await.unwrap();
    fleet.reserve("shop", 1, CAP).await.unwrap_err();
    fleet.settle(today, 0).await.unwrap();
    assert_eq!(spent(&fleet, "shop").await, 0);
}

async fn what_was_set_aside_for_a_call_that_never_ended_is_given_back(world: World) {
    let (a, b) = (world.replica(), world.replica());
    for _ in 0..3 {
        let reserved = a.reserve("shop", CAP, CAP).await.unwrap();
        a.give_back(reserved);
        a.flush().await;
        assert_eq!(spent(&b, "shop").await, 0);
    }
    let kept = a.reserve("shop", 100, CAP).await.unwrap();
    a.settle(kept, 100).await.unwrap();
    assert_eq!(spent(&b, "shop").await, 100);
}

crate::on_both_servers!(
    of_many_reservations_at_once_only_as_many_as_the_cap_allows_are_given,
    what_a_call_really_cost_replaces_what_was_set_aside,
    a_reservation_that_nobody_settles_is_gone_the_next_day,
    what_was_set_aside_for_a_call_that_never_ended_is_given_back,
);
