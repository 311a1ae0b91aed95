//! Pushes the jobs that are in the outbox (`store/src/outbox.rs`), in however many replicas it runs.

use std::{
    collections::BTreeSet,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use async_recursion::async_recursion as boxed;
use queue::{Client, NewJob};
use store::{Moment, OutboxEntry, Store};

use crate::{
    error::Error,
    relay::{Became, Parcel, Relay, again},
};

/// MongoDB is asked at least so often what is to be pushed.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// The wait after a failure.
const PAUSE: Duration = Duration::from_secs(1);
/// Jobs that are handled at a time.
const BATCH: usize = 500;

/// Looks at the outbox and pushes its jobs.
#[derive(Debug, Clone)]
pub struct Outbox {
    relay: Relay,
    /// What cannot be read or pushed is told once.
    told: Arc<Mutex<BTreeSet<String>>>,
}

impl Outbox {
    /// One that pushes with this client; time is the client's.
    #[must_use]
    pub fn new(client: Client, store: Store) -> Self {
        Self { relay: Relay { client, store }, told: Arc::default() }
    }

    /// Runs until it is dropped; an outage only delays it.
    #[boxed]
    pub async fn run(self) {
        let (mut is_prepared, mut failing) = (false, false);
        loop {
            let looked = async {
                if !is_prepared {
                    self.relay.store.prepare_outbox().await?;
                    is_prepared = true;
                }
                self.look().await
            };
            let wait = match looked.await {
                Ok(wait) => {
                    if std::mem::take(&mut failing) {
                        tracing::info!("the outbox goes on");
                    }
                    wait
                }
                Err(error) => {
                    if !std::mem::replace(&mut failing, true) {
                        tracing::warn!(%error, "the outbox cannot be looked at; what is in it waits");
                    }
                    PAUSE
                }
            };
            tokio::time::sleep(wait).await;
        }
    }

    /// Pushes all that is due, and says when to look again.
    ///
    /// # Errors
    /// [`Error`]; nothing is lost, and it may be repeated.
    #[boxed]
    pub async fn look(&self) -> Result<Duration, Error> {
        let Relay { client, store } = &self.relay;
        let now_ms = client.now_ms();
        if store.next_outbox_ms().await?.is_some_and(|at| at <= now_ms) {
            let mut left = Vec::new();
            loop {
                let found = store.outbox_to_push(now_ms, &left, BATCH).await?;
                let n_found = found.n();
                for odd in found.unreadable {
                    self.tell(&odd.id, &odd.reason);
                    left.push(odd.id);
                }
                left.extend(self.push(found.read).await?);
                if n_found < BATCH {
                    break;
                }
            }
        }
        Ok(LOOK_EVERY)
    }

    /// Pushes these jobs of the outbox now and marks them; whoever has just put them there may call it, so that they do not wait for the
    /// next look. Returns the names of those that it left as they are.
    ///
    /// # Errors
    /// [`Error`]; nothing is lost: the next look pushes them.
    #[boxed]
    pub async fn push(&self, entries: Vec<OutboxEntry>) -> Result<Vec<String>, Error> {
        let now_ms = self.relay.client.now_ms();
        let (mut waiting, mut parcels, mut settled) = (Vec::new(), Vec::new(), Vec::new());
        for entry in entries {
            match &entry.payload {
                Some(payload) => {
                    let job = NewJob { tenant: entry.tenant.clone(), ..NewJob::new(&entry.kind, payload.clone()) };
                    let (name, at_ms, since_ms) = (entry.name.clone(), entry.at.ms(), entry.created_at.ms());
                    parcels.push(Parcel { name, at_ms, since_ms, job });
                    waiting.push(entry);
                }
                // Another replica was ahead of one that marked it late: it is over.
                None if entry.pushed_at.is_some() => settled.push(OutboxEntry { push_at: None, ..entry }),
                None => settled.push(void(entry, "what is to be pushed is not there".to_owned(), now_ms)),
            }
        }
        let (mut left, mut failure) = (Vec::new(), None);
        for (entry, became) in waiting.into_iter().zip(self.relay.push(parcels).await?) {
            match became {
                Became::Pushed(id) => {
                    let push_at = again(entry.pushed_at.is_none(), now_ms);
                    settled.push(OutboxEntry {
                        job: Some(id.to_string()),
                        pushed_at: entry.pushed_at.or(Some(Moment::from_ms(now_ms))),
                        payload: entry.payload.filter(|_| push_at.is_some()),
                        push_at,
                        ..entry
                    });
                }
                Became::Ended(id) => settled.push(OutboxEntry {
                    job: Some(id.to_string()),
                    pushed_at: entry.pushed_at.or(Some(Moment::from_ms(now_ms))),
                    payload: None,
                    push_at: None,
                    ..entry
                }),
                Became::Void(reason) => settled.push(void(entry, reason, now_ms)),
                Became::Held(error) => {
                    self.tell(&entry.name, &error.to_string());
                    left.push(entry.name);
                }
                Became::Failed(error) => failure = Some(error),
            }
        }
        self.relay.store.settle_outbox(&settled).await?;
        failure.map_or(Ok(left), |error| Err(error.into()))
    }

    fn tell(&self, name: &str, reason: &str) {
        if self.told.lock().unwrap_or_else(PoisonError::into_inner).insert(name.to_owned()) {
            tracing::error!(name, reason, "a job of the outbox cannot be pushed; it is tried again each second");
        }
    }
}

fn void(entry: OutboxEntry, reason: String, now_ms: u64) -> OutboxEntry {
    tracing::error!(name = entry.name, kind = entry.kind, reason, "a job of the outbox is given up");
    let pushed_at = entry.pushed_at.or(Some(Moment::from_ms(now_ms)));
    OutboxEntry { reason: Some(reason), pushed_at, payload: None, push_at: None, ..entry }
}
