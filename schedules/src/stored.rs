//! Schedules and their ticks as they are stored.

use chrono::{DateTime, Utc};
use serde::Serialize;
use store::{Moment, Reckoned, StoredSchedule};

use crate::definition::{Definition, Plan, schedule_id};

/// The definition of a stored schedule, and when it is due.
///
/// # Errors
/// The reason, when a newer release has written it.
pub fn read(schedule: &StoredSchedule) -> Result<(Definition, Plan), String> {
    let definition: Definition = serde_json::from_str(&schedule.definition).map_err(|error| error.to_string())?;
    let plan = definition.plan().map_err(|errors| {
        errors.iter().map(|error| format!("{} {}", error.pointer, error.message)).collect::<Vec<_>>().join("; ")
    })?;
    Ok((definition, plan))
}

/// A schedule that begins now (Unix milliseconds), as it is stored; its revision is 1.
#[must_use]
pub fn new_schedule(tenant: &str, name: &str, definition: &Definition, now_ms: u64) -> StoredSchedule {
    let mut schedule = StoredSchedule {
        id: schedule_id(tenant, name),
        tenant: tenant.to_owned(),
        name: name.to_owned(),
        definition: text(definition),
        built_in: false,
        timetable: 0,
        revision: 1,
        paused: definition.paused.unwrap_or_default(),
        next_tick: None,
        next_at: None,
        made_up: None,
        reckoned: None,
        last_tick: None,
        updated_at: Moment::from_ms(now_ms),
    };
    if !schedule.paused {
        resume(&mut schedule, now_ms);
    }
    schedule
}

/// The id of a time that a schedule was due.
#[must_use]
pub fn tick_id(schedule: &str, tick: Moment) -> String {
    format!("{schedule}@{}", tick.ms())
}

/// Lets a schedule be due at no time.
pub fn pause(schedule: &mut StoredSchedule) {
    schedule.paused = true;
    schedule.next_tick = None;
    schedule.next_at = None;
    schedule.made_up = None;
    schedule.reckoned = None;
}

/// Lets a schedule go on with the first time after now (Unix milliseconds).
pub fn resume(schedule: &mut StoredSchedule, now_ms: u64) {
    schedule.paused = false;
    schedule.made_up = None;
    let next = read(schedule).ok().and_then(|(_, plan)| {
        let tick = plan.next_after(time(Moment::from_ms(now_ms)))?;
        Some((tick, plan.push_at(&schedule.id, tick)))
    });
    schedule.next_tick = next.map(|(tick, _)| moment(tick));
    schedule.next_at = next.map(|(_, at)| moment(at));
    schedule.reckoned =
        schedule.next_tick.map(|next_tick| Reckoned { tables: zones::tables().version().to_string(), next_tick });
}

pub(crate) fn text(value: &impl Serialize) -> String {
    serde_json::to_string(value).unwrap_or_default()
}

pub(crate) fn time(moment: Moment) -> DateTime<Utc> {
    let ms = i64::try_from(moment.ms()).unwrap_or(i64::MAX);
    DateTime::from_timestamp_millis(ms).unwrap_or(DateTime::<Utc>::MAX_UTC)
}

pub(crate) fn moment(time: DateTime<Utc>) -> Moment {
    Moment::from_ms(u64::try_from(time.timestamp_millis()).unwrap_or(0))
}
