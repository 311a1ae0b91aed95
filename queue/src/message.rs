//! What is stored: the record of a job, the state that only some jobs have, and a finished job.
//!
//! A record is `version u8 · priority u8 · length of the options u16 LE · CRC-32 of the rest u32 LE · options · payload`.
//! The options are a MessagePack map of what differs from the kind's defaults (none: no byte), the payload is JSON as it
//! came. Scripts read the priority, where a job becomes ready again, and `unhold.lua` the version; nothing else. An id is a UUIDv7
//! whose 12 bits after the version hold the number of the partition, and whose tenth byte holds the page.

use std::{
    fmt,
    sync::atomic::{AtomicU64, Ordering},
};

use serde::{Deserialize, Serialize};
use serde_bytes::ByteBuf;
use serde_json::{Map, Value};
use sha2::{Digest, Sha256};
use uuid::Uuid;

use crate::{
    error::Error,
    json::Json,
    outcome::{Failure, Success},
    progress::Reports,
    unique::Unique,
};

/// The envelope version that this release writes, and the newest that it reads.
pub const ENVELOPE_VERSION: u8 = 1;
const HEADER: usize = 8;
/// How many jobs, or milliseconds, before the next page.
const JOBS_A_PAGE: u64 = 1 << 16;
/// The byte of an id that holds its page.
const PAGE: usize = 9;
/// Only the last so many attempts of a job are kept in full.
const ATTEMPTS_KEPT: usize = 20;
/// The longest error text that is kept, in characters.
const MESSAGE_KEPT: usize = 2_000;

/// The id of a job.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct JobId(Uuid);

impl JobId {
    /// A new id in the partition `number`, created at `now_ms` (Unix milliseconds).
    ///
    /// Its page changes after so many ids of this process, and about every minute: then a page has the jobs of one time, and is as
    /// small and as close together in memory however many jobs wait.
    pub(crate) fn new(partition: u16, now_ms: u64) -> Self {
        static MADE: AtomicU64 = AtomicU64::new(0);
        let page = (now_ms / JOBS_A_PAGE + MADE.fetch_add(1, Ordering::Relaxed) / JOBS_A_PAGE) as u8;
        let random = Uuid::new_v4().into_bytes();
        let mut bytes = [0; 16];
        bytes[..6].copy_from_slice(&now_ms.to_be_bytes()[2..]);
        bytes[6] = 0x70 | (partition >> 8) as u8;
        bytes[7] = (partition & 0xff) as u8;
        bytes[8..].copy_from_slice(&random[8..]);
        bytes[PAGE] = page;
        Self(Uuid::from_bytes(bytes))
    }

    /// The id in the partition `number` that always is the same for this `name` and time (Unix milliseconds), which is also
    /// when it was created.
    pub(crate) fn fixed(partition: u16, name: &str, at_ms: u64) -> Self {
        let mut bytes = [0; 16];
        bytes[8..].copy_from_slice(&Sha256::digest(name)[..8]);
        bytes[..6].copy_from_slice(&at_ms.to_be_bytes()[2..]);
        bytes[6] = 0x70 | (partition >> 8) as u8;
        bytes[7] = (partition & 0xff) as u8;
        // The variant of RFC 9562.
        bytes[8] = 0x80 | bytes[8] & 0x3f;
        bytes[PAGE] = (at_ms / JOBS_A_PAGE) as u8;
        Self(Uuid::from_bytes(bytes))
    }

    /// The partition's number.
    pub(crate) fn partition(self) -> u16 {
        let bytes = self.0.as_bytes();
        u16::from(bytes[6] & 0x0f) << 8 | u16::from(bytes[7])
    }

    /// Which of the hashes of records has the job.
    pub(crate) fn page(self) -> u8 {
        self.0.as_bytes()[PAGE]
    }

