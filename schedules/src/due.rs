//! Which times of a schedule are to be run now, and where it goes on. Pure: time is an argument.

use chrono::{DateTime, TimeDelta, Utc};

use crate::definition::{Missed, Plan};

/// A time that is noticed later than this is missed. Until then it is run whatever the policy says: a worker was restarted, Redis
/// failed over, a clock was set.
pub(crate) const MISSED_AFTER: TimeDelta = TimeDelta::seconds(60);
/// The most times that one look at a schedule brings.
const MOST: usize = 200;

/// What follows from a look at a schedule.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Due {
    /// Run these, and go on with the next, if there is one.
    Run {
        /// In order.
        ticks: Vec<DateTime<Utc>>,
        /// The next, due or not.
        next: Option<DateTime<Utc>>,
    },
    /// Times were missed and are not run: go on with this one, and look again. Decided by one replica alone, because it depends on
    /// when it looked.
    Jump {
        /// The next that counts.
        to: Option<DateTime<Utc>>,
        /// It is run although it is late.
        make_up: bool,
    },
}

/// Looks at a schedule at `now` whose next time is `next`; `made_up` is a time that was chosen to be run although it is late.
pub(crate) fn due(
    plan: &Plan,
    schedule: &str,
    next: DateTime<Utc>,
    made_up: Option<DateTime<Utc>>,
    now: DateTime<Utc>,
) -> Due {
    let in_time_from = now - MISSED_AFTER - plan.jitter();
    let just_before = |at: DateTime<Utc>| at - TimeDelta::milliseconds(1);
    let oldest = match plan.missed {
        Missed::All => in_time_from.min(now - plan.window),
        Missed::Skip | Missed::Once => in_time_from,
    };
    if next < oldest && made_up != Some(next) {
        let first_in_time = plan.next_after(just_before(oldest));
        let runs_soon = first_in_time.is_some_and(|first| plan.push_at(schedule, first) <= now);
        if plan.missed == Missed::Once && !runs_soon {
            let window_begin = next.max(now - plan.window);
            if let Some(last) = last_before(plan, window_begin, oldest) {
                return Due::Jump { to: Some(last), make_up: true };
            }
        }
        return Due::Jump { to: first_in_time, make_up: false };
    }
    let mut ticks = Vec::new();
    let mut next = Some(next);
    while let Some(tick) = next.filter(|tick| plan.push_at(schedule, *tick) <= now && ticks.len() < MOST) {
        ticks.push(tick);
        next = plan.next_after(tick);
    }
    Due::Run { ticks, next }
}

/// No government has moved a clock further.
const FURTHEST: TimeDelta = TimeDelta::hours(3);

/// The next time of a schedule by tables of time zones that are newer than those by which it was `next`. `last` is when it was due
/// before, and `changed` when someone changed it.
///
/// It is the same time of day, up to some hours earlier or later. So what was due before is not due again, and a time that has gone
/// by under the newer tables is late and not lost.
pub(crate) fn reckoned_anew(
    plan: &Plan,
    next: DateTime<Utc>,
    last: Option<DateTime<Utc>>,
    changed: DateTime<Utc>,
) -> Option<DateTime<Utc>> {
    if !plan.is_of_a_zone() {
        return Some(next);
    }
    let halfway = last.map(|last| last + (next - last) / 2);
    let from = (next - FURTHEST).max(changed).max(halfway.unwrap_or(changed));
    plan.next_after(from.min(next - TimeDelta::milliseconds(1)))
}

