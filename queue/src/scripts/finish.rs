//! Ends running jobs.

use std::sync::Arc;

use fleet::Connection;

use super::{Call, call, minute, run};
use crate::{
    keys::Partition,
    model::{error::Error, id::JobId, pack, retention::Retention, state::State},
};

/// A job that ends.
#[derive(Debug)]
pub(crate) struct Ending {
    pub(crate) id: JobId,
    pub(crate) claim: Arc<str>,
    /// Empty when nothing is kept.
    pub(crate) finished: Vec<u8>,
    pub(crate) state: State,
    /// In whose index it is.
    pub(crate) tenant: Option<String>,
}

/// A claim whose jobs end.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct EndingClaim {
    pub(crate) claim: Arc<str>,
    /// How many jobs it has left before the call: only then is it carried out, and so only once.
    pub(crate) left: usize,
    /// How many of them end.
    pub(crate) ends: usize,
}

/// Running jobs that end: up to [`super::MOST`], in the order of their claims.
#[derive(Debug)]
pub(crate) struct Finish<'a> {
    pub(crate) now_ms: u64,
    pub(crate) retention: Retention,
    pub(crate) claims: &'a [EndingClaim],
    pub(crate) jobs: &'a [Ending],
    /// Whether history is kept of them.
    pub(crate) keeps_history: bool,
}

impl Finish<'_> {
    /// Returns the positions of the refused.
    pub(crate) async fn call(&self, connection: &Connection, partition: &Partition) -> Result<Vec<usize>, Error> {
        let Self { now_ms, retention, claims, jobs, keeps_history } = *self;
        let bucket = retention.bucket(now_ms);
        let mut call = call!(
            finish,
            &partition.base,
            bucket = bucket,
            ttl_ms = retention.ttl_ms(bucket, now_ms),
            retention_ms = retention.ms,
            minute = minute(now_ms),
            n_claims = claims.len(),
            n_runs = jobs.chunk_by(same_page).count(),
            n_jobs = jobs.len(),
            states = jobs.iter().map(|job| &job.state.name()[..1]).collect::<String>(),
            keeps_history = u8::from(keeps_history),
        );
        for EndingClaim { claim, left, ends } in claims {
            call.arg(&**claim).arg(left).arg(ends);
        }
        for run in jobs.chunk_by(same_page) {
            call.arg(run[0].id.page()).arg(run.len());
        }
        for job in jobs {
            call.arg(&job.id.as_bytes()[..]);
        }
        if retention.ms > 0 {
            keep(&mut call, jobs, |job| retention.bucket(job.id.created_ms()) == bucket);
        }
        let refused: Vec<usize> = run(&call, connection).await?;
        Ok(refused.into_iter().map(|position| position - 1).collect())
    }
}

fn same_page(a: &Ending, b: &Ending) -> bool {
    a.id.page() == b.id.page()
}

/// Adds what is kept of finished jobs to a call: in packs, as far as they are `in_bucket`.
fn keep(call: &mut Call, jobs: &[Ending], in_bucket: impl Fn(&Ending) -> bool) {
    let mut first = 0;
    while first < jobs.len() {
        let mut n = 0;
        let mut bytes = 0;
        while let Some(job) = jobs.get(first + n)
            && n < pack::MOST.0
            && (n == 0 || bytes + job.finished.len() <= pack::MOST.1)
            && in_bucket(job)
        {
            n += 1;
            bytes += job.finished.len();
        }
        call.arg(first + 1).arg(n);
        let one = &jobs[first].finished[..];
        match n {
            0 | 1 => call.arg(one),
            _ => call.arg(pack::pack(jobs[first..first + n].iter().map(|job| (job.id, &job.finished[..])))),
        };
        first += n.max(1);
    }
}
