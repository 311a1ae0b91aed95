//! Once a tick, on real servers and a clock that the tests move: replicas that die anywhere, whose clocks differ, or whose Redis
//! forgets.

#![expect(clippy::unwrap_used, reason = "clippy does not count plain functions here as test code")]

use std::{
    io::{Read, Write},
    time::Duration,
};

use chrono::{DateTime, TimeDelta, Utc};
use queue::{Client, Clock, Failure, Kind, NewJob, Outcome, Session, State, Timing, Verdict};
use schedules::{Definition, JobSpec, Row, Ticker, new_schedule, pause, resume, schedule_id};
use serde_json::{Value, json};
use servers::{MongoDatabase, RedisKind};
use store::{Moment, Store, StoredSchedule, Tick, TickOutcome};

const QUEUE: &str = "parcel";
const SCHEDULE: &str = "acme/ping";
/// 2026-01-01T00:00:00Z, in Unix milliseconds.
const START_MS: u64 = 1_767_225_600_000;

struct World {
    redis: fleet::Redis,
    clock: Clock,
    client: Client,
    store: Store,
    _database: MongoDatabase,
}

fn kinds() -> Vec<Kind> {
    vec![Kind { name: QUEUE.to_owned(), max_attempts: 3, timeout_s: 60, allow_fallback: false, history: false }]
}

impl World {
    async fn new() -> Self {
        let name = MongoDatabase::new();
        let redis =
            fleet::Redis::open_within(servers::redis(RedisKind::Valkey).unwrap(), &name, servers::PATIENCE).unwrap();
        let clock = Clock::simulated(START_MS);
        let client = Client::with_clock(&redis, kinds(), clock.clone());
        let store = Store::open(servers::mongo(), &name).await.unwrap();
        store.prepare_schedules().await.unwrap();
        Self { redis, clock, client, store, _database: name }
    }

    fn ticker(&self) -> Ticker {
        Ticker::with_timetable(self.client.clone(), self.store.clone(), 1, Vec::new())
    }

    /// A replica whose clock differs by this much.
    fn ticker_ahead(&self, ms: u64) -> (Ticker, Clock) {
        let clock = Clock::simulated(self.clock.now_ms() + ms);
        let client = Client::with_clock(&self.redis, kinds(), clock.clone());
        (Ticker::with_timetable(client, self.store.clone(), 1, Vec::new()), clock)
    }

    fn pass(&self, seconds: u64) {
        self.clock.advance(seconds * 1000);
    }

    async fn add(&self, name: &str, fields: Value) -> StoredSchedule {
        let schedule = new_schedule("acme", name, &definition(fields), self.client.now_ms());
        assert!(self.store.replace_schedule(&schedule, None).await.unwrap());
        schedule
    }

    async fn schedule(&self) -> StoredSchedule {
        self.store.schedule(SCHEDULE).await.unwrap().unwrap()
    }

    /// The times of a schedule's ticks after the start, in seconds, with what became of them; the earliest first.
    async fn ticks(&self) -> Vec<(u64, TickOutcome)> {
        let mut ticks = self.store.ticks_of(SCHEDULE, None, 10_000).await.unwrap();
        ticks.reverse();
        ticks.iter().map(|tick| ((tick.tick.ms() - START_MS) / 1000, tick.outcome)).collect()
    }

    async fn n_jobs(&self) -> u64 {
        self.client.counts(QUEUE).await.unwrap()["jobs"]
    }

    /// Carries out a command behind the queue's back.
    fn command(&self, command: &str) {
        let url = servers::redis(RedisKind::Valkey).unwrap();
        let address = url.trim_start_matches("redis://").trim_end_matches('/');
        let mut stream = std::net::TcpStream::connect(address).unwrap();
        stream.write_all(format!("{command}\r\n").as_bytes()).unwrap();
        let mut answer = [0];
        stream.read_exact(&mut answer).unwrap();
        assert_ne!(answer, *b"-", "{command} was refused");
    }

