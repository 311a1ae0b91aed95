//! Pushes the jobs of ticks, and writes what became of these.

use std::{collections::BTreeMap, sync::Arc};

use futures::{StreamExt, TryStreamExt, stream};
use queue::{Client, JobId, NewJob};
use serde::{Deserialize, Serialize};
use store::{Store, Tick, TickOutcome, Unreadable};

use super::{
    rows::BATCH,
    told::{Told, ids},
};
use crate::{
    admission::{Admission, Admitted},
    definition::{JobSpec, Overlap},
    error::Error,
    relay::{Became, Parcel, Relay, again, is_of_one_queue},
    stored::time,
};

/// Ticks whose predecessors are looked at, at a time.
const AT_ONCE: usize = 16;
/// A tick whose job only a newer release can read is left to that for so long.
const LEFT_TO_OTHERS_MS: u64 = 3600 * 1000;

/// What is pushed for a tick.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Spec {
    pub(super) tenant: String,
    pub(super) name: String,
    pub(super) overlap: Overlap,
    pub(super) job: JobSpec,
}

/// Pushes jobs.
#[derive(Debug, Clone)]
pub(super) struct Pusher {
    pub(super) client: Client,
    pub(super) store: Store,
    pub(super) told: Told,
    /// Who says whether a job may be enqueued; `None`: each may.
    pub(super) admission: Option<Arc<dyn Admission>>,
}

impl Pusher {
    /// Pushes the ticks of replicas that did not get as far, and those that are pushed once more.
    pub(super) async fn push_waiting(&self, now_ms: u64) -> Result<(), Error> {
        let mut left = Vec::new();
        loop {
            let found = self.store.ticks_to_push(now_ms, &left, BATCH).await?;
            let n_found = found.n();
            self.told.unreadable(&found.unreadable);
            left.extend(ids(&found.unreadable));
            left.extend(self.push(found.read, now_ms).await?);
            if n_found < BATCH {
                return Ok(());
            }
        }
    }

    /// Pushes the jobs of ticks and writes what became of them. Returns the ids of those that it left as they are.
    pub(super) async fn push(&self, ticks: Vec<Tick>, now_ms: u64) -> Result<Vec<String>, Error> {
        let (mut free, mut guarded) = (Vec::new(), BTreeMap::<String, Vec<(Tick, Spec)>>::new());
        let (mut settled, mut left) = (Vec::new(), Vec::new());
        for tick in ticks {
            match tick.spec.as_deref().map(serde_json::from_str::<Spec>) {
                Some(Ok(spec)) if spec.overlap == Overlap::Allow || tick.outcome != TickOutcome::New => {
                    free.push((tick, spec));
                }
                Some(Ok(spec)) => guarded.entry(tick.schedule.clone()).or_default().push((tick, spec)),
                Some(Err(error)) if tick.created_at.ms() + LEFT_TO_OTHERS_MS > now_ms => {
                    self.told.unreadable(&[Unreadable { id: tick.id.clone(), reason: error.to_string() }]);
                    left.push(tick.id);
                }
                Some(Err(error)) => {
                    settled.push(skipped(tick, format!("what is to be pushed cannot be read: {error}")))
                }
                None => settled.push(skipped(tick, "what is to be pushed is not there".to_owned())),
            }
        }
        self.store.settle_ticks(&settled).await?;
        if !free.is_empty() {
            left.extend(self.push_now(free).await?);
        }
        let guarded = guarded.into_values().map(|ticks| self.push_in_turn(ticks));
        let left_behind: Vec<Vec<String>> = stream::iter(guarded).buffer_unordered(AT_ONCE).try_collect().await?;
        left.extend(left_behind.into_iter().flatten());
        Ok(left)
    }

    /// Pushes the jobs of a schedule's ticks of which each minds the one before. Returns the ids of those that it left as they are.
    async fn push_in_turn(&self, mut ticks: Vec<(Tick, Spec)>) -> Result<Vec<String>, Error> {
        ticks.sort_by_key(|(tick, _)| tick.tick.ms());
        let mut left = Vec::new();
        for (tick, spec) in ticks {
            let (id, schedule) = (tick.id.clone(), tick.schedule.clone());
            match self.push_guarded(tick, spec).await {
                Ok(left_behind) => left.extend(left_behind),
                Err(Error::Queue(error)) if is_of_one_queue(&error) => {
                    self.told.held_up(&schedule, &error);
                    left.push(id);
                }
                Err(error) => return Err(error),
            }
        }
        Ok(left)
    }

