//! Looks at queues and replicas, and pauses queues: for the API and the operator.

use std::{collections::HashMap, sync::Arc, time::Duration};

use async_recursion::async_recursion as boxed;
use redis::AsyncCommands;
use serde::{Deserialize, Serialize};

use super::{Client, list::UsedQueues};
use crate::{
    keys::{self, Partition},
    model::{
        error::Error,
        id::JobId,
        view::{Depth, QueueView},
    },
    scripts::{find::find, pause::pause},
};

/// A replica that has not beaten for so long no longer counts.
pub(crate) const ALIVE: Duration = Duration::from_secs(12);

/// What a replica says of itself with each beat.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct About {
    pub(crate) worker: String,
    pub(crate) version: String,
    pub(crate) started_ms: u64,
    pub(crate) queues: Vec<String>,
}

impl Client {
    /// All queues: those of the kinds that this client knows, and those that any process has used.
    ///
    /// # Errors
    /// [`Error::Unavailable`].
    #[boxed]
    pub async fn queues(&self) -> Result<Vec<QueueView>, Error> {
        let about = self.alive().await?;
        let mut queues: Vec<QueueView> = self.kinds().iter().map(|kind| empty_queue(&kind.name)).collect();
        for partition in self.directory.all().await? {
            let part = match self.look_at(&partition).await {
                // One queue in trouble must not hide the others.
                Err(error @ (Error::Redis(_) | Error::Corrupt(_))) => {
                    QueueView { error: Some(error.to_string()), ..empty_queue(&partition.queue) }
                }
                part => part?,
            };
            match queues.iter_mut().find(|queue| queue.name == partition.queue) {
                Some(queue) => add_part(queue, &part),
                None => queues.push(part),
            }
        }
        for queue in &mut queues {
            queue.workers = about.iter().filter(|about| about.queues.contains(&queue.name)).count() as u64;
            let depth = queue.depth;
            let left = (depth.ready + depth.running + depth.retrying) as f64;
            queue.time_to_empty_s = (queue.out_per_s > 0.0).then(|| round(left / queue.out_per_s));
        }
        Ok(queues)
    }

    async fn look_at(&self, partition: &Partition) -> Result<QueueView, Error> {
        type Minute = (Option<u64>, Option<u64>);
        let now_ms = self.clock.now_ms();
        let minute = now_ms / 60_000;
        let mut pipe = redis::pipe();
        for waiting in ["ready:0", "ready:1", "ready:2", "ready:3", "suspects", "held"] {
            pipe.llen(partition.key(waiting));
        }
        pipe.scard(partition.key("ghosts")).exists(partition.key("paused")).cmd("HVALS").arg(partition.key("left"));
        for waiting in ["scheduled", "retrying", "dead"] {
            pipe.zcard(partition.key(waiting));
        }
        for priority in 0..4 {
            pipe.lindex(partition.key(&format!("ready:{priority}")), 0);
        }
        for minute in [minute, minute - 1] {
            pipe.hmget(partition.key(&format!("minute:{minute}")), &["in", "out"]);
        }
        type Waiting = (u64, u64, u64, u64, u64, u64);
        type Others = (u64, bool, Vec<u64>, u64, u64, u64);
        type Heads = (Option<Vec<u8>>, Option<Vec<u8>>, Option<Vec<u8>>, Option<Vec<u8>>);
        let values: Vec<redis::Value> = pipe.query_async(&mut self.redis.connection()).await?;
        let part = |range: std::ops::Range<usize>| redis::Value::Array(values[range].to_vec());
        let (high, normal, low, bulk, suspects, held): Waiting =
            redis::from_redis_value(part(0..6)).map_err(unexpected)?;
        let (ghosts, paused, running, scheduled, retrying, dead): Others =
            redis::from_redis_value(part(6..12)).map_err(unexpected)?;
        let heads: Heads = redis::from_redis_value(part(12..16)).map_err(unexpected)?;
        let (now, before): (Minute, Minute) = redis::from_redis_value(part(16..18)).map_err(unexpected)?;
        let heads: Vec<JobId> =
            [heads.0, heads.1, heads.2, heads.3].into_iter().filter_map(|id| JobId::from_slice(&id?)).collect();
        // A sliding minute: all of this one, and of the one before the part that is not a minute ago yet.
        let share = 1.0 - (now_ms % 60_000) as f64 / 60_000.0;
        let rate = |now: Option<u64>, before: Option<u64>| {
            round((now.unwrap_or(0) as f64 + before.unwrap_or(0) as f64 * share) / 60.0)
        };
        Ok(QueueView {
            name: partition.queue.clone(),
            paused,
            depth: Depth {
                ready: (high + normal + low + bulk + suspects + held).saturating_sub(ghosts),
                scheduled,
                running: running.iter().sum(),
                retrying,
                waiting: 0,
                dead,
            },
            oldest_ready_age_s: self.oldest_age(partition, &heads, now_ms).await?,
            in_per_s: rate(now.0, before.0),
            out_per_s: rate(now.1, before.1),
            time_to_empty_s: None,
            workers: 0,
            error: None,
        })
    }