    /// Neither Redis nor the history knows it any more.
    async fn lose_the_job(&self) {
        let session = self.session();
        let job = session.claim(QUEUE, 1).await.unwrap().jobs.remove(0);
        let fatal = Verdict::Ran(Outcome::Dead(Failure::new("bad", "no good")));
        let mut settlements = vec![session.verdict(&job, fatal, START_MS).unwrap()];
        assert_eq!(session.settle(&mut settlements).await.unwrap(), 0);
        assert_eq!(self.client.delete_dead(QUEUE, None).await.unwrap(), 1);
    }

    fn session(&self) -> Session {
        Session::new(self.client.clone(), "host", 1, Timing::default())
    }
}

fn definition(fields: Value) -> Definition {
    let mut all = json!({ "job": JobSpec::new(QUEUE, json!({ "to": "Zoë" })) });
    let Value::Object(fields) = fields else { panic!("fields of an object") };
    all.as_object_mut().unwrap().extend(fields);
    serde_json::from_value(all).unwrap()
}

fn pushed(times: impl IntoIterator<Item = u64>) -> Vec<(u64, TickOutcome)> {
    times.into_iter().map(|time| (time, TickOutcome::Pushed)).collect()
}

#[tokio::test]
async fn a_tick_is_one_job_however_many_replicas_look() {
    let world = World::new().await;
    world.add("ping", json!({ "every_s": 1 })).await;
    let tickers = [world.ticker(), world.ticker(), world.ticker()];
    for _ in 0..20 {
        world.pass(1);
        futures::future::join_all(tickers.iter().map(Ticker::look)).await.into_iter().for_each(|look| {
            look.unwrap();
        });
    }
    assert_eq!(world.ticks().await, pushed(1..=20));
    assert_eq!(world.n_jobs().await, 20);
    let job = world.client.find(world.client.fixed_id(QUEUE, SCHEDULE, START_MS + 1000).await.unwrap()).await.unwrap();
    let job = job.unwrap();
    assert_eq!((job.tenant.as_str(), &*job.payload), ("acme", &json!({ "to": "Zoë" })));
    assert_eq!(job.metadata["tick"], "2026-01-01T00:00:01.000Z");
}

#[tokio::test]
async fn clocks_that_differ_neither_lose_nor_double_a_tick() {
    let world = World::new().await;
    world.add("ping", json!({ "every_s": 1 })).await;
    let slow = world.ticker();
    let (fast, fast_clock) = world.ticker_ahead(5000);
    for second in 0..15 {
        world.pass(1);
        fast_clock.advance(1000);
        let (first, second) = if second % 2 == 0 { (&fast, &slow) } else { (&slow, &fast) };
        first.look().await.unwrap();
        second.look().await.unwrap();
    }
    assert_eq!(world.ticks().await, pushed(1..=20), "those of the clock ahead");
    assert_eq!(world.n_jobs().await, 20);
}

/// A row as a replica leaves it that dies after it has written it.
fn left_behind(schedule: &StoredSchedule, seconds: u64) -> Tick {
    let tick = Moment::from_ms(START_MS + seconds * 1000);
    let definition: Definition = serde_json::from_str(&schedule.definition).unwrap();
    let spec = json!({ "tenant": "acme", "name": "ping", "overlap": "allow", "job": definition.job });
    Tick {
        id: schedules::tick_id(&schedule.id, tick),
        schedule: schedule.id.clone(),
        tick,
        created_at: tick,
        by_hand: false,
        outcome: TickOutcome::New,
        reason: None,
        job: None,
        push_at: Some(Moment::from_ms(tick.ms() + 2000)),
        spec: Some(spec.to_string()),
    }
}

#[tokio::test]
async fn a_replica_that_died_after_the_row_is_completed_by_another() {
    let world = World::new().await;
    let schedule = world.add("ping", json!({ "every_s": 5 })).await;
    // It died before the schedule went on, and before the push.
    assert_eq!(world.store.insert_ticks(&[left_behind(&schedule, 5)]).await.unwrap(), [true]);
    world.pass(6);
    world.ticker().look().await.unwrap();
    assert_eq!(world.ticks().await, [(5, TickOutcome::New)], "for two seconds it may still be on its way");
    assert_eq!(world.schedule().await.next_tick, Some(Moment::from_ms(START_MS + 10_000)));
    world.pass(2);
    world.ticker().look().await.unwrap();
    assert_eq!((world.ticks().await, world.n_jobs().await), (pushed([5]), 1));
}

