//! Files that results refer to, on a real MongoDB.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking, its functions included")]

use std::{ops::RangeInclusive, time::Duration};

use mongodb::{
    Client, Database,
    bson::{Binary, DateTime, Document, doc, oid::ObjectId, spec::BinarySubtype},
};
use sha2::{Digest, Sha256};
use store::{Moment, References, Store, Swept};

const REFERENCES: References = References { collection: "images", path: "result.images.files" };
const HOUR: u64 = 3600 * 1000;
const TIME: Duration = Duration::from_secs(60);

async fn store() -> (Store, Database, servers::MongoDatabase) {
    let name = servers::MongoDatabase::new();
    let store = Store::open(servers::mongo(), &name).await.expect("the URL is good");
    store.prepare_files(REFERENCES).await.unwrap();
    let database = Client::with_uri_str(servers::mongo()).await.unwrap().database(&name);
    (store, database, name)
}

fn hash(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}

fn in_hours(hours: u64) -> Moment {
    let now = u64::try_from(DateTime::now().timestamp_millis()).unwrap();
    Moment::from_ms(now + hours * HOUR + 60_000)
}

async fn n(database: &Database, collection: &str) -> u64 {
    database.collection::<Document>(collection).count_documents(doc! {}).await.unwrap()
}

async fn read(store: &Store, sha256: &str, range: RangeInclusive<u64>) -> Vec<u8> {
    let file = store.file(sha256).await.unwrap().expect("it is stored");
    let mut bytes = Vec::new();
    while *range.start() + bytes.len() as u64 <= *range.end() {
        let piece = store.read_file(&file, &(range.start() + bytes.len() as u64..=*range.end())).await.unwrap();
        assert!(!piece.is_empty());
        bytes.extend(piece);
    }
    bytes
}

async fn refer(database: &Database, job: &str, files: &[&str]) {
    let result = doc! { "images": [{ "files": ["of another size"] }, { "files": files.to_vec() }] };
    database.collection("images").insert_one(doc! { "_id": job, "result": result }).await.unwrap();
}

async fn sweep(store: &Store, hours: u64) -> u64 {
    let Swept { deleted, is_over } = store.sweep_files(REFERENCES, in_hours(hours), TIME).await.unwrap();
    assert!(is_over);
    deleted
}

#[tokio::test]
async fn equal_files_are_stored_once_also_at_the_same_moment() {
    let (store, database, _name) = store().await;
    let bytes = vec![7; 300_000];
    let sha256 = hash(&bytes);
    assert_eq!(store.file(&sha256).await.unwrap(), None);
    let tasks: Vec<_> = (0..10)
        .map(|_| {
            let (store, sha256, bytes) = (store.clone(), sha256.clone(), bytes.clone());
            tokio::spawn(async move { store.put_file(&sha256, bytes).await })
        })
        .collect();
    for task in tasks {
        task.await.unwrap().unwrap();
    }
    store.put_file(&sha256, bytes.clone()).await.unwrap();
    let counts =
        (n(&database, "stored_files").await, n(&database, "files.files").await, n(&database, "files.chunks").await);
    assert_eq!(counts, (1, 1, 2));
    assert_eq!(read(&store, &sha256, 0..=299_999).await, bytes);
}

#[tokio::test]
async fn any_part_of_a_file_is_read() {
    let (store, _database, _name) = store().await;
    let bytes: Vec<u8> = (0..600_000_u32).map(|n| (n % 251) as u8).collect();
    let sha256 = hash(&bytes);
    store.put_file(&sha256, bytes.clone()).await.unwrap();
    assert_eq!(store.file(&sha256).await.unwrap().unwrap().length, 600_000);
    for (from, to) in [(0, 0), (599_999, 599_999), (261_119, 261_120), (261_120, 522_240), (100, 599_000)] {
        assert!(read(&store, &sha256, from..=to).await == bytes[from as usize..=to as usize], "{from} to {to}");
    }
    // An empty one has no parts.
    store.put_file(&hash(b""), Vec::new()).await.unwrap();
    assert_eq!(store.file(&hash(b"")).await.unwrap().unwrap().length, 0);
}

