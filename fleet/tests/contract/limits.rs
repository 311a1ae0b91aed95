//! Limits per minute.

use std::time::Duration;

use fleet::{Admission, Call, Fleet, Reported};

use crate::world::{CALL, World, failed, permit, report};

/// How many of `n` calls that come at once, from all replicas, are let through; the others are told to wait.
async fn let_through(replicas: &[Fleet], call: Call<'static>, n: usize) -> usize {
    let mut asking = tokio::task::JoinSet::new();
    for fleet in replicas.iter().cycle().take(n) {
        let fleet = fleet.clone();
        asking.spawn(async move { fleet.admit(&call).await });
    }
    let admissions = asking.join_all().await;
    assert!(!admissions.iter().any(|admission| matches!(admission, Admission::Open { .. })));
    admissions.iter().filter(|admission| matches!(admission, Admission::Go(_))).count()
}

async fn waits(fleet: &Fleet, call: &Call<'_>) -> Duration {
    match fleet.admit(call).await {
        Admission::Wait(wait) => wait,
        other => panic!("the limit is reached, but: {other:?}"),
    }
}

async fn of_many_calls_at_once_exactly_as_many_as_the_limit_go_through_in_all_replicas(world: World) {
    let replicas: Vec<_> = (0..8).map(|_| world.replica()).collect();
    for (account, limit) in [("a", 30), ("b", 7), ("c", 1), ("d", 99)] {
        let call = Call { account, requests_per_min: Some(limit), ..CALL };
        assert_eq!(let_through(&replicas, call, 100).await, usize::try_from(limit).unwrap());
    }
    let none = Call { account: "e", requests_per_min: Some(0), units_per_min: Some(0), units: 10, ..CALL };
    assert_eq!(let_through(&replicas, none, 100).await, 100, "0 is no limit");
}

async fn requests_come_back_evenly(world: World) {
    let replicas = [world.replica(), world.replica()];
    let call = Call { requests_per_min: Some(30), ..CALL };
    assert_eq!(let_through(&replicas, call, 40).await, 30);
    assert_eq!(waits(&replicas[0], &call).await, Duration::from_secs(2));
    world.clock.advance(1999);
    assert_eq!(waits(&replicas[1], &call).await, Duration::from_millis(1));
    world.clock.advance(1);
    assert_eq!(let_through(&replicas, call, 10).await, 1);
    world.advance_s(3600);
    assert_eq!(let_through(&replicas, call, 40).await, 30, "never more than one minute's worth");
}

async fn units_are_taken_as_estimated_and_corrected_by_the_report(world: World) {
    let fleet = world.replica();
    let call = Call { units_per_min: Some(6000), units: 2500, ..CALL };
    let (first, second) = (permit(fleet.admit(&call).await), permit(fleet.admit(&call).await));
    assert_eq!(waits(&fleet, &call).await, Duration::from_secs(15), "1000 of 2500 are left, 100 come a second");
    report(&fleet, first, Reported::Answered { units: Some(1000), pause: None }).await;
    let third = permit(fleet.admit(&call).await);
    report(&fleet, second, Reported::Answered { units: Some(4500), pause: None }).await;
    assert_eq!(waits(&fleet, &call).await, Duration::from_secs(45), "2000 were used besides: it owes them");
    report(&fleet, third, failed()).await;
    assert_eq!(waits(&fleet, &call).await, Duration::from_secs(45), "nobody knows what a failed call used");
}

async fn a_call_that_needs_more_than_a_minutes_units_goes_when_all_are_there(world: World) {
    let fleet = world.replica();
    let huge = Call { units_per_min: Some(6000), units: 1_000_000, ..CALL };
    drop(permit(fleet.admit(&huge).await));
    assert_eq!(waits(&fleet, &huge).await, Duration::from_secs(60));
    world.advance_s(60);
    drop(permit(fleet.admit(&huge).await));
}

async fn the_stricter_of_two_limits_counts_and_a_refused_call_takes_nothing(world: World) {
    let fleet = world.replica();
    let call = Call { requests_per_min: Some(60), units_per_min: Some(6000), units: 6000, ..CALL };
    drop(permit(fleet.admit(&call).await));
    for _ in 0..100 {
        assert_eq!(waits(&fleet, &call).await, Duration::from_secs(60));
    }
    let small = Call { units: 0, ..call };
    assert_eq!(let_through(&[fleet], small, 100).await, 59);
}

async fn what_was_not_used_is_given_back(world: World) {
    let fleet = world.replica();
    let call = Call { requests_per_min: Some(1), units_per_min: Some(100), units: 100, ..CALL };
    for _ in 0..5 {
        let permit = permit(fleet.admit(&call).await);
        waits(&fleet, &call).await;
        report(&fleet, permit, Reported::Unused).await;
    }
}

async fn calls_without_a_limit_do_not_refill_those_with_one(world: World) {
    let fleet = world.replica();
    let limited = Call { requests_per_min: Some(60), units_per_min: Some(600), units: 600, ..CALL };
    drop(permit(fleet.admit(&limited).await));
    for _ in 0..30 {
        world.advance_s(1);
        drop(permit(fleet.admit(&Call { units_per_min: None, ..limited }).await));
    }
    assert_eq!(waits(&fleet, &limited).await, Duration::from_secs(30));
}

crate::on_both_servers!(
    of_many_calls_at_once_exactly_as_many_as_the_limit_go_through_in_all_replicas,
    requests_come_back_evenly,
    units_are_taken_as_estimated_and_corrected_by_the_report,
    a_call_that_needs_more_than_a_minutes_units_goes_when_all_are_there,
    the_stricter_of_two_limits_counts_and_a_refused_call_takes_nothing,
    what_was_not_used_is_given_back,
    calls_without_a_limit_do_not_refill_those_with_one,
);
