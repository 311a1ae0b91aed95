//! Pushes under given ids.

use fleet::Connection;

use super::{COUNTS_KEPT_S, MOST, call, minute, push::Push, run};
use crate::{
    keys::Partition,
    model::{error::Error, retention::Retention},
};

/// What became of a push under a given id.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Absent {
    /// The job was not there, and is now.
    Added,
    /// The id is known: the job is there, or was and has ended.
    Known,
    /// The job is not there, and its bid for a unique key was taken over.
    Barred,
}

/// Adds those of up to [`MOST`] jobs whose ids are not known and whose bids, if they have one (empty: none), are not barred; all or
/// none.
pub(crate) async fn push_absent(
    connection: &Connection,
    partition: &Partition,
    now_ms: u64,
    retention: Retention,
    jobs: impl ExactSizeIterator<Item = (&Push, &str)>,
) -> Result<Vec<Absent>, Error> {
    let n_jobs = jobs.len();
    debug_assert!(n_jobs <= MOST);
    let mut call = call!(push_absent, &partition.base, minute = minute(now_ms), counts_kept_s = COUNTS_KEPT_S);
    for (job, bid) in jobs {
        call.arg(&job.id.as_bytes()[..])
            .arg(&job.record[..])
            .arg(job.priority)
            .arg(job.due_ms.map(|due_ms| due_ms.to_string()).unwrap_or_default())
            .arg(retention.bucket(job.id.created_ms()))
            .arg(bid)
            .arg(job.tenant.as_deref().unwrap_or_default());
    }
    let replies: Vec<isize> = run(&call, connection).await?;
    let mut became = vec![Absent::Known; n_jobs];
    for reply in replies {
        if let Some(job) = reply.unsigned_abs().checked_sub(1).and_then(|at| became.get_mut(at)) {
            *job = if reply > 0 { Absent::Added } else { Absent::Barred };
        }
    }
    Ok(became)
}
