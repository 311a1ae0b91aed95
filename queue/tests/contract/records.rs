//! Records that are damaged, or that another release wrote.

use std::time::Duration;

use base64::prelude::{BASE64_STANDARD, Engine as _};
use queue::{AttemptOutcome, Failure, JobId, Outcome, State, Timestamp, Verdict};
use redis::AsyncCommands;

use crate::{
    on_both_servers,
    world::{QUEUE, START_MS, World, claim, claim_one, done, failed, id_bytes, job, settle},
};

async fn a_damaged_record_is_claimed_as_such_and_its_bytes_are_shown(world: World) {
    let id = world.push().await;
    let mut record = stored(&world, id).await;
    let last = record.len() - 2;
    record[last] ^= 0x20;
    let damaged = record.clone();
    store(&world, id, &record).await;

    let session = world.session("a");
    let job = claim_one(&session).await;
    let error = job.payload().unwrap_err().to_string();
    assert!(error.contains("checksum"), "{error}");
    let dead = Verdict::Ran(Outcome::Dead(Failure::new("corrupt_record", error)));
    assert!(settle(&session, &job, dead).await);
    let view = world.view(id).await;
    assert_eq!(view.state, State::Dead);
    assert!(view.payload.as_str().unwrap().contains("{\"to\":"), "{:?}", view.payload);
    assert_eq!(BASE64_STANDARD.decode(view.record_base64.unwrap()).unwrap(), damaged);
    let dead = world.dead(None, None, 10).await.items;
    assert_eq!(BASE64_STANDARD.decode(dead[0].record_base64.as_ref().unwrap()).unwrap(), damaged);
}

/// As after a bit error on the way to the disk, or a program that writes into our keys.
async fn no_damage_to_a_record_takes_other_jobs_with_it(world: World) {
    let damages: [fn(&mut Vec<u8>); 6] = [
        Vec::clear,
        |record| record.truncate(1),
        |record| record.truncate(7),
        |record| record[0] = 0,
        |record| record[1] = 0xff,
        |record| record[3] = 0xff,
    ];
    let mut damaged = Vec::new();
    for damage in damages {
        world.push().await;
        let id = world.push().await;
        let mut record = stored(&world, id).await;
        damage(&mut record);
        store(&world, id, &record).await;
        damaged.push((id, record));
    }
    let session = world.session("a");
    let jobs = claim(&session, 100).await;
    assert_eq!(jobs.len(), 2 * damages.len());
    for job in jobs {
        let verdict = match job.payload() {
            Ok(_) => done(),
            Err(error) => Verdict::Ran(Outcome::Dead(Failure::new("corrupt_record", error.to_string()))),
        };
        assert!(settle(&session, &job, verdict).await);
    }
    for (id, record) in damaged {
        let view = world.view(id).await;
        assert_eq!(view.state, State::Dead);
        assert_eq!(
            BASE64_STANDARD.decode(view.record_base64.unwrap()).unwrap(),
            record,
            "its bytes are kept and shown"
        );
    }
    assert_eq!((world.count("running").await, world.count("dead").await), (0, damages.len() as u64));
}

async fn a_payload_that_is_no_text_is_shown_whole(world: World) {
    let id = world.client.push(queue::NewJob::new(QUEUE, b"\xff\x00\xfe".as_slice())).await.unwrap();
    let shown = BASE64_STANDARD.decode(world.view(id).await.record_base64.unwrap()).unwrap();
    assert_eq!(shown, stored(&world, id).await);
    assert!(shown.ends_with(b"\xff\x00\xfe"));
    let good = world.push().await;
    assert_eq!(world.view(good).await.record_base64, None);
}

fn field(id: JobId) -> [u8; 16] {
    uuid::Uuid::parse_str(&id.to_string()).unwrap().into_bytes()
}

/// The key that holds a job's record: the tenth byte of an id is its page.
fn page(world: &World, id: JobId) -> String {
    world.key(&format!("jobs:{}", field(id)[9]))
}

/// The record of an unfinished or dead job.
async fn stored(world: &World, id: JobId) -> Vec<u8> {
    world.redis().await.hget(page(world, id), field(id).as_slice()).await.unwrap()
}

async fn store(world: &World, id: JobId, record: &[u8]) {
    let _: () = world.redis().await.hset(page(world, id), field(id).as_slice(), record).await.unwrap();
}

