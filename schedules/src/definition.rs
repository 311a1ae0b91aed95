//! What a schedule is: when, what, and what to do when something comes in between.

use std::collections::BTreeMap;

use api::FieldError;
use chrono::{DateTime, SecondsFormat, TimeDelta, Utc};
use queue::{Json, NewJob, OnConflict, Priority, Unique};
use serde::{Deserialize, Serialize, Serializer};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use utoipa::ToSchema;
use zones::Zone;

use crate::{clocktime::next_instant, expression::Expression};

const DEFAULT_ZONE: &str = "UTC";
const DEFAULT_WINDOW_S: u64 = 3600;

/// A schedule, as it is given. One of `cron`, `every_s` and `at` tells when.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Definition {
    /// Cron expression of 5 or 6 fields, or `@daily` and the like, on the clock of `zone`.
    #[serde(default)]
    #[schema(max_length = 200, example = "0 3 * * *")]
    pub cron: Option<String>,
    /// So many seconds of real time apart, counted from `starts_at`, or from 1970.
    #[serde(default)]
    #[schema(minimum = 1, maximum = 31_536_000)]
    pub every_s: Option<u64>,
    /// Once, at this time.
    #[serde(default, serialize_with = "with_ms")]
    pub at: Option<DateTime<Utc>>,
    /// IANA name of the time zone of `cron`; `UTC` if absent.
    #[serde(default)]
    #[schema(max_length = 64, example = "Europe/Paris")]
    pub zone: Option<String>,
    /// What is enqueued.
    pub job: JobSpec,
    /// What becomes of times at which no worker was there, or a minute late; `once` if absent.
    #[serde(default)]
    pub missed: Option<Missed>,
    /// Times longer ago are not made up for; 3600 if absent.
    #[serde(default)]
    #[schema(minimum = 0, maximum = 604_800)]
    pub missed_window_s: Option<u64>,
    /// What to do while the job of the time before has not ended; `allow` if absent.
    #[serde(default)]
    pub overlap: Option<Overlap>,
    /// Later by up to so many seconds, always the same for the same schedule and time; 0 if absent.
    #[serde(default)]
    #[schema(minimum = 0, maximum = 86_400)]
    pub jitter_s: Option<u64>,
    /// Not before this time.
    #[serde(default, serialize_with = "with_ms")]
    pub starts_at: Option<DateTime<Utc>>,
    /// Not after this time.
    #[serde(default, serialize_with = "with_ms")]
    pub ends_at: Option<DateTime<Utc>>,
    /// Whether it is due at no time until it is resumed; false if absent.
    #[serde(default)]
    pub paused: Option<bool>,
}

/// A job, as `POST /api/jobs` takes it; without `run_at` and `expires_at`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct JobSpec {
    /// What to do; also the queue.
    pub kind: String,
    /// What to do it with; each kind has its own.
    #[schema(value_type = Value)]
    pub payload: Json,
    /// How to do it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Map<String, Value>>)]
    pub options: Option<Json>,
}

/// What becomes of times that were missed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Missed {
    /// Nothing.
    Skip,
    /// One run makes up for all of them.
    #[default]
    Once,
    /// Each is run.
    All,
}

/// What to do while the job before has not ended.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Overlap {
    /// Enqueue one more.
    #[default]
    Allow,
    /// Enqueue none.
    Skip,
    /// Cancel it, and enqueue one.
    CancelRunning,
}

/// When a schedule is due: [`Definition`], read.
#[derive(Debug, Clone)]
pub struct Plan {
    when: When,
    starts_at: Option<DateTime<Utc>>,
    ends_at: Option<DateTime<Utc>>,
    jitter_s: u64,
    pub(crate) missed: Missed,
    pub(crate) window: TimeDelta,
}

#[derive(Debug, Clone)]
enum When {
    Cron(Box<Expression>, Zone),
    Every(i64),
    At(DateTime<Utc>),
}

/// A time as the API writes it.
#[expect(clippy::ref_option, reason = "the signature that serde asks for")]
fn with_ms<S: Serializer>(time: &Option<DateTime<Utc>>, serializer: S) -> Result<S::Ok, S::Error> {
    time.map(|time| time.to_rfc3339_opts(SecondsFormat::Millis, true)).serialize(serializer)
}

