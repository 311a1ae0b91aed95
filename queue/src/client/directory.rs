//! Which partition a queue or an id belongs to. The table is in Redis; entries never change, so each is read once.

use std::{
    collections::{BTreeMap, HashMap},
    sync::{Arc, PoisonError, RwLock},
};

use redis::AsyncCommands;

use crate::{
    keys::{self, Partition},
    model::{error::Error, id::JobId},
    scripts,
};

#[derive(Debug, Clone)]
pub(crate) struct Directory {
    redis: fleet::Redis,
    known: Arc<RwLock<BTreeMap<u16, Arc<Partition>>>>,
}

impl Directory {
    pub(crate) fn new(redis: &fleet::Redis) -> Self {
        Self { redis: redis.clone(), known: Arc::default() }
    }

    /// The partition of a queue; the first call for a new queue assigns its number.
    pub(crate) async fn of_queue(&self, queue: &str) -> Result<Arc<Partition>, Error> {
        if let Some(partition) = self.cached(|partition| partition.queue == queue) {
            return Ok(partition);
        }
        if queue.is_empty() || !queue.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-') {
            return Err(Error::Invalid(format!(
                "{queue:?} is no queue name: lower-case letters, digits and - are allowed"
            )));
        }
        // A full Redis refuses the script, and a worker that starts then has to find its queues all the same.
        if let Some(partition) = self.all().await?.into_iter().find(|partition| partition.queue == queue) {
            return Ok(partition);
        }
        let table = keys::partitions(self.redis.prefix());
        let number = scripts::partition::partition(&self.redis.connection(), &table, &format!("{queue}.0")).await?;
        let partition = self.remember(number, queue, 0);
        // It has no job yet, so its indexes are whole; where this is refused, they are made when they are first asked for.
        let _: Result<(), _> = self.redis.connection().set(partition.indexed(), 1).await;
        Ok(partition)
    }

    /// The partition of a job, if its number is one of ours.
    pub(crate) async fn of_id(&self, id: JobId) -> Result<Option<Arc<Partition>>, Error> {
        let number = id.partition();
        if let Some(partition) = self.cached(|partition| partition.number == number) {
            return Ok(Some(partition));
        }
        let table = keys::partitions(self.redis.prefix());
        let name: Option<String> = self.redis.connection().hget(table, number).await?;
        Ok(name.as_deref().and_then(split).map(|(queue, index)| self.remember(number, queue, index)))
    }

    /// All partitions that any process has used, by number.
    pub(crate) async fn all(&self) -> Result<Vec<Arc<Partition>>, Error> {
        let table = keys::partitions(self.redis.prefix());
        let n: usize = self.redis.connection().hlen(&table).await?;
        // No entry ever goes or changes, so as many as there are are all.
        let known = self.known();
        if known.len() == n {
            return Ok(known);
        }
        let names: HashMap<u16, String> = self.redis.connection().hgetall(table).await?;
        let mut all: Vec<_> = names
            .iter()
            .filter_map(|(number, name)| split(name).map(|(queue, index)| self.remember(*number, queue, index)))
            .collect();
        all.sort_by_key(|partition| partition.number);
        Ok(all)
    }

    fn cached(&self, is: impl Fn(&Partition) -> bool) -> Option<Arc<Partition>> {
        let known = self.known.read().unwrap_or_else(PoisonError::into_inner);
        known.values().find(|partition| is(partition)).cloned()
    }

    /// Those that this process has used, by number.
    pub(crate) fn known(&self) -> Vec<Arc<Partition>> {
        self.known.read().unwrap_or_else(PoisonError::into_inner).values().cloned().collect()
    }

    fn remember(&self, number: u16, queue: &str, index: u16) -> Arc<Partition> {
        let mut known = self.known.write().unwrap_or_else(PoisonError::into_inner);
        let new = || Arc::new(Partition::new(self.redis.prefix(), number, queue, index));
        known.entry(number).or_insert_with(new).clone()
    }
}

fn split(name: &str) -> Option<(&str, u16)> {
    let (queue, index) = name.rsplit_once('.')?;
    Some((queue, index.parse().ok()?))
}
