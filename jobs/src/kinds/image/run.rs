//! How pictures are had from a provider that takes its time: a run is begun once for a job, however often that runs, and paid once. While it
//! goes on the job is put off, so that it holds no slot; a webhook, where there is one, brings it back sooner.

use std::{
    sync::atomic::{AtomicBool, Ordering},
    time::Duration,
};

use chrono::Utc;
use providers::{
    Policy, ProviderError,
    image::{Begin, Begun, ImageRequest, Look, Pictures, Run, RunFailure, RunState, Stop},
};
use rust_decimal::{Decimal, prelude::ToPrimitive};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use store::{FalDelivery, Moment, NewUsage};

use crate::{
    handler::{Context, JobError},
    once::{LookedUp, OnceError, Told},
    usage,
};

/// The steps of a job that begin a run, of which the second is taken when nobody can tell what came of the first.
const STEPS: [&str; 2] = ["submit", "submit again"];
/// The first wait for a run, and the longest; each is half as long again as the one before.
const WAITS: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(15));
/// The same where a webhook tells that it is done, in case that is lost.
const WAITS_FOR_WEBHOOK: (Duration, Duration) = (Duration::from_secs(10), Duration::from_secs(60));
/// A webhook may name a run whose begin was not answered within this part of the time that it may take, and at most so long, before another
/// one is begun.
const NAMED_WITHIN: (u32, Duration) = (5, Duration::from_secs(300));
/// When a job is looked at again whose begin was not answered.
const UNANSWERED: Duration = Duration::from_secs(5);
/// A result that is healed is made in one go; so long its run is waited for.
const HEALING: Duration = Duration::from_secs(45);
const HEALED_LATER: Duration = Duration::from_secs(5);
/// A run that is not done after this is given up, and another one may be begun.
const GIVEN_UP: Duration = Duration::from_secs(24 * 3600);
/// Pictures that cannot be had after this will never be: they were paid, and nobody pays for others by itself.
const PICTURES_KEPT: Duration = Duration::from_secs(3600);

/// Why there are no pictures.
pub(super) enum Failure {
    /// It is said already what follows.
    Job(JobError),
    /// A stand-in may draw them.
    Provider(ProviderError),
    /// They were made, and cannot be had.
    Lost(ProviderError),
}

impl From<JobError> for Failure {
    fn from(error: JobError) -> Self {
        Self::Job(error)
    }
}

/// A run that this job has begun.
pub(super) struct BegunRun {
    run: Run,
    step: &'static str,
}

/// What an attempt that waits for its run hands on.
#[derive(Debug, Serialize, Deserialize)]
struct SoFar {
    /// How often it was asked for.
    asked: u32,
    /// Whether an answer said that it failed which may have been one of the way there.
    #[serde(default)]
    doubted: bool,
    /// In case that MongoDB was away when it should have been written down.
    run: Run,
    step: String,
}

impl SoFar {
    fn of(context: &Context) -> Option<Self> {
        serde_json::from_value(context.so_far.clone()?).ok()
    }
}

/// Whether an earlier attempt has begun a run, and waits for it.
pub(super) fn is_under_way(context: &Context) -> Option<String> {
    SoFar::of(context).map(|so_far| so_far.run.request_id)
}

/// What came of the run, which is begun unless that was done before.
pub(super) async fn pictures(
    context: &Context,
    request: &ImageRequest,
    key: &str,
) -> Result<(Pictures, BegunRun), Failure> {
    let webhook = context.providers.links.fal_webhook(&context.job_id.to_string());
    let begin = Begin { request, webhook: webhook.as_deref() };
    let (begun, is_new) = begun(context, begin, key).await?;
    let (mut asked, mut doubted) = match SoFar::of(context) {
        Some(so_far) if so_far.run.request_id == begun.run.request_id => (so_far.asked, so_far.doubted),
        _ => (0, false),
    };
    if is_new {
        context.progress.set(20, format!("run {} is begun", begun.run.request_id));
    }
    // Nobody wakes a healing.
    let (first, longest) = if webhook.is_some() && !context.healing { WAITS_FOR_WEBHOOK } else { WAITS };
    let mut waited = Duration::ZERO;
    let mut looked = if is_new { Ok(RunState::UnderWay) } else { look(context, &begun.run).await };
    loop {
        let mut message = format!("run {} is not done", begun.run.request_id);
        match looked {
            Ok(RunState::Made(pictures)) => {
                count(context, &begun.run).await;
                return Ok((pictures, begun));
            }
            Ok(RunState::Failed(failed)) if failed.is_certain || doubted => {
                return Err(begun.failed(context, failed).await);
            }
            Ok(RunState::Failed(_)) => doubted = true,
            Ok(RunState::UnderWay) => begun.check_deadline(context, None).await?,
            // That it cannot be asked for now says nothing of the run.
            Err(Failure::Provider(error)) if !context.healing => {
                begun.check_deadline(context, Some(&error)).await?;
                message = format!("{message}: {error}");
            }
            Err(error) => return Err(error),
        }
        let wait = growing(first, longest, asked);
        asked += 1;
        let code = "under_way";
        if !context.healing {
            let so_far = SoFar { asked, doubted, run: begun.run, step: begun.step.to_owned() };
            let so_far = serde_json::to_value(so_far).unwrap_or_default();
            return Err(JobError::Interrupted { code, message, after: wait, so_far }.into());
        }
        if waited + wait > HEALING {
            return Err(JobError::Snooze { code, message, after: HEALED_LATER }.into());
        }
        tokio::time::sleep(wait).await;
        waited += wait;
        looked = look(context, &begun.run).await;
    }
}