    /// Pushes the job of a tick that minds the one before. Returns its id if it was left as it is.
    async fn push_guarded(&self, tick: Tick, spec: Spec) -> Result<Vec<String>, Error> {
        let before = self.store.tick_before(&tick.schedule, tick.tick).await?;
        // One that only a newer release can push must not hold up those behind it.
        let can_be_minded = |before: &Tick| {
            before.outcome != TickOutcome::New
                || before.spec.as_deref().is_none_or(|spec| serde_json::from_str::<Spec>(spec).is_ok())
        };
        if let Some(before) = before.filter(can_be_minded) {
            if before.outcome == TickOutcome::New {
                // Its job has to be pushed first: both are looked at again.
                return Ok(vec![tick.id]);
            }
            let job = before.job.as_deref().and_then(|id| id.parse::<JobId>().ok());
            let running = match job {
                Some(id) => self.client.find(id).await?.filter(|view| !view.state.is_finished()).map(|view| view.id),
                None => None,
            };
            if let Some(running) = running {
                let own = self.client.fixed_id(&spec.job.kind, &tick.schedule, tick.tick.ms()).await?;
                let was_pushed = self.client.find(own).await?.is_some();
                if spec.overlap == Overlap::Skip && !was_pushed {
                    let reason = format!("job {running} of the time before has not ended");
                    self.store.settle_ticks(&[skipped(tick, reason)]).await?;
                    return Ok(Vec::new());
                }
                if spec.overlap == Overlap::CancelRunning {
                    match self.client.cancel(running).await {
                        Ok(_) | Err(queue::Error::NotFound | queue::Error::Conflict(_)) => {}
                        Err(error) => return Err(error.into()),
                    }
                }
            }
        }
        self.push_now(vec![(tick, spec)]).await
    }

    /// Pushes the jobs of ticks. Returns the ids of those that it left as they are.
    async fn push_now(&self, ticks: Vec<(Tick, Spec)>) -> Result<Vec<String>, Error> {
        let now_ms = self.client.now_ms();
        let (mut waiting, mut parcels, mut settled) = (Vec::new(), Vec::new(), Vec::new());
        for (tick, spec) in ticks {
            match spec.job.to_job(&spec.tenant, &spec.name, time(tick.tick), now_ms) {
                Ok(job) => match self.admit(&tick, &job).await? {
                    Admitted::Yes(taken) => {
                        let (name, at_ms, since_ms) = (tick.schedule.clone(), tick.tick.ms(), tick.created_at.ms());
                        parcels.push(Parcel { name, at_ms, since_ms, job });
                        waiting.push((tick, taken));
                    }
                    Admitted::No(reason) => settled.push(skipped(tick, reason)),
                },
                Err(error) => settled.push(skipped(tick, format!("the job's options cannot be read: {error}"))),
            }
        }
        let (mut left, mut failure) = (Vec::new(), None);
        let relay = Relay { client: self.client.clone(), store: self.store.clone() };
        let became = match relay.push(parcels).await {
            Ok(became) => became,
            Err(error) => {
                // They are pushed at another look, and counted then.
                for taken in waiting.iter().filter_map(|(_, taken)| taken.as_ref()) {
                    self.client.give_back(taken, taken.n()).await;
                }
                return Err(error);
            }
        };
        for ((tick, taken), became) in waiting.into_iter().zip(became) {
            if let (Some(taken), false) = (taken, matches!(became, Became::Pushed(_))) {
                self.client.give_back(&taken, taken.n()).await;
            }
            match became {
                Became::Pushed(id) => settled.push(done(tick, id, now_ms)),
                Became::Ended(id) => settled.push(Tick { spec: None, push_at: None, ..done(tick, id, now_ms) }),
                Became::Void(reason) => settled.push(skipped(tick, reason)),
                Became::Held(error) => {
                    self.told.held_up(&tick.schedule, &error);
                    left.push(tick.id);
                }
                Became::Failed(error) => failure = Some(error),
            }
        }
        self.store.settle_ticks(&settled).await?;
        failure.map_or(Ok(left), |error| Err(error.into()))
    }
}

impl Pusher {
    /// Whether the job of a tick may be enqueued. One that was pushed before a kill, or is only pushed once more, is not asked about: it is
    /// there, or was.
    async fn admit(&self, tick: &Tick, job: &NewJob) -> Result<Admitted, Error> {
        let Some(admission) = self.admission.as_ref().filter(|_| tick.outcome == TickOutcome::New) else {
            return Ok(Admitted::Yes(None));
        };
        let admitted = admission.admit(job).await?;
        if let Admitted::No(_) = admitted {
            let own = self.client.fixed_id(&job.kind, &tick.schedule, tick.tick.ms()).await?;
            if self.client.find(own).await?.is_some() {
                return Ok(Admitted::Yes(None));
            }
        }
        Ok(admitted)
    }
}

fn skipped(tick: Tick, reason: String) -> Tick {
    tracing::info!(schedule = tick.schedule, tick = %time(tick.tick), reason, "no job is enqueued");
    Tick { outcome: TickOutcome::Skipped, reason: Some(reason), push_at: None, spec: None, ..tick }
}

/// The first time it is pushed once more later; then it is over.
fn done(tick: Tick, job: JobId, now_ms: u64) -> Tick {
    let push_at = again(tick.outcome == TickOutcome::New, now_ms);
    Tick {
        outcome: TickOutcome::Pushed,
        job: Some(job.to_string()),
        spec: tick.spec.filter(|_| push_at.is_some()),
        push_at,
        ..tick
    }
}
