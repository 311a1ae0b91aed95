//! Unique keys: one job at a time.

use std::time::Duration;

use queue::{Error, JobId, OnConflict, Pushed, State, Unique};
use redis::AsyncCommands;
use servers::{RedisKind, RedisServer, wait_until};
use sha2::{Digest, Sha256};

use crate::{
    on_both_servers,
    world::{QUEUE, World, claim, claim_one, done, failed, job, settle},
};

/// Longer than a bid may be on its way to its job.
const STALE: Duration = Duration::from_secs(4);
const CONFLICTS: [OnConflict; 3] = [OnConflict::ReturnExisting, OnConflict::Replace, OnConflict::Reject];

fn unique(key: &str, on_conflict: OnConflict) -> Unique {
    Unique { key: key.to_owned(), hold: None, on_conflict }
}

fn with_key(unique: Unique) -> queue::NewJob {
    let mut job = job();
    job.unique = Some(unique);
    job
}

async fn push(world: &World, on_conflict: OnConflict) -> Result<Pushed, Error> {
    world.client.submit(with_key(unique("weekly report", on_conflict))).await
}

async fn new(world: &World, on_conflict: OnConflict) -> JobId {
    match push(world, on_conflict).await.unwrap() {
        Pushed::New(id) => id,
        Pushed::Existing(id) => panic!("{id} holds the key"),
    }
}

/// A push with this key, held for a set time or not.
fn held(key: &str, hold_s: Option<u64>, on_conflict: OnConflict) -> queue::NewJob {
    with_key(Unique { key: key.to_owned(), hold: hold_s.map(Duration::from_secs), on_conflict })
}

fn redis_key(world: &World, key: &str) -> String {
    let hash: String = Sha256::digest(key).iter().take(16).map(|byte| format!("{byte:02x}")).collect();
    format!("{}:{{unique.default.{hash}}}", world.prefix)
}

/// Writes what stands in a key, as a push that died would have left it.
pub(crate) async fn write(world: &World, key: &str, text: &str) {
    let _: () = world.redis().await.set_ex(redis_key(world, key), text, 3600).await.unwrap();
}

async fn text_of(world: &World, key: &str) -> String {
    world.redis().await.get(redis_key(world, key)).await.unwrap()
}

/// An id of no job.
async fn an_id(world: &World) -> JobId {
    world.client.fixed_id(QUEUE, "nobody pushed it", world.clock.now_ms()).await.unwrap()
}

async fn a_held_key_returns_the_existing_job_or_is_refused(world: World) {
    let id = new(&world, OnConflict::ReturnExisting).await;
    assert_eq!(world.view(id).await.unique_key.as_deref(), Some("weekly report"));
    assert_eq!(push(&world, OnConflict::ReturnExisting).await, Ok(Pushed::Existing(id)));
    assert_eq!(push(&world, OnConflict::Reject).await, Err(Error::Duplicate(id)));
    assert_eq!(world.count("jobs").await, 1);

    let mut other = with_key(unique("weekly report", OnConflict::Reject));
    other.tenant = "atelier".to_owned();
    let pushed = world.client.submit(other.clone()).await.unwrap();
    assert!(matches!(pushed, Pushed::New(_)), "another tenant has keys of its own");
    let many = world.client.push_many(vec![other]).await;
    assert!(matches!(many[0], Err(Error::Invalid(_))), "uniqueness is never silently left out");
}

async fn a_key_is_released_when_its_job_ends_and_not_before(world: World) {
    let session = world.session("a");
    let id = new(&world, OnConflict::Reject).await;
    let running = claim_one(&session).await;
    assert_eq!(push(&world, OnConflict::Reject).await, Err(Error::Duplicate(id)), "while it runs");
    settle(&session, &running, failed()).await;
    assert_eq!(push(&world, OnConflict::Reject).await, Err(Error::Duplicate(id)), "while it is retried");
    world.advance(Duration::from_secs(60));
    let running = claim_one(&session).await;
    settle(&session, &running, done()).await;
    let second = new(&world, OnConflict::Reject).await;
    world.client.cancel(second).await.unwrap();
    let third = new(&world, OnConflict::Reject).await;
    for _ in 0..3 {
        world.advance(Duration::from_secs(60));
        // Two, because the id of the cancelled one is still in the list.
        let running = claim(&session, 2).await;
        settle(&session, &running[0], failed()).await;
    }
    assert_eq!(world.state(third).await, State::Dead);
    new(&world, OnConflict::Reject).await;
}

