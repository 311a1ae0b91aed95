//! Pushes by fixed id: whoever pushes the same name and time again pushes the same job, and it is there once.
//!
//! The id has the name's hash where others have random bits. So nobody has to keep it: a process that takes over from one that
//! died, or an older release beside a newer one, comes to the same id.

use async_recursion::async_recursion as boxed;

use super::{
    Client,
    push::{Groups, under_id},
    unique::Pushed,
};
use crate::{
    model::{error::Error, id::JobId, new_job::NewJob},
    scripts::push_absent::{Absent, push_absent},
};

impl Client {
    /// The id of the job of `kind` with this name and time (Unix milliseconds), which also counts as its creation.
    ///
    /// # Errors
    /// [`Error::Invalid`] for a bad name of a kind; [`Error::Unavailable`], but only if the kind was never used in this process.
    #[boxed]
    pub async fn fixed_id(&self, kind: &str, name: &str, at_ms: u64) -> Result<JobId, Error> {
        Ok(JobId::fixed(self.directory.of_queue(kind).await?.number, name, at_ms))
    }

    /// Pushes jobs under ids of [`Client::fixed_id`], in one call for 1000 of a queue; one result a job, in their order. A job whose
    /// id is known, in whatever state, is not pushed again: the answer is [`Pushed::Existing`]. Finished jobs are known as long as
    /// they are kept, 24 h. Where another job holds the unique key, the answer is that one, whatever was asked for on a conflict; see
    /// [`Pushed::Existing`].
    #[boxed]
    pub async fn push_fixed(&self, jobs: Vec<(JobId, NewJob)>) -> Vec<Result<Pushed, Error>> {
        let now_ms = self.clock.now_ms();
        let mut results: Vec<Result<Pushed, Error>> = Vec::with_capacity(jobs.len());
        let mut groups = Groups::default();
        for (id, job) in jobs {
            if job.unique.is_some() {
                results.push(self.push_fixed_unique(id, job).await);
                continue;
            }
            let prepared = self.prepared(&job, now_ms).await;
            let under_id = prepared.and_then(|(partition, push)| Ok((under_id(push, id, &partition)?, partition)));
            results
                .push(under_id.map(|(push, partition)| Pushed::Existing(groups.add(partition, results.len(), push))));
        }
        let connection = self.redis.connection();
        for (partition, positions, pushes) in groups.calls() {
            let jobs = pushes.iter().map(|push| (push, ""));
            let became = push_absent(&connection, partition, now_ms, self.retention, jobs).await;
            for (at, position) in positions.iter().enumerate() {
                match &became {
                    Ok(became) if became[at] == Absent::Added => results[*position] = Ok(Pushed::New(pushes[at].id)),
                    Ok(_) => {}
                    Err(error) => results[*position] = Err(error.clone()),
                }
            }
        }
        results
    }

    async fn push_fixed_unique(&self, id: JobId, job: NewJob) -> Result<Pushed, Error> {
        if self.locate(id).await?.is_some() {
            return Ok(Pushed::Existing(id));
        }
        match self.submit_as(id, job).await {
            Err(Error::Duplicate(holder)) => Ok(Pushed::Existing(holder)),
            pushed => pushed,
        }
    }
}
