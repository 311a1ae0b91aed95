//! Idempotency keys: one job a key, whatever becomes of the requests.

use std::time::Duration;

use queue::{Error, Idempotency, JobId, OnConflict, Pushed, State, Unique};

use crate::{
    on_both_servers,
    world::{QUEUE, World, claim_one, done, job, settle},
};

/// Longer than a living request takes.
const DEAD: Duration = Duration::from_secs(121);

async fn take(world: &World, key: &str, fingerprint: &str) -> Idempotency {
    world.client.idempotency_take("atelier", key, fingerprint, QUEUE).await.unwrap()
}

async fn take_new(world: &World, key: &str) -> JobId {
    match take(world, key, "body").await {
        Idempotency::New(id) => id,
        other => panic!("{other:?}"),
    }
}

async fn an_idempotency_key_gives_the_first_answer_again(world: World) {
    take_new(&world, "k").await;
    assert_eq!(take(&world, "k", "body").await, Idempotency::InProgress);
    assert_eq!(take(&world, "k", "another body").await, Idempotency::Mismatch);
    world.client.idempotency_store("atelier", "k", "body", "the answer").await.unwrap();
    assert_eq!(take(&world, "k", "body").await, Idempotency::Replay("the answer".to_owned()));
    assert_eq!(take(&world, "k", "another body").await, Idempotency::Mismatch);
    world.advance(DEAD);
    assert_eq!(take(&world, "k", "body").await, Idempotency::Replay("the answer".to_owned()));

    take_new(&world, "other").await;
    world.client.idempotency_forget("atelier", "other").await.unwrap();
    assert!(matches!(take(&world, "other", "another body").await, Idempotency::New(_)));
}

async fn whoever_takes_over_from_a_dead_request_has_its_job(world: World) {
    let pushed = take_new(&world, "died after the push").await;
    assert_eq!(world.client.submit_as(pushed, job()).await.unwrap(), Pushed::New(pushed));
    let not_pushed = take_new(&world, "died before the push").await;
    world.advance(DEAD);

    assert_eq!(take(&world, "died after the push", "another body").await, Idempotency::Mismatch);
    assert_eq!(take(&world, "died after the push", "body").await, Idempotency::Again(pushed));
    assert_eq!(take(&world, "died after the push", "body").await, Idempotency::InProgress, "one takes over at a time");
    assert_eq!(world.state(pushed).await, State::Ready);

    assert_eq!(take(&world, "died before the push", "body").await, Idempotency::Again(not_pushed));
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
    let id = take_new(&world, "k").await;
    world.advance(DEAD);
    let all = futures::future::join_all((0..40).map(|_| take(&world, "k", "body"))).await;
    assert_eq!(all.iter().filter(|taken| **taken == Idempotency::Again(id)).count(), 1);
    assert_eq!(all.iter().filter(|taken| **taken == Idempotency::InProgress).count(), 39);
}

async fn a_request_that_knows_nothing_of_its_push_is_repeated_at_once_with_the_same_job(world: World) {
    let id = take_new(&world, "k").await;
    world.client.idempotency_release("atelier", "k", "body", id).await.unwrap();
    assert_eq!(take(&world, "k", "body").await, Idempotency::Again(id));
}

async fn a_unique_key_that_the_dead_request_took_is_taken_over_with_its_job(world: World) {
    for hold in [None, Some(Duration::from_secs(3600))] {
        let key = format!("{hold:?}");
        let unique = Unique { key: key.clone(), hold, on_conflict: OnConflict::Reject };
        let asked = queue::NewJob { unique: Some(unique), ..job() };
        let id = take_new(&world, &key).await;
        assert_eq!(world.client.submit_as(id, asked.clone()).await.unwrap(), Pushed::New(id));
        // As if it had died between the two: the unique key names the job, and there is none.
        let session = world.session("a");
        let claimed = claim_one(&session).await;
        assert!(settle(&session, &claimed, done()).await);
        let _: () =
            redis::cmd("DEL").arg(finished_keys(&world).await).query_async(&mut world.redis().await).await.unwrap();
        world.advance(DEAD);

        assert_eq!(take(&world, &key, "body").await, Idempotency::Again(id));
        assert_eq!(world.client.submit_as(id, asked.clone()).await.unwrap(), Pushed::New(id));
        assert_eq!(world.client.submit(asked).await.unwrap_err(), Error::Duplicate(id));
        let claimed = claim_one(&session).await;
        assert!(settle(&session, &claimed, done()).await);
    }
}

async fn finished_keys(world: &World) -> Vec<String> {
    redis::cmd("KEYS").arg(world.key("done:*")).query_async(&mut world.redis().await).await.unwrap()
}

async fn an_id_of_another_kind_is_refused(world: World) {
    let Idempotency::New(id) = world.client.idempotency_take("atelier", "k", "body", "other").await.unwrap() else {
        panic!("the key is new")
    };
    let error = world.client.submit_as(id, job()).await.unwrap_err();
    assert!(matches!(&error, Error::Invalid(text) if text.contains(QUEUE)), "{error:?}");
}

on_both_servers!(
    an_idempotency_key_gives_the_first_answer_again,
    whoever_takes_over_from_a_dead_request_has_its_job,
    of_many_that_take_over_one_has_the_job,
    a_request_that_knows_nothing_of_its_push_is_repeated_at_once_with_the_same_job,
    a_unique_key_that_the_dead_request_took_is_taken_over_with_its_job,
    an_id_of_another_kind_is_refused,
);
