//! A Redis that restarts, is full, or evicts.

use queue::{Client, Error, Failure, NewJob, Outcome, Priority, State, Verdict};
use redis::AsyncCommands;
use servers::{RedisKind, RedisServer, wait_until};

use crate::world::{QUEUE, World, claim, claim_one, done, failed, job, settle};

async fn jobs_in_every_state_survive_a_restart_of_redis(kind: RedisKind) {
    let server = RedisServer::start(kind);
    let world = World::at(kind, &server.url());
    let session = world.session("a");
    let running = world.push().await;
    let retrying = world.push().await;
    let jobs = claim(&session, 2).await;
    settle(&session, &jobs[1], failed()).await;
    let mut new = job();
    new.run_at_ms = Some(world.clock.now_ms() + 1_000_000);
    new.priority = Priority::High;
    let scheduled = world.client.push(new).await.unwrap();
    let ready = world.push().await;

    server.stop();
    assert!(matches!(world.client.push(job()).await, Err(Error::Unavailable(_))));
    let mut settlements = vec![session.verdict(&jobs[0], done(), 0).unwrap()];
    assert!(matches!(session.settle(&mut settlements).await, Err(Error::Unavailable(_))));
    assert_eq!(session.n_sealed().await, 1, "an acknowledgement that could not be written is kept");

    server.restart();
    wait_until("redis answers again", std::time::Duration::from_secs(20), async || world.client.ping().await.is_ok())
        .await;
    assert_eq!(session.settle(&mut settlements).await.unwrap(), 0);
    assert_eq!(world.state(running).await, State::Succeeded);
    assert_eq!(world.state(retrying).await, State::Retrying);
    assert_eq!(world.state(scheduled).await, State::Scheduled);
    assert_eq!(claim_one(&session).await.id(), ready);
}

async fn a_full_redis_refuses_pushes_whole_and_drains(kind: RedisKind) {
    let server = RedisServer::start(kind);
    let world = World::at(kind, &server.url());
    for n in 0..50 {
        world.client.push(NewJob::new(QUEUE, format!("{n}"))).await.unwrap();
    }
    let before = world.client.counts(QUEUE).await.unwrap();
    let mut redis = world.redis().await;
    let _: () = redis::cmd("CONFIG").arg(&["SET", "maxmemory", "1mb"]).query_async(&mut redis).await.unwrap();
    assert_eq!(world.client.push(job()).await.unwrap_err(), Error::Full);
    let many = world.client.push_many(vec![job(); 10]).await;
    assert!(many.iter().all(|result| *result == Err(Error::Full)));
    assert_eq!(world.client.counts(QUEUE).await.unwrap(), before, "nothing was half written");

    let session = world.session("a");
    for (n, job) in claim(&session, 50).await.iter().enumerate() {
        assert!(settle(&session, job, if n % 2 == 0 { done() } else { failed() }).await);
    }
    session.renew().await.unwrap();
    session.upkeep(QUEUE, true).await.unwrap();
    assert_eq!((world.count("running").await, world.count("retrying").await), (0, 25));
}

async fn a_full_redis_can_be_operated(kind: RedisKind) {
    let server = RedisServer::start(kind);
    let world = World::at(kind, &server.url());
    let session = world.session("a");
    let dead = world.push().await;
    let fatal = Verdict::Ran(Outcome::Dead(Failure::new("bad", "no good")));
    assert!(settle(&session, &claim_one(&session).await, fatal).await);
    let running = world.push().await;
    let held_up = claim_one(&session).await;
    let cancelled = world.push().await;
    let waiting = world.push().await;
    assert!(world.client.pause(QUEUE).await.unwrap());
    let mut redis = world.redis().await;
    let _: () = redis.del(world.key("wake")).await.unwrap();
    let _: () = redis::cmd("CONFIG").arg(&["SET", "maxmemory", "1mb"]).query_async(&mut redis).await.unwrap();
    let full = world.client.push(job()).await.unwrap_err();
    assert!(full == Error::Full && full.to_string().contains("memory"), "{full}");

    session.renew().await.unwrap();
    session.beat(&[QUEUE.to_owned()]).await.unwrap();
    assert!(world.client.resume(QUEUE).await.unwrap(), "it was paused");
    assert_eq!(world.count("wake").await, 1, "a replica is woken");
    assert!(world.client.pause(QUEUE).await.unwrap() && world.client.resume(QUEUE).await.unwrap());
    assert_eq!(world.client.cancel(cancelled).await.unwrap().state, State::Cancelled);
    assert_eq!(world.client.cancel(running).await.unwrap().state, State::Running);
    let told: Vec<String> = redis.keys(format!("{}:{{fleet}}:control:*", world.prefix)).await.unwrap();
    assert_eq!(told.len(), 1, "its worker is told at once");
    assert!(settle(&session, &held_up, Verdict::Cancelled).await);
    assert_eq!(world.client.delete_dead(QUEUE, Some(&[dead])).await.unwrap(), 1);
    assert_eq!(world.client.find(dead).await.unwrap(), None);
    // A queue that nobody has used yet.
    assert!(session.claim("other", 1).await.unwrap().jobs.is_empty());
    assert_eq!(session.unhold(QUEUE).await.unwrap(), 0);
    let jobs = claim(&session, 10).await;
    assert_eq!(jobs.iter().map(queue::Claimed::id).collect::<Vec<_>>(), [waiting]);
    assert!(settle(&session, &jobs[0], done()).await);
    assert_eq!(world.count("jobs").await, 0, "it has drained");
}

