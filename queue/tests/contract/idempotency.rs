//! Idempotency keys: one job a key, whatever becomes of the requests.

use std::time::Duration;

use queue::{Answered, Error, Fingerprint, Idempotency, JobId, KeyTaken, OnConflict, Pushed, State, Unique};
use redis::AsyncCommands;
use servers::{RedisKind, RedisServer, Refusing, wait_until};

use crate::{
    on_both_servers,
    upkeep::n_calls,
    world::{QUEUE, World, claim_one, done, job, settle},
};

/// Longer than a request is left alone.
const DEAD: Duration = Duration::from_secs(3);

/// What tells a request whose bytes and meaning these are.
fn request(bytes: &str, meaning: &str) -> Fingerprint {
    Fingerprint { bytes: bytes.to_owned(), meaning: meaning.to_owned() }
}

async fn take(world: &World, key: &str, body: &str) -> Idempotency {
    world.client.idempotency_take("atelier", key, &request(body, body), QUEUE).await.unwrap()
}

async fn take_new(world: &World, key: &str) -> KeyTaken {
    match take(world, key, "body").await {
        Idempotency::New(taken) => taken,
        other => panic!("{other:?}"),
    }
}

/// The id of a key that was taken over.
async fn take_again(world: &World, key: &str) -> JobId {
    match take(world, key, "body").await {
        Idempotency::Again(taken) => taken.id,
        other => panic!("{other:?}"),
    }
}

/// The first answer.
async fn replay(world: &World, key: &str, body: &str) -> String {
    match take(world, key, body).await {
        Idempotency::Replay(answer, _) => answer,
        other => panic!("{other:?}"),
    }
}

async fn an_idempotency_key_gives_the_first_answer_again(world: World) {
    let answer =
        async |body: &str| world.client.idempotency_answer("atelier", "k", &request(body, body)).await.unwrap();
    assert_eq!(answer("body").await, None);
    let taken = take_new(&world, "k").await;
    assert_eq!(answer("body").await, None);
    assert_eq!(take(&world, "k", "body").await, Idempotency::InProgress);
    assert_eq!(take(&world, "k", "another body").await, Idempotency::Mismatch);
    world.client.idempotency_store(&taken, "the answer").await.unwrap();
    let the_answer = Answered::Text("the answer".to_owned());
    assert_eq!((answer("body").await, answer("another body").await), (Some(the_answer), None));
    assert_eq!(replay(&world, "k", "body").await, "the answer");
    assert_eq!(take(&world, "k", "another body").await, Idempotency::Mismatch);
    world.advance(DEAD);
    assert_eq!(replay(&world, "k", "body").await, "the answer");

    let other = take_new(&world, "other").await;
    world.client.idempotency_forget(&other).await.unwrap();
    assert!(matches!(take(&world, "other", "another body").await, Idempotency::New(_)));
}

async fn a_key_is_held_for_a_day_from_its_first_request_on(world: World) {
    let held_ms = async || {
        let key = format!("{}:{{idempotency}}:atelier:k", world.prefix);
        world.redis().await.pttl::<_, u64>(key).await.unwrap()
    };
    take_new(&world, "k").await;
    assert!(held_ms().await > 23 * 3_600_000);
    world.advance(Duration::from_secs(23 * 3600));
    let Idempotency::Again(taken) = take(&world, "k", "body").await else { panic!("it is taken over") };
    assert!(held_ms().await <= 3_600_000, "taken over");
    world.client.idempotency_store(&taken, "the answer").await.unwrap();
    assert!(held_ms().await <= 3_600_000, "answered");
    let Idempotency::Replay(_, taken) = take(&world, "k", "body").await else { panic!("it was answered") };
    world.client.idempotency_store(&taken, "more").await.unwrap();
    assert!(held_ms().await <= 3_600_000, "sent again");
}

async fn a_request_is_the_same_by_its_bytes_or_by_what_it_says(world: World) {
    let take = async |bytes: &str, meaning: &str| {
        world.client.idempotency_take("atelier", "k", &request(bytes, meaning), QUEUE).await.unwrap()
    };
    assert!(matches!(take("first", "one").await, Idempotency::New(_)));
    assert_eq!(take("in another order", "one").await, Idempotency::InProgress);
    assert_eq!(take("first", "two").await, Idempotency::InProgress, "a hash of the bytes is enough");
    assert_eq!(take("second", "two").await, Idempotency::Mismatch);
}

