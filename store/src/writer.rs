//! Gathers the small writes of a process: what many hand in at the same time goes to MongoDB in one command a collection.
//!
//! A write that comes when nothing is under way goes at once; those that come meanwhile go together in the next command. So a lone write
//! waits for nobody, and a busy process pays for one confirmation by the majority instead of hundreds. When many wait, their command does
//! not wait for the end of the one before. Whoever hands in a write is told what became of it, and not before the majority has it. What
//! one hands in after the answer to another is written after that.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use futures::TryStreamExt;
use mongodb::{
    Database,
    bson::{Bson, Document, RawArrayBuf, RawDocumentBuf, cstr, doc, rawdoc},
    error::Result as DriverResult,
};
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore, oneshot},
    time::timeout,
};

use crate::{
    ANSWER_TIMEOUT, Error, MAJORITY_TIMEOUT, MAX_TIME,
    error::{DUPLICATE_KEY, may_work_at_once},
    run,
};

/// The most writes of one command.
const MOST: usize = 500;
/// So many that wait go in a command beside the one that is under way; and at most so many commands at a time.
const BESIDE: (usize, usize) = (50, 3);
/// The bytes of documents in one command, unless a single one has more; the server takes 48 MB.
pub(crate) const MOST_BYTES: usize = 8 << 20;
/// The bytes of writes that wait at a time, in KiB; whoever has more waits for room.
const ROOM_KIB: usize = 64 << 10;
/// The largest document that MongoDB takes.
pub(crate) const LARGEST: usize = 16 << 20;

/// The writes of all clones of a store.
#[derive(Debug)]
pub(crate) struct Writer {
    database: Database,
    queues: Mutex<HashMap<String, Arc<Queue>>>,
    room: Arc<Semaphore>,
}

/// What is to become of a document.
#[derive(Debug, Clone, Copy)]
enum Change {
    /// It is new.
    Insert,
    /// It is `{ q, u }`, as in the command `update`; this may be repeated.
    Update,
}

/// Nothing, or why a write was not made; a document that was to be inserted comes back when another has its `_id`.
type Written = Result<Option<RawDocumentBuf>, Error>;

/// One write that waits.
#[derive(Debug)]
struct Write {
    change: Change,
    document: RawDocumentBuf,
    answer: oneshot::Sender<Written>,
    /// Free for others when this is dropped.
    room: OwnedSemaphorePermit,
}

impl Writer {
    pub(crate) fn new(database: Database) -> Self {
        Self { database, queues: Mutex::default(), room: Arc::new(Semaphore::new(ROOM_KIB)) }
    }

    /// Adds a document to `collection`. It comes back when there is one with its `_id`. `what` completes "cannot …".
    pub(crate) async fn insert(&self, collection: &str, document: RawDocumentBuf, what: &str) -> Written {
        self.hand_in(collection, Change::Insert, document, what).await
    }

    /// Changes the document that `filter` finds in `collection`, if there is one. `what` completes "cannot …".
    pub(crate) async fn update(
        &self,
        collection: &str,
        filter: Document,
        update: Document,
        what: &str,
    ) -> Result<(), Error> {
        let statement = doc! { "q": filter, "u": update };
        let statement = RawDocumentBuf::try_from(&statement)
            .map_err(|error| Error::Refused { what: what.to_owned(), reason: error.to_string() })?;
        self.hand_in(collection, Change::Update, statement, what).await.map(drop)
    }

    async fn hand_in(&self, collection: &str, change: Change, document: RawDocumentBuf, what: &str) -> Written {
        let n_bytes = document.as_bytes().len();
        if n_bytes > LARGEST {
            // Such a one would fail all others of its command.
            let reason = format!("the document has {n_bytes} bytes, MongoDB takes at most {LARGEST}");
            return Err(Error::Refused { what: what.to_owned(), reason });
        }
        let unavailable = |reason: &str| Error::Unavailable { what: what.to_owned(), reason: reason.to_owned() };
        let written = async {
            let n_kib = u32::try_from(n_bytes.div_ceil(1024)).unwrap_or(u32::MAX);
            let room = self.room.clone().acquire_many_owned(n_kib).await;
            let room = room.map_err(|_| unavailable("the process ends"))?;
            let (answer, answered) = oneshot::channel();
            self.queue(collection).add(Write { change, document, answer, room });
            answered.await.map_err(|_| unavailable("the task that writes has ended"))?
        };
        let written = timeout(ANSWER_TIMEOUT, written).await;
        let too_late = || Err(unavailable(&format!("no answer within {} s", ANSWER_TIMEOUT.as_secs())));
        written.unwrap_or_else(|_| too_late()).map_err(|error| error.of(what))
    }