    /// When the id was made, in Unix milliseconds.
    #[must_use]
    pub fn created_ms(self) -> u64 {
        let bytes = self.0.as_bytes();
        bytes[..6].iter().fold(0, |ms, byte| ms << 8 | u64::from(*byte))
    }

    pub(crate) fn as_bytes(&self) -> &[u8; 16] {
        self.0.as_bytes()
    }

    /// Its text without hyphens.
    pub(crate) fn as_hex(&self) -> uuid::fmt::Simple {
        self.0.simple()
    }

    pub(crate) fn from_slice(bytes: &[u8]) -> Option<Self> {
        Uuid::from_slice(bytes).ok().map(Self)
    }
}

impl From<JobId> for Uuid {
    fn from(id: JobId) -> Self {
        id.0
    }
}

impl From<Uuid> for JobId {
    fn from(id: Uuid) -> Self {
        Self(id)
    }
}

impl std::str::FromStr for JobId {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        match Uuid::try_parse(text) {
            Ok(id) if id.get_version_num() == 7 => Ok(Self(id)),
            _ => Err(Error::NotFound),
        }
    }
}

impl fmt::Display for JobId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Debug for JobId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// How urgent a job is. Strict, but every 16th claim starts from the lowest.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Priority {
    /// Before all others.
    High,
    /// The default.
    #[default]
    Normal,
    /// After normal.
    Low,
    /// When nothing else waits.
    Bulk,
}

impl Priority {
    /// All of them, most urgent first.
    pub const ALL: [Self; 4] = [Self::High, Self::Normal, Self::Low, Self::Bulk];

    fn from_byte(byte: u8) -> Option<Self> {
        Self::ALL.get(usize::from(byte)).copied()
    }
}

/// The state of a job.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum State {
    /// Waits for its time.
    Scheduled,
    /// Waits for a worker.
    Ready,
    /// A worker has it.
    Running,
    /// Failed, and waits for its next attempt.
    Retrying,
    /// A later node of a flow.
    Waiting,
    /// Done.
    Succeeded,
    /// Failed for good; can be replayed.
    Dead,
    /// Stopped by someone.
    Cancelled,
    /// Its `expires_at` passed before it was run.
    Expired,
}

impl State {
    /// Whether the job has come to an end.
    #[must_use]
    pub fn is_finished(self) -> bool {
        matches!(self, Self::Succeeded | Self::Dead | Self::Cancelled | Self::Expired)
    }

    /// Its name in the API.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Scheduled => "scheduled",
            Self::Ready => "ready",
            Self::Running => "running",
            Self::Retrying => "retrying",
            Self::Waiting => "waiting",
            Self::Succeeded => "succeeded",
            Self::Dead => "dead",
            Self::Cancelled => "cancelled",
            Self::Expired => "expired",
        }
    }
}

/// A job to push.
#[derive(Debug, Clone)]
pub struct NewJob {
    /// The kind, which is also the queue.
    pub kind: String,
    /// Who it belongs to.
    pub tenant: String,
    /// The payload as JSON text, at most 1 MB.
    pub payload: Vec<u8>,
    /// How urgent it is.
    pub priority: Priority,
    /// Not before this time, in Unix milliseconds. Past or absent: now.
    pub run_at_ms: Option<u64>,
    /// Not after this time, in Unix milliseconds.
    pub expires_at_ms: Option<u64>,
    /// Overrides the kind's default.
    pub max_attempts: Option<u32>,
    /// Overrides the kind's default.
    pub timeout_s: Option<u64>,
    /// Overrides the kind's default.
    pub allow_fallback: Option<bool>,
    /// Whatever the caller wants to find again, at most 16 KB.
    pub metadata: Json,
    /// W3C trace context of the caller.
    pub traceparent: Option<String>,
    /// That it shall be the only one of its key: for [`crate::Client::submit`].
    pub unique: Option<Unique>,
}

