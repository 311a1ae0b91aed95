//! Leases: who has none is refused.

use std::time::Duration;

use queue::{AttemptOutcome, State, Verdict};
use servers::wait_until;

use crate::{
    on_both_servers, on_both_servers_on_one_thread,
    world::{QUEUE, World, claim, claim_one, done, failed, settle},
};

const LEASE: Duration = Duration::from_secs(12);

async fn a_worker_that_lost_a_jobs_lease_can_no_longer_change_that_job(world: World) {
    let id = world.push().await;
    let (a, b) = (world.session("a"), world.session("b"));
    let lost = claim_one(&a).await;
    world.advance(LEASE);
    assert_eq!(b.upkeep(QUEUE, true).await.unwrap().reclaimed, 1);
    let taken = claim_one(&b).await;
    assert_eq!(taken.id(), id);

    for verdict in [done(), failed(), Verdict::Cancelled, Verdict::Expired, Verdict::HandedBack { started: true }] {
        assert!(!settle(&a, &lost, verdict.clone()).await, "{verdict:?} is refused");
        assert_eq!(world.state(id).await, State::Running);
    }
    assert_eq!(a.renew().await.unwrap(), 0, "what was settled, refused or not, is no longer held");
    assert!(settle(&b, &taken, done()).await);
    let view = world.view(id).await;
    assert_eq!(view.state, State::Succeeded);
    assert_eq!(view.attempts[0].outcome, Some(AttemptOutcome::Crashed));
    assert_eq!(view.attempts[1].worker, "b/1");
}

async fn a_stopped_and_resumed_worker_cannot_pass_for_its_own_later_claim(world: World) {
    let id = world.push().await;
    let session = world.session("a");
    let before = claim_one(&session).await;
    world.advance(LEASE);
    assert_eq!(world.session("b").upkeep(QUEUE, true).await.unwrap().reclaimed, 1);
    let later = claim_one(&session).await;
    assert_eq!(later.id(), id);
    assert!(!settle(&session, &before, done()).await);
    assert!(settle(&session, &later, done()).await);
}

async fn a_renewed_lease_is_not_reclaimed_and_a_lost_one_is_noticed(world: World) {
    world.client.push_many(vec![crate::world::job(); 50]).await;
    let (a, b) = (world.session("a"), world.session("b"));
    let jobs = claim(&a, 50).await;
    for _ in 0..5 {
        world.advance(LEASE / 3);
        assert_eq!(a.renew().await.unwrap(), 0);
        assert_eq!(b.upkeep(QUEUE, true).await.unwrap().reclaimed, 0);
    }
    assert_eq!(world.count("leases").await, 1, "one lease a claim, not a job");
    world.advance(LEASE);
    assert_eq!(b.upkeep(QUEUE, true).await.unwrap().reclaimed, 50);
    assert_eq!(a.renew().await.unwrap(), 1);
    assert_eq!(a.n_held(), 0);
    drop(jobs);
    assert_eq!((world.count("leases").await, world.count("running").await), (0, 0));
}

async fn upkeep_says_when_the_next_lease_ends_and_reclaims_only_when_told(world: World) {
    world.push().await;
    let (a, b) = (world.session("a"), world.session("b"));
    claim_one(&a).await;
    let end = world.clock.now_ms() + 12_000;
    assert_eq!(b.upkeep(QUEUE, true).await.unwrap().next_lease_end_ms, Some(end));
    world.advance(LEASE * 3);
    let report = b.upkeep(QUEUE, false).await.unwrap();
    assert_eq!((report.reclaimed, report.next_lease_end_ms), (0, Some(end)));
    assert_eq!(a.renew().await.unwrap(), 0, "leases count only while redis answered: it may still renew");
}

async fn two_replicas_reclaim_the_same_jobs_once(world: World) {
    world.client.push_many(vec![crate::world::job(); 200]).await;
    claim(&world.session("dead"), 200).await;
    world.advance(LEASE);
    let (a, b) = (world.session("a"), world.session("b"));
    let (first, second) = tokio::join!(a.upkeep(QUEUE, true), b.upkeep(QUEUE, true));
    assert_eq!(first.unwrap().reclaimed + second.unwrap().reclaimed, 200);
    assert_eq!(claim(&a, 1_000).await.len(), 200);
}

async fn a_lease_ends_with_the_last_job_of_its_claim(world: World) {
    world.client.push_many(vec![crate::world::job(); 3]).await;
    let session = world.session("a");
    let jobs = claim(&session, 3).await;
    settle(&session, &jobs[0], done()).await;
    settle(&session, &jobs[1], failed()).await;
    assert_eq!(world.count("leases").await, 1);
    settle(&session, &jobs[2], done()).await;
    assert_eq!((world.count("leases").await, session.n_held()), (0, 0));
}

/// Renewing and settling are two tasks of a process: on a busy machine the first may read its answer before the second.
async fn a_renewal_that_overtakes_the_answer_to_a_claims_last_settlement_loses_no_lease(world: World) {
    let session = world.session("a");
    // From here on Redis knows the scripts, so that each settlement is one call.
    for verdict in [done(), failed()] {
        world.push().await;
        settle(&session, &claim_one(&session).await, verdict).await;
    }
    for verdict in [done(), failed()] {
        world.push().await;
        let job = claim_one(&session).await;
        let mut settlements = vec![session.verdict(&job, verdict.clone(), 0).unwrap()];
        let settling = session.settle(&mut settlements);
        tokio::pin!(settling);
        assert!(futures::poll!(settling.as_mut()).is_pending(), "the call is made, and its answer not read");
        wait_until("redis has carried it out", LEASE, async || world.count("leases").await == 0).await;
        assert_eq!(session.renew().await.unwrap(), 0, "{verdict:?} was in time");
        assert_eq!((settling.await.unwrap(), session.n_held()), (0, 0));
    }
}

async fn a_batch_of_mixed_outcomes_is_settled_in_a_few_calls(world: World) {
    world.client.push_many(vec![crate::world::job(); 300]).await;
    let session = world.session("a");
    let jobs = claim(&session, 300).await;
    let verdict = |n: usize| if n.is_multiple_of(3) { failed() } else { done() };
    let mut settlements: Vec<_> =
        jobs.iter().enumerate().map(|(n, job)| session.verdict(job, verdict(n), 0).unwrap()).collect();
    assert_eq!(session.settle(&mut settlements).await.unwrap(), 0);
    assert!(settlements.is_empty());
    let counts = world.client.counts(QUEUE).await.unwrap();
    assert_eq!((counts["jobs"], counts["retrying"], counts["running"], counts["leases"]), (100, 100, 0, 0));
}

on_both_servers!(
    a_worker_that_lost_a_jobs_lease_can_no_longer_change_that_job,
    a_stopped_and_resumed_worker_cannot_pass_for_its_own_later_claim,
    a_renewed_lease_is_not_reclaimed_and_a_lost_one_is_noticed,
    upkeep_says_when_the_next_lease_ends_and_reclaims_only_when_told,
    two_replicas_reclaim_the_same_jobs_once,
    a_lease_ends_with_the_last_job_of_its_claim,
    a_batch_of_mixed_outcomes_is_settled_in_a_few_calls,
);

on_both_servers_on_one_thread!(a_renewal_that_overtakes_the_answer_to_a_claims_last_settlement_loses_no_lease);
