//! A job as it lies in Redis.

/// Where a job is.
#[derive(Debug)]
pub(crate) struct StoredJob {
    /// `ready`, `running`, `scheduled`, `retrying`, `dead` or `finished`.
    pub(crate) place: String,
    pub(crate) record: Vec<u8>,
    /// A time in ms, or the claim that has a running job.
    pub(crate) detail: Option<String>,
    pub(crate) history: Option<Vec<u8>>,
    /// Of a running job.
    pub(crate) reports: Option<Vec<u8>>,
}
