//! Calls at the same time.

use std::time::Duration;

use fleet::{Admission, Call, Fleet, InFlight, Permit, Reported};
use servers::{PATIENCE, wait_until};

use crate::world::{CALL, World, answered, failed, permit, report};

const LASTS: Duration = Duration::from_secs(30);

fn at_most(n: u32) -> Call<'static> {
    Call { in_flight: Some(InFlight { at_most: n, lasts: LASTS }), ..CALL }
}

async fn is_full(fleet: &Fleet, call: &Call<'_>) -> bool {
    match fleet.admit(call).await {
        Admission::Full => true,
        Admission::Go(permit) => {
            report(fleet, permit, Reported::Unused).await;
            false
        }
        other => panic!("{other:?}"),
    }
}

async fn of_many_at_once_only_so_many_are_under_way_in_all_replicas_and_each_end_lets_another_go(world: World) {
    let replicas: Vec<_> = (0..8).map(|_| world.replica()).collect();
    let mut asking = tokio::task::JoinSet::new();
    for fleet in replicas.iter().cycle().take(100) {
        let fleet = fleet.clone();
        asking.spawn(async move { fleet.admit(&at_most(3)).await });
    }
    let admissions = asking.join_all().await;
    assert!(admissions.iter().all(|admission| matches!(admission, Admission::Go(_) | Admission::Full)));
    let mut under_way: Vec<Permit> = admissions
        .into_iter()
        .filter_map(|admission| if let Admission::Go(permit) = admission { Some(permit) } else { None })
        .collect();
    assert_eq!(under_way.len(), 3);
    for end in [answered(), failed(), Reported::Unused] {
        replicas[0].report(under_way.remove(0), end);
        // Whichever of them had it.
        for fleet in &replicas {
            fleet.flush().await;
        }
        under_way.push(permit(replicas[1].admit(&at_most(3)).await));
        assert!(is_full(&replicas[2], &at_most(3)).await);
    }
    let other = Call { account: "mistral", ..at_most(1) };
    let _other = permit(replicas[0].admit(&other).await);
    assert!(is_full(&replicas[3], &other).await && is_full(&replicas[3], &at_most(3)).await);
    drop(permit(replicas[4].admit(&CALL).await));
}

async fn an_end_is_told_without_being_asked_to_hurry(world: World) {
    let (a, b) = (world.replica(), world.replica());
    let first = permit(a.admit(&at_most(1)).await);
    a.report(first, answered());
    wait_until("it is known", PATIENCE, async || !is_full(&b, &at_most(1)).await).await;
}

async fn a_call_that_is_dropped_is_under_way_no_more(world: World) {
    let (a, b) = (world.replica(), world.replica());
    let first = permit(a.admit(&at_most(1)).await);
    assert!(is_full(&b, &at_most(1)).await);
    drop(first);
    a.flush().await;
    assert!(!is_full(&b, &at_most(1)).await);
    assert_eq!(b.health("ai").await.unwrap().calls_1h, 0, "it counts for nothing");
}

async fn the_calls_of_a_killed_replica_run_out_by_themselves(world: World) {
    let (killed, other) = (world.replica(), world.replica());
    let _of_killed = permit(killed.admit(&at_most(2)).await);
    world.advance_s(20);
    let _later = permit(other.admit(&at_most(2)).await);
    world.clock.advance(9_999);
    assert!(is_full(&other, &at_most(2)).await);
    world.clock.advance(1);
    assert!(!is_full(&other, &at_most(2)).await, "the first one's time is over");
    assert!(is_full(&other, &at_most(1)).await, "the second one's is not");
}

async fn whoever_is_refused_for_another_reason_is_not_counted(world: World) {
    let fleet = world.replica();
    let in_flight = Some(InFlight { at_most: 1, lasts: 10 * LASTS });
    let call = Call { requests_per_min: Some(1), in_flight, ..CALL };
    report(&fleet, permit(fleet.admit(&call).await), answered()).await;
    for _ in 0..3 {
        assert!(matches!(fleet.admit(&call).await, Admission::Wait(_)));
    }
    let unlimited = Call { requests_per_min: None, ..call };
    assert!(!is_full(&fleet, &unlimited).await);
    // And who finds it full takes nothing else.
    let _only = permit(fleet.admit(&unlimited).await);
    world.advance_s(60);
    for _ in 0..3 {
        assert!(matches!(fleet.admit(&call).await, Admission::Full));
    }
}

crate::on_both_servers!(
    of_many_at_once_only_so_many_are_under_way_in_all_replicas_and_each_end_lets_another_go,
    an_end_is_told_without_being_asked_to_hurry,
    a_call_that_is_dropped_is_under_way_no_more,
    the_calls_of_a_killed_replica_run_out_by_themselves,
    whoever_is_refused_for_another_reason_is_not_counted,
);