/// What a newer release wrote: the same job with the next envelope version.
async fn renew(world: &World, id: JobId) -> Vec<u8> {
    let mut record = stored(world, id).await;
    record[0] = queue::ENVELOPE_VERSION + 1;
    store(world, id, &record).await;
    record
}

/// To a newer release's worker the records are what ours are to us: they get the version that this one reads.
async fn become_the_newer_release(world: &World, ids: &[JobId]) {
    for id in ids {
        let mut record = stored(world, *id).await;
        record[0] = queue::ENVELOPE_VERSION;
        store(world, *id, &record).await;
    }
}

async fn a_newer_releases_jobs_in_every_state_stay_untouched_and_are_run_by_it(world: World) {
    let session = world.session("a");
    let retrying = world.push().await;
    assert!(settle(&session, &claim_one(&session).await, failed()).await);
    let dead = world.push().await;
    let fatal = Verdict::Ran(Outcome::Dead(Failure::new("bad", "no good")));
    assert!(settle(&session, &claim_one(&session).await, fatal).await);
    let mut new = job();
    new.run_at_ms = Some(world.clock.now_ms() + 60_000);
    let scheduled = world.client.push(new).await.unwrap();
    let ready = world.push().await;
    let urgent = world.client.push(queue::NewJob { priority: queue::Priority::High, ..job() }).await.unwrap();
    let unfinished = [retrying, scheduled, ready, urgent];
    let all = [retrying, scheduled, ready, urgent, dead];
    let mut records = Vec::new();
    for id in all {
        records.push(renew(&world, id).await);
    }

    // Once before they are due, once after; whoever looks meanwhile sees them.
    for _ in 0..2 {
        assert!(claim(&session, 100).await.is_empty());
        assert_eq!(session.unhold(QUEUE).await.unwrap(), 0);
        session.upkeep(QUEUE, true).await.unwrap();
        for (id, record) in all.iter().zip(&records) {
            assert_eq!(&stored(&world, *id).await, record, "untouched");
            assert_eq!(&BASE64_STANDARD.decode(world.view(*id).await.record_base64.unwrap()).unwrap(), record);
        }
        world.advance(std::time::Duration::from_secs(3_600));
    }
    assert_eq!(world.count("held").await, 4);
    assert_eq!((world.state(dead).await, world.view(retrying).await.attempts.len()), (State::Dead, 1));

    become_the_newer_release(&world, &all).await;
    assert_eq!(session.unhold(QUEUE).await.unwrap(), 4);
    assert_eq!(world.client.replay_dead(QUEUE, None).await.unwrap(), 1);
    let jobs = claim(&session, 100).await;
    assert_eq!(jobs[0].id(), urgent, "in the order of their priorities");
    assert_eq!(jobs.len(), all.len());
    for job in &jobs {
        assert!(settle(&session, job, done()).await);
    }
    for id in unfinished {
        assert_eq!(world.state(id).await, State::Succeeded);
    }
    assert_eq!((world.view(retrying).await.attempts.len(), world.view(dead).await.attempts.len()), (2, 2));
}

/// A history as releases wrote it that counted snoozes among the attempts.
fn history_with_snoozed_attempts() -> Vec<u8> {
    let attempt = |step: u64, outcome: &str| {
        let error = serde_json::json!({ "code": outcome.to_uppercase(), "message": "away", "fingerprint": "9f2c" });
        serde_json::json!({ "n": 1, "w": "old/1", "s": START_MS + step, "f": START_MS + step + 1, "o": outcome, "e": error, "i": step })
    };
    let attempts: Vec<_> =
        ["snoozed", "crashed", "snoozed", "snoozed"].iter().zip(30..).map(|(o, n)| attempt(n, o)).collect();
    let history = serde_json::json!({ "u": 0, "c": 1, "a": attempts, "d": START_MS + 5_000, "i": 34 });
    rmp_serde::to_vec_named(&history).unwrap()
}