    /// Since when the first of each list could have run.
    async fn oldest_age(&self, partition: &Partition, heads: &[JobId], now_ms: u64) -> Result<Option<f64>, Error> {
        let mut oldest: Option<u64> = None;
        for id in heads {
            let Some(found) = find(&self.redis.connection(), partition, self.retention, *id).await? else {
                continue;
            };
            if found.place == "ready" {
                let since = self.view(*id, partition, &found).run_at.ms();
                oldest = Some(oldest.map_or(since, |oldest| oldest.min(since)));
            }
        }
        Ok(oldest.map(|since| round(now_ms.saturating_sub(since) as f64 / 1000.0)))
    }

    /// The names of all queues: those of the kinds that this client knows, and those that any process has used.
    ///
    /// # Errors
    /// [`Error::Unavailable`].
    #[boxed]
    pub async fn queue_names(&self) -> Result<Vec<String>, Error> {
        Ok(self.names_with(&self.used_queues().await?))
    }

    /// Like [`Client::queue_names`], without asking again which queues there are.
    #[must_use]
    pub fn names_with(&self, used: &UsedQueues) -> Vec<String> {
        let mut names: Vec<String> = self.kinds().iter().map(|kind| kind.name.clone()).collect();
        names.extend(used.partitions.iter().map(|partition| partition.queue.clone()));
        names.sort();
        names.dedup();
        names
    }

    /// How many worker replicas live.
    ///
    /// # Errors
    /// [`Error::Unavailable`].
    #[boxed]
    pub async fn replicas(&self) -> Result<u64, Error> {
        Ok(self.alive().await?.len() as u64)
    }

    async fn alive(&self) -> Result<Vec<About>, Error> {
        let prefix = self.redis.prefix();
        let since = self.clock.now_ms().saturating_sub(u64::try_from(ALIVE.as_millis()).unwrap_or(u64::MAX));
        let names: Vec<String> = self.redis.connection().zrangebyscore(keys::replicas(prefix), since, "+inf").await?;
        let mut pipe = redis::pipe();
        for name in &names {
            pipe.hget(keys::replica(prefix, name), "about");
        }
        if names.is_empty() {
            return Ok(Vec::new());
        }
        let about: Vec<Option<String>> = pipe.query_async(&mut self.redis.connection()).await?;
        Ok(about.into_iter().flatten().filter_map(|json| serde_json::from_str(&json).ok()).collect())
    }

    pub(super) async fn existing(&self, queue: &str) -> Result<Arc<Partition>, Error> {
        if self.kind(queue).is_some() {
            return self.directory.of_queue(queue).await;
        }
        let all = self.directory.all().await?;
        let found = all.into_iter().find(|partition| partition.queue == queue);
        found.ok_or_else(|| Error::UnknownQueue(queue.to_owned()))
    }

