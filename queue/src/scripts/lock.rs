//! Takes the lock of a concurrency key, or waits for it.

use fleet::Connection;

use super::{call, run};
use crate::{
    keys::Concurrency,
    model::{error::Error, id::JobId},
};

/// The record of a lock is kept for so long after its last renewal, so that its job can still renew it when Redis was away.
pub(super) const KEPT_MS: u64 = 3_600_000;
/// A job that waits is known for so long; it comes again before.
const WAITS_MS: u64 = 120_000;
/// The most jobs that are known to wait. Those behind them come by themselves.
const MOST_WAITING: usize = 10_000;

/// A job, of which claim, that is to have the lock of a concurrency key.
#[derive(Debug)]
pub(crate) struct Lock<'a> {
    pub(crate) keys: &'a Concurrency,
    pub(crate) id: JobId,
    pub(crate) claim: &'a str,
    pub(crate) now_ms: u64,
    pub(crate) lease_end_ms: u64,
}

/// Why a job has to wait for a lock.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Waits {
    /// How many wait that come first.
    pub(crate) before: usize,
    /// Who has the lock; nobody: it is for the first of those.
    pub(crate) holder: Option<JobId>,
}

impl Lock<'_> {
    /// Takes it. `takes_over`: one whose lease has ended counts for nothing. Otherwise it may still be renewed.
    pub(crate) async fn take(&self, connection: &Connection, takes_over: bool) -> Result<Option<Waits>, Error> {
        let call = call!(
            lock,
            &self.keys.all(),
            id = &self.id.as_bytes()[..],
            claim = self.claim,
            now_ms = self.now_ms,
            lease_end_ms = self.lease_end_ms,
            kept_ms = KEPT_MS,
            waits_ms = WAITS_MS,
            most_waiting = MOST_WAITING,
            takes_over = u8::from(takes_over),
        );
        let (before, holder): (i64, Option<Vec<u8>>) = run(&call, connection).await?;
        let holder = holder.as_deref().and_then(JobId::from_slice);
        Ok(usize::try_from(before).ok().map(|before| Waits { before, holder }))
    }
}
