//! Turns a request for a job into a job to push, and names everything that is wrong with it at once.

use std::time::Duration;

use chrono::{DateTime, Months, Utc};
use jobs::{Checks, PayloadError, Shape};
use queue::{FieldError, Json, NewJob, OnConflict, Priority, Unique};
use serde::Deserialize;
use serde_json::{Map, Value};
use utoipa::ToSchema;

use crate::{
    auth::Caller,
    problem::{Problem, Type},
    request,
};

const MONTHS_AHEAD: Months = Months::new(5 * 12);
const METADATA_LIMIT: usize = 16 << 10;

/// A job to be done.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct JobRequest {
    /// What to do; also the queue.
    pub(crate) kind: String,
    /// What to do it with; each kind has its own.
    pub(crate) payload: Value,
    /// How to do it.
    #[serde(default)]
    pub(crate) options: Option<JobOptions>,
}

/// How a job is done. What is absent or null has the kind's default.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct JobOptions {
    /// How urgent it is; `normal` if absent.
    priority: Option<Priority>,
    /// Not before so many seconds from now; at most 5 years.
    #[schema(minimum = 0)]
    delay_s: Option<f64>,
    /// Not before this time; a time in the past means now. At most 5 years ahead. Not together with `delay_s`.
    run_at: Option<DateTime<Utc>>,
    /// When it is no longer worth running; in the future, and after the time at which it may run.
    expires_at: Option<DateTime<Utc>>,
    /// How many attempts may fail before the job is dead.
    #[schema(minimum = 1, maximum = 100)]
    max_attempts: Option<u32>,
    /// How many seconds one attempt may run.
    #[schema(minimum = 1, maximum = 86400)]
    timeout_s: Option<u64>,
    /// Whom the job belongs to; only for tokens with the scope `admin`.
    #[schema(pattern = "^[A-Za-z0-9_.-]{1,64}$")]
    tenant: Option<String>,
    /// Whatever the caller wants to find again, at most 16 KB of JSON.
    metadata: Option<Map<String, Value>>,
    /// Whether a stand-in may answer when the real service cannot.
    allow_fallback: Option<bool>,
    /// While a job of the tenant with this key has not ended, a second one is not added.
    #[schema(min_length = 1, max_length = 256)]
    unique_key: Option<String>,
    /// Hold the key for so many seconds from now, whether the job has ended or not. Only with `unique_key`.
    #[schema(minimum = 1, maximum = 31_536_000)]
    unique_for_s: Option<u64>,
    /// What to do when another job holds the key; `return_existing` if absent. Only with `unique_key`.
    on_conflict: Option<OnConflict>,
    /// Where the job is kept.
    #[expect(dead_code, reason = "there is one value, and reading it is the check")]
    durability: Option<Durability>,
}

/// Where a job is kept.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Durability {
    /// In Redis.
    Fast,
}

/// Checks requests for jobs.
pub(crate) struct Intake {
    checks: Checks,
    shape: Shape<JobRequest>,
}

impl Intake {
    pub(crate) fn new(checks: Checks) -> Self {
        Self { checks, shape: Shape::new() }
    }

    pub(crate) fn checks(&self) -> &Checks {
        &self.checks
    }

    /// Refuses a token without `admin` for jobs that only operators may push, change and run.
    pub(crate) fn require_for_kind(&self, kind: &str, caller: &Caller) -> Result<(), Problem> {
        if caller.is_admin() || !self.checks.is_for_operators(kind) {
            return Ok(());
        }
        Err(Problem::new(Type::Forbidden, format!("jobs of the kind {kind} need a token with the scope admin")))
    }

    /// The job that `request` asks for.
    pub(crate) fn read(&self, request: &Json, caller: &Caller, now: DateTime<Utc>) -> Result<NewJob, Problem> {
        let mut errors = self.payload_errors(request)?;
        let read = match self.shape.read(request) {
            Ok(read) => read,
            Err(envelope) => {
                errors.splice(0..0, envelope);
                return Err(Problem::invalid(errors));
            }
        };
        let mut options = read.options.unwrap_or_default();
        let given = Given::of(request, &read.payload, options.metadata.take())?;
        errors.extend(options.errors(now));
        errors.extend(given.errors());
        if !errors.is_empty() {
            return Err(Problem::invalid(errors));
        }
        if options.tenant.is_some() && !caller.is_admin() {
            return Err(Problem::new(Type::Forbidden, "/options/tenant needs a token with the scope admin"));
        }
        self.require_for_kind(&read.kind, caller)?;
        if given.payload.len() > request::JOB_LIMIT {
            return Err(Problem::new(Type::TooLarge, "the payload is larger than 1 MB"));
        }
        Ok(options.into_job(read.kind, given, &caller.tenant, now))
    }

