//! What handlers report, and the events of a job.

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use apalis::prelude::{BoxDynError, Task, WorkerBuilder};
use futures::FutureExt;
use queue::{Claimed, Client, Error, Happened, JobView, NewJob, Outcome, Replica, Reporter, State, Success, Timing};
use redis::AsyncCommands;
use servers::wait_until;
use tokio::sync::Notify;

use crate::{
    gate::Gate,
    on_both_servers,
    world::{QUEUE, World, claim_one, done, failed, settle},
};

const LEASE: Duration = Duration::from_secs(12);

fn progress(view: &JobView) -> Option<(u8, &str)> {
    view.progress.as_ref().map(|progress| (progress.percent, progress.message.as_str()))
}

/// What a job's events say, `state` ones by their state, in order.
fn told(view: &JobView) -> Vec<String> {
    let say = |event: &queue::Event| match &event.what {
        Happened::Log { message, .. } => message.clone(),
        Happened::Progress { percent, .. } => format!("{percent} %"),
        Happened::End { .. } => "end".to_owned(),
        Happened::Replaced { .. } => "replaced".to_owned(),
        Happened::State { state, .. } => state.name().to_owned(),
    };
    view.events().iter().map(say).collect()
}

async fn progress_is_seen_while_the_job_runs_and_stays_with_the_finished_job(world: World) {
    let id = world.push().await;
    let session = world.session("a");
    let job = claim_one(&session).await;
    assert_eq!(session.report().await.unwrap(), 0);
    assert_eq!((world.view(id).await.progress, world.count("progress").await), (None, 0), "none costs nothing");

    job.reporter().set(40, "weighing");
    job.reporter().log("the scale is warm");
    assert_eq!(progress(&world.view(id).await), None, "not yet written");
    assert_eq!(session.report().await.unwrap(), 0);
    let view = world.view(id).await;
    assert_eq!((view.state, progress(&view)), (State::Running, Some((40, "weighing"))));
    assert_eq!(told(&view), ["ready", "running", "40 %", "the scale is warm"]);

    job.reporter().set(250, "weighed");
    assert!(settle(&session, &job, done()).await);
    job.reporter().log("nobody listens any more");
    assert_eq!(session.report().await.unwrap(), 0);
    let view = world.view(id).await;
    assert_eq!((view.state, progress(&view)), (State::Succeeded, Some((100, "weighed"))), "the last goes with the end");
    assert_eq!(told(&view), ["ready", "running", "the scale is warm", "100 %", "succeeded", "end"]);
    assert_eq!(world.count("progress").await, 0, "it went away with the job");
}

async fn progress_of_a_worker_that_lost_the_lease_is_refused(world: World) {
    let id = world.push().await;
    let (a, b) = (world.session("a"), world.session("b"));
    let lost = claim_one(&a).await;
    lost.reporter().set(30, "of the first");
    a.report().await.unwrap();
    world.advance(LEASE);
    assert_eq!(b.upkeep(QUEUE, true).await.unwrap().reclaimed, 1);
    assert_eq!(world.count("progress").await, 0);
    let view = world.view(id).await;
    assert_eq!(progress(&view), Some((30, "of the first")), "what it had reported before is kept");

    lost.reporter().set(90, "too late");
    assert_eq!(a.report().await.unwrap(), 1, "refused while it waits");
    let taken = claim_one(&b).await;
    lost.reporter().set(95, "later still");
    assert_eq!(a.report().await.unwrap(), 0, "whoever was refused does not try again");
    assert_eq!(progress(&world.view(id).await), None, "the second has not reported yet");
    taken.reporter().set(10, "of the second");
    assert_eq!(b.report().await.unwrap(), 0);
    assert_eq!(progress(&world.view(id).await), Some((10, "of the second")));
    assert!(settle(&b, &taken, done()).await);
    let view = world.view(id).await;
    assert_eq!(told(&view), ["ready", "running", "ready", "running", "10 %", "succeeded", "end"]);
}

async fn a_stopped_worker_that_is_refused_does_not_touch_the_progress_of_another(world: World) {
    let id = world.push().await;
    let (a, b) = (world.session("a"), world.session("b"));
    let lost = claim_one(&a).await;
    world.advance(LEASE);
    assert_eq!(b.upkeep(QUEUE, true).await.unwrap().reclaimed, 1);
    let taken = claim_one(&b).await;
    taken.reporter().set(20, "mine");
    b.report().await.unwrap();
    lost.reporter().set(90, "not mine");
    assert_eq!(a.report().await.unwrap(), 1, "refused while another runs it");
    assert_eq!(progress(&world.view(id).await), Some((20, "mine")));
}

