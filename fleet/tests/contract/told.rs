//! Units of which the vendor tells how many are left.

use std::time::Duration;

use fleet::{Admission, Call, Fleet, InFlight, Level};

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

async fn beside_other_calls_what_is_told_only_shows_that_no_more_is_left(world: World) {
    let (a, b) = (world.replica(), world.replica());
    told(&a, 100, 800).await;
    world.clock.advance(1);
    let mut first = permit(a.admit(&costs(100)).await);
    let mut second = permit(b.admit(&costs(500)).await);
    // The vendor has not seen the second one yet.
    first.told(Level { available: 700, ..BUCKET });
    report(&a, first, answered()).await;
    let about_20_ms = Duration::from_millis(18)..=Duration::from_millis(20);
    assert!(about_20_ms.contains(&waits(&b, 201).await), "some 200 are left");
    // It had not seen the first one when this was told, which came late.
    second.told(Level { available: 300, ..BUCKET });
    report(&b, second, answered()).await;
    assert!(about_20_ms.contains(&waits(&b, 201).await));
    // Somebody else uses the account.
    let (mut first, second) = (permit(a.admit(&costs(1)).await), permit(b.admit(&costs(1)).await));
    first.told(Level { available: 50, ..BUCKET });
    report(&a, first, answered()).await;
    report(&b, second, answered()).await;
    assert_eq!(waits(&a, 100).await, Duration::from_secs(1));
    world.clock.advance(1);
    // A call that was alone tells how it is: not all cost as much as was taken.
    told(&b, 1, 900).await;
    drop(permit(a.admit(&costs(900)).await));
}

crate::on_both_servers!(
    until_something_is_told_nothing_is_limited_and_then_all_replicas_share_what_is_left,
    beside_other_calls_what_is_told_only_shows_that_no_more_is_left,
);
