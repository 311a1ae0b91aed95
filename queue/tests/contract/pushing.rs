//! Push one and many, priorities, delay, claims.

use std::{collections::HashSet, time::Duration};

use queue::{Client, Clock, Error, JobId, NewJob, Priority, State};

use crate::{
    on_both_servers,
    world::{QUEUE, START_MS, World, claim, claim_one, done, failed, job, settle},
};

async fn a_pushed_job_is_ready_and_found_by_its_id_alone(world: World) {
    let mut new = job();
    new.tenant = "atelier".to_owned();
    new.metadata = serde_json::json!({ "order": 7 }).into();
    let id = world.client.push(new).await.unwrap();

    let elsewhere = World::at(world.kind, &world.url);
    assert_eq!(elsewhere.client.find(id).await.unwrap(), None, "another prefix knows nothing of it");

    let view = world.view(id).await;
    assert_eq!((view.state, view.kind.as_str(), view.tenant.as_str()), (State::Ready, QUEUE, "atelier"));
    assert_eq!(view.payload["to"], "Zoë");
    assert_eq!(view.metadata["order"], 7);
    assert_eq!((view.created_at.ms(), view.attempt, view.max_attempts), (START_MS, 1, 3));
    assert_eq!(id.created_ms(), START_MS);
}

async fn numbers_of_any_size_come_back_as_they_were_given(world: World) {
    const NUMBERS: &str =
        r#"{"huge":12345678901234567890123456789,"money":1.10,"over":-1e400,"tiny":1e-999,"whole":3.0}"#;
    let given = queue::Json::read(NUMBERS.as_bytes()).unwrap();
    let new = NewJob { metadata: given.clone(), ..NewJob::new(QUEUE, NUMBERS) };
    let id = world.client.push(new).await.unwrap();
    let shown = async || {
        let view = world.view(id).await;
        assert_eq!((&view.payload, &view.metadata), (&given, &given));
        assert_eq!([&view.payload, &view.metadata].map(|json| serde_json::to_string(json).unwrap()), [NUMBERS; 2]);
    };
    shown().await;
    let session = world.session("a");
    let running = claim_one(&session).await;
    assert_eq!(running.payload().unwrap(), NUMBERS.as_bytes());
    settle(&session, &running, failed()).await;
    shown().await;
    world.client.retry(id).await.unwrap();
    settle(&session, &claim_one(&session).await, done()).await;
    shown().await;
}

async fn many_jobs_go_in_order_and_a_bad_one_does_not_stop_the_others(world: World) {
    let mut jobs: Vec<NewJob> = (0..2_500).map(|n| NewJob::new(QUEUE, format!("{n}"))).collect();
    jobs.insert(1_200, NewJob::new("No Queue!", "{}"));
    jobs.insert(1_201, NewJob::new(QUEUE, vec![b'1'; queue::MOST_PAYLOAD + 1]));
    let results = world.client.push_many(jobs).await;
    let bad: Vec<usize> = (0..results.len()).filter(|n| matches!(results[*n], Err(Error::Invalid(_)))).collect();
    assert_eq!(bad, [1_200, 1_201]);
    assert_eq!(world.count("jobs").await, 2_500);

    let session = world.session("a");
    let mut seen = Vec::new();
    loop {
        let jobs = claim(&session, 1_000).await;
        if jobs.is_empty() {
            break;
        }
        seen.extend(jobs.iter().map(|job| String::from_utf8(job.payload().unwrap().to_vec()).unwrap()));
    }
    assert_eq!(seen, (0..2_500).map(|n| n.to_string()).collect::<Vec<_>>());
}

async fn priorities_are_strict_but_every_16th_claim_starts_from_the_lowest(world: World) {
    for priority in [Priority::Bulk, Priority::Low, Priority::Normal, Priority::High] {
        for _ in 0..10 {
            let mut new = job();
            new.priority = priority;
            world.client.push(new).await.unwrap();
        }
    }
    let session = world.session("a");
    let mut order = Vec::new();
    for _ in 0..32 {
        let id = claim_one(&session).await.id();
        order.push(world.view(id).await.priority);
    }
    let mut expected = vec![Priority::High; 10];
    expected.extend([Priority::Normal; 5]);
    expected.push(Priority::Bulk);
    expected.extend([Priority::Normal; 5]);
    expected.extend([Priority::Low; 10]);
    expected.push(Priority::Bulk);
    assert_eq!(order, expected);
}

async fn a_delayed_job_is_scheduled_until_its_time_and_not_a_millisecond_less(world: World) {
    let mut new = job();
    new.run_at_ms = Some(START_MS + 60_000);
    let id = world.client.push(new).await.unwrap();
    let view = world.view(id).await;
    assert_eq!((view.state, view.run_at.ms()), (State::Scheduled, START_MS + 60_000));

    let session = world.session("a");
    world.advance(Duration::from_millis(59_999));
    let report = session.claim(QUEUE, 1).await.unwrap();
    assert!(report.jobs.is_empty());
    assert_eq!(report.next_due_ms, Some(START_MS + 60_000), "the claim says when to come back");

    world.advance(Duration::from_millis(1));
    assert_eq!(claim_one(&session).await.id(), id);
}

