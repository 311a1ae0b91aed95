//! How a job is run, and the list's other side: what the worker, the API and the tests do with each kind.

use std::{
    future::{self, Future},
    sync::Arc,
    time::Duration,
};

use api::FieldError;
use providers::{Answer, Policy, ProviderError, Providers};
use queue::{Client, ConcurrencyKey, Failure, Job, JobId, Keys, Outcome, Reporter};
use serde::Serialize;
use serde_json::Value;
use services::Name;
use store::Store;
use utoipa::ToSchema;

use crate::{kept::SoFar, payments::Plans};

/// The part of an attempt's time that outside services get; the rest is for storing what they answered.
const TIME_TO_CALL: f64 = 0.9;
/// When a job is tried again whose service has an unusable account.
const PARKED: Duration = Duration::from_secs(30);

/// What a handler may use.
#[derive(Debug, Clone)]
pub struct Context {
    /// The job's id; also the key of what it stores.
    pub job_id: JobId,
    /// Whom the job belongs to.
    pub tenant: String,
    /// Counts from 1.
    pub attempt: u32,
    /// After this many the job is dead.
    pub max_attempts: u32,
    /// How long this attempt may take.
    pub timeout: Duration,
    /// Whether a stand-in may answer.
    pub allow_fallback: bool,
    /// What an earlier run had done when it was [interrupted](JobError::Interrupted).
    pub so_far: Option<Value>,
    /// Whether this run is to replace what stand-ins made, so that it must be whole.
    pub healing: bool,
    /// The outside services.
    pub providers: Arc<Providers>,
    /// What each plan allows.
    pub plans: Arc<Plans>,
    /// MongoDB; `None` in tests that need none.
    pub store: Option<Store>,
    /// The queue; `None` in tests that need none.
    pub client: Option<Client>,
    /// Takes concurrency keys in the middle of the work; `None` in tests, and where no job of the queue runs.
    pub keys: Option<Keys>,
    /// Tells how far the job is; see [`Reporter`].
    pub progress: Reporter,
}

impl Context {
    /// The first attempt of a job of kind `J` with the kind's defaults, for the tenant `default`, without MongoDB and queue.
    #[must_use]
    pub fn first_attempt<J: Job>(job_id: JobId, providers: Providers) -> Self {
        Self {
            job_id,
            tenant: "default".to_owned(),
            attempt: 1,
            max_attempts: J::MAX_ATTEMPTS,
            timeout: Duration::from_secs(J::TIMEOUT_S),
            allow_fallback: J::ALLOW_FALLBACK,
            so_far: None,
            healing: false,
            plans: Arc::new(Plans::built_in(&providers.payments.prices)),
            providers: Arc::new(providers),
            store: None,
            client: None,
            keys: None,
            progress: Reporter::nobody(),
        }
    }

    /// How long a task of many steps goes on before it makes room for others and comes again.
    pub(crate) fn time_for_a_task(&self) -> Duration {
        self.timeout.mul_f64(0.5)
    }

    /// What this attempt allows a service to do.
    #[must_use]
    pub fn policy(&self) -> Policy<'_> {
        Policy {
            allow_fallback: self.allow_fallback,
            last_attempt: self.attempt >= self.max_attempts,
            tenant: &self.tenant,
            time: self.timeout.mul_f64(TIME_TO_CALL),
        }
    }
}

/// A handler's answer.
#[derive(Debug, Clone, PartialEq)]
pub struct Done<T> {
    /// The result; stored in the kind's collection before the job is acknowledged.
    pub result: T,
    /// Who made it.
    pub provider: Option<&'static str>,
    /// Why the provider that should have made it did not.
    pub degraded_reason: Option<String>,
}

impl<T> From<Answer<T>> for Done<T> {
    fn from(answer: Answer<T>) -> Self {
        Self { result: answer.value, provider: Some(answer.provider), degraded_reason: answer.degraded_reason }
    }
}

/// A store of a tenant, as a payload names it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NamedStore {
    /// Where in the payload.
    pub pointer: &'static str,
    /// Its name.
    pub name: String,
}

/// Runs the jobs of one kind.
pub trait Handler: Job + ToSchema {
    /// What it makes.
    type Output: Serialize + ToSchema + Send;
    /// The MongoDB collection of its results.
    const COLLECTION: &'static str;
    /// The outside service that makes it, if there is one; see [`providers::Providers`].
    const SERVICE: Option<Name> = None;
    /// Whether its service is one account: when that cannot answer for one job, it cannot answer for others.
    const ONE_ACCOUNT: bool = true;
    /// Whether something may go on at its service when a job is cancelled: see [`Handler::stop_elsewhere`].
    const RUNS_ELSEWHERE: bool = false;
    /// How old a stand-in's result may be when a real one takes its place; one that is older stays as it is. `None`: as old as it likes.
    const HEAL_WITHIN: Option<Duration> = None;
    /// Whether only operators may push it.
    const FOR_OPERATORS: bool = false;