impl Definition {
    /// A job that recurs on the clock of a zone, all else as if absent.
    #[must_use]
    pub fn new(cron: &str, zone: &str, job: JobSpec) -> Self {
        Self {
            cron: Some(cron.to_owned()),
            every_s: None,
            at: None,
            zone: Some(zone.to_owned()),
            job,
            missed: None,
            missed_window_s: None,
            overlap: None,
            jitter_s: None,
            starts_at: None,
            ends_at: None,
            paused: None,
        }
    }

    /// The name of the time zone.
    #[must_use]
    pub fn zone(&self) -> &str {
        self.zone.as_deref().unwrap_or(DEFAULT_ZONE)
    }

    /// With every absent field that has a default filled in.
    #[must_use]
    pub fn with_defaults(mut self) -> Self {
        self.zone.get_or_insert_with(|| DEFAULT_ZONE.to_owned());
        self.missed.get_or_insert_default();
        self.missed_window_s.get_or_insert(DEFAULT_WINDOW_S);
        self.overlap.get_or_insert_default();
        self.jitter_s.get_or_insert(0);
        self.paused.get_or_insert(false);
        self
    }

    /// Reads when it is due.
    ///
    /// # Errors
    /// Every field that cannot be used, with its pointer.
    pub fn plan(&self) -> Result<Plan, Vec<FieldError>> {
        let mut errors = Vec::new();
        let zone = self.zone().parse::<Zone>().map_err(|_| {
            errors.push(FieldError::new("/zone", "must be a time zone of the IANA database, such as Europe/Paris"));
        });
        let when = match (&self.cron, self.every_s, self.at) {
            (Some(cron), None, None) => match (cron.parse::<Expression>(), zone) {
                (Ok(expression), Ok(zone)) => Some(When::Cron(Box::new(expression), zone)),
                (Err(error), _) => {
                    errors.push(FieldError::new("/cron", error.to_string()));
                    None
                }
                (Ok(_), Err(())) => None,
            },
            (None, Some(every_s @ 1..), None) => i64::try_from(every_s).ok().map(When::Every),
            (None, None, Some(at)) => Some(When::At(at)),
            (None, Some(_), None) => {
                errors.push(FieldError::new("/every_s", "must be at least 1"));
                None
            }
            _ => {
                errors.push(FieldError::new("", "needs one of cron, every_s and at, and not two of them"));
                None
            }
        };
        if let (Some(starts_at), Some(ends_at)) = (self.starts_at, self.ends_at)
            && ends_at < starts_at
        {
            errors.push(FieldError::new("/ends_at", "must not be before starts_at"));
        }
        for name in ["run_at", "expires_at"] {
            if self.job.options.as_ref().is_some_and(|options| options.get(name).is_some_and(|value| !value.is_null()))
            {
                let message = "cannot be given in a schedule, whose jobs would all have the same time";
                errors.push(FieldError::new(format!("/job/options/{name}"), message));
            }
        }
        let window_s = i64::try_from(self.missed_window_s.unwrap_or(DEFAULT_WINDOW_S)).unwrap_or(i64::MAX / 1000);
        match when {
            Some(when) if errors.is_empty() => Ok(Plan {
                when,
                starts_at: self.starts_at,
                ends_at: self.ends_at,
                jitter_s: self.jitter_s.unwrap_or_default(),
                missed: self.missed.unwrap_or_default(),
                window: TimeDelta::seconds(window_s),
            }),
            _ => Err(errors),
        }
    }
}

impl Plan {
    /// The first time after `after` that it is due; `None` when there is none.
    #[must_use]
    pub fn next_after(&self, after: DateTime<Utc>) -> Option<DateTime<Utc>> {
        let before_start = self.starts_at.map(|starts_at| starts_at - TimeDelta::milliseconds(1));
        let after = before_start.map_or(after, |before_start| after.max(before_start));
        let next = match &self.when {
            When::Cron(expression, zone) => next_instant(expression, zone, after),
            When::Every(every_s) => {
                let anchor_ms = self.starts_at.map_or(0, |starts_at| starts_at.timestamp_millis());
                let every_ms = every_s * 1000;
                let n = (after.timestamp_millis() - anchor_ms).div_euclid(every_ms) + 1;
                DateTime::from_timestamp_millis(anchor_ms + n * every_ms)
            }
            When::At(at) => Some(*at).filter(|at| *at > after),
        };
        next.filter(|next| self.ends_at.is_none_or(|ends_at| *next <= ends_at))
    }