#[tokio::test]
async fn a_replica_that_died_after_the_push_is_not_doubled() {
    let world = World::new().await;
    let schedule = world.add("ping", json!({ "every_s": 5 })).await;
    assert_eq!(world.store.insert_ticks(&[left_behind(&schedule, 5)]).await.unwrap(), [true]);
    let id = world.client.fixed_id(QUEUE, SCHEDULE, START_MS + 5000).await.unwrap();
    world.client.push_fixed(vec![(id, NewJob::new(QUEUE, "{}"))]).await.remove(0).unwrap();
    let session = world.session();
    let claimed = session.claim(QUEUE, 10).await.unwrap().jobs;
    assert_eq!(claimed.len(), 1, "and it runs already");
    world.pass(8);
    world.ticker().look().await.unwrap();
    assert_eq!((world.ticks().await, world.n_jobs().await), (pushed([5]), 1));
    assert_eq!(world.client.find(id).await.unwrap().unwrap().state, State::Running);
}

#[tokio::test]
async fn what_a_failed_over_redis_forgot_is_pushed_again() {
    let world = World::new().await;
    world.add("ping", json!({ "at": "2026-01-01T00:00:05Z" })).await;
    world.pass(5);
    world.ticker().look().await.unwrap();
    assert_eq!(world.n_jobs().await, 1);
    // The new primary has never heard of it.
    let forgetful =
        fleet::Redis::open_within(servers::redis(RedisKind::Valkey).unwrap(), &servers::prefix(), servers::PATIENCE)
            .unwrap();
    let client = Client::with_clock(&forgetful, kinds(), world.clock.clone());
    let ticker = Ticker::with_timetable(client.clone(), world.store.clone(), 1, Vec::new());
    world.pass(10);
    for _ in 0..3 {
        ticker.look().await.unwrap();
        world.pass(10);
    }
    assert_eq!(client.counts(QUEUE).await.unwrap()["jobs"], 1);
    let tick = world.store.ticks_of(SCHEDULE, None, 1).await.unwrap().remove(0);
    assert_eq!((tick.outcome, tick.push_at, tick.spec), (TickOutcome::Pushed, None, None), "nothing is left to do");
}

#[tokio::test]
async fn while_redis_is_away_ticks_wait_and_none_is_lost() {
    let world = World::new().await;
    world.add("ping", json!({ "every_s": 5 })).await;
    let away = fleet::Redis::open("redis://127.0.0.1:1", world.redis.prefix()).unwrap();
    let cut_off = Client::with_clock(&away, kinds(), world.clock.clone());
    let cut_off = Ticker::with_timetable(cut_off, world.store.clone(), 1, Vec::new());
    for _ in 0..3 {
        world.pass(5);
        cut_off.look().await.unwrap_err();
    }
    assert_eq!(world.ticks().await, [5, 10, 15].map(|time| (time, TickOutcome::New)));
    world.pass(3);
    world.ticker().look().await.unwrap();
    assert_eq!((world.ticks().await, world.n_jobs().await), (pushed([5, 10, 15]), 3));
}

#[tokio::test]
async fn missed_ticks_follow_the_policy_once_for_all_replicas() {
    for (missed, expected) in [("skip", vec![]), ("once", vec![10_800]), ("all", vec![7200, 10_800])] {
        let world = World::new().await;
        world.add("ping", json!({ "every_s": 3600, "missed": missed, "missed_window_s": 7200 })).await;
        world.pass(3 * 3600 + 1800);
        let (a, b) = (world.ticker(), world.ticker());
        for _ in 0..3 {
            let (a, b) = tokio::join!(a.look(), b.look());
            a.unwrap();
            b.unwrap();
        }
        assert_eq!(world.ticks().await, pushed(expected), "{missed}");
        assert_eq!(world.schedule().await.next_tick, Some(Moment::from_ms(START_MS + 4 * 3600 * 1000)), "{missed}");
    }
}