async fn entries_that_an_older_release_wrote_are_read(world: World) {
    let id = world.client.fixed_id(QUEUE, "any", world.clock.now_ms()).await.unwrap();
    let write = async |key: &str, entry: String| {
        let key = format!("{}:{{idempotency}}:atelier:{key}", world.prefix);
        let _: () = world.redis().await.set_ex(key, entry, 3600).await.unwrap();
    };
    let unanswered = r#"{"fingerprint":"body","id":"ID","pending_until_ms":1,"answer":null}"#;
    write("unanswered", unanswered.replace("ID", &id.to_string())).await;
    write("answered", r#"{"fingerprint":"body","id":null,"pending_until_ms":0,"answer":"it"}"#.to_owned()).await;
    assert_eq!(take(&world, "unanswered", "other").await, Idempotency::Mismatch);
    assert_eq!(take_again(&world, "unanswered").await, id);
    assert_eq!(replay(&world, "answered", "body").await, "it");
    assert_eq!(take(&world, "answered", "other").await, Idempotency::Mismatch);
}

async fn whoever_was_taken_over_from_changes_nothing_any_more(world: World) {
    for change in 0..3 {
        let key = format!("key {change}");
        let slow = take_new(&world, &key).await;
        world.advance(DEAD);
        let Idempotency::Again(taken) = take(&world, &key, "body").await else { panic!("it is taken over") };
        assert_eq!(taken.id, slow.id);
        match change {
            0 => world.client.idempotency_forget(&slow).await.unwrap(),
            1 => world.client.idempotency_release(&slow).await.unwrap(),
            _ => world.client.idempotency_store(&slow, "late").await.unwrap(),
        }
        assert_eq!(take(&world, &key, "body").await, Idempotency::InProgress);
        world.client.idempotency_store(&taken, "the answer").await.unwrap();
        assert_eq!(replay(&world, &key, "body").await, "the answer");
    }
}

async fn an_answer_whose_job_was_lost_is_reopened_by_one_and_for_the_same_job(world: World) {
    let first = take_new(&world, "k").await;
    world.client.idempotency_store(&first, "the answer").await.unwrap();
    let Idempotency::Replay(_, taken) = take(&world, "k", "body").await else { panic!("it was answered") };
    let reopened = world.client.idempotency_reopen(&taken).await.unwrap().expect("it is as it was found");
    assert_eq!(reopened.id, first.id);
    assert_eq!(world.client.idempotency_reopen(&taken).await.unwrap(), None, "somebody else is at it");
    assert_eq!(take(&world, "k", "body").await, Idempotency::InProgress);
    world.client.idempotency_store(&reopened, "again").await.unwrap();
    assert_eq!(replay(&world, "k", "body").await, "again");
}

async fn whoever_takes_over_from_a_dead_request_has_its_job(world: World) {
    let pushed = take_new(&world, "died after the push").await.id;
    assert_eq!(world.client.submit_as(pushed, job()).await.unwrap(), Pushed::New(pushed));
    let not_pushed = take_new(&world, "died before the push").await.id;
    world.advance(DEAD);

    assert_eq!(take(&world, "died after the push", "another body").await, Idempotency::Mismatch);
    assert_eq!(take_again(&world, "died after the push").await, pushed);
    assert_eq!(take(&world, "died after the push", "body").await, Idempotency::InProgress, "one takes over at a time");
    assert_eq!(world.client.submit_as(pushed, job()).await.unwrap(), Pushed::Existing(pushed));

    assert_eq!(take_again(&world, "died before the push").await, not_pushed);
    assert_eq!(world.client.find(not_pushed).await.unwrap(), None);
    assert_eq!(world.client.submit_as(not_pushed, job()).await.unwrap(), Pushed::New(not_pushed));
    let session = world.session("a");
    for id in [pushed, not_pushed] {
        let job = claim_one(&session).await;
        assert_eq!(job.id(), id);
        assert!(settle(&session, &job, done()).await);
    }
    assert!(session.claim(QUEUE, 10).await.unwrap().jobs.is_empty(), "two keys, two jobs");
}

async fn of_many_that_take_over_one_has_the_job(world: World) {
    let id = take_new(&world, "k").await.id;
    world.advance(DEAD);
    let all = futures::future::join_all((0..40).map(|_| take(&world, "k", "body"))).await;
    let n_again = all.iter().filter(|taken| matches!(taken, Idempotency::Again(taken) if taken.id == id)).count();
    assert_eq!((n_again, all.iter().filter(|taken| **taken == Idempotency::InProgress).count()), (1, 39));
}

async fn push_once(world: &World, key: &str, body: &str, asked: queue::NewJob) -> Result<Option<JobId>, Error> {
    world.client.push_once("atelier", key, &request(body, body), &asked).await
}

async fn a_job_and_its_idempotency_key_are_written_in_one_call(kind: RedisKind) {
    let server = RedisServer::start(kind);
    let world = World::at(kind, &server.url());
    let id = push_once(&world, "k", "body", job()).await.unwrap().expect("the key is new");
    let before = n_calls(&world).await;
    assert!(push_once(&world, "one call", "body", job()).await.unwrap().is_some());
    assert_eq!(n_calls(&world).await - before, 1);
    for body in ["body", "another body"] {
        assert_eq!(push_once(&world, "k", body, job()).await, Ok(None));
    }
    let Idempotency::Pushed(taken) = take(&world, "k", "body").await else { panic!("it was pushed") };
    assert_eq!(taken.id, id);
    let answer =
        async |body: &str| world.client.idempotency_answer("atelier", "k", &request(body, body)).await.unwrap();
    assert_eq!((answer("body").await, answer("another body").await), (Some(Answered::Job(id)), None));
    // As for one that was lost.
    let reopened = world.client.idempotency_reopen(&taken).await.unwrap().expect("it is as it was found");
    assert_eq!(take(&world, "k", "body").await, Idempotency::InProgress);
    assert_eq!(world.client.submit_as(reopened.id, job()).await.unwrap(), Pushed::Existing(id));
    assert_eq!(take(&world, "k", "another body").await, Idempotency::Mismatch);
    assert_eq!((world.state(id).await, world.count("ready:1").await), (State::Ready, 2));
    let key = format!("{}:{{idempotency}}:atelier:k", world.prefix);
    let held_ms: u64 = world.redis().await.pttl(key).await.unwrap();
    assert!((23 * 3_600_000..=24 * 3_600_000).contains(&held_ms), "{held_ms}");

    // What this is answered with is not known before the push.
    let unique = Unique { key: "u".to_owned(), hold: None, on_conflict: OnConflict::Reject };
    let with_key = queue::NewJob { unique: Some(unique), ..job() };
    assert_eq!(push_once(&world, "unique", "body", with_key).await, Ok(None));
    take_new(&world, "unique").await;
    assert_eq!(world.count("jobs").await, 2);
}

async fn of_many_pushes_with_one_idempotency_key_one_adds_a_job(world: World) {
    let all = futures::future::join_all((0..100).map(|_| push_once(&world, "k", "body", job()))).await;
    let n_pushed = all.into_iter().filter(|pushed| pushed.as_ref().unwrap().is_some()).count();
    assert_eq!((n_pushed, world.count("ready:1").await, world.count("jobs").await), (1, 1, 1));
}

async fn pushes_with_keys_that_come_together_go_each_its_way(world: World) {
    let taken = take_new(&world, "answered").await;
    world.client.idempotency_store(&taken, "an earlier answer").await.unwrap();
    let damaged = format!("{}:{{idempotency}}:atelier:7", world.prefix);
    let _: () = world.redis().await.sadd(&damaged, "no entry").await.unwrap();
    let asked = |n: usize| match n % 3 {
        0 => queue::NewJob { priority: queue::Priority::High, ..job() },
        1 => queue::NewJob { run_at_ms: Some(world.clock.now_ms() + 1_000), ..job() },
        _ => queue::NewJob { tenant: "acme".to_owned(), ..job() },
    };
    let keys = (0..250).map(|n| n.to_string()).chain(["answered".to_owned()]).enumerate();
    let pushed = keys.map(async |(n, key)| push_once(&world, &key, "body", asked(n)).await);
    let pushed = futures::future::join_all(pushed).await;
    for (n, pushed) in pushed.iter().take(250).enumerate() {
        match pushed {
            Ok(None) if n == 7 => {}
            Ok(Some(id)) if n != 7 => {
                let state = if n % 3 == 1 { State::Scheduled } else { State::Ready };
                let found = world.client.find(*id).await.unwrap().unwrap();
                assert_eq!((found.state, found.tenant == "acme"), (state, n % 3 == 2), "{n}");
            }
            pushed => panic!("{n}: {pushed:?}"),
        }
    }
    assert_eq!(pushed[250], Ok(None));
    let refused = world.client.idempotency_take("atelier", "7", &request("body", "body"), QUEUE).await;
    assert!(matches!(&refused, Err(Error::Redis(why)) if why.contains("WRONGTYPE")), "{refused:?}");
    assert_eq!(replay(&world, "answered", "body").await, "an earlier answer");
    let counts = ["ready:0", "ready:1", "scheduled"].map(async |name| world.count(name).await);
    let of_acme: u64 = world.redis().await.zcard(world.key("of:acme")).await.unwrap();
    assert_eq!((futures::future::join_all(counts).await, of_acme), (vec![84, 83, 82], 83));
}

async fn a_push_with_a_key_that_is_refused_takes_no_key(world: World) {
    let taken_before = push_once(&world, "before", "body", job()).await.unwrap().expect("the key is new");
    let _: () = world.redis().await.set(world.key("of:acme"), "rubbish").await.unwrap();
    let of_acme = || queue::NewJob { tenant: "acme".to_owned(), ..job() };
    let pushes = futures::future::join_all([
        push_once(&world, "ours", "body", job()),
        push_once(&world, "acme's", "body", of_acme()),
    ]);
    let n_refused = pushes.await.into_iter().filter(|pushed| *pushed == Ok(None)).count();
    let n_jobs = usize::try_from(world.count("jobs").await).unwrap() - 1;
    assert!(n_refused >= 1 && n_refused + n_jobs == 2, "those of a call are refused together: {n_refused}, {n_jobs}");
    // What was taken before is found all the same.
    assert_eq!(push_once(&world, "before", "body", of_acme()).await, Ok(None));
    let Idempotency::Pushed(before) = take(&world, "before", "body").await else { panic!("it was pushed") };
    assert_eq!(before.id, taken_before);
    let _: () = world.redis().await.del(world.key("of:acme")).await.unwrap();
    let pushed = push_once(&world, "acme's", "another body", of_acme()).await;
    assert!(matches!(pushed, Ok(Some(_))), "{pushed:?}");
}

async fn in_a_cluster_a_key_is_taken_before_the_push(kind: RedisKind) {
    let (_server, url) = Refusing::ClusterDown.server(kind);
    let world = World::at(kind, &url);
    for key in ["first", "second"] {
        assert_eq!(push_once(&world, key, "body", job()).await, Ok(None));
        let taken = take_new(&world, key).await;
        assert_eq!(world.client.submit_as(taken.id, job()).await.unwrap(), Pushed::New(taken.id));
        world.client.idempotency_store(&taken, "the answer").await.unwrap();
        assert_eq!(replay(&world, key, "body").await, "the answer");
    }
    assert_eq!(world.count("jobs").await, 2);
}

async fn a_request_that_knows_nothing_of_its_push_is_repeated_at_once_with_the_same_job(world: World) {
    let taken = take_new(&world, "k").await;
    world.client.idempotency_release(&taken).await.unwrap();
    assert_eq!(take_again(&world, "k").await, taken.id);
}

async fn a_unique_key_that_the_dead_request_took_is_taken_over_with_its_job(world: World) {
    let session = world.session("a");
    for (n, hold) in [None, Some(Duration::from_secs(3600))].into_iter().enumerate() {
        for claim in ["?1760000000000-0123abcd:ID", "ID"] {
            let key = format!("{n} {claim}");
            let unique = Unique { key: key.clone(), hold, on_conflict: OnConflict::Reject };
            let asked = queue::NewJob { unique: Some(unique), ..job() };
            let id = take_new(&world, &key).await.id;
            // It died between the two: the unique key names the job, and there is none.
            let mark = if hold.is_some() { "+" } else { "" };
            let text = format!("{}{mark}", claim.replace("ID", &id.to_string()));
            crate::unique_keys::write(&world, &key, &text).await;
            world.advance(DEAD);

            assert_eq!(take_again(&world, &key).await, id);
            assert_eq!(world.client.submit_as(id, asked.clone()).await.unwrap(), Pushed::New(id));
            assert_eq!(world.client.submit_as(id, asked.clone()).await.unwrap(), Pushed::Existing(id));
            assert_eq!(world.client.submit(asked).await.unwrap_err(), Error::Duplicate(id));
            assert_eq!(world.state(id).await, State::Ready);
            assert!(settle(&session, &claim_one(&session).await, done()).await);
        }
    }
}

/// The key is taken when Redis goes on, by a request that has been answered with a refusal long since.
async fn a_request_that_was_caught_in_a_stall_can_be_sent_again_when_redis_answers(kind: RedisKind) {
    let server = RedisServer::start(kind);
    let world = World::at(kind, &server.url());
    let client = world.real_time_client();
    let body = request("body", "body");
    let take = async |n: usize| client.idempotency_take("atelier", &n.to_string(), &body, QUEUE).await;
    // The server knows the script, so that what is written to it while it stands still is carried out.
    take(64).await.unwrap();
    server.pause();
    let refused = futures::future::join_all((0..64).map(take)).await;
    assert!(refused.iter().all(|refused| matches!(refused, Err(Error::Unavailable(_)))), "{refused:?}");
    server.resume();
    wait_until("redis answers", Duration::from_secs(20), async || client.ping().await.is_ok()).await;
    for n in 0..64 {
        let taken = take(n).await.unwrap();
        assert!(matches!(taken, Idempotency::New(_) | Idempotency::Again(_)), "{n}: {taken:?}");
    }
}

mod stalled {
    use servers::RedisKind;

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn valkey() {
        let test = super::a_request_that_was_caught_in_a_stall_can_be_sent_again_when_redis_answers(RedisKind::Valkey);
        crate::world::in_time(test).await;
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn redis7() {
        if servers::redis(RedisKind::Redis7).is_some() {
            let test =
                super::a_request_that_was_caught_in_a_stall_can_be_sent_again_when_redis_answers(RedisKind::Redis7);
            crate::world::in_time(test).await;
        }
    }
}

async fn an_id_of_another_kind_is_refused(world: World) {
    let taken = world.client.idempotency_take("atelier", "k", &request("body", "body"), "other").await.unwrap();
    let Idempotency::New(taken) = taken else { panic!("the key is new") };
    let error = world.client.submit_as(taken.id, job()).await.unwrap_err();
    assert!(matches!(&error, Error::Invalid(text) if text.contains(QUEUE)), "{error:?}");
}

on_both_servers!(
    an_idempotency_key_gives_the_first_answer_again,
    a_key_is_held_for_a_day_from_its_first_request_on,
    a_request_is_the_same_by_its_bytes_or_by_what_it_says,
    entries_that_an_older_release_wrote_are_read,
    whoever_was_taken_over_from_changes_nothing_any_more,
    an_answer_whose_job_was_lost_is_reopened_by_one_and_for_the_same_job,
    whoever_takes_over_from_a_dead_request_has_its_job,
    of_many_that_take_over_one_has_the_job,
    of_many_pushes_with_one_idempotency_key_one_adds_a_job,
    pushes_with_keys_that_come_together_go_each_its_way,
    a_push_with_a_key_that_is_refused_takes_no_key,
    a_request_that_knows_nothing_of_its_push_is_repeated_at_once_with_the_same_job,
    a_unique_key_that_the_dead_request_took_is_taken_over_with_its_job,
    an_id_of_another_kind_is_refused,
);

mod alone {
    use super::{a_job_and_its_idempotency_key_are_written_in_one_call, in_a_cluster_a_key_is_taken_before_the_push};
    use crate::server_faults::each_on_a_server_of_its_own;

    each_on_a_server_of_its_own!(
        a_job_and_its_idempotency_key_are_written_in_one_call,
        in_a_cluster_a_key_is_taken_before_the_push,
    );
}
