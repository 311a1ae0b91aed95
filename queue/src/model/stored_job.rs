//! A job as it lies in Redis.

use std::borrow::Cow;

/// Where a job is.
#[derive(Debug)]
pub(crate) struct StoredJob {
    /// `ready`, `running`, `scheduled`, `retrying`, `dead` or `finished`.
    pub(crate) place: Cow<'static, str>,
    pub(crate) record: Vec<u8>,
    /// A time in ms, or the claim that has a running job.
    pub(crate) detail: Option<String>,
    pub(crate) history: Option<Vec<u8>>,
    /// Of a running job.
    pub(crate) reports: Option<Vec<u8>>,
}

impl StoredJob {
    /// One that is ready.
    pub(crate) fn ready(record: Vec<u8>, history: Option<Vec<u8>>) -> Self {
        Self { place: Cow::Borrowed("ready"), record, detail: None, history, reports: None }
    }
}
