//! Writes what handlers have reported.

use fleet::Connection;

use super::{claimed::Claimed, session::Session};
use crate::{
    keys::Partition,
    model::error::Error,
    scripts::progress::{Reported, progress},
};

/// The most jobs in one write: each may carry all its log lines.
const MOST_AT_ONCE: usize = 100;

impl Session {
    /// Writes what handlers have reported since the last call, and returns how many jobs were refused because their lease is
    /// lost: nothing more of those is written. What could not be written is kept for another call; a queue whose keys Redis refuses
    /// does not hold up others.
    ///
    /// # Errors
    /// [`Error::Unavailable`], [`Error::Full`], [`Error::Redis`].
    pub async fn report(&self) -> Result<usize, Error> {
        let connection = self.client().redis.connection();
        let mut jobs = Claimed::on_desk(&self.shared.desk);
        // A report from now on waits for the next call.
        for job in &jobs {
            job.reporting().waits = false;
        }
        let (mut n_refused, mut failed) = (0, None);
        while let Some(partition) = jobs.first().map(|job| job.partition().clone()) {
            let (mut batch, mut rest) = (Vec::new(), Vec::new());
            for job in jobs {
                let fits = *job.partition() == partition && batch.len() < MOST_AT_ONCE;
                if fits { &mut batch } else { &mut rest }.push(job);
            }
            match write(&connection, &partition, &batch).await {
                Ok(refused) => n_refused += refused,
                Err(error) => {
                    put_back(&batch);
                    if !matches!(error, Error::Redis(_)) {
                        put_back(&rest);
                        return Err(error);
                    }
                    failed = Some(error);
                }
            }
            jobs = rest;
        }
        failed.map_or(Ok(n_refused), Err)
    }
}

async fn write(connection: &Connection, partition: &Partition, jobs: &[Claimed]) -> Result<usize, Error> {
    let mut written = Vec::with_capacity(jobs.len());
    let mut reported = Vec::with_capacity(jobs.len());
    for job in jobs {
        let reporting = job.reporting();
        if let (false, Some(reports)) = (reporting.closed, reporting.reports.as_deref()) {
            reported.push(Reported { id: job.id(), claim: job.claim().clone(), reports: reports.encode()? });
            written.push(job);
        }
    }
    if reported.is_empty() {
        return Ok(0);
    }
    let mut n_refused = 0;
    for position in progress(connection, partition, &reported).await? {
        let Some(job) = written.get(position) else { continue };
        let mut reporting = job.reporting();
        // One that has ended meanwhile was refused because its own settlement came first.
        if !reporting.closed {
            reporting.closed = true;
            n_refused += 1;
        }
    }
    Ok(n_refused)
}

fn put_back(jobs: &[Claimed]) {
    for job in jobs {
        let mut reporting = job.reporting();
        if !reporting.waits {
            reporting.waits = true;
            job.put_on_desk();
        }
    }
}
