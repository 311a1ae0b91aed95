//! What became of jobs: the collection `jobs`, one document a job that has ended, kept for 90 days after its end.
//!
//! An id is a UUIDv7, so ids are in the order of creation: lists begin with the greatest id, a page begins behind the last id of
//! the page before, and a range of times is a range of ids. `payload` and `metadata` are JSON as BSON; where BSON would change
//! them, `payload_json` or `metadata_json` hold the text. `words` are those of the errors of all attempts.

use std::{borrow::Cow, collections::HashSet, time::Duration};

use async_recursion::async_recursion as boxed;
use futures::TryStreamExt;
use mongodb::{
    bson::{
        self, Bson, DateTime, Document, RawArrayBuf, RawBson, RawBsonRef, RawDocument, RawDocumentBuf, cstr, doc,
        raw::CStr, rawdoc,
    },
    options::IndexOptions,
};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::{
    ANSWER_TIMEOUT, Error, MAX_TIME, Moment, Store,
    index::{index, index_with},
    json, run, writer,
};

pub(crate) const COLLECTION: &str = "jobs";
/// How long a job is remembered after its end.
const KEPT: Duration = Duration::from_secs(90 * 24 * 3600);
/// A larger payload is left out.
const MOST_PAYLOAD: usize = 64 << 10;
/// The most words of errors that a job is found by.
const MOST_WORDS: usize = 100;
const WORD_LENGTHS: std::ops::RangeInclusive<usize> = 2..=40;

/// A job that has ended.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PastJob {
    /// A UUIDv7 as lower-case text.
    #[serde(rename = "_id")]
    pub id: String,
    /// What it did.
    pub kind: String,
    /// Where it waited.
    pub queue: String,
    /// Whom it belongs to.
    pub tenant: String,
    /// How it ended.
    pub state: String,
    /// How urgent it was.
    pub priority: String,
    /// As it was given; null when it is larger than 64 KB.
    #[serde(skip)]
    pub payload: Value,
    /// The payload's text, where it has numbers that the value cannot hold as they were given.
    #[serde(skip)]
    pub payload_text: Option<String>,
    /// As it was given.
    #[serde(skip)]
    pub metadata: Value,
    /// As for the payload.
    #[serde(skip)]
    pub metadata_text: Option<String>,
    /// No other job of its tenant had this key while it was under way.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unique_key: Option<String>,
    /// When it was taken.
    pub created_at: Moment,
    /// When it might run.
    pub run_at: Moment,
    /// When its last attempt began.
    pub started_at: Option<Moment>,
    /// When it ended.
    pub finished_at: Moment,
    /// When it was no longer worth running.
    pub expires_at: Option<Moment>,
    /// Its last attempt.
    pub attempt: u32,
    /// How many attempts might fail.
    pub max_attempts: u32,
    /// How often a worker died with it.
    pub crashes: u32,
    /// How long one attempt might run.
    pub timeout_s: u64,
    /// The last ones.
    pub attempts: Vec<PastAttempt>,
    /// How often it was put off; absent in what older releases wrote.
    #[serde(default)]
    pub snoozes: Option<PastSnoozes>,
    /// Who made the result.
    pub provider: Option<String>,
    /// Whether a stand-in made it.
    pub degraded: bool,
    /// Why a stand-in made it.
    pub degraded_reason: Option<String>,
    /// The collection that holds its result.
    pub stored_in: Option<String>,
    /// What its handler reported last.
    #[serde(default)]
    pub progress: Option<PastProgress>,
}

/// How far a job was.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PastProgress {
    /// 0 to 100.
    pub percent: u8,
    /// What it was doing.
    pub message: String,
}

/// How often a job was put off without fault.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PastSnoozes {
    /// How often.
    pub count: u32,
    /// Why, the last time.
    pub last_code: Option<String>,
    /// When, the last time.
    pub last_at: Option<Moment>,
}

/// One attempt of a job.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PastAttempt {
    /// Counts from 1.
    pub number: u32,
    /// Who ran it.
    pub worker: String,
    /// When it began.
    pub started_at: Moment,
    /// When it ended.
    pub finished_at: Option<Moment>,
    /// How it ended.
    pub outcome: Option<String>,
    /// Why it failed.
    pub error: Option<PastError>,
}

/// Why an attempt failed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PastError {
    /// Stable code.
    pub code: String,
    /// Text for people.
    pub message: String,
    /// Equal for errors of the same kind.
    pub fingerprint: String,
}