    /// Stops claiming from a queue, in all replicas; jobs that run go on. Returns whether it was not paused before.
    ///
    /// # Errors
    /// [`Error::UnknownQueue`], [`Error::Unavailable`].
    #[boxed]
    pub async fn pause(&self, queue: &str) -> Result<bool, Error> {
        let partition = self.existing(queue).await?;
        pause(&self.redis.connection(), &partition, Some(self.clock.now_ms())).await
    }

    /// Lets a paused queue go on. Returns whether it was paused.
    ///
    /// # Errors
    /// [`Error::UnknownQueue`], [`Error::Unavailable`].
    #[boxed]
    pub async fn resume(&self, queue: &str) -> Result<bool, Error> {
        let partition = self.existing(queue).await?;
        pause(&self.redis.connection(), &partition, None).await
    }

    /// What the server's keys hold beyond what the API shows; for tests and the operator.
    ///
    /// # Errors
    /// [`Error::Unavailable`].
    #[boxed]
    pub async fn counts(&self, queue: &str) -> Result<HashMap<String, u64>, Error> {
        let partition = self.existing(queue).await?;
        let mut connection = self.redis.connection();
        let mut counts = HashMap::new();
        let left: Vec<u64> = connection.hvals(partition.key("left")).await?;
        counts.insert("running".to_owned(), left.iter().sum());
        let mut pipe = redis::pipe();
        for page in 0..=u8::MAX {
            pipe.hlen(partition.key(&format!("jobs:{page}")));
        }
        let pages: Vec<u64> = pipe.query_async(&mut connection).await?;
        counts.insert("jobs".to_owned(), pages.iter().sum());
        for suffix in ["claims", "history", "progress"] {
            counts.insert(suffix.to_owned(), connection.hlen(partition.key(suffix)).await?);
        }
        for suffix in ["leases", "scheduled", "retrying", "dead", "watched"] {
            counts.insert(suffix.to_owned(), connection.zcard(partition.key(suffix)).await?);
        }
        for suffix in ["ready:0", "ready:1", "ready:2", "ready:3", "suspects", "held", "wake"] {
            counts.insert(suffix.to_owned(), connection.llen(partition.key(suffix)).await?);
        }
        for suffix in ["ghosts", "cancels"] {
            counts.insert(suffix.to_owned(), connection.scard(partition.key(suffix)).await?);
        }
        Ok(counts)
    }
}

fn unexpected(error: impl std::fmt::Display) -> Error {
    Error::Redis(format!("unexpected answer: {error}"))
}

fn round(number: f64) -> f64 {
    (number * 1000.0).round() / 1000.0
}

fn empty_queue(name: &str) -> QueueView {
    QueueView {
        name: name.to_owned(),
        paused: false,
        depth: Depth::default(),
        oldest_ready_age_s: None,
        in_per_s: 0.0,
        out_per_s: 0.0,
        time_to_empty_s: None,
        workers: 0,
        error: None,
    }
}

fn add_part(queue: &mut QueueView, part: &QueueView) {
    queue.paused |= part.paused;
    queue.depth.ready += part.depth.ready;
    queue.depth.scheduled += part.depth.scheduled;
    queue.depth.running += part.depth.running;
    queue.depth.retrying += part.depth.retrying;
    queue.depth.dead += part.depth.dead;
    queue.oldest_ready_age_s = match (queue.oldest_ready_age_s, part.oldest_ready_age_s) {
        (Some(a), Some(b)) => Some(a.max(b)),
        (a, b) => a.or(b),
    };
    queue.in_per_s += part.in_per_s;
    queue.out_per_s += part.out_per_s;
    queue.error = queue.error.take().or_else(|| part.error.clone());
}