    fn queue(&self, collection: &str) -> Arc<Queue> {
        let mut queues = self.queues.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(queue) = queues.get(collection) {
            return queue.clone();
        }
        let queue = Arc::new(Queue::new(&self.database, collection));
        queues.insert(collection.to_owned(), queue.clone());
        queue
    }
}

/// What waits for one collection.
#[derive(Debug)]
struct Queue {
    database: Database,
    collection: String,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    writes: Vec<Write>,
    /// How many tasks take them.
    n_servers: usize,
}

impl Queue {
    fn new(database: &Database, collection: &str) -> Self {
        Self { database: database.clone(), collection: collection.to_owned(), state: Mutex::default() }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn add(self: Arc<Self>, write: Write) {
        let mut state = self.state();
        state.writes.push(write);
        let (many, most_servers) = BESIDE;
        if state.n_servers == 0 || state.n_servers < most_servers && state.writes.len() >= many {
            state.n_servers += 1;
            drop(state);
            tokio::spawn(Server { queue: self, is_done: false }.serve());
        }
    }

    /// The writes of the next command. When there are none, or few and others serve this too, one server less does.
    fn next(&self) -> Vec<Write> {
        let mut state = self.state();
        if state.writes.is_empty() || state.n_servers > 1 && state.writes.len() < BESIDE.0 {
            state.n_servers -= 1;
            return Vec::new();
        }
        let mut n_bytes = 0;
        let fits = |write: &&Write| {
            n_bytes += write.document.as_bytes().len();
            n_bytes <= MOST_BYTES
        };
        let n = state.writes.iter().take(MOST).take_while(fits).count().max(1);
        state.writes.drain(..n).collect()
    }
}

/// Carries out what waits for a collection, until nothing does or others can do it alone.
struct Server {
    queue: Arc<Queue>,
    is_done: bool,
}

impl Drop for Server {
    fn drop(&mut self) {
        if !self.is_done {
            // It panicked, or the runtime ends: whoever waits hears of it, unless others serve them.
            let mut state = self.queue.state();
            state.n_servers -= 1;
            if state.n_servers == 0 {
                state.writes.clear();
            }
        }
    }
}

impl Server {
    async fn serve(mut self) {
        loop {
            let writes = self.queue.next();
            if writes.is_empty() {
                self.is_done = true;
                return;
            }
            self.write(writes).await;
        }
    }