async fn log_lines_outlast_retries_and_only_the_last_100_are_kept(world: World) {
    let id = world.push().await;
    let session = world.session("a");
    let job = claim_one(&session).await;
    for n in 0..60 {
        job.reporter().log(format!("first {n}"));
    }
    session.report().await.unwrap();
    assert!(settle(&session, &job, failed()).await);
    assert_eq!(world.count("progress").await, 0);
    world.advance(Duration::from_secs(2));
    let job = claim_one(&session).await;
    for n in 0..60 {
        job.reporter().log(format!("second {n} {}", "x".repeat(1_000)));
    }
    session.report().await.unwrap();
    let running = world.view(id).await.events();
    assert!(settle(&session, &job, done()).await);
    let finished = world.view(id).await.events();
    let ids = |events: &[queue::Event]| events.iter().map(|event| event.id).collect::<Vec<_>>();
    assert!(ids(&finished).starts_with(&ids(&running)), "what was told once has the same id later");
    let text = |event: &queue::Event| match &event.what {
        Happened::Log { message, .. } => Some(message.clone()),
        _ => None,
    };
    let lines: Vec<String> = finished.iter().filter_map(text).collect();
    assert_eq!((lines.len(), lines[0].as_str()), (100, "first 20"));
    assert_eq!(lines[99].chars().count(), 501, "a long line is cut");
}

/// Every kind of ending and going back, followed from the beginning: no event is told twice, none is missing.
async fn events_are_the_same_at_every_look_and_rise(world: World) {
    let id = world.push().await;
    let session = world.session("a");
    let mut last = 0;
    let mut seen = Vec::new();
    let mut look = async |world: &World| {
        for event in world.view(id).await.events_after(last) {
            assert!(event.id > last);
            last = event.id;
            seen.push(match event.what {
                Happened::State { state, .. } => state.name(),
                Happened::Progress { .. } => "progress",
                Happened::Log { .. } => "log",
                Happened::End { .. } => "end",
                Happened::Replaced { .. } => "replaced",
            });
        }
    };
    look(&world).await;
    for round in 0..2 {
        let verdicts = [failed(), queue::Verdict::HandedBack { started: true }, failed(), failed()];
        for verdict in verdicts {
            let job = claim_one(&session).await;
            look(&world).await;
            job.reporter().log("x");
            assert!(settle(&session, &job, verdict).await);
            look(&world).await;
            world.advance(Duration::from_secs(10));
        }
        assert_eq!(world.client.retry(id).await.unwrap().state, State::Ready, "round {round}");
        look(&world).await;
    }
    world.client.cancel(id).await.unwrap();
    look(&world).await;
    let round = "running log retrying running log ready running log retrying running log dead end ready";
    assert_eq!(seen.join(" "), format!("ready {round} {round} cancelled end"));
}

async fn whoever_follows_a_job_is_told_of_each_change_and_others_pay_nothing(world: World) {
    let client = world.real_time_client();
    let id = client.push(NewJob::new(QUEUE, "1")).await.unwrap();
    let mut redis = world.redis().await;
    let watched: bool = redis.exists(world.key("watched")).await.unwrap();
    assert!(!watched, "nobody follows it");

    let mut follower = client.follow(id).await.unwrap().unwrap();
    assert_eq!(follower.next().await.unwrap().state, State::Ready);
    let session = queue::Session::new(client.clone(), "a", 1, Timing::default());
    let job = claim_one(&session).await;
    assert_eq!(follower.next().await.unwrap().state, State::Running, "told of the claim");
    job.reporter().set(50, "half");
    session.report().await.unwrap();
    assert_eq!(progress(&follower.next().await.unwrap()), Some((50, "half")), "told of the report");
    assert!(settle(&session, &job, failed()).await);
    assert_eq!(follower.next().await.unwrap().state, State::Retrying, "told of the failure");
    client.retry(id).await.unwrap();
    assert_eq!(follower.next().await.unwrap().state, State::Ready, "told that someone runs it again");
    let job = claim_one(&session).await;
    assert_eq!(follower.next().await.unwrap().state, State::Running);
    assert!(settle(&session, &job, done()).await);
    assert_eq!(follower.next().await.unwrap().state, State::Succeeded);
}

async fn a_short_wait_does_not_end_the_following_of_another(world: World) {
    let id = world.push().await;
    let mut follower = world.client.follow(id).await.unwrap().unwrap();
    follower.next().await.unwrap();
    world.client.wait(id, Duration::ZERO).await.unwrap();
    world.advance(Duration::from_secs(50));
    world.session("a").upkeep(QUEUE, false).await.unwrap();
    assert_eq!(world.count("watched").await, 1);
    drop(follower);
    world.advance(Duration::from_secs(11));
    world.session("a").upkeep(QUEUE, false).await.unwrap();
    assert_eq!(world.count("watched").await, 0, "it ends by itself when nobody renews it");
}

