//! How pictures are had from a provider that takes its time: a run is begun once for a job, however often that runs, and paid once. While it
//! goes on the job is put off, so that it holds no slot; a webhook, where there is one, brings it back sooner.

use std::{
    sync::atomic::{AtomicBool, Ordering},
    time::Duration,
};

use chrono::Utc;
use providers::{
    Policy, ProviderError,
    image::{Begin, Begun, ImageRequest, Look, Pictures, Run, RunState, Stop},
};
use rust_decimal::{Decimal, prelude::ToPrimitive};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use store::{FalDelivery, NewUsage};

use crate::{
    handler::{Context, JobError},
    once::{LookedUp, OnceError, Told},
};

/// The steps of a job that begin a run, of which the second is taken when nobody can tell what came of the first.
const STEPS: [&str; 2] = ["submit", "submit again"];
/// The first wait for a run, and the longest; each is half as long again as the one before.
const WAITS: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(15));
/// The same where a webhook tells that it is done, in case that is lost.
const WAITS_FOR_WEBHOOK: (Duration, Duration) = (Duration::from_secs(10), Duration::from_secs(60));
/// A webhook may name a run whose begin was not answered within this part of the time that it may take, before another one is begun.
const NAMED_WITHIN: u32 = 5;
/// A result that is healed is made in one go; so long its run is waited for.
const HEALING: Duration = Duration::from_secs(45);
const HEALED_LATER: Duration = Duration::from_secs(5);
/// A run that is not done after this, or whose pictures cannot be had after [`PICTURES_KEPT`], is given up, and another one may be begun.
const GIVEN_UP: Duration = Duration::from_secs(24 * 3600);
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

/// What an attempt that is put off hands on.
#[derive(Debug, Serialize, Deserialize)]
enum SoFar {
    /// The run, in case that MongoDB was away when it should have been written down.
    UnderWay {
        /// How often it was asked for.
        asked: u32,
        run: Box<Run>,
        step: String,
    },
    /// Nobody knows what came of the begin; a webhook is to name the run.
    Unnamed {
        /// In Unix milliseconds.
        since_ms: u64,
    },
}

impl SoFar {
    fn of(context: &Context) -> Option<Self> {
        serde_json::from_value(context.so_far.clone()?).ok()
    }

    fn put_off(&self, code: &'static str, message: String, after: Duration) -> Failure {
        let so_far = serde_json::to_value(self).unwrap_or_default();
        JobError::Interrupted { code, message, after, so_far }.into()
    }
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
    let mut asked = match SoFar::of(context) {
        Some(SoFar::UnderWay { asked, .. }) => asked,
        _ => 0,
    };
    if is_new {
        context.progress.set(20, format!("run {} is begun", begun.run.request_id));
        asked = 0;
    }
    let (first, longest) = if webhook.is_some() { WAITS_FOR_WEBHOOK } else { WAITS };
    let mut waited = Duration::ZERO;
    let mut state = if is_new { RunState::UnderWay } else { look(context, &begun.run).await? };
    loop {
        match state {
            RunState::Made(pictures) => {
                count(context, &pictures, &begun.run).await;
                return Ok((pictures, begun));
            }
            RunState::Failed(error) => {
                begun.give_up(context, &error).await;
                return Err(Failure::Provider(error));
            }
            RunState::UnderWay => {}
        }
        begun.check_deadline(context).await?;
        let wait = growing(first, longest, asked);
        asked += 1;
        let (code, message) = ("under_way", format!("run {} is not done", begun.run.request_id));
        if !context.healing {
            let so_far = SoFar::UnderWay { asked, run: Box::new(begun.run), step: begun.step.to_owned() };
            return Err(so_far.put_off(code, message, wait));
        }
        if waited + wait > HEALING {
            return Err(JobError::Snooze { code, message, after: HEALED_LATER }.into());
        }
        tokio::time::sleep(wait).await;
        waited += wait;
        state = look(context, &begun.run).await?;
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
            Err(Unbegun::Earlier) if step == STEPS[0] => wait_for_name(context, begin)?,
            Err(Unbegun::Earlier) => {}
            Err(Unbegun::Now(error)) => return Err(error),
        }
    }
    let message = "it was begun twice, and no answer came; it is not begun a third time, because both may be billed";
    Err(match context.healing {
        true => JobError::Fatal { code: "unknown_outcome", message: message.to_owned() }.into(),
        false => Failure::Provider(ProviderError::Unable { service: "images", message: message.to_owned() }),
    })
}

/// A webhook names a run whose begin was not answered, though not before it is done: so it is waited for, as long as most runs take.
fn wait_for_name(context: &Context, begin: Begin<'_>) -> Result<(), Failure> {
    if begin.webhook.is_none() || context.healing {
        return Ok(());
    }
    let now_ms = u64::try_from(Utc::now().timestamp_millis()).unwrap_or(0);
    let since_ms = match SoFar::of(context) {
        Some(SoFar::Unnamed { since_ms }) => since_ms,
        _ => now_ms,
    };
    let patience = context.providers.image.first_real().map_or(Duration::ZERO, |real| real.deadline() / NAMED_WITHIN);
    let left = patience.saturating_sub(Duration::from_millis(now_ms.saturating_sub(since_ms)));
    if left.is_zero() {
        return Ok(());
    }
    let message = "no answer came to its begin; if it is under way, a webhook will say so".to_owned();
    Err(SoFar::Unnamed { since_ms }.put_off("unknown_outcome", message, left.min(WAITS_FOR_WEBHOOK.1)))
}

