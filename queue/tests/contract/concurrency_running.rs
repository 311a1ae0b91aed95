//! Concurrency keys in whole replicas, in real time.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use apalis::prelude::{BoxDynError, Task, WorkerBuilder};
use futures::FutureExt;
use queue::{Claimed, Client, JobId, NewJob, Outcome, Replica, Session, State, Success, Timing};
use servers::wait_until;
use tokio::{sync::Notify, task::JoinHandle};

use crate::{
    on_both_servers,
    replica::finished,
    world::{QUEUE, World, claim_one},
};

const SOON: Duration = Duration::from_secs(60);

/// What happened to the jobs of all replicas of a test.
#[derive(Default)]
struct Seen {
    /// How many run, and the most that did, by key.
    running: HashMap<String, (usize, usize)>,
    /// When each began and ended, in the order in which they ended.
    ends: Vec<(JobId, Instant, Instant)>,
}

#[derive(Clone, Default)]
struct Watch {
    seen: Arc<Mutex<Seen>>,
    let_go: Arc<Notify>,
}

/// That a job runs, until it is dropped.
struct Runs(Watch, String, JobId, Instant);

impl Watch {
    fn begin(&self, key: &str, id: JobId) -> Runs {
        let mut seen = self.seen.lock().unwrap();
        let (running, most) = seen.running.entry(key.to_owned()).or_default();
        *running += 1;
        *most = (*most).max(*running);
        Runs(self.clone(), key.to_owned(), id, Instant::now())
    }

    fn running(&self, key: &str) -> usize {
        self.seen.lock().unwrap().running.get(key).map_or(0, |(running, _)| *running)
    }

    fn most(&self, key: &str) -> usize {
        self.seen.lock().unwrap().running.get(key).map_or(0, |(_, most)| *most)
    }
}

impl Drop for Runs {
    fn drop(&mut self) {
        let mut seen = self.0.seen.lock().unwrap();
        seen.running.get_mut(&self.1).unwrap().0 -= 1;
        seen.ends.push((self.2, self.3, Instant::now()));
    }
}

struct Running {
    replica: Replica,
    worker: JoinHandle<()>,
}

/// A replica whose handlers have a key, and do something: the payload is `"key what"`.
fn start(client: &Client, watch: &Watch) -> Running {
    start_with(Timing::default(), client, watch)
}

fn start_with(timing: Timing, client: &Client, watch: &Watch) -> Running {
    let mut replica = Replica::start(client.clone(), "host", timing);
    let backend = replica.backend(QUEUE, 16);
    let watch = watch.clone();
    let handle = move |task: Task<Claimed>| {
        let (watch, job) = (watch.clone(), task.args);
        async move {
            let payload = String::from_utf8(job.payload().unwrap().to_vec()).unwrap().trim_matches('"').to_owned();
            let (key, what) = payload.split_once(' ').unwrap();
            let work = async {
                let _runs = watch.begin(key, job.id());
                match what {
                    "panic" => panic!("the handler does not like this"),
                    "hang" => std::future::pending::<()>().await,
                    "wait" => watch.let_go.notified().await,
                    _ => {
                        for _ in 0..20 {
                            tokio::task::yield_now().await;
                        }
                    }
                }
            };
            let done = job.alone(key, work).await;
            Ok::<_, BoxDynError>(done.map_or_else(|put_off| put_off, |()| Outcome::Done(Success::default())))
        }
    };
    let worker = WorkerBuilder::new("test").backend(backend).build(tower::service_fn(handle));
    let worker = tokio::spawn(async move { worker.run().boxed().await.unwrap() });
    Running { replica, worker }
}

impl Running {
    async fn close(self) {
        self.replica.stop();
        self.worker.await.unwrap();
        self.replica.close().await;
    }
}

fn job(text: &str) -> NewJob {
    NewJob::new(QUEUE, format!("\"{text}\""))
}

async fn wait_for(client: &Client, id: JobId, state: State) {
    wait_until(state.name(), SOON, async || client.find(id).await.unwrap().unwrap().state == state).await;
}

async fn of_50_jobs_of_one_key_in_two_replicas_never_two_run_at_once_and_all_end(world: World) {
    let client = world.real_time_client();
    let watch = Watch::default();
    let replicas = [start(&client, &watch), start(&world.real_time_client(), &watch)];
    let ids = client.push_many(vec![job("mug work"); 50]).await;
    for id in ids {
        assert_eq!(finished(&client, id.unwrap()).await, State::Succeeded);
    }
    assert_eq!((watch.most("mug"), watch.seen.lock().unwrap().ends.len()), (1, 50));
    for running in replicas {
        running.close().await;
    }
}

async fn a_job_of_another_key_runs_beside(world: World) {
    let client = world.real_time_client();
    let watch = Watch::default();
    let running = start(&client, &watch);
    let first = client.push(job("mug wait")).await.unwrap();
    wait_until("it runs", SOON, async || watch.running("mug") == 1).await;
    let waits = client.push(job("mug work")).await.unwrap();
    let beside = client.push(job("cup work")).await.unwrap();
    assert_eq!(finished(&client, beside).await, State::Succeeded);
    wait_for(&client, waits, State::Scheduled).await;
    assert_eq!(watch.running("mug"), 1);
    watch.let_go.notify_one();
    assert_eq!(finished(&client, first).await, State::Succeeded);
    assert_eq!(finished(&client, waits).await, State::Succeeded);
    running.close().await;
}

