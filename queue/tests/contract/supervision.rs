//! Background tasks have an owner.

use std::{sync::atomic::Ordering, time::Duration};

use queue::{AttemptOutcome, Client, State};
use redis::AsyncCommands;
use servers::wait_until;

use crate::{
    on_both_servers, on_both_servers_on_one_thread,
    replica::{finished, push, start},
    world::{START_MS, World, claim_one, done},
};

const SOON: Duration = Duration::from_secs(30);
const TASKS: [&str; 9] =
    ["lease keeper", "upkeep", "heartbeat", "reporter", "waker", "fetcher of parcel", "collector", "pusher", "events"];

/// A replica stops as its process does when a task has ended too early.
async fn a_task_that_panics_is_told_and_its_replica_ends_with_its_jobs_handed_back(world: World) {
    for task in TASKS {
        let client = world.real_time_client();
        let running = start(&client, 2);
        let (ends, hangs) = (push(&client, "wait").await, push(&client, "hang").await);
        wait_until("both run", SOON, async || running.began.load(Ordering::SeqCst) == 2).await;
        client.wait(ends, Duration::ZERO).await.unwrap();

        client.tasks().plant_panic(task);
        let ended = client.tasks().ended_early().await;
        assert_eq!((ended.task.as_str(), ended.reason.as_str()), (task, "panicked: planted"));
        running.let_go.notify_one();
        let looking = world.real_time_client();
        assert_eq!(finished(&looking, ends).await, State::Succeeded, "{task}: an end is written all the same");
        running.replica.stop();
        running.replica.hand_back();
        running.worker.await.unwrap();
        running.replica.close().await;

        let view = looking.find(hangs).await.unwrap().unwrap();
        assert_eq!((view.state, view.crashes), (State::Ready, 0), "{task}");
        assert_eq!(view.attempts[0].outcome, Some(AttemptOutcome::HandedBack), "{task}");
        let counts = looking.counts(crate::world::QUEUE).await.unwrap();
        assert_eq!((counts["running"], counts["leases"]), (0, 0), "{task}");
        looking.cancel(hangs).await.unwrap();
    }
}

/// As when the task of an apalis worker panics: its handlers are dropped, and settle nothing.
async fn jobs_whose_worker_is_gone_are_handed_back_as_the_replica_closes(world: World) {
    let client = world.real_time_client();
    let running = start(&client, 2);
    let ids = [push(&client, "hang").await, push(&client, "hang").await];
    wait_until("both run", SOON, async || running.began.load(Ordering::SeqCst) == 2).await;
    running.worker.abort();
    assert!(running.worker.await.unwrap_err().is_cancelled());
    running.replica.close().await;
    for id in ids {
        let view = client.find(id).await.unwrap().unwrap();
        assert_eq!((view.state, view.crashes), (State::Ready, 0));
    }
    assert_eq!(client.counts(crate::world::QUEUE).await.unwrap()["leases"], 0);
}

/// Has Redis refuse ends of jobs, but not that they are handed back; or take them again.
async fn refuse_ends(world: &World, client: &Client, refuse: bool) {
    let hour = client.now_ms() / 3_600_000;
    for bucket in [hour, hour + 1] {
        let key = world.key(&format!("done:{bucket}"));
        let mut redis = world.redis().await;
        let _: () = if refuse { redis.set(key, "rubbish").await } else { redis.del(key).await }.unwrap();
    }
}

/// What became of them is known here alone, and nobody else is to run them while their leases last.
async fn jobs_whose_ends_could_not_be_written_are_not_handed_back(world: World) {
    let client = world.real_time_client();
    let running = start(&client, 2);
    let first = [push(&client, "wait").await, push(&client, "wait").await];
    wait_until("both run", SOON, async || running.began.load(Ordering::SeqCst) == 2).await;
    refuse_ends(&world, &client, true).await;
    running.let_go.notify_one();
    let last = push(&client, "at once").await;
    wait_until("one has ended, and the next runs", SOON, async || running.began.load(Ordering::SeqCst) == 3).await;
    running.let_go.notify_one();
    running.replica.stop();
    running.worker.await.unwrap();
    running.replica.close().await;
    for id in [first[0], first[1], last] {
        let mut claims: Vec<Vec<u8>> = world.redis().await.hvals(world.key("claims")).await.unwrap();
        claims.retain(|ids| ids.chunks(16).any(|other| *other == crate::world::id_bytes(id)));
        assert_eq!(claims.len(), 1, "{id} is still its worker's");
    }
}

async fn an_end_that_was_not_written_when_the_collector_panicked_is_written_by_the_next(world: World) {
    let client = world.real_time_client();
    let running = start(&client, 1);
    let id = push(&client, "wait").await;
    wait_until("it runs", SOON, async || running.began.load(Ordering::SeqCst) == 1).await;
    refuse_ends(&world, &client, true).await;
    running.let_go.notify_one();
    push(&client, "hang").await;
    wait_until("it has ended, and the next runs", SOON, async || running.began.load(Ordering::SeqCst) == 2).await;
    client.tasks().plant_panic("collector");
    client.tasks().ended_early().await;
    refuse_ends(&world, &client, false).await;
    assert_eq!(finished(&world.real_time_client(), id).await, State::Succeeded);
    running.replica.stop();
    running.replica.hand_back();
    running.worker.await.unwrap();
    running.replica.close().await;
}

async fn a_job_that_still_runs_as_the_replica_closes_is_not_handed_back(world: World) {
    let client = world.real_time_client();
    let running = start(&client, 1);
    let id = push(&client, "hang").await;
    wait_until("it runs", SOON, async || running.began.load(Ordering::SeqCst) == 1).await;
    running.replica.close().await;
    assert_eq!(client.find(id).await.unwrap().unwrap().state, State::Running);
    running.worker.abort();
}

/// A panic drops what its task was doing.
async fn what_was_being_written_when_the_task_panicked_is_written_by_the_next(world: World) {
    let id = world.push().await;
    let session = world.session("a");
    let mut settlements = vec![session.verdict(&claim_one(&session).await, done(), START_MS).unwrap()];
    {
        let settling = session.settle(&mut settlements);
        tokio::pin!(settling);
        assert!(futures::poll!(settling.as_mut()).is_pending(), "the call is made, and its answer not read");
    }
    session.settle(&mut settlements).await.unwrap();
    assert_eq!((session.n_held(), session.n_sealed().await), (0, 0));
    assert_eq!(world.state(id).await, State::Succeeded);
}

on_both_servers!(
    a_task_that_panics_is_told_and_its_replica_ends_with_its_jobs_handed_back,
    jobs_whose_worker_is_gone_are_handed_back_as_the_replica_closes,
    jobs_whose_ends_could_not_be_written_are_not_handed_back,
    a_job_that_still_runs_as_the_replica_closes_is_not_handed_back,
    an_end_that_was_not_written_when_the_collector_panicked_is_written_by_the_next,
);

on_both_servers_on_one_thread!(what_was_being_written_when_the_task_panicked_is_written_by_the_next);
