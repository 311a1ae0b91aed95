//! The outbox of history: every job that ends is offered to the recorder, until it is recorded.

use std::time::Duration;

use queue::{Client, Failure, Kind, Outcome, Replica, State, Timing, Verdict};
use redis::AsyncCommands;

use crate::{
    on_both_servers,
    world::{QUEUE, World, claim, claim_one, done, failed, job, kinds, settle},
};

/// The same keys and clock, but history is kept.
pub(crate) fn recorded(mut world: World) -> World {
    let kinds = kinds().into_iter().map(|kind| Kind { history: true, ..kind }).collect();
    let redis = fleet::Redis::open(&world.url, &world.prefix).unwrap();
    world.client = Client::with_clock(&redis, kinds, world.clock.clone());
    world
}

fn fatal() -> Verdict {
    Verdict::Ran(Outcome::Dead(Failure::new("bad", "no good")))
}

async fn n_waiting(world: &World) -> u64 {
    world.redis().await.llen(world.key("unrecorded")).await.unwrap()
}

async fn every_end_is_offered_once_in_its_order_and_nothing_else_is(world: World) {
    let world = recorded(world);
    let session = world.session("a");
    let (succeeded, dead, cancelled, expired) =
        (world.push().await, world.push().await, world.push().await, world.push().await);
    let snoozed = world.push().await;
    let jobs = claim(&session, 10).await;
    assert!(settle(&session, &jobs[0], done()).await);
    assert!(settle(&session, &jobs[1], fatal()).await);
    assert!(settle(&session, &jobs[2], Verdict::Cancelled).await);
    assert!(settle(&session, &jobs[3], Verdict::Expired).await);
    assert!(settle(&session, &jobs[4], failed()).await);
    let waiting = world.push().await;
    assert_eq!(world.client.cancel(waiting).await.unwrap().state, State::Cancelled);

    let unrecorded = world.client.unrecorded(QUEUE, 100).await.unwrap();
    let states: Vec<_> = unrecorded.jobs.iter().map(|job| (job.id, job.state)).collect();
    let expected = [
        (succeeded, State::Succeeded),
        (dead, State::Dead),
        (cancelled, State::Cancelled),
        (expired, State::Expired),
        (waiting, State::Cancelled),
    ];
    assert_eq!(states, expected);
    assert_eq!(unrecorded.jobs[0].success.as_ref().unwrap().as_bytes(), b"250 g");
    assert_eq!(unrecorded.jobs[1].attempts[0].error.as_ref().unwrap().code, "bad");
    assert_eq!(world.state(snoozed).await, State::Retrying);

    assert_eq!(world.client.recorded(QUEUE, &unrecorded).await.unwrap(), 5);
    assert!(world.client.unrecorded(QUEUE, 100).await.unwrap().is_empty());
}

async fn a_refused_end_is_not_offered(world: World) {
    let world = recorded(world);
    world.push().await;
    let session = world.session("a");
    let job = claim_one(&session).await;
    world.advance(Duration::from_secs(60));
    let other = world.session("b");
    assert_eq!(other.upkeep(QUEUE, true).await.unwrap().reclaimed, 1);
    assert!(!settle(&session, &job, done()).await);
    assert!(!settle(&session, &job, fatal()).await);
    assert_eq!(n_waiting(&world).await, 0);
}

async fn a_kind_without_history_leaves_nothing_behind(world: World) {
    let session = world.session("a");
    world.push().await;
    let job = claim_one(&session).await;
    assert!(settle(&session, &job, done()).await);
    let waiting = world.push().await;
    world.client.cancel(waiting).await.unwrap();
    assert_eq!(n_waiting(&world).await, 0);
}

async fn two_recorders_never_drop_a_job_that_neither_wrote(world: World) {
    let world = recorded(world);
    world.client.push_many(vec![job(); 10]).await;
    let session = world.session("a");
    for job in claim(&session, 10).await {
        assert!(settle(&session, &job, done()).await);
    }
    let (first, second) =
        (world.client.unrecorded(QUEUE, 4).await.unwrap(), world.client.unrecorded(QUEUE, 7).await.unwrap());
    assert_eq!((first.len(), second.len()), (4, 7));
    assert_eq!(world.client.recorded(QUEUE, &first).await.unwrap(), 4);
    assert_eq!(world.client.recorded(QUEUE, &second).await.unwrap(), 0, "its first is not at the head any more");
    assert_eq!(world.client.recorded(QUEUE, &first).await.unwrap(), 0);
    assert_eq!(n_waiting(&world).await, 6);
    let third = world.client.unrecorded(QUEUE, 100).await.unwrap();
    assert_eq!(third.jobs[..3], second.jobs[4..]);
}

async fn a_job_that_was_revived_is_offered_again_when_it_ends_again(world: World) {
    let world = recorded(world);
    let id = world.push().await;
    let session = world.session("a");
    let job = claim_one(&session).await;
    assert!(settle(&session, &job, fatal()).await);
    world.client.retry(id).await.unwrap();
    let unrecorded = world.client.unrecorded(QUEUE, 10).await.unwrap();
    assert_eq!((unrecorded.len(), unrecorded.jobs.len()), (1, 0), "it has not ended now");
    let job = claim_one(&session).await;
    assert!(settle(&session, &job, done()).await);
    let both = world.client.unrecorded(QUEUE, 10).await.unwrap();
    assert_eq!(both.jobs.iter().map(|job| job.state).collect::<Vec<_>>(), [State::Succeeded; 2]);
    assert_eq!(world.client.recorded(QUEUE, &both).await.unwrap(), 2);
}