impl NewJob {
    /// A job of `kind` for the tenant `default`, at once, with the kind's defaults.
    pub fn new(kind: impl Into<String>, payload: impl Into<Vec<u8>>) -> Self {
        Self {
            kind: kind.into(),
            tenant: DEFAULT_TENANT.to_owned(),
            payload: payload.into(),
            priority: Priority::default(),
            run_at_ms: None,
            expires_at_ms: None,
            max_attempts: None,
            timeout_s: None,
            allow_fallback: None,
            metadata: Json::from(Value::Object(Map::new())),
            traceparent: None,
            unique: None,
        }
    }
}

/// The tenant of a token that names none.
pub const DEFAULT_TENANT: &str = "default";

/// What differs from the kind's defaults. The names are short because every waiting job carries them.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Options {
    #[serde(rename = "t", default, skip_serializing_if = "Option::is_none")]
    pub(crate) tenant: Option<String>,
    #[serde(rename = "r", default, skip_serializing_if = "Option::is_none")]
    pub(crate) run_at_ms: Option<u64>,
    #[serde(rename = "e", default, skip_serializing_if = "Option::is_none")]
    pub(crate) expires_at_ms: Option<u64>,
    #[serde(rename = "a", default, skip_serializing_if = "Option::is_none")]
    pub(crate) max_attempts: Option<u32>,
    #[serde(rename = "s", default, skip_serializing_if = "Option::is_none")]
    pub(crate) timeout_s: Option<u64>,
    #[serde(rename = "f", default, skip_serializing_if = "Option::is_none")]
    pub(crate) allow_fallback: Option<bool>,
    #[serde(rename = "m", default, skip_serializing_if = "Option::is_none")]
    pub(crate) metadata: Option<Map<String, Value>>,
    /// The metadata's text instead, where it has numbers that the field above cannot hold as they were given.
    #[serde(rename = "x", default, skip_serializing_if = "Option::is_none")]
    pub(crate) exact_metadata: Option<String>,
    #[serde(rename = "p", default, skip_serializing_if = "Option::is_none")]
    pub(crate) traceparent: Option<String>,
    #[serde(rename = "u", default, skip_serializing_if = "Option::is_none")]
    pub(crate) unique_key: Option<String>,
}

/// The record of a job, as every waiting job has it.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Record {
    pub(crate) priority: Priority,
    pub(crate) options: Options,
    pub(crate) payload: Vec<u8>,
}

impl Record {
    pub(crate) fn new(job: NewJob, now_ms: u64) -> Self {
        let options = Options {
            tenant: (job.tenant != DEFAULT_TENANT).then_some(job.tenant),
            run_at_ms: job.run_at_ms.filter(|at| *at > now_ms),
            expires_at_ms: job.expires_at_ms,
            max_attempts: job.max_attempts,
            timeout_s: job.timeout_s,
            allow_fallback: job.allow_fallback,
            exact_metadata: job.metadata.exact().map(str::to_owned),
            metadata: match job.metadata.exact() {
                Some(_) => None,
                None => job.metadata.as_object().filter(|metadata| !metadata.is_empty()).cloned(),
            },
            traceparent: job.traceparent,
            unique_key: job.unique.map(|unique| unique.key),
        };
        Self { priority: job.priority, options, payload: job.payload }
    }

    pub(crate) fn encode(&self) -> Result<Vec<u8>, Error> {
        let options = if self.options == Options::default() {
            Vec::new()
        } else {
            rmp_serde::to_vec_named(&self.options).map_err(|e| Error::Invalid(format!("options: {e}")))?
        };
        let length = u16::try_from(options.len())
            .map_err(|_| Error::Invalid(format!("options and metadata take {} bytes, at most 65535", options.len())))?;
        let mut bytes = Vec::with_capacity(HEADER + options.len() + self.payload.len());
        bytes.extend([ENVELOPE_VERSION, self.priority as u8]);
        bytes.extend(length.to_le_bytes());
        bytes.extend([0; 4]);
        bytes.extend(options);
        bytes.extend(&self.payload);
        let sum = crc32fast::hash(&bytes[HEADER..]);
        bytes[4..HEADER].copy_from_slice(&sum.to_le_bytes());
        Ok(bytes)
    }