async fn a_key_held_for_a_set_time_outlives_its_job(world: World) {
    let unique =
        Unique { key: "k".to_owned(), hold: Some(Duration::from_secs(3600)), on_conflict: OnConflict::ReturnExisting };
    let Pushed::New(id) = world.client.submit(with_key(unique.clone())).await.unwrap() else {
        panic!("nobody has the key")
    };
    let session = world.session("a");
    let running = claim_one(&session).await;
    settle(&session, &running, done()).await;
    assert_eq!(world.client.submit(with_key(unique.clone())).await, Ok(Pushed::Existing(id)));
}

async fn replace_takes_the_place_of_a_waiting_job_but_not_of_a_running_one(world: World) {
    let first = new(&world, OnConflict::Replace).await;
    let second = new(&world, OnConflict::Replace).await;
    assert_eq!(world.state(first).await, State::Cancelled);
    let session = world.session("a");
    let jobs = claim(&session, 10).await;
    assert_eq!(jobs.iter().map(queue::Claimed::id).collect::<Vec<_>>(), [second]);
    assert_eq!(push(&world, OnConflict::Replace).await, Err(Error::Duplicate(second)));
}

async fn however_many_replace_each_other_at_once_the_key_ends_with_one_job(world: World) {
    // Replicas of their own, whose pushes share no call.
    let clients: Vec<_> = (0..64).map(|_| world.another_client()).collect();
    let pushes = clients.iter().map(|client| client.submit(with_key(unique("k", OnConflict::Replace))));
    let pushed = futures::future::join_all(pushes).await;
    let mut waiting = 0;
    for pushed in pushed {
        match pushed {
            Ok(pushed) => waiting += u32::from(world.state(pushed.id()).await == State::Ready),
            Err(error) => assert!(matches!(error, Error::Contended(_)), "{error}"),
        }
    }
    assert_eq!((waiting, world.count("jobs").await), (1, 1), "nobody is put out by one who does not come in");
}

async fn a_job_whose_key_another_has_taken_does_not_run_beside_it_again(world: World) {
    let first = new(&world, OnConflict::Reject).await;
    world.client.cancel(first).await.unwrap();
    let second = new(&world, OnConflict::Reject).await;
    assert_eq!(world.client.retry(first).await.map(drop), Err(Error::Duplicate(second)));
    assert_eq!(world.state(first).await, State::Cancelled);

    // With a free key it has the key again.
    let session = world.session("a");
    for _ in 0..3 {
        // Two, because the id of a cancelled one is still in the list.
        let running = claim(&session, 2).await;
        settle(&session, &running[0], failed()).await;
        world.advance(Duration::from_secs(60));
    }
    assert_eq!(world.state(second).await, State::Dead);
    assert_eq!(world.client.retry(first).await.map(|job| job.state), Ok(State::Ready));
    assert_eq!(push(&world, OnConflict::Reject).await, Err(Error::Duplicate(first)));

    // A replay leaves out what cannot run, and goes on.
    let other = world.push().await;
    let running = claim(&session, 2).await;
    for job in running.iter().filter(|job| job.id() == other) {
        settle(&session, job, failed()).await;
    }
    for _ in 0..2 {
        world.advance(Duration::from_secs(60));
        for job in claim(&session, 2).await.iter().filter(|job| job.id() == other) {
            settle(&session, job, failed()).await;
        }
    }
    assert_eq!(world.state(other).await, State::Dead);
    assert_eq!(world.client.replay_dead(QUEUE, None).await, Ok(1));
    assert_eq!((world.state(second).await, world.state(other).await), (State::Dead, State::Ready));

    // One that holds its key for a set time has it still.
    let held = held("for an hour", Some(3600), OnConflict::Reject);
    let id = world.client.submit(held.clone()).await.unwrap().id();
    world.client.cancel(id).await.unwrap();
    assert_eq!(world.client.retry(id).await.map(|job| job.state), Ok(State::Ready));
    assert_eq!(world.client.submit(held).await, Err(Error::Duplicate(id)));
}

async fn of_many_pushes_at_once_one_is_added(world: World) {
    let pushes = (0..40).map(|_| {
        let client = world.client.clone();
        tokio::spawn(async move { client.submit(with_key(unique("k", OnConflict::ReturnExisting))).await.unwrap() })
    });
    let pushes: Vec<_> = pushes.collect();
    let mut ids = std::collections::HashSet::new();
    let mut n_new = 0;
    for push in pushes {
        match push.await.unwrap() {
            Pushed::New(id) => {
                n_new += 1;
                ids.insert(id);
            }
            Pushed::Existing(id) => {
                ids.insert(id);
            }
        }
    }
    assert_eq!((n_new, ids.len(), world.count("jobs").await), (1, 1, 1));
}