    /// What the kind says of its payload. Nothing if either is missing, because the request's own schema tells that.
    fn payload_errors(&self, request: &Value) -> Result<Vec<FieldError>, Problem> {
        let kind = request.get("kind").and_then(Value::as_str);
        let (Some(kind), Some(payload)) = (kind, request.get("payload").or(Some(&Value::Null))) else {
            return Ok(Vec::new());
        };
        match self.checks.check(kind, payload) {
            Ok(()) => Ok(Vec::new()),
            Err(PayloadError::UnknownKind { known }) => Err(Problem::unknown_kind(kind, &known)),
            Err(PayloadError::Invalid(_)) if request.get("payload").is_none() => Ok(Vec::new()),
            Err(PayloadError::Invalid(errors)) => {
                Ok(errors.into_iter().map(|error| under("/payload", error)).collect())
            }
        }
    }
}

/// What comes back to the caller as it was given.
struct Given {
    payload: String,
    metadata: Json,
    /// Whether there are numbers in it that a [`Value`] does not hold as they were given.
    is_exact: bool,
}

impl Given {
    fn of(request: &Json, payload: &Value, metadata: Option<Map<String, Value>>) -> Result<Self, Problem> {
        #[derive(Deserialize)]
        struct Exact {
            payload: Json,
            options: Option<ExactOptions>,
        }
        #[derive(Default, Deserialize)]
        struct ExactOptions {
            metadata: Option<Json>,
        }
        let Some(text) = request.exact() else {
            let metadata = Value::Object(metadata.unwrap_or_default()).into();
            return Ok(Self { payload: payload.to_string(), metadata, is_exact: false });
        };
        let exact: Exact = serde_json::from_str(text).map_err(|error| request::malformed(&error))?;
        let metadata = exact.options.unwrap_or_default().metadata;
        Ok(Self {
            payload: exact.payload.to_string(),
            metadata: metadata.unwrap_or_else(|| Value::Object(Map::new()).into()),
            is_exact: true,
        })
    }

    fn errors(&self) -> Vec<FieldError> {
        let mut errors = Vec::new();
        // A worker reads numbers as such.
        if self.is_exact && serde_json::from_str::<Value>(&self.payload).is_err() {
            errors.push(FieldError::new("/payload", "has a number that is too large: at most 1.7976931348623157e308"));
        }
        if self.metadata.to_string().len() > METADATA_LIMIT {
            errors.push(FieldError::new("/options/metadata", "must be at most 16 KB of JSON"));
        }
        errors
    }
}

impl JobOptions {
    /// Rules that the schema cannot express.
    fn errors(&self, now: DateTime<Utc>) -> Vec<FieldError> {
        let mut errors = Vec::new();
        if self.delay_s.is_some() && self.run_at.is_some() {
            errors.push(FieldError::new("/options/run_at", "cannot be given together with delay_s"));
        }
        let alone = [("unique_for_s", self.unique_for_s.is_some()), ("on_conflict", self.on_conflict.is_some())];
        for (name, _) in alone.iter().filter(|(_, given)| *given && self.unique_key.is_none()) {
            errors.push(FieldError::new(format!("/options/{name}"), "needs unique_key"));
        }
        let latest = ms(now + MONTHS_AHEAD);
        for (pointer, at) in [("/options/delay_s", self.delayed_to(now)), ("/options/run_at", self.run_at.map(ms))] {
            if at.is_some_and(|at| at > latest) {
                errors.push(FieldError::new(pointer, "must be at most 5 years ahead"));
            }
        }
        if let Some(expires_at) = self.expires_at {
            let begins = self.delayed_to(now).or(self.run_at.map(ms)).unwrap_or(0);
            if expires_at <= now {
                errors.push(FieldError::new("/options/expires_at", "must be in the future"));
            } else if ms(expires_at) <= begins {
                errors.push(FieldError::new("/options/expires_at", "must be after the time at which the job may run"));
            }
        }
        errors
    }

    fn delayed_to(&self, now: DateTime<Utc>) -> Option<u64> {
        // A float becomes the nearest number that fits, so that a delay beyond all bounds stays one.
        self.delay_s.map(|delay_s| ms(now).saturating_add((delay_s * 1_000.0) as u64))
    }

    fn into_job(self, kind: String, given: Given, tenant: &str, now: DateTime<Utc>) -> NewJob {
        let run_at_ms = self.delayed_to(now).or(self.run_at.map(ms)).filter(|at| *at > ms(now));
        let unique = self.unique_key.map(|key| Unique {
            key,
            hold: self.unique_for_s.map(Duration::from_secs),
            on_conflict: self.on_conflict.unwrap_or_default(),
        });
        NewJob {
            tenant: self.tenant.unwrap_or_else(|| tenant.to_owned()),
            priority: self.priority.unwrap_or_default(),
            run_at_ms,
            expires_at_ms: self.expires_at.map(ms),
            max_attempts: self.max_attempts,
            timeout_s: self.timeout_s,
            allow_fallback: self.allow_fallback,
            metadata: given.metadata,
            unique,
            ..NewJob::new(kind, given.payload)
        }
    }
}

fn under(prefix: &str, error: FieldError) -> FieldError {
    FieldError::new(format!("{prefix}{}", error.pointer), error.message)
}

/// Unix milliseconds; a time before 1970 is past, and so is 0.
fn ms(at: DateTime<Utc>) -> u64 {
    u64::try_from(at.timestamp_millis()).unwrap_or(0)
}