    /// The next `n` times after `after`.
    pub fn nexts(&self, after: DateTime<Utc>, n: usize) -> impl Iterator<Item = DateTime<Utc>> + '_ {
        std::iter::successors(self.next_after(after), |last| self.next_after(*last)).take(n)
    }

    /// When the job of a time is pushed: later by the jitter, which depends on the schedule's id and on the time alone.
    #[must_use]
    pub fn push_at(&self, schedule: &str, tick: DateTime<Utc>) -> DateTime<Utc> {
        if self.jitter_s == 0 {
            return tick;
        }
        let hash = Sha256::digest(format!("{schedule}@{}", tick.timestamp_millis()));
        let number = hash[..8].iter().fold(0_u64, |number, byte| number << 8 | u64::from(*byte));
        tick + TimeDelta::milliseconds(i64::try_from(number % (self.jitter_s * 1000 + 1)).unwrap_or_default())
    }

    /// Whether its times depend on the tables of time zones.
    pub(crate) fn is_of_a_zone(&self) -> bool {
        matches!(&self.when, When::Cron(_, zone) if *zone != Zone::UTC)
    }

    /// The latest that a job of a time is pushed by plan.
    pub(crate) fn jitter(&self) -> TimeDelta {
        TimeDelta::seconds(i64::try_from(self.jitter_s).unwrap_or_default())
    }
}

/// The options that a scheduled job can have; what `POST /api/jobs` checked.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Options {
    priority: Option<Priority>,
    delay_s: Option<f64>,
    max_attempts: Option<u32>,
    timeout_s: Option<u64>,
    tenant: Option<String>,
    metadata: Option<BTreeMap<String, Json>>,
    allow_fallback: Option<bool>,
    unique_key: Option<String>,
    unique_for_s: Option<u64>,
    on_conflict: Option<OnConflict>,
}

impl JobSpec {
    /// A job of `kind` with this payload.
    #[must_use]
    pub fn new(kind: &str, payload: Value) -> Self {
        Self { kind: kind.to_owned(), payload: payload.into(), options: None }
    }

    /// The job to push for `tenant` at `now_ms`; its metadata tell the schedule and the time.
    ///
    /// # Errors
    /// When the options cannot be read: a newer release has written them.
    pub fn to_job(
        &self,
        tenant: &str,
        name: &str,
        tick: DateTime<Utc>,
        now_ms: u64,
    ) -> Result<NewJob, serde_json::Error> {
        let options: Options = match &self.options {
            Some(given) => serde_json::from_str(&given.to_string())?,
            None => Options::default(),
        };
        let mut metadata = options.metadata.unwrap_or_default();
        metadata.entry("schedule".to_owned()).or_insert_with(|| json!(name).into());
        let time = tick.to_rfc3339_opts(SecondsFormat::Millis, true);
        metadata.entry("tick".to_owned()).or_insert_with(|| json!(time).into());
        let metadata = serde_json::from_str(&serde_json::to_string(&metadata)?)?;
        let unique = options.unique_key.map(|key| Unique {
            key,
            hold: options.unique_for_s.map(std::time::Duration::from_secs),
            on_conflict: options.on_conflict.unwrap_or_default(),
        });
        Ok(NewJob {
            tenant: options.tenant.unwrap_or_else(|| tenant.to_owned()),
            priority: options.priority.unwrap_or_default(),
            run_at_ms: options.delay_s.map(|delay_s| now_ms.saturating_add((delay_s * 1000.0) as u64)),
            max_attempts: options.max_attempts,
            timeout_s: options.timeout_s,
            allow_fallback: options.allow_fallback,
            metadata,
            unique,
            ..NewJob::new(self.kind.as_str(), self.payload.to_string())
        })
    }
}