#[tokio::test]
async fn a_job_that_has_not_ended_is_minded_as_asked() {
    for overlap in ["allow", "skip", "cancel_running"] {
        let world = World::new().await;
        world.add("ping", json!({ "every_s": 10, "overlap": overlap })).await;
        let ticker = world.ticker();
        world.pass(10);
        ticker.look().await.unwrap();
        let first = world.client.fixed_id(QUEUE, SCHEDULE, START_MS + 10_000).await.unwrap();
        for _ in 0..2 {
            world.pass(10);
            ticker.look().await.unwrap();
        }
        let state = world.client.find(first).await.unwrap().unwrap().state;
        let ticks = world.ticks().await;
        match overlap {
            "allow" => assert_eq!((state, ticks), (State::Ready, pushed([10, 20, 30]))),
            "cancel_running" => {
                assert_eq!((state, ticks), (State::Cancelled, pushed([10, 20, 30])));
                assert_eq!(world.n_jobs().await, 1);
            }
            _ => {
                let skipped = [20, 30].map(|time| (time, TickOutcome::Skipped));
                assert_eq!((state, ticks), (State::Ready, [pushed([10]), skipped.to_vec()].concat()));
                world.client.cancel(first).await.unwrap();
                world.pass(10);
                ticker.look().await.unwrap();
                assert_eq!(world.ticks().await.last(), Some(&(40, TickOutcome::Pushed)), "it has ended");
            }
        }
    }
}

#[tokio::test]
async fn a_paused_schedule_is_due_at_no_time_and_makes_up_for_nothing() {
    let world = World::new().await;
    let mut schedule = world.add("ping", json!({ "every_s": 10, "missed": "all" })).await;
    pause(&mut schedule);
    schedule.revision += 1;
    assert!(world.store.replace_schedule(&schedule, Some(1)).await.unwrap());
    world.pass(25);
    world.ticker().look().await.unwrap();
    assert_eq!(world.ticks().await, []);
    resume(&mut schedule, world.client.now_ms());
    assert!(!world.store.replace_schedule(&schedule, Some(1)).await.unwrap(), "another revision is in its place");
    assert!(world.store.replace_schedule(&schedule, Some(2)).await.unwrap());
    world.pass(5);
    world.ticker().look().await.unwrap();
    assert_eq!(world.ticks().await, pushed([30]));
}

#[tokio::test]
async fn a_replica_that_slept_through_a_change_does_not_undo_it() {
    let world = World::new().await;
    world.add("ping", json!({ "every_s": 10 })).await;
    world.pass(10);
    let seen = world.store.due_schedules(world.client.now_ms(), &[], 10).await.unwrap().read.remove(0);
    let mut changed = new_schedule("acme", "ping", &definition(json!({ "every_s": 3600 })), world.client.now_ms());
    changed.revision = 2;
    assert!(world.store.replace_schedule(&changed, Some(1)).await.unwrap());
    let late = store::Advance {
        found: seen,
        next_tick: None,
        next_at: None,
        made_up: false,
        last_tick: None,
        tables: "2026f".to_owned(),
    };
    world.store.advance_schedules(&[late]).await.unwrap();
    assert_eq!(world.schedule().await, changed);
}

#[tokio::test]
async fn jitter_delays_the_push_and_not_the_tick() {
    let world = World::new().await;
    let schedule = world.add("ping", json!({ "every_s": 3600, "jitter_s": 600 })).await;
    let (tick, at) = (schedule.next_tick.unwrap().ms(), schedule.next_at.unwrap().ms());
    assert!(at > tick && at <= tick + 600_000, "{at}");
    world.clock.advance(at - START_MS - 1);
    world.ticker().look().await.unwrap();
    assert_eq!(world.ticks().await, []);
    world.clock.advance(1);
    world.ticker().look().await.unwrap();
    assert_eq!(world.ticks().await, pushed([3600]));
}

/// Writes a schedule as a newer release may: with a definition that this one cannot read.
async fn newer_schedule(world: &World, name: &str) {
    let mut newer = world.add(name, json!({ "every_s": 1 })).await;
    newer.definition = json!({ "phase_of_the_moon": "full" }).to_string();
    newer.revision = 2;
    assert!(world.store.replace_schedule(&newer, Some(1)).await.unwrap());
}

