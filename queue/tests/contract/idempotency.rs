//! Idempotency keys: one job a key, whatever becomes of the requests.

use std::time::Duration;

use queue::{Error, Fingerprint, Idempotency, JobId, KeyTaken, OnConflict, Pushed, State, Unique};
use redis::AsyncCommands;
use servers::{RedisKind, RedisServer, wait_until};

use crate::{
    on_both_servers,
    world::{QUEUE, World, claim_one, done, job, settle},
};

/// Longer than a request is left alone.
const DEAD: Duration = Duration::from_secs(3);

/// What tells a request whose bytes and meaning these are.
fn request(bytes: &str, meaning: &str) -> Fingerprint {
    Fingerprint { bytes: bytes.to_owned(), meaning: meaning.to_owned() }
}

async fn take(world: &World, key: &str, body: &str) -> Idempotency {
    world.client.idempotency_take("atelier", key, &request(body, body), QUEUE, |_| None).await.unwrap()
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
    assert_eq!((answer("body").await.as_deref(), answer("another body").await), (Some("the answer"), None));
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
        world.client.idempotency_take("atelier", "k", &request(bytes, meaning), QUEUE, |_| None).await.unwrap()
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

async fn an_answer_that_was_known_before_the_push_counts_when_its_job_is_there(world: World) {
    let body = request("body", "body");
    let answer = |id: JobId| Some(format!("the answer of {id}"));
    let take = async |key: &str| world.client.idempotency_take("atelier", key, &body, QUEUE, answer).await.unwrap();
    let Idempotency::New(first) = take("k").await else { panic!("the key is new") };
    assert_eq!(first.answer, answer(first.id));
    // Whether the job is there, who asks looks up; while it may be on its way, nobody else pushes it.
    let Idempotency::Replay(text, found) = take("k").await else { panic!("it has an answer") };
    assert_eq!((Some(text), found.id), (answer(first.id), first.id));
    assert_eq!(world.client.idempotency_reopen(&found).await.unwrap(), None, "the first is still at it");
    assert_eq!(world.client.submit_as(first.id, job()).await.unwrap(), Pushed::New(first.id));
    assert_eq!(replay(&world, "k", "body").await, answer(first.id).unwrap());

    let Idempotency::New(died) = take("died before the push").await else { panic!("the key is new") };
    world.advance(DEAD);
    let Idempotency::Replay(_, found) = take("died before the push").await else { panic!("it has an answer") };
    let reopened = world.client.idempotency_reopen(&found).await.unwrap().expect("nobody is at it");
    assert_eq!((reopened.id, &reopened.answer), (died.id, &None));
    assert_eq!(world.client.submit_as(reopened.id, job()).await.unwrap(), Pushed::New(died.id));
    assert_eq!(
        world.client.submit_as(died.id, job()).await.unwrap(),
        Pushed::Existing(died.id),
        "the first comes late"
    );

    let Idempotency::New(refused) = take("refused").await else { panic!("the key is new") };
    world.client.idempotency_forget(&refused).await.unwrap();
    assert!(matches!(take("refused").await, Idempotency::New(_)));
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

async fn keys_that_come_together_are_each_taken_and_a_damaged_one_holds_up_no_other(world: World) {
    let answered = take_new(&world, "answered").await;
    world.client.idempotency_store(&answered, "the answer").await.unwrap();
    let damaged = format!("{}:{{idempotency}}:atelier:7", world.prefix);
    let _: () = world.redis().await.sadd(&damaged, "no entry").await.unwrap();
    let body = request("body", "body");
    let take = async |key: String| world.client.idempotency_take("atelier", &key, &body, QUEUE, |_| None).await;
    let keys = (0..250).map(|n| n.to_string()).chain(["answered".to_owned()]);
    let taken = futures::future::join_all(keys.map(take)).await;
    for (n, taken) in taken.iter().take(250).enumerate() {
        match taken {
            Err(Error::Redis(why)) if n == 7 => assert!(why.contains("WRONGTYPE"), "{why}"),
            taken => assert!(n != 7 && matches!(taken, Ok(Idempotency::New(_))), "{n}: {taken:?}"),
        }
    }
    assert!(matches!(&taken[250], Ok(Idempotency::Replay(answer, _)) if answer == "the answer"), "{:?}", taken[250]);
    let ids: std::collections::HashSet<JobId> = taken
        .iter()
        .filter_map(|taken| if let Ok(Idempotency::New(taken)) = taken { Some(taken.id) } else { None })
        .collect();
    assert_eq!(ids.len(), 249, "each has an id of its own");
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
    let take = async |n: usize| client.idempotency_take("atelier", &n.to_string(), &body, QUEUE, |_| None).await;
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
    let taken =
        world.client.idempotency_take("atelier", "k", &request("body", "body"), "other", |_| None).await.unwrap();
    let Idempotency::New(taken) = taken else { panic!("the key is new") };
    let error = world.client.submit_as(taken.id, job()).await.unwrap_err();
    assert!(matches!(&error, Error::Invalid(text) if text.contains(QUEUE)), "{error:?}");
}

on_both_servers!(
    an_idempotency_key_gives_the_first_answer_again,
    an_answer_that_was_known_before_the_push_counts_when_its_job_is_there,
    a_key_is_held_for_a_day_from_its_first_request_on,
    a_request_is_the_same_by_its_bytes_or_by_what_it_says,
    entries_that_an_older_release_wrote_are_read,
    whoever_was_taken_over_from_changes_nothing_any_more,
    an_answer_whose_job_was_lost_is_reopened_by_one_and_for_the_same_job,
    whoever_takes_over_from_a_dead_request_has_its_job,
    of_many_that_take_over_one_has_the_job,
    keys_that_come_together_are_each_taken_and_a_damaged_one_holds_up_no_other,
    a_request_that_knows_nothing_of_its_push_is_repeated_at_once_with_the_same_job,
    a_unique_key_that_the_dead_request_took_is_taken_over_with_its_job,
    an_id_of_another_kind_is_refused,
);
