//! The outbox on real servers: once a name, whatever fails, in however many replicas.

#![expect(clippy::unwrap_used, reason = "clippy does not count plain functions here as test code")]

use queue::{Client, Clock, Kind};
use schedules::Outbox;
use servers::{MongoDatabase, RedisKind};
use store::{Moment, OutboxEntry, Store};

const QUEUE: &str = "parcel";
const START_MS: u64 = 1_767_225_600_000;

struct World {
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
        store.prepare_outbox().await.unwrap();
        Self { clock, client, store, _database: name }
    }

    fn outbox(&self) -> Outbox {
        Outbox::new(self.client.clone(), self.store.clone())
    }

    async fn put(&self, name: &str, kind: &str) -> OutboxEntry {
        let (at, now) = (Moment::from_ms(START_MS - 7), Moment::from_ms(self.clock.now_ms()));
        let entry = OutboxEntry::new(name.to_owned(), kind, "acme", r#"{"to":"Zoë"}"#.to_owned(), at, now);
        assert!(self.store.put_outbox(&entry).await.unwrap());
        entry
    }

    async fn kept(&self, name: &str) -> OutboxEntry {
        self.store.outbox(name).await.unwrap().unwrap()
    }

    async fn n_jobs(&self) -> u64 {
        self.client.counts(QUEUE).await.unwrap()["jobs"]
    }
}

#[tokio::test]
async fn a_job_is_pushed_under_the_id_of_its_name_and_once_more_later() {
    let world = World::new().await;
    world.put("one", QUEUE).await;
    world.outbox().look().await.unwrap();
    let id = world.client.fixed_id(QUEUE, "one", START_MS - 7).await.unwrap();
    let view = world.client.find(id).await.unwrap().unwrap();
    assert_eq!((view.tenant.as_str(), world.n_jobs().await), ("acme", 1));
    let kept = world.kept("one").await;
    assert_eq!((kept.job, kept.pushed_at), (Some(id.to_string()), Some(Moment::from_ms(START_MS))));
    assert_eq!(kept.push_at, Some(Moment::from_ms(START_MS + 10_000)));
    world.outbox().look().await.unwrap();
    assert!(world.kept("one").await.push_at.is_some(), "not before its time");

    world.clock.advance(10_000);
    world.outbox().look().await.unwrap();
    let kept = world.kept("one").await;
    assert_eq!((kept.push_at, kept.payload, world.n_jobs().await), (None, None, 1));
}

#[tokio::test]
async fn replicas_that_push_at_the_same_time_push_one_job() {
    let world = World::new().await;
    for n in 0..20 {
        world.put(&format!("n{n}"), QUEUE).await;
    }
    let replicas: Vec<Outbox> = (0..4).map(|_| world.outbox()).collect();
    for looked in futures::future::join_all(replicas.iter().map(Outbox::look)).await {
        looked.unwrap();
    }
    assert_eq!(world.n_jobs().await, 20);
    world.clock.advance(10_000);
    for looked in futures::future::join_all(replicas.iter().map(Outbox::look)).await {
        looked.unwrap();
    }
    assert_eq!((world.n_jobs().await, world.store.next_outbox_ms().await.unwrap()), (20, None));
}

#[tokio::test]
async fn who_put_it_there_may_push_it_without_waiting_for_a_look() {
    let world = World::new().await;
    let entry = world.put("one", QUEUE).await;
    assert_eq!(world.outbox().push(vec![entry.clone()]).await.unwrap(), Vec::<String>::new());
    assert_eq!(world.n_jobs().await, 1);
    // A replica that was slower marks it late, when it was over.
    world.clock.advance(10_000);
    world.outbox().look().await.unwrap();
    world.outbox().push(vec![entry]).await.unwrap();
    world.clock.advance(10_000);
    world.outbox().look().await.unwrap();
    let kept = world.kept("one").await;
    assert_eq!((kept.push_at, kept.reason, world.n_jobs().await), (None, None, 1));
}

#[tokio::test]
async fn what_can_never_be_pushed_says_why_and_holds_up_nothing() {
    let world = World::new().await;
    world.put("odd", "No Such Kind").await;
    world.put("good", QUEUE).await;
    world.outbox().look().await.unwrap();
    let odd = world.kept("odd").await;
    assert!(odd.reason.is_some() && odd.push_at.is_none() && odd.payload.is_none(), "{odd:?}");
    assert!(odd.expires_at.is_some() && odd.job.is_none());
    assert_eq!(world.n_jobs().await, 1);
}

#[tokio::test]
async fn while_redis_is_away_it_waits() {
    let world = World::new().await;
    world.put("one", QUEUE).await;
    let address = format!("redis://127.0.0.1:{}", servers::free_port());
    let patience = std::time::Duration::from_millis(200);
    let away = fleet::Redis::open_within(&address, "away", patience).unwrap();
    let away = Client::with_clock(&away, kinds(), world.clock.clone());
    assert!(Outbox::new(away, world.store.clone()).look().await.is_err());
    assert_eq!(world.kept("one").await.pushed_at, None);
    world.outbox().look().await.unwrap();
    assert_eq!(world.n_jobs().await, 1);
}
