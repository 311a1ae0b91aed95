//! Pushes by fixed id: the same name and time is one job, whoever pushes it and however often.

use std::time::Duration;

use queue::{Error, JobId, NewJob, OnConflict, Pushed, State, Unique};
use redis::AsyncCommands;

use crate::{
    on_both_servers,
    world::{QUEUE, START_MS, World, claim, claim_one, done, job, settle},
};

async fn id(world: &World, name: &str) -> JobId {
    world.client.fixed_id(QUEUE, name, START_MS).await.unwrap()
}

async fn push(world: &World, id: JobId) -> Pushed {
    world.client.push_fixed(vec![(id, job())]).await.remove(0).unwrap()
}

async fn a_name_and_time_always_give_the_same_id(world: World) {
    let id = id(&world, "nightly").await;
    assert_eq!(id, world.real_time_client().fixed_id(QUEUE, "nightly", START_MS).await.unwrap());
    assert_ne!(id, world.client.fixed_id(QUEUE, "nightly", START_MS + 1).await.unwrap());
    assert_ne!(id, world.client.fixed_id(QUEUE, "weekly", START_MS).await.unwrap());
    assert_ne!(id, world.client.fixed_id("other", "nightly", START_MS).await.unwrap());
    assert_eq!(id.created_ms(), START_MS);
    assert_eq!(id.to_string().parse::<JobId>().unwrap(), id, "it is a UUIDv7");
}

async fn a_job_by_fixed_id_is_there_once_in_whatever_state_it_is(world: World) {
    let id = id(&world, "nightly").await;
    assert_eq!(push(&world, id).await, Pushed::New(id));
    assert_eq!(push(&world, id).await, Pushed::Existing(id), "ready");
    let session = world.session("a");
    let claimed = claim_one(&session).await;
    assert_eq!(claimed.id(), id);
    assert_eq!(push(&world, id).await, Pushed::Existing(id), "running");
    assert!(settle(&session, &claimed, done()).await);
    assert_eq!(push(&world, id).await, Pushed::Existing(id), "succeeded");
    assert!(claim(&session, 10).await.is_empty());
    assert_eq!(world.state(id).await, State::Succeeded);
}

async fn a_job_that_ends_hours_after_its_time_is_known_too(world: World) {
    let id = id(&world, "late").await;
    world.advance(Duration::from_secs(5 * 3600));
    assert_eq!(push(&world, id).await, Pushed::New(id));
    let session = world.session("a");
    assert!(settle(&session, &claim_one(&session).await, done()).await);
    world.advance(Duration::from_secs(20 * 3600));
    assert_eq!(push(&world, id).await, Pushed::Existing(id));
}

async fn a_cancelled_job_is_not_pushed_again(world: World) {
    let id = id(&world, "cancelled").await;
    push(&world, id).await;
    world.client.cancel(id).await.unwrap();
    assert_eq!(push(&world, id).await, Pushed::Existing(id));
    assert!(claim(&world.session("a"), 10).await.is_empty());
}

async fn one_that_was_cancelled_so_long_ago_that_it_is_forgotten_is_run_once(world: World) {
    let id = id(&world, "cancelled").await;
    push(&world, id).await;
    world.client.cancel(id).await.unwrap();
    // Its id is in the list still: nobody has claimed since.
    world.forget_the_finished().await;
    assert_eq!(push(&world, id).await, Pushed::New(id));
    let session = world.session("a");
    let jobs = claim(&session, 10).await;
    assert_eq!(jobs.iter().map(queue::Claimed::id).collect::<Vec<_>>(), [id]);
    assert!(settle(&session, &jobs[0], done()).await);
    assert!(claim(&session, 10).await.is_empty());
}

