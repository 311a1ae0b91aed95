//! Lets the lock of a concurrency key go, and tells who comes next.

use fleet::Connection;

use super::{call, run};
use crate::{
    keys::Concurrency,
    model::{error::Error, id::JobId},
};

/// A look at who waits for the lock of a concurrency key.
#[derive(Debug)]
pub(crate) struct Unlock<'a> {
    pub(crate) keys: &'a Concurrency,
    /// The job, and the claim of its run, that lets the lock go.
    pub(crate) by: Option<(JobId, &'a str)>,
    pub(crate) now_ms: u64,
    /// So many of those that wait are told, at most [`super::MOST`].
    pub(crate) want: usize,
    /// These wait no longer.
    pub(crate) gone: &'a [JobId],
}

impl Unlock<'_> {
    /// The first of those that wait, lowest id first; none while somebody has the lock.
    pub(crate) async fn call(&self, connection: &Connection) -> Result<Vec<JobId>, Error> {
        let (id, claim) = match &self.by {
            Some((id, claim)) => (&id.as_bytes()[..], *claim),
            None => (&[][..], ""),
        };
        let (now_ms, want) = (self.now_ms, self.want);
        let mut call = call!(unlock, &self.keys.all(), id = id, claim = claim, now_ms = now_ms, want = want);
        for id in self.gone {
            call.arg(&id.as_bytes()[..]);
        }
        let ids: Vec<Vec<u8>> = run(&call, connection).await?;
        Ok(ids.iter().filter_map(|id| JobId::from_slice(id)).collect())
    }
}
