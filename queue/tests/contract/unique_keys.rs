//! Unique keys: one job at a time.

use std::time::Duration;

use queue::{Error, JobId, OnConflict, Pushed, State, Unique};

use crate::{
    on_both_servers,
    world::{World, claim, claim_one, done, failed, job, settle},
};

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

on_both_servers!(
    a_held_key_returns_the_existing_job_or_is_refused,
    a_key_is_released_when_its_job_ends_and_not_before,
    a_key_held_for_a_set_time_outlives_its_job,
    replace_takes_the_place_of_a_waiting_job_but_not_of_a_running_one,
    of_many_pushes_at_once_one_is_added,
);