#[tokio::test]
async fn a_schedule_that_a_newer_release_wrote_holds_up_no_other() {
    let world = World::new().await;
    newer_schedule(&world, "newer").await;
    let schedule = world.add("ping", json!({ "every_s": 10 })).await;
    // What another replica left behind is pushed too, and what Redis may have forgotten is pushed once more.
    assert_eq!(world.store.insert_ticks(&[left_behind(&schedule, 5)]).await.unwrap(), [true]);
    world.pass(10);
    assert_eq!(world.ticker().look().await.unwrap(), Duration::from_secs(1), "it does not spin");
    assert_eq!(world.ticks().await, pushed([5, 10]));
    assert_eq!(world.n_jobs().await, 2);
    world.clock.advance(9_700);
    assert_eq!(world.ticker().look().await.unwrap(), Duration::from_millis(300), "it is not late either");
}

#[tokio::test]
async fn a_thousand_schedules_that_cannot_be_read_hold_up_no_other() {
    let world = World::new().await;
    let newer: Vec<StoredSchedule> = (0..1000)
        .map(|n| {
            let mut schedule =
                new_schedule("acme", &format!("newer{n}"), &definition(json!({ "every_s": 1 })), START_MS);
            schedule.definition = "{}".to_owned();
            schedule
        })
        .collect();
    world.store.add_schedules(&newer).await.unwrap();
    world.add("ping", json!({ "every_s": 10 })).await;
    world.pass(10);
    world.ticker().look().await.unwrap();
    assert_eq!(world.ticks().await, pushed([10]));
}

#[tokio::test]
async fn a_tick_that_only_a_newer_release_can_push_is_left_to_it_and_holds_up_no_other() {
    let world = World::new().await;
    let schedule = world.add("ping", json!({ "every_s": 10, "overlap": "skip" })).await;
    let mut newer = left_behind(&schedule, 5);
    newer.spec = Some(json!({ "tenant": "acme", "name": "ping", "overlap": "queue", "job": {} }).to_string());
    assert_eq!(world.store.insert_ticks(&[newer]).await.unwrap(), [true]);
    world.pass(10);
    world.ticker().look().await.unwrap();
    assert_eq!(world.ticks().await, [(5, TickOutcome::New), (10, TickOutcome::Pushed)]);
    world.pass(2 * 3600);
    world.ticker().look().await.unwrap();
    assert_eq!(world.ticks().await[0], (5, TickOutcome::Skipped), "no such release came");
}

#[tokio::test]
async fn a_queue_whose_keys_are_damaged_holds_up_no_other() {
    let world = World::new().await;
    for (name, overlap) in [("free", "allow"), ("guarded", "skip")] {
        let job = JobSpec::new("damaged", json!({}));
        world.add(name, json!({ "every_s": 10, "overlap": overlap, "job": job })).await;
    }
    world.add("ping", json!({ "every_s": 10, "overlap": "skip" })).await;
    let key = format!("{}:{{damaged.0}}:scheduled", world.redis.prefix());
    world.command(&format!("SET {key} rubbish"));
    world.pass(10);
    world.ticker().look().await.unwrap();
    assert_eq!(world.ticks().await, pushed([10]));
    world.command(&format!("DEL {key}"));
    world.pass(5);
    world.ticker().look().await.unwrap();
    assert_eq!(world.client.counts("damaged").await.unwrap()["jobs"], 2, "what was held up is pushed");
}

#[tokio::test]
async fn a_unique_key_whose_job_was_lost_keeps_no_tick_from_being_pushed() {
    let world = World::new().await;
    let options = json!({ "unique_key": "k", "unique_for_s": 86_400 });
    let job = JobSpec { options: Some(options.into()), ..JobSpec::new(QUEUE, json!({})) };
    world.add("ping", json!({ "every_s": 60, "job": job })).await;
    // Its own job is lost between the push and the one that follows it: see `what_a_failed_over_redis_forgot_is_pushed_again`.
    world.pass(60);
    world.ticker().look().await.unwrap();
    world.lose_the_job().await;
    world.pass(10);
    world.ticker().look().await.unwrap();
    assert_eq!((world.ticks().await, world.n_jobs().await), (pushed([60]), 1));
    // One that holds the key of the next.
    world.lose_the_job().await;
    world.pass(50);
    world.ticker().look().await.unwrap();
    assert_eq!((world.ticks().await, world.n_jobs().await), (pushed([60, 120]), 1));
    // One that is there, or has ended.
    world.pass(60);
    world.ticker().look().await.unwrap();
    assert_eq!((world.ticks().await[2], world.n_jobs().await), ((180, TickOutcome::Skipped), 1));
}