#[tokio::test]
async fn what_no_result_refers_to_leaves_within_a_day_and_nothing_else() {
    let (store, database, _name) = store().await;
    let [used, unused] = [b"used", b"idle"].map(|bytes| hash(bytes));
    store.put_file(&used, b"used".to_vec()).await.unwrap();
    store.put_file(&unused, b"idle".to_vec()).await.unwrap();
    refer(&database, "job-1", &["x", &used]).await;
    // A result may be on its way still.
    assert_eq!(sweep(&store, 0).await, 0);
    // Looked at once, and once more.
    assert_eq!((sweep(&store, 6).await, n(&database, "stored_files").await), (0, 2));
    assert_eq!((sweep(&store, 7).await, n(&database, "stored_files").await), (1, 1));
    assert_eq!(store.file(&unused).await.unwrap(), None);
    assert_eq!(read(&store, &used, 0..=3).await, b"used");
    // Its result goes.
    database.collection::<Document>("images").delete_many(doc! {}).await.unwrap();
    assert_eq!((sweep(&store, 18).await, sweep(&store, 19).await), (0, 1));
    for collection in ["stored_files", "loose_files", "files.files", "files.chunks"] {
        assert_eq!(n(&database, collection).await, 0, "{collection}");
    }
}

#[tokio::test]
async fn a_job_that_stores_the_same_file_keeps_it_or_stores_its_own() {
    let (store, database, _name) = store().await;
    let sha256 = hash(b"same");
    store.put_file(&sha256, b"same".to_vec()).await.unwrap();
    assert_eq!(sweep(&store, 6).await, 0, "it is looked at once more");
    // Before that, another job stores it: it is as good as new.
    store.put_file(&sha256, b"same".to_vec()).await.unwrap();
    assert_eq!(sweep(&store, 0).await, 0);
    assert_eq!(sweep(&store, 7).await, 0, "the first look since");
    assert!(store.file(&sha256).await.unwrap().is_some());
    // A sweep that has read the file before it was stored again changes nothing.
    let files = database.collection::<Document>("stored_files");
    let long_ago = DateTime::from_millis(1);
    files.update_one(doc! {}, doc! { "$set": { "look_at": long_ago, "unused": true } }).await.unwrap();
    let (swept, stored) = tokio::join!(sweep(&store, 0), store.put_file(&sha256, b"same".to_vec()));
    stored.unwrap();
    assert!(swept <= 1);
    assert_eq!(read(&store, &sha256, 0..=3).await, b"same");
    assert_eq!((n(&database, "stored_files").await, n(&database, "files.files").await), (1, 1));
}

#[tokio::test]
async fn an_upload_that_died_in_the_middle_is_cleared_and_holds_up_nobody() {
    let (store, database, _name) = store().await;
    let (sha256, id) = (hash(b"whole"), ObjectId::new());
    let begun = doc! { "_id": id, "sha256": &sha256, "at": DateTime::now() };
    database.collection("loose_files").insert_one(begun).await.unwrap();
    let part = Binary { subtype: BinarySubtype::Generic, bytes: b"wh".to_vec() };
    database.collection("files.chunks").insert_one(doc! { "files_id": id, "n": 0, "data": part }).await.unwrap();
    assert_eq!(store.file(&sha256).await.unwrap(), None);
    store.put_file(&sha256, b"whole".to_vec()).await.unwrap();
    assert_eq!(n(&database, "loose_files").await, 1, "the other one's");
    assert_eq!(sweep(&store, 1).await, 0, "it was never a file");
    assert_eq!((n(&database, "loose_files").await, n(&database, "files.chunks").await), (0, 1));
    assert_eq!(read(&store, &sha256, 0..=4).await, b"whole");
    // One that was stored, or not taken out of sight, before its note was deleted.
    let stored = database.collection::<Document>("stored_files").find_one(doc! {}).await.unwrap().unwrap();
    let noted =
        doc! { "_id": stored.get_object_id("file").unwrap(), "sha256": &sha256, "at": DateTime::from_millis(1) };
    database.collection("loose_files").insert_one(noted).await.unwrap();
    assert_eq!((sweep(&store, 1).await, n(&database, "loose_files").await), (0, 0));
    assert_eq!(read(&store, &sha256, 0..=4).await, b"whole");
}