async fn a_time_in_the_past_is_now(world: World) {
    let mut new = job();
    new.run_at_ms = Some(START_MS - 1);
    let id = world.client.push(new).await.unwrap();
    assert_eq!(world.state(id).await, State::Ready);
}

async fn concurrent_claims_share_the_jobs_and_give_each_once(world: World) {
    let pushed: HashSet<JobId> =
        world.client.push_many(vec![job(); 3_000]).await.into_iter().map(Result::unwrap).collect();
    let claimers = (0..6).map(|n| {
        let session = world.session(&format!("host-{n}"));
        tokio::spawn(async move {
            let mut got = Vec::new();
            loop {
                let jobs = claim(&session, 77).await;
                if jobs.is_empty() {
                    return got;
                }
                got.extend(jobs.iter().map(queue::Claimed::id));
            }
        })
    });
    let claimers: Vec<_> = claimers.collect();
    let mut got = Vec::new();
    for claimer in claimers {
        got.extend(claimer.await.unwrap());
    }
    assert_eq!(got.len(), 3_000);
    assert_eq!(got.into_iter().collect::<HashSet<_>>(), pushed);
}

async fn a_paused_queue_takes_jobs_and_gives_none(world: World) {
    let session = world.session("a");
    let before = world.push().await;
    assert_eq!(claim_one(&session).await.id(), before);
    assert!(world.client.pause(QUEUE).await.unwrap());
    assert!(!world.client.pause(QUEUE).await.unwrap(), "it was paused already");
    let id = world.push().await;
    assert!(claim(&session, 10).await.is_empty());
    assert!(world.client.queues().await.unwrap()[0].paused);
    assert_eq!(world.state(before).await, State::Running, "what runs goes on");
    assert!(world.client.resume(QUEUE).await.unwrap());
    assert!(!world.client.resume(QUEUE).await.unwrap());
    assert_eq!(claim_one(&session).await.id(), id);
}

async fn depth_and_rates_of_a_queue_are_counted(world: World) {
    world.client.push_many(vec![job(); 5]).await;
    let mut later = job();
    later.run_at_ms = Some(START_MS + 5_000);
    world.client.push(later).await.unwrap();
    let session = world.session("a");
    session.beat(&[QUEUE.to_owned()]).await.unwrap();
    world.advance(Duration::from_secs(2));
    let jobs = claim(&session, 2).await;
    assert!(settle(&session, &jobs[0], done()).await);

    let queues = world.client.queues().await.unwrap();
    let queue = queues.iter().find(|queue| queue.name == QUEUE).unwrap();
    let depth = queue.depth;
    assert_eq!((depth.ready, depth.scheduled, depth.running, depth.retrying, depth.dead), (3, 1, 1, 0, 0));
    assert_eq!(queue.oldest_ready_age_s, Some(2.0));
    assert_eq!((queue.in_per_s, queue.out_per_s), (0.1, 0.017));
    assert_eq!((queue.workers, queue.paused), (1, false));
    assert!(queue.time_to_empty_s.is_some_and(|s| s > 200.0));
    assert_eq!(world.client.replicas().await.unwrap(), 1);
    world.advance(Duration::from_secs(13));
    assert_eq!(world.client.replicas().await.unwrap(), 0, "a replica that no longer beats does not count");
}

async fn the_clock_of_who_only_pushes_follows_that_of_redis(world: World) {
    let redis = fleet::Redis::open(&world.url, &world.prefix).unwrap();
    let clock = Clock::default();
    clock.follow(START_MS, Duration::ZERO);
    let client = Client::with_clock(&redis, Vec::new(), clock.clone());
    let (seconds, _): (u64, u64) = redis::cmd("TIME").query_async(&mut world.redis().await).await.unwrap();
    client.ping().await.unwrap();
    // Not to be told from the right time by a person.
    assert!(clock.now_ms().abs_diff(seconds * 1_000) < 60_000, "{} is not {seconds} s", clock.now_ms());
    assert!(client.push(job()).await.unwrap().created_ms().abs_diff(seconds * 1_000) < 60_000);
}

on_both_servers!(
    the_clock_of_who_only_pushes_follows_that_of_redis,
    a_pushed_job_is_ready_and_found_by_its_id_alone,
    numbers_of_any_size_come_back_as_they_were_given,
    many_jobs_go_in_order_and_a_bad_one_does_not_stop_the_others,
    priorities_are_strict_but_every_16th_claim_starts_from_the_lowest,
    a_delayed_job_is_scheduled_until_its_time_and_not_a_millisecond_less,
    a_time_in_the_past_is_now,
    concurrent_claims_share_the_jobs_and_give_each_once,
    a_paused_queue_takes_jobs_and_gives_none,
    depth_and_rates_of_a_queue_are_counted,
);
