//! Files that results refer to by the SHA-256 of their bytes, in the GridFS bucket `files` (collections `files.files`, `files.chunks`).
//!
//! Equal files are stored once: the collection `stored_files` has `{ _id: sha256, file: id in the bucket, length, look_at, unused }`. Before
//! bytes are written or deleted, their id is noted in `loose_files`, `{ _id: id in the bucket, sha256, at }`: so what a process left behind that
//! died in the middle is found and deleted too.
//!
//! [`Store::sweep_files`] deletes what no result refers to. It looks at a file when its `look_at` has come: six hours after it was last
//! stored, which is longer than any job takes to store its result, and then twice a day. A file that is not referred to is looked at once
//! more an hour later, and then taken out of sight before its bytes are deleted. Each of these steps is made only if `look_at` is still what
//! was read, and to store a file again moves it: a job that stores the same file meanwhile either keeps the sweep from going on, or no longer
//! sees the file and stores its own.

use std::{
    ops::RangeInclusive,
    time::{Duration, Instant},
};

use async_recursion::async_recursion as boxed;
use futures::AsyncWriteExt;
use mongodb::{
    bson::{Bson, DateTime, Document, doc, oid::ObjectId},
    error::{Error as DriverError, Result as DriverResult},
};

use crate::{
    ANSWER_TIMEOUT, Error, MAX_TIME, Moment, Store, connection::BUCKET, error::is_duplicate_key, index::index, run,
};

const COLLECTION: &str = "stored_files";
const LOOSE: &str = "loose_files";
/// Of a file, at a time.
const CHUNK: u32 = 255 * 1024;
/// A large file goes to the majority in many parts.
const UPLOAD_TIMEOUT: Duration = Duration::from_secs(60);
/// After it was stored, when it is first looked at.
const FIRST_LOOK: Duration = Duration::from_secs(6 * 3600);
/// After it was found to be referred to.
const NEXT_LOOK: Duration = Duration::from_secs(12 * 3600);
/// After it was found not to be.
const LAST_LOOK: Duration = Duration::from_secs(3600);
/// What was begun so long ago has been given up.
const GIVEN_UP: Duration = Duration::from_secs(3600);

/// A file that is stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredFile {
    id: ObjectId,
    /// In bytes.
    pub length: u64,
}

/// What a sweep has done.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Swept {
    /// Files that are gone.
    pub deleted: u64,
    /// Whether there is more to look at.
    pub is_over: bool,
}

/// Which results refer to files: the collection, and where in its documents the hashes stand.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct References {
    /// The collection of results.
    pub collection: &'static str,
    /// As in `result.images.files`.
    pub path: &'static str,
}

impl Store {
    /// Stores a file under the hash of its bytes, if it is not there yet. May be repeated. The result that refers to it is to be stored within
    /// six hours.
    ///
    /// # Errors
    /// [`Error::Unavailable`] when it may work later.
    #[boxed]
    pub async fn put_file(&self, sha256: &str, bytes: Vec<u8>) -> Result<(), Error> {
        let what = format!("store file {sha256}");
        let (store, sha256) = (self.clone(), sha256.to_owned());
        run(what, UPLOAD_TIMEOUT, async move {
            // The one that another writer has completed meanwhile is found by the second look.
            loop {
                if store.touch_file(&sha256).await? || store.upload(&sha256, &bytes).await? {
                    return Ok(());
                }
            }
        })
        .await
    }

    /// The file with this hash.
    ///
    /// # Errors
    /// [`Error::Unavailable`] when it may work later.
    #[boxed]
    pub async fn file(&self, sha256: &str) -> Result<Option<StoredFile>, Error> {
        let (files, filter) = (self.collection(COLLECTION), doc! { "_id": sha256 });
        let find = async move { files.find_one(filter).max_time(MAX_TIME).await };
        let found = run(format!("look for file {sha256}"), ANSWER_TIMEOUT, find).await?;
        Ok(found.and_then(|document| {
            let length = document.get_i64("length").ok().and_then(|length| u64::try_from(length).ok())?;
            Some(StoredFile { id: document.get_object_id("file").ok()?, length })
        }))
    }

