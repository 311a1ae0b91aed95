//! Circuit breakers.

use std::time::Duration;

use fleet::{Admission, BreakerState, Call, Event, Reported};

use crate::world::{CALL, START_MS, World, answered, failed, go, is_closed, next, open_ms, parked, permit, report};

async fn five_failures_open_the_breaker_in_every_replica_and_four_do_not(world: World) {
    let (a, b) = (world.replica(), world.replica());
    for _ in 0..4 {
        report(&a, go(&a).await, failed()).await;
    }
    assert_eq!(open_ms(&b).await, 0);
    report(&b, go(&b).await, failed()).await;
    for fleet in [&a, &b] {
        let Admission::Open { retry_in, reason } = fleet.admit(&CALL).await else { panic!("it is open") };
        assert_eq!((retry_in, reason.as_str()), (Duration::from_secs(30), "500"));
    }
    let until = START_MS + 30_000;
    let reason = "openai: 500".to_owned();
    assert_eq!(a.health("ai").await.unwrap().breaker, BreakerState::Open { until, reason });
    let other = Call { account: "mistral", ..CALL };
    drop(permit(b.admit(&other).await));
}

async fn as_long_as_most_calls_are_answered_failures_do_not_open_it(world: World) {
    let fleet = world.replica();
    for _ in 0..6 {
        report(&fleet, go(&fleet).await, answered()).await;
    }
    for _ in 0..5 {
        report(&fleet, go(&fleet).await, failed()).await;
    }
    assert!(is_closed(&fleet).await, "5 of 11");
    report(&fleet, go(&fleet).await, failed()).await;
    assert!(!is_closed(&fleet).await, "6 of 12");
}

async fn failures_of_more_than_a_minute_ago_do_not_count(world: World) {
    let fleet = world.replica();
    for _ in 0..4 {
        report(&fleet, go(&fleet).await, failed()).await;
    }
    world.advance_s(60);
    report(&fleet, go(&fleet).await, failed()).await;
    assert!(is_closed(&fleet).await);
    world.advance_s(50);
    for _ in 0..4 {
        report(&fleet, go(&fleet).await, failed()).await;
    }
    assert!(!is_closed(&fleet).await, "the last five came within a minute");
}