async fn a_redis_that_evicts_is_refused(kind: RedisKind) {
    let server = RedisServer::start(kind);
    let redis = fleet::Redis::open_within(&server.url(), "x", servers::PATIENCE).unwrap();
    let client = Client::new(&redis, Vec::new());
    client.check_server().await.unwrap();
    let mut redis = redis.connection();
    let _: () =
        redis::cmd("CONFIG").arg(&["SET", "maxmemory-policy", "allkeys-lru"]).query_async(&mut redis).await.unwrap();
    let error = client.check_server().await.unwrap_err().to_string();
    assert!(error.contains("allkeys-lru") && error.contains("noeviction"), "{error}");
}

async fn a_wrong_type_on_one_queues_key_leaves_the_others_alone(kind: RedisKind) {
    let server = RedisServer::start(kind);
    let world = World::at(kind, &server.url());
    let session = world.session("a");
    for key in ["ready:1", "claims"] {
        world.push().await;
        let _: () = world.redis().await.set(world.key(key), "rubbish").await.unwrap();
        let error = session.claim(QUEUE, 1).await.unwrap_err();
        assert!(matches!(&error, Error::Redis(text) if text.contains("WRONGTYPE")), "{error:?}");
        let other = world.client.push(NewJob::new("other", "1")).await.unwrap();
        assert_eq!(session.claim("other", 1).await.unwrap().jobs[0].id(), other);
        let _: () = world.redis().await.del(world.key(key)).await.unwrap();
    }
}

async fn damaged_keys_of_one_queue_are_told_and_cost_the_others_neither_leases_nor_numbers(kind: RedisKind) {
    let server = RedisServer::start(kind);
    let world = World::at(kind, &server.url());
    let session = world.session("a");
    world.push().await;
    let others: Vec<String> = (0..5).map(|n| format!("other-{n}")).collect();
    claim_one(&session).await;
    for queue in &others {
        world.client.push(NewJob::new(queue, "1")).await.unwrap();
        assert_eq!(session.claim(queue, 1).await.unwrap().jobs.len(), 1);
    }
    let mut redis = world.redis().await;
    let _: () = redis.rename(world.key("leases"), world.key("aside")).await.unwrap();
    let _: () = redis.set(world.key("leases"), "rubbish").await.unwrap();
    let _: () = redis.set(world.key("dead"), "rubbish").await.unwrap();

    world.advance(std::time::Duration::from_secs(8));
    assert!(matches!(session.renew().await, Err(Error::Redis(text)) if text.contains("WRONGTYPE")));
    world.advance(std::time::Duration::from_secs(8));
    for queue in &others {
        assert_eq!(session.upkeep(queue, true).await.unwrap().reclaimed, 0, "the lease of {queue} was extended");
    }
    let queues = world.client.queues().await.unwrap();
    let of = |name: &str| queues.iter().find(|queue| queue.name == name).unwrap();
    assert!(of(QUEUE).error.as_ref().unwrap().contains("WRONGTYPE"), "{:?}", of(QUEUE));
    for queue in &others {
        assert_eq!((of(queue).depth.running, &of(queue).error), (1, &None));
    }
}

macro_rules! each_on_a_server_of_its_own {
    ($($test:ident),* $(,)?) => {
        mod valkey {
            $(
                #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
                async fn $test() {
                    super::$test(servers::RedisKind::Valkey).await;
                }
            )*
        }
        mod redis7 {
            $(
                #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
                async fn $test() {
                    if servers::redis(servers::RedisKind::Redis7).is_some() {
                        super::$test(servers::RedisKind::Redis7).await;
                    }
                }
            )*
        }
    };
}
pub(crate) use each_on_a_server_of_its_own;

each_on_a_server_of_its_own!(
    jobs_in_every_state_survive_a_restart_of_redis,
    a_full_redis_refuses_pushes_whole_and_drains,
    a_full_redis_can_be_operated,
    a_redis_that_evicts_is_refused,
    a_wrong_type_on_one_queues_key_leaves_the_others_alone,
    damaged_keys_of_one_queue_are_told_and_cost_the_others_neither_leases_nor_numbers,
);
