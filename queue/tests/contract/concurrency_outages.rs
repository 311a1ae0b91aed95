//! The locks of concurrency keys on a Redis that is away or full.

use std::time::Duration;

use queue::{Error, Verdict};
use servers::{RedisKind, RedisServer, wait_until};

use crate::{
    concurrency_keys::{KEY, LEASE, after, begin, claim_new, put_off},
    server_faults::each_on_a_server_of_its_own,
    world::{World, claim_one, done, job, settle},
};

const SOON: Duration = Duration::from_secs(30);

async fn a_key_outlasts_an_outage_of_redis_unless_another_took_it(kind: RedisKind) {
    let server = RedisServer::start(kind);
    let world = World::at(kind, &server.url());
    let (a, b) = (world.session("a"), world.session("b"));
    let jobs = claim_new(&world, &a, 2).await;
    let first = begin(&jobs[0], KEY).await.unwrap();
    server.stop();
    assert!(a.renew().await.is_err());
    let outcome = jobs[1].alone(KEY, async { panic!("nobody knows who has the key") }).await.unwrap_err();
    after(&outcome);
    world.advance(LEASE * 3);
    assert!(a.renew().await.is_err());
    server.restart();
    wait_until("redis answers again", SOON, async || world.client.ping().await.is_ok()).await;
    assert_eq!(a.renew().await.unwrap(), 0);
    assert!(settle(&a, &jobs[1], Verdict::Ran(outcome)).await);
    world.advance(Duration::from_secs(1));
    put_off(&b, &claim_one(&b).await).await;
    first.end(&a).await;
    begin(&claim_one(&b).await, KEY).await.unwrap().end(&b).await;
}

async fn a_key_that_is_let_go_while_redis_is_away_is_free_when_it_is_back(kind: RedisKind) {
    let server = RedisServer::start(kind);
    let world = World::at(kind, &server.url());
    let (a, b) = (world.session("a"), world.session("b"));
    let jobs = claim_new(&world, &a, 2).await;
    let first = begin(&jobs[0], KEY).await.unwrap();
    put_off(&a, &jobs[1]).await;
    server.stop();
    first.go.send(()).unwrap();
    first.running.await.unwrap().unwrap();
    server.restart();
    a.locks_at_rest().await;
    let next = claim_one(&b).await;
    assert_eq!(next.id(), jobs[1].id());
    begin(&next, KEY).await.unwrap().end(&b).await;
}

async fn a_full_redis_gives_keys_and_passes_them_on(kind: RedisKind) {
    let server = RedisServer::start(kind);
    let world = World::at(kind, &server.url());
    let session = world.session("a");
    let jobs = claim_new(&world, &session, 2).await;
    let mut redis = world.redis().await;
    let _: () = redis::cmd("CONFIG").arg(&["SET", "maxmemory", "1mb"]).query_async(&mut redis).await.unwrap();
    assert_eq!(world.client.push(job()).await.unwrap_err(), Error::Full);
    let first = begin(&jobs[0], KEY).await.unwrap();
    put_off(&session, &jobs[1]).await;
    session.renew().await.unwrap();
    first.end(&session).await;
    assert!(settle(&session, &jobs[0], done()).await);
    begin(&claim_one(&session).await, KEY).await.unwrap().end(&session).await;
}

each_on_a_server_of_its_own!(
    a_key_outlasts_an_outage_of_redis_unless_another_took_it,
    a_key_that_is_let_go_while_redis_is_away_is_free_when_it_is_back,
    a_full_redis_gives_keys_and_passes_them_on,
);