/// As when the server loses what it was to tell, or the connection that listens is dead and nobody knows.
async fn whoever_waits_for_a_job_sees_its_end_although_nothing_is_told(world: World) {
    let id = world.push().await;
    let client = world.client.clone();
    let waiting = tokio::spawn(async move { client.wait(id, Duration::from_secs(3_600)).await });
    wait_until("it waits", Duration::from_secs(30), async || world.count("watched").await == 1).await;
    let _: () = world.redis().await.del(world.key("watched")).await.unwrap();
    let session = world.session("a");
    assert!(settle(&session, &claim_one(&session).await, done()).await);
    assert_eq!(waiting.await.unwrap().unwrap().unwrap().state, State::Succeeded);
}

async fn a_connection_that_falls_silent_is_noticed_by_who_listens_and_by_who_asks(world: World) {
    let port = world.url.rsplit(':').next().unwrap().trim_end_matches('/').parse().unwrap();
    let gate = Gate::to(port).await;
    let redis = fleet::Redis::open(&gate.url(), &world.prefix).unwrap();
    let client = Client::new(&redis, Vec::new());
    client.ping().await.unwrap();
    let mut messages = redis.listen("a channel of nobody").await.unwrap();
    gate.silence();
    let error = messages.next().await.unwrap_err();
    assert!(error.to_string().contains("silent"), "{error}");
    wait_until("commands are answered again", Duration::from_secs(60), async || client.ping().await.is_ok()).await;
}

async fn reports_of_a_queue_whose_keys_are_damaged_hold_up_no_others(world: World) {
    let session = world.session("a");
    world.push().await;
    let damaged = claim_one(&session).await;
    let id = world.client.push(NewJob::new("other", "1")).await.unwrap();
    let other = session.claim("other", 1).await.unwrap().jobs.remove(0);
    let _: () = world.redis().await.set(world.key("progress"), "rubbish").await.unwrap();
    for job in [&damaged, &other] {
        job.reporter().set(40, "halfway");
    }
    assert!(matches!(session.report().await, Err(Error::Redis(text)) if text.contains("WRONGTYPE")));
    assert_eq!(world.view(id).await.progress.unwrap().percent, 40);
    let _: () = world.redis().await.del(world.key("progress")).await.unwrap();
    session.report().await.unwrap();
    assert_eq!(world.view(damaged.id()).await.progress.unwrap().percent, 40, "it was kept");
}

/// A replica whose only handler reports, hands out its reporter, and waits to be let go.
struct Reporting {
    replica: Replica,
    worker: tokio::task::JoinHandle<()>,
    reporter: Arc<Mutex<Option<Reporter>>>,
    go_on: Arc<Notify>,
}

fn start(client: &Client) -> Reporting {
    let mut replica = Replica::start(client.clone(), "host", Timing::default());
    let backend = replica.backend(QUEUE, 1);
    let (reporter, go_on) = (Arc::new(Mutex::new(None)), Arc::new(Notify::new()));
    let (shared, wait) = (reporter.clone(), go_on.clone());
    let handle = move |task: Task<Claimed>| {
        let (shared, wait) = (shared.clone(), wait.clone());
        async move {
            *shared.lock().unwrap() = Some(task.args.reporter());
            task.args.reporter().set(10, "begun");
            wait.notified().await;
            Ok::<_, BoxDynError>(Outcome::Done(Success::default()))
        }
    };
    let worker = WorkerBuilder::new("test").backend(backend).build(tower::service_fn(handle));
    let worker = tokio::spawn(async move { worker.run().boxed().await.unwrap() });
    Reporting { replica, worker, reporter, go_on }
}

async fn a_worker_writes_reports_by_itself(world: World) {
    let client = world.real_time_client();
    let id = client.push(NewJob::new(QUEUE, "1")).await.unwrap();
    let mut follower = client.follow(id).await.unwrap().unwrap();
    let running = start(&client);
    while follower.next().await.unwrap().progress.is_none() {}
    assert_eq!(client.counts(QUEUE).await.unwrap()["progress"], 1);
    let reporter = running.reporter.lock().unwrap().take().unwrap();
    reporter.set(60, "more");
    while follower.next().await.unwrap().progress.unwrap().percent != 60 {}
    running.go_on.notify_one();
    assert_eq!(client.wait(id, Duration::from_secs(30)).await.unwrap().unwrap().state, State::Succeeded);
    running.replica.stop();
    running.worker.await.unwrap();
    running.replica.close().await;
}

on_both_servers!(
    progress_is_seen_while_the_job_runs_and_stays_with_the_finished_job,
    progress_of_a_worker_that_lost_the_lease_is_refused,
    a_stopped_worker_that_is_refused_does_not_touch_the_progress_of_another,
    log_lines_outlast_retries_and_only_the_last_100_are_kept,
    events_are_the_same_at_every_look_and_rise,
    whoever_follows_a_job_is_told_of_each_change_and_others_pay_nothing,
    a_short_wait_does_not_end_the_following_of_another,
    a_worker_writes_reports_by_itself,
    whoever_waits_for_a_job_sees_its_end_although_nothing_is_told,
    a_connection_that_falls_silent_is_noticed_by_who_listens_and_by_who_asks,
    reports_of_a_queue_whose_keys_are_damaged_hold_up_no_others,
);