    pub(crate) fn decode(bytes: &[u8]) -> Result<Self, Error> {
        let broken = |what: &str| Error::Corrupt(format!("{what}, in a record of {} bytes", bytes.len()));
        let header = bytes.get(..HEADER).ok_or_else(|| broken("too short"))?;
        if header[0] != ENVELOPE_VERSION {
            return Err(broken(&format!("envelope version {} is not {ENVELOPE_VERSION}", header[0])));
        }
        let priority = Priority::from_byte(header[1]).ok_or_else(|| broken("unknown priority"))?;
        let length = usize::from(u16::from_le_bytes([header[2], header[3]]));
        let sum = u32::from_le_bytes([header[4], header[5], header[6], header[7]]);
        let rest = &bytes[HEADER..];
        if crc32fast::hash(rest) != sum {
            return Err(broken("checksum does not match"));
        }
        let options = match rest.get(..length).ok_or_else(|| broken("options cut off"))? {
            [] => Options::default(),
            options => rmp_serde::from_slice(options).map_err(|e| broken(&e.to_string()))?,
        };
        Ok(Self { priority, options, payload: rest[length..].to_vec() })
    }

    /// Whether a newer release wrote it.
    pub(crate) fn is_newer(bytes: &[u8]) -> bool {
        bytes.len() >= HEADER && bytes[0] > ENVELOPE_VERSION
    }

    pub(crate) fn metadata(&self) -> Json {
        let exact = self.options.exact_metadata.as_deref().and_then(|text| Json::read(text.as_bytes()).ok());
        exact.unwrap_or_else(|| Value::Object(self.options.metadata.clone().unwrap_or_default()).into())
    }

    pub(crate) fn tenant(&self) -> &str {
        self.options.tenant.as_deref().unwrap_or(DEFAULT_TENANT)
    }
}

/// How an attempt ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AttemptOutcome {
    /// Done.
    Succeeded,
    /// Failed; another attempt follows.
    Retry,
    /// Put off without fault. Releases that counted these runs as attempts wrote it; it is read, and never shown or written.
    #[serde(skip_serializing)]
    Snoozed,
    /// Failed for good.
    Dead,
    /// Stopped by someone.
    Cancelled,
    /// Ran longer than its timeout.
    TimedOut,
    /// Its worker died, or lost the lease.
    Crashed,
    /// Its worker shut down.
    HandedBack,
}

impl AttemptOutcome {
    pub(crate) fn uses_attempt(self) -> bool {
        matches!(self, Self::Retry | Self::TimedOut | Self::Dead | Self::Succeeded)
    }
}

/// Why an attempt failed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AttemptError {
    /// Stable code.
    pub code: String,
    /// Text for people.
    pub message: String,
    /// Equal for errors that differ only in ids, numbers and quoted text.
    pub fingerprint: String,
}

impl From<Failure> for AttemptError {
    fn from(failure: Failure) -> Self {
        let fingerprint = fingerprint(&failure);
        let message = match failure.message.char_indices().nth(MESSAGE_KEPT) {
            Some((end, _)) => format!("{}…", &failure.message[..end]),
            None => failure.message,
        };
        Self { code: failure.code, message, fingerprint }
    }
}

/// 64 bits of a hash over the code and the text without words that hold digits and without quoted parts.
fn fingerprint(failure: &Failure) -> String {
    use sha2::{Digest, Sha256};
    let unquoted: String = failure.message.split('"').step_by(2).collect();
    let words = unquoted.split_whitespace().filter(|word| !word.contains(|c: char| c.is_ascii_digit()));
    let mut hash = Sha256::new();
    hash.update(&failure.code);
    for word in words {
        hash.update(b" ");
        hash.update(word);
    }
    hash.finalize().iter().take(8).map(|byte| format!("{byte:02x}")).collect()
}

