//! What is asked for: a job, and many.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::ToSchema;

use crate::{
    job::{JobId, Priority},
    problem::Problem,
};

/// A job to be done.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(bound = "")]
pub struct JobRequest<G = Value> {
    /// What to do; also the queue.
    pub kind: String,
    /// What to do it with; each kind has its own.
    #[schema(value_type = Value)]
    pub payload: G,
    /// How to do it.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<JobOptions>)]
    pub options: Option<JobOptions<G>>,
}

/// How a job is done. What is absent or null has the kind's default.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(bound = "")]
pub struct JobOptions<G = Value> {
    /// How urgent it is; `normal` if absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub priority: Option<Priority>,
    /// Not before so many seconds from now; at most 5 years.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(minimum = 0)]
    pub delay_s: Option<f64>,
    /// Not before this time; a time in the past means now. At most 5 years ahead. Not together with `delay_s`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub run_at: Option<DateTime<Utc>>,
    /// When it is no longer worth running; in the future, and after the time at which it may run.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<DateTime<Utc>>,
    /// How many attempts may fail before the job is dead.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(minimum = 1, maximum = 100)]
    pub max_attempts: Option<u32>,
    /// How many seconds one attempt may run.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(minimum = 1, maximum = 86400)]
    pub timeout_s: Option<u64>,
    /// Whom the job belongs to; only for tokens with the scope `admin`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(pattern = "^[A-Za-z0-9_.-]{1,64}$")]
    pub tenant: Option<String>,
    /// Whatever the caller wants to find again, at most 16 KB of JSON.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Map<String, Value>>)]
    pub metadata: Option<G>,
    /// Whether a stand-in may answer when the real service cannot.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub allow_fallback: Option<bool>,
    /// While a job of the tenant with this key has not ended, a second one is not added.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(min_length = 1, max_length = 256)]
    pub unique_key: Option<String>,
    /// Hold the key for so many seconds from now, whether the job has ended or not. Only with `unique_key`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(minimum = 1, maximum = 31_536_000)]
    pub unique_for_s: Option<u64>,
    /// What to do when another job holds the key; `return_existing` if absent. Only with `unique_key`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub on_conflict: Option<OnConflict>,
    /// Where the job is kept.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub durability: Option<Durability>,
}

impl<G> Default for JobOptions<G> {
    fn default() -> Self {
        Self {
            priority: None,
            delay_s: None,
            run_at: None,
            expires_at: None,
            max_attempts: None,
            timeout_s: None,
            tenant: None,
            metadata: None,
            allow_fallback: None,
            unique_key: None,
            unique_for_s: None,
            on_conflict: None,
            durability: None,
        }
    }
}

/// What a push does when another job holds its key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum OnConflict {
    /// Answers with the job that holds the key.
    ReturnExisting,
    /// Cancels the job that holds the key and takes its place; refused while it runs.
    Replace,
    /// Is refused.
    Reject,
}

impl OnConflict {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::ReturnExisting, Self::Replace, Self::Reject];

    /// As it is written.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::ReturnExisting => "return_existing",
            Self::Replace => "replace",
            Self::Reject => "reject",
        }
    }
}

/// Where a job is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Durability {
    /// In Redis.
    Fast,
}

/// Many jobs.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
#[schema(bound = "")]
pub struct BatchRequest<'a, G = Value> {
    /// The jobs; each is checked by itself.
    #[schema(max_items = 10000, value_type = Vec<JobRequest>)]
    pub jobs: &'a [JobRequest<G>],
}

/// What became of a batch.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[schema(bound = "")]
pub struct BatchAnswer<P = Problem<'static>> {
    /// How many have a job, made by this request or there before.
    pub accepted: usize,
    /// How many have none.
    pub rejected: usize,
    /// One for each job, in the order of the request.
    #[schema(value_type = Vec<BatchLine>)]
    pub results: Vec<BatchLine<P>>,
}

/// What became of one job: it has an id, or a problem.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[schema(as = Line, bound = "")]
pub struct BatchLine<P = Problem<'static>> {
    /// Position in the request, from 0.
    pub index: usize,
    /// The job, if there is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub id: Option<JobId>,
    /// Whether this request made it. Otherwise it was there: it holds the unique key, or an earlier request with the same
    /// Idempotency-Key made it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub created: Option<bool>,
    /// Why it is not.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Problem<'_>>)]
    pub problem: Option<P>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_those_that_are_written() {
        assert!(OnConflict::ALL.iter().all(|one| serde_json::to_value(one).unwrap() == one.name()));
        assert!(Priority::ALL.iter().all(|one| serde_json::to_value(one).unwrap() == one.name()));
    }

    #[test]
    fn what_is_not_asked_for_is_left_out() {
        let request = JobRequest { kind: "content".to_owned(), payload: 1, options: None };
        assert_eq!(serde_json::to_string(&request).unwrap(), r#"{"kind":"content","payload":1}"#);
        let options = JobOptions { delay_s: Some(1.5), ..JobOptions::<Value>::default() };
        assert_eq!(serde_json::to_string(&options).unwrap(), r#"{"delay_s":1.5}"#);
        assert_eq!(serde_json::from_str::<JobOptions>(r#"{"delay_s":1.5,"metadata":null}"#).unwrap(), options);
        assert!(serde_json::from_str::<JobOptions>(r#"{"delay":1.5}"#).is_err());
    }
}