/// The wait after so many.
fn growing(first: Duration, longest: Duration, n: u32) -> Duration {
    first.mul_f64(1.5_f64.powi(i32::try_from(n.min(20)).unwrap_or(20))).min(longest)
}

/// No call of these may be answered by a stand-in: only together they are an answer.
fn policy(context: &Context) -> Policy<'_> {
    Policy { allow_fallback: false, ..context.policy() }
}

/// The run of this job, and whether it was begun just now.
async fn begun(context: &Context, begin: Begin<'_>, key: &str) -> Result<(BegunRun, bool), Failure> {
    for step in STEPS {
        match begun_as(step, context, begin, key).await {
            Ok((run, is_new)) => return Ok((BegunRun { run, step }, is_new)),
            // Nobody knows what came of it. So it is begun once more, and not a third time.
            Err(Unbegun::Earlier) if step == STEPS[0] => wait_for_name(step, context, begin).await?,
            Err(Unbegun::Earlier) => {}
            Err(Unbegun::Now(error)) => return Err(error),
        }
    }
    wait_for_name(STEPS[1], context, begin).await?;
    let message = "it was begun twice, and no answer came; it is not begun a third time, because both may be billed";
    let message = message.to_owned();
    Err(match since_begun(STEPS[1], context).await? {
        // A webhook may still name one of them.
        age if context.healing && age < GIVEN_UP => {
            let so_far = Value::String(STEPS[1].to_owned());
            JobError::Interrupted { code: "unknown_outcome", message, after: UNANSWERED, so_far }.into()
        }
        _ if context.healing => JobError::Fatal { code: "unknown_outcome", message }.into(),
        _ => Failure::Provider(ProviderError::Unable { service: "images", message }),
    })
}

/// A webhook names a run whose begin was not answered, though not before it is done: so it is waited for, as long as most runs take.
async fn wait_for_name(step: &str, context: &Context, begin: Begin<'_>) -> Result<(), Failure> {
    if begin.webhook.is_none() {
        return Ok(());
    }
    let deadline = context.providers.image.first_real().map_or(Duration::ZERO, |real| real.deadline());
    let patience = (deadline / NAMED_WITHIN.0).min(NAMED_WITHIN.1);
    let left = patience.saturating_sub(since_begun(step, context).await?);
    if left.is_zero() {
        return Ok(());
    }
    let message = "no answer came to its begin; if it is under way, a webhook will say so".to_owned();
    let after = if context.healing { UNANSWERED } else { left.min(WAITS_FOR_WEBHOOK.1) };
    Err(JobError::Snooze { code: "unknown_outcome", message, after }.into())
}

/// How long ago a step was begun first; without a store, as in some tests, for ever.
async fn since_begun(step: &str, context: &Context) -> Result<Duration, Failure> {
    let Some(store) = &context.store else { return Ok(GIVEN_UP) };
    let begun = store.receipt_begun(&context.job_id.to_string(), step).await.map_err(OnceError::from);
    let begun = begun.map_err(JobError::from)?;
    Ok(begun.map_or(Duration::ZERO, |begun| Duration::from_millis(now_ms().saturating_sub(begun.ms()))))
}

fn now_ms() -> u64 {
    u64::try_from(Utc::now().timestamp_millis()).unwrap_or(0)
}

enum Unbegun {
    /// An earlier attempt began it, and nobody knows what came of it.
    Earlier,
    Now(Failure),
}