async fn a_bid_whose_job_never_came_is_taken_over_and_never_answered_with(world: World) {
    for hold_s in [None, Some(3600)] {
        for on_conflict in CONFLICTS {
            let key = format!("{hold_s:?} {on_conflict:?}");
            let dead = an_id(&world).await;
            let mark = if hold_s.is_some() { "+" } else { "" };
            write(&world, &key, &format!("?{}-0123abcd:{dead}{mark}", world.clock.now_ms())).await;
            world.advance(STALE);
            let Ok(Pushed::New(id)) = world.client.submit(held(&key, hold_s, on_conflict)).await else {
                panic!("{key}: nothing holds it")
            };
            assert_eq!(world.state(id).await, State::Ready, "{key}");
            assert_eq!(world.client.submit(held(&key, hold_s, OnConflict::Reject)).await, Err(Error::Duplicate(id)));
            assert_eq!(world.client.holder("default", &key).await, Ok(Some(id)));
        }
    }
    assert_eq!(world.count("jobs").await, 6);
}

async fn the_key_of_a_push_that_was_never_answered_is_found_with_its_job(world: World) {
    for (key, hold_s) in [("a", None), ("b", Some(3600))] {
        let Ok(Pushed::New(id)) = world.client.submit(held(key, hold_s, OnConflict::Reject)).await else {
            panic!("nobody has the key")
        };
        let confirmed = text_of(&world, key).await;
        // As if the process had died between the push and its confirmation.
        let mark = if hold_s.is_some() { "+" } else { "" };
        write(&world, key, &format!("?{}-0123abcd:{id}{mark}", world.clock.now_ms())).await;
        assert_eq!(world.client.submit(held(key, hold_s, OnConflict::Reject)).await, Err(Error::Duplicate(id)));
        assert_eq!(text_of(&world, key).await, confirmed, "whoever finds the job confirms it");
        let kept_for_s: i64 = world.redis().await.ttl(redis_key(&world, key)).await.unwrap();
        assert!((3500..=3600).contains(&kept_for_s), "{kept_for_s}");
    }
}

async fn a_job_that_redis_keeps_no_more_holds_a_key_for_its_set_time_unless_it_is_known_to_be_lost(world: World) {
    let session = world.session("a");
    for (key, hold_s) in [("a", None), ("b", Some(3600))] {
        let push = |on_conflict| world.client.submit(held(key, hold_s, on_conflict));
        let id = push(OnConflict::Reject).await.unwrap().id();
        assert!(settle(&session, &claim_one(&session).await, done()).await);
        world.forget_the_finished().await;
        if hold_s.is_some() {
            assert_eq!(push(OnConflict::ReturnExisting).await, Ok(Pushed::Existing(id)));
            assert_eq!(push(OnConflict::Reject).await, Err(Error::Duplicate(id)));
            let job = held(key, hold_s, OnConflict::Reject);
            let other = world.client.submit_over(an_id(&world).await, None, job.clone()).await;
            assert_eq!(other, Err(Error::Duplicate(id)), "another one's loss frees nothing");
            let Ok(Pushed::New(next)) = world.client.submit_over(id, None, job).await else { panic!("it is lost") };
            assert_eq!(push(OnConflict::Reject).await, Err(Error::Duplicate(next)));
        } else {
            assert!(matches!(push(OnConflict::Reject).await, Ok(Pushed::New(_))), "its job has ended");
        }
        assert!(settle(&session, &claim_one(&session).await, done()).await);
    }
}

async fn keys_that_an_older_release_wrote_are_read(world: World) {
    for (n, hold_s) in [None, Some(3600)].into_iter().enumerate() {
        let (there, gone) = (format!("there {n}"), format!("gone {n}"));
        let mark = if hold_s.is_some() { "+" } else { "" };
        let id = world.push().await;
        write(&world, &there, &format!("{id}{mark}")).await;
        assert_eq!(world.client.submit(held(&there, hold_s, OnConflict::Reject)).await, Err(Error::Duplicate(id)));

        let nobody = an_id(&world).await;
        write(&world, &gone, &format!("{nobody}{mark}")).await;
        let push = world.client.submit(held(&gone, hold_s, OnConflict::ReturnExisting));
        let waited = tokio::time::timeout(Duration::from_millis(100), push).await;
        assert!(waited.is_err(), "its job may be on its way: {waited:?}");
        world.advance(Duration::from_secs(11));
        let pushed = world.client.submit(held(&gone, hold_s, OnConflict::ReturnExisting)).await;
        match hold_s {
            // It may have ended, and been removed: whoever has the history knows.
            Some(_) => assert_eq!(pushed, Ok(Pushed::Existing(nobody))),
            None => assert!(matches!(pushed, Ok(Pushed::New(_)))),
        }
    }
    write(&world, "newer", "!2:what a newer release writes").await;
    let refused = world.client.submit(held("newer", None, OnConflict::ReturnExisting)).await;
    assert!(matches!(refused, Err(Error::Unavailable(text)) if text.contains("newer")));
}

