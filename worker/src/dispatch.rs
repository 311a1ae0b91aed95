//! From a claimed job to its handler, and from the handler's answer to the job's outcome.

use std::{sync::Arc, time::Duration};

use futures::{FutureExt, future::BoxFuture};
use jobs::{Context, Done, Handler, Kept, Registry, SoFar, payments::Plans};
use providers::Providers;
use queue::{Claimed, Client, Failure, Kind, Outcome};
use store::{NewResult, Store};

/// When a result cannot be stored, the next try comes after this time, give or take a half.
const STORE_AGAIN_AFTER: Duration = Duration::from_secs(5);

/// What handlers work with.
#[derive(Debug, Clone)]
pub(crate) struct Services {
    pub(crate) providers: Arc<Providers>,
    pub(crate) plans: Arc<Plans>,
    pub(crate) store: Store,
    pub(crate) client: Client,
}

/// One kind, ready to run.
#[derive(Debug, Clone)]
pub(crate) struct Runner {
    pub(crate) kind: Kind,
    pub(crate) concurrency: usize,
    pub(crate) collection: &'static str,
    run: fn(Claimed, Services) -> BoxFuture<'static, Outcome>,
}

impl Runner {
    pub(crate) fn run(&self, job: Claimed, services: Services) -> BoxFuture<'static, Outcome> {
        (self.run)(job, services)
    }
}

/// The kinds that a worker can run; more are added through [`Registry`].
#[derive(Debug, Default)]
pub struct Runners(pub(crate) Vec<Runner>);

impl Runners {
    /// The kinds of [`jobs::register`].
    #[must_use]
    pub fn all() -> Self {
        jobs::register(Self::default())
    }
}

impl Registry for Runners {
    fn add<J: Handler>(mut self) -> Self {
        let runner = Runner {
            kind: Kind::of::<J>(),
            concurrency: J::CONCURRENCY,
            collection: J::COLLECTION,
            run: |job, services| run::<J>(job, services).boxed(),
        };
        self.0.push(runner);
        self
    }
}

async fn run<J: Handler>(job: Claimed, services: Services) -> Outcome {
    let draft = job.draft();
    let (kept, product_id) = match draft.as_ref().and_then(Kept::read) {
        // The work is done; only storing it failed.
        Some(draft) => (draft, payload::<J>(&job).ok().and_then(|payload| payload.product_id().map(str::to_owned))),
        None => match call::<J>(&job, &services, draft.as_ref().and_then(SoFar::read)).await {
            Ok(made) => made,
            Err(outcome) => return outcome,
        },
    };
    keep::<J>(&job, &services.store, kept, product_id).await
}

fn payload<J: Handler>(job: &Claimed) -> Result<J, Outcome> {
    let payload = job.payload().map_err(|error| dead("corrupt_record", error.to_string()))?;
    decode(payload).map_err(|reason| dead("invalid_payload", reason))
}

fn dead(code: &str, message: String) -> Outcome {
    Outcome::Dead(Failure::new(code, message))
}

/// What came of it, and the product that it is about.
async fn call<J: Handler>(
    job: &Claimed,
    services: &Services,
    so_far: Option<SoFar>,
) -> Result<(Kept, Option<String>), Outcome> {
    let payload: J = payload(job)?;
    let product_id = payload.product_id().map(str::to_owned);
    let context = Context {
        job_id: job.id(),
        tenant: job.tenant().to_owned(),
        attempt: job.attempt(),
        max_attempts: job.max_attempts(),
        timeout: Duration::from_secs(job.timeout_s()),
        allow_fallback: job.allow_fallback(),
        so_far: so_far.map(|earlier| earlier.so_far),
        healing: false,
        providers: services.providers.clone(),
        plans: services.plans.clone(),
        store: Some(services.store.clone()),
        client: Some(services.client.clone()),
        keys: Some(job.keys()),
        progress: job.reporter(),
    };
    let key = payload.concurrency_key(&context).await.map_err(|error| keeping(spread_out(error.into(), job), job))?;
    let done = match key {
        None => payload.run(&context).await,
        // Only the work: what it made is stored under the job's id, whoever runs next. Boxed, so that jobs without a key are no larger.
        Some(key) => job.alone(key, payload.run(&context)).boxed().await?,
    };
    let done: Done<J::Output> = done.map_err(|error| spread_out(error.into(), job))?;
    let result = serde_json::to_value(done.result)
        .map_err(|error| dead("unstorable", format!("the result is no JSON: {error}")))?;
    let kept = Kept {
        result,
        stored_in: None,
        provider: done.provider.map(str::to_owned),
        degraded: done.degraded_reason.is_some(),
        degraded_reason: done.degraded_reason,
    };
    Ok((kept, product_id))
}

