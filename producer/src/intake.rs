//! Turns a request for a job into a job to push, and names everything that is wrong with it at once.

use std::time::Duration;

use api::FieldError;
use chrono::{DateTime, Months, Utc};
use jobs::{Checks, NamedStore, PayloadError, Shape};
use queue::{Json, NewJob, Unique};
use serde::{Deserialize, de::IgnoredAny};
use serde_json::{Map, Value};

use crate::{
    answer::{Problem, Type},
    auth::Caller,
    request,
};

const MONTHS_AHEAD: Months = Months::new(5 * 12);
const METADATA_LIMIT: usize = 16 << 10;

/// What is asked for, but for what comes back as it was given: that is taken from the request itself.
type JobRequest = api::JobRequest<IgnoredAny>;
type JobOptions = api::JobOptions<IgnoredAny>;

/// A job to push, and the store that it needs, which nobody has looked for.
#[derive(Debug, Clone)]
pub(crate) struct AskedJob {
    pub(crate) job: NewJob,
    pub(crate) store: Option<NamedStore>,
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
    pub(crate) fn read(&self, request: &Json, caller: &Caller, now: DateTime<Utc>) -> Result<AskedJob, Problem> {
        let (mut errors, store) = self.payload_errors(request)?;
        let read = match self.shape.read(request) {
            Ok(read) => read,
            Err(envelope) => {
                errors.splice(0..0, envelope);
                return Err(Problem::invalid(errors));
            }
        };
        let options = read.options.unwrap_or_default();
        let given = Given::of(request)?;
        errors.extend(errors_of(&options, now));
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
        Ok(AskedJob { job: new_job(read.kind, options, given, &caller.tenant, now), store })
    }

    /// What the kind says of its payload, and which store it needs. Nothing if either is missing, because the request's own schema tells that.
    fn payload_errors(&self, request: &Value) -> Result<(Vec<FieldError>, Option<NamedStore>), Problem> {
        let kind = request.get("kind").and_then(Value::as_str);
        let (Some(kind), Some(payload)) = (kind, request.get("payload").or(Some(&Value::Null))) else {
            return Ok((Vec::new(), None));
        };
        match self.checks.check(kind, payload) {
            Ok(store) => Ok((Vec::new(), store)),
            Err(PayloadError::UnknownKind { known }) => Err(Problem::unknown_kind(kind, &known)),
            Err(PayloadError::Invalid(_)) if request.get("payload").is_none() => Ok((Vec::new(), None)),
            Err(PayloadError::Invalid(errors)) => {
                Ok((errors.into_iter().map(|error| under("/payload", error)).collect(), None))
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
    fn of(request: &Json) -> Result<Self, Problem> {
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
            let options = request.get("options");
            let metadata = options.and_then(|options| options.get("metadata")).and_then(Value::as_object).cloned();
            let metadata = Value::Object(metadata.unwrap_or_default()).into();
            return Ok(Self { payload: text(&request["payload"]), metadata, is_exact: false });
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

/// Rules that the schema cannot express.
fn errors_of(options: &JobOptions, now: DateTime<Utc>) -> Vec<FieldError> {
    let mut errors = Vec::new();
    if options.delay_s.is_some() && options.run_at.is_some() {
        errors.push(FieldError::new("/options/run_at", "cannot be given together with delay_s"));
    }
    let alone = [("unique_for_s", options.unique_for_s.is_some()), ("on_conflict", options.on_conflict.is_some())];
    for (name, _) in alone.iter().filter(|(_, given)| *given && options.unique_key.is_none()) {
        errors.push(FieldError::new(format!("/options/{name}"), "needs unique_key"));
    }
    let latest = ms(now + MONTHS_AHEAD);
    for (pointer, at) in [("/options/delay_s", delayed_to(options, now)), ("/options/run_at", options.run_at.map(ms))] {
        if at.is_some_and(|at| at > latest) {
            errors.push(FieldError::new(pointer, "must be at most 5 years ahead"));
        }
    }
    if let Some(expires_at) = options.expires_at {
        let begins = delayed_to(options, now).or(options.run_at.map(ms)).unwrap_or(0);
        if expires_at <= now {
            errors.push(FieldError::new("/options/expires_at", "must be in the future"));
        } else if ms(expires_at) <= begins {
            errors.push(FieldError::new("/options/expires_at", "must be after the time at which the job may run"));
        }
    }
    errors
}

fn delayed_to(options: &JobOptions, now: DateTime<Utc>) -> Option<u64> {
    // A float becomes the nearest number that fits, so that a delay beyond all bounds stays one.
    options.delay_s.map(|delay_s| ms(now).saturating_add((delay_s * 1_000.0) as u64))
}

fn new_job(kind: String, options: JobOptions, given: Given, tenant: &str, now: DateTime<Utc>) -> NewJob {
    let run_at_ms = delayed_to(&options, now).or(options.run_at.map(ms)).filter(|at| *at > ms(now));
    let unique = options.unique_key.map(|key| Unique {
        key,
        hold: options.unique_for_s.map(Duration::from_secs),
        on_conflict: options.on_conflict.map_or(queue::OnConflict::default(), on_conflict),
    });
    NewJob {
        tenant: options.tenant.unwrap_or_else(|| tenant.to_owned()),
        priority: options.priority.map_or(queue::Priority::default(), priority),
        run_at_ms,
        expires_at_ms: options.expires_at.map(ms),
        max_attempts: options.max_attempts,
        timeout_s: options.timeout_s,
        allow_fallback: options.allow_fallback,
        metadata: given.metadata,
        unique,
        ..NewJob::new(kind, given.payload)
    }
}

fn priority(priority: api::Priority) -> queue::Priority {
    match priority {
        api::Priority::High => queue::Priority::High,
        api::Priority::Normal => queue::Priority::Normal,
        api::Priority::Low => queue::Priority::Low,
        api::Priority::Bulk => queue::Priority::Bulk,
    }
}

fn on_conflict(on_conflict: api::OnConflict) -> queue::OnConflict {
    match on_conflict {
        api::OnConflict::ReturnExisting => queue::OnConflict::ReturnExisting,
        api::OnConflict::Replace => queue::OnConflict::Replace,
        api::OnConflict::Reject => queue::OnConflict::Reject,
    }
}

/// As it is written. Its `Display` takes three times as long.
fn text(value: &Value) -> String {
    serde_json::to_string(value).unwrap_or_default()
}

fn under(prefix: &str, error: FieldError) -> FieldError {
    FieldError::new(format!("{prefix}{}", error.pointer), error.message)
}

/// Unix milliseconds; a time before 1970 is past, and so is 0.
fn ms(at: DateTime<Utc>) -> u64 {
    u64::try_from(at.timestamp_millis()).unwrap_or(0)
}