enum Unbegun {
    /// An earlier attempt began it, and nobody knows what came of it.
    Earlier,
    Now(Failure),
}

async fn begun_as(step: &'static str, context: &Context, begin: Begin<'_>, key: &str) -> Result<(Run, bool), Unbegun> {
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
        // It is known to nobody, so that no later attempt could tell.
        OnceError::Provider(ProviderError::UnknownOutcome { service, message }) if context.policy().last_attempt => {
            Unbegun::Now(Failure::Provider(ProviderError::Unable { service, message }))
        }
        OnceError::Provider(error) => Unbegun::Now(Failure::Provider(error)),
        error @ OnceError::Store(_) => Unbegun::Now(Failure::Job(error.into())),
    })
}

/// A run whose begin was not written down to its end: the run of the job before knew it, or its webhook names it.
async fn known_run(step: &str, context: &Context, request: &ImageRequest) -> Result<LookedUp<Run>, OnceError> {
    match SoFar::of(context) {
        Some(SoFar::UnderWay { run, step: began, .. }) if began == step => return Ok(LookedUp::There(*run)),
        _ => {}
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
    match image.call(policy(context), &Look(run)).await {
        Ok(answer) => Ok(answer.value),
        Err(error) => Err(Failure::Provider(error)),
    }
}

impl BegunRun {
    fn age(&self) -> Duration {
        let now_ms = u64::try_from(Utc::now().timestamp_millis()).unwrap_or(0);
        Duration::from_millis(now_ms.saturating_sub(self.run.begun_ms))
    }

    /// A run that takes too long is not waited for. It stays the job's: what comes of it is had when its result is healed.
    async fn check_deadline(&self, context: &Context) -> Result<(), Failure> {
        let Run { request_id, deadline_s, .. } = &self.run;
        if self.age() < Duration::from_secs(*deadline_s) {
            return Ok(());
        }
        let message = format!("run {request_id} is not done after {deadline_s} s");
        let error = ProviderError::Unable { service: "images", message };
        if self.age() > GIVEN_UP {
            self.give_up(context, &error).await;
        }
        Err(Failure::Provider(error))
    }

    /// Its pictures cannot be had. They may come again, but not for ever.
    pub(super) async fn lost(&self, context: &Context, error: ProviderError) -> ProviderError {
        if self.age() > PICTURES_KEPT {
            self.give_up(context, &error).await;
        }
        match error {
            ProviderError::Unable { service, message } => {
                ProviderError::Transient { service, message, retry_after: None }
            }
            error => error,
        }
    }

    /// The next attempt begins another one.
    async fn give_up(&self, context: &Context, why: &ProviderError) {
        let Some(store) = &context.store else { return };
        let (job_id, request_id) = (context.job_id.to_string(), &self.run.request_id);
        let voided = async {
            store.void_fal_delivery(request_id).await?;
            store.void_receipt(&job_id, self.step, &why.to_string()).await
        };
        if let Err(error) = voided.await {
            tracing::warn!(job.id = job_id, %error, "a run that failed stays the job's, and is asked for again");
        }
    }
}

/// Counts what a run cost, once.
async fn count(context: &Context, pictures: &Pictures, run: &Run) {
    let (Some(store), Some(provider)) = (&context.store, context.providers.image.first_real()) else { return };
    let nano_usd = pictures.cost.as_ref().and_then(|cost| {
        let amount: Decimal = cost.amount.parse().ok()?;
        (amount * Decimal::from(1_000_000_000)).to_u64()
    });
    let used = NewUsage {
        id: run.request_id.clone(),
        tenant: context.tenant.clone(),
        service: provider.name().to_owned(),
        model: pictures.model.clone(),
        calls: 1,
        unpriced_calls: u64::from(nano_usd.is_none()),
        tokens_in: 0,
        tokens_out: 0,
        cost_nano_usd: nano_usd.unwrap_or(0),
    };
    if let Err(error) = store.count_usage(used).await {
        tracing::warn!(job.id = %context.job_id, %error, "what pictures cost is not in the usage");
    }
}

/// Ends the run of a job that was cancelled, as far as there is one. Returns whether one was ended.
pub(super) async fn stop(context: &Context) -> Result<bool, JobError> {
    let Some(store) = &context.store else { return Ok(false) };
    let job_id = context.job_id.to_string();
    for step in STEPS {
        let receipt = store.receipt(&job_id, step).await.map_err(OnceError::from)?;
        let Some(run) = receipt.and_then(|outcome| serde_json::from_value::<Run>(outcome).ok()) else { continue };
        if context.providers.image.call(policy(context), &Stop(&run)).await?.value {
            // What was ended gives no pictures, should the job be run again.
            store.void_receipt(&job_id, step, "the job was cancelled").await.map_err(OnceError::from)?;
            return Ok(true);
        }
    }
    Ok(false)
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
