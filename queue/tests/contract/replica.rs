//! The background tasks of a worker, with an apalis worker on top, in real time.

use std::{
    collections::HashSet,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use apalis::prelude::{BoxDynError, Task, WorkerBuilder};
use futures::FutureExt;
use queue::{Claimed, Client, Failure, JobId, NewJob, Outcome, Replica, State, Success, Timing};
use redis::AsyncCommands;
use servers::wait_until;
use tokio::sync::Notify;

use crate::{
    on_both_servers,
    world::{QUEUE, World, id_bytes},
};

const SOON: Duration = Duration::from_secs(30);

/// A replica whose handler does what the payload says.
pub(crate) struct Running {
    pub(crate) replica: Replica,
    pub(crate) worker: tokio::task::JoinHandle<()>,
    pub(crate) began: Arc<AtomicUsize>,
    pub(crate) let_go: Arc<Notify>,
}

pub(crate) fn start(client: &Client, concurrency: usize) -> Running {
    let mut replica = Replica::start(client.clone(), "host", Timing::default());
    let backend = replica.backend(QUEUE, concurrency);
    let (began, let_go) = (Arc::new(AtomicUsize::new(0)), Arc::new(Notify::new()));
    let (count, go) = (began.clone(), let_go.clone());
    let handle = move |task: Task<Claimed>| {
        let (count, go) = (count.clone(), go.clone());
        async move {
            count.fetch_add(1, Ordering::SeqCst);
            let payload = String::from_utf8(task.args.payload().unwrap().to_vec()).unwrap();
            match payload.as_str() {
                "\"panic\"" => panic!("the handler does not like this"),
                "\"hang\"" => std::future::pending::<()>().await,
                "\"wait\"" => go.notified().await,
                "\"fail\"" => {
                    return Ok::<_, BoxDynError>(Outcome::Retry { error: Failure::new("x", "failed"), after: None });
                }
                _ => {}
            }
            Ok(Outcome::Done(Success::new(payload.into())))
        }
    };
    let worker = WorkerBuilder::new("test").backend(backend).build(tower::service_fn(handle));
    let worker = tokio::spawn(async move { worker.run().boxed().await.unwrap() });
    Running { replica, worker, began, let_go }
}

impl Running {
    async fn close(self) {
        self.replica.stop();
        self.worker.await.unwrap();
        self.replica.close().await;
    }
}

pub(crate) async fn push(client: &Client, payload: &str) -> JobId {
    client.push(NewJob::new(QUEUE, format!("\"{payload}\""))).await.unwrap()
}

pub(crate) async fn finished(client: &Client, id: JobId) -> State {
    client.wait(id, SOON).await.unwrap().unwrap().state
}

async fn all_jobs_are_run_and_whoever_waits_is_told(world: World) {
    let client = world.real_time_client();
    let running = start(&client, 8);
    let jobs = (0..2_000).map(|n| NewJob::new(QUEUE, format!("\"{n}\""))).collect();
    let ids: Vec<JobId> = client.push_many(jobs).await.into_iter().map(Result::unwrap).collect();
    for id in &ids {
        assert_eq!(finished(&client, *id).await, State::Succeeded);
    }
    assert_eq!(running.began.load(Ordering::SeqCst), 2_000, "each exactly once");
    running.close().await;
    let counts = client.counts(QUEUE).await.unwrap();
    assert_eq!((counts["jobs"], counts["running"], counts["leases"]), (0, 0, 0));
}

/// A replica that notes the ids of the jobs in the order in which they start.
fn start_noting(client: &Client, concurrency: usize) -> (Running, Arc<Mutex<Vec<JobId>>>) {
    let mut replica = Replica::start(client.clone(), "host", Timing::default());
    let backend = replica.backend(QUEUE, concurrency);
    let started: Arc<Mutex<Vec<JobId>>> = Arc::default();
    let noted = started.clone();
    let handle = move |task: Task<Claimed>| {
        noted.lock().unwrap().push(task.args.id());
        std::future::ready(Ok::<_, BoxDynError>(Outcome::Done(Success::default())))
    };
    let worker = WorkerBuilder::new("test").backend(backend).build(tower::service_fn(handle));
    let worker = tokio::spawn(async move { worker.run().boxed().await.unwrap() });
    (Running { replica, worker, began: Arc::default(), let_go: Arc::default() }, started)
}

async fn jobs_start_in_the_order_of_their_pushes_however_many_claims_are_under_way(world: World) {
    let client = world.real_time_client();
    let jobs = (0..20_000).map(|n| NewJob::new(QUEUE, format!("\"{n}\""))).collect();
    assert!(client.push_many(jobs).await.iter().all(Result::is_ok));
    let waiting: Vec<Vec<u8>> = world.redis().await.lrange(world.key("ready:1"), 0, -1).await.unwrap();
    let (running, started) = start_noting(&client, 256);
    wait_until("all have started", SOON, async || started.lock().unwrap().len() >= waiting.len()).await;
    running.close().await;
    let started: Vec<Vec<u8>> = started.lock().unwrap().iter().map(|id| id_bytes(*id)).collect();
    assert!(started == waiting, "each once, in their order");
    let counts = client.counts(QUEUE).await.unwrap();
    assert_eq!((counts["jobs"], counts["running"], counts["leases"]), (0, 0, 0));
}

async fn claimed_jobs_that_cannot_be_read_are_given_back_and_run_once_when_they_can(world: World) {
    let client = world.real_time_client();
    let jobs = (0..100).map(|n| NewJob::new(QUEUE, format!("\"{n}\""))).collect();
    assert!(client.push_many(jobs).await.iter().all(Result::is_ok));
    let mut redis = world.redis().await;
    let pages: Vec<String> = redis.keys(world.key("jobs:*")).await.unwrap();
    for page in &pages {
        let _: () = redis.rename(page, format!("{page}:aside")).await.unwrap();
        let _: () = redis.set(page, "no hash").await.unwrap();
    }
    let (running, started) = start_noting(&client, 256);
    let is_claimed = async |redis: &mut redis::aio::MultiplexedConnection| {
        let leases: usize = redis.zcard(world.key("leases")).await.unwrap();
        leases > 0
    };
    wait_until("they are claimed", SOON, async || is_claimed(&mut redis).await).await;
    for page in &pages {
        let _: () = redis.rename(format!("{page}:aside"), page).await.unwrap();
    }
    wait_until("all have started", SOON, async || started.lock().unwrap().len() >= 100).await;
    running.close().await;
    let started = started.lock().unwrap().clone();
    let each: HashSet<&JobId> = started.iter().collect();
    assert_eq!((started.len(), each.len()), (100, 100), "each once");
    let counts = client.counts(QUEUE).await.unwrap();
    assert_eq!((counts["jobs"], counts["running"], counts["leases"]), (0, 0, 0));
}

async fn a_queue_without_jobs_does_not_hold_up_the_others_of_its_replica(world: World) {
    const QUEUES: [&str; 3] = [QUEUE, "content", "email"];
    let client = world.real_time_client();
    let mut replica = Replica::start(client.clone(), "host", Timing::default());
    let mut workers = tokio::task::JoinSet::new();
    for queue in QUEUES {
        let backend = replica.backend(queue, 2);
        let handle = |_: Task<Claimed>| std::future::ready(Ok::<_, BoxDynError>(Outcome::Done(Success::default())));
        let worker = WorkerBuilder::new(queue).backend(backend).build(tower::service_fn(handle));
        workers.spawn(async move { worker.run().boxed().await.unwrap() });
    }
    // Whichever of them looked first, all have looked and found nothing by the second round.
    for _ in 0..2 {
        for queue in QUEUES {
            let id = client.push(NewJob::new(queue, "1")).await.unwrap();
            assert_eq!(finished(&client, id).await, State::Succeeded, "{queue}");
        }
    }
    replica.stop();
    while let Some(ended) = workers.join_next().await {
        ended.unwrap();
    }
    replica.close().await;
}

async fn an_idle_worker_is_woken_by_a_push(world: World) {
    let client = world.real_time_client();
    let running = start(&client, 2);
    let mut redis = world.redis().await;
    let blocked = async |redis: &mut redis::aio::MultiplexedConnection| {
        let clients: String = redis::cmd("CLIENT").arg("LIST").query_async(redis).await.unwrap();
        let key = world.key("wake");
        // A blocked client is listed with its command; the token that a push leaves is taken by it.
        let counts = client.counts(QUEUE).await.unwrap();
        clients.contains("cmd=blpop") && counts["wake"] == 0 && !key.is_empty()
    };
    wait_until("the idle worker blocks", SOON, async || blocked(&mut redis).await).await;
    for n in 0..20 {
        let id = push(&client, &n.to_string()).await;
        assert_eq!(finished(&client, id).await, State::Succeeded);
    }
    running.close().await;
}

async fn a_delayed_job_starts_by_itself_when_it_is_due(world: World) {
    let client = world.real_time_client();
    let running = start(&client, 2);
    let warm = push(&client, "warm").await;
    finished(&client, warm).await;
    let mut new = NewJob::new(QUEUE, "1");
    new.run_at_ms = Some(queue::Clock::default().now_ms() + 700);
    let id = client.push(new).await.unwrap();
    let view = client.wait(id, SOON).await.unwrap().unwrap();
    assert_eq!(view.state, State::Succeeded);
    assert!(view.started_at.unwrap().ms() >= view.run_at.ms(), "not before its time");
    running.close().await;
}

async fn a_panic_is_a_failed_attempt_and_the_worker_lives(world: World) {
    let client = world.real_time_client();
    let running = start(&client, 4);
    let mut new = NewJob::new(QUEUE, "\"panic\"");
    new.max_attempts = Some(1);
    let id = client.push(new).await.unwrap();
    let view = client.wait(id, SOON).await.unwrap().unwrap();
    assert_eq!(view.state, State::Dead);
    let error = view.attempts[0].error.as_ref().unwrap();
    assert_eq!((error.code.as_str(), error.message.contains("does not like this")), ("panic", true));
    let after = push(&client, "after").await;
    assert_eq!(finished(&client, after).await, State::Succeeded);
    running.close().await;
}

async fn a_handler_that_hangs_is_stopped_at_its_timeout(world: World) {
    let client = world.real_time_client();
    let running = start(&client, 1);
    let mut new = NewJob::new(QUEUE, "\"hang\"");
    (new.timeout_s, new.max_attempts) = (Some(1), Some(1));
    let id = client.push(new).await.unwrap();
    let view = client.wait(id, SOON).await.unwrap().unwrap();
    assert_eq!(view.state, State::Dead);
    assert_eq!(view.attempts[0].outcome, Some(queue::AttemptOutcome::TimedOut));
    running.close().await;
}

async fn a_cancelled_handler_is_stopped(world: World) {
    let client = world.real_time_client();
    let running = start(&client, 1);
    let id = push(&client, "hang").await;
    wait_until("it runs", SOON, async || running.began.load(Ordering::SeqCst) == 1).await;
    client.cancel(id).await.unwrap();
    assert_eq!(finished(&client, id).await, State::Cancelled);
    let after = push(&client, "after").await;
    assert_eq!(finished(&client, after).await, State::Succeeded, "its slot is free again");
    running.close().await;
}

async fn at_shutdown_running_jobs_finish_and_the_rest_is_handed_back(world: World) {
    let client = world.real_time_client();
    let running = start(&client, 2);
    let ids = [push(&client, "wait").await, push(&client, "hang").await];
    wait_until("both run", SOON, async || running.began.load(Ordering::SeqCst) == 2).await;
    let waiting = [push(&client, "next").await, push(&client, "next").await];

    running.replica.stop();
    running.let_go.notify_one();
    assert_eq!(finished(&client, ids[0]).await, State::Succeeded, "what fits in the grace period is finished");
    running.replica.hand_back();
    running.worker.await.unwrap();
    running.replica.close().await;

    let view = client.find(ids[1]).await.unwrap().unwrap();
    assert_eq!((view.state, view.attempt, view.crashes), (State::Ready, 1, 0));
    assert_eq!(view.attempts[0].outcome, Some(queue::AttemptOutcome::HandedBack));
    for id in waiting {
        assert_eq!(client.find(id).await.unwrap().unwrap().state, State::Ready);
    }
    let counts = client.counts(QUEUE).await.unwrap();
    assert_eq!((counts["running"], counts["leases"], client.replicas().await.unwrap()), (0, 0, 0));
}

on_both_servers!(
    all_jobs_are_run_and_whoever_waits_is_told,
    jobs_start_in_the_order_of_their_pushes_however_many_claims_are_under_way,
    claimed_jobs_that_cannot_be_read_are_given_back_and_run_once_when_they_can,
    a_queue_without_jobs_does_not_hold_up_the_others_of_its_replica,
    an_idle_worker_is_woken_by_a_push,
    a_delayed_job_starts_by_itself_when_it_is_due,
    a_panic_is_a_failed_attempt_and_the_worker_lives,
    a_handler_that_hangs_is_stopped_at_its_timeout,
    a_cancelled_handler_is_stopped,
    at_shutdown_running_jobs_finish_and_the_rest_is_handed_back,
);
