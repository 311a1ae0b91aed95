//! Records that are damaged, or that another release wrote.

use queue::{Failure, Outcome, State, Verdict};
use redis::AsyncCommands;

use crate::{
    on_both_servers,
    world::{QUEUE, World, claim, claim_one, done, settle},
};

async fn a_damaged_record_is_claimed_as_such_and_its_bytes_are_shown(world: World) {
    let id = world.push().await;
    let mut redis = world.redis().await;
    let records: std::collections::HashMap<Vec<u8>, Vec<u8>> = redis.hgetall(world.key("jobs")).await.unwrap();
    let (field, mut record) = records.into_iter().next().unwrap();
    let last = record.len() - 2;
    record[last] ^= 0x20;
    let _: () = redis.hset(world.key("jobs"), &field, record).await.unwrap();

    let session = world.session("a");
    let job = claim_one(&session).await;
    let error = job.payload().unwrap_err().to_string();
    assert!(error.contains("checksum"), "{error}");
    let dead = Verdict::Ran(Outcome::Dead(Failure::new("corrupt_record", error)));
    assert!(settle(&session, &job, dead).await);
    let view = world.view(id).await;
    assert_eq!(view.state, State::Dead);
    assert!(view.payload.as_str().unwrap().contains("{\"to\":"), "{:?}", view.payload);
}

async fn a_record_of_a_newer_release_is_put_aside_for_a_worker_that_reads_it(world: World) {
    let newer = world.push().await;
    let ours = world.push().await;
    let mut redis = world.redis().await;
    let fields: Vec<Vec<u8>> = redis.hkeys(world.key("jobs")).await.unwrap();
    for field in fields {
        let mut record: Vec<u8> = redis.hget(world.key("jobs"), &field).await.unwrap();
        if uuid::Uuid::from_slice(&field).unwrap().to_string() == newer.to_string() {
            record[0] = queue::ENVELOPE_VERSION + 1;
            let _: () = redis.hset(world.key("jobs"), &field, record).await.unwrap();
        }
    }
    let session = world.session("a");
    let jobs = claim(&session, 10).await;
    assert_eq!(jobs.iter().map(queue::Claimed::id).collect::<Vec<_>>(), [ours]);
    assert_eq!((world.state(newer).await, world.count("held").await), (State::Ready, 1));
    assert_eq!(session.unhold(QUEUE).await.unwrap(), 0, "this release still cannot read it");

    // What the newer release's worker finds at its start.
    let field = uuid::Uuid::parse_str(&newer.to_string()).unwrap();
    let mut record: Vec<u8> = redis.hget(world.key("jobs"), field.as_bytes().as_slice()).await.unwrap();
    record[0] = queue::ENVELOPE_VERSION;
    let _: () = redis.hset(world.key("jobs"), field.as_bytes().as_slice(), record).await.unwrap();
    assert_eq!(session.unhold(QUEUE).await.unwrap(), 1);
    let job = claim_one(&session).await;
    assert_eq!(job.id(), newer);
    assert!(settle(&session, &job, done()).await);
}

async fn a_kind_that_no_worker_serves_stays_ready(world: World) {
    let id = world.client.push(queue::NewJob::new("future-kind", "{}")).await.unwrap();
    assert!(claim(&world.session("a"), 10).await.is_empty());
    assert_eq!(world.state(id).await, State::Ready);
    let queues = world.client.queues().await.unwrap();
    assert_eq!(queues.iter().find(|queue| queue.name == "future-kind").unwrap().depth.ready, 1);
}

async fn a_job_with_the_kinds_defaults_adds_eight_bytes_to_its_payload(world: World) {
    let payload = format!("\"{}\"", "x".repeat(198));
    world.client.push(queue::NewJob::new(QUEUE, payload)).await.unwrap();
    let records: Vec<Vec<u8>> = world.redis().await.hvals(world.key("jobs")).await.unwrap();
    assert_eq!(records[0].len(), 208, "a header, and nothing else");
}

on_both_servers!(
    a_damaged_record_is_claimed_as_such_and_its_bytes_are_shown,
    a_record_of_a_newer_release_is_put_aside_for_a_worker_that_reads_it,
    a_kind_that_no_worker_serves_stays_ready,
    a_job_with_the_kinds_defaults_adds_eight_bytes_to_its_payload,
);
