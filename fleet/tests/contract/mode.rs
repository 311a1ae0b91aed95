//! The mode that was switched at run time.

use fleet::{Event, Fleet, Mode};
use redis::AsyncCommands;
use servers::wait_until;

use crate::world::{START_MS, TOLD_WITHIN, World, next, nothing_more};

async fn nothing_is_switched_at_first_and_a_single_switch_wins_over_that_of_all(world: World) {
    let fleet = world.replica();
    assert_eq!(fleet.mode("email"), None);
    fleet.switch(None, Mode::Real, "anna", "go live").await.unwrap();
    assert_eq!((fleet.mode("email"), fleet.mode("ai")), (Some(Mode::Real), Some(Mode::Real)));
    fleet.switch(Some("email"), Mode::Mock, "anna", "the mail server is being moved").await.unwrap();
    assert_eq!((fleet.mode("email"), fleet.mode("ai")), (Some(Mode::Mock), Some(Mode::Real)));
    fleet.switch(None, Mode::Real, "ben", "it is there").await.unwrap();
    assert_eq!((fleet.mode("email"), fleet.mode("ai")), (Some(Mode::Real), Some(Mode::Real)));
    assert_eq!(fleet.switches().await.unwrap().len(), 1, "the switch of all ended the other");
}

async fn each_switch_is_recorded_with_who_when_and_why_and_the_last_hundred_are_kept(world: World) {
    let (a, b) = (world.replica(), world.replica());
    for n in 0..105 {
        world.advance_s(1);
        a.switch(Some("ai"), Mode::Mock, "anna", &format!("because {n} \"é\"")).await.unwrap();
    }
    b.switch(None, Mode::Real, "ben", "").await.unwrap();
    let changes = b.changes().await.unwrap();
    assert_eq!(changes.len(), 100);
    assert_eq!((changes[0].service.as_deref(), changes[0].mode, changes[0].by.as_str()), (None, Mode::Real, "ben"));
    let before = &changes[1];
    assert_eq!((before.service.as_deref(), before.mode, before.by.as_str()), (Some("ai"), Mode::Mock, "anna"));
    assert_eq!((before.since_ms, before.reason.as_str()), (START_MS + 105_000, "because 104 \"é\""));
    assert_eq!(b.switches().await.unwrap(), [changes[0].clone()]);
}

async fn a_switch_reaches_every_replica_at_once_and_is_told_there_once(world: World) {
    let replicas: Vec<_> = (0..8).map(|_| world.replica()).collect();
    world.connected(&replicas.iter().collect::<Vec<_>>()).await;
    let mut events: Vec<_> = replicas.iter().map(Fleet::events).collect();
    replicas[0].switch(Some("ai"), Mode::Real, "anna", "").await.unwrap();
    replicas[7].switch(None, Mode::Mock, "anna", "").await.unwrap();
    for (fleet, events) in replicas.iter().zip(&mut events) {
        wait_until("the switch is there", TOLD_WITHIN, async || fleet.mode("ai") == Some(Mode::Mock)).await;
        loop {
            match next(events).await {
                Event::ModeChanged { service: None, mode: Mode::Mock } => break,
                // Whoever reads after both has missed the first, which is ended by then.
                Event::ModeChanged { service: Some(service), mode: Mode::Real } => assert_eq!(service, "ai"),
                other => panic!("{other:?}"),
            }
        }
        assert!(nothing_more(events));
    }
}

async fn a_new_replica_finds_what_is_in_force_and_announces_nothing(world: World) {
    world.replica().switch(Some("ai"), Mode::Real, "anna", "").await.unwrap();
    let fleet = world.replica();
    let mut events = fleet.events();
    wait_until("it has read the mode", TOLD_WITHIN, async || fleet.mode("ai") == Some(Mode::Real)).await;
    assert!(nothing_more(&mut events));
}

async fn a_switch_that_cannot_be_read_does_not_hide_the_others(world: World) {
    let fleet = world.replica();
    fleet.switch(Some("ai"), Mode::Real, "anna", "").await.unwrap();
    let key = format!("{}:{{fleet}}:modes", world.prefix);
    let _: () = world.redis().connection().hset(key, "email", "rubbish").await.unwrap();
    fleet.switch(Some("images"), Mode::Real, "anna", "").await.unwrap();
    assert_eq!(
        [fleet.mode("ai"), fleet.mode("images"), fleet.mode("email")],
        [Some(Mode::Real), Some(Mode::Real), None]
    );
}

crate::on_both_servers!(
    nothing_is_switched_at_first_and_a_single_switch_wins_over_that_of_all,
    each_switch_is_recorded_with_who_when_and_why_and_the_last_hundred_are_kept,
);

mod shared {
    use super::*;

    crate::on_both_servers!(
        a_switch_reaches_every_replica_at_once_and_is_told_there_once,
        a_new_replica_finds_what_is_in_force_and_announces_nothing,
        a_switch_that_cannot_be_read_does_not_hide_the_others,
    );
}