async fn what_is_refused_for_a_damaged_key_is_refused_whole(world: World) {
    let (ours, acmes) = (id(&world, "ours").await, id(&world, "acme's").await);
    let _: () = world.redis().await.set(world.key("of:acme"), "rubbish").await.unwrap();
    let of_acme = NewJob { tenant: "acme".to_owned(), ..job() };
    for pushed in world.client.push_fixed(vec![(ours, job()), (acmes, of_acme)]).await {
        assert!(matches!(pushed, Err(Error::Redis(_))), "{pushed:?}");
    }
    assert_eq!((world.count("jobs").await, world.count("ready:1").await), (0, 0));
    // The same one twice in a call is added once.
    let pushed = world.client.push_fixed(vec![(ours, job()), (ours, job())]).await;
    assert_eq!(pushed, [Ok(Pushed::New(ours)), Ok(Pushed::Existing(ours))]);
    assert_eq!((world.count("jobs").await, world.count("ready:1").await), (1, 1));
}

async fn of_many_that_push_the_same_jobs_one_adds_each(world: World) {
    let mut ids = Vec::new();
    for n in 0..1500 {
        ids.push(id(&world, &format!("job {n}")).await);
    }
    let jobs: Vec<(JobId, NewJob)> = ids.iter().map(|id| (*id, job())).collect();
    let pushes = (0..4).map(|_| world.client.push_fixed(jobs.clone()));
    let results = futures::future::join_all(pushes).await;
    let new = |pushed: &Result<Pushed, Error>| matches!(pushed, Ok(Pushed::New(_)));
    for (at, id) in ids.iter().enumerate() {
        assert_eq!(results.iter().filter(|result| new(&result[at])).count(), 1, "{id}");
    }
    assert_eq!(world.count("jobs").await, 1500);
}

async fn priority_and_time_are_kept(world: World) {
    let (later, urgent) = (id(&world, "later").await, id(&world, "urgent").await);
    let later_job = NewJob { run_at_ms: Some(START_MS + 1000), ..job() };
    let urgent_job = NewJob { priority: queue::Priority::High, ..job() };
    let ordinary = world.push().await;
    let pushed = world.client.push_fixed(vec![(later, later_job), (urgent, urgent_job)]).await;
    assert_eq!(pushed, [Ok(Pushed::New(later)), Ok(Pushed::New(urgent))]);
    assert_eq!(world.state(later).await, State::Scheduled);
    let ids: Vec<JobId> = claim(&world.session("a"), 10).await.iter().map(queue::Claimed::id).collect();
    assert_eq!(ids, [urgent, ordinary]);
}

async fn a_unique_key_that_another_job_holds_is_an_answer_and_no_error(world: World) {
    let with_key = || {
        let unique = Unique { key: "k".to_owned(), hold: None, on_conflict: OnConflict::Reject };
        NewJob { unique: Some(unique), ..job() }
    };
    let (first, second) = (id(&world, "first").await, id(&world, "second").await);
    for expected in [Pushed::New(first), Pushed::Existing(first)] {
        assert_eq!(world.client.push_fixed(vec![(first, with_key())]).await, [Ok(expected)]);
    }
    assert_eq!(world.client.push_fixed(vec![(second, with_key())]).await, [Ok(Pushed::Existing(first))]);
    assert_eq!(world.count("jobs").await, 1);
}

async fn an_id_of_another_queue_is_refused_and_the_others_go_in(world: World) {
    let other = world.client.fixed_id("other", "nightly", START_MS).await.unwrap();
    let good = id(&world, "nightly").await;
    let pushed = world.client.push_fixed(vec![(other, job()), (good, job())]).await;
    assert!(matches!(&pushed[0], Err(Error::Invalid(text)) if text.contains(QUEUE)), "{pushed:?}");
    assert_eq!(pushed[1], Ok(Pushed::New(good)));
}

on_both_servers!(
    a_name_and_time_always_give_the_same_id,
    a_job_by_fixed_id_is_there_once_in_whatever_state_it_is,
    a_job_that_ends_hours_after_its_time_is_known_too,
    a_cancelled_job_is_not_pushed_again,
    what_is_refused_for_a_damaged_key_is_refused_whole,
    one_that_was_cancelled_so_long_ago_that_it_is_forgotten_is_run_once,
    of_many_that_push_the_same_jobs_one_adds_each,
    priority_and_time_are_kept,
    a_unique_key_that_another_job_holds_is_an_answer_and_no_error,
    an_id_of_another_queue_is_refused_and_the_others_go_in,
);
