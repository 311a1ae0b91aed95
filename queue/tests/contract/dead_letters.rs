//! Dead letters: listed, replayed, deleted, limited.

use std::time::Duration;

use queue::{Error, Failure, JobId, ListPage, NewJob, Outcome, Position, State, Verdict};

use crate::{
    on_both_servers,
    world::{QUEUE, World, claim, done, job, settle},
};

async fn kill(world: &World, n: usize) -> Vec<JobId> {
    let mut jobs = vec![job(); n];
    for (at, job) in jobs.iter_mut().enumerate() {
        job.tenant = if at % 2 == 0 { "even" } else { "odd" }.to_owned();
    }
    let ids = world.client.push_many(jobs).await.into_iter().map(Result::unwrap).collect();
    settle_all_as_dead(world, n).await;
    ids
}

async fn settle_all_as_dead(world: &World, n: usize) {
    let session = world.session("a");
    let mut left = n;
    while left > 0 {
        let jobs = claim(&session, 1_000).await;
        left -= jobs.len();
        let fatal = || Verdict::Ran(Outcome::Dead(Failure::new("bad", "no good")));
        let mut settlements = jobs.iter().map(|job| session.verdict(job, fatal(), 0).unwrap()).collect();
        assert_eq!(session.settle(&mut settlements).await.unwrap(), 0);
    }
}

async fn dead_jobs_are_listed_newest_first_in_pages(world: World) {
    let mut expected = Vec::new();
    for _ in 0..3 {
        let mut ids = kill(&world, 25).await;
        world.advance(Duration::from_secs(1));
        ids.sort();
        expected.extend(ids);
    }
    expected.reverse();
    let (mut listed, mut after) = (Vec::new(), None);
    loop {
        let page = world.dead(None, after.as_ref(), 10).await;
        assert!(page.items.len() <= 10);
        listed.extend(page.items.iter().map(|job| job.id));
        // A cursor goes through the hands of callers as text.
        after = page.next.map(|next| Position::read(&next.text()).unwrap());
        if after.is_none() {
            break;
        }
    }
    assert_eq!(listed, expected);
    let odd = world.dead(Some("odd"), None, 200).await;
    assert_eq!((odd.items.len(), odd.items[0].tenant.as_str()), (36, "odd"));
    assert!(matches!(Position::read("rubbish"), Err(Error::Invalid(_))));
}

async fn a_tenants_dead_jobs_are_in_full_pages_however_many_others_have(world: World) {
    let ids = kill(&world, 6).await;
    world.advance(Duration::from_secs(1));
    world.client.push_many(vec![NewJob { tenant: "loud".to_owned(), ..job() }; 600]).await;
    settle_all_as_dead(&world, 600).await;
    let mut expected: Vec<JobId> = ids.into_iter().skip(1).step_by(2).collect();
    expected.sort();
    expected.reverse();
    let first = world.dead(Some("odd"), None, 2).await;
    let second = world.dead(Some("odd"), first.next.as_ref(), 2).await;
    let listed = |page: &ListPage| page.items.iter().map(|job| job.id).collect::<Vec<_>>();
    assert_eq!((listed(&first), listed(&second)), (expected[..2].to_vec(), expected[2..].to_vec()));
    assert_eq!(second.next, None);
}

async fn dead_jobs_are_replayed_with_all_their_attempts_before_them(world: World) {
    let ids = kill(&world, 10).await;
    assert_eq!(world.client.replay_dead(QUEUE, Some(&ids[..3])).await.unwrap(), 3);
    assert_eq!(world.client.replay_dead(QUEUE, Some(&ids[..3])).await.unwrap(), 0, "they are not dead any more");
    let view = world.view(ids[0]).await;
    assert_eq!((view.state, view.attempt, view.attempts.len()), (State::Ready, 1, 1));
    assert_eq!(world.client.replay_dead(QUEUE, None).await.unwrap(), 7);
    let session = world.session("a");
    for job in claim(&session, 20).await {
        assert!(settle(&session, &job, done()).await);
    }
    for id in ids {
        assert_eq!(world.state(id).await, State::Succeeded);
    }
    assert_eq!((world.count("jobs").await, world.count("history").await), (0, 0));
}

async fn dead_jobs_are_deleted_without_trace(world: World) {
    let ids = kill(&world, 10).await;
    assert_eq!(world.client.delete_dead(QUEUE, Some(&ids[..4])).await.unwrap(), 4);
    assert_eq!(world.client.find(ids[0]).await.unwrap(), None);
    assert_eq!(world.client.delete_dead(QUEUE, None).await.unwrap(), 6);
    for key in ["jobs", "history", "dead"] {
        assert_eq!(world.count(key).await, 0, "{key}");
    }
}

async fn at_most_10000_dead_jobs_are_kept_and_the_oldest_leave_first(world: World) {
    let first = kill(&world, 300).await;
    world.advance(Duration::from_secs(1));
    kill(&world, 10_000).await;
    assert_eq!(world.count("dead").await, 10_000);
    assert_eq!((world.count("jobs").await, world.count("history").await), (10_000, 10_000));
    assert_eq!(world.client.find(first[0]).await.unwrap(), None);
}

async fn dead_jobs_are_kept_for_180_days(world: World) {
    let ids = kill(&world, 3).await;
    let session = world.session("a");
    world.advance(Duration::from_secs(180 * 24 * 3600 - 1));
    session.upkeep(QUEUE, true).await.unwrap();
    assert_eq!(world.state(ids[0]).await, State::Dead);
    world.advance(Duration::from_secs(2));
    session.upkeep(QUEUE, true).await.unwrap();
    assert_eq!(world.client.find(ids[0]).await.unwrap(), None);
    assert_eq!(world.count("jobs").await, 0);
}

on_both_servers!(
    dead_jobs_are_listed_newest_first_in_pages,
    a_tenants_dead_jobs_are_in_full_pages_however_many_others_have,
    dead_jobs_are_replayed_with_all_their_attempts_before_them,
    dead_jobs_are_deleted_without_trace,
    at_most_10000_dead_jobs_are_kept_and_the_oldest_leave_first,
    dead_jobs_are_kept_for_180_days,
);