    /// What of `range` lies in one piece from its beginning on; empty when the file was deleted meanwhile.
    ///
    /// # Errors
    /// [`Error::Unavailable`] when it may work later, [`Error::Refused`] when it is damaged.
    #[boxed]
    pub async fn read_file(&self, file: &StoredFile, range: &RangeInclusive<u64>) -> Result<Vec<u8>, Error> {
        let what = format!("read file {}", file.id);
        let (chunk, within) = (range.start() / u64::from(CHUNK), (range.start() % u64::from(CHUNK)) as usize);
        let chunks = self.collection(&format!("{BUCKET}.chunks"));
        let filter = doc! { "files_id": file.id, "n": i32::try_from(chunk).unwrap_or(i32::MAX) };
        let find = async move { chunks.find_one(filter).max_time(MAX_TIME).await };
        let Some(document) = run(what.clone(), ANSWER_TIMEOUT, find).await? else { return Ok(Vec::new()) };
        let bytes =
            document.get_binary_generic("data").map_err(|error| Error::Refused { what, reason: error.to_string() })?;
        let wanted = usize::try_from(range.end() - range.start()).unwrap_or(usize::MAX).saturating_add(1);
        Ok(bytes.get(within..).unwrap_or_default().iter().copied().take(wanted).collect())
    }

    /// Deletes files that no result refers to, for as long as `time`.
    ///
    /// # Errors
    /// [`Error::Unavailable`] when it may work later; what was done stays done.
    #[boxed]
    pub async fn sweep_files(&self, references: References, now: Moment, time: Duration) -> Result<Swept, Error> {
        let (began, mut swept) = (Instant::now(), Swept::default());
        while began.elapsed() < time {
            let files = self.collection(COLLECTION);
            let due = async move {
                let due = doc! { "look_at": { "$lte": now } };
                files.find_one(due).sort(doc! { "look_at": 1 }).max_time(MAX_TIME).await
            };
            let Some(file) = run("look for files to look at", ANSWER_TIMEOUT, due).await? else {
                swept.is_over = self.sweep_loose(now, began + time).await?;
                break;
            };
            swept.deleted += u64::from(self.look_at(references, now, file).await?);
        }
        Ok(swept)
    }

    /// The indexes of files, and the one by which those are found that a result refers to.
    ///
    /// # Errors
    /// As MongoDB gives them; it may be repeated.
    #[boxed]
    pub async fn prepare_files(&self, references: References) -> Result<(), Error> {
        self.create_indexes(COLLECTION, [index("look_at", doc! { "look_at": 1 })]).await?;
        self.create_indexes(LOOSE, [index("at", doc! { "at": 1 })]).await?;
        self.create_indexes(references.collection, [index("files", doc! { references.path: 1 })]).await
    }

    /// Whether it is there; then it is looked at later.
    async fn touch_file(&self, sha256: &str) -> DriverResult<bool> {
        let files = self.collection(COLLECTION);
        let update = doc! { "$set": { "look_at": after(DateTime::now(), FIRST_LOOK), "unused": false } };
        Ok(files.find_one_and_update(doc! { "_id": sha256 }, update).max_time(MAX_TIME).await?.is_some())
    }

    /// False when another writer was faster.
    async fn upload(&self, sha256: &str, bytes: &[u8]) -> DriverResult<bool> {
        let id = ObjectId::new();
        self.note(id, sha256).await?;
        let mut stream = self.bucket.open_upload_stream(sha256).id(Bson::ObjectId(id)).chunk_size_bytes(CHUNK).await?;
        stream.write_all(bytes).await.map_err(DriverError::from)?;
        stream.close().await.map_err(DriverError::from)?;
        let length = i64::try_from(bytes.len()).unwrap_or(i64::MAX);
        let look_at = after(DateTime::now(), FIRST_LOOK);
        let stored = doc! { "_id": sha256, "file": id, "length": length, "look_at": look_at, "unused": false };
        match self.collection(COLLECTION).insert_one(stored).await {
            Ok(_) => self.collection(LOOSE).delete_one(doc! { "_id": id }).await.map(|_| true),
            Err(error) if is_duplicate_key(&error) => self.remove(id).await.map(|()| false),
            Err(error) => Err(error),
        }
    }

