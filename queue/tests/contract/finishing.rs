//! Acknowledgement, retry, snooze, hand-back, expiry.

use std::time::Duration;

use queue::{AttemptOutcome, Error, Failure, Outcome, Snoozes, State, Success, Timestamp, Verdict};
use redis::AsyncCommands;

use crate::{
    on_both_servers,
    world::{START_MS, World, claim, claim_one, done, failed, job, settle},
};

async fn a_finished_job_keeps_its_result_for_its_retention_and_no_longer(world: World) {
    let id = world.push().await;
    let session = world.session("host-1");
    let job = claim_one(&session).await;
    world.advance(Duration::from_millis(40));
    assert!(settle(&session, &job, done()).await);

    let view = world.view(id).await;
    assert_eq!((view.state, view.success), (State::Succeeded, Some(Success::new(b"250 g".to_vec()))));
    assert_eq!(view.payload["to"], "Zoë");
    assert_eq!(view.finished_at.unwrap().ms(), START_MS + 40);
    assert_eq!(view.attempts.len(), 1);
    assert_eq!(
        (view.attempts[0].worker.as_str(), view.attempts[0].outcome),
        ("host-1/1", Some(AttemptOutcome::Succeeded))
    );
    for key in ["jobs", "running", "leases", "history"] {
        assert_eq!(world.count(key).await, 0, "{key}");
    }

    world.advance(queue::RETENTION);
    session.upkeep(&view.queue, false).await.unwrap();
    assert_eq!(world.state(id).await, State::Succeeded, "kept for at least the retention");
    world.advance(queue::RETENTION / 24 * 4);
    session.upkeep(&view.queue, false).await.unwrap();
    assert_eq!(world.client.find(id).await.unwrap(), None);
}

async fn a_job_that_finishes_long_after_its_push_is_found_too(world: World) {
    let id = world.push().await;
    world.advance(Duration::from_secs(7 * 3600));
    let session = world.session("a");
    let job = claim_one(&session).await;
    assert!(settle(&session, &job, done()).await);
    assert_eq!(world.state(id).await, State::Succeeded);
}

async fn nothing_is_kept_without_limit_or_expiry(world: World) {
    let session = world.session("a");
    world.client.push_many(vec![job(); 20]).await;
    world.advance(Duration::from_secs(2 * 3600));
    world.client.push_many(vec![job(); 20]).await;
    for job in claim(&session, 40).await {
        assert!(settle(&session, &job, done()).await);
    }
    let request = queue::Fingerprint { bytes: "x".to_owned(), meaning: "x".to_owned() };
    world.client.idempotency_take("t", "k", &request, crate::world::QUEUE).await.unwrap();
    session.beat(&[]).await.unwrap();
    let mut redis = world.redis().await;
    let keys: Vec<Vec<u8>> = redis.keys(format!("{}:*", world.prefix)).await.unwrap();
    let mut lasting = Vec::new();
    for key in keys {
        let ttl: i64 = redis.ttl(&key).await.unwrap();
        if ttl < 0 {
            lasting.push(String::from_utf8_lossy(key.rsplit(|b| *b == b':').next().unwrap()).into_owned());
        }
    }
    lasting.sort();
    // The table of partitions and the flags of indexes never grow beyond the queues; dead replicas leave the other by their next beat.
    assert_eq!(lasting, ["indexed", "partitions", "replicas"]);
}

async fn retries_go_through_redis_until_the_last_allowed_failure_is_dead(world: World) {
    let id = world.push().await;
    let session = world.session("a");
    for attempt in 1..=2 {
        let job = claim_one(&session).await;
        assert_eq!((job.id(), job.attempt()), (id, attempt));
        assert!(settle(&session, &job, failed()).await);
        let view = world.view(id).await;
        assert_eq!((view.state, view.attempt), (State::Retrying, attempt + 1));
        let bound = 2_000 * u64::from(attempt);
        assert!(view.run_at.ms() - world.clock.now_ms() <= bound, "full jitter below {bound} ms");
        assert_eq!(view.attempts[attempt as usize - 1].error.as_ref().unwrap().code, "broken");
        world.advance(Duration::from_millis(bound));
    }
    let job = claim_one(&session).await;
    assert!(settle(&session, &job, failed()).await);
    let view = world.view(id).await;
    assert_eq!((view.state, view.attempt, view.attempts.len()), (State::Dead, 3, 3));
    assert_eq!(view.attempts[2].outcome, Some(AttemptOutcome::Dead));
    assert!(claim(&session, 1).await.is_empty());
}

