//! The push. It has nothing to decide, and a script that is given every record costs twice, so it is a transaction.

use std::collections::BTreeMap;

use fleet::Connection;

use super::{COUNTS_KEPT_S, MOST, minute};
use crate::{
    keys::Partition,
    model::{error::Error, id::JobId},
};

/// One job to push: its id, its record, and where it waits.
#[derive(Debug, Clone)]
pub(crate) struct Push {
    pub(crate) id: JobId,
    pub(crate) record: Vec<u8>,
    pub(crate) priority: usize,
    pub(crate) due_ms: Option<u64>,
    /// In whose index it is.
    pub(crate) tenant: Option<String>,
}

/// Adds up to [`MOST`] jobs, all or none, in one transaction of plain commands: much faster than a script that is given every
/// record.
pub(crate) async fn push(
    connection: &Connection,
    partition: &Partition,
    now_ms: u64,
    jobs: &[Push],
) -> Result<(), Error> {
    debug_assert!(jobs.len() <= MOST);
    Ok(transaction(partition, now_ms, jobs).query_async(&mut connection.clone()).await?)
}

fn transaction(partition: &Partition, now_ms: u64, jobs: &[Push]) -> redis::Pipeline {
    let mut pipe = redis::pipe();
    pipe.atomic();
    // Ids before records: should one of the commands fail, an id without a record does no harm.
    for priority in 0..4 {
        let mut ready = jobs.iter().filter(|job| job.due_ms.is_none() && job.priority == priority).peekable();
        if ready.peek().is_some() {
            let list = pipe.cmd("RPUSH").arg(partition.key(&format!("ready:{priority}")));
            for job in ready {
                list.arg(&job.id.as_bytes()[..]);
            }
            list.ignore();
        }
    }
    let mut scheduled = jobs.iter().filter_map(|job| Some((job.due_ms?, job.id))).peekable();
    if scheduled.peek().is_some() {
        let set = pipe.cmd("ZADD").arg(partition.key("scheduled"));
        for (due_ms, id) in scheduled {
            set.arg(due_ms).arg(&id.as_bytes()[..]);
        }
        set.ignore();
    }
    let mut by_tenant: BTreeMap<&str, Vec<JobId>> = BTreeMap::new();
    for job in jobs {
        if let Some(tenant) = &job.tenant {
            by_tenant.entry(tenant).or_default().push(job.id);
        }
    }
    for (tenant, ids) in by_tenant {
        pipe.sadd(partition.tenants(), tenant).ignore();
        let index = pipe.cmd("ZADD").arg(partition.of_tenant(tenant));
        for id in ids {
            index.arg(0).arg(&id.as_bytes()[..]);
        }
        index.ignore();
    }
    for jobs in jobs.chunk_by(|a, b| a.id.page() == b.id.page()) {
        let records = pipe.cmd("HSET").arg(partition.page_of(jobs[0].id));
        for job in jobs {
            records.arg(&job.id.as_bytes()[..]).arg(&job.record[..]);
        }
        records.ignore();
    }
    // One token, however many there were. A scheduled job, too, may be due before the time that a fetcher waits for.
    let wake = partition.key("wake");
    pipe.rpush(&wake, 1).ignore().ltrim(&wake, 0, 0).ignore();
    let counts = partition.key(&format!("minute:{}", minute(now_ms)));
    pipe.hincr(&counts, "in", jobs.len()).ignore().expire(&counts, COUNTS_KEPT_S).ignore();
    pipe
}
