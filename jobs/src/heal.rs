//! Healing: when a service answers again, real results take the place of those that a stand-in made meanwhile.
//!
//! What is to be healed is in MongoDB (see `store/src/degraded.rs`), so neither a second outage nor the death of a worker loses any.
//! Each result is made by its kind's handler, as if its job ran for the first time, but nothing may stand in for the service again.

use std::{
    sync::atomic::{AtomicU64, Ordering},
    time::{Duration, Instant},
};

use futures::{StreamExt, future::BoxFuture, stream};
use providers::Hold;
use queue::{Client, Clock, JobId, Kind, Reporter};
use serde::Serialize;
use serde_json::Value;
use services::Name;
use store::{Degraded, Moment, Replacement, Store};
use utoipa::ToSchema;

use crate::{
    handler::{Context, Done, Handler, JobError, Registry},
    kept::Kept,
    kinds,
    republish::republish,
};

/// Results that are made at a time, in one healing.
const AT_A_TIME: usize = 4;
/// A service that asks for a shorter wait is waited for.
const SHORT: Duration = Duration::from_secs(5);
/// A result that could not be made is tried again after this time, doubled each time.
const LATER: Duration = Duration::from_secs(5);
/// At the longest: everybody waits for a service of one account, which comes back.
const LONGEST: Duration = Duration::from_secs(15 * 60);
/// Of the many accounts that a service has elsewhere, some never come back.
const LONGEST_OF_MANY: Duration = Duration::from_secs(24 * 3600);
/// So many failures in a row, and the service counts as away.
const AWAY: u64 = 3;
/// Then it is tried again after this time.
const TRY_AGAIN: Duration = Duration::from_secs(30);

/// What a healing did.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, ToSchema)]
pub struct Healed {
    /// Results that are real now.
    pub replaced: u64,
    /// Results that stay as they are: edited since they were made, refused by the service, or too old.
    pub left_alone: u64,
    /// Results that are tried again later: their tenant has spent its money of the day, or the service failed.
    pub put_off: u64,
}

type Run = for<'a> fn(Value, &'a Context) -> BoxFuture<'a, Result<Done<Value>, JobError>>;

/// A kind whose results can be healed.
pub(crate) struct Healer {
    pub(crate) kind: Kind,
    pub(crate) collection: &'static str,
    service: Name,
    one_account: bool,
    within: Option<Duration>,
    is_further: fn(Option<&Value>, &Value) -> bool,
    run: Run,
}

impl Healer {
    /// When a result is too old to be healed.
    fn ends(&self, degraded: &Degraded) -> Option<Moment> {
        let within_ms = u64::try_from(self.within?.as_millis()).unwrap_or(u64::MAX);
        Some(Moment::from_ms(degraded.made_at.ms().saturating_add(within_ms)))
    }

    /// When a result is taken again that is put off for so long: no later than it is too old, so that nothing waits for it after that.
    fn until(&self, degraded: &Degraded, wait: Duration) -> Moment {
        let until = later(wait);
        self.ends(degraded).map_or(until, |end| until.min(end))
    }
}

/// The kinds whose results a stand-in may make for `service`.
pub(crate) fn kinds_of(service: Name) -> Vec<Healer> {
    let mut healers = kinds::of_services(Healers::default()).0;
    healers.retain(|healer| healer.service == service);
    healers
}

