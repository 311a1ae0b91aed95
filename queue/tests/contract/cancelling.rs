//! Cancel and retry in every state.

use std::time::Duration;

use queue::{AttemptOutcome, Error, JobView, ListFilter, NewJob, OnConflict, State, Unique, Verdict};
use redis::AsyncCommands;

use crate::{
    on_both_servers,
    world::{QUEUE, START_MS, World, claim, claim_one, done, failed, job, settle},
};

async fn a_waiting_job_is_cancelled_and_never_run(world: World) {
    let session = world.session("a");
    let ready = world.push().await;
    let mut later = job();
    later.run_at_ms = Some(START_MS + 1_000);
    let scheduled = world.client.push(later).await.unwrap();
    let retrying = world.push().await;
    let jobs = claim(&session, 2).await;
    assert!(settle(&session, &jobs[0], Verdict::HandedBack { started: false }).await);
    assert!(settle(&session, &jobs[1], failed()).await);
    assert_eq!(world.state(retrying).await, State::Retrying);

    for id in [ready, scheduled, retrying] {
        let view = world.client.cancel(id).await.unwrap();
        assert_eq!((view.state, view.finished_at.map(queue::Timestamp::ms)), (State::Cancelled, Some(START_MS)));
        assert_eq!(world.client.cancel(id).await.unwrap_err(), Error::Conflict("cancelled"));
    }
    assert_eq!(world.view(retrying).await.attempts.len(), 1, "what happened before is still told");
    let queues = world.client.queues().await.unwrap();
    assert_eq!(queues[0].depth, queue::Depth::default());

    world.advance(Duration::from_secs(3600));
    assert!(claim(&session, 10).await.is_empty());
    assert_eq!((world.count("jobs").await, world.count("ghosts").await), (0, 0), "nothing is left of it");
}

async fn a_running_job_is_told_to_stop_at_the_next_renewal(world: World) {
    let id = world.push().await;
    let session = world.session("a");
    let job = claim_one(&session).await;
    assert_eq!(world.client.cancel(id).await.unwrap().state, State::Running);
    assert_eq!(world.count("cancels").await, 1);
    session.renew().await.unwrap();
    assert!(settle(&session, &job, Verdict::Cancelled).await);
    let view = world.view(id).await;
    assert_eq!((view.state, view.attempts[0].outcome), (State::Cancelled, Some(AttemptOutcome::Cancelled)));
    assert_eq!(world.count("cancels").await, 0);
}

async fn a_job_that_finishes_before_it_hears_of_its_cancellation_has_succeeded(world: World) {
    let id = world.push().await;
    let session = world.session("a");
    let job = claim_one(&session).await;
    world.client.cancel(id).await.unwrap();
    assert!(settle(&session, &job, done()).await);
    assert_eq!(world.state(id).await, State::Succeeded);
    assert_eq!(world.count("cancels").await, 0);
}

async fn a_dead_job_cannot_be_cancelled(world: World) {
    let id = world.push().await;
    let session = world.session("a");
    for _ in 0..3 {
        let job = claim_one(&session).await;
        settle(&session, &job, failed()).await;
        world.advance(Duration::from_secs(60));
    }
    assert_eq!(world.client.cancel(id).await.unwrap_err(), Error::Conflict("dead"));
}

async fn a_cancelled_job_can_be_retried_and_runs_once(world: World) {
    let id = world.push().await;
    world.client.cancel(id).await.unwrap();
    assert_eq!(world.client.retry(id).await.unwrap().state, State::Ready);
    assert_eq!(world.client.retry(id).await.unwrap_err(), Error::Conflict("ready"));
    let session = world.session("a");
    let jobs = claim(&session, 10).await;
    assert_eq!(jobs.len(), 1, "its id stood in the list all the time");
    assert!(settle(&session, &jobs[0], done()).await);
    assert_eq!(world.state(id).await, State::Succeeded);
}

async fn a_retrying_job_can_be_run_now_without_losing_its_past(world: World) {
    let id = world.push().await;
    let session = world.session("a");
    let job = claim_one(&session).await;
    settle(&session, &job, failed()).await;
    let view = world.client.retry(id).await.unwrap();
    assert_eq!((view.state, view.attempt), (State::Ready, 2));
    assert_eq!(claim_one(&session).await.attempt(), 2);
}

async fn a_cancelled_run_that_fails_or_loses_its_worker_ends_as_cancelled(world: World) {
    let (fails, loses) = (world.push().await, world.push().await);
    let (session, victim) = (world.session("a"), world.session("victim"));
    let job = claim_one(&session).await;
    assert_eq!((job.id(), claim_one(&victim).await.id()), (fails, loses));
    for id in [fails, loses] {
        assert_eq!(world.client.cancel(id).await.unwrap().state, State::Running);
    }
    assert!(settle(&session, &job, failed()).await);
    let view = world.view(fails).await;
    assert_eq!((view.state, view.attempts.len()), (State::Cancelled, 1), "its failure is still told");

    drop(victim);
    world.advance(Duration::from_secs(12));
    assert_eq!(session.upkeep(QUEUE, true).await.unwrap().reclaimed, 1);
    let view = world.view(loses).await;
    assert_eq!((view.state, view.crashes), (State::Cancelled, 1));
    assert!(claim(&session, 10).await.is_empty());
    assert_eq!((world.count("cancels").await, world.count("jobs").await), (0, 0));
}