async fn begun_as(step: &'static str, context: &Context, begin: Begin<'_>, key: &str) -> Result<(Run, bool), Unbegun> {
    if let Some(run) = waited_for(step, context).await? {
        return Ok((run, false));
    }
    let image = &context.providers.image;
    let is_new = AtomicBool::new(false);
    let write = async || {
        is_new.store(true, Ordering::Relaxed);
        match image.call(policy(context), &begin).await?.value {
            Begun::Run(run) => Ok(run),
            Begun::Made(_) => {
                Err(ProviderError::Unable { service: "images", message: "switched to mock meanwhile".to_owned() })
            }
        }
    };
    let run = context.once(step, key, Told::ByReceipt, || known_run(step, context, begin.request), write).await;
    let is_new = is_new.into_inner();
    run.map(|run| (run, is_new)).map_err(|error| match error {
        OnceError::Provider(ProviderError::UnknownOutcome { .. }) if !is_new => Unbegun::Earlier,
        // Looked after by the next run, and no attempt: it is begun twice at most.
        OnceError::Provider(error @ ProviderError::UnknownOutcome { .. }) => {
            let (code, message) = (error.code(), error.to_string());
            Unbegun::Now(JobError::Snooze { code, message, after: UNANSWERED }.into())
        }
        OnceError::Provider(error) => Unbegun::Now(Failure::Provider(error)),
        error @ OnceError::Store(_) => Unbegun::Now(Failure::Job(error.into())),
    })
}

/// The run that the job waits for, if its receipt still names it: nothing is to be begun then, nor written down.
async fn waited_for(step: &str, context: &Context) -> Result<Option<Run>, Unbegun> {
    let (Some(store), Some(so_far)) = (&context.store, SoFar::of(context).filter(|so_far| so_far.step == step)) else {
        return Ok(None);
    };
    let outcome = store.receipt(&context.job_id.to_string(), step).await;
    let outcome = outcome.map_err(|error| Unbegun::Now(Failure::Job(OnceError::from(error).into())))?;
    let run = outcome.and_then(|outcome| serde_json::from_value::<Run>(outcome).ok());
    Ok(run.filter(|run| run.request_id == so_far.run.request_id))
}

/// A run whose begin was not written down to its end: the run of the job before knew it, or its webhook names it.
async fn known_run(step: &str, context: &Context, request: &ImageRequest) -> Result<LookedUp<Run>, OnceError> {
    if let Some(so_far) = SoFar::of(context).filter(|so_far| so_far.step == step) {
        return Ok(LookedUp::There(so_far.run));
    }
    if let (Some(store), Some(provider)) = (&context.store, context.providers.image.first_real()) {
        let bodies = bodies(&store.fal_deliveries(&context.job_id.to_string()).await?);
        if let Some(run) = bodies.iter().rev().find_map(|body| provider.run_of_webhook(request, body)) {
            return Ok(LookedUp::There(run));
        }
    }
    Ok(LookedUp::CannotTell("it cannot be asked for a run whose id it did not tell".to_owned()))
}

/// What is no JSON tells nothing.
fn bodies(deliveries: &[FalDelivery]) -> Vec<Value> {
    deliveries.iter().filter_map(|delivery| serde_json::from_str(&delivery.body).ok()).collect()
}

/// How far the run is: as its webhook told, or as it is now.
async fn look(context: &Context, run: &Run) -> Result<RunState, Failure> {
    let image = &context.providers.image;
    if let (Some(store), Some(provider)) = (&context.store, image.first_real()) {
        let deliveries = store.fal_deliveries(&context.job_id.to_string()).await;
        let deliveries = deliveries.map_err(|error| JobError::from(OnceError::Store(error)))?;
        if let Some(state) = bodies(&deliveries).iter().find_map(|body| provider.read_webhook(run, body)) {
            return Ok(state);
        }
    }
    if image.first_real().is_some_and(|provider| !provider.can_look(run)) {
        tracing::debug!(job.id = %context.job_id, run = run.request_id, "only a webhook can tell of this run");
        return Ok(RunState::UnderWay);
    }
    match image.call(policy(context), &Look(run)).await {
        Ok(answer) => Ok(answer.value),
        Err(error) => Err(Failure::Provider(error)),
    }
}

impl BegunRun {
    fn age(&self) -> Duration {
        Duration::from_millis(now_ms().saturating_sub(self.run.begun_ms))
    }

    /// A run that takes too long is not waited for. It stays the job's: what comes of it is had when its result is healed. `error` is why
    /// it could not be asked for.
    async fn check_deadline(&self, context: &Context, error: Option<&ProviderError>) -> Result<(), Failure> {
        let Run { request_id, deadline_s, .. } = &self.run;
        let is_given_up = error.is_none() && self.age() > GIVEN_UP;
        if !is_given_up && (context.healing || self.age() < Duration::from_secs(*deadline_s)) {
            return Ok(());
        }
        let why = error.map(|error| format!(": {error}")).unwrap_or_default();
        let message = format!("run {request_id} is not done after {deadline_s} s{why}");
        let error = ProviderError::Unable { service: "images", message };
        if is_given_up {
            self.give_up(context, &error).await;
        }
        Err(Failure::Provider(error))
    }

