//! Recurring jobs. What a schedule is, the crate `schedules` says.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::ToSchema;

use crate::time::Timestamp;

/// A schedule as the API answers it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[schema(as = ScheduleAnswer)]
pub struct Schedule<D = Value> {
    /// Its name among the tenant's.
    pub name: String,
    /// Whom it belongs to.
    pub tenant: String,
    /// Whether it is a row of the timetable in the program, which cannot be changed or deleted here.
    pub built_in: bool,
    /// When, and what.
    #[serde(flatten)]
    pub definition: D,
    /// When its next job is enqueued; null while it is paused and when there is no next time.
    pub next_at: Option<Timestamp>,
    /// The last time that it was due; null if it never was.
    pub last: Option<Run>,
    /// When someone changed it last.
    pub updated_at: Timestamp,
}

/// A time that a schedule was due.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[schema(as = RunAnswer)]
pub struct Run {
    /// The time.
    pub tick: Timestamp,
    /// Whether someone asked for it, beside the times of the schedule.
    pub by_hand: bool,
    /// `new` (about to be enqueued), `pushed` or `skipped`.
    #[schema(value_type = String)]
    pub outcome: Cow<'static, str>,
    /// Why no job was enqueued.
    pub reason: Option<String>,
    /// The job.
    pub job: Option<String>,
    /// The job's state in a history of runs; null when it is no longer known.
    pub state: Option<String>,
}

/// A page of schedules.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[schema(bound = "")]
pub struct SchedulePage<D = Value> {
    /// By tenant and name.
    #[schema(value_type = Vec<Schedule>, no_recursion)]
    pub items: Vec<Schedule<D>>,
    /// Ids (`<tenant>/<name>`) of schedules of this page that this release cannot read: a newer one has written them.
    pub unreadable: Vec<String>,
    /// Pass it as `cursor` to get the next page; null on the last.
    pub next_cursor: Option<String>,
}

/// A page of a schedule's runs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct RunPage {
    /// Newest first.
    pub items: Vec<Run>,
    /// Pass it as `before` to get the next page; null on the last.
    pub next_before: Option<Timestamp>,
}