/// Every service whose results can be healed, and the collections of these.
#[must_use]
pub fn healable() -> Vec<(Name, Vec<&'static str>)> {
    let mut services: Vec<(Name, Vec<&'static str>)> = Vec::new();
    for Healer { service, collection, .. } in kinds::of_services(Healers::default()).0 {
        match services.iter_mut().find(|(name, _)| *name == service) {
            Some((_, collections)) => collections.push(collection),
            None => services.push((service, vec![collection])),
        }
    }
    services
}

#[derive(Default)]
struct Healers(Vec<Healer>);

impl Registry for Healers {
    fn add<J: Handler>(mut self) -> Self {
        if let (Some(service), true) = (J::SERVICE, J::ALLOW_FALLBACK) {
            let kind = Kind::of::<J>();
            self.0.push(Healer {
                kind,
                collection: J::COLLECTION,
                service,
                one_account: J::ONE_ACCOUNT,
                within: J::HEAL_WITHIN,
                is_further: J::is_further,
                run: |payload, context| Box::pin(run::<J>(payload, context)),
            });
        }
        self
    }
}

async fn run<J: Handler>(payload: Value, context: &Context) -> Result<Done<Value>, JobError> {
    let fatal = |message| JobError::Fatal { code: "invalid_payload", message };
    let payload: J = serde_json::from_value(payload).map_err(|error| fatal(error.to_string()))?;
    let Done { result, provider, degraded_reason } = payload.run(context).await?;
    let result = serde_json::to_value(result).map_err(|error| fatal(error.to_string()))?;
    Ok(Done { result, provider, degraded_reason })
}

/// Why a healing goes no further now.
enum Stop {
    /// Nothing is left to be done.
    Done,
    /// Some may be left.
    TimeIsOver,
    /// The service cannot answer now.
    Away(JobError),
}

/// One healing under way.
struct Healing<'a> {
    service: Name,
    context: &'a Context,
    store: &'a Store,
    client: &'a Client,
    until: Instant,
    replaced: AtomicU64,
    left_alone: AtomicU64,
    put_off: AtomicU64,
    /// Failures since the last success.
    failures: AtomicU64,
}

/// Heals the results of `service`, until nothing is left, or the service cannot answer, or this job has to make room for others.
///
/// # Errors
/// [`JobError::Snooze`] when something is left.
pub(crate) async fn heal(service: Name, context: &Context) -> Result<Healed, JobError> {
    let (Some(store), Some(client)) = (&context.store, &context.client) else {
        return Err(JobError::Fatal { code: "no_store", message: "healing needs redis and mongodb".to_owned() });
    };
    let healing = Healing {
        service,
        context,
        store,
        client,
        until: Instant::now() + context.time_for_a_task(),
        replaced: AtomicU64::new(0),
        left_alone: AtomicU64::new(0),
        put_off: AtomicU64::new(0),
        failures: AtomicU64::new(0),
    };
    let mut stop = Stop::Done;
    for healer in kinds_of(service) {
        let lanes = stream::iter(0..AT_A_TIME).map(|_| healing.heal_kind(&healer)).buffer_unordered(AT_A_TIME);
        let stopped: Vec<Stop> = lanes.collect().await;
        stop = stopped.into_iter().fold(stop, Stop::or);
    }
    let healed = healing.healed();
    let summary = format!("{} replaced, {} left alone, {} put off", healed.replaced, healed.left_alone, healed.put_off);
    tracing::info!(
        service = service.as_str(),
        healed.replaced,
        healed.left_alone,
        healed.put_off,
        "results of stand-ins were healed"
    );
    match stop {
        Stop::Done => Ok(healed),
        Stop::TimeIsOver => {
            Err(JobError::Snooze { code: "more_to_heal", message: summary, after: Duration::from_millis(100) })
        }
        Stop::Away(JobError::Snooze { code, message, after }) => {
            Err(JobError::Snooze { code, message: format!("{message}; {summary}"), after })
        }
        Stop::Away(error) => {
            Err(JobError::Snooze { code: "service_away", message: format!("{error}; {summary}"), after: TRY_AGAIN })
        }
    }
}

impl Stop {
    /// The one that leaves more to be done.
    fn or(self, other: Self) -> Self {
        match (self, other) {
            (Self::Away(error), _) | (_, Self::Away(error)) => Self::Away(error),
            (Self::TimeIsOver, _) | (_, Self::TimeIsOver) => Self::TimeIsOver,
            (Self::Done, Self::Done) => Self::Done,
        }
    }
}

