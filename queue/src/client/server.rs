//! Whether Redis answers, takes jobs, and may hold them.

use std::time::{Duration, Instant};

use async_recursion::async_recursion as boxed;
use redis::AsyncCommands;

use super::Client;
use crate::{keys, model::error::Error};

/// What a probe writes is forgotten after so long.
const PROBE_KEPT_S: u64 = 60;

impl Client {
    /// Whether Redis answers, and how fast. Sets the clock after Redis', so that whoever only pushes has the same time as the workers.
    ///
    /// # Errors
    /// [`Error::Unavailable`] when it does not.
    #[boxed]
    pub async fn ping(&self) -> Result<Duration, Error> {
        let started = Instant::now();
        let mut pipe = redis::pipe();
        pipe.cmd("PING").ignore().cmd("TIME");
        let ((seconds, micros),): ((u64, u64),) = pipe.query_async(&mut self.redis.connection()).await?;
        let took = started.elapsed();
        self.clock.follow(seconds * 1000 + micros / 1000, took);
        Ok(took)
    }

    /// Like [`Client::ping`], and whether Redis takes what a job needs. A full server, or a replica after a failover, answers and takes none.
    ///
    /// # Errors
    /// [`Error::Unavailable`] and [`Error::Full`] when it takes none.
    #[boxed]
    pub async fn ping_with_a_write(&self) -> Result<Duration, Error> {
        let took = self.ping().await?;
        let key = keys::probe(self.redis.prefix());
        let _: () = self.redis.connection().set_ex(key, 1, PROBE_KEPT_S).await?;
        Ok(took)
    }

    /// Whether this Redis may hold jobs.
    ///
    /// # Errors
    /// [`Error::Invalid`] when it may evict keys: an evicted key is a lost job. [`Error::Unavailable`] when it does not answer.
    #[boxed]
    pub async fn check_server(&self) -> Result<(), Error> {
        let info: String = match redis::cmd("INFO").query_async(&mut self.redis.connection()).await {
            Ok(info) => info,
            // Whoever waited for this would wait for ever, and say nothing.
            Err(error) if error.code() == Some("NOPERM") => {
                tracing::warn!(%error, "whether redis may lose jobs is not checked: its access list does not allow INFO");
                return Ok(());
            }
            Err(error) => return Err(error.into()),
        };
        let field = |name: &str| info.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
        match field("maxmemory_policy") {
            Some("noeviction") | None => {}
            Some(policy) => {
                return Err(Error::Invalid(format!(
                    "redis evicts keys (maxmemory-policy {policy}), which would lose jobs: set it to noeviction"
                )));
            }
        }
        if field("aof_enabled") == Some("0") {
            tracing::warn!("redis has no append-only file: what it holds is lost with it (set appendonly yes)");
        }
        Ok(())
    }
}
