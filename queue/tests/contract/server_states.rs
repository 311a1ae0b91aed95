//! A Redis that refuses what it is asked because of the state it is in. What was asked is kept, and goes on when the state ends.

use std::time::Duration;

use queue::{Error, OnConflict, State, Unique};
use servers::{RedisKind, RedisServer, Refusing, wait_until};

use crate::{
    gate::Gate,
    world::{QUEUE, World, claim_one, done, job},
};

const PATIENCE: Duration = Duration::from_secs(30);

/// The error says that Redis is away, and for what reason.
#[track_caller]
fn assert_away<T: std::fmt::Debug>(result: Result<T, Error>, words: &str) {
    match result {
        Err(Error::Unavailable(text)) if text.contains(words) => {}
        result => panic!("redis is away because {words:?}, but the answer is {result:?}"),
    }
}

async fn it_is_told_in_words_and_waited_out(kind: RedisKind, state: Refusing, words: &str) {
    let (server, url) = state.server(kind);
    let world = World::at(kind, &url);
    let session = world.session("a");
    let running = world.push().await;
    let mut settlements = vec![session.verdict(&claim_one(&session).await, done(), 0).unwrap()];
    let waiting = world.push().await;
    let before = world.client.counts(QUEUE).await.unwrap();

    let refusal = state.begin(&server);
    // What was under way as the connections were closed is one loss, and says nothing of the state.
    wait_until(
        "the state is noticed",
        PATIENCE,
        async || matches!(world.client.push(job()).await, Err(Error::Unavailable(text)) if text.contains(words)),
    )
    .await;
    // Some of what it refuses makes the server close the connection, and what else was under way there hears only that.
    let words = if state == Refusing::NoAuth { "" } else { words };
    assert_away(world.client.push(job()).await, words);
    for result in world.client.push_many(vec![job(); 3]).await {
        assert_away(result, words);
    }
    let unique = Unique { key: "once".to_owned(), hold: None, on_conflict: OnConflict::ReturnExisting };
    assert_away(world.client.submit(queue::NewJob { unique: Some(unique), ..job() }).await, words);
    assert_away(world.client.cancel(waiting).await, words);
    assert_away(world.client.pause(QUEUE).await, words);
    assert_away(world.client.resume(QUEUE).await, words);
    assert_away(session.claim(QUEUE, 1).await, words);
    assert_away(session.settle(&mut settlements).await, words);
    assert_eq!(session.n_sealed().await, 1, "the end of a job is kept");

    refusal.end();
    wait_until("the queue is used again", PATIENCE, async || world.client.resume(QUEUE).await.is_ok()).await;
    let mut after = world.client.counts(QUEUE).await.unwrap();
    after.insert("wake".to_owned(), before["wake"]);
    assert_eq!(after, before, "nothing that was refused was written, and nothing is lost");
    assert_eq!(session.settle(&mut settlements).await.unwrap(), 0);
    assert_eq!(world.state(running).await, State::Succeeded);
    assert_eq!(claim_one(&session).await.id(), waiting);
    world.push().await;
}

async fn a_server_that_may_not_be_checked_is_used_all_the_same(kind: RedisKind) {
    let (server, url) = Refusing::NoPerm.server(kind);
    let world = World::at(kind, &url);
    let mut redis = world.redis().await;
    let _: () = redis::cmd("ACL").arg(&["SETUSER", "default", "-info"]).query_async(&mut redis).await.unwrap();
    world.client.check_server().await.unwrap();
    world.push().await;
    drop(server);
}

async fn behind_an_address_that_leads_to_another_primary_work_goes_on(kind: RedisKind) {
    let (old, new) = (RedisServer::start(kind), RedisServer::start(kind));
    let gate = Gate::to(old.port).await;
    let world = World::at(kind, &gate.url());
    world.push().await;
    let refusal = Refusing::ReadOnly.begin(&old);
    assert_away(world.client.push(job()).await, "READONLY");
    gate.lead_to(new.port);
    // The old one stays a replica for good: who keeps the connection to it never writes again.
    wait_until("the new primary is found", PATIENCE, async || world.client.push(job()).await.is_ok()).await;
    refusal.end();
}

macro_rules! states {
    ($($test:ident: $state:ident, $words:literal;)*) => {
        mod valkey {
            $(
                #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
                async fn $test() {
                    let kind = servers::RedisKind::Valkey;
                    super::it_is_told_in_words_and_waited_out(kind, servers::Refusing::$state, $words).await;
                }
            )*

            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn behind_an_address_that_leads_to_another_primary_work_goes_on() {
                super::behind_an_address_that_leads_to_another_primary_work_goes_on(servers::RedisKind::Valkey).await;
            }

            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn a_server_that_may_not_be_checked_is_used_all_the_same() {
                super::a_server_that_may_not_be_checked_is_used_all_the_same(servers::RedisKind::Valkey).await;
            }
        }
        mod redis7 {
            $(
                #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
                async fn $test() {
                    let kind = servers::RedisKind::Redis7;
                    if servers::redis(kind).is_some() {
                        super::it_is_told_in_words_and_waited_out(kind, servers::Refusing::$state, $words).await;
                    }
                }
            )*

            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn behind_an_address_that_leads_to_another_primary_work_goes_on() {
                let kind = servers::RedisKind::Redis7;
                if servers::redis(kind).is_some() {
                    super::behind_an_address_that_leads_to_another_primary_work_goes_on(kind).await;
                }
            }
        }

        #[test]
        fn every_state_is_tested() {
            let tested = [$(servers::Refusing::$state),*];
            assert!(Refusing::ALL.iter().all(|state| tested.contains(state)));
        }
    };
}

states! {
    a_replica_is_waited_out: ReadOnly, "it is a replica and takes no writes";
    a_replica_that_lost_its_primary_is_waited_out: MasterDown, "it is a replica";
    a_script_that_does_not_end_is_waited_out: Busy, "a script that does not end holds it up";
    a_disk_that_takes_nothing_is_waited_out: Misconf, "it cannot save its data to disk";
    a_password_that_is_missing_is_waited_out: NoAuth, "it asks for a password";
    a_password_that_is_wrong_for_a_while_is_waited_out: WrongPass, "it does not take the user and password";
    an_access_list_is_waited_out: NoPerm, "its access list does not allow this";
    too_few_replicas_are_waited_out: NoReplicas, "fewer replicas follow it";
    a_cluster_that_is_down_is_waited_out: ClusterDown, "its cluster is down";
    a_server_that_loads_its_data_is_waited_out: Loading, "it is still loading its data";
    too_many_connections_are_waited_out: TooManyClients, "";
}