async fn a_fatal_failure_is_dead_at_once(world: World) {
    let id = world.push().await;
    let session = world.session("a");
    let job = claim_one(&session).await;
    let fatal = Verdict::Ran(Outcome::Dead(Failure::new("invalid_payload", "at to: no such person")));
    assert!(settle(&session, &job, fatal).await);
    assert_eq!(world.state(id).await, State::Dead);
}

async fn a_snooze_uses_no_attempt_and_keeps_the_draft(world: World) {
    let id = world.push().await;
    let session = world.session("a");
    for _ in 0..10 {
        let job = claim_one(&session).await;
        assert_eq!(job.attempt(), 1);
        let draft = Success::new(b"paid: 9.90".to_vec());
        let snooze = Outcome::Snooze {
            error: Failure::new("store_unavailable", "mongodb is away"),
            after: Duration::from_secs(5),
            draft: Some(draft),
        };
        assert!(settle(&session, &job, Verdict::Ran(snooze)).await);
        let view = world.view(id).await;
        assert_eq!((view.state, view.run_at.ms()), (State::Scheduled, world.clock.now_ms() + 5_000));
        world.advance(Duration::from_secs(5));
    }
    let job = claim_one(&session).await;
    assert_eq!(job.draft().unwrap().as_bytes(), b"paid: 9.90");
    assert!(settle(&session, &job, Verdict::Ran(Outcome::Done(job.draft().unwrap()))).await);
    let view = world.view(id).await;
    assert_eq!((view.state, view.attempt), (State::Succeeded, 1));
    assert_eq!(view.attempts.len(), 1, "a snooze is no attempt");
    let last_at = Some(Timestamp::from_ms(world.clock.now_ms() - 5_000));
    let last_code = Some("store_unavailable".to_owned());
    assert_eq!(view.snoozes, Snoozes { count: 10, last_code, last_at });
}

async fn what_is_handed_back_is_next_and_has_lost_no_attempt(world: World) {
    let first = world.push().await;
    let second = world.push().await;
    let session = world.session("a");
    let job = claim_one(&session).await;
    assert!(settle(&session, &job, Verdict::HandedBack { started: true }).await);
    let again = claim_one(&world.session("b")).await;
    assert_eq!((again.id(), again.attempt()), (first, 1));
    let view = world.view(first).await;
    assert_eq!((view.attempts[0].outcome, view.crashes), (Some(AttemptOutcome::HandedBack), 0));
    assert_eq!(world.state(second).await, State::Ready);
}

async fn an_expired_job_is_not_run(world: World) {
    let mut new = job();
    new.expires_at_ms = Some(START_MS + 1_000);
    let id = world.client.push(new).await.unwrap();
    world.advance(Duration::from_secs(2));
    let session = world.session("a");
    let job = claim_one(&session).await;
    assert!(settle(&session, &job, Verdict::Expired).await);
    let view = world.view(id).await;
    assert_eq!((view.state, view.started_at, view.attempts.len()), (State::Expired, None, 0));
}

async fn a_finished_job_cannot_be_retried_but_an_expired_one_can(world: World) {
    let session = world.session("a");
    let id = world.push().await;
    let job = claim_one(&session).await;
    settle(&session, &job, done()).await;
    assert_eq!(world.client.retry(id).await.unwrap_err(), Error::Conflict("succeeded"));

    let id = world.push().await;
    let job = claim_one(&session).await;
    settle(&session, &job, Verdict::Expired).await;
    assert_eq!(world.client.retry(id).await.unwrap().state, State::Ready);
    assert_eq!(claim_one(&session).await.id(), id);
}

on_both_servers!(
    a_finished_job_keeps_its_result_for_its_retention_and_no_longer,
    a_job_that_finishes_long_after_its_push_is_found_too,
    nothing_is_kept_without_limit_or_expiry,
    retries_go_through_redis_until_the_last_allowed_failure_is_dead,
    a_fatal_failure_is_dead_at_once,
    a_snooze_uses_no_attempt_and_keeps_the_draft,
    what_is_handed_back_is_next_and_has_lost_no_attempt,
    an_expired_job_is_not_run,
    a_finished_job_cannot_be_retried_but_an_expired_one_can,
);