    /// Whether it is gone now.
    async fn look_at(&self, references: References, now: Moment, file: Document) -> Result<bool, Error> {
        let (sha256, id) = (file.get_str("_id").unwrap_or_default().to_owned(), file.get_object_id("file").ok());
        let was_unused = file.get_bool("unused").unwrap_or(false);
        let (store, what) = (self.clone(), format!("look at file {sha256}"));
        let now = date(now);
        let look = async move {
            let files = store.collection(COLLECTION);
            // Only if nobody has stored it since it was read.
            let unchanged = doc! { "_id": &sha256, "look_at": file.get("look_at").cloned().unwrap_or_default() };
            let results = store.collection(references.collection);
            let refers = results.find_one(doc! { references.path: &sha256 }).projection(doc! { "_id": 1 });
            let is_used = refers.max_time(MAX_TIME).await?.is_some();
            if let (false, true, Some(id)) = (is_used, was_unused, id) {
                store.note(id, &sha256).await?;
                let is_out_of_sight = files.delete_one(unchanged).await?.deleted_count == 1;
                if is_out_of_sight {
                    store.remove(id).await?;
                } else {
                    store.collection(LOOSE).delete_one(doc! { "_id": id }).await?;
                }
                return Ok(is_out_of_sight);
            }
            let wait = if is_used { NEXT_LOOK } else { LAST_LOOK };
            let change = doc! { "$set": { "look_at": after(now, wait), "unused": !is_used } };
            files.update_one(unchanged, change).await?;
            Ok(false)
        };
        run(what, ANSWER_TIMEOUT, look).await
    }

    /// Deletes what was left behind in the middle; whether nothing is left of that.
    async fn sweep_loose(&self, now: Moment, until: Instant) -> Result<bool, Error> {
        let now = date(now);
        while Instant::now() < until {
            let store = self.clone();
            let look = async move {
                let loose = store.collection(LOOSE);
                let given_up = DateTime::from_millis(now.timestamp_millis().saturating_sub(ms(GIVEN_UP)));
                let given_up = doc! { "at": { "$lte": given_up } };
                let Some(found) = loose.find_one(given_up).max_time(MAX_TIME).await? else { return Ok(true) };
                let id = found.get_object_id("_id").unwrap_or_default();
                let stored = doc! { "_id": found.get_str("sha256").unwrap_or_default(), "file": id };
                if store.collection(COLLECTION).find_one(stored).max_time(MAX_TIME).await?.is_some() {
                    // It was stored, or not taken out of sight.
                    loose.delete_one(doc! { "_id": id }).await?;
                } else {
                    store.remove(id).await?;
                }
                Ok(false)
            };
            if run("look for what was left behind of files", ANSWER_TIMEOUT, look).await? {
                return Ok(true);
            }
        }
        Ok(false)
    }

    async fn note(&self, id: ObjectId, sha256: &str) -> DriverResult<()> {
        let update = doc! { "$set": { "sha256": sha256, "at": DateTime::now() } };
        self.collection(LOOSE).update_one(doc! { "_id": id }, update).upsert(true).await.map(drop)
    }

    /// The note goes last: what is left of a removal that is stopped is found again.
    async fn remove(&self, id: ObjectId) -> DriverResult<()> {
        for (part, field) in [("chunks", "files_id"), ("files", "_id")] {
            self.collection(&format!("{BUCKET}.{part}")).delete_many(doc! { field: id }).await?;
        }
        self.collection(LOOSE).delete_one(doc! { "_id": id }).await.map(drop)
    }
}

fn date(moment: Moment) -> DateTime {
    DateTime::from_millis(i64::try_from(moment.ms()).unwrap_or(i64::MAX))
}

fn after(at: DateTime, wait: Duration) -> DateTime {
    DateTime::from_millis(at.timestamp_millis().saturating_add(ms(wait)))
}

fn ms(time: Duration) -> i64 {
    i64::try_from(time.as_millis()).unwrap_or(i64::MAX)
}