/// One run of a job, as it is stored.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Attempt {
    #[serde(rename = "n")]
    pub(crate) number: u32,
    #[serde(rename = "w")]
    pub(crate) worker: String,
    #[serde(rename = "s")]
    pub(crate) started_ms: u64,
    #[serde(rename = "f")]
    pub(crate) finished_ms: u64,
    #[serde(rename = "o")]
    pub(crate) outcome: AttemptOutcome,
    #[serde(rename = "e", default, skip_serializing_if = "Option::is_none")]
    pub(crate) error: Option<AttemptError>,
    /// How many steps (see [`History::steps`]) the job had made before it. Set by [`History::add`].
    #[serde(rename = "i", default)]
    pub(crate) step: u32,
    /// When someone made the job ready for it. Set by [`History::add`].
    #[serde(rename = "v", default, skip_serializing_if = "Option::is_none")]
    pub(crate) revived_ms: Option<u64>,
    /// The job was dead after it. Told by the outcome too, but for those that others may follow.
    #[serde(rename = "d", default, skip_serializing_if = "std::ops::Not::not")]
    pub(crate) died: bool,
}

/// How often a job was put off without fault: runs that are no attempts.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Snoozed {
    #[serde(rename = "n")]
    pub(crate) count: u32,
    /// Why, the last time.
    #[serde(rename = "c")]
    pub(crate) last_code: String,
    #[serde(rename = "t")]
    pub(crate) last_ms: u64,
    /// How many steps (see [`History::steps`]) the job had made before that run.
    #[serde(rename = "i", default)]
    pub(crate) last_step: u32,
}

/// What only jobs have that were run before or made ready again: sparse, so that the common job does not pay for it.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct History {
    /// Attempts that used up one of `max_attempts`.
    #[serde(rename = "u", default)]
    pub(crate) failures: u32,
    /// How often a worker died with it.
    #[serde(rename = "c", default)]
    pub(crate) crashes: u32,
    /// The last 20.
    #[serde(rename = "a", default)]
    pub(crate) attempts: Vec<Attempt>,
    /// When it is next due, while it is scheduled again or retrying.
    #[serde(rename = "d", default, skip_serializing_if = "Option::is_none")]
    pub(crate) due_ms: Option<u64>,
    /// A result that could not be stored yet.
    #[serde(rename = "r", default, skip_serializing_if = "Option::is_none")]
    pub(crate) draft: Option<ByteBuf>,
    /// Attempts of any outcome, and times that someone made the job ready again; also those no longer kept. Never falls, so
    /// that ids of events count from it.
    #[serde(rename = "i", default)]
    pub(crate) steps: u32,
    /// When someone made the job ready, if it was not run since.
    #[serde(rename = "v", default, skip_serializing_if = "Option::is_none")]
    pub(crate) revived_ms: Option<u64>,
    /// What handlers have reported.
    #[serde(rename = "p", default, skip_serializing_if = "Option::is_none")]
    pub(crate) reports: Option<Reports>,
    /// Absent when it was never put off.
    #[serde(rename = "z", default, skip_serializing_if = "Option::is_none")]
    pub(crate) snoozed: Option<Snoozed>,
}

impl History {
    pub(crate) fn add(&mut self, mut attempt: Attempt) {
        attempt.step = self.steps;
        attempt.revived_ms = self.revived_ms.take();
        self.steps += 1;
        if attempt.outcome.uses_attempt() && attempt.outcome != AttemptOutcome::Succeeded {
            self.failures += 1;
        }
        if attempt.outcome == AttemptOutcome::Crashed {
            self.crashes += 1;
        }
        self.attempts.push(attempt);
        let surplus = self.attempts.len().saturating_sub(ATTEMPTS_KEPT);
        self.attempts.drain(..surplus);
    }

