//! A job as it was found.

/// Where a job is.
#[derive(Debug)]
pub(crate) struct Found {
    /// `ready`, `running`, `scheduled`, `retrying`, `dead` or `finished`.
    pub(crate) place: String,
    pub(crate) record: Vec<u8>,
    /// A time in ms, or the claim that has a running job.
    pub(crate) detail: Option<String>,
    pub(crate) history: Option<Vec<u8>>,
    /// Of a running job.
    pub(crate) reports: Option<Vec<u8>>,
}