/// The last time in `begin..end`.
fn last_before(plan: &Plan, begin: DateTime<Utc>, end: DateTime<Utc>) -> Option<DateTime<Utc>> {
    let mut back = TimeDelta::seconds(1);
    loop {
        // Further and further back, so that few times are walked through however close together they are.
        let from = (end - back).max(begin);
        let after = from - TimeDelta::milliseconds(1);
        let walk = std::iter::successors(plan.next_after(after), |tick| plan.next_after(*tick));
        let last = walk.take_while(|tick| *tick < end).last();
        if last.is_some() || from == begin {
            return last;
        }
        back = back * 2;
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::definition::Definition;

    fn plan(fields: Value) -> Plan {
        let mut all = json!({ "job": { "kind": "email", "payload": {} } });
        let Value::Object(fields) = fields else { panic!("fields of an object") };
        all.as_object_mut().unwrap().extend(fields);
        serde_json::from_value::<Definition>(all).unwrap().plan().unwrap()
    }

    fn at(time: &str) -> DateTime<Utc> {
        format!("2026-01-01T{time}Z").parse().unwrap()
    }

    fn look(plan: &Plan, next: &str, now: &str) -> Due {
        due(plan, "default/a", at(next), None, at(now))
    }

    #[test]
    fn what_is_due_is_run_and_the_next_is_named() {
        let plan = plan(json!({ "every_s": 10, "missed": "skip" }));
        let ticks = vec![at("00:00:10"), at("00:00:20")];
        assert_eq!(look(&plan, "00:00:10", "00:00:25"), Due::Run { ticks, next: Some(at("00:00:30")) });
        assert_eq!(look(&plan, "00:00:30", "00:00:25"), Due::Run { ticks: vec![], next: Some(at("00:00:30")) });
    }

    #[test]
    fn missed_times_follow_the_policy() {
        let hours = |missed: &str| plan(json!({ "every_s": 3600, "missed": missed, "missed_window_s": 10_800 }));
        let jump = |to: &str, make_up: bool| Due::Jump { to: Some(at(to)), make_up };
        assert_eq!(look(&hours("skip"), "01:00:00", "05:30:00"), jump("06:00:00", false));
        assert_eq!(look(&hours("once"), "01:00:00", "05:30:00"), jump("05:00:00", true));
        assert_eq!(look(&hours("all"), "01:00:00", "05:30:00"), jump("03:00:00", false));
        let all = vec![at("03:00:00"), at("04:00:00"), at("05:00:00")];
        assert_eq!(look(&hours("all"), "03:00:00", "05:30:00"), Due::Run { ticks: all, next: Some(at("06:00:00")) });
        let made_up = due(&hours("once"), "a", at("05:00:00"), Some(at("05:00:00")), at("05:30:00"));
        assert_eq!(made_up, Due::Run { ticks: vec![at("05:00:00")], next: Some(at("06:00:00")) });
    }

    #[test]
    fn one_that_comes_in_time_makes_up_for_the_missed() {
        let plan = plan(json!({ "every_s": 3600 }));
        assert_eq!(look(&plan, "01:00:00", "05:00:30"), Due::Jump { to: Some(at("05:00:00")), make_up: false });
    }

    #[test]
    fn nothing_is_made_up_for_that_lies_before_the_window() {
        let plan = plan(json!({ "cron": "0 3 * * *", "missed_window_s": 600 }));
        let next: DateTime<Utc> = "2026-01-02T03:00:00Z".parse().unwrap();
        assert_eq!(look(&plan, "03:00:00", "03:30:00"), Due::Jump { to: Some(next), make_up: false });
        let once = self::plan(json!({ "at": "2026-01-01T03:00:00Z" }));
        assert_eq!(look(&once, "03:00:00", "08:00:00"), Due::Jump { to: None, make_up: false });
        assert_eq!(look(&once, "03:00:00", "03:20:00"), Due::Jump { to: Some(at("03:00:00")), make_up: true });
    }

    #[test]
    fn a_minute_late_is_in_time_and_jitter_is_no_delay() {
        let plan = plan(json!({ "every_s": 3600, "missed": "skip", "jitter_s": 600 }));
        let Due::Run { ticks, .. } = look(&plan, "01:00:00", "01:11:00") else { panic!("it is in time") };
        assert_eq!(ticks, [at("01:00:00")]);
        assert_eq!(look(&plan, "01:00:00", "01:11:01"), Due::Jump { to: Some(at("02:00:00")), make_up: false });
    }

    #[test]
    fn other_tables_move_a_time_of_day_and_neither_double_nor_lose_it() {
        let time = |text: &str| text.parse::<DateTime<Utc>>().unwrap();
        let plan = plan(json!({ "cron": "0 9 * * *", "zone": "America/Vancouver" }));
        let long_ago = time("2026-01-01T00:00:00Z");
        let anew = |next: &str, last: Option<&str>, changed| reckoned_anew(&plan, time(next), last.map(time), changed);
        // Nine by the clock of today is 16:00 in UTC; older tables say 17:00 in winter.
        let right = Some(time("2026-12-02T16:00:00Z"));
        assert_eq!(anew("2026-12-02T17:00:00Z", Some("2026-12-01T17:00:00Z"), long_ago), right);
        assert_eq!(anew("2026-12-02T15:00:00Z", Some("2026-12-01T15:00:00Z"), long_ago), right);
        assert_eq!(anew("2026-12-02T16:00:00Z", Some("2026-12-01T16:00:00Z"), long_ago), right);
        assert_eq!(anew("2026-12-02T17:00:00Z", None, long_ago), right);
        // It was added when nine had gone by.
        let tomorrow = Some(time("2026-12-03T16:00:00Z"));
        assert_eq!(anew("2026-12-02T17:00:00Z", None, time("2026-12-02T16:10:00Z")), tomorrow);
        let hourly = self::plan(json!({ "cron": "0 * * * *", "zone": "America/Vancouver" }));
        let same = reckoned_anew(&hourly, at("05:00:00"), Some(at("04:00:00")), long_ago);
        assert_eq!(same, Some(at("05:00:00")));
        let working = self::plan(json!({ "cron": "0 9-17 * * *", "zone": "America/Vancouver" }));
        let first = reckoned_anew(&working, time("2026-12-02T17:00:00Z"), Some(time("2026-12-02T01:00:00Z")), long_ago);
        assert_eq!(first, right, "what was nine is ten now, and nine comes before");
        let every = self::plan(json!({ "every_s": 3600 }));
        assert_eq!(reckoned_anew(&every, at("05:00:00"), None, long_ago), Some(at("05:00:00")));
    }

    #[test]
    fn a_week_of_seconds_is_not_walked_through() {
        let plan = plan(json!({ "every_s": 1, "missed_window_s": 604_800 }));
        let next: DateTime<Utc> = "2025-12-20T00:00:00Z".parse().unwrap();
        let jump = Due::Jump { to: Some(at("11:59:00")), make_up: false };
        assert_eq!(due(&plan, "a", next, None, at("12:00:00")), jump);
        assert_eq!(last_before(&plan, next, at("12:00:00")), Some(at("11:59:59")));
    }
}
