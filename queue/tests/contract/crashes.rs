//! Jobs that take their worker down, and innocents that were with them.

use std::time::Duration;

use queue::{Failure, JobId, Outcome, Session, State, Verdict};

use crate::{
    on_both_servers,
    world::{QUEUE, World, claim, claim_one, done, failed, settle},
};

const LEASE: Duration = Duration::from_secs(12);

/// The process of `session` dies; its leases end, and `survivor` looks after the queue.
async fn dies(world: &World, session: Session, survivor: &Session) {
    drop(session);
    world.advance(LEASE);
    survivor.upkeep(QUEUE, true).await.unwrap();
}

/// A job that two workers died with.
async fn suspect(world: &World, survivor: &Session) -> JobId {
    let suspect = world.push().await;
    for n in 0..2 {
        let victim = world.session(&format!("victim-{n}"));
        claim_one(&victim).await;
        dies(world, victim, survivor).await;
    }
    suspect
}

async fn a_job_that_took_its_worker_down_three_times_is_dead_and_no_innocent_is(world: World) {
    let killer = world.push().await;
    let innocents: Vec<JobId> =
        world.client.push_many(vec![crate::world::job(); 5]).await.into_iter().map(Result::unwrap).collect();
    let survivor = world.session("survivor");

    // Twice, nobody can know which of the six it was.
    for n in 0..2 {
        let victim = world.session(&format!("victim-{n}"));
        assert_eq!(claim(&victim, 10).await.len(), 6);
        dies(&world, victim, &survivor).await;
    }
    assert_eq!(world.view(killer).await.crashes, 2);
    assert_eq!(world.count("suspects").await, 6);

    // From then on one suspect at a time: an innocent one finishes, the guilty one is alone with its worker.
    let mut deaths = 0;
    for n in 0..10 {
        let worker = world.session(&format!("worker-{n}"));
        let jobs = claim(&worker, 10).await;
        assert!(jobs.len() <= 1, "one suspect a replica");
        match jobs.first() {
            None => break,
            Some(job) if job.id() == killer => {
                assert!(claim(&worker, 10).await.is_empty(), "no second suspect while one runs");
                deaths += 1;
                dies(&world, worker, &survivor).await;
            }
            Some(job) => assert!(settle(&worker, job, done()).await),
        }
    }
    assert_eq!(deaths, 1);
    let view = world.view(killer).await;
    assert_eq!((view.state, view.crashes), (State::Dead, 3));
    assert!(view.attempts.last().unwrap().error.as_ref().unwrap().message.contains("died 3 times"));
    for innocent in innocents {
        assert_eq!(world.state(innocent).await, State::Succeeded);
    }
}

async fn a_suspect_runs_by_itself_and_is_alone_blamed(world: World) {
    let survivor = world.session("survivor");
    let suspect = suspect(&world, &survivor).await;
    let other = world.push().await;
    let busy = world.session("busy");
    let victim = world.session("victim-2");
    let report = victim.claim(QUEUE, 10).await.unwrap();
    assert_eq!(report.jobs.iter().map(queue::Claimed::id).collect::<Vec<_>>(), [suspect], "it comes by itself");
    assert!(report.left && !report.busy);
    assert!(victim.claim(QUEUE, 10).await.unwrap().busy, "and nothing is claimed beside it");
    let beside = claim_one(&busy).await;
    assert_eq!(beside.id(), other, "other replicas go on");
    assert!(settle(&busy, &beside, done()).await);
    dies(&world, victim, &survivor).await;
    assert_eq!(world.state(suspect).await, State::Dead);
    assert_eq!(world.state(other).await, State::Succeeded);
}

async fn no_suspect_is_claimed_beside_other_jobs(world: World) {
    let survivor = world.session("survivor");
    let suspect = suspect(&world, &survivor).await;
    let ordinary = world.push().await;
    let taken = claim_one(&survivor).await;
    assert_eq!(taken.id(), suspect);
    let worker = world.session("worker");
    let other = claim_one(&worker).await;
    assert_eq!(other.id(), ordinary);
    assert!(settle(&survivor, &taken, Verdict::HandedBack { started: false }).await);

    let report = worker.claim(QUEUE, 10).await.unwrap();
    assert!(report.jobs.is_empty() && report.suspects_wait, "it has a job, and is told that a suspect waits");
    assert!(settle(&worker, &other, done()).await);
    assert_eq!(claim_one(&worker).await.id(), suspect);
}

async fn a_suspect_that_failed_or_snoozed_runs_by_itself_again(world: World) {
    let survivor = world.session("survivor");
    let suspect = suspect(&world, &survivor).await;
    let error = Failure::new("busy", "the scale is busy");
    let snoozed = Verdict::Ran(Outcome::Snooze { error, after: Duration::from_secs(1), draft: None });
    for (n, verdict) in [failed(), snoozed].into_iter().enumerate() {
        let taken = claim_one(&survivor).await;
        assert_eq!(taken.id(), suspect);
        assert!(settle(&survivor, &taken, verdict).await);
        world.advance(Duration::from_secs(3600));
        // It comes back with ordinary jobs, one of which takes the worker down.
        let killer = world.push().await;
        let victim = world.session(&format!("another-{n}"));
        let report = victim.claim(QUEUE, 10).await.unwrap();
        assert_eq!(
            report.jobs.iter().map(queue::Claimed::id).collect::<Vec<_>>(),
            [killer],
            "the suspect is put aside"
        );
        assert_eq!(world.count("suspects").await, 1);
        drop(report);
        dies(&world, victim, &survivor).await;
        assert_eq!((world.view(suspect).await.crashes, world.view(killer).await.crashes), (2, 1));
        let taken = claim_one(&survivor).await;
        assert_eq!(taken.id(), suspect, "it comes by itself");
        assert!(settle(&survivor, &taken, Verdict::HandedBack { started: false }).await);
        assert!(world.client.cancel(killer).await.is_ok());
    }
    let taken = claim_one(&survivor).await;
    assert!(settle(&survivor, &taken, done()).await);
    assert_eq!(world.state(suspect).await, State::Succeeded);
}

async fn a_crash_uses_no_attempt(world: World) {
    let id = world.push().await;
    let victim = world.session("victim");
    claim(&victim, 1).await;
    dies(&world, victim, &world.session("survivor")).await;
    let view = world.view(id).await;
    assert_eq!((view.state, view.attempt, view.crashes), (State::Ready, 1, 1));
}

async fn a_replayed_quarantined_job_starts_with_a_clean_slate(world: World) {
    let id = world.push().await;
    let survivor = world.session("survivor");
    for n in 0..3 {
        let victim = world.session(&format!("victim-{n}"));
        assert_eq!(claim(&victim, 1).await.len(), 1);
        dies(&world, victim, &survivor).await;
    }
    assert_eq!(world.state(id).await, State::Dead);
    assert_eq!(world.client.retry(id).await.unwrap().crashes, 0);
    let jobs = claim(&survivor, 1).await;
    assert!(settle(&survivor, &jobs[0], done()).await);
    assert_eq!(world.state(id).await, State::Succeeded);
}

on_both_servers!(
    a_job_that_took_its_worker_down_three_times_is_dead_and_no_innocent_is,
    a_suspect_runs_by_itself_and_is_alone_blamed,
    no_suspect_is_claimed_beside_other_jobs,
    a_suspect_that_failed_or_snoozed_runs_by_itself_again,
    a_crash_uses_no_attempt,
    a_replayed_quarantined_job_starts_with_a_clean_slate,
);