/// Which jobs are looked for; what is absent or empty does not matter.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PastQuery {
    /// Only of this tenant.
    pub tenant: Option<String>,
    /// Only of these kinds.
    pub kinds: Vec<String>,
    /// Only in these states.
    pub states: Vec<String>,
    /// Only those created at this time or later, in Unix milliseconds.
    pub created_from_ms: Option<u64>,
    /// Only those created at this time or before, in Unix milliseconds.
    pub created_to_ms: Option<u64>,
    /// Only with this unique key; name the tenant too.
    pub unique_key: Option<String>,
    /// Only those whose errors have all these words, as [`words`] gives them.
    pub words: Vec<String>,
    /// Only those listed behind this id.
    pub after: Option<String>,
}

/// A page of jobs, the newest first.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct PastPage {
    /// The jobs; maybe fewer than were asked for, although more follow.
    pub jobs: Vec<PastJob>,
    /// The `after` of the next page; absent on the last.
    pub next: Option<String>,
}

/// The words of a text that jobs are found by: letters and digits, in lower case, each once.
#[must_use]
pub fn words(text: &str) -> Vec<String> {
    let mut words = Vec::new();
    for word in text.split(|character: char| !character.is_alphanumeric()) {
        let word = word.to_lowercase();
        if WORD_LENGTHS.contains(&word.chars().count()) && !words.contains(&word) {
            words.push(word);
        }
    }
    words
}

impl Store {
    /// Remembers jobs that have ended. May be repeated: of one job, the later end stays. Returns the ids of those that can never
    /// be stored, with the reason.
    ///
    /// # Errors
    /// [`Error::Unavailable`] or [`Error::Misconfigured`] when some may not have been stored; the same call may be repeated.
    #[boxed]
    pub async fn record_jobs(&self, jobs: Vec<PastJob>) -> Result<Vec<(String, String)>, Error> {
        let mut refused = Vec::new();
        let mut documents = Vec::new();
        let mut n_bytes = 0;
        for job in jobs {
            let document = match document(&job) {
                Ok(document) => document,
                Err(error) => {
                    refused.push((job.id, error.to_string()));
                    continue;
                }
            };
            let size = document.as_bytes().len();
            if size > writer::LARGEST {
                refused.push((
                    job.id,
                    format!("the document has {size} bytes, MongoDB takes at most {}", writer::LARGEST),
                ));
                continue;
            }
            if n_bytes + size > writer::MOST_BYTES {
                self.record(std::mem::take(&mut documents), &mut refused).await?;
                n_bytes = 0;
            }
            n_bytes += size;
            documents.push(document);
        }
        self.record(documents, &mut refused).await?;
        Ok(refused)
    }

    async fn record(&self, documents: Vec<RawDocumentBuf>, refused: &mut Vec<(String, String)>) -> Result<(), Error> {
        if documents.is_empty() {
            return Ok(());
        }
        let ids: Vec<String> = documents.iter().map(id).collect();
        let mut again = Vec::new();
        for (id, written) in ids.into_iter().zip(writer::insert(&self.database, COLLECTION, documents).await) {
            match written {
                Ok(None) => {}
                Ok(Some(document)) => again.push(document),
                Err(Error::Refused { reason, .. }) => refused.push((id, reason)),
                Err(error) => return Err(error),
            }
        }
        self.record_again(again, refused).await
    }