async fn exactly_one_of_eight_replicas_sends_the_probe(world: World) {
    let replicas: Vec<_> = (0..8).map(|_| world.replica()).collect();
    world.break_down(&replicas[0]).await;
    world.advance_s(30);
    assert_eq!(replicas[1].health("ai").await.unwrap().breaker, BreakerState::HalfOpen);
    let mut asking = tokio::task::JoinSet::new();
    for fleet in replicas.iter().cycle().take(80) {
        let fleet = fleet.clone();
        asking.spawn(async move { fleet.admit(&CALL).await });
    }
    let mut probes = Vec::new();
    for admission in asking.join_all().await {
        match admission {
            Admission::Go(permit) => probes.push(permit),
            Admission::Open { retry_in, reason } => {
                assert_eq!((retry_in, reason.as_str()), (Duration::from_secs(5), "500"));
            }
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(probes.len(), 1);
    assert!(probes[0].is_probe());
}

async fn a_probe_that_is_answered_closes_the_breaker_and_every_replica_is_told(world: World) {
    let (a, b) = (world.replica(), world.replica());
    world.connected(&[&a, &b]).await;
    let mut events = [a.events(), b.events()];
    world.break_down(&a).await;
    for events in &mut events {
        let opened = Event::BreakerOpened { account: "openai".to_owned(), reason: "500".to_owned() };
        assert_eq!(next(events).await, opened);
    }
    world.advance_s(30);
    report(&b, go(&b).await, answered()).await;
    for events in &mut events {
        let closed = Event::BreakerClosed { service: "ai".to_owned(), account: "openai".to_owned() };
        assert_eq!(next(events).await, closed);
    }
    assert!(is_closed(&a).await && !go(&a).await.is_probe());
    for _ in 0..4 {
        report(&a, go(&a).await, failed()).await;
    }
    assert!(is_closed(&b).await, "it counts anew");
}

async fn a_breaker_that_is_released_closes_at_once_in_every_replica_whatever_opened_it(world: World) {
    let (a, b) = (world.replica(), world.replica());
    world.connected(&[&a, &b]).await;
    assert!(!a.release("ai", CALL.account).await.unwrap(), "it is closed");
    let under_way = go(&b).await;
    report(&a, go(&a).await, parked()).await;
    assert!(open_ms(&b).await > 0);
    let mut events = b.events();
    world.advance_s(1);
    assert!(a.release("ai", CALL.account).await.unwrap());
    assert_eq!(
        next(&mut events).await,
        Event::BreakerClosed { service: "ai".to_owned(), account: "openai".to_owned() }
    );
    assert!(!go(&b).await.is_probe() && is_closed(&b).await);
    report(&b, under_way, parked()).await;
    assert!(is_closed(&a).await, "what an earlier call found says nothing of now");
    report(&b, go(&b).await, parked()).await;
    assert_eq!(open_ms(&a).await, 300_000, "it begins anew");
    // A report that is not written yet does not come after the release.
    a.report(permit(a.admit(&Call { account: "mistral", ..CALL }).await), parked());
    a.release("ai", "mistral").await.unwrap();
    assert!(matches!(b.admit(&Call { account: "mistral", ..CALL }).await, Admission::Go(_)));
    // Nor does one of another replica, of a call that was under way while the breaker was closed.
    let late = || Call { account: "late", ..CALL };
    let under_way = permit(b.admit(&late()).await);
    world.advance_s(1);
    assert!(!a.release("ai", "late").await.unwrap());
    report(&b, under_way, parked()).await;
    assert!(matches!(a.admit(&late()).await, Admission::Go(_)));
}

async fn each_failed_probe_doubles_the_time_up_to_five_minutes(world: World) {
    let fleet = world.replica();
    world.break_down(&fleet).await;
    for seconds in [30, 60, 120, 240, 300, 300] {
        assert_eq!(open_ms(&fleet).await, seconds * 1000);
        world.clock.advance(u64::try_from(seconds).unwrap() * 1000 - 1);
        assert_eq!(open_ms(&fleet).await, 1);
        world.clock.advance(1);
        report(&fleet, go(&fleet).await, failed()).await;
    }
    world.advance_s(300);
    report(&fleet, go(&fleet).await, answered()).await;
    world.break_down(&fleet).await;
    assert_eq!(open_ms(&fleet).await, 30_000, "it begins anew");
}

async fn an_unusable_account_is_parked_at_once_for_five_minutes_and_up_to_an_hour(world: World) {
    let (a, b) = (world.replica(), world.replica());
    let under_way = [go(&a).await, go(&b).await];
    for permit in under_way {
        report(&a, permit, parked()).await;
    }
    for seconds in [300, 600, 1200, 2400, 3600, 3600] {
        assert_eq!(open_ms(&b).await, seconds * 1000, "two calls at the same time park it once");
        world.advance_s(u64::try_from(seconds).unwrap());
        report(&b, go(&b).await, parked()).await;
    }
    world.advance_s(3600);
    report(&b, go(&b).await, failed()).await;
    assert_eq!(open_ms(&a).await, 30_000, "the account can be used again, but the service fails");
}

async fn a_lost_probe_blocks_no_longer_than_its_lease(world: World) {
    let (a, b) = (world.replica(), world.replica());
    world.break_down(&a).await;
    world.advance_s(30);
    let lost = go(&a).await;
    world.advance_s(58);
    assert_eq!(open_ms(&b).await, 2000);
    world.advance_s(2);
    let second = go(&b).await;
    assert!(second.is_probe());
    assert_eq!(open_ms(&a).await, 5000);
    report(&a, lost, failed()).await;
    assert_eq!(open_ms(&a).await, 5000, "the second is still under way");
    report(&b, second, answered()).await;
    assert!(is_closed(&a).await);
}

async fn a_probe_that_asked_nothing_or_was_dropped_is_given_back(world: World) {
    let fleet = world.replica();
    world.break_down(&fleet).await;
    world.advance_s(30);
    let permit = go(&fleet).await;
    assert_eq!(open_ms(&fleet).await, 5000);
    report(&fleet, permit, Reported::Unused).await;
    let permit = go(&fleet).await;
    assert!(permit.is_probe());
    drop(permit);
    fleet.flush().await;
    assert!(go(&fleet).await.is_probe());
}

async fn calls_from_before_the_breaker_closed_do_not_open_it_again(world: World) {
    let fleet = world.replica();
    let mut hanging = Vec::new();
    for _ in 0..12 {
        hanging.push(go(&fleet).await);
    }
    world.break_down(&fleet).await;
    world.advance_s(30);
    let probe = go(&fleet).await;
    world.advance_s(1);
    report(&fleet, probe, answered()).await;
    for permit in hanging.drain(1..) {
        report(&fleet, permit, failed()).await;
    }
    report(&fleet, hanging.remove(0), parked()).await;
    assert!(is_closed(&fleet).await);
}

async fn a_late_answer_of_an_ordinary_call_does_not_close_it(world: World) {
    let fleet = world.replica();
    let slow = go(&fleet).await;
    world.break_down(&fleet).await;
    report(&fleet, slow, answered()).await;
    assert_eq!(open_ms(&fleet).await, 30_000);
}

async fn a_429_pauses_every_replica_and_is_no_failure(world: World) {
    let (a, b) = (world.replica(), world.replica());
    let mut permits = Vec::new();
    for _ in 0..10 {
        permits.push(go(&a).await);
    }
    for (permit, seconds) in permits.into_iter().zip([5, 20, 20, 1, 2, 3, 4, 5, 6, 7]) {
        let pause = Duration::from_secs(seconds);
        report(&a, permit, Reported::Limited { pause, reason: "429".to_owned() }).await;
    }
    let Admission::Wait(wait) = b.admit(&CALL).await else { panic!("it is paused") };
    assert_eq!(wait, Duration::from_secs(20), "the longest pause counts");
    world.advance_s(15);
    let Admission::Wait(wait) = b.admit(&CALL).await else { panic!("it is paused") };
    assert_eq!(wait, Duration::from_secs(5));
    world.advance_s(5);
    let permit = go(&b).await;
    assert!(is_closed(&a).await && !permit.is_probe());
    report(&b, permit, Reported::Answered { units: None, pause: Some(Duration::from_millis(1500)) }).await;
    let Admission::Wait(wait) = a.admit(&CALL).await else { panic!("the headers said that nothing is left") };
    assert_eq!(wait, Duration::from_millis(1500));
}

async fn a_429_for_the_probe_lets_another_probe_go_after_the_pause(world: World) {
    let fleet = world.replica();
    world.break_down(&fleet).await;
    world.advance_s(30);
    let pause = Duration::from_secs(7);
    report(&fleet, go(&fleet).await, Reported::Limited { pause, reason: "429".to_owned() }).await;
    assert!(matches!(fleet.admit(&CALL).await, Admission::Wait(wait) if wait == pause));
    world.advance_s(7);
    assert!(go(&fleet).await.is_probe());
}

crate::on_both_servers!(
    five_failures_open_the_breaker_in_every_replica_and_four_do_not,
    as_long_as_most_calls_are_answered_failures_do_not_open_it,
    failures_of_more_than_a_minute_ago_do_not_count,
    exactly_one_of_eight_replicas_sends_the_probe,
    a_probe_that_is_answered_closes_the_breaker_and_every_replica_is_told,
    a_breaker_that_is_released_closes_at_once_in_every_replica_whatever_opened_it,
    each_failed_probe_doubles_the_time_up_to_five_minutes,
    an_unusable_account_is_parked_at_once_for_five_minutes_and_up_to_an_hour,
    a_lost_probe_blocks_no_longer_than_its_lease,
    a_probe_that_asked_nothing_or_was_dropped_is_given_back,
    calls_from_before_the_breaker_closed_do_not_open_it_again,
    a_late_answer_of_an_ordinary_call_does_not_close_it,
    a_429_pauses_every_replica_and_is_no_failure,
    a_429_for_the_probe_lets_another_probe_go_after_the_pause,
);
