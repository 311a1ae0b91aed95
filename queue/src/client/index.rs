//! The index of each tenant's jobs, so that a list of one tenant's costs nothing of what the others have waiting.
//!
//! A job with a tenant of its own is in its tenant's index as long as it has a record: until it ends, and while it is dead. Pushes
//! and `revive` write the index together with the record. Who ends a job takes it out afterwards, whoever meets one that has ended
//! does too, and so does upkeep, which looks at some at random. Jobs of the tenant `default` have no index: where nobody else pushes,
//! nobody pays.

use std::{
    collections::HashSet,
    sync::{Arc, MutexGuard, PoisonError},
};

use futures::future::try_join_all;
use redis::AsyncCommands;

use super::Client;
use crate::{
    keys::Partition,
    model::{error::Error, id::JobId, record::tenant_of},
    scripts::{self, MOST},
};

/// How many records are read at a time to index what an older release pushed.
const RECORDS: usize = 500;
/// The pages of records of a partition.
const PAGES: u8 = u8::MAX;

type IdAndRecord = (Vec<u8>, Vec<u8>);

impl Client {
    /// The ids of a tenant's jobs that have not ended or are dead, with some that have ended just now: the newest first, those
    /// behind `after`, at most `n`.
    pub(crate) async fn ids_of_tenant(
        &self,
        partitions: &[&Partition],
        tenant: &str,
        after: Option<JobId>,
        n: usize,
    ) -> Result<Vec<JobId>, Error> {
        let from = after.map_or_else(|| b"+".to_vec(), |after| [b"(", &after.as_bytes()[..]].concat());
        let asked = partitions.iter().map(async |partition| {
            let mut range = redis::cmd("ZREVRANGEBYLEX");
            range.arg(partition.of_tenant(tenant)).arg(&from).arg("-").arg("LIMIT").arg(0).arg(n);
            let ids: Vec<Vec<u8>> = range.query_async(&mut self.redis.connection()).await?;
            Ok::<_, Error>(ids)
        });
        let ids = try_join_all(asked).await?;
        let mut ids: Vec<JobId> = ids.iter().flatten().filter_map(|id| JobId::from_slice(id)).collect();
        ids.sort_unstable_by_key(|id| std::cmp::Reverse(*id));
        ids.truncate(n);
        Ok(ids)
    }

    /// How many jobs the indexes of a tenant have.
    pub(crate) async fn n_of_tenant(&self, partitions: &[&Partition], tenant: &str) -> Result<usize, Error> {
        let asked = partitions.iter().map(async |partition| {
            let n: usize = self.redis.connection().zcard(partition.of_tenant(tenant)).await?;
            Ok::<_, Error>(n)
        });
        Ok(try_join_all(asked).await?.into_iter().sum())
    }

    /// Takes jobs that have ended out of their tenants' indexes.
    pub(crate) async fn forget(&self, partition: &Partition, jobs: &[(&str, JobId)]) -> Result<(), Error> {
        for jobs in jobs.chunks(MOST) {
            scripts::forget::forget(&self.redis.connection(), partition, jobs).await?;
        }
        Ok(())
    }

    /// Whether the indexes of these partitions are whole. Those of partitions that an older release has used are made in the
    /// background, once a process; until then the answer is no.
    pub(crate) async fn is_indexed(&self, partitions: &[&Partition]) -> Result<bool, Error> {
        let asked = partitions.iter().map(async |partition| {
            let whole: bool = self.redis.connection().exists(partition.indexed()).await?;
            Ok::<_, Error>(whole)
        });
        let answers = try_join_all(asked).await?;
        for (partition, _) in partitions.iter().zip(&answers).filter(|(_, whole)| !**whole) {
            if self.indexing().insert(partition.number) {
                let (client, partition) = (self.clone(), Arc::new((*partition).clone()));
                tokio::spawn(async move {
                    if let Err(error) = client.index_all(&partition).await {
                        tracing::warn!(queue = partition.queue, %error, "the jobs of its tenants are not indexed yet");
                        client.indexing().remove(&partition.number);
                    }
                });
            }
        }
        Ok(answers.into_iter().all(|whole| whole))
    }

    /// Puts every job that has a record into its tenant's index, and says so.
    async fn index_all(&self, partition: &Partition) -> Result<(), Error> {
        for page in 0..=PAGES {
            let key = partition.key(&format!("jobs:{page}"));
            let mut cursor = 0_u64;
            loop {
                let mut scan = redis::cmd("HSCAN");
                scan.arg(&key).arg(cursor).arg("COUNT").arg(RECORDS);
                let (next, records): (u64, Vec<IdAndRecord>) = scan.query_async(&mut self.redis.connection()).await?;
                let of_tenants: Vec<(&Vec<u8>, String)> =
                    records.iter().filter_map(|(id, record)| Some((id, tenant_of(record)?))).collect();
                let mut pipe = redis::pipe();
                for (id, tenant) in &of_tenants {
                    pipe.sadd(partition.tenants(), tenant).ignore().zadd(partition.of_tenant(tenant), id, 0).ignore();
                }
                // An empty pipeline is refused by the driver.
                if !of_tenants.is_empty() {
                    let _: () = pipe.query_async(&mut self.redis.connection()).await?;
                }
                cursor = next;
                if cursor == 0 {
                    break;
                }
            }
        }
        Ok(self.redis.connection().set(partition.indexed(), 1).await?)
    }

    fn indexing(&self) -> MutexGuard<'_, HashSet<u16>> {
        self.indexing.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