    async fn write(&self, writes: Vec<Write>) {
        let is_insert = |write: &mut Write| matches!(write.change, Change::Insert);
        let mut updates = writes;
        let inserts: Vec<Write> = updates.extract_if(.., is_insert).collect();
        let queue = &self.queue;
        tokio::join!(
            carry_out(inserts, |documents| insert(&queue.database, &queue.collection, documents)),
            carry_out(updates, |statements| update(&queue.database, &queue.collection, statements)),
        );
    }
}

/// Makes these writes in one command, and tells each writer what became of its own.
async fn carry_out<F: Future<Output = Vec<Written>>>(
    writes: Vec<Write>,
    command: impl FnOnce(Vec<RawDocumentBuf>) -> F,
) {
    if writes.is_empty() {
        return;
    }
    let (documents, waiting): (Vec<_>, Vec<_>) =
        writes.into_iter().map(|write| (write.document, (write.answer, write.room))).unzip();
    for ((answer, _room), written) in waiting.into_iter().zip(command(documents).await) {
        // Nobody may wait for it any more.
        let _ = answer.send(written);
    }
}

/// Adds documents in one command, and tells of each what became of it.
///
/// It is no "retryable write" of MongoDB: for those the server notes each command in one document a session, which cost a fifth of its
/// processor time. In its place a command that failed is repeated once, and what is there then and is the same to the byte is what the
/// first one has written.
pub(crate) async fn insert(database: &Database, collection: &str, documents: Vec<RawDocumentBuf>) -> Vec<Written> {
    let what = format!("add {} documents to {collection}", documents.len());
    let command = rawdoc! { "insert": collection, "documents": array(&documents) };
    let (database, found) = (database.clone(), database.collection::<RawDocumentBuf>(collection));
    let inserted = Arc::new(documents);
    let documents = inserted.clone();
    let call = async move {
        let (mut answer, is_repeated) = write(&database, command).await?;
        if is_repeated {
            let is_twice = |(index, code, _): &(usize, i32, String)| *code == DUPLICATE_KEY && *index < inserted.len();
            let twice = answer.0.iter().filter(|error| is_twice(error)).map(|(index, ..)| &inserted[*index]);
            let ids: Vec<Bson> = twice.filter_map(|document| document.get("_id").ok()??.try_into().ok()).collect();
            let there: Vec<RawDocumentBuf> = found.find(doc! { "_id": { "$in": ids } }).await?.try_collect().await?;
            let is_ours = |error: &(usize, i32, String)| is_twice(error) && there.contains(&inserted[error.0]);
            answer.0.retain(|error| !is_ours(error));
        }
        Ok(answer)
    };
    let answer = run(what.clone(), ANSWER_TIMEOUT, call).await;
    told(&what, &documents, answer)
}

/// Carries out statements `{ q, u, upsert }` in one command, and tells of each what became of it. They may be repeated.
pub(crate) async fn update(database: &Database, collection: &str, statements: Vec<RawDocumentBuf>) -> Vec<Written> {
    let what = format!("change {} documents of {collection}", statements.len());
    let command = rawdoc! { "update": collection, "updates": array(&statements) };
    let database = database.clone();
    let call = async move { write(&database, command).await.map(|(answer, _)| answer) };
    let answer = run(what.clone(), ANSWER_TIMEOUT, call).await;
    told(&what, &statements, answer)
}

fn array(documents: &[RawDocumentBuf]) -> RawArrayBuf {
    let mut array = RawArrayBuf::new();
    documents.iter().for_each(|document| array.push(document.clone()));
    array
}

/// Carries out a command that writes, a second time if it failed and may work at once; says whether it was the second time.
///
/// As a command, because the driver's own writes of many documents need a later server.
async fn write(database: &Database, mut command: RawDocumentBuf) -> DriverResult<(Answer, bool)> {
    let ms = |limit: Duration| i64::try_from(limit.as_millis()).unwrap_or(i64::MAX);
    command.append(cstr!("ordered"), false);
    command.append(cstr!("maxTimeMS"), ms(MAX_TIME));
    command.append(cstr!("writeConcern"), rawdoc! { "w": "majority", "wtimeout": ms(MAJORITY_TIMEOUT) });
    let (answer, is_repeated) = match database.run_raw_command(command.clone()).await {
        Err(error) if may_work_at_once(&error) => (database.run_raw_command(command).await?, true),
        answer => (answer?, false),
    };
    let errors = answer.get_array("writeErrors").into_iter().flatten().filter_map(Bson::as_document);
    let errors = errors.map(|error| {
        let index = error.get_i32("index").ok().and_then(|index| usize::try_from(index).ok());
        let message = error.get_str("errmsg").unwrap_or("no reason").to_owned();
        (index.unwrap_or(usize::MAX), error.get_i32("code").unwrap_or_default(), message)
    });
    let of_all = answer.get_document("writeConcernError").ok().map(ToString::to_string);
    Ok(((errors.collect(), of_all), is_repeated))
}

/// The errors of single writes (index, code, message), and what is wrong with all.
type Answer = (Vec<(usize, i32, String)>, Option<String>);

/// What became of each document.
fn told(what: &str, documents: &[RawDocumentBuf], answer: Result<Answer, Error>) -> Vec<Written> {
    let unavailable = |reason| Error::Unavailable { what: what.to_owned(), reason };
    let (errors, of_all) = match answer {
        Ok((errors, None)) => (errors, Ok(None)),
        // They are there, but too few members have confirmed it in time.
        Ok((errors, Some(reason))) => (errors, Err(unavailable(reason))),
        Err(error) => (Vec::new(), Err(error)),
    };
    let mut written: Vec<Written> = documents.iter().map(|_| of_all.clone()).collect();
    for (index, code, reason) in errors {
        if let (Some(written), Some(document)) = (written.get_mut(index), documents.get(index)) {
            *written = match code {
                DUPLICATE_KEY => Ok(Some(document.clone())),
                _ => Err(Error::from_code(what.to_owned(), code, reason)),
            };
        }
    }
    written
}
