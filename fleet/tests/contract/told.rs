//! Units of which the vendor tells how many are left.

use std::time::Duration;

use fleet::{Admission, Call, Clock, Fleet, InFlight, Level, Settings};

use crate::world::{CALL, World, answered, failed, permit, report};

const BUCKET: Level = Level { available: 1_000, at_most: 1_000, per_s: 50 };

fn costs(units: u64) -> Call<'static> {
    Call { units, in_flight: Some(InFlight { at_most: 0, lasts: Duration::from_secs(30) }), ..CALL }
}

/// Makes a call that costs so much, after which so much is left.
async fn told(fleet: &Fleet, cost: u64, available: u64) {
    let mut permit = permit(fleet.admit(&costs(cost)).await);
    permit.told(Level { available, ..BUCKET });
    report(fleet, permit, answered()).await;
}

async fn waits(fleet: &Fleet, cost: u64) -> Duration {
    match fleet.admit(&costs(cost)).await {
        Admission::Wait(wait) => wait,
        other => panic!("it does not fit, but: {other:?}"),
    }
}

async fn until_something_is_told_nothing_is_limited_and_then_all_replicas_share_what_is_left(world: World) {
    let (a, b) = (world.replica(), world.replica());
    for _ in 0..100 {
        drop(permit(a.admit(&costs(1_000_000)).await));
    }
    a.flush().await;
    told(&a, 100, 450).await;
    let _first = permit(b.admit(&costs(300)).await);
    assert_eq!(waits(&a, 300).await, Duration::from_secs(3), "150 of 300 are left, 50 come a second");
    world.advance_s(3);
    let _second = permit(a.admit(&costs(300)).await);
    assert_eq!(waits(&b, 1).await, Duration::from_millis(20));
    let free = permit(b.admit(&costs(0)).await);
    report(&b, free, answered()).await;
    world.advance_s(3600);
    let whole = permit(b.admit(&costs(5_000)).await);
    assert_eq!(waits(&a, 1).await, Duration::from_millis(20), "more than the bucket holds is all of it");
    report(&b, whole, failed()).await;
    assert_eq!(waits(&a, 1).await, Duration::from_millis(20), "nobody knows what a failed call cost");
}

async fn what_was_told_leaves_out_the_calls_that_are_under_way(world: World) {
    let (a, b) = (world.replica(), world.replica());
    told(&a, 100, 800).await;
    let first = permit(a.admit(&costs(100)).await);
    let second = permit(b.admit(&costs(500)).await);
    // The vendor has not seen the second one yet.
    let mut seen = first;
    seen.told(Level { available: 700, ..BUCKET });
    report(&a, seen, answered()).await;
    assert_eq!(waits(&b, 201).await, Duration::from_millis(20), "200 are left");
    let mut seen = second;
    seen.told(Level { available: 400, ..BUCKET });
    report(&b, seen, answered()).await;
    drop(permit(a.admit(&costs(400)).await));
}

async fn of_two_answers_the_later_one_counts_whichever_is_written_last(world: World) {
    let a = world.replica();
    told(&a, 1, 100).await;
    let clock = Clock::simulated(world.clock.now_ms() - 10);
    let late = Settings { clock, answer_within: Duration::from_secs(20), ..Settings::default() };
    let late = Fleet::with_settings(&world.redis(), late);
    told(&late, 1, 900).await;
    assert!(waits(&a, 149).await > Duration::from_millis(900), "some 100 are left");
}

crate::on_both_servers!(
    until_something_is_told_nothing_is_limited_and_then_all_replicas_share_what_is_left,
    what_was_told_leaves_out_the_calls_that_are_under_way,
    of_two_answers_the_later_one_counts_whichever_is_written_last,
);