    /// Those of which an end is remembered: the later one stays.
    async fn record_again(
        &self,
        documents: Vec<RawDocumentBuf>,
        refused: &mut Vec<(String, String)>,
    ) -> Result<(), Error> {
        if documents.is_empty() {
            return Ok(());
        }
        let ids: Vec<String> = documents.iter().map(id).collect();
        let statements = documents.iter().map(|document| {
            // A later end is in nobody's way: then no document matches, and none can be added under the same id.
            let finished_at = document.get_datetime("finished_at").unwrap_or(DateTime::MAX);
            rawdoc! { "q": { "_id": id(document), "finished_at": { "$lte": finished_at } }, "u": document.clone(), "upsert": true }
        });
        let written = writer::update(&self.database, COLLECTION, statements.collect()).await;
        for (id, written) in ids.into_iter().zip(written) {
            match written {
                Ok(_) => {}
                Err(Error::Refused { reason, .. }) => refused.push((id, reason)),
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// A job that has ended, if it is remembered.
    ///
    /// # Errors
    /// [`Error::Unavailable`] when it may work later, [`Error::Refused`] when the document was damaged.
    #[boxed]
    pub async fn past_job(&self, id: &str) -> Result<Option<PastJob>, Error> {
        let what = format!("read job {id} from {COLLECTION}");
        let collection = self.collection(COLLECTION).clone_with_type::<RawDocumentBuf>();
        let filter = doc! { "_id": id };
        let find = async move { collection.find_one(filter).max_time(MAX_TIME).await };
        let document = run(what.clone(), ANSWER_TIMEOUT, find).await?;
        document.map(|document| read(&document).map_err(|reason| Error::Refused { what, reason })).transpose()
    }

    /// Which of these jobs have ended, as far as the history is written.
    ///
    /// # Errors
    /// [`Error::Unavailable`] when it may work later.
    #[boxed]
    pub async fn ended(&self, ids: &[String]) -> Result<HashSet<String>, Error> {
        let collection = self.collection(COLLECTION);
        let filter = doc! { "_id": { "$in": ids } };
        let find = async move {
            let found = collection.find(filter).projection(doc! { "_id": 1 }).max_time(MAX_TIME).await?;
            found.try_collect::<Vec<Document>>().await
        };
        let found = run(format!("look for {} jobs in {COLLECTION}", ids.len()), ANSWER_TIMEOUT, find).await?;
        Ok(found.iter().filter_map(|document| document.get_str("_id").ok().map(str::to_owned)).collect())
    }

    /// Jobs that have ended, the last created first. Looks at `limit` documents at most, each found by an index, if all kinds
    /// and states are named or one of the other fields is.
    ///
    /// # Errors
    /// [`Error::Unavailable`] when it may work later, [`Error::Refused`] when a document was damaged.
    #[boxed]
    pub async fn past_jobs(&self, query: &PastQuery, limit: usize) -> Result<PastPage, Error> {
        let what = format!("list jobs of {COLLECTION}");
        let collection = self.collection(COLLECTION).clone_with_type::<RawDocumentBuf>();
        let filter = filter(query);
        // One more than needed tells whether there is a next page.
        let n = i64::try_from(limit).unwrap_or(i64::MAX).saturating_add(1);
        let find = async move {
            let found = collection.find(filter).sort(doc! { "_id": -1 }).limit(n).max_time(MAX_TIME).await?;
            found.try_collect::<Vec<_>>().await
        };
        let mut documents = run(what.clone(), ANSWER_TIMEOUT, find).await?;
        let more = documents.len() > limit;
        documents.truncate(limit);
        let last = documents.last().and_then(|last| last.get_str("_id").ok()).map(str::to_owned);
        let matching = documents.into_iter().filter(|document| matches(document, query));
        let jobs =
            matching.map(|document| read(&document).map_err(|reason| Error::Refused { what: what.clone(), reason }));
        Ok(PastPage { jobs: jobs.collect::<Result<_, _>>()?, next: last.filter(|_| more) })
    }

    pub(crate) async fn prepare_history(&self) -> Result<(), Error> {
        let sparse = |name: &str, keys: Document, field: &str| {
            let there = doc! { field: { "$exists": true } };
            index_with(name, keys, IndexOptions::builder().partial_filter_expression(there).build())
        };
        let kept = IndexOptions::builder().expire_after(KEPT).build();
        let indexes = [
            index_with("kept", doc! { "finished_at": 1 }, kept),
            index("list", doc! { "kind": 1, "state": 1, "_id": -1 }),
            index("tenant_list", doc! { "tenant": 1, "kind": 1, "state": 1, "_id": -1 }),
            sparse("unique_key", doc! { "tenant": 1, "unique_key": 1, "_id": -1 }, "unique_key"),
            sparse("fingerprint", doc! { "fingerprint": 1, "_id": -1 }, "fingerprint"),
            sparse("words", doc! { "words": 1, "_id": -1 }, "words"),
            sparse("tenant_words", doc! { "tenant": 1, "words": 1, "_id": -1 }, "words"),
        ];
        self.create_indexes(COLLECTION, indexes).await
    }
}

fn id(document: &RawDocumentBuf) -> String {
    document.get_str("_id").unwrap_or_default().to_owned()
}

fn document(job: &PastJob) -> bson::error::Result<RawDocumentBuf> {
    let mut document = bson::serialize_to_raw_document_buf(job)?;
    let errors: Vec<&PastError> = job.attempts.iter().filter_map(|attempt| attempt.error.as_ref()).collect();
    if let Some(last) = errors.last() {
        document.append(cstr!("fingerprint"), last.fingerprint.as_str());
        // The last error's words come first, should there be too many.
        let text: Vec<String> = errors.iter().rev().map(|error| format!("{} {}", error.code, error.message)).collect();
        let mut words = words(&text.join(" "));
        words.truncate(MOST_WORDS);
        document.append(cstr!("words"), words.iter().map(String::as_str).collect::<RawArrayBuf>());
    }
    let payload = Exact::of(&job.payload, job.payload_text.as_deref());
    if payload.length_at_most(MOST_PAYLOAD, &job.payload) {
        payload.append_to(&mut document, (cstr!("payload"), cstr!("payload_json")));
    }
    let metadata = Exact::of(&job.metadata, job.metadata_text.as_deref());
    metadata.append_to(&mut document, (cstr!("metadata"), cstr!("metadata_json")));
    Ok(document)
}

/// JSON as a document keeps it: as BSON, or as its text where that says more.
enum Exact<'a> {
    Bson(RawBson),
    Text(Cow<'a, str>),
}

impl<'a> Exact<'a> {
    fn of(value: &Value, text: Option<&'a str>) -> Self {
        if let Some(text) = text {
            return Self::Text(text.into());
        }
        json::to_raw(value).map_or_else(|| Self::Text(value.to_string().into()), Self::Bson)
    }

    /// Whether the text of `value`, which this is of, has at most so many bytes.
    fn length_at_most(&self, most: usize, value: &Value) -> bool {
        match self {
            Self::Text(text) => text.len() <= most,
            // In a text a byte becomes at most six, so that a small one need not be written to be measured.
            Self::Bson(RawBson::Document(document)) if document.as_bytes().len() <= most / 6 => true,
            Self::Bson(_) => json::length(value) <= most,
        }
    }

    fn append_to(self, document: &mut RawDocumentBuf, (name, as_text): (&CStr, &CStr)) {
        match self {
            Self::Bson(value) => document.append(name, value),
            Self::Text(text) => document.append(as_text, text.as_ref()),
        }
    }
}

/// The value and, where it was kept as text that says more, that.
fn exact(document: &RawDocument, field: &str) -> Result<(Value, Option<String>), String> {
    let as_text = format!("{field}_json");
    match document.get(&as_text).map_err(|error| error.to_string())? {
        Some(RawBsonRef::String(text)) => Ok(match serde_json::from_str::<Value>(text) {
            Ok(value) => {
                let plain = value.to_string();
                (value, Some(text).filter(|text| *text != plain).map(str::to_owned))
            }
            // Some numbers are too large for a value.
            Err(_) => (Value::Null, Some(text.to_owned())),
        }),
        Some(other) => Err(format!("{as_text} is no text but {:?}", other.element_type())),
        None => {
            let value = document.get(field).map_err(|error| error.to_string())?;
            Ok((value.map_or(Ok(Value::Null), json::from_raw)?, None))
        }
    }
}

pub(crate) fn insert_json(document: &mut Document, field: &str, value: &Value) {
    match json::to_bson(value) {
        Some(bson) => document.insert(field, bson),
        None => document.insert(format!("{field}_json"), value.to_string()),
    };
}

pub(crate) fn take_json(document: &mut Document, field: &str) -> Result<Value, String> {
    match document.remove(format!("{field}_json")) {
        Some(Bson::String(text)) => {
            serde_json::from_str(&text).map_err(|error| format!("{field}_json is no JSON: {error}"))
        }
        Some(other) => Err(format!("{field}_json is no text but {:?}", other.element_type())),
        None => Ok(document.remove(field).map_or(Value::Null, json::from_bson)),
    }
}

fn read(document: &RawDocument) -> Result<PastJob, String> {
    let (payload, payload_text) = exact(document, "payload")?;
    let (metadata, metadata_text) = exact(document, "metadata")?;
    let job: PastJob = bson::deserialize_from_slice(document.as_bytes()).map_err(|error| error.to_string())?;
    Ok(PastJob { payload, payload_text, metadata, metadata_text, ..job })
}

/// What [`filter`] leaves to be looked at.
fn matches(document: &RawDocument, query: &PastQuery) -> bool {
    let among = |field, allowed: &[String]| {
        let value = document.get_str(field).unwrap_or_default();
        allowed.is_empty() || allowed.iter().any(|other| other == value)
    };
    let words = document.get_array("words").ok();
    let has = |word: &String| {
        words.into_iter().flatten().any(|other| other.is_ok_and(|other| other.as_str() == Some(word.as_str())))
    };
    among("kind", &query.kinds) && among("state", &query.states) && query.words.iter().all(has)
}

/// What an index can answer. The rest is left to [`matches`], so that a page looks at no more documents than it was told to.
fn filter(query: &PastQuery) -> Document {
    let mut filter = Document::new();
    if let Some(tenant) = &query.tenant {
        filter.insert("tenant", tenant);
    }
    let by_list = query.unique_key.is_none() && query.words.is_empty();
    for (field, allowed) in [("kind", &query.kinds), ("state", &query.states)] {
        if by_list && !allowed.is_empty() {
            filter.insert(field, doc! { "$in": allowed });
        }
    }
    if let Some(key) = &query.unique_key {
        filter.insert("unique_key", key);
    }
    // The longest is likely the rarest.
    if let Some(word) = query.words.iter().max_by_key(|word| word.len()) {
        filter.insert("words", word);
    }
    let mut ids = Document::new();
    if let Some(from_ms) = query.created_from_ms {
        ids.insert("$gte", first_id(from_ms));
    }
    let before = query.created_to_ms.map(|to_ms| first_id(to_ms.saturating_add(1)));
    if let Some(before) = before.into_iter().chain(query.after.clone()).min() {
        ids.insert("$lt", before);
    }
    if !ids.is_empty() {
        filter.insert("_id", ids);
    }
    filter
}

/// A text that is not after any id made at this time, and after all that were made before.
fn first_id(ms: u64) -> String {
    let ms = ms.min((1 << 48) - 1);
    format!("{:08x}-{:04x}", ms >> 16, ms & 0xffff)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    /// A job as release 496559a (November 2026) wrote it, which counted snoozes among the attempts.
    const DOCUMENT: &str = "\
        8b040000025f6964002500000030313939633832392d313030302d373030312d383030302d30303030303030303030303100026b696e640008000000\
        636f6e74656e74000271756575650008000000636f6e74656e74000274656e616e74000500000061636d6500027374617465000a0000007375636365\
        6564656400027072696f7269747900040000006c6f770002756e697175655f6b657900090000006f726465722d31370009637265617465645f617400\
        00c02cc8990100000972756e5f61740060aa2dc89901000009737461727465645f617400901f2ec8990100000966696e69736865645f61740078232e\
        c89901000009657870697265735f61740080ae63c89901000010617474656d70740002000000106d61785f617474656d707473000700000010637261\
        7368657300010000001274696d656f75745f73005a0000000000000004617474656d7074730006020000033000c0000000106e756d62657200010000\
        0002776f726b65720009000000686f73742d312f370009737461727465645f61740048ae2dc8990100000966696e69736865645f61740030b22dc899\
        010000026f7574636f6d650006000000726574727900036572726f72005700000002636f6465000d000000726174655f6c696d6974656400026d6573\
        73616765000c0000006f70656e61693a20343239000266696e6765727072696e74001100000039663263356431653061376233633438000000033100\
        cb000000106e756d626572000200000002776f726b65720009000000686f73742d322f390009737461727465645f61740080f82dc899010000096669\
        6e69736865645f61740068fc2dc899010000026f7574636f6d650008000000736e6f6f7a656400036572726f72006000000002636f64650012000000\
        73746f72655f756e617661696c61626c6500026d65737361676500100000006d6f6e676f64622069732061776179000266696e6765727072696e7400\
        11000000396632633564316530613762336334380000000332006d000000106e756d626572000200000002776f726b65720009000000686f73742d32\
        2f390009737461727465645f617400901f2ec8990100000966696e69736865645f61740078232ec899010000026f7574636f6d65000a000000737563\
        636565646564000a6572726f720000000270726f766964657200050000006d6f636b0008646567726164656400010264656772616465645f72656173\
        6f6e00150000006f70656e61693a206f7574206f662071756f7461000273746f7265645f696e0009000000636f6e74656e7473000370726f67726573\
        7300260000001070657263656e740064000000026d657373616765000700000073746f72656400000266696e6765727072696e740011000000396632\
        633564316530613762336334380004776f726473001e0000000230001200000073746f72655f756e617661696c61626c650000037061796c6f616400\
        24000000026e616d6500060000004bc3a473650001707269636500000000000000124000026d657461646174615f6a736f6e001b0000007b226e223a\
        31383434363734343037333730393535313631357d0000";

    #[test]
    fn a_document_of_an_older_release_is_read() {
        let bytes: Vec<u8> =
            (0..DOCUMENT.len()).step_by(2).map(|at| u8::from_str_radix(&DOCUMENT[at..at + 2], 16).unwrap()).collect();
        let job = read(&RawDocumentBuf::from_bytes(bytes).unwrap()).unwrap();
        assert_eq!((job.id.as_str(), job.state.as_str()), ("0199c829-1000-7001-8000-000000000001", "succeeded"));
        assert_eq!((&job.payload, job.payload_text), (&json!({ "name": "Käse", "price": 4.5 }), None));
        assert_eq!(job.metadata, json!({ "n": u64::MAX }), "kept as text, because BSON has no such number");
        assert_eq!((job.unique_key.as_deref(), job.timeout_s, job.max_attempts), (Some("order-17"), 90, 7));
        assert_eq!((job.finished_at.ms(), job.expires_at.unwrap().ms()), (1_760_000_091_000, 1_760_003_600_000));
        let outcomes: Vec<_> = job.attempts.iter().filter_map(|attempt| attempt.outcome.as_deref()).collect();
        assert_eq!((outcomes, job.snoozes), (vec!["retry", "snoozed", "succeeded"], None));
        assert_eq!(job.attempts[0].error.as_ref().unwrap().code, "rate_limited");
        assert_eq!(
            (job.provider.as_deref(), job.degraded, job.stored_in.as_deref()),
            (Some("mock"), true, Some("contents"))
        );
        assert_eq!(job.progress.unwrap().percent, 100);
    }

    #[test]
    fn a_job_is_written_as_it_was_read() {
        let bytes: Vec<u8> =
            (0..DOCUMENT.len()).step_by(2).map(|at| u8::from_str_radix(&DOCUMENT[at..at + 2], 16).unwrap()).collect();
        let old = RawDocumentBuf::from_bytes(bytes).unwrap();
        let mut job = read(&old).unwrap();
        let written = Document::try_from(document(&job).unwrap()).unwrap();
        let mut names: Vec<_> = written.keys().map(String::as_str).collect();
        assert_eq!(
            names.remove(names.iter().position(|name| *name == "snoozes").unwrap()),
            "snoozes",
            "newer than the rest"
        );
        let old = Document::try_from(old).unwrap();
        assert_eq!(names, old.keys().collect::<Vec<_>>());
        for name in ["_id", "unique_key", "finished_at", "timeout_s", "fingerprint", "payload", "metadata_json"] {
            assert_eq!(written.get(name), old.get(name), "{name}");
        }
        (job.unique_key, job.payload, job.metadata_text) = (None, json!({ "text": "x".repeat(MOST_PAYLOAD) }), None);
        let written = document(&job).unwrap();
        for name in ["unique_key", "payload", "payload_json", "metadata"] {
            assert!(written.get(name).unwrap().is_none(), "{name}");
        }
        assert_eq!(
            written.get_str("metadata_json").unwrap(),
            format!("{{\"n\":{}}}", u64::MAX),
            "BSON has no such number"
        );
        let back = read(&written).unwrap();
        assert_eq!(back, PastJob { payload: Value::Null, ..job });
    }

    #[test]
    fn words_are_letters_and_digits_in_lower_case_each_once() {
        assert_eq!(
            words("rate_limited openai: 429 Too Many (too many) requests"),
            ["rate", "limited", "openai", "429", "too", "many", "requests"]
        );
        assert!(words("a — ! \"").is_empty() && words(&"x".repeat(41)).is_empty());
        assert_eq!(words("Größe"), ["größe"]);
    }

    #[test]
    fn a_time_stands_before_the_ids_made_at_it_and_after_those_before() {
        let id = "0199a1b2-c3d4-7000-8000-000000000001";
        let ms = 0x0199_a1b2_c3d4;
        assert!(first_id(ms).as_str() <= id && id < first_id(ms + 1).as_str());
        assert!(first_id(u64::MAX).starts_with("ffffffff-ffff"));
    }
}