async fn snoozes_that_an_older_release_kept_among_the_attempts_are_read_and_counted_on(world: World) {
    let id = world.push().await;
    let session = world.session("a");
    let job = claim_one(&session).await;
    let snooze = |code: &str| {
        let error = Failure::new(code, "away");
        Verdict::Ran(Outcome::Snooze { error, after: Duration::from_secs(1), draft: None })
    };
    assert!(settle(&session, &job, snooze("any")).await);
    let old = history_with_snoozed_attempts();
    let _: () = world.redis().await.hset(world.key("history"), field(id).as_slice(), old).await.unwrap();

    let view = world.view(id).await;
    let outcomes: Vec<_> = view.attempts.iter().map(|attempt| attempt.outcome.unwrap()).collect();
    assert_eq!((outcomes, view.crashes, view.attempt), (vec![AttemptOutcome::Crashed], 1, 1));
    assert_eq!((view.snoozes.count, view.snoozes.last_code.as_deref()), (3, Some("SNOOZED")));
    assert_eq!(view.snoozes.last_at, Some(Timestamp::from_ms(START_MS + 34)));

    world.advance(Duration::from_secs(10));
    let job = claim_one(&session).await;
    assert!(settle(&session, &job, snooze("store_unavailable")).await);
    let view = world.view(id).await;
    assert_eq!((view.snoozes.count, view.snoozes.last_code.as_deref()), (4, Some("store_unavailable")));
    world.advance(Duration::from_secs(10));
    assert!(settle(&session, &claim_one(&session).await, done()).await);
    let view = world.view(id).await;
    assert_eq!((view.state, view.attempts.len(), view.snoozes.count), (State::Succeeded, 2, 4));
}

/// Between the claim and putting it aside somebody may cancel it.
async fn a_newer_releases_job_that_is_cancelled_as_it_is_put_aside_ends(world: World) {
    let id = world.push().await;
    renew(&world, id).await;
    let _: usize = world.redis().await.sadd(world.key("cancels"), id_bytes(id)).await.unwrap();
    assert!(claim(&world.session("a"), 10).await.is_empty());
    assert_eq!(world.state(id).await, State::Cancelled);
    for key in ["claims", "leases", "running", "held", "cancels"] {
        assert_eq!(world.count(key).await, 0, "{key}");
    }
}

async fn a_record_of_a_newer_release_is_put_aside_for_a_worker_that_reads_it(world: World) {
    let newer = world.push().await;
    let ours = world.push().await;
    renew(&world, newer).await;
    let session = world.session("a");
    let jobs = claim(&session, 10).await;
    assert_eq!(jobs.iter().map(queue::Claimed::id).collect::<Vec<_>>(), [ours]);
    assert_eq!((world.state(newer).await, world.count("held").await), (State::Ready, 1));
    assert_eq!(session.unhold(QUEUE).await.unwrap(), 0, "this release still cannot read it");

    // What the newer release's worker finds at its start.
    let mut record = stored(&world, newer).await;
    record[0] = queue::ENVELOPE_VERSION;
    store(&world, newer, &record).await;
    assert_eq!(session.unhold(QUEUE).await.unwrap(), 1);
    let job = claim_one(&session).await;
    assert_eq!(job.id(), newer);
    assert!(settle(&session, &job, done()).await);
}

async fn a_kind_that_no_worker_serves_stays_ready(world: World) {
    let id = world.client.push(queue::NewJob::new("future-kind", "{}")).await.unwrap();
    assert!(claim(&world.session("a"), 10).await.is_empty());
    assert_eq!(world.state(id).await, State::Ready);
    let queues = world.client.queues().await.unwrap();
    assert_eq!(queues.iter().find(|queue| queue.name == "future-kind").unwrap().depth.ready, 1);
}

async fn a_job_with_the_kinds_defaults_adds_eight_bytes_to_its_payload(world: World) {
    let payload = format!("\"{}\"", "x".repeat(198));
    let id = world.client.push(queue::NewJob::new(QUEUE, payload)).await.unwrap();
    assert_eq!(stored(&world, id).await.len(), 208, "a header, and nothing else");
}

on_both_servers!(
    no_damage_to_a_record_takes_other_jobs_with_it,
    a_payload_that_is_no_text_is_shown_whole,
    a_newer_releases_jobs_in_every_state_stay_untouched_and_are_run_by_it,
    a_newer_releases_job_that_is_cancelled_as_it_is_put_aside_ends,
    a_damaged_record_is_claimed_as_such_and_its_bytes_are_shown,
    a_record_of_a_newer_release_is_put_aside_for_a_worker_that_reads_it,
    snoozes_that_an_older_release_kept_among_the_attempts_are_read_and_counted_on,
    a_kind_that_no_worker_serves_stays_ready,
    a_job_with_the_kinds_defaults_adds_eight_bytes_to_its_payload,
);