#[tokio::test]
async fn the_timetable_is_written_once_and_brought_up_to_date() {
    let world = World::new().await;
    let row = |name, cron: &str| Row { name, definition: Definition::new(cron, "UTC", JobSpec::new(QUEUE, json!({}))) };
    let with =
        |version, rows: Vec<Row>| Ticker::with_timetable(world.client.clone(), world.store.clone(), version, rows);
    let old = with(1, vec![row("nightly", "0 3 * * *"), row("gone", "@daily")]);
    let (a, b) = tokio::join!(old.prepare(), old.prepare());
    a.unwrap();
    b.unwrap();
    let id = schedule_id("default", "nightly");
    let mut nightly = world.store.schedule(&id).await.unwrap().unwrap();
    assert_eq!((nightly.revision, nightly.built_in), (1, true));
    pause(&mut nightly);
    nightly.revision = 2;
    assert!(world.store.replace_schedule(&nightly, Some(1)).await.unwrap());
    old.prepare().await.unwrap();
    assert_eq!(world.store.schedule(&id).await.unwrap().unwrap(), nightly, "nothing has changed");

    with(2, vec![row("nightly", "0 4 * * *")]).prepare().await.unwrap();
    let newer = world.store.schedule(&id).await.unwrap().unwrap();
    assert!(newer.definition.contains("0 4 * * *") && newer.paused && newer.next_at.is_none(), "{newer:?}");
    assert_eq!(world.store.schedule(&schedule_id("default", "gone")).await.unwrap(), None);
}

#[tokio::test]
async fn a_worker_of_an_older_release_leaves_the_rows_of_a_newer_one_alone() {
    let world = World::new().await;
    let row = |name, cron: &str| Row { name, definition: Definition::new(cron, "UTC", JobSpec::new(QUEUE, json!({}))) };
    let with =
        |version, rows: Vec<Row>| Ticker::with_timetable(world.client.clone(), world.store.clone(), version, rows);
    let newer = with(2, vec![row("nightly", "0 4 * * *"), row("added", "@daily"), row("same", "@hourly")]);
    let older = with(1, vec![row("nightly", "0 3 * * *"), row("same", "@hourly"), row("dropped", "@daily")]);
    // What releases wrote whose timetable had no version.
    let mut first = new_schedule("default", "same", &definition(json!({ "cron": "@hourly", "zone": "UTC" })), START_MS);
    first.built_in = true;
    assert!(world.store.replace_schedule(&first, None).await.unwrap());
    older.prepare().await.unwrap();
    newer.prepare().await.unwrap();
    let rows = async || {
        let found = world.store.schedules(Some("default"), None, 10).await.unwrap().read;
        found.into_iter().map(|row| (row.name, row.definition, row.timetable)).collect::<Vec<_>>()
    };
    let right = rows().await;
    let names: Vec<&str> = right
        .iter()
        .map(|(name, _, version)| {
            assert_eq!(*version, 2);
            name.as_str()
        })
        .collect();
    assert_eq!(names, ["added", "nightly", "same"]);
    older.prepare().await.unwrap();
    let after: Vec<_> = rows().await.into_iter().filter(|(name, ..)| name != "dropped").collect();
    assert_eq!(after, right);
}