impl Healing<'_> {
    /// Heals results of one kind, one after the other.
    async fn heal_kind(&self, healer: &Healer) -> Stop {
        loop {
            match self.heal_next(healer).await {
                Ok(()) => {}
                Err(stop) => return stop,
            }
        }
    }

    async fn heal_next(&self, healer: &Healer) -> Result<(), Stop> {
        if Instant::now() >= self.until {
            return Err(Stop::TimeIsOver);
        }
        if !self.context.providers.is_real(self.service) {
            // The results stay as they are until the service is real again.
            return Err(Stop::Done);
        }
        let lease = Duration::from_secs(2 * healer.kind.timeout_s);
        let taken = self.store.take_degraded(healer.collection, now(), lease).await.map_err(away)?;
        let Some(degraded) = taken else { return Err(Stop::Done) };
        if degraded.replaced.is_none() && healer.ends(&degraded).is_some_and(|end| end <= now()) {
            return self.leave_alone(healer, &degraded, "too old").await;
        }
        let replacement = match &degraded.replaced {
            Some(replacement) => replacement.clone(),
            None => match self.make(healer, &degraded).await? {
                Some(replacement) => replacement,
                None => return Ok(()),
            },
        };
        self.announce(healer.collection, &degraded, replacement).await
    }

    /// The real result, stored; `None` when this one is not to be had now, or stays as it is.
    async fn make(&self, healer: &Healer, degraded: &Degraded) -> Result<Option<Replacement>, Stop> {
        let Ok(job_id) = degraded.job_id.parse::<JobId>() else {
            self.leave_alone(healer, degraded, "its id is none of ours").await?;
            return Ok(None);
        };
        if let Err(error) = self.context.providers.pace_healing(healer.service).await {
            self.put_off(healer, degraded, Duration::ZERO).await?;
            return Err(Stop::Away(error.into()));
        }
        let context = Context {
            job_id,
            tenant: degraded.tenant.clone(),
            attempt: 1,
            max_attempts: healer.kind.max_attempts,
            timeout: Duration::from_secs(healer.kind.timeout_s),
            allow_fallback: false,
            healing: true,
            so_far: degraded.so_far.clone(),
            progress: Reporter::nobody(),
            ..self.context.clone()
        };
        let made = tokio::time::timeout(context.timeout, (healer.run)(degraded.payload.clone(), &context)).await;
        let made = made.unwrap_or_else(|_| {
            Err(JobError::Retry { code: "timed_out", message: "no result within its time".to_owned(), after: None })
        });
        match made {
            Ok(done) if done.degraded_reason.is_none() && self.context.providers.is_real(self.service) => {
                self.failures.store(0, Ordering::Relaxed);
                let replacement = Replacement { provider: done.provider.map(str::to_owned), result: done.result };
                if self.store.replace_degraded(healer.collection, degraded, &replacement).await.map_err(away)? {
                    return Ok(Some(replacement));
                }
                self.left_alone.fetch_add(1, Ordering::Relaxed);
                Ok(None)
            }
            // Switched to mock meanwhile.
            Ok(_) => {
                self.put_off(healer, degraded, Duration::ZERO).await?;
                Err(Stop::Done)
            }
            Err(error) => self.failed(healer, degraded, error).await.map(|()| None),
        }
    }

    /// A result could not be made.
    async fn failed(&self, healer: &Healer, degraded: &Degraded, error: JobError) -> Result<(), Stop> {
        tracing::debug!(job.id = degraded.job_id, service = self.service.as_str(), %error, "a stand-in's result could not be replaced");
        match error {
            JobError::Fatal { message, .. } => self.leave_alone(healer, degraded, &message).await,
            JobError::Snooze { code, after, .. } if code == Hold::SpendingCap.code() => {
                let until = later(after);
                self.store.put_off_tenant(healer.collection, &degraded.tenant, until).await.map_err(away)?;
                self.put_off(healer, degraded, after).await
            }
            JobError::Snooze { code, after, .. } if code == Hold::BreakerOpen.code() && !healer.one_account => {
                self.put_off_longer(healer, degraded, after, None).await
            }
            JobError::Snooze { after, .. } if after <= SHORT || !healer.one_account => {
                self.put_off(healer, degraded, after).await
            }
            error @ JobError::Snooze { .. } => {
                self.put_off(healer, degraded, Duration::ZERO).await?;
                Err(Stop::Away(error))
            }
            // A healed result must be whole: what was done is kept until the rest is.
            JobError::Interrupted { after, so_far, .. } if (healer.is_further)(degraded.so_far.as_ref(), &so_far) => {
                self.put_off.fetch_add(1, Ordering::Relaxed);
                let until = healer.until(degraded, after.max(LATER));
                let kept = self.store.interrupted_degraded(healer.collection, &degraded.job_id, until, &so_far);
                kept.await.map_err(away)
            }
            JobError::Interrupted { after, so_far, .. } => {
                self.put_off_longer(healer, degraded, after, Some(&so_far)).await
            }
            JobError::Retry { after, .. } if !healer.one_account => {
                self.put_off_longer(healer, degraded, after.unwrap_or_default(), None).await
            }
            JobError::Retry { code, message, after: Some(after) } => {
                self.put_off(healer, degraded, Duration::ZERO).await?;
                Err(Stop::Away(JobError::Snooze { code, message, after }))
            }
            error @ JobError::Retry { .. } => {
                self.put_off_longer(healer, degraded, Duration::ZERO, None).await?;
                if self.failures.fetch_add(1, Ordering::Relaxed) + 1 < AWAY {
                    return Ok(());
                }
                Err(Stop::Away(error))
            }
        }
    }

    /// Shows the real result wherever the job is seen. Repeated by the next healing if this one dies before its end.
    async fn announce(&self, collection: &str, degraded: &Degraded, replacement: Replacement) -> Result<(), Stop> {
        let Replacement { provider, result } = replacement;
        if let Ok(id) = degraded.job_id.parse::<JobId>() {
            let republished = republish(self.store, self.client, collection, (id, &degraded.tenant), &result).await;
            let n = republished.map_err(away)?;
            if n > 0 {
                tracing::info!(
                    job.id = degraded.job_id,
                    n,
                    "what was published of a stand-in's result is published again"
                );
            }
            let kept = Kept { result, provider: provider.clone(), ..Kept::default() }.shortened(collection);
            match self.client.replace_result(id, kept).await {
                Ok(_) | Err(queue::Error::Conflict(_)) => {}
                Err(error) => return Err(away(error)),
            }
        }
        self.store.announced(collection, &degraded.job_id, provider.as_deref()).await.map_err(away)?;
        self.replaced.fetch_add(1, Ordering::Relaxed);
        Ok(())
    }

    async fn leave_alone(&self, healer: &Healer, degraded: &Degraded, why: &str) -> Result<(), Stop> {
        self.left_alone.fetch_add(1, Ordering::Relaxed);
        self.store.leave_alone(healer.collection, &degraded.job_id, why).await.map_err(away)
    }

    async fn put_off(&self, healer: &Healer, degraded: &Degraded, wait: Duration) -> Result<(), Stop> {
        if !wait.is_zero() {
            self.put_off.fetch_add(1, Ordering::Relaxed);
        }
        let until = healer.until(degraded, wait);
        self.store.put_off_degraded(healer.collection, &degraded.job_id, until).await.map_err(away)
    }

    /// For longer than the last time, and for no less than is `asked` for. `so_far`: what was done of it, where that is known.
    async fn put_off_longer(
        &self,
        healer: &Healer,
        degraded: &Degraded,
        asked: Duration,
        so_far: Option<&Value>,
    ) -> Result<(), Stop> {
        self.put_off.fetch_add(1, Ordering::Relaxed);
        let until = healer.until(degraded, longer(degraded.failures, healer.one_account).max(asked));
        self.store.failed_degraded(healer.collection, &degraded.job_id, until, so_far).await.map_err(away)
    }

    fn healed(&self) -> Healed {
        let count = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        Healed { replaced: count(&self.replaced), left_alone: count(&self.left_alone), put_off: count(&self.put_off) }
    }
}

/// The wait after so many failures.
fn longer(failures: u32, one_account: bool) -> Duration {
    let longest = if one_account { LONGEST } else { LONGEST_OF_MANY };
    LATER.saturating_mul(1 << failures.min(20)).min(longest)
}

/// Redis or MongoDB cannot be had: what was taken comes again when its lease is over.
fn away(error: impl std::fmt::Display) -> Stop {
    Stop::Away(JobError::Snooze { code: "store_unavailable", message: error.to_string(), after: TRY_AGAIN })
}

fn now() -> Moment {
    later(Duration::ZERO)
}

fn later(wait: Duration) -> Moment {
    let wait_ms = u64::try_from(wait.as_millis()).unwrap_or(u64::MAX);
    Moment::from_ms(Clock::default().now_ms().saturating_add(wait_ms))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_never_comes_back_is_asked_for_ever_more_rarely() {
        let waits =
            |one_account| (0..40).map(move |failures| longer(failures, one_account).as_secs()).collect::<Vec<_>>();
        assert_eq!(waits(true)[..4], [5, 10, 20, 40]);
        assert_eq!((waits(true)[39], waits(false)[39]), (15 * 60, 24 * 3600));
        assert!(waits(false).is_sorted());
    }
}