    /// The product that it is about, by which its results are looked for.
    fn product_id(&self) -> Option<&str> {
        None
    }

    /// Rules that the schema cannot express. Empty when the payload is good.
    fn check(&self) -> Vec<FieldError> {
        Vec::new()
    }

    /// The store of its tenant that it goes to, if it names one. A job for a store that is not there is refused when it comes.
    fn store(&self) -> Option<NamedStore> {
        None
    }

    /// Of the jobs with the same key, whatever their kinds, one runs at a time over all replicas; those that wait are run in the order of
    /// their ids, and use no attempt meanwhile. Begin it with what it is about, so that no other kind has it by chance.
    fn concurrency_key(
        &self,
        _context: &Context,
    ) -> impl Future<Output = Result<Option<ConcurrencyKey>, JobError>> + Send {
        future::ready(Ok(None))
    }

    /// Whether a run that was [interrupted](JobError::Interrupted) came further than the ones `before` it: a result that is healed is then looked at again soon,
    /// otherwise ever more rarely.
    #[must_use]
    fn is_further(before: Option<&Value>, so_far: &Value) -> bool {
        before != Some(so_far)
    }

    /// Runs one job. May be called again for the same job after a crash.
    fn run(self, context: &Context) -> impl Future<Output = Result<Done<Self::Output>, JobError>> + Send;

    /// Ends what a job that was cancelled has begun at its service, where something goes on without it. Returns whether something was
    /// ended.
    fn stop_elsewhere(_context: &Context) -> impl Future<Output = Result<bool, JobError>> + Send {
        future::ready(Ok(false))
    }
}

/// Takes the list of kinds; see [`crate::register`].
pub trait Registry: Sized {
    /// Adds the kind `J`.
    #[must_use]
    fn add<J: Handler>(self) -> Self;
}

/// Why a handler failed, by what shall follow.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum JobError {
    /// Try again later.
    #[error("{message}")]
    Retry {
        /// Stable code.
        code: &'static str,
        /// What failed, for which input.
        message: String,
        /// The wait that a service asked for.
        after: Option<Duration>,
    },
    /// Put it off without using an attempt.
    #[error("{message}")]
    Snooze {
        /// Stable code.
        code: &'static str,
        /// Why.
        message: String,
        /// How long.
        after: Duration,
    },
    /// The same in the middle of the work: the next run finds what was done so far in [`Context::so_far`].
    #[error("{message}")]
    Interrupted {
        /// Stable code.
        code: &'static str,
        /// Why.
        message: String,
        /// How long.
        after: Duration,
        /// What was done; a few KiB at most, because Redis keeps it.
        so_far: Value,
    },
    /// It can never succeed.
    #[error("{message}")]
    Fatal {
        /// Stable code.
        code: &'static str,
        /// What failed, for which input.
        message: String,
    },
}

impl JobError {
    /// The same, where it only puts the job off: what an earlier run handed on is handed on once more.
    pub(crate) fn keeping(self, so_far: Option<&Value>) -> Self {
        match (self, so_far) {
            (Self::Snooze { code, message, after }, Some(so_far)) => {
                Self::Interrupted { code, message, after, so_far: so_far.clone() }
            }
            (error, _) => error,
        }
    }

    /// The same, with what was done until then.
    pub(crate) fn with(self, so_far: Value) -> Self {
        match self {
            Self::Retry { code, message, after } => {
                Self::Interrupted { code, message, after: after.unwrap_or_default(), so_far }
            }
            Self::Snooze { code, message, after } => Self::Interrupted { code, message, after, so_far },
            other => other,
        }
    }
}

impl From<ProviderError> for JobError {
    fn from(error: ProviderError) -> Self {
        let (code, message) = (error.code(), error.to_string());
        match error {
            ProviderError::Transient { retry_after: after, .. }
            | ProviderError::RateLimited { retry_after: after, .. } => Self::Retry { code, message, after },
            // Its breaker is open from now on; the next attempt hears for how long.
            ProviderError::Misconfigured { .. } | ProviderError::NoRight { .. } => {
                Self::Snooze { code, message, after: PARKED }
            }
            ProviderError::Held { retry_in, .. } => Self::Snooze { code, message, after: retry_in },
            ProviderError::Rejected { .. } | ProviderError::Forbidden { .. } => Self::Fatal { code, message },
            _ => Self::Retry { code, message, after: None },
        }
    }
}

impl From<JobError> for Outcome {
    fn from(error: JobError) -> Self {
        match error {
            JobError::Retry { code, message, after } => Self::Retry { error: Failure::new(code, message), after },
            JobError::Snooze { code, message, after } => {
                Self::Snooze { error: Failure::new(code, message), after, draft: None }
            }
            JobError::Interrupted { code, message, after, so_far } => {
                let draft = Some((&SoFar { so_far }).into());
                Self::Snooze { error: Failure::new(code, message), after, draft }
            }
            JobError::Fatal { code, message } => Self::Dead(Failure::new(code, message)),
        }
    }
}
