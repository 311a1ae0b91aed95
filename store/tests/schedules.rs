//! Schedules and ticks on a real MongoDB.

#![expect(clippy::unwrap_used, reason = "clippy does not count plain functions here as test code")]

use mongodb::{
    Database,
    bson::{DateTime, Document, doc},
};
use servers::MongoDatabase;
use store::{Moment, Store, StoredSchedule, Tick, TickOutcome};

const NOW_MS: u64 = 1_767_225_600_000;

struct World {
    store: Store,
    database: Database,
    _dropped_at_the_end: MongoDatabase,
}

impl World {
    async fn new() -> Self {
        let name = MongoDatabase::new();
        let store = Store::open(servers::mongo(), &name).await.unwrap();
        store.prepare_schedules().await.unwrap();
        let database = mongodb::Client::with_uri_str(servers::mongo()).await.unwrap().database(&name);
        Self { store, database, _dropped_at_the_end: name }
    }

    async fn insert(&self, collection: &str, document: Document) {
        self.database.collection(collection).insert_one(document).await.unwrap();
    }
}

fn schedule(name: &str, next_ms: u64) -> StoredSchedule {
    StoredSchedule {
        id: format!("acme/{name}"),
        tenant: "acme".to_owned(),
        name: name.to_owned(),
        definition: "{}".to_owned(),
        built_in: false,
        timetable: 0,
        revision: 1,
        paused: false,
        next_tick: Some(Moment::from_ms(next_ms)),
        next_at: Some(Moment::from_ms(next_ms)),
        made_up: None,
        reckoned: None,
        last_tick: None,
        updated_at: Moment::from_ms(NOW_MS),
    }
}

fn tick(second: u64) -> Tick {
    let tick = Moment::from_ms(NOW_MS - 60_000 + second * 1000);
    Tick {
        id: format!("acme/ping@{second}"),
        schedule: "acme/ping".to_owned(),
        tick,
        created_at: tick,
        by_hand: false,
        outcome: TickOutcome::New,
        reason: None,
        job: None,
        push_at: Some(tick),
        spec: None,
    }
}

#[tokio::test]
async fn a_document_that_cannot_be_read_is_told_and_hides_no_other() {
    let world = World::new().await;
    let date = |ms: u64| DateTime::from_millis(i64::try_from(ms).unwrap());
    world.insert("schedules", doc! { "_id": "acme/damaged", "tenant": "acme", "next_at": date(NOW_MS - 5000) }).await;
    let (ping, later) = (schedule("ping", NOW_MS), schedule("later", NOW_MS + 1000));
    world.store.add_schedules(&[ping.clone(), later.clone()]).await.unwrap();
    let due = world.store.due_schedules(NOW_MS, &[], 10).await.unwrap();
    assert_eq!((due.n(), due.read), (2, vec![ping.clone()]));
    assert_eq!(due.unreadable[0].id, "acme/damaged");
    assert!(due.unreadable[0].reason.contains("missing field"), "{:?}", due.unreadable);
    let rest = world.store.due_schedules(NOW_MS, &["acme/damaged".to_owned()], 1).await.unwrap();
    assert_eq!((rest.unreadable, rest.read), (vec![], vec![ping.clone()]));
    assert_eq!(world.store.next_due_ms(Some(NOW_MS)).await.unwrap(), Some(NOW_MS + 1000), "behind what stays due");
    let all = world.store.schedules(Some("acme"), None, 10).await.unwrap();
    assert_eq!((all.unreadable.len(), all.read), (1, vec![later, ping]));

    // What a later release may make of a tick.
    let held = doc! { "_id": "acme/ping@1", "schedule": "acme/ping", "tick": date(NOW_MS - 59_000),
    "created_at": date(NOW_MS), "by_hand": false, "outcome": "new", "reason": 7, "push_at": date(NOW_MS - 59_000) };
    world.insert("ticks", held).await;
    assert_eq!(world.store.insert_ticks(&[tick(2)]).await.unwrap(), [true]);
    let waiting = world.store.ticks_to_push(NOW_MS, &[], 10).await.unwrap();
    assert_eq!((waiting.unreadable.len(), waiting.read), (1, vec![tick(2)]));
    assert_eq!(world.store.tick_before("acme/ping", tick(2).tick).await.unwrap(), None);
    let ids = ["acme/ping@1".to_owned(), "acme/ping@2".to_owned()];
    assert_eq!(world.store.ticks(&ids).await.unwrap(), [tick(2)]);
}