async fn an_unknown_id_is_not_found(world: World) {
    let foreign: queue::JobId = "0199a1b2-0fff-7fff-8000-000000000001".parse().unwrap();
    assert_eq!(world.client.find(foreign).await.unwrap(), None);
    assert_eq!(world.client.cancel(foreign).await.unwrap_err(), Error::NotFound);
    assert_eq!(world.client.retry(foreign).await.unwrap_err(), Error::NotFound);
    world.push().await;
    let nowhere = ListFilter { queue: Some("nowhere".to_owned()), ..ListFilter::default() };
    let error = world.client.list(State::Dead, &nowhere, None, 10).await.unwrap_err();
    assert_eq!(error, Error::UnknownQueue("nowhere".into()));
    assert!("0199a1b2-0fff-4fff-8000-000000000001".parse::<queue::JobId>().is_err(), "no UUIDv7");
    assert_eq!(world.dead(None, None, 10).await.items, []);
}

async fn a_job_in_two_places_is_reported_and_not_looked_for_for_ever(world: World) {
    let mut new = job();
    new.run_at_ms = Some(world.clock.now_ms() + 1_000_000);
    let scheduled = world.client.push(new).await.unwrap();
    let bytes = uuid::Uuid::parse_str(&scheduled.to_string()).unwrap().into_bytes();
    let _: () = world.redis().await.zadd(world.key("dead"), bytes.as_slice(), world.clock.now_ms()).await.unwrap();
    let error = world.client.cancel(scheduled).await.unwrap_err();
    assert!(matches!(&error, Error::Corrupt(text) if text.contains(&scheduled.to_string())), "{error:?}");
}

async fn whoever_cancels_a_job_pushes_what_is_to_follow_once(world: World) {
    let follow_up = |job: &JobView| Some(NewJob::new("after", format!("{{\"cancelled\":\"{}\"}}", job.id)));
    let client = world.client.clone().with_follow_up(follow_up);
    let pushed = async || {
        let after = ListFilter { queue: Some("after".to_owned()), ..ListFilter::default() };
        let page = client.list(State::Ready, &after, None, 10).await.unwrap();
        let mut ids: Vec<String> =
            page.items.iter().map(|job| job.payload["cancelled"].as_str().unwrap().to_owned()).collect();
        ids.sort();
        ids
    };
    let waiting = world.push().await;
    client.cancel(waiting).await.unwrap();
    assert_eq!(pushed().await, [waiting.to_string()]);
    client.cancel(waiting).await.unwrap_err();
    assert_eq!(pushed().await.len(), 1, "what has ended is not cancelled again");

    // One that another takes the place of.
    let keyed = || NewJob {
        unique: Some(Unique { key: "k".to_owned(), hold: None, on_conflict: OnConflict::Replace }),
        ..job()
    };
    let first = client.submit(keyed()).await.unwrap().id();
    let second = client.submit(keyed()).await.unwrap().id();
    assert_eq!((world.state(first).await, world.state(second).await), (State::Cancelled, State::Ready));
    let mut expected = [waiting.to_string(), first.to_string()];
    expected.sort();
    assert_eq!(pushed().await, expected);

    // One that runs.
    let session = world.session("a");
    let claimed = claim(&session, 10).await;
    assert_eq!(claimed.iter().map(|job| job.id()).collect::<Vec<_>>(), [second]);
    assert_eq!(client.cancel(second).await.unwrap().state, State::Running);
    assert!(pushed().await.contains(&second.to_string()));
}

async fn a_cancelled_job_that_is_not_kept_is_answered_all_the_same(world: World) {
    let client = world.client.clone().with_retention(Duration::ZERO);
    let id = world.push().await;
    let view = client.cancel(id).await.unwrap();
    assert_eq!((view.id, view.state, view.finished_at.is_some()), (id, State::Cancelled, true));
    assert_eq!(view.payload["to"], "Zoë");
    assert_eq!(client.find(id).await.unwrap(), None);
}

on_both_servers!(
    whoever_cancels_a_job_pushes_what_is_to_follow_once,
    a_job_in_two_places_is_reported_and_not_looked_for_for_ever,
    a_cancelled_job_that_is_not_kept_is_answered_all_the_same,
    a_waiting_job_is_cancelled_and_never_run,
    a_running_job_is_told_to_stop_at_the_next_renewal,
    a_job_that_finishes_before_it_hears_of_its_cancellation_has_succeeded,
    a_dead_job_cannot_be_cancelled,
    a_cancelled_job_can_be_retried_and_runs_once,
    a_retrying_job_can_be_run_now_without_losing_its_past,
    a_cancelled_run_that_fails_or_loses_its_worker_ends_as_cancelled,
    an_unknown_id_is_not_found,
);
