//! Renews leases, and says that the replica lives.

use std::{collections::HashMap, sync::Arc};

use redis::AsyncCommands;

use super::{
    held::Stop,
    session::{Session, ms, refused_only},
};
use crate::{
    client::queues::{ALIVE, About},
    keys::{self, Partition},
    model::{error::Error, id::JobId},
    scripts::{MOST, beat::Beat, renew::renew},
};

impl Session {
    /// Extends the leases of everything held, stops handlers whose lease is lost, whose concurrency key is another's, or that someone
    /// cancelled, and returns how many leases of claims are lost.
    ///
    /// # Errors
    /// [`Error::Unavailable`]; [`Error::Redis`] when one queue's keys are damaged: the others' leases are extended all the same.
    pub async fn renew(&self) -> Result<usize, Error> {
        // Other queues go on when Redis refuses something of one, but not when it is away.
        let mut failed = None;
        if let Err(error) = self.give_back_unanswered(None).await {
            failed = Some(refused_only(error)?);
        }
        let mut by_partition: HashMap<Arc<Partition>, Vec<Arc<str>>> = HashMap::new();
        for (name, claim) in &self.held().claims {
            by_partition.entry(claim.partition.clone()).or_default().push(name.clone());
        }
        let connection = self.client.redis.connection();
        let mut n_lost = 0;
        for (partition, claims) in by_partition {
            let lease_end_ms = self.client.clock.now_ms() + ms(self.timing.lease);
            for claims in claims.chunks(MOST) {
                match renew(&connection, &partition, lease_end_ms, claims).await {
                    Ok((lost, cancels)) => {
                        n_lost += self.lose(&lost);
                        self.stop_each(&cancels, Stop::Cancelled);
                    }
                    Err(error) => failed = Some(refused_only(error)?),
                }
            }
        }
        match self.shared.locks.renew().await {
            Ok(0) => {}
            Ok(n_locks) => tracing::warn!(n_locks, "locks of concurrency keys lost; their handlers are stopped"),
            Err(error) => failed = Some(refused_only(error)?),
        }
        // A suspect whose lease is lost is settled by nobody here: without this, this replica would never take another one.
        self.forget_suspect().await;
        failed.map_or(Ok(n_lost), Err)
    }

    /// A lease that ended by itself is lost; one whose last job was settled while the renewal was under way is not. This task may
    /// read its answer before another one has read the answer to that settlement, which is for the other to judge.
    fn lose(&self, claims: &[String]) -> usize {
        let mut held = self.held();
        let mut n_lost = 0;
        for claim in claims {
            if held.claims.get(claim.as_str()).is_some_and(|claim| claim.left == claim.sealed) {
                continue;
            }
            if held.claims.remove(claim.as_str()).is_some() {
                n_lost += 1;
                held.jobs.retain(|_, job| {
                    let keep = *job.claim != **claim;
                    if !keep && let Some(stopper) = &job.stopper {
                        stopper.stop(Stop::Lost);
                    }
                    keep
                });
            }
        }
        n_lost
    }

    fn stop_each(&self, ids: &[JobId], why: Stop) {
        let held = self.held();
        for id in ids {
            if let Some(stopper) = held.jobs.get(id).and_then(|job| job.stopper.as_ref()) {
                stopper.stop(why);
            }
        }
    }

    /// Stops everything that runs, to be handed back.
    pub(crate) fn stop_all(&self) {
        for job in self.held().jobs.values() {
            if let Some(stopper) = &job.stopper {
                stopper.stop(Stop::HandBack);
            }
        }
    }

    /// Says that this replica lives and serves `queues`.
    ///
    /// # Errors
    /// [`Error::Unavailable`].
    pub async fn beat(&self, queues: &[String]) -> Result<(), Error> {
        let about = About {
            worker: self.worker().to_owned(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            started_ms: self.started_ms,
            queues: queues.to_vec(),
        };
        let about = serde_json::to_string(&about).map_err(|e| Error::Invalid(e.to_string()))?;
        let prefix = self.client.redis.prefix();
        let now_ms = self.client.clock.now_ms();
        let beat = Beat {
            replicas_key: &keys::replicas(prefix),
            replica_key: &keys::replica(prefix, self.replica.as_str()),
            replica: self.replica.as_str(),
            now_ms,
            about: &about,
            oldest_ms: now_ms.saturating_sub(10 * ms(ALIVE)),
        };
        beat.call(&self.client.redis.connection()).await
    }

    /// Takes this replica out of the list of those that live.
    pub(crate) async fn leave(&self) -> Result<(), Error> {
        let key = keys::replicas(self.client.redis.prefix());
        Ok(self.client.redis.connection().zrem(key, self.replica.as_str()).await?)
    }
}
