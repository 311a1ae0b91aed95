//! One look after all queues of a replica.

use std::time::Duration;

use queue::{NewJob, Session, UpkeepReport};
use redis::AsyncCommands;
use servers::{RedisKind, RedisServer, Refusing};

use crate::{
    history::recorded,
    server_faults::each_on_a_server_of_its_own,
    world::{QUEUE, World, claim_one, done, job, settle},
};

fn queues(n: usize, reclaim: bool) -> Vec<(String, bool)> {
    (0..n).map(|n| (format!("queue-{n}"), reclaim)).collect()
}

/// How many scripts clients have called since the server's start.
pub(crate) async fn n_calls(world: &World) -> u64 {
    let told: String = redis::cmd("INFO").arg("commandstats").query_async(&mut world.redis().await).await.unwrap();
    let calls = told.lines().find_map(|line| line.strip_prefix("cmdstat_evalsha:calls="));
    calls.and_then(|calls| calls.split(',').next()).map_or(0, |calls| calls.parse().unwrap())
}

/// Has a job of each of these queues claimed by a session whose leases have ended then.
async fn abandon(world: &World, dead: &Session, queues: &[(String, bool)]) {
    for (queue, _) in queues {
        world.client.push(NewJob::new(queue, "1")).await.unwrap();
        assert_eq!(dead.claim(queue, 1).await.unwrap().jobs.len(), 1);
    }
    world.advance(Duration::from_secs(20));
}

async fn a_look_after_all_queues_is_one_call_however_many_there_are(kind: RedisKind) {
    let server = RedisServer::start(kind);
    let world = World::at(kind, &server.url());
    let session = world.session("a");
    for n in [1, 8] {
        let queues = queues(n, true);
        let is_idle = |report: &Result<_, _>| *report == Ok(UpkeepReport::default());
        assert!(session.upkeep_of(&queues).await.iter().all(is_idle), "the queues and the script are known now");
        let before = n_calls(&world).await;
        for _ in 0..10 {
            let reports = session.upkeep_of(&queues).await;
            assert!(reports.len() == n && reports.iter().all(is_idle), "{reports:?}");
        }
        assert_eq!(n_calls(&world).await - before, 10, "{n} queues");
    }
}

async fn in_a_cluster_each_queue_has_a_call_of_its_own(kind: RedisKind) {
    let (_server, url) = Refusing::ClusterDown.server(kind);
    let world = World::at(kind, &url);
    let queues = queues(3, true);
    abandon(&world, &world.session("dead"), &queues).await;
    let session = world.session("a");
    let reclaimed = session.upkeep_of(&queues).await.into_iter().map(|report| report.unwrap().reclaimed);
    assert_eq!(reclaimed.collect::<Vec<_>>(), [1, 1, 1]);
    session.upkeep_of(&queues).await;
    let before = n_calls(&world).await;
    session.upkeep_of(&queues).await;
    assert_eq!(n_calls(&world).await - before, 3);
}

async fn every_queue_with_abandoned_jobs_is_looked_after_whole(kind: RedisKind) {
    let server = RedisServer::start(kind);
    let world = World::at(kind, &server.url());
    let queues = queues(4, true);
    abandon(&world, &world.session("dead"), &queues[1..]).await;
    let session = world.session("a");
    let reports = session.upkeep_of(&queues).await;
    let reclaimed: Vec<usize> = reports.into_iter().map(|report| report.unwrap().reclaimed).collect();
    assert_eq!(reclaimed, [0, 1, 1, 1]);
    assert!(session.upkeep_of(&queues).await.into_iter().all(|report| report.unwrap().next_lease_end_ms.is_none()));
}

async fn damaged_keys_of_one_queue_cost_the_others_of_the_same_call_nothing(kind: RedisKind) {
    let server = RedisServer::start(kind);
    let world = World::at(kind, &server.url());
    let mut queues = queues(2, true);
    queues.insert(1, (QUEUE.to_owned(), true));
    queues.insert(0, ("No name".to_owned(), true));
    abandon(&world, &world.session("dead"), &[queues[1].clone(), queues[3].clone()]).await;
    for key in ["leases", "watched", "dead"] {
        let _: () = world.redis().await.set(world.key(key), "rubbish").await.unwrap();
    }
    let session = world.session("a");
    let reports = session.upkeep_of(&queues).await;
    assert!(matches!(&reports[0], Err(queue::Error::Invalid(_))), "{reports:?}");
    assert!(matches!(&reports[2], Err(queue::Error::Redis(text)) if text.starts_with("WRONGTYPE")), "{reports:?}");
    for at in [1, 3] {
        assert_eq!(reports[at].as_ref().unwrap().reclaimed, 1);
    }
}

async fn upkeep_tells_what_a_replica_would_otherwise_have_to_look_for(kind: RedisKind) {
    let server = RedisServer::start(kind);
    let world = World::at(kind, &server.url());
    let world = recorded(world);
    let session = world.session("a");
    let look = async || session.upkeep(QUEUE, false).await.unwrap();
    assert_eq!(look().await, UpkeepReport::default());

    let due = world.clock.now_ms() + 60_000;
    for later in [5_000, 0] {
        world.client.push(NewJob { run_at_ms: Some(due + later), ..job() }).await.unwrap();
        assert_eq!(look().await, UpkeepReport { next_due_ms: Some(due + later), ..UpkeepReport::default() });
    }
    world.push().await;
    assert!(look().await.work);
    let running = claim_one(&session).await;
    let report = look().await;
    assert!(!report.work && !report.unrecorded && report.next_lease_end_ms.is_some(), "{report:?}");
    assert!(settle(&session, &running, done()).await);
    assert!(look().await.unrecorded);
    assert!(!look().await.held);
    let _: () = world.redis().await.rpush(world.key("held"), [0_u8; 16].as_slice()).await.unwrap();
    assert!(look().await.held);

    // What cannot be read is for a claim to find.
    let _: () = world.redis().await.set(world.key("retrying"), "rubbish").await.unwrap();
    assert_eq!(look().await.next_due_ms, Some(0));
}

each_on_a_server_of_its_own!(
    a_look_after_all_queues_is_one_call_however_many_there_are,
    in_a_cluster_each_queue_has_a_call_of_its_own,
    every_queue_with_abandoned_jobs_is_looked_after_whole,
    damaged_keys_of_one_queue_cost_the_others_of_the_same_call_nothing,
    upkeep_tells_what_a_replica_would_otherwise_have_to_look_for,
);
