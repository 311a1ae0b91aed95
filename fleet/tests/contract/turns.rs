//! One after the other, at a distance.

use std::time::Duration;

use fleet::{Begun, Fleet, Turn};
use servers::{PATIENCE, wait_until};

use crate::world::World;

const PACE: Duration = Duration::from_secs(2);
const BUSY: Duration = Duration::from_secs(600);

async fn ask(fleet: &Fleet, ticket: &str) -> Result<Begun, u128> {
    match fleet.turn("shop.example", ticket, PACE, BUSY).await {
        Turn::Begun(begun) => Ok(begun),
        Turn::Wait(wait) => Err(wait.as_millis()),
        Turn::Unknown(_) => panic!("Redis does not answer"),
    }
}

/// Ends a turn, and waits until another one may begin.
async fn end(fleet: &Fleet, begun: Begun, next: &str) -> Begun {
    drop(begun);
    let mut begun = None;
    wait_until("the next one begins", PATIENCE, async || {
        begun = ask(fleet, next).await.ok();
        begun.is_some()
    })
    .await;
    begun.unwrap()
}

async fn turns_of_a_place_keep_their_distance_and_their_order(world: World) {
    let (a, b) = (world.replica(), world.replica());
    let first = ask(&a, "1").await.unwrap();
    assert_eq!(ask(&b, "2").await.unwrap_err(), 2_000);
    assert_eq!(ask(&a, "3").await.unwrap_err(), 4_000);
    assert_eq!(ask(&b, "2").await.unwrap_err(), 2_000, "a ticket that comes again keeps its time");
    world.advance_s(2);
    assert_eq!(ask(&a, "3").await.unwrap_err(), 2_000);
    assert_eq!(ask(&b, "2").await.unwrap_err(), 1_000, "the first one is under way");
    world.advance_s(4);
    assert_eq!(ask(&a, "3").await.unwrap_err(), 2_001, "behind one that is later still");
    let second = end(&b, first, "2").await;
    assert_eq!(ask(&a, "3").await.unwrap_err(), 2_000, "one that comes late does not make the next one come too early");
    world.advance_s(2);
    let _third = end(&a, second, "3").await;
}

async fn tickets_that_never_come_again_hold_up_nobody_for_long(world: World) {
    let fleet = world.replica();
    drop(ask(&fleet, "first").await.unwrap());
    for gone in 0..400 {
        ask(&fleet, &format!("gone {gone}")).await.unwrap_err();
    }
    // By their times it would be at 802 s.
    assert_eq!(ask(&fleet, "mine").await.unwrap_err(), 600_000);
    world.advance_s(600);
    let mine = ask(&fleet, "mine").await.unwrap();
    assert_eq!(ask(&fleet, "other").await.unwrap_err(), 2_000);
    // Of all that is long past nothing is left.
    world.advance_s(3600);
    let _next = end(&fleet, mine, "next").await;
}

async fn those_that_are_late_come_again_one_after_the_other(world: World) {
    let fleet = world.replica();
    let first = ask(&fleet, "first").await.unwrap();
    for late in 0..9 {
        ask(&fleet, &format!("late {late}")).await.unwrap_err();
    }
    world.advance_s(100);
    let mut waits = Vec::new();
    for late in 0..9 {
        waits.push(ask(&fleet, &format!("late {late}")).await.unwrap_err());
    }
    assert_eq!(waits, [1_000, 2_001, 4_001, 6_001, 8_001, 10_001, 12_001, 14_001, 16_001]);
    drop(first);
}

async fn a_turn_ends_with_whoever_had_it(world: World) {
    let fleet = world.replica();
    let gone = fleet.turn("shop.example", "gone", PACE, Duration::from_millis(50)).await;
    assert!(matches!(&gone, Turn::Begun(_)));
    world.advance_s(2);
    let mut next = None;
    wait_until("it counts as gone", PATIENCE, async || {
        next = ask(&fleet, "next").await.ok();
        next.is_some()
    })
    .await;
    // Its end says nothing of the one that is under way now.
    drop(gone);
    fleet.flush().await;
    world.advance_s(2);
    assert_eq!(ask(&fleet, "third").await.unwrap_err(), 1_000);
}

async fn places_do_not_wait_for_each_other(world: World) {
    let fleet = world.replica();
    let _here = ask(&fleet, "1").await.unwrap();
    let there = fleet.turn("other.example{x}", "1", PACE, BUSY).await;
    assert!(matches!(there, Turn::Begun(_)));
}

super::on_both_servers!(
    turns_of_a_place_keep_their_distance_and_their_order,
    a_turn_ends_with_whoever_had_it,
    tickets_that_never_come_again_hold_up_nobody_for_long,
    those_that_are_late_come_again_one_after_the_other,
    places_do_not_wait_for_each_other,
);