/// The id of a tenant's schedule.
#[must_use]
pub fn schedule_id(tenant: &str, name: &str) -> String {
    format!("{tenant}/{name}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn job() -> JobSpec {
        JobSpec::new("email", json!({ "to": "zoe@customer.example" }))
    }

    fn definition(fields: Value) -> Definition {
        let mut all = json!({ "job": job() });
        let Value::Object(fields) = fields else { panic!("fields of an object") };
        all.as_object_mut().unwrap().extend(fields);
        serde_json::from_value(all).unwrap()
    }

    fn time(text: &str) -> DateTime<Utc> {
        text.parse().unwrap()
    }

    fn nexts(fields: Value, after: &str, n: usize) -> Vec<String> {
        let plan = definition(fields).plan().unwrap();
        plan.nexts(time(after), n).map(|at| at.format("%d %H:%M:%S").to_string()).collect()
    }

    #[test]
    fn intervals_count_from_their_start() {
        let minute = json!({ "every_s": 60 });
        assert_eq!(nexts(minute, "2026-01-01T00:00:30Z", 2), ["01 00:01:00", "01 00:02:00"]);
        let begun = json!({ "every_s": 90, "starts_at": "2026-01-01T00:00:10Z", "ends_at": "2026-01-01T00:03:10Z" });
        assert_eq!(nexts(begun, "2025-01-01T00:00:00Z", 9), ["01 00:00:10", "01 00:01:40", "01 00:03:10"]);
    }

    #[test]
    fn a_time_comes_once_and_ends_are_kept() {
        let at = json!({ "at": "2026-01-01T00:00:10Z" });
        assert_eq!(nexts(at.clone(), "2026-01-01T00:00:00Z", 2), ["01 00:00:10"]);
        assert!(nexts(at, "2026-01-01T00:00:10Z", 2).is_empty());
        let days = json!({ "cron": "@daily", "starts_at": "2026-01-03T00:00:00Z", "ends_at": "2026-01-04T12:00:00Z" });
        assert_eq!(nexts(days, "2026-01-01T00:00:00Z", 5), ["03 00:00:00", "04 00:00:00"]);
    }

    #[test]
    fn jitter_is_the_same_each_time_and_within_its_bound() {
        let plan = definition(json!({ "every_s": 60, "jitter_s": 30 })).plan().unwrap();
        let delays: Vec<i64> = plan
            .nexts(time("2026-01-01T00:00:00Z"), 50)
            .map(|tick| {
                assert_eq!(plan.push_at("a", tick), plan.push_at("a", tick));
                (plan.push_at("a", tick) - tick).num_milliseconds()
            })
            .collect();
        assert!(delays.iter().all(|delay| (0..=30_000).contains(delay)), "{delays:?}");
        assert!(delays.iter().max() > Some(&20_000) && delays.iter().min() < Some(&10_000), "{delays:?}");
    }

    #[test]
    fn every_bad_field_is_named() {
        let pointers = |fields: Value| {
            let errors = definition(fields).plan().unwrap_err();
            errors.into_iter().map(|error| error.pointer).collect::<Vec<_>>()
        };
        assert_eq!(pointers(json!({})), [""]);
        assert_eq!(pointers(json!({ "cron": "@daily", "every_s": 5 })), [""]);
        assert_eq!(pointers(json!({ "cron": "0 0 30 2 *", "zone": "Mars" })), ["/zone", "/cron"]);
        assert_eq!(pointers(json!({ "every_s": 0 })), ["/every_s"]);
        let backwards =
            json!({ "cron": "@daily", "starts_at": "2026-01-02T00:00:00Z", "ends_at": "2026-01-01T00:00:00Z" });
        assert_eq!(pointers(backwards), ["/ends_at"]);
        let options = json!({ "kind": "email", "payload": {}, "options": { "run_at": "2026-01-01T00:00:00Z" } });
        assert_eq!(pointers(json!({ "cron": "@daily", "job": options })), ["/job/options/run_at"]);
    }

    #[test]
    fn a_job_has_its_options_and_tells_its_schedule() {
        let options =
            json!({ "priority": "low", "delay_s": 1.5, "max_attempts": 2, "metadata": { "a": 1 }, "unique_key": "k" });
        let spec = JobSpec { options: Some(options.into()), ..job() };
        let job = spec.to_job("acme", "ping", time("2026-01-01T00:00:00Z"), 1000).unwrap();
        assert_eq!((job.kind.as_str(), job.tenant.as_str(), job.priority), ("email", "acme", Priority::Low));
        assert_eq!((job.run_at_ms, job.max_attempts), (Some(2500), Some(2)));
        assert_eq!(*job.metadata, json!({ "a": 1, "schedule": "ping", "tick": "2026-01-01T00:00:00.000Z" }));
        assert_eq!(job.unique.unwrap().key, "k");
    }
}
