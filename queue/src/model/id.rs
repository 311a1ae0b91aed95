//! Ids of jobs: UUIDv7 whose 12 bits after the version hold the number of the partition, and whose tenth byte holds the page.

use std::{
    fmt,
    sync::atomic::{AtomicU64, Ordering},
};

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use uuid::Uuid;

/// How many jobs, or milliseconds, before the next page.
const JOBS_A_PAGE: u64 = 1 << 16;
/// The byte of an id that holds its page.
const PAGE: usize = 9;

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

/// A text that is no id of ours.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("no such job")]
pub struct NoJobId;

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
    type Err = NoJobId;

    fn from_str(text: &str) -> Result<Self, NoJobId> {
        match Uuid::try_parse(text) {
            Ok(id) if id.get_version_num() == 7 => Ok(Self(id)),
            _ => Err(NoJobId),
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