    /// It has ended without pictures. What was billed stays the job's, so that no attempt and no healing pays again.
    async fn failed(&self, context: &Context, failed: RunFailure) -> Failure {
        let RunFailure { error, is_billed, .. } = failed;
        if !is_billed {
            let is_first = self.give_up(context, &error).await;
            if let Some(spent) = self.run.spent.clone().filter(|_| is_first) {
                context.providers.image.give_back(spent).await;
            }
            return Failure::Provider(error);
        }
        count(context, &self.run).await;
        match error {
            ProviderError::Unable { message, .. } if context.healing => {
                Failure::Job(JobError::Fatal { code: "provider_unable", message })
            }
            error => Failure::Provider(error),
        }
    }

    /// Its pictures cannot be had. They may come again, but not for ever; others would be paid again.
    pub(super) fn lost(&self, context: &Context, error: ProviderError) -> Failure {
        let message = error.to_string();
        if context.healing && self.age() > PICTURES_KEPT {
            return JobError::Fatal { code: "picture_lost", message }.into();
        }
        Failure::Provider(match error {
            ProviderError::Unable { service, message } => {
                ProviderError::Transient { service, message, retry_after: None }
            }
            error => error,
        })
    }

    /// The next attempt begins another one. False when somebody else has given it up, or that may not have been written down.
    async fn give_up(&self, context: &Context, why: &ProviderError) -> bool {
        let Some(store) = &context.store else { return false };
        let (job_id, request_id) = (context.job_id.to_string(), &self.run.request_id);
        let voided = async {
            store.void_fal_delivery(request_id).await?;
            store.void_receipt(&job_id, self.step, &why.to_string()).await
        };
        voided.await.unwrap_or_else(|error: store::Error| {
            tracing::warn!(job.id = job_id, %error, "a run that failed stays the job's, and is asked for again");
            false
        })
    }
}

/// Counts what a run cost, once.
async fn count(context: &Context, run: &Run) {
    let (Some(store), Some(provider)) = (&context.store, context.providers.image.first_real()) else { return };
    let nano_usd = run.cost.as_ref().and_then(|cost| {
        let amount: Decimal = cost.amount.parse().ok()?;
        (amount * Decimal::from(1_000_000_000)).to_u64()
    });
    let used = NewUsage {
        id: run.request_id.clone(),
        at: Some(Moment::from_ms(run.begun_ms)),
        tenant: context.tenant.clone(),
        service: provider.name().to_owned(),
        model: run.model.clone(),
        calls: 1,
        unpriced_calls: u64::from(nano_usd.is_none()),
        tokens_in: 0,
        tokens_out: 0,
        cost_nano_usd: nano_usd.unwrap_or(0),
    };
    usage::count(store, &context.tenant, &run.request_id, vec![used]).await;
}

/// Ends the runs of a job that was cancelled. Returns whether there was one that had not ended.
pub(super) async fn stop(context: &Context) -> Result<bool, JobError> {
    let Some(store) = &context.store else { return Ok(false) };
    let (image, job_id) = (&context.providers.image, context.job_id.to_string());
    let mut is_stopped = false;
    for step in STEPS {
        let receipt = store.receipt(&job_id, step).await.map_err(OnceError::from)?;
        let Some(run) = receipt.and_then(|outcome| serde_json::from_value::<Run>(outcome).ok()) else { continue };
        if !image.first_real().is_some_and(|provider| provider.can_look(&run)) {
            tracing::warn!(
                job.id = job_id,
                run = run.request_id,
                "a run of a cancelled job cannot be ended, and may be billed"
            );
            continue;
        }
        if image.call(policy(context), &Stop(&run)).await?.value {
            is_stopped = true;
            // What was ended gives no pictures, should the job be run again.
            let begun = BegunRun { run, step };
            let message = "the job was cancelled".to_owned();
            begun.give_up(context, &ProviderError::Unable { service: "images", message }).await;
        }
    }
    Ok(is_stopped)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_run_is_asked_for_ever_more_rarely() {
        let waits: Vec<u128> = (0..9).map(|n| growing(WAITS.0, WAITS.1, n).as_millis()).collect();
        assert_eq!(waits, [1_000, 1_500, 2_250, 3_375, 5_062, 7_593, 11_390, 15_000, 15_000]);
        assert_eq!(growing(WAITS_FOR_WEBHOOK.0, WAITS_FOR_WEBHOOK.1, u32::MAX), WAITS_FOR_WEBHOOK.1);
    }
}