async fn the_same_id_and_key_pushed_at_once_are_one_job_in_one_list(world: World) {
    for round in 0..20 {
        let key = format!("round {round}");
        let id = world.client.fixed_id(QUEUE, &key, world.clock.now_ms()).await.unwrap();
        // Replicas of their own, whose pushes share no call.
        let clients: Vec<_> = (0..4).map(|_| world.another_client()).collect();
        let with_key = clients.iter().map(|client| client.submit_as(id, held(&key, None, OnConflict::Reject)));
        let pushed = futures::future::join_all(with_key).await;
        let n_new = pushed.iter().filter(|pushed| **pushed == Ok(Pushed::New(id))).count();
        assert!(pushed.iter().all(|pushed| pushed.as_ref().is_ok_and(|pushed| pushed.id() == id)), "{pushed:?}");
        assert_eq!(n_new, 1);
        let plain = world.client.fixed_id(QUEUE, &format!("{key} plain"), world.clock.now_ms()).await.unwrap();
        let pushed = futures::future::join_all(clients.iter().map(|client| client.submit_as(plain, job()))).await;
        assert_eq!(pushed.iter().filter(|pushed| **pushed == Ok(Pushed::New(plain))).count(), 1, "{pushed:?}");
    }
    let ids: Vec<Vec<u8>> = world.redis().await.lrange(world.key("ready:1"), 0, -1).await.unwrap();
    assert_eq!((ids.len() as u64, world.count("jobs").await), (40, 40));
}

/// Each caller is refused while Redis is stopped. What some of them wrote to a key reaches Redis all the same, when it goes on.
async fn after_a_stall_every_refused_push_is_taken_and_every_answer_names_a_job(kind: RedisKind) {
    let server = RedisServer::start(kind);
    let world = World::at(kind, &server.url());
    let client = world.real_time_client();
    // The server knows the scripts, so that what is written to it while it stands still is carried out.
    client.submit(held("before", None, OnConflict::Reject)).await.unwrap();
    let of = |n: usize| match n {
        0..32 => held(&format!("own {n}"), n.is_multiple_of(2).then_some(3600), CONFLICTS[n % 3]),
        _ => held(&format!("shared {}", n % 4), Some(3600), OnConflict::ReturnExisting),
    };
    server.pause();
    let refused = futures::future::join_all((0..64).map(|n| client.submit(of(n)))).await;
    assert!(refused.iter().all(|refused| matches!(refused, Err(Error::Unavailable(_)))), "{refused:?}");
    server.resume();
    let ids = futures::future::join_all((0..64).map(async |n| {
        let mut pushed = None;
        wait_until("the push is taken", Duration::from_secs(30), async || {
            match client.submit(of(n)).await {
                Err(Error::Unavailable(_)) => {}
                answer => pushed = Some(answer.unwrap()),
            }
            pushed.is_some()
        })
        .await;
        let pushed = pushed.unwrap();
        assert!(n >= 32 || matches!(pushed, Pushed::New(_)), "nobody else has this key: {n} {pushed:?}");
        assert!(client.find(pushed.id()).await.unwrap().is_some(), "{n}: {pushed:?} is there");
        pushed.id()
    }))
    .await;
    let different: std::collections::HashSet<JobId> = ids.into_iter().collect();
    assert_eq!((different.len(), client.counts(QUEUE).await.unwrap()["jobs"]), (36, 37));
}

mod stalled {
    use servers::RedisKind;

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn valkey() {
        crate::world::in_time(super::after_a_stall_every_refused_push_is_taken_and_every_answer_names_a_job(
            RedisKind::Valkey,
        ))
        .await;
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn redis7() {
        if servers::redis(RedisKind::Redis7).is_some() {
            crate::world::in_time(super::after_a_stall_every_refused_push_is_taken_and_every_answer_names_a_job(
                RedisKind::Redis7,
            ))
            .await;
        }
    }
}

on_both_servers!(
    a_bid_whose_job_never_came_is_taken_over_and_never_answered_with,
    the_key_of_a_push_that_was_never_answered_is_found_with_its_job,
    a_job_that_redis_keeps_no_more_holds_a_key_for_its_set_time_unless_it_is_known_to_be_lost,
    keys_that_an_older_release_wrote_are_read,
    the_same_id_and_key_pushed_at_once_are_one_job_in_one_list,
    a_held_key_returns_the_existing_job_or_is_refused,
    a_key_is_released_when_its_job_ends_and_not_before,
    a_key_held_for_a_set_time_outlives_its_job,
    replace_takes_the_place_of_a_waiting_job_but_not_of_a_running_one,
    of_many_pushes_at_once_one_is_added,
    however_many_replace_each_other_at_once_the_key_ends_with_one_job,
    a_job_whose_key_another_has_taken_does_not_run_beside_it_again,
);