    /// A run that put the job off.
    pub(crate) fn snooze(&mut self, code: &str, at_ms: u64) {
        self.count_snooze(code, at_ms, self.steps);
        self.steps += 1;
        self.revived_ms = None;
    }

    fn count_snooze(&mut self, code: &str, last_ms: u64, last_step: u32) {
        let count = self.snoozed.as_ref().map_or(0, |snoozed| snoozed.count).saturating_add(1);
        self.snoozed = Some(Snoozed { count, last_code: code.to_owned(), last_ms, last_step });
    }

    /// As it is since snoozes are no attempts: they had their place among these, and their steps stay.
    fn with_counted_snoozes(mut self) -> Self {
        let is_snooze = |attempt: &mut Attempt| attempt.outcome == AttemptOutcome::Snoozed;
        let snoozes: Vec<Attempt> = self.attempts.extract_if(.., is_snooze).collect();
        for snooze in snoozes {
            let code = snooze.error.map(|error| error.code).unwrap_or_default();
            self.count_snooze(&code, snooze.finished_ms, snooze.step);
        }
        self
    }

    /// Someone made the job ready again.
    pub(crate) fn revive(&mut self, now_ms: u64) {
        self.due_ms = None;
        self.steps += 1;
        self.revived_ms = Some(now_ms);
    }

    /// The number of the attempt that runs now or comes next.
    pub(crate) fn attempt(&self) -> u32 {
        self.failures + 1
    }

    pub(crate) fn draft(&self) -> Option<Success> {
        self.draft.as_ref().map(|draft| Success::new(draft.to_vec()))
    }

    pub(crate) fn encode(&self) -> Result<Vec<u8>, Error> {
        rmp_serde::to_vec_named(self).map_err(|e| Error::Invalid(format!("history of a job: {e}")))
    }

    /// The stored history; one that cannot be read counts as none, because losing it is better than losing the job.
    pub(crate) fn decode(bytes: Option<&[u8]>) -> Self {
        bytes.and_then(|bytes| rmp_serde::from_slice::<Self>(bytes).ok()).unwrap_or_default().with_counted_snoozes()
    }
}

/// A job that came to an end, as it is kept for its retention.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Finished {
    #[serde(rename = "q")]
    pub(crate) record: ByteBuf,
    #[serde(rename = "s")]
    pub(crate) state: State,
    #[serde(rename = "f")]
    pub(crate) finished_ms: u64,
    #[serde(rename = "b", default, skip_serializing_if = "Option::is_none")]
    pub(crate) started_ms: Option<u64>,
    /// Who ran it last.
    #[serde(rename = "w", default, skip_serializing_if = "Option::is_none")]
    pub(crate) worker: Option<String>,
    /// Absent when its only attempt succeeded.
    #[serde(rename = "h", default, skip_serializing_if = "Option::is_none")]
    pub(crate) history: Option<History>,
    /// See [`Success`].
    #[serde(rename = "r", default, skip_serializing_if = "Option::is_none")]
    pub(crate) success: Option<ByteBuf>,
    /// What the handler reported, when there is no history that has it.
    #[serde(rename = "p", default, skip_serializing_if = "Option::is_none")]
    pub(crate) reports: Option<Reports>,
    /// When its result was replaced by a better one.
    #[serde(rename = "x", default, skip_serializing_if = "Option::is_none")]
    pub(crate) replaced_ms: Option<u64>,
}

impl Finished {
    pub(crate) fn encode(&self) -> Result<Vec<u8>, Error> {
        rmp_serde::to_vec_named(self).map_err(|e| Error::Invalid(format!("finished job: {e}")))
    }

    pub(crate) fn decode(bytes: &[u8]) -> Result<Self, Error> {
        let finished: Self = rmp_serde::from_slice(bytes).map_err(|e| Error::Corrupt(format!("finished job: {e}")))?;
        Ok(Self { history: finished.history.map(History::with_counted_snoozes), ..finished })
    }
}
