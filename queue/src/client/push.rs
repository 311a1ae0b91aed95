//! Pushes jobs.

use std::{borrow::Borrow, sync::Arc};

use async_recursion::async_recursion as boxed;

use super::Client;
use crate::{
    keys::Partition,
    model::{
        error::Error,
        id::JobId,
        new_job::NewJob,
        record::{Options, encode},
    },
    scripts::{
        MOST,
        push::{Push, push},
    },
};

/// The largest payload, in bytes.
pub const MOST_PAYLOAD: usize = 1 << 20;

impl Client {
    /// Pushes one job, which may be lent. Pushes that come at the same time share a call.
    ///
    /// # Errors
    /// [`Error::Invalid`] for a bad name or too large a payload, [`Error::Full`], [`Error::Unavailable`].
    pub async fn push(&self, job: impl Borrow<NewJob>) -> Result<JobId, Error> {
        self.push_one(job.borrow()).await
    }

    #[boxed]
    async fn push_one(&self, job: &NewJob) -> Result<JobId, Error> {
        let (partition, push) = self.prepared(job, self.clock.now_ms()).await?;
        let id = push.id;
        self.pusher.push(partition, push).await?;
        Ok(id)
    }

    /// Pushes many; one result a job, in their order. Jobs of one queue go in chunks, each all or none.
    ///
    /// A job with a unique key is refused here, as by [`Client::push`]: [`Client::submit`] takes it.
    #[boxed]
    pub async fn push_many(&self, jobs: Vec<NewJob>) -> Vec<Result<JobId, Error>> {
        let now_ms = self.clock.now_ms();
        let mut results: Vec<Result<JobId, Error>> = Vec::with_capacity(jobs.len());
        let mut groups = Groups::default();
        for job in jobs {
            let prepared = self.prepared(&job, now_ms).await;
            results.push(prepared.map(|(partition, push)| groups.add(partition, results.len(), push)));
        }
        let connection = self.redis.connection();
        for (partition, positions, pushes) in groups.calls() {
            if let Err(error) = push(&connection, partition, now_ms, pushes).await {
                for position in positions {
                    results[*position] = Err(error.clone());
                }
            }
        }
        results
    }

    /// A job that minds no unique key, ready to be pushed.
    pub(super) async fn prepared(&self, job: &NewJob, now_ms: u64) -> Result<(Arc<Partition>, Push), Error> {
        let partition = self.directory.of_queue(&job.kind).await?;
        if job.unique.is_some() {
            return Err(Error::Invalid("a job with a unique key is pushed by itself".to_owned()));
        }
        let push = prepare(job, &partition, now_ms)?;
        Ok((partition, push))
    }
}

/// Many pushes by their partitions, each with the place of its result.
#[derive(Default)]
pub(super) struct Groups(Vec<(Arc<Partition>, Vec<usize>, Vec<Push>)>);

impl Groups {
    pub(super) fn add(&mut self, partition: Arc<Partition>, position: usize, push: Push) -> JobId {
        let id = push.id;
        match self.0.iter_mut().find(|(other, ..)| *other == partition) {
            Some((_, positions, pushes)) => {
                positions.push(position);
                pushes.push(push);
            }
            None => self.0.push((partition, vec![position], vec![push])),
        }
        id
    }

    /// What goes into each call.
    pub(super) fn calls(&self) -> impl Iterator<Item = (&Partition, &[usize], &[Push])> {
        self.0.iter().flat_map(|(partition, positions, pushes)| {
            let chunks = positions.chunks(MOST).zip(pushes.chunks(MOST));
            chunks.map(|(positions, pushes)| (&**partition, positions, pushes))
        })
    }
}

/// A job, ready to be pushed.
pub(crate) fn prepare(job: &NewJob, partition: &Partition, now_ms: u64) -> Result<Push, Error> {
    if job.payload.len() > MOST_PAYLOAD {
        return Err(Error::Invalid(format!(
            "a payload of {} bytes is too large: at most {MOST_PAYLOAD}",
            job.payload.len()
        )));
    }
    let due_ms = job.run_at_ms.filter(|at| *at > now_ms);
    let options = Options::of(job, now_ms);
    Ok(Push {
        id: JobId::new(partition.number, now_ms),
        priority: job.priority as usize,
        record: encode(job.priority, &options, &job.payload)?,
        tenant: options.tenant,
        due_ms,
    })
}

pub(crate) fn under_id(push: Push, id: JobId, partition: &Partition) -> Result<Push, Error> {
    if id.partition() != partition.number {
        return Err(Error::Invalid(format!("the id {id} is not one of the queue {}", partition.queue)));
    }
    Ok(Push { id, ..push })
}