async fn the_next_job_of_a_key_starts_within_100_ms(world: World) {
    let client = world.real_time_client();
    let watch = Watch::default();
    let running = start(&client, &watch);
    let ids = client.push_many(vec![job("mug wait"); 12]).await;
    let ids: Vec<JobId> = ids.into_iter().map(Result::unwrap).collect();
    let states = async || {
        let mut n_waiting = 0;
        for id in &ids {
            n_waiting += usize::from(client.find(*id).await.unwrap().unwrap().state == State::Scheduled);
        }
        n_waiting
    };
    wait_until("one runs and the others wait", SOON, async || states().await == 11).await;
    for n in 1..=12 {
        wait_until("one runs", SOON, async || watch.running("mug") == 1).await;
        watch.let_go.notify_one();
        wait_until("it has ended", SOON, async || watch.seen.lock().unwrap().ends.len() == n).await;
    }
    for id in &ids {
        assert_eq!(finished(&client, *id).await, State::Succeeded);
    }
    let ends = watch.seen.lock().unwrap().ends.clone();
    let mut gaps: Vec<Duration> = ends.windows(2).map(|jobs| jobs[1].1.duration_since(jobs[0].2)).collect();
    gaps.sort();
    // One may be late by what else the machine does.
    assert!(gaps[gaps.len() / 2] < Duration::from_millis(100), "{gaps:?}");
    running.close().await;
}

async fn a_handler_lets_its_key_go_however_it_ends(world: World) {
    let client = world.real_time_client();
    let watch = Watch::default();
    let mut running = start(&client, &watch);
    let mut panics = job("mug panic");
    panics.max_attempts = Some(1);
    let mut hangs = job("mug hang");
    (hangs.timeout_s, hangs.max_attempts) = (Some(1), Some(1));
    for fails in [panics, hangs] {
        let id = client.push(fails).await.unwrap();
        assert_eq!(finished(&client, id).await, State::Dead);
        let next = client.push(job("mug work")).await.unwrap();
        assert_eq!(finished(&client, next).await, State::Succeeded);
    }

    let cancelled = client.push(job("mug hang")).await.unwrap();
    wait_until("it runs", SOON, async || watch.running("mug") == 1).await;
    let next = client.push(job("mug work")).await.unwrap();
    wait_for(&client, next, State::Scheduled).await;
    client.cancel(cancelled).await.unwrap();
    assert_eq!(finished(&client, cancelled).await, State::Cancelled);
    assert_eq!(finished(&client, next).await, State::Succeeded);

    let handed_back = client.push(job("mug wait")).await.unwrap();
    wait_until("it runs", SOON, async || watch.running("mug") == 1).await;
    let next = client.push(job("mug work")).await.unwrap();
    wait_for(&client, next, State::Scheduled).await;
    running.replica.stop();
    running.replica.hand_back();
    running.close().await;
    let locks: Vec<String> =
        redis::AsyncCommands::keys(&mut world.redis().await, format!("{}:*:lock", world.prefix)).await.unwrap();
    assert_eq!(locks, Vec::<String>::new(), "others need not wait for the end of the lease");
    running = start(&client, &watch);
    watch.let_go.notify_one();
    assert_eq!(finished(&client, next).await, State::Succeeded);
    assert_eq!(finished(&client, handed_back).await, State::Succeeded);
    assert_eq!(watch.most("mug"), 1);
    running.close().await;
}

async fn a_replica_that_has_just_started_leaves_a_key_to_its_job_for_one_lease(world: World) {
    let client = world.real_time_client();
    let timing = |lease_ms: u64| {
        let lease = Duration::from_millis(lease_ms);
        Timing { lease, renewal: lease / 3 }
    };
    let dead = Session::new(client.clone(), "dead", 1, timing(100));
    let first = client.push(job("mug work")).await.unwrap();
    let claimed = claim_one(&dead).await;
    let working = begin_of(&claimed, "mug").await;
    let next = client.push(job("mug work")).await.unwrap();
    let (watch, started) = (Watch::default(), Instant::now());
    let running = start_with(timing(3_000), &client, &watch);
    for id in [first, next] {
        assert_eq!(finished(&client, id).await, State::Succeeded);
    }
    let first_began = watch.seen.lock().unwrap().ends.iter().map(|(_, began, _)| *began).min().unwrap();
    assert!(first_began.duration_since(started) >= Duration::from_secs(3));
    assert_eq!(watch.most("mug"), 1);
    running.close().await;
    drop(working);
}

/// A job begins its work and comes to no end.
async fn begin_of(job: &Claimed, key: &'static str) -> JoinHandle<()> {
    let (began, job) = (Arc::new(Notify::new()), job.clone());
    let begins = began.clone();
    let working = tokio::spawn(async move {
        let work = async {
            begins.notify_one();
            std::future::pending::<()>().await;
        };
        job.alone(key, work).await.unwrap();
    });
    began.notified().await;
    working
}

on_both_servers!(
    a_replica_that_has_just_started_leaves_a_key_to_its_job_for_one_lease,
    of_50_jobs_of_one_key_in_two_replicas_never_two_run_at_once_and_all_end,
    a_job_of_another_key_runs_beside,
    the_next_job_of_a_key_starts_within_100_ms,
    a_handler_lets_its_key_go_however_it_ends,
);