/// The payload and nothing after it, or what is wrong where.
fn decode<J: Handler>(payload: &[u8]) -> Result<J, String> {
    serde_json::from_slice(payload).or_else(|_| {
        // To note where one is costs as much as to read.
        let mut json = serde_json::Deserializer::from_slice(payload);
        let decoded = serde_path_to_error::deserialize(&mut json);
        let decoded = decoded.map_err(|error| format!("at {}: {}", error.path(), error.inner()))?;
        json.end().map_err(|error| error.to_string())?;
        Ok(decoded)
    })
}

/// Stores the result before the job is acknowledged. When MongoDB is away, the job is put off with its result as a draft, so
/// that what was done (and paid for) is not done again.
async fn keep<J: Handler>(job: &Claimed, store: &Store, mut kept: Kept, product_id: Option<String>) -> Outcome {
    let result = NewResult {
        job_id: job.id().to_string(),
        tenant: job.tenant().to_owned(),
        kind: job.kind().to_owned(),
        product_id,
        provider: kept.provider.clone(),
        degraded: kept.degraded,
        degraded_reason: kept.degraded_reason.clone(),
        // Only then is it needed again.
        payload: job.payload().ok().filter(|_| kept.degraded).and_then(|payload| serde_json::from_slice(payload).ok()),
        result: std::mem::take(&mut kept.result),
    };
    let stored = store.put_result(J::COLLECTION, &result).await;
    kept.result = result.result;
    match stored {
        Ok(()) => {
            let progress = job.reporter();
            if progress.has_reported() {
                progress.set(100, "stored");
            }
            Outcome::Done(kept.shortened(J::COLLECTION))
        }
        // Wrong credentials too are mended outside, without a new attempt.
        Err(error) if error.is_unavailable() || matches!(error, store::Error::Misconfigured { .. }) => {
            Outcome::Snooze {
                error: Failure::new("store_unavailable", error.to_string()),
                after: spread(job),
                draft: Some((&kept).into()),
            }
        }
        Err(error) => Outcome::Dead(Failure::new("unstorable", error.to_string())),
    }
}

/// Puts a job off for up to a fifth longer, so that those that wait for the same do not come back at the same moment.
fn spread_out(outcome: Outcome, job: &Claimed) -> Outcome {
    match outcome {
        Outcome::Snooze { error, after, draft } => {
            let last = job.id().to_string().bytes().last().unwrap_or_default();
            let longer = (after / 80).saturating_mul(u32::from(last % 16));
            Outcome::Snooze { error, after: after.saturating_add(longer), draft }
        }
        other => other,
    }
}

/// The same, with what an earlier run handed on: this one has not begun.
fn keeping(outcome: Outcome, job: &Claimed) -> Outcome {
    match outcome {
        Outcome::Snooze { error, after, draft: None } => Outcome::Snooze { error, after, draft: job.draft() },
        other => other,
    }
}

/// So that not all jobs come back at the same moment.
fn spread(job: &Claimed) -> Duration {
    let last = job.id().to_string().bytes().last().unwrap_or_default();
    STORE_AGAIN_AFTER.mul_f64(0.5 + f64::from(last % 16) / 16.0)
}