#[tokio::test]
async fn next_times_that_were_reckoned_by_older_tables_are_reckoned_anew() {
    let world = World::new().await;
    let nine = json!({ "cron": "0 9 * * *", "zone": "America/Vancouver", "jitter_s": 60 });
    let at = |text: &str| Moment::from_ms(text.parse::<DateTime<Utc>>().unwrap().timestamp_millis() as u64);
    world.clock.advance(at("2026-12-01T20:00:00Z").ms() - START_MS);
    let right = world.add("ping", nine.clone()).await;
    assert_eq!(right.next_tick, Some(at("2026-12-02T16:00:00Z")));
    // As an older release left it, or one of older tables that moved it on.
    let mut stale = right.clone();
    (stale.next_tick, stale.next_at) = (Some(at("2026-12-02T17:00:00Z")), Some(at("2026-12-02T17:00:07Z")));
    (stale.last_tick, stale.updated_at) = (Some(at("2026-12-01T17:00:00Z")), at("2026-11-01T00:00:00Z"));
    let mut revision = 1;
    for by_nobody_knows_which in [true, false] {
        stale.reckoned = if by_nobody_knows_which { None } else { right.reckoned.clone() };
        stale.revision = revision + 1;
        assert!(world.store.replace_schedule(&stale, Some(revision)).await.unwrap());
        revision += 1;
        assert_eq!(world.ticker().reckon(false).await.unwrap(), 1);
        let now = world.schedule().await;
        assert_eq!((now.next_tick, now.next_at, now.revision), (right.next_tick, right.next_at, revision));
        assert_eq!(now.reckoned, right.reckoned);
        assert_eq!(world.ticker().reckon(false).await.unwrap(), 0, "once");
    }
    // At the start of a worker, too.
    stale.revision = revision + 1;
    assert!(world.store.replace_schedule(&stale, Some(revision)).await.unwrap());
    revision += 1;
    world.ticker().prepare().await.unwrap();
    assert_eq!(world.schedule().await.next_tick, right.next_tick);
    // Another replica has newer tables than this one.
    stale.revision = revision + 1;
    stale.reckoned = stale.next_tick.map(|next_tick| store::Reckoned { tables: "2999a".to_owned(), next_tick });
    assert!(world.store.replace_schedule(&stale, Some(revision)).await.unwrap());
    for all in [false, true] {
        assert_eq!(world.ticker().reckon(all).await.unwrap(), 0);
    }
    assert_eq!(world.schedule().await, stale);
}

#[tokio::test]
async fn idle_schedules_cost_two_small_questions_and_no_call_of_redis() {
    let world = World::new().await;
    // Nobody answers there: a call would be an error.
    let away = fleet::Redis::open("redis://127.0.0.1:1", world.redis.prefix()).unwrap();
    let client = Client::with_clock(&away, kinds(), world.clock.clone());
    let ticker = Ticker::with_timetable(client, world.store.clone(), 1, Vec::new());
    world.add("ping", json!({ "at": "2026-01-01T12:00:00Z" })).await;
    assert_eq!(ticker.look().await.unwrap(), Duration::from_secs(1));
    world.clock.advance(12 * 3600 * 1000 - 300);
    assert_eq!(ticker.look().await.unwrap(), Duration::from_millis(300));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_20000_schedules_the_2000_that_are_due_are_enqueued_and_no_other() {
    let world = World::new().await;
    let at: DateTime<Utc> = DateTime::from_timestamp_millis(i64::try_from(START_MS).unwrap()).unwrap();
    let (now, later) = (at + TimeDelta::seconds(10), at + TimeDelta::days(1));
    let schedules: Vec<StoredSchedule> = (0..20_000)
        .map(|n| {
            let at = if n % 10 == 0 { now } else { later };
            new_schedule("acme", &format!("s{n}"), &definition(json!({ "at": at })), START_MS)
        })
        .collect();
    for chunk in schedules.chunks(2000) {
        world.store.add_schedules(chunk).await.unwrap();
    }
    let ticker = world.ticker();
    ticker.look().await.unwrap();
    assert_eq!(world.n_jobs().await, 0);
    world.pass(10);
    let started = std::time::Instant::now();
    ticker.look().await.unwrap();
    println!("2,000 of 20,000 schedules were enqueued in {:?}", started.elapsed());
    assert_eq!(world.n_jobs().await, 2000);
    assert_eq!(world.store.next_due_ms(None).await.unwrap(), Some(START_MS + 24 * 3600 * 1000));
}