async fn a_job_that_redis_has_forgotten_does_not_hold_up_the_rest(world: World) {
    let world = recorded(world);
    let session = world.session("a");
    let forgotten = world.push().await;
    let job = claim_one(&session).await;
    assert!(settle(&session, &job, fatal()).await);
    world.client.delete_dead(QUEUE, Some(&[forgotten])).await.unwrap();
    let kept = world.push().await;
    let job = claim_one(&session).await;
    assert!(settle(&session, &job, done()).await);
    let unrecorded = world.client.unrecorded(QUEUE, 10).await.unwrap();
    assert_eq!(unrecorded.jobs.iter().map(|job| job.id).collect::<Vec<_>>(), [kept]);
    assert_eq!(world.client.recorded(QUEUE, &unrecorded).await.unwrap(), 2);
}

async fn large_jobs_are_offered_a_few_at_a_time(world: World) {
    let world = recorded(world);
    let large = format!("{:?}", "x".repeat(1_000_000));
    for _ in 0..12 {
        world.client.push(queue::NewJob::new(QUEUE, large.clone())).await.unwrap();
    }
    let session = world.session("a");
    for job in claim(&session, 12).await {
        assert!(settle(&session, &job, done()).await);
    }
    let mut n_left = 12;
    while n_left > 0 {
        let unrecorded = world.client.unrecorded(QUEUE, 500).await.unwrap();
        assert!((1..=5).contains(&unrecorded.len()) && unrecorded.jobs.len() == unrecorded.len());
        n_left -= world.client.recorded(QUEUE, &unrecorded).await.unwrap();
    }
    assert_eq!(n_waiting(&world).await, 0);
}

async fn at_most_a_million_wait_to_be_recorded_and_the_oldest_leave_first(world: World) {
    let world = recorded(world);
    let key = world.key("unrecorded");
    let mut redis = world.redis().await;
    for chunk in 0..100_u32 {
        let ids: Vec<Vec<u8>> =
            (0..10_000_u32).map(|n| [[0; 12].as_slice(), &(chunk * 10_000 + n).to_be_bytes()].concat()).collect();
        let _: u64 = redis.rpush(&key, ids).await.unwrap();
    }
    let session = world.session("a");
    let finished = world.push().await;
    let job = claim_one(&session).await;
    assert!(settle(&session, &job, done()).await);
    world.push().await;
    let job = claim_one(&session).await;
    assert!(settle(&session, &job, fatal()).await);
    let waiting = world.push().await;
    world.client.cancel(waiting).await.unwrap();
    assert_eq!(n_waiting(&world).await, 1_000_000);
    let (first, last): (Vec<u8>, Vec<Vec<u8>>) =
        (redis.lindex(&key, 0).await.unwrap(), redis.lrange(&key, -3, -3).await.unwrap());
    assert_eq!(first[12..], 3_u32.to_be_bytes());
    assert_eq!(uuid::Uuid::from_slice(&last[0]).unwrap().to_string(), finished.to_string());
    let _: u64 = redis.unlink(&key).await.unwrap();
}

async fn the_lock_keeps_others_away_until_it_is_given_back(world: World) {
    assert!(world.client.lock_recording(QUEUE).await.unwrap());
    assert!(!world.client.lock_recording(QUEUE).await.unwrap());
    let ttl_ms: i64 = world.redis().await.pttl(world.key("recorder")).await.unwrap();
    assert!((1..=10_000).contains(&ttl_ms), "{ttl_ms}");
    world.client.unlock_recording(QUEUE).await.unwrap();
    assert!(world.client.lock_recording(QUEUE).await.unwrap());
}

async fn whoever_records_is_told_that_jobs_have_ended(world: World) {
    let world = recorded(world);
    world.push().await;
    let session = world.session("a");
    let job = claim_one(&session).await;
    assert!(settle(&session, &job, done()).await);
    world.client.ended().await;
}

async fn whoever_records_is_told_that_another_process_has_ended_jobs(world: World) {
    let world = recorded(world);
    world.push().await;
    let session = world.session("a");
    let job = claim_one(&session).await;
    assert!(settle(&session, &job, done()).await);
    // Another client, which has ended nothing: its replica's upkeep finds it.
    let world = recorded(world);
    let mut replica = Replica::start(world.client.clone(), "b", Timing::default());
    let backend = replica.backend(QUEUE, 1);
    world.client.ended().await;
    replica.stop();
    drop(backend);
    replica.close().await;
    assert_eq!(world.client.n_unrecorded(QUEUE).await.unwrap(), 1);
}

on_both_servers!(
    every_end_is_offered_once_in_its_order_and_nothing_else_is,
    a_refused_end_is_not_offered,
    a_kind_without_history_leaves_nothing_behind,
    two_recorders_never_drop_a_job_that_neither_wrote,
    a_job_that_was_revived_is_offered_again_when_it_ends_again,
    a_job_that_redis_has_forgotten_does_not_hold_up_the_rest,
    large_jobs_are_offered_a_few_at_a_time,
    at_most_a_million_wait_to_be_recorded_and_the_oldest_leave_first,
    the_lock_keeps_others_away_until_it_is_given_back,
    whoever_records_is_told_that_jobs_have_ended,
    whoever_records_is_told_that_another_process_has_ended_jobs,
);
